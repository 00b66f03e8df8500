"""What the fields of a specification must say together: names, units, weights and references."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from wwc_eval.data.yaml_text import Path
from wwc_eval.errors import Problem
from wwc_eval.fidelity.specification.checks_bands import band_problems
from wwc_eval.fidelity.specification.checks_components import component_problems
from wwc_eval.fidelity.specification.checks_items import RESERVED, item_problems
from wwc_eval.fidelity.specification.checks_studies import study_problems
from wwc_eval.fidelity.specification.findings import Read

__all__ = ["check_specification"]

SCORED = ("score", "estimate", "se", "df", "ci_low", "ci_high", "cases", "raters", "items", "essentials", "gate")
BANDED = ("unit", "level", "band", "point_band", "at_least", "needs", "status", "exposure")
TAKEN = frozenset((*RESERVED, *SCORED, *BANDED))
"""Columns of ratings, and of tables of scores."""


def check_specification(read: Read) -> list[Problem]:
    """Every fault, in the order of the file."""
    found = [
        *_names(read),
        *_units(read),
        *_weights(read),
        *component_problems(read),
        *item_problems(read),
        *band_problems(read),
        *_references(read),
        *study_problems(read),
    ]
    return sorted(found, key=lambda p: (p.place.line or 0, p.place.character or 0, p.code))


def _names(read: Read) -> Iterator[Problem]:
    document = read.document
    named: tuple[tuple[str, list[str], Path, str], ...] = (
        ("component", [c.id for c in document.components], ("components",), "id"),
        ("item", [i.id for i in document.items], ("items",), "id"),
        ("band", [b.name for b in document.spec.bands], ("spec", "bands"), "name"),
    )
    for what, names, path, field in named:
        for index, name in enumerate(names):
            if name in names[:index]:
                yield read.problem(
                    "F01", (*path, index, field), f"{what} '{name}' is named twice", fix="give each its own name"
                )
    taken = {
        "composite": "is the score of all components",
        "essentials": "is the share of cases that meet every essential item",
    }
    for at, name in enumerate(read.components):
        if name in taken:
            message = f"'{name}' {taken[name]}"
            yield read.problem("F01", ("components", at, "id"), message, fix="name it otherwise")
    for at, rule in enumerate(document.scoring.composite.sensitivity):
        if rule in document.scoring.composite.sensitivity[:at]:
            where: Path = ("scoring", "composite", "sensitivity", at)
            yield read.problem("F01", where, f"rule '{rule}' is named twice", fix="name each once")


def _units(read: Read) -> Iterator[Problem]:
    given = read.document.spec.units
    path: Path = ("spec", "units")
    for place, unit in enumerate(given):
        if unit in TAKEN or unit.startswith("p_"):
            where: Path = (*path, place if isinstance(given, list) else unit)
            message = f"'{unit}' is a column of ratings or of tables of scores, and cannot name a unit"
            yield read.problem("F03", where, message, key=isinstance(given, dict), fix="name it otherwise")
    if isinstance(given, list):
        for index, unit in enumerate(given):
            if unit in given[:index]:
                message = f"unit '{unit}' stands twice: a unit cannot belong to itself"
                yield read.problem("F03", (*path, index), message, fix="name units once, the lowest first")
        return
    for unit, parent in given.items():
        if parent is not None and parent not in given:
            yield read.unknown((*path, unit), "unit", parent, given)
    children = Counter(parent for parent in given.values() if parent in given)
    for unit, parent in given.items():
        seen, at = [unit], parent
        while at is not None and at in given and at not in seen:
            seen.append(at)
            at = given[at]
        if at == unit:
            ring = " -> ".join([*seen, unit])
            yield read.problem("F03", (*path, unit), f"units go round in a circle: {ring}", fix="break the circle")
        elif parent is not None and children[parent] > 1:
            message = f"unit '{parent}' is made of {children[parent]} kinds of unit"
            yield read.problem("F03", (*path, unit), message, rule="units are a chain, the lowest first")


def _weights(read: Read) -> Iterator[Problem]:
    document = read.document
    if document.scoring.composite.rule in {"sum", "none"}:
        return
    total = math.fsum(float(component.weight) for component in document.components)
    if total == 0 or not math.isclose(total, 1.0, abs_tol=1e-6):
        yield read.problem(
            "F04",
            ("components",),
            f"weights of components add up to {total:g}",
            rule="they add up to 1",
            fix="correct the weights",
        )
    for index, component in enumerate(document.components):
        if component.weight > 0 and component.metric == "native":
            yield read.problem(
                "F04",
                ("components", index, "weight"),
                f"component '{component.id}' has a weight in a composite of percentages, and a native metric",
                fix="set metric: percent, or weight: 0",
            )


def _references(read: Read) -> Iterator[Problem]:
    document, units = read.document, read.units
    for unit in document.spec.sufficiency:
        if unit not in units:
            yield read.unknown(("spec", "sufficiency", unit), "unit", unit, units, key=True)
    for unit in document.scoring.rollup:
        path: Path = ("scoring", "rollup", unit)
        if unit not in units:
            yield read.unknown(path, "unit", unit, units, key=True)
        elif unit == units[0]:
            message = f"nothing lies below unit '{unit}' that could be rolled up"
            yield read.problem("F05", path, message, key=True, fix="remove it")
