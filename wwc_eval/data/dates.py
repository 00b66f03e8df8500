"""Dates as text: ISO 8601 unless another form is declared; nothing about them is guessed."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from wwc_eval.data.findings import Fault
from wwc_eval.errors import DataError

__all__ = ["ISO", "DateFormat"]

ISO = "%Y-%m-%d"
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)  # English whatever the locale of the machine
_ALLOWED = "%d %m %Y %b %B %j"
_SLASHED = re.compile(r"([0-9]{1,2})([/.\- ])([0-9]{1,2})\2([0-9]{4})")
_SHORT_YEAR = re.compile(r"([0-9]{1,2})([/.\- ])([0-9]{1,2}|[A-Za-z]{3,9})\2([0-9]{2})")
_NAMED = re.compile(r"([0-9]{1,2})([/.\- ])([A-Za-z]{3,9})\2([0-9]{4})")
_TIMED = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ][0-9:.]+(?:Z|[+-][0-9:]+)?")
_OTHER = (
    (re.compile(r"[0-9]{8}"), "%Y%m%d"),
    (re.compile(r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}"), "%Y/%m/%d"),
    (re.compile(r"[0-9]{4}\.[0-9]{1,2}\.[0-9]{1,2}"), "%Y.%m.%d"),
)


@dataclass(frozen=True)
class DateFormat:
    """A declared form of dates, compiled to a regular expression of its own.

    Parameters
    ----------
    text : str
        The form, such as ``%d/%m/%Y``.
    expression : re.Pattern
        Expression with groups named by directive.

    Examples
    --------
    >>> DateFormat.parse("%d/%m/%Y").read("5/11/2024")
    datetime.date(2024, 11, 5)
    """

    text: str
    expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str | None) -> DateFormat:
        """Compile a form; None is ISO.

        Raises
        ------
        DataError
            If it holds other directives than ``%d %m %Y %b %B %j``, names one twice or leaves a part open (D50).
        """
        return _compiled(text or ISO)

    def read(self, text: str) -> dt.date | None:
        """The date, or None if the text is not of this form or no such day exists."""
        match = self.expression.fullmatch(text)
        if match is None:
            return None
        parts = match.groupdict()
        try:
            if "j" in parts:
                return _day_of_year(int(parts["Y"]), int(parts["j"]))
            return dt.date(int(parts["Y"]), _month(parts), int(parts["d"]))
        except ValueError:
            return None

    def write(self, date: dt.date) -> str:
        """The date in this form, with English names of months."""
        month = _MONTHS[date.month - 1].capitalize()
        parts = {
            "%Y": f"{date.year:04d}",
            "%m": f"{date.month:02d}",
            "%d": f"{date.day:02d}",
            "%j": f"{date.timetuple().tm_yday:03d}",
            "%b": month[:3],
            "%B": month,
        }
        return re.sub("%.", lambda match: parts[match[0]], self.text)

    def fits(self, text: str) -> bool:
        """Whether the text has this form, be there such a day or not."""
        return self.expression.fullmatch(text) is not None

    def fault(self, text: str) -> Fault:
        """Why a text that :meth:`read` refuses is refused."""
        if self.fits(text):
            return Fault(
                code="D23",
                message="there is no such day in the calendar",
                fix="correct the date at its source",
                rule=self._rule,
            )
        if self.text != ISO:
            return Fault(
                code="D23",
                message=f"the text is not a date written {self.text}",
                fix=f"write it as {self.write(dt.date(2024, 11, 30))} for 30 November 2024",
                rule=self._rule,
            )
        return _iso_fault(text)

    @property
    def _rule(self) -> str:
        return "ISO date (YYYY-MM-DD)" if self.text == ISO else f"date written {self.text}"


def _iso_fault(text: str) -> Fault:
    message, fix = _iso_advice(text)
    return Fault(code="D23", message=message, fix=fix, rule="ISO date (YYYY-MM-DD)")


def _iso_advice(text: str) -> tuple[str, str]:
    slashed = _SLASHED.fullmatch(text)
    if slashed:
        return _slashed_advice(slashed)
    if _SHORT_YEAR.fullmatch(text):
        return (
            "the year has two digits, so its century would be a guess",
            "write four-digit years, best as YYYY-MM-DD",
        )
    named = _NAMED.fullmatch(text)
    if named:
        month = "%b" if len(named[3]) == 3 else "%B"
        return "the date is not in ISO form", f'declare format: "%d{named[2]}{month}{named[2]}%Y"'
    timed = _TIMED.fullmatch(text)
    if timed:
        return "a time of day stands after the date", f"keep the date alone: {timed[1]}"
    for expression, form in _OTHER:
        if expression.fullmatch(text):
            return "the date is not in ISO form", f'write YYYY-MM-DD, or declare format: "{form}"'
    if re.fullmatch(r"[0-9]{5}(?:\.[0-9]+)?", text):
        return (
            "the text looks like the day number of a spreadsheet",
            "format the column as YYYY-MM-DD in the spreadsheet before saving",
        )
    if re.fullmatch(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", text):
        return "month and day need two digits", "write the date as YYYY-MM-DD"
    return "the text is not a date", "write it as YYYY-MM-DD, such as 2024-11-30, or declare its format"


def _slashed_advice(match: re.Match[str]) -> tuple[str, str]:
    first, mark, second = int(match[1]), match[2], int(match[3])
    day_first, month_first = f"%d{mark}%m{mark}%Y", f"%m{mark}%d{mark}%Y"
    if first <= 12 and second <= 12:
        return (
            "the date is ambiguous: day first or month first",
            f'write YYYY-MM-DD, or declare format: "{day_first}" (or "{month_first}") for the whole column',
        )
    form = day_first if first > 12 else month_first
    return "the date is not in ISO form", f'write YYYY-MM-DD, or declare format: "{form}"'


@lru_cache(maxsize=64)
def _compiled(text: str) -> DateFormat:
    pieces = re.findall(r"%.|[^%]|%$", text, flags=re.DOTALL)
    used = [piece for piece in pieces if piece.startswith("%")]
    odd = [piece for piece in used if piece not in _ALLOWED.split()]
    if odd:
        reason = "two-digit years leave the century open" if "%y" in odd else f"only {_ALLOWED} are known"
        raise _invalid(text, f"{odd[0]} cannot be used: {reason}")
    kinds = sorted({"%b": "%m", "%B": "%m"}.get(piece, piece) for piece in used)
    if kinds not in (["%Y", "%d", "%m"], ["%Y", "%j"]):
        raise _invalid(text, "a form names the year, the month and the day, each once")
    spaced = all(  # digits that touch need their full width
        not (first.startswith("%") and second.startswith("%")) for first, second in pairwise(pieces)
    )
    low = 1 if spaced and text != ISO else 2
    expressions = {
        "%d": rf"(?P<d>[0-9]{{{low},2}})",
        "%m": rf"(?P<m>[0-9]{{{low},2}})",
        "%Y": r"(?P<Y>[0-9]{4})",
        "%j": r"(?P<j>[0-9]{3})",
        "%b": r"(?P<b>[A-Za-z]{3})",
        "%B": r"(?P<B>[A-Za-z]{3,9})",
    }
    return DateFormat(text, re.compile("".join(expressions.get(piece) or re.escape(piece) for piece in pieces)))


def _month(parts: dict[str, str]) -> int:
    if "m" in parts:
        return int(parts["m"])
    if "b" in parts:
        return [month[:3] for month in _MONTHS].index(parts["b"].casefold()) + 1
    return _MONTHS.index(parts["B"].casefold()) + 1


def _day_of_year(year: int, day: int) -> dt.date:
    date = dt.date(year, 1, 1) + dt.timedelta(days=day - 1)
    if date.year != year:
        raise ValueError(day)
    return date


def _invalid(text: str, message: str) -> DataError:
    return DataError(
        f"date format '{text}' is not valid: {message}",
        code="D50",
        fix='write for example "%d/%m/%Y" or "%Y%m%d"',
    )
