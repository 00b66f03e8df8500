"""Averages of an expected outcome with a variable at one value: what marginal effects of every kind of fit are made of.

A fit takes part by ``averages_of`` (one :class:`Average` a level, the reference first) and ``estimate_of`` (an
:class:`Estimate` from a value and its gradient in the fit's parameters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.inference.families import Floats

__all__ = ["AVERAGES", "DIFFERENCES", "Average", "average_words", "check_average", "compared", "share_of_rows"]

AVERAGES = ("participants", "clusters")
"""Whom an average is over: every participant counts once, or every cluster does."""

DIFFERENCES = ("risk_difference", "rate_difference", "mean_difference")


@dataclass(frozen=True, kw_only=True)
class Average:
    """Average of the outcome with a variable at one value, and its gradient in the fitted parameters.

    Parameters
    ----------
    value : object
        The value.
    mean : float
        The average.
    gradient : ndarray
        Its derivative in each parameter.
    decided : ndarray, shape (n,)
        +1 or -1 where separation puts a row's mean at its limit, else 0.
    term : str
        Name of the contrast with the reference; empty for the reference itself.
    """

    value: Any
    mean: float
    gradient: Floats
    decided: Floats
    term: str = ""


def check_average(average: str, cluster: object) -> str:
    """The average, or an error where a cluster is named that it makes no use of.

    Raises
    ------
    DesignError
        If the average is unknown, or a cluster goes with participants.
    """
    check_choice("average", average, AVERAGES)
    if average == "participants" and cluster is not None:
        raise DesignError(
            "average == 'participants' makes no use of a cluster",
            fix="use average='clusters', or leave out cluster",
        )
    return average


def share_of_rows(size: Floats, codes: NDArray[np.intp] | None = None) -> Floats:
    """Share of each row in an average; the shares add up to one.

    Parameters
    ----------
    size : ndarray, shape (n,)
        What each row counts for: participants, times weight, times exposure; 0 leaves it out.
    codes : ndarray of int, shape (n,), optional
        Cluster of each row. With them every cluster that has anything to count gets the same share, and its rows
        divide it by size.
    """
    if codes is None:
        return np.asarray(size / size.sum())
    whole = np.bincount(codes, weights=size)
    counted = int((whole > 0).sum())
    return np.asarray(size / np.where(whole > 0, whole, 1.0)[codes] / counted)


def average_words(average: str, cluster: str | None = None) -> str:
    """Words for whom an average is over."""
    return "participants" if average == "participants" else f"clusters ({cluster}), each counting once"


def compared(scale: str, base: Average, other: Average) -> tuple[float, Floats]:
    """Contrast of two averages, and its gradient in the fitted parameters (of its logarithm for a ratio)."""
    low, high = base.mean, other.mean
    if scale in DIFFERENCES:
        estimate, gradient = high - low, other.gradient - base.gradient
    elif scale == "odds_ratio":
        estimate = high * (1 - low) / ((1 - high) * low) if 0 < low < 1 and 0 < high < 1 else math.nan
        gradient = _over(other.gradient, high * (1 - high)) - _over(base.gradient, low * (1 - low))
    else:
        estimate = high / low if low > 0 and high > 0 else math.nan
        gradient = _over(other.gradient, high) - _over(base.gradient, low)
    if not math.isfinite(estimate) or not np.array_equal(base.decided, other.decided):
        # rows at their limit under one level and not under the other: the contrast has no standard error
        estimate = math.nan
    return estimate, gradient


def _over(gradient: Floats, denominator: float) -> Floats:
    return gradient / denominator if denominator else np.full_like(gradient, np.nan)
