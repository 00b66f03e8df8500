"""A table as it came from its source, before anything is converted: names, cells and row numbers."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wwc_eval.data.explain import _character, stripped
from wwc_eval.data.findings import Fault, Findings, column_letter
from wwc_eval.errors import shown

__all__ = ["Source", "check_header"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Cells of a table by column, all of the same length.

    Parameters
    ----------
    file : str or None
        Name used in messages.
    cells : mapping of str to sequence
        Cells of every column whose name stands alone in the header: text, or Python values if ``typed``.
    rows : sequence of int
        Spreadsheet row of every record.
    header : tuple of str
        All names in order.
    sha256 : str or None
        Hash of the bytes of the file.
    typed : bool
        Whether the source keeps types of its own (Excel, Parquet, Stata, a frame in memory).
    excel : bool
        Whether numbers went through a spreadsheet, which keeps 15 digits.
    noted : mapping of str to frozenset of int
        Cells that have been reported already, by column and position.
    index_names : tuple
        Names of the index of a frame in memory, for advice.
    """

    file: str | None
    cells: Mapping[str, Sequence[Any]]
    rows: Sequence[int]
    header: tuple[str, ...]
    sha256: str | None = None
    typed: bool = False
    excel: bool = False
    noted: Mapping[str, frozenset[int]] = field(default_factory=dict)
    index_names: tuple[Any, ...] = ()


def check_header(header: Sequence[str], findings: Findings) -> list[str | None]:
    """Note what is wrong with the names; return them with None for those that cannot be used."""
    counts = Counter(header)
    seen: dict[str, int] = {}
    usable: list[str | None] = []
    for index, name in enumerate(header):
        fault = _name_fault(name, index)
        if fault is None and counts[name] > 1:
            if name in seen:
                fault = _duplicate_fault(name, seen[name], index)
            seen.setdefault(name, index)
        if fault is not None:
            findings.add(fault, row=1, column=name or column_letter(index), value=name)
        usable.append(name if fault is None and counts[name] == 1 else None)
    return usable


def _name_fault(name: str, index: int) -> Fault | None:
    if not name:
        return Fault(
            code="D08",
            message=f"spreadsheet column {column_letter(index)} has no name",
            fix="name the column in row 1, or delete it (look for a delimiter at the end of the line)",
        )
    bare = stripped(name)
    if bare != name:
        odd = name[0] if not bare or not name.startswith(bare[0]) else name[-1]
        return Fault(
            code="D10",
            message=f"the column name has {_character(odd)} around it",
            fix=f"rename it to {shown(bare)}" if bare else "give the column a name",
        )
    hidden = [one for one in name if unicodedata.category(one)[0] == "C"]
    if hidden:
        return Fault(
            code="D10",
            message=f"the column name holds {_character(hidden[0])}",
            fix="write the name on one line, without invisible characters",
        )
    if not unicodedata.is_normalized("NFC", name):
        return Fault(
            code="D10",
            message="the column name is not in Unicode form NFC",
            fix=f"retype it: '{unicodedata.normalize('NFC', name)}'",
        )
    if "\ufffd" in name:
        return Fault(
            code="D04",
            message="a character of the column name was lost when the file was saved in another encoding",
            fix="go back to the source and save it as UTF-8",
        )
    return None


def _duplicate_fault(name: str, first: int, second: int) -> Fault:
    return Fault(
        code="D09",
        message=(
            f"spreadsheet columns {column_letter(first)} and {column_letter(second)} are both named '{name}'"
        ),
        fix="rename or delete one of them",
    )
