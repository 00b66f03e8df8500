"""Bootstraps: against brute force, their distributions, their seeds and their refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from wwc_eval.errors import DesignError
from wwc_eval.inference import regression, wild
from wwc_eval.inference.bootstrap import cluster_bootstrap, parametric_bootstrap, wild_cluster_bootstrap
from wwc_eval.multilevel import multilevel_model


def trial(seed=0, clusters=12, effect=0.0, size=10, icc=0.2):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(clusters), size)
    x = rng.normal(size=len(g))
    y = (
        effect * (g % 2)
        + 0.5 * x
        + icc**0.5 * rng.normal(size=clusters)[g]
        + (1 - icc) ** 0.5 * rng.normal(size=len(g))
    )
    return pd.DataFrame(
        {"y": y, "x": x, "arm": g % 2, "g": g, "events": rng.poisson(np.exp(0.3 * x + 0.2 * (g % 2)))}
    )


@pytest.fixture(scope="module")
def linear():
    return regression("y ~ arm + x", trial(), vcov="CR0", cluster="g")


@pytest.fixture(scope="module")
def mixed():
    return multilevel_model("y ~ arm + x + (1 | g)", trial())


# --- wild


def test_wild_bootstrap_against_rows():
    """The restricted wild bootstrap written out with rows, for every sign change of 8 clusters."""
    from itertools import product

    data = trial(clusters=8)
    fit = regression("y ~ arm + x", data, vcov="CR0", cluster="g")
    found = wild_cluster_bootstrap(fit, rng=1, weights="rademacher")
    X, y, g = fit.fitted.design.X, data.y.to_numpy(), data.g.to_numpy()
    M = np.linalg.inv(X.T @ X)

    def t_of(outcome, null):
        beta = M @ X.T @ outcome
        e = outcome - X @ beta
        meat = sum(np.outer(s, s) for s in (X[g == k].T @ e[g == k] for k in range(8)))
        return (beta[1] - null) / (M @ meat @ M)[1, 1] ** 0.5

    held = X[:, [0, 2]]
    restricted = held @ np.linalg.lstsq(held, y, rcond=None)[0]
    signs = np.array(list(product((-1.0, 1.0), repeat=8)))
    t = np.array([t_of(restricted + w[g] * (y - restricted), 0.0) for w in signs])
    assert found.estimate.statistic == pytest.approx(t_of(y, 0.0))
    np.testing.assert_allclose(np.sort(found.replicates), np.sort(t), atol=1e-9)
    assert found.estimate.p_value == pytest.approx((np.abs(t) >= abs(t_of(y, 0.0)) * (1 - 1e-10)).mean())
    assert found.estimate.details["complete"]


def test_wild_interval_inverts_the_test(linear):
    found = wild_cluster_bootstrap(linear, rng=1, reps=4_999).estimate
    for limit in (found.ci_low, found.ci_high):
        assert wild_cluster_bootstrap(linear, rng=1, reps=4_999, null=limit).estimate.p_value == pytest.approx(
            0.05, abs=0.003
        )
    inside = 0.5 * (found.ci_low + found.ci_high)
    assert wild_cluster_bootstrap(linear, rng=1, reps=4_999, null=inside).estimate.p_value > 0.05


def test_wild_weights_follow_the_number_of_clusters(linear):
    assert wild_cluster_bootstrap(linear, rng=1, reps=99).estimate.details["weights"] == "webb"
    many = regression("y ~ arm + x", trial(clusters=30), vcov="CR0", cluster="g")
    assert wild_cluster_bootstrap(many, rng=1, reps=99).estimate.details["weights"] == "rademacher"


def test_wild_bootstrap_of_a_mixed_model_uses_its_covariance(mixed):
    found = wild_cluster_bootstrap(mixed, rng=1, reps=999)
    assert found.estimate.se == pytest.approx(mixed.with_inference("CR0").estimates["arm"].se, rel=1e-8)
    assert found.estimate.estimate == pytest.approx(mixed.estimates["arm"].estimate)


@pytest.mark.simulation
def test_wild_bootstrap_holds_its_level_with_twelve_clusters():
    reps = 400
    rejected = 0
    for k in range(reps):
        fit = regression("y ~ arm + x", trial(seed=100 + k), vcov="CR0", cluster="g")
        rejected += wild_cluster_bootstrap(fit, rng=k, reps=399).estimate.p_value <= 0.05
    assert abs(rejected / reps - 0.05) < 3 * (0.05 * 0.95 / reps) ** 0.5


# --- clusters


def test_cluster_bootstrap_of_a_regression_against_copied_rows(linear):
    from wwc_eval.inference.resampled import regression_replicates

    data = trial()
    times = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 20)
    values, errors = regression_replicates(linear, times.astype(float), linear.clusters.codes, 1)
    for k in range(20):
        parts, label = [], 0
        for cluster, count in enumerate(times[k]):
            for _ in range(count):
                parts.append(data[data.g == cluster].assign(g=label))
                label += 1
        fit = regression("y ~ arm + x", pd.concat(parts), vcov="CR0", cluster="g")
        assert values[k] == pytest.approx(fit.estimates["arm"].estimate, rel=1e-9)
        assert errors[k] == pytest.approx(fit.estimates["arm"].se, rel=1e-9)


def test_cluster_bootstrap_of_a_glm_against_copied_rows():
    from wwc_eval.inference.resampled import regression_replicates

    data = trial().assign(time=2.0)
    fit = regression("events ~ arm + x", data, family="poisson", exposure="time", vcov="CR0", cluster="g")
    times = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 5)
    values, errors = regression_replicates(fit, times.astype(float), fit.clusters.codes, 1)
    assert errors is None
    for k in range(5):
        rows = np.concatenate([np.tile(np.flatnonzero(data.g == c), m) for c, m in enumerate(times[k])]).astype(
            int
        )
        again = regression("events ~ arm + x", data.iloc[rows], family="poisson", exposure="time")
        assert values[k] == pytest.approx(again.estimates["arm"].estimate, rel=1e-8)


def test_strata_keep_both_arms(mixed):
    found = cluster_bootstrap(mixed, rng=1, strata="arm", reps=199)
    assert found.failed == 0
    assert "within arm" in found.estimate.method
    free = cluster_bootstrap(multilevel_model("y ~ arm + (1 | g)", trial(clusters=4)), rng=1, reps=199)
    assert free.failed > 0
    assert any("replicates have no estimate" in text for text in free.estimate.warnings)


@pytest.mark.parametrize("interval", ["studentised", "percentile", "basic"])
def test_intervals_hold_the_estimate(mixed, linear, interval):
    for fit in (mixed, linear):
        found = cluster_bootstrap(fit, rng=1, strata="arm", reps=499, interval=interval).estimate
        assert found.ci_low < found.estimate < found.ci_high
        assert found.details["bootstrap"] == interval
        assert 0 < found.p_value <= 1


# --- parametric


def test_parametric_spread_is_that_of_the_model(mixed):
    found = parametric_bootstrap(mixed, rng=1, reps=3_999)
    model = mixed.estimates["arm"]
    assert found.estimate.se == pytest.approx(model.se, rel=0.05)
    # close to Kenward and Roger's t interval
    adjusted = mixed.with_inference("kenward_roger").estimates["arm"]
    assert found.estimate.ci_high - found.estimate.ci_low == pytest.approx(
        adjusted.ci_high - adjusted.ci_low, rel=0.1
    )


def test_parametric_bootstrap_of_a_statistic(mixed):
    def share(fit):
        rows = fit.variance_components.to_dicts()
        return rows[0]["variance"] / sum(row["variance"] for row in rows)

    found = parametric_bootstrap(mixed, rng=1, reps=99, statistic=share)
    assert found.estimate.estimate == pytest.approx(share(mixed))
    assert 0 <= found.estimate.ci_low < found.estimate.ci_high <= 1
    with pytest.raises(DesignError, match="interval == 'studentised'"):
        parametric_bootstrap(mixed, rng=1, reps=99, statistic=share, interval="studentised")


def test_simulated_outcomes_follow_the_model(mixed):
    data = trial()
    slopes = multilevel_model("y ~ arm + x + (1 + x | g)", data, weights=np.linspace(0.5, 2, len(data)))
    for fit in (mixed, slopes):
        Y = fit.simulate(6_000, rng=0, coefficients={"arm": 0.0})
        beta = fit.coefficients * np.array([1.0, 0.0, 1.0])
        error = Y.std(axis=0) / Y.shape[0] ** 0.5
        assert np.abs((Y.mean(axis=0) - fit.data.design.X @ beta) / error).max() < 5.0
        expected = np.zeros((fit.n, fit.n))
        for grouping, covariance in zip(fit.data.groupings, fit.covariances, strict=True):
            same = grouping.codes[:, None] == grouping.codes
            expected += (grouping.Z @ covariance @ grouping.Z.T) * same
        weights = np.ones(fit.n) if fit.data.weights is None else fit.data.weights
        expected += np.diag(fit.residual_variance / weights)
        assert np.abs(np.cov(Y.T) - expected).max() < 0.12 * expected.max()
    with pytest.raises(DesignError, match="no term"):
        mixed.simulate(2, rng=0, coefficients={"armm": 0.0})


# --- what they share


def test_same_seed_same_result(mixed, linear):
    for call in (
        lambda: parametric_bootstrap(mixed, rng=7, reps=99),
        lambda: cluster_bootstrap(linear, rng=7, strata="arm", reps=99),
        lambda: wild_cluster_bootstrap(linear, rng=7, reps=99),
    ):
        one, two = call(), call()
        np.testing.assert_array_equal(one.replicates, two.replicates)
        assert one.estimate.ci_low == two.estimate.ci_low
    assert not np.array_equal(
        parametric_bootstrap(mixed, rng=8, reps=99).replicates,
        parametric_bootstrap(mixed, rng=7, reps=99).replicates,
    )


def test_results_render_and_plot(mixed):
    found = parametric_bootstrap(mixed, rng=1, reps=99)
    assert "99 replicates" in str(found)
    assert found.plot().get_xlabel() == "bootstrap estimate of arm"
    assert found.to_frame()["term"].tolist() == ["arm"]


def test_what_cannot_be_bootstrapped_is_refused(mixed, linear):
    with pytest.raises(DesignError, match="cannot be simulated"):
        parametric_bootstrap(linear, rng=1)
    with pytest.raises(DesignError, match="no term"):
        cluster_bootstrap(mixed, rng=1, term="armm")
    with pytest.raises(DesignError, match="no clusters"):
        cluster_bootstrap(regression("y ~ arm", trial()), rng=1)
    with pytest.raises(DesignError, match="several values of 'x'"):
        cluster_bootstrap(mixed, rng=1, strata="x")
    with pytest.raises(DesignError, match="must be >= 19"):
        parametric_bootstrap(mixed, rng=1, reps=5)
    glm = regression("events ~ arm", trial(), family="poisson", vcov="CR0", cluster="g")
    with pytest.raises(DesignError, match="linear models"):
        wild_cluster_bootstrap(glm, rng=1)
    with pytest.raises(DesignError, match="interval='percentile'"):
        cluster_bootstrap(glm, rng=1, strata="arm", reps=19)
    crossed = multilevel_model("y ~ arm + (1 | g) + (1 | r)", trial().assign(r=np.arange(120) % 5))
    with pytest.raises(DesignError, match="crossed"):
        cluster_bootstrap(crossed, rng=1)


@pytest.mark.parametrize("p", [2, 40])
def test_scores_of_many_clusters_are_those_of_the_dense_matrix(p, monkeypatch):
    rng = np.random.default_rng(p)
    values, scores, pull = rng.choice([-1.0, 1.0], (50, 700)), rng.normal(size=(700, p)), rng.normal(size=(700, p))
    M, b = rng.normal(size=(p, p)), rng.normal(size=p)
    thin = wild._scored(values, scores, pull, M, b)
    monkeypatch.setattr(wild, "LARGE", 10_000)
    for found, wanted in zip(thin, wild._scored(values, scores, pull, M, b), strict=True):
        assert found == pytest.approx(wanted, rel=1e-11, abs=1e-9)
