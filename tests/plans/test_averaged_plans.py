"""Plans of multilevel models that ask for averages over clusters, bootstrap intervals and numbers a year."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.plans import Plan

PLAN = """
schema_version: 1
id: teams
title: A practice model in twelve teams
question: Does the practice model lower re-referrals?
estimand: {population: children, treatment: practice model, comparator: usual services, comparator_arm: usual, outcome: seen, summary: risk_difference}
design:
  kind: cluster
  unit: team
  arms: {usual: 1, programme: 1}
  clusters: {usual: 12, programme: 12}
data:
  children:
    file: children.csv
    grain: one row per child
    key: [child_id]
    columns:
      child_id: {type: text}
      team:     {type: text}
      arm:      {type: category, levels: [usual, programme]}
      age:      {type: integer, min: 0, max: 17, baseline: true}
      seen:     {type: binary}
outcomes:
  - {name: seen, role: primary, type: binary, better: lower}
analyses:
  - id: primary
    outcome: seen
    model: multilevel
    family: binomial
    formula: seen ~ arm + age + (1 | team)
    report: [risk_difference]
    impact: {per_year: 1200}
sensitivity:
  - {id: clusters, of: primary, change: {average: clusters}}
  - {id: replicates, of: primary, change: {bootstrap: {seed: 3, reps: 99, draw: parametric}}}
"""


def children():
    rng = np.random.default_rng(6)
    team = np.repeat(np.arange(24), rng.integers(8, 20, 24))
    n = len(team)
    risk = 1 / (1 + np.exp(0.8 + 0.5 * (team % 2) - 0.5 * rng.normal(size=24)[team]))
    frame = pd.DataFrame({"child_id": [f"c{k}" for k in range(n)], "team": [f"t{k}" for k in team]})
    frame["arm"] = np.where(team % 2 == 1, "programme", "usual")
    return frame.assign(age=rng.integers(0, 18, n), seen=(rng.random(n) < risk).astype(int))


def test_the_plan_gives_the_figures_of_the_verbs(tmp_path):
    data = children()
    write_csv(data, tmp_path / "children.csv")
    (tmp_path / "trial.yaml").write_text(PLAN, encoding="utf-8")
    plan = Plan.load(tmp_path / "trial.yaml")
    assert plan.check() == []
    results = plan.run(draft=True)
    fit = we.multilevel_model(
        "seen ~ arm + age + (1 | team)", data, family="binomial", levels={"arm": ["usual", "programme"]}
    )
    replicates = {"interval": "bootstrap", "draw": "parametric", "reps": 99, "rng": 3, "progress": False}
    wanted = {
        "primary": fit.marginal_effect("arm"),
        "clusters": fit.marginal_effect("arm", average="clusters", cluster="team"),
        "replicates": fit.marginal_effect("arm", **replicates),
    }
    for name, effect in wanted.items():
        found = results.analyses[name].estimates[0]
        for part in ("estimate", "ci_low", "ci_high"):
            assert getattr(found, part) == pytest.approx(getattr(effect, part), rel=1e-7), (name, part)
    assert wanted["clusters"].estimate != pytest.approx(wanted["primary"].estimate, rel=1e-4)
    year = fit.impact("arm", per_year=1200)
    (shown,) = [each for each in results.analyses["primary"].supplements if each.key.startswith("impact")]
    told = {row["figure"]: row["estimate"] for row in shown.table.to_dicts()}
    difference = next(value for figure, value in told.items() if figure.startswith("difference"))
    assert difference == pytest.approx(
        next(r["estimate"] for r in year.to_dicts() if r["figure"] == "difference"), rel=1e-7
    )
