"""The result of a check: the effect, and the same effect under each of several changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.decimals import decimals_of, ends
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.panel import Panel
from wwc_eval.estimate import Estimate
from wwc_eval.table import MISSING, Column, Grid, Rendered, Table, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Check"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Check(Rendered):
    """An effect under changes that should leave it as it is, or make it vanish.

    Parameters
    ----------
    overall : Estimate
        The effect itself.
    estimates : EffectEstimates
        One row a change; the column named ``key`` says which.
    panel : Panel
        The panel behind it.
    key : str
        Name of the first column.
    title : str
        What was checked.
    expected : float
        Where the estimates should lie: 0 for placebos; the effect for units left out.
    notes : tuple of str
        What was left out.
    """

    overall: Estimate
    estimates: EffectEstimates
    panel: Panel
    key: str
    title: str
    expected: float
    notes: tuple[str, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows: the change, then the eight columns of an estimate."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        rows = []
        digits = decimals_of([self.overall, *self.estimates], 3)
        for key, item in zip(self.estimates.keys, self.estimates, strict=True):
            rows.append(
                {
                    self.key: str(key[self.key]),
                    "estimate": item.estimate,
                    "interval": ends(item, digits),
                    "p_value": item.p_value,
                }
            )
        columns = [
            Column(name=self.key),
            Column(name="estimate", kind="number", digits=digits),
            Column(name="interval", label=f"{100 * self.overall.level:g}% interval"),
            Column(name="p_value", label="p", kind="p_value"),
        ]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return self.title

    def _notes(self) -> tuple[str, ...]:
        digits = decimals_of([self.overall, *self.estimates], 3)
        interval = ends(self.overall, digits)
        shown = f"The effect itself: {format_number(self.overall.estimate, digits)}"
        shown += "." if interval == MISSING else f" ({interval})."
        how = self.estimates.items[0].method if self.estimates.items else ""
        return tuple(note for note in (shown, how and f"{how}.", *self.notes) if note)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Estimates with their intervals; a line where they should lie."""
        if ax is None:
            from matplotlib.figure import Figure

            height = 1.3 + 0.28 * len(self.estimates)
            ax = Figure(figsize=(6.4, max(height, 2.4)), layout="constrained").subplots()
        places = np.arange(len(self.estimates))[::-1]
        for place, item in zip(places.tolist(), self.estimates, strict=True):
            if math.isfinite(item.ci_low) and math.isfinite(item.ci_high):
                ax.hlines(place, item.ci_low, item.ci_high, color="#0072B2", linewidth=1.4)
            ax.plot([item.estimate], [place], "o", color="#0072B2", markersize=4.5)
        ax.axvline(self.expected, color="#D55E00", linewidth=1.1, linestyle="--", zorder=0)
        ax.set_yticks(places, [str(key[self.key]) for key in self.estimates.keys])
        for tick in ax.get_yticklabels():
            tick.set_parse_math(False)
        ax.set_ylim(-0.6, len(self.estimates) - 0.4)
        ax.set_ylabel(self.key.replace("_", " "))
        ax.set_xlabel(f"effect on {self.panel.measure} ({100 * self.overall.level:g}% interval)")
        return ax
