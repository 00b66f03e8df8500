"""Constrained randomisation and rerandomisation: every scheme scored, each accepted one equally likely."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.randomisation.accepted import find_cutoff, measure, rank_of
from wwc_eval.randomisation.count_tables import CountTables, count_options
from wwc_eval.randomisation.covariates import numbers_of
from wwc_eval.randomisation.exact_scores import Covariate, embed, scores
from wwc_eval.randomisation.halves import Halves
from wwc_eval.randomisation.stream import Stream

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "randomisation_constrained.json").read_text(encoding="utf-8")
)
DICKINSON = Path(__file__).parents[3] / "shared" / "data" / "dickinson_design.csv"
ON = ["location", "inciis", "uptodateonimmunizations", "hispanic", "incomecat"]
RATIOS = [(1, 1), (1, 2), (1, 1, 1), (2, 1, 1), (3, 2)]


def everything(sizes, ratio):
    """All permitted allocations, by going through all k^n."""
    n, k = sum(sizes), len(ratio)
    rows = np.array(list(itertools.product(range(k), repeat=n)), dtype=np.int8)
    keep = np.ones(len(rows), dtype=bool)
    start = 0
    for size, allowed in [*((size, count_options(size, ratio)) for size in sizes), (n, count_options(n, ratio))]:
        part = rows[:, start : start + size] if size < n else rows
        counts = np.stack([(part == arm).sum(axis=1) for arm in range(k)], axis=1)
        keep &= (counts[:, None] == np.array(allowed)[None]).all(axis=2).any(axis=1)
        start += size if size < n else 0
    return rows[keep]


def frame_of(n, seed=0, columns=2):
    rng = np.random.default_rng(seed)
    data = {f"x{j}": rng.integers(0, 30, n) / 4 for j in range(columns)}
    return pd.DataFrame({"team": [f"t{i:03d}" for i in range(n)], **data})


@pytest.mark.property
@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(RATIOS),
    st.lists(st.integers(1, 6), min_size=1, max_size=3).filter(lambda sizes: 4 <= sum(sizes) <= 9),
    st.integers(1, 3),
    st.sampled_from([0.05, 0.1, 0.3, 0.5]),
    st.integers(0, 10**6),
)
def test_meeting_in_the_middle_equals_going_through_all(ratio, sizes, k, accept, seed):
    n = sum(sizes)
    tables = CountTables(sizes, ratio)
    if not tables.totals or min(min(total) for total in tables.totals) < 1:
        return
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4 if seed % 2 else 1000, (n, k))
    if (np.ptp(values, axis=0) == 0).any():
        return
    covariates = [Covariate(f"x{j}", tuple(Fraction(int(v)) for v in values[:, j])) for j in range(k)]
    embeddings = embed(covariates, tables.totals)
    rows = everything(sizes, ratio)
    assert len(rows) == tables.n_allocations
    counts = np.stack([(rows == arm).sum(axis=1) for arm in range(len(ratio))], axis=1)
    found = np.empty(len(rows), dtype=np.int64)
    for total, embedding in zip(tables.totals, embeddings, strict=True):
        here = (counts == np.array(total)).all(axis=1)
        found[here] = scores(embedding, rows[here])
    halves = Halves(tables, embeddings)
    spread = find_cutoff(halves, Fraction(repr(accept)))
    assert spread.cutoff == np.sort(found)[rank_of(Fraction(repr(accept)), len(rows)) - 1]
    assert spread.minimum == found.min()
    assert spread.mean == pytest.approx(found.mean(), rel=1e-10)
    assert spread.sd == pytest.approx(found.std(ddof=1), rel=1e-9)
    kept = rows[found <= spread.cutoff]
    accepted = measure(halves, spread.cutoff)
    assert accepted.n_accepted == len(kept)
    for arm in range(len(ratio)):
        assert accepted.arm_counts[:, arm].tolist() == (kept == arm).sum(axis=0).tolist()
    same = sum((kept == arm).T.astype(int) @ (kept == arm) for arm in range(len(ratio)))
    assert (accepted.same_counts == same).all()


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("by", [None, "la"])
def test_an_allocation_tells_what_enumeration_tells(ratio, by):
    frame = frame_of(9, seed=3).assign(la=["N"] * 4 + ["S"] * 5)
    arms = {f"arm {i}": part for i, part in enumerate(ratio)}
    allocation = we.randomise(
        frame, unit="team", arms=arms, method=we.Constrained(on=["x0", "x1"], by=by, accept=0.2), seed="s"
    )
    reference = allocation.reference_set()
    assert len(reference) == allocation.n_permitted == len(np.unique(reference, axis=0))
    assert allocation.reference_probabilities is None
    expected = np.stack([(reference == arm).mean(axis=0) for arm in range(len(ratio))], axis=1)
    assert np.allclose(allocation.probabilities, expected, atol=1e-12)
    assert (reference == allocation.codes).all(axis=1).sum() == 1
    same = np.mean([row[:, None] == row[None] for row in reference], axis=0)
    assert np.allclose(allocation.bound.pairs().same, same, atol=1e-12)
    worst = allocation.bound.whole_scores(reference).max()
    assert worst == allocation.bound.spread.cutoff


@pytest.mark.parametrize("orthogonal", [False, True])
def test_scores_equal_their_formula(orthogonal):
    frame = frame_of(11, seed=4, columns=3).assign(band=list("lmhlmhlmhlm"))
    method = (
        we.Rerandomised(on=["x0", "x1", "band"], accept=0.3)
        if orthogonal
        else we.Constrained(on=["x0", "x1", "band"], accept=0.3, weights={"x1": 2, "band": 0.5})
    )
    allocation = we.randomise(frame, unit="team", method=method, seed="s")
    x = np.column_stack([frame["x0"], frame["x1"], frame["band"] == "l", frame["band"] == "m"]).astype(float)
    second = allocation.codes == 1
    difference = x[second].mean(axis=0) - x[~second].mean(axis=0)
    product = second.sum() * (~second).sum() / 11
    if orthogonal:
        expected = product * difference @ np.linalg.inv(np.cov(x.T)) @ difference
    else:
        z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1) * [1, 2, 0.5, 0.5]
        expected = (z[second].sum(axis=0) ** 2).sum()
        assert expected == pytest.approx(((product * (z[second].mean(0) - z[~second].mean(0))) ** 2).sum())
    assert allocation.bound.score(allocation.codes) == pytest.approx(expected, rel=2e-4, abs=1e-6)


@pytest.mark.reference
@pytest.mark.skipif(not DICKINSON.exists(), reason="the data are not here")
class TestDickinson:
    @pytest.fixture(scope="class")
    def allocation(self):
        counties = pd.read_csv(DICKINSON)
        return we.randomise(counties, unit="county", method=we.Constrained(on=ON), seed="s")

    def test_spread_of_all_schemes(self, allocation):
        told = REFERENCE["l2"]
        assert allocation.bound.spread.n_schemes == told["n_schemes"]
        for name, value in allocation.bound.score_summary.items():
            assert round(value, 3) == told[name]
        # the mirror image of the last accepted is accepted too
        assert allocation.n_permitted == told["accepted"] + 1
        assert not allocation.bound.warnings

    def test_pair_counts(self, allocation):
        self.check_pairs(allocation, REFERENCE["l2"]["same_count"], sd_digits=3)

    def test_within_strata(self, allocation):
        told = REFERENCE["stratified"]
        method = we.Constrained(on=ON[1:], by="location", accept=told["accepted"] / told["of"])
        found = we.randomise(pd.read_csv(DICKINSON), unit="county", method=method, seed="s")
        assert found.bound.spread.n_schemes == told["of"]
        assert round(found.bound.score_summary["cutoff"], 3) == told["cutoff"]
        assert round(found.bound.score_summary["minimum"], 3) == told["minimum"]
        self.check_pairs(found, told["same_count"], sd_digits=3)

    def test_the_schemes_by_absolute_differences(self):
        """cvcrand's other metric, which is not offered, over the 12,870 allocations that ours enumerates."""
        told = REFERENCE["l1"]
        counties = pd.read_csv(DICKINSON)
        rows = we.randomise(counties, unit="county", method=we.Complete(), seed="s").reference_set()
        x = pd.get_dummies(counties[ON], drop_first=True).astype(float).to_numpy()
        difference = np.where(rows == 1, 1.0, -1.0) @ x / 8
        scores = (2 * np.abs(difference) / difference.std(axis=0)).sum(axis=1)
        assert len(scores) == told["n_schemes"]
        found = (scores.mean(), scores.std(ddof=1), scores.min(), np.median(scores), scores.max())
        assert [round(float(each), 3) for each in found] == [
            told[name] for name in ("mean", "sd", "minimum", "median", "maximum")
        ]
        assert round(float(np.quantile(scores, 0.1)), 3) == told["cutoff"]
        kept = rows[np.argsort(scores, kind="stable")[: told["accepted"]]]
        first, second = np.triu_indices(16, 1)
        same = (kept[:, first] == kept[:, second]).sum(axis=0)
        counts = told["same_count"]
        assert (same.min(), same.max()) == (counts["minimum"], counts["maximum"])
        assert same.mean() == pytest.approx(counts["mean"])
        assert round(float(same.std(ddof=1)), 2) == counts["sd"]

    @staticmethod
    def check_pairs(allocation, told, sd_digits):
        rows = allocation.reference_set()
        last = np.flatnonzero(allocation.bound.whole_scores(rows) == allocation.bound.spread.cutoff)
        assert len(last) == 2
        rows = np.delete(rows, last[0], axis=0)
        first, second = np.triu_indices(16, 1)
        same = (rows[:, first] == rows[:, second]).sum(axis=0)
        quartiles = np.quantile(same, [0.25, 0.5, 0.75])
        assert quartiles.tolist() == [told["q25"], told["median"], told["q75"]]
        assert (same.min(), same.max()) == (told["minimum"], told["maximum"])
        assert same.mean() == pytest.approx(told["mean"])
        assert round(same.std(ddof=1), sd_digits) == told["sd"]


