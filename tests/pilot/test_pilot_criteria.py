"""Progression criteria: exact sizes against brute force, tiers, posteriors, clusters, hostile input."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.pilot.exact import beta_binomial, sum_of_clusters

Criterion = we.pilot.ProgressionCriterion


def exact_power(n, red, green, alpha):
    """By the definition, with scipy's distribution: the smallest rejecting count, and its power."""
    x = np.arange(n + 2)
    critical = x[stats.binom.sf(x - 1, n, red) <= alpha][0]
    return stats.binom.sf(critical - 1, n, green)


@pytest.mark.parametrize(
    ("red", "green", "power", "alpha"),
    [
        (0.2, 0.35, 0.9, 0.05),
        (0.5, 0.75, 0.8, 0.025),
        (0.05, 0.3, 0.9, 0.05),
        (0.6, 0.95, 0.95, 0.1),
        (0.45, 0.5, 0.8, 0.2),
    ],
)
def test_sizes_equal_brute_force(red, green, power, alpha):
    found = Criterion("x", red=red, green=green).sample_size(power=power, alpha=alpha)
    powers = np.array([exact_power(n, red, green, alpha) for n in range(1, 3 * found.n + 60)])
    enough = powers >= power
    assert found.first_crossing == np.flatnonzero(enough)[0] + 1
    assert found.n == np.flatnonzero(~enough)[-1] + 2
    assert found.power == pytest.approx(powers[found.n - 1], rel=1e-10)
    assert found.size <= alpha
    below = [n for n in range(found.first_crossing, found.n) if powers[n - 1] < power]
    assert list(found.below) == below


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 0.9), st.floats(0.05, 0.6), st.floats(0.7, 0.95), st.floats(0.01, 0.2))
def test_sizes_are_minimal_and_kept(red, gap, power, alpha):
    green = min(red + gap, 0.99)
    if green - red < 0.04:
        return
    found = Criterion("x", red=red, green=green).sample_size(power=power, alpha=alpha)
    if found.n > 1:
        assert exact_power(found.n - 1, red, green, alpha) < power
    for n in range(found.n, found.n + 25):
        assert exact_power(n, red, green, alpha) >= power - 1e-12
    turned = Criterion("x", red=1 - red, green=1 - green).sample_size(power=power, alpha=alpha)
    assert (turned.n, turned.first_crossing) == (found.n, found.first_crossing)
    assert turned.critical == found.n - found.critical


def test_sizes_in_clusters():
    """No correlation is no clusters; the law of the total is that of simulated clusters."""
    alone = Criterion("x", red=0.2, green=0.35, icc=0.0, cluster_size=10).sample_size()
    assert alone.n == 10 * alone.clusters
    powers = [exact_power(n, 0.2, 0.35, 0.05) for n in range(10, 300, 10)]
    assert alone.clusters == np.flatnonzero(np.array(powers) < 0.9)[-1] + 2
    assert alone.power == pytest.approx(powers[alone.clusters - 1], rel=1e-9)
    found = Criterion("x", red=0.2, green=0.35, icc=0.05, cluster_size=10).sample_size()
    pmf = sum_of_clusters(beta_binomial(10, 0.35, 0.05), found.clusters)
    assert pmf.sum() == pytest.approx(1.0, abs=1e-12)
    assert found.power == pytest.approx(pmf[found.critical :].sum(), rel=1e-10)
    mean, x = pmf @ np.arange(len(pmf)), np.arange(len(pmf))
    assert mean == pytest.approx(0.35 * found.n, rel=1e-10)
    assert pmf @ (x - mean) ** 2 == pytest.approx(found.n * 0.35 * 0.65 * (1 + 9 * 0.05), rel=1e-9)
    small = stats.betabinom.pmf(np.arange(11), 10, 0.35 * 19, 0.65 * 19)
    assert beta_binomial(10, 0.35, 0.05) == pytest.approx(small, rel=1e-10)


