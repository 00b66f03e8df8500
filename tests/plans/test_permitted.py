"""What a report says of the scheme of allocation: what it permits for the units in the data, and nothing about people."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.plans import Plan
from wwc_eval.plans.permitting import permitted_by

PLAN = """
schema_version: 1
id: teams
title: A practice model
question: Does the practice model lower re-referrals?
estimand:
  population: children referred in one year
  treatment: practice model
  comparator: services as usual
  comparator_arm: usual
  outcome: rereferred
  summary: risk_difference
design:
  kind: {kind}
  unit: team
  arms: {{usual: 1, programme: 1}}
{design}
randomisation:
{scheme}
data:
  children:
    file: children.csv
    grain: one row per child
    key: [child_id]
    columns:
      child_id:   {{type: text}}
      team:       {{type: text}}
      region:     {{type: text, baseline: true}}
      period:     {{type: text, baseline: true}}
      arm:        {{type: category, levels: [usual, programme]}}
      rereferred: {{type: binary}}
outcomes:
  - {{name: rereferred, role: primary, type: binary, better: lower}}
analyses:
  - id: primary
    outcome: rereferred
    model: regression
    formula: rereferred ~ arm + period + region
    family: binomial
    inference: {{vcov: CR2, cluster: team}}
    report: [risk_difference]
waivers:
  - {{check: P08, reason: the size of the example}}
