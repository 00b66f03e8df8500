"""Love plot: standardised differences as dots on one axis, one row a characteristic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NOTABLE", "love_plot"]

NOTABLE = 0.10
MARKS = (("o", "#0072B2"), ("s", "#D55E00"), ("^", "#009E73"))
BEYOND = "#D55E00"


def love_plot(
    labels: Sequence[str], series: Mapping[str, Sequence[float]], which: str = "", ax: Axes | None = None
) -> Axes:
    """Standardised differences as dots, the first row on top; the band covers -0.1 to 0.1.

    Parameters
    ----------
    labels : sequence of str
        Words of the rows.
    series : mapping of str to sequence of float
        Differences of each row by name of the series, such as "before" and "after"; a legend where there are several.
        Missing ones are not drawn; infinite ones stand at the edge as an arrow.
    which : str
        Which difference, for the axis.
    ax : Axes, optional
        Axes to draw on.
    """
    if ax is None:
        from matplotlib.figure import Figure

        height = 1.2 + 0.28 * len(labels)
        ax = Figure(figsize=(6.8, height), layout="constrained").subplots()
    places = np.arange(len(labels))[::-1]
    columns = {name: np.array(values, dtype=float) for name, values in series.items()}
    largest = max((float(np.abs(v[np.isfinite(v)]).max(initial=0.0)) for v in columns.values()), default=0.0)
    limit = 1.15 * max(0.25, largest)
    ax.axvspan(-NOTABLE, NOTABLE, color="#e8f0f6", linewidth=0, zorder=0)
    ax.axvline(0.0, color="0.6", linewidth=0.8, zorder=1)
    for index, (name, values) in enumerate(columns.items()):
        shape, colour = MARKS[index % len(MARKS)]
        known = np.isfinite(values)
        face = colour if index != 1 else "white"
        ax.plot(
            values[known], places[known], shape, color=colour, markerfacecolor=face, label=name or None, zorder=3
        )
        for value, place in zip(values, places.tolist(), strict=True):
            if math.isinf(value):
                edge = math.copysign(limit, value)
                ax.plot(edge, place, ">" if value > 0 else "<", color=BEYOND, clip_on=False, zorder=3)
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-0.7, len(labels) - 0.3)
    ax.set_yticks(places, list(labels))
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
    ax.set_xlabel(f"standardised difference{which}")
    if len(columns) > 1:
        ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(columns))
    return ax
