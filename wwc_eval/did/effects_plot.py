"""Event-study plot, and estimates side by side where there are no events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.did.axis_words import axis_label
from wwc_eval.did.interval_marks import draw_intervals, label_few
from wwc_eval.estimate import RATIO_SCALES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.effects import DidResult

__all__ = ["plot_estimates", "plot_path"]

BLUE, VERMILLION, QUIET = "#0072B2", "#D55E00", "#4d5b68"


def plot_path(result: DidResult, ax: Axes | None = None) -> Axes:
    """Effects by periods since treatment, with intervals; the reference is a hollow dot at zero."""
    from matplotlib.ticker import MaxNLocator

    ax = _axes(ax)
    path = result.path
    assert path is not None
    items = [item for item, key in zip(result.estimates, result.estimates.keys, strict=True) if "event" in key]
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=0)
    ax.axvline(-0.5, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    for mask, colour, words in ((path.events < 0, QUIET, "before treatment"), (path.events >= 0, BLUE, "treated")):
        if mask.any():
            own = [item for item, used in zip(items, mask, strict=True) if used]
            draw_intervals(ax, path.events[mask], own, colour=colour, width=1.6)
            ax.plot(
                path.events[mask], path.estimates[mask], "o", color=colour, markersize=5, label=words, zorder=3
            )
    if path.reference is not None:
        ax.plot([path.reference], [0.0], "o", mfc="white", color=QUIET, markersize=5, label="reference", zorder=3)
    label_few(ax, items, QUIET)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("periods since the first treated one")
    ax.set_ylabel(axis_label(_words(result)))
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax


def plot_estimates(result: DidResult, ax: Axes | None = None) -> Axes:
    """Estimates with their intervals, one line each."""
    ax = _axes(ax)
    items = list(result._shown())
    heights = np.arange(len(items))[::-1]
    ax.axvline(1.0 if result.overall.scale in RATIO_SCALES else 0.0, color=QUIET, linewidth=0.9, zorder=0)
    ax.hlines(
        heights, [item.ci_low for item in items], [item.ci_high for item in items], color=BLUE, linewidth=1.6
    )
    ax.plot([item.estimate for item in items], heights, "o", color=BLUE, markersize=5)
    ax.set_yticks(heights, [item.term for item in items])
    ax.set_ylim(-0.6, len(items) - 0.4)
    ax.set_xlabel(_words(result))
    return ax


def _words(result: DidResult) -> str:
    """What the axis of the effects shows."""
    what = {"rate_ratio": "rate ratio of", "rate_difference": "difference in the rate of"}
    words = what.get(result.overall.scale, "effect on")
    return f"{words} {result.panel.measure} ({100 * result.overall.level:g}% interval)"


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
