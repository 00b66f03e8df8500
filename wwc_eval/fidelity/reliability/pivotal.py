"""Intervals of functions of several components of variance: their information, and generalised pivots.

REML's information tells how estimated components vary together. Taken apart step by step, the most nested first, it gives statistics
that do not vary together: on a balanced table they are the mean squares. Each over its expectation is taken as a
chi-squared variable over its degrees of freedom, which turned about gives the components that may have made them.

Sources: Weerahandi (1993), doi:10.1080/01621459.1993.10476355; Satterthwaite (1946), doi:10.2307/3002019; Searle, Casella
and McCulloch (1992), Variance components, chapter 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wwc_eval.fidelity.reliability.reading import Floats, Ints

__all__ = ["component_covariance", "interval", "pivots"]

MOST_LEVELS = 2_000
POINTS = 8_192
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)


def component_covariance(codes: Sequence[Ints], values: Floats) -> Floats | None:
    """Covariance of REML estimates of components, from the expected information at their values; a component of 0 has one too.

    Parameters
    ----------
    codes : sequence of ndarray of int, shape (n,)
        Levels of each random effect; the mean is the only fixed one.
    values : ndarray, shape (e + 1,)
        Components, the residual last.

    Returns
    -------
    ndarray, shape (e + 1, e + 1), or None
        None where effects have more than 2,000 levels in all, or ratings do not tell the components apart.

    Notes
    -----
    Formula: the inverse of ``tr(P A_i P A_j) / 2`` with ``A_i = Z_i Z_i'`` and ``P = V^-1 - V^-1 1 1' V^-1 / 1' V^-1 1``; those
    of the residual follow from ``P V P = P``, so that no matrix is larger than the levels are many.
    """
    n, residual, m = len(codes[0]), float(values[-1]), len(codes)
    counts = [int(each.max()) + 1 for each in codes]
    if sum(counts) > MOST_LEVELS or not residual > 1e-10 * float(values.sum()):
        return None
    places = np.concatenate([[0], np.cumsum(counts)])
    S = np.zeros((places[-1], places[-1]))
    for i, one in enumerate(codes):
        for j, other in enumerate(codes):
            np.add.at(S, (one + places[i], other + places[j]), 1.0)
    root = np.sqrt(np.repeat(values[:-1], counts) / residual)
    scaled = S * root
    inner = np.linalg.inv(np.eye(len(S)) + root[:, None] * scaled)
    size = np.diag(S)
    ones = (size - scaled @ (inner @ (size * root))) / residual
    whole = (n - (size * root) @ inner @ (size * root)) / residual
    B = (S - scaled @ inner @ scaled.T) / residual - np.outer(ones, ones) / whole
    blocks = [slice(places[k], places[k + 1]) for k in range(m)]
    own = np.array([np.trace(B[block, block]) for block in blocks])
    found = np.empty((m + 1, m + 1))
    found[:m, :m] = [[np.sum(B[a, b] ** 2) for b in blocks] for a in blocks]
    found[:m, m] = found[m, :m] = (own - found[:m, :m] @ values[:-1]) / residual
    found[m, m] = ((n - 1.0 - own @ values[:-1]) / residual - found[m, :m] @ values[:-1]) / residual
    sizes = np.sqrt(np.maximum(np.diag(found), 0.0))
    if not sizes.all() or np.linalg.cond(found / np.outer(sizes, sizes)) > 1e10:
        return None
    return np.asarray(2.0 * np.linalg.inv(found))


def pivots(values: Floats, covariance: Floats, sets: Sequence[frozenset[str]]) -> Floats | None:
    """Components that may have made the ratings, none below 0: points (8192, e + 1) of equal weight, the same at every call.

    Parameters
    ----------
    values, covariance : ndarray
        Components, the residual last, and their covariance. A component without variance stays as it is.
    sets : sequence of frozenset
        Facets of each component.

    Returns
    -------
    ndarray or None
        None where a statistic that should be a mean square is not above 0, or components are more than 16.
    """
    from scipy import special

    order = sorted(range(len(values)), key=lambda k: (-len(sets[k]), k != len(values) - 1, k))
    left = covariance[np.ix_(order, order)].copy()
    lower, spread = np.eye(len(order)), np.zeros(len(order))
    for k in range(len(order)):
        spread[k] = max(float(left[k, k]), 0.0)
        if spread[k] > 0:
            lower[k + 1 :, k] = left[k + 1 :, k] / spread[k]
            left[k + 1 :, k + 1 :] -= np.outer(lower[k + 1 :, k], left[k, k + 1 :])
    squares = np.linalg.solve(lower, values[order])
    moving = spread > 1e-14 * squares**2
    if not np.all(squares[moving] > 0) or moving.sum() > len(PRIMES):
        return None
    df = 2.0 * squares[moving] ** 2 / spread[moving]
    drawn = np.tile(squares, (POINTS, 1))
    drawn[:, moving] = squares[moving] * (df / 2.0) / special.gammaincinv(df / 2.0, _lattice(int(moving.sum())))
    found = np.empty_like(drawn)
    found[:, order] = np.maximum(drawn @ lower.T, 0.0)
    return found


def interval(points: Floats, universe: Floats, error: Floats, level: float) -> tuple[float, float]:
    """Limits of ``true / (true + error)``; ``universe`` and ``error`` are what multiplies the components in the two."""
    true, wrong = points @ universe, points @ error
    whole = true + wrong
    share = np.where(whole > 0, true / np.where(whole > 0, whole, 1.0), 0.0)
    low, high = np.quantile(share, (0.5 - 0.5 * level, 0.5 + 0.5 * level))
    return float(low), float(high)


def _lattice(dimensions: int) -> Floats:
    """Richtmyer's points in the unit cube: multiples of the square roots of primes."""
    slopes = np.sqrt(np.array(PRIMES[:dimensions], dtype=float))
    return np.asarray((0.5 + np.arange(1, POINTS + 1)[:, None] * slopes) % 1.0)
