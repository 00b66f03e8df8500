"""What a fit knows about its rows: solution, separated rows, and predictions for changed rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.families import Family, Floats
from wwc_eval.inference.glm import Solution, solve
from wwc_eval.inference.separation import Separation, find_separation

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design

__all__ = ["Fitted", "fit_arrays"]

INDEPENDENT = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A fit with its data.

    Parameters
    ----------
    design : Design
        Response and matrix of the rows used.
    family : Family
        Outcome family.
    frame : pandas.DataFrame
        Columns of the right side in the rows used.
    y : ndarray, shape (n,)
        Outcome; share of successes where there are trials.
    weights, trials, exposure : ndarray, shape (n,), optional
        Prior weights, trials and exposure.
    exposure_column : str, optional
        Name of the exposure's column.
    separation : Separation, optional
        Directions in which the likelihood has no maximum.
    solution : Solution, optional
        The fit on ``rows`` and ``columns``; None where separation leaves nothing to estimate.
    rows : ndarray of bool, shape (n,)
        Rows that inform the solution; all of them unless separated.
    columns : ndarray of int
        Columns of the solution.
    estimable : ndarray of bool, shape (p,)
        Columns whose coefficient is finite and identified.
    """

    design: Design
    family: Family
    frame: pd.DataFrame
    y: Floats
    weights: Floats | None
    trials: Floats | None
    exposure: Floats | None
    exposure_column: str | None
    separation: Separation | None
    solution: Solution | None
    rows: NDArray[np.bool_]
    columns: NDArray[np.intp]
    estimable: NDArray[np.bool_]

    @property
    def converged(self) -> bool:
        """Whether there is an optimum to speak of."""
        return self.solution is not None and self.solution.converged

    @property
    def binary(self) -> bool:
        """Whether the outcome is 0 or 1 in every row, or successes of trials."""
        return self.trials is not None or bool(np.all((self.y == 0) | (self.y == 1)))

    @property
    def children(self) -> Floats:
        """What a row counts for when an average over the sample is taken: prior weight times trials."""
        share = np.ones(len(self.y)) if self.weights is None else self.weights
        return share if self.trials is None else share * self.trials

    @property
    def coefficients(self) -> Floats:
        """All p coefficients, NaN where not estimable."""
        beta = np.full(self.design.X.shape[1], np.nan)
        if self.solution is not None and self.solution.converged:
            beta[self.columns] = self.solution.beta
            beta[~self.estimable] = np.nan
        return beta

    def predictor(self, X: Floats) -> Floats:
        """Linear predictor without offset: plus or minus infinity where separated, NaN where undetermined."""
        if self.solution is None or not self.solution.converged:
            eta = np.full(len(X), np.nan)
        else:
            eta = X[:, self.columns] @ self.solution.beta
        if self.separation is None:
            return eta
        sign = self.separation.decided(X)
        eta[(sign == 0) & self.separation.undetermined(X)] = np.nan
        return np.where(sign == 0, eta, sign * np.inf)

    def moments(self, X: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean of the outcome (per unit of exposure) for given rows, and its first two derivatives."""
        eta = self.predictor(X)
        finite = ~np.isinf(eta)
        inner = np.where(finite, eta, 0.0)
        edge = np.where(eta > 0, np.inf if self.family.link == "log" else 1.0, 0.0)
        mean = np.where(finite, self.family.mean(inner), edge)
        slope = np.where(finite, self.family.slope(inner), 0.0)
        curvature = np.where(finite, self.family.curvature(inner), 0.0)
        return mean, slope, curvature


def fit_arrays(
    design: Design,
    family: Family,
    frame: pd.DataFrame,
    *,
    weights: Floats | None,
    exposure: Floats | None,
    exposure_column: str | None,
) -> Fitted:
    """Fit a checked design; look for separation where the fit gives reason to."""
    trials = design.trials
    y = design.y if trials is None else design.y / trials
    X = design.X
    n, p = X.shape
    rows, columns = np.ones(n, dtype=bool), np.arange(p)
    offset = None if exposure is None else np.log(exposure)
    solution: Solution | None = solve(y, X, family, offset=offset, weights=weights, trials=trials)
    separation = None
    estimable = np.ones(p, dtype=bool)
    if solution is not None and solution.suspicious:
        separation = find_separation(y, X, family.link)
    if separation is not None:
        rows, estimable = ~separation.rows, ~separation.columns
        columns = _independent(X[rows], estimable)
        solution = None
        if len(columns) and len(columns) < rows.sum():
            solution = solve(
                y[rows],
                X[np.ix_(rows, columns)],
                family,
                offset=None if offset is None else offset[rows],
                weights=None if weights is None else weights[rows],
                trials=None if trials is None else trials[rows],
            )
        else:
            estimable = np.zeros(p, dtype=bool)
    return Fitted(
        design=design,
        family=family,
        frame=frame,
        y=y,
        weights=weights,
        trials=trials,
        exposure=exposure,
        exposure_column=exposure_column,
        separation=separation,
        solution=solution,
        rows=rows,
        columns=columns,
        estimable=estimable,
    )


def _independent(X: Floats, first: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Columns that span X: the estimable ones, then others as far as they add anything."""
    if not len(X):
        return np.empty(0, dtype=np.intp)
    chosen: list[int] = [int(j) for j in np.flatnonzero(first)]
    for j in np.flatnonzero(~first):
        column = X[:, j]
        rest = column
        if chosen:
            basis, _ = np.linalg.qr(X[:, chosen])
            rest = column - basis @ (basis.T @ column)
        if np.linalg.norm(rest) > INDEPENDENT * max(float(np.linalg.norm(column)), 1e-300):
            chosen.append(int(j))
    return np.array(sorted(chosen), dtype=np.intp)
