"""The plans that the repository ships: sound, locked, and unchanged since."""

from __future__ import annotations

from pathlib import Path

import pytest

from wwc_eval.plans import Plan
from wwc_eval.plans.examples import copy_example, example_names

ROOT = Path(__file__).resolve().parents[2]


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
