"""Satterthwaite's degrees of freedom for contrasts of the fixed effects of a linear mixed model.

Formula: ``df = 2 v^2 / Var(v)`` with ``v = c' Cov(beta) c`` and ``Var(v) = J' (2 H^-1) J``, H the Hessian of the
REML criterion (or ML deviance) in the covariance parameters and J the gradient of v. The residual variance is
profiled out: its direction is independent of the others and adds ``2 v^2 / (n - p)`` (REML) or ``2 v^2 / n`` (ML).
Parameters at their boundary are held there.

Sources: Satterthwaite (1946), doi:10.2307/3002019; Kuznetsova, Brockhoff and Christensen (2017),
doi:10.18637/jss.v082.i13. H and J are exact, not differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.multilevel.engine.criterion import on_face
from wwc_eval.multilevel.engine.solve import Solution
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.small_sample.inference import JointTest

__all__ = ["SatterthwaiteReference", "Sensitivity", "contrast_df", "sensitivity", "variance_covariance"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensitivity:
    """How the covariance of the fixed effects moves with the covariance parameters, in the engine's units.

    Parameters
    ----------
    hessian : (c, c) array
        Of the criterion in the coordinates of the face.
    tangent : (c, e) array
        Derivatives of the free covariance entries by the coordinates.
    inverse_1 : (c, p, p) array
        Derivatives of the inverse of ``X' V^-1 X``.
    sigma2_1 : (c,) array
        Derivatives of the profiled residual variance.
    df_residual : float
        ``n - p`` for REML, ``n`` for ML.
    """

    hessian: Array
    tangent: Array
    inverse_1: Array
    sigma2_1: Array
    df_residual: float

    @property
    def spread(self) -> Array:
        """Covariance ``2 H^-1`` of the coordinates; directions without information are left out."""
        values, vectors = np.linalg.eigh(self.hessian)
        kept = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
        return np.asarray(2.0 * (vectors[:, kept] / values[kept]) @ vectors[:, kept].T)


def sensitivity(solution: Solution) -> Sensitivity:
    """Exact derivatives at the minimum (central differences of exact gradients for large crossed models)."""
    problem, face = solution.problem, solution.minimum.face
    df = float(solution.n - solution.p if problem.reml else solution.n)
    if problem.expandable:
        slopes = problem.slopes(face.gammas)
        hessian = on_face(slopes, face)[1]
        inverse_1 = np.tensordot(face.tangent, slopes.inverse_1, axes=1)
        sigma2_1 = face.tangent @ slopes.sigma2_1
    else:
        hessian = problem.curvature(face)[2]
        pieces = []
        for c, at in enumerate(face.coordinates):
            step = np.zeros(len(face.places))
            step[c] = 1e-5 * max(1.0, abs(at))
            up = problem.criterion.profile(face.moved(step))
            down = problem.criterion.profile(face.moved(-step))
            assert up is not None and down is not None  # noqa: PT018
            width = 2.0 * step[c]
            pieces.append(((up.inverse - down.inverse) / width, (up.sigma2 - down.sigma2) / width))
        p = solution.p
        inverse_1 = np.array([piece[0] for piece in pieces]).reshape(-1, p, p)
        sigma2_1 = np.array([piece[1] for piece in pieces])
    return Sensitivity(
        hessian=hessian, tangent=face.tangent, inverse_1=inverse_1, sigma2_1=sigma2_1, df_residual=df
    )


def contrast_df(solution: Solution, found: Sensitivity, contrasts: Array) -> Array:
    """Degrees of freedom of each contrast.

    Parameters
    ----------
    solution : Solution
        The fitted model.
    found : Sensitivity
        From :func:`sensitivity`.
    contrasts : (k, p) array
        Each row a contrast of the fixed effects.

    Returns
    -------
    (k,) array
    """
    inner = np.linalg.solve(solution.problem.prepared.X_root.T, contrasts.T).T
    profile = solution.profile
    v = profile.sigma2 * np.einsum("ki,ij,kj->k", inner, profile.inverse, inner)
    moved = np.einsum("ki,cij,kj->ck", inner, found.inverse_1, inner) * profile.sigma2
    moved = moved + np.outer(found.sigma2_1, v / profile.sigma2)
    variance = np.einsum("ck,cd,dk->k", moved, found.spread, moved) + 2.0 * v**2 / found.df_residual
    return np.asarray(2.0 * v**2 / variance)


def variance_covariance(solution: Solution, found: Sensitivity) -> tuple[Array, Array]:
    """Covariance of the estimated variances and their values, in the units of the data.

    Returns
    -------
    values : (e + 1,) array
        Free covariance entries of every factor (engine's basis times ``y_scale`` squared), the residual variance
        last.
    covariance : (e + 1, e + 1) array
        Their estimated covariance; entries on a boundary have none.
    """
    scale = solution.problem.prepared.y_scale**2
    sigma2 = solution.profile.sigma2
    entries = np.concatenate(
        [
            [gamma[i, j] for i, j in grouping.entries]
            for gamma, grouping in zip(solution.gammas, solution.problem.prepared.groupings, strict=True)
        ]
    )
    # (coordinates, log of residual variance beside its profile) -> (sigma2 g, sigma2)
    by_coordinate = np.column_stack([sigma2 * found.tangent + np.outer(found.sigma2_1, entries), found.sigma2_1])
    values = sigma2 * np.r_[entries, 1.0]
    spread = by_coordinate.T @ found.spread @ by_coordinate
    spread = spread + np.outer(values, values) * 2.0 / found.df_residual
    # the residual variance is told of a row of weight 1
    units = np.append(np.full(len(entries), scale), scale * solution.problem.prepared.weight_scale)
    return values * units, spread * np.outer(units, units)


@dataclass(frozen=True, kw_only=True, eq=False)
class SatterthwaiteReference:
    """Degrees of freedom of contrasts and joint tests by Satterthwaite's method."""

    solution: Solution
    found: Sensitivity

    def df(self, contrasts: Array) -> Array:
        """Degrees of freedom of each contrast (k, p)."""
        return contrast_df(self.solution, self.found, contrasts)

    def joint(self, contrasts: Array, vcov: Array) -> JointTest:
        """F test of several contrasts: the method of Fai and Cornelius (1996), as lmerTest does.

        Formula: with ``nu_m`` the degrees of freedom of the q independent contrasts and
        ``E = sum nu_m / (nu_m - 2)``, ``df = 2 E / (E - q)``. Source: doi:10.1080/00949659608811740.
        """
        q = len(contrasts)
        _, vectors = np.linalg.eigh(contrasts @ vcov @ contrasts.T)
        each = self.df(vectors.T @ contrasts)
        if float(np.ptp(each)) < 1e-8 * float(each.max()):
            df = float(each.mean())
        elif float(each.min()) <= 2.0:
            df = 2.0
        else:
            total = float((each / (each - 2.0)).sum())
            df = 2.0 * total / (total - q) if total > q else np.inf
        return JointTest(df=df, scale=1.0, words="Satterthwaite F test")
