"""Columns checked, arms coded and conditions made plain, for the tables that count people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.frames import as_pandas
from wwc_eval.errors import DataError, Place, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["codes_of", "mask_of", "refuse_repeated", "table_with"]


def table_with(frame: Any, columns: Sequence[str]) -> pd.DataFrame:
    """The frame as pandas, with the named columns in it; the caller's frame is not changed.

    Raises
    ------
    DataError
        If it is no data frame, or lacks a column.
    """
    table = as_pandas(frame, "the data")
    known = [str(name) for name in table.columns]
    for name in columns:
        if name not in known:
            raise DataError(
                f"there is no column '{name}'", place=Place(column=name), fix=did_you_mean(name, known)
            )
    return table


def codes_of(values: pd.Series[Any], levels: Sequence[str]) -> NDArray[np.int64]:
    """Position of each value among declared levels, compared as text.

    Raises
    ------
    DataError
        If a value is missing or is none of the levels.
    """
    place = {str(level): index for index, level in enumerate(levels)}
    missing = values.isna().to_numpy()
    texts = values.astype(object).map(str).to_numpy()
    codes = np.array([-1 if gone else place.get(text, -2) for text, gone in zip(texts, missing, strict=True)])
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        value = "missing" if missing[row] else shown(texts[row])
        raise DataError(
            f"{int((codes < 0).sum())} values of '{values.name}' are none of the declared levels",
            place=Place(row=row + 2, column=str(values.name)),
            value=value,
            rule=f"one of {', '.join(place)}",
            fix="correct the values, or declare their level",
        )
    return codes.astype(np.int64)


def mask_of(mask: Any, n: int, what: str) -> tuple[NDArray[np.bool_], bool]:
    """A condition as plain booleans, unknown counting as false, and whether any was unknown.

    Raises
    ------
    DataError
        If it is not one true, false or missing value for each of the n rows.
    """
    import pandas as pd

    try:
        values = pd.array(list(mask), dtype="boolean")
    except (TypeError, ValueError) as error:
        raise DataError(f"the mask of '{what}' holds other than true, false and missing") from error
    if len(values) != n:
        raise DataError(
            f"the mask of '{what}' has {len(values)} values for {n} rows", fix="evaluate it on the same frame"
        )
    unknown = bool(values.isna().any())
    return np.asarray(values.fillna(value=False), dtype=bool), unknown


def refuse_repeated(variables: Sequence[str]) -> None:
    """Refuse a variable that is listed twice."""
    repeated = sorted({name for name in variables if list(variables).count(name) > 1})
    if repeated:
        raise DataError(f"the variable '{repeated[0]}' is listed twice")
