"""Standardised mean differences from a linear mixed model, with the standard deviation named."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice, did_you_mean
from wwc_eval.estimate import Estimate
from wwc_eval.inference.effect_size import small_sample_correction
from wwc_eval.multilevel.eef import EefSize, cluster_total, cluster_within, multisite
from wwc_eval.multilevel.engine.solve import Solution, problem_of, solve
from wwc_eval.multilevel.engine.structure import Array, Grouping, Index
from wwc_eval.multilevel.small_sample.satterthwaite import sensitivity, variance_covariance

if TYPE_CHECKING:
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["effect_size"]

_CITATIONS = {
    "hedges_g": "Hedges 2007, doi:10.3102/1076998606298043; Pustejovsky, Hedges and Shadish 2014, "
    "doi:10.3102/1076998614547577",
    "glass_delta": "Glass 1976, doi:10.3102/0013189X005010003",
    "eef": "eefAnalytics 1.1.5; Hedges 2007, doi:10.3102/1076998606298043",
}


def effect_size(
    fit: LinearFit,
    term: str,
    *,
    variance: str = "total",
    model: str = "conditional",
    kind: str = "hedges_g",
    formula: str = "hedges",
) -> Estimate:
    """Difference between two arms divided by a standard deviation.

    Parameters
    ----------
    fit : LinearFit
        The model; its inference gives the error of the difference.
    term : str
        Coefficient of the arm: a 0/1 column of the design, such as ``arm[programme]``.
    variance : {"total", "within"}
        ``total``: variance between and within groups together; ``within``: the residual variance alone.
    model : {"conditional", "unconditional"}
        ``conditional``: variances of the fitted model, given its covariates; ``unconditional``: those of a model
        with the arms and a random intercept for each grouping factor (``eef``: without the arms), so that
        covariates do not shrink the standard deviation.
    kind : {"hedges_g", "glass_delta"}
        ``glass_delta``: variances of the control arm alone (rows of neither this nor another arm's term).
    formula : {"hedges", "eef"}
        ``hedges``: exact small-sample factor, error from the fit and the uncertainty of the variance, t interval.
        ``eef``: the formulas of eefAnalytics (no covariate-adjusted error, 1.96), for one grouping factor.

    Returns
    -------
    Estimate
        ``details`` names the standard deviation and its degrees of freedom.

    Raises
    ------
    DesignError
        If the term is no 0/1 column, or the formula does not fit the design.

    Notes
    -----
    Formula: ``g = J(nu) b / s`` with ``nu = 2 s^4 / Var(s^2)`` and
    ``se(g)^2 = J^2 (nu / (nu - 2) se(b)^2 / s^2 + g^2 (nu / (nu - 2) - 1 / J^2))``.
    """
    check_choice("variance", variance, ("total", "within"))
    check_choice("model", model, ("conditional", "unconditional"))
    check_choice("kind", kind, ("hedges_g", "glass_delta"))
    check_choice("formula", formula, ("hedges", "eef"))
    arm = _arm_column(fit, term)
    if formula == "eef":
        return _eef(fit, term, arm, variance=variance, model=model, kind=kind)
    spread = _spread(fit, term, variance=variance, model=model, kind=kind)
    estimate = fit.estimates[term]
    sd, nu = math.sqrt(spread.variance), spread.df
    factor = small_sample_correction(nu) if nu > 1 else math.nan
    g = factor * estimate.estimate / sd
    if nu > 2:
        grown = nu / (nu - 2.0)
        se = factor * math.sqrt(grown * (estimate.se / sd) ** 2 + g**2 * (grown - 1.0 / factor**2))
    else:
        se = math.nan
    return Estimate.from_normal(
        term=term,
        estimate=g,
        se=se,
        df=estimate.df,
        level=fit.level,
        scale=kind,
        units="standard deviations",
        method=f"Difference of {estimate.method[0].lower() + estimate.method[1:]}; divided by {spread.words}",
        n=fit.n,
        n_clusters=fit.n_clusters,
        warnings=estimate.warnings,
        citation=_CITATIONS[kind],
        details={"sd": sd, "sd_df": nu, "factor": factor, "variance": variance, "model": model},
    )


def _arm_column(fit: LinearFit, term: str) -> Array:
    if term not in fit.terms:
        raise DesignError(f"the model has no term '{term}'", fix=did_you_mean(term, fit.terms))
    column = fit.data.design.X[:, fit.terms.index(term)]
    if not np.isin(column, (0.0, 1.0)).all():
        raise DesignError(
            f"'{term}' is no comparison of two arms: its column holds other values than 0 and 1",
            fix="give the term of an arm, such as 'arm[programme]'",
        )
    return column


def _arm_terms(fit: LinearFit, term: str) -> list[int]:
    """Columns of the formula's term that ``term`` belongs to: all its arms."""
    owner = fit.data.design.assign[fit.terms.index(term)]
    return [k for k, other in enumerate(fit.data.design.assign) if other == owner]


@dataclass(frozen=True)
class _Spread:
    """A variance with its degrees of freedom, and what it is."""

    variance: float
    df: float
    words: str


def _spread(fit: LinearFit, term: str, *, variance: str, model: str, kind: str) -> _Spread:
    rows: Index | None = None
    if kind == "glass_delta":
        arms = fit.data.design.X[:, _arm_terms(fit, term)]
        rows = np.flatnonzero(~(arms != 0).any(axis=1))
    if model == "conditional" and rows is None:
        solution, weights = fit.core.solution, fit.data.weights
    else:
        solution, weights = _other_model(fit, term, rows, conditional=model == "conditional")
    residual = 1.0 if weights is None else float(np.mean(1.0 / weights))
    value, df = _variance(solution, variance, residual)
    of = {"total": "the total", "within": "the within-group"}[variance]
    where = " of the control arm" if kind == "glass_delta" else ""
    given = "given the covariates" if model == "conditional" else "not adjusted for covariates"
    return _Spread(value, df, f"{of} standard deviation{where}, {given}")


def _variance(solution: Solution, variance: str, residual: float) -> tuple[float, float]:
    """Variance of an average row and its degrees of freedom ``2 v^2 / Var(v)``."""
    values, covariance = variance_covariance(solution, sensitivity(solution))
    pivot = np.concatenate([[i == j for i, j in g.entries] for g in solution.problem.prepared.groupings])
    slope = np.r_[pivot.astype(float) if variance == "total" else np.zeros(len(pivot)), residual]
    value = float(slope @ values)
    spread = float(slope @ covariance @ slope)
    return value, 2.0 * value**2 / spread


def _other_model(
    fit: LinearFit, term: str, rows: Index | None, *, conditional: bool
) -> tuple[Solution, Array | None]:
    """The model behind another standard deviation: fewer rows, or no covariates."""
    design, groupings = fit.data.design, list(fit.data.groupings)
    arms = _arm_terms(fit, term)
    ones = np.ones((fit.n, 1))
    if conditional:
        kept = [k for k in range(len(fit.terms)) if rows is None or k not in arms]
        X = design.X[:, kept]
    else:
        X = ones if rows is not None else np.column_stack([ones, design.X[:, arms]])
    if not conditional or rows is not None:
        groupings = [_intercepts(grouping, ones) for grouping in groupings]
    y, weights = design.y, fit.data.weights
    if rows is not None:
        y, X = y[rows], _varying_columns(X[rows])
        groupings = [grouping.take(rows) for grouping in groupings]
        weights = None if weights is None else weights[rows]
    return solve(problem_of(y, X, groupings, reml=fit.method == "reml", weights=weights)), weights


def _varying_columns(X: Array) -> Array:
    """Columns that are independent in a selection of rows, from left to right."""
    kept: list[int] = []
    for k in range(X.shape[1]):
        trial = X[:, [*kept, k]]
        norms = np.sqrt((trial**2).sum(axis=0))
        if norms.min() > 0 and np.abs(np.diag(np.linalg.qr(trial / norms, mode="r"))).min() > 1e-9:
            kept.append(k)
    return X[:, kept]


def _intercepts(grouping: Grouping, ones: Array) -> Grouping:
    return replace(grouping, Z=ones, columns=("(Intercept)",), blocks=((0,),))


def _eef(fit: LinearFit, term: str, arm: Array, *, variance: str, model: str, kind: str) -> Estimate:
    """The formulas of eefAnalytics for a cluster or a multisite trial."""
    if kind != "hedges_g" or len(fit.data.groupings) != 1 or fit.data.weights is not None:
        raise DesignError(
            "the sector's formulas know Hedges' g with one grouping factor and no weights",
            fix="use formula='hedges'",
        )
    grouping = fit.data.groupings[0]
    codes = grouping.codes
    beta = float(fit.coefficients[fit.terms.index(term)])
    in_arm = np.bincount(codes, weights=arm)
    mixed = bool(np.any((in_arm > 0) & (in_arm < np.bincount(codes))))
    if model == "unconditional":
        null = solve(
            problem_of(
                fit.data.design.y,
                np.ones((fit.n, 1)),
                [_intercepts(grouping, np.ones((fit.n, 1)))],
                reml=fit.method == "reml",
            )
        )
        between, within = float(null.covariances[0][0, 0]), null.sigma2
        size = _cluster_size(variance, beta, (between, within), arm, codes)
    elif grouping.width == 1:
        if mixed:
            raise DesignError(
                f"clusters of '{grouping.name}' hold several arms: a multisite trial",
                fix=f"let the arm vary: (1 + arm | {grouping.name}), or use formula='hedges'",
            )
        between = float(fit.covariances[0][0, 0])
        size = _cluster_size(variance, beta, (between, fit.residual_variance), arm, codes)
    else:
        size = _multisite_size(fit, term, variance, beta, arm)
    reach = float(special.ndtr(-abs(size.estimate / size.se)))
    return Estimate(
        term=term,
        estimate=size.estimate,
        se=size.se,
        df=math.inf,
        statistic=size.estimate / size.se,
        p_value=2.0 * reach,
        ci_low=size.ci_low,
        ci_high=size.ci_high,
        level=0.95,
        scale="hedges_g",
        units="standard deviations",
        method=f"{fit._words}; {model} {variance} variance, formulas of eefAnalytics",
        n=fit.n,
        n_clusters=grouping.n_groups,
        citation=_CITATIONS["eef"],
        details={"formula": "eef", "variance": variance, "model": model},
    )


def _cluster_size(variance: str, beta: float, variances: tuple[float, float], arm: Array, codes: Index) -> EefSize:
    between, within = variances
    icc = between / (between + within)
    if variance == "within":
        return cluster_within(beta, within, icc, arm, codes)
    return cluster_total(beta, between + within, icc, arm, codes)


def _multisite_size(fit: LinearFit, term: str, variance: str, beta: float, arm: Array) -> EefSize:
    grouping, covariance = fit.data.groupings[0], fit.covariances[0]
    if term not in grouping.columns or grouping.columns[0] != "(Intercept)":
        raise DesignError(
            f"'{term}' does not vary between the groups of '{grouping.name}'",
            fix=f"let intercept and arm vary: (1 + arm | {grouping.name})",
        )
    place = grouping.columns.index(term)
    within = fit.residual_variance
    shares = grouping.Z.mean(axis=0)
    total = covariance[0, 0] + within
    for k in range(1, grouping.width):
        total += shares[k] * (covariance[k, k] + 2.0 * covariance[0, k])
    scale = within if variance == "within" else float(total)
    return multisite(beta, scale, (within, float(covariance[place, place])), arm, grouping.codes)
