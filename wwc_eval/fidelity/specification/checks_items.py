"""What an item must say together with the rest: its component, unit, scale, criterion, codes and condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wwc_eval.data.yaml_text import Path
from wwc_eval.errors import FormulaError, Problem
from wwc_eval.fidelity.specification.document import Item, MissingCodes
from wwc_eval.fidelity.specification.findings import Read
from wwc_eval.fidelity.specification.scales import BinaryScale, DoseScale, NumberScale, OrdinalScale
from wwc_eval.formula import parse_condition

__all__ = ["item_problems"]

RESERVED = ("item", "rater", "respondent", "value", "date")


def item_problems(read: Read) -> Iterator[Problem]:
    """Faults of every item, and of respondents that no item names."""
    yield from _codes(read, ("spec", "missing"), read.document.spec.missing, list(read.document.items))
    named: set[str] = set()
    for index, item in enumerate(read.document.items):
        path: Path = ("items", index)
        if item.component not in read.components:
            yield read.unknown((*path, "component"), "component", item.component, read.components)
        if item.unit is not None and item.unit not in read.units:
            yield read.unknown((*path, "unit"), "unit", item.unit, read.units)
        yield from _scale(read, path, item)
        yield from _criterion(read, path, item)
        yield from _condition(read, path, item)
        if item.missing is not None:
            yield from _codes(read, (*path, "missing"), item.missing, [item])
        for place, respondent in enumerate(item.respondents):
            named.add(respondent)
            if respondent not in read.document.spec.respondents:
                declared = read.document.spec.respondents
                where = (*path, "respondents", place)
                yield read.unknown(where, "respondent", respondent, declared)
    for respondent, weight in read.document.spec.respondents.items():
        path = ("spec", "respondents", respondent)
        if respondent not in named:
            message = f"no item names respondent '{respondent}'"
            yield read.problem("F11", path, message, key=True, fix="name it in items, or remove it")
        elif weight == 0:
            yield read.problem("F04", path, f"respondent '{respondent}' has weight 0", fix="give it a weight")


def _scale(read: Read, path: Path, item: Item) -> Iterator[Problem]:
    scale = item.scale
    if isinstance(scale, OrdinalScale | NumberScale) and scale.min >= scale.max:
        message = f"scale of item '{item.id}' ends ({scale.max:g}) before it begins ({scale.min:g})"
        yield read.problem("F12", (*path, "scale", "max"), message, rule="max > min")
    if isinstance(scale, OrdinalScale):
        for anchor in scale.anchors:
            on_scale = anchor.lstrip("-").isdigit() and scale.min <= int(anchor) <= scale.max
            if not on_scale:
                where = (*path, "scale", "anchors", anchor)
                message = f"anchor '{anchor}' of item '{item.id}' is no value of its scale"
                yield read.problem("F12", where, message, key=True, rule=scale.rule)
    if isinstance(scale, DoseScale):
        if not 0 <= scale.floor < scale.target:
            message = (
                f"the target ({scale.target:g}) of item '{item.id}' does not exceed its floor ({scale.floor:g})"
            )
            yield read.problem("F12", (*path, "scale", "target"), message, rule="0 <= floor < target")
        if scale.cap is not None and scale.cap < scale.target:
            message = f"the cap ({scale.cap:g}) of item '{item.id}' lies below its target ({scale.target:g})"
            yield read.problem("F12", (*path, "scale", "cap"), message, rule="cap >= target")


def _criterion(read: Read, path: Path, item: Item) -> Iterator[Problem]:
    scale = item.scale
    if item.met_at is None:
        if item.essential:
            message = f"item '{item.id}' is essential, and nothing says from when it is met"
            yield read.problem("F09", (*path, "essential"), message, fix="add met_at")
        return
    low, high = scale.low, getattr(scale, "top", scale.high)
    if isinstance(scale, DoseScale):
        low = 0.0
    trivial = item.met_at >= high if item.reverse else item.met_at <= low
    if not low <= item.met_at <= high or trivial:
        way = "at most it" if item.reverse else "at least it"
        yield read.problem(
            "F09",
            (*path, "met_at"),
            f"item '{item.id}' is met at {item.met_at:g}, outside its scale or always",
            rule=f"{scale.rule}; met by {way}",
        )
    elif isinstance(scale, OrdinalScale | BinaryScale) and item.met_at != int(item.met_at):
        yield read.problem("F09", (*path, "met_at"), f"item '{item.id}' is met at no value of its scale")


def _codes(read: Read, path: Path, missing: MissingCodes, items: list[Item]) -> Iterator[Problem]:
    for code in missing.codes:
        if code != code.strip():
            message = f"code '{code}' begins or ends with a blank, and values are read without"
            yield read.problem("F13", (*path, "codes", code), message, key=True, fix=f"write '{code.strip()}'")
        try:
            number = float(code)
        except ValueError:
            continue
        clash = [item.id for item in items if _on_scale(item, number)]
        if clash:
            message = f"code '{code}' is also a value of item '{clash[0]}'"
            yield read.problem("F13", (*path, "codes", code), message, key=True, fix="choose another code")
    if not missing.codes:
        yield read.problem(
            "F13", (*path, "codes"), "there is no code", fix="list the codes, or leave the block out"
        )


def _on_scale(item: Item, number: float) -> bool:
    import numpy as np

    return bool(item.scale.allows(np.array([number]))[0])


def _condition(read: Read, path: Path, item: Item) -> Iterator[Problem]:
    if item.applies_if is None:
        return
    where = (*path, "applies_if")
    try:
        condition = parse_condition(item.applies_if)
    except FormulaError as error:
        for problem in error.problems:
            place = read.parsed.place(where, offset=(problem.place.character or 1) - 1)
            yield replace(problem, code="F14", place=place)
        return
    for name in sorted(condition.names):
        message = f"condition of item '{item.id}' names a list '{name}'"
        yield read.problem("F14", where, message, fix="write the values out: column in ['a', 'b']")
    for name in sorted(condition.columns & set(RESERVED)):
        message = f"condition of item '{item.id}' names the column '{name}', which holds ratings"
        yield read.problem("F14", where, message, fix="name a column that describes the unit")
