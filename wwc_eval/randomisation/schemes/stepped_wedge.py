"""Stepped wedge: which unit crosses over when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, did_you_mean, shown
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.blocks import BoundBlocks
from wwc_eval.randomisation.laws import Fixed
from wwc_eval.randomisation.scheme import Codes, Scheme
from wwc_eval.randomisation.units import Strata, Units, all_numbers, names_of, sorted_texts

__all__ = ["BoundSequences", "SteppedWedgeSequences"]


@dataclass(frozen=True, kw_only=True)
class SteppedWedgeSequences(Scheme):
    """Units are allocated to the sequences of a stepped wedge; every permitted allocation is equally likely.

    Parameters
    ----------
    sequences : sequence of int
        Period in which each sequence crosses over from the first arm to the second, ascending.
    by : str, optional
        Column of strata, such as readiness: the first stratum takes the first sequences, as many places as it has
        units, the next stratum those that follow.
    order : sequence of str, optional
        Values of ``by`` in that order. Where it is missing, it is that of the column's categories, or of its values
        if all are numbers.
    capacity : int or sequence of int
        Units of each sequence; one where nothing else is said. They add up to the number of units.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> authorities = pd.DataFrame({"la": ["Derby", "Leeds", "Hull", "Kent", "Bury"], "wave": [1, 1, 2, 2, 2]})
    >>> method = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="wave")
    >>> allocation = we.randomise(authorities, unit="la", method=method, seed="example")
    >>> allocation.n_permitted, round(allocation.smallest_p_value, 4)
    (12, 0.0833)
    """

    sequences: Sequence[int]
    by: str | None = None
    order: Sequence[str] | None = None
    capacity: int | Sequence[int] = 1

    kind = "stepped_wedge_sequences"

    def __post_init__(self) -> None:
        """Check periods, capacities and names."""
        periods = tuple(self.sequences)
        if len(periods) < 2 or not all(_whole(p) for p in periods) or list(periods) != sorted(set(periods)):
            raise DesignError(
                f"sequences == {shown(self.sequences)}, must be two or more periods of crossover, ascending",
                fix="write sequences=[2, 3, 4]; for several units in one sequence give capacity=",
            )
        capacity = (self.capacity,) * len(periods) if isinstance(self.capacity, int) else tuple(self.capacity)
        if len(capacity) != len(periods) or not all(_whole(c) and c > 0 for c in capacity):
            raise DesignError(
                f"capacity == {shown(self.capacity)}, must be a whole number above 0, or one for each of the "
                f"{len(periods)} sequences",
                fix="write capacity=[2, 2, 1], for example",
            )
        object.__setattr__(self, "sequences", tuple(int(p) for p in periods))
        object.__setattr__(self, "capacity", tuple(int(c) for c in capacity))
        names_of("by", self.by, empty=True)
        if self.order is not None:
            object.__setattr__(self, "order", tuple(str(value) for value in self.order))
            if self.by is None:
                raise DesignError("order is given without by", fix='name the column of strata, by="readiness"')

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that the scheme reads."""
        return names_of("by", self.by, empty=True)

    def bind(self, units: Units, arms: Arms) -> BoundSequences:
        """The scheme for these units and arms.

        Raises
        ------
        DesignError
            If there are not two equal arms, or places and units differ, or the order of strata is not known.
        """
        if arms.k != 2 or not arms.equal:
            raise DesignError(
                f"a stepped wedge crosses over from one arm to another, but the arms are {arms.words}",
                fix="name two arms without a ratio; give capacity= for unequal sequences",
            )
        capacity: tuple[int, ...] = tuple(self.capacity)  # type: ignore[arg-type]
        if sum(capacity) != units.n:
            raise DesignError(
                f"{units.n} units for {sum(capacity)} places in {len(capacity)} sequences",
                rule="one unit a sequence unless a capacity is given",
                fix="give capacity= with the number of units of each sequence",
            )
        strata = self._ordered(units)
        places = np.repeat(np.arange(len(capacity)), capacity)
        ends = np.cumsum(strata.sizes)[:-1]
        rows = [np.bincount(part, minlength=len(capacity)).tolist() for part in np.split(places, ends)]
        order = tuple(value for (value,) in strata.values) if self.by is not None else None
        return BoundSequences(
            scheme=replace(self, order=order), units=units, arms=arms, blocks=strata, law=Fixed.of(rows)
        )

    def _ordered(self, units: Units) -> Strata:
        """Strata in declared order."""
        if self.by is None:
            return units.strata(())
        found = {value for (value,) in units.strata((self.by,)).values}
        order = self.order if self.order is not None else _natural_order(units, self.by, found)
        unknown = [value for value in order if value not in found]
        if unknown:
            raise DesignError(f"no unit is in stratum '{unknown[0]}'", fix=did_you_mean(unknown[0], sorted(found)))
        left = sorted(found - set(order))
        if left or len(set(order)) < len(order):
            name = left[0] if left else next(value for value in order if list(order).count(value) > 1)
            how = "is not in" if left else "is twice in"
            raise DesignError(
                f"stratum '{name}' {how} order", fix="name every stratum once, the first to cross over first"
            )
        strata = units.strata((self.by,))
        rank = {value: place for place, value in enumerate(order)}
        new = np.array([rank[value] for (value,) in strata.values], dtype=np.intp)
        return Strata(by=strata.by, values=tuple((value,) for value in order), codes=new[strata.codes])


def _natural_order(units: Units, by: str, found: set[str]) -> list[str]:
    import pandas as pd

    column = units.frame[by]
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        return [text for text in (str(value) for value in column.cat.categories) if text in found]
    places = sorted_texts(found)
    if len(places) == 1 or all_numbers(places):
        return places
    raise DesignError(
        f"the order of the strata in '{by}' is not known",
        rule="the first stratum takes the first sequences",
        fix=f"give order={places!r} in the order in which the strata cross over",
    )


def _whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundSequences(BoundBlocks):
    """Sequences of a stepped wedge for a list of units.

    Stream: strata in declared order; in each its places, ascending by sequence, are shuffled and go to its units in
    canonical order. Mirror images count with two sequences alone: with more, no exchange of sequences reverses the sign
    of an effect that is adjusted for periods.
    """

    @property
    def labels(self) -> tuple[Any, ...]:
        """Sequences, numbered from 1."""
        return tuple(range(1, len(self._periods) + 1))

    @property
    def column(self) -> str:
        """``sequence``."""
        return "sequence"

    @property
    def _periods(self) -> tuple[int, ...]:
        scheme = self.scheme
        assert isinstance(scheme, SteppedWedgeSequences)
        return tuple(scheme.sequences)

    def extra_columns(self, codes: Codes) -> dict[str, list[Any]]:
        """Period in which each unit crosses over."""
        return {"crossover": [self._periods[code] for code in codes.tolist()]}
