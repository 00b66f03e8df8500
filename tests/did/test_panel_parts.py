"""Parts of a panel, placebos, merged areas, cross-sections, looks, and the published panel of England."""

import pickle

import did_data
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_panel import codes, frame, panel, said

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError

# --- parts, placebos


def test_parts_of_a_panel():
    found = panel()
    assert found.without(["Kent"]).units.tolist() == ["Bury", "Hull", "York"]
    assert found.without("Kent").covariate("children")[:, 0].tolist() == [1000, 2000, 4000]
    later = found.between(2018)
    assert (later.periods.tolist(), later.adopted.tolist(), later.times.tolist()) == (
        [2018, 2019],
        [0, 2, 2, 2],
        [0, 1],
    )
    assert found.between(last=2017).adopted.tolist() == [2, 2, 2, 2]
    assert len(later.frame) == 8
    with pytest.raises(DataError, match="did you mean 'Kent'"):
        found.without(["Kentt"])
    with pytest.raises(DataError, match="did you mean '201"):
        found.between(20177)
    with pytest.raises(DesignError, match="comes after"):
        found.between(2018, 2016)


def test_placebo_adoption_and_outcomes():
    found = panel()
    placebo = found.with_adopted([4, 1, 4, 4])
    assert placebo.cohort_labels == (2017, "never treated")
    assert found.adopted.tolist() == [2, 4, 4, 4]
    assert found.with_outcomes(found.outcomes * 2).outcomes[0, 0] == 92.0
    for wrong in ([1, 2, 3], [5, 4, 4, 4], [-1, 4, 4, 4], [1.5, 4, 4, 4]):
        with pytest.raises(DesignError):
            found.with_adopted(wrong)
    with pytest.raises(DesignError, match="must be"):
        found.with_outcomes(np.zeros((3, 4)))
    again = pickle.loads(pickle.dumps(found))
    assert again.without(["Kent"]).units.tolist() == ["Bury", "Hull", "York"]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), drop=st.floats(0, 0.6))
@pytest.mark.property
def test_rows_in_any_order_with_any_holes_come_back(seed, drop):
    rng = np.random.default_rng(seed)
    data = frame(units=[f"LA {k}" for k in range(8)], first={"LA 3": 2018, "LA 5": 2017}).assign(
        rate=rng.normal(size=32)
    )
    data = data[rng.random(32) >= drop].sample(frac=1, random_state=seed)
    if data.empty:
        return
    found = panel(data)
    wide = data.pivot_table(index="la", columns="year", values="rate")
    assert found.units.tolist() == wide.index.tolist()
    assert found.periods.tolist() == wide.columns.tolist()
    np.testing.assert_array_equal(found.outcomes, wide.to_numpy())
    joined = data.groupby("la")["joined"].first()
    expected = [int(np.searchsorted(found.periods, j)) if j else found.n_periods for j in joined]
    assert found.adopted.tolist() == expected
    np.testing.assert_array_equal(
        found.covariate("children"), data.pivot_table(index="la", columns="year", values="children").to_numpy()
    )
    assert len(found.frame) == len(data)


def reorganised():
    rows = [("Cumbria", 2021, 60, 1000), ("Cumbria", 2022, 61, 1010), ("Cumberland", 2023, 40, 600), ("Westmorland", 2023, 30, 500),
            *(("Kent", year, 90, 3000) for year in (2021, 2022, 2023)), *(("Bury", year, 20, 400) for year in (2021, 2023))]  # fmt: skip
    return pd.DataFrame(rows, columns=["la", "year", "starts", "children"]).assign(
        joined=lambda d: np.where(d["la"] == "Kent", 2022, 0),
        region=lambda d: np.where(d["la"] == "Kent", "south", "north"),
    )


