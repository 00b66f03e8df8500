"""Internal consistency of a summed or averaged scale: Cronbach's alpha and McDonald's omega with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.fidelity.reliability.errors import Error, error_of
from wwc_eval.fidelity.reliability.factor import omega_of
from wwc_eval.fidelity.reliability.parts import Parts, by_group
from wwc_eval.fidelity.reliability.reading import Floats, Ints, read_numbers

__all__ = ["alpha_of", "cronbach_alpha", "item_scores", "mcdonald_omega"]

INTERVALS = {
    "feldt": "Feldt 1965, doi:10.1007/BF02289499",
    "bonett": "Bonett 2002, doi:10.3102/10769986027004335",
    "normal": "van Zyl, Neudecker and Nel 2000, doi:10.1007/BF02296146",
}
SINGULAR = 1e-9
"""Smallest eigenvalue of correlations from which a factor is fitted."""
ALPHA = "Cronbach 1951, doi:10.1007/BF02310555"
OMEGA = "McDonald 1999, Test theory; Joreskog 1967, doi:10.1007/BF02289658"


def cronbach_alpha(
    items: Any,
    *,
    interval: str = "feldt",
    standardised: bool = False,
    cluster: str | Sequence[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Cronbach's alpha of a scale, with its interval.

    Parameters
    ----------
    items : DataFrame or array of numbers, respondents x items
        One row a respondent (case), one column an item, all scored in one direction. Rows with a missing item are left
        out, and counted.
    interval : {"feldt", "bonett", "normal"}
        Feldt: exact from F where items are parallel. Bonett: normal for ``log(1 - alpha)``. Normal: with the error of
        van Zyl, Neudecker and Nel, which ``se`` holds in every case. With ``cluster`` the jackknife takes its place.
    standardised : bool
        Alpha of the items divided by their standard deviations.
    cluster : str or sequence, optional
        Cluster of each respondent: the interval then leaves out each cluster in turn, t(K - 1), on the scale of
        ``log(1 - alpha)``.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        Without a value (constant items, one item, one respondent) its warnings and ``details["reason"]`` say why.

    Raises
    ------
    DataError
        If an item is not numbers.

    Notes
    -----
    Formula: ``alpha = k / (k - 1) * (1 - tr(S) / sum(S))``, S the covariance of the k items. Feldt's limits:
    ``1 - (1 - alpha) F(1 - a/2; n - 1, (n - 1)(k - 1))`` and with ``F(a/2)``. Alpha is a lower bound of reliability
    where errors are independent, and no measure of whether the items have one dimension. Source: Cronbach (1951),
    doi:10.1007/BF02310555.

    Examples
    --------
    >>> import pandas as pd
    >>> scale = pd.DataFrame({"q1": [1, 2, 3, 4, 5, 3], "q2": [2, 2, 3, 5, 4, 3], "q3": [1, 3, 3, 4, 4, 2]})
    >>> found = cronbach_alpha(scale)
    >>> round(found.estimate, 2), round(found.ci_low, 2)
    (0.93, 0.69)
    """
    check_choice("interval", interval, tuple(INTERVALS))
    check_number("level", level, above=0, below=1)
    y, notes, clusters, name = item_scores(items, cluster=cluster)
    label = "Standardised alpha" if standardised else "Cronbach's alpha"
    reason = _reason(y)
    if reason is not None:
        return _without(label, reason, n=len(y), level=level, notes=notes, citation=ALPHA)
    n, k = y.shape
    covariance = _covariance(y, standardised=standardised)
    value = float(alpha_of(covariance))
    if clusters is not None:

        def of(matrix: Floats) -> Floats:
            return alpha_of(_standard(matrix) if standardised else matrix)

        error = _clustered(y, clusters, name, of, level)
        return _from_error(
            label,
            value,
            error,
            n=n,
            clusters=clusters,
            level=level,
            notes=notes,
            citation=ALPHA,
            details={"items": k},
        )
    se = math.sqrt(_variance(covariance) / n)
    low, high, words = _limits(value, se, n=n, k=k, interval=interval, level=level)
    return Estimate(
        term=label,
        estimate=value,
        se=se,
        df=math.inf if interval != "feldt" else (n - 1.0) * (k - 1.0),
        statistic=math.nan,
        p_value=math.nan,
        ci_low=low,
        ci_high=high,
        level=level,
        scale="agreement",
        units="alpha",
        method=f"{label} of {k} items; {words}",
        n=n,
        warnings=notes,
        citation=f"{ALPHA}; {INTERVALS[interval]}",
        details={"items": k, "average_correlation": _average_correlation(y)},
    )


