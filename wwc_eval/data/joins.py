"""Joins that never multiply rows and never lose any without saying so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.data.findings import LISTED_PER_COLUMN, Fault, Findings, rows_in_words
from wwc_eval.data.names import local_authority_key
from wwc_eval.errors import DataError, check_choice, did_you_mean, shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["join_tables"]


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
    check_choice("unmatched_left", unmatched_left, ("error", "report"), error=DataError)
    check_choice("unmatched_right", unmatched_right, ("error", "report"), error=DataError)
    tables = (_pandas(left, left_name), _pandas(right, right_name))
    names = (left_name, right_name)
    keys = _key_pairs(on)
    findings = Findings(None)
    _check_columns(tables, names, keys, findings)
    findings.raise_if_any()
    _check_keys(tables[0], [pair[0] for pair in keys], left_name, findings, unique=how == "one_to_one")
    _check_keys(tables[1], [pair[1] for pair in keys], right_name, findings, unique=True)
    findings.raise_if_any()
    positions, right_only = _match(tables, keys)
    left_only = (positions < 0).nonzero()[0]
    if unmatched_left == "error":
        _note_unmatched(left_only, tables, keys, names, findings)
    if unmatched_right == "error":
        _note_unmatched(right_only, tables[::-1], [pair[::-1] for pair in keys], names[::-1], findings)
    findings.raise_if_any()
    joined = _assemble(tables, keys, positions)
    joined.attrs = dict(tables[0].attrs)
    joined.attrs["join"] = {
        "on": dict(keys),
        "how": how,
        "matched": len(positions) - len(left_only),
        "left_only": len(left_only),
        "right_only": len(right_only),
        "left_only_keys": _keys_at(tables[0], [pair[0] for pair in keys], left_only),
        "right_only_keys": _keys_at(tables[1], [pair[1] for pair in keys], right_only),
    }
    return joined


def _pandas(frame: Any, name: str) -> pd.DataFrame:
    import narwhals as nw
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        return frame
    try:
        native = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise DataError(
            f"the {name} table is {shown(type(frame).__name__)}, not a data frame",
            code="D51",
            fix="give a pandas, polars or pyarrow frame (collect a lazy one first)",
        ) from None
    converted: pd.DataFrame = native.to_pandas()
    return converted


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


def _check_columns(
    tables: tuple[pd.DataFrame, pd.DataFrame],
    names: tuple[str, str],
    keys: Sequence[tuple[str, str]],
    findings: Findings,
) -> None:
    for side in (0, 1):
        present = [str(column) for column in tables[side].columns]
        for column in sorted({column for column in present if present.count(column) > 1}):
            fault = Fault(
                code="D09", message=f"the {names[side]} table has two columns '{column}'", fix="rename one of them"
            )
            findings.add(fault, column=column)
        for pair in keys:
            if pair[side] not in present:
                fault = Fault(
                    code="D40",
                    message=f"the {names[side]} table has no column '{pair[side]}' to join on",
                    fix=did_you_mean(pair[side], present),
                )
                findings.add(fault, column=pair[side])
    findings.raise_if_any()
    for first, second in keys:
        kinds = (_kind(tables[0][first]), _kind(tables[1][second]))
        if kinds[0] != kinds[1]:
            fault = Fault(
                code="D44",
                message=f"'{first}' holds {kinds[0]} in the {names[0]} table and {kinds[1]} in the {names[1]} table",
                fix="declare the key with the same type in both; identifiers are best kept as text",
            )
            findings.add(fault, column=first)
    right_keys = {pair[1] for pair in keys}
    both = [c for c in tables[1].columns if c not in right_keys and c in set(tables[0].columns)]
    for column in both:
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


def _keys_of(frame: pd.DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(frame[column].tolist() for column in columns), strict=True))


def _check_keys(
    frame: pd.DataFrame, columns: Sequence[str], name: str, findings: Findings, *, unique: bool
) -> None:
    blank = frame[list(columns)].isna().any(axis=1).to_numpy(dtype=bool)
    label, rows = ", ".join(columns), range(2, len(frame) + 2)
    keys = _keys_of(frame, columns)
    texts = [_key_text(key) for key in keys]
    fault = Fault(
        code="D45", message=f"a row of the {name} table has no key", fix="fill it in, or remove the row first"
    )
    findings.add_cells(label, blank.nonzero()[0].tolist(), rows, texts, lambda _i: fault)
    if not unique or len(set(keys)) == len(keys):
        return
    groups: dict[tuple[Any, ...], list[int]] = {}
    for position, key in enumerate(keys):
        if not blank[position]:
            groups.setdefault(key, []).append(position)
    faults: dict[int, Fault] = {}
    for positions in groups.values():
        if len(positions) > 1:
            repeated = Fault(
                code="D41",
                message=f"{rows_in_words(rows[i] for i in positions)} of the {name} table have the same key, "
                "so the join would multiply rows",
                fix="keep one row of each key, or join on more columns",
            )
            faults |= dict.fromkeys(positions, repeated)
    findings.add_cells(label, sorted(faults), rows, texts, faults.__getitem__)


def _match(
    tables: tuple[pd.DataFrame, pd.DataFrame], keys: Sequence[tuple[str, str]]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Position in the right table of each left row (-1 where there is none), and right rows never used."""
    import numpy as np

    right = {key: i for i, key in enumerate(_keys_of(tables[1], [pair[1] for pair in keys]))}
    left = _keys_of(tables[0], [pair[0] for pair in keys])
    positions = np.fromiter((right.get(key, -1) for key in left), dtype=np.int64, count=len(left))
    used = np.zeros(len(tables[1]), dtype=bool)
    used[positions[positions >= 0]] = True
    return positions, (~used).nonzero()[0]