def test_tiers_of_the_three_rules():
    plain = Criterion("x", red=0.2, green=0.35)
    assert [plain.decide(x, 100).tier for x in (20, 21, 34, 35)] == ["red", "amber", "amber", "green"]
    test = plain.replace(rule="test")
    assert test.decide(4, 10).tier == "amber"  # 40%, but 10 cannot reject 20%
    assert test.decide(40, 100).tier == "green"
    sure = plain.replace(rule="posterior", confidence=0.9)
    assert sure.decide(38, 100).tier == "amber"
    assert sure.decide(50, 100).tier == "green"
    assert sure.decide(5, 100).tier == "red"
    worse = Criterion("drop-out", red=0.3, green=0.15)
    assert [worse.decide(x, 100).tier for x in (30, 29, 16, 15)] == ["red", "amber", "amber", "green"]


@pytest.mark.property
@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.data())
def test_probabilities_add_up_and_turn_about(n, data):
    x = data.draw(st.integers(0, n))
    one = Criterion("x", red=0.3, green=0.6).decide(x, n)
    assert one.p_red + one.p_amber + one.p_green == pytest.approx(1.0, abs=1e-12)
    other = Criterion("x", red=0.7, green=0.4).decide(n - x, n)
    assert (other.p_red, other.p_green) == pytest.approx((one.p_red, one.p_green), abs=1e-10)
    assert other.exact_p_value == pytest.approx(one.exact_p_value, rel=1e-9, abs=1e-14)
    assert other.tier == one.tier or abs(x / n - 0.6) < 1e-9 or abs(x / n - 0.3) < 1e-9
    assert one.exact_p_value == pytest.approx(stats.binom.sf(x - 1, n, 0.3), rel=1e-8, abs=1e-14)


def test_clusters_count_for_less_than_their_participants():
    criterion = Criterion("retention", red=0.65, green=0.85)
    x, n, where = [8, 17, 13, 20, 5], [12, 20, 15, 20, 14], list("ABCDE")
    clustered = criterion.decide(x, n, cluster=where)
    plain = criterion.decide(sum(x), sum(n))
    assert clustered.estimate.estimate == plain.estimate.estimate
    assert clustered.effective_n < 81
    assert clustered.p_amber < plain.p_amber
    assert clustered.exact_p_value > plain.exact_p_value
    # the same rows in another order, or cut in two, are the same clusters
    rows = [(8, 12, "A"), (10, 10, "B"), (7, 10, "B"), (13, 15, "C"), (20, 20, "D"), (5, 14, "E")]
    a, b, names = zip(*rows[::-1], strict=True)
    again = criterion.decide(a, b, cluster=names)
    assert again.p_green == pytest.approx(clustered.p_green, rel=1e-12)


def test_clusters_all_alike_are_said_to_be():
    criterion = Criterion("retention", red=0.5, green=0.7, icc=0.05, cluster_size=10)
    found = criterion.decide([10, 10, 10], [10, 10, 10], cluster=[1, 2, 3])
    assert found.effective_n == pytest.approx(30 / 1.45)
    assert any("planned ICC" in note for note in found.notes)
    unplanned = criterion.replace(icc=0.0, cluster_size=1).decide([10, 10, 10], [10, 10, 10], cluster=[1, 2, 3])
    assert unplanned.effective_n == 3


@pytest.mark.simulation
def test_level_of_the_clustered_test_at_the_limit_of_red():
    """9 teams of 12, ICC 0.05: near 5%, where the exact test that knows no clusters rejects 10%."""
    rng = np.random.default_rng(20)
    criterion, reps = Criterion("x", red=0.4, green=0.6), 1_500
    p = rng.beta(0.4 * 19, 0.6 * 19, size=(reps, 9))
    x = rng.binomial(12, p)
    clustered = np.array([criterion.decide(row, [12] * 9, cluster=range(9)).exact_p_value for row in x])
    naive = np.array([criterion.decide(int(row.sum()), 108).exact_p_value for row in x])
    error = 3 * np.sqrt(0.05 * 0.95 / reps)
    assert (clustered <= 0.05).mean() < 0.05 + error
    assert (clustered <= 0.05).mean() > 0.015
    assert (naive <= 0.05).mean() > 0.07


