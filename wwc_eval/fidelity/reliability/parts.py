"""What every coefficient is made of: a value, the influence of each subject, and the sums it is a function of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wwc_eval.fidelity.reliability.reading import Floats, Ints

__all__ = ["Parts", "by_group", "share"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """A coefficient on one set of ratings.

    Parameters
    ----------
    value, observed, expected : float
        The coefficient, and agreement observed and expected by chance (NaN where the coefficient has no such parts).
    influence : ndarray, shape (n,)
        Derivative of the value by the weight of each subject, times n; sums to 0. What is a mean over the subjects with
        two ratings or more is a ratio of two sums here.
    published : ndarray, shape (n,)
        The same as Gwet linearises it, who takes the number of such subjects as given.
    sums : callable
        Contributions (n, d) of the subjects to the sums.
    of_sums : callable
        The value of any sums (..., d).
    reason : str, optional
        Why there is no value.
    m : int
        Subjects that Gwet's error counts: those rated, or for alpha those with a pair.
    """

    value: float
    observed: float
    expected: float
    influence: Floats
    published: Floats
    sums: Callable[[], Floats]
    of_sums: Callable[[Floats], Floats]
    reason: str | None = None
    m: int = 0


def share(top: Floats, bottom: Floats) -> Floats:
    """A ratio that is NaN, without a warning, where nothing is divided by nothing or by a rounding error."""
    alive = np.abs(bottom) > 1e-13
    return np.where(alive, top / np.where(alive, bottom, 1.0), np.nan)


def by_group(contributions: Floats, codes: Ints, groups: int) -> Floats:
    """Sums (K, d) of contributions (n, d) over the subjects of each group."""
    return np.column_stack([np.bincount(codes, weights=column, minlength=groups) for column in contributions.T])