def _note_unmatched(
    positions: np.ndarray[Any, Any],
    tables: Sequence[pd.DataFrame],
    keys: Sequence[Sequence[str]],
    names: Sequence[str],
    findings: Findings,
) -> None:
    if not len(positions):
        return
    columns = [pair[0] for pair in keys]
    own = _keys_of(tables[0], columns)
    others = {_key_text(key) for key in _keys_of(tables[1], [pair[1] for pair in keys])}
    loose = {local_authority_key(other): other for other in sorted(others)}
    memo: dict[str, Fault] = {}
    texts = [_key_text(key) for key in own]

    def why(position: int) -> Fault:
        text = texts[position]
        if text not in memo:
            near = loose.get(local_authority_key(text))
            search = near is None and len(memo) < LISTED_PER_COLUMN // 100
            advice = f"did you mean '{near}'?" if near else did_you_mean(text, others) if search else ""
            memo[text] = Fault(
                code="D42",
                message=f"the key of this row of the {names[0]} table is not in the {names[1]} table",
                fix=f"correct the key ({advice or 'compare both tables'}), "
                f"or say that such rows are to be reported: unmatched_{'left' if names else ''}",
            )
        return memo[text]

    findings.add_cells(", ".join(columns), positions.tolist(), range(2, len(own) + 2), texts, why)


def _assemble(
    tables: tuple[pd.DataFrame, pd.DataFrame], keys: Sequence[tuple[str, str]], positions: np.ndarray[Any, Any]
) -> pd.DataFrame:
    from pandas.api import types

    joined = tables[0].copy()
    right_keys = {pair[1] for pair in keys}
    gaps = bool((positions < 0).any())
    for column in tables[1].columns:
        if column in right_keys:
            continue
        values = tables[1][column]
        if gaps and types.is_integer_dtype(values.dtype):
            values = values.astype("Int64")  # whole numbers stay whole where there are gaps
        elif gaps and types.is_bool_dtype(values.dtype):
            values = values.astype("boolean")
        joined[column] = values.array.take(positions, allow_fill=True)
    return joined


def _keys_at(frame: pd.DataFrame, columns: Sequence[str], positions: np.ndarray[Any, Any]) -> list[str]:
    keys = _keys_of(frame.iloc[positions], columns)
    return sorted({_key_text(key) for key in keys})


def _key_text(key: tuple[Any, ...]) -> str:
    return ", ".join(str(part) for part in key)
