"""Columns of a panel: what is named must be there, and a number must be one, or a declared symbol for missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_faults import Faults, listed
from wwc_eval.errors import DataError, Place, Problem, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_columns", "kept", "numbers_of"]

Floats = NDArray[np.float64]
LARGEST = 1e100
TEXT_FIXES = {"treatment": "write 1 for treated and 0 for not treated", "weight": "correct the rows"}
"""What to do about text where a blank would not do."""
APART = ("unit", "period", "cohort", "treated", "exposure", "cluster")
"""Roles that the column of the outcome cannot have as well."""


def check_columns(frame: pd.DataFrame, named: Mapping[str, str | None]) -> None:
    """Refuse every argument that names no column, or a column that stands twice.

    Raises
    ------
    DataError
        With one problem an argument.
    """
    have = [str(column) for column in frame.columns]
    problems = []
    for argument, name in named.items():
        if name is None:
            continue
        if not isinstance(name, str):
            problems.append(
                Problem(message=f"{argument} == {shown(name)}, must name a column", fix=f'write {argument}="..."')
            )
        elif name not in have:
            problems.append(
                Problem(
                    message=f"{argument}: the data have no column '{name}'",
                    place=Place(column=name),
                    fix=did_you_mean(name, have),
                )
            )
        elif have.count(name) > 1:
            problems.append(
                Problem(
                    message=f"{argument}: the data have {have.count(name)} columns '{name}'",
                    place=Place(column=name),
                    fix="give each column its own name",
                )
            )
    for first, second in (*(("outcome", role) for role in APART), ("unit", "period")):
        name = named.get(first)
        if name is not None and name == named.get(second):
            problems.append(
                Problem(
                    message=f"{first} and {second} are both '{name}'",
                    place=Place(column=str(name)),
                    rule="they are different things",
                    fix=f"name the column of each: {first}=..., {second}=...",
                )
            )
    if problems:
        raise DataError(problems=problems)


def numbers_of(frame: pd.DataFrame, column: str, faults: Faults, *, what: str) -> Floats:
    """A column as numbers, missing where it is blank or holds a symbol of published statistics.

    Symbols (``c`` suppressed, ``x`` not available, ``low`` and so on) are never taken for a number: they are
    missing, and counted among the findings. Any other text is a fault, and so is an infinite number.
    """
    import pandas as pd

    series = frame[column]
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub":
        values = series.to_numpy().astype(np.float64, copy=False)
    elif pd.api.types.is_complex_dtype(series):
        faults.add(f"the {what} is a complex number", column=column, fix="give real numbers")
        values = np.full(len(series), np.nan)
    elif pd.api.types.is_numeric_dtype(series):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = _from_text(series, column, faults, what)
    _refuse_infinite(values, column, faults, what)
    return values


def _refuse_infinite(values: Floats, column: str, faults: Faults, what: str) -> None:
    # a sum of squares is small and not missing where every value is fine, which one pass can tell
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(values @ values)
    if not total < LARGEST**2:
        bad = np.flatnonzero(np.abs(values) > LARGEST)
        if bad.size:
            faults.rows(
                f"the {what} is infinite or too large for sums of squares",
                bad,
                column=column,
                values=values[bad],
                rule=f"at most {LARGEST:g}",
                fix="correct the rows, or use other units",
            )


def _from_text(series: pd.Series, column: str, faults: Faults, what: str) -> Floats:
    from wwc_eval.data.explain import SYMBOLS
    from wwc_eval.table import is_missing

    values = np.full(len(series), np.nan)
    symbols: Counter[str] = Counter()
    wrong: list[int] = []
    cells = series.tolist()
    for index, cell in enumerate(cells):
        if is_missing(cell):
            continue
        if isinstance(cell, bool | np.bool_):
            values[index] = float(cell)
            continue
        text = str(cell).strip()
        symbol = text.casefold().strip("[]")
        if symbol in ("", "-"):
            symbols["blank" if not symbol else f"'{text}'"] += 1
        elif symbol in SYMBOLS:
            symbols[f"'{text}' ({SYMBOLS[symbol]})"] += 1
        else:
            number = _number(text)
            if number is None:
                wrong.append(index)
            else:
                values[index] = number
    if wrong:
        faults.rows(
            f"the {what} is no number",
            wrong,
            column=column,
            values=[cells[index] for index in wrong],
            fix=TEXT_FIXES.get(what, "correct the rows, or leave the cells blank"),
        )
    if symbols:
        counts = listed(f"{count:,} x {symbol}" for symbol, count in sorted(symbols.items()))
        faults.note(f"symbols of published statistics are missing values: {counts}", column=column, code="symbols")
    return values


def _number(text: str) -> float | None:
    """The number that a text writes out in digits, without anything that may mean several things."""
    if "_" in text or text.casefold().strip("+-") in {"nan", "inf", "infinity"}:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def kept(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it is now, whatever the caller does to it later."""
    import pandas as pd

    # from pandas 3 on a shallow copy is copied when either is written to
    return frame.copy(deep=int(pd.__version__.split(".")[0]) < 3)
