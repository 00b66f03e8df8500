"""Plain means with intervals that respect clustering."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Mean", "cluster_mean", "t_reach"]


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean with its interval, or the reason why there is none."""

    estimate: float
    se: float
    df: float
    ci_low: float
    ci_high: float
    n: int
    n_clusters: int
    reason: str = ""


def t_reach(df: float, level: float) -> float:
    """Half-width of an interval in standard errors: Student's t, or normal where ``df`` is infinite."""
    from scipy import special

    tail = 0.5 + level / 2
    return float(special.ndtri(tail)) if math.isinf(df) else float(special.stdtrit(df, tail))


def cluster_mean(values: Floats, cluster: Ints, level: float) -> Mean:
    """Mean with a cluster-linearised standard error and Student's t with clusters less one degrees of freedom.

    ``se^2 = K/(K-1) * sum over clusters of (sum of deviations)^2 / n^2``. Source: Cochran 1977, section 9A.
    """
    fine = ~np.isnan(values)
    values, cluster = values[fine], cluster[fine]
    n = len(values)
    if n == 0:
        return _without(math.nan, 0, 0, "no value")
    mean = float(values.mean())
    _, code = np.unique(cluster, return_inverse=True)
    groups = int(code.max()) + 1
    if groups < 2:
        return _without(mean, n, groups, "one cluster: no interval")
    totals = np.bincount(code, values - mean)
    se = math.sqrt(groups / (groups - 1) * float(totals @ totals)) / n
    reach = t_reach(groups - 1, level) * se
    return Mean(
        estimate=mean,
        se=se,
        df=float(groups - 1),
        ci_low=mean - reach,
        ci_high=mean + reach,
        n=n,
        n_clusters=groups,
    )


def _without(mean: float, n: int, groups: int, reason: str) -> Mean:
    nan = math.nan
    return Mean(estimate=mean, se=nan, df=nan, ci_low=nan, ci_high=nan, n=n, n_clusters=groups, reason=reason)
