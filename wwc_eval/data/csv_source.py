"""Delimited text to cells: what is not one clean table is reported, never repaired."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from wwc_eval.data.findings import LISTED_PER_COLUMN, Fault, Findings, column_letter
from wwc_eval.data.sources import Source, check_header
from wwc_eval.errors import DataError, did_you_mean, shown

__all__ = ["DELIMITERS", "read_csv_source"]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
    *("ascii", "cp1252", "iso8859-1", "iso8859-15", "cp850", "mac-roman"),
)
_MARKS = (  # byte order marks; the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE = re.compile("[\udc80-\udcff]")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_ZERO = Fault(code="D05", message="the cell holds a zero byte", fix="export the file again; it may be damaged")
_SAVE_UTF8 = 'save the file again as "CSV UTF-8"'


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records of delimited text: one list of cells per column of the header, and their row numbers."""

    columns: Sequence[Sequence[str]]
    rows: Sequence[int]


def read_csv_source(content: bytes, findings: Findings, *, encoding: str, delimiter: str, sha256: str) -> Source:
    """Split the bytes of a delimited file into columns of text.

    Parameters
    ----------
    content : bytes
        The whole file.
    findings : Findings
        Takes every fault that leaves the rest readable.
    encoding, delimiter : str
        As declared by the caller.
    sha256 : str
        Hash to hand on.

    Returns
    -------
    Source
        Columns of text; records with the wrong number of fields are left out (and reported).

    Raises
    ------
    DataError
        At once for what leaves nothing to read: encoding, delimiter, no records, a broken header.
    """
    encoding = _known_encoding(encoding, findings)
    if delimiter not in DELIMITERS:
        listed = ", ".join(repr(each) for each in DELIMITERS)
        _stop(findings, "D51", f"delimiter == {shown(delimiter)} is not known", f"give one of {listed}")
    text = _decode(content, encoding, findings)
    first_line = text.partition("\n")[0].partition("\r")[0]
    _check_first_line(first_line, delimiter, findings)
    if '"' in text:
        lines = _parse_quoted(text, delimiter, findings)
        header = lines[0]
        records = _regular(lines, delimiter, findings)
    else:
        plain = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
        header = plain[0].split(delimiter)
        records = _split_plain(plain, len(header), delimiter, findings)
    noted: dict[int, frozenset[int]] = {}
    if (not text.isascii() and _SURROGATE.search(text)) or "\0" in text:
        header, records, noted = _check_characters(header, records, findings)
    names = check_header(header, findings)
    if not records.rows and not findings:
        _stop(findings, "D11", "the file has a header but no records", "export the file again with its records")
    used = [(index, name) for index, name in enumerate(names) if name is not None]
    return Source(
        file=findings.file,
        cells={name: records.columns[index] for index, name in used},
        rows=records.rows,
        header=tuple(header),
        sha256=sha256,
        noted={name: noted[index] for index, name in used if index in noted},
    )


def _known_encoding(encoding: str, findings: Findings) -> str:
    """One name for every spelling of an encoding (``UTF8``, ``latin-1``)."""
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        name = ""
    if name not in ENCODINGS:
        advice = did_you_mean(str(encoding), ENCODINGS)
        _stop(findings, "D51", f"encoding == {shown(encoding)} is not known", advice)
    return name


def _decode(content: bytes, encoding: str, findings: Findings) -> str:
    if not content:
        _stop(findings, "D03", "the file is empty (0 bytes)", "export it again")
    found = _actual_encoding(content, encoding)
    if found is not None and not encoding.startswith(found):
        advice = "leave encoding out" if found == "utf-8" else f'{_SAVE_UTF8}, or give encoding="{found}"'
        _stop(findings, "D04", f"the file is in {found.upper()}, not {encoding}", advice)
    if encoding.startswith("utf-8"):  # bytes that are not UTF-8 become surrogates and are reported by cell
        text = content.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    else:
        try:
            text = content.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            byte = f"byte {content[error.start]:#04x} on line {line} of the file"
            _stop(findings, "D04", f"{byte} is not {encoding}", f"{_SAVE_UTF8} and leave encoding out")
    if not text or text.isspace():
        _stop(findings, "D03", "the file is empty", "export it again; nothing but blanks is in it")
    return text


