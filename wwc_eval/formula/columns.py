"""Columns of a data frame as formulas and conditions see them: their kind, values and missing rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from wwc_eval.errors import DataError, FormulaError, Place, Problem, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BoolArray",
    "DataColumn",
    "FloatArray",
    "IntArray",
    "check_frame",
    "column_names",
    "label_of",
    "plain",
    "rows_text",
    "sorted_levels",
    "unknown_columns",
]

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

ColumnKind = Literal["number", "flag", "text", "category", "date", "other"]

_INFERRED: dict[str, ColumnKind] = {
    "string": "text",
    "empty": "text",
    "boolean": "flag",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "date": "date",
    "datetime": "date",
    "datetime64": "date",
}


@dataclass(frozen=True, eq=False)
class DataColumn:
    """One column of a data frame, read once and only as far as it is used.

    Parameters
    ----------
    name : str
        Name of the column.
    series : pandas.Series
        Its values.
    """

    name: str
    series: pd.Series[Any]

    @cached_property
    def kind(self) -> ColumnKind:
        """What the column holds: number, flag (true or false), text, category, date or other."""
        import pandas as pd

        types = pd.api.types
        dtype = self.series.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return "category"
        if types.is_bool_dtype(dtype):
            return "flag"
        if types.is_numeric_dtype(dtype):
            return "other" if types.is_complex_dtype(dtype) else "number"
        if types.is_datetime64_any_dtype(dtype):
            return "date"
        if not types.is_object_dtype(dtype) and types.is_string_dtype(dtype):
            return "text"
        return _INFERRED.get(types.infer_dtype(self.series, skipna=True), "other")

    @cached_property
    def missing(self) -> BoolArray | None:
        """Mask of missing rows, or None where no value is missing."""
        mask = np.isnan(self.numbers) if self.kind == "number" else self.series.isna().to_numpy(dtype=bool)
        return mask if mask.any() else None

    @cached_property
    def n_missing(self) -> int:
        """Number of missing rows."""
        return 0 if self.missing is None else int(self.missing.sum())

    @cached_property
    def numbers(self) -> FloatArray:
        """Values of a number or flag column, not-a-number where missing."""
        if self.series.dtype == object:
            values = np.full(len(self.series), np.nan)
            present = self.series.notna().to_numpy(dtype=bool)
            values[present] = [float(value) for value in self.series.to_numpy(dtype=object)[present]]
            return values
        if isinstance(self.series.dtype, np.dtype):
            return np.asarray(self.series, dtype=np.float64)
        return self.series.to_numpy(dtype=np.float64, na_value=np.nan)

    @cached_property
    def coded(self) -> tuple[IntArray, tuple[Any, ...]]:
        """Code of each row (-1 where missing) and the distinct values that the codes stand for."""
        import pandas as pd

        if self.kind == "category":
            codes: IntArray = np.asarray(self.series.cat.codes, dtype=np.intp)
            return codes, tuple(plain(value) for value in self.series.cat.categories.tolist())
        found, values = pd.factorize(self.series)
        return np.asarray(found, dtype=np.intp), tuple(plain(value) for value in values.tolist())

    @property
    def place(self) -> Place:
        """Place of a problem with the column."""
        return Place(column=self.name)

    @property
    def described(self) -> str:
        """The column's content in words."""
        words = {
            "number": "numbers",
            "flag": "true and false",
            "text": "text",
            "category": "categories",
            "date": "dates",
        }
        return words.get(self.kind, f"values of mixed or unsuitable type ({self.series.dtype})")


def plain(value: Any) -> Any:
    """A level as plain Python; a float that holds a whole number (as missing values make it) is an int."""
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def label_of(value: Any) -> str:
    """Text of a level inside a term's name."""
    return value if isinstance(value, str) else str(plain(value))


def sorted_levels(values: Iterable[Any]) -> tuple[Any, ...]:
    """Levels in order: numbers by size, text by Unicode code point (the same on every machine)."""
    return tuple(sorted(values))


def check_frame(data: object) -> pd.DataFrame:
    """The data frame itself if it is one of pandas with distinct column names.

    Raises
    ------
    DataError
        If it is something else or names a column twice.
    """
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise DataError(
            f"data must be a pandas data frame, not {type(data).__name__}",
            fix="convert it, for example with narwhals.from_native(data).to_pandas()",
        )
    if not data.columns.is_unique:
        raise DataError(
            problems=[
                Problem(
                    message=f"the column '{name}' is there more than once",
                    place=Place(column=str(name)),
                    fix="rename one of them",
                )
                for name in dict.fromkeys(data.columns[data.columns.duplicated()])
            ]
        )
    return data


def column_names(data: pd.DataFrame) -> list[str]:
    """Names that a formula can reach: those that are text."""
    return [name for name in data.columns if isinstance(name, str)]


def rows_text(count: int) -> str:
    """``1 row``, ``1,250 rows``."""
    return f"{count:,} row" + ("" if count == 1 else "s")


def unknown_columns(names: Iterable[str], data: pd.DataFrame, *, source: str) -> None:
    """Refuse names that the data do not have, all of them at once.

    Raises
    ------
    FormulaError
        With one problem for each unknown name.
    """
    known = column_names(data)
    absent = sorted(set(names) - set(known))
    if absent:
        raise FormulaError(
            problems=[
                Problem(
                    message=f"the data have no column '{name}' that {source} names",
                    place=Place(column=name),
                    fix=did_you_mean(name, known),
                )
                for name in absent
            ]
        )
