"""The list of units to allocate, in an order that depends on nothing but their names."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import numbers
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.data.chain import canonical_json
from wwc_eval.data.frames import as_pandas
from wwc_eval.errors import DataError, DesignError, Place, Problem, did_you_mean, shown
from wwc_eval.table import is_missing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Strata", "Units", "all_numbers", "canonical_text", "names_of", "read_units", "sorted_texts"]

Index = NDArray[np.intp]
Floats = NDArray[np.float64]
EXACT = 2**53
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


@dataclass(frozen=True, kw_only=True, eq=False)
class Strata:
    """Units grouped by one or more columns; strata in order of their canonical texts.

    Parameters
    ----------
    by : tuple of str
        Columns.
    values : tuple of tuple of str
        Canonical text of each column, one entry a stratum.
    codes : (n,) array of int
        Stratum of each unit.
    """

    by: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    codes: Index

    @property
    def n(self) -> int:
        """Number of strata."""
        return len(self.values)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """One text a stratum, for tables."""
        plain = tuple(", ".join(each) for each in self.values)
        return plain if len(set(plain)) == len(plain) else tuple(canonical_json(list(v)) for v in self.values)

    @cached_property
    def sizes(self) -> Index:
        """Units in each stratum."""
        return np.bincount(self.codes, minlength=self.n).astype(np.intp)

    @cached_property
    def members(self) -> list[Index]:
        """Positions of the units of each stratum, ascending."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.cumsum(self.sizes)[:-1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Units in canonical order: ascending by the code points of their names in Unicode form NFC.

    Parameters
    ----------
    name : str
        Column that identifies a unit.
    keys : tuple of str
        Canonical name of each unit, ascending.
    frame : DataFrame
        The caller's columns in canonical order.
    origin : (n,) array of int
        Row of each unit in the caller's frame, for schemes in which order of arrival matters.
    """

    name: str
    keys: tuple[str, ...]
    frame: pd.DataFrame
    origin: Index
    known: dict[str, list[str]] = field(default_factory=dict, repr=False)
    """Canonical texts of columns that were read."""

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.keys)

    def texts(self, column: str) -> list[str]:
        """Canonical text of every cell of a column; a missing or unusable cell is an error that lists them all.

        Raises
        ------
        DesignError
            If there is no such column.
        DataError
            If cells are missing or are neither text nor numbers.
        """
        if column not in self.known:
            texts, problems = _texts(self.frame, column, self.origin)
            if problems:
                raise DataError(problems=problems)
            self.known[column] = texts
        return self.known[column]

    def strata(self, by: Sequence[str]) -> Strata:
        """Units grouped by columns."""
        if not by:
            return Strata(by=(), values=((),), codes=np.zeros(self.n, dtype=np.intp))
        rows = list(zip(*(self.texts(column) for column in by), strict=True))
        values = sorted(set(rows))
        code = {value: index for index, value in enumerate(values)}
        codes = np.array([code[row] for row in rows], dtype=np.intp)
        return Strata(by=tuple(by), values=tuple(values), codes=codes)

    def is_numeric(self, column: str) -> bool:
        """Whether a column holds numbers (or true and false) rather than categories."""
        from pandas.api import types

        check_columns(self.frame, [column])
        series = self.frame[column]
        return bool(types.is_numeric_dtype(series)) and not isinstance(series.dtype, _categorical())

    def numbers(self, column: str) -> Floats:
        """A numeric column as floating point.

        Raises
        ------
        DesignError
            If there is no such column.
        DataError
            If cells are missing, not finite or no numbers.
        """
        import pandas as pd

        check_columns(self.frame, [column])
        values = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(dtype=float, na_value=math.nan)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(
                problems=[
                    Problem(
                        message=f"unit '{self.keys[i]}' has no finite number",
                        place=Place(row=int(self.origin[i]) + 2, column=column),
                        value=shown(self.frame[column].iloc[i]),
                        fix="fill it in, or leave the column out of the method",
                    )
                    for i in bad
                ]
            )
        return np.asarray(values, dtype=float)

    def ranked(self, column: str | None) -> Index:
        """Positions of the units ascending by a column: by number where all texts are numbers, else by text.

        How the column is stored makes no difference. Equal ones follow by name; None is the order of names.
        """
        if column is None:
            return np.arange(self.n, dtype=np.intp)
        texts = self.texts(column)
        places = sorted_texts(texts)
        rank = {text: place for place, text in enumerate(places)}
        return np.array(sorted(range(self.n), key=lambda i: rank[texts[i]]), dtype=np.intp)

    def canonical(self, columns: Sequence[str]) -> dict[str, Any]:
        """The unit list for a receipt: names, and the columns that the scheme reads, as canonical texts."""
        rows = [list(row) for row in zip(self.keys, *(self.texts(column) for column in columns), strict=True)]
        return {"unit": self.name, "columns": list(columns), "rows": rows}

    def sha256(self, columns: Sequence[str]) -> str:
        """SHA-256, in hexadecimal, of the canonical unit list in canonical JSON."""
        return hashlib.sha256(canonical_json(self.canonical(columns)).encode("utf-8")).hexdigest()

    def take(self, positions: Index) -> Units:
        """Some of the units, still in canonical order."""
        kept = np.sort(np.asarray(positions, dtype=np.intp))
        return Units(
            name=self.name,
            keys=tuple(self.keys[i] for i in kept),
            frame=self.frame.iloc[kept].reset_index(drop=True),
            origin=self.origin[kept],
        )


def read_units(frame: Any, unit: str, columns: Iterable[str] = ()) -> Units:
    """Units from a frame, every problem with them reported at once.

    Parameters
    ----------
    frame : data frame
        One row a unit; pandas, polars or pyarrow.
    unit : str
        Column that identifies a unit: text or whole numbers, each once.
    columns : iterable of str
        Columns that the scheme reads; no cell of theirs may be missing.

    Raises
    ------
    DesignError
        If a column is not there.
    DataError
        If there is no unit, or units are missing, repeated or unusable, or cells of ``columns`` are missing.
    """
    table = as_pandas(frame, "units")
    wanted = list(dict.fromkeys([unit, *columns]))
    check_columns(table, wanted)
    if not len(table):
        raise DataError("units has no rows", fix="give one row for each unit")
    origin = np.arange(len(table), dtype=np.intp)
    keys, problems = _texts(table, unit, origin)
    if not problems:
        problems += _repeated(keys, unit)
    texts = {}
    for column in wanted[1:]:
        texts[column], found = _texts(table, column, origin)
        problems += found
    if problems:
        raise DataError(problems=problems)
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)
    return Units(
        name=unit,
        keys=tuple(keys[i] for i in order),
        frame=table.iloc[order].reset_index(drop=True),
        origin=order,
        known={column: [cells[i] for i in order.tolist()] for column, cells in texts.items()},
    )


def names_of(argument: str, value: str | Sequence[str] | None, *, empty: bool = False) -> tuple[str, ...]:
    """Column names from one name or several, each once.

    Parameters
    ----------
    argument : str
        Name of the argument, for the error.
    value : str or sequence of str, optional
        As given.
    empty : bool
        Whether none is allowed.
    """
    names = () if value is None else (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise DesignError(
            f"{argument} == {shown(value)}, must name columns, each once",
            fix=f'write {argument}="local_authority", or a list of columns',
        )
    if not names and not empty:
        raise DesignError(f"{argument} names no column", fix=f'write {argument}="local_authority"')
    return names


def all_numbers(texts: Iterable[str]) -> bool:
    """Whether every text is a number written out in digits."""
    return all(_NUMBER.fullmatch(text) for text in texts)


def sorted_texts(texts: Iterable[str]) -> list[str]:
    """Distinct texts in order: as numbers where all are numbers, else by code points.

    Examples
    --------
    >>> sorted_texts(["10", "9"]), sorted_texts(["10", "9", "x"])
    (['9', '10'], ['10', '9', 'x'])
    """
    distinct = sorted(set(texts))
    if all_numbers(distinct):
        return sorted(distinct, key=Fraction)
    return distinct


def check_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse names that the frame has not, or has twice."""
    have = [str(column) for column in frame.columns]
    problems = [
        Problem(message=f"units has no column '{name}'", fix=did_you_mean(name, have))
        if name not in have
        else Problem(message=f"units has {have.count(name)} columns '{name}'", fix="give each column its own name")
        for name in names
        if have.count(name) != 1
    ]
    if problems:
        raise DesignError(problems=problems)


