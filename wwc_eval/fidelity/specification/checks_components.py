"""What a component must say together with its items: ratios, metrics, gates."""

from __future__ import annotations

from collections.abc import Iterator

from wwc_eval.data.yaml_text import Path
from wwc_eval.errors import Problem
from wwc_eval.fidelity.specification.document import Component
from wwc_eval.fidelity.specification.findings import Read, native_range

__all__ = ["component_problems"]

UNWEIGHTED = ("mean", "minimum", "maximum", "count_met", "ratio")
"""Aggregates in which items have no weights."""


def component_problems(read: Read) -> Iterator[Problem]:
    """Faults of every component."""
    for index, component in enumerate(read.document.components):
        path: Path = ("components", index)
        items = read.items_of(component.id)
        if not items:
            message = f"component '{component.id}' has no items"
            yield read.problem("F07", (*path, "id"), message, fix="add items of it, or remove it")
            continue
        if all(item.weight == 0 for item in items):
            message = f"all items of component '{component.id}' have weight 0"
            yield read.problem("F04", (*path, "id"), message, fix="give an item a weight")
        yield from _ratio(read, path, component)
        yield from _metric(read, path, component)
        yield from _gate(read, path, component)


def _ratio(read: Read, path: Path, component: Component) -> Iterator[Problem]:
    parts = {"numerator": component.numerator, "denominator": component.denominator}
    own = [item.id for item in read.items_of(component.id)]
    if component.aggregate != "ratio":
        for name, listed in parts.items():
            if listed:
                message = f"{name} goes with aggregate: ratio"
                yield read.problem("F08", (*path, name), message, fix="remove it, or set aggregate: ratio")
        return
    for name, listed in parts.items():
        if not listed:
            message = f"a ratio needs a {name}"
            yield read.problem("F08", (*path, "aggregate"), message, fix=f"add {name}: [items]")
        for place, item in enumerate(listed):
            if item not in own:
                yield read.unknown((*path, name, place), f"item of component '{component.id}'", item, own)
    if component.metric != "native":
        yield read.problem(
            "F08",
            (*path, "aggregate"),
            "a ratio has no percent of maximum",
            fix="set metric: native and weight: 0",
        )
    if sorted(component.numerator) == sorted(component.denominator) and component.numerator:
        yield read.problem("F08", (*path, "denominator"), "numerator and denominator are the same items")


def _metric(read: Read, path: Path, component: Component) -> Iterator[Problem]:
    items = read.items_of(component.id)
    ranges = {(item.scale.low, item.scale.high) for item in items}
    pooled = component.aggregate in {"mean", "weighted_mean", "minimum", "maximum", "geometric"}
    if component.metric == "native" and pooled and len(ranges) > 1:
        message = f"items of component '{component.id}' have different scales, and its metric is native"
        yield read.problem("F08", (*path, "metric"), message, fix="set metric: percent")
    if component.aggregate in {"count_met", "share_met"}:
        for item in items:
            if item.met_at is None:
                at = read.document.items.index(item)
                message = f"item '{item.id}' has no met_at, and component '{component.id}' counts items met"
                yield read.problem("F09", ("items", at, "id"), message, fix="add met_at")
    if component.aggregate in UNWEIGHTED and len({float(item.weight) for item in items}) > 1:
        message = f"weights of items do nothing in aggregate: {component.aggregate}"
        fix = "set aggregate: weighted_mean, or remove the weights"
        yield read.problem("F08", (*path, "aggregate"), message, fix=fix)
    if read.document.scoring.composite.rule == "sum" and component.weight > 0 and component.aggregate != "sum":
        message = f"component '{component.id}' is not a sum, and the composite adds up sums"
        yield read.problem(
            "F08", (*path, "id"), message, fix="set aggregate: sum and metric: native, or weight: 0"
        )


def _gate(read: Read, path: Path, component: Component) -> Iterator[Problem]:
    gate = component.gate
    if component.role == "proscribed":
        if component.weight > 0:
            message = f"component '{component.id}' is proscribed and has a weight"
            yield read.problem("F10", (*path, "weight"), message, fix="set weight: 0 and a gate")
        if gate is None:
            message = f"component '{component.id}' is proscribed and has no gate: it would do nothing"
            yield read.problem("F10", (*path, "id"), message, fix="add gate: {max: ..., effect: cap, cap: ...}")
    if gate is None:
        return
    bad = any(item.reverse for item in read.items_of(component.id))
    low, high = native_range(component, read.items_of(component.id))
    if component.aggregate == "ratio":
        low, high = 0.0, float("inf")
    if not low <= gate.max < high:
        yield read.problem(
            "F10",
            (*path, "gate", "max"),
            f"gate of component '{component.id}' opens above {gate.max:g}",
            rule=f"scores go from {low:g} to {high:g}, and some must exceed it",
            fix="set max inside the scale",
        )
    if bad and component.role != "proscribed":
        message = f"items of component '{component.id}' are reversed, and its gate looks for high values"
        yield read.problem(
            "F10", (*path, "gate"), message, fix="leave reverse out: the gate takes values as recorded"
        )
    if (gate.effect == "cap") != (gate.cap is not None):
        yield read.problem("F10", (*path, "gate"), "effect: cap and cap go together", fix="add cap, or remove it")
    if gate.cap is not None:
        bottom, top = read.score_range
        if not bottom <= gate.cap < top:
            message = f"a cap of {gate.cap:g} never holds a score back, or lies below the range"
            yield read.problem(
                "F10", (*path, "gate", "cap"), message, rule=f"scores go from {bottom:g} to {top:g}"
            )
    if read.document.scoring.composite.rule == "none" and gate.effect == "cap":
        message = "there is no composite score to be capped"
        yield read.problem("F10", (*path, "gate", "effect"), message, fix="set effect: lowest_band")
