"""What a generalised mixed model advises, and the regression that it is put beside."""

import numpy as np
import pytest
from further_trials import further_trial

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.multilevel.advice import advise
from wwc_eval.multilevel.generalised.advice import advise_generalised, regression_beside

LEVELS = {"arm": ["usual", "programme"]}
ARM = "arm[programme]"


def fitted(name, formula, family="binomial", **options):
    return we.multilevel_model(formula, further_trial(name), family=family, levels=LEVELS, **options)


def test_few_clusters_are_advised_a_regression_with_cr2():
    fit = fitted("a", "binary ~ arm + x + (1 | la/school)")
    advice = fit.advice
    assert (advice.inference, advice.cluster, advice.n_clusters, advice.term) == ("regression, CR2", "la", 6, ARM)
    assert list(advice.estimates) == ["wald", "regression, CR2", "regression, CR3"]
    assert advice.estimates["wald"] == fit.estimates[ARM]
    assert advice.estimates["regression, CR2"].df < 6
    assert "6 groups of 'la', fewer than 40" in str(advice)
    assert [row["advised"] for row in advice.to_dicts()] == [False, True, False]


def test_the_regression_has_effects_of_groups_within_which_the_arm_varies():
    fit = fitted("a", "binary ~ arm + x + (1 | la/school)")
    data = further_trial("a")
    direct = we.regression(
        "binary ~ arm + x + la", data, family="binomial", vcov="CR2", cluster="la", levels=LEVELS
    )
    beside = regression_beside(fit, ARM)
    assert beside.estimates[ARM].estimate == pytest.approx(direct.estimates[ARM].estimate, rel=1e-9)
    assert beside.estimates[ARM].se == pytest.approx(direct.estimates[ARM].se, rel=1e-9)
    assert beside.estimates[ARM].df == pytest.approx(direct.estimates[ARM].df, rel=1e-9)


def test_a_cluster_trial_has_no_group_effects_and_a_negative_binomial_becomes_poisson():
    fit = fitted("a", "dispersed ~ arm + x + (1 | school)", "negative_binomial", exposure="exposure")
    direct = we.regression(
        "dispersed ~ arm + x", further_trial("a"), family="poisson", exposure="exposure", vcov="CR3",
        cluster="school", levels=LEVELS,
    )  # fmt: skip
    found = fit.advice.estimates["regression, CR3"]
    assert found.estimate == pytest.approx(direct.estimates[ARM].estimate, rel=1e-9)
    assert found.se == pytest.approx(direct.estimates[ARM].se, rel=1e-9)


def test_weights_and_missing_rows_follow():
    data = further_trial("e").copy()
    data.loc[::17, "x"] = np.nan
    fit = we.multilevel_model(
        "successes / trials ~ arm + x + (1 | la)", data, family="binomial", weights="weight", levels=LEVELS
    )
    direct = we.regression(
        "successes / trials ~ arm + x + la", data, family="binomial", weights="weight", vcov="CR2", cluster="la",
        levels=LEVELS,
    )  # fmt: skip
    assert regression_beside(fit, ARM).estimates[ARM].se == pytest.approx(direct.estimates[ARM].se, rel=1e-8)


def test_many_clusters_keep_the_model_and_another_term_can_be_shown():
    fit = fitted("e", "dispersed ~ arm + x + (1 | school)", "poisson", exposure="exposure")
    assert fit.advice.inference == "wald"
    assert advise_generalised(fit, "x").term == "x"
    with pytest.raises(DesignError, match="no term 'arm'"):
        advise_generalised(fit, "arm")
    linear = we.multilevel_model("y ~ arm + x + (1 | la)", further_trial("a"), levels=LEVELS)
    assert advise(linear, "x").estimates["CR2"] == linear.with_inference("CR2").estimates["x"]
    with pytest.raises(DesignError, match="no term 'z'"):
        advise(linear, "z")


def test_crossed_factors_have_no_highest_level():
    fit = fitted("a", "binary ~ arm + x + (1 | school) + (1 | rater)")
    assert fit.advice.inference == "wald"
    assert fit.advice.cluster is None
    assert "cross" in str(fit.advice)
    with pytest.raises(DesignError, match="cross"):
        regression_beside(fit, ARM)


def test_four_clusters_are_told_so():
    fit = fitted("c", "binary ~ arm + x + (1 | la/school)")
    assert "4 clusters are too few for any standard error" in " ".join(fit.advice.reasons)


def test_an_arm_that_varies_within_many_blocks_is_not_called_too_liberal():
    fit = fitted("e", "dispersed ~ arm + x + (1 | la)", "negative_binomial", exposure="exposure")
    assert fit.advice.inference == "wald"
    assert "varies within the 20 groups of 'la'" in " ".join(fit.advice.reasons)
    assert any("trusts that the effect is the same" in text for text in fit.estimates[ARM].warnings)
    assert any("trusts that the effect is the same" in text for text in fit.marginal_effect("arm").warnings)
    between = fitted("d", "binary ~ arm + x + (1 | la)").estimates["(Intercept)"]
    assert any("rejects too often" in text for text in between.warnings)
    assert repr(fit.advice) == str(fit.advice)
    assert "clustered by la" in fit.advice.estimates["regression, CR2"].method
