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


def with_ratio(folder, data, ratio, scheme, design="  clusters: 12"):
    plan_of(folder, data, design=design, scheme=scheme)
    text = (folder / "trial.yaml").read_text(encoding="utf-8")
    (folder / "trial.yaml").write_text(text.replace("{usual: 1, programme: 1}", ratio), encoding="utf-8")
    return Plan.load(folder / "trial.yaml")


@pytest.mark.parametrize(
    ("scheme", "method"),
    [
        ("  method: minimisation\n  options: {on: [region]}", we.Minimisation(on="region")),
        (
            "  method: constrained\n  options: {on: [caseload], accept: 0.2}",
            we.Constrained(on="caseload", accept=0.2),
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_chances_that_differ_between_units_are_shown_as_a_range(tmp_path, scheme, method):
    units = teams(12).assign(caseload=[11, 30, 14, 17, 22, 25, 13, 19, 16, 28, 21, 15])
    ratio = {"usual": 1, "programme": 2}
    allocation = we.randomise(units, unit="team", arms=ratio, method=method, seed="a draw")
    arms = units["team"].map(allocation.table.set_index("team")["arm"].astype(str))
    data = children(units, arms)
    plan = with_ratio(tmp_path, data, "{usual: 1, programme: 2}", scheme)
    if "caseload" in scheme:
        text = (tmp_path / "trial.yaml").read_text(encoding="utf-8")
        text = text.replace("      period: ", "      caseload: {type: integer, baseline: true}\n      period: ")
        (tmp_path / "trial.yaml").write_text(text, encoding="utf-8")
        plan = Plan.load(tmp_path / "trial.yaml")
    (facts,), _, warnings = told(plan, data)
    assert not warnings
    low, high = allocation.probabilities.min(axis=0), allocation.probabilities.max(axis=0)
    assert (high - low).min() > 0.01
    assert facts["Probability of an arm"] == "; ".join(
        f"{name}: {round(a, 3):g} to {round(b, 3):g}" for name, a, b in zip(ratio, low, high, strict=True)
    )
    assert facts["Permitted allocations"].replace(",", "") == str(allocation.n_permitted)


def test_unequal_chances_of_simple_randomisation_are_those_of_the_ratio(tmp_path):
    units = teams(12)
    data = children(units, ["usual", "programme", "programme"] * 4)
    plan = with_ratio(tmp_path, data, "{usual: 1, programme: 2}", "  method: simple")
    (facts,), _, _ = told(plan, data)
    assert facts["Probability of an arm"] == "usual: 0.333, programme: 0.667, for every team"
    assert facts["Permitted allocations"] == "4,096"


def test_of_people_no_range_is_given(tmp_path):
    units = teams(14)
    ratio = {"usual": 1, "programme": 2}
    method = we.Minimisation(on="region")
    allocation = we.randomise(units, unit="team", arms=ratio, method=method, seed="a draw")
    data = children(units, units["team"].map(allocation.table.set_index("team")["arm"].astype(str)))
    text = PLAN.format(kind="individual", design="", scheme="  method: minimisation\n  options: {on: [region]}")
    text = text.replace("{usual: 1, programme: 1}", "{usual: 1, programme: 2}")
    (tmp_path / "trial.yaml").write_text(text, encoding="utf-8")
    write_csv(data, tmp_path / "children.csv")
    (facts,), _, _ = told(Plan.load(tmp_path / "trial.yaml"), data)
    assert facts["Probability of an arm"] == "differs between units"


def test_the_range_is_in_the_page_and_in_the_word_file(tmp_path):
    docx = pytest.importorskip("docx")
    units = teams(12)
    ratio = {"usual": 1, "programme": 2}
    allocation = we.randomise(units, unit="team", arms=ratio, method=we.Minimisation(on="region"), seed="a draw")
    data = children(units, units["team"].map(allocation.table.set_index("team")["arm"].astype(str)))
    scheme = "  method: minimisation\n  options: {on: [region]}"
    plan = with_ratio(tmp_path, data, "{usual: 1, programme: 2}", scheme)
    (facts,), _, _ = told(plan, data)
    results = plan.run(out=tmp_path / "run", draft=True)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert facts["Probability of an arm"] in page
    results.report(tmp_path / "report.docx")
    document = docx.Document(tmp_path / "report.docx")
    assert "What the scheme of allocation permits" in [text.text for text in document.paragraphs]
    cells = [[cell.text for cell in row.cells] for table in document.tables for row in table.rows]
    assert ["Probability of an arm", facts["Probability of an arm"]] in cells
    assert ["Permitted allocations", "4,096"] in cells
