"""Synthetic DiD and synthetic control: R's figures, optimality, placebos counted by hand, invariances."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from did_data import la_panel, prop99
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import wwc_eval as we
from wwc_eval.did.simplex import frank_wolfe, objective, simplex_fit
from wwc_eval.did.synthetic_blocks import fit_block, placebo_groups, recipe_of
from wwc_eval.errors import DesignError

RECORD = json.loads((Path(__file__).parents[1] / "reference" / "did_synthetic.json").read_text())


def texas():
    from causaldata import texas as source

    data = source.load_pandas().data
    wide = data.pivot_table(index="statefip", columns="year", values="bmprison").sort_index()
    return wide.drop(index=48).to_numpy(), wide.loc[48].to_numpy(), data


def authorities(*, n=14, periods=9, first=6, effect=-4.0, treated=(2,), seed=1, unit=None):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(periods, 2)).cumsum(axis=0)
    y = 40 + rng.normal(size=(n, 2)) @ factor.T + 3 * rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, periods))
    y[list(treated), first:] += effect
    names = [f"LA{k:02}" for k in range(n)] if unit is None else unit
    rows = [
        (names[k], 2010 + t, y[k, t], 2010 + first if k in treated else 0)
        for k in range(n)
        for t in range(periods)
    ]
    return pd.DataFrame(rows, columns=["la", "year", "rate", "joined"])


def panel_of(data):
    return we.did.Panel(data, unit="la", period="year", outcome="rate", cohort="joined")


def wide(data):
    return data.pivot_table(index="la", columns="year", values="rate").sort_index().to_numpy()


@pytest.mark.reference
class TestR:
    def cases(self, name):
        if name == "texas":
            controls, treated, _ = texas()
            return controls, treated, 1
        data = la_panel()
        kept = data[data["g"].isin([0, 13])]
        table = kept.pivot_table(index="la", columns="t", values="y")
        first = kept.groupby("la")["g"].first().loc[table.index]
        return table[first == 0].to_numpy(), table[first == 13].mean(axis=0).to_numpy(), int((first == 13).sum())

    @pytest.mark.parametrize("name", ["texas", "la"])
    @pytest.mark.parametrize("kind", ["synthdid", "sc"])
    def test_stopping_rule_of_r(self, name, kind):
        case = RECORD["cases"][name]
        controls, treated, count = self.cases(name)
        before, cells = case["T0"], count * (controls.shape[1] - case["T0"])
        assert len(controls) == case["N0"]
        options = {"synthetic_did": kind == "synthdid"}
        recipe = recipe_of(controls, before, cells, stopping="synthdid", **options)
        assert recipe.noise == pytest.approx(case["synthdid"]["noise"], rel=1e-12)
        block = fit_block(controls, treated, before, recipe)
        assert block.estimate == pytest.approx(case[kind]["estimate"], rel=1e-9)
        assert np.abs(block.omega - case[kind]["omega"]).max() < 1e-9
        if kind == "synthdid":
            assert recipe.ridge == pytest.approx(case[kind]["zeta"], rel=1e-12)
            assert np.abs(block.lam - case[kind]["lambda"]).max() < 1e-9
        exact = fit_block(
            controls, treated, before, recipe_of(controls, before, cells, stopping="exact", **options)
        )
        for ours, theirs in zip(exact.objectives, block.objectives, strict=True):
            assert ours <= theirs * (1 + 1e-12)

    def test_jackknife_and_named_option(self):
        data = la_panel()
        panel = we.did.Panel(data[data["g"].isin([0, 13])], unit="la", period="t", outcome="y", cohort="g")
        found = we.did.synthetic_did(panel, inference="jackknife", stopping="synthdid")
        case = RECORD["cases"]["la"]["synthdid"]
        assert found.overall.estimate == pytest.approx(case["estimate"], rel=1e-9)
        assert found.overall.se == pytest.approx(case["jackknife"], rel=1e-9)
        assert "R's synthdid stops" in str(found)


@pytest.fixture(scope="module")
def california():
    """R's figures, and packs a head in 38 states and California, 1970 to 2000, with 19 years before the law."""
    data = prop99()
    wide = data.pivot_table(index="State", columns="Year", values="PacksPerCapita")
    assert wide.shape == (39, 31)
    assert wide.columns[19] == data.loc[data["treated"] == 1, "Year"].min() == 1989
    return RECORD["california"], wide.drop(index="California").to_numpy(), wide.loc["California"].to_numpy()


def packs():
    data = prop99()
    data["law"] = 1989 * (data["State"] == "California")
    return we.Panel(data, unit="State", period="Year", outcome="PacksPerCapita", cohort="law")


