"""Repeated cross-sections as cells: children within clusters and periods compressed to their moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_cohorts import note_outside
from wwc_eval.did.panel_columns import kept, numbers_of
from wwc_eval.did.panel_faults import Faults, listed
from wwc_eval.did.panel_findings import note_cohorts, note_spellings
from wwc_eval.did.panel_periods import group_values, on_scale
from wwc_eval.did.panel_reading import read_outcome, read_periods, read_weights, sorted_codes
from wwc_eval.did.panel_treatment import COHORTS, Grid
from wwc_eval.errors import DesignError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CellMoments", "CellRows", "compress", "split"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CellRows:
    """The rows themselves, which covariates need: in order of cell, outcome and weight, whatever order they came in.

    Parameters
    ----------
    source : ndarray of int, shape (m,)
        Position of each row in the data.
    place : ndarray of int, shape (m,)
        Its cell: unit times T plus period.
    outcomes, weights : ndarray, shape (m,)
        Its outcome and weight.
    """

    source: Ints
    place: Ints
    outcomes: Floats
    weights: Floats


@dataclass(frozen=True, kw_only=True)
class CellMoments:
    """Moments of the rows of each cell of unit (cluster and cohort) and period, each of shape (n, T).

    Parameters
    ----------
    n : ndarray of int
        Rows.
    weights : ndarray
        Sum of weights; the number of rows without weights.
    squares : ndarray
        Sum of ``weight^2 (y - mean of the cell)^2``: what an error without clusters needs.
    squared_weights, cross : ndarray
        Sums of ``weight^2`` and of ``weight^2 (y - mean of the cell)``.
    rest : ndarray
        What the rounding of the cell's mean leaves: the mean of ``y`` less it. Effects near zero need it.
    rows : CellRows
        The rows behind them.
    """

    n: Ints
    weights: Floats
    squares: Floats
    squared_weights: Floats
    cross: Floats
    rest: Floats
    rows: CellRows


def compress(frame: pd.DataFrame, names: Mapping[str, str | None], faults: Faults) -> dict[str, Any]:
    """Fields of a panel of cells from rows that are other children in each period.

    Parameters
    ----------
    frame : DataFrame
        Checked columns.
    names : mapping
        Column of each argument of the panel.
    faults : Faults
        What is wrong goes here.

    Raises
    ------
    DataError
        With every fault at once.
    DesignError
        If ``treated`` is given without ``cluster``: only a cluster that is seen again has a first treated period.
    """
    if names["cohort"] is None and names["cluster"] is None:
        raise DesignError(
            "repeated cross-sections need cohort= (first treated period of the row's area) or cluster= (the area)",
            fix="name the column that holds the area in cluster=",
        )
    if names["exposure"] is not None:
        raise DesignError(
            "exposure= does not go with repeated cross-sections",
            fix="add up counts and denominators by area, and give unit=",
        )
    found = read_periods(frame, str(names["period"]), faults)
    values, _, _ = read_outcome(frame, str(names["outcome"]), None, faults)
    weights, values = read_weights(frame, names["weights"], values, faults)
    above = None
    if names["cluster"] is not None:
        above = sorted_codes(frame, names["cluster"], faults, what="cluster")
    if found is None or faults.problems:
        faults.raise_if_any()
    assert found is not None
    periods, times, scale, period_codes = found
    adopted = _row_adoption(frame, names, (times, scale, period_codes), above, faults)
    faults.raise_if_any()
    used = np.flatnonzero(~np.isnan(values))
    if not used.size:
        faults.add("no row has an outcome", column=names["outcome"], fix="name another outcome")
        faults.raise_if_any()
    fields = _cells(
        values[used],
        None if weights is None else weights[used],
        period_codes[used],
        times,
        (adopted[used], above, used),
    )
    blank = ~(fields["cells"].n > 0).any(axis=0)
    if blank.any():
        faults.note(f"no row has an outcome in {listed(periods[blank])}", code="empty")
    fields |= {"periods": periods, "times": times, "scale": scale, "source": kept(frame), "rows": None}
    if above is None:
        labels = [str(periods[k]) if k < len(times) else "never treated" for k in fields["adopted"]]
        fields["units"] = np.array(labels, dtype=object)
        fields |= {"clusters": np.arange(len(labels), dtype=np.int64), "cluster_labels": fields["units"]}
    _note(fields, faults)
    return fields


def _row_adoption(
    frame: pd.DataFrame,
    names: Mapping[str, str | None],
    on: tuple[Ints, Any, Ints],
    above: tuple[NDArray[Any], Ints] | None,
    faults: Faults,
) -> Ints:
    """Position of the first treated period of the area of each row; T for never."""
    times, scale, period_codes = on
    length = len(times)
    adopted = np.full(len(frame), length, dtype=np.int64)
    cohort, treated = names["cohort"], names["treated"]
    if cohort is not None:
        found = group_values(frame[cohort])
        places, unreadable = on_scale(scale, found.labels)
        faults.labels("the cohort cannot be read as a period", found, unreadable, name=cohort, rule=COHORTS)
        by_row = np.append(places, np.nan)[found.codes]
        note_outside(by_row, times, scale, lambda mask: f"{int(mask.sum()):,} rows", column=cohort, faults=faults)
        by_label = np.where(np.isnan(places), length, np.searchsorted(times, places, side="left"))
        adopted = np.append(by_label, length)[found.codes].astype(np.int64)
    if treated is None:
        return adopted
    if above is None:
        raise DesignError(
            "treated= needs cluster= in repeated cross-sections: only an area has a first treated period",
            fix="name the column of the area in cluster=, or give its first treated period in cohort=",
        )
    by_column = _from_treated_rows(frame, names, (length, period_codes), above, faults)
    if by_column is None or cohort is None:
        return adopted if by_column is None else by_column
    differ = np.flatnonzero(by_column != adopted)
    if differ.size:
        faults.rows("cohort and treatment do not agree", differ, column=treated, fix="give one of the two")
    return adopted


def _from_treated_rows(
    frame: pd.DataFrame,
    names: Mapping[str, str | None],
    on: tuple[int, Ints],
    above: tuple[NDArray[Any], Ints],
    faults: Faults,
) -> Ints | None:
    """First treated period of each row's cluster, from rows of 0 and 1 that agree within cluster and period."""
    length, period_codes = on
    labels, clusters = above
    column = str(names["treated"])
    values = numbers_of(frame, column, faults, what="treatment")
    odd = np.flatnonzero(~np.isin(values, (0.0, 1.0)))
    if odd.size:
        faults.rows("the treatment is neither 0 nor 1", odd, column=column, values=values[odd])
        return None
    place = clusters * length + period_codes
    size = len(labels) * length
    n = np.bincount(place, minlength=size).reshape(-1, length)
    on_rows = np.bincount(place, values, minlength=size).reshape(-1, length)
    for cluster, period in zip(*np.nonzero((on_rows > 0) & (on_rows < n)), strict=True):
        faults.add(
            f"some rows of '{labels[cluster]}' are treated and some are not in one period (position {period})",
            column=column,
            fix="treatment is assigned to areas: give the first treated period in cohort=",
        )
    ever = np.maximum.accumulate(on_rows > 0, axis=1)
    back = (n > 0) & (on_rows == 0) & ever
    if back.any():
        rows = np.flatnonzero(back.reshape(-1)[place])
        faults.rows(
            "cluster {} was treated before and is untreated again",
            rows,
            column=column,
            names=[f"'{labels[clusters[row]]}'" for row in rows],
            rule="treatment is absorbing: once treated, always treated",
            fix="end the records before the reversal, or give the first treated period in cohort=",
        )
    return np.where(ever[:, -1], (on_rows > 0).argmax(axis=1), length)[clusters].astype(np.int64)


