"""The permutation beside each effect of an event study with fewer than five treated clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wwc_eval.did.few_reference import permutations
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.guard import guard_of, reference_draws, seed_of
from wwc_eval.did.panel import Panel
from wwc_eval.errors import WwcError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.inference.inversion import p_value

__all__ = ["event_p_values", "guarded_events"]


def guarded_events(items: Sequence[Estimate], events: Sequence[int | None], panel: Panel) -> list[Estimate]:
    """Effects by event with the permutation beside their errors; as they are where five or more are treated.

    Parameters
    ----------
    items : sequence of Estimate
        The effects.
    events : sequence of int or None
        Periods since treatment of each; None for a row that is no event.
    panel : Panel
        The panel behind them.
    """
    if guard_of(panel) is None:
        return list(items)
    found = event_p_values(panel, [event for event in events if event is not None])
    return [
        item if event is None else item.replace(details={**item.details, "permutation_p": found[event]})
        for item, event in zip(items, events, strict=True)
    ]


def event_p_values(panel: Panel, events: Sequence[int]) -> dict[int, float]:
    """Two-sided p of each event: adoption times change hands among the clusters.

    Formula: the statistic is the mean over treated units of ``y(adopted + event) - y(adopted - 1)`` less the mean of the same
    change among the never treated, over the units that have both cells. Permutations are those of the guard.

    Parameters
    ----------
    panel : Panel
        The panel.
    events : sequence of int
        Periods since treatment.

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
                changes[:, code] = outcomes[:, at] - outcomes[:, date - 1]
        values = _effects(changes, weights, reference.codes)
        actual = float(_effects(changes, weights, statistic.codes[None, :])[0])
        found[event] = math.nan if math.isnan(actual) else p_value(values, actual, reference, 0)[0]
    return found


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
