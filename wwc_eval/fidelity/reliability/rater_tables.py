"""Raters with a figure and an interval each: the result of everything that looks at raters one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RATER", "RaterTable", "numbers", "table_of"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RaterTable(Rendered):
    """Raters with a figure and an interval each.

    Parameters
    ----------
    rows : tuple of dict
        One a rater.
    columns : tuple of Column
        How they are shown.
    title : str
        Caption.
    notes : tuple of str
        Sentences below.
    value, label : str
        The figure that :meth:`plot` draws, and its axis.
    summary : dict
        Figures of all raters together.
    """

    rows: tuple[dict[str, Any], ...]
    columns: tuple[Column, ...]
    title: str
    notes: tuple[str, ...]
    value: str
    label: str
    summary: dict[str, Any]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Raw values, one dictionary a rater."""
        return [dict(row) for row in self.rows]

    @property
    def table(self) -> Table:
        """Everything as a table."""
        return Table(self.rows, self.columns, title=self.title, notes=self.notes)

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return self.title

    def _notes(self) -> tuple[str, ...]:
        return self.notes

    def plot(self, ax: Axes | None = None) -> Axes:
        """Each rater with its interval, in order."""
        from wwc_eval.fidelity.reliability.charts import plot_raters

        return plot_raters(self, ax)


def table_of(
    rows: list[dict[str, Any]],
    columns: tuple[Column, ...],
    *,
    title: str,
    notes: list[str],
    shows: tuple[str, str],
    summary: dict[str, Any],
) -> RaterTable:
    """Put the table together."""
    return RaterTable(
        rows=tuple(rows),
        columns=columns,
        title=title,
        notes=tuple(notes),
        value=shows[0],
        label=shows[1],
        summary=summary,
    )


def numbers(*names: str) -> tuple[Column, ...]:
    """Columns of numbers with two decimals."""
    return tuple(Column(name=name, kind="number", digits=2) for name in names)


RATER = (Column(name="rater"), Column(name="n", kind="count"))
"""The first columns of every table of raters."""
