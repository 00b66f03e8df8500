"""Marginal effects: contrasts and slopes averaged over the estimation sample, with delta-method errors.

A contrast sets the variable to one level in every row, predicts, sets it to the reference, predicts again and
compares the two averages (standardisation, or g-computation). The covariates are taken as fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, did_you_mean
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.averages import (
    DIFFERENCES,
    Average,
    average_words,
    check_average,
    compared,
    share_of_rows,
)
from wwc_eval.inference.clusters import Clusters, read_clusters
from wwc_eval.inference.families import Floats
from wwc_eval.inference.resampling import inference_words, resampled, resampling, with_interval

if TYPE_CHECKING:
    from wwc_eval.inference.fit import RegressionFit

__all__ = [
    "CONTRAST_SCALES",
    "DIFFERENCES",
    "Average",
    "adjusted_means",
    "averages_of",
    "check_scale",
    "check_variable",
    "label",
    "level_averages",
    "levels_of",
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


def marginal_effect(
    fit: RegressionFit,
    variable: str,
    *,
    scale: str | None = None,
    level: float | None = None,
    where: Mapping[str, Any] | None = None,
    average: str = "participants",
    cluster: str | None = None,
    interval: str = "delta",
    reps: int = 999,
    rng: Any = None,
    strata: str | None = None,
    progress: bool = True,
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
    average : {"participants", "clusters"}
        Whether every participant counts once (the participant-average effect), or every cluster does, whatever its
        size (the cluster-average effect).
    cluster : str, optional
        Column of the clusters that count, or are drawn; those of the fit's errors where it is missing.
    interval : {"delta", "bootstrap", "basic"}
        By the delta method, or from replicates in which whole clusters are drawn with replacement (one drawn twice
        counts twice): their percentiles, or these reflected about the estimate.
    reps, rng, strata, progress
        Replicates, source of randomness, column within whose values clusters are drawn, progress bar (bootstrap).

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
    rates: w_i; divided by the sum of w over the row's cluster for the cluster average, which weighs the model's
    expected outcomes anew and leaves its coefficients alone: where effects depend on the size of clusters see
    ``cluster_size_check``. Sources: Lane and Nelder 1982, doi:10.2307/2530043; Kahan, Li, Copas and Harhay 2023,
    doi:10.1093/ije/dyac131.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.DataFrame({"y": [0, 1, 0, 1, 1, 1, 0, 1], "arm": ["a"] * 4 + ["b"] * 4})
    >>> fit = we.regression("y ~ arm", data, family="binomial")
    >>> print(round(fit.marginal_effect("arm").estimate, 6))
    0.25
    """
    how = resampling(
        interval, fit, reps=reps, rng=rng, draw=None, cluster=cluster, strata=strata, progress=progress
    )
    weighing: dict[str, Any] = {"where": where, "average": average, "cluster": cluster}
    check_average(average, None if how else cluster)
    if average == "participants":
        weighing["cluster"] = None
    found = _by_delta(fit, variable, scale, level, weighing)
    if how is None:
        return found
    coverage = fit.level if level is None else level
    items = [found] if isinstance(found, Estimate) else list(found)
    names = [item.term for item in items]

    def statistic(refit: RegressionFit) -> list[float]:
        levels = levels_of(refit, variable)
        if levels is None:
            again = _by_delta(refit, variable, items[0].scale, level, weighing)
            return [again.estimate] if isinstance(again, Estimate) else []
        base, *others = level_averages(refit, variable, [levels[0], *levels[1]], **weighing)
        values = {other.term: compared(items[0].scale, base, other)[0] for other in others}
        return [values.get(name, math.nan) for name in names]

    values = resampled(fit, statistic, how)
    items = [
        with_interval(item, values[:, k], how, coverage, own=inference_words(fit)) for k, item in enumerate(items)
    ]
    return items[0] if isinstance(found, Estimate) else Estimates(items, title=items[0].method, notes=found.notes)


def _by_delta(
    fit: RegressionFit, variable: str, scale: str | None, level: float | None, weighing: Mapping[str, Any]
) -> Estimate | Estimates:
    """Contrasts or the slope, with intervals by the delta method."""
    check_variable(fit, variable)
    levels = levels_of(fit, variable)
    if levels is None:
        if weighing["where"] is not None:
            raise DesignError(f"'{variable}' is numeric: where is for contrasts", fix="leave out where")
        from wwc_eval.inference.slopes import average_slope

        over = {name: weighing[name] for name in ("average", "cluster")}
        return average_slope(fit, variable, scale=scale, level=level, **over)
    chosen = check_scale(fit, scale)
    averages = level_averages(fit, variable, [levels[0], *levels[1]], **weighing)
    whom = _whom(fit, weighing["average"], weighing["cluster"])
    items = [_contrast(fit, variable, chosen, (averages[0], other), whom, level=level) for other in averages[1:]]
    if len(items) == 1:
        return items[0]
    return Estimates(items, title=items[0].method, notes=(f"Reference: {variable} = {levels[0]}.",))


