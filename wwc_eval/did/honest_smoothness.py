"""Smooth deviations from parallel trends: the slope changes by at most M from one period to the next.

The set Delta^SD(M) of Rambachan and Roth 2023. An affine estimator ``v'beta`` with the target's weights after treatment has
worst-case bias ``M * sum |c_j|``, where c_j is its weight on the j-th second difference, provided that it ignores linear
trends. In those coordinates the frontier of bias against variance is a lasso path, the same for every M; the shortest
fixed-length interval is a point on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from wwc_eval.did.honest_setting import Setting
from wwc_eval.inference.families import Floats

__all__ = ["Frontier", "critical_value", "frontier", "identified", "intervals", "largest_bend", "lasso_path"]

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
ROUNDS = 60


def critical_value(bias: Floats, alpha: float) -> Floats:
    """Upper ``alpha`` point of ``|N(bias, 1)|``.

    Newton's method from below, where the distribution function is concave: it never overshoots.
    """
    bias = np.asarray(bias, dtype=float)
    at = bias + ndtri(1.0 - alpha)
    for _ in range(12):
        gap = 1.0 - alpha - (ndtr(at - bias) - ndtr(-at - bias))
        step = gap / (
            (np.exp(-0.5 * (at - bias) ** 2) + np.exp(-0.5 * (at + bias) ** 2)) / math.sqrt(2.0 * math.pi)
        )
        at = at + step
        if (np.abs(step) <= 1e-14 * at).all():
            break
    return np.asarray(at)


def hinges(at: Setting) -> tuple[Floats, Floats]:
    """Deviations that bend once, as rows over the grid: one for each inner event, and the straight line.

    The path of deviations is ``slope * line + sum_j s_j * hinge_j`` with s_j its second differences.
    """
    grid, reference = at.grid, at.reference
    inner = grid[1:-1]
    right = np.maximum(grid[None, :] - inner[:, None], 0)
    left = np.maximum(inner[:, None] - grid[None, :], 0)
    # every hinge is zero at the reference
    bends = np.where((inner < reference)[:, None], left, right).astype(float)
    return bends, (grid - reference).astype(float)


def identified(at: Setting, values: Floats) -> Floats:
    """Bounds of the effect if the estimates before treatment were exact, shape (m, 2); missing where they bend more.

    Formula: the target less a straight line through the last two known events, -+ M sum_j |sum_t w_t max(t - j, 0)|
    over events j from the last known one on.
    """
    path = at.full @ at.beta
    last = at.anchor
    ahead = (at.grid - at.grid[last]).astype(float)
    over = at.full @ at.weights
    line = path[last] + ahead * (path[last] - path[last - 1])
    middle = at.estimate - float(over @ line)
    later = at.grid[last:-1]
    room = np.abs(np.maximum(at.grid[None, :] - later[:, None], 0) @ over).sum()
    bend = np.abs(np.diff(path[: last + 1], 2)).max(initial=0.0)
    half = np.where(values >= bend * (1.0 - 1e-12), values * room, np.nan)
    return np.column_stack([middle - half, middle + half])


def largest_bend(at: Setting, alpha: float) -> tuple[float, float]:
    """Largest absolute second difference before treatment, and the largest of their upper ``1 - alpha`` limits."""
    rows = np.diff(at.full[: at.anchor + 1], 2, axis=0)
    if not len(rows):
        return 0.0, at.se
    size = np.abs(rows @ at.beta)
    error = np.sqrt(np.einsum("ij,jk,ik->i", rows, at.vcov, rows))
    return float(size.max()), float((size + ndtri(1.0 - alpha) * error).max())


@dataclass(frozen=True, kw_only=True, eq=False)
class Frontier:
    """Estimators of least variance for each bias, as knots between which their weights are linear.

    Parameters
    ----------
    weights : ndarray, shape (knots, k)
        Weights of the estimates, from least bias to least variance.
    bias : ndarray, shape (knots,)
        Worst-case bias for M = 1.
    """

    weights: Floats
    bias: Floats


def frontier(at: Setting) -> Frontier:
    """Frontier of bias and variance among estimators with bounded bias."""
    bends, line = hinges(at)
    maps = np.vstack([bends, line[None, :]]) @ at.full  # weights on estimates -> weights on bends and slope
    known = at.known
    pull = maps[:, known]
    # bends that known estimates bear on, and the slope, whose weight must vanish: as many as known estimates
    free = np.append(np.any(pull[:-1] != 0.0, axis=1), True)
    solve = np.linalg.inv(pull[free])
    target = maps @ at.weights
    fixed = np.abs(target[:-1][~free[:-1]]).sum()
    base = at.weights.copy()
    base[known] = -solve @ target[free]
    moves = np.zeros((at.beta.size, int(free.sum()) - 1))
    moves[known] = solve[:, :-1]
    if not moves.shape[1]:
        return Frontier(weights=base[None, :], bias=np.array([fixed]))
    gram = moves.T @ at.vcov @ moves
    knots = lasso_path(gram, -moves.T @ at.vcov @ base)
    return Frontier(weights=base + knots @ moves.T, bias=fixed + np.abs(knots).sum(axis=1))


def lasso_path(gram: Floats, pull: Floats) -> Floats:
    """Knots of ``argmin c'Gc / 2 - r'c + k |c|_1`` as k falls from where c is zero to nothing, shape (knots, p).

    Between knots the solution is linear in k. Coordinates enter where their correlation reaches k and leave at zero.
    """
    size = pull.size
    top = float(np.abs(pull).max(initial=0.0))
    knots = [np.zeros(size)]
    if top == 0.0:
        return np.array(knots)
    # a covariance from few clusters may be singular; the path then needs this much to be one path
    gram = gram + np.eye(size) * (1e-13 * float(np.trace(gram)) / size)
    active = [int(np.abs(pull).argmax())]
    sign = np.sign(pull) * (np.arange(size) == active[0])
    height = top
    for _ in range(50 * size):
        rows = np.array(active, dtype=np.intp)
        both = np.linalg.solve(gram[np.ix_(rows, rows)], np.column_stack([pull[rows], sign[rows]]))
        start, slope = both[:, 0], -both[:, 1]
        height, index, entering = _next_event(gram, pull, rows, start=start, slope=slope, height=height)
        knot = np.zeros(size)
        knot[rows] = start + height * slope
        if index is not None and not entering:
            knot[index] = 0.0
        knots.append(knot)
        if index is None:
            break
        if entering:
            active.append(index)
            sign[index] = entering
        else:
            active.remove(index)
            sign[index] = 0.0
        if not active:
            break
    return np.array(knots)


def _next_event(
    gram: Floats, pull: Floats, rows: NDArray[np.intp], *, start: Floats, slope: Floats, height: float
) -> tuple[float, int | None, float]:
    """Next height at which a coordinate leaves (0) or enters (its sign); none at the end of the path."""
    below = height * (1.0 - 1e-12)
    best: tuple[float, int | None, float] = (0.0, None, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        leaves = -start / slope
    for at, row in zip(leaves, rows, strict=True):
        if best[0] < at < below:
            best = (float(at), int(row), 0.0)
    for row in np.setdiff1d(np.arange(pull.size), rows):
        level = pull[row] - gram[row, rows] @ start
        drift = -gram[row, rows] @ slope
        for side in (1.0, -1.0):
            if abs(side - drift) > 1e-14 and best[0] < level / (side - drift) < below:
                best = (float(level / (side - drift)), int(row), side)
    return best


def intervals(at: Setting, values: Floats, alpha: float, edge: Frontier | None = None) -> Floats:
    """Shortest fixed-length interval for each M, shape (m, 2).

    Formula: ``v'beta -+ cv(M B(v) / sd(v)) sd(v)`` with v on the frontier and cv the critical value of ``|N(bias, 1)|``;
    the half-length is convex along the frontier, so a golden-section search finds its least value.
    """
    edge = frontier(at) if edge is None else edge
    values = np.asarray(values, dtype=float)

    def half(place: Floats) -> tuple[Floats, Floats]:
        cell = np.minimum(place.astype(np.intp), max(len(edge.bias) - 2, 0))
        share = place - cell
        after = np.minimum(cell + 1, len(edge.bias) - 1)
        bias = values * ((1.0 - share) * edge.bias[cell] + share * edge.bias[after])
        mix = (1.0 - share)[:, None] * edge.weights[cell] + share[:, None] * edge.weights[after]
        sd = np.sqrt(np.maximum(np.einsum("mk,kl,ml->m", mix, at.vcov, mix), 1e-300))
        return sd * critical_value(bias / sd, alpha), mix @ at.beta

    low, high = np.zeros(values.size), np.full(values.size, float(len(edge.bias) - 1))
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = half(left)[0], half(right)[0]
    for _ in range(ROUNDS):
        lower = at_left < at_right
        low, high = np.where(lower, low, left), np.where(lower, right, high)
        fresh = np.where(lower, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        value = half(fresh)[0]
        left, right = np.where(lower, fresh, right), np.where(lower, left, fresh)
        at_left, at_right = np.where(lower, value, at_right), np.where(lower, at_left, value)
    ends = np.array([np.zeros(values.size), (low + high) / 2.0, np.full(values.size, len(edge.bias) - 1.0)])
    tried = [half(place) for place in ends]
    best = np.argmin([size for size, _ in tried], axis=0)
    size, middle = (np.array([each[k] for each in tried])[best, np.arange(values.size)] for k in (0, 1))
    return np.column_stack([middle - size, middle + size])
