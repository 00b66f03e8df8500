"""Effects by event, cohort and period, and the result that every regression estimator returns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.event_path import EventPath
from wwc_eval.did.few_counts import FEWER
from wwc_eval.did.guard import guard_of, guarded, withheld
from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_faults import listed
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.families import Floats
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["DidResult", "EffectEstimates", "Inference", "with_permutations", "without_rounding"]

SMALL, ROUNDING = 1e-6, 1e-12
THIN = f"{FEWER.capitalize()} are seen at"
NO_RESIDUAL = "no residual is left in any cluster, so the error cannot be estimated: none is given"


@dataclass(frozen=True, eq=False, repr=False, init=False)
class EffectEstimates(Estimates):
    """Estimates that say which event, cohort or period each belongs to.

    Parameters
    ----------
    items : iterable of Estimate
        The estimates.
    keys : sequence of mapping
        For each, its ``event``, ``cohort`` or ``period``: the first columns of the table.
    title, notes
        As in :class:`~wwc_eval.estimate.Estimates`.
    """

    keys: tuple[Mapping[str, Any], ...] = ()

    def __init__(
        self,
        items: Iterable[Estimate],
        keys: Sequence[Mapping[str, Any]] = (),
        *,
        title: str = "",
        notes: Iterable[str] = (),
    ) -> None:
        super().__init__(items, title=title, notes=notes)
        object.__setattr__(self, "keys", tuple(keys) or tuple({} for _ in self.items))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of the keys, then ``term, estimate, se, df, statistic, p_value, ci_low, ci_high``.

        After them ``permutation_p``, where one stands beside a conventional error of few treated.
        """
        rows = [{**key, **item.to_dict()} for key, item in zip(self.keys, self.items, strict=True)]
        return with_permutations(rows, self.items)

    def to_frame(self, *, full: bool = False) -> pd.DataFrame:
        """The keys and the columns of :meth:`to_dicts`; every field of the estimates with ``full=True``."""
        import pandas as pd

        if not full and self.items:
            return pd.DataFrame(self.to_dicts())
        rest = super().to_frame(full=full)
        if not self.keys or not self.keys[0]:
            return rest
        return pd.concat([pd.DataFrame(list(self.keys), index=rest.index), rest], axis=1)


def with_permutations(rows: list[dict[str, Any]], items: Sequence[Estimate]) -> list[dict[str, Any]]:
    """Rows of estimates with the permutation beside them, where any has one: no conventional error of few goes alone.

    Parameters
    ----------
    rows : list of dict
        Rows of a table.
    items : sequence of Estimate
        The estimates behind them.
    """
    if not any("permutation_p" in item.details for item in items):
        return rows
    return [
        {**row, "permutation_p": item.details.get("permutation_p", math.nan)}
        for row, item in zip(rows, items, strict=True)
    ]


