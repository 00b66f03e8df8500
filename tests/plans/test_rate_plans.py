"""Plans with a randomisation test of a rate, and of what is said where units have no rows to analyse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.plans import Plan
from wwc_eval.table import format_p_value

PLAN = """
schema_version: 1
id: moves
title: Fewer moves of children in care
question: Does the programme lower the rate of placement moves?
estimand:
  population: children in care
  treatment: programme
  comparator: services as usual
  comparator_arm: usual
  outcome: moves
  summary: rate_ratio
design:
  kind: cluster
  unit: team
  within: region
  arms: {usual: 1, programme: 1}
  clusters: {usual: 6, programme: 6}
randomisation:
  method: stratified
  by: [region]
  expected: {north: 6, south: 6}
data:
  children:
    file: children.csv
    grain: one row per child
    key: [child_id]
    columns:
      child_id: {type: text}
      team:     {type: text}
      region:   {type: category, levels: [north, south], baseline: true}
      arm:      {type: category, levels: [usual, programme]}
      age:      {type: integer, min: 0, max: 17, baseline: true}
      left:     {type: binary}
      years:    {type: number, min: 0}
      moves:    {type: integer, min: 0}
  exclusions:
    - {rule: left == 1, reason: their team withdrew}
outcomes:
  - {name: moves, role: primary, type: count, better: lower, label: placement moves}
analyses:
  - id: primary
    outcome: moves
    model: randomisation_test
    formula: moves ~ arm
    statistic: rate_ratio
    exposure: years
    report: [rate_ratio]
sensitivity:
  - {id: adjusted, of: primary, change: {formula: moves ~ arm + age + region}}
waivers:
  - {check: P08, reason: the size of the example}
disclosure: {profile: dfe, threshold: 10}
"""


def units():
    return pd.DataFrame({"team": [f"t{k:02d}" for k in range(12)], "region": ["north"] * 6 + ["south"] * 6})


@pytest.fixture
def trial(tmp_path):
    allocation = we.randomise(
        units(), unit="team", method=we.Stratified(by="region"), arms=("usual", "programme"), seed="a public draw"
    )
    rng = np.random.default_rng(2)
    team = np.repeat(np.arange(12), 40)
    frame = units().loc[team].reset_index(drop=True).assign(child_id=[f"c{k}" for k in range(480)], left=0)
    frame["arm"] = frame["team"].map(
        dict(zip(allocation.table["team"], allocation.table["arm"].astype(str), strict=True))
    )
    frame["age"] = rng.integers(0, 18, 480)
    frame["years"] = rng.uniform(0.1, 1.0, 480).round(3)
    rate = np.exp(0.3 + 0.03 * frame["age"] - 0.5 * (frame["arm"] == "programme") + rng.normal(0, 0.2, 12)[team])
    frame["moves"] = rng.poisson(rate * frame["years"])
    return allocation, frame, tmp_path


def run(folder, frame, *edits, out=None):
    text = PLAN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (folder / "trial.yaml").write_text(text, encoding="utf-8")
    write_csv(frame, folder / "children.csv")
    plan = Plan.load(folder / "trial.yaml")
    return plan, plan.run(draft=True, out=out)


def test_a_plan_gives_the_rate_ratio_of_the_verb(trial):
    allocation, frame, folder = trial
    plan, results = run(folder, frame, out=folder / "run")
    assert not [problem for problem in plan.check() if problem.code in {"P14", "P09"}]
    for name, formula in (("primary", "moves ~ arm"), ("adjusted", "moves ~ arm + age + region")):
        found = results.analyses[name].estimates[0]
        direct = we.randomisation_test(
            allocation, frame, formula, statistic="rate_ratio", exposure="years", ci=True
        )
        for part in ("estimate", "p_value", "ci_low", "ci_high"):
            assert getattr(found, part) == pytest.approx(getattr(direct, part), rel=1e-9)
        assert (found.scale, found.units) == ("rate_ratio", "rate ratio")
    sums = frame.groupby("arm")[["moves", "years"]].sum()
    rates = sums["moves"] / sums["years"]
    assert results.analyses["primary"].estimates[0].estimate == pytest.approx(rates["programme"] / rates["usual"])
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "rate ratio" in page
    assert "The ratio observed was compared with those of all permitted allocations" in page


def test_rows_without_time_at_risk_are_told_of(trial):
    _, frame, folder = trial
    frame.loc[frame.index[::9], "years"] = np.nan
    _, results = run(folder, frame, ("{type: number, min: 0}", '{type: number, min: 0, missing: [""]}'))
    sample = results.analyses["primary"].sample
    assert sample["n"] == 480 - 54
    assert results.analyses["primary"].estimates[0].n == sample["n"]


@pytest.mark.parametrize(
    ("edits", "codes"),
    [
        ([("    exposure: years\n", "")], {"P14"}),
        ([("    statistic: rate_ratio\n", "    statistic: difference_in_means\n")], {"P14", "P09"}),
        ([("report: [rate_ratio]", "report: [mean_difference]")], {"P09"}),
        ([("type: count", "type: continuous")], {"P14"}),
        ([("exposure: years", "exposure: year")], {"P02"}),
    ],
)
def test_what_does_not_go_together_is_said(trial, edits, codes):
    _, frame, folder = trial
    text = PLAN
    for old, new in edits:
        text = text.replace(old, new, 1)
    (folder / "trial.yaml").write_text(text, encoding="utf-8")
    write_csv(frame, folder / "children.csv")
    assert codes <= {problem.code for problem in Plan.load(folder / "trial.yaml").check()}


def test_a_withdrawn_team_is_tested_both_ways(trial):
    """Over all allocations, and over those that agree with the one made on the team that has no rows."""
    allocation, frame, folder = trial
    frame["left"] = (frame["team"] == "t04") * 1
    _, results = run(folder, frame, out=folder / "run")
    stayed = frame[frame["left"] == 0]
    options = {"statistic": "rate_ratio", "exposure": "years", "ci": True}
    whole = we.randomisation_test(allocation, stayed, "moves ~ arm", **options)
    given = we.randomisation_test(allocation.without(["t04"]), stayed, "moves ~ arm", weights=None, **options)
    found = results.analyses["primary"].estimates[0]
    assert (found.p_value, found.ci_low) == (pytest.approx(whole.p_value), pytest.approx(whole.ci_low))
    assert given.details["n_allocations"] < whole.details["n_allocations"] == 400
    said = " ".join(results.analyses["primary"].supplements[0].sentences)
    assert "Units without rows to analyse were allocated too" in said
    assert f"p-value {format_p_value(given.p_value)} (all units: {format_p_value(whole.p_value)})" in said
    assert f"interval {given.shown_interval} (all units: {whole.shown_interval}) rate ratio" in said
    assert "Over only the allocations that agree with the one made" in (folder / "run" / "report.html").read_text(
        encoding="utf-8"
    )


def test_where_all_units_have_rows_nothing_is_said_of_others(trial):
    _, frame, folder = trial
    _, results = run(folder, frame)
    assert "without rows" not in " ".join(results.analyses["primary"].supplements[0].sentences)
