"""Excel, Parquet, Stata and frames in memory: what they type is kept where nothing is lost, refused where it is."""

from __future__ import annotations

import datetime as dt
import io
import random
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wwc_eval.data import check_table, read_table
from wwc_eval.errors import DataError

openpyxl = pytest.importorskip("openpyxl")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pl = pytest.importorskip("polars")

COLUMNS = {
    "id": "text",
    "age": {"type": "integer", "missing": [""]},
    "score": {"type": "number", "missing": [""]},
    "seen": {"type": "date", "missing": [""]},
    "care": "binary",
    "arm": {"type": "category", "levels": ["usual", "conference"]},
}
ROWS = [
    ["00123", 4, 1.5, dt.date(2024, 2, 29), 1, "usual"],
    ["12345678901234567", None, None, None, 0, "conference"],
]


DAY = dt.datetime.fromisoformat("2024-01-02")


def workbook(rows: list[list[Any]], *, change: Any = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "children"
    for row in rows:
        sheet.append(row)
    if change is not None:
        change(book, sheet)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def as_expected(frame: pd.DataFrame) -> None:
    assert frame["id"].tolist() == ["00123", "12345678901234567"]
    assert frame["age"].tolist()[0] == 4
    assert frame["age"].isna().tolist() == [False, True]
    assert str(frame["age"].dtype) == "Int64"
    assert frame["score"].tolist()[0] == 1.5
    assert frame["seen"].dt.strftime("%Y-%m-%d").tolist()[0] == "2024-02-29"
    assert frame["care"].tolist() == [1, 0]
    assert frame["arm"].cat.categories.tolist() == ["usual", "conference"]


def test_workbook(tmp_path: Path) -> None:
    path = write(tmp_path, "table.xlsx", workbook([list(COLUMNS), *ROWS]))
    frame = read_table(path, COLUMNS, key="id")
    as_expected(frame)
    assert frame.attrs["source"]["missing"] == {"age": {"": 1}, "score": {"": 1}, "seen": {"": 1}}


def test_parquet(tmp_path: Path) -> None:
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(COLUMNS)}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    as_expected(read_table(write(tmp_path, "table.parquet", out.getvalue()), COLUMNS, key="id"))


def stata(frame: pd.DataFrame, **options: Any) -> bytes:
    out = io.BytesIO()
    frame.to_stata(out, write_index=False, **options)
    return out.getvalue()


def test_stata(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=list(COLUMNS))
    frame["age"] = frame["age"].astype("float64")
    frame["seen"] = pd.to_datetime(frame["seen"])
    frame["arm"] = pd.Categorical(frame["arm"], categories=["usual", "conference"])
    path = write(tmp_path, "table.dta", stata(frame, convert_dates={"seen": "td"}))
    as_expected(read_table(path, COLUMNS, key="id"))


def test_stata_labels_for_text_and_codes_for_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"care": pd.Categorical(["no", "yes"], categories=["no", "yes"])})
    path = write(tmp_path, "table.dta", stata(frame))
    levels = {"type": "category", "levels": ["yes", "no"]}
    assert read_table(path, {"care": levels})["care"].tolist() == ["no", "yes"]
    assert read_table(path, {"care": "binary"})["care"].tolist() == [0, 1]


def test_stata_extended_missing_values_must_be_declared(tmp_path: Path) -> None:
    from pandas.io.stata import StataMissingValue

    value = StataMissingValue(102).value  # .b in a byte
    raw = stata(pd.DataFrame({"age": np.array([4, 5], dtype=np.int8)}))
    place = raw.rindex(bytes([4, 5]))
    path = write(tmp_path, "table.dta", raw[:place] + bytes([4, value]) + raw[place + 2 :])
    code = str(StataMissingValue(102))
    with pytest.raises(DataError, match="row 3, column 'age'"):
        read_table(path, {"age": {"type": "integer", "missing": [""]}})
    frame = read_table(path, {"age": {"type": "integer", "missing": [code]}})
    assert frame.attrs["source"]["missing"] == {"age": {code: 1}}


