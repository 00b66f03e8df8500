"""Plans of cluster trials whose analysis compares one summary a cluster."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.plans import Plan

PLAN = """
schema_version: 1
id: teams
title: A practice model in eight teams
question: Does the practice model lower re-referrals?
estimand:
  population: children referred in one year
  treatment: practice model
  comparator: services as usual
  comparator_arm: usual
  outcome: rereferred
  summary: risk_difference
design:
  kind: cluster
  unit: team
  arms: {usual: 1, programme: 1}
  clusters: {usual: 4, programme: 4}
data:
  children:
    file: children.csv
    grain: one row per child
    key: [child_id]
    columns:
      child_id:   {type: text}
      team:       {type: text}
      region:     {type: category, levels: [north, south], baseline: true}
      arm:        {type: category, levels: [usual, programme]}
      age:        {type: integer, min: 0, max: 17, baseline: true}
      rereferred: {type: binary}
outcomes:
  - {name: rereferred, role: primary, type: binary, better: lower}
analyses:
  - id: primary
    outcome: rereferred
    model: cluster_summaries
    family: binomial
    formula: rereferred ~ arm + age
    report: [risk_difference, risk_ratio]
    inference: {cluster: team, by: region}
sensitivity:
  - {id: participants, of: primary, change: {inference: {cluster: team, by: region, average: participants}}}
disclosure: {profile: dfe, threshold: 10}
"""


def children():
    rng = np.random.default_rng(5)
    n = 800
    team = np.arange(n) % 8
    chance = 0.35 - 0.1 * (team % 2) + 0.05 * rng.normal(size=8)[team]
    return pd.DataFrame(
        {
            "child_id": [f"{i:04d}" for i in range(n)],
            "team": [f"team {k}" for k in team],
            "region": np.where(team < 4, "north", "south"),
            "arm": np.where(team % 2, "programme", "usual"),
            "age": rng.integers(0, 18, n),
            "rereferred": (rng.random(n) < chance).astype(int),
        }
    )


def planned(tmp_path, text=PLAN):
    write_csv(children(), tmp_path / "children.csv")
    (tmp_path / "teams.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "teams.yaml")


def test_a_plan_runs_the_comparison_that_python_runs(tmp_path):
    plan = planned(tmp_path)
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    primary = results.analyses["primary"]
    options = {"cluster": "team", "family": "binomial", "by": "region", "levels": {"arm": ["usual", "programme"]}}
    direct = we.cluster_summaries("rereferred ~ arm + age", children(), **options)
    assert [row.scale for row in primary.estimates] == ["risk_difference", "risk_ratio"]
    assert primary.estimates[0].to_dict() == direct.estimates[0].to_dict()
    assert primary.estimates[1].to_dict() == direct.with_scale("risk_ratio").estimates[0].to_dict()
    assert primary.estimates[0].df == 5.0
    assert primary.sample["by_arm"]["programme"]["n_clusters"] == 4
    over = results.analyses["participants"].estimates[0]
    assert over.to_dict() == we.cluster_summaries("rereferred ~ arm + age", children(), weights="size", **options).estimates[0].to_dict()  # fmt: skip
    assert over.details["average"] == "participants"
    supplement = primary.supplements[0]
    assert [row["clusters"] for row in supplement.table] == [4, 4]
    assert "each counts once" in supplement.sentences[0]
    assert "intraclass correlation" in supplement.sentences[1]
    page = results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Comparison of cluster summaries by team" in page


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("report: [risk_difference, risk_ratio]", "report: [odds_ratio]", "P09", "have no odds_ratio"),
        ("inference: {cluster: team, by: region}", "inference: {cluster: region}", "P04", "team"),
        ("inference: {cluster: team, by: region}", "inference: {cluster: team, by: regoin}", None, "regoin"),
        (
            "inference: {cluster: team, by: region}",
            "inference: {cluster: team, by: region, variance: welch}",
            "P14",
            "no strata",
        ),
        (
            "inference: {cluster: team, by: region}",
            "inference: {cluster: team, average: participants, variance: pooled}",
            "P14",
            "equally variable",
        ),
        ("rereferred ~ arm + age", "rereferred ~ arm + age + (1 | team)", "P14", "no random effects"),
    ],
)
def test_findings(tmp_path, old, new, code, words):
    found = planned(tmp_path, PLAN.replace(old, new, 1)).check()
    fitting = [problem for problem in found if words in f"{problem.message} {problem.fix}"]
    assert fitting
    assert code is None or fitting[0].code == code


def test_subgroups_name_what_to_vary_instead(tmp_path):
    text = PLAN.replace(
        "disclosure:",
        "subgroups:\n  - {id: south, of: primary, by: region, why: rural teams work otherwise}\ndisclosure:",
    )
    plan = planned(tmp_path, text)
    assert [p for p in plan.check() if p.severity == "error"] == []
    found = plan.run(out=tmp_path / "out", draft=True).analyses["south"]
    assert found.status == "failed"
    assert "one effect" in found.message
    assert not found.estimates
