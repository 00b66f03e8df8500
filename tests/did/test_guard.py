"""No conventional error of fewer than five treated clusters stands alone: by event, period, cohort and cell."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hostile_panels import frame, panel
from hypothesis import given, settings
from hypothesis import strategies as st

import wwc_eval as we
from wwc_eval.did.guard_events import fixed_bases, moving_bases

FEW = 5


def share(change, treated, size, weights=None):
    """Two-sided p of a mean change among those who could change places: every choice of so many of them."""
    weights = np.ones(len(change)) if weights is None else weights

    def gap(own):
        inside = np.zeros(len(change), dtype=bool)
        inside[list(own)] = True
        means = [np.average(change[part], weights=weights[part]) for part in (inside, ~inside)]
        return abs(means[0] - means[1])

    actual = gap(np.flatnonzero(treated))
    values = [gap(own) for own in combinations(range(len(change)), size)]
    return np.mean(np.array(values) >= actual * (1 - 1e-9))


def beside(table, name, key):
    """The p beside one row."""
    item = next(item for row, item in zip(table.keys, table, strict=True) if row.get(name) == key)
    return item.details.get("permutation_p")


@pytest.mark.parametrize(
    ("verb", "base"),
    [
        ("event_study", (3, 4)),
        ("sun_abraham", (3, 4)),
        ("callaway_santanna", (3, 4)),
        ("imputation", (0, 4)),
        ("two_stage", (3, 4)),
        ("extended_twfe", (0, 4)),
    ],
)
def test_the_permutation_beside_an_event_that_few_are_seen_at(verb, base):
    # two of 2016 are seen to event 3, six of 2018 to event 1: the two change places with the sixteen never treated
    source = panel(frame(n=24, cohorts={4: 2, 6: 6}))
    result = getattr(we.did, verb)(source)
    table = result.aggregate("event").estimates if verb == "callaway_santanna" else result.estimates
    inside = source.adopted != 6
    y, treated = source.outcomes[inside], source.adopted[inside] == 4
    for event in (2, 3):
        change = y[:, 4 + event] - y[:, slice(*base)].mean(axis=1)
        assert beside(table, "event", event) == pytest.approx(share(change, treated, 2), abs=1e-12), event
    assert beside(table, "event", 0) is None
    assert beside(table, "event", 1) is None


def test_the_permutation_beside_a_period_that_few_are_treated_in():
    source = panel(frame(n=24, cohorts={3: 2, 5: 1, 6: 6}))
    table = we.did.callaway_santanna(source).aggregate("calendar").estimates
    early = source.adopted != 6
    y, adopted = source.outcomes[source.adopted > 5], source.outcomes[source.adopted == 3]
    change = np.r_[adopted[:, 4] - adopted[:, 2], y[:, 4] - y[:, 2]]
    treated = np.arange(len(change)) < 2
    keep = np.r_[True, True, (source.adopted[source.adopted > 5] == 8)]
    assert beside(table, "period", 2016) == pytest.approx(share(change[keep], treated[keep], 2), abs=1e-12)
    # two and one, whose changes are from years of their own, change places with the never treated
    y, cohort = source.outcomes[early], source.adopted[early]
    change = y[:, [5]] - y[:, [2, 4]]

    def gap(two, one):
        rest = np.setdiff1d(np.arange(len(y)), [*two, one])
        first = change[list(two), 0] - change[rest, 0].mean()
        return abs((first.sum() + change[one, 1] - change[rest, 1].mean()) / 3)

    actual = gap(np.flatnonzero(cohort == 3), np.flatnonzero(cohort == 5)[0])
    values = [gap(two, one) for two in combinations(range(len(y)), 2) for one in range(len(y)) if one not in two]
    assert beside(table, "period", 2017) == pytest.approx(np.mean(np.array(values) >= actual * (1 - 1e-9)))
    assert beside(table, "period", 2018) is None


def test_clusters_above_the_units_change_hands_whole():
    data = frame(n=40, cohorts={4: 4, 6: 12})
    names = data["la"].drop_duplicates().tolist()
    region = {name: f"R{k // 2:02d}" for k, name in enumerate(names)}
    data["region"] = data["la"].map(region)
    source = panel(data, cluster="region")
    result = we.did.callaway_santanna(source)
    change = source.outcomes[:, 7] - source.outcomes[:, 3]
    inside = source.adopted != 6
    by_region = pd.Series(change[inside]).groupby(source.clusters[inside])
    first = pd.Series(source.adopted[inside] == 4).groupby(source.clusters[inside]).first().to_numpy()
    expected = share(by_region.mean().to_numpy(), first, 2, by_region.size().to_numpy(float))
    row = next(
        item
        for key, item in zip(result.estimates.keys, result.estimates, strict=True)
        if (key["cohort"], key["period"]) == (2016, 2019)
    )
    assert row.details["permutation_p"] == pytest.approx(expected, abs=1e-12)
    assert beside(result.aggregate("event").estimates, "event", 3) == pytest.approx(expected, abs=1e-12)


def test_a_cluster_of_both_sides_leaves_nothing_to_permute_and_no_error():
    data = frame(n=30, cohorts={4: 3, 6: 8})
    names = data["la"].drop_duplicates().tolist()
    data["region"] = data["la"].map({name: f"R{k % 15:02d}" for k, name in enumerate(names)})
    result = we.did.callaway_santanna(panel(data, cluster="region"))
    for key, item in zip(result.estimates.keys, result.estimates, strict=True):
        if key["cohort"] == 2016:
            assert math.isnan(item.se)
            assert "no permutation judges this effect" in item.warnings[-1]
        else:
            assert item.se > 0


def test_without_never_treated_the_later_treated_take_their_place():
    source = panel(frame(n=20, cohorts={3: 2, 5: 9, 7: 9}))
    table = we.did.callaway_santanna(source, control="not_yet").aggregate("event").estimates
    # event 2 is 2017 for the two of 2015, when those of 2019 alone are untreated; the nine of 2017 see events 0 to 1
    y = np.r_[source.outcomes[source.adopted == 3], source.outcomes[source.adopted == 7]]
    change, treated = y[:, 6] - y[:, 2], np.arange(11) < 2
    assert beside(table, "event", 3) == pytest.approx(share(change, treated, 2), abs=1e-12)
    assert beside(table, "event", 0) is None


def test_children_seen_once_are_permuted_by_means_of_areas():
    rng = np.random.default_rng(4)
    rows = [
        (f"A{a:02d}", 2015 + t, 5 + 0.1 * t + rng.normal() + (a < 2) * (t >= 3))
        for a in range(20)
        for t in range(6)
        for _ in range(5 + a % 4)
    ]
    data = pd.DataFrame(rows, columns=["area", "year", "y"])
    data["start"] = np.where(data["area"].isin(["A00", "A01"]), 2018, 0)
    options = {"unit": None, "period": "year", "outcome": "y", "cohort": "start"}
    once = we.Panel(data, **options, cluster="area")
    result = we.did.callaway_santanna(once)
    means = data.pivot_table(index="area", columns="year", values="y").to_numpy()
    for year in (2018, 2020):
        change = means[:, year - 2015] - means[:, 2]
        expected = share(change, np.arange(20) < 2, 2)
        row = next(i for k, i in zip(result.estimates.keys, result.estimates, strict=True) if k["period"] == year)
        assert row.details["permutation_p"] == pytest.approx(expected, abs=1e-12)
        assert beside(result.aggregate("event").estimates, "event", year - 2018) == pytest.approx(expected)
        assert beside(result.aggregate("calendar").estimates, "period", year) == pytest.approx(expected)
    areas = we.did.area_means(once)
    few = we.did.few_treated(areas, methods=("permutation",), draws=99, rng=1).estimates[0]
    assert result.overall.details["permutation_p"] == pytest.approx(few.p_value, abs=1e-12)
    assert "on means by cluster and period" in result.overall.warnings[0]
    # sampled children without areas have no clusters to count
    alone = we.did.callaway_santanna(we.Panel(data, **options))
    assert "permutation_p" not in alone.overall.details


def test_events_that_no_permutation_judges_have_no_error():
    data = frame(n=32, cohorts={4: 4, 6: 12})
    data["eligible"] = np.repeat(np.arange(32) % 2, 8)
    found = we.did.triple_difference(panel(data), "eligible")
    for key, item in zip(found.estimates.keys, found.estimates, strict=True):
        assert math.isnan(item.se) == (key["event"] in (2, 3)), key
    assert any("events 2 and 3: conventional errors there are too small; none are given" in n for n in found.notes)


def test_bases_are_those_of_the_estimators():
    assert moving_bases([-3, -2, -1, 0, 2], "varying", 1) == {
        -3: (-4, -4),
        -2: (-3, -3),
        -1: (-2, -2),
        0: (-2, -2),
        2: (-2, -2),
    }
    assert set(moving_bases([-3, 0], "universal", 0).values()) == {(-1, -1)}
    assert fixed_bases([-2, 1], None) == {-2: (None, -3), 1: (None, -1)}
    assert fixed_bases([-2, 1], -1) == {-2: (-1, -1), 1: (-1, -1)}


# --- whatever the panel, whatever the estimator

VERBS = ("event_study", "sun_abraham", "imputation", "two_stage", "extended_twfe", "stacked", "callaway_santanna")


def seen_by(source, key):
    """Treated clusters behind a row: by event, cohort, period, or cohort and period."""
    joins = (source.adopted > 0) & (source.adopted < source.n_periods)
    if "cohort" in key:
        joins &= source.adopted == source.position(key["cohort"])
    if "period" in key:
        joins &= source.observed[:, source.position(key["period"])]
        if "cohort" not in key:
            joins &= source.adopted <= source.position(key["period"])
    elif "event" in key:
        joins &= ((source.events == key["event"]) & source.observed).any(axis=1)
    return len(np.unique(source.clusters[joins]))


def tables(result):
    """Every table of a result."""
    if hasattr(result, "aggregate"):
        yield result.estimates
        for kind in ("event", "cohort", "calendar"):
            yield result.aggregate(kind).estimates
        return
    yield from (table for table in (result.estimates, result.cells, result.by_cohort) if table is not None)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.dictionaries(st.sampled_from([2, 3, 5, 6]), st.integers(1, 7), min_size=1, max_size=3),
    never=st.sampled_from([6, 15]),
    missing=st.sampled_from([0.0, 0.05]),
    clustered=st.booleans(),
    verb=st.sampled_from(VERBS),
    seed=st.integers(0, 99),
)
def test_no_conventional_error_of_few_stands_alone(*, sizes, never, missing, clustered, verb, seed):
    n = sum(sizes.values()) + never
    data = frame(n=n, cohorts=sizes, seed=seed)
    data["pair"] = np.repeat(np.arange(n) // 2, 8)
    data = data[np.random.default_rng(seed).random(len(data)) >= missing]
    source = panel(data, cluster="pair" if clustered else None)
    try:
        result = getattr(we.did, verb)(source)
    except we.DesignError:
        return
    for table in (*tables(result), None):
        rows = [({}, result.overall)] if table is None else zip(table.keys, table, strict=True)
        for key, item in rows:
            if seen_by(source, key) < FEW:
                p = item.details.get("permutation_p")
                assert math.isnan(item.se) or (p is not None and 0 < p <= 1), (key, item)


def test_rows_and_frames_carry_the_permutation():
    source = panel(frame(n=24, cohorts={4: 2, 6: 6}))
    averages = we.did.callaway_santanna(source).aggregate("event")
    for result in (averages, averages.bootstrap(99, rng=1), we.did.sun_abraham(source)):
        rows = result.to_dicts()
        own = [item.details.get("permutation_p", math.nan) for item in (result.overall, *result.estimates)]
        np.testing.assert_array_equal([row["permutation_p"] for row in rows], own)
        np.testing.assert_array_equal(result.estimates.to_frame()["permutation_p"], own[1:])
        assert math.isfinite(rows[-1]["permutation_p"])
    many = we.did.sun_abraham(panel(frame(n=24, cohorts={4: 6, 6: 6})))
    assert "permutation_p" not in many.estimates.to_frame()


def test_intervals_of_few_are_dashed_in_figures():
    source = panel(frame(n=40, periods=10, cohorts={4: 3, 6: 4}))
    many = panel(frame(n=40, periods=10, cohorts={4: 6, 6: 6}))

    def dashed(ax):
        solid = [c for c in ax.collections if c.get_linestyle()[0][1] is None]
        rest = [c for c in ax.collections if c.get_linestyle()[0][1] is not None]
        return sum(len(c.get_segments()) for c in rest), sum(len(c.get_segments()) for c in solid)

    event_study = we.did.sun_abraham(source)
    thin = sum("permutation_p" in item.details for item in event_study.estimates)
    ax = event_study.plot()
    assert dashed(ax) == (thin, len(event_study.estimates) - thin)
    assert any("fewer than 5 treated" in text.get_text() for text in ax.get_legend().get_texts())
    averages = we.did.callaway_santanna(source).aggregate("event")
    assert dashed(averages.plot())[0] == sum("permutation_p" in item.details for item in averages.estimates)
    assert dashed(we.did.compare(source, draws=99, rng=1, sensitivity=False).plot_events())[0] > thin
    ax = we.did.sun_abraham(many).plot()
    assert dashed(ax)[0] == 0
    assert not any("fewer than 5" in text.get_text() for text in ax.get_legend().get_texts())


def test_a_withheld_error_takes_its_band_along():
    data = frame(n=30, cohorts={4: 3, 6: 8})
    data["region"] = data["la"].map({name: f"R{k % 15:02d}" for k, name in enumerate(data["la"].unique())})
    result = we.did.callaway_santanna(panel(data, cluster="region")).bootstrap(99, rng=1)
    for row in result.estimates.to_dicts():
        assert math.isnan(row["band_low"]) == math.isnan(row["se"]) == (row["cohort"] == 2016)


@pytest.mark.parametrize("base", ["varying", "universal"])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_across_gaps_in_time_an_effect_is_judged_by_its_own_change(base, anticipation):
    gone = [2014, 2016, 2018]
    data = frame(n=12, cohorts={7: 2})
    source = panel(data[~data["year"].isin(gone)])
    result = we.did.callaway_santanna(source, base=base, anticipation=anticipation)
    cells, items = result.group_times, result.aggregate("event").estimates
    assert len(items) == 4
    for column, start, item in zip(cells.period, cells.base, items, strict=True):
        change = source.outcomes[:, column] - source.outcomes[:, start]
        gaps = [
            abs(change[list(pair)].mean() - np.delete(change, list(pair)).mean())
            for pair in combinations(range(12), 2)
        ]
        assert item.details["permutation_p"] == pytest.approx(np.mean(np.array(gaps) >= gaps[0] - 1e-9))


def test_errors_that_are_withheld_are_not_said_to_have_a_permutation():
    data = frame(n=24, cohorts={4: 3})
    region = {name: f"R{k % 8}" for k, name in enumerate(data["la"].unique())}
    found = we.did.callaway_santanna(panel(data.assign(region=data["la"].map(region)), cluster="region"))
    assert any(note.endswith("and where none can be made they are not given.") for note in found.notes)
    assert any("none are given: treatment cannot be permuted" in text for text in found.overall.warnings)
    plain = we.did.callaway_santanna(panel(data))
    assert any(note.endswith("a permutation stands beside them.") for note in plain.notes)


def test_a_comparison_says_what_its_sensitivity_rests_on():
    few, many = (we.did.compare(panel(frame(n=30, cohorts={4: k})), draws=99, rng=1) for k in (3, 8))
    assert "rest on conventional errors, which are too small" in str(few)
    assert "rest on conventional errors" not in str(many)
