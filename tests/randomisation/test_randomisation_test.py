"""Randomisation tests against brute force: every statistic, every allocation, one at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.randomisation.testing.linear import LeastSquares
from wwc_eval.randomisation.testing.rows import exposure_of

SEED = "a seed for tests"


def children(units: int, rng, *, effect=0.0, sizes=(3, 12)) -> pd.DataFrame:
    team = np.repeat(np.arange(units), rng.integers(*sizes, units))
    frame = pd.DataFrame({"team": [f"t{k:03d}" for k in team], "la": [f"L{k % 3}" for k in team]})
    frame["age"] = rng.normal(size=len(frame)).round(2)
    frame["y"] = rng.normal(size=units)[team] + 0.5 * frame["age"] + rng.normal(size=len(frame))
    return frame.assign(y=lambda d: d["y"] + effect * (team % 2))


def teams_of(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby("team", as_index=False).agg(la=("la", "first"), n=("age", "size"))


def allocated(frame, method=None, arms=("control", "programme")):
    return we.randomise(teams_of(frame), unit="team", method=method or we.Complete(), arms=arms, seed=SEED)


def by_hand(allocation, frame, statistic):
    """p-value and values over every permitted allocation, by rebuilding the column of the arm each time."""
    reference = allocation.reference_set()
    probabilities = allocation.reference_probabilities
    weights = np.full(len(reference), 1 / len(reference)) if probabilities is None else probabilities
    names, keys = np.array(allocation.arms.names), list(allocation.table["team"])

    def value(codes):
        return statistic(frame.assign(arm=frame["team"].map(dict(zip(keys, names[codes], strict=True)))))

    values = np.array([value(codes) for codes in reference])
    observed = value(allocation.table["arm"].cat.codes.to_numpy())
    return observed, float(weights[np.abs(values) >= abs(observed) - 1e-9].sum()), values


def difference(frame):
    return frame.loc[frame["arm"] == "programme", "y"].mean() - frame.loc[frame["arm"] == "control", "y"].mean()


def coefficient(frame, covariates=("age",)):
    X = np.column_stack([np.ones(len(frame)), frame["arm"] == "programme", *(frame[c] for c in covariates)])
    return np.linalg.lstsq(X.astype(float), frame["y"], rcond=None)[0][1]


SCHEMES = {
    "complete": we.Complete(),
    "stratified": we.Stratified(by="la"),
    "pairs": we.MatchedPairs(on=["n"]),
    "constrained": we.Constrained(on=["n"], accept=0.3),
}


@pytest.mark.property
@pytest.mark.parametrize("scheme", SCHEMES)
def test_exact_tests_equal_brute_force(scheme):
    frame = children(8, np.random.default_rng(1), effect=0.8)
    allocation = allocated(frame, SCHEMES[scheme])
    observed, p, _ = by_hand(allocation, frame, difference)
    found = we.randomisation_test(allocation, frame, "y ~ arm")
    assert found.estimate == pytest.approx(observed, abs=1e-12)
    assert found.p_value == pytest.approx(p, abs=1e-12)
    assert found.details["exact"]
    assert found.details["n_allocations"] == allocation.n_permitted
    observed, p, values = by_hand(allocation, frame, coefficient)
    found = we.randomisation_test(allocation, frame, "y ~ arm + age", statistic="regression")
    assert found.estimate == pytest.approx(observed, abs=1e-10)
    assert found.p_value == pytest.approx(p, abs=1e-12)
    weights = allocation.reference_probabilities
    assert found.details["null_sd"] == pytest.approx(np.sqrt(np.cov(values, aweights=weights, ddof=0)), abs=1e-10)


@pytest.mark.property
def test_ranks_equal_a_permutation_of_ranks():
    frame = children(9, np.random.default_rng(2), sizes=(1, 2)).assign(y=lambda d: d["y"].round(0))
    allocation = allocated(frame)
    found = we.randomisation_test(allocation, frame, "y ~ arm", statistic="rank")
    ranked = frame.assign(y=stats.rankdata(frame["y"]))
    observed, p, _ = by_hand(allocation, ranked, difference)
    assert (found.estimate, found.p_value) == (pytest.approx(observed), pytest.approx(p))
    assert found.units == "mean ranks"
    with pytest.raises(DesignError, match="no interval"):
        we.randomisation_test(allocation, frame, "y ~ arm", statistic="rank", ci=True)


@pytest.mark.property
def test_a_statistic_of_ones_own_equals_the_fast_one():
    frame = children(6, np.random.default_rng(3), effect=1.0)
    allocation = allocated(frame)
    fast = we.randomisation_test(allocation, frame, "y ~ arm", ci=True, level=0.8)
    own = we.randomisation_test(allocation, frame, "y ~ arm", statistic=difference, ci=True, level=0.8)
    assert own.p_value == pytest.approx(fast.p_value, abs=1e-12)
    assert own.ci_low == pytest.approx(fast.ci_low, abs=1e-4)
    assert own.ci_high == pytest.approx(fast.ci_high, abs=1e-4)
    assert "statistic 'difference'" in own.method


@pytest.mark.property
@pytest.mark.parametrize("formula", ["y ~ arm", "y ~ arm + age + la"])
@pytest.mark.parametrize("scheme", ["complete", "stratified", "constrained"])
def test_the_interval_holds_the_effects_that_are_not_rejected(scheme, formula):
    frame = children(8, np.random.default_rng(4), effect=1.0)
    allocation = allocated(frame, SCHEMES[scheme])
    statistic = "difference_in_means" if formula == "y ~ arm" else "regression"
    treated = dict(zip(allocation.table["team"], allocation.table["arm"] == "programme", strict=True))
    received = frame["team"].map(treated).astype(float)

    def p_at(shift):
        moved = frame.assign(y=frame["y"] - shift * received)
        return we.randomisation_test(allocation, moved, formula, statistic=statistic).p_value

    found = we.randomisation_test(allocation, frame, formula, statistic=statistic, ci=True, level=0.8)
    for end, outward in ((found.ci_low, -1), (found.ci_high, 1)):
        if np.isfinite(end):
            assert p_at(end - outward * 1e-6) > 0.2
            assert p_at(end + outward * 1e-6) <= 0.2 + 1e-12
            for far in (0.5, 2.0, 10.0):
                assert p_at(end + outward * far) <= 0.2 + 1e-12
    assert found.ci_low <= found.estimate <= found.ci_high


def test_an_interval_that_no_effect_leaves_is_infinite():
    frame = children(4, np.random.default_rng(5))
    found = we.randomisation_test(allocated(frame), frame, "y ~ arm", ci=True)
    assert (found.ci_low, found.ci_high) == (-np.inf, np.inf)
    assert any("can reach p < 0.05" in text for text in found.warnings)


@pytest.mark.property
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("arms", [2, 3])
def test_least_squares_of_all_allocations_equals_one_at_a_time(arms, weighted):
    rng = np.random.default_rng(6)
    frame = children(7, rng)
    names = [f"arm{k}" for k in range(arms)]
    allocation = allocated(frame, we.Simple(), arms=names)
    exposure = exposure_of(allocation, frame, np.arange(len(frame)), arm="arm", period=None)
    Z = np.column_stack([np.ones(len(frame)), frame["age"], frame["la"] == "L1", frame["la"] == "L1"]).astype(
        float
    )
    weights = rng.uniform(1, 4, (7, arms)) if weighted else None
    contrast = np.r_[-1.0, np.zeros(arms - 2), 1.0]
    squares = LeastSquares(exposure=exposure, units=7, arms=arms, Z=Z, contrast=contrast, weights=weights)
    codes = np.array([list(each) for each in itertools.product(range(arms), repeat=7)], dtype=np.int8)[::11]
    Y = np.column_stack([frame["y"], frame["age"] ** 2])
    found = squares.coefficients(Y, codes)
    for k, code in enumerate(codes):
        row_arm = code[exposure.place]
        T = np.column_stack([row_arm == a for a in range(1, arms)]).astype(float)
        w = np.ones(len(frame)) if weights is None else weights[exposure.place, row_arm]
        X = np.column_stack([T, Z[:, :3]]) * np.sqrt(w)[:, None]
        if np.linalg.matrix_rank(X) < X.shape[1]:
            assert np.isnan(found[k]).all()
            continue
        beta = np.linalg.lstsq(X, Y * np.sqrt(w)[:, None], rcond=None)[0]
        np.testing.assert_allclose(found[k], contrast[1:] @ beta[: arms - 1], atol=1e-8)


@pytest.mark.property
def test_probabilities_that_differ_are_weighted_for():
    frame = children(9, np.random.default_rng(7), effect=1.0)
    method = we.Constrained(on=["n"], accept=0.2)
    allocation = allocated(frame, method, arms={"control": 1, "programme": 2})
    assert np.ptp(allocation.probabilities, axis=0).max() > 0.01
    weighted = we.randomisation_test(allocation, frame, "y ~ arm")
    plain = we.randomisation_test(allocation, frame, "y ~ arm", weights=None)
    assert (weighted.details["weighted"], plain.details["weighted"]) == (True, False)
    code = allocation.table["arm"].cat.codes.to_numpy()
    share = dict(zip(allocation.table["team"], 1 / allocation.table["probability"], strict=True))
    arm = frame["team"].map(dict(zip(allocation.table["team"], code, strict=True))).to_numpy()
    w = frame["team"].map(share).to_numpy()
    y = frame["y"].to_numpy()
    wanted = np.average(y[arm == 1], weights=w[arm == 1]) - np.average(y[arm == 0], weights=w[arm == 0])
    assert weighted.estimate == pytest.approx(wanted, abs=1e-12)


@pytest.mark.property
def test_a_stepped_wedge_is_tested_over_its_twelve_allocations():
    rng = np.random.default_rng(8)
    las = pd.DataFrame({"la": list("abcde"), "wave": [1, 1, 2, 2, 2]})
    method = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="wave")
    allocation = we.randomise(las, unit="la", method=method, seed=SEED)
    frame = las.merge(pd.DataFrame({"period": np.repeat(np.arange(1, 7), 20)}), how="cross")
    frame["y"] = rng.normal(size=len(frame)) + 0.1 * frame["period"]
    found = we.randomisation_test(
        allocation,
        frame,
        "y ~ treated + factor(period) + la",
        statistic="regression",
        arm="treated",
        period="period",
    )
    assert found.details["n_allocations"] == 12
    assert found.details["exact"]
    assert found.details["smallest_p_value"] == pytest.approx(1 / 12)

    def value(codes):
        crossing = np.array([2, 3, 4, 5, 6])[codes]
        start = frame["la"].map(dict(zip(allocation.table["la"], crossing, strict=True)))
        X = np.column_stack(
            [
                frame["period"] >= start,
                pd.get_dummies(frame["period"]),
                pd.get_dummies(frame["la"], drop_first=True),
            ]
        ).astype(float)
        return np.linalg.lstsq(X, frame["y"], rcond=None)[0][0]

    values = np.array([value(codes) for codes in allocation.reference_set()])
    observed = value(allocation.table["sequence"].cat.codes.to_numpy())
    assert found.estimate == pytest.approx(observed, abs=1e-10)
    assert found.p_value == pytest.approx(np.mean(np.abs(values) >= abs(observed) - 1e-9))
    with pytest.raises(DesignError, match="depends on its period"):
        we.randomisation_test(allocation, frame, "y ~ treated", arm="treated")


@pytest.mark.property
def test_a_mixed_model_is_tested_through_its_refits():
    frame = children(8, np.random.default_rng(9), effect=1.0)
    allocation = allocated(frame)
    arm = dict(zip(allocation.table["team"], allocation.table["arm"].astype(str), strict=True))
    given = frame.assign(arm=frame["team"].map(arm))
    fit = we.multilevel_model("y ~ arm + age + (1 | team)", given, levels={"arm": list(allocation.arms.names)})
    found = we.randomisation_test(allocation, fit)
    assert found.details["exact"]
    assert found.details["n_allocations"] == 70

    def direct(data):
        model = we.multilevel_model(
            "y ~ arm + age + (1 | team)", data, levels={"arm": list(allocation.arms.names)}
        )
        return model.estimates["arm[programme]"].estimate

    observed, p, _ = by_hand(allocation, frame, direct)
    assert found.estimate == pytest.approx(observed, abs=1e-6)
    assert found.p_value == pytest.approx(p, abs=1e-12)
    interval = we.randomisation_test(allocation, fit, ci=True, level=0.8)
    assert interval.ci_low < found.estimate < interval.ci_high
    with pytest.raises(DesignError, match="own formula"):
        we.randomisation_test(allocation, fit, "y ~ arm")


def test_draws_need_a_source_and_repeat():
    frame = children(30, np.random.default_rng(10))
    allocation = allocated(frame)
    with pytest.raises(DesignError, match="needs rng"):
        we.randomisation_test(allocation, frame, "y ~ arm")
    first = we.randomisation_test(allocation, frame, "y ~ arm", draws=999, rng=1)
    second = we.randomisation_test(allocation, frame.sample(frac=1, random_state=3), "y ~ arm", draws=999, rng=1)
    assert first.p_value == second.p_value
    assert first.p_value * 1000 == pytest.approx(round(first.p_value * 1000))
    assert not first.details["exact"]
    assert first.details["monte_carlo_se"] == pytest.approx(np.sqrt(first.p_value * (1 - first.p_value) / 999))


def test_one_sided_tests_add_up():
    frame = children(8, np.random.default_rng(11), effect=2.0)
    allocation = allocated(frame)
    greater = we.randomisation_test(allocation, frame, "y ~ arm", sides=1, alternative="greater").p_value
    less = we.randomisation_test(allocation, frame, "y ~ arm", sides=1, alternative="less").p_value
    assert greater + less == pytest.approx(1 + 1 / 70)
    assert we.randomisation_test(allocation, frame, "y ~ arm").p_value == pytest.approx(2 * min(greater, less))


def test_what_cannot_be_asked():
    frame = children(8, np.random.default_rng(12))
    allocation = allocated(frame)
    for arguments, match in [
        ({"formula": "y ~ arm + age"}, "takes no covariates"),
        ({"formula": "y ~ 1"}, "not clear"),
        ({"formula": None}, "no formula"),
        ({"formula": "y ~ arm * age", "statistic": "regression"}, "a term of its own"),
        ({"formula": "y ~ arm + (1 | team)"}, "random part"),
        ({"formula": "y ~ arm", "sides": 3}, "must be 1 or 2"),
        ({"formula": "y ~ arm", "sides": 1}, "needs its side"),
        ({"formula": "y ~ arm", "alternative": "less"}, "sides=1"),
        ({"formula": "y ~ arm", "draws": 5}, "at least 19"),
        ({"formula": "y ~ arm", "statistic": "t"}, "statistic"),
        ({"formula": "y ~ arm", "period": "age"}, "stepped wedge"),
        ({"formula": "y ~ arm + team", "statistic": "regression"}, "cannot be told"),
    ]:
        with pytest.raises(DesignError, match=match):
            we.randomisation_test(allocation, frame, **arguments)
    with pytest.raises(DataError, match="were not allocated"):
        we.randomisation_test(allocation, frame.assign(team="x"), "y ~ arm")
    with pytest.raises(DataError, match="in all"):
        we.randomisation_test(allocation, frame.assign(y=1.0), "y ~ arm")
    with pytest.raises(DesignError, match="no column 'team'"):
        we.randomisation_test(allocation, frame.drop(columns="team"), "y ~ arm")
    wrong = frame.assign(arm="control")
    with pytest.raises(DataError, match="was allocated"):
        we.randomisation_test(allocation, wrong, "y ~ arm")


def test_missing_outcomes_and_units_without_rows_are_counted():
    frame = children(8, np.random.default_rng(13))
    allocation = allocated(frame)
    frame.loc[[1, 3], "y"] = np.nan
    found = we.randomisation_test(allocation, frame[frame["team"] != "t002"], "y ~ arm")
    assert found.details["units_without_rows"] == 1
    assert found.details["rows_dropped"] == 2 - int((frame.loc[[1, 3], "team"] == "t002").sum())


def test_a_binary_outcome_is_a_risk_difference():
    frame = children(8, np.random.default_rng(14)).assign(y=lambda d: (d["y"] > 0) * 1)
    found = we.randomisation_test(allocated(frame), frame, "y ~ arm", ci=True)
    assert found.scale == "risk_difference"
    assert "percentage points" in str(found)
    assert "all 70 permitted allocations" in str(found)


def test_three_arms_compare_two_of_them():
    frame = children(6, np.random.default_rng(15))
    allocation = allocated(frame, arms=("a", "b", "c"))
    with pytest.raises(DesignError, match="which are compared"):
        we.randomisation_test(allocation, frame, "y ~ arm")
    found = we.randomisation_test(allocation, frame, "y ~ arm", contrast=("c", "b"))

    def gap(data):
        return data.loc[data["arm"] == "c", "y"].mean() - data.loc[data["arm"] == "b", "y"].mean()

    observed, p, _ = by_hand(allocation, frame, gap)
    assert (found.estimate, found.p_value) == (pytest.approx(observed), pytest.approx(p))
    with pytest.raises(DesignError, match="two arms"):
        we.randomisation_test(allocation, frame, "y ~ arm", contrast=("c", "b"), ci=True)


@pytest.mark.property
def test_after_withdrawals_the_reference_set_is_conditional_and_units_that_joined_are_part_of_it():
    frame = children(8, np.random.default_rng(16), effect=1.0)
    allocation = allocated(frame, we.Stratified(by="la"))
    rest = allocation.without(["t003"])
    left = frame[frame["team"] != "t003"]
    found = we.randomisation_test(rest, left, "y ~ arm", weights=None)
    observed, p, _ = by_hand(rest, left, difference)
    assert (found.estimate, found.p_value) == (pytest.approx(observed), pytest.approx(p))
    assert found.details["n_allocations"] == rest.n_permitted < allocation.n_permitted
    with pytest.raises(DataError, match="were not allocated"):
        we.randomisation_test(rest, frame, "y ~ arm")
    joined = pd.DataFrame({"team": ["t100", "t101"], "la": ["L0", "L0"]})
    grown = allocation.enrol(joined, seed="another seed for tests")
    more = pd.concat([frame, joined.assign(age=0.5, y=[2.0, 3.0])], ignore_index=True)
    found = we.randomisation_test(grown, more, "y ~ arm", weights=None)
    observed, p, _ = by_hand(grown, more, difference)
    assert (found.estimate, found.p_value) == (pytest.approx(observed), pytest.approx(p))


@pytest.mark.parametrize(
    "method",
    [we.Minimisation(on="la"), we.PermutedBlocks(sizes=(2, 4)), we.Constrained(on="n", accept=0.2)],
    ids=lambda method: method.kind,
)
def test_withdrawals_from_a_design_too_large_to_list_are_tested_by_draws(method):
    frame = children(24, np.random.default_rng(17), effect=1.0)
    allocation = allocated(frame, method)
    rest, left = allocation.without(["t003", "t010"]), frame[~frame["team"].isin(["t003", "t010"])]
    found = we.randomisation_test(rest, left, "y ~ arm", weights=None, draws=199, rng=1)
    assert not found.details["exact"]
    assert np.isnan(found.details["smallest_p_value"])
    assert not found.warnings
    drawn = rest.reference_set(199, rng=1)
    place = {key: i for i, key in enumerate(rest.table["team"])}
    arm = drawn[:, [place[key] for key in left["team"]]]
    y = left["y"].to_numpy()
    values = np.array([y[row == 1].mean() - y[row == 0].mean() for row in arm])
    assert found.p_value == pytest.approx((1 + (np.abs(values) >= abs(found.estimate) - 1e-9).sum()) / 200)
    with pytest.raises(DesignError, match="needs rng"):
        we.randomisation_test(rest, left, "y ~ arm", weights=None)
    with pytest.raises(DesignError, match="weights=None"):
        we.randomisation_test(rest, left, "y ~ arm", rng=1)
