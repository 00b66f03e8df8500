"""Forest plot: estimates with their intervals, grouped, on one axis a scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wwc_eval.estimate import Estimate
from wwc_eval.report.blocks import Figure
from wwc_eval.report.figures.axis import number_axis
from wwc_eval.report.figures.forest_rows import Drawable, ForestPanel, ForestRow, forest_panels, rows_of
from wwc_eval.report.figures.style import INK, OKABE_ITO, QUIET, as_bytes, as_svg, new_figure, styled
from wwc_eval.report.figures.textsize import drawable, one_line, text_width, wrap
from wwc_eval.report.record import AnalysisResult
from wwc_eval.report.words import effect_text, interval_text, is_estimated, scaled
from wwc_eval.table import MISSING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

__all__ = ["forest_figure", "forest_plot"]

WIDTH = 9.0  # inches
LINE = 0.205  # inches of a line of text
LABEL = 3.0  # inches that a label may take
SIZE = 9.0  # points
AXIS = 300.0  # points that the words under an axis may take
ROW_SPACE = 0.42  # lines between rows
MOST_LINES = 52  # lines on one figure, about a printed page
REACH = 6.0  # half-widths beyond the estimates at which an interval is cut
HEAD = "Estimate (interval)"

# shape and fill tell the roles apart without colour
MARKS = {
    "primary": ("s", OKABE_ITO["blue"], True, 7.5),
    "secondary": ("o", OKABE_ITO["green"], True, 7.0),
    "exploratory": ("^", OKABE_ITO["purple"], False, 7.0),
    "sensitivity": ("D", OKABE_ITO["vermillion"], False, 5.5),
    "deviation": ("v", OKABE_ITO["black"], False, 6.5),
    "unadjusted": ("D", OKABE_ITO["vermillion"], False, 5.5),
    "subgroup": ("o", OKABE_ITO["blue"], False, 6.5),
}


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A row, or a group's heading where ``row`` is None, with its label's lines and its middle."""

    lines: tuple[str, ...]
    y: float
    row: ForestRow | None = None


def forest_plot(
    results: Drawable | Iterable[Drawable],
    ax: Axes | None = None,
    *,
    scale: str | None = None,
) -> Axes:
    """Draw estimates on one scale with their intervals.

    Parameters
    ----------
    results : AnalysisResult, Estimate, Estimates or several of them
        What is drawn, from top to bottom.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's axes where it is not given.
    scale : str, optional
        Which scale to draw where there are several, such as ``risk_difference`` (in percentage points) or
        ``odds_ratio`` (on a logarithmic axis).

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DesignError
        If there is nothing to draw, or several scales or units and none is chosen.

    Examples
    --------
    >>> one = Estimate.from_normal(term="conference", estimate=-0.08, se=0.03, scale="risk_difference")
    >>> forest_plot([one]).get_xlabel()
    'Percentage points'
    """
    panel = rows_of(results, scale)
    with styled():
        if ax is None:
            _, height = _place(panel)
            return _stack([panel], [height])[1][0]
        _draw(panel, ax)
    return ax


