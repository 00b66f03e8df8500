"""Transformations with their constants, against R's definitions, and factors with their levels."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from wwc_eval.errors import DataError, FormulaError
from wwc_eval.formula import parse_formula


def _column(text, x, **rest):
    design = parse_formula(f"~ 0 + {text}", response=False).design(pd.DataFrame({"x": x, **rest}))
    return design.X[:, 0] if design.X.shape[1] == 1 else design.X, design


@pytest.mark.reference
def test_poly_gives_the_orthogonal_contrasts_of_ten_points():
    # R: poly(1:10, 3); the whole numbers are those of Fisher and Yates' table, divided by their lengths
    linear = np.arange(-9, 10, 2) / np.sqrt(330)
    quadratic = np.array([6, 2, -1, -3, -4, -4, -3, -1, 2, 6]) / np.sqrt(132)
    cubic = np.array([-42, 14, 35, 31, 12, -12, -31, -35, -14, 42]) / np.sqrt(8580)
    columns, design = _column("poly(x, 3)", np.arange(1, 11))
    np.testing.assert_allclose(columns, np.column_stack([linear, quadratic, cubic]), atol=1e-14)
    constants = design.constants["poly(x, 3)"]
    # R: attr(poly(1:10, 3), "coefs"), without R's leading 1 of norm2
    np.testing.assert_allclose(constants.alpha, [5.5, 5.5, 5.5])
    np.testing.assert_allclose(constants.norm2, [10, 82.5, 528, 3088.8])


def _poly_of_r(x, degree):
    """R's ``poly`` as it is written: QR of the powers, the triangle's diagonal taken back in."""
    q, r = np.linalg.qr(np.vander(x - x.mean(), degree + 1, increasing=True))
    raw = q * np.diag(r)
    return (raw / np.sqrt((raw**2).sum(axis=0)))[:, 1:]


@pytest.mark.reference
@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_poly_is_that_of_r(degree):
    rng = np.random.default_rng(degree)
    x = rng.gamma(2.0, 3.0, 200)
    columns, _ = _column(f"poly(x, {degree})", x)
    np.testing.assert_allclose(columns.reshape(200, -1), _poly_of_r(x, degree), atol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 2_000.0, 1e8])
def test_poly_is_orthonormal_wherever_x_lies(shift):
    x = shift + np.random.default_rng(1).uniform(0, 10, 500)
    columns, _ = _column("poly(x, 4)", x)
    np.testing.assert_allclose(columns.T @ columns, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(columns.sum(axis=0), 0, atol=1e-9)


def test_poly_of_new_data_is_the_same_curve():
    x = np.random.default_rng(2).normal(5, 2, 50)
    design = parse_formula("~ poly(x, 2)", response=False).design(pd.DataFrame({"x": x}))
    new = design.matrix(pd.DataFrame({"x": [1.0, 5.0, 40.0]}))
    # a quadratic through the fitted points, evaluated elsewhere
    for column in (1, 2):
        curve = np.polynomial.Polynomial.fit(x, design.X[:, column], 2)
        np.testing.assert_allclose(new[:, column], curve(np.array([1.0, 5.0, 40.0])), rtol=1e-9)


def test_centre_and_scale():
    x = np.array([1.0, 2.0, 6.0, 7.0])
    centred, design = _column("centre(x)", x)
    np.testing.assert_allclose(centred, x - 4)
    assert design.constants["centre(x)"].mean == 4.0
    scaled, design = _column("scale(x)", x)
    np.testing.assert_allclose(scaled, (x - 4) / np.std(x, ddof=1))
    assert design.constants["scale(x)"].sd == pytest.approx(np.std(x, ddof=1))


def test_constants_come_from_the_rows_used():
    data = pd.DataFrame({"y": [1.0, 2.0, np.nan, 4.0], "x": [1.0, 2.0, 100.0, 6.0]})
    design = parse_formula("y ~ centre(x)").design(data)
    assert design.constants["centre(x)"].mean == 3.0


def test_nested_functions():
    x = np.array([1.0, 10.0, 100.0])
    values, _ = _column("centre(log(x))^2", x)
    np.testing.assert_allclose(values, (np.log(x) - np.log(x).mean()) ** 2)
    values, _ = _column("log(x^2)", x)
    np.testing.assert_allclose(values, 2 * np.log(x))


def test_bool_and_nullable_columns_are_numbers():
    for flags in (
        np.array([True, False, True]),
        pd.array([True, False, True], dtype="boolean"),
        pd.array([1, 0, 1], dtype="Int8"),
        np.array([True, False, True], dtype=object),
        np.array([Decimal(1), Decimal(0), Decimal(1)], dtype=object),
        pd.array([1.0, 0.0, 1.0], dtype="Float32"),
        pd.array([1, 0, 1], dtype="int64[pyarrow]"),
    ):
        design = parse_formula("~ x", response=False).design(pd.DataFrame({"x": flags}))
        assert design.terms == ("(Intercept)", "x")
        np.testing.assert_array_equal(design.X[:, 1], [1, 0, 1])


def test_missing_values_of_every_type():
    for flags in (
        np.array([True, None, False], dtype=object),
        np.array([1, np.nan, 0], dtype=object),
        pd.array([True, None, False], dtype="boolean"),
        pd.array([1, None, 0], dtype="Int64"),
        pd.array([1.0, None, 0.0], dtype="Float64"),
        pd.Categorical(["b", None, "a"]),
        np.array(["b", np.nan, "a"], dtype=object),
        pd.array(["b", None, "a"], dtype="string"),
    ):
        design = parse_formula("~ x", response=False).design(pd.DataFrame({"x": flags}))
        assert design.dropped == {"x": 1}
        np.testing.assert_array_equal(design.X[:, 1], [1, 0])


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"], dtype=object),
        pd.array(["b", "a", "b"], dtype="string"),
        pd.array(["b", "a", "b"], dtype="string[pyarrow]"),
        pd.Categorical(["b", "a", "b"]),
    ],
)
def test_text_and_categories_are_factors(values):
    design = parse_formula("~ g", response=False).design(pd.DataFrame({"g": values}))
    assert design.terms == ("(Intercept)", "g[b]")
    assert design.reference_levels == {"g": "a"}
    np.testing.assert_array_equal(design.X[:, 1], [1, 0, 1])


def test_levels_are_sorted_by_code_point():
    design = parse_formula("~ g", response=False).design(pd.DataFrame({"g": ["b", "a", "B", "é"]}))
    assert design.levels["g"] == ("B", "a", "b", "é")


def test_order_of_levels():
    data = pd.DataFrame({"arm": ["programme", "usual", "usual"]})
    formula = parse_formula("~ arm", response=False)
    assert formula.design(data).reference_levels == {"arm": "programme"}
    declared = formula.design(data, levels={"arm": ["usual", "programme"]})
    assert declared.reference_levels == {"arm": "usual"}
    assert declared.terms == ("(Intercept)", "arm[programme]")
    data["arm"] = pd.Categorical(data["arm"], categories=["usual", "programme"])
    assert formula.design(data).reference_levels == {"arm": "usual"}
    # a declaration goes before the Categorical's order
    turned = formula.design(data, levels={"arm": ["programme", "usual"]})
    assert turned.reference_levels == {"arm": "programme"}


def test_factor_of_numbers():
    data = pd.DataFrame({"year": [2021.0, 2019, np.nan, 2020, 2021], "flag": [True, False, True, False, False]})
    design = parse_formula("~ factor(year) + factor(flag)", response=False).design(data)
    assert design.terms == ("(Intercept)", "factor(year)[2020]", "factor(year)[2021]", "factor(flag)[True]")
    assert design.levels == {"year": (2019, 2020, 2021), "flag": (False, True)}
    declared = parse_formula("~ factor(year)", response=False).design(data, levels={"year": [2021, 2020, 2019]})
    assert declared.reference_levels == {"year": 2021}


def test_levels_that_occur_only_in_dropped_rows_are_no_levels():
    data = pd.DataFrame({"y": [1.0, 2.0, np.nan], "g": ["a", "b", "c"]})
    design = parse_formula("y ~ g").design(data)
    assert design.levels["g"] == ("a", "b")
    with pytest.raises(DataError, match="did not occur"):
        design.matrix(pd.DataFrame({"g": ["c"]}))


def test_values_outside_declared_levels():
    data = pd.DataFrame({"arm": ["usual", "progamme", "programme", "progamme", "?"]})
    with pytest.raises(DataError, match="'progamme', '\\?'") as caught:
        parse_formula("~ arm", response=False).design(data, levels={"arm": ["usual", "programme"]})
    assert "3 rows of 'arm'" in str(caught.value)
    # a level of another type is not the same level
    with pytest.raises(DataError, match="as the column holds them"):
        parse_formula("~ g", response=False).design(pd.DataFrame({"g": ["1", "2"]}), levels={"g": [1, 2]})


@pytest.mark.parametrize("levels", ["usual", [], ["a", "a"], ["a", None], 5, [["a"]]])
def test_senseless_levels(levels):
    with pytest.raises(DataError, match="levels of 'g'"):
        parse_formula("~ g", response=False).design(pd.DataFrame({"g": ["a"]}), levels={"g": levels})


def test_levels_of_a_number_or_of_nothing():
    data = pd.DataFrame({"x": [1, 2, 3], "g": ["a", "b", "a"]})
    with pytest.raises(FormulaError, match="factor\\(x\\)"):
        parse_formula("~ x", response=False).design(data, levels={"x": [1, 2, 3]})
    with pytest.raises(FormulaError, match="did you mean 'g'"):
        parse_formula("~ g", response=False).design(data, levels={"G": ["a", "b"]})
    # declared for another column of the data: no concern of this formula
    parse_formula("~ g", response=False).design(data, levels={"x": [1, 2, 3]})


@pytest.mark.parametrize(
    ("text", "x", "message"),
    [
        ("log(x)", [1.0, 0.0, -1.0], "log\\(x\\) does not exist in 2 rows"),
        ("sqrt(x)", [1.0, 0.0, -4.0], "sqrt\\(x\\) does not exist in 1 row"),
        ("scale(x)", [2.0, 2.0, 2.0], "same value"),
        ("scale(x)", [0.1 + 0.2, 0.3, 0.3], "same value"),
        ("poly(x, 2)", [1.0, 2.0, 1.0], "more than 2 distinct values"),
        ("x^10", [1e50, 1.0, 2.0], "too large"),
    ],
)
def test_transformations_that_do_not_exist(text, x, message):
    with pytest.raises(FormulaError, match=message):
        _column(text, x)


def test_dropped_rows_do_not_trouble_a_logarithm():
    data = pd.DataFrame({"y": [1.0, 2.0, np.nan], "x": [1.0, 2.0, -1.0]})
    assert parse_formula("y ~ log(x)").design(data).n == 2


@pytest.mark.parametrize(
    ("values", "text", "message"),
    [
        (["a", "b"], "centre(x)", "needs numbers"),
        (["a", "b"], "x^2", "needs numbers"),
        (pd.Categorical([1, 2]), "log(x)", "needs numbers"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "x", "dates"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "factor(x)", "dates"),
        (pd.to_timedelta([1, 2]), "x", "one type"),
        (np.array([1, "a"], dtype=object), "x", "one type"),
        (np.array([1j, 2j]), "x", "one type"),
        (np.array([[1], [2]], dtype=object).tolist(), "x", "one type"),
    ],
)
def test_columns_that_do_not_fit(values, text, message):
    with pytest.raises(FormulaError, match=message) as caught:
        _column(text, values)
    (problem,) = caught.value.problems
    assert problem.place.column == "x"
    assert problem.fix


def test_infinite_values():
    data = pd.DataFrame({"y": [1.0, np.inf, 2.0], "x": [1.0, -np.inf, np.inf], "w": [1.0, 2.0, np.inf]})
    with pytest.raises(DataError) as caught:
        parse_formula("y ~ x").design(data, keep=["w"])
    assert [problem.place.column for problem in caught.value.problems] == ["y", "x", "w"]


@pytest.mark.parametrize("x", [[1e150, 1.0, 2.0], [1e-150, 0.0, 2e-150]])
def test_sizes_that_numbers_cannot_square(x):
    with pytest.raises(DataError, match="change its unit"):
        _column("x", x)
    with pytest.raises(FormulaError, match="has values up to"):
        _column("x:z:w", [1e60, 1.0, 2.0], z=[1e60, 1.0, 2.0], w=[1.0, 2.0, 4.0])


def test_every_misuse_is_reported_at_once():
    data = pd.DataFrame({"y": ["yes", "no"], "x": ["a", "b"], "d": pd.to_datetime(["2024-01-01", "2024-01-02"])})
    with pytest.raises(FormulaError) as caught:
        parse_formula("y ~ centre(x) + d").design(data)
    assert sorted(problem.place.column for problem in caught.value.problems) == ["d", "x", "y"]
