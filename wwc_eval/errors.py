"""Errors that say what is wrong, where, with which value, by which rule, and how to put it right.

A :class:`Problem` is one finding; a :class:`WwcError` carries one or many of them, so a file or a plan is
reported whole rather than one mistake at a time.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ConvergenceError",
    "DataError",
    "DesignError",
    "DisclosureError",
    "FormulaError",
    "LedgerError",
    "LockError",
    "Place",
    "PlanError",
    "Problem",
    "WwcError",
    "check_choice",
    "check_number",
    "did_you_mean",
    "shown",
]

SHOWN_PROBLEMS = 50
SHOWN_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a problem stands: in a data file (row, column) or in a plan (line, character, field).

    Parameters
    ----------
    file : str, optional
        Name of the file as the user gave it.
    row : int, optional
        Row as a spreadsheet counts it: the header is row 1, the first record row 2.
    column : str, optional
        Name of the data column.
    line, character : int, optional
        Position in a text file, both counted from 1.
    field : str, optional
        Path of the field in a plan, such as ``analyses[0].formula``.
    """

    file: str | None = None
    row: int | None = None
    column: str | None = None
    line: int | None = None
    character: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        """``file:line:character`` for plans, ``file, row 3, column 'age'`` for data."""
        if self.line is not None:
            head = f"{self.file or '<text>'}:{self.line}:{self.character or 1}"
            return head
        parts = [self.file] if self.file else []
        if self.row is not None:
            parts.append(f"row {self.row}")
        if self.column is not None:
            parts.append(f"column '{self.column}'")
        if self.field is not None:
            parts.append(self.field)
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding: what is wrong, where, the value, the rule it breaks and the fix.

    Parameters
    ----------
    message : str
        What is wrong, as one sentence without a full stop.
    place : Place
        Where it stands.
    value : str, optional
        The offending value as the user wrote it (shortened by :func:`shown`).
    rule, fix : str, optional
        The rule that the value breaks, and what to do about it.
    code : str
        Stable short code, such as ``P01`` for a plan check or ``D07`` for a data rule.
    severity : {"error", "warning"}
        Only errors stop the work.
    """

    message: str
    place: Place = Place()
    value: str | None = None
    rule: str | None = None
    fix: str | None = None
    code: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """One line: ``place code message (value ...; rule ...). Fix: ...``."""
        head = " ".join(part for part in (str(self.place), self.code) if part)
        facts = "; ".join(f"{name}: {text}" for name, text in (("value", self.value), ("rule", self.rule)) if text)
        line = f"{head}: {self.message}" if head else self.message
        line += f" ({facts})" if facts else ""
        return _one_line(f"{line}. Fix: {self.fix}" if self.fix else line)

    def at(self, **place: Any) -> Problem:
        """Copy of the problem with parts of its place filled in."""
        return replace(self, place=replace(self.place, **place))


class WwcError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    message : str, optional
        What is wrong, when there is one problem.
    problems : iterable of Problem, optional
        Every problem found, when there may be several.
    place, value, rule, fix, code
        As in :class:`Problem`, for the one-message form.

    Examples
    --------
    >>> raise DesignError("alpha == 1.5, must be < 1", fix="give alpha as a share, such as 0.05")
    Traceback (most recent call last):
    ...
    wwc_eval.errors.DesignError: alpha == 1.5, must be < 1. Fix: give alpha as a share, such as 0.05
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        problems: Iterable[Problem] = (),
        place: Place | None = None,
        value: str | None = None,
        rule: str | None = None,
        fix: str | None = None,
        code: str = "",
    ) -> None:
        found = tuple(problems)
        if message is not None:
            first = Problem(
                message=message,
                place=place or Place(),
                value=value,
                rule=rule,
                fix=fix,
                code=code,
            )
            found = (first, *found)
        self.problems: tuple[Problem, ...] = found
        super().__init__(self._text())

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders (joblib workers) with their problems."""
        return _rebuild, (type(self), self.problems)

    def _text(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = [f"{len(self.problems)} problems"]
        lines += [f"  {problem}" for problem in self.problems[:SHOWN_PROBLEMS]]
        rest = len(self.problems) - SHOWN_PROBLEMS
        if rest > 0:
            lines.append(f"  ... and {rest} more; all of them are in .problems and .to_frame()")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Every problem as a row: code, severity, file, row, column, line, value, rule, fix ..."""
        import pandas as pd

        rows = [
            {
                "code": problem.code,
                "severity": problem.severity,
                **asdict(problem.place),
                "message": problem.message,
                "value": problem.value,
                "rule": problem.rule,
                "fix": problem.fix,
            }
            for problem in self.problems
        ]
        columns = ["code", "severity", *(item.name for item in fields(Place)), "message", "value", "rule", "fix"]
        return pd.DataFrame(rows, columns=columns)


def _rebuild(kind: type[WwcError], problems: tuple[Problem, ...]) -> WwcError:
    return kind(problems=problems)


class DataError(WwcError):
    """The data do not fit what was declared of them."""


class DesignError(WwcError):
    """A design, method or option that cannot be, or does not fit the rest."""


class FormulaError(WwcError):
    """A formula or condition outside the allow-list grammar, or naming what is not there."""


class PlanError(WwcError):
    """An analysis plan that cannot be read or breaks a check."""


class LockError(WwcError):
    """A plan that is not locked, or is not what was locked."""


class ConvergenceError(WwcError):
    """A fit that has no trustworthy optimum."""


class DisclosureError(WwcError):
    """An output that would disclose small numbers."""


class LedgerError(WwcError):
    """A log or ledger whose chain of hashes is broken, or which is in use."""


def shown(value: object) -> str:
    """Quoted, shortened text of a value for use in an error message.

    Examples
    --------
    >>> shown("01/02/2023")
    "'01/02/2023'"
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits has no text
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def _one_line(text: str) -> str:
    """Text in which what a terminal would obey or hide, such as a line feed or an escape, is written out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Advice for a name that was not found: the nearest candidate, else the list of them.

    Examples
    --------
    >>> did_you_mean("agee", ["age", "sex"])
    "did you mean 'age'?"
    >>> did_you_mean("zzz", ["age", "sex"])
    "choose one of 'age', 'sex'"
    """
    known = [str(candidate) for candidate in candidates]
    lower = {candidate.casefold(): candidate for candidate in reversed(known)}
    near = difflib.get_close_matches(str(name).casefold(), list(lower), n=1, cutoff=0.7)
    if near:
        return f"did you mean '{lower[near[0]]}'?"
    if not known:
        return "there is none to choose from"
    listed = ", ".join(f"'{candidate}'" for candidate in known[:12])
    return f"choose one of {listed}" + (f" and {len(known) - 12} more" if len(known) > 12 else "")


def check_choice(name: str, value: object, choices: Sequence[str], *, error: type[WwcError] = DesignError) -> str:
    """The value itself if it is one of the choices, else an error that names them."""
    if isinstance(value, str) and value in choices:
        return value
    listed = ", ".join(f"'{choice}'" for choice in choices)
    raise error(
        f"{name} == {shown(value)}, must be one of {listed}",
        fix=did_you_mean(str(value), choices),
    )


def check_number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    below: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    error: type[WwcError] = DesignError,
) -> float:
    """The value as a finite float inside the stated limits, else an error that names the limit.

    Examples
    --------
    >>> check_number("alpha", 0.05, above=0, below=1)
    0.05
    """
    import math
    import numbers

    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise error(f"{name} == {shown(value)}, must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    rules = (
        (math.isfinite(number), "must be finite"),
        (above is None or number > above, f"must be > {above}"),
        (below is None or number < below, f"must be < {below}"),
        (at_least is None or number >= at_least, f"must be >= {at_least}"),
        (at_most is None or number <= at_most, f"must be <= {at_most}"),
    )
    for holds, rule in rules:
        if not holds:
            text = f"{value}" if math.isfinite(number) else shown(value)
            raise error(f"{name} == {text}, {rule}")
    return number
