"""What is written is read back the same, and a table as messy as real returns is reported whole."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wwc_eval.data import ColumnSpec, check_table, read_table, write_csv
from wwc_eval.data.explain import text_fault
from wwc_eval.errors import DataError

pytestmark = pytest.mark.property

PLAIN = ColumnSpec(name="text", type="text")
LEVELS = ["usual", "family conference", "café", "NA"]
COLUMNS: dict[str, Any] = {
    "key": {"type": "text", "unique": True},
    "text": {"type": "text", "missing": [""]},
    "integer": {"type": "integer", "missing": [""]},
    "number": {"type": "number", "missing": [""]},
    "category": {"type": "category", "levels": LEVELS, "missing": [""]},
    "date": {"type": "date", "missing": [""]},
    "binary": {"type": "binary", "missing": [""]},
}

texts = (
    st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=12)
    | st.sampled_from(
        ['a,"b"', "two\nlines", "two\r\nlines", "00123", "12345678901234567", ";", "'x", "1e5", "1.0"]
    )
).filter(lambda text: text_fault(text, PLAIN) is None and text[0] not in "=+-@＝＋－＠")
keys = st.integers(0, 10**17 - 1).map(lambda number: f"{number:017d}")
rows = st.tuples(
    keys,
    st.none() | texts,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.sampled_from(LEVELS),
    st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31)),
    st.none() | st.sampled_from([0, 1]),
)
tables = st.lists(rows, min_size=1, max_size=12, unique_by=lambda row: row[0])


def typed(table: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns = dict(zip(COLUMNS, zip(*table, strict=True), strict=True))
    frame = pd.DataFrame({"key": columns["key"], "text": pd.Series(columns["text"], dtype="object")})
    for name in ("integer", "binary"):
        frame[name] = pd.array(columns[name], dtype="Int64")
    frame["number"] = np.array([np.nan if cell is None else cell for cell in columns["number"]])
    frame["category"] = pd.Categorical(columns["category"], categories=LEVELS)
    frame["date"] = pd.to_datetime(pd.Series(columns["date"], dtype="object"))
    return frame[list(COLUMNS)]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables)
def test_written_and_read_back(table: list[tuple[Any, ...]], tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_csv(typed(table), path)
    frame = read_table(path, COLUMNS, key="key")
    for position, name in enumerate(COLUMNS):
        read = [None if pd.isna(cell) else cell for cell in frame[name].tolist()]
        wanted = [row[position] for row in table]
        if name == "date":
            read = [None if cell is None else cell.date() for cell in read]
        assert read == wanted


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables)
def test_read_frames_pass_their_own_check_unchanged(table: list[tuple[Any, ...]], tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_csv(typed(table), path)
    frame = read_table(path, COLUMNS, key="key")
    pd.testing.assert_frame_equal(check_table(frame, COLUMNS, key="key"), frame)
    pd.testing.assert_frame_equal(check_table(typed(table), COLUMNS, key="key"), frame)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables, data=st.data())
def test_form_of_the_file_makes_no_difference(
    table: list[tuple[Any, ...]], data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    write_csv(typed(table), path)
    frame = read_table(path, COLUMNS, key="key")
    raw = path.read_bytes()
    encoding = data.draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-32"]))
    path.write_bytes(raw.decode().encode(encoding))
    pd.testing.assert_frame_equal(read_table(path, COLUMNS, key="key", encoding=encoding), frame)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=200) | st.text("a,b\n\r\";\t01/-.eEnN '\x00é\u00a0", max_size=60).map(str.encode)
)
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    for columns in (None, {"a": "integer", "b": {"type": "date", "missing": [""]}}):
        try:
            frame = read_table(path, columns)
        except DataError as error:
            assert all(problem.fix and problem.code for problem in error.problems)
        else:
            assert len(frame) > 0


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=12) | st.floats().map(repr) | st.integers().map(str) | st.dates().map(str),
    kind=st.sampled_from(["integer", "number", "binary", "date", "category", "text", "local_authority"]),
)
def test_any_cell_is_kept_exactly_or_refused(text: str, kind: str) -> None:
    spec = {"type": kind} | ({"levels": ["usual"]} if kind == "category" else {})
    try:
        value = check_table(pd.DataFrame({"v": pd.Series([text], dtype="object")}), {"v": spec})["v"].iloc[0]
    except DataError as error:
        assert [(problem.place.row, problem.place.column) for problem in error.problems] == [(2, "v")]
        assert str(error)
    else:
        kept = {"integer": int, "binary": int, "number": float}.get(kind, str)
        assert value == (pd.Timestamp(text) if kind == "date" else kept(text))
        assert kind != "integer" or str(value) in {text, text.removeprefix("-")}


AUTHORITIES = ["Derby", "Leeds", "Kent", "Bristol", "Stoke-on-Trent", "Brighton and Hove", "North Tyneside"]
MESSY: dict[str, Any] = {
    "child_id": "text",
    "la": "local_authority",
    "arm": {"type": "category", "levels": ["usual", "conference"]},
    "referred_on": "date",
    "age": {"type": "integer", "min": 0, "max": 17, "units": "years"},
    "rate": {"type": "number", "missing": ["c", "z"]},
    "in_care": {"type": "binary", "missing": [""]},
    "upn": {"type": "text", "pattern": "[A-Z][0-9]{12}", "missing": [""]},
}
# what goes wrong in a return: column, cell, code, number of rows
FAULTS = [
    ("la", "Stoke on Trent", "D31", 40),
    ("la", "Derby ", "D27", 25),
    ("arm", "Usual", "D22", 120),
    ("arm", "", "D21", 12),
    ("referred_on", "01/02/2023", "D23", 300),
    ("referred_on", "2023-02-30", "D23", 5),
    ("age", "122", "D24", 3),
    ("age", "-1", "D24", 57),
    ("age", "n/a", "D21", 80),
    ("age", "7.0", "D20", 60),
    ("rate", "1,234", "D20", 90),
    ("rate", "x", "D21", 70),
    ("in_care", "TRUE", "D20", 45),
    ("upn", "D05191063938", "D25", 30),
    ("upn", "1.23E+12", "D28", 15),
]


def messy_rows(n: int) -> tuple[list[dict[str, str]], Counter[tuple[str, str]], dict[tuple[int, str], str]]:
    """Clean rows with planted faults; counts by code and column, and the code by spreadsheet row and column."""
    rng = random.Random(20240229)
    rows = [
        {
            "child_id": f"{rng.randrange(10**11):011d}{i:06d}",
            "la": rng.choice(AUTHORITIES),
            "arm": rng.choice(["usual", "conference"]),
            "referred_on": str(dt.date(2021, 1, 1) + dt.timedelta(days=rng.randrange(900))),
            "age": str(rng.randrange(18)),
            "rate": rng.choice(["c", "z", f"{rng.uniform(20, 200):.1f}"]),
            "in_care": rng.choice(["0", "1", ""]),
            "upn": rng.choice(["", f"D{rng.randrange(10**12):012d}"]),
            "note": rng.choice(["", "NA", 'said "no"\nthen yes', "Zoë, aged 4"]),
        }
        for i in range(n)
    ]
    planted: dict[tuple[int, str], str] = {}
    spare = list(range(n))
    rng.shuffle(spare)
    for column, cell, code, times in FAULTS:
        for _ in range(times):
            position = spare.pop()
            rows[position][column] = cell
            planted[position + 2, column] = code
    for _ in range(20):  # the same child returned twice
        first, second = spare.pop(), spare.pop()
        rows[second]["child_id"] = rows[first]["child_id"]
        planted[first + 2, "child_id"] = planted[second + 2, "child_id"] = "D32"
    counts = Counter((code, column) for (_, column), code in planted.items())
    return rows, counts, planted


def test_a_messy_return_of_27_000_rows_is_reported_whole(tmp_path: Path) -> None:
    rows, counts, planted = messy_rows(27_000)
    path = tmp_path / "return.csv"
    write_csv(pd.DataFrame(rows), path)
    with pytest.raises(DataError) as caught:
        read_table(path, MESSY, key="child_id")
    problems = caught.value.problems
    assert Counter((problem.code, problem.place.column) for problem in problems) == counts
    assert {(p.place.row, p.place.column): p.code for p in problems} == planted
    frame = caught.value.to_frame()
    assert len(frame) == len(planted)
    assert frame["fix"].notna().all()
    shown = str(caught.value)
    assert all(f"{code}: " in shown and f"column '{column}'" in shown for code, column in counts)
    assert "and in 304 more rows" in shown  # 305 dates: the first stands for all of them


def test_the_same_return_repaired_is_read(tmp_path: Path) -> None:
    rows, _, planted = messy_rows(27_000)
    clean = [
        row for number, row in enumerate(rows, start=2) if not any((number, name) in planted for name in MESSY)
    ]
    path = tmp_path / "return.csv"
    write_csv(pd.DataFrame(clean), path)
    frame = read_table(path, MESSY, key="child_id")
    assert frame["child_id"].tolist() == [row["child_id"] for row in clean]
    assert frame.attrs["ignored_columns"] == ["note"]
    missing = Counter(row["rate"] for row in clean if row["rate"] in "cz")
    assert frame.attrs["source"]["missing"]["rate"] == dict(missing)
