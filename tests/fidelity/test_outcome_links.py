"""Fidelity and outcomes: planted links are found, and every result says what it cannot claim."""

import math

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError, FormulaError


def trial(seed=1, authorities=16, each=25):
    """Both arms measured; quality moves the outcome and is confounded by caseload."""
    rng = np.random.default_rng(seed)
    la = np.repeat(np.arange(authorities), each)
    arm = (np.arange(authorities) % 2)[la]
    caseload = rng.normal(size=len(la))
    quality = (
        3 + 0.9 * arm - 0.5 * caseload + 0.3 * rng.normal(size=authorities)[la] + 0.8 * rng.normal(size=len(la))
    )
    score = 10 + 0.5 * quality - 0.7 * caseload + rng.normal(size=len(la))
    return pd.DataFrame(
        {
            "la": la,
            "arm": np.where(arm == 1, "programme", "usual"),
            "caseload": caseload,
            "quality": quality,
            "planning": np.round(quality),
            "score": score,
        }
    )


ARMS = ["usual", "programme"]


def test_relative_strength_of_both_arms():
    frame = trial()
    found = we.relative_strength(frame, ["quality", "planning"], arm="arm", threshold=4, cluster="la", arms=ARMS)
    y, z = frame["quality"], frame["arm"] == "programme"
    difference = y[z].mean() - y[~z].mean()
    assert found["quality: difference"].estimate == pytest.approx(difference)
    sd = math.sqrt((y[z].var() * (z.sum() - 1) + y[~z].var() * ((~z).sum() - 1)) / (len(y) - 2))
    assert found["quality: strength"].estimate == pytest.approx(
        difference / sd, rel=0.003
    )  # but for Hedges' factor
    assert found["quality: binary"].estimate == pytest.approx((y[z] >= 4).mean() - (y[~z] >= 4).mean())
    left = []
    for k in range(16):
        rest = frame[frame["la"] != k]
        left.append(
            rest.loc[rest["arm"] == "programme", "quality"].mean()
            - rest.loc[rest["arm"] == "usual", "quality"].mean()
        )
    se = math.sqrt(15 / 16 * ((left - np.mean(left)) ** 2).sum())
    assert found["quality: difference"].se == pytest.approx(se, rel=1e-9)
    assert found["quality: difference"].df == 15
    assert found.tables["arms"].to_frame()["n"].sum() == 2 * len(frame)
    with pytest.raises(DesignError, match="both arms"):
        we.relative_strength(frame.assign(quality=y.where(z)), "quality", arm="arm", arms=ARMS)
    with pytest.raises(DesignError, match="reference"):
        we.relative_strength(frame, "quality", arm="arm")
    flat = we.relative_strength(frame.assign(quality=3.0), "quality", arm="arm", arms=ARMS)
    assert any("do not vary" in warning for warning in flat["quality: strength"].warnings)


def test_dose_response_is_the_regression_and_warns():
    frame = trial()
    found = we.dose_response("score ~ caseload", frame, fidelity="quality", arm="arm", cluster="la", arms=ARMS)
    own = frame[frame["arm"] == "programme"]
    fit = we.regression("score ~ caseload + quality", own, vcov="CR2", cluster="la")
    sd = own["quality"].std()
    assert found["quality"].estimate == pytest.approx(fit.estimates["quality"].estimate * sd)
    assert found["quality"].se == pytest.approx(fit.estimates["quality"].se * sd)
    bent = own.assign(curve=2 * own["quality"] ** 2)
    curved = we.dose_response("curve ~ 1", bent, fidelity="quality")
    assert curved["quality: curvature"].estimate == pytest.approx(2 * sd**2, rel=1e-8)
    means = found.tables["quantiles"].column("outcome")
    assert means[0] < means[-1]
    binary = we.dose_response(
        "late ~ 1", own.assign(late=(own["score"] > 11).astype(int)), fidelity="quality", family="binomial"
    )
    assert binary["quality"].scale == "log_odds"
    with pytest.raises(DesignError, match="does not vary"):
        we.dose_response("score ~ 1", own.assign(quality=2.0), fidelity="quality")
    with pytest.raises(FormulaError, match="stands in the formula"):
        we.dose_response("score ~ quality", own, fidelity="quality")


