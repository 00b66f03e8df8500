"""The wild cluster bootstrap from cluster-level moments: no row is touched after the moments are made."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats
from wwc_eval.inference.fit import RegressionFit

__all__ = ["Draws", "Moments", "WildTest", "draw_weights", "regression_moments", "wild_test"]

BISECTIONS = 50
WIDEST = 2.0**24
"""Errors from the estimate at which the search for a limit ends; farther away rounding would break ties."""
LARGE = 500
"""Clusters beside twice the coefficients from which no matrix of clusters by clusters is made."""
TIE = 1e-10
ROUNDING = 1e-12
"""Errors this small beside the estimate are sums of residuals that are all zero but for rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Least squares (perhaps weighted) by cluster.

    Parameters
    ----------
    information : ndarray, shape (G, p, p)
        ``X_g' W_g X_g``.
    scores : ndarray, shape (G, p)
        ``X_g' W_g e_g`` at the estimate.
    M : ndarray, shape (p, p)
        Inverse of the sum of ``information``.
    direction : ndarray, shape (p,)
        The coefficient as a contrast of these columns.
    estimate : float
        Its estimate in the units of the data.
    scale : float
        Units of the data for one unit here.
    """

    information: Floats
    scores: Floats
    M: Floats
    direction: Floats
    estimate: float
    scale: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """Weights of the clusters, shape (R, G); ``complete`` if they are all there are."""

    values: Floats
    complete: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class WildTest:
    """Cluster-robust t, its p-value among the replicates, and the interval that inverts the test."""

    statistic: float
    se: float
    p_value: float
    ci_low: float
    ci_high: float
    replicates: Floats


def regression_moments(fit: RegressionFit, codes: NDArray[np.intp], place: int) -> Moments:
    """Moments of a linear regression.

    Raises
    ------
    DesignError
        For other families.
    """
    solution = fit.fitted.solution
    if fit.family != "gaussian" or solution is None:
        raise DesignError(
            f"the wild bootstrap is for linear models, and family == '{fit.family}'",
            fix="use cluster_bootstrap with interval='percentile'",
        )
    kernel = solution.kernel
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, codes[order][1:] != codes[order][:-1]])
    Q, residual = kernel.Q[order], kernel.residual[order]
    ends = np.r_[starts[1:], len(order)]
    information = np.array([Q[a:b].T @ Q[a:b] for a, b in zip(starts, ends, strict=True)])
    contrast = np.eye(kernel.p)[np.searchsorted(fit.fitted.columns, place)]
    return Moments(
        information=information,
        scores=np.add.reduceat(Q * residual[:, None], starts, axis=0),
        M=np.eye(kernel.p),
        direction=kernel.to_q(contrast[:, None])[:, 0],
        estimate=float(solution.beta[np.searchsorted(fit.fitted.columns, place)]),
        scale=1.0,
    )


def draw_weights(kind: str, groups: int, reps: int, source: np.random.Generator) -> Draws:
    """Rademacher or Webb weights; every sign change where there are at most ``reps`` of them."""
    if kind == "rademacher" and groups < 30 and 2**groups <= reps:
        bits = np.arange(2**groups)[:, None] >> np.arange(groups)[::-1]
        return Draws(values=np.asarray(2.0 * (bits & 1) - 1.0, dtype=np.float64), complete=True)
    points: Floats
    if kind == "rademacher":
        points = np.array([-1.0, 1.0])
    else:
        points = np.sqrt([0.5, 1.0, 1.5])
        points = np.r_[-points, points]
    picks = source.integers(0, len(points), (reps, groups))
    return Draws(values=points[picks], complete=False)


def wild_test(moments: Moments, null: float, draws: Draws, level: float, *, imposed: bool = True) -> WildTest:
    """Test one value of the coefficient and invert the test.

    Formula: with ``N = S B'`` (G x G, S the scores and B the information of each cluster times ``M c``), draw ``w`` has
    coefficient ``w'S M c`` and cluster scores ``w_g s_g - (w'N)_g``. Under the null hypothesis the scores are linear in
    the value tested, and so are those of the draws: one product of draws and N serves every value.

    Parameters
    ----------
    moments : Moments
        The model by cluster.
    null : float
        Value tested, in the units of the data.
    draws : Draws
        Weights of the clusters.
    level : float
        Coverage of the interval.
    imposed : bool
        Whether the null hypothesis is imposed on the model that outcomes are drawn from (WCR), or not (WCU).
    """
    b = moments.M @ moments.direction
    size = float(moments.direction @ b)
    own = moments.scores @ b
    se = math.sqrt(float((own**2).sum()))
    if not se * abs(moments.scale) > ROUNDING * abs(moments.estimate):
        raise DesignError("the coefficient has no variance between clusters", fix="cluster at a lower level")
    pull = moments.information @ b
    terms = _Terms.of(draws.values, moments.scores, pull, moments.M, b)
    observed = (moments.estimate - null) / moments.scale / se
    if not imposed:
        t = terms.at(0.0)
        share = _share(t, observed, draws)
        reach = _reach(np.abs(t), 1.0 - level, draws)
        low, high = (moments.estimate + sign * reach * se * moments.scale for sign in (-1.0, 1.0))
        return WildTest(
            statistic=observed, se=se * moments.scale, p_value=share, ci_low=low, ci_high=high, replicates=t
        )
    moves = terms.moved(draws.values, pull / size, pull, moments.M, b)

    def p_of(value: float) -> float:
        gap = (moments.estimate - value) / moments.scale
        return _p_of(moves.far(gap, gap / se), draws)

    # far from the estimate only draws that move all clusters alike are as far as the observed statistic
    alike = int((draws.values == draws.values[:, :1]).all(axis=1).sum())
    steps = (-se * moments.scale, se * moments.scale)
    if _p_of(alike, draws) > 1.0 - level:
        low, high = -math.inf, math.inf
    else:
        low, high = (_limit(p_of, moments.estimate, step, 1.0 - level) for step in steps)
    return WildTest(
        statistic=observed,
        se=se * moments.scale,
        p_value=p_of(null),
        ci_low=low,
        ci_high=high,
        replicates=moves.at((moments.estimate - null) / moments.scale),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Terms:
    """Coefficient and sum of squared scores of every draw, as polynomials in the gap from the value tested.

    ``each`` are the scores (R, G) at gap 0; ``top`` (2, R) and ``square`` (3, R) the coefficients by power.
    """

    each: Floats
    top: Floats
    square: Floats

    @classmethod
    def of(cls, values: Floats, scores: Floats, pull: Floats, M: Floats, b: Floats) -> _Terms:
        each, top = _scored(values, scores, pull, M, b)
        flat = np.zeros(len(values))
        squares = np.einsum("rg,rg->r", each, each)
        return cls(each=each, top=np.stack([top, flat]), square=np.stack([squares, flat, flat]))

    def moved(self, values: Floats, scores: Floats, pull: Floats, M: Floats, b: Floats) -> _Terms:
        """The same with scores that grow by ``scores`` for each unit of the gap."""
        each, top = _scored(values, scores, pull, M, b)
        cross = 2.0 * np.einsum("rg,rg->r", self.each, each)
        square = np.stack([self.square[0], cross, np.einsum("rg,rg->r", each, each)])
        return _Terms(each=self.each, top=np.stack([self.top[0], top]), square=square)

    def at(self, gap: float) -> Floats:
        """Statistic of every draw."""
        top = self.top[0] + gap * self.top[1]
        square = self.square[0] + gap * (self.square[1] + gap * self.square[2])
        with np.errstate(divide="ignore", invalid="ignore"):
            t = top / np.sqrt(np.maximum(square, 0.0))
        return np.where(np.isnan(t), 0.0, t)

    def far(self, gap: float, observed: float) -> int:
        """Draws whose statistic is at least as far from zero as the observed one: squares, without roots or quotients."""
        top = self.top[0] + gap * self.top[1]
        square = self.square[0] + gap * (self.square[1] + gap * self.square[2])
        left, right = top * top, (observed * (1.0 - TIE)) ** 2 * np.maximum(square, 0.0)
        count = int(np.count_nonzero(left >= right))
        if observed and float(right.min()) == 0.0:
            # a draw without any variation has the statistic 0
            count -= int(np.count_nonzero((left == 0.0) & (right == 0.0)))
        return count


def _scored(values: Floats, scores: Floats, pull: Floats, M: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Scores of the clusters in every draw (R, G), and their coefficient (R,)."""
    own = scores @ b
    if len(own) > LARGE + 2 * len(b):
        # a matrix of clusters by clusters would be all the work
        return values * own - (values @ (scores @ M)) @ pull.T, values @ own
    each = values @ (np.diag(own) - scores @ M @ pull.T)
    return each, values @ own


