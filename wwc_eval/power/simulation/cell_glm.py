"""Logistic and Poisson regressions of collapsed cells, for many replicates at once.

Children of one cluster and period share their covariates, so 27,000 of them are 30 cells. The effects of the periods (the
intercept, where there is one period) are eliminated from Newton's equations: what is left to solve is as small as the
treatment and the dummies of the clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from wwc_eval.power.simulation.small_matrices import Array, Flags, Index, spd_inverse

__all__ = ["Cells", "GlmFit", "curvature", "fit_glm", "mean_of"]

STEPS = 40
SETTLED = 1e-5
LARGEST = 15.0
"""Log odds or log rate ratio beyond which a fit is taken to run away: a cluster or arm without events."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Collapsed outcomes of many replicates.

    Parameters
    ----------
    y : (R, P, K) array
        Events in each period and cluster.
    n : (R or 1, P, K) array
        Children (binomial) or exposure (Poisson); 0 where there is no cell.
    family : {"binomial", "poisson"}
        Logistic or log link.
    """

    y: Array
    n: Array
    family: str = "binomial"

    def take(self, which: Index) -> Cells:
        """Some of the replicates."""
        n = self.n if len(self.n) == 1 else self.n[which]
        return Cells(y=self.y[which], n=n, family=self.family)

    def __len__(self) -> int:
        """Number of replicates."""
        return len(self.y)


@dataclass(frozen=True, kw_only=True, eq=False)
class GlmFit:
    """Estimates of many regressions.

    Parameters
    ----------
    period : (R, P) array
        Effects of the periods.
    beta : (R, q) array
        The other coefficients.
    mean : (R, P, K) array
        Expected outcome of one child or unit of exposure.
    failed : (R,) bool array
        Whether Newton's method did not settle or a coefficient ran away.
    """

    period: Array
    beta: Array
    mean: Array
    failed: Flags


def mean_of(eta: Array, family: str) -> Array:
    """Mean of one child at a linear predictor."""
    return np.asarray(special.expit(eta) if family == "binomial" else np.exp(np.minimum(eta, 30.0)))


def curvature(mean: Array, family: str) -> Array:
    """Derivative of the mean by the predictor, which is the variance of one child."""
    return mean * (1.0 - mean) if family == "binomial" else mean


def fit_glm(cells: Cells, X: Array, *, start: tuple[Array, Array] | None = None) -> GlmFit:
    """Maximum likelihood for every replicate.

    Parameters
    ----------
    cells : Cells
        The outcomes.
    X : (R or 1, q, P, K) array
        Treatment and dummies of clusters; the periods have effects of their own besides.
    start : (period, beta), optional
        Coefficients to start from, (R, P) and (R, q).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> n = np.full((1, 2, 6), 200.0)
    >>> arm = np.zeros((1, 1, 2, 6)); arm[..., 1, :3] = 1.0
    >>> fit = fit_glm(Cells(y=rng.binomial(200, 0.2, (500, 2, 6)).astype(float), n=n), arm)
    >>> bool(abs(fit.beta.mean()) < 0.02)
    True
    """
    period, beta = _start(cells, X) if start is None else (start[0].copy(), start[1].copy())
    live: Index = np.arange(len(cells))
    for _ in range(STEPS):
        part = cells if len(live) == len(cells) else cells.take(live)
        x = X if len(X) == 1 or len(live) == len(X) else X[live]
        eta = period[live][:, :, None] + np.einsum(
            "rq,rqpk->rpk", beta[live], np.broadcast_to(x, (len(live), *x.shape[1:]))
        )
        mean = mean_of(eta, cells.family)
        step_period, step = _newton(part, x, mean)
        longest = np.maximum(np.abs(step).max(axis=1, initial=0.0), np.abs(step_period).max(axis=1))
        damp = np.minimum(1.0, 3.0 / np.maximum(longest, 1e-300))[:, None]
        period[live] += damp * step_period
        beta[live] += damp * step
        runaway = np.abs(beta[live]).max(axis=1, initial=0.0) > LARGEST
        # convergence is quadratic: what the last step leaves is its square
        live = live[(longest > SETTLED) & ~runaway & np.isfinite(longest)]
        if not len(live):
            break
    x = np.broadcast_to(X, (len(cells), *X.shape[1:]))
    eta = period[:, :, None] + np.einsum("rq,rqpk->rpk", beta, x)
    failed = ~np.isfinite(eta).all(axis=(1, 2)) | (np.abs(beta).max(axis=1, initial=0.0) > LARGEST)
    failed[live] = True
    return GlmFit(period=period, beta=beta, mean=mean_of(eta, cells.family), failed=failed)


def _newton(cells: Cells, X: Array, mean: Array) -> tuple[Array, Array]:
    """One Newton step in the periods (R, P) and the other coefficients (R, q)."""
    return _eliminated(cells.n * curvature(mean, cells.family), X, cells.y - cells.n * mean)


def _eliminated(w: Array, X: Array, r: Array) -> tuple[Array, Array]:
    """Solve ``(D'WD) step = D'r`` with the periods eliminated, D holding the periods and X."""
    reps, q = len(w), X.shape[1]
    own = _over_clusters(w)
    own = np.where(own > 0, own, 1.0)
    wx = X * w[:, None]
    shared = _over_clusters(wx)
    lean = _over_clusters(r) / own
    x_flat = np.broadcast_to(X, (reps, *X.shape[1:])).reshape(reps, q, -1)
    gram = wx.reshape(reps, q, -1) @ x_flat.swapaxes(1, 2)
    ratio = shared / own[:, None]
    reduced = gram - ratio @ shared.swapaxes(1, 2)
    side = (x_flat @ r.reshape(reps, -1, 1))[:, :, 0] - (shared @ lean[:, :, None])[:, :, 0]
    inverse, _ = spd_inverse(reduced)
    step = (inverse @ side[:, :, None])[:, :, 0]
    return lean - (ratio * step[:, :, None]).sum(axis=1), step


def _over_clusters(a: Array) -> Array:
    """Sums over the last axis, by one matrix product: it is short, and summing it directly is slow."""
    flat = np.ascontiguousarray(a).reshape(-1, a.shape[-1])
    return np.asarray((flat @ np.ones(a.shape[-1])).reshape(a.shape[:-1]))


def _start(cells: Cells, X: Array) -> tuple[Array, Array]:
    """Weighted least squares of the empirical logits or log rates."""
    y, n = cells.y, np.broadcast_to(cells.n, cells.y.shape)
    if cells.family == "binomial":
        z, w = np.log((y + 0.5) / (n - y + 0.5)), n * 0.25
    else:
        z, w = np.log((y + 0.5) / np.maximum(n, 1e-300)), np.where(n > 0, y + 0.5, 0.0)
        z = np.where(n > 0, z, 0.0)
    return _eliminated(w, X, w * z)
