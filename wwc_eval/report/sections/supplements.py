"""What models show beyond their effects: how alike clusters are, inferences side by side, how the search ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wwc_eval.report.blocks import Block, Details, Heading, Section, Text
from wwc_eval.report.record import RunRecord, Supplement
from wwc_eval.report.tables import table_block
from wwc_eval.report.words import clean, title_case

ORDER = 660
TITLE = "More on each analysis"


def build(record: RunRecord) -> Section | None:
    """Supplements of each analysis; of one that varies another, what differs from it, on request."""
    shown = {result.id: result.supplements for result in record.analyses}
    blocks: list[Block] = []
    for result in record.analyses:
        own = [item for item in result.supplements if not _same(item, shown.get(result.of or "", ()))]
        if not own:
            continue
        inner = [block for item in own for block in _blocks(item)]
        title = title_case(clean(result.title))
        blocks += [Heading(text=title), *inner] if result.of is None else [Details(summary=title, blocks=inner)]
    return Section(title=TITLE, blocks=blocks) if blocks else None


def _same(item: Supplement, others: Sequence[Supplement]) -> bool:
    """Whether the original has a supplement that says the same."""
    return any(_content(item) == _content(other) for other in others)


def _content(item: Supplement) -> tuple[object, ...]:
    # as text: rows may hold NaN, which equals nothing
    return item.key, item.title, item.sentences, str(item.table)


def _blocks(item: Supplement) -> list[Block]:
    """The table with its sentences below, or the sentences under their title."""
    title, sentences = clean(item.title), [clean(text) for text in item.sentences]
    if item.table is None:
        return [Text(text=f"{title}. {' '.join(sentences)}".strip())]
    table = replace(item.table, title=title, notes=(*sentences, *item.table.notes))
    return [table_block(table, verbatim=True)]
