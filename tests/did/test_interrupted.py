"""Interrupted time series: statsmodels, closed forms, recovery, and the record of its levels."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from interrupted_study import rejections, table

import wwc_eval as we
from wwc_eval.did.serial_errors import ArOne, default_lag, fit_series
from wwc_eval.errors import DesignError

HERE = Path(__file__).resolve()
RECORD = json.loads((HERE.parents[1] / "reference" / "did_interrupted_levels.json").read_text())
PAGE = HERE.parents[2] / "docs" / "methods" / "did_sensitivity.md"


def rows(*, periods=32, first=16, treated=1, controls=4, jump=-4.0, slope=-0.3, noise=0.5, seed=1):
    rng = np.random.default_rng(seed)
    shared = np.cumsum(rng.normal(size=periods))
    found = []
    for k in range(treated + controls):
        for t in range(periods):
            on = k < treated and t >= first
            y = 50 + k + 0.2 * t + shared[t] + 2 * np.cos(np.pi * t / 2) * (k < treated)
            y += on * (jump + slope * (t - first)) + noise * rng.normal()
            found.append(
                (f"LA{k}", f"{2010 + t // 4}Q{t % 4 + 1}", y, f"{2010 + first // 4}Q1" if k < treated else None)
            )
    return pd.DataFrame(found, columns=["la", "quarter", "rate", "start"])


def panel_of(data, **options):
    return we.did.Panel(data, unit="la", period="quarter", outcome="rate", cohort="start", **options)


@pytest.mark.reference
class TestSeries:
    def series(self, seed=3, n=40):
        rng = np.random.default_rng(seed)
        times = np.arange(n, dtype=float)
        design = np.column_stack([np.ones(n), times, times >= n // 2])
        return rng.normal(size=n).cumsum() * 0.5 + design @ [1.0, 0.1, 2.0], design, times

    @pytest.mark.parametrize("lag", [0, 3, 9])
    def test_newey_west_is_that_of_statsmodels(self, lag):
        import statsmodels.api as sm

        y, design, times = self.series()
        wanted = sm.OLS(y, design).fit(cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": True})
        found = fit_series(y, design, times, "newey_west", lag)
        assert found.beta == pytest.approx(wanted.params, rel=1e-10)
        assert np.allclose(found.vcov, wanted.cov_params(), rtol=1e-9, atol=1e-14)

    def test_gaps_count_in_newey_west(self):
        """A period taken out leaves its neighbours two apart."""
        y, design, times = self.series()
        keep = times != 17
        found = fit_series(y[keep], design[keep], times[keep], "newey_west", 1)
        fit = fit_series(y[keep], design[keep], times[keep], "newey_west", 0)
        scores = design[keep] * fit.residuals[:, None]
        cross = sum(
            np.outer(scores[i], scores[j]) * 0.5
            for i in range(len(scores))
            for j in range(len(scores))
            if abs(times[keep][i] - times[keep][j]) == 1
        )
        bread = np.linalg.inv(design[keep].T @ design[keep])
        n, k = design[keep].shape
        assert np.allclose(found.vcov, bread @ (scores.T @ scores + cross) @ bread * n / (n - k), rtol=1e-10)

    def test_ar1_without_correlation_is_least_squares(self):
        y, design, times = self.series()
        model = ArOne(y, design, np.abs(times[:, None] - times))
        model.theta = np.array([math.log(0.7), 0.0])
        assert np.allclose(model.vcov(model.theta), 0.7 * np.linalg.inv(design.T @ design), rtol=1e-8)

    def test_ar1_is_the_restricted_likelihood(self):
        """Deviance from its definition, with the determinants of all three matrices; the optimum is one."""
        y, design, times = self.series()
        apart = np.abs(times[:, None] - times)
        model = ArOne(y, design, apart)

        def deviance(theta):
            v = np.exp(theta[0]) * np.tanh(theta[1]) ** apart
            inverse = np.linalg.inv(v)
            gram = design.T @ inverse @ design
            rest = y - design @ np.linalg.solve(gram, design.T @ inverse @ y)
            return np.linalg.slogdet(v)[1] + np.linalg.slogdet(gram)[1] + rest @ inverse @ rest

        base = deviance(model.theta)
        for step in ([0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01], [0.05, -0.05]):
            assert deviance(model.theta + step) > base
            assert deviance(model.theta + step) - base == pytest.approx(
                model.deviance(model.theta + step) - model.deviance(model.theta), abs=1e-7
            )

    def test_ar1_recovers_correlation(self):
        rng = np.random.default_rng(5)
        n = 400
        e = np.zeros(n)
        for k in range(1, n):
            e[k] = 0.6 * e[k - 1] + rng.normal()
        times = np.arange(n, dtype=float)
        fit = fit_series(e, np.ones((n, 1)), times, "ar1", 0)
        assert abs(fit.rho - 0.6) < 0.12
        assert 1 <= fit.contrast(np.ones(1))[2] < n

    def test_negative_correlation_is_not_believed(self):
        times = np.arange(10, dtype=float)
        fit = fit_series((-1.0) ** times, np.ones((10, 1)), times, "ar1", 0)
        assert fit.rho == pytest.approx(0, abs=1e-6)

    def test_default_lag(self):
        assert [default_lag(n) for n in (3, 20, 40, 100)] == [1, 2, 2, 3]


class TestEstimates:
    def test_controlled_estimates_are_the_difference_of_the_two(self):
        found = we.did.interrupted_time_series(panel_of(rows()), season=4)
        value = {
            (key["series"], key["quantity"]): row.estimate
            for row, key in zip(found.estimates, found.estimates.keys, strict=True)
        }
        for quantity in ("slope before", "change of level", "change of slope", "mean effect"):
            both = we.did.interrupted_time_series(panel_of(rows()), season=4, errors="newey_west")
            least = {
                (k["series"], k["quantity"]): r.estimate
                for r, k in zip(both.estimates, both.estimates.keys, strict=True)
            }
            assert least["treated - controls", quantity] == pytest.approx(
                least["treated", quantity] - least["controls", quantity], abs=1e-9
            )
        assert found.overall.estimate == value["treated - controls", "mean effect"]

    def test_level_slope_and_mean_are_recovered(self):
        found = we.did.interrupted_time_series(
            panel_of(rows(noise=1e-6)), season=4, harmonics=1, errors="newey_west"
        )
        terms = {row.term: row.estimate for row in found.estimates}
        assert terms["change of level [treated - controls]"] == pytest.approx(-4, abs=1e-4)
        assert terms["change of slope [treated - controls]"] == pytest.approx(-0.3, abs=1e-4)
        assert found.overall.estimate == pytest.approx(-4 - 0.3 * 7.5, abs=1e-4)
        assert [row.estimate for row in found.effects] == pytest.approx(
            [-4 - 0.3 * e for e in range(16)], abs=1e-4
        )

    def test_dummies_and_full_harmonics_agree(self):
        data = panel_of(rows())
        first = we.did.interrupted_time_series(data, season=4)
        second = we.did.interrupted_time_series(data, season=4, harmonics=2)
        assert first.overall.estimate == pytest.approx(second.overall.estimate, rel=1e-8)
        assert first.overall.se == pytest.approx(second.overall.se, rel=1e-6)

    def test_shared_shocks_drop_out(self):
        """A random walk common to all authorities ruins the single series, not the controlled one."""
        controlled = we.did.interrupted_time_series(panel_of(rows(noise=0.1)), season=4)
        alone = we.did.interrupted_time_series(panel_of(rows(noise=0.1)), season=4, controls=False)
        assert abs(controlled.overall.estimate + 6.25) < 0.3
        assert alone.overall.se > 3 * controlled.overall.se
        assert np.isnan(alone.series.column("controls")).all()

    def test_rates_are_pooled(self):
        data = rows(treated=2).assign(children=lambda d: np.where(d["la"] == "LA0", 9_000.0, 1_000.0))
        data["events"] = data["rate"] * data["children"]
        panel = we.did.Panel(
            data, unit="la", period="quarter", outcome="events", cohort="start", exposure="children"
        )
        found = we.did.interrupted_time_series(panel, season=4)
        first = data[data["quarter"] == "2010Q1"].set_index("la")["rate"]
        assert found.series.column("treated")[0] == pytest.approx(0.9 * first["LA0"] + 0.1 * first["LA1"])

    def test_masked_periods_are_left_out(self):
        """COVID quarters and a transition drop rows; time keeps its gaps, so clean effects stay what they are."""
        panel = panel_of(rows(noise=1e-7))
        masked = we.did.mask_periods(panel, ["2012Q2", "2016Q1"], transition=2)
        found = we.did.interrupted_time_series(masked, season=4, errors="newey_west")
        assert len(found.series) == 32 - 2 - 2
        assert found.overall.estimate == pytest.approx(
            np.mean([-4 - 0.3 * e for e in range(16) if e not in (0, 1, 8)]), abs=1e-3
        )

    @pytest.mark.property
    def test_row_order_and_units_do_not_matter(self):
        data = rows()
        first = we.did.interrupted_time_series(panel_of(data), season=4)
        second = we.did.interrupted_time_series(panel_of(data.sample(frac=1, random_state=1)), season=4)
        assert first.to_frame().equals(second.to_frame())
        scaled = we.did.interrupted_time_series(panel_of(data.assign(rate=data["rate"] * 100 + 7)), season=4)
        assert scaled.overall.estimate == pytest.approx(100 * first.overall.estimate, rel=1e-6)
        assert scaled.overall.p_value == pytest.approx(first.overall.p_value, rel=1e-4)


class TestDoor:
    def test_refusals(self):
        data = rows()
        with pytest.raises(DesignError, match="miss some of the periods"):
            we.did.interrupted_time_series(panel_of(data.drop(index=70)))
        two = data.assign(start=np.where(data["la"] == "LA2", "2012Q1", data["start"]))
        with pytest.raises(DesignError, match="2 cohorts"):
            we.did.interrupted_time_series(panel_of(two))
        alone = panel_of(data[data["la"] == "LA0"])
        with pytest.raises(DesignError, match="no never-treated"):
            we.did.interrupted_time_series(alone)
        assert not math.isnan(we.did.interrupted_time_series(alone, controls=False).overall.se)
        with pytest.raises(DesignError, match="harmonics without season"):
            we.did.interrupted_time_series(panel_of(data), harmonics=1)
        with pytest.raises(DesignError, match="do not tell"):
            we.did.interrupted_time_series(panel_of(rows(periods=8, first=4)), season=6)
        with pytest.raises(DesignError, match="errors"):
            we.did.interrupted_time_series(panel_of(data), errors="hac")

    def test_words_and_plot(self):
        found = we.did.interrupted_time_series(panel_of(rows()), season=4, errors="newey_west")
        assert "Newey-West errors with 2 lags" in str(found)
        assert "too small" in str(found)
        ax = found.plot()
        assert ax.get_ylabel() == "rate"
        assert "expected without treatment" in [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.simulation
class TestLevels:
    @pytest.mark.parametrize("case", RECORD["cases"], ids=lambda c: f"{c['periods']}-{c['rho']}")
    def test_record(self, case):
        bound = 3.5 * math.sqrt(0.05 * 0.95 / RECORD["slow"])
        share = case["rejections"]["ar1"]
        assert share < (0.05 + bound if case["rho"] < 0.8 else 0.10 + bound)
        assert case["rejections"]["newey_west"] > 0.08  # what the warning says

    def test_a_small_study_agrees(self):
        case = next(c for c in RECORD["cases"] if (c["periods"], c["rho"]) == (20, 0.4))
        found = rejections(20, 0.4, fast=2_000, slow=60, seed=99)
        for name, reps in (("newey_west", 2_000), ("ar1", 60)):
            expected = case["rejections"][name]
            assert abs(found[name] - expected) < 4 * math.sqrt(max(expected, 0.01) / reps) + 0.01

    def test_table_is_on_the_page(self):
        assert table(RECORD) in PAGE.read_text(encoding="utf-8")
