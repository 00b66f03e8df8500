"""Standardised mean differences: Hedges' g and Glass's delta, with the standard deviation named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.families import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.inference.fit import RegressionFit

__all__ = ["effect_size", "noncentral_t_limits", "small_sample_correction"]

KINDS = ("hedges_g", "glass_delta")
INTERVALS = ("noncentral_t", "delta")

_CITATIONS = {
    "hedges_g": "Hedges 1981, doi:10.3102/10769986006002107",
    "glass_delta": "Glass 1976, doi:10.3102/0013189X005010003",
}


def small_sample_correction(df: float) -> float:
    """Factor that makes a standardised difference unbiased.

    Formula: ``J(m) = Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2))``, exactly (Hedges 1981,
    doi:10.3102/10769986006002107), not the approximation ``1 - 3/(4m - 1)``.

    Parameters
    ----------
    df : float
        Degrees of freedom of the standard deviation, above 1.

    Examples
    --------
    >>> round(small_sample_correction(18), 6)
    0.957646
    """
    m = check_number("df", df, above=1)
    return math.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2) - 0.5 * math.log(m / 2))


def noncentral_t_limits(t: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Confidence limits of the noncentrality parameter behind an observed t statistic.

    Formula: the parameters under which a statistic at least as large, or at most as large, has probability
    (1 - level) / 2.

    Parameters
    ----------
    t, df : float
        Observed statistic and its degrees of freedom.
    level : float
        Coverage.

    Returns
    -------
    tuple of float
        Lower and upper limit.

    Examples
    --------
    >>> low, high = noncentral_t_limits(2.0, 20)
    >>> round(low, 4), round(high, 4)
    (-0.0771, 4.0318)
    """
    tail = (1.0 - level) / 2.0
    return _noncentrality(t, df, 1.0 - tail), _noncentrality(t, df, tail)


def _noncentrality(t: float, df: float, probability: float) -> float:
    """Noncentrality under which ``P(T <= t)`` is the given probability."""
    from scipy.optimize import brentq

    if t < 0:
        return -_noncentrality(-t, df, 1.0 - probability)

    def gap(noncentrality: float) -> float:
        return _noncentral_cdf(t, df, noncentrality) - probability

    reach = 6.0 + t
    while not gap(t - reach) >= 0.0 >= gap(t + reach):
        reach *= 2.0
    return float(brentq(gap, t - reach, t + reach, xtol=1e-12, rtol=1e-14))


def _noncentral_cdf(t: float, df: float, noncentrality: float) -> float:
    """Distribution function of the noncentral t; its normal approximation where the series gives up."""
    value = float(special.nctdtr(df, noncentrality, t))
    if math.isfinite(value):
        return value
    return float(special.ndtr((t * (1.0 - 0.25 / df) - noncentrality) / math.sqrt(1.0 + t * t / (2.0 * df))))


@dataclass(frozen=True, kw_only=True)
class _Spread:
    """The standard deviation that a difference is divided by.

    Parameters
    ----------
    sd : float
        Standard deviation.
    df : float
        Its degrees of freedom.
    words : str
        What it is.
    influence : ndarray, shape (n,)
        What each row adds to the error of the variance ``sd^2``.
    n_reference, n_level : int
        Rows in the two arms.
    """

    sd: float
    df: float
    words: str
    influence: Floats
    n_reference: int
    n_level: int


