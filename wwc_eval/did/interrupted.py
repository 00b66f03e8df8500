"""Interrupted time series, with or without a control series: change of level and of slope, season, serial correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import need_panel
from wwc_eval.did.serial_errors import SeriesFit, default_lag, fit_series
from wwc_eval.errors import DesignError, check_choice, check_number, shown
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ERRORS", "InterruptedTimeSeries", "interrupted_time_series"]

ERRORS = ("ar1", "newey_west")
CITATION = "Bernal, Cummins and Gasparrini 2017, doi:10.1093/ije/dyw098; Lopez Bernal, Cummins and Gasparrini 2018, doi:10.1093/ije/dyy135"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InterruptedTimeSeries(Rendered):
    """What an interruption did to a series.

    Parameters
    ----------
    method : str
        The model and its errors in one sentence.
    overall : Estimate
        Mean effect over the treated periods used: of treated less controls, or of the treated alone.
    estimates : EffectEstimates
        For each series: slope before, change of level, change of slope, mean effect. Columns ``series`` and ``quantity``.
    effects : EffectEstimates
        Effect in each treated period used (column ``event``): change of level plus ``event`` times change of slope.
    series : Table
        By period: treated, controls, fitted, and what was expected without treatment.
    autocorrelation : float
        Lag-one autocorrelation of the residuals (or of the AR(1)) of the series behind ``overall``.
    lag : int or None
        Lags of the Newey-West error.
    panel : Panel
        The panel behind it.
    notes : tuple of str
        What a reader must know.
    """

    method: str
    overall: Estimate
    estimates: EffectEstimates
    effects: EffectEstimates
    series: Table
    autocorrelation: float
    lag: int | None
    panel: Panel
    notes: tuple[str, ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of ``estimates``."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return Estimates(self.estimates)._grid()

    def _title(self) -> str:
        return self.method

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, *self.overall.warnings, self.overall.citation)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Observed and fitted series, and what was expected without treatment."""
        from wwc_eval.did.interrupted_plot import plot_interrupted

        return plot_interrupted(self, ax)


def interrupted_time_series(
    panel: Panel,
    *,
    controls: bool = True,
    season: int | None = None,
    harmonics: int | None = None,
    errors: str = "ar1",
    lag: int | None = None,
    level: float = 0.95,
) -> InterruptedTimeSeries:
    """Change of level and slope of the treated series at the interruption, less that of a control series.

    Parameters
    ----------
    panel : Panel
        One cohort; never-treated units are the controls. Rates are pooled (counts over exposures), levels are means weighted
        by the panel's weights. Take out the COVID period, or a transition, with :func:`mask_periods` beforehand.
    controls : bool
        Whether the never-treated units serve as a control series; without them the treated series stands alone.
    season : int, optional
        Periods in a year (4 for quarters, 12 for months): seasonal terms are added.
    harmonics : int, optional
        Pairs of sine and cosine terms; a dummy for each season but one where it is missing.
    errors : {"ar1", "newey_west"}
        AR(1) errors by restricted maximum likelihood with Satterthwaite's degrees of freedom, which holds its level in short
        series; or least squares with Newey-West errors, the custom, which rejects far too often.
    lag : int, optional
        Lags of Newey-West; the whole part of ``0.75 T^(1/3)``, at least 1, where it is missing.
    level : float
        Coverage.

    Returns
    -------
    InterruptedTimeSeries

    Raises
    ------
    DesignError
        More than one cohort, units that miss some periods, too few periods for the terms, or no control unit.

    Notes
    -----
    Formula, for each series: ``y_t = a + b event + level [event >= 0] + slope event [event >= 0] + season_t + e_t`` with
    event the periods since the first treated one. With controls the same model is fitted to treated less controls: shocks
    common to both drop out, and the errors may be correlated between the two. The effect in a period is
    ``level + slope * event``; ``overall`` is its mean over treated periods used. Newey-West: Bartlett weights by distance in
    time, times T / (T - k), Student's t with T - k. AR(1): rho from 0 to 0.99, Satterthwaite's degrees of freedom. The error is that of a series
    over time: with one treated authority it assumes that no other lasting shock met it alone. Newey-West tests of a true null at
    5% reject 10 to 45% of the time with 10 to 80 periods; the methods page has the table. Sources: Bernal, Cummins and
    Gasparrini 2017, doi:10.1093/ije/dyw098; Newey and West 1987, doi:10.2307/1913610; Turner et al. 2021,
    doi:10.1186/s12874-021-01364-0.

    Examples
    --------
    >>> import numpy as np, pandas as pd, wwc_eval as we
    >>> rng = np.random.default_rng(1)
    >>> rows = [(la, t, 60 + 0.2 * t - (4 + 0.3 * (t - 24)) * (la == "Hull" and t >= 24) + rng.normal(), 24 * (la == "Hull"))
    ...         for la in ("Hull", "Kent", "Leeds", "York") for t in range(40)]
    >>> panel = we.did.Panel(pd.DataFrame(rows, columns=["la", "quarter", "rate", "start"]), unit="la", period="quarter",
    ...                      outcome="rate", cohort="start")
    >>> found = we.did.interrupted_time_series(panel, season=4, harmonics=1)
    >>> bool(found.overall.ci_low < -6.25 < found.overall.ci_high), len(found.effects)
    (True, 16)
    """
    check_choice("errors", errors, ERRORS)
    level = check_number("level", level, above=0, below=1)
    need_panel(panel, "interrupted_time_series")
    if lag is not None and errors == "ar1":
        raise DesignError(
            f"lag == {shown(lag)} goes with Newey-West errors, and errors == 'ar1'",
            fix="leave out lag, or use errors='newey_west'",
        )
    data = _series(panel, controls=controls)
    chosen = default_lag(len(data.times)) if lag is None else int(check_number("lag", lag, at_least=0))
    design, names = _design(data, season, harmonics)
    fits = {name: fit_series(y, design, data.times, errors, chosen) for name, y in data.outcomes.items()}
    main = next(iter(fits))
    how = (
        f"Newey-West errors with {chosen} lag{'s' * (chosen != 1)}"
        if errors == "newey_west"
        else "AR(1) errors by REML"
    )
    seasonal = ""
    if season is not None:
        terms = "dummies" if harmonics is None else f"{harmonics} pairs of harmonics"
        seasonal = f", {terms} of {season}"
    method = f"{'Controlled i' if data.controlled else 'I'}nterrupted time series{seasonal}, {how}"
    shared = {
        "level": level,
        "units": panel.measure,
        "method": method,
        "n": len(data.times),
        "citation": CITATION,
        "warnings": _warnings(fits[main], errors),
    }
    rows = _all_rows(data, fits, names, shared)
    overall = rows[f"mean effect [{main}]"][0].replace(term="effect of treatment")
    return InterruptedTimeSeries(
        method=method,
        overall=overall,
        estimates=EffectEstimates(*zip(*rows.values(), strict=True), title=method),
        effects=_by_period(data, fits[main], names, shared),
        series=_table(panel, data, design, fits, names),
        autocorrelation=fits[main].rho,
        lag=chosen if errors == "newey_west" else None,
        panel=panel,
        notes=_notes(data, fits[main]),
    )


