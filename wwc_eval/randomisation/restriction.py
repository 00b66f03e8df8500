"""Units that withdrew after allocation: the law of the others, given what those who withdrew had got.

Who has withdrawn keeps the arm that was drawn; the reference set is restricted to the permitted allocations that agree
with it there. In block schemes the number of units of each arm in each block is held as well, which leaves every
arrangement of the others equally likely. Both are conditional randomisation tests, whose level holds whatever the
condition as long as who withdrew does not depend on the arms (Hennessy et al. 2016, doi:10.1515/jci-2015-0018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError
from wwc_eval.randomisation.blocks import BoundBlocks
from wwc_eval.randomisation.laws import Fixed
from wwc_eval.randomisation.scheme import COUNTABLE, BoundScheme, Codes, Floats, Reference
from wwc_eval.randomisation.schemes.simple import BoundSimple
from wwc_eval.randomisation.schemes.staged import BoundStaged, Staged
from wwc_eval.randomisation.schemes.stepped_wedge import BoundSequences
from wwc_eval.randomisation.stream import Stream
from wwc_eval.randomisation.units import Strata

__all__ = ["BoundRemaining", "remaining"]

Index = NDArray[np.intp]
MOST_TRIED = 1_000


def remaining(bound: BoundScheme, codes: Codes, kept: Index) -> BoundScheme:
    """The law of the units that stayed, given the arms of those who withdrew.

    Parameters
    ----------
    bound : BoundScheme
        The scheme as it allocated.
    codes : (n,) array
        The allocation.
    kept : array of int
        Positions of the units that stayed, ascending.
    """
    if isinstance(bound, BoundSimple):
        return BoundSimple(scheme=bound.scheme, units=bound.units.take(kept), arms=bound.arms)
    if isinstance(bound, BoundBlocks):
        return _blocks_held(bound, codes, kept)
    if isinstance(bound, BoundStaged):
        return _stages_held(bound, codes, kept)
    return BoundRemaining(
        scheme=bound.scheme, units=bound.units.take(kept), arms=bound.arms, whole=bound, codes=codes, kept=kept
    )


def _blocks_held(bound: BoundBlocks, codes: Codes, kept: Index) -> BoundScheme:
    """Blocks with the numbers that are left of each arm."""
    present, local = np.unique(bound.blocks.codes[kept], return_inverse=True)
    blocks = Strata(
        by=bound.blocks.by,
        values=tuple(bound.blocks.values[block] for block in present.tolist()),
        codes=local.astype(np.intp),
    )
    rows = np.zeros((blocks.n, len(bound.labels)), dtype=np.int64)
    np.add.at(rows, (local, codes[kept].astype(np.intp)), 1)
    kind = BoundSequences if isinstance(bound, BoundSequences) else BoundBlocks
    return kind(
        scheme=bound.scheme,
        units=bound.units.take(kept),
        arms=bound.arms,
        blocks=blocks,
        law=Fixed.of(rows.tolist()),
    )


def _stages_held(bound: BoundStaged, codes: Codes, kept: Index) -> BoundScheme:
    """Stages, each restricted on its own; a stage of which nobody stayed is gone."""
    parts, numbers = [], []
    for listed, part, places in zip(bound.numbers, bound.parts, bound.places, strict=True):
        local = np.flatnonzero(np.isin(places, kept)).astype(np.intp)
        if len(local):
            parts.append(remaining(part, codes[places], local))
            numbers.append(tuple(listed[place] for place in local.tolist()))
    scheme = bound.scheme
    assert isinstance(scheme, Staged)
    return BoundStaged.of(scheme, bound.units.take(kept), parts, numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundRemaining(BoundScheme):
    """Any other scheme, restricted to the allocations that agree with it on those who withdrew.

    Parameters
    ----------
    whole : BoundScheme
        The scheme as it allocated.
    codes : (n,) array
        The allocation of all units.
    kept : array of int
        Positions of the units that stayed.
    """

    whole: BoundScheme
    codes: Codes
    kept: Index

    @property
    def labels(self) -> tuple[Any, ...]:
        """As in the whole."""
        return self.whole.labels

    @property
    def column(self) -> str:
        """As in the whole."""
        return self.whole.column

    @property
    def strata(self) -> tuple[str, ...] | None:
        """Strata of those who stayed."""
        strata = self.whole.strata
        return None if strata is None else tuple(strata[i] for i in self.kept.tolist())

    def extra_columns(self, codes: Codes) -> dict[str, list[Any]]:
        """As in the whole."""
        everyone = self.codes.copy()
        everyone[self.kept] = codes
        added = self.whole.extra_columns(everyone)
        return {name: [values[i] for i in self.kept.tolist()] for name, values in added.items()}

    @cached_property
    def _gone(self) -> Index:
        return np.setdiff1d(np.arange(self.whole.units.n), self.kept)

    def _agrees(self, allocations: Codes) -> NDArray[np.bool_]:
        return np.asarray((allocations[:, self._gone] == self.codes[self._gone]).all(axis=1))

    @cached_property
    def _listed(self) -> Reference:
        if self.whole.count > COUNTABLE:
            raise DesignError(
                "the allocations that agree with those who withdrew are too many to count",
                fix="draw from them: give draws= and rng=",
            )
        reference = self.whole.enumerate()
        agree = self._agrees(reference.allocations)
        weights = reference.weights[agree]
        uniform = bool(np.ptp(weights) < 1e-12 * weights.max())
        return Reference(
            allocations=np.ascontiguousarray(reference.allocations[agree][:, self.kept]),
            probabilities=None if uniform else weights / weights.sum(),
        )

    @property
    def count(self) -> int:
        """Permitted allocations that agree."""
        return len(self._listed.allocations)

    @property
    def uniform(self) -> bool:
        """Whether those are equally likely."""
        if self.whole.uniform:
            return True
        return self.whole.count <= COUNTABLE and self._listed.probabilities is None

    def draw(self, stream: Stream) -> Codes:
        """Never: units withdraw after the draw."""
        del stream
        raise DesignError("units withdraw after the draw", fix="randomise the whole list")

    def probabilities(self) -> Floats:
        """Probability of each arm given the arms of those who withdrew.

        Raises
        ------
        DesignError
            If the scheme permits too many allocations to go through.
        """
        reference = self._listed
        k = len(self.labels)
        return np.stack([reference.weights @ (reference.allocations == arm) for arm in range(k)], axis=1)

    def sample(self, draws: int, rng: np.random.Generator) -> Codes:
        """Draws of the whole scheme until enough of them agree.

        Raises
        ------
        DesignError
            If fewer than one in a thousand agrees.
        """
        found: list[Codes] = []
        have = tried = 0
        while have < draws:
            if tried >= MOST_TRIED * draws:
                raise DesignError(
                    f"fewer than 1 in {MOST_TRIED:,} draws of the scheme agrees with those who withdrew",
                    fix="analyse all units as allocated",
                )
            drawn = self.whole.sample(draws, rng)
            tried += draws
            agree = drawn[self._agrees(drawn)]
            found.append(agree[:, self.kept])
            have += len(agree)
        return np.concatenate(found)[:draws]

    def _enumerate(self) -> Reference:
        return self._listed

    @property
    def mirrored(self) -> bool:
        """Not in general: an exchange of arms changes those who withdrew as well."""
        return False

    def forecast(self, allocations: Codes) -> Floats | None:
        """None: there is nothing to foresee after the fact."""
        del allocations
        return None
