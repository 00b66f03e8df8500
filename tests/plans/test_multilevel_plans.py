"""Plans that ask for multilevel models: what is refused when checked, and runs whose numbers are the verbs' own."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.multilevel.advice import advise
from wwc_eval.multilevel.modification import effect_modification
from wwc_eval.plans import Plan

PLAN = """
schema_version: 1
id: teams
title: A practice model in 24 teams
question: Does the practice model raise wellbeing?
estimand:
  population: children in one year
  treatment: practice model
  comparator: services as usual
  comparator_arm: usual
  outcome: wellbeing
  summary: mean_difference
design:
  kind: cluster
  unit: team
  within: la
  clusters: {usual: 12, programme: 12}
  arms: {usual: 1, programme: 1}
data:
  children:
    file: children.csv
    grain: one row per child
    key: [child_id]
    columns:
      child_id:   {type: text}
      la:         {type: text}
      team:       {type: text}
      worker:     {type: text, baseline: true}
      arm:        {type: category, levels: [usual, programme]}
      age:        {type: integer, min: 0, max: 17, missing: [""], baseline: true}
      boy:        {type: binary, baseline: true}
      months:     {type: number, min: 0}
      weight:     {type: number, min: 0}
      wellbeing:  {type: number, units: points}
      rereferred: {type: binary}
      visits:     {type: integer, min: 0}
outcomes:
  - {name: wellbeing, role: primary, type: continuous, better: higher}
  - {name: rereferred, role: exploratory, type: binary, better: lower}
  - {name: visits, role: exploratory, type: count, better: lower}
analyses:
  - id: primary
    outcome: wellbeing
    model: multilevel
    formula: wellbeing ~ arm + age + (1 | la/team)
    report: [mean_difference, hedges_g]
    effect_size: {variance: total, model: unconditional}
    inference: {method: kenward_roger}
    missing: {method: missing_indicator}
  - id: binary
    outcome: rereferred
    model: multilevel
    family: binomial
    method: agq
    quadrature_points: 7
    formula: rereferred ~ arm + boy + la + (1 | team)
    report: [risk_difference, odds_ratio]
  - id: counts
    outcome: visits
    model: multilevel
    family: negative_binomial
    exposure: months
    formula: visits ~ arm + boy + la + (1 | team)
sensitivity:
  - {id: CR2, of: primary, change: {inference: {method: CR2, cluster: la}}}
  - {id: wald, of: primary, change: {inference: {method: wald}}}
  - {id: glass, of: primary, change: {report: [hedges_g], effect_size: {formula: eef}, formula: wellbeing ~ arm + la + (1 | team)}}
  - {id: weighted, of: primary, change: {weights: weight, method: ml, inference: {method: satterthwaite}}}
  - {id: GLM_clusters, of: binary, change: {model: regression, formula: rereferred ~ arm + boy + la, average: clusters, impact: {per_year: 400, event: re-referrals}, inference: {vcov: CR2, cluster: team}}}
  - {id: GLM_drawn, of: binary, change: {model: regression, formula: rereferred ~ arm + boy + la, report: [risk_difference], bootstrap: {seed: 7, reps: 99, strata: arm}, inference: {vcov: CR2, cluster: team}}}
  - {id: GLM, of: binary, change: {model: regression, formula: rereferred ~ arm + boy + la, inference: {vcov: CR2, cluster: team}}}
  - {id: poisson, of: counts, change: {family: poisson}}
subgroups:
  - {id: boys, of: primary, by: boy, why: boys differ}
  - {id: boys_risk, of: binary, by: boy, why: boys differ}
