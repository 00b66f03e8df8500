"""Plots of synthetic controls: the two series, and the gap among those of placebos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.axis_words import axis_label
from wwc_eval.errors import DesignError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.synthetic_result import SyntheticResult

__all__ = ["plot_placebos", "plot_series"]

BLUE, VERMILLION, QUIET = "#0072B2", "#D55E00", "#4d5b68"


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, 4.0), layout="constrained").subplots()


def plot_series(result: SyntheticResult, ax: Axes | None, cohort: Any) -> Axes:
    """Treated mean and synthetic control of one cohort; dots mark periods by their weight."""
    ax = _axes(ax)
    cohorts = list(dict.fromkeys(result.series.column("cohort")))
    chosen = cohorts[0] if cohort is None else cohort
    if chosen not in cohorts:
        raise DesignError(f"no cohort {chosen!r}", fix=f"choose one of {', '.join(map(str, cohorts))}")
    rows = [row for row in result.series if row["cohort"] == chosen]
    places = np.arange(len(rows))
    first = next(k for k, row in enumerate(rows) if row["event"] >= 0)
    lam = {row["period"]: row["weight"] for row in result.time_weights if row["cohort"] == chosen}
    synthetic = np.array([row["synthetic"] for row in rows])
    label = "synthetic control"
    if lam:
        # parallel to the treated series, at its weighted level before treatment
        shift = sum(lam[row["period"]] * (row["treated"] - row["synthetic"]) for row in rows[:first])
        synthetic = synthetic + shift
        label = "synthetic control, at the treated level before treatment"
    ax.plot(places, [row["treated"] for row in rows], color=VERMILLION, linewidth=1.8, label="treated", zorder=3)
    ax.plot(places, synthetic, color=BLUE, linestyle=(0, (4, 2)), linewidth=1.8, label=label, zorder=2)
    ax.axvline(first - 0.5, color=QUIET, linestyle=(0, (1, 2)), linewidth=1.0, zorder=0)
    if lam:
        sizes = np.array([lam[row["period"]] for row in rows[:first]])
        ax.scatter(
            places[:first], synthetic[:first], s=130 * sizes, color=BLUE, alpha=0.5, label="weight of a period"
        )
    step = max(1, len(rows) // 8)
    ax.set_xticks(places[::step], [str(row["period"]) for row in rows[::step]])
    ax.set_xlabel(str(result.panel.columns["period"]))
    ax.set_ylabel(result.panel.measure)
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return ax


def plot_placebos(result: SyntheticResult, ax: Axes | None) -> Axes:
    """The gap of the treated among the gaps of placebos."""
    ax = _axes(ax)
    if not len(result.placebo_gaps):
        raise DesignError("there are no placebos to plot", fix='inference="placebo"')
    events = [key["event"] for key in result.estimates.keys]
    shown = result.placebo_gaps[:500]
    for k, gap in enumerate(shown):
        ax.plot(events, gap, color="0.75", linewidth=0.7, zorder=1, label="placebo" if k == 0 else None)
    ax.plot(
        events,
        [item.estimate for item in result.estimates],
        color=VERMILLION,
        linewidth=2.0,
        zorder=3,
        label="treated",
    )
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=2)
    ax.axvline(-0.5, color=QUIET, linestyle=(0, (1, 2)), linewidth=1.0, zorder=2)
    ax.set_xlabel("periods since the first treated period")
    ax.set_ylabel(axis_label(f"gap to the synthetic control ({result.panel.measure})"))
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax
