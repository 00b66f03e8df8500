"""Averages of effects by cohort and period: overall, by event, by cohort and by calendar period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_cells import GroupTimes
from wwc_eval.did.cs_influence import Contrasts
from wwc_eval.errors import DesignError

__all__ = ["KINDS", "Averages", "averages", "every_effect"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
KINDS = ("simple", "event", "cohort", "calendar")


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Averages in order, the overall one first.

    Parameters
    ----------
    values : ndarray, shape (1 + m,)
        The overall average, then one an event, cohort or period.
    contrasts : Contrasts
        What each is of the effects and of the cohorts' shares.
    keys : tuple of int
        Event, index of the cohort, or position of the period of each average after the first.
    words : str
        What the overall average is.
    """

    values: Floats
    contrasts: Contrasts
    keys: tuple[int, ...]
    words: str


class _Builder:
    """Averages of the effects that could be estimated, cohorts weighed by their share of the units."""

    def __init__(self, cells: GroupTimes, effects: Floats, totals: Floats) -> None:
        self.cells, self.effects, self.totals = cells, effects, totals
        self.rows: list[tuple[float, Floats, Floats]] = []

    def shares(self, chosen: NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
        """Average of chosen effects, each weighed by the share of its cohort."""
        weight = np.where(chosen, self.totals[self.cells.cohort], 0.0)
        total = weight.sum()
        effects = np.where(chosen, self.effects, 0.0)
        value = float((weight * effects).sum() / total)
        moved = np.where(chosen, (effects - value) / total, 0.0)
        cohorts = np.bincount(self.cells.cohort, moved, minlength=len(self.totals)).astype(np.float64)
        return value, weight / total, cohorts

    def plain(self, chosen: NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
        """Average of chosen effects, all weighed alike."""
        weight = chosen / chosen.sum()
        return float((weight * np.where(chosen, self.effects, 0.0)).sum()), weight, np.zeros(len(self.totals))

    def mean_of(self, rows: list[tuple[float, Floats, Floats]]) -> tuple[float, Floats, Floats]:
        """Plain mean of averages."""
        values, cells, cohorts = zip(*rows, strict=True)
        return float(np.mean(values)), np.mean(cells, axis=0), np.mean(cohorts, axis=0)

    def over_cohorts(
        self, rows: list[tuple[float, Floats, Floats]], index: list[int]
    ) -> tuple[float, Floats, Floats]:
        """Mean of the cohorts' averages, each weighed by its share."""
        values = np.array([row[0] for row in rows])
        share = self.totals[index] / self.totals[index].sum()
        value = float(share @ values)
        cohorts = np.zeros(len(self.totals))
        cohorts[index] = (values - value) / self.totals[index].sum()
        return value, share @ np.array([row[1] for row in rows]), cohorts


def averages(
    cells: GroupTimes,
    effects: Floats,
    totals: Floats,
    *,
    kind: str,
    window: tuple[int | None, int | None, int | None] = (None, None, None),
) -> Averages:
    """One kind of average.

    Parameters
    ----------
    cells : GroupTimes
        Effects by cohort and period.
    effects : ndarray, shape (K,)
        Their values; missing ones are left out.
    totals : ndarray, shape (C,)
        Weight of the units of each cohort.
    kind : {"simple", "event", "cohort", "calendar"}
        Average.
    window : (balance, first, last)
        Events: cohorts seen at least ``balance`` periods after their first treated one, from ``first`` to ``last``.

    Raises
    ------
    DesignError
        If no effect is left to average.
    """
    build = _Builder(cells, effects, totals)
    fine = np.isfinite(effects)
    post = cells.post & fine
    if kind == "event":
        return _by_event(build, fine, window)
    if not post.any():
        raise DesignError("no effect after treatment can be estimated", fix="look at result.notes for the reasons")
    if kind == "simple":
        rows = [build.shares(post)]
        return _averages(rows, (), "mean over treated cohorts and periods, weighed by units")
    if kind == "cohort":
        index = sorted(set(cells.cohort[post].tolist()))
        rows = [build.plain(post & (cells.cohort == c)) for c in index]
        words = "mean over cohorts of their mean effect, weighed by units"
        return _averages([build.over_cohorts(rows, index), *rows], tuple(index), words)
    periods = sorted(set(cells.period[post].tolist()))
    rows = [build.shares(post & (cells.period == t)) for t in periods]
    return _averages([build.mean_of(rows), *rows], tuple(periods), "mean over calendar periods")


def _by_event(
    build: _Builder, fine: NDArray[np.bool_], window: tuple[int | None, int | None, int | None]
) -> Averages:
    cells = build.cells
    balance, first, last = window
    event = cells.event
    chosen = fine.copy()
    if balance is not None:
        end = int(cells.times[-1])
        chosen &= (end - cells.times[cells.first] >= balance) & (event <= balance) & (event >= balance - end)
    if first is not None:
        chosen &= event >= first
    if last is not None:
        chosen &= event <= last
    events = sorted(set(event[chosen].tolist()))
    rows = [build.shares(chosen & (event == e)) for e in events]
    treated = [row for row, e in zip(rows, events, strict=True) if e >= 0]
    if not treated:
        raise DesignError(
            "no event at or after treatment is left in this window", fix="widen first, last or balance"
        )
    words = "mean over events from treatment on"
    return _averages([build.mean_of(treated), *rows], tuple(events), words)


def _averages(rows: list[tuple[float, Floats, Floats]], keys: tuple[int, ...], words: str) -> Averages:
    values, cells, cohorts = zip(*rows, strict=True)
    return Averages(
        values=np.array(values),
        contrasts=Contrasts(cells=np.array(cells), cohorts=np.array(cohorts)),
        keys=keys,
        words=words,
    )


def every_effect(cells: GroupTimes) -> Contrasts:
    """The effects themselves."""
    return Contrasts(cells=np.eye(len(cells)), cohorts=np.zeros((len(cells), len(cells.cohorts))))


def keyed(kind: str, label: Any) -> Mapping[str, Any]:
    """Key column of one average."""
    return {{"event": "event", "cohort": "cohort", "calendar": "period"}[kind]: label}
