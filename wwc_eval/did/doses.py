"""Whether the effect grows with intensity, such as a fidelity score, among treated units.

Two questions, two assumptions. The level against untreated units needs parallel trends. The slope compares units of
different dose, so it is causal only if units would have changed alike at each other's dose as well (strong parallel trends);
otherwise authorities that chose a higher dose may simply gain more from any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.guard import guard_of, guarded, withheld
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import need_panel
from wwc_eval.errors import DataError, DesignError, check_number, shown
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.inference.fit import RegressionFit

__all__ = ["DoseResponse", "dose"]

CITATION = "Callaway, Goodman-Bacon and Sant'Anna 2024, doi:10.3386/w32117"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DoseResponse(Rendered):
    """Effect at the mean dose, and how it changes with dose.

    Parameters
    ----------
    overall : Estimate
        Effect at the mean dose of the treated, against untreated units.
    estimates : Estimates
        ``overall``, then the slope: change of the effect for one unit of dose.
    by_group : Estimates
        Effect in groups of rising dose, each against untreated units; empty without ``groups``.
    by_dose : Table
        Effect by dose along the line, with its interval.
    units : Table
        One row a treated unit: cohort, dose, and its change less that of untreated units.
    panel : Panel
        The panel behind it.
    notes : tuple of str
        Assumptions, and what was averaged.
    """

    overall: Estimate
    estimates: Estimates
    by_group: Estimates
    by_dose: Table
    units: Table
    panel: Panel
    notes: tuple[str, ...]

    @property
    def slope(self) -> Estimate:
        """Change of the effect for one unit of dose."""
        return self.estimates[1]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Level and slope, then the groups."""
        return [*self.estimates.to_dicts(), *self.by_group.to_dicts()]

    def _grid(self) -> Grid:
        return Estimates([*self.estimates, *self.by_group])._grid()

    def _title(self) -> str:
        return self.overall.method

    def _notes(self) -> tuple[str, ...]:
        slope = (f"Slope: {text}" for text in self.slope.warnings)
        return (*self.notes, *self.overall.warnings, *slope, CITATION)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Change of each treated unit less that of untreated units, by dose, with the line and its interval."""
        from wwc_eval.did.doses_plot import plot_doses

        return plot_doses(self, ax)


def dose(
    panel: Panel,
    dose: str | Sequence[float],
    *,
    groups: int | None = None,
    vcov: str = "CR2",
    level: float = 0.95,
) -> DoseResponse:
    """Effect of treatment by its intensity: level against untreated units, and slope among treated units.

    Parameters
    ----------
    panel : Panel
        With never-treated units and treated ones of differing dose.
    dose : str or array
        Column of the panel's data (averaged over the treated periods of a unit), or one value for each of ``panel.units``.
        Values of never-treated units are not used.
    groups : int, optional
        Also the effect in so many groups of rising dose, which shows whether a line fits.
    vcov : {"CR2", "CR3", "CR1", "CR0"}
        Errors, clustered by the panel's clusters, with Satterthwaite's degrees of freedom for CR2. With fewer than five
        treated clusters the level has a permutation beside it, and slope and line have no error.
    level : float
        Coverage.

    Returns
    -------
    DoseResponse

    Raises
    ------
    DataError
        A treated unit without a dose.
    DesignError
        No never-treated unit, fewer than three treated units, or one dose for all.

    Notes
    -----
    Each unit's change is its mean outcome from treatment on less that before; a never-treated unit has one for each cohort's
    dates. Least squares with the panel's weights: ``change = cohort's dates + level treated + slope treated (dose - mean dose)``, errors clustered. With one cohort
    the slope is that of the treated units alone and the level their mean change less that of untreated ones; with several the
    dates' differences are taken from untreated units. The level needs parallel trends. The slope is the average causal
    response to dose only under *strong* parallel trends: units of any dose would, on average, have changed alike at every
    dose. Source: Callaway, Goodman-Bacon and Sant'Anna 2024, doi:10.3386/w32117.

    Examples
    --------
    >>> import numpy as np, pandas as pd, wwc_eval as we
    >>> rng = np.random.default_rng(2)
    >>> fidelity = np.r_[rng.uniform(0.3, 0.9, 12), np.zeros(28)]
    >>> rows = [(la, t, 50 + la - 8 * fidelity[la] * (t >= 4) + rng.normal(), 4 * (la < 12), fidelity[la])
    ...         for la in range(40) for t in range(8)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate", "start", "fidelity"])
    >>> panel = we.did.Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    >>> found = we.did.dose(panel, "fidelity")
    >>> bool(found.slope.ci_low < -8 < found.slope.ci_high)
    True
    """
    level = check_number("level", level, above=0, below=1)
    need_panel(panel, "dose")
    panel.need_units("a dose by unit")
    doses = _doses(panel, dose)
    rows = _changes(panel)
    mean = float(np.average(doses[rows.mine], weights=panel.weights[rows.mine]))
    name = dose if isinstance(dose, str) else "dose"
    at = np.where(rows.treated, doses[rows.unit] - mean, 0.0)
    fit = _fit(panel, rows, {"treated": rows.treated.astype(float), "dose": at}, vcov, level)
    method = f"Changes against never-treated units by {name}, least squares, {vcov} clustered errors"
    shared = {"method": method, "citation": CITATION, "n": len(rows.unit), "n_clusters": panel.n_clusters}
    overall = fit.estimates["treated"].replace(
        term=f"effect at mean {name} {mean:.3g}",
        units=panel.measure,
        scale="mean_difference",
        **shared,
    )
    slope = fit.estimates["dose"].replace(
        term=f"slope of the effect by {name}",
        units=f"{panel.measure} for one unit of {name}",
        scale="slope",
        **shared,
    )
    # a permutation of who was treated judges the level, and not how effects differ by dose
    overall, slope = guarded(overall, panel), withheld(slope, panel)
    grouped = (
        _by_group(panel, rows, doses, groups=groups, vcov=vcov, level=level, name=name)
        if groups is not None
        else []
    )
    return DoseResponse(
        overall=overall,
        estimates=Estimates([overall, slope], title=method),
        by_group=Estimates(grouped),
        by_dose=_along(fit, doses[rows.mine], mean, name, few=guard_of(panel) is not None),
        units=_units(panel, rows, doses),
        panel=panel,
        notes=_notes(panel, rows, name),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """One row a change: unit, cohort whose dates it has, the change, and whether the unit is treated."""

    unit: NDArray[np.intp]
    cohort: NDArray[np.intp]
    change: Floats
    treated: NDArray[np.bool_]

    @property
    def mine(self) -> NDArray[np.intp]:
        """Treated units."""
        return self.unit[self.treated]


def _doses(panel: Panel, dose: str | Sequence[float]) -> Floats:
    """Dose of each unit, shape (n,); every treated unit must have one."""
    joins = panel.adopted < panel.n_periods
    if isinstance(dose, str):
        by_cell = np.where(panel.treated, panel.covariate(dose), np.nan)
        seen = ~np.isnan(by_cell)
        total = np.where(seen, by_cell, 0.0).sum(axis=1)
        values = np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan)
    else:
        values = np.asarray(dose, dtype=float)
        if values.shape != (panel.n_units,):
            raise DesignError(
                f"dose has shape {values.shape}, must be one value for each of {panel.n_units} units",
                fix="order it as panel.units",
            )
    lost = panel.units[joins & ~np.isfinite(values)]
    if len(lost):
        raise DataError(
            f"{len(lost)} treated units have no dose: {', '.join(map(str, lost[:6]))}",
            fix="panel.without(units), or find their dose",
        )
    if joins.sum() < 3:
        raise DesignError(f"{int(joins.sum())} treated units, a slope by dose needs at least 3")
    if not np.ptp(values[joins]) > 0:
        raise DesignError(f"every treated unit has the dose {shown(float(values[joins][0]))}")
    return values


def _changes(panel: Panel) -> _Rows:
    """Changes of treated units over their dates, and of never-treated ones over the dates of each cohort."""
    never = panel.adopted == panel.n_periods
    if not never.any():
        raise DesignError("no never-treated unit to compare with", fix="add untreated authorities")
    cohorts = [int(k) for k in panel.cohorts if 0 < k < panel.n_periods]
    units, dates, changes, treated = [], [], [], []
    for index, k in enumerate(cohorts):
        rows = np.flatnonzero((panel.adopted == k) | never)
        change = _mean(panel.outcomes[rows, k:]) - _mean(panel.outcomes[rows, :k])
        seen = np.isfinite(change)
        units.append(rows[seen])
        dates.append(np.full(int(seen.sum()), index))
        changes.append(change[seen])
        treated.append(panel.adopted[rows[seen]] == k)
    if not cohorts:
        raise DesignError("no unit has periods before and after its treatment", fix="add earlier periods")
    return _Rows(
        unit=np.concatenate(units),
        cohort=np.concatenate(dates),
        change=np.concatenate(changes),
        treated=np.concatenate(treated),
    )


def _mean(values: Floats) -> Floats:
    seen = ~np.isnan(values)
    total = np.where(seen, values, 0.0).sum(axis=1)
    return np.asarray(np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan))


def _fit(panel: Panel, rows: _Rows, columns: dict[str, Floats], vcov: str, level: float) -> RegressionFit:
    import pandas as pd

    from wwc_eval.inference.regression import regression

    frame = pd.DataFrame({"change": rows.change, **columns})
    several = len(np.unique(rows.cohort)) > 1
    if several:
        frame["dates"] = [f"c{k:03}" for k in rows.cohort]
    return regression(
        "change ~ " + " + ".join([*columns, *(["dates"] if several else [])]),
        frame,
        vcov=vcov,
        cluster=panel.clusters[rows.unit].tolist(),
        weights=panel.weights[rows.unit].tolist(),
        level=level,
    )


def _by_group(
    panel: Panel, rows: _Rows, doses: Floats, *, groups: int, vcov: str, level: float, name: str
) -> list[Estimate]:
    """Effect in groups of rising dose, about as many treated units in each."""
    check_number("groups", groups, at_least=2, at_most=max(2, len(rows.mine) // 2))
    edges = np.quantile(doses[rows.mine], np.linspace(0, 1, groups + 1))
    place = np.clip(np.searchsorted(edges[1:-1], doses[rows.unit], side="right"), 0, groups - 1)
    columns = {f"group{k}": (rows.treated & (place == k)).astype(float) for k in range(groups)}
    empty = [k for k in range(groups) if not columns[f"group{k}"].any()]
    if empty:
        raise DesignError(f"tied doses leave {groups - len(empty)} groups", fix="ask for fewer groups")
    fit = _fit(panel, rows, columns, vcov, level)
    found = []
    for k in range(groups):
        mine = doses[rows.unit][rows.treated & (place == k)]
        others = panel.units[rows.unit[rows.treated & (place != k)]].tolist()
        estimate = fit.estimates[f"group{k}"].replace(
            term=f"{name} {mine.min():.3g} to {mine.max():.3g} ({len(mine)} units)",
            units=panel.measure,
            scale="mean_difference",
            method=f"Changes against never-treated units in groups of {name}, {vcov} clustered errors",
            citation=CITATION,
        )
        found.append(guarded(estimate, panel.without(others)))
    return found


def _along(fit: RegressionFit, mine: Floats, mean: float, name: str, *, few: bool) -> Table:
    """The line with its interval at eleven doses; without intervals where few are treated."""
    rows = []
    for value in np.linspace(mine.min(), mine.max(), 11):
        gradient = np.array([{"treated": 1.0, "dose": value - mean}.get(term, 0.0) for term in fit.terms])
        effect = fit.coefficients["treated"] + (value - mean) * fit.coefficients["dose"]
        one = fit.estimate_of("effect", effect, gradient, scale="mean_difference")
        low, high = (math.nan, math.nan) if few else (one.ci_low, one.ci_high)
        rows.append({"dose": float(value), "effect": one.estimate, "ci_low": low, "ci_high": high})
    columns = [Column(name="dose", label=name, kind="number"), Column(name="effect", kind="number")]
    columns += [Column(name=side, kind="number") for side in ("ci_low", "ci_high")]
    return Table(rows, columns, title=f"Effect by {name}, along the line")


def _units(panel: Panel, rows: _Rows, doses: Floats) -> Table:
    weights = panel.weights[rows.unit]
    shown_rows = []
    for k in np.flatnonzero(rows.treated):
        others = (rows.cohort == rows.cohort[k]) & ~rows.treated
        shown_rows.append(
            {
                "unit": panel.units[rows.unit[k]],
                "cohort": panel.period_label(int(panel.adopted[rows.unit[k]])),
                "dose": float(doses[rows.unit[k]]),
                "change": float(rows.change[k] - np.average(rows.change[others], weights=weights[others])),
            }
        )
    columns = [
        Column(name="unit"),
        Column(name="cohort"),
        Column(name="dose", kind="number"),
        Column(name="change", label="change less that of untreated units", kind="number"),
    ]
    return Table(shown_rows, columns, title="Treated units by dose")


def _notes(panel: Panel, rows: _Rows, name: str) -> tuple[str, ...]:
    untreated = int((panel.adopted == panel.n_periods).sum())
    assumed = (
        f"Level: parallel trends. Slope: causal only under strong parallel trends, that is if units of any {name} would have "
        f"changed alike at every {name}; otherwise it mixes dose with who chose it."
    )
    return f"{len(rows.mine)} treated and {untreated} never-treated units.", assumed
