"""Plans that allocate: schemes, checks of dates and seeds, randomisation tests, and the record of an allocation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.data import write_csv
from wwc_eval.errors import DataError, LedgerError, LockError, PlanError
from wwc_eval.plans import Plan
from wwc_eval.plans.allocating import KINDS, kind_of, scheme_of
from wwc_eval.plans.randomising import randomise_plan
from wwc_eval.randomisation import SealedKey

PLAN = """
schema_version: 1
id: teams
title: A practice model in twelve teams
registry: {name: a registry, date: 2026-01-10}
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
  within: region
  arms: {usual: 1, programme: 1}
  clusters: {usual: 6, programme: 6}
randomisation:
  method: stratified
  by: [region]
  expected: {north: 6, south: 6}
  seed: {rule: sha256 of the lock hash and a public value, public_value: "National Lottery draw of 2026-02-07"}
  by_whom: a statistician independent of the analyst
  date: 2026-02-08
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
  exclusions:
    - {rule: age > 16, reason: too old}
outcomes:
  - {name: rereferred, role: primary, type: binary, better: lower}
analyses:
  - id: primary
    outcome: rereferred
    model: randomisation_test
    formula: rereferred ~ arm + age + region
    statistic: regression
    report: [risk_difference]
sensitivity:
  - {id: unadjusted, of: primary, change: {formula: rereferred ~ arm, statistic: difference_in_means}}
  - {id: ranked, of: primary, change: {formula: rereferred ~ arm, statistic: rank, report: [coefficient], interval: false}}
