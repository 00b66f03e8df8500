"""Pictures of a pilot; each returns its axes and draws nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.pilot.decision import Decision
    from wwc_eval.pilot.flow import PilotFlow
    from wwc_eval.pilot.operating import OperatingCharacteristics
    from wwc_eval.pilot.recruitment import RecruitmentForecast

__all__ = ["plot_decisions", "plot_flow", "plot_forecast", "plot_operating"]

# vermillion, orange and bluish green of Okabe and Ito, told apart with any colour vision; the tiers are written as well
TIER_COLOURS = {"red": "#D55E00", "amber": "#E69F00", "green": "#009E73"}
BLUE, INK = "#0072B2", "#1b2733"


def _axes(ax: Axes | None, height: float = 4.2) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    axes: Axes = Figure(figsize=(6.8, height), layout="constrained").subplots()
    return axes


def plot_decisions(decisions: Sequence[Decision], ax: Axes | None = None) -> Axes:
    """Interval of each criterion on a scale on which its limits of red and green lie at 0 and 1."""
    ax = _axes(ax, 1.3 + 0.75 * len(decisions))
    places = np.arange(len(decisions))[::-1]
    reach = [-0.6, 1.6]
    for place, one in zip(places, decisions, strict=True):
        at = [_scaled(one, value) for value in (one.estimate.ci_low, one.estimate.estimate, one.estimate.ci_high)]
        reach = [min(reach[0], *at), max(reach[1], *at)]
        ax.plot([at[0], at[2]], [place, place], color=INK, linewidth=2, zorder=3)
        ax.plot(at[1], place, "o", color=INK, markersize=6, zorder=4)
        criterion = one.criterion
        for x, value, align in ((0.0, criterion.red, "right"), (1.0, criterion.green, "left")):
            ax.text(x, place - 0.34, f" {criterion.show(value)} ", ha=align, va="center", fontsize=7.5, color=INK)
        ax.text(at[1], place + 0.2, criterion.show(one.estimate.estimate), ha="center", fontsize=8.5, color=INK)
    low, high = max(reach[0], -2.5) - 0.15, min(reach[1], 3.5) + 0.15
    for tier, left, right in (("red", low, 0.0), ("amber", 0.0, 1.0), ("green", 1.0, high)):
        ax.axvspan(left, right, color=TIER_COLOURS[tier], alpha=0.22, linewidth=0)
        ax.text((left + right) / 2, len(decisions) - 0.42, tier, ha="center", va="bottom", fontsize=9, color=INK)
    ax.set_xlim(low, high)
    ax.set_ylim(-0.6, len(decisions) - 0.15)
    ax.set_yticks(places, [one.criterion.name for one in decisions])
    ax.set_xticks([])
    level = decisions[0].estimate.level
    ax.set_xlabel(f"estimate, {100 * level:g}% interval (scaled to its limits)")
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def _scaled(decision: Decision, value: float) -> float:
    criterion = decision.criterion
    return (value - criterion.red) / (criterion.green - criterion.red)


def plot_flow(flow: PilotFlow, ax: Axes | None = None) -> Axes:
    """Participants at each stage as bars, with the share of the stage before."""
    names = list(flow.counts)
    ax = _axes(ax, 1.0 + 0.5 * len(names))
    places = np.arange(len(names))[::-1]
    values = [flow.counts[name] for name in names]
    ax.barh(places, values, color=BLUE, height=0.6)
    level = 100 * flow.steps[0].level
    for place, name, value in zip(places, names, values, strict=True):
        text = f"{value:,}"
        if name != names[0]:
            step = flow[name]
            text += f"  ({100 * step.estimate:.0f}%, {100 * step.ci_low:.0f} to {100 * step.ci_high:.0f})"
        ax.text(value, place, f" {text}", va="center", ha="left", fontsize=8.5)
    ax.set_yticks(places, names)
    ax.set_xlim(0, 1.45 * max(values))
    ax.set_xlabel(f"participants (percent of the stage before, {level:g}% interval)")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def plot_operating(found: OperatingCharacteristics, ax: Axes | None = None) -> Axes:
    """Chance of each tier over the true share."""
    ax = _axes(ax)
    found = found.criterion.operating_characteristics(found.n, np.linspace(0.0, 1.0, 101).tolist())
    styles = {"red": "-", "amber": "--", "green": "-."}
    for at, (tier, style) in enumerate(styles.items()):
        ax.plot(
            100 * found.rates, 100 * found.chances[:, at], style, color=TIER_COLOURS[tier], linewidth=2, label=tier
        )
    for value, name in ((found.criterion.red, "red"), (found.criterion.green, "green")):
        ax.axvline(100 * value, color=INK, linewidth=0.8, linestyle=":")
        ax.text(100 * value, 101, f"limit of {name}", ha="center", va="bottom", fontsize=8)
    ax.set_xlabel(f"true share of {found.criterion.name} (%)")
    ax.set_ylabel("chance of each tier (%)")
    ax.set_ylim(0, 100)
    ax.legend(frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def plot_forecast(found: RecruitmentForecast, ax: Axes | None = None) -> Axes:
    """Recruitment by month with its limits, and the target."""
    ax = _axes(ax)
    ax.fill_between(
        found.months,
        found.low,
        found.high,
        color=BLUE,
        alpha=0.2,
        linewidth=0,
        label=f"{100 * found.level:g}% limits",
    )
    ax.plot(found.months, found.expected, color=BLUE, linewidth=2, label="median")
    if found.target is not None:
        ax.axhline(
            found.target, color=TIER_COLOURS["red"], linewidth=1, linestyle="--", label=f"target {found.target:,}"
        )
        month = found.month_reached(0.8)
        if month is not None and math.isfinite(month):
            ax.axvline(month, color=INK, linewidth=0.8, linestyle=":", label="80% chance of the target")
    ax.set_xlabel("month since the first site opened")
    ax.set_ylabel("participants recruited")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax
