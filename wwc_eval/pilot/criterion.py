"""What every progression criterion has: limits of red and green, a heading, and the rule that turns data into a tier.

Between the limits of red and green lies amber: the pilot goes on with amendments. Which side is good follows from the
limits: ``green`` above ``red`` where higher is better, below it where lower is (attrition, drop-out, cost).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from wwc_eval.errors import DesignError, check_choice, check_number, did_you_mean, shown
from wwc_eval.estimate import Estimate
from wwc_eval.pilot.decision import TIERS, Decision
from wwc_eval.table import format_percent

__all__ = ["HEADINGS", "Criterion"]

HEADINGS = ("feasibility", "evidence_of_promise", "readiness_for_trial")
"""The three headings that a pilot is judged under."""
RULES = ("estimate", "test", "posterior")


@dataclass(frozen=True, repr=False)
class Criterion:
    """What every criterion has: a name, two limits, a heading, and the rule that turns data into a tier."""

    name: str
    red: float
    green: float
    heading: Literal["feasibility", "evidence_of_promise", "readiness_for_trial"] = "feasibility"
    essential: bool = True
    rule: Literal["estimate", "test", "posterior"] = "estimate"
    alpha: float = 0.05
    confidence: float = 0.8

    lowest: ClassVar[float] = -math.inf
    highest: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        """Check limits and rule."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise DesignError("a criterion needs a name", fix="name what is counted, such as 'consent'")
        for field in ("red", "green"):
            value = check_number(field, getattr(self, field))
            if not self.lowest < value < self.highest:
                raise DesignError(
                    f"'{self.name}': {field} == {value:g}, must be > {self.lowest:g}"
                    + (f" and < {self.highest:g}" if math.isfinite(self.highest) else "")
                )
            object.__setattr__(self, field, value)
        if self.red == self.green:
            raise DesignError(
                f"'{self.name}': red and green are both {self.red:g}, so there is no amber",
                fix="red is where the pilot stops, green where it goes on unchanged; leave room between them",
            )
        if not isinstance(self.essential, bool):
            raise DesignError(f"'{self.name}': essential == {shown(self.essential)}, must be True or False")
        check_choice("heading", self.heading, HEADINGS)
        check_choice("rule", self.rule, RULES)
        check_number("alpha", self.alpha, above=0, below=0.5)
        check_number("confidence", self.confidence, above=0.5, below=1)

    def __repr__(self) -> str:
        """Name and limits."""
        return f"{type(self).__name__}({self.name!r}, red={self.red:g}, green={self.green:g})"

    def replace(self, **changes: Any) -> Self:
        """Copy with some fields changed; an unknown field is refused."""
        unknown = sorted(set(changes) - set(self.__dataclass_fields__))
        if unknown:
            raise DesignError(
                f"{type(self).__name__} has no field '{unknown[0]}'",
                fix=did_you_mean(unknown[0], self.__dataclass_fields__),
            )
        return replace(self, **changes)

    @property
    def higher_is_better(self) -> bool:
        """Whether green lies above red."""
        return self.green > self.red

    @abstractmethod
    def show(self, value: float) -> str:
        """A value in the criterion's units."""

    def counted(self, found: Estimate, rounded: Callable[[int], int] = int) -> str:
        """What an estimate is of, in brackets behind it."""
        return f"n = {rounded(found.n):,}"

    def words(self) -> str:
        """The criterion as a sentence."""
        worse, better = ("or less", "or more") if self.higher_is_better else ("or more", "or less")
        how = {
            "estimate": "the tier is that of the estimate",
            "test": f"green also needs a one-sided test against red at {self.alpha:g}",
            "posterior": f"red and green need a posterior probability of {format_percent(self.confidence, 0)}",
        }[self.rule]
        return f"Red: {self.show(self.red)} {worse}; green: {self.show(self.green)} {better}; {how}."

    def _tier(self, estimate: float, p_value: float, posterior: tuple[float, float, float]) -> str:
        """Tier by the rule; amber is what is neither red nor green."""
        if self.rule == "posterior":
            sure = [chance >= self.confidence for chance in posterior]
            return "red" if sure[0] else "green" if sure[2] else "amber"
        sign = 1.0 if self.higher_is_better else -1.0
        if sign * estimate <= sign * self.red:
            return "red"
        green = sign * estimate >= sign * self.green and (self.rule == "estimate" or p_value <= self.alpha)
        return "green" if green else "amber"

    def _decision(
        self, estimate: Estimate, below: tuple[float, float], p_value: float, effective: float, *notes: str
    ) -> Decision:
        """Decision from the posterior probabilities of lying below either limit."""
        under_red, under_green = below
        parts = (
            (under_red, under_green - under_red, 1.0 - under_green)
            if self.higher_is_better
            else (1.0 - under_red, under_red - under_green, under_green)
        )
        tier = self._tier(estimate.estimate, p_value, parts)
        assert tier in TIERS
        return Decision(
            criterion=self,
            tier=tier,
            p_red=parts[0],
            p_amber=parts[1],
            p_green=parts[2],
            exact_p_value=p_value,
            estimate=estimate,
            effective_n=effective,
            notes=notes,
        )
