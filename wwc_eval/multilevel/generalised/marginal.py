"""Effects averaged over the rows used and over the distribution of the random effects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice, check_number, did_you_mean
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.formula.columns import label_of
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.predictions import linear_predictor, require_fit
from wwc_eval.multilevel.random_effects import varying_columns

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.generalised.fit import GeneralisedFit

__all__ = ["Average", "average", "compared", "estimate_of", "filled", "levels_of", "marginal_effect"]

SCALES = {
    "binomial": ("risk_difference", "risk_ratio", "odds_ratio"),
    "counts": ("rate_ratio", "rate_difference"),
}
DIFFERENCES = ("risk_difference", "rate_difference")
CHUNK = 4_000_000
"""Numbers held at once by the quadrature."""


@dataclass(frozen=True, kw_only=True)
class Average:
    """Population-averaged mean with a variable at one value, and its gradient in all parameters."""

    mean: float
    gradient: Array
    decided: Array


def marginal_effect(
    fit: GeneralisedFit, variable: str, *, scale: str | None = None, level: float | None = None
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
    known = sorted({name for term in fit.data.formula.fixed for name in term.columns})
    if variable not in known:
        raise DesignError(f"'{variable}' is not in the fixed part", fix=did_you_mean(variable, known))
    allowed = SCALES["binomial" if fit.family == "binomial" else "counts"]
    chosen = allowed[0] if scale is None else check_choice("scale", scale, allowed)
    frame = fit.data.source.iloc[fit.data.rows]
    levels = levels_of(fit, variable, frame)
    if levels is None:
        if scale is not None and scale not in DIFFERENCES:
            raise DesignError(
                f"'{variable}' is numeric, and scale == '{scale}' compares levels",
                fix="leave out scale for the average slope, or cut the column into levels",
            )
        return _slope(fit, variable, frame, coverage)
    reference, others = levels
    base = average(fit, frame.assign(**{variable: filled(frame[variable], reference)}))
    rows = []
    for value, name in others:
        other = average(fit, frame.assign(**{variable: filled(frame[variable], value)}))
        rows.append(_contrast(fit, (name, label_of(reference)), chosen, (base, other), coverage))
    if len(rows) == 1:
        return rows[0]
    return Estimates(rows, title=f"Population-averaged effects of {variable}. {fit._words}")


def levels_of(fit: GeneralisedFit, variable: str, frame: pd.DataFrame) -> tuple[Any, list[tuple[Any, str]]] | None:
    """Reference and the other levels with their names, or None for a numeric column."""
    design, values = fit.data.design, frame[variable]
    if variable in design.levels:
        occurring = [level for level in design.levels[variable] if (values == level).any()]
        reference = design.reference_levels.get(variable, occurring[0])
        return reference, [(level, f"{variable}[{label_of(level)}]") for level in occurring if level != reference]
    if set(np.unique(values.to_numpy(dtype=float))) <= {0.0, 1.0}:
        return values.dtype.type(0), [(values.dtype.type(1), variable)]
    return None


def filled(values: pd.Series[Any], level: Any) -> Any:
    """A column of one level, of the same kind."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Categorical([level] * len(values), dtype=values.dtype)
    return pd.Series([level] * len(values), index=values.index, dtype=values.dtype)


def average(fit: GeneralisedFit, frame: pd.DataFrame, rows: Array | None = None) -> Average:
    """Mean over the rows (those that ``rows`` marks) of the population-averaged outcome, with its gradient."""
    model, core = fit.data, fit.core
    assert core.prepared is not None
    assert core.optimum is not None
    X = model.design.matrix(frame)
    eta, sign = linear_predictor(fit, X)
    columns = varying_columns(model, frame)
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
    weight = _row_weights(fit, rows)
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
    return Average(mean=float(weight @ mean), gradient=gradient, decided=sign)


def _row_weights(fit: GeneralisedFit, rows: Array | None) -> Array:
    """Share of each row: weight times trials, or times exposure; nothing outside the rows marked."""
    sample = fit.core.sample
    share = sample.weights * sample.trials * sample.exposure
    if rows is not None:
        share = share * rows
    return np.asarray(share / share.sum())


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


def compared(scale: str, base: Average, other: Average) -> tuple[float, Array]:
    """Contrast of two averages, with its gradient: of the logarithm on a ratio scale."""
    low, high = base.mean, other.mean
    if scale in DIFFERENCES:
        value, gradient = high - low, other.gradient - base.gradient
    elif scale == "odds_ratio":
        value = high * (1.0 - low) / ((1.0 - high) * low) if 0 < low < 1 and 0 < high < 1 else math.nan
        gradient = other.gradient / (high * (1.0 - high)) - base.gradient / (low * (1.0 - low))
    else:
        value = high / low if low > 0 else math.nan
        gradient = other.gradient / high - base.gradient / low
    if not np.array_equal(base.decided, other.decided):
        # rows at their limit under one level and not under the other: the contrast has no standard error
        value = math.nan
    return value, gradient


def _contrast(
    fit: GeneralisedFit, names: tuple[str, str], scale: str, averages: tuple[Average, Average], level: float
) -> Estimate:
    """Contrast of two averages."""
    (name, reference), (base, other) = names, averages
    value, gradient = compared(scale, base, other)
    return estimate_of(
        fit,
        name,
        value,
        gradient,
        level=level,
        scale=scale,
        words="contrast averaged over the rows and the random effects (delta method)",
        details={"reference": reference, "mean_reference": base.mean, "mean_level": other.mean},
    )


def _slope(fit: GeneralisedFit, variable: str, frame: pd.DataFrame, level: float) -> Estimate:
    """Average slope by a central difference."""
    values = frame[variable].astype(float)
    step = 1e-4 * max(float(values.std()), 1e-12)
    up = average(fit, frame.assign(**{variable: values + step}))
    down = average(fit, frame.assign(**{variable: values - step}))
    return estimate_of(
        fit,
        variable,
        (up.mean - down.mean) / (2.0 * step),
        (up.gradient - down.gradient) / (2.0 * step),
        level=level,
        scale="risk_difference" if fit.family == "binomial" else "rate_difference",
        words=f"average slope per unit of {variable} over the rows and the random effects (delta method)",
        details={"slope": True},
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
        warnings=fit._warnings(lost=not math.isfinite(value)),
        citation="Hedeker, du Toit, Demirtas and Gibbons 2018, doi:10.1111/biom.12707",
        details=details,
    )
