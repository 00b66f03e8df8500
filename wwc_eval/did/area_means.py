"""Children seen once as a panel of areas: means of area and period, adjusted for what the children are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_design import covariate_names, known_columns, levels_of
from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_columns import numbers_of
from wwc_eval.did.panel_faults import Faults
from wwc_eval.errors import DesignError, Problem, shown

__all__ = ["area_means"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LARGEST_CONDITION = 1e12


def area_means(
    panel: Panel,
    covariates: str | Sequence[str] | None = None,
    *,
    keep: str | Sequence[str] = (),
    weighted: bool = False,
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

    Returns
    -------
    Panel
        Its column ``rows`` is the number of children behind each mean.

    Raises
    ------
    DesignError
        If the panel has units seen again, or no areas, or covariates are collinear within areas and periods.
    DataError
        If a column is not there.

    Notes
    -----
    Formula: mean of ``y - (x - mean x) b`` over the children of an area and period, with b the slopes of a weighted
    least squares regression with one intercept an area and period: children of one area and period are compared with
    each other, so that b owes nothing to treatment. Slopes are one for all areas and periods: where trends differ by
    kind of child, adjust by ``callaway_santanna(..., covariates=...)``. Source: Donald and Lang 2007,
    doi:10.1162/rest.89.2.221.

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
    used, matrix = _matrix(panel, names)
    values = panel.cells.rows.outcomes[used] - _explained(panel, matrix, used)
    return _built(panel, values, used, (names, kept, weighted))


def _matrix(panel: Panel, names: tuple[str, ...]) -> tuple[Ints, Floats]:
    """Rows with every covariate, and their columns without an intercept."""
    from pandas.api import types

    source, faults = panel.cells.rows.source, Faults()
    columns: list[Floats] = []
    for name in names:
        if types.is_numeric_dtype(panel.source[name]):
            columns.append(numbers_of(panel.source, name, faults, what="covariate")[source])
            continue
        levels, codes = levels_of(panel, name)
        own = codes[source]
        columns += [np.where(own < 0, np.nan, own == k).astype(np.float64) for k in range(1, len(levels))]
    faults.raise_if_any()
    matrix = np.column_stack([np.empty((len(source), 0)), *columns])
    used = np.flatnonzero(np.isfinite(matrix).all(axis=1))
    return used, matrix[used]


def _explained(panel: Panel, matrix: Floats, used: Ints) -> Floats:
    """What the covariates explain in each row, around its mean over all."""
    if not matrix.shape[1]:
        return np.zeros(len(used))
    rows = panel.cells.rows
    place, w, y = rows.place[used], rows.weights[used], rows.outcomes[used]
    total = np.bincount(place, w, minlength=panel.outcomes.size)
    total[total == 0] = 1.0

    def within(values: Floats) -> Floats:
        """Deviations from the mean of area and period."""
        return np.asarray(values - (np.bincount(place, w * values, minlength=len(total)) / total)[place])

    x = np.column_stack([within(column) for column in matrix.T])
    gram = (x * w[:, None]).T @ x
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0).all() or np.linalg.cond(gram / np.outer(scale, scale)) > LARGEST_CONDITION:
        raise DesignError(
            "the covariates are collinear, or constant, within areas and periods",
            fix="leave out what does not vary between the children of one area and period",
        )
    slopes = np.linalg.solve(gram, x.T @ (w * within(y)))
    return np.asarray((matrix - w @ matrix / w.sum()) @ slopes)


def _built(
    panel: Panel, values: Floats, used: Ints, asked: tuple[tuple[str, ...], tuple[str, ...], bool]
) -> Panel:
    """The panel of the means."""
    import pandas as pd

    names, kept, weighted = asked
    rows, faults = panel.cells.rows, Faults()
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
    frame = pd.DataFrame(
        {
            of["cluster"]: panel.units[unit],
            of["period"]: panel.periods[period],
            of["outcome"]: mean(values),
            cohort: [labels[u] for u in unit],
            "rows": n[there],
            "weight": np.bincount(unit, total[there], minlength=panel.n_units)[unit],
        }
    )
    for name in kept:
        frame[name] = mean(numbers_of(panel.source, name, faults, what="column")[rows.source][used])
    faults.raise_if_any()
    found = Panel(
        frame,
        unit=of["cluster"],
        period=of["period"],
        outcome=of["outcome"],
        cohort=cohort,
        weights="weight" if weighted else None,
    )
    told = f"means of {len(used):,} rows" + (f", adjusted for {', '.join(names)}" if names else "")
    gone = len(rows.place) - len(used)
    if gone:
        told += f"; {gone:,} rows without a covariate are left out"
    return found._changed(findings=(Problem(message=told, severity="warning", code="means"), *found.findings))
