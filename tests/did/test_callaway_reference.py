"""Callaway and Sant'Anna equal R's did: every figure of every configuration for which there are data."""

import did_data
import numpy as np
import pytest
from callaway_figures import FIGURES, LOADERS, before_treatment, fitted, pre_test, pre_test_of_roots, tree_of
from did_figures import agree

from wwc_eval.did.cs_averages import every_effect

pytestmark = pytest.mark.reference

CONFIGURATIONS = [(name, key) for name in LOADERS for key in FIGURES[name]]
# R's logit stops early: the one of its figures that is more than 1e-7 off (test_did_exact_logits.py), by cohort and period
R_LOGIT = {("la", "notyettreated|varying|antic0|x_ipw", 29, 23): 1.11e-7}


@pytest.mark.parametrize(("name", "key"), CONFIGURATIONS)
def test_every_figure_equals_r(name, key):
    """Effects, errors, counts and averages in relation to R's figure itself, however near zero it is."""
    there = {word: value for word, value in FIGURES[name][key].items() if word not in ("W", "Wpval")}
    most = 1e-7 if "x_dr" in key or "x_ipw" in key else 1e-12

    def tolerance(place):
        if place[0] in ("group", "t", "n") or "egt" in place:
            return 0.0
        if place[0] == "att":
            return R_LOGIT.get((name, key, there["group"][place[1]], there["t"][place[1]]), most)
        return most

    count = agree(tree_of(fitted(name, key)), there, tolerance)
    assert count > 80


@pytest.mark.parametrize("key", list(FIGURES["mpdta"]))
def test_effects_before_treatment_vary_together_as_in_r(key):
    there = {word: FIGURES["mpdta"][key][word] for word in ("W", "Wpval")}
    # R rounds p to five places
    agree(pre_test(fitted("mpdta", key)), there, lambda place: 1e-11 if place[0] == "W" else (0.0, 5.01e-6))


# R's figure less the right one, in relation to it
R_ROUNDING = {
    "nevertreated|varying|antic0|x_dr": -8.6e-3,
    "nevertreated|varying|antic0|x_ipw": -1.3e-3,
    "nevertreated|universal|antic0|x_dr": 2.3e-2,
    "nevertreated|universal|antic0|x_ipw": -2.6e-3,
    "notyettreated|varying|antic0|x_dr": 6.3e-6,
    "notyettreated|varying|antic0|x_ipw": 4.0e-6,
    "notyettreated|universal|antic0|x_dr": -4.1e-6,
    "notyettreated|universal|antic0|x_ipw": 2.05e-6,
}


@pytest.mark.parametrize("key", [key for key in FIGURES["la"] if "W" in FIGURES["la"][key]])
def test_a_pre_test_of_126_effects_has_few_digits_in_r(key):
    """Where cohorts have three or four units the covariance of 126 effects is all but singular, and R inverts it.

    Without covariates it is singular, and R gives no test. From the influence of the units nine digits are right: with a
    varying and a universal base the statistic is one, which R's are not.
    """
    result, there = fitted("la", key), FIGURES["la"][key]
    values, covariance = before_treatment(result)
    assert len(values) == 126
    right = pre_test_of_roots(result)
    gap = there["W"][0][0] / right["W"][0][0] - 1
    assert gap == pytest.approx(R_ROUNDING[key], rel=0.05)
    assert abs(gap) < np.finfo(float).eps * np.linalg.cond(covariance, 1)
    assert there["Wpval"] == right["Wpval"] == [[0.0]]
    if key.startswith("never"):
        other = pre_test_of_roots(fitted("la", key.replace("varying", "universal")))
        assert other["W"][0][0] == pytest.approx(right["W"][0][0], rel=1e-9)


@pytest.mark.parametrize("control", ["nevertreated", "notyettreated"])
def test_without_covariates_the_covariance_of_effects_before_treatment_is_singular(control):
    key = f"{control}|varying|antic0|nox"
    assert "W" not in FIGURES["la"][key]
    values, covariance = before_treatment(fitted("la", key))
    size = np.linalg.eigvalsh(covariance)
    assert (size < 1e-13 * size[-1]).sum() > 60
    assert len(values) == 126


# --- bootstrap

