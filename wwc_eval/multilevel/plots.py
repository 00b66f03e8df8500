"""Plots of a fitted multilevel model; each returns its axes and draws nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from wwc_eval.multilevel.engine.structure import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.multilevel.fit import MultilevelFit
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["draw_binned", "draw_qq", "plot_caterpillar", "plot_estimates", "plot_qq", "plot_residuals"]

COLOUR = "#2f5d8a"
LABELLED = 40


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, 4.2), layout="constrained").subplots()


def plot_estimates(fit: MultilevelFit, ax: Axes | None = None) -> Axes:
    """Fixed effects with their intervals, the first on top; the intercept is left out."""
    ax = _axes(ax)
    shown = [each for each in fit.estimates if each.term != "(Intercept)"] or list(fit.estimates)
    places = np.arange(len(shown))[::-1]
    ax.hlines(places, [e.ci_low for e in shown], [e.ci_high for e in shown], color=COLOUR)
    ax.plot([e.estimate for e in shown], places, "o", color=COLOUR)
    ax.axvline(0.0, color="0.6", linewidth=0.8)
    ax.set_yticks(places, [e.term for e in shown])
    ax.set_xlabel(f"{shown[0].shown_units} ({100 * fit.level:g}% interval)")
    return ax


def plot_caterpillar(fit: LinearFit, group: str | None = None, ax: Axes | None = None) -> Axes:
    """First random coefficient of a grouping factor in order, with intervals of prediction."""
    ax = _axes(ax)
    name = fit.data.grouping(group).name if group is not None else fit.data.groupings[0].name
    term = fit.data.grouping(name).columns[0]
    rows = [row for row in fit.random_effects(name) if row["term"] == term]
    rows.sort(key=lambda row: row["estimate"])
    places = np.arange(len(rows))
    ax.hlines(places, [r["ci_low"] for r in rows], [r["ci_high"] for r in rows], color=COLOUR, linewidth=1)
    ax.plot([r["estimate"] for r in rows], places, "o", color=COLOUR, markersize=3)
    ax.axvline(0.0, color="0.6", linewidth=0.8)
    if len(rows) <= LABELLED:
        ax.set_yticks(places, [r["level"] for r in rows])
    else:
        ax.set_yticks([])
    ax.set_ylabel(name)
    ax.set_xlabel(f"random effect: {term} ({100 * fit.level:g}% interval)")
    return ax


def plot_qq(fit: LinearFit, of: str = "residuals", ax: Axes | None = None) -> Axes:
    """Ordered standardised values against normal quantiles."""
    from wwc_eval.multilevel.diagnostics import standardised_effects, standardised_residuals

    if of == "residuals":
        return draw_qq({"residuals": standardised_residuals(fit)}, "standardised residuals", ax)
    grouping = fit.data.grouping(of)
    values = standardised_effects(fit, of)
    series = {term: values[:, k] for k, term in enumerate(grouping.columns)}
    return draw_qq(series, f"standardised effect of {of}", ax)


def draw_qq(series: Mapping[str, Array], label: str, ax: Axes | None = None) -> Axes:
    """Ordered values of each series against normal quantiles, with the line that they should follow."""
    ax = _axes(ax)
    ends: list[float] = []
    for name, values in series.items():
        ordered = np.sort(values[np.isfinite(values)])
        n = len(ordered)
        quantiles = special.ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
        ax.plot(quantiles, ordered, ".", label=name, markersize=4)
        ends += [float(quantiles[0]), float(quantiles[-1])]
    ax.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.6", linewidth=0.8)
    ax.set_xlabel("normal quantile")
    ax.set_ylabel(label)
    if len(series) > 1:
        ax.legend()
    return ax


def draw_binned(fitted: Array, residuals: Array, ax: Axes | None = None) -> Axes:
    """Mean residual in bins of like prediction, with the band in which 95% of such means of unit variance lie."""
    ax = _axes(ax)
    fine = np.isfinite(residuals)
    fitted, residuals = fitted[fine], residuals[fine]
    order = np.argsort(fitted, kind="stable")
    parts = [part for part in np.array_split(order, max(2, min(40, round(len(order) ** 0.5)))) if len(part)]
    at = np.array([float(fitted[part].mean()) for part in parts])
    reach = np.array([1.96 / len(part) ** 0.5 for part in parts])
    ax.fill_between(at, -reach, reach, color="0.9", step="mid", label="95% band")
    ax.plot(at, [float(residuals[part].mean()) for part in parts], "o", color=COLOUR, markersize=4)
    ax.axhline(0.0, color="0.6", linewidth=0.8)
    ax.set_xlabel("prediction")
    ax.set_ylabel("mean Pearson residual")
    ax.legend(loc="upper right")
    return ax


def plot_residuals(fit: LinearFit, ax: Axes | None = None) -> Axes:
    """Conditional residuals against predictions, with a running mean."""
    ax = _axes(ax)
    fitted, residuals = fit.predict(), fit.residuals()
    ax.plot(fitted, residuals, ".", color=COLOUR, alpha=0.35, markersize=4)
    ax.axhline(0.0, color="0.6", linewidth=0.8)
    order = np.argsort(fitted, kind="stable")
    parts = [part for part in np.array_split(order, min(20, max(1, fit.n // 20))) if len(part)]
    ax.plot(
        [float(fitted[part].mean()) for part in parts],
        [float(residuals[part].mean()) for part in parts],
        color="#b5482f",
        linewidth=1.5,
    )
    ax.set_xlabel("prediction")
    ax.set_ylabel("residual")
    return ax
