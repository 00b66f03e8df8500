"""Baseline table, standardised differences and missing values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwc_eval.data.balance import smd_categories, smd_means, smd_proportions
from wwc_eval.data.baseline import baseline_table
from wwc_eval.data.counts import protect
from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.data.missingness import missingness_table
from wwc_eval.data.samples import family_conferencing_trial
from wwc_eval.errors import DataError

ARMS = ("usual", "conference")
OPEN = DisclosureRule(threshold=0)
RULE = DisclosureRule()


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    whole = family_conferencing_trial(11)
    return whole[(whole["age"] < 18) & (whole["consent_withdrawn"] == 0)].reset_index(drop=True)


def small_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arm": ["a"] * 100 + ["b"] * 100,
            "score": [*np.tile([10.0, 14.0], 50), *np.tile([11.0, 15.0], 50)],
            "sex": [*(["f"] * 60 + ["m"] * 40), *(["f"] * 50 + ["m"] * 50)],
            "plan": [1] * 30 + [0] * 70 + [1] * 20 + [0] * 80,
        }
    )


def test_numbers_of_a_known_table():
    baseline = baseline_table(small_frame(), arm="arm", arms=("a", "b"), variables=["score", "sex", "plan"])
    sd = 2 * math.sqrt(100 / 99)
    rows = {(row["variable"], row["level"], row["arm"]): row for row in baseline.to_dicts(OPEN)}
    assert rows["score", "", "a"]["mean"] == 12
    assert rows["score", "", "a"]["sd"] == pytest.approx(sd)
    assert rows["sex", "f", "b"] == {
        "variable": "sex",
        "kind": "category",
        "smd": pytest.approx(0.1 / math.sqrt((0.24 + 0.25) / 2)),
        "smd_between": ["a", "b"],
        "level": "f",
        "arm": "b",
        "n": 100,
        "count": 50,
        "proportion": 0.5,
        "missing": 0,
    }
    assert rows["plan", "1", "a"]["count"] == 30
    assert baseline.smd("score") == (pytest.approx(1 / sd), ("a", "b"))
    assert baseline.smd("plan")[0] == pytest.approx(-0.1 / math.sqrt((0.21 + 0.16) / 2))


def test_the_table_reads_well_and_has_no_p_values():
    baseline = baseline_table(
        small_frame(),
        arm="arm",
        arms=("a", "b"),
        variables=["score", "sex", "plan"],
        labels={"plan": "earlier plan"},
        units={"score": "points"},
        row_words="children",
    )
    text = str(baseline.table(OPEN))
    assert "number of children" in text
    assert "score (points)" in text
    assert "12.0 (2.0)" in text
    assert "30 (30.0%)" in text
    assert "p-value" not in text
    columns = [column.name for column in baseline.table(OPEN).columns]
    assert columns == ["characteristic", "level", "a", "b", "smd"]


def test_levels_stand_in_declared_order_with_those_nobody_has(trial):
    baseline = baseline_table(trial, arm="arm", arms=ARMS, variables=["ethnicity"])
    assert baseline.variables[0].levels == ("white", "mixed", "asian", "black", "other")
    narrow = trial[trial["ethnicity"].isin(["white", "asian"])]
    assert baseline_table(narrow, arm="arm", arms=ARMS, variables=["ethnicity"]).variables[0].levels == (
        "white",
        "mixed",
        "asian",
        "black",
        "other",
    )


def test_three_arms_name_the_pair_that_differs_most():
    frame = pd.DataFrame({"arm": np.repeat(["a", "b", "c"], 50), "x": np.tile(np.arange(50.0), 3)})
    frame.loc[frame["arm"] == "b", "x"] += 20
    baseline = baseline_table(frame, arm="arm", arms=("a", "b", "c"), variables=["x"])
    value, pair = baseline.smd("x")
    assert pair == ("a", "b")
    assert value > 1
    table = baseline.table(OPEN)
    assert table.column("between") == ["", "b against a"]


def test_other_frames_give_the_same_table(trial):
    plain = trial[["arm", "age", "sex", "previous_plan"]].astype({"arm": str, "sex": object})
    variables = ["age", "sex", "previous_plan"]
    one = baseline_table(plain, arm="arm", arms=ARMS, variables=variables)
    other = baseline_table(pl.from_pandas(plain), arm="arm", arms=ARMS, variables=variables)
    assert one.to_dicts(OPEN) == other.to_dicts(OPEN)


def test_order_of_rows_does_not_matter(trial):
    mixed = trial.sample(frac=1, random_state=1)
    variables = ["age", "sex", "ethnicity", "family_needs"]
    one = baseline_table(trial, arm="arm", arms=ARMS, variables=variables).table(RULE)
    assert one.to_html() == baseline_table(mixed, arm="arm", arms=ARMS, variables=variables).table(RULE).to_html()


def test_kinds_may_be_declared():
    frame = pd.DataFrame({"arm": ["a", "b"] * 30, "grade": [1, 2, 3] * 20, "yes": [True, False] * 30})
    baseline = baseline_table(
        frame, arm="arm", arms=("a", "b"), variables=["grade", "yes"], kinds={"grade": "category"}
    )
    assert [variable.kind for variable in baseline.variables] == ["category", "binary"]
    assert baseline.variables[0].levels == ("1", "2", "3")
    assert baseline.variables[0].arms["a"].levels == {"1": 10, "2": 10, "3": 10}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": ["x"], "kinds": {"x": "binary"}}, "declared binary"),
        ({"variables": ["s"], "kinds": {"s": "numeric"}}, "declared numeric"),
        ({"variables": ["x"], "kinds": {"x": "number"}}, "must be one of"),
        ({"variables": ["d"]}, "holds dates"),
        ({"variables": ["x", "x"]}, "listed twice"),
        ({"variables": ["xx"]}, "no column 'xx'"),
        ({"variables": ["x"], "arms": ()}, "one or more"),
        ({"variables": ["x"], "arms": ("a", "z")}, "declared levels"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    frame = pd.DataFrame(
        {"arm": ["a", "b"], "x": [1, 5], "s": ["u", "v"], "d": pd.to_datetime(["2024-01-01", "2024-01-02"])}
    )
    with pytest.raises(DataError, match=message):
        baseline_table(frame, **{"arm": "arm", "arms": ("a", "b"), **options})


def test_a_variable_that_is_always_missing_is_shown_as_that():
    frame = pd.DataFrame({"arm": ["a", "b"] * 50, "x": [np.nan] * 100})
    baseline = baseline_table(frame, arm="arm", arms=("a", "b"), variables=["x"])
    assert math.isnan(baseline.smd("x")[0])
    assert "—" in str(baseline.table(OPEN))


def test_standardised_differences_by_hand():
    assert smd_means((10, 12), (3, 5)) == pytest.approx(2 / math.sqrt(17))
    assert smd_means((1, 1), (0, 0)) == 0
    assert smd_means((1, 0), (0, 0)) == -math.inf
    assert smd_proportions(0.2, 0.3) == pytest.approx(0.1 / math.sqrt((0.16 + 0.21) / 2))
    # Yang and Dalton's formula written out for three categories
    first, second = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    a = (0.3 * 0.7 + 0.4 * 0.6) / 2
    b = (0.2 * 0.8 + 0.2 * 0.8) / 2
    c = -(0.3 * 0.2 + 0.4 * 0.2) / 2
    expected = math.sqrt(b * 0.1**2 / (a * b - c**2))
    assert smd_categories(first, second) == pytest.approx(expected)
    assert smd_categories([1, 0], [0, 1]) == math.inf
    assert smd_categories([0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]) == math.inf
    assert smd_categories([1, 0], [1, 0]) == 0


@pytest.mark.property
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 100), min_size=4, max_size=4),
    st.lists(st.integers(1, 100), min_size=4, max_size=4),
    st.permutations(range(4)),
)
def test_the_distance_of_categories_depends_on_no_order_or_label(first, second, order):
    one, other = np.array(first) / sum(first), np.array(second) / sum(second)
    distance = smd_categories(one, other)
    assert distance >= 0
    assert smd_categories(other, one) == pytest.approx(distance)
    assert smd_categories(one[list(order)], other[list(order)]) == pytest.approx(distance, abs=1e-9)
    assert smd_categories([*one, 0.0], [*other, 0.0]) == pytest.approx(distance, abs=1e-9)
    two = smd_categories([one[0], 1 - one[0]], [other[0], 1 - other[0]])
    assert two == pytest.approx(abs(smd_proportions(one[0], other[0])))
    assert two <= distance + 1e-9


def rare_frame() -> pd.DataFrame:
    """A level with few, few missing values, and enough of the rest."""
    rng = np.random.default_rng(5)
    n = 400
    frame = pd.DataFrame({"arm": np.repeat(["a", "b"], n // 2)})
    frame["kind"] = rng.choice(["u", "v", "w"], n, p=[0.5, 0.48, 0.02])
    frame["score"] = rng.normal(20, 5, n).round()
    frame.loc[[3, 7, 250], "score"] = np.nan
    frame["yes"] = (rng.random(n) < 0.02).astype(float)
    frame["part"] = np.where(np.arange(n) % 67 == 0, None, rng.choice(["x", "y"], n))
    return frame


def test_small_counts_are_not_shown_and_cannot_be_worked_out():
    baseline = baseline_table(rare_frame(), arm="arm", arms=("a", "b"), variables=["kind", "score", "yes", "part"])
    protected = protect(RULE, baseline.counts)
    for low, high in protected.intervals().values():
        assert high - low >= 1
    rows = baseline.to_dicts(protected)
    for row in rows:
        for name in ("count", "missing"):
            value = row.get(name, 0)
            assert isinstance(value, str) or value == 0 or value >= 10
    shown = baseline.table(protected)
    text = " ".join(str(cell) for row in shown.to_dicts() for cell in row.values())
    assert "<10" in text
    assert any(note.startswith("<10") for note in shown.notes)


def test_a_mean_does_not_give_the_number_of_values_away():
    frame = rare_frame()
    baseline = baseline_table(frame, arm="arm", arms=("a", "b"), variables=["score"])
    row = next(row for row in baseline.to_dicts(RULE) if row["arm"] == "a")
    assert row["missing"] == "<10"
    exact = frame.loc[frame["arm"] == "a", "score"].mean()
    assert row["mean"] != exact
    assert row["mean"] == round(exact, 1)


def test_shares_are_of_everybody_where_the_number_missing_is_hidden():
    frame = rare_frame()
    baseline = baseline_table(frame, arm="arm", arms=("a", "b"), variables=["part"])
    for row in baseline.to_dicts(RULE):
        if not isinstance(row["proportion"], str):
            assert row["proportion"] == pytest.approx(row["count"] / 200)
    assert any("of everybody" in note for note in baseline.table(RULE).notes)


def test_a_difference_is_shown_only_as_far_as_the_shown_counts_give_it():
    baseline = baseline_table(rare_frame(), arm="arm", arms=("a", "b"), variables=["kind", "yes"])
    rows = baseline.to_dicts(RULE)
    yes = [row for row in rows if row["variable"] == "yes"]
    assert {row["smd"] for row in yes} == {"c"}
    kind = [row for row in rows if row["variable"] == "kind"]
    hidden = {row["level"] for row in kind if isinstance(row["count"], str)}
    shown = [level for level in ("u", "v", "w") if level not in hidden]
    shares = [
        [row["count"] / 200 for level in shown for row in kind if (row["level"], row["arm"]) == (level, arm)]
        for arm in ("a", "b")
    ]
    expected = smd_categories(*[[*share, 1 - sum(share)] for share in shares]) if shown else "c"
    assert kind[0]["smd"] == pytest.approx(expected)


def test_rounded_counts_give_shares_that_hang_together(trial):
    rule = DisclosureRule(profile="ons_srs")
    rows = baseline_table(trial, arm="arm", arms=ARMS, variables=["sex", "ethnicity"]).to_dicts(rule)
    for row in rows:
        assert isinstance(row["count"], str) or row["count"] % 5 == 0
        assert isinstance(row["smd"], str) or 0 <= row["smd"] < 0.5


def test_missing_values_by_arm_and_place(trial):
    names = ["age", "ethnicity", "in_care_12m"]
    missing = missingness_table(trial, arm="arm", arms=ARMS, variables=names, row_words="children")
    by_arm, by_place = missing.tables(OPEN)
    gone = trial.groupby("arm", observed=True)["ethnicity"].apply(lambda values: int(values.isna().sum()))
    assert missing.by_arm["ethnicity"] == gone.to_dict()
    assert by_arm.column("variable") == ["age", "ethnicity", "in care 12m"]
    # nothing is missing of age, so the table by place leaves it out
    assert [column.name for column in by_place.columns][2:] == ["missing_ethnicity", "missing_in_care_12m"]
    assert len(by_place) == 21
    assert sum(by_place.column("n")) == len(trial)
    rows = missing.to_dicts(OPEN)
    place = next(row for row in rows if row["group"] == "Aldercombe" and row["variable"] == "ethnicity")
    assert place["proportion"] > 0.8
    assert place["missing"] / place["n"] == place["proportion"]


def test_missing_values_are_protected_over_both_tables(trial):
    names = ["age", "sex", "ethnicity", "family_needs", "in_care_12m"]
    missing = missingness_table(trial, arm="arm", arms=ARMS, variables=names)
    protected = protect(RULE, missing.counts)
    for low, high in protected.intervals().values():
        assert high - low >= 4
    for row in missing.to_dicts(protected):
        assert isinstance(row["missing"], str) or row["missing"] == 0 or row["missing"] >= 10
        assert isinstance(row["missing"], str) == isinstance(row["proportion"], str)
    tables = missing.tables(protected)
    assert "195" not in tables[0].title
    assert any("<10" in str(cell) for row in tables[1] for cell in row.values())


def test_a_place_with_few_children_is_not_sized():
    frame = pd.DataFrame({"arm": ["a", "b"] * 50, "la": ["X"] * 6 + ["Y"] * 44 + ["Z"] * 50, "v": [None, 1] * 50})
    tables = missingness_table(frame, arm="arm", arms=("a", "b"), variables=["v"], by="la").tables(RULE)
    sizes = dict(zip(tables[1].column("place"), tables[1].column("n"), strict=True))
    assert sizes["X"] == "<10"
    assert "c" in sizes.values()
    assert not any("%" in str(cell) for cell in tables[1].to_dicts()[0].values())


def test_without_places_there_is_one_table():
    frame = pd.DataFrame({"arm": ["a", "b"] * 50, "v": [None, 1] * 50})
    missing = missingness_table(frame, arm="arm", arms=("a", "b"), variables=["v"], by=None)
    assert len(missing.tables(RULE)) == 1
    whole = missingness_table(frame.fillna(1), arm="arm", arms=("a", "b"), variables=["v"], by=None)
    assert whole.tables(RULE)[0].column("missing_all") == ["0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"by": "lb"}, "no column 'lb'"), ({"variables": ["v", "v"]}, "twice"), ({"by": "hole"}, "have no 'hole'")],
)
def test_missing_tables_refuse_what_does_not_fit(change, message):
    frame = pd.DataFrame({"arm": ["a", "b"], "la": ["X", "Y"], "hole": ["X", None], "v": [1, 2]})
    with pytest.raises(DataError, match=message):
        missingness_table(frame, **{"arm": "arm", "arms": ("a", "b"), "variables": ["v"], "by": "la", **change})
