"""The permutation beside each effect by event or calendar period that fewer than five treated clusters are seen at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from wwc_eval.did.guard import FEW, aside, beside, guard_of, judged
from wwc_eval.did.guard_changes import Change, Flags, change_p_values, thin_p_values
from wwc_eval.did.panel import Panel
from wwc_eval.estimate import Estimate

__all__ = [
    "Bases",
    "Bins",
    "fixed_bases",
    "guarded_cells",
    "guarded_events",
    "guarded_periods",
    "moving_bases",
    "thin_events",
]

Bases = Mapping[int, tuple[int | None, int]]
"""For each event the first and last event whose mean it is a change from."""
Bins = tuple[int | None, int | None]
"""Event that stands for itself and all earlier ones, and event that stands for itself and all later ones."""
SINGLE: Bins = (None, None)


def guarded_events(
    items: Sequence[Estimate],
    events: Sequence[int | None],
    panel: Panel,
    bases: Bases,
    *,
    bins: Bins = SINGLE,
    permuted: bool = True,
) -> list[Estimate]:
    """Effects by event with a permutation beside the errors of those that fewer than five treated are seen at.

    Parameters
    ----------
    items : sequence of Estimate
        The effects.
    events : sequence of int or None
        Periods since treatment of each; None for a row that is no event.
    panel : Panel
        The panel behind them.
    bases : mapping
        For each event the first and last event whose mean it is compared with, None for the earliest there is.
    bins : tuple
        Events that stand for all earlier, and for all later ones: theirs is the permutation of the mean over all of them.
    permuted : bool
        Whether the permutation of mean changes judges these effects; where it does not, they have no error.
    """
    panel = judged(panel)
    if _none_few(panel):
        return list(items)
    known = [event for event in events if event is not None]
    changes = {event: _since(event, *bases[event], _pooled(event, bins)) for event in dict.fromkeys(known)}
    reached = _seen_at(panel, changes, bins)
    found = _p_values(panel, changes, reached, permuted=permuted)
    return [
        item if event is None or event not in found else beside(item, found[event], "at this event")
        for item, event in zip(items, events, strict=True)
    ]


def guarded_periods(items: Sequence[Estimate], periods: Sequence[int], panel: Panel, base: int) -> list[Estimate]:
    """Effects by calendar period with a permutation beside the errors of those with fewer than five treated.

    Parameters
    ----------
    items : sequence of Estimate
        The effects, each a mean over the cohorts treated by then.
    periods : sequence of int
        Position of the period of each.
    panel : Panel
        The panel behind them.
    base : int
        Event that they are changes from.
    """
    panel = judged(panel)
    if _none_few(panel):
        return list(items)
    times = {period: int(panel.times[period]) for period in periods}
    changes = {period: _by(time, base) for period, time in times.items()}
    joins = _joins(panel)
    reached = {period: joins & (panel.adopted <= period) & panel.observed[:, period] for period in periods}
    found = _p_values(panel, changes, reached)
    return [
        beside(item, found[period], "in this period") if period in found else item
        for item, period in zip(items, periods, strict=True)
    ]


def guarded_cells(
    items: Sequence[Estimate],
    cells: Sequence[tuple[int, int, int]],
    panel: Panel,
    bases: Bases,
    *,
    permuted: bool = True,
) -> list[Estimate]:
    """Effects by cohort and period with a permutation beside the errors of those that fewer than five are seen at.

    Parameters
    ----------
    items : sequence of Estimate
        The effects.
    cells : sequence of tuple
        Position of the cohort's first treated period, of the period, and the event, of each.
    panel, bases, permuted
        As in :func:`guarded_events`. The clusters of the cohort change places with the never treated.
    """
    panel = judged(panel)
    if _none_few(panel):
        return list(items)
    joins = _joins(panel)
    reached = {
        k: joins & (panel.adopted == cohort) & panel.observed[:, period]
        for k, (cohort, period, _) in enumerate(cells)
    }
    changes = {k: _since(event, *bases[event]) for k, (_, _, event) in enumerate(cells)}
    if permuted:
        found = thin_p_values(panel, changes, reached)
    else:
        found = {k: np.nan for k, units in reached.items() if panel.clusters_of(units) < FEW}
    return [
        beside(item, found[k], "in this cohort and period") if k in found else item for k, item in enumerate(items)
    ]


def _p_values(
    panel: Panel, changes: Mapping[int, Change], reached: Mapping[int, Flags], *, permuted: bool = True
) -> dict[int, float]:
    """Permutation p of all of them where few are treated, of those that few are seen at where more are."""
    if not permuted:
        few = guard_of(panel) is not None
        thin = (key for key, units in reached.items() if few or 0 < panel.clusters_of(units) < FEW)
        return dict.fromkeys(thin, np.nan)
    if guard_of(panel) is None:
        return thin_p_values(panel, changes, reached)
    return dict(zip(changes, change_p_values(panel, list(changes.values())), strict=True))


def _since(event: int, low: int | None, high: int, pooled: int = 0) -> Change:
    return Change(at=lambda start: start + event, low=low, high=high, pooled=pooled)


def _pooled(event: int, bins: Bins) -> int:
    """Whether an event is pooled with all before (-1) or after it (1)."""
    return -1 if event == bins[0] else int(event == bins[1])


def _by(time: int, base: int) -> Change:
    return Change(at=lambda _: time, low=base, high=base, first=0)


def _seen_at(panel: Panel, events: Iterable[int], bins: Bins) -> dict[int, Flags]:
    """For each event the units with an outcome at it, or at one of those that are pooled with it."""
    rows = np.flatnonzero(_joins(panel))
    own, observed = panel.events[rows], panel.observed[rows]
    found = {}
    for event in events:
        pooled = _pooled(event, bins)
        at = (own == event) | (pooled * own > pooled * event) if pooled else own == event
        found[event] = np.zeros(panel.n_units, dtype=bool)
        found[event][rows] = (at & observed).any(axis=1)
    return found


def _joins(panel: Panel) -> Flags:
    """Units that become treated and are seen before it: of the others no change is known."""
    return np.asarray((panel.adopted < panel.n_periods) & (panel.observed & ~panel.treated).any(axis=1))


def _none_few(panel: Panel) -> bool:
    """Whether nothing is few: five in every cohort and no cell missing, no clusters to count, or the guard aside."""
    if panel.cross_sections or aside():
        return True
    sizes = [panel.clusters_of(panel.adopted == cohort) for cohort in panel.cohorts if cohort < panel.n_periods]
    return panel.balanced and min(sizes, default=FEW) >= FEW and guard_of(panel) is None


def thin_events(events: Sequence[int], panel: Panel, bins: Bins = SINGLE) -> list[int]:
    """Events that fewer than five treated clusters are seen at.

    Parameters
    ----------
    events : sequence of int
        Periods since treatment.
    panel : Panel
        The panel.
    bins : tuple
        As in :func:`guarded_events`.
    """
    panel = judged(panel)
    if _none_few(panel):
        return []
    return [event for event, units in _seen_at(panel, events, bins).items() if 0 < panel.clusters_of(units) < FEW]


def fixed_bases(events: Sequence[int], reference: int | None, bins: Bins = SINGLE) -> Bases:
    """What each effect of a regression is a change from: the reference event, or the periods before treatment.

    Without a reference (imputation) effects of treatment are changes from the mean of all periods before it, and the
    events before treatment changes from the mean of those that are earlier than all of them, where there are any.

    Parameters
    ----------
    events : sequence of int
        Periods since treatment.
    reference : int or None
        Event held at zero.
    bins : tuple
        As in :func:`guarded_events`: a reference may stand for all earlier events.
    """
    if reference is not None:
        return dict.fromkeys(events, (None if reference == bins[0] else reference, reference))
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