def mcdonald_omega(
    items: Any,
    *,
    method: str = "ml",
    standardised: bool = False,
    cluster: str | Sequence[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """McDonald's omega of a scale with one factor, with its interval.

    Parameters
    ----------
    items : DataFrame or array of numbers, respondents x items
        As for :func:`cronbach_alpha`. At least three items.
    method : {"ml", "minres"}
        How the factor is fitted to the correlations: maximum likelihood, or least squares of the residual correlations.
    standardised : bool
        Omega of the sum of standardised items (the metric of correlations), not of the items as they are scored.
    cluster : str or sequence, optional
        Clusters left out in turn by the jackknife; respondents where it is missing.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        ``details`` hold loadings and uniquenesses (of standardised items), and chi-squared and degrees of freedom of
        the one-factor model for maximum likelihood.

    Notes
    -----
    Formula: ``omega = (sum l)^2 / ((sum l)^2 + sum u)`` with loadings l and unique variances u. The interval is the
    jackknife's on the scale of ``log(1 - omega)``. A Heywood case (a uniqueness at its bound of 0.005) is told. Source:
    McDonald (1999), Test theory; Joreskog (1967), doi:10.1007/BF02289658.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> scores = rng.normal(size=(80, 1)) + rng.normal(size=(80, 5))
    >>> found = mcdonald_omega(scores)
    >>> bool(found.ci_low < found.estimate < found.ci_high)
    True
    """
    check_choice("method", method, ("ml", "minres"))
    check_number("level", level, above=0, below=1)
    y, notes, clusters, name = item_scores(items, cluster=cluster)
    label = "McDonald's omega"
    reason = _reason(y)
    if reason is None and y.shape[1] < 3:
        reason = "two items do not determine a factor"
    if reason is None and len(y) <= y.shape[1]:
        reason = f"{len(y)} respondents for {y.shape[1]} items leave no factor to fit"
    if reason is None and np.any(np.ptp(y, axis=0) == 0):
        reason = "an item is constant, so it has no correlation with the others"
    if reason is None and float(np.linalg.eigvalsh(np.corrcoef(y, rowvar=False))[0]) < SINGULAR:
        reason = "an item is a copy or a sum of others, so the correlations leave no uniqueness to fit"
    if reason is not None:
        return _without(label, reason, n=len(y), level=level, notes=notes, citation=OMEGA)

    def of(matrix: Floats) -> float:
        return omega_of(matrix, method=method, standardised=standardised)[0]

    covariance = _covariance(y, standardised=False)
    value, fit = omega_of(covariance, method=method, standardised=standardised)
    if fit.heywood:
        notes = (*notes, "Heywood case: a uniqueness stands at its bound, so one item carries the factor.")
    if not np.all(fit.loadings > 0):
        notes = (*notes, "Not all loadings are positive: check that all items are scored in one direction.")
    groups = np.arange(len(y)) if clusters is None else clusters
    error = _clustered(
        y, groups, name, lambda m: np.array([of(each) for each in m.reshape(-1, *m.shape[-2:])]), level
    )
    details = {
        "items": y.shape[1],
        "loadings": fit.loadings.tolist(),
        "uniquenesses": fit.uniquenesses.tolist(),
        **({"chi2": fit.chi2(len(y)), "df": fit.df} if method == "ml" else {}),
    }
    return _from_error(
        label,
        value,
        error,
        n=len(y),
        clusters=clusters,
        level=level,
        notes=notes,
        citation=OMEGA,
        details=details,
    )


def item_scores(
    items: Any, *, cluster: str | Sequence[Any] | None = None
) -> tuple[Floats, tuple[str, ...], Ints | None, str | None]:
    """Complete rows (n, k), notes on those left out, clusters and their name."""
    y, _, clusters, name = read_numbers(items, cluster=cluster)
    whole = ~np.isnan(y).any(axis=1)
    notes: tuple[str, ...] = ()
    if not whole.all():
        lost = int((~whole).sum())
        notes = (f"{lost:,} of {len(y):,} respondents miss an item and are left out.",)
        y = y[whole]
        clusters = None if clusters is None else clusters[whole]
    if clusters is not None:
        clusters = np.unique(clusters, return_inverse=True)[1]
    return y, notes, clusters, name


def alpha_of(covariance: Floats) -> Floats:
    """Alpha of covariances (..., k, k)."""
    k = covariance.shape[-1]
    own = np.einsum("...jj->...", covariance)
    return np.asarray(k / (k - 1.0) * (1.0 - own / covariance.sum(axis=(-2, -1))))


def _reason(y: Floats) -> str | None:
    if y.shape[1] < 2:
        return "one item only, so nothing shows how items hang together"
    if len(y) < 3:
        return f"{len(y)} respondents with all items, needs at least 3"
    if np.all(np.ptp(y, axis=0) == 0):
        return "every item is constant"
    if float(np.ptp(y.sum(axis=1))) == 0:
        return "the sum of the items is the same for every respondent"
    return None


def _without(label: str, reason: str, *, n: int, level: float, notes: tuple[str, ...], citation: str) -> Estimate:
    return Estimate.from_normal(
        term=label,
        estimate=math.nan,
        se=math.nan,
        level=level,
        scale="agreement",
        method=f"{label}: no value",
        n=n,
        warnings=(f"No value: {reason}.", *notes),
        citation=citation,
        details={"reason": reason},
    )


def _covariance(y: Floats, *, standardised: bool) -> Floats:
    found = np.cov(y, rowvar=False)
    return _standard(found) if standardised else found


def _standard(covariance: Floats) -> Floats:
    sd = np.sqrt(np.einsum("...jj->...j", covariance))
    if not np.all(sd > 0):
        raise DesignError("an item is constant, so it cannot be standardised", fix="leave it out")
    return np.asarray(covariance / (sd[..., :, None] * sd[..., None, :]))


def _average_correlation(y: Floats) -> float:
    varies = np.ptp(y, axis=0) > 0
    if np.count_nonzero(varies) < 2:
        return math.nan
    R, k = np.corrcoef(y[:, varies], rowvar=False), int(np.count_nonzero(varies))
    return float((R.sum() - k) / (k * (k - 1)))


def _variance(V: Floats) -> float:
    """Asymptotic variance of ``sqrt(n) alpha`` for normal items."""
    k, j = len(V), V.sum()
    trace, square = float(np.trace(V)), float(np.einsum("ij,ji->", V, V))
    middle = j * (square + trace**2) - 2.0 * trace * float((V @ V).sum())
    return float(2.0 * (k / (k - 1.0)) ** 2 * middle / j**3)


def _limits(value: float, se: float, *, n: int, k: int, interval: str, level: float) -> tuple[float, float, str]:
    from scipy import special

    tail = 0.5 - 0.5 * level
    if interval == "feldt":
        df1, df2 = n - 1.0, (n - 1.0) * (k - 1.0)
        low = 1.0 - (1.0 - value) * float(special.fdtri(df1, df2, 1.0 - tail))
        high = 1.0 - (1.0 - value) * float(special.fdtri(df1, df2, tail))
        return low, high, "Feldt's interval"
    z = float(special.ndtri(1.0 - tail))
    if interval == "bonett":
        spread = z * math.sqrt(2.0 * k / ((k - 1.0) * (n - 2.0)))
        return 1.0 - (1.0 - value) * math.exp(spread), 1.0 - (1.0 - value) * math.exp(-spread), "Bonett's interval"
    return value - z * se, min(value + z * se, 1.0), "normal interval"


def _clustered(y: Floats, clusters: Ints, name: str | None, of: Callable[[Floats], Floats], level: float) -> Error:
    """Jackknife of a function of covariances (..., k, k), on the scale of ``log(1 - value)``."""
    n, k = y.shape
    centred = y - y.mean(axis=0)
    pieces = np.column_stack([np.ones(n), centred, (centred[:, :, None] * centred[:, None, :]).reshape(n, k * k)])

    def of_sums(sums: Floats) -> Floats:
        count, first = sums[..., 0], sums[..., 1 : 1 + k]
        second = sums[..., 1 + k :].reshape(*sums.shape[:-1], k, k)
        outer = first[..., :, None] * first[..., None, :] / count[..., None, None]
        value = of((second - outer) / (count - 1.0)[..., None, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log1p(-value)

    groups = int(clusters.max()) + 1
    table = by_group(pieces, clusters, groups)
    blank = np.zeros(groups)
    parts = Parts(
        value=float(np.ravel(of_sums(table.sum(axis=0)))[0]),
        observed=math.nan,
        expected=math.nan,
        influence=blank,
        published=blank,
        sums=lambda: table,
        of_sums=of_sums,
        m=groups,
    )
    codes = None if name is None else np.arange(groups)
    return error_of(parts, kind="jackknife", clusters=codes, cluster=name, level=level)


def _from_error(
    label: str,
    value: float,
    error: Error,
    *,
    n: int,
    clusters: Ints | None,
    level: float,
    notes: tuple[str, ...],
    citation: str,
    details: dict[str, Any],
) -> Estimate:
    low, high = (-math.expm1(error.high), -math.expm1(error.low)) if error.reason is None else (math.nan, math.nan)
    if error.reason is not None:
        details = {**details, "reason": error.reason}
        notes = (*notes, f"No interval: {error.reason}.")
    return Estimate(
        term=label,
        estimate=value,
        se=error.se * (1.0 - value),
        df=error.df,
        statistic=math.nan,
        p_value=math.nan,
        ci_low=low,
        ci_high=high,
        level=level,
        scale="agreement",
        units="reliability",
        method=f"{label} of {details['items']} items; {error.words} on the scale of log(1 - value)",
        n=n,
        n_clusters=None if clusters is None else int(clusters.max()) + 1,
        warnings=(*notes, *error.notes),
        citation=citation,
        details=details,
    )
