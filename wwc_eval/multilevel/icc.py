"""Intraclass correlations of a linear mixed model: the share of variance of each grouping factor, with intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import ConvergenceError, DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.multilevel.charts import ShareChart
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.profiles import chart_limits
from wwc_eval.multilevel.small_sample.satterthwaite import variance_covariance

if TYPE_CHECKING:
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["icc", "variance_parts"]

METHODS = ("exact", "profile")
_CITATIONS = {
    "exact": "Searle 1971, Linear Models; Donner 1986, doi:10.2307/1403259",
    "profile": "Venzon and Moolgavkar 1988, doi:10.2307/2347496",
}


def icc(fit: LinearFit, *, method: str | None = None, level: float | None = None) -> Estimates:
    """Share of the total variance that lies between the groups of each grouping factor.

    Parameters
    ----------
    fit : LinearFit
        The model. Covariates in it make the shares conditional on them.
    method : {"exact", "profile"}, optional
        Interval: exact from the F distribution (a balanced one-way model only), or profile likelihood. The
        exact one where it can be had, if nothing is said.
    level : float, optional
        Coverage.

    Returns
    -------
    Estimates
        One for each grouping factor in formula order. ``details["correlation"]`` is the correlation of two rows
        that share a group of this factor and of every factor above it: the sum of shares from the top down.

    Raises
    ------
    DesignError
        If the exact interval is asked of a model that is not balanced and one-way.
    ConvergenceError
        If the fit failed.

    Notes
    -----
    Formula: ``rho_l = v_l / (sum_k v_k + sigma^2)`` with ``v_l`` the average over the rows of ``z' Sigma_l z``, which
    is the variance itself for a random intercept. Exact interval: with ``F = MSB / MSW`` and m rows in each
    of G groups, ``(F / F_u - 1) / (F / F_u + m - 1)`` (Searle 1971). Standard errors are by the delta method.
    """
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    if fit.status == "failed":
        raise ConvergenceError(
            fit.message.rstrip("."), fix="change the model before asking for shares of variance"
        )
    balanced = _balanced(fit)
    if method is not None:
        check_choice("method", method, METHODS)
        if method == "exact" and not balanced:
            raise DesignError(
                "the exact interval needs one random intercept, no covariates, and groups of one size",
                fix="use method='profile'",
            )
    chosen = method or ("exact" if balanced else "profile")
    shares, errors = _shares(fit)
    rows = []
    for place, grouping in enumerate(fit.data.groupings):
        if chosen == "exact":
            low, high = _exact(fit, coverage)
        else:
            low, high = _profile(fit, grouping.name, shares[place], coverage)
        rows.append(_estimate(fit, place, (shares, errors), (low, high, coverage), chosen))
    return Estimates(rows, title=f"Intraclass correlations. {fit._words}: {fit.formula}")


def variance_parts(fit: LinearFit) -> tuple[Array, float]:
    """Average variance over the rows from each grouping factor (formula order), and from the residual."""
    found = []
    for grouping, covariance in zip(fit.data.groupings, fit.covariances, strict=True):
        average = grouping.Z.T @ grouping.Z / fit.n
        found.append(sum(_within(average, covariance, block) for block in grouping.blocks))
    weights = fit.data.weights
    rest = fit.residual_variance * (1.0 if weights is None else float(np.mean(1.0 / weights)))
    return np.array(found), rest


def _within(average: Array, covariance: Array, block: tuple[int, ...]) -> float:
    at = np.ix_(block, block)
    return float(np.sum(average[at] * covariance[at]))


def _shares(fit: LinearFit) -> tuple[Array, Array]:
    """Shares and their standard errors by the delta method."""
    parts, rest = variance_parts(fit)
    total = float(parts.sum()) + rest
    solution = fit.core.solution
    values, covariance = variance_covariance(solution, fit.core.sensitivity)
    groupings = solution.problem.prepared.groupings
    order = [grouping.name for grouping in groupings]
    # in the orthonormal basis a factor's average variance is the sum of its diagonal entries
    owner = np.concatenate([np.full(len(g.entries), k) for k, g in enumerate(groupings)])
    pivot = np.concatenate([[i == j for i, j in g.entries] for g in groupings])
    residual_slope = rest / values[-1]
    errors = []
    for grouping, part in zip(fit.data.groupings, parts, strict=True):
        own = (owner == order.index(grouping.name)) & pivot
        slope = np.r_[np.where(own, 1.0 / total, 0.0) - np.where(pivot, part / total**2, 0.0), 0.0]
        slope[-1] = -part / total**2 * residual_slope
        errors.append(math.sqrt(max(float(slope @ covariance @ slope), 0.0)))
    return parts / total, np.array(errors)


def _profile(fit: LinearFit, name: str, at: float, level: float) -> tuple[float, float]:
    solution = fit.core.solution
    names = [grouping.name for grouping in solution.problem.prepared.groupings]
    weights = solution.problem.prepared.weights
    residual = 1.0 if weights is None else float(np.mean(1.0 / weights))
    chart = ShareChart(solution.problem, names.index(name), residual)
    edge = 1e-7
    # a share may be so near 1 that what is left of the variance is smaller than the edge
    end = 1.0 - min(edge, max((1.0 - at) / 100.0, 1e-15))
    begin = min(max(at, edge), end)
    low, high = chart_limits(solution, chart, (begin, 0.1), (edge, end), level)
    return (0.0 if low <= edge else low), high


def _balanced(fit: LinearFit) -> bool:
    grouping = fit.data.groupings[0]
    one_way = len(fit.data.groupings) == 1 and grouping.columns == ("(Intercept)",)
    plain = fit.terms == ("(Intercept)",) and fit.data.weights is None
    return bool(one_way and plain and len(np.unique(np.bincount(grouping.codes))) == 1)


def _exact(fit: LinearFit, level: float) -> tuple[float, float]:
    """Limits from the F distribution of the ratio of mean squares."""
    grouping, y = fit.data.groupings[0], fit.data.design.y
    groups, n = grouping.n_groups, fit.n
    size = n // groups
    means = np.bincount(grouping.codes, weights=y) / size
    between = size * float(np.sum((means - y.mean()) ** 2)) / (groups - 1)
    within = float(np.sum((y - means[grouping.codes]) ** 2)) / (n - groups)
    ratio, tail = between / within, (1.0 - level) / 2.0
    low = ratio / special.fdtri(groups - 1, n - groups, 1.0 - tail)
    high = ratio / special.fdtri(groups - 1, n - groups, tail)
    return max(float((low - 1.0) / (low + size - 1.0)), 0.0), float((high - 1.0) / (high + size - 1.0))


def _estimate(
    fit: LinearFit,
    place: int,
    found: tuple[Array, Array],
    interval: tuple[float, float, float],
    method: str,
) -> Estimate:
    shares, errors = found
    grouping = fit.data.groupings[place]
    boundary = shares[place] == 0.0
    details: dict[str, Any] = {"interval": method}
    if fit.core.solution.problem.nested:
        outer = [k for k, other in enumerate(fit.data.groupings) if other.n_groups <= grouping.n_groups]
        details["correlation"] = float(sum(shares[k] for k in outer))
    covariates = "" if fit.terms == ("(Intercept)",) else ", given the covariates"
    kind = "exact F" if method == "exact" else "profile-likelihood"
    return Estimate(
        term=grouping.name,
        estimate=float(shares[place]),
        se=math.nan if boundary else float(errors[place]),
        df=math.nan,
        statistic=math.nan,
        p_value=math.nan,
        ci_low=interval[0],
        ci_high=interval[1],
        level=interval[2],
        scale="variance_share",
        units="share of variance",
        method=f"{fit._words}: share of variance between groups{covariates}; {kind} interval",
        n=fit.n,
        n_clusters=grouping.n_groups,
        citation=_CITATIONS[method],
        details=details,
    )
