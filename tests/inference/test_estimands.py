"""Whom an average is over, whether cluster size matters, numbers a year, and intervals from replicates (regressions)."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cluster_trials import LEVELS, trial

import wwc_eval as we
from wwc_eval.errors import DesignError
from wwc_eval.inference.averages import share_of_rows
from wwc_eval.inference.clusters import Clusters
from wwc_eval.inference.resampling import Resampling, copies, with_interval

DATA = trial(7, 16, 2, 1)
TERM = "arm[programme]"
OUTCOMES = {"gaussian": "score", "binomial": "hit", "poisson": "count"}


def fitted(family, right="arm * x + sex", **options):
    if family == "poisson":
        options["exposure"] = "exposure"
    text = f"{OUTCOMES[family]} ~ {right}"
    return we.regression(text, DATA, family=family, vcov="CR2", cluster="cluster", levels=LEVELS, **options)


# --- participant and cluster averages


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_every_cluster_counts_once(family):
    fit = fitted(family)
    both = [
        fit.fitted.moments(fit.design_info.matrix(DATA.assign(arm=arm))).mean for arm in ("usual", "programme")
    ]
    size = DATA["exposure"] if family == "poisson" else np.ones(len(DATA))
    means = [
        np.mean(
            [
                np.average(each[rows], weights=np.asarray(size)[rows])
                for rows in DATA.groupby("cluster").indices.values()
            ]
        )
        for each in both
    ]
    scale = {"gaussian": "mean_difference", "binomial": "risk_difference", "poisson": "rate_difference"}[family]
    found = fit.marginal_effect("arm", scale=scale, average="clusters")
    assert found.estimate == pytest.approx(means[1] - means[0], rel=1e-10)
    assert found.details["average"] == "clusters"
    assert "clusters (cluster), each counting once" in found.method
    plain = fit.marginal_effect("arm", scale=scale)
    assert plain.details["average"] == "participants"
    assert plain.estimate != pytest.approx(found.estimate, rel=1e-6)
    adjusted = fit.adjusted_means("arm", average="clusters")
    assert [row.estimate for row in adjusted] == pytest.approx(means, rel=1e-10)


@pytest.mark.parametrize(("family", "scale"), [("binomial", "risk_ratio"), ("binomial", "odds_ratio"), ("poisson", "rate_ratio"), ("gaussian", "mean_difference")])  # fmt: skip
def test_errors_of_cluster_averages_equal_numeric_derivatives(family, scale):
    fit = fitted(family)
    turn = np.log if scale.endswith("ratio") else float

    def effect(shift):
        solution = replace(fit.fitted.solution, beta=fit.fitted.solution.beta + shift)
        moved = replace(fit, fitted=replace(fit.fitted, solution=solution))
        return turn(moved.marginal_effect("arm", scale=scale, average="clusters").estimate)

    matrix = fit.covariance.matrix
    step = 1e-5 * np.sqrt(np.diag(matrix))
    units = np.eye(len(matrix))
    gradient = np.array([(effect(u * s) - effect(-u * s)) / (2 * s) for u, s in zip(units, step, strict=True)])
    found = fit.marginal_effect("arm", scale=scale, average="clusters")
    assert found.se == pytest.approx(np.sqrt(gradient @ matrix @ gradient), rel=1e-6)


def test_slopes_and_subgroups_over_clusters():
    fit = fitted("binomial")
    slope = fit.marginal_effect("x", average="clusters")
    h = 1e-5
    up, down = (fit.predict(DATA.assign(x=DATA["x"] + s)) for s in (h, -h))
    share = share_of_rows(np.ones(len(DATA)), pd.factorize(DATA["cluster"])[0])
    assert slope.estimate == pytest.approx(share @ (up - down) / (2 * h), rel=1e-6)
    girls = fit.marginal_effect("arm", where={"sex": "f"}, average="clusters")
    part = DATA[DATA["sex"] == "f"]
    high, low = (fit.predict(part.assign(arm=arm)) for arm in ("programme", "usual"))
    within = pd.Series(high - low).groupby(part["cluster"].to_numpy()).mean()
    assert girls.estimate == pytest.approx(within.mean(), rel=1e-10)


def test_clusters_may_be_named_and_must_be_known():
    plain = we.regression("score ~ arm * x", DATA, levels=LEVELS)
    with pytest.raises(DesignError, match="no clusters"):
        plain.marginal_effect("arm", average="clusters")
    named = plain.marginal_effect("arm", average="clusters", cluster="cluster")
    own = we.regression("score ~ arm * x", DATA, levels=LEVELS, vcov="CR2", cluster="cluster")
    assert named.estimate == own.marginal_effect("arm", average="clusters").estimate
    with pytest.raises(DesignError, match="makes no use of a cluster"):
        plain.marginal_effect("arm", cluster="cluster")
    with pytest.raises(DesignError, match="average"):
        plain.marginal_effect("arm", average="schools")


# --- informative cluster size


def test_the_two_averages_of_the_check():
    check = fitted("gaussian", "arm").cluster_size_check("arm")
    participants, clusters, difference = check.estimates
    plain = fitted("gaussian", "arm").marginal_effect("arm")
    assert participants.to_dict() | {"term": ""} == plain.to_dict() | {"term": ""}
    summaries = we.cluster_summaries("score ~ arm", DATA, cluster="cluster", variance="robust", levels=LEVELS)
    assert clusters.estimate == pytest.approx(summaries.estimates[0].estimate, rel=1e-9)
    assert clusters.se == pytest.approx(summaries.estimates[0].se, rel=1e-8)
    assert clusters.df == pytest.approx(summaries.estimates[0].df, rel=1e-8)
    assert difference.estimate == pytest.approx(clusters.estimate - participants.estimate)
    assert difference.details["compares"] == ("clusters", "participants")
    assert [row.term for row in check.coefficients] == ["log_cluster_size", "arm[programme]:log_cluster_size"]
    assert check.test.df_numerator == 2.0
    assert check.sizes["clusters"] == 16
    ratio = fitted("binomial", "arm + x").cluster_size_check("arm", scale="risk_ratio").differences[0]
    assert ratio.scale == "risk_ratio"
    assert ratio.ci_low < ratio.estimate < ratio.ci_high


def sized(rng, clusters, *, informative):
    sizes = rng.integers(5, 60, clusters)
    code = np.repeat(np.arange(clusters), sizes)
    arm = rng.permutation(np.arange(clusters) % 2)
    effect = 0.3 + informative * (np.log(sizes) - 3.2)
    y = effect[code] * arm[code] + 0.3 * rng.normal(size=clusters)[code] + rng.normal(size=len(code))
    return pd.DataFrame({"y": y, "arm": arm[code], "c": code})


@pytest.mark.simulation
def test_the_difference_of_averages_holds_its_level_and_finds_what_there_is():
    rng = np.random.default_rng(8)
    hits = {False: 0, True: 0}
    joint = 0
    repeats = 40
    for informative in (False, True):
        for _ in range(repeats):
            data = sized(rng, 24, informative=informative)
            fit = we.regression("y ~ arm", data, vcov="CR2", cluster="c")
            check = fit.cluster_size_check("arm")
            hits[informative] += check.differences[0].p_value < 0.05
            joint += informative and check.test.p_value < 0.05
    assert hits[False] <= 0.05 * repeats + 3 * (0.05 * 0.95 * repeats) ** 0.5
    assert hits[True] > 0.5 * repeats
    assert joint > 0.5 * repeats


def test_checks_that_cannot_be():
    even = DATA.groupby("cluster").head(12)
    with pytest.raises(DesignError, match="12 participants"):
        we.regression("score ~ arm", even, cluster="cluster", vcov="CR2", levels=LEVELS).cluster_size_check("arm")
    with pytest.raises(DesignError, match="no levels"):
        fitted("gaussian").cluster_size_check("x")
    fixed = we.regression("score ~ sex + cluster", DATA, cluster="cluster", vcov="CR2")
    check = fixed.cluster_size_check("sex")
    assert "only its product" in " ".join(check.notes)
    assert len(check.coefficients) == 1


# --- numbers a year


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_numbers_a_year_follow_from_marginal_effects(family):
    fit = fitted(family)
    scale = {"gaussian": "mean_difference", "binomial": "risk_difference", "poisson": "rate_difference"}[family]
    effect = fit.marginal_effect("arm", scale=scale)
    found = fit.impact("arm", per_year=4000, unit="families", event="referrals")
    for name in ("estimate", "se", "ci_low", "ci_high"):
        assert getattr(found.difference, name) == pytest.approx(4000 * getattr(effect, name), rel=1e-10)
    assert found.difference.p_value == pytest.approx(effect.p_value, rel=1e-9)
    means = fit.adjusted_means("arm")
    assert found.without.estimate == pytest.approx(4000 * means["arm[usual]"].estimate)
    assert found.with_programme.se == pytest.approx(4000 * means["arm[programme]"].se)
    assert found.percent_change[0] == pytest.approx(means[1].estimate / means[0].estimate - 1)
    if family != "gaussian":
        ratio = fit.marginal_effect("arm", scale="risk_ratio" if family == "binomial" else "rate_ratio")
        assert found.percent_change[1:] == pytest.approx((ratio.ci_low - 1, ratio.ci_high - 1), rel=1e-9)
        assert found.relative.p_value == pytest.approx(ratio.p_value, rel=1e-9)
    assert "4,000 families a year" in str(found)
    assert [row["figure"] for row in found.to_dicts()][:4] == ["without", "with", "difference", "relative"]


def test_a_number_needed_only_where_it_means_something():
    rng = np.random.default_rng(1)
    arm = np.repeat(["usual", "programme"], 400)
    sure = pd.DataFrame({"y": (rng.random(800) < np.where(arm == "usual", 0.5, 0.3)).astype(int), "arm": arm})
    fit = we.regression("y ~ arm", sure, family="binomial", levels=LEVELS)
    found = fit.impact("arm", per_year=1000)
    effect = fit.marginal_effect("arm")
    assert found.number_needed.estimate == pytest.approx(1 / abs(effect.estimate))
    assert (found.number_needed.ci_low, found.number_needed.ci_high) == pytest.approx(
        (1 / abs(effect.ci_low), 1 / abs(effect.ci_high))
    )
    assert found.number_needed.ci_low < found.number_needed.estimate < found.number_needed.ci_high
    some = sure.iloc[np.r_[:20, 400:420]]
    unsure = we.regression("y ~ arm", some, family="binomial", levels=LEVELS).impact("arm", per_year=1000)
    assert unsure.number_needed is None
    assert "No number of children" in " ".join(unsure.notes)
    assert fitted("poisson").impact("arm", per_year=10).number_needed is None


def test_impacts_that_cannot_be():
    fit = fitted("gaussian")
    with pytest.raises(DesignError, match="per_year"):
        fit.impact("arm", per_year=0)
    with pytest.raises(DesignError, match="numeric"):
        fit.impact("x", per_year=10)
    with pytest.raises(DesignError, match="rng is for a bootstrap"):
        fit.impact("arm", per_year=10, rng=1)
    low = we.regression("y ~ arm", DATA.assign(y=DATA["score"] - 60), levels=LEVELS)
    with pytest.raises(DesignError, match="averages above 0"):
        low.impact("arm", per_year=10)


def test_several_arms_have_an_impact_each():
    data = trial(11, 18, 3, 3)
    found = we.regression("hit ~ arm", data, family="binomial", levels=LEVELS).impact("arm", per_year=100)
    assert [each.term for each in found] == ["arm[programme]", "arm[enhanced]"]


# --- replicates


def doubled(counts):
    """The data with clusters repeated, each copy a cluster of its own."""
    names = sorted(DATA["cluster"].unique())
    parts = [
        DATA[DATA["cluster"] == name].assign(cluster=f"{name} {copy}")
        for name, count in zip(names, counts, strict=True)
        for copy in range(int(count))
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_a_cluster_drawn_twice_counts_twice(family):
    fit = fitted(family)
    counts = np.random.default_rng(3).multinomial(16, np.full(16, 1 / 16)).astype(float)
    codes, _ = pd.factorize(DATA["cluster"], sort=True)
    again = fit.redrawn(counts, Clusters(name="cluster", codes=codes))
    data = doubled(counts)
    options = {"exposure": "exposure"} if family == "poisson" else {}
    direct = we.regression(
        fit.formula, data, family=family, vcov="CR2", cluster="cluster", levels=LEVELS, **options
    )
    for term, value in direct.coefficients.items():
        assert again.coefficients[term] == pytest.approx(value, rel=1e-7, abs=1e-9)
    for average in ("participants", "clusters"):
        one, two = (each.marginal_effect("arm", average=average).estimate for each in (again, direct))
        assert one == pytest.approx(two, rel=1e-8)


def test_copies_take_whole_clusters():
    rows, copy = copies(np.array([2.0, 0.0, 1.0]), np.array([0, 1, 2, 0, 2]))
    assert rows.tolist() == [0, 3, 0, 3, 2, 4]
    assert copy.tolist() == [0, 0, 1, 1, 2, 2]


def test_bootstrap_intervals_of_marginal_effects():
    fit = fitted("binomial", "arm + x")
    options = {"reps": 59, "strata": "arm", "progress": False}
    found = fit.marginal_effect("arm", interval="bootstrap", rng=5, **options)
    again = fit.marginal_effect("arm", interval="bootstrap", rng=5, **options)
    assert found == again
    assert found != fit.marginal_effect("arm", interval="bootstrap", rng=6, **options)
    delta = fit.marginal_effect("arm")
    assert found.estimate == delta.estimate
    assert 0.5 < found.se / delta.se < 1.4
    assert found.ci_low < found.estimate < found.ci_high
    assert "bootstrap of clusters within arm, 59 replicates" in found.method
    assert "delta" not in found.method
    assert "CR2" not in found.method
    assert "16 clusters: intervals from draws of so few are too short" in found.warnings
    basic = fit.marginal_effect("arm", interval="basic", rng=5, **options)
    assert basic.ci_low == pytest.approx(2 * found.estimate - found.ci_high)
    ratio = fit.marginal_effect("arm", scale="risk_ratio", interval="bootstrap", rng=5, **options)
    assert ratio.p_value == found.p_value
    impact = fit.impact("arm", per_year=500, interval="bootstrap", rng=5, **options)
    assert impact.difference.ci_low == pytest.approx(500 * found.ci_low)
    assert impact.relative.ci_high == pytest.approx(ratio.ci_high)


def test_bootstraps_that_cannot_be():
    fit = fitted("binomial", "arm + x")
    with pytest.raises(DesignError, match="source of randomness"):
        fit.marginal_effect("arm", interval="bootstrap")
    with pytest.raises(DesignError, match="strata is for a bootstrap"):
        fit.marginal_effect("arm", strata="arm")
    effect = fit.marginal_effect("arm")
    lost = np.where(np.arange(20) < 11, np.nan, 0.1)
    with pytest.raises(DesignError, match="11 of 20 replicates have no estimate"):
        with_interval(effect, lost, Resampling(draw="clusters", reps=20, rng=1), 0.95)
    some = with_interval(effect, lost[9:], Resampling(draw="clusters", reps=11, rng=1), 0.95)
    assert "2 of 11 bootstrap replicates have no estimate" in some.warnings
    plain = we.regression("score ~ arm", DATA, levels=LEVELS)
    with pytest.raises(DesignError, match="no clusters"):
        plain.marginal_effect("arm", interval="bootstrap", rng=1)


def test_the_size_of_a_cluster_of_rates_is_its_exposure():
    """One row a school, or a row a year of it: the check counts pupils, not rows."""
    rng = np.random.default_rng(6)
    school = np.repeat(np.arange(20), rng.integers(1, 4, 20))
    pupils = rng.integers(100, 900, school.size)
    rows = pd.DataFrame({"school": school, "arm": school % 2, "pupils": pupils, "s47": rng.poisson(0.02 * pupils)})
    whole = rows.groupby("school", as_index=False).agg({"arm": "first", "pupils": "sum", "s47": "sum"})
    checks = []
    for frame in (rows, whole):
        fit = we.regression("s47 ~ arm", frame, family="poisson", exposure="pupils", vcov="CR2", cluster="school")
        checks.append(fit.cluster_size_check("arm"))
    one, other = checks
    assert one.sizes == pytest.approx(other.sizes)
    assert one.sizes["largest"] == whole.pupils.max()
    assert "units of exposure" in one.notes[0]
    for first, second in zip(one.estimates, other.estimates, strict=True):
        # CR2's adjustment (clubSandwich's) is not that of the summed rows: errors differ in the third digit
        assert first.estimate == pytest.approx(second.estimate, rel=1e-9)
    rates = whole.assign(rate=whole.s47 / whole.pupils).groupby("arm").rate.mean()
    assert one.estimates[1].estimate == pytest.approx(rates[1] / rates[0], rel=1e-8)
