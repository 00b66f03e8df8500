"""The permutation beside each effect of an event study with fewer than five treated clusters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wwc_eval.did.few_reference import permutations
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.guard import FEW, guard_of, reference_draws, seed_of
from wwc_eval.did.panel import Panel
from wwc_eval.errors import WwcError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.inference.inversion import p_value

__all__ = ["Bases", "event_p_values", "fixed_bases", "guarded_events", "moving_bases", "thin_events"]

Bases = Mapping[int, tuple[int | None, int]]
"""For each event the first and last event whose mean it is a change from."""


def guarded_events(
    items: Sequence[Estimate], events: Sequence[int | None], panel: Panel, bases: Bases | None = None
) -> list[Estimate]:
    """Effects by event with the permutation beside their errors; as they are where five or more are treated.

    Parameters
    ----------
    items : sequence of Estimate
        The effects.
    events : sequence of int or None
        Periods since treatment of each; None for a row that is no event.
    panel : Panel
        The panel behind them.
    bases : mapping, optional
        As in :func:`event_p_values`.
    """
    if guard_of(panel) is None:
        return list(items)
    found = event_p_values(panel, [event for event in events if event is not None], bases)
    return [
        item if event is None else item.replace(details={**item.details, "permutation_p": found[event]})
        for item, event in zip(items, events, strict=True)
    ]


def thin_events(events: Sequence[int], panel: Panel) -> list[int]:
    """Events that fewer than five treated clusters are seen at.

    Parameters
    ----------
    events : sequence of int
        Periods since treatment.
    panel : Panel
        The panel.
    """
    joins = panel.adopted < panel.n_periods
    sizes = [panel.clusters_of(panel.adopted == cohort) for cohort in panel.cohorts if cohort < panel.n_periods]
    if panel.balanced and min(sizes, default=FEW) >= FEW:
        return []
    at, seen = panel.events[joins], panel.observed[joins]
    found = []
    for event in events:
        here = np.zeros(panel.n_units, dtype=bool)
        here[joins] = ((at == event) & seen).any(axis=1)
        if 0 < panel.clusters_of(here) < FEW:
            found.append(event)
    return found


def fixed_bases(events: Sequence[int], reference: int | None) -> Bases:
    """What each effect of a regression is a change from: the reference event, or the periods before treatment.

    Without a reference (imputation) effects of treatment are changes from the mean of all periods before it, and the
    events before treatment changes from the mean of those that are earlier than all of them, where there are any.

    Parameters
    ----------
    events : sequence of int
        Periods since treatment.
    reference : int or None
        Event held at zero.
    """
    if reference is not None:
        return dict.fromkeys(events, (reference, reference))
    first = min(events, default=0)
    return {event: (None, first - 1 if event < 0 else -1) for event in events}


def moving_bases(events: Sequence[int], base: str, anticipation: int) -> Bases:
    """What each effect of Callaway and Sant'Anna is a change from.

    Parameters
    ----------
    events : sequence of int
        Periods since treatment.
    base : {"varying", "universal"}
        Whether effects before treatment are changes from the period before each.
    anticipation : int
        Periods before treatment in which an effect is allowed.
    """
    last = -1 - anticipation
    wanted = {event: event - 1 if base == "varying" and event <= last else last for event in events}
    return {event: (start, start) for event, start in wanted.items()}


def event_p_values(panel: Panel, events: Sequence[int], bases: Bases | None = None) -> dict[int, float]:
    """Two-sided p of each event: adoption times change hands among the clusters.

    Formula: the statistic is the mean over treated units of ``y(adopted + event) - y(base)`` less the mean of the same
    change among the never treated, over the units that have both. Permutations are those of the guard.

    Parameters
    ----------
    panel : Panel
        The panel.
    events : sequence of int
        Periods since treatment.
    bases : mapping, optional
        For each event the first and last event whose mean it is compared with, None for the earliest there is; the period
        before treatment where nothing is said.

    Returns
    -------
    dict
        p by event; missing where nothing can be permuted, or nobody has both cells.
    """
    try:
        statistic = Statistic.of(panel, "two_way_fixed_effects")
        reference = permutations(statistic, reference_draws(panel), seed_of(panel))
    except WwcError:
        return dict.fromkeys(events, math.nan)
    if len(statistic.codes) < len(statistic.blocks):
        return dict.fromkeys(events, math.nan)
    sample = statistic.sample
    order = np.argsort(statistic.blocks)
    outcomes = np.where(sample.present, sample.outcomes, np.nan)[order]
    weights = sample.panel.weights[sample.rows][order]
    place = {int(time): column for column, time in enumerate(sample.times.tolist())}
    found = {}
    for event in dict.fromkeys(events):
        changes = np.full((len(outcomes), len(statistic.dates) + 1), np.nan)
        for code, date in enumerate(statistic.dates.tolist(), start=1):
            at = place.get(int(sample.times[date]) + event)
            if at is not None and date > 0:
                low, high = (-1, -1) if bases is None else bases[event]
                changes[:, code] = outcomes[:, at] - _base(outcomes, sample.times, date, low, high)
        values = _effects(changes, weights, reference.codes)
        actual = float(_effects(changes, weights, statistic.codes[None, :])[0])
        found[event] = math.nan if math.isnan(actual) else p_value(values, actual, reference, 0)[0]
    return found


def _base(outcomes: Floats, times: np.ndarray, date: int, low: int | None, high: int) -> Floats:
    """Mean outcome of each unit from one event to another; all before treatment where there are none."""
    events = times - times[date]
    inside = (events <= high) if low is None else (events >= low) & (events <= high)
    if low == high and not inside.any() and date + high >= 0:
        # a gap in time: the last period there is
        inside[date + high] = True
    chosen = outcomes[:, inside if inside.any() else events < 0]
    known = np.isfinite(chosen)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, chosen, 0.0).sum(axis=1) / known.sum(axis=1))


def _effects(changes: Floats, weights: Floats, codes: np.ndarray) -> Floats:
    """Statistic of each assignment (m, n)."""
    rows, units = np.nonzero(codes)
    m = len(codes)
    known = np.isfinite(changes)
    filled = np.where(known, changes, 0.0) * weights[:, None]
    masses = known * weights[:, None]
    code = codes[rows, units]
    top, bottom = np.zeros(m), np.zeros(m)
    for c in range(1, changes.shape[1]):
        # the never treated: everybody less those who are treated in this assignment
        sums = filled[:, c].sum() - np.bincount(rows, filled[units, c], minlength=m)
        mass = masses[:, c].sum() - np.bincount(rows, masses[units, c], minlength=m)
        mine = code == c
        own = np.bincount(rows[mine], masses[units[mine], c], minlength=m)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = sums / mass
        top += np.bincount(rows[mine], filled[units[mine], c], minlength=m) - np.where(own > 0, own * mean, 0.0)
        bottom += own
    return top / np.where(bottom > 0, bottom, np.nan)