def test_moderation_is_the_interaction():
    frame = trial()
    options = {"arm": "arm", "fidelity": "quality", "cluster": "la", "arms": ARMS, "at": [2.0, 4.0]}
    found = we.fidelity_moderation("score ~ caseload", frame, **options)
    fit = we.regression(
        "score ~ caseload + z * quality",
        frame.assign(z=(frame["arm"] == "programme").astype(int)),
        vcov="CR2",
        cluster="la",
    )
    z, product = fit.estimates["z"].estimate, fit.estimates["z:quality"].estimate
    assert found["arm | quality = 4"].estimate == pytest.approx(z + 4 * product)
    assert found["arm x quality"].p_value == pytest.approx(fit.estimates["z:quality"].p_value)
    assert "after allocation" in found.claims
    assert (
        "before allocation"
        in we.fidelity_moderation("score ~ caseload", frame, measured="before", **options).claims
    )
    beyond = we.fidelity_moderation("score ~ caseload", frame, **{**options, "at": [40.0]})
    assert any("extrapolated" in note for note in beyond.notes)
    with pytest.raises(DesignError, match="does not vary in arm 'usual'"):
        we.fidelity_moderation(
            "score ~ 1", frame.assign(quality=frame["quality"].where(frame["arm"] == "programme")), **options
        )


def principal(seed, n=400):
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), np.tile([0, 1], n // 2)
    quality = 3 + x + rng.normal(size=n)
    y = 10 + x + arm * np.where(quality >= 3, 1.0, 0.2) + rng.normal(size=n)
    return pd.DataFrame({"arm": arm, "x": x, "quality": np.where(arm == 1, quality, np.nan), "score": y})


OPTIONS = {"arm": "arm", "fidelity": "quality", "threshold": 3}


@pytest.mark.simulation
def test_principal_scores_recover_what_naive_comparison_does_not():
    effects, hits, naive = [], 0, []
    for seed in range(12):
        frame = principal(seed)
        found = we.principal_score_effects(
            "score ~ x", frame.assign(g=np.arange(400) // 8), cluster="g", **OPTIONS
        )
        effects.append([row.estimate for row in found.estimates])
        hits += found["high fidelity"].ci_low <= 1.0 <= found["high fidelity"].ci_high
        own = frame[frame["arm"] == 1]
        naive.append(own.loc[own["quality"] >= 3, "score"].mean() - own.loc[own["quality"] < 3, "score"].mean())
    np.testing.assert_allclose(np.mean(effects, axis=0), [1.0, 0.2, 0.8], atol=0.15)
    assert hits >= 9
    assert np.mean(naive) > 1.5  # high against low as if they had been randomised


def test_principal_scores_balance_sensitivity_and_definition():
    frame = principal(3)
    found = we.principal_score_effects("score ~ x", frame, **OPTIONS)
    balance = found.tables["balance"].to_frame()
    assert (balance["difference_weighted"].abs() < balance["difference_raw"].abs()).all()
    sensitivity = found.tables["sensitivity"].to_frame().set_index("ratio")
    assert sensitivity.loc[1.0, "high"] == pytest.approx(found["high fidelity"].estimate)
    assert sensitivity["high"].is_monotonic_decreasing
    # at ratio 1 the two strata add up to the difference of all, weighted by what the scores expect of the others
    own, other = frame[frame["arm"] == 1], frame[frame["arm"] == 0]
    import statsmodels.api as sm

    logit = sm.Logit((own["quality"] >= 3).astype(float), sm.add_constant(own[["x"]])).fit(disp=0)
    e = logit.predict(sm.add_constant(other[["x"]]))
    expected = own.loc[own["quality"] >= 3, "score"].mean() - np.average(other["score"], weights=e)
    assert found["high fidelity"].estimate == pytest.approx(expected, abs=1e-7)
    with pytest.raises(DesignError, match="5 on each side"):
        we.principal_score_effects("score ~ x", frame, **{**OPTIONS, "threshold": 30})
    with pytest.raises(DesignError, match="wholly"):
        we.principal_score_effects("score ~ s", frame.assign(s=frame["quality"].fillna(3)), **OPTIONS)
    with pytest.raises(DataError, match="did you mean 'quality'"):
        we.principal_score_effects("score ~ x", frame, **{**OPTIONS, "fidelity": "qualty"})


def test_every_result_says_what_it_cannot_claim():
    frame = trial()
    results = (
        we.relative_strength(frame, "quality", arm="arm", arms=ARMS),
        we.dose_response("score ~ 1", frame, fidelity="quality"),
        we.fidelity_moderation("score ~ 1", frame, arm="arm", fidelity="quality", arms=ARMS),
        we.principal_score_effects("score ~ x", principal(1), **OPTIONS),
        we.complier_effect("score ~ 1", frame, uptake="quality", instrument="arm", levels={"arm": ARMS}),
    )
    for result in results:
        assert "Can claim" in result.claims
        assert "Cannot claim" in result.claims
        for text in (str(result), result.to_markdown(), result.to_html(), result.to_latex()):
            assert "Cannot claim" in text
