"""Participant flow (CONSORT)."""

from __future__ import annotations

from wwc_eval.report.blocks import Section, Text
from wwc_eval.report.figures.flow_drawing import flow_figure
from wwc_eval.report.figures.flow_layout import STAGES, STAGES_OBSERVED
from wwc_eval.report.reading import drawn_by_lot, of_changes, rests_on_draw
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
    origin = "Arms were not formed at random."
    if rests_on_draw(record):
        origin = "Who began when is analysed as drawn by lot."
    if drawn_by_lot(record):
        origin = "Who began when was drawn by lot."
    words = (
        f"What was received, excluded and analysed, by arm, with the reasons for leaving. {origin}"
        if found
        else "Who was received, excluded, allocated, lost and analysed, by arm, with the reasons for leaving."
    )
    drawn = flow_figure(record.flow, singular, STAGES_OBSERVED if found else STAGES)
    return Section(title=TITLE, blocks=[Text(text=words), drawn])
