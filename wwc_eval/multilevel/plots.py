"""Plots of a fitted multilevel model; each returns its axes and draws nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from wwc_eval.multilevel.engine.structure import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.multilevel.fit import MultilevelFit
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["plot_caterpillar", "plot_estimates", "plot_qq", "plot_residuals"]

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

    ax = _axes(ax)
    if of == "residuals":
        series: dict[str, Array] = {"residuals": standardised_residuals(fit)}
    else:
        grouping = fit.data.grouping(of)
        values = standardised_effects(fit, of)
        series = {term: values[:, k] for k, term in enumerate(grouping.columns)}
    ends: list[float] = []
    for label, values in series.items():
        ordered = np.sort(values)
        n = len(ordered)
        quantiles = special.ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
        ax.plot(quantiles, ordered, ".", label=label, markersize=4)
        ends += [float(quantiles[0]), float(quantiles[-1])]
    ax.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.6", linewidth=0.8)
    ax.set_xlabel("normal quantile")
    ax.set_ylabel(f"standardised {of}" if of == "residuals" else f"standardised effect of {of}")
    if len(series) > 1:
        ax.legend()
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
