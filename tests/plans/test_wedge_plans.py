"""Stepped wedges in plans: the data are held against periods and go-live dates, windows against both."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from wwc_eval.data import write_csv
from wwc_eval.errors import DataError, PlanError
from wwc_eval.plans import Plan
from wwc_eval.plans.assembly import assemble
from wwc_eval.report.schedule import cell_state, schedule_table

PLAN = """
schema_version: 1
id: wedge
title: A hub in four authorities
question: Does the hub keep children at home?
estimand: {population: children, treatment: hub, comparator: usual services, comparator_arm: usual, outcome: looked_after, summary: risk_difference}
design:
  kind: stepped_wedge
  unit: la
  arms: {usual: 1, hub: 1}
  wedge:
    period: period
    periods:
      - {name: "1", from: 2020-01-01, to: 2020-06-30}
      - {name: "2", from: 2020-07-01, to: 2020-09-30}
      - {name: "3", from: 2020-10-01, to: 2021-03-31}
      - {name: "4", from: 2021-04-01, to: 2021-06-30}
    go_live: {A: 2020-07-01, B: 2020-10-01, C: 2021-04-01, D: 2020-08-15}
    transition: moving == 1
    time_on_treatment: months_on
data:
  children:
    file: children.csv
    key: [child_id]
    columns:
      child_id:     {type: text}
      la:           {type: text}
      period:       {type: integer}
      arm:          {type: category, levels: [usual, hub]}
      moving:       {type: binary}
      months_on:    {type: number}
      looked_after: {type: binary}
outcomes:
  - {name: looked_after, role: primary, type: binary, better: lower, window: {from: referral, months: 18, exposure: the arm at referral}}
analyses:
  - id: primary
    outcome: looked_after
    model: regression
    family: gaussian
    formula: looked_after ~ arm + factor(period) + la
    report: [risk_difference]
    inference: {vcov: CR2, cluster: la}
sensitivity:
  - {id: time, of: primary, change: {formula: looked_after ~ arm + months_on + factor(period) + la}}
