"""Cohorts that are no period of a panel: between two periods, outside all of them, or a code for "never"."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_faults import Faults
from wwc_eval.did.panel_periods import PeriodScale

__all__ = ["looks_like_a_code", "note_outside"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def looks_like_a_code(value: float, first: int, last: int) -> bool:
    """Whether a cohort is a code for "never" rather than a period: -1, or a number of nothing but 8s or 9s, far outside.

    Parameters
    ----------
    value : float
        The cohort as a number.
    first, last : int
        First and last period. A number above 0 is far where it lies further from the panel than the panel is long; one
        below 0 is so too where no period is below 0.

    Examples
    --------
    >>> [looks_like_a_code(value, 2010, 2020) for value in (-1, -99, 9999, 999, 2021, 1999)]
    [True, True, True, True, False, False]
    >>> looks_like_a_code(9, 1, 8), looks_like_a_code(99, 1, 8), looks_like_a_code(-1, -5, 5)
    (False, True, False)
    """
    digits = set(str(abs(int(value))))
    if value != int(value) or (value != -1 and digits not in ({"8"}, {"9"})):
        return False
    if value < 0 <= first:
        return True
    return bool(value < first - (last - first) - 1 or value > last + (last - first) + 1)


def note_outside(
    places: Floats,
    times: Ints,
    scale: PeriodScale,
    names: Callable[[Flags], str],
    *,
    column: str,
    faults: Faults,
) -> None:
    """Say which cohorts are no period of the panel, from when they count as treated, and which look like codes.

    Parameters
    ----------
    places : ndarray, shape (n,)
        Place of the first treated period of each unit or row on the scale; missing for never.
    times : ndarray of int, shape (T,)
        Places of the periods.
    scale : PeriodScale
        The scale of the periods.
    names : callable
        From a mask to the units or rows that it holds for, in words.
    column : str
        Column of the cohorts.
    faults : Faults
        The findings go here.
    """
    before, late = places < times[0], places > times[-1]
    for value in np.unique(places[before | late]).tolist():
        cohort, last = scale.origin + value, scale.origin + int(times[-1])
        if scale.kind in ("number", "year") and looks_like_a_code(cohort, scale.origin, last):
            mine = places == value
            _note_code(int(cohort), names(mine), always=value < times[0], column=column, faults=faults)
            before, late = before & ~mine, late & ~mine
    between = (places > times[0]) & (places < times[-1]) & ~np.isin(places, times)
    for mask, verbs, words in (
        (before, ("joined", "joined"), "before the first period: always treated"),
        (between, ("joined", "joined"), "between two periods: treated from the next one"),
        (late, ("joins", "join"), "after the last period: not yet treated throughout"),
    ):
        if mask.any():
            faults.note(f"{names(mask)} {verbs[int(mask.sum() > 1)]} {words}", column=column, code="cohort")


def _note_code(cohort: int, who: str, *, always: bool, column: str, faults: Faults) -> None:
    taken = "treated in every period" if always else "not treated in any period"
    faults.note(
        f"does {cohort} in '{column}' mean never treated? It is no period of the panel, and is taken as {taken}: {who}",
        column=column,
        code="cohort",
        fix=f"if so, write 0 or leave it empty, such as by data['{column}'].replace({cohort}, 0)",
    )
