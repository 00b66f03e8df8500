"""Power of pre-trend tests: exact cases, SciPy's integrals, draws, and what a reader is told."""

import math

import numpy as np
import pytest
from honest_paths import random_path, rebased
from scipy.integrate import dblquad
from scipy.special import ndtr, ndtri

import wwc_eval as we
from wwc_eval.did.box_normal import box_moments
from wwc_eval.did.event_path import EventPath
from wwc_eval.errors import DesignError


class TestBox:
    @pytest.mark.reference
    def test_independent_estimates_are_exact(self):
        mean, half, sd = np.array([0.3, -1.0, 0.0]), np.array([1.0, 2.0, 0.7]), np.array([1.0, 0.5, 2.0])
        chance, inside = box_moments(mean, np.diag(sd**2), half)
        low, high = (-half - mean) / sd, (half - mean) / sd
        share = ndtr(high) - ndtr(low)
        density = np.exp(-0.5 * np.array([low, high]) ** 2) / math.sqrt(2 * math.pi)
        assert chance == pytest.approx(share.prod(), rel=1e-9)
        assert inside == pytest.approx(mean + sd * (density[0] - density[1]) / share, abs=1e-4)

    @pytest.mark.reference
    def test_two_estimates_against_adaptive_quadrature(self):
        mean, half = np.array([0.4, 0.9]), np.array([1.1, 1.6])
        vcov = np.array([[0.5, 0.4], [0.4, 0.9]])
        inverse, norm = np.linalg.inv(vcov), 2 * math.pi * math.sqrt(np.linalg.det(vcov))

        def moment(weight):
            def value(y, x):
                gap = np.array([x, y]) - mean
                return weight(x, y) * math.exp(-0.5 * gap @ inverse @ gap) / norm

            return dblquad(value, -half[0], half[0], -half[1], half[1], epsabs=1e-9)[0]

        total = moment(lambda x, y: 1.0)
        chance, inside = box_moments(mean, vcov, half)
        assert chance == pytest.approx(total, abs=3e-5)
        assert inside[0] == pytest.approx(moment(lambda x, y: x) / total, abs=1e-4)
        assert inside[1] == pytest.approx(moment(lambda x, y: y) / total, abs=1e-4)

    @pytest.mark.reference
    @pytest.mark.parametrize("size", [3, 8])
    def test_more_estimates_against_scipy(self, size):
        from scipy.stats import multivariate_normal

        rng = np.random.default_rng(size)
        root = rng.normal(size=(size, 2 * size))
        vcov = root @ root.T / (2 * size)
        mean, half = np.linspace(0, 1, size), 1.96 * np.sqrt(np.diag(vcov))
        wanted = multivariate_normal(mean, vcov, maxpts=300_000, abseps=1e-6, seed=1).cdf(half, lower_limit=-half)
        assert box_moments(mean, vcov, half)[0] == pytest.approx(wanted, abs=1e-4)