def without_rounding(estimate: Estimate, panel: Panel) -> Estimate:
    """An estimate without its error where that is zero but for rounding: every cluster is fitted exactly.

    Parameters
    ----------
    estimate : Estimate
        With an error in the units of the outcome.
    panel : Panel
        The panel behind it, whose largest outcome says what rounding is.
    """
    # one look at the estimate spares nearly all panels the look at their cells
    if not estimate.se <= SMALL * max(abs(estimate.estimate), 1.0):
        return estimate
    if estimate.se > ROUNDING * float(np.nanmax(np.abs(panel.outcomes))):
        return estimate
    blank = dict.fromkeys(("se", "df", "statistic", "p_value", "ci_low", "ci_high"), math.nan)
    return estimate.replace(**blank, warnings=(*estimate.warnings, NO_RESIDUAL))


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Estimates with their joint covariance, on their way to tables.

    Parameters
    ----------
    values : ndarray, shape (m,)
        Estimates.
    vcov : ndarray, shape (m, m)
        Their covariance.
    df : ndarray, shape (m,)
        Degrees of freedom of each; infinity for the normal.
    level : float
        Coverage of the intervals.
    shared : mapping
        Fields that all estimates share: method, units, n, n_clusters, warnings, citation, scale.
    cautions : mapping
        What must be said of single ones, by their position.
    """

    values: Floats
    vcov: Floats
    df: Floats
    level: float
    shared: Mapping[str, Any]
    cautions: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def se(self) -> Floats:
        """Standard errors."""
        return np.sqrt(np.maximum(np.diag(self.vcov), 0.0))

    def one(self, index: int, term: str, **details: Any) -> Estimate:
        """One of them as an Estimate."""
        caution = (self.cautions[index],) if index in self.cautions else ()
        return Estimate.from_normal(
            term=term,
            estimate=float(self.values[index]),
            se=float(self.se[index]),
            df=float(self.df[index]),
            level=self.level,
            details=details,
            **{**self.shared, "warnings": (*self.shared.get("warnings", ()), *caution)},
        )

    def table(
        self, indices: Sequence[int], keys: Sequence[Mapping[str, Any]], terms: Sequence[str]
    ) -> EffectEstimates:
        """Several of them as a table."""
        items = [self.one(k, term) for k, term in zip(indices, terms, strict=True)]
        return EffectEstimates(items, keys, title=str(self.shared.get("method", "")))

    def path(self, indices: Sequence[int], events: Sequence[int], reference: int | None) -> EventPath:
        """Several of them as a path of effects by event."""
        chosen = np.asarray(indices, dtype=np.intp)
        return EventPath(
            events=np.asarray(events),
            estimates=self.values[chosen],
            vcov=self.vcov[np.ix_(chosen, chosen)],
            reference=reference,
            df=float(self.df[chosen].min()) if len(chosen) else np.inf,
            units=str(self.shared.get("units", "")),
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DidResult(Rendered):
    """What a regression estimator found.

    Parameters
    ----------
    method : str
        The estimator and its inference in one sentence.
    overall : Estimate
        The effect of treatment in one number; its ``term`` and ``details`` say which average it is.
    estimates : EffectEstimates
        Effects by event (column ``event``), or the coefficients where there are no events.
    path : EventPath or None
        Effects by event with their joint covariance.
    panel : Panel
        The panel behind it.
    cells : EffectEstimates or None
        Effects by cohort and period, where the estimator has them.
    by_cohort : EffectEstimates or None
        Effects by cohort, where the estimator has them.
    influence : ndarray, shape (clusters, 1 + events), or None
        What each cluster adds to the overall effect and to each of ``estimates``: the covariance is
        ``influence' influence``.
    notes : tuple of str
        What was left out, and what a reader must know.
    permuted : bool
        Whether the permutation of who was treated when judges these effects; where it does not, they have no error with
        fewer than five treated.
    bins : tuple of int or None
        Event that stands for itself and all earlier ones, and event that stands for itself and all later ones.
    own_test : bool
        Whether the estimates bring the test beside their errors with them: the guard then adds none.
    """

    method: str
    overall: Estimate
    estimates: EffectEstimates
    path: EventPath | None
    panel: Panel
    cells: EffectEstimates | None = None
    by_cohort: EffectEstimates | None = None
    influence: Floats | None = None
    notes: tuple[str, ...] = ()
    permuted: bool = True
    bins: tuple[int | None, int | None] = (None, None)
    own_test: bool = False

    def __post_init__(self) -> None:
        """With few treated the permutation stands beside the conventional error; one of rounding alone is none."""
        overall = without_rounding(self.overall, self.panel)
        if not self.own_test:
            overall = (guarded if self.permuted else withheld)(overall, self.panel)
        object.__setattr__(self, "overall", overall)
        for name in ("estimates", "cells", "by_cohort"):
            table = getattr(self, name)
            if table is not None:
                items = [without_rounding(item, self.panel) for item in table]
                changed = EffectEstimates(items, table.keys, title=table.title, notes=table.notes)
                object.__setattr__(self, name, changed)
        if not self.own_test and any("event" in key for key in self.estimates.keys):
            self._guard_events()

    def _guard_events(self) -> None:
        """The permutation beside each event; a word on events that few are seen at where more are treated in all."""
        from wwc_eval.did.guard_events import fixed_bases, guarded_events, thin_events

        table = self.estimates
        events = [key.get("event") for key in table.keys]
        known = [event for event in events if event is not None]
        few = guard_of(self.panel) is not None
        thin = [] if few else thin_events(known, self.panel, self.bins)
        if thin:
            named = f"event{'s' * (len(thin) > 1)} {listed(thin, most=12)}"
            end = "a permutation stands beside them" if self.permuted else "none are given; see few_treated"
            note = f"{THIN} {named}: conventional errors there are too small; {end}."
            # a result that is built in steps has said it of fewer events before
            kept = (said for said in self.notes if not said.startswith(THIN))
            object.__setattr__(self, "notes", (*kept, note))
        if few and not self.permuted:
            items = [withheld(item, self.panel) for item in table]
        elif few or thin:
            bases = fixed_bases(known, self.path.reference if self.path is not None else -1, self.bins)
            items = guarded_events(table.items, events, self.panel, bases, bins=self.bins, permuted=self.permuted)
        else:
            return
        changed = EffectEstimates(items, table.keys, title=table.title, notes=table.notes)
        object.__setattr__(self, "estimates", changed)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The overall effect, then the rows of ``estimates``."""
        keys = self.estimates.keys[0] if self.estimates.keys else {}
        rest = [{**key, **item.to_dict()} for key, item in zip(self.estimates.keys, self.estimates, strict=True)]
        rows = [{**dict.fromkeys(keys), **self.overall.to_dict()}, *rest]
        return with_permutations(rows, [self.overall, *self.estimates])

    def _shown(self) -> Estimates:
        rest = [item for item in self.estimates if item.term != self.overall.term]
        return Estimates([self.overall, *rest])

    def _grid(self) -> Grid:
        return self._shown()._grid()

    def _title(self) -> str:
        return self.method

    def _notes(self) -> tuple[str, ...]:
        one = self.overall
        sample = f"{one.n:,} cells" + (f", {one.n_clusters:,} clusters" if one.n_clusters is not None else "")
        return tuple(note for note in (sample + ".", *self.notes, *one.warnings, one.citation) if note)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Effects by event with their intervals; the estimates side by side where there are no events."""
        from wwc_eval.did.effects_plot import plot_estimates, plot_path

        return plot_path(self, ax) if self.path is not None else plot_estimates(self, ax)
