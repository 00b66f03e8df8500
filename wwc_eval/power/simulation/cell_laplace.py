"""The Laplace likelihood of mixed models of collapsed cells with one random intercept, with exact gradient and Hessian.

Formula: ``eta = x b + theta u_k`` with u standard normal; the modes u solve the penalised score; minus the log-likelihood is
``-l(b, theta, u) + u'u / 2 + log(H) / 2`` with ``H = 1 + theta^2 sum W``. Derivatives follow the modes by implicit
differentiation to second order, W, D and E being the first three derivatives of the mean by the predictor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.power.simulation.cell_glm import Cells, curvature, mean_of
from wwc_eval.power.simulation.small_matrices import Array, swap

__all__ = ["Laplace", "laplace_at", "laplace_value"]

MODES = 50
MODE_SETTLED = 1e-8


@dataclass(frozen=True, slots=True)
class Laplace:
    """Minus the log-likelihood, modes (R, K), gradient and Hessian in (theta, b)."""

    value: Array
    modes: Array
    gradient: Array
    hessian: Array


def laplace_value(cells: Cells, X: Array, theta: Array, b: Array, modes: Array) -> tuple[Array, Array]:
    """Minus the log-likelihood and the modes, which start from those given."""
    fixed = np.einsum("rq,rqpk->rpk", b, np.broadcast_to(X, (len(b), *X.shape[1:])))
    eta, modes = _modes(cells, fixed, theta, modes)
    return _value(cells, eta, theta, modes), modes


def _modes(cells: Cells, fixed: Array, theta: Array, modes: Array) -> tuple[Array, Array]:
    """Predictor and modes of the random intercepts by Newton's method."""
    t = theta[:, None]
    for _ in range(MODES):
        mean = mean_of(fixed + (t * modes)[:, None], cells.family)
        pull = t * _over_periods(cells.y - cells.n * mean) - modes
        step = pull / (1.0 + t * t * _over_periods(cells.n * curvature(mean, cells.family)))
        modes = modes + np.clip(step, -5.0, 5.0)
        if not np.abs(step).max(initial=0.0) > MODE_SETTLED:
            break
    return fixed + (t * modes)[:, None], modes


def _over_periods(a: Array) -> Array:
    """Sums over the periods, (..., P, K) -> (..., K), by one matrix product: short axes are slow to sum directly."""
    periods, clusters = a.shape[-2:]
    pick = np.tile(np.eye(clusters), (periods, 1))
    flat = np.ascontiguousarray(a).reshape(-1, periods * clusters)
    return np.asarray((flat @ pick).reshape(*a.shape[:-2], clusters))


def _value(cells: Cells, eta: Array, theta: Array, modes: Array) -> Array:
    if cells.family == "binomial":
        loss = cells.n * np.logaddexp(0.0, eta) - cells.y * eta
        mean = mean_of(eta, cells.family)
    else:
        mean = mean_of(eta, cells.family)
        loss = cells.n * mean - cells.y * eta
    H = 1.0 + theta[:, None] ** 2 * _over_periods(cells.n * curvature(mean, cells.family))
    return np.asarray(loss.sum(axis=(1, 2)) + 0.5 * (modes**2).sum(axis=1) + 0.5 * np.log(H).sum(axis=1))


def laplace_at(cells: Cells, X: Array, theta: Array, b: Array, modes: Array) -> Laplace:
    """Everything at (theta, b).

    Parameters
    ----------
    cells : Cells
        The outcomes.
    X : (R, q, P, K) array
        All fixed effects, those of the periods too.
    theta : (R,) array
        Standard deviations of the random intercept.
    b : (R, q) array
        Fixed effects.
    modes : (R, K) array
        Where the search for the modes starts.
    """
    reps, q = b.shape
    fixed = np.einsum("rq,rqpk->rpk", b, X)
    eta, modes = _modes(cells, fixed, theta, modes)
    mean = mean_of(eta, cells.family)
    W = cells.n * curvature(mean, cells.family)
    if cells.family == "binomial":
        D, fourth = W * (1.0 - 2.0 * mean), W * (1.0 - 6.0 * mean * (1.0 - mean))
    else:
        D, fourth = W, W
    r = cells.y - cells.n * mean
    t = theta[:, None]
    T = t[:, None]
    sum_W, sum_r = _over_periods(W), _over_periods(r)
    H = 1.0 + t * t * sum_W
    back = 1.0 / H

    # c: derivative of eta at fixed modes; slopes: of the modes; a: of eta in all
    c = np.concatenate([np.broadcast_to(modes[:, None, None], (reps, 1, *W.shape[1:])), X], axis=1)
    flat = c.reshape(reps, q + 1, -1)
    sum_Wc = _over_periods(W[:, None] * c)
    slopes = -T * sum_Wc * back[:, None]
    slopes[:, 0] += sum_r * back
    a = c + (T * slopes)[:, :, None]
    a_flat = a.reshape(reps, q + 1, -1)
    sum_Da = _over_periods(D[:, None] * a)
    H_1 = T * T * sum_Da
    H_1[:, 0] += 2.0 * t * sum_W
    gradient = 0.5 * (H_1 * back[:, None]).sum(axis=2) - (flat @ r.reshape(reps, -1, 1))[:, :, 0]

    bent = (flat * W.reshape(reps, 1, -1)) @ swap(a_flat)
    bent[:, 0] -= (slopes * sum_r[:, None]).sum(axis=2)
    spread = (fourth * (t * t * back)[:, None]).reshape(reps, 1, -1)
    curve = (a_flat * spread) @ swap(a_flat) - (H_1 * (back * back)[:, None]) @ swap(H_1)
    weight = t * t * back * _over_periods(D)
    mixed = 2.0 * (T * sum_Da * back[:, None]).sum(axis=2) + (weight[:, None] * slopes).sum(axis=2)
    curve[:, 0] += mixed
    curve[:, :, 0] += mixed
    curve[:, 0, 0] += 2.0 * (sum_W * back).sum(axis=1)
    hessian = bent + 0.5 * (curve + _of_modes((c, a), D, (slopes, H_1), (W, sum_W, sum_Wc), (t, weight * back)))
    return Laplace(_value(cells, eta, theta, modes), modes, gradient, 0.5 * (hessian + swap(hessian)))


def _of_modes(
    predictor: tuple[Array, Array],
    D: Array,
    along: tuple[Array, Array],
    sums: tuple[Array, Array, Array],
    scale: tuple[Array, Array],
) -> Array:
    """What the second derivatives of the modes add to the curvature of log H."""
    (c, a), (slopes, H_1), (W, sum_W, sum_Wc) = predictor, along, sums
    t, weight = scale
    T, kept = t[:, None], (t * weight)[:, None]
    reps, width = slopes.shape[:2]
    found = -(slopes * kept) @ swap(H_1)
    found[:, 0] -= (kept * (_over_periods(W[:, None] * a) + T * slopes * sum_W[:, None])).sum(axis=2)
    found[:, :, 0] -= (kept * sum_Wc).sum(axis=2)
    spread = (D * (t * t * weight)[:, None]).reshape(reps, 1, -1)
    found -= (c.reshape(reps, width, -1) * spread) @ swap(a.reshape(reps, width, -1))
    return np.asarray(found)
