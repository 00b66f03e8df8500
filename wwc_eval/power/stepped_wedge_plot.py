"""Diagram of a stepped wedge: clusters down, periods across, to scale where there are dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.kernels import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["plot_wedge"]

TREATED, CONTROL, INK = "#0072B2", "#E7EBEF", "#1b2733"
WRITTEN = 16
"""Clusters and periods up to which every cell shows its size."""


def plot_wedge(
    design: SteppedWedge, ax: Axes | None, *, dates: Sequence[Any] | None, labels: Sequence[str] | None
) -> Axes:
    """Draw the diagram on axes of its own or on those given."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    names = (
        [f"cluster {k + 1}" for k in range(design.clusters)] if labels is None else [str(each) for each in labels]
    )
    if len(names) != design.clusters:
        raise DesignError(f"labels has {len(names)} names for {design.clusters} clusters")
    edges = _edges(design, dates)
    if ax is None:
        height = 1.6 + 0.34 * min(design.clusters, 40)
        ax = Figure(figsize=(7.2, height), layout="constrained").subplots()
    written = max(design.clusters, design.periods) <= WRITTEN
    for k, row in enumerate(design.treatment):
        for t, value in enumerate(row):
            box = (edges[t], k - 0.42), edges[t + 1] - edges[t], 0.84
            if not np.isfinite(value):
                ax.add_patch(Rectangle(*box, facecolor="white", edgecolor="#8a96a3", hatch="////", linewidth=0.6))
                continue
            ax.add_patch(Rectangle(*box, facecolor=_colour(float(value)), edgecolor="white", linewidth=1.0))
            if written:
                ink = "white" if value > 0.5 else INK
                middle = 0.5 * (edges[t] + edges[t + 1])
                ax.text(middle, k, f"{design.sizes[k, t]:,.0f}", ha="center", va="center", color=ink, fontsize=8)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(design.clusters - 0.5, -0.5)
    _axis(ax, design, edges, dates)
    step = max(1, design.clusters // 40)
    ax.set_yticks(range(0, design.clusters, step), names[::step])
    ax.tick_params(length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    keys = [Patch(facecolor=CONTROL, label="without treatment"), Patch(facecolor=TREATED, label="with treatment")]
    if np.isnan(design.treatment).any():
        keys.append(Patch(facecolor="white", edgecolor="#8a96a3", hatch="////", label="not counted"))
    ax.legend(handles=keys, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return ax


def _colour(value: float) -> tuple[float, ...]:
    """Between the colours of control and treatment by the share of exposure."""
    from matplotlib.colors import to_rgb

    low, high = np.array(to_rgb(CONTROL)), np.array(to_rgb(TREATED))
    return tuple(float(each) for each in low + value * (high - low))


def _edges(design: SteppedWedge, dates: Sequence[Any] | None) -> Array:
    """Where the periods begin and end on the axis."""
    if dates is None:
        return np.asarray(np.arange(design.periods + 1) + 0.5, dtype=float)
    from matplotlib.dates import date2num

    if len(dates) != design.periods + 1:
        raise DesignError(
            f"dates has {len(dates)} dates for {design.periods} periods",
            fix=f"give the start of each period and the end of the last: {design.periods + 1} dates",
        )
    days = np.array([np.datetime64(each, "D") for each in dates])
    edges = np.array(date2num(days), dtype=np.float64)  # type: ignore[no-untyped-call]
    if (np.diff(edges) <= 0).any():
        raise DesignError("dates must rise")
    return edges


def _axis(ax: Axes, design: SteppedWedge, edges: Array, dates: Sequence[Any] | None) -> None:
    if dates is None:
        step = max(1, design.periods // 24)
        ax.set_xticks(range(1, design.periods + 1, step))
        ax.set_xlabel("period (children in each cell)")
        return
    from matplotlib.dates import DateFormatter

    ax.set_xticks(edges)
    ax.xaxis.set_major_formatter(DateFormatter("%d %b %Y"))  # type: ignore[no-untyped-call]
    ax.tick_params(axis="x", rotation=35)
    for label in ax.get_xticklabels():
        label.set_horizontalalignment("right")
    ax.set_xlabel("start of period (children in each cell)")
