"""The verb ``multilevel_model``: check what is asked, read the data, fit, and return a :class:`MultilevelFit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, check_choice, check_number
from wwc_eval.formula import Formula
from wwc_eval.multilevel.core import LinearCore
from wwc_eval.multilevel.engine.solve import Solution, problem_of, solve
from wwc_eval.multilevel.fit import MultilevelFit
from wwc_eval.multilevel.linear import LinearFit
from wwc_eval.multilevel.reading import ModelData, read_model

__all__ = ["FITTERS", "fit_linear", "multilevel_model", "solution_of"]


def multilevel_model(
    formula: str | Formula,
    data: Any,
    *,
    family: str = "gaussian",
    method: str | None = None,
    quadrature_points: int = 1,
    exposure: str | Sequence[float] | None = None,
    weights: str | Sequence[float] | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    level: float = 0.95,
) -> MultilevelFit:
    """Fit a multilevel (mixed) model.

    Parameters
    ----------
    formula : str or Formula
        Fixed and random part: ``"y ~ arm + x + (1 + x | la/school)"``. ``a/b`` is nested, ``a:b`` an interaction,
        ``||`` makes the effects of a bracket independent; several brackets may cross.
    data : DataFrame
        One row per unit; pandas, or anything narwhals reads. Not changed.
    family : {"gaussian", "binomial", "poisson", "negative_binomial", "negative_binomial_1"}
        Outcome family: identity link for the first, logit for the second, log for the others.
    method : str, optional
        ``"reml"`` (default) or ``"ml"`` for a gaussian outcome, ``"laplace"`` (default) or ``"agq"`` for others.
    quadrature_points : int
        Points of adaptive Gauss-Hermite quadrature, for one random intercept; a gaussian outcome needs none.
    exposure : str or array, optional
        Time or population at risk, for counts.
    weights : str or array, optional
        Precision weights above 0, as lme4's: the residual variance of a row is sigma squared divided by its
        weight.
    levels : mapping, optional
        Declared levels of factors in order, the reference first.
    level : float
        Coverage of the intervals.

    Returns
    -------
    MultilevelFit
        With Satterthwaite's degrees of freedom for a gaussian outcome; ``with_inference`` gives others.

    Raises
    ------
    FormulaError
        If the formula does not parse or does not fit the data.
    DataError
        If the outcome does not vary or a weight is not above 0.
    DesignError
        If options do not go together, or the groups cannot carry a variance: a single group, or as many random
        effects as rows.

    Notes
    -----
    Formula: ``y = X beta + sum_l Z_l b_l + e`` with ``b_l ~ N(0, Sigma_l)``, ``e ~ N(0, sigma^2)``; the REML
    criterion or the ML deviance is profiled over beta and sigma (Bates, Maechler, Bolker and Walker 2015,
    doi:10.18637/jss.v067.i01) and minimised with exact derivatives.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> school = np.repeat(np.arange(12), 10)
    >>> y = 0.5 * (school % 2) + rng.normal(size=12)[school] + rng.normal(size=120)
    >>> children = pd.DataFrame({"score": y, "school": school, "programme": school % 2})
    >>> fit = multilevel_model("score ~ programme + (1 | school)", children)
    >>> fit.status, fit.groups, round(fit.estimates["programme"].df, 1)
    ('ok', {'school': 12}, 10.0)
    """
    fitter = FITTERS[check_choice("family", family, tuple(FITTERS))]
    check_number("level", level, above=0, below=1)
    model = read_model(formula, data, levels=levels, weights=weights, exposure=exposure)
    return fitter(model, method, quadrature_points, level)


def fit_linear(data: ModelData, method: str | None, quadrature_points: int, level: float) -> LinearFit:
    """Fit a linear mixed model to data that were read.

    Raises
    ------
    DesignError, DataError, ConvergenceError
        As :func:`multilevel_model` says.
    """
    kind = check_choice("method", method or "reml", ("reml", "ml"))
    if quadrature_points != 1:
        raise DesignError(
            f"quadrature_points == {quadrature_points}, and a gaussian outcome needs no quadrature",
            fix="leave it out",
        )
    if data.exposure is not None:
        raise DesignError("exposure goes with a count, and family == 'gaussian'", fix="leave out exposure")
    if data.design.trials is not None:
        raise DesignError(
            f"'{data.formula.text.split(' ~ ', maxsplit=1)[0]}' is a share, and family == 'gaussian'",
            fix="use family='binomial'",
        )
    _check_outcome(data)
    return LinearFit(data=data, level=level, core=LinearCore(solution_of(data, reml=kind == "reml")))


def solution_of(data: ModelData, *, reml: bool) -> Solution:
    """Minimise the criterion of a linear mixed model."""
    return solve(problem_of(data.design.y, data.design.X, data.groupings, reml=reml, weights=data.weights))


def _check_outcome(data: ModelData) -> None:
    """Refuse an outcome that does not vary, and more coefficients than rows."""
    y, (n, p) = data.design.y, data.design.X.shape
    name = data.formula.text.split(" ~ ", maxsplit=1)[0]
    if float(np.ptp(y)) == 0.0:
        raise DataError(
            f"the outcome '{name}' is {y[0]:g} in all {n:,} rows used",
            place=Place(column=name),
            rule="an outcome must vary",
            fix="check the outcome and the exclusions",
        )
    if n <= p:
        raise DesignError(
            f"{n:,} rows cannot carry {p:,} coefficients and a variance",
            fix="leave terms out, or find out why rows were dropped",
        )


def _fit_generalised(family: str) -> Callable[[ModelData, str | None, int, float], MultilevelFit]:
    """Fitter of a generalised family, loaded when it is used."""

    def fit(data: ModelData, method: str | None, quadrature_points: int, level: float) -> MultilevelFit:
        from wwc_eval.multilevel.generalised import fit_generalised

        return fit_generalised(data, method, quadrature_points, level, family=family)

    return fit


FITTERS: dict[str, Callable[[ModelData, str | None, int, float], MultilevelFit]] = {
    "gaussian": fit_linear,
    **{
        family: _fit_generalised(family)
        for family in ("binomial", "poisson", "negative_binomial", "negative_binomial_1")
    },
}
"""What fits each family."""
