"""Periods of a panel: whole numbers, years, quarters, months and dates on one regular scale.

A label is read, never guessed: every label of a column must be of one kind. The scale keeps gaps as gaps.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.table import is_missing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "PeriodScale", "Unreadable", "group_values", "on_scale", "plain_labels", "scale_of"]

Ints = NDArray[np.int64]

_NUMBER = re.compile(r"\s*([+-]?\d{1,15})(?:\.0*)?\s*")
_QUARTER = re.compile(r"\s*(\d{4})\s*[-/ ]?\s*[Qq]([1-4])\s*")
_MONTH = re.compile(r"\s*(\d{4})-(\d{2})\s*")
_YEARS = re.compile(r"\s*(\d{4})\s*[-/\u2013]\s*(\d{2}|\d{4})\s*")
_DATE = re.compile(r"\s*(\d{4})-(\d{2})-(\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?\s*")
LARGEST = 10**15
STEPS = {"number": "period", "year": "year", "quarter": "quarter", "month": "month", "date": "day"}


class Unreadable(Exception):  # noqa: N818
    """A label that is no period; its text says why."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """Distinct labels of a column, in the order in which they were met, and the code of each row.

    Parameters
    ----------
    labels : sequence
        Distinct labels.
    codes : ndarray of int, shape (rows,)
        Label of each row; -1 where it is missing.
    """

    labels: Any
    codes: Ints


@dataclass(frozen=True, kw_only=True)
class PeriodScale:
    """The regular scale on which the periods of one column stand.

    Parameters
    ----------
    kind : {"number", "year", "quarter", "month", "date"}
        What a label is.
    unit : str
        Length of a step in words, such as ``year``.
    origin, step : int
        A label that reads as the whole number v (a year, quarters or months since year 0, days) stands at
        ``(v - origin) / step``.
    rolls : bool
        Whether dates are counted in months, from the same day of each.
    """

    kind: str
    unit: str
    origin: int
    step: int
    rolls: bool = False

    def position(self, label: Any) -> float:
        """Place of a label on the scale; not whole where it stands between two periods.

        Raises
        ------
        Unreadable
            If the label is no period of this kind.
        """
        kind, value = read_label(label)
        if kind == "date" and self.kind != "date":
            raise Unreadable(f"a date among {self.kind}s")
        if kind != self.kind and not {kind, self.kind} <= {"number", "year"}:
            raise Unreadable(f"a {kind} among {self.kind}s")
        if self.rolls:
            date = dt.date.fromordinal(value)
            # a date within a month stands at the month's period: the day is the same in all of them
            value = 12 * date.year + date.month - 1
        return (value - self.origin) / self.step


def read_label(label: Any) -> tuple[str, int]:
    """Kind of a label, and the whole number that it reads as.

    Raises
    ------
    Unreadable
        If it is no period.

    Examples
    --------
    >>> read_label(2019), read_label("2019Q2"), read_label("2019-20"), read_label(201920)
    (('number', 2019), ('quarter', 8077), ('year', 2019), ('year', 2019))
    """
    if isinstance(label, bool | np.bool_):
        raise Unreadable("true or false is no period")
    if isinstance(label, int | np.integer):
        return _whole(int(label))
    if isinstance(label, float | np.floating):
        if not math.isfinite(label) or label != math.floor(label):
            raise Unreadable("a period is a whole number")
        return _whole(int(label))
    if isinstance(label, np.datetime64):
        label = label.astype("datetime64[D]").item()
    if type(label).__name__ == "Period":
        return _pandas_period(label)
    if isinstance(label, dt.datetime):
        if label.time() != dt.time():
            raise Unreadable("a period has no time of day")
        return "date", label.date().toordinal()
    if isinstance(label, dt.date):
        return "date", label.toordinal()
    return _text(str(label))


def _pandas_period(label: Any) -> tuple[str, int]:
    freq = str(label.freqstr)[:1].upper()
    if freq in ("Y", "A"):
        return "year", int(label.year)
    if freq == "Q":
        return "quarter", 4 * int(label.qyear) + int(label.quarter) - 1
    if freq == "M":
        return "month", 12 * int(label.year) + int(label.month) - 1
    if freq == "D":
        return "date", label.to_timestamp().date().toordinal()
    raise Unreadable("periods are years, quarters, months or days")


def _whole(value: int) -> tuple[str, int]:
    """A whole number; six figures such as 201920 are the financial or academic year that begins in 2019."""
    if abs(value) > LARGEST:
        raise Unreadable("a number of so many digits is no period")
    century, following = divmod(value, 100)
    if 1900 <= century <= 2199 and following == (century + 1) % 100:
        return "year", century
    return "number", value


def _text(text: str) -> tuple[str, int]:
    if found := _NUMBER.fullmatch(text):
        return _whole(int(found[1]))
    if found := _QUARTER.fullmatch(text):
        return "quarter", 4 * int(found[1]) + int(found[2]) - 1
    if (found := _YEARS.fullmatch(text)) and int(found[2]) % 100 == (int(found[1]) + 1) % 100:
        return "year", int(found[1])
    if (found := _MONTH.fullmatch(text)) and 1 <= int(found[2]) <= 12:
        return "month", 12 * int(found[1]) + int(found[2]) - 1
    if found := _DATE.fullmatch(text):
        try:
            return "date", dt.date(int(found[1]), int(found[2]), int(found[3])).toordinal()
        except ValueError:
            pass
    raise Unreadable(
        "no whole number, year (2019, 2019-20, 201920), quarter (2019Q1), month (2019-04) or ISO date"
    )


def plain_labels(labels: Any) -> NDArray[Any]:
    """Readable labels as a person writes them: whole numbers without a point, dates without a time of day."""
    found = np.asarray(labels)
    if found.dtype.kind in "iu":
        return found
    if found.dtype.kind == "f":
        return found.astype(np.int64)
    plain = np.empty(len(labels), dtype=object)
    plain[:] = [_plain(label) for label in labels]
    return plain


def _plain(label: Any) -> Any:
    if isinstance(label, np.datetime64 | dt.datetime):
        return dt.date.fromordinal(read_label(label)[1])
    return int(label) if isinstance(label, float) else label


def scale_of(values: list[tuple[str, int]]) -> tuple[PeriodScale, Ints]:
    """The scale of readable labels, and the place of each on it (the first period at 0).

    Raises
    ------
    Unreadable
        If they are of several kinds.
    """
    kinds = {kind for kind, _ in values}
    if kinds == {"number", "year"}:
        raise Unreadable("plain numbers and years of two figures such as 201920 stand in one column")
    if len(kinds) > 1:
        raise Unreadable(f"{' and '.join(sorted(kinds))} labels stand in one column")
    kind = kinds.pop()
    numbers = np.array([value for _, value in values], dtype=np.int64)
    if kind == "date":
        return _dates(numbers)
    origin = int(numbers.min())
    unit = STEPS[kind]
    if kind == "number" and origin >= 1900 and int(numbers.max()) <= 2199:
        unit = "year"
    return PeriodScale(kind=kind, unit=unit, origin=origin, step=1), numbers - origin


def _dates(ordinals: Ints) -> tuple[PeriodScale, Ints]:
    """Dates in years, quarters or months where they fall on one day of the month, else in weeks or days."""
    dates = [dt.date.fromordinal(int(one)) for one in ordinals]
    last = all((date + dt.timedelta(days=1)).day == 1 for date in dates)
    if last or len({date.day for date in dates}) == 1:
        months = np.array([12 * date.year + date.month - 1 for date in dates], dtype=np.int64)
        step = _common_step(months, (12, 3))
        unit = {12: "year", 3: "quarter", 1: "month"}[step]
        origin = int(months.min())
        scale = PeriodScale(kind="date", unit=unit, origin=origin, step=step, rolls=True)
        return scale, (months - origin) // step
    step = _common_step(ordinals, (7,))
    origin = int(ordinals.min())
    scale = PeriodScale(kind="date", unit="week" if step == 7 else "day", origin=origin, step=step)
    return scale, (ordinals - origin) // step


def _common_step(values: Ints, steps: tuple[int, ...]) -> int:
    common = int(np.gcd.reduce(values - values.min())) if len(values) > 1 else 0
    for step in steps:
        if common % step == 0:
            return step
    return 1


def on_scale(scale: PeriodScale, labels: Any) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Place of each label on the scale, missing where it means "never", and why others cannot be read.

    Never: missing, 0 (a number or its text) or infinity.
    """
    places = np.full(len(labels), np.nan)
    faults: dict[int, str] = {}
    for index, label in enumerate(labels):
        if means_never(label):
            continue
        try:
            places[index] = scale.position(label)
        except Unreadable as reason:
            faults[index] = str(reason)
    return places, faults


