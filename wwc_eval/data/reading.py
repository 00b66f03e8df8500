"""Strict reading: a table is text until its declaration says otherwise, and nothing about it is guessed."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from wwc_eval.data.checking import build_frame
from wwc_eval.data.csv_source import read_csv_source
from wwc_eval.data.dates import DateFormat
from wwc_eval.data.excel_source import read_excel_source
from wwc_eval.data.findings import Fault, Findings
from wwc_eval.data.keys import key_columns
from wwc_eval.data.schema import ColumnSpec, column_specs
from wwc_eval.data.sources import Source
from wwc_eval.data.typed_sources import frame_source, read_parquet_source, read_stata_source
from wwc_eval.errors import DataError, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_table", "read_table"]

_KINDS = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".dta": "stata",
}
_SIGNATURES = (
    (b"PK\x03\x04", "excel", "an Excel workbook or zip archive"),
    (b"\xd0\xcf\x11\xe0", "", "an old or password-protected Office file"),
    (b"PAR1", "parquet", "a Parquet file"),
    (b"\x1f\x8b", "gzip", "a gzip archive"),
    (b"%PDF", "", "a PDF"),
    (b"<!DOCTYPE", "", "a web page"),
    (b"<html", "", "a web page"),
    (b"<stata_dta>", "stata", "a Stata file"),
)


def read_table(
    path: str | Path,
    columns: Mapping[str, ColumnSpec | Mapping[str, Any] | str] | None = None,
    *,
    key: str | Sequence[str] | None = None,
    name: str | None = None,
    encoding: str = "utf-8",
    delimiter: str = ",",
    sheet: str | None = None,
    date_format: str | None = None,
    extra: str = "ignore",
) -> pd.DataFrame:
    r"""Read a table by its declaration, or say everything that is wrong with it.

    Everything is read as text and converted by the declared types only. No type, date, code for missing, encoding
    or delimiter is guessed; identifiers keep their leading zeros and all their digits.

    Parameters
    ----------
    path : str or Path
        A ``.csv`` (also ``.txt``, ``.tsv``, ``.csv.gz``), ``.xlsx``, ``.parquet`` or ``.dta`` file.
    columns : mapping of str to ColumnSpec, mapping or str, optional
        Declarations by column name, such as ``{"age": {"type": "integer", "min": 0}, "child_id": "text"}``.
        Without them every column stays text, and only the structure of the file is checked.
    key : str or sequence of str, optional
        Columns that together identify a record: never missing, never twice the same.
    name : str, optional
        Name of the file in messages; its file name by default.
    encoding : str
        Encoding of a text file. A byte order mark of UTF-8 is allowed.
    delimiter : {",", ";", "\t", "|"}
        What separates the fields of a text file.
    sheet : str, optional
        Sheet of a workbook; needed where there are several.
    date_format : str, optional
        Form of the ``date`` columns that declare none of their own, such as ``%d/%m/%Y``.
    extra : {"ignore", "error"}
        Columns that are not declared are left out and listed in ``attrs["ignored_columns"]``, or are an error.

    Returns
    -------
    pandas.DataFrame
        Columns in declared order. ``integer`` and ``binary``: int64 (Int64 where values are missing); ``number``:
        float64; ``date``: datetime64; ``category``: unordered categorical with the declared levels; else text.
        ``attrs["source"]`` holds the file name, the SHA-256 of its bytes, rows, columns, and per column how often
        each code for missing occurs.

    Raises
    ------
    DataError
        With every fault of the file: spreadsheet row (the header is row 1), column, value, rule and fix. The codes
        are those of :data:`wwc_eval.data.findings.CODES`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "children.csv")
    >>> _ = path.write_text("child_id,age\n00123,4\n00124,17\n")
    >>> frame = read_table(path, {"child_id": "text", "age": {"type": "integer", "max": 17}}, key="child_id")
    >>> frame["child_id"].tolist(), frame["age"].tolist()
    (['00123', '00124'], [4, 17])
    >>> _ = path.write_text("child_id,age\n00123,4\n00124,four\n")
    >>> read_table(path, {"child_id": "text", "age": "integer"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    wwc_eval.errors.DataError: children.csv, row 3, column 'age' D20: the text is not a whole number ...
    >>> folder.cleanup()
    """
    if columns is None and (date_format is not None or extra != "ignore"):
        raise DataError(
            "date_format and extra need columns", code="D51", fix="declare the columns, or leave them out"
        )
    specs = None if columns is None else _with_format(column_specs(columns), date_format)
    keys = key_columns(key)
    place = Path(path) if isinstance(path, str | os.PathLike) else None
    findings = Findings(name or (place.name if place is not None else None))
    content = _bytes_of(place, path, findings)
    source = _source(content, place, findings, specs, encoding=encoding, delimiter=delimiter, sheet=sheet)
    return build_frame(source, specs, findings, key=keys, extra=extra)


def _source(
    content: bytes,
    place: Path | None,
    findings: Findings,
    specs: Mapping[str, ColumnSpec] | None,
    *,
    encoding: str,
    delimiter: str,
    sheet: str | None,
) -> Source:
    """Cells of a file, by its kind."""
    kind = _kind_of(place, findings) if place is not None else "csv"
    _check_options(kind, encoding, delimiter, sheet, findings)
    sha256 = hashlib.sha256(content).hexdigest()
    if not content:
        _stop(findings, "D03", "the file is empty (0 bytes)", "export it again")
    content = _unpacked(content, place, findings)
    _check_signature(content, kind, findings)
    readers: dict[str, Callable[[], Source]] = {
        "csv": lambda: read_csv_source(content, findings, encoding=encoding, delimiter=delimiter, sha256=sha256),
        "excel": lambda: read_excel_source(content, findings, sheet=sheet, sha256=sha256),
        "parquet": lambda: read_parquet_source(content, findings, sha256=sha256),
        "stata": lambda: read_stata_source(content, findings, sha256=sha256, specs=specs),
    }
    return readers[kind]()


def check_table(
    frame: Any,
    columns: Mapping[str, ColumnSpec | Mapping[str, Any] | str],
    *,
    key: str | Sequence[str] | None = None,
    name: str | None = None,
    extra: str = "ignore",
) -> pd.DataFrame:
    """Check and convert a frame made in memory by the rules of :func:`read_table`.

    Typed cells pass where nothing is lost: the float 3.0 is the integer 3, a boolean is binary, a time stamp at
    midnight is a date. A blank value of the frame (NaN, None, NaT) is missing where any code for missing is
    declared. Rows are numbered as if the frame were a file: its first record is row 2.

    Parameters
    ----------
    frame : pandas, polars or pyarrow data frame
        The table; it is not changed.
    columns : mapping of str to ColumnSpec, mapping or str
        Declarations by column name.
    key : str or sequence of str, optional
        Columns that together identify a record.
    name : str, optional
        Name of the table in messages.
    extra : {"ignore", "error"}
        What to do about columns that are not declared.

    Returns
    -------
    pandas.DataFrame
        A new frame as :func:`read_table` returns it, with the index of a pandas frame kept.

    Raises
    ------
    DataError
        With every fault of the table.

    Examples
    --------
    >>> import pandas as pd
    >>> check_table(pd.DataFrame({"age": [3.0, 4.0]}), {"age": "integer"})["age"].tolist()
    [3, 4]
    """
    specs = {
        column: replace(spec, missing=(*spec.missing, "")) if spec.missing and "" not in spec.missing else spec
        for column, spec in column_specs(columns).items()
    }
    findings = Findings(name)
    source = frame_source(frame, findings)
    checked = build_frame(source, specs, findings, key=key_columns(key), extra=extra)
    index = getattr(frame, "index", None)
    if index is not None:
        checked.index = index
    return checked


def _with_format(specs: Mapping[str, ColumnSpec], date_format: str | None) -> dict[str, ColumnSpec]:
    if date_format is None:
        return dict(specs)
    if not isinstance(date_format, str):
        raise DataError(
            f"date_format == {shown(date_format)}, must be text", code="D51", fix='write for example "%d/%m/%Y"'
        )
    DateFormat.parse(date_format)
    return {
        name: replace(spec, format=date_format) if spec.type == "date" and spec.format is None else spec
        for name, spec in specs.items()
    }


def _bytes_of(place: Path | None, given: object, findings: Findings) -> bytes:
    if place is None:
        _stop(findings, "D01", f"path == {shown(given)} is no path", "give the path of a file as text or Path")
    if str(given).casefold().startswith(("http://", "https://", "ftp://", "s3://")):
        _stop(findings, "D01", f"{shown(str(given))} is an address", "download the file and give its path")
    try:
        if place.is_dir():
            _stop(findings, "D01", f"{shown(str(place))} is a folder", f"give a file in it; {_files_in(place)}")
        if place.exists() and not place.is_file():
            _stop(findings, "D01", f"{shown(str(place))} is no regular file", "give the path of a file")
        return place.read_bytes()
    except FileNotFoundError:
        advice = f"the folder has {_files_in(place.parent, place.name)}"
        _stop(findings, "D01", f"there is no file {shown(str(place))}", f"check the path; {advice}")
    except PermissionError:
        _stop(findings, "D01", f"{shown(str(place))} may not be read", "close it elsewhere, or ask for access")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _stop(findings, "D01", f"{shown(str(place))} cannot be read: {reason}", "check the path and the drive")


def _files_in(folder: Path, near: str | None = None) -> str:
    try:
        names: Iterable[str] = sorted(each.name for each in folder.iterdir() if each.is_file())
    except OSError:
        return "no such folder"
    if near is None:
        return did_you_mean("", names)
    return did_you_mean(near, names)


def _kind_of(place: Path, findings: Findings) -> str:
    lower = place.name.casefold()
    ending = ".csv.gz" if lower.endswith(".csv.gz") else place.suffix.casefold()
    if ending not in _KINDS:
        advice = "save it as .xlsx or CSV" if ending in {".xls", ".xlsb", ".ods"} else "save it as CSV (UTF-8)"
        listed = ", ".join(_KINDS)
        _stop(findings, "D02", f"files ending in '{ending}' are not read (but {listed} are)", advice)
    return _KINDS[ending]


def _check_options(kind: str, encoding: str, delimiter: str, sheet: str | None, findings: Findings) -> None:
    """Options that mean nothing for a file of this kind are refused, not ignored."""
    if kind != "excel" and sheet is not None:
        _stop(findings, "D51", f"sheet == {shown(sheet)}, but the file is no workbook", "leave sheet out")
    if kind != "csv" and (encoding, delimiter) != ("utf-8", ","):
        _stop(findings, "D51", "encoding and delimiter are for text files", "leave them out")


def _unpacked(content: bytes, place: Path | None, findings: Findings) -> bytes:
    if place is None or not place.name.casefold().endswith(".gz"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        _stop(findings, "D02", f"the archive is damaged ({error})", "compress or copy the file again")


def _check_signature(content: bytes, kind: str, findings: Findings) -> None:
    """A file whose first bytes are those of another format than its name says."""
    head = content[:64].lstrip()
    for signature, real, words in _SIGNATURES:
        if head[: len(signature)].lower() == signature.lower() and real != kind:
            _stop(
                findings,
                "D02",
                f"the file is {words}, not what its name says",
                "give it its proper ending, or save the table as CSV (UTF-8) or .xlsx",
            )


def _stop(findings: Findings, code: str, message: str, fix: str) -> NoReturn:
    findings.add(Fault(code=code, message=message, fix=fix))
    raise DataError(problems=findings.problems())
