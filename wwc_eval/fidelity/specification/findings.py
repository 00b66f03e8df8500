"""What checks of a specification work on: the document with its positions, and problems placed in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wwc_eval.data.yaml_text import Parsed, Path
from wwc_eval.errors import Problem, did_you_mean, shown
from wwc_eval.fidelity.specification.document import Component, Item, SpecificationFields

__all__ = ["Read"]


@dataclass(frozen=True, eq=False)
class Read:
    """A specification whose fields are valid one by one.

    Parameters
    ----------
    document : SpecificationFields
        The fields.
    parsed : Parsed
        Plain data with positions.
    """

    document: SpecificationFields
    parsed: Parsed

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Units from the lowest to the highest; of a mapping that is no chain, the part that is one."""
        given = self.document.spec.units
        if isinstance(given, list):
            return tuple(given)
        lowest = [unit for unit in given if unit not in set(given.values())]
        chain: list[str] = []
        at: str | None = lowest[0] if lowest else next(iter(given))
        while at is not None and at not in chain:
            chain.append(at)
            at = given.get(at)
        return tuple(chain)

    @cached_property
    def components(self) -> dict[str, Component]:
        """Components by name."""
        return {component.id: component for component in self.document.components}

    @cached_property
    def items(self) -> dict[str, Item]:
        """Items by name."""
        return {item.id: item for item in self.document.items}

    def items_of(self, component: str) -> list[Item]:
        """Items of a component, in order."""
        return [item for item in self.document.items if item.component == component]

    @property
    def score_range(self) -> tuple[float, float]:
        """Lowest and highest composite score."""
        low, high = self.document.spec.score_range
        return float(low), float(high)

    def range_of(self, component: Component) -> tuple[float, float]:
        """Lowest and highest score of a component in its own metric."""
        if component.aggregate == "ratio":
            return 0.0, float("inf")
        return (
            native_range(component, self.items_of(component.id)) if component.metric == "native" else (0.0, 100.0)
        )

    def problem(self, code: str, path: Path, message: str, *, key: bool = False, **rest: Any) -> Problem:
        """A problem at a path of the file."""
        if "value" in rest:
            rest["value"] = shown(rest["value"])
        return Problem(code=code, message=message, place=self.parsed.place(path, key=key), **rest)

    def unknown(self, path: Path, what: str, name: str, known: Iterable[str], *, key: bool = False) -> Problem:
        """A name that is not declared."""
        return self.problem("F02", path, f"there is no {what} '{name}'", key=key, fix=did_you_mean(name, known))


def native_range(component: Component, items: list[Item]) -> tuple[float, float]:
    """Lowest and highest score of a component in its items' own values."""
    if component.aggregate == "count_met":
        return 0.0, float(len(items))
    if component.aggregate == "share_met":
        return 0.0, 1.0
    lows = [item.scale.low for item in items]
    highs = [max(item.scale.high, getattr(item.scale, "top", item.scale.high)) for item in items]
    if not items:
        return 0.0, 0.0
    if component.aggregate == "sum":
        weights = [float(item.weight) for item in items]
        return (
            sum(w * low for w, low in zip(weights, lows, strict=True)),
            sum(w * high for w, high in zip(weights, highs, strict=True)),
        )
    return min(lows), max(highs)
