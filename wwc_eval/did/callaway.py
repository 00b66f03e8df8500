"""Callaway and Sant'Anna: effects by cohort and period, never comparing with units already treated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_averages import KINDS, averages, every_effect
from wwc_eval.did.cs_cells import GroupTimes, group_times
from wwc_eval.did.cs_influence import MULTIPLIERS, Influence
from wwc_eval.did.cs_tables import BandedEstimates, Multipliers, banded_grid, estimates_of, spread_of
from wwc_eval.did.event_path import EventPath
from wwc_eval.did.few_counts import FEW, FEWER, joiners
from wwc_eval.did.guard import guard_warnings
from wwc_eval.did.guard_cells import cohort_p_values
from wwc_eval.did.panel import Panel
from wwc_eval.errors import DesignError, check_choice, check_number, shown
from wwc_eval.estimate import Estimate
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.did.cs_aggregation import Aggregation

__all__ = ["CallawaySantAnna", "callaway_santanna"]

Floats = NDArray[np.float64]
CITATION = "Callaway and Sant'Anna 2021, doi:10.1016/j.jeconom.2020.12.001"
_METHODS = {
    "dr": "doubly robust given {}",
    "ipw": "inverse probability weighting given {}",
    "or": "outcome regression given {}",
}


def callaway_santanna(
    panel: Panel,
    *,
    control: Literal["never", "not_yet"] = "never",
    base: Literal["varying", "universal"] = "varying",
    anticipation: int = 0,
    covariates: str | Sequence[str] | None = None,
    method: Literal["dr", "ipw", "or"] = "dr",
    level: float = 0.95,
) -> CallawaySantAnna:
    """Effects by cohort and period (Callaway and Sant'Anna 2021), and every average of them.

    Parameters
    ----------
    panel : Panel
        Balanced, unbalanced, or repeated cross-sections.
    control : {"never", "not_yet"}
        Comparison: units never treated within the panel, or those not yet treated (nor anticipating) by the later
        of the two periods.
    base : {"varying", "universal"}
        Effects before treatment are changes from the period before (varying), or from the last period before
        treatment and its anticipation (universal). Effects after treatment are the same.
    anticipation : int
        Periods before treatment in which an effect is allowed.
    covariates : str or sequence of str, optional
        Columns given which trends are parallel; text becomes indicators. In panels they are read in the earlier of
        the two periods; in repeated cross-sections they are those of each row (a child's age, sex, need code).
    method : {"dr", "ipw", "or"}
        With covariates: doubly robust, inverse probability weighting (weights that add to 1), outcome regression.
    level : float
        Coverage of the intervals.

    Returns
    -------
    CallawaySantAnna
        ``estimates`` by cohort and period; ``overall``; ``path``; :meth:`~CallawaySantAnna.aggregate` and
        :meth:`~CallawaySantAnna.bootstrap`.

    Raises
    ------
    DesignError
        If an option is none, nothing is treated, or there is no comparison.
    DataError
        If a covariate is not there.

    Notes
    -----
    Formula: ATT(g, t) = E[Y_t - Y_b | G = g] - E[Y_t - Y_b | controls] with b the base period. Errors are the root
    of the sum of squared influences (no small-sample factor, as R's did), normal inference, clustered where the
    panel has clusters; with few treated units they are too small (see ``few_treated``). Unbalanced panels: each
    effect uses the units seen in both of its periods. Weights are those of the units.

    Repeated cross-sections given covariates: propensity and regressions are of rows, and rows of both periods stand
    for one population. So it assumes that the covariates of cohort and of comparison have one distribution in both
    periods of an effect (stationary composition), that every kind of treated row occurs in the comparison in both
    (overlap), and that treatment changes neither the covariates nor who is in the data. ``"dr"`` is the locally
    efficient estimator (DRDID's ``drdid_rc``), right if the propensity, or the regressions of the comparison, are;
    ``"ipw"`` is ``std_ipw_did_rc``, ``"or"`` is ``reg_did_rc``. Rows without a covariate are in no effect; comparison
    rows of a level of text that no treated row of the effect has are left out of it. Sources: Callaway and
    Sant'Anna (2021), doi:10.1016/j.jeconom.2020.12.001; Sant'Anna and Zhao (2020),
    doi:10.1016/j.jeconom.2020.06.003.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> data = pd.read_csv("sample_data/la_panel.csv")
    >>> panel = we.Panel(data, unit="local_authority", period="year", outcome="cla_starts_rate", cohort="programme_from")
    >>> result = callaway_santanna(panel)
    >>> round(result.overall.estimate, 2), len(result.estimates)
    (-3.33, 36)
    """
    if not isinstance(panel, Panel):
        raise DesignError(
            f"callaway_santanna needs a Panel, got {shown(panel)}", fix="make one: we.Panel(data, unit=..., ...)"
        )
    check_choice("control", control, ("never", "not_yet"))
    check_choice("base", base, ("varying", "universal"))
    check_choice("method", method, tuple(_METHODS))
    check_number("level", level, above=0, below=1)
    if (
        isinstance(anticipation, bool)
        or int(check_number("anticipation", anticipation, at_least=0)) != anticipation
    ):
        raise DesignError(f"anticipation == {shown(anticipation)}, must be a whole number of periods")
    from wwc_eval.did.cs_design import covariate_names

    names = covariate_names(covariates)
    cells = group_times(panel, control=control, base=base, anticipation=int(anticipation))
    values, functions, lost, unused = _effects(panel, cells, names, method)
    idle = () if names or method == "dr" else ("method is not used: no covariates are named.",)
    return CallawaySantAnna(
        panel=panel,
        control=control,
        base=base,
        anticipation=int(anticipation),
        covariates=names,
        adjustment=method if names else None,
        group_times=cells,
        values=values,
        functions=functions,
        level=float(level),
        unused=unused,
        notes=(*idle, *_notes(panel, cells, values, (lost, unused))),
    )


def _effects(
    panel: Panel, cells: GroupTimes, names: tuple[str, ...], method: str
) -> tuple[Floats, Influence, dict[str, int], int]:
    """Effects, their influence, those that could not be estimated, and rows without their covariates."""
    if not names:
        from wwc_eval.did.cs_effects import effects

        return (*effects(panel, cells), {}, 0)
    if panel.cross_sections:
        from wwc_eval.did.cs_sections import section_effects

        return section_effects(panel, cells, names, method)
    from wwc_eval.did.cs_adjusted import adjusted_effects
    from wwc_eval.did.cs_design import read_covariates

    return (*adjusted_effects(panel, cells, read_covariates(panel, names), method), 0)


def _notes(
    panel: Panel, cells: GroupTimes, values: Floats, without: tuple[dict[str, int], int]
) -> tuple[str, ...]:
    from wwc_eval.did.panel_faults import listed

    lost, unused = without
    notes = [f"{unused:,} rows without a covariate are in no effect."] if unused else []
    present = sorted(set(cells.first.tolist()))
    absent = [k for k in panel.cohorts if k < panel.n_periods and k not in present]
    for cohort in absent:
        units = panel.units[panel.adopted == cohort]
        notes.append(
            f"Cohort {panel.period_label(int(cohort))} has no effect: no base period or no comparison "
            f"({len(units):,} units: {listed(units, 4)})."
        )
    notes += [f"{count:,} effects are missing: {reason.rstrip('.')}." for reason, count in lost.items()]
    rest = int(np.isnan(values).sum()) - sum(lost.values())
    if rest:
        seen = "has a row in both periods" if panel.cross_sections else "is seen in both periods"
        notes.append(f"{rest:,} effects are missing: no unit of the cohort, or of its comparison, {seen}.")
    few, joined, mixed = [], joiners(panel), False
    for cohort in present:
        mine = panel.adopted == cohort
        clusters = panel.clusters_of(mine & joined) or panel.clusters_of(mine)
        if clusters < FEW and not (panel.cross_sections and not panel.clustered):
            few.append(f"{panel.period_label(int(cohort))} ({clusters})")
            mixed |= bool(np.isin(panel.clusters[mine], panel.clusters[~mine]).any())
    if few:
        notes.append(
            f"Cohorts of {FEWER}: {listed(few)}. Their conventional errors are too small: a permutation "
            f"stands beside them{', and where none can be made they are not given' * mixed}."
        )
    return tuple(notes)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CallawaySantAnna(Rendered):
    """Effects by cohort and period.

    Parameters
    ----------
    panel : Panel
        The panel behind it.
    control, base, anticipation, covariates, level
        As asked for.
    adjustment : str or None
        How covariates are used.
    group_times : GroupTimes
        Cohort, period, base period and comparison of each effect.
    values : ndarray, shape (K,)
        The effects; missing where one cannot be estimated.
    functions : Influence
        What each unit adds to them; kept in compressed form where that is possible.
    unused : int
        Rows of repeated cross-sections left out because a covariate is missing.
    notes : tuple of str
        What was left out, and what a reader must know.
    multipliers : Multipliers, optional
        The bootstrap, after :meth:`bootstrap`.
    """

    panel: Panel
    control: str
    base: str
    anticipation: int
    covariates: tuple[str, ...]
    adjustment: str | None
    group_times: GroupTimes
    values: Floats
    functions: Influence
    level: float
    unused: int = 0
    notes: tuple[str, ...] = ()
    multipliers: Multipliers | None = None

    @property
    def method(self) -> str:
        """The estimator and its inference in one sentence."""
        against = "never treated" if self.control == "never" else "not yet treated"
        parts = [f"Callaway and Sant'Anna, compared with {against}, {self.base} base period"]
        if self.anticipation:
            parts.append(f"{self.anticipation} period{'s' * (self.anticipation > 1)} of anticipation")
        if self.adjustment:
            parts.append(_METHODS[self.adjustment].format(", ".join(self.covariates)))
        clusters = f" clustered by {self.panel.columns['cluster']}" if self.panel.clustered else ""
        errors = "analytic errors" if self.multipliers is None else f"errors of a {self.multipliers.words}"
        return f"{'; '.join(parts)}; {errors}{clusters}, normal inference"

    @cached_property
    def totals(self) -> Floats:
        """Weight of the units of each cohort, shape (C,)."""
        index = np.searchsorted(self.panel.cohorts, self.panel.adopted)
        return np.bincount(index, self.panel.weights, minlength=len(self.panel.cohorts)).astype(np.float64)

    @cached_property
    def shared(self) -> dict[str, Any]:
        """Fields that all estimates share."""
        rows = int((self.panel.cells.n if self.panel.cross_sections else self.panel.observed).sum()) - self.unused
        by_row = self.panel.cross_sections and not self.panel.clustered
        return {
            "scale": "mean_difference",
            "units": self.panel.measure,
            "method": self.method,
            "n": rows,
            "n_clusters": None if by_row else self.panel.n_clusters,
            "warnings": self._warnings,
            "citation": CITATION,
        }

    @cached_property
    def _warnings(self) -> tuple[str, ...]:
        return guard_warnings(self.panel)

    @cached_property
    def estimates(self) -> BandedEstimates:
        """Effects by cohort and period, those that could be estimated: columns cohort, period, event, ..."""
        cells, fine = self.group_times, np.flatnonzero(np.isfinite(self.values))
        everything = every_effect(cells)
        chosen = replace(everything, cells=everything.cells[fine], cohorts=everything.cohorts[fine])
        spread = spread_of(self.functions, chosen, self.multipliers, self.level, slice(None))
        label = self.panel.period_label
        keys = [
            {"cohort": label(int(g)), "period": label(int(t)), "event": int(e)}
            for g, t, e in zip(cells.first[fine], cells.period[fine], cells.event[fine], strict=True)
        ]
        terms = [f"ATT({key['cohort']}, {key['period']})" for key in keys]
        few = cohort_p_values(self)
        items = estimates_of(self.values[fine], spread, terms, level=self.level, shared=self.shared, p_values=few)
        return BandedEstimates(items, keys, title=self.method, notes=self.notes)

    @cached_property
    def overall(self) -> Estimate:
        """Mean effect over treated cohorts and periods, weighed by units."""
        return self.aggregate("simple").overall

    @cached_property
    def path(self) -> EventPath:
        """Effects by event with their joint covariance."""
        path = self.aggregate("event").path
        assert path is not None
        return path

    @cached_property
    def influence(self) -> Floats:
        """What each cluster adds to the overall effect and to each of ``estimates``, shape (clusters, 1 + m)."""
        simple = averages(self.group_times, self.values, self.totals, kind="simple")
        every = every_effect(self.group_times)
        fine = np.isfinite(self.values)
        found = self.functions.by_cluster(replace(every, cells=every.cells[fine], cohorts=every.cohorts[fine]))
        return np.hstack([self.functions.by_cluster(simple.contrasts), found])

    @cached_property
    def unit_influence(self) -> Floats:
        """What each unit adds to each of ``estimates``, shape (n, m), in the order of ``panel.units``."""
        every, fine = every_effect(self.group_times), np.isfinite(self.values)
        return self.functions.by_unit(replace(every, cells=every.cells[fine], cohorts=every.cohorts[fine]))

    def aggregate(
        self,
        kind: Literal["simple", "event", "cohort", "calendar"] = "simple",
        balance: int | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> Aggregation:
        """Averages of the effects, cohorts weighed by their share of the units (estimated, and counted in the errors).

        Parameters
        ----------
        kind : {"simple", "event", "cohort", "calendar"}
            Mean over all treated cohorts and periods; by periods since treatment; by cohort; by calendar period.
        balance : int, optional
            Events: only cohorts seen at least so many periods after their first treated one, and events up to it,
            so that the same cohorts stand behind every event after treatment.
        first, last : int, optional
            First and last event.

        Raises
        ------
        DesignError
            If nothing is left to average, or a window is given without events.
        """
        from wwc_eval.did.cs_aggregation import Aggregation

        check_choice("kind", kind, KINDS)
        window = (balance, first, last)
        for name, value in zip(("balance", "first", "last"), window, strict=True):
            if value is not None and kind != "event":
                raise DesignError(f"{name} == {value} goes with events only", fix="use aggregate('event', ...)")
            if value is not None and (isinstance(value, bool) or int(check_number(name, value)) != value):
                raise DesignError(f"{name} == {shown(value)}, must be a whole number of periods")
        if not np.isfinite(self.values[self.group_times.post]).any():
            raise DesignError(
                " ".join(("no effect after treatment can be estimated.", *self.notes)),
                fix="use fewer covariates, another control or more units, or the anticipation= that a panel was masked for",
            )
        found = averages(self.group_times, self.values, self.totals, kind=kind, window=window)
        return Aggregation(kind=kind, averages=found, result=self)

    def bootstrap(
        self,
        draws: int = 9_999,
        *,
        rng: Any,
        multiplier: Literal["rademacher", "mammen", "normal"] = "rademacher",
    ) -> CallawaySantAnna:
        """The same effects with errors of a multiplier bootstrap and simultaneous bands.

        One multiplier a cluster (the unit without clusters) times its influence; the averages of the result are
        bootstrapped with the same draws.

        Parameters
        ----------
        draws : int
            Draws.
        rng : int, Generator or SeedSequence
            Source of randomness.
        multiplier : {"rademacher", "mammen", "normal"}
            Law of the multipliers, of mean 0 and variance 1.

        Returns
        -------
        CallawaySantAnna
            ``se`` is the distance of the draws' quartiles over that of the normal distribution; ``band_low`` and
            ``band_high`` cover all estimates of a table at once.

        Notes
        -----
        Cross-sections without clusters: the rows of a cell are drawn together through their moments.
        """
        count = int(check_number("draws", draws, at_least=99))
        check_choice("multiplier", multiplier, MULTIPLIERS)
        if rng is None:
            raise DesignError("a bootstrap needs a source of randomness", fix="give a seed: rng=1")
        drawn = self.functions.draw(np.random.default_rng(rng), count, multiplier)
        return replace(self, multipliers=Multipliers(drawn=drawn, reps=count, multiplier=multiplier))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of ``estimates``."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return banded_grid([self.overall, *self.estimates], self.estimates.banded)

    def _title(self) -> str:
        return self.method

    def _notes(self) -> tuple[str, ...]:
        one = self.overall
        sample = f"{one.n:,} rows" + (f", {one.n_clusters:,} clusters" if one.n_clusters is not None else "")
        return tuple(note for note in (sample + ".", *self.notes, *one.warnings, one.citation) if note)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Effects by periods since treatment, with intervals and, after a bootstrap, the simultaneous band."""
        return self.aggregate("event").plot(ax)
