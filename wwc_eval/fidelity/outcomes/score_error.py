"""Error of fidelity scores, carried into the slope of an outcome on them: regression calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.fidelity.outcomes.link import columns_of, numbers_of
from wwc_eval.fidelity.reliability.reading import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Attenuation", "attenuation", "corrected"]

CITATION = "Carroll, Ruppert, Stefanski and Crainiceanu 2006, doi:10.1201/9781420010138"
SOURCE_OF_LOGISTIC = "Rosner, Spiegelman and Willett 1990, doi:10.1093/oxfordjournals.aje.a115715"
LEAST = 0.1
LOW = 0.5


@dataclass(frozen=True, kw_only=True)
class Attenuation:
    """What error of the scores leaves of a slope.

    Parameters
    ----------
    factor, se : float
        Variance of true scores given the covariates over that of the scores as rated, and its error.
    error_variance : float
        Mean variance of the error of a score.
    words : str
        Where it is from.
    """

    factor: float
    se: float
    error_variance: float
    words: str


def attenuation(
    scores: Floats,
    X: Floats,
    codes: Any,
    *,
    reliability: float | Estimate | None,
    score_se: Floats | None,
    name: str,
) -> Attenuation:
    """Attenuation of the slope on scores, given the other columns of the design.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Scores of the rows used.
    X : ndarray, shape (n, p)
        Covariates and intercept.
    codes : ndarray of int, shape (n,)
        Clusters; rows where they are independent.
    reliability : float or Estimate, optional
        Share of the variance of these scores that is not error; an estimate brings its error.
    score_se : ndarray, shape (n,), optional
        Standard error of each score, in its place.
    name : str
        Column of the scores, for errors.

    Raises
    ------
    DesignError
        If error leaves a tenth or less of what varies given the covariates.
    """
    n = len(scores)
    rest = scores - X @ np.linalg.lstsq(X, scores, rcond=None)[0]
    free = n - float(np.linalg.matrix_rank(X))
    away = scores - scores.mean()
    within, whole = float(rest @ rest) / free, float(away @ away) / (n - 1.0)
    known = 0.0
    if score_se is not None:
        error, words = float(np.mean(score_se**2)), "standard errors of the scores"
        influence = error / within**2 * (rest**2 - within)
    else:
        value = reliability.estimate if isinstance(reliability, Estimate) else float(reliability or 0.0)
        error, words = (1.0 - value) * whole, f"a reliability of {value:.2f}"
        ratio = whole / within
        influence = -(1.0 - value) * ((away**2 - whole) - ratio * (rest**2 - within)) / within
        if isinstance(reliability, Estimate) and math.isfinite(reliability.se):
            known = (ratio * reliability.se) ** 2
            words += f" (SE {reliability.se:.2f})"
    factor = 1.0 - error / within
    if not factor > LEAST:
        raise DesignError(
            f"error leaves {max(factor, 0.0):.2f} of the variance of '{name}' given the covariates",
            rule=f"error variance {error:.3g}, variance of scores given the covariates {within:.3g}; more than {LEAST:g} must be left",
            fix="rate more cases, or with more raters; such scores carry no slope",
        )
    sums = np.bincount(codes, weights=influence)
    groups = len(sums)
    spread = groups / (groups - 1.0) * float(sums @ sums) / n**2
    return Attenuation(factor=factor, se=math.sqrt(spread + known), error_variance=error, words=words)


def errors_of(frame: pd.DataFrame, score_se: str | float) -> Floats:
    """Standard errors of the scores, one a row: of a column, or the same for all.

    Raises
    ------
    DataError
        If one is negative.
    """
    if not isinstance(score_se, str):
        return np.full(len(frame), check_number("score_se", score_se, above=0))
    found = numbers_of(columns_of(frame, [score_se]), score_se)
    if np.any(found < 0):
        raise DataError(
            f"'{score_se}' holds {found[found < 0][0]:g}",
            place=Place(column=score_se),
            rule="standard errors are 0 or more",
        )
    return np.asarray(found)


def corrected(row: Estimate, found: Attenuation, term: str, family: str) -> Estimate:
    """The slope over its attenuation, with the errors of both.

    Formula: ``b / f`` with variance ``se(b)^2 / f^2 + b^2 se(f)^2 / f^4``.
    """
    value = row.estimate / found.factor
    se = math.hypot(row.se / found.factor, value * found.se / found.factor)
    warnings = list(row.warnings)
    if found.factor < LOW:
        warnings.append(
            f"Error leaves {found.factor:.2f} of the variance: the correction is large and rests on it."
        )
    if family != "gaussian":
        warnings.append(
            "On the scale of a link the correction is approximate: it is close where slopes times error are small."
        )
    return Estimate.from_normal(
        term=term,
        estimate=value,
        se=se,
        df=row.df,
        level=row.level,
        scale=row.scale,
        units=row.units,
        method=f"{row.method}; regression calibration with {found.words}, delta method",
        n=row.n,
        n_clusters=row.n_clusters,
        warnings=tuple(warnings),
        citation=CITATION if family == "gaussian" else f"{CITATION}; {SOURCE_OF_LOGISTIC}",
        details={
            "attenuation": found.factor,
            "attenuation_se": found.se,
            "error_variance": found.error_variance,
            "naive": row.estimate,
        },
    )
