"""Checks of what a design is made of, and the base of every frozen design."""

from __future__ import annotations

import dataclasses
from typing import Any, Self, TypeAlias, Union

import numpy as np

from wwc_eval.errors import DesignError, did_you_mean, shown
from wwc_eval.power.kernels import Array

__all__ = ["Frozen", "Number", "check_numbers", "plain", "plural"]

Number: TypeAlias = Union[float, "Array"]
"""A number, or an array of them that broadcasts with the others of a design."""


class Frozen:
    """Base of frozen designs: a copy with changes, and equality that arrays survive."""

    def replace(self, **changes: Any) -> Self:
        """Copy with some fields changed; it is checked anew.

        Raises
        ------
        DesignError
            If there is no such field, or the new value cannot be.

        Examples
        --------
        >>> from wwc_eval.power import Level
        >>> Level("team", 48, icc=0.05).replace(n=40).n
        40.0
        """
        names = [each.name for each in dataclasses.fields(self) if each.init]  # type: ignore[arg-type]
        for name in changes:
            if name not in names:
                raise DesignError(f"{type(self).__name__} has no field '{name}'", fix=did_you_mean(name, names))
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(mine, getattr(other, name)) for name, mine in self._values().items())

    def __hash__(self) -> int:
        return hash((type(self).__name__, repr(self)))

    def _values(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}  # type: ignore[arg-type]

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _same(mine: object, other: object) -> bool:
    if isinstance(mine, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(np.asarray(mine), np.asarray(other))
    return bool(mine == other)


def plain(value: object) -> Number:
    """A float where there is one value, else an array that cannot be written to."""
    array = np.array(value, dtype=float)
    if array.ndim == 0:
        return float(array)
    array.flags.writeable = False
    return array


def check_numbers(
    name: str,
    value: object,
    *,
    above: float | None = None,
    below: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    fix: str | None = None,
) -> Number:
    """A number or an array of numbers inside the stated limits, else an error that names the limit.

    Examples
    --------
    >>> check_numbers("icc", [0.01, 0.05], at_least=0, below=1)
    array([0.01, 0.05])
    """
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or isinstance(value, (bool, str)) or value is None:
        raise DesignError(f"{name} == {shown(value)}, must be a number or an array of numbers", fix=fix)
    if array.size == 0:
        raise DesignError(f"{name} is an empty array, must hold at least one number", fix=fix)
    rules = (
        (np.isfinite(array), "must be finite"),
        (array > above if above is not None else True, f"must be > {above}"),
        (array < below if below is not None else True, f"must be < {below}"),
        (array >= at_least if at_least is not None else True, f"must be >= {at_least}"),
        (array <= at_most if at_most is not None else True, f"must be <= {at_most}"),
    )
    for holds, rule in rules:
        if not np.all(holds):
            first = array[~np.broadcast_to(holds, array.shape)].ravel()[0] if array.ndim else array
            raise DesignError(f"{name} == {float(first):g}, {rule}", fix=fix)
    return plain(array)


def plural(name: str) -> str:
    """Plural of what units are called.

    Examples
    --------
    >>> [plural(name) for name in ("child", "family", "local authority", "class", "team")]
    ['children', 'families', 'local authorities', 'classes', 'teams']
    """
    if name.endswith("child"):
        return f"{name}ren"
    if name.endswith("y") and name[-2:-1] not in set("aeiou"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"
