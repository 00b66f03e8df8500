"""Callaway and Sant'Anna: one estimator by several routes, unbalanced panels, covariates, clusters, cross-sections."""

import did_data
import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.did.cs_averages import every_effect
from wwc_eval.did.cs_cells import group_times
from wwc_eval.did.cs_effects import _balanced, _pairwise

# --- one estimator by several routes


def by_hand(data, cohort, period, base, missing=()):
    """One effect and its error from first principles: difference of mean changes, root of squared influences."""
    wide = data.pivot_table(index="la", columns="t", values="y")
    change = wide[period] - wide[base]
    first = data.groupby("la")["g"].first().loc[wide.index]
    parts = [change[(first == g) & change.notna()] for g in (cohort, 0)]
    error = sum((((part - part.mean()) / len(part)) ** 2).sum() for part in parts)
    return parts[0].mean() - parts[1].mean(), np.sqrt(error)


def thinned(share, seed, keep=()):
    data = did_data.la_panel()
    gone = np.random.default_rng(seed).random(len(data)) < share
    return data[~gone | data["t"].isin(keep)]


def la(data, **options):
    return we.Panel(data, unit="la", period="t", outcome="y", cohort="g", **options)


def test_an_unbalanced_panel_uses_the_units_seen_in_both_periods():
    data = thinned(0.07, 5)
    result = we.did.callaway_santanna(la(data))
    rows = {(k["cohort"], k["period"]): i for k, i in zip(result.estimates.keys, result.estimates, strict=True)}
    for cohort, period, base in ((13, 20, 12), (25, 30, 24), (25, 5, 4), (33, 40, 32)):
        value, se = by_hand(data, cohort, period, base)
        assert rows[cohort, period].estimate == pytest.approx(value, rel=1e-12)
        assert rows[cohort, period].se == pytest.approx(se, rel=1e-12)


def test_the_balanced_and_the_pairwise_route_agree():
    panel = la(did_data.la_panel(), weights="pop")
    cells = group_times(panel, control="not_yet", base="varying", anticipation=0)
    (one, first), (two, second) = _balanced(panel, cells), _pairwise(panel, cells)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-11)
    every = every_effect(cells)
    # a comparison of several cohorts is one pool in both
    np.testing.assert_allclose(first.by_unit(every), second.by_unit(every), rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.variance(every), second.variance(every), rtol=1e-10)


@pytest.mark.simulation
def test_seven_per_cent_of_cells_missing_cost_less_than_fifteen_per_cent():
    data = did_data.la_panel()
    # three cohorts of 20 in place of six of three or four
    first = np.zeros(151, dtype=int)
    first[1:][np.random.default_rng(1).permutation(150)[:60]] = np.repeat([13, 21, 29], 20)
    for frame, mean, most in ((data.assign(g=first[data["la"]]), 1.1, 1.15), (data, 1.1, 1.3)):
        whole = we.did.callaway_santanna(la(frame))
        ratios, events = [], []
        for seed in range(15):
            kept = frame[np.random.default_rng(seed).random(len(frame)) >= 0.07]
            some = we.did.callaway_santanna(la(kept))
            ratios.append(error(some, "simple") / error(whole, "simple"))
            events.append(error(some, "event", last=8) / error(whole, "event", last=8))
        assert max(np.mean(ratios), np.mean(events)) < mean
        assert max(ratios + events) < most


def error(result, kind, **window):
    """Standard error of an overall average."""
    return result.aggregate(kind, **window).overall.se


def test_an_unbalanced_panel_keeps_nearly_all_of_its_precision():
    data = did_data.mpdta()
    thin = data[((data["countyreal"] * 7 + data["year"] * 13) % 17) != 0]
    whole, some = (
        we.did.callaway_santanna(
            we.Panel(d, unit="countyreal", period="year", outcome="lemp", cohort="first.treat")
        )
        for d in (data, thin)
    )
    # R's did falls back to repeated cross-sections here: .054
    assert some.overall.se == pytest.approx(0.01334, abs=5e-6)
    assert some.overall.se / whole.overall.se < 1.15


def test_covariates_that_explain_nothing_new_are_refused_in_words():
    data = did_data.la_panel().assign(one=1.0)
    result = we.did.callaway_santanna(la(data), covariates="one")
    assert "collinear" in " ".join(result.notes)
    with pytest.raises(we.DesignError, match="no effect after treatment"):
        result.aggregate()


def test_text_covariates_are_indicators():
    data = did_data.la_panel()
    data["region"] = np.where(data["x"] > 0, "north", "south")
    data["south"] = (data["region"] == "south").astype(float)
    for method in ("dr", "or"):
        text = we.did.callaway_santanna(la(data), covariates=["region"], method=method)
        number = we.did.callaway_santanna(la(data), covariates=["south"], method=method)
        np.testing.assert_allclose(text.values, number.values, rtol=1e-9)


def test_covariates_that_vary_are_read_in_the_earlier_period():
    data = did_data.la_panel()
    rng = np.random.default_rng(2)
    data["z"] = rng.normal(size=len(data))
    result = we.did.callaway_santanna(la(data), covariates="z", method="or")
    wide = data.pivot_table(index="la", columns="t", values=["y", "z"])
    first = data.groupby("la")["g"].first()
    change = wide["y"][20] - wide["y"][12]
    x = np.column_stack([np.ones(150), wide["z"][12]])
    never = (first == 0).to_numpy()
    slope, *_ = np.linalg.lstsq(x[never], change[never], rcond=None)
    treated = (first == 13).to_numpy()
    expected = (change[treated] - x[treated] @ slope).mean()
    rows = {(k["cohort"], k["period"]): i for k, i in zip(result.estimates.keys, result.estimates, strict=True)}
    assert rows[13, 20].estimate == pytest.approx(expected, rel=1e-10)


