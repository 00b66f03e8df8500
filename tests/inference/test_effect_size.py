"""Standardised differences against the definition of the noncentral t, textbook cases and simulation."""

import functools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_data import LEVELS, family_trial
from scipy import integrate, special, stats

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.inference import effect_size
from wwc_eval.inference.effect_size import noncentral_t_limits, small_sample_correction


def noncentral_cdf(t, df, noncentrality):
    """P(T <= t) by integrating the normal over the distribution of the standard deviation."""

    def inside(s):
        log = (
            math.log(2) + (df / 2) * math.log(df / 2) - special.gammaln(df / 2) + (df - 1) * math.log(s)
        ) - df * s * s / 2
        return math.exp(log) * special.ndtr(t * s - noncentrality)

    return integrate.quad(inside, 1e-9, 1 + 12 / math.sqrt(2 * df), epsabs=1e-13, limit=400)[0]


@pytest.mark.parametrize(("t", "df"), [(2.0, 20), (-1.0, 5), (0.0, 12), (8.5, 4), (-12.0, 400), (45.0, 3000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_limits_of_the_noncentrality_hold_by_definition(t, df, level):
    low, high = noncentral_t_limits(t, df, level)
    assert noncentral_cdf(t, df, low) == pytest.approx((1 + level) / 2, abs=1e-8)
    assert noncentral_cdf(t, df, high) == pytest.approx((1 - level) / 2, abs=1e-8)


def test_limits_mirror():
    low, high = noncentral_t_limits(2.5, 30)
    assert noncentral_t_limits(-2.5, 30) == pytest.approx((-high, -low), rel=1e-12)


@pytest.mark.parametrize("df", [2, 3, 10, 60, 5000])
def test_the_correction_makes_the_ratio_unbiased(df):
    """J = 1 / E(sqrt(df / chi-squared)) for the mean of a standardised difference."""
    far = stats.chi2.isf(1e-15, df)
    # in the square root of chi-squared, so that nothing is infinite at zero
    mean, _ = integrate.quad(
        lambda r: math.sqrt(df) / r * stats.chi2.pdf(r * r, df) * 2 * r,
        1e-12,
        math.sqrt(far),
        points=[math.sqrt(df)],
        limit=200,
    )
    assert small_sample_correction(df) == pytest.approx(1 / mean, rel=1e-7)
    assert small_sample_correction(df) == pytest.approx(1 - 3 / (4 * df - 1), abs=0.05 / df)


def two_groups(n1=25, n0=40, shift=0.6, ratio=1.0, seed=1):
    rng = np.random.default_rng(seed)
    y = np.r_[rng.normal(0, 2, n0), rng.normal(shift * 2, 2 * ratio, n1)]
    return pd.DataFrame({"y": y, "arm": ["usual"] * n0 + ["offer"] * n1, "x": rng.normal(size=n0 + n1)})


def fit_of(data, right="arm", **options):
    return we.regression(f"y ~ {right}", data, levels={"arm": ["usual", "offer"]}, **options)


def test_hedges_g_of_a_plain_comparison():
    data = two_groups()
    one, zero = (data.loc[data["arm"] == arm, "y"] for arm in ("offer", "usual"))
    pooled = math.sqrt((24 * one.var() + 39 * zero.var()) / 63)
    d = (one.mean() - zero.mean()) / pooled
    g = effect_size(fit_of(data), "arm")
    assert g.estimate == pytest.approx(d * small_sample_correction(63), rel=1e-12)
    assert g.details["sd"] == pytest.approx(pooled, rel=1e-12)
    assert (g.scale, g.details["n_level"], g.details["n_reference"]) == ("hedges_g", 25, 40)
    assert "pooled within-arm SD" in g.method
    size = 25 * 40 / 65
    low, high = noncentral_t_limits(d * math.sqrt(size), 63)
    assert (g.ci_low, g.ci_high) == pytest.approx((low / math.sqrt(size), high / math.sqrt(size)), rel=1e-10)
    assert g.p_value == pytest.approx(stats.ttest_ind(one, zero).pvalue, rel=1e-9)
    expected = small_sample_correction(63) * math.sqrt(1 / size + d * d / (2 * 63))
    assert g.se == pytest.approx(expected, rel=1e-10)


def test_glass_delta_of_a_plain_comparison():
    data = two_groups(ratio=1.5)
    one, zero = (data.loc[data["arm"] == arm, "y"] for arm in ("offer", "usual"))
    raw = (one.mean() - zero.mean()) / zero.std()
    delta = fit_of(data).effect_size("arm", kind="glass_delta")
    assert delta.estimate == pytest.approx(raw * small_sample_correction(39), rel=1e-12)
    assert delta.details["sd_name"] == "the SD of the reference arm"
    root = math.sqrt(1 / 25 + 1 / 40)
    low, high = noncentral_t_limits(raw / root, 39)
    assert (delta.ci_low, delta.ci_high) == pytest.approx((low * root, high * root), rel=1e-10)
    assert delta.scale == "glass_delta"


def test_covariates_change_the_difference_and_not_the_denominator():
    data = two_groups().assign(y=lambda d: d["y"] + 3 * d["x"])
    plain, adjusted = fit_of(data), fit_of(data, "arm + x")
    one, two = plain.effect_size("arm"), adjusted.effect_size("arm")
    assert two.details["sd"] == pytest.approx(one.details["sd"], rel=1e-12)
    assert two.details["difference"] == pytest.approx(adjusted.marginal_effect("arm").estimate, rel=1e-12)
    assert two.se < one.se
    assert "adjusted difference" in two.method
    t_based = adjusted.effect_size("arm", interval="noncentral_t")
    effect = adjusted.marginal_effect("arm")
    low, high = noncentral_t_limits(effect.statistic, effect.df)
    scale = effect.se / one.details["sd"]
    assert (t_based.ci_low, t_based.ci_high) == pytest.approx((low * scale, high * scale), rel=1e-9)
    assert t_based.ci_low == pytest.approx(two.ci_low, abs=0.1)


@functools.cache
def fits_without_one(unit):
    """The trial's fit without each of its rows or families in turn."""
    data = family_trial(families=120)
    units = data["family_id"] if unit == "family_id" else pd.Series(np.arange(len(data)))
    return [
        we.regression("score ~ arm + age", data[(units != one).to_numpy()], levels=LEVELS)
        for one in units.unique()
    ]


@pytest.mark.parametrize("kind", ["hedges_g", "glass_delta"])
@pytest.mark.parametrize("vcov", ["HC2", "CR2"])
def test_delta_errors_agree_with_the_jackknife(kind, vcov):
    data = family_trial(families=120)
    options = {"cluster": "family_id"} if vcov == "CR2" else {}
    fit = we.regression("score ~ arm + age", data, vcov=vcov, levels=LEVELS, **options)
    found = fit.effect_size("arm", kind=kind)
    unit = "family_id" if vcov == "CR2" else "row"
    left = [rest.effect_size("arm", kind=kind).estimate for rest in fits_without_one(unit)]
    k = len(left)
    jackknife = math.sqrt((k - 1) / k * np.sum((np.array(left) - np.mean(left)) ** 2))
    assert found.se == pytest.approx(jackknife, rel=0.03)


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-100, 100), st.sampled_from(["hedges_g", "glass_delta"]))
def test_units_of_the_outcome_do_not_matter(factor, shift, kind):
    data = two_groups()
    one = effect_size(fit_of(data, vcov="HC2"), "arm", kind=kind)
    two = effect_size(fit_of(data.assign(y=data["y"] * factor + shift), vcov="HC2"), "arm", kind=kind)
    for name in ("estimate", "se", "ci_low", "ci_high", "p_value"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-6)


def test_several_arms():
    data = two_groups()
    data.loc[data.index[:15], "arm"] = "leaflet"
    fit = we.regression("y ~ arm", data, levels={"arm": ["usual", "leaflet", "offer"]})
    table = fit.effect_size("arm")
    assert table.terms == ("arm[leaflet]", "arm[offer]")
    usual, offer = (data.loc[data["arm"] == arm, "y"] for arm in ("usual", "offer"))
    pooled = math.sqrt((24 * usual.var() + 24 * offer.var()) / 48)
    assert table["arm[offer]"].details["sd"] == pytest.approx(pooled, rel=1e-12)


@pytest.mark.simulation
def test_coverage_of_the_noncentral_interval():
    rng = np.random.default_rng(12)
    repeats, n1, n0, delta = 600, 9, 14, 0.8
    arm = ["usual"] * n0 + ["offer"] * n1
    rows = {"hedges_g": [], "glass_delta": []}
    for _ in range(repeats):
        y = rng.normal(size=n0 + n1) + np.r_[np.zeros(n0), np.full(n1, delta)]
        fit = fit_of(pd.DataFrame({"y": y, "arm": arm}))
        for kind, found in rows.items():
            found.append(effect_size(fit, "arm", kind=kind))
    for found in rows.values():
        covered = np.mean([row.ci_low <= delta <= row.ci_high for row in found])
        assert abs(covered - 0.95) < 3.3 * math.sqrt(0.95 * 0.05 / repeats)
        estimates = [row.estimate for row in found]
        assert abs(np.mean(estimates) - delta) < 3.3 * np.std(estimates) / math.sqrt(repeats)  # unbiased


def test_what_has_no_effect_size_is_refused():
    data = two_groups()
    with pytest.raises(DesignError, match="divides a difference in means"):
        we.regression("y ~ arm", data.assign(y=1 * (data["y"] > 0)), family="binomial").effect_size("arm")
    with pytest.raises(DesignError, match="weighted"):
        fit_of(data, weights=np.ones(65)).effect_size("arm")
    with pytest.raises(DesignError, match="compares groups"):
        fit_of(data, "arm + x").effect_size("x")
    with pytest.raises(DesignError, match="must be one of 'hedges_g'"):
        fit_of(data).effect_size("arm", kind="cohens_d")
    with pytest.raises(DesignError, match="must be one of 'noncentral_t'"):
        fit_of(data).effect_size("arm", interval="exact")
    with pytest.raises(DesignError, match="1 row in an arm"):
        fit_of(two_groups(n1=1)).effect_size("arm")
    flat = data.assign(y=np.where(data["arm"] == "offer", 1.0, 2.0))
    with pytest.raises(DesignError, match="does not vary within"):
        fit_of(flat).effect_size("arm")
