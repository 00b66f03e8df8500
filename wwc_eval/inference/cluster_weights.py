"""CR2 and Satterthwaite degrees of freedom where weights are not inverse variances.

Population weights and matching weights say whose average is wanted, not how noisy a row is. The working model
here is therefore independent rows of one variance, whatever their weights (the convention of the R package
clubSandwich for a weighted ``lm``); :mod:`wwc_eval.inference.cluster_robust` takes weights for inverse
variances. The two agree where weights are equal. Effects nested in the clusters need no columns: they are
given as codes. Source: Pustejovsky and Tipton 2018 (doi:10.1080/07350015.2016.1247004), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.cluster_robust import ClusterLayout
from wwc_eval.inference.families import Floats

__all__ = ["SamplingWeights"]

NULL = 1e-10


@dataclass(frozen=True, kw_only=True)
class SamplingWeights:
    """A weighted fit under a working model of independent rows with one variance.

    With ``D`` the design without the nested effects, ``W`` the weights and ``R`` the triangular factor of
    ``sqrt(W) D``, all rows in the order of the clusters.

    Parameters
    ----------
    Q : ndarray, shape (N, p)
        ``sqrt(W) D R^-1``: orthonormal, and orthogonal to the nested effects in the metric of the weights.
    weight : ndarray, shape (N,)
        Weights, positive.
    nested : ndarray of int, shape (N,)
        Code of the nested effect of each row, from 0.
    layout : ClusterLayout
        The clusters; its ``order`` has been applied already.
    """

    Q: Floats
    weight: Floats
    nested: NDArray[np.intp]
    layout: ClusterLayout

    @cached_property
    def plain(self) -> Floats:
        """``W D R^-1``: what a residual is multiplied with when nothing is adjusted (CR0), shape (N, p)."""
        return np.sqrt(self.weight)[:, None] * self.Q

    @cached_property
    def share(self) -> Floats:
        """Weight of each row as a share of its nested effect, shape (N,)."""
        return np.asarray(self.weight / np.bincount(self.nested, self.weight)[self.nested])

    def adjusted(self) -> Floats:
        """``B_g^(+1/2) W_g D_g R^-1`` with ``B_g`` the covariance of the residuals of cluster g: CR2, (N, p)."""
        found = np.empty_like(self.Q)
        fitted = self.Q / np.sqrt(self.weight)[:, None]
        second = self.plain.T @ self.plain
        for start, size in zip(self.layout.starts, self.layout.sizes, strict=True):
            rows = slice(start, start + size)
            maker = np.eye(size) - (self.nested[rows][:, None] == self.nested[rows]) * self.share[rows]
            cross = maker @ self.plain[rows] @ fitted[rows].T
            covariance = maker @ maker.T - cross - cross.T + fitted[rows] @ second @ fitted[rows].T
            values, vectors = np.linalg.eigh(covariance)
            kept = values > NULL
            root = np.where(kept, np.where(kept, values, 1.0) ** -0.5, 0.0)
            found[rows] = vectors @ (root[:, None] * (vectors.T @ self.plain[rows]))
        return found

    def satterthwaite(self, left: Floats, direction: Floats) -> float:
        """Satterthwaite degrees of freedom of one contrast.

        Parameters
        ----------
        left : ndarray, shape (N, p)
            :attr:`plain`, :meth:`adjusted` or another adjustment.
        direction : ndarray, shape (p,)
            ``R^-T c`` of the contrast c.

        Returns
        -------
        float
            NaN where the variance of the contrast vanishes.
        """
        reach = left @ direction
        turned = reach - self.share * np.bincount(self.nested, reach)[self.nested]
        alpha = self.layout.weighted_sums(reach / np.sqrt(self.weight), self.Q)
        beta = self.layout.weighted_sums(turned, self.plain)
        own = self.layout.sums(turned**2)
        p = self.Q.shape[1]
        core = np.zeros((2 * p, 2 * p))
        core[:p, :p] = self.plain.T @ self.plain
        core[:p, p:] = core[p:, :p] = -np.eye(p)
        both = np.hstack([alpha, beta])
        shared = np.einsum("gi,ij,gj->g", both, core, both, optimize=True)
        moment = core @ (both.T @ both)
        trace = float(np.sum(own + shared))
        square = float(np.sum(own**2 + 2.0 * own * shared) + np.sum(moment * moment.T))
        return trace**2 / square if square > 0 and trace > 0 else float("nan")