@pytest.mark.simulation
@pytest.mark.parametrize(
    "method",
    [we.Constrained(on=["x0", "x1"], accept=0.3), we.Constrained(on="x0", by="la", accept=0.3), we.Rerandomised(on="x0", accept=0.3)],
)  # fmt: skip
def test_every_accepted_allocation_is_equally_likely(method):
    frame = frame_of(7, seed=1).assign(la=["N"] * 3 + ["S"] * 4)
    bound = we.randomise(frame, unit="team", method=method, seed="s").bound
    rows = bound.enumerate().allocations
    place = {row.tobytes(): i for i, row in enumerate(rows)}
    draws = 1_500
    from_stream = np.bincount(
        [place[bound.draw(Stream(str(i))).tobytes()] for i in range(draws)], minlength=len(rows)
    )
    from_rng = np.bincount([place[row.tobytes()] for row in bound.sample(draws, np.random.default_rng(1))])
    for counts in (from_stream, from_rng):
        assert stats.chisquare(counts).pvalue > 0.005


@pytest.mark.simulation
@pytest.mark.parametrize("ratio", [(1, 1), (1, 2)])
def test_above_the_exact_limit_the_cut_off_is_sampled(ratio):
    frame = frame_of(36, seed=2).assign(la=["N"] * 15 + ["S"] * 21)
    arms = {f"arm {i}": part for i, part in enumerate(ratio)}
    method = we.Constrained(on=["x0", "x1"], accept=0.1, by="la" if ratio == (1, 2) else None)
    bound = we.randomise(frame, unit="team", arms=arms, method=method, seed="s").bound
    assert not bound.exact
    assert "Monte Carlo standard error of 0.21%" in bound.warnings[0]
    assert bound.tables.n_allocations * 0.09 < bound.count < bound.tables.n_allocations * 0.11
    from wwc_eval.randomisation.dealing import deal_many

    rng = np.random.default_rng(3)
    candidates = deal_many(bound.groups.members, bound.tables.sample(20_000, rng), rng)
    share = (bound.whole_scores(candidates) <= bound.spread.cutoff).mean()
    # both the cut-off and this share are from 20,000
    assert abs(share - 0.1) < 3.5 * np.sqrt(2) * bound.accept_standard_error
    drawn = bound.sample(300, rng)
    assert len(drawn) == 300
    assert (bound.whole_scores(drawn) <= bound.spread.cutoff).all()
    assert np.allclose(bound.probabilities().sum(axis=1), 1)
    with pytest.raises(DesignError, match="too many"):
        bound.enumerate()
    assert 0.3 < bound.pairs(500, rng).same.mean() < 0.7


