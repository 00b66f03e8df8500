"""What reading a table can find wrong: stable codes, one fault, and the list that collects all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wwc_eval.errors import SHOWN_PROBLEMS, DataError, Place, Problem, shown

__all__ = ["CODES", "Fault", "Findings", "column_letter"]

LISTED_PER_COLUMN = 10_000

CODES: Mapping[str, str] = {
    "D01": "the file cannot be opened",
    "D02": "the file is of another format, damaged, or needs a package that is not installed",
    "D03": "the file is empty",
    "D04": "the text is in another encoding, or was damaged by one",
    "D05": "the file or a cell holds control characters",
    "D06": "a quoted field is not closed properly",
    "D07": "the fields are separated by another character",
    "D08": "a column has no name",
    "D09": "two columns have the same name",
    "D10": "a column name has spaces around it, invisible characters or is not in Unicode form NFC",
    "D11": "the file has a header but no records",
    "D12": "a record has more or fewer fields than the header",
    "D13": "a record is blank",
    "D14": "a workbook's sheets or merged cells do not make one table",
    "D15": "a declared column is not in the table",
    "D16": "a column of the table is not declared",
    "D20": "a value is not of the declared type",
    "D21": "a value is missing, or looks like a code for missing, and no such code is declared",
    "D22": "a value is not one of the declared levels",
    "D23": "a value is not a date in the declared format",
    "D24": "a value is outside the declared limits",
    "D25": "a value does not match the declared pattern",
    "D26": "a value occurs twice in a column declared unique",
    "D27": "a value has spaces around it, invisible characters or is not in Unicode form NFC",
    "D28": "spreadsheet software has changed an identifier",
    "D29": "a cell holds a spreadsheet error",
    "D30": "a number has more digits than can be kept exactly",
    "D31": "one local authority is spelled in two ways, or is not among the declared ones",
    "D32": "two records have the same key",
    "D33": "a record has no key",
    "D34": "a spreadsheet formula has no stored value",
    "D40": "a join names a column that is not there",
    "D41": "a join would multiply rows",
    "D42": "rows of a join have no match",
    "D43": "both tables of a join hold a column of the same name",
    "D44": "the keys of a join are of different kinds",
    "D45": "a row of a join has no key",
    "D50": "the declaration of a column is not valid",
    "D51": "an argument is not valid",
    "D52": "the file cannot be written",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why one value is refused, without its place.

    Parameters
    ----------
    code : str
        Stable code, a key of :data:`CODES`.
    message, fix : str
        What is wrong and how to put it right.
    rule : str, optional
        The rule that is broken; by default the meaning of the code is enough.
    """

    code: str
    message: str
    fix: str
    rule: str | None = None

    def problem(self, place: Place, value: str | None) -> Problem:
        """The fault at a place."""
        return Problem(
            message=self.message, place=place, value=value, rule=self.rule, fix=self.fix, code=self.code
        )


class Findings:
    """Collects every fault of one file and raises them together.

    Parameters
    ----------
    file : str, optional
        Name of the file, part of every place.
    """

    def __init__(self, file: str | None) -> None:
        self.file = file
        self._problems: list[Problem] = []
        self._unlisted: Counter[str] = Counter()

    def add(
        self, fault: Fault, *, row: int | None = None, column: str | None = None, value: object = None
    ) -> None:
        """Note one fault; text in ``value`` is quoted, and shortened."""
        text = None if value is None else shown(value) if isinstance(value, str) else str(value)[:80]
        name = None if column is None else printable(column)
        self._problems.append(fault.problem(Place(file=self.file, row=row, column=name), text))

    def add_problem(self, problem: Problem) -> None:
        """Note a problem that already knows its place."""
        self._problems.append(problem)

    def add_cells(
        self,
        column: str,
        positions: Sequence[int],
        rows: Sequence[int],
        cells: Sequence[object],
        explain: Callable[[int], Fault],
    ) -> None:
        """Note a fault for each position of a column; the very long tail is only counted."""
        for position in positions[:LISTED_PER_COLUMN]:
            self.add(explain(position), row=rows[position], column=column, value=cells[position])
        self._unlisted[column] += max(0, len(positions) - LISTED_PER_COLUMN)

    def __bool__(self) -> bool:
        return bool(self._problems)

    def raise_if_any(self) -> None:
        """Raise one :class:`DataError` with everything noted so far.

        Raises
        ------
        DataError
            If anything was noted.
        """
        if self._problems:
            raise DataError(problems=self.problems())

    def problems(self) -> tuple[Problem, ...]:
        """Problems by row; where there are many, the first of every kind and column go ahead of the rest."""
        ordered = sorted(self._problems, key=lambda problem: problem.place.row or 0)
        if len(ordered) <= SHOWN_PROBLEMS and not any(self._unlisted.values()):
            return tuple(ordered)
        count = Counter(_kind(problem) for problem in ordered)
        first: dict[tuple[str, str | None], Problem] = {}
        rest: list[Problem] = []
        for problem in ordered:
            kind = _kind(problem)
            if kind in first:
                rest.append(problem)
                continue
            others = count[kind] - 1
            first[kind] = _with_count(problem, others) if others else problem
        for column, unlisted in self._unlisted.items():
            if unlisted:
                rest.append(self._tail(column, unlisted))
        return (*first.values(), *rest)

    def _tail(self, column: str, unlisted: int) -> Problem:
        return Problem(
            code="D20",
            place=Place(file=self.file, column=column),
            message=f"{unlisted:,} more cells of this column do not fit; the first {LISTED_PER_COLUMN:,} are listed",
            fix="compare the column with its declaration: so many faults point to a wrong type",
        )


def _kind(problem: Problem) -> tuple[str, str | None]:
    return problem.code, problem.place.column


def _with_count(problem: Problem, others: int) -> Problem:
    rows = "row" if others == 1 else "rows"
    return replace(problem, message=f"{problem.message} [and in {others:,} more {rows}]")


def printable(text: str) -> str:
    r"""Text with escapes for what cannot be seen.

    Examples
    --------
    >>> printable("age\u00a0")
    'age\\xa0'
    """
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def column_letter(index: int) -> str:
    """Letter of a column as spreadsheets name it, counted from 0.

    Examples
    --------
    >>> column_letter(0), column_letter(27)
    ('A', 'AB')
    """
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def rows_in_words(rows: Iterable[int], most: int = 5) -> str:
    """Row numbers as a phrase: ``row 4``, ``rows 4, 7 and 9``, ``rows 4, 7, ... and 12 more``.

    Examples
    --------
    >>> rows_in_words([4]), rows_in_words([4, 7, 9])
    ('row 4', 'rows 4, 7 and 9')
    """
    listed = list(rows)
    if len(listed) == 1:
        return f"row {listed[0]}"
    if len(listed) <= most:
        return f"rows {', '.join(map(str, listed[:-1]))} and {listed[-1]}"
    return f"rows {', '.join(map(str, listed[:most]))} and {len(listed) - most} more"
