"""Figures of R: estimatr, stats::glm, sandwich and clubSandwich."""

import numpy as np
import pandas as pd
import pytest
from inference_data import SHARED, awards, cases, count_trial, epil, jobs, school_trial

import wwc_eval as we
from wwc_eval.inference import adjust_p, unadjusted_comparison

pytestmark = pytest.mark.reference

REGRESSION = "regression.json"
CLUSTERED = "cluster_robust.json"
COLUMNS = {
    "estimate": "beta",
    "se": "se",
    "df": "df",
    "p_value": "p",
    "ci_low": "ci_low",
    "ci_high": "ci_high",
}


def agree(frame, case, columns, rel):
    for column, key in columns.items():
        np.testing.assert_allclose(frame[column], list(case[key].values()), rtol=rel, err_msg=column)


@pytest.mark.parametrize("vcov", ["classical", "HC0", "HC1", "HC2", "HC3"])
def test_ancova_equals_estimatr(vcov):
    case = cases(REGRESSION)[f"jobs_ancova_{vcov}"]
    fit = we.regression(case["formula"], jobs(), vcov=vcov)
    assert fit.n == case["nobs"]
    assert list(fit.terms) == list(case["beta"])
    agree(fit.estimates.to_frame(), case, COLUMNS, rel=1e-10)


@pytest.mark.parametrize(("name", "vcov"), [("model", "classical"), ("HC0", "HC0")])
def test_logit_and_marginal_effects_equal_r(name, vcov):
    case = cases(REGRESSION)[f"jobs_logit_{name}"]
    fit = we.regression(case["formula"], jobs(), family="binomial", vcov=vcov)
    agree(fit.estimates.to_frame(), case, {"estimate": "beta", "se": "se"}, rel=1e-10)
    assert np.isinf(fit.estimates[0].df)
    for scale, estimate, se in (
        ("risk_difference", "risk_difference", "se_risk_difference"),
        ("risk_ratio", "risk_ratio", "se_log_risk_ratio"),
        ("odds_ratio", "marginal_odds_ratio", "se_log_marginal_odds_ratio"),
    ):
        effect = fit.marginal_effect("treat", scale=scale)
        assert effect.estimate == pytest.approx(case[estimate], rel=1e-11)
        assert effect.se == pytest.approx(case[se], rel=1e-8)
        assert effect.scale == scale


def test_quasipoisson_equals_r():
    case = cases(REGRESSION)["epil_quasipoisson"]
    fit = we.regression(case["formula"], epil(), family="quasipoisson", levels={"trt": ["placebo", "progabide"]})
    agree(fit.estimates.to_frame(), case, {"estimate": "beta", "se": "se"}, rel=1e-10)
    assert fit.dispersion == pytest.approx(case["dispersion"], rel=1e-10)
    assert fit.estimates[0].df == fit.n - 4
    assert np.isnan(fit.log_likelihood)


def test_poisson_with_exposure_equals_r():
    case = cases(REGRESSION)["syn_count_poisson_exposure"]
    fit = we.regression("ypois ~ treat + x", count_trial(), family="poisson", exposure="exposure")
    agree(fit.estimates.to_frame(), case, {"estimate": "beta", "se": "se"}, rel=1e-10)


@pytest.mark.parametrize("vcov", ["CR0", "CR2"])
def test_linear_awards_equal_estimatr(vcov):
    case = cases(CLUSTERED)[f"lm_robust_awards_{vcov}"]
    formula = "Bagrut_status ~ treated + sex + siblings + immigrant + father_ed + mother_ed"
    fit = we.regression(formula, awards(), vcov=vcov, cluster="school_id", levels={"sex": ["Boy", "Girl"]})
    assert fit.n == case["nobs"]
    agree(fit.estimates.to_frame(), case, COLUMNS, rel=1e-9)


