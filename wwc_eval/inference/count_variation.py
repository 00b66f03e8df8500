"""How much rates differ between clusters beyond Poisson: k and its interval, by inverting a heterogeneity statistic.

Clusters may fall into groups, such as the arms of a trial, each with a rate of its own and all with one k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from wwc_eval.errors import DataError
from wwc_eval.estimate import Estimate

__all__ = ["MOST", "SOURCE", "Counts", "variation_of"]

MOST = 20.0
"""Largest k that is looked at."""
ROUNDS = 200
SOURCE = "Hayes and Moulton 2017, doi:10.4324/9781315370286; Mosimann 1962, doi:10.1093/biomet/49.1-2.65"
Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Events and exposures of clusters, and how likely each k makes them.

    Parameters
    ----------
    events, exposure : ndarray, shape (clusters,)
        Events of each cluster, and the exposure that they came from.
    group : ndarray of int, shape (clusters,), optional
        Group of each cluster, from 0; one rate for all where missing.
    """

    events: Floats
    exposure: Floats
    group: Codes | None = None

    @classmethod
    def of(cls, events: ArrayLike, exposure: ArrayLike, group: ArrayLike | None = None) -> Counts:
        """Checked; of several groups those that tell nothing, of one cluster or fewer than two events, are left out.

        Raises
        ------
        DataError
            If counts are not whole or exposures not above 0.
        """
        x, t = np.asarray(events, dtype=float), np.asarray(exposure, dtype=float)
        if x.ndim != 1 or x.shape != t.shape or not len(x):
            raise DataError(f"events have shape {x.shape}, exposure {t.shape}", fix="give one of each a cluster")
        if not ((x >= 0) & (x == np.floor(x)) & (t > 0) & np.isfinite(t) & np.isfinite(x)).all():
            raise DataError("events must be whole numbers >= 0 and exposures > 0, one of each a cluster")
        if group is None:
            return cls(events=x, exposure=t)
        codes = np.unique(np.asarray(group), return_inverse=True)[1]
        tells = (np.bincount(codes) > 1) & (np.bincount(codes, x) > 1)
        if not tells.any():
            return cls(events=x, exposure=t, group=codes)
        kept = tells[codes]
        return cls(events=x[kept], exposure=t[kept], group=np.unique(codes[kept], return_inverse=True)[1])

    @cached_property
    def codes(self) -> Codes:
        """Group of each cluster."""
        return np.zeros(len(self.events), dtype=np.intp) if self.group is None else self.group

    @cached_property
    def sizes(self) -> Floats:
        """Clusters of each group."""
        return np.bincount(self.codes).astype(float)

    @cached_property
    def totals(self) -> Floats:
        """Events of each group."""
        return np.asarray(np.bincount(self.codes, self.events), dtype=float)

    @cached_property
    def member(self) -> Floats:
        """1 where a cluster (row) is in a group (column)."""
        return np.equal.outer(self.codes, np.arange(len(self.sizes))).astype(float)

    @cached_property
    def df(self) -> float:
        """Clusters less groups."""
        return float((self.sizes - 1.0).sum())

    @property
    def reason(self) -> str | None:
        """Why k has no interval; None where it has."""
        several = len(self.sizes) > 1
        if self.df == 0:
            return "no group has two clusters" if several else "one cluster shows nothing of how clusters differ"
        most = self.totals.max()
        if most <= 1:
            if several:
                return "no group has two clusters and two events"
            return "there are no events" if most == 0 else "there is one event"
        return "two clusters are one difference, which bounds no k" if self.df == 1 else None

    def spread(self, k: ArrayLike) -> Floats:
        """Squared standardised residuals of the counts, summed, at each k: ``df`` is expected at the true one."""
        square = np.atleast_1d(np.asarray(k, dtype=float))[:, None] ** 2
        x, t, codes = self.events, self.exposure, self.codes
        rate = np.tile(self.totals / np.bincount(codes, t), (len(square), 1))
        for _ in range(ROUNDS):
            weight = 1.0 / (1.0 + square * rate[:, codes] * t)
            after = (weight * x) @ self.member / ((weight * t) @ self.member)
            done = bool(np.all(np.abs(after - rate) <= 1e-14 * after))
            rate = after
            if done:
                break
        expected = rate[:, codes] * t
        return np.asarray(((x - expected) ** 2 / (expected * (1.0 + square * expected))).sum(axis=1))

    def estimate(self) -> float:
        """The k at which the spread is as expected; 0 where the counts differ no more than chance would have them."""
        if not self.totals.all() or self.df == 0:
            return math.nan
        if float(self.spread(0.0)[0]) <= self.df * (1.0 + 1e-12):
            return 0.0
        high = 1.0
        while float(self.spread(high)[0]) > self.df:
            high *= 2.0
        return float(
            optimize.brentq(lambda k: float(self.spread(k)[0]) - self.df, 0.0, high, xtol=1e-13, rtol=1e-13)
        )

    def under(self, k: ArrayLike) -> Floats:
        """Confidence that the true value is at most each k: the chance, were it k, of a spread as large as that seen.

        Counts that differ less than chance would have them are taken as differing just so.
        """
        square = np.atleast_1d(np.asarray(k, dtype=float))[:, None] ** 2
        many, total = self.sizes, self.totals
        seen = self.spread(k)
        if float(self.spread(0.0)[0]) < self.df:
            expected = self.exposure * (total / np.bincount(self.codes, self.exposure))[self.codes]
            share = (many - 1.0) / many
            seen = (share[self.codes] / (1.0 + square * expected)).sum(axis=1)
        # Dirichlet-multinomial counts given their total: moments of their sum of squares over its mean
        top = total * (many + square) / (many + total * square)
        variance = 2.0 * (total - 1.0) * (1.0 + square) * (many + (total + 1.0) * square) * many**2
        variance /= total * (many - 1.0) * (many + total * square) * (many + 2.0 * square) * (many + 3.0 * square)
        # the largest sum of squares is a step away from the next
        step = top * (total - 1.0) / (total**2 * (1.0 - 1.0 / many))
        # of the spread, group by group
        unit = (many - 1.0) / (1.0 + square / many)
        largest = (unit * top).sum(axis=1)
        mean = unit.sum(axis=1) / largest
        size = mean * (1.0 - mean) * largest**2 / (unit**2 * variance).sum(axis=1) - 1.0
        seen = np.minimum(seen, largest - (unit * step).min(axis=1))
        return np.asarray(special.betaincc(mean * size, (1.0 - mean) * size, seen / largest))

    def limit(self, confidence: float) -> float:
        """The k that is at most so likely too small; 0 where no k is, infinity where none up to 20 is large enough."""

        def short(k: float) -> float:
            return float(self.under(k)[0]) - confidence

        if short(0.0) >= 0.0:
            return 0.0
        high = 0.05
        while short(high) < 0.0:
            high *= 2.0
            if high > MOST:
                return math.inf
        return float(optimize.brentq(short, 0.0 if high == 0.05 else high / 2.0, high, xtol=1e-12, rtol=1e-12))


