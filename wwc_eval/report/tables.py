"""A result's :class:`~wwc_eval.table.Table` as a table of the report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from wwc_eval.report.blocks import Cell, DataTable
from wwc_eval.report.words import clean, minus, title_case
from wwc_eval.table import Column, Table

_FIGURE = re.compile(r"[<≤−-]?\s?\d")

_PERCENT = re.compile(r"\((\d+(?:\.\d+)?)%\)$")

__all__ = ["SHADES", "heat_shade", "table_block"]

SHADES = (0.0, 0.02, 0.05, 0.10, 0.20, 0.40)
"""Lower bounds of the steps of a heat map, as shares."""


def heat_shade(share: object) -> int | None:
    """Step 0 to 5 of a share, None for what is not a number (a suppressed text, a missing value).

    Examples
    --------
    >>> heat_shade(0.0), heat_shade(0.07), heat_shade("<10")
    (0, 2, None)
    """
    if isinstance(share, bool) or not isinstance(share, Real) or math.isnan(float(share)):
        return None
    return max(step for step, bound in enumerate(SHADES) if float(share) >= bound or step == 0)


def table_block(
    table: Table, *, caption: str = "", heat: bool = False, compact: bool = False, verbatim: bool = False
) -> DataTable:
    """The table with its first column as row heads; equal neighbours in that column are joined.

    Parameters
    ----------
    table : Table
        What to show.
    caption : str
        Caption where the table has no title.
    heat : bool
        Whether cells of percent columns are shaded by their value.
    compact : bool
        Whether the table is set small.
    verbatim : bool
        Whether row heads and symbols such as ``df`` stay as they are, without a capital.
    """
    grid = table._grid()
    columns = tuple(table.columns)
    right = [
        position > 0 and (column.numeric or _figures(grid.rows, position))
        for position, column in enumerate(columns)
    ]
    headings = [
        Cell(text=_head(column.heading, verbatim=verbatim and _symbolic(column.heading)), numeric=side)
        for column, side in zip(columns, right, strict=True)
    ]
    runs = _runs([row[0] for row in grid.rows]) if right.count(False) > 1 else [1] * len(grid.rows)
    rows = []
    for raw, shown, run in zip(table.rows, grid.rows, runs, strict=True):
        body = [
            _cell(column, raw, text, right=side, heat=heat)
            for column, text, side in zip(columns[1:], shown[1:], right[1:], strict=True)
        ]
        named = minus(shown[0]) if columns[0].numeric else shown[0]
        head = [Cell(text=_head(named, verbatim=verbatim), header=True, rows=run)] if run else []
        rows.append([*head, *body])
    return DataTable(
        caption=table.title or caption, headings=headings, rows=rows, notes=tuple(table.notes), compact=compact
    )


_SYMBOLS = frozenset({"df", "p", "k"})


def _symbolic(heading: str) -> bool:
    """Whether a heading begins with a symbol, as ``p`` and ``p (permutation)`` do."""
    return heading.partition(" ")[0].rstrip(",") in _SYMBOLS


def _head(text: str, *, verbatim: bool) -> str:
    return clean(text) if verbatim else title_case(clean(text))


def _figures(rows: Sequence[Sequence[str]], position: int) -> bool:
    """Whether most cells of a text column begin with a figure, as in ``533 (44.9%)``."""
    figures = sum(bool(_FIGURE.match(row[position])) for row in rows)
    return 2 * figures > len(rows)


def _cell(column: Column, raw: Mapping[str, Any], text: str, *, right: bool, heat: bool) -> Cell:
    shade = heat_shade(_share(column, raw[column.name])) if heat else None
    return Cell(text=minus(clean(text)) if right else clean(text), numeric=right, shade=shade)


def _share(column: Column, value: object) -> object:
    """Share that a cell shows: of a percent column, or in brackets after a count, as in ``21 (1.7%)``."""
    if column.kind == "percent":
        return value
    found = _PERCENT.search(value) if isinstance(value, str) else None
    if found is not None:
        return float(found[1]) / 100
    return 0.0 if column.numeric and str(value) == "0" else None


def _runs(heads: list[str]) -> list[int]:
    """Length of each run of equal heads at its first row, 0 at the others; a blank head continues the one above."""
    lengths: list[int] = []
    start = 0
    for position, head in enumerate(heads):
        if position and head in {heads[start], ""}:
            lengths[start] += 1
            lengths.append(0)
        else:
            start = position
            lengths.append(1)
    return lengths
