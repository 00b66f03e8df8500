"""What models show beyond their effects: how alike clusters are, inferences side by side, how the search ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from wwc_eval.report.blocks import Block, Details, Figure, Heading, Section, Text
from wwc_eval.report.figures.style import as_bytes, as_svg, new_figure, styled
from wwc_eval.report.record import RunRecord, Supplement
from wwc_eval.report.tables import table_block
from wwc_eval.report.words import clean, minus, title_case

ORDER = 660
TITLE = "More on each analysis"
WIDE = 5
"""Tables with more columns than this are set close, so that they fit."""


def build(record: RunRecord) -> Section | None:
    """Supplements of each analysis; of one that varies another, what differs from it, on request."""
    shown = {result.id: result.supplements for result in record.analyses}
    blocks: list[Block] = []
    for result in record.analyses:
        own = [item for item in result.supplements if not _same(item, shown.get(result.of or "", ()))]
        if not own:
            continue
        inner = [block for item in own for block in supplement_blocks(item, _stem(result.id, item.key))]
        title = title_case(clean(result.title))
        blocks += [Heading(text=title), *inner] if result.of is None else [Details(summary=title, blocks=inner)]
    return Section(title=TITLE, blocks=blocks) if blocks else None


def _stem(*parts: str) -> str:
    """Name of a picture's files."""
    return re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")


def _same(item: Supplement, others: Sequence[Supplement]) -> bool:
    """Whether the original has a supplement that says the same."""
    return any(_content(item) == _content(other) for other in others)


def _content(item: Supplement) -> tuple[object, ...]:
    # as text: rows may hold NaN, which equals nothing
    return item.key, item.title, item.sentences, str(item.table)


def supplement_blocks(item: Supplement, name: str) -> list[Block]:
    """The picture, then the table with its sentences below, or the sentences under their title.

    ``name`` is the stem of the picture's files.
    """
    title, sentences = clean(item.title), [minus(clean(text)) for text in item.sentences]
    blocks: list[Block] = [] if item.draw is None else [_picture(item, name)]
    if item.table is None:
        if item.draw is None:
            return [Text(text=f"{title}. {' '.join(sentences)}".strip())]
        return [*blocks, Text(text=" ".join(sentences))] if sentences else blocks
    table = replace(item.table, title=title, notes=(*sentences, *item.table.notes))
    wide = len(table.columns) > WIDE
    return [*blocks, table_block(table, compact=wide, verbatim=True)]


def _picture(item: Supplement, name: str) -> Figure:
    assert item.draw is not None
    with styled():
        figure = new_figure(7.6, 4.4)
        figure.set_layout_engine("constrained")
        item.draw(figure.subplots())
        return Figure(
            name=name,
            title=clean(item.title),
            alt=clean(item.alt or item.title),
            svg=as_svg(figure),
            png=as_bytes(figure, "png"),
        )
