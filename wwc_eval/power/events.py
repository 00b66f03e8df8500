"""Rates with exposure, and times to an event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.power.checks import Number, check_numbers
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Components, Outcome, shares_of

__all__ = ["Rate", "TimeToEvent"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rate(Outcome):
    """Events for each unit of exposure, such as Section 47 enquiries a child-year; the effect is a rate ratio.

    Parameters
    ----------
    control : float or array
        Rate in the control arm, events for each unit of exposure.
    exposure : float or array
        Exposure of one unit of the lowest level (a child's years; a school's child-years).
    test : {"difference", "log"}
        Scale of the test: the difference in rates, as a comparison of cluster rates makes it, or the log rate ratio.
    dispersion : float or array
        Variance / mean of a unit's count, given its level's rate; 1 is Poisson.

    Notes
    -----
    A unit's rate has variance dispersion * r / exposure + k^2 r^2, r the rate of its arm and k the coefficient of
    variation between the units of a level; an ICC is turned into k at the control rate.
    Source: Hayes and Bennett 1999 (doi:10.1093/ije/28.2.319).

    Examples
    --------
    >>> Rate(control=0.0148, exposure=424).describe()
    'rate, control 0.0148, exposure 424 a unit, test of the difference'
    """

    control: Number
    exposure: Number = 1.0
    test: Literal["difference", "log"] = "difference"
    dispersion: Number = 1.0

    def __post_init__(self) -> None:
        """Check the numbers and the name."""
        self._set("control", check_numbers("control", self.control, above=0))
        self._set("exposure", check_numbers("exposure", self.exposure, above=0))
        self._set("dispersion", check_numbers("dispersion", self.dispersion, above=0))
        check_choice("test", self.test, ("difference", "log"))

    @property
    def null(self) -> float:
        """Equal rates."""
        return 1.0

    @property
    def scale(self) -> str:
        """Rate ratio."""
        return "rate_ratio"

    def means(self, effect: Number) -> tuple[Array, Array]:
        """Rate of each arm."""
        rate = np.asarray(self.control, float)
        return rate * np.asarray(effect, float), rate

    def bounds(self) -> tuple[Number, Number]:
        """Ratios are positive."""
        return 0.0, math.inf

    def distance(self, treated: Array, control: Array) -> Array:
        """Difference in rates, or log rate ratio."""
        return treated - control if self.test == "difference" else np.asarray(np.log(treated / control))

    def components(
        self, treated: Array, control: Array, *, icc: Sequence[Number], k: Sequence[Number | None], share: Number
    ) -> Components:
        """Dispersion * r / exposure at the lowest level, k^2 r^2 above it; over r^2 on the log scale."""
        del share
        arms = []
        own = np.asarray(self.dispersion, float) / np.asarray(self.exposure, float)
        squares = self._squares(icc, k, own)
        for rate in (treated, control):
            parts = [rate * own, *(square * rate**2 for square in squares)]
            arms.append([part / rate**2 for part in parts] if self.test == "log" else parts)
        return list(zip(*arms, strict=True))

    def _squares(self, icc: Sequence[Number], k: Sequence[Number | None], own: Array) -> list[Array]:
        """k^2 of the levels above the lowest."""
        taken = sum((np.asarray(i, float) for i, c in zip(icc, k, strict=True) if c is None), np.asarray(0.0))
        if np.any(taken >= 1):
            raise DesignError(
                f"the ICCs of a rate sum to {float(np.max(taken)):g}, must be < 1", fix="lower icc, or give k"
            )
        if np.any(taken > 0) and any(c is not None for c in k):
            raise DesignError(
                "a rate has icc at one level and k at another", fix="give k at every level above the lowest"
            )
        rate = np.asarray(self.control, float)
        return [
            np.asarray(i, float) / (1.0 - taken) * own / rate if c is None else np.asarray(c, float) ** 2
            for i, c in zip(icc, k, strict=True)
        ]

    def describe(self) -> str:
        """The outcome in one phrase."""
        rate, exposure = (np.asarray(value).ravel()[0] for value in (self.control, self.exposure))
        of = "the difference" if self.test == "difference" else "the log ratio"
        return f"rate, control {rate:g}, exposure {exposure:g} a unit, test of {of}"


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeToEvent(Outcome):
    """Time to an event, such as a child's return home; the effect is a hazard ratio.

    Parameters
    ----------
    control : float or array
        Probability that a child of the control arm has the event within its follow-up.
    variance : {"schoenfeld", "events"}
        Variance of the log hazard ratio: ``schoenfeld`` 1 / (P (1 - P) events in all); ``events`` 1 / events of each
        arm, which differs when effects are large.

    Notes
    -----
    Hazards are proportional: the treated arm's probability is 1 - (1 - control)^HR. Clustering multiplies the
    variance by 1 + (m - 1) icc, icc that of the martingale residuals; with ``k``, the coefficient of variation of the
    hazards between units, k^2 is added for each unit.
    Sources: Schoenfeld 1983 (doi:10.2307/2531021); Xie and Waksman 2003 (doi:10.1002/sim.1536); Hayes and Bennett
    1999 (doi:10.1093/ije/28.2.319).

    Examples
    --------
    >>> TimeToEvent(control=0.4).describe()
    'time to event, 40.0% of the control arm have it, schoenfeld variance'
    """

    control: Number
    variance: Literal["schoenfeld", "events"] = "schoenfeld"

    def __post_init__(self) -> None:
        """Check the probability and the name."""
        self._set("control", check_numbers("control", self.control, above=0, below=1))
        check_choice("variance", self.variance, ("schoenfeld", "events"))

    @classmethod
    def from_rate(cls, rate: float, *, follow_up: float, accrual: float = 0.0, loss: float = 0.0) -> TimeToEvent:
        """Outcome from a constant hazard, when children join evenly over ``accrual`` and are followed to one end.

        Parameters
        ----------
        rate : float
            Hazard of the control arm, events a unit of time.
        follow_up : float
            Time from the last child's start to the end.
        accrual : float
            Time over which children join.
        loss : float
            Hazard of being lost to follow-up.

        Examples
        --------
        >>> round(TimeToEvent.from_rate(0.5, follow_up=1.5, accrual=1).control, 4)
        0.6283
        """
        hazard = float(check_numbers("rate", rate, above=0))
        gone = float(check_numbers("loss", loss, at_least=0)) + hazard
        after = float(check_numbers("follow_up", follow_up, above=0))
        over = float(check_numbers("accrual", accrual, at_least=0))
        spread = -math.expm1(-gone * over) / (gone * over) if over > 0 else 1.0
        return cls(control=hazard / gone * (1.0 - math.exp(-gone * after) * spread))

    @property
    def null(self) -> float:
        """Equal hazards."""
        return 1.0

    @property
    def scale(self) -> str:
        """Hazard ratio."""
        return "hazard_ratio"

    def means(self, effect: Number) -> tuple[Array, Array]:
        """Probability of the event in each arm."""
        p = np.asarray(self.control, float)
        return -np.expm1(np.asarray(effect, float) * np.log1p(-p)), p

    def bounds(self) -> tuple[Number, Number]:
        """Ratios are positive."""
        return 0.0, math.inf

    def distance(self, treated: Array, control: Array) -> Array:
        """Log hazard ratio."""
        return np.asarray(np.log(np.log1p(-treated) / np.log1p(-control)))

    def components(
        self, treated: Array, control: Array, *, icc: Sequence[Number], k: Sequence[Number | None], share: Number
    ) -> Components:
        """Shares of 1 / probability of an event, and k^2."""
        mean = share * treated + (1.0 - share) * control
        arms = []
        for p in (treated, control):
            total = 1.0 / (mean if self.variance == "schoenfeld" else p)
            known = [0.0 if c is not None else i for i, c in zip(icc, k, strict=True)]
            parts = [s * total for s in shares_of(known, [None] * len(known), 0.0, 1.0)]
            for at, c in enumerate(k, start=1):
                if c is not None:
                    parts[at] = np.asarray(c, float) ** 2 + 0.0 * total
            arms.append(parts)
        return list(zip(*arms, strict=True))

    def words(self) -> str:
        """The scale in words."""
        return "hazard ratio"

    def describe(self) -> str:
        """The outcome in one phrase."""
        p = float(np.asarray(self.control).ravel()[0])
        return f"time to event, {100 * p:.1f}% of the control arm have it, {self.variance} variance"
