"""What is reported from a fit: marginal effects, heterogeneity, effects of groups, predictions, profiles."""

import numpy as np
import pytest
from glmm_data import binary_trial, fitted, frame, glmm
from scipy import integrate, special

from wwc_eval.errors import DataError, DesignError
from wwc_eval.multilevel.generalised.search import search
from wwc_eval.multilevel.generalised.solve import blocks_of


def population_average(eta, variance):
    """Mean of the inverse logit over a normal effect, by adaptive integration."""
    sd = np.sqrt(variance)
    return integrate.quad(
        lambda z: special.expit(eta + sd * z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), -12, 12, epsabs=1e-13
    )[0]


@pytest.mark.property
def test_marginal_effect_is_the_average_over_the_random_effects():
    data = binary_trial(5, 16, 8, 1.2, 0.8).assign(x=lambda d: d["x"].round())
    fit = glmm("y ~ treat*x + (1 + x || school)", data, quadrature_points=1)
    first, second = np.diag(fit.covariances[0])
    risks = []
    for arm in (0, 1):
        X = np.column_stack([np.ones(len(data)), np.full(len(data), arm), data["x"], arm * data["x"]])
        variance = first + second * data["x"] ** 2
        risks.append(
            np.mean([population_average(e, v) for e, v in zip(X @ fit.coefficients, variance, strict=True)])
        )
    found = fit.marginal_effect("treat")
    assert found.details["mean_reference"] == pytest.approx(risks[0], abs=1e-11)
    assert found.estimate == pytest.approx(risks[1] - risks[0], abs=1e-11)
    assert fit.marginal_effect("treat", scale="risk_ratio").estimate == pytest.approx(risks[1] / risks[0])


@pytest.mark.property
@pytest.mark.parametrize("scale", ["risk_difference", "risk_ratio", "odds_ratio"])
def test_delta_errors_have_the_right_gradient(scale):
    """Standard error from differences of the effect in every parameter, the variance's included."""
    from dataclasses import replace

    fit = glmm("y ~ treat + x + (1 | school)", frame("syn_bin"))
    core = fit.core

    def effect(psi):
        moved = replace(fit, core=replace(core, optimum=replace(core.optimum, psi=psi)))
        value = moved.marginal_effect("treat", scale=scale).estimate
        return value if scale == "risk_difference" else np.log(value)

    gradient = []
    for k in range(len(core.optimum.psi)):
        step = np.zeros(len(core.optimum.psi))
        step[k] = 1e-5
        gradient.append((effect(core.optimum.psi + step) - effect(core.optimum.psi - step)) / 2e-5)
    gradient = np.array(gradient)
    se = np.sqrt(gradient @ core.optimum.covariance @ gradient)
    assert fit.marginal_effect("treat", scale=scale).se == pytest.approx(se, rel=1e-7)


@pytest.mark.property
def test_marginal_slope_of_a_numeric_column():
    fit = fitted("syn_bin")
    found = fit.marginal_effect("x")
    up, down = (
        np.mean([population_average(e + s * 1e-4 * fit.coefficients[2], fit.covariances[0][0, 0]) for e in eta])
        for s, eta in [(s, fit.predict(random=False, scale="link")[:200]) for s in (1, -1)]
    )
    assert found.details["slope"]
    first = glmm("y ~ treat + x + (1 | school)", frame("syn_bin"))
    assert found.estimate == first.marginal_effect("x").estimate
    assert (up - down) / 2e-4 == pytest.approx(found.estimate, rel=0.05)
    with pytest.raises(DesignError, match="numeric"):
        fit.marginal_effect("x", scale="risk_ratio")


def test_marginal_effects_of_counts():
    fit = fitted("syn_count_pois")
    ratio = fit.marginal_effect("treat")
    # a random intercept leaves a rate ratio as it is
    assert np.log(ratio.estimate) == pytest.approx(fit.coefficients[1], abs=1e-12)
    assert ratio.se == pytest.approx(fit.estimates["treat"].se, rel=1e-9)
    difference = fit.marginal_effect("treat", scale="rate_difference")
    low = difference.details["mean_reference"]
    data = frame("syn_count")
    eta = fit.coefficients[0] + fit.coefficients[2] * data["x"] + fit.covariances[0][0, 0] / 2
    assert low == pytest.approx(np.average(np.exp(eta), weights=data["exposure"]), rel=1e-10)
    assert difference.estimate == pytest.approx(low * (ratio.estimate - 1), rel=1e-9)
    with pytest.raises(DesignError):
        fit.marginal_effect("treat", scale="risk_difference")
    with pytest.raises(DesignError, match="did you mean"):
        fit.marginal_effect("treta")


