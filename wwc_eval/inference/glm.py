"""Fitting a linear or generalised linear model on arrays.

Whatever the family, a fit ends in the same few arrays (:class:`Kernel`): the orthonormal factor of the
weighted design, the standardised residuals and the variance function. Every covariance is made from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.families import Family, Floats

__all__ = ["Kernel", "Solution", "at_edge", "back_substitute", "solve"]

MAX_NEWTON = 200
MAX_HALVINGS = 30
EARLY = 15
CONVERGED_DECREMENT = 1e-14
SUSPICIOUS_ETA = 12.0


def back_substitute(R: Floats, right: Floats) -> Floats:
    """``R^-1 right`` for an upper triangular R.

    The general solver never pivots such a matrix, so it is back substitution; the triangular one of LAPACK
    wakes every thread for it, which costs milliseconds on a busy machine.
    """
    return np.asarray(np.linalg.solve(R, right))


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What every covariance is made from.

    Parameters
    ----------
    Q, R : ndarray, shapes (n, p) and (p, p)
        QR factors of the weighted design ``sqrt(W) X``; ``W`` is prior weight times variance function for a
        GLM with canonical link and prior weight for a linear model.
    residual : ndarray, shape (n,)
        Pearson residuals: ``(y - mean) * sqrt(prior weight / variance function)``.
    variance : ndarray, shape (n,)
        Working variance of the outcome on its own scale: variance function over prior weight.
    dispersion : float
        Pearson chi-squared over residual degrees of freedom; NaN without residual degrees of freedom.
    classical_scale : float
        What multiplies ``(X'WX)^-1`` in the classical covariance: the dispersion, or 1.
    gaussian : bool
        Whether the family is gaussian (then heteroskedasticity-robust inference uses Student's t).
    """

    Q: Floats
    R: Floats
    residual: Floats
    variance: Floats
    dispersion: float
    classical_scale: float
    gaussian: bool
    estimated_dispersion: bool

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.Q)

    @property
    def p(self) -> int:
        """Columns."""
        return len(self.R)

    def outer(self, middle: Floats) -> Floats:
        """``R^-1 middle R^-T``: from the coordinates of Q to those of the coefficients."""
        full = back_substitute(self.R, back_substitute(self.R, middle).T)
        return np.asarray((full + full.T) / 2.0)

    def to_q(self, contrasts: Floats) -> Floats:
        """``R^-T c`` for contrasts (p, q) of coefficients."""
        # the transpose turned about both ways is upper triangular again
        turned = back_substitute(self.R.T[::-1, ::-1], contrasts[::-1])
        return turned[::-1]


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A fit on arrays.

    Parameters
    ----------
    beta : ndarray, shape (p,)
        Coefficients.
    eta : ndarray, shape (n,)
        Linear predictor, the offset included.
    kernel : Kernel
        What covariances are made from.
    log_likelihood : float
        Log-likelihood at the optimum; NaN for a quasi-likelihood.
    iterations : int
        Newton steps taken after the start.
    converged : bool
        Whether the Newton decrement vanished.
    suspicious : bool
        Whether fitted values came so near the edge of what is possible that separation must be excluded.
    """

    beta: Floats
    eta: Floats
    kernel: Kernel
    log_likelihood: float
    iterations: int
    converged: bool
    suspicious: bool


def solve(
    y: Floats,
    X: Floats,
    family: Family,
    *,
    offset: Floats | None = None,
    weights: Floats | None = None,
    trials: Floats | None = None,
    patient: bool = True,
) -> Solution:
    """Maximum likelihood (or least squares) fit.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Outcome; the share of successes where ``trials`` are given.
    X : ndarray, shape (n, p)
        Design of full column rank.
    family : Family
        Outcome family with its canonical link.
    offset : ndarray, shape (n,), optional
        Added to the linear predictor (the logarithm of the exposure).
    weights : ndarray, shape (n,), optional
        Prior (precision) weights.
    trials : ndarray, shape (n,), optional
        Number of trials behind each row of a binomial outcome.
    patient : bool
        False: give up early when fitted values run to the edge, for then separation is likely.

    Returns
    -------
    Solution
        ``converged`` and ``suspicious`` say whether to trust it.
    """
    n = len(y)
    prior = np.ones(n) if weights is None else weights
    if trials is not None:
        prior = prior * trials
    shift = np.zeros(n) if offset is None else offset
    if family.name == "gaussian":
        return _solve_linear(y, X, family, prior)
    return _solve_glm(_Task(y=y, X=X, family=family, prior=prior, shift=shift, patient=patient), trials)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A GLM to be solved: outcome, columns, family, prior weights (trials included), offset and patience."""

    y: Floats
    X: Floats
    family: Family
    prior: Floats
    shift: Floats
    patient: bool

    def eta(self, coefficients: Floats) -> Floats:
        """Linear predictor."""
        return np.asarray(self.X @ coefficients + self.shift)

    def value(self, eta: Floats) -> float:
        """Log-likelihood up to a constant."""
        return self.family.log_likelihood_core(self.y, eta, self.prior)


