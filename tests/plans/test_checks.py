"""Every semantic check with plans that pass and plans that fail, each fault placed at its line."""

from __future__ import annotations

import os

import pytest

from wwc_eval.errors import PlanError
from wwc_eval.plans.checks import CHECKS, WAIVABLE, project_root

PRIMARY = "in_care_12m ~ arm + local_authority + age + sex + previous_plan + family_needs"
SECONDARY = "  - {name: proceedings, role: secondary,"

WEDGE = (
    "  kind: stepped_wedge\n  clusters: 40\n"
    "  wedge: {period: main_need, go_live: {Northmoor: 2020-01-01, Eastvale: 2021-01-01}}\n"
)

POWER = (
    "  power:\n"
    "    levels:\n      [{name: child, n: 1.65}, {name: family, n: 1500, icc: 0.80, attrition: 0.05}]\n"
    "    outcome: {control: 0.45}\n"
)

FIDELITY = f"fidelity:\n  specification: practice.yaml\n  sha256: {'a' * 64}\n  ratings: judged\n"

# id: (code, edits, piece of text on the line that the problem must name)
FAILING = {
    "no primary": ("P01", [("role: primary", "role: secondary")], "outcomes:"),
    "two primaries": ("P01", [("proceedings, role: secondary", "proceedings, role: primary")], SECONDARY[:20]),
    "estimand names another outcome": (
        "P01",
        [("  outcome: in_care_12m\n  summary", "  outcome: proceedings\n  summary")],
        "  outcome: proceedings\n  summary",
    ),
    "outcome without analysis": (
        "P01",
        [(SECONDARY, "  - {name: age, role: exploratory, type: continuous}\n" + SECONDARY)],
        "  - {name: age,",
    ),
    "second analysis of the primary outcome": (
        "P01",
        [
            (
                "sensitivity:\n",
                "  - {id: again, outcome: in_care_12m, model: regression, family: binomial, formula: in_care_12m ~"
                " arm + local_authority, inference: {vcov: CR1, cluster: family_id}}\nsensitivity:\n",
            )
        ],
        "  - {id: again",
    ),
    "covariate not declared": ("P02", [(PRIMARY, PRIMARY + " + agee")], "+ agee"),
    "cluster not declared": ("P02", [("cluster: family_id", "cluster: household_id")], "household_id"),
    "block not declared": ("P02", [("within: local_authority", "within: la")], "within: la"),
    "arm column not declared": (
        "P02",
        [("  arms: {usual: 1, conference: 1}", "  arm_column: group\n  arms: {usual: 1, conference: 1}")],
        "arm_column: group",
    ),
    "unit column not declared": ("P02", [("unit_column: family_id", "unit_column: fam")], "unit_column: fam"),
    "key not declared": ("P02", [("key: [child_id]", "key: [child]")], "key: [child]"),
    "exclusion column not declared": ("P02", [("rule: age >= 18", "rule: years >= 18")], "rule: years"),
    "list not declared": ("P02", [("rule: age >= 18", "rule: family_id in withdrawn")], "rule: family_id in"),
    "missing-data column not declared": (
        "P02",
        [("columns: [sex, family_needs]", "columns: [sexx, family_needs]")],
        "columns: [sexx",
    ),
    "subgroup column not declared": ("P02", [("by: age < 1", "by: months < 1")], "by: months"),
    "exposure not declared": (
        "P02",
        [("    family: quasipoisson\n", "    family: quasipoisson\n    exposure: days_at_risk\n")],
        "exposure: days_at_risk",
    ),
    "randomisation block not declared": ("P02", [("by: [local_authority]", "by: [la]")], "by: [la]"),
    "arms differ from the data": ("P03", [("levels: [usual, conference]", "levels: [usual, meeting]")], "arm:  "),
    "arm of the estimand not in the design": (
        "P03",
        [("treatment_arm: conference", "treatment_arm: meeting")],
        "treatment_arm",
    ),
    "comparator not in the design": ("P03", [("comparator_arm: usual", "comparator_arm: none")], "comparator_arm"),
    "the same arm twice": ("P03", [("treatment_arm: conference", "treatment_arm: usual")], "treatment_arm"),
    "arm column without levels": (
        "P03",
        [("{type: category, levels: [usual, conference]}", "{type: text}")],
        "arm:  ",
    ),
    "share of nought": ("P03", [("conference: 1}", "conference: 0}")], "arms: {usual"),
    "effect stated is not the one detected": (
        "P07",
        [("  assumptions:", POWER + "  assumptions:"), ("mdes: -0.077", "mdes: -0.050")],
        "mdes: -0.050",
    ),
    "effect stated without its power": (
        "P07",
        [("  assumptions:", POWER + "  assumptions:"), ("power: 0.80, mdes: -0.077", "mdes: -0.070")],
        "mdes: -0.070",
    ),
    "size that rests on something and no effect stated": (
        "P07",
        [("  assumptions:", POWER + "  assumptions:"), (", mdes: -0.077", "")],
        "  power:\n",
    ),
    "no level is randomised": (
        "P07",
        [("  assumptions:", POWER.replace("family,", "household,") + "  assumptions:")],
        "  power:\n",
    ),
    "fewer clusters than levels have": (
        "P07",
        [
            ("  kind: individual\n", "  kind: cluster\n  clusters: 1400\n"),
            ("  assumptions:", POWER + "  assumptions:"),
            ("mdes: -0.077", "mdes: -0.070"),
        ],
        "      [{name: child, n: 1.65}",
    ),
    "outcome without its risk": (
        "P07",
        [("  assumptions:", POWER.replace("control: 0.45", "variance: pooled") + "  assumptions:")],
        "  power:\n",
    ),
    "errors not clustered": ("P04", [("{vcov: CR1S, cluster: family_id}", "{vcov: HC2}")], "{vcov: HC2}"),
    "clustered below the unit": (
        "P04",
        [("{vcov: CR1S, cluster: family_id}", "{vcov: CR1S, cluster: child_id}")],
        "cluster: child_id",
    ),
    "sensitivity not clustered": (
        "P04",
        [("change: {family: gaussian, report", "change: {inference: {vcov: HC3}, family: gaussian, report")],
        "inference: {vcov: HC3}",
    ),
    "block not in the model": (
        "P05",
        [(PRIMARY, PRIMARY.replace("local_authority + ", ""))],
        "formula: in_care_12m ~ arm + age",
    ),
    "outcome as covariate": ("P06", [(PRIMARY, PRIMARY + " + days_in_care")], "+ days_in_care"),
    "take-up as covariate": ("P06", [(PRIMARY, PRIMARY + " + conference_held")], "+ conference_held"),
    "post-treatment subgroup": ("P06", [("by: previous_plan", "by: conference_held")], "by: conference_held"),
    "eight clusters an arm without small-sample inference": (
        "P08",
        [("  kind: individual\n", "  kind: cluster\n  clusters: {usual: 8, conference: 8}\n")],
        "inference: {vcov: CR1S",
    ),
    "clusters in all, in unequal shares": (
        "P08",
        [
            ("  kind: individual\n", "  kind: cluster\n  clusters: 36\n"),
            ("{usual: 1, conference: 1}", "{usual: 1, conference: 3}"),
        ],
        "inference: {vcov: CR1S",
    ),
    "number of clusters not declared": ("P08", [("  kind: individual", "  kind: cluster")], "design:\n"),
    "clusters of an unknown arm": (
        "P08",
        [("  kind: individual\n", "  kind: cluster\n  clusters: {usual: 80, meeting: 80}\n")],
        "clusters: {usual",
    ),
    "clusters of an individual trial": (
        "P08",
        [("  kind: individual\n", "  kind: individual\n  clusters: 80\n")],
        "clusters: 80",
    ),
    "scale does not fit the outcome": (
        "P09",
        [("report: [risk_difference, risk_ratio, odds_ratio]", "report: [mean_difference]")],
        "report: [mean_difference]",
    ),
    "rate ratio of a binary outcome": (
        "P09",
        [("report: [risk_difference, odds_ratio]", "report: [rate_ratio]")],
        "report: [rate_ratio]",
    ),
    "family does not fit the outcome": (
        "P09",
        [("family: quasipoisson", "family: binomial")],
        "family: binomial\n    report: [rate_ratio]",
    ),
    "estimand summarises otherwise": ("P09", [("summary: risk_difference", "summary: odds_ratio")], "summary:"),
    "separate subgroup": (
        "P10",
        [("by: age < 1, title", "by: age < 1, method: separate, title")],
        "method: separate",
    ),
    "population that is a subgroup": (
        "P10",
        [
            ("population: intention_to_treat", "population: babies"),
            ("populations:\n", "populations:\n  babies: {rule: age < 1, why: the youngest}\n"),
        ],
        "population: babies",
    ),
    "secondary in no family": ("P11", [("[proceedings, days]", "[proceedings]")], "  - id: days"),
    "family of an unknown analysis": ("P11", [("[proceedings, days]", "[proceedings, days, x]")], "multiplicity:"),
    "in two families": (
        "P11",
        [("{secondary: [proceedings, days]}", "{secondary: [proceedings, days], other: [days]}")],
        "multiplicity:",
    ),
    "completed column is no covariate": (
        "P12",
        [("columns: [sex, family_needs]", "columns: [ethnicity, family_needs]")],
        "columns: [ethnicity",
    ),
    "columns without a method": (
        "P12",
        [("change: {missing: {method: complete_case}}", "change: {missing: {method: complete_case, columns: [sex]}}")],
        "columns: [sex]}}",
    ),
    "alpha of one half": ("P13", [("alpha: 0.05", "alpha: 0.5")], "target: {"),
    "negative alpha": ("P13", [("alpha: 0.05", "alpha: -0.05")], "target: {"),
    "power above one": ("P13", [("power: 0.80", "power: 80")], "target: {"),
    "mdes in the wrong direction": ("P13", [("mdes: -0.077", "mdes: 0.077")], "target: {"),
    "margin in the wrong direction": (
        "P13",
        [("smallest_worthwhile: -0.05", "smallest_worthwhile: 0.05")],
        "smallest_worthwhile",
    ),
    "margin of nought": ("P13", [("smallest_worthwhile: -0.05", "smallest_worthwhile: 0")], "smallest_worthwhile"),
    "one-sided without a direction": (
        "P13",
        [
            ("sides: 2", "sides: 1"),
            ("better: lower\n    smallest_worthwhile: -0.05 ", "better: neither\n    smallest_worthwhile: -0.05 "),
        ],
        "target: {",
    ),
    "function call in a formula": ("P14", [(PRIMARY, PRIMARY + " + I(age**2)")], "I(age**2)"),
    "import in a formula": (
        "P14",
        [(f"formula: {PRIMARY}", "formula: \"in_care_12m ~ __import__('os').system('x')\"")],
        "__import__",
    ),
    "call in a condition": ("P14", [("rule: age >= 18", "rule: exit(1)")], "rule: exit(1)"),
    "random part in a regression": ("P14", [(PRIMARY, PRIMARY + " + (1 | local_authority)")], "(1 | local"),
    "another outcome in the formula": (
        "P14",
        [(f"formula: {PRIMARY}", f"formula: {PRIMARY.replace('in_care_12m', 'proceedings')}")],
        "formula: proceedings ~",
    ),
    "CR without cluster": ("P14", [("{vcov: CR1S, cluster: family_id}", "{vcov: CR1S}")], "{vcov: CR1S}"),
    "HC with cluster": ("P14", [("vcov: CR1S, cluster", "vcov: HC2, cluster")], "vcov: HC2"),
    "absolute path": ("P15", [("../sample_data/family", "/data/family")], "file: /data"),
    "home path": ("P15", [("../sample_data/family", "~/family")], "file: ~/"),
    "outside the project": ("P15", [("../sample_data/family", "../../other/family")], "file: ../../other"),
    "far outside": ("P15", [("../sample_data/family", "../../../../../../etc/family")], "file: ../../../"),
    "drive letter": ("P15", [("file: ../sample_data/family", "file: C:/data/family")], "file: C:/"),
    "backslashes": ("P15", [("../sample_data/family", "..\\sample_data\\family")], "file: ..\\"),
    "web address": ("P15", [("../sample_data/family", "https://example.org/family")], "file: https"),
    "exclusion by arm": ("P16", [("rule: age >= 18", "rule: arm == 'usual' and age >= 18")], "rule: arm"),
    "exclusion by outcome": ("P16", [("rule: age >= 18", "rule: in_care_12m is missing")], "rule: in_care"),
    "window crosses a go-live date": ("P22", [("  kind: individual\n", WEDGE)], "window: {from"),
    "steps of a wedge on one day": (
        "P22",
        [("  kind: individual\n", WEDGE.replace("2021-01-01", "2020-01-01"))],
        "go_live: {",
    ),
    "threshold of nought": ("P20", [("threshold: 10", "threshold: 0")], "threshold: 0"),
    "threshold of three": ("P20", [("threshold: 10", "threshold: 3")], "threshold: 3"),
    "unknown analysis varied": ("R01", [("of: primary\n    title: Unadjusted", "of: prim\n    title: Unadj")], "of: prim\n"),
    "unknown population": ("R01", [("population: intention_to_treat", "population: itt")], "population: itt"),
    "unknown outcome": ("R01", [("outcome: proceedings\n", "outcome: proceeding\n")], "outcome: proceeding\n"),
    "id twice": ("R02", [("id: days", "id: proceedings")], "id: proceedings\n    outcome: days"),
    "id of a change twice": ("R02", [("id: infants", "id: unadjusted")], "{id: unadjusted"),
    "outcome twice": ("R02", [("{name: days_in_care, role", "{name: proceedings, role")], "{name: proceedings, role: secondary, type: count"),
    "changed id": ("R03", [("change: {family: gaussian,", "change: {id: x, family: gaussian,")], "change: {id: x"),
    "waiver of what cannot be waived": (
        "R04",
        [("deviations: []", "waivers: [{check: P01, reason: because}]\ndeviations: []")],
        "waivers:",
    ),
    "change to an unknown field": (
        "S01",
        [("change: {family: gaussian, report", "change: {familly: gaussian, report")],
        "change: {familly",
    ),
    "change to an unknown value": (
        "S03",
        [("change: {family: gaussian, report", "change: {family: normal, report")],
        "change: {family: normal",
    ),
    "randomised before it was registered": (
        "P18",
        [
            ('not registered"}', 'not registered", date: 2026-02-01}'),
            ("  by_whom: a data", "  date: 2026-01-05\n  by_whom: a data"),
        ],
        "date: 2026-01-05",
    ),
    "the seed stands in the plan": (
        "P19", [("rule: drawn by the data manager and recorded before the first referral", "rule: set.seed(4711)")],
        "rule: set.seed",
    ),
    "ratings that are not declared": ("P17", [("disclosure:", FIDELITY + "disclosure:")], "  ratings: judged"),
    "rules without a criterion": ("P23", [("disclosure:", "decision_rules: {go: no_red}\ndisclosure:")], "decision_rules:"),
    "an option that no scheme has": ("P21", [("sizes: [2, 4]", "sizes: [2, 4]\n  options: {size: 3}")], "randomisation:"),
}  # fmt: skip


