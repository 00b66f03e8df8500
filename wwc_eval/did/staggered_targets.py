"""What the efficient estimator of a staggered roll-out aims at: the matrices A_theta and A_0 of Roth and Sant'Anna.

An effect of cohort g in period t is the mean of the cohort less that of units not treated yet, ``theta = sum_g A_theta,g Y_g``;
the same difference in the last period before the cohort was treated, ``X = sum_g A_0,g Y_g``, is zero but for the draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.staggered_rollout import Rollout
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats

__all__ = ["ADJUSTMENTS", "ESTIMANDS", "Cells", "Targets", "cells_of", "targets_of"]

Ints = NDArray[np.int64]
ESTIMANDS = ("simple", "cohort", "calendar", "event")
ADJUSTMENTS = ("efficient", "callaway_santanna", "sun_abraham", "difference_in_means")
WORDS = {
    "simple": "mean over treated cohorts and periods, weighed by units",
    "cohort": "mean over cohorts of their mean effect, weighed by units",
    "calendar": "mean over calendar periods",
    "event": "mean over events from treatment on",
}


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cohorts and periods that have units to be compared with.

    Parameters
    ----------
    rollout : Rollout
        The units.
    cohort, column, base : ndarray of int, shape (K,)
        Cohort, position of the period, and of the last period before the cohort's effect may begin (-1 where there is none).
    event : ndarray of int, shape (K,)
        Periods since treatment.
    shares : ndarray, shape (K, G)
        Share of each cohort in the comparison.
    unadjusted : tuple
        Labels of cohorts without a period before treatment.
    """

    rollout: Rollout
    cohort: Ints
    column: Ints
    base: Ints
    event: Ints
    shares: Floats
    unadjusted: tuple[Any, ...]

    @property
    def post(self) -> NDArray[np.bool_]:
        """Which are effects of treatment, shape (K,)."""
        return self.event >= 0

    @property
    def keys(self) -> list[dict[str, Any]]:
        """Cohort, period and event of each."""
        cohorts = {c: self.rollout.label(c) for c in set(self.cohort.tolist())}
        periods = {t: self.rollout.sample.label(t) for t in set(self.column.tolist())}
        return [
            {"cohort": cohorts[c], "period": periods[t], "event": e}
            for c, t, e in zip(self.cohort.tolist(), self.column.tolist(), self.event.tolist(), strict=True)
        ]

    def matrices(self, weights: Floats, chosen: slice = slice(None)) -> tuple[Floats, Floats]:
        """A_theta and A_0, shape (m, G, T) each, of averages of chosen cells with these weights (m, K)."""
        cohorts, periods = len(self.rollout.starts), self.rollout.sample.n_periods
        theta, zero = np.zeros((2, periods, len(weights), cohorts))
        own = np.arange(cohorts) == self.cohort[chosen, None]
        gaps = own - self.shares[chosen]
        for places, found in ((self.column[chosen], theta), (self.base[chosen], zero)):
            for place in np.unique(places[places >= 0]).tolist():
                here = places == place
                found[place] = weights[:, here] @ gaps[here]
        return np.moveaxis(theta, 0, 2), np.moveaxis(zero, 0, 2)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Estimands in order: the overall one, the rows of the result's table, then the cohorts.

    Parameters
    ----------
    theta, zero : ndarray, shape (m, G, T)
        A_theta and A_0.
    treated : ndarray, shape (m,)
        Units treated in each: those of its cohorts.
    post : ndarray of bool, shape (m,)
        Whether the estimand is an effect of treatment; before it, the effect is zero.
    keys : tuple of mapping
        Event, cohort or period of each.
    joint : int
        How many the overall one and the rows are.
    cohorts : ndarray of int
        Cohorts with an effect.
    words : str
        What the overall estimand is.
    """

    theta: Floats
    zero: Floats
    treated: Floats
    post: NDArray[np.bool_]
    keys: tuple[Mapping[str, Any], ...]
    joint: int
    cohorts: Ints
    words: str


def cells_of(rollout: Rollout, adjustment: str, anticipation: int) -> Cells:
    """Every cohort and period with an effect.

    Parameters
    ----------
    rollout : Rollout
        The units.
    adjustment, anticipation
        As in :func:`~wwc_eval.did.staggered`.

    Raises
    ------
    DesignError
        If no cohort has units to compare it with.
    """
    starts, sizes = rollout.starts, rollout.sizes
    places: list[tuple[int, int, int, int]] = []
    shares, unadjusted = [], []
    for cohort in range(len(starts) - 1):
        base = rollout.base(cohort, anticipation)
        if base is None:
            unadjusted.append(rollout.label(cohort))
            if adjustment in ("callaway_santanna", "sun_abraham"):
                continue
        for column, time in enumerate(rollout.times.tolist()):
            later = starts > max(time, starts[cohort]) + anticipation
            if adjustment == "sun_abraham":
                later[:-1] = False
            zero = column == base and adjustment != "difference_in_means"
            if zero or not later.any():
                continue
            places.append((cohort, column, -1 if base is None else base, int(time - starts[cohort])))
            shares.append(sizes * later / (sizes * later).sum())
    if not any(event >= 0 for *_, event in places):
        raise DesignError(
            "no treated cohort has units to compare it with: all are treated at once, or have no period before treatment",
            fix="include units that are treated later or never, and periods before treatment",
        )
    found = np.array(places, dtype=np.int64)
    return Cells(
        rollout=rollout, cohort=found[:, 0], column=found[:, 1], base=found[:, 2], event=found[:, 3],
        shares=np.array(shares), unadjusted=tuple(unadjusted),
    )  # fmt: skip


def targets_of(cells: Cells, estimand: str) -> Targets:
    """The estimands that a call asks for.

    Parameters
    ----------
    cells : Cells
        Cohorts and periods with an effect.
    estimand : {"simple", "cohort", "calendar", "event"}
        The average.
    """
    rollout, post = cells.rollout, cells.post
    sizes = rollout.sizes[cells.cohort]
    events, cohorts = np.unique(cells.event), np.unique(cells.cohort[post])
    by_event = [_shares(cells.event == event, sizes) for event in events]
    by_cohort = [_shares(post & (cells.cohort == cohort), np.ones(len(sizes))) for cohort in cohorts]
    cohort_keys: list[dict[str, Any]] = [{"cohort": rollout.label(int(cohort))} for cohort in cohorts]
    rows, keys, after = by_event, [{"event": int(event)} for event in events], events >= 0
    if estimand == "simple":
        overall = _shares(post, sizes)
    elif estimand == "event":
        overall = np.mean([row for row, late in zip(by_event, after, strict=True) if late], axis=0)
    elif estimand == "cohort":
        overall = np.average(by_cohort, axis=0, weights=rollout.sizes[cohorts])
        rows, keys, after = by_cohort, cohort_keys, np.ones(len(cohorts), dtype=bool)
    else:
        columns = np.unique(cells.column[post])
        rows = [_shares(post & (cells.column == column), sizes) for column in columns]
        overall = np.mean(rows, axis=0)
        keys = [{"period": rollout.sample.label(int(column))} for column in columns]
        after = np.ones(len(columns), dtype=bool)
    weights = np.vstack([overall, *rows, *by_cohort])
    theta, zero = cells.matrices(weights)
    behind = (weights > 0).astype(np.float64) @ (np.arange(len(rollout.starts)) == cells.cohort[:, None])
    return Targets(
        theta=theta,
        zero=zero,
        treated=(behind > 0) @ rollout.sizes,
        post=np.r_[True, after, np.ones(len(cohorts), dtype=bool)],
        keys=({}, *keys, *cohort_keys),
        joint=1 + len(rows),
        cohorts=cohorts,
        words=WORDS[estimand],
    )


def _shares(chosen: NDArray[np.bool_], weights: Floats) -> Floats:
    """Weights of a mean over chosen cells."""
    picked = np.where(chosen, weights, 0.0)
    return np.asarray(picked / picked.sum())
