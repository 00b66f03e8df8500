"""P-values and intervals of synthetic controls: placebos ranked, their test inverted; or a jackknife error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.synthetic_blocks import Block
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats

__all__ = ["Judged", "judge_jackknife", "judge_placebos"]

PERFECT = 1_000.0
"""Ratio of gaps above which the fit before treatment counts as exact."""
ROUNDED = 1e8
"""Ratio of gaps whose fit before treatment differs from an exact one by rounding alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Estimates with their inference, and what is to be said of it."""

    overall: Estimate
    estimates: EffectEstimates
    notes: tuple[str, ...]
    placebo_gaps: Floats


def judge_jackknife(
    blocks: list[Block], shares: Floats, *, se: float, times: Any, shared: Mapping[str, Any], name: str
) -> Judged:
    """Normal interval with a jackknife error; gaps by event without inference of their own."""
    overall = Estimate.from_normal(
        term="effect of treatment",
        estimate=_overall(blocks, shares),
        se=se,
        method=f"{name}, jackknife with fixed weights, normal interval",
        **shared,
    )
    events, gaps = _by_event([blocks], shares, times)
    nothing = np.full((0, len(events)), np.nan)
    return Judged(
        overall=overall,
        estimates=_gaps_table(events, gaps[0], nothing, shared, name),
        notes=("The jackknife error is not to be trusted with few treated units.",),
        placebo_gaps=nothing,
    )


def judge_placebos(
    blocks: list[Block],
    placebos: list[list[Block]],
    shares: Floats,
    *,
    times: Any,
    shared: Mapping[str, Any],
    name: str,
    by_ratio: bool,
    worst_fit: float | None,
) -> Judged:
    """Rank the treated among placebos, by its effect or by its ratio of gaps after and before treatment."""
    alpha = 1.0 - float(shared["level"])
    found = _overall(blocks, shares)
    others = np.array([_overall(group, shares) for group in placebos])
    notes = []
    if by_ratio:
        block = blocks[0]
        limit = np.inf if worst_fit is None else worst_fit * block.fit
        kept = np.array([group[0].fit <= limit for group in placebos], dtype=bool)
        if worst_fit is not None:
            lost = int((~kept).sum())
            notes.append(
                f"{lost} placebos fit more than {worst_fit:g} times worse before treatment and are left out."
            )
        ratios = np.array([group[0].ratio for group in placebos])[kept]
        p_value = (1.0 + float((ratios >= block.ratio).sum())) / (1.0 + len(ratios))
        low, high = _by_ratio_interval(block, ratios, alpha)
        how = "ratio of root mean squared gaps ranked among"
        if math.isnan(low):
            notes.append("No constant effect passes the placebo test: the interval is empty.")
    else:
        kept = np.ones(len(others), dtype=bool)
        p_value = (1.0 + float((np.abs(others) >= abs(found)).sum())) / (1.0 + len(others))
        reach = _critical(np.abs(others), alpha)
        low, high = found - reach, found + reach
        how = "effect ranked among"
    used = int(kept.sum())
    least = 1.0 / (1.0 + used)
    notes.append(
        "The placebo test rests on the treated being, without an effect, as good as drawn from all units; "
        "its interval is of an effect that is constant over treated periods."
    )
    se = float(others.std()) if len(others) else math.nan
    overall = Estimate(
        term="effect of treatment",
        estimate=found,
        se=se,
        df=math.nan,
        statistic=found / se if se > 0 else math.nan,
        p_value=p_value,
        ci_low=low,
        ci_high=high,
        method=f"{name}, {how} {used:,} placebos, interval by inversion",
        warnings=_warnings([blocks, *placebos], used, alpha, by_ratio=by_ratio),
        details={"placebos": used, "least_p_value": least},
        **shared,
    )
    events, gaps = _by_event([blocks, *placebos], shares, times)
    return Judged(
        overall=overall,
        estimates=_gaps_table(events, gaps[0], gaps[1:], shared, name),
        notes=tuple(notes),
        placebo_gaps=gaps[1:],
    )


def _warnings(groups: list[list[Block]], used: int, alpha: float, *, by_ratio: bool) -> tuple[str, ...]:
    """Too few placebos for a test, and fits so good that ratios say nothing."""
    found = []
    least = 1.0 / (1.0 + used)
    if least > alpha:
        found.append(f"With {used} placebos no p-value can be below {least:.3f}: the interval is unbounded.")
    perfect = sum(group[0].ratio > PERFECT for group in groups) if by_ratio else 0
    if by_ratio and groups[0][0].ratio > PERFECT:
        found.append(
            "The treated is met almost exactly before treatment: its p-value is small whatever the effect, and shows "
            "the fit alone."
        )
    if perfect:
        found.append(
            f"{perfect} of {len(groups)} series are met almost exactly before treatment, so their ratios say little: "
            "give more periods before treatment, or fewer controls."
        )
    return tuple(found)


def _critical(sizes: Floats, alpha: float) -> float:
    """Largest distance whose rank among placebos is not rejected at ``alpha``."""
    order = math.floor(alpha * (len(sizes) + 1) + 1e-9)
    return math.inf if order < 1 else float(np.sort(sizes)[::-1][order - 1])


def _by_ratio_interval(block: Block, ratios: Floats, alpha: float) -> tuple[float, float]:
    """Constant effects whose ratio is not rejected: ``var(gap) + (mean - effect)^2 <= (critical * fit)^2``."""
    reach = _critical(ratios, alpha)
    # a placebo that is met exactly has a ratio beyond any effect
    if reach > ROUNDED:
        return -math.inf, math.inf
    after = block.gap[block.before :]
    room = (reach * block.fit) ** 2 - float(after.var())
    if room < 0:
        return math.nan, math.nan
    return block.estimate - math.sqrt(room), block.estimate + math.sqrt(room)


def _overall(blocks: list[Block], shares: Floats) -> float:
    return float(np.average([block.estimate for block in blocks], weights=shares))


def _by_event(groups: list[list[Block]], shares: Floats, times: Any) -> tuple[list[int], Floats]:
    """Gaps by event, averaged over the cohorts that have it by their treated units, shape (groups, events)."""
    blocks = groups[0]
    first = [int(times[block.before]) for block in blocks]
    events = sorted({int(time) - at for at in first for time in times})
    place = {event: k for k, event in enumerate(events)}
    sums, weight = np.zeros((len(groups), len(events))), np.zeros(len(events))
    for c, (block, at) in enumerate(zip(blocks, first, strict=True)):
        size = shares[c] / (len(times) - block.before)
        where = [place[int(time) - at] for time in times]
        weight[where] += size
        sums[:, where] += size * np.array([group[c].gap for group in groups])
    return events, sums / weight


def _gaps_table(
    events: list[int], gap: Floats, others: Floats, shared: Mapping[str, Any], name: str
) -> EffectEstimates:
    alpha = 1.0 - float(shared["level"])
    items = []
    for k, event in enumerate(events):
        size, value = np.abs(others[:, k]), float(gap[k])
        judged = len(size) > 0 and event >= 0
        se = float(others[:, k].std()) if len(size) else math.nan
        reach = _critical(size, alpha) if judged else math.nan
        p_value = (1.0 + float((size >= abs(value)).sum())) / (1.0 + len(size)) if judged else math.nan
        items.append(
            Estimate(
                term=f"event {event}",
                estimate=value,
                se=se,
                df=math.nan,
                statistic=math.nan,
                p_value=p_value,
                ci_low=value - reach,
                ci_high=value + reach,
                method=f"{name}, gap at one event ranked among placebos",
                **shared,
            )
        )
    return EffectEstimates(items, [{"event": event} for event in events], title=f"{name}: gap by event")
