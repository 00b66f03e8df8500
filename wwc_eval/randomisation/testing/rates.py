"""Randomisation tests of rates: the ratio of events over time at risk, adjusted by the events that covariates expect."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.inversion import bisected_interval, p_value
from wwc_eval.randomisation.scheme import Codes, Floats
from wwc_eval.randomisation.testing.linear import basis
from wwc_eval.randomisation.testing.ratio_interval import ratio_interval
from wwc_eval.randomisation.testing.reference import ReferenceSet, reference_set
from wwc_eval.randomisation.testing.results import spread_of
from wwc_eval.randomisation.testing.sums import UnitSums, gathered

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed
    from wwc_eval.randomisation.testing.question import Question

__all__ = ["rate_test"]

STEPS = 60
ENOUGH = 1e-12
FARTHEST = 200.0
"""Logarithms of ratios beyond this are as good as infinite."""


def rate_test(question: Question, *, side: int, draws: int, rng: Seed | None, ci: bool, level: float) -> Estimate:
    """Test the ratio of two arms' rates; arguments as in ``randomisation_test``.

    Statistic: ``T = log(sum y / sum e in the arm) - log(sum y / sum e in the comparator)``, y the events of a row and e
    its time at risk; with covariates e is what a Poisson regression on them, without the arm, expects. The interval
    takes a constant ratio r out of the events of the treated, ``y / r``, and holds the ratios that are not rejected.
    The estimate is the ratio that leaves no difference when taken out (Hodges and Lehmann 1963): exp(T) without
    covariates.

    Raises
    ------
    DesignError
        If an arm has no events or no rows, so that there is no ratio.
    """
    if ci:
        question.check_invertible()
    reference = reference_set(question.allocation, draws=draws, rng=rng)
    sums = _Sums(question, 0.0)
    observed = float(_log_ratio(*sums.totals(question.allocation.codes[None]))[0])
    if not math.isfinite(observed):
        raise DesignError(
            f"an arm of '{question.arm}' has no events or no rows, so there is no ratio of rates",
            fix="give a statistic of your own, such as the difference of the rates",
        )
    treated, compared = sums.totals(reference.codes)
    values = _log_ratio(treated, compared)
    estimate = _without_difference(question, observed) if sums.adjusted else observed
    interval = (math.nan, math.nan)
    if ci and sums.adjusted:
        spread = spread_of(values, reference) or 1.0
        interval = bisected_interval(lambda d: _p_at(question, d, reference), estimate, spread, 1.0 - level)
    elif ci:
        interval = ratio_interval(treated, compared, observed, reference, 1.0 - level)
    how = "events over those expected from the covariates" if sums.adjusted else "events over time at risk"
    weighted = ", rows weighted by the inverse probability of their arm" if question.weights is not None else ""
    found = question.estimate(
        observed, values, reference, side=side, interval=interval, level=level,
        words=f"rate ratio ({how}){weighted}", scale="rate_ratio",
    )  # fmt: skip
    low, high = np.exp(interval).tolist()
    details = {
        **found.details,
        "null_sd": spread_of(values, reference),
        "exposure": float(sums.time.sum()),
    }
    return found.replace(estimate=math.exp(estimate), ci_low=low, ci_high=high, details=details)


class _Sums:
    """Events and time at risk of the arms under any allocation, a ratio taken out of the events of the treated.

    Parameters
    ----------
    question : Question
        What is compared.
    shift : float
        Logarithm of the ratio.
    """

    def __init__(self, question: Question, shift: float) -> None:
        assert question.time is not None
        self.time = question.time
        received = question.received
        y = question.design.y * np.where(received == 1, math.exp(-shift), 1.0)
        self.adjusted = bool(question.design.formula.fixed)
        expected = _expected(y, self.time, question.design.X) if self.adjusted else self.time
        self._question = question
        self._units = UnitSums(exposure=question.exposure, units=question.allocation.n)
        self._cells = self._units.cells(np.column_stack([y * received, y * (1.0 - received), expected]))

    def totals(self, codes: Codes) -> tuple[Floats, Floats]:
        """Of the arm and of the comparator (m, 3): events of rows that were treated, other events, time at risk."""
        names = self._question.allocation.arms.names
        found = []
        for name in self._question.contrast:
            arm = names.index(name)
            table = self._units.by_code(self._cells, arm)
            if self._question.weights is not None:
                table = table * self._question.weights[:, arm, None, None]
            found.append(gathered(table, codes))
        return found[0], found[1]


def _log_ratio(treated: Floats, compared: Floats) -> Floats:
    """Logarithm of the ratio of rates: infinite where an arm has no events, missing where neither has or one has no rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = [np.log(each[:, 0] + each[:, 1]) - np.log(each[:, 2]) for each in (treated, compared)]
        found = rates[0] - rates[1]
    found[(treated[:, 2] <= 0) | (compared[:, 2] <= 0)] = np.nan
    return np.asarray(found)


def _own(question: Question, shift: float) -> float:
    """Statistic of the allocation made, a ratio taken out."""
    return float(_log_ratio(*_Sums(question, shift).totals(question.allocation.codes[None]))[0])


def _without_difference(question: Question, observed: float) -> float:
    """Logarithm of the ratio that leaves no difference, by the secant rule."""
    before, at = (0.0, observed), (observed, _own(question, observed))
    for _ in range(STEPS):
        if abs(at[1]) < ENOUGH or at[1] == before[1]:
            return at[0]
        move = -at[1] * (at[0] - before[0]) / (at[1] - before[1])
        there = at[0] + min(max(move, -1.0), 1.0)
        before, at = at, (there, _own(question, there))
    raise DesignError(
        "no ratio of rates leaves no difference once it is taken out",
        rule="the arm is not determined by the covariates",
        fix="leave out covariates that go with the arm",
    )


def _p_at(question: Question, shift: float, reference: ReferenceSet) -> float:
    """p-value with a ratio taken out; 1 for ratios so extreme that nothing is expected of anybody."""
    if abs(shift) > FARTHEST:
        return 1.0
    try:
        sums = _Sums(question, shift)
    except DesignError:
        return 1.0
    own = float(_log_ratio(*sums.totals(question.allocation.codes[None]))[0])
    values = _log_ratio(*sums.totals(reference.codes))
    return p_value(values, own, reference, 0)[0]


def _expected(y: Floats, time: Floats, Z: Floats) -> Floats:
    """Events of each row that a Poisson regression on the covariates expects.

    Raises
    ------
    DesignError
        If the model has no solution.
    """
    from wwc_eval.inference.families import FAMILIES
    from wwc_eval.inference.glm import solve

    size = float(y.mean())  # events of any size converge alike
    solved = solve(y / size, basis(Z), FAMILIES["poisson"], offset=np.log(time))
    if not solved.converged:
        raise DesignError(
            "the Poisson regression on the covariates has no solution",
            rule="events must occur at every level of a covariate",
            fix="join levels without events, or leave the covariate out",
        )
    return np.asarray(size * np.exp(solved.eta))
