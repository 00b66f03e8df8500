"""Estimates of a staggered roll-out from cohort means and covariances: beta*, theta-hat, and both of its errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.staggered_rollout import Rollout
from wwc_eval.did.staggered_targets import Cells, Targets
from wwc_eval.inference.families import Floats

__all__ = ["FIXED", "ROUNDING", "Solved", "beta_star", "gains_of", "solve", "solve_cells"]

FIXED = {"difference_in_means": 0.0, "callaway_santanna": 1.0, "sun_abraham": 1.0}
"""Coefficient of X-hat where it is not estimated."""
SINGULAR = float(np.sqrt(np.finfo(float).eps))
"""Eigenvalues smaller than this share of the largest are zero, as in R's MASS::ginv."""
ROUNDING = 1e-12
"""Share of the largest outcome that is rounding."""
HELD = 4_000_000
"""Numbers of a matrix A held at once."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """Estimates with Neyman's conservative variance.

    Parameters
    ----------
    estimates : ndarray, shape (m,)
        theta-hat of each target.
    beta : ndarray, shape (m,)
        Coefficient of X-hat.
    theta_zero, x_hat, x_variance, x_df : ndarray, shape (m,)
        The difference in means without adjustment; the difference before treatment, its variance and df.
    together : ndarray, shape (m, G, T)
        ``A_theta - beta A_0``.
    variances : ndarray, shape (m,)
        ``sum_g A_g S_g A_g' / N_g``, conservative.
    df : ndarray, shape (m,)
        Welch and Satterthwaite: ``(sum_g v_g)^2 / sum_g v_g^2 / (N_g - 1)``, v_g what each cohort adds to the variance.
    """

    estimates: Floats
    beta: Floats
    theta_zero: Floats
    x_hat: Floats
    x_variance: Floats
    x_df: Floats
    together: Floats
    variances: Floats
    df: Floats

    def influence(self, rollout: Rollout, first: int) -> Floats:
        """What each unit adds to the first targets (n, first): ``influence' influence`` is their covariance."""
        found = np.zeros((len(rollout.member), first))
        for g, size in enumerate(rollout.sizes.tolist()):
            scores = rollout.deviations[g] @ self.together[:first, g].T
            found[rollout.member == g] = scores / np.sqrt(size * (size - 1.0))
        return found


def beta_star(covariance: Floats, variance: Floats, scale: float) -> Floats:
    """The coefficient of X-hat with the smallest variance, ``Var(X-hat)^-1 Cov(X-hat, theta-hat_0)``; 0 where X-hat is fixed.

    Parameters
    ----------
    covariance, variance : ndarray
        Of X-hat with theta-hat_0, and of X-hat.
    scale : float
        Largest outcome, which says what rounding is.

    Examples
    --------
    >>> beta_star(np.array([1.0, 0.0]), np.array([2.0, 0.0]), 1.0).tolist()
    [0.5, 0.0]
    """
    free = variance > (ROUNDING * scale) ** 2
    return np.asarray(np.where(free, covariance / np.where(free, variance, 1.0), 0.0))


def solve(rollout: Rollout, theta: Floats, zero: Floats, adjustment: str) -> Solved:
    """Estimates of targets with matrices A_theta and A_0, shape (m, G, T) each.

    Parameters
    ----------
    rollout : Rollout
        The units.
    theta, zero : ndarray
        The matrices.
    adjustment : str
        ``efficient`` takes beta*, the others what :data:`FIXED` says.
    """
    sizes = rollout.sizes
    m = len(theta)
    covariance, before, parts = np.zeros(m), np.zeros((m, len(sizes))), np.zeros((m, len(sizes)))
    for g, size in enumerate(sizes.tolist()):
        half = zero[:, g] @ rollout.covariances[g] / size
        before[:, g] = (half * zero[:, g]).sum(axis=1)
        covariance += (half * theta[:, g]).sum(axis=1)
    x_variance = before.sum(axis=1)
    if adjustment in FIXED:
        beta = np.full(m, FIXED[adjustment])
    else:
        beta = beta_star(covariance, x_variance, float(np.abs(rollout.sample.outcomes).max()))
    together = theta - beta[:, None, None] * zero
    for g, size in enumerate(sizes.tolist()):
        parts[:, g] = ((together[:, g] @ rollout.covariances[g] / size) * together[:, g]).sum(axis=1)
    return Solved(
        estimates=(together * rollout.means).sum(axis=(1, 2)),
        beta=beta,
        theta_zero=(theta * rollout.means).sum(axis=(1, 2)),
        x_hat=(zero * rollout.means).sum(axis=(1, 2)),
        x_variance=x_variance,
        together=together,
        x_df=_welch(before, sizes),
        variances=parts.sum(axis=1),
        df=_welch(parts, sizes),
    )