def test_the_sample_plan_passes_every_check(project):
    assert project.load().check() == []


@pytest.mark.parametrize("case", FAILING)
def test_failing_plan_is_placed(case, project):
    code, edits, piece = FAILING[case]
    plan = project.edit(*edits).load()
    problems = plan.check()
    assert code in {problem.code for problem in problems}, problems
    line = project.line_of(piece)
    assert line in {problem.place.line for problem in problems if problem.code == code}, problems
    assert all(str(problem).startswith(f"{project.plan_file}:{problem.place.line}:") for problem in problems)
    with pytest.raises(PlanError):
        plan.lock()
    assert not list(project.plan_file.parent.glob("*.lock.json"))


def test_every_check_has_a_failing_plan():
    assert set(CHECKS) <= {code for code, _, _ in FAILING.values()}


# edits after which the plan must still pass
PASSING = {
    "P07 the effect as recomputed": [
        ("  assumptions:", POWER + "  assumptions:"),
        ("mdes: -0.077", "mdes: -0.070"),
    ],
    "P07 the power as recomputed": [("  assumptions:", POWER + "  assumptions:"), ("power: 0.80", "power: 0.87")],
    "P07 to the digits stated": [("  assumptions:", POWER + "  assumptions:"), ("mdes: -0.077", "mdes: -0.07")],
    "P05 waived with a reason": [
        (PRIMARY, PRIMARY.replace("local_authority + ", "")),
        ("deviations: []", "waivers: [{check: P05, analysis: primary, reason: tiny blocks}]\ndeviations: []"),
    ],
    "P04 clustered above the unit": [("cluster: family_id", "cluster: local_authority")],
    "P13 one-sided with a direction": [("sides: 2", "sides: 1")],
    "P08 eight clusters an arm with CR2": [
        ("  kind: individual\n", "  kind: cluster\n  clusters: {usual: 8, conference: 8}\n"),
        *[("{vcov: CR1S, cluster: family_id}", "{vcov: CR2, cluster: family_id}")] * 3,
    ],
    "P08 ten clusters an arm": [("  kind: individual\n", "  kind: cluster\n  clusters: 20\n")],
    "P08 waived with a reason": [
        ("  kind: individual\n", "  kind: cluster\n  clusters: {usual: 8, conference: 8}\n"),
        ("deviations: []", "waivers: [{check: P08, reason: a randomisation test is reported}]\ndeviations: []"),
    ],
    "P20 threshold of nought with a reason": [("threshold: 10", "threshold: 0, reason: synthetic data")],
    "P11 one family each": [("{secondary: [proceedings, days]}", "{a: [proceedings], b: [days]}")],
    "P03 no arms in the estimand": [("  treatment_arm: conference\n  comparator_arm: usual\n", "")],
    "P02 a list of values": [("rule: age >= 18", "rule: \"ethnicity in ['other', 'black'] and age >= 18\"")],
    "P14 a quadratic and an interaction": [
        (PRIMARY, PRIMARY + " + age^2 + arm:age"),
        ("report: [risk_difference, risk_ratio, odds_ratio]", "report: [risk_difference, risk_ratio]"),
    ],
    "P16 exclusion by a date": [("rule: age >= 18", "rule: referred_on < '2020-01-01'")],
    "no disclosure block": [("disclosure: {profile: dfe, threshold: 10}\n", "")],
}


