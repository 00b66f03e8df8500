"""What holds for every formula: round trips, invariance to the order of rows, reproduction on the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wwc_eval.errors import FormulaError, WwcError
from wwc_eval.formula import Formula, parse_formula, quote_name

pytestmark = pytest.mark.property

FACTORS = ["arm", "sex", "la"]
NUMBERS = ["age", "x", "treat", "looked after"]


def _frame(seed=5, n=60):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "arm": rng.choice(["usual", "conference"], n),
            "sex": pd.Categorical(rng.choice(["f", "m"], n), categories=["m", "f"]),
            "la": rng.choice(["Hull", "Leeds", "York", "Ryedale"], n),
            "team": rng.choice(list("ABC"), n),
            "age": rng.integers(1, 18, n).astype(float),
            "x": rng.gamma(2.0, 2.0, n) + 0.1,
            "treat": rng.integers(0, 2, n),
            "looked after": rng.normal(size=n),
        }
    )
    frame.loc[rng.choice(n, 5, replace=False), "age"] = np.nan
    frame.loc[rng.choice(n, 3, replace=False), "arm"] = None
    return frame


FRAME = _frame()

numeric_parts = st.one_of(
    st.sampled_from([quote_name(name) for name in NUMBERS]),
    st.sampled_from(
        ["centre(age)", "scale(x)", "log(x)", "sqrt(age)", "poly(age, 2)", "poly(log(x), 3)", "x^2", "centre(x)^2"]
    ),
)
parts = st.one_of(st.sampled_from(FACTORS), numeric_parts, st.just("factor(treat)"))
products = st.lists(parts, min_size=1, max_size=3).map(":".join)
crossings = st.lists(st.sampled_from([*FACTORS, "age"]), min_size=2, max_size=3, unique=True).map("*".join)
brackets = st.lists(parts, min_size=2, max_size=3, unique=True).map(lambda names: f"({' + '.join(names)})^2")
groups = st.sampled_from(["la", "la/team", "la:team", "team"])
slopes = st.lists(parts, min_size=0, max_size=2, unique=True)


@st.composite
def randoms(draw):
    inner = draw(slopes)
    start = draw(st.sampled_from(["1", "0"])) if inner else "1"
    bar = draw(st.sampled_from(["|", "||"]))
    return f"({' + '.join([start, *inner])} {bar} {draw(groups)})"


@st.composite
def formulas(draw, *, random=True):
    terms = draw(st.lists(st.one_of(products, crossings, brackets), min_size=1, max_size=4))
    start = draw(st.sampled_from([[], ["0"], ["1"]]))
    tail = [draw(randoms())] if random and draw(st.booleans()) else []
    return "y ~ " + " + ".join([*start, *terms, *tail])


@given(formulas())
@settings(max_examples=200, deadline=None)
def test_text_round_trip(text):
    formula = parse_formula(text)
    again = parse_formula(formula.text)
    assert again == formula
    assert again.text == formula.text
    spaced = parse_formula(text.replace(" ", "") if "`" not in text else text)
    assert spaced == formula


@given(formulas(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_order_of_rows_changes_nothing(text, seed):
    formula = parse_formula(text)
    order = np.random.default_rng(seed).permutation(len(FRAME))
    first = formula.design(FRAME)
    second = formula.design(FRAME.iloc[order])
    assert second.terms == first.terms
    assert second.assign == first.assign
    assert second.reference_levels == first.reference_levels
    assert second.constants == first.constants
    assert [alias.term for alias in second.aliased] == [alias.term for alias in first.aliased]
    back = np.argsort(order[second.rows])
    # to the last bit
    np.testing.assert_array_equal(second.X[back], first.X)
    np.testing.assert_array_equal(second.y[back], first.y)
    assert second.group_levels == first.group_levels
    for name, codes in first.groups.items():
        np.testing.assert_array_equal(second.groups[name][back], codes)


@given(formulas(random=False))
@settings(max_examples=80, deadline=None)
def test_same_rows_give_the_same_matrix(text):
    design = parse_formula(text).design(FRAME)
    used = FRAME.iloc[design.rows]
    np.testing.assert_array_equal(design.matrix(used), design.X)
    one = design.matrix(used.iloc[[3]])
    np.testing.assert_array_equal(one[0], design.X[3])


@given(formulas(random=False))
@settings(max_examples=80, deadline=None)
def test_columns_are_independent_and_complete(text):
    design = parse_formula(text).design(FRAME)
    scaled = design.X / np.linalg.norm(design.X, axis=0)
    assert np.linalg.matrix_rank(scaled, tol=1e-9) == len(design.terms)
    assert len(set(design.terms)) == len(design.terms) == len(design.assign)
    assert all(-1 <= index < len(design.formula.fixed) for index in design.assign)


@given(formulas(), st.sampled_from(["arm:treat", "sex*x", "factor(team)"]))
@settings(max_examples=60, deadline=None)
def test_adding_and_taking_away(text, term):
    formula = parse_formula(text)
    new = [added for added in parse_formula(f"y ~ {term}").fixed if added not in formula.fixed]
    assume(new)
    longer = formula.with_terms(*new)
    assert set(longer.fixed) == {*formula.fixed, *new}
    assert longer.without_terms(*new) == formula
    assert parse_formula(longer.text) == longer


@given(st.text(alphabet="ab xy~+-*:^/()|,01 29`.'\n\u00a0_éо", max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused(text):
    try:
        formula = parse_formula(text)
    except FormulaError as error:
        assert error.problems
        return
    assert isinstance(formula, Formula)
    assert parse_formula(formula.text) == formula


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_unicode_is_read_or_refused(text):
    for hostile in (text, f"y ~ {text}", f"y ~ `{text}`"):
        try:
            formula = parse_formula(hostile)
        except FormulaError:
            continue
        assert parse_formula(formula.text) == formula


@given(st.text(min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_column_name_can_be_quoted_or_is_refused(name):
    try:
        quoted = quote_name(name)
    except FormulaError:
        return
    assume(name != "y")
    assert parse_formula(f"y ~ {quoted}").columns == {"y", name}


@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(), st.text(max_size=3)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["x", "centre(x)", "log(x)", "scale(x)", "poly(x, 2)", "factor(x)", "x^3", "x + (1 | x)"]),
)
@settings(max_examples=200, deadline=None)
def test_any_column_is_encoded_or_refused(values, text):
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    try:
        design = parse_formula(f"~ {text}", response=False).design(frame)
    except WwcError:
        return
    assert np.isfinite(design.X).all()
    assert design.n + design.n_dropped == len(values)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
@settings(max_examples=40, deadline=None)
def test_units_do_not_change_what_is_aliased(first, second):
    frame = FRAME.assign(w=3 * FRAME["age"] - FRAME["x"])
    frame = frame.assign(age=frame["age"] * first, w=frame["w"] * second)
    design = parse_formula("y ~ age + x + w + arm").design(frame)
    assert [alias.term for alias in design.aliased] == ["w"]