def means_never(label: Any) -> bool:
    """Whether a cohort label says that the unit is never treated."""
    if is_missing(label) or type(label).__name__ == "NaTType":
        return True
    if isinstance(label, np.datetime64):
        return bool(np.isnat(label))
    if isinstance(label, int | float | np.integer | np.floating) and not isinstance(label, bool):
        return float(label) == 0.0 or math.isinf(label)
    return isinstance(label, str) and label.strip().casefold() in {"", "0", "0.0", "inf", "infinity"}


def group_values(column: pd.Series) -> Column:
    """Distinct labels of a column and the code of each row, fast for whole numbers of a narrow range."""
    import pandas as pd

    values = column.to_numpy() if isinstance(column.dtype, np.dtype) else None
    if values is not None and values.dtype.kind in "iu" and values.size:
        found = _narrow(values)
        if found is not None:
            return found
    codes, labels = pd.factorize(column)
    return Column(labels=labels, codes=np.asarray(codes, dtype=np.int64))


def _narrow(values: NDArray[Any]) -> Column | None:
    """Codes of whole numbers by a look-up table, where that is no longer than a few times the column."""
    values = values.astype(np.int64, copy=False)
    low, high = int(values.min()), int(values.max())
    width = high - low + 1
    if width > 4 * values.size + 1024:
        return None
    offsets = values - low if low else values
    present = np.zeros(width, dtype=bool)
    present[offsets] = True
    labels = np.flatnonzero(present)
    if labels.size == width:
        return Column(labels=labels + low, codes=offsets.astype(np.int64, copy=False))
    table = np.cumsum(present, dtype=np.int64) - 1
    return Column(labels=labels + low, codes=table[offsets])