@pytest.mark.simulation
def test_coverage_of_clustered_shares():
    rng = np.random.default_rng(21)
    reps, hits = 1_500, 0
    for _ in range(reps):
        size = rng.integers(5, 25, 10)
        found = we.pilot.clustered_rate(rng.binomial(size, rng.beta(0.7 * 19, 0.3 * 19, 10)), size)
        hits += found.ci_low <= 0.7 <= found.ci_high
    assert 0.92 < hits / reps < 0.975


def test_rates_and_means():
    recruited = we.pilot.RateCriterion("recruitment", red=4, green=6, unit="site-month")
    found = recruited.decide(37, 6)
    assert found.tier == "green"
    assert found.exact_p_value == pytest.approx(stats.poisson.sf(36, 24), rel=1e-10)
    assert found.p_red == pytest.approx(stats.gamma.cdf(4, 37.5, scale=1 / 6), rel=1e-10)
    size = recruited.sample_size(power=0.9)
    for months in range(size.n, size.n + 30):
        critical = stats.poisson.isf(0.05, 4 * months) + 1
        assert stats.poisson.sf(critical - 1, 6 * months) >= 0.9
    critical = stats.poisson.isf(0.05, 4 * (size.n - 1)) + 1
    assert stats.poisson.sf(critical - 1, 6 * (size.n - 1)) < 0.9

    scores = np.array([4, 5, 3, 4, 4, 5, 4, 3, 2, 5.0])
    accepted = we.pilot.MeanCriterion("acceptability", red=3.0, green=3.8).decide(scores)
    against = stats.ttest_1samp(scores, 3.0, alternative="greater")
    assert accepted.exact_p_value == pytest.approx(against.pvalue, rel=1e-10)
    assert accepted.p_red == pytest.approx(against.pvalue, rel=1e-10)
    grouped = we.pilot.MeanCriterion("acceptability", red=3.0, green=3.8).decide(
        scores, cluster=list("aabbccddee")
    )
    assert grouped.estimate.df == 4.0
    cost = we.pilot.MeanCriterion("cost a child", red=900, green=600, digits=0).decide([610, 700, 655, 820])
    assert cost.tier == "amber"


def test_operating_characteristics():
    criterion = Criterion("x", red=0.2, green=0.35)
    found = criterion.operating_characteristics(83)
    assert found.chances.sum(axis=1) == pytest.approx(1.0)
    at_red = found.to_dicts()[[row["rate"] for row in found.to_dicts()].index(0.2)]
    assert at_red["rejects_red"] <= 0.05
    assert at_red["red"] == pytest.approx(stats.binom.cdf(16, 83, 0.2), rel=1e-9)
    with pytest.raises(DesignError, match="multiple of cluster_size"):
        criterion.replace(icc=0.1, cluster_size=10).operating_characteristics(83)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Criterion("x", red=0.3, green=0.3), "no amber"),
        (lambda: Criterion("x", red=0.0, green=0.3), "red == 0"),
        (lambda: Criterion("x", red=0.2, green=1.3), "green == 1.3"),
        (lambda: Criterion("x", red=20, green=35), "red == 20"),
        (lambda: Criterion("", red=0.2, green=0.3), "needs a name"),
        (lambda: Criterion("x", red=0.2, green=0.3, icc=0.05), "cluster_size"),
        (lambda: Criterion("x", red=0.2, green=0.3, rule="vote"), "rule"),
        (lambda: Criterion("x", red=0.2, green=0.3).replace(gren=0.4), "did you mean"),
        (lambda: Criterion("x", red=0.2, green=0.2001).sample_size(), "too close"),
        (lambda: Criterion("x", red=0.2, green=0.3).sample_size(power=0.4), "power"),
        (lambda: Criterion("x", red=0.2, green=0.3).decide(5, 3), "successes"),
        (lambda: Criterion("x", red=0.2, green=0.3).decide(2.5, 8), "whole"),
        (lambda: Criterion("x", red=0.2, green=0.3).decide([2, 3], [8, 9]), "cluster="),
        (lambda: Criterion("x", red=0.2, green=0.3).decide([2, 3], [8, 9], cluster=[1, 1]), "at least 2"),
        (lambda: Criterion("x", red=0.2, green=0.3).decide([2, 3], [8, 9], cluster=[1, None]), "missing"),
        (lambda: Criterion("x", red=0.2, green=0.3).decide([2, 9], [8, 8], cluster=[1, 2]), "row 2"),
        (lambda: we.pilot.MeanCriterion("x", red=1, green=2).decide([3.0]), "at least 2"),
        (lambda: we.pilot.MeanCriterion("x", red=1, green=2).decide([3.0, 3.0]), "all values"),
        (lambda: we.pilot.RateCriterion("x", red=1, green=2).decide(3, 0), "exposure"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, words):
    with pytest.raises((DataError, DesignError), match=words):
        make()