@pytest.mark.parametrize("case", PASSING)
def test_passing_plan(case, project):
    assert project.edit(*PASSING[case]).load().check() == []


def test_waivable_checks_are_checks():
    assert set(CHECKS) >= WAIVABLE


def test_all_problems_at_once_in_the_order_of_the_file(project):
    edits = [
        edit
        for case in ("alpha of one half", "exclusion by arm", "separate subgroup")
        for edit in FAILING[case][1]
    ]
    problems = project.edit(*edits).load().check()
    assert {"P10", "P13", "P16"} <= {problem.code for problem in problems}
    lines = [problem.place.line for problem in problems]
    assert lines == sorted(lines)


def test_formula_fault_points_at_its_character(project):
    problems = project.edit((PRIMARY, "in_care_12m ~ arm + age @ sex")).load().check()
    problem = next(problem for problem in problems if problem.code == "P14")
    line = project.text.splitlines()[problem.place.line - 1]
    assert line[problem.place.character - 1] == "@"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_links_that_leave_the_project_are_refused(project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "data.csv"
    outside.write_text("x\n")
    plan = project.edit(("../sample_data/family_conferencing_trial.csv", "link.csv")).write()
    (plan.parent / "link.csv").symlink_to(outside)
    problems = project.load().check()
    assert [problem.code for problem in problems] == ["P15"]
    assert "link" in problems[0].message


def test_project_root(tmp_path):
    alone = tmp_path / "somewhere" / "plan.yaml"
    alone.parent.mkdir()
    assert project_root(alone) == alone.parent.resolve()
    (tmp_path / "analysis_plans").mkdir()
    assert project_root(tmp_path / "analysis_plans" / "p.yaml") == tmp_path.resolve()
    (tmp_path / "pyproject.toml").touch()
    assert project_root(alone) == tmp_path.resolve()
