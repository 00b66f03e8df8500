"""The plans that the repository ships: sound, locked, unchanged since; what they find is what was planted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import wwc_eval as we
from wwc_eval.data.samples import no_wrong_door_truth
from wwc_eval.data.samples.writing import WEDGE_SEED
from wwc_eval.errors import DataError, PlanError
from wwc_eval.plans import Plan
from wwc_eval.plans.examples import copy_example, copy_sample, example_names
from wwc_eval.plans.verifying import verify_run

ROOT = Path(__file__).resolve().parents[2]
COLUMNS_ONLY_FOR_REPORTS = ("label", "baseline")


@dataclass
class Finished:
    """One locked run: its plan, its folder, the results as returned and as written."""

    plan: Plan
    out: Path
    results: Any

    def __post_init__(self) -> None:
        self.written = json.loads((self.out / "results.json").read_text(encoding="utf-8"))["analyses"]
        self.report = (self.out / "report.html").read_text(encoding="utf-8")

    def first(self, name: str) -> dict[str, Any]:
        """The headline estimate of an analysis."""
        return self.written[name]["estimates"][0]

    def table(self, file: str) -> Any:
        """A data file as the plan declares it."""
        declared = self.plan.data["data"][file]
        columns = {
            name: {key: value for key, value in column.items() if key not in COLUMNS_ONLY_FOR_REPORTS}
            for name, column in declared["columns"].items()
        }
        return we.read_table(self.plan.path.parent / declared["file"], columns=columns)


def finish(name: str, folder: Path) -> Finished:
    plan = Plan.load(copy_example(name, folder))
    plan.lock()
    return Finished(plan=plan, out=folder / "run", results=plan.run(out=folder / "run"))


@pytest.fixture(scope="module")
def schools(tmp_path_factory):
    return finish("schools_s47_trial", tmp_path_factory.mktemp("schools"))


@pytest.fixture(scope="module")
def wedge(tmp_path_factory):
    return finish("no_wrong_door_wedge", tmp_path_factory.mktemp("wedge"))


@pytest.fixture(params=["schools", "wedge"])
def run(request):
    """Either of the two multilevel plans."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", example_names())
def test_the_plan_is_sound_and_is_what_was_locked(name):
    plan = Plan.load(ROOT / "analysis_plans" / f"{name}.yaml")
    assert plan.check() == []
    assert plan.require_lock().plan_sha256 == plan.hash


def test_a_copy_leaves_what_is_there_alone(tmp_path):
    path = copy_example("family_conferencing_trial", tmp_path)
    assert (tmp_path / "sample_data" / "family_conferencing_trial.csv").exists()
    path.write_text("mine", encoding="utf-8")
    assert copy_example("family_conferencing_trial", tmp_path).read_text(encoding="utf-8") == "mine"


def test_copies_bring_the_specification_and_sample_files_by_name(tmp_path):
    assert Plan.load(copy_example("family_safeguarding_pilot", tmp_path)).check() == []
    path = copy_sample("fidelity_ratings.csv", tmp_path)
    assert path.read_bytes() == (ROOT / "sample_data" / "fidelity_ratings.csv").read_bytes()
    with pytest.raises(DataError, match="fidelity_ratings"):
        copy_sample("fidelity_rating.csv", tmp_path)


# --- both multilevel plans


def test_every_analysis_runs_and_is_shown(run):
    assert run.results.failed == ()
    assert list(run.written) == [task.id for task in run.plan.facts.tasks()]
    assert {entry["status"] for entry in run.written.values()} <= {"ok", "boundary"}
    assert all(entry["estimates"] for entry in run.written.values())


def test_the_run_is_verified(run):
    verdict = verify_run(run.out)
    assert verdict.ok, str(verdict)