@pytest.mark.parametrize("wrap", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"])
def test_frames_in_memory(wrap: Any) -> None:
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(COLUMNS)}
    frame = wrap(columns)
    before = pickle_of(frame)
    as_expected(check_table(frame, COLUMNS, key="id"))
    assert pickle_of(frame) == before


def pickle_of(frame: Any) -> str:
    return str(frame.to_dict() if hasattr(frame, "to_dict") else frame.to_pydict())


def sheets(book: Any, sheet: Any, state: str = "visible") -> None:
    book.create_sheet("notes").sheet_state = state


def merged(_book: Any, sheet: Any) -> None:
    sheet.merge_cells("A2:A3")


def zeros(_book: Any, sheet: Any) -> None:
    sheet["A2"].number_format = "00000"


EXCEL = [
    ("two sheets", [["a"], ["x"]], sheets, {}, [("D14", None, None)], ("'children'", "'notes'", "sheet='children'")),
    ("hidden sheet", [["a"], ["x"]], lambda b, s: sheets(b, s, "hidden"), {}, [("D14", None, None)], ("'notes' (hidden)",)),
    ("very hidden sheet", [["a"], ["x"]], lambda b, s: sheets(b, s, "veryHidden"), {}, [("D14", None, None)], ("hidden",)),
    ("unknown sheet", [["a"], ["x"]], None, {"sheet": "child"}, [("D14", None, None)], ("did you mean 'children'",)),
    ("empty sheet", [], None, {}, [("D03", None, None)], ("empty",)),
    ("named empty sheet", [["a"], ["x"]], sheets, {"sheet": "notes"}, [("D03", None, None)], ("notes",)),
    ("header alone", [["a", "b"]], None, {}, [("D11", None, None)], ()),
    ("blank row", [["a"], ["x"], [None], ["y"]], None, {}, [("D13", 3, None)], ()),
    ("merged cells", [["a", "b"], ["x", 1], [None, 2]], merged, {}, [("D14", 2, "A"), ("D21", 3, "a")], ("A2:A3",)),
    ("title above the header", [["Table 1", None], ["a", "b"], ["x", "y"]], None, {}, [("D08", 1, "B"), ("D15", 1, "a")], ()),
    ("same name twice", [["a", "a"], ["x", "y"]], None, {}, [("D09", 1, "a")], ()),
    ("padded name", [["a "], ["x"]], None, {}, [("D10", 1, "a "), ("D15", 1, "a")], ()),
    ("formula never calculated", [["a", "b"], ["x", "=1+1"]], None, {}, [("D34", 2, "b")], ("B2",)),
    ("formula alone in the last row", [["a", "b"], ["x", 1], ["=A2", 2]], None, {}, [("D34", 3, "a")], ("A3",)),
    ("identifier as a number of 17 digits", [["a"], [12345678901234567]], None, {}, [("D30", 2, "a")], ("15 digits",)),
    ("identifier shown with zeros", [["a"], [123]], zeros, {}, [("D28", 2, "a")], ("00123",)),
    ("identifier turned into a date", [["a"], [DAY]], None, {}, [("D28", 2, "a")], ("2024-01-02",)),
    ("time with a date", [["a", "d"], ["x", DAY.replace(hour=10)]], None, {}, [("D23", 2, "d")], ("time",)),
    ("time alone", [["a", "d"], ["x", dt.time(10)]], None, {}, [("D20", 2, "d")], ("time",)),
    ("date as a day number", [["a", "d"], ["x", 45000]], None, {}, [("D23", 2, "d")], ("spreadsheet",)),
    ("date as ambiguous text", [["a", "d"], ["x", "01/02/2024"]], None, {}, [("D23", 2, "d")], ("ambiguous",)),
    ("number as text with comma", [["a", "b"], ["x", "1,5"]], None, {}, [("D20", 2, "b")], ("decimal point",)),
    ("decimals where whole numbers are declared", [["a", "b"], ["x", 1.5]], None, {}, [("D20", 2, "b")], ("whole",)),
    ("spreadsheet error", [["a", "b"], ["x", "#REF!"]], None, {}, [("D29", 2, "b")], ("formula",)),
    ("blank cell", [["a", "b"], ["x", None], ["y", 1]], None, {}, [("D21", 2, "b")], ('missing: [""]',)),
    ("true where a number is declared", [["a", "b"], ["x", True]], None, {}, [("D20", 2, "b")], ()),
]  # fmt: skip


