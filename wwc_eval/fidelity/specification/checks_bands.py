"""What bands must say together with scores: order, range, and whether each can be reached."""

from __future__ import annotations

import math
from collections.abc import Iterator

from wwc_eval.data.yaml_text import Path
from wwc_eval.errors import Problem
from wwc_eval.fidelity.specification.document import Band
from wwc_eval.fidelity.specification.findings import Read, native_range

__all__ = ["band_problems"]


def band_problems(read: Read) -> Iterator[Problem]:
    """Faults of the range of scores and of every band."""
    low, high = read.score_range
    if low >= high:
        message = f"scores end ({high:g}) before they begin ({low:g})"
        yield read.problem("F15", ("spec", "score_range"), message, rule="[lowest, highest]")
        return
    yield from _sum_range(read, low, high)
    if read.document.scoring.composite.rule == "none":
        yield from _without_score(read)
    else:
        yield from _with_score(read, low, high)
    for index, band in enumerate(read.document.spec.bands):
        yield from _requirement(read, index, band)


def _sum_range(read: Read, low: float, high: float) -> Iterator[Problem]:
    if read.document.scoring.composite.rule != "sum":
        return
    parts = [
        native_range(component, read.items_of(component.id))
        for component in read.document.components
        if component.weight > 0 and component.aggregate == "sum"
    ]
    reach = (math.fsum(part[0] for part in parts), math.fsum(part[1] for part in parts))
    if parts and not (math.isclose(reach[0], low) and math.isclose(reach[1], high)):
        message = f"items add up to {reach[0]:g} to {reach[1]:g}, and score_range says {low:g} to {high:g}"
        yield read.problem("F15", ("spec", "score_range"), message, fix=f"[{reach[0]:g}, {reach[1]:g}]")


def _without_score(read: Read) -> Iterator[Problem]:
    for index, band in enumerate(read.document.spec.bands):
        path: Path = ("spec", "bands", index)
        if band.min is not None:
            message = f"band '{band.name}' has a least score, and there is no composite"
            yield read.problem("F16", (*path, "min"), message, fix="require components instead")
        if index > 0 and not band.requires.components and not band.requires.essentials:
            message = f"band '{band.name}' requires nothing that the band below does not"
            yield read.problem("F16", (*path, "name"), message, fix="add requires: {components: ...}")


def _with_score(read: Read, low: float, high: float) -> Iterator[Problem]:
    before: float | None = None
    for index, band in enumerate(read.document.spec.bands):
        path: Path = ("spec", "bands", index)
        if band.min is None:
            yield read.problem("F16", (*path, "name"), f"band '{band.name}' has no least score", fix="add min")
            continue
        if index == 0 and band.min != low:
            message = f"scores from {low:g} up to {band.min:g} have no band"
            yield read.problem("F16", (*path, "min"), message, fix=f"begin at {low:g}")
        if band.min > high or band.min < low:
            message = f"band '{band.name}' begins at {band.min:g} and cannot be reached"
            yield read.problem("F17", (*path, "min"), message, rule=f"scores go from {low:g} to {high:g}")
        elif before is not None and band.min <= before:
            message = f"band '{band.name}' begins at {band.min:g}, not above the band before it ({before:g})"
            yield read.problem("F16", (*path, "min"), message, fix="order bands from the lowest to the highest")
        before = float(band.min)
    first = read.document.spec.bands[0]
    if first.requires.essentials or first.requires.components:
        message = f"the lowest band '{first.name}' has requirements: who fails them has no band"
        yield read.problem("F16", ("spec", "bands", 0, "requires"), message, fix="remove them")


def _requirement(read: Read, index: int, band: Band) -> Iterator[Problem]:
    path: Path = ("spec", "bands", index, "requires")
    if band.requires.essentials and not any(item.essential for item in read.document.items):
        message = f"band '{band.name}' requires the essentials, and no item is essential"
        yield read.problem("F18", (*path, "essentials"), message, fix="mark items as essential: true")
    if "cases" in band.requires.model_fields_set and not band.requires.essentials:
        message = (
            f"band '{band.name}' names a share of cases, and does not require the essentials that they would meet"
        )
        yield read.problem("F18", (*path, "cases"), message, fix="add essentials: true, or remove cases")
    lower = read.document.spec.bands[:index]
    for name, least in band.requires.components.items():
        where = (*path, "components", name)
        if name not in read.components:
            yield read.unknown(where, "component", name, read.components, key=True)
            continue
        low, high = read.range_of(read.components[name])
        if not low <= least <= high:
            message = f"band '{band.name}' requires {least:g} of component '{name}' and cannot be reached"
            yield read.problem("F17", where, message, rule=f"its scores go from {low:g} to {high:g}")
        elif any(other.requires.components.get(name, -math.inf) > least for other in lower):
            message = f"band '{band.name}' requires less of component '{name}' than a band below it"
            yield read.problem("F16", where, message, fix="order bands from the lowest to the highest")
