"""Sensitivity plots: intervals by how far trends may depart from parallel, and trends that a test may miss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.did.axis_words import axis_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.honest_intervals import HonestIntervals
    from wwc_eval.did.pre_trends import PreTrendPower

__all__ = ["plot_honest", "plot_pre_trends"]

BLUE, VERMILLION, QUIET = "#0072B2", "#D55E00", "#4d5b68"
LABELS = {
    "relative_magnitudes": "M: change after treatment as a multiple of the largest before it",
    "smoothness": "M: change of the slope of the deviation from one period to the next",
}


def plot_honest(result: HonestIntervals, ax: Axes | None = None) -> Axes:
    """The conventional interval on the left, then one interval for each M; dashes mark the breakdown value."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
    values = np.array(result.estimates.column("M"))
    low, high = (np.array(result.estimates.column(name)) for name in ("ci_low", "ci_high"))
    least, most = (np.array(result.estimates.column(name)) for name in ("identified_low", "identified_high"))
    step = float(np.diff(np.sort(values)).min(initial=np.inf)) if values.size > 1 else math.inf
    step = step if math.isfinite(step) and step > 0 else max(float(values.max()), 1.0) / 2.0
    aside = float(values.min()) - step
    one, label = result.overall, f"honest {100 * result.level:g}% interval"
    ax.axhline(result.null, color=QUIET, linewidth=0.9, zorder=0)
    ax.vlines(aside, one.ci_low, one.ci_high, color=VERMILLION, linewidth=2.2, zorder=2)
    ax.plot([aside], [one.estimate], "D", color=VERMILLION, markersize=5, label="parallel trends", zorder=3)
    shown = np.isfinite(low)
    ax.vlines(values[shown], low[shown], high[shown], color=BLUE, linewidth=2.2, zorder=2, label=label)
    known = np.isfinite(least) & shown
    if known.any():
        ax.vlines(
            values[known], least[known], most[known], color=BLUE, linewidth=6, alpha=0.3, label="identified set"
        )
        flat = known & (most - least <= 1e-12 * (1.0 + np.abs(most)))
        ax.plot(values[flat], most[flat], "_", color=BLUE, markersize=7)
    if values.min() <= result.breakdown <= values.max() and result.breakdown > 0:
        ax.axvline(result.breakdown, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.0, zorder=1)
        ax.annotate(
            f"breakdown {result.breakdown:.2g}",
            (result.breakdown, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
            fontsize="small",
            color=QUIET,
        )
    ticks = values if values.size <= 8 else np.linspace(values.min(), values.max(), 6)
    ax.set_xticks([aside, *ticks], ["parallel", *(f"{tick:.3g}" for tick in ticks)])
    ax.set_xlabel(LABELS[result.restriction])
    units = f" ({result.units})" if result.units else ""
    ax.set_ylabel(axis_label(f"{one.term}{units}"))
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    return ax


def plot_pre_trends(result: PreTrendPower, ax: Axes | None = None) -> Axes:
    """Estimates by event; the steepest trend of the table; what is expected where the test passes."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
    events = np.array(result.events.column("event"))
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=0)
    ax.axvline(-0.5, color=QUIET, linestyle=(0, (1, 2)), linewidth=0.9, zorder=0)
    estimates, reach = np.array(result.events.column("estimate")), 1.96 * np.array(result.events.column("se"))
    ax.vlines(events, estimates - reach, estimates + reach, color=BLUE, linewidth=1.4, zorder=3)
    ax.plot(events, estimates, "o", color=BLUE, markersize=6, label="estimate with 95% interval", zorder=3)
    slope = max(result.estimates.column("slope"), key=abs)
    row = next(row for row in result.to_dicts() if row["slope"] == slope)
    label = f"trend of {slope:.2g} a period, found with power {100 * row['power']:.0f}%"
    ax.plot(events, result.events.column("trend"), color=VERMILLION, linewidth=1.6, label=label, zorder=1)
    ax.plot(
        events,
        result.events.column("expected_if_passed"),
        color=VERMILLION,
        linestyle=(0, (4, 3)),
        linewidth=1.6,
        label="expected under it where the test passes",
        zorder=2,
    )
    ax.set_xlabel("periods since the first treated period")
    ax.set_ylabel(axis_label(f"effect{f' ({result.units})' if result.units else ''}"))
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return ax