def _whom(fit: RegressionFit, average: str, cluster: str | None) -> tuple[str, str]:
    """Whom an average is over, and in words."""
    if average == "participants":
        return average, average_words(average)
    return average, average_words(average, clusters_of(fit, cluster).name)


def adjusted_means(
    fit: RegressionFit,
    variable: str,
    *,
    level: float | None = None,
    average: str = "participants",
    cluster: str | None = None,
) -> Estimates:
    """Adjusted mean, risk or rate at each level of a factor or 0/1 column, averaged over the sample.

    Parameters
    ----------
    fit, variable, level, average, cluster
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
    values = averages_of(fit, variable, average=average, cluster=cluster)
    over = "the sample" if average == "participants" else _whom(fit, average, cluster)[1]
    scale = "proportion" if _risk_scaled(fit) else ("rate" if fit.family.endswith("poisson") else "mean")
    items = [
        fit.estimate_of(
            f"{variable}[{label(each.value)}]",
            each.mean if math.isfinite(each.mean) else math.nan,
            each.gradient,
            scale=scale,
            level=level,
            method=f", adjusted mean over {over}",
            details={"average": average},
        )
        for each in values
    ]
    return Estimates(items, title=f"Adjusted {scale}s by {variable}; {items[0].method}")


def averages_of(
    fit: RegressionFit, variable: str, *, average: str = "participants", cluster: str | None = None
) -> list[Average]:
    """Average outcome at each level of a factor or 0/1 column, the reference first.

    Raises
    ------
    DesignError
        If the column is numeric, or not in the formula.
    """
    check_variable(fit, variable)
    check_average(average, cluster)
    levels = levels_of(fit, variable)
    if levels is None:
        raise DesignError(f"'{variable}' is numeric and has no levels", fix="use predict() at chosen values")
    return level_averages(fit, variable, [levels[0], *levels[1]], average=average, cluster=cluster)


def check_variable(fit: RegressionFit, variable: str) -> None:
    """Refuse a column that the formula does not have, and a fit without estimates."""
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


def levels_of(fit: RegressionFit, variable: str) -> tuple[Any, list[Any]] | None:
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
            f"'{variable}' is '{label(occurring[0])}' in all {fit.n:,} rows used, so there is nothing to compare",
            fix="check the rows left after exclusions and missing values",
        )
    return reference, [value for value in occurring if value != reference]


def label(value: Any) -> str:
    """Text of a level."""
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def row_weights(
    fit: RegressionFit,
    where: Mapping[str, Any] | None = None,
    *,
    average: str = "participants",
    cluster: str | None = None,
) -> Floats:
    """Share of each row in an average over the sample, or the part of it; they add up to one."""
    fitted = fit.fitted
    size = fitted.children if fitted.exposure is None else fitted.children * fitted.exposure
    for column, value in (where or {}).items():
        check_variable(fit, column)
        size = size * np.asarray(fitted.frame[column] == value, dtype=float)
    if not size.sum() > 0:
        raise DesignError(f"no row used has {where}", fix="name a group that occurs in the data")
    return share_of_rows(size, None if average == "participants" else clusters_of(fit, cluster).codes)


def clusters_of(fit: RegressionFit, cluster: str | None) -> Clusters:
    """Clusters of the rows used: a column, or those of the errors.

    Raises
    ------
    DesignError
        If the fit has no clusters and none are named.
    """
    if cluster is not None:
        return read_clusters(fit.source, fit.fitted.design.rows, cluster)
    if fit.clusters is None:
        raise DesignError("the fit has no clusters", fix="name their column: cluster='...'")
    return fit.clusters


def level_averages(
    fit: RegressionFit,
    variable: str,
    values: list[Any],
    *,
    where: Mapping[str, Any] | None = None,
    average: str = "participants",
    cluster: str | None = None,
) -> list[Average]:
    """Average outcome with the variable set to each value in turn, over the sample or the part of it."""
    import pandas as pd

    fitted = fit.fitted
    share = row_weights(fit, where, average=average, cluster=cluster)
    factor = variable in fitted.design.levels
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
        term = f"{variable}[{label(value)}]" if factor else variable
        found.append(Average(value=value, mean=mean, gradient=gradient, decided=decided, term=term))
    return found


def _contrast(
    fit: RegressionFit,
    variable: str,
    scale: str,
    averages: tuple[Average, Average],
    whom: tuple[str, str],
    *,
    level: float | None,
) -> Estimate:
    """One standardised contrast."""
    base, other = averages
    estimate, gradient = compared(scale, base, other)
    return fit.estimate_of(
        other.term,
        estimate,
        gradient,
        scale=scale,
        level=level,
        fewest=_fewest(fit, variable, base.value, other.value),
        method=f", contrast averaged over {whom[1]} (delta method)",
        details={
            "reference": base.value,
            "level": other.value,
            "mean_reference": base.mean,
            "mean_level": other.mean,
            "average": whom[0],
        },
    )


def _fewest(fit: RegressionFit, variable: str, *values: Any) -> int | None:
    """Clusters with rows at a level, for the level that has fewest."""
    if fit.clusters is None:
        return None
    column = fit.fitted.frame[variable]
    return min(fit.clusters.count(np.asarray(column == value)) for value in values)