def test_merged_areas_keep_every_count_once():
    options = {"outcome": "starts", "exposure": "children"}
    found = panel(reorganised(), **options)
    one = we.did.merge_areas(found, {"Cumbria": ["Cumbria", "Cumberland", "Westmorland"]})
    assert one.units.tolist() == ["Bury", "Cumbria", "Kent"]
    np.testing.assert_array_equal(one.counts[1], [60, 61, 70])
    np.testing.assert_allclose(one.outcomes[1], [0.06, 61 / 1010, 70 / 1100])
    np.testing.assert_array_equal(np.nansum(one.counts, axis=0), np.nansum(found.counts, axis=0))
    np.testing.assert_array_equal(np.nansum(one.exposures, axis=0), np.nansum(found.exposures, axis=0))
    assert np.isnan(one.outcomes[0, 1])
    assert one.adopted.tolist() == [3, 3, 1]
    assert np.isnan(one.covariate("children")[1]).all()
    assert one.covariate("children")[2].tolist() == [3000] * 3
    assert "gaps: Bury (2022)" in said(one)
    assert "begin after" in said(found)
    assert "begin after" not in said(one)
    assert (
        "'Cumbria' adds up Cumberland (2023 to 2023), Cumbria (2021 to 2022) and Westmorland (2023 to 2023)"
        in said(one)
    )
    assert (
        we.did.merge_areas(
            panel(reorganised(), cluster="region", **options), {"C": ["Cumbria", "Cumberland"]}
        ).n_clusters
        == 2
    )


def test_areas_that_cannot_be_merged():
    options = {"outcome": "starts", "exposure": "children"}
    found = panel(reorganised(), **options)
    with pytest.raises(DataError) as error:
        we.did.merge_areas(found, {"Kent": ["Cumbria"], "other": ["Cumbria", "Burry"]})
    text = str(error.value)
    for words in (
        "area 'Kent' has the name of a unit outside it",
        "'Cumbria' stands in 'Kent' and in 'other'",
        "did you mean 'Bury'",
    ):
        assert words in text
    with pytest.raises(DesignError, match="join at different times"):
        we.did.merge_areas(found, {"area": ["Kent", "Bury"]})
    with pytest.raises(DesignError, match="rates cannot be added up"):
        we.did.merge_areas(panel(), {"area": ["Kent", "Hull"]})


# --- cross-sections


def test_cross_sections_are_cells_with_the_moments_of_their_rows():
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {
            "area": rng.choice(["A", "B", "C"], 400),
            "year": rng.integers(2018, 2022, 400),
            "y": rng.normal(size=400),
        }
    )
    data["start"] = np.where(data["area"] == "A", 2020, 0)
    data["on"] = ((data["start"] > 0) & (data["year"] >= 2020)).astype(int)
    found = we.Panel(data, unit=None, period="year", outcome="y", cohort="start", cluster="area")
    assert found.cross_sections
    assert found.units.tolist() == ["A", "B", "C"]
    assert found.adopted.tolist() == [2, 4, 4]
    grouped = data.groupby(["area", "year"])["y"]
    np.testing.assert_allclose(found.outcomes, grouped.mean().unstack().to_numpy(), atol=1e-14)  # noqa: PD010
    np.testing.assert_array_equal(found.cells.n, grouped.count().unstack().to_numpy())  # noqa: PD010
    np.testing.assert_allclose(found.cells.squares, (grouped.var(ddof=0) * grouped.count()).unstack().to_numpy())  # noqa: PD010
    by_column = we.Panel(data, unit=None, period="year", outcome="y", treated="on", cluster="area")
    assert by_column.adopted.tolist() == [2, 4, 4]
    with pytest.raises(DesignError, match="repeated cross-sections"):
        found.covariate("y")
    with pytest.raises(DesignError, match="repeated cross-sections"):
        found.between(2019)
    with pytest.raises(DesignError, match="treated= needs cluster="):
        we.Panel(data, unit=None, period="year", outcome="y", cohort="start", treated="on")
    with pytest.raises(DesignError, match="need cohort="):
        we.Panel(data, unit=None, period="year", outcome="y")
    data.loc[data.index[(data["area"] == "A") & (data["year"] == 2021)][0], "on"] = 0
    with pytest.raises(DataError, match="some rows of 'A' are treated and some are not"):
        we.Panel(data, unit=None, period="year", outcome="y", treated="on", cluster="area")
    data.loc[(data["area"] == "A") & (data["year"] == 2021), "on"] = 0
    with pytest.raises(DataError, match="cluster 'A' was treated before and is untreated again"):
        we.Panel(data, unit=None, period="year", outcome="y", treated="on", cluster="area")


