"""Two-stage least squares on arrays, with every covariance of the package, and the pair of regressions behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.covariance import Covariance, make_covariance
from wwc_eval.inference.families import Floats
from wwc_eval.inference.glm import Kernel

__all__ = ["FirstStage", "ReducedForms", "kernel_of", "reduced_forms", "stage_two"]


def kernel_of(X: Floats, residual: Floats, *, lost: int = 0) -> Kernel:
    """What covariances are made from, for a design of full rank and residuals that need not be its own."""
    Q, R = np.linalg.qr(X)
    df = len(X) - X.shape[1] - lost
    dispersion = float(residual @ residual) / df if df > 0 else float("nan")
    return Kernel(
        Q=Q,
        R=R,
        residual=residual,
        variance=np.ones(len(X)),
        dispersion=dispersion,
        classical_scale=dispersion,
        gaussian=True,
        estimated_dispersion=True,
    )


def stage_two(beta: Floats, y: Floats, X: Floats, D: Floats, Z: Floats) -> Kernel:
    """Kernel of the second stage: the design has the fitted uptake in it, the residuals the uptake itself."""
    whole = np.column_stack([X, Z])
    fitted = whole @ np.linalg.lstsq(whole, D, rcond=None)[0]
    return kernel_of(np.column_stack([X, fitted]), y - np.column_stack([X, D]) @ beta)


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstStage:
    """Whether the instrument moves the uptake.

    Parameters
    ----------
    coefficients, errors : ndarray, shape (q,)
        Effect of each instrument on uptake.
    F, df1, df2, p_value : float
        Joint test with the errors asked for.
    partial_r2 : float
        Share of the variance of uptake, given the covariates, that the instruments explain.
    """

    coefficients: Floats
    errors: Floats
    F: float
    df1: float
    df2: float
    p_value: float
    partial_r2: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedForms:
    """Effects of the instruments on outcome and uptake with their joint covariance.

    Parameters
    ----------
    on_outcome, on_uptake : ndarray, shape (q,)
        Coefficients.
    outcome, uptake, both : ndarray, shape (q, q)
        Covariances of the first, of the second, and between them (symmetrised).
    scale, df2 : float
        The test of q coefficients is ``scale * a' V^-1 a / q`` against F(q, df2).
    first : FirstStage
        The regression of uptake.
    words : str
        Errors in words.
    usable : bool
        Whether there are variances and degrees of freedom to test with.
    """

    on_outcome: Floats
    on_uptake: Floats
    outcome: Floats
    uptake: Floats
    both: Floats
    scale: float
    df2: float
    first: FirstStage
    words: str
    usable: bool

    def at(self, value: float) -> tuple[Floats, Floats]:
        """Effect on ``outcome - value * uptake`` and its covariance."""
        effect = self.on_outcome - value * self.on_uptake
        return effect, self.outcome - 2.0 * value * self.both + value**2 * self.uptake


def reduced_forms(
    y: Floats,
    X: Floats,
    D: Floats,
    Z: Floats,
    *,
    kind: str,
    codes: NDArray[np.intp] | None,
    cluster: str | None,
) -> ReducedForms:
    """Regressions of outcome and uptake on instruments and covariates.

    The covariance of any combination of the two residuals is a quadratic form in it, so three covariances give all.
    """
    from scipy import special

    whole = np.column_stack([X, Z])
    p, q = X.shape[1], Z.shape[1]
    Q, R = np.linalg.qr(whole)
    beta = np.linalg.solve(R, Q.T @ np.column_stack([y, D]))
    left = np.column_stack([y, D]) - whole @ beta
    base = kernel_of(whole, left[:, 0])

    def covariance(residual: Floats) -> Covariance:
        df = len(whole) - whole.shape[1]
        dispersion = float(residual @ residual) / df if df > 0 else float("nan")
        kernel = replace(base, residual=residual, dispersion=dispersion, classical_scale=dispersion)
        return make_covariance(kernel, kind, codes=codes, cluster=cluster)

    found = [covariance(each) for each in (left[:, 0], left[:, 1], left[:, 0] + left[:, 1])]
    own = slice(p, p + q)
    outcome, uptake, total = (each.matrix[own, own] for each in found)
    scale, df2 = _reference(found[0], p, q)
    # clusters that fit the outcome exactly leave a rounding error, not a variance
    alive = all(found[0].variance(each) > 0 for each in np.eye(p + q)[p:])
    on_uptake = beta[own, 1]
    without = D - X @ np.linalg.lstsq(X, D, rcond=None)[0]
    exact = float(left[:, 1] @ left[:, 1]) <= 1e-20 * float(without @ without)  # uptake is the allocation itself
    F = np.inf if exact else float(scale * on_uptake @ np.linalg.solve(uptake, on_uptake)) / q
    first = FirstStage(
        coefficients=on_uptake,
        errors=np.sqrt(np.diag(uptake)),
        F=F,
        df1=float(q),
        df2=df2,
        p_value=float(special.fdtrc(q, df2, F)) if np.isfinite(F) else 0.0,
        partial_r2=1.0 - float(left[:, 1] @ left[:, 1]) / float(without @ without),
    )
    return ReducedForms(
        on_outcome=beta[own, 0],
        on_uptake=on_uptake,
        outcome=outcome,
        uptake=uptake,
        both=0.5 * (total - outcome - uptake),
        scale=scale,
        df2=df2,
        first=first,
        words=found[0].words,
        usable=bool(alive and df2 > 0 and scale > 0 and np.all(np.isfinite(total))),
    )


def _reference(found: Covariance, p: int, q: int) -> tuple[float, float]:
    """Scale and denominator degrees of freedom of a joint test of the last q coefficients."""
    contrasts = np.zeros((p + q, q))
    contrasts[p:] = np.eye(q)
    if found.satterthwaite and found.robust is not None:
        if q == 1:
            return 1.0, found.df(contrasts[:, 0])
        _, eta = found.robust.aht(contrasts)
        return max(eta - q + 1.0, 0.0) / eta, max(eta - q + 1.0, 1e-9)
    return 1.0, found.constant_df
