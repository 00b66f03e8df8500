"""Columns that earlier ones determine are dropped and named; columns that are merely alike stay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from wwc_eval.errors import DataError, FormulaError
from wwc_eval.formula import parse_formula
from wwc_eval.formula.aliasing import describe, find_dependence


def _design(text, data, **options):
    return parse_formula(f"~ {text}", response=False).design(pd.DataFrame(data), **options)


def _shown(design):
    return [str(alias) for alias in design.aliased]


@pytest.fixture
def x():
    return np.random.default_rng(7).normal(3.0, 2.0, 400)


def test_a_combination_is_dropped_and_named(x):
    z = np.random.default_rng(8).normal(size=400)
    design = _design("x + z + w + v", {"x": x, "z": z, "w": 1 + 2 * x - 0.5 * z, "v": x**2})
    assert design.terms == ("(Intercept)", "x", "z", "v")
    assert design.assign == (-1, 0, 1, 3)
    assert _shown(design) == ["w = (Intercept) + 2 * x - 0.5 * z"]
    assert design.notes == ("Left out of the model: w = (Intercept) + 2 * x - 0.5 * z.",)


def test_earlier_columns_win(x):
    data = {"x": x, "w": 3 * x}
    assert _design("x + w", data).terms == ("(Intercept)", "x")
    assert _design("w + x", data).terms == ("(Intercept)", "w")
    assert _shown(_design("w + x", data)) == ["x = 0.3333 * w"]


def test_cluster_level_arm_and_authority():
    las = np.repeat(["A", "B", "C", "D"], 10)
    data = {"arm": np.where(las < "C", "usual", "programme"), "la": las}
    design = _design("arm + la", data, levels={"arm": ["usual", "programme"]})
    assert design.terms == ("(Intercept)", "arm[programme]", "la[B]", "la[C]")
    assert _shown(design) == ["la[D] = arm[programme] - la[C]"]
    turned = _design("la + arm", data, levels={"arm": ["usual", "programme"]})
    assert _shown(turned) == ["arm[programme] = la[C] + la[D]"]


def test_constants_and_zeros(x):
    design = _design("one + x + none", {"x": x, "one": np.full(400, 2.5), "none": np.zeros(400)})
    assert _shown(design) == ["one = 2.5 * (Intercept)", "none = 0"]
    # without an intercept a constant column is a column
    assert _design("0 + one + x", {"x": x, "one": np.ones(400)}).terms == ("one", "x")
    assert _shown(_design("centre(one) + x", {"x": x, "one": np.ones(400)})) == ["centre(one) = 0"]


def test_rounding_does_not_make_a_constant_vary(x):
    values = np.where(np.arange(400) % 2, 0.1 + 0.2, 0.3)
    assert _shown(_design("one + x", {"x": x, "one": values})) == ["one = 0.3 * (Intercept)"]


def test_declared_levels_that_do_not_occur():
    data = {"g": ["a", "b", "a", "b"], "h": ["p", "q", "q", "p"]}
    design = _design("g*h", data, levels={"g": ["a", "b", "c"], "h": ["p", "q"]})
    assert design.terms == ("(Intercept)", "g[b]", "h[q]", "g[b]:h[q]")
    assert _shown(design) == ["g[c] = 0 (the level does not occur in the rows used)", "g[c]:h[q] = 0"]
    assert design.levels["g"] == ("a", "b", "c")
    with pytest.raises(DataError, match="did not occur"):
        design.matrix(pd.DataFrame({"g": ["c"], "h": ["p"]}))


def test_a_reference_level_that_does_not_occur_compares_with_nothing():
    design = _design("g", {"g": ["b", "c", "b"]}, levels={"g": ["a", "b", "c"]})
    assert design.reference_levels == {"g": "b"}
    assert design.terms == ("(Intercept)", "g[c]")
    assert _shown(design) == ["g[a] = 0 (the level does not occur in the rows used)"]


def test_a_factor_with_one_level():
    design = _design("g + x", {"g": ["a", "a", "a"], "x": [1.0, 2.0, 4.0]})
    assert design.terms == ("(Intercept)", "x")
    assert design.assign == (-1, 1)
    assert _shown(design) == ["g = 0 ('g' has the one level 'a' in the rows used)"]
    design = _design("g*h", {"g": ["a", "a", "a"], "h": ["p", "q", "q"]})
    assert design.terms == ("(Intercept)", "h[q]")
    assert [alias.term for alias in design.aliased] == ["g", "g:h"]
    # coded by all its levels it is a column of ones
    assert _design("0 + g", {"g": ["a", "a"]}).terms == ("g[a]",)


def test_an_empty_cell_of_an_interaction():
    data = {"g": list("aabbb"), "h": list("pqppp")}
    design = _design("g*h", data)
    assert design.terms == ("(Intercept)", "g[b]", "h[q]")
    assert _shown(design) == ["g[b]:h[q] = 0"]
    # nothing is known about that cell
    with pytest.raises(DataError, match="nothing is known about 1 of 2 rows"):
        design.matrix(pd.DataFrame({"g": ["b", "a"], "h": ["q", "q"]}))
    np.testing.assert_array_equal(design.matrix(pd.DataFrame(data)), design.X)


def test_predictions_that_break_the_dependence_are_refused(x):
    design = _design("x + w", {"x": x, "w": 2 * x})
    np.testing.assert_allclose(design.matrix(pd.DataFrame({"x": [1.0], "w": [2.0]})), [[1.0, 1.0]])
    with pytest.raises(DataError, match="w = 2 \\* x"):
        design.matrix(pd.DataFrame({"x": [1.0], "w": [3.0]}))


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6, 1e-7])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_near_collinear_columns_stay(x, gap, shift):
    noise = np.random.default_rng(9).normal(size=400)
    near = x + gap * noise
    design = _design("x + near", {"x": x + shift, "near": near + shift})
    assert design.terms == ("(Intercept)", "x", "near")


def test_correlation_just_below_one_stays():
    rng = np.random.default_rng(10)
    x, noise = rng.normal(size=(2, 1000))
    wanted = 1 - 1e-8
    near = wanted * x + np.sqrt(1 - wanted**2) * noise
    assert _design("x + near", {"x": x, "near": near}).aliased == ()


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("intercept", ["", "0 + "])
def test_units_do_not_matter(x, scale, intercept):
    z = np.random.default_rng(11).normal(size=400)
    design = _design(f"{intercept}x + z + w", {"x": x * scale, "z": z, "w": 5 * x * scale + z * scale})
    assert [alias.term for alias in design.aliased] == ["w"]
    kept = _design(f"{intercept}x + z", {"x": x * scale, "z": z / scale})
    assert kept.aliased == ()


def test_a_large_offset_does_not_hide_variation():
    # days since year 1 with a spread of minutes
    days = 738_000 + np.random.default_rng(12).uniform(0, 1e-3, 300)
    assert _design("days", {"days": days}).aliased == ()
    both = _design("days + twice", {"days": days, "twice": 2 * days})
    assert [alias.term for alias in both.aliased] == ["twice"]


def test_years_and_their_powers_stay():
    year = np.repeat(np.arange(2010, 2025), 20)
    assert _design("year + year^2", {"year": year}).aliased == ()


def test_more_columns_than_rows():
    rng = np.random.default_rng(13)
    data = {f"x{i}": rng.normal(size=4) for i in range(6)}
    design = _design(" + ".join(data), data)
    assert design.terms == ("(Intercept)", "x0", "x1", "x2")
    assert len(design.aliased) == 3
    assert len(_design("0 + " + " + ".join(data), data).terms) == 4


def test_many_dependences_at_once():
    rng = np.random.default_rng(14)
    base = rng.normal(size=(200, 6))
    mix = rng.integers(-2, 3, size=(6, 6)).astype(float)
    X = np.column_stack([np.ones(200), base, base @ mix, base])
    found = find_dependence(X, intercept=True)
    assert found.kept.tolist() == list(range(7))
    for column, coefficients in found.dropped.items():
        np.testing.assert_allclose(X[:, found.kept] @ coefficients, X[:, column], atol=1e-10)


def test_a_kept_column_between_dropped_ones(x):
    z = np.random.default_rng(15).normal(size=400)
    design = _design("x + a + z + b", {"x": x, "a": -x, "z": z, "b": x + z})
    assert design.terms == ("(Intercept)", "x", "z")
    assert _shown(design) == ["a = -x", "b = x + z"]


def test_long_combinations_are_shortened():
    names = [f"c{i}" for i in range(9)]
    assert describe(names, np.ones(9)) == "c0 + c1 + c2 + c3 + c4 + c5 ... (9 columns)"
    assert describe(["a", "b"], np.zeros(2)) == "0"


def test_a_random_part_with_nothing_in_it():
    data = {"y": [1.0, 2.0], "g": ["a", "a"], "h": ["p", "q"]}
    with pytest.raises(FormulaError, match="no column"):
        parse_formula("y ~ 1 + (0 + x | h)").design(pd.DataFrame({**data, "x": [0.0, 0.0]}))


@pytest.mark.parametrize("seed", range(20))
def test_rank_is_that_of_numpy(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    frame = pd.DataFrame(
        {
            "a": rng.choice(list("pqr"), n),
            "b": rng.choice(list("st"), n),
            "c": rng.choice(list("uvwz"), n),
            "x": rng.integers(0, 4, n),
        }
    )
    design = _design("a*b*c + x*a", frame)
    everything = design.recipe.layout
    assert len(design.terms) + len(design.recipe.dependence.dropped) == len(everything.names)
    full = np.linalg.matrix_rank(design.X)
    assert full == len(design.terms)
