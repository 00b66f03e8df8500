"""The fit itself: against statsmodels and over what a fit can be asked."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_data import LEVELS, count_trial, family_trial, jobs

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.inference.families import FAMILIES
from wwc_eval.inference.glm import solve

FORMULA = "arm * sex + age + local_authority"
OUTCOMES = {"gaussian": "score", "binomial": "in_care", "poisson": "days", "quasipoisson": "days"}


def peer_of(fit, data, family, **options):
    import statsmodels.api as sm

    kind = {
        "gaussian": sm.families.Gaussian,
        "binomial": sm.families.Binomial,
        "poisson": sm.families.Poisson,
        "quasipoisson": sm.families.Poisson,
    }[family]()
    design = fit.design_info
    y = design.y if design.trials is None else design.y / design.trials
    scale = "X2" if family == "quasipoisson" else None
    return sm.GLM(y, design.X, family=kind, **options).fit(tol=1e-13, scale=scale)


@pytest.mark.parametrize("family", list(OUTCOMES))
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_errors_and_likelihood_equal_statsmodels(family, weighted):
    data = family_trial().assign(w=lambda d: 0.5 + d["age"] / 9)
    options = {"exposure": "exposure"} if "poisson" in family else {}
    if weighted:
        options["weights"] = "w"
    fit = we.regression(f"{OUTCOMES[family]} ~ {FORMULA}", data, family=family, levels=LEVELS, **options)
    peer_options = {"exposure": data["exposure"]} if "poisson" in family else {}
    if weighted:
        peer_options["var_weights"] = data["w"]
    peer = peer_of(fit, data, family, **peer_options)
    np.testing.assert_allclose(list(fit.coefficients.values()), peer.params, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.estimates.to_frame()["se"], peer.bse, rtol=1e-8)
    np.testing.assert_allclose(fit.predict(), peer.fittedvalues, rtol=1e-9)
    if family in ("binomial", "poisson") and not weighted:
        assert fit.log_likelihood == pytest.approx(peer.llf, rel=1e-12)
    assert fit.status == "ok"


def test_shares_of_trials_equal_the_same_children_one_by_one():
    data = family_trial()
    cells = data.groupby(["arm", "sex", "local_authority"], as_index=False)["in_care"].agg(["sum", "count"])
    cells = cells.rename(columns={"sum": "successes", "count": "trials"})
    grouped = we.regression("successes / trials ~ arm * sex", cells, family="binomial", levels=LEVELS)
    single = we.regression("in_care ~ arm * sex", data, family="binomial", levels=LEVELS)
    for row in single.estimates:
        assert grouped.estimates[row.term].estimate == pytest.approx(row.estimate, rel=1e-9)
        assert grouped.estimates[row.term].se == pytest.approx(row.se, rel=1e-9)
    one, two = single.marginal_effect("arm"), grouped.marginal_effect("arm")
    assert two.estimate == pytest.approx(one.estimate, rel=1e-9)
    assert two.se == pytest.approx(one.se, rel=1e-9)


def test_gaussian_log_likelihood_is_that_of_ordinary_least_squares():
    import statsmodels.api as sm

    data = jobs()
    fit = we.regression("depress2 ~ treat + age", data)
    peer = sm.OLS(data["depress2"], fit.design_info.X).fit()
    assert fit.log_likelihood == pytest.approx(peer.llf, rel=1e-12)
    assert fit.dispersion == pytest.approx(peer.mse_resid, rel=1e-12)
    assert fit.df_residual == peer.df_resid


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_badly_scaled_and_nearly_collinear_columns(family):
    rng = np.random.default_rng(4)
    n = 800
    x = rng.normal(size=n)
    X = np.column_stack([np.ones(n), x * 1e6 + 3e6, x + 1e-5 * rng.normal(size=n), rng.normal(size=n) * 1e-5])
    eta = 0.2 + 0.5 * x
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))) if family == "binomial" else rng.poisson(np.exp(eta))
    found = solve(y.astype(float), X, FAMILIES[family])
    assert found.converged
    mean = FAMILIES[family].mean(found.eta)
    score = found.kernel.Q.T @ found.kernel.residual
    assert np.abs(score).max() < 1e-9  # in standard errors
    assert abs(mean.sum() - y.sum()) < 1e-8


def test_polars_frames_give_the_same_and_nothing_is_changed():
    import polars as pl

    data = family_trial()
    before = data.copy(deep=True)
    one = we.regression("in_care ~ arm + age", data, family="binomial", vcov="CR1", cluster="family_id")
    two = we.regression(
        "in_care ~ arm + age", pl.from_pandas(data), family="binomial", vcov="CR1", cluster="family_id"
    )
    one.marginal_effect("arm")
    one.marginal_effect("age")
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    pd.testing.assert_frame_equal(data, before)
    np.testing.assert_array_equal(two.predict(pl.from_pandas(data)), one.predict(data))


def test_arrays_serve_as_columns_do():
    data = count_trial()
    named = we.regression(
        "ypois ~ treat + x", data, family="poisson", exposure="exposure", vcov="CR1", cluster="team"
    )
    arrays = we.regression(
        "ypois ~ treat + x",
        data,
        family="poisson",
        exposure=data["exposure"].to_numpy(),
        vcov="CR1",
        cluster=list(data["team"]),
    )
    np.testing.assert_array_equal(named.to_frame()["se"], arrays.to_frame()["se"])
    assert arrays.cluster == "(cluster)"


def test_inference_changes_without_a_refit():
    data = family_trial()
    fit = we.regression("score ~ arm + age", data, levels=LEVELS)
    for vcov, cluster in (("HC3", None), ("CR1S", "family_id"), ("CR2", "family_id"), ("classical", None)):
        changed = fit.with_inference(vcov, cluster=cluster)
        fresh = we.regression("score ~ arm + age", data, levels=LEVELS, vcov=vcov, cluster=cluster)
        pd.testing.assert_frame_equal(changed.to_frame(), fresh.to_frame())
        assert changed.fitted is fit.fitted
        assert changed.inference == vcov
    assert fit.inference == "classical"  # the first one keeps its own
    clustered = fit.with_inference("CR1", cluster="family_id")
    assert clustered.with_inference("HC1").with_inference("CR2").cluster == "family_id"
    assert clustered.with_inference("CR1", level=0.9).estimates[0].level == 0.9
    with pytest.raises(DesignError, match="needs clusters"):
        fit.with_inference("CR2")


def test_a_change_of_inference_may_not_change_the_sample():
    data = family_trial()
    data = data.assign(family_id=data["family_id"].where(data.index % 7 > 0))
    fit = we.regression("score ~ arm", data)
    with pytest.raises(DataError, match="have no 'family_id'"):
        fit.with_inference("CR1", cluster="family_id")
    dropped = we.regression("score ~ arm", data, vcov="CR1", cluster="family_id")
    assert dropped.dropped["family_id"] == data["family_id"].isna().sum()
    assert dropped.n == data["family_id"].notna().sum()
    with pytest.raises(DataError, match="did you mean 'family_id'"):
        fit.with_inference("CR1", cluster="famly_id")


def test_degrees_of_freedom():
    data = family_trial()
    n, clusters = len(data), data["family_id"].nunique()

    def df(formula, **options):
        return we.regression(formula, data, **options).estimates[1].df

    assert df("score ~ arm") == n - 2
    assert df("score ~ arm", vcov="HC2") == n - 2
    assert df("in_care ~ arm", family="gaussian", vcov="HC1") == n - 2
    assert np.isinf(df("in_care ~ arm", family="binomial"))
    assert np.isinf(df("in_care ~ arm", family="binomial", vcov="HC2"))
    assert df("days ~ arm", family="quasipoisson") == n - 2
    assert np.isinf(df("days ~ arm", family="quasipoisson", vcov="HC0"))
    assert df("in_care ~ arm", family="binomial", vcov="CR1", cluster="family_id") == clusters - 1
    satterthwaite = df("score ~ arm", vcov="CR1", cluster="family_id", df="satterthwaite")
    assert satterthwaite < clusters - 1
    assert df("score ~ arm", vcov="CR2", cluster="family_id", df="clusters") == clusters - 1


def test_heteroskedastic_kinds_of_a_glm_use_its_leverages():
    """sandwich::vcovHC: squared working scores over powers of 1 - leverage."""
    data = family_trial()
    fit = we.regression("in_care ~ arm + age", data, family="binomial")
    X, mean = fit.design_info.X, fit.predict()
    weight = mean * (1 - mean)
    bread = np.linalg.inv(X.T @ (X * weight[:, None]))
    leverage = weight * np.einsum("ij,jk,ik->i", X, bread, X)
    score = (data["in_care"] - mean).to_numpy()
    for vcov, factor in (
        ("HC0", 1.0),
        ("HC1", len(X) / (len(X) - 3)),
        ("HC2", 1 / (1 - leverage)),
        ("HC3", 1 / (1 - leverage) ** 2),
    ):
        expected = bread @ (X.T @ (X * (score**2 * factor)[:, None])) @ bread
        np.testing.assert_allclose(fit.with_inference(vcov).vcov, expected, rtol=1e-9)


def test_what_a_fit_says_of_itself():
    data = family_trial().copy()
    data.loc[[3, 5], "age"] = np.nan
    data["age_months"] = 12 * data["age"]
    fit = we.regression("in_care ~ arm + age + age_months", data, family="binomial", levels=LEVELS)
    assert fit.status == "dropped_columns"
    assert fit.aliased[0].term == "age_months"
    assert "age_months" in fit.message
    assert fit.n == len(data) - 2
    assert fit.dropped == {"age": 2, "age_months": 2}
    assert fit.reference_levels == {"arm": "usual"}
    assert fit.formula == "in_care ~ arm + age + age_months"
    assert fit.family == "binomial"
    assert fit.n_clusters is None
    assert 0.8 < fit.dispersion < 1.2
    text = str(fit)
    for part in ("arm = usual", "2 of", "age_months", "Logistic regression", "log odds"):
        assert part in text
    with pytest.raises(TypeError):
        fit.coefficients["age"] = 0.0
    with pytest.raises(AttributeError):
        fit.level = 0.9


def test_every_rendering_and_a_round_trip():
    fit = we.regression("days ~ arm", family_trial(), family="poisson", vcov="CR2", cluster="local_authority")
    for text in (str(fit), repr(fit), fit.to_markdown(), fit.to_html(), fit.to_latex()):
        assert "arm" in text
    assert list(fit.to_frame().columns) == list(we.Estimate.__dataclass_fields__)[:8]
    again = pickle.loads(pickle.dumps(fit))
    pd.testing.assert_frame_equal(again.to_frame(full=True), fit.to_frame(full=True))


def test_ratios_are_exponentiated_coefficients():
    fit = we.regression("in_care ~ arm + age", family_trial(), family="binomial", levels=LEVELS)
    row, ratio = fit.estimates["arm[conference]"], fit.ratio("arm[conference]")
    assert ratio.estimate == pytest.approx(np.exp(row.estimate), rel=1e-14)
    assert (ratio.ci_low, ratio.ci_high) == pytest.approx((np.exp(row.ci_low), np.exp(row.ci_high)), rel=1e-12)
    assert (ratio.se, ratio.p_value, ratio.scale) == (row.se, pytest.approx(row.p_value, rel=1e-9), "odds_ratio")
    assert "(Intercept)" not in fit.ratios()
    with pytest.raises(DesignError, match="differences"):
        we.regression("score ~ arm", family_trial()).ratios()


def test_joint_tests():
    import statsmodels.api as sm

    data = family_trial()
    fit = we.regression("score ~ arm + local_authority + age", data, levels=LEVELS)
    peer = sm.OLS(data["score"], fit.design_info.X).fit()
    restriction = np.eye(8)[2:7]
    assert fit.terms[2:7] == tuple(f"local_authority[LA{k}]" for k in range(1, 6))
    expected = peer.f_test(restriction)
    test = fit.wald_test("local_authority")
    assert test.statistic == pytest.approx(float(expected.fvalue), rel=1e-9)
    assert test.p_value == pytest.approx(float(expected.pvalue), rel=1e-8)
    assert (test.df_numerator, test.df_denominator) == (5, len(data) - 8)
    logistic = we.regression("in_care ~ arm + local_authority", data, family="binomial", levels=LEVELS)
    chi = logistic.wald_test("local_authority")
    wald = peer_of(logistic, data, "binomial").wald_test(np.eye(7)[2:], scalar=True)
    assert chi.p_value == pytest.approx(float(wald.pvalue), rel=1e-8)
    assert np.isinf(chi.df_denominator)
    clustered = fit.with_inference("CR1", cluster="family_id").wald_test(["age", "arm[conference]"])
    assert clustered.df_denominator == data["family_id"].nunique() - 1
    assert "F" in str(clustered)
    with pytest.raises(DesignError, match="did you mean 'age'"):
        fit.wald_test("agee")
    with pytest.raises(DesignError, match="6 clusters"):
        fit.with_inference("CR1", cluster="local_authority").wald_test(["arm", "age", "local_authority"])


@pytest.mark.property
@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(OUTCOMES)), st.integers(0, 2**32 - 1))
def test_weights_of_two_give_the_coefficients_of_doubled_rows(family, seed):
    data = family_trial(seed=seed % 5, families=60)
    twice = np.random.default_rng(seed).random(len(data)) < 0.4
    doubled = pd.concat([data, data[twice]])
    formula = f"{OUTCOMES[family]} ~ arm + age"
    one = we.regression(formula, data, family=family, weights=1.0 + twice, levels=LEVELS)
    two = we.regression(formula, doubled, family=family, levels=LEVELS)
    np.testing.assert_allclose(
        list(one.coefficients.values()), list(two.coefficients.values()), rtol=1e-8, atol=1e-10
    )
    assert one.marginal_effect("arm").estimate == pytest.approx(two.marginal_effect("arm").estimate, rel=1e-8)


@pytest.mark.property
@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-50, 50), st.sampled_from(["classical", "HC2", "CR1", "CR2"]))
def test_units_of_a_covariate_do_not_matter(factor, shift, vcov):
    data = family_trial(families=80)
    moved = data.assign(age=data["age"] * factor + shift)
    options = {"family": "binomial", "vcov": vcov, "levels": LEVELS}
    options |= {"cluster": "family_id"} if vcov.startswith("CR") else {}
    one = we.regression("in_care ~ arm + age", data, **options)
    two = we.regression("in_care ~ arm + age", moved, **options)
    for name in ("estimate", "se", "df", "p_value"):
        for effect in (one.estimates["arm[conference]"], one.marginal_effect("arm")):
            other = two.estimates["arm[conference]"] if effect.scale == "log_odds" else two.marginal_effect("arm")
            assert getattr(other, name) == pytest.approx(getattr(effect, name), rel=1e-6)
    assert two.estimates["age"].estimate * factor == pytest.approx(one.estimates["age"].estimate, rel=1e-6)


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(st.floats(1e-4, 1e4))
def test_exposure_in_other_units_moves_the_intercept_alone(factor):
    data = family_trial(families=80)
    options = {"family": "quasipoisson", "levels": LEVELS}
    one = we.regression("days ~ arm + age", data, exposure="exposure", **options)
    two = we.regression(
        "days ~ arm + age", data.assign(exposure=data["exposure"] * factor), exposure="exposure", **options
    )
    assert two.coefficients["(Intercept)"] == pytest.approx(
        one.coefficients["(Intercept)"] - np.log(factor), abs=1e-8
    )
    for term in ("arm[conference]", "age"):
        assert two.coefficients[term] == pytest.approx(one.coefficients[term], rel=1e-8)
    assert two.marginal_effect("arm").estimate == pytest.approx(one.marginal_effect("arm").estimate, rel=1e-9)


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(OUTCOMES)))
def test_row_order_does_not_matter(seed, family):
    data = family_trial(families=80)
    shuffled = data.sample(frac=1, random_state=seed % 2**31)
    formula = f"{OUTCOMES[family]} ~ arm + poly(age, 2) + sex"
    one = we.regression(formula, data, family=family, vcov="HC3", levels=LEVELS).to_frame()
    two = we.regression(formula, shuffled, family=family, vcov="HC3", levels=LEVELS).to_frame()
    pd.testing.assert_frame_equal(one, two, rtol=1e-9)