disclosure: {profile: dfe, threshold: 10}
"""
LIVE = {"A": 2, "B": 3, "C": 4, "D": 2}


def children(each=12):
    rows = []
    for la, period in itertools.product(LIVE, range(1, 5)):
        for k in range(each):
            moving = la == "D" and period == 2
            late = k >= each // 2 if moving else period >= LIVE[la]
            rows.append({
                "child_id": f"{la}{period}-{k}", "la": la, "period": period, "arm": "hub" if late else "usual",
                "moving": int(moving), "months_on": 3 * max(period - LIVE[la], 0) if late else 0,
                "looked_after": int((k * 7 + period + len(rows)) % 5 == 0),
            })  # fmt: skip
    return pd.DataFrame(rows)


def plan_of(folder, *edits):
    text = PLAN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (folder / "wedge.yaml").write_text(text, encoding="utf-8")
    return Plan.load(folder / "wedge.yaml")


def read(folder, frame, *edits):
    write_csv(frame, folder / "children.csv")
    return assemble(plan_of(folder, *edits).facts, folder)


# --- checks of the plan


def test_the_plan_is_sound(tmp_path):
    assert plan_of(tmp_path).check() == []


FAULTS = {
    "no wedge": ("S03", [(PLAN[PLAN.index("  wedge:") : PLAN.index("data:")], "")], "go together"),
    "a wedge that is none": ("S03", [("kind: stepped_wedge", "kind: cluster")], "go together"),
    "period not declared": ("P02", [("    period: period\n", "    period: perod\n")], "'perod'"),
    "time on treatment not declared": ("P02", [("months_on\ndata", "months\ndata")], "'months'"),
    "transition by a column that is not there": ("P02", [("transition: moving", "transition: movin")], "'movin'"),
    "transition outside of the grammar": ("P14", [("moving == 1", "exit(1)")], ""),
    "clusters not in the model's errors": ("P04", [("{vcov: CR2, cluster: la}", "{vcov: HC2}")], "la was randomised"),
    "period not in the model": ("P05", [("factor(period) + la\n", "la\n")], "period"),
    "four clusters in all": ("P08", [("{vcov: CR2, cluster: la}", "{vcov: CR1S, cluster: la}")], "4 clusters in all"),
    "clusters by arm": ("P08", [("  arms:", "  clusters: {usual: 4, hub: 4}\n  arms:")], "in every arm"),
    "fewer clusters than dates": ("P08", [("  arms:", "  clusters: 3\n  arms:")], "3"),
    "number of clusters nowhere": (
        "P08",
        [(PLAN[PLAN.index("    go_live") : PLAN.index("    transition")], "")],
        "not declared",
    ),
    "no exposure rule": ("P22", [(", exposure: the arm at referral", "")], "18 months"),
    "exposure rule without need": ("P22", [("months: 18", "months: 0")], "no window crosses"),
    "periods out of order": ("P22", [("to: 2020-09-30", "to: 2020-12-30")], "does not follow"),
    "all on one day": (
        "P22",
        [("{A: 2020-07-01, B: 2020-10-01, C: 2021-04-01, D: 2020-08-15}", "{A: 2020-07-01, B: 2020-07-01}")],
        "same day",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_placed(case, tmp_path):
    code, edits, words = FAULTS[case]
    try:
        problems = plan_of(tmp_path, *edits).check()
    except PlanError as error:
        problems = list(error.problems)
    found = [problem for problem in problems if problem.code == code and words in str(problem)]
    assert found, problems
    assert all(problem.place.line for problem in found)
    assert all(problem.fix for problem in found if code != "S03")


SOUND = {
    "clusters without dates": [
        (PLAN[PLAN.index("    go_live") : PLAN.index("    transition")], ""),
        ("  arms:", "  clusters: 4\n  arms:"),
    ],
    "ten clusters with other errors": [
        (PLAN[PLAN.index("    go_live") : PLAN.index("    transition")], ""),
        ("  arms:", "  clusters: 10\n  arms:"),
        ("{vcov: CR2, cluster: la}", "{vcov: CR1S, cluster: la}"),
    ],
    "no window": [(", window: {from: referral, months: 18, exposure: the arm at referral}", "")],
    "a window that ends before anybody goes live": [
        ("go_live: {A: 2020-07-01, B: 2020-10-01, C: 2021-04-01, D: 2020-08-15}", "go_live: {A: 2021-04-01, B: 2021-05-01}"),
        (PLAN[PLAN.index('      - {name: "2"') : PLAN.index("    go_live")], '      - {name: "4", from: 2021-06-01, to: 2021-09-30}\n'),
        ("months: 18, exposure: the arm at referral", "months: 8"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_sound_wedges_pass(case, tmp_path):
    assert plan_of(tmp_path, *SOUND[case]).check() == []


@pytest.mark.parametrize(("months", "crosses"), [(9, False), (10, True), (18, True)])
def test_windows_are_reckoned_from_the_last_day_of_entry(months, crosses, tmp_path):
    # rows enter until 30 June 2020, and the first cluster goes live on 1 April 2021: nine months and a day
    edits = [
        ("go_live: {A: 2020-07-01, B: 2020-10-01, C: 2021-04-01, D: 2020-08-15}", "go_live: {A: 2021-04-01, B: 2021-05-01}"),
        (PLAN[PLAN.index('      - {name: "2"') : PLAN.index("    go_live")], '      - {name: "4", from: 2021-06-01, to: 2021-09-30}\n'),
        ("months: 18, exposure: the arm at referral", f"months: {months}"),
    ]  # fmt: skip
    problems = plan_of(tmp_path, *edits).check()
    assert [problem.code for problem in problems] == (["P22"] if crosses else [])


# --- the data


def test_data_that_agree_are_read(tmp_path):
    assert len(read(tmp_path, children()).frame) == 4 * 4 * 12


def faults_of(folder, frame, *edits):
    with pytest.raises(DataError) as caught:
        read(folder, frame, *edits)
    return [str(problem) for problem in caught.value.problems if problem.code == "D91"]


def test_an_arm_against_the_dates_is_named_with_its_row(tmp_path):
    frame = children()
    wrong = (frame["la"] == "B") & (frame["period"] == 3)
    frame.loc[wrong, "arm"] = "usual"
    (fault,) = faults_of(tmp_path, frame)
    assert "la B, period 3 is after the go-live day 2020-10-01, and its arm is 'usual'" in fault
    assert f"row {frame.index[wrong][0] + 2}" in fault


def test_a_cell_in_two_arms_must_be_in_transition(tmp_path):
    (fault,) = faults_of(tmp_path, children().assign(moving=0))
    assert "la D, period 2 has rows in several arms: hub, usual" in fault


def test_a_cluster_does_not_go_back(tmp_path):
    frame = children()
    frame.loc[(frame["la"] == "A") & (frame["period"] == 4), "arm"] = "usual"
    without_dates = [
        (PLAN[PLAN.index("    periods:") : PLAN.index("    go_live")], ""),
        (PLAN[PLAN.index("    go_live") : PLAN.index("    transition")], ""),
    ]
    (fault,) = faults_of(tmp_path, frame, *without_dates)
    assert "la A is back in arm 'usual' in period 4" in fault
    assert "it crossed over in period 2" in fault


def test_names_of_plan_and_data_are_the_same(tmp_path):
    faults = faults_of(tmp_path, children(), ("{A: 2020", "{Aa: 2020"))
    assert any("the data have no cluster 'Aa'" in fault for fault in faults)
    assert any("the plan's wedge has no cluster 'A'" in fault for fault in faults)


def test_periods_in_numbers_are_in_their_order(tmp_path):
    frame = children()
    frame["period"] = frame["period"].replace({2: 10, 3: 20, 4: 100})  # as text, 10 and 100 come before 20
    without_dates = [
        (PLAN[PLAN.index("    periods:") : PLAN.index("    go_live")], ""),
        (PLAN[PLAN.index("    go_live") : PLAN.index("    transition")], ""),
    ]
    assert len(read(tmp_path, frame, *without_dates).frame) == len(frame)


# --- the report


def test_states_of_cells():
    assert cell_state("2020-01-01", "2020-06-30", "2020-07-01") == "before"
    assert cell_state("2020-07-01", "2020-09-30", "2020-07-01") == "after"
    assert cell_state("2020-07-01", "2020-09-30", "2020-09-30") == "transition"


def test_the_schedule_has_a_row_a_cluster_in_the_order_of_crossing_over(tmp_path):
    wedge = plan_of(tmp_path).data["design"]["wedge"]
    table = schedule_table(wedge, ("usual", "hub"))
    assert [row[0].text for row in table.rows] == ["A", "D", "B", "C"]
    assert [cell.text for cell in table.rows[1][2:]] == ["Usual", "In transition", "Hub", "Hub"]
    assert schedule_table({"period": "period"}, ("usual", "hub")) is None


def test_a_run_counts_rows_by_the_arm_of_their_cell(tmp_path):
    write_csv(children(each=24), tmp_path / "children.csv")
    plan = plan_of(
        tmp_path, ("outcomes:", "  exclusions: [{rule: moving == 1, reason: in transition}]\noutcomes:")
    )
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    assert results.failed == ()
    flow = results.record.flow
    assert flow.of("received").counts == {"cases": 16 * 24}
    assert flow.of("allocated", "hub").counts["cases"] + flow.of("allocated", "usual").counts["cases"] == 15 * 24
    sample = results.analyses["primary"].sample
    assert sample["n_clusters"] == 4
    assert {arm: entry["n_clusters"] for arm, entry in sample["by_arm"].items()} == {"usual": 4, "hub": 4}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Who crosses over when" in page
    assert "Stepped-wedge trial" in page
    assert "counted for: the arm at referral" in page
