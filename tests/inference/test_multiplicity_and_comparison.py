"""Adjusted p-values, and the comparison of arms without covariates."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_data import LEVELS, family_trial
from scipy import stats

from wwc_eval.errors import DataError, DesignError
from wwc_eval.inference import adjust_p, unadjusted_comparison
from wwc_eval.inference.multiplicity import ADJUSTMENTS

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


@pytest.mark.property
@given(P_VALUES, st.randoms())
def test_adjusted_p_values_keep_order_and_never_fall(p, random):
    for method in ADJUSTMENTS:
        adjusted = adjust_p(p, method)
        assert np.all(adjusted >= np.array(p))
        assert np.all(adjusted <= 1)
        order = np.argsort(p, kind="stable")
        assert np.all(np.diff(adjusted[order]) >= 0)
        shuffled = list(range(len(p)))
        random.shuffle(shuffled)
        np.testing.assert_array_equal(adjust_p([p[i] for i in shuffled], method), adjusted[shuffled])


@pytest.mark.property
@given(P_VALUES)
def test_methods_stand_in_their_known_order(p):
    found = {method: adjust_p(p, method) for method in ADJUSTMENTS}
    for smaller, larger in (
        ("none", "benjamini_hochberg"),
        ("benjamini_hochberg", "hochberg"),
        ("hochberg", "holm"),
        ("holm", "bonferroni"),
    ):
        assert np.all(found[smaller] <= found[larger] + 1e-15)


@pytest.mark.parametrize(
    ("method", "peer"),
    [
        ("holm", "holm"),
        ("bonferroni", "bonferroni"),
        ("hochberg", "simes-hochberg"),
        ("benjamini_hochberg", "fdr_bh"),
        ("benjamini_yekutieli", "fdr_by"),
    ],
)
def test_equals_statsmodels(method, peer):
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(1).random(30) ** 3
    np.testing.assert_allclose(adjust_p(p, method), multipletests(p, method=peer)[1], rtol=1e-12)


def test_a_missing_p_value_stays_missing_and_does_not_count():
    adjusted = adjust_p([0.01, float("nan"), 0.04])
    assert np.isnan(adjusted[1])
    np.testing.assert_allclose(adjusted[[0, 2]], [0.02, 0.04])
    assert adjust_p({"a": 0.5}) == {"a": 0.5}
    assert len(adjust_p([])) == 0


def test_what_is_no_p_value_is_refused():
    with pytest.raises(DataError, match=r"1\.2 is outside"):
        adjust_p([0.5, 1.2])
    with pytest.raises(DesignError, match="did you mean 'holm'"):
        adjust_p([0.5], "Holm")


@pytest.mark.simulation
def test_holm_holds_the_family_wise_rate():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(4000, 5)) + 0.7 * rng.normal(size=(4000, 1))  # correlated outcomes
    p = 2 * stats.norm.sf(np.abs(z / np.sqrt(1.49)))
    wrong = np.mean([adjust_p(row).min() < 0.05 for row in p])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
    assert np.mean(p.min(axis=1) < 0.05) > 0.12  # what nobody adjusts for


def test_means_by_arm_are_the_t_test():
    data = family_trial()
    result = unadjusted_comparison("score", "arm", data, levels=LEVELS)
    one, zero = (data.loc[data["arm"] == arm, "score"] for arm in ("conference", "usual"))
    pooled = stats.ttest_ind(one, zero)
    assert result.estimates["arm[conference]"].p_value == pytest.approx(pooled.pvalue, rel=1e-8)
    assert [row.estimate for row in result.by_arm] == pytest.approx([zero.mean(), one.mean()], rel=1e-12)
    assert result.by_arm.terms == ("arm[usual]", "arm[conference]")
    welch = stats.ttest_ind(one, zero, equal_var=False)
    robust = unadjusted_comparison("score", "arm", data, levels=LEVELS, vcov="HC2")
    # HC2 of two means is Welch's standard error
    assert abs(robust.estimates[0].statistic) == pytest.approx(abs(welch.statistic), rel=1e-9)
    assert robust.by_arm[0].se == pytest.approx(zero.std() / np.sqrt(len(zero)), rel=1e-9)


def test_risks_and_rates_by_arm():
    data = family_trial()
    risks = unadjusted_comparison(
        "in_care",
        "arm",
        data,
        family="binomial",
        scale="odds_ratio",
        vcov="CR1",
        cluster="family_id",
        levels=LEVELS,
    )
    table = pd.crosstab(data["arm"], data["in_care"])
    odds = table[1] / table[0]
    assert risks.estimates[0].estimate == pytest.approx(odds["conference"] / odds["usual"], rel=1e-9)
    assert risks.estimates[0].n_clusters == data["family_id"].nunique()
    assert {row.scale for row in risks.by_arm} == {"proportion"}
    rates = unadjusted_comparison("days", "arm", data, family="quasipoisson", exposure="exposure", levels=LEVELS)
    assert rates.estimates[0].scale == "rate_ratio"
    text = str(rates)
    assert "arm[usual]" in text
    assert "Unadjusted comparison of days" in text
    assert len(rates.to_frame()) == 3


def test_shares_and_odd_names():
    cells = pd.DataFrame({"events": [3, 5, 9, 8], "of": [10, 12, 20, 18], "the arm": ["a", "b", "a", "b"]})
    result = unadjusted_comparison("events / of", "the arm", cells, family="binomial")
    assert result.by_arm[0].estimate == pytest.approx(12 / 30, rel=1e-9)
    renamed = cells.assign(**{"my outcome": [0, 1, 1, 0]})
    assert unadjusted_comparison("my outcome", "the arm", renamed).estimates[0].estimate == pytest.approx(0.0)
