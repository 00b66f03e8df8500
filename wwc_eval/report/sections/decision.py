"""What the decision rules of a pilot say, before everything else."""

from __future__ import annotations

from wwc_eval.report.blocks import Block, Notice, Section, Text
from wwc_eval.report.record import RunRecord
from wwc_eval.report.sections.supplements import supplement_blocks
from wwc_eval.report.words import clean, pick

ORDER = 90
TITLE = "The decision"


def build(record: RunRecord) -> Section | None:
    """The recommendation, then the criteria under each heading; nothing for a trial."""
    if not record.decision:
        return None
    first, *rest = record.decision
    question = pick(record.plan, "question")
    blocks: list[Block] = [Text(text=clean(question), style="lead")] if question else []
    blocks.append(Notice(title=clean(first.title), lines=[clean(text) for text in first.sentences], tone="plain"))
    for item in rest:
        blocks += supplement_blocks(item, f"decision_{item.key}")
    return Section(title=TITLE, blocks=blocks)
