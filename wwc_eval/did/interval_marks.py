"""Intervals of effects by event: dashed where fewer than five treated are seen, whose conventional errors are too small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.few_counts import FEWER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.estimate import Estimate

__all__ = ["FEW_WORDS", "draw_intervals", "label_few"]

FEW_WORDS = f"{FEWER}: too short, see the permutation"
DASHES = (0, (2.2, 1.4))


def draw_intervals(
    ax: Axes, at: Sequence[float] | NDArray[np.float64], items: Sequence[Estimate], *, colour: str, width: float
) -> None:
    """Vertical intervals, dashed where a permutation stands beside the error; none where the error is withheld.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    at : sequence of float
        Place of each on the x-axis.
    items : sequence of Estimate
        The effects.
    colour : str
        Colour of the lines.
    width : float
        Width of the lines, in points.
    """
    few = np.array(["permutation_p" in item.details for item in items], dtype=bool)
    low, high = (np.array([getattr(item, end) for item in items]) for end in ("ci_low", "ci_high"))
    for mask, style in ((~few, "solid"), (few, DASHES)):
        if mask.any():
            ax.vlines(
                np.asarray(at)[mask],
                low[mask],
                high[mask],
                color=colour,
                linewidth=width,
                linestyle=style,
                zorder=2,
            )


def label_few(ax: Axes, items: Sequence[Estimate], colour: str) -> None:
    """An entry of the legend for the dashed intervals, where there are any."""
    if any("permutation_p" in item.details and np.isfinite(item.ci_low) for item in items):
        ax.plot([], [], color=colour, linewidth=1.4, linestyle=DASHES, label=FEW_WORDS)
