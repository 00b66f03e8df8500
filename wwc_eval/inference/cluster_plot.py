"""Dot plot of cluster summaries by arm."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.formula.columns import label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.inference.cluster_result import ClusterSummaries
    from wwc_eval.inference.families import Floats

__all__ = ["plot_summaries"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which readers with any colour vision tell apart."""
QUIET = "#4d5b68"


def plot_summaries(result: ClusterSummaries, ax: Axes | None = None) -> Axes:
    """One dot a cluster; beside them the mean of the arm with its interval. Pairs are joined by lines."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.2), layout="constrained").subplots()
    data = result.table_data
    factor = 100.0 if result.family == "binomial" else 1.0
    heights = data.summary * factor
    places = data.arm.astype(float)
    if data.paired:
        for stratum in range(len(data.strata)):
            pair = np.flatnonzero(data.stratum == stratum)
            pair = pair[np.argsort(data.arm[pair])]
            ax.plot(places[pair], heights[pair], color="0.75", linewidth=0.9, zorder=1)
    else:
        places = places + _apart(places, heights)
    for place, row in enumerate(result.by_arm):
        here, colour = data.arm == place, COLOURS[place % len(COLOURS)]
        ax.plot(places[here], heights[here], "o", color=colour, markersize=6, alpha=0.8, zorder=2)
        middle = place + (0.28 if place else -0.28)
        if np.isfinite(row.ci_low):
            ax.vlines(middle, row.ci_low * factor, row.ci_high * factor, color=QUIET, linewidth=1.4, zorder=3)
        ax.plot([middle], [row.estimate * factor], "D", color=QUIET, markersize=6, zorder=4)
    names = [f"{label_of(arm)}\n{count} clusters" for arm, count in zip(data.arms, data.per_arm, strict=True)]
    ax.set_xticks(range(len(data.arms)), names)
    ax.set_xlim(-0.6, len(data.arms) - 0.4)
    words = {
        "gaussian": f"mean {result.outcome}",
        "binomial": f"{result.outcome} (percent)",
        "poisson": f"rate of {result.outcome}",
    }
    unit = f" per unit of {result.exposure}" if result.exposure else ""
    ax.set_ylabel(words[result.family] + unit)
    ax.set_xlabel(f"{result.arm} (diamonds: mean of clusters, {100 * result.level:g}% interval)")
    return ax


def _apart(places: Floats, heights: Floats) -> Floats:
    """Sideways shift that keeps dots of nearly the same height apart."""
    shift = np.zeros(len(places))
    spread = float(np.ptp(heights)) or 1.0
    for place in np.unique(places):
        order = np.flatnonzero(places == place)
        order = order[np.argsort(heights[order], kind="stable")]
        run = 0
        for before, each in itertools.pairwise(order):
            run = run + 1 if heights[each] - heights[before] < 0.035 * spread else 0
            shift[each] = (run + 1) // 2 * 0.05 * (1 if run % 2 else -1)
    return np.clip(shift, -0.2, 0.2)