disclosure: {profile: dfe, threshold: 10}
"""
PUBLIC = "5 12 23 31 44 50"


def units() -> pd.DataFrame:
    return pd.DataFrame({"team": [f"t{k:02d}" for k in range(12)], "region": ["north"] * 6 + ["south"] * 6})


def project(tmp_path, *edits):
    text = PLAN
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "trial.yaml").write_text(text, encoding="utf-8")
    write_csv(units(), tmp_path / "units.csv")
    return Plan.load(tmp_path / "trial.yaml")


def children(arms: dict[str, str]) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    team = np.repeat(np.arange(12), 40)
    frame = units().loc[team].reset_index(drop=True)
    frame["child_id"] = [f"c{k}" for k in range(len(frame))]
    frame["arm"] = frame["team"].map(arms)
    frame["age"] = rng.integers(0, 18, len(frame))
    risk = 0.4 - 0.1 * (frame["arm"] == "programme") + 0.05 * rng.normal(size=12)[team]
    frame["rereferred"] = (rng.random(len(frame)) < risk).astype(int)
    return frame


@pytest.fixture
def trial(tmp_path):
    """A locked plan, its allocation by the command, and the children that followed."""
    plan = project(tmp_path)
    plan.lock()
    record = randomise_plan(plan, tmp_path / "units.csv", tmp_path / "record", by="A. N.", public_value=PUBLIC)
    table = record.allocation.table
    data = children(dict(zip(table["team"], table["arm"].astype(str), strict=True)))
    write_csv(data, tmp_path / "children.csv")
    return plan, record, data


def test_the_sound_plan_has_no_problem(tmp_path):
    assert project(tmp_path).check() == []


def codes_of(plan):
    return {problem.code for problem in plan.check()}


FAILING = {
    "registered afterwards": (
        "P18",
        [("date: 2026-01-10", "date: 2026-03-01"), ("draw of 2026-02-07", "draw in April")],
    ),
    "a literal": ("P19", [("rule: sha256 of the lock hash and a public value", "rule: seed 20260207")]),
    "nothing said": ("P19", [("rule: sha256 of the lock hash and a public value", "rule: '4711'")]),
    "no public value": ("P19", [(', public_value: "National Lottery draw of 2026-02-07"', "")]),
    "the value itself": ("P19", [("National Lottery draw of 2026-02-07", PUBLIC)]),
    "a value that was known": ("P19", [("draw of 2026-02-07", "draw of 2026-01-03")]),
    "no scheme to repeat": (
        "P21",
        [("method: stratified", "method: drawn from a hat"), ("  expected: {north: 6, south: 6}\n", "")],
    ),
    "options of a description": ("P21", [("method: stratified", "method: drawn from a hat")]),
    "too few allocations": ("P21", [("{north: 6, south: 6}", "{north: 2, south: 2}")]),
    "an unknown option": ("P21", [("  expected:", "  options: {misfit: balanced}\n  expected:")]),
    "an option that is missing": (
        "P21",
        [("method: stratified", "method: constrained"), ("  expected: {north: 6, south: 6}\n", "")],
    ),
    "covariates without regression": ("P14", [("statistic: regression", "statistic: difference_in_means")]),
    "a random part": ("P14", [("+ region\n    statistic", "+ (1 | region)\n    statistic")]),
    "a mean difference of a 0/1 outcome": ("P09", [("    report: [risk_difference]\nsens", "sens")]),
    "an interval of ranks": ("P14", [(", interval: false", "")]),
    "the wrong outcome": ("P14", [("formula: rereferred ~ arm + age + region", "formula: age ~ arm + region")]),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_is_wrong_is_said(tmp_path, name):
    code, edits = FAILING[name]
    assert code in codes_of(project(tmp_path, *edits))


def test_a_stratum_must_be_in_a_model_but_not_in_a_test_that_repeats_the_scheme(tmp_path):
    regression = [
        (
            "model: randomisation_test\n",
            "model: regression\n    family: binomial\n    inference: {vcov: CR2, cluster: team}\n",
        ),
        ("    statistic: regression\n    report: [risk_difference]\n", ""),
        ("  within: region\n", ""),
        ("+ age + region", "+ age"),
        (
            "  - {id: unadjusted, of: primary, change: {formula: rereferred ~ arm, statistic: difference_in_means}}\n",
            "",
        ),
        (
            "  - {id: ranked, of: primary, change: {formula: rereferred ~ arm, statistic: rank, report: [coefficient], interval: false}}\n",
            "",
        ),
        ("sensitivity:\n", ""),
    ]
    problems = project(tmp_path, *regression).check()
    assert [(p.code, "region" in p.message) for p in problems] == [("P05", True)]
    assert codes_of(project(tmp_path, ("+ age + region", "+ age"))) == set()


def test_a_wedge_is_randomised_before_it_goes_live(tmp_path):
    plan = project(
        tmp_path,
        ("kind: cluster", "kind: stepped_wedge"),
        (
            "  clusters: {usual: 6, programme: 6}",
            "  clusters: 12\n  wedge: {period: region, go_live: {t00: 2026-02-01, t01: 2026-06-01}}",
        ),
    )
    assert any(p.code == "P18" and "t00 went live" in p.message for p in plan.check())


def test_the_plan_gives_the_figures_of_the_verb(trial):
    plan, record, data = trial
    results = plan.run()
    used = data[data["age"] <= 16]
    found = results.analyses["primary"].estimates[0]
    direct = we.randomisation_test(
        record.allocation, used, "rereferred ~ arm + age + region", statistic="regression", ci=True
    )
    for part in ("estimate", "p_value", "ci_low", "ci_high"):
        assert getattr(found, part) == pytest.approx(getattr(direct, part), abs=1e-12)
    assert found.details["n_allocations"] == 400
    assert found.units == "percentage points"
    plain = results.analyses["unadjusted"].estimates[0]
    assert plain.estimate == pytest.approx(
        used.groupby("arm")["rereferred"].mean()["programme"] - used.groupby("arm")["rereferred"].mean()["usual"]
    )
    assert results.analyses["ranked"].estimates[0].scale == "coefficient"
    sentences = " ".join(results.analyses["primary"].supplements[0].sentences)
    assert "all permitted allocations" in sentences


def test_the_report_shows_the_test(trial, tmp_path):
    plan, *_ = trial
    plan.run(out=tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Randomisation test" in page
    assert "all 400 permitted allocations" in page


def test_data_that_the_scheme_cannot_have_made_are_refused(trial, tmp_path):
    plan, _, data = trial
    wrong = data.assign(arm=np.where(data["region"] == "north", "usual", "programme"))
    write_csv(wrong, tmp_path / "children.csv")
    results = plan.run()
    assert results.analyses["primary"].status == "failed"


def test_the_record_is_derived_again(trial, tmp_path):
    plan, record, _ = trial
    folder = tmp_path / "record"
    seed = we.seed_from(plan.read_lock().plan_sha256, PUBLIC)
    verdict = we.verify_allocation(
        folder / "receipt.json", tmp_path / "units.csv", seed, ledger=folder / "ledger.jsonl"
    )
    assert verdict.ok, str(verdict)
    assert sorted(path.name for path in folder.iterdir()) == ["allocation.csv", "ledger.jsonl", "receipt.json"]
    assert plan.read_lock().plan_sha256 in (folder / "ledger.jsonl").read_text()
    assert "12 units allocated" in record.summary
    shuffled = units().sample(frac=1, random_state=1)
    write_csv(shuffled, tmp_path / "shuffled.csv")
    again = randomise_plan(plan, tmp_path / "shuffled.csv", tmp_path / "again", by="B. N.", public_value=PUBLIC)
    assert again.allocation.hash == record.allocation.hash


def test_an_allocation_is_made_once(trial, tmp_path):
    plan, *_ = trial
    before = (tmp_path / "record" / "ledger.jsonl").read_bytes()
    with pytest.raises(LedgerError, match="exists already"):
        randomise_plan(plan, tmp_path / "units.csv", tmp_path / "record", by="A. N.", public_value=PUBLIC)
    assert (tmp_path / "record" / "ledger.jsonl").read_bytes() == before


def test_what_stops_an_allocation_writes_nothing(tmp_path):
    plan = project(tmp_path)
    out = tmp_path / "record"
    with pytest.raises(LockError, match="not locked"):
        randomise_plan(plan, tmp_path / "units.csv", out, by="A. N.", public_value=PUBLIC)
    plan.lock()
    with pytest.raises(PlanError, match="no seed"):
        randomise_plan(plan, tmp_path / "units.csv", out, by="A. N.")
    write_csv(units().assign(team="t00"), tmp_path / "repeated.csv")
    with pytest.raises(DataError):
        randomise_plan(plan, tmp_path / "repeated.csv", out, by="A. N.", public_value=PUBLIC)
    assert not out.exists()
    words = project(
        tmp_path,
        ("method: stratified", "method: drawn from a hat"),
        ("  expected: {north: 6, south: 6}\n", ""),
        (
            "model: randomisation_test",
            "model: cluster_summaries\n    inference: {cluster: team, by: region}\n    family: binomial",
        ),
        ("    statistic: regression\n    report: [risk_difference]\n", ""),
        ("formula: rereferred ~ arm, statistic: difference_in_means", "formula: rereferred ~ arm"),
        (
            "  - {id: ranked, of: primary, change: {formula: rereferred ~ arm, statistic: rank, report: [coefficient], interval: false}}\n",
            "",
        ),
    )
    words.lock(amend="another method")
    with pytest.raises(PlanError, match="is a description"):
        randomise_plan(words, tmp_path / "units.csv", out, by="A. N.", seed="a long seed")


def test_the_command(tmp_path, call):
    project(tmp_path).lock()
    arguments = ["randomise", tmp_path / "trial.yaml", "--units", tmp_path / "units.csv", "--by", "A. N."]
    seed = tmp_path / "seed.txt"
    seed.write_text("a long and secret seed\n", encoding="utf-8")
    one = tmp_path / "one"
    done = call(*arguments, "--out", one, "--seed-file", seed, "--mask")
    assert done.returncode == 0, done.stderr
    assert "12 units allocated (stratified" in done.stdout
    masked = pd.read_csv(one / "allocation_masked.csv")
    assert set(masked["arm"]) == {"A", "B"}
    meaning = SealedKey.load(one / "arm_key.json").meaning
    assert [meaning[arm] for arm in masked["arm"]] == pd.read_csv(one / "allocation.csv")["arm"].tolist()
    check = call("verify-allocation", one / "receipt.json", tmp_path / "units.csv", "--seed-file", seed)
    assert check.returncode == 0, check.stderr
    both = call(*arguments, "--out", tmp_path / "x", "--seed-file", seed, "--public-value", "1")
    assert both.returncode == 2
    again = call(*arguments, "--out", one, "--seed-file", seed)
    assert again.returncode != 0
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr


def test_methods_in_words():
    assert kind_of("Permuted blocks") == "permuted_blocks"
    assert kind_of("stepped-wedge sequences") == "stepped_wedge_sequences"
    assert kind_of("drawn from a hat") is None
    assert len(KINDS) == 10


def test_every_scheme_can_be_written_in_a_plan(tmp_path):
    options = {
        "simple": "",
        "complete": "",
        "constrained": "options: {on: [age], accept: 0.2}",
        "matched_pairs": "options: {on: [age]}",
        "minimisation": "options: {on: [region], p_best: 0.9}",
        "permuted_blocks": "sizes: [2, 4]",
        "rerandomised": "options: {on: [age], accept: 0.1}",
        "saturation": "options: {within: region, shares: [0.25, 0.75]}",
        "stepped_wedge_sequences": "options: {sequences: [2, 3, 4]}",
        "stratified": "by: [region]",
    }
    assert set(options) == set(KINDS)
    for kind, text in options.items():
        plan = project(
            tmp_path,
            (
                "  method: stratified\n  by: [region]\n  expected: {north: 6, south: 6}\n",
                f"  method: {kind}\n  {text}\n",
            ),
        )
        assert scheme_of(plan.facts.document.randomisation).kind == kind
