"""Plot of effects by dose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.did.axis_words import axis_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.doses import DoseResponse

__all__ = ["plot_doses"]

BLUE, VERMILLION, QUIET = "#0072B2", "#D55E00", "#4d5b68"


def plot_doses(result: DoseResponse, ax: Axes | None = None) -> Axes:
    """One dot a treated unit; the line by dose with its interval."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
    values = np.array(result.by_dose.column("dose"))
    line, low, high = (np.array(result.by_dose.column(name)) for name in ("effect", "ci_low", "ci_high"))
    level = f"{100 * result.overall.level:g}%"
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=0)
    if np.isfinite(low).any():
        ax.fill_between(
            values, low, high, color=BLUE, alpha=0.18, linewidth=0, label=f"{level} interval of the line"
        )
    ax.plot(values, line, color=BLUE, linewidth=1.8, label="effect by dose")
    ax.plot(
        result.units.column("dose"),
        result.units.column("change"),
        "o",
        color=VERMILLION,
        markersize=5,
        label="treated unit, less untreated ones",
    )
    ax.set_xlabel(result.by_dose.columns[0].heading)
    ax.set_ylabel(axis_label(f"change of {result.panel.measure}, less that of untreated units"))
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax
