"""The fitted model as a user meets it: tables, tests, predictions, advice, plots, hostile input."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from multilevel_cases import dataset

from wwc_eval.errors import ConvergenceError, DataError, DesignError, FormulaError
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.multilevel import multilevel_model

LEVELS = {"arm": ["usual", "programme"]}
FORMULA = "score ~ arm + age + (1 | la/school)"


def children(seed=0, las=6):
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(4 * las), rng.integers(4, 18, 4 * las))
    la, n = school // 4, len(school)
    arm = np.where((school + la) % 2 == 1, "programme", "usual")
    age = rng.integers(0, 18, n)
    score = 20 + 1.5 * (arm == "programme") + 0.3 * age + rng.normal(size=4 * las)[school] + rng.normal(size=n) * 3
    score = score + rng.normal(size=las)[la]
    return pd.DataFrame(
        {
            "score": score,
            "arm": arm,
            "age": age,
            "sex": rng.choice(["f", "m"], n),
            "school": [f"s{k}" for k in school],
            "la": [f"la{k}" for k in la],
            "region": [f"r{k // 2}" for k in la],
            "w": rng.uniform(0.5, 2.0, n),
        }
    )


@pytest.fixture(scope="module")
def data():
    return children()


@pytest.fixture(scope="module")
def fit(data):
    return multilevel_model(FORMULA, data, levels=LEVELS)


def test_contract(fit, data):
    assert isinstance(fit.estimates, Estimates)
    assert fit.estimates.terms == ("(Intercept)", "arm[programme]", "age")
    assert list(fit.vcov.index) == list(fit.estimates.terms) == list(fit.vcov.columns)
    assert fit.n == len(data)
    assert fit.groups == {"la": 6, "la:school": 24}
    assert fit.method == "reml"
    assert fit.family == "gaussian"
    assert fit.log_likelihood == pytest.approx(-0.5 * fit.criterion)
    assert fit.status in ("ok", "boundary")
    assert fit.message.endswith(".")
    rows = fit.variance_components.to_dicts()
    assert [row["group"] for row in rows] == ["la", "la:school", "Residual"]
    assert list(rows[0]) == ["group", "term_1", "term_2", "variance", "sd", "correlation"]
    assert all(row["variance"] == pytest.approx(row["sd"] ** 2) for row in rows)
    text = str(fit)
    assert "Satterthwaite" in text
    assert "Reference levels: arm = usual." in text


def test_correlation_of_random_slopes_is_shown(data):
    rows = multilevel_model("score ~ age + (1 + age | school)", data).variance_components.to_dicts()
    pair = rows[2]
    assert (pair["term_1"], pair["term_2"]) == ("(Intercept)", "age")
    assert pair["correlation"] == pytest.approx(pair["variance"] / (rows[0]["sd"] * rows[1]["sd"]))
    independent = multilevel_model("score ~ age + (1 + age || school)", data).variance_components
    assert not any(row["term_2"] for row in independent)


def test_optimiser_prints_its_record(fit):
    record = fit.optimiser
    assert record.converged
    assert record.gradient_norm < 1e-5
    assert record.evaluations > record.descents >= 1
    text = str(record)
    assert "REML criterion" in text
    assert "la:school: (Intercept)" in text
    assert "evaluations" in text
    assert set(record.to_frame()) == {"parameter", "value", "at_boundary"}


def test_boundary_is_named():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.normal(size=120), "g": np.repeat(np.arange(10), 12)})
    frame["y"] -= frame.groupby("g").y.transform("mean")
    fit = multilevel_model("y ~ 1 + (1 | g)", frame)
    assert fit.status == "boundary"
    assert fit.optimiser.boundary == ("g: (Intercept)",)
    assert "g: (Intercept)" in fit.message
    assert fit.variance_components.to_dicts()[0]["variance"] == 0.0
    assert fit.icc()["g"].estimate == 0.0
    assert (fit.random_effects().to_frame()["estimate"] == 0.0).all()


def test_dropped_columns_are_named(data):
    frame = data.assign(again=data.age * 2 + 1)
    fit = multilevel_model("score ~ age + again + (1 | school)", frame)
    assert fit.status == "dropped_columns"
    assert "again" in fit.message
    assert fit.estimates.terms == ("(Intercept)", "age")


def test_inference_does_not_touch_the_fit(fit):
    before = fit.estimates["age"]
    others = [fit.with_inference(kind) for kind in ("wald", "kenward_roger", "CR0", "CR1", "CR1S", "CR2", "CR3")]
    assert fit.estimates["age"] == before
    assert len({other.estimates["age"].estimate for other in others}) == 1
    assert np.isinf(others[0].estimates["age"].df)
    assert {other.core for other in others} == {fit.core}
    cr0, cr1, cr1s = (np.asarray(other.vcov) for other in others[2:5])
    g, n, p = 6, fit.n, 3
    np.testing.assert_allclose(cr1, cr0 * g / (g - 1))
    np.testing.assert_allclose(cr1s, cr1 * (n - 1) / (n - p))


def test_clusters_may_be_named_in_any_way(fit, data):
    by_default = fit.with_inference("CR2").vcov
    pd.testing.assert_frame_equal(by_default, fit.with_inference("CR2", cluster="la").vcov)
    pd.testing.assert_frame_equal(by_default, fit.with_inference("CR2", cluster=data.la.to_numpy()).vcov)
    assert fit.with_inference("CR2", cluster="region").n_clusters == 3
    with pytest.raises(DesignError, match="lie in several clusters"):
        fit.with_inference("CR2", cluster="la:school").estimates  # noqa: B018
    with pytest.raises(DesignError, match="did you mean 'region'"):
        fit.with_inference("CR2", cluster="regoin")
    with pytest.raises(DesignError, match="has no clusters"):
        fit.with_inference("wald", cluster="la")


def test_cr2_of_a_fit_without_group_variance_is_that_of_the_regression(data):
    """The two rooms share one definition, with weights too."""
    from wwc_eval.inference import regression

    flat = data.assign(score=data.score - data.groupby("school").score.transform("mean"))
    for weights in (None, "w"):
        mixed = multilevel_model("score ~ arm + age + (1 | school)", flat, weights=weights, levels=LEVELS)
        assert mixed.status == "boundary"
        plain = regression("score ~ arm + age", flat, weights=weights, vcov="CR2", cluster="school", levels=LEVELS)
        for one, two in zip(mixed.with_inference("CR2").estimates, plain.estimates, strict=True):
            assert one.estimate == pytest.approx(two.estimate, abs=1e-10)
            assert one.se == pytest.approx(two.se, rel=1e-7)
            assert one.df == pytest.approx(two.df, rel=1e-6)


def test_joint_tests(fit):
    one = fit.test("age")
    row = fit.estimates["age"]
    assert one.statistic == pytest.approx(row.statistic**2)
    assert one.p_value == pytest.approx(row.p_value)
    for kind in ("wald", "satterthwaite", "kenward_roger", "CR2"):
        both = fit.with_inference(kind).test(["arm", "age"])
        assert both.df_numerator == 2
        assert 0 <= both.p_value <= 1
        assert both.terms == ("arm[programme]", "age")
    assert fit.with_inference("wald").test("arm").p_value == pytest.approx(
        fit.with_inference("wald").estimates["arm[programme]"].p_value
    )
    with pytest.raises(DesignError, match="did you mean"):
        fit.test("agee")
    with pytest.raises(DesignError, match="no term is named"):
        fit.test([])


def test_too_many_coefficients_for_the_clusters():
    frame = children(las=3)
    fit = multilevel_model("score ~ arm + age + sex + (1 | la/school)", frame).with_inference("CR2")
    with pytest.raises(DesignError, match="cannot be tested together with 3 clusters"):
        fit.test(["arm", "age", "sex"])


def test_contrast(fit):
    sum_of = fit.contrast({"arm[programme]": 1.0, "age": 2.0}, term="both")
    weights = np.array([0.0, 1.0, 2.0])
    assert sum_of.estimate == pytest.approx(weights @ fit.coefficients)
    assert sum_of.se == pytest.approx((weights @ fit.vcov.to_numpy() @ weights) ** 0.5)
    with pytest.raises(DesignError, match="no term"):
        fit.contrast({"nothing": 1.0})
    assert fit.contrast({"arm[programme]": 1.0, "age": -0.5}).term == "arm[programme] - 0.5 age"
    assert fit.contrast({"age": -1.0}).term == "- age"


def test_profile_intervals_go_by_terms_of_the_formula(fit):
    found = fit.profile_intervals("arm").to_frame()
    assert found["term"].tolist() == ["arm[programme]"]
    assert found.equals(fit.profile_intervals("arm[programme]").to_frame())
    with pytest.raises(DesignError, match="no term 'arn'"):
        fit.profile_intervals("arn")


def test_columns_of_weights_and_exposure_are_named(data):
    for role, family in (("weights", "gaussian"), ("exposure", "poisson")):
        with pytest.raises(DataError, match=rf"no column 'agee'.*{role}= names a column.*'age'"):
            multilevel_model(FORMULA, data, family=family, **{role: "agee"})


def test_clusters_that_cut_through_groups_are_not_drawn():
    frame = children(las=3)
    fit = multilevel_model("score ~ arm + age + (1 | la/school)", frame)
    options = {"interval": "bootstrap", "draw": "clusters", "reps": 19, "rng": 1, "progress": False}
    with pytest.raises(DesignError, match=r"no replicate has an estimate.*groups of 'la' lie in several clusters"):
        fit.marginal_effect("arm", cluster="school", **options)


def test_predictions(fit, data):
    np.testing.assert_allclose(fit.predict(data), fit.predict(), rtol=1e-12)
    np.testing.assert_allclose(fit.predict(data, random=False), fit.predict(random=False))
    np.testing.assert_allclose(fit.residuals(), data.score - fit.predict())
    np.testing.assert_allclose(fit.residuals("marginal"), data.score - fit.predict(random=False))
    new = pd.DataFrame({"arm": ["usual"], "age": [3], "la": ["la9"], "school": ["s1"]})
    with pytest.raises(DataError, match=r"'la9:s1' of 'la:school'|'la9' of 'la'"):
        fit.predict(new)
    assert fit.predict(new, random=False).shape == (1,)
    with pytest.raises(DataError, match="no grouping column 'la'"):
        fit.predict(new.drop(columns="la"))


def test_predictions_with_transformed_random_slopes(data):
    fit = multilevel_model("score ~ centre(age) + arm + (1 + centre(age) | school) + (0 + sex | la)", data)
    some = data.iloc[[5, 40, 99]]
    np.testing.assert_allclose(fit.predict(some), fit.predict()[[5, 40, 99]], rtol=1e-10)


def test_random_effects(fit):
    frame = fit.random_effects().to_frame()
    assert list(frame.columns) == ["group", "level", "term", "estimate", "sd", "se", "ci_low", "ci_high"]
    assert (frame["se"] >= frame["sd"]).all()
    assert len(fit.random_effects("la")) == 6
    with pytest.raises(DesignError, match="did you mean 'la'"):
        fit.random_effects("laa")


@pytest.mark.simulation
def test_intervals_of_random_effects_cover():
    rng = np.random.default_rng(3)
    school = np.repeat(np.arange(40), 8)
    inside = []
    for _ in range(40):
        u = rng.normal(size=40)
        frame = pd.DataFrame({"y": u[school] + 2 * rng.normal(size=320), "school": school})
        rows = multilevel_model("y ~ 1 + (1 | school)", frame).random_effects().to_frame()
        inside.append(((rows.ci_low <= u) & (u <= rows.ci_high)).mean())
    # the variances are taken as known, which costs a little
    assert 0.92 < np.mean(inside) < 0.97


def test_icc(fit):
    found = fit.icc()
    parts = [row["variance"] for row in fit.variance_components]
    assert [each.term for each in found] == ["la", "la:school"]
    assert found["la"].estimate == pytest.approx(parts[0] / sum(parts))
    assert found["la:school"].details["correlation"] == pytest.approx((parts[0] + parts[1]) / sum(parts))
    for each in found:
        assert 0 <= each.ci_low <= each.estimate <= each.ci_high <= 1
    with pytest.raises(DesignError, match="exact interval needs"):
        fit.icc(method="exact")


def test_profile_limits_of_a_share_are_where_the_criterion_has_risen(data):
    """One random intercept: the share is a function of the one parameter, so the limits can be checked."""
    fit = multilevel_model("score ~ arm + (1 | school)", data)
    found = fit.icc(method="profile")["school"]
    criterion = fit.core.solution.problem.criterion
    for limit in (found.ci_low, found.ci_high):
        value = criterion.value([np.array([[(limit / (1 - limit)) ** 0.5]])])
        assert value - fit.core.solution.minimum.value == pytest.approx(3.841458820694124, rel=1e-5)


def test_variance_intervals_reach_zero():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.normal(size=60), "g": np.repeat(np.arange(10), 6)})
    row = multilevel_model("y ~ 1 + (1 | g)", frame).variance_intervals().to_dicts()[0]
    assert row["ci_low"] == 0.0
    assert row["ci_high"] > 0


@pytest.mark.simulation
def test_profile_intervals_of_the_share_cover():
    rng = np.random.default_rng(11)
    school = np.repeat(np.arange(20), rng.integers(5, 30, 20))
    fit = None
    hits = 0
    for _ in range(120):
        y = rng.normal(size=20)[school] * 0.5 + rng.normal(size=len(school))
        frame = pd.DataFrame({"y": y, "school": school})
        fit = multilevel_model("y ~ 1 + (1 | school)", frame) if fit is None else fit.refit(y)
        found = fit.icc()[0]
        hits += found.ci_low <= 0.2 <= found.ci_high
    assert abs(hits / 120 - 0.95) < 3.5 * (0.95 * 0.05 / 120) ** 0.5


def test_marginal_effects(data):
    fit = multilevel_model("score ~ arm * sex + poly(age, 2) + (1 | school)", data, levels=LEVELS)
    found = fit.marginal_effect("arm")
    share = (data.sex == "m").mean()
    expected = fit.contrast({"arm[programme]": 1.0, "arm[programme]:sex[m]": share})
    assert isinstance(found, Estimate)
    assert found.estimate == pytest.approx(expected.estimate)
    assert found.se == pytest.approx(expected.se)
    assert found.scale == "mean_difference"
    slope = fit.marginal_effect("age")
    assert slope.scale == "slope"
    plain = multilevel_model("score ~ arm + age + (1 | school)", data, levels=LEVELS)
    assert plain.marginal_effect("age").estimate == pytest.approx(plain.estimates["age"].estimate)
    regions = multilevel_model("score ~ region + (1 | school)", data).marginal_effect("region")
    assert [each.term for each in regions] == ["region[r1]", "region[r2]"]
    with pytest.raises(DesignError, match="0/1 outcome"):
        fit.marginal_effect("arm", scale="risk_difference")


def test_advice(fit, data):
    advice = fit.advice
    assert advice.inference == "kenward_roger"
    assert advice.n_clusters == 6
    assert set(advice.estimates) == {"wald", "satterthwaite", "kenward_roger", "CR2", "CR3"}
    assert "fewer than 50" in str(advice)
    assert advice.to_frame()["advised"].sum() == 1
    ml = multilevel_model(FORMULA, data, method="ml", levels=LEVELS).advice
    assert ml.inference == "satterthwaite"
    assert "method='reml'" in str(ml)
    few = multilevel_model(FORMULA, children(las=3), levels=LEVELS).advice
    assert any("randomisation test" in reason for reason in few.reasons)
    many = multilevel_model("score ~ arm + (1 | school)", children(las=15), levels=LEVELS).advice
    assert many.inference == "satterthwaite"
    crossed = multilevel_model("score ~ arm + (1 | school) + (1 | age)", data, levels=LEVELS).advice
    assert crossed.cluster is None
    assert crossed.inference == "kenward_roger"


def test_the_level_that_is_the_top_decides():
    """Four LAs: Kenward-Roger trusts the schools, CR2 only the LAs; the advice says so."""
    fit = multilevel_model("y ~ treat + pretest + fsm + (1 | la/school)", dataset("generated/syn_trial_4la"))
    assert any("The level decides" in reason for reason in fit.advice.reasons)


def test_diagnostics(fit):
    rows = fit.diagnostics().to_dicts()
    assert [row["of"] for row in rows] == ["residuals", "la: (Intercept)", "la:school: (Intercept)"]
    assert rows[0]["n"] == fit.n
    vif = fit.vif().to_dicts()
    assert all(row["vif"] >= 1.0 - 1e-9 for row in vif)
    explained = fit.variance_explained().to_dicts()
    assert 0 < explained[0]["share"] < explained[1]["share"] < 1


def test_plots_return_axes_and_draw_nothing_else(fit):
    from matplotlib import pyplot as plt

    axes = [
        fit.plot(), fit.plot_random_effects(), fit.plot_random_effects("la"), fit.plot_qq(),
        fit.plot_qq("la"), fit.plot_residuals(),
    ]  # fmt: skip
    assert all(ax.get_xlabel() for ax in axes)
    assert not plt.get_fignums()


def test_crossed_factors_need_a_named_cluster(data):
    frame = data.assign(rater=np.arange(len(data)) % 7)
    fit = multilevel_model("score ~ arm + (1 | school) + (1 | rater)", frame)
    with pytest.raises(DesignError, match="crossed"):
        fit.with_inference("CR2")
    with pytest.raises(DesignError, match="lie in several clusters"):
        fit.with_inference("CR2", cluster="la").estimates  # noqa: B018
    within = data.assign(rater=[f"{la}{k % 3}" for k, la in enumerate(data.la)])
    fit = multilevel_model("score ~ arm + (1 | school) + (1 | rater)", within)
    assert fit.with_inference("CR2", cluster="la").n_clusters == 6


def test_kenward_roger_needs_reml(data):
    fit = multilevel_model(FORMULA, data, method="ml")
    with pytest.raises(DesignError, match=r"needs a REML fit.*satterthwaite"):
        fit.with_inference("kenward_roger")


def test_levels_and_coverage(data):
    fit = multilevel_model(FORMULA, data, levels={"arm": ["programme", "usual"]}, level=0.9)
    assert "arm[usual]" in fit.terms
    row, wide = fit.estimates["age"], fit.with_inference("satterthwaite", level=0.99).estimates["age"]
    assert row.level == 0.9
    assert wide.ci_high - wide.ci_low > row.ci_high - row.ci_low


def test_frames_of_other_libraries(data):
    polars = pytest.importorskip("polars")
    one = multilevel_model(FORMULA, data, levels=LEVELS)
    two = multilevel_model(FORMULA, polars.from_pandas(data), levels=LEVELS)
    assert one.criterion == two.criterion
    np.testing.assert_array_equal(one.coefficients, two.coefficients)


def test_the_callers_frame_is_not_changed(data):
    before = data.copy(deep=True)
    fit = multilevel_model(FORMULA, data, weights=np.ones(len(data)))
    fit.advice, fit.marginal_effect("arm"), fit.predict(data)
    pd.testing.assert_frame_equal(data, before)


def test_a_fit_crosses_process_borders(fit):
    again = pickle.loads(pickle.dumps(fit))
    assert again.estimates["age"] == fit.estimates["age"]
    assert again.with_inference("CR2").estimates["age"].df == fit.with_inference("CR2").estimates["age"].df


BAD = {
    "one cluster": (lambda d: d.assign(school="s"), "score ~ arm + (1 | school)", {}, DesignError, "single group"),
    "constant outcome": (lambda d: d.assign(score=4.0), "score ~ arm + (1 | school)", {}, DataError, "is 4 in all"),
    "all missing": (lambda d: d.assign(age=np.nan), FORMULA, {}, DataError, "age"),
    "a group for each row": (
        lambda d: d.assign(school=np.arange(len(d))), "score ~ arm + (1 | school)", {}, DesignError, "groups for",
    ),
    "unseen column": (lambda d: d, "score ~ arm + (1 | scool)", {}, FormulaError, "did you mean 'school'"),
    "no random part": (lambda d: d, "score ~ arm", {}, DesignError, "no random part"),
    "no outcome": (lambda d: d, "~ arm + (1 | school)", {}, FormulaError, "response|left"),
    "zero weight": (lambda d: d.assign(w=0.0), FORMULA, {"weights": "w"}, DataError, "must be above 0"),
    "negative weight": (lambda d: d.assign(w=-d.w), FORMULA, {"weights": "w"}, DataError, "must be above 0"),
    "weights of text": (lambda d: d, FORMULA, {"weights": "sex"}, DataError, "not numbers"),
    "weights too short": (lambda d: d, FORMULA, {"weights": [1.0, 2.0]}, DataError, "shape"),
    "unknown family": (lambda d: d, FORMULA, {"family": "gausian"}, DesignError, "did you mean 'gaussian'"),
    "unknown method": (lambda d: d, FORMULA, {"method": "laplace"}, DesignError, "'reml', 'ml'"),
    "quadrature": (lambda d: d, FORMULA, {"quadrature_points": 7}, DesignError, "no quadrature"),
    "exposure": (lambda d: d, FORMULA, {"exposure": "w"}, DesignError, "goes with a count"),
    "level": (lambda d: d, FORMULA, {"level": 95}, DesignError, "must be < 1"),
    "no frame": (lambda d: {"score": [1]}, FORMULA, {}, DataError, "data frame"),
    "few rows": (lambda d: d.iloc[[0, 1, 30]], "score ~ age + sex + arm + (1 | school)", {}, DesignError, "cannot carry"),
    "same groups": (
        lambda d: d.assign(again=d.school), "score ~ 1 + (1 | school) + (1 | again)", {}, DesignError, "same way",
    ),
    "perfect copy": (
        lambda d: d.assign(copy=2 * d.score), "score ~ copy + (1 | school)", {}, ConvergenceError, "does not vary",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_its_place_and_fix(data, name):
    change, formula, options, error, text = BAD[name]
    with pytest.raises(error, match=text):
        multilevel_model(formula, change(data), **options)


def test_a_failed_fit_says_so_and_shows_no_number(data):
    frame = data.assign(score=data.groupby("school").score.transform("mean"))
    fit = multilevel_model("score ~ age + (1 | school)", frame)
    assert fit.status == "failed"
    assert "no trustworthy optimum" in fit.message
    assert all(np.isnan(each.estimate) for each in fit.estimates)
    assert "failed" in str(fit)
    with pytest.raises(ConvergenceError):
        fit.with_inference("CR2").vcov  # noqa: B018