# R's own draws, 10,000, are 1.2% off in one error of three
DRAWS, SEED = {"castle": 9_999, "la": 9_999, "mpdta": 39_999}, 2


def lumps(result, contrasts):
    """Which errors do not hang on where the quartile falls between two lumps of the draws, and their bounds.

    Sums of three or four signs have lumps of probability 1/8, and a quartile stands exactly between two of them:
    such errors change with the seed, in R too.
    """
    drawn = result.multipliers.drawn.of(contrasts)
    inner, outer = (
        (np.quantile(drawn, 0.5 + half, axis=0) - np.quantile(drawn, 0.5 - half, axis=0)) / 1.3489795
        for half in (0.24, 0.26)
    )
    # a normal distribution has 1.098
    return outer < 1.15 * inner, inner, outer


def bootstrapped(name, control):
    """Ours in R's layout, and bounds of the errors by table."""
    result = fitted(name, f"{control}|varying|antic0|nox").bootstrap(DRAWS[name], rng=SEED)
    events, simple = result.aggregate("event"), result.aggregate("simple")
    tree = tree_of(result)
    dynamic = {
        "egt": tree["agg_dynamic"]["egt"],
        "att": tree["agg_dynamic"]["att"],
        "bse": [item.se for item in events.estimates],
        "crit": events.estimates[0].details["critical"],
        "overall": events.overall.estimate,
        "overall_bse": events.overall.se,
    }
    ours = {
        "group": tree["group"],
        "t": tree["t"],
        "att": tree["att"],
        "bse": [item.se for item in result.estimates],
        "crit": result.estimates[0].details["critical"],
        "dynamic": dynamic,
        "simple": {"att": simple.overall.estimate, "bse": simple.overall.se},
    }
    every, by_event = every_effect(result.group_times), events.averages.contrasts
    return ours, {"bse": lumps(result, every), "dynamic": [part[1:] for part in lumps(result, by_event)]}


# critical values of the band over all 234 effects of la, seeds 0 to 19: cohorts of three and four, errors in lumps
BANDS = {
    "la|nevertreated": np.fromstring(
        "3.63111 2.85602 2.90495 4.32736 2.88398 3.31786 4.49523 4.95530 3.77995 2.85250 "
        "3.34328 3.86781 4.63002 4.74438 2.88117 2.85877 3.42577 2.82931 4.62083 3.21464",
        sep=" ",
    ),
    "la|notyettreated": np.fromstring(
        "3.63010 2.85017 2.93081 4.77382 2.91866 3.32552 4.79398 5.39605 3.78008 2.84497 "
        "3.41131 4.00826 5.06723 5.20251 2.87201 2.84439 3.42587 2.83116 5.01720 3.25919",
        sep=" ",
    ),
}


@pytest.mark.parametrize("key", list(FIGURES["bootstrap"]))
def test_bootstrap_errors_and_bands_equal_r_within_five_per_cent(key):
    name, control = key.split("|")
    there = FIGURES["bootstrap"][key]
    ours, errors = bootstrapped(name, control)
    for word, theirs, least in (("bse", there["bse"], 0.35), ("dynamic", there["dynamic"]["bse"], 0.6)):
        steady, inner, outer = errors[word]
        assert steady.mean() > least
        assert (np.array(theirs) > 0.95 * inner).all()
        assert (np.array(theirs) < 1.05 * outer).all()

    def tolerance(place):
        if place[-2:] == ("simple", "bse") or place[-1] in ("crit", "overall_bse"):
            return np.inf if place == ("crit",) and key in BANDS else 0.05
        if "bse" in place:
            steady = errors["dynamic" if "dynamic" in place else "bse"][0]
            return 0.05 if steady[place[-1]] else np.inf
        return 0.0 if place[0] in ("group", "t") or "egt" in place else 1e-12

    agree(ours, there, tolerance)
    if key in BANDS:
        assert ours["crit"] == pytest.approx(BANDS[key][SEED], abs=2e-5)
        low, high = np.quantile(BANDS[key], [0.25, 0.75])
        assert low < there["crit"] < high


def test_the_seeded_panel_is_the_one_behind_the_figures():
    assert did_data.digest(did_data.la_panel()) == did_data.LA_DIGEST
