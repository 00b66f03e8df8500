"""What a reader of a panel should know before it is analysed: gaps, late comers, singletons, reorganised authorities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_faults import Faults, listed

if TYPE_CHECKING:
    from wwc_eval.did.panel import Panel
    from wwc_eval.did.panel_treatment import Grid
    from wwc_eval.errors import Problem

__all__ = ["AS_IT_IS", "found_again", "note_cells", "note_cohorts", "note_empty", "note_spellings"]

MOST_UNITS = 2_000
"""There are no more authorities than these by far: labels of more units are not looked at."""
AS_IT_IS = ("gaps", "missing", "attrition", "singletons", "cohorts", "names", "reorganised")
"""Codes of findings about the cells that there are, which change when some are taken out or added up."""


def note_empty(units: NDArray[Any], periods: NDArray[Any], observed: NDArray[np.bool_], faults: Faults) -> None:
    """Say which units and periods have no outcome at all, and are left out."""
    none = ~observed.any(axis=1)
    if none.any():
        faults.note(
            f"{int(none.sum()):,} units have no outcome in any period and are left out: {listed(units[none])}",
            code="empty",
        )
    blank = ~observed.any(axis=0)
    if blank.any():
        faults.note(f"no unit has an outcome in {listed(periods[blank])}: left out, a gap in time", code="empty")


def note_cells(grid: Grid, times: NDArray[np.int64], observed: NDArray[np.bool_], faults: Faults) -> None:
    """Say which periods the panel lacks, which cells are missing, and which units begin late or end early."""
    gaps = np.flatnonzero(np.diff(times) > 1)
    if gaps.size:
        pairs = [f"{grid.periods[i]} and {grid.periods[i + 1]}" for i in gaps]
        faults.note(f"no period stands between {listed(pairs)}: a gap in time", code="gaps")
    missing = ~observed
    if not missing.any():
        return
    n, length = observed.shape
    first = observed.argmax(axis=1)
    last = length - 1 - observed[:, ::-1].argmax(axis=1)
    columns = np.arange(length)
    holes = missing & (columns > first[:, None]) & (columns < last[:, None])
    total = int(missing.sum())
    faults.note(
        f"{total:,} of {n * length:,} cells ({100 * total / (n * length):.1f}%) have no outcome", code="missing"
    )
    if holes.any():
        rows = np.flatnonzero(holes.any(axis=1))
        names = [f"{grid.units[u]} ({listed(grid.periods[holes[u]], 4)})" for u in rows[:9]]
        names += [""] * (len(rows) - len(names))
        faults.note(f"{len(rows):,} unit{_s(rows)} with gaps: {listed(names)}", code="gaps")
    for mask, words in ((first > 0, "begin after"), (last < length - 1, "end before")):
        if mask.any():
            ends = first if words == "begin after" else last
            names = [f"{grid.units[u]} ({grid.periods[ends[u]]})" for u in np.flatnonzero(mask)]
            edge = grid.periods[0 if words == "begin after" else -1]
            faults.note(
                f"{len(names):,} unit{_s(names)} {words if len(names) > 1 else _one(words)} {edge}: {listed(names)}",
                code="attrition",
            )
    single = observed.sum(axis=1) == 1
    if single.any():
        faults.note(
            f"{int(single.sum()):,} units have one period only and no change over time: {listed(grid.units[single])}",
            code="singletons",
        )


def _s(items: Sized) -> str:
    return "" if len(items) == 1 else "s"


def _one(words: str) -> str:
    """The verb of one unit: ``begin after`` becomes ``begins after``."""
    verb, _, rest = words.partition(" ")
    return f"{verb}s {rest}"


def note_cohorts(grid: Grid, adopted: NDArray[np.int64], faults: Faults) -> None:
    """Say which units are always treated, which cohorts are single units, and whether any is never treated."""
    length = len(grid.periods)
    if (adopted == length).all():
        return
    always = adopted == 0
    if always.any():
        faults.note(
            f"{int(always.sum()):,} units are treated in every period, so no effect on them can be estimated: "
            f"{listed(grid.units[always])}",
            code="cohorts",
        )
    sizes = np.bincount(adopted, minlength=length + 1)
    single = np.flatnonzero(sizes[:length] == 1)
    if single.size:
        names = [f"{grid.periods[k]} ({grid.units[int(np.flatnonzero(adopted == k)[0])]})" for k in single]
        faults.note(f"cohorts of one unit: {listed(names)}", code="singletons")
    if not sizes[length]:
        faults.note("every unit is treated within the panel: there is no never-treated group", code="cohorts")


def found_again(panel: Panel, new: Iterable[Problem] = ()) -> tuple[Problem, ...]:
    """Findings of a panel that others were taken from: those of reading, new ones, and what is odd about its cells.

    Parameters
    ----------
    panel : Panel
        The panel, with the findings of the one that it comes from.
    new : iterable of Problem
        What was done to it.
    """
    from wwc_eval.did.panel_treatment import Grid

    faults = Faults()
    faults.findings = [*(one for one in panel.findings if one.code not in AS_IT_IS), *new]
    assert panel.rows is not None
    grid = Grid(rows=panel.rows, units=panel.units, periods=panel.periods, full=False)
    note_cells(grid, panel.times, panel.observed, faults)
    note_cohorts(grid, panel.adopted, faults)
    note_spellings(panel.units, panel.observed, faults)
    return tuple(faults.findings)


def note_spellings(units: NDArray[Any], observed: NDArray[np.bool_], faults: Faults) -> None:
    """Say where one authority may stand under two names, and where a reorganisation or a new code splits its series."""
    if len(units) > MOST_UNITS:
        return
    from wwc_eval.did.panel_areas import broken_series

    labels = units.tolist()
    if all(isinstance(unit, str) for unit in labels):
        from wwc_eval.data.names import other_spellings

        counts = Counter(dict(zip(labels, observed.sum(axis=1).tolist(), strict=True)))
        for rare, usual in other_spellings(counts).items():
            faults.note(
                f"'{rare}' and '{usual}' look like one local authority under two names; they are kept apart",
                code="names",
                fix="write them alike",
            )
    for words in broken_series(labels):
        faults.note(
            f"{words}; their series are kept apart",
            code="reorganised",
            fix="add up counts and denominators of the same area with merge_areas, or leave these units out",
        )
