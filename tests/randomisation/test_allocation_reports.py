"""What an allocation says of itself: counts, p-values, balance, pairs, predictability; and what happens after it."""

import json
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from allocation_cases import REFERENCE, bound_of

import wwc_eval as we
from wwc_eval.data.balance import smd_categories, smd_means, smd_proportions
from wwc_eval.randomisation.rendering import count_in_words
from wwc_eval.randomisation.scheme import BoundScheme
from wwc_eval.randomisation.smallest import smallest_by_enumeration

COUNTS = json.loads((REFERENCE / "allocation_counts.json").read_text(encoding="utf-8"))
SEED = "a seed"


def randomised(sizes, method, arms=("control", "programme"), **more):
    n = sum(sizes)
    frame = pd.DataFrame(
        {"team": [f"T{i:02d}" for i in range(n)], "la": np.repeat(list("abcdefgh")[: len(sizes)], sizes)}
    )
    rng = np.random.default_rng(5)
    frame["caseload"] = rng.normal(17, 3, n)
    frame["grade"] = rng.choice(["good", "fair", "poor"], n)
    frame["urban"] = rng.random(n) < 0.5
    frame["children"] = rng.integers(10, 200, n)
    return we.randomise(frame, unit="team", method=method, arms=arms, seed=SEED, **more)


CASES = {
    "rand-003": ((7,), we.Complete(), ("c", "p")),
    "rand-004": ((10,), we.Complete(), {"c": 13, "p": 7}),
    "rand-008": ((8,), we.Complete(), ("c", "p")),
    "rand-009": ((4, 4, 4), we.Stratified(by="la"), ("c", "p")),
}


@pytest.mark.reference
@pytest.mark.parametrize("name", CASES)
def test_counts_and_probabilities_are_those_of_randomizr(name):
    known = next(case for case in COUNTS["cases"] if case["id"] == name)
    found = randomised(*CASES[name])
    assert found.n_permitted == known["num_permutations"]
    distinct = np.unique(np.round(found.probabilities, 10), axis=0).tolist()
    assert distinct == sorted(known["unique_probability_rows"])


@pytest.mark.reference
def test_blocks_with_a_number_each_are_those_of_randomizr():
    """rand-006: 2 of 5, 3 of 6 and 4 of 9, each a complete randomisation of its own."""
    known = next(case for case in COUNTS["cases"] if case["id"] == "rand-006")
    parts = [((5,), {"c": 3, "p": 2}), ((6,), ("c", "p")), ((9,), {"c": 5, "p": 4})]
    found = [randomised(sizes, we.Complete(), arms) for sizes, arms in parts]
    assert math.prod(each.n_permitted for each in found) == known["num_permutations"]
    rows = [each.probabilities[0].round(10).tolist() for each in found]
    assert rows == known["unique_probability_rows"]


def test_three_of_six():
    found = randomised((6,), we.Complete())
    assert found.n_permitted == 20
    assert found.smallest_p_value == pytest.approx(2 / 20, rel=1e-12)
    assert found.warnings
    assert "smallest two-sided p-value is 0.100" in found.warnings[0]
    assert not randomised((6,), we.Complete(), alpha=0.1).warnings
    assert not randomised((8,), we.Complete()).warnings


def test_a_stepped_wedge_of_two_and_three_authorities():
    frame = pd.DataFrame({"la": ["Derby", "Leeds", "Hull", "Kent", "Bury"], "ready": [1, 1, 2, 2, 2]})
    method = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="ready")
    found = we.randomise(frame, unit="la", method=method, seed=SEED)
    assert found.n_permitted == 12 == len(found.reference_set())
    assert found.reference_probabilities is None
    assert found.smallest_p_value == pytest.approx(1 / 12, rel=1e-12)
    table = found.table
    assert list(table.columns) == ["la", "stratum", "sequence", "crossover", "probability"]
    assert table["sequence"].cat.ordered
    assert table["sequence"].cat.categories.tolist() == [1, 2, 3, 4, 5]
    assert (table["crossover"] == table["sequence"].astype(int) + 1).all()
    early = table.set_index("la")["crossover"]
    assert sorted(early[["Derby", "Leeds"]]) == [2, 3]
    assert table.set_index("la")["probability"].to_dict() == pytest.approx(
        {"Derby": 1 / 2, "Leeds": 1 / 2, "Hull": 1 / 3, "Kent": 1 / 3, "Bury": 1 / 3}
    )
    assert "can reach p < 0.05" in str(found)


