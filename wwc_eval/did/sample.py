"""The cells of a panel that a regression estimator uses, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.least_squares import Grouped
from wwc_eval.did.panel import Panel
from wwc_eval.errors import DesignError, shown
from wwc_eval.inference.families import Floats

__all__ = ["Sample", "sample_of"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Cells in use.

    Parameters
    ----------
    panel : Panel
        The panel behind it.
    rows : ndarray of int, shape (n,)
        Positions in ``panel.units`` of the units kept.
    columns : ndarray of int, shape (T,)
        Positions in ``panel.periods`` of the periods kept.
    outcomes, weights : ndarray, shape (n, T)
        Both 0 where a cell is missing.
    adopted : ndarray of int, shape (n,)
        Position among the periods kept of the first treated one; T for the controls.
    covariates : ndarray, shape (n, T, p)
        Covariates, 0 where a cell is missing.
    names : tuple of str
        Names of the covariates.
    notes : tuple of str
        What was left out, and why.
    """

    panel: Panel
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    outcomes: Floats
    weights: Floats
    adopted: Ints
    covariates: Floats
    names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def n_periods(self) -> int:
        """Periods kept."""
        return len(self.columns)

    @cached_property
    def times(self) -> Ints:
        """Regular index of the periods kept."""
        return self.panel.times[self.columns]

    @cached_property
    def clusters(self) -> Ints:
        """Cluster of each unit kept."""
        return self.panel.clusters[self.rows]

    @cached_property
    def cohorts(self) -> Ints:
        """First treated period of each treated cohort, ascending."""
        return np.flatnonzero(np.bincount(self.adopted, minlength=1)[: self.n_periods]).astype(np.int64)

    @cached_property
    def treated(self) -> NDArray[np.bool_]:
        """Which cells are treated, shape (n, T)."""
        return np.arange(self.n_periods) >= self.adopted[:, None]

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Which cells are in use, shape (n, T)."""
        return self.weights > 0

    @cached_property
    def n_cells(self) -> int:
        """Cells in use."""
        return int(np.count_nonzero(self.weights))

    def event(self, cohort: int) -> Ints:
        """Periods since treatment of one cohort, shape (T,)."""
        return np.asarray(self.times - self.times[cohort])

    def label(self, column: int) -> Any:
        """Label of a period kept."""
        return self.panel.period_label(int(self.columns[column]))

    @cached_property
    def cohort_weights(self) -> Floats:
        """Weight of each treated cohort in each period, shape (cohorts, T)."""
        return np.array([self.weights[self.adopted == cohort].sum(axis=0) for cohort in self.cohorts])

    def grouped(self, *, own: bool = False) -> Grouped:
        """The units brought together by cohort; each for itself where ``own`` or with covariates."""
        kinds = None if own or self.names else self.adopted.astype(np.intp)
        return Grouped.of(self.outcomes, self.weights, self.clusters.astype(np.intp), kinds)

    def with_covariates(self, tables: Floats) -> Floats:
        """Regressors (G, T, K) and, after them, the covariates."""
        return np.concatenate([tables, self.covariates], axis=2) if self.names else tables

    def replace(self, **changes: Any) -> Sample:
        """Copy with some fields changed."""
        return replace(self, **changes)


def need_panel(panel: Any, what: str) -> None:
    """Refuse a table where a panel is wanted.

    Parameters
    ----------
    panel : Any
        What was given.
    what : str
        The verb, for the error.

    Raises
    ------
    DesignError
        If it is no Panel.
    """
    if not isinstance(panel, Panel):
        given = shown(panel) if isinstance(panel, str | int | float | None) else type(panel).__name__
        raise DesignError(
            f"{what} needs a Panel, got {given}", fix="make one: we.Panel(data, unit=..., period=..., outcome=...)"
        )


def sample_of(
    panel: Panel,
    what: str,
    *,
    covariates: str | Sequence[str] | None = None,
    keep_always: bool = False,
    until_last: bool = False,
) -> Sample:
    """Cells that an estimator uses.

    Parameters
    ----------
    panel : Panel
        The panel.
    what : str
        The estimator, for errors.
    covariates : str or sequence of str, optional
        Columns of covariates; cells without them are left out.
    keep_always : bool
        Whether units treated in their every period stay.
    until_last : bool
        Where no unit is never treated: the last cohort serves as control, and the periods from its first
        treated one on are left out.

    Raises
    ------
    DesignError
        If the panel has no units seen again, nothing treated, or nothing to compare with.
    """
    need_panel(panel, what)
    panel.need_units(what)
    names = (covariates,) if isinstance(covariates, str) else tuple(covariates or ())
    for role in ("outcome", "treated"):
        if panel.columns[role] in names:
            raise DesignError(
                f"covariate {shown(panel.columns[role])} is the panel's {role} column",
                rule="what a covariate explains may not be the outcome or the treatment itself",
                fix="leave it out of covariates=",
            )
    rows, columns = np.arange(panel.n_units), np.arange(panel.n_periods)
    adopted = panel.adopted
    notes: list[str] = []
    always = adopted == 0
    if always.any() and not keep_always:
        rows = rows[~always]
        adopted = adopted[~always]
        notes.append(f"{_some(panel, always)} treated in every period left out: no period to compare with.")
    if not (adopted < panel.n_periods).any():
        raise DesignError(
            f"no unit of the panel becomes treated: {what} has nothing to estimate",
            fix="give cohort= or treated= to the panel, or placebo dates with panel.with_adopted(...)",
        )
    if until_last and (adopted < panel.n_periods).all():
        columns, adopted, note = _last_as_control(panel, adopted, columns, what)
        notes.append(note)
    weights = panel.weights[:, None] if panel.cell_weights is None else np.nan_to_num(panel.cell_weights)
    present = panel.observed
    stack = np.empty((panel.n_units, panel.n_periods, 0))
    if names:
        stack = np.stack([panel.covariate(name) for name in names], axis=2)
        whole = np.isfinite(stack).all(axis=2)
        lost = int((present & ~whole).sum())
        if lost:
            notes.append(f"{lost:,} cells without {' or '.join(names)} left out.")
        present = present & whole
        stack = np.where(present[:, :, None], stack, 0.0)
    cut = np.ix_(rows, columns)
    everything = len(rows) == panel.n_units and len(columns) == panel.n_periods
    weights = np.where(present, weights, 0.0)
    outcomes = panel.outcomes if present.all() else np.where(present, panel.outcomes, 0.0)
    return Sample(
        panel=panel,
        rows=rows,
        columns=columns,
        outcomes=outcomes if everything else outcomes[cut],
        weights=weights if everything else weights[cut],
        adopted=adopted,
        covariates=stack if everything else stack[cut],
        names=names,
        notes=tuple(notes),
    )


def _some(panel: Panel, which: NDArray[np.bool_]) -> str:
    count = int(which.sum())
    named = ", ".join(str(unit) for unit in panel.units[which][:3]) + (" ..." if count > 3 else "")
    return f"{count:,} unit{'s' if count > 1 else ''} ({named})"


def _last_as_control(
    panel: Panel, adopted: Ints, columns: NDArray[np.intp], what: str
) -> tuple[NDArray[np.intp], Ints, str]:
    cohorts = np.unique(adopted)
    if len(cohorts) < 2:
        raise DesignError(
            f"every unit becomes treated in {panel.period_label(int(cohorts[0]))}: {what} has no control",
            fix="include units that are treated later or never",
        )
    last = int(cohorts[-1])
    note = (
        f"No unit is never treated: the cohort of {panel.period_label(last)} is the control, and periods from then "
        "on are left out."
    )
    return columns[:last], np.minimum(adopted, last), note


def treated_reference(reference: int | None) -> tuple[str, ...]:
    """What must be said of a reference event at which units are treated already.

    Examples
    --------
    >>> treated_reference(-2)
    ()
    """
    if reference is None or reference < 0:
        return ()
    words = (
        f"Units are treated at event {reference}, the reference: what stands here are differences from the effect there, "
        "and the mean leaves that event out. For effects take an event before treatment."
    )
    return (words,)


def latest(events: NDArray[np.int64]) -> int:
    """The last event before treatment among events that are seen, or the first of all: what a fix names as reference."""
    before = events[events < 0]
    return int(before.max() if before.size else events.min())
