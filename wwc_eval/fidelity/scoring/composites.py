"""From items to components, to the composite under each rule, with gates, caps and minimum-valid rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.fidelity.scoring.matrix import Cells
from wwc_eval.fidelity.specification.document import RULES, Component, Item
from wwc_eval.fidelity.specification.findings import native_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

__all__ = ["Evaluated", "evaluate", "item_shares"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """Scores of rows: cases or sheets.

    Parameters
    ----------
    components : array, rows x components
        In each component's own metric; missing where too few items have a value.
    percents : array, rows x components
        As percent of maximum possible, for the composite.
    rules : mapping
        Rule: composite in the range of scores, capped by gates.
    composite : array
        By the specification's rule; missing where there is none.
    gated : array, rows x components
        Gates that are closed.
    essentials : array
        1 where every applicable essential item is met, else 0; missing where none applies or none is declared.
    share : array
        Share of applicable items that have a value.
    reasons : tuple of str
        Why a row has no composite; empty where it has.
    """

    components: Floats
    percents: Floats
    rules: Mapping[str, Floats]
    composite: Floats
    gated: Bools
    essentials: Floats
    share: Floats
    reasons: tuple[str, ...]


def item_shares(items: list[Item], values: Floats, *, reverse: bool = True, clip: bool = True) -> Floats:
    """Share of its scale that each item reaches, high values good."""
    shares = np.empty_like(values)
    for j, item in enumerate(items):
        scale = item.scale
        plain = (scale.counted(values[:, j]) - scale.low) / (scale.high - scale.low)
        plain = plain.clip(0.0, 1.0) if clip else plain
        shares[:, j] = 1.0 - plain if item.reverse and reverse else plain
    return shares


def met(items: list[Item], values: Floats) -> Floats:
    """1 where an item is met, 0 where not, missing where it has no criterion or no value."""
    found = np.full(values.shape, np.nan)
    for j, item in enumerate(items):
        if item.met_at is None:
            continue
        at = values[:, j]
        reached = at <= item.met_at if item.reverse else at >= item.met_at
        found[:, j] = np.where(np.isnan(at), np.nan, reached)
    return found


def evaluate(spec: FidelitySpecification, cells: Cells) -> Evaluated:
    """Components, composites and gates of every row."""
    document = spec.document
    n, count = len(cells.recorded), len(document.components)
    components, percents = np.full((n, count), np.nan), np.full((n, count), np.nan)
    applicable, gated = np.ones((n, count), dtype=bool), np.zeros((n, count), dtype=bool)
    order = {item.id: place for place, item in enumerate(document.items)}
    for c, component in enumerate(document.components):
        items = spec.read.items_of(component.id)
        columns = [order[item.id] for item in items]
        part = Cells(cells.recorded[:, columns], cells.valid[:, columns], cells.applies[:, columns])
        score, percent, applies = _component(component, items, part)
        components[:, c], percents[:, c], applicable[:, c] = score, percent, applies
        if component.gate is not None:
            with np.errstate(invalid="ignore"):
                gated[:, c] = _recorded(component, items, part) > component.gate.max
    rules, composite, reasons = _composites(spec, percents, applicable, gated)
    valid = (cells.valid & cells.applies).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = valid / cells.applies.sum(axis=1)
    return Evaluated(
        components=components,
        percents=percents,
        rules=rules,
        composite=composite,
        gated=gated,
        essentials=_essentials(spec, cells),
        share=share,
        reasons=reasons,
    )


def _component(component: Component, items: list[Item], part: Cells) -> tuple[Floats, Floats, Bools]:
    """Score in its own metric, percent of maximum, and whether the component applies."""
    weights = np.array([float(item.weight) for item in items])
    valid = part.valid & part.applies
    whole, present = (part.applies * weights).sum(axis=1), (valid * weights).sum(axis=1)
    applies = whole > 0
    enough = applies & (present > 0) & (present >= component.min_valid * whole * (1 - 1e-12))
    if component.aggregate == "ratio":
        score = np.where(enough, _ratio(component, items, part), np.nan)
        return score, np.full(len(score), np.nan), applies
    if component.aggregate in {"count_met", "share_met"}:
        hits = np.where(valid, met(items, part.recorded), 0.0)
        used = weights if component.aggregate == "share_met" else np.ones(len(items))
        share = _over((hits * used).sum(axis=1), (valid * used).sum(axis=1))
        share = np.where(enough, share, np.nan)
        scale = len(items) if component.aggregate == "count_met" else 1
        return (100 * share if component.metric == "percent" else scale * share), 100 * share, applies
    # items that are all reversed are put together as recorded, and the result is reversed
    flip = all(item.reverse for item in items)
    shares = item_shares(items, part.recorded, reverse=not flip, clip=component.metric == "percent")
    share = _aggregate(component.aggregate, items, shares, valid, weights)
    share = np.where(enough, 1.0 - share if flip else share, np.nan)
    if component.metric == "percent":
        return 100 * share, 100 * share, applies
    low, high = _ends(component, items)
    return low + (high - low) * share, 100 * share, applies


def _ends(component: Component, items: list[Item]) -> tuple[float, float]:
    """Native values of a share of 0 and of 1."""
    if component.aggregate != "sum":
        return items[0].scale.low, items[0].scale.high
    return (
        sum(float(item.weight) * item.scale.low for item in items),
        sum(float(item.weight) * item.scale.high for item in items),
    )


def _aggregate(how: str, items: list[Item], shares: Floats, valid: Bools, weights: Floats) -> Floats:
    if how in {"minimum", "maximum"}:
        ends: Floats = (
            np.where(valid, shares, np.inf).min(axis=1)
            if how == "minimum"
            else np.where(valid, shares, -np.inf).max(axis=1)
        )
        return ends
    if how == "mean":
        return _over(np.where(valid, shares, 0.0).sum(axis=1), valid.sum(axis=1))
    used = weights
    if how == "sum":
        used = weights * np.array([item.scale.high - item.scale.low for item in items])
    if how == "geometric":
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(valid & (weights > 0), np.log(np.maximum(shares, 0.0)), 0.0)
            return np.exp(_over((logs * used).sum(axis=1), (valid * used).sum(axis=1)))
    return _over((np.where(valid, shares, 0.0) * used).sum(axis=1), (valid * used).sum(axis=1))


def _over(top: Any, bottom: Any) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(bottom > 0, top / bottom, np.nan)
    return found


def _ratio(component: Component, items: list[Item], part: Cells) -> Floats:
    names = [item.id for item in items]
    values = np.where(part.valid & part.applies, part.recorded, np.nan)
    top = values[:, [names.index(name) for name in component.numerator]].sum(axis=1)
    bottom = values[:, [names.index(name) for name in component.denominator]].sum(axis=1)
    return _over(top, bottom)


def _recorded(component: Component, items: list[Item], part: Cells) -> Floats:
    """Score of a component in values as recorded, not reversed: what a gate looks at."""
    if component.aggregate == "ratio":
        return _ratio(component, items, part)
    valid = part.valid & part.applies
    weights = np.array([float(item.weight) for item in items])
    values = np.where(valid, part.recorded, 0.0)
    if component.aggregate in {"count_met", "share_met"}:
        hits = np.where(valid, met(items, part.recorded), 0.0)
        total = hits.sum(axis=1)
        found = (
            total if component.aggregate == "count_met" else _over((hits * weights).sum(axis=1), valid @ weights)
        )
        return np.where(valid.any(axis=1), found, np.nan)
    if component.aggregate == "sum":
        return np.where(valid.any(axis=1), (values * weights).sum(axis=1), np.nan)
    shares = np.where(valid, part.recorded, np.nan)
    how = component.aggregate
    found = _aggregate("weighted_mean" if how == "geometric" else how, items, shares, valid, weights)
    return np.where(valid.any(axis=1), found, np.nan)


def _essentials(spec: FidelitySpecification, cells: Cells) -> Floats:
    places = [place for place, item in enumerate(spec.document.items) if item.essential]
    if not places:
        return np.full(len(cells.recorded), np.nan)
    items = [spec.document.items[place] for place in places]
    applies = cells.applies[:, places]
    values = np.where(cells.valid[:, places], cells.recorded[:, places], np.nan)
    fulfilled = met(items, values) == 1
    all_met = (fulfilled | ~applies).all(axis=1).astype(float)
    return np.where(applies.any(axis=1), all_met, np.nan)


def _composites(
    spec: FidelitySpecification, percents: Floats, applicable: Bools, gated: Bools
) -> tuple[dict[str, Floats], Floats, tuple[str, ...]]:
    document = spec.document
    rule, n = document.scoring.composite.rule, len(percents)
    if rule == "none":
        none = np.full(n, np.nan)
        return {}, none, ("no composite is declared",) * n
    used = [c for c, component in enumerate(document.components) if component.weight > 0]
    weights = np.array([float(document.components[c].weight) for c in used])
    part, applies = percents[:, used], applicable[:, used]
    valid = applies & ~np.isnan(part)
    reasons = _reasons(spec, used, weights, valid, applies)
    fine = np.array([not reason for reason in reasons], dtype=bool)
    bottom, top = spec.read.score_range
    caps = np.full(n, np.inf)
    for c, component in enumerate(document.components):
        if component.gate is not None and component.gate.cap is not None:
            caps = np.where(gated[:, c], np.minimum(caps, float(component.gate.cap)), caps)
    found: dict[str, Floats] = {}
    for name in dict.fromkeys((*RULES, rule)):
        used_weights = weights
        if name == "sum":
            ends = [
                native_range(document.components[c], spec.read.items_of(document.components[c].id)) for c in used
            ]
            used_weights = np.array([high - low for low, high in ends])
        percent = _rule(name, part, valid, used_weights)
        scores = np.minimum(bottom + (top - bottom) * percent / 100, caps)
        found[name] = np.where(fine, scores, np.nan)
    return found, found[rule], reasons


def _rule(name: str, part: Floats, valid: Bools, weights: Floats) -> Floats:
    if name == "minimum":
        lowest: Floats = np.where(valid, part, np.inf).min(axis=1, initial=np.inf)
        return np.where(valid.any(axis=1), lowest, np.nan)
    if name == "geometric":
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(valid, np.log(part), 0.0)
            return np.exp(_over((logs * weights).sum(axis=1), (valid * weights).sum(axis=1)))
    return _over((np.where(valid, part, 0.0) * weights).sum(axis=1), (valid * weights).sum(axis=1))


def _reasons(
    spec: FidelitySpecification, used: list[int], weights: Floats, valid: Bools, applies: Bools
) -> tuple[str, ...]:
    reasons = np.full(len(valid), "", dtype=object)
    least = spec.document.scoring.composite.min_valid
    whole, present = applies @ weights, valid @ weights
    thin = (whole == 0) | (present == 0) | (present < least * whole * (1 - 1e-12))
    reasons[thin] = "too few components have a score"
    for place, c in enumerate(used):
        component = spec.document.components[c]
        if component.role == "essential":
            lacking = applies[:, place] & ~valid[:, place]
            reasons[lacking] = f"essential component '{component.id}' has no score"
    return tuple(str(reason) for reason in reasons)
