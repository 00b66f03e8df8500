"""Separation: decided as a linear programme decides it, and never a huge coefficient in silence."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_data import LEVELS, family_trial
from scipy.optimize import linprog

import wwc_eval as we
from wwc_eval.errors import ConvergenceError, DesignError, WwcError
from wwc_eval.inference.separation import find_separation


def separable_rows(y, X, link):
    """Rows that some direction of separation moves: the largest set, by one linear programme with slacks."""
    n, p = X.shape
    side = np.where(y == 0, -1.0, np.where((y == 1) & (link == "logit"), 1.0, 0.0))
    bound = np.flatnonzero(side)
    k = len(bound)
    reach = -side[bound, None] * X[bound]
    result = linprog(
        np.r_[np.zeros(p), -np.ones(k)],
        A_ub=np.vstack([np.hstack([reach, np.eye(k)]), np.hstack([reach, np.zeros((k, k))])]),
        b_ub=np.zeros(2 * k),
        A_eq=np.hstack([X[side == 0], np.zeros(((side == 0).sum(), k))]) if (side == 0).any() else None,
        b_eq=np.zeros((side == 0).sum()) if (side == 0).any() else None,
        bounds=[(None, None)] * p + [(0, 1)] * k,
    )
    rows = np.zeros(n, dtype=bool)
    rows[bound] = result.x[p:] > 0.5
    return rows


def draw(seed, link):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 40))
    columns = [np.ones(n)]
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.integers(3)
        columns.append(
            [rng.integers(0, 2, n), rng.integers(0, 4, n), np.round(rng.normal(size=n), 1)][kind].astype(float)
        )
    X = np.column_stack(columns)
    eta = X @ rng.normal(0, 1.5, X.shape[1])
    y = rng.random(n) < 1 / (1 + np.exp(-eta)) if link == "logit" else rng.poisson(np.exp(np.clip(eta, -9, 2)))
    return y.astype(float), X


@pytest.mark.property
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["logit", "log"]))
def test_separated_rows_are_those_of_the_linear_programme(seed, link):
    y, X = draw(seed, link)
    if np.linalg.matrix_rank(X) < X.shape[1]:
        return
    expected = separable_rows(y, X, link)
    found = find_separation(y, X, link)
    rows = np.zeros(len(y), dtype=bool) if found is None else found.rows
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.property
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["binomial", "poisson"]))
def test_status_is_separated_just_where_the_linear_programme_says(seed, family):
    y, X = draw(seed, "logit" if family == "binomial" else "log")
    frame = pd.DataFrame(X[:, 1:], columns=[f"x{j}" for j in range(1, X.shape[1])]).assign(y=y)
    formula = "y ~ " + " + ".join(name for name in frame if name != "y")
    try:
        fit = we.regression(formula, frame, family=family)
    except WwcError:
        return
    design = fit.design_info.X
    separated = separable_rows(y, design, "logit" if family == "binomial" else "log").any()
    assert (fit.status == "separated") == separated
    assert fit.status != "failed"
    for row in fit.estimates:
        assert np.isnan(row.estimate) or (abs(row.estimate) < 60 and row.se > 0)
        if np.isnan(row.estimate):
            assert any("Not estimable" in warning for warning in row.warnings)


def test_an_area_without_events_leaves_the_rest_as_if_it_were_not_there():
    data = family_trial().copy()
    data.loc[data["local_authority"] == "LA3", "in_care"] = 0
    options = {"family": "binomial", "vcov": "HC0", "levels": LEVELS}
    fit = we.regression("in_care ~ arm + local_authority + age", data, **options)
    rest = we.regression(
        "in_care ~ arm + local_authority + age", data[data["local_authority"] != "LA3"], **options
    )
    assert fit.status == "separated"
    assert "'local_authority[LA3]'" in fit.message
    for row in rest.estimates:
        assert fit.estimates[row.term].estimate == pytest.approx(row.estimate, rel=1e-9)
        assert fit.estimates[row.term].se == pytest.approx(row.se, rel=1e-9)
    assert np.isnan(fit.estimates["local_authority[LA3]"].estimate)
    assert fit.vcov.loc["local_authority[LA3]"].isna().all()
    # the area adds children whose risk is zero in either arm
    share = (data["local_authority"] != "LA3").mean()
    effect, inner = fit.marginal_effect("arm"), rest.marginal_effect("arm")
    assert effect.estimate == pytest.approx(share * inner.estimate, rel=1e-9)
    assert effect.se == pytest.approx(share * inner.se, rel=1e-9)
    assert any("at their limit" in warning for warning in effect.warnings)
    predicted = fit.predict()
    assert np.all(predicted[data["local_authority"] == "LA3"] == 0)
    assert predicted.mean() == pytest.approx(data["in_care"].mean(), rel=1e-9)


def test_the_limit_is_what_iteration_runs_to():
    """An unpenalised optimiser left to run gives the same other coefficients."""
    import statsmodels.api as sm

    data = family_trial(families=150).copy()
    data.loc[data["local_authority"] == "LA3", "in_care"] = 0
    fit = we.regression("in_care ~ arm + local_authority + age", data, family="binomial", levels=LEVELS)
    X = fit.design_info.X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = sm.GLM(fit.design_info.y, X, family=sm.families.Binomial()).fit(maxiter=25, tol=0)
    fine = np.array([term != "local_authority[LA3]" for term in fit.terms])
    np.testing.assert_allclose(np.array(list(fit.coefficients.values()))[fine], peer.params[fine], rtol=1e-6)
    assert abs(peer.params[~fine][0]) > 15


def test_an_arm_without_events_is_not_estimable():
    data = family_trial().copy()
    data.loc[data["arm"] == "conference", "in_care"] = 0
    fit = we.regression("in_care ~ arm + age", data, family="binomial", levels=LEVELS)
    assert fit.status == "separated"
    for scale in ("risk_difference", "risk_ratio", "odds_ratio"):
        effect = fit.marginal_effect("arm", scale=scale)
        assert np.isnan([effect.estimate, effect.se, effect.p_value, effect.ci_low, effect.ci_high]).all()
        assert "Not estimable" in effect.warnings[0]
    with pytest.raises(DesignError, match="Not estimable"):
        fit.wald_test("arm")
    assert fit.wald_test("age").p_value > 0
    assert "—" in str(fit.marginal_effect("arm"))


def test_complete_separation_estimates_nothing():
    data = family_trial().assign(in_care=lambda d: (d["age"] > 8).astype(int))
    fit = we.regression("in_care ~ arm + age", data, family="binomial", vcov="CR1", cluster="family_id")
    assert fit.status == "separated"
    assert "no coefficient is finite" in fit.message
    assert np.isnan(list(fit.coefficients.values())).all()
    with pytest.raises(ConvergenceError, match="perfectly"):
        fit.marginal_effect("arm")
    with pytest.raises(ConvergenceError):
        fit.predict()
    assert "Separated" in str(fit)


def test_a_numeric_threshold_is_named():
    data = family_trial().assign(in_care=lambda d: ((d["age"] > 12) | (d["in_care"] == 1)).astype(int))
    data.loc[data["age"] <= 12, "in_care"] = 0
    fit = we.regression("in_care ~ age", data, family="binomial")
    assert fit.status == "separated"


def test_counts_of_a_group_without_events():
    data = family_trial().copy()
    data.loc[data["local_authority"] == "LA2", "days"] = 0
    for family in ("poisson", "quasipoisson"):
        fit = we.regression(
            "days ~ arm + local_authority", data, family=family, exposure="exposure", levels=LEVELS
        )
        assert fit.status == "separated"
        assert np.isnan(fit.coefficients["local_authority[LA2]"])
        assert np.isfinite(fit.coefficients["arm[conference]"])
        assert np.isfinite(fit.marginal_effect("arm").estimate)


def test_rare_events_and_far_covariates_are_not_separation():
    rng = np.random.default_rng(1)
    n = 600
    data = pd.DataFrame({"y": 0, "x": rng.normal(size=n), "g": rng.choice(["a", "b"], n)})
    data.loc[rng.choice(n, 8, replace=False), "y"] = 1
    data.loc[0, ["y", "x"]] = [1, 400.0]
    data.loc[1, ["y", "x"]] = [0, 300.0]
    data.loc[2, ["y", "x"]] = [1, 250.0]
    fit = we.regression("y ~ x + g", data, family="binomial")
    assert fit.status in ("ok", "separated")
    assert (fit.status == "separated") == separable_rows(
        data["y"].to_numpy(float), fit.design_info.X, "logit"
    ).any()
