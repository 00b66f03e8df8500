"""Cells that are not what their column declares: each refused with place and fix, each good one kept exactly."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hostile_tables import Case, check, ids

from wwc_eval.data import read_table
from wwc_eval.errors import DataError

INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
BINARY = {"type": "binary"}
DATE = {"type": "date"}
TEXT = {"type": "text"}
LA = {"type": "local_authority"}
ARM = {"type": "category", "levels": ["usual", "family conference", "NA"]}
GOOD = {"integer": "4", "number": "4.5", "binary": "1", "date": "2024-02-29", "text": "A01", "category": "usual"}
GOOD["local_authority"] = "Derby"


def table(*cells: str) -> str:
    """A file of one key and one column, with the good cells and the bad one as they are."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [["k", "v"], *([str(number), cell] for number, cell in enumerate(cells))]
    )
    return out.getvalue()


def cell(name: str, declared: dict[str, Any], text: str, code: str, *words: str, **options: Any) -> Case:
    """A good cell in row 2 and a bad one in row 3."""
    content = table(options.pop("good", GOOD[declared["type"]]), text)
    return Case(name, content, {"v": declared}, [(code, 3, "v")], words, options=options)


CASES = [
    # whole numbers
    cell("integer: word", INTEGER, "four", "D20", "not a whole number"),
    cell("integer: decimals of zero", INTEGER, "1.0", "D20", "write 1", "type: number"),
    cell("integer: decimals", INTEGER, "1.5", "D20", "not a whole number"),
    cell("integer: exponent", INTEGER, "1e5", "D20", "exponent"),
    cell("integer: thousands comma", INTEGER, "1,234", "D20", "write 1234"),
    cell("integer: millions", INTEGER, "1,234,567", "D20", "write 1234567"),
    cell("integer: thousands space", INTEGER, "1 234", "D20", "write 1234"),
    cell("integer: thousands no-break space", INTEGER, "1\u00a0234", "D20", "write 1234"),
    cell("integer: thousands thin space", INTEGER, "1\u2009234", "D20", "write 1234"),
    cell("integer: thousands apostrophe", INTEGER, "1'234", "D20", "write 1234"),
    cell("integer: underscore", INTEGER, "1_000", "D20", "write 1000"),
    cell("integer: odd underscores", INTEGER, "1_0_0", "D20", "underscores"),
    cell("integer: hexadecimal", INTEGER, "0x10", "D20", "base ten"),
    cell("integer: octal", INTEGER, "0o17", "D20", "base ten"),
    cell("integer: not a number", INTEGER, "nan", "D21", '"nan"'),
    cell("integer: infinite", INTEGER, "inf", "D20", "finite"),
    cell("integer: plus sign", INTEGER, "+5", "D20", "remove the sign"),
    cell("integer: minus of typesetting", INTEGER, "−5", "D20", "'-'"),
    cell("integer: leading zeros", INTEGER, "007", "D20", "text"),
    cell("integer: fullwidth digits", INTEGER, "１２", "D20", "(12)"),
    cell("integer: Arabic-Indic digits", INTEGER, "٣", "D20", "0-9"),
    cell("integer: superscript", INTEGER, "5²", "D20", "0-9"),
    cell("integer: half", INTEGER, "½", "D20", "0-9"),
    cell("integer: percent", INTEGER, "45%", "D20", "percent"),
    cell("integer: pounds", INTEGER, "£45", "D20", "currency"),
    cell("integer: bound", INTEGER, "<5", "D20", "bound"),
    cell("integer: brackets", INTEGER, "(5)", "D20", "minus"),
    cell("integer: date", INTEGER, "2024-01-02", "D20", "type: date"),
    cell("integer: true", INTEGER, "True", "D20"),
    cell("integer: two numbers", INTEGER, "5 6", "D20"),
    cell("integer: two signs", INTEGER, "--5", "D20"),
    cell("integer: line break inside", INTEGER, "5\n6", "D20"),
    cell("integer: line break after", INTEGER, "5\n", "D27", "line break"),
    cell("integer: beyond 64 bits", INTEGER, "9223372036854775808", "D30", "text"),
    cell("integer: 30 digits", INTEGER, "1" * 30, "D30"),
    cell("integer: 5000 digits", INTEGER, "9" * 5000, "D30"),
    cell("integer: space before", INTEGER, " 5", "D27", "a space before"),
    cell("integer: no-break space after", INTEGER, "5\u00a0", "D27", "U+00A0"),
    cell("integer: zero-width space after", INTEGER, "5\u200b", "D27", "U+200B"),
    cell("integer: tab after", INTEGER, "5\t", "D27", "a tab after"),
    cell("integer: below min", {**INTEGER, "min": 0}, "-1", "D24", "below the minimum 0"),
    cell("integer: above max", {**INTEGER, "max": 17, "units": "years"}, "122", "D24", "maximum 17 years"),
    # numbers
    cell("number: word", NUMBER, "about 5", "D20", "not a number"),
    cell("number: decimal comma", NUMBER, "3,5", "D20", "decimal point"),
    cell("number: ambiguous comma", NUMBER, "3,500", "D20", "may separate thousands or decimals"),
    cell("number: thousands and decimals", NUMBER, "1,234.5", "D20", "write 1234.5"),
    cell("number: German", NUMBER, "1.234,5", "D20", "decimal point"),
    cell("number: percent", NUMBER, "12.5 %", "D20", "units"),
    cell("number: euro", NUMBER, "€ 5.10", "D20", "currency"),
    cell("number: underscore", NUMBER, "1_000.5", "D20"),
    cell("number: NaN", NUMBER, "NaN", "D21", '"NaN"'),
    cell("number: infinite", NUMBER, "-Infinity", "D20", "finite"),
    cell("number: hexadecimal", NUMBER, "0x1p3", "D20"),
    cell("number: two points", NUMBER, "1.2.3", "D20"),
    cell("number: point alone", NUMBER, ".", "D21", '"."'),
    cell("number: exponent alone", NUMBER, "e5", "D20"),
    cell("number: too large", NUMBER, "1e400", "D30"),
    cell("number: too small", NUMBER, "1e-400", "D30"),
    cell("number: not exact", NUMBER, "9007199254740993", "D30", "exactly"),
    cell("number: not exact with decimals", NUMBER, "12345678901234567.5", "D30"),
    cell("number: leading zeros", NUMBER, "007.5", "D20", "leading zeros"),
    cell("number: plus sign", NUMBER, "+1.5", "D20"),
    cell("number: minus of typesetting", NUMBER, "–1.5", "D20"),
    cell("number: complex", NUMBER, "1+2j", "D20"),
    cell("number: below min", {**NUMBER, "min": 0.5}, "0.49", "D24", "minimum 0.5"),
    cell("number: code for missing written otherwise", {**NUMBER, "missing": ["-99"]}, "-99.0", "D21", "written otherwise"),
    cell("number: code for missing with exponent", {**NUMBER, "missing": ["999"]}, "9.99e2", "D21", "'999'"),
    # 0 or 1
    cell("binary: true", BINARY, "TRUE", "D20", "write 1"),
    cell("binary: false", BINARY, "false", "D20", "write 0"),
    cell("binary: yes", BINARY, "Yes", "D20", "write 1", "category"),
    cell("binary: N", BINARY, "N", "D20", "write 0"),
    cell("binary: 1.0", BINARY, "1.0", "D20", "write 1"),
    cell("binary: 2", BINARY, "2", "D20", "0 and 1"),
    cell("binary: -1", BINARY, "-1", "D20"),
    cell("binary: 00", BINARY, "00", "D20"),
    cell("binary: fullwidth", BINARY, "１", "D20"),
    cell("binary: padded", BINARY, "1 ", "D27"),
    # dates
    cell("date: ambiguous", DATE, "01/02/2023", "D23", "ambiguous", "%d/%m/%Y", "%m/%d/%Y"),
    cell("date: ambiguous with dots", DATE, "1.2.2023", "D23", "%d.%m.%Y"),
    cell("date: day first", DATE, "13/02/2023", "D23", '"%d/%m/%Y"'),
    cell("date: month first", DATE, "02/13/2023", "D23", '"%m/%d/%Y"'),
    cell("date: two-digit year", DATE, "01/02/23", "D23", "century"),
    cell("date: two-digit year with a name", DATE, "01-Feb-23", "D23", "century"),
    cell("date: month name", DATE, "1 February 2023", "D23", '"%d %B %Y"'),
    cell("date: short month name", DATE, "1-Feb-2023", "D23", '"%d-%b-%Y"'),
    cell("date: no marks", DATE, "20230102", "D23", '"%Y%m%d"'),
    cell("date: year first with slashes", DATE, "2023/01/02", "D23", '"%Y/%m/%d"'),
    cell("date: single digits", DATE, "2023-1-2", "D23", "two digits"),
    cell("date: 30 February", DATE, "2023-02-30", "D23", "no such day"),
    cell("date: 29 February in a common year", DATE, "2023-02-29", "D23", "no such day"),
    cell("date: month 13", DATE, "2023-13-01", "D23", "no such day"),
    cell("date: day 0", DATE, "2023-01-00", "D23", "no such day"),
    cell("date: year 0", DATE, "0000-01-01", "D23", "no such day"),
    cell("date: with time", DATE, "2023-01-02T00:00:00", "D23", "2023-01-02"),
    cell("date: with time and zone", DATE, "2023-01-02 10:30:00+01:00", "D23", "time"),
    cell("date: day number", DATE, "44927", "D23", "spreadsheet"),
    cell("date: week", DATE, "2023-W05-1", "D23", "YYYY-MM-DD"),
    cell("date: year alone", DATE, "2023", "D23"),
    cell("date: financial year", DATE, "2022/23", "D23"),
    cell("date: word", DATE, "spring 2023", "D23"),
    cell("date: fullwidth", DATE, "２０２３-01-02", "D23"),
    cell("date: before 1900", DATE, "1899-12-31", "D24", "1900"),
    cell("date: open end", DATE, "9999-12-31", "D24", "2100"),
    cell("date: year 203", DATE, "0203-01-02", "D24", "year"),
    cell("date: before min", {**DATE, "min": "2024-01-01"}, "2023-12-31", "D24", "2024-01-01"),
    cell("date: after max", {**DATE, "max": "2024-12-31"}, "2025-01-01", "D24", "2024-12-31"),
    cell("date: ISO where another form is declared", {**DATE, "format": "%d/%m/%Y"}, "2023-01-02", "D23", "30/11/2024", good="1/2/2023"),
    cell("date: 31 April in a declared form", {**DATE, "format": "%d/%m/%Y"}, "31/04/2023", "D23", "no such day", good="01/02/2023"),
    cell("date: month first where day first is declared", {**DATE, "format": "%d/%m/%Y"}, "02/13/2023", "D23", good="01/02/2023"),
    cell("date: two-digit year in a declared form", {**DATE, "format": "%d/%m/%Y"}, "01/02/23", "D23", good="01/02/2023"),
    cell("date: unknown month name", {**DATE, "format": "%d %b %Y"}, "01 Fev 2023", "D23", good="01 Feb 2023"),
    cell("date: form for the whole file", DATE, "2023-01-02", "D23", good="01/02/2023", date_format="%d/%m/%Y"),
    # categories
    cell("category: unknown", ARM, "hospital", "D22", "usual"),
    cell("category: misspelled", ARM, "family conferense", "D22", "did you mean 'family conference'?"),
    cell("category: other case", ARM, "Usual", "D22", "did you mean 'usual'?", "exactly"),
    cell("category: other mark", ARM, "family_conference", "D22", "did you mean 'family conference'?"),
    cell("category: two spaces", ARM, "family  conference", "D22", "did you mean 'family conference'?"),
    cell("category: space after", ARM, "usual ", "D27", "level 'usual'"),
    cell("category: space after and other case", ARM, "Usual ", "D27", "level 'usual'"),
    cell("category: no-break space inside", ARM, "family\u00a0conference", "D22", "did you mean 'family conference'?"),
    cell("category: zero-width space inside", ARM, "us\u200bual", "D27", "U+200B"),
    cell("category: soft hyphen inside", ARM, "us\u00adual", "D27", "U+00AD"),
    cell("category: Cyrillic letter", ARM, "usuаl", "D22"),
    cell("category: fullwidth", ARM, "ｕｓｕａｌ", "D22", "did you mean 'usual'?"),
    cell("category: number", ARM, "1", "D22"),
    cell("category: form NFD", {"type": "category", "levels": ["usual", "môn"]}, "mo\u0302n", "D27", "NFC"),
    # codes for missing that nobody declared
    *(
        cell(f"{declared['type']}: {text or 'blank'} undeclared", declared, text, "D21", "missing: [")
        for declared in (INTEGER, DATE, TEXT)
        for text in ("", "NA", "n/a", "N/A", "NULL", "None", "-", "?", "nan", "missing")
    ),
    *(cell(f"{declared['type']}: blank undeclared", declared, "", "D21") for declared in (NUMBER, BINARY, ARM, LA)),
    *(
        cell(f"symbol {text}", NUMBER, text, "D21", "published statistics")
        for text in ("c", "x", "z", "u", "k", "low", ":", "[c]", "[x]", "~")
    ),
    cell("symbol in a date", DATE, "z", "D21", "not applicable"),
    cell("blanks alone", TEXT, "   ", "D21", "only blanks"),
    cell("no-break space alone", INTEGER, "\u00a0", "D21", "only blanks"),
    cell("declared code in other case", {**INTEGER, "missing": ["NA"]}, "na", "D21", "'NA'", "exactly"),
    cell("declared code padded", {**INTEGER, "missing": ["NA"]}, "NA ", "D27"),
    cell("one code declared, another found", {**INTEGER, "missing": [""]}, "NA", "D21", 'missing: ["", "NA"]'),
    # spreadsheet damage
    *(
        cell(f"spreadsheet error {text}", declared, text, "D29", "formula")
        for text, declared in (
            ("#REF!", TEXT), ("#N/A", INTEGER), ("#VALUE!", NUMBER), ("#DIV/0!", NUMBER), ("#NAME?", ARM),
            ("#NUM!", DATE), ("#NULL!", BINARY), ("########", DATE), ("#SPILL!", LA),
        )
    ),
    cell("identifier as a rounded number", TEXT, "1.23E+17", "D28", "formatted as text"),
    cell("identifier as a rounded number without decimals", TEXT, "1E+12", "D28"),
    # text
    cell("text: space before", TEXT, " A01", "D27", "'A01'"),
    cell("text: space after", TEXT, "A01 ", "D27"),
    cell("text: no-break space after", TEXT, "A01\u00a0", "D27", "U+00A0"),
    cell("text: byte order mark before", TEXT, "\ufeffA01", "D27", "U+FEFF"),
    cell("text: zero-width joiner after", TEXT, "A01\u200d", "D27", "U+200D"),
    cell("text: ideographic space before", TEXT, "\u3000A01", "D27", "U+3000"),
    cell("text: direction mark inside", TEXT, "A\u202e01", "D27", "U+202E"),
    cell("text: form NFD", TEXT, "Ynys Mo\u0302n", "D27", "Ynys Môn"),
    cell("text: pattern", {**TEXT, "pattern": "[A-Z][0-9]{2}"}, "A1", "D25", "pattern"),
    cell("text: pattern matches a part", {**TEXT, "pattern": "[A-Z][0-9]{2}"}, "A01x", "D25"),
    cell("text: pattern and a line break", {**TEXT, "pattern": "[A-Z][0-9]{2}"}, "A01\n", "D27"),
    cell("text: pattern and blank", {**TEXT, "pattern": "[A-Z][0-9]{2}"}, "", "D21"),
    # local authorities
    cell("local authority: ampersand", LA, "Brighton & Hove", "D31", "Brighton and Hove", "row 2", good="Brighton and Hove"),
    cell("local authority: case", LA, "DERBY", "D31", "'DERBY' and 'Derby'"),
    cell("local authority: hyphens", LA, "Stoke on Trent", "D31", good="Stoke-on-Trent"),
    cell("local authority: City of", LA, "Bristol, City of", "D31", good="Bristol"),
    cell("local authority: upon", LA, "Newcastle-upon-Tyne", "D31", good="Newcastle upon Tyne"),
    cell("local authority: council", LA, "Derby City Council", "D31"),
    cell("local authority: borough", LA, "London Borough of Camden", "D31", good="Camden"),
    cell("local authority: point", LA, "St Helens", "D31", good="St. Helens"),
    cell("local authority: accent", LA, "Ynys Mon", "D31", good="Ynys Môn"),
    cell("local authority: two spaces", LA, "North  Tyneside", "D31", good="North Tyneside"),
    cell("local authority: padded", LA, "Derby ", "D27"),
    cell("local authority: declared otherwise", {**LA, "levels": ["Derby", "Hull, City of"]}, "Kingston upon Hull", "D31", "Hull, City of"),
    cell("local authority: not declared", {**LA, "levels": ["Derby", "York"]}, "Leeds", "D31", "not among"),
    cell("local authority: misspelled", {**LA, "levels": ["Derby", "Doncaster"]}, "Donccaster", "D31", "did you mean 'Doncaster'"),
]  # fmt: skip


