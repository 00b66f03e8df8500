"""Joins that never multiply rows and never lose any without saying so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wwc_eval.data.findings import Fault, Findings, rows_in_words
from wwc_eval.data.frames import as_pandas
from wwc_eval.data.names import local_authority_key
from wwc_eval.errors import DataError, check_choice, did_you_mean, shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["join_tables"]

SEARCHED = 100  # distinct keys without a match for which the key that was meant is looked for


def join_tables(
    left: Any,
    right: Any,
    *,
    on: str | Sequence[str] | Mapping[str, str],
    how: str = "many_to_one",
    unmatched_left: str = "error",
    unmatched_right: str = "error",
    left_name: str = "left",
    right_name: str = "right",
) -> pd.DataFrame:
    """Add the columns of one table to the rows of another by a key.

    The result has exactly the rows of ``left``, in their order: a key that occurs twice in ``right`` is an error,
    never a multiplication of rows.

    Parameters
    ----------
    left, right : pandas, polars or pyarrow data frame
        The tables; they are not changed.
    on : str, sequence of str or mapping of str to str
        Key columns of the same name in both, or left names mapped to right names.
    how : {"many_to_one", "one_to_one"}
        Whether rows of ``left`` may share a key.
    unmatched_left : {"error", "report"}
        Rows of ``left`` without a match: an error, or kept with missing values and counted.
    unmatched_right : {"error", "report"}
        Rows of ``right`` without a match: an error, or left out and counted.
    left_name, right_name : str
        Names of the tables in messages.

    Returns
    -------
    pandas.DataFrame
        ``left`` with the other columns of ``right``. ``attrs["join"]`` holds ``on``, ``how``, and the numbers
        ``matched``, ``left_only`` and ``right_only``, with the keys of the latter two.

    Raises
    ------
    DataError
        With every fault: missing or unlike key columns (D40, D44), rows without a key (D45), repeated keys (D41),
        rows without a match (D42), columns that both tables hold (D43). Rows are numbered from 2.

    Examples
    --------
    >>> import pandas as pd
    >>> children = pd.DataFrame({"child": ["a", "b"], "la": ["Derby", "Derby"]})
    >>> authorities = pd.DataFrame({"la": ["Derby"], "region": ["East Midlands"]})
    >>> join_tables(children, authorities, on="la")["region"].tolist()
    ['East Midlands', 'East Midlands']
    """
    check_choice("how", how, ("many_to_one", "one_to_one"), error=DataError)
    for side, unmatched in (("left", unmatched_left), ("right", unmatched_right)):
        check_choice(f"unmatched_{side}", unmatched, ("error", "report"), error=DataError)
    keys = _key_pairs(on)
    own = _Side("left", left_name, as_pandas(left, f"the {left_name} table"), tuple(pair[0] for pair in keys))
    other = _Side(
        "right", right_name, as_pandas(right, f"the {right_name} table"), tuple(pair[1] for pair in keys)
    )
    _check_sides(own, other, unique=how == "one_to_one")
    positions, right_only = _match(own, other)
    left_only = (positions < 0).nonzero()[0]
    findings = Findings(None)
    if unmatched_left == "error":
        _note_unmatched(own, other, left_only, findings)
    if unmatched_right == "error":
        _note_unmatched(other, own, right_only, findings)
    findings.raise_if_any()
    joined = _assemble(own, other, positions)
    joined.attrs = dict(own.frame.attrs)
    joined.attrs["join"] = {"on": dict(keys), "how": how, **_counted(own, other, left_only, right_only)}
    return joined


def _check_sides(own: _Side, other: _Side, *, unique: bool) -> None:
    """Refuse key columns that are missing or unlike, then keys that are missing or repeated."""
    findings = Findings(None)
    _check_columns(own, other, findings)
    findings.raise_if_any()
    _check_keys(own, findings, unique=unique)
    _check_keys(other, findings, unique=True)
    findings.raise_if_any()


def _counted(own: _Side, other: _Side, left_only: np.ndarray, right_only: np.ndarray) -> dict[str, Any]:
    """How many rows were matched, and whose were not."""
    return {
        "matched": len(own.frame) - len(left_only),
        "left_only": len(left_only),
        "right_only": len(right_only),
        "left_only_keys": sorted({own.texts[position] for position in left_only}),
        "right_only_keys": sorted({other.texts[position] for position in right_only}),
    }


@dataclass(frozen=True)
class _Side:
    """One table of a join: which side, its name in messages, its rows and its key columns."""

    side: str
    name: str
    frame: pd.DataFrame
    columns: tuple[str, ...]

    @cached_property
    def keys(self) -> list[tuple[Any, ...]]:
        return list(zip(*(self.frame[column].tolist() for column in self.columns), strict=True))

    @cached_property
    def texts(self) -> list[str]:
        return [", ".join(map(str, key)) for key in self.keys]

    @property
    def label(self) -> str:
        return ", ".join(self.columns)

    @property
    def rows(self) -> range:
        return range(2, len(self.frame) + 2)


def _key_pairs(on: str | Sequence[str] | Mapping[str, str]) -> list[tuple[str, str]]:
    if isinstance(on, str):
        pairs = [(on, on)]
    elif isinstance(on, Mapping):
        pairs = list(on.items())
    else:
        pairs = [(name, name) for name in on]
    if not pairs or len({pair[0] for pair in pairs}) < len(pairs) or len({pair[1] for pair in pairs}) < len(pairs):
        raise DataError(
            f"on == {shown(on)}, must name key columns, each once",
            code="D51",
            fix='write for example on="child_id"',
        )
    return pairs


def _check_columns(own: _Side, other: _Side, findings: Findings) -> None:
    for each in (own, other):
        present = [str(column) for column in each.frame.columns]
        for column in sorted({column for column in present if present.count(column) > 1}):
            message = f"the {each.name} table has two columns '{column}'"
            findings.add(Fault(code="D09", message=message, fix="rename one of them"), column=column)
        for column in each.columns:
            if column not in present:
                message = f"the {each.name} table has no column '{column}' to join on"
                advice = did_you_mean(column, present)
                findings.add(Fault(code="D40", message=message, fix=advice), column=column)
    findings.raise_if_any()
    for first, second in zip(own.columns, other.columns, strict=True):
        kinds = (_kind(own.frame[first]), _kind(other.frame[second]))
        if kinds[0] != kinds[1]:
            fault = Fault(
                code="D44",
                message=f"'{first}' holds {kinds[0]} in the {own.name} table and {kinds[1]} in the {other.name} table",
                fix="declare the key with the same type in both; identifiers are best kept as text",
            )
            findings.add(fault, column=first)
    for column in other.frame.columns:
        if column not in other.columns and column in set(own.frame.columns):
            fault = Fault(
                code="D43",
                message=f"both tables have a column '{column}' that is no key",
                fix="rename or leave out one of them before the join",
            )
            findings.add(fault, column=str(column))


def _kind(values: pd.Series[Any]) -> str:
    from pandas.api import types

    if types.is_bool_dtype(values.dtype):
        return "booleans"
    if types.is_numeric_dtype(values.dtype):
        return "numbers"
    if types.is_datetime64_any_dtype(values.dtype):
        return "dates"
    present = values.dropna()
    if all(isinstance(value, str) for value in present.unique()):
        return "text"
    return "mixed values"


def _check_keys(table: _Side, findings: Findings, *, unique: bool) -> None:
    blank = table.frame[list(table.columns)].isna().any(axis=1).to_numpy(dtype=bool)
    fault = Fault(
        code="D45",
        message=f"a row of the {table.name} table has no key",
        fix="fill it in, or remove the row first",
    )
    findings.add_cells(table.label, blank.nonzero()[0].tolist(), table.rows, table.texts, lambda _i: fault)
    if not unique or len(set(table.keys)) == len(table.keys):
        return
    groups: dict[tuple[Any, ...], list[int]] = {}
    for position, key in enumerate(table.keys):
        if not blank[position]:
            groups.setdefault(key, []).append(position)
    faults: dict[int, Fault] = {}
    for positions in groups.values():
        if len(positions) > 1:
            rows = rows_in_words(table.rows[position] for position in positions)
            repeated = Fault(
                code="D41",
                message=f"{rows} of the {table.name} table have the same key, so the join would multiply rows",
                fix="keep one row of each key, or join on more columns",
            )
            faults |= dict.fromkeys(positions, repeated)
    findings.add_cells(table.label, sorted(faults), table.rows, table.texts, faults.__getitem__)


def _match(own: _Side, other: _Side) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Position in the right table of each left row (-1 where there is none), and right rows never used."""
    import numpy as np

    places = {key: position for position, key in enumerate(other.keys)}
    positions = np.array([places.get(key, -1) for key in own.keys], dtype=np.int64)
    used = np.zeros(len(other.frame), dtype=bool)
    used[positions[positions >= 0]] = True
    return positions, (~used).nonzero()[0]


