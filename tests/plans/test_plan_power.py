"""What a plan was sized for: the block power, check P07, plan.power, plan.simulate, the verb and the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner
from test_cluster_trial import PLAN
from test_plan_docs import PAGE

import wwc_eval as we
from wwc_eval.cli import group
from wwc_eval.errors import DesignError, PlanError
from wwc_eval.plans.power_fields import PlannedPower
from wwc_eval.plans.powering import step_of
from wwc_eval.plans.sized_for import analysed, sizes_shown
from wwc_eval.power import CONVENTIONS, Binary, Level, SteppedWedge, Trial

ROOT = Path(__file__).parents[2]
TRIAL, WEDGE = (text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "  power:" in text)
COLUMNS = (
    "      local_authority: {type: text}\n      period: {type: category, levels: ['1', '2', '3', '4', '5', '6']}\n"
)


def block(text):
    """The lines of an example below ``design:``."""
    return text.split("design:\n", 1)[1]


def planned(tmp_path, design=None, *edits):
    """The plan of the cluster trial with the design of an example, edited."""
    text = re.sub(
        r"(?s)(design:\n).*?(?=^data:)", lambda found: found[1] + block(design or TRIAL), PLAN, flags=re.MULTILINE
    )
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = Path(tmp_path) / "analysis_plans" / "trial.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return we.Plan.load(path)


WEDGED = (
    ("      team:       {type: text}\n", COLUMNS),
    ("rereferred ~ arm + age", "rereferred ~ arm + local_authority + period"),
    ("{vcov: CR2, cluster: team}", "{vcov: CR2, cluster: local_authority}"),
    ("cluster: team, df", "cluster: local_authority, df"),
)
CONTINUOUS = (
    ('rereferred: {type: binary, missing: [""]}', "rereferred: {type: number, units: points}"),
    ("type: binary, better", "type: continuous, better"),
    ("summary: risk_difference", "summary: mean_difference"),
    ("family: binomial", "family: gaussian"),
    ("{control: 0.22}", "{sd: 10}"),
)


def p07(plan):
    return [problem for problem in plan.check() if problem.code == "P07"]


# --- the block is the design


@pytest.mark.parametrize("name", ["family_conferencing_trial", "no_wrong_door_wedge", "schools_s47_trial"])
def test_the_sample_plans_state_what_their_designs_give(name):
    plan = we.Plan.load(ROOT / "analysis_plans" / f"{name}.yaml")
    assert p07(plan) == []
    found = plan.power()
    target = plan.facts.document.design.target
    assert float(found.power) == pytest.approx(target.power, abs=0.005)
    digits = -int(np.log10(step_of(plan.facts, ("design", "target", "mdes"))))
    assert round(found.mdes.fall, digits) == target.mdes
    assert not any("simulate" in note for note in found.notes)


def test_effects_are_stated_to_the_digits_written(tmp_path):
    # the design detects -0.0816; a stated figure is rounded, no more
    for stated, passes in (
        ("-0.082", True),
        ("-0.08", True),
        ("-0.083", False),
        ("-0.09", False),
        ("-0.080", False),
    ):
        plan = planned(tmp_path, None, ("mdes: -0.082", f"mdes: {stated}"))
        assert (p07(plan) == []) == passes, stated


def test_the_trial_of_the_page(tmp_path):
    plan = planned(tmp_path)
    assert plan.check() == []
    found = plan.power()
    own = Trial(
        levels=[Level("child", 60, attrition=0.10), Level("team", 48, icc=0.05, size_cv=0.4)],
        assigned="team",
        outcome=Binary(control=0.22),
    )
    assert found.mdes.fall == pytest.approx(float(own.mdes(0.8).fall), abs=1e-14)
    assert float(found.mdes) == found.mdes.fall  # lower is better
    assert float(found.power) == pytest.approx(float(own.power(-0.082)), abs=1e-14)
    assert int(found.required) == int(own.required("team", -0.082))
    assert found.convention == "exact"
    assert found.assumptions["team.icc"] == 0.05
    assert "48 teams" in str(found)


def test_the_wedge_of_the_page(tmp_path):
    plan = planned(tmp_path, WEDGE, *WEDGED)
    assert p07(plan) == []
    own = SteppedWedge.standard(
        clusters=5, steps=5, cell_size=600, outcome=Binary(control=0.07, variance="null"), icc=0.00268
    )
    assert plan.power().mdes.fall == pytest.approx(float(own.mdes(0.8).fall), abs=1e-14)
    assert plan.power().required.level == "cell_size"


def test_days_of_going_live_make_the_wedge(tmp_path):
    dates = (
        "  wedge:\n    period: period\n    periods:\n"
        '      - {name: "1", from: 2024-01-01, to: 2024-06-30}\n'
        '      - {name: "2", from: 2024-07-01, to: 2024-12-31}\n'
        '      - {name: "3", from: 2025-01-01, to: 2025-06-30}\n'
        "    go_live: {Northmoor: 2025-01-01, Eastvale: 2024-07-01, Westham: 2024-08-01}\n"
    )
    plan = planned(
        tmp_path,
        WEDGE,
        *WEDGED,
        ("  wedge: {period: period}\n", dates),
        ("  clusters: 5\n", ""),
        ("    steps: 5\n", ""),
    )
    T = plan.power().design.treatment
    # Eastvale, Westham in the middle of period 2, Northmoor: in the order of crossing over
    np.testing.assert_array_equal(T, [[0, 1, 1], [0, np.nan, 1], [0, 0, 1]])


def test_strata_say_what_the_order_permits(tmp_path):
    plan = planned(tmp_path, WEDGE, *WEDGED)
    assert plan.power().design.n_permitted == 120
    assert not any("permitted" in note for note in plan.power().notes)  # nothing says within which strata
    strata = ("    steps: 5\n", "    steps: 5\n    strata: [ready, ready, later, later, later]\n")
    plan = planned(tmp_path, WEDGE, *WEDGED, strata)
    assert plan.power().design.n_permitted == 12
    assert any(note.startswith("12 allocations are permitted") for note in plan.power().notes)


def test_conventions_are_those_of_the_power_room():
    assert set(get_args(PlannedPower.model_fields["convention"].annotation)) == set(CONVENTIONS)


@pytest.mark.parametrize(
    "written", ["[600, 600, 600, 600, 600, 600]", "[" + ", ".join(["[600, 600, 600, 600, 600, 600]"] * 5) + "]"]
)
def test_cells_one_a_period_or_one_each(tmp_path, written):
    plan = planned(tmp_path, WEDGE, *WEDGED, ("cell_size: 600", f"cell_size: {written}"))
    assert p07(plan) == []


def test_parts_that_do_not_belong_are_refused(tmp_path):
    for old, new, what in (
        ("    outcome:", "    icc: 0.05\n    outcome:", "has no icc"),
        ("    outcome:", "    cell_size: 20\n    outcome:", "either levels"),
    ):
        with pytest.raises(PlanError, match=what):
            planned(tmp_path, TRIAL, (old, new))
    for old, new, what in (
        ("{control: 0.22}", "{control: 0.22, sd: 1}", "binary outcome has no sd"),
        ("{control: 0.22}", "{type: continuous, sd: 1}", "summarised by risk_difference"),
        ("name: team, n", "name: school, n", "no level is called 'team'"),
        ("    outcome:", "    df: satterthwaite\n    outcome:", "of a stepped wedge"),
    ):
        (problem,) = p07(planned(tmp_path, TRIAL, (old, new)))
        assert what in problem.message
        assert problem.place.line == 18


def test_without_the_block_the_error_says_what_to_write(tmp_path):
    with pytest.raises(DesignError, match="levels"):
        planned(tmp_path, PLAN.split("data:")[0].split("title:")[1]).power()


# --- P07


def test_digits_are_those_written(tmp_path):
    facts = planned(tmp_path).facts
    assert step_of(facts, ("design", "target", "power")) == 0.01
    assert step_of(facts, ("design", "target", "mdes")) == 0.001
    stated = float(planned(tmp_path).power().mdes)
    assert p07(planned(tmp_path, TRIAL, ("mdes: -0.082", f"mdes: {stated:.6f}"))) == []
    (problem,) = p07(planned(tmp_path, TRIAL, ("mdes: -0.082", f"mdes: {stated - 0.003:.6f}")))
    assert "power 0.83" in problem.message
    assert problem.fix.startswith(f"write mdes: {stated:.6f}")


def test_a_rise_is_not_a_fall(tmp_path):
    higher = (("better: lower", "better: higher"),)
    (problem,) = p07(planned(tmp_path, TRIAL, *higher, ("mdes: -0.082", "mdes: 0.082")))
    rise = planned(tmp_path, TRIAL, *higher, ("mdes: -0.082", "mdes: 0.082")).power().mdes.rise
    assert rise > 0.09
    assert f"{rise:.3f}" in problem.fix


def test_one_sided_targets_are_computed_one_sided(tmp_path):
    plan = planned(tmp_path, TRIAL, ("sides: 2", "sides: 1"))
    assert plan.power().mdes.sides == 1
    assert abs(float(plan.power().mdes)) < abs(float(planned(tmp_path).power().mdes))


# --- simulation


def test_the_planned_regression_is_simulated(tmp_path):
    plan = planned(tmp_path)
    found = plan.simulate(reps=1000, rng=1)
    assert [record.analysis for record in found.records] == ["regression_cr2"]
    # a t test of 48 teams of unequal sizes and the formula: within three Monte Carlo errors and a point
    assert abs(found.power - float(plan.power().power)) < 3 * found.power_mc_se + 0.01
    assert plan.simulate(reps=1000, rng=1, n_jobs=2).power == found.power
    assert found.effect == -0.082
    null = plan.simulate(0, reps=2000, rng=2)
    assert abs(null.type_one - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000) + 0.005


MIXED = (
    ("    model: regression\n    family: gaussian\n", "    model: multilevel\n"),
    ("~ arm + age", "~ arm + age + (1 | team)"),
)
SIMULATED = {
    "mixed_model": [*MIXED, ("{vcov: CR2, cluster: team}", "{method: satterthwaite}")],
    "kenward_roger": [*MIXED, ("{vcov: CR2, cluster: team}", "{method: kenward_roger}")],
    "regression_cr3": [("{vcov: CR2, cluster: team}", "{vcov: CR3, cluster: team, df: clusters}")],
    "cluster_summaries": [
        ("    model: regression\n", "    model: cluster_summaries\n"),
        ("{vcov: CR2, cluster: team}", "{cluster: team}"),
    ],
    "randomisation_test": [
        (
            "    model: regression\n    family: gaussian\n    formula: rereferred ~ arm + age\n"
            "    inference: {vcov: CR2, cluster: team}\n",
            "    model: randomisation_test\n    formula: rereferred ~ arm\n",
        ),
        ("data:\n", "randomisation: {method: complete}\ndata:\n"),
        (", size_cv: 0.4", ""),
    ],
}


@pytest.mark.parametrize("name", SIMULATED)
def test_the_planned_analysis_has_its_name(tmp_path, name):
    plan = planned(tmp_path, TRIAL, *CONTINUOUS, ("sensitivity:\n  - {id: satterthwaite, of: primary, change: "
                   "{inference: {vcov: CR1S, cluster: team, df: satterthwaite}}}\n", ""), *SIMULATED[name])  # fmt: skip
    found = plan.simulate(2.0, reps=60, rng=3)
    assert [record.analysis for record in found.records] == [name]
    assert found.failed == 0


REFUSED = {
    "vcov: CR1S": [("{vcov: CR2, cluster: team}", "{vcov: CR1S, cluster: team}")],
    "vcov: CR3 with df: satterthwaite": [("{vcov: CR2, cluster: team}", "{vcov: CR3, cluster: team}")],
    "vcov: HC2": [("{vcov: CR2, cluster: team}", "{vcov: HC2}")],
    "family: gaussian": [("family: binomial", "family: gaussian")],
    "average: clusters": [("family: binomial", "family: binomial\n    average: clusters")],
    "bootstrap": [("family: binomial", "family: binomial\n    bootstrap: {seed: 1}")],
    "risk_ratio": [
        ("model: regression", "model: cluster_summaries"),
        ("family: binomial", "family: binomial\n    report: [risk_ratio]"),
        ("{vcov: CR2, cluster: team}", "{cluster: team}"),
    ],
    "a scheme that is a description": [
        (
            "    model: regression\n    family: binomial\n    formula: rereferred ~ arm + age\n"
            "    inference: {vcov: CR2, cluster: team}\n",
            "    model: randomisation_test\n    formula: rereferred ~ arm\n    report: [risk_difference]\n",
        ),
        (", size_cv: 0.4", ""),
    ],
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_simulated_is_refused_by_name(tmp_path, what):
    drop = ("sensitivity:\n  - {id: satterthwaite, of: primary, change: {inference: {vcov: CR1S, cluster: team, df: "
            "satterthwaite}}}\n", "")  # fmt: skip
    with pytest.raises(DesignError, match=what):
        planned(tmp_path, TRIAL, drop, *REFUSED[what]).simulate(reps=10, rng=1)


BLOCKS = (
    ("      team:       {type: text}\n", "      team:       {type: text}\n      la:         {type: text}\n"),
    ("  unit: team\n", "  unit: team\n  within: la\n"),
    ("n: 48, icc: 0.05, size_cv: 0.4}", "n: 8, icc: 0.05}\n      - {name: la, n: 6, icc: 0.01}"),
    ("    outcome:", "    block_effects: constant\n    outcome:"),
    ("sensitivity:\n  - {id: satterthwaite, of: primary, change: "
     "{inference: {vcov: CR1S, cluster: team, df: satterthwaite}}}\n", ""),
)  # fmt: skip
TEST = (
    "    model: regression\n    family: gaussian\n    formula: rereferred ~ arm + age\n"
    "    inference: {vcov: CR2, cluster: team}\n",
    "    model: randomisation_test\n    statistic: regression\n    formula: rereferred ~ arm + la\n",
)


def test_blocks_stand_in_the_model(tmp_path):
    def simulated(*edits):
        return (
            planned(tmp_path, TRIAL, *CONTINUOUS, *BLOCKS, *edits)
            .simulate(2.0, reps=40, rng=1)
            .records[0]
            .analysis
        )

    with pytest.raises(DesignError, match="without effects of its blocks"):
        simulated()
    assert simulated(("~ arm + age", "~ arm + la")) == "regression_cr2"
    with pytest.raises(DesignError, match="blocks whose effects are random"):
        simulated(("~ arm + age", "~ arm + la"), ("constant", "random"))
    stratified = ("data:\n", "randomisation: {method: stratified, by: [la]}\ndata:\n")
    assert simulated(TEST, stratified) == "randomisation_test"
    with pytest.raises(DesignError, match="method: complete"):
        simulated(TEST, ("data:\n", "randomisation: {method: complete}\ndata:\n"))
    summaries = (
        ("    model: regression\n", "    model: cluster_summaries\n"),
        ("{vcov: CR2, cluster: team}", "{cluster: team, by: la}"),
    )
    assert simulated(*summaries) == "cluster_summaries"
    with pytest.raises(DesignError, match="a comparison without by"):
        simulated(summaries[0], ("{vcov: CR2, cluster: team}", "{cluster: team}"))


def test_rates_and_standardised_effects_are_sized(tmp_path):
    plan = planned(
        tmp_path,
        TRIAL,
        ('rereferred: {type: binary, missing: [""]}', "rereferred: {type: integer}"),
        ("type: binary, better", "type: count, better"),
        ("summary: risk_difference", "summary: rate_ratio"),
        ("family: binomial", "family: poisson"),
        ("{control: 0.22}             # risk in the comparator arm", "{control: 0.3, exposure: 2, test: log}"),
        ("mdes: -0.082", "mdes: 0.77"),
    )
    own = Trial(
        levels=[Level("child", 60, attrition=0.10), Level("team", 48, icc=0.05, size_cv=0.4)],
        assigned="team",
        outcome=we.Rate(control=0.3, exposure=2, test="log"),
    )
    assert plan.power().mdes.fall == pytest.approx(float(own.mdes(0.8).fall), abs=1e-14)
    assert plan.simulate(reps=40, rng=1).records[0].analysis == "regression_cr2"
    standard = planned(
        tmp_path, TRIAL, *CONTINUOUS, ("summary: mean_difference", "summary: hedges_g"), ("{sd: 10}", "{}")
    )
    assert standard.power().mdes.outcome.sd == 1
    (problem,) = p07(planned(tmp_path, TRIAL, *CONTINUOUS, ("{sd: 10}", "{}")))
    assert "goes with sd" in problem.message


def test_varied_analyses_and_wedges_are_simulated(tmp_path):
    with pytest.raises(DesignError, match="vcov: CR1S"):
        planned(tmp_path).simulate(reps=10, rng=1, analysis="satterthwaite")
    with pytest.raises(PlanError, match="no analysis 'secondary'"):
        planned(tmp_path).simulate(reps=10, rng=1, analysis="secondary")
    plan = planned(tmp_path, WEDGE, *WEDGED)
    assert plan.simulate(reps=100, rng=1, drift_sd=0.1).records[0].analysis == "regression_cr2"
    bare = planned(tmp_path, WEDGE, *WEDGED, ("~ arm + local_authority + period", "~ arm + period"))
    with pytest.raises(DesignError, match="without local_authority"):
        bare.simulate(reps=10, rng=1)


# --- the verb


def test_the_verb(tmp_path):
    path = str(planned(tmp_path).path)
    shown = CliRunner().invoke(group, ["power", path])
    assert shown.exit_code == 0
    assert "Needed for the stated effect" in shown.output
    shown = CliRunner().invoke(group, ["power", path, "--simulate", "200", "--seed", "4"])
    assert shown.exit_code == 0, shown.output
    assert "regression_cr2" in shown.output
    assert "Type I error" in shown.output
    assert CliRunner().invoke(group, ["power", path, "--simulate", "200"]).exit_code == 2
    assert CliRunner().invoke(group, ["power", path, "--seed", "1"]).exit_code == 2


# --- numbers analysed


def test_numbers_analysed_take_the_place_of_those_planned(tmp_path):
    plan = planned(tmp_path)
    design = analysed(plan.power().design, 2000, (20, 22))
    assert [float(level.n) for level in design.levels] == pytest.approx([2000 / 42, 42])
    assert design.level("child").attrition == 0
    assert float(design.allocation) == pytest.approx(22 / 42)
    wedge = planned(tmp_path, WEDGE, *WEDGED).power().design
    assert analysed(wedge, 9000, ()).sizes.sum() == pytest.approx(9000)


def test_counts_that_are_not_shown_are_not_used(tmp_path):
    facts = planned(tmp_path).facts
    arms = {"usual": {"n_clusters": 20}, "programme": {"n_clusters": 22}}
    assert sizes_shown(facts, {"n": 2000, "by_arm": arms}) == (2000, (20, 22))
    assert sizes_shown(facts, {"n": "<10", "by_arm": arms}) is None
    assert sizes_shown(facts, {"n": 2000, "by_arm": {**arms, "usual": {"n_clusters": "<10"}}}) is None


# --- the report


def test_the_report_says_what_the_trial_was_sized_for(tmp_path):
    import pandas as pd

    from wwc_eval.data import write_csv

    rng = np.random.default_rng(5)
    team = np.repeat(np.arange(46), 50)
    frame = pd.DataFrame(
        {
            "child_id": [f"{i:04d}" for i in range(len(team))],
            "team": [f"T{t:02d}" for t in team],
            "arm": np.where(team % 2 == 0, "usual", "programme"),
            "age": rng.integers(0, 18, len(team)),
            "rereferred": (rng.random(len(team)) < 0.22).astype(int),
        }
    )
    plan = planned(tmp_path)
    write_csv(frame, plan.path.parent / "children.csv")
    results = plan.run(out=tmp_path / "out", draft=True)
    (item,) = [each for each in results.record.design if each.key == "power"]
    told = {row["fact"]: row["value"] for row in item.table.to_dicts()}
    design = analysed(plan.power().design, 2300, (23, 23))
    fall = 100 * float(design.mdes(0.8).fall)
    assert told["The same with the numbers analysed"].startswith(f"fall \u2212{-fall:.2f} percentage points")
    assert "2,300 children of 46 teams" in told["The same with the numbers analysed"]
    assert told["Stated"] == "\u22128.20 percentage points with 80% power (two-sided 5% test)"
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "What the trial was sized for" in page
    assert "2,300 children of 46 teams" in page
    docx = pytest.importorskip("docx")
    document = docx.Document(str(results.report(tmp_path / "report.docx")))
    assert "What the trial was sized for" in [text.text for text in document.paragraphs]
    cells = [[cell.text for cell in row.cells] for table in document.tables for row in table.rows]
    assert all([name, value] in cells for name, value in told.items())
