"""How much groups differ: latent intraclass correlations, coefficients of variation, and intervals of variances."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.multilevel.engine.covariance import lower_root
from wwc_eval.multilevel.engine.structure import Array, Grouping
from wwc_eval.multilevel.generalised.predictions import require_fit
from wwc_eval.multilevel.generalised.prepare import prepare
from wwc_eval.multilevel.generalised.search import search
from wwc_eval.multilevel.generalised.solve import Solution, blocks_of, objective_of
from wwc_eval.multilevel.profiles import limits
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit

__all__ = ["LOGISTIC_VARIANCE", "icc", "parts_of", "variance_intervals"]

LOGISTIC_VARIANCE = math.pi**2 / 3.0
LARGEST = 20.0
"""Standard deviation at which a profile stops: the limit is then infinite for any purpose."""
ICC_CITATION = "Nakagawa, Johnson and Schielzeth 2017, doi:10.1098/rsif.2017.0213"
K_CITATION = "Hayes and Moulton 2017, Cluster Randomised Trials, second edition, section 2.3"


# --- intraclass correlation and coefficient of variation


def icc(fit: GeneralisedFit, *, method: str | None = None, level: float | None = None) -> Estimates:
    """Heterogeneity between the groups of each grouping factor.

    Parameters
    ----------
    fit : GeneralisedFit
        The model. Covariates in it make the figures conditional on them.
    method : {"profile", "delta"}, optional
        Interval: by profile likelihood, for a single random intercept (the default there), or by the delta method.
    level : float, optional
        Coverage.

    Returns
    -------
    Estimates
        Binomial: the share of the latent variance of each factor (term: its name), with
        ``details["correlation"]``, that of two rows which share a group of this factor and of all above it.
        Counts: k, the coefficient of variation of the rate between the groups of each factor (scale
        ``coefficient_of_variation``).

    Raises
    ------
    DesignError
        If a profile interval is asked of more than a single random intercept.
    ConvergenceError
        If there is no fit.

    Notes
    -----
    Formula: ``v_l / (sum_k v_k + pi^2 / 3)``, and ``k_l = sqrt(exp(v_l) - 1)``, with ``v_l`` the average over the rows
    of ``z' Sigma_l z``. Intervals: profile likelihood of the standard deviation for a single random intercept, else
    by the delta method (on the logit of a share, the logarithm of k). Sources: Nakagawa, Johnson and Schielzeth
    (2017), doi:10.1098/rsif.2017.0213; Hayes and Moulton (2017), Cluster Randomised Trials.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from wwc_eval.multilevel.generalised import fit_generalised
    >>> from wwc_eval.multilevel.reading import read_model
    >>> rng = np.random.default_rng(3)
    >>> team = np.repeat(np.arange(20), 30)
    >>> hit = (rng.random(600) < 1 / (1 + np.exp(rng.normal(size=20)[team]))) * 1
    >>> children = pd.DataFrame({"hit": hit, "team": team})
    >>> model = read_model("hit ~ 1 + (1 | team)", children, levels=None, weights=None, exposure=None)
    >>> found = icc(fit_generalised(model, None, 1, 0.95, family="binomial"))["team"]
    >>> bool(0 < found.ci_low < found.estimate < found.ci_high < 1)
    True
    """
    require_fit(fit)
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    values, gradients = _parts(fit)
    binomial = fit.family == "binomial"
    single = len(fit.data.groupings) == 1 and fit.data.groupings[0].width == 1
    if method is not None:
        check_choice("method", method, ("profile", "delta"))
    if method == "profile" and not single:
        raise DesignError(
            "a profile interval needs a single random intercept", fix="use method='delta' or 'bootstrap'"
        )
    profile = variance_intervals(fit, level=coverage).rows[0] if single and method != "delta" else None
    rows = []
    for place, grouping in enumerate(fit.data.groupings):
        if binomial:
            total = float(values.sum()) + LOGISTIC_VARIANCE
            value = float(values[place]) / total
            slope = (gradients[place] - value * gradients.sum(0)) / total
        else:
            value = math.sqrt(math.expm1(values[place]))
            slope = gradients[place] * (math.exp(values[place]) / (2.0 * value) if value > 0 else 0.0)
        variance = float(slope @ fit.core.joint_covariance @ slope)
        se = math.sqrt(max(variance, 0.0)) if value > 0 else math.nan
        if profile is not None:
            unit = float(np.mean(grouping.Z**2))
            ends = (_share(profile["ci_low"], unit, binomial), _share(profile["ci_high"], unit, binomial))
        else:
            ends = _delta(value, se, coverage, binomial)
        details: dict[str, Any] = {"interval": "profile" if profile is not None else "delta"}
        if binomial and fit.core.prepared is not None and fit.core.prepared.layout.nested:
            outer = [k for k, other in enumerate(fit.data.groupings) if other.n_groups <= grouping.n_groups]
            details["correlation"] = float(values[outer].sum()) / (float(values.sum()) + LOGISTIC_VARIANCE)
        rows.append(_row(fit, grouping, (value, se), (*ends, coverage), details))
    what = "Latent intraclass correlations" if binomial else "Coefficients of variation between groups"
    return Estimates(rows, title=f"{what}. {fit._words}: {fit.formula}")


def _share(sd: float, unit: float, binomial: bool) -> float:
    variance = sd * sd * unit
    if binomial:
        return variance / (variance + LOGISTIC_VARIANCE) if math.isfinite(variance) else 1.0
    return math.sqrt(math.expm1(variance)) if variance < 700 else math.inf


def _delta(value: float, se: float, level: float, binomial: bool) -> tuple[float, float]:
    if not (value > 0 and math.isfinite(se)):
        return math.nan, math.nan
    reach = float(special.ndtri(0.5 + 0.5 * level))
    if binomial:
        centre, spread = float(special.logit(value)), se / (value * (1.0 - value))
        return float(special.expit(centre - reach * spread)), float(special.expit(centre + reach * spread))
    ratio = math.exp(reach * se / value)
    return value / ratio, value * ratio


def _row(
    fit: GeneralisedFit,
    grouping: Grouping,
    found: tuple[float, float],
    interval: tuple[float, float, float],
    details: dict[str, Any],
) -> Estimate:
    binomial = fit.family == "binomial"
    covariates = "" if fit.terms == ("(Intercept)",) else ", given the covariates"
    what = "share of the latent (logistic) variance" if binomial else "coefficient of variation of the rate"
    kind = "profile-likelihood" if details["interval"] == "profile" else "delta-method"
    return Estimate(
        term=grouping.name,
        estimate=found[0],
        se=found[1],
        df=math.nan,
        statistic=math.nan,
        p_value=math.nan,
        ci_low=interval[0],
        ci_high=interval[1],
        level=interval[2],
        scale="variance_share" if binomial else "coefficient_of_variation",
        units="share of latent variance" if binomial else "coefficient of variation k",
        method=f"{fit._words}: {what} between groups{covariates}; {kind} interval",
        n=fit.n,
        n_clusters=grouping.n_groups,
        citation=ICC_CITATION if binomial else K_CITATION,
        details=details,
    )


def parts_of(fit: GeneralisedFit) -> Array:
    """Average variance over the rows from each grouping factor, in formula order."""
    require_fit(fit)
    return _parts(fit)[0]


def _parts(fit: GeneralisedFit) -> tuple[Array, Array]:
    """Average variance over the rows from each factor (formula order), and gradients in all parameters."""
    core = fit.core
    assert core.prepared is not None
    assert core.optimum is not None
    prepared, psi = core.prepared, core.optimum.psi
    root = prepared.roots.root(psi[: prepared.roots.size])
    rows, columns = np.array(prepared.roots.rows), np.array(prepared.roots.columns)
    names = [grouping.name for grouping in prepared.groupings]
    values, gradients = [], []
    for grouping in fit.data.groupings:
        at = names.index(grouping.name)
        part = prepared.layout.parts[at]
        Z = grouping.Z @ np.linalg.inv(prepared.bases[at])
        average = np.zeros_like(root)
        average[part, part] = Z.T @ Z / len(Z)
        values.append(float(np.sum(average * (root @ root.T))))
        gradient = np.zeros(len(psi))
        gradient[: prepared.roots.size] = 2.0 * (average @ root)[rows, columns]
        gradients.append(gradient)
    return np.array(values), np.array(gradients)


# --- intervals of variances


def variance_intervals(fit: GeneralisedFit, *, level: float | None = None) -> Table:
    """Intervals of the standard deviations (profile likelihood) and correlations (Wald on the z scale).

    A limit of a standard deviation is where twice the log-likelihood, maximised over everything else, has fallen by the
    quantile of chi-squared with one degree of freedom; zero where it does not fall so far.
    Source: Venzon and Moolgavkar (1988), doi:10.2307/2347496.

    Parameters
    ----------
    fit : GeneralisedFit
        The model.
    level : float, optional
        Coverage.

    Returns
    -------
    Table
        group, term_1, term_2 (of a correlation), estimate, ci_low, ci_high.

    Raises
    ------
    ConvergenceError
        If there is no fit.
    """
    require_fit(fit)
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    rows = []
    for place, grouping in enumerate(fit.data.groupings):
        covariance = fit.covariances[place]
        size = np.sqrt(np.diag(covariance))
        for i, j in grouping.entries:
            if i == j:
                low, high = _profile(fit.core, grouping.name, i, float(size[i]), coverage)
                estimate, other = float(size[i]), ""
            else:
                estimate, low, high = _correlation(fit, place, (i, j), coverage)
                other = grouping.columns[i]
            rows.append(
                {
                    "group": grouping.name,
                    "term_1": grouping.columns[j],
                    "term_2": other,
                    "estimate": estimate,
                    "ci_low": low,
                    "ci_high": high,
                }
            )
    columns = [
        Column(name="group"),
        Column(name="term_1", label="term"),
        Column(name="term_2", label="with"),
        Column(name="estimate", label="SD or correlation", kind="number", digits=4),
        Column(name="ci_low", label=f"{100 * coverage:g}% low", kind="number", digits=4),
        Column(name="ci_high", label="high", kind="number", digits=4),
    ]
    return Table(rows, columns, title="Intervals of variance parameters")


def _profile(core: Solution, name: str, column: int, at: float, level: float) -> tuple[float, float]:
    """Profile limits of one standard deviation: a first pivot, held, after the columns are put in that order."""
    rise, unit = _rise(core, name, column)
    top = LARGEST / unit
    step = max(0.5 * at, 0.1 / unit)
    low, high = limits(rise, at, step, (0.0, top), level)
    return low, (math.inf if high >= top else high)


def _rise(core: Solution, name: str, column: int) -> tuple[Callable[[float], float], float]:
    """Rise of the deviance as a standard deviation is held at a value; its unit in the search."""
    assert core.prepared is not None
    assert core.optimum is not None
    inner = core.sample if core.separation is None else core.sample.take(core.rows, core.columns)
    order = {
        grouping.name: _order(grouping, column if grouping.name == name else None) for grouping in inner.groupings
    }
    moved = tuple(_reordered(grouping, order[grouping.name]) for grouping in inner.groupings)
    prepared = prepare(replace(inner, groupings=moved), orthonormal=False)
    outcome = core.outcome if not core.poisson_limit else None
    from wwc_eval.multilevel.generalised.prepare import poisson_of

    chosen = prepared.outcome if outcome is not None else poisson_of(prepared.outcome)
    objective = objective_of(prepared, core.points, chosen)
    k, p = prepared.roots.size, len(core.columns)
    blocks = blocks_of(prepared)
    whole = np.zeros((prepared.roots.m, prepared.roots.m))
    found = {g.name: c for g, c in zip(core.sample.groupings, core.covariances, strict=True)}
    for grouping, part, basis in zip(prepared.groupings, prepared.layout.parts, prepared.bases, strict=True):
        places = order[grouping.name]
        whole[part, part] = basis @ found[grouping.name][np.ix_(places, places)] @ basis.T
    theta = lower_root(whole, blocks)[list(prepared.roots.rows), list(prepared.roots.columns)]
    gamma = prepared.X_root @ core.inner_beta
    psi = np.concatenate([theta, gamma, core.optimum.psi[k + p :]])
    level = [grouping.name for grouping in prepared.groupings].index(name)
    first = prepared.layout.parts[level].start
    place = next(
        i
        for i, (row, col) in enumerate(zip(prepared.roots.rows, prepared.roots.columns, strict=True))
        if row == col == first
    )
    unit = float(prepared.bases[level][0, 0])
    best = core.optimum.value
    state = {"psi": psi}

    def rise(value: float) -> float:
        start = state["psi"].copy()
        start[place] = value * unit
        held = frozenset({place})
        end = search(objective, start, blocks=blocks, sizes=(), held=held, curvature=False)
        if np.isfinite(end.value) and value > 0:
            state["psi"] = end.psi
        return 2.0 * (end.value - best)

    return rise, unit


def _order(grouping: Grouping, first: int | None) -> list[int]:
    """Columns with one of them, and the rest of its block, first."""
    if first is None:
        return list(range(grouping.width))
    block = next(block for block in grouping.blocks if first in block)
    others = [k for k in range(grouping.width) if k not in block]
    return [first, *(k for k in block if k != first), *others]


def _reordered(grouping: Grouping, order: list[int]) -> Grouping:
    place = {column: k for k, column in enumerate(order)}
    blocks = sorted(tuple(sorted(place[k] for k in block)) for block in grouping.blocks)
    return replace(
        grouping,
        Z=grouping.Z[:, order],
        columns=tuple(grouping.columns[k] for k in order),
        blocks=tuple(blocks),
    )


def _correlation(
    fit: GeneralisedFit, place: int, pair: tuple[int, int], level: float
) -> tuple[float, float, float]:
    """Correlation with a Wald interval on Fisher's z scale, by the delta method."""
    core, grouping = fit.core, fit.data.groupings[place]
    assert core.prepared is not None
    assert core.optimum is not None
    prepared, optimum = core.prepared, core.optimum
    at = [each.name for each in prepared.groupings].index(grouping.name)
    part, back = prepared.layout.parts[at], np.linalg.inv(prepared.bases[at])
    k = prepared.roots.size
    i, j = pair

    def correlation(theta: Array) -> float:
        root = back @ prepared.roots.root(theta)[part, part]
        covariance = root @ root.T
        size = math.sqrt(covariance[i, i] * covariance[j, j])
        return float(covariance[i, j] / size) if size > 0 else math.nan

    value = correlation(optimum.psi[:k])
    if not abs(value) < 1.0 - 1e-9:
        return value, math.nan, math.nan
    gradient = np.zeros(len(optimum.psi))
    for c in np.flatnonzero(optimum.free[:k]):
        step = np.zeros(k)
        step[c] = 1e-5 * max(1.0, abs(float(optimum.psi[c])))
        up, down = correlation(optimum.psi[:k] + step), correlation(optimum.psi[:k] - step)
        gradient[c] = (up - down) / (2.0 * step[c])
    se = math.sqrt(max(float(gradient @ core.joint_covariance @ gradient), 0.0)) / (1.0 - value**2)
    reach = float(special.ndtri(0.5 + 0.5 * level)) * se
    centre = math.atanh(value)
    return value, math.tanh(centre - reach), math.tanh(centre + reach)