def test_the_exact_and_the_sampled_sampler_agree():
    """Candidates dropped by score have the law of the rows listed."""
    frame = frame_of(10, seed=5)
    bound = we.randomise(frame, unit="team", method=we.Constrained(on=["x0", "x1"], accept=0.2), seed="s").bound
    listed = bound.pairs().same
    from wwc_eval.randomisation.dealing import deal_many

    rng = np.random.default_rng(0)
    rows = deal_many(bound.groups.members, bound.tables.sample(60_000, rng), rng)
    rows = rows[bound.whole_scores(rows) <= bound.spread.cutoff]
    same = sum((rows == arm).T.astype(float) @ (rows == arm) for arm in range(2)) / len(rows)
    assert abs(same - listed).max() < 4.5 * np.sqrt(0.25 / len(rows))


@pytest.mark.property
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 10**6), st.randoms(use_true_random=False))
def test_units_of_measurement_and_rows_do_not_matter(scale, random):
    frame = frame_of(10, seed=6)
    method = we.Constrained(on=["x0", "x1"], accept=0.2)
    first = we.randomise(frame, unit="team", method=method, seed="s")
    order = list(range(10))
    random.shuffle(order)
    # a power of two keeps the decimals of the text exact
    changed = frame.iloc[order].assign(x0=lambda d: d["x0"] * 4 * scale)
    again = we.randomise(changed, unit="team", method=method, seed="s")
    assert again.codes.tolist() == first.codes.tolist()
    assert again.receipt["derived"] == first.receipt["derived"]


