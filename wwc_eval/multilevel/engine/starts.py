"""Where the search for a minimum starts.

A criterion may have several minima: at zero and far from it, at a correlation of 1 and of -1, with one factor's variance
or another's. A small nested problem is therefore descended from many points spread over the standard deviations and
correlations, all at once in vectors. In a larger one, or with crossed factors, standard deviations are scanned one at a
time. A large problem, whose criterion is close to its quadratic approximation, has one start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wwc_eval.multilevel.engine.batch_newton import Stack, descend
from wwc_eval.multilevel.engine.covariance import Parameters
from wwc_eval.multilevel.engine.criterion import Criterion
from wwc_eval.multilevel.engine.fold import Finest, NestedFold
from wwc_eval.multilevel.engine.optimise import Starts
from wwc_eval.multilevel.engine.structure import Array

__all__ = ["spread_points", "starts_of"]

CHEAP = 200_000
"""Numbers in the finest cross-products up to which several starting points are looked for."""
WORK = 6_000_000
"""Numbers that descents in vectors may hold: cross-products and their derivatives, for each starting point."""
FEWEST = 12
"""Starting points below which descents in vectors are not worth it."""
SMALL = 5_000
"""Numbers in the finest cross-products above which no more than these are taken."""
FIRST = 7
"""Steps from every starting point, after which the lowest go on."""
KEPT = 8
"""How many go on."""
SIZES = (0.03, 0.08, 0.15, 0.3, 0.5, 0.9, 1.5, 3.0, 6.0, 20.0)
"""Relative standard deviations that are compared."""
ALIKE = (0.15, 0.5, 1.5, 6.0)
"""Relative standard deviations of the starts in which all are equal."""
SMALLEST, LARGEST = 0.03, 20.0
"""Relative standard deviations between which the other starts are spread."""
TILT = 0.8
"""Correlation of the tilted starts."""
FEW = 5
"""Standard deviations up to which a descent starts without each of them."""


def starts_of(criterion: Criterion, *, expandable: bool) -> Starts:
    """Points to descend from.

    Parameters
    ----------
    criterion : Criterion
        What is minimised.
    expandable : bool
        Whether exact second derivatives are within reach.
    """
    engine, parameters = criterion.engine, criterion.parameters
    if not isinstance(engine, NestedFold):
        cheap = expandable
    else:
        entries = parameters.size
        derivatives = 1 + entries + entries * (entries + 1) // 2
        wanted = FEWEST if engine.numbers > SMALL else min(16 + 8 * (entries - 1), 48)
        found = None
        if WORK // (engine.numbers * derivatives) >= FEWEST:
            count = min(wanted, WORK // (engine.numbers * derivatives))
            found = _from_many(criterion, engine, spread_points(parameters, count))
        if found is not None:
            return found
        cheap = engine.numbers <= CHEAP
    return _scanned(criterion) if cheap else Starts(points=(parameters.start(0.5),), compared=1)


def spread_points(parameters: Parameters, count: int) -> Array:
    """Starting points (count, t): a few with equal standard deviations, the others spread evenly.

    Formula: the k-th of the others takes its logarithms of standard deviations and its correlations from
    ``frac(1/2 + k a)`` with ``a_j = g^-j`` and ``g`` the positive root of ``g^(t + 1) = g + 1``, the additive
    recurrence that generalises the golden ratio to t dimensions.
    """
    t = parameters.size
    golden = 2.0
    for _ in range(60):
        golden = (1.0 + golden) ** (1.0 / (t + 1))
    steps = np.arange(1, max(count - len(ALIKE), 0) + 1)[:, None]
    even = (0.5 + steps * golden ** -np.arange(1.0, t + 1.0)) % 1.0
    sizes = SMALLEST * (LARGEST / SMALLEST) ** even
    tilts = 1.9 * (even - 0.5)
    points = np.zeros_like(even)
    rows = {(level, i): k for k, (level, i, j) in enumerate(parameters.places) if i == j}
    for k, (level, i, j) in enumerate(parameters.places):
        if i != j:  # a row of the root has the length of its standard deviation
            beside = [m for m, (other, row, column) in enumerate(parameters.places) if (other, row) == (level, i)]
            share = np.sqrt(len(beside) - 1.0)
            points[:, k] = sizes[:, rows[level, i]] * tilts[:, k] / share
    for k in rows.values():
        level, i, _ = parameters.places[k]
        beside = [m for m, (other, row, column) in enumerate(parameters.places) if (other, row) == (level, i)]
        length = (points[:, beside] ** 2).sum(axis=1)
        points[:, k] = np.sqrt(np.maximum(sizes[:, k] ** 2 - length, 0.01 * sizes[:, k] ** 2))
    alike = [parameters.start(size) for size in ALIKE[:count]]
    return np.vstack([*alike, points])


def _from_many(criterion: Criterion, engine: NestedFold, points: Array) -> Starts | None:
    """The lowest end of Newton descents from many points at once; nothing where none settles."""
    base = engine.base
    if isinstance(base, Finest):
        base = replace(base, squares=base.squares[None], rest=base.rest[None])
    else:
        base = base[None]
    parameters = criterion.parameters
    stack = Stack(
        base=base,
        count=len(points),
        starts=engine.starts,
        parameters=parameters,
        n=np.array([float(criterion.n)]),
        reml=criterion.reml,
    )
    theta, values, settled = descend(stack, points, FIRST)
    open_ends = np.flatnonzero(~settled & np.isfinite(values))
    rest = open_ends[np.argsort(values[open_ends], kind="stable")][:KEPT]
    if len(rest):
        theta[rest], values[rest], settled[rest] = descend(replace(stack, count=len(rest)), theta[rest])
    if not settled.any():
        return None
    lowest = int(np.argmin(np.where(settled, values, np.inf)))
    chosen = [lowest]
    stray = int(np.argmin(np.where(settled | ~np.isfinite(values), np.inf, values)))
    if not settled[stray] and values[stray] < values[lowest]:
        chosen.append(stray)
    ends = []
    for k in chosen:
        roots = parameters.factors(theta[k])
        ends.append(parameters.theta([root @ root.T for root in roots]))
    return Starts(points=tuple(ends), compared=len(points))


def _scanned(criterion: Criterion) -> Starts:
    """Each standard deviation in turn at the best of :data:`SIZES`, and the starts that follow from it.

    They are: that point; all standard deviations alike; each correlated block tilted up and down; each standard
    deviation at zero and the others scanned again, for minima lie on different faces as a rule and a descent stays
    on its face. A single standard deviation starts at every dip of the scan.
    """
    parameters = criterion.parameters
    pivots = [int(k) for k in np.flatnonzero(parameters.diagonal)]
    compared = 0

    def at(point: Array) -> float:
        nonlocal compared
        compared += 1
        return criterion.value(parameters.factors(point))

    def scanned(point: Array, moving: Sequence[int]) -> Array:
        for k in moving:
            tries = [(at(_with(point, k, size)), size) for size in SIZES]
            point = _with(point, k, min(tries)[1])
        return point

    if len(pivots) == 1:
        values = [at(parameters.start(size)) for size in SIZES]
        padded = [np.inf, *values, np.inf]
        dips = [k for k, value in enumerate(values) if value <= min(padded[k], padded[k + 2])]
        return Starts(points=tuple(parameters.start(SIZES[k]) for k in dips), compared=compared)
    whole = scanned(scanned(parameters.start(0.5), pivots), pivots)
    alike = min((at(parameters.start(size)), size) for size in SIZES)[1]
    points = [whole, parameters.start(alike)]
    if not parameters.diagonal.all():
        points += [_tilted(parameters, whole, tilt) for tilt in (TILT, -TILT)]
    for k in pivots if len(pivots) <= FEW else ():
        points.append(scanned(_with(whole, k, 0.0), [other for other in pivots if other != k]))
    return Starts(points=tuple(points), compared=compared)


def _tilted(parameters: Parameters, point: Array, tilt: float) -> Array:
    """The same standard deviations with correlated columns."""
    found = point.copy()
    rows = {(level, i): k for k, (level, i, j) in enumerate(parameters.places) if i == j}
    for k, (level, i, j) in enumerate(parameters.places):
        if i != j and j == min(column for other, row, column in parameters.places if (other, row) == (level, i)):
            pivot = rows[level, i]
            found[k] = tilt * point[pivot]
            found[pivot] = np.sqrt(1.0 - tilt**2) * point[pivot]
    return found


def _with(point: Array, place: int, size: float) -> Array:
    moved = point.copy()
    moved[place] = size
    return moved
