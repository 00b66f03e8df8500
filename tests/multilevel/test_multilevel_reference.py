"""Linear mixed models against lme4, lmerTest, pbkrtest and clubSandwich."""

from __future__ import annotations

import numpy as np
import pytest
from multilevel_cases import dataset, figures

from wwc_eval.multilevel import multilevel_model

FIGURES = figures("multilevel_linear")
CASES = {case["id"]: case for case in FIGURES["cases"]}
pytestmark = pytest.mark.reference

# lme4 stopped early here, as its criterion shows (test_the_minimum_is_below_that_of_lme4): its errors and the
# numerical Hessian behind its df are off by more than the usual tolerance
LOOSE_SE = {"syn_collinear": 1e-4}
LOOSE_DF = {"syn_collinear": 5e-3, "egsingle3": 5e-6}
LOOSE_KR = {"syn_collinear": 1e-4}


def case(name: str) -> dict:
    return CASES[name]


def having(part: str) -> list[str]:
    return [name for name, each in CASES.items() if part in each]


@pytest.fixture(scope="module")
def fits():
    found = {}

    def fit(name: str):
        if name not in found:
            each = case(name)
            found[name] = multilevel_model(each["formula"], dataset(each["data"]), method=each["method"])
        return found[name]

    return fit


@pytest.mark.parametrize("name", CASES)
def test_estimates_and_errors(fits, name):
    fit, expected = fits(name), case(name)
    se = np.array(expected["se"])
    assert fit.n == expected["n"]
    assert sorted(fit.groups.values()) == expected["groups"]
    assert fit.criterion <= expected["criterion"] + 1e-8 * abs(expected["criterion"])
    beta = np.array([each.estimate for each in fit.estimates])
    # a near-collinear coefficient moves with lme4's unfinished search
    tolerance = 1e-5 if name == "syn_collinear" else 1e-6
    np.testing.assert_allclose((beta - expected["beta"]) / se, 0.0, atol=tolerance)
    found = np.sqrt(np.diag(fit.vcov))
    np.testing.assert_allclose(found, se, rtol=LOOSE_SE.get(name, 1e-5))


@pytest.mark.parametrize("name", CASES)
def test_the_minimum_is_below_that_of_lme4(fits, name):
    """The criterion at lme4's own parameters is never below the minimum found here."""
    fit, expected = fits(name), case(name)
    problem = fit.core.solution.problem
    given = expected["theta"]
    theta = np.array(list(given.values()) if isinstance(given, dict) else given)
    back = []
    for grouping, root in zip(problem.prepared.groupings, problem.prepared.roots, strict=True):
        keys = [key for key in given if _same_factor(key, grouping.name)]
        values = [given[key] for key in keys]
        lower = np.zeros((grouping.width, grouping.width))
        for (i, j), value in zip(grouping.entries, values, strict=True):
            lower[i, j] = value
        back.append(root @ lower)
    assert len(theta) == problem.parameters.size
    value = problem.criterion.value(back) + problem.prepared.constant(problem.reml)
    assert value >= fit.criterion - 1e-9 * abs(fit.criterion)
    assert value == pytest.approx(expected["criterion"], rel=1e-8)


def _same_factor(key: str, name: str) -> bool:
    return sorted(key.split(".(", maxsplit=1)[0].split(".", maxsplit=1)[0].split(":")) == sorted(name.split(":"))


@pytest.mark.parametrize("name", having("components"))
def test_variance_components(fits, name):
    fit, expected = fits(name), case(name)
    # lme4 lists variances of a factor first, then covariances
    found = [row["variance"] for row in fit.variance_components]
    scale = expected["sigma"] ** 2
    np.testing.assert_allclose(
        sorted(found),
        sorted(row[3] for row in expected["components"]),
        rtol=1e-4 if name in LOOSE_SE else 2e-5,
        atol=1e-6 * scale,
    )
    assert fit.variance_components.to_dicts()[-1]["group"] == "Residual"


@pytest.mark.parametrize("name", CASES)
def test_status_says_what_lme4_says(fits, name):
    fit, expected = fits(name), case(name)
    if name == "syn_rankdef":
        assert fit.status == "dropped_columns"
        assert "pretest2" in fit.message
    else:
        assert fit.status == ("boundary" if expected["singular"] else "ok")
    assert fit.log_likelihood == pytest.approx(expected["log_likelihood"], rel=1e-8)
    assert fit.optimiser.converged


@pytest.mark.parametrize("name", having("satterthwaite_df"))
def test_satterthwaite(fits, name):
    df = [each.df for each in fits(name).with_inference("satterthwaite").estimates]
    np.testing.assert_allclose(df, case(name)["satterthwaite_df"], rtol=LOOSE_DF.get(name, 1e-6))


@pytest.mark.parametrize("name", having("kenward_roger"))
def test_kenward_roger(fits, name):
    fit, expected = fits(name).with_inference("kenward_roger"), case(name)["kenward_roger"]
    tolerance = LOOSE_KR.get(name, 1e-6)
    np.testing.assert_allclose([each.se for each in fit.estimates], expected["se"], rtol=tolerance)
    np.testing.assert_allclose([each.df for each in fit.estimates], expected["df"], rtol=tolerance)
    vcov = np.array(expected["vcov"])
    np.testing.assert_allclose(fit.vcov, vcov, atol=10 * tolerance * np.abs(vcov).max())


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S", "CR2", "CR3"])
@pytest.mark.parametrize("name", having("cluster_robust"))
def test_cluster_robust(fits, name, kind):
    each = case(name)
    fit = fits(name).with_inference(kind, cluster=each["cluster"])
    expected = each["cluster_robust"][kind]
    np.testing.assert_allclose([row.se for row in fit.estimates], expected["se"], rtol=1e-6)
    np.testing.assert_allclose([row.df for row in fit.estimates], expected["df"], rtol=1e-6)


@pytest.mark.parametrize("name", having("profile"))
def test_profile_intervals(fits, name):
    """lme4 interpolates its profile by splines: three to six digits of it hold."""
    fit, expected = fits(name), case(name)["profile"]
    variances = [(row["ci_low"], row["ci_high"]) for row in fit.variance_intervals()]
    fixed = [(row["ci_low"], row["ci_high"]) for row in fit.profile_intervals()]
    np.testing.assert_allclose(variances + fixed, list(expected.values()), rtol=2e-4)


@pytest.mark.parametrize("name", having("modes"))
def test_conditional_modes(fits, name):
    fit, expected = fits(name), case(name)["modes"]
    for group, rows in expected.items():
        if ":" in group:
            continue  # lme4 sorts the combined labels in another order
        grouping = fit.data.grouping(group)
        order = np.argsort(_keys(grouping.labels), kind="stable")[:3]
        found = fit.core.modes[group].mean[order]
        scale = max(float(np.sqrt(np.diag(fit.covariances[list(fit.groups).index(group)])).max()), 1e-6)
        np.testing.assert_allclose(found, np.array(rows).reshape(found.shape), atol=2e-5 * scale)


def _keys(labels):
    try:
        return [float(label) for label in labels]
    except ValueError:
        return list(labels)


def test_exact_interval_of_the_intraclass_correlation(fits):
    expected = FIGURES["icc_dyestuff"]
    found = fits("dyestuff").icc()["Batch"]
    assert found.details["interval"] == "exact"
    np.testing.assert_allclose(
        [found.estimate, found.ci_low, found.ci_high],
        [expected["icc"], expected["low"], expected["high"]],
        rtol=1e-9,
    )
