"""Required numbers of clusters and sizes of cells in stepped wedges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.conventions import Convention, convention_of
from wwc_eval.power.results import RequiredResult, tidy
from wwc_eval.power.solving import check_test
from wwc_eval.power.stepped_wedge_variance import anatomy

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["solve_required"]

MOST_CLUSTERS = 4096
MOST_CHILDREN = 1_000_000


def solve_required(
    design: SteppedWedge,
    level: str,
    effect: float,
    *,
    power: float,
    alpha: float,
    sides: int,
    convention: str | Convention,
) -> RequiredResult:
    """Smallest number of clusters or size of cells that reaches a power, by doubling and halving."""
    how = convention_of(convention)
    check_choice("level", level, ("clusters", "cell_size"))
    goal = check_number("power", power, above=0, below=1)
    check_test(alpha, sides)
    design.outcome.check_effect(effect)
    sequences, counts = _sequences(design)

    def sized(steps: int) -> SteppedWedge | None:
        return _repeated(design, sequences, steps) if level == "clusters" else _scaled(design, steps)

    def power_of(steps: int) -> float:
        return _power_or_none(sized(steps), effect, alpha=alpha, sides=sides, how=how)

    steps = 1
    while power_of(steps) < goal:
        steps *= 2
        if steps > (MOST_CLUSTERS if level == "clusters" else MOST_CHILDREN):
            raise DesignError(
                f"no {level.replace('_', ' ')} reaches {100 * goal:g}% power at an effect of {effect:g}",
                rule="larger cells do not remove the variance between clusters" if level == "cell_size" else None,
                fix="add clusters or periods" if level == "cell_size" else "plan for a larger effect",
            )
    low, high = steps // 2, steps
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power_of(middle) < goal else (low, middle)
    final = sized(high)
    assert final is not None
    at = anatomy(final, effect)
    treated = float(np.nansum(final.treatment > 0))
    return RequiredResult(
        **tidy(
            value=high * sum(counts) if level == "clusters" else high,
            power=power_of(high),
            short=power_of(high - 1) if high > 1 else math.nan,
            target=goal,
            effect=effect,
            ncp=at.ncp,
            df=at.df,
        ),
        level="cluster" if level == "clusters" else level,
        arms=(treated, float(np.isfinite(final.treatment).sum() - treated)),
        alpha=alpha,
        sides=sides,
        convention=how.name,
        outcome=design.outcome,
        design=final.describe(),
        warnings=final._warnings(effect),
    )


def _power_or_none(
    design: SteppedWedge | None, effect: float, *, alpha: float, sides: int, how: Convention
) -> float:
    """Power, or 0 where the size leaves no degrees of freedom."""
    if design is None:
        return 0.0
    at = anatomy(design, effect)
    return float(how.power(np.abs(at.ncp), at.df, alpha=alpha, sides=sides))


def _sequences(design: SteppedWedge) -> tuple[list[int], list[int]]:
    """Rows that make up the smallest design with the same shares of sequences, and how often each sequence stands in it."""
    key = np.concatenate([np.nan_to_num(design.treatment, nan=-1.0), design.sizes], axis=1)
    _, first, counts = np.unique(key, axis=0, return_index=True, return_counts=True)
    common = math.gcd(*counts.tolist())
    order = np.argsort(first)
    rows = [int(first[k]) for k in order for _ in range(counts[k] // common)]
    return rows, [int(counts[k] // common) for k in order]


def _repeated(design: SteppedWedge, rows: list[int], times: int) -> SteppedWedge | None:
    chosen = np.repeat(rows, times)
    strata = None if design.strata is None else [design.strata[k] for k in chosen]
    try:
        return design.replace(
            treatment=design.treatment[chosen],
            cell_size=np.maximum(np.broadcast_to(design.cell_size, design.treatment.shape)[chosen], 0.0),
            strata=strata,
        )
    except DesignError:
        return None


def _scaled(design: SteppedWedge, size: int) -> SteppedWedge:
    there = np.isfinite(design.treatment)
    sizes = np.broadcast_to(design.cell_size, there.shape)
    return design.replace(cell_size=sizes * (size / sizes[there].mean()))
