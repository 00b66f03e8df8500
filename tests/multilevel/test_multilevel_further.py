"""Further models beside lme4 (searched to its limit), lmerTest, pbkrtest, clubSandwich and glmmTMB; data of our own."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from further_trials import further_trial
from multilevel_cases import figures

from wwc_eval.multilevel import multilevel_model

FIGURES = figures("multilevel_further")
LINEAR = FIGURES["linear"]
GENERALISED = FIGURES["generalised"]
FAMILIES = {"nbinom1": "negative_binomial_1", "nbinom2": "negative_binomial"}
# a correlation of one in size is the boundary here
CORRELATED = [case for case in GENERALISED if case["formula"] == "binary ~ arm + x + (1 + x | school)"]
LEVELS = {"arm": ["usual", "programme"], "sex": ["f", "m"]}
pytestmark = pytest.mark.reference


def titled(case: dict) -> str:
    return f"{case['data']} {case['formula']} {case.get('family', case.get('method'))}"


def number(cases: list[dict], part: str) -> list[int]:
    return [k for k, case in enumerate(cases) if part in case]


@cache
def linear(k: int):
    case = LINEAR[k]
    return multilevel_model(
        case["formula"], further_trial(case["data"]), method=case["method"],
        weights="weight" if case["weights"] else None, levels=LEVELS,
    )  # fmt: skip


@pytest.mark.parametrize("k", range(len(LINEAR)), ids=[titled(case) for case in LINEAR])
def test_linear_models(k):
    fit, case = linear(k), LINEAR[k]
    assert fit.criterion <= case["criterion"] * (1 + 1e-8)
    assert fit.criterion == pytest.approx(case["criterion"], rel=1e-9)
    assert fit.status == ("boundary" if case["singular"] else "ok")
    found = np.array([[row.estimate, row.se, row.df] for row in fit.estimates]).T
    np.testing.assert_allclose((found[0] - case["beta"]) / case["se"], 0.0, atol=1e-6)
    np.testing.assert_allclose(found[1], case["se"], rtol=1e-6)
    # lmerTest differentiates numerically: with three crossed variances that is what limits the comparison
    limit = 5e-6 if "rater" in case["formula"] else 1e-6
    np.testing.assert_allclose(found[2], case["satterthwaite_df"], rtol=limit)


@pytest.mark.parametrize("k", number(LINEAR, "kenward_roger"), ids=lambda k: titled(LINEAR[k]))
def test_kenward_roger(k):
    fit, wanted = linear(k).with_inference("kenward_roger"), LINEAR[k]["kenward_roger"]
    np.testing.assert_allclose([row.se for row in fit.estimates], wanted["se"], rtol=1e-6)
    np.testing.assert_allclose([row.df for row in fit.estimates], wanted["df"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S", "CR2", "CR3"])
@pytest.mark.parametrize("k", number(LINEAR, "cluster_robust"), ids=lambda k: titled(LINEAR[k]))
def test_cluster_robust(k, kind):
    case = LINEAR[k]
    fit, wanted = linear(k).with_inference(kind, cluster=case["cluster"]), case["cluster_robust"][kind]
    np.testing.assert_allclose([row.se for row in fit.estimates], wanted["se"], rtol=1e-6)
    np.testing.assert_allclose([row.df for row in fit.estimates], wanted["df"], rtol=1e-6)


@pytest.mark.parametrize("case", GENERALISED, ids=titled)
def test_generalised_models(case):
    formula = case["formula"].replace("cbind(successes, trials - successes)", "successes / trials")
    fit = multilevel_model(
        formula.replace(" + offset(log(exposure))", ""),
        further_trial(case["data"]),
        family=FAMILIES.get(case["family"], case["family"]),
        quadrature_points=case["points"],
        exposure="exposure" if "offset" in formula else None,
        levels=LEVELS,
    )
    found = np.array([[row.estimate, row.se] for row in fit.estimates]).T
    variances = [row["variance"] for row in fit.variance_components.to_dicts() if not row["term_2"]]
    exact = case["program"] == "glmmTMB"  # glmer's errors come from finite differences
    np.testing.assert_allclose((found[0] - case["beta"]) / case["se"], 0.0, atol=2e-5)
    np.testing.assert_allclose(found[1], case["se"], rtol=5e-6 if exact else 1e-3)
    np.testing.assert_allclose(np.sort(variances), np.sort(case["variances"]), rtol=2e-5, atol=1e-6)
    assert (fit.status == "boundary") == (min(case["variances"]) < 1e-6 or case in CORRELATED)
    if case["log_likelihood"] is not None:
        assert fit.log_likelihood >= case["log_likelihood"] - 1e-8
        assert fit.log_likelihood == pytest.approx(case["log_likelihood"], abs=1e-6)
    if case["dispersion"] is not None:
        assert fit.dispersion == pytest.approx(case["dispersion"], rel=2e-6, abs=1e-6)
