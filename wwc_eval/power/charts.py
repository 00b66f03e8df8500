"""Pictures of power; each returns its axes and draws nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.power.checks import plural
from wwc_eval.power.outcomes import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.power.assurance import Assurance
    from wwc_eval.power.grids import PowerContour, PowerCurve

__all__ = ["plot_assurance", "plot_contour", "plot_curve"]

# Okabe and Ito's colours, told apart with any colour vision
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "0.45"


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    axes: Axes = Figure(figsize=(6.4, 4.2), layout="constrained").subplots()
    return axes


def _label(name: str, outcome: Outcome) -> str:
    if name == "effect":
        return (
            "effect (percentage points)" if outcome.scale == "risk_difference" else f"effect ({outcome.words()})"
        )
    where, _, what = name.rpartition(".")
    where = plural(where)
    words = {
        "n": f"number of {where}",
        "icc": f"ICC of {where}",
        "k": f"k of {where}",
        "r2": f"R² of {where} (share explained)",
        "attrition": f"share of {where} lost",
        "size_cv": f"coefficient of variation of {where}",
    }
    return words.get(what, name.replace(".", " "))


def plot_curve(curve: PowerCurve, ax: Axes | None = None) -> Axes:
    """Power along a number, with the band and the target."""
    ax = _axes(ax)
    points = curve.over == "effect" and curve.outcome.scale == "risk_difference"
    x = curve.x * (100.0 if points else 1.0)
    if curve.low is not None and curve.high is not None:
        ax.fill_between(x, 100 * curve.low, 100 * curve.high, color=BLUE, alpha=0.2, linewidth=0, label=curve.band)
    ax.plot(x, 100 * curve.power, color=BLUE, linewidth=2, label="as planned")
    ax.axhline(100 * curve.target, color=VERMILLION, linewidth=1, linestyle="--", label=f"{100 * curve.target:g}%")
    ax.set_ylim(0, 100)
    ax.set_xlim(float(x.min()), float(x.max()))
    ax.set_xlabel(_label(curve.over, curve.outcome))
    ax.set_ylabel("power (%)")
    if np.isfinite(curve.effect):
        ax.set_title(f"effect: {curve.outcome.show(curve.effect)}", fontsize="medium", loc="left")
    if curve.over == "effect":  # the curve fills the axes from side to side
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    else:
        ax.legend(loc="lower right", frameon=False)
    return ax


def plot_contour(plane: PowerContour, ax: Axes | None = None) -> Axes:
    """Contours of power or of the detectable effect, with their values written in."""
    ax = _axes(ax)
    percent = plane.quantity == "power" or plane.outcome.scale == "risk_difference"
    z = plane.z * (100.0 if percent else 1.0)
    levels = np.array([10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99.0]) if plane.quantity == "power" else None
    drawn = ax.contour(plane.x, plane.y, z, levels=levels if levels is not None else 9, colors=BLUE, linewidths=1)
    ax.clabel(drawn, fmt="%g%%" if plane.quantity == "power" else "%g", colors="black", fontsize="small")
    if plane.quantity == "power" and z.min() < 80 < z.max():
        ax.contour(plane.x, plane.y, z, levels=[80.0], colors=VERMILLION, linewidths=2)
    ax.set_xlabel(_label(plane.x_name, plane.outcome))
    ax.set_ylabel(_label(plane.y_name, plane.outcome))
    units = "percentage points" if plane.outcome.scale == "risk_difference" else plane.outcome.words()
    ax.set_title(
        "power (%)" if plane.quantity == "power" else f"minimum detectable effect ({units})",
        fontsize="medium",
        loc="left",
    )
    return ax


def plot_assurance(result: Assurance, ax: Axes | None = None) -> Axes:
    """Distribution of the power over the beliefs, with its mean and the target."""
    ax = _axes(ax)
    bins = np.linspace(0.0, 100.0, 41)
    weight = np.full(len(result.powers), 100.0 / len(result.powers))
    ax.hist(100 * result.powers, bins=bins.tolist(), weights=weight, color=BLUE, alpha=0.6)
    ax.axvline(100 * result.value, color="black", linewidth=1.5, label=f"assurance {100 * result.value:.0f}%")
    ax.axvline(
        100 * result.planned,
        color=GREY,
        linewidth=1.5,
        linestyle=":",
        label=f"every belief at its median {100 * result.planned:.0f}%",
    )
    short = f"target {100 * result.target:g}%, missed with chance {100 * result.short:.0f}%"
    ax.axvline(100 * result.target, color=VERMILLION, linewidth=1.5, linestyle="--", label=short)
    ax.set_xlim(0, 100)
    ax.set_xlabel("power (%)")
    ax.set_ylabel("share of what is believed possible (%)")
    ax.legend(loc="upper left", frameon=False)
    return ax
