"""Effect sizes: eefAnalytics at full precision, and properties of the exact ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from multilevel_cases import dataset, figures

from wwc_eval.errors import DesignError
from wwc_eval.multilevel import multilevel_model
from wwc_eval.multilevel.eef import simple

CASES = {case["id"]: case for case in figures("multilevel_effect_sizes")["cases"]}


def eef_fit(case):
    """The model that eefAnalytics fits, with arms named as it names them."""
    data, formula = dataset(case["data"]), case["formula"].replace("~", " ~ ")
    group = "la" if case["id"].endswith("_la") else next(c for c in ("School", "school") if c in data)
    terms = {}
    if "Intervention2" in formula:
        data = data.assign(Intervention2="a" + data["Intervention2"].astype(str))
        terms = {"Intervention21": "Intervention2[a1]", "Intervention22": "Intervention2[a2]"}
    else:
        arm = formula.split(" ~ ")[1].split("+")[0]
        terms = {f"{arm}1": arm}
    slope = f"1 + {next(iter(terms.values())).split('[')[0]}" if case["fn"] == "mstFREQ" else "1"
    return multilevel_model(f"{formula} + ({slope} | {group})", data), terms


@pytest.mark.reference
@pytest.mark.parametrize("model", ["conditional", "unconditional"])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["fn"] != "srtFREQ"])
def test_formulas_of_the_sector(name, model):
    case = CASES[name]
    fit, terms = eef_fit(case)
    for theirs, ours in terms.items():
        for variance in ("within", "total"):
            found = fit.effect_size(ours, variance=variance, model=model, formula="eef")
            expected = case[model][theirs][variance.title()]
            np.testing.assert_allclose([found.estimate, found.ci_low, found.ci_high], expected, atol=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["fn"] != "srtFREQ"])
def test_coefficients_of_the_sector_are_profile_intervals(name):
    case = CASES[name]
    fit, _ = eef_fit(case)
    found = fit.profile_intervals()
    for row, (estimate, low, high) in zip(found, case["beta"].values(), strict=True):
        value = fit.estimates[row["term"]].estimate
        assert value == pytest.approx(estimate, rel=1e-5, abs=1e-6)
        # lme4 interpolates its profile, and on a singular fit follows it loosely
        loose = 2e-2 if fit.status == "boundary" else 2e-4
        np.testing.assert_allclose([row["ci_low"], row["ci_high"]], [low, high], rtol=loose, atol=loose)


@pytest.mark.reference
def test_simple_trial_formula():
    case = CASES["srt_mstData"]
    beta, sigma2 = case["beta"]["Intervention1"][0], case["sigma2"]
    found = simple(beta, sigma2**0.5, 102, 108)
    np.testing.assert_allclose(
        [found.estimate, found.ci_low, found.ci_high], case["conditional"]["Intervention1"], atol=1e-6
    )


def trial(seed=0, slope=0.0):
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(30), 12)
    arm = np.where(school % 2 == 1, "programme", "usual")
    x = rng.normal(size=360)
    y = 0.4 * (school % 2) + 0.7 * x + 0.5 * rng.normal(size=30)[school] + rng.normal(size=360)
    return pd.DataFrame({"y": y, "x": x, "arm": arm, "school": school})


LEVELS = {"arm": ["usual", "programme"]}
TERM = "arm[programme]"


def test_hedges_g_names_its_standard_deviation():
    fit = multilevel_model("y ~ arm + x + (1 | school)", trial(), levels=LEVELS)
    total = float(sum(row["variance"] for row in fit.variance_components))
    found = fit.effect_size(TERM)
    assert found.details["sd"] == pytest.approx(total**0.5)
    assert found.estimate == pytest.approx(found.details["factor"] * fit.estimates[TERM].estimate / total**0.5)
    assert "total standard deviation, given the covariates" in found.method
    within = fit.effect_size(TERM, variance="within")
    assert within.details["sd"] == pytest.approx(fit.residual_variance**0.5)
    assert abs(within.estimate) > abs(found.estimate)


def test_unconditional_variance_does_not_know_the_covariates():
    with_x = multilevel_model("y ~ arm + x + (1 | school)", trial(), levels=LEVELS)
    without = multilevel_model("y ~ arm + (1 | school)", trial(), levels=LEVELS)
    one = with_x.effect_size(TERM, model="unconditional").details["sd"]
    assert one == pytest.approx(without.effect_size(TERM).details["sd"], rel=1e-9)
    assert one > with_x.effect_size(TERM).details["sd"]


def test_glass_delta_uses_the_control_arm_alone():
    data = trial()
    fit = multilevel_model("y ~ arm + x + (1 | school)", data, levels=LEVELS)
    control = multilevel_model("y ~ x + (1 | school)", data[data.arm == "usual"])
    total = float(sum(row["variance"] for row in control.variance_components))
    found = fit.effect_size(TERM, kind="glass_delta")
    assert found.details["sd"] == pytest.approx(total**0.5, rel=1e-8)
    assert found.scale == "glass_delta"


def test_effect_size_follows_the_inference_of_the_fit():
    fit = multilevel_model("y ~ arm + x + (1 | school)", trial(), levels=LEVELS)
    one, two = fit.effect_size(TERM), fit.with_inference("CR2").effect_size(TERM)
    assert one.estimate == two.estimate
    assert one.df != two.df
    assert one.se != two.se


@pytest.mark.property
def test_effect_size_has_no_units():
    data = trial()
    fit = multilevel_model("y ~ arm + x + (1 | school)", data, levels=LEVELS)
    scaled = multilevel_model("y ~ arm + x + (1 | school)", data.assign(y=1e3 * data.y + 7e4), levels=LEVELS)
    for options in ({}, {"variance": "within"}, {"model": "unconditional"}, {"kind": "glass_delta"}):
        one, two = fit.effect_size(TERM, **options), scaled.effect_size(TERM, **options)
        np.testing.assert_allclose(
            [one.estimate, one.se, one.ci_low, one.ci_high],
            [two.estimate, two.se, two.ci_low, two.ci_high],
            rtol=1e-7,
        )


@pytest.mark.simulation
def test_hedges_g_is_nearly_unbiased_and_its_interval_covers():
    rng = np.random.default_rng(5)
    data, delta, covered, values = trial(), 0.3, 0, []
    sd = (0.5**2 + 1.0) ** 0.5
    fit = multilevel_model("y ~ arm + (1 | school)", data, levels=LEVELS)
    school = data.school.to_numpy()
    reps = 300
    for _ in range(reps):
        y = delta * sd * (school % 2) + 0.5 * rng.normal(size=30)[school] + rng.normal(size=360)
        found = fit.refit(y).effect_size(TERM)
        values.append(found.estimate)
        covered += found.ci_low <= delta <= found.ci_high
    assert abs(np.mean(values) - delta) < 3 * np.std(values) / reps**0.5
    assert abs(covered / reps - 0.95) < 3 * (0.95 * 0.05 / reps) ** 0.5


def test_what_is_no_effect_size_is_refused():
    data = trial()
    fit = multilevel_model("y ~ arm + x + (1 | school)", data, levels=LEVELS)
    with pytest.raises(DesignError, match="no comparison of two arms"):
        fit.effect_size("x")
    with pytest.raises(DesignError, match="did you mean"):
        fit.effect_size("arm[program]")
    with pytest.raises(DesignError, match="variance == 'totl'"):
        fit.effect_size(TERM, variance="totl")
    with pytest.raises(DesignError, match="formula='hedges'"):
        fit.effect_size(TERM, kind="glass_delta", formula="eef")
    mixed = data.assign(arm=np.where(np.arange(360) % 2 == 0, "programme", "usual"))
    with pytest.raises(DesignError, match="multisite"):
        multilevel_model("y ~ arm + (1 | school)", mixed, levels=LEVELS).effect_size(TERM, formula="eef")
