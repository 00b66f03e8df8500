"""Probability that a multivariate normal falls in a box, and its mean there, without random numbers."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from wwc_eval.inference.families import Floats

__all__ = ["box_moments"]

POINTS = 16_381
"""Points of the lattice, a prime."""


def box_moments(mean: Floats, vcov: Floats, half: Floats) -> tuple[float, Floats]:
    """Probability of ``|x_i| <= half_i`` for all i, and E[x] given that, for ``x ~ N(mean, vcov)``.

    Genz's transformation turns both into averages over the unit cube, taken on the Richtmyer lattice (fractional parts of
    multiples of square roots of primes) folded to be periodic; the first coordinate is exact.

    Parameters
    ----------
    mean, half : ndarrays, shape (k,)
        Mean, and half-widths of the box around zero.
    vcov : ndarray, shape (k, k)
        Covariance.

    Returns
    -------
    tuple of float and ndarray, shape (k,)

    Notes
    -----
    Source: Genz 1992, doi:10.1080/10618600.1992.10477010; Genz and Bretz 2009, doi:10.1007/978-3-642-01689-9.
    """
    k = mean.size
    scale = np.sqrt(np.diag(vcov))
    # a covariance of deficient rank gets the least ridge that has a root
    root = np.linalg.cholesky(vcov / np.outer(scale, scale) + 1e-12 * np.eye(k))
    centre, edge = mean / scale, half / scale
    points = _lattice(k)
    drawn = np.empty((k, POINTS))
    weight = np.ones(POINTS)
    for i in range(k):
        shift = centre[i] + root[i, :i] @ drawn[:i]
        low, high = ndtr((-edge[i] - shift) / root[i, i]), ndtr((edge[i] - shift) / root[i, i])
        width = high - low
        weight *= width
        drawn[i] = ndtri(np.clip(low + points[i] * width, 1e-300, 1.0 - 1e-16))
    total = float(weight.mean())
    if total <= 0.0:
        return 0.0, np.full(k, np.nan)
    inside = root @ (drawn @ weight) / weight.sum()
    return total, np.asarray((centre + inside) * scale)


def _lattice(k: int) -> Floats:
    """Points in the open unit cube, shape (k, POINTS)."""
    primes: list[int] = []
    number = 2
    while len(primes) < k:
        if all(number % prime for prime in primes):
            primes.append(number)
        number += 1
    steps = np.sqrt(np.array(primes, dtype=float))[:, None]
    raw = (np.arange(1, POINTS + 1)[None, :] * steps) % 1.0
    return np.asarray(np.abs(2.0 * raw - 1.0))