def test_two_sequences_mirror_one_another():
    frame = pd.DataFrame({"la": list("abcd")})
    two = we.SteppedWedgeSequences(sequences=[2, 3], capacity=2)
    assert we.randomise(frame, unit="la", method=two, seed=SEED).smallest_p_value == pytest.approx(2 / 6)
    four = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5])
    assert we.randomise(frame, unit="la", method=four, seed=SEED).smallest_p_value == pytest.approx(1 / 24)


@pytest.mark.parametrize(
    ("sizes", "method", "arms", "attained"),
    [
        ((7,), we.Complete(), {"c": 1, "p": 2}, True),
        ((6,), we.Complete(), {"c": 1, "p": 2}, True),
        ((4, 4), we.Stratified(by="la"), ("c", "p"), True),
        ((4, 6), we.Stratified(by="la"), {"c": 1, "p": 1}, True),
        ((6,), we.Complete(), ("a", "b", "c"), True),
        ((8,), we.Complete(), ("a", "b", "c", "d"), True),
        ((6,), we.PermutedBlocks(sizes=2), ("c", "p"), True),
        ((6,), we.Simple(), {"c": 1, "p": 2}, False),
        ((6,), we.PermutedBlocks(sizes=(2, 4)), ("c", "p"), True),
        ((3, 3, 4), we.Saturation(within="la", shares=(0, 0.5)), ("c", "p"), False),
    ],
    ids=str,
)
def test_smallest_p_value_is_that_of_the_best_outcomes(sizes, method, arms, attained):
    """The outcome that is -1 in one arm of an allocation, 1 in another and 0 elsewhere sets that allocation apart.

    Where numbers in the arms vary, a difference in means ties with that of smaller arms, so it may not get there.
    """
    found = randomised(sizes, method, arms)
    reference = found.bound.enumerate()
    best = 1.0
    for a in range(found.arms.k):
        for b in range(a + 1, found.arms.k):
            first, second = (reference.allocations == a).astype(float), (reference.allocations == b).astype(float)
            both = first.any(axis=1) & second.any(axis=1)
            means = [here / np.maximum(here.sum(axis=1, keepdims=True), 1) for here in (first, second)]
            outcomes = (second - first)[both]
            size = np.abs((means[1] - means[0]) @ outcomes.T) * both[:, None]
            own = size[np.flatnonzero(both), np.arange(both.sum())]
            p_values = reference.weights @ (size >= own - 1e-9)
            best = min(best, float(p_values.min()))
    assert found.smallest_p_value <= best + 1e-12
    if attained:
        assert found.smallest_p_value == pytest.approx(best, rel=1e-9)
    listed = smallest_by_enumeration(reference.allocations, reference.weights, found.arms.k)
    assert found.smallest_p_value == pytest.approx(listed, rel=1e-12)


def test_smallest_p_value_of_a_large_design():
    found = randomised((40,), we.Complete())
    assert found.smallest_p_value == pytest.approx(2 / math.comb(40, 20), rel=1e-12)
    assert found.n_permitted == math.comb(40, 20)