@pytest.mark.parametrize("vcov", ["CR0", "CR1", "CR1S", "CR2", "CR3"])
def test_linear_awards_equal_clubsandwich(vcov):
    case = cases(CLUSTERED)[f"clubSandwich_lm_awards_{vcov}"]
    formula = "Bagrut_status ~ treated + sex + siblings + immigrant + father_ed + mother_ed"
    fit = we.regression(
        formula, awards(), vcov=vcov, cluster="school_id", levels={"sex": ["Boy", "Girl"]}, df="satterthwaite"
    )
    columns = {"estimate": "beta", "se": "se", "df": "df", "p_value": "p_satt"}
    agree(fit.estimates.to_frame(), case, columns, rel=1e-9)


def test_logistic_awards_equal_clubsandwich():
    case = cases(CLUSTERED)["clubSandwich_glm_awards_CR0"]
    formula = "Bagrut_status ~ treated + sex + siblings + immigrant + father_ed + mother_ed"
    fit = we.regression(
        formula,
        awards(),
        family="binomial",
        vcov="CR0",
        cluster="school_id",
        levels={"sex": ["Boy", "Girl"]},
        df="satterthwaite",
    )
    # R stops its iterations at a relative change of 1e-8 in the deviance: its own errors show here
    agree(fit.estimates.to_frame(), case, {"estimate": "beta", "se": "se", "df": "df"}, rel=2e-6)


@pytest.mark.parametrize("name", ["syn_trial3", "syn_trial_4la"])
def test_cr2_of_a_school_trial_equals_estimatr(name):
    case = cases(CLUSTERED)[f"lm_robust_CR2_{name}"]
    fit = we.regression("y ~ treat + pretest + fsm", school_trial(name), vcov="CR2", cluster="school")
    agree(fit.estimates.to_frame(), case, COLUMNS, rel=1e-9)


@pytest.mark.parametrize("name", ["syn_trial3", "syn_unbal"])
def test_fully_interacted_cr2_equals_lm_lin(name):
    case = cases(CLUSTERED)[f"lm_lin_CR2_{name}"]
    formula = "y ~ treat * (centre(pretest) + centre(fsm))"
    fit = we.regression(formula, school_trial(name), vcov="CR2", cluster="school")
    agree(fit.estimates.to_frame(), case, COLUMNS, rel=1e-9)


@pytest.mark.parametrize("name", ["syn_trial3", "syn_trial_4la", "syn_unbal"])
def test_unadjusted_cr2_equals_difference_in_means(name):
    case = cases(CLUSTERED)[f"dim_{name}"]
    result = unadjusted_comparison("y", "treat", school_trial(name), vcov="CR2", cluster="school")
    effect = result.estimates["treat"]
    assert effect.estimate == pytest.approx(case["beta"]["treat"], rel=1e-10)
    assert effect.se == pytest.approx(case["se"]["treat"], rel=1e-9)
    assert effect.df == pytest.approx(case["df"]["treat"], rel=1e-9)
    assert effect.p_value == pytest.approx(case["p"]["treat"], rel=1e-8)


def test_fully_interacted_hc2_equals_lm_lin():
    path = SHARED / "mstData.csv"
    if not path.exists():
        pytest.skip("the eefAnalytics data are not here")
    case = cases(CLUSTERED)["lm_lin_HC2_mst"]
    fit = we.regression("Posttest ~ Intervention * centre(Prettest)", pd.read_csv(path), vcov="HC2")
    agree(fit.estimates.to_frame(), case, COLUMNS, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("holm", "holm"),
        ("hochberg", "hochberg"),
        ("bonferroni", "bonferroni"),
        ("benjamini_hochberg", "BH"),
        ("benjamini_yekutieli", "BY"),
    ],
)
def test_adjusted_p_values_equal_r(method, key):
    case = cases("p_adjust.json")["p_adjust"]
    np.testing.assert_allclose(adjust_p(case["p"], method), case[key], rtol=1e-12)
