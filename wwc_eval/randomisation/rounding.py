"""Whole numbers of units for each arm where the ratio leaves a remainder, each arm's expectation met exactly.

With n units and ratio a : b : ... of total S, arm i gets floor(n a_i / S) units for certain. The units left over go to
different arms; arm i gets one of them with probability (n a_i mod S) / S. Procedure: shuffle the arms whose remainder
is not zero; lay their remainders end to end in that order; take u, a whole number below S; the arms in whose stretch
one of u, u + S, u + 2S, ... falls get one unit more. (Systematic sampling in random order, Madow 1949,
doi:10.1214/aoms/1177729988.) With more than seven such arms of unlike remainders they keep their order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["Apportionment", "Leftover", "multinomial"]

Counts = NDArray[np.int64]
MOST_UNEQUAL = 7
"""Most arms with remainders of different size whose patterns are counted (7! orders)."""


def multinomial(counts: Sequence[int]) -> int:
    """Ways to allocate the units of one block: n! / (n_1! n_2! ...).

    Examples
    --------
    >>> multinomial([3, 2, 1])
    60
    """
    ways, left = 1, sum(counts)
    for count in counts:
        ways *= math.comb(left, count)
        left -= count
    return ways


@dataclass(frozen=True)
class Leftover:
    """Law of which arms get one unit more.

    Parameters
    ----------
    chances : tuple of int
        Probability of each arm in parts of ``total``; they add up to a multiple of it.
    total : int
        What makes a whole.
    """

    chances: tuple[int, ...]
    total: int

    def draw(self, stream: Stream) -> tuple[int, ...]:
        """0 or 1 for each arm, from the stream; nothing is drawn where nothing is left over."""
        if not any(self.chances):
            return (0,) * len(self.chances)
        order = [arm for arm, part in enumerate(self.chances) if part]
        if _mixes(self.chances):
            order = stream.shuffled(order)
        chosen = _systematic(order, self.chances, stream.below(self.total), self.total)
        return tuple(int(arm in chosen) for arm in range(len(self.chances)))

    @cached_property
    def law(self) -> tuple[tuple[tuple[int, ...], Fraction], ...]:
        """Every possible vector of 0 and 1 with its probability, in lexicographic order."""
        if not any(self.chances):
            return (((0,) * len(self.chances), Fraction(1)),)
        sets = _subsets(self.chances, sum(self.chances) // self.total, self.total)
        return tuple(
            sorted((tuple(int(arm in one) for arm in range(len(self.chances))), chance) for one, chance in sets)
        )


@dataclass(frozen=True)
class Apportionment:
    """Law of the numbers of units of each arm for n units in a ratio.

    Parameters
    ----------
    n : int
        Units.
    ratio : tuple of int
        Whole-number ratio.
    """

    n: int
    ratio: tuple[int, ...]

    @cached_property
    def base(self) -> tuple[int, ...]:
        """Units that each arm gets for certain."""
        return tuple(self.n * part // sum(self.ratio) for part in self.ratio)

    @cached_property
    def leftover(self) -> Leftover:
        """Who gets the units left over."""
        total = sum(self.ratio)
        return Leftover(tuple(self.n * part % total for part in self.ratio), total)

    def draw(self, stream: Stream) -> tuple[int, ...]:
        """Numbers of units, from the stream."""
        return tuple(b + e for b, e in zip(self.base, self.leftover.draw(stream), strict=True))

    @cached_property
    def patterns(self) -> tuple[tuple[tuple[int, ...], Fraction], ...]:
        """Every possible vector of numbers with its probability, in lexicographic order."""
        base = self.base
        return tuple(
            (tuple(b + e for b, e in zip(base, extra, strict=True)), chance) for extra, chance in self.leftover.law
        )

    def sample(self, draws: int, rng: np.random.Generator) -> Counts:
        """Numbers of units of so many draws, shape (draws, k)."""
        rows = np.array([counts for counts, _ in self.patterns], dtype=np.int64)
        if len(rows) == 1:
            return np.broadcast_to(rows[0], (draws, len(self.ratio)))
        chances = np.array([float(chance) for _, chance in self.patterns])
        return np.asarray(rows[rng.choice(len(rows), size=draws, p=chances / chances.sum())])


def _mixes(remainders: Sequence[int]) -> bool:
    """Whether the arms with a remainder are shuffled: so few that their orders can be gone through, or all alike."""
    open_parts = [part for part in remainders if part]
    return len(set(open_parts)) == 1 or len(open_parts) <= MOST_UNEQUAL


def _systematic(order: Sequence[int], remainders: Sequence[int], start: int, total: int) -> list[int]:
    """Items in whose stretch a point start + j * total falls, stretches end to end in the order given."""
    chosen, end = [], 0
    for arm in order:
        begin, end = end, end + remainders[arm]
        # a point start + j * total in [begin, end)
        if -(-(begin - start) // total) * total + start < end:
            chosen.append(arm)
    return chosen


def _subsets(remainders: Sequence[int], left: int, total: int) -> list[tuple[frozenset[int], Fraction]]:
    """Sets of arms that may get the units left over, with the probability of each."""
    open_arms = [arm for arm, part in enumerate(remainders) if part]
    if len({remainders[arm] for arm in open_arms}) == 1:
        ways = math.comb(len(open_arms), left)
        return [(frozenset(each), Fraction(1, ways)) for each in itertools.combinations(open_arms, left)]
    weights: dict[tuple[int, ...], int] = {}
    orders = list(itertools.permutations(open_arms)) if _mixes(remainders) else [tuple(open_arms)]
    for order in orders:
        ends = list(itertools.accumulate(remainders[arm] for arm in order))
        # the set changes only where a stretch begins
        cuts = sorted({end % total for end in ends} | {0})
        for start, stop in zip(cuts, [*cuts[1:], total], strict=True):
            chosen = tuple(sorted(_systematic(order, remainders, start, total)))
            weights[chosen] = weights.get(chosen, 0) + stop - start
    whole = total * len(orders)
    return [(frozenset(each), Fraction(weights[each], whole)) for each in sorted(weights) if weights[each]]
