"""Intraclass correlations: Shrout and Fleiss, definitions, missing cells, clusters, and what has no value."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reliability_cases import cases, messy, table

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.fidelity.reliability.icc_limits import KINDS
from wwc_eval.fidelity.reliability.sums_of_squares import Centred, squares

PSYCH = {"ICC1": "ICC(1,1)", "ICC2": "ICC(2,1)", "ICC3": "ICC(3,1)", "ICC1k": "ICC(1,k)", "ICC2k": "ICC(2,k)", "ICC3k": "ICC(3,k)"}  # fmt: skip


@pytest.mark.reference
@pytest.mark.parametrize("place", range(6))
def test_shrout_and_fleiss_1979(place):
    case = cases()["icc_shrout_fleiss_1979"]
    expected = case["expected"]["psych"][place]
    found = we.intraclass_correlation(table("icc_shrout_fleiss_1979"), kind=PSYCH[expected["type"]])
    assert found.estimate == pytest.approx(expected["ICC"], abs=1e-11)
    assert [found.ci_low, found.ci_high] == pytest.approx(
        [expected["lower bound"], expected["upper bound"]], abs=1e-10
    )
    assert found.statistic == pytest.approx(expected["F"], rel=1e-11)
    assert found.p_value == pytest.approx(expected["p"], rel=1e-9)
    assert round(found.estimate, 2) == case["published"][expected["type"]]


@pytest.mark.reference
def test_limits_of_irr_for_the_mean_of_raters():
    expected = cases()["icc_shrout_fleiss_1979"]["expected"]["irr"]["twoway_agreement_average"]
    found = we.intraclass_correlation(table("icc_shrout_fleiss_1979"), "ICC(2,k)", interval="irr")
    assert [found.ci_low, found.ci_high] == pytest.approx([expected["lbound"], expected["ubound"]], abs=1e-10)


@pytest.mark.property
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), raters=st.integers(2, 5), missing=st.sampled_from([0.0, 0.2, 0.4]))
def test_mean_squares_are_those_of_fitting_constants(seed, raters, missing):
    y, _ = messy(seed, n=20, raters=raters, missing=missing)
    y = y[~np.isnan(y).all(axis=1)]
    y -= np.nanmean(y)
    if np.isnan(y).all(axis=0).any() or (~np.isnan(y)).sum() < len(y) + raters + 2:
        return
    i, j = np.nonzero(~np.isnan(y))
    v, S, R = y[i, j], np.eye(len(y))[i], np.eye(raters)[j]

    def explained(X):
        fitted = X @ np.linalg.lstsq(X, v, rcond=None)[0]
        return float(fitted @ fitted)

    both = explained(np.column_stack([S, R]))
    rank = np.linalg.matrix_rank(np.column_stack([S, R]))
    found = squares(Centred.of(y).totals(), raters)
    assert found.df_residual == len(v) - rank
    assert found.between * found.df_between == pytest.approx(both - explained(R), abs=1e-8)
    assert found.raters * found.df_raters == pytest.approx(both - explained(S), abs=1e-8)
    assert found.residual * found.df_residual == pytest.approx(v @ v - both, abs=1e-8)
    table = Centred.of(y)
    np.testing.assert_allclose(table.contributions().sum(axis=0), table.totals(), atol=1e-9)


@pytest.mark.simulation
@pytest.mark.parametrize("missing", [0.0, 0.25])
def test_recovery_and_coverage_with_missing_cells(missing):
    rng = np.random.default_rng(8)
    hits, values = dict.fromkeys(KINDS, 0), []
    truth = {1: 1 / 1.9, 2: 1 / 1.9, 3: 1 / 1.6}
    for _ in range(400):
        y = (
            rng.normal(size=(40, 1))
            + math.sqrt(0.3) * rng.normal(size=(1, 4))
            + math.sqrt(0.6) * rng.normal(size=(40, 4))
        )
        y[rng.random(y.shape) < missing] = np.nan
        for row in we.intraclass_correlations(y):
            rho = truth[KINDS[row.term].model]
            rho = 4 * rho / (1 + 3 * rho) if KINDS[row.term].average else rho
            hits[row.term] += row.ci_low <= rho <= row.ci_high
            if row.term == "ICC(3,1)":
                values.append(row.estimate)
    assert np.mean(values) == pytest.approx(1 / 1.6, abs=0.01)
    for kind in ("ICC(2,1)", "ICC(3,1)", "ICC(2,k)", "ICC(3,k)"):
        assert 0.915 < hits[kind] / 400 < 0.985


def test_units_and_order_do_not_matter():
    y, la = messy(3, clusters=8)
    for kind in KINDS:
        first = we.intraclass_correlation(y, kind, cluster=la)
        rows = np.random.default_rng(1).permutation(len(y))
        second = we.intraclass_correlation(1e5 + 7.0 * y[rows], kind, cluster=la[rows])
        assert second.estimate == pytest.approx(first.estimate, abs=1e-7)
        assert [second.ci_low, second.ci_high] == pytest.approx([first.ci_low, first.ci_high], abs=1e-6)
        assert first.ci_low < first.estimate < first.ci_high


def test_clustered_limits_are_the_jackknife_of_log_f():
    y, la = messy(4, clusters=6)
    found = we.intraclass_correlation(y, "ICC(3,1)", cluster=la)
    z = []
    for k in range(6):
        rho = we.intraclass_correlation(y[la != k], "ICC(3,1)").estimate
        z.append(math.log((1 + 3 * rho) / (1 - rho)))
    se = math.sqrt(5 / 6 * ((z - np.mean(z)) ** 2).sum())
    low = found.details["F"]  # kept for readers
    assert low > 1
    middle = math.log((1 + 3 * found.estimate) / (1 - found.estimate))
    reach = 2.570581835636314 * se
    for end, sign in ((found.ci_low, -1), (found.ci_high, 1)):
        assert math.log((1 + 3 * end) / (1 - end)) == pytest.approx(middle + sign * reach, abs=1e-9)
    boot = we.intraclass_correlation(y, "ICC(2,1)", cluster=la, errors="bootstrap", rng=1, reps=499)
    assert len(boot.details["replicates"]) == 499


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (np.full((5, 3), 2.0), "every rating is the same"),
        (np.array([[1.0], [2.0]]), "one rater"),
        (np.array([[1.0, 2.0]]), "one subject"),
        (np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, np.nan]]), "no subject has two ratings"),
        (np.full((3, 2), np.nan), "no subject has any rating"),
    ],
)
def test_no_value_without_a_reason(kind, y, reason):
    found = we.intraclass_correlation(y, kind)
    assert math.isnan(found.estimate)
    assert reason in found.details["reason"]
    assert reason in str(found)


def test_perfect_agreement_and_disconnected_raters():
    y = np.repeat(np.arange(6.0)[:, None], 3, axis=1)
    found = we.intraclass_correlation(y, "ICC(2,1)")
    assert [found.estimate, found.ci_low, found.ci_high] == [1.0, 1.0, 1.0]
    apart = np.full((10, 4), np.nan)
    rng = np.random.default_rng(2)
    apart[:5, :2], apart[5:, 2:] = rng.normal(size=(5, 2)), 5 + rng.normal(size=(5, 2))
    found = we.intraclass_correlation(apart, "ICC(3,1)")
    assert any("2 sets" in warning for warning in found.warnings)


def test_refusals():
    frame = pd.DataFrame({"Ann": ["good", "poor"], "Ben": ["good", "good"]})
    with pytest.raises(DataError, match=r"Ann.*'good', not numbers"):
        we.intraclass_correlation(frame)
    with pytest.raises(DesignError, match="independent"):
        we.intraclass_correlation(messy(1)[0], cluster=np.arange(40) % 4, errors="exact")
    with pytest.raises(DesignError, match="kind"):
        we.intraclass_correlation(messy(1)[0], "ICC(4,1)")