@pytest.mark.parametrize("case", ids(CASES))
def test_wrong_cell(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def read(cells: list[str], declared: Any, folder: Path, **options: Any):
    path = folder / "table.csv"
    path.write_text(table(*cells), encoding="utf-8", newline="")
    return read_table(path, {"v": declared}, **options)["v"]


@pytest.mark.parametrize("case", ids(CASES))
def test_good_cell_beside_it_is_read(case: Case, tmp_path: Path) -> None:
    """The control of every case above: without the bad row, the file is fine."""
    lines = case.raw.decode().split("\n")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    assert len(read_table(path, case.columns, **case.options)) == 1


def test_whole_numbers_are_exact(tmp_path: Path) -> None:
    values = read(
        ["0", "-7", "9007199254740993", "9223372036854775807", "-9223372036854775808"], "integer", tmp_path
    )
    assert str(values.dtype) == "int64"
    assert values.tolist() == [0, -7, 9007199254740993, 9223372036854775807, -9223372036854775808]


def test_whole_numbers_with_missing_stay_whole(tmp_path: Path) -> None:
    values = read(["9007199254740993", "", "4"], {"type": "integer", "missing": [""]}, tmp_path)
    assert str(values.dtype) == "Int64"
    assert values[0] == 9007199254740993
    assert values.isna().tolist() == [False, True, False]


def test_numbers(tmp_path: Path) -> None:
    cells = ["0", "-1.5", ".5", "5.", "1e-05", "2.5E+3", "1e+15", "9007199254740992", "-0"]
    values = read(cells, "number", tmp_path)
    assert str(values.dtype) == "float64"
    assert values.tolist() == [float(text) for text in cells]


def test_binary(tmp_path: Path) -> None:
    assert read(["0", "1"], "binary", tmp_path).tolist() == [0, 1]
    assert str(read(["0", ""], {"type": "binary", "missing": [""]}, tmp_path).dtype) == "Int64"


def test_categories_have_the_declared_order(tmp_path: Path) -> None:
    values = read(
        ["usual", "", "conference"], {**ARM, "levels": ["usual", "other", "conference"], "missing": [""]}, tmp_path
    )
    assert values.cat.categories.tolist() == ["usual", "other", "conference"]
    assert not values.cat.ordered
    assert values.isna().tolist() == [False, True, False]


def test_a_level_may_look_like_a_code_for_missing(tmp_path: Path) -> None:
    assert read(["NA", "usual"], ARM, tmp_path).tolist() == ["NA", "usual"]


def test_dates(tmp_path: Path) -> None:
    values = read(["2024-02-29", "", "1999-12-31"], {"type": "date", "missing": [""]}, tmp_path)
    assert values.dtype.kind == "M"
    assert values.dt.strftime("%Y-%m-%d").fillna("-").tolist() == ["2024-02-29", "-", "1999-12-31"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d/%m/%Y", "01/02/2023"),
        ("%d/%m/%Y", "1/2/2023"),
        ("%m/%d/%Y", "02/01/2023"),
        ("%d%m%Y", "01022023"),
        ("%Y%m%d", "20230201"),
        ("%d %b %Y", "1 Feb 2023"),
        ("%d-%b-%Y", "01-FEB-2023"),
        ("%d %B %Y", "1 February 2023"),
        ("%Y-%j", "2023-032"),
        ("%Y.%m.%d", "2023.02.01"),
    ],
)
def test_declared_forms_of_dates(form: str, text: str, tmp_path: Path) -> None:
    by_column = read([text], {"type": "date", "format": form}, tmp_path)
    by_file = read([text], "date", tmp_path, date_format=form)
    assert by_column.dt.strftime("%Y-%m-%d").tolist() == by_file.dt.strftime("%Y-%m-%d").tolist() == ["2023-02-01"]


