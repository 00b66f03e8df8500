"""Evaluating a condition: each node gives the rows where it is true and the rows where it is false.

Rows in neither are missing, which makes three-valued logic two lines: ``and`` is true where all are true and
false where any is false; ``not`` swaps the two.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wwc_eval.errors import FormulaError, Place, Problem, did_you_mean, shown
from wwc_eval.formula.columns import BoolArray, DataColumn, check_frame, plain, unknown_columns
from wwc_eval.formula.conditions import Condition
from wwc_eval.formula.nodes import (
    Comparison,
    Joined,
    Literal,
    Membership,
    Missing,
    Named,
    Negation,
    Node,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate_condition"]

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?")


@dataclass(frozen=True, eq=False)
class Truth:
    """Rows where a node is true, and rows where it is false; the others are missing."""

    true: BoolArray
    false: BoolArray

    @classmethod
    def known(cls, result: BoolArray, missing: BoolArray | None) -> Truth:
        """Truth of a comparison that is missing in some rows."""
        if missing is None:
            return cls(result, ~result)
        return cls(result & ~missing, ~result & ~missing)


def evaluate_condition(
    condition: Condition, data: pd.DataFrame, lists: Mapping[str, Iterable[Any]]
) -> pd.Series[Any]:
    """Truth of a condition in each row; see :meth:`Condition.evaluate`."""
    import pandas as pd

    frame = check_frame(data)
    unknown_columns(condition.columns, frame, source=shown(condition.text))
    absent = sorted(condition.names - set(lists))
    if absent:
        raise FormulaError(
            problems=[
                Problem(
                    message=f"{shown(condition.text)} names a list '{name}' that is not given",
                    fix=did_you_mean(name, lists),
                )
                for name in absent
            ]
        )
    columns = {name: DataColumn(name, frame[name]) for name in condition.columns}
    truth = _Evaluator(columns, lists).node(condition.node)
    values = pd.arrays.BooleanArray(truth.true, ~(truth.true | truth.false))
    return pd.Series(values, index=frame.index)


@dataclass(frozen=True, eq=False)
class _Evaluator:
    columns: Mapping[str, DataColumn]
    lists: Mapping[str, Iterable[Any]]

    def node(self, node: Node) -> Truth:
        if isinstance(node, Joined):
            truths = [self.node(inner) for inner in node.nodes]
            true = [truth.true for truth in truths]
            false = [truth.false for truth in truths]
            if node.word == "and":
                return Truth(np.logical_and.reduce(true), np.logical_or.reduce(false))
            return Truth(np.logical_or.reduce(true), np.logical_and.reduce(false))
        if isinstance(node, Negation):
            inner = self.node(node.node)
            return Truth(inner.false, inner.true)
        if isinstance(node, Missing):
            return self.missing(node)
        if isinstance(node, Membership):
            return self.membership(node)
        return self.comparison(node)

    def missing(self, node: Missing) -> Truth:
        mask = self.columns[node.column.name].series.isna().to_numpy(dtype=bool)
        return Truth(~mask, mask) if node.negated else Truth(mask, ~mask)

    def membership(self, node: Membership) -> Truth:
        column = self.columns[node.column.name]
        values: list[Any]
        if isinstance(node.options, str):
            values = _listed(node.options, self.lists[node.options])
            where = f" in the list '{node.options}'"
        else:
            values = [literal.value for literal in node.options]
            where = ""
        if _untyped(column):
            return _unknown(column)
        comparable = {_comparable(column, value, where) for value in values}
        if column.kind == "date":
            member = np.isin(_dates(column), np.array(list(comparable), dtype="datetime64[us]"))
        else:
            codes, distinct = column.coded
            member = np.array([*(value in comparable for value in distinct), False], dtype=bool)[codes]
        return Truth.known(~member if node.negated else member, column.missing)

    def comparison(self, node: Comparison) -> Truth:
        left, right, sign = node.left, node.right, node.operator
        if isinstance(left, Literal):
            left, right, sign = right, left, _FLIPPED.get(sign, sign)
        # the parser lets no two literals meet
        column = self.columns[left.name]  # type: ignore[union-attr]
        if isinstance(right, Named):
            return _compare_columns(column, self.columns[right.name], sign)
        if _untyped(column):
            return _unknown(column)
        value = _comparable(column, right.value, "")
        if column.kind in {"text", "category"}:
            if sign not in {"==", "!="}:
                raise _unordered(column, sign)
            codes, distinct = column.coded
            equal = np.array([*(item == value for item in distinct), False], dtype=bool)[codes]
            return Truth.known(equal if sign == "==" else ~equal, column.missing)
        return Truth.known(_COMPARE[sign](_ordered(column), value), column.missing)


def _untyped(column: DataColumn) -> bool:
    """Whether a column is missing everywhere, so that no type can be said of it."""
    return column.n_missing == len(column.series) and column.kind != "category"


def _unknown(column: DataColumn) -> Truth:
    never = np.zeros(len(column.series), dtype=bool)
    return Truth(never, never)


def _ordered(column: DataColumn) -> npt.NDArray[Any]:
    """Values that can be compared by size; whole numbers stay whole, for keys exceed what floats hold."""
    if column.kind == "date":
        return _dates(column)
    series = column.series
    if column.kind == "number" and series.dtype.kind in "iu":
        if isinstance(series.dtype, np.dtype):
            return series.to_numpy()
        return series.to_numpy(dtype=np.int64, na_value=0)
    return column.numbers


def _dates(column: DataColumn) -> npt.NDArray[np.datetime64]:
    import pandas as pd

    series = pd.to_datetime(column.series)
    if getattr(series.dtype, "tz", None) is not None:
        raise _clash(column, "has a time zone", "convert it to local dates without a time zone")
    return series.to_numpy(dtype="datetime64[us]")


def _moment(value: Any) -> np.datetime64:
    import pandas as pd

    return np.datetime64(pd.Timestamp(value).to_pydatetime(warn=False), "us")


def _comparable(column: DataColumn, value: Any, where: str) -> Any:
    """A value in the form of the column's values, or an error where the two do not go together."""
    kind = column.kind
    clash = f"holds {column.described} and is compared with {shown(value)}{where}"
    if kind == "date":
        return _date_value(column, value, clash)
    if kind in {"number", "flag"}:
        if not isinstance(value, (int, float)):
            fix = "give the list as numbers" if where else "drop the quotes"
            raise _clash(column, clash, f"{fix}, or read the column as text")
        if kind == "flag" and value not in {0, 1}:
            raise _clash(column, clash, "compare it with 1 or 0")
        return value
    if kind == "text":
        if not isinstance(value, str):
            fix = "give the list as text" if where else f"write '{value}' in quotes"
            raise _clash(column, clash, f"{fix}, or read the column as a number")
        return value
    if kind == "category":
        levels = column.coded[1]
        if value not in levels:
            fix = did_you_mean(str(value), [str(level) for level in levels])
            raise _clash(column, f"has no level {shown(value)}{where}", fix)
        return value
    raise _clash(column, f"holds {column.described}", "give the column one type")


