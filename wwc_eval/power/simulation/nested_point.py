"""The profile REML criterion of trials with cells in clusters, with exact gradient and Hessian, for all replicates at once.

Formula: ``y = X b + u_cluster + v_cell + e / sqrt(n)``; the parameters are the ratios ``g = (var v, var u) / var e``
(ratios, not their roots, so that there is no saddle at zero). With H the covariance of the cell means over var e and P
its REML projection, the criterion is ``log|H| + log|X'H^-1 X| + m log Q``, ``Q = within + y'Py``, m units less columns;
``dQ = -y'P V_i P y``, ``d2Q = 2 y'P V_i P V_j P y``, and traces of ``P V_i`` and ``P V_i P V_j`` by sums over the cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.power.simulation.nested_cells import CellSummaries, NestedDesign
from wwc_eval.power.simulation.small_matrices import Array, apply, inner_trace, spd_inverse, swap, symmetric

__all__ = ["Algebra", "Point", "algebra_at", "criterion_at", "point_at"]


@dataclass(frozen=True, slots=True)
class Algebra:
    """What the criterion needs of the design at ratios (R or 1, 2).

    ``inverse`` is that of X'H^-1 X, ``cell`` and ``cluster`` its negative derivatives, ``trace`` (., 2) and ``pair`` (., 3) the
    traces of P V_i and of P V_i P V_j (cell, both, cluster), ``expected`` the expected Hessian of the profile criterion.
    """

    w: Array
    sum_1: Array
    shrink: Array
    c: Array
    ct: Array
    u: Array
    inverse: Array
    cell: Array
    cluster: Array
    log_det: Array
    trace: Array
    pair: Array
    expected: Array


@dataclass(frozen=True, slots=True)
class Point:
    """Criterion with derivatives, and the parts that inference needs."""

    value: Array
    gradient: Array
    hessian: Array
    expected: Array
    beta: Array
    rest: Array
    pull: Array
    pull_2: Array
    algebra: Algebra


def algebra_at(design: NestedDesign, sizes: Array, m: Array, ratio: Array) -> Algebra:
    """The part of the criterion that does not depend on the outcome, at ratios (R, 2) or, shared by all, (1, 2)."""
    reps, p, clusters = max(len(ratio), len(sizes)), len(design.X), sizes.shape[2]
    cell, top = ratio[:, 0, None, None], ratio[:, 1, None]

    def columns(weights: Array) -> Array:
        return np.asarray((weights.reshape(reps, -1) @ design.by_cluster).reshape(reps, p, clusters))

    def gram(weights: Array) -> Array:
        return np.asarray((weights.reshape(reps, -1) @ design.products).reshape(reps, p, p))

    w = sizes / (1.0 + cell * sizes)
    w_2 = w * w
    w_3 = w_2 * w
    s_1, s_2, s_3 = w.sum(axis=1), w_2.sum(axis=1), w_3.sum(axis=1)
    shrink = 1.0 / (1.0 + top * s_1)
    c = top * shrink
    t_1, t_2, t_3 = columns(w), columns(w_2), columns(w_3)
    ct = c[:, None] * t_1
    back = swap(ct)
    u = t_1 * shrink[:, None]
    u_2 = t_2 - s_2[:, None] * ct
    inverse, log_x = spd_inverse(gram(w) - t_1 @ back)
    x_2 = gram(w_2) + (ct * s_2[:, None]) @ back - symmetric(t_2 @ back)
    x_3 = gram(w_3) + (ct * s_3[:, None]) @ back - symmetric(t_3 @ back) - (u_2 * c[:, None]) @ swap(u_2)
    z = s_1 * shrink
    u_back = swap(u)
    uu = u @ u_back
    turned, turned_top = inverse @ x_2, inverse @ uu
    trace = np.stack(
        [
            s_1.sum(1) - (c * s_2).sum(1) - np.einsum("rii->r", turned),
            z.sum(1) - np.einsum("rii->r", turned_top),
        ],
        axis=1,
    )
    pair = np.stack(
        [
            (s_2 - 2.0 * c * s_3 + (c * s_2) ** 2).sum(1)
            - 2.0 * inner_trace(inverse, x_3)
            + inner_trace(turned, turned),
            (s_2 * shrink**2).sum(1)
            - 2.0 * inner_trace(inverse, (u_2 * shrink[:, None]) @ u_back)
            + inner_trace(turned, turned_top),
            (z * z).sum(1)
            - 2.0 * inner_trace(inverse, (u * z[:, None]) @ u_back)
            + inner_trace(turned_top, turned_top),
        ],
        axis=1,
    )
    log_det = np.log1p(cell * sizes).sum(axis=(1, 2)) - np.log(shrink).sum(axis=1) + log_x
    expected = pair - trace[:, [0, 0, 1]] * trace[:, [0, 1, 1]] / m[:, None]
    return Algebra(w, s_1, shrink, c, ct, u, inverse, x_2, uu, log_det, trace, pair, expected)


def point_at(design: NestedDesign, data: CellSummaries, ratio: Array) -> Point:
    """Criterion, gradient and Hessians at ratios (R, 2) or, shared by all replicates, (1, 2)."""
    m = data.units - len(design.X)
    a = algebra_at(design, data.sizes, m, ratio)
    y, reps = data.means, len(data.means)

    def onto(values: Array, sums: Array) -> Array:
        return np.asarray(values.reshape(reps, -1) @ design.flat - apply(a.ct, sums))

    wy = a.w * y
    beta = apply(a.inverse, onto(wy, wy.sum(axis=1)))
    residual = y - (beta @ design.flat.T).reshape(y.shape)
    held = a.w * residual
    held = held - a.w * (a.c * held.sum(axis=1))[:, None]  # H^-1 residual = P y
    by_cluster = held.sum(axis=1)
    rest = data.within + np.einsum("rtk,rtk->r", held, residual)
    pull = np.stack(
        [np.einsum("rtk,rtk->r", held, held), np.einsum("rk,rk->r", by_cluster, by_cluster)],
        axis=1,
    )
    wh = a.w * held
    sum_wh = wh.sum(axis=1)
    lean = onto(wh, sum_wh)
    lean_top = apply(a.u, by_cluster)
    z_wh = (sum_wh * a.shrink) * by_cluster
    turned, turned_top = apply(a.inverse, lean), apply(a.inverse, lean_top)
    pull_2 = np.stack(
        [
            np.einsum("rtk,rtk->r", wh, held) - (a.c * sum_wh**2).sum(1) - (lean * turned).sum(1),
            z_wh.sum(1) - (lean * turned_top).sum(1),
            (a.sum_1 * a.shrink * by_cluster**2).sum(1) - (lean_top * turned_top).sum(1),
        ],
        axis=1,
    )
    scaled = pull / rest[:, None]
    crossed = scaled[:, [0, 0, 1]] * scaled[:, [0, 1, 1]]
    return Point(
        value=a.log_det + m * np.log(rest),
        gradient=a.trace - m[:, None] * scaled,
        hessian=m[:, None] * (2.0 * pull_2 / rest[:, None] - crossed) - a.pair,
        expected=np.broadcast_to(a.expected, pull_2.shape),
        beta=beta,
        rest=rest,
        pull=pull,
        pull_2=pull_2,
        algebra=a,
    )


def criterion_at(design: NestedDesign, data: CellSummaries, ratio: Array) -> Array:
    """The criterion alone at ratios (R, 2)."""
    reps, p = len(data.means), len(design.X)
    cell, top = ratio[:, 0, None, None], ratio[:, 1, None]
    sizes, m = data.sizes, data.units - len(design.X)
    w = sizes / (1.0 + cell * sizes)
    s = w.sum(axis=1)
    c = top / (1.0 + top * s)
    t = (w.reshape(reps, -1) @ design.by_cluster).reshape(reps, p, -1)
    ct = t * c[:, None]
    inverse, log_x = spd_inverse((w.reshape(reps, -1) @ design.products).reshape(reps, p, p) - ct @ swap(t))
    wy = w * data.means
    ty = wy.sum(axis=1)
    lean = wy.reshape(reps, -1) @ design.flat - apply(ct, ty)
    rest = data.within + np.einsum("rtk,rtk->r", wy, data.means) - (c * ty * ty).sum(1)
    rest = rest - (lean * apply(inverse, lean)).sum(1)
    log_det = np.log1p(cell * sizes).sum(axis=(1, 2)) + np.log1p(top * s).sum(axis=1)
    return np.asarray(log_det + log_x + m * np.log(rest))
