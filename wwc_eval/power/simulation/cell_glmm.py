"""Logistic and Poisson mixed models of collapsed cells by Laplace's method, for many replicates at once.

Damped Newton steps in (theta, b) with the exact gradient and Hessian. The score at theta = 0 decides which replicates are
singular: ``sum_k (S_k^2 - W_k) <= 0``, S the sum of residuals and W of weights of a cluster. The Wald error is that of
lme4's ``glmer``, from the Hessian in all parameters.
"""

from __future__ import annotations

import numpy as np

from wwc_eval.power.simulation.cell_glm import Cells, GlmFit, curvature, fit_glm
from wwc_eval.power.simulation.cell_laplace import laplace_at, laplace_value
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array, Flags, Index, apply, swap

__all__ = ["fit_glmm"]

STEPS = 40
SETTLED = 1e-5
CAREFUL = 1e-3
"""Steps longer than this are checked against the likelihood."""


def fit_glmm(cells: Cells, X: Array) -> ReplicateFits:
    """First coefficient of X in a model with a random intercept of each cluster, with its Wald test.

    Parameters
    ----------
    cells : Cells
        The outcomes.
    X : (R or 1, q, P, K) array
        Treatment first; the periods have effects of their own besides.

    Returns
    -------
    ReplicateFits
        ``boundary`` where the variance of the clusters is estimated as zero.
    """
    reps, periods = len(cells), cells.y.shape[1]
    glm = fit_glm(cells, X)
    fixed = np.concatenate(
        [
            np.broadcast_to(X, (reps, *X.shape[1:])),
            np.broadcast_to(np.eye(periods)[:, :, None], (reps, periods, *cells.y.shape[1:])),
        ],
        axis=1,
    )
    b = np.column_stack([glm.beta, glm.period])
    theta, se = _at_zero(cells, fixed, glm)
    live: Index = np.flatnonzero((theta > 0) & ~glm.failed)
    boundary = (theta == 0) & ~glm.failed
    left = _search(cells, fixed, (theta, b, se), live)
    return ReplicateFits.wald(b[:, 0], se, np.inf, boundary=boundary, failed=glm.failed | left)


def _at_zero(cells: Cells, X: Array, glm: GlmFit) -> tuple[Array, Array]:
    """Starting theta by moments, 0 where the score says the minimum is there, and the errors of the GLM."""
    W = cells.n * curvature(glm.mean, cells.family)
    r = (cells.y - cells.n * glm.mean).sum(axis=1)
    by_cluster = W.sum(axis=1)
    score = (r**2 - by_cluster).sum(axis=1)
    flat = X.reshape(len(X), X.shape[1], -1)
    information = (flat * W.reshape(len(X), 1, -1)) @ swap(flat)
    each = np.arange(flat.shape[1])
    lost = ~np.isfinite(information).all(axis=(1, 2)) | (information[:, each, each] <= 0).any(axis=1) | glm.failed
    information[lost] = np.eye(flat.shape[1])
    se = np.sqrt(np.linalg.inv(information)[:, 0, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        moment = np.maximum(score / (by_cluster**2).sum(axis=1), 1.0 / by_cluster.sum(axis=1))
    return np.where(lost | (score <= 0), 0.0, np.sqrt(np.where(moment > 0, moment, 0.0))), se


def _search(cells: Cells, X: Array, at: tuple[Array, Array, Array], live: Index) -> Flags:
    """Newton steps in place until each replicate settles; returns those that did not."""
    theta, b, se = at
    modes = np.zeros((len(cells), cells.y.shape[2]))
    left = np.zeros(len(cells), dtype=bool)
    for _ in range(STEPS):
        if not len(live):
            break
        part, x = cells.take(live), X[live]
        here = laplace_at(part, x, theta[live], b[live], modes[live])
        modes[live] = here.modes
        step = _direction(here.gradient, here.hessian)
        reach = _reach(step, theta[live])
        longest = np.abs(step).max(axis=1)
        wide: Index = np.flatnonzero(longest > CAREFUL)
        if len(wide):
            own = (theta[live][wide], b[live][wide], step[wide], here.value[wide], here.modes[wide])
            reach[wide] = _halved(part.take(wide), x[wide], own, reach[wide])
        theta[live] += reach * step[:, 0]
        b[live] += reach[:, None] * step[:, 1:]
        done = longest < SETTLED
        if done.any():
            inverse = np.linalg.inv(here.hessian[done])
            with np.errstate(invalid="ignore"):
                se[live[done]] = np.sqrt(inverse[:, 1, 1])
        lost = ~np.isfinite(longest)
        left[live[lost]] = True
        live = live[~(done | lost)]
    left[live] = True
    return left


def _direction(gradient: Array, hessian: Array) -> Array:
    """Newton directions, downhill where the Hessian is not positive definite."""
    size = np.sqrt(np.abs(np.diagonal(hessian, axis1=1, axis2=2)))
    size = np.where(size > 0, size, 1.0)
    scaled = hessian / (size[:, :, None] * size[:, None])
    try:
        np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        finite = np.isfinite(scaled).all(axis=(1, 2))
        values, vectors = np.linalg.eigh(np.where(finite[:, None, None], scaled, np.eye(scaled.shape[1])))
        values = np.maximum(np.abs(values), 1e-4)
        step = -apply(vectors / values[:, None] @ swap(vectors), gradient / size) / size
        step[~finite] = np.nan
        return step
    return np.asarray(-np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0])


def _reach(step: Array, theta: Array) -> Array:
    """Share of each step taken: theta stays positive and nothing leaps."""
    fall = 0.7 * theta / np.maximum(-step[:, 0], 1e-300)
    rise = (theta + 0.3) / np.maximum(step[:, 0], 1e-300)
    other = 2.0 / np.maximum(np.abs(step[:, 1:]).max(axis=1), 1e-300)
    return np.asarray(np.minimum(1.0, np.minimum(np.where(step[:, 0] < 0, fall, rise), other)))


def _halved(cells: Cells, X: Array, at: tuple[Array, Array, Array, Array, Array], reach: Array) -> Array:
    """Shares of the steps, halved until the likelihood does not fall."""
    theta, b, step, value, modes = at
    bad: Index = np.arange(len(reach))
    for _ in range(15):
        moved = theta[bad] + reach[bad] * step[bad, 0], b[bad] + reach[bad, None] * step[bad, 1:]
        tried, _ = laplace_value(cells.take(bad), X[bad], *moved, modes[bad])
        bad = bad[tried > value[bad] + 1e-9 * np.abs(value[bad])]
        if not len(bad):
            break
        reach[bad] *= 0.5
    return reach