def _date_value(column: DataColumn, value: Any, clash: str) -> np.datetime64:
    if isinstance(value, (dt.date, np.datetime64)) and getattr(value, "tzinfo", None) is None:
        return _moment(value)
    if isinstance(value, str) and _ISO.fullmatch(value):
        try:
            return _moment(dt.datetime.fromisoformat(value))
        except ValueError:
            pass
    raise _clash(column, clash, "write a date as '2024-03-31'")


def _compare_columns(left: DataColumn, right: DataColumn, sign: str) -> Truth:
    if _untyped(left) or _untyped(right):
        return _unknown(left)
    kinds = [_family(left), _family(right)]
    if kinds[0] != kinds[1]:
        raise _clash(
            left,
            f"holds {left.described} and is compared with '{right.name}', which holds {right.described}",
            "compare columns of one type",
        )
    masks = [column.missing for column in (left, right) if column.missing is not None]
    missing = np.logical_or.reduce(masks) if masks else None
    if kinds[0] == "text":
        if sign not in {"==", "!="}:
            raise _unordered(left, sign)
        pair = [column.series.to_numpy(dtype=object) for column in (left, right)]
        equal = np.zeros(len(pair[0]), dtype=bool)
        here = slice(None) if missing is None else ~missing
        equal[here] = (pair[0][here] == pair[1][here]).astype(bool)
        return Truth.known(equal if sign == "==" else ~equal, missing)
    return Truth.known(_COMPARE[sign](_ordered(left), _ordered(right)), missing)


def _family(column: DataColumn) -> str:
    if column.kind == "other":
        raise _clash(column, f"holds {column.described}", "give the column one type")
    return {"flag": "number", "category": "text"}.get(column.kind, column.kind)


def _listed(name: str, values: Iterable[Any]) -> list[Any]:
    """Values of a named list as plain Python; a missing one would make every answer unknown."""
    import pandas as pd

    if isinstance(values, (str, bytes)):
        raise FormulaError(f"the list '{name}' is a single text", value=shown(values), fix="give a list of values")
    found = [plain(value) for value in values]
    if any(pd.isna(value) for value in found):
        raise FormulaError(f"the list '{name}' holds a missing value", fix="take it out of the list")
    return found


def _clash(column: DataColumn, message: str, fix: str) -> FormulaError:
    return FormulaError(f"'{column.name}' {message}", place=Place(column=column.name), fix=fix)


def _unordered(column: DataColumn, sign: str) -> FormulaError:
    return _clash(
        column,
        f"holds {column.described}, which {sign} cannot order",
        "declare the column as a number or a date, or use == and in [...]",
    )