def _welch(parts: Floats, sizes: Floats) -> Floats:
    """Degrees of freedom of variances that cohorts of these sizes add up to, shape (m,)."""
    square = (parts**2 / (sizes - 1.0)).sum(axis=1)
    return np.asarray(parts.sum(axis=1) ** 2 / np.where(square > 0, square, 1.0))


def solve_cells(cells: Cells, adjustment: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Estimate, conservative variance, df and beta of every cell, shape (K,) each; a part of the matrices at a time."""
    rollout = cells.rollout
    step = max(1, HELD // (len(rollout.starts) * rollout.sample.n_periods))
    found = []
    for start in range(0, len(cells.cohort), step):
        part = slice(start, start + step)
        theta, zero = cells.matrices(np.eye(len(cells.cohort[part])), part)
        one = solve(rollout, theta, zero, adjustment)
        found.append((one.estimates, one.variances, one.df, one.beta))
    values, variances, df, beta = (np.concatenate(column) for column in zip(*found, strict=True))
    return values, variances, df, beta


def gains_of(rollout: Rollout, targets: Targets, anticipation: int) -> tuple[Floats, bool]:
    """What the adjusted covariance of the targets is less than the conservative one, (m, m), and whether it rests on too little.

    Formula: with S_g the covariances of the periods before the first cohort of a target was treated, and beta_g the regression
    of ``A_theta,g Y`` on them, ``(sum_g beta_g)' mean(S_g) (sum_g beta_g) / N``, g from that cohort on: what these outcomes
    explain of how effects differ between units. Effects before treatment are zero in all units and have none. It rests on too
    little where a cohort has no more units than there are such periods, and one.

    Parameters
    ----------
    rollout, targets
        Units, and the matrices.
    anticipation : int
        Periods before treatment that are no longer before its effect.
    """
    n, T = float(rollout.sizes.sum()), rollout.sample.n_periods
    cohorts = len(rollout.starts)
    leads = (np.abs(targets.theta).max(axis=2) > 0).argmax(axis=1)
    loads = np.zeros((len(leads), cohorts * T))
    thin = False
    for lead in np.unique(leads[targets.post]).tolist():
        before = rollout.times < rollout.starts[lead] - anticipation
        if not before.any():
            continue
        here = np.flatnonzero(targets.post & (leads == lead))
        total = np.zeros((len(here), int(before.sum())))
        for g in range(lead, cohorts):
            cross = rollout.covariances[g][before]
            total += targets.theta[here, g] @ cross.T @ _power(cross[:, before], -1.0)
        mean = rollout.covariances[lead:][:, before][:, :, before].mean(axis=0)
        # targets of different first cohorts keep apart: what they share is not claimed
        loads[here, lead * T : lead * T + total.shape[1]] = total @ _power(mean, 0.5) / np.sqrt(n)
        if lead == leads[0]:
            thin = bool((rollout.sizes[lead:] <= before.sum() + 1).any())
    return loads @ loads.T, thin


def _power(matrix: Floats, power: float) -> Floats:
    """Power of a covariance, over the eigenvalues that are not zero."""
    values, vectors = np.linalg.eigh(matrix)
    keep: NDArray[np.bool_] = values > SINGULAR * max(float(values[-1]), 0.0)
    return np.asarray((vectors[:, keep] * values[keep] ** power) @ vectors[:, keep].T)
