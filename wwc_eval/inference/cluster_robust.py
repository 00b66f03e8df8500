"""Cluster-robust covariances CR0, CR1, CR1S, CR2 and CR3, Satterthwaite degrees of freedom and the AHT test.

The working model behind CR2 and the degrees of freedom is that of the regression itself: independent rows
with the variance that family and weights imply (for a linear model without weights, a constant variance).
Sources: Liang and Zeger 1986 (doi:10.1093/biomet/73.1.13); Bell and McCaffrey 2002; Pustejovsky and Tipton
2018 (doi:10.1080/07350015.2016.1247004); conventions as in the R package clubSandwich.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats
from wwc_eval.inference.glm import Kernel, back_substitute
from wwc_eval.inference.inverse_root import inverse_root_applied

__all__ = ["CR_KINDS", "ClusterLayout", "ClusterRobust", "cluster_robust"]

CR_KINDS = ("CR0", "CR1", "CR1S", "CR2", "CR3")
UNIT_LEVERAGE = 1e-10
DIRECT_SIZE = 64
STACK = 4_000_000


@dataclass(frozen=True, kw_only=True)
class ClusterLayout:
    """Rows brought together by cluster.

    Parameters
    ----------
    order : ndarray of int, shape (n,)
        Rows in the order of their clusters.
    starts, sizes : ndarray of int, shape (G,)
        First position and number of rows of each cluster in that order.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @classmethod
    def from_codes(cls, codes: NDArray[np.intp]) -> ClusterLayout:
        """Layout from integer codes of the clusters, of which any may be absent."""
        order = np.argsort(codes, kind="stable")
        ordered = codes[order]
        first = np.r_[True, ordered[1:] != ordered[:-1]]
        starts = np.flatnonzero(first)
        sizes = np.diff(np.r_[starts, len(codes)])
        return cls(order=order, starts=starts, sizes=sizes)

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.starts)

    def sums(self, values: Floats) -> Floats:
        """Sums of ``values`` (n,) over the rows of each cluster; all in the order of the clusters."""
        return np.asarray(np.add.reduceat(values, self.starts))

    def weighted_sums(self, weights: Floats, values: Floats) -> Floats:
        """Sums of ``weights`` (n,) times ``values`` (n, p) over the rows of each cluster, shape (G, p)."""
        from scipy.sparse import csr_array

        # a sparse product is twenty times as fast as reduceat when there are many small clusters
        n = len(weights)
        indicator = csr_array((weights, np.arange(n), np.r_[self.starts, n]), shape=(self.n_clusters, n))
        return np.asarray(indicator @ values)


