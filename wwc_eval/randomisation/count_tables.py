"""How many units of each stratum may go to each arm, and a uniform draw among all allocations that keep to it.

A stratum of n units gives each arm its share of n, rounded down, and the units left over to different arms among
those whose share was rounded. Arm totals keep to the same rule over all units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from wwc_eval.randomisation.rounding import multinomial

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["CountTables", "Counts", "count_options"]

Counts = tuple[int, ...]
T = TypeVar("T")


def count_options(n: int, ratio: Sequence[int]) -> tuple[Counts, ...]:
    """Permitted numbers of ``n`` units in each arm, in lexicographic order.

    Examples
    --------
    >>> count_options(5, (1, 1))
    ((2, 3), (3, 2))
    >>> count_options(4, (1, 2))
    ((1, 3), (2, 2))
    """
    whole = sum(ratio)
    floors = [n * part // whole for part in ratio]
    rounded = [arm for arm, part in enumerate(ratio) if n * part % whole]
    spare = n - sum(floors)
    options = [
        tuple(count + (arm in extra) for arm, count in enumerate(floors)) for extra in combinations(rounded, spare)
    ]
    return tuple(sorted(options))


class CountTables:
    """All permitted tables of strata by arms, the number of allocations behind them, and a uniform draw.

    Parameters
    ----------
    sizes : sequence of int
        Units in each stratum, in order.
    ratio : sequence of int
        Allocation ratio of the arms.
    """

    def __init__(self, sizes: Sequence[int], ratio: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.ratio = tuple(ratio)
        self.options = tuple(count_options(size, ratio) for size in self.sizes)
        self.totals = count_options(sum(self.sizes), ratio)
        # n_ways[s][t]: allocations of strata s, s+1, ... whose arm totals are t
        ways: list[Counter[Counts]] = [Counter({(0,) * len(self.ratio): 1})]
        for options in reversed(self.options):
            later: Counter[Counts] = Counter()
            for rest, count in ways[0].items():
                for option in options:
                    later[tuple(a + b for a, b in zip(rest, option, strict=True))] += count * _orders(option)
            ways.insert(0, later)
        self._ways = ways
        self._steps: dict[tuple[int, Counts], list[tuple[tuple[Counts, Counts], int]]] = {}
        self.totals = tuple(total for total in self.totals if ways[0][total])

    @property
    def n_allocations(self) -> int:
        """Number of permitted allocations."""
        return sum(self._ways[0][total] for total in self.totals)

    def draw(self, stream: Stream) -> list[list[int]]:
        """Arms of the units of each stratum, drawn uniformly from all permitted allocations.

        Arm totals first, then the counts of each stratum in turn, each with probability proportional to the number of
        allocations that remain possible; then the arms of each stratum in order, shuffled (Fisher-Yates, from the last
        place down).
        """
        left = _pick(stream, self._of_totals)
        drawn = []
        for stratum in range(len(self.options)):
            option, left = _pick(stream, self._weighted(stratum, left))
            drawn.append(stream.shuffled([arm for arm, count in enumerate(option) for _ in range(count)]))
        return drawn

    @cached_property
    def _of_totals(self) -> list[tuple[Counts, int]]:
        return [(total, self._ways[0][total]) for total in self.totals]

    def _weighted(self, stratum: int, left: Counts) -> list[tuple[tuple[Counts, Counts], int]]:
        """Counts of a stratum and arm totals left after it, each with its number of allocations; impossible ones out."""
        known = self._steps.get((stratum, left))
        if known is None:
            rests = [tuple(a - b for a, b in zip(left, option, strict=True)) for option in self.options[stratum]]
            known = [
                ((option, rest), _orders(option) * self._ways[stratum + 1][rest])
                for option, rest in zip(self.options[stratum], rests, strict=True)
                if self._ways[stratum + 1][rest]
            ]
            self._steps[stratum, left] = known
        return known

    def sample(self, draws: int, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Counts of each stratum and arm in independent uniform draws, shape (draws, strata, arms)."""
        found = np.empty((draws, len(self.sizes), len(self.ratio)), dtype=np.int64)
        chances = [self._ways[0][total] / self.n_allocations for total in self.totals]
        state = np.array(self.totals)[rng.choice(len(self.totals), size=draws, p=chances)]
        for stratum in range(len(self.options)):
            states, group = np.unique(state, axis=0, return_inverse=True)
            for index, left in enumerate(states.tolist()):
                here = np.flatnonzero(group.reshape(-1) == index)
                steps = self._weighted(stratum, tuple(left))
                weights = [weight for _, weight in steps]
                shares = [weight / sum(weights) for weight in weights]
                rows = np.array([option for (option, _), _ in steps])
                found[here, stratum] = rows[rng.choice(len(rows), size=len(here), p=shares)]
            state = state - found[:, stratum]
        return found


_orders = cache(multinomial)


def _pick(stream: Stream, weighted: Sequence[tuple[T, int]]) -> T:
    """One item with probability proportional to its weight; a single possible item takes nothing from the stream."""
    if len(weighted) == 1:
        return weighted[0][0]
    place = stream.below_large(sum(weight for _, weight in weighted))
    for item, weight in weighted:
        if place < weight:
            return item
        place -= weight
    raise AssertionError  # place is below the sum of the weights