def _actual_encoding(content: bytes, declared: str) -> str | None:
    """The encoding that the bytes give away, or None if they give nothing away."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    if b"\0" in content[:4096]:
        return _unmarked(content[:4096])
    if declared.startswith("utf-8") or content.isascii():
        return "utf-8" if declared.startswith(("utf-16", "utf-32")) else None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"  # no other encoding yields valid UTF-8 by chance


def _unmarked(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark: ASCII text has its zeros at regular places."""
    share = head.count(0) / len(head)
    for name, low, high in (("utf-32", 0.7, 0.8), ("utf-16", 0.4, 0.55)):
        if low <= share <= high:
            order = "le" if head[0] else "be"
            return f"{name}-{order}"
    return None


def _check_first_line(line: str, delimiter: str, findings: Findings) -> None:
    match = _SEPARATOR_LINE.fullmatch(line)
    if match:
        other = "" if match[1] == "," else f" and give delimiter={match[1]!r}"
        message = f"the first line is the instruction {line!r} to Excel"
        _stop(findings, "D07", message, f"delete it{other}", row=1)
    if not line.strip():
        message = "the first row, which must hold the column names, is blank"
        _stop(findings, "D08", message, "delete the rows above the header", row=1)
    bare = re.sub(r'"[^"]*"?', "", line)
    counts = {other: bare.count(other) for other in DELIMITERS}
    other = max(counts, key=lambda each: counts[each])
    if delimiter not in bare and counts[other]:
        _stop(
            findings,
            "D07",
            f"the fields are separated by a {DELIMITERS[other]}, not a {DELIMITERS[delimiter]}",
            f"give delimiter={other!r}, or save the file with commas",
            row=1,
        )


def _split_plain(lines: list[str], width: int, delimiter: str, findings: Findings) -> Records:
    """Text without quotes: if every line has the same number of delimiters, one split does it all."""
    regular = all(line.count(delimiter) == width - 1 for line in lines)
    blank = delimiter * (width - 1)
    if not regular or blank in lines or any(line.isspace() for line in lines):
        fields = [line.split(delimiter) if line else [] for line in lines]
        return _regular(fields, delimiter, findings)
    flat = delimiter.join(lines).split(delimiter)
    columns = [flat[width + column :: width] for column in range(width)]
    return Records(columns=columns, rows=range(2, len(lines) + 1))


def _parse_quoted(text: str, delimiter: str, findings: Findings) -> list[list[str]]:
    lines: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    done = 0
    limit = csv.field_size_limit(len(text))  # a long case note is no error
    try:
        for fields in reader:
            lines.append(fields)
            done = reader.line_num
    except csv.Error:
        physical = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        _note_broken_quote(physical, done, delimiter, lines, findings)
    finally:
        csv.field_size_limit(limit)
    return lines


def _note_broken_quote(
    physical: Sequence[str], done: int, delimiter: str, lines: list[list[str]], findings: Findings
) -> None:
    start = physical[done]
    fields = next(csv.reader([start], delimiter=delimiter), [])
    header = lines[0] if lines else []
    open_to_the_end = start.count('"') % 2 == 1 and len(fields) <= len(header)
    fault = Fault(
        code="D06",
        message=f"a quoted field that begins on line {done + 1} of the file is not closed properly; "
        "what follows was not read",
        fix='close the quote; a quote inside a quoted field is written twice ("")',
    )
    column = header[len(fields) - 1] if open_to_the_end else None
    findings.add(fault, row=len(lines) + 1, column=column, value=start)
    if not lines:
        findings.raise_if_any()