def test_reference_set_and_its_probabilities():
    found = randomised((8,), we.PermutedBlocks(sizes=(2, 4)))
    listed = found.reference_set()
    assert listed.shape == (found.n_permitted, 8)
    assert found.reference_probabilities.sum() == pytest.approx(1, rel=1e-12)
    drawn = found.reference_set(draws=500, rng=1)
    assert drawn.shape == (500, 8)
    assert (drawn == found.reference_set(draws=500, rng=np.random.default_rng(1))).all()
    with pytest.raises(we.DesignError, match="needs rng"):
        found.reference_set(draws=10)
    with pytest.raises(we.DesignError, match="draws == 0"):
        found.reference_set(draws=0, rng=1)
    with pytest.raises(we.DesignError, match="too many to list"):
        randomised((60,), we.Complete()).reference_set()


def test_table_keeps_the_name_and_the_values_of_the_unit():
    frame = pd.DataFrame({"Team no.": [30, 4, 100], "x": 1})
    table = we.randomise(frame, unit="Team no.", method=we.Simple(), seed=SEED, arms=("b", "a")).table
    assert table.columns.tolist() == ["Team no.", "arm", "probability"]
    assert table["Team no."].tolist() == [100, 30, 4]  # by name: "100" < "30" < "4"
    assert table["arm"].cat.categories.tolist() == ["b", "a"]
    assert table["arm"].cat.ordered


def test_balance_of_numbers_shares_and_categories():
    found = randomised((8, 8), we.Stratified(by="la"), ("usual", "programme"))
    frame, treated = found.units.frame, found.codes == 1
    rows = {
        (row["characteristic"], row["level"]): row
        for row in found.balance(["caseload", "urban", "grade"]).to_dicts()
    }
    x = frame["caseload"].to_numpy()
    moments = [(x[here].mean(), x[here].std(ddof=1)) for here in (~treated, treated)]
    number = rows["caseload", ""]
    assert number["mean_usual"] == pytest.approx(moments[0][0])
    assert number["smd"] == pytest.approx(
        smd_means((moments[0][0], moments[1][0]), (moments[0][1], moments[1][1]))
    )
    assert number["variance_ratio"] == pytest.approx((moments[1][1] / moments[0][1]) ** 2)
    shares = [float(frame["urban"].to_numpy()[here].mean()) for here in (~treated, treated)]
    assert rows["urban", ""]["smd"] == pytest.approx(smd_proportions(*shares))
    grades = frame["grade"].to_numpy()
    each = [
        [float((grades[here] == level).mean()) for level in ("fair", "good", "poor")]
        for here in (~treated, treated)
    ]
    assert rows["grade", "poor"]["smd"] == pytest.approx(smd_proportions(each[0][2], each[1][2]))
    assert rows["grade", ""]["smd"] == pytest.approx(smd_categories(*each))


def test_balance_with_sizes_gaps_and_other_columns():
    found = randomised((8, 8), we.Stratified(by="la"))
    frame, treated = found.units.frame, found.codes == 1
    row = found.balance("caseload", size="children").to_dicts()[0]
    weights, x = frame["children"].to_numpy(), frame["caseload"].to_numpy()
    assert row["mean_programme"] == pytest.approx(np.average(x[treated], weights=weights[treated]))
    other = frame[["team"]].assign(late=[np.nan, *range(15)]).iloc[::-1]
    late = found.balance("late", data=other)
    assert late.missing == {"late": 1}
    assert "late: 1" in str(late)
    with pytest.raises(we.DataError, match="no row for 1 of 16"):
        found.balance("late", data=other.iloc[1:])
    with pytest.raises(we.DesignError, match="did you mean 'caseload'"):
        found.balance("case_load")
    with pytest.raises(we.DataError, match="size that is not above 0"):
        found.balance("late", data=other.assign(n=0), size="n")


def test_balance_of_three_arms_names_the_pair():
    found = randomised((9, 9), we.Stratified(by="la"), ("a", "b", "c"))
    row = found.balance("caseload").to_dicts()[0]
    means = {arm: row[f"mean_{arm}"] for arm in "abc"}
    first, second = min(means, key=means.get), max(means, key=means.get)
    assert row["between"] in {f"{first} - {second}", f"{second} - {first}"}


