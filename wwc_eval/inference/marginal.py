"""Marginal effects: contrasts and slopes averaged over the estimation sample, with delta-method errors.

A contrast sets the variable to one level in every row, predicts, sets it to the reference, predicts again and
compares the two averages (standardisation, or g-computation). The covariates are taken as fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, did_you_mean
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.families import Floats

if TYPE_CHECKING:
    from wwc_eval.inference.fit import RegressionFit

__all__ = [
    "CONTRAST_SCALES",
    "DIFFERENCES",
    "Average",
    "adjusted_means",
    "check_scale",
    "effect_modification",
    "level_averages",
    "marginal_effect",
    "row_weights",
]

CONTRAST_SCALES = (
    "risk_difference",
    "risk_ratio",
    "odds_ratio",
    "rate_ratio",
    "rate_difference",
    "mean_difference",
)
"""Scales that a marginal effect may be asked for."""

DIFFERENCES = ("risk_difference", "rate_difference", "mean_difference")


@dataclass(frozen=True, kw_only=True)
class Average:
    """Average of the outcome with a variable at one value, and its gradient in the fitted coefficients."""

    value: Any
    mean: float
    gradient: Floats
    decided: Floats


def marginal_effect(
    fit: RegressionFit,
    variable: str,
    *,
    scale: str | None = None,
    level: float | None = None,
    where: Mapping[str, Any] | None = None,
) -> Estimate | Estimates:
    """Effect of a variable averaged over the estimation sample.

    Parameters
    ----------
    fit : RegressionFit
        The fit.
    variable : str
        Column of the formula. A factor or 0/1 column gives the standardised contrast of each level with the
        reference; any other numeric column gives the average slope (dy/dx, per unit of the column).
    scale : str, optional
        ``risk_difference`` (binomial; 0/1 outcomes), ``risk_ratio``, ``odds_ratio`` (the *marginal* odds
        ratio of the standardised risks, not the conditional one: that is ``fit.ratio(term)``),
        ``rate_ratio``, ``rate_difference`` (Poisson), ``mean_difference``. Where it is missing:
        ``risk_difference`` for binomial, ``rate_ratio`` for Poisson, ``mean_difference`` for gaussian; the
        difference of the family for a slope.
    level : float, optional
        Coverage of the interval; that of the fit where it is missing.
    where : mapping, optional
        Column of the formula and its value: average over those rows only (a subgroup). Contrasts only.

    Returns
    -------
    Estimate or Estimates
        One estimate; a table with one row a level where there are more than two.

    Raises
    ------
    DesignError
        If the variable is not in the formula or has one level, or the scale does not suit the family.
    ConvergenceError
        If there is no fit.

    Notes
    -----
    Formula: ``A(a) = sum_i w_i mean(x_i with variable = a) / sum_i w_i``; ``A(a) - A(0)``, ``A(a) / A(0)`` or
    the ratio of their odds; the standard error by the delta method with the analytic gradient (of the
    logarithm for a ratio). Rows count by their weight, times trials where there are any, times exposure for
    rates. Source: Lane and Nelder 1982, doi:10.2307/2530043.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.DataFrame({"y": [0, 1, 0, 1, 1, 1, 0, 1], "arm": ["a"] * 4 + ["b"] * 4})
    >>> fit = we.regression("y ~ arm", data, family="binomial")
    >>> print(round(fit.marginal_effect("arm").estimate, 6))
    0.25
    """
    _check_variable(fit, variable)
    levels = _levels_of(fit, variable)
    if levels is None:
        if where is not None:
            raise DesignError(f"'{variable}' is numeric: where is for contrasts", fix="leave out where")
        from wwc_eval.inference.slopes import average_slope

        return average_slope(fit, variable, scale=scale, level=level)
    chosen = check_scale(fit, scale)
    reference, others = levels
    averages = level_averages(fit, variable, [reference, *others], where=where)
    items = [_contrast(fit, variable, chosen, averages[0], average, level=level) for average in averages[1:]]
    if len(items) == 1:
        return items[0]
    return Estimates(items, title=items[0].method, notes=(f"Reference: {variable} = {reference}.",))


def adjusted_means(fit: RegressionFit, variable: str, *, level: float | None = None) -> Estimates:
    """Adjusted mean, risk or rate at each level of a factor or 0/1 column, averaged over the sample.

    Parameters
    ----------
    fit, variable, level
        As in :func:`marginal_effect`.

    Returns
    -------
    Estimates
        One row a level, the reference first. Intervals are symmetric (delta method).

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.DataFrame({"y": [3.0, 4, 6, 7, 5, 9], "arm": ["a"] * 3 + ["b"] * 3})
    >>> print([round(row.estimate, 3) for row in we.regression("y ~ arm", data).adjusted_means("arm")])
    [4.333, 7.0]
    """
    _check_variable(fit, variable)
    levels = _levels_of(fit, variable)
    if levels is None:
        raise DesignError(f"'{variable}' is numeric and has no levels", fix="use predict() at chosen values")
    values = [levels[0], *levels[1]]
    scale = "proportion" if _risk_scaled(fit) else ("rate" if fit.family.endswith("poisson") else "mean")
    items = [
        fit.estimate_of(
            f"{variable}[{_label(average.value)}]",
            average.mean if math.isfinite(average.mean) else math.nan,
            average.gradient,
            scale=scale,
            level=level,
            method=", adjusted mean over the sample",
        )
        for average in level_averages(fit, variable, values)
    ]
    return Estimates(items, title=f"Adjusted {scale}s by {variable}; {items[0].method}")


def _check_variable(fit: RegressionFit, variable: str) -> None:
    fit.need_covariance()
    known = sorted({name for term in fit.fitted.design.formula.fixed for name in term.columns})
    if variable not in known:
        raise DesignError(f"'{variable}' is not in the formula", fix=did_you_mean(variable, known))


def _risk_scaled(fit: RegressionFit) -> bool:
    """Whether the mean of the outcome is a risk: binomial, or 0/1 under another family without exposure."""
    return fit.family == "binomial" or (fit.fitted.binary and fit.fitted.exposure is None)


def check_scale(fit: RegressionFit, scale: str | None) -> str:
    """The scale, or an error that says what to ask for."""
    if scale is None:
        return fit.fitted.family.default_contrast
    check_choice("scale", scale, CONTRAST_SCALES)
    counts = fit.family.endswith("poisson")
    if fit.family == "binomial":
        allowed = {"risk_difference", "risk_ratio", "odds_ratio"}
        fix = "use risk_difference, risk_ratio or odds_ratio, or family='poisson' with exposure for rates"
    elif counts:
        allowed = (
            {"rate_ratio", "rate_difference"}
            | ({"risk_ratio", "risk_difference"} if _risk_scaled(fit) else set())
            | ({"mean_difference"} if fit.fitted.exposure is None else set())
        )
        fix = "use rate_ratio or rate_difference; for risks of a 0/1 outcome use family='binomial'"
    else:
        allowed = {"mean_difference"} | ({"risk_difference"} if _risk_scaled(fit) else set())
        fix = "use mean_difference; for risks and odds of a 0/1 outcome use family='binomial'"
    if scale not in allowed:
        raise DesignError(f"scale == '{scale}' does not suit family == '{fit.family}'", fix=fix)
    return scale


def _levels_of(fit: RegressionFit, variable: str) -> tuple[Any, list[Any]] | None:
    """Reference and other levels that occur, or None for a numeric column."""
    design, column = fit.fitted.design, fit.fitted.frame[variable]
    if variable in design.levels:
        present = set(column.unique().tolist())
        occurring = [value for value in design.levels[variable] if value in present]
        reference = design.reference_levels.get(variable, occurring[0])
        reference = reference if reference in occurring else occurring[0]
    else:
        numbers = set(np.unique(np.asarray(column, dtype=float)).tolist())
        if not numbers <= {0.0, 1.0}:
            return None
        occurring, reference = sorted(int(value) for value in numbers), 0
    if len(occurring) < 2:
        raise DesignError(
            f"'{variable}' is '{_label(occurring[0])}' in all {fit.n:,} rows used, so there is nothing to compare",
            fix="check the rows left after exclusions and missing values",
        )
    return reference, [value for value in occurring if value != reference]


def _label(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def row_weights(fit: RegressionFit, where: Mapping[str, Any] | None = None) -> Floats:
    """Share of each row in an average over the sample, or the part of it; they add up to one."""
    fitted = fit.fitted
    size = fitted.children if fitted.exposure is None else fitted.children * fitted.exposure
    for column, value in (where or {}).items():
        _check_variable(fit, column)
        size = size * np.asarray(fitted.frame[column] == value, dtype=float)
    if not size.sum() > 0:
        raise DesignError(f"no row used has {where}", fix="name a group that occurs in the data")
    return np.asarray(size / size.sum())


def level_averages(
    fit: RegressionFit, variable: str, values: list[Any], *, where: Mapping[str, Any] | None = None
) -> list[Average]:
    """Average outcome with the variable set to each value in turn, over the sample or the part of it."""
    import pandas as pd

    fitted = fit.fitted
    share = row_weights(fit, where)
    counted = share > 0
    column = fitted.frame[variable]
    found = []
    for value in values:
        fixed = pd.Series([value] * len(column), index=column.index, dtype=column.dtype)
        X = fitted.design.matrix(fitted.frame.assign(**{variable: fixed}))
        moments = fitted.moments(X)
        gradient = X[:, fitted.columns].T @ (share * np.where(counted, moments.slope, 0.0))
        decided = np.where(counted, moments.decided, 0.0)
        # where every row is at its limit there is nothing to form a standard error from
        open_rows = bool((decided[counted] == 0).any())
        mean = float(share @ np.where(counted, moments.mean, 0.0)) if open_rows else math.nan
        found.append(Average(value=value, mean=mean, gradient=gradient, decided=decided))
    return found


def _contrast(
    fit: RegressionFit, variable: str, scale: str, base: Average, other: Average, *, level: float | None
) -> Estimate:
    """One standardised contrast."""
    low, high = base.mean, other.mean
    estimate, gradient = compared(scale, base, other)
    factor = variable in fit.fitted.design.levels
    return fit.estimate_of(
        f"{variable}[{_label(other.value)}]" if factor else variable,
        estimate,
        gradient,
        scale=scale,
        level=level,
        fewest=_fewest(fit, variable, base.value, other.value),
        method=", contrast averaged over the sample (delta method)",
        details={
            "reference": base.value,
            "level": other.value,
            "mean_reference": low,
            "mean_level": high,
        },
    )


def compared(scale: str, base: Average, other: Average) -> tuple[float, Floats]:
    """Contrast of two averages, and its gradient in the fitted coefficients (of its logarithm for a ratio)."""
    low, high = base.mean, other.mean
    if scale in DIFFERENCES:
        estimate, gradient = high - low, other.gradient - base.gradient
    elif scale == "odds_ratio":
        estimate = high * (1 - low) / ((1 - high) * low) if 0 < low < 1 and 0 < high < 1 else math.nan
        gradient = _over(other.gradient, high * (1 - high)) - _over(base.gradient, low * (1 - low))
    else:
        estimate = high / low if low > 0 and high > 0 else math.nan
        gradient = _over(other.gradient, high) - _over(base.gradient, low)
    if not math.isfinite(estimate) or not np.array_equal(base.decided, other.decided):
        # rows at their limit under one level and not under the other: the contrast has no standard error
        estimate = math.nan
    return estimate, gradient


def _over(gradient: Floats, denominator: float) -> Floats:
    return gradient / denominator if denominator else np.full_like(gradient, np.nan)


def _fewest(fit: RegressionFit, variable: str, *values: Any) -> int | None:
    """Clusters with rows at a level, for the level that has fewest."""
    if fit.clusters is None:
        return None
    column = fit.fitted.frame[variable]
    return min(fit.clusters.count(np.asarray(column == value)) for value in values)


def effect_modification(
    fit: RegressionFit, variable: str, by: str, *, scale: str | None = None, level: float | None = None
) -> Estimates:
    """Effect of a variable in each group of another, and how much it differs between the groups.

    Both must be in the formula, with their interaction, for the difference to mean anything: without it a
    difference in risks still varies with the covariates, a coefficient does not.

    Parameters
    ----------
    fit : RegressionFit
        The fit.
    variable, by : str
        Factor or 0/1 columns of the formula: whose effect, and between which groups.
    scale, level
        As in :func:`marginal_effect`.

    Returns
    -------
    Estimates
        First the difference of each later group from the first (term ``arm[b]: yes - no``; on a ratio scale the
        ratio of ratios, ``yes / no``), then the effect in each group (term ``arm[b] | group: yes``).

    Raises
    ------
    DesignError
        If there are fewer than two groups, or a variable is not in the formula.

    Notes
    -----
    Formula: the contrast of :func:`marginal_effect` averaged over the rows of each group; differences by the delta
    method from the joint gradient.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 5, 2, 4, 9, 8], "arm": list("aabb" * 2), "sex": ["f"] * 4 + ["m"] * 4})
    >>> fit = we.regression("y ~ arm * sex", data)
    >>> for row in effect_modification(fit, "arm", "sex"):
    ...     print(row.term, round(row.estimate, 6))
    arm[b]: m - f 2.5
    arm[b] | sex: f 3.0
    arm[b] | sex: m 5.5
    """
    for name in (variable, by):
        _check_variable(fit, name)
    levels, groups = _levels_of(fit, variable), _levels_of(fit, by)
    if levels is None or groups is None:
        numeric = variable if levels is None else by
        raise DesignError(f"'{numeric}' is numeric and has no levels", fix="cut the column into levels")
    chosen = check_scale(fit, scale)
    values = [levels[0], *levels[1]]
    averages = {
        group: level_averages(fit, variable, values, where={by: group}) for group in (groups[0], *groups[1])
    }
    rows: list[Estimate] = []
    for place, value in enumerate(levels[1], start=1):
        term = f"{variable}[{_label(value)}]" if variable in fit.fitted.design.levels else variable
        parts = {group: compared(chosen, means[0], means[place]) for group, means in averages.items()}
        rows += _differences(fit, term, parts, chosen, level)
        rows += [
            fit.estimate_of(
                f"{term} | {by}: {_label(group)}",
                estimate,
                gradient,
                scale=chosen,
                level=level,
                method=f", contrast averaged over {by}: {_label(group)} (delta method)",
            )
            for group, (estimate, gradient) in parts.items()
        ]
    return Estimates(rows, title=f"Effect of {variable} by {by}; {rows[0].method}")


def _differences(
    fit: RegressionFit, term: str, parts: Mapping[Any, tuple[float, Floats]], scale: str, level: float | None
) -> list[Estimate]:
    """Difference (ratio) of the effect in each later group from that in the first."""
    (first, (base, base_gradient)), *others = parts.items()
    ratio = scale not in DIFFERENCES
    return [
        fit.estimate_of(
            f"{term}: {_label(group)} {'/' if ratio else '-'} {_label(first)}",
            estimate / base if ratio else estimate - base,
            gradient - base_gradient,
            scale=scale,
            level=level,
            method=f", {'ratio' if ratio else 'difference'} of contrasts between groups (delta method)",
        )
        for group, (estimate, gradient) in others
    ]
