"""One series for one area: authorities that were merged or split, with their counts and denominators added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_faults import Faults, listed
from wwc_eval.did.panel_findings import found_again
from wwc_eval.did.sample import need_panel
from wwc_eval.errors import DataError, DesignError, Problem, did_you_mean, shown

__all__ = ["merge_areas"]

Floats = NDArray[np.float64]


def merge_areas(panel: Panel, areas: Mapping[str, Sequence[Any]]) -> Panel:
    """The panel with the units of each area added up, so that a reorganised authority has one series.

    Counts and exposures are summed over the units of the area that have an outcome in the period, so every count of the
    panel is kept exactly once. Whether they cover the same area in every period, nobody but the evaluator knows: the
    findings say which units stand behind which periods.

    Parameters
    ----------
    panel : Panel
        With counts and exposures; without weights, which have no sum that suits every use.
    areas : mapping of str to sequence
        Name of each area, and its units, such as ``{"Northamptonshire area": ["Northamptonshire", "North
        Northamptonshire", "West Northamptonshire"]}``.

    Returns
    -------
    Panel
        Covariates of the data are missing for merged units.

    Raises
    ------
    DesignError
        If the outcome is no count with exposure, weights were given, or units of an area join at different times or
        lie in different clusters.
    DataError
        If a unit is not in the panel, stands in two areas, or the name of an area is that of another unit.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [("Cumbria", 2022, 60, 1000), ("Cumberland", 2023, 40, 600), ("Westmorland", 2023, 30, 500)]
    >>> rows += [("Kent", 2022, 90, 3000), ("Kent", 2023, 95, 3100)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "starts", "children"])
    >>> panel = Panel(data, unit="la", period="year", outcome="starts", exposure="children")
    >>> one = merge_areas(panel, {"Cumbria area": ["Cumbria", "Cumberland", "Westmorland"]})
    >>> one.units.tolist(), one.counts.tolist()
    (['Cumbria area', 'Kent'], [[60.0, 70.0], [90.0, 95.0]])
    """
    need_panel(panel, "merge_areas")
    panel.need_units("merge_areas")
    if panel.counts is None or panel.exposures is None:
        raise DesignError(
            "merge_areas needs counts with exposures: rates cannot be added up",
            fix="give the count in outcome= and its denominator in exposure=",
        )
    if panel.columns["weights"] is not None:
        raise DesignError(
            "merge_areas does not add up weights", fix="merge the rows of the data before weighing them"
        )
    members = _members(panel, areas)
    label = {index: name for name, indices in members.items() for index in indices}
    names = [label.get(index, unit) for index, unit in enumerate(panel.units.tolist())]
    units, codes = np.unique(np.array(names, dtype=object), return_inverse=True)
    first = np.array([int(np.flatnonzero(codes == code)[0]) for code in range(len(units))])
    _agree(panel, members)
    counts, exposures = (_added(values, codes, len(units)) for values in (panel.counts, panel.exposures))
    assert panel.rows is not None
    rows = panel.rows[first].copy()
    rows[[unit in members for unit in units]] = -1
    used, clusters = np.unique(panel.clusters[first], return_inverse=True)
    merged = panel._changed(
        units=units,
        outcomes=counts / exposures,
        counts=counts,
        exposures=exposures,
        adopted=panel.adopted[first],
        weights=np.ones(len(units)),
        clusters=clusters.astype(np.int64) if panel.clustered else np.arange(len(units), dtype=np.int64),
        cluster_labels=panel.cluster_labels[used] if panel.clustered else units,
        rows=rows,
    )
    return merged._changed(findings=_findings(panel, merged, members))


def _members(panel: Panel, areas: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
    """Positions of the units of each area, every fault at once."""
    place = {unit: index for index, unit in enumerate(panel.units.tolist())}
    problems: list[Problem] = []
    taken: dict[Any, str] = {}
    members: dict[str, list[int]] = {}
    for name, units in areas.items():
        listed_units = [units] if isinstance(units, str) else list(units)
        for unit in listed_units:
            if unit not in place:
                fix = did_you_mean(str(unit), map(str, place))
                problems.append(Problem(message=f"no unit {shown(unit)} in the panel", fix=fix))
            elif unit in taken:
                problems.append(Problem(message=f"unit {shown(unit)} stands in '{taken[unit]}' and in '{name}'"))
            taken[unit] = name
        if name in place and name not in listed_units:
            fix = "give the area another name, or list that unit in it"
            problems.append(Problem(message=f"area '{name}' has the name of a unit outside it", fix=fix))
        members[name] = sorted(place[unit] for unit in listed_units if unit in place)
    if problems:
        raise DataError(problems=problems)
    if not all(isinstance(unit, str) for unit in place) or not all(members.values()):
        raise DesignError("merge_areas needs units with names, and at least one unit in each area")
    return members


def _agree(panel: Panel, members: Mapping[str, list[int]]) -> None:
    for name, indices in members.items():
        dates = panel.adopted[indices]
        if (dates != dates[0]).any():
            labels = [panel.period_label(int(k)) if k < panel.n_periods else "never" for k in dates]
            raise DesignError(
                f"the units of '{name}' join at different times: {listed(labels)}",
                fix="an area is treated as a whole: leave it out, or correct the cohort",
            )
        if panel.clustered and len(set(panel.clusters[indices].tolist())) > 1:
            raise DesignError(f"the units of '{name}' lie in different clusters", fix="give the area one cluster")


def _added(values: Floats, codes: NDArray[np.intp], n: int) -> Floats:
    """Sums over the units of each area that have a value; missing where none has."""
    seen = ~np.isnan(values)
    total, count = np.zeros((n, values.shape[1])), np.zeros((n, values.shape[1]))
    np.add.at(total, codes, np.where(seen, values, 0.0))
    np.add.at(count, codes, seen)
    return np.where(count > 0, total, np.nan)


def _findings(panel: Panel, merged: Panel, members: Mapping[str, list[int]]) -> tuple[Problem, ...]:
    """What was found in reading, what was added up, and what is odd about the series that there are now."""
    faults = Faults()
    for name, indices in members.items():
        parts = []
        for index in indices:
            seen = np.flatnonzero(panel.observed[index])
            parts.append(f"{panel.units[index]} ({panel.periods[seen[0]]} to {panel.periods[seen[-1]]})")
        faults.note(f"'{name}' adds up {listed(parts)}", code="merged")
    return found_again(merged, faults.findings)
