"""Effects on who is seen, drawn: one point a covariate or level, in standard deviations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.composition_result import Composition

__all__ = ["plot_composition"]


def plot_composition(found: Composition, ax: Axes | None = None) -> Axes:
    """Standardised effects with their intervals, in the order of the rows; a line where there is none.

    Parameters
    ----------
    found : Composition
        The effects.
    ax : Axes, optional
        Where to draw.
    """
    items = [item for item in found.estimates if item.details["sd"] > 0]
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, max(1.3 + 0.28 * len(items), 2.4)), layout="constrained").subplots()
    places = np.arange(len(items))[::-1]
    for place, item in zip(places.tolist(), items, strict=True):
        sd = item.details["sd"]
        if math.isfinite(item.ci_low) and math.isfinite(item.ci_high):
            ax.hlines(place, item.ci_low / sd, item.ci_high / sd, color="#0072B2", linewidth=1.4)
        ax.plot([item.estimate / sd], [place], "o", color="#0072B2", markersize=4.5)
    ax.axvline(0.0, color="#D55E00", linewidth=1.1, linestyle="--", zorder=0)
    ax.set_yticks(places, [item.term for item in items])
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
    ax.set_ylim(-0.6, len(items) - 0.4)
    ax.set_ylabel("covariate")
    ax.set_xlabel(f"effect on who is seen, in SDs ({100 * found.estimates.items[0].level:g}% interval)")
    return ax
