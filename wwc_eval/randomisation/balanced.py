"""Misfits balanced: strata and the arms overall within one unit of the ratio, every unit's probability exact.

Strata whose sizes leave the same remainder r modulo the ratio's total S form a type; type r has q_r strata, and
l_r = sum over arms of (r a_i mod S) / S units left over in each. Stream:

1. How many units left over arm i gets in type r, whole part of q_r (r a_i mod S) / S for certain; the fractions that
   remain are rounded by the procedure of ``rounding`` where there is one type, of ``controlled`` where there are more.
2. For each type, r ascending: the arms in order (shuffled if l_r lies between 2 and k - 2), each written as often as
   step 1 says, form a list; the type's strata are shuffled; the p-th label (from 0) goes to stratum p mod q_r of these.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.randomisation.controlled import draw_rounding, rounding_law
from wwc_eval.randomisation.laws import CountLaw, Counts, Floats, Rows
from wwc_eval.randomisation.misfits import splits
from wwc_eval.randomisation.rounding import Leftover, multinomial

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["Balanced"]

Row = tuple[int, ...]


@dataclass(frozen=True)
class _Type:
    """Strata of one remainder: which, the chances of the arms in parts of S, and how many units are left in each."""

    strata: tuple[int, ...]
    chances: Row
    left: int

    @property
    def q(self) -> int:
        return len(self.strata)


@dataclass(frozen=True)
class _Class:
    """Tables that differ only in which stratum of a type has which row: equally likely among themselves."""

    chance: Fraction
    rows: tuple[tuple[tuple[Row, int], ...], ...]
    """For each type its rows of extra units, each with the number of strata that have it."""


class Balanced(CountLaw):
    """Numbers of units by stratum with the misfits of all strata balanced over the arms."""

    @property
    def _total(self) -> int:
        return sum(self.ratio)

    @cached_property
    def _base(self) -> Counts:
        sizes = np.array(self.sizes, dtype=np.int64)
        return sizes[:, None] * np.array(self.ratio, dtype=np.int64) // self._total

    @cached_property
    def _types(self) -> tuple[_Type, ...]:
        found: dict[int, list[int]] = {}
        for stratum, size in enumerate(self.sizes):
            found.setdefault(size % self._total, []).append(stratum)
        types = []
        for remainder in sorted(found):
            chances = tuple(remainder * part % self._total for part in self.ratio)
            if any(chances):
                types.append(_Type(tuple(found[remainder]), chances, sum(chances) // self._total))
        return tuple(types)

    @cached_property
    def _certain(self) -> Counts:
        """Units left over that each arm gets for certain in each type."""
        return np.array([[t.q * c // self._total for c in t.chances] for t in self._types], dtype=np.int64)

    @cached_property
    def _fractions(self) -> Rows:
        return tuple(tuple(t.q * c % self._total for c in t.chances) for t in self._types)

    @cached_property
    def _totals(self) -> list[tuple[Rows, Fraction]]:
        """Possible numbers of units left over by type and arm, with their probabilities."""
        if not self._types:
            return [((), Fraction(1))]
        if len(self._types) == 1:
            law: list[tuple[Rows, Fraction]] = [
                ((row,), chance) for row, chance in Leftover(self._fractions[0], self._total).law
            ]
        else:
            law = rounding_law(self._fractions, self._total)
        certain = self._certain.tolist()
        return [
            (tuple(tuple(np.add(c, e).tolist()) for c, e in zip(certain, extra, strict=True)), chance)
            for extra, chance in law
        ]

    def draw(self, stream: Stream) -> Rows:
        """Numbers from the stream."""
        counts = self._base.tolist()
        if self._types:
            if len(self._types) == 1:
                extra: Rows = (Leftover(self._fractions[0], self._total).draw(stream),)
            else:
                extra = draw_rounding(self._fractions, self._total, stream)
            for kind, certain, more in zip(self._types, self._certain.tolist(), extra, strict=True):
                numbers = [c + e for c, e in zip(certain, more, strict=True)]
                arms: Sequence[int] = range(len(self.ratio))
                if self._reorders(kind):
                    arms = stream.shuffled(arms)
                labels = [arm for arm in arms for _ in range(numbers[arm])]
                order = stream.shuffled(kind.strata)
                for place, arm in enumerate(labels):
                    counts[order[place % kind.q]][arm] += 1
        return tuple(tuple(row) for row in counts)

    def _reorders(self, kind: _Type) -> bool:
        return 2 <= kind.left <= len(self.ratio) - 2

    @cached_property
    def _classes(self) -> tuple[_Class, ...]:
        classes: dict[tuple[tuple[tuple[Row, int], ...], ...], Fraction] = {}
        for totals, chance in self._totals:
            options = [self._dealt(kind, row) for kind, row in zip(self._types, totals, strict=True)]
            for combination in itertools.product(*options):
                rows = tuple(each for each, _ in combination)
                share = math.prod((part for _, part in combination), start=chance)
                classes[rows] = classes.get(rows, Fraction(0)) + share
        return tuple(_Class(chance, rows) for rows, chance in classes.items())

    def _dealt(self, kind: _Type, numbers: Row) -> list[tuple[tuple[tuple[Row, int], ...], Fraction]]:
        """Rows that dealing gives, each with its number of strata, over the orders of the arms."""
        k = len(self.ratio)
        orders = list(itertools.permutations(range(k))) if self._reorders(kind) else [tuple(range(k))]
        found: Counter[tuple[tuple[Row, int], ...]] = Counter()
        for order in orders:
            labels = [arm for arm in order for _ in range(numbers[arm])]
            rows = [[0] * k for _ in range(kind.q)]
            for place, arm in enumerate(labels):
                rows[place % kind.q][arm] += 1
            found[tuple(sorted(Counter(tuple(row) for row in rows).items()))] += 1
        return [(rows, Fraction(times, len(orders))) for rows, times in found.items()]

    def sample(self, draws: int, rng: np.random.Generator) -> Counts:
        """Numbers of so many draws, shape (draws, blocks, k)."""
        if not self._types:
            return np.broadcast_to(self._base, (draws, *self._base.shape))
        counts = np.repeat(self._base[None], draws, axis=0)
        chances = np.array([float(each.chance) for each in self._classes])
        which = rng.choice(len(chances), size=draws, p=chances / chances.sum())
        for index, each in enumerate(self._classes):
            here = np.flatnonzero(which == index)
            for kind, rows in zip(self._types, each.rows, strict=True):
                distinct = np.array([row for row, _ in rows], dtype=np.int64)
                template = np.repeat(np.arange(len(rows)), [times for _, times in rows])
                dealt = rng.permuted(np.tile(template, (len(here), 1)), axis=1)
                counts[np.ix_(here, np.array(kind.strata))] += distinct[dealt]
        return counts

    def tables(self) -> Iterator[tuple[Rows, Fraction]]:
        """Every possible table of numbers, once, with its probability."""
        from wwc_eval.randomisation.dealing import arrangements

        for each in self._classes:
            placings = [list(arrangements([times for _, times in rows])) for rows in each.rows]
            chance = each.chance / math.prod(len(ways) for ways in placings)
            for combination in itertools.product(*placings):
                counts = self._base.copy()
                for kind, rows, placed in zip(self._types, each.rows, combination, strict=True):
                    counts[list(kind.strata)] += np.array([rows[i][0] for i in placed], dtype=np.int64)
                yield tuple(tuple(row) for row in counts.tolist()), chance

    def _ways(self, stratum: int, row: Row) -> int:
        return multinomial([int(b) + e for b, e in zip(self._base[stratum], row, strict=True)])

    def _relative(self, stratum: int, row: Row) -> Fraction:
        """Ways to deal a row over those to deal none of it, up to a factor that all rows of the stratum share."""
        return Fraction(1, math.prod(int(b) + 1 for b, e in zip(self._base[stratum], row, strict=True) if e))

    @cached_property
    def ways(self) -> int:
        """Number of permitted allocations: over all tables, the ways to deal them."""
        typed = {stratum for kind in self._types for stratum in kind.strata}
        certain = Counter(size for stratum, size in enumerate(self.sizes) if stratum not in typed)
        whole = {size: self.sizes.index(size) for size in certain}
        none = (0,) * len(self.ratio)
        fixed = math.prod(int(self._ways(whole[size], none) ** times) for size, times in certain.items())
        return fixed * sum(
            math.prod(self._placings(kind, rows) for kind, rows in zip(self._types, each.rows, strict=True))
            for each in self._classes
        )

    def _placings(self, kind: _Type, rows: tuple[tuple[Row, int], ...]) -> int:
        """Sum over all placings of rows on strata of the product of ways; strata of one size taken together."""
        by_size = Counter(self.sizes[stratum] for stratum in kind.strata)
        first = {self.sizes[stratum]: stratum for stratum in kind.strata}
        by_row = {size: [self._ways(first[size], row) for row, _ in rows] for size in by_size}
        if all(len(set(weights)) == 1 for weights in by_row.values()):
            dealt = [int(by_row[size][0] ** number) for size, number in by_size.items()]
            return multinomial([times for _, times in rows]) * math.prod(dealt)
        outside = 1
        left: dict[Row, int] = {tuple(times for _, times in rows): 1}
        for size, number in by_size.items():
            # what all rows have in common is taken out, so that the numbers in the sum stay small
            common = math.gcd(*by_row[size])
            weights = [ways // common for ways in by_row[size]]
            outside *= int(common**number)
            following: dict[Row, int] = {}
            for state, ways in left.items():
                for taken in splits(number, state):
                    rest = tuple(s - t for s, t in zip(state, taken, strict=True))
                    here = multinomial(taken) * math.prod(int(w**t) for w, t in zip(weights, taken, strict=True))
                    following[rest] = following.get(rest, 0) + ways * here
            left = following
        return outside * sum(left.values())

    @cached_property
    def uniform(self) -> bool:
        """Whether every permitted allocation is equally likely."""
        chances = set()
        for each in self._classes:
            ways, product = 1, Fraction(1)
            for kind, rows in zip(self._types, each.rows, strict=True):
                used = [row for row, _ in rows]
                ratios = {
                    tuple(self._relative(stratum, row) / self._relative(stratum, used[0]) for row in used)
                    for stratum in {self.sizes[s]: s for s in kind.strata}.values()
                }
                if len(ratios) > 1:
                    return False  # placing the rows otherwise changes the number of ways
                ways *= multinomial([times for _, times in rows])
                for stratum, row in zip(kind.strata, (r for r, t in rows for _ in range(t)), strict=True):
                    product *= self._relative(stratum, row)
            chances.add(each.chance / (ways * product))
        return len(chances) == 1

    def sharing(self) -> tuple[Floats, Floats]:
        """Probabilities within and between strata, from the first two moments of the totals by type and arm."""
        strata, k = len(self.sizes), len(self.ratio)
        sizes = np.array(self.sizes, dtype=float)
        base = self._base.astype(float)
        kind_of = np.full(strata, -1)
        expected = np.zeros((strata, k))
        for index, kind in enumerate(self._types):
            kind_of[list(kind.strata)] = index
            expected[list(kind.strata)] = np.array(kind.chances) / self._total
        within = ((base * (base - 1) + 2 * base * expected).sum(axis=1)) / np.maximum(sizes * (sizes - 1), 1)
        within[sizes < 2] = 1.0
        joint = np.zeros((len(self._types), len(self._types)))
        for totals, chance in self._totals:
            rows = np.array(totals, dtype=float).reshape(len(self._types), k)
            joint += float(chance) * (rows @ rows.T)
            joint -= float(chance) * np.diag(rows.sum(axis=1))
        q = np.array([kind.q for kind in self._types], dtype=float)
        pairs = np.outer(q, q) - np.diag(q)
        joint = np.divide(joint, pairs, out=np.zeros_like(joint), where=pairs > 0)
        crossed = base @ expected.T
        meet = base @ base.T + crossed + crossed.T
        typed = kind_of >= 0
        meet[np.ix_(typed, typed)] += joint[np.ix_(kind_of[typed], kind_of[typed])]
        return within, meet / np.outer(sizes, sizes)
