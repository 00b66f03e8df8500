"""Unbiased controlled rounding of a table: every cell, row total and column total to one of its two whole neighbours.

A table of fractions whose rows add up to whole numbers is rounded at random so that rows keep their totals, columns
come within one, and every cell's expectation is its fraction (Cox 1987, doi:10.1080/01621459.1987.10478456).

Procedure, in parts of the total S. A last row holds what each column lacks to a multiple of S. As long as a cell is
no multiple of S: start at the first such cell by row and column; go along its row to the first other such cell, along
that cell's column to the first other, and so on in turn until a row or column comes again; the cells between form a
cycle, whose first cell gets the sign +, the next -, in turn. Let a be the most by which the cycle can be moved along
its signs without a cell leaving [0, S], b the most against them: take a whole number below a + b; if it is below b
move by a along the signs, else by b against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["draw_rounding", "rounding_law"]

Table = tuple[tuple[int, ...], ...]


def draw_rounding(parts: Sequence[Sequence[int]], total: int, stream: Stream) -> Table:
    """One rounding from the stream: 0 or 1 for each cell.

    Parameters
    ----------
    parts : (rows, columns) whole numbers
        Cells below ``total``, in parts of it; each row adds up to a multiple.
    total : int
        What makes a whole.
    stream : Stream
        Where the random numbers come from.
    """
    table = _completed(parts, total)
    while (step := _cycle(table, total)) is not None:
        cells, up, down = step
        table = _moved(table, cells, up if stream.below(up + down) < down else -down)
    return _ones(table, total)


def rounding_law(parts: Sequence[Sequence[int]], total: int) -> list[tuple[Table, Fraction]]:
    """Every possible rounding, once, with its probability."""
    law: dict[Table, Fraction] = {}
    ahead = {_completed(parts, total): Fraction(1)}
    while ahead:
        # every step settles a cell, so tables met again merge
        following: dict[Table, Fraction] = {}
        for table, chance in ahead.items():
            step = _cycle(table, total)
            if step is None:
                rounded = _ones(table, total)
                law[rounded] = law.get(rounded, Fraction(0)) + chance
                continue
            cells, up, down = step
            for move, weight in ((up, down), (-down, up)):
                moved = _moved(table, cells, move)
                following[moved] = following.get(moved, Fraction(0)) + chance * Fraction(weight, up + down)
        ahead = following
    return sorted(law.items())


def _completed(parts: Sequence[Sequence[int]], total: int) -> Table:
    lacking = tuple(-sum(column) % total for column in zip(*parts, strict=True))
    return (*(tuple(row) for row in parts), lacking)


def _ones(table: Table, total: int) -> Table:
    return tuple(tuple(cell // total for cell in row) for row in table[:-1])


def _cycle(table: Table, total: int) -> tuple[list[tuple[int, int]], int, int] | None:
    """Cells of the next cycle, and how far it moves along its signs and against them; None where all is whole."""
    unsettled = [(r, c) for r, row in enumerate(table) for c, cell in enumerate(row) if cell % total]
    if not unsettled:
        return None
    path = [unsettled[0]]
    along_row = True
    while True:
        row, column = path[-1]
        here = next(
            (r, c)
            for r, c in unsettled
            if (r, c) != (row, column) and ((r == row) if along_row else (c == column))
        )
        # a line met before closes the cycle at the cell where it was entered
        axis = 1 if along_row else 0
        seen = next((i for i in range(len(path) - 1) if path[i][axis] == here[axis]), None)
        along_row = not along_row
        if seen is not None:
            cells = [*path[seen + _skip(path, seen, axis) :], here]
            break
        path.append(here)
    plus, minus = cells[::2], cells[1::2]
    value = {cell: table[cell[0]][cell[1]] for cell in cells}
    up = min([total - value[cell] for cell in plus] + [value[cell] for cell in minus])
    down = min([value[cell] for cell in plus] + [total - value[cell] for cell in minus])
    return cells, up, down


def _skip(path: Sequence[tuple[int, int]], seen: int, axis: int) -> int:
    """1 where the path went on along the line that closes the cycle, so that its first cell is passed over."""
    return int(path[seen + 1][axis] == path[seen][axis])


def _moved(table: Table, cells: Sequence[tuple[int, int]], move: int) -> Table:
    rows = [list(row) for row in table]
    for index, (row, column) in enumerate(cells):
        rows[row][column] += move if index % 2 == 0 else -move
    return tuple(tuple(row) for row in rows)