@pytest.mark.parametrize("case", EXCEL, ids=[case[0] for case in EXCEL])
def test_hostile_workbook(case: tuple[Any, ...], tmp_path: Path) -> None:
    _, rows, change, options, expected, words = case
    columns = {
        "a": "text",
        "b": {"type": "integer", "required": False},
        "d": {"type": "date", "required": False},
    }
    path = write(tmp_path, "table.xlsx", workbook(rows, change=change))
    with pytest.raises(DataError) as caught:
        read_table(path, columns, **options)
    found = [(p.code, p.place.row, p.place.column) for p in caught.value.problems]
    if ("D09", 1, "a") not in expected:
        assert found == expected, str(caught.value)
    assert set(expected) <= set(found)
    text = str(caught.value)
    assert all(problem.fix and problem.place.file == "table.xlsx" for problem in caught.value.problems)
    assert all(word in text for word in words), text


def test_workbook_keeps_what_formatting_leaves_behind_out(tmp_path: Path) -> None:
    def widen(_book: Any, sheet: Any) -> None:
        sheet["F20"].font = openpyxl.styles.Font(bold=True)

    path = write(tmp_path, "table.xlsx", workbook([["a", "b"], ["x", 1]], change=widen))
    assert read_table(path, {"a": "text", "b": "integer"}).to_dict("list") == {"a": ["x"], "b": [1]}


def test_workbook_whole_numbers_and_booleans(tmp_path: Path) -> None:
    path = write(tmp_path, "table.xlsx", workbook([["a", "b", "c"], [3.0, True, 123]]))
    frame = read_table(path, {"a": "integer", "b": "binary", "c": "text"})
    assert frame.to_dict("list") == {"a": [3], "b": [1], "c": ["123"]}


def test_workbook_dates_where_a_form_is_declared_for_text(tmp_path: Path) -> None:
    path = write(tmp_path, "table.xlsx", workbook([["d"], [DAY], ["03/02/2024"]]))
    frame = read_table(path, {"d": {"type": "date", "format": "%d/%m/%Y"}})
    assert frame["d"].dt.strftime("%Y-%m-%d").tolist() == ["2024-01-02", "2024-02-03"]


def test_workbook_with_a_named_sheet(tmp_path: Path) -> None:
    path = write(tmp_path, "table.xlsx", workbook([["a"], ["x"]], change=sheets))
    assert read_table(path, sheet="children")["a"].tolist() == ["x"]


@pytest.mark.parametrize("name", ["table.xlsx", "table.parquet", "table.dta"])
@pytest.mark.parametrize(
    "content", [b"nonsense", b"PK\x03\x04broken", b"PAR1broken", b"\x00" * 200, b"a,b\n1,2\n"]
)
def test_damaged_files(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="D02") as caught:
        read_table(write(tmp_path, name, content))
    assert caught.value.problems[0].fix


@pytest.mark.parametrize("name", ["table.xlsx", "table.parquet", "table.dta"])
def test_empty_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="D03"):
        read_table(write(tmp_path, name, b""))