waivers: []
disclosure: {profile: dfe, threshold: 10}
"""
ALONE = [
    (PLAN[PLAN.index("  - id: binary") : PLAN.index("waivers")], ""),
    (PLAN[PLAN.index("  - {name: rereferred") : PLAN.index("analyses:")], ""),
    ("age + (1 | la/team)", "age + la + (1 | team)"),
]
"""Edits that leave the primary analysis alone, with one random effect."""
PRIMARY = "wellbeing ~ arm + age + (1 | la/team)"


def children(n=1200, teams=24):
    rng = np.random.default_rng(11)
    team = np.arange(n) % teams
    la, arm, boy = team % 6, (team // 6) % 2, rng.integers(0, 2, n)
    common = 0.5 * rng.normal(size=teams)[team] + 0.3 * rng.normal(size=6)[la]
    months = rng.integers(1, 13, n)
    age = rng.integers(0, 18, n).astype(object)
    age[::40] = ""
    return pd.DataFrame({
        "child_id": [f"{i:05d}" for i in range(n)],
        "la": [f"la {k}" for k in la],
        "team": [f"team {k}" for k in team],
        "worker": [f"worker {k}" for k in rng.integers(0, 40, n)],
        "arm": np.where(arm, "programme", "usual"),
        "age": age,
        "boy": boy,
        "months": months,
        "weight": rng.integers(1, 4, n),
        "wellbeing": np.round(50 + 0.8 * arm + common + 2 * rng.normal(size=n), 3),
        "rereferred": (rng.random(n) < 1 / (1 + np.exp(0.8 + 0.4 * arm + common))) * 1,
        "visits": rng.poisson(0.3 * months * np.exp(common - 0.2 * arm) * rng.gamma(2, 0.5, n)),
    })  # fmt: skip


def plan_of(tmp_path, *edits, data=None):
    text = PLAN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "teams.yaml").write_text(text, encoding="utf-8")
    if data is not None:
        write_csv(data, tmp_path / "children.csv")
    return Plan.load(tmp_path / "teams.yaml")


# --- checks

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


# --- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teams")
    plan = plan_of(folder, data=children())
    plan.lock()
    results = plan.run(out=folder / "out")
    written = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))["analyses"]
    return results, written, folder / "out"


@pytest.fixture(scope="module")
def frame():
    found = children()
    found["age"] = pd.to_numeric(found["age"], errors="coerce")
    found["arm"] = pd.Categorical(found["arm"], categories=["usual", "programme"])
    found["age_missing"] = found["age"].isna() * 1.0
    found["age"] = found["age"].fillna(found["age"].mean())
    return found


def same(one, other, *, scale=None):
    for name in ("estimate", "se", "ci_low", "ci_high", "p_value"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9), name
    assert one.df == pytest.approx(other.df, rel=1e-9)
    assert scale is None or one.scale == scale


def test_every_analysis_ran(run):
    results, written, _ = run
    assert results.failed == ()
    assert {entry["status"] for entry in written.values()} == {"ok"}
    assert results.analyses["primary"].estimates[0].units == "points"


def test_linear_numbers_are_those_of_the_verb(run, frame):
    results, _, _ = run
    fit = we.multilevel_model("wellbeing ~ arm + age + age_missing + (1 | la/team)", frame)
    planned = fit.with_inference("kenward_roger")
    effect, size = results.analyses["primary"].estimates
    same(effect, planned.marginal_effect("arm"), scale="mean_difference")
    same(size, planned.effect_size("arm[programme]", model="unconditional"), scale="hedges_g")
    same(results.analyses["CR2"].estimates[0], fit.with_inference("CR2", cluster="la").marginal_effect("arm"))
    same(results.analyses["wald"].estimates[0], fit.with_inference("wald").marginal_effect("arm"))
    plain = we.multilevel_model("wellbeing ~ arm + la + (1 | team)", frame).with_inference("kenward_roger")
    same(
        results.analyses["glass"].estimates[0],
        plain.effect_size("arm[programme]", formula="eef"),
        scale="hedges_g",
    )
    weighted = we.multilevel_model(
        "wellbeing ~ arm + age + age_missing + (1 | la/team)", frame, weights="weight", method="ml"
    )
    same(results.analyses["weighted"].estimates[0], weighted.marginal_effect("arm"))


def test_generalised_numbers_are_those_of_the_verbs(run, frame):
    results, _, _ = run
    formula = "rereferred ~ arm + boy + la + (1 | team)"
    fit = we.multilevel_model(formula, frame, family="binomial", method="agq", quadrature_points=7)
    difference, odds = results.analyses["binary"].estimates
    same(difference, fit.marginal_effect("arm", scale="risk_difference"), scale="risk_difference")
    coefficient = fit.estimates["arm[programme]"]
    assert math.log(odds.estimate) == pytest.approx(coefficient.estimate, rel=1e-12)
    assert math.log(odds.ci_low) == pytest.approx(coefficient.ci_low, rel=1e-9)
    assert (odds.se, odds.p_value) == pytest.approx((coefficient.se, coefficient.p_value), rel=1e-12)
    counts = we.multilevel_model(
        "visits ~ arm + boy + la + (1 | team)", frame, family="negative_binomial", exposure="months"
    )
    same(results.analyses["counts"].estimates[0], counts.marginal_effect("arm"), scale="rate_ratio")


def test_a_change_of_model_keeps_what_both_know(run, frame):
    results, _, _ = run
    found = results.analyses["GLM"]
    glm = we.regression("rereferred ~ arm + boy + la", frame, family="binomial", vcov="CR2", cluster="team")
    assert (found.model, found.of) == ("regression", "binary")
    assert [item.scale for item in found.estimates] == ["risk_difference", "odds_ratio"]
    same(found.estimates[0], glm.marginal_effect("arm", scale="risk_difference"))


def test_averages_over_clusters_replicates_and_numbers_a_year(run, frame):
    results, _, _ = run
    glm = we.regression("rereferred ~ arm + boy + la", frame, family="binomial", vcov="CR2", cluster="team")
    found = results.analyses["GLM_clusters"]
    whom = {"average": "clusters", "cluster": "team"}
    same(found.estimates[0], glm.marginal_effect("arm", scale="risk_difference", **whom))
    impact = glm.impact("arm", per_year=400, **whom)
    (shown,) = [item for item in found.supplements if item.key.startswith("impact")]
    rows = {row["figure"]: row for row in shown.table}
    change = rows["difference, re-referrals a year"]
    assert (change["estimate"], change["ci_low"], change["ci_high"]) == pytest.approx(
        (impact.difference.estimate, impact.difference.ci_low, impact.difference.ci_high), rel=1e-9
    )
    assert rows["change relative to without, percent"]["estimate"] == pytest.approx(
        100 * impact.percent_change[0], rel=1e-9
    )
    drawn = results.analyses["GLM_drawn"].estimates[0]
    expected = glm.marginal_effect(
        "arm",
        scale="risk_difference",
        interval="bootstrap",
        reps=99,
        rng=7,
        cluster="team",
        strata="arm",
        progress=False,
    )
    for name in ("estimate", "se", "p_value", "ci_low", "ci_high"):
        assert getattr(drawn, name) == pytest.approx(getattr(expected, name), rel=1e-9), name


def test_subgroups_come_with_the_interaction_first(run, frame):
    results, _, _ = run
    fit = we.multilevel_model("wellbeing ~ arm + age + age_missing + boy + arm:boy + (1 | la/team)", frame)
    expected = effect_modification(fit.with_inference("kenward_roger"), "arm", "boy")
    found = results.analyses["boys"].estimates
    assert [item.term for item in found] == [
        "arm[programme]: yes - no",
        "arm[programme] | boy: no",
        "arm[programme] | boy: yes",
    ]
    for item, other in zip(found, expected, strict=True):
        same(item, other)
    risks = results.analyses["boys_risk"].estimates
    assert [item.scale for item in risks] == ["risk_difference"] * 3
    assert risks[0].estimate == pytest.approx(risks[2].estimate - risks[1].estimate, rel=1e-12)
    assert results.analyses["boys"].supplements == ()


def test_supplements_hold_likeness_variances_inferences_and_search(run, frame):
    _, written, _ = run
    fit = we.multilevel_model("wellbeing ~ arm + age + age_missing + (1 | la/team)", frame)
    shown = written["primary"]["supplements"]
    assert list(shown) == ["estimand", "icc", "variances", "inference arm[programme]", "optimiser"]
    for row, share in zip(shown["icc"]["rows"], fit.icc(), strict=True):
        assert row["groups"] == fit.groups[row["group"]]
        assert (row["share"], row["ci_low"], row["ci_high"]) == pytest.approx(
            (share.estimate, share.ci_low, share.ci_high), rel=1e-6, abs=1e-9
        )
    sds = {row["group"]: row["sd"] for row in shown["variances"]["rows"]}
    assert sds["Residual"] == pytest.approx(math.sqrt(fit.residual_variance), rel=1e-9)
    assert all(row["ci_low"] <= row["sd"] <= row["ci_high"] for row in shown["variances"]["rows"])
    beside = {row["inference"]: row for row in shown["inference arm[programme]"]["rows"]}
    assert list(beside) == ["Wald", "Satterthwaite", "Kenward-Roger", "CR2", "CR3"]
    assert "as planned" in beside["Kenward-Roger"]["mark"]
    assert beside["CR3"]["se"] == pytest.approx(advise(fit, "arm[programme]").estimates["CR3"].se, rel=1e-9)
    assert "REML criterion" in shown["optimiser"]["sentences"][1]
    # a varied analysis leaves out what takes long
    assert list(written["CR2"]["supplements"]) == ["inference arm[programme]"]
    assert "ci_low" not in written["weighted"]["supplements"]["variances"]["rows"][0]
    logistic = {row["inference"] for row in written["binary"]["supplements"]["inference arm[programme]"]["rows"]}
    assert {"Wald", "regression, CR2", "regression, CR3"} <= logistic


def test_the_report_shows_supplements_once(run):
    results, _, out = run
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in (
        "Intraclass correlation",
        "Variance components",
        "Inferences side by side",
        "Record of the search",
    ):
        assert words in page
    assert "Coefficient of variation between groups (k)" in page
    # Wald errors of the same fit show their inference alone
    assert [item.key for item in results.analyses["wald"].supplements] == ["inference arm[programme]"]
    assert len(re.findall(r">\s*Intraclass correlation\s*<", page)) == 4  # primary, glass, weighted, binary
    document = pytest.importorskip("docx").Document(_word(results, out))
    assert any("Record of the search" in paragraph.text for paragraph in document.paragraphs)


def _word(results, out):
    return str(results.report(out.parent / "report.docx"))


def test_three_arms_and_an_arm_without_events(tmp_path):
    data = children()
    number = data["team"].str.split().str[1].astype(int)
    data["arm"] = np.array(["usual", "programme", "coach"])[(number // 6 + number) % 3]
    data.loc[data["arm"] == "coach", "rereferred"] = 0
    edits = [
        ("arms: {usual: 1, programme: 1}", "arms: {usual: 1, programme: 1, coach: 1}"),
        ("levels: [usual, programme]", "levels: [usual, programme, coach]"),
        ("{usual: 12, programme: 12}", "{usual: 8, programme: 8, coach: 8}"),
        ("waivers: []", "waivers: [{check: P08, reason: shows what happens}]"),
        (PLAN[PLAN.index("  - id: counts") : PLAN.index("waivers")], ""),
        ("  - {name: visits, role: exploratory, type: count, better: lower}\n", ""),
        ("age + (1 | la/team)", "age + la + (1 | team)"),
    ]
    plan = plan_of(tmp_path, *edits, data=data)
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    primary, binary = results.analyses["primary"], results.analyses["binary"]
    terms = ["arm[programme]", "arm[coach]"]
    assert [item.term for item in primary.estimates] == terms * 2
    assert [item.key for item in primary.supplements if item.key.startswith("inference")] == [
        f"inference {term}" for term in terms
    ]
    assert binary.status == "separated"
    known, lost = binary.estimates[:2]
    assert math.isfinite(known.se)
    assert math.isnan(lost.estimate)
    assert any("infinite" in text for text in lost.warnings)


def test_one_sided_tests_point_where_it_is_better(tmp_path):
    edits = [
        ("  clusters:", "  target: {alpha: 0.05, sides: 1}\n  clusters:"),
        *ALONE,
    ]
    plan = plan_of(tmp_path, *edits, data=children(n=600))
    assert plan.check() == []
    effect = plan.run(out=tmp_path / "out", draft=True).analyses["primary"].estimates[0]
    assert effect.level == pytest.approx(0.90)
    assert "One-sided" in effect.method
    from scipy import special

    assert effect.p_value == pytest.approx(float(special.stdtr(effect.df, -effect.statistic)), rel=1e-12)


def test_few_clusters_in_the_data_are_said_whatever_the_plan_expected(tmp_path):
    edits = [("{method: kenward_roger}", "{method: CR1S}"), *ALONE]
    plan = plan_of(tmp_path, *edits, data=children(n=800, teams=16))
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    warnings = results.analyses["primary"].estimates[0].warnings
    assert any("6 clusters (team) in an arm, fewer than 10" in text for text in warnings)
    assert "fewer than 10" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_sample_too_small_to_show_takes_along_all_that_the_model_shows(tmp_path):
    plan = plan_of(tmp_path, *ALONE, ("threshold: 10", "threshold: 700"), data=children(n=600))
    result = plan.run(out=tmp_path / "out", draft=True).analyses["primary"]
    assert result.status == "withheld"
    assert (result.estimates, result.coefficients, result.supplements) == ((), (), ())
    assert "Variance components" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
