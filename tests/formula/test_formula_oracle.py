"""Design matrices equal those of formulaic and patsy, which follow R, on formulas that are safe for them."""

from __future__ import annotations

import formulaic
import numpy as np
import pandas as pd
import pytest

from wwc_eval.formula import parse_formula

# patsy comes with statsmodels
patsy = pytest.importorskip("patsy")
pytestmark = pytest.mark.reference


def _data():
    rng = np.random.default_rng(20240401)
    n = 240
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "a": rng.choice(["a1", "a2", "a3"], n),
            "b": rng.choice(["b1", "b2"], n),
            "c": rng.choice(["c1", "c2", "c3"], n),
            "x": rng.normal(10.0, 3.0, n),
            "z": rng.uniform(1.0, 5.0, n),
            "k": rng.integers(0, 4, n),
        }
    )


DATA = _data()

# ours, and the same in the language of the oracle
SAME = [
    "1",
    "x",
    "a",
    "0 + a",
    "0 + x",
    "a + b",
    "0 + a + b",
    "0 + x + a",
    "0 + a + x",
    "a*b",
    "0 + a*b",
    "a + a:b",
    "b + a:b",
    "0 + a + a:b",
    "0 + a:b",
    "a:b",
    "a:x",
    "a + a:x",
    "x + a:x",
    "x*a",
    "0 + a:x",
    "0 + a + a:x",
    "x:z",
    "x*z",
    "x*z*a",
    "a*b*c",
    "a*b*x",
    "a*b*c - a:b:c",
    "(a + b + c)^2",
    "(a + x + z)^2",
    "a + b:c",
    "a:b + c",
    "a:b + b:c",
    "a:b:c",
    "a + b + a:b:c",
    "a:b:x",
    "a + a:b:x",
    "a:x + b:x",
    "0 + a:x + b:x",
    "0 + a:b:x",
    "a + b + x + a:b:x",
    "a*b - a",
    "a*b - b",
    "a*x - x",
    "a*x - a",
    "a*b - a - b",
    "0 + x:z + a",
    "b + a",
    "x + a + z + b",
    "log(z) + a",
    "sqrt(z):a",
    "log(z)*b",
]

TRANSLATED = [
    ("centre(x)", "center(x)"),
    ("scale(x)*b", "scale(x)*b"),
    ("centre(x)*a", "center(x)*a"),
    ("factor(k)", "C(k)"),
    ("0 + factor(k)", "0 + C(k)"),
    ("factor(k):b", "C(k):b"),
    ("factor(k)*x", "C(k)*x"),
    ("poly(x, 2)", "poly(x, 2)"),
    ("poly(x, 3)*b", "poly(x, 3)*b"),
    ("poly(x, 2):a", "poly(x, 2):a"),
    ("poly(x, 2):poly(z, 2)", "poly(x, 2):poly(z, 2)"),
    ("x + x^2", "x + I(x**2)"),
    ("x^3:b", "I(x**3):b"),
    ("centre(log(z))", "center(log(z))"),
]


def _ours(text):
    return parse_formula(f"y ~ {text}").design(DATA)


def _name(theirs):
    """Their name of a column in our notation."""
    for old, new in (("[T.", "["), ("center(", "centre("), ("C(k)", "factor(k)"), ("Intercept", "(Intercept)")):
        theirs = theirs.replace(old, new)
    return theirs


def _rank(*matrices):
    joined = np.hstack(matrices)
    return np.linalg.matrix_rank(joined / np.linalg.norm(joined, axis=0))


@pytest.mark.parametrize(("ours", "theirs"), [*((text, text) for text in SAME), *TRANSLATED])
def test_column_space_is_that_of_formulaic(ours, theirs):
    design = _ours(ours)
    other = formulaic.model_matrix(theirs, DATA, context={"sqrt": np.sqrt}).to_numpy(dtype=float)
    rank = _rank(other)
    assert design.X.shape[1] == rank
    assert _rank(design.X, other) == rank
    assert design.aliased == ()


@pytest.mark.parametrize("text", SAME)
def test_column_space_is_that_of_patsy(text):
    design = _ours(text)
    safe = text.replace("log(", "np.log(").replace("sqrt(", "np.sqrt(").replace("^", "**")
    other = np.asarray(patsy.dmatrix(safe, DATA))
    assert _rank(design.X, other) == design.X.shape[1] == _rank(other)


# where patsy splits a term without its margins it names the pieces as we do
@pytest.mark.parametrize("text", SAME)
def test_columns_have_the_values_of_patsy(text):
    design = _ours(text)
    safe = text.replace("log(", "np.log(").replace("sqrt(", "np.sqrt(").replace("^", "**")
    matrix = patsy.dmatrix(safe, DATA, return_type="dataframe")
    theirs = {_name(name).replace("np.", ""): matrix[name].to_numpy() for name in matrix.columns}
    assert set(theirs) == set(design.terms)
    for name, column in zip(design.terms, design.X.T, strict=True):
        np.testing.assert_allclose(column, theirs[name], rtol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), TRANSLATED)
def test_transformed_columns_have_the_values_of_formulaic(ours, theirs):
    design = _ours(ours)
    matrix = formulaic.model_matrix(theirs, DATA)
    values = np.asarray(matrix, dtype=float)
    for name, column in zip(design.terms, design.X.T, strict=True):
        # they may order the levels of an interaction otherwise, so match by values
        nearest = np.abs(values - column[:, None]).max(axis=0).min()
        assert nearest < 1e-9, name


# colnames(model.matrix(formula)) of R with our way of naming a level; for a:b + c, where R's matrix is
# singular, those of patsy
R_NAMES = {
    "a*b": "(Intercept) a[a2] a[a3] b[b2] a[a2]:b[b2] a[a3]:b[b2]",
    "0 + a + b": "a[a1] a[a2] a[a3] b[b2]",
    "a + a:b": "(Intercept) a[a2] a[a3] a[a1]:b[b2] a[a2]:b[b2] a[a3]:b[b2]",
    "0 + a:b": "a[a1]:b[b1] a[a2]:b[b1] a[a3]:b[b1] a[a1]:b[b2] a[a2]:b[b2] a[a3]:b[b2]",
    "b:x + a": "(Intercept) a[a2] a[a3] b[b1]:x b[b2]:x",
    "x:b + x": "(Intercept) x x:b[b2]",
    "b*x": "(Intercept) b[b2] x b[b2]:x",
    "0 + x + a": "x a[a1] a[a2] a[a3]",
    "a:b + c": ("(Intercept) c[c2] c[c3] b[b2] a[a2]:b[b1] a[a3]:b[b1] a[a2]:b[b2] a[a3]:b[b2]"),
    "poly(x, 2):b": "(Intercept) poly(x, 2)[1]:b[b1] poly(x, 2)[2]:b[b1] poly(x, 2)[1]:b[b2] poly(x, 2)[2]:b[b2]",
}


@pytest.mark.parametrize(("text", "names"), R_NAMES.items())
def test_names_and_order_of_columns(text, names):
    assert " ".join(_ours(text).terms) == names