def _cells(
    values: Floats, weights: Floats | None, period_codes: Ints, times: Ints, by: tuple[Ints, Any, Ints]
) -> dict[str, Any]:
    """Moments of the cells, and the units that they belong to."""
    adopted, above, used = by
    length = len(times)
    labels, codes = (np.zeros(1, dtype=object), np.zeros(len(used), dtype=np.int64)) if above is None else above
    clusters = codes if above is None else codes[used]
    keys, unit = np.unique(clusters * (length + 1) + adopted, return_inverse=True)
    own, cohort = np.divmod(keys, length + 1)
    place = unit * length + period_codes
    size = len(keys) * length

    def total(x: Floats) -> Floats:
        """Sums by cell."""
        return np.asarray(np.bincount(place, x, minlength=size), dtype=np.float64).reshape(-1, length)

    # sums of the same rows in the same order, so that the order of the data leaves no trace
    order = _canonical(place, values, weights)
    place, values = place[order], values[order]
    w = np.ones(len(used)) if weights is None else weights[order]
    sums = total(w)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = total(w * values) / sums
        # a second pass takes away what rounding left in the first, without any of its own; the rest is kept apart
        high, low = split(w * (values - first.reshape(-1)[place]))
        more = (total(high) + total(low)) / sums
        means = first + more
    deviations = values - means.reshape(-1)[place]
    moments = CellMoments(
        n=np.bincount(place, minlength=size).reshape(-1, length),
        weights=sums,
        squares=total((w * deviations) ** 2),
        squared_weights=total(w * w),
        cross=total(w * w * deviations),
        rest=np.nan_to_num(more - (means - first)),
        rows=CellRows(source=used[order], place=place, outcomes=values, weights=w),
    )
    used_clusters, position = np.unique(own, return_inverse=True)
    several = np.bincount(position)[position] > 1
    names = np.array(
        [
            f"{labels[c]} (cohort {k})" if many else labels[c]
            for c, k, many in zip(own, cohort, several, strict=True)
        ],
        dtype=object,
    )
    return {
        "units": names,
        "outcomes": means,
        "adopted": cohort.astype(np.int64),
        "counts": None,
        "exposures": None,
        "weights": sums.sum(axis=1),
        "cell_weights": np.where(sums > 0, sums, np.nan),
        "clusters": position.astype(np.int64),
        "cluster_labels": labels[used_clusters],
        "cross_sections": True,
        "cells": moments,
    }


