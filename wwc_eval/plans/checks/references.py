"""Identifiers that name nothing, or stand twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wwc_eval.errors import PlanError, Problem, did_you_mean
from wwc_eval.plans.checks.registry import WAIVABLE, problem_at, tasks_of
from wwc_eval.plans.document import Change, Deviation, Subgroup
from wwc_eval.plans.facts import Facts, Task
from wwc_eval.plans.vocabulary.base import INTENTION_TO_TREAT
from wwc_eval.plans.yaml_text import Path

__all__ = ["references"]


def references(facts: Facts) -> Iterator[Problem]:
    """Identifiers that name nothing, or stand twice (R codes)."""
    document = facts.document
    analyses = {analysis.id for analysis in document.analyses}
    entries: list[tuple[Path, str]] = [(("analyses", i), item.id) for i, item in enumerate(document.analyses)]
    varied: dict[str, Sequence[Change | Subgroup | Deviation]] = {
        "sensitivity": document.sensitivity,
        "subgroups": document.subgroups,
        "deviations": document.deviations,
    }
    for section, items in varied.items():
        entries += [((section, i), item.id) for i, item in enumerate(items)]
        for index, item in enumerate(items):
            if item.of is not None and item.of not in analyses:
                yield problem_at(
                    facts, "R01", (section, index, "of"), f"there is no analysis '{item.of}'",
                    did_you_mean(item.of, analyses),
                )  # fmt: skip
    seen: dict[str, Path] = {}
    for path, name in entries:
        if name in seen:
            yield problem_at(facts, "R02", (*path, "id"), f"id '{name}' stands twice", "give each its own id")
        seen.setdefault(name, path)
    names = [outcome.name for outcome in document.outcomes]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield problem_at(facts, "R02", ("outcomes", index, "name"), f"outcome '{name}' stands twice")
    for task in tasks_of(facts):
        yield from _task_references(facts, task)
    yield from _change_problems(facts)
    yield from _waiver_problems(facts, analyses)


def _task_references(facts: Facts, task: Task) -> Iterator[Problem]:
    if task.role == "subgroup":
        return
    analysis = task.analysis
    if analysis.outcome not in facts.outcomes:
        yield problem_at(
            facts, "R01", (*task.path, "outcome"), f"there is no outcome '{analysis.outcome}'",
            did_you_mean(analysis.outcome, facts.outcomes),
        )  # fmt: skip
    known = {INTENTION_TO_TREAT, *facts.document.populations}
    if analysis.population not in known:
        yield problem_at(
            facts, "R01", (*task.path, "population"), f"there is no population '{analysis.population}'",
            did_you_mean(analysis.population, known),
        )  # fmt: skip


def _change_problems(facts: Facts) -> Iterator[Problem]:
    try:
        list(facts.tasks())
    except PlanError as error:
        yield from error.problems
    for section in ("sensitivity", "deviations"):
        for index, item in enumerate(getattr(facts.document, section)):
            for name in sorted({"id", "of"} & set(item.change)):
                path = (section, index, "change", name)
                yield problem_at(facts, "R03", path, f"'{name}' cannot be changed", "remove it")


def _waiver_problems(facts: Facts, analyses: set[str]) -> Iterator[Problem]:
    for index, waiver in enumerate(facts.document.waivers):
        if waiver.check not in WAIVABLE:
            yield problem_at(
                facts, "R04", ("waivers", index, "check"), f"check '{waiver.check}' cannot be waived",
                f"only {', '.join(sorted(WAIVABLE))} can",
            )  # fmt: skip
        if waiver.analysis is not None and waiver.analysis not in analyses:
            yield problem_at(
                facts, "R01", ("waivers", index, "analysis"), f"there is no analysis '{waiver.analysis}'",
                did_you_mean(waiver.analysis, analyses),
            )  # fmt: skip