disclosure: {{profile: dfe, threshold: 10}}
"""
STRATIFIED = "  method: stratified\n  by: [region]"
CLUSTERS = "  clusters: {usual: 6, programme: 6}"


def teams(n: int) -> pd.DataFrame:
    return pd.DataFrame({"team": [f"t{k:03d}" for k in range(n)], "region": np.repeat(["north", "south"], n // 2)})


def children(units: pd.DataFrame, arms) -> pd.DataFrame:
    rows = pd.concat(
        [units.assign(arm=arms, period=period) for period in "12" for _ in range(20)], ignore_index=True
    )
    risk = np.random.default_rng(3).random(len(rows))
    return rows.assign(child_id=[f"c{k}" for k in range(len(rows))], rereferred=(risk < 0.3).astype(int))


def plan_of(folder, data, *, kind="cluster", design=CLUSTERS, scheme=STRATIFIED) -> Plan:
    text = PLAN.format(kind=kind, design=design, scheme=scheme)
    (folder / "trial.yaml").write_text(text, encoding="utf-8")
    write_csv(data, folder / "children.csv")
    return Plan.load(folder / "trial.yaml")


def told(plan, frame):
    supplements, warnings = permitted_by(plan.facts, frame, DisclosureRule(threshold=10, profile="dfe"))
    pairs = [{row["fact"]: row["value"] for row in item.table.to_dicts()} for item in supplements]
    return pairs, [item.sentences for item in supplements], warnings


def test_a_run_says_what_the_scheme_permits(tmp_path):
    units = teams(12)
    allocation = we.randomise(
        units, unit="team", arms=("usual", "programme"), method=we.Stratified(by="region"), seed="a draw"
    )
    arms = units["team"].map(allocation.table.set_index("team")["arm"].astype(str))
    plan = plan_of(tmp_path, children(units, arms))
    results = plan.run(out=tmp_path / "run", draft=True)
    (found,) = results.record.design
    assert {row["fact"]: row["value"] for row in found.table.to_dicts()} == {
        "Scheme": "stratified",
        "Permitted allocations": f"{allocation.n_permitted}",
        "Smallest two-sided p-value": f"{allocation.smallest_p_value:.3f}",
        "Probability of an arm": "0.5 for every team",
    }
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "What the scheme of allocation permits" in page
    written = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert written["design"]["permitted"]["rows"][1] == {"fact": "Permitted allocations", "value": "400"}


def test_data_that_do_not_fit_the_scheme_are_warned_about_and_analysed(tmp_path):
    units = teams(12)
    data = children(units, np.tile(["usual", "programme"], 6))
    # a team in two regions was allocated by one of them: which is not known
    data.loc[0, "region"] = "south"
    results = plan_of(tmp_path, data).run(draft=True)
    assert results.record.design == ()
    (warning,) = [text for text in results.record.warnings if "do not fit the scheme" in text]
    assert "'t000' has several values of region" in warning
    assert results.analyses["primary"].status == "ok"


def test_a_wedge_that_cannot_reach_alpha_says_so(tmp_path):
    units = teams(4)
    data = children(units, "usual")
    start = dict(zip(units["team"], (2, 3, 4, 5), strict=True))
    data = pd.concat([data.assign(period=str(k), child_id=data["child_id"] + f"-{k}") for k in range(1, 6)])
    late = data["period"].astype(int) >= data["team"].map(start)
    data = data.assign(arm=np.where(late, "programme", "usual")).reset_index(drop=True)
    scheme = "  method: stepped_wedge_sequences\n  by: [region]\n  options: {sequences: [2, 3, 4, 5], order: [north, south]}"
    plan = plan_of(
        tmp_path, data, kind="stepped_wedge", design="  clusters: 4\n  wedge: {period: period}", scheme=scheme
    )
    (facts,), (sentences,), warnings = told(plan, data)
    assert (facts["Permitted allocations"], facts["Smallest two-sided p-value"]) == ("4", "0.250")
    assert facts["Probability of a sequence"] == "0.5 for every team"
    assert sentences == ("No randomisation test of this design can reach p < 0.05.",)
    assert not warnings
    mistaken = plan_of(tmp_path, data, kind="stepped_wedge", design="  clusters: 4\n  wedge: {period: period}")
    assert told(mistaken, data)[0] == []
    assert "does not go with design: kind: stepped_wedge" in told(mistaken, data)[2][0]


@pytest.mark.parametrize(("n", "shown"), [(12, False), (60, True)])
def test_of_people_no_number_is_given_that_tells_the_size_of_a_stratum(tmp_path, n, shown):
    units = teams(n)
    arms = np.tile(["usual", "programme"], n // 2)
    data = children(units, arms)
    plan = plan_of(tmp_path, data, kind="individual", design="", scheme=STRATIFIED)
    (facts,), (sentences,), warnings = told(plan, data)
    assert facts["Permitted allocations"] == (
        "more than 1,000,000" if shown else "not shown: their number tells the size of small groups"
    )
    assert ("Smallest two-sided p-value" in facts) == shown
    assert (sentences, warnings) == ((), ())
    data.loc[0, "region"] = "south"
    (warning,) = told(plan, data)[2]
    assert "t000" not in warning


def test_a_description_has_nothing_to_say(tmp_path):
    data = children(teams(12), "usual")
    plan = plan_of(tmp_path, data, scheme="  method: drawn from a hat")
    assert told(plan, data) == ([], [], ())


def test_unequal_chances_are_shown_by_arm(tmp_path):
    units = teams(12).assign(region=["north"] * 4 + ["south"] * 8)
    data = children(units, ["programme", "usual", "usual", "usual"] + ["programme"] * 6 + ["usual"] * 2)
    scheme = "  method: saturation\n  options: {within: region, shares: [0.25, 0.75]}"
    (facts,), _, warnings = told(plan_of(tmp_path, data, scheme=scheme), data)
    assert not warnings
    assert facts["Probability of an arm"] == "0.5 for every team"
    complete = plan_of(tmp_path, data, design="  clusters: 12", scheme="  method: complete")
    text = (
        (tmp_path / "trial.yaml")
        .read_text(encoding="utf-8")
        .replace("{usual: 1, programme: 1}", "{usual: 5, programme: 7}")
    )
    (tmp_path / "trial.yaml").write_text(text, encoding="utf-8")
    complete = Plan.load(tmp_path / "trial.yaml")
    (facts,), _, _ = told(complete, data)
    assert facts["Probability of an arm"] == "usual: 0.417, programme: 0.583, for every team"