def test_love_plot_is_axes_with_words():
    found = randomised((8, 8), we.Stratified(by="la"))
    balance = found.balance(["caseload", "grade"])
    ax = balance.plot()
    assert ax.get_xlabel() == "standardised difference (programme minus control)"
    assert ax.get_yticklabels()[0].get_text() == "caseload"
    dots = ax.lines[1]
    assert dots.get_xdata().tolist() == [row["smd"] for row in balance.to_dicts()]
    assert balance.plot(ax=ax) is ax


def test_pairs_of_a_stratified_design():
    found = randomised((2, 2, 4), we.Stratified(by="la"))
    pairs = found.same_arm
    assert pairs.exact
    assert pairs.standard_error == 0
    assert pairs.never == [("T00", "T01"), ("T02", "T03")]
    assert pairs.always == []
    frame = pairs.to_frame()
    assert frame.loc["T04", "T05"] == pytest.approx(2 * 2 * 1 / (4 * 3))
    assert frame.loc["T00", "T05"] == pytest.approx(1 / 2)
    assert "never together: 2" in str(pairs)


def test_pairs_that_cannot_be_exact_are_sampled_with_their_error():
    found = randomised((20,), we.Minimisation(on=["grade"]))
    with pytest.raises(we.DesignError, match="sampled_same_arm"):
        _ = found.same_arm
    sampled = found.sampled_same_arm(draws=2_000, rng=1)
    assert not sampled.exact
    assert 0 < sampled.standard_error <= math.sqrt(0.25 / 2_000)
    assert "Monte Carlo" in str(sampled)
    with pytest.raises(we.DesignError, match="too many pairs"):
        _ = randomised((4_000,), we.Simple()).same_arm


def test_predictability_of_blocks_of_two_and_of_nothing():
    found = randomised((8,), we.PermutedBlocks(sizes=2))
    seen = found.predictability()
    assert (seen.certain, seen.guessed, seen.blind) == (0.5, 0.75, 0.5)
    with pytest.raises(we.DesignError, match="all units at once"):
        randomised((8,), we.Complete()).predictability()


def test_forecasts_are_conditional_probabilities():
    each = bound_of(we.PermutedBlocks(sizes=(2, 4), by="stratum", order="arrival"), (5, 3))
    reference = each.enumerate()
    forecast = each.forecast(reference.allocations)
    position = {key: row for row, key in enumerate(map(tuple, reference.allocations.tolist()))}
    sequence = each.members[0]
    for key, row in position.items():
        for step in range(len(sequence)):
            past, now = sequence[:step], sequence[step]
            agree = (reference.allocations[:, past] == np.array(key)[past]).all(axis=1)
            weights = reference.weights[agree]
            chance = weights[reference.allocations[agree, now] == 1].sum() / weights.sum()
            assert forecast[row, now, 1] == pytest.approx(chance, abs=1e-12)


def test_expected_predictability_is_the_mean_over_allocations():
    found = randomised((6,), we.PermutedBlocks(sizes=(2, 4)))
    reference = found.bound.enumerate()
    exact = float(reference.weights @ found.bound.forecast(reference.allocations).max(axis=2).mean(axis=1))
    seen = found.predictability(draws=3_000, rng=1)
    assert seen.guessed == pytest.approx(exact, abs=4 * seen.standard_error)
    assert seen.guessed < 0.75  # harder to foresee than blocks of two
    with pytest.raises(we.DesignError, match="needs rng"):
        found.predictability(draws=10)


