"""Pilots as they come: words among counts, priors that are none, criteria that cannot be decided, options that do nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.plans import Plan
from wwc_eval.plans.scoring import fidelity_words

ROOT = Path(__file__).parents[2]
PILOT = (ROOT / "analysis_plans" / "family_safeguarding_pilot.yaml").read_text(encoding="utf-8")
CONSENT = we.pilot.ProgressionCriterion("consent", red=0.2, green=0.35)
SCALE = we.pilot.MeanCriterion("acceptability", red=3.0, green=4.0)


@pytest.mark.parametrize("prior", [1, (1, 1, 1), (0.5,), "11"])
def test_a_prior_is_a_pair(prior):
    with pytest.raises(DesignError, match="must be a pair of numbers"):
        CONSENT.replace(prior=prior)


def test_essential_is_true_or_false():
    with pytest.raises(DesignError, match="essential == 'no', must be True or False"):
        CONSENT.replace(essential="no")


@pytest.mark.parametrize("successes", ["3", True, None])
def test_counts_are_numbers(successes):
    with pytest.raises(DataError, match=r"successes == .*, must be a number"):
        CONSENT.decide(successes, 10)


@pytest.mark.parametrize("count", [np.int64(3), np.float64(3), np.array(3), pd.array([3], dtype="Int64")[0]])
def test_counts_of_numpy_and_pandas_are_numbers(count):
    assert CONSENT.decide(count, 10).p_green == CONSENT.decide(3, 10).p_green


@pytest.mark.parametrize(
    ("values", "cluster", "words"),
    [
        (["four", "five", "3"], None, "the values are not numbers"),
        ([0.1, 0.1, 0.1], None, "all values are 0.1"),
        ([3, 5, 5, 3], ["A", "A", "B", "B"], "all clusters have the mean 4"),
        ([3, 5, 5, 4], ["A", None, "B", "B"], "a cluster is missing"),
        ([3, 5, 5, 4], [1.0, np.nan, 2.0, 2.0], "a cluster is missing"),
    ],
)
def test_a_mean_that_cannot_be_judged_says_why(values, cluster, words):
    with pytest.raises(DataError, match=words):
        SCALE.decide(values, cluster=cluster)


def test_what_few_clusters_tell_is_not_rounded_to_a_whole_participant():
    found = CONSENT.decide([1, 0, 1, 1, 0, 0], [1] * 6, cluster=list("AABBCC"))
    # by hand: p (1 - p) = 1/4, v = 3/2 * 2 / 36, so 3; times (t(5) / t(2))^2
    assert found.effective_n == pytest.approx(3 * (2.570582 / 4.302653) ** 2, rel=1e-6)
    assert f"as much as {found.effective_n:.1f} independent ones" in found.notes[0]


def test_a_forecast_is_slowed_and_never_hurried():
    with pytest.raises(DesignError, match=r"slower == 1.5, must be <= 1"):
        we.pilot.recruitment_forecast([5], [3], opened=[0], months=6, rng=1, slower=1.5)


def test_only_decisions_are_judged():
    one = CONSENT.decide(30, 83)
    for given in (one, [one, "go"]):
        with pytest.raises(DesignError, match="decisions are those of criteria"):
            we.pilot.judge(given)


@pytest.mark.parametrize(
    ("go", "essential", "recommendation"),
    [
        ("all_green", True, "amend"),
        ("all_green", False, "amend"),
        ("essential_green", True, "amend"),
        ("essential_green", False, "go"),
        ("no_red", False, "amend"),
    ],
)
def test_what_could_not_be_decided_is_not_green(go, essential, recommendation):
    missing = we.pilot.ProgressionCriterion("retention", red=0.65, green=0.85, essential=essential)
    rules = we.pilot.Rules(go=go)
    green, amber, red = (CONSENT.decide(x, 83) for x in (60, 20, 5))
    found = we.pilot.judge([green], rules=rules, undecided=[missing])
    assert found.recommendation == recommendation
    assert ("retention could not be decided" in found.reason()) == (recommendation == "amend")
    assert we.pilot.judge([green], rules=rules).recommendation == "go"
    assert (
        we.pilot.judge([amber], undecided=[missing])
        .reason()
        .startswith("Amend before a trial: consent is not green;")
    )
    assert we.pilot.judge([red], rules=rules, undecided=[missing]).recommendation == "stop"


# --- plans


def problems(tmp_path: Path, *edits: tuple[str, str]) -> list[tuple[str, str]]:
    """Codes and messages of what is wrong with the sample plan after some edits, its files beside it."""
    text = PILOT.replace("../sample_data/specifications/", "").replace("../sample_data/", "")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    for name in (
        "family_safeguarding_pilot.csv",
        "family_safeguarding_ratings.csv",
        "specifications/safety_planning.yaml",
    ):
        (tmp_path / Path(name).name).write_bytes((ROOT / "sample_data" / name).read_bytes())
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    return [(each.code, each.message) for each in Plan.load(tmp_path / "plan.yaml").check()]


SCORED = "units: [case, worker, team]"
MEAN = "essential: false\n    red: 3.0"


@pytest.mark.parametrize(
    ("edits", "code", "words"),
    [
        ([(SCORED, "units: [case, worker]")], "P17", "by: team is no unit"),
        ([(SCORED, "units: [case, rater]")], "P17", "there is no unit 'rater'"),
        ([(SCORED, "units: [case]"), ("  by: team\n", "")], "P17", "would show every single case"),
        ([(f"  {SCORED}\n", "")], "P17", "no column 'local_authority', which is a unit"),
        ([(MEAN, f"confidence: 0.9\n    {MEAN}")], "P14", "confidence belongs to rule: posterior"),
        ([(MEAN, f"icc: 0.1\n    cluster_size: 5\n    {MEAN}")], "P14", "cluster_size is of a share"),
        ([(MEAN, f"unit: month\n    {MEAN}")], "P14", "unit is of a rate"),
        ([("among: agreed == 1", "among: followed_up == 1")], "P14", "hangs on 'followed_up'"),
        ([("red: 0.60\n    green: 0.80", "red: 0.799\n    green: 0.80")], "P07", "too close"),
    ],
)
def test_what_a_plan_of_a_pilot_cannot_mean_is_said_before_the_lock(tmp_path, edits, code, words):
    found = problems(tmp_path, *edits)
    assert any(given == code and words in message for given, message in found), found


def test_rules_on_essential_criteria_need_one(tmp_path):
    edits = [("model: pilot\n    red", "model: pilot\n    essential: false\n    red")]
    edits += [("model: pilot\n    among: began", "model: pilot\n    essential: false\n    among: began")]
    edits += [("trial\n    red: 0.50", "trial\n    essential: false\n    red: 0.50")]
    edits += [("trial\n    among: agreed", "trial\n    essential: false\n    among: agreed")]
    found = [message for code, message in problems(tmp_path, *edits) if code == "P23"]
    assert found == [
        "stop: any_essential_red, and no criterion is essential",
        "go: essential_green, and no criterion is essential",
    ]


class Scores:
    """Scores of which only the rows of a level matter."""

    units = ("case", "team")
    spec = we.FidelitySpecification.load(ROOT / "sample_data" / "specifications" / "safety_planning.yaml")

    def __init__(self, rows):
        self.rows = rows

    def by(self, level):
        assert level == "team"
        return SimpleNamespace(to_dicts=lambda: self.rows)


def row(band="", status="ok", estimate=None, *, low=None, high=None, p=(None, None, None)):
    chances = dict(zip(("p_low", "p_adequate", "p_high"), p, strict=True))
    return {"estimate": estimate, "ci_low": low, "ci_high": high, "band": band, "status": status, **chances}


def test_a_chance_that_cannot_be_told_is_not_a_chance_of_none():
    facts = SimpleNamespace(document=SimpleNamespace(fidelity=SimpleNamespace(by="team", band="adequate")))
    unsure = row("indeterminate", estimate=60.0)
    sure = row("adequate", estimate=60.0, low=52.0, high=68.0, p=(0.1, 0.8, 0.1))
    assert fidelity_words(facts, Scores([unsure]))[1] == "Probability of at least adequate: cannot be told."
    assert (
        fidelity_words(facts, Scores([row(status="no case has a score")]))[0] == "No score: no case has a score."
    )
    several = fidelity_words(facts, Scores([sure, unsure, row(status="no case has a score")]))
    assert several == [
        "Of 3 teams: 1 adequate; 1 lies between bands (indeterminate); 1 has too few data.",
        "At least adequate with probability 80% or more: 1 of 3; of 2 it cannot be told.",
    ]


def test_rows_that_the_criterion_does_not_ask_of_are_not_counted_as_lost(tmp_path):
    assert problems(tmp_path) == []
    text = (tmp_path / "plan.yaml").read_text(encoding="utf-8")
    # without the scoring of practice, which takes long and says nothing here
    for start, end in (("  ratings:\n", "\noutcomes:"), ("# practice in the reviewed cases", "decision_rules:")):
        first = text.index(start)
        text = text[:first] + text[text.index(end, first) :]
    # and with an essential criterion that nobody can be counted for
    text = text.replace("among: agreed == 1", "among: on_plan_start == 7")
    text = text.replace("red: 0.60\n    green: 0.80", "red: 0.30\n    green: 0.50").replace(
        "    planned: {n: 81, power: 0.80}\n", ""
    )
    text = text.replace("red: 0.50\n    green: 0.75", "red: 0.30\n    green: 0.50")
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    results = Plan.load(tmp_path / "plan.yaml").run(draft=True)
    families = pd.read_csv(tmp_path / "family_safeguarding_pilot.csv")
    lost = families[(families["on_plan_start"] == 1) & (families["on_plan_6m"] == "x")]
    shown = {item.key: " ".join(item.sentences) for item in results.record.decision}
    assert results.analyses["promise"].sample["dropped"] == {"on_plan_6m": len(lost)}
    assert f"of those on one at the start ({len(lost)})" in shown["evidence_of_promise"]
    assert results.record.decision[0].title == "Recommendation: amend"
    assert "Six-month return received could not be decided" in shown["recommendation"]


def test_sizes_by_rule_are_for_two_powers_alone():
    with pytest.raises(DesignError, match=r"must be 0\.8 or 0\.9"):
        we.pilot.pilot_sizes(main_trial=400, power=0.85)
    rules = [found["rule"] for found in we.pilot.pilot_sizes(main_trial=400, effect=0.3, power=0.8).to_dicts()]
    assert rules == ["Julious", "Teare", "Teare, shares", "Viechtbauer", "Whitehead", "Cocks and Torgerson"]


def test_a_main_trial_is_sized_by_a_level_that_can_be_alike_and_a_pilot_that_shows_how():
    design = we.Trial(
        levels=[we.Level("family", 12), we.Level("team", 60)], assigned="team", outcome=we.Continuous(sd=1)
    )
    y = np.random.default_rng(1).normal(size=60)
    found = we.pilot.main_trial(y, np.repeat(list("abcdef"), 10).tolist())
    for verb in (found.required, lambda *given, **named: found.assurance(*given, rng=1, **named)):
        with pytest.raises(DesignError, match="the lowest: nothing in it could be alike"):
            verb(design, 0.3, level="family")
    with pytest.raises(DesignError, match="the pilot shows no ICC: it had one cluster"):
        we.pilot.main_trial(y, ["a"] * 60).required(design, 0.3)