def _share(t: Floats, observed: float, draws: Draws) -> float:
    """p-value: draws at least as far from zero."""
    # ties with the observed statistic (the identity among the sign changes) must count
    return _p_of(int(np.count_nonzero(np.abs(t) >= abs(observed) * (1.0 - TIE))), draws)


def _p_of(far: int, draws: Draws) -> float:
    count = len(draws.values)
    return far / count if draws.complete else (1.0 + far) / (1.0 + count)


def _reach(sizes: Floats, alpha: float, draws: Draws) -> float:
    """Largest statistic that is not rejected."""
    kept = math.floor(alpha * len(sizes)) if draws.complete else math.floor(alpha * (len(sizes) + 1) - 1.0)
    order = np.sort(sizes)[::-1]
    return float(order[min(max(kept, 0), len(order) - 1)])


def _limit(p_of: object, centre: float, step: float, alpha: float) -> float:
    """Farthest value on one side that the test does not reject; infinite where it rejects none."""
    assert callable(p_of)
    inside, outside = centre, centre + 2.0 * step
    while p_of(outside) > alpha:
        inside, outside = outside, centre + 2.0 * (outside - centre)
        if abs(outside - centre) > WIDEST * abs(step):
            return math.copysign(math.inf, step)
    for _ in range(BISECTIONS):
        middle = 0.5 * (inside + outside)
        if p_of(middle) > alpha:
            inside = middle
        else:
            outside = middle
        if abs(outside - inside) < 1e-9 * abs(step):
            break
    return inside
