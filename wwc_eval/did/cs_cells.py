"""Which effects by cohort and period can be estimated: the base period and the comparison cohorts of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel import Panel
from wwc_eval.errors import DesignError

__all__ = ["GroupTimes", "group_times"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class GroupTimes:
    """Effects ATT(g, t), one entry each, in order of cohort and period.

    Parameters
    ----------
    cohorts : ndarray of int, shape (C,)
        First treated position of each cohort of the panel; T for the never treated.
    cohort, period, base : ndarray of int, shape (K,)
        Index of the cohort among ``cohorts``, position of the period, and position of the base period.
    controls : ndarray of bool, shape (K, C)
        Cohorts that the effect is compared with.
    times : ndarray of int, shape (T,)
        Regular index of the periods.
    """

    cohorts: Ints
    cohort: Ints
    period: Ints
    base: Ints
    controls: NDArray[np.bool_]
    times: Ints

    def __len__(self) -> int:
        """Number of effects K."""
        return len(self.cohort)

    @property
    def first(self) -> Ints:
        """First treated position of the cohort of each effect, shape (K,)."""
        return self.cohorts[self.cohort]

    @property
    def event(self) -> Ints:
        """Periods since the first treated one, shape (K,)."""
        return self.times[self.period] - self.times[self.first]

    @property
    def post(self) -> NDArray[np.bool_]:
        """Whether the period is at or after the first treated one, shape (K,)."""
        return self.period >= self.first

    def take(self, keep: NDArray[np.bool_]) -> GroupTimes:
        """Some of the effects."""
        return GroupTimes(
            cohorts=self.cohorts,
            cohort=self.cohort[keep],
            period=self.period[keep],
            base=self.base[keep],
            controls=self.controls[keep],
            times=self.times,
        )


def group_times(panel: Panel, *, control: str, base: str, anticipation: int) -> GroupTimes:
    """Effects that the panel's timing allows.

    Base period: the last one before treatment and its anticipation; with a varying base, before that, the period
    before. Comparison: the never treated; or all who are neither treated nor anticipate in either period.

    Raises
    ------
    DesignError
        If there is no treated cohort with a period before it, or no comparison.
    """
    cohorts, times, length = panel.cohorts, panel.times, panel.n_periods
    never = cohorts == length
    _check(panel, control, never)
    starts = np.where(never, np.iinfo(np.int64).max, times[np.minimum(cohorts, length - 1)])
    entries: list[tuple[int, int, int]] = []
    controls: list[NDArray[np.bool_]] = []
    for index, cohort in enumerate(cohorts):
        if cohort == length:
            continue
        before = np.flatnonzero(times + anticipation < times[cohort])
        if not before.size:
            continue
        last = int(before[-1])
        for period in range(length):
            reference = last if base == "universal" or period > last else period - 1
            if reference < 0 or reference == period:
                continue
            if control == "never":
                used = never
            else:
                used = starts > times[max(period, reference)] + anticipation
                used[index] = False
            if used.any():
                entries.append((index, period, reference))
                controls.append(used)
    if not entries:
        raise DesignError(
            "no effect can be estimated: no treated unit has both a period before treatment and a comparison",
            fix="use control='not_yet', less anticipation, or a panel that begins earlier",
        )
    table = np.array(entries, dtype=np.int64)
    return GroupTimes(
        cohorts=cohorts,
        cohort=table[:, 0],
        period=table[:, 1],
        base=table[:, 2],
        controls=np.array(controls),
        times=times,
    )


def _check(panel: Panel, control: str, never: NDArray[np.bool_]) -> None:
    if never.all():
        raise DesignError(
            "no unit of the panel is treated",
            fix="give cohort= or treated= to the panel, or use panel.with_adopted(...)",
        )
    if control == "never" and not never.any():
        label = panel.period_label(int(panel.cohorts[-1]))
        raise DesignError(
            "control == 'never', but every unit is treated within the panel",
            fix=f"use control='not_yet': the cohort of {label} then serves until it is treated",
        )
