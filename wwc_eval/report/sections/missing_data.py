"""Missing values by variable, arm and local authority, shaded by their share."""

from __future__ import annotations

from wwc_eval.report.blocks import Block, Section, Text
from wwc_eval.report.record import RunRecord
from wwc_eval.report.tables import SHADES, table_block

ORDER = 500
TITLE = "Missing data"


def build(record: RunRecord) -> Section | None:
    """Each table of missing values, as a heat map that can be read without its colours."""
    tables = [table for table in record.missingness if len(table)]
    if not tables:
        return None
    steps = ", ".join(f"{100 * bound:g}%" for bound in SHADES[1:])
    blocks: list[Block] = [Text(text=f"Cells are darker the larger the share missing; the steps are at {steps}.")]
    blocks += [table_block(table, caption="Missing values", heat=True) for table in tables]
    return Section(title=TITLE, blocks=blocks)
