"""Standardised differences between arms at baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["smd_categories", "smd_means", "smd_proportions"]


def smd_means(mean: tuple[float, float], sd: tuple[float, float]) -> float:
    """Standardised difference of two means, second minus first.

    Formula: (m2 - m1) / sqrt((s1^2 + s2^2) / 2). Austin (2009), doi:10.1002/sim.3697.

    Examples
    --------
    >>> smd_means((10.0, 12.0), (4.0, 4.0))
    0.5
    """
    spread = math.sqrt((sd[0] ** 2 + sd[1] ** 2) / 2)
    difference = mean[1] - mean[0]
    if spread > 0:
        return difference / spread
    return 0.0 if difference == 0 else math.copysign(math.inf, difference)


def smd_proportions(first: float, second: float) -> float:
    """Standardised difference of two proportions, second minus first.

    Formula: (p2 - p1) / sqrt((p1 (1 - p1) + p2 (1 - p2)) / 2). Austin (2009), doi:10.1002/sim.3697.

    Examples
    --------
    >>> round(smd_proportions(0.4, 0.5), 4)
    0.202
    """
    return smd_means((first, second), (math.sqrt(first * (1 - first)), math.sqrt(second * (1 - second))))


def smd_categories(first: Sequence[float], second: Sequence[float]) -> float:
    """Standardised distance between two distributions over the same categories; 0 or more.

    Formula: sqrt((t - c)' S^-1 (t - c)) with the shares of all categories but one and S the mean of the two
    multinomial covariance matrices. Yang and Dalton (2012), SAS Global Forum, paper 335-2012. A category that
    nobody has does not count. The distance is infinite where a set of categories tells the arms apart for sure.

    Parameters
    ----------
    first, second : sequence of float
        Shares of the categories in each arm, each adding up to 1.

    Examples
    --------
    >>> round(smd_categories([0.6, 0.4], [0.5, 0.5]), 4)
    0.202
    """
    shares = np.array([first, second], dtype=float)
    shares = shares[:, shares.sum(axis=0) > 0][:, 1:]
    if not shares.shape[1]:
        return 0.0
    covariance = np.mean([np.diag(p) - np.outer(p, p) for p in shares], axis=0)
    difference = shares[1] - shares[0]
    inverse = np.linalg.pinv(covariance)
    if not np.allclose(covariance @ (inverse @ difference), difference, atol=1e-9):
        return math.inf
    return float(math.sqrt(max(difference @ inverse @ difference, 0.0)))
