"""The law of a schedule of permuted blocks of random size: which sequences it gives, and how likely each is.

A schedule of n places is blocks end to end; the size of each is drawn uniformly from the sizes, and the last block is
cut where the places end. Different sizes can give one sequence, so sequences are counted and weighed by a filter over
where the current block began.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["Schedule"]

Codes = NDArray[np.int8]
Floats = NDArray[np.float64]
State = tuple[int, ...]
"""What is left of each arm's labels in the current block; all 0 between blocks."""


@dataclass(frozen=True)
class Schedule:
    """Law of one stratum's schedule.

    Parameters
    ----------
    n : int
        Places.
    sizes : tuple of int
        Block sizes, multiples of the ratio's sum.
    ratio : tuple of int
        Whole-number ratio of the arms.
    """

    n: int
    sizes: tuple[int, ...]
    ratio: tuple[int, ...]

    @property
    def k(self) -> int:
        """Number of arms."""
        return len(self.ratio)

    @cached_property
    def full(self) -> tuple[State, ...]:
        """Labels of each arm in a block, by block size."""
        return tuple(tuple(size // sum(self.ratio) * part for part in self.ratio) for size in self.sizes)

    @property
    def between(self) -> State:
        """State between two blocks."""
        return (0,) * self.k

    def draw(self, stream: Stream) -> list[int]:
        """One sequence: each block's size (where there is a choice), then its labels shuffled; cut at n places."""
        sequence: list[int] = []
        while len(sequence) < self.n:
            block = self.full[stream.below(len(self.full)) if len(self.full) > 1 else 0]
            sequence += stream.shuffled([arm for arm, number in enumerate(block) for _ in range(number)])
        return sequence[: self.n]

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent sequences, shape (draws, n)."""
        out = np.zeros((draws, self.n), dtype=np.int8)
        if not self.n:
            return out
        blocks = -(-self.n // min(self.sizes))
        which = rng.integers(len(self.sizes), size=(draws, blocks))
        sizes = np.array(self.sizes)[which]
        starts = np.cumsum(sizes, axis=1) - sizes
        for kind, full in enumerate(self.full):
            row, block = np.nonzero((which == kind) & (starts < self.n))
            labels = np.tile(np.repeat(np.arange(self.k, dtype=np.int8), full), (len(row), 1))
            labels = rng.permuted(labels, axis=1)
            places = starts[row, block][:, None] + np.arange(self.sizes[kind])
            inside = places < self.n
            out[np.broadcast_to(row[:, None], places.shape)[inside], places[inside]] = labels[inside]
        return out

    def _step(self, belief: dict[State, Fraction]) -> list[dict[State, Fraction]]:
        """For each arm the joint weight of its coming next and the state after it."""
        opened: dict[State, Fraction] = {}
        for state, weight in belief.items():
            if state == self.between:
                for block in self.full:
                    opened[block] = opened.get(block, Fraction(0)) + weight / len(self.full)
            else:
                opened[state] = opened.get(state, Fraction(0)) + weight
        after: list[dict[State, Fraction]] = [{} for _ in range(self.k)]
        for state, weight in opened.items():
            left = sum(state)
            for arm, number in enumerate(state):
                if number:
                    rest = (*state[:arm], number - 1, *state[arm + 1 :])
                    after[arm][rest] = after[arm].get(rest, Fraction(0)) + weight * number / left
        return after

    @cached_property
    def count(self) -> int:
        """Number of different sequences: a count over the sets of states that a sequence may have led to."""
        sets: dict[frozenset[State], int] = {frozenset([self.between]): 1}
        for _ in range(self.n):
            following: dict[frozenset[State], int] = {}
            for states, ways in sets.items():
                for after in self._reached(states):
                    if after:
                        following[after] = following.get(after, 0) + ways
            sets = following
        return sum(sets.values())

    def _reached(self, states: frozenset[State]) -> list[frozenset[State]]:
        opened = (states - {self.between}) | (set(self.full) if self.between in states else set())
        return [
            frozenset((*s[:arm], s[arm] - 1, *s[arm + 1 :]) for s in opened if s[arm]) for arm in range(self.k)
        ]

    def sequences(self) -> Iterator[tuple[tuple[int, ...], Fraction]]:
        """Every sequence with its probability, in lexicographic order."""
        yield from self._from((), {self.between: Fraction(1)})

    def _from(
        self, start: tuple[int, ...], belief: dict[State, Fraction]
    ) -> Iterator[tuple[tuple[int, ...], Fraction]]:
        if len(start) == self.n:
            yield start, sum(belief.values(), Fraction(0))
            return
        for arm, after in enumerate(self._step(belief)):
            if after:
                yield from self._from((*start, arm), after)

    @cached_property
    def uniform(self) -> bool:
        """Whether every sequence is equally likely: with one size, or too short to tell sizes apart."""
        if len(self.sizes) == 1:
            # a cut block is uniform only where its beginnings all have as many endings
            cut = self.n % self.sizes[0]
            return len({weight for _, weight in Schedule(cut, self.sizes, self.ratio).sequences()}) == 1
        if self.count > UNIFORM_TO:
            return False
        return len({weight for _, weight in self.sequences()}) == 1

    def same(self) -> Floats:
        """Probability that two places share an arm, shape (n, n)."""
        shares = np.array(self.ratio, dtype=float) / sum(self.ratio)
        begins = np.zeros(self.n + 1)
        begins[0] = 1.0
        for place, size in itertools.product(range(self.n), self.sizes):
            if place + size <= self.n:
                begins[place + size] += begins[place] / len(self.sizes)
        table = np.full((self.n, self.n), float(shares @ shares))
        for size, full in zip(self.sizes, self.full, strict=True):
            numbers = np.array(full, dtype=float)
            inside = float((numbers * (numbers - 1)).sum() / (size * (size - 1)))
            for start in np.flatnonzero(begins[: self.n]):
                stop = min(start + size, self.n)
                table[start:stop, start:stop] += (
                    begins[start] / len(self.sizes) * (inside - float(shares @ shares))
                )
        np.fill_diagonal(table, 1.0)
        return table

    def forecast(self, sequences: Codes) -> Floats:
        """Probability of each arm at each place given the places before it, shape (m, n, k)."""
        out = np.zeros((*sequences.shape, self.k))
        known: dict[tuple[int, ...], tuple[Floats, list[dict[State, float]]]] = {}
        for row, sequence in enumerate(sequences.tolist()):
            belief: dict[State, float] = {self.between: 1.0}
            for place, arm in enumerate(sequence):
                past = tuple(sequence[:place]) if len(sequences) > 1 and place <= REMEMBERED else None
                if past is not None and past in known:
                    chances, after = known[past]
                else:
                    chances, after = self._next(belief)
                    if past is not None:
                        known[past] = chances, after
                out[row, place] = chances
                belief = after[arm]
        return out

    def _next(self, belief: dict[State, float]) -> tuple[Floats, list[dict[State, float]]]:
        after = self._step(belief)  # type: ignore[arg-type]
        chances = np.array([float(sum(states.values())) for states in after])
        normed = [
            {state: float(weight) / chance for state, weight in states.items()} if chance > 0 else {}
            for states, chance in zip(after, chances.tolist(), strict=True)
        ]
        return chances, normed


REMEMBERED = 12
"""Beginnings up to this length are worked out once for many sequences."""
UNIFORM_TO = 200_000
"""Schedules of several sizes with more sequences than this are not uniform and are not gone through."""
