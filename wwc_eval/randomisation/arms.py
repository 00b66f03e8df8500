"""Arms of a trial and the ratio in which units are allocated to them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, shown

__all__ = ["Arms", "read_arms"]

MOST_ARMS = 100


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Names of the arms in order, the reference first, and their whole-number ratio in lowest terms.

    Parameters
    ----------
    names : tuple of str
        Two or more, each once.
    ratio : tuple of int
        Units of each arm for so many units in all; (1, 2) allocates a third and two thirds.
    """

    names: tuple[str, ...]
    ratio: tuple[int, ...]

    @property
    def k(self) -> int:
        """Number of arms."""
        return len(self.names)

    @property
    def total(self) -> int:
        """Sum of the ratio: the smallest number of units that meets it exactly."""
        return sum(self.ratio)

    @property
    def equal(self) -> bool:
        """Whether every arm is allocated alike."""
        return len(set(self.ratio)) == 1

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each arm, adding up to 1."""
        return np.asarray(self.ratio, dtype=float) / self.total

    @property
    def fractions(self) -> tuple[Fraction, ...]:
        """Share of each arm as an exact fraction."""
        return tuple(Fraction(part, self.total) for part in self.ratio)

    @property
    def words(self) -> str:
        """``control : programme = 1 : 2``."""
        return f"{' : '.join(self.names)} = {' : '.join(str(part) for part in self.ratio)}"

    def canonical(self) -> dict[str, Any]:
        """The arms for a receipt: names and ratio."""
        return {"names": list(self.names), "ratio": list(self.ratio)}


def read_arms(arms: Sequence[str] | Mapping[str, int] | Arms) -> Arms:
    """Arms from a sequence of names (equal shares) or a mapping of names to whole-number shares.

    Raises
    ------
    DesignError
        If there are fewer than two arms, a name is blank or occurs twice, or a share is no whole number above 0.

    Examples
    --------
    >>> read_arms({"control": 2, "programme": 4}).ratio
    (1, 2)
    """
    if isinstance(arms, Arms):
        return arms
    if isinstance(arms, str) or not isinstance(arms, (Sequence, Mapping)):
        raise DesignError(
            f"arms == {shown(arms)}, must be several names or names with their shares",
            fix='write arms=("control", "programme") or arms={"control": 1, "programme": 2}',
        )
    for name in arms:
        if not isinstance(name, str) or not name.strip() or name != name.strip() or not name.isprintable():
            raise DesignError(
                f"arm {shown(name)}: a name must be text without blanks around it", fix="rename the arm"
            )
    names = tuple(unicodedata.normalize("NFC", name) for name in arms)
    if len(names) < 2 or len(names) > MOST_ARMS or len(set(names)) < len(names):
        raise DesignError(
            f"arms == {shown(list(names))}, must be 2 to {MOST_ARMS} different names", fix="name each arm once"
        )
    given = list(arms.values()) if isinstance(arms, Mapping) else [1] * len(names)
    for name, share in zip(names, given, strict=True):
        if isinstance(share, bool) or not isinstance(share, (int, np.integer)) or share < 1:
            raise DesignError(
                f"share of arm '{name}' == {shown(share)}, must be a whole number above 0",
                fix='write a ratio of whole numbers, such as {"control": 1, "programme": 2}',
            )
    common = math.gcd(*(int(share) for share in given))
    return Arms(names=names, ratio=tuple(int(share) // common for share in given))
