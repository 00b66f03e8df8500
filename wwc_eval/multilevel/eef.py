"""The sector's own effect sizes: the formulas of the R package eefAnalytics, at full precision.

A cluster-randomised trial (each cluster in one arm, one random intercept) uses Hedges' formulas for unequal cluster
sizes; a multisite trial (both arms in a cluster, ``(1 + arm | cluster)``) those with a site-by-treatment variance; a
simple trial a pooled standard deviation with the approximate small-sample factor. All intervals use 1.96.

Sources: Hedges (2007), doi:10.3102/1076998606298043; Hedges and Rhoads (2011), doi:10.1007/978-1-4419-9917-1;
eefAnalytics 1.1.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["EefSize", "cluster_total", "cluster_within", "multisite", "simple"]

Z = 1.96


@dataclass(frozen=True)
class EefSize:
    """Effect size and its standard error; limits are ``estimate -+ 1.96 se``."""

    estimate: float
    se: float

    @property
    def ci_low(self) -> float:
        """Lower limit."""
        return self.estimate - Z * self.se

    @property
    def ci_high(self) -> float:
        """Upper limit."""
        return self.estimate + Z * self.se


@dataclass(frozen=True)
class _Sizes:
    """Cluster sizes in the two arms."""

    treated: Array
    control: Array

    @classmethod
    def of(cls, arm: Array, codes: Index) -> _Sizes:
        groups = int(codes.max()) + 1
        treated = np.bincount(codes[arm == 1], minlength=groups).astype(float)
        control = np.bincount(codes[arm == 0], minlength=groups).astype(float)
        return cls(treated[treated > 0], control[control > 0])

    @property
    def n(self) -> tuple[float, float, float]:
        """Rows treated, in control, in all."""
        return self.treated.sum(), self.control.sum(), self.treated.sum() + self.control.sum()

    @property
    def size(self) -> float:
        """Average cluster size that enters the design effect."""
        t, c, n = self.n
        return float(c * (self.treated**2).sum() / (t * n) + t * (self.control**2).sum() / (c * n))


def cluster_within(beta: float, within: float, icc: float, arm: Array, codes: Index) -> EefSize:
    """Cluster trial, difference divided by the within-cluster standard deviation.

    Parameters
    ----------
    beta : float
        Difference in means.
    within : float
        Variance within clusters.
    icc : float
        Intraclass correlation.
    arm : (n,) array
        1 for the arm, 0 for every other row.
    codes : (n,) integers
        Cluster of each row.
    """
    sizes = _Sizes.of(arm, codes)
    t, c, n = sizes.n
    clusters = len(sizes.treated) + len(sizes.control)
    d = beta / sqrt(within)
    design = (1.0 + (sizes.size - 1.0) * icc) / (1.0 - icc)
    return EefSize(d, sqrt((t + c) / (t * c) * design + d**2 / (2.0 * (n - clusters))))


def cluster_total(beta: float, total: float, icc: float, arm: Array, codes: Index) -> EefSize:
    """Cluster trial, difference divided by the total standard deviation; parameters as :func:`cluster_within`."""
    sizes = _Sizes.of(arm, codes)
    t, c, n = sizes.n
    m_t, m_c = len(sizes.treated), len(sizes.control)
    if min(m_t, m_c) < 2:
        raise DesignError("the formula needs two clusters in each arm", fix="use formula='hedges'")
    u_t = (t**2 - (sizes.treated**2).sum()) / (t * (m_t - 1))
    u_c = (c**2 - (sizes.control**2).sum()) / (c * (m_c - 1))
    d = beta / sqrt(total) * sqrt(1.0 - icc * ((n - u_t * m_t - u_c * m_c) + u_t + u_c - 2.0) / (n - 2.0))
    b = u_t * (m_t - 1) + u_c * (m_c - 1)
    a = _unevenness(sizes.treated) + _unevenness(sizes.control)
    first = (t + c) / (t * c) * (1.0 + (sizes.size - 1.0) * icc)
    second = ((n - 2.0) * (1.0 - icc) ** 2 + a * icc**2 + 2.0 * b * icc * (1.0 - icc)) * d**2
    return EefSize(d, sqrt(first + second / (2.0 * (n - 2.0) * ((n - 2.0) - icc * (n - 2.0 - b)))))


def _unevenness(sizes: Array) -> float:
    n = sizes.sum()
    squares, cubes = (sizes**2).sum(), (sizes**3).sum()
    return float((n**2 * squares + squares**2 - 2.0 * n * cubes) / n**2)


def multisite(beta: float, scale: float, variances: tuple[float, float], arm: Array, codes: Index) -> EefSize:
    """Multisite trial, difference divided by the root of ``scale`` (the within or the total variance).

    Parameters
    ----------
    beta : float
        Difference in means.
    scale : float
        Variance behind the standard deviation.
    variances : pair of float
        Residual variance, and variance of the arm's effect between clusters.
    arm, codes : (n,) arrays
        As :func:`cluster_within`.
    """
    groups = int(codes.max()) + 1
    treated = np.bincount(codes[arm == 1], minlength=groups).astype(float)
    control = np.bincount(codes[arm == 0], minlength=groups).astype(float)
    both = (treated > 0) & (control > 0)
    effective = treated[both] * control[both] / (treated[both] + control[both])
    n = len(arm)
    within, slope = variances
    d = beta / sqrt(scale)
    first = 1.0 / float((scale / (slope + within / effective)).sum())
    return EefSize(d, sqrt(first + d**2 / (2.0 * n - 4.0 * groups)))


def simple(beta: float, sd: float, n_treated: int, n_control: int) -> EefSize:
    """Simple trial: difference divided by a standard deviation, with the factor ``1 - 3 / (4 m - 1)``.

    Examples
    --------
    >>> round(simple(3.58631088620885, 121.757642843202**0.5, 102, 108).estimate, 9)
    0.323838986
    """
    d = beta / sd
    factor = 1.0 - 3.0 / (4.0 * (n_treated + n_control - 2) - 1.0)
    variance = (n_treated + n_control) / (n_treated * n_control) + d**2 / (2.0 * (n_treated + n_control))
    return EefSize(factor * d, factor * sqrt(variance))
