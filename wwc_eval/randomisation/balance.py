"""Balance of an allocation on what was known before it: means, shares, standardised differences, variance ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.group_balance import Balance, Groups, category_rows, levels_of, number_row
from wwc_eval.errors import DataError, Place
from wwc_eval.randomisation.units import check_columns, names_of

if TYPE_CHECKING:
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["Balance", "balance_of"]


def balance_of(
    allocation: Allocation, columns: str | Sequence[str], *, data: Any = None, size: str | None = None
) -> Balance:
    """Balance of an allocation on columns of its units.

    Parameters
    ----------
    allocation : Allocation
        The allocation.
    columns : str or sequence of str
        Columns: numbers and true/false by mean (0 and 1 as shares), all else by the share of each category.
    data : data frame, optional
        Other columns of the same units, one row a unit; those of the unit list where it is missing.
    size : str, optional
        Column of sizes by which units are weighted, such as the children of a team.

    Raises
    ------
    DesignError
        If a column is not there.
    DataError
        If a size is missing or not above 0, or ``data`` lacks a unit.
    """
    units = allocation.units if data is None else matched_units(allocation, data)
    names = names_of("columns", columns)
    check_columns(units.frame, [*names, *([size] if size else [])])
    weights = np.ones(units.n) if size is None else units.numbers(size)
    if (weights <= 0).any():
        row = int(np.flatnonzero(weights <= 0)[0])
        raise DataError(
            f"unit '{units.keys[row]}' has a size that is not above 0",
            place=Place(column=size),
            fix="correct the size, or weigh units equally",
        )
    names_of_groups = tuple(str(label) for label in allocation.labels)
    groups = Groups(names=names_of_groups, codes=allocation.codes, weights=weights)
    rows: list[dict[str, Any]] = []
    missing: dict[str, int] = {}
    for name in names:
        series = units.frame[name]
        present = series.notna().to_numpy()
        if not present.all():
            missing[name] = int((~present).sum())
        if units.is_numeric(name):
            values = np.where(present, series.to_numpy(dtype=float, na_value=math.nan), 0.0)
            rows.append(number_row(name, values, present, groups))
        else:
            texts = np.array([str(value) for value in series], dtype=object)
            rows += category_rows(name, texts, present, levels_of(series, texts[present].tolist()), groups)
    return Balance(rows=tuple(rows), groups=names_of_groups, missing=missing, size=size)


def matched_units(allocation: Allocation, data: Any) -> Any:
    """Units of another frame in the order of the allocation, every one there once."""
    from wwc_eval.randomisation.units import read_units

    other = read_units(data, allocation.unit)
    place = {key: position for position, key in enumerate(other.keys)}
    lacking = [key for key in allocation.units.keys if key not in place]
    if lacking:
        raise DataError(
            f"data has no row for {len(lacking)} of {allocation.n} units, such as '{lacking[0]}'",
            place=Place(column=allocation.unit),
            fix="give one row for each unit that was allocated",
        )
    return other.take(np.array([place[key] for key in allocation.units.keys], dtype=np.intp))
