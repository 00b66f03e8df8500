"""Minimisation: the biased coin, its law, and enrolment one unit at a time."""

from __future__ import annotations

import itertools
from fractions import Fraction

import brute_force as brute
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError, LedgerError
from wwc_eval.randomisation import write_receipt
from wwc_eval.randomisation.imbalance import IMBALANCES, Coin, imbalances
from wwc_eval.randomisation.standalone.verify import main
from wwc_eval.randomisation.stream import Stream


def families(n, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "family": [f"f{i:03d}" for i in rng.permutation(n)],
            "site": rng.choice(["N", "S"], n),
            "age": rng.choice(["0-4", "5-9", "10+"], n),
        }
    )


@pytest.mark.property
@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.integers(0, 99), st.integers(1, 15))
def test_the_coin_keeps_the_ratio(ratio, percent, code):
    """Probabilities add up to 1, and the ratio is stationary: if arms are preferred in it, they are drawn in it."""
    whole = sum(ratio)
    least = Fraction(min(ratio), whole)
    p_best = least + (1 - least) * Fraction(percent, 100)
    coin = Coin(p_best, ratio)
    preferred = [bool(code >> arm & 1) for arm in range(len(ratio))]
    if any(preferred):
        weights = coin.weights(preferred)
        assert sum(weights) == coin.denominator
        assert min(weights) >= 0
    alone = [[coin.weights([arm == best for arm in range(len(ratio))])[a] for a in range(len(ratio))]
             for best in range(len(ratio))]  # fmt: skip
    for arm in range(len(ratio)):
        drawn = sum(
            Fraction(part, whole) * Fraction(alone[best][arm], coin.denominator) for best, part in enumerate(ratio)
        )
        assert drawn == Fraction(ratio[arm], whole)
    smallest = ratio.index(min(ratio))
    assert Fraction(alone[smallest][smallest], coin.denominator) == p_best


def test_two_equal_arms_are_pocock_and_simons():
    coin = Coin(Fraction(4, 5), (1, 1))
    assert (coin.weights([True, False]), coin.weights([True, True]), coin.denominator) == ([8, 2], [5, 5], 10)
    three = Coin(Fraction(4, 5), (1, 1, 1))
    assert [Fraction(w, three.denominator) for w in three.weights([False, True, False])] == [
        Fraction(1, 10), Fraction(4, 5), Fraction(1, 10),
    ]  # fmt: skip


def test_imbalances_by_hand():
    """Counts (5, 3) and (2, 2) of a unit's two levels: to the first arm |6-3| + |3-2|, to the second |5-4| + |2-3|."""
    counts, ones = np.array([[5, 3], [2, 2]]), np.array([1, 1])
    assert imbalances(counts, ones, (1, 1), "range").tolist() == [4, 2]
    # k sum x^2 - (sum x)^2 is the squared difference of two
    assert imbalances(counts, ones, (1, 1), "variance").tolist() == [9 + 1, 1 + 1]
    assert imbalances(counts, ones, (1, 1), "sd").tolist() == [4 * 1024, 2 * 1024]
    # with 1 : 2 the counts of the second arm are halved (times 2: those of the first doubled)
    assert imbalances(np.array([[1, 1]]), np.array([3]), (1, 2), "range").tolist() == [3 * 3, 0]


@pytest.mark.parametrize("measure", IMBALANCES)
@pytest.mark.parametrize("arms", [("a", "b"), {"a": 1, "b": 2}, ("a", "b", "c")])
def test_the_law_is_that_of_the_draw(measure, arms):
    frame = families(6, seed=2)
    method = we.Minimisation(on=["site", "age"], imbalance=measure, p_best=0.85)
    allocation = we.randomise(frame, unit="family", arms=arms, method=method, seed="s")
    rows, chances = allocation.reference_set(), allocation.reference_probabilities
    k = allocation.arms.k
    assert len(rows) == allocation.n_permitted == k**6
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    steps = allocation.bound.forecast(rows)
    along = np.take_along_axis(steps, rows[:, :, None].astype(int), axis=2)[:, :, 0].prod(axis=1)
    assert np.allclose(along, chances, atol=1e-15)
    expected = np.stack([chances @ (rows == arm) for arm in range(k)], axis=1)
    assert np.allclose(allocation.probabilities, expected, atol=1e-12)
    place = {row.tobytes(): i for i, row in enumerate(rows)}
    sampled = np.bincount(
        [place[row.tobytes()] for row in allocation.reference_set(20_000, rng=1)], minlength=len(rows)
    )
    several = range(600) if measure == "range" else ()
    drawn = np.bincount(
        [place[allocation.bound.draw(Stream(str(i))).tobytes()] for i in several], minlength=len(rows)
    )
    for counts in (sampled, drawn) if measure == "range" else (sampled,):
        merged, shares = merge_rare(counts, chances)
        assert stats.chisquare(merged, shares * counts.sum()).pvalue > 0.002


