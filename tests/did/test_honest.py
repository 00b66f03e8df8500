"""Honest intervals: HiGHS, brute force, invariances and coverage."""

import math
from dataclasses import replace

import numpy as np
import pytest
from honest_paths import random_path, rebased
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import ndtri

import wwc_eval as we
from wwc_eval.did import honest_magnitudes as magnitudes
from wwc_eval.did import honest_smoothness as smoothness
from wwc_eval.did.event_path import EventPath
from wwc_eval.did.honest_setting import setting
from wwc_eval.errors import DataError, DesignError


def bounds_by_programme(at, rows, room):
    """Least and largest target over deviations with ``rows @ delta <= room`` that equal the known estimates."""
    size = at.grid.size
    path = at.full @ at.beta
    known = np.eye(size)[: at.anchor + 1]
    cost = at.full @ at.weights
    ends = []
    for sign in (1, -1):
        found = linprog(
            sign * cost, A_ub=rows, b_ub=room, A_eq=known, b_eq=path[: at.anchor + 1], bounds=(None, None)
        )
        ends.append(sign * found.fun if found.success else np.nan)
    return np.array([at.estimate - ends[1], at.estimate - ends[0]])


CASES = [
    {"seed": 1},
    {"seed": 2, "reference": -4},
    {"seed": 3, "reference": -3, "weights": "average"},
    {"seed": 4, "reference": -3, "anticipation": 2, "weights": [0.1, -0.5, 0.9, 0.2]},
    {"seed": 5, "before": 2, "after": 1},
    {"seed": 6, "before": 6, "after": 5, "reference": -4, "anticipation": 1, "weights": {1: 0.5, 3: -0.25}},
]


def case_setting(seed, weights="first", **options):
    return setting(random_path(seed, **options), weights)


@pytest.mark.reference
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["seed"]))
class TestHighs:
    def test_identified_set_of_smoothness(self, case):
        at = case_setting(**case)
        bend = np.diff(np.eye(at.grid.size), 2, axis=0)
        rows = np.vstack([bend, -bend])
        largest = smoothness.largest_bend(at, 0.05)[0]
        values = np.array([largest + 0.01, 2 * largest + 0.3])
        found = smoothness.identified(at, values)
        for value, ends in zip(values, found, strict=True):
            assert np.allclose(ends, bounds_by_programme(at, rows, np.full(len(rows), value)), rtol=0, atol=1e-9)
        if largest > 0:
            assert np.isnan(smoothness.identified(at, np.array([0.9 * largest]))).all()

    def test_identified_set_of_relative_magnitudes(self, case):
        at = case_setting(**case)
        change = np.diff(np.eye(at.grid.size), axis=0)
        largest = np.abs((change @ at.full @ at.beta)[: at.anchor]).max()
        rows = np.vstack([change[at.anchor :], -change[at.anchor :]])
        for value in (0.0, 0.4, 1.7):
            found = magnitudes.identified(at, np.array([value]))[0]
            wanted = bounds_by_programme(at, rows, np.full(len(rows), value * largest))
            assert np.allclose(found, wanted, rtol=0, atol=1e-9)

    def test_dual_vertices(self, case):
        """The statistic is the least violation of the moments over the paths of effects with that target."""
        at = case_setting(**case)
        rng = np.random.default_rng(case["seed"])
        values = np.array([0.2, 1.3])
        tests = magnitudes.tests_of(at, values, 0.005)
        steps = at.changes
        after = steps[at.anchor :]
        free = np.diff(np.eye(len(after) + 1)[:, 1:], axis=0)  # changes of effects, which start from zero
        target = (at.full @ at.weights)[at.anchor + 1 :]
        for k in range(len(tests.rows)):
            value = values[tests.rows[k]]
            s, sign = divmod(k % (2 * at.anchor), 2)
            trend = value * (1.0 - 2.0 * sign) * steps[s]
            theta = at.estimate + rng.normal() * 0.2
            moments = np.vstack([after - trend, -after - trend])
            error = np.sqrt(np.einsum("ij,jk,ik->i", moments, at.vcov, moments))
            found = linprog(
                np.append(1.0, np.zeros(len(after))),
                A_ub=np.column_stack([-error, -np.vstack([free, -free])]),
                b_ub=-moments @ at.beta,
                A_eq=[np.append(0.0, target)],
                b_eq=[theta],
                bounds=(None, None),
            )
            point = tests.point[k] - np.array([theta, 0.0])
            assert (tests.vertices[k] @ point).max() == pytest.approx(found.fun, abs=1e-8)


