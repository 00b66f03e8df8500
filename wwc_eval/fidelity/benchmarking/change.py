"""Change over time with alerts: exponentially weighted moving averages and cumulative sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DataError, check_choice, check_number
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.scores import FidelityScores

    Floats = NDArray[np.float64]

__all__ = ["Changes", "changes", "changes_of"]

METHODS = ("ewma", "cusum")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Changes(Rendered):
    """Units over periods, with alerts where one has moved away from its own level.

    Parameters
    ----------
    rows : tuple of dict
        One a unit and period: ``unit, period, n, mean, target, statistic, limit_low, limit_high, alert``.
    method : str
        ``ewma`` or ``cusum``.
    baseline : int
        First periods, which set the level.
    skipped : tuple of str
        Units that cannot be watched, with the reason.
    name : str
        What is watched.
    """

    rows: tuple[dict[str, Any], ...]
    method: str
    baseline: int
    skipped: tuple[str, ...]
    name: str

    @property
    def table(self) -> Table:
        """Every unit and period."""
        return self._table(list(self.rows), f"{self.name} over time")

    @property
    def alerts(self) -> Table:
        """Units and periods with an alert: ``down`` where practice has become worse."""
        return self._table([row for row in self.rows if row["alert"]], f"Alerts: {self.name}")

    def _table(self, rows: list[dict[str, Any]], title: str) -> Table:
        columns = [Column(name="unit"), Column(name="period"), Column(name="n", kind="count")]
        names = ("mean", "target", "statistic", "limit_low", "limit_high")
        columns += [Column(name=name, kind="number", digits=1) for name in names]
        columns.append(Column(name="alert"))
        how = {
            "ewma": "statistic: exponentially weighted moving average, in points (Roberts 1959)",
            "cusum": "statistic: the larger cumulative sum, in standard deviations, below 0 where it is downward "
            "(Page 1954)",
        }[self.method]
        notes = [f"The first {self.baseline} periods set each unit's own level; {how}."]
        notes += [f"Not watched: {text}." for text in self.skipped]
        return Table(rows, columns, title=title, notes=notes)

    def plot(self, unit: str, ax: Axes | None = None) -> Axes:
        """One unit over time, with limits and alerts.

        Raises
        ------
        DataError
            If the unit is not watched.
        """
        from wwc_eval.errors import did_you_mean
        from wwc_eval.fidelity.charting import BLUE, GREY, ORANGE, RED, new_axes

        mine = [row for row in self.rows if row["unit"] == unit]
        if not mine:
            raise DataError(f"'{unit}' is not watched", fix=did_you_mean(unit, {r["unit"] for r in self.rows}))
        axes = new_axes(ax, 6.5, 3.6)
        at = np.arange(len(mine))
        number = [np.nan if row["statistic"] is None else row["statistic"] for row in mine]
        for side in ("limit_low", "limit_high"):
            limit = [np.nan if row[side] is None else row[side] for row in mine]
            axes.plot(at, limit, "--", color=GREY, linewidth=1, label="limits" if side == "limit_low" else None)
        if self.method == "ewma":
            means = [np.nan if row["mean"] is None else row["mean"] for row in mine]
            axes.plot(at, means, "o", color=ORANGE, markersize=4, label="mean of the period")
            axes.axhline(mine[0]["target"], color=GREY, linewidth=0.8)
        axes.plot(at, number, "-", color=BLUE, linewidth=1.6, label=self.method.upper())
        alerts = [place for place, row in enumerate(mine) if row["alert"]]
        if alerts:
            axes.plot(at[alerts], [number[place] for place in alerts], "D", color=RED, markersize=7, label="alert")
        axes.set_xticks(at, [row["period"] for row in mine], fontsize=8)
        axes.set_xlabel("period")
        axes.set_ylabel(self.name if self.method == "ewma" else f"{self.name}, standard deviations")
        axes.set_title(unit)
        axes.legend(fontsize=8)
        return axes

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of every unit and period."""
        return self.table.to_dicts()

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return self.table.title

    def _notes(self) -> tuple[str, ...]:
        return tuple(self.table.notes)