@dataclass(frozen=True, kw_only=True)
class ClusterRobust:
    """A cluster-robust covariance that can say the degrees of freedom of any contrast.

    Parameters
    ----------
    vcov : ndarray, shape (p, p)
        Covariance of the coefficients.
    scores : ndarray, shape (G, p)
        What each cluster adds: the covariance is ``correction * scores' scores``.
    correction : float
        Small-sample factor (1 for CR0, CR2 and CR3).
    layout : ClusterLayout
        The clusters.
    Q, adjusted : ndarray, shape (n, p)
        Orthonormal design, and the same after the adjustment of CR2 or CR3, in the order of the clusters.
    kernel : Kernel
        The fit.
    """

    vcov: Floats
    scores: Floats
    correction: float
    layout: ClusterLayout
    Q: Floats
    adjusted: Floats
    kernel: Kernel

    def satterthwaite(self, contrast: Floats) -> float:
        """Satterthwaite degrees of freedom of one contrast of the coefficients.

        Formula: ``(sum of eigenvalues)^2 / sum of squared eigenvalues`` of the quadratic form that the
        variance estimate is under the working model.

        Parameters
        ----------
        contrast : ndarray, shape (p,)
            Weights of the coefficients.

        Returns
        -------
        float
            NaN where the variance of the contrast vanishes.
        """
        # the ratio knows no scale; a power of two keeps squares of huge contrasts finite, and every digit
        contrast = np.ldexp(contrast, -int(np.frexp(np.abs(contrast).max(initial=0.0))[1]))
        own, shared = self._moments(contrast)
        length = np.einsum("gp,gp->g", shared, shared)
        trace = float(np.sum(own - length))
        cross = shared.T @ shared
        square = float(np.sum(own**2 - 2.0 * own * length) + np.sum(cross**2))
        return trace**2 / square if square > 0 and trace > 0 else float("nan")

    def aht(self, contrasts: Floats) -> tuple[Floats, float]:
        """Expected variance of several contrasts under the working model, and eta of the AHT test.

        Parameters
        ----------
        contrasts : ndarray, shape (p, q)
            Contrasts in columns, linearly independent.

        Returns
        -------
        tuple of ndarray, shape (q, q), and float
            Approximate Hotelling degrees of freedom (Pustejovsky and Tipton 2018, equation 14).
        """
        q = contrasts.shape[1]
        expected, _ = self._joint_moments(contrasts)
        values, vectors = np.linalg.eigh(expected)
        if values[0] <= 1e-12 * values[-1]:
            raise DesignError(
                "the tested coefficients have no variance between clusters",
                fix="test fewer terms at once, or cluster at a lower level",
            )
        whitened = contrasts @ (vectors / np.sqrt(values)) @ vectors.T
        _, spread = self._joint_moments(whitened)
        return expected, q * (q + 1) / spread

    def _moments(self, contrast: Floats) -> tuple[Floats, Floats]:
        """Per cluster: ``t_g`` and ``a_g`` with ``P_gh = [g = h] t_g - a_g'a_h``."""
        direction = self.adjusted @ self.kernel.to_q(contrast)
        return self.layout.sums(direction**2), self.layout.weighted_sums(direction, self.Q)

    def _joint_moments(self, contrasts: Floats) -> tuple[Floats, float]:
        """Expected covariance of the contrasts, and the sum of the variances of its elements."""
        q = contrasts.shape[1]
        directions = self.adjusted @ self.kernel.to_q(contrasts)
        own = [[self.layout.sums(directions[:, s] * directions[:, t]) for t in range(q)] for s in range(q)]
        shared = [self.layout.weighted_sums(directions[:, s].copy(), self.Q) for s in range(q)]
        expected = np.empty((q, q))
        spread = 0.0
        for s in range(q):
            for t in range(s, q):
                inner = np.einsum("gp,gp->g", shared[s], shared[t])
                expected[s, t] = expected[t, s] = float(np.sum(own[s][t] - inner))
                cross = shared[s].T @ shared[t]
                length_s = np.einsum("gp,gp->g", shared[s], shared[s])
                length_t = np.einsum("gp,gp->g", shared[t], shared[t])
                first = np.sum(own[s][s] * own[t][t] - own[s][s] * length_t - own[t][t] * length_s)
                second = np.sum(own[s][t] ** 2 - 2.0 * own[s][t] * inner)
                variance = first + np.sum(cross**2) + second + np.sum(cross * cross.T)
                spread += float(variance) * (1.0 if s == t else 2.0)
        return expected, spread


def cluster_robust(kernel: Kernel, layout: ClusterLayout, kind: str) -> ClusterRobust:
    """Cluster-robust covariance of a fit.

    Formula: ``M sum_g X_g' W_g A_g e_g e_g' A_g' W_g X_g M`` with ``M = (X'WX)^-1``; ``A_g`` is the identity
    (CR0; times G/(G-1) for CR1, and times (n-1)/(n-p) besides for CR1S), the symmetric root that makes the
    estimate unbiased under the working model (CR2), or ``(I - H_gg)^-1``, the jackknife (CR3).

    Parameters
    ----------
    kernel : Kernel
        The fit.
    layout : ClusterLayout
        Clusters of its rows.
    kind : {"CR0", "CR1", "CR1S", "CR2", "CR3"}
        Which covariance.

    Returns
    -------
    ClusterRobust
    """
    groups = layout.n_clusters
    Q = kernel.Q[layout.order]
    if kind == "CR3":
        adjusted = _adjusted_flat(Q, layout, -1.0)
    elif kind == "CR2":
        variance = kernel.variance[layout.order]
        constant = float(np.ptp(variance)) <= 1e-12 * float(variance.max())
        adjusted = _adjusted_flat(Q, layout, -0.5) if constant else _adjusted_varying(Q, variance, layout)
    else:
        adjusted = Q
    scores = layout.weighted_sums(kernel.residual[layout.order], adjusted)
    correction = 1.0
    if kind in ("CR1", "CR1S"):
        correction = groups / (groups - 1.0)
    if kind == "CR1S":
        correction *= (kernel.n - 1.0) / (kernel.n - kernel.p)
    return ClusterRobust(
        vcov=correction * kernel.outer(scores.T @ scores),
        scores=back_substitute(kernel.R, scores.T).T,
        correction=correction,
        layout=layout,
        Q=Q,
        adjusted=adjusted,
        kernel=kernel,
    )