def test_warnings_about_few_allocations_and_tied_pairs():
    frame = pd.DataFrame({"team": list("abcdefgh"), "x": [0, 0, 0, 0, 0, 0, 0, 100]}).assign(y=range(8))
    few = we.randomise(frame, unit="team", method=we.Constrained(on="y", accept=0.1), seed="s")
    assert any("only 8 allocations" in text for text in few.warnings)
    tied = pd.DataFrame({"team": [f"t{i:02d}" for i in range(12)], "x": [50, 50, *range(10)]})
    never = we.randomise(tied, unit="team", method=we.Constrained(on="x", accept=0.2), seed="s")
    assert any("never share an arm: t00 and t01" in text for text in never.warnings)


def test_weights_count_squared_and_spread_over_indicators():
    frame = frame_of(8, seed=8).assign(band=list("llmmhhlm"))
    one = we.Constrained(on=["x0", "band"], weights=[2, 3], accept=0.5)
    two = we.Constrained(on=["x0", "band"], weights={"x0": 2, "band": 3}, accept=0.5)
    receipts = [we.randomise(frame, unit="team", method=m, seed="s").receipt for m in (one, two)]
    assert receipts[0] == receipts[1]
    assert receipts[0]["derived"]["covariates"] == ["x0", "band=l", "band=m"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on": []}, "on names no column"),
        ({"on": "x0", "accept": 0}, "accept == 0"),
        ({"on": "x0", "accept": 1}, "accept == 1"),
        ({"on": "x0", "weights": {"x9": 1}}, "choose one of 'x0'"),
        ({"on": "x0", "weights": [1, 2]}, "one weight for each"),
        ({"on": "x0", "weights": [-1]}, "weights == -1"),
    ],
)
def test_schemes_that_cannot_be(options, words):
    with pytest.raises(DesignError, match=words):
        we.Constrained(**options)


@pytest.mark.parametrize(
    ("change", "method", "error", "words"),
    [
        ({"x0": 1}, we.Constrained(on="x0"), DesignError, "does not vary"),
        ({"x0": "a"}, we.Constrained(on="x0"), DesignError, "does not vary"),
        ({"x9": lambda d: d["x0"] * 3 + d["x1"]}, we.Rerandomised(on=["x0", "x1", "x9"], accept=0.1), DesignError, "determined by"),
        ({}, we.Constrained(on="xx"), DesignError, "no column 'xx'"),
        ({"x0": np.nan}, we.Constrained(on="x0"), DataError, "missing"),
    ],
)  # fmt: skip
def test_designs_that_cannot_be(change, method, error, words):
    with pytest.raises(error, match=words):
        we.randomise(frame_of(8, seed=9).assign(**change), unit="team", method=method, seed="s")


@pytest.mark.parametrize(
    "method", [we.Constrained(on="x0", by="la"), we.Rerandomised(on="x0", by="la", accept=0.3)]
)
def test_a_stratum_smaller_than_the_number_of_arms_is_refused(method):
    frame = frame_of(8, seed=3).assign(la=["N"] * 5 + ["S"] * 2 + ["W"])
    with pytest.raises(DesignError, match="stratum 'W' has 1 unit for 2 arms"):
        we.randomise(frame, unit="team", method=method, seed="s")
    with pytest.raises(DesignError, match="stratum 'S' has 2 units for 3 arms"):
        we.randomise(frame, unit="team", arms=("a", "b", "c"), method=method, seed="s")


def test_too_few_units():
    with pytest.raises(DesignError, match="leave nothing to balance"):
        we.randomise(frame_of(2), unit="team", method=we.Constrained(on="x0"), seed="s")


def test_numbers_and_categories_are_told_by_their_texts():
    assert numbers_of(["1", "-2", "0.25", "1e-05", "true"]) == [1, -2, Fraction(1, 4), Fraction(1, 100_000), 1]
    for texts in (["01"], ["1_000"], ["1.50"], ["nan"], ["inf"], ["E06"], ["+1"]):
        assert numbers_of(texts) is None


@pytest.mark.slow
def test_thirty_clusters_exactly():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(rng.standard_normal((30, 4)), columns=list("abcd")).assign(team=range(30))
    bound = we.randomise(frame, unit="team", method=we.Constrained(on=list("abcd")), seed="s").bound
    assert bound.spread.n_schemes == 155_117_520
    assert bound.count == 15_511_752
    # sum of z over half of the clusters: variance 15 * 15 / 30 for each covariate
    assert bound.score_summary["mean"] == pytest.approx(30, rel=1e-5)
