"""CR2 and CR3 errors of regressions of collapsed cells, equal to those of the rows, for many replicates at once.

CR2 is not invariant to collapsing: the errors of the child-level regression come from cells whose design rows are
``sqrt(n) v x``, residuals ``sqrt(n) (ybar - mu)`` and working variance v, the variance of one child. Sources: Bell and
McCaffrey (2002); Pustejovsky and Tipton (2018), doi:10.1080/07350015.2016.1247004. CR3 here is ``(I - H_gg)^-1``, by a
pseudo-inverse where dummies of the clusters make it singular, without a factor (G - 1) / G.
"""

from __future__ import annotations

import numpy as np

from wwc_eval.power.simulation.cell_glm import Cells, GlmFit, curvature, fit_glm
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array

__all__ = ["fit_model_based", "fit_robust"]

UNIT_LEVERAGE = 1e-9
SMALLEST = 1e-12
"""Least variance of a child, reached only where a regression has run away and failed."""


def fit_robust(cells: Cells, X: Array, *, kind: str = "CR2", fit: GlmFit | None = None) -> ReplicateFits:
    """First coefficient of X with cluster-robust errors.

    Parameters
    ----------
    cells : Cells
        The outcomes.
    X : (R or 1, q, P, K) array
        Treatment first, then dummies of the clusters where the design repeats them over periods.
    kind : {"CR2", "CR3"}
        CR2 with Satterthwaite's degrees of freedom under the working model, CR3 with clusters - 1.
    fit : GlmFit, optional
        The regressions, where they have been fitted already.
    """
    fit = fit_glm(cells, X) if fit is None else fit
    v = np.maximum(curvature(fit.mean, cells.family), SMALLEST)
    n = np.broadcast_to(cells.n, v.shape)
    root = np.sqrt(n)
    share = np.divide(cells.y, n, out=np.zeros_like(v), where=n > 0)
    e = np.moveaxis(root * (share - fit.mean), 2, 1)
    rows = _rows(X, root * v)
    bread = _bread(rows, np.moveaxis(v, 2, 1))
    vg = np.moveaxis(v, 2, 1)
    lean = np.einsum("rgpq,rq->rgp", rows, bread[:, :, 0])  # X M c
    spread = rows @ bread[:, None] @ rows.swapaxes(2, 3)
    diagonal = np.arange(v.shape[1])
    if kind == "CR3":
        residual = -spread / np.sqrt(vg[..., None] * vg[..., None, :])
        residual[..., diagonal, diagonal] += 1.0
        values, vectors = np.linalg.eigh(_safe(residual))
        kept = values > UNIT_LEVERAGE
        factor = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
        scaled = 1.0 / np.sqrt(vg)
        left = np.einsum("rgij,rgi->rgj", vectors, scaled * lean) * factor
        scores = (left * np.einsum("rgij,rgi->rgj", vectors, scaled * e)).sum(axis=2)
        se = np.sqrt((scores**2).sum(axis=1))
        return ReplicateFits.wald(fit.beta[:, 0], se, float(v.shape[2] - 1), failed=fit.failed)
    spread *= -1.0
    spread[..., diagonal, diagonal] += vg
    half = np.sqrt(vg)
    values, vectors = np.linalg.eigh(_safe(spread * half[..., None] * half[..., None, :]))
    kept = values > UNIT_LEVERAGE * values[..., -1:]
    factor = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    turned = factor * np.einsum("rgij,rgi->rgj", vectors, lean / half)
    a = np.einsum("rgij,rgj->rgi", vectors, turned) * half  # A_g W X M c
    se = np.sqrt(((a * e).sum(axis=2) ** 2).sum(axis=1))
    return ReplicateFits.wald(fit.beta[:, 0], se, _satterthwaite(rows, bread, a, vg), failed=fit.failed)


def fit_model_based(cells: Cells, X: Array, *, fit: GlmFit | None = None) -> ReplicateFits:
    """First coefficient of X with the error that the likelihood gives, and the normal distribution.

    It takes the children of a cluster and period as independent: under drift it is far too small.
    """
    fit = fit_glm(cells, X) if fit is None else fit
    v = np.maximum(curvature(fit.mean, cells.family), SMALLEST)
    root = np.sqrt(np.broadcast_to(cells.n, v.shape))
    bread = _bread(_rows(X, root * v), np.moveaxis(v, 2, 1))
    return ReplicateFits.wald(fit.beta[:, 0], np.sqrt(bread[:, 0, 0]), np.inf, failed=fit.failed)


def _rows(X: Array, scale: Array) -> Array:
    """Design rows of every cluster (R, K, P, q + P): X first, then the periods, times a scale (R, P, K)."""
    reps, periods, clusters = scale.shape
    q = X.shape[1]
    found = np.zeros((reps, clusters, periods, q + periods))
    found[..., :q] = X.transpose(0, 3, 2, 1)
    each = np.arange(periods)
    found[:, :, each, q + each] = 1.0
    return found * np.moveaxis(scale, 2, 1)[..., None]


def _bread(rows: Array, v: Array) -> Array:
    """Inverse of ``X' diag(1/v) X`` (R, q, q); a column of a period without children counts as one of its own."""
    weighted = (rows / v[..., None]).reshape(len(rows), -1, rows.shape[-1])
    gram = weighted.swapaxes(1, 2) @ rows.reshape(len(rows), -1, rows.shape[-1])
    each = np.arange(gram.shape[1])
    gram[:, each, each] += gram[:, each, each] <= 0.0
    return np.asarray(np.linalg.inv(_safe(gram)))


def _safe(a: Array) -> Array:
    """The same stack with matrices that hold missing values replaced: their replicates have failed already."""
    lost = ~np.isfinite(a).all(axis=(-2, -1))
    if lost.any():
        a = a.copy()
        a[lost] = np.eye(a.shape[-1])
    return a


def _satterthwaite(rows: Array, bread: Array, a: Array, v: Array) -> Array:
    """Degrees of freedom of the CR2 variance under the working model."""
    shared = np.einsum("rgpq,rgp->rgq", rows, a)
    inner = -(shared @ bread @ shared.swapaxes(1, 2))
    each = np.arange(a.shape[1])
    inner[:, each, each] += (a * a * v).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.einsum("rgg->r", inner) ** 2 / (inner**2).sum(axis=(1, 2)))
