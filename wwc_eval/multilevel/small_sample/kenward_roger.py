"""Kenward and Roger's adjusted covariance, degrees of freedom and scaled F tests for REML fits.

Every quantity is a derivative of two functions of the variances, ``log|V|`` and ``X' V^-1 X``, because V is linear
in them: with ``V = sum_r gamma_r G_r``::

    P_r  = d(X' V^-1 X) / d gamma_r                      = -X' V^-1 G_r V^-1 X
    Q_rs + Q_sr = d^2(X' V^-1 X) / d gamma_r d gamma_s   =  X' V^-1 (G_r V^-1 G_s + G_s V^-1 G_r) V^-1 X
    tr(V^-1 G_r V^-1 G_s) = -d^2 log|V| / d gamma_r d gamma_s

so the fold's expansion gives them without any n x n or q x q matrix. All variances take part, those at a boundary
too, as in pbkrtest.

Source: Kenward and Roger (1997), doi:10.2307/2533558; Halekoh and Hojsgaard (2014), doi:10.18637/jss.v059.i09.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.multilevel.engine.expansion import Expansion, expand
from wwc_eval.multilevel.engine.solve import Solution
from wwc_eval.multilevel.engine.structure import Array

__all__ = ["KenwardRoger", "assemble", "kenward_roger"]

LARGEST_CROSSED = 2_500
"""Random effects of a crossed model beyond which the dense expansion is refused."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KenwardRoger:
    """Pieces of the adjustment, in the engine's units.

    Parameters
    ----------
    phi : (p, p) array
        Model-based covariance of the fixed effects.
    adjusted : (p, p) array
        Adjusted covariance.
    slopes : (t, p, p) array
        ``P_r`` of each variance.
    weights : (t, t) array
        Covariance of the estimated variances (twice the inverse expected information).
    X_root : (p, p) array
        Way back to the columns of the data.
    y_scale : float
        Way back to the units of the outcome.
    """

    phi: Array
    adjusted: Array
    slopes: Array
    weights: Array
    X_root: Array
    y_scale: float

    @property
    def vcov(self) -> Array:
        """Adjusted covariance of the fixed effects in the units of the data."""
        back = np.linalg.solve(self.X_root, self.adjusted)
        found = np.linalg.solve(self.X_root, back.T) * self.y_scale**2
        return (found + found.T) / 2.0

    def df(self, contrasts: Array) -> tuple[float, float]:
        """Denominator degrees of freedom and scale of the F test that all the contrasts are zero.

        Parameters
        ----------
        contrasts : (k, p) array
            Contrasts of the fixed effects, linearly independent.

        Returns
        -------
        df, scale : float
            ``scale * F`` follows F(k, df); ``scale`` is 1 for a single contrast.
        """
        q = len(contrasts)
        inner = np.linalg.solve(self.X_root.T, contrasts.T)
        theta = inner @ np.linalg.solve(inner.T @ self.phi @ inner, inner.T)
        turned = [theta @ self.phi @ slope @ self.phi for slope in self.slopes]
        traces = np.array([np.trace(each) for each in turned])
        a_1 = float(traces @ self.weights @ traces)
        products = np.array([[np.sum(a * b.T) for b in turned] for a in turned])
        a_2 = float(np.sum(self.weights * products))
        if a_2 <= 0:
            return np.inf, 1.0
        b = (a_1 + 6.0 * a_2) / (2.0 * q)
        g = ((q + 1) * a_1 - (q + 4) * a_2) / ((q + 2) * a_2)
        base = 3.0 * q + 2.0 * (1.0 - g)
        c_1, c_2, c_3 = g / base, (q - g) / base, (q + 2 - g) / base
        v_0, v_1, v_2 = 1.0 + c_1 * b, 1.0 - c_2 * b, 1.0 - c_3 * b
        mean = 1.0 - a_2 / q
        # the ratio in pbkrtest's order, which stays finite where one of the factors vanishes
        rho = mean**2 * (v_0 / v_1**2 / v_2) / q if v_1 and v_2 else np.inf
        below = q * rho - 1.0
        df = 4.0 + (q + 2.0) / below if below else np.inf
        scale = df / (df - 2.0) * mean if np.isfinite(df) and df > 2 else 1.0
        return float(df), float(scale) if q > 1 else 1.0


