"""Disclosure control: rules, single counts and proportions, tables, and small counts wherever they stand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from wwc_eval.data.audit import check_small_counts, find_small_counts, small_differences
from wwc_eval.data.disclosure import (
    DisclosureRule,
    safe_count,
    safe_proportion,
    suppress_counts,
    suppress_table,
)
from wwc_eval.data.flow import participant_flow
from wwc_eval.errors import DataError, DesignError, DisclosureError
from wwc_eval.estimate import Estimate
from wwc_eval.table import Column, Table

RULE = DisclosureRule()
STRICT = DisclosureRule(profile="strict")


@pytest.mark.parametrize(
    ("count", "rule", "shown"),
    [
        (0, RULE, 0),
        (1, RULE, "<10"),
        (9, RULE, "<10"),
        (10, RULE, 10),
        (0, STRICT, "<10"),
        (0, DisclosureRule(profile="ons_srs"), "<10"),
        (12, DisclosureRule(profile="ons_srs"), 10),
        (13, DisclosureRule(profile="ons_srs"), 15),
        (3, DisclosureRule(threshold=0), 3),
        (3, DisclosureRule(threshold=0, profile="none"), 3),
        (0, DisclosureRule(threshold=0, profile="strict"), 0),
        (4, DisclosureRule(threshold=5), "<5"),
        (14, DisclosureRule(rounding=10), 10),
        (15, DisclosureRule(rounding=10), 20),
    ],
)
def test_single_counts(count, rule, shown):
    assert safe_count(count, rule) == shown


@pytest.mark.parametrize(
    ("events", "n", "expected"),
    [
        (30, 120, (30, 120, 0.25)),
        (4, 120, ("<10", 120, "c")),
        (116, 120, ("c", 120, "c")),
        (4, 9, ("c", "<10", "c")),
        (4, 12, ("c", 12, "c")),
        (1, 11, ("c", 11, "c")),
        (0, 120, (0, 120, 0.0)),
    ],
)
def test_single_proportions(events, n, expected):
    found = safe_proportion(events, n, RULE)
    assert (found.events, found.n, found.proportion) == expected


def test_a_zero_and_a_full_group_are_hidden_where_the_profile_says():
    for events in (0, 120):
        found = safe_proportion(events, 120, STRICT)
        assert isinstance(found.events, str)
        assert found.proportion == "c"


@pytest.mark.parametrize(("events", "n"), [(5, 4), (-1, 4)])
def test_impossible_proportions_are_refused(events, n):
    with pytest.raises(DataError):
        safe_proportion(events, n, RULE)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": -1},
        {"threshold": 2.5},
        {"threshold": True},
        {"profile": "dfe2"},
        {"profile": "none"},
        {"rounding": 0},
    ],
)
def test_impossible_rules_are_refused(change):
    with pytest.raises(DesignError):
        DisclosureRule(**change)


def test_a_rule_says_what_it_does():
    assert "below 10 (other than 0)" in RULE.words
    assert "rounded to 5" in DisclosureRule(profile="ons_srs").words
    assert DisclosureRule(threshold=0).words == "All counts are shown."
    assert RULE.residual_df_warning(12) is None
    assert "9 residual" in RULE.residual_df_warning(9)
    assert DisclosureRule(threshold=0).residual_df_warning(2) is None


def test_a_negative_count_is_refused():
    with pytest.raises(DataError):
        safe_count(-1, RULE)


@pytest.mark.parametrize("matrix", [[[1.5, 2.0]], np.zeros((2, 2, 2), dtype=int), []])
def test_what_is_no_table_of_counts_is_refused(matrix):
    with pytest.raises(DataError):
        suppress_counts(matrix, RULE)


def _lost() -> Table:
    rows = [
        {"place": "A", "usual": 4, "conference": 30, "all": 34, "share": 0.04},
        {"place": "B", "usual": 20, "conference": 40, "all": 60, "share": 0.06},
        {"place": "C", "usual": 25, "conference": 50, "all": 75, "share": 0.08},
        {"place": "all", "usual": 49, "conference": 120, "all": 169, "share": 0.07},
    ]
    columns = [Column(name="place"), *(Column(name=name, kind="count") for name in ("usual", "conference", "all"))]
    return Table(rows, [*columns, Column(name="share", kind="percent")], notes=["Lost to follow-up."])


def test_a_table_is_suppressed_with_its_totals_and_shares():
    before = _lost().to_dicts()
    safe = suppress_table(
        _lost(),
        RULE,
        counts=["usual", "conference"],
        total_column="all",
        total_row=-1,
        shares={"share": "usual"},
    )
    rows = safe.to_dicts()
    assert rows[0]["usual"] == "<10"
    assert [row["share"] for row in rows] == [
        "c" if isinstance(row["usual"], str) else old["share"] for row, old in zip(rows, before, strict=True)
    ]
    assert sum(isinstance(row[name], str) for row in rows for name in ("usual", "conference", "all")) == 4
    assert safe.notes[0] == "Lost to follow-up."
    assert any(note.startswith("<10:") for note in safe.notes)
    assert _lost().to_dicts() == before
    assert "&lt;10" in safe.to_html()


def test_a_table_whose_totals_are_wrong_is_refused():
    with pytest.raises(DataError, match="add up"):
        suppress_table(_lost(), RULE, counts=["usual"], total_column="all")
    with pytest.raises(DataError, match="no column"):
        suppress_table(_lost(), RULE, counts=["usal"])


def test_small_counts_are_found_wherever_they_stand():
    frame = pd.DataFrame({"arm": ["a", "b"] * 20, "y": [None] + [1] * 39})
    flow = participant_flow(frame, arm="arm", arms=("a", "b"), outcome_missing="y")
    estimate = Estimate.from_normal(term="arm[b]", estimate=0.1, se=0.2, n=8, n_clusters=4)
    results = {
        "sample": {"n": 740, "by_arm": {"usual": {"n": 9, "events": np.int64(3), "mean": 4.0}}},
        "dropped": {"sex": 6, "age": 0},
        "table": Table([{"n": 5.0, "p": 3}], [Column(name="n"), Column(name="p")]),
        "frame": pd.DataFrame({"missing": [4, 40], "df": [3, 4]}),
        "flow": flow,
        "estimates": [estimate],
        "n_boot": 5,
        "n": True,
        "text": {"n": "<10"},
        "nothing": {"n": None},
    }
    found = {problem.place.field for problem in find_small_counts(results, RULE, ignore=["n_clusters"])}
    assert found == {
        "sample.by_arm.usual.n",
        "sample.by_arm.usual.events",
        "dropped.sex",
        "table.rows[0].n",
        "frame[0].missing",
        *{path for path in found if path.startswith("flow.boxes")},
        "estimates[0].n",
    }
    assert sum(path.startswith("flow.boxes") for path in found) == 2
    with pytest.raises(DisclosureError) as caught:
        check_small_counts(results, RULE, ignore=["n_clusters"])
    assert len(caught.value.problems) == len(found)
    check_small_counts(results, DisclosureRule(threshold=0))
    assert find_small_counts({"x": 4}, RULE, everywhere=True)


def test_samples_that_differ_by_few_are_named():
    found = small_differences({"primary": 2380, "complete": 2376, "unadjusted": 2380, "other": 1200}, RULE)
    assert [problem.place.field for problem in found] == ["primary, complete", "complete, unadjusted"]
    assert {problem.severity for problem in found} == {"warning"}
