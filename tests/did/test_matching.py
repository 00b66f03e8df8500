"""Matching before difference-in-differences: weights, pairs, constraints, balance."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError


def children(n=600, seed=3):
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 18, n)
    need = rng.choice(["abuse", "disability", "stress"], n, p=[0.5, 0.2, 0.3])
    rate = rng.normal(60, 12, n)
    push = -1.2 + 0.08 * (age - 9) + 0.6 * (need == "abuse") + 0.03 * (rate - 60)
    joined = (rng.random(n) < 1 / (1 + np.exp(-push))).astype(int)
    return pd.DataFrame({"id": np.arange(n), "joined": joined, "age": age, "need": need, "rate": rate})


def authorities(n=40, seed=5):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"la": [f"E{k:02d}" for k in range(n)], "rate": rng.normal(60, 12, n)})
    data["trend"] = rng.normal(0, 2, n)
    data["region"] = rng.choice(["north", "south"], n)
    data["joined"] = (np.arange(n) < 6).astype(int)
    return data


# --- coarsened exact


def test_cem_weights_are_those_of_the_paper_cell_by_cell():
    data = children()
    found = we.coarsened_exact_matching(data, treatment="joined", on={"age": [1, 5, 10, 16], "need": "exact"})
    bins = np.digitize(data["age"], [1, 5, 10, 16])
    cell = [f"{code} {need}" for code, need in zip(bins, data["need"], strict=True)]
    table = pd.crosstab(pd.Series(cell), data["joined"])
    both = table[(table[0] > 0) & (table[1] > 0)]
    T, C = both[1].sum(), both[0].sum()
    expected = []
    for key, joined in zip(cell, data["joined"], strict=True):
        if key not in both.index:
            expected.append(0.0)
        else:
            expected.append(1.0 if joined else C / T * both.loc[key, 1] / both.loc[key, 0])
    assert np.allclose(found.weights, expected, rtol=1e-14)
    # the weighted controls have the treated's distribution over the cells
    assert found.weights[~found.treated].sum() == pytest.approx(C)


def test_cem_on_exact_columns_leaves_no_imbalance():
    data = children()
    found = we.coarsened_exact_matching(data, treatment="joined", on={"age": "exact", "need": "exact"})
    assert found.l1["before"] > 0.1
    assert found.l1["after"] == pytest.approx(0.0, abs=1e-12)
    assert abs(found.balance.largest()) < 1e-12
    assert found.balance.largest("before") > 0.1


def test_l1_counts_half_the_gaps_of_the_shares():
    data = pd.DataFrame({"t": [1, 1, 1, 1, 0, 0, 0, 0], "x": list("aaabaabb")})
    found = we.coarsened_exact_matching(data, treatment="t", on={"x": "exact"})
    assert found.l1["before"] == pytest.approx(0.5 * (abs(0.75 - 0.5) + abs(0.25 - 0.5)))


def test_a_value_at_a_cut_point_falls_above_and_categories_may_be_joined():
    data = pd.DataFrame({"t": [1, 0, 0], "x": [5.0, 5.0, 4.999], "need": ["a", "b", "a"]})
    found = we.coarsened_exact_matching(data, treatment="t", on={"x": [5], "need": {"a": "either", "b": "either"}})
    assert found.weights.tolist() == [1.0, 1.0, 0.0]
    equal = we.coarsened_exact_matching(data, treatment="t", on={"x": 1})
    assert equal.weights.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.property
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_matching_does_not_depend_on_the_order_of_the_rows(seed):
    data = authorities(16, seed=seed % 1000)
    shuffled = data.sample(frac=1.0, random_state=seed % (2**31))
    for match in (
        lambda d: we.mahalanobis_matching(d, treatment="joined", covariates=["rate", "trend"], unit="la"),
        lambda d: we.mahalanobis_matching(
            d, treatment="joined", covariates=["rate", "trend"], unit="la", method="greedy"
        ),
        lambda d: we.coarsened_exact_matching(d, treatment="joined", on={"rate": 2}, unit="la"),
    ):
        one, two = match(data), match(shuffled)
        weights = dict(zip(shuffled["la"], two.weights, strict=True))
        assert [weights[la] for la in data["la"]] == one.weights.tolist()


# --- nearest neighbours


def brute_total(X, treated, control):
    best = math.inf
    for chosen in itertools.permutations(control, len(treated)):
        total = sum(math.dist(X[a], X[b]) for a, b in zip(treated, chosen, strict=True))
        best = min(best, total)
    return best


def test_optimal_pairs_have_the_smallest_total_distance_of_all():
    data = authorities(11)
    data["joined"] = (np.arange(11) < 4).astype(int)
    found = we.mahalanobis_matching(data, treatment="joined", covariates=["rate", "trend"], unit="la")
    X = data[["rate", "trend"]].to_numpy()
    mine = data["joined"].to_numpy() == 1
    pooled = ((mine.sum() - 1) * np.cov(X[mine].T) + ((~mine).sum() - 1) * np.cov(X[~mine].T)) / (len(X) - 2)
    whitened = X @ np.linalg.inv(np.linalg.cholesky(pooled)).T
    total = sum(found.pairs.column("distance"))
    assert total == pytest.approx(brute_total(whitened, np.flatnonzero(mine), np.flatnonzero(~mine)), rel=1e-12)
    greedy = we.mahalanobis_matching(
        data, treatment="joined", covariates=["rate", "trend"], unit="la", method="greedy"
    )
    assert sum(greedy.pairs.column("distance")) >= total - 1e-12


def test_distance_equals_the_definition_and_replacement_takes_the_nearest():
    data = authorities()
    found = we.mahalanobis_matching(
        data, treatment="joined", covariates=["rate", "trend"], unit="la", replace=True, ratio=2
    )
    X, mine = data[["rate", "trend"]].to_numpy(), data["joined"].to_numpy() == 1
    pooled = ((mine.sum() - 1) * np.cov(X[mine].T) + ((~mine).sum() - 1) * np.cov(X[~mine].T)) / (len(X) - 2)
    inverse = np.linalg.inv(pooled)
    for la in data["la"][mine]:
        row = X[data["la"] == la][0]
        every = sorted(math.sqrt((row - x) @ inverse @ (row - x)) for x in X[~mine])
        mine_found = [r["distance"] for r in found.pairs if r["treated"] == la]
        assert mine_found == pytest.approx(every[:2], rel=1e-10)
    assert found.weights[~found.treated].sum() == pytest.approx((found.weights[~found.treated] > 0).sum())


def test_only_permitted_pairs_within_exact_columns_and_the_caliper():
    data = authorities()
    neighbours = {la: data["la"][data["joined"] == 0].tolist()[k : k + 9] for k, la in enumerate(data["la"][:6])}
    found = we.mahalanobis_matching(
        data, treatment="joined", covariates=["rate"], unit="la", allowed=neighbours, exact=["region"], caliper=1.0
    )
    region = dict(zip(data["la"], data["region"], strict=True))
    assert 0 < len(found.pairs) <= 6
    for row in found.pairs:
        assert row["control"] in neighbours[row["treated"]]
        assert region[row["control"]] == region[row["treated"]]
        assert row["distance"] <= 1.0
    table = pd.DataFrame(
        [(one, two) for one, others in neighbours.items() for two in others], columns=["la", "sn"]
    )
    again = we.mahalanobis_matching(
        data, treatment="joined", covariates=["rate"], unit="la", allowed=table, exact=["region"], caliper=1.0
    )
    assert again.weights.tolist() == found.weights.tolist()


def test_children_are_matched_within_statistical_neighbours_of_their_authority():
    data = children()
    data["la"] = np.where(data["joined"] == 1, "Derby", np.where(data["id"] % 2, "Leeds", "Hull"))
    found = we.propensity_matching(
        data, treatment="joined", covariates="age + rate", unit="id", allowed={"Derby": ["Hull"]}, allowed_on="la"
    )
    assert set(data["la"][(found.weights > 0) & ~found.treated]) == {"Hull"}


def test_as_many_pairs_as_can_be_come_before_distance():
    # a takes c alone, b may take c or d: the nearest for b is c, yet both are matched
    data = pd.DataFrame({"u": list("abcd"), "t": [1, 1, 0, 0], "x": [0.0, 1.0, 0.9, 5.0]})
    found = we.mahalanobis_matching(
        data, treatment="t", covariates=["x"], unit="u", allowed={"a": ["c"], "b": ["c", "d"]}
    )
    assert [(r["treated"], r["control"]) for r in found.pairs] == [("a", "c"), ("b", "d")]


def test_propensity_follows_the_logistic_regression_and_balances():
    data = children(900)
    found = we.propensity_matching(data, treatment="joined", covariates=["age", "need", "rate"], unit="id")
    fit = we.regression("joined ~ age + need + rate", data, family="binomial")
    logit = np.asarray(fit.fitted.solution.eta)
    place = dict(zip(data["id"], logit / logit.std(ddof=1), strict=True))
    for row in list(found.pairs)[:40]:
        assert row["distance"] == pytest.approx(abs(place[row["treated"]] - place[row["control"]]), abs=1e-9)
        assert row["distance"] <= 0.2
    assert found.balance.largest() < 0.1 < found.balance.largest("before")


def test_balance_after_is_of_the_weighted_controls_over_the_spread_before():
    data = children()
    found = we.coarsened_exact_matching(data, treatment="joined", on={"age": 3}, balance=["rate"])
    row = next(r for r in found.balance.to_dicts() if r["characteristic"] == "rate")
    one, zero = data["joined"] == 1, data["joined"] == 0
    spread = math.sqrt((data["rate"][one].var() + data["rate"][zero].var()) / 2)
    means = [np.average(data["rate"][g], weights=found.weights[g]) for g in (one, zero)]
    assert row["smd_after"] == pytest.approx((means[0] - means[1]) / spread, rel=1e-12)
    assert row["smd_before"] == pytest.approx((data["rate"][one].mean() - data["rate"][zero].mean()) / spread)
    assert row["variance_ratio_before"] == pytest.approx(data["rate"][one].var() / data["rate"][zero].var())


def test_what_is_shown_says_what_was_lost_and_draws_both_series():
    data = children()
    found = we.coarsened_exact_matching(data, treatment="joined", on={"rate": 40, "age": "exact"})
    text = str(found)
    assert "have no match and are left out" in text
    assert "L1 imbalance" in text
    axes = found.plot()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["before", "after"]
    assert "standardised difference" in axes.get_xlabel()


def test_weights_are_carried_to_the_panel():
    data = authorities()
    found = we.mahalanobis_matching(data, treatment="joined", covariates=["rate"], unit="la")
    panel = data[["la"]].merge(pd.DataFrame({"year": [1, 2, 3]}), how="cross")
    carried = found.attach(panel)
    assert carried["la"].nunique() == 12
    assert set(carried["matching_weight"]) == {1.0}
    with pytest.raises(DataError, match="was not among the units to match"):
        found.attach(pd.DataFrame({"la": ["Z"], "year": [1]}))


def test_weights_of_a_matching_reach_every_estimator():
    rng = np.random.default_rng(8)
    data = authorities(60)
    matched = we.coarsened_exact_matching(data, treatment="joined", on={"rate": 4}, unit="la")
    panel = data[["la", "joined"]].merge(pd.DataFrame({"year": np.arange(6)}), how="cross")
    panel["y"] = rng.normal(size=len(panel))
    panel["start"] = 3 * panel["joined"]
    used = we.Panel(
        matched.attach(panel), unit="la", period="year", outcome="y", cohort="start", weights="matching_weight"
    )
    assert len(np.unique(used.weights)) > 2
    mean = {
        t: [
            np.average(used.outcomes[used.adopted == g, t], weights=used.weights[used.adopted == g])
            for g in (3, 6)
        ]
        for t in range(6)
    }
    gap = {t: one - other for t, (one, other) in mean.items()}
    by_means = np.mean([gap[3], gap[4], gap[5]]) - np.mean([gap[0], gap[1], gap[2]])
    from_base = np.mean([gap[3], gap[4], gap[5]]) - gap[2]
    for name in ("two_way_fixed_effects", "imputation", "extended_twfe"):
        assert getattr(we.did, name)(used).overall.estimate == pytest.approx(by_means, rel=1e-9), name
    for name in ("callaway_santanna", "sun_abraham"):
        assert getattr(we.did, name)(used).overall.estimate == pytest.approx(from_base, rel=1e-9), name
    few = we.did.few_treated(used, ("permutation", "wild_bootstrap"), rng=1, draws=199)
    assert few.overall.estimate == pytest.approx(by_means, rel=1e-9)
    assert few["wild_bootstrap"].estimate == pytest.approx(by_means, rel=1e-9)


def test_a_caliper_and_sizes_of_children_are_met_greedily():
    data = children(5000, seed=9)
    found = we.propensity_matching(
        data,
        treatment="joined",
        covariates=["age", "rate"],
        unit="id",
        method="greedy",
        exact=["need"],
        caliper=0.05,
    )
    need = dict(zip(data["id"], data["need"], strict=True))
    rows = list(found.pairs)
    assert all(need[r["treated"]] == need[r["control"]] and r["distance"] <= 0.05 for r in rows)
    assert len({r["control"] for r in rows}) == len(rows)


# --- refusals


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda d: we.coarsened_exact_matching(d, treatment="joind", on={"age": 3}), DesignError, "did you mean"),
        (lambda d: we.coarsened_exact_matching(d, treatment="joined", on={}), DesignError, "nothing to match"),
        (lambda d: we.coarsened_exact_matching(d, treatment="joined", on={"need": 3}), DesignError, "no numbers"),
        (lambda d: we.coarsened_exact_matching(d, treatment="joined", on={"age": [3, 1]}), DesignError, "ascend"),
        (lambda d: we.coarsened_exact_matching(d, treatment="age", on={"need": "exact"}), DataError, "0 and 1"),
        (lambda d: we.coarsened_exact_matching(d, treatment="joined", on={"id": "exact"}), DataError, "no cell"),
        (
            lambda d: we.coarsened_exact_matching(
                d.assign(age=d["age"].where(d["id"] != 7)), treatment="joined", on={"age": 3}
            ),
            DataError,
            "row 9",
        ),
        (lambda d: we.mahalanobis_matching(d, treatment="joined", covariates=["need"]), DesignError, "exact="),
        (
            lambda d: we.mahalanobis_matching(
                d.assign(twice=2 * d["age"]), treatment="joined", covariates=["age", "twice"]
            ),
            DesignError,
            "repeat each other",
        ),
        (
            lambda d: we.mahalanobis_matching(d, treatment="joined", covariates=["age"], ratio=0),
            DesignError,
            "ratio == 0",
        ),
        (
            lambda d: we.mahalanobis_matching(d, treatment="joined", covariates=["age"], allowed={1: [2]}),
            DesignError,
            "allowed_on",
        ),
        (
            lambda d: we.propensity_matching(
                d.assign(age=d["joined"] * 10 + d["age"] / 100), treatment="joined", covariates=["age"]
            ),
            DesignError,
            "foretell",
        ),
    ],
)
def test_refusals_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call(children(200))
