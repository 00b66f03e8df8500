"""The missing-indicator method: what is completed, what is not, and that nobody randomised is lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.formula import parse_formula
from wwc_eval.inference.missing_data import missing_indicator


@pytest.fixture
def data():
    rng = np.random.default_rng(7)
    n = 400
    frame = pd.DataFrame({
        "arm": pd.Categorical(np.where(np.arange(n) % 2, "b", "a"), categories=["a", "b"]),
        "x": rng.normal(size=n),
        "sex": pd.Categorical(rng.choice(["f", "m"], n), categories=["f", "m"]),
    })  # fmt: skip
    frame["y"] = 1.0 * (frame["arm"] == "b") + frame["x"] + rng.normal(size=n)
    frame.loc[rng.choice(n, 60, replace=False), "x"] = np.nan
    frame.loc[rng.choice(n, 30, replace=False), "sex"] = None
    frame.loc[rng.choice(n, 20, replace=False), "y"] = np.nan
    return frame


def test_numbers_get_the_mean_and_an_indicator_and_categories_a_level(data):
    before = data.copy()
    done = missing_indicator(data, parse_formula("y ~ arm + x + sex"), keep=("arm",))
    pd.testing.assert_frame_equal(data, before)  # the caller's frame does not change
    assert done.formula.text == "y ~ arm + x + sex + x_missing"
    assert done.levels["sex"] == ("f", "m", "missing")
    usable = data["y"].notna()
    mean = data.loc[usable, "x"].mean()
    assert np.allclose(done.frame.loc[data["x"].isna(), "x"], mean)
    assert done.completed["x"][0] == int((data["x"].isna() & usable).sum())
    assert done.frame["y"].isna().sum() == data["y"].isna().sum()  # outcomes are never completed


def test_nobody_with_an_outcome_is_lost_and_the_constant_does_not_matter(data):
    done = missing_indicator(data, parse_formula("y ~ arm + x + sex"), keep=("arm",))
    fit = we.regression(done.formula.text, done.frame, vcov="HC2", levels=done.levels)
    assert fit.n == data["y"].notna().sum()
    other = done.frame.copy()
    other.loc[data["x"].isna(), "x"] = 99.0  # absorbed by the indicator
    again = we.regression(done.formula.text, other, vcov="HC2", levels=done.levels)
    assert again.estimates["arm[b]"].estimate == pytest.approx(fit.estimates["arm[b]"].estimate, rel=1e-9)
    assert again.estimates["arm[b]"].se == pytest.approx(fit.estimates["arm[b]"].se, rel=1e-9)


def test_complete_columns_and_other_columns_stay(data):
    formula = parse_formula("y ~ arm + x + sex")
    only = missing_indicator(data, formula, columns=["sex"])
    assert set(only.completed) == {"sex"}
    assert only.frame["x"].isna().any()
    complete = data.dropna()
    assert missing_indicator(complete, formula, keep=("arm",)).formula is formula


def test_names_that_are_not_identifiers(data):
    named = data.rename(columns={"x": "score (0-10)"})
    done = missing_indicator(named, parse_formula("y ~ arm + `score (0-10)`"), keep=("arm",))
    assert "`score (0-10)_missing`" in done.formula.text


def test_refusals(data):
    formula = parse_formula("y ~ arm + x")
    with pytest.raises(DesignError, match="'z' is not a covariate"):
        missing_indicator(data, formula, columns=["z"])
    with pytest.raises(DesignError, match="missing in every row"):
        missing_indicator(data.assign(x=np.nan), formula)


@pytest.mark.simulation
def test_the_effect_is_unbiased_where_values_are_missing_at_random():
    estimates = []
    for trial in range(200):
        rng = np.random.default_rng([3, trial])
        n = 200
        x = rng.normal(size=n)
        arm = rng.permutation(n) % 2
        frame = pd.DataFrame({"y": 0.5 * arm + 2 * x + rng.normal(size=n), "arm": arm, "x": x})
        frame.loc[rng.random(n) < 0.3, "x"] = np.nan
        done = missing_indicator(frame, parse_formula("y ~ arm + x"), keep=("arm",))
        estimates.append(we.regression(done.formula.text, done.frame).estimates["arm"].estimate)
    assert abs(np.mean(estimates) - 0.5) < 3.3 * np.std(estimates, ddof=1) / np.sqrt(200)
