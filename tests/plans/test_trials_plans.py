"""Plans whose outcome is a number of successes: a row a team, so many children of so many."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.plans import Plan

PLAN = """
schema_version: 1
id: teams
title: A practice model in sixty teams
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
  clusters: {usual: 30, programme: 30}
data:
  teams:
    file: teams.csv
    grain: one row per team
    key: [team]
    columns:
      team:       {type: text}
      authority:  {type: text, baseline: true}
      arm:        {type: category, levels: [usual, programme]}
      referrals:  {type: integer, min: 1}
      rereferred: {type: integer, min: 0}
      caseload:   {type: number, baseline: true}
outcomes:
  - {name: rereferred, trials: referrals, role: primary, type: binary, better: lower, label: Re-referred within a year}
analyses:
  - id: primary
    outcome: rereferred
    model: regression
    family: binomial
    formula: rereferred / referrals ~ arm + caseload
    report: [risk_difference, risk_ratio, odds_ratio]
    inference: {vcov: CR2, cluster: team}
sensitivity:
  - id: mixed
    of: primary
    change:
      model: multilevel
      formula: rereferred / referrals ~ arm + caseload + (1 | authority/team)
      report: [risk_difference]
  - id: summaries
    of: primary
    change:
      model: cluster_summaries
      formula: rereferred / referrals ~ arm
      report: [risk_difference]
      inference: {cluster: team}
disclosure: {profile: dfe, threshold: 10}
"""


def teams():
    rng = np.random.default_rng(11)
    n = 60
    caseload = np.round(rng.normal(18, 3, n), 1)
    arm = np.arange(n) % 2
    referrals = rng.integers(30, 120, n)
    chance = 1 / (1 + np.exp(1.2 + 0.3 * arm - 0.02 * caseload + 0.3 * rng.normal(size=n)))
    return pd.DataFrame(
        {
            "team": [f"team {i:02d}" for i in range(n)],
            "authority": [f"la {i // 6}" for i in range(n)],
            "arm": np.where(arm, "programme", "usual"),
            "referrals": referrals,
            "rereferred": rng.binomial(referrals, chance),
            "caseload": caseload,
        }
    )


def planned(tmp_path, text=PLAN, frame=None):
    write_csv(teams() if frame is None else frame, tmp_path / "teams.csv")
    (tmp_path / "teams.yaml").write_text(text, encoding="utf-8")
    return Plan.load(tmp_path / "teams.yaml")


def test_a_plan_of_successes_of_trials_runs_what_python_runs(tmp_path):
    plan = planned(tmp_path)
    assert plan.check() == []
    results = plan.run(out=tmp_path / "out", draft=True)
    frame, levels = teams(), {"arm": ["usual", "programme"]}
    options = {"family": "binomial", "levels": levels}
    fits = {
        "primary": we.regression(
            "rereferred / referrals ~ arm + caseload", frame, vcov="CR2", cluster="team", **options
        ),
        "mixed": we.multilevel_model(
            "rereferred / referrals ~ arm + caseload + (1 | authority/team)", frame, **options
        ),
    }
    for name, fit in fits.items():
        found = results.analyses[name].estimates[0]
        direct = fit.marginal_effect("arm", scale="risk_difference")
        assert (found.estimate, found.se, found.p_value) == (direct.estimate, direct.se, direct.p_value)
    direct = we.cluster_summaries("rereferred / referrals ~ arm", frame, cluster="team", **options)
    assert results.analyses["summaries"].estimates[0].estimate == direct.estimates[0].estimate
    for arm, rows in frame.groupby("arm"):
        entry = results.analyses["primary"].sample["by_arm"][arm]
        assert (entry["n"], entry["events"], entry["trials"]) == (30, rows.rereferred.sum(), rows.referrals.sum())
        assert entry["mean"] == rows.rereferred.sum() / rows.referrals.sum()
    page = results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    usual = frame[frame.arm == "usual"]
    assert f"{usual.rereferred.sum():,} of {usual.referrals.sum():,}" in page
    assert "successes of referrals" in page


def test_few_successes_are_hidden_with_what_would_give_them_away(tmp_path):
    frame = teams()
    frame.loc[frame.arm == "programme", "rereferred"] = 0
    frame.loc[[1, 3], "rereferred"] = 2
    found = planned(tmp_path, frame=frame).run(out=tmp_path / "out", draft=True).analyses["primary"]
    entry = found.sample["by_arm"]["programme"]
    assert not isinstance(entry["events"], int)
    assert not isinstance(entry["mean"], float)


def test_few_failures_hide_the_successes_or_the_trials(tmp_path):
    frame = teams()
    frame.loc[frame.arm == "programme", "rereferred"] = frame.referrals
    frame.loc[[1, 3], "rereferred"] -= 2
    found = planned(tmp_path, frame=frame).run(out=tmp_path / "out", draft=True).analyses["primary"]
    entry = found.sample["by_arm"]["programme"]
    assert not (isinstance(entry["events"], int) and isinstance(entry["trials"], int))


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("type: binary, better", "type: continuous, better", "P09", "trials go with a binary outcome"),
        ("rereferred: {type: integer, min: 0}", "rereferred: {type: binary}", "P09", "declared as binary"),
        ("referrals:  {type: integer, min: 1}", "referrals:  {type: number}", "P09", "declared as number"),
        ("trials: referrals", "trials: referals", "P02", "not declared"),
        (
            "formula: rereferred / referrals ~ arm + caseload\n",
            "formula: rereferred ~ arm\n",
            "P14",
            "rereferred / ",
        ),
        ("family: binomial", "family: gaussian", "P09", "trials in 'referrals'"),
        ("type: binary, better", "type: binary, trials: referrals, better", None, "referrals"),
    ],
)
def test_findings(tmp_path, old, new, code, words):
    if code is None:
        with pytest.raises(we.PlanError, match="trials"):
            planned(tmp_path, PLAN.replace(old, new, 1))
        return
    found = planned(tmp_path, PLAN.replace(old, new, 1)).check()
    assert any(problem.code == code and words in f"{problem.message} {problem.fix}" for problem in found)


def test_the_randomisation_test_takes_no_trials(tmp_path):
    text = PLAN.replace("model: regression\n    family: binomial", "model: randomisation_test\n    seed: 1")
    text = text.replace("    inference: {vcov: CR2, cluster: team}\n", "").replace(
        "risk_difference, risk_ratio, odds_ratio", "risk_difference"
    )
    text = text[: text.index("sensitivity:")] + text[text.index("disclosure:") :]
    found = planned(tmp_path, text).check()
    assert any("takes no successes of trials" in problem.message for problem in found)


def test_more_successes_than_trials_are_refused_with_the_rows(tmp_path):
    frame = teams()
    frame.loc[4, "rereferred"] = frame.loc[4, "referrals"] + 1
    found = planned(tmp_path, frame=frame).run(out=tmp_path / "out", draft=True).analyses["primary"]
    assert found.status == "failed"
    assert "is more than 'referrals'" in found.message
