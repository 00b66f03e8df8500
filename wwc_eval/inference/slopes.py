"""Average slopes: the derivative of the expected outcome with respect to a numeric column."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.formula.terms import Call, Factor, Power, Variable
from wwc_eval.inference.averages import DIFFERENCES, average_words
from wwc_eval.inference.families import Floats
from wwc_eval.inference.marginal import check_scale, clusters_of, row_weights

if TYPE_CHECKING:
    from wwc_eval.inference.fit import RegressionFit

__all__ = ["average_slope"]

STEP = 1e-3


def average_slope(
    fit: RegressionFit,
    variable: str,
    *,
    scale: str | None = None,
    level: float | None = None,
    average: str = "participants",
    cluster: str | None = None,
) -> Estimate:
    """Average derivative of the mean with respect to a numeric column."""
    fallback = {"risk_difference": "risk_difference", "rate_ratio": "rate_difference"}
    default = fallback.get(fit.fitted.family.default_contrast, "mean_difference")
    chosen = default if scale is None else check_scale(fit, scale)
    if chosen not in DIFFERENCES:
        raise DesignError(
            f"'{variable}' is numeric, and scale == '{scale}' compares levels",
            fix=f"leave out scale for the average slope, read fit.ratio('{variable}') for a conditional ratio, "
            "or cut the column into levels",
        )
    fitted = fit.fitted
    share = row_weights(fit, average=average, cluster=cluster)
    over = average_words(average, clusters_of(fit, cluster).name if average == "clusters" else None)
    X = fitted.design.X
    change = _matrix_slope(fit, variable)
    moments = fitted.moments(X)
    columns = fitted.columns
    beta = fitted.solution.beta if fitted.solution is not None else np.zeros(len(columns))
    moved = change[:, columns] @ beta
    estimate = float(share @ (moments.slope * moved)) if not _loses(fit, variable) else math.nan
    gradient = X[:, columns].T @ (share * moments.curvature * moved)
    gradient += change[:, columns].T @ (share * moments.slope)
    return fit.estimate_of(
        variable,
        estimate,
        gradient,
        scale=chosen,
        level=level,
        method=f", average slope per unit of {variable} over {over} (delta method)",
        details={"slope": True, "average": average},
    )


def _matrix_slope(fit: RegressionFit, variable: str) -> Floats:
    """Derivative of every column of the design with respect to the variable."""
    fitted = fit.fitted
    x = np.asarray(fitted.frame[variable], dtype=float)

    def at(values: Floats) -> Floats:
        return fitted.design.matrix(fitted.frame.assign(**{variable: values}))

    parts = [part for term in fitted.design.formula.fixed for part in term.factors if part.column == variable]
    repeats = max(sum(part.column == variable for part in t.factors) for t in fitted.design.formula.fixed)
    if repeats <= 2 and all(_linear(part) for part in parts):
        # a central difference is exact for products of two linear parts
        return np.asarray((at(x + 1.0) - at(x - 1.0)) / 2.0)
    spread = float(np.std(x)) or 1.0
    step = np.full_like(x, STEP * spread)
    if np.all(x >= 0):
        # a logarithm or root must not be asked below zero, and bends most near it
        step = np.where(x > 0, np.minimum(step, STEP * x), step)
    wide = at(x + 2.0 * step) - at(x - 2.0 * step)
    near_by = at(x + step) - at(x - step)
    return np.asarray((8.0 * near_by - wide) / (12.0 * step)[:, None])


def _linear(part: Factor) -> bool:
    """Whether a part is a linear function of its column."""
    if isinstance(part, Variable):
        return True
    if isinstance(part, Power):
        return part.exponent == 1 and _linear(part.argument)
    return isinstance(part, Call) and part.function in ("centre", "scale") and _linear(part.argument)


def _loses(fit: RegressionFit, variable: str) -> bool:
    """Whether a coefficient that the variable enters has no finite estimate."""
    if fit.fitted.separation is None:
        return False
    design = fit.fitted.design
    own = {j for j, term in enumerate(design.formula.fixed) if variable in term.columns}
    return any(owner in own and not fine for owner, fine in zip(design.assign, fit.fitted.estimable, strict=True))
