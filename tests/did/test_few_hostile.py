"""Few treated, wherever they are shown: the permutation beside an event, words of caution, and the least p there is."""

import math

import numpy as np
import pandas as pd
import pytest
from hostile_panels import frame, panel

import wwc_eval as we
from wwc_eval.errors import DesignError

# --- the permutation beside an event is that of the event's own effect


def rank(data, event, base):
    """Share of units whose change from the mean of the base periods is as far from that of the others."""
    wide = data.pivot_table(index="la", columns="year", values="rate")
    joined = int(data["joined"].max())
    first, last = base
    change = (wide[joined + event] - wide.loc[:, joined + first : joined + last].mean(axis=1)).to_numpy()
    gap = np.abs(change - (change.sum() - change) / (len(change) - 1))
    treated = int(np.flatnonzero((data.groupby("la")["joined"].max() > 0).to_numpy())[0])
    return float(np.mean(gap >= gap[treated] * (1 - 1e-9)))


ONE = frame(n=24, cohorts={5: 1}, seed=4)
EVENT_STUDIES = {
    "reference -1": (we.did.event_study, lambda e: (-1, -1)),
    "reference -3": (lambda p: we.did.event_study(p, reference=-3), lambda e: (-3, -3)),
    "varying": (
        lambda p: we.did.callaway_santanna(p).aggregate("event"),
        lambda e: (min(e, 0) - 1, min(e, 0) - 1),
    ),
    "universal": (lambda p: we.did.callaway_santanna(p, base="universal").aggregate("event"), lambda e: (-1, -1)),
    "anticipation": (
        lambda p: we.did.callaway_santanna(p, base="universal", anticipation=1).aggregate("event"),
        lambda e: (-2, -2),
    ),
    "imputation": (lambda p: we.did.imputation(p, leads=2), lambda e: (-5, -3) if e < 0 else (-5, -1)),
    "two stage": (we.did.two_stage, lambda e: (-5, -1)),
}


@pytest.mark.parametrize("case", EVENT_STUDIES)
def test_the_permutation_of_an_event_is_that_of_its_own_change(case):
    make, base = EVENT_STUDIES[case]
    found = make(panel(ONE))
    events = [int(key["event"]) for key in found.estimates.keys]
    assert min(events) < 0 <= max(events)
    shown = [item.details["permutation_p"] for item in found.estimates]
    assert shown == pytest.approx([rank(ONE, event, base(event)) for event in events])


# --- what is said of few


def test_sensitivity_with_few_treated_says_that_its_errors_are_too_small():
    few = we.did.event_study(panel(frame(cohorts={5: 2})))
    many = we.did.event_study(panel(frame(cohorts={5: 6})))
    for verb in (we.did.honest, we.did.pre_trend_power):
        assert "2 treated clusters: conventional errors are far too small" in str(verb(few))
        assert "permutation" in verb(few).notes[-1]
        assert "conventional errors" not in str(verb(many))
    universal = we.did.callaway_santanna(few.panel, base="universal").aggregate("event")
    assert "conventional errors are far too small" in str(we.did.honest(universal))


@pytest.mark.parametrize("verb", ["event_study", "sun_abraham", "imputation", "two_stage", "extended_twfe"])
def test_events_that_few_treated_are_seen_at_are_named(verb):
    # the cohort of 2016 (six units) is seen to event 3, that of 2018 (two) to event 1 and back to event -6
    uneven = getattr(we.did, verb)(panel(frame(n=24, cohorts={4: 6, 6: 2})))
    told = [note for note in uneven.notes if "Fewer than 5 treated are seen" in note]
    events = [key["event"] for key in uneven.estimates.keys]
    if min(events) < -4:
        assert len(told) == 1
        assert "events -6 and -5:" in told[0]
    else:
        assert not told
    late = getattr(we.did, verb)(panel(frame(n=24, cohorts={4: 2, 6: 6})))
    assert len([note for note in late.notes if "Fewer than 5 treated are seen at events 2 and 3:" in note]) == 1
    even = getattr(we.did, verb)(panel(frame(n=24, cohorts={4: 6, 6: 6})))
    assert not any("Fewer than 5" in note for note in even.notes)


def test_a_triple_difference_of_few_shows_no_permutation_of_another_effect():
    data = frame(n=24, cohorts={4: 4})
    data["eligible"] = np.repeat(np.arange(24) % 2, 8)
    few = we.did.triple_difference(panel(data), "eligible")
    for item in (few.overall, *few.estimates, *few.cells, *few.by_cohort):
        assert math.isnan(item.se)
        assert math.isnan(item.details["permutation_p"])
        assert "no permutation judges this effect" in item.warnings[-1]
    more = frame(n=24, cohorts={4: 8})
    more["eligible"] = data["eligible"]
    many = we.did.triple_difference(panel(more), "eligible").overall
    assert many.se > 0
    assert "permutation_p" not in many.details


