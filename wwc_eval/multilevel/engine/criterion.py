"""Profiled REML criterion and ML deviance of a linear mixed model, with gradient and Hessian.

With the folded matrix ``A = [X y]' V^-1 [X y]`` (V relative to the residual variance)::

    ML:    log|V| + n (1 + log(2 pi r / n)),                 r = A_yy - A_yx A_xx^-1 A_xy
    REML:  log|V| + log|A_xx| + (n - p) (1 + log(2 pi r / (n - p)))

Source: Bates, Maechler, Bolker and Walker (2015), doi:10.18637/jss.v067.i01, equations 34 and 42.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log, pi

import numpy as np
from numpy.linalg import LinAlgError

from wwc_eval.multilevel.engine.covariance import Face, Parameters
from wwc_eval.multilevel.engine.expansion import Expansion
from wwc_eval.multilevel.engine.fold import Engine
from wwc_eval.multilevel.engine.structure import Array

__all__ = ["Criterion", "Profile", "Slopes", "on_face", "profile_of", "slopes_of", "value_of"]


@dataclass(frozen=True, slots=True)
class Profile:
    """The model at given covariances, in the engine's units.

    Parameters
    ----------
    value : float
        Criterion without the constant of :meth:`Prepared.constant`.
    beta : (p,) array
        Coefficients of the orthonormal basis of X.
    sigma2 : float
        Residual variance.
    inverse : (p, p) array
        Inverse of ``X' V^-1 X``.
    """

    value: float
    beta: Array
    sigma2: float
    inverse: Array


def value_of(A: Array, log_det: float, n: int, reml: bool) -> tuple[float, float] | None:
    """Criterion and residual variance from a folded matrix; nothing where it is not positive definite."""
    p = len(A) - 1
    df = n - p if reml else n
    try:
        pivots = np.linalg.cholesky(A).diagonal()
    except LinAlgError:
        return None
    sigma2 = float(pivots[p]) ** 2 / df
    if not sigma2 > 0:
        return None
    value = log_det + df * (1.0 + log(2.0 * pi * sigma2))
    if reml:
        value += 2.0 * float(np.log(pivots[:p]).sum())
    return (value, sigma2) if isfinite(value) else None


def profile_of(A: Array, log_det: float, n: int, reml: bool) -> Profile | None:
    """Criterion and estimates from a folded matrix; nothing where it is not positive definite."""
    found = value_of(A, log_det, n, reml)
    if found is None:
        return None
    p = len(A) - 1
    inverse = np.linalg.inv(A[:p, :p])
    inverse = (inverse + inverse.T) / 2.0
    return Profile(found[0], inverse @ A[:p, p], found[1], inverse)


@dataclass(frozen=True, kw_only=True, eq=False)
class Criterion:
    """The criterion as a function of the covariance parameters.

    Parameters
    ----------
    engine : Engine
        Nested or crossed.
    parameters : Parameters
        Layout of ``theta``.
    n : int
        Rows.
    reml : bool
        REML criterion, else ML deviance.
    """

    engine: Engine
    parameters: Parameters
    n: int
    reml: bool

    def profile(self, factors: Sequence[Array]) -> Profile | None:
        """The model at given roots of the covariances."""
        A, log_det, _ = self.engine.reduce(factors)
        return profile_of(A, log_det, self.n, self.reml)

    def value(self, factors: Sequence[Array]) -> float:
        """Criterion at given roots; infinity where it cannot be computed."""
        with np.errstate(all="ignore"):  # far away from any minimum numbers may overflow
            A, log_det, _ = self.engine.reduce(factors)
            found = value_of(A, log_det, self.n, self.reml)
        return inf if found is None else found[0]

    def slopes(self, factors: Sequence[Array]) -> tuple[float, list[Array]]:
        """Criterion and its derivatives by each relative covariance."""
        with np.errstate(all="ignore"):
            A, log_det, tape = self.engine.reduce(factors)
            found = profile_of(A, log_det, self.n, self.reml)
        if found is None:
            return inf, [np.zeros_like(root) for root in factors]
        direction = np.append(-found.beta, 1.0)
        adjoint = direction[:, None] * (direction / found.sigma2)
        if self.reml:
            adjoint[:-1, :-1] += found.inverse
        return found.value, self.engine.pull_back(tape, adjoint)

    def gradient(self, theta: Array) -> tuple[float, Array]:
        """Criterion and gradient by ``theta``."""
        factors = self.parameters.factors(theta)
        value, slopes = self.slopes(factors)
        return value, self.parameters.gradient(factors, slopes)


@dataclass(frozen=True, slots=True)
class Slopes:
    """Criterion and derivatives by the free covariance entries ``g``, for one model or a stack.

    Parameters
    ----------
    value : (..) array
        Criterion.
    first : (.., e) array
    second : (.., e, e) array
    beta : (.., p) array
    sigma2 : (..) array
    inverse : (.., p, p) array
    inverse_1 : (.., e, p, p) array
        First derivatives of the inverse of ``X' V^-1 X``.
    sigma2_1 : (.., e) array
        First derivatives of the profiled residual variance.
    """

    value: Array
    first: Array
    second: Array
    beta: Array
    sigma2: Array
    inverse: Array
    inverse_1: Array
    sigma2_1: Array


def slopes_of(expansion: Expansion, n: Array | float, reml: bool) -> Slopes:
    """Criterion with exact gradient and Hessian in ``g`` from an expansion.

    Formula: with ``v = [-beta; 1]``, ``r_a = v' A_a v`` and
    ``r_ab = v' A_ab v - 2 (A_a v)_x' A_xx^-1 (A_b v)_x``; ``log|A_xx|`` has derivatives ``tr(P A_a)`` and
    ``tr(P A_ab) - tr(P A_a P A_b)`` with ``P = A_xx^-1``.
    """
    A = expansion.A
    p = A.shape[-1] - 1
    entries = len(expansion.A_1)
    df = n - p if reml else np.asarray(n, dtype=float)
    inverse = np.asarray(np.linalg.inv(A[..., :p, :p]), dtype=float)
    beta = (inverse @ A[..., :p, p:])[..., 0]
    rest = A[..., p, p] - (A[..., p, :p] * beta).sum(-1)
    rest = np.where(rest > 0, rest, np.nan)  # a residual that rounding takes to 0 or below has no criterion
    value = expansion.log_det + df * (1.0 + np.log(2.0 * pi * rest / df))
    if reml:
        value = value + np.linalg.slogdet(A[..., :p, :p])[1]
    direction = np.concatenate([-beta, np.ones((*beta.shape[:-1], 1))], axis=-1)
    along = [(A_a @ direction[..., None])[..., 0] for A_a in expansion.A_1]
    rest_1 = [(a * direction).sum(-1) for a in along]
    moved = [inverse @ A_a[..., :p, :p] for A_a in expansion.A_1]
    first = np.empty((*value.shape, entries))
    second = np.empty((*value.shape, entries, entries))
    for a in range(entries):
        trace = np.trace(moved[a], axis1=-2, axis2=-1) if reml else 0.0
        first[..., a] = expansion.log_det_1[a] + trace + df * rest_1[a] / rest
        for b in range(a, entries):
            A_ab = expansion.A_2[a, b]
            bent = (A_ab @ direction[..., None])[..., 0]
            turned = (inverse @ along[b][..., :p, None])[..., 0]
            rest_2 = (bent * direction).sum(-1) - 2.0 * (along[a][..., :p] * turned).sum(-1)
            trace = 0.0
            if reml:
                trace = (inverse * A_ab[..., :p, :p]).sum((-2, -1))
                trace = trace - (moved[a] * moved[b].swapaxes(-1, -2)).sum((-2, -1))
            curve = rest_2 / rest - rest_1[a] * rest_1[b] / rest**2
            second[..., a, b] = second[..., b, a] = expansion.log_det_2[a, b] + trace + df * curve
    inverse_1 = (
        np.stack([-(m @ inverse) for m in moved], axis=-3) if entries else np.zeros((*value.shape, 0, p, p))
    )
    sigma2_1 = np.stack(rest_1, axis=-1) / np.asarray(df)[..., None] if entries else np.zeros((*value.shape, 0))
    return Slopes(value, first, second, beta, rest / df, inverse, inverse_1, sigma2_1)


def on_face(slopes: Slopes, face: Face) -> tuple[Array, Array]:
    """Gradient and Hessian of the criterion in the coordinates of a face."""
    gradient = face.tangent @ slopes.first
    hessian = face.tangent @ slopes.second @ face.tangent.T + face.curvature @ slopes.first
    return gradient, (hessian + hessian.T) / 2.0
