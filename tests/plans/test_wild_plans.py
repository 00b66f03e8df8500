"""Plans whose linear models are tested by the wild cluster bootstrap."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.inference.bootstrap import wild_cluster_bootstrap
from wwc_eval.plans import Plan

PLAN = """
schema_version: 1
id: teams
title: A practice model in ten teams
question: Does the practice model raise wellbeing?
estimand: {population: children, treatment: practice model, comparator: usual services, comparator_arm: usual, outcome: score, summary: coefficient}
design:
  kind: cluster
  unit: team
  arms: {usual: 1, programme: 1}
  clusters: {usual: 5, programme: 5}
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
      score:    {type: number}
outcomes:
  - {name: score, role: primary, type: continuous, better: higher}
analyses:
  - id: primary
    outcome: score
    model: multilevel
    formula: score ~ arm + age + (1 | team)
    report: [coefficient]
    inference: {method: kenward_roger}
    wild: {seed: 4, reps: 999}
sensitivity:
  - {id: robust, of: primary, change: {model: regression, formula: score ~ arm + age, inference: {vcov: CR2, cluster: team}}}
"""


def children():
    rng = np.random.default_rng(2)
    team = np.arange(300) % 10
    arm = np.where(team % 2 == 1, "programme", "usual")
    score = 50 + 2 * (team % 2) + 2 * rng.normal(size=10)[team] + 6 * rng.normal(size=300)
    frame = pd.DataFrame({"child_id": [f"c{k}" for k in range(300)], "team": [f"t{k}" for k in team], "arm": arm})
    return frame.assign(age=rng.integers(0, 18, 300), score=score.round(2))


def plan(tmp_path, *edits):
    text = PLAN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "trial.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "trial.yaml")


def test_the_plan_gives_the_figures_of_the_verb(tmp_path):
    data = children()
    write_csv(data, tmp_path / "children.csv")
    sound = plan(tmp_path)
    assert sound.check() == []
    results = sound.run(draft=True)
    levels = {"arm": ["usual", "programme"]}
    mixed = we.multilevel_model("score ~ arm + age + (1 | team)", data, levels=levels)
    robust = we.regression("score ~ arm + age", data, vcov="CR2", cluster="team", levels=levels)
    for name, fit in (("primary", mixed), ("robust", robust)):
        found = results.analyses[name].estimates[0]
        wanted = wild_cluster_bootstrap(fit, rng=4, term="arm[programme]", reps=999).estimate
        for part in ("estimate", "p_value", "ci_low", "ci_high"):
            assert getattr(found, part) == pytest.approx(getattr(wanted, part), rel=1e-9), part
        assert "Wild cluster bootstrap" in found.method


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([("report: [coefficient]", "report: [mean_difference]"), ("summary: coefficient", "summary: mean_difference")], "of the coefficient"),
        ([("type: continuous", "type: binary"), ("    report: [coeff", "    family: binomial\n    report: [coeff"), ("inference: {method: kenward_roger}", "inference: {method: wald}"), ("{type: number}", "{type: binary}"), ("change: {model", "change: {family: gaussian, model")], "of linear models"),
        ([("inference: {vcov: CR2, cluster: team}", "inference: {vcov: HC2}")], "no clusters whose"),
    ],
)  # fmt: skip
def test_what_the_bootstrap_needs_is_said(tmp_path, edits, words):
    problems = plan(tmp_path, *edits).check()
    assert any(problem.code == "P14" and words in problem.message for problem in problems), problems


def test_profile_intervals_stand_beside_the_others(tmp_path):
    write_csv(children(), tmp_path / "children.csv")
    found = plan(tmp_path, ("    wild: {seed: 4, reps: 999}\n", "    profile: true\n"))
    assert found.check() == []
    result = found.run(out=tmp_path / "out", draft=True).analyses["primary"]
    supplement = next(one for one in result.supplements if one.key == "profile")
    fit = we.multilevel_model("score ~ arm + age + (1 | team)", children(), levels={"arm": ["usual", "programme"]})
    assert supplement.table.to_dicts() == fit.profile_intervals("arm[programme]").to_dicts()


def test_profile_intervals_are_of_linear_models(tmp_path):
    changed = plan(
        tmp_path,
        ("    wild: {seed: 4, reps: 999}\n", "    profile: true\n"),
        ("score:    {type: number}", "score:    {type: binary}"),
        ("type: continuous", "type: binary"),
        ("    model: multilevel\n", "    model: multilevel\n    family: binomial\n"),
        ("    inference: {method: kenward_roger}\n", ""),
    )
    assert any(
        "profile-likelihood intervals are of linear models" in problem.message for problem in changed.check()
    )