def test_later_stages_leave_earlier_ones_alone():
    first = randomised((4, 4), we.Stratified(by="la"))
    new = pd.DataFrame({"team": ["A1", "A2", "T99", "Z"], "la": list("aabb")})
    both = first.enrol(new, seed="another seed")
    again = both.table.set_index("team").loc[first.table["team"], "arm"].astype(str).tolist()
    assert again == first.table["arm"].astype(str).tolist()
    assert both.n == 12
    assert both.n_permitted == first.n_permitted * 4
    assert (
        both.table.set_index("team")["stage"].to_dict() | {"A1": 2}
        == both.table.set_index("team")["stage"].to_dict()
    )
    third = both.enrol(pd.DataFrame({"team": ["x", "y"]}), seed="a third", method=we.Complete())
    assert [stage.n for stage in third.stages] == [8, 4, 2]
    assert we.verify_allocation(third.stages[1].receipt, new, "another seed").ok
    with pytest.raises(we.DesignError, match="a receipt is of one draw"):
        _ = third.receipt
    rows = both.reference_set()
    assert len(np.unique(rows, axis=0)) == both.n_permitted
    np.testing.assert_allclose(both.same_arm.pairs.same, BoundScheme.pairs(both.bound).same, atol=1e-12)


def test_a_stage_needs_a_seed_of_its_own_and_units_of_its_own():
    first = randomised((4, 4), we.Stratified(by="la"))
    new = pd.DataFrame({"team": ["A1", "A2"], "la": ["a", "a"]})
    with pytest.raises(we.DesignError, match="seed is that of an earlier stage"):
        first.enrol(new, seed=SEED)
    with pytest.raises(we.DataError, match="allocated before, such as 'T01'"):
        first.enrol(new.assign(team=["T01", "A2"]), seed="other")


