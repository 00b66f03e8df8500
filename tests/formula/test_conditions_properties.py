"""What holds for every condition: round trips, the laws of logic, and a slow second opinion row by row."""

from __future__ import annotations

import operator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wwc_eval.errors import FormulaError
from wwc_eval.formula import Condition, parse_condition
from wwc_eval.formula.nodes import Comparison, Joined, Literal, Membership, Missing, Negation

pytestmark = pytest.mark.property

_rng = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "n": pd.array(_rng.choice([0, 1, 2, 3, None], 80), dtype="Int64"),
        "f": _rng.choice([0.0, 0.5, 1.0, np.nan], 80),
        "s": _rng.choice(["a", "b", "it's", None], 80),
        "g": pd.Categorical(_rng.choice(["a", "b", None], 80), categories=["b", "a", "c"]),
        "d": pd.to_datetime(_rng.choice(["2024-01-01", "2024-02-01", None], 80)),
    }
)
LISTS = {"wanted": ["a", "zz"]}

signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
equal = st.sampled_from(["==", "!="])
dates = st.sampled_from(["'2024-01-01'", "'2024-01-15'", "'2023-12-31'"])
leaves = st.one_of(
    st.tuples(st.sampled_from(["n", "f"]), signs, st.sampled_from(["0", "1", "0.5", "-1", "2"])).map(" ".join),
    st.tuples(st.sampled_from(["0", "1.5"]), signs, st.sampled_from(["n", "f"])).map(" ".join),
    st.tuples(st.just("n"), signs, st.just("f")).map(" ".join),
    st.tuples(st.sampled_from(["s", "g"]), equal, st.sampled_from(["'a'", "'b'"])).map(" ".join),
    st.tuples(st.just("s"), equal, st.just('"it\'s"')).map(" ".join),
    st.tuples(st.just("s"), equal, st.just("g")).map(" ".join),
    st.tuples(st.just("d"), signs, dates).map(" ".join),
    st.tuples(st.just("d"), st.sampled_from(["in", "not in"]), dates.map("[{}]".format)).map(" ".join),
    st.tuples(st.just("n"), st.sampled_from(["in", "not in"]), st.sampled_from(["[1]", "[0, 2.0]"])).map(" ".join),
    st.tuples(st.just("s"), st.sampled_from(["in", "not in"]), st.just("wanted")).map(" ".join),
    st.tuples(st.sampled_from(list("nfsgd")), st.sampled_from(["is missing", "is not missing"])).map(" ".join),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.lists(inner, min_size=2, max_size=3).map(lambda found: " and ".join(f"({one})" for one in found)),
        st.lists(inner, min_size=2, max_size=3).map(lambda found: " or ".join(f"({one})" for one in found)),
    ),
    max_leaves=6,
)

COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _value(side, row):
    if isinstance(side, Literal):
        return side.value
    value = row[side.name]
    if pd.isna(value):
        return None
    return value.strftime("%Y-%m-%d") if isinstance(value, pd.Timestamp) else value


def _slow(node, row):
    """Truth of a node in one row with None for missing; ISO dates order as text does."""
    if isinstance(node, Joined):
        found = [_slow(inner, row) for inner in node.nodes]
        decisive = node.word == "or"
        if decisive in found:
            return decisive
        return None if None in found else not decisive
    if isinstance(node, Negation):
        inner = _slow(node.node, row)
        return None if inner is None else not inner
    if isinstance(node, Missing):
        return (_value(node.column, row) is None) != node.negated
    if isinstance(node, Membership):
        value = _value(node.column, row)
        known = LISTS[node.options] if isinstance(node.options, str) else [one.value for one in node.options]
        return None if value is None else (value in known) != node.negated
    assert isinstance(node, Comparison)
    left, right = _value(node.left, row), _value(node.right, row)
    return None if left is None or right is None else bool(COMPARE[node.operator](left, right))


def _fast(text):
    found = parse_condition(text).evaluate(FRAME, lists=LISTS)
    return [None if value is pd.NA else bool(value) for value in found]


@given(conditions)
@settings(max_examples=120, deadline=None)
def test_agrees_with_a_slow_reading(text):
    node = parse_condition(text).node
    rows = FRAME.astype(object).to_dict("records")
    assert _fast(text) == [_slow(node, row) for row in rows]


@given(conditions)
@settings(max_examples=150, deadline=None)
def test_text_round_trip(text):
    condition = parse_condition(text)
    assert parse_condition(condition.text) == condition
    assert parse_condition(condition.text).text == condition.text


@given(conditions, conditions)
@settings(max_examples=60, deadline=None)
def test_laws_of_logic(first, second):
    assert _fast(f"not (({first}) and ({second}))") == _fast(f"(not ({first})) or (not ({second}))")
    assert _fast(f"not not ({first})") == _fast(first)
    assert _fast(f"({first}) or ({second})") == _fast(f"({second}) or ({first})")


@given(st.text(alphabet="ab <>=!()[],'\"-1 2.`andortising\n\u00a0", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text):
    try:
        condition = parse_condition(text)
    except FormulaError as error:
        assert error.problems
        return
    assert isinstance(condition, Condition)
    assert parse_condition(condition.text) == condition


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_quoted_text_survives(value):
    quoted = "'" + value.replace("'", "''") + "'"
    try:
        condition = parse_condition(f"s == {quoted}")
    except FormulaError:
        assert not value.isprintable()
        return
    assert condition.node.right.value == value
    assert parse_condition(condition.text) == condition
