"""Joins: rows are never multiplied, never lost without a word, and keys are never bent to fit."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwc_eval.data import join_tables
from wwc_eval.errors import DataError

CHILDREN = pd.DataFrame(
    {"child": ["a", "b", "c"], "la": ["Derby", "Kent", "Derby"], "age": [4, 5, 6]}, index=[10, 20, 30]
)
AUTHORITIES = pd.DataFrame({"la": ["Kent", "Derby"], "children": [300, 50], "city": [False, True]})


def test_many_to_one_keeps_rows_order_and_index() -> None:
    before = CHILDREN.copy()
    joined = join_tables(CHILDREN, AUTHORITIES, on="la")
    assert joined.index.tolist() == [10, 20, 30]
    assert joined.to_dict("list") == {
        "child": ["a", "b", "c"],
        "la": ["Derby", "Kent", "Derby"],
        "age": [4, 5, 6],
        "children": [50, 300, 50],
        "city": [True, False, True],
    }
    assert str(joined["children"].dtype) == "int64"
    pd.testing.assert_frame_equal(CHILDREN, before)


def test_report_of_the_join() -> None:
    right = AUTHORITIES.assign(la=["Kent", "York"])
    joined = join_tables(CHILDREN, right, on="la", unmatched_left="report", unmatched_right="report")
    assert joined.attrs["join"] == {
        "on": {"la": "la"},
        "how": "many_to_one",
        "matched": 1,
        "left_only": 2,
        "right_only": 1,
        "left_only_keys": ["Derby"],
        "right_only_keys": ["York"],
    }
    assert str(joined["children"].dtype) == "Int64"
    assert joined["children"].isna().tolist() == [True, False, True]
    assert str(joined["city"].dtype) == "boolean"


def test_attributes_of_the_left_table_stay() -> None:
    left = CHILDREN.copy()
    left.attrs["source"] = {"file": "children.csv"}
    assert join_tables(left, AUTHORITIES, on="la").attrs["source"] == {"file": "children.csv"}
    assert "join" not in left.attrs


def test_keys_of_different_names_and_of_several_columns() -> None:
    left = pd.DataFrame({"la": ["x", "x", "y"], "year": [1, 2, 1]})
    right = pd.DataFrame({"name": ["y", "x", "x"], "year": [1, 2, 1], "rate": [3.0, 2.0, 1.0]})
    joined = join_tables(left, right, on={"la": "name", "year": "year"}, how="one_to_one")
    assert joined["rate"].tolist() == [1.0, 2.0, 3.0]
    assert list(joined.columns) == ["la", "year", "rate"]


def test_other_libraries() -> None:
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    left = {"la": ["Derby", "Kent"], "n": [1, 2]}
    right = {"la": ["Kent", "Derby"], "m": [3, 4]}
    for wrap in (pl.DataFrame, pa.table):
        assert join_tables(wrap(left), wrap(right), on="la")["m"].tolist() == [4, 3]


def test_types_survive_gaps() -> None:
    right = pd.DataFrame(
        {
            "la": ["Kent"],
            "arm": pd.Categorical(["usual"], categories=["usual", "other"]),
            "since": pd.to_datetime(["2024-01-01"]),
            "rate": [1.5],
            "note": ["x"],
        }
    )
    joined = join_tables(CHILDREN, right, on="la", unmatched_left="report")
    assert joined["arm"].cat.categories.tolist() == ["usual", "other"]
    assert joined["since"].dtype.kind == "M"
    assert joined["rate"].dtype.kind == "f"
    assert joined.loc[20, "note"] == "x"
    assert joined.loc[10].isna().sum() == 4


LEFT = {"la": ["Derby", "Kent"], "n": [1, 2]}
RIGHT = {"la": ["Kent", "Derby"], "m": [3, 4]}
HOSTILE: list[tuple[str, Any, Any, dict[str, Any], list[tuple[str, int | None, str | None]], str]] = [
    ("column not in the left", LEFT, RIGHT, {"on": "LA"}, [("D40", None, "LA"), ("D40", None, "LA")], "did you mean 'la'"),
    ("column not in the right", LEFT, RIGHT, {"on": {"la": "name"}}, [("D40", None, "name")], "right table"),
    ("repeated on the right", LEFT, {"la": ["Kent", "Derby", "Kent"], "m": [1, 2, 3]}, {}, [("D41", 2, "la"), ("D41", 4, "la")], "rows 2 and 4"),
    ("repeated on the left", {"la": ["Kent", "Kent", "Derby"]}, RIGHT, {"how": "one_to_one"}, [("D41", 2, "la"), ("D41", 3, "la")], "multiply"),
    ("no match on the left", {"la": ["Derby", "Kent", "York"]}, RIGHT, {}, [("D42", 4, "la")], "unmatched_left"),
    ("no match on the right", {"la": ["Derby"]}, RIGHT, {}, [("D42", 2, "la")], "unmatched_right"),
    ("no match on both sides", {"la": ["Derby", "York"]}, RIGHT, {}, [("D42", 3, "la"), ("D42", 2, "la")], "unmatched_right"),
    ("another spelling", {"la": ["Derby", "KENT"]}, RIGHT, {"unmatched_right": "report"}, [("D42", 3, "la")], "did you mean 'Kent'"),
    ("padded key", {"la": ["Derby ", "Kent"]}, RIGHT, {"unmatched_right": "report"}, [("D42", 2, "la")], "did you mean 'Derby'"),
    ("leading zeros", {"id": ["007"]}, {"id": ["7"]}, {"on": "id"}, [("D42", 2, "id"), ("D42", 2, "id")], "correct the key"),
    ("same column in both", {"la": ["Derby", "Kent"], "m": [1, 2]}, RIGHT, {}, [("D43", None, "m")], "rename"),
    ("number and text", {"la": [1, 2]}, {"la": ["1", "2"]}, {}, [("D44", None, "la")], "numbers"),
    ("date and text", {"la": pd.to_datetime(["2024-01-01"])}, {"la": ["2024-01-01"]}, {}, [("D44", None, "la")], "dates"),
    ("blank on the left", {"la": ["Derby", None]}, RIGHT, {}, [("D45", 3, "la")], "no key"),
    ("blank on both sides", {"la": ["Derby", None]}, {"la": ["Derby", None]}, {}, [("D45", 3, "la"), ("D45", 3, "la")], "no key"),
    ("column twice", pd.DataFrame([["x", "y"]], columns=["la", "la"]), RIGHT, {}, [("D09", None, "la")], "two columns"),
    ("unknown kind of join", LEFT, RIGHT, {"how": "many_to_many"}, [("", None, None)], "many_to_one"),
    ("unknown rule", LEFT, RIGHT, {"unmatched_left": "drop"}, [("", None, None)], "report"),
    ("no key at all", LEFT, RIGHT, {"on": []}, [("D51", None, None)], "each once"),
    ("key twice", LEFT, RIGHT, {"on": ["la", "la"]}, [("D51", None, None)], "each once"),
    ("no frame", {"la": ["x"]}, None, {}, [("D51", None, None)], "not a data frame"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("left", "right", "options", "expected", "word"),
    [case[1:] for case in HOSTILE],
    ids=[case[0] for case in HOSTILE],
)
def test_hostile_join(left: Any, right: Any, options: Any, expected: Any, word: str) -> None:
    left = pd.DataFrame(left)
    right = right if right is None else pd.DataFrame(right)
    with pytest.raises(DataError) as caught:
        join_tables(left, right, **({"on": "la"} | options))
    found = [(problem.code, problem.place.row, problem.place.column) for problem in caught.value.problems]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert word in str(caught.value)
    assert all(problem.fix for problem in caught.value.problems)


def test_names_of_the_tables_stand_in_messages() -> None:
    with pytest.raises(DataError, match="children table is not in the authorities table"):
        join_tables(
            pd.DataFrame({"la": ["York"]}), AUTHORITIES, on="la", left_name="children", right_name="authorities"
        )


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(
    left=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=30),
    right=st.lists(st.sampled_from("abcdefg"), min_size=1, unique=True),
)
def test_rows_are_those_of_the_left_table(left: list[str], right: list[str]) -> None:
    first = pd.DataFrame({"k": left, "row": range(len(left))})
    second = pd.DataFrame({"k": right, "upper": [key.upper() for key in right]})
    joined = join_tables(first, second, on="k", unmatched_left="report", unmatched_right="report")
    assert joined["row"].tolist() == list(range(len(left)))
    wanted = [key.upper() if key in right else None for key in left]
    assert [None if pd.isna(cell) else cell for cell in joined["upper"]] == wanted
    report = joined.attrs["join"]
    assert report["matched"] + report["left_only"] == len(left)
    assert report["right_only"] == len(set(right) - set(left))