@pytest.mark.reference
class TestSmoothness:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["seed"]))
    def test_no_bend_is_least_squares(self, case):
        """With M = 0 the deviation is a straight line: generalised least squares of target and known estimates."""
        at = case_setting(**case)
        known = at.known
        events = np.delete(at.grid, at.reference - at.grid[0]).astype(float)
        line = events - at.reference
        inside, count = at.vcov[np.ix_(known, known)], int(known.sum())
        system = np.block([[inside, line[known][:, None]], [line[known][None], np.zeros((1, 1))]])
        right = np.append(-at.vcov[known] @ at.weights, -(line @ at.weights))
        own = at.weights.copy()
        own[known] = np.linalg.solve(system, right)[:count]
        middle, half = own @ at.beta, ndtri(0.975) * np.sqrt(own @ at.vcov @ own)
        found = smoothness.intervals(at, np.zeros(1), 0.05)[0]
        assert np.diff(found)[0] == pytest.approx(2 * half, rel=1e-12)
        assert found.mean() == pytest.approx(middle, abs=1e-7)  # the least length is flat in the centre

    @pytest.mark.parametrize("case", CASES[:4], ids=lambda case: str(case["seed"]))
    def test_none_shorter(self, case):
        """No other estimator with bounded bias has a shorter interval; its bias is what HiGHS says."""
        at = case_setting(**case)
        edge = smoothness.frontier(at)
        rng = np.random.default_rng(0)
        bend = np.diff(np.eye(at.grid.size), 2, axis=0)
        zero = np.eye(at.grid.size)[at.grid == at.reference]
        for weights, bias in zip(edge.weights, edge.bias, strict=True):
            worst = linprog(
                -(at.full @ weights),
                A_ub=np.vstack([bend, -bend]),
                b_ub=np.ones(2 * len(bend)),
                A_eq=zero,
                b_eq=[0.0],
                bounds=(None, None),
            )
            assert -worst.fun == pytest.approx(bias, abs=1e-8)
        hinge, line = smoothness.hinges(at)
        maps = np.vstack([hinge, line]) @ at.full
        events = np.delete(at.grid, at.reference - at.grid[0])
        moves = np.linalg.svd((events - at.reference)[None, at.known])[2][1:]
        for value in (0.02, 0.3):
            low, high = smoothness.intervals(at, np.array([value]), 0.05)[0]
            for scale in (1e-4, 1e-3, 1e-2, 0.1, 1.0):
                weights = edge.weights[rng.integers(len(edge.weights))].copy()
                weights[at.known] += scale * (moves.T @ rng.normal(size=len(moves)))
                sd = np.sqrt(weights @ at.vcov @ weights)
                bias = value * np.abs((maps @ weights)[:-1]).sum()
                half = float(smoothness.critical_value(np.array([bias / sd]), 0.05)[0]) * sd
                assert 2 * half >= (high - low) * (1 - 1e-10)

    def test_lasso_path_is_optimal(self):
        rng = np.random.default_rng(3)
        for size in (1, 2, 7, 25):
            root = rng.normal(size=(size, size + 3))
            gram, pull = root @ root.T, rng.normal(size=size)
            knots = smoothness.lasso_path(gram, pull)
            heights = []
            for knot in knots:
                gradient = pull - gram @ knot
                height = np.abs(gradient).max()
                heights.append(height)
                on = knot != 0
                assert np.allclose(gradient[on], height * np.sign(knot[on]), rtol=0, atol=1e-9)
            assert (np.diff(heights) < 1e-12).all()
            assert np.allclose(knots[-1], np.linalg.solve(gram, pull), rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("alpha", [0.01, 0.05, 0.32])
    def test_critical_value(self, alpha):
        from scipy.stats import ncx2

        bias = np.array([0.0, 1e-3, 0.4, 2.0, 9.0, 25.0])
        found = smoothness.critical_value(bias, alpha)
        assert np.allclose(ncx2.sf(found**2, 1, bias**2), alpha, rtol=1e-8, atol=0)
        assert smoothness.critical_value(np.array([1e4]), alpha)[0] == pytest.approx(1e4 + ndtri(1 - alpha))


class TestMagnitudes:
    @pytest.mark.simulation
    def test_least_favourable_value_against_draws(self):
        at = case_setting(seed=9, weights="average")
        tests = magnitudes.tests_of(at, np.array([0.5, 2.0]), 0.05)
        rng = np.random.default_rng(1)
        draws = 200_000
        for k in range(0, len(tests.rows), 5):
            x = rng.multivariate_normal(np.zeros(2), tests.vcov[k], draws)
            share = ((x @ tests.vertices[k].T).max(axis=1) <= tests.critical[k]).mean()
            assert abs(share - 0.95) < 4.5 * math.sqrt(0.95 * 0.05 / draws)

    @pytest.mark.reference
    def test_least_favourable_value_by_adaptive_quadrature(self):
        from scipy.integrate import quad
        from scipy.special import ndtr

        at = case_setting(seed=4, weights="average", before=5)
        tests = magnitudes.tests_of(at, np.array([0.1, 1.0, 8.0]), 0.005)
        for k in range(0, len(tests.rows), 3):
            v, s = tests.vertices[k], tests.vcov[k]
            sd, slope = np.sqrt(s[1, 1]), s[0, 1] / s[1, 1]
            rest = np.sqrt(s[0, 0] - s[0, 1] * slope)
            c = tests.critical[k]

            def inside(x, *, v=v, sd=sd, slope=slope, rest=rest, c=c):
                d = x * sd
                high = ((c - v[0, 1] * d) / v[0, 0] - slope * d) / rest
                low = ((c - v[1, 1] * d) / v[1, 0] - slope * d) / rest
                return np.exp(-x * x / 2) / np.sqrt(2 * np.pi) * max(ndtr(high) - ndtr(low), 0.0)

            start = max(c / (v[2:, 1].min() * sd), -9.0)
            assert quad(inside, start, 9, epsabs=1e-12, limit=400)[0] == pytest.approx(0.995, abs=1e-9)

    @pytest.mark.simulation
    @pytest.mark.parametrize(("value", "trend"), [(1.0, 0.0), (1.0, 0.15), (0.5, 0.3)])
    def test_coverage(self, value, trend):
        """The true effect is kept in at least 95% of samples, with the trend as bad as M allows."""
        base = random_path(11)
        events = np.sort(np.append(base.events, -1))
        delta = np.where(events < 0, trend * (events == -3), value * trend * (events + 1.0))
        at_truth = delta[events != -1] + np.where(base.events >= 0, 0.3, 0.0)
        rng = np.random.default_rng(5)
        samples = rng.multivariate_normal(at_truth, base.vcov, 600)
        at = setting(EventPath(events=base.events, estimates=at_truth, vcov=base.vcov))
        tests = magnitudes.tests_of(at, np.array([value]), 0.005)
        truth = np.full((len(tests.rows), 1), 0.3)
        steps = at.changes[: at.anchor]
        kept = 0
        for draw in samples:
            changes = np.outer(steps @ draw, [1.0, -1.0]).ravel()
            point = np.column_stack([np.full(changes.size, at.weights @ draw), changes])
            kept += bool(magnitudes.accepted(replace(tests, point=point), truth, 0.05, 0.005).any())
        assert kept / len(samples) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / len(samples))

    def test_no_deviation_is_the_conventional_interval(self):
        path = random_path(8)
        found = we.did.honest(path, values=[0.0])
        row = found.to_dicts()[0]
        assert row["ci_low"] == pytest.approx(found.overall.ci_low, abs=1e-9)
        assert row["ci_high"] == pytest.approx(found.overall.ci_high, abs=1e-9)


