"""Keys of a table: never missing, never twice the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from wwc_eval.data.explain import MISSING_LIKE
from wwc_eval.data.findings import Fault, rows_in_words
from wwc_eval.data.rules import Work, always
from wwc_eval.data.schema import ColumnSpec
from wwc_eval.errors import DataError, shown

__all__ = ["key_columns", "note_blank_keys", "note_repeated_keys"]


def key_columns(key: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names of the key columns from one name or several.

    Raises
    ------
    DataError
        If a name is not text or occurs twice (D51).
    """
    if key is None:
        return ()
    names = (key,) if isinstance(key, str) else tuple(key) if isinstance(key, Iterable) else (key,)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise DataError(
            f"key == {shown(key)}, must name columns, each once", code="D51", fix='write for example "child_id"'
        )
    return names


def note_blank_keys(work: Work, key: Sequence[str]) -> frozenset[int]:
    """Note records without a key, and return their positions; a key is never missing, whatever is declared."""
    absent: set[int] = set()
    for name in key:
        codes = _codes_for_missing(work.specs.get(name))
        blank = [i for i, text in enumerate(work.texts[name]) if text in codes or text.isspace()]
        fault = Fault(
            code="D33",
            message=f"the record has no {name}, which is part of the key",
            fix="fill it in, or remove the record at its source",
        )
        work.note(name, blank, always(fault))
        absent |= work.done[name]
    return frozenset(absent)


def _codes_for_missing(spec: ColumnSpec | None) -> frozenset[str]:
    """Texts that are no key: blank, declared as missing, or (in a declared column) of that look."""
    if spec is None:
        return frozenset({""})
    looks = MISSING_LIKE if spec.pattern is None else ()
    return frozenset({"", *spec.missing, *looks, *(code.upper() for code in looks), *(c.title() for c in looks)})


def note_repeated_keys(work: Work, key: Sequence[str], absent: frozenset[int]) -> None:
    """Note every record whose key another record has too."""
    columns = [work.texts[name] for name in key]
    distinct = set(columns[0]) if len(columns) == 1 else set(zip(*columns, strict=True))
    if len(distinct) == len(columns[0]):
        return
    keys = list(zip(*columns, strict=True))
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, parts in enumerate(keys):
        if position not in absent:
            groups[parts].append(position)
    faults: dict[int, Fault] = {}
    for positions in groups.values():
        if len(positions) > 1:
            rows = rows_in_words(work.source.rows[position] for position in positions)
            fault = Fault(
                code="D32",
                message=f"{rows} have the same key",
                fix="remove the repeated records, or declare the columns that tell them apart as the key",
                rule=f"key: {', '.join(key)}",
            )
            faults |= dict.fromkeys(positions, fault)
    values = [", ".join(each) for each in keys]
    work.findings.add_cells(", ".join(key), sorted(faults), work.source.rows, values, faults.__getitem__)
