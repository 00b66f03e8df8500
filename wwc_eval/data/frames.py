"""Frames of other libraries at the door: pandas, polars and pyarrow through narwhals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DataError, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_pandas", "columns_of"]


def columns_of(frame: Any, name: str) -> tuple[list[str], list[list[Any]]]:
    """Names of the columns, and their cells as Python values.

    Raises
    ------
    DataError
        If the object is no frame, or not a readable one (D51).
    """
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        cells = [frame.iloc[:, index].tolist() for index in range(frame.shape[1])]
        return [str(column) for column in frame.columns], cells
    native = _native(frame, name)
    try:
        header = list(native.columns)
        return header, [native[column].to_list() for column in header]
    except Exception as error:  # names twice, types that narwhals does not know
        raise _unreadable(name, error) from error


def as_pandas(frame: Any, name: str) -> pd.DataFrame:
    """The frame itself if it is of pandas, else a copy as one.

    Raises
    ------
    DataError
        If the object is no frame, or cannot become one of pandas (D51).
    """
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        return frame
    try:
        converted: pd.DataFrame = _native(frame, name).to_pandas()
    except DataError:
        raise
    except Exception as error:  # names twice, or pyarrow missing, which polars needs for this
        raise _unreadable(name, error) from error
    return converted


def _native(frame: Any, name: str) -> Any:
    import narwhals as nw

    try:
        return nw.from_native(frame, eager_only=True)
    except TypeError:
        raise DataError(
            f"{name} is {shown(type(frame).__name__)}, not a data frame",
            code="D51",
            fix="give a pandas, polars or pyarrow frame (collect a lazy one first)",
        ) from None
    except Exception as error:  # a frame that narwhals refuses
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: BaseException) -> DataError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return DataError(
        f"{name} cannot be read: {reason}", code="D51", fix="give each column one name and one plain type"
    )
