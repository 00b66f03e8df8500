"""Sources that keep types of their own (Excel, Parquet, Stata, frames in memory), and their cells as text.

A typed cell becomes text only where nothing is lost; then the same rules apply to it as to any other text.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import numbers
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from wwc_eval.data.conversion import EXACT
from wwc_eval.data.findings import Fault, Findings
from wwc_eval.data.frames import columns_of
from wwc_eval.data.sources import Source, check_header
from wwc_eval.errors import DataError

if TYPE_CHECKING:
    from wwc_eval.data.schema import ColumnSpec

__all__ = ["cells_as_text", "frame_source", "read_parquet_source", "read_stata_source"]

EXCEL_EXACT = 10**15
_TEXT_TYPES = ("text", "category", "local_authority")


def read_parquet_source(content: bytes, findings: Findings, *, sha256: str) -> Source:
    """Columns of a Parquet file as Python values.

    Raises
    ------
    DataError
        If pyarrow is not installed or the bytes are no Parquet file (D02).
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise missing_extra(findings, "Parquet files", "parquet", "pyarrow") from None
    try:
        table = pq.ParquetFile(io.BytesIO(content)).read()
        columns = [column.to_pylist() for column in table.columns]
    except Exception as error:  # a damaged file fails in any part of pyarrow
        raise unreadable(findings, "Parquet file", error) from error
    header = [str(name) for name in table.column_names]
    return _typed_source(header, columns, findings, sha256=sha256)


def read_stata_source(
    content: bytes, findings: Findings, *, sha256: str, specs: Mapping[str, ColumnSpec] | None
) -> Source:
    """Columns of a Stata file: value labels where text is declared, codes where numbers are.

    Extended missing values keep their code (``.a``); the plain one is blank.

    Raises
    ------
    DataError
        If the bytes are no Stata file, or labels are ambiguous (D02).
    """
    import pandas as pd

    def read(**options: bool) -> pd.DataFrame:
        return pd.read_stata(io.BytesIO(content), **options)  # type: ignore[call-overload, no-any-return]

    try:
        codes = read(convert_categoricals=False, convert_dates=False, convert_missing=True)
        plain = read(convert_categoricals=False)
    except Exception as error:  # a damaged file fails in any part of the reader
        raise unreadable(findings, "Stata file", error) from error
    try:
        labelled = read(convert_categoricals=True)
    except Exception as error:  # labels that are damaged, or one label for two values
        unique = " with unique value labels" if isinstance(error, ValueError) else ""
        raise unreadable(findings, f"Stata file{unique}", error) from error
    header = [str(name) for name in plain.columns]
    columns = []
    for index, name in enumerate(header):
        spec = None if specs is None else specs.get(name)
        frame = labelled if spec is None or spec.type in _TEXT_TYPES else plain
        pairs = zip(frame.iloc[:, index].tolist(), codes.iloc[:, index].tolist(), strict=True)
        columns.append([_stata_cell(cell, code) for cell, code in pairs])
    return _typed_source(header, columns, findings, sha256=sha256)


def _stata_cell(cell: object, code: object) -> object:
    """The cell, or its code where it is one of Stata's extended missing values."""
    missing = str(code) if type(code).__name__ == "StataMissingValue" else "."
    return cell if missing == "." else missing


def frame_source(frame: Any, findings: Findings) -> Source:
    """Columns of a pandas, polars or pyarrow frame as Python values.

    Raises
    ------
    DataError
        If the object is no frame (D51).
    """
    header, columns = columns_of(frame, "the table")
    index_names = tuple(getattr(getattr(frame, "index", None), "names", ()))
    return _typed_source(header, columns, findings, index_names=index_names)


def _typed_source(
    header: Sequence[str],
    columns: Sequence[Sequence[Any]],
    findings: Findings,
    *,
    sha256: str | None = None,
    index_names: tuple[Any, ...] = (),
) -> Source:
    names = check_header(header, findings)
    rows = range(2, len(columns[0]) + 2) if columns else range(2, 2)
    if not rows and not findings:
        fault = Fault(code="D11", message="the table has no records", fix="check how it was made or filtered")
        findings.add(fault)
    return Source(
        file=findings.file,
        cells={name: columns[index] for index, name in enumerate(names) if name is not None},
        rows=rows,
        header=tuple(header),
        sha256=sha256,
        typed=True,
        index_names=index_names,
    )


class UncalculatedFormula:
    """A spreadsheet formula without a stored value.

    Parameters
    ----------
    coordinate : str
        Cell as spreadsheets name it.
    """

    def __init__(self, coordinate: str) -> None:
        self.fault = Fault(
            code="D34",
            message=f"the formula in {coordinate} has no stored value",
            fix="open the workbook in Excel and save it, or paste the values",
        )

    def __str__(self) -> str:
        """What an error message shows as the value."""
        return "formula without a value"


class PaddedNumber(int):
    """A number that its format shows with leading zeros: text to the eye, not in the file."""

    fault: Fault

    def __new__(cls, value: int, seen: str) -> Self:
        """Keep the number and how it is shown."""
        number = super().__new__(cls, value)
        number.fault = Fault(
            code="D28",
            message=f"the number {value} is only formatted to look like {seen}",
            fix="store the column as text, with its zeros",
        )
        return number


def missing_extra(findings: Findings, what: str, extra: str, package: str) -> DataError:
    """The error for a package that is not installed, with the line that installs it."""
    fault = Fault(
        code="D02",
        message=f"{what} need the package {package}, which is not installed",
        fix=f'run: python -m pip install "wwc-eval[{extra}]" (or save the table as CSV)',
    )
    findings.add(fault)
    return DataError(problems=findings.problems())


