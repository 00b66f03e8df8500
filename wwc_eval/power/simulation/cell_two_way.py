"""The treatment's coefficient beside effects of periods and clusters, under one allocation for all replicates.

The layout of the randomisation test: the same regression is fitted under every permitted allocation. Replicates stand on the
last axis, the dummies are never written out, and replicates that need care go to :func:`cell_glm.fit_glm`.
"""

from __future__ import annotations

import numpy as np

from wwc_eval.power.simulation.cell_glm import LARGEST, SETTLED, Cells, GlmFit, curvature, fit_glm, mean_of
from wwc_eval.power.simulation.small_matrices import Array, Flags, solve_last

__all__ = ["treatment_coefficients"]

STEPS = 7
"""Newton steps for all replicates together; what has not settled by then is fitted on its own."""


def treatment_coefficients(cells: Cells, allocations: Array, dummies: Array) -> Array:
    """Coefficients (R, A) of treatment, not-a-number where a fit failed.

    Parameters
    ----------
    cells : Cells
        The outcomes (R, P, K).
    allocations : (A, P, K) array
        Treatment of each cell under each allocation.
    dummies : (1, q, P, K) array
        Dummies of all clusters but the first, or none.
    """
    base = fit_glm(cells, dummies)
    start = (base.period, np.column_stack([np.zeros(len(cells)), base.beta]))
    y = np.ascontiguousarray(np.moveaxis(cells.y, 0, -1))
    n = np.ascontiguousarray(np.moveaxis(cells.n, 0, -1))
    first = np.concatenate([start[0], start[1]], axis=1).T.copy()
    found = np.empty((len(cells), len(allocations)))
    for at, treatment in enumerate(allocations):
        found[:, at], settled = _one(y, n, cells.family, treatment, first)
        rest = np.flatnonzero(~settled)
        if rest.size:
            X = np.concatenate([treatment[None, None], dummies], axis=1)
            again = fit_glm(cells.take(rest), X, start=(start[0][rest], start[1][rest]))
            found[rest, at] = _coefficient(again)
    return found


def _coefficient(fit: GlmFit) -> Array:
    return np.where(fit.failed, np.nan, fit.beta[:, 0])


def _one(y: Array, n: Array, family: str, treatment: Array, first: Array) -> tuple[Array, Flags]:
    """Coefficient of each replicate (R,), and whether it has settled; arrays are (P, K, R), coefficients (P + q, R)."""
    periods = y.shape[0]
    others = first.shape[0] - periods - 1  # dummies of clusters: all but the first, or none
    t = treatment[:, :, None]
    all_of = first.copy()
    longest = np.full(y.shape[2], np.inf)
    for _ in range(STEPS):
        eta = all_of[:periods, None] + t * all_of[periods]
        if others:
            eta[:, 1:] += all_of[None, periods + 1 :]
        mean = mean_of(eta, family)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            step = _step(n * curvature(mean, family), y - n * mean, t, others)
            longest = np.abs(step).max(axis=0)
            all_of += step * np.minimum(1.0, 3.0 / np.maximum(longest, 1e-300))
        if not np.nanmax(longest, initial=0.0) > SETTLED:
            break
    with np.errstate(invalid="ignore"):
        settled = (longest <= SETTLED) & (np.abs(all_of[periods:]).max(axis=0) <= LARGEST)
    return all_of[periods], settled


def _step(w: Array, r: Array, t: Array, others: int) -> Array:
    """Newton step (P + 1 + q, R), the periods eliminated."""
    own = w.sum(axis=1)
    lean = r.sum(axis=1) / own
    wt = w * t
    shared = np.concatenate([wt.sum(axis=1)[:, None], w[:, 1:]], axis=1) if others else wt.sum(axis=1)[:, None]
    ratio = shared / own[:, None]
    q = 1 + others
    system = np.zeros((q, q, w.shape[2]))
    system[0, 0] = (wt * t).sum(axis=(0, 1))
    side = np.empty((q, w.shape[2]))
    side[0] = (r * t).sum(axis=(0, 1))
    if others:
        places = np.arange(1, q)
        system[places, places] = w[:, 1:].sum(axis=0)
        system[0, 1:] = system[1:, 0] = wt[:, 1:].sum(axis=0)
        side[1:] = r[:, 1:].sum(axis=0)
    for p in range(len(w)):
        system -= ratio[p][:, None] * shared[p][None]
        side -= ratio[p] * r[p].sum(axis=0)
    step = solve_last(system, side)
    return np.concatenate([lean - (ratio * step).sum(axis=1), step])
