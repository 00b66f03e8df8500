"""Pairs of treated and control rows by distance: optimal, greedy, or each its nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError

__all__ = ["pair_up"]

Floats = NDArray[np.float64]
Index = NDArray[np.intp]
LARGEST = 25_000_000
"""Distances held at once for optimal matching: 200 megabytes."""


def pair_up(
    X: Floats,
    treated: Index,
    control: Index,
    *,
    block: Index | None,
    permitted: Any,
    caliper: float | None,
    ratio: int,
    replace: bool,
    optimal: bool,
) -> tuple[Index, Index, Floats]:
    """Treated row, control row and distance of each pair.

    Parameters
    ----------
    X : (n, k) array
        Coordinates in which distance is Euclidean.
    treated, control : arrays of int
        Rows in the order in which ties are broken.
    block : (n,) array of int, optional
        Rows of different blocks are not matched.
    permitted : (codes, grid), optional
        Codes of the rows, and which codes may stand together.
    caliper : float, optional
        Largest distance.
    ratio : int
        Controls a treated row.
    replace, optimal : bool
        With replacement; without it the smallest total distance, or greedily.

    Returns
    -------
    tuple of arrays
        In the order of ``treated``.

    Notes
    -----
    Optimal pairs solve the assignment problem with each treated row as often as it may have controls (Rosenbaum 1989,
    doi:10.1080/01621459.1989.10478868); what is not permitted costs more than all that is, and a further
    control more than a first one, so that the number of pairs comes first and then that of treated rows with a control.
    """
    rank = np.empty(len(X), dtype=np.intp)
    rank[treated] = np.arange(len(treated))
    found: list[tuple[Index, Index, Floats]] = []
    for mine, theirs in _blocks(treated, control, block):
        if not len(theirs):
            continue
        distances = _distances(X, mine, theirs, permitted, caliper)
        if replace:
            found += _nearest(mine, theirs, distances, ratio)
        elif optimal:
            found.append(_optimal(mine, theirs, distances, ratio))
        else:
            found += _greedy(mine, theirs, distances, ratio)
    if not found:
        nothing = np.empty(0, dtype=np.intp)
        return nothing, nothing, np.empty(0)
    first, second, distance = (np.concatenate([part[k] for part in found]) for k in range(3))
    order = np.lexsort((distance, rank[first]))
    return first[order], second[order], distance[order]


def _blocks(treated: Index, control: Index, block: Index | None) -> Iterator[tuple[Index, Index]]:
    if block is None:
        yield treated, control
        return
    for code in np.unique(block[treated]):
        yield treated[block[treated] == code], control[block[control] == code]


def _distances(
    X: Floats, mine: Index, theirs: Index, permitted: Any, caliper: float | None
) -> Callable[[slice], Floats]:
    """Distances of some treated rows to all controls; infinite where a pair is not permitted."""

    def of(part: slice) -> Floats:
        gap = np.zeros((len(mine[part]), len(theirs)))
        for k in range(X.shape[1]):
            gap += (X[mine[part], k][:, None] - X[theirs, k]) ** 2
        gap = np.sqrt(gap)
        if permitted is not None:
            codes, grid = permitted
            gap[~grid[codes[mine[part]]][:, codes[theirs]]] = np.inf
        if caliper is not None:
            gap[gap > caliper] = np.inf
        return gap

    return of


def _optimal(mine: Index, theirs: Index, distances: Any, ratio: int) -> tuple[Index, Index, Floats]:
    from scipy.optimize import linear_sum_assignment

    if len(mine) * ratio * len(theirs) > LARGEST:
        raise DesignError(
            f"{len(mine):,} treated and {len(theirs):,} control rows are too many for optimal matching",
            fix="use method='greedy', or exact columns, within which it is done apart",
        )
    near = distances(slice(None))
    table = np.tile(near, (ratio, 1))
    barred = np.isinf(table)
    # dearer than all pairs that could be made together: first the number of pairs, then that of treated rows with any
    most = float(table[~barred].max(initial=0.0))
    slots = min(table.shape) + 1.0
    dear = (most + 1.0) * slots
    if ratio > 1 and (barred.any() or len(theirs) < len(table)):
        table[len(mine) :] += dear
        dear = (most + dear + 1.0) * slots
    table[barred] = dear
    rows, columns = linear_sum_assignment(table)
    fine = ~barred[rows, columns]
    rows, columns = rows[fine], columns[fine]
    first = rows % len(mine)
    return mine[first], theirs[columns], near[first, columns]


def _nearest(mine: Index, theirs: Index, distances: Any, ratio: int) -> Iterator[tuple[Index, Index, Floats]]:
    step = max(1, 4_000_000 // max(len(theirs), 1))
    for start in range(0, len(mine), step):
        part = slice(start, start + step)
        table = distances(part)
        order = np.argsort(table, axis=1, kind="stable")[:, :ratio]
        near = np.take_along_axis(table, order, axis=1)
        row, column = np.nonzero(np.isfinite(near))
        yield mine[part][row], theirs[order[row, column]], near[row, column]


def _greedy(mine: Index, theirs: Index, distances: Any, ratio: int) -> Iterator[tuple[Index, Index, Floats]]:
    """The treated row whose nearest control is farthest chooses first; each round one control."""
    nearest = np.array([distances(slice(k, k + 1)).min() for k in range(len(mine))])
    order = np.argsort(-np.where(np.isinf(nearest), -1.0, nearest), kind="stable")
    free = np.ones(len(theirs), dtype=bool)
    for _ in range(ratio):
        for k in order.tolist():
            row = np.where(free, distances(slice(k, k + 1))[0], np.inf)
            best = int(np.argmin(row))
            if np.isfinite(row[best]):
                free[best] = False
                yield mine[k : k + 1], theirs[best : best + 1], row[best : best + 1]