@pytest.mark.reference
@pytest.mark.parametrize("measure", IMBALANCES)
@pytest.mark.parametrize(("arms", "n"), [({"a": 1, "b": 2}, 13), ({"a": 2, "b": 3, "c": 1}, 8)])
def test_chances_along_merged_histories_are_those_of_all_histories(measure, arms, n):
    before = {"site": {"N": [4, 1, 0], "S": [1, 3, 2]}, "age": {"0-4": [5, 4, 2]}}
    before = {name: {level: x[: len(arms)] for level, x in counts.items()} for name, counts in before.items()}
    if len(arms) == 2:
        before["age"]["0-4"] = [5, 4]
    method = we.Minimisation(on=["site", "age"], imbalance=measure, weights={"age": 1.5}, before=before)
    allocation = we.randomise(families(n, seed=3), unit="family", arms=arms, method=method, seed="s")
    reference = allocation.bound.enumerate()
    expected = np.stack([reference.weights @ (reference.allocations == arm) for arm in range(len(arms))], axis=1)
    np.testing.assert_allclose(allocation.probabilities, expected, atol=1e-12)
    assert allocation.bound.warnings == ()


def test_chances_of_long_lists_are_exact_or_said_to_be_sampled():
    arms = {"a": 1, "b": 2}
    short = we.randomise(
        families(40), unit="family", arms=arms, method=we.Minimisation(on=["site", "age"]), seed="s"
    )
    assert short.bound.warnings == ()
    drawn = short.reference_set(20_000, rng=2)
    np.testing.assert_allclose(
        short.probabilities[:, 1], (drawn == 1).mean(axis=0), atol=5 * (0.25 / 20_000) ** 0.5
    )
    many = families(60).assign(need=np.arange(60) % 7, team=np.arange(60) % 9)
    method = we.Minimisation(on=["site", "age", "need", "team"])
    long = we.randomise(many, unit="family", arms=arms, method=method, seed="s")
    assert "re-runs" in long.bound.warnings[0]
    assert abs(long.probabilities[:, 1].mean() - 2 / 3) < 0.03


def merge_rare(counts, chances, least=8):
    order = np.argsort(chances)
    groups = np.cumsum(chances[order] * counts.sum()) // least
    label = np.minimum(np.unique(groups, return_inverse=True)[1], groups.size)
    merged, shares = np.bincount(label, counts[order]), np.bincount(label, chances[order])
    return np.append(merged[:-2], merged[-2:].sum()), np.append(shares[:-2], shares[-2:].sum())


@pytest.mark.simulation
def test_margins_are_balanced_better_than_by_simple_randomisation():
    frame = families(60, seed=4)
    spread = {}
    for name, method in (("minimised", we.Minimisation(on=["site", "age"])), ("simple", we.Simple())):
        rows = we.randomise(frame, unit="family", method=method, seed="s").reference_set(400, rng=2)
        site = (frame.sort_values("family")["site"] == "N").to_numpy()
        spread[name] = np.abs((2.0 * rows[:, site] - 1).sum(axis=1)).mean()
    assert spread["minimised"] < 0.5 * spread["simple"]


def test_a_longer_list_keeps_the_earlier_arms():
    frame = families(40, seed=5)
    method = we.Minimisation(on=["site", "age"])
    whole = we.randomise(frame, unit="family", method=method, seed="s").table.set_index("family")["arm"]
    for n in (1, 13, 27):
        part = we.randomise(frame.iloc[:n], unit="family", method=method, seed="s").table.set_index("family")[
            "arm"
        ]
        assert part.equals(whole[part.index])


@pytest.mark.parametrize("arms", [("a", "b"), {"a": 2, "b": 1, "c": 1}])
def test_enrolment_one_by_one_gives_the_arms_of_the_list(arms, tmp_path):
    frame = families(25, seed=6)
    method = we.Minimisation(on=["site", "age"], imbalance="sd", weights={"site": 2})
    whole = we.randomise(frame, unit="family", arms=arms, method=method, seed="s")
    enrolment = we.Enrolment(method=method, unit="family", arms=arms)
    for row in frame.to_dict("records"):
        enrolment, _ = enrolment.enrol(row, seed="s")
        enrolment.save(tmp_path / "state.json")
        enrolment = we.Enrolment.load(tmp_path / "state.json")
    got = enrolment.table.set_index("family")["arm"]
    assert got.sort_index().astype(str).tolist() == whole.table["arm"].astype(str).tolist()
    again = we.randomise(enrolment.units, unit="family", arms=arms, method=method, seed="s")
    assert again.receipt == whole.receipt
    assert b'"s"' not in (tmp_path / "state.json").read_bytes()


