"""Dose: closed forms with one cohort, recovery with several, groups, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError


def rows(*, treated=12, controls=28, slope=-8.0, seed=1, cohorts=(4,), noise=1.0, missing=0):
    rng = np.random.default_rng(seed)
    n = treated + controls
    fidelity = np.where(np.arange(n) < treated, rng.uniform(0.3, 0.9, n), np.nan)
    start = np.where(np.arange(n) < treated, np.array(cohorts)[np.arange(n) % len(cohorts)], 0)
    level, shared = rng.normal(50, 5, n), rng.normal(size=9).cumsum()
    found = [
        (
            f"LA{la:02}",
            t,
            level[la]
            + shared[t]
            + (slope * fidelity[la] if start[la] and t >= start[la] else 0)
            + noise * rng.normal(),
            start[la],
            fidelity[la],
        )
        for la in range(n)
        for t in range(9)
    ]
    data = pd.DataFrame(found, columns=["la", "year", "rate", "start", "fidelity"])
    return data.drop(index=rng.choice(len(data), missing, replace=False))


def panel_of(data):
    return we.did.Panel(data, unit="la", period="year", outcome="rate", cohort="start")


@pytest.mark.reference
class TestOneCohort:
    def parts(self):
        data = rows()
        y = data.pivot_table(index="la", columns="year", values="rate").to_numpy()
        dose = data.groupby("la")["fidelity"].first().to_numpy()
        change = y[:, 4:].mean(axis=1) - y[:, :4].mean(axis=1)
        return we.did.dose(panel_of(data), "fidelity"), change, dose

    def test_slope_is_least_squares_among_the_treated(self):
        found, change, dose = self.parts()
        slope = np.polyfit(dose[:12], change[:12], 1)[0]
        assert found.slope.estimate == pytest.approx(slope, rel=1e-10)

    def test_level_is_the_difference_of_mean_changes(self):
        found, change, _ = self.parts()
        assert found.overall.estimate == pytest.approx(change[:12].mean() - change[12:].mean(), rel=1e-10)

    def test_errors_are_hc2(self):
        """Each unit is its own cluster: CR2 is HC2 of the regression with both groups."""
        import statsmodels.api as sm

        found, change, dose = self.parts()
        joins = np.arange(40) < 12
        centred = np.where(joins, dose - dose[:12].mean(), 0.0)
        wanted = sm.OLS(change, np.column_stack([np.ones(40), joins, centred])).fit(cov_type="HC2")
        assert [row.se for row in found.estimates] == pytest.approx(wanted.bse[1:], rel=1e-9)
        assert 3 < found.slope.df < 12

    def test_line_passes_through_the_level(self):
        found, _, dose = self.parts()
        line = found.by_dose.to_frame()
        wanted = found.overall.estimate + found.slope.estimate * (line["dose"] - dose[:12].mean())
        assert line["effect"].to_numpy() == pytest.approx(wanted.to_numpy())
        assert (line["ci_low"] < line["effect"]).all()

    def test_units_are_told(self):
        found, change, dose = self.parts()
        units = found.units.to_frame()
        assert units["change"].to_numpy() == pytest.approx(change[:12] - change[12:].mean())
        assert units["dose"].to_numpy() == pytest.approx(dose[:12])


class TestEstimates:
    def test_cohorts_and_missing_cells(self):
        data = rows(treated=24, controls=40, cohorts=(3, 5, 6), noise=0.01, missing=60)
        found = we.did.dose(panel_of(data), "fidelity", groups=3)
        assert found.slope.estimate == pytest.approx(-8, abs=1.5)
        assert [row.estimate for row in found.by_group] == sorted(
            (row.estimate for row in found.by_group), reverse=True
        )
        assert len(found.to_dicts()) == 5
        clean = we.did.dose(panel_of(rows(treated=24, controls=40, cohorts=(3, 5, 6), noise=0.01)), "fidelity")
        assert clean.slope.estimate == pytest.approx(-8, abs=0.1)

    def test_doses_may_be_given_by_unit(self):
        data = rows()
        panel = panel_of(data)
        by_unit = data.groupby("la")["fidelity"].first().loc[panel.units].fillna(0).to_numpy()
        first, second = we.did.dose(panel, "fidelity"), we.did.dose(panel, by_unit)
        assert first.slope.estimate == pytest.approx(second.slope.estimate, rel=1e-12)

    def test_dose_over_time_is_averaged_over_treated_periods(self):
        data = rows()
        moving = data.assign(fidelity=data["fidelity"] + 0.1 * (data["year"] - 6.0) + 9 * (data["year"] < 4))
        first, second = (we.did.dose(panel_of(each), "fidelity") for each in (data, moving))
        assert first.slope.estimate == pytest.approx(second.slope.estimate, rel=1e-9)

    @pytest.mark.property
    def test_order_and_units_do_not_matter(self):
        data = rows(cohorts=(4, 6))
        first = we.did.dose(panel_of(data), "fidelity")
        second = we.did.dose(panel_of(data.sample(frac=1, random_state=2)), "fidelity")
        assert first.to_frame().equals(second.to_frame())
        percent = we.did.dose(panel_of(data.assign(fidelity=100 * data["fidelity"])), "fidelity")
        assert percent.slope.estimate == pytest.approx(first.slope.estimate / 100, rel=1e-9)
        assert percent.overall.estimate == pytest.approx(first.overall.estimate, rel=1e-9)

    @pytest.mark.simulation
    def test_level_of_the_slope(self):
        """With 12 treated units and no effect of dose the slope is found significant 5% of the time."""
        reps = 40
        hits = sum(
            we.did.dose(panel_of(rows(slope=0.0, seed=500 + k)), "fidelity").slope.p_value < 0.05
            for k in range(reps)
        )
        assert hits / reps < 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / reps)


class TestDoor:
    def test_refusals(self):
        data = rows()
        with pytest.raises(DataError, match="LA03"):
            we.did.dose(panel_of(data.assign(fidelity=data["fidelity"].where(data["la"] != "LA03"))), "fidelity")
        with pytest.raises(DesignError, match=r"dose 0\.5"):
            we.did.dose(panel_of(data.assign(fidelity=0.5)), "fidelity")
        with pytest.raises(DesignError, match="no never-treated"):
            we.did.dose(panel_of(data[data["start"] > 0]), "fidelity")
        with pytest.raises(DesignError, match="at least 3"):
            we.did.dose(panel_of(rows(treated=2)), "fidelity")
        with pytest.raises(DesignError, match="shape"):
            we.did.dose(panel_of(data), [1.0, 2.0])
        with pytest.raises(DesignError, match="groups"):
            we.did.dose(panel_of(data), "fidelity", groups=20)

    def test_words_and_plot(self):
        found = we.did.dose(panel_of(rows(treated=4)), "fidelity")
        text = str(found)
        assert "strong parallel trends" in text
        assert "4 treated clusters" in text
        assert "doi:10.3386/w32117" in text
        assert found.plot().get_xlabel() == "fidelity"