def _solve_linear(y: Floats, X: Floats, family: Family, prior: Floats) -> Solution:
    root = np.sqrt(prior)
    Q, R = np.linalg.qr(X * root[:, None])
    beta = back_substitute(R, Q.T @ (root * y))
    # one step of refinement recovers the digits that an ill-conditioned design loses
    beta = beta + back_substitute(R, Q.T @ (root * (y - X @ beta)))
    eta = X @ beta
    kernel = _kernel(Q, R, root * (y - eta), 1.0 / prior, family)
    return Solution(
        beta=beta,
        eta=eta,
        kernel=kernel,
        log_likelihood=family.log_likelihood(y, eta, prior, None),
        iterations=1,
        converged=True,
        suspicious=False,
    )


def _solve_glm(task: _Task, trials: Floats | None) -> Solution:
    family = task.family
    # Newton steps in orthonormal columns: scale and collinearity of the covariates do no harm there
    basis, corner = np.linalg.qr(task.X)
    turned = replace(task, X=basis)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gamma, steps, converged = _newton(turned, _start(turned))
        eta = turned.eta(gamma)
        slope = family.slope(eta)
        suspicious = not converged or bool(at_edge(task.y, eta, task.shift, family).any())
        tiny = np.finfo(float).tiny
        root = np.sqrt(np.maximum(task.prior * slope, tiny))
        kernel = _kernel(
            *np.linalg.qr(task.X * root[:, None]),
            family.residual(task.y, eta) * task.prior / root,
            np.maximum(slope, tiny) / task.prior,
            family,
        )
        log_likelihood = family.log_likelihood(task.y, eta, task.prior, trials)
    return Solution(
        beta=back_substitute(corner, gamma),
        eta=eta,
        kernel=kernel,
        log_likelihood=log_likelihood,
        iterations=steps,
        converged=converged,
        suspicious=suspicious,
    )


def _kernel(Q: Floats, R: Floats, residual: Floats, variance: Floats, family: Family) -> Kernel:
    df = len(Q) - Q.shape[1]
    dispersion = float(residual @ residual) / df if df > 0 else float("nan")
    return Kernel(
        Q=Q,
        R=R,
        residual=residual,
        variance=variance,
        dispersion=dispersion,
        classical_scale=dispersion if family.estimated_dispersion else 1.0,
        gaussian=family.name == "gaussian",
        estimated_dispersion=family.estimated_dispersion,
    )


def _start(task: _Task) -> Floats:
    """One step of reweighted least squares from outcomes pulled a little towards the middle, as R starts."""
    y, prior = task.y, task.prior
    if task.family.link == "logit":
        middle = (prior * y + 0.5) / (prior + 1.0)
        eta, slope = np.log(middle / (1.0 - middle)), middle * (1.0 - middle)
    else:
        middle = y + 0.1
        eta, slope = np.log(middle), middle
    working = eta + (y - middle) / slope - task.shift
    weight = prior * slope
    gram = (task.X * weight[:, None]).T @ task.X
    start = np.asarray(np.linalg.lstsq(gram, task.X.T @ (weight * working), rcond=None)[0], dtype=float)
    usable = np.isfinite(task.value(task.eta(start)))
    return np.asarray(start if usable else task.X.T @ (eta - task.shift))


def _newton(task: _Task, start: Floats) -> tuple[Floats, int, bool]:
    """Newton steps with halving until the decrement vanishes; then one more for the last digits."""
    found, eta = start, task.eta(start)
    value = task.value(eta)
    last = False
    for step in range(1, MAX_NEWTON + 1):
        gradient = task.X.T @ (task.prior * task.family.residual(task.y, eta))
        hessian = (task.X * (task.prior * task.family.slope(eta))[:, None]).T @ task.X
        try:
            np.linalg.cholesky(hessian)  # refuses what is not positive definite
            move = np.asarray(np.linalg.solve(hessian, gradient), dtype=float)
        except np.linalg.LinAlgError:
            return found, step, False
        decrement = float(gradient @ move)
        share = _step_length(task, found, move, value)
        if share is None or not np.isfinite(decrement):
            return found, step, False
        found = found + share * move
        eta = task.eta(found)
        value = task.value(eta)
        if last:
            return found, step, True
        if step >= EARLY and not task.patient and at_edge(task.y, eta, task.shift, task.family).any():
            return found, step, False
        last = share == 1.0 and decrement < CONVERGED_DECREMENT
    return found, MAX_NEWTON, False


def _step_length(task: _Task, found: Floats, move: Floats, value: float) -> float | None:
    """Share of a Newton step that does not lose likelihood; None where every share does."""
    share = 1.0
    for _ in range(MAX_HALVINGS):
        # near the optimum the change drowns in rounding: a small loss is no reason to halve
        if task.value(task.eta(found + share * move)) >= value - 1e-12 * max(1.0, abs(value)):
            return share
        share /= 2.0
    return None


def at_edge(y: Floats, eta: Floats, shift: Floats, family: Family) -> NDArray[np.bool_]:
    """Rows whose fitted value is so extreme that separation may be behind it."""
    if family.link == "logit":
        return np.asarray(np.abs(eta) > SUSPICIOUS_ETA)
    rate = eta - shift
    return np.asarray((y == 0) & (rate < float(np.max(rate)) - SUSPICIOUS_ETA))