def test_enrolment_refuses(tmp_path):
    enrolment = we.Enrolment(method=we.Minimisation(on="site"), unit="family", arms=("a", "b"))
    after, _ = enrolment.enrol({"family": "F1", "site": "N"}, seed="s")
    with pytest.raises(DesignError, match="enrolled already"):
        after.enrol({"family": "F1", "site": "S"}, seed="s")
    with pytest.raises(DataError, match="missing"):
        after.enrol({"family": "F2", "site": None}, seed="s")
    with pytest.raises(DesignError, match="no column 'site'"):
        after.enrol({"family": "F2"}, seed="s")
    with pytest.raises(DesignError, match="must be a Minimisation"):
        we.Enrolment(method=we.Simple(), unit="family", arms=("a", "b"))
    (tmp_path / "bad").write_text("{}")
    with pytest.raises(LedgerError, match="no saved enrolment"):
        we.Enrolment.load(tmp_path / "bad")


def test_order_of_arrival_is_rows_or_a_column_and_stands_in_the_receipt():
    frame = families(12, seed=7)
    by_rows = we.randomise(frame, unit="family", method=we.Minimisation(on="site"), seed="s")
    assert by_rows.receipt["scheme"]["sequence"] == frame["family"].tolist()
    dated = frame.assign(day=[f"2026-01-{d:02d}" for d in range(1, 13)])
    method = we.Minimisation(on="site", order="day")
    shuffled = we.randomise(dated.sample(frac=1, random_state=1), unit="family", method=method, seed="s")
    assert shuffled.codes.tolist() == by_rows.codes.tolist()
    assert we.verify_allocation(by_rows.receipt, frame.sample(frac=1, random_state=2), "s").ok


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on": "site", "p_best": 1}, "p_best == 1"),
        ({"on": "site", "p_best": 0.4}, "must be >= 0.5"),
        ({"on": "site", "imbalance": "rang"}, "did you mean 'range'"),
        ({"on": "family"}, "40 levels"),
        ({"on": "site", "sequence": ["f000"]}, "does not name every unit"),
    ],
)
def test_what_cannot_be(options, words):
    with pytest.raises(DesignError, match=words):
        we.randomise(families(40), unit="family", method=we.Minimisation(**options), seed="s")


def test_every_arm_keeps_a_chance_so_everything_is_permitted():
    bound = we.randomise(families(4), unit="family", method=we.Minimisation(on="site"), seed="s").bound
    rows = bound.enumerate()
    assert {tuple(row) for row in rows.allocations.tolist()} == set(itertools.product(range(2), repeat=4))
    assert rows.probabilities.min() > 0


ON = ("site", "age")


def arriving(frame):
    return list(zip(*(frame[name].tolist() for name in ON), strict=True))


def by_arrival(allocation, frame):
    """Probability of each row of the reference set, its arms in the order of rows of a frame."""
    place = {key: index for index, key in enumerate(allocation.table["family"])}
    columns = [place[key] for key in frame["family"]]
    rows, chances = allocation.reference_set(), allocation.reference_probabilities
    return dict(zip(map(tuple, rows[:, columns].tolist()), chances.tolist(), strict=True))


@pytest.mark.parametrize("arms", [("a", "b"), {"a": 1, "b": 2}])
def test_later_stages_go_on_from_the_numbers_reached(arms, tmp_path):
    """The law of a stage given those before it, and of all stages together, is that of brute force."""
    frame = families(10, seed=8)
    parts = [frame.iloc[:5], frame.iloc[5:8], frame.iloc[8:]]
    method = we.Minimisation(on=ON, p_best=0.9)
    found = we.randomise(parts[0], unit="family", arms=arms, method=method, seed="March")
    ratio, first = found.arms.ratio, found.table
    for part, seed in zip(parts[1:], ("June", "October"), strict=True):
        before = list(zip(arriving(frame.iloc[: found.n]), arms_of(found, frame.iloc[: found.n]), strict=True))
        grown = found.enrol(part, seed=seed)
        earlier = grown.table[grown.table["family"].isin(found.table["family"])].reset_index(drop=True)
        assert earlier["arm"].equals(found.table["arm"])
        stage = grown.stages[-1]
        law = brute.law_of_minimisation(arriving(part), ratio, 0.9, "range", (1, 1), before=before)
        assert by_arrival(stage, part) == pytest.approx({key: float(chance) for key, chance in law.items()})
        chances = np.array(
            [
                [float(sum(p for key, p in law.items() if key[i] == arm)) for arm in (0, 1)]
                for i in range(len(part))
            ]
        )
        place = {key: i for i, key in enumerate(part["family"])}
        np.testing.assert_allclose(stage.probabilities, chances[[place[key] for key in stage.table["family"]]])
        assert we.verify_allocation(stage.receipt, part, seed).ok
        found = grown
    assert found.table.set_index("family").loc[first["family"], "arm"].tolist() == first["arm"].tolist()
    assert found.table.set_index("family").loc[frame["family"], "stage"].tolist() == [1] * 5 + [2] * 3 + [3] * 2
    law = brute.law_of_minimisation(arriving(frame), ratio, 0.9, "range", (1, 1))
    assert by_arrival(found, frame) == pytest.approx({key: float(chance) for key, chance in law.items()})
    left = found.without([frame["family"].iloc[6]])
    assert (
        left.table.set_index("family")["stage"].to_dict()
        == found.table.set_index("family")["stage"].drop(frame["family"].iloc[6]).to_dict()
    )
    agree = {key[:6] + key[7:]: chance for key, chance in law.items() if key[6] == arms_of(found, frame)[6]}
    stayed = {key: float(chance / sum(agree.values())) for key, chance in agree.items()}
    assert by_arrival(left, frame.drop(index=frame.index[6])) == pytest.approx(stayed)


