"""Plot of an interrupted time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.interrupted import InterruptedTimeSeries

__all__ = ["plot_interrupted"]

BLUE, VERMILLION, QUIET = "#0072B2", "#D55E00", "#4d5b68"


def plot_interrupted(result: InterruptedTimeSeries, ax: Axes | None = None) -> Axes:
    """Observed periods as dots, the fit as a line, dashes for what was expected without treatment."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
    rows = list(result.series)
    events = np.array([row["event"] for row in rows], dtype=float)
    after = events >= 0

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows], dtype=float)

    if np.isfinite(column("controls")).any():
        ax.plot(events, column("controls"), "o", color=BLUE, markersize=3.5, alpha=0.7, label="controls")
    ax.plot(events, column("treated"), "o", color=VERMILLION, markersize=4.5, label="treated", zorder=3)
    for part in (~after, after):
        ax.plot(
            events[part],
            column("fitted")[part],
            color=VERMILLION,
            linewidth=1.6,
            label="fitted" if part is after else None,
        )
    ax.plot(
        events[after],
        column("expected_without")[after],
        color=QUIET,
        linestyle=(0, (4, 3)),
        linewidth=1.6,
        label="expected without treatment",
    )
    ax.axvline(-0.5, color=QUIET, linestyle=(0, (1, 2)), linewidth=1.0, zorder=0)
    step = max(1, len(rows) // 8)
    ax.set_xticks(events[::step], [str(row["period"]) for row in rows[::step]])
    ax.set_xlabel(str(result.panel.columns["period"]))
    ax.set_ylabel(result.panel.measure)
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax
