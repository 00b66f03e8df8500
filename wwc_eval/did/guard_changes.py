"""Permutation p-values of mean changes: what stands beside effects by event and by calendar period."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.few_reference import permutations
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.guard import FEW, reference_draws, seed_of
from wwc_eval.did.panel import Panel
from wwc_eval.errors import WwcError
from wwc_eval.inference.families import Floats
from wwc_eval.inference.inversion import p_value

__all__ = ["Change", "change_p_values", "thin_p_values"]

Flags = NDArray[np.bool_]
THIN_DRAWS = 1_999
"""Permutations of effects that fewer than five are seen at where more are treated in all: there are many of them."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one effect is a change of, for the units of a cohort.

    Parameters
    ----------
    at : callable
        From the first treated period of a cohort, as an index of time, to the index that the effect is seen at.
    low, high : int or None
        First and last event whose mean it is compared with; ``low`` None for the earliest there is.
    first : int
        Periods since treatment from which a cohort takes part.
    pooled : {-1, 0, 1}
        Whether the effect is the mean of that index and all before (-1) or after it (1).
    """

    at: Callable[[int], int]
    low: int | None
    high: int
    first: int | None = None
    pooled: int = 0

    def seen(self, start: int, times: NDArray[np.int64]) -> Flags:
        """Which indices of time the effect on a cohort is seen at, shape (T,)."""
        at = self.at(start)
        return np.asarray((times == at) | (self.pooled * times > self.pooled * at))


def change_p_values(panel: Panel, changes: Sequence[Change], draws: int | None = None) -> list[float]:
    """Two-sided p of each: adoption times change hands among the clusters.

    Formula: the statistic is the mean over treated units of ``y(at) - y(base)`` less the mean of the same change among
    the never treated, over the units that have both. Clusters above the units change hands whole.

    Parameters
    ----------
    panel : Panel
        The panel.
    changes : sequence of Change
        The effects.
    draws : int, optional
        Permutations drawn where there are too many to list; those of the guard without it.

    Returns
    -------
    list of float
        Missing where nothing can be permuted, or nobody has both cells.
    """
    try:
        statistic = Statistic.of(panel, "two_way_fixed_effects")
        reference = permutations(statistic, draws or reference_draws(panel), seed_of(panel))
    except WwcError:
        return [math.nan] * len(changes)
    sample = statistic.sample
    outcomes = np.where(sample.present, sample.outcomes, np.nan)
    weights = sample.panel.weights[sample.rows]
    # the treated clusters of each assignment are looked up once for all effects
    others, made = _Assigned.of(reference.codes), _Assigned.of(statistic.codes[None, :])
    found = []
    for change in changes:
        own = np.full((len(outcomes), len(statistic.dates) + 1), np.nan)
        for code, date in enumerate(statistic.dates.tolist(), start=1):
            start = int(sample.times[date])
            seen = change.seen(start, sample.times)
            if seen.any() and date > 0 and (change.first is None or change.at(start) - start >= change.first):
                own[:, code] = _mean(outcomes[:, seen]) - _base(outcomes, sample.times, date, change)
        there = np.isfinite(own)
        sums = _by_block(np.where(there, own, 0.0) * weights[:, None], statistic)
        masses = _by_block(there * weights[:, None], statistic)
        actual = float(_effects(sums, masses, made)[0])
        known = not math.isnan(actual)
        found.append(p_value(_effects(sums, masses, others), actual, reference, 0)[0] if known else math.nan)
    return found


def thin_p_values(panel: Panel, changes: Mapping[int, Change], reached: Mapping[int, Flags]) -> dict[int, float]:
    """Permutation p of effects that few are seen at: the cohorts seen there change places with the never treated.

    Where nobody is never treated, those treated after all that the effect looks at take their place.

    Parameters
    ----------
    panel : Panel
        The panel.
    changes : mapping
        The effects.
    reached : mapping
        For each of the effects the units that are seen at it; those of fewer than five clusters are tested.
    """
    groups: dict[bytes, list[int]] = {}
    for key, units in reached.items():
        if 0 < panel.clusters_of(units) < FEW:
            groups.setdefault(_roles(panel, changes[key], units).tobytes(), []).append(key)
    found: dict[int, float] = {}
    for roles, keys in groups.items():
        adopted = np.frombuffer(roles, dtype=np.int64)
        part = panel.with_adopted(np.maximum(adopted, 0)).without(panel.units[adopted < 0].tolist())
        found |= dict(zip(keys, change_p_values(part, [changes[key] for key in keys], THIN_DRAWS), strict=True))
    return found


def _roles(panel: Panel, change: Change, units: Flags) -> NDArray[np.int64]:
    """First treated period of those who change places, T for the comparison and -1 for the rest, shape (n,)."""
    cohorts = np.unique(panel.adopted[units])
    compared = panel.adopted >= panel.n_periods
    if not compared.any():
        last = max(panel.times[change.seen(int(panel.times[cohort]), panel.times)].max() for cohort in cohorts)
        compared = panel.times[panel.adopted] > last
    mine = np.isin(panel.adopted, cohorts)
    return np.where(mine, panel.adopted, np.where(compared, panel.n_periods, -1)).astype(np.int64)


def _base(outcomes: Floats, times: NDArray[np.int64], date: int, change: Change) -> Floats:
    """Mean outcome of each unit from one event to another; all before treatment where there are none."""
    low, high = change.low, change.high
    events = times - times[date]
    inside = (events <= high) if low is None else (events >= low) & (events <= high)
    earlier = np.flatnonzero(events <= high)
    if low == high and not inside.any() and earlier.size:
        # a gap in time: the last period before it
        inside[earlier[-1]] = True
    return _mean(outcomes[:, inside if inside.any() else events < 0])


def _mean(chosen: Floats) -> Floats:
    """Mean of what is known of each row."""
    if chosen.shape[1] == 1:
        return chosen[:, 0]
    known = np.isfinite(chosen)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, chosen, 0.0).sum(axis=1) / known.sum(axis=1))


def _by_block(values: Floats, statistic: Statistic) -> Floats:
    """Sums over the units of each cluster."""
    order = np.argsort(statistic.blocks, kind="stable")
    starts = np.flatnonzero(np.diff(statistic.blocks[order], prepend=-1))
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))


@dataclass(frozen=True, kw_only=True)
class _Assigned:
    """Treated clusters of m assignments: which assignment, which cluster, which code."""

    m: int
    rows: NDArray[np.intp]
    blocks: NDArray[np.intp]
    code: NDArray[np.int8]

    @classmethod
    def of(cls, codes: NDArray[np.int8]) -> _Assigned:
        """From the codes of all clusters, shape (m, blocks)."""
        rows, blocks = np.nonzero(codes)
        return cls(m=len(codes), rows=rows, blocks=blocks, code=codes[rows, blocks])

    def sums(self, values: Floats, own: Flags | None = None) -> Floats:
        """Sum over the treated clusters of each assignment, or over some of them."""
        rows, blocks = (self.rows, self.blocks) if own is None else (self.rows[own], self.blocks[own])
        return np.asarray(np.bincount(rows, values[blocks], minlength=self.m), dtype=np.float64)


def _effects(sums: Floats, masses: Floats, assigned: _Assigned) -> Floats:
    """Statistic of each assignment, shape (m,)."""
    top, bottom = np.zeros(assigned.m), np.zeros(assigned.m)
    for c in np.flatnonzero(masses.any(axis=0)).tolist():
        # the never treated: everybody less those who are treated in this assignment
        rest = sums[:, c].sum() - assigned.sums(sums[:, c])
        mass = masses[:, c].sum() - assigned.sums(masses[:, c])
        mine = assigned.code == c
        own = assigned.sums(masses[:, c], mine)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = rest / mass
        top += assigned.sums(sums[:, c], mine) - np.where(own > 0, own * mean, 0.0)
        bottom += own
    return top / np.where(bottom > 0, bottom, np.nan)
