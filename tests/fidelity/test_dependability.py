"""Intervals of generalisability and dependability: exact where theory is, and coverage where it is not."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from dependability_study import COEFFICIENTS, DESIGNS, coverage
from reliability_cases import REFERENCE
from scipy import special

import wwc_eval as we
from wwc_eval.fidelity.reliability.pivotal import component_covariance, pivots


def ratings(seed, *, objects=30, raters=4, severity=0.4, error=0.8):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(objects, 1)) + severity * rng.normal(size=raters)
    y = y + error * rng.normal(size=(objects, raters))
    places = np.indices(y.shape).reshape(2, -1)
    return y, pd.DataFrame({"case": places[0], "rater": places[1], "score": y.ravel()})


@pytest.mark.reference
def test_covariance_of_components_of_a_balanced_table_is_that_of_mean_squares():
    y, frame = ratings(1)
    n, k = y.shape
    study = we.g_study(frame, "case x rater")
    residual = study.variances["residual"]
    squares = np.array([residual + k * study.variances["case"], residual + n * study.variances["rater"], residual])
    df = np.array([n - 1, k - 1, (n - 1) * (k - 1)])
    # components are linear in mean squares, whose variances are 2 MS^2 / df
    made_of = np.array([[1 / k, 0, -1 / k], [0, 1 / n, -1 / n], [0, 0, 1]])
    expected = made_of @ np.diag(2 * squares**2 / df) @ made_of.T
    np.testing.assert_allclose(study.covariance, expected, rtol=1e-9)


@pytest.mark.reference
def test_covariance_is_the_inverse_of_the_expected_information_of_any_table():
    _, frame = ratings(2, objects=12, raters=3)
    frame = frame.drop(index=[0, 5, 7, 20]).reset_index(drop=True)
    codes = [pd.factorize(frame[name])[0] for name in ("case", "rater")]
    values = np.array([0.9, 0.0, 0.7])
    found = component_covariance(codes, values)
    # by the definition, with whole matrices
    n = len(frame)
    parts = [(code[:, None] == code[None, :]).astype(float) for code in codes] + [np.eye(n)]
    V = sum(value * part for value, part in zip(values, parts, strict=True))
    inverse = np.linalg.inv(V)
    ones = inverse.sum(axis=1)
    P = inverse - np.outer(ones, ones) / ones.sum()
    information = np.array([[np.trace(P @ a @ P @ b) / 2 for b in parts] for a in parts])
    np.testing.assert_allclose(found, np.linalg.inv(information), rtol=1e-9)


@pytest.mark.reference
@pytest.mark.parametrize(("facets", "kind"), [("rater : case", "ICC(1,k)"), ("case x rater", "ICC(3,k)")])
def test_where_there_is_an_exact_interval_it_is_that(facets, kind):
    y, frame = ratings(3, objects=25, raters=3)
    row = we.g_study(frame, facets, measured="case").d_study(rater=3).rows[0]
    exact = we.intraclass_correlation(y, kind)
    assert row["generalisability"] == pytest.approx(exact.estimate, abs=1e-6)
    assert row["generalisability_low"] == pytest.approx(exact.ci_low, abs=2e-3)
    assert row["generalisability_high"] == pytest.approx(exact.ci_high, abs=1e-3)
    # of other numbers of raters it is carried over by Spearman and Brown's formula
    low = exact.ci_low / (3 - 2 * exact.ci_low)
    one = we.g_study(frame, facets, measured="case").d_study(rater=[1, 8]).rows
    assert one[0]["generalisability_low"] == pytest.approx(low, abs=3e-3)
    assert one[1]["generalisability_low"] == pytest.approx(8 * low / (1 + 7 * low), abs=2e-3)


def test_a_component_at_zero_still_is_uncertain():
    y, frame = ratings(4, objects=20, raters=2, severity=0.0)
    y = y - y.mean(axis=0) + 0.001 * np.arange(2)  # raters are as severe, so their component is 0
    study = we.g_study(frame.assign(score=y.ravel()), "case x rater")
    assert study.variances["rater"] == 0
    assert study.components.column("se")[1] > 0
    row = study.d_study(rater=2).rows[0]
    # one degree of freedom between two raters says little of how severe others are
    assert row["dependability_low"] < row["generalisability_low"] - 0.05
    assert row["dependability_low"] < row["dependability"] < row["dependability_high"]
    none = we.g_study(frame.assign(score=np.random.default_rng(0).normal(size=40)), "case x rater")
    nothing = none.d_study(rater=2).rows[0]
    if nothing["dependability"] == 0:
        assert nothing["dependability_low"] == 0
        assert 0 < nothing["dependability_high"] < 1


def test_pivots_are_the_same_at_every_call_and_average_to_the_mean_squares():
    _, frame = ratings(5, objects=60, raters=6)
    study = we.g_study(frame, "case x rater")
    one, other = (pivots(study.values, study.covariance, study.sets) for _ in range(2))
    assert (one == other).all()
    assert (one >= 0).all()
    # the residual's pivot is MS df / chi-squared: its mean is MS df / (df - 2)
    df = 59 * 5
    assert one[:, 2].mean() == pytest.approx(study.variances["residual"] * df / (df - 2), rel=2e-3)
    quantile = study.variances["residual"] * df / special.chdtri(df, 0.25)
    assert np.quantile(one[:, 2], 0.25) == pytest.approx(quantile, rel=2e-3)


def test_of_more_than_two_thousand_levels_the_curvature_is_used():
    rng = np.random.default_rng(6)
    case = np.repeat(np.arange(2_100), 2)
    frame = pd.DataFrame({"case": case, "rater": np.tile([0, 1], 2_100)})
    frame["score"] = rng.normal(size=2_100)[case] + rng.normal(size=4_200)
    assert component_covariance([case], np.array([1.0, 1.0])) is None
    study = we.g_study(frame, "rater : case", measured="case")
    row = study.d_study(rater=2).rows[0]
    exact = we.intraclass_correlation(frame["score"].to_numpy().reshape(-1, 2), "ICC(1,k)")
    assert row["dependability_low"] == pytest.approx(exact.ci_low, abs=2e-3)
    assert row["dependability_high"] == pytest.approx(exact.ci_high, abs=2e-3)


@pytest.mark.simulation
def test_a_small_sample_of_the_study():
    found = coverage("crossed, severe raters", 20, 2, 0.8, repeats=40, seed=8)
    for name in COEFFICIENTS:
        assert found[name]["pivotal"] >= 0.95 - 3.1 * math.sqrt(0.95 * 0.05 / 40)


@pytest.mark.simulation
def test_the_record_says_what_the_documentation_says():
    record = json.loads((REFERENCE / "dependability_coverage.json").read_text())["cases"]
    assert {row["design"] for row in record} == set(DESIGNS)
    assert {(row["objects"], row["raters"]) for row in record} == {
        (n, k) for n in (12, 20, 50, 200) for k in (2, 5)
    }
    for row in record:
        assert row["repeats"] >= 100
        for name in COEFFICIENTS:
            assert row["coverage"][name]["pivotal"] >= 0.95 - 3.2 * math.sqrt(0.95 * 0.05 / row["repeats"]), row
    for name in COEFFICIENTS:
        assert 0.94 <= np.mean([row["coverage"][name]["pivotal"] for row in record]) <= 0.975
    worst = min(row["coverage"]["dependability"]["delta"] for row in record if row["repeats"] >= 200)
    assert worst < 0.9