# --- flow, recruitment, figures for the main trial, judgement


def test_flow_from_rows_and_from_counts():
    rng = np.random.default_rng(3)
    team = np.repeat(np.arange(9), 14)
    consented = rng.random(126) < 0.6
    completed = consented & (rng.random(126) < 0.8)
    frame = pd.DataFrame({"team": team, "approached": 1, "consented": consented, "completed": completed})
    stages = ["approached", "consented", "completed"]
    clustered = we.pilot.PilotFlow.from_frame(frame, stages, cluster="team")
    plain = we.pilot.PilotFlow.from_frame(frame, stages)
    assert dict(plain.counts) == {"approached": 126, "consented": consented.sum(), "completed": completed.sum()}
    assert clustered["completed"].estimate == plain["completed"].estimate
    assert clustered.clusters == 9
    assert plain["completed"].ci_low == we.pilot.rate_interval(int(completed.sum()), int(consented.sum())).ci_low
    assert plain.to_dicts()[2]["of_first"] == completed.sum() / 126
    assert "of the stage before" in str(plain)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.assign(completed=1), "without the one before"),
        (lambda frame: frame.assign(consented=2), "must be 0 or 1"),
        (lambda frame: frame.rename(columns={"completed": "complete"}), "no column 'completed'"),
        (lambda frame: frame.assign(consented=0, completed=0), "nobody at 'consented'"),
    ],
)
def test_a_flow_that_cannot_be(change, words):
    frame = pd.DataFrame({"approached": [1, 1, 1], "consented": [1, 0, 1], "completed": [1, 0, 0]})
    with pytest.raises(DataError, match=words):
        we.pilot.PilotFlow.from_frame(change(frame), list(frame.columns))


def test_a_forecast_grows_and_is_the_same_again():
    sites = {"counts": [30, 2, 9], "site_months": [3, 3, 3], "opened": [0, 0, 1, 2], "months": 12, "target": 60}
    one, other = (we.pilot.recruitment_forecast(**sites, rng=1) for _ in range(2))
    assert one.to_dicts() == other.to_dicts()
    assert (np.diff(one.expected) >= 0).all()
    assert (np.diff(one.reached) >= 0).all()
    assert one.between > 0.3
    alike = we.pilot.recruitment_forecast([10, 11, 9], [3, 3, 3], opened=[0, 0], months=6, rng=1)
    assert alike.between == 0.0
    # Poisson counts of a gamma rate: mean and variance of two sites over six months
    assert alike.expected[-1] == pytest.approx(12 * 30 / 9, abs=1.5)
    with pytest.raises(DesignError, match="opened"):
        we.pilot.recruitment_forecast([1], [1], opened=[9], months=6, rng=1)


def test_figures_for_the_main_trial_and_its_assurance():
    rng = np.random.default_rng(4)
    team = np.repeat(np.arange(9), 12)
    y = 20 + 2 * rng.normal(size=9)[team] + 5 * rng.normal(size=108)
    found = we.pilot.main_trial(y, team, name="wellbeing")
    fit = we.multilevel_model("y ~ 1 + (1 | team)", pd.DataFrame({"y": y, "team": team}))
    exact = fit.icc()[0]
    assert found["ICC"].estimate == pytest.approx(exact.estimate, rel=1e-6)
    assert found["ICC"].ci_high == pytest.approx(exact.ci_high, rel=1e-9)
    assert found["SD"].estimate == pytest.approx(y.std(ddof=1))
    design = we.Trial(
        levels=[we.Level("child", 12), we.Level("team", 40, icc=0.1)],
        assigned="team",
        outcome=we.Continuous(sd=5.4),
    )
    over = found.assurance(design, 2.0, rng=1)
    assert 0.3 < float(over) < 0.95
    assert 0 < over.short < 1
    binary = we.pilot.main_trial(rng.random(108) < 0.3, team, kind="binary")
    assert [each.term for each in binary.figures] == ["risk", "ICC"]
    counts = we.pilot.main_trial(rng.poisson(np.repeat(rng.gamma(4, 1, 9), 12)), team, kind="rate")
    assert 0.2 < counts["k"].estimate < 0.9
    with pytest.raises(DataError, match="no figure"):
        binary["SD"]


