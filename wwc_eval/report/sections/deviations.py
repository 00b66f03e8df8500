"""Declared deviations from the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wwc_eval.report.blocks import Block, Facts, Section, Text
from wwc_eval.report.record import RunRecord
from wwc_eval.report.words import clean, day, flatten, humanise, title_case
from wwc_eval.table import MISSING

ORDER = 800
TITLE = "Deviations from the plan"

_FIELDS = {
    "field": "What was changed",
    "old": "As planned",
    "new": "As done",
    "reason": "Reason",
    "impact": "Impact",
    "state_of_knowledge": "What was known at the time",
    "knowledge": "What was known at the time",
    "who": "Who decided",
    "when": "When",
}


def build(record: RunRecord) -> Section:
    """Each deviation in full, or that none was declared."""
    if not record.deviations:
        return Section(title=TITLE, blocks=[Text(text="None declared.")])
    blocks: list[Block] = [
        Text(
            text="A deviation never replaces what was planned: the planned analysis stands beside the changed one."
        )
    ]
    blocks += [_one(number, deviation) for number, deviation in enumerate(record.deviations, start=1)]
    return Section(title=TITLE, blocks=blocks)


def _one(number: int, deviation: Mapping[str, Any]) -> Facts:
    pairs: list[tuple[str, str | tuple[str, ...]]] = [
        (label, _value(key, deviation[key])) for key, label in _FIELDS.items() if key in deviation
    ]
    known = {*_FIELDS, "id"}
    rest = {key: value for key, value in deviation.items() if key not in known and value not in (None, {}, [], ())}
    pairs += [(title_case(humanise(key)), _value(key, value)) for key, value in rest.items()]
    name = f" ({clean(deviation['id'])})" if deviation.get("id") else ""
    return Facts(caption=f"Deviation {number}{name}", pairs=pairs)


def _value(key: str, value: Any) -> str | tuple[str, ...]:
    if value is None or value == "":
        return MISSING
    if key == "when":
        return day(value)
    if isinstance(value, Mapping):
        return tuple(f"{name}: {text}" for name, text in flatten(value))
    return clean(next(flatten(value))[1]) if not isinstance(value, str) else clean(value)