@pytest.mark.parametrize(
    ("method", "arms"),
    [
        (we.Simple(), {"c": 1, "p": 2}),
        (we.Complete(), ("c", "p")),
        (we.Stratified(by="la"), ("c", "p")),
        (we.PermutedBlocks(sizes=(2, 4), by="la"), ("c", "p")),
        (we.Saturation(within="la", shares=(0, 0.5)), ("c", "p")),
        (we.Minimisation(on=["grade"]), ("c", "p")),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_withdrawals_restrict_the_reference_set(method, arms):
    """To the allocations that agree on those who withdrew; in block schemes of fixed numbers to all of them."""
    found = randomised((4, 4), method, arms)
    gone = [1, 6]
    kept = np.setdiff1d(np.arange(8), gone)
    left = found.without(["T01", "T06"])
    reference = found.bound.enumerate()
    agree = (reference.allocations[:, gone] == found.codes[gone]).all(axis=1)
    if method.kind == "complete":
        agree &= (reference.allocations == 1).sum(axis=1) == (found.codes == 1).sum()
    listed = dict(zip(map(tuple, left.reference_set().tolist()), left.bound.enumerate().weights, strict=True))
    expected = {}
    for row, weight in zip(reference.allocations[agree][:, kept].tolist(), reference.weights[agree], strict=True):
        expected[tuple(row)] = expected.get(tuple(row), 0) + weight / reference.weights[agree].sum()
    assert listed == pytest.approx(expected)
    assert left.n_permitted == len(expected)
    assert (left.codes == found.codes[kept]).all()
    stacked = [left.bound.enumerate().weights @ (left.reference_set() == arm) for arm in range(2)]
    np.testing.assert_allclose(left.probabilities, np.stack(stacked, axis=1), atol=1e-12)
    drawn = left.reference_set(draws=4_000, rng=1)
    assert set(map(tuple, drawn.tolist())) <= set(expected)
    assert np.abs((drawn == 1).mean(axis=0) - left.probabilities[:, 1]).max() < 4.5 * math.sqrt(0.25 / 4_000)
    assert "T01, T06" in str(left)


def test_withdrawals_of_a_wedge_and_of_stages():
    frame = pd.DataFrame({"la": list("abcdefghijkl")})
    wedge = we.SteppedWedgeSequences(sequences=list(range(2, 14)))
    found = we.randomise(frame, unit="la", method=wedge, seed=SEED)
    left = found.without(["c"])
    assert left.n_permitted == math.factorial(11)
    assert left.table["crossover"].tolist() == found.table.loc[found.table["la"] != "c", "crossover"].tolist()
    staged = randomised((4, 4), we.Stratified(by="la")).enrol(
        pd.DataFrame({"team": ["x", "y"], "la": ["a", "a"]}), seed="2"
    )
    smaller = staged.without(["T00", "x", "y"])
    assert smaller.n_permitted == 3 * 6
    assert set(smaller.table["stage"]) == {1}


def test_withdrawals_from_a_design_too_large_to_go_through():
    found = randomised((12, 12), we.PermutedBlocks(sizes=(2, 4), by="la"))
    left = found.without(["T01", "T15"])
    drawn = left.reference_set(draws=2_000, rng=1)
    assert drawn.shape == (2_000, 22)
    assert left.table["probability"].isna().all()
    assert "too many to count" in str(left)
    assert left.warnings == ()
    whole = found.reference_set(draws=60_000, rng=2)
    whole = whole[(whole[:, [1, 15]] == found.codes[[1, 15]]).all(axis=1)]
    kept = np.setdiff1d(np.arange(24), [1, 15])
    assert np.abs(whole[:, kept].mean(axis=0) - drawn.mean(axis=0)).max() < 4.5 * math.sqrt(
        0.25 / 2_000 + 0.25 / len(whole)
    )
    with pytest.raises(we.DesignError, match="too many to count"):
        _ = left.probabilities


def test_withdrawals_that_cannot_be():
    found = randomised((4, 4), we.Complete())
    for names, words in (
        (["T9"], "was not allocated"),
        (["T01", "T01"], "named twice"),
        ([], "must list"),
        ("T01", "must list"),
    ):
        with pytest.raises(we.DesignError, match=words):
            found.without(names)
    with pytest.raises(we.DesignError, match="no unit is left"):
        found.without([f"T0{i}" for i in range(8)])
    with pytest.raises(we.DesignError, match="withdraw after the draw"):
        randomised((4, 4), we.PermutedBlocks()).without(["T01"]).bound.draw(None)


def test_counts_of_any_size_are_shown_and_exact():
    found = randomised((3_000,), we.Complete())
    assert found.n_permitted == math.comb(3_000, 1_500)
    exact = math.comb(3_000, 1_500)
    assert f"about {exact / 10**901:.1f} x 10^901" in str(found)
    assert count_in_words(10**15) == "about 1.0 x 10^15"
    assert count_in_words(999) == "999"


def test_an_allocation_shows_itself():
    found = randomised((40, 40), we.Stratified(by="la"))
    text = str(found)
    assert text.startswith("Allocation of 80 units (stratified; control : programme = 1 : 1)")
    assert "..." in text
    assert "Arms: control: 40, programme: 40." in text
    assert "<table>" in found.to_html()
    assert found.to_frame().equals(found.table)
    assert found.to_dicts()[0]["team"] == "T00"
    assert SEED not in text


def test_cluster_sizes_of_saturation():
    found = randomised((4, 4, 6, 6), we.Saturation(within="la", shares=(0, 0.5)))
    table = found.table
    shares = table.assign(p=(table["arm"] == "programme")).groupby("stratum")["p"].mean()
    assert sorted(shares) == [0, 0, 0.5, 0.5]
    assert (table.groupby("stratum")["saturation"].first() == shares).all()
    assert (table["saturation"] == table["stratum"].map(shares)).all()
    assert set(found.probabilities[:, 1]) == {0.25}


def test_exact_shares_of_an_uneven_ratio():
    """2 : 3 : 5 in strata of 4 and 7: every share is the ratio's, to the last digit."""
    found = randomised((4, 7), we.Stratified(by="la"), {"a": 2, "b": 3, "c": 5})
    law = {key: Fraction(0) for key in range(3)}
    for rows, chance in found.bound.law.tables():
        for arm in range(3):
            law[arm] += chance * Fraction(rows[0][arm], 4)
    assert [law[arm] for arm in range(3)] == [Fraction(1, 5), Fraction(3, 10), Fraction(1, 2)]
