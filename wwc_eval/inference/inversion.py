"""Intervals that invert a test by permutation or resampling: the constant effects that it does not reject."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.families import Floats

__all__ = ["TIE", "Weighted", "bisected_interval", "linear_interval", "p_value"]

TIE = 1e-9
"""Statistics nearer than this, relative to their spread, are equal: sums in another order differ in the last digits."""

STEPS = 60
DOUBLINGS = 12
ROUNDING = 1e-12
"""Sums of probabilities that equal one minus the coverage may come out this much above it."""


class Weighted(Protocol):
    """What an observed statistic is compared with."""

    @property
    def weights(self) -> Floats:
        """Weight of each alternative, shape (m,)."""

    @property
    def own(self) -> float:
        """Weight of the observed one beside those listed."""

    @property
    def exact(self) -> bool:
        """Whether all alternatives are listed."""


def p_value(values: Floats, observed: float, reference: Weighted, side: int) -> tuple[float, float]:
    """Share of allocations at least as extreme as the observed one, and its Monte Carlo error.

    Parameters
    ----------
    values : (m,) array
        Statistic of each allocation; a missing one counts as extreme, an infinite one as beyond all others.
    observed : float
        Statistic of the allocation made.
    reference : Weighted
        The allocations.
    side : {0, 1, -1}
        Both sides (absolute values), or large or small values alone.
    """
    known = np.abs(values[np.isfinite(values)])
    # an infinite observed one has its like alone beside it
    slack = TIE * max(float(known.max(initial=0.0)), abs(observed) if np.isfinite(observed) else 0.0)
    compared = np.abs(values) if side == 0 else side * values
    extreme: NDArray[np.bool_] = ~(compared < (abs(observed) if side == 0 else side * observed) - slack)
    share = min(float(reference.weights[extreme].sum()) + reference.own, 1.0)
    error = 0.0 if reference.exact else float(np.sqrt(share * (1.0 - share) / len(values)))
    return share, error


def linear_interval(
    values: Floats, moves: Floats, observed: float, reference: Weighted, alpha: float
) -> tuple[float, float]:
    """Hull of the effects d whose two-sided p-value is above ``alpha``, exactly.

    With a constant effect d taken out of the treated, the statistic of allocation a is ``A - d B`` (A of the outcome, B
    of the treatment received) and that of the observed allocation ``t - d``. Allocation a is at least as extreme for d
    between ``(t - A) / (1 - B)`` and ``(t + A) / (1 + B)``, or outside them where ``|B| > 1``; so p as a function of d
    steps at these points only.

    Parameters
    ----------
    values, moves : (m,) arrays
        A and B of each allocation.
    observed : float
        t, whose B is 1.
    reference : Weighted
        Weights of the allocations.
    alpha : float
        One minus the coverage.
    """
    weights = reference.weights
    slack = TIE * max(float(np.nanmax(np.abs(values), initial=0.0)), abs(observed))
    low, high, outside, always = _regions(values, moves, observed, slack)
    base = reference.own + float(weights[always].sum())
    inside = ~outside & ~always
    outside = outside & ~always
    points = np.unique(np.concatenate([low[~always], high[~always], [observed]]))
    points = points[np.isfinite(points)]
    share = np.full(len(points), base)
    share += _covered(points, low[inside], high[inside], weights[inside])
    share += weights[outside].sum() - _interior(points, low[outside], high[outside], weights[outside])
    kept = points[share > alpha + ROUNDING]
    kept = kept if len(kept) else np.array([observed])
    ends = []
    for far, edge in ((-math.inf, kept.min()), (math.inf, kept.max())):
        reaching = inside & ((low if far < 0 else high) == far)
        beyond = base + float(weights[outside].sum()) + float(weights[reaching].sum())
        ends.append(far if beyond > alpha + ROUNDING else float(edge))
    return ends[0], ends[1]


def _regions(
    values: Floats, moves: Floats, t: float, slack: float
) -> tuple[Floats, Floats, np.ndarray, np.ndarray]:
    """For each allocation the two ends, whether the region lies outside them, and whether it is everything."""
    lost = ~np.isfinite(values) | ~np.isfinite(moves)
    A, B = np.where(lost, t, values), np.where(lost, 1.0, moves)
    flat_up, flat_down = np.abs(1.0 - B) < 1e-9, np.abs(1.0 + B) < 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(flat_up, np.nan, (t - A) / (1.0 - B))
        second = np.where(flat_down, np.nan, (t + A) / (1.0 + B))
    # where B is 1 (or -1) one factor is constant: a half-line, or everything where it is zero
    first = np.where(flat_up, np.where(t < A, -math.inf, math.inf), first)
    second = np.where(flat_down, np.where(t > -A, math.inf, -math.inf), second)
    always = lost | (flat_up & (np.abs(A - t) <= slack)) | (flat_down & (np.abs(A + t) <= slack))
    outside = (1.0 - B) * (1.0 + B) < 0
    outside &= ~(flat_up | flat_down)
    return np.minimum(first, second), np.maximum(first, second), outside, always


def _covered(points: Floats, low: Floats, high: Floats, weights: Floats) -> Floats:
    """Weight of the closed intervals that hold each point."""
    return _below(points, low, weights, "right") - _below(points, high, weights, "left")


def _interior(points: Floats, low: Floats, high: Floats, weights: Floats) -> Floats:
    """Weight of the open intervals that hold each point."""
    return _below(points, low, weights, "left") - _below(points, high, weights, "right")


def _below(points: Floats, ends: Floats, weights: Floats, side: str) -> Floats:
    """Weight of the ends below (``left``) or at or below (``right``) each point."""
    order = np.argsort(ends, kind="stable")
    sums = np.r_[0.0, np.cumsum(weights[order])]
    return np.asarray(sums[np.searchsorted(ends[order], points, side=side)])  # type: ignore[call-overload]


def bisected_interval(
    p_at: Callable[[float], float], observed: float, spread: float, alpha: float
) -> tuple[float, float]:
    """Effects nearest the observed one at which the p-value falls to ``alpha``, by bisection on both sides.

    Parameters
    ----------
    p_at : callable
        p-value with an effect taken out of the treated.
    observed : float
        The estimate, which is never rejected.
    spread : float
        Standard deviation of the statistic under the null hypothesis: the first step.
    alpha : float
        One minus the coverage.
    """
    above = alpha + ROUNDING
    return _end(p_at, observed, -spread, above), _end(p_at, observed, spread, above)


def _end(p_at: Callable[[float], float], start: float, step: float, alpha: float) -> float:
    inside, outside = start, start + 2.0 * step
    for _ in range(DOUBLINGS):
        if p_at(outside) <= alpha:
            break
        inside, outside = outside, start + 2.0 * (outside - start)
    else:
        return math.copysign(math.inf, step)
    for _ in range(STEPS):
        if abs(outside - inside) <= 1e-5 * abs(step):
            break
        middle = 0.5 * (inside + outside)
        if p_at(middle) > alpha:
            inside = middle
        else:
            outside = middle
    return inside
