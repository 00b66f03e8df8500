"""How a check is written and registered, and what several checks ask of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

from wwc_eval.errors import PlanError, Problem
from wwc_eval.formula import Condition
from wwc_eval.plans.facts import Facts, Task, condition_or_error
from wwc_eval.plans.yaml_text import Path

__all__ = [
    "CHECKS",
    "WAIVABLE",
    "Check",
    "check",
    "conditions_of",
    "formulas_of",
    "from_room",
    "names_in",
    "problem_at",
    "tasks_of",
]

Check = Callable[[Facts, FilePath | None], Iterator[Problem]]
CHECKS: dict[str, tuple[str, Check]] = {}
WAIVABLE = frozenset({"P05", "P08", "P11", "P18"})


def check(code: str, title: str) -> Callable[[Check], Check]:
    """Register a check under its code and title."""

    def register(function: Check) -> Check:
        CHECKS[code] = (title, function)
        return function

    return register


def problem_at(
    facts: Facts, code: str, path: Path, message: str, fix: str = "", *, key: bool = False, offset: int = 0
) -> Problem:
    """A problem placed at a field of the plan."""
    place = facts.parsed.place(path, key=key, offset=offset)
    return Problem(code=code, message=message, place=place, fix=fix or None)


def tasks_of(facts: Facts) -> list[Task]:
    """Every analysis that a run would make; only the planned ones while a change is invalid."""
    try:
        return list(facts.tasks())
    except PlanError:
        return list(_planned(facts))


def _planned(facts: Facts) -> Iterator[Task]:
    for index, analysis in enumerate(facts.document.analyses):
        yield Task(id=analysis.id, role="", analysis=analysis, path=("analyses", index))


def formulas_of(task: Task) -> Iterator[tuple[Path, str]]:
    """Formulas that this task brings: a varied analysis brings only those that it changes."""
    for path, text in task.analysis.formulas.items():
        if not task.of or path[0] in task.changed:
            yield (*task.path, *path), text


def conditions_of(facts: Facts) -> Iterator[tuple[Path, str]]:
    """Every condition of the plan with its path."""
    document = facts.document
    wedge = document.design.wedge
    if wedge is not None and wedge.transition is not None:
        yield ("design", "wedge", "transition"), wedge.transition
    for index, exclusion in enumerate(document.data.exclusions):
        yield ("data", "exclusions", index, "rule"), exclusion.rule
    for name, population in document.populations.items():
        yield ("populations", name, "rule"), population.rule
    for index, subgroup in enumerate(document.subgroups):
        if subgroup.by not in facts.columns:
            yield ("subgroups", index, "by"), subgroup.by
    for task in tasks_of(facts):
        for path, text in task.analysis.conditions.items():
            if task.role != "subgroup" and (not task.of or path[0] in task.changed):
                yield (*task.path, *path), text


def names_in(facts: Facts, text: str) -> frozenset[str]:
    """Columns named by a column or a condition."""
    if text in facts.columns:
        return frozenset({text})
    condition = condition_or_error(text)
    return condition.columns if isinstance(condition, Condition) else frozenset()


def from_room(code: str) -> Check:
    """A check that passes on what the analyses find in themselves."""

    def check(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
        seen: set[tuple[str, str]] = set()
        for task in tasks_of(facts):
            if task.role == "subgroup":
                continue
            for finding in task.analysis.findings(facts.outcomes.get(task.analysis.outcome)):
                if finding.code != code or (task.of and finding.beside):
                    continue
                if not task.of:
                    seen.add((task.id, finding.message))
                # what is wrong with the analysis that is varied is said there
                if (task.of, finding.message) not in seen:
                    yield problem_at(facts, code, (*task.path, *finding.path), finding.message, finding.fix)

    return check
