"""One effect given covariates from four sides: cohort and comparison, period and base, each of other rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_adjusted import MOST_PROPENSITY, TRIMMED

__all__ = ["Found", "Sides", "UnfitError", "fitted"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LARGEST_CONDITION = 1e12
STEPS = 60
NO_OVERLAP = "the propensity of a treated row is 1, or cannot be estimated"
NAMES = ("the cohort in the period", "the cohort in the base period", "the comparison in the period",
         "the comparison in the base period")  # fmt: skip


class UnfitError(Exception):
    """Why an effect cannot be estimated."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Kinds of rows behind one effect, side after side: cohort in period and base, comparison in period and base.

    Parameters
    ----------
    numbers, levels : ndarray, shapes (m, q) and (m, r)
        Covariates: numbers, and levels of text.
    n, weights, outcomes : ndarray, shape (m,)
        Rows, sums of weights, and weighted means of the outcome of each kind.
    edges : ndarray of int, shape (5,)
        First kind of each side, and the number of kinds.
    """

    numbers: Floats
    levels: Ints
    n: Ints
    weights: Floats
    outcomes: Floats
    edges: Ints


@dataclass(frozen=True, kw_only=True)
class Found:
    """An effect and its influence: a row adds ``weight (level + slope (y - mean of its kind))``.

    Parameters
    ----------
    estimate : float
        The effect.
    level, slope : ndarray, shape (m,)
        By kind; 0 for kinds that are left out.
    """

    estimate: float
    level: Floats
    slope: Floats


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Kinds used, their covariates with an intercept, and where each side lies."""

    x: Floats
    w: Floats  # adding to 1
    y: Floats
    n: Ints
    sides: tuple[slice, slice, slice, slice]

    @property
    def treated(self) -> slice:
        """The cohort in both periods."""
        return slice(0, self.sides[1].stop)

    def share(self, side: slice, values: Floats | None = None) -> Floats:
        """Weights of a side that add to 1, those of the rows times ``values``."""
        w = self.w[side] if values is None else self.w[side] * values
        return np.asarray(w / w.sum())


def fitted(sides: Sides, method: str) -> Found:
    """The effect by one of the three estimators.

    Raises
    ------
    UnfitError
        If it cannot be estimated.
    """
    fit, kept = _prepared(sides)
    estimate, level, slope = _ESTIMATORS[method](fit)
    whole = np.zeros((2, len(kept)))
    whole[0, kept], whole[1, kept] = level, slope
    whole /= sides.weights[kept].sum()
    return Found(estimate=estimate, level=whole[0], slope=whole[1])


