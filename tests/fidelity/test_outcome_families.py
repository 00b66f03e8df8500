"""Links with outcomes that are yes or no, or counts; and scores that have error."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from reliability_cases import REFERENCE
from score_error_study import TERM, study

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError, WwcError

ARMS = ["usual", "programme"]


def trial(seed=1, authorities=20, each=30):
    """Both arms measured; late is yes or no and visits a count, both moved by quality."""
    rng = np.random.default_rng(seed)
    la = np.repeat(np.arange(authorities), each)
    arm = (np.arange(authorities) % 2)[la]
    need = rng.normal(size=len(la))
    quality = 3 + 0.9 * arm + 0.3 * rng.normal(size=authorities)[la] + rng.normal(size=len(la))
    logit = -1 + 0.6 * (quality - 3) - 0.4 * need - 0.5 * arm * (quality - 3)
    return pd.DataFrame(
        {
            "la": la,
            "arm": np.where(arm == 1, "programme", "usual"),
            "z": arm,
            "need": need,
            "quality": quality,
            "late": (rng.random(len(la)) < 1 / (1 + np.exp(-logit))).astype(int),
            "visits": rng.poisson(np.exp(0.5 + 0.3 * (quality - 3) + 0.2 * need)),
        }
    )


CASES = [
    ("late", "binomial", "log_odds"),
    ("visits", "poisson", "log_rate"),
    ("visits", "quasipoisson", "log_rate"),
]


@pytest.mark.parametrize(("outcome", "family", "scale"), CASES)
def test_dose_response_is_the_regression_of_its_family(outcome, family, scale):
    frame = trial()
    found = we.dose_response(
        f"{outcome} ~ need", frame, fidelity="quality", arm="arm", arms=ARMS, cluster="la", family=family
    )
    own = frame[frame["z"] == 1]
    fit = we.regression(f"{outcome} ~ need + quality", own, family=family, vcov="CR2", cluster="la")
    sd = own["quality"].std()
    row, expected = found["quality"], fit.estimates["quality"]
    assert row.scale == scale
    assert row.estimate == pytest.approx(expected.estimate * sd, rel=1e-7)
    assert row.se == pytest.approx(expected.se * sd, rel=1e-7)
    assert row.p_value == pytest.approx(expected.p_value, rel=1e-6)
    # means along the dose are on the scale of the outcome
    means = found.tables["quantiles"].column("outcome")
    assert 0 < means[0] < own[outcome].mean() + 0.2
    assert max(means) < (1 if outcome == "late" else own[outcome].max())


@pytest.mark.parametrize(("outcome", "family", "scale"), CASES)
def test_moderation_is_the_interaction_of_its_family(outcome, family, scale):
    frame = trial()
    found = we.fidelity_moderation(
        f"{outcome} ~ need",
        frame,
        arm="arm",
        fidelity="quality",
        arms=ARMS,
        cluster="la",
        family=family,
        at=[2.0, 4.0],
    )
    fit = we.regression(f"{outcome} ~ need + z * quality", frame, family=family, vcov="CR2", cluster="la")
    z, product = fit.estimates["z"].estimate, fit.estimates["z:quality"].estimate
    for value in (2.0, 4.0):
        row = found[f"arm | quality = {value:g}"]
        assert row.estimate == pytest.approx(z + value * product, rel=1e-6, abs=1e-9)
        assert row.scale == scale
    assert found["arm x quality"].p_value == pytest.approx(fit.estimates["z:quality"].p_value, rel=1e-6)


def principal(seed, outcome, n=2_000):
    """High fidelity changes the outcome, low hardly; covariate x explains who would be which."""
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), np.tile([0, 1], n // 2)
    quality = 3 + x + rng.normal(size=n)
    gain = arm * np.where(quality >= 3, 0.2, 0.05)
    if outcome == "late":
        base = 0.3 + 0.1 * np.tanh(x)
        y = (rng.random(n) < base + gain).astype(int)
    else:
        y = rng.poisson(np.exp(0.3 * x) + 5 * gain)
    return pd.DataFrame({"arm": arm, "x": x, "quality": np.where(arm == 1, quality, np.nan), outcome: y})


@pytest.mark.simulation
@pytest.mark.parametrize(("outcome", "truth", "scale"), [("late", (0.2, 0.05), "risk_difference"), ("visits", (1.0, 0.25), "mean_difference")])  # fmt: skip
def test_principal_score_effects_of_shares_and_counts(outcome, truth, scale):
    values, hits = [], 0
    for seed in range(6):
        frame = principal(seed, outcome)
        found = we.principal_score_effects(
            f"{outcome} ~ x", frame.assign(g=np.arange(2_000) // 50), arm="arm", fidelity="quality", threshold=3, cluster="g"
        )  # fmt: skip
        values.append([row.estimate for row in found.estimates][:2])
        hits += sum(
            row.ci_low <= true <= row.ci_high for row, true in zip(list(found.estimates)[:2], truth, strict=True)
        )
        assert found["high fidelity"].scale == scale
    np.testing.assert_allclose(np.mean(values, axis=0), truth, atol=0.03 * (1 if outcome == "late" else 5))
    assert hits >= 9


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"family": "binomial", "formula": "visits ~ need"}, r"must be 0 or 1.*Fix: code the outcome 0/1"),
        (
            {"late": -1},
            {"family": "poisson", "formula": "late ~ need"},
            r"cannot be negative.*Fix: correct or exclude",
        ),
        ({}, {"family": "gamma", "formula": "visits ~ need"}, r"'gamma', must be one of.*Fix: choose one of"),
    ],
)
def test_outcomes_that_do_not_fit_the_family_are_refused_by_name(change, options, words):
    frame = trial().assign(**change)
    formula = options.pop("formula")
    with pytest.raises(WwcError, match=words):
        we.dose_response(formula, frame, fidelity="quality", **options)
    with pytest.raises(WwcError, match=words):
        we.fidelity_moderation(formula, frame, arm="arm", arms=ARMS, fidelity="quality", **options)


def test_principal_scores_refuse_successes_of_trials():
    frame = principal(1, "late", n=200).assign(n=2)
    with pytest.raises(DesignError, match="one row a trial"):
        we.principal_score_effects("late / n ~ x", frame, arm="arm", fidelity="quality", threshold=3)


# --- scores with error


def twice(seed=3, n=400):
    rng = np.random.default_rng(seed)
    true, need = rng.normal(size=n), rng.normal(size=n)
    pair = true[:, None] + rng.normal(size=(n, 2))
    y = 0.5 * true + 0.3 * need + rng.normal(size=n)
    return pd.DataFrame({"one": pair[:, 0], "two": pair[:, 1], "quality": pair.mean(axis=1), "need": need, "y": y})


def test_the_correction_is_that_of_the_moments():
    frame = twice()
    naive = we.dose_response("y ~ 1", frame, fidelity="quality")
    found = we.dose_response("y ~ 1", frame, fidelity="quality", reliability=0.7)
    # without covariates the slope is divided by the reliability, and so is its error
    assert found[TERM].estimate == pytest.approx(naive["quality"].estimate / 0.7, rel=1e-12)
    assert found[TERM].se == pytest.approx(naive["quality"].se / 0.7, rel=1e-9)
    assert found["quality"].estimate == naive["quality"].estimate
    # with a covariate, by hand: error variance out of the variance of scores given it
    rest = frame["quality"] - np.polyval(np.polyfit(frame["need"], frame["quality"], 1), frame["need"])
    within = float(rest @ rest) / 398
    given = we.dose_response("y ~ need", frame, fidelity="quality", score_se=0.6)
    assert given[TERM].details["attenuation"] == pytest.approx(1 - 0.36 / within, rel=1e-10)
    column = we.dose_response("y ~ need", frame.assign(se=0.6), fidelity="quality", score_se="se")
    assert column[TERM].se == given[TERM].se
    error = given[TERM].details
    by_hand = (
        given["quality"].se ** 2
        + (given["quality"].estimate * error["attenuation_se"] / error["attenuation"]) ** 2
    )
    assert given[TERM].se == pytest.approx(math.sqrt(by_hand) / error["attenuation"], rel=1e-12)
    # an estimated reliability brings its error
    icc = we.intraclass_correlation(frame[["one", "two"]], "ICC(1,k)")
    estimated = we.dose_response("y ~ 1", frame, fidelity="quality", reliability=icc)
    assert estimated[TERM].details["attenuation_se"] == pytest.approx(icc.se, rel=1e-9)
    sure = we.dose_response("y ~ 1", frame, fidelity="quality", reliability=1.0)
    assert sure[TERM].estimate == pytest.approx(naive["quality"].estimate)


def test_errors_that_cannot_be_are_refused_and_claims_say_what_is_taken_as_known():
    frame = twice()
    for options, words in (
        ({"reliability": 0.7, "score_se": 0.6}, "both say"),
        ({"reliability": 1.2}, "reliability"),
        ({"reliability": 0.05}, "rate more cases"),
        ({"score_se": 5.0}, "rate more cases"),
        ({"score_se": 0.0}, "score_se"),
    ):
        with pytest.raises(DesignError, match=words):
            we.dose_response("y ~ 1", frame, fidelity="quality", **options)
    with pytest.raises(DataError, match="no standard error"):
        we.dose_response("y ~ 1", frame.assign(se=np.nan), fidelity="quality", score_se="se")
    with pytest.raises(DataError, match="0 or more"):
        we.dose_response("y ~ 1", frame.assign(se=-1.0), fidelity="quality", score_se="se")
    with pytest.raises(DataError, match="no column"):
        we.dose_response("y ~ 1", frame, fidelity="quality", score_se="sd")
    naive = we.dose_response("y ~ 1", frame, fidelity="quality")
    right = we.dose_response("y ~ 1", frame, fidelity="quality", reliability=0.4)
    assert "draws the slope towards 0" in naive.claims
    assert "classical" in right.claims
    assert "Error leaves 0.40" in str(right)
    assert any("rests on it" in warning for warning in right[TERM].warnings)
    data = trial()
    for result in (
        we.fidelity_moderation("late ~ 1", data, arm="arm", fidelity="quality", arms=ARMS, family="binomial"),
        we.principal_score_effects("late ~ need", data, arm="arm", arms=ARMS, fidelity="quality", threshold=3),
        we.relative_strength(data, "quality", arm="arm", arms=ARMS),
    ):
        assert "Taken as known" in result.claims


@pytest.mark.simulation
def test_a_small_sample_of_the_study_of_error():
    found = study("gaussian", 0.6, "estimated", repeats=40, seed=5)
    assert found["naive"]["ratio"] < 0.65
    assert found["naive"]["coverage"] < 0.4
    assert found["corrected"]["ratio"] == pytest.approx(1.0, abs=0.12)
    assert found["corrected"]["coverage"] > 0.8


@pytest.mark.simulation
def test_the_record_of_the_study_of_error():
    record = json.loads((REFERENCE / "score_error.json").read_text())
    assert record["repeats"] >= 400
    assert {row["family"] for row in record["cases"]} == {"gaussian", "binomial", "poisson"}
    for row in record["cases"]:
        assert row["naive"]["ratio"] < (0.62 if row["reliability"] == 0.6 else 0.81)
        assert row["corrected"]["ratio"] == pytest.approx(1.0, abs=0.06)
        assert row["corrected"]["coverage"] >= 0.92
