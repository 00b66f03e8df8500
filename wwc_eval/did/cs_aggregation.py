"""Averages of the effects by cohort and period, as a result of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_averages import Averages
from wwc_eval.did.cs_tables import BandedEstimates, Spread, banded_grid, estimates_of, spread_of
from wwc_eval.did.effects import with_permutations
from wwc_eval.did.event_path import EventPath
from wwc_eval.did.guard import guarded
from wwc_eval.did.guard_events import guarded_events, guarded_periods, moving_bases
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.callaway import CallawaySantAnna
    from wwc_eval.did.panel import Panel

__all__ = ["Aggregation"]

Floats = NDArray[np.float64]
_KEYS = {"event": "event", "cohort": "cohort", "calendar": "period"}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Aggregation(Rendered):
    """Averages of effects: one overall, and one an event, cohort or calendar period.

    Parameters
    ----------
    kind : {"simple", "event", "cohort", "calendar"}
        What was averaged.
    averages : Averages
        Their values and what they are of the effects.
    result : CallawaySantAnna
        The effects behind them.
    """

    kind: str
    averages: Averages
    result: CallawaySantAnna

    @property
    def panel(self) -> Panel:
        """The panel behind it."""
        return self.result.panel

    @property
    def method(self) -> str:
        """The estimator and its inference in one sentence."""
        return self.result.method

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and what a reader must know."""
        return (*self.result.notes, *self._said)

    @property
    def _said(self) -> tuple[str, ...]:
        if self.kind != "event" or len(self._bases) < 2:
            return ()
        events = ", ".join(map(str, self._bases))
        words = (
            f"Periods are missing, so that cohorts have their base at different events ({events}): no event is a "
            "reference to all."
        )
        return (words,)

    @cached_property
    def _spread(self) -> Spread:
        band = slice(0, 1) if self.kind == "simple" else slice(1, None)
        result = self.result
        return spread_of(result.functions, self.averages.contrasts, result.multipliers, result.level, band)

    @cached_property
    def overall(self) -> Estimate:
        """The overall average; ``details["average"]`` says which."""
        alone = Spread(se=self._spread.se[:1], critical=np.nan)
        one = estimates_of(
            self.averages.values[:1], alone, ["ATT"], level=self.result.level, shared=self.result.shared
        )[0]
        return guarded(one.replace(details={"average": self.averages.words}), self.panel)

    @cached_property
    def estimates(self) -> BandedEstimates:
        """The averages by event, cohort or period; the overall one alone for ``simple``."""
        if self.kind == "simple":
            return BandedEstimates([self.overall], title=self.method, notes=self.notes)
        name = _KEYS[self.kind]
        keys = [{name: self._label(key)} for key in self.averages.keys]
        terms = [f"{name} {key[name]}" for key in keys]
        spread = Spread(se=self._spread.se[1:], critical=self._spread.critical)
        items = estimates_of(
            self.averages.values[1:], spread, terms, level=self.result.level, shared=self.result.shared
        )
        if self.kind == "cohort":
            dates = [int(self.result.group_times.cohorts[key]) for key in self.averages.keys]
            items = [guarded(one, self.panel, cohort=date) for one, date in zip(items, dates, strict=True)]
        if self.kind == "event":
            events = [int(key) for key in self.averages.keys]
            bases = moving_bases(events, self.result.base, self.result.anticipation)
            items = guarded_events(items, events, self.panel, bases)
        if self.kind == "calendar":
            periods = [int(key) for key in self.averages.keys]
            items = guarded_periods(items, periods, self.panel, -1 - self.result.anticipation)
        return BandedEstimates(items, keys, title=self.method, notes=self.notes)

    def _label(self, key: int) -> Any:
        if self.kind == "event":
            return key
        position = int(self.result.group_times.cohorts[key]) if self.kind == "cohort" else key
        return self.panel.period_label(position)

    @cached_property
    def vcov(self) -> Floats:
        """Analytic covariance of the overall average and the others, shape (1 + m, 1 + m)."""
        return self.result.functions.covariance(self.averages.contrasts)

    @cached_property
    def influence(self) -> Floats:
        """What each cluster adds, shape (clusters, 1 + m): the covariance is ``influence' influence``."""
        return self.result.functions.by_cluster(self.averages.contrasts)

    @cached_property
    def unit_influence(self) -> Floats:
        """What each unit adds, shape (n, 1 + m), in the order of ``panel.units``."""
        return self.result.functions.by_unit(self.averages.contrasts)

    @cached_property
    def _bases(self) -> tuple[int, ...]:
        """Events that a universal base lies at: where periods are missing, the last before them; none if it varies."""
        if self.result.base != "universal":
            return ()
        table = self.result.group_times
        return tuple(np.unique(table.times[table.base] - table.times[table.first]).tolist())

    @cached_property
    def path(self) -> EventPath | None:
        """Effects by event with their joint covariance; None for other averages. Without a reference if cohorts differ in theirs."""
        if self.kind != "event":
            return None
        return EventPath(
            events=np.array(self.averages.keys),
            estimates=self.averages.values[1:],
            vcov=self.vcov[1:, 1:],
            reference=self._bases[0] if len(self._bases) == 1 else None,
            anticipation=self.result.anticipation,
            units=str(self.result.shared["units"]),
        )

    def bootstrap(self, draws: int = 9_999, *, rng: Any, multiplier: Any = "rademacher") -> Aggregation:
        """The same averages with bootstrap errors and a simultaneous band; see :meth:`CallawaySantAnna.bootstrap`."""
        drawn = self.result.bootstrap(draws, rng=rng, multiplier=multiplier)
        return Aggregation(kind=self.kind, averages=self.averages, result=drawn)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The overall average, then the rows of ``estimates``."""
        rows = self.estimates.to_dicts()
        if self.kind == "simple":
            return rows
        head = {**dict.fromkeys(rows[0]), **self.overall.to_dict()}
        return with_permutations([head, *rows], [self.overall, *self.estimates])

    def _shown(self) -> Estimates:
        return Estimates([self.overall, *self.estimates] if self.kind != "simple" else [self.overall])

    def _grid(self) -> Grid:
        return banded_grid(self._shown().items, self.estimates.banded)

    def _title(self) -> str:
        return self.method

    def _notes(self) -> tuple[str, ...]:
        rest = self.result._notes()
        return (rest[0], f"ATT: {self.averages.words}.", *self._said, *rest[1:])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Averages with their intervals; by event as an event study, with the simultaneous band after a bootstrap."""
        from wwc_eval.did.cs_plot import plot_averages

        return plot_averages(self, ax)
