"""What power calculations return: numbers that know their design, their test and their convention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from wwc_eval.errors import DesignError
from wwc_eval.power.checks import Number, plain
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Outcome
from wwc_eval.table import Column, Grid, Rendered, Table

__all__ = ["MdesResult", "PowerResult", "RequiredResult"]

SHOWN = 60
"""Rows of an array that are shown."""


class _Result(Rendered):
    """Results of one value or of an array of them."""

    value: Number
    warnings: tuple[str, ...]
    design: str
    convention: str

    def __float__(self) -> float:
        array = np.asarray(self.value)
        if array.size != 1:
            raise DesignError(
                f"the result holds {array.size} values, float() needs one", fix="take .value, which is an array"
            )
        return float(array.ravel()[0])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = np.asarray(self.value, dtype=dtype)
        return array.copy() if copy else array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values; () for one."""
        return np.shape(self.value)

    def _rows(self, **fields: ArrayLike) -> list[dict[str, Any]]:
        """One row for each value, of the fields broadcast to the values' shape."""
        names = list(fields)
        arrays = np.broadcast_arrays(*(np.asarray(each) for each in fields.values()), np.asarray(self.value))
        flat = [each.ravel().tolist() for each in arrays[:-1]]
        return [dict(zip(names, values, strict=True)) for values in zip(*flat, strict=True)]

    def _columns(self) -> list[Column]:
        raise NotImplementedError

    def _grid(self) -> Grid:
        rows = self.to_dicts()
        return Table(rows[:SHOWN], self._columns())._grid()

    def _title(self) -> str:
        return self.design

    def _notes(self) -> tuple[str, ...]:
        more = np.size(self.value) - SHOWN
        rest = (f"and {more:,} rows more, in to_frame()",) if more > 0 else ()
        return (*rest, f"Convention: {self.convention}.", *self.warnings)


