"""Linear regressions of cells that share their design: least squares, CR2 and CR3 for many replicates as matrix products.

Children of a cell share their covariates, so the child-level regression is that of ``sqrt(n) ybar`` on ``sqrt(n) x`` with
clusters; the residuals within cells never enter the scores. Sources: Bell and McCaffrey (2002); Pustejovsky and Tipton
(2018), doi:10.1080/07350015.2016.1247004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array, Index

__all__ = ["LinearRobust", "linear_robust"]

UNIT_LEVERAGE = 1e-10
POWERS = {"CR1": 0.0, "CR2": -0.5, "CR3": -1.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearRobust:
    """A regression ready for any number of outcomes.

    Parameters
    ----------
    weights : (cells,) array
        Weights of the cell means in the estimate.
    scores : (cells, G) array
        Weights of the cell means in the score of each cluster.
    df : float
        Degrees of freedom.
    """

    weights: Array
    scores: Array
    df: float

    def fit(self, means: Array) -> ReplicateFits:
        """Estimates and errors of outcomes (R, cells)."""
        se = np.sqrt(((means @ self.scores) ** 2).sum(axis=1))
        return ReplicateFits.wald(means @ self.weights, se, self.df)


def linear_robust(X: Array, sizes: Array, cluster: Index, *, place: int = 0, kind: str = "CR2") -> LinearRobust:
    """Prepare the regression of one design.

    Parameters
    ----------
    X : (cells, p) array
        Columns of the model.
    sizes : (cells,) array
        Children in each cell.
    cluster : (cells,) integer array
        Clusters.
    place : int
        Column of the effect.
    kind : {"CR1", "CR2", "CR3"}
        CR1 with the factor G / (G - 1) and clusters - 1 degrees of freedom, CR2 with Satterthwaite's degrees of freedom for independent children, CR3 ``(I - H_gg)^-1`` with clusters - 1.
    """
    root = np.sqrt(sizes)
    rows = X * root[:, None]
    bread = np.linalg.pinv(rows.T @ rows)
    lean = rows @ bread[:, place]
    names = np.unique(cluster)
    adjusted = np.zeros((len(X), len(names)))
    for g, name in enumerate(names):
        own = np.flatnonzero(cluster == name)
        values, vectors = np.linalg.eigh(np.eye(len(own)) - rows[own] @ bread @ rows[own].T)
        kept = values > UNIT_LEVERAGE
        power = np.where(kept, values, 1.0) ** POWERS[kind] * (kept | (kind == "CR1"))
        adjusted[own, g] = vectors @ (power * (vectors.T @ lean[own]))
    if kind == "CR1":
        adjusted *= np.sqrt(len(names) / (len(names) - 1.0))
    scores = adjusted - rows @ (bread @ (rows.T @ adjusted))
    inner = adjusted.T @ scores
    df = float(np.trace(inner) ** 2 / (inner**2).sum()) if kind == "CR2" else float(len(names) - 1)
    return LinearRobust(weights=root * lean, scores=root[:, None] * scores, df=df)
