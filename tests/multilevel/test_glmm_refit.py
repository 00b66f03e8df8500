"""Refits of generalised mixed models, and outcomes drawn from them."""

import numpy as np
import pandas as pd
import pytest
from further_trials import further_trial

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.inference.bootstrap import parametric_bootstrap

LEVELS = {"arm": ["usual", "programme"]}
ARM = "arm[programme]"


def fitted(formula="binary ~ arm + x + (1 | school)", family="binomial", data=None, **options):
    data = further_trial("a") if data is None else data
    return we.multilevel_model(formula, data, family=family, levels=LEVELS, **options)


@pytest.mark.property
@pytest.mark.parametrize(
    ("formula", "family", "options"),
    [
        ("binary ~ arm + x + (1 | la/school)", "binomial", {}),
        ("binary ~ arm + x + (1 | school)", "binomial", {"quadrature_points": 5}),
        ("successes / trials ~ arm + x + (1 | school)", "binomial", {}),
        ("dispersed ~ arm + x + (1 | school)", "negative_binomial", {"exposure": "exposure"}),
    ],
)
def test_a_refit_is_the_fit_of_that_outcome(formula, family, options):
    fit = fitted(formula, family, **options)
    outcomes = fit.simulate(2, rng=1)
    refits = we.refit_many(fit, outcomes)
    name = formula.split(" ", maxsplit=1)[0]
    for k in range(2):
        direct = fitted(formula, family, further_trial("a").assign(**{name: outcomes[k].astype(int)}), **options)
        assert refits["estimate"][k] == pytest.approx(direct.estimates[ARM].estimate, abs=1e-7)
        assert refits["se"][k] == pytest.approx(direct.estimates[ARM].se, rel=1e-6)
        assert refits["p_value"][k] == pytest.approx(direct.estimates[ARM].p_value, abs=1e-6)
        assert refits["status"][k] == direct.status
        once = fit.refit(outcomes[k])
        assert once.estimates[ARM].estimate == pytest.approx(direct.estimates[ARM].estimate, abs=1e-7)
        assert once.log_likelihood == pytest.approx(direct.log_likelihood, rel=1e-9)


@pytest.mark.property
@pytest.mark.parametrize("formula", ["binary ~ arm + x + (1 | school)", "binary ~ arm * x + (1 + arm | la)"])
def test_allocations_of_schools(formula):
    fit = fitted(formula)
    data = further_trial("a")
    schools = sorted(set(data["school"]))
    rng = np.random.default_rng(3)
    arms = pd.DataFrame(
        [rng.permutation(np.repeat(["usual", "programme"], 15)) for _ in range(3)], columns=schools
    )
    refits = fit.refit_many(arms=arms, unit="school")
    for k in range(3):
        direct = fitted(formula, data=data.assign(arm=data["school"].map(arms.iloc[k])))
        assert refits["estimate"][k] == pytest.approx(direct.estimates[ARM].estimate, abs=1e-6)


def test_outcomes_that_cannot_be_are_refused():
    fit = fitted("successes / trials ~ arm + (1 | school)")
    y = fit.core.sample.y
    for bad in (y - 100, y + 0.5, fit.core.sample.trials + 1):
        with pytest.raises(DataError, match="from 0 to the trials"):
            fit.refit_many(bad[None])
    with pytest.raises(DataError, match="shape"):
        fit.refit(y[:-1])
    with pytest.raises(DesignError, match="nothing changes"):
        we.refit_many(fit)
    with pytest.raises(DesignError, match="CR2"):
        fit.refit_many(y[None], inference="CR2")


def test_an_outcome_without_variation_fails_and_the_others_stay():
    fit = fitted()
    found = fit.refit_many(np.array([np.zeros(fit.n), fit.core.sample.y]))
    assert list(found["status"]) == ["failed", fit.status]
    assert np.isnan(found["estimate"][0])
    assert found["estimate"][1] == pytest.approx(fit.estimates[ARM].estimate, abs=1e-8)


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("count ~ arm + x + (1 | school)", "poisson"),
        ("dispersed ~ arm + x + (1 | school)", "negative_binomial"),
        ("dispersed ~ arm + x + (1 | school)", "negative_binomial_1"),
    ],
)
def test_counts_have_the_moments_of_the_model(formula, family):
    fit = fitted(formula, family, exposure="exposure")
    drawn = fit.simulate(6_000, rng=4)[:, :40]
    sample = fit.core.sample
    spread = fit.covariances[0][0, 0]
    mean = sample.exposure[:40] * np.exp(sample.X[:40] @ fit.coefficients + spread / 2)
    between = mean**2 * (np.exp(spread) - 1)
    own = {"poisson": mean, "negative_binomial_1": mean * (1 + (fit.dispersion or 0))}
    if family == "negative_binomial":
        own[family] = mean + mean**2 * np.exp(spread) / fit.dispersion
    error = np.sqrt((between + own[family]) / len(drawn))
    assert np.abs((drawn.mean(axis=0) - mean) / error).max() < 4.5
    np.testing.assert_allclose(drawn.var(axis=0), between + own[family], rtol=0.25)
    assert np.median(drawn.var(axis=0) / (between + own[family])) == pytest.approx(1.0, abs=0.04)


@pytest.mark.simulation
def test_shares_have_the_mean_of_the_model():
    fit = fitted("successes / trials ~ arm + x + (1 | school)")
    drawn = fit.simulate(4_000, rng=5)
    assert np.all((drawn >= 0) & (drawn <= fit.core.sample.trials))
    effect = fit.marginal_effect("arm")
    treated = (further_trial("a")["arm"] == "programme").to_numpy()
    rates = drawn[:, treated].sum(axis=1) / fit.core.sample.trials[treated].sum()
    # rows treated are not all rows: compare with their own average of the model
    from scipy import special

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    eta = (fit.core.sample.X @ fit.coefficients)[treated, None] + nodes * np.sqrt(fit.covariances[0][0, 0])
    risk = special.expit(eta) @ weights / weights.sum()
    wanted = np.average(risk, weights=fit.core.sample.trials[treated])
    assert abs(rates.mean() - wanted) < 4 * rates.std() / np.sqrt(len(rates))
    assert 0 < effect.details["mean_level"] < 1


def test_drawing_under_the_null_and_what_cannot_be_drawn():
    fit = fitted()
    null = fit.refit_many(fit.simulate(30, rng=6, coefficients={ARM: 0.0}))
    assert abs(null["estimate"].mean()) < 4 * null["estimate"].std() / 30**0.5
    with pytest.raises(DesignError, match="no term 'arm'"):
        fit.simulate(1, rng=1, coefficients={"arm": 0.0})
    with pytest.raises(DesignError, match="precision weights"):
        fitted(weights="weight").simulate(1, rng=1)
    separated = further_trial("a").assign(binary=lambda d: (d["arm"] == "programme") * (d["x"] > 0) * 1)
    with pytest.raises(DesignError, match="status 'separated'"):
        fitted("binary ~ arm + sex + (1 | la)", data=separated).simulate(1, rng=1)


def test_parametric_bootstrap_of_a_logistic_model():
    fit = fitted("binary ~ arm + (1 | school)")
    found = parametric_bootstrap(fit, rng=7, term=ARM, reps=39)
    estimate = fit.estimates[ARM]
    assert found.estimate.ci_low < estimate.estimate < found.estimate.ci_high
    assert 0.5 < (found.estimate.ci_high - found.estimate.ci_low) / (estimate.ci_high - estimate.ci_low) < 2.5
    assert found.failed == 0
