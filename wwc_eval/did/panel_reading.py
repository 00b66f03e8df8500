"""From a frame to the arrays of a panel: every fault of the frame at once, everything worth knowing kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_cohorts import note_outside
from wwc_eval.did.panel_columns import numbers_of
from wwc_eval.did.panel_faults import Faults, listed
from wwc_eval.did.panel_periods import PeriodScale, Unreadable, group_values, plain_labels, read_label, scale_of
from wwc_eval.did.panel_treatment import Grid, constant_rows, from_cohort, from_treated

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "lay_out",
    "read_adoption",
    "read_clusters",
    "read_outcome",
    "read_periods",
    "read_weights",
    "sorted_codes",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def sorted_codes(frame: pd.DataFrame, column: str, faults: Faults, *, what: str) -> tuple[NDArray[Any], Ints]:
    """Distinct labels in order (numbers by size, text by code points), and the code of each row; -1 is missing."""
    found = group_values(frame[column])
    labels = np.asarray(found.labels)
    blank: list[int] = []
    if labels.dtype.kind not in "iufM":
        labels = np.asarray(found.labels, dtype=object)
        blank = [index for index, label in enumerate(labels) if isinstance(label, str) and not label.strip()]
    missing = np.flatnonzero((found.codes < 0) | np.isin(found.codes, blank))
    if missing.size:
        faults.rows(f"the {what} is missing", missing, column=column, fix="fill it in, or drop the rows")
    try:
        order = np.argsort(labels, kind="stable")
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels.tolist()})
        faults.add(
            f"the {what} is of several types: {listed(kinds)}", column=column, fix="make the column all text"
        )
        order = np.arange(len(labels))
    if (order[1:] > order[:-1]).all():
        return labels, found.codes
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1
    return labels[order], rank[found.codes]


def read_periods(
    frame: pd.DataFrame, column: str, faults: Faults
) -> tuple[NDArray[Any], Ints, PeriodScale, Ints] | None:
    """Labels in order, their places on the scale, the scale, and the code of each row; None after a fault."""
    found = group_values(frame[column])
    missing = np.flatnonzero(found.codes < 0)
    if missing.size:
        faults.rows("the period is missing", missing, column=column, fix="fill it in, or drop the rows")
    values: list[tuple[str, int]] = []
    unreadable: dict[int, str] = {}
    for index, label in enumerate(found.labels):
        try:
            values.append(read_label(label))
        except Unreadable as reason:
            unreadable[index] = str(reason)
    faults.labels("the period cannot be read", found, unreadable, name=column)
    if missing.size or len(values) < len(found.labels) or not values:
        return None
    try:
        scale, places = scale_of(values)
    except Unreadable as reason:
        faults.add(f"the periods are not of one kind: {reason}", column=column, fix="write all periods alike")
        return None
    labels = plain_labels(found.labels)
    order = np.argsort(places, kind="stable")
    twins = np.flatnonzero(np.diff(places[order]) == 0)
    if twins.size:
        pairs = [f"{labels[order[i]]} and {labels[order[i + 1]]}" for i in twins]
        faults.add(f"one period is written in two ways: {listed(pairs)}", column=column, fix="write all alike")
        return None
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    codes = found.codes if (order[1:] > order[:-1]).all() else rank[found.codes]
    return labels[order], places[order], scale, codes


def lay_out(
    by_unit: tuple[str, NDArray[Any], Ints], by_period: tuple[str, NDArray[Any], Ints], faults: Faults
) -> Grid:
    """The cell of each row from name, labels and codes of units and periods; two rows in one cell are a fault."""
    unit, units, unit_codes = by_unit
    period, periods, period_codes = by_period
    n, length = len(units), len(periods)
    place = unit_codes * length + period_codes
    size = n * length
    if place.size == size and bool((place == np.arange(size)).all()):
        return Grid(rows=np.arange(size).reshape(n, length), units=units, periods=periods, full=True)
    counts = np.bincount(place, minlength=size)
    if counts.max(initial=0) > 1:
        twice = np.flatnonzero(counts[place] > 1)
        twice = twice[np.argsort(place[twice], kind="stable")]
        labels = [f"'{units[unit_codes[i]]}' in {periods[period_codes[i]]}" for i in twice]
        faults.rows(
            "unit {} has more than one row",
            twice,
            column=unit,
            names=labels,
            rule=f"one row for each '{unit}' and '{period}'",
            fix="aggregate the rows first; for children within an authority, leave unit= out and give cluster=",
        )
    rows = np.full(size, -1, dtype=np.int64)
    rows[place] = np.arange(place.size)
    return Grid(rows=rows.reshape(n, length), units=units, periods=periods, full=False)


def read_outcome(
    frame: pd.DataFrame, outcome: str, exposure: str | None, faults: Faults
) -> tuple[Floats, Floats | None, Floats | None]:
    """Outcome of each row; with an exposure the rate, the count and the exposure."""
    values = numbers_of(frame, outcome, faults, what="outcome")
    if exposure is None:
        return values, None, None
    base = numbers_of(frame, exposure, faults, what="exposure")
    for column, numbers, bad, message, rule in (
        (outcome, values, values < 0, "the count is negative", "a count is 0 or more"),
        (exposure, base, base <= 0, "the exposure is not positive", "a rate needs a positive denominator"),
    ):
        rows = np.flatnonzero(bad)
        if rows.size:
            faults.rows(message, rows, column=column, values=numbers[rows], rule=rule, fix="correct the rows")
    lone = np.flatnonzero(np.isnan(values) != np.isnan(base))
    if lone.size:
        faults.note(
            f"{lone.size:,} rows have a count without an exposure, or the reverse: their rate is missing",
            column=exposure,
            code="exposure",
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = values / base
    gone = np.isnan(rate)
    return rate, np.where(gone, np.nan, values), np.where(gone, np.nan, base)


def read_weights(
    frame: pd.DataFrame, column: str | None, outcome: Floats, faults: Faults
) -> tuple[Floats | None, Floats]:
    """Weight of each row, and the outcome with rows of weight 0 made missing."""
    if column is None:
        return None, outcome
    weights = numbers_of(frame, column, faults, what="weight")
    for bad, message in (
        (np.isnan(weights) & ~np.isnan(outcome), "the weight is missing"),
        (weights < 0, "the weight is negative"),
    ):
        rows = np.flatnonzero(bad)
        if rows.size:
            faults.rows(message, rows, column=column, values=weights[rows], fix="correct the rows")
    none = (weights == 0) & ~np.isnan(outcome)
    if none.any() and not (weights > 0).any():
        faults.add("every weight is 0, which leaves no row", column=column, fix="name another column of weights")
    if none.any():
        faults.note(f"{int(none.sum()):,} rows of weight 0 are left out", column=column, code="weights")
        outcome = np.where(none, np.nan, outcome)
    return weights, outcome


def read_clusters(frame: pd.DataFrame, column: str, grid: Grid, faults: Faults) -> tuple[NDArray[Any], Ints]:
    """Labels of the clusters, and the cluster of each unit, which must be one."""
    labels, codes = sorted_codes(frame, column, faults, what="cluster")
    odd = constant_rows(grid, codes)
    if odd.size:
        owner = np.nonzero(np.isin(grid.rows, odd))[0]
        faults.rows(
            "unit {} is in several clusters",
            odd,
            column=column,
            values=frame[column].iloc[odd].tolist(),
            names=[f"'{grid.units[one]}'" for one in owner],
            rule="clusters lie above the units",
        )
    own = codes[grid.first_rows]
    used, position = np.unique(own, return_inverse=True)
    return labels[used], position.astype(np.int64)


def read_adoption(
    frame: pd.DataFrame,
    names: Mapping[str, str | None],
    grid: Grid,
    *,
    on: tuple[Ints, PeriodScale],
    faults: Faults,
) -> Ints:
    """Position of each unit's first treated period, shape (n,); T for never."""
    times, scale = on
    cohort, treated = names["cohort"], names["treated"]
    length = len(times)
    by_column = None if treated is None else from_treated(frame, treated, grid, faults)
    if cohort is None:
        return by_column if by_column is not None else np.full(len(grid.units), length, dtype=np.int64)
    places = from_cohort(frame, cohort, grid, scale, faults)
    adopted = np.where(np.isnan(places), length, np.searchsorted(times, places, side="left")).astype(np.int64)
    note_outside(places, times, scale, lambda mask: listed(grid.units[mask]), column=cohort, faults=faults)
    if scale.kind == "number" and scale.origin <= 0 <= scale.origin + int(times[-1]):
        faults.note("0 in the cohort means never treated, though 0 is also a period", column=cohort, code="cohort")
    if by_column is not None and (by_column != adopted).any():
        odd = np.flatnonzero(by_column != adopted)
        texts = [
            f"'{grid.units[u]}' joins in {_period(grid, adopted[u])} by '{cohort}' and in "
            f"{_period(grid, by_column[u])} by '{treated}'"
            for u in odd
        ]
        faults.rows(
            "unit {}", grid.first_rows[odd], column=cohort, names=texts, fix="give one of the two, or correct it"
        )
    return adopted


def _period(grid: Grid, position: int) -> str:
    return "no period" if position >= len(grid.periods) else str(grid.periods[position])
