"""The fields of a panel from a checked frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_columns import kept, numbers_of
from wwc_eval.did.panel_faults import Faults
from wwc_eval.did.panel_findings import note_cells, note_cohorts, note_empty, note_spellings
from wwc_eval.did.panel_parts import taken
from wwc_eval.did.panel_reading import (
    lay_out,
    read_adoption,
    read_clusters,
    read_outcome,
    read_periods,
    read_weights,
    sorted_codes,
)
from wwc_eval.did.panel_treatment import Grid
from wwc_eval.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.did.panel import Panel

__all__ = ["cross_section_fields", "panel_fields", "spread_column"]

Floats = NDArray[np.float64]
Names = Mapping[str, str | None]


def panel_fields(frame: pd.DataFrame, names: Names, faults: Faults) -> dict[str, Any]:
    """Fields of a panel whose units are seen again and again."""
    unit, period = str(names["unit"]), str(names["period"])
    units, unit_codes = sorted_codes(frame, unit, faults, what="unit")
    found = read_periods(frame, period, faults)
    values, counts, exposures = read_outcome(frame, str(names["outcome"]), names["exposure"], faults)
    weights, values = read_weights(frame, names["weights"], values, faults)
    if found is None or faults.problems:
        faults.raise_if_any()
    assert found is not None
    periods, times, scale, period_codes = found
    grid = lay_out((unit, units, unit_codes), (period, periods, period_codes), faults)
    adopted = read_adoption(frame, names, grid, on=(times, scale), faults=faults)
    above = None if names["cluster"] is None else read_clusters(frame, names["cluster"], grid, faults)
    faults.raise_if_any()
    outcomes = grid.spread(values, np.nan)
    observed = ~np.isnan(outcomes)
    fields: dict[str, Any] = {
        "units": units,
        "periods": periods,
        "times": times,
        "outcomes": outcomes,
        "adopted": adopted,
        "counts": None if counts is None else grid.spread(counts, np.nan),
        "exposures": None if exposures is None else grid.spread(exposures, np.nan),
        "rows": grid.rows,
        **_weight_fields(None if weights is None else grid.spread(weights, np.nan), observed, names, faults),
        **_cluster_fields(units, above),
    }
    if not observed.all():
        fields = _trimmed(fields, observed, faults)
    _note(fields, faults)
    return {**fields, "cross_sections": False, "cells": None, "scale": scale, "source": kept(frame)}


def _trimmed(fields: dict[str, Any], observed: NDArray[np.bool_], faults: Faults) -> dict[str, Any]:
    """The fields without units and periods that have no outcome."""
    if not observed.any():
        raise DataError("no row has an outcome", fix="name another outcome, or correct the column")
    rows, columns = np.asarray(observed.any(axis=1)), np.asarray(observed.any(axis=0))
    if rows.all() and columns.all():
        return fields
    note_empty(fields["units"], fields["periods"], observed, faults)
    return taken(fields, rows, columns)


def _note(fields: dict[str, Any], faults: Faults) -> None:
    grid = Grid(rows=fields["rows"], units=fields["units"], periods=fields["periods"], full=False)
    observed = ~np.isnan(fields["outcomes"])
    note_cells(grid, fields["times"], observed, faults)
    note_cohorts(grid, fields["adopted"], faults)
    note_spellings(fields["units"], observed, faults)


def _weight_fields(
    cells: Floats | None, observed: NDArray[np.bool_], names: Names, faults: Faults
) -> dict[str, Floats | None]:
    """Weight of each unit, and of each cell where weights vary over time."""
    if cells is None:
        return {"weights": np.ones(len(observed)), "cell_weights": None}
    first = cells[np.arange(len(cells)), observed.argmax(axis=1)]
    # a unit without any outcome is left out below
    first = np.where(np.isnan(first), 1.0, first)
    varies = observed & (cells != first[:, None])
    if not varies.any():
        return {"weights": first, "cell_weights": None}
    faults.note(
        f"weights vary over time within {int(varies.any(axis=1).sum()):,} units: estimators that weigh units take "
        "that of the unit's first observed period",
        column=names["weights"],
        code="weights",
    )
    return {"weights": first, "cell_weights": np.where(observed, cells, np.nan)}


def _cluster_fields(units: NDArray[Any], above: tuple[NDArray[Any], NDArray[np.int64]] | None) -> dict[str, Any]:
    if above is None:
        return {"clusters": np.arange(len(units), dtype=np.int64), "cluster_labels": units}
    return {"clusters": above[1], "cluster_labels": above[0]}


def spread_column(panel: Panel, name: str) -> Floats:
    """A numeric column of the data by cell of the panel.

    Raises
    ------
    DataError
        If there is no such column, or a value is no number.
    """
    if name not in panel.source.columns:
        raise DataError(
            f"the data have no column '{name}'", fix=did_you_mean(name, map(str, panel.source.columns))
        )
    faults = Faults()
    values = numbers_of(panel.source, name, faults, what="covariate")
    faults.raise_if_any()
    assert panel.rows is not None
    cells = values[np.maximum(panel.rows, 0)]
    return np.where(panel.rows < 0, np.nan, cells)


def cross_section_fields(frame: pd.DataFrame, names: Names, faults: Faults) -> dict[str, Any]:
    """Fields of repeated cross-sections: cells of cluster or cohort by period in place of units."""
    from wwc_eval.did.cells import compress

    return compress(frame, names, faults)
