"""Batched refits equal single fits, whatever changes and whatever the random part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from wwc_eval.errors import DataError, DesignError
from wwc_eval.multilevel import multilevel_model, refit_many
from wwc_eval.multilevel.resample import _copied

LEVELS = {"arm": ["usual", "programme"]}


def children(seed=0, sizes=(3, 20)):
    rng = np.random.default_rng(seed)
    per = rng.integers(*sizes, 24)
    school = np.repeat(np.arange(24), per)
    la, n = school // 6, per.sum()
    arm = np.where((school + la) % 2 == 1, "programme", "usual")
    x = rng.normal(size=n)
    y = 5 + 0.3 * (arm == "programme") + x + 0.4 * rng.normal(size=24)[school] + 0.3 * rng.normal(size=4)[la]
    y = y + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "arm": arm, "school": school, "la": la, "w": rng.uniform(0.5, 2, n)})


def outcomes(fit, reps, seed=1, size=0.4):
    """Outcomes with between-group variances from none to large."""
    rng = np.random.default_rng(seed)
    found = fit.simulate(reps, rng=rng)
    base = fit.predict(random=False)
    shrunk = base + rng.normal(size=found.shape) * fit.residual_variance**0.5
    return np.where((np.arange(reps) % 3 == 0)[:, None], shrunk, found)


def single(fit, y, inference="satterthwaite", term="arm[programme]"):
    own = fit.refit(y).with_inference(inference)
    found = own.estimates[term]
    return found.estimate, found.se, found.df, found.p_value, own.status


FORMULAS = [
    "y ~ arm + x + (1 | school)",
    "y ~ arm + x + (1 | la/school)",
    "y ~ arm + x + (1 + x | school)",
    "y ~ arm + x + (1 + x || la) + (1 | la:school)",
]


@pytest.mark.parametrize("inference", ["wald", "satterthwaite", "kenward_roger"])
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_outcomes(formula, weights, inference):
    fit = multilevel_model(formula, children(), weights=weights, levels=LEVELS)
    Y = outcomes(fit, 12)
    found = refit_many(fit, Y, inference=inference)
    for y, row in zip(Y, found.itertuples(index=False), strict=True):
        expected = single(fit, y, inference)
        np.testing.assert_allclose(row[:4], expected[:4], rtol=2e-6)
        assert row.status == expected[4]


@pytest.mark.parametrize("formula", FORMULAS[:2])
def test_maximum_likelihood_outcomes(formula):
    fit = multilevel_model(formula, children(), method="ml", levels=LEVELS)
    Y = outcomes(fit, 9)
    for y, row in zip(Y, refit_many(fit, Y).itertuples(index=False), strict=True):
        np.testing.assert_allclose(row[:4], single(fit, y)[:4], rtol=2e-6)


@pytest.mark.parametrize("formula", [*FORMULAS, "y ~ arm * x + (1 | school)", "y ~ arm + (1 + arm | la)"])
def test_allocations(formula):
    """Also where the arm enters an interaction or a random slope, which is fitted one by one."""
    data = children()
    fit = multilevel_model(formula, data, levels=LEVELS)
    rng = np.random.default_rng(2)
    by_school = data.groupby("school").arm.first()
    drawn = pd.DataFrame([rng.permutation(by_school.to_numpy()) for _ in range(6)], columns=by_school.index)
    found = refit_many(fit, arms=drawn, unit="school")
    for k, row in enumerate(found.itertuples(index=False)):
        moved = data.assign(arm=drawn.iloc[k].loc[data.school].to_numpy())
        expected = multilevel_model(formula, moved, levels=LEVELS)
        each = expected.estimates["arm[programme]"]
        np.testing.assert_allclose(row[:4], [each.estimate, each.se, each.df, each.p_value], rtol=2e-6)
        assert row.status == expected.status


def test_outcomes_and_allocations_in_pairs():
    data = children()
    fit = multilevel_model("y ~ arm + x + (1 | school)", data, levels=LEVELS)
    Y = outcomes(fit, 4)
    rng = np.random.default_rng(3)
    arms = np.array([np.array(["usual", "programme"])[rng.permutation(24) % 2][data.school] for _ in range(4)])
    for k, row in enumerate(refit_many(fit, Y, arms).itertuples(index=False)):
        each = multilevel_model("y ~ arm + x + (1 | school)", data.assign(arm=arms[k], y=Y[k]), levels=LEVELS)
        assert row.estimate == pytest.approx(each.estimates["arm[programme]"].estimate, abs=1e-8)


def test_three_arms_and_numeric_arms():
    data = children().assign(three=lambda d: np.array(["a", "b", "c"])[d.school % 3], treat=lambda d: d.school % 2)
    fit = multilevel_model("y ~ three + x + (1 | school)", data)
    rng = np.random.default_rng(0)
    drawn = np.array([np.array(["a", "b", "c"])[rng.permutation(24) % 3][data.school] for _ in range(5)])
    for term in ("three[b]", "three[c]", "x"):
        found = refit_many(fit, arms=drawn, arm="three", term=term)
        for k, row in enumerate(found.itertuples(index=False)):
            each = multilevel_model("y ~ three + x + (1 | school)", data.assign(three=drawn[k])).estimates[term]
            np.testing.assert_allclose(row[:3], [each.estimate, each.se, each.df], rtol=1e-6)
    fit = multilevel_model("y ~ treat + x + (1 | school)", data)
    found = refit_many(fit, arms=1 - np.tile(data.treat, (2, 1)))
    assert found.estimate.iloc[0] == pytest.approx(-fit.estimates["treat"].estimate)


def test_crossed_factors_are_fitted_one_by_one():
    data = children().assign(rater=lambda d: np.arange(len(d)) % 5)
    fit = multilevel_model("y ~ arm + (1 | school) + (1 | rater)", data, levels=LEVELS)
    Y = outcomes(fit, 3)
    for y, row in zip(Y, refit_many(fit, Y).itertuples(index=False), strict=True):
        np.testing.assert_allclose(row[:4], single(fit, y)[:4], rtol=1e-6)


@pytest.mark.parametrize("formula", FORMULAS[:2])
def test_an_allocation_without_contrast_fails_alone(formula):
    data = children()
    fit = multilevel_model(formula, data, levels=LEVELS)
    arms = np.array([data.arm, np.full(len(data), "usual"), data.arm])
    found = refit_many(fit, arms=arms)
    assert list(found.status) == ["ok", "failed", "ok"]
    assert found.iloc[1, :4].isna().all()
    assert found.estimate.iloc[0] == pytest.approx(fit.estimates["arm[programme]"].estimate, rel=1e-8)


@pytest.mark.parametrize("formula", [*FORMULAS[:2], "y ~ arm + x + (1 + x | la)"])
@pytest.mark.parametrize("inference", ["satterthwaite", "kenward_roger"])
def test_a_cluster_drawn_twice_counts_twice(formula, inference):
    """Counts in the fold against copied rows with new labels."""
    fit = multilevel_model(formula, children(), weights="w", levels=LEVELS)
    clusters = fit.cluster_of(None).codes
    groups = clusters.max() + 1
    times = np.random.default_rng(4).multinomial(groups, np.full(groups, 1 / groups), 8)
    found = fit.refit_resampled(times, inference=inference)
    for k in range(8):
        row = found.iloc[k]
        if row.status == "failed":
            continue
        expected = _copied(fit, times[k].astype(float), clusters, "arm[programme]", inference).iloc[0]
        np.testing.assert_allclose(list(row[:4]), list(expected[:4]), rtol=2e-6)
    same = fit.refit_resampled(np.ones((1, groups)))
    assert same.estimate[0] == pytest.approx(fit.estimates["arm[programme]"].estimate, rel=1e-9)


def test_chunks_do_not_matter(monkeypatch):
    import wwc_eval.multilevel.replicates as module

    fit = multilevel_model("y ~ arm + x + (1 | la/school)", children(), levels=LEVELS)
    one = multilevel_model("y ~ arm + x + (1 | school)", children(), levels=LEVELS)
    Y = outcomes(fit, 30)
    whole = [refit_many(each, Y) for each in (fit, one)]
    monkeypatch.setattr(module, "CHUNK", 7)
    for before, each in zip(whole, (fit, one), strict=True):
        pd.testing.assert_frame_equal(before, refit_many(each, Y), rtol=1e-9)


def test_rows_of_the_whole_data_are_accepted():
    data = children()
    data.loc[[3, 17], "x"] = np.nan
    fit = multilevel_model("y ~ arm + x + (1 | school)", data, levels=LEVELS)
    whole = np.tile(data.y, (2, 1))
    a, b = refit_many(fit, whole), refit_many(fit, whole[:, fit.data.rows])
    pd.testing.assert_frame_equal(a, b)
    assert a.estimate[0] == pytest.approx(fit.estimates["arm[programme]"].estimate, rel=1e-9)


def test_what_cannot_be_refitted_is_refused():
    data = children()
    fit = multilevel_model("y ~ arm + x + (1 | school)", data, levels=LEVELS)
    Y = outcomes(fit, 2)
    with pytest.raises(DesignError, match="nothing changes"):
        refit_many(fit)
    with pytest.raises(DataError, match="must be"):
        refit_many(fit, Y[:, :5])
    with pytest.raises(DataError, match="missing or infinite"):
        refit_many(fit, np.where(np.arange(Y.shape[1]) == 2, np.nan, Y))
    with pytest.raises(DesignError, match="did you mean"):
        refit_many(fit, Y, term="arm[program]")
    with pytest.raises(DataError, match="do not go in pairs"):
        refit_many(fit, Y, np.tile(data.arm, (3, 1)))
    with pytest.raises(DataError, match="not among the units"):
        refit_many(fit, arms=pd.DataFrame(np.full((2, 3), "usual")), unit="school")
    with pytest.raises(DesignError, match="inference == 'CR2'"):
        refit_many(fit, Y, inference="CR2")
    ml = multilevel_model("y ~ arm + x + (1 | school)", data, method="ml", levels=LEVELS)
    with pytest.raises(DesignError, match="needs a REML fit"):
        refit_many(ml, Y, inference="kenward_roger")


def test_a_replicate_that_does_not_settle_gets_a_search_of_its_own(monkeypatch):
    import wwc_eval.multilevel.engine.batch_newton as module

    fit = multilevel_model("y ~ arm + x + (1 | la/school)", children(), levels=LEVELS)
    Y = outcomes(fit, 3)
    times = np.random.default_rng(4).multinomial(4, np.full(4, 1 / 4), 3)
    whole, resampled = refit_many(fit, Y), fit.refit_resampled(times)
    monkeypatch.setattr(module, "STEPS", 1)
    pd.testing.assert_frame_equal(refit_many(fit, Y), whole, rtol=1e-6)
    pd.testing.assert_frame_equal(fit.refit_resampled(times), resampled, rtol=1e-6)


@pytest.mark.parametrize("formula", FORMULAS[:2])
def test_a_refit_without_residual_variation_fails_alone(formula):
    data = children()
    fit = multilevel_model(formula, data, levels=LEVELS)
    flat = np.random.default_rng(0).normal(size=24)[data.school.to_numpy()] + data.x.to_numpy()
    found = refit_many(fit, np.array([data.y, flat, data.y]))
    assert list(found.status) == [fit.status, "failed", fit.status]
    assert found.iloc[1, :4].isna().all()


@pytest.mark.property
@pytest.mark.parametrize("formula", FORMULAS[:2])
def test_many_refits_equal_single_ones_whatever_the_variances(formula):
    """Small and unbalanced groups, where a criterion may have several minima."""
    data = children(seed=7, sizes=(2, 5))
    fit = multilevel_model(formula, data, levels=LEVELS)
    rng = np.random.default_rng(1)
    spread = 10 ** rng.uniform(-2, 1, 60)
    effects = rng.normal(size=(60, 24))[:, data.school] + rng.normal(size=(60, 4))[:, data.la]
    Y = spread[:, None] * effects + rng.normal(size=(60, len(data)))
    for y, row in zip(Y, refit_many(fit, Y).itertuples(index=False), strict=True):
        expected = single(fit, y)
        np.testing.assert_allclose(row[:4], expected[:4], rtol=1e-5)
        assert row.status == expected[4]