def kenward_roger(solution: Solution) -> KenwardRoger:
    """Adjustment for a fitted model.

    Parameters
    ----------
    solution : Solution
        A REML fit.

    Raises
    ------
    DesignError
        For an ML fit, and for crossed factors with very many random effects.
    """
    problem = solution.problem
    if not problem.reml:
        raise DesignError(
            "Kenward and Roger's method needs a REML fit, this is a maximum likelihood fit",
            fix="fit with method='reml', or use with_inference('satterthwaite') or 'CR2'",
        )
    if not problem.nested and problem.effects > LARGEST_CROSSED:
        raise DesignError(
            f"crossed factors with {problem.effects:,} random effects are too many for Kenward and Roger",
            rule=f"at most {LARGEST_CROSSED:,}",
            fix="use with_inference('satterthwaite')",
        )
    base, levels = problem.levels(solution.gammas)
    expansion = expand(base, levels)
    entries = np.concatenate(
        [
            [gamma[i, j] for i, j in grouping.entries]
            for gamma, grouping in zip(solution.gammas, problem.prepared.groupings, strict=True)
        ]
    )
    return assemble(
        expansion,
        entries,
        n=solution.n,
        sigma2=solution.profile.sigma2,
        inverse=solution.profile.inverse,
        way_back=(problem.prepared.X_root, problem.prepared.y_scale),
    )


def assemble(
    expansion: Expansion,
    g: Array,
    *,
    n: float,
    sigma2: float,
    inverse: Array,
    way_back: tuple[Array, float],
) -> KenwardRoger:
    """From derivatives in the relative covariances to those in the variances themselves.

    With residual variance s and ``g = gamma / s``: ``X' V^-1 X = A(g) / s`` and ``log|V| = n log s + l(g)``.

    Parameters
    ----------
    expansion : Expansion
        At the minimum.
    g : (e,) array
        Free entries of the relative covariances.
    n, sigma2 : float
        Rows and residual variance, in the engine's units.
    inverse : (p, p) array
        Inverse of ``X' V^-1 X``, V relative to the residual variance.
    way_back : pair
        ``X_root`` and ``y_scale``.
    """
    s, p, t = sigma2, len(inverse), len(g)
    A = expansion.A[:p, :p]
    first = np.array([a[:p, :p] for a in expansion.A_1]).reshape(t, p, p)
    second = np.empty((t, t, p, p))
    trace = np.empty((t, t))
    for (a, b), value in expansion.A_2.items():
        second[a, b] = second[b, a] = value[:p, :p]
        trace[a, b] = trace[b, a] = float(expansion.log_det_2[a, b])
    log_1 = np.array([float(each) for each in expansion.log_det_1])
    along = np.tensordot(g, first, axes=1)
    bent = np.tensordot(g, second, axes=1)
    slopes = np.concatenate([first / s**2, -(A + along)[None] / s**2])
    curves = np.empty((t + 1, t + 1, p, p))
    curves[:t, :t] = second / s**3
    curves[:t, t] = curves[t, :t] = -(2.0 * first + bent) / s**3
    curves[t, t] = (2.0 * A + 4.0 * along + np.tensordot(g, bent, axes=1)) / s**3
    traces = np.empty((t + 1, t + 1))
    traces[:t, :t] = -trace / s**2
    traces[:t, t] = traces[t, :t] = (log_1 + trace @ g) / s**2
    traces[t, t] = (n - 2.0 * g @ log_1 - g @ trace @ g) / s**2
    phi = inverse * s
    # 'curves' is Q_rs + Q_sr: half of it is the symmetric part, all that traces and symmetric sums see
    inside = np.einsum("rij,jk,skl,li->rs", slopes, phi, slopes, phi, optimize=True)
    information = traces - np.einsum("ij,rsji->rs", phi, curves) + inside
    weights = 2.0 * np.linalg.pinv((information + information.T) / 2.0, rcond=1e-14, hermitian=True)
    middle = np.tensordot(weights, curves / 2.0, axes=([0, 1], [0, 1]))
    middle = middle - np.einsum("rs,rij,jk,skl->il", weights, slopes, phi, slopes, optimize=True)
    adjusted = phi + phi @ (middle + middle.T) @ phi
    X_root, y_scale = way_back
    return KenwardRoger(phi=phi, adjusted=adjusted, slopes=slopes, weights=weights, X_root=X_root, y_scale=y_scale)
