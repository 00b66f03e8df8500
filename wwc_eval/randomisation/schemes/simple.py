"""Simple randomisation: every unit on its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.scheme import BoundScheme, Codes, Floats, Pairs, Reference, Scheme
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Units

__all__ = ["BoundSimple", "Simple"]


@dataclass(frozen=True, kw_only=True)
class Simple(Scheme):
    """Every unit is allocated on its own, with the shares of the arms; numbers in the arms are left to chance.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> families = pd.DataFrame({"family": ["F1", "F2", "F3"]})
    >>> we.randomise(families, unit="family", method=we.Simple(), seed="example").n_permitted
    8
    """

    kind = "simple"

    def bind(self, units: Units, arms: Arms) -> BoundSimple:
        """The scheme for these units and arms."""
        return BoundSimple(scheme=self, units=units, arms=arms)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundSimple(BoundScheme):
    """Simple randomisation of a list of units.

    Stream: for each unit in canonical order a whole number below the sum of the ratio; the first arm takes as many
    of these numbers as its part of the ratio, the second the next, and so on.
    """

    @property
    def count(self) -> int:
        """Number of permitted allocations: k^n."""
        count: int = self.arms.k**self.units.n
        return count

    @property
    def uniform(self) -> bool:
        """Whether the shares are equal."""
        return self.arms.equal

    def draw(self, stream: Stream) -> Codes:
        """One allocation from the stream."""
        arm_of = np.repeat(np.arange(self.arms.k, dtype=np.int8), self.arms.ratio)
        return arm_of[[stream.below(self.arms.total) for _ in range(self.units.n)]]

    def probabilities(self) -> Floats:
        """Shares of the arms for every unit."""
        return np.tile(self.arms.shares, (self.units.n, 1))

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent allocations."""
        arm_of = np.repeat(np.arange(self.arms.k, dtype=np.int8), self.arms.ratio)
        return arm_of[rng.integers(self.arms.total, size=(draws, self.units.n))]

    def _enumerate(self) -> Reference:
        rows = itertools.product(range(self.arms.k), repeat=self.units.n)
        codes = np.array(list(rows), dtype=np.int8)
        return Reference(
            allocations=codes, probabilities=None if self.uniform else self.arms.shares[codes].prod(axis=1)
        )

    def pairs(self, draws: int | None = None, rng: np.random.Generator | None = None) -> Pairs:
        """Sum of the squared shares for every pair."""
        del draws, rng
        same = np.full((self.units.n, self.units.n), float(self.arms.shares @ self.arms.shares))
        np.fill_diagonal(same, 1.0)
        return Pairs(same=same)
