"""Profile-likelihood intervals of fixed effects, standard deviations, correlations and shares of variance.

A limit is where the criterion, minimised over everything else, has risen by the quantile of chi-squared with one
degree of freedom. Fixed effects, standard deviations and correlations are profiled on the ML deviance, as lme4
does; shares of variance on the fit's own criterion.

Source: Venzon and Moolgavkar (1988), doi:10.2307/2347496; Bates, Maechler, Bolker and Walker (2015),
doi:10.18637/jss.v067.i01, section 5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from math import exp, log, pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, special

from wwc_eval.errors import check_number
from wwc_eval.multilevel.charts import Chart, CorrelationChart, DeviationChart, ResidualChart
from wwc_eval.multilevel.engine.solve import Problem, Solution, solve
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["chart_limits", "fixed_intervals", "limits", "maximum_likelihood", "variance_intervals"]

NEAR_ZERO = 1e-4
"""A standard deviation at this share of its estimate stands for zero."""
FARTHEST = 60


def maximum_likelihood(fit: LinearFit) -> Solution:
    """The ML fit of the same model (the fit itself where it is one)."""
    solution = fit.core.solution
    if not solution.problem.reml:
        return solution
    criterion = replace(solution.problem.criterion, reml=False)
    return solve(replace(solution.problem, criterion=criterion), begin=solution.gammas)


def limits(
    rise: Callable[[float], float], at: float, step: float, bounds: tuple[float, float], level: float
) -> tuple[float, float]:
    """Where a profiled criterion has risen by the chi-squared quantile on either side of its minimum.

    Parameters
    ----------
    rise : callable
        Criterion at a value minus its minimum.
    at, step : float
        Estimate, and a first guess of half the interval's width.
    bounds : pair of float
        Where the parameter ends; the limit is the bound where the criterion has not risen enough there.
    level : float
        Coverage.

    Returns
    -------
    float, float
        NaN where the search beside the estimate ends above the minimum, so that nothing brackets a limit.
    """
    wanted = float(special.chdtri(1.0, 1.0 - level))
    found = []
    rise = cache(rise)  # a bracket must keep its signs
    rise(at)  # searched for from the fit itself, before the search goes astray
    for side, bound in ((-1.0, bounds[0]), (1.0, bounds[1])):
        inner, gap, outer = at, step, at
        for _ in range(FARTHEST):
            outer = max(outer + side * gap, bound) if side < 0 else min(outer + side * gap, bound)
            if rise(outer) >= wanted or outer == bound:
                break
            inner, gap = outer, 1.6 * gap
        if rise(outer) < wanted:
            found.append(bound)
            continue
        if not rise(inner) < wanted:
            found.append(float("nan"))
            continue

        def gap_of(value: float) -> float:
            return sqrt(max(rise(value), 0.0)) - sqrt(wanted)

        found.append(float(optimize.brentq(gap_of, inner, outer, xtol=1e-9 * max(abs(at), step), rtol=1e-11)))
    return found[0], found[1]


# --- fixed effects


def fixed_intervals(
    fit: LinearFit, terms: str | Sequence[str] | None = None, *, level: float | None = None
) -> Table:
    """Profile-likelihood intervals of fixed effects."""
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    asked = list(fit.terms) if terms is None else [terms] if isinstance(terms, str) else list(terms)
    places = fit.places_of(asked)
    solution = maximum_likelihood(fit)
    rows = []
    for place in places:
        name = fit.terms[place]
        contrast = np.eye(len(fit.terms))[place]
        se = sqrt(solution.vcov[place, place])
        low, high = limits(
            _fixed_rise(solution, contrast), solution.beta[place], 2.0 * se, (-np.inf, np.inf), coverage
        )
        rows.append({"term": name, "estimate": float(solution.beta[place]), "ci_low": low, "ci_high": high})
    return _table(rows, coverage, "Profile-likelihood intervals of fixed effects", "term")


def _fixed_rise(solution: Solution, contrast: Array) -> Callable[[float], float]:
    """Rise of the ML deviance as a contrast of the fixed effects is held at a value.

    Formula: holding ``a' beta = c`` adds ``(c - a' beta)^2 / (a' A_xx^-1 a)`` to the residual sum of squares.
    """
    problem, prepared = solution.problem, solution.problem.prepared
    a = np.asarray(np.linalg.solve(prepared.X_root.T, contrast), dtype=float) * prepared.y_scale
    offset = float(contrast @ prepared.beta_0)
    state = {"theta": problem.parameters.theta(solution.gammas)}

    def rise(value: float) -> float:
        def objective(theta: Array) -> tuple[float, Array]:
            return _held(problem, theta, a, value - offset)

        edges = [(0.0 if pivot else None, None) for pivot in problem.parameters.diagonal]
        found = _descend(objective, state["theta"], edges)
        state["theta"] = found.x
        return float(found.fun) - solution.minimum.value

    return rise


def _held(problem: Problem, theta: Array, a: Array, value: float) -> tuple[float, Array]:
    factors = problem.parameters.factors(theta)
    A, log_det, tape = problem.criterion.engine.reduce(factors)
    n, p = problem.prepared.n, len(a)
    inverse = np.linalg.inv(A[:p, :p])
    beta = inverse @ A[:p, p]
    beta = beta + inverse @ a * (value - a @ beta) / (a @ inverse @ a)
    direction = np.r_[-beta, 1.0]
    rest = float(direction @ A @ direction)
    slopes = problem.criterion.engine.pull_back(tape, np.outer(direction, direction) * (n / rest))
    return log_det + n * (1.0 + log(2.0 * pi * rest / n)), problem.parameters.gradient(factors, slopes)


def _descend(
    objective: Callable[[Array], tuple[float, Array]],
    start: Array,
    edges: Sequence[tuple[float | None, float | None]],
) -> Any:
    return optimize.minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=edges,
        options={"ftol": 1e-14, "gtol": 1e-7, "maxiter": 300},
    )


# --- variances


def variance_intervals(fit: LinearFit, *, level: float | None = None) -> Table:
    """Profile-likelihood intervals of standard deviations and correlations, the residual last."""
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    solution = maximum_likelihood(fit)
    problem, prepared = solution.problem, solution.problem.prepared
    order = {grouping.name: place for place, grouping in enumerate(prepared.groupings)}
    sigma = sqrt(solution.unit)
    rows = []
    for grouping in fit.data.groupings:
        at = order[grouping.name]
        covariance = solution.covariances[at]
        size = np.sqrt(np.diag(covariance))
        norms = np.sqrt(np.mean(grouping.Z**2, axis=0))
        scales = np.where(size > 0, size, sigma / norms) / sigma
        for i, j in grouping.entries:
            names = {"group": grouping.name, "term_1": grouping.columns[j], "term_2": grouping.columns[i]}
            if i == j:
                names["term_2"] = ""
                chart: Chart = DeviationChart(problem, at, i, scales)
                estimate, step = float(size[i]), 0.5 * float(scales[i]) * sigma
                low, high = _spread_limits(solution, chart, estimate, step, coverage)
            else:
                known = size[i] * size[j] > 0
                estimate = float(covariance[i, j] / (size[i] * size[j])) if known else np.nan
                low = high = np.nan
                if known:
                    chart = CorrelationChart(problem, at, [j, i], scales)
                    low, high = chart_limits(solution, chart, (estimate, 0.25), (-1.0, 1.0), coverage)
            rows.append({**names, "estimate": estimate, "ci_low": low, "ci_high": high})
    low, high = _spread_limits(solution, ResidualChart(problem), sigma, 0.2 * sigma, coverage)
    of_one = sqrt(prepared.weight_scale)  # limits are those of a row of average weight
    rows.append(
        {
            "group": "Residual",
            "term_1": "",
            "term_2": "",
            "estimate": sigma * of_one,
            "ci_low": low * of_one,
            "ci_high": high * of_one,
        }
    )
    return _table(
        rows, coverage, "Profile-likelihood intervals of variance parameters", "group", "term_1", "term_2"
    )


def _spread_limits(solution: Solution, chart: Chart, at: float, step: float, level: float) -> tuple[float, float]:
    """Limits of a standard deviation, zero where the data do not exclude it."""
    edge = NEAR_ZERO * max(step, at)
    low, high = chart_limits(solution, chart, (max(at, edge), step), (edge, np.inf), level)
    return (0.0 if low <= edge else low), high


def chart_limits(
    solution: Solution, chart: Chart, guess: tuple[float, float], bounds: tuple[float, float], level: float
) -> tuple[float, float]:
    """Profile limits of the quantity that a chart holds.

    Parameters
    ----------
    solution : Solution
        The fit, on whose criterion the quantity is profiled.
    chart : Chart
        Coordinates in which it is held.
    guess : pair of float
        Estimate, and a guess of half the interval's width.
    bounds : pair of float
        Where the quantity ends.
    level : float
        Coverage.
    """
    problem = solution.problem
    log_sigma = 0.5 * log(solution.profile.sigma2)
    pivots = np.array(chart.pivots, dtype=bool)
    edges = chart.edges(log_sigma)
    last: list[Array] = []

    def rise(value: float) -> float:
        inside = min(max(value, bounds[0] + 1e-9), bounds[1] - 1e-9) if bounds[0] == -1.0 else value

        def objective(point: Array) -> tuple[float, Array]:
            roots, scale = chart.roots(point, inside)
            if chart.own_scale:
                found, slopes, along = _unprofiled(problem, roots, scale)
            else:
                (found, slopes), along = problem.criterion.slopes(roots), 0.0
            return found, chart.pull(point, inside, slopes, along)

        begin = chart.start(solution.gammas, log_sigma, inside)
        if not len(begin):
            return objective(begin)[0] - solution.minimum.value
        best = _descend(objective, last[-1] if last else begin, edges)
        if not last or bool(np.any(best.x[pivots] < 1e-3)):
            # zero is a stationary point of a pivot: come from inside and from the fit as well
            for start in (begin, np.where(pivots, np.maximum(begin, 0.3), begin)):
                other = _descend(objective, start, edges)
                best = other if other.fun < best.fun else best
        last.append(np.asarray(best.x))
        return float(best.fun) - solution.minimum.value

    return limits(rise, *guess, bounds, level)


def _unprofiled(problem: Problem, roots: Sequence[Array], log_sigma: float) -> tuple[float, list[Array], float]:
    """Criterion with the residual variance as a parameter, and its derivatives."""
    A, log_det, tape = problem.criterion.engine.reduce(roots)
    p, n = len(A) - 1, problem.prepared.n
    df = n - p if problem.reml else n
    inverse = np.linalg.inv(A[:p, :p])
    direction = np.r_[-inverse @ A[:p, p], 1.0]
    rest, sigma2 = float(direction @ A @ direction), exp(2.0 * log_sigma)
    value = log_det + df * (log(2.0 * pi) + 2.0 * log_sigma) + rest / sigma2
    adjoint = np.outer(direction, direction) / sigma2
    if problem.reml:
        value += float(np.linalg.slogdet(A[:p, :p])[1])
        adjoint[:p, :p] += inverse
    return value, problem.criterion.engine.pull_back(tape, adjoint), 2.0 * (df - rest / sigma2)


def _table(rows: list[dict[str, Any]], level: float, title: str, *labels: str) -> Table:
    columns = [Column(name=label) for label in labels]
    columns += [
        Column(name="estimate", kind="number", digits=4),
        Column(name="ci_low", label=f"{100 * level:g}% low", kind="number", digits=4),
        Column(name="ci_high", label=f"{100 * level:g}% high", kind="number", digits=4),
    ]
    note = "Estimates and limits of the maximum likelihood fit."
    return Table(rows, columns, title=title, notes=(note,))
