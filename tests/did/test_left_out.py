"""One authority left out at a time: refits of every estimator, children seen once, and what cannot be had."""

import functools
import math
import re

import numpy as np
import pandas as pd
import pytest
from few_panels import la_frame, ols, panel_of

import wwc_eval as we
from wwc_eval.did.guard import guard_of
from wwc_eval.did.left_out import REFITTED
from wwc_eval.errors import DesignError

TREATED = ((1, 4), (3, 4), (5, 6), (6, 6), (8, 4), (9, 6))
OPTIONS = {"stacked": {"leads": 2, "lags": 1}, "callaway_santanna": {"control": "not_yet"}}


def test_one_authority_left_out_equals_refits_and_is_named():
    frame = la_frame(n=25, treated=((1, 4), (3, 4), (5, 6), (6, 6), (8, 3), (9, 3)))
    panel = panel_of(frame)
    found = we.did.leave_one_out(panel)
    for key, row in zip(found.estimates.keys, found.estimates, strict=True):
        smaller = panel_of(frame[frame["la"] != key["left_out"]])
        assert row.estimate == pytest.approx(ols(smaller, smaller.adopted)[0], rel=1e-9)
        assert row.details["change"] == pytest.approx(row.estimate - found.overall.estimate)
    assert [key["left_out"] for key in found.estimates.keys] == ["E001", "E003", "E005", "E006", "E008", "E009"]
    assert len(we.did.leave_one_out(panel, "all", estimator="imputation").estimates) == 25
    with pytest.raises(DesignError, match="one treated cluster"):
        we.did.leave_one_out(panel_of(la_frame(treated=((1, 4),))))


@pytest.mark.parametrize("name", REFITTED)
def test_every_estimator_is_refitted_with_its_own_interval(name):
    frame = la_frame(n=25, treated=TREATED)
    panel, options = panel_of(frame), OPTIONS.get(name, {})
    verb = getattr(we.did, name)
    found = we.did.leave_one_out(panel, estimator=name, level=0.9, **options)
    assert found.overall.estimate == pytest.approx(verb(panel, **options).overall.estimate, rel=1e-12)
    for key, row in zip(found.estimates.keys, found.estimates, strict=True):
        refit = verb(panel_of(frame[frame["la"] != key["left_out"]]), level=0.9, **options).overall
        assert (row.estimate, row.ci_low, row.ci_high) == pytest.approx(
            (refit.estimate, refit.ci_low, refit.ci_high), rel=1e-9
        )
    # degrees of freedom are those of the smaller panel
    assert found.estimates[0].method.split(";")[0] == found.overall.method.split(";")[0]
    told = str(found)
    both = re.search(r"Smallest and largest: (\S+) and (\S+)\.\n", f"{told}\n")
    assert both
    # two figures are told to the same decimals
    assert len(both[1].partition(".")[2]) == len(both[2].partition(".")[2])
    values = sorted(row.estimate for row in found.estimates)
    assert [float(text) for text in both.groups()] == pytest.approx([values[0], values[-1]], rel=0.05)


def test_a_function_of_the_panel_is_refitted_too_and_takes_no_options():
    panel = panel_of(la_frame(n=25, treated=TREATED))
    by_name = we.did.leave_one_out(panel, estimator="sun_abraham", vcov="CR2")
    by_function = we.did.leave_one_out(panel, estimator=functools.partial(we.did.sun_abraham, vcov="CR2"))
    assert by_name.estimates.to_dicts() == by_function.estimates.to_dicts()
    second = we.did.leave_one_out(panel, estimator=lambda part: we.did.imputation(part).by_cohort[0])
    assert [key["left_out"] for key in second.estimates.keys] == ["E001", "E003", "E005", "E006", "E008", "E009"]
    with pytest.raises(DesignError, match="covariates cannot be handed to a function"):
        we.did.leave_one_out(panel, estimator=we.did.imputation, covariates="x")
    with pytest.raises(DesignError, match="estimator == 'synthetic'"):
        we.did.leave_one_out(panel, estimator="synthetic")


