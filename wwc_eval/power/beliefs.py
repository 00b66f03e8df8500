"""Distributions of what is not known when a trial is planned, as quantile functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from wwc_eval.errors import DesignError, check_number
from wwc_eval.power.checks import Frozen
from wwc_eval.power.kernels import Array

__all__ = ["Belief"]

MOST_ICC = 0.999


@dataclass(frozen=True, kw_only=True, eq=False)
class Belief(Frozen):
    """What is believed of one number; made by the class methods.

    Parameters
    ----------
    kind : {"normal", "lognormal", "beta", "uniform", "pilot_icc", "points"}
        Family.
    first, second : float
        Its two parameters: mean and SD (normal), median and SD of the logarithm (lognormal), the two shapes (beta), ends
        (uniform), observed F ratio and cluster size (pilot_icc), lowest and highest value (points).
    clusters : int
        Clusters of the pilot (pilot_icc).
    probabilities, values : ndarray
        Points of the distribution function (points).

    Examples
    --------
    >>> belief = Belief.pilot_icc(0.05, clusters=8, size=15)
    >>> [round(float(q), 3) for q in belief.quantile(np.array([0.05, 0.5, 0.95]))]
    [0.0, 0.06, 0.244]
    """

    kind: Literal["normal", "lognormal", "beta", "uniform", "pilot_icc", "points"]
    first: float
    second: float
    clusters: int = 0
    probabilities: Array | None = None
    values: Array | None = None

    @classmethod
    def normal(cls, mean: float, sd: float) -> Belief:
        """Normal, such as for an effect."""
        return cls(kind="normal", first=check_number("mean", mean), second=check_number("sd", sd, above=0))

    @classmethod
    def lognormal(cls, low: float, high: float) -> Belief:
        """Lognormal from its 2.5% and 97.5% points, such as for an SD, a k or a rate."""
        small, large = np.log(check_number("low", low, above=0)), np.log(check_number("high", high, above=low))
        return cls(
            kind="lognormal",
            first=float(np.exp((small + large) / 2)),
            second=float((large - small) / 3.919927969080108),
        )

    @classmethod
    def beta(cls, mean: float, sd: float) -> Belief:
        """Beta from its mean and SD, such as for an ICC, a risk or a loss."""
        m, s = check_number("mean", mean, above=0, below=1), check_number("sd", sd, above=0)
        size = m * (1.0 - m) / s**2 - 1.0
        if size <= 0:
            raise DesignError(f"sd == {s:g}, must be < {np.sqrt(m * (1 - m)):g} for a share with mean {m:g}")
        return cls(kind="beta", first=m * size, second=(1.0 - m) * size)

    @classmethod
    def uniform(cls, low: float, high: float) -> Belief:
        """Uniform between two ends."""
        return cls(kind="uniform", first=check_number("low", low), second=check_number("high", high, above=low))

    @classmethod
    def pilot_icc(cls, icc: float, *, clusters: int, size: float) -> Belief:
        """What a pilot of some clusters of a size says of an ICC, its one-way ANOVA estimate given.

        Formula: fiducial distribution of Searle's exact interval, (F / q - 1) / (F / q + n - 1) and no less than 0, q a
        quantile of F(clusters - 1, clusters (n - 1)). Source: Searle 1971 (doi:10.2307/2528930); its ends at 2.5%
        and 97.5% are the usual exact interval.
        """
        n = check_number("size", size, above=1)
        rho = check_number("icc", icc, above=-1 / (n - 1), below=1)
        many = int(check_number("clusters", clusters, at_least=2))
        return cls(kind="pilot_icc", first=(1.0 + (n - 1.0) * rho) / (1.0 - rho), second=n, clusters=many)

    @classmethod
    def points(cls, probabilities: ArrayLike, values: ArrayLike) -> Belief:
        """Any distribution, from points of its distribution function: straight between them, massed at the ends.

        Raises
        ------
        DesignError
            If there are not two points at least, or either list descends.
        """
        p, v = np.array(probabilities, dtype=float), np.array(values, dtype=float)
        if p.ndim != 1 or p.shape != v.shape or len(p) < 2:
            raise DesignError(f"{p.size} probabilities and {v.size} values", fix="give two of each or more")
        if not (np.isfinite(v).all() and (np.diff(p) >= 0).all() and (np.diff(v) >= 0).all()):
            raise DesignError("probabilities and values of a belief must ascend, and be finite")
        if not (p[0] >= 0 and p[-1] <= 1):
            raise DesignError(f"probabilities go from {p[0]:g} to {p[-1]:g}, must lie within 0 and 1")
        return cls(kind="points", first=float(v[0]), second=float(v[-1]), probabilities=p, values=v)

    def quantile(self, p: Array) -> Array:
        """Quantiles at probabilities p."""
        if self.kind == "normal":
            return np.asarray(self.first + self.second * special.ndtri(p))
        if self.kind == "lognormal":
            return np.asarray(self.first * np.exp(self.second * special.ndtri(p)))
        if self.kind == "beta":
            return np.asarray(special.betaincinv(self.first, self.second, p))
        if self.kind == "uniform":
            return np.asarray(self.first + (self.second - self.first) * p)
        if self.kind == "points":
            assert self.probabilities is not None
            assert self.values is not None
            return np.asarray(np.interp(p, self.probabilities, self.values))
        df = self.clusters - 1.0, self.clusters * (self.second - 1.0)
        # a small F quantile means a large ICC
        ratio = self.first / special.fdtri(df[0], df[1], 1.0 - p)
        return np.clip((ratio - 1.0) / (ratio + self.second - 1.0), 0.0, MOST_ICC)
