"""The headline's interval on a ruler, with no difference and the smallest worthwhile effect marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wwc_eval.estimate import Estimate
from wwc_eval.report.blocks import Figure
from wwc_eval.report.contrasts import contrast
from wwc_eval.report.figures.axis import number_axis
from wwc_eval.report.figures.style import INK, NAVY, QUIET, as_bytes, as_svg, new_figure, styled
from wwc_eval.report.figures.textsize import drawable, one_line, text_width, wrap
from wwc_eval.report.record import AnalysisResult
from wwc_eval.report.words import (
    effect_text,
    interval_text,
    is_ratio,
    null_value,
    scaled,
    title_case,
    units_words,
    value_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ruler_figure"]

WIDTH, ROW, SIZE, LABEL = 9.0, 0.46, 9.0, 2.6


def ruler_figure(
    estimates: Sequence[Estimate], result: AnalysisResult, limit: float | None, *, name: str
) -> Figure | None:
    """Intervals of a headline on one ruler; None where no interval is finite or the fit is unsound.

    Parameters
    ----------
    estimates : sequence of Estimate
        The headline's contrasts, on one scale.
    result : AnalysisResult
        The analysis they are of.
    limit : float or None
        Smallest worthwhile effect on the scale of the estimates.
    name : str
        Stem of the files.
    """
    sound = [one for one in estimates if math.isfinite(one.ci_low) and math.isfinite(one.ci_high)]
    if (
        not sound
        or result.status in {"separated", "failed"}
        or (is_ratio(sound[0]) and any(one.ci_low <= 0 for one in sound))
    ):
        return None
    with styled():
        names = [drawable(contrast(one, result)) for one in sound] if len(sound) > 1 else [""]
        wrapped = [wrap(name, LABEL * 72, SIZE, lines=2) for name in names]
        labels = ["\n".join(lines) for lines in wrapped]
        left = max(text_width(line, SIZE) for lines in wrapped for line in lines) / 72 + 0.3
        height = ROW * len(sound)
        total = height + 1.12
        figure = new_figure(WIDTH, total)
        ax = figure.add_axes((left / WIDTH, 0.58 / total, (WIDTH - left - 0.3) / WIDTH, height / total))
        _draw(ax, sound, labels, limit, result.better)
        svg, png = as_svg(figure), as_bytes(figure, "png")
    return Figure(
        name=name,
        title=f"The effect and its interval against no difference{' and the smallest worthwhile effect' if limit is not None else ''}",
        alt=_alt(sound, result, limit),
        svg=svg,
        png=png,
    )


def _draw(ax: Axes, sound: Sequence[Estimate], labels: Sequence[str], limit: float | None, better: str) -> None:
    first = sound[0]
    null = null_value(first)
    marks = [scaled(first, value) for one in sound for value in (one.ci_low, one.ci_high, null)]
    marks += [scaled(first, limit)] if limit is not None else []
    if is_ratio(first):
        ax.set_xscale("log")
        margin = 0.12 * (math.log(max(marks)) - math.log(min(marks)))
        ax.set_xlim(min(marks) * math.exp(-margin), max(marks) * math.exp(margin))
    else:
        margin = 0.12 * (max(marks) - min(marks)) or 1.0
        ax.set_xlim(min(marks) - margin, max(marks) + margin)
    ax.set_ylim(len(sound), 0)
    _reference(ax, scaled(first, null), "no difference", dashed=False)
    if limit is not None:
        _reference(ax, scaled(first, limit), "smallest worthwhile", dashed=True)
    for position, one in enumerate(sound):
        y = position + 0.5
        ax.plot(
            [scaled(one, one.ci_low), scaled(one, one.ci_high)],
            [y, y],
            color=NAVY,
            linewidth=7,
            solid_capstyle="round",
            alpha=0.32,
        )
        ax.plot([scaled(one, one.estimate)], [y], marker="o", markersize=10, color=NAVY, zorder=4)
    ax.set_yticks([position + 0.5 for position in range(len(labels))], labels)
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
        tick.set_fontsize(SIZE)
    ax.tick_params(axis="y", length=0, pad=8)
    number_axis(ax, ratio=is_ratio(first), most=10)
    ax.tick_params(axis="x", labelsize=SIZE - 0.5)
    ax.set_xlabel(one_line(_axis(first, better), 400, SIZE), fontsize=SIZE, parse_math=False)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)


def _reference(ax: Axes, value: float, words: str, *, dashed: bool) -> None:
    style = (0, (3, 2)) if dashed else "solid"
    ax.axvline(value, color=INK if dashed else QUIET, linewidth=1.2, linestyle=style, zorder=1)
    ax.annotate(
        words, (value, 1.0), xycoords=ax.get_xaxis_transform(), xytext=(0, 16 if dashed else 4),
        textcoords="offset points", ha="center", va="bottom", fontsize=SIZE - 0.5, color=INK,
    )  # fmt: skip


def _axis(first: Estimate, better: str) -> str:
    null = "1" if is_ratio(first) else "0"
    side = {
        "lower": f" (below {null} is better for children)",
        "higher": f" (above {null} is better for children)",
    }
    return title_case(units_words(first)) + side.get(better, "")


def _alt(sound: Sequence[Estimate], result: AnalysisResult, limit: float | None) -> str:
    parts = [
        f"{contrast(one, result)}: {effect_text(one)} {units_words(one)}, interval {interval_text(one)}"
        for one in sound
    ]
    tail = f"; smallest worthwhile effect {value_text(sound[0], limit)}" if limit is not None else ""
    return f"Interval on a ruler. {'; '.join(parts)}{tail}."
