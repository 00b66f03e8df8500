"""Bound schemes made of blocks: a law says how many units of each arm a block gets, the labels are dealt inside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.randomisation.dealing import arrangements, deal, deal_many, pair_probabilities, products
from wwc_eval.randomisation.laws import CountLaw, Fixed
from wwc_eval.randomisation.rounding import multinomial
from wwc_eval.randomisation.scheme import BoundScheme, Codes, Floats, Pairs, Reference
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Strata

__all__ = ["BoundBlocks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundBlocks(BoundScheme):
    """Units in blocks, in each of which a fixed or drawn number of each arm's labels is dealt.

    Stream: the numbers of units of each arm first, as the law says, then the labels of each block in turn.

    Parameters
    ----------
    blocks : Strata
        Block of each unit.
    law : CountLaw
        Law of the numbers of units of each arm in each block.
    """

    blocks: Strata
    law: CountLaw

    @property
    def strata(self) -> tuple[str, ...] | None:
        """Stratum of each unit; None where there is one block."""
        if not self.blocks.by:
            return None
        labels = self.blocks.labels
        return tuple(labels[code] for code in self.blocks.codes)

    @property
    def count(self) -> int:
        """Number of permitted allocations."""
        return self.law.ways

    @property
    def uniform(self) -> bool:
        """Whether every permitted allocation is equally likely."""
        return self.law.uniform

    def draw(self, stream: Stream) -> Codes:
        """One allocation from the stream."""
        counts = self.law.draw(stream)
        return deal(self.blocks.members, counts, stream)

    def probabilities(self) -> Floats:
        """Shares of the arms for every unit: what is left over is given out so that they hold exactly.

        Where the numbers in the blocks are given, the share of each arm among those of the unit's block.
        """
        if isinstance(self.law, Fixed):
            shares = np.array(self.law.rows, dtype=float) / np.array(self.law.sizes, dtype=float)[:, None]
            return np.asarray(shares[self.blocks.codes])
        return np.tile(self.arms.shares, (self.units.n, 1))

    @property
    def mirrored(self) -> bool:
        """Whether exchanging the two arms gives a permitted allocation."""
        if isinstance(self.law, Fixed):
            return len(self.law.ratio) == 2 and all(first == second for first, second in self.law.rows)
        return self.arms.k == 2 and self.arms.equal

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent allocations."""
        return deal_many(self.blocks.members, self.law.sample(draws, rng), rng)

    def _enumerate(self) -> Reference:
        members = self.blocks.members
        known: dict[tuple[int, ...], Codes] = {}
        parts, chances = [], []
        for rows, chance in self.law.tables():
            for row in rows:
                if row not in known:
                    known[row] = np.array(list(arrangements(row)), dtype=np.int8).reshape(-1, sum(row))
            parts.append(products(members, [known[row] for row in rows]))
            ways = 1
            for row in rows:
                ways *= multinomial(row)
            chances.append(np.full(ways, float(chance / ways)))
        return Reference(
            allocations=np.concatenate(parts),
            probabilities=None if self.uniform else np.concatenate(chances),
        )

    def pairs(self, draws: int | None = None, rng: np.random.Generator | None = None) -> Pairs:
        """Exact probabilities from the moments of the numbers in the blocks."""
        del draws, rng
        within, between = self.law.sharing()
        return Pairs(same=pair_probabilities(self.blocks.codes, within, between))
