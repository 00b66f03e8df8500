"""What is matched: rows, who is treated, and the columns that must agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.data.frames import as_pandas
from wwc_eval.errors import DataError, DesignError, Place, Problem, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sample", "numbers_of", "read_sample"]

SHOWN_ROWS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Rows to be matched.

    Parameters
    ----------
    frame : DataFrame
        The rows as given.
    treatment : str
        Column of 0 and 1.
    treated : (n,) array of bool
        Who is treated.
    order : (n,) array of int
        Rows in an order that does not depend on how the file was sorted.
    """

    frame: pd.DataFrame
    treatment: str
    treated: NDArray[np.bool_]
    order: NDArray[np.intp]

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.frame)


def read_sample(data: Any, treatment: str, columns: Iterable[str], unit: str | None = None) -> Sample:
    """Rows with a treatment of 0 and 1 and no missing value in the columns that are matched on.

    Raises
    ------
    DesignError
        If a column is not there.
    DataError
        If the treatment has other values, nobody or everybody is treated, a value is missing or a unit repeats.
    """
    import pandas as pd

    frame = as_pandas(data, "data")
    wanted = list(dict.fromkeys([treatment, *columns, *([unit] if unit else [])]))
    for name in wanted:
        if name not in frame.columns:
            raise DesignError(
                f"the data have no column '{name}'", fix=did_you_mean(name, [str(c) for c in frame.columns])
            )
    _refuse_missing(frame, wanted)
    _refuse_infinite(frame, wanted)
    arm = frame[treatment]
    if not bool(arm.isin([0, 1]).all()):
        odd = arm[~arm.isin([0, 1])].iloc[0]
        raise DataError(
            f"'{treatment}' holds {shown(odd)}",
            place=Place(column=treatment),
            rule="1 or true for treated, 0 or false for the others",
            fix="code the treatment as 0 and 1",
        )
    treated = arm.to_numpy(dtype=float) == 1.0
    if treated.all() or not treated.any():
        raise DataError(f"{'everybody' if treated.all() else 'nobody'} is treated", place=Place(column=treatment))
    if unit is not None and bool(frame[unit].duplicated().any()):
        first = frame[unit][frame[unit].duplicated()].iloc[0]
        raise DataError(
            f"{unit} {shown(getattr(first, 'item', lambda: first)())} stands in several rows",
            place=Place(column=unit),
            fix="match one row a unit, such as means of the periods before treatment",
        )
    keys = [unit] if unit else wanted
    codes = [pd.factorize(frame[name], sort=True)[0] for name in reversed(keys)]
    return Sample(frame=frame, treatment=treatment, treated=treated, order=np.lexsort(codes))


def _refuse_missing(frame: pd.DataFrame, names: Sequence[str]) -> None:
    problems = []
    for name in names:
        rows = np.flatnonzero(frame[name].isna().to_numpy())
        problems += [
            Problem(
                message=f"'{name}' is missing",
                place=Place(row=int(row) + 2, column=name),
                fix="leave the row out, impute it, or match on an indicator of missing values",
            )
            for row in rows[:SHOWN_ROWS]
        ]
        if len(rows) > SHOWN_ROWS:
            problems.append(Problem(message=f"'{name}' is missing in {len(rows):,} rows in all"))
    if problems:
        raise DataError(problems=problems)


def _refuse_infinite(frame: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if frame[name].dtype.kind != "f":
            continue
        rows = np.flatnonzero(np.isinf(frame[name].to_numpy(dtype=float)))
        if rows.size:
            raise DataError(
                f"'{name}' is infinite in {rows.size:,} row{'s' * (rows.size != 1)}",
                place=Place(row=int(rows[0]) + 2, column=name),
                fix="correct the rows, or leave them out",
            )


def numbers_of(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Columns as numbers, shape (n, k).

    Raises
    ------
    DesignError
        If a column holds no numbers.
    """
    import pandas as pd

    for name in names:
        if not (pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name])):
            raise DesignError(f"'{name}' holds no numbers, so it has no distance", fix=f"use exact=['{name}']")
    return frame[list(names)].to_numpy(dtype=float)