def forest_figure(
    results: Sequence[AnalysisResult],
    *,
    name: str = "forest",
    title: str = "Effects with their intervals",
    worthwhile: dict[str, float] | None = None,
) -> list[Figure]:
    """Figures of the report: a panel a scale, cut into several figures where there are many rows.

    Parameters
    ----------
    results : sequence of AnalysisResult
        Analyses to show.
    name, title : str
        Stem of the files and caption of the figure.
    worthwhile : dict, optional
        Identifier of an analysis to the smallest worthwhile effect, drawn as a dashed line beside it.
    """
    pages = _pages(forest_panels(results, worthwhile))
    figures = []
    for number, panels in enumerate(pages, start=1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        with styled():
            figure, _ = _stack(panels, [_place(panel)[1] for panel in panels])
            svg, png = as_svg(figure), as_bytes(figure, "png")
        figures.append(
            Figure(
                name=name if number == 1 else f"{name}_{number}",
                title=f"{title}{part}",
                alt=_alt(panels),
                svg=svg,
                png=png,
                notes=_notes(panels),
            )
        )
    return figures


def _pages(panels: Sequence[ForestPanel]) -> list[list[ForestPanel]]:
    """Panels by figure; a panel too tall for one is cut between its rows."""
    pages: list[list[ForestPanel]] = [[]]
    used = 0.0
    for panel in panels:
        rest = panel.rows
        while rest:
            count = len(rest)
            while count > 1 and _place(ForestPanel(rows=rest[:count]))[1] > MOST_LINES:
                count -= 1
            piece = ForestPanel(rows=rest[:count], axis_rows=panel.rows)
            tall = _place(piece)[1] + 4
            if pages[-1] and used + tall > MOST_LINES:
                pages.append([])
                used = 0.0
            pages[-1].append(piece)
            used += tall
            rest = rest[count:]
    return [page for page in pages if page]


def _place(panel: ForestPanel) -> tuple[list[_Placed], float]:
    """Rows and group headings from the top, in lines of text, and the height of all."""
    placed: list[_Placed] = []
    y, group = 0.0, ""
    for row in panel.rows:
        if row.group and row.group != group:
            group = row.group
            lines = tuple(wrap(drawable(group), LABEL * 72, SIZE, bold=True, lines=2))
            y += ROW_SPACE if placed else 0.0
            placed.append(_Placed(lines=lines, y=y + len(lines) / 2))
            y += len(lines) + ROW_SPACE / 2
        lines = tuple(wrap(drawable(row.label), LABEL * 72, SIZE, lines=3))
        placed.append(_Placed(lines=lines, y=y + len(lines) / 2, row=row))
        y += len(lines) + ROW_SPACE
    return placed, y


def _stack(panels: Sequence[ForestPanel], heights: Sequence[float]) -> tuple[MplFigure, list[Axes]]:
    """A new figure with a panel above the other, their axes aligned."""
    estimates = [_right(row.estimate) for panel in panels for row in panel.rows]
    left = max(_label_width(_place(panel)[0]) for panel in panels) / 72 + 12 / 72
    right = max(text_width(text, SIZE) for text in [*estimates, HEAD]) / 72 + 0.25
    above, below = 0.62, 0.66
    total = sum(height * LINE + above + below for height in heights)
    figure = new_figure(WIDTH, total)
    axes, top = [], total
    for panel, height in zip(panels, heights, strict=True):
        inner = height * LINE
        top -= above
        ax = figure.add_axes(
            (left / WIDTH, (top - inner) / total, max(WIDTH - left - right, 2.0) / WIDTH, inner / total)
        )
        figure.text(
            0.0,
            (top + 0.36) / total,
            one_line(panel.title, WIDTH * 72, 10.5, bold=True),
            fontsize=10.5,
            fontweight="bold",
            parse_math=False,
        )
        _draw(panel, ax, left * 72 - 12)
        axes.append(ax)
        top -= inner + below
    return figure, axes


def _label_width(placed: Sequence[_Placed]) -> float:
    """Width of the widest line at the left, in points."""
    return max(text_width(line, SIZE, bold=item.row is None) for item in placed for line in item.lines)


def _draw(panel: ForestPanel, ax: Axes, labels: float = 0.0) -> None:
    placed, height = _place(panel)
    low, high = _limits(panel)
    if panel.ratio:
        ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(height + 0.1, -0.3)
    null = 1.0 if panel.ratio else 0.0
    if any(is_estimated(row.estimate) for row in panel.rows):
        ax.axvline(null, color=QUIET, linewidth=1.0, zorder=1)
    _mark_worthwhile(placed, ax)
    for item in placed:
        if item.row is not None:
            _draw_row(item.row, item.y, ax, low, high)
            _write_right(item.row.estimate, item.y, ax)
    ax.annotate(
        HEAD, (1.0, 1.0), xycoords="axes fraction", xytext=(8, 7), textcoords="offset points",
        fontsize=SIZE - 0.5, color=QUIET, ha="left", va="bottom",
    )  # fmt: skip
    _dress(panel, placed, ax, max(labels, _label_width(placed)))


def _dress(panel: ForestPanel, placed: Sequence[_Placed], ax: Axes, labels: float) -> None:
    """Labels at the left, ticks and units below, no frame."""
    ax.set_yticks([item.y for item in placed], ["\n".join(item.lines) for item in placed])
    for item, tick in zip(placed, ax.get_yticklabels(), strict=True):
        tick.set_parse_math(False)
        tick.set_fontsize(SIZE)
        tick.set_fontweight("bold" if item.row is None else "normal")
        tick.set_multialignment("left")
        tick.set_horizontalalignment("left")
    ax.tick_params(axis="y", length=0, pad=labels + 12)
    number_axis(ax, ratio=panel.ratio, most=9)
    if not any(item.row is not None and is_estimated(item.row.estimate) for item in placed):
        ax.set_xticks([])
    ax.tick_params(axis="x", labelsize=SIZE - 0.5)
    ax.set_xlabel(one_line(panel.axis_label, AXIS, SIZE), fontsize=SIZE, parse_math=False)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="x", color="#e3e8ec", linewidth=0.7, zorder=0)
    ax.set_axisbelow(True)