def test_the_report_shows_search_likeness_and_advice(run):
    for words in (
        "Record of the search",
        "Variance components",
        "Inferences side by side",
        "What the effects are",
    ):
        assert words in run.report
    assert "Intraclass correlation" in run.report or "Coefficient of variation between groups (k)" in run.report


# --- schools


@pytest.mark.simulation
def test_the_schools_plan_finds_the_rate_ratio(schools):
    for name in (
        "primary",
        "negative_binomial_1",
        "poisson_schools",
        "quasipoisson",
        "complete_case",
        "unadjusted",
    ):
        estimate = schools.first(name)
        assert estimate["scale"] == "rate_ratio"
        assert estimate["ci_low"] < 0.90 < estimate["ci_high"], name
    assert schools.first("primary")["ci_high"] / schools.first("primary")["ci_low"] < 1.35


def test_the_schools_plan_counts_every_school(schools):
    sample = schools.written["primary"]["sample"]
    assert sample["n"] == 272
    assert {arm: entry["n"] for arm, entry in sample["by_arm"].items()} == {"usual": 137, "social worker": 135}
    assert schools.results.record.flow.of("received").counts["schools"] == 280
    # covariates make the comparison sharper, and a plan that drops them does not lose schools
    assert schools.first("primary")["se"] < schools.first("unadjusted")["se"]
    assert schools.first("unadjusted")["n"] == 272
    assert schools.first("complete_case")["n"] < 272


def test_the_schools_plan_gives_the_numbers_of_the_python_verbs(schools):
    table = schools.table("schools")
    fit = we.multilevel_model(
        "s47_enquiries ~ arm + (1 | local_authority)", table, family="negative_binomial", exposure="pupils"
    )
    effect = fit.marginal_effect("arm")
    for name in ("estimate", "se", "ci_low", "ci_high"):
        assert schools.first("unadjusted")[name] == pytest.approx(getattr(effect, name), rel=1e-9)


# --- stepped wedge


@pytest.mark.simulation
def test_the_wedge_plan_finds_what_was_planted(wedge):
    truth = no_wrong_door_truth(WEDGE_SEED)
    for name in ("primary", "cr3", "mixed_model", "settled", "within_periods", "unadjusted"):
        estimate = wedge.first(name)
        assert estimate["scale"] == "risk_difference"
        assert estimate["ci_low"] < truth.risk_difference < estimate["ci_high"], name
    odds = wedge.written["primary"]["estimates"][1]
    assert odds["ci_low"] < truth.odds_ratio < odds["ci_high"]


def test_few_authorities_cost_what_they_cost(wedge):
    primary, cr3, mixed = (wedge.first(name) for name in ("primary", "cr3", "mixed_model"))
    assert 2 < primary["df"] < 5
    assert primary["estimate"] == cr3["estimate"]
    assert cr3["se"] > primary["se"]
    assert mixed["df"] is None
    assert mixed["se"] < primary["se"]
    assert any("rejects too often" in words for words in mixed["warnings"])


def test_the_wedge_plan_leaves_out_what_it_says(wedge):
    flow = wedge.results.record.flow
    assert flow.of("received").counts["children"] == 27_397
    sample = wedge.written["primary"]["sample"]
    assert 26_600 < sample["n"] < 26_900
    assert wedge.first("settled")["n"] < sample["n"] - 1_500


def test_an_exposure_rule_is_needed_and_few_clusters_need_care(tmp_path):
    path = copy_example("no_wrong_door_wedge", tmp_path)
    text = path.read_text(encoding="utf-8")
    start = text.index(", exposure:")
    path.write_text(text[:start] + text[text.index("}", start) :], encoding="utf-8")
    assert [problem.code for problem in Plan.load(path).check()] == ["P22"]
    path.write_text(text.replace("{vcov: CR2, cluster", "{vcov: CR1S, cluster", 1), encoding="utf-8")
    found = Plan.load(path)
    assert [problem.code for problem in found.check()] == ["P08"]
    with pytest.raises(PlanError):
        found.require_sound()
