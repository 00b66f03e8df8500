"""k of rates with its interval: Hayes and Moulton's moments, exact Dirichlet-multinomial moments, coverage, boundaries."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from variation_study import CLUSTERS, METHODS, draw, exposures, misses

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.pilot.variation import Counts, variation_belief
from wwc_eval.power import Belief

RECORD = json.loads((Path(__file__).parents[1] / "reference" / "variation_coverage.json").read_text())
TEAMS = [14, 31, 9, 22, 40, 18, 25, 12, 30]


@pytest.mark.reference
def test_moments_are_those_of_hayes_and_moulton():
    # chapter 2: k = sqrt(s^2 - r / t) / r with s^2 the variance of the clusters' rates, where exposures are equal
    for time in (1.0, 10.0, 0.3):
        rates = np.array(TEAMS) / time
        expected = math.sqrt(rates.var(ddof=1) - rates.mean() / time) / rates.mean()
        assert we.pilot.rate_variation(TEAMS, [time] * 9).estimate == pytest.approx(expected, rel=1e-12)


@pytest.mark.reference
def test_where_clusters_do_not_differ_the_statistic_is_pearsons():
    x, t = np.array(TEAMS, dtype=float), np.linspace(1, 3, 9)
    expected = x.sum() * t / t.sum()
    found = we.pilot.rate_variation(x, t)
    assert found.details["Q"] == pytest.approx(((x - expected) ** 2 / expected).sum(), rel=1e-13)
    assert found.details["p_heterogeneity"] == pytest.approx(special.chdtrc(8, found.details["Q"]), rel=1e-13)


@pytest.mark.reference
@pytest.mark.parametrize(("clusters", "total", "k"), [(3, 8, 0.5), (4, 6, 1.0), (3, 9, 0.1)])
def test_moments_of_the_reference_are_those_of_all_dirichlet_multinomial_tables(clusters, total, k):
    shape = k**-2
    tables = np.array([x for x in product(range(total + 1), repeat=clusters) if sum(x) == total], dtype=float)
    log_p = special.gammaln(total + 1) + special.gammaln(clusters * shape)
    log_p -= special.gammaln(total + clusters * shape)
    log_p += (special.gammaln(tables + shape) - special.gammaln(tables + 1) - special.gammaln(shape)).sum(axis=1)
    p = np.exp(log_p)
    assert p.sum() == pytest.approx(1.0, rel=1e-10)
    squares = ((tables - total / clusters) ** 2).sum(axis=1)
    mean = float(p @ squares)
    ratio = squares / mean
    # what under() takes them for: spread times (1 + k^2 / clusters) / (clusters - 1)
    for table, each in zip(tables[:: max(len(tables) // 7, 1)], ratio[:: max(len(tables) // 7, 1)], strict=True):
        counts = Counts(events=table, exposure=np.ones(clusters))
        assert counts.spread(k)[0] * (1 + k * k / clusters) / (clusters - 1) == pytest.approx(each, rel=1e-9)
    top = total**2 * (1 - 1 / clusters) / mean
    variance = float(p @ ratio**2) - 1.0
    size = (1 / top) * (1 - 1 / top) * top**2 / variance - 1.0
    at = int(np.argmin(abs(ratio - 1.3)))
    counts = Counts(events=tables[at], exposure=np.ones(clusters))
    if counts.spread(0.0)[0] >= clusters - 1:
        expected = special.betaincc(size / top, size * (1 - 1 / top), ratio[at] / top)
        assert counts.under(k)[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.simulation
@pytest.mark.parametrize(("clusters", "k", "spread"), [(5, 0.25, 0.0), (9, 0.5, 0.6), (20, 0.1, 0.0)])
def test_a_small_sample_of_the_study(clusters, k, spread):
    t = exposures(clusters, spread)
    x = draw(np.random.default_rng(clusters), "gamma", t, k, 15, reps=400)
    low, high = misses(x, t, k)["inverted"]
    assert low + high < 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / 400)
    # and the limits themselves say the same as the chances that they are the roots of
    held = [
        found.ci_low <= k <= found.ci_high for found in (we.pilot.rate_variation(row, t) for row in x[:60].copy())
    ]
    asked = [0.025 <= Counts(events=row, exposure=t).under(k)[0] <= 0.975 for row in x[:60]]
    assert held == asked


@pytest.mark.simulation
def test_the_record_says_what_the_documentation_says():
    assert {row["clusters"] for row in RECORD["cases"]} == set(CLUSTERS)
    assert RECORD["repeats"] >= 4_000
    cases = {
        (row["rates"], row["exposure_cv"], row["clusters"], row["k"], row["events"]): row["coverage"]
        for row in RECORD["cases"]
    }
    gamma = [each for key, each in cases.items() if key[0] == "gamma"]
    assert all(set(each) == set(METHODS) for each in gamma)
    assert min(each["inverted"] for each in gamma) >= 0.94
    assert max(each["inverted"] for each in gamma) <= 0.985
    assert min(each["profile"] for each in gamma) < 0.90
    assert cases["gamma", 0.0, 60, 0.5, 15]["chi_squared"] < 0.94
    # heavier tails than gamma's: k of .5 is the worst
    assert min(each["inverted"] for key, each in cases.items() if key[0] == "lognormal" and key[3] <= 0.25) >= 0.93
    assert min(each["inverted"] for key, each in cases.items() if key[0] == "lognormal") >= 0.89


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0.1, 20)), min_size=3, max_size=12).filter(
        lambda rows: sum(x for x, _ in rows) > 1
    ),
    st.floats(0.01, 100),
)
def test_limits_hold_the_estimate_and_forget_the_unit_of_exposure(rows, unit):
    x, t = (np.array(each, dtype=float) for each in zip(*rows, strict=True))
    found, other = we.pilot.rate_variation(x, t), we.pilot.rate_variation(x[::-1], t[::-1] * unit)
    assert 0 <= found.ci_low <= found.estimate <= found.ci_high
    for name in ("estimate", "ci_low"):
        assert getattr(other, name) == pytest.approx(getattr(found, name), rel=1e-6, abs=1e-6)
    wider = we.pilot.rate_variation(x, t, level=0.99)
    assert wider.ci_low <= found.ci_low
    assert wider.ci_high >= found.ci_high
    under = Counts.of(x, t).under(np.geomspace(1e-3, 20, 60))
    assert np.diff(under).min() > -1e-4


@pytest.mark.parametrize(
    ("events", "value", "words"),
    [
        ([0, 0, 0], math.nan, "no value: there are no events"),
        ([7], math.nan, "one cluster"),
        ([0, 1, 0], 0.0, "there is one event"),
        ([4, 9], 0.376845, "two clusters are one difference"),
    ],
)
def test_no_interval_has_a_reason(events, value, words):
    found = we.pilot.rate_variation(events, np.ones(len(events)))
    assert found.estimate == pytest.approx(value, abs=1e-6, nan_ok=True)
    assert math.isnan(found.ci_low)
    assert math.isnan(found.ci_high)
    assert words in found.warnings[0]
    assert found.details["reason"] in found.warnings[0]
    with pytest.raises(DesignError, match="says nothing of k"):
        variation_belief(events, np.ones(len(events)))


def test_boundaries_are_said():
    alike = we.pilot.rate_variation([3, 2, 4, 1, 5], np.ones(5))
    assert (alike.estimate, alike.ci_low) == (0.0, 0.0)
    assert 0.5 < alike.ci_high < 5
    assert "lower limit of k is 0" in alike.warnings[0]
    # counts that differ less than chance would have them are no proof of k = 0
    same = we.pilot.rate_variation([3, 3, 3, 3, 3], np.ones(5))
    assert same.ci_high == pytest.approx(alike.ci_high, rel=0.02)
    one = we.pilot.rate_variation([10, 0, 0, 0], np.ones(4))
    assert math.isinf(one.ci_high)
    assert "no upper limit" in one.warnings[0]
    for wrong in ([1.5, 2, 3], [-1, 2, 3], [1, 2]):
        with pytest.raises(DataError):
            we.pilot.rate_variation(wrong, [1, 1, 1])


def test_figures_of_rates_for_the_main_trial_and_their_assurance():
    rng = np.random.default_rng(4)
    team = np.repeat(np.arange(9), 30)
    y, time = rng.poisson(np.repeat(rng.gamma(9, 1 / 9, 9), 30) * 0.8), rng.uniform(0.5, 1.5, 270)
    found = we.pilot.main_trial(y, team, kind="rate", exposure=time, name="referrals")
    own = we.pilot.rate_variation(np.bincount(team, y), np.bincount(team, time))
    assert (found["k"].estimate, found["k"].ci_low, found["k"].ci_high) == (own.estimate, own.ci_low, own.ci_high)
    assert found["k"].n_clusters == 9
    assert "has no interval" not in str(found)
    design = we.Trial(
        levels=[we.Level("child", 30), we.Level("team", 40, k=0.3)], assigned="team", outcome=we.Rate(control=0.8)
    )
    drawn = found.assurance(design, 0.75, rng=1).drawn["team.k"]
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([own.ci_low, own.ci_high], rel=0.01)
    known = found.assurance(design, 0.75, rng=1, uncertain={"team.k": Belief.lognormal(0.1, 0.3)})
    assert known.drawn["team.k"].max() < 0.8
    rows = we.pilot.main_trial(y, kind="rate", exposure=time)
    with pytest.raises(DesignError, match="not one between clusters"):
        rows.assurance(design, 0.75, rng=1)
    # the interval of the rate is that of its logarithm, so never below 0
    rate, totals = found["rate"], np.bincount(team, y) - y.sum() / time.sum() * np.bincount(team, time)
    assert rate.se == pytest.approx(math.sqrt(9 / 8 * float(totals @ totals)) / time.sum())
    reach = special.stdtrit(8, 0.975) * rate.se / rate.estimate
    assert np.log([rate.ci_low, rate.ci_high]) == pytest.approx(np.log(rate.estimate) + np.array([-reach, reach]))
    assert we.pilot.main_trial([10, 0, 0, 0], list("abcd"), kind="rate")["rate"].ci_low > 0
    none = we.pilot.main_trial(np.zeros(12), np.arange(12) // 4, kind="rate")
    assert none["rate"].ci_high == pytest.approx(-math.log(0.025) / 12)
    assert "no events" in str(none)
    assert "one cluster" in str(we.pilot.main_trial([3, 4, 5], [1, 1, 1], kind="rate"))
    with pytest.raises(DataError, match="whole numbers"):
        we.pilot.main_trial([1.5, 2, 3], kind="rate")


def test_a_belief_from_points():
    belief = Belief.points([0.2, 0.6, 1.0], [0.0, 1.0, 3.0])
    assert belief.quantile(np.array([0.1, 0.4, 0.8])).tolist() == pytest.approx([0.0, 0.5, 2.0])
    assert belief == Belief.points([0.2, 0.6, 1.0], [0.0, 1.0, 3.0])
    for p, v in (
        ([0.5], [1.0]),
        ([0.5, 0.1], [0, 1]),
        ([0, 1], [1, 0]),
        ([0, 1.5], [0, 1]),
        ([0, 1], [0, math.nan]),
    ):
        with pytest.raises(DesignError):
            Belief.points(p, v)