@pytest.mark.reference
class TestProposition99:
    @pytest.mark.parametrize("kind", ["synthdid", "sc"])
    def test_every_figure_of_r(self, california, kind):
        figures, controls, treated = california
        there, options = figures[kind], {"synthetic_did": kind == "synthdid"}
        recipe = recipe_of(controls, 19, 12, stopping="synthdid", **options)
        assert recipe.ridge == pytest.approx(there["zeta"], rel=1e-12)
        block = fit_block(controls, treated, 19, recipe)
        assert block.estimate == pytest.approx(there["estimate"], rel=1e-12)
        assert block.omega == pytest.approx(there["omega"], abs=1e-13)
        assert block.lam == pytest.approx(there["lambda"], abs=1e-13)
        exact = fit_block(controls, treated, 19, recipe_of(controls, 19, 12, stopping="exact", **options))
        assert exact.objectives[0] < block.objectives[0]
        assert exact.objectives[1] <= block.objectives[1]

    @pytest.mark.parametrize("kind", ["synthdid", "sc"])
    def test_placebos_and_the_exact_optimum(self, california, kind):
        """R draws 200 of the 38 placebos with replacement; all of them are taken here."""
        found = {"synthdid": we.did.synthetic_did, "sc": we.did.synthetic_control}[kind](packs())
        # R stops 0.01% and 0.5% away
        exact = {"synthdid": -15.6054, "sc": -19.5136}[kind]
        assert found.overall.estimate == pytest.approx(exact, abs=5e-5)
        every = found.placebos.column("estimate")[1:]
        assert len(every) == 38
        assert found.overall.se == pytest.approx(np.std(every), rel=1e-12)
        assert within_draws(california[0][kind]["placebo"], every)

    def test_difference_in_differences(self, california):
        figures, controls, _ = california
        there = figures["did"]
        found = we.did.two_way_fixed_effects(packs()).overall
        assert found.estimate == pytest.approx(there["estimate"], rel=1e-12)
        assert there["omega"] == pytest.approx(np.full(38, 1 / 38))
        assert there["lambda"] == pytest.approx(np.full(19, 1 / 19))
        # the penalty has no bearing on equal weights
        assert there["zeta"] == figures["synthdid"]["zeta"]
        change = controls[:, 19:].mean(axis=1) - controls[:, :19].mean(axis=1)
        assert within_draws(there["placebo"], (38 * change - change.sum()) / 37)


def within_draws(figure, placebos, draws=200):
    """Whether the standard deviation of so many placebos drawn is within 3 of its own standard errors of that of all."""
    rng, placebos = np.random.default_rng(1), np.array(placebos)
    drawn = placebos[rng.integers(0, len(placebos), (2_000, draws))].std(axis=1)
    return abs(figure - placebos.std()) < 3 * drawn.std()