def test_pooled_iccs_lie_among_their_studies():
    pooled = we.pilot.pool_iccs([0.02, 0.05, 0.01], clusters=[8, 30, 45], sizes=[15, 20, 25])
    assert 0.01 < pooled.estimate < 0.05
    alike = we.pilot.pool_iccs([0.04, 0.04], clusters=[20, 20], sizes=[15, 15])
    assert alike.estimate == pytest.approx(0.04, rel=1e-9)
    with pytest.raises(DesignError, match="two studies"):
        we.pilot.pool_iccs([0.02], clusters=[8], sizes=[15])


def test_the_judgement_follows_the_rules():
    red = Criterion("consent", red=0.2, green=0.35).decide(10, 78)
    green = Criterion("retention", red=0.65, green=0.85, heading="readiness_for_trial").decide(29, 30)
    amber = Criterion("fidelity", red=0.5, green=0.75).decide(30, 50)
    side = Criterion("survey", red=0.3, green=0.5, essential=False).decide(1, 20)
    judge, rules = we.pilot.judge, we.pilot.Rules
    assert judge([red, green]).recommendation == "stop"
    assert judge([green, amber]).recommendation == "amend"
    assert judge([green]).recommendation == "go"
    assert judge([green, side]).recommendation == "amend"
    assert judge([green, side], rules=rules(stop="any_red")).recommendation == "stop"
    assert judge([green, amber], rules=rules(go="no_red")).recommendation == "go"
    assert judge([red, green, amber], rules=rules(stop="most_red")).recommendation == "amend"
    found = judge([red, green, amber])
    assert dict(found.headings) == {"feasibility": "red", "readiness_for_trial": "green"}
    assert "consent is red" in found.reason()
    early = we.pilot.Finding(
        heading="evidence_of_promise",
        what="children on a plan",
        figure=we.pilot.rate_difference((20, 80), (30, 82)),
    )
    page = judge([green, amber], findings=[early])
    assert "children on a plan" in str(page)
    assert page.beside("evidence_of_promise")[0][1].startswith("-11.6 percentage points")
    with pytest.raises(DesignError, match="decided twice"):
        judge([red, red])
    with pytest.raises(DesignError, match="no criterion"):
        judge([])


def test_pictures_have_labels():
    decisions = [Criterion("consent", red=0.2, green=0.35).decide(30, 78)]
    for axes in (
        we.pilot.judge(decisions).plot(),
        decisions[0].criterion.operating_characteristics(78).plot(),
        we.pilot.PilotFlow.from_counts({"approached": 10, "consented": 7}).plot(),
        we.pilot.recruitment_forecast([3, 4], [2, 2], opened=[0], months=4, target=9, rng=1).plot(),
    ):
        assert axes.get_xlabel()


def test_tables_of_rules_of_thumb():
    table = we.pilot.pilot_sizes(effect=0.25, main_trial=680, clustered=True)
    sizes = {row["rule"]: row["n"] for row in table.to_dicts()}
    assert sizes["Whitehead"] == 50
    assert sizes["Viechtbauer"] == 59
    assert any("uninformative" in note for note in table.notes)
    with pytest.raises(DesignError, match=r"0\.8 or 0\.9"):
        we.pilot.pilot_sizes(effect=0.25, power=0.85)


def test_a_chance_that_is_not_nil_is_not_shown_as_nil():
    shown = we.pilot.ProgressionCriterion("consent", red=0.2, green=0.35).decide(60, 100)._grid().rows[0]
    assert {"< 1%", "> 99%"} <= set(shown)
    assert "95% interval" in str(we.pilot.ProgressionCriterion("consent", red=0.2, green=0.35).decide(60, 100))
    assert "90.1%" in str(we.pilot.ProgressionCriterion("consent", red=0.2, green=0.35).sample_size())


