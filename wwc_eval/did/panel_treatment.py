"""When each unit of a panel adopted: from the label of its cohort, or from a column that says who is treated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_columns import numbers_of
from wwc_eval.did.panel_faults import Faults, listed
from wwc_eval.did.panel_periods import PeriodScale, group_values, on_scale

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COHORTS", "Grid", "constant_rows", "from_cohort", "from_treated"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
COHORTS = "the first treated period, in the labels of the periods; never treated: missing, 0 or infinity"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Which row of the data holds each cell of the panel.

    Parameters
    ----------
    rows : ndarray of int, shape (n, T)
        Position of the row; -1 where the cell has none.
    units : ndarray, shape (n,)
        Labels of the units.
    periods : ndarray, shape (T,)
        Labels of the periods.
    full : bool
        Whether every cell has a row and the rows stand in the order of the cells.
    """

    rows: Ints
    units: NDArray[Any]
    periods: NDArray[Any]
    full: bool

    def spread(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """Values by row as values by cell."""
        if self.full:
            return values.reshape(self.rows.shape)
        if self.rows.size and self.rows.min() >= 0:
            return values[self.rows]
        found = values[np.maximum(self.rows, 0)]
        found[self.rows < 0] = missing
        return found

    @property
    def first_rows(self) -> Ints:
        """First row of each unit in the order of its periods, shape (n,)."""
        if self.full:
            return np.ascontiguousarray(self.rows[:, 0])
        return np.asarray(self.rows[np.arange(len(self.rows)), (self.rows >= 0).argmax(axis=1)])


def constant_rows(grid: Grid, codes: Ints) -> Ints:
    """Rows whose code differs from that of the first row of their unit."""
    own = codes[grid.first_rows][:, None]
    cells = grid.spread(codes, np.int64(-2))
    odd = (cells != own) if grid.full else (cells != own) & (grid.rows >= 0)
    return grid.rows[odd] if odd.any() else np.empty(0, dtype=np.int64)


def from_cohort(frame: pd.DataFrame, column: str, grid: Grid, scale: PeriodScale, faults: Faults) -> Floats:
    """Place of each unit's first treated period on the scale of the periods, shape (n,); missing for never."""
    found = group_values(frame[column])
    places, unreadable = on_scale(scale, found.labels)
    faults.labels("the cohort cannot be read as a period", found, unreadable, name=column, rule=COHORTS)
    # missing labels have code -1; labels that mean never share it
    code = np.where(np.isnan(places), -1, np.arange(len(places)))
    codes = np.append(code, -1)[found.codes].astype(np.int64)
    odd = constant_rows(grid, codes)
    if odd.size:
        first = dict(zip(grid.units.tolist(), frame[column].iloc[grid.first_rows].tolist(), strict=True))
        owner = np.nonzero(np.isin(grid.rows, odd))[0]
        faults.rows(
            "unit {} has several cohorts",
            odd,
            column=column,
            values=frame[column].iloc[odd].tolist(),
            names=[f"'{grid.units[one]}' ({first[grid.units[one]]} in its first row)" for one in owner],
            rule="a unit is treated from one period on",
        )
    own = codes[grid.first_rows]
    return np.append(places, np.nan)[own]


def from_treated(frame: pd.DataFrame, column: str, grid: Grid, faults: Faults) -> Ints:
    """Position of each unit's first treated period, shape (n,); T for never. Reversals are faults."""
    before = len(faults.problems)
    values = numbers_of(frame, column, faults, what="treatment")
    if len(faults.problems) > before:
        return np.full(len(grid.units), len(grid.periods), dtype=np.int64)
    used = np.sort(grid.rows[grid.rows >= 0])
    for bad, message in (
        (used[np.isnan(values[used])], "the treatment is missing"),
        (used[~np.isin(values[used], (0.0, 1.0)) & ~np.isnan(values[used])], "the treatment is neither 0 nor 1"),
    ):
        if bad.size:
            faults.rows(
                message, bad, column=column, values=frame[column].iloc[bad].tolist(), fix="correct the rows"
            )
    cells = grid.spread(values, np.nan)
    on = cells == 1.0
    ever = np.maximum.accumulate(on, axis=1)
    periods = cells.shape[1]
    adopted = np.where(ever[:, -1], on.argmax(axis=1), periods).astype(np.int64)
    back = (cells == 0.0) & ever
    if back.any():
        unit, period = np.nonzero(back)
        names = [
            f"'{grid.units[u]}' is treated from {grid.periods[adopted[u]]} and untreated again in {grid.periods[p]}"
            for u, p in zip(unit, period, strict=True)
        ]
        faults.rows(
            "unit {}",
            grid.rows[back],
            column=column,
            values=frame[column].iloc[grid.rows[back]].tolist(),
            names=names,
            rule="treatment is absorbing: once treated, always treated",
            fix="end the unit's records before the reversal, or give the first treated period in cohort=",
        )
    _note_unseen(grid, adopted, column, faults)
    return np.asarray(adopted)


def _note_unseen(grid: Grid, adopted: Ints, column: str, faults: Faults) -> None:
    """Say where the period before the first treated one has no row, so that adoption may have been earlier."""
    n, periods = grid.rows.shape
    before = adopted - 1
    candidates = (adopted < periods) & (adopted > 0)
    unseen = candidates & (grid.rows[np.arange(n), np.maximum(before, 0)] < 0)
    if unseen.any():
        names = [f"{grid.units[u]} (seen treated in {grid.periods[adopted[u]]})" for u in np.flatnonzero(unseen)]
        faults.note(
            f"the period before the first treated one has no row in {listed(names)}: treatment may be older",
            column=column,
            code="adoption",
            fix="give the first treated period in cohort=",
        )
