"""Conley-Taber and Ferman-Pinto: the law of the effect from the residuals of those who were not treated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.few_statistic import Statistic
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats
from wwc_eval.inference.inversion import linear_interval, p_value

__all__ = ["Resampled", "conley_taber", "ferman_pinto", "residuals_listed", "variance_of_population"]

LISTED = 25_000
NOTHING = 1e-9
PASSES = 4
"""Passes of the reweighted fit of the variance."""


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """A test by resampled residuals.

    Parameters
    ----------
    p_value, ci_low, ci_high : float
        Two-sided p-value and interval.
    exact : bool
        Whether all resamples are listed.
    count : int
        Resamples.
    details : dict
        What the method adds.
    """

    p_value: float
    ci_low: float
    ci_high: float
    exact: bool
    count: int
    details: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class _Even:
    """Resamples of equal weight."""

    weights: Floats
    own: float
    exact: bool


def _check(statistic: Statistic) -> NDArray[np.intp]:
    """Rows of the never treated that are seen before and after every date of adoption."""
    if len(statistic.codes) < len(statistic.blocks):
        raise DesignError(
            "clusters hold several units, whose residuals are not exchangeable one by one",
            fix="aggregate the panel to one row a cluster and period",
        )
    controls = np.flatnonzero((statistic.codes == 0)[statistic.blocks] & statistic.eligible[statistic.blocks])
    if len(controls) < 2:
        raise DesignError(
            f"{len(controls)} units are never treated and seen before and after each date, must be at least 2"
        )
    return controls


def _treated(statistic: Statistic) -> NDArray[np.intp]:
    """Rows of the treated."""
    return np.flatnonzero(statistic.codes[statistic.blocks] > 0)


def residuals_listed(statistic: Statistic) -> bool:
    """Whether :func:`conley_taber` lists all residuals that the treated could have had, and so draws nothing.

    Parameters
    ----------
    statistic : Statistic
        The effect.

    Raises
    ------
    DesignError
        If there are no residuals to take.
    """
    return bool(len(_check(statistic)) ** len(_treated(statistic)) <= LISTED)


def _contrasts(statistic: Statistic, head: int, rows: NDArray[np.intp], values: Sequence[Floats]) -> list[Floats]:
    """What each row would add to the effect in place of unit ``head``, one array (rows,) for each of ``values``.

    With every cell there that is ``a_head' e_j``. A row with other cells has weights of its own: the treatment of the
    head less the period effects of treatment, the row's mean over its own cells taken out, over the sum of squares.
    """
    if statistic.even:
        return [value[rows] @ statistic.weights[head] for value in values]
    sample = statistic.sample
    # treatment less its residual is a unit's level and the period effects
    profile = sample.treated[head] - statistic.period_effects
    cells = sample.weights[rows]
    gap = profile - (cells @ profile / cells.sum(axis=1))[:, None]
    scaled = cells * gap
    norms = (scaled * gap).sum(axis=1)
    known = norms > NOTHING * float(norms.max(initial=0.0))
    share = np.where(known, float(statistic.weights[head] @ profile) / np.where(known, norms, 1.0), 0.0)
    return [np.einsum("jt,jt->j", scaled, value[rows]) * share for value in values]


def conley_taber(statistic: Statistic, draws: int, source: np.random.Generator, level: float) -> Resampled:
    """Inference from the residuals of the never treated (Conley and Taber 2011).

    Formula: with the residuals ``e_j`` of never treated units, the error of the effect has the law of
    ``sum over treated i of a_i' e_j(i)``, j(i) any never treated unit that is seen before and after
    every date; where cells are missing or weights differ, j has weights over its own cells in place of ``a_i``. p is
    ``2 (1 + errors in the smaller tail beyond the effect) / (m + 1)`` of m errors, which with one treated is exact; the
    interval is the effect less the quantiles. It takes treated and never treated to have one law, and treats the period effects as known, which
    many never treated units make true.

    Parameters
    ----------
    statistic : Statistic
        The effect.
    draws : int
        Resamples where there are too many to list.
    source : Generator
        Random numbers.
    level : float
        Coverage.
    """
    controls, treated = _check(statistic), _treated(statistic)
    residual = statistic.outcome - statistic.estimate * statistic.received
    table = np.stack([_contrasts(statistic, int(row), controls, [residual])[0] for row in treated])
    exact = residuals_listed(statistic)
    if exact:
        picks = np.array(list(product(range(len(controls)), repeat=len(treated))), dtype=np.intp)
    else:
        picks = source.integers(0, len(controls), (draws, len(treated)))
    errors = np.sort(table[np.arange(len(treated)), picks].sum(axis=1))
    m, tail = len(errors), (1.0 - level) / 2.0
    at = statistic.estimate
    slack = 1e-9 * max(abs(at), float(np.abs(errors).max()))
    above = m - int(np.searchsorted(errors, at - slack, side="left"))
    below = int(np.searchsorted(errors, at + slack, side="right"))
    # the effect is one of m + 1 alike, so that with one treated the rank is exact
    p = min(1.0, 2.0 * (min(above, below) + 1) / (m + 1))
    k = math.floor(tail * (m + 1) + 1e-9) - 1
    low, high = (-math.inf, math.inf) if k < 0 else (at - errors[m - 1 - k], at - errors[k])
    return Resampled(
        p_value=p, ci_low=float(low), ci_high=float(high), exact=exact, count=m,
        details={"controls": float(len(controls))},
    )  # fmt: skip


def variance_of_population(squares: Floats, population: Floats) -> tuple[float, float]:
    """Variance of a contrast as ``a + b / population``, both 0 or more.

    By least squares, reweighted by the fitted variance (whose squares have twice its square as variance): one pass, as
    in the paper, underrates the smallest and overrates the largest units where ``a`` is near 0.

    Parameters
    ----------
    squares : ndarray, shape (n,)
        Squared contrasts of the residuals.
    population : ndarray, shape (n,)
        Population of each unit.

    Examples
    --------
    >>> a, b = variance_of_population(np.array([3.0, 2.0, 1.5]), np.array([1.0, 2.0, 4.0]))
    >>> round(a, 6), round(b, 6)
    (1.0, 2.0)
    """
    inverse = 1.0 / population
    weight = np.ones_like(inverse)
    a, b = 0.0, 0.0
    for _ in range(PASSES):
        total = float(weight.sum())
        centre, level = float(weight @ inverse) / total, float(weight @ squares) / total
        spread = inverse - centre
        square = float(weight @ spread**2)
        b = float(weight @ (spread * squares)) / square if square > 0 else 0.0
        a = level - b * centre
        if b < 0:
            a, b = level, 0.0
        elif a < 0:
            a, b = 0.0, float(weight @ (inverse * squares)) / float(weight @ inverse**2)
        fitted = a + b * inverse
        if not (fitted > 0).all():
            break
        weight = (fitted / fitted.mean()) ** -2.0
    return a, b


def ferman_pinto(
    statistic: Statistic, population: Floats, draws: int, source: np.random.Generator, level: float
) -> Resampled:
    """Resampling that lets the variance depend on the population (Ferman and Pinto 2019).

    Formula: the variance of each unit's contrast ``a_c' e_j`` is fitted as ``a + b / population`` among the never
    treated; every unit i draws a unit j that is seen before and after every date, and takes
    ``a_c(i)' e_j sqrt(v_c(i)(pop_i) / v_c(i)(pop_j))``, with the null hypothesis imposed on the residuals;
    units with cells or weights of their own have contrasts of their own. p is the share of draws at least as far from
    zero as the effect.

    Parameters
    ----------
    statistic : Statistic
        The effect.
    population : ndarray, shape (n,)
        Population of each unit, above 0.
    draws : int
        Resamples.
    source : Generator
        Random numbers.
    level : float
        Coverage of the interval, which inverts the test with the fitted variances held.
    """
    controls = _check(statistic)
    unit_codes = statistic.codes[statistic.blocks]
    unrestricted = statistic.outcome - statistic.estimate * statistic.received
    pool = np.flatnonzero(statistic.eligible[statistic.blocks])
    drawn = source.integers(0, len(pool), (draws, len(population)))
    errors, moves = np.zeros(draws), np.zeros(draws)
    slope = {}
    even = bool((statistic.sample.weights == statistic.sample.weights.flat[0]).all())
    for code in np.unique(unit_codes):
        members = np.flatnonzero(unit_codes == code)
        # with equal weights all units of a cohort have one contrast; otherwise each has its own
        heads = members[:1] if even else members
        for place, head in enumerate(heads):
            (contrast,) = _contrasts(statistic, int(head), controls, [unrestricted])
            a, b = variance_of_population(contrast**2, population[controls])
            spread = np.sqrt(a + b / population)
            if not (spread > 0).all():
                spread = np.ones_like(population)
            slope[int(code)] = b / population.mean() / (a + b / population.mean()) if a + b > 0 else 0.0
            both = _contrasts(statistic, int(head), pool, [statistic.outcome, statistic.received])
            scaled = [found / spread[pool] for found in both]
            mine = members if even else members[place : place + 1]
            picks = drawn[:, mine]
            errors += (scaled[0][picks] * spread[mine]).sum(axis=1)
            moves += (scaled[1][picks] * spread[mine]).sum(axis=1)
    reference = _Even(weights=np.full(draws, 1.0 / (draws + 1)), own=1.0 / (draws + 1), exact=False)
    share, error = p_value(errors, statistic.estimate, reference, 0)
    low, high = linear_interval(errors, moves, statistic.estimate, reference, 1.0 - level)
    first = min(code for code in slope if code > 0)
    return Resampled(
        p_value=share, ci_low=low, ci_high=high, exact=False, count=draws,
        details={"monte_carlo_se": error, "variance_share_of_population": slope[first]},
    )  # fmt: skip