class TestPower:
    @pytest.mark.reference
    def test_one_estimate_in_closed_form(self):
        """With one estimate before treatment both tests are one two-sided z test."""
        path = EventPath(events=[-2, 0], estimates=[0.1, 1.0], vcov=[[0.04, 0.02], [0.02, 0.09]])
        z = ndtri(0.975)
        for test in ("individual", "joint"):
            row = we.did.pre_trend_power(path, power=[], slopes=[0.3], test=test).to_dicts()[0]
            mean = -0.3 / 0.2
            low, high = -z - mean, z - mean
            share = ndtr(high) - ndtr(low)
            shift = 0.2 * (np.exp(-0.5 * low**2) - np.exp(-0.5 * high**2)) / math.sqrt(2 * math.pi) / share
            assert row["power"] == pytest.approx(1 - share, abs=1e-12)
            assert row["bias"] == pytest.approx(0.3)
            assert row["bias_if_passed"] == pytest.approx(0.3 + 0.5 * shift, abs=1e-5)
            assert row["bayes_factor"] == pytest.approx(share / 0.95, rel=1e-9)
            density = [math.exp(-0.5 * ((0.1 - m) / 0.2) ** 2) for m in (-0.3, 0.0)]
            assert row["likelihood_ratio"] == pytest.approx(density[0] / density[1])

    @pytest.mark.simulation
    @pytest.mark.parametrize("test", ["individual", "joint"])
    def test_draws_agree(self, test):
        path = random_path(3, before=5, after=3)
        found = we.did.pre_trend_power(path, power=[0.5], test=test, weights="average")
        row = found.to_dicts()[0]
        rng = np.random.default_rng(8)
        line = (path.events + 1) * row["slope"]
        draws = rng.multivariate_normal(line, path.vcov, 100_000)
        before = draws[:, path.pre]
        inner = path.vcov[np.ix_(path.pre, path.pre)]
        if test == "individual":
            passed = (np.abs(before) <= ndtri(0.975) * np.sqrt(np.diag(inner))).all(axis=1)
        else:
            from scipy.special import chdtri

            passed = np.einsum("ij,jk,ik->i", before, np.linalg.inv(inner), before) <= chdtri(4, 0.05)
        assert abs(passed.mean() - 0.5) < 4.5 * 0.5 / math.sqrt(len(draws))
        effect = draws[passed][:, path.post].mean(axis=1)
        assert abs(effect.mean() - row["bias_if_passed"]) < 4.5 * effect.std() / math.sqrt(len(effect)) + 1e-5
        expected = np.array(found.events.column("expected_if_passed"))
        error = draws[passed].std(axis=0) / math.sqrt(passed.sum())
        assert (np.abs(draws[passed].mean(axis=0) - expected) < 4.5 * error + 1e-5).all()

    @pytest.mark.parametrize("test", ["individual", "joint"])
    def test_slopes_have_the_power_asked_for(self, test):
        found = we.did.pre_trend_power(random_path(4, before=6), power=[0.3, 0.5, 0.8], test=test)
        assert found.estimates.column("power") == pytest.approx([0.3, 0.5, 0.8], abs=1e-9)
        assert np.diff(found.estimates.column("slope")).min() > 0
        back = we.did.pre_trend_power(
            random_path(4, before=6), power=[], slopes=[-found.to_dicts()[1]["slope"]], test=test
        )
        row = back.to_dicts()[0]
        assert row["power"] == pytest.approx(0.5, abs=1e-4)
        assert row["bias_if_passed"] == pytest.approx(-found.to_dicts()[1]["bias_if_passed"], abs=2e-4)

    def test_joint_test_ignores_the_reference(self):
        """The joint test asks of all events alike, whichever is held at zero."""
        path = random_path(5, before=5)
        first = we.did.pre_trend_power(path, test="joint", weights="first")
        second = we.did.pre_trend_power(rebased(path, -4), test="joint", weights="first")
        assert first.estimates.column("slope") == pytest.approx(second.estimates.column("slope"), rel=1e-8)
        assert first.rejects == second.rejects
        assert first.overall.estimate == pytest.approx(second.overall.estimate, rel=1e-9)

    def test_few_degrees_of_freedom_widen_the_single_tests(self):
        path = random_path(6)
        few = EventPath(events=path.events, estimates=path.estimates, vcov=path.vcov, df=5)
        slopes = [we.did.pre_trend_power(each, power=[0.5]).to_dicts()[0]["slope"] for each in (path, few)]
        assert slopes[1] > slopes[0]


class TestDoor:
    def test_words_and_plot(self):
        found = we.did.pre_trend_power(random_path(7))
        text = str(found)
        assert "without a trend" in text
        assert "doi:10.1257/aeri.20210236" in text
        assert found.overall.term == "slope before treatment"
        ax = found.plot()
        assert "children per 10,000" in ax.get_ylabel()
        assert len(ax.get_legend().get_texts()) == 3

    def test_likelihood_ratios_beyond_a_thousand_are_shown_as_that_and_kept_as_they_are(self):
        """Estimates that rise far and surely before treatment: a trend is 1e60 times as likely, or as unlikely."""
        path = EventPath(events=[-3, -2, 0], estimates=[-2.0, -1.0, 1.0], vcov=np.eye(3) * 0.01)
        found = we.did.pre_trend_power(path, power=[], slopes=[1.0, -0.5])
        up, down = (row["likelihood_ratio"] for row in found.to_dicts())
        assert up == pytest.approx(math.exp(250.0), rel=1e-9)
        assert down == pytest.approx(math.exp(-312.5), rel=1e-9)
        text = str(found)
        assert "> 1,000" in text
        assert "< 0.001" in text
        assert max(map(len, text.splitlines())) < 400
        assert "e+1" not in text

    def test_refusals(self):
        path = random_path(7)
        with pytest.raises(DesignError, match="without any trend"):
            we.did.pre_trend_power(path, power=[0.05])
        with pytest.raises(DesignError, match="test =="):
            we.did.pre_trend_power(path, test="wald")
        with pytest.raises(DesignError, match="neither"):
            we.did.pre_trend_power(path, power=[])
        with pytest.raises(DesignError, match="alpha"):
            we.did.pre_trend_power(path, alpha=1.5)
