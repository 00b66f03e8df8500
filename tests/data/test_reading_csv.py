"""Delimited files whose structure is wrong: each is one DataError with every place and a fix."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from pathlib import Path

import pytest
from hostile_tables import Case, check, ids

from wwc_eval.data import read_table
from wwc_eval.errors import DataError

GZIPPED = gzip.compress(b"a,b\n1,2\n")

CASES = [
    # nothing there
    Case("zero bytes", b"", None, [("D03", None, None)], ("0 bytes",)),
    Case("only a byte order mark", b"\xef\xbb\xbf", None, [("D03", None, None)]),
    Case("only line ends", b"\n\r\n\n", None, [("D03", None, None)]),
    Case("only spaces", b"   \n  ", None, [("D03", None, None)]),
    Case("header alone", "a,b\n", None, [("D11", None, None)], ("no records",)),
    Case("header alone without line end", "a,b", None, [("D11", None, None)]),
    Case("quoted header alone", '"a","b"\r\n', None, [("D11", None, None)]),
    Case("blank first row", "\na,b\n1,2\n", None, [("D08", 1, None)], ("above the header",)),
    Case("blank first row and quotes", '\n"a",b\n1,2\n', None, [("D08", 1, None)]),
    # encodings
    Case("utf-16 with mark", "a,b\n1,2\n".encode("utf-16"), None, [("D04", None, None)], ("UTF-16", 'encoding="utf-16"')),
    Case("utf-16 big endian with mark", b"\xfe\xff" + "a,b\n1,2\n".encode("utf-16-be"), None, [("D04", None, None)]),
    Case("utf-16 without mark", "a,b\n1,2\n".encode("utf-16-le"), None, [("D04", None, None)], ("utf-16-le",)),
    Case("utf-16 big endian without mark", "a,b\n1,2\n".encode("utf-16-be"), None, [("D04", None, None)], ("utf-16-be",)),
    Case("utf-32", "a,b\n1,2\n".encode("utf-32"), None, [("D04", None, None)], ("UTF-32",)),
    Case("cp1252 cell", "n,b\nx,1\nZoë,2\n".encode("cp1252"), None, [("D04", 3, "n")], ("0xeb", "'Zoë'", "cp1252")),
    Case("cp1252 in two cells", "n,b\né,1\nx,ü\n".encode("latin-1"), None, [("D04", 2, "n"), ("D04", 3, "b")]),
    Case("cp1252 header", "naïve,b\nx,1\n".encode("cp1252"), None, [("D04", 1, "naïve")]),
    Case("cp1252 pound sign in an undeclared column", "n,b\nx,£5\n".encode("cp1252"), {"n": "text"}, [("D04", 2, "b")]),
    Case("cp1252 in a quoted field with line breaks", 'n,b\n"x\ny",1\n"é\nz",2\n'.encode("cp1252"), None, [("D04", 3, "n")]),
    Case("declared ascii, is not", "n\né\n".encode(), None, [("D04", None, None)], ("UTF-8",), options={"encoding": "ascii"}),
    Case("declared cp1252, is utf-8", "n\nZoë\n".encode(), None, [("D04", None, None)], ("leave encoding out",), options={"encoding": "cp1252"}),
    Case("declared utf-16, is utf-8", b"n,m\n1,2\n", None, [("D04", None, None)], options={"encoding": "utf-16"}),
    Case("declared cp1252 with an undefined byte", b"n\nx\n\x81\n", None, [("D04", None, None)], ("0x81", "line 3"), options={"encoding": "cp1252"}),
    Case("unknown encoding", "a,b\n1,2\n", None, [("D51", None, None)], ("'utf-8'",), options={"encoding": "utf-9"}),
    Case("lost character", "n\n\ufffd\n", {"n": "text"}, [("D04", 2, "n")], ("lost",)),
    Case("encoded twice", "n\nZoÃ«\n", {"n": "text"}, [("D04", 2, "n")], ("'Zoë'",)),
    # characters
    Case("zero byte", b"a,b\n1,2\n3\x00,4\n", None, [("D05", 3, "a")], ("zero byte",)),
    Case("zero bytes in two cells", b"a,b\n\x00,2\n3,\x004\n", None, [("D05", 2, "a"), ("D05", 3, "b")]),
    Case("bell in a cell", b"a,b\nx\x07y,2\n", {"a": "text"}, [("D05", 2, "a")], ("U+0007",)),
    Case("escape in a category", b"a\nu\x1bsual\n", {"a": {"type": "category", "levels": ["usual"]}}, [("D05", 2, "a")]),
    # quotes
    Case("unclosed quote", 'a,b\n1,"2\n3,4\n', None, [("D06", 2, "b")], ("line 2",)),
    Case("unclosed quote in the last row", 'a,b\n1,2\n"3,4\n', None, [("D06", 3, "a")]),
    Case("unclosed quote after a field with line breaks", 'a,b\n"1\n1",2\n"3,4\n', None, [("D06", 3, "a")], ("line 4",)),
    Case("text after a closing quote", 'a,b\n1,"2"x\n3,4\n', None, [("D06", 2, None)], ("twice",)),
    Case("unclosed quote in the header", '"a,b\n1,2\n', None, [("D06", 1, None)]),
    Case("quote before and ragged after", 'a,b\n1,2,3\n4,"5\n', None, [("D12", 2, None), ("D06", 3, "b")]),
    # delimiters
    Case("semicolons", "a;b\n1;2\n", None, [("D07", 1, None)], ("semicolon", "delimiter=';'")),
    Case("quoted and semicolons", '"a";"b"\n"1";"2"\n', None, [("D07", 1, None)], ("semicolon",)),
    Case("tabs", "a\tb\n1\t2\n", None, [("D07", 1, None)], ("tab", r"delimiter='\t'")),
    Case("bars", "a|b\n1|2\n", None, [("D07", 1, None)], ("bar",)),
    Case("commas, semicolons declared", "a,b\n1,2\n", None, [("D07", 1, None)], ("comma",), options={"delimiter": ";"}),
    Case("tsv is still not guessed", "a\tb\n1\t2\n", None, [("D07", 1, None)], ("tab",), ending=".tsv"),
    Case("sep line", "sep=;\na;b\n1;2\n", None, [("D07", 1, None)], ("delete it", "delimiter=';'")),
    Case("quoted sep line", '"sep=,"\na,b\n1,2\n', None, [("D07", 1, None)], ("delete it",)),
    Case("sep line with carriage return", "SEP=\t\r\na\tb\r\n1\t2\r\n", None, [("D07", 1, None)]),
    Case("unknown delimiter", "a,b\n1,2\n", None, [("D51", None, None)], options={"delimiter": "::"}),
    # header
    Case("no name in the middle", "a,,c\n1,2,3\n", None, [("D08", 1, "B")], ("column B",)),
    Case("delimiter at the end of each line", "a,b,\n1,2,\n", None, [("D08", 1, "C")], ("end of the line",)),
    Case("two columns without name", ",,c\n1,2,3\n", None, [("D08", 1, "A"), ("D08", 1, "B")]),
    Case("same name twice", "a,b,a\n1,2,3\n", None, [("D09", 1, "a")], ("A and C",)),
    Case("same name three times", "a,a,a\n1,2,3\n", None, [("D09", 1, "a"), ("D09", 1, "a")]),
    Case("space before a name", "a, b\n1,2\n", None, [("D10", 1, " b")], ("'b'",)),
    Case("space after a name", "a,b \n1,2\n", None, [("D10", 1, "b ")]),
    Case("no-break space after a name", "a,b\u00a0\n1,2\n", None, [("D10", 1, "b\\xa0")], ("U+00A0",)),
    Case("zero-width space before a name", "\u200ba,b\n1,2\n", None, [("D10", 1, "\\u200ba")], ("U+200B",)),
    Case("second byte order mark", "\ufeff\ufeffa,b\n1,2\n", None, [("D10", 1, "\\ufeffa")], ("U+FEFF",)),
    Case("line break in a name", '"a\nb",c\n1,2\n', None, [("D10", 1, "a\\nb")]),
    Case("soft hyphen in a name", "a\u00adb,c\n1,2\n", None, [("D10", 1, "a\\xadb")]),
    Case("name of blanks", "a,  \n1,2\n", None, [("D10", 1, "  ")], ("give the column a name",)),
    Case("name in form NFD", "Mo\u0302n,b\n1,2\n", None, [("D10", 1, "Mo\u0302n")], ("NFC",)),
    Case("lost character in a name", "a\ufffd,b\n1,2\n", None, [("D04", 1, "a\ufffd")]),
    Case("header and records wrong at once", "a,a,b \n1,2\n1,2,3\n", None, [("D09", 1, "a"), ("D10", 1, "b "), ("D12", 2, None)]),
    # records
    Case("one field more", "a,b\n1,2\n1,2,3\n", None, [("D12", 3, None)], ("3 fields", "header 2")),
    Case("one field less", "a,b\n1\n1,2\n", None, [("D12", 2, None)], ("1 field,",)),
    Case("every ragged row", "a,b\n1\n1,2\n1,2,3\n1,2,3,4\n", None, [("D12", 2, None), ("D12", 4, None), ("D12", 5, None)]),
    Case("ragged throughout", "a,b\n1,2,3\n4,5,6\n", None, [("D12", 2, None), ("D12", 3, None)]),
    Case("unquoted comma in a name", "la,n\nBristol, City of,3\n", None, [("D12", 2, None)], ("quotes",)),
    Case("ragged after a field with line breaks", 'a,b\n"1\n\n1",2\n1,2,3\n', None, [("D12", 3, None)]),
    Case("truncated last row", "a,b,c\n1,2,3\n1,2", None, [("D12", 3, None)], ("cut-off",)),
    Case("blank row in the middle", "a,b\n1,2\n\n3,4\n", None, [("D13", 3, None)], ("delete",)),
    Case("two blank rows", "a,b\n1,2\n\n\n3,4\n", None, [("D13", 3, None), ("D13", 4, None)]),
    Case("row of delimiters", "a,b,c\n1,2,3\n,,\n4,5,6\n", None, [("D13", 3, None)], ("only delimiters",)),
    Case("rows of delimiters at the end", "a,b\n1,2\n,\n,\n", None, [("D13", 3, None), ("D13", 4, None)]),
    Case("row of spaces", "a,b\n1,2\n   \n3,4\n", None, [("D13", 3, None)]),
    Case("blank row among quotes", 'a,b\n"1",2\n\n3,4\n', None, [("D13", 3, None)]),
    Case("blank line in one column", "a\n1\n\n3\n", None, [("D13", 3, None)]),
    Case("blank line at the end of one column", "a\n1\n\n", None, [("D13", 3, None)]),
    Case("carriage returns alone, ragged", "a,b\r1,2\r1\r", None, [("D12", 3, None)]),
    Case("mixed line ends, ragged", "a,b\r\n1,2\n3\r4,5\n", None, [("D12", 3, None)]),
    Case("ragged and a wrong cell", "a,b\n1,q\n1\n", {"a": "text", "b": "integer"}, [("D20", 2, "b"), ("D12", 3, None)]),
    # declared columns and keys
    Case("declared column missing", "child,b\n1,2\n", {"child_id": "text"}, [("D15", 1, "child_id")], ("'child'",)),
    Case("declared column in other case", "Age,b\n1,2\n", {"age": "integer"}, [("D15", 1, "age")], ("'Age'",)),
    Case("two declared columns missing", "x\n1\n", {"a": "text", "b": "text", "x": "text"}, [("D15", 1, "a"), ("D15", 1, "b")]),
    Case("declared column padded", "age ,b\n1,2\n", {"age": "integer"}, [("D10", 1, "age "), ("D15", 1, "age")]),
    Case("declared column twice", "age,age\n1,2\n", {"age": "integer"}, [("D09", 1, "age")]),
    Case("undeclared column refused", "a,b,c\n1,2,3\n", {"a": "text"}, [("D16", 1, "b"), ("D16", 1, "c")], options={"extra": "error"}),
    Case("key not there", "a,b\n1,2\n", None, [("D15", 1, "c")], options={"key": "c"}),
    Case("key not declared", "a,b\n1,2\n", {"b": "text"}, [("D15", 1, "a")], ("not declared",), options={"key": "a"}),
    Case("key twice", "id,b\n007,2\n8,2\n007,3\n", None, [("D32", 2, "id"), ("D32", 4, "id")], ("rows 2 and 4",), options={"key": "id"}),
    Case("key three times", "id\nA\nA\nA\n", {"id": "text"}, [("D32", 2, "id"), ("D32", 3, "id"), ("D32", 4, "id")], options={"key": ["id"]}),
    Case("pair of keys twice", "la,id\nx,1\ny,1\nx,1\n", None, [("D32", 2, "la, id"), ("D32", 4, "la, id")], options={"key": ["la", "id"]}),
    Case("key twice with line breaks before", 'id,n\n1,"x\n\ny"\n2,z\n1,z\n', None, [("D32", 2, "id"), ("D32", 4, "id")], options={"key": "id"}),
    Case("key blank", "id,b\n1,2\n,3\n", None, [("D33", 3, "id")], ("part of the key",), options={"key": "id"}),
    Case("keys blank are not repeated keys", "id,b\n,2\n,3\n", {"id": "text"}, [("D33", 2, "id"), ("D33", 3, "id")], options={"key": "id"}),
    Case("key declared missing", "id,b\nnone,2\n1,3\n", {"id": {"type": "text", "missing": ["none"]}}, [("D33", 2, "id")], options={"key": "id"}),
    Case("key NA", "id,b\nNA,2\n1,3\n", {"id": "text"}, [("D33", 2, "id")], options={"key": "id"}),
    Case("key of spaces", "id,b\n  ,2\n1,3\n", None, [("D33", 2, "id")], options={"key": "id"}),
    Case("key padded in an undeclared column", "id,b\nA1,2\nA1 ,3\n", None, [("D27", 3, "id")], options={"key": "id"}),
    Case("key not in form NFC in an undeclared column", "id,b\nm\u00f4n,2\nmo\u0302n,3\n", None, [("D27", 3, "id")], options={"key": "id"}),
    Case("key mangled in an undeclared column", "id,b\n1,2\n1.23E+17,3\n", None, [("D28", 3, "id")], options={"key": "id"}),
    Case("optional key not there", "a\n1\n", {"a": "text", "ab": {"type": "text", "required": False}}, [("D15", 1, "ab")], options={"key": "ab"}),
    Case("key twice and a wrong value", "id,n\n1,q\n1,2\n", {"id": "text", "n": "integer"}, [("D20", 2, "n"), ("D32", 2, "id"), ("D32", 3, "id")], options={"key": "id"}),
    # other files under the name of a CSV
    Case("zip named csv", b"PK\x03\x04abc", None, [("D02", None, None)], ("Excel workbook",)),
    Case("old Excel named csv", b"\xd0\xcf\x11\xe0abc", None, [("D02", None, None)], ("password",)),
    Case("web page named csv", b"\n <!doctype html><html></html>", None, [("D02", None, None)], ("web page",)),
    Case("gzip named csv", GZIPPED, None, [("D02", None, None)], ("gzip",)),
    Case("damaged gzip", GZIPPED[:-6], None, [("D02", None, None)], ("damaged",), ending=".csv.gz"),
    Case("no gzip", b"a,b\n1,2\n", None, [("D02", None, None)], ending=".csv.gz"),
    Case("old Excel", b"\xd0\xcf\x11\xe0", None, [("D02", None, None)], (".xlsx",), ending=".xls"),
    Case("unknown ending", b"a,b\n1,2\n", None, [("D02", None, None)], ("CSV",), ending=".sav"),
    Case("no ending", b"a,b\n1,2\n", None, [("D02", None, None)], ending=""),
]  # fmt: skip


@pytest.mark.parametrize("case", ids(CASES))
def test_broken_structure(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def read(content: bytes | str, tmp_path: Path, *args: object, **options: object):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, *args, **options)


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n3,4\n",
        "a,b\n1,2\n3,4",
        "a,b\r\n1,2\r\n3,4\r\n",
        "a,b\r1,2\r3,4\r",
        "a,b\r\n1,2\n3,4\r",
        "\ufeffa,b\n1,2\n3,4\n",
        '"a","b"\n"1","2"\n"3","4"\n',
        'a,b\n1,2\n"3",4\n\n\n',
        "a,b\n1,2\n3,4\n\n\n",
    ],
)
def test_harmless_forms_read_the_same(content: str, tmp_path: Path) -> None:
    assert read(content, tmp_path).to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}


def test_without_declarations_everything_stays_text(tmp_path: Path) -> None:
    frame = read("id,x,n\n00123,NA,1e5\n12345678901234567,,0x1F\n", tmp_path, key="id")
    assert frame.to_dict("list") == {
        "id": ["00123", "12345678901234567"],
        "x": ["NA", ""],
        "n": ["1e5", "0x1F"],
    }


def test_quoted_fields_keep_delimiters_quotes_and_line_breaks(tmp_path: Path) -> None:
    frame = read('n,b\n"x, ""y""\r\nz",1\n', tmp_path)
    assert frame["n"].tolist() == ['x, "y"\r\nz']


def test_rows_are_counted_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read('note,age\n"one\ntwo\nthree",4\nx,five\n', tmp_path, {"age": "integer"})
    assert [problem.place.row for problem in caught.value.problems] == [3]


def test_declared_delimiter_and_encoding(tmp_path: Path) -> None:
    content = "name;age\nZoë;4\n"
    for encoding in ("cp1252", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig"):
        frame = read(content.encode(encoding), tmp_path, encoding=encoding, delimiter=";")
        assert frame.to_dict("list") == {"name": ["Zoë"], "age": ["4"]}


def test_a_field_may_be_long(tmp_path: Path) -> None:
    note = "x" * 300_000
    assert read(f'a,b\n"{note}",1\n', tmp_path)["a"].tolist() == [note]


def test_attributes_name_the_source(tmp_path: Path) -> None:
    content = b"id,age,note\n1,4,x\n2,,y\n3,nk,z\n4,,z\n"
    columns = {"id": "text", "age": {"type": "integer", "missing": ["", "nk"]}}
    frame = read(content, tmp_path, columns)
    assert frame.attrs["source"] == {
        "file": "table.csv",
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": 4,
        "columns": 3,
        "missing": {"age": {"": 2, "nk": 1}},
    }
    assert frame.attrs["ignored_columns"] == ["note"]


def test_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(GZIPPED)
    frame = read_table(str(path))
    assert frame.to_dict("list") == {"a": ["1"], "b": ["2"]}
    assert frame.attrs["source"]["sha256"] == hashlib.sha256(GZIPPED).hexdigest()


def test_name_stands_in_every_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="children, row 3") as caught:
        read("a,b\n1,2\n3\n", tmp_path, name="children")
    assert {problem.place.file for problem in caught.value.problems} == {"children"}


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "children.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"D01.*did you mean 'children.csv'"):
        read_table(tmp_path / "childen.csv")
    with pytest.raises(DataError, match="no such folder"):
        read_table(tmp_path / "nowhere" / "children.csv")


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"D01.*is a folder"):
        read_table(tmp_path)


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")

    def refuse(_self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"D01.*may not be read"):
        read_table(path)


def test_drive_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")

    def fail(_self: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(DataError, match="Input/output error"):
        read_table(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="no regular file"):
        read_table(tmp_path / "pipe.csv")


@pytest.mark.parametrize("path", [None, 3, b"table.csv", io.StringIO("a\n1\n"), ["table.csv"]])
def test_what_is_no_path(path: object) -> None:
    with pytest.raises(DataError, match="D01") as caught:
        read_table(path)  # type: ignore[arg-type]
    assert caught.value.problems[0].fix


@pytest.mark.parametrize("path", ["https://example.org/a.csv", "table\0.csv", "x" * 5000 + ".csv"])
def test_paths_that_cannot_be(path: str) -> None:
    with pytest.raises(DataError, match="D01"):
        read_table(path)


@pytest.mark.parametrize("encoding", ["UTF8", "utf_8", "U8", "UTF-8-SIG"])
def test_encodings_have_many_names(encoding: str, tmp_path: Path) -> None:
    assert read("n\nZoë\n", tmp_path, encoding=encoding)["n"].tolist() == ["Zoë"]


def test_options_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    for options in ({"sheet": "x"}, {"date_format": "%d/%m/%Y"}, {"extra": "error"}):
        with pytest.raises(DataError, match="D51"):
            read("a,b\n1,2\n", tmp_path, **options)
    for options in ({"encoding": "cp1252"}, {"delimiter": ";"}, {"sheet": "x"}):
        with pytest.raises(DataError, match="D51"):
            read_table(tmp_path / "table.parquet", **options)


def test_options_are_checked(tmp_path: Path) -> None:
    for options, word in (
        ({"extra": "warn"}, "extra"),
        ({"key": ["a", "a"]}, "each once"),
        ({"key": 3}, "key"),
        ({"date_format": "%d/%m/%y"}, "century"),
        ({"date_format": 3}, "date_format"),
    ):
        with pytest.raises(DataError, match=word):
            read("a,b\n1,2\n", tmp_path, {"a": "text"}, **options)


def test_huge_number_of_faults_stays_short(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},x{i}" for i in range(12_000))
    with pytest.raises(DataError) as caught:
        read(f"a,b\n{rows}\n", tmp_path, {"b": "integer"})
    assert len(caught.value.problems) == 10_001
    assert "2,000 more cells" in caught.value.problems[-1].message
    assert "11,999" not in str(caught.value)
    assert len(str(caught.value).splitlines()) < 60
