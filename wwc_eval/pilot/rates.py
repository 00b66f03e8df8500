"""Shares with exact intervals, of independent participants and of participants in clusters, and their difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from wwc_eval.errors import DataError, DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate

__all__ = ["METHODS", "by_cluster", "clustered_rate", "effective_size", "rate_difference", "rate_interval"]

Method = Literal["clopper_pearson", "wilson", "mid_p", "jeffreys"]
METHODS = ("clopper_pearson", "wilson", "mid_p", "jeffreys")
WORDS = {
    "clopper_pearson": "exact (Clopper-Pearson) interval",
    "wilson": "Wilson's score interval",
    "mid_p": "mid-P interval",
    "jeffreys": "Jeffreys interval",
}
CITATIONS = {
    "clopper_pearson": "Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    "wilson": "Wilson 1927, doi:10.1080/01621459.1927.10502953",
    "mid_p": "Berry and Armitage 1995, doi:10.2307/2348891",
    "jeffreys": "Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286",
}
Floats = NDArray[np.float64]


def rate_interval(
    successes: float,
    n: float,
    method: Method = "clopper_pearson",
    *,
    level: float = 0.95,
    term: str = "rate",
) -> Estimate:
    """Share of participants with an interval.

    Parameters
    ----------
    successes, n : int
        How many of how many, such as consented of approached.
    method : {"clopper_pearson", "wilson", "mid_p", "jeffreys"}
        Interval. Clopper and Pearson's covers at least ``level`` whatever the share; the others cover it on average.
        Jeffreys' ends at 0 without successes and at 1 without failures.
    level : float
        Coverage.
    term : str
        Name of the estimate.

    Returns
    -------
    Estimate
        A proportion; ``se`` is that of a binomial share, without degrees of freedom or test.

    Raises
    ------
    DataError
        If the counts are no whole numbers with 0 <= successes <= n and n >= 1.

    Notes
    -----
    Formula: Clopper-Pearson limits are quantiles of Beta(x, n - x + 1) and Beta(x + 1, n - x); mid-P limits solve
    P(X > x) + P(X = x) / 2 = alpha / 2; Jeffreys limits are quantiles of Beta(x + 1/2, n - x + 1/2).

    Examples
    --------
    >>> found = rate_interval(18, 25)
    >>> round(found.ci_low, 3), round(found.ci_high, 3)
    (0.506, 0.879)
    """
    check_choice("method", method, METHODS)
    alpha = 1.0 - check_number("level", level, above=0, below=1)
    x, total = _counts(successes, n)
    low, high = limits(x, total, method, alpha)
    share = x / total
    return Estimate(
        term=term,
        estimate=share,
        se=math.sqrt(share * (1.0 - share) / total),
        df=math.nan,
        statistic=math.nan,
        p_value=math.nan,
        ci_low=low,
        ci_high=high,
        level=level,
        scale="proportion",
        units="proportion",
        method=f"Share with {WORDS[method]}",
        n=int(total),
        citation=CITATIONS[method],
        details={"successes": int(x)},
    )


def limits(x: float, n: float, method: str, alpha: float) -> tuple[float, float]:
    """Limits of a share; ``x`` and ``n`` may be fractions (effective sizes), but for mid-P."""
    tail = alpha / 2.0
    if method == "wilson":
        z = float(special.ndtri(1.0 - tail))
        share, added = x / n, z * z / n
        centre = (share + added / 2.0) / (1.0 + added)
        reach = z * math.sqrt(share * (1.0 - share) / n + added / (4.0 * n)) / (1.0 + added)
        # rounding leaves a trace of 1e-17 where the limit is the end of the scale
        return (0.0 if x == 0 else centre - reach), (1.0 if x == n else centre + reach)
    if method == "jeffreys":
        low = 0.0 if x == 0 else float(special.betaincinv(x + 0.5, n - x + 0.5, tail))
        high = 1.0 if x == n else float(special.betainccinv(x + 0.5, n - x + 0.5, tail))
        return low, high
    if method == "mid_p":
        return _mid_p(x, n, tail)
    low = 0.0 if x == 0 else float(special.betaincinv(x, n - x + 1.0, tail))
    high = 1.0 if x == n else float(special.betainccinv(x + 1.0, n - x, tail))
    return low, high


def _mid_p(x: float, n: float, tail: float) -> tuple[float, float]:
    def above(p: float) -> float:
        # P(X > x) + P(X = x) / 2 as the mean of P(X >= x) and P(X > x)
        at_least = 1.0 if x == 0 else float(special.betainc(x, n - x + 1.0, p))
        more = 0.0 if x == n else float(special.betainc(x + 1.0, n - x, p))
        return (at_least + more) / 2.0

    def root(wanted: float) -> float:
        return float(optimize.brentq(lambda p: above(p) - wanted, 0.0, 1.0, xtol=1e-15, rtol=1e-14))

    low = 0.0 if x == 0 else root(tail)
    high = 1.0 if x == n else root(1.0 - tail)
    return low, high


def _counts(successes: object, n: object) -> tuple[float, float]:
    total = check_number("n", n, at_least=1, error=DataError)
    x = check_number("successes", successes, at_least=0, at_most=total, error=DataError)
    for name, value in (("successes", x), ("n", total)):
        if value != math.floor(value):
            raise DataError(f"{name} == {value:g}, must be a whole number")
    return x, total


# --- clusters


def by_cluster(
    successes: ArrayLike, n: ArrayLike, cluster: Sequence[Any] | ArrayLike | None
) -> tuple[Floats, Floats]:
    """Successes and sizes of each cluster, in the order of the cluster's names.

    Raises
    ------
    DataError
        If shapes differ or a count cannot be.
    """
    x, sizes = np.atleast_1d(np.asarray(successes, dtype=float)), np.atleast_1d(np.asarray(n, dtype=float))
    if x.shape != sizes.shape or x.ndim != 1:
        raise DataError(
            f"successes have shape {x.shape} and n has {sizes.shape}", fix="give one of each a cluster (or a row)"
        )
    bad = ~(
        np.isfinite(x)
        & np.isfinite(sizes)
        & (x >= 0)
        & (x <= sizes)
        & (x == np.floor(x))
        & (sizes == np.floor(sizes))
    )
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise DataError(f"row {at + 1}: {x[at]:g} of {sizes[at]:g}", rule="whole numbers with 0 <= successes <= n")
    if cluster is not None:
        import pandas as pd

        names = np.asarray(cluster, dtype=object)
        if names.shape != x.shape:
            raise DataError(
                f"cluster has shape {names.shape} and n has {sizes.shape}", fix="name the cluster of each row"
            )
        if pd.isna(names).any():
            raise DataError("a cluster is missing", fix="name the cluster of each row, or leave the row out")
        _, codes = np.unique(np.array([f"{type(name).__name__}:{name}" for name in names]), return_inverse=True)
        x, sizes = np.bincount(codes, weights=x), np.bincount(codes, weights=sizes)
    kept = sizes > 0
    return x[kept], sizes[kept]


def clustered_rate(
    successes: ArrayLike,
    n: ArrayLike,
    cluster: Sequence[Any] | None = None,
    *,
    level: float = 0.95,
    term: str = "rate",
) -> Estimate:
    """Share of participants who sit in clusters, with an interval that knows it.

    Parameters
    ----------
    successes, n : array_like of int, shape (rows,)
        How many of how many, one pair a cluster, or several with ``cluster``.
    cluster : sequence, shape (rows,), optional
        Cluster of each row; rows are clusters where it is missing.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        ``details``: ``deff`` (design effect), ``effective_n``. Without variation between clusters (all or none succeed)
        the interval is the exact one of the number of clusters, and a warning says so.

    Raises
    ------
    DesignError
        If there are fewer than two clusters.

    Notes
    -----
    Formula: ratio estimate p = sum x / sum n with linearised variance k / (k - 1) sum (x_j - p n_j)^2 / (sum n)^2; the interval
    is that of t with k - 1 degrees of freedom on the logit scale, se / (p (1 - p)). Source: Cochran 1977, chapter 11;
    Korn and Graubard 1998 for shares in surveys.

    Examples
    --------
    >>> found = clustered_rate([8, 17, 13, 7, 23], [12, 20, 15, 9, 30])
    >>> round(found.estimate, 3), found.df
    (0.791, 4.0)
    """
    x, sizes = by_cluster(successes, n, cluster)
    k, total = len(x), float(sizes.sum())
    check_number("level", level, above=0, below=1)
    if k < 2:
        raise DesignError(
            f"{k} clusters, needs at least 2", fix="use rate_interval, and say that clustering could not be judged"
        )
    share = float(x.sum()) / total
    variance = k / (k - 1.0) * float(((x - share * sizes) ** 2).sum()) / total**2
    binomial = share * (1.0 - share) / total
    shared: dict[str, Any] = {
        "term": term,
        "estimate": share,
        "level": level,
        "scale": "proportion",
        "units": "proportion",
        "n": int(total),
        "n_clusters": k,
        "citation": "Korn and Graubard 1998, Survey Methodology 24(2):193-201",
    }
    if variance == 0.0:
        low, high = limits(share * k, k, "clopper_pearson", 1.0 - level)
        return Estimate(
            **shared,
            se=math.nan,
            df=math.nan,
            statistic=math.nan,
            p_value=math.nan,
            ci_low=low,
            ci_high=high,
            method="Share with the exact interval of the number of clusters",
            warnings=(
                "All clusters have the same share, so variation between them cannot be judged: each counts once",
            ),
            details={"deff": math.nan, "effective_n": float(k)},
        )
    se = math.sqrt(variance)
    reach = float(special.stdtrit(k - 1.0, 0.5 + 0.5 * level)) * se / (share * (1.0 - share))
    centre = float(special.logit(share))
    return Estimate(
        **shared,
        se=se,
        df=k - 1.0,
        statistic=math.nan,
        p_value=math.nan,
        ci_low=float(special.expit(centre - reach)),
        ci_high=float(special.expit(centre + reach)),
        method="Share with cluster-robust variance, t interval on the logit scale",
        details={"deff": variance / binomial, "effective_n": share * (1.0 - share) / variance},
    )


def effective_size(x: Floats, n: Floats, *, icc: float | None = None, level: float = 0.95) -> tuple[float, str]:
    """Participants that independent sampling would need for the same information, and how it was found.

    Formula: n_e = p (1 - p) / v * (t(n - 1) / t(k - 1))^2, at most n, v the linearised variance (Korn and Graubard 1998).
    Where all or no participants succeed v is 0: the planned ICC then gives n / (1 + (m - 1) icc) with m the size-weighted
    mean cluster, and without one each cluster counts once.
    """
    k, total = len(x), float(n.sum())
    share = float(x.sum()) / total
    variance = k / (k - 1.0) * float(((x - share * n) ** 2).sum()) / total**2
    if variance > 0.0:
        upper = 0.5 + 0.5 * level
        ratio = float(special.stdtrit(total - 1.0, upper) / special.stdtrit(k - 1.0, upper)) if total > k else 1.0
        return min(share * (1.0 - share) / variance * ratio**2, total), "variation between clusters"
    if icc is not None:
        return total / (1.0 + (float(n @ n) / total - 1.0) * icc), "the planned ICC"
    return float(k), "the number of clusters"


# --- two arms


def rate_difference(
    first: tuple[float, float], second: tuple[float, float], *, level: float = 0.95, term: str = "difference"
) -> Estimate:
    """Difference of two shares, such as retention by arm.

    Parameters
    ----------
    first, second : pair of int
        Successes and n; the difference is the first less the second.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        A risk difference; the p-value is Fisher's exact two-sided one, ``details["overall"]`` the pooled share.

    Notes
    -----
    Formula: Newcombe's hybrid score interval, d -+ sqrt((p1 - l1)^2 + (u2 - p2)^2) with Wilson limits l, u. Source: Newcombe 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Examples
    --------
    >>> found = rate_difference((60, 100), (70, 100))
    >>> round(found.ci_low, 3), round(found.ci_high, 3), round(found.p_value, 3)
    (-0.227, 0.032, 0.182)
    """
    from scipy.stats import fisher_exact

    alpha = 1.0 - check_number("level", level, above=0, below=1)
    (x1, n1), (x2, n2) = _counts(*first), _counts(*second)
    p1, p2 = x1 / n1, x2 / n2
    (l1, u1), (l2, u2) = limits(x1, n1, "wilson", alpha), limits(x2, n2, "wilson", alpha)
    return Estimate(
        term=term,
        estimate=p1 - p2,
        se=math.sqrt(p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2),
        df=math.nan,
        statistic=math.nan,
        p_value=float(fisher_exact(np.array([[x1, n1 - x1], [x2, n2 - x2]], dtype=np.int64)).pvalue),
        ci_low=p1 - p2 - math.hypot(p1 - l1, u2 - p2),
        ci_high=p1 - p2 + math.hypot(u1 - p1, p2 - l2),
        level=level,
        scale="risk_difference",
        units="percentage points",
        method="Difference of shares, Newcombe's interval, Fisher's exact test",
        n=int(n1 + n2),
        citation="Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I",
        details={"overall": (x1 + x2) / (n1 + n2)},
    )
