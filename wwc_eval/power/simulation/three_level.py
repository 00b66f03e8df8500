"""Three-level trials and Gaussian stepped wedges in bulk: REML and Satterthwaite for all replicates at once.

Cell means and one chi-square a replicate are sufficient where covariates do not vary within cells.
Sources: Patterson and Thompson (1971), doi:10.1093/biomet/58.3.545; Hussey and Hughes (2007), doi:10.1016/j.cct.2006.05.007;
Hooper, Teerenstra, de Hoop and Eldridge (2016), doi:10.1002/sim.7028 (cluster-by-period effects).
"""

from __future__ import annotations

import numpy as np

from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.nested_cells import CellSummaries, NestedDesign
from wwc_eval.power.simulation.nested_search import Found, search
from wwc_eval.power.simulation.small_matrices import Array

__all__ = ["fit_nested"]


def fit_nested(
    design: NestedDesign,
    data: CellSummaries,
    *,
    start: tuple[float, float] = (0.05, 0.1),
    cells: bool = True,
    clusters: bool = True,
) -> ReplicateFits:
    """Mixed model with random clusters and cells by REML, with Satterthwaite's degrees of freedom.

    Parameters
    ----------
    design : NestedDesign
        Cells, covariates and the contrast.
    data : CellSummaries
        The trials.
    start : (float, float)
        Variance ratios (cells, clusters) to start from; those that the trials were drawn with are the best.
    cells, clusters : bool
        Random effects in the model. Without cells a stepped wedge has Hussey and Hughes's model.

    Returns
    -------
    ReplicateFits
        ``boundary`` where a variance is estimated as zero.

    Notes
    -----
    Formula: ``df = 2 v^2 / (d' H^-1 d)`` with v the variance of the contrast, d its gradient and H half the Hessian of
    the REML deviance in (var e, ratios); ratios at zero take no part.

    Examples
    --------
    >>> from wwc_eval.power.simulation.nested_cells import draw_cells, nested_design
    >>> la = np.repeat(np.arange(12), 4)
    >>> X = np.column_stack([np.ones(48), la % 2])
    >>> design = nested_design(la, np.full(48, 25.0), X, np.array([0.0, 1.0]))
    >>> data = draw_cells(np.random.default_rng(1), 1000, design, np.zeros(48), between_clusters=0.05, between_cells=0.05,
    ...                   within=0.9)
    >>> bool(0.025 < (fit_nested(design, data).p_value < 0.05).mean() < 0.075)
    True
    """
    first = tuple(max(ratio, 0.01) for ratio in start)
    found = search(design, data, (first[0], first[1]), (cells, clusters))
    at, m = found.point, data.units - len(design.X)
    sigma2 = at.rest / m
    a = at.algebra.inverse @ design.contrast
    size = a @ design.contrast
    variance = sigma2 * size
    df = _satterthwaite(found, a, size, sigma2, m)
    free = np.array([cells, clusters])
    boundary = ((found.ratio == 0.0) & free).any(axis=1)
    return ReplicateFits.wald(
        at.beta @ design.contrast, np.sqrt(variance), df, boundary=boundary, failed=found.failed
    )


def _satterthwaite(found: Found, a: Array, size: Array, sigma2: Array, m: Array) -> Array:
    """Degrees of freedom of the contrast."""
    at = found.point
    on = found.ratio > 0
    slopes = [np.einsum("ri,rij,rj->r", a, part, a) for part in (at.algebra.cell, at.algebra.cluster)]
    gradient = np.column_stack([size, np.where(on, sigma2[:, None] * np.column_stack(slopes), 0.0)])
    curve = 2.0 * at.pull_2 / sigma2[:, None] - at.algebra.pair
    H = np.zeros((len(size), 3, 3))
    H[:, 0, 0] = m / sigma2**2
    H[:, 0, 1:] = H[:, 1:, 0] = np.where(on, at.pull, 0.0) / sigma2[:, None] ** 2
    H[:, 1, 1] = np.where(on[:, 0], curve[:, 0], 1.0)
    H[:, 2, 2] = np.where(on[:, 1], curve[:, 2], 1.0)
    H[:, 1, 2] = H[:, 2, 1] = np.where(on.all(axis=1), curve[:, 1], 0.0)
    spread = np.einsum("ri,ri->r", gradient, np.linalg.solve(H, gradient[:, :, None])[:, :, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2.0 * (sigma2 * size) ** 2 / (2.0 * spread))
