"""The participant flow as SVG (its text stays text) and through Matplotlib as pixels."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from wwc_eval.data.flow import Flow
from wwc_eval.report.blocks import Figure
from wwc_eval.report.figures.flow_layout import STAGES, FlowLayout, Line, layout_flow
from wwc_eval.report.figures.style import FONTS, INK, NAVY, QUIET, as_bytes, new_figure, styled
from wwc_eval.report.figures.textsize import drawable
from wwc_eval.report.words import clean, counts_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flow_figure", "flow_svg", "flow_words"]

FILLS: Mapping[str, tuple[str, str]] = {
    "plain": ("#ffffff", NAVY),
    "side": ("#f4f6f8", "#7b8894"),
    "arm": (NAVY, NAVY),
}
LINE = "#44525f"
TITLE = "Participant flow"
HEAD = 7.0  # length of an arrow head


def flow_svg(flow: Flow, units: Mapping[str, str] | None = None, stages: Mapping[str, str] = STAGES) -> str:
    """The participant flow (CONSORT) as an SVG document.

    Parameters
    ----------
    flow : Flow
        Boxes from top to bottom; two to four arms stand side by side.
    units : mapping, optional
        Plural words of a unit to its singular, for counts of one.
    stages : mapping
        Word at the side for each kind of box.

    Returns
    -------
    str
        SVG with ``<title>`` and ``<desc>``; every text escaped.

    Source: Hopewell et al. 2025, CONSORT 2025 statement, https://doi.org/10.1136/bmj-2024-081123

    Examples
    --------
    >>> from wwc_eval.data.flow import Flow, FlowBox
    >>> box = FlowBox(kind="received", label="Randomised", counts={"families": 1500})
    >>> flow_svg(Flow(arms=("usual", "conference"), boxes=(box,))).startswith("<svg")
    True
    """
    layout = layout_flow(flow, units, stages)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width:g} {layout.height:g}" '
            f'role="img" aria-labelledby="flow-title flow-desc" font-family="{escape(FONTS)}">'
        ),
        f'<title id="flow-title">{TITLE}</title>',
        f'<desc id="flow-desc">{escape(flow_words(flow, units))}</desc>',
    ]
    parts += [_svg_line(line) for line in layout.lines]
    for box in layout.boxes:
        fill, edge = FILLS[box.role]
        parts.append(
            f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="4" '
            f'fill="{fill}" stroke="{edge}" stroke-width="1.25"/>'
        )
    for text in layout.texts:
        weight = ' font-weight="700"' if text.bold else ""
        anchor = ' text-anchor="middle"' if text.role == "arm" else ""
        parts.append(
            f'<text x="{text.x:.1f}" y="{text.y:.1f}" font-size="{text.size:g}"{weight}{anchor} '
            f'fill="{_ink(text.role)}">{escape(clean(text.text))}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def flow_words(flow: Flow, units: Mapping[str, str] | None = None) -> str:
    """The flow as sentences, for who cannot see it."""
    sentences = []
    for box in flow.boxes:
        head = f"{clean(box.arm)}: {clean(box.label)}" if box.arm is not None else clean(box.label)
        counts = f": {counts_text(box.counts, units)}" if box.counts else ""
        reasons = "; ".join(f"{clean(reason)}: {counts_text(found, units)}" for reason, found in box.reasons)
        sentences.append(f"{head}{counts}" + (f" ({reasons})" if reasons else "") + ".")
    return " ".join(sentences)


def flow_figure(flow: Flow, units: Mapping[str, str] | None = None, stages: Mapping[str, str] = STAGES) -> Figure:
    """The participant flow as a figure of the report."""
    return Figure(
        name="flow",
        title="Participant flow",
        alt=flow_words(flow, units),
        svg=flow_svg(flow, units, stages),
        png=_pixels(layout_flow(flow, units, stages)),
        inline=True,
        notes=tuple(flow.notes),
    )


def _ink(role: str) -> str:
    return {"arm": "#ffffff", "stage": QUIET}.get(role, INK)


def _svg_line(line: Line) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.points)
    drawn = f'<polyline points="{points}" fill="none" stroke="{LINE}" stroke-width="1.5"/>'
    if not line.arrow:
        return drawn
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in _arrow_head(line))
    return f'{drawn}\n<polygon points="{corners}" fill="{LINE}"/>'


def _arrow_head(line: Line) -> tuple[tuple[float, float], ...]:
    (x0, y0), (x1, y1) = line.points[-2:]
    if x0 == x1:
        back = y1 - HEAD if y1 > y0 else y1 + HEAD
        return (x1, y1), (x1 - HEAD / 2, back), (x1 + HEAD / 2, back)
    back = x1 - HEAD if x1 > x0 else x1 + HEAD
    return (x1, y1), (back, y1 - HEAD / 2), (back, y1 + HEAD / 2)


def _pixels(layout: FlowLayout) -> bytes:
    with styled():
        figure = new_figure(layout.width / 96, layout.height / 96)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, layout.width)
        axes.set_ylim(layout.height, 0)
        axes.set_axis_off()
        _draw(layout, axes)
        return as_bytes(figure, "png")


def _draw(layout: FlowLayout, axes: Axes) -> None:
    from matplotlib.patches import Polygon, Rectangle

    for line in layout.lines:
        axes.plot(*zip(*line.points, strict=True), color=LINE, linewidth=1.1, solid_capstyle="butt")
        if line.arrow:
            axes.add_patch(Polygon(_arrow_head(line), closed=True, color=LINE, linewidth=0))
    for box in layout.boxes:
        fill, edge = FILLS[box.role]
        axes.add_patch(
            Rectangle(
                (box.x, box.y), box.width, box.height, facecolor=fill, edgecolor=edge, linewidth=0.9, zorder=3
            )
        )
    for text in layout.texts:
        axes.text(
            text.x,
            text.y,
            drawable(text.text),
            fontsize=text.size * 0.75,
            fontweight="bold" if text.bold else "normal",
            color=_ink(text.role),
            ha="center" if text.role == "arm" else "left",
            va="baseline",
            zorder=4,
            parse_math=False,
        )
