"""What a panel looks like: its cohorts in a table, raw trends by cohort, and the map of treatment timing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError
from wwc_eval.table import Column, Table, format_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.panel import Panel

__all__ = ["cohort_means", "summary", "timing", "trends"]

Floats = NDArray[np.float64]
# Okabe and Ito (2008), as in the report; the room of reports stands on a floor above
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
QUIET, UNTREATED, TREATED = "#4d5b68", "#d3dbe3", "#0072B2"
MOST_LINES = 12
MOST_NAMES = 40
MOST_GAPS = 8


def summary(panel: Panel) -> Table:
    """One row a cohort: units, clusters, treated periods and cells with an outcome."""
    rows: list[dict[str, Any]] = []
    for cohort, label in zip(panel.cohorts, panel.cohort_labels, strict=True):
        own = panel.adopted == cohort
        rows.append(
            {
                "cohort": str(label),
                "units": int(own.sum()),
                "clusters": panel.clusters_of(own),
                "treated_periods": int(panel.n_periods - cohort),
                "cells": int(panel.observed[own].sum()),
                "missing": int((~panel.observed[own]).sum()),
            }
        )
    columns = [Column(name="cohort"), *(Column(name=name, kind="count") for name in list(rows[0])[1:])]
    first, last = panel.period_label(0), panel.period_label(panel.n_periods - 1)
    kind = "Repeated cross-sections" if panel.cross_sections else "Panel"
    title = f"{kind}: {panel.measure}, {panel.n_units:,} units, {panel.n_periods} periods, {first} to {last}"
    return Table(rows, columns, title=title, notes=tuple(one.message for one in panel.findings))


def cohort_means(panel: Panel) -> Floats:
    """Weighted mean outcome of each cohort in each period, shape (cohorts, T); rates pool counts and exposures."""
    means = np.full((len(panel.cohorts), panel.n_periods), np.nan)
    for index, cohort in enumerate(panel.cohorts):
        own = panel.adopted == cohort
        values = panel.outcomes[own]
        weights = np.where(np.isnan(values), 0.0, _weights(panel)[own])
        total = weights.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[index] = np.where(total > 0, (np.nan_to_num(values) * weights).sum(axis=0) / total, np.nan)
    return means


def _weights(panel: Panel) -> Floats:
    weights = np.broadcast_to(panel.weights[:, None], panel.outcomes.shape)
    if panel.cell_weights is not None:
        weights = panel.cell_weights
    if panel.exposures is not None:
        # the mean of rates weighted by their denominators is the pooled rate
        weights = weights * panel.exposures
    return weights


def trends(panel: Panel, ax: Axes | None = None) -> Axes:
    """Mean outcome by period of each cohort; a dotted line marks where each begins to be treated."""
    from matplotlib.ticker import MaxNLocator

    ax = _axes(ax, 7.0, 4.0)
    if len(panel.cohorts) > MOST_LINES:
        raise DesignError(
            f"{len(panel.cohorts)} cohorts are too many lines to tell apart",
            fix=f"join cohorts in at most {MOST_LINES} groups, or plot part of them with panel.without(...)",
        )
    means = cohort_means(panel)
    for index, (cohort, label) in enumerate(zip(panel.cohorts, panel.cohort_labels, strict=True)):
        own = int((panel.adopted == cohort).sum())
        never = cohort == panel.n_periods
        colour = QUIET if never else COLOURS[index % len(COLOURS)]
        words = f"{label} (n = {own:,})" if never else f"from {label} ({own:,})"
        style = "-" if never or index < len(COLOURS) else "--"
        ax.plot(
            panel.times, means[index], style, color=colour, lw=2.2 if never else 1.5, marker="o", ms=3, label=words
        )
        if 0 < cohort < panel.n_periods:
            middle = (panel.times[cohort] + panel.times[cohort - 1]) / 2
            ax.axvline(float(middle), color=colour, lw=0.9, ls=":")
    _label_periods(panel, ax, panel.times)
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.set_ylabel(panel.measure if panel.exposures is not None else f"mean {panel.measure}")
    columns = min(len(panel.cohorts), 5)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, fontsize="small")
    return ax


def measure(panel: Panel) -> str:
    """What one number of the outcome is, in words: ``starts per 10,000 children``."""
    outcome, exposure = str(panel.columns["outcome"]), panel.columns["exposure"]
    if exposure is None:
        return outcome
    return f"{outcome} / {exposure}" if panel.per == 1 else f"{outcome} per {format_count(panel.per)} {exposure}"


def timing(panel: Panel, ax: Axes | None = None) -> Axes:
    """Units by period, in order of adoption: untreated, treated, and white where there is no outcome."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    ax = _axes(ax, 7.0, float(np.clip(0.16 * panel.n_units, 3.0, 9.0)))
    order = np.lexsort((np.arange(panel.n_units), panel.adopted))
    state = np.where(panel.observed, panel.treated.astype(float), np.nan)[order]
    # a column of the grid is a step of time, so that gaps in time show, unless time has hardly anything else
    sparse = int(panel.times[-1]) >= MOST_GAPS * panel.n_periods
    places = np.arange(panel.n_periods) if sparse else panel.times
    grid = np.full((panel.n_units, int(places[-1]) + 1), np.nan)
    grid[:, places] = state
    grid = np.ma.masked_invalid(grid)
    edges = np.arange(grid.shape[1] + 1) - 0.5
    rows = np.arange(panel.n_units + 1) - 0.5
    few = panel.n_units <= MOST_NAMES
    ax.pcolormesh(
        edges, rows, grid, cmap=ListedColormap([UNTREATED, TREATED]), vmin=0, vmax=1,
        edgecolors="white" if few else "none", linewidth=0.4, rasterized=not few,
    )  # fmt: skip
    ax.invert_yaxis()
    if few:
        ax.set_yticks(range(panel.n_units), [str(unit) for unit in panel.units[order]], fontsize="small")
    what = panel.columns["unit"] or panel.columns["cluster"] or "cohort"
    ax.set_ylabel(f"{what} (in order of adoption)")
    _label_periods(panel, ax, places)
    handles = [Patch(color=UNTREATED, label="untreated"), Patch(color=TREATED, label="treated")]
    if np.isnan(state).any():
        handles.append(Patch(facecolor="white", edgecolor=QUIET, label="no outcome"))
    ax.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize="small"
    )
    return ax


def _label_periods(panel: Panel, ax: Axes, places: NDArray[np.int64]) -> None:
    every = max(1, -(-panel.n_periods // 12))
    shown = range(0, panel.n_periods, every)
    labels = [str(panel.periods[k])[:10] for k in shown]
    ax.set_xticks([int(places[k]) for k in shown], labels, rotation=45 if len(labels[0]) > 5 else 0)
    ax.set_xlabel(f"{panel.columns['period']}")


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    new: Axes = Figure(figsize=(width, height), layout="constrained").subplots()
    return new
