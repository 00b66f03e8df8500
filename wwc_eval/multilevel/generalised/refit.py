"""Refits of a generalised mixed model to other outcomes or allocations, each by a full search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, WwcError
from wwc_eval.multilevel.engine.structure import Array, Grouping
from wwc_eval.multilevel.generalised.solve import Solution, solve
from wwc_eval.multilevel.refit_inputs import Rebuilt, change_of, table_of

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.fit import MultilevelFit
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit

__all__ = ["refit", "refit_generalised"]


def refit_generalised(
    fit: MultilevelFit,
    outcomes: Any = None,
    arms: Any = None,
    *,
    term: str | None = None,
    arm: str | None = None,
    unit: str | None = None,
    inference: str | None = None,
) -> pd.DataFrame:
    """Fit a generalised model to many outcomes or allocations; see :func:`wwc_eval.multilevel.refit.refit_many`.

    Raises
    ------
    DesignError
        If an inference other than Wald's is asked for, and as said there.
    DataError
        If the family cannot have an outcome, and as said there.
    """
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit

    assert isinstance(fit, GeneralisedFit)
    if inference not in (None, "wald"):
        fit.with_inference(inference)
    change = change_of(fit, outcomes, arms, term=term, arm=arm, unit=unit, inference="wald")
    if change.Y is not None:
        _check_outcomes(fit, change.Y)
    rebuilt = None if change.allocation is None else Rebuilt(fit, str(change.arm))
    place = fit.terms.index(change.term)
    rows = []
    for k in range(len(change)):
        y = fit.core.sample.y if change.Y is None else change.Y[k]
        X, groupings = fit.data.design.X, fit.data.groupings
        if rebuilt is not None and change.allocation is not None:
            X, groupings = rebuilt.at(change.allocation.values(int(k)))
        rows.append(_single(fit, y, X, groupings, place))
    found = np.array(rows)
    return table_of(found[:, 0], found[:, 1], np.full(len(found), np.inf), found[:, 2] == 1.0, found[:, 2] == 2.0)


def refit(fit: GeneralisedFit, outcome: Any) -> GeneralisedFit:
    """The same model with another outcome over the rows used (n,): successes or counts.

    Raises
    ------
    DataError
        If the outcome has the wrong shape, or holds values that the family cannot have.
    """
    y = np.asarray(outcome, dtype=float)
    if y.shape != (fit.n,):
        raise DataError(f"outcome has shape {y.shape}, must be ({fit.n:,},)")
    _check_outcomes(fit, y[None])
    data = replace(fit.data, design=replace(fit.data.design, outcome=y))
    return replace(fit, data=data, core=solve(replace(fit.core.sample, y=y), fit.core.points))


def _single(
    fit: GeneralisedFit, y: Array, X: Array, groupings: tuple[Grouping, ...], place: int
) -> tuple[float, float, float]:
    """Estimate and error of one coefficient; 0 (ok), 1 (boundary) or 2 (failed)."""
    if np.ptp(y / fit.core.sample.trials) == 0.0:
        return np.nan, np.nan, 2.0
    try:
        solution = solve(replace(fit.core.sample, y=y, X=X, groupings=groupings), fit.core.points)
    except (WwcError, np.linalg.LinAlgError):
        return np.nan, np.nan, 2.0
    return _summary(solution, place)


def _summary(solution: Solution, place: int) -> tuple[float, float, float]:
    variance = float(solution.vcov[place, place])
    if solution.trouble or not variance > 0:
        return np.nan, np.nan, 2.0
    assert solution.optimum is not None
    assert solution.prepared is not None
    roots = solution.prepared.roots
    edge = (roots.rows == roots.columns) & (solution.optimum.psi[: roots.size] == 0.0)
    boundary = bool(edge.any()) or solution.poisson_limit
    return float(solution.beta[place]), variance**0.5, 1.0 if boundary else 0.0


def _check_outcomes(fit: GeneralisedFit, Y: Array) -> None:
    """Refuse outcomes that the family cannot have."""
    sample = fit.core.sample
    binomial = sample.family == "binomial"
    fine = (Y >= 0) & (np.floor(Y) == Y) & ((sample.trials if binomial else np.inf) >= Y)
    if not fine.all():
        k, row = np.argwhere(~fine)[0]
        allowed = "whole numbers from 0 to the trials" if binomial else "whole numbers, 0 or more"
        raise DataError(
            f"outcome {k} is {Y[k, row]:g} in row {row} of the rows used",
            rule=f"outcomes of family '{fit.family}' are {allowed}",
            fix="give successes or counts",
        )