def effect_size(
    fit: RegressionFit,
    variable: str,
    *,
    kind: str = "hedges_g",
    interval: str | None = None,
    level: float | None = None,
) -> Estimate | Estimates:
    """Standardised mean difference between the levels of a factor or 0/1 column.

    Parameters
    ----------
    fit : RegressionFit
        A gaussian fit without weights. Its difference in means, adjusted if the formula has covariates, is
        the numerator.
    variable : str
        Column of the arms.
    kind : {"hedges_g", "glass_delta"}
        Denominator: ``hedges_g`` the raw standard deviation of the outcome within the two arms compared,
        pooled; ``glass_delta`` that of the reference arm. Never a residual standard deviation, so that
        covariates do not inflate the effect size.
    interval : {"noncentral_t", "delta"}, optional
        ``noncentral_t`` inverts the noncentral t distribution: exact for an unadjusted comparison with
        classical errors and normal outcomes (and equal variances, for Glass's delta); for other fits the
        limits of the noncentrality behind t = difference / se are scaled by se / sd. ``delta`` linearises
        difference and standard deviation together, by clusters where errors are clustered. The default is
        ``noncentral_t`` for unadjusted comparisons with classical errors, else ``delta``.
    level : float, optional
        Coverage; that of the fit where it is missing.

    Returns
    -------
    Estimate or Estimates
        ``details`` hold ``sd``, ``sd_name``, ``difference``, ``correction`` and the rows of both arms. The
        p-value is that of the difference.

    Raises
    ------
    DesignError
        If the fit is not gaussian, is weighted, or an arm has fewer than two rows (three in all).

    Notes
    -----
    Formula: ``J(m) difference / sd`` with the exact correction J at m = n1 + n0 - 2 (Hedges' g) or n0 - 1
    (Glass's delta). Intervals by noncentral t are those of the population effect and do not take J. Sources:
    Hedges 1981, doi:10.3102/10769986006002107; Glass 1976, doi:10.3102/0013189X005010003.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.DataFrame({"y": [1.0, 2, 3, 4, 3, 4, 5, 6], "arm": ["a"] * 4 + ["b"] * 4})
    >>> g = effect_size(we.regression("y ~ arm", data), "arm")
    >>> round(g.estimate, 4), round(g.ci_low, 4), round(g.ci_high, 4)
    (1.3457, -0.1246, 3.1337)
    """
    check_choice("kind", kind, KINDS)
    if interval is not None:
        check_choice("interval", interval, INTERVALS)
    if fit.family != "gaussian":
        raise DesignError(
            f"an effect size divides a difference in means, and family == '{fit.family}'",
            fix="use marginal_effect for risks and rates, or family='gaussian'",
        )
    if fit.fitted.weights is not None:
        raise DesignError("an effect size of a weighted fit is not defined", fix="fit without weights")
    effects = fit.marginal_effect(variable, scale="mean_difference", level=level)
    if isinstance(effects, Estimate):
        if effects.details.get("slope"):
            raise DesignError(f"'{variable}' is numeric, and an effect size compares groups")
        return _standardised(fit, variable, effects, kind, interval)
    items = [_standardised(fit, variable, effect, kind, interval) for effect in effects]
    return Estimates(items, title=items[0].method)


def _standardised(
    fit: RegressionFit, variable: str, effect: Estimate, kind: str, interval: str | None
) -> Estimate:
    """One contrast divided by its standard deviation."""
    spread = _spread(fit, variable, effect.details, kind)
    difference, correction = effect.estimate, small_sample_correction(spread.df)
    ratio = difference / spread.sd
    unadjusted = len(fit.fitted.design.formula.fixed) == 1 and fit.fitted.design.formula.intercept
    plain = unadjusted and fit.inference == "classical"
    chosen = interval or ("noncentral_t" if plain else "delta")
    se = correction * _delta_error(fit, variable, effect, spread)
    if chosen == "noncentral_t":
        low, high = _noncentral_limits(effect, spread, kind, exact=plain)
    else:
        reach = se * _quantile(effect)
        low, high = correction * ratio - reach, correction * ratio + reach
    words = "adjusted difference" if not unadjusted else "difference"
    shown = "noncentral t" if chosen == "noncentral_t" else "delta-method"
    name = "Hedges' g" if kind == "hedges_g" else "Glass's delta"
    inference = fit.need_covariance().words
    return effect.replace(
        estimate=correction * ratio,
        se=se,
        ci_low=low,
        ci_high=high,
        scale=kind,
        units="standard deviations",
        method=f"{name}: {words} over {spread.words}, {shown} interval; {inference}",
        citation=_CITATIONS[kind],
        details={
            "reference": effect.details["reference"],
            "level": effect.details["level"],
            "difference": difference,
            "sd": spread.sd,
            "sd_name": spread.words,
            "correction": correction,
            "n_reference": spread.n_reference,
            "n_level": spread.n_level,
            "interval": chosen,
        },
    )


