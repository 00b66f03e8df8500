"""Scales of items: what may be recorded, and which share of the scale a value is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from wwc_eval.data.yaml_fields import Block, Number, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["SCALES", "BinaryScale", "DoseScale", "NumberScale", "OrdinalScale", "Scale"]


class _Scale(Block):
    """What every scale answers."""

    @property
    def low(self) -> float:
        """Value with which nothing of the scale is reached."""
        raise NotImplementedError

    @property
    def high(self) -> float:
        """Value with which all of the scale is reached."""
        raise NotImplementedError

    def allows(self, values: Floats) -> NDArray[np.bool_]:
        """Which values may be recorded."""
        raise NotImplementedError

    @property
    def rule(self) -> str:
        """What may be recorded, in words."""
        raise NotImplementedError

    def counted(self, values: Floats) -> Floats:
        """Values as they count: a dose stops at its cap."""
        return values

    def share(self, values: Floats) -> Floats:
        """Share of the scale that is reached, 0 to 1 (percent of maximum possible / 100)."""
        found: Floats = ((self.counted(values) - self.low) / (self.high - self.low)).clip(0.0, 1.0)
        return found


class OrdinalScale(_Scale):
    """Whole numbers with anchors."""

    type: Literal["ordinal", "likert"]
    min: int
    max: int
    anchors: dict[Text, Text] = Field(
        default_factory=dict, description='Value in quotes: its words, as "1": absent'
    )

    @property
    def low(self) -> float:
        """Lowest value."""
        return float(self.min)

    @property
    def high(self) -> float:
        """Highest value."""
        return float(self.max)

    @property
    def rule(self) -> str:
        """What may be recorded, in words."""
        return f"a whole number from {self.min} to {self.max}"

    def allows(self, values: Floats) -> NDArray[np.bool_]:
        """Which values may be recorded."""
        allowed: NDArray[np.bool_] = (values >= self.min) & (values <= self.max) & (values % 1 == 0)
        return allowed


class BinaryScale(_Scale):
    """Seen (1) or not (0)."""

    type: Literal["binary"]

    @property
    def low(self) -> float:
        """Not seen."""
        return 0.0

    @property
    def high(self) -> float:
        """Seen."""
        return 1.0

    @property
    def rule(self) -> str:
        """What may be recorded, in words."""
        return "0 or 1"

    def allows(self, values: Floats) -> NDArray[np.bool_]:
        """Which values may be recorded."""
        allowed: NDArray[np.bool_] = (values == 0) | (values == 1)
        return allowed


class DoseScale(_Scale):
    """A count or a duration with a target: ``(value - floor) / (target - floor)``, from 0 to 1."""

    type: Literal["count", "duration"]
    target: Number = Field(description="Amount that is the whole dose")
    floor: Number = Field(0, description="Amount that counts as none of it")
    cap: Number | None = Field(
        None, description="Amount above which more does not count; the target where missing"
    )
    units: Text | None = Field(None, description="Such as visits, minutes, days")

    @property
    def low(self) -> float:
        """Floor of the dose."""
        return float(self.floor)

    @property
    def high(self) -> float:
        """Target of the dose."""
        return float(self.target)

    @property
    def top(self) -> float:
        """Largest amount that counts."""
        return float(self.target if self.cap is None else self.cap)

    @property
    def rule(self) -> str:
        """What may be recorded, in words."""
        return "a whole number of at least 0" if self.type == "count" else "a number of at least 0"

    def allows(self, values: Floats) -> NDArray[np.bool_]:
        """Which values may be recorded."""
        whole = values % 1 == 0 if self.type == "count" else values == values  # noqa: PLR0124  a number
        allowed: NDArray[np.bool_] = (values >= 0) & (values < float("inf")) & whole
        return allowed

    def counted(self, values: Floats) -> Floats:
        """Amounts as they count: not above the cap."""
        return values.clip(None, self.top)


class NumberScale(_Scale):
    """Any number between two limits, such as a score of another instrument."""

    type: Literal["number"]
    min: Number
    max: Number

    @property
    def low(self) -> float:
        """Lowest value."""
        return float(self.min)

    @property
    def high(self) -> float:
        """Highest value."""
        return float(self.max)

    @property
    def rule(self) -> str:
        """What may be recorded, in words."""
        return f"a number from {self.min:g} to {self.max:g}"

    def allows(self, values: Floats) -> NDArray[np.bool_]:
        """Which values may be recorded."""
        allowed: NDArray[np.bool_] = (values >= self.min) & (values <= self.max)
        return allowed


SCALES = ("ordinal", "likert", "binary", "count", "duration", "number")
Scale = OrdinalScale | BinaryScale | DoseScale | NumberScale
