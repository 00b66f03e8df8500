"""Plans of multilevel models: what cannot work is refused when the plan is checked, and what can passes."""

import pytest
from test_multilevel_plans import PRIMARY, plan_of

import wwc_eval as we

FAULTS = {
    "no random part": ("P14", [(PRIMARY, "wellbeing ~ arm + age + la")], "(1 | school)"),
    "no arm": ("P14", [(PRIMARY, "wellbeing ~ age + (1 | la/team)")], "'arm'"),
    "arm in the random part alone": ("P14", [(PRIMARY, "wellbeing ~ age + (1 + arm | la/team)")], "'arm'"),
    "unknown column in the random part": ("P02", [(PRIMARY, "wellbeing ~ arm + (1 | la/tam)")], "'tam'"),
    "slope measured later": ("P06", [(PRIMARY, "wellbeing ~ arm + (1 + months | la/team)")], "'months'"),
    "Kenward-Roger of an ML fit": (
        "P14",
        [("    inference: {method: kenward", "    method: ml\n    inference: {method: kenward")],
        "REML",
    ),
    "Kenward-Roger of a logistic model": (
        "P14",
        [("    method: agq\n", "    method: agq\n    inference: {method: kenward_roger}\n")],
        "model: regression with team as a fixed effect",
    ),
    "CR2 of a count model": (
        "P14",
        [("    exposure: months\n", "    exposure: months\n    inference: {method: CR2}\n")],
        "worked out for a gaussian family",
    ),
    "REML of a logistic model": ("P14", [("method: agq", "method: reml")], "laplace or agq"),
    "quadrature of a linear model": (
        "P14",
        [("    inference: {method: kenward", "    method: agq\n    inference: {method: kenward")],
        "reml or ml",
    ),
    "quadrature of two random effects": ("P14", [("boy + la + (1 | team)", "boy + (1 | la/team)")], "single random"),
    "quadrature of a slope": ("P14", [("boy + la + (1 | team)", "boy + la + (1 + boy | team)")], "single random"),
    "points without quadrature": ("P14", [("method: agq\n", "method: laplace\n")], "is of method: agq"),
    "one point": ("S03", [("quadrature_points: 7", "quadrature_points: 1")], "greater than or equal to 2"),
    "exposure of a score": ("P14", [("    report: [mean_d", "    exposure: months\n    report: [mean_d")], "a count"),
    "cluster without robust errors": (
        "P14",
        [("{method: kenward_roger}", "{method: kenward_roger, cluster: team}")],
        "does not use a cluster",
    ),
    "crossed factors without a cluster": (
        "P14",
        [("(1 | la/team)", "(1 | team) + (1 | worker)"), ("{method: kenward_roger}", "{method: CR2}")],
        "with crossed factors",
    ),
    "clusters not among what was randomised": (
        "P04",
        [("{method: CR2, cluster: la}", "{method: CR2, cluster: worker}")],
        "worker",
    ),
    "clusters inside the groups of a factor": (
        "P14",
        [("{method: CR2, cluster: la}", "{method: CR2, cluster: team}")],
        "clusters of 'team' lie inside groups of 'la'",
    ),
    "clusters that may cut the groups of a factor": (
        "P04",
        [("(1 | la/team)", "(1 | worker)"), ("{method: CR2, cluster: la}", "{method: CR2, cluster: team}")],
        "whole groups of worker is not said",
    ),
    "eefAnalytics with weights": (
        "P14",
        [("{weights: weight, method", "{weights: weight, effect_size: {formula: eef}, formula: wellbeing ~ arm + la + (1 | team), method")],
        "weights are in 'weight'",
    ),
    "Glass's delta by eefAnalytics": ("P14", [("report: [hedges_g], effect", "report: [glass_delta], effect")], "glass_delta"),
    "random effects below what was randomised": ("P04", [("(1 | la/team)", "(1 | worker)")], "not team"),
    "block left out": ("P05", [("(1 | la/team)", "(1 | team)")], "'la'"),
    "standard deviations of no effect size": ("P14", [("[mean_difference, hedges_g]", "[mean_difference]")], "effect_size"),
    "eefAnalytics with two factors": (
        "P14",
        [("effect_size: {variance: total, model: unconditional}", "effect_size: {formula: eef}")],
        "one grouping factor",
    ),
    "g of a logistic model": ("P09", [("[risk_difference, odds_ratio]", "[hedges_g]")], "hedges_g does not fit"),
    "logistic model of a score": (
        "P09",
        [("    formula: wellbeing", "    family: binomial\n    formula: wellbeing")],
        "binomial does not fit",
    ),
    "completed column of the random part": (
        "P12",
        [("missing: {method: missing_indicator}", "missing: {method: missing_indicator, columns: [team]}")],
        "'team' is not a covariate",
    ),
    "quasi family": ("S03", [("family: negative_binomial", "family: quasipoisson")], "family"),
    "cluster averages of a conditional measure": (
        "P14",
        [("report: [risk_difference, odds_ratio]", "report: [odds_ratio]\n    average: clusters")],
        "average is of averaged effects",
    ),
    "replicates of a coefficient": (
        "P14",
        [("report: [risk_difference, odds_ratio]", "report: [coefficient]\n    bootstrap: {seed: 1}")],
        "bootstrap is of averaged effects",
    ),
    "outcomes drawn from a regression": (
        "P14",
        [("{model: regression, formula", "{model: regression, bootstrap: {seed: 1, draw: parametric}, formula")],
        "cannot be drawn from a regression",
    ),
    "strata of drawn outcomes": (
        "P14",
        [("    method: agq", "    bootstrap: {seed: 1, draw: parametric, strata: arm}\n    method: agq")],
        "strata are of draws of clusters",
    ),
    "strata not declared": ("P02", [("    method: agq", "    bootstrap: {seed: 1, strata: arms}\n    method: agq")], "'arms'"),
    "replicates without a seed": ("S02", [("    method: agq", "    bootstrap: {reps: 999}\n    method: agq")], "seed"),
    "cluster averages without clusters": (
        "P08",
        [("  kind: cluster\n", "  kind: individual\n"), ("  clusters: {usual: 12, programme: 12}\n", ""),
         ("    method: agq", "    average: clusters\n    method: agq")],
        "could count once each",
    ),
    "few clusters with a Wald test": (
        "P08",
        [("{usual: 12, programme: 12}", "{usual: 5, programme: 5}"), ("{method: kenward_roger}", "{method: wald}")],
        "kenward_roger",
    ),
    "few clusters with a logistic model": ("P08", [("{usual: 12, programme: 12}", "9")], "waive P08"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_work_is_refused_when_the_plan_is_checked(case, tmp_path):
    code, edits, words = FAULTS[case]
    try:
        problems = plan_of(tmp_path, *edits).check()
    except we.PlanError as error:
        problems = list(error.problems)
    assert any(problem.code == code and words in str(problem) for problem in problems), problems
    assert all(problem.place.line for problem in problems)


SOUND = {
    "as it stands": [],
    "few clusters, each analysis with its own reason": [
        ("{usual: 12, programme: 12}", "{usual: 5, programme: 5}"),
        ("waivers: []", "waivers: [{check: P08, analysis: binary, reason: r}, {check: P08, analysis: counts, reason: r}]"),
    ],
    "inference is the family's own": [("    inference: {method: kenward_roger}\n", "")],
    "clusters of no factor, said to lie above them": [
        ("  clusters: {", "  levels: [team, worker]\n  clusters: {"),
        ("{method: CR2, cluster: la}", "{method: CR2, cluster: worker}"),
    ],
    "nested factors written apart": [("(1 | la/team)", "(1 | la) + (1 | la:team)")],
    "crossed factors with a cluster": [("(1 | la/team)", "(1 | team) + (1 | la)")],
    "random slope of the arm": [("(1 | la/team)", "(1 + arm | la) + (1 | team)")],
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_sound_plans_pass(case, tmp_path):
    assert plan_of(tmp_path, *SOUND[case]).check() == []
