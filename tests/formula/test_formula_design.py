"""The design: rows used, response, groups, extras, prediction for other rows, and what it says of itself."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from wwc_eval.errors import DataError, DesignError, FormulaError
from wwc_eval.formula import parse_formula


@pytest.fixture
def children():
    return pd.DataFrame(
        {
            "child": ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"],
            "in_care": [0, 1, 1, 0, 1, 0, 0, 1],
            "arm": ["usual", "conference", "usual", "conference", "usual", "conference", None, "usual"],
            "age": [3, 7, np.nan, 12, 0, 5, 9, 16],
            "sex": ["f", "m", "m", "f", "m", "f", "m", "f"],
            "la": ["Leeds", "Leeds", "York", "York", "Hull", "Hull", "Hull", "York"],
            "team": ["A", "B", "A", "A", "A", "B", "A", "B"],
            "family": pd.array([10**17 + i for i in (1, 1, 2, 3, 4, 5, 6, 7)], dtype="Int64"),
        },
        index=list("stuvwxyz"),
    )


def test_main_example(children):
    formula = parse_formula("in_care ~ arm + centre(age) + sex")
    design = formula.design(children, levels={"arm": ["usual", "conference"]}, keep=["family"])
    assert design.terms == ("(Intercept)", "arm[conference]", "centre(age)", "sex[m]")
    assert design.assign == (-1, 0, 1, 2)
    assert design.reference_levels == {"arm": "usual", "sex": "f"}
    assert design.levels == {"arm": ("usual", "conference"), "sex": ("f", "m")}
    np.testing.assert_array_equal(design.rows, [0, 1, 3, 4, 5, 7])
    np.testing.assert_array_equal(design.y, [0, 1, 0, 1, 0, 1])
    assert design.y.dtype == float
    assert (design.n, design.n_rows_in, design.n_dropped) == (6, 8, 2)
    assert design.dropped == {"arm": 1, "age": 1}
    assert design.trials is None
    assert design.aliased == ()
    assert design.X.flags.c_contiguous
    assert design.X.shape == (6, 4)
    np.testing.assert_array_equal(design.X[:, 1], [0, 1, 1, 0, 1, 0])
    # keys longer than a float holds stay whole
    assert design.kept["family"].dtype == np.int64
    assert design.kept["family"].tolist() == [10**17 + i for i in (1, 1, 3, 4, 5, 7)]
    assert design.notes == (
        "Reference levels: arm = usual, sex = f.",
        "2 of 8 rows left out for missing values (arm 1, age 1).",
    )
    assert repr(design).startswith("Design of in_care ~ arm + centre(age) + sex: 6 rows, 4 columns")


def test_the_frame_is_not_changed_nor_shared(children):
    before = children.copy(deep=True)
    children["y"] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    design = parse_formula("y ~ sex").design(children, keep=["y", "child"])
    pd.testing.assert_frame_equal(children.drop(columns="y"), before)
    design.y[:] = 0
    design.kept["y"][:] = 0
    assert children["y"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


def test_missing_values_may_be_refused(children):
    with pytest.raises(DataError) as caught:
        parse_formula("in_care ~ arm + age").design(children, missing="error")
    assert [problem.place.column for problem in caught.value.problems] == ["arm", "age"]
    with pytest.raises(DesignError, match="missing"):
        parse_formula("in_care ~ arm").design(children, missing="ignore")


def test_extra_columns_must_be_complete(children):
    children["weight"] = [1.0, np.nan, 1, 1, 1, 1, 1, 1]
    children["when"] = pd.to_datetime(["2024-01-01"] * 7 + [None])
    design = parse_formula("in_care ~ sex").design(children, keep=["weight", "when", "la", "weight"])
    assert design.dropped == {"weight": 1, "when": 1}
    assert list(design.kept) == ["weight", "when", "la"]
    assert design.kept["weight"].tolist() == [1.0] * 6
    assert design.kept["when"].dtype == "datetime64[ns]"
    assert design.kept["la"].tolist() == ["Leeds", "York", "York", "Hull", "Hull", "Hull"]


def test_unknown_columns_are_named_together(children):
    with pytest.raises(FormulaError) as caught:
        parse_formula("incare ~ arm + agee + (1 | lla)").design(children, keep=["familly"])
    fixes = {problem.place.column: problem.fix for problem in caught.value.problems}
    assert fixes == {
        "incare": "did you mean 'in_care'?",
        "agee": "did you mean 'age'?",
        "lla": "did you mean 'la'?",
        "familly": "did you mean 'family'?",
    }


def test_no_row_left(children):
    children["never"] = np.nan
    with pytest.raises(DataError, match=r"no complete row is left of 8.*never 8"):
        parse_formula("in_care ~ arm + never").design(children)
    with pytest.raises(DataError, match="no complete row is left of 0"):
        parse_formula("in_care ~ arm").design(children.iloc[:0])


def test_only_sound_frames(children):
    with pytest.raises(DataError, match="pandas"):
        parse_formula("y ~ x").design({"y": [1], "x": [2]})
    twice = pd.concat([children, children[["age"]]], axis=1)
    with pytest.raises(DataError, match="'age' is there more than once"):
        parse_formula("in_care ~ sex").design(twice)


def test_columns_that_are_not_named_by_text_are_out_of_reach():
    data = pd.DataFrame({"y": [1.0, 2.0], 1: [3.0, 4.0], ("a", "b"): [5.0, 6.0]})
    assert parse_formula("y ~ 1").design(data).n == 2
    with pytest.raises(FormulaError, match="no column '1'"):
        parse_formula("y ~ `1`").design(data)


def test_long_formulas_are_shortened_in_errors():
    text = "y ~ " + " + ".join(f"x{i}" for i in range(500))
    with pytest.raises(FormulaError) as caught:
        parse_formula(text).design(pd.DataFrame({"y": [1.0], **{f"x{i}": [1.0] for i in range(499)}}))
    assert len(str(caught.value)) < 250


def test_a_factor_of_the_random_part_alone_does_not_bind_other_rows():
    data = pd.DataFrame({"y": [1.0, 2, 3, 5], "year": [1, 2, 1, 2], "g": list("aabb")})
    design = parse_formula("y ~ year + (0 + factor(year) | g)").design(data)
    np.testing.assert_array_equal(design.matrix(pd.DataFrame({"year": [7]})), [[1.0, 7.0]])


def test_response_kinds(children):
    children["flag"] = children["in_care"] == 1
    design = parse_formula("flag ~ sex").design(children)
    np.testing.assert_array_equal(design.y, children["in_care"])
    children["days"] = [1.0, 2, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(parse_formula("log(days) ~ sex").design(children).y, np.log(children["days"]))
    for column in ("arm", "la"):
        with pytest.raises(FormulaError, match="1 where it happened"):
            parse_formula(f"{column} ~ sex").design(children)
    design = parse_formula("~ sex", response=False).design(children)
    assert design.outcome is None
    with pytest.raises(FormulaError, match="no response"):
        _ = design.y


def test_successes_and_trials():
    data = pd.DataFrame({"cases": [3, 0, 5], "all": [10, 4, 5], "x": [1.0, 2.0, 3.0]})
    design = parse_formula("cases / all ~ x").design(data)
    assert design.y.tolist() == [3, 0, 5]
    assert design.trials.tolist() == [10, 4, 5]
    bad = pd.DataFrame({"cases": [3.5, -1, 6, 0], "all": [10, 4, 5, 0], "x": [1.0, 2, 3, 4]})
    with pytest.raises(DataError) as caught:
        parse_formula("cases / all ~ x").design(bad)
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [
        "'cases' is not a whole number in 1 row",
        "'cases' is negative in 1 row",
        "'cases' is more than 'all' in 1 row",
        "'all' is not above 0 in 1 row",
    ]


def test_groups(children):
    design = parse_formula("in_care ~ sex + (1 + age | la/team) + (0 + sex | arm) + (1 || family)").design(
        children
    )
    assert list(design.groups) == ["la", "la:team", "arm", "family"]
    assert design.group_levels["la"] == ("Hull", "Leeds", "York")
    used = children.iloc[design.rows]
    assert [design.group_levels["la"][code] for code in design.groups["la"]] == used["la"].tolist()
    pairs = [design.group_levels["la:team"][code] for code in design.groups["la:team"]]
    assert pairs == [f"{la}:{team}" for la, team in zip(used["la"], used["team"], strict=True)]
    assert design.group_levels["la:team"] == ("Hull:A", "Hull:B", "Leeds:A", "Leeds:B", "York:A", "York:B")
    first, second, third = design.random_columns
    assert first.names == ("(Intercept)", "age")
    np.testing.assert_array_equal(first.Z, np.column_stack([np.ones(design.n), used["age"]]))
    assert second.names == ("sex[f]", "sex[m]")
    np.testing.assert_array_equal(second.Z.sum(axis=1), np.ones(design.n))
    assert third.names == ("(Intercept)",)
    assert first.term.groups == ("la", "la:team")
    assert design.n == 6


def test_groups_follow_declared_levels_and_use_only_those_that_occur():
    data = pd.DataFrame({"y": [1.0, 2, 3], "g": ["b", "a", "b"]})
    formula = parse_formula("y ~ 1 + (1 | g)")
    design = formula.design(data, levels={"g": ["c", "b", "a"]})
    assert design.group_levels["g"] == ("b", "a")
    assert design.groups["g"].tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="outside its levels"):
        formula.design(data, levels={"g": ["a", "c"]})


def test_many_nested_groups_need_little_memory():
    n = 60_000
    data = pd.DataFrame({"y": np.zeros(n), "family": np.arange(n) // 2, "child": np.arange(n)})
    design = parse_formula("y ~ 1 + (1 | family/child)").design(data)
    assert len(design.group_levels["family"]) == n // 2
    assert len(design.group_levels["family:child"]) == n


def test_a_random_slope_of_a_level_that_does_not_occur():
    data = pd.DataFrame({"y": [1.0, 2, 3, 4], "arm": list("abab"), "g": list("ccdd")})
    design = parse_formula("y ~ 1 + (0 + arm | g)").design(data, levels={"arm": ["a", "b", "z"]})
    assert design.random_columns[0].names == ("arm[a]", "arm[b]")
    assert [str(alias) for alias in design.aliased] == ["arm[z] in (0 + arm | g) = 0"]


def test_matrix_of_other_rows(children):
    children = pd.concat([children, children.assign(sex=list("mffmfmfm"), age=[1, 2, 8, 4, 6, 10, 7, 13])])
    formula = parse_formula("in_care ~ arm*sex + scale(age) + poly(age, 2):sex")
    design = formula.design(children)
    assert [alias.term for alias in design.aliased] == ["poly(age, 2)[1]:sex[m]"]
    np.testing.assert_array_equal(design.matrix(children.iloc[design.rows]), design.X)
    one = pd.DataFrame({"arm": ["usual"], "sex": ["m"], "age": [20]})
    new = design.matrix(one)
    assert new.shape == (1, design.X.shape[1])
    mean, sd = design.constants["scale(age)"].mean, design.constants["scale(age)"].sd
    assert new[0, design.terms.index("scale(age)")] == pytest.approx((20 - mean) / sd)
    assert design.matrix(one.iloc[:0]).shape == (0, design.X.shape[1])


def test_matrix_refuses_what_the_model_does_not_know(children):
    design = parse_formula("in_care ~ arm + log(age + 1)".replace(" + 1", "")).design(
        children[children["age"] != 0]
    )
    good = pd.DataFrame({"arm": ["usual"], "age": [3.0]})
    assert design.matrix(good).shape == (1, 3)
    with pytest.raises(DataError, match="'other'"):
        design.matrix(good.assign(arm="other"))
    with pytest.raises(DataError, match="'age' is missing in 1 of 1 row"):
        design.matrix(good.assign(age=np.nan))
    with pytest.raises(DataError, match="infinite"):
        design.matrix(good.assign(age=np.inf))
    with pytest.raises(FormulaError, match="held numbers"):
        design.matrix(good.assign(age="3"))
    with pytest.raises(FormulaError, match="log\\(age\\)"):
        design.matrix(good.assign(age=0))
    with pytest.raises(FormulaError, match="no column 'age'"):
        design.matrix(good[["arm"]])


def test_names_in_backquotes():
    data = pd.DataFrame({"looked after": [0, 1, 1], "age (years)": [1.0, 2.0, 4.0], "1": ["a", "b", "a"]})
    design = parse_formula("`looked after` ~ centre(`age (years)`) + `1`").design(data)
    assert design.terms == ("(Intercept)", "centre(`age (years)`)", "`1`[b]")


def test_too_large_a_design_is_refused():
    n = 40_000
    data = pd.DataFrame({"y": np.zeros(n), "key": np.arange(n).astype(str)})
    with pytest.raises(FormulaError, match="'key' brings the design to 40,000 columns"):
        parse_formula("y ~ key").design(data)


def test_columns_never_share_a_name():
    data = pd.DataFrame({"g": pd.Categorical.from_codes([0, 1, 2], categories=[2, 1, "1"])})
    with pytest.raises(FormulaError, match="two columns would be named"):
        parse_formula("~ g", response=False).design(data)


def test_designs_pickle(children):
    design = parse_formula("in_care ~ arm*sex + poly(age, 2) + (1 | la)").design(children)
    again = pickle.loads(pickle.dumps(design))
    np.testing.assert_array_equal(again.X, design.X)
    np.testing.assert_array_equal(again.matrix(children.iloc[design.rows]), design.X)


def test_polars_and_arrow_arrive_converted(children):
    polars = pytest.importorskip("polars")
    narwhals = pytest.importorskip("narwhals")
    other = polars.from_pandas(children)
    formula = parse_formula("in_care ~ arm + age + la")
    ours = formula.design(narwhals.from_native(other).to_pandas())
    np.testing.assert_array_equal(ours.X, formula.design(children).X)