@pytest.mark.property
class TestInvariance:
    @settings(max_examples=8, deadline=None)
    @given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 6), st.sampled_from(["first", "average"]))
    def test_relative_magnitudes_widen_with_m(self, seed, before, after, weights):
        path = random_path(seed, before=before, after=after)
        ends = we.did.honest(path, values=np.linspace(0, 3, 7), weights=weights).to_frame()
        assert (np.diff(ends["ci_low"]) <= 1e-9).all()
        assert (np.diff(ends["ci_high"]) >= -1e-9).all()
        assert (ends["ci_low"] <= ends["identified_low"] + 1e-9).all()
        assert (ends["ci_high"] >= ends["identified_high"] - 1e-9).all()

    @settings(max_examples=8, deadline=None)
    @given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 6))
    def test_smoothness_lengthens_with_m(self, seed, before, after):
        path = random_path(seed, before=before, after=after)
        ends = we.did.honest(path, "smoothness", np.linspace(0, 1, 9), weights="average").to_frame()
        assert (np.diff(ends["ci_high"] - ends["ci_low"]) >= -1e-9).all()

    @pytest.mark.parametrize("restriction", ["relative_magnitudes", "smoothness"])
    @pytest.mark.parametrize("reference", [-5, -4, -2])
    def test_reference_does_not_matter(self, restriction, reference):
        """Another event held at zero says the same of every change."""
        path = random_path(21, before=5)
        first = we.did.honest(path, restriction, [0.1, 0.6])
        second = we.did.honest(rebased(path, reference), restriction, [0.1, 0.6])
        columns = ["ci_low", "ci_high", "identified_low", "identified_high"]
        assert np.allclose(
            first.to_frame()[columns], second.to_frame()[columns], rtol=0, atol=2e-8, equal_nan=True
        )
        assert first.breakdown == pytest.approx(second.breakdown, rel=1e-5)

    @pytest.mark.parametrize(("restriction", "power"), [("relative_magnitudes", 0), ("smoothness", 1)])
    def test_units_do_not_matter(self, restriction, power):
        path = random_path(22)
        big = EventPath(events=path.events, estimates=-1e4 * path.estimates, vcov=1e8 * path.vcov)
        values = np.array([0.05, 0.5])
        first = we.did.honest(path, restriction, values).to_frame()
        second = we.did.honest(big, restriction, values * 1e4**power).to_frame()
        assert np.allclose(first["ci_low"], -second["ci_high"] / 1e4, rtol=1e-7)
        assert np.allclose(first["ci_high"], -second["ci_low"] / 1e4, rtol=1e-7)

    def test_anticipated_events_are_free(self):
        """Estimates in the window of anticipation can be anything when the restriction reaches across it."""
        path = random_path(23, before=4, anticipation=2, reference=-3)
        moved = path.estimates + 5.0 * np.isin(path.events, [-2, -1])
        other = EventPath(events=path.events, estimates=moved, vcov=path.vcov, reference=-3, anticipation=2)
        first, second = (we.did.honest(each, "smoothness", [0.1, 0.4]).to_frame() for each in (path, other))
        assert np.allclose(first["ci_low"], second["ci_low"], rtol=0, atol=1e-12)
        sets = [magnitudes.identified(setting(each), np.array([0.7])) for each in (path, other)]
        assert np.allclose(*sets, rtol=0, atol=1e-12)


