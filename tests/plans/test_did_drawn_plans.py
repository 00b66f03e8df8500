"""Plans of roll-outs whose order was drawn, by the efficient estimator: its options, its faults, and its lottery."""

from types import SimpleNamespace

import pandas as pd
import pytest
from test_did_lottery_plans import NAMES, PLAN, rates, read, starts, written

import wwc_eval as we
from wwc_eval.plans.did_supplements import did_supplements
from wwc_eval.plans.vocabulary.did import DidAnalysis

ESTIMATOR = """    estimator: imputation
    few_treated: {methods: [permutation], draws: 199, seed: 20250203, allocation: lot/receipt.json}
    sensitivity: {leave_one_out: true}
"""
DRAWN = """    estimator: staggered
    inference: {draws: 199, seed: 20250203}
    few_treated: {methods: [permutation], draws: 199, seed: 20250203, allocation: lot/receipt.json}
    sensitivity: {leave_one_out: true}
"""
COUNTS = (("arms: {usual: 22, practice model: 8}", "arms: {usual: 14, practice model: 16}"),
          ("clusters: {usual: 22, practice model: 8}", "clusters: {usual: 14, practice model: 16}"))  # fmt: skip


def all_drawn():
    """All 30 authorities drawn: eight begin in 2016, eight in 2018, the rest after the panel."""
    method = we.SteppedWedgeSequences(sequences=[2016, 2018, 2030], capacity=[8, 8, 14])
    units = pd.DataFrame({"la": NAMES})
    lot = we.randomise(units, unit="la", seed="2015-11-02 draw of all", method=method, arms=("before", "after"))
    began = {name: start for name, start in starts(lot).items() if start < 2020}
    return lot, rates(began)


def planned(tmp_path, *edits, analysis=DRAWN):
    lot, data = all_drawn()
    return lot, data, written(tmp_path, lot, data, (ESTIMATOR, analysis), *COUNTS, *edits)


def test_a_plan_reports_what_the_verb_finds_and_tests_by_the_lottery(tmp_path):
    lot, data, plan = planned(tmp_path)
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    found = results.analyses["primary"]
    direct = we.did.staggered(read(data), draws=199, rng=20250203, allocation=lot)
    effect = found.estimates[0]
    assert effect.estimate == pytest.approx(direct.overall.estimate, rel=1e-9)
    assert (effect.ci_low, effect.ci_high) == pytest.approx(
        (direct.overall.ci_low, direct.overall.ci_high), rel=1e-9
    )
    assert effect.details["randomisation_p"] == direct.overall.details["randomisation_p"]
    assert "Efficient estimator of Roth and Sant'Anna" in found.method
    supplements = {item.key: item for item in found.supplements}
    assert list(supplements) == ["trends", "timing", "events", "few_treated", "leave_one_out"]
    events = supplements["events"].table.to_dicts()
    assert [row["event"] for row in events] == list(direct.path.events)
    assert events[0]["event"] < 0
    without = we.did.staggered(read(data[data["la"] != lot.table["la"][lot.table["crossover"] == 2016].iloc[0]]))
    shown = [row["estimate"] for row in supplements["leave_one_out"].table.to_dicts()]
    assert any(value == pytest.approx(without.overall.estimate, rel=1e-9) for value in shown)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"−{-events[0]['event']}" in page
    assert f">{events[0]['event']}<" not in page
    assert "The effect itself: −" in page
    assert "199 draws of the allocations that the roll-out lottery permitted" in page
    assert "What the effect rests on is that who began when was drawn by lot, or as good as: arms" in page
    for wrong in (
        "their trends would have been parallel",
        "if it had moved as",
        "about how they changed",
        "between changes",
    ):
        assert wrong not in page
    assert "lower in the practice model arm than if it had not begun" in page
    assert page.count("between those that had begun and those that had not") == 2
    assert f"randomisation test beside them: p = {effect.details['randomisation_p']:.3f}" in found.method


def test_a_draw_that_no_record_shows_is_said_to_be_taken_as_one_and_stands_in_the_comparison(tmp_path):
    lines = (
        "    estimator: staggered\n"
        "    few_treated: {methods: [permutation], draws: 99, seed: 1}\n    sensitivity: {compare: true}\n"
    )
    _, data, plan = planned(tmp_path, analysis=lines)
    found = plan.run(out=tmp_path / "out", draft=True).analyses["primary"]
    rows = {item.key: item for item in found.supplements}["compare"].table.to_dicts()
    assert rows[0]["estimator"] == "drawn timing (Roth-Sant'Anna)"
    assert rows[0]["estimate"] == pytest.approx(we.did.staggered(read(data)).overall.estimate, rel=1e-9)
    assert "two-way fixed effects" in {row["estimator"] for row in rows}
    assert "randomisation test" not in found.method
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Arms were not formed at random" not in page
    assert "Who began when is analysed as drawn by lot." in page


