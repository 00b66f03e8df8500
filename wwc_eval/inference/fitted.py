"""What a fit knows about its rows: solution, separated rows, and predictions for changed rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.families import Family, Floats
from wwc_eval.inference.glm import Solution, at_edge, solve
from wwc_eval.inference.separation import Separation, find_separation

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design

__all__ = ["Fitted", "Moments", "fit_arrays"]

INDEPENDENT = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Predictions for some rows.

    Parameters
    ----------
    mean, slope, curvature : ndarray, shape (n,)
        Mean of the outcome and its derivatives in the linear predictor; NaN where undetermined.
    decided : ndarray, shape (n,)
        +1 or -1 where separation puts the mean at its upper or lower limit, else 0.
    """

    mean: Floats
    slope: Floats
    curvature: Floats
    decided: Floats


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

    def moments(self, X: Floats) -> Moments:
        """Mean of the outcome per unit of exposure for given rows, with its derivatives."""
        eta = np.full(len(X), np.nan)
        if self.solution is not None and self.solution.converged:
            eta = X[:, self.columns] @ self.solution.beta
        sign = np.zeros(len(X))
        if self.separation is not None:
            sign = self.separation.decided(X)
            eta[(sign == 0) & self.separation.undetermined(X)] = np.nan
        decided = sign != 0
        inner = np.where(decided, 0.0, eta)
        edge = np.where(sign < 0, 0.0, np.inf if self.family.link == "log" else 1.0)
        return Moments(
            mean=np.where(decided, edge, self.family.mean(inner)),
            slope=np.where(decided, 0.0, self.family.slope(inner)),
            curvature=np.where(decided, 0.0, self.family.curvature(inner)),
            decided=sign,
        )


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
    y = design.y if design.trials is None else design.y / design.trials
    offset = None if exposure is None else np.log(exposure)
    task = _Rows(y=y, X=design.X, family=family, offset=offset, weights=weights, trials=design.trials)
    n, p = design.X.shape
    every, columns = np.ones(n, dtype=bool), np.arange(p)
    rows, estimable = every, np.ones(p, dtype=bool)
    solution: Solution | None = task.solve(every, columns, patient=False)
    separation = task.separation(solution) if solution is not None and solution.suspicious else None
    if separation is not None:
        rows, estimable = ~separation.rows, ~separation.columns
        columns = _independent(design.X[rows], estimable)
        solution = task.solve(rows, columns) if 0 < len(columns) < rows.sum() else None
        if solution is None:
            estimable = np.zeros(p, dtype=bool)
    elif solution is not None and not solution.converged:
        solution = task.solve(every, columns)
    return Fitted(
        design=design,
        family=family,
        frame=frame,
        y=y,
        weights=weights,
        trials=design.trials,
        exposure=exposure,
        exposure_column=exposure_column,
        separation=separation,
        solution=solution,
        rows=rows,
        columns=columns,
        estimable=estimable,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """All rows of a fit, any part of which can be solved."""

    y: Floats
    X: Floats
    family: Family
    offset: Floats | None
    weights: Floats | None
    trials: Floats | None

    def solve(self, rows: NDArray[np.bool_], columns: NDArray[np.intp], *, patient: bool = True) -> Solution:
        """Fit of some rows on some columns."""
        whole = bool(rows.all()) and len(columns) == self.X.shape[1]

        def of(values: Floats | None) -> Floats | None:
            return values if values is None or whole else values[rows]

        return solve(
            self.y if whole else self.y[rows],
            self.X if whole else self.X[np.ix_(rows, columns)],
            self.family,
            offset=of(self.offset),
            weights=of(self.weights),
            trials=of(self.trials),
            patient=patient,
        )

    def separation(self, solution: Solution) -> Separation | None:
        """The separation behind a suspicious solution, if there is one."""
        shift = np.zeros(len(self.y)) if self.offset is None else self.offset
        inside = ~at_edge(self.y, solution.eta, shift, self.family)
        overlapping = None
        if inside.any() and not inside.all():
            # rows that have a maximum among themselves overlap: only the others may be separated
            columns = _independent(self.X[inside], np.zeros(self.X.shape[1], dtype=bool))
            if len(columns) < inside.sum():
                inner = self.solve(inside, columns, patient=False)
                overlapping = inside if inner.converged and not inner.suspicious else None
        return find_separation(self.y, self.X, self.family.link, overlapping=overlapping)


def _independent(X: Floats, first: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Columns that span X: the estimable ones, then others as far as they add anything."""
    corner = np.asarray(np.linalg.qr(X, mode="r"))
    length = np.maximum(np.linalg.norm(corner, axis=0), 1e-300)
    chosen: list[int] = []
    basis = np.zeros((len(corner), 0))
    for j in np.argsort(~first, kind="stable"):
        column = corner[:, j] / length[j]
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > INDEPENDENT:
            chosen.append(int(j))
            basis = np.column_stack([basis, rest / size])
    return np.array(sorted(chosen), dtype=np.intp)
