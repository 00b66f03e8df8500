"""Baseline characteristics by arm."""

from __future__ import annotations

from wwc_eval.report.blocks import Block, Section, Text
from wwc_eval.report.figures.love import love_figure
from wwc_eval.report.reading import drawn_by_lot, of_changes, rests_on_draw
from wwc_eval.report.record import RunRecord
from wwc_eval.report.tables import table_block
from wwc_eval.table import Table

ORDER = 400
TITLE = "Baseline characteristics"


def build(record: RunRecord) -> Section | None:
    """Table and love plot, without tests: chance alone makes arms differ after randomisation."""
    table = _untested(record.baseline)
    if not len(table):
        return None
    if len(record.arms) == 1:
        return Section(title=TITLE, blocks=[table_block(table, caption="Baseline characteristics")])
    words = (
        f"{_rests_on(record)} They are compared by standardised differences, without tests."
        if of_changes(record)
        else "Arms are compared by standardised differences. No tests of baseline differences are made: when arms are "
        "formed at random, a test answers no question."
    )
    blocks: list[Block] = [Text(text=words), table_block(table, caption="Baseline characteristics by arm")]
    figure = love_figure(table, record.arms)
    return Section(title=TITLE, blocks=[*blocks, figure] if figure is not None else blocks)


def _untested(table: Table) -> Table:
    """The table without columns of p-values, should a room have put any in."""
    kept = [column for column in table.columns if column.kind != "p_value"]
    rows = [{column.name: row[column.name] for column in kept} for row in table.rows]
    return Table(rows, kept, title=table.title, notes=table.notes)


def _rests_on(record: RunRecord) -> str:
    """How arms over time came about, and what their comparison rests on."""
    if rests_on_draw(record):
        return "What the effect rests on is that who began when was drawn by lot, or as good as: arms then differ by chance alone."
    origin = "Arms were not formed at random, so they may differ"
    if drawn_by_lot(record):
        origin = "Who began when was drawn by lot among those that took part, and arms may differ in who did"
    return f"{origin}: what the effect rests on is that their trends would have been parallel."