def test_the_average_and_its_adjustment_are_the_plans():
    fields = {
        "id": "primary", "outcome": "rate", "model": "did", "estimator": "staggered", "aggregate": "calendar",
        "adjustment": "callaway_santanna", "anticipation": 1,
        "sensitivity": {"honest": "relative_magnitudes", "values": [0, 1]},
    }  # fmt: skip
    analysis = DidAnalysis.model_validate(fields)
    assert not list(analysis.findings(None))
    _, data = all_drawn()
    panel = read(data)
    context = SimpleNamespace(
        changed=False, level=0.95, label="Rate", units="per 10,000", unit_column="la", frame=data
    )
    direct = we.did.staggered(panel, estimand="calendar", adjustment="callaway_santanna", anticipation=1)
    found = analysis.estimate(panel, 0.95)
    assert found.overall.estimate == direct.overall.estimate
    # effects by event stand beside averages that have none, and difference-in-differences has its honest intervals
    shown = {item.key: item for item in did_supplements(analysis, panel, found, context)}
    assert list(shown) == ["trends", "timing", "events", "honest"]
    by_event = we.did.staggered(panel, estimand="event", adjustment="callaway_santanna", anticipation=1)
    assert [row["estimate"] for row in shown["events"].table.to_dicts()] == [
        item.estimate for item in by_event.estimates
    ]
    assert shown["honest"].table.to_dicts() == we.did.honest(by_event, values=[0.0, 1.0]).estimates.to_dicts()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("    weights: rate\n", "each unit counts once"),
        ("    inference: {cluster: region}\n", "units that were drawn"),
        ("    inference: {vcov: CR2}\n", "errors are those of the draw"),
        ("    inference: {draws: 999}\n", "go together"),
        ("    adjustment: dr\n", "does not go with estimator: staggered"),
        ("    covariates: [region]\n", "does not go with estimator: staggered"),
        ("    control: not_yet\n", "does not go with estimator: staggered"),
        ("    base: universal\n", "does not go with estimator: staggered"),
        ("    sensitivity: {pre_trend_power: true}\n", "not on parallel trends"),
    ],
)
def test_what_a_drawn_roll_out_does_not_have_is_a_fault(tmp_path, lines, words):
    few = "    few_treated: {methods: [permutation], draws: 199, seed: 20250203}\n"
    _, _, plan = planned(tmp_path, analysis="    estimator: staggered\n" + few + lines)
    found = [problem for problem in plan.check() if problem.code == "P14"]
    assert any(words in problem.message for problem in found), found


def test_adjustments_of_staggered_are_of_no_other_estimator(tmp_path):
    few = "    few_treated: {methods: [permutation], draws: 199, seed: 20250203}\n"
    analysis = f"    estimator: callaway_santanna\n    adjustment: efficient\n    covariates: [region]\n{few}"
    _, _, plan = planned(tmp_path, analysis=analysis)
    assert any(problem.code == "P14" and "adjustment" in str(problem) for problem in plan.check())


def test_the_randomisation_test_counts_as_inference_for_few(tmp_path):
    few = (("clusters: {usual: 14, practice model: 16}", "clusters: {usual: 24, practice model: 6}"),)
    alone = "    estimator: staggered\n"
    _, _, plan = planned(tmp_path, *few, analysis=alone)
    assert any(problem.code == "P08" for problem in plan.check())
    tested = planned(tmp_path, *few, analysis=alone + "    inference: {draws: 199, seed: 1}\n")[2]
    assert not [problem for problem in tested.check() if problem.code == "P08"]
    assert "staggered" in DidAnalysis.model_fields["estimator"].annotation.__args__
    assert "imputation" in PLAN


def test_trends_are_asked_of_a_drawn_roll_out_by_its_adjustment(tmp_path):
    sensitivity = "    sensitivity: {honest: relative_magnitudes, pre_trend_power: true}\n"
    few = "    few_treated: {methods: [permutation], draws: 199, seed: 20250203}\n"
    for adjustment, faults in (("efficient", 1), ("difference_in_means", 1), ("sun_abraham", 0)):
        lines = f"    estimator: staggered\n    adjustment: {adjustment}\n{few}{sensitivity}"
        found = [problem for problem in planned(tmp_path, analysis=lines)[2].check() if problem.code == "P14"]
        assert len(found) == faults, found
    # what varies another analysis shows its effect alone
    varied = "sensitivity:\n  - {id: drawn, of: primary, title: As drawn, change: {estimator: staggered}, why: timing was drawn}\n"
    plan = planned(
        tmp_path,
        ("disclosure:", varied + "disclosure:"),
        analysis=f"    estimator: callaway_santanna\n{few}{sensitivity}",
    )[2]
    assert plan.check() == []