class TestSimplex:
    @pytest.mark.property
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 20), st.sampled_from([0.0, 1e-6, 0.05, 2.0]))
    def test_no_direction_improves(self, seed, n, p, ridge):
        rng = np.random.default_rng(seed)
        columns = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-2, 4)
        target = columns @ rng.dirichlet(np.full(p, 0.3)) + rng.normal(size=n) * rng.choice([0.0, 1.0])
        weights = simplex_fit(columns, target, ridge)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        gradient = columns.T @ (columns @ weights - target) / n + ridge**2 * weights
        scale = float(np.abs(columns).max() ** 2 + ridge**2) + 1.0
        assert gradient.min() >= gradient @ weights - 1e-9 * scale

    @pytest.mark.reference
    @pytest.mark.parametrize("ridge", [0.1, 1.0])
    def test_against_a_general_solver(self, ridge):
        rng = np.random.default_rng(4)
        columns, target = rng.normal(size=(9, 12)), rng.normal(size=9)
        found = simplex_fit(columns, target, ridge)
        general = minimize(
            lambda w: objective(columns, target, w, ridge),
            np.full(12, 1 / 12),
            method="SLSQP",
            bounds=[(0, 1)] * 12,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert np.abs(found - general.x).max() < 1e-4
        assert objective(columns, target, found, ridge) <= general.fun + 1e-14
        assert objective(columns, target, found, ridge) <= objective(
            columns, target, frank_wolfe(columns, target, ridge, 1e-7), ridge
        )

    def test_a_mixture_is_found(self):
        rng = np.random.default_rng(5)
        columns = rng.normal(size=(30, 10))
        weights = np.array([0.5, 0, 0, 0.3, 0, 0, 0, 0, 0.2, 0])
        assert np.abs(simplex_fit(columns, columns @ weights) - weights).max() < 1e-10


class TestPlacebos:
    def test_counted_by_hand(self):
        data = authorities()
        found = we.did.synthetic_did(panel_of(data))
        y = wide(data)
        controls = np.delete(y, 2, axis=0)
        recipe = recipe_of(controls, 6, 3, synthetic_did=True, stopping="exact")
        others = [
            fit_block(np.delete(controls, k, axis=0), controls[k], 6, recipe).estimate
            for k in range(len(controls))
        ]
        main = fit_block(controls, y[2], 6, recipe).estimate
        assert found.overall.estimate == pytest.approx(main, rel=1e-12)
        assert found.placebos.column("estimate")[1:] == pytest.approx(others, rel=1e-12)
        assert found.overall.p_value == (1 + sum(abs(x) >= abs(main) for x in others)) / 14
        assert found.overall.se == pytest.approx(np.std(others))

    @pytest.mark.parametrize("name", ["synthetic_did", "synthetic_control"])
    def test_interval_holds_what_the_test_keeps(self, name):
        """Take a constant effect from the treated outcomes: it is rejected just outside the interval."""
        data = authorities(n=24, periods=40, first=34, effect=-6.0)
        estimator = getattr(we.did, name)
        found = estimator(panel_of(data), level=0.9).overall
        assert np.isfinite([found.ci_low, found.ci_high]).all()
        on = (data["la"] == "LA02") & (data["year"] >= 2044)
        for edge, outward in ((found.ci_low, -1), (found.ci_high, 1)):
            for step, kept in ((-1e-6, True), (1e-6, False)):
                moved = data.assign(rate=data["rate"] - on * (edge + outward * step))
                assert (estimator(panel_of(moved), level=0.9).overall.p_value > 0.1) == kept

    def test_too_few_placebos_leave_the_interval_open(self):
        found = we.did.synthetic_did(panel_of(authorities(n=12)))
        assert np.isinf([found.overall.ci_low, found.overall.ci_high]).all()
        assert "no p-value can be below 0.083" in found.overall.warnings[0]

    def test_perfect_fits_are_told(self):
        found = we.did.synthetic_control(panel_of(authorities(n=40, periods=5, first=3)))
        assert "almost exactly" in found.overall.warnings[-1]

    def test_two_treated_take_every_pair(self):
        found = we.did.synthetic_did(panel_of(authorities(n=12, treated=(2, 7))))
        assert len(found.placebos) == 1 + 45
        assert "All 45 placebos" in str(found)

    def test_many_are_drawn(self):
        panel = panel_of(authorities(n=30, periods=5, first=3, treated=(1, 2, 3, 4, 5)))
        with pytest.raises(DesignError, match="rng is missing"):
            we.did.synthetic_did(panel)
        first = we.did.synthetic_did(panel, rng=3, draws=40)
        assert first.to_frame().equals(we.did.synthetic_did(panel, rng=3, draws=40).to_frame())
        assert first.overall.details["placebos"] == 40

    def test_groups_are_distinct(self):
        groups = [tuple(map(tuple, group)) for group in placebo_groups([1, 2], 6, 1_000, 9, None)]
        assert len(groups) == len(set(groups)) == 60
        assert all(len(set(a) | set(b)) == 3 for a, b in groups)

    def test_worst_fit_leaves_placebos_out(self):
        data = authorities(n=20)
        wild = data["la"] == "LA05"
        data.loc[wild, "rate"] += 80 * np.sin(np.arange(wild.sum()))
        panel = panel_of(data)
        every, some = we.did.synthetic_control(panel), we.did.synthetic_control(panel, worst_fit=5)
        assert every.overall.details["placebos"] == 19
        assert some.overall.details["placebos"] < 19
        assert "left out" in str(some)

    @pytest.mark.simulation
    def test_level(self):
        """Without an effect and with units alike the rank of the treated one is uniform."""
        hits, reps = 0, 80
        for seed in range(reps):
            data = authorities(n=12, periods=6, first=4, effect=0.0, seed=100 + seed)
            hits += we.did.synthetic_control(panel_of(data)).overall.p_value <= 0.25
        assert abs(hits / reps - 0.25) < 3.5 * np.sqrt(0.25 * 0.75 / reps)


class TestEstimate:
    def test_treated_mixture_is_met(self):
        data = authorities(n=10, effect=0.0)
        y = wide(data)
        rate = 0.6 * y[1] + 0.4 * y[4] + 7.0 * (np.arange(9) >= 6)
        data.loc[data["la"] == "LA02", "rate"] = rate
        found = we.did.synthetic_control(panel_of(data))
        assert found.overall.estimate == pytest.approx(7.0, abs=1e-4)
        assert found.weights.column("unit")[:2] == ["LA01", "LA04"]
        assert found.weights.column("weight")[0] == pytest.approx(0.6, abs=1e-3)

    @pytest.mark.property
    @pytest.mark.parametrize("name", ["synthetic_did", "synthetic_control"])
    def test_order_labels_and_units_do_not_matter(self, name):
        estimator = getattr(we.did, name)
        data = authorities(n=12)
        first = estimator(panel_of(data))
        assert estimator(panel_of(data.sample(frac=1, random_state=3))).to_frame().equals(first.to_frame())
        back = [f"Z{99 - k}" for k in range(12)]
        turned = estimator(panel_of(authorities(n=12, unit=back))).overall
        assert turned.estimate == pytest.approx(first.overall.estimate, rel=1e-9)
        assert turned.p_value == first.overall.p_value
        scaled = estimator(panel_of(data.assign(rate=data["rate"] * 1e4))).overall
        assert scaled.estimate == pytest.approx(1e4 * first.overall.estimate, rel=1e-7)

    @pytest.mark.property
    def test_levels_and_a_common_line_do_not_matter_to_synthetic_did(self):
        """Other common changes enter the penalty, which is scaled by the spread of all changes."""
        data = authorities(n=12)
        level = data["la"].str[2:].astype(int) ** 2 + 5 * (data["year"] - 2009)
        first = we.did.synthetic_did(panel_of(data)).overall
        second = we.did.synthetic_did(panel_of(data.assign(rate=data["rate"] + level))).overall
        assert second.estimate == pytest.approx(first.estimate, rel=1e-8)

    def test_cohorts_are_averaged_by_treated_cells(self):
        data = authorities(n=14, treated=(2, 5, 6))
        late = data["la"] == "LA02"
        data.loc[late, "joined"] = 2017
        both = we.did.synthetic_did(panel_of(data), rng=1, draws=19)
        parts = [
            we.did.synthetic_did(panel_of(data[~data["la"].isin(names)])).overall.estimate
            for names in (["LA02"], ["LA05", "LA06"])
        ]
        assert both.overall.estimate == pytest.approx((2 * 3 * parts[0] + 2 * parts[1]) / 8, rel=1e-12)
        assert next(row["cohort"] for row in both.time_weights) == 2016
        after = [
            item.estimate
            for item, key in zip(both.estimates, both.estimates.keys, strict=True)
            if key["event"] == 2
        ]
        assert len(after) == 1  # the early cohort alone

    def test_weights_of_the_panel_weigh_the_treated(self):
        data = authorities(n=12, treated=(2, 7)).assign(size=1.0)
        panel = we.did.Panel(
            data.assign(size=1.0 + 99.0 * (data["la"] == "LA07")),
            unit="la",
            period="year",
            outcome="rate",
            cohort="joined",
            weights="size",
        )
        y = wide(data)
        series = [row["treated"] for row in we.did.synthetic_did(panel).series]
        assert series == pytest.approx((y[2] + 100 * y[7]) / 101)


class TestDoor:
    def test_refusals(self):
        data = authorities()
        with pytest.raises(DesignError, match="LA03"):
            we.did.synthetic_did(panel_of(data.drop(index=data[data["la"] == "LA03"].index[:1])))
        with pytest.raises(DesignError, match="no unit is treated"):
            we.did.synthetic_did(panel_of(data.assign(joined=0)))
        with pytest.raises(DesignError, match="never-treated"):
            we.did.synthetic_did(panel_of(data[data["la"].isin(["LA02", "LA03"])]))
        with pytest.raises(DesignError, match="periods before treatment"):
            we.did.synthetic_did(panel_of(authorities(first=1)))
        with pytest.raises(DesignError, match="one treated unit"):
            we.did.synthetic_did(panel_of(data), inference="jackknife")
        with pytest.raises(DesignError, match="stopping"):
            we.did.synthetic_did(panel_of(data), stopping="never")
        with pytest.raises(DesignError, match="cannot stand in"):
            we.did.synthetic_did(panel_of(authorities(n=5, treated=(0, 1))))
        two = data.assign(joined=np.where(data["la"] == "LA05", 2017, data["joined"]))
        with pytest.raises(DesignError, match="2 cohorts"):
            we.did.synthetic_control(panel_of(two))

    def test_plots_and_tables(self):
        found = we.did.synthetic_did(panel_of(authorities()))
        ax = found.plot()
        assert ax.get_ylabel() == "rate"
        assert "placebo" in [text.get_text() for text in found.plot_placebos().get_legend().get_texts()]
        assert found.to_frame()["event"].tolist()[1:] == list(range(-6, 3))
        assert sum(found.time_weights.column("weight")) == pytest.approx(1)
        with pytest.raises(DesignError, match="no cohort"):
            found.plot(cohort=1999)
        assert "doi:10.1257/aer.20190159" in str(found)
