"""What a trial measures: scores, risks. Rates and times to an event: :mod:`wwc_eval.power.events`.

An outcome says how an effect moves the mean of an arm, on which scale the test is made, and how much variance each
level adds on that scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.power.checks import Frozen, Number, check_numbers
from wwc_eval.power.kernels import Array
from wwc_eval.table import format_number

__all__ = ["BINARY_VARIANCES", "Binary", "Components", "Continuous", "Outcome"]

Components = list[tuple[Array, Array]]
"""Variance of one unit of each level, lowest first: in the treated arm and in the control arm."""


class Outcome(Frozen):
    """Base of the outcomes: what :class:`~wwc_eval.power.Trial` and its kin ask of one.

    Attributes
    ----------
    null : float
        The effect that is none: 0 for differences, 1 for ratios.
    scale : str
        Scale of the effect, a key of :data:`wwc_eval.estimate.SCALES`.
    """

    linear: ClassVar[bool] = False
    """Whether the effect is the distance itself and leaves every variance alone."""

    @property
    def null(self) -> float:
        """The effect that is none."""
        raise NotImplementedError

    @property
    def scale(self) -> str:
        """Scale of the effect."""
        raise NotImplementedError

    def means(self, effect: Number) -> tuple[Array, Array]:
        """Mean (risk, rate) of the treated and of the control arm under an effect."""
        raise NotImplementedError

    def distance(self, treated: Array, control: Array) -> Array:
        """Effect on the scale of the test, signed, from the means of the arms."""
        raise NotImplementedError

    def components(
        self, treated: Array, control: Array, *, icc: Sequence[Number], k: Sequence[Number | None], share: Number
    ) -> Components:
        """Variance that one unit of each level adds on the scale of the test, lowest level first.

        ``icc`` and ``k`` are those of the levels above the lowest (``k`` is None where ICC is given); ``share`` is
        the share of the treated arm, by which pooled variances weight.
        """
        raise NotImplementedError

    def critical_components(
        self, treated: Array, control: Array, *, icc: Sequence[Number], k: Sequence[Number | None], share: Number
    ) -> Components | None:
        """Variances by which the test sets its critical value, where they are not those of :meth:`components`."""
        del treated, control, icc, k, share
        return None

    def bounds(self) -> tuple[Number, Number]:
        """Effects between which, exclusive, an effect must lie."""
        return -math.inf, math.inf

    def check_effect(self, effect: object) -> Number:
        """The effect itself if it is possible, else an error that names the limit."""
        value = check_numbers("effect", effect)
        low, high = self.bounds()
        array = np.asarray(value)
        wrong = (array <= low) | (array >= high)
        if np.any(wrong):
            at = np.argmax(np.broadcast_to(wrong, wrong.shape).ravel())
            low, high = (np.broadcast_to(np.asarray(b, float), wrong.shape).ravel()[at] for b in (low, high))
            worst = np.broadcast_to(array, wrong.shape).ravel()[at]
            raise DesignError(
                f"effect == {worst:g}, must be > {low:g} and < {high:g}",
                fix=f"give the effect as a {self.words()}; no effect is {self.null:g}",
            )
        return value

    def diluted(self, effect: Number, *, dilution: Number, crossover: Number) -> tuple[Array, Array]:
        """Means of the arms when a share of each arm gets what the other arm was meant to get."""
        treated, control = self.means(effect)
        gap = treated - control
        return treated - dilution * gap, control + crossover * gap

    def words(self) -> str:
        """The scale in words."""
        from wwc_eval.estimate import SCALES

        return SCALES[self.scale]

    def show(self, effect: float) -> str:
        """An effect with its units, for a reader."""
        if self.scale == "risk_difference":
            return f"{format_number(100 * effect, 2)} percentage points"
        return f"{format_number(effect, 3)} ({self.words()})"

    def describe(self) -> str:
        """The outcome in one phrase."""
        raise NotImplementedError


def shares_of(icc: Sequence[Number], k: Sequence[Number | None], mean: Number, variance: Number) -> list[Array]:
    """Share of every level, lowest first, from ICCs, or from k at a mean and total variance."""
    upper = [
        np.asarray(i, float) if c is None else np.asarray(c, float) ** 2 * np.asarray(mean, float) ** 2 / variance
        for i, c in zip(icc, k, strict=True)
    ]
    lowest = np.asarray(1.0 - sum(upper, np.asarray(0.0)))
    if np.any(lowest < 0):
        raise DesignError(
            f"the variance shares of the levels above the lowest sum to {float(np.max(1.0 - lowest)):.3g}, must be <= 1",
            fix="lower icc or k; k of a binary outcome is at most sqrt((1 - p) / p)",
        )
    return [lowest, *upper]


@dataclass(frozen=True, kw_only=True, eq=False)
class Continuous(Outcome):
    """A score, days, or another continuous outcome; the effect is a difference in means.

    Parameters
    ----------
    sd : float or array
        Total SD over all levels; with 1 effects are in SD units.
    mean : float, optional
        Mean of the control arm; needed only where a level has ``k``.
    units : str
        Units of the outcome in words.

    Examples
    --------
    >>> Continuous(sd=7.5, units="points").describe()
    'continuous, SD 7.5 points'
    """

    sd: Number = 1.0
    mean: Number | None = None
    units: str = ""
    linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        self._set("sd", check_numbers("sd", self.sd, above=0))
        if self.mean is not None:
            self._set("mean", check_numbers("mean", self.mean))

    @property
    def null(self) -> float:
        """No difference."""
        return 0.0

    @property
    def scale(self) -> str:
        """Difference in means."""
        return "mean_difference"

    def means(self, effect: Number) -> tuple[Array, Array]:
        """Mean of each arm."""
        base = np.asarray(0.0 if self.mean is None else self.mean, float)
        return base + np.asarray(effect, float), base

    def distance(self, treated: Array, control: Array) -> Array:
        """Difference in means."""
        return treated - control

    def components(
        self, treated: Array, control: Array, *, icc: Sequence[Number], k: Sequence[Number | None], share: Number
    ) -> Components:
        """Shares of sd squared, the same in both arms."""
        del treated, control, share
        if self.mean is None and any(c is not None for c in k):
            raise DesignError(
                "k needs the mean of the control arm", fix="give Continuous(mean=...), or icc instead of k"
            )
        total = np.asarray(self.sd, float) ** 2
        shares = shares_of(icc, k, 0.0 if self.mean is None else self.mean, total)
        return [(s * total, s * total) for s in shares]

    def show(self, effect: float) -> str:
        """An effect with its units."""
        units = self.units or ("SD" if np.all(np.asarray(self.sd) == 1.0) else "units of the outcome")
        return f"{format_number(effect, 3)} {units}"

    def describe(self) -> str:
        """The outcome in one phrase."""
        sd = np.asarray(self.sd)
        size = f"SD {float(sd):g}" if sd.ndim == 0 else f"SD {sd.min():g} to {sd.max():g}"
        return f"continuous, {size}" + (f" {self.units}" if self.units else "")


BINARY_VARIANCES = ("unpooled", "pooled", "null", "fleiss", "arcsine", "logit")
_EFFECTS = ("risk_difference", "risk_ratio", "odds_ratio")


@dataclass(frozen=True, kw_only=True, eq=False)
class Binary(Outcome):
    """A yes or no, such as looked after within 18 months; the effect is a risk difference (a proportion).

    Parameters
    ----------
    control : float or array
        Risk in the control arm.
    variance : {"unpooled", "pooled", "null", "fleiss", "arcsine", "logit"}
        Variance of the test: ``unpooled`` p(1 - p) of each arm; ``pooled`` that of the mean risk under the effect;
        ``null`` that of the control risk in both arms; ``fleiss`` the critical value from the pooled variance and the
        statistic's spread from the unpooled one (R's ``power.prop.test``); ``arcsine`` Cohen's h; ``logit`` log odds
        ratio.
    effect : {"risk_difference", "risk_ratio", "odds_ratio"}
        How effects are given and reported.

    Notes
    -----
    A fall and a rise of one size have different power, since p(1 - p) differs. With ``k`` instead of ``icc`` the
    variance between units of a level is k^2 p^2 in each arm (``unpooled``, ``fleiss``, ``logit``) or that of the
    control arm in both.
    Sources: Fleiss, Levin and Paik 2003 (doi:10.1002/0471445428); Cohen 1988 for h; Hayes and Bennett 1999
    (doi:10.1093/ije/28.2.319) for k.

    Examples
    --------
    >>> Binary(control=0.22).describe()
    'binary, control risk 22.0%, unpooled variance'
    """

    control: Number
    variance: Literal["unpooled", "pooled", "null", "fleiss", "arcsine", "logit"] = "unpooled"
    effect: Literal["risk_difference", "risk_ratio", "odds_ratio"] = "risk_difference"

    def __post_init__(self) -> None:
        """Check the risk and the names."""
        fix = "give a risk as a proportion, such as 0.22"
        self._set("control", check_numbers("control", self.control, above=0, below=1, fix=fix))
        check_choice("variance", self.variance, BINARY_VARIANCES)
        check_choice("effect", self.effect, _EFFECTS)

    @property
    def null(self) -> float:
        """0 for the difference, 1 for the ratios."""
        return 0.0 if self.effect == "risk_difference" else 1.0

    @property
    def scale(self) -> str:
        """Scale of the effect."""
        return self.effect

    def means(self, effect: Number) -> tuple[Array, Array]:
        """Risk of each arm."""
        p, e = np.asarray(self.control, float), np.asarray(effect, float)
        if self.effect == "risk_difference":
            return p + e, p
        if self.effect == "risk_ratio":
            return p * e, p
        return e * p / (1.0 - p + e * p), p

    def bounds(self) -> tuple[Number, Number]:
        """Effects at which the treated arm's risk would be 0 or 1."""
        p = np.asarray(self.control, float)
        if self.effect == "risk_difference":
            return -p, 1.0 - p
        return (0.0, 1.0 / p) if self.effect == "risk_ratio" else (0.0, math.inf)

    def distance(self, treated: Array, control: Array) -> Array:
        """Risk difference, difference of arcsines, or log odds ratio."""
        if self.variance == "arcsine":
            return np.asarray(2.0 * (np.arcsin(np.sqrt(treated)) - np.arcsin(np.sqrt(control))))
        if self.variance == "logit":
            return np.asarray(np.log(treated / (1.0 - treated)) - np.log(control / (1.0 - control)))
        return treated - control

    def components(
        self, treated: Array, control: Array, *, icc: Sequence[Number], k: Sequence[Number | None], share: Number
    ) -> Components:
        """Shares of p(1 - p), or k^2 p^2 above the lowest level."""
        if self.variance in {"pooled", "null", "arcsine"}:
            shares = shares_of(icc, k, control, control * (1.0 - control))
            pooled = share * treated + (1.0 - share) * control
            mean = {"pooled": pooled, "null": control}.get(self.variance)
            total = np.asarray(1.0) if mean is None else mean * (1.0 - mean)
            return [(s * total, s * total) for s in shares]
        arms = []
        for p in (treated, control):
            total = p * (1.0 - p)
            parts = [s * total for s in shares_of(icc, k, p, total)]
            arms.append([part / total**2 for part in parts] if self.variance == "logit" else parts)
        return list(zip(*arms, strict=True))

    def critical_components(
        self, treated: Array, control: Array, *, icc: Sequence[Number], k: Sequence[Number | None], share: Number
    ) -> Components | None:
        """Pooled variances, for Fleiss' form."""
        if self.variance != "fleiss":
            return None
        pooled = self.replace(variance="pooled")
        return pooled.components(treated, control, icc=icc, k=k, share=share)

    def describe(self) -> str:
        """The outcome in one phrase."""
        p = np.asarray(self.control)
        risk = f"{100 * float(p):.1f}%" if p.ndim == 0 else f"{100 * p.min():.1f}% to {100 * p.max():.1f}%"
        return f"binary, control risk {risk}, {self.variance} variance"