def test_marginal_effects_of_several_levels():
    fit = fitted("cbpp")
    found = fit.marginal_effect("period")
    assert found.terms == ("period[2]", "period[3]", "period[4]")
    assert all(row.scale == "risk_difference" for row in found)


@pytest.mark.property
def test_profile_limits_are_where_the_likelihood_has_fallen():
    fit = fitted("syn_bin")
    row = fit.variance_intervals().to_dicts()[0]
    wanted = special.chdtri(1, 0.05)
    core = fit.core
    for limit in (row["ci_low"], row["ci_high"]):
        start = core.optimum.psi.copy()
        start[0] = limit
        found = search(
            core.objective, start, blocks=blocks_of(core.prepared), sizes=(), held=frozenset({0}), curvature=False
        )
        assert 2 * (found.value - core.optimum.value) == pytest.approx(wanted, abs=1e-5)
    assert row["ci_low"] < row["estimate"] < row["ci_high"]


@pytest.mark.property
def test_profile_of_the_second_of_two_correlated_columns():
    """The held pivot is the standard deviation of whichever column is asked for."""
    data = binary_trial(31, 40, 30, 0.8, 0.3)
    random = np.random.RandomState(4)
    tilt = random.standard_normal(40)[data["school"].str[1:].astype(int)] * 0.8
    data["y"] = (random.random_sample(len(data)) < special.expit(-0.3 + (0.5 + tilt) * data["x"])) * 1
    fit = glmm("y ~ x + (1 + x | school)", data)
    swapped = glmm("y ~ x + (0 + x + z | school)", data.assign(z=1.0))
    assert swapped.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)
    rows = {row["term_1"]: row for row in fit.variance_intervals().to_dicts() if not row["term_2"]}
    other = {row["term_1"]: row for row in swapped.variance_intervals().to_dicts() if not row["term_2"]}
    for name in ("ci_low", "ci_high"):
        assert other["x"][name] == pytest.approx(rows["x"][name], rel=1e-4)
        assert other["z"][name] == pytest.approx(rows["(Intercept)"][name], rel=1e-4, abs=1e-6)
    pair = next(row for row in fit.variance_intervals().to_dicts() if row["term_2"])
    assert -1 < pair["ci_low"] < pair["estimate"] < pair["ci_high"] < 1


def test_profile_on_the_boundary_begins_at_zero():
    row = glmm("y ~ treat + x + (1 | school)", frame("syn_bin_small")).variance_intervals().to_dicts()[0]
    assert row["ci_low"] == 0.0
    assert 0.3 < row["ci_high"] < 2.0


def test_latent_icc():
    fit = fitted("syn_bin")
    found = fit.icc()["school"]
    variance = fit.covariances[0][0, 0]
    assert found.estimate == pytest.approx(variance / (variance + np.pi**2 / 3), rel=1e-12)
    assert found.ci_low < found.estimate < found.ci_high
    assert found.scale == "variance_share"
    # by the chain rule from the error of the standard deviation
    sd_error = np.sqrt(fit.core.optimum.covariance[0, 0])
    slope = 2 * np.sqrt(variance) * (np.pi**2 / 3) / (variance + np.pi**2 / 3) ** 2
    assert found.se == pytest.approx(slope * sd_error, rel=1e-9)


