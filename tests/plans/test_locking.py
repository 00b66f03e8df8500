"""Locks: any change of a locked plan is caught, no cosmetic edit is, and a killed writer leaves a valid lock."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from wwc_eval.errors import LockError, PlanError
from wwc_eval.plans import Plan
from wwc_eval.plans.locking import lock_path, read_lock
from wwc_eval.plans.yaml_text import parse_yaml

_spec = importlib.util.spec_from_file_location("writing", Path(__file__).with_name("writing.py"))
writing = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(writing)


@pytest.fixture
def locked(project):
    plan = project.load()
    plan.lock()
    return project, plan


def test_lock_stands_beside_the_plan(locked):
    project, plan = locked
    path = project.plan_file.with_name("trial.lock.json")
    assert lock_path(project.plan_file) == path
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["plan_sha256"] == plan.hash
    assert content["level"] == "L0"
    assert content["environment"]["numpy"]
    assert len(content["code"]["source_sha256"]) == 64
    assert str(project.folder) not in path.read_text(encoding="utf-8")


def test_an_unchanged_plan_keeps_its_lock(locked):
    project, plan = locked
    before = lock_path(project.plan_file).read_bytes()
    assert plan.lock().plan_sha256 == plan.hash
    assert lock_path(project.plan_file).read_bytes() == before


def test_a_changed_plan_is_refused_with_the_field_named(locked):
    project, _ = locked
    changed = project.edit(("expected_rows: [2200, 2800]", "expected_rows: [2200, 2900]")).load()
    with pytest.raises(LockError, match=r"data\.children\.expected_rows\[1\] was 2800 when locked, is 2900"):
        changed.require_lock()
    with pytest.raises(LockError, match="amendment"):
        changed.lock()
    with pytest.raises(LockError):
        changed.lock(amend="  ")


def test_an_amendment_keeps_the_history(locked):
    project, plan = locked
    changed = project.edit(("expected_rows: [2200, 2800]", "expected_rows: [2200, 2900]")).load()
    lock = changed.lock(amend="recruitment went on for a month")
    assert changed.require_lock().plan_sha256 == changed.hash
    assert [entry["plan_sha256"] for entry in lock.history] == [plan.hash]
    assert lock.history[0]["amended_because"] == "recruitment went on for a month"


def test_a_plan_without_a_lock_is_refused(project):
    with pytest.raises(LockError, match="not locked"):
        project.load().require_lock()


def refused(plan_file):
    try:
        Plan.load(plan_file).require_lock()
    except (LockError, PlanError):
        return True
    return False


@pytest.mark.property
def test_300_random_changes_of_a_locked_plan_are_caught(locked):
    project, plan = locked
    for seed in range(300):
        data, what = writing.mutated(plan.data, seed)
        project.plan_file.write_text(writing.written(data, seed), encoding="utf-8", newline="")
        assert refused(project.plan_file), f"not caught: {what}"


@pytest.mark.property
def test_300_cosmetic_edits_are_not_flagged(locked):
    project, plan = locked
    for seed in range(300):
        text = writing.written(plan.data, seed)
        project.plan_file.write_text(text, encoding="utf-8", newline="")
        again = Plan.load(project.plan_file)
        assert again.require_lock().plan_sha256 == plan.hash
        assert again.facts.arms == plan.facts.arms


def test_styles_differ_and_mean_the_same(locked):
    _, plan = locked
    texts = {writing.written(plan.data, seed) for seed in range(20)}
    assert len(texts) == 20
    assert all(parse_yaml(text.encode(), "p").data == plan.data for text in texts)


def test_list_order_and_quotes_of_numbers_are_not_cosmetic(locked):
    project, _ = locked
    for old, new in (
        ("report: [risk_difference, risk_ratio, odds_ratio]", "report: [risk_difference, odds_ratio, risk_ratio]"),
        ("levels: [female, male]", "levels: [male, female]"),
        ("control_risk: 0.45", 'control_risk: "0.45"'),
        ("families: 1500", "families: 1500.0"),
    ):
        text = project.text
        with pytest.raises(LockError):
            project.edit((old, new)).load().require_lock()
        project.text = text


@pytest.mark.property
def test_every_changed_character_of_the_lock_is_detected_or_harmless(locked):
    project, plan = locked
    path = lock_path(project.plan_file)
    content = path.read_bytes()
    for position in range(0, len(content), 37):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        try:
            lock = read_lock(project.plan_file)
        except LockError:
            continue
        # what is left is spacing between fields
        assert content[position : position + 1] in b" \n"
        assert lock.plan_sha256 == plan.hash


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"lock_sha256": 1}', b"\xff\xfe"])
def test_a_broken_lock_is_a_lock_error(locked, content):
    project, plan = locked
    lock_path(project.plan_file).write_bytes(content)
    with pytest.raises(LockError, match="lock"):
        plan.require_lock()


def test_a_plan_with_problems_is_not_locked(project):
    plan = project.edit(("role: primary", "role: secondary")).load()
    with pytest.raises(PlanError, match="P01"):
        plan.lock()
    assert read_lock(project.plan_file) is None
