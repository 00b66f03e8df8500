"""Effects by group of multilevel models, against coefficients and against averages worked out row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

from wwc_eval.errors import DesignError
from wwc_eval.multilevel import multilevel_model
from wwc_eval.multilevel.modification import effect_modification

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@pytest.fixture(scope="module")
def children():
    rng = np.random.default_rng(5)
    n, teams = 1500, 30
    team = np.arange(n) % teams
    arm, sex = team % 2, rng.choice(["f", "m", "x"], n)
    age = rng.normal(size=n)
    u = 0.6 * rng.normal(size=teams)[team]
    eta = -0.5 + 0.4 * arm - 0.5 * arm * (sex == "m") + 0.3 * age + u
    return pd.DataFrame({
        "y": eta + rng.normal(size=n),
        "hit": (rng.random(n) < special.expit(eta)) * 1,
        "count": rng.poisson(np.exp(eta)),
        "time": rng.uniform(0.5, 2, n),
        "arm": pd.Categorical(np.where(arm, "new", "old"), categories=["old", "new"]),
        "sex": pd.Categorical(sex),
        "age": age,
        "team": team,
    })  # fmt: skip


RIGHT = "arm * sex + age + (1 | team)"


def test_a_linear_difference_is_the_interaction(children):
    fit = multilevel_model(f"y ~ {RIGHT}", children).with_inference("kenward_roger")
    found = effect_modification(fit, "arm", "sex")
    assert [row.term for row in found] == [
        "arm[new]: m - f",
        "arm[new]: x - f",
        "arm[new] | sex: f",
        "arm[new] | sex: m",
        "arm[new] | sex: x",
    ]
    for row, term in (
        (found[0], "arm[new]:sex[m]"),
        (found[1], "arm[new]:sex[x]"),
        (found[2], "arm[new]"),
    ):
        expected = fit.estimates[term]
        for name in ("estimate", "se", "df", "p_value", "ci_low", "ci_high"):
            assert getattr(row, name) == pytest.approx(getattr(expected, name), rel=1e-8), name
    boys = fit.contrast({"arm[new]": 1, "arm[new]:sex[m]": 1})
    assert (found[3].estimate, found[3].se, found[3].df) == pytest.approx(
        (boys.estimate, boys.se, boys.df), rel=1e-8
    )


def averaged(fit, children, rows, level):
    """Mean risk of the rows marked with every one in one arm, over the distribution of the random effect."""
    frame = children[rows].assign(arm=pd.Categorical([level] * int(rows.sum()), categories=["old", "new"]))
    eta = fit.predict(frame, random=False, scale="link")
    sd = np.sqrt(fit.covariances[0][0, 0])
    return float((special.expit(eta[:, None] + sd * NODES) @ WEIGHTS).mean())


def test_risk_differences_are_averaged_over_each_group_and_the_random_effects(children):
    fit = multilevel_model(f"hit ~ {RIGHT}", children, family="binomial")
    found = effect_modification(fit, "arm", "sex", scale="risk_difference")
    by_hand = {}
    for group in ("f", "m", "x"):
        rows = (children["sex"] == group).to_numpy()
        by_hand[group] = averaged(fit, children, rows, "new") - averaged(fit, children, rows, "old")
        row = found[f"arm[new] | sex: {group}"]
        assert row.estimate == pytest.approx(by_hand[group], rel=1e-7)
        # as the average effect of a model that sees these rows alone would weigh them
        assert row.scale == "risk_difference"
        assert row.ci_low < row.estimate < row.ci_high
    assert found["arm[new]: m - f"].estimate == pytest.approx(by_hand["m"] - by_hand["f"], rel=1e-7)


def test_ratios_are_compared_by_ratios(children):
    fit = multilevel_model(f"count ~ {RIGHT}", children, family="poisson", exposure="time")
    found = effect_modification(fit, "arm", "sex")
    between = found["arm[new]: m / f"]
    assert between.scale == "rate_ratio"
    # with a random intercept alone rates are multiplied, so averages keep the conditional ratios and their errors
    expected = fit.estimates["arm[new]:sex[m]"]
    assert np.log(between.estimate) == pytest.approx(expected.estimate, rel=1e-6)
    assert between.se == pytest.approx(expected.se, rel=1e-4)
    assert between.p_value == pytest.approx(expected.p_value, rel=1e-3)


def test_the_average_over_groups_is_the_average_effect(children):
    fit = multilevel_model(f"hit ~ {RIGHT}", children, family="binomial")
    found = effect_modification(fit, "arm", "sex")
    share = children["sex"].value_counts(normalize=True)
    whole = sum(share[group] * found[f"arm[new] | sex: {group}"].estimate for group in share.index)
    assert whole == pytest.approx(fit.marginal_effect("arm").estimate, rel=1e-8)


@pytest.mark.parametrize(
    ("names", "words"),
    [(("arm", "age"), "numeric"), (("arm", "sexx"), "did you mean 'sex'"), (("a", "sex"), "'a'")],
)
def test_what_cannot_be_grouped_is_refused(children, names, words):
    fit = multilevel_model(f"y ~ {RIGHT}", children)
    with pytest.raises(DesignError, match=words):
        effect_modification(fit, *names)
    with pytest.raises(DesignError, match="scale"):
        effect_modification(fit, "arm", "sex", scale="odds_ratio")
