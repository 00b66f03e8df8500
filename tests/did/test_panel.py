"""The panel: what it reads, what it refuses, and what it says about odd data."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_panel import codes, frame, panel, said

import wwc_eval as we
from wwc_eval.did.panel_periods import Unreadable, read_label, scale_of
from wwc_eval.errors import DataError, DesignError

# --- reading


def test_attributes_of_a_balanced_panel():
    found = panel(frame().sample(frac=1, random_state=2))
    assert found.units.tolist() == ["Bury", "Hull", "Kent", "York"]
    assert found.periods.tolist() == [2016, 2017, 2018, 2019]
    assert found.times.tolist() == [0, 1, 2, 3]
    assert found.outcomes.shape == (4, 4)
    assert found.outcomes[0].tolist() == [46.0, 47.0, 46.0, 47.0]
    assert found.adopted.tolist() == [2, 4, 4, 4]
    assert found.cohorts.tolist() == [2, 4]
    assert found.cohort_labels == (2018, "never treated")
    assert found.treated.sum() == 2
    assert found.weights.tolist() == [1.0] * 4
    assert found.clusters.tolist() == [0, 1, 2, 3]
    assert (found.n_clusters, found.balanced, found.cross_sections, found.clustered) == (4, True, False, False)
    assert found.events[0].tolist() == [-2, -1, 0, 1]
    assert codes(found) == ["singletons"]
    assert len(found.frame) == 16
    for array in (found.outcomes, found.adopted, found.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    "make", [lambda d: d, pl.from_pandas, lambda d: pa.Table.from_pandas(d, preserve_index=False)]
)
def test_frames_of_any_library(make):
    found = panel(make(frame()), treated="on")
    assert found.adopted.tolist() == [2, 4, 4, 4]
    assert found.covariate("children")[:, 0].tolist() == [1000, 2000, 3000, 4000]


def test_the_callers_frame_is_neither_changed_nor_followed():
    data = frame()
    before = data.copy()
    found = panel(data)
    pd.testing.assert_frame_equal(data, before)
    data.loc[:, "children"] = -1
    assert found.covariate("children").min() == 1000


@pytest.mark.parametrize(
    ("labels", "joined", "unit", "times"),
    [
        ([2016, 2017, 2019, 2020], 2019, "year", [0, 1, 3, 4]),
        ([1, 2, 3, 4], 3, "period", [0, 1, 2, 3]),
        (["2016", "2017", "2018", "2019"], "2018", "year", [0, 1, 2, 3]),
        ([201617, 201718, 201819, 201920], 201819, "year", [0, 1, 2, 3]),
        (["2016-17", "2017/18", "2018-2019", "2019-20"], "2018-19", "year", [0, 1, 2, 3]),
        (["2019Q1", "2019 Q2", "2019-Q3", "2020q1"], "2019Q3", "quarter", [0, 1, 2, 4]),
        (["2019-01", "2019-02", "2019-03", "2019-05"], "2019-03", "month", [0, 1, 2, 4]),
        (["2019-03-31", "2019-06-30", "2019-09-30", "2020-03-31"], "2019-09-30", "quarter", [0, 1, 2, 4]),
        ([dt.date(2016, 3, 31), dt.date(2017, 3, 31), dt.date(2018, 3, 31), dt.date(2020, 3, 31)], dt.date(2018, 3, 31), "year", [0, 1, 2, 4]),
        (list(pd.to_datetime(["2019-01-01", "2019-02-01", "2019-03-01", "2019-06-01"])), pd.Timestamp("2019-03-01"), "month", [0, 1, 2, 5]),
        (list(pd.to_datetime(["2019-01-07", "2019-01-14", "2019-01-21", "2019-02-04"])), "2019-01-21", "week", [0, 1, 2, 4]),
        (list(pd.period_range("2019Q1", periods=4, freq="Q")), "2019Q3", "quarter", [0, 1, 2, 3]),
    ],
)  # fmt: skip
def test_periods_of_every_kind(labels, joined, unit, times):
    data = frame()
    position = {year: k for k, year in enumerate((2016, 2017, 2018, 2019))}
    data["when"] = [labels[position[year]] for year in data["year"]]
    data["start"] = [joined if la == "Bury" else None for la in data["la"]]
    found = panel(data.sample(frac=1, random_state=1), period="when", cohort="start")
    assert found.scale.unit == unit
    assert found.times.tolist() == times
    assert found.adopted.tolist() == [2, 4, 4, 4]
    assert [str(label) for label in found.periods] == [
        str(np.datetime64(x, "us") if isinstance(x, pd.Timestamp) else x) for x in labels
    ] or unit
    assert found.position(labels[1]) == 1
    with pytest.raises(DataError, match="no period"):
        found.position("1990")
    assert ("gaps" in codes(found)) == (max(times) > 3)


@pytest.mark.parametrize("never", [0, np.nan, np.inf, 0.0])
def test_never_treated_is_missing_zero_or_infinity(never):
    data = frame().assign(joined=lambda d: np.where(d["la"] == "Bury", 2018, never))
    assert panel(data).adopted.tolist() == [2, 4, 4, 4]


def test_cohorts_between_before_and_after_the_periods_are_said():
    data = frame(years=(2016, 2018, 2019), first={"Bury": 2017, "Hull": 2010, "Kent": 2025})
    found = panel(data)
    assert found.adopted.tolist() == [1, 0, 3, 3]
    for words in ("Bury joined between two periods: treated from the next one", "Hull joined before the first period",
                  "Kent joins after the last period", "no period stands between 2016 and 2018"):  # fmt: skip
        assert words in said(found)


def test_counts_with_exposure_are_rates():
    found = panel(outcome="count", exposure="children")
    np.testing.assert_allclose(found.outcomes, 0.004)
    assert found.counts[1, 0] == 8
    assert found.exposures[1, 0] == 2000


def test_weights_vary_or_not_and_zero_leaves_out():
    data = frame().assign(w=lambda d: d["children"] / 1000)
    assert panel(data, weights="w").weights.tolist() == [1, 2, 3, 4]
    assert panel(data, weights="w").cell_weights is None
    data.loc[data["year"] == 2019, "w"] = 9.0
    varying = panel(data, weights="w")
    assert varying.weights.tolist() == [1, 2, 3, 4]
    assert varying.cell_weights[:, 3].tolist() == [9.0] * 4
    assert "weights vary over time within 4 units" in said(varying)
    data.loc[data["la"] == "Hull", "w"] = 0.0
    assert panel(data, weights="w").units.tolist() == ["Bury", "Kent", "York"]


def test_clusters_above_the_unit():
    data = frame().assign(region=lambda d: np.where(d["la"].isin(["Bury", "York"]), "north", "east"))
    found = panel(data, cluster="region")
    assert found.clusters.tolist() == [1, 0, 0, 1]
    assert found.cluster_labels.tolist() == ["east", "north"]
    assert (found.n_clusters, found.clustered) == (2, True)
    assert found.clusters_of(found.adopted < 4) == 1
    data.loc[3, "region"] = "south"
    with pytest.raises(DataError, match=r"row 5, column 'region': unit 'Bury' is in several clusters"):
        panel(data, cluster="region")


# --- symbols, gaps, attrition


def test_symbols_are_missing_and_counted_never_guessed():
    data = frame().astype({"rate": object})
    data["rate"] = data["rate"].astype(str)
    data.loc[[0, 5], "rate"] = ["c", "low"]
    data.loc[[6], "rate"] = ["-"]
    found = panel(data)
    assert np.isnan(found.outcomes).sum() == 3
    assert "1 x '-', 1 x 'c' (suppressed) and 1 x 'low' (rounds to 0)" in said(found)
    data.loc[7, "rate"] = "4O.1"
    data.loc[9, "rate"] = "1_000"
    with pytest.raises(DataError) as error:
        panel(data)
    assert "row 9, column 'rate': the outcome is no number (value: '4O.1')" in str(error.value)
    assert len(error.value.problems) == 2


def test_gaps_late_comers_and_singletons_are_reported():
    data = frame()
    gone = (
        ((data["la"] == "Bury") & (data["year"] == 2017))
        | ((data["la"] == "Hull") & (data["year"] < 2018))
        | ((data["la"] == "Kent") & (data["year"] != 2016))
    )
    found = panel(data[~gone])
    assert not found.balanced
    for words in ("6 of 16 cells (37.5%) have no outcome", "1 unit with gaps: Bury (2017)", "1 unit begins after 2016: Hull (2018)",
                  "1 unit ends before 2019: Kent (2016)", "1 units have one period only and no change over time: Kent"):  # fmt: skip
        assert words in said(found)


def test_units_and_periods_without_an_outcome_are_left_out_and_said():
    data = frame()
    data.loc[data["la"] == "York", "rate"] = np.nan
    data.loc[data["year"] == 2017, "rate"] = np.nan
    found = panel(data)
    assert found.units.tolist() == ["Bury", "Hull", "Kent"]
    assert found.periods.tolist() == [2016, 2018, 2019]
    assert found.times.tolist() == [0, 2, 3]
    assert found.adopted.tolist() == [1, 3, 3]
    assert "1 units have no outcome in any period and are left out: York" in said(found)
    assert "no unit has an outcome in 2017: left out, a gap in time" in said(found)
    data["rate"] = np.nan
    with pytest.raises(DataError, match="no row has an outcome"):
        panel(data)


def test_reorganised_authorities_are_reported_and_kept_apart():
    names = ("Northamptonshire", "North Northamptonshire", "West Northamptonshire", "Poole (Pre LG)",
             "Bournemouth, Christchurch and Poole", "Stoke-on-Trent", "Stoke on Trent")  # fmt: skip
    found = panel(frame(units=names, first={"Stoke-on-Trent": 2018}))
    assert found.n_units == 7
    text = said(found)
    assert (
        "reorganised in April 2021: Northamptonshire gave way to North Northamptonshire and West Northamptonshire"
        in text
    )
    assert "reorganised in April 2019: Poole (Pre LG) gave way to Bournemouth, Christchurch and Poole" in text
    assert "look like one local authority under two names" in text


# --- refusals


def test_every_name_that_is_not_there_is_said_at_once():
    with pytest.raises(DataError) as error:
        panel(period="yaer", cohort="join", weights="w")
    text = str(error.value)
    assert len(error.value.problems) == 3
    assert "period: the data have no column 'yaer'. Fix: did you mean 'year'?" in text
    assert "did you mean 'joined'?" in text


def test_faults_of_several_columns_are_reported_together():
    data = frame().astype({"la": object})
    data.loc[0, "la"] = None
    data.loc[3, "rate"] = np.inf
    data["w"] = 1.0
    data.loc[4, "w"] = -1.0
    data["when"] = data["year"].astype(object)
    data.loc[6, "when"] = "spring"
    with pytest.raises(DataError) as error:
        panel(data, period="when", weights="w")
    text = str(error.value)
    for words in ("row 2, column 'la': the unit is missing", "row 5, column 'rate': the outcome is infinite or too large",
                  "row 6, column 'w': the weight is negative", "row 8, column 'when': the period cannot be read"):  # fmt: skip
        assert words in text


def test_two_rows_in_one_cell_are_refused_with_both_named():
    data = pd.concat([frame(), frame().iloc[[2]]], ignore_index=True)
    with pytest.raises(DataError) as error:
        panel(data)
    assert [problem.place.row for problem in error.value.problems] == [4, 18]
    assert "unit 'Bury' in 2018 has more than one row" in str(error.value)


def test_reversals_are_refused_with_the_rows_named():
    data = frame(first={"Bury": 2017, "Kent": 2018})
    data.loc[(data["la"] == "Bury") & (data["year"] == 2018), "on"] = 0
    data.loc[(data["la"] == "Kent") & (data["year"] == 2019), "on"] = 0
    with pytest.raises(DataError) as error:
        panel(data, cohort=None, treated="on")
    text = str(error.value)
    assert [problem.place.row for problem in error.value.problems] == [4, 13]
    assert "unit 'Bury' is treated from 2017 and untreated again in 2018" in text
    assert "treatment is absorbing" in text


def test_treatment_columns():
    data = frame()
    assert panel(cohort=None, treated="on").adopted.tolist() == [2, 4, 4, 4]
    assert panel(data.assign(on=data["on"].astype(bool)), cohort=None, treated="on").adopted.tolist() == [
        2,
        4,
        4,
        4,
    ]
    assert panel(cohort=None).adopted.tolist() == [4] * 4
    data.loc[5, "on"] = 2
    with pytest.raises(DataError, match="row 7, column 'on': the treatment is neither 0 nor 1"):
        panel(data, cohort=None, treated="on")
    hidden = frame()
    hidden = hidden[(hidden["la"] != "Bury") | (hidden["year"] != 2017)]
    assert "Bury (seen treated in 2018): treatment may be older" in said(panel(hidden, cohort=None, treated="on"))
    with pytest.raises(DataError, match="unit 'Bury' joins in 2017 by 'joined' and in 2018 by 'on'"):
        panel(frame().assign(joined=lambda d: np.where(d["la"] == "Bury", 2017, 0)), treated="on")


def test_cohorts_that_change_or_cannot_be_read():
    data = frame()
    data.loc[1, "joined"] = 2017
    with pytest.raises(
        DataError, match=r"row 3, column 'joined': unit 'Bury' \(2018 in its first row\) has several cohorts"
    ):
        panel(data)
    data = frame().astype({"joined": object})
    data.loc[data["la"] == "Bury", "joined"] = "April 2018"
    with pytest.raises(DataError, match="the cohort cannot be read as a period"):
        panel(data)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([2016, 2017, "2018Q1", 2019], "number and quarter labels stand in one column"),
        ([2016, 2017.5, 2018, 2019], "a period is a whole number"),
        (["2016", 2016, 2017, 2018], "one period is written in two ways"),
        ([201617, 2017, 2018, 2019], "plain numbers and years of two figures"),
        (
            [pd.Timestamp("2016-01-01 12:00"), dt.date(2017, 1, 1), dt.date(2018, 1, 1), dt.date(2019, 1, 1)],
            "no time of day",
        ),
        ([True, False, 2, 3], "true or false is no period"),
    ],
)
def test_periods_that_cannot_be(labels, words):
    data = frame()
    place = {year: k for k, year in enumerate((2016, 2017, 2018, 2019))}
    data["when"] = pd.Series([labels[place[year]] for year in data["year"]], dtype=object)
    with pytest.raises(DataError, match=words):
        panel(data, period="when", cohort=None)


def test_counts_below_zero_and_exposures_of_zero():
    data = frame()
    data.loc[0, "count"] = -1
    data.loc[5, "children"] = 0
    with pytest.raises(DataError) as error:
        panel(data, outcome="count", exposure="children")
    assert {problem.place.row for problem in error.value.problems} == {2, 7}


def test_numbers_that_cannot_be_analysed():
    for wrong, words in ((1e200, "too large for sums of squares"), (-np.inf, "infinite"), (1j, "complex number")):
        with pytest.raises(DataError, match=words):
            panel(frame().assign(rate=lambda d, wrong=wrong: d["rate"] * wrong))
    with pytest.raises(DataError) as error:
        panel(frame().assign(on=lambda d: np.where(d["on"] == 1, "yes", "no")), cohort=None, treated="on")
    assert len(error.value.problems) == 16


def test_arguments_that_are_missing_or_no_names():
    with pytest.raises(DesignError, match="needs period= and outcome="):
        we.Panel(frame(), unit="la", period=None, outcome="rate")
    with pytest.raises(DataError, match="must name a column"):
        panel(cohort=3)
    with pytest.raises(DataError, match="no rows"):
        panel(frame().iloc[:0])
    with pytest.raises(DataError, match="not a data frame"):
        panel([1, 2])


@given(
    value=st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.dates(), st.datetimes(), st.booleans())
)
@settings(max_examples=120, deadline=None)
@pytest.mark.property
def test_any_label_is_read_or_refused(value):
    try:
        kind, number = read_label(value)
    except Unreadable as reason:
        assert str(reason)
        return
    assert isinstance(number, int)
    scale, places = scale_of([(kind, number)])
    assert places.tolist() == [0]
    assert scale.position(value) == 0.0


@pytest.mark.parametrize("made", ["dates", "aware", "numbers", "nullable"])
def test_labels_of_periods_are_written_as_a_person_would(made):
    years = pd.Series([2016, 2017, 2018, 2019] * 3)
    days = pd.to_datetime(years.astype(str) + "-03-31")
    periods = {
        "dates": days,
        "aware": days.dt.tz_localize("Europe/London"),
        "numbers": years.astype(float),
        "nullable": years.astype("Float64"),
    }[made]
    data = pd.DataFrame({"la": np.repeat(["Bury", "Hull", "Kent"], 4), "at": periods, "y": np.arange(12.0) ** 1.5})
    data["start"] = periods.where(data["la"] == "Bury")
    data["start"] = data.groupby("la")["start"].transform("max").where(data["la"] == "Bury")
    found = we.Panel(data.drop(index=7), unit="la", period="at", outcome="y", cohort="start")
    first, last = ("2016", "2019") if made in ("numbers", "nullable") else ("2016-03-31", "2019-03-31")
    assert [str(found.period_label(0)), str(found.period_label(3))] == [first, last]
    text = str(found)
    assert f"{first} to {last}" in text
    assert "00:00" not in text
    assert ".0" not in text
    assert found.position(periods[2]) == 2


@pytest.mark.parametrize("dtype", [object, "bool[pyarrow]", "boolean", bool])
def test_true_and_false_say_who_is_treated(dtype):
    data = pd.DataFrame({"la": np.repeat([1, 2, 3], 4), "t": np.tile(range(4), 3), "y": np.arange(12.0) ** 1.5})
    data["on"] = pd.Series(
        [bool(a == 1 and t > 1) for a, t in zip(data["la"], data["t"], strict=True)], dtype=dtype
    )
    assert we.Panel(data, unit="la", period="t", outcome="y", treated="on").adopted.tolist() == [2, 4, 4]


def test_a_star_is_a_suppressed_figure():
    data = pd.DataFrame({"la": np.repeat([1, 2, 3], 4), "t": np.tile(range(4), 3), "y": ["*", *"12345678901"]})
    found = we.Panel(data, unit="la", period="t", outcome="y")
    assert np.isnan(found.outcomes).sum() == 1
    assert any("1 x '*' (suppressed)" in problem.message for problem in found.findings)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            ["E06000028", "E10000009", "E06000058", "E06000059"],
            "E06000028 (Bournemouth) and E10000009 (Dorset) gave",
        ),
        ([837, 836, 839, 201], "837 (Bournemouth) and 836 (Poole) gave way to 839"),
        (["909", "942", "943"], "909 (Cumbria) gave way to 942 (Cumberland) and 943 (Westmorland and Furness)"),
        (["Dorset (Pre LG)", "Dorset", "Kent"], "Dorset (Pre LG) gave way to Dorset"),
        (["E10000002", "E06000060"], "Buckinghamshire is E10000002 before and E06000060 since"),
    ],
)
def test_reorganisations_are_known_by_code_and_number(labels, words):
    data = pd.DataFrame(
        [(u, t, k * t % 5 + t) for k, u in enumerate(labels) for t in (1, 2, 3)], columns=["u", "t", "y"]
    )
    assert words in said(we.Panel(data, unit="u", period="t", outcome="y"))


@pytest.mark.parametrize("labels", [["Dorset", "Kent"], range(800, 1000), ["E06000059"], [909, 942, 5]])
def test_labels_that_are_no_authorities_are_not_taken_for_them(labels):
    data = pd.DataFrame(
        [(u, t, k * t % 5 + t) for k, u in enumerate(labels) for t in (1, 2, 3)], columns=["u", "t", "y"]
    )
    assert "reorganised" not in said(we.Panel(data, unit="u", period="t", outcome="y"))