def test_limits_of_dates_can_be_declared(tmp_path: Path) -> None:
    declared = {"type": "date", "max": "9999-12-31"}
    assert read(["9999-12-31"], declared, tmp_path)[0].year == 9999


def test_identifiers_keep_zeros_and_digits(tmp_path: Path) -> None:
    cells = ["00123", "12345678901234567", "0012345678901234567890", "1E5", "1.0", "true", "1e400", "0x10"]
    assert read(cells, "text", tmp_path).tolist() == cells


def test_pattern_replaces_the_usual_checks_of_text(tmp_path: Path) -> None:
    cells = ["NA", " x ", "-", "1.23E+17"]
    assert read(cells, {"type": "text", "pattern": ".*"}, tmp_path).tolist() == cells


def test_declared_codes_are_counted_and_nothing_else_vanishes(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(table("", "NA", "z", "4", "z"))
    frame = read_table(path, {"v": {"type": "integer", "missing": ["", "NA", "z", "c"]}})
    assert frame.attrs["source"]["missing"] == {"v": {"": 1, "NA": 1, "z": 2}}
    assert frame["v"].isna().sum() == 4


def test_a_number_may_be_a_code_for_missing(tmp_path: Path) -> None:
    values = read(["-99", "4"], {"type": "integer", "min": 0, "missing": [-99]}, tmp_path)
    assert values.isna().tolist() == [True, False]


def test_unique_lists_every_row_and_leaves_missing_alone(tmp_path: Path) -> None:
    declared = {"type": "text", "unique": True, "missing": [""]}
    assert len(read(["a", "", "", "b"], declared, tmp_path)) == 4
    with pytest.raises(DataError) as caught:
        read(["a", "b", "a", "", ""], declared, tmp_path)
    assert [(p.code, p.place.row) for p in caught.value.problems] == [("D26", 2), ("D26", 4)]
    assert "rows 2 and 4" in caught.value.problems[0].message


def test_rarer_spelling_is_the_one_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(["Stoke on Trent", "Stoke-on-Trent", "Stoke-on-Trent", "STOKE ON TRENT"], "local_authority", tmp_path)
    assert [(p.code, p.place.row) for p in caught.value.problems] == [("D31", 2), ("D31", 5)]
    assert all("'Stoke-on-Trent' (row 3)" in p.message for p in caught.value.problems)


def test_every_cell_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("id,age,arm\n 1,200,Usual\n1,x,usual\nNA,,\n")
    columns = {
        "id": {"type": "text", "unique": True},
        "age": {"type": "integer", "max": 17},
        "arm": {"type": "category", "levels": ["usual"]},
    }
    with pytest.raises(DataError) as caught:
        read_table(path, columns, key="id")
    places = [(p.place.row, p.place.column) for p in caught.value.problems]
    assert places == [(2, "id"), (2, "age"), (2, "arm"), (3, "age"), (4, "id"), (4, "age"), (4, "arm")]


def test_optional_column_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")
    frame = read_table(path, {"a": "integer", "b": {"type": "integer", "required": False}})
    assert list(frame.columns) == ["a"]


def test_columns_come_in_declared_order(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b,c\n1,2,3\n")
    assert list(read_table(path, {"c": "integer", "a": "text"}).columns) == ["c", "a"]


def test_rules_hold_where_pandera_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pandera import config

    monkeypatch.setenv("PANDERA_VALIDATION_ENABLED", "False")
    with config.config_context(validation_enabled=False), pytest.raises(DataError, match="D24"):
        read(["4", "99"], {"type": "integer", "max": 17}, tmp_path)
    depth = config.ValidationDepth.SCHEMA_ONLY
    with config.config_context(validation_depth=depth), pytest.raises(DataError, match="D24"):
        read(["4", "99"], {"type": "integer", "max": 17}, tmp_path)


def test_many_unknown_levels_stay_quick(tmp_path: Path) -> None:
    levels = [f"level number {i}" for i in range(150)]
    with pytest.raises(DataError) as caught:
        read([f"levl number {i}" for i in range(5000)], {"type": "category", "levels": levels}, tmp_path)
    assert len(caught.value.problems) == 5000
