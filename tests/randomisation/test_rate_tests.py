"""Randomisation tests of rates: events over time at risk, against brute force and other programs' models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError

ARMS = ("usual", "programme")


def children(units, rng, *, ratio=1.0, arms=None, events=1.0):
    """Children of teams with years at risk and events; teams differ in their rate."""
    team = np.repeat(np.arange(units), rng.integers(3, 9, units))
    frame = pd.DataFrame({"team": [f"t{k:02d}" for k in team], "la": [f"L{k % 2}" for k in team]})
    frame["age"] = rng.integers(0, 17, len(frame))
    frame["years"] = rng.uniform(0.1, 2.0, len(frame)).round(3)
    rate = events * np.exp(0.05 * frame["age"] + rng.normal(0, 0.3, units)[team])
    if arms is not None:
        rate = rate * np.where(frame["team"].map(arms) == "programme", ratio, 1.0)
    return frame.assign(moves=rng.poisson(rate * frame["years"]))


def allocated(units, method=None, arms=ARMS):
    teams = pd.DataFrame({"team": [f"t{k:02d}" for k in range(units)], "la": [f"L{k % 2}" for k in range(units)]})
    return we.randomise(teams, unit="team", method=method or we.Complete(), arms=arms, seed="a seed for rates")


def arms_of(allocation):
    return dict(zip(allocation.table["team"], allocation.table["arm"].astype(str), strict=True))


def trial(units, seed, method=None, **options):
    allocation = allocated(units, method)
    return allocation, children(units, np.random.default_rng(seed), arms=arms_of(allocation), **options)


def by_hand(allocation, frame, statistic):
    """Values over the reference set and the observed one, rebuilding the arms of the rows each time."""
    keys, names = allocation.table["team"].tolist(), np.array(allocation.arms.names)
    values = [
        statistic(frame, frame["team"].map(dict(zip(keys, names[row], strict=True))))
        for row in allocation.reference_set()
    ]
    return statistic(frame, frame["team"].map(arms_of(allocation))), np.array(values)


def log_ratio(frame, arm, expected="years"):
    rates = frame.groupby(arm.to_numpy())[["moves", expected]].sum()
    with np.errstate(divide="ignore"):
        logs = np.log(rates["moves"]) - np.log(rates[expected])
    return logs["programme"] - logs["usual"]


def p_of(observed, values, allocation):
    chances = allocation.reference_probabilities
    weights = np.full(len(values), 1 / len(values)) if chances is None else chances
    return float(weights[np.abs(values) >= abs(observed) - 1e-9].sum())


def rate(allocation, frame, formula="moves ~ arm", **options):
    return we.randomisation_test(allocation, frame, formula, statistic="rate_ratio", exposure="years", **options)


@pytest.mark.property
@pytest.mark.parametrize(
    "method",
    [we.Complete(), we.Stratified(by="la"), we.PermutedBlocks(sizes=(2, 4))],
    ids=lambda method: method.kind,
)
def test_exact_tests_equal_brute_force(method):
    allocation, frame = trial(8, 1, method, ratio=0.5)
    observed, values = by_hand(allocation, frame, log_ratio)
    found = rate(allocation, frame)
    assert found.estimate == pytest.approx(np.exp(observed), rel=1e-12)
    assert found.statistic == pytest.approx(observed, rel=1e-12)
    assert found.scale == "rate_ratio"
    assert found.p_value == pytest.approx(p_of(observed, values, allocation), abs=1e-12)
    assert found.details["exact"]
    assert found.details["n_allocations"] == allocation.n_permitted
    assert found.details["exposure"] == pytest.approx(frame["years"].sum())


def expected_by_statsmodels(frame):
    covariates = sm.add_constant(pd.DataFrame({"age": frame["age"], "la": (frame["la"] == "L1") * 1.0}))
    fit = sm.GLM(frame["moves"], covariates, family=sm.families.Poisson(), exposure=frame["years"]).fit(tol=1e-14)
    return fit.fittedvalues


@pytest.mark.property
def test_covariates_replace_time_by_the_events_that_they_expect():
    allocation, frame = trial(8, 2, ratio=0.6)
    expecting = frame.assign(expected=expected_by_statsmodels(frame))
    observed, values = by_hand(allocation, expecting, lambda f, arm: log_ratio(f, arm, "expected"))
    found = rate(allocation, frame, "moves ~ arm + age + la")
    assert found.statistic == pytest.approx(observed, rel=1e-7)
    assert found.p_value == pytest.approx(p_of(observed, values, allocation), abs=1e-12)
    treated = frame["team"].map(arms_of(allocation)) == "programme"
    without = frame.assign(moves=frame["moves"] / np.where(treated, found.estimate, 1.0))
    left = rate(allocation, without, "moves ~ arm + age + la")
    assert (left.statistic, left.p_value) == (pytest.approx(0.0, abs=1e-9), pytest.approx(1.0))
    poisson = we.regression(
        "moves ~ arm + age + la", frame.assign(arm=treated * 1.0), family="poisson", exposure="years"
    ).ratios()["arm"]
    assert found.estimate == pytest.approx(poisson.estimate, rel=0.02)
    assert "expected from the covariates" in found.method


@pytest.mark.property
@pytest.mark.parametrize("formula", ["moves ~ arm", "moves ~ arm + age"])
@pytest.mark.parametrize("seed", [3, 4])
def test_the_interval_holds_the_ratios_that_are_not_rejected(formula, seed):
    """Taking a ratio out of the events of the treated and testing again: p falls to 1 - level at the ends."""
    allocation, frame = trial(8, seed, we.Stratified(by="la"), ratio=0.5)
    treated = frame["team"].map(arms_of(allocation)) == "programme"
    found = rate(allocation, frame, formula, ci=True, level=0.8)

    def p_at(ratio):
        moved = frame.assign(moves=frame["moves"] / np.where(treated, ratio, 1.0))
        return rate(allocation, moved, formula).p_value

    assert found.ci_low < found.estimate < found.ci_high
    assert p_at(found.estimate) == pytest.approx(1.0)
    for end, outward in ((found.ci_low, -1), (found.ci_high, 1)):
        assert 0 < end < np.inf
        assert p_at(end * np.exp(-outward * 1e-4)) > 0.2
        for step in (1e-4, 0.1, 1.0, 3.0):
            assert p_at(end * np.exp(outward * step)) <= 0.2 + 1e-12


def test_the_exact_interval_is_that_of_a_fine_grid_where_arms_may_lose_all_events():
    allocation, frame = trial(8, 5, ratio=0.3, events=0.15)
    assert (frame.groupby("team")["moves"].sum() == 0).sum() >= 2
    treated = frame["team"].map(arms_of(allocation)) == "programme"
    found = rate(allocation, frame, ci=True, level=0.9)
    grid = np.exp(np.linspace(-6, 6, 241))
    kept = [
        r
        for r in grid
        if rate(allocation, frame.assign(moves=frame["moves"] / np.where(treated, r, 1.0))).p_value > 0.1
    ]
    assert min(kept) == pytest.approx(max(found.ci_low, grid[0]), rel=0.06)
    assert max(kept) == pytest.approx(min(found.ci_high, grid[-1]), rel=0.06)


def test_allocations_that_leave_an_arm_without_events_are_extreme():
    allocation = allocated(6)
    treated = [key for key, arm in arms_of(allocation).items() if arm == "programme"]
    some = [key for key in arms_of(allocation) if key not in treated]
    frame = pd.DataFrame({"team": sorted(arms_of(allocation)), "years": 1.0}).assign(moves=0)
    frame.loc[frame["team"].isin([treated[0], some[0]]), "moves"] = [3, 5]
    found = rate(allocation, frame)
    observed, values = by_hand(allocation, frame, log_ratio)
    assert np.isinf(values).any()
    assert found.p_value == pytest.approx(p_of(observed, values, allocation))
    assert np.isfinite(found.details["null_sd"])
    with pytest.raises(DesignError, match="no events or no rows"):
        rate(allocation, frame.assign(moves=lambda d: d["moves"].where(d["team"] != treated[0], 0)))


@pytest.mark.property
def test_probabilities_that_differ_are_weighted_for():
    teams = pd.DataFrame(
        {"team": [f"t{k:02d}" for k in range(9)], "n": np.random.default_rng(4).integers(5, 60, 9)}
    )
    method = we.Constrained(on="n", accept=0.2)
    allocation = we.randomise(teams, unit="team", method=method, arms={"usual": 1, "programme": 2}, seed="s")
    frame = children(9, np.random.default_rng(6))
    table = allocation.table.set_index("team")
    w, arm = 1 / frame["team"].map(table["probability"]), frame["team"].map(table["arm"].astype(str))
    weighted = frame.assign(moves=frame["moves"] * w, years=frame["years"] * w)
    found = rate(allocation, frame, ci=True)
    assert found.estimate == pytest.approx(np.exp(log_ratio(weighted, arm)))
    assert found.details["weighted"]
    assert found.ci_low < found.estimate < found.ci_high


@pytest.mark.property
def test_a_wedge_is_adjusted_for_its_periods():
    las = pd.DataFrame({"la": list("abcde"), "wave": [1, 1, 2, 2, 2]})
    method = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="wave")
    allocation = we.randomise(las, unit="la", method=method, seed="s")
    frame = las.merge(pd.DataFrame({"period": np.repeat(np.arange(1, 7), 8)}), how="cross")
    rng = np.random.default_rng(7)
    frame["years"] = rng.uniform(0.2, 1.0, len(frame))
    frame["moves"] = rng.poisson(frame["years"] * np.exp(0.4 * frame["period"]))
    found = we.randomisation_test(
        allocation, frame, "moves ~ treated + factor(period)", statistic="rate_ratio", exposure="years",
        arm="treated", period="period", ci=True,
    )  # fmt: skip
    assert found.details["n_allocations"] == 12
    per_period = frame.groupby("period")[["moves", "years"]].sum()
    # period effects alone: what is expected in a period is its own rate
    frame["expected"] = frame["years"] * frame["period"].map(per_period["moves"] / per_period["years"])
    values = []
    for codes in [allocation.codes, *allocation.reference_set()]:
        start = frame["la"].map(dict(zip(allocation.table["la"], np.arange(2, 7)[codes], strict=True)))
        arm = pd.Series(np.where(frame["period"] >= start, "programme", "usual"))
        values.append(log_ratio(frame, arm, "expected"))
    assert found.statistic == pytest.approx(values[0], rel=1e-7)
    assert found.p_value == pytest.approx(np.mean(np.abs(values[1:]) >= abs(values[0]) - 1e-9))
    # 1/12 is the smallest p-value: every ratio is inside
    assert (found.ci_low, found.ci_high) == (0.0, np.inf)


def test_three_arms_compare_two_of_them():
    allocation = allocated(6, arms=("a", "b", "c"))
    frame = children(6, np.random.default_rng(8))
    found = rate(allocation, frame, contrast=("c", "b"))
    arm = frame["team"].map(arms_of(allocation))
    sums = frame.groupby(arm.to_numpy())[["moves", "years"]].sum()
    rates = sums["moves"] / sums["years"]
    assert found.estimate == pytest.approx(rates["c"] / rates["b"])
    with pytest.raises(DesignError, match="two arms"):
        rate(allocation, frame, contrast=("c", "b"), ci=True)


def test_a_poisson_fit_is_tested_through_its_refits():
    """The coefficient of the arm alone is the logarithm of the ratio; with time at risk as exposure."""
    allocation, frame = trial(8, 9, ratio=0.5)
    given = frame.assign(arm=frame["team"].map(arms_of(allocation)))
    fit = we.regression("moves ~ arm", given, family="poisson", exposure="years", levels={"arm": list(ARMS)})
    through, own = we.randomisation_test(allocation, fit), rate(allocation, frame)
    assert through.estimate == pytest.approx(np.log(own.estimate), rel=1e-6)
    assert through.p_value == pytest.approx(own.p_value, abs=1e-12)


def test_sides_draws_and_missing_rows():
    allocation, frame = trial(8, 10, ratio=0.4)
    less = rate(allocation, frame, sides=1, alternative="less").p_value
    greater = rate(allocation, frame, sides=1, alternative="greater").p_value
    assert less + greater == pytest.approx(1 + 1 / 70)
    assert rate(allocation, frame).p_value == pytest.approx(2 * min(less, greater))
    frame.loc[[0, 4], "years"] = np.nan
    assert rate(allocation, frame).details["rows_dropped"] == 2
    many, more = trial(30, 11)
    with pytest.raises(DesignError, match="needs rng"):
        rate(many, more)
    drawn = rate(many, more, rng=1, draws=499, ci=True)
    assert drawn.p_value * 500 == pytest.approx(round(drawn.p_value * 500))
    assert drawn.ci_low < drawn.estimate < drawn.ci_high


def test_what_cannot_be_asked():
    allocation, frame = trial(8, 12)
    for arguments, match in [
        ({"statistic": "rate_ratio"}, "go together"),
        ({"exposure": "years"}, "go together"),
        ({"statistic": "rate_ratio", "exposure": "year"}, "did you mean 'years'"),
        ({"statistic": log_ratio, "exposure": "years"}, "go together"),
    ]:
        with pytest.raises(DesignError, match=match):
            we.randomisation_test(allocation, frame, "moves ~ arm", **arguments)
    with pytest.raises(DataError, match="time at risk is above 0"):
        rate(allocation, frame.assign(years=frame["years"].where(frame.index != 3, 0.0)))
    with pytest.raises(DataError, match="not below 0"):
        rate(allocation, frame.assign(moves=frame["moves"] - 1))
    with pytest.raises(DataError, match="not numbers"):
        rate(allocation, frame.assign(years="one"))
    with pytest.raises(DataError, match="in all"):
        rate(allocation, frame.assign(moves=0))
    given = frame.assign(arm=frame["team"].map(arms_of(allocation)))
    fit = we.regression("moves ~ arm", given, family="poisson", exposure="years", levels={"arm": list(ARMS)})
    with pytest.raises(DesignError, match="own formula"):
        we.randomisation_test(allocation, fit, exposure="years")


@pytest.mark.simulation
def test_the_size_of_the_test_is_its_level():
    """True nulls with overdispersed teams and unlike times at risk: 5% of exact tests in 12 teams reject."""
    allocation = allocated(12, we.Stratified(by="la"))
    rng = np.random.default_rng(13)
    reps = 400
    rejected = sum(rate(allocation, children(12, rng, events=0.4)).p_value <= 0.05 for _ in range(reps))
    share = rejected / reps
    assert abs(share - 0.05) < 3 * np.sqrt(0.05 * 0.95 / reps)
