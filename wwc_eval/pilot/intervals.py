"""Intervals of what a main trial is planned with (SD, ICC), ICCs pooled over studies, and assurance in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_number
from wwc_eval.estimate import Estimate

__all__ = ["assurance_normal", "icc_interval", "plain_figure", "pool_iccs", "sd_interval", "upper_sd"]


def upper_sd(sd: float, n: int, *, confidence: float = 0.8, arms: int = 2) -> float:
    """Upper one-sided limit of an SD estimated by a pilot, for planning the main trial cautiously.

    Formula: sd sqrt(df / chi2(1 - confidence, df)) with df = n - arms. Source: Browne 1995, doi:10.1002/sim.4780141709; Sim and
    Lewis 2012, doi:10.1016/j.jclinepi.2011.07.011.

    Examples
    --------
    >>> round(upper_sd(1.0, 20), 4)
    1.1832
    """
    value = check_number("sd", sd, above=0)
    df = check_number("n", n, above=arms) - arms
    sure = check_number("confidence", confidence, above=0, below=1)
    return value * math.sqrt(df / (2.0 * float(special.gammaincinv(df / 2.0, 1.0 - sure))))


def sd_interval(sd: float, df: float, *, level: float = 0.95, term: str = "SD") -> Estimate:
    """SD with the exact chi-squared interval of normal data.

    Formula: sd sqrt(df / chi2(1 -+ (1 - level) / 2, df)).

    Examples
    --------
    >>> found = sd_interval(2.0, 18)
    >>> round(found.ci_low, 3), round(found.ci_high, 3)
    (1.511, 2.958)
    """
    value, free = check_number("sd", sd, above=0), check_number("df", df, above=0)
    tail = (1.0 - check_number("level", level, above=0, below=1)) / 2.0
    low, high = (
        value * math.sqrt(free / (2.0 * float(inverse(free / 2.0, tail))))
        for inverse in (special.gammainccinv, special.gammaincinv)
    )
    return plain_figure(
        term, value, (low, high), level, "SD with the chi-squared interval", scale="sd", n=round(free) + 1
    )


def icc_interval(icc: float, *, clusters: int, size: float, level: float = 0.95) -> Estimate:
    """Exact interval of an ICC from one-way analysis of variance of clusters of one size.

    Parameters
    ----------
    icc : float
        The estimate.
    clusters, size : int, float
        Clusters, and participants a cluster (the harmonic-like mean size where they differ).
    level : float
        Coverage.

    Returns
    -------
    Estimate
        Limits may lie below 0, as the estimate may; ``se`` is Swiger's.

    Notes
    -----
    Formula: (F / q - 1) / (F / q + m - 1), q the quantiles of F(k - 1, k (m - 1)), F = (1 + (m - 1) icc) / (1 - icc). Sources:
    Searle 1971, doi:10.2307/2528930; Swiger and others 1964, Biometrics 20:818-826.

    Examples
    --------
    >>> found = icc_interval(0.05, clusters=8, size=15)
    >>> round(found.ci_low, 4), round(found.ci_high, 4)
    (-0.0173, 0.303)
    """
    k = check_number("clusters", clusters, at_least=2)
    m = check_number("size", size, above=1)
    rho = check_number("icc", icc, above=-1.0 / (m - 1.0), below=1)
    tail = (1.0 - check_number("level", level, above=0, below=1)) / 2.0
    first, second = k - 1.0, k * (m - 1.0)
    ratio = (1.0 + (m - 1.0) * rho) / (1.0 - rho)
    limits = []
    for upper in (1.0 - tail, tail):
        quotient = ratio / float(special.fdtri(first, second, upper))
        limits.append((quotient - 1.0) / (quotient + m - 1.0))
    n = k * m
    se = math.sqrt(2 * (n - 1) * (1 - rho) ** 2 * (1 + (m - 1) * rho) ** 2 / (m**2 * (n - k) * (k - 1)))
    found = plain_figure(
        "ICC",
        rho,
        (limits[0], limits[1]),
        level,
        "ICC with the exact F interval",
        scale="variance_share",
        n=round(n),
    )
    return found.replace(
        se=se, n_clusters=int(k), citation="Searle 1971, doi:10.2307/2528930", details={"F": ratio}
    )


def pool_iccs(
    iccs: Sequence[float], *, clusters: Sequence[int], sizes: Sequence[float], level: float = 0.95
) -> Estimate:
    """ICCs of several studies pooled, the pilot's among them, with what varies between studies.

    Formula: Fisher's transformation of each ICC, z = ln(F) / 2 with variance (1 / (k - 1) + 1 / (k (m - 1))) / 2 (Donner
    1986, doi:10.2307/1403259); DerSimonian and Laird's random-effects mean, with Hartung and Knapp's t interval, taken back
    at the median size.

    Raises
    ------
    DesignError
        If there are fewer than two studies, or the lists differ in length.

    Examples
    --------
    >>> pooled = pool_iccs([0.02, 0.05, 0.01], clusters=[8, 30, 45], sizes=[15, 20, 25])
    >>> pooled.ci_low < pooled.estimate < pooled.ci_high
    True
    """
    many = len(iccs)
    if many < 2 or len(clusters) != many or len(sizes) != many:
        raise DesignError(
            f"{many} ICCs, {len(clusters)} clusters and {len(sizes)} sizes",
            fix="give at least two studies, one of each a study",
        )
    each = [icc_interval(icc, clusters=k, size=m) for icc, k, m in zip(iccs, clusters, sizes, strict=True)]
    z = np.array([math.log(one.details["F"]) / 2.0 for one in each])
    k, m = np.asarray(clusters, dtype=float), np.asarray(sizes, dtype=float)
    variance = (1.0 / (k - 1.0) + 1.0 / (k * (m - 1.0))) / 2.0
    # sizes differ, and z depends on the size: it is that of each ICC at the median size
    middle = float(np.median(m))
    rho = np.asarray(iccs, dtype=float)
    lowest = -1.0 / (middle - 1.0)
    z = np.log((1.0 + (middle - 1.0) * np.maximum(rho, lowest + 1e-9)) / (1.0 - rho)) / 2.0
    slope = (1.0 + (m - 1.0) * rho) / (1.0 + (middle - 1.0) * rho) * middle / m
    variance = variance * slope**2
    weight = 1.0 / variance
    mean = float(weight @ z / weight.sum())
    heterogeneity = float(weight @ (z - mean) ** 2)
    scale = float(weight.sum() - (weight @ weight) / weight.sum())
    between = max((heterogeneity - (many - 1.0)) / scale, 0.0)
    weight = 1.0 / (variance + between)
    mean = float(weight @ z / weight.sum())
    spread = float(weight @ (z - mean) ** 2) / (many - 1.0)
    se = math.sqrt(max(spread, 1.0) / weight.sum())
    reach = float(special.stdtrit(many - 1.0, 0.5 + 0.5 * level)) * se

    def back(value: float) -> float:
        ratio = math.exp(2.0 * value)
        return (ratio - 1.0) / (ratio + middle - 1.0)

    method = "ICCs pooled, random effects on Fisher's scale, Hartung-Knapp interval"
    found = plain_figure(
        "pooled ICC",
        back(mean),
        (back(mean - reach), back(mean + reach)),
        level,
        method,
        scale="variance_share",
        n=0,
    )
    return found.replace(
        df=many - 1.0, citation="Donner 1986, doi:10.2307/1403259", details={"studies": many, "tau2": between}
    )


def assurance_normal(*, effect: float, effect_sd: float, se: float, alpha: float = 0.05) -> float:
    """Chance that a main trial of a given standard error is significant, the effect being uncertain.

    Formula: Phi((m - z se) / sqrt(se^2 + s^2)), z = z(1 - alpha / 2), in the direction of m > 0. Source: O'Hagan, Stevens
    and Campbell 2005, doi:10.1002/pst.175.

    Examples
    --------
    >>> round(assurance_normal(effect=0.2, effect_sd=0.2, se=0.1), 4)
    0.5071
    """
    m, s = check_number("effect", effect), check_number("effect_sd", effect_sd, at_least=0)
    error = check_number("se", se, above=0)
    z = float(special.ndtri(1.0 - check_number("alpha", alpha, above=0, below=1) / 2.0))
    return float(special.ndtr((abs(m) - z * error) / math.hypot(error, s)))


def plain_figure(
    term: str,
    value: float,
    limits: tuple[float, float],
    level: float,
    method: str,
    *,
    n: int,
    scale: str = "coefficient",
) -> Estimate:
    """Figure with an interval and no test."""
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
        scale=scale,
        method=method,
        n=n,
    )