def split(values: Floats) -> tuple[Floats, Floats]:
    """A coarse part of each value, whose sums and differences are exact, and a fine part.

    The coarse part is a multiple of one power of two.
    """
    reach = len(values) * float(max(values.max(), -values.min()))
    coarse = 1.5 * 2.0 ** (np.frexp(reach)[1] + 1)
    high = (values + coarse) - coarse
    return high, values - high


def _canonical(place: Ints, values: Floats, weights: Floats | None) -> Ints:
    """Order of the rows by cell, outcome and weight, whatever their order was."""
    order = np.argsort(values, kind="stable") if weights is None else np.lexsort((weights, values))
    # places of sixteen bits are sorted in linear time
    short = place[order].astype(np.min_scalar_type(int(place.max())))
    return np.asarray(order[np.argsort(short, kind="stable")], dtype=np.int64)


def _note(fields: Mapping[str, Any], faults: Faults) -> None:
    n = fields["cells"].n
    grid = Grid(rows=np.zeros_like(n), units=fields["units"], periods=fields["periods"], full=False)
    empty = int((n == 0).sum())
    if empty:
        faults.note(f"{empty:,} of {n.size:,} cells have no row", code="missing")
    single = int((n == 1).sum())
    if single:
        faults.note(f"{single:,} cells hold one row", code="singletons")
    note_cohorts(grid, fields["adopted"], faults)
    note_spellings(fields["units"], n > 0, faults)