def _categorical() -> type:
    import pandas as pd

    return pd.CategoricalDtype


def _texts(frame: pd.DataFrame, column: str, origin: Index) -> tuple[list[str], list[Problem]]:
    check_columns(frame, [column])
    cells = frame[column].tolist()
    kinds = set(map(type, cells))
    if kinds == {int}:
        return list(map(str, cells)), []
    texts: list[str] = []
    problems: list[Problem] = []
    known: dict[str, str] = {}
    for position, cell in enumerate(cells):
        if type(cell) is str and cell in known:
            texts.append(known[cell])
            continue
        text, fault = _canonical(cell)
        texts.append(text)
        if not fault and type(cell) is str:
            known[cell] = text
        if fault:
            problems.append(
                Problem(
                    message=fault,
                    place=Place(row=int(origin[position]) + 2, column=column),
                    value=None if is_missing(cell) else shown(cell),
                    fix="correct the list of units before randomising",
                )
            )
    return texts, problems


def canonical_text(cell: object) -> str:
    """Canonical text of the name of a unit.

    Raises
    ------
    DataError
        If it is missing or can be no name.
    """
    text, fault = _canonical(cell)
    if fault:
        raise DataError(fault, value=shown(cell), fix="name a unit as in the unit list")
    return text


def _canonical(cell: object) -> tuple[str, str]:
    """Canonical text of a cell, and what is wrong with it.

    Text is in Unicode form NFC; whole numbers, also where stored as floating point, are digits; other numbers are
    the shortest text that reads back the same; true and false are ``true`` and ``false``; dates are ISO 8601.
    """
    if isinstance(cell, str):
        text = cell if cell.isascii() else unicodedata.normalize("NFC", cell)
        if not text.strip():
            return text, "the value is missing"
        if text != text.strip() or not text.isprintable():
            return text, "the value has blanks around it or invisible characters"
        return text, ""
    if is_missing(cell):
        return "", "the value is missing"
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell)).lower(), ""
    if isinstance(cell, numbers.Integral):
        return str(int(cell)), ""
    if isinstance(cell, numbers.Real):
        number = float(cell)
        if not math.isfinite(number):
            return "", "the value is not finite"
        if number.is_integer():
            fault = "" if abs(number) <= EXACT else "the number has lost digits, being stored as floating point"
            return str(int(number)), fault
        return repr(number), ""
    if isinstance(cell, dt.date):
        text = cell.isoformat()
        return text.removesuffix("T00:00:00"), ""
    return str(cell), f"a value of type {type(cell).__name__} is neither text, number nor date"


def _repeated(keys: Sequence[str], unit: str) -> list[Problem]:
    if len(set(keys)) == len(keys):
        return []
    rows: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        rows.setdefault(key, []).append(position + 2)
    return [
        Problem(
            message=f"rows {', '.join(str(row) for row in found[:5])}{' ...' if len(found) > 5 else ''} are one unit",
            place=Place(row=found[1], column=unit),
            value=shown(key),
            rule="each unit is allocated once",
            fix="remove the repeated rows; to allocate clusters, give one row for each cluster",
        )
        for key, found in rows.items()
        if len(found) > 1
    ]