def arms_of(allocation, frame):
    code = dict(zip(allocation.table["family"], allocation.codes.tolist(), strict=True))
    return [code[key] for key in frame["family"]]


def test_a_later_stage_is_derived_again_by_the_script(tmp_path):
    frame = families(30, seed=9)
    method = we.Minimisation(on=ON, imbalance="sd", weights={"site": 2})
    found = we.randomise(frame.iloc[:18], unit="family", arms={"a": 2, "b": 1}, method=method, seed="March")
    stage = found.enrol(frame.iloc[18:], seed="June").stages[1]
    assert sum(map(sum, stage.receipt["scheme"]["before"]["site"].values())) == 18
    assert "before" not in found.receipt["scheme"]
    write_receipt(stage.receipt, tmp_path / "receipt.json")
    frame.iloc[18:].to_csv(tmp_path / "units.csv", index=False)
    arguments = [
        str(tmp_path / "receipt.json"),
        str(tmp_path / "units.csv"),
        "--seed",
        "June",
        "--out",
        str(tmp_path / "out.csv"),
    ]
    assert main(arguments) == 0
    again = pd.read_csv(tmp_path / "out.csv", dtype=str)
    assert again["arm"].tolist() == stage.table["arm"].astype(str).tolist()


def test_going_on_balances_what_starting_anew_does_not():
    """All of the first stage in one arm: the stage that goes on makes up for it, one that starts anew does not."""
    frame = families(24, seed=10).assign(site="N", age="0-4")
    method = we.Minimisation(on=ON, p_best=0.95)
    seeds = (f"s{i}" for i in itertools.count())
    first = next(
        found for seed in seeds
        if abs((found := we.randomise(frame.iloc[:12], unit="family", method=method, seed=seed)).codes.mean() - 0.5) > 0.08
    )  # fmt: skip
    behind = int(first.codes.mean() < 0.5)
    on = first.enrol(frame.iloc[12:], seed="later").stages[1]
    anew = first.enrol(frame.iloc[12:], seed="later", method=method).stages[1]
    share = [stage.reference_set(4_000, rng=1)[:, :].mean() for stage in (on, anew)]
    assert abs(share[1] - 0.5) < 0.02
    assert (share[0] - 0.5) * (1 if behind else -1) > 0.03
    assert np.allclose(anew.probabilities, 0.5)
    assert not np.allclose(on.probabilities, 0.5)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ({"site": {"N": [1, 0]}}, "numbers for each factor"),
        ({"site": {"N": [1, 0]}, "age": {"0-4": [0, 1]}}, "factors of different units"),
        ({"site": {"N": [1, -1]}, "age": {"0-4": [1, -1]}}, "before has -1 units"),
        ({"site": {"N": [1, 0, 0]}, "age": {"0-4": [1, 0, 0]}}, "other numbers of arms than 2"),
    ],
)
def test_numbers_of_earlier_units_that_cannot_be(before, words):
    frame = families(6, seed=1).assign(site="N", age="0-4")
    with pytest.raises(DesignError, match=words):
        we.randomise(frame, unit="family", method=we.Minimisation(on=ON, before=before), seed="s")


def test_predictability_is_that_of_the_coins_along_the_allocation_made():
    frame = families(7, seed=11)
    found = we.randomise(frame, unit="family", method=we.Minimisation(on=ON, p_best=0.9), seed="s")
    law = brute.law_of_minimisation(arriving(frame), (1, 1), 0.9, "range", (1, 1))
    got, known = tuple(arms_of(found, frame)), []
    for i in range(7):
        chances = [sum(p for key, p in law.items() if key[:i] == got[:i] and key[i] == arm) for arm in (0, 1)]
        known.append(float(max(chances) / sum(chances)))
    seen = found.predictability()
    assert seen.guessed == pytest.approx(np.mean(known))
    assert (seen.certain, seen.blind) == (0, 0.5)
