"""Bad input: a clear error or a status, and nothing lost."""

import numpy as np
import pandas as pd
import pytest
from glmm_data import binary_trial, count_trial, frame, glmm

from wwc_eval.errors import ConvergenceError, DataError, DesignError, WwcError


def trial(**columns):
    return binary_trial(11, 10, 12, 0.6, 0.4).assign(**columns)


@pytest.mark.parametrize(
    ("change", "formula", "options", "words"),
    [
        ({"school": "one"}, "y ~ x + (1 | school)", {}, "single group"),
        ({"y": 1}, "y ~ x + (1 | school)", {}, "is 1 in all"),
        ({"y": 0}, "y ~ x + (1 | school)", {}, "is 0 in all"),
        ({"x": np.nan}, "y ~ x + (1 | school)", {}, "x"),
        ({"row": range(120)}, "y ~ x + (1 | row)", {}, "one row in each group"),
        ({"y": 0.5}, "y ~ x + (1 | school)", {}, "must be 0 or 1"),
        ({"w": 0.0}, "y ~ x + (1 | school)", {"weights": "w"}, "above 0"),
        ({"w": -1.0}, "y ~ x + (1 | school)", {"weights": "w"}, "above 0"),
        ({"e": 0.0}, "y ~ x + (1 | school)", {"family": "poisson", "exposure": "e"}, "above 0"),
        ({}, "y ~ x + (1 | school)", {"exposure": "x"}, "above 0"),
        ({"e": 1.0}, "y ~ x + (1 | school)", {"exposure": "e"}, "exposure goes with a count"),
        ({"y": 1.5}, "y ~ x + (1 | school)", {"family": "poisson"}, "whole numbers"),
        ({"y": -1}, "y ~ x + (1 | school)", {"family": "negative_binomial"}, "whole numbers"),
        ({"n": 1, "k": 2}, "k / n ~ x + (1 | school)", {}, "0 <= successes <= trials"),
        ({"n": 0, "k": 0}, "k / n ~ x + (1 | school)", {}, "trials above 0"),
        ({"n": 3, "k": 1}, "k / n ~ x + (1 | school)", {"family": "poisson"}, "is a share"),
        ({}, "y ~ x + absent + (1 | school)", {}, "absent"),
        ({}, "y ~ x + (1 | school)", {"method": "reml"}, "gaussian"),
        ({}, "y ~ x + (1 | school)", {"method": "laplace", "quadrature_points": 5}, "one point"),
        ({}, "y ~ x + (1 | school)", {"quadrature_points": 0}, "whole number"),
        ({}, "y ~ x + (1 + x | school)", {"quadrature_points": 9}, "single random intercept"),
        ({"c": 1}, "y ~ c + (1 | school)", {}, "does not vary"),
        ({"twin": trial()["school"]}, "y ~ x + (1 | school) + (1 | twin)", {}, "divide the rows in the same way"),
        ({}, "log(y) ~ x + (1 | school)", {"family": "poisson"}, ""),
    ],
)
def test_refused(change, formula, options, words):
    with pytest.raises(WwcError) as caught:
        glmm(formula, trial(**change), **options)
    assert words in str(caught.value)
    assert str(caught.value).count("Fix:") >= 1


def test_every_offending_row_is_named():
    data = trial().astype({"y": float})
    data.loc[[3, 17], "y"] = 2.0
    with pytest.raises(DataError) as caught:
        glmm("y ~ x + (1 | school)", data)
    assert [problem.place.row for problem in caught.value.problems] == [5, 19]


def test_counts_may_have_a_group_for_each_row():
    """Overdispersion as an effect of each row: sound for Poisson, not for 0/1 or negative binomial."""
    data = count_trial().assign(row=range(360))
    fit = glmm("ynb ~ treat + x + (1 | row)", data, "poisson", exposure="exposure")
    assert fit.status == "ok"
    assert fit.groups == {"row": 360}
    with pytest.raises(DesignError, match="one row in each group"):
        glmm("ynb ~ treat + x + (1 | row)", data, "negative_binomial")