@pytest.mark.parametrize("name", ["two_way_fixed_effects", "callaway_santanna", "imputation", "sun_abraham"])
def test_with_fewer_than_five_left_no_interval_is_given_and_nothing_is_permuted(name):
    panel = panel_of(la_frame(n=25, treated=TREATED[:5]))
    found = we.did.leave_one_out(panel, estimator=name)
    assert math.isfinite(found.overall.se)
    for row in found.estimates:
        assert math.isfinite(row.estimate)
        assert math.isnan(row.se)
        assert math.isnan(row.p_value)
        assert row.method.endswith("no conventional interval with 4 treated clusters")
        assert "permutation_p" not in row.details
    # the guard stands in its place again afterwards
    four = panel.without([panel.units[1]])
    assert guard_of(four) is not None
    assert "permutation_p" in we.did.two_way_fixed_effects(four).overall.details


def test_clusters_above_the_units_are_left_out_whole():
    frame = la_frame(n=24, treated=tuple((k, 4) for k in range(12)))
    frame["region"] = "R" + (frame["la"].str[1:].astype(int) // 2).astype(str).str.zfill(2)
    panel = panel_of(frame, cluster="region")
    found = we.did.leave_one_out(panel, estimator="imputation")
    assert [key["left_out"] for key in found.estimates.keys] == [f"R{k:02d}" for k in range(6)]
    first = panel_of(frame[frame["region"] != "R00"], cluster="region")
    assert found.estimates[0].estimate == pytest.approx(we.did.imputation(first).overall.estimate, rel=1e-12)


def test_what_cannot_be_had_without_one_is_a_missing_row_with_its_reason():
    # the only authority that is never treated is the only comparison
    frame = la_frame(n=7, treated=tuple((k, 4) for k in range(6)))
    found = we.did.leave_one_out(panel_of(frame), "all", estimator="two_way_fixed_effects")
    rows = dict(zip([key["left_out"] for key in found.estimates.keys], found.estimates, strict=True))
    assert math.isnan(rows["E006"].estimate)
    assert rows["E006"].warnings
    assert all(math.isfinite(row.estimate) for name, row in rows.items() if name != "E006")
    assert "Not to be had without E006:" in str(found)


def children(seed=3):
    """2,000 children seen once in 16 areas, six of which begin in the fourth of seven years."""
    rng = np.random.default_rng(seed)
    area, year, age = rng.integers(0, 16, 2_000), rng.integers(0, 7, 2_000), rng.integers(0, 18, 2_000)
    start = np.where(area < 6, 2015, 0)
    y = 0.1 * age + 0.05 * age * year - 1.0 * ((area < 6) & (year >= 3)) + rng.normal(size=2_000)
    columns = {"area": area, "year": 2012 + year, "start": start, "age": age, "y": y}
    return pd.DataFrame(columns | {"w": rng.uniform(0.5, 2, 2_000)})


def test_areas_of_children_seen_once_are_left_out_with_all_their_children():
    data = children()
    data.loc[[5, 90], "y"] = np.nan

    def read(rows):
        names = {"unit": None, "period": "year", "outcome": "y", "cohort": "start", "cluster": "area"}
        return we.Panel(rows, **names, weights="w")

    found = we.did.leave_one_out(read(data), estimator="callaway_santanna", covariates=["age"])
    assert [key["left_out"] for key in found.estimates.keys] == list(range(6))
    for key, row in zip(found.estimates.keys, found.estimates, strict=True):
        refit = we.did.callaway_santanna(read(data[data["area"] != key["left_out"]]), covariates=["age"]).overall
        assert (row.estimate, row.se) == pytest.approx((refit.estimate, refit.se), rel=1e-10)
    alone = we.Panel(data, unit=None, period="year", outcome="y", cohort="start")
    with pytest.raises(DesignError, match=r"one treated cluster|no clusters to leave out"):
        we.did.leave_one_out(alone, estimator="callaway_santanna")