@dataclass(frozen=True, kw_only=True)
class _Chart:
    """How a unit is watched."""

    method: str
    baseline: int
    smoothing: float
    limit: float
    reference: float
    sd: float


def changes(
    units: Sequence[str],
    periods: Sequence[str],
    values: Floats,
    *,
    method: Literal["ewma", "cusum"] = "ewma",
    baseline: int = 4,
    smoothing: float = 0.3,
    limit: float | None = None,
    reference: float = 0.5,
    name: str = "score",
) -> Changes:
    """Watch units over time.

    Parameters
    ----------
    units, periods : sequence of str
        Unit and period of each case; periods sort in their order of time.
    values : array
        Score of each case; missing ones are left out.
    method : {"ewma", "cusum"}
        Moving average, or cumulative sum, which finds small lasting changes sooner.
    baseline : int
        First periods, which set each unit's own level; they are not watched.
    smoothing : float
        Weight of the newest period in the moving average.
    limit : float, optional
        Limit in standard errors; 2.7 for ``ewma`` and 4 for ``cusum`` where missing.
    reference : float
        Slack of the cumulative sum, in standard deviations: half of the shift to be found.
    name : str
        What is watched.

    Returns
    -------
    Changes

    Raises
    ------
    DataError
        If lengths differ, or values do not vary within units and periods.

    Notes
    -----
    ``z_t = (1 - w) z_(t-1) + w x_t`` from the unit's own level; its variance adds those of the means and of the level.
    ``C_t = max(0, C_(t-1) +- s_t - reference)``, ``s_t`` the standardised distance from the level. Sampling error is the
    spread of cases within units and periods. A period without cases leaves the chart where it was. Source: Montgomery
    2012, chapter 9; Roberts 1959, doi:10.1080/00401706.1959.10489860; Page 1954, doi:10.1093/biomet/41.1-2.100.

    Examples
    --------
    >>> import numpy as np
    >>> periods = np.repeat(["Q1", "Q2", "Q3", "Q4"], 8)
    >>> values = np.tile([58.0, 62.0], 16) - 12 * (periods == "Q4")
    >>> found = changes(["North"] * 32, list(periods), values, baseline=2)
    >>> [(row["period"], row["alert"]) for row in found.alerts]
    [('Q4', 'down')]
    """
    check_choice("method", method, METHODS)
    check_number("smoothing", smoothing, above=0, at_most=1)
    check_number("baseline", baseline, at_least=1)
    bound = check_number("limit", {"ewma": 2.7, "cusum": 4.0}[method] if limit is None else limit, above=0)
    y = np.asarray(values, dtype=float)
    if not len(units) == len(periods) == len(y):
        raise DataError(f"{len(units)} units, {len(periods)} periods, {len(y)} values: one of each a case")
    fine = ~np.isnan(y)
    named, unit = np.unique(np.asarray(units, dtype=str)[fine], return_inverse=True)
    times, time = np.unique(np.asarray(periods, dtype=str)[fine], return_inverse=True)
    shape = (len(named), len(times))
    cell = unit * shape[1] + time
    n = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    total = np.bincount(cell, y[fine], minlength=shape[0] * shape[1]).reshape(shape)
    mean = np.divide(total, n, out=np.full(shape, np.nan), where=n > 0)
    left = y[fine] - mean.ravel()[cell]
    freedom = int(fine.sum() - (n > 0).sum())
    if freedom < 1 or float(left @ left) == 0:
        raise DataError("scores do not vary within units and periods: no limits", fix="choose longer periods")
    chart = _Chart(
        method=method,
        baseline=int(baseline),
        smoothing=smoothing,
        limit=bound,
        reference=reference,
        sd=math.sqrt(float(left @ left) / freedom),
    )
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    for place, label in enumerate(named):
        first = int(n[place, : chart.baseline].sum())
        if shape[1] <= chart.baseline or first < 2:
            why = "no period after the baseline" if shape[1] <= chart.baseline else "fewer than two baseline cases"
            skipped.append(f"{label} ({why})")
            continue
        rows += _watch(str(label), [str(one) for one in times], n[place], mean[place], chart)
    return Changes(rows=tuple(rows), method=method, baseline=chart.baseline, skipped=tuple(skipped), name=name)


