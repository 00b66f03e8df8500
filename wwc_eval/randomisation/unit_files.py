"""A CSV file of units, read as the list that was allocated was read."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DataError, DesignError, Place, WwcError, did_you_mean
from wwc_eval.randomisation.units import read_units

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["unit_list"]


def unit_list(path: str | os.PathLike[str], told: Mapping[str, Any]) -> pd.DataFrame:
    """The columns that a receipt names, each as text, numbers, or true and false, whichever gives the receipt's hash.

    A file of text does not say whether ``007`` was a name or the number 7 when the units were allocated; the receipt's
    hash does. Where no way of reading fits, the columns are text.

    Raises
    ------
    DataError
        If the file cannot be read as CSV in UTF-8.
    DesignError
        If a column is not there.
    """
    import pandas as pd

    file = Path(path)
    rows = _rows(file)
    header, body = rows[0], rows[1:]
    names = [told["unit"], *told["columns"]]
    columns = []
    for name in names:
        if header.count(name) != 1:
            raise DesignError(
                f"the unit list has no column '{name}', or several", place=Place(file=file.name),
                fix=did_you_mean(name, header),
            )  # fmt: skip
        at = header.index(name)
        columns.append(_readings([row[at] for row in body]))
    first = pd.DataFrame({name: column[0] for name, column in zip(names, columns, strict=True)}, dtype=object)
    for chosen in itertools.product(*columns):
        frame = pd.DataFrame(dict(zip(names, chosen, strict=True)), dtype=object)
        try:
            if read_units(frame, told["unit"], told["columns"]).sha256(told["columns"]) == told["sha256"]:
                return frame
        except WwcError:
            continue
    return first


def _rows(file: Path) -> list[list[str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as handle:
            rows = [row for row in csv.reader(handle, strict=True) if row]
    except OSError as error:
        raise DataError(f"cannot read {file.name}: {error.strerror}", fix="check its name") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file.name} is no CSV in UTF-8: {error}", fix="save it as CSV UTF-8") from None
    if not rows:
        raise DataError(f"{file.name} is empty", fix="give a header and one row for each unit")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise DataError(
                f"the row has {len(row)} cells, the header {len(rows[0])}", place=Place(file=file.name, row=number),
                fix="quote cells that contain commas",
            )  # fmt: skip
    return rows


def _readings(cells: Sequence[str]) -> list[list[Any]]:
    found: list[list[Any]] = [list(cells)]
    with contextlib.suppress(ValueError, OverflowError):
        found.append([_number(cell) for cell in cells])
    if {"True", "False"} >= set(cells):
        found.append([cell == "True" for cell in cells])
    if any(cell.endswith(" 00:00:00") for cell in cells):
        found.append([cell.removesuffix(" 00:00:00") for cell in cells])
    return found


def _number(cell: str) -> int | float:
    try:
        return int(cell)
    except ValueError:
        return float(cell)