def test_icc_of_three_levels():
    data = binary_trial(21, 40, 12, 0.8, 0.3)
    number = data["school"].str[1:].astype(int)
    random = np.random.RandomState(2)
    lift = random.standard_normal(8)[number // 5]
    data["la"] = number // 5
    data["y"] = (
        random.random_sample(len(data)) < special.expit(lift + 0.5 * random.standard_normal(40)[number])
    ) * 1
    fit = glmm("y ~ 1 + (1 | la/school)", data)
    la, school = fit.icc()
    assert la.term == "la"
    assert school.details["correlation"] == pytest.approx(la.estimate + school.estimate)
    assert la.ci_low < la.estimate < la.ci_high


def test_coefficient_of_variation_of_rates():
    fit = fitted("syn_count_pois")
    found = fit.icc()["team"]
    assert found.estimate == pytest.approx(np.sqrt(np.expm1(fit.covariances[0][0, 0])))
    assert found.scale == "coefficient_of_variation"
    assert found.ci_low < found.estimate < found.ci_high


def test_random_effects_are_modes():
    """Each is where the gradient of its own penalised likelihood vanishes."""
    fit = fitted("syn_bin")
    effects = fit.random_effects().to_frame()
    data = frame("syn_bin")
    variance = fit.covariances[0][0, 0]
    residual = data["y"] - fit.predict()
    pull = residual.groupby(data["school"]).sum()
    assert effects["estimate"].to_numpy() == pytest.approx(variance * pull.to_numpy(), abs=1e-8)
    weight = (fit.predict() * (1 - fit.predict())).astype(float)
    information = np.bincount(fit.data.groupings[0].codes, weights=weight) + 1 / variance
    assert effects["sd"].to_numpy() == pytest.approx(information**-0.5, rel=1e-7)
    assert (effects["se"] >= effects["sd"]).all()
    with pytest.raises(DesignError):
        fit.random_effects("la")


def test_predictions():
    fit, data = fitted("syn_bin"), frame("syn_bin")
    assert fit.predict(data) == pytest.approx(fit.predict(), abs=1e-14)
    link = fit.predict(data.head(3), random=False, scale="link")
    X = np.column_stack([np.ones(3), data["treat"].head(3), data["x"].head(3)])
    assert link == pytest.approx(X @ fit.coefficients, abs=1e-12)
    assert fit.predict(data.head(3), random=False) == pytest.approx(special.expit(link))
    with pytest.raises(DataError, match="random=False"):
        fit.predict(data.head(2).assign(school="new"))
    counts = fitted("syn_count_pois")
    teams = frame("syn_count")
    assert counts.predict().sum() == pytest.approx(counts.predict(teams).sum())
    double = counts.predict(teams.assign(exposure=2 * teams["exposure"]))
    assert double == pytest.approx(2 * counts.predict(), rel=1e-12)
    with pytest.raises(DataError, match="exposure"):
        counts.predict(teams.drop(columns="exposure"))


def test_what_the_result_says_of_itself():
    fit = glmm("y ~ treat + x + (1 | school)", frame("syn_bin"), method="agq")
    assert fit.method == "agq"
    assert fit.family == "binomial"
    assert "9 points" in str(fit)
    assert fit.criterion == pytest.approx(-2 * fit.log_likelihood)
    assert fit.residual_variance is None
    assert fit.dispersion is None
    record = fit.optimiser
    assert record.converged
    assert record.parameters[0].name == "school: (Intercept)"
    assert record.parameters[0].value == pytest.approx(np.sqrt(fit.covariances[0][0, 0]))
    assert "evaluations" in str(record)
    joint = fit.test(["treat", "x"])
    assert joint.df_numerator == 2
    assert np.isinf(joint.df_denominator)
    both = fit.contrast({"treat": 1.0, "x": 2.0})
    assert both.estimate == pytest.approx(fit.coefficients[1] + 2 * fit.coefficients[2])
    spread = np.array([0, 1, 2]) @ fit.vcov.to_numpy() @ np.array([0, 1, 2])
    assert both.se == pytest.approx(np.sqrt(spread))
    nb = fitted("syn_count_nb2")
    assert nb.optimiser.parameters[-1].name == "dispersion"


def test_plots_and_what_there_is_none_of():
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fit = fitted("syn_bin")
    assert len(fit.plot().lines) + len(fit.plot().collections) > 0
    assert fit.plot_random_effects("school").get_xlabel().startswith("random effect")
    plt.close("all")
    with pytest.raises(DesignError, match="marginal_effect"):
        fit.effect_size("treat")


@pytest.mark.simulation
def test_recovery_and_coverage():
    """60 schools of 20: estimates within Monte Carlo error of the truth, intervals near 95%."""
    rng = np.random.default_rng(12)
    hits, estimates, spreads, reps = 0, [], [], 80
    school = np.repeat(np.arange(60), 20)
    arm = school % 2
    for _ in range(reps):
        eta = -0.4 + 0.5 * arm + 0.6 * rng.normal(size=60)[school]
        y = (rng.random(1200) < special.expit(eta)) * 1
        import pandas as pd

        fit = glmm("y ~ arm + (1 | school)", pd.DataFrame({"y": y, "arm": arm, "school": school}))
        row = fit.estimates["arm"]
        hits += row.ci_low <= 0.5 <= row.ci_high
        estimates.append(row.estimate)
        spreads.append(np.sqrt(fit.covariances[0][0, 0]))
    error = np.std(estimates) / np.sqrt(reps)
    assert abs(np.mean(estimates) - 0.5) < 4 * error
    assert abs(np.mean(spreads) - 0.6) < 4 * np.std(spreads) / np.sqrt(reps) + 0.03
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / reps) < hits / reps