def _effect_column(name: str, outcome: Outcome, label: str) -> Column:
    if outcome.scale == "risk_difference":
        return Column(name=name, label=f"{label} (proportion)", kind="number", digits=4)
    return Column(name=name, label=f"{label} ({outcome.words()})", kind="number", digits=3)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PowerResult(_Result):
    """Power at an effect. ``float()`` gives it; ``.value`` is an array where the inputs were.

    Parameters
    ----------
    value : float or array
        Power.
    effect : float or array
        Effect, in the outcome's units.
    ncp, df, se : float or array
        Noncentrality, degrees of freedom (infinity: normal), standard error on the scale of the test.
    alpha, sides, convention
        Level and sides of the test; name of the convention.
    outcome : Outcome
        What is measured.
    design : str
        The design in one line.
    warnings : tuple of str
        What a reader must know before trusting the figure.
    """

    value: Number
    effect: Number
    ncp: Number
    df: Number
    se: Number
    alpha: Number
    sides: int
    convention: str
    outcome: Outcome
    design: str = ""
    warnings: tuple[str, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of effect, power, ncp, df, se, alpha, sides, convention."""
        return self._rows(
            effect=self.effect,
            power=self.value,
            ncp=self.ncp,
            df=self.df,
            se=self.se,
            alpha=self.alpha,
            sides=self.sides,
            convention=self.convention,
        )

    def _columns(self) -> list[Column]:
        return [
            _effect_column("effect", self.outcome, "effect"),
            Column(name="power", kind="percent", digits=1),
            Column(name="ncp", label="noncentrality", kind="number", digits=3),
            Column(name="df", kind="number", digits=1),
            Column(name="se", label="SE", kind="number", digits=4),
            Column(name="alpha", kind="number", digits=3),
            Column(name="sides", kind="count"),
            Column(name="convention"),
        ]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MdesResult(_Result):
    """Minimum detectable effect. ``float()`` gives ``value``.

    Parameters
    ----------
    value : float or array
        With ``direction="either"`` the size of the effect in the direction that needs more (a ratio is itself);
        with ``"fall"`` or ``"rise"`` the effect, signed.
    fall, rise : float or array
        Effects detected in each direction, signed; NaN where no possible effect reaches the power.
    effect : float or array
        The signed effect behind ``value``; ``design.power(result)`` takes it.
    power, alpha, sides, direction, convention
        Power asked for, level and sides, direction, name of the convention.
    ncp, df, se
        Noncentrality, degrees of freedom, standard error at ``effect``.
    """

    value: Number
    fall: Number
    rise: Number
    effect: Number
    power: Number
    ncp: Number
    df: Number
    se: Number
    alpha: Number
    sides: int
    direction: str
    convention: str
    outcome: Outcome
    design: str = ""
    warnings: tuple[str, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of power, mdes, fall, rise, ncp, df, se, alpha, sides, direction, convention."""
        return self._rows(
            power=self.power,
            mdes=self.value,
            fall=self.fall,
            rise=self.rise,
            ncp=self.ncp,
            df=self.df,
            se=self.se,
            alpha=self.alpha,
            sides=self.sides,
            direction=self.direction,
            convention=self.convention,
        )

    def _columns(self) -> list[Column]:
        return [
            Column(name="power", kind="percent", digits=1),
            _effect_column("mdes", self.outcome, "MDES"),
            _effect_column("fall", self.outcome, "fall"),
            _effect_column("rise", self.outcome, "rise"),
            Column(name="ncp", label="noncentrality", kind="number", digits=3),
            Column(name="df", kind="number", digits=1),
            Column(name="se", label="SE", kind="number", digits=4),
            Column(name="alpha", kind="number", digits=3),
            Column(name="sides", kind="count"),
            Column(name="direction"),
            Column(name="convention"),
        ]

    def _notes(self) -> tuple[str, ...]:
        if np.size(self.value) != 1:
            return super()._notes()
        both = ", ".join(
            f"{name} {self.outcome.show(float(np.ravel(each)[0]))}"
            for name, each in (("fall", self.fall), ("rise", self.rise))
        )
        return (f"Detected with {100 * float(np.ravel(self.power)[0]):g}% power: {both}.", *super()._notes())


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RequiredResult(_Result):
    """Smallest size of one level that reaches a power. ``int()`` gives it.

    Parameters
    ----------
    value : float or array
        Units of the level for each unit of the next level up (of the top level: in all).
    level : str
        The level.
    arms : tuple of array
        Units allocated to the treated and to the control arm (within each block, where there are blocks).
    power : float or array
        Power at that size with those arms.
    short : float or array
        Power at one unit fewer, which falls short (NaN where one fewer cannot be).
    fraction : float or array
        The size, not a whole number, at which the power is exactly reached; at the assigned level with the stated share.
    target, effect, alpha, sides, df, ncp, convention
        What was asked, and the test at that size.
    """

    value: Number
    level: str
    arms: tuple[Number, Number]
    power: Number
    short: Number
    fraction: Number = math.nan
    target: Number
    effect: Number
    ncp: Number
    df: Number
    alpha: Number
    sides: int
    convention: str
    outcome: Outcome
    design: str = ""
    warnings: tuple[str, ...] = ()

    def __int__(self) -> int:
        return int(float(self))

    def __index__(self) -> int:
        return int(self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of level, required, treated, control, power, power_one_fewer, fraction, effect, df, ncp, alpha ..."""
        return self._rows(
            level=self.level,
            required=np.asarray(self.value),
            treated=self.arms[0],
            control=self.arms[1],
            power=self.power,
            power_one_fewer=self.short,
            fraction=self.fraction,
            effect=self.effect,
            df=self.df,
            ncp=self.ncp,
            alpha=self.alpha,
            sides=self.sides,
            convention=self.convention,
        )

    def _columns(self) -> list[Column]:
        return [
            Column(name="level"),
            Column(name="required", label=_required_label(self.level), kind="count"),
            Column(name="treated", kind="count"),
            Column(name="control", kind="count"),
            Column(name="power", kind="percent", digits=1),
            Column(name="power_one_fewer", label="power with one fewer", kind="percent", digits=1),
            Column(name="fraction", label="exactly reached at", kind="number", digits=2),
            _effect_column("effect", self.outcome, "effect"),
            Column(name="df", kind="number", digits=1),
            Column(name="ncp", label="noncentrality", kind="number", digits=3),
            Column(name="alpha", kind="number", digits=3),
            Column(name="sides", kind="count"),
            Column(name="convention"),
        ]


def _required_label(level: str) -> str:
    from wwc_eval.power.checks import plural

    if level == "cell_size":
        return "cell size required"
    return f"{level}s required" if level.endswith("LA") else f"{plural(level)} required"


def joined(warnings: Sequence[str]) -> tuple[str, ...]:
    """Warnings without repetition."""
    return tuple(dict.fromkeys(warnings))


def tidy(**values: ArrayLike) -> dict[str, Number]:
    """Arrays of one value as floats, the rest as they are."""
    return {name: plain(value) for name, value in values.items()}