def test_what_a_judgement_says_of_clusters_names_the_criterion():
    criterion = we.pilot.ProgressionCriterion("retention", red=0.65, green=0.85)
    decision = criterion.decide([8, 17, 13], [12, 20, 15], cluster=["A", "B", "C"])
    assert "retention: 47 participants in 3 clusters" in str(we.pilot.judge([decision]))


# --- rates in clusters


def test_rates_of_alike_clusters_are_those_of_their_sum():
    criterion = we.pilot.RateCriterion("recruitment", red=4, green=6, unit="site-month")
    alone, alike = criterion.decide(36, 6), criterion.decide([12, 12, 12], [2, 2, 2], cluster=list("ABC"))
    assert "independent" in " ".join(alike.notes)
    for name in ("p_red", "p_amber", "p_green", "exact_p_value", "tier"):
        assert (
            getattr(alike, name) == pytest.approx(getattr(alone, name))
            if name != "tier"
            else alike.tier == alone.tier
        )
    none = criterion.decide([0, 0], [3, 3], cluster=["A", "B"])
    assert none.tier == "red"
    assert none.estimate.ci_high == pytest.approx(we.pilot.recruitment_rate(0, 6).ci_high)


def test_rates_of_unlike_clusters_tell_less():
    x, t = np.array([30, 4, 11, 7, 28.0]), np.array([4, 3, 3, 2, 4.0])
    found = we.pilot.clustered_count(x, t, list("edcba"))
    rate = x.sum() / t.sum()
    variance = 5 / 4 * ((x - rate * t) ** 2).sum() / t.sum() ** 2
    time = rate / variance * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 4)) ** 2
    assert found.details["effective_exposure"] == pytest.approx(time, rel=1e-12)
    assert found.ci_low == pytest.approx(stats.chi2.ppf(0.025, 2 * rate * time) / 2 / time, rel=1e-12)
    assert found.ci_high == pytest.approx(stats.chi2.ppf(0.975, 2 * rate * time + 2) / 2 / time, rel=1e-12)
    decision = we.pilot.RateCriterion("r", red=4, green=6).decide(np.repeat(x / 1, 1), t, cluster=list("edcba"))
    assert decision.effective_n == pytest.approx(time)
    assert decision.exact_p_value == pytest.approx(stats.gamma.cdf(4 * time, rate * time), rel=1e-12)
    assert "tell as much as" in decision.notes[0]
    # sites that never opened, and the order of rows, change nothing
    more = we.pilot.clustered_count([*x[::-1], 0], [*t[::-1], 0], [*"abcde", "f"])
    assert (more.ci_low, more.ci_high, more.n_clusters) == (found.ci_low, found.ci_high, 5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([3, 4], [1, 1]), "whether their rows are clusters"),
        (([3, 4], [1, 1], ["A", "A"]), "1 clusters"),
        (([3, 4], [1, 0], ["A", "B"]), "row 2: 4 in 0"),
        (([3, 4.5], [1, 1], ["A", "B"]), "row 2: 4.5 in 1"),
        (([3, 4], [1, 1], ["A", None]), "a cluster is missing"),
        (([3, 4], [1, 1], ["A"]), "shape"),
    ],
)
def test_rates_in_clusters_that_cannot_be(arguments, words):
    with pytest.raises(we.WwcError, match=words):
        we.pilot.RateCriterion("r", red=1, green=2).decide(*arguments)


@pytest.mark.simulation
def test_intervals_of_rates_in_clusters_cover():
    rng, covered, naive = np.random.default_rng(11), 0, 0
    for _ in range(400):
        t = rng.uniform(5, 15, 10)
        x = rng.poisson(rng.gamma(4, 0.25, 10) * t)
        found, alone = we.pilot.clustered_count(x, t, range(10)), we.pilot.recruitment_rate(int(x.sum()), t.sum())
        covered += found.ci_low <= 1 <= found.ci_high
        naive += alone.ci_low <= 1 <= alone.ci_high
    assert 0.915 < covered / 400 < 0.985
    assert naive / 400 < 0.8
