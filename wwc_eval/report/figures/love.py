"""Love plot: standardised differences of the baseline characteristics."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING

from wwc_eval.report.blocks import Figure
from wwc_eval.report.figures.style import OKABE_ITO, QUIET, as_bytes, as_svg, new_figure, styled
from wwc_eval.report.figures.textsize import drawable, text_width, wrap
from wwc_eval.report.words import clean, title_case
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["difference_columns", "love_figure"]

NOTABLE = 0.10
WIDTH, LINE, SIZE, LABEL = 9.0, 0.205, 9.0, 3.4
MARKS = (("o", OKABE_ITO["blue"]), ("s", OKABE_ITO["vermillion"]), ("^", OKABE_ITO["green"]))
_NAMES = re.compile(r"smd|std|standardi[sz]ed", re.IGNORECASE)


def difference_columns(table: Table) -> list[Column]:
    """Columns of a baseline table that hold standardised differences."""
    return [
        column
        for column in table.columns
        if column.kind == "number" and _NAMES.search(f"{column.name} {column.heading}")
    ]


def love_figure(table: Table, arms: Sequence[str] = (), name: str = "balance") -> Figure | None:
    """The standardised differences of a baseline table as dots; None where it has none.

    Parameters
    ----------
    table : Table
        Baseline table: text columns that name a row, and columns of standardised differences.
    arms : sequence of str
        Arms: a text column that bears an arm's name holds figures and is no part of a row's label.
    name : str
        Stem of the files.
    """
    heads = _heads(table, arms)
    columns = difference_columns(table)
    labels = _labels(table, heads, columns)
    values = [[_number(row[column.name]) for column in columns] for row in table.rows]
    rows = [pair for pair in zip(labels, values, strict=True) if any(value is not None for value in pair[1])]
    if not rows:
        return None
    with styled():
        wrapped = [wrap(drawable(label), LABEL * 72, SIZE, lines=2) for label, _ in rows]
        height = sum(len(lines) + 0.35 for lines in wrapped) * LINE
        legend = 0.34 if len(columns) > 1 else 0.08
        total = height + 0.7 + legend
        left = max(text_width(line, SIZE) for lines in wrapped for line in lines) / 72 + 0.2
        figure = new_figure(WIDTH, total)
        ax = figure.add_axes((left / WIDTH, 0.62 / total, (WIDTH - left - 0.2) / WIDTH, height / total))
        _draw(ax, wrapped, [known for _, known in rows], columns)
        svg, png = as_svg(figure), as_bytes(figure, "png")
    return Figure(
        name=name,
        title="Standardised differences at baseline",
        alt=_alt(rows),
        svg=svg,
        png=png,
        notes=(
            (
                "Each mark is the difference between arms in standard deviations. The band covers −0.1 to 0.1, "
                "inside which a difference is usually held to be small."
            ),
        ),
    )


def _draw(
    ax: Axes, labels: Sequence[list[str]], rows: Sequence[Sequence[float | None]], columns: Sequence[Column]
) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    middles, y = [], 0.0
    for lines in labels:
        middles.append(y + len(lines) / 2)
        y += len(lines) + 0.35
    ax.set_ylim(y, 0)
    largest = max([abs(value) for values in rows for value in values if value is not None], default=0.0)
    limit = max(1.15 * largest, 0.25)
    ax.set_xlim(-limit, limit)
    ax.axvspan(-NOTABLE, NOTABLE, color="#e8f0f6", linewidth=0, zorder=0)
    ax.axvline(0, color=QUIET, linewidth=1.0, zorder=1)
    for position, column in enumerate(columns):
        shape, colour = MARKS[position % len(MARKS)]
        points = [
            (value, middle)
            for values, middle in zip(rows, middles, strict=True)
            if (value := values[position]) is not None
        ]
        ax.plot(
            [point[0] for point in points], [point[1] for point in points], marker=shape, linestyle="none",
            markersize=6.5, markerfacecolor=colour if position % 2 == 0 else "white", markeredgecolor=colour,
            markeredgewidth=1.5, label=drawable(title_case(column.heading)), zorder=3,
        )  # fmt: skip
    ax.set_yticks(middles, ["\n".join(lines) for lines in labels])
    for tick in ax.get_yticklabels():
        tick.set_parse_math(False)
        tick.set_fontsize(SIZE)
        tick.set_multialignment("right")
    ax.tick_params(axis="y", length=0, pad=8)
    ax.tick_params(axis="x", labelsize=SIZE - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}".replace("-", "−")))
    ax.set_xlabel("Standardised difference", fontsize=SIZE)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="y", color="#e3e8ec", linewidth=0.7, zorder=0)
    ax.set_axisbelow(True)
    if len(columns) > 1:
        legend = ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=len(columns),
            frameon=False,
            fontsize=SIZE,
            borderaxespad=0.2,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def _heads(table: Table, arms: Sequence[str]) -> list[Column]:
    """Leading text columns, at most two, that say what a row is of."""
    heads: list[Column] = []
    for column in table.columns[:2]:
        words = f"{column.name} {column.heading}".casefold()
        if column.numeric or (heads and any(arm.casefold() in words for arm in arms)):
            break
        heads.append(column)
    return heads


def _labels(table: Table, heads: Sequence[Column], columns: Sequence[Column]) -> list[str]:
    """Words of each row: its characteristic, and its level where several levels have differences of their own.

    A blank characteristic continues the one above.
    """
    names: list[str] = []
    for row in table.rows:
        name = title_case(clean(row[heads[0].name] or "")) if heads else ""
        names.append(name or (names[-1] if names else ""))
    known = [any(_number(row[column.name]) is not None for column in columns) for row in table.rows]
    valued = Counter(name for name, has in zip(names, known, strict=True) if has)
    labels = []
    for name, row in zip(names, table.rows, strict=True):
        level = clean(row[heads[1].name] or "") if len(heads) > 1 else ""
        labels.append(f"{name}: {level}" if level and valued[name] > 1 else name)
    return labels


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(float(value)):
        return None
    return float(value)


def _alt(rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    sizes = [(abs(value), label) for label, values in rows for value in values if value is not None]
    largest, label = max(sizes)
    beyond = sum(size > NOTABLE for size, _ in sizes)
    counted = "none is" if beyond == 0 else ("one is" if beyond == 1 else f"{beyond} are")
    return (
        f"Plot of {len(sizes)} standardised differences between arms: {counted} larger than 0.1 in size; "
        f"the largest is {largest:.2f} ({label}). The figures stand in the table beside it."
    )
