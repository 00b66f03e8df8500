"""Axes of fidelity scores: the heat map of units by components, and the profile of one unit."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DataError, DesignError, check_choice, did_you_mean
from wwc_eval.fidelity.charting import BLUE, GREY, ORANGE, RED, new_axes
from wwc_eval.fidelity.scoring.plain import means_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.scores import FidelityScores

    Floats = NDArray[np.float64]

__all__ = ["draw_heatmap", "draw_profile"]


def _percent_components(scores: FidelityScores) -> list[str]:
    """Components that are a percent of something: a ratio is not."""
    percents = scores.scored.percents
    return [
        component.id
        for c, component in enumerate(scores.spec.document.components)
        if not np.isnan(percents[:, c]).all()
    ]


def _label(scores: FidelityScores, component: str) -> str:
    fields = scores.spec.read.components[component]
    words = fields.label or fields.id.replace("_", " ")
    return f"{words} (100: none)" if fields.role == "proscribed" else words


def _percents(scores: FidelityScores, component: str) -> Floats:
    place = [one.id for one in scores.spec.document.components].index(component)
    found: Floats = scores.scored.percents[:, place]
    return found


def draw_heatmap(scores: FidelityScores, unit: str, ax: Axes | None) -> Axes:
    """Units by components; see :meth:`FidelityScores.plot_heatmap`."""
    places = scores.matrix.places
    names, labels = _percent_components(scores), places.labels[unit]
    if not names:
        raise DataError("no component is a percent of its maximum", fix="plot the profile of a unit instead")
    codes = places.of_case[unit]
    grid = np.column_stack([means_of(codes, _percents(scores, name), len(labels)) for name in names])
    order = np.argsort(-np.nan_to_num(np.nanmean(grid, axis=1), nan=-1.0), kind="stable")
    axes = new_axes(ax, 1.9 + 1.15 * len(names), 1.4 + 0.3 * len(labels))
    image = axes.imshow(grid[order], cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for row, place in enumerate(order):
        for column, value in enumerate(grid[place]):
            text = "–" if np.isnan(value) else f"{value:.0f}"
            dark = np.isnan(value) or value < 55
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    wrapped = [fill(_label(scores, name), 14) for name in names]
    axes.set_xticks(range(len(names)), wrapped, fontsize=8)
    axes.set_yticks(range(len(labels)), [labels[place] for place in order], fontsize=8)
    axes.set_ylabel(unit.replace("_", " "))
    axes.set_xlabel("component")
    axes.figure.colorbar(image, ax=axes, label="percent of maximum possible")
    return axes


def draw_profile(
    scores: FidelityScores, unit: str, kind: Literal["bars", "radar"], level: str | None, ax: Axes | None
) -> Axes:
    """Components of one unit; see :meth:`FidelityScores.plot_profile`."""
    check_choice("kind", kind, ("bars", "radar"))
    at, place = _find(scores, unit, level)
    names = _percent_components(scores)
    if not names:
        raise DataError("no component is a percent of its maximum", fix="look at the table of bands")
    mean, low, high = _adjusted(scores, names, at, place)
    everyone = np.array([float(np.nanmean(_percents(scores, name))) for name in names])
    labels = [_label(scores, name) for name in names]
    if kind == "radar":
        return _radar(unit, labels, mean, everyone, ax)
    axes = new_axes(ax, 6.5, 1.2 + 0.45 * len(names))
    rows = np.arange(len(names))[::-1]
    axes.barh(rows, mean, color=BLUE, height=0.55, label=unit)
    known = np.isfinite(low)
    axes.hlines(rows[known], low[known], high[known], color=GREY, linewidth=2)
    axes.plot(everyone, rows, "D", color=ORANGE, markersize=6, label="mean of all cases")
    _draw_requirements(scores, names, rows, axes)
    axes.set_yticks(rows, labels)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"percent of maximum possible, {100 * scores.level:g}% interval")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return axes


def _draw_requirements(scores: FidelityScores, names: list[str], rows: Any, axes: Axes) -> None:
    """What the specification asks for: the highest band, and components that it requires."""
    band = scores.spec.document.spec.bands[-1]
    if band.min is not None:
        bottom, top = scores.spec.read.score_range
        least = 100 * (float(band.min) - bottom) / (top - bottom)
        axes.axvline(least, color=GREY, linestyle="--", linewidth=1, label=f"{band.name}: composite")
    asked = {name: float(least) for name, least in band.requires.components.items() if name in names}
    percent = {
        name: least for name, least in asked.items() if scores.spec.read.components[name].metric == "percent"
    }
    if percent:
        at = [rows[names.index(name)] for name in percent]
        axes.plot(list(percent.values()), at, "|", color=RED, markersize=16, label=f"{band.name}: component")


def _find(scores: FidelityScores, unit: str, level: str | None) -> tuple[str, int]:
    levels = [check_choice("level", level, scores.units)] if level is not None else list(reversed(scores.units))
    for name in levels:
        if unit in scores.matrix.places.labels[name]:
            return name, scores.matrix.places.labels[name].index(unit)
    known = scores.matrix.places.labels[levels[0]]
    raise DesignError(f"there is no unit '{unit}'", fix=did_you_mean(unit, known))


def _adjusted(scores: FidelityScores, names: list[str], level: str, place: int) -> tuple[Floats, Floats, Floats]:
    """Score of each component of one unit with its interval; as rated where it is not in percent or has no model."""
    mean, low, high = (np.full(len(names), np.nan) for _ in range(3))
    mine = scores.matrix.places.of_case[level] == place
    for row, name in enumerate(names):
        rated = _percents(scores, name)[mine]
        mean[row] = float(np.nanmean(rated)) if (~np.isnan(rated)).any() else np.nan
        if scores.spec.read.components[name].metric != "percent":
            continue
        margin = scores.margin(level, name)
        if np.isfinite(margin.se[place]):
            below, above = margin.interval(scores.level)
            mean[row] = float(np.clip(margin.estimate[place], 0, 100))
            low[row], high[row] = np.clip(below[place], 0, 100), np.clip(above[place], 0, 100)
    return mean, low, high


def _radar(unit: str, labels: list[str], mean: Floats, everyone: Floats, ax: Axes | None) -> Axes:
    given = new_axes(ax, 5.5, 5.0, projection="polar")
    axes: Any = given
    if not hasattr(axes, "set_theta_offset"):
        raise DesignError("a radar needs polar axes", fix="add them with projection='polar', or leave ax out")
    angles = np.linspace(0, 2 * np.pi, len(labels), endpoint=False)
    closed = np.append(angles, angles[0])
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    axes.plot(closed, np.append(everyone, everyone[0]), "--", color=ORANGE, label="mean of all cases")
    axes.plot(closed, np.append(mean, mean[0]), color=BLUE, linewidth=2, label=unit)
    axes.fill(closed, np.append(mean, mean[0]), color=BLUE, alpha=0.15)
    axes.set_xticks(angles, [fill(label, 18) for label in labels], fontsize=8)
    axes.set_ylim(0, 100)
    axes.set_yticks([25, 50, 75, 100], ["25", "50", "75", "100%"], fontsize=7, color=GREY)
    axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1.15, -0.12))
    return given
