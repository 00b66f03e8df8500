"""Errors: what they say, where they point, and that they survive the way to another process."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_eval import errors
from wwc_eval.errors import (
    DataError,
    DesignError,
    Place,
    PlanError,
    Problem,
    WwcError,
    check_choice,
    check_number,
    did_you_mean,
    shown,
)

KINDS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
TEXT = st.text(max_size=40)


# --- places and lines


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place(), ""),
        (Place(file="a.csv"), "a.csv"),
        (Place(file="a.csv", row=3, column="age"), "a.csv, row 3, column 'age'"),
        (Place(row=2), "row 2"),
        (Place(file="p.yaml", line=4, character=7, field="design.unit"), "p.yaml:4:7"),
        (Place(line=4), "<text>:4:1"),
        (Place(field="analyses[0].formula"), "analyses[0].formula"),
    ],
)
def test_places_read_as_an_editor_or_a_spreadsheet_reads_them(place, text):
    assert str(place) == text


def test_a_problem_is_one_line_with_place_code_value_rule_and_fix():
    problem = Problem(
        message="the value is too large", place=Place(file="a.csv", row=2, column="age"), code="D24",
        value="'20'", rule="at most 18", fix="correct it",
    )  # fmt: skip
    assert str(problem) == (
        "a.csv, row 2, column 'age' D24: the value is too large (value: '20'; rule: at most 18). Fix: correct it"
    )
    assert str(Problem(message="nothing more is known")) == "nothing more is known"


@pytest.mark.parametrize("hostile", ["a\nb", "a\r\nb", "\x1b[2J", "\x00", "a\u202eb", "a\u2028b", "a\x85b"])
def test_a_name_cannot_break_the_line_or_steer_the_terminal(hostile):
    text = str(PlanError(f"unknown field '{hostile}'", fix=f"remove '{hostile}'"))
    assert text.isprintable()
    assert "unknown field 'a" in text or "unknown field '\\x" in text


def test_letters_of_every_language_stay_as_they_are():
    assert str(DataError("no column 'âge 年齢'")) == "no column 'âge 年齢'"


def test_at_fills_in_parts_of_the_place():
    problem = Problem(message="m", place=Place(row=2)).at(file="a.csv", column="x")
    assert problem.place == Place(file="a.csv", row=2, column="x")
    with pytest.raises(TypeError):
        problem.at(colum="x")


# --- many problems


def test_more_than_fifty_problems_are_cut_in_the_text_and_kept_in_the_object():
    error = DataError(problems=[Problem(message=f"m{i}") for i in range(57)])
    lines = str(error).splitlines()
    assert lines[0] == "57 problems"
    assert len(lines) == 1 + 50 + 1
    assert "... and 7 more" in lines[-1]
    assert len(error.problems) == 57
    assert len(error.to_frame()) == 57


def test_fifty_problems_are_all_shown():
    lines = str(DataError(problems=[Problem(message=f"m{i}") for i in range(50)])).splitlines()
    assert len(lines) == 51
    assert lines[-1] == "  m49"


def test_a_message_comes_before_further_problems():
    error = DesignError("first", problems=[Problem(message="second")], code="X1")
    assert [problem.message for problem in error.problems] == ["first", "second"]
    assert error.problems[0].code == "X1"


def test_problems_as_a_frame():
    place = Place(file="a.csv", row=3, column="age")
    frame = DataError(
        problems=[Problem(message="m", place=place, code="D1", value="v", rule="r", fix="f")]
    ).to_frame()
    assert frame.loc[0, ["code", "severity", "file", "row", "column", "message", "value", "rule", "fix"]].tolist() == [
        "D1", "error", "a.csv", 3, "age", "m", "v", "r", "f",
    ]  # fmt: skip
    empty = DataError(problems=[]).to_frame()
    assert list(empty.columns) == list(frame.columns)
    assert len(empty) == 0


# --- crossing processes


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_a_wwc_error_and_pickles_whole(kind):
    assert issubclass(kind, WwcError)
    problems = [Problem(message="m", place=Place(line=2), code="P01", severity="warning"), Problem(message="n")]
    error = kind(problems=problems)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert again.problems == error.problems
        assert str(again) == str(error)


@pytest.mark.property
@given(TEXT, TEXT, TEXT, TEXT, st.integers(1, 9))
def test_any_text_round_trips_and_stays_on_its_line(message, value, rule, fix, row):
    error = DataError(message, value=value, rule=rule, fix=fix, place=Place(file=value, row=row))
    assert str(error).isprintable()
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


# --- helpers


@pytest.mark.parametrize(
    ("name", "candidates", "advice"),
    [
        ("agee", ["age", "sex"], "did you mean 'age'?"),
        ("AGE", ["age"], "did you mean 'age'?"),
        ("age", ["Age", "AGE"], "did you mean 'Age'?"),
        ("zzz", ["age", "sex"], "choose one of 'age', 'sex'"),
        ("x", [], "there is none to choose from"),
        ("", ["age"], "choose one of 'age'"),
        (7, ["age"], "choose one of 'age'"),
        ("straße", ["strasse"], "did you mean 'strasse'?"),
    ],
)
def test_did_you_mean(name, candidates, advice):
    assert did_you_mean(name, candidates) == advice
    assert did_you_mean(name, iter(candidates)) == advice


def test_did_you_mean_lists_twelve_and_counts_the_rest():
    advice = did_you_mean("?", [f"column_{i:02d}" for i in range(20)])
    assert advice.count("'column_") == 12
    assert advice.endswith(" and 8 more")


@pytest.mark.property
@given(TEXT, st.lists(TEXT, max_size=20))
def test_advice_names_a_candidate(name, candidates):
    advice = did_you_mean(name, candidates)
    assert any(f"'{candidate}'" in advice for candidate in candidates) or not candidates
    if name in candidates and name:
        assert advice.startswith("did you mean")


@pytest.mark.property
@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.lists(st.integers())))
def test_shown_is_short_and_printable(value):
    text = shown(value)
    assert len(text) <= errors.SHOWN_CHARACTERS
    assert text.isprintable()


def test_shown_of_what_has_no_text():
    assert shown(10**5000) == "a value of type int"


def test_check_choice():
    assert check_choice("family", "gaussian", ("gaussian", "binomial")) == "gaussian"
    with pytest.raises(DesignError, match=r"family == 'gausian', must be one of 'gaussian', 'binomial'") as caught:
        check_choice("family", "gausian", ("gaussian", "binomial"))
    assert caught.value.problems[0].fix == "did you mean 'gaussian'?"
    for value in (None, 3, ["gaussian"]):
        with pytest.raises(DataError, match="family == "):
            check_choice("family", value, ("gaussian",), error=DataError)


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [
        (1.5, {"below": 1}, r"alpha == 1\.5, must be < 1"),
        (1, {"below": 1}, r"alpha == 1, must be < 1"),
        (0, {"above": 0}, r"alpha == 0, must be > 0"),
        (-1e-300, {"at_least": 0}, r"alpha == -1e-300, must be >= 0"),
        (2, {"at_most": 1}, r"alpha == 2, must be <= 1"),
        (float("nan"), {}, r"alpha == nan, must be finite"),
        (np.float64("-inf"), {}, r"alpha == .*-inf.*, must be finite"),
        (10**400, {"above": 0}, r"must be finite"),
        pytest.param(10**5000, {"above": 0}, r"must be finite", id="5000 digits"),
        ("0.05", {}, r"alpha == '0\.05', must be a number"),
        (True, {}, r"alpha == True, must be a number"),
        (np.bool_(True), {}, r"must be a number"),
        (None, {}, r"alpha == None, must be a number"),
        (1j, {}, r"must be a number"),
        ([0.05], {}, r"alpha == \[0\.05\], must be a number"),
    ],
)
def test_check_number_names_value_and_limit(value, limits, words):
    with pytest.raises(DesignError, match=words):
        check_number("alpha", value, **limits)


@pytest.mark.parametrize("value", [0.05, np.float64(0.05), np.float32(0.5), np.int64(1), 1])
def test_check_number_gives_a_plain_float(value):
    found = check_number("alpha", value, at_least=0, at_most=1)
    assert type(found) is float
    assert found == value
