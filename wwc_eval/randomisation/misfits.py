"""Misfits global: what is left over of every stratum is allocated together.

From each stratum the units beyond whole multiples of the ratio's total S, n mod S of them, go into one pool, in order
of strata; who they are is left to the deal inside the stratum. Stream: the pool's numbers of units of each arm by the
procedure of ``rounding``; labels in order of the arms, shuffled; each stratum takes as many as it put in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.randomisation.laws import CountLaw, Counts, Floats, Rows
from wwc_eval.randomisation.rounding import Apportionment, multinomial

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["Global"]

Row = tuple[int, ...]


class Global(CountLaw):
    """Numbers of units by stratum with the misfits of all strata allocated as one."""

    @property
    def _total(self) -> int:
        return sum(self.ratio)

    @cached_property
    def _full(self) -> Counts:
        whole = np.array(self.sizes, dtype=np.int64) // self._total
        return whole[:, None] * np.array(self.ratio, dtype=np.int64)

    @cached_property
    def _left(self) -> tuple[int, ...]:
        return tuple(size % self._total for size in self.sizes)

    @cached_property
    def _pool(self) -> Apportionment:
        return Apportionment(sum(self._left), self.ratio)

    def draw(self, stream: Stream) -> Rows:
        """Numbers from the stream."""
        counts = self._full.tolist()
        numbers = self._pool.draw(stream)
        labels = stream.shuffled([arm for arm, number in enumerate(numbers) for _ in range(number)])
        strata = (stratum for stratum, left in enumerate(self._left) for _ in range(left))
        for stratum, arm in zip(strata, labels, strict=True):
            counts[stratum][arm] += 1
        return tuple(tuple(row) for row in counts)

    def sample(self, draws: int, rng: np.random.Generator) -> Counts:
        """Numbers of so many draws, shape (draws, blocks, k)."""
        k = len(self.ratio)
        counts = np.repeat(self._full[None], draws, axis=0)
        pool = self._pool.n
        if not pool:
            return counts
        ends = np.cumsum(self._pool.sample(draws, rng)[:, :-1], axis=1)
        labels = (np.arange(pool)[:, None] >= ends[:, None, :]).sum(axis=2, dtype=np.int64)
        labels = rng.permuted(labels, axis=1)
        strata = np.repeat(np.arange(len(self.sizes)), self._left)
        cells = (np.arange(draws)[:, None] * len(self.sizes) + strata) * k + labels
        return counts + np.bincount(cells.ravel(), minlength=counts.size).reshape(counts.shape)

    def tables(self) -> Iterator[tuple[Rows, Fraction]]:
        """Every possible table of numbers, once, with its probability."""
        for numbers, chance in self._pool.patterns:
            ways = multinomial(numbers)
            for extra in self._tables_of(numbers, 0):
                dealt = math.prod(multinomial(row) for row in extra)
                rows = tuple(
                    tuple(f + e for f, e in zip(full, row, strict=True))
                    for full, row in zip(self._full.tolist(), extra, strict=True)
                )
                yield rows, chance * Fraction(dealt, ways)

    def _tables_of(self, left: Row, stratum: int) -> Iterator[Rows]:
        if stratum == len(self.sizes):
            yield ()
            return
        for row in splits(self._left[stratum], left):
            rest = tuple(a - b for a, b in zip(left, row, strict=True))
            for below in self._tables_of(rest, stratum + 1):
                yield (row, *below)

    def _through(self, numbers: Row) -> Iterator[dict[Row, list[tuple[Row, Row]]]]:
        """For each stratum, from every state of the pool the rows it may take and the state that follows."""
        states: set[Row] = {numbers}
        for left in self._left:
            moves = {
                state: [
                    (row, tuple(a - b for a, b in zip(state, row, strict=True))) for row in splits(left, state)
                ]
                for state in states
            }
            yield moves
            states = {following for steps in moves.values() for _, following in steps}

    def _deals(self, stratum: int, row: Row) -> int:
        return multinomial([int(f) + e for f, e in zip(self._full[stratum], row, strict=True)])

    def _grown(self, stratum: int, row: Row) -> int:
        """(f_1 + e_1)! ... / (f_1! ...): one over the ways to deal a row, up to a factor that the rows share."""
        full = self._full[stratum].tolist()
        return math.prod(math.perm(f + e, e) for f, e in zip(full, row, strict=True))

    @cached_property
    def ways(self) -> int:
        """Number of permitted allocations: over all tables, the ways to deal them."""
        options = [list(splits(left, (left,) * len(self.ratio))) for left in self._left]
        deals = [{row: self._deals(s, row) for row in rows} for s, rows in enumerate(options)]
        # what all rows of a stratum have in common is taken out, so that the numbers in the sum stay small
        common = [math.gcd(*each.values()) for each in deals]
        whole = 0
        for numbers, _ in self._pool.patterns:
            ways = {numbers: 1}
            for stratum, moves in enumerate(self._through(numbers)):
                following: dict[Row, int] = {}
                for state, steps in moves.items():
                    for row, rest in steps:
                        here = ways[state] * (deals[stratum][row] // common[stratum])
                        following[rest] = following.get(rest, 0) + here
                ways = following
            whole += sum(ways.values())
        return whole * math.prod(common)

    @cached_property
    def uniform(self) -> bool:
        """Whether every permitted allocation is equally likely: the least and the most likely ones agree."""
        extremes = set()
        options = [list(splits(left, (left,) * len(self.ratio))) for left in self._left]
        factors = [
            {row: multinomial(row) * self._grown(stratum, row) for row in rows}
            for stratum, rows in enumerate(options)
        ]
        for numbers, chance in self._pool.patterns:
            base = chance / multinomial(numbers)
            bounds = {numbers: (1, 1)}
            for stratum, moves in enumerate(self._through(numbers)):
                following: dict[Row, tuple[int, int]] = {}
                for state, steps in moves.items():
                    low, high = bounds[state]
                    for row, rest in steps:
                        factor = factors[stratum][row]
                        old = following.get(rest, (low * factor, high * factor))
                        following[rest] = (min(old[0], low * factor), max(old[1], high * factor))
                bounds = following
            extremes |= {base * each for pair in bounds.values() for each in pair}
        return len(extremes) == 1

    def sharing(self) -> tuple[Floats, Floats]:
        """Probabilities within and between strata, from the moments of draws without replacement."""
        sizes = np.array(self.sizes, dtype=float)
        full = self._full.astype(float)
        left = np.array(self._left, dtype=float)
        pool = self._pool.n
        mean = np.zeros(len(self.ratio))
        meet = 0.0
        for numbers, chance in self._pool.patterns:
            share = float(chance)
            mean += share * np.array(numbers) / max(pool, 1)
            meet += share * sum(c * (c - 1) for c in numbers) / max(pool * (pool - 1), 1)
        within = (full * (full - 1)).sum(axis=1) + 2 * left * (full @ mean) + left * (left - 1) * meet
        within = np.where(sizes < 2, 1.0, within / np.maximum(sizes * (sizes - 1), 1))
        crossed = np.outer(full @ mean, left)
        between = full @ full.T + crossed + crossed.T + meet * np.outer(left, left)
        return within, between / np.outer(sizes, sizes)


def splits(number: int, most: Row) -> Iterator[Row]:
    """Vectors of whole numbers that add up to ``number``, none above ``most``.

    Examples
    --------
    >>> list(splits(2, (1, 2)))
    [(0, 2), (1, 1)]
    """
    if len(most) == 1:
        if number <= most[0]:
            yield (number,)
        return
    for first in range(max(0, number - sum(most[1:])), min(number, most[0]) + 1):
        for rest in splits(number - first, most[1:]):
            yield (first, *rest)
