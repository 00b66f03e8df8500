"""Data frames at the door: pandas as it is, anything that narwhals reads made pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_pandas"]


def to_pandas(data: Any) -> pd.DataFrame:
    """The data as a pandas frame: pandas as it is, polars, pyarrow and others through narwhals.

    Raises
    ------
    DataError
        If the data are no table.
    """
    import narwhals as nw
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    try:
        native = nw.from_native(data, eager_only=True)
    except TypeError:
        raise DataError(
            f"data must be a data frame, not {type(data).__name__}", fix="give a pandas or polars frame"
        ) from None
    frame: pd.DataFrame = native.to_pandas()
    return frame
