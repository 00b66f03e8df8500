"""Participant flow (CONSORT)."""

from __future__ import annotations

from wwc_eval.report.blocks import Section, Text
from wwc_eval.report.figures.flow_drawing import flow_figure
from wwc_eval.report.figures.flow_layout import STAGES, STAGES_OBSERVED
from wwc_eval.report.reading import of_changes
from wwc_eval.report.record import RunRecord

ORDER = 300
TITLE = "Participant flow"


def build(record: RunRecord) -> Section | None:
    """The flow as a diagram; its words stand in the drawing's description."""
    if not record.flow.boxes:
        return None
    singular = {
        record.units[many]: record.units[one]
        for one, many in (("unit", "units"), ("row", "rows"))
        if one in record.units and many in record.units
    }
    found = of_changes(record)
    words = (
        "What was received, excluded and analysed, by arm, with the reasons for leaving. Arms were not formed at random."
        if found
        else "Who was received, excluded, allocated, lost and analysed, by arm, with the reasons for leaving."
    )
    drawn = flow_figure(record.flow, singular, STAGES_OBSERVED if found else STAGES)
    return Section(title=TITLE, blocks=[Text(text=words), drawn])
