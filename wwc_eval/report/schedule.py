"""Who crosses over when in a stepped wedge, as the plan's dates say: a row a cluster, a column a period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wwc_eval.report.blocks import Cell, DataTable
from wwc_eval.report.words import clean, day, title_case

__all__ = ["cell_state", "schedule_table"]

_SHADES = {"before": 0, "transition": 2, "after": 4}


def cell_state(start: str, end: str, live: str) -> str:
    """``before``, ``transition`` or ``after``: a period against the day on which a cluster goes live.

    A period that ends before that day is before, one that begins on it or later after, and one that holds it in
    transition. Dates are texts YYYY-MM-DD.

    Examples
    --------
    >>> cell_state("2024-01-01", "2024-06-30", "2024-07-01"), cell_state("2024-07-01", "2024-09-30", "2024-07-01")
    ('before', 'after')
    """
    return "before" if end < live else "after" if start >= live else "transition"


def schedule_table(wedge: Mapping[str, Any], arms: Sequence[str]) -> DataTable | None:
    """Clusters in the order in which they cross over, by period; None where the plan gives no go-live dates.

    Parameters
    ----------
    wedge : mapping
        Block ``wedge`` of the plan's design.
    arms : sequence of str
        Arms, the reference first.
    """
    live, periods = wedge.get("go_live") or {}, wedge.get("periods") or ()
    if not live:
        return None
    headings = [Cell(text="Cluster"), Cell(text="Goes live")]
    headings += [
        Cell(text=clean(each["name"]), detail=f"{day(each['from'])} to {day(each['to'])}") for each in periods
    ]
    words = {"before": arms[0] if arms else "before", "transition": "in transition"}
    words["after"] = arms[1] if len(arms) == 2 else "after"
    rows = []
    for cluster, date in sorted(live.items(), key=lambda item: (item[1], item[0])):
        states = [cell_state(each["from"], each["to"], date) for each in periods]
        cells = [Cell(text=title_case(clean(words[state])), shade=_SHADES[state]) for state in states]
        rows.append([Cell(text=clean(cluster), header=True), Cell(text=day(date)), *cells])
    notes = ["A period that holds the go-live day is in transition."] if periods else []
    return DataTable(
        caption="Who crosses over when", headings=headings, rows=rows, notes=notes, compact=len(periods) > 4
    )
