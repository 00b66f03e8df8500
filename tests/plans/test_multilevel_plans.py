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
