"""Laws of the number of units of each arm in each block, of which every block scheme is made.

A law says how many units of each arm each block gets; the labels are then dealt inside each block (``dealing``). The
laws here cover what is left over where a block's size does not fit the ratio.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.randomisation.rounding import Apportionment, multinomial

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["CountLaw", "Fixed", "Independent", "Rows"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Rows = tuple[tuple[int, ...], ...]
"""Units of each arm in each block."""


@dataclass(frozen=True)
class CountLaw(ABC):
    """How many units of each arm each block gets.

    Parameters
    ----------
    sizes : tuple of int
        Units of each block.
    ratio : tuple of int
        Whole-number ratio of the arms.
    """

    sizes: tuple[int, ...]
    ratio: tuple[int, ...]

    @abstractmethod
    def draw(self, stream: Stream) -> Rows:
        """Numbers from the stream."""

    @abstractmethod
    def sample(self, draws: int, rng: np.random.Generator) -> Counts:
        """Numbers of so many draws, shape (draws, blocks, k)."""

    @abstractmethod
    def tables(self) -> Iterator[tuple[Rows, Fraction]]:
        """Every possible table of numbers, once, with its probability."""

    @property
    @abstractmethod
    def ways(self) -> int:
        """Number of permitted allocations: over all tables, the ways to deal them."""

    @property
    @abstractmethod
    def uniform(self) -> bool:
        """Whether every permitted allocation is equally likely."""

    @abstractmethod
    def sharing(self) -> tuple[Floats, Floats]:
        """Probability that two units share an arm: of one block, (blocks,); of two blocks, (blocks, blocks)."""


@dataclass(frozen=True)
class Fixed(CountLaw):
    """Numbers that are given and left to nothing.

    Parameters
    ----------
    rows : tuple of tuple of int
        Units of each arm in each block.
    """

    rows: Rows = ()

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Fixed:
        """The law of such numbers."""
        plain = tuple(tuple(int(number) for number in row) for row in rows)
        return cls(
            tuple(sum(row) for row in plain), tuple(sum(column) for column in zip(*plain, strict=True)), plain
        )

    def draw(self, stream: Stream) -> Rows:
        """The numbers; nothing is drawn."""
        del stream
        return self.rows

    def sample(self, draws: int, rng: np.random.Generator) -> Counts:
        """The numbers, as often as asked for."""
        del rng
        return np.broadcast_to(np.array(self.rows, dtype=np.int64), (draws, len(self.rows), len(self.ratio)))

    def tables(self) -> Iterator[tuple[Rows, Fraction]]:
        """The one table."""
        yield self.rows, Fraction(1)

    @cached_property
    def ways(self) -> int:
        """Ways to deal the numbers."""
        return math.prod(multinomial(row) for row in self.rows)

    @property
    def uniform(self) -> bool:
        """Always."""
        return True

    def sharing(self) -> tuple[Floats, Floats]:
        """Probabilities within a block and between independent blocks."""
        within = np.array([_within([(row, Fraction(1))]) for row in self.rows])
        shares = np.array(self.rows, dtype=float) / np.array(self.sizes, dtype=float)[:, None]
        return within, shares @ shares.T


class Independent(CountLaw):
    """Every block on its own: expectations are met exactly in each, the total may drift."""

    @cached_property
    def _blocks(self) -> tuple[Apportionment, ...]:
        known = {size: Apportionment(size, self.ratio) for size in set(self.sizes)}
        return tuple(known[size] for size in self.sizes)

    def draw(self, stream: Stream) -> Rows:
        """Numbers from the stream, block by block."""
        return tuple(block.draw(stream) for block in self._blocks)

    def sample(self, draws: int, rng: np.random.Generator) -> Counts:
        """Numbers of so many draws, shape (draws, blocks, k)."""
        if all(len(block.patterns) == 1 for block in self._blocks):
            certain = np.array([block.patterns[0][0] for block in self._blocks], dtype=np.int64)
            return np.broadcast_to(certain, (draws, *certain.shape))
        return np.stack([block.sample(draws, rng) for block in self._blocks], axis=1)

    def tables(self) -> Iterator[tuple[Rows, Fraction]]:
        """Every possible table of numbers, once, with its probability."""
        for rows in itertools.product(*(block.patterns for block in self._blocks)):
            yield tuple(counts for counts, _ in rows), math.prod((chance for _, chance in rows), start=Fraction(1))

    @cached_property
    def ways(self) -> int:
        """Number of permitted allocations: the product over blocks."""
        by_size = {
            block.n: sum(multinomial(counts) for counts, _ in block.patterns) for block in set(self._blocks)
        }
        return math.prod(by_size[size] for size in self.sizes)

    @cached_property
    def uniform(self) -> bool:
        """Whether every permitted allocation is equally likely."""
        return all(
            len({chance / multinomial(counts) for counts, chance in block.patterns}) == 1
            for block in set(self._blocks)
        )

    def sharing(self) -> tuple[Floats, Floats]:
        """Probabilities within a block and between independent blocks."""
        within = np.array([_within(block.patterns) for block in self._blocks])
        shares = np.array(self.ratio, dtype=float) / sum(self.ratio)
        blocks = len(self.sizes)
        return within, np.full((blocks, blocks), float(shares @ shares))


def _within(patterns: Sequence[tuple[tuple[int, ...], Fraction]]) -> float:
    """Probability that two units of one block share an arm."""
    n = sum(patterns[0][0])
    if n < 2:
        return 1.0
    return float(sum(chance * sum(m * (m - 1) for m in counts) for counts, chance in patterns) / (n * (n - 1)))
