"""What happens after an allocation: units join, units withdraw; what was drawn stays as it was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, did_you_mean, shown
from wwc_eval.randomisation.allocation import Allocation
from wwc_eval.randomisation.randomising import randomise
from wwc_eval.randomisation.restriction import remaining
from wwc_eval.randomisation.schemes.minimisation import BoundMinimisation, Minimisation
from wwc_eval.randomisation.schemes.staged import BoundStaged, Staged
from wwc_eval.randomisation.units import Units, canonical_text

if TYPE_CHECKING:
    from wwc_eval.randomisation.scheme import Scheme

__all__ = ["enrol", "without"]


def enrol(allocation: Allocation, units: Any, *, seed: str | bytes, method: Scheme | None) -> Allocation:
    """Allocate later units by a draw of their own; see :meth:`Allocation.enrol`."""
    if allocation.withdrawn:
        raise DesignError(
            "enrolment goes on from the whole allocation",
            fix="call enrol before without, then leave units out again",
        )
    earlier = allocation.stages or (allocation,)
    scheme = method if method is not None else _going_on(earlier[-1])
    for stage in earlier:
        again = Allocation.of(stage.bound, stage.codes.copy(), seed=seed, alpha=stage.alpha)
        if again.commitment == stage.commitment:
            raise DesignError(
                "the seed is that of an earlier stage",
                rule="one seed serves one draw: the same numbers again could be foreseen",
                fix="choose a new seed, or derive one with we.seed_from(lock_hash, a new public value)",
            )
    new = randomise(
        units, unit=allocation.unit, arms=allocation.arms, method=scheme, seed=seed, alpha=allocation.alpha
    )
    known = set(allocation.units.keys)
    twice = [key for key in new.units.keys if key in known]
    if twice:
        raise DataError(
            f"{len(twice)} of the new units were allocated before, such as '{twice[0]}'",
            place=Place(column=allocation.unit),
            rule="what was allocated stays as it is",
            fix="give only the units that join now",
        )
    return _joined((*earlier, new))


def _going_on(last: Allocation) -> Scheme:
    """The scheme of the stage before; a minimisation goes on from the numbers that it reached."""
    scheme, bound = last.scheme, last.bound
    if not isinstance(scheme, Minimisation) or not isinstance(bound, BoundMinimisation):
        return scheme
    return replace(scheme, sequence=None, before=bound.after(last.codes))


def _joined(stages: tuple[Allocation, ...]) -> Allocation:
    import pandas as pd

    first = stages[0]
    column = "stage"
    while any(column in stage.units.frame.columns for stage in stages):
        column = f"{column}_"
    frames = [stage.units.frame.assign(**{column: number}) for number, stage in enumerate(stages, start=1)]
    keys = [key for stage in stages for key in stage.units.keys]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)
    units = Units(
        name=first.unit,
        keys=tuple(keys[i] for i in order),
        frame=pd.concat(frames, ignore_index=True).iloc[order].reset_index(drop=True),
        origin=order,
    )
    scheme = Staged(stage=column, stages=tuple(stage.scheme for stage in stages))
    bound = BoundStaged.of(scheme, units, [stage.bound for stage in stages])
    codes = np.concatenate([stage.codes for stage in stages])[order]
    codes.setflags(write=False)
    commitment = " ".join(stage.commitment for stage in stages)
    return Allocation(bound=bound, codes=codes, commitment=commitment, alpha=first.alpha, stages=stages)


def without(allocation: Allocation, names: Sequence[Any]) -> Allocation:
    """The allocation of those who stayed; see :meth:`Allocation.without`."""
    if isinstance(names, str) or not len(names):
        raise DesignError(
            f"names == {shown(names)}, must list the units that withdrew", fix='write allocation.without(["T07"])'
        )
    gone = [canonical_text(name) for name in names]
    place = {key: position for position, key in enumerate(allocation.units.keys)}
    unknown = [key for key in gone if key not in place]
    if unknown:
        raise DesignError(
            f"unit '{unknown[0]}' was not allocated", fix=did_you_mean(unknown[0], allocation.units.keys)
        )
    if len(set(gone)) < len(gone):
        raise DesignError("a unit is named twice", fix="name each unit that withdrew once")
    kept = np.array([i for i, key in enumerate(allocation.units.keys) if key not in set(gone)], dtype=np.intp)
    if not len(kept):
        raise DesignError("no unit is left", fix="name only the units that withdrew")
    codes = allocation.codes[kept]
    codes.setflags(write=False)
    return replace(
        allocation,
        bound=remaining(allocation.bound, allocation.codes, kept),
        codes=codes,
        withdrawn=(*allocation.withdrawn, *sorted(gone)),
    )
