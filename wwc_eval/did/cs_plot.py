"""Plot of averages: an event study with pointwise intervals and a simultaneous band, or one line an average."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.did.axis_words import axis_label
from wwc_eval.did.interval_marks import draw_intervals, label_few

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.cs_aggregation import Aggregation

__all__ = ["plot_averages"]

BLUE, QUIET = "#0072B2", "#4d5b68"


def plot_averages(result: Aggregation, ax: Axes | None = None) -> Axes:
    """Averages with their intervals: thick pointwise, thin for all at once."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
    level = f"{100 * result.result.level:g}%"
    if result.kind == "event":
        _events(result, ax)
        ax.set_ylabel(axis_label(f"effect on {result.result.shared['units']} ({level} interval)"))
        return ax
    items = list(result._shown())
    heights = np.arange(len(items))[::-1]
    ax.axvline(0.0, color=QUIET, linewidth=0.9, zorder=0)
    for item, height in zip(items, heights, strict=True):
        ax.hlines(height, item.ci_low, item.ci_high, color=BLUE, linewidth=1.8)
        if "band_low" in item.details:
            ax.hlines(height, item.details["band_low"], item.details["band_high"], color=BLUE, linewidth=0.7)
    ax.plot([item.estimate for item in items], heights, "o", color=BLUE, markersize=5)
    ax.set_yticks(heights, [item.term for item in items])
    ax.set_ylim(-0.6, len(items) - 0.4)
    ax.set_xlabel(f"effect on {result.result.shared['units']} ({level} interval)")
    return ax


def _events(result: Aggregation, ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    path, items = result.path, list(result.estimates)
    assert path is not None
    events = np.asarray(path.events)
    pre = events < 0
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=0)
    ax.axvline(-0.5, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    for mask, colour, words in ((pre, QUIET, "before treatment"), (~pre, BLUE, "treated")):
        chosen = [item for item, used in zip(items, mask, strict=True) if used]
        if not chosen:
            continue
        draw_intervals(ax, events[mask], chosen, colour=colour, width=1.8)
        if result.estimates.banded:
            low, high = ([i.details[name] for i in chosen] for name in ("band_low", "band_high"))
            ax.vlines(events[mask], low, high, color=colour, linewidth=0.7, zorder=1)
        ax.plot(events[mask], path.estimates[mask], "o", color=colour, markersize=5, label=words, zorder=3)
    if path.reference is not None:
        ax.plot([path.reference], [0.0], "o", mfc="white", color=QUIET, markersize=5, label="reference", zorder=3)
    label_few(ax, items, QUIET)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("periods since the first treated one")
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
