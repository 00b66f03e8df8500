"""Rows of repeated cross-sections added up by kind: one cohort, period and set of values of the covariates.

Whatever is estimated given covariates is linear in the outcome and depends on a row through its kind, so kinds hold
all that fits and errors need. Children by age, sex and need code are some thousands of kinds, however many they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_design import known_columns, levels_of
from wwc_eval.did.cs_effects import cohort_index
from wwc_eval.did.panel_columns import numbers_of
from wwc_eval.did.panel_faults import Faults

if TYPE_CHECKING:
    from wwc_eval.did.panel import Panel

__all__ = ["Kinds", "Parts", "kinds_of"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LARGEST = 2**62


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Kinds by unit (cluster and cohort), which errors by cluster need.

    Parameters
    ----------
    starts : ndarray of int, shape (C T + 1,)
        First part of each cohort and period.
    unit, kind : ndarray of int, shape (e,)
        Unit and kind of each part.
    weights, deviations : ndarray, shape (e,)
        Sums of ``weight`` and of ``weight (y - mean of the kind)``.
    """

    starts: Ints
    unit: Ints
    kind: Ints
    weights: Floats
    deviations: Floats


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """Kinds of rows in order of cohort, period and values of the covariates.

    Parameters
    ----------
    numbers : ndarray, shape (m, q)
        Covariates that are numbers.
    levels : ndarray of int, shape (m, r)
        Covariates that are text, or have two values: the level of each.
    starts : ndarray of int, shape (C T + 1,)
        First kind of each cohort and period, cohort times T plus period.
    n : ndarray of int, shape (m,)
        Rows.
    weights, outcomes : ndarray, shape (m,)
        Sums of weights, and weighted means of the outcome.
    squares, squared_weights, cross : ndarray, shape (m,)
        Sums of ``weight^2 (y - mean)^2``, ``weight^2`` and ``weight^2 (y - mean)``.
    parts : Parts
        The kinds by unit.
    unused : int
        Rows left out because a covariate is missing.
    unused_weights : ndarray, shape (C,)
        Their sums of ``weight^2`` by cohort.
    """

    numbers: Floats
    levels: Ints
    starts: Ints
    n: Ints
    weights: Floats
    outcomes: Floats
    squares: Floats
    squared_weights: Floats
    cross: Floats
    parts: Parts
    unused: int
    unused_weights: Floats

    def slice_of(self, cell: int) -> slice:
        """The kinds of a cohort and period."""
        return slice(int(self.starts[cell]), int(self.starts[cell + 1]))


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Covariates by row: numbers, levels, and one code that tells rows of other values apart; -1 where missing."""

    numbers: list[Floats]
    levels: list[Ints]
    codes: Ints
    size: int


def kinds_of(panel: Panel, names: tuple[str, ...]) -> Kinds:
    """Kinds of the rows of repeated cross-sections.

    Raises
    ------
    DataError
        If a column is not there, a value is no number, or text has a great many levels.
    """
    rows, length = panel.cells.rows, panel.n_periods
    columns = _read(panel, names)
    cohort = cohort_index(panel)
    unit, period = np.divmod(rows.place, length)
    cell = cohort[unit] * length + period
    whole = np.flatnonzero(columns.codes >= 0)
    gone = columns.codes < 0
    key = (cell * columns.size + columns.codes)[whole]
    order = np.argsort(key, kind="stable")
    taken = whole[order]
    key, unit, w, y = key[order], unit[taken], rows.weights[taken], rows.outcomes[taken]
    new = _changes(key)
    first = np.flatnonzero(new)
    kind = np.cumsum(new) - 1
    sums, sizes = _added(w, first), np.diff(np.append(first, len(key)))
    means = _added(w * y, first) / sums
    # a second pass takes away what rounding left in the first
    means = means + _added(w * (y - means[kind]), first) / sums
    weighted = w * (y - means[kind])
    edges = np.arange(len(panel.cohorts) * length + 1)
    starts = np.searchsorted(key[first] // columns.size, edges).astype(np.int64)
    turn = np.flatnonzero(new | _changes(unit))
    parts = Parts(
        starts=np.searchsorted(kind[turn], starts).astype(np.int64),
        unit=unit[turn],
        kind=kind[turn],
        weights=_added(w, turn),
        deviations=_added(weighted, turn),
    )
    shown = taken[first]
    return Kinds(
        numbers=np.column_stack([np.empty((len(first), 0)), *(one[shown] for one in columns.numbers)]),
        levels=np.column_stack(
            [np.empty((len(first), 0), dtype=np.int64), *(one[shown] for one in columns.levels)]
        ),
        starts=starts,
        n=sizes.astype(np.int64),
        weights=sums,
        outcomes=means,
        squares=_added(weighted**2, first),
        squared_weights=_added(w * w, first),
        cross=_added(w * weighted, first),
        parts=parts,
        unused=int(gone.sum()),
        unused_weights=np.bincount(
            cohort[rows.place[gone] // length], rows.weights[gone] ** 2, minlength=len(panel.cohorts)
        ).astype(np.float64),
    )


def _read(panel: Panel, names: tuple[str, ...]) -> _Columns:
    """Covariates of the rows behind the cells."""
    import pandas as pd
    from pandas.api import types

    known_columns(panel, names)
    source, faults = panel.cells.rows.source, Faults()
    numbers: list[Floats] = []
    levels: list[Ints] = []
    codes, size = np.zeros(len(source), dtype=np.int64), 1
    for name in names:
        if types.is_numeric_dtype(panel.source[name]):
            values = numbers_of(panel.source, name, faults, what="covariate")
            faults.raise_if_any()
            values = values[source]
            # zeros of either sign are one value
            own, distinct = pd.factorize(values + 0.0, sort=True)
            if len(distinct) == 2:
                levels.append(own.astype(np.int64))
            else:
                numbers.append(values)
        else:
            distinct, own = levels_of(panel, name)
            own = own[source]
            levels.append(own)
        size *= max(len(distinct), 1)
        codes = np.where((codes < 0) | (own < 0), -1, codes * max(len(distinct), 1) + own)
        if size * (len(panel.cohorts) + 1) * panel.n_periods > 2**40:
            codes, values_left = pd.factorize(np.where(codes < 0, LARGEST, codes), sort=True)
            missing = len(values_left) and values_left[-1] == LARGEST
            size = len(values_left) - bool(missing)
            codes = np.where(codes >= size, -1, codes).astype(np.int64)
    return _Columns(numbers=numbers, levels=levels, codes=codes, size=max(size, 1))


def _changes(values: Ints) -> NDArray[np.bool_]:
    """Where a value differs from the one before."""
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new


def _added(values: Floats, first: Ints) -> Floats:
    """Sums of runs that begin at ``first``."""
    return np.add.reduceat(values, first) if len(first) else np.zeros(0)
