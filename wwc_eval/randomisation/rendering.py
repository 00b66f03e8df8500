"""How an allocation shows itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wwc_eval.errors import DesignError
from wwc_eval.table import Column, Grid, format_count, format_number, format_p_value, is_missing

if TYPE_CHECKING:
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["allocation_grid", "allocation_notes", "allocation_title", "count_in_words"]

SHOWN_UNITS = 60
WRITTEN_OUT = 10**15


def count_in_words(count: int) -> str:
    """A whole number of any size for reading.

    Examples
    --------
    >>> count_in_words(155_117_520), count_in_words(10**400)
    ('155,117,520', 'about 1.0 x 10^400')
    """
    if count < WRITTEN_OUT:
        return format_count(count)
    # a float cannot hold it, and its digits may be too many to write
    shift = max(0, count.bit_length() - 60)
    exponent = shift * math.log10(2) + math.log10(count >> shift)
    power = math.floor(exponent + 1e-12)
    return f"about {10 ** max(exponent - power, 0.0):.1f} x 10^{power}"


def allocation_grid(allocation: Allocation) -> Grid:
    """Rows of the table, the middle of a long one left out."""
    frame = allocation.table
    probability = Column(name="probability", label=f"probability of this {allocation.bound.column}", kind="number")
    names = [str(name) for name in frame.columns]
    headings = tuple(probability.heading if name == "probability" else name for name in names)
    numeric = tuple(name == "probability" for name in names)
    cut = len(frame) > SHOWN_UNITS
    shown = list(range(len(frame))) if not cut else [*range(SHOWN_UNITS - 5), *range(len(frame) - 5, len(frame))]
    rows = [
        tuple(
            format_number(value, 3) if name == "probability" else "—" if is_missing(value) else str(value)
            for name, value in zip(names, frame.iloc[i].tolist(), strict=True)
        )
        for i in shown
    ]
    if cut:
        rows.insert(SHOWN_UNITS - 5, tuple("..." for _ in names))
    return Grid(headings, tuple(rows), numeric)


def allocation_title(allocation: Allocation) -> str:
    """What was allocated and how."""
    kind = allocation.scheme.kind.replace("_", " ")
    ratio = f"; {allocation.arms.words}" if allocation.bound.column == "arm" else ""
    return f"Allocation of {format_count(allocation.n)} units ({kind}{ratio})"


def allocation_notes(allocation: Allocation) -> tuple[str, ...]:
    """Numbers in the arms, permitted allocations, smallest p-value, warnings, and what binds it."""
    counts = allocation.table[allocation.bound.column].value_counts(sort=False)
    sizes = ", ".join(f"{label}: {format_count(int(count))}" for label, count in counts.items())
    return (
        f"{allocation.bound.column.capitalize()}s: {sizes}.",
        *_stages(allocation),
        _permitted(allocation),
        *(f"Warning: {warning}" for warning in allocation.warnings),
        f"Algorithm {allocation.algorithm}; commitment {allocation.commitment[:16]}...",
    )


def _permitted(allocation: Allocation) -> str:
    try:
        count = count_in_words(allocation.n_permitted)
    except DesignError:  # what agrees with withdrawn units of a large design
        return "Permitted allocations: too many to count."
    smallest = format_p_value(allocation.smallest_p_value)
    smallest = smallest if smallest.startswith("<") else f"= {smallest}"
    return f"Permitted allocations: {count}; smallest two-sided p {smallest}."


def _stages(allocation: Allocation) -> list[str]:
    notes = []
    if allocation.stages:
        sizes = ", ".join(format_count(stage.n) for stage in allocation.stages)
        notes.append(f"Stages, each drawn on its own: {sizes} units.")
    if allocation.withdrawn:
        notes.append(
            f"Left out after allocation, their arms held: {', '.join(allocation.withdrawn[:12])}{', ...' if len(allocation.withdrawn) > 12 else ''}."
        )
    return notes