def _spread(fit: RegressionFit, variable: str, details: Any, kind: str) -> _Spread:
    """The standard deviation within the arms compared."""
    column, y = fit.fitted.frame[variable], fit.fitted.y
    reference = np.asarray(column == details["reference"])
    other = np.asarray(column == details["level"])
    arms = [reference] if kind == "glass_delta" else [reference, other]
    df = float(sum(int(arm.sum()) - 1 for arm in arms))
    smallest = min(int(arm.sum()) for arm in arms)
    if smallest < 2 or df < 2:
        raise DesignError(
            f"'{variable}' has {smallest} row in an arm, too few for a standard deviation",
            fix="report the difference itself",
        )
    square = np.zeros(len(y))
    for arm in arms:
        square[arm] = (y[arm] - y[arm].mean()) ** 2
    variance = float(square.sum()) / df
    if variance <= 0:
        raise DesignError("the outcome does not vary within the arms", fix="report the difference itself")
    inside = np.logical_or.reduce(arms)
    words = "the pooled within-arm SD" if kind == "hedges_g" else "the SD of the reference arm"
    return _Spread(
        sd=math.sqrt(variance),
        df=df,
        words=words,
        influence=np.where(inside, (square - variance) / df, 0.0),
        n_reference=int(reference.sum()),
        n_level=int(other.sum()),
    )


def _delta_error(fit: RegressionFit, variable: str, effect: Estimate, spread: _Spread) -> float:
    """Standard error of difference / sd: both linearised, with their covariance."""
    ratio = effect.estimate / spread.sd
    noise = (effect.se / spread.sd) ** 2
    if fit.inference == "classical":
        # normal theory: the standard deviation is independent of the difference
        return math.sqrt(noise + ratio**2 / (2.0 * spread.df))
    solution = fit.fitted.solution
    if solution is None:
        return math.nan
    kernel = solution.kernel
    gradient = _gradient(fit, variable, effect)
    moved = kernel.Q @ kernel.to_q(gradient) * kernel.residual
    codes = _codes(fit)
    own = np.bincount(codes, weights=spread.influence)
    shared = np.bincount(codes, weights=moved)
    factor = len(own) / (len(own) - 1.0)
    log_variance = factor * float(own @ own) / (4.0 * spread.sd**4)
    together = factor * float(own @ shared) / (2.0 * spread.sd**2)
    return math.sqrt(max(noise + ratio**2 * log_variance - 2.0 * ratio / spread.sd * together, 0.0))


def _codes(fit: RegressionFit) -> NDArray[np.intp]:
    covariance = fit.need_covariance()
    if covariance.robust is not None and fit.clusters is not None:
        return fit.clusters.codes
    return np.arange(fit.n)


def _gradient(fit: RegressionFit, variable: str, effect: Estimate) -> Floats:
    """Gradient of the difference in the coefficients."""
    from wwc_eval.inference.marginal import level_averages

    low, high = level_averages(fit, variable, [effect.details["reference"], effect.details["level"]])
    return np.asarray(high.gradient - low.gradient)


def _noncentral_limits(effect: Estimate, spread: _Spread, kind: str, *, exact: bool) -> tuple[float, float]:
    """Limits of the population effect size from those of the noncentrality."""
    scale, df = effect.se / spread.sd, effect.df
    if exact and kind == "glass_delta":
        scale, df = math.sqrt(1.0 / spread.n_reference + 1.0 / spread.n_level), spread.df
    low, high = noncentral_t_limits(effect.estimate / spread.sd / scale, df, effect.level)
    return low * scale, high * scale


def _quantile(effect: Estimate) -> float:
    upper = 0.5 + 0.5 * effect.level
    return float(special.ndtri(upper) if math.isinf(effect.df) else special.stdtrit(effect.df, upper))