def test_truncated_files(tmp_path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": ["x"] * 100}), out)
    frame = pd.DataFrame({"a": np.arange(100.0)})
    for name, content in (
        ("table.xlsx", workbook([["a"], ["x"]])),
        ("table.parquet", out.getvalue()),
        ("table.dta", stata(frame)),
    ):
        with pytest.raises(DataError, match="D02"):
            read_table(write(tmp_path, name, content[: len(content) // 2]))


@pytest.mark.property
@pytest.mark.parametrize("kind", ["xlsx", "parquet", "dta"])
def test_files_with_bytes_changed_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": ["x", "y"], "b": [1.5, None], "d": [DAY, None]}), out)
    frame = pd.DataFrame({"a": pd.Categorical(["x", "y"]), "b": [1.5, np.nan]})
    raw = {"xlsx": workbook([["a", "b"], ["x", 1.5]]), "parquet": out.getvalue(), "dta": stata(frame)}[kind]
    rng = random.Random(kind)
    for _ in range(120):
        changed = bytearray(raw)
        for _ in range(rng.choice([1, 3, 10])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            read_table(write(tmp_path, f"table.{kind}", bytes(changed)), {"a": "text"})
        except DataError as error:
            assert all(problem.fix for problem in error.problems)


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("table.xlsx", "openpyxl", "excel"), ("table.parquet", "pyarrow", "parquet")]
)
def test_missing_package_names_the_line_to_run(
    name: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    content = b"PK\x03\x04" if extra == "excel" else b"PAR1"
    with pytest.raises(DataError, match="D02") as caught:
        read_table(write(tmp_path, name, content))
    assert f'python -m pip install "wwc-eval[{extra}]"' in str(caught.value)


def test_stata_labels_that_are_not_unique(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.array([1, 2], dtype=np.int8)})
    raw = stata(frame, value_labels={"a": {1: "yes", 2: "yes"}})
    with pytest.raises(DataError, match="unique value labels"):
        read_table(write(tmp_path, "table.dta", raw), {"a": {"type": "category", "levels": ["yes"]}})


MEMORY = [
    ("blank number", {"v": [1.0, np.nan]}, "integer", ("D21", 3)),
    ("None", {"v": ["x", None]}, "text", ("D21", 3)),
    ("NaT", {"v": [pd.Timestamp("2024-01-01"), pd.NaT]}, "date", ("D21", 3)),
    ("pandas NA", {"v": pd.array([1, None], dtype="Int64")}, "integer", ("D21", 3)),
    ("decimals", {"v": [1.0, 1.5]}, "integer", ("D20", 3)),
    ("infinite", {"v": [1.0, np.inf]}, "number", ("D20", 3)),
    ("identifier as a float", {"v": [1.0, 2.0**53 + 2]}, "text", ("D30", 3)),
    ("large float for a whole number", {"v": [1.0, 1e17]}, "integer", ("D30", 3)),
    ("large whole number", {"v": [1, 2**70]}, "integer", ("D30", 3)),
    ("large whole number for a number", {"v": [1, 2**53 + 1]}, "number", ("D30", 3)),
    ("unsigned beyond 64 bits", {"v": np.array([1, 2**63], dtype=np.uint64)}, "integer", ("D30", 3)),
    ("list", {"v": ["x", ["y"]]}, "text", ("D20", 3)),
    ("mapping", {"v": ["x", {"y": 1}]}, "text", ("D20", 3)),
    ("bytes", {"v": ["x", b"y"]}, "text", ("D20", 3)),
    ("complex", {"v": [1, 1j]}, "number", ("D20", 2)),
    ("time span", {"v": [pd.Timedelta(days=1), pd.Timedelta(days=2)]}, "number", ("D20", 2)),
    ("time of day", {"v": pd.to_datetime(["2024-01-01 00:00", "2024-01-02 10:00"])}, "date", ("D23", 3)),
    ("time zone", {"v": pd.to_datetime(["2024-01-01"], utc=True)}, "date", ("D23", 2)),
    ("date where text is declared", {"v": pd.to_datetime(["2024-01-01"])}, "text", ("D28", 2)),
    ("two where binary is declared", {"v": [1, 2]}, "binary", ("D20", 3)),
    ("text where a number is declared", {"v": [1, "two"]}, "number", ("D20", 3)),
    ("padded category", {"v": pd.Categorical(["usual", "usual "])}, {"type": "category", "levels": ["usual"]}, ("D27", 3)),
    ("period", {"v": [pd.Period("2024-01")]}, "date", ("D20", 2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "declared", "expected"), [case[1:] for case in MEMORY], ids=[case[0] for case in MEMORY]
)
def test_hostile_frame(columns: Any, declared: Any, expected: tuple[str, int]) -> None:
    with pytest.raises(DataError) as caught:
        check_table(pd.DataFrame(columns), {"v": declared}, name="children")
    first = caught.value.problems[0]
    assert (first.code, first.place.row, first.place.column) == (*expected, "v")
    assert first.place.file == "children"
    assert first.fix


@pytest.mark.parametrize(
    ("values", "declared", "expected"),
    [
        ([3.0, 4.0], "integer", [3, 4]),
        ([3.0, 4.0], "text", ["3", "4"]),
        (np.array([3, 4], dtype=np.uint8), "number", [3.0, 4.0]),
        (np.array([0.5, 4], dtype=np.float32), "number", [0.5, 4.0]),
        ([True, False], "binary", [1, 0]),
        ([1.0, 0.0], "binary", [1, 0]),
        ([Decimal("1.50"), Decimal(2)], "number", [1.5, 2.0]),
        ([2**62 + 1, 4], "integer", [2**62 + 1, 4]),
        (["1", 2], "integer", [1, 2]),
        (np.array([1e300, 1e-300]), "number", [1e300, 1e-300]),
        (pd.Categorical([1, 2]), "integer", [1, 2]),
        (pd.Categorical(["b", "a"]), {"type": "category", "levels": ["b", "a"]}, ["b", "a"]),
    ],
)
def test_lossless_values_pass(values: Any, declared: Any, expected: list[Any]) -> None:
    assert check_table(pd.DataFrame({"v": values}), {"v": declared})["v"].tolist() == expected


def test_blank_values_pass_where_any_code_is_declared() -> None:
    frame = check_table(
        pd.DataFrame({"v": [1, None], "w": [-99.0, 2.5]}),
        {"v": {"type": "integer", "missing": ["nk"]}, "w": {"type": "number", "missing": ["-99"]}},
    )
    assert frame.isna().to_dict("list") == {"v": [False, True], "w": [True, False]}


def test_index_is_kept_and_never_read() -> None:
    frame = pd.DataFrame({"v": [1, 2]}, index=pd.Index(["p", "q"], name="id"))
    assert check_table(frame, {"v": "integer"}).index.tolist() == ["p", "q"]
    with pytest.raises(DataError, match=r"reset_index\(\)"):
        check_table(frame, {"v": "integer", "id": "text"})


def test_columns_named_twice_or_not_by_text() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["v", "v"])
    with pytest.raises(DataError, match="D09"):
        check_table(frame, {"v": "integer"})
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["v", "v"])
    with pytest.raises(DataError, match=r"D51|D09"):
        check_table(twice, {"v": "integer"})
    assert check_table(pd.DataFrame([[1]]), {"0": "integer"})["0"].tolist() == [1]


@pytest.mark.parametrize("table", [None, {"v": [1]}, [[1]], "table.csv", pl.LazyFrame({"v": [1]})])
def test_what_is_no_frame(table: Any) -> None:
    with pytest.raises(DataError, match="D51"):
        check_table(table, {"v": "integer"})


def test_frame_without_rows() -> None:
    with pytest.raises(DataError, match="D11"):
        check_table(pd.DataFrame({"v": []}), {"v": "integer"})


def test_checked_again_nothing_changes(tmp_path: Path) -> None:
    path = write(tmp_path, "table.xlsx", workbook([list(COLUMNS), *ROWS]))
    once = read_table(path, COLUMNS, key="id")
    twice = check_table(once, COLUMNS, key="id")
    pd.testing.assert_frame_equal(once, twice)