def _power(values: Floats, power: float) -> Floats:
    """``values ** power``, and 0 where the value is 0 to working precision: a pseudo-inverse."""
    positive = values > UNIT_LEVERAGE
    return np.where(positive, np.where(positive, values, 1.0) ** power, 0.0)


def _batches(layout: ClusterLayout, p: int) -> list[tuple[int, NDArray[np.intp]]]:
    """(size, rows (k, size)) for clusters of equal size, in parts that fit in memory."""
    found = []
    for size in np.unique(layout.sizes):
        starts = layout.starts[layout.sizes == size]
        step = max(1, STACK // int(size * p + min(size, p) ** 2))
        for first in range(0, len(starts), step):
            rows = starts[first : first + step, None] + np.arange(size)
            found.append((int(size), rows))
    return found


def _adjusted_flat(Q: Floats, layout: ClusterLayout, power: float) -> Floats:
    """``(I - Q_g Q_g')^power Q_g`` for every cluster, in the smaller of its two dimensions."""
    adjusted = np.empty_like(Q)
    p = Q.shape[1]
    for size, rows in _batches(layout, p):
        part = Q[rows]
        turned = np.swapaxes(part, 1, 2)
        if size <= p:
            values, vectors = np.linalg.eigh(part @ turned)
            middle = (vectors * _power(1.0 - values, power)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
            adjusted[rows] = middle @ part
        else:
            values, vectors = np.linalg.eigh(turned @ part)
            middle = (vectors * _power(1.0 - values, power)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
            adjusted[rows] = part @ middle
    return adjusted


def _adjusted_varying(Q: Floats, variance: Floats, layout: ClusterLayout) -> Floats:
    """``D_g G_g^(-1/2) Q_g`` with ``G_g = D_g (I - Q_g Q_g') D_g``: CR2 when the working variance varies."""
    adjusted = np.empty_like(Q)
    for size, rows in _batches(layout, Q.shape[1]):
        if size > max(DIRECT_SIZE, Q.shape[1]):
            for one in rows:
                adjusted[one] = _adjusted_large(Q[one], variance[one])
            continue
        part, d = Q[rows], variance[rows]
        gap = np.eye(size) - part @ np.swapaxes(part, 1, 2)
        lost = (np.linalg.eigvalsh(gap) <= UNIT_LEVERAGE).sum(axis=1)
        values, vectors = np.linalg.eigh(d[:, :, None] * gap * d[:, None, :])
        # a variance below the square root of the smallest number leaves nothing to invert
        kept = (np.arange(size) >= lost[:, None]) & (values != 0.0)
        root = np.where(kept, np.abs(np.where(kept, values, 1.0)) ** -0.5, 0.0)
        inner = np.swapaxes(vectors, 1, 2) @ part
        adjusted[rows] = d[:, :, None] * (vectors @ (root[:, :, None] * inner))
    return adjusted


def _adjusted_large(Q: Floats, d: Floats) -> Floats:
    values, vectors = np.linalg.eigh(Q.T @ Q)
    null = Q @ vectors[:, 1.0 - values <= UNIT_LEVERAGE]
    return d[:, None] * inverse_root_applied(d, Q, null)
