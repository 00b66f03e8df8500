"""Marginal effects: against numeric derivatives, statsmodels and closed forms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from inference_data import LEVELS, family_trial

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.inference.marginal import CONTRAST_SCALES

OUTCOMES = {"gaussian": "score", "binomial": "in_care", "poisson": "days"}
RIGHT = "arm * (age + sex) + poly(age, 2) + local_authority"


def moved(fit, shift):
    """The fit with other coefficients: what a numeric derivative needs."""
    solution = replace(fit.fitted.solution, beta=fit.fitted.solution.beta + shift)
    return replace(fit, fitted=replace(fit.fitted, solution=solution))


def numeric_error(fit, variable, scale, transform):
    """Delta-method standard error from central differences of the estimate in the coefficients."""
    p = len(fit.fitted.columns)
    step = 1e-5 * np.sqrt(np.diag(fit.covariance.matrix))
    gradient = np.empty(p)
    for j in range(p):
        shift = np.eye(p)[j] * step[j]
        high = transform(moved(fit, shift).marginal_effect(variable, scale=scale).estimate)
        low = transform(moved(fit, -shift).marginal_effect(variable, scale=scale).estimate)
        gradient[j] = (high - low) / (2 * step[j])
    return np.sqrt(gradient @ fit.covariance.matrix @ gradient)


@pytest.mark.parametrize("vcov", ["classical", "HC2", "CR2"])
@pytest.mark.parametrize(
    ("family", "scale"),
    [
        ("gaussian", "mean_difference"),
        ("binomial", "risk_difference"),
        ("binomial", "risk_ratio"),
        ("binomial", "odds_ratio"),
        ("poisson", "rate_ratio"),
        ("poisson", "rate_difference"),
        ("poisson", "mean_difference"),
    ],
)
def test_errors_equal_numeric_derivatives(family, scale, vcov):
    data = family_trial(families=150)
    options = {"cluster": "family_id"} if vcov == "CR2" else {}
    exposure = "exposure" if "rate" in scale else None
    fit = we.regression(
        f"{OUTCOMES[family]} ~ {RIGHT}",
        data,
        family=family,
        vcov=vcov,
        levels=LEVELS,
        exposure=exposure,
        **options,
    )
    transform = np.log if scale.endswith("ratio") else float
    effect = fit.marginal_effect("arm", scale=scale)
    assert effect.se == pytest.approx(numeric_error(fit, "arm", scale, transform), rel=1e-6)
    if vcov == "CR2":
        assert 10 < effect.df < 150


@pytest.mark.parametrize("right", ["age", "arm * poly(age, 3)", "log(age_1) + age", "centre(age)^2", "age:sex"])
@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_slopes_equal_numeric_derivatives(family, right):
    data = family_trial(families=150).assign(age_1=lambda d: d["age"] + 0.5)
    variable = "age_1" if "age_1" in right else "age"
    fit = we.regression(f"{OUTCOMES[family]} ~ {right}", data, family=family, levels=LEVELS)
    effect = fit.marginal_effect(variable)
    h = 1e-4
    up, down = (fit.predict(data.assign(**{variable: data[variable] + s})) for s in (h, -h))
    assert effect.estimate == pytest.approx(np.mean(up - down) / (2 * h), rel=1e-5)
    assert effect.se == pytest.approx(numeric_error(fit, variable, None, float), rel=1e-6)


def test_slopes_of_a_column_that_reaches_zero_under_a_root():
    data = family_trial(families=150).assign(age=lambda d: d["age"] + 1e-3)
    fit = we.regression("score ~ sqrt(age)", data)
    expected = fit.coefficients["sqrt(age)"] * np.mean(0.5 / np.sqrt(data["age"]))
    assert fit.marginal_effect("age").estimate == pytest.approx(expected, rel=1e-9)


def test_equals_statsmodels_average_marginal_effects():
    import statsmodels.api as sm

    data = family_trial()
    fit = we.regression("in_care ~ arm + age", data, family="binomial", levels=LEVELS)
    X = pd.DataFrame(fit.design_info.X, columns=list(fit.terms))
    peer = sm.Logit(data["in_care"], X).fit(disp=0, tol=1e-14).get_margeff(at="overall", dummy=True)
    for position, variable in enumerate(("arm", "age")):
        effect = fit.marginal_effect(variable)
        assert effect.estimate == pytest.approx(peer.margeff[position], rel=1e-8)
        assert effect.se == pytest.approx(peer.margeff_se[position], rel=1e-7)


def test_unadjusted_contrasts_are_those_of_the_table():
    data = family_trial()
    fit = we.regression("in_care ~ arm", data, family="binomial", levels=LEVELS)
    risk = data.groupby("arm")["in_care"].mean()
    size = data.groupby("arm")["in_care"].size()
    p1, p0, n1, n0 = risk["conference"], risk["usual"], size["conference"], size["usual"]
    difference = fit.marginal_effect("arm")
    assert difference.estimate == pytest.approx(p1 - p0, rel=1e-10)
    assert difference.se == pytest.approx(np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0), rel=1e-9)
    ratio = fit.marginal_effect("arm", scale="risk_ratio")
    assert ratio.estimate == pytest.approx(p1 / p0, rel=1e-10)
    assert ratio.se == pytest.approx(np.sqrt((1 - p1) / (n1 * p1) + (1 - p0) / (n0 * p0)), rel=1e-9)
    odds = fit.marginal_effect("arm", scale="odds_ratio")
    conditional = fit.ratio("arm[conference]")  # the same without covariates
    assert (odds.estimate, odds.se) == pytest.approx((conditional.estimate, conditional.se), rel=1e-9)
    assert (ratio.units, odds.units, difference.units) == ("risk ratio", "odds ratio", "percentage points")
    assert difference.details["mean_reference"] == pytest.approx(p0, rel=1e-10)


def test_the_marginal_odds_ratio_is_nearer_to_one_than_the_conditional():
    rng = np.random.default_rng(3)
    n = 20_000
    data = pd.DataFrame({"x": rng.normal(0, 2, n), "treat": rng.integers(0, 2, n)})
    data["y"] = (rng.random(n) < 1 / (1 + np.exp(-(data["treat"] + 2 * data["x"])))).astype(int)
    fit = we.regression("y ~ treat + x", data, family="binomial")
    marginal, conditional = fit.marginal_effect("treat", scale="odds_ratio"), fit.ratio("treat")
    assert 1 < marginal.estimate < 0.7 * conditional.estimate
    assert marginal.term == "treat"


def test_rates_are_standardised_by_exposure():
    data = family_trial()
    fit = we.regression("days ~ arm", data, family="poisson", exposure="exposure", levels=LEVELS)
    totals = data.groupby("arm")[["days", "exposure"]].sum()
    rate = totals["days"] / totals["exposure"]
    ratio, difference = (fit.marginal_effect("arm", scale=s) for s in ("rate_ratio", "rate_difference"))
    assert ratio.estimate == pytest.approx(rate["conference"] / rate["usual"], rel=1e-10)
    assert difference.estimate == pytest.approx(rate["conference"] - rate["usual"], rel=1e-10)
    means = fit.adjusted_means("arm")
    assert [row.estimate for row in means] == pytest.approx([rate["usual"], rate["conference"]], rel=1e-10)
    assert {row.scale for row in means} == {"rate"}


def test_several_levels_give_a_table_against_the_reference():
    data = family_trial()
    fit = we.regression("in_care ~ local_authority + age", data, family="binomial", vcov="HC1")
    table = fit.marginal_effect("local_authority")
    assert table.terms == tuple(f"local_authority[LA{k}]" for k in range(1, 6))
    assert "local_authority = LA0" in str(table)
    means = fit.adjusted_means("local_authority")
    assert len(means) == 6
    assert table[0].estimate == pytest.approx(means[1].estimate - means[0].estimate, rel=1e-10)


def test_an_interaction_is_averaged_over_the_sample():
    data = family_trial()
    fit = we.regression("score ~ arm * sex", data, levels=LEVELS)
    share = (data["sex"] == "male").mean()
    expected = fit.coefficients["arm[conference]"] + share * fit.coefficients["arm[conference]:sex[male]"]
    assert fit.marginal_effect("arm").estimate == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("dtype", ["str", "object", "category", "int64", "bool", "float64", "Int64"])
def test_every_kind_of_arm_column(dtype):
    data = family_trial()
    expected = we.regression("score ~ arm + age", data, levels=LEVELS).marginal_effect("arm").estimate
    arm = data["arm"].astype(dtype) if dtype in ("str", "object") else data["arm"] == "conference"
    if dtype == "category":
        arm = pd.Categorical(data["arm"], categories=["usual", "conference", "never"])
    elif dtype not in ("str", "object", "bool"):
        arm = arm.astype(dtype)
    levels = LEVELS if dtype in ("str", "object") else None
    fit = we.regression("score ~ arm + age", data.assign(arm=arm), levels=levels)
    effect = fit.marginal_effect("arm")
    assert effect.estimate == pytest.approx(expected, rel=1e-10)
    assert effect.term == ("arm[conference]" if dtype in ("str", "object", "category") else "arm")


def test_numbers_as_a_factor():
    data = family_trial().assign(year=lambda d: 2020 + (d["age"] // 7).astype(int))
    fit = we.regression("score ~ factor(year)", data)
    assert fit.marginal_effect("year").terms == ("year[2021]", "year[2022]")


def test_names_that_are_no_identifiers():
    data = family_trial().rename(columns={"arm": "trial arm", "age": "age (years)"})
    fit = we.regression("score ~ `trial arm` + `age (years)`", data, levels={"trial arm": LEVELS["arm"]})
    assert fit.marginal_effect("trial arm").term == "trial arm[conference]"
    assert fit.marginal_effect("age (years)").estimate == pytest.approx(
        fit.coefficients["`age (years)`"], rel=1e-9
    )


@pytest.mark.parametrize(
    ("family", "outcome", "fine"),
    [
        ("gaussian", "score", {"mean_difference"}),
        ("gaussian", "in_care", {"mean_difference", "risk_difference"}),
        ("binomial", "in_care", {"risk_difference", "risk_ratio", "odds_ratio"}),
        ("poisson", "days", {"rate_ratio", "rate_difference", "mean_difference"}),
        (
            "quasipoisson",
            "in_care",
            {"rate_ratio", "rate_difference", "mean_difference", "risk_ratio", "risk_difference"},
        ),
    ],
)
def test_scales_that_do_not_suit_the_family_are_refused(family, outcome, fine):
    fit = we.regression(f"{outcome} ~ arm", family_trial(), family=family)
    for scale in CONTRAST_SCALES:
        if scale in fine:
            assert fit.marginal_effect("arm", scale=scale).scale == scale
        else:
            with pytest.raises(DesignError, match=r"does not suit.*Fix: use"):
                fit.marginal_effect("arm", scale=scale)


def test_a_linear_probability_model_gives_the_risk_difference():
    data = family_trial()
    fit = we.regression("in_care ~ arm", data, vcov="HC2", levels=LEVELS)
    effect = fit.marginal_effect("arm", scale="risk_difference")
    risk = data.groupby("arm")["in_care"].mean()
    assert effect.estimate == pytest.approx(risk["conference"] - risk["usual"], rel=1e-10)
    assert "percentage points" in str(effect)


def test_a_poisson_fit_of_a_binary_outcome_gives_the_risk_ratio():
    """Zou's modified Poisson regression, doi:10.1093/aje/kwh090."""
    data = family_trial()
    fit = we.regression("in_care ~ arm", data, family="poisson", vcov="HC0", levels=LEVELS)
    logit = we.regression("in_care ~ arm", data, family="binomial", levels=LEVELS)
    one, two = (f.marginal_effect("arm", scale="risk_ratio") for f in (fit, logit))
    assert one.estimate == pytest.approx(two.estimate, rel=1e-9)
    assert one.se == pytest.approx(two.se, rel=1e-3)


def test_questions_that_cannot_be_answered():
    data = family_trial().assign(one="A")
    fit = we.regression("score ~ arm + age", data)
    with pytest.raises(DesignError, match="did you mean 'arm'"):
        fit.marginal_effect("arms")
    with pytest.raises(DesignError, match="compares levels"):
        we.regression("in_care ~ age", data, family="binomial").marginal_effect("age", scale="risk_ratio")
    with pytest.raises(DesignError, match="no levels"):
        fit.adjusted_means("age")
    with pytest.raises(DesignError, match="'A' in all"):
        we.regression("score ~ age + one", data).marginal_effect("one")
    with pytest.raises(DesignError, match="level == 2"):
        fit.marginal_effect("arm", level=2)
    assert fit.marginal_effect("arm", level=0.9).level == 0.9