class TestBreakdown:
    @pytest.mark.parametrize("restriction", ["relative_magnitudes", "smoothness"])
    @pytest.mark.parametrize("weights", ["first", "average"])
    def test_interval_touches_the_null_there(self, restriction, weights):
        path = random_path(31, effect=1.5)
        found = we.did.honest(path, restriction, weights=weights)
        assert 0 < found.breakdown < math.inf
        near = we.did.honest(path, restriction, found.breakdown * np.array([0.999, 1.001]), weights=weights)
        assert near.estimates.column("excludes_null") == [True, False]
        row = near.to_dicts()[0]
        assert min(abs(row["ci_low"]), abs(row["ci_high"])) < 0.02

    def test_none_needed_and_none_enough(self):
        assert we.did.honest(random_path(31, effect=0.0)).breakdown == 0.0
        path = random_path(31, effect=1.5)
        null = we.did.honest(path).overall.estimate
        assert we.did.honest(path, null=null).breakdown == 0.0

    def test_words(self):
        text = str(we.did.honest(random_path(31, effect=1.5)))
        assert "Breakdown value: M = " in text
        assert "doi:10.1093/restud/rdad018" in text
        assert "effect at event 0" in text


class TestDoor:
    def test_window_leaves_events_out(self):
        path = random_path(41, before=7, after=5)
        keep = (path.events >= -4) & (path.events <= 2)
        short = EventPath(
            events=path.events[keep], estimates=path.estimates[keep], vcov=path.vcov[np.ix_(keep, keep)]
        )
        first = we.did.honest(path, window=(-4, 2), weights="average").to_frame()
        assert first.equals(we.did.honest(short, weights="average").to_frame())

    def test_result_with_a_path(self):
        class Result:
            path = random_path(42)

        assert we.did.honest(Result()).to_dicts() == we.did.honest(Result.path).to_dicts()

    def test_estimators_hand_their_path_on(self):
        from did_data import la_panel

        data = la_panel()
        panel = we.Panel(data[data["t"] <= 24], unit="la", period="t", outcome="y", cohort="g")
        study = we.did.event_study(panel)
        found = we.did.honest(study, values=[0.0], window=(-5, 3))
        first = next(
            row for row, key in zip(study.estimates, study.estimates.keys, strict=True) if key["event"] == 0
        )
        assert found.overall.estimate == pytest.approx(first.estimate, rel=1e-12)
        assert found.overall.se == pytest.approx(first.se, rel=1e-12)
        with pytest.raises(DesignError, match="common reference"):
            we.did.honest(we.did.imputation(panel))

    def test_refusals(self):
        path = random_path(43)
        with pytest.raises(DesignError, match="no effects by event"):
            we.did.honest(3)
        with pytest.raises(DesignError, match="restriction"):
            we.did.honest(path, "magnitudes")
        with pytest.raises(DesignError, match="zero or above"):
            we.did.honest(path, values=[-1.0])
        with pytest.raises(DesignError, match="weights"):
            we.did.honest(path, weights="last")
        with pytest.raises(DesignError, match="weights"):
            we.did.honest(path, weights=[1.0])
        with pytest.raises(DesignError, match="event 9"):
            we.did.honest(path, weights={9: 1.0})
        with pytest.raises(DesignError, match="level"):
            we.did.honest(path, level=0.4)
        free = EventPath(events=path.events, estimates=path.estimates, vcov=path.vcov, reference=None)
        with pytest.raises(DesignError, match="common reference"):
            we.did.honest(free)
        inside = EventPath(events=path.events, estimates=path.estimates, vcov=path.vcov, anticipation=1)
        with pytest.raises(DesignError, match="anticipation of 1"):
            we.did.honest(inside)
        gap = EventPath(events=[-4, -2, 0], estimates=[0.0, 0.1, 0.2], vcov=np.eye(3))
        with pytest.raises(DesignError, match="events -3 have"):
            we.did.honest(gap)
        with pytest.raises(DesignError, match="no estimated event before"):
            we.did.honest(EventPath(events=[0], estimates=[0.2], vcov=np.eye(1)))
        with pytest.raises(DataError, match="variances"):
            we.did.honest(EventPath(events=[-2, 0], estimates=[0.1, 0.2], vcov=np.diag([0.0, 1.0])))

    def test_singular_covariance(self):
        """Few clusters leave fewer dimensions than events: intervals stay finite and ordered."""
        rng = np.random.default_rng(2)
        root = rng.normal(size=(9, 3)) * 0.1
        path = EventPath(
            events=[*range(-6, -1), *range(4)],
            estimates=rng.normal(size=9) * 0.1 + np.repeat([0.0, 0.5], [5, 4]),
            vcov=root @ root.T,
        )
        for restriction in ("relative_magnitudes", "smoothness"):
            ends = we.did.honest(path, restriction, [0.0, 0.2, 1.0], weights="average").to_frame()
            assert (ends["ci_low"] <= ends["ci_high"]).all()

    def test_plot(self):
        for restriction in ("relative_magnitudes", "smoothness"):
            found = we.did.honest(random_path(44, effect=1.0), restriction)
            ax = found.plot()
            assert "M:" in ax.get_xlabel()
            assert "children per 10,000" in ax.get_ylabel()
            assert found.plot(ax) is ax
