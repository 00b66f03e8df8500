"""Design and estimand, as the plan states them, and what the run found of the design."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wwc_eval.estimate import RATIO_SCALES
from wwc_eval.report.blocks import Block, Bullets, Cell, DataTable, Facts, Heading, Section, Text
from wwc_eval.report.record import RunRecord, Supplement
from wwc_eval.report.schedule import schedule_table
from wwc_eval.report.words import clean, day, flatten, humanise, listed, minus, pick, title_case
from wwc_eval.table import MISSING

ORDER = 200
TITLE = "Design and estimand"

_ESTIMAND = {
    "population": "Population",
    "treatment": "Treatment",
    "comparator": "Comparator",
    "outcome": "Outcome",
    "summary": "Summary measure",
}
_LENGTHS = ("years", "months", "weeks", "days")
_KINDS = {
    "individual": "Randomised trial",
    "cluster": "Cluster-randomised trial",
    "stepped_wedge": "Stepped-wedge trial",
    "did": "Difference in differences",
    "pilot": "Pilot",
}
_UNITS = {"did": "What took up the programme, or did not", "pilot": "What is counted"}


def build(record: RunRecord) -> Section | None:
    """Estimand, design, randomisation, outcomes and exclusions."""
    blocks: list[Block] = []
    estimand = _estimand(record)
    if estimand:
        blocks.append(Facts(caption="Estimand: what is being estimated", pairs=estimand))
    design = _design(record)
    if design:
        blocks.append(Facts(caption="Design", pairs=design))
    blocks += [block for item in record.design for block in _found(item)]
    wedge = pick(record.plan, "design.wedge", {})
    schedule = schedule_table(wedge, record.arms) if isinstance(wedge, Mapping) else None
    if schedule is not None:
        blocks.append(schedule)
    outcomes = _outcomes(record)
    if outcomes is not None:
        blocks.append(outcomes)
    exclusions = _exclusions(record.plan)
    if exclusions:
        blocks += [Heading(text="Exclusions set out in the plan"), Bullets(items=exclusions)]
    return Section(title=TITLE, blocks=blocks) if blocks else None


def _estimand(record: RunRecord) -> list[tuple[str, str | tuple[str, ...]]]:
    stated = pick(record.plan, "estimand", {})
    if not isinstance(stated, Mapping):
        return [("Estimand", clean(stated))]
    pairs: list[tuple[str, str | tuple[str, ...]]] = []
    for key, label in _ESTIMAND.items():
        if stated.get(key) is not None:
            text = humanise(stated[key]) if key == "summary" else clean(stated[key])
            pairs.append((label, _label_of(record, text) if key == "outcome" else text))
    events = stated.get("intercurrent")
    if isinstance(events, Mapping) and events:
        pairs.append(
            ("Intercurrent events", tuple(f"{title_case(clean(k))}: {humanise(v)}" for k, v in events.items()))
        )
    rest = {
        key: value
        for key, value in stated.items()
        if key not in {*_ESTIMAND, "intercurrent", "treatment_arm", "comparator_arm"} and value is not None
    }
    return [*pairs, *((title_case(name), text) for name, text in flatten(rest))]


def _label_of(record: RunRecord, name: str) -> str:
    labels = {result.outcome: clean(result.outcome_label) for result in record.analyses}
    label = labels.get(name)
    return f"{title_case(label)} ({name})" if label and label != name else name


def _design(record: RunRecord) -> list[tuple[str, str | tuple[str, ...]]]:
    plan = record.plan
    pairs: list[tuple[str, str | tuple[str, ...]]] = []
    kind = pick(plan, "design.kind")
    if kind is not None:
        pairs.append(("Kind", _KINDS.get(str(kind), title_case(humanise(kind)))))
    if pick(plan, "design.unit") is not None:
        within = pick(plan, "design.within")
        inside = f", within each {listed([humanise(part) for part in _many(within)])}" if within else ""
        what = _UNITS.get(str(kind), "What is randomised")
        pairs.append((what, f"{title_case(humanise(plan['design']['unit']))}{inside}"))
    pairs.append(("Arms" if len(record.arms) > 1 else "Arm", _arms(record)))
    randomisation = pick(plan, "randomisation", {})
    if isinstance(randomisation, Mapping) and randomisation:
        pairs.append(
            (
                "Randomisation",
                tuple(f"{title_case(name)}: {humanise(text)}" for name, text in flatten(dict(randomisation))),
            )
        )
    # what the size rests on is told with what the run found of it
    shown = {"kind", "unit", "units", "unit_column", "arm_column", "within", "arms", "power"}
    for key, value in (pick(plan, "design", {}) or {}).items():
        if key == "wedge" and isinstance(value, Mapping):
            # dates stand in a table of their own
            value = {name: each for name, each in value.items() if name not in {"periods", "go_live"}}  # noqa: PLW2901
        if key not in shown and value is not None:
            pairs.append((title_case(humanise(key)), _lines(value)))
    return pairs


def _found(item: Supplement) -> list[Block]:
    """A fact and its value a row, with the sentences below."""
    blocks: list[Block] = []
    if item.table is not None:
        names = [column.name for column in item.table.columns]
        pairs: list[tuple[str, str | tuple[str, ...]]] = [
            (clean(row[names[0]]), clean(row[names[1]])) for row in item.table.to_dicts()
        ]
        blocks.append(Facts(caption=clean(item.title), pairs=pairs))
    if item.sentences:
        blocks.append(Text(text=" ".join(clean(text) for text in item.sentences)))
    return blocks


def _arms(record: RunRecord) -> tuple[str, ...] | str:
    ratio = pick(record.plan, "design.arms", {})
    lines = []
    # where nothing is allocated, the numbers behind the arms are no ratio
    allocated = str(pick(record.plan, "design.kind")) not in _UNITS
    for position, arm in enumerate(record.arms):
        share = ratio.get(arm) if isinstance(ratio, Mapping) and allocated else None
        told = ["reference"] if position == 0 and len(record.arms) > 1 else []
        told += [f"allocation weight {clean(share)}"] if share is not None else []
        tail = f" ({', '.join(told)})" if told else ""
        lines.append(title_case(clean(arm)) + tail)
    return tuple(lines) or MISSING


def _lines(value: Any) -> str | tuple[str, ...]:
    pairs = list(flatten(value))
    if len(pairs) == 1 and not pairs[0][0]:
        return pairs[0][1]
    return tuple(f"{title_case(name)}: {text}" for name, text in pairs)


def _outcomes(record: RunRecord) -> DataTable | None:
    outcomes = [outcome for outcome in pick(record.plan, "outcomes", ()) if isinstance(outcome, Mapping)]
    if not outcomes:
        return None
    rows = []
    for outcome in outcomes:
        better = outcome.get("better")
        rows.append(
            [
                Cell(text=_label_of(record, clean(outcome.get("name", MISSING))), header=True),
                Cell(text=title_case(humanise(outcome.get("role", MISSING)))),
                Cell(text=_kind(outcome)),
                Cell(text=f"{title_case(clean(better))} is better" if better in {"lower", "higher"} else MISSING),
                Cell(text=_limit(record, outcome), numeric=True),
                Cell(text=_window(outcome.get("window"))),
            ]
        )
    names = ("Outcome", "Role", "Type", "Direction", "Smallest worthwhile effect", "Window")
    headings = [Cell(text=name, numeric=name.startswith("Smallest")) for name in names]
    return DataTable(caption="Outcomes", headings=headings, rows=rows)


def _kind(outcome: Mapping[str, Any]) -> str:
    kind = title_case(humanise(outcome.get("type", MISSING)))
    return f"{kind}, successes of {clean(outcome['trials'])}" if outcome.get("trials") else kind


def _limit(record: RunRecord, outcome: Mapping[str, Any]) -> str:
    """Smallest worthwhile effect: percentage points for a yes or no outcome, unless the estimand is a ratio."""
    value = outcome.get("smallest_worthwhile")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return MISSING
    stated = pick(record.plan, "estimand", {})
    summary = (
        stated.get("summary")
        if isinstance(stated, Mapping) and stated.get("outcome") == outcome.get("name")
        else None
    )
    if outcome.get("type") == "binary" and summary not in RATIO_SCALES:
        return minus(f"{100 * value:g} percentage points")
    return minus(f"{value:g}")


def _window(window: object) -> str:
    """``12 months from randomisation``, or whatever the plan says of the time point."""
    if not isinstance(window, Mapping):
        return clean(window) if window else MISSING
    length = [f"{clean(window[unit])} {unit}" for unit in _LENGTHS if window.get(unit) is not None]
    start = [f"from {day(window['from'])}"] if window.get("from") is not None else []
    known = {*_LENGTHS, "from", "exposure"}
    rest = {key: value for key, value in window.items() if key not in known and value is not None}
    exposed = [f"counted for: {clean(window['exposure'])}"] if window.get("exposure") else []
    return ", ".join(
        [" ".join([*length, *start]), *(f"{name} {day(text)}" for name, text in flatten(rest)), *exposed]
    ).strip(", ")


def _exclusions(plan: Mapping[str, Any]) -> list[str]:
    found = pick(plan, "data.exclusions", pick(plan, "exclusions", ()))
    lines = []
    for item in found if isinstance(found, (list, tuple)) else ():
        if isinstance(item, Mapping):
            reason = clean(item.get("reason", "")) or "No reason given"
            lines.append(f"{title_case(reason)}: {clean(item.get('rule', MISSING))}")
        else:
            lines.append(clean(item))
    return lines


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
