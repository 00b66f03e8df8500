"""How much rates differ between clusters: k with an interval, and what a pilot says of it for the main trial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from wwc_eval.errors import DataError, DesignError, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.pilot.intervals import plain_figure

if TYPE_CHECKING:
    from wwc_eval.power import Belief

__all__ = ["Counts", "rate_variation", "variation_belief"]

MOST = 20.0
"""Largest k that is looked at."""
ROUNDS = 200
SOURCE = "Hayes and Moulton 2017, doi:10.4324/9781315370286; Mosimann 1962, doi:10.1093/biomet/49.1-2.65"


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Events and exposures of clusters, and how likely each k makes them.

    Parameters
    ----------
    events, exposure : ndarray, shape (clusters,)
        Events of each cluster, and the exposure that they came from.
    """

    events: NDArray[np.float64]
    exposure: NDArray[np.float64]

    @classmethod
    def of(cls, events: ArrayLike, exposure: ArrayLike) -> Counts:
        """Checked.

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
        return cls(events=x, exposure=t)

    @property
    def reason(self) -> str | None:
        """Why k has no interval; None where it has."""
        if len(self.events) == 1:
            return "one cluster shows nothing of how clusters differ"
        if self.events.sum() == 0:
            return "there are no events"
        if self.events.sum() == 1:
            return "there is one event"
        return "two clusters are one difference, which bounds no k" if len(self.events) == 2 else None

    def spread(self, k: ArrayLike) -> NDArray[np.float64]:
        """Squared standardised residuals of the counts, summed, at each k: (clusters - 1) is expected at the true one."""
        square = np.atleast_1d(np.asarray(k, dtype=float))[:, None] ** 2
        x, t = self.events, self.exposure
        rate = np.full((len(square), 1), x.sum() / t.sum())
        for _ in range(ROUNDS):
            weight = 1.0 / (1.0 + square * rate * t)
            after = (weight * x).sum(axis=1, keepdims=True) / (weight * t).sum(axis=1, keepdims=True)
            done = bool(np.all(np.abs(after - rate) <= 1e-14 * after))
            rate = after
            if done:
                break
        expected = rate * t
        return np.asarray(((x - expected) ** 2 / (expected * (1.0 + square * expected))).sum(axis=1))

    def estimate(self) -> float:
        """The k at which the spread is as expected; 0 where the counts differ no more than chance would have them."""
        df = len(self.events) - 1.0
        if self.events.sum() == 0 or df == 0:
            return math.nan
        if float(self.spread(0.0)[0]) <= df * (1.0 + 1e-12):
            return 0.0
        high = 1.0
        while float(self.spread(high)[0]) > df:
            high *= 2.0
        return float(optimize.brentq(lambda k: float(self.spread(k)[0]) - df, 0.0, high, xtol=1e-13, rtol=1e-13))

    def under(self, k: ArrayLike) -> NDArray[np.float64]:
        """Confidence that the true value is at most each k: the chance, were it k, of a spread as large as that seen.

        Counts that differ less than chance would have them are taken as differing just so.
        """
        square = np.atleast_1d(np.asarray(k, dtype=float)) ** 2
        many, total = float(len(self.events)), float(self.events.sum())
        seen = self.spread(k) / (many - 1.0)
        if float(self.spread(0.0)[0]) < many - 1.0:
            expected = self.exposure * total / self.exposure.sum()
            seen = (1.0 / (1.0 + square[:, None] * expected)).mean(axis=1)
        # Dirichlet-multinomial counts given their total: moments of their sum of squares over its mean
        top = total * (many + square) / (many + total * square)
        variance = 2.0 * (total - 1.0) * (1.0 + square) * (many + (total + 1.0) * square) * many**2
        variance /= total * (many - 1.0) * (many + total * square) * (many + 2.0 * square) * (many + 3.0 * square)
        mean, share = 1.0 / top, seen * (1.0 + square / many) / top
        size = mean * (1.0 - mean) * top**2 / variance - 1.0
        # the largest sum of squares is a step away from the next
        share = np.minimum(share, 1.0 - (total - 1.0) / (total**2 * (1.0 - 1.0 / many)))
        return np.asarray(special.betaincc(mean * size, (1.0 - mean) * size, share))

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


def rate_variation(events: ArrayLike, exposure: ArrayLike, *, level: float = 0.95, term: str = "k") -> Estimate:
    """Coefficient of variation k of the true rates of clusters, with an interval.

    Parameters
    ----------
    events, exposure : array_like, shape (clusters,)
        Events of each cluster, and the exposure (child-years, site-months) that they came from.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        ``ci_low`` is 0 where clusters may differ by chance alone. ``details`` hold the heterogeneity statistic ``Q``, its
        ``df`` and p-value; where there is no interval, the ``reason``, which is a warning too.

    Raises
    ------
    DataError
        If counts are not whole or exposures not above 0.

    Notes
    -----
    Formula: k solves ``Q(k) = sum (x - r t)^2 / (r t + k^2 r^2 t^2) = clusters - 1`` with r weighted by the inverse
    variances; with equal exposures t it is Hayes and Moulton's ``sqrt(s^2 - r / t) / r``. The limits are the k at
    which a Q as large (as small) as that seen has a chance of (1 - level) / 2 if rates of clusters are gamma distributed
    and counts Poisson. Given their total such counts are Dirichlet-multinomial where exposures are equal; Q is then as
    the beta distribution on its range with the exact mean and variance, and is taken so where exposures differ. Clusters that differ
    less than chance would have them are taken as differing just so, for an interval of nothing but 0 would claim
    too much. Sources: Hayes and Moulton 2017, doi:10.4324/9781315370286; Mosimann 1962,
    doi:10.1093/biomet/49.1-2.65; on inverting Q, Viechtbauer 2007, doi:10.1002/sim.2514.

    Examples
    --------
    >>> found = rate_variation([14, 31, 9, 22, 40, 18, 25, 12, 30], [10] * 9)
    >>> round(found.estimate, 2), round(found.ci_low, 2), round(found.ci_high, 2)
    (0.4, 0.22, 1.06)
    """
    check_number("level", level, above=0, below=1)
    counts = Counts.of(events, exposure)
    many, reason = len(counts.events), counts.reason
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
        details |= {"Q": q, "df": many - 1, "p_heterogeneity": float(special.chdtrc(many - 1.0, q))}
    method = (
        "Coefficient of variation of clusters' rates (moments); inverted heterogeneity statistic, gamma-Poisson"
    )
    figure = plain_figure(
        term, value, limits, level, method, n=int(counts.events.sum()), scale="coefficient_of_variation"
    )
    return figure.replace(
        units="coefficient of variation k", n_clusters=many, warnings=warnings, citation=SOURCE, details=details
    )


def variation_belief(events: ArrayLike, exposure: ArrayLike) -> Belief:
    """What the pilot says of k, for ``Trial.assurance``: its limits at every confidence.

    Raises
    ------
    DesignError
        If the pilot has no interval of k.

    Examples
    --------
    >>> belief = variation_belief([14, 31, 9, 22, 40, 18, 25, 12, 30], [10] * 9)
    >>> [round(float(q), 2) for q in belief.quantile(np.array([0.025, 0.5, 0.975]))]
    [0.22, 0.43, 1.06]
    """
    from wwc_eval.power import Belief

    counts = Counts.of(events, exposure)
    if counts.reason is not None:
        raise DesignError(
            f"the pilot says nothing of k: {counts.reason}",
            fix="give a belief from published ones: uncertain={'team.k': Belief.lognormal(0.1, 0.4)}",
        )
    at = np.concatenate([[0.0], np.geomspace(1e-3, MOST, 2_000)])
    return Belief.points(np.maximum.accumulate(counts.under(at)), at)