def _prepared(sides: Sides) -> tuple[_Fit, NDArray[np.bool_]]:
    """The kinds used and their columns.

    Comparison rows of a level that no treated row has are left out: their weight is 0 where the propensity is
    estimated with that level, and an indicator of their own makes them matter to nothing else.
    """
    cut = sides.edges[2]
    kept = np.ones(len(sides.n), dtype=bool)
    columns = [np.ones(len(kept))]
    for own in sides.levels.T:
        present = np.flatnonzero(np.bincount(own[:cut], minlength=int(own.max()) + 1))
        kept &= np.isin(own, present)
        columns += [(own == level).astype(np.float64) for level in present[1:]]
    x = np.column_stack([*columns, *sides.numbers.T])[kept]
    w = sides.weights[kept]
    w = w / w.sum()
    # any basis of the same columns gives the same fits; centred and scaled ones lose no digits
    centre = w @ x[:, 1:]
    x[:, 1:] -= centre
    spread = np.sqrt(w @ x[:, 1:] ** 2)
    if not (spread > 1e-12 * np.abs(centre)).all():
        raise UnfitError("a covariate has one value")
    x[:, 1:] /= spread
    counts = np.concatenate([[0], np.cumsum(kept)])[sides.edges]
    if (np.diff(counts) == 0).any():
        raise UnfitError(NO_OVERLAP)
    a, b, c, d, e = (int(edge) for edge in counts)
    return _Fit(
        x=x,
        w=w,
        y=sides.outcomes[kept],
        n=sides.n[kept],
        sides=(slice(a, b), slice(b, c), slice(c, d), slice(d, e)),
    ), kept


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A regression on one side: predictions for all kinds, and the inverse of its moments."""

    predicted: Floats
    inverse: Floats


def _regression(fit: _Fit, which: int) -> _Line:
    """Weighted least squares of the outcome on one side."""
    side = fit.sides[which]
    x, w, y = fit.x[side], fit.w[side], fit.y[side]
    width = fit.x.shape[1]
    if fit.n[side].sum() < width:
        raise UnfitError(f"{NAMES[which]} has fewer rows than covariates")
    gram = (x * w[:, None]).T @ x
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0).all() or np.linalg.cond(gram / np.outer(scale, scale)) > LARGEST_CONDITION:
        raise UnfitError(f"the covariates are collinear in {NAMES[which]}")
    inverse = np.asarray(np.linalg.inv(gram), dtype=np.float64)
    beta = inverse @ (x.T @ (w * y))
    beta = beta + inverse @ (x.T @ (w * (y - x @ beta)))
    return _Line(predicted=fit.x @ beta, inverse=inverse)


def _propensity(fit: _Fit) -> tuple[Floats, Floats]:
    """Logit propensity of each kind, from both periods, and the inverse information.

    Raises
    ------
    UnfitError
        Without overlap or a finite optimum.
    """
    x, w = fit.x, fit.w
    d = np.zeros(len(w))
    d[fit.treated] = 1.0
    share = float(w @ d)
    beta = np.zeros(x.shape[1])
    beta[0] = np.log(share / (1 - share))
    step, before, last = np.zeros_like(beta), np.inf, False
    for _ in range(STEPS):
        linear = x @ beta
        if np.abs(linear).max() > 40.0:
            raise UnfitError(NO_OVERLAP)
        p = 1.0 / (1.0 + np.exp(-linear))
        information = (x * (w * p * (1 - p))[:, None]).T @ x
        if last:
            break
        gradient = x.T @ (w * (d - p))
        try:
            ahead = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            raise UnfitError(NO_OVERLAP) from None
        decrement = float(gradient @ ahead)
        if decrement > 4.0 * before:
            # too far: half the way back
            step = step / 2
            beta = beta - step
            continue
        # the distance of a Newton step is squared by the next: this one ends below rounding
        last = decrement < 1e-16 * share
        step, before = np.asarray(ahead, dtype=np.float64), decrement
        beta = beta + ahead
    else:
        raise UnfitError(NO_OVERLAP)
    if p.max() >= MOST_PROPENSITY or np.linalg.cond(information) > LARGEST_CONDITION:
        raise UnfitError(NO_OVERLAP)
    return p, np.asarray(np.linalg.inv(information), dtype=np.float64)


def _comparison(fit: _Fit, rest: Floats) -> tuple[float, Floats, Floats, list[float]]:
    """Change of ``rest`` in the comparison weighted to look like the cohort.

    Returns the change; the influence of each kind through the propensity; the weights of the comparison rows, negative
    in the base period; and the two weighted means.
    """
    p, inverse = _propensity(fit)
    odds = np.where(p < TRIMMED, p / (1 - p), 0.0)
    slopes, moved = np.zeros(len(p)), np.zeros(fit.x.shape[1])
    means: list[float] = []
    for which, sign in ((2, 1.0), (3, -1.0)):
        side = fit.sides[which]
        total = float(fit.w[side] @ odds[side])
        if not total > 0:
            raise UnfitError(NO_OVERLAP)
        share = fit.w[side] * odds[side] / total
        mean = float(share @ rest[side])
        moved += sign * ((share * (rest[side] - mean)) @ fit.x[side])
        slopes[side] = sign * odds[side] / total
        means.append(mean)
    d = np.zeros(len(p))
    d[fit.treated] = 1.0
    return float(means[0] - means[1]), (d - p) * (fit.x @ (inverse @ moved)), slopes, means


def _ipw(fit: _Fit) -> tuple[float, Floats, Floats]:
    """Inverse probability weighting with weights that add to one (``std_ipw_did_rc``)."""
    theirs, through, odds, means = _comparison(fit, fit.y)
    level, slope = -through, -odds
    ours = 0.0
    for which, sign in ((0, 1.0), (1, -1.0)):
        side = fit.sides[which]
        mean = float(fit.share(side) @ fit.y[side])
        slope[side] = sign / fit.w[side].sum()
        level[side] += slope[side] * (fit.y[side] - mean)
        ours += sign * mean
    for which, centre in zip((2, 3), means, strict=True):
        side = fit.sides[which]
        level[side] += slope[side] * (fit.y[side] - centre)
    return float(ours - theirs), level, slope


def _or(fit: _Fit) -> tuple[float, Floats, Floats]:
    """Outcome regression in the comparison, by period (``reg_did_rc``)."""
    period, base = _regression(fit, 2), _regression(fit, 3)
    treated = fit.treated
    centre = fit.share(treated) @ fit.x[treated]
    level, slope = np.zeros(len(fit.y)), np.zeros(len(fit.y))
    change = period.predicted - base.predicted
    theirs = fit.share(treated) @ change[treated]
    level[treated] = -(change[treated] - theirs) / fit.w[treated].sum()
    ours = 0.0
    for which, sign in ((0, 1.0), (1, -1.0)):
        side = fit.sides[which]
        mean = float(fit.share(side) @ fit.y[side])
        slope[side] = sign / fit.w[side].sum()
        level[side] += slope[side] * (fit.y[side] - mean)
        ours += sign * mean
    for which, sign, line in ((2, -1.0, period), (3, 1.0, base)):
        side = fit.sides[which]
        slope[side] = sign * (fit.x[side] @ (line.inverse @ centre))
        level[side] = slope[side] * (fit.y[side] - line.predicted[side])
    return float(ours - theirs), level, slope


def _dr(fit: _Fit) -> tuple[float, Floats, Floats]:
    """Doubly robust and locally efficient (``drdid_rc``).

    Formula, with m_ds the regression of cohort (d = 1) or comparison (d = 0) in the period (s = 1) or base (s = 0):
    ``E[(m_11 - m_01) - (m_10 - m_00) | cohort, both periods]`` less the change of the comparison's residuals weighted
    by the odds of the propensity. DRDID's further terms are the cohort's own mean residuals, which are 0.
    """
    lines = [_regression(fit, which) for which in range(4)]
    treated = fit.treated
    rest = fit.y.copy()
    for which in (2, 3):
        rest[fit.sides[which]] -= lines[which].predicted[fit.sides[which]]
    theirs, through, odds, means = _comparison(fit, rest)
    gap = lines[0].predicted - lines[2].predicted - lines[1].predicted + lines[3].predicted
    ours = fit.share(treated) @ gap[treated]
    centre = fit.share(treated) @ fit.x[treated]
    level, slope = -through, -odds
    level[treated] += (gap[treated] - ours) / fit.w[treated].sum()
    for which, sign in ((0, 1.0), (1, -1.0)):
        side = fit.sides[which]
        away = centre - fit.share(side) @ fit.x[side]
        slope[side] = sign * (1.0 / fit.w[side].sum() + fit.x[side] @ (lines[which].inverse @ away))
        level[side] += slope[side] * (fit.y[side] - lines[which].predicted[side])
    for which, sign, mean in zip((2, 3), (1.0, -1.0), means, strict=True):
        side = fit.sides[which]
        reached = sign * ((fit.w[side] * odds[side]) @ fit.x[side])
        # what the weighting does not reach, the regression is asked for
        level[side] += odds[side] * mean
        slope[side] += sign * (fit.x[side] @ (lines[which].inverse @ (reached - centre)))
        level[side] += slope[side] * (fit.y[side] - lines[which].predicted[side])
    return float(ours - theirs), level, slope


_ESTIMATORS = {"dr": _dr, "ipw": _ipw, "or": _or}
