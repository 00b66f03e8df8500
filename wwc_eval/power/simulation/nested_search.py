"""Projected Newton's method for two variance ratios of many replicates at once.

Each replicate takes its own step with the exact 2 x 2 Hessian, or with the expected information where that is not positive
definite; a ratio that a step would carry below zero stops there and the other is solved again. At the end the first-order
conditions are checked, and a replicate that breaks them starts again from four corners (about one in ten thousand does).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.power.simulation.nested_cells import CellSummaries, NestedDesign
from wwc_eval.power.simulation.nested_point import Point, criterion_at, point_at
from wwc_eval.power.simulation.small_matrices import Array, Flags, Index

__all__ = ["Found", "search"]

STEPS = 40
SETTLED = 2.5e-4
"""Relative size of the last step (to a ratio of at least 0.01); what it leaves is of the order of its square."""
FIRST_ORDER = 1e-3
CORNERS = ((1e-3, 1.0), (1.0, 1e-3), (1e-3, 1e-3), (1.0, 1.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Where each replicate settled.

    Parameters
    ----------
    ratio : (R, 2) array
        Variance ratios of cells and clusters.
    point : Point
        Criterion and parts there.
    restarted, failed : (R,) bool arrays
        Whether the corners were tried, and whether no minimum was found.
    """

    ratio: Array
    point: Point
    restarted: Flags
    failed: Flags


def search(
    design: NestedDesign, data: CellSummaries, start: tuple[float, float], free: tuple[bool, bool]
) -> Found:
    """Minimise the criterion of every replicate.

    Parameters
    ----------
    design, data
        The trials.
    start : (float, float)
        Ratios of cells and clusters to start from, common to all.
    free : (bool, bool)
        Ratios that are estimated; the others stay at zero.
    """
    ratio = _descend(design, data, start, free)
    point = point_at(design, data, ratio)
    bad = np.flatnonzero(_first_order(point, ratio, free) > FIRST_ORDER)
    restarted = np.zeros(len(ratio), dtype=bool)
    if len(bad):
        restarted[bad] = True
        some = data.take(bad)
        best, value = ratio[bad], point.value[bad].copy()
        for corner in CORNERS:
            other = _descend(design, some, corner, free)
            reached = criterion_at(design, some, other)
            lower = reached < value - 1e-10
            best[lower], value[lower] = other[lower], reached[lower]
        ratio[bad] = best
        point = point_at(design, data, ratio)
    failed = ~np.isfinite(point.value) | (_first_order(point, ratio, free) > 100.0 * FIRST_ORDER)
    return Found(ratio=ratio, point=point, restarted=restarted, failed=failed)


def _first_order(point: Point, ratio: Array, free: tuple[bool, bool]) -> Array:
    """Largest violation of the conditions at a minimum, in units of the criterion."""
    rising = np.abs(point.gradient) * np.maximum(ratio, 0.01)
    kept_down = np.maximum(-point.gradient, 0.0) * 0.01
    return np.asarray((np.where(ratio > 0, rising, kept_down) * np.array(free)).max(axis=1))


def _descend(
    design: NestedDesign, data: CellSummaries, start: tuple[float, float], free: tuple[bool, bool]
) -> Array:
    reps = len(data.means)
    begin = np.where(free, start, 0.0)[None]
    at = point_at(design, data, begin)  # one start for all: the design's algebra is done once
    ratio = np.tile(begin, (reps, 1))
    live: Index = np.arange(reps)
    value, gradient, observed, expected = at.value, at.gradient, at.hessian, at.expected
    for _ in range(STEPS):
        here = ratio[live]
        move = _step(here, gradient, observed, expected, free)
        part = data if len(live) == reps else data.take(live)
        small = np.abs(move - here).max(axis=1) <= SETTLED * (0.01 + here.max(axis=1))
        ratio[live[small]] = move[small]  # the search of these ends here, without another look
        live, here, move = live[~small], here[~small], move[~small]
        if not len(live):
            break
        part = part if not small.any() else part.take(np.flatnonzero(~small))
        at, move = _checked(design, part, (here, move), value[~small])
        ratio[live] = move
        value, gradient, observed, expected = at.value, at.gradient, at.hessian, at.expected
    return ratio


def _checked(
    design: NestedDesign, part: CellSummaries, step: tuple[Array, Array], before: Array
) -> tuple[Point, Array]:
    """The point a step leads to, halved for the few replicates whose criterion it raises."""
    here, move = step
    at = point_at(design, part, move)
    allowed = before + 1e-9 * (1.0 + np.abs(before))
    bad = np.flatnonzero(~(at.value <= allowed))
    if not len(bad):
        return at, move
    for _ in range(20):
        move[bad] = 0.5 * (here[bad] + move[bad])
        reached = criterion_at(design, part.take(bad), move[bad])
        bad = bad[~(reached <= allowed[bad])]
        if not len(bad):
            break
    return point_at(design, part, move), move


def _step(here: Array, gradient: Array, observed: Array, expected: Array, free: tuple[bool, bool]) -> Array:
    """Where Newton's method goes from ratios (R, 2), kept at or above zero."""
    resting = ((here <= 0) & (gradient > 0)) | ~np.array(free)
    full, sound = _solved(gradient, observed, resting)
    scored, _ = _solved(gradient, expected, resting)
    move = here + np.where(sound[:, None], full, scored)
    H = np.where(sound[:, None], observed, expected)
    below = move < 0
    kept = np.where(below, 0.0, move)
    for own, other, curve in ((0, 1, 2), (1, 0, 0)):
        # the partner stops at zero: solve this one again with the partner's actual move
        again = below[:, own] & ~below[:, other] & ~resting[:, other] & (H[:, curve] > 0)
        solved = here[:, other] - (gradient[:, other] - H[:, 1] * here[:, own]) / np.where(again, H[:, curve], 1.0)
        kept[:, other] = np.where(again, np.maximum(solved, 0.0), kept[:, other])
    return np.asarray(np.minimum(kept, 10.0 * here + 1.0))


def _solved(gradient: Array, H: Array, resting: Flags) -> tuple[Array, Flags]:
    """Newton steps (R, 2) from Hessians (R, 3), with resting ratios left out, and whether the Hessian is definite."""
    a = np.where(resting[:, 0], 1.0, H[:, 0])
    d = np.where(resting[:, 1], 1.0, H[:, 2])
    b = np.where(resting.any(axis=1), 0.0, H[:, 1])
    g = np.where(resting, 0.0, gradient)
    determinant = a * d - b * b
    step = -np.stack([d * g[:, 0] - b * g[:, 1], a * g[:, 1] - b * g[:, 0]], axis=1)
    sound = (a > 0) & (determinant > 1e-8 * a * d)
    return step / np.where(determinant == 0, 1.0, determinant)[:, None], sound
