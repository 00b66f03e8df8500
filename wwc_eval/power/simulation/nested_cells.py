"""Cells within clusters: the layout of three-level trials and stepped wedges, and the draw of their summaries.

A stepped wedge with cluster-by-period effects is the three-level model whose middle level is the cell: only the fixed
effects differ. Cells are padded to (T cells, K clusters) with no units where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.simulation.small_matrices import Array, Index

__all__ = ["CellSummaries", "NestedDesign", "draw_cells", "nested_design"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NestedDesign:
    """What all replicates of a trial with cells in clusters share.

    Parameters
    ----------
    sizes : (T, K) array
        Units in each cell; 0 where there is no cell.
    X : (p, T, K) array
        Covariates of the cells, orthonormal over the units so that no column is badly scaled.
    contrast : (p,) array
        Contrast of those columns.
    flat : (T*K, p) array
        The same covariates, one row a cell.
    products : (T*K, p*p) array
        Their products.
    by_cluster : (T*K, p*K) array
        Map from values of the cells to their sums with each column in each cluster.
    place : (cells,) integer array
        Where the cells as the caller orders them stand among the T*K.
    """

    sizes: Array
    X: Array
    contrast: Array
    flat: Array
    products: Array
    by_cluster: Array
    place: Index

    def padded(self, values: Array) -> Array:
        """Values (R, cells) in the caller's order as (R, T, K), with zeros where there is no cell."""
        found = np.zeros((len(values), self.sizes.size))
        found[:, self.place] = values
        return found.reshape(len(values), *self.sizes.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class CellSummaries:
    """Sufficient statistics of many trials with cells in clusters.

    Parameters
    ----------
    means : (R, T, K) array
        Cell means of the outcome, 0 where there is no cell.
    within : (R,) array
        Sums of squares within cells.
    sizes : (R or 1, T, K) array
        Units in each cell, 0 where there is no cell.
    """

    means: Array
    within: Array
    sizes: Array

    @property
    def units(self) -> Array:
        """Units in all, (R or 1,)."""
        return np.asarray(self.sizes.sum(axis=(1, 2)))

    def take(self, which: Index) -> CellSummaries:
        """Some of the replicates."""
        sizes = self.sizes if len(self.sizes) == 1 else self.sizes[which]
        return CellSummaries(means=self.means[which], within=self.within[which], sizes=sizes)


def nested_design(cluster: Index, sizes: Array, X: Array, contrast: Array) -> NestedDesign:
    """Lay out the cells of a trial.

    Parameters
    ----------
    cluster : (cells,) integer array
        Cluster of each cell.
    sizes : (cells,) array
        Units in each cell, above 0.
    X : (cells, p) array
        Covariates of the cells, with the intercept or the periods.
    contrast : (p,) array
        Contrast of the columns.

    Raises
    ------
    DesignError
        If the columns are linearly dependent.
    """
    codes = np.unique(cluster, return_inverse=True)[1]
    clusters, deepest, p = codes.max() + 1, np.bincount(codes).max(), X.shape[1]
    order = np.argsort(codes, kind="stable")
    depth = np.empty(len(codes), dtype=np.intp)
    depth[order] = np.arange(len(codes)) - np.searchsorted(codes[order], codes[order])
    place = depth * clusters + codes
    root = np.asarray(np.linalg.qr(X * np.sqrt(sizes)[:, None])[1], dtype=float)
    size = np.abs(np.diagonal(root))
    if p > len(X) or size.min() < 1e-9 * size.max():
        raise DesignError(
            "the effect cannot be told apart from the periods or clusters in this design",
            rule="the columns of treatment and time must be linearly independent",
        )
    n = np.zeros(deepest * clusters)
    n[place] = sizes
    flat = np.zeros((deepest * clusters, p))
    flat[place] = np.linalg.solve(root.T, X.T).T
    shaped = flat.reshape(deepest, clusters, p)
    by_cluster = np.zeros((deepest, clusters, p, clusters))
    own = np.arange(clusters)
    by_cluster[:, own, :, own] = shaped.transpose(1, 0, 2)
    return NestedDesign(
        sizes=n.reshape(deepest, clusters),
        X=np.ascontiguousarray(shaped.transpose(2, 0, 1)),
        contrast=np.linalg.solve(root.T, contrast),
        flat=flat,
        products=(flat[:, :, None] * flat[:, None, :]).reshape(-1, p * p),
        by_cluster=by_cluster.reshape(deepest * clusters, p * clusters),
        place=place,
    )


def draw_cells(
    rng: np.random.Generator,
    reps: int,
    design: NestedDesign,
    mean: Array,
    *,
    between_clusters: float,
    between_cells: float,
    within: float,
) -> CellSummaries:
    """Draw the sufficient statistics of ``reps`` trials.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    reps : int
        Trials.
    design : NestedDesign
        Cells and their sizes.
    mean : (cells,) or (reps, cells) array
        Expected outcome of each cell in the order of :func:`nested_design`.
    between_clusters, between_cells, within : float
        Variances of clusters, of cells within clusters, and of units within cells.
    """
    there = design.sizes > 0
    n = np.where(there, design.sizes, 1.0)
    deepest, clusters = n.shape
    y = design.padded(np.atleast_2d(mean)) + rng.standard_normal((reps, 1, clusters)) * np.sqrt(between_clusters)
    y = y + rng.standard_normal((reps, deepest, clusters)) * np.sqrt(between_cells + within / n)
    spare = design.sizes.sum() - there.sum()
    return CellSummaries(
        means=np.where(there, y, 0.0), within=within * rng.chisquare(spare, reps), sizes=design.sizes[None]
    )