def _regular(lines: Sequence[Sequence[str]], delimiter: str, findings: Findings) -> Records:
    """Records with as many fields as the header; the others are noted with their row."""
    width = len(lines[0])
    last = len(lines)
    while width > 1 and last > 1 and not lines[last - 1]:  # empty lines after the last record
        last -= 1
    kept: list[Sequence[str]] = []
    rows: list[int] = []
    odd = 0
    for row, fields in enumerate(lines[1:last], start=2):
        # in a table of one column a quoted "" is a cell; an empty line never is
        blank = not any(map(str.strip, fields)) and not (width == 1 and len(fields) == 1 and not fields[0])
        if len(fields) == width and not blank:
            kept.append(fields)
            rows.append(row)
            continue
        odd += 1
        if odd <= LISTED_PER_COLUMN:
            fault = _blank_fault(fields) if blank else _ragged_fault(len(fields), width)
            findings.add(fault, row=row, value=delimiter.join(fields))
    if odd > LISTED_PER_COLUMN:
        more = odd - LISTED_PER_COLUMN
        fault = Fault(
            code="D12",
            message=f"{more:,} more records are blank or of another length",
            fix="export the file again",
        )
        findings.add(fault)
    columns = list(zip(*kept, strict=True)) or [()] * width
    return Records(columns=columns, rows=rows)


def _blank_fault(fields: Sequence[str]) -> Fault:
    kind = "blank" if len(fields) <= 1 else "blank (only delimiters)"
    return Fault(code="D13", message=f"the row is {kind}", fix="delete the row, or restore its record")


def _ragged_fault(found: int, width: int) -> Fault:
    fields = "field" if found == 1 else "fields"
    if found > width:
        fix = "put quotes around values that hold the delimiter, or remove the extra field"
    else:
        fix = "add the delimiters that are missing, or restore the cut-off record"
    return Fault(code="D12", message=f"the row has {found} {fields}, the header {width}", fix=fix)


def _check_characters(
    header: Sequence[str], records: Records, findings: Findings
) -> tuple[list[str], Records, dict[int, frozenset[int]]]:
    """Note each cell that holds a zero byte or bytes that are not UTF-8, and make the text printable."""
    for name in header:
        if _SURROGATE.search(name):
            findings.add(_encoding_fault(name), row=1, column=_guess(name), value=_guess(name))
    names = [_guess(name) for name in header]
    columns: list[Sequence[str]] = []
    noted: dict[int, frozenset[int]] = {}
    for index, cells in enumerate(records.columns):
        faults = {i: _encoding_fault(cell) for i, cell in enumerate(cells) if _SURROGATE.search(cell)}
        faults |= {i: _ZERO for i, cell in enumerate(cells) if "\0" in cell and i not in faults}
        columns.append([_guess(cell) for cell in cells])
        noted[index] = frozenset(faults)
        column = names[index] or column_letter(index)
        findings.add_cells(column, list(faults), records.rows, columns[index], faults.__getitem__)
    return names, Records(columns=columns, rows=records.rows), noted


def _encoding_fault(cell: str) -> Fault:
    raw = cell.encode("utf-8", errors="surrogateescape")
    byte = next(character for character in cell if _SURROGATE.match(character))
    return Fault(
        code="D04",
        message=f"byte {ord(byte) - 0xDC00:#04x} is not UTF-8; as Windows-1252 the cell reads {shown(_cp1252(raw))}",
        fix=f'{_SAVE_UTF8}, or give encoding="cp1252" if that reading is right',
    )


def _guess(cell: str) -> str:
    return _cp1252(cell.encode("utf-8", errors="surrogateescape")) if _SURROGATE.search(cell) else cell


def _cp1252(raw: bytes) -> str:
    return raw.decode("cp1252", errors="replace")


def _stop(findings: Findings, code: str, message: str, fix: str, *, row: int | None = None) -> NoReturn:
    findings.add(Fault(code=code, message=message, fix=fix), row=row)
    raise DataError(problems=findings.problems())