def _watch(label: str, times: list[str], n: Any, mean: Floats, chart: _Chart) -> list[dict[str, Any]]:
    b = chart.baseline
    first = int(n[:b].sum())
    target = float(np.nansum(n[:b] * np.nan_to_num(mean[:b])) / first)
    own = chart.sd**2 / first
    z, noise, used = target, 0.0, 0.0
    up = down = 0.0
    rows: list[dict[str, Any]] = []
    for t, period in enumerate(times):
        seen = n[t] > 0
        row: dict[str, Any] = {
            "unit": label,
            "period": period,
            "n": int(n[t]),
            "mean": float(mean[t]) if seen else None,
            "target": target,
            "statistic": None,
            "limit_low": None,
            "limit_high": None,
            "alert": "",
        }
        rows.append(row)
        if t < b:
            continue
        if chart.method == "ewma":
            w = chart.smoothing
            if seen:
                z = (1 - w) * z + w * float(mean[t])
                noise = (1 - w) ** 2 * noise + w**2 * chart.sd**2 / n[t]
                used = (1 - w) * used + w
            reach = chart.limit * math.sqrt(noise + used**2 * own)
            row |= {"statistic": z, "limit_low": target - reach, "limit_high": target + reach}
            row["alert"] = "down" if z < target - reach else "up" if z > target + reach else ""
            continue
        if seen:
            s = (float(mean[t]) - target) / math.sqrt(chart.sd**2 / n[t] + own)
            up, down = max(0.0, up + s - chart.reference), max(0.0, down - s - chart.reference)
        row |= {"statistic": up if up >= down else -down, "limit_low": -chart.limit, "limit_high": chart.limit}
        row["alert"] = "down" if down > chart.limit else "up" if up > chart.limit else ""
    return rows


def changes_of(
    scores: FidelityScores,
    unit: str,
    of: str,
    method: Literal["ewma", "cusum"],
    earlier: Sequence[FidelityScores] = (),
) -> Changes:
    """Change over time of the units of fidelity scores; see :meth:`FidelityScores.over_time`."""
    from wwc_eval.fidelity.benchmarking.waves import check_alike

    check_alike(scores, earlier, of)
    drift = scores.spec.document.spec.drift
    units: list[str] = []
    periods: list[str] = []
    values = []
    for wave in (*earlier, scores):
        codes, labels = (
            wave.matrix.places.of_case[check_choice("unit", unit, wave.units)],
            wave.matrix.places.labels[unit],
        )
        units += [labels[code] for code in codes]
        named, dated = _periods(wave, drift.unit)
        periods += named
        values.append(np.where(dated, wave.values(of), np.nan))
    return changes(
        units,
        periods,
        np.concatenate(values),
        method=method,
        baseline=drift.baseline,
        smoothing=drift.smoothing,
        limit=float(drift.limit) if method == "ewma" else None,
        name=f"{of} by {unit.replace('_', ' ')}",
    )


def _periods(scores: FidelityScores, length: str) -> tuple[list[str], NDArray[np.bool_]]:
    """Period of each case, and whether it has a date."""
    import pandas as pd

    if scores.matrix.dates is None:
        raise DataError("the ratings have no column 'date'", fix="add the date of each rating")
    dates = pd.Series(pd.to_datetime(scores.matrix.dates))
    periods = dates.dt.to_period({"month": "M", "quarter": "Q", "year": "Y"}[length]).astype(str)
    return periods.tolist(), dates.notna().to_numpy(dtype=bool)
