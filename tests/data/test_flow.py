"""Participant flow: every row counted once, at every stage, and safe to show."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwc_eval.data.counts import protect
from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.data.flow import Flow, flow_counts, participant_flow, suppress_flow
from wwc_eval.data.missingness import missingness_table
from wwc_eval.data.samples import family_conferencing_trial
from wwc_eval.errors import DataError

ARMS = ("usual", "conference")
WORDS = {"unit": "family_id", "unit_words": "families", "row_words": "children"}


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    return family_conferencing_trial(11)


def trial_flow(trial: pd.DataFrame) -> Flow:
    return participant_flow(
        trial,
        arm="arm",
        arms=ARMS,
        **WORDS,
        excluded=[("not a child", trial["age"] >= 18), ("consent withdrawn", trial["consent_withdrawn"] == 1)],
        outcome_missing="in_care_12m",
    )


def check_sums(flow: Flow) -> None:
    """Received = excluded + allocated, allocated = lost + analysed, heads = their reasons, for every word."""
    received = flow.of("received").counts
    for word, number in received.items():
        allocated = sum(flow.of("allocated", arm).counts[word] for arm in flow.arms)
        assert number == flow.of("excluded").counts[word] + allocated
        for arm in flow.arms:
            lost = flow.of("lost", arm).counts[word]
            assert flow.of("allocated", arm).counts[word] == lost + flow.of("analysed", arm).counts[word]
        for box in flow.boxes:
            if box.reasons:
                assert box.counts[word] == sum(counts[word] for _, counts in box.reasons)


def test_the_sample_trial_flows_as_it_was_made(trial):
    flow = trial_flow(trial)
    check_sums(flow)
    kept = trial[(trial["age"] < 18) & (trial["consent_withdrawn"] == 0)]
    assert flow.of("received").counts == {"families": 1500, "children": len(trial)}
    reasons = dict(flow.of("excluded").reasons)
    assert reasons["not a child"] == {"families": 0, "children": 12}
    assert reasons["consent withdrawn"]["families"] == 16
    for arm in ARMS:
        here = kept[kept["arm"] == arm]
        assert flow.of("allocated", arm).counts == {
            "families": here["family_id"].nunique(),
            "children": len(here),
        }
        seen = here.dropna(subset=["in_care_12m"])
        assert flow.of("analysed", arm).counts == {"families": seen["family_id"].nunique(), "children": len(seen)}
    assert flow.of("allocated", "usual").label == "Allocated to usual"
    assert flow.notes == ()


def test_a_row_counts_at_the_first_reason_that_removes_it():
    frame = pd.DataFrame({"arm": ["a", "a", "b", "b"], "x": [1, 2, 3, 4]})
    flow = participant_flow(
        frame, arm="arm", arms=("a", "b"), excluded=[("low", frame["x"] < 3), ("under four", frame["x"] < 4)]
    )
    assert flow.of("excluded").reasons == (("low", {"people": 2}), ("under four", {"people": 1}))
    assert flow.of("lost", "b").counts == {"people": 0}


def test_a_unit_is_lost_with_its_last_row():
    frame = pd.DataFrame(
        {"f": ["1", "1", "2", "2"], "arm": ["a", "a", "b", "b"], "y": [None, 1, None, None], "z": [0, 0, 1, 0]}
    )
    flow = participant_flow(
        frame,
        arm="arm",
        arms=("a", "b"),
        unit="f",
        unit_words="families",
        row_words="children",
        lost=[("moved away", frame["z"] == 1)],
        outcome_missing="y",
    )
    assert flow.of("lost", "a").counts == {"families": 0, "children": 1}
    assert flow.of("analysed", "a").counts == {"families": 1, "children": 1}
    assert flow.of("lost", "b").reasons == (
        ("moved away", {"families": 0, "children": 1}),
        ("outcome missing", {"families": 1, "children": 1}),
    )


def test_individual_trials_have_one_word(trial):
    flow = participant_flow(
        trial, arm="arm", arms=ARMS, row_words="children", outcome_missing=trial["in_care_12m"].isna()
    )
    check_sums(flow)
    assert list(flow.of("received").counts) == ["children"]


def test_a_rule_that_cannot_be_judged_keeps_the_row_and_says_so():
    frame = pd.DataFrame({"arm": ["a", "b"] * 3})
    mask = pd.array([True, None, False, False, None, False], dtype="boolean")
    flow = participant_flow(frame, arm="arm", arms=("a", "b"), excluded=[("too old", mask)])
    assert flow.of("excluded").counts == {"people": 1}
    assert "too old" in flow.notes[0]
    assert "2" not in flow.notes[0]


def test_other_words_at_the_head_of_a_box(trial):
    flow = participant_flow(trial, arm="arm", arms=ARMS, labels={"received": "Assessed", "allocated": "{arm} arm"})
    assert flow.of("received").label == "Assessed"
    assert flow.of("allocated", "conference").label == "conference arm"


def test_other_frames_give_the_same_flow(trial):
    plain = trial[["family_id", "arm", "age", "in_care_12m"]].astype({"arm": str, "family_id": object})
    frame = pl.from_pandas(plain.astype({"in_care_12m": float}))
    flow = participant_flow(
        frame, arm="arm", arms=ARMS, **WORDS, excluded=[("old", frame["age"] >= 18)], outcome_missing="in_care_12m"
    )
    same = participant_flow(
        plain, arm="arm", arms=ARMS, **WORDS, excluded=[("old", plain["age"] >= 18)], outcome_missing="in_care_12m"
    )
    assert flow == same


def test_the_frame_is_left_as_it_was(trial):
    before = trial.copy(deep=True)
    trial_flow(trial)
    pd.testing.assert_frame_equal(trial, before)


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        ({"arm": ["a", "c"]}, {}, "declared levels"),
        ({"arm": ["a", None]}, {}, "declared levels"),
        ({"arms": ["a", "b"]}, {}, "no column 'arm'"),
        ({"arm": ["a", "b"], "f": ["1", "1"]}, {"unit": "f"}, "more than one arm"),
        ({"arm": ["a", "b"], "f": ["1", None]}, {"unit": "f"}, "have no 'f'"),
        ({"arm": ["a", "b"], "f": ["1", "2"]}, {"unit": "f", "unit_words": "people"}, "both called"),
        ({"arm": ["a", "b"]}, {"excluded": [("x", [True])]}, "has 1 values for 2 rows"),
        ({"arm": ["a", "b"]}, {"excluded": [("x", ["yes", "no"])]}, "other than true"),
        ({"arm": ["a", "b"]}, {"outcome_missing": "z"}, "no column 'z'"),
        ({"arm": ["a", "b"]}, {"excluded": [("x", [True, False]), ("x", [False, True])]}, "stands twice"),
    ],
)
def test_what_does_not_fit_is_refused(frame, options, message):
    with pytest.raises(DataError, match=message):
        participant_flow(pd.DataFrame(frame), arm="arm", arms=("a", "b"), **options)


def test_something_that_is_no_frame_is_refused():
    with pytest.raises(DataError, match="not a data frame"):
        participant_flow([1, 2], arm="arm", arms=("a", "b"))


def test_boxes_that_do_not_add_up_are_refused(trial):
    flow = trial_flow(trial)
    boxes = [
        dataclasses.replace(box, counts={**box.counts, "children": 5}) if box.kind == "received" else box
        for box in flow.boxes
    ]
    with pytest.raises(DataError, match="add up"):
        flow_counts(dataclasses.replace(flow, boxes=tuple(boxes)))


@pytest.mark.property
@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 3))
def test_sums_hold_for_every_frame(seed, n, reasons):
    rng = np.random.default_rng(seed)
    units = rng.integers(0, max(n // 2, 1), n)
    arm_of = rng.integers(0, 2, units.max() + 1)
    frame = pd.DataFrame({"u": units.astype(str), "arm": np.array(["a", "b"])[arm_of[units]]})
    flow = participant_flow(
        frame,
        arm="arm",
        arms=("a", "b"),
        unit="u",
        unit_words="units",
        row_words="rows",
        excluded=[(f"reason {i}", rng.random(n) < 0.2) for i in range(reasons)],
        lost=[("moved", rng.random(n) < 0.2)],
        outcome_missing=rng.random(n) < 0.2,
    )
    check_sums(flow)


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["dfe", "strict", "ons_srs"]))
def test_a_suppressed_flow_gives_nothing_away(seed, profile):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 400))
    frame = pd.DataFrame({"arm": np.array(["a", "b"])[rng.integers(0, 2, n)]})
    flow = participant_flow(
        frame,
        arm="arm",
        arms=("a", "b"),
        excluded=[("old", rng.random(n) < 0.03), ("withdrawn", rng.random(n) < 0.06)],
        outcome_missing=rng.random(n) < rng.choice([0.01, 0.05, 0.2]),
    )
    rule = DisclosureRule(profile=profile)
    protected = protect(rule, flow_counts(flow))
    safe = suppress_flow(flow, protected)
    for box in safe.boxes:
        for counts in (box.counts, *(found for _, found in box.reasons)):
            for value in counts.values():
                assert isinstance(value, str) or not 1 <= value < (10 if rule.rounding == 1 else 5)
    for low, high in protected.intervals().values():
        assert high - low >= 1


def test_a_flow_that_stands_alone_is_suppressed_by_a_rule():
    frame = pd.DataFrame({"arm": ["a", "b"] * 100, "y": [None] * 6 + [1] * 194})
    flow = participant_flow(frame, arm="arm", arms=("a", "b"), outcome_missing="y")
    safe = suppress_flow(flow, DisclosureRule())
    assert safe.of("lost", "a").counts == {"people": "<10"}
    # who was allocated and who was analysed may not both be shown
    assert "c" in {safe.of(kind, "a").counts["people"] for kind in ("allocated", "analysed")}
    assert safe.notes == (
        "<10: a count from 1 to 9.",
        "c: not shown, so that a small count cannot be worked out.",
    )
    assert suppress_flow(flow, DisclosureRule(threshold=0)) == flow


def test_flow_and_missing_values_of_the_outcome_are_one_count(trial):
    kept = trial[(trial["age"] < 18) & (trial["consent_withdrawn"] == 0)]
    few = kept.assign(in_care_12m=kept["in_care_12m"].fillna(0))
    usual, conference = (few.index[few["arm"] == arm] for arm in ARMS)
    few.loc[[*usual[:5], *conference[:20]], "in_care_12m"] = pd.NA
    flow = participant_flow(few, arm="arm", arms=ARMS, **WORDS, outcome_missing="in_care_12m")
    missing = missingness_table(few, arm="arm", arms=ARMS, variables=["in_care_12m"])
    protected = protect(DisclosureRule(), flow_counts(flow, outcome="in_care_12m"), missing.counts)
    safe = suppress_flow(flow, protected)
    lost = {arm: safe.of("lost", arm).counts["children"] for arm in ARMS}
    assert lost["usual"] == "<10"
    assert missing.tables(protected)[0].column("missing_usual") == ["<10"]
    for arm in ARMS:
        # the sizes of the arms are shown with the shares, so the numbers analysed are not
        assert isinstance(safe.of("allocated", arm).counts["children"], int)
        assert safe.of("analysed", arm).counts["children"] == "c"
    assert not protected.exposed
    for low, high in protected.intervals().values():
        assert high - low >= 1


def test_fewer_than_ten_lost_altogether_are_named_for_judgement(trial):
    few = trial.assign(in_care_12m=trial["in_care_12m"].fillna(0))
    few.loc[few.index[:5], "in_care_12m"] = pd.NA
    flow = participant_flow(few, arm="arm", arms=ARMS, **WORDS, outcome_missing="in_care_12m")
    missing = missingness_table(few, arm="arm", arms=ARMS, variables=["in_care_12m"])
    protected = protect(DisclosureRule(), flow_counts(flow, outcome="in_care_12m"), missing.counts)
    # all received and all analysed are shown with the estimates: their difference is 5
    assert ("rows", "missing", "in_care_12m") in protected.exposed
    assert missing.tables(protected)[0].column("missing_all")[0] in ("<10", "c")
