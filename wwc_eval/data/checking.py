"""From a source to a converted frame: every declared column read, every rule checked, every fault reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.data.conversion import as_text, convert
from wwc_eval.data.findings import Fault, Findings
from wwc_eval.data.keys import note_blank_keys, note_repeated_keys
from wwc_eval.data.rules import Work, note_broken_rules, note_refused
from wwc_eval.data.schema import ColumnSpec
from wwc_eval.data.sources import Source
from wwc_eval.data.typed_sources import cells_as_text
from wwc_eval.errors import DataError, check_choice, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_frame"]


def build_frame(
    source: Source,
    specs: Mapping[str, ColumnSpec] | None,
    findings: Findings,
    *,
    key: Sequence[str] = (),
    extra: str = "ignore",
) -> pd.DataFrame:
    """Convert and check a source, or raise with everything that was found.

    Parameters
    ----------
    source : Source
        Cells as read.
    specs : mapping of str to ColumnSpec or None
        Declarations; None keeps every column as text.
    findings : Findings
        What has been found already.
    key : sequence of str
        Columns that together identify a record.
    extra : {"ignore", "error"}
        What to do about columns that are not declared.

    Returns
    -------
    pandas.DataFrame
        Columns in declared order, rows in the order of the source.

    Raises
    ------
    DataError
        With every fault of the table.
    """
    check_choice("extra", extra, ("ignore", "error"), error=DataError)
    _check_names(source, specs, key, extra, findings)
    used = [name for name in (source.header if specs is None else specs) if name in source.cells]
    plain = {name: ColumnSpec(name=name, type="text") for name in key}  # a key is checked, declared or not
    declared = {
        name: (plain if specs is None else specs)[name] for name in (used if specs else key) if name in used
    }
    work = _rendered(source, declared, used, findings)
    key = [name for name in key if name in work.texts]
    absent = note_blank_keys(work, key)
    converted = {name: convert(spec, work.texts[name]) for name, spec in declared.items()}
    note_refused(work, converted)
    if specs is not None:
        note_broken_rules(work, converted)
    if key:
        note_repeated_keys(work, key, absent)
    findings.raise_if_any()
    if specs is None:
        values = {name: as_text(work.texts[name]) for name in used}
    else:
        values = {name: column.series for name, column in converted.items()}
    missing = {name: column.missing for name, column in converted.items() if column.missing}
    return _frame(source, values, missing, [name for name in source.header if name not in used])


def _rendered(source: Source, specs: Mapping[str, ColumnSpec], used: Sequence[str], findings: Findings) -> Work:
    """Text of every column that is read, with the cells noted that cannot become text without loss."""
    texts: dict[str, Sequence[str]] = {}
    done: dict[str, set[int]] = {}
    for name in used:
        cells = source.cells[name]
        texts[name], faults = (
            cells_as_text(cells, specs.get(name), excel=source.excel) if source.typed else (cells, {})
        )
        findings.add_cells(name, list(faults), source.rows, cells, faults.__getitem__)
        done[name] = {*source.noted.get(name, ()), *faults}
    return Work(source=source, specs=specs, texts=texts, findings=findings, done=done)


def _frame(
    source: Source, values: Mapping[str, pd.Series[Any]], missing: dict[str, dict[str, int]], ignored: list[str]
) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(dict(values), index=pd.RangeIndex(len(source.rows)))
    frame.attrs["source"] = {
        "file": source.file,
        "sha256": source.sha256,
        "rows": len(source.rows),
        "columns": len(source.header),
        "missing": missing,
    }
    frame.attrs["ignored_columns"] = ignored
    return frame


def _check_names(
    source: Source, specs: Mapping[str, ColumnSpec] | None, key: Sequence[str], extra: str, findings: Findings
) -> None:
    known = set(source.header)
    for name, spec in (specs or {}).items():
        if name not in known and spec.required:
            index = name in source.index_names
            fault = Fault(
                code="D15",
                message=f"the declared column '{name}' is not in the table",
                fix="it is the index: call .reset_index() first" if index else did_you_mean(name, source.header),
            )
            findings.add(fault, row=1, column=name)
    names = source.header if specs is None else tuple(specs)
    for name in key:
        optional = specs is not None and name in specs and not specs[name].required
        if name not in names or (optional and name not in known):
            lacking = "declared" if specs is not None and name not in specs else "in the table"
            fault = Fault(
                code="D15",
                message=f"the key column '{name}' is not {lacking}",
                fix=did_you_mean(name, source.header if optional else names),
            )
            findings.add(fault, row=1, column=name)
    if extra == "error" and specs is not None:
        for name in source.header:
            if name and name not in specs:
                advice = did_you_mean(name, specs)
                fault = Fault(
                    code="D16",
                    message=f"the column '{name}' is not declared",
                    fix=f"declare it, or remove it from the file; {advice}",
                )
                findings.add(fault, row=1, column=name)
