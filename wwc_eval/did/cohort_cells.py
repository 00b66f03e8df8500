"""Regressions with an effect for every cohort and period, and their averages by event and by cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.effects import DidResult, EffectEstimates, Inference
from wwc_eval.did.guard import guarded, withheld
from wwc_eval.did.guard_events import Bases, fixed_bases, guarded_cells
from wwc_eval.did.least_squares import Grouped
from wwc_eval.did.sample import Sample, latest, treated_reference
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats

__all__ = ["CohortCells", "cohort_cells"]


@dataclass(frozen=True, kw_only=True)
class CohortCells:
    """Cohorts and periods that have an effect of their own.

    Parameters
    ----------
    sample : Sample
        The cells in use.
    cohort, column : ndarray of int, shape (m,)
        Position of each cohort's first treated period, and of the period.
    event : ndarray of int, shape (m,)
        Periods since treatment.
    weight : ndarray, shape (m,)
        Weight of the cells in use.
    """

    sample: Sample
    cohort: NDArray[np.int64]
    column: NDArray[np.int64]
    event: NDArray[np.int64]
    weight: Floats

    def tables(self, adopted: NDArray[np.int64]) -> Floats:
        """Indicator of each of them for units or groups with these first treated periods, shape (G, T, m)."""
        found = np.zeros((len(adopted), self.sample.n_periods, len(self.cohort)))
        for k, (cohort, column) in enumerate(zip(self.cohort, self.column, strict=True)):
            found[adopted == cohort, column, k] = 1.0
        return found

    def of_groups(self, data: Grouped) -> Floats:
        """Indicators for the groups of a panel."""
        return self.tables(self.sample.adopted[data.first])

    @property
    def terms(self) -> tuple[str, ...]:
        """Name of each."""
        label = self.sample.label
        return tuple(
            f"cohort[{label(int(cohort))}] period[{label(int(column))}]"
            for cohort, column in zip(self.cohort, self.column, strict=True)
        )

    @property
    def keys(self) -> tuple[dict[str, Any], ...]:
        """Cohort, period and event of each."""
        label = self.sample.label
        return tuple(
            {"cohort": label(int(cohort)), "period": label(int(column)), "event": int(event)}
            for cohort, column, event in zip(self.cohort, self.column, self.event, strict=True)
        )

    @property
    def events(self) -> NDArray[np.int64]:
        """Distinct events, ascending."""
        return np.unique(self.event)

    @property
    def cohorts(self) -> NDArray[np.int64]:
        """Cohorts with an effect after treatment, ascending."""
        return np.unique(self.cohort[self.event >= 0])

    def averages(self, n_parameters: int) -> Floats:
        """Contrasts of coefficients, the cells' first: overall, by event, by cohort, each cell; in columns."""
        post = self.event >= 0
        groups = [post, *(self.event == event for event in self.events)]
        groups += [post & (self.cohort == cohort) for cohort in self.cohorts]
        found = np.zeros((n_parameters, len(groups) + len(self.cohort)))
        for k, group in enumerate(groups):
            found[: len(self.cohort), k] = np.where(group, self.weight, 0.0) / self.weight[group].sum()
        found[: len(self.cohort), len(groups) :] = np.eye(len(self.cohort))
        return found

    def result(
        self,
        found: Inference,
        *,
        reference: int | None,
        influence: Floats | None,
        notes: Sequence[str] = (),
        overall: str = "mean effect on the treated",
        permuted: bool = True,
    ) -> DidResult:
        """The result, from estimates in the order of :meth:`averages`; ``permuted`` as in :class:`DidResult`."""
        sample = self.sample
        events, cohorts = self.events, self.cohorts
        bases = fixed_bases(events.tolist(), reference)
        by_event = list(range(1, len(events) + 1))
        by_cohort = list(range(len(events) + 1, len(events) + len(cohorts) + 1))
        cells = list(range(len(events) + len(cohorts) + 1, len(found.values)))
        labels = [sample.label(int(cohort)) for cohort in cohorts]
        return DidResult(
            method=str(found.shared["method"]),
            overall=found.one(0, overall, weights="treated cells"),
            estimates=found.table(
                by_event, [{"event": int(event)} for event in events], [f"event[{event}]" for event in events]
            ),
            path=found.path(by_event, events.tolist(), reference),
            panel=sample.panel,
            by_cohort=self._guarded(
                found.table(by_cohort, [{"cohort": one} for one in labels], [f"cohort[{one}]" for one in labels]),
                cohorts,
                permuted=permuted,
            ),
            cells=self._guarded_cells(found.table(cells, self.keys, self.terms), bases, permuted=permuted),
            influence=None if influence is None else influence[:, : len(events) + 1],
            notes=(*sample.notes, *notes, *treated_reference(reference)),
            permuted=permuted,
        )

    def _guarded(self, table: EffectEstimates, cohorts: NDArray[np.int64], *, permuted: bool) -> EffectEstimates:
        """The table with a permutation beside every effect of a cohort of few clusters."""
        columns = self.sample.columns
        judge = guarded if permuted else withheld
        items = [
            judge(item, self.sample.panel, cohort=int(columns[int(cohort)]))
            for item, cohort in zip(table, cohorts, strict=True)
        ]
        return EffectEstimates(items, table.keys, title=table.title, notes=table.notes)

    def _guarded_cells(self, table: EffectEstimates, bases: Bases, *, permuted: bool) -> EffectEstimates:
        """The table with a permutation beside every effect of a cohort and period that few are seen at."""
        columns = self.sample.columns
        cells = list(
            zip(columns[self.cohort].tolist(), columns[self.column].tolist(), self.event.tolist(), strict=True)
        )
        items = guarded_cells(table.items, cells, self.sample.panel, bases, permuted=permuted)
        return EffectEstimates(items, table.keys, title=table.title, notes=table.notes)


def cohort_cells(sample: Sample, *, reference: int | None, first: int | None = 0) -> CohortCells:
    """Effects of every cohort in every period but the reference event; from event ``first`` on without one.

    Raises
    ------
    DesignError
        If a cohort is not seen at the reference event, or no treated cell has an outcome.
    """
    weights = sample.cohort_weights
    rows: list[tuple[int, int, int, float]] = []
    for cohort, weight in zip(sample.cohorts, weights, strict=True):
        event = sample.event(int(cohort))
        if reference is not None and not ((event == reference) & (weight > 0)).any():
            raise DesignError(
                f"the cohort of {sample.label(int(cohort))} is not seen at event {reference}, the reference",
                fix=f"take reference={latest(event[weight > 0])}, or control='not_yet' in extended_twfe, or leave the cohort out "
                "with panel.without(...)",
            )
        wanted = event != reference
        if reference is None:
            wanted = np.full(len(event), True) if first is None else event >= first
        rows += [
            (int(cohort), int(column), int(event[column]), float(weight[column]))
            for column in np.flatnonzero(wanted & (weight > 0))
        ]
    if not any(event >= 0 for _, _, event, _ in rows):
        raise DesignError(
            "no treated cell has an outcome, so there is no effect to estimate",
            fix="look at panel.timing(), and keep periods in which treated units are seen",
        )
    found = np.array([row[:3] for row in rows], dtype=np.int64)
    return CohortCells(
        sample=sample,
        cohort=found[:, 0],
        column=found[:, 1],
        event=found[:, 2],
        weight=np.array([row[3] for row in rows]),
    )