def variation_of(counts: Counts, *, level: float, term: str) -> Estimate:
    """Coefficient of variation k of the true rates of clusters, with an interval.

    Parameters
    ----------
    counts : Counts
        The clusters.
    level : float
        Coverage.
    term : str
        What k is called.

    Returns
    -------
    Estimate
        ``ci_low`` is 0 where clusters may differ by chance alone. ``details`` hold the heterogeneity statistic ``Q``, its
        ``df`` and p-value; where there is no interval, the ``reason``, which is a warning too.

    Notes
    -----
    Formula: k solves ``Q(k) = sum (x - r t)^2 / (r t + k^2 r^2 t^2) = clusters - groups`` with the rate r of each group
    weighted by the inverse variances. The limits are the k at which a Q as large (as small) as that seen has a chance of
    (1 - level) / 2 if rates of clusters are gamma distributed and counts Poisson. Given its total a group of such counts is
    Dirichlet-multinomial where exposures are equal; Q is then as the beta distribution on its range with the exact mean
    and variance. Sources: Hayes and Moulton 2017, doi:10.4324/9781315370286; Mosimann 1962, doi:10.1093/biomet/49.1-2.65;
    on inverting Q, Viechtbauer 2007, doi:10.1002/sim.2514.
    """
    reason = counts.reason
    tail, value = (1.0 - level) / 2.0, counts.estimate()
    limits: tuple[float, float] = (math.nan, math.nan)
    warnings: tuple[str, ...] = ()
    if reason is None:
        limits = min(counts.limit(tail), value), max(counts.limit(1.0 - tail), value)
        if math.isinf(limits[1]):
            reason = f"nearly all events lie in one cluster, so that no {term} up to {MOST:g} is ruled out"
            warnings = (f"{term} has no upper limit: {reason}.",)
        elif limits[0] == 0.0:
            warnings = (f"The lower limit of {term} is 0: clusters may differ by chance alone.",)
    else:
        warnings = (f"{term} has no {'interval' if math.isfinite(value) else 'value'}: {reason}.",)
    details: dict[str, Any] = {} if reason is None else {"reason": reason}
    if math.isfinite(value):
        q = float(counts.spread(0.0)[0])
        details |= {"Q": q, "df": int(counts.df), "p_heterogeneity": float(special.chdtrc(counts.df, q))}
    return Estimate(
        term=term,
        estimate=value,
        se=math.nan,
        df=math.nan,
        statistic=math.nan,
        p_value=math.nan,
        ci_low=limits[0],
        ci_high=limits[1],
        level=level,
        scale="coefficient_of_variation",
        units="coefficient of variation k",
        method="Coefficient of variation of clusters' rates (moments); inverted heterogeneity statistic, gamma-Poisson",
        n=int(counts.events.sum()),
        n_clusters=len(counts.events),
        warnings=warnings,
        citation=SOURCE,
        details=details,
    )
