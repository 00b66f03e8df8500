"""Check that practice is scored against the very specification that the plan was written for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from wwc_eval.errors import Problem, WwcError, did_you_mean
from wwc_eval.plans.checks.data import path_fault
from wwc_eval.plans.checks.registry import check, problem_at
from wwc_eval.plans.facts import Facts
from wwc_eval.plans.yaml_text import Path

if TYPE_CHECKING:
    from wwc_eval.fidelity import FidelitySpecification

HOME: Path = ("fidelity",)


@check("P17", "the specification of practice is the one that was planned")
def _specification(facts: Facts, plan_file: FilePath | None) -> Iterator[Problem]:
    asked = facts.document.fidelity
    if asked is None:
        return
    yield from _ratings(facts)
    fault = path_fault(asked.specification, plan_file)
    if fault:
        yield problem_at(
            facts,
            "P17",
            (*HOME, "specification"),
            f"{asked.specification!r} {fault}",
            "keep it below the project's folder",
        )
        return
    if plan_file is None:
        return
    from wwc_eval.plans.scoring import specification_of

    try:
        spec = specification_of(facts, plan_file.parent)
    except WwcError as error:
        problem = error.problems[0]
        hashed = "has the hash" in problem.message
        where = (*HOME, "sha256") if hashed else (*HOME, "specification")
        yield problem_at(
            facts,
            "P17",
            where,
            problem.message if hashed else f"the specification is faulty: {problem}",
            problem.fix or "",
        )
        return
    yield from _units(facts, spec)
    names = list(spec.bands)
    if asked.band is not None and asked.band not in names:
        yield problem_at(
            facts,
            "P17",
            (*HOME, "band"),
            f"the specification has no band '{asked.band}'",
            did_you_mean(asked.band, names),
        )


def _units(facts: Facts, spec: FidelitySpecification) -> Iterator[Problem]:
    """Units are those of the specification, stand in the ratings, and none is shown that is a single case."""
    from wwc_eval.fidelity.scoring.ratings import unit_columns

    asked = facts.document.fidelity
    assert asked is not None
    where: Path = (*HOME, "units") if asked.units else HOME
    try:
        units = unit_columns(spec, asked.units or None)
    except WwcError as error:
        problem = error.problems[0]
        yield problem_at(facts, "P17", where, problem.message, problem.fix or "")
        return
    file = facts.document.data.files.get(asked.ratings)
    for unit, column in units.items():
        if file is not None and not asked.units and column not in file.columns:
            message = f"the ratings have no column '{column}', which is a unit of the specification"
            fix = f"name the units that they have: units: [{', '.join(name for name in units if name != unit)}]"
            yield problem_at(facts, "P17", where, message, fix)
    lowest, shown = next(iter(units)), asked.by or list(units)[-1]
    if asked.by is not None and asked.by not in units:
        message = f"by: {asked.by} is no unit that the ratings are scored by"
        yield problem_at(facts, "P17", (*HOME, "by"), message, did_you_mean(asked.by, units))
    elif shown == lowest:
        message = f"by: {lowest} would show every single {lowest}"
        fix = f"name a unit above it: {', '.join(spec.units[1:])}"
        yield problem_at(facts, "P17", (*HOME, "by") if asked.by else where, message, fix)


def _ratings(facts: Facts) -> Iterator[Problem]:
    """The ratings are a declared file of their own, with items, values and the units named."""
    asked = facts.document.fidelity
    assert asked is not None
    files = facts.document.data.files
    if asked.ratings not in files:
        yield problem_at(
            facts,
            "P17",
            (*HOME, "ratings"),
            f"there is no data file '{asked.ratings}'",
            did_you_mean(asked.ratings, files),
        )
        return
    if facts.main_file is not None and asked.ratings == facts.main_file[0]:
        yield problem_at(
            facts, "P17", (*HOME, "ratings"), "the ratings are the file that is analysed",
            "declare both files, and name the one that is analysed in data: main_file:",
        )  # fmt: skip
        return
    columns = files[asked.ratings].columns
    for name in ("item", "value", *asked.units):
        if name not in columns:
            yield problem_at(
                facts, "P17", ("data", asked.ratings), f"the ratings have no column '{name}'",
                did_you_mean(name, columns),
            )  # fmt: skip
