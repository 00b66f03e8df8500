"""Figures of a comparison: every estimate with its interval, and effects by event side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.comparison import Comparison
    from wwc_eval.estimate import Estimate

__all__ = ["plot_comparison", "plot_events"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
MARKS = ("o", "s", "^", "D", "v")
QUIET = "#4d5b68"
WIDE = 10.0


def plot_comparison(found: Comparison, ax: Axes | None = None) -> Axes:
    """One line an estimate; hollow marks and thin lines are the methods for few treated, arrows ends beyond the figure."""
    from wwc_eval.did.comparison import ASKED, NAMES

    if ax is None:
        from matplotlib.figure import Figure

        height = 1.3 + 0.36 * len(found.estimates)
        ax = Figure(figsize=(7.0, height), layout="constrained").subplots()
    places = np.arange(len(found.estimates))[::-1]
    labels = []
    reach = _reach([(item.ci_low, item.ci_high) for item in found.estimates])
    for place, key, item in zip(places.tolist(), found.estimates.keys, found.estimates, strict=True):
        name = str(key["estimator"])
        labels.append(NAMES.get(name, name.replace("_", " ")))
        plain = name in ASKED
        colour = COLOURS[0] if plain else QUIET
        low, high = max(item.ci_low, reach[0]), min(item.ci_high, reach[1])
        if not math.isnan(item.ci_low):
            ax.hlines(place, low, high, color=colour, linewidth=1.8 if plain else 1.0)
            for end, shown, mark in ((item.ci_low, low, "<"), (item.ci_high, high, ">")):
                if end != shown:
                    ax.plot([shown], [place], mark, color=colour, markersize=5)
        face = colour if plain else "white"
        ax.plot([item.estimate], [place], "o", color=colour, markerfacecolor=face, markersize=6)
    ax.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_yticks(places, labels)
    ax.set_ylim(-0.6, len(labels) - 0.4)
    ax.set_xlabel(f"effect on {found.panel.measure} ({100 * found.overall.level:g}% interval)")
    return ax


def _reach(intervals: list[tuple[float, float]]) -> tuple[float, float]:
    """Ends of the figure: an interval ten times as wide as any other, or infinite, is drawn to the edge of the others."""
    ends = np.array(intervals)
    ends = ends[np.isfinite(ends).all(axis=1)]
    if not len(ends):
        return -1.0, 1.0
    width = ends[:, 1] - ends[:, 0]
    ends = ends[width <= WIDE * np.sort(width)[-2:][0]]
    return float(ends.min()), float(ends.max())


def plot_events(found: Comparison, ax: Axes | None = None) -> Axes:
    """Effects by event of every estimator that has them."""
    from wwc_eval.did.comparison import NAMES
    from wwc_eval.did.interval_marks import draw_intervals, label_few

    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(8.0, 4.2), layout="constrained").subplots()
    drawn = [(name, result) for name, result in found.results.items() if result.path is not None]
    shown: list[Estimate] = []
    for index, (name, result) in enumerate(drawn):
        colour = COLOURS[index % len(COLOURS)]
        table = result.aggregate("event").estimates if hasattr(result, "aggregate") else result.estimates
        rows = [(key["event"], item) for key, item in zip(table.keys, table, strict=True) if "event" in key]
        items = [item for _, item in rows]
        x = np.array([event for event, _ in rows]) + 0.14 * (index - (len(drawn) - 1) / 2)
        draw_intervals(ax, x, items, colour=colour, width=0.9)
        ax.plot(
            x, [item.estimate for item in items], MARKS[index % len(MARKS)],
            color=colour, markersize=3.6, label=NAMES[name],
        )  # fmt: skip
        shown += items
    label_few(ax, shown, "0.3")
    ax.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    ax.axvline(-0.5, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    ax.set_xlabel("periods since treatment began")
    ax.set_ylabel(f"effect on {found.panel.measure} ({100 * found.overall.level:g}% intervals)")
    ax.legend(frameon=False, fontsize=8)
    return ax