def _note_unmatched(table: _Side, other: _Side, positions: np.ndarray[Any, Any], findings: Findings) -> None:
    if not len(positions):
        return
    known = sorted(set(other.texts))
    loose = {local_authority_key(text): text for text in known}
    memo: dict[str, Fault] = {}

    def why(position: int) -> Fault:
        text = table.texts[position]
        if text not in memo:
            near = loose.get(local_authority_key(text))
            search = near is None and len(memo) < SEARCHED
            advice = f"did you mean '{near}'?" if near else did_you_mean(text, known) if search else "compare both"
            memo[text] = Fault(
                code="D42",
                message=f"the key of this row of the {table.name} table is not in the {other.name} table",
                fix=f'correct the key ({advice}), or have such rows counted: unmatched_{table.side}="report"',
            )
        return memo[text]

    findings.add_cells(table.label, positions.tolist(), table.rows, table.texts, why)


def _assemble(own: _Side, other: _Side, positions: np.ndarray[Any, Any]) -> pd.DataFrame:
    from pandas.api import types

    joined = own.frame.copy()
    gaps = bool((positions < 0).any())
    for column in other.frame.columns:
        if column in other.columns:
            continue
        values = other.frame[column]
        if gaps and types.is_integer_dtype(values.dtype):
            values = values.astype("Int64")  # whole numbers stay whole where there are gaps
        elif gaps and types.is_bool_dtype(values.dtype):
            values = values.astype("boolean")
        joined[column] = values.array.take(positions, allow_fill=True)
    return joined