def test_what_no_method_takes_is_said_to_be_idle():
    few = panel(frame(n=12, cohorts={4: 2}))
    idle = we.did.few_treated(few, methods=("CR2",), population="size")
    assert "population is not used: ferman_pinto is not among the methods." in idle.notes
    used = we.did.few_treated(few, methods=("ferman_pinto",), population="size", rng=1, draws=99)
    assert not any("is not used" in note for note in used.notes)


# --- resampled residuals say no more than there are of them


@pytest.mark.parametrize(("n", "finite"), [(30, False), (60, True)])
def test_conley_taber_never_shows_less_than_its_smallest_p(n, finite):
    found = we.did.few_treated(panel(frame(n=n, cohorts={5: 1}, effect=50)), methods=("conley_taber",)).overall
    assert found.p_value == pytest.approx(2 / n)
    assert found.p_value == found.details["smallest_p_value"]
    assert math.isfinite(found.ci_low) is finite
    assert bool(found.warnings) is not finite
    # test and interval say one thing
    assert (found.p_value <= 0.05) is (found.ci_low > 0)


def test_ratios_of_counts_have_the_permutation_of_their_differences():
    data = frame(n=24, cohorts={4: 2, 6: 1})
    data["count"] = (data["rate"] * 3).round()
    few = we.did.extended_twfe(panel(data, outcome="count", exposure="size"), family="poisson")
    differences = [few.overall, *few.estimates, *few.by_cohort, *few.cells]
    assert len(few.ratios) == len(differences)
    for ratio, difference in zip(few.ratios, differences, strict=True):
        assert 0 < ratio.details["permutation_p"] == difference.details["permutation_p"]
        assert math.isfinite(ratio.se)
    assert few.count.details["permutation_p"] == few.overall.details["permutation_p"]
    # more are treated, and two of them alone are seen at the last events
    more = frame(n=24, cohorts={4: 2, 6: 6})
    more["count"] = (more["rate"] * 3).round()
    many = we.did.extended_twfe(panel(more, outcome="count", exposure="size"), family="poisson")
    beside = {
        key["event"]: item.details.get("permutation_p")
        for key, item in zip(many.ratios.keys, many.ratios, strict=True)
        if key["event"] is not None and key["cohort"] is None
    }
    assert (beside[0], beside[1]) == (None, None)
    assert 0 < beside[2] <= 1
    assert "permutation_p" not in many.ratios[0].details
    # every authority treated: nothing can be permuted, and no error is given on either scale
    every = frame(n=4, cohorts={4: 2, 6: 2})
    every["count"] = (every["rate"] * 3).round()
    none = we.did.extended_twfe(panel(every, outcome="count", exposure="size"), family="poisson")
    assert [math.isnan(item.se) for item in none.ratios] == [
        math.isnan(item.se) for item in (none.overall, *none.estimates, *none.by_cohort, *none.cells)
    ]


def test_the_bootstrap_without_the_null_may_find_no_draw_as_far():
    few = panel(frame(n=10, cohorts={4: 5}, effect=50))
    found = we.did.few_treated(few, methods=("wild_bootstrap", "wild_bootstrap_unrestricted"))
    assert found["wild_bootstrap"].details["smallest_p_value"] == 2 / 2**10
    assert found["wild_bootstrap"].p_value >= 2 / 2**10
    assert found["wild_bootstrap_unrestricted"].p_value == 0
    assert found["wild_bootstrap_unrestricted"].details["smallest_p_value"] == 0


def test_clusters_that_adopt_in_part_have_errors_and_a_bootstrap_but_no_permutation():
    data = frame(n=48, cohorts={4: 8, 6: 4})
    region = {name: f"R{k % 16:02d}" for k, name in enumerate(data["la"].unique())}
    source = panel(data.assign(region=data["la"].map(region)), cluster="region")
    methods = ("permutation", "wild_bootstrap", "conley_taber", "CR2", "CR3")
    for estimator in ("two_way_fixed_effects", "imputation"):
        found = we.did.few_treated(source, methods, estimator=estimator, draws=199, rng=1)
        assert "not available" in found["permutation"].method
        assert "adopted at different times" in found["permutation"].warnings[0]
        assert "not available" in found["conley_taber"].method
        assert 0 < found["wild_bootstrap"].p_value <= 1
        direct = getattr(we.did, estimator)(source).overall
        assert found["CR2"].estimate == pytest.approx(direct.estimate, rel=1e-9)
    two_way = we.did.two_way_fixed_effects(source, vcov="CR2").overall
    found = we.did.few_treated(source, ("CR2",))
    assert found["CR2"].se == pytest.approx(two_way.se, rel=1e-9)
    assert found["CR2"].df == pytest.approx(two_way.df, rel=1e-6)


def test_more_dates_than_can_be_told_apart_are_refused():
    n = 140
    rows = [(u, t, float(u * t % 7)) for u in range(n) for t in range(n + 2)]
    data = pd.DataFrame(rows, columns=["u", "t", "y"])
    data["start"] = np.where(data["u"] < 130, data["u"] + 1, 0)
    many = we.Panel(data, unit="u", period="t", outcome="y", cohort="start")
    with pytest.raises(DesignError, match="130 dates of adoption, must be at most 127"):
        we.did.few_treated(many, ("CR2",))
