"""Children seen once as a panel of areas: means of area and period, adjusted for what the children are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.area_slopes import SLOPES, Children, slopes_by_cell
from wwc_eval.did.cs_design import covariate_names, known_columns, levels_of
from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_columns import numbers_of
from wwc_eval.did.panel_faults import Faults
from wwc_eval.errors import DesignError, Problem, check_choice, shown

__all__ = ["area_means"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def area_means(
    panel: Panel,
    covariates: str | Sequence[str] | None = None,
    *,
    keep: str | Sequence[str] = (),
    weighted: bool = False,
    slopes: Literal["never", "own", "all"] | None = None,
) -> Panel:
    """A panel of one row an area and period from children seen once, for what needs areas: ``few_treated`` and others.

    Parameters
    ----------
    panel : Panel
        Repeated cross-sections with ``cluster=``.
    covariates : str or sequence of str, optional
        Columns of the children for which the means are adjusted; text becomes indicators.
    keep : str or sequence of str
        Columns of numbers whose means go along, such as the population of the area.
    weighted : bool
        Whether areas weigh by their children, over all periods; alike without it.
    slopes : {"never", "own", "all"}, optional
        Whose children the slopes are of: those of areas never treated within the panel; each area's own before it is
        treated, moving as those of untreated areas do; or of all areas. The never treated where there are any and all
        areas otherwise, if nothing is said; the panel's findings say which.

    Returns
    -------
    Panel
        Its column ``rows`` is the number of children behind each mean.

    Raises
    ------
    DesignError
        If the panel has units seen again, or no areas, if covariates are collinear within the areas of a period (with
        ``"own"`` within an area), or if slopes of the never treated are asked for and there are none.
    DataError
        If a column is not there.

    Notes
    -----
    Formula: mean of ``y - (x - mean x) b`` over the children of an area and period, with b the slopes of that period:
    weighted least squares with one intercept an area, so that children of one area are compared with each other and b
    owes nothing to the areas' levels. As slopes are those of a period, trends may differ by kind of child, as far as they
    are linear in the covariates. Rows without a covariate are left out.

    Slopes of the never treated are those of no treatment, so that the effect is that on the children of the treated
    areas, also where it depends on the covariates. They take areas to have one slope. ``"own"`` takes slopes ``b_area +
    c_period`` from the untreated areas and periods: only the change of slopes is that of others, as parallel trends given
    covariates say, so that children of a treated area may become others though its slopes are its own. It needs every
    covariate to vary among the children of every area. With ``"all"`` b takes in an effect that depends on the
    covariates, by the share of the treated areas: the estimate is off by minus that share, times the slope of the effect,
    times how far the treated areas' mean covariate lies from that of the others. Slopes are held while treatment is permuted.
    Source: Donald and Lang 2007, doi:10.1162/rest.89.2.221.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> rows = [(f"A{a}", 2020 + t, age, 2.0 * age + (a == 0) * (t > 1) + (a * t) % 3) for a in range(6) for t in range(4)
    ...         for age in range(a, 12 + t)]
    >>> children = pd.DataFrame(rows, columns=["area", "year", "age", "y"]).assign(start=lambda d: 2022 * (d.area == "A0"))
    >>> once = we.Panel(children, unit=None, period="year", outcome="y", cohort="start", cluster="area")
    >>> areas = we.did.area_means(once, "age")
    >>> areas.outcomes.shape, round(float(areas.outcomes[0, 2] - areas.outcomes[0, 1]), 6)
    ((6, 4), 1.0)
    """
    if not isinstance(panel, Panel) or not panel.cross_sections or not panel.clustered:
        raise DesignError(
            f"area_means needs a Panel of children seen once with their areas, got {shown(panel)[:40]}",
            fix="make one: we.Panel(data, unit=None, cluster=..., ...)",
        )
    names, kept = covariate_names(covariates), covariate_names(keep)
    known_columns(panel, (*names, *kept))
    whose = _whose(panel, slopes)
    used, matrix, beside = _matrix(panel, names, kept)
    values = panel.cells.rows.outcomes[used] - _explained(panel, matrix, used, whose)
    told = f", adjusted for {', '.join(names)} by {SLOPES[whose]}" if names else ""
    return _built(panel, (used, values, beside), told, weighted=weighted)


def _whose(panel: Panel, slopes: str | None) -> str:
    """Whose slopes: those asked for, or of the never treated where there are any."""
    never = bool((panel.adopted == panel.n_periods).any())
    if slopes is None:
        return "never" if never else "all"
    check_choice("slopes", slopes, tuple(SLOPES))
    if slopes == "never" and not never:
        raise DesignError(
            "no area is never treated, so there are no slopes of the never treated", fix='write slopes="all"'
        )
    return slopes


def _matrix(panel: Panel, names: tuple[str, ...], kept: tuple[str, ...]) -> tuple[Ints, Floats, dict[str, Floats]]:
    """Rows with every covariate, their columns without an intercept, and the columns that go along."""
    from pandas.api import types

    rows, faults = panel.cells.rows, Faults()
    columns: list[Floats] = []
    for name in names:
        if types.is_numeric_dtype(panel.source[name]):
            columns.append(numbers_of(panel.source, name, faults, what="covariate")[rows.source])
            continue
        levels, codes = levels_of(panel, name)
        own = codes[rows.source]
        columns += [np.where(own < 0, np.nan, own == k).astype(np.float64) for k in range(1, len(levels))]
    beside = {name: numbers_of(panel.source, name, faults, what="column")[rows.source] for name in kept}
    faults.raise_if_any()
    matrix = np.column_stack([np.empty((len(rows.source), 0)), *columns])
    # the same sums in the same order, whatever the order of the data
    order = np.lexsort((*beside.values(), *columns, rows.weights, rows.outcomes, rows.place))
    used = order[np.isfinite(matrix[order]).all(axis=1)]
    return used, matrix[used], {name: values[used] for name, values in beside.items()}


def _explained(panel: Panel, matrix: Floats, used: Ints, whose: str) -> Floats:
    """What the covariates explain in each row, around its mean over all."""
    if not matrix.shape[1]:
        return np.zeros(len(used))
    rows = panel.cells.rows
    unit, period = np.divmod(rows.place[used], panel.n_periods)
    w = rows.weights[used]
    children = Children(unit=unit, period=period, weights=w, outcomes=rows.outcomes[used], matrix=matrix)
    slopes = slopes_by_cell(panel, children, whose)
    return np.asarray(((matrix - w @ matrix / w.sum()) * slopes[unit, period]).sum(axis=1))


def _built(panel: Panel, found: tuple[Ints, Floats, dict[str, Floats]], adjusted: str, *, weighted: bool) -> Panel:
    """The panel of the means."""
    import pandas as pd

    used, values, beside = found
    rows = panel.cells.rows
    place, w = rows.place[used], rows.weights[used]
    size, length = panel.outcomes.size, panel.n_periods
    n, total = np.bincount(place, minlength=size), np.bincount(place, w, minlength=size)
    there = np.flatnonzero(n)

    def mean(column: Floats) -> Floats:
        """Weighted means of the cells that have rows."""
        return np.asarray(np.bincount(place, w * column, minlength=size)[there] / total[there])

    unit, period = np.divmod(there, length)
    labels: list[Any] = [None if k == length else panel.period_label(int(k)) for k in panel.adopted]
    of = {name: str(panel.columns[name]) for name in ("cluster", "period", "outcome")}
    cohort = panel.columns["cohort"] or "cohort"
    # an area whose rows are of several cohorts is a unit for each, and one cluster
    split = panel.n_units > panel.n_clusters
    name_of_unit = "area and cohort" if split else of["cluster"]
    frame = pd.DataFrame(
        {
            name_of_unit: panel.units[unit],
            of["period"]: panel.periods[period],
            of["outcome"]: mean(values),
            cohort: [labels[u] for u in unit],
            "rows": n[there],
            "weight": np.bincount(unit, total[there], minlength=panel.n_units)[unit],
        }
    )
    if split:
        frame[of["cluster"]] = panel.cluster_labels[panel.clusters[unit]]
    for name, column in beside.items():
        frame[name] = mean(column)
    areas = Panel(
        frame,
        unit=name_of_unit,
        period=of["period"],
        outcome=of["outcome"],
        cohort=cohort,
        weights="weight" if weighted else None,
        cluster=of["cluster"] if split else None,
    )
    told = f"means of {len(used):,} rows{adjusted}"
    gone = len(rows.place) - len(used)
    if gone:
        told += f"; {gone:,} rows without a covariate are left out"
    return areas._changed(findings=(Problem(message=told, severity="warning", code="means"), *areas.findings))
