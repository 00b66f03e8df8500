"""Dependability of the scores of units: how much of what their means differ by is true, as the ratings are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.fidelity.scoring.agreement import Coefficient, without

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.levels import Levels
    from wwc_eval.fidelity.scoring.scores import FidelityScores

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["dependability", "limits", "squared_shares"]


def dependability(scores: FidelityScores, unit: str, found: Coefficient) -> Coefficient:
    """Phi of the units' means over the cases and raters that they have, from the variances of the model.

    Notes
    -----
    Formula: ``t / (t + e)``, t the variances of the unit and of those above it, e each other one times the mean over units of the
    squared shares of its levels in the unit's mean. The interval is that of generalised pivots; see
    :meth:`wwc_eval.GStudy.d_study`.
    """
    of = found.of
    found = replace(found, detail=f"means of {unit}, with the cases and raters that they have")
    if unit not in scores.units:
        return without(found, f"there is no column of {unit} in the ratings")
    places, model = scores.matrix.places, scores.model(of)
    found = replace(found, n=len(places.labels[unit]), raters=len(scores.matrix.raters) or None)
    if unit not in model.variances:
        told = [note for note in model.notes if unit in note] or list(model.notes)
        return without(found, told[0].rstrip(".") if told else f"no variance between units ({unit}) can be told")
    inside = {unit, *places.above(unit)}
    universe = np.array([float(each in inside) for each in model.variances])
    error = np.array([0.0 if each in inside else _share(scores, of, unit, each) for each in model.variances])
    values = np.array(list(model.variances.values()))
    true, wrong = float(universe @ values), float(error @ values)
    if true + wrong <= 0:
        return without(found, "nothing varies")
    low, high = limits(model, universe, error, scores.level)
    reason = (
        "" if np.isfinite(low) else "no interval: nothing is left of error, or the variances cannot be told apart"
    )
    return replace(found, estimate=true / (true + wrong), low=low, high=high, reason=reason)


def limits(model: Levels, universe: Floats, error: Floats, level: float) -> tuple[float, float]:
    """Interval of true over true and error variance; NaN where there is no error, or components cannot be told apart.

    Parameters
    ----------
    model : Levels
        The model.
    universe, error : ndarray
        What multiplies its variances, in their order, in the true scores and in the error of a unit's mean.
    level : float
        Coverage.
    """
    from wwc_eval.fidelity.reliability.pivotal import interval

    wrong = float(error @ np.array(list(model.variances.values())))
    points = model.pivots if wrong > 0 else None
    return (np.nan, np.nan) if points is None else interval(points, universe, error, level)


def _share(scores: FidelityScores, of: str, unit: str, effect: str) -> float:
    """What a component of variance is divided by in a unit's mean."""
    matrix = scores.matrix
    fine = ~np.isnan(scores.values(of, sheets=True))
    case, rater = matrix.sheet_case[fine], matrix.sheet_rater[fine]
    alone = np.arange(len(case))
    if effect == "rater":
        codes = np.where(rater >= 0, rater, len(matrix.raters) + alone)
    else:
        codes = alone if effect == "residual" else matrix.places.of_case[effect][case]
    return squared_shares(matrix.places.of_case[unit][case], case, codes)


def squared_shares(own: Ints, case: Ints, codes: Ints) -> float:
    """Mean over units of the squared shares that the levels of an effect have in the unit's mean.

    Cases count alike within a unit, and sheets within a case.

    Parameters
    ----------
    own, case, codes : ndarray of int, shape (sheets,)
        Unit, case, and level of the effect of each sheet.
    """
    by_case = 1.0 / np.bincount(case, minlength=int(case.max()) + 1)[case]
    weight = by_case / np.bincount(own, by_case)[own]
    pairs = np.unique(np.column_stack([own, codes]), axis=0, return_inverse=True)
    sums = np.bincount(pairs[1].ravel(), weight)
    squares = np.bincount(pairs[0][:, 0], sums**2)
    return float(squares[np.unique(own)].mean())