def _draw_row(row: ForestRow, y: float, ax: Axes, low: float, high: float) -> None:
    if not is_estimated(row.estimate):
        return
    shape, colour, filled, size = MARKS.get(row.role, MARKS["exploratory"])
    estimate = row.estimate
    start, end = (scaled(estimate, value) for value in (estimate.ci_low, estimate.ci_high))
    if not (math.isnan(start) or math.isnan(end)):
        ax.plot(
            [min(max(start, low), high), max(min(end, high), low)],
            [y, y],
            color=colour,
            linewidth=1.7,
            solid_capstyle="butt",
            zorder=3,
        )
        for cut, edge, arrow in ((start < low, low, "<"), (end > high, high, ">")):
            if cut:
                ax.plot([edge], [y], marker=arrow, color=colour, markersize=6, clip_on=False, zorder=4)
    value = scaled(estimate, estimate.estimate)
    if low <= value <= high:
        face = colour if filled else "white"
        ax.plot(
            [value], [y], marker=shape, markersize=size, markerfacecolor=face, markeredgecolor=colour,
            markeredgewidth=1.5, linestyle="none", zorder=5,
        )  # fmt: skip


def _right(estimate: Estimate) -> str:
    interval = interval_text(estimate)
    return effect_text(estimate) if interval == MISSING else f"{effect_text(estimate)} ({interval})"


def _write_right(estimate: Estimate, y: float, ax: Axes) -> None:
    ax.annotate(
        _right(estimate), (1.0, y), xycoords=ax.get_yaxis_transform(), xytext=(8, 0), textcoords="offset points",
        fontsize=SIZE, color=INK if is_estimated(estimate) else QUIET, ha="left", va="center", annotation_clip=False,
    )  # fmt: skip


def _mark_worthwhile(placed: Sequence[_Placed], ax: Axes) -> None:
    for item in placed:
        if item.row is None or item.row.worthwhile is None or not is_estimated(item.row.estimate):
            continue
        value = scaled(item.row.estimate, item.row.worthwhile)
        ax.plot(
            [value, value],
            [item.y - 0.62, item.y + 0.62],
            color=INK,
            linewidth=1.3,
            linestyle=(0, (2, 1.5)),
            zorder=2,
        )


def _limits(panel: ForestPanel) -> tuple[float, float]:
    """Range of the axis as drawn: every sound interval, cut where one is out of all proportion."""
    known = [row for row in panel.axis_rows or panel.rows if is_estimated(row.estimate)]
    sound = [row for row in known if row.trusted] or known
    spans = [_span(row, panel) for row in sound]
    values = [0.0, *(_on_axis(row.estimate.estimate * panel.factor, panel) for row in sound)]
    values += [_on_axis(row.worthwhile * panel.factor, panel) for row in sound if row.worthwhile is not None]
    values = [value for value in values if math.isfinite(value)]
    halves = sorted((high - low) / 2 for low, high in spans if math.isfinite(high - low))
    reach = REACH * halves[(len(halves) - 1) // 2] if halves else max(map(abs, values)) or 1.0
    ends = [end for span in spans for end in span if math.isfinite(end)]
    low = max(min([*ends, *values]), min(values) - reach)
    high = min(max([*ends, *values]), max(values) + reach)
    margin = 0.06 * (high - low) or 0.5
    low, high = low - margin, high + margin
    return (math.exp(low), math.exp(high)) if panel.ratio else (low, high)


def _span(row: ForestRow, panel: ForestPanel) -> tuple[float, float]:
    return (
        _on_axis(row.estimate.ci_low * panel.factor, panel),
        _on_axis(row.estimate.ci_high * panel.factor, panel),
    )


def _on_axis(value: float, panel: ForestPanel) -> float:
    if not panel.ratio or math.isnan(value):
        return value
    return math.log(value) if 0 < value < math.inf else math.copysign(math.inf, value - 1)


def _alt(panels: Sequence[ForestPanel]) -> str:
    parts = []
    for panel in panels:
        rows = "; ".join(f"{row.label}: {_right(row.estimate)}" for row in panel.rows)
        parts.append(f"{panel.title}: {rows}.")
    return "Forest plot. " + " ".join(parts)


def _notes(panels: Sequence[ForestPanel]) -> tuple[str, ...]:
    rows = [row for panel in panels for row in panel.rows]
    notes = ["The vertical line marks no difference."]
    if any(row.worthwhile is not None and is_estimated(row.estimate) for row in rows):
        notes.append("The short dashed line marks the smallest worthwhile effect of the plan.")
    if any(panel.ratio for panel in panels):
        notes.append("Ratios stand on a logarithmic axis.")
    if any(not is_estimated(row.estimate) for row in rows):
        notes.append("An analysis that gave no estimate keeps its line and is marked “not estimated”.")
    return (" ".join(notes),)