def test_separated():
    fit = glmm("y ~ treat + x + (1 | school)", frame("syn_bin_sep"))
    assert fit.status == "separated"
    assert "'treat' has no finite estimate" in fit.message
    assert np.isnan(fit.estimates["treat"].estimate)
    assert np.isnan(fit.estimates["treat"].p_value)
    assert "infinite" in fit.estimates["treat"].warnings[0]
    # the others are those of the control schools alone
    rest = glmm("y ~ x + (1 | school)", frame("syn_bin_sep").query("treat == 0"))
    assert fit.estimates["x"].estimate == pytest.approx(rest.estimates["x"].estimate, rel=1e-9)
    assert fit.estimates["x"].se == pytest.approx(rest.estimates["x"].se, rel=1e-7)
    assert fit.log_likelihood == pytest.approx(rest.log_likelihood, rel=1e-12)
    treated = (frame("syn_bin_sep")["treat"] == 1).to_numpy()
    assert (fit.predict()[treated] == 1).all()
    assert np.isnan(fit.marginal_effect("treat").estimate)
    assert fit.random_effects().to_frame()["estimate"].isna().sum() == 6


def test_wholly_separated():
    data = trial(y=lambda d: (d["x"] > 0) * 1)
    fit = glmm("y ~ x + (1 | school)", data)
    assert fit.status == "separated"
    assert np.isnan(fit.coefficients).all()
    assert np.isnan(fit.covariances[0]).all()
    assert "perfectly" in str(fit)
    with pytest.raises(ConvergenceError):
        fit.predict()
    with pytest.raises(ConvergenceError):
        fit.marginal_effect("x")


def test_groups_that_are_all_alike_have_no_finite_variance():
    data = trial(y=lambda d: (d["school"].str[1:].astype(int) % 3 == 0) * 1)
    fit = glmm("y ~ x + (1 | school)", data)
    assert fit.status == "failed"
    assert "grows without bound" in fit.message
    assert np.isnan(fit.coefficients).all()
    assert np.isnan(fit.vcov.to_numpy()).all()
    assert "Nothing is estimated" in str(fit)


def test_boundary_and_dropped_columns():
    fit = glmm("y ~ treat + x + (1 | school)", frame("syn_bin_small"))
    assert fit.status == "boundary"
    assert "school: (Intercept)" in fit.message
    assert fit.covariances[0][0, 0] == 0.0
    twice = frame("syn_bin").assign(copy=lambda d: 2 * d["x"])
    fit = glmm("y ~ treat + x + copy + (1 | school)", twice)
    assert fit.status == "dropped_columns"
    assert "copy" in fit.message
    assert fit.terms == ("(Intercept)", "treat", "x")


def test_poisson_limit():
    data = count_trial()
    rng = np.random.default_rng(5)
    data["even"] = np.round(3 + rng.normal(size=360) * 0.3).astype(int)
    for family, limit in (("negative_binomial", np.inf), ("negative_binomial_1", 0.0)):
        fit = glmm("even ~ treat + x + (1 | team)", data, family)
        poisson = glmm("even ~ treat + x + (1 | team)", data, "poisson")
        assert fit.status == "boundary"
        assert "dispersion" in fit.message
        assert fit.dispersion == limit
        assert fit.log_likelihood == pytest.approx(poisson.log_likelihood, rel=1e-12)
        assert fit.coefficients == pytest.approx(poisson.coefficients, rel=1e-9)


@pytest.mark.parametrize("kind", ["satterthwaite", "kenward_roger", "CR0", "CR1", "CR1S", "CR2", "CR3"])
def test_other_inferences_name_the_alternative(kind):
    fit = glmm("y ~ treat + (1 | school)", frame("syn_bin_small"))
    with pytest.raises(DesignError, match="vcov='CR2'"):
        fit.with_inference(kind)


def test_wald_inference_and_levels():
    fit = glmm("y ~ treat + (1 | school)", frame("syn_bin_small"))
    narrow = fit.with_inference("wald", level=0.8)
    assert narrow.estimates["treat"].level == 0.8
    assert narrow.estimates["treat"].ci_high < fit.estimates["treat"].ci_high
    assert "CR2" in fit.estimates["treat"].warnings[0]
    with pytest.raises(DesignError):
        fit.with_inference("wald", cluster="school")
    with pytest.raises(DesignError):
        fit.with_inference("walt")


def test_missing_rows_are_counted():
    data = frame("syn_bin").copy()
    data.loc[:9, "x"] = np.nan
    fit = glmm("y ~ treat + x + (1 | school)", data)
    assert fit.n == 990
    assert fit.data.design.n_dropped == 10
    assert len(data) == 1000


def test_categorical_and_polars_frames():
    polars = pytest.importorskip("polars")
    data = frame("syn_bin")
    fit = glmm("y ~ treat + x + (1 | school)", data)
    again = glmm("y ~ treat + x + (1 | school)", polars.from_pandas(data))
    assert again.coefficients == pytest.approx(fit.coefficients, abs=0)
    assert isinstance(fit.vcov, pd.DataFrame)