def _all_rows(
    data: _Data, fits: Mapping[str, SeriesFit], names: list[str], shared: Mapping[str, Any]
) -> dict[str, tuple[Estimate, dict[str, str]]]:
    """Estimates of every series with their keys, by term."""
    found = {}
    for name, fit in fits.items():
        for quantity, weights in _quantities(data, names).items():
            scale = "slope" if quantity.startswith(("slope", "change of slope")) else "mean_difference"
            term = f"{quantity} [{name}]"
            one = _estimate(fit, weights, term, {**shared, "scale": scale})
            found[term] = one, {"series": name, "quantity": quantity}
    return found


def _by_period(data: _Data, fit: SeriesFit, names: list[str], shared: Mapping[str, Any]) -> EffectEstimates:
    """Effect in each treated period used."""
    events = [int(event) for event in data.events[data.events >= 0]]
    scaled = {**shared, "scale": "mean_difference"}
    return EffectEstimates(
        [_estimate(fit, _effect(event, names), f"event {event}", scaled) for event in events],
        [{"event": event} for event in events],
        title=f"{shared['method']}: effect by period",
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    """Series in use: events, times, positions of the periods, and outcomes by name."""

    events: Floats
    times: Floats
    places: NDArray[np.intp]
    outcomes: Mapping[str, Floats]
    controlled: bool
    treated_units: int
    control_units: int


def _series(panel: Panel, *, controls: bool) -> _Data:
    panel.need_units("an interrupted time series")
    cohorts = [int(k) for k in panel.cohorts if k < panel.n_periods]
    if len(cohorts) != 1:
        raise DesignError(
            f"{len(cohorts)} cohorts, and an interrupted time series has one interruption",
            fix="keep one cohort with panel.without(units), or use an estimator for staggered treatment",
        )
    treated, never = panel.adopted == cohorts[0], panel.adopted == panel.n_periods
    if controls and not never.any():
        raise DesignError(
            "no never-treated unit for a control series", fix="controls=False, or add untreated units"
        )
    series = {"treated": _pooled(panel, treated)}
    if controls:
        series["controls"] = _pooled(panel, never)
    keep = np.all([np.isfinite(y) for y in series.values()], axis=0)
    kept = {name: y[keep] for name, y in series.items()}
    if controls:
        kept = {"treated - controls": kept["treated"] - kept["controls"], **kept}
    times = panel.times.astype(float)
    return _Data(
        events=(times - times[cohorts[0]])[keep],
        times=times[keep],
        places=np.flatnonzero(keep),
        outcomes=kept,
        controlled=controls,
        treated_units=int(treated.sum()),
        control_units=int(never.sum()) if controls else 0,
    )


def _pooled(panel: Panel, units: NDArray[np.bool_]) -> Floats:
    """Mean or pooled rate of some units by period; missing where none has an outcome."""
    y = panel.outcomes[units]
    seen = ~np.isnan(y)
    some = seen.any(axis=0) & ~seen.all(axis=0)
    if some.any():
        lost = panel.units[units][~seen[:, some].all(axis=1)]
        raise DesignError(
            f"{len(lost)} units miss some of the periods: {', '.join(map(str, lost[:6]))}",
            rule="a series whose members change has steps of its own",
            fix="panel.without(units), or panel.between(first, last)",
        )
    if panel.counts is not None and panel.exposures is not None:
        weights = panel.weights[units][:, None]
        over = (weights * np.where(seen, panel.exposures[units], 0.0)).sum(axis=0)
        total = (weights * np.where(seen, panel.counts[units], 0.0)).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(seen.any(axis=0), total / over, np.nan)
    weights = panel.weights[units]
    return np.asarray(np.where(seen.any(axis=0), weights @ np.where(seen, y, 0.0) / weights.sum(), np.nan))


def _design(data: _Data, season: int | None, harmonics: int | None) -> tuple[Floats, list[str]]:
    """Columns of the model; fewer periods than terms are refused."""
    after = (data.events >= 0).astype(float)
    columns = [np.ones(len(after)), data.events, after, after * data.events]
    names = ["intercept", "slope before", "change of level", "change of slope"]
    if season is not None:
        check_number("season", season, at_least=2)
        place = np.mod(data.times, season)
        if harmonics is None:
            for k in range(1, int(season)):
                columns.append((place == k) * 1.0)
                names.append(f"season {k + 1}")
        else:
            check_number("harmonics", harmonics, at_least=1, at_most=season // 2)
            for k in range(1, int(harmonics) + 1):
                turn = 2.0 * np.pi * k * place / season
                columns.append(np.cos(turn))
                names.append(f"cosine {k}")
                if 2 * k != season:  # the sine of two periods a turn is zero
                    columns.append(np.sin(turn))
                    names.append(f"sine {k}")
    elif harmonics is not None:
        raise DesignError("harmonics without season", fix="season=4 for quarters, season=12 for months")
    design = np.column_stack(columns)
    if after.sum() < 2 or (1 - after).sum() < 2:
        raise DesignError(
            f"{int((1 - after).sum())} periods before and {int(after.sum())} after the interruption",
            rule="a slope needs two on each side",
            fix="add periods",
        )
    if len(design) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        raise DesignError(
            f"{len(design)} periods do not tell {design.shape[1]} terms apart",
            fix="fewer harmonics, or more periods",
        )
    return design, names


def _effect(event: float, names: list[str]) -> Floats:
    """Contrast for the effect at an event."""
    weights = np.zeros(len(names))
    weights[names.index("change of level")], weights[names.index("change of slope")] = 1.0, event
    return weights


def _quantities(data: _Data, names: list[str]) -> dict[str, Floats]:
    unit = np.eye(len(names))
    found = {name: unit[names.index(name)] for name in ("slope before", "change of level", "change of slope")}
    return {**found, "mean effect": _effect(float(data.events[data.events >= 0].mean()), names)}


def _estimate(fit: SeriesFit, weights: Floats, term: str, shared: Mapping[str, Any]) -> Estimate:
    value, se, df = fit.contrast(weights)
    return Estimate.from_normal(term=term, estimate=value, se=se, df=df, **shared)


def _warnings(fit: SeriesFit, errors: str) -> tuple[str, ...]:
    found = []
    if errors == "newey_west":
        found.append(
            "Newey-West errors are too small in series of usual length: a test at 5% rejects a true null 10% of the time or "
            'more; look at errors="ar1".'
        )
    if fit.residual_df < 12:
        found.append(
            f"{fit.residual_df} residual degrees of freedom: serial correlation can hardly be told from noise."
        )
    return tuple(found)


def _notes(data: _Data, fit: SeriesFit) -> tuple[str, ...]:
    units = f"{data.treated_units} treated " + ("unit" if data.treated_units == 1 else "units")
    units += f", {data.control_units} control units" if data.controlled else ", no control series"
    before = int((data.events < 0).sum())
    rho = "" if math.isnan(fit.rho) else f" Autocorrelation at lag one {fit.rho:.2f}."
    return (f"{units}; {before} periods before and {len(data.events) - before} from the interruption on.{rho}",)


def _table(panel: Panel, data: _Data, design: Floats, fits: Mapping[str, SeriesFit], names: list[str]) -> Table:
    main = next(iter(fits))
    effect = np.array([_effect(e, names) @ fits[main].beta if e >= 0 else 0.0 for e in data.events])
    fitted = design @ fits["treated"].beta
    rows = [
        {
            "period": panel.period_label(int(place)),
            "event": int(data.events[k]),
            "treated": float(data.outcomes["treated"][k]),
            "controls": float(data.outcomes["controls"][k]) if data.controlled else math.nan,
            "fitted": float(fitted[k]),
            "expected_without": float(fitted[k] - effect[k]),
        }
        for k, place in enumerate(data.places)
    ]
    columns = [
        Column(name="period"),
        Column(name="event", kind="count"),
        *(Column(name=name, kind="number") for name in ("treated", "controls", "fitted")),
        Column(name="expected_without", label="expected without treatment", kind="number"),
    ]
    return Table(rows, columns, title=f"Series of {shown(panel.measure)}")