# --- looks


def test_rates_are_for_so_many_units_of_exposure():
    data = pd.read_csv(did_data.SAMPLE)
    names = {"unit": "local_authority", "period": "year", "outcome": "cla_starts", "exposure": "child_population"}
    one = we.Panel(data, **names, cohort="programme_from")
    many = we.Panel(data, **names, cohort="programme_from", per=10_000)
    assert many.measure == "cla_starts per 10,000 child_population"
    for estimate in (
        lambda panel: we.did.callaway_santanna(panel).aggregate("simple").overall,
        lambda panel: we.did.two_way_fixed_effects(panel).overall,
        lambda panel: we.did.imputation(panel).overall,
        lambda panel: we.did.extended_twfe(panel, family="poisson").overall,
    ):
        first, second = estimate(one), estimate(many)
        assert second.estimate == pytest.approx(1e4 * first.estimate, rel=1e-9)
        assert second.se == pytest.approx(1e4 * first.se, rel=1e-9)
        assert second.p_value == pytest.approx(first.p_value, rel=1e-9)
    joined = we.did.merge_areas(many, {"Joined": many.units[-2:].tolist()})
    assert joined.per == 10_000
    np.testing.assert_allclose(joined.outcomes[:5], many.outcomes[:5], rtol=1e-13)
    assert 0.5 < np.median(joined.outcomes[joined.units == "Joined"]) / np.median(many.outcomes[-2:]) < 2
    with pytest.raises(we.DesignError, match="per= goes with exposure="):
        we.Panel(data, unit="local_authority", period="year", outcome="cla_starts", per=10_000)


def test_summary_and_plots(tmp_path):
    data = pd.read_csv(did_data.SAMPLE)
    found = we.Panel(data, unit="local_authority", period="year", outcome="cla_starts", exposure="child_population", cohort="programme_from")  # fmt: skip
    assert found.to_frame()["units"].tolist() == [6, 6, 6, 6, 129]
    assert "Panel: cla_starts / child_population, 153 units, 10 periods, 2016 to 2025" in str(found)
    trend, timing = found.plot(), found.plot(kind="timing")
    assert (trend.get_xlabel(), trend.get_ylabel()) == ("year", "cla_starts / child_population")
    line = next(line for line in trend.lines if line.get_label().startswith("never treated"))
    never = data[data["programme_from"].isna()].groupby("year")[["cla_starts", "child_population"]].sum()
    np.testing.assert_allclose(line.get_ydata(), never["cla_starts"] / never["child_population"])
    assert timing.get_ylabel() == "local_authority (in order of adoption)"
    for name, axes in (("trend", trend), ("timing", timing)):
        axes.figure.savefig(tmp_path / f"{name}.svg")
    with pytest.raises(DesignError, match="did you mean 'timing'"):
        found.plot(kind="timings")


# --- published figures of England


@pytest.mark.skipif(did_data.shared("sector/la_panel_2016_2025.csv") is None, reason="needs the research copies")
def test_the_published_panel_goes_through_without_hand_editing():
    data = pd.read_csv(did_data.shared("sector/la_panel_2016_2025.csv"))
    measures = data.columns[6:]
    seen = set()
    for measure in measures:
        found = we.Panel(data, unit="la", period="year", outcome=measure)
        seen |= set(codes(found))
        joined = np.full(found.n_units, found.n_periods)
        joined[:: max(2, found.n_units // 12)] = found.n_periods // 2
        result = we.did.callaway_santanna(found.with_adopted(joined))
        assert np.isfinite([i.estimate for i in result.estimates]).all()
        assert np.isfinite(result.overall.se)
    assert {"missing", "attrition", "reorganised", "gaps", "empty"} <= seen
    looked_after = said(we.Panel(data, unit="la", period="year", outcome="cla_rate_10k"))
    for words in ("70 of 1,580 cells (4.4%) have no outcome", "Bournemouth (Pre LG) (2018)", "Cumberland (2024)",
                  "Cumbria gave way to Cumberland and Westmorland and Furness"):  # fmt: skip
        assert words in looked_after
