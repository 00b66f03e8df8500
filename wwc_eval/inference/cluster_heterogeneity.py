"""How much clusters differ: the intraclass correlation and the coefficient of variation k, from cluster summaries.

Of the variance of the summaries within arms (and strata), what sampling explains is taken away; the rest lies between
clusters. The interval takes the summaries as normal: chi-squared limits of their variance, less the same sampling part. Rates
have a better one, which inverts the heterogeneity of their counts; see :mod:`.count_variation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.inference.cluster_tests import design_of
from wwc_eval.inference.count_variation import Counts, variation_of

if TYPE_CHECKING:
    from wwc_eval.inference.cluster_result import ClusterSummaries

__all__ = ["icc", "moment_variation", "variation"]


@dataclass(frozen=True, kw_only=True)
class _Spread:
    """Variance of the summaries given arm and strata with its degrees of freedom, its sampling part, their mean."""

    variance: float
    df: int
    sampling: float
    mean: float

    def between(self, variance: float) -> float:
        """Variance between clusters, not below 0."""
        return max(variance - self.sampling, 0.0)

    def limits(self, level: float) -> tuple[float, float]:
        """Interval of the variance between clusters."""
        tail = (1.0 - level) / 2.0
        whole = self.variance * self.df
        high = whole / float(special.chdtri(self.df, 1.0 - tail))
        return self.between(whole / float(special.chdtri(self.df, tail))), self.between(high)


def _spread(result: ClusterSummaries) -> _Spread:
    data = result.table_data
    X, values = design_of(data), data.summary
    residual = values - X @ np.linalg.lstsq(X, values, rcond=None)[0]
    df = data.count - X.shape[1]
    mean = float(values.mean())
    share = float(np.mean(1.0 / data.size))
    own = {"gaussian": data.within, "binomial": mean * (1.0 - mean), "poisson": mean}[result.family]
    return _Spread(variance=float(residual @ residual) / df, df=df, sampling=own * share, mean=mean)


def icc(result: ClusterSummaries, *, level: float | None = None) -> Estimate:
    """Intraclass correlation of a score or a 0/1 outcome, unadjusted.

    Parameters
    ----------
    result : ClusterSummaries
        The comparison.
    level : float, optional
        Coverage.

    Returns
    -------
    Estimate
        Share of variance, 0 where the summaries vary no more than sampling explains.

    Raises
    ------
    DesignError
        For rates, which have k, and where every cluster is one row of a score.

    Notes
    -----
    Formula: with s^2 the variance of the summaries within arms and strata, and m_H the harmonic mean of the cluster
    sizes, ``v = s^2 - w / m_H``; ``v / (v + w)`` for a score, w its pooled variance within clusters; ``v / (p (1 - p))``
    for a risk, with ``w = p (1 - p)`` and p the mean of the clusters' risks. Source: Hayes and Moulton 2017, chapter 2.
    """
    if result.family == "poisson":
        raise DesignError("rates have no intraclass correlation", fix="use k(), their coefficient of variation")
    found = _spread(result)
    within = result.table_data.within if result.family == "gaussian" else found.mean * (1.0 - found.mean)
    if math.isnan(within):
        raise DesignError(
            "every cluster is one row, so nothing tells variation within clusters",
            fix="give one row a participant",
        )

    def share(variance: float) -> float:
        total = variance + within if result.family == "gaussian" else within
        return variance / total if total > 0 else math.nan

    return _estimate(result, found, share, scale="variance_share", units="share of variance", level=level)


def variation(result: ClusterSummaries, *, level: float | None = None) -> Estimate:
    """Coefficient of variation of risks or rates between clusters, unadjusted.

    Parameters
    ----------
    result : ClusterSummaries
        The comparison.
    level : float, optional
        Coverage.

    Raises
    ------
    DesignError
        For scores, which have an intraclass correlation.

    Returns
    -------
    Estimate
        ``details["interval"]`` is ``inverted`` for rates, ``chi_squared`` for risks, and for rates where no arm (of a
        stratum) has several clusters with events, as in pairs, or events are not whole.

    Notes
    -----
    Formula of rates: k solves ``sum (x - r t)^2 / (r t + k^2 r^2 t^2) = clusters - arms`` (less arms of strata, where there are
    some), each with a rate r of its own, and the limits are the k that this sum does not reject, as in
    :func:`wwc_eval.pilot.rate_variation`. Of risks ``k = sqrt(v) / r`` with r their mean and ``v = s^2 - r (1 - r) / m_H``, m_H the
    harmonic mean of the sizes (rates in pairs: ``v = s^2 - r / m_H``). Source: Hayes and Moulton 2017, chapter 2; Hayes and
    Bennett 1999, doi:10.1093/ije/28.2.319; Viechtbauer 2007, doi:10.1002/sim.2514.
    """
    if result.family == "gaussian":
        raise DesignError("k is for risks and rates, and these are means", fix="use icc()")
    counts = _counts(result) if result.family == "poisson" else None
    if counts is not None:
        coverage = result.level if level is None else check_number("level", level, above=0, below=1)
        k = variation_of(counts, level=coverage, term="k")
        details = {"interval": "inverted", **k.details}
        return k.replace(term=result.cluster, n=result.n, n_clusters=result.n_clusters, details=details)
    return moment_variation(result, level=level)


def moment_variation(result: ClusterSummaries, *, level: float | None = None) -> Estimate:
    """Variation k from the variance of the clusters' risks or rates given arm and strata, with its chi-squared interval.

    Formula: ``sqrt(s^2 - w / m_H) / r`` with w = r (1 - r) of risks and r of rates; see :func:`variation`.
    """
    found = _spread(result)

    def ratio(variance: float) -> float:
        return math.sqrt(variance) / found.mean if found.mean > 0 else math.nan

    return _estimate(
        result, found, ratio, scale="coefficient_of_variation", units="coefficient of variation k", level=level
    )


def _counts(result: ClusterSummaries) -> Counts | None:
    """Events of the clusters by arm (of a stratum); None where they tell nothing of k, or are no counts."""
    data = result.table_data
    group = data.stratum * len(data.arms) + data.arm if data.strata else data.arm
    if not np.array_equal(data.total, np.floor(data.total)):
        return None
    counts = Counts.of(data.total, data.size, group)
    return counts if counts.reason is None else None


def _estimate(
    result: ClusterSummaries, found: _Spread, turned: Any, *, scale: str, units: str, level: float | None
) -> Estimate:
    coverage = result.level if level is None else check_number("level", level, above=0, below=1)
    low, high = found.limits(coverage)
    name = "k" if scale == "coefficient_of_variation" else "icc"
    return Estimate(
        term=result.cluster,
        estimate=turned(found.between(found.variance)),
        se=math.nan,
        df=float(found.df),
        statistic=math.nan,
        p_value=math.nan,
        ci_low=turned(low),
        ci_high=turned(high),
        level=coverage,
        scale=scale,
        units=units,
        method=f"{name} from the variance of cluster summaries within arms, unadjusted; chi-squared interval",
        n=result.n,
        n_clusters=result.n_clusters,
        citation="Hayes and Moulton 2017, doi:10.4324/9781315370286",
        details={
            "interval": "chi_squared",
            "between_variance": found.between(found.variance),
            "summary_variance": found.variance,
            "sampling_variance": found.sampling,
        },
    )
