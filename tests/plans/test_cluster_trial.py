"""A plan of a cluster trial: teams are randomised, their number is no secret, and small groups of children are."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
      arm:        {type: category, levels: [usual, programme]}
      age:        {type: integer, min: 0, max: 17, baseline: true}
      rereferred: {type: binary, missing: [""]}
outcomes:
  - {name: rereferred, role: primary, type: binary, better: lower}
analyses:
  - id: primary
    outcome: rereferred
    model: regression
    family: binomial
    formula: rereferred ~ arm + age
    inference: {vcov: CR2, cluster: team}
sensitivity:
  - {id: satterthwaite, of: primary, change: {inference: {vcov: CR1S, cluster: team, df: satterthwaite}}}
disclosure: {profile: dfe, threshold: 10}
"""


def test_cluster_trial(tmp_path):
    rng = np.random.default_rng(5)
    n = 800
    team = np.arange(n) % 8
    chance = 0.35 - 0.1 * (team % 2) + 0.05 * rng.normal(size=8)[team]
    frame = pd.DataFrame({
        "child_id": [f"{i:04d}" for i in range(n)],
        "team": [f"team {k}" for k in team],
        "arm": np.where(team % 2, "programme", "usual"),
        "age": rng.integers(0, 18, n),
        "rereferred": (rng.random(n) < chance).astype(int).astype(object),
    })  # fmt: skip
    frame.loc[:3, "rereferred"] = ""
    write_csv(frame, tmp_path / "children.csv")
    (tmp_path / "teams.yaml").write_text(PLAN, encoding="utf-8")
    plan = Plan.load(tmp_path / "teams.yaml")
    assert plan.check() == []
    plan.lock()
    results = plan.run(out=tmp_path / "out")
    flow = results.record.flow
    assert flow.of("received").counts["teams"] == 8
    assert flow.of("allocated", "usual").counts["teams"] == 4
    assert isinstance(flow.of("lost", "usual").counts["children"], str)  # two children: not shown
    primary = results.analyses["primary"]
    assert primary.sample["by_arm"]["programme"]["n_clusters"] == 4
    cr2 = primary.estimates[0]
    assert cr2.n_clusters == 8
    assert 1 < cr2.df < 7  # Satterthwaite: fewer than clusters - 1
    assert results.analyses["satterthwaite"].estimates[0].df < 7
    assert results.analyses["satterthwaite"].estimates[0].estimate == cr2.estimate
