"""Permutation of treatment over clusters, or over the roll-out lottery: p-value and the interval that inverts it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wwc_eval.did.few_reference import Reference
from wwc_eval.did.few_scores import Reassigned
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.inference.families import Floats
from wwc_eval.inference.inversion import bisected_interval, linear_interval, p_value
from wwc_eval.table import format_p_value

__all__ = ["Permuted", "p_words", "permuted"]


@dataclass(frozen=True, kw_only=True)
class Permuted:
    """A permutation test.

    Parameters
    ----------
    statistic : float
        The effect, or the effect over its error (CR0).
    p_value, ci_low, ci_high : float
        Two-sided p-value, and the constant effects that are not rejected.
    values : ndarray, shape (m,)
        Statistic of every reassignment.
    monte_carlo_error : float
        Of the p-value; 0 where all reassignments are listed.
    """

    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    values: Floats
    monte_carlo_error: float


def permuted(statistic: Statistic, reference: Reference, level: float, *, studentised: bool = False) -> Permuted:
    """Test that treatment changes nobody's outcome by reassigning it.

    Formula: ``p = share of reassignments with |T| >= |T actual|``, T the effect, or with ``studentised`` the effect
    over the root of the sum of squared cluster scores. The interval holds the constant effects whose p is above one
    minus the level, the effect taken out of the treated.

    Parameters
    ----------
    statistic : Statistic
        The effect.
    reference : Reference
        Reassignments.
    level : float
        Coverage of the interval.
    studentised : bool
        Whether effects are compared over their errors.
    """
    scores = statistic.scores(fixed_counts=reference.fixed_counts)
    found = scores.at(reference.codes, studentised=studentised)
    observed = statistic.estimate
    alpha = 1.0 - level
    if not studentised:
        share, error = p_value(found.estimates, observed, reference, 0)
        low, high = linear_interval(found.estimates, found.moves, observed, reference, alpha)
        return Permuted(
            statistic=observed, p_value=share, ci_low=low, ci_high=high,
            values=found.estimates, monte_carlo_error=error,
        )  # fmt: skip
    actual = scores.at(statistic.codes[None, :], studentised=True)

    def at(effect: float) -> tuple[float, float]:
        return p_value(_over(found, effect), float(_over(actual, effect)[0]), reference, 0)

    share, error = at(0.0)
    values = _over(found, 0.0)
    spread = float(np.nanstd(found.estimates)) or abs(observed) or 1.0
    low, high = bisected_interval(lambda effect: at(effect)[0], observed, spread, alpha)
    return Permuted(
        statistic=float(_over(actual, 0.0)[0]), p_value=share, ci_low=low, ci_high=high,
        values=values, monte_carlo_error=error,
    )  # fmt: skip


def _over(found: Reassigned, effect: float) -> Floats:
    """Effects over their errors once a constant effect is taken out of the treated."""
    assert found.squares is not None
    top = found.estimates - effect * found.moves
    square = found.squares[:, 0] + effect * (found.squares[:, 1] + effect * found.squares[:, 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        over = top / np.sqrt(np.maximum(square, 0.0))
    # an effect without error is as extreme as can be
    return np.where(square > 0, over, np.where(np.isnan(top), math.nan, np.copysign(math.inf, top)))


def p_words(value: float) -> str:
    """A p-value in a sentence.

    Examples
    --------
    >>> p_words(0.0421), p_words(0.0002)
    ('p = 0.042', 'p < 0.001')
    """
    text = format_p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