def unreadable(findings: Findings, what: str, error: BaseException) -> DataError:
    """The error for a file that is damaged or of another format."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    fault = Fault(
        code="D02",
        message=f"the file is not a readable {what} ({reason[:120]})",
        fix="open it in the program that made it and save it again, or save it as CSV (UTF-8)",
    )
    findings.add(fault)
    return DataError(problems=findings.problems())


def cells_as_text(
    cells: Sequence[Any], spec: ColumnSpec | None, *, excel: bool
) -> tuple[Sequence[str], dict[int, Fault]]:
    """Text of typed cells, and the positions of those that cannot become text without loss.

    Parameters
    ----------
    cells : sequence
        Python values of one column.
    spec : ColumnSpec, optional
        Declaration of the column; None where it stays text.
    excel : bool
        Whether numbers went through a spreadsheet, which keeps 15 digits.

    Returns
    -------
    tuple of (sequence of str, dict of int to Fault)
        Text (blank where refused) and faults by position.
    """
    kinds = set(map(type, cells))
    if kinds <= {str}:
        return cells, {}
    number = spec is not None and spec.type in {"integer", "number", "binary"}
    if number and kinds == {int}:
        return list(map(str, cells)), {}
    if kinds == {float} and spec is not None and spec.type == "number" and not spec.missing:
        return ["" if cell != cell else repr(cell) for cell in cells], {}  # noqa: PLR0124 - NaN differs from itself
    memo: dict[tuple[type, Any], str | Fault] = {}
    texts: list[str] = []
    faults: dict[int, Fault] = {}
    for position, cell in enumerate(cells):
        text = _memoised(cell, spec, excel, memo)
        if isinstance(text, Fault):
            faults[position] = text
            text = ""
        texts.append(text)
    return texts, faults


def _memoised(
    cell: Any, spec: ColumnSpec | None, excel: bool, memo: dict[tuple[type, Any], str | Fault]
) -> str | Fault:
    try:
        known = memo.get((type(cell), cell))
    except TypeError:  # lists and other cells that cannot be hashed
        return _cell_text(cell, spec, excel=excel)
    if known is None:
        known = memo[type(cell), cell] = _cell_text(cell, spec, excel=excel)
    return known


def _cell_text(cell: Any, spec: ColumnSpec | None, *, excel: bool) -> str | Fault:
    kind = "text" if spec is None else spec.type
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, UncalculatedFormula):
        return cell.fault
    if type(cell).__name__ in {"bool_", "datetime64"}:  # numpy scalars that are no Python values
        cell = (
            cell.astype("datetime64[us]").item()
            if hasattr(cell, "dtype") and cell.dtype.kind == "M"
            else bool(cell)
        )
    if _is_blank(cell):
        return ""
    if isinstance(cell, bool):
        return str(int(cell)) if kind == "binary" else str(cell)
    if isinstance(cell, Decimal):
        return _decimal_text(cell)
    if isinstance(cell, numbers.Real):
        return _number_text(cell, spec, excel=excel)
    if isinstance(cell, dt.date):
        return _date_text(cell, spec)
    return Fault(
        code="D20",
        message=f"the cell holds a {type(cell).__name__}, which is neither text, number nor date",
        fix="put one plain value in each cell",
    )


def _is_blank(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(cell, float | numbers.Real) and bool(cell != cell)  # noqa: PLR0124 - NaN differs from itself


def _decimal_text(cell: Decimal) -> str:
    if not cell.is_finite():
        return "" if cell.is_nan() else str(float(cell))
    return str(int(cell)) if cell == cell.to_integral_value() else format(cell, "f")


def _number_text(cell: Any, spec: ColumnSpec | None, *, excel: bool) -> str | Fault:
    kind = "text" if spec is None else spec.type
    if isinstance(cell, PaddedNumber) and kind in _TEXT_TYPES:
        return cell.fault
    exact = isinstance(cell, numbers.Integral)
    if not exact and not math.isfinite(cell):
        return str(float(cell))
    if not exact and cell != int(cell):
        return repr(float(cell))
    whole = str(int(cell))
    inexact = abs(int(cell)) > EXACT if not exact else False
    if inexact and kind == "number":
        return repr(float(cell))
    if inexact or (excel and kind in _TEXT_TYPES and abs(int(cell)) >= EXCEL_EXACT):
        kept = "15 digits" if excel else "whole numbers up to 2^53"
        return Fault(
            code="D30",
            message=f"{whole} was stored as a number, which keeps {kept} only",
            fix="restore the column from its source; store identifiers as text",
        )
    if kind == "number" and not exact and spec is not None and whole not in spec.missing:
        return repr(float(cell))
    return whole


def _date_text(cell: dt.date, spec: ColumnSpec | None) -> str | Fault:
    kind = "text" if spec is None else spec.type
    if isinstance(cell, dt.datetime):
        nanosecond = getattr(cell, "nanosecond", 0)
        if cell.tzinfo is not None or nanosecond or cell.time() != dt.time():
            if kind == "text" and spec is None:
                return cell.isoformat()
            return Fault(
                code="D23",
                message="a time of day or a time zone stands with the date",
                fix="keep the date alone",
                rule=None if spec is None else spec.rule,
            )
        cell = cell.date()
    if spec is None:
        return cell.isoformat()
    if kind == "date":
        return spec.dates.write(cell)
    return Fault(
        code="D28",
        message=f"the cell holds the date {cell.isoformat()} where {kind.replace('_', ' ')} is declared",
        fix="restore the text at its source (spreadsheets turn 1-2 into a date), or declare type: date",
    )