def test_perfect_prediction_of_treatment_leaves_effects_out_and_says_so():
    data = did_data.la_panel()
    data["x"] = np.where(data["g"] == 13, 100.0 + data["x"], data["x"])
    result = we.did.callaway_santanna(la(data), covariates="x")
    assert np.isnan(result.values[:39]).all()  # noqa: PD011
    assert np.isfinite(result.values[39:]).all()  # noqa: PD011
    assert any("propensity" in note for note in result.notes)
    assert len(result.estimates) == 195


# --- clusters, cross-sections


def test_clusters_of_one_unit_change_nothing_and_larger_ones_add_up():
    data = did_data.la_panel()
    data["own"], data["region"] = data["la"], data["la"] % 30
    plain = we.did.callaway_santanna(la(data))
    alone = we.did.callaway_santanna(la(data, cluster="own"))
    np.testing.assert_allclose([i.se for i in alone.estimates], [i.se for i in plain.estimates], rtol=1e-12)
    assert alone.overall.se == pytest.approx(plain.overall.se, rel=1e-12)
    event = plain.aggregate("event")
    regions = we.did.callaway_santanna(la(data, cluster="region")).aggregate("event")
    codes = data.groupby("la")["region"].first().to_numpy()
    own = np.array([event.unit_influence[codes == r].sum(axis=0) for r in range(30)])
    np.testing.assert_allclose(regions.influence, own, rtol=0, atol=1e-13)
    np.testing.assert_allclose(regions.vcov, own.T @ own, rtol=1e-9, atol=1e-12)
    assert regions.overall.n_clusters == 30


def children(seed=4, areas=24, periods=6):
    """Children seen once, in areas of unequal size; areas 0 to 7 treated from position 3 or 4."""
    rng = np.random.default_rng(seed)
    rows = []
    for area in range(areas):
        start = 2020 + (area % 2) if area < 8 else 0
        for t in range(periods):
            n = rng.integers(5, 40)
            effect = -1.0 * (start > 0 and 2017 + t >= start)
            rows.append(
                pd.DataFrame(
                    {"area": f"A{area:02d}", "year": 2017 + t, "start": start, "y": rng.normal(3 + effect, 1, n)}
                )
            )
    data = pd.concat(rows, ignore_index=True)
    data["w"] = rng.uniform(0.5, 2.0, len(data))
    return data


@pytest.mark.parametrize("weights", [None, "w"])
def test_cross_sections_compressed_to_cells_equal_the_rows(weights):
    data = children()
    w = data["w"].to_numpy() if weights else np.ones(len(data))
    result = we.did.callaway_santanna(
        we.Panel(data, unit=None, period="year", outcome="y", cohort="start", weights=weights)
    )
    clustered = we.did.callaway_santanna(
        we.Panel(data, unit=None, period="year", outcome="y", cohort="start", weights=weights, cluster="area")
    )
    y, start, year = (data[name].to_numpy() for name in ("y", "start", "year"))
    value, influence = 0.0, np.zeros(len(data))
    for cohort, sign in ((2020, 1.0), (0, -1.0)):
        for period, side in ((2021, sign), (2019, -sign)):
            rows = (start == cohort) & (year == period)
            mean = np.average(y[rows], weights=w[rows])
            value += side * mean
            influence[rows] += side * w[rows] * (y[rows] - mean) / w[rows].sum()
    at = [k["cohort"] == 2020 and k["period"] == 2021 for k in result.estimates.keys].index(True)
    assert result.estimates[at].estimate == pytest.approx(value, rel=1e-12)
    assert result.estimates[at].se == pytest.approx(np.sqrt((influence**2).sum()), rel=1e-12)
    by_area = pd.Series(influence).groupby(data["area"]).sum()
    assert clustered.estimates[at].estimate == pytest.approx(value, rel=1e-12)
    assert clustered.estimates[at].se == pytest.approx(np.sqrt((by_area**2).sum()), rel=1e-12)
    assert result.overall.n_clusters is None
    assert clustered.overall.n_clusters == 24


def test_cross_sections_pool_the_not_yet_treated_as_one():
    data = children()
    result = we.did.callaway_santanna(
        we.Panel(data, unit=None, period="year", outcome="y", cohort="start"), control="not_yet"
    )
    y, start, year = (data[name].to_numpy() for name in ("y", "start", "year"))
    value, influence = 0.0, np.zeros(len(data))
    for members, sign in ((start == 2020, 1.0), ((start == 0) | (start == 2021), -1.0)):
        for period, side in ((2020, sign), (2019, -sign)):
            rows = members & (year == period)
            value += side * y[rows].mean()
            influence[rows] += side * (y[rows] - y[rows].mean()) / rows.sum()
    at = [k["cohort"] == 2020 and k["period"] == 2020 for k in result.estimates.keys].index(True)
    assert result.estimates[at].estimate == pytest.approx(value, rel=1e-12)
    assert result.estimates[at].se == pytest.approx(np.sqrt((influence**2).sum()), rel=1e-12)
