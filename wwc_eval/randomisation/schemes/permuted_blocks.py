"""Permuted blocks, their sizes fixed or drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, shown
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.checks import check_ratio
from wwc_eval.randomisation.dealing import products
from wwc_eval.randomisation.schedule import Schedule
from wwc_eval.randomisation.scheme import BoundScheme, Codes, Floats, Pairs, Reference, Scheme
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Strata, Units, names_of

__all__ = ["BoundPermutedBlocks", "PermutedBlocks"]


@dataclass(frozen=True, kw_only=True)
class PermutedBlocks(Scheme):
    """Blocks within which the ratio is met exactly, end to end, for units that come one after another.

    Parameters
    ----------
    sizes : int or sequence of int
        Block sizes, multiples of the sum of the ratio; each block's size is drawn uniformly from them. Several sizes
        make the next allocation harder to foresee; the last block is cut where the units end.
    by : str or sequence of str, optional
        Strata, each with blocks of its own.
    order : str, optional
        Column by whose values units follow one another (a date or a number; units of one value by name); by name
        where it is missing.

    Notes
    -----
    Every unit's probability of an arm is the arm's share. With several sizes the permitted sequences are not equally
    likely, since some arise from more than one row of sizes.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> families = pd.DataFrame({"family": ["F1", "F2", "F3", "F4"]})
    >>> method = we.PermutedBlocks(sizes=(2, 4))
    >>> allocation = we.randomise(families, unit="family", method=method, seed="example")
    >>> allocation.n_permitted, allocation.reference_probabilities.round(4).tolist()[:3]
    (10, [0.0833, 0.0208, 0.1875])
    """

    sizes: int | Sequence[int] = (2, 4)
    by: str | Sequence[str] | None = None
    order: str | None = None

    kind = "permuted_blocks"

    def __post_init__(self) -> None:
        """Check sizes and names."""
        sizes = (self.sizes,) if isinstance(self.sizes, int) else tuple(self.sizes)
        whole = all(isinstance(size, int) and not isinstance(size, bool) and size >= 2 for size in sizes)
        if not sizes or not whole or len(set(sizes)) < len(sizes):
            raise DesignError(
                f"sizes == {shown(self.sizes)}, must be different whole numbers above 1", fix="write sizes=(2, 4)"
            )
        object.__setattr__(self, "sizes", tuple(sorted(sizes)))
        object.__setattr__(self, "by", names_of("by", self.by, empty=True))
        names_of("order", self.order, empty=True)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that the scheme reads."""
        order = () if self.order is None else (self.order,)
        return tuple(dict.fromkeys((*names_of("by", self.by, empty=True), *order)))

    def bind(self, units: Units, arms: Arms) -> BoundPermutedBlocks:
        """The scheme for these units and arms.

        Raises
        ------
        DesignError
            If a block size is no multiple of the sum of the ratio.
        """
        check_ratio(units.n, arms)
        sizes = self.sizes if not isinstance(self.sizes, int) else (self.sizes,)
        wrong = [size for size in sizes if size % arms.total]
        if wrong:
            raise DesignError(
                f"a block of {wrong[0]} cannot meet the ratio {arms.words}",
                rule=f"block sizes are multiples of {arms.total}",
                fix=f"write sizes=({arms.total}, {2 * arms.total})",
            )
        return BoundPermutedBlocks(
            scheme=self,
            units=units,
            arms=arms,
            blocks=units.strata(names_of("by", self.by, empty=True)),
            sequence=units.ranked(self.order),
            sizes=tuple(sizes),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundPermutedBlocks(BoundScheme):
    """Permuted blocks for a list of units.

    Stream: strata in order; in each, block after block until the stratum is full: where there are several sizes a
    whole number below their count picks one (ascending), then the block's labels in order of the arms are shuffled.

    Parameters
    ----------
    blocks : Strata
        Stratum of each unit.
    sequence : (n,) array of int
        Units in the order in which they are allocated.
    sizes : tuple of int
        Block sizes, ascending.
    """

    blocks: Strata
    sequence: NDArray[np.intp]
    sizes: tuple[int, ...]

    @property
    def strata(self) -> tuple[str, ...] | None:
        """Stratum of each unit; None without strata."""
        labels = self.blocks.labels
        return tuple(labels[code] for code in self.blocks.codes) if self.blocks.by else None

    @cached_property
    def members(self) -> list[NDArray[np.intp]]:
        """Units of each stratum in the order in which they are allocated."""
        codes = self.blocks.codes[self.sequence]
        return [self.sequence[codes == stratum] for stratum in range(self.blocks.n)]

    @cached_property
    def _schedules(self) -> list[Schedule]:
        known = {size: Schedule(size, self.sizes, self.arms.ratio) for size in set(self.blocks.sizes.tolist())}
        return [known[size] for size in self.blocks.sizes.tolist()]

    @cached_property
    def count(self) -> int:
        """Number of permitted allocations."""
        return math.prod(schedule.count for schedule in self._schedules)

    @cached_property
    def uniform(self) -> bool:
        """Whether all permitted allocations are equally likely."""
        return all(schedule.uniform for schedule in set(self._schedules))

    def draw(self, stream: Stream) -> Codes:
        """One allocation from the stream."""
        codes = np.empty(self.units.n, dtype=np.int8)
        for places, schedule in zip(self.members, self._schedules, strict=True):
            codes[places] = schedule.draw(stream)
        return codes

    def probabilities(self) -> Floats:
        """Shares of the arms for every unit."""
        return np.tile(self.arms.shares, (self.units.n, 1))

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Independent allocations."""
        codes = np.empty((draws, self.units.n), dtype=np.int8)
        for places, schedule in zip(self.members, self._schedules, strict=True):
            codes[:, places] = schedule.sample(draws, rng)
        return codes

    def _enumerate(self) -> Reference:
        listed = [list(schedule.sequences()) for schedule in self._schedules]
        rows = [np.array([sequence for sequence, _ in each], dtype=np.int8) for each in listed]
        chances = np.ones(1)
        for each in listed:
            chances = np.outer(chances, [float(chance) for _, chance in each]).ravel()
        return Reference(allocations=products(self.members, rows), probabilities=None if self.uniform else chances)

    def pairs(self, draws: int | None = None, rng: np.random.Generator | None = None) -> Pairs:
        """Exact probabilities: two places share a block, or are independent."""
        del draws, rng
        same = np.full((self.units.n, self.units.n), float(self.arms.shares @ self.arms.shares))
        for places, schedule in zip(self.members, self._schedules, strict=True):
            same[np.ix_(places, places)] = schedule.same()
        np.fill_diagonal(same, 1.0)
        return Pairs(same=same)

    def forecast(self, allocations: Codes) -> Floats | None:
        """Probability of each arm for each unit given the earlier units of its stratum, sizes of blocks unknown."""
        chances = np.zeros((*allocations.shape, self.arms.k))
        for places, schedule in zip(self.members, self._schedules, strict=True):
            chances[:, places] = schedule.forecast(allocations[:, places])
        return chances
