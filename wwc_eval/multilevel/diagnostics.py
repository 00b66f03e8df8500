"""What a linear mixed model assumes, looked at: residuals, random effects, collinearity, variance explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.icc import variance_parts
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit
    from wwc_eval.multilevel.linear import LinearFit

__all__ = [
    "described",
    "described_columns",
    "diagnostics",
    "standardised_effects",
    "standardised_residuals",
    "variance_explained",
    "vif",
]

FAR = 3.0


def standardised_residuals(fit: LinearFit) -> Array:
    """Conditional residuals divided by the residual standard deviation of their row."""
    weights = fit.data.weights
    scale = np.sqrt(fit.residual_variance / (1.0 if weights is None else weights))
    return np.asarray(fit.residuals() / scale)


def standardised_effects(fit: LinearFit, group: str) -> Array:
    """Conditional modes (G, q) divided by the standard deviation that they have under the model.

    Formula: ``Var(b_hat) = Sigma - Var(b_hat - b)``, the diagonal of which scales each mode.
    """
    place = [grouping.name for grouping in fit.data.groupings].index(group)
    modes = fit.core.modes[group]
    spread = np.diag(fit.covariances[place]) - np.einsum("gii->gi", modes.prediction)
    return np.where(spread > 0, modes.mean / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)


def diagnostics(fit: LinearFit) -> Table:
    """Residuals and random effects beside what normal ones would show.

    Returns
    -------
    Table
        For the residuals and each random coefficient: number, skewness, excess kurtosis, the largest standardised
        value with the largest expected of as many normal ones, and how many lie beyond 3.
    """
    rows = [described("residuals", standardised_residuals(fit))]
    for grouping in fit.data.groupings:
        effects = standardised_effects(fit, grouping.name)
        rows += [described(f"{grouping.name}: {term}", effects[:, k]) for k, term in enumerate(grouping.columns)]
    note = "Values far from what is expected of normal ones ask for a look at the rows or groups behind them."
    return Table(rows, described_columns(), title="Diagnostics", notes=(note,))


def described_columns() -> list[Column]:
    """Columns of a table of diagnostics."""
    return [
        Column(name="of"),
        Column(name="n", kind="count"),
        Column(name="skewness", kind="number", digits=2),
        Column(name="kurtosis", label="excess kurtosis", kind="number", digits=2),
        Column(name="largest", label="largest (standardised)", kind="number", digits=2),
        Column(name="expected_largest", label="expected if normal", kind="number", digits=2),
        Column(name="beyond_3", label="beyond 3", kind="count"),
    ]


def described(name: str, values: Array) -> dict[str, Any]:
    """Row of such a table for standardised values."""
    n = len(values)
    centred = values - values.mean()
    spread = float(np.mean(centred**2))
    # median of the largest absolute value of n standard normal ones
    expected = float(special.ndtri((1.0 + 0.5 ** (1.0 / n)) / 2.0))
    return {
        "of": name,
        "n": n,
        "skewness": float(np.mean(centred**3) / spread**1.5) if spread > 0 else np.nan,
        "kurtosis": float(np.mean(centred**4) / spread**2 - 3.0) if spread > 0 else np.nan,
        "largest": float(np.abs(values).max()),
        "expected_largest": expected,
        "beyond_3": int((np.abs(values) > FAR).sum()),
    }


def vif(fit: LinearFit | GeneralisedFit) -> Table:
    """Variance inflation factors: how much each coefficient's variance grows because terms overlap.

    Formula: the diagonal of the inverse of the correlation matrix of the coefficients' covariance, without the
    intercept: ``VIF_j = [R^-1]_jj``.
    """
    core: Any = fit.core
    whole = core.solution.vcov if fit.family == "gaussian" else core.vcov
    fine = np.isfinite(np.diag(whole))
    keep = [k for k, term in enumerate(fit.terms) if term != "(Intercept)" and fine[k]]
    vcov = whole[np.ix_(keep, keep)]
    precision = np.linalg.inv(vcov)
    values = np.diag(vcov) * np.diag(precision)
    rows = [{"term": fit.terms[k], "vif": float(value)} for k, value in zip(keep, values, strict=True)]
    columns = [Column(name="term"), Column(name="vif", label="VIF", kind="number", digits=2)]
    note = "1: no overlap with the other terms; above 10 a coefficient can hardly be told from the others."
    return Table(rows, columns, title="Variance inflation factors", notes=(note,))


def variance_explained(fit: LinearFit) -> Table:
    """Share of variance explained by the fixed effects, and by fixed and random effects.

    Formula: ``R2_m = v_f / (v_f + sum_l v_l + sigma^2)``, ``R2_c = (v_f + sum_l v_l) / (...)`` with ``v_f`` the variance of
    ``X beta``. Source: Nakagawa and Schielzeth (2013), doi:10.1111/j.2041-210x.2012.00261.x; Johnson (2014),
    doi:10.1111/2041-210X.12225 for random slopes.
    """
    fixed = float(np.var(fit.predict(random=False)))
    parts, residual = variance_parts(fit)
    total = fixed + float(parts.sum()) + residual
    rows = [
        {"of": "fixed effects (marginal)", "share": fixed / total},
        {"of": "fixed and random effects (conditional)", "share": (fixed + float(parts.sum())) / total},
    ]
    columns = [Column(name="of", label="explained by"), Column(name="share", label="R2", kind="percent", digits=1)]
    return Table(rows, columns, title="Variance explained")
