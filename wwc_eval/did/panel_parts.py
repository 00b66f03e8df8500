"""A panel made from a panel: other dates or outcomes, fewer units or periods, and where a period stands in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_findings import found_again
from wwc_eval.did.panel_periods import Unreadable
from wwc_eval.errors import DataError, DesignError, Problem, did_you_mean, shown

if TYPE_CHECKING:
    from wwc_eval.did.panel import Panel

__all__ = [
    "between",
    "position",
    "subset",
    "taken",
    "with_adopted",
    "with_outcomes",
    "without",
    "without_clusters",
]

Flags = NDArray[np.bool_]


def with_adopted(panel: Panel, adopted: Any) -> Panel:
    """The panel with other first treated periods, as :meth:`Panel.with_adopted`."""
    positions = np.asarray(adopted)
    if positions.shape != (panel.n_units,) or positions.dtype.kind not in "iu":
        raise DesignError(
            f"adopted is {positions.dtype} of shape {positions.shape}, must be one whole number for each of "
            f"{panel.n_units:,} units"
        )
    if positions.size and (positions.min() < 0 or positions.max() > panel.n_periods):
        raise DesignError(
            f"adopted has positions from {positions.min()} to {positions.max()}, must be from 0 to "
            f"{panel.n_periods} (never)"
        )
    return panel._changed(adopted=positions.astype(np.int64))


def with_outcomes(panel: Panel, outcomes: Any) -> Panel:
    """The panel with another outcome, as :meth:`Panel.with_outcomes`."""
    panel.need_units("another outcome by cell")
    values = np.array(outcomes, dtype=np.float64)
    if values.shape != panel.outcomes.shape:
        raise DesignError(f"outcomes have shape {values.shape}, must be {panel.outcomes.shape}")
    return panel._changed(outcomes=values, counts=None, exposures=None)


def without(panel: Panel, units: Iterable[Any]) -> Panel:
    """The panel without some units, as :meth:`Panel.without`."""
    names = [units] if isinstance(units, str) or not isinstance(units, Iterable) else list(units)
    place = {unit: index for index, unit in enumerate(panel.units.tolist())}
    unknown = [name for name in names if name not in place]
    if unknown:
        raise DataError(
            problems=[
                Problem(
                    message=f"no unit {shown(name)} in the panel", fix=did_you_mean(str(name), map(str, place))
                )
                for name in unknown
            ]
        )
    keep = np.ones(panel.n_units, dtype=bool)
    keep[[place[name] for name in names]] = False
    return subset(panel, keep, slice(0, panel.n_periods))


def without_clusters(panel: Panel, clusters: Iterable[int]) -> Panel:
    """The panel without some clusters, by their codes; of children seen once, without the children of these clusters.

    Parameters
    ----------
    panel : Panel
        The panel.
    clusters : iterable of int
        Codes as in ``panel.clusters``.

    Raises
    ------
    DesignError
        If nothing is left, or children seen once have no clusters.
    """
    gone = list(clusters)
    if not panel.cross_sections:
        return subset(panel, ~np.isin(panel.clusters, gone), slice(0, panel.n_periods))
    if not panel.clustered:
        raise DesignError(
            "children seen once have no clusters to leave out", fix="name the column of the area in cluster="
        )
    rows = panel.cells.rows
    kept = ~np.isin(panel.clusters[rows.place // panel.n_periods], gone)
    if not kept.any():
        raise DesignError("no outcome is left in this part of the panel", fix="keep more clusters")
    columns: dict[str, Any] = dict(panel.columns)
    return type(panel)(panel.source.iloc[np.sort(rows.source[kept])], per=panel.per, **columns)


def between(panel: Panel, first: Any, last: Any) -> Panel:
    """The panel from one period to another, as :meth:`Panel.between`."""
    low = 0 if first is None else position(panel, first)
    high = panel.n_periods - 1 if last is None else position(panel, last)
    if low > high:
        raise DesignError(f"{shown(first)} comes after {shown(last)}", fix="give the earlier period first")
    part = subset(panel, np.ones(panel.n_units, dtype=bool), slice(low, high + 1))
    return part._changed(findings=found_again(part))


def position(panel: Panel, period: Any) -> int:
    """Position of a period by its label, as :meth:`Panel.position`."""
    try:
        place = panel.scale.position(period) - panel.scale.position(panel.periods[0])
    except Unreadable:
        place = np.nan
    found = np.flatnonzero(panel.times == place)
    if not found.size:
        labels = [str(panel.period_label(k)) for k in range(panel.n_periods)]
        raise DataError(f"no period {shown(period)} in the panel", fix=did_you_mean(str(period), labels))
    return int(found[0])


def subset(panel: Panel, units: Flags, periods: slice) -> Panel:
    """The part of a panel with some units and consecutive periods; what is left empty is left out.

    Raises
    ------
    DesignError
        If no cell with an outcome is left.
    """
    columns = np.zeros(panel.n_periods, dtype=bool)
    columns[periods] = True
    inside = panel.observed & units[:, None] & columns
    if not inside.any():
        raise DesignError("no outcome is left in this part of the panel", fix="keep more units or periods")
    panel.need_units("a part of a panel")
    fields = {name: getattr(panel, name) for name in panel.__dataclass_fields__}
    return panel._changed(**taken(fields, np.asarray(inside.any(axis=1)), np.asarray(inside.any(axis=0))))


def taken(fields: Mapping[str, Any], rows: Flags, columns: Flags) -> dict[str, Any]:
    """The fields of some units and periods; times start at 0 again, and clusters without a unit are gone."""
    kept_columns = np.flatnonzero(columns)
    times = fields["times"][columns]
    used, clusters = np.unique(fields["clusters"][rows], return_inverse=True)
    new = {
        "units": fields["units"][rows],
        "periods": fields["periods"][columns],
        "times": times - times[0],
        "adopted": np.searchsorted(kept_columns, fields["adopted"][rows]).astype(np.int64),
        "weights": fields["weights"][rows],
        "clusters": clusters.astype(np.int64),
        "cluster_labels": fields["cluster_labels"][used],
    }
    for name in ("outcomes", "counts", "exposures", "cell_weights", "rows"):
        value = fields[name]
        new[name] = None if value is None else value[np.ix_(rows, columns)]
    return new
