"""Time at risk of the rows of a rate: what is asked together, and values that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, did_you_mean, shown
from wwc_eval.randomisation.scheme import Floats

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design

__all__ = ["check_time", "time_at_risk"]


def check_time(statistic: str, time: str | None, frame: pd.DataFrame) -> None:
    """Refuse a rate without its time at risk, time at risk without a rate, and a column that is not there.

    Raises
    ------
    DesignError
        Saying which.
    """
    if (statistic == "rate_ratio") != (time is not None):
        raise DesignError(
            "statistic='rate_ratio' and exposure go together",
            rule="a rate is events over time at risk",
            fix="write statistic='rate_ratio', exposure='...' (the column of the time at risk), or neither",
        )
    if time is not None and time not in frame.columns:
        raise DesignError(
            f"the data have no column '{time}'", fix=did_you_mean(time, [str(name) for name in frame.columns])
        )


def time_at_risk(design: Design, name: str) -> Floats:
    """Time at risk of the rows used (n,).

    Raises
    ------
    DataError
        If it is not above 0, or a count is below 0; the first row is named.
    """
    kept = design.kept[name]
    if kept.dtype.kind not in "iuf":
        raise DataError(
            f"exposure '{name}' holds {shown(kept[0])}, not numbers",
            place=Place(column=name),
            fix="declare the column as a number when it is read",
        )
    values = np.asarray(kept, dtype=float)
    outcome = design.formula.text.split(" ~ ", maxsplit=1)[0]
    _refuse(design, name, values, ~((values > 0) & np.isfinite(values)), "time at risk is above 0")
    _refuse(design, outcome, design.y, design.y < 0, "a number of events is not below 0")
    return values


def _refuse(design: Design, column: str, values: Floats, bad: np.ndarray, rule: str) -> None:
    if not bad.any():
        return
    first, count = int(np.flatnonzero(bad)[0]), int(bad.sum())
    raise DataError(
        f"'{column}' is {values[first]:g}" + (f" (and cannot be so in {count:,} rows)" if count > 1 else ""),
        place=Place(row=int(design.rows[first]) + 2, column=column),
        rule=rule,
        fix="correct or exclude these rows",
    )
