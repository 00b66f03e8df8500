"""Conditions: what is read, how it is written back, and its truth with missing values."""

from __future__ import annotations

import datetime as dt
import pickle

import numpy as np
import pandas as pd
import pytest

from wwc_eval.errors import DataError, FormulaError
from wwc_eval.formula import parse_condition

CANONICAL = [
    ("age>=4", "age >= 4"),
    ("4 <= age", "4 <= age"),
    ("age == -1", "age == -1"),
    ("x < 1.50", "x < 1.5"),
    ("x < 1e3", "x < 1000.0"),
    ("la == 'Leeds'", "la == 'Leeds'"),
    ('la == "Leeds"', "la == 'Leeds'"),
    ('la == "King\'s Lynn"', 'la == "King\'s Lynn"'),
    ("la == 'King''s Lynn'", 'la == "King\'s Lynn"'),
    ("la == 'a''b\"c'", "la == 'a''b\"c'"),
    ("la in ['A','B']", "la in ['A', 'B']"),
    ("la not in ['A', 'A']", "la not in ['A']"),
    ("n in [1, 2.5, -3]", "n in [1, 2.5, -3]"),
    ("family_id in withdrawn", "family_id in withdrawn"),
    ("family_id not in `my list`", "family_id not in `my list`"),
    ("sex is missing", "sex is missing"),
    ("sex is not missing", "sex is not missing"),
    ("a == 1 and b == 2 and c == 3", "a == 1 and b == 2 and c == 3"),
    ("a == 1 or b == 2 and c == 3", "a == 1 or (b == 2 and c == 3)"),
    ("(a == 1 or b == 2) and c == 3", "(a == 1 or b == 2) and c == 3"),
    ("((a == 1)) and (b == 2 and c == 3)", "a == 1 and b == 2 and c == 3"),
    ("not a == 1", "not a == 1"),
    ("not a == 1 and b == 2", "not a == 1 and b == 2"),
    ("not (a == 1 and b == 2)", "not (a == 1 and b == 2)"),
    ("not not a == 1", "not not a == 1"),
    ("a != b", "a != b"),
    ("`looked after` == 1", "`looked after` == 1"),
    ("`in` == 1 and `NA` is missing", "`in` == 1 and `NA` is missing"),
    ("a == 1\n  and b == 2", "a == 1 and b == 2"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_canonical_text(text, canonical):
    condition = parse_condition(text)
    assert condition.text == str(condition) == canonical
    assert parse_condition(canonical) == condition
    assert parse_condition(canonical).text == canonical
    assert pickle.loads(pickle.dumps(condition)) == condition


def test_columns_and_lists():
    condition = parse_condition("a > b and (c in wanted or d is missing) and not e in ['x'] and 3 < f")
    assert condition.columns == {"a", "b", "c", "d", "e", "f"}
    assert condition.names == {"wanted"}


ERRORS = [
    ("", None, "empty"),
    ("a", 1, "a == 1 for a flag"),
    ("a and b == 1", 1, "compared with nothing"),
    ("(a) == 1", 2, "compared with nothing"),
    ("a = 1", 3, "write =="),
    ("a <> 1", 3, "write !="),
    ("a == 1 & b == 1", 8, "'and'"),
    ("a == 1 | b == 1", 8, "'or'"),
    ("!a == 1", 1, "'not'"),
    ("a == 1 AND b == 1", 8, "write 'and'"),
    ("4 <= a <= 5", 8, "by 'and'"),
    ("a == NA", 6, "is missing"),
    ("a == None", 6, "is missing"),
    ("a == true", 6, "1 or 0"),
    ("a is null", 6, "is missing"),
    ("a not missing", 7, "is not missing"),
    ("1 == 2", 3, "column on one side"),
    ("'a' in ['a']", 1, "name a column"),
    ("3 is missing", 1, "name a column"),
    ("a in ['x', 1]", 13, "quote all"),
    ("a in []", 7, "at least one"),
    ("a in ('x')", 6, "\\['a', 'b'\\]"),
    ("a in [b]", 7, "in quotes"),
    ("a in ['x'", 10, "close the list"),
    ("a == leeds city", 12, "backquotes"),
    ("a + 1 > 2", 3, "no arithmetic"),
    ("a - 1 > 2", 3, "no arithmetic"),
    ("len(a) == 1", 1, "no functions"),
    ("a[0] == 1", 1, "in \\[values\\]"),
    ("a == 007", 6, "'007' in quotes"),
    ("a == 'x", 6, "not closed"),
    ("a == 1e301", 6, "too large"),
    ("a ==", 5, "ends where"),
    ("(a == 1", 8, "close the bracket"),
    ("a == 1)", 7, "not expected"),
    ("and == 1", 1, "`and`"),
]


@pytest.mark.parametrize(("text", "character", "advice"), ERRORS)
def test_errors_point_at_the_character_and_help(text, character, advice):
    with pytest.raises(FormulaError, match=advice) as caught:
        parse_condition(text)
    assert caught.value.problems[0].place.character == character


# --- truth

T, F, M = True, False, None
SIDES = [(left, right) for left in (T, F, M) for right in (T, F, M)]


def _truth(text, data, **options):
    found = parse_condition(text).evaluate(pd.DataFrame(data), **options)
    assert found.dtype == "boolean"
    return [None if value is pd.NA else bool(value) for value in found]


def test_three_valued_logic():
    data = {
        "a": pd.array([left for left, _ in SIDES], dtype="boolean"),
        "b": pd.array([right for _, right in SIDES], dtype="boolean"),
    }
    assert _truth("a == 1 and b == 1", data) == [T, F, M, F, F, F, M, F, M]
    assert _truth("a == 1 or b == 1", data) == [T, T, T, T, F, M, T, M, M]
    assert _truth("not a == 1", data) == [F, F, F, T, T, T, M, M, M]
    assert _truth("a == b", data) == [T, F, M, F, T, M, M, M, M]
    assert _truth("a is missing", data) == [F] * 6 + [T] * 3
    assert _truth("a is not missing and b == 1", data) == [T, F, M, T, F, M, F, F, F]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float64", "Float64", "object", "int64[pyarrow]", "uint8"])
def test_numbers_of_every_type(dtype):
    data = {"x": pd.array([1, 2, 3], dtype=dtype) if dtype != "object" else np.array([1, 2, 3], dtype=object)}
    assert _truth("x < 2", data) == [T, F, F]
    assert _truth("x <= 2", data) == [T, T, F]
    assert _truth("x > 2", data) == [F, F, T]
    assert _truth("x >= 2.5", data) == [F, F, T]
    assert _truth("2 < x", data) == [F, F, T]
    assert _truth("2 >= x", data) == [T, T, F]
    assert _truth("x == 2", data) == [F, T, F]
    assert _truth("x != 2", data) == [T, F, T]
    assert _truth("x in [1, 3.0]", data) == [T, F, T]
    assert _truth("x not in [1, 3]", data) == [F, T, F]


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_missing_numbers(missing):
    data = {"x": pd.array([1, missing, 3], dtype="Int64")}
    assert _truth("x >= 2", data) == [F, M, T]
    assert _truth("x != 2", data) == [T, M, T]
    assert _truth("x in [3]", data) == [F, M, T]
    assert _truth("x not in [3]", data) == [T, M, F]


def test_long_keys_are_compared_exactly():
    data = {"key": pd.array([10**17 + 1, 10**17 + 2, None], dtype="Int64")}
    assert _truth(f"key == {10**17 + 1}", data) == [T, F, M]
    assert _truth(f"key > {10**17 + 1}", data) == [F, T, M]
    assert _truth("key in kept", data, lists={"kept": [10**17 + 2]}) == [F, T, M]


@pytest.mark.parametrize(
    "values",
    [
        ["A", "B", None],
        np.array(["A", "B", None], dtype=object),
        pd.array(["A", "B", None], dtype="string"),
        pd.Categorical(["A", "B", None], categories=["B", "A"]),
    ],
)
def test_text_of_every_type(values):
    data = {"la": values}
    assert _truth("la == 'A'", data) == [T, F, M]
    assert _truth("'A' != la", data) == [F, T, M]
    assert _truth("la in ['A', 'B']", data) == [T, T, M]
    assert _truth("la not in gone", data, lists={"gone": {"B"}}) == [T, F, M]
    assert _truth("la is missing", data) == [F, F, T]


def test_flags():
    data = {"f": [True, False, True]}
    assert _truth("f == 1", data) == [T, F, T]
    assert _truth("f == 0", data) == [F, T, F]
    assert _truth("f in [1]", data) == [T, F, T]
    with pytest.raises(FormulaError, match="1 or 0"):
        _truth("f == 2", data)


@pytest.mark.parametrize(
    "dates",
    [
        pd.to_datetime(["2024-01-31", "2024-02-01", None]),
        pd.to_datetime(["2024-01-31", "2024-02-01", None]).astype("datetime64[s]"),
        np.array([dt.date(2024, 1, 31), dt.date(2024, 2, 1), None], dtype=object),
        pd.array([dt.date(2024, 1, 31), dt.date(2024, 2, 1), None], dtype="date32[pyarrow]"),
    ],
)
def test_dates(dates):
    data = {"day": dates}
    assert _truth("day < '2024-02-01'", data) == [T, F, M]
    assert _truth("'2024-02-01' <= day", data) == [F, T, M]
    assert _truth("day == '2024-01-31'", data) == [T, F, M]
    assert _truth("day in ['2024-01-31', '2023-01-01']", data) == [T, F, M]
    assert _truth("day in days", data, lists={"days": [dt.date(2024, 2, 1)]}) == [F, T, M]
    assert _truth("day in days", data, lists={"days": pd.to_datetime(["2024-02-01"])}) == [F, T, M]
    assert _truth("day >= '2024-01-31T12:00'", data) == [F, T, M]


@pytest.mark.parametrize(
    "value", ["'31/01/2024'", "'2024-1-31'", "'2024-02-30'", "'20240131'", "'2024-W05-3'", "20240131"]
)
def test_dates_are_iso(value):
    with pytest.raises(FormulaError, match="2024-03-31"):
        _truth(f"day == {value}", {"day": pd.to_datetime(["2024-01-31"])})


def test_dates_with_a_time_zone_are_refused():
    data = {"day": pd.to_datetime(["2024-01-31"]).tz_localize("Europe/London")}
    for text in ("day == '2024-01-31'", "day in ['2024-01-31']"):
        with pytest.raises(FormulaError, match="time zone"):
            _truth(text, data)


def test_columns_against_columns():
    data = {
        "a": [1.0, 2.0, np.nan],
        "b": [2, 1, 3],
        "s": ["x", "y", None],
        "t": pd.Categorical(["x", "z", "x"]),
        "d": pd.to_datetime(["2024-01-01", "2024-01-02", None]),
        "e": pd.to_datetime(["2024-01-02"] * 3),
    }
    assert _truth("a < b", data) == [T, F, M]
    assert _truth("s == t", data) == [T, F, M]
    assert _truth("s != t", data) == [F, T, M]
    assert _truth("d < e", data) == [T, F, M]
    for text in ("a == s", "d > a", "s < t"):
        with pytest.raises(FormulaError, match=r"compared|order"):
            _truth(text, data)


CLASHES = [
    ("text < 3", "write '3' in quotes"),
    ("text == 3", "write '3' in quotes"),
    ("text < 'b'", "cannot order"),
    ("group > 'usual'", "cannot order"),
    ("text in [1, 2]", "in quotes"),
    ("number == '3'", "drop the quotes"),
    ("number in ['3']", "drop the quotes"),
    ("number < '2024-01-01'", "drop the quotes"),
    ("day == 3", "2024-03-31"),
    ("day == 'x'", "2024-03-31"),
    ("group == 'programe'", "did you mean 'programme'"),
    ("group in ['programe']", "did you mean 'programme'"),
    ("mixed == 1", "one type"),
    ("text in numbers", "give the list as text"),
    ("number in texts", "give the list as numbers"),
]


@pytest.mark.parametrize(("text", "advice"), CLASHES)
def test_types_that_do_not_go_together(text, advice):
    data = {
        "text": ["a", "b"],
        "number": [1, 2],
        "day": pd.to_datetime(["2024-01-01", "2024-01-02"]),
        "group": pd.Categorical(["usual", "programme"]),
        "mixed": np.array([1, "a"], dtype=object),
    }
    with pytest.raises(FormulaError, match=advice) as caught:
        _truth(text, data, lists={"numbers": [1, 2], "texts": ["a"]})
    (problem,) = caught.value.problems
    assert problem.place.column in data
    assert problem.fix


def test_a_column_that_is_missing_everywhere_fits_anything():
    for values in ([None, None], [np.nan, np.nan], [pd.NaT, pd.NaT]):
        data = {"x": pd.Series(values), "s": ["a", "b"]}
        for text in ("x == 'a'", "x < 3", "x in ['a']", "x == s", "s == x"):
            assert _truth(text, data) == [M, M]
        assert _truth("x is missing or s == 'a'", data) == [T, T]


def test_unknown_names():
    data = {"age": [1], "arm": ["a"]}
    with pytest.raises(FormulaError) as caught:
        _truth("agee == 1 and armm == 'a'", data)
    assert [problem.fix for problem in caught.value.problems] == ["did you mean 'age'?", "did you mean 'arm'?"]
    with pytest.raises(FormulaError, match="did you mean 'withdrawn'"):
        _truth("arm in withdrawnn", data, lists={"withdrawn": ["a"]})


def test_senseless_lists():
    data = {"arm": ["a", None]}
    with pytest.raises(FormulaError, match="missing value"):
        _truth("arm in gone", data, lists={"gone": ["a", None]})
    with pytest.raises(FormulaError, match="single text"):
        _truth("arm in gone", data, lists={"gone": "a"})
    assert _truth("arm in gone", data, lists={"gone": []}) == [F, M]
    assert _truth("arm not in gone", data, lists={"gone": []}) == [T, M]
    assert _truth("arm in gone", data, lists={"gone": pd.Series(["a", "b"])}) == [T, M]


def test_the_index_is_kept_and_the_frame_left_alone():
    data = pd.DataFrame({"x": [1, 2]}, index=["p", "q"])
    before = data.copy(deep=True)
    found = parse_condition("x == 2").evaluate(data)
    assert found.index.tolist() == ["p", "q"]
    assert data[found]["x"].tolist() == [2]
    pd.testing.assert_frame_equal(data, before)
    assert parse_condition("x == 2").evaluate(data.iloc[:0]).empty


def test_only_sound_frames():
    with pytest.raises(DataError, match="pandas"):
        parse_condition("x == 1").evaluate({"x": [1]})
