"""Checks of data columns against what a formula does with them; every fault is reported, not just the first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from wwc_eval.errors import DataError, FormulaError, Problem, shown
from wwc_eval.formula.columns import DataColumn, FloatArray, rows_text
from wwc_eval.formula.encoding import LARGEST
from wwc_eval.formula.terms import Call, Factor, Response, Variable

__all__ = [
    "NUMERIC",
    "check_complete",
    "check_counts",
    "check_finite",
    "check_sizes",
    "check_uses",
    "is_factor",
    "nothing_left",
]

NUMERIC = frozenset({"number", "flag"})
SMALLEST = 1e-100


def is_factor(part: Factor, columns: Mapping[str, DataColumn]) -> bool:
    """Whether a part of a term is a factor: ``factor(x)``, or a bare column of text or categories."""
    if isinstance(part, Variable):
        return columns[part.name].kind in {"text", "category"}
    return isinstance(part, Call) and part.function == "factor"


def check_uses(
    columns: Mapping[str, DataColumn],
    *,
    parts: Sequence[Factor],
    response: Response | None,
    groups: Collection[str],
    declared: Iterable[str],
) -> None:
    """Refuse columns whose type does not fit their use.

    Raises
    ------
    FormulaError
        With one problem for each misuse.
    """
    found = [_misused(part, columns) for part in parts]
    found += [_bad_response(columns[name]) for name in (response.columns if response else ())]
    found += [
        _problem(columns[name], f"'{name}' cannot group rows", "make it text or a number")
        for name in groups
        if columns[name].kind == "other"
    ]
    factors = {part.column for part in parts if is_factor(part, columns)}.union(groups)
    found += [
        _problem(
            columns[name],
            f"levels are declared for '{name}', which the formula uses as a number",
            f"write factor({name}) in the formula, or declare no levels",
        )
        for name in sorted(set(declared) - factors)
    ]
    problems = [problem for problem in found if problem]
    if problems:
        raise FormulaError(problems=problems)


def _misused(part: Factor, columns: Mapping[str, DataColumn]) -> Problem | None:
    """What is wrong with the column of a part, if anything."""
    column = columns[part.column]
    if column.kind == "date":
        fix = "make a number of it, such as days since a date, or a year"
        return _problem(column, f"'{part.text}' holds dates", fix)
    if column.kind == "other":
        return _problem(column, f"'{part.text}' holds {column.described}", "give the column one type")
    if isinstance(part, Variable) or is_factor(part, columns) or column.kind in NUMERIC:
        return None
    return _problem(
        column,
        f"'{part.text}' needs numbers, and the column holds {column.described}",
        "declare the column as a number when it is read",
    )


def _bad_response(column: DataColumn) -> Problem | None:
    if column.kind in NUMERIC:
        return None
    fix = "make a number of it"
    if column.kind in {"text", "category"}:
        fix = "code it as a number: for an event, 1 where it happened and 0 where it did not"
    return _problem(column, f"the response '{column.name}' holds {column.described}, not numbers", fix)


def _problem(column: DataColumn, message: str, fix: str) -> Problem:
    return Problem(message=message, place=column.place, fix=fix)


def check_finite(columns: Iterable[DataColumn]) -> None:
    """Refuse infinite values, and sizes whose squares a number cannot hold.

    Raises
    ------
    DataError
        With one problem for each column.
    """
    problems = []
    for column in columns:
        if column.kind != "number":
            continue
        sizes = np.abs(column.numbers)
        largest = float(np.fmax.reduce(sizes, initial=0.0))
        if largest == np.inf:
            count = int(np.isinf(sizes).sum())
            fix = "correct the values, or make them missing"
            problems.append(_problem(column, f"'{column.name}' is infinite in {rows_text(count)}", fix))
        elif largest > LARGEST or 0 < largest < SMALLEST:
            problems.append(_problem(column, f"'{column.name}' has values up to {largest:.3g}", "change its unit"))
    if problems:
        raise DataError(problems=problems)


def check_sizes(X: FloatArray, names: Sequence[str]) -> None:
    """Refuse columns of a design whose squares a number cannot hold.

    Raises
    ------
    FormulaError
        Naming the columns.
    """
    lengths = np.sqrt(np.einsum("ij,ij->j", X, X))
    reach = np.sqrt(len(X))
    suspects: list[int] = np.flatnonzero(~((lengths > SMALLEST * reach) & (lengths < LARGEST))).tolist()
    sizes = {index: float(np.abs(X[:, index]).max()) for index in suspects}
    problems = [
        Problem(
            message=f"the column '{names[index]}' has values up to {size:.3g}",
            fix="change the unit, or scale() it",
        )
        for index, size in sizes.items()
        if not (size == 0.0 or SMALLEST <= size <= LARGEST)
    ]
    if problems:
        raise FormulaError(problems=problems)


def check_complete(columns: Iterable[DataColumn], *, rows: int, fix: str) -> None:
    """Refuse missing values.

    Raises
    ------
    DataError
        With one problem for each column.
    """
    problems = [
        _problem(column, f"'{column.name}' is missing in {column.n_missing:,} of {rows_text(rows)}", fix)
        for column in columns
        if column.n_missing
    ]
    if problems:
        raise DataError(problems=problems)


def nothing_left(text: str, columns: Iterable[DataColumn], *, rows: int) -> DataError:
    """Error for data without a complete row."""
    listed = ", ".join(f"{column.name} {column.n_missing:,}" for column in columns if column.n_missing)
    return DataError(
        f"no complete row is left of {rows:,} for {shown(text)}",
        value=f"missing: {listed}" if listed else None,
        fix="check the columns with most missing values, or the exclusions",
    )


def check_counts(response: Response, successes: FloatArray, trials: FloatArray) -> None:
    """Refuse counts that cannot be: fractions, negative ones, more successes than trials, no trials.

    Raises
    ------
    DataError
        With one problem for each fault.
    """
    first, last = response.columns
    faults = (
        (successes != np.floor(successes), first, "is not a whole number"),
        (trials != np.floor(trials), last, "is not a whole number"),
        (successes < 0, first, "is negative"),
        (successes > trials, first, f"is more than '{last}'"),
        (trials <= 0, last, "is not above 0"),
    )
    problems = [
        Problem(
            message=f"'{name}' {fault} in {rows_text(int(bad.sum()))}",
            rule="whole numbers with 0 <= successes <= trials, and trials above 0",
            fix="correct or exclude those rows",
        ).at(column=name)
        for bad, name, fault in faults
        if bad.any()
    ]
    if problems:
        raise DataError(problems=problems)
