"""One common factor of a correlation matrix: maximum likelihood or minimum residuals.

Maximum likelihood profiles the loadings out of the discrepancy ``log|Sigma| + tr(S Sigma^-1) - log|S| - k``: given the
uniquenesses they come from the first eigenvector of ``D^-1/2 R D^-1/2`` (Joreskog 1967, doi:10.1007/BF02289658). Minimum
residuals do the same with the residual correlations off the diagonal (Harman and Jones 1966, doi:10.1007/BF02289468).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wwc_eval.fidelity.reliability.reading import Floats

__all__ = ["Factor", "omega_of", "one_factor"]

LOWEST = 0.005
"""Smallest uniqueness, as in R's factanal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Factor:
    """A fitted factor.

    Parameters
    ----------
    loadings, uniquenesses : ndarray, shape (k,)
        Of standardised items; the loadings sum to something positive.
    discrepancy : float
        The minimum of what was minimised.
    """

    loadings: Floats
    uniquenesses: Floats
    discrepancy: float

    @property
    def df(self) -> int:
        """Degrees of freedom of the one-factor model."""
        k = len(self.loadings)
        return k * (k - 3) // 2

    @property
    def heywood(self) -> bool:
        """Whether a uniqueness stands at its bound."""
        return bool(np.any(self.uniquenesses <= LOWEST * (1 + 1e-6)))

    def chi2(self, n: int) -> float:
        """Test of the one-factor model with Bartlett's correction."""
        k = len(self.loadings)
        return (n - 1.0 - (2.0 * k + 5.0) / 6.0 - 2.0 / 3.0) * self.discrepancy


def one_factor(R: Floats, *, method: str = "ml") -> Factor:
    """Fit one factor to a correlation matrix (k, k)."""
    from scipy import optimize

    work = _ml if method == "ml" else _minres
    k = len(R)
    try:
        start = 0.5 / np.diag(np.linalg.inv(R))  # as factanal: (1 - 0.5 / k) of it
        start = (1.0 - 0.5 / k) * 2.0 * start
    except np.linalg.LinAlgError:
        start = np.full(k, 0.5)
    start = np.clip(start, LOWEST, 1.0)
    found = optimize.minimize(
        work,
        start,
        args=(R,),
        jac=True,
        method="L-BFGS-B",
        bounds=[(LOWEST, 1.0)] * k,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500},
    )
    psi = np.asarray(found.x)
    loadings = _loadings(psi, R) if method == "ml" else _reduced(psi, R)[0]
    if loadings.sum() < 0:
        loadings = -loadings
    return Factor(loadings=loadings, uniquenesses=psi, discrepancy=max(float(found.fun), 0.0))


def omega_of(covariance: Floats, *, method: str = "ml", standardised: bool = False) -> tuple[float, Factor]:
    """Omega of the sum of the items, and the factor behind it."""
    sd = np.sqrt(np.diag(covariance))
    fit = one_factor(covariance / np.outer(sd, sd), method=method)
    scale = np.ones_like(sd) if standardised else sd
    common = float(scale @ fit.loadings) ** 2
    # what the factor leaves of an item: its variance less its loading
    unique = float(scale**2 @ (fit.uniquenesses if method == "ml" else 1.0 - fit.loadings**2))
    total = common + unique
    return (common / total if total > 0 else math.nan), fit


def _loadings(psi: Floats, R: Floats) -> Floats:
    root = np.sqrt(psi)
    values, vectors = np.linalg.eigh(R / np.outer(root, root))
    return np.asarray(root * vectors[:, -1] * math.sqrt(max(values[-1] - 1.0, 0.0)))


def _ml(psi: Floats, R: Floats) -> tuple[float, Floats]:
    """Profiled discrepancy and its gradient (factanal's, up to its sign)."""
    root = np.sqrt(psi)
    values, vectors = np.linalg.eigh(R / np.outer(root, root))
    rest = np.maximum(values[:-1], 1e-12)
    value = float((rest - np.log(rest) - 1.0).sum())
    loadings = root * vectors[:, -1] * math.sqrt(max(values[-1] - 1.0, 0.0))
    gradient = (loadings**2 + psi - np.diag(R)) / psi**2
    return value, gradient


def _reduced(psi: Floats, R: Floats) -> tuple[Floats, Floats]:
    """Loadings from the first eigenvector of ``R - diag(psi)``, and what they leave of it."""
    reduced = R - np.diag(psi)
    values, vectors = np.linalg.eigh(reduced)
    loadings = vectors[:, -1] * math.sqrt(max(values[-1], 0.0))
    return loadings, reduced - np.outer(loadings, loadings)


def _minres(psi: Floats, R: Floats) -> tuple[float, Floats]:
    """Half the squared residuals of the reduced matrix, diagonal included: at its minimum the diagonal fits."""
    _, left = _reduced(psi, R)
    return 0.5 * float((left**2).sum()), -np.diag(left).copy()
