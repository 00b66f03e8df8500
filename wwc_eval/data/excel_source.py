"""One sheet of an Excel workbook as a table of typed cells."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from wwc_eval.data.findings import Fault, Findings, column_letter
from wwc_eval.data.sources import Source, check_header
from wwc_eval.data.typed_sources import (
    PaddedNumber,
    UncalculatedFormula,
    cells_as_text,
    missing_extra,
    unreadable,
)
from wwc_eval.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from openpyxl.cell import Cell
    from openpyxl.workbook import Workbook

__all__ = ["read_excel_source"]

_FORMULA = re.compile(rb"<f[ >/]")
_ZEROS = re.compile(r"0{2,}")


def read_excel_source(content: bytes, findings: Findings, *, sheet: str | None, sha256: str) -> Source:
    """Read the cells of one sheet.

    Parameters
    ----------
    content : bytes
        The whole workbook.
    findings : Findings
        Takes every fault that leaves the rest readable.
    sheet : str, optional
        Name of the sheet; needed where there are several, hidden ones counted.
    sha256 : str
        Hash to hand on.

    Returns
    -------
    Source
        Typed cells under the names of the first row.

    Raises
    ------
    DataError
        If openpyxl is missing, the workbook is damaged (D02), the sheet is not named or not there (D14), or empty.
    """
    workbook = _load(content, findings, values=True)
    name = _sheet_name(workbook, sheet, findings)
    worksheet = workbook[name]
    for merged in worksheet.merged_cells.ranges:
        fault = Fault(
            code="D14",
            message=f"the cells {merged.coord} are merged, so all but the first are blank",
            fix="unmerge them and fill in every cell",
        )
        findings.add(fault, row=merged.min_row, column=column_letter(merged.min_col - 1))
    values = [[_value(cell) for cell in row] for row in worksheet.iter_rows()]
    _mark_formulas(content, name, values, findings)
    _trim(values)
    if not values:
        _stop(findings, "D03", f"sheet '{name}' is empty", "name the sheet that holds the table")
    header = list(cells_as_text(values[0], None, excel=False)[0])
    names = check_header(header, findings)
    kept, rows = _records(values, findings)
    if not rows and not findings:
        _stop(findings, "D11", f"sheet '{name}' has a header but no records", "export it again with its records")
    return Source(
        file=findings.file,
        cells={column: [row[index] for row in kept] for index, column in enumerate(names) if column is not None},
        rows=rows,
        header=tuple(header),
        sha256=sha256,
        typed=True,
        excel=True,
    )


def _load(content: bytes, findings: Findings, *, values: bool) -> Workbook:
    try:
        import openpyxl
    except ImportError:
        raise missing_extra(findings, "Excel workbooks", "excel", "openpyxl") from None
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that openpyxl leaves out
            return openpyxl.load_workbook(io.BytesIO(content), data_only=values)
    except Exception as error:  # a damaged workbook fails in any part of openpyxl
        raise unreadable(findings, "Excel workbook", error) from error


def _sheet_name(workbook: Workbook, sheet: str | None, findings: Findings) -> str:
    sheets: dict[str, bool] = {each.title: each.sheet_state != "visible" for each in workbook.worksheets}
    listed = ", ".join(f"'{name}'" + (" (hidden)" if hidden else "") for name, hidden in sheets.items())
    if sheet is None:
        if len(sheets) == 1:
            return next(iter(sheets))
        _stop(
            findings,
            "D14",
            f"the workbook has {len(sheets)} sheets: {listed}",
            f"say which one holds the table, such as sheet={next(iter(sheets), '')!r}",
        )
    if sheet not in sheets:
        _stop(findings, "D14", f"there is no sheet {sheet!r}", did_you_mean(str(sheet), sheets))
    return sheet


def _trim(values: list[list[Any]]) -> None:
    """Drop rows and columns at the end that hold nothing: formatting alone makes them part of a sheet."""
    while values and all(cell is None for cell in values[-1]):
        values.pop()
    width = max((index + 1 for row in values for index, cell in enumerate(row) if cell is not None), default=0)
    for row in values:
        del row[width:]


def _records(values: Sequence[Sequence[Any]], findings: Findings) -> tuple[list[Sequence[Any]], list[int]]:
    kept: list[Sequence[Any]] = []
    rows: list[int] = []
    for row, record in enumerate(values[1:], start=2):
        if all(cell is None for cell in record):
            fault = Fault(code="D13", message="the row is blank", fix="delete the row, or restore its record")
            findings.add(fault, row=row)
            continue
        kept.append(record)
        rows.append(row)
    return kept, rows


def _value(cell: Cell) -> Any:
    """Value of a cell; a number that its format shows with leading zeros says so."""
    value = cell.value
    if isinstance(value, int) and _ZEROS.fullmatch(str(cell.number_format)):
        return PaddedNumber(value, str(value).zfill(len(cell.number_format)))
    return value


def _mark_formulas(content: bytes, sheet: str, values: list[list[Any]], findings: Findings) -> None:
    """Mark formulas that were never calculated: they look blank, but a second reading shows them."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        if not any(_FORMULA.search(archive.read(part)) for part in parts):
            return
    for row in _load(content, findings, values=False)[sheet].iter_rows():
        for cell in row:
            if cell.data_type == "f" and values[cell.row - 1][cell.column - 1] is None:
                values[cell.row - 1][cell.column - 1] = UncalculatedFormula(cell.coordinate)


def _stop(findings: Findings, code: str, message: str, fix: str) -> NoReturn:
    findings.add(Fault(code=code, message=message, fix=fix))
    raise DataError(problems=findings.problems())
