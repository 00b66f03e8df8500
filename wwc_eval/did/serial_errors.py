"""Least squares of one time series with errors that are correlated over time: Newey-West, or an AR(1) by REML."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wwc_eval.errors import ConvergenceError, DesignError
from wwc_eval.inference.families import Floats

__all__ = ["SeriesFit", "default_lag", "fit_series"]

MOST_RHO = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesFit:
    """Coefficients of one series with their covariance.

    Parameters
    ----------
    beta, vcov : ndarrays, shapes (k,) and (k, k)
        Coefficients and covariance.
    residuals : ndarray, shape (n,)
        Observed less fitted.
    residual_df : int
        Periods less coefficients.
    rho : float
        Lag-one autocorrelation: of the residuals, or of the AR(1).
    satterthwaite : callable or None
        Degrees of freedom of a contrast, where they are estimated.
    """

    beta: Floats
    vcov: Floats
    residuals: Floats
    residual_df: int
    rho: float
    model: ArOne | None = None

    def contrast(self, weights: Floats) -> tuple[float, float, float]:
        """Estimate, standard error and degrees of freedom of a contrast."""
        se = math.sqrt(max(float(weights @ self.vcov @ weights), 0.0))
        df = float(self.residual_df) if self.model is None else self.model.df(weights, self.residual_df)
        return float(weights @ self.beta), se, df


def default_lag(periods: int) -> int:
    """Lags of the Newey-West error: the whole part of ``0.75 T^(1/3)``, and at least 1 (Stock and Watson 2020)."""
    return max(1, int(0.75 * float(periods) ** (1.0 / 3.0)))


def fit_series(y: Floats, design: Floats, times: Floats, errors: str, lag: int) -> SeriesFit:
    """Fit one series.

    Parameters
    ----------
    y, times : ndarrays, shape (n,)
        Outcome, and the regular index of its periods, which may have gaps.
    design : ndarray, shape (n, k)
        Columns of full rank.
    errors : {"newey_west", "ar1"}
        Least squares with Newey-West errors (Bartlett weights by distance in time, times n / (n - k)); or an AR(1) by
        restricted maximum likelihood, rho from 0 to 0.99, with Satterthwaite's degrees of freedom.
    lag : int
        Lags of Newey-West.

    Raises
    ------
    DesignError
        If an AR(1) has fewer than two residual degrees of freedom.
    """
    n, k = design.shape
    apart = np.abs(times[:, None] - times[None, :])
    if errors == "ar1":
        if n - k < 2:
            # of one residual the restricted likelihood is flat in rho
            raise DesignError(
                f"{n} periods and {k} coefficients leave {n - k} residual degree{'s' * (n - k != 1)} of freedom, and an "
                "autocorrelation needs at least 2",
                fix="add periods, leave out seasonal terms, or use errors='newey_west'",
            )
        model = ArOne(y, design, apart)
        beta = model.beta
        return SeriesFit(
            beta=beta,
            vcov=model.vcov(model.theta),
            residuals=y - design @ beta,
            residual_df=n - k,
            rho=float(np.tanh(model.theta[1])),
            model=model,
        )
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ (design.T @ y)
    residuals = y - design @ beta
    scores = design * residuals[:, None]
    meat = scores.T @ np.maximum(1.0 - apart / (lag + 1.0), 0.0) @ scores
    return SeriesFit(
        beta=beta,
        vcov=bread @ meat @ bread * (n / (n - k)),
        residuals=residuals,
        residual_df=n - k,
        rho=_autocorrelation(residuals, apart),
    )


def _autocorrelation(residuals: Floats, apart: Floats) -> float:
    """Lag-one autocorrelation over pairs of adjacent periods."""
    pairs = np.argwhere(np.triu(apart == 1.0))
    total = float(residuals @ residuals)
    if not len(pairs) or total <= 0.0:
        return math.nan
    return float((residuals[pairs[:, 0]] * residuals[pairs[:, 1]]).sum()) / total


class ArOne:
    """Regression with AR(1) errors by restricted maximum likelihood; rho from 0 to 0.99, as log variance and atanh of rho."""

    def __init__(self, y: Floats, design: Floats, apart: Floats) -> None:
        from scipy.optimize import minimize_scalar

        self.y, self.design, self.apart = y, design, apart
        edge = math.atanh(MOST_RHO)
        # a negative correlation, which short series feign, would make errors too small
        grid = np.linspace(0.0, edge, 17)
        values = [self._profile(z) for z in grid]
        best = int(np.argmin(values))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        found = minimize_scalar(self._profile, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
        if not math.isfinite(found.fun):
            raise ConvergenceError("the AR(1) model has no likelihood", fix='errors="newey_west"')
        z = float(found.x)
        n, k = design.shape
        quadratic, _, self.beta = self._parts(z)
        self.theta = np.array([math.log(quadratic / (n - k)), z])
        self.at_edge = abs(z) > edge - 1e-3
        self.information = self._hessian()

    def _parts(self, z: float) -> tuple[float, float, Floats]:
        """Weighted residual sum of squares, log determinants, and coefficients, for variance one."""
        root = np.linalg.cholesky(np.tanh(z) ** self.apart + 1e-12 * np.eye(len(self.y)))
        white = np.linalg.solve(root, np.column_stack([self.design, self.y]))
        x, y = white[:, :-1], white[:, -1]
        gram = x.T @ x
        beta = np.linalg.solve(gram, x.T @ y)
        rest = y - x @ beta
        logs = 2.0 * float(np.log(np.diag(root)).sum()) + float(np.linalg.slogdet(gram)[1])
        return float(rest @ rest), logs, np.asarray(beta, dtype=np.float64)

    def _profile(self, z: float) -> float:
        quadratic, logs, _ = self._parts(z)
        return float((len(self.y) - self.design.shape[1]) * math.log(max(quadratic, 1e-300)) + logs)

    def deviance(self, theta: Floats) -> float:
        """Minus twice the restricted log-likelihood, up to a constant."""
        quadratic, logs, _ = self._parts(float(theta[1]))
        return float((len(self.y) - self.design.shape[1]) * theta[0] + quadratic * math.exp(-theta[0]) + logs)

    def vcov(self, theta: Floats) -> Floats:
        """Covariance of the coefficients at given parameters."""
        root = np.linalg.cholesky(np.tanh(theta[1]) ** self.apart + 1e-12 * np.eye(len(self.y)))
        x = np.linalg.solve(root, self.design)
        return np.asarray(np.linalg.inv(x.T @ x) * math.exp(theta[0]))

    def _hessian(self) -> Floats:
        """Information of the parameters by central differences: half the curvature of the deviance."""
        step = np.array([1e-3, 1e-3])
        found = np.zeros((2, 2))
        for i in range(2):
            for j in range(2):
                total = 0.0
                for a in (1.0, -1.0):
                    for b in (1.0, -1.0):
                        moved = self.theta + a * step[i] * np.eye(2)[i] + b * step[j] * np.eye(2)[j]
                        total += a * b * self.deviance(moved)
                found[i, j] = total / (8.0 * step[i] * step[j])
        return found

    def df(self, weights: Floats, most: int) -> float:
        """Satterthwaite: ``2 v^2 / var(v)`` with v the variance of the contrast; never above the residual df."""
        value = float(weights @ self.vcov(self.theta) @ weights)
        step = 1e-4
        slope = np.array(
            [
                (
                    weights @ self.vcov(self.theta + step * unit) @ weights
                    - weights @ self.vcov(self.theta - step * unit) @ weights
                )
                / (2.0 * step)
                for unit in np.eye(2)
            ]
        )
        if np.linalg.eigvalsh(self.information).min() <= 0:
            return float(min(most, 2))
        spread = float(slope @ np.linalg.solve(self.information, slope))
        return float(min(most, max(2.0 * value**2 / spread, 1.0))) if spread > 0 else float(most)
