"""Practice against the specification of high-quality practice."""

from __future__ import annotations

from wwc_eval.report.blocks import Block, Section
from wwc_eval.report.record import RunRecord
from wwc_eval.report.sections.supplements import supplement_blocks

ORDER = 670
TITLE = "Fidelity"


def build(record: RunRecord) -> Section | None:
    """Scores and bands, components, rules side by side; nothing without a specification."""
    blocks: list[Block] = []
    for item in record.fidelity:
        blocks += supplement_blocks(item, f"fidelity_{item.key}")
    return Section(title=TITLE, blocks=blocks) if blocks else None
