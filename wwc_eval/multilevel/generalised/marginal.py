"""Effects averaged over the rows used and over the distribution of the random effects."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.formula.columns import label_of
from wwc_eval.inference.averages import DIFFERENCES, Average, average_words, compared, share_of_rows
from wwc_eval.multilevel.engine.structure import Array, Index
from wwc_eval.multilevel.generalised.predictions import linear_predictor, require_fit
from wwc_eval.multilevel.marginal import check_fixed, levels_of, setting
from wwc_eval.multilevel.random_effects import varying_columns

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.generalised.fit import GeneralisedFit
    from wwc_eval.multilevel.reading import ModelData

__all__ = ["average_at", "averages_of", "estimate_of", "marginal_effect"]

SCALES = {
    "binomial": ("risk_difference", "risk_ratio", "odds_ratio"),
    "counts": ("rate_ratio", "rate_difference"),
}
CHUNK = 4_000_000
"""Numbers held at once by the quadrature."""


def marginal_effect(
    fit: GeneralisedFit,
    variable: str,
    *,
    scale: str | None = None,
    level: float | None = None,
    average: str = "participants",
    cluster: Any = None,
) -> Estimate | Estimates:
    """Effect of a variable averaged over the rows used and over the distribution of the random effects.

    A factor or 0/1 column gives the contrast of each level with the reference, every row set to one and then the other;
    any other numeric column the average slope.

    Parameters
    ----------
    fit : GeneralisedFit
        The model.
    variable : str
        Column of the fixed part.
    scale : str, optional
        ``risk_difference`` (the default), ``risk_ratio`` or ``odds_ratio`` (of the averaged risks, not the
        conditional one) for a binomial outcome; ``rate_ratio`` (the default) or ``rate_difference`` for counts.
    level : float, optional
        Coverage.
    average : {"participants", "clusters"}
        Whether every row counts by its trials or exposure, or every cluster once, whatever its size.
    cluster : str, optional
        Clusters that count; the highest grouping factor.

    Returns
    -------
    Estimate, or Estimates where the variable has more than two levels.

    Raises
    ------
    DesignError
        If the variable is not in the fixed part or the scale does not suit the family.
    ConvergenceError
        If there is no fit.

    Notes
    -----
    Formula: ``A(a) = sum_i w_i E[g(x_i(a)' beta + sqrt(v_i) Z)] / sum_i w_i`` with Z standard normal,
    ``v_i = z_i' Sigma z_i`` the variance of all random effects of the row and g the inverse link; exact for the log
    link, a trapezoid rule (error below 1e-14) for the logit. Rows count by weight times trials or exposure. Standard
    errors by the delta method with the analytic gradient in the coefficients and the variance parameters.
    Source: Hedeker, du Toit, Demirtas and Gibbons (2018), doi:10.1111/biom.12707.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from wwc_eval.multilevel.generalised import fit_generalised
    >>> from wwc_eval.multilevel.reading import read_model
    >>> rng = np.random.default_rng(2)
    >>> team = np.repeat(np.arange(30), 20)
    >>> rate = np.exp(0.3 * (team % 2) + 0.4 * rng.normal(size=30)[team])
    >>> children = pd.DataFrame({"visits": rng.poisson(rate), "arm": team % 2, "team": team})
    >>> model = read_model("visits ~ arm + (1 | team)", children, levels=None, weights=None, exposure=None)
    >>> fit = fit_generalised(model, None, 1, 0.95, family="poisson")
    >>> ratio = marginal_effect(fit, "arm")
    >>> bool(np.isclose(ratio.estimate, np.exp(fit.coefficients[1])))  # a random intercept leaves a rate ratio alone
    True
    """
    require_fit(fit)
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    frame = check_fixed(fit, variable)
    allowed = SCALES["binomial" if fit.family == "binomial" else "counts"]
    chosen = allowed[0] if scale is None else check_choice("scale", scale, allowed)
    levels = levels_of(fit, variable, frame)
    if levels is None:
        if scale is not None and scale not in DIFFERENCES:
            raise DesignError(
                f"'{variable}' is numeric, and scale == '{scale}' compares levels",
                fix="leave out scale for the average slope, or cut the column into levels",
            )
        return _slope(fit, variable, frame, coverage, (average, cluster))
    base, *others = averages_of(fit, variable, average=average, cluster=cluster)
    over = words_of(fit, average, cluster)
    rows = [_contrast(fit, chosen, (base, other), coverage, (average, over)) for other in others]
    if len(rows) == 1:
        return rows[0]
    return Estimates(rows, title=f"Population-averaged effects of {variable}. {fit._words}")


def averages_of(
    fit: GeneralisedFit, variable: str, *, average: str = "participants", cluster: Any = None
) -> list[Average]:
    """Population-averaged outcome at each level of a variable, the reference first, with gradients in all parameters.

    Raises
    ------
    DesignError
        If the variable is numeric, or not in the fixed part.
    ConvergenceError
        If there is no fit.
    """
    require_fit(fit)
    frame = check_fixed(fit, variable)
    levels = levels_of(fit, variable, frame)
    if levels is None:
        raise DesignError(f"'{variable}' is numeric and has no levels", fix="cut the column into levels")
    codes = codes_of(fit, average, cluster)
    return [
        replace(
            average_at(fit, setting(frame, variable, value), codes=codes, moved=variable), value=value, term=term
        )
        for value, term in ((levels[0], ""), *levels[1])
    ]


def codes_of(fit: GeneralisedFit, average: str, cluster: Any) -> Index | None:
    """Cluster of each row where every cluster counts once."""
    return fit.cluster_of(cluster).codes if average == "clusters" else None


def words_of(fit: GeneralisedFit, average: str, cluster: Any) -> str:
    """Whom an average is over, in words."""
    return average_words(average, fit.cluster_of(cluster).name if average == "clusters" else None)


def average_at(
    fit: GeneralisedFit,
    frame: pd.DataFrame,
    rows: Array | None = None,
    *,
    codes: Index | None = None,
    moved: str = "",
) -> Average:
    """Mean over the rows (those that ``rows`` marks) of the population-averaged outcome, with its gradient.

    ``moved`` names the one column that differs from the rows used, where that is known.
    """
    model, core = fit.data, fit.core
    assert core.prepared is not None
    assert core.optimum is not None
    X = model.design.matrix(frame)
    eta, sign = linear_predictor(fit, X)
    columns = _varying(model, frame, moved)
    prepared = core.prepared
    Z = np.column_stack(
        [
            columns[grouping.name] @ np.linalg.inv(basis)
            for grouping, basis in zip(prepared.groupings, prepared.bases, strict=True)
        ]
    )
    root = prepared.roots.root(core.optimum.psi[: prepared.roots.size])
    spread = Z @ root
    variance = np.einsum("nm,nm->n", spread, spread)
    weight = _row_weights(fit, rows, codes)
    mean, slope, curvature = _moments(fit.family, np.where(sign == 0, eta, 0.0), variance)
    edge = 1.0 if fit.family == "binomial" else np.inf
    mean = np.where(sign == 0, mean, np.where(sign < 0, 0.0, edge))
    slope, curvature = np.where(sign == 0, slope, 0.0), np.where(sign == 0, curvature, 0.0)
    # the mean moves with a row's variance by half its curvature (the heat equation)
    by_root = (Z * (weight * curvature)[:, None]).T @ spread
    gradient = np.zeros(len(core.optimum.psi))
    k, p = prepared.roots.size, len(core.columns)
    gradient[:k] = by_root[list(prepared.roots.rows), list(prepared.roots.columns)]
    gradient[k : k + p] = X[:, core.columns].T @ (weight * slope)
    return Average(value=None, mean=float(weight @ mean), gradient=gradient, decided=sign)


def _varying(model: ModelData, frame: pd.DataFrame, moved: str) -> dict[str, Array]:
    """Columns that vary over each grouping factor, made anew only where a moved column is among them."""
    slopes = {name for term in model.formula.random for slope in term.slopes for name in slope.columns}
    if moved and moved not in slopes:
        return {grouping.name: grouping.Z for grouping in model.groupings}
    return varying_columns(model, frame)


def _row_weights(fit: GeneralisedFit, rows: Array | None, codes: Index | None) -> Array:
    """Share of each row: weight times trials, or times exposure, within its cluster where clusters count once."""
    sample = fit.core.sample
    share = sample.weights * sample.trials * sample.exposure
    if rows is not None:
        share = share * rows
    return share_of_rows(share, codes)


def _moments(family: str, eta: Array, variance: Array) -> tuple[Array, Array, Array]:
    """Mean over the random effects of the inverse link, of its slope and of its curvature."""
    if family != "binomial":
        mean = np.exp(eta + 0.5 * variance)
        return mean, mean, mean
    # rows of one covariate pattern share their integrals
    both, place = np.unique(np.column_stack([eta, variance]), axis=0, return_inverse=True)
    found = np.empty((3, len(both)))
    largest = math.sqrt(float(both[:, 1].max(initial=0.0)))
    # poles of the logistic curve at i pi / sd limit the step, the normal density itself does at 0.5
    step = min(0.5, 0.5 / max(largest, 1e-12))
    z = np.arange(-math.ceil(9.0 / step), math.ceil(9.0 / step) + 1) * step
    density = np.exp(-0.5 * z * z)
    density /= density.sum()
    size = max(1, CHUNK // len(z))
    for start in range(0, len(both), size):
        part = slice(start, start + size)
        x = both[part, :1] + np.sqrt(both[part, 1:]) * z
        low, high = special.expit(-x), special.expit(x)
        found[0, part] = high @ density
        found[1, part] = (high * low) @ density
        found[2, part] = (high * low * (low - high)) @ density
    mean, slope, curvature = found[:, place.ravel()]
    return mean, slope, curvature


def _contrast(
    fit: GeneralisedFit, scale: str, averages: tuple[Average, Average], level: float, whom: tuple[str, str]
) -> Estimate:
    """Contrast of two averages."""
    base, other = averages
    value, gradient = compared(scale, base, other)
    return estimate_of(
        fit,
        other.term,
        value,
        gradient,
        level=level,
        scale=scale,
        words=f"contrast averaged over {whom[1]} and the random effects (delta method)",
        details={
            "reference": label_of(base.value),
            "mean_reference": base.mean,
            "mean_level": other.mean,
            "average": whom[0],
        },
    )


def _slope(
    fit: GeneralisedFit, variable: str, frame: pd.DataFrame, level: float, whom: tuple[str, Any]
) -> Estimate:
    """Average slope by a central difference."""
    codes = codes_of(fit, *whom)
    values = frame[variable].astype(float)
    step = 1e-4 * max(float(values.std()), 1e-12)
    up = average_at(fit, frame.assign(**{variable: values + step}), codes=codes, moved=variable)
    down = average_at(fit, frame.assign(**{variable: values - step}), codes=codes, moved=variable)
    return estimate_of(
        fit,
        variable,
        (up.mean - down.mean) / (2.0 * step),
        (up.gradient - down.gradient) / (2.0 * step),
        level=level,
        scale="risk_difference" if fit.family == "binomial" else "rate_difference",
        words=f"average slope per unit of {variable} over {words_of(fit, *whom)} and the random effects (delta method)",
        details={"slope": True, "average": whom[0]},
    )


def estimate_of(
    fit: GeneralisedFit,
    term: str,
    value: float,
    gradient: Array,
    *,
    level: float,
    scale: str,
    words: str,
    details: dict[str, Any],
) -> Estimate:
    """Estimate whose variance follows from a gradient in all parameters (the delta method)."""
    variance = float(gradient @ fit.core.joint_covariance @ gradient)
    se = math.sqrt(variance) if variance >= 0 and math.isfinite(value) else math.nan
    return Estimate.from_normal(
        term=term,
        estimate=value,
        se=se,
        level=level,
        scale=scale,
        method=f"{fit._words}; {words}",
        n=fit.n,
        n_clusters=fit.n_clusters,
        warnings=fit._warnings(lost=not math.isfinite(value), term=term),
        citation="Hedeker, du Toit, Demirtas and Gibbons 2018, doi:10.1111/biom.12707",
        details=details,
    )
