"""Covariances of the regression estimators: classical, HC1 and CR0 to CR3, with their degrees of freedom.

Unit effects lie within the clusters. They are not counted in CR1S (as in fixest), and they need no columns in
CR2, CR3 and the Satterthwaite degrees of freedom: only period effects and regressors do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wwc_eval.did.least_squares import LinearFit
from wwc_eval.errors import DesignError, check_choice
from wwc_eval.inference.cluster_robust import CR_KINDS, ClusterLayout, ClusterRobust, cluster_robust
from wwc_eval.inference.cluster_weights import SamplingWeights
from wwc_eval.inference.families import Floats
from wwc_eval.inference.glm import Kernel

__all__ = ["DID_VCOVS", "Robust", "robust_of"]

EXACT = 1e-9
DID_VCOVS = ("classical", "HC1", *CR_KINDS)
"""Covariances of the regression estimators of this room."""


@dataclass(frozen=True, kw_only=True)
class Robust:
    """Covariance of the coefficients of a fit.

    Parameters
    ----------
    kind : str
        One of :data:`DID_VCOVS`.
    fit : LinearFit
        The fit.
    matrix : ndarray, shape (K, K)
        The covariance.
    influence : ndarray, shape (clusters, K), optional
        What each cluster adds: the covariance is ``influence' influence``. None where errors are not clustered.
    constant_df : float
        Degrees of freedom of every contrast, unless they are Satterthwaite's.
    satterthwaite : bool
        Whether each contrast has Satterthwaite degrees of freedom.
    """

    kind: str
    fit: LinearFit
    matrix: Floats
    influence: Floats | None
    constant_df: float
    satterthwaite: bool

    @cached_property
    def _rows(self) -> _Rows:
        return _Rows.of(self.fit, self.kind)

    @property
    def n_clusters(self) -> int | None:
        """Clusters, where errors are clustered."""
        return self.fit.data.n_clusters if self.influence is not None else None

    @property
    def words(self) -> str:
        """The inference in words."""
        if self.influence is None:
            name = "classical errors" if self.kind == "classical" else f"robust errors ({self.kind})"
            return f"{name}, t with {self.constant_df:,.0f} df"
        reference = "Satterthwaite df" if self.satterthwaite else f"t with {self.constant_df:,.0f} df"
        return f"errors clustered ({self.kind}), {reference}"

    def df(self, contrast: Floats) -> float:
        """Degrees of freedom of one contrast of the coefficients."""
        if not self.satterthwaite:
            return self.constant_df
        return self._rows.satterthwaite(contrast)

    def exact_share(self, contrast: Floats) -> float:
        """Share of the variance of a contrast, under equal independent errors, in clusters that are fitted exactly.

        Such a direction leaves no residual, so CR2 and CR3 take nothing for it: a cohort of one cluster with effects
        of its own, or the one treated cluster. 0 for the other covariances.
        """
        return self._rows.exact_share(contrast) if self.kind in ("CR2", "CR3") else 0.0


def robust_of(fit: LinearFit, kind: str, df: str | None = None) -> Robust:
    """Covariance of a fit.

    Formula: with the scores ``s_g`` of the clusters and ``B = (X'WX)^-1`` of the residualised regressors,
    CR0 is ``B (sum s_g s_g') B``; CR1 is G/(G-1) times that; CR1S is (n-1)/(n-K) times CR1, K the regressors
    and the period effects.

    Parameters
    ----------
    fit : LinearFit
        The fit.
    kind : str
        One of :data:`DID_VCOVS`.
    df : {"clusters", "satterthwaite"}, optional
        Clusters - 1 by default for CR0, CR1 and CR1S, Satterthwaite for CR2 and CR3.

    Returns
    -------
    Robust

    Raises
    ------
    DesignError
        If kind and df do not go together, or there are fewer than two clusters.
    """
    if kind == "iid":
        raise DesignError("vcov == 'iid' is called 'classical' here", fix="use vcov='classical'")
    check_choice("vcov", kind, DID_VCOVS)
    if df is not None:
        check_choice("df", df, ("clusters", "satterthwaite"))
    if kind not in CR_KINDS:
        if df is not None:
            raise DesignError(f"df == '{df}' needs clustered errors", fix="use vcov='CR1S', or leave out df")
        return _unclustered(fit, kind)
    clusters = fit.data.n_clusters
    if clusters < 2:
        raise DesignError(
            f"the panel has {clusters} cluster, must have at least 2",
            fix="leave out cluster= of the panel, so that errors are clustered by unit",
        )
    wanted = df == "satterthwaite" or (df is None and kind in ("CR2", "CR3"))
    if kind in ("CR2", "CR3"):
        scores = _Rows.of(fit, kind).influence()
    else:
        scores = fit.data.by_cluster(fit.scores) @ fit.bread * math.sqrt(_correction(fit, kind))
    matrix = scores.T @ scores
    return Robust(
        kind=kind,
        fit=fit,
        matrix=(matrix + matrix.T) / 2.0,
        influence=scores,
        constant_df=clusters - 1.0,
        satterthwaite=wanted,
    )


def _correction(fit: LinearFit, kind: str) -> float:
    groups, n = fit.data.n_clusters, fit.data.n_cells
    if kind == "CR0":
        return 1.0
    if kind == "CR1":
        return groups / (groups - 1.0)
    free = n - len(fit.beta) - fit.n_period_effects
    if free <= 0:
        raise DesignError(f"vcov == 'CR1S' with {n} cells and {n - free} coefficients, needs more cells")
    return groups / (groups - 1.0) * (n - 1.0) / free


def _unclustered(fit: LinearFit, kind: str) -> Robust:
    data = fit.data
    residual = data.own_residual(fit.residual)
    free = data.n_cells - fit.n_parameters
    if free <= 0:
        raise DesignError(f"{data.n_cells} cells and {fit.n_parameters} coefficients leave nothing for errors")
    if kind == "classical":
        matrix = fit.bread * float(np.sum(data.weights * residual**2)) / free
    else:
        square = np.zeros_like(data.total)
        np.add.at(square, data.group, (data.weights * residual) ** 2)
        rows = np.sqrt(square)[:, :, None] * fit.design
        middle = rows.reshape(-1, len(fit.beta))
        matrix = fit.bread @ (middle.T @ middle) @ fit.bread * data.n_cells / free
    return Robust(kind=kind, fit=fit, matrix=matrix, influence=None, constant_df=float(free), satterthwaite=False)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The cells present as rows of a regression without unit effects, in the order of their clusters."""

    fit: LinearFit
    kind: str
    layout: ClusterLayout
    Q: Floats
    residual: Floats
    weight: Floats
    nested: np.ndarray

    @classmethod
    def of(cls, fit: LinearFit, kind: str) -> _Rows:
        """The rows of a fit."""
        data, absorber = fit.data, fit.data.absorber
        present = data.weights > 0
        unit, period = np.nonzero(present)
        order = np.argsort(data.clusters[unit], kind="stable")
        unit, period = unit[order], period[order]
        group = data.group[unit]
        # contrasts of period effects are orthonormal already, and orthogonal to the residualised regressors
        basis = np.zeros((len(data.first), data.total.shape[1], absorber.rank))
        at = 0
        for block, root in enumerate(absorber.roots):
            basis[data.blocks == block, :, at : at + root.shape[1]] = root
            at += root.shape[1]
        regressors = np.linalg.solve(fit.R.T, fit.design.reshape(-1, len(fit.beta)).T).T
        table = np.concatenate([absorber.within(basis), regressors.reshape(fit.design.shape)], axis=2)
        weight = data.weights[unit, period]
        codes = data.clusters[unit]
        return cls(
            fit=fit,
            kind=kind,
            layout=ClusterLayout.from_codes(codes),
            Q=np.sqrt(weight)[:, None] * table[group, period],
            residual=data.own_residual(fit.residual)[unit, period],
            weight=weight,
            nested=unit,
        )

    def direction(self, contrast: Floats) -> Floats:
        """``R^-T c`` in the coordinates of Q."""
        before = np.zeros(self.Q.shape[1] - len(contrast))
        return np.asarray(np.r_[before, np.linalg.solve(self.fit.R.T, contrast)])

    @cached_property
    def weighted(self) -> SamplingWeights:
        """The clustered pieces where weights differ."""
        return SamplingWeights(Q=self.Q, weight=self.weight, nested=self.nested, layout=self.layout)

    @cached_property
    def robust(self) -> ClusterRobust:
        """The clustered pieces where all weights are equal."""
        R = np.eye(self.Q.shape[1])
        R[-len(self.fit.beta) :, -len(self.fit.beta) :] = self.fit.R
        kernel = Kernel(
            Q=self.Q,
            R=R,
            residual=np.sqrt(self.weight) * self.residual,
            variance=np.ones(len(self.Q)),
            dispersion=math.nan,
            classical_scale=math.nan,
            gaussian=True,
            estimated_dispersion=True,
        )
        # the factors of CR1 and CR1S change neither scores of CR2 and CR3 nor any degrees of freedom
        return cluster_robust(kernel, self.layout, self.kind if self.kind in ("CR2", "CR3") else "CR0")

    @cached_property
    def left(self) -> Floats:
        """What residuals are multiplied with, in the coordinates of Q, where weights differ."""
        if self.kind == "CR2":
            return self.weighted.adjusted()
        if self.kind == "CR3":
            return np.asarray(np.sqrt(self.weight)[:, None] * self.robust.adjusted)
        return self.weighted.plain

    @cached_property
    def exact(self) -> Floats:
        """Directions of the coefficients, in the coordinates of Q, that one cluster alone determines, (k, p)."""
        found = [np.empty((0, self.Q.shape[1]))]
        for start, size in zip(self.layout.starts, self.layout.sizes, strict=True):
            part = self.Q[start : start + size]
            if size <= part.shape[1]:
                values, vectors = np.linalg.eigh(part @ part.T)
                found.append(vectors[:, values > 1.0 - EXACT].T @ part)
            else:
                values, vectors = np.linalg.eigh(part.T @ part)
                found.append(vectors[:, values > 1.0 - EXACT].T)
        return np.concatenate(found)

    def exact_share(self, contrast: Floats) -> float:
        """Share of a contrast's length in directions that one cluster alone determines."""
        direction = self.direction(contrast)
        length = float(direction @ direction)
        return float(np.sum((self.exact @ direction) ** 2)) / length if length > 0 else 0.0

    def influence(self) -> Floats:
        """What each cluster adds to the coefficients, shape (G, K)."""
        K = len(self.fit.beta)
        if self.fit.data.equal_weights:
            return self.robust.scores[:, -K:]
        summed = self.layout.weighted_sums(self.residual, self.left)[:, -K:]
        return np.asarray(np.linalg.solve(self.fit.R, summed.T).T)

    def satterthwaite(self, contrast: Floats) -> float:
        """Satterthwaite degrees of freedom of one contrast."""
        if self.fit.data.equal_weights:
            return self.robust.satterthwaite(np.r_[np.zeros(self.Q.shape[1] - len(contrast)), contrast])
        return self.weighted.satterthwaite(self.left, self.direction(contrast))
