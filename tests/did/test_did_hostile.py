"""Panels as a stranger brings them: very few units, every unit a cohort of its own, nothing to compare, messy labels."""

import math

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError

ROLES = {"unit": "la", "period": "year", "outcome": "rate", "cohort": "joined"}


def frame(n=30, periods=8, cohorts=None, *, effect=3.0, seed=0):
    """So many authorities from 2012 on, the first of them treated: {position of the first treated period: how many}."""
    rng = np.random.default_rng(seed)
    joined = np.zeros(n, dtype=int)
    at = 0
    for position, count in (cohorts or {4: 4, 6: 4}).items():
        joined[at : at + count] = 2012 + position
        at += count
    years = 2012 + np.arange(periods)
    treated = (joined[:, None] > 0) & (years >= joined[:, None])
    rate = (
        50
        + rng.normal(0, 3, n)[:, None]
        + 0.5 * np.arange(periods)
        + rng.normal(0, 1, (n, periods))
        + effect * treated
    )
    return pd.DataFrame(
        {
            "la": np.repeat([f"LA{k:03d}" for k in range(n)], periods),
            "year": np.tile(years, n),
            "rate": rate.ravel(),
            "joined": np.repeat(joined, periods),
            "size": np.repeat(rng.integers(1_000, 9_000, n), periods),
        }
    )


def panel(data=None, **options):
    return we.Panel(frame() if data is None else data, **{**ROLES, **options})


def relabelled(data, order):
    """The same authorities under other names, so that they stand in another order."""
    names = sorted(data["la"].unique())
    return data.assign(la=data["la"].map(dict(zip(names, (names[k] for k in order), strict=True))))


# --- every unit a cohort of its own

ROLL_OUT = {3: 1, 4: 1, 5: 1, 6: 1, 7: 1}


def by_hand(data):
    """Two-way fixed effects and its CR0 error with dummies."""
    treated = ((data["joined"] > 0) & (data["year"] >= data["joined"])).to_numpy(float)
    effects = pd.get_dummies(data[["la", "year"]].astype(str), dtype=float).to_numpy()
    within = treated - effects @ np.linalg.lstsq(effects, treated, rcond=None)[0]
    y = data["rate"].to_numpy()
    estimate = within @ y / (within @ treated)
    X = np.column_stack([treated, effects])
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    scores = pd.Series(within * residual).groupby(data["la"].to_numpy()).sum()
    return estimate, math.sqrt(float((scores**2).sum())) / float(within @ within)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (3, 0, 5, 1, 4, 2), (5, 4, 3, 2, 1, 0)])
def test_errors_where_every_unit_has_its_own_date_are_those_of_dummies(order):
    data = relabelled(frame(n=6, cohorts=ROLL_OUT), order)
    found = we.did.two_way_fixed_effects(panel(data), vcov="CR0").overall
    estimate, se = by_hand(data)
    assert found.estimate == pytest.approx(estimate, rel=1e-10)
    assert found.se == pytest.approx(se, rel=1e-10)


@pytest.mark.parametrize("vcov", ["classical", "HC1", "CR1S", "CR2", "CR3"])
def test_names_of_units_change_no_error_where_every_unit_has_its_own_date(vcov):
    data = frame(n=6, cohorts=ROLL_OUT)
    first, second = (
        we.did.two_way_fixed_effects(panel(relabelled(data, order)), vcov=vcov).overall
        for order in (range(6), (3, 0, 5, 1, 4, 2))
    )
    assert second.se == pytest.approx(first.se, rel=1e-10)


@pytest.mark.parametrize("verb", ["extended_twfe", "imputation", "two_stage"])
def test_names_of_units_change_no_estimator_where_every_unit_has_its_own_date(verb):
    data = frame(n=6, cohorts=ROLL_OUT)
    first, second = (
        getattr(we.did, verb)(panel(relabelled(data, order))) for order in (range(6), (3, 0, 5, 1, 4, 2))
    )
    pd.testing.assert_frame_equal(first.estimates.to_frame(), second.estimates.to_frame(), rtol=1e-9)
    assert second.overall.se == pytest.approx(first.overall.se, rel=1e-9)


def test_names_of_units_change_no_wild_bootstrap_where_every_unit_has_its_own_date():
    data = frame(n=6, cohorts=ROLL_OUT)
    first, second = (
        we.did.few_treated(panel(relabelled(data, order)), methods=("wild_bootstrap", "CR2"))
        for order in (range(6), (3, 0, 5, 1, 4, 2))
    )
    for method in first.methods:
        assert second[method].p_value == pytest.approx(first[method].p_value, rel=1e-9)
        assert second[method].ci_low == pytest.approx(first[method].ci_low, rel=1e-6)


# --- nothing to compare with, no residual left


@pytest.mark.parametrize("method", ["permutation", "studentised_permutation", "conley_taber", "ferman_pinto"])
def test_no_effect_is_judged_where_all_join_at_one_date(method):
    with pytest.raises(DesignError, match="the effect is not identified"):
        we.did.few_treated(panel(frame(n=12, cohorts={4: 12})), methods=(method,), rng=1, draws=99)


def test_placebo_dates_are_refused_where_all_join_at_one_date():
    with pytest.raises(DesignError, match="the effect is not identified"):
        we.did.placebo_dates(panel(frame(n=12, cohorts={4: 12})), shifts=(1,))


TWO = {"n": 2, "cohorts": {4: 1}}


def test_the_wild_bootstrap_of_two_units_ends_and_says_that_it_has_no_answer():
    found = we.did.few_treated(panel(frame(**TWO)), methods=("permutation", "wild_bootstrap"))
    assert math.isnan(found["wild_bootstrap"].p_value)
    assert "no variance between clusters" in found["wild_bootstrap"].warnings[0]
    assert found["permutation"].p_value == 1.0


@pytest.mark.parametrize(
    "verb",
    [
        "two_by_two",
        "two_way_fixed_effects",
        "event_study",
        "sun_abraham",
        "imputation",
        "two_stage",
        "extended_twfe",
        "stacked",
    ],
)
def test_rounding_is_no_standard_error(verb):
    found = getattr(we.did, verb)(panel(frame(**TWO)))
    assert math.isnan(found.overall.se)
    assert math.isnan(found.overall.p_value)
    assert any("no residual is left" in text for text in found.overall.warnings)
    post = [item for item in found.estimates if item.term in ("treated", "event[0]", "event[1]")]
    assert post
    assert all(math.isnan(item.se) for item in post)


def test_a_constant_outcome_has_no_standard_error():
    found = we.did.two_way_fixed_effects(panel(frame().assign(rate=5.0))).overall
    assert found.estimate == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(found.se)


def test_small_outcomes_keep_their_errors():
    data = frame()
    whole = we.did.two_way_fixed_effects(panel(data)).overall
    small = we.did.two_way_fixed_effects(panel(data.assign(rate=data["rate"] * 1e-9))).overall
    assert small.se == pytest.approx(1e-9 * whole.se, rel=1e-6)


# --- what was asked is said, or refused


TABLE_VERBS = {
    "two_way_fixed_effects": {},
    "few_treated": {},
    "synthetic_did": {},
    "synthetic_control": {},
    "interrupted_time_series": {},
    "dose": {"dose": "size"},
    "mask_periods": {"periods": [2014]},
    "merge_areas": {"areas": {"both": ["LA000", "LA001"]}},
    "placebo_dates": {},
    "placebo_outcomes": {"outcomes": ["size"]},
    "leave_one_out": {},
    "compare": {},
}


@pytest.mark.parametrize("verb", TABLE_VERBS)
def test_a_table_in_place_of_a_panel_is_refused_by_name(verb):
    with pytest.raises(DesignError, match=f"{verb} needs a Panel, got DataFrame"):
        getattr(we.did, verb)(frame(), **TABLE_VERBS[verb])


def test_lags_of_newey_west_do_not_go_with_other_errors():
    found = panel(frame(cohorts={4: 6}))
    with pytest.raises(DesignError, match="lag == 2 goes with Newey-West"):
        we.did.interrupted_time_series(found, lag=2)
    assert we.did.interrupted_time_series(found, errors="newey_west", lag=2).lag == 2


def test_a_synthetic_control_met_exactly_says_that_its_ratios_tell_nothing():
    of_placebo, of_treated = (
        we.did.synthetic_control(panel(frame(cohorts={5: 1}, seed=seed))).overall for seed in (1, 0)
    )
    for found in (of_placebo, of_treated):
        assert (found.ci_low, found.ci_high) == (-math.inf, math.inf)
        assert "met almost exactly" in found.warnings[-1]
    assert of_placebo.p_value > 0.05
    assert "shows the fit alone" in of_treated.warnings[0]
    assert of_treated.p_value == pytest.approx(1 / 30)


def test_counts_of_one_are_singular():
    one = panel(frame(n=12, cohorts={4: 1}))
    told = [
        str(we.did.compare(one, rng=1, draws=99, sensitivity=False)),
        str(we.did.bacon_decomposition(one)),
        str(we.did.leave_one_out(panel(frame(n=12, cohorts={4: 2})))),
        str(we.did.interrupted_time_series(one, errors="newey_west", lag=1)),
    ]
    for text, words in zip(
        told, ("in 1 cohort,", "1 comparison.", "with 1 treated cluster.", "with 1 lag\n"), strict=True
    ):
        assert words in text
    assert "(—)" not in told[2]


def test_sensitivity_with_few_treated_says_that_its_errors_are_too_small():
    few = we.did.event_study(panel(frame(cohorts={5: 2})))
    many = we.did.event_study(panel(frame(cohorts={5: 6})))
    for verb in (we.did.honest, we.did.pre_trend_power):
        assert "2 treated clusters: conventional errors are far too small" in str(verb(few))
        assert "permutation" in verb(few).notes[-1]
        assert "conventional errors" not in str(verb(many))
    universal = we.did.callaway_santanna(few.panel, base="universal").aggregate("event")
    assert "conventional errors are far too small" in str(we.did.honest(universal))


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


# --- resampled residuals say no more than there are of them


@pytest.mark.parametrize(("n", "finite"), [(30, False), (60, True)])
def test_conley_taber_never_shows_less_than_its_smallest_p(n, finite):
    found = we.did.few_treated(panel(frame(n=n, cohorts={5: 1}, effect=50)), methods=("conley_taber",)).overall
    assert found.p_value == pytest.approx(2 / (n - 1))
    assert found.p_value == found.details["smallest_p_value"]
    assert math.isfinite(found.ci_low) is finite
    assert bool(found.warnings) is not finite
    # test and interval say one thing
    assert (found.p_value <= 0.05) is (found.ci_low > 0)


# --- too little to estimate from


def test_an_autocorrelation_needs_two_residuals():
    # with one the restricted likelihood is flat, and rounding would choose
    short = panel(frame(periods=5, cohorts={2: 3}))
    with pytest.raises(DesignError, match="5 periods and 4 coefficients leave 1 residual degree of freedom"):
        we.did.interrupted_time_series(short)
    assert math.isfinite(we.did.interrupted_time_series(short, errors="newey_west").overall.estimate)


def test_serial_correlation_of_one_cluster_or_of_a_constant_is_refused():
    data = frame(n=6, cohorts={4: 2})
    with pytest.raises(DesignError, match="1 clusters are seen in three periods in a row"):
        we.did.serial_correlation(panel(data.assign(region="R"), cluster="region"))
    with pytest.raises(DesignError, match="no errors are left to test"):
        we.did.serial_correlation(panel(data.assign(rate=5.0)))


def test_a_cohort_whose_cells_cannot_be_imputed_has_no_slope_of_its_own():
    data = frame(n=8, periods=5, cohorts={1: 1, 2: 1})
    data["need"] = np.random.default_rng(2).normal(size=len(data))
    # the only period before treatment of the first cohort is missing
    kept = data[~((data["la"] == "LA000") & (data["year"] == 2012))]
    found = we.did.extended_twfe(panel(kept), covariates="need")
    assert math.isfinite(found.overall.estimate)


# --- labels and columns


def refused(data=None, **options):
    with pytest.raises(DataError) as caught:
        panel(data, **options)
    return caught.value.problems


@pytest.mark.parametrize("mark", ["-", "/", "\u2013"])
def test_years_of_two_figures_are_read_with_any_dash(mark):
    data = frame()
    data["year"] = [f"{year}{mark}{(year + 1) % 100:02d}" for year in data["year"]]
    assert panel(data).adopted.tolist() == panel().adopted.tolist()


def test_a_blank_unit_is_missing():
    data = frame()
    data.loc[[3, 4], "la"] = " "
    found = refused(data)
    assert [problem.place.row for problem in found] == [5, 6]
    assert {problem.message for problem in found} == {"the unit is missing"}


@pytest.mark.parametrize("role", ["unit", "period", "cohort", "exposure", "cluster"])
def test_one_column_is_not_the_outcome_and_something_else(role):
    found = refused(outcome="size", **{role: "size"})
    assert any(f"outcome and {role} are both 'size'" in problem.message for problem in found)


def test_weights_that_are_all_zero_are_the_fault_of_the_weights():
    found = refused(frame().assign(w=0.0), weights="w")
    assert "every weight is 0" in found[0].message


def test_treatment_in_words_is_told_how_to_be_written():
    data = frame().assign(on=lambda d: np.where(d["joined"] > 0, "yes", "no"))
    assert "1 for treated" in refused(data, cohort=None, treated="on")[0].fix


# --- matching


def test_a_treated_authority_keeps_a_control_where_there_are_too_few_for_all():
    data = pd.DataFrame({"la": list("ABCDE"), "t": [1, 1, 0, 0, 0], "x": [0.0, 10.0, 0.1, 0.2, 0.3]})
    found = we.mahalanobis_matching(data, treatment="t", covariates=["x"], ratio=3, unit="la")
    assert found.n_matched == {"treated": 2, "control": 3}
    # C and D stand for A, and E, nearest to it of all, for B
    assert found.weights.tolist() == pytest.approx([1.0, 1.0, 0.75, 0.75, 1.5])


def test_matching_refuses_what_is_infinite_or_twice():
    data = pd.DataFrame({"la": [1, 1, 2, 3], "t": [1, 0, 0, 1], "x": [1.0, np.inf, 2.0, 3.0]})
    with pytest.raises(DataError, match="'x' is infinite in 1 row"):
        we.coarsened_exact_matching(data, treatment="t", on={"x": 2})
    with pytest.raises(DataError, match="la 1 stands in several rows"):
        we.mahalanobis_matching(data.assign(x=[1.0, 2.0, 3.0, 4.0]), treatment="t", covariates=["x"], unit="la")


def test_callaway_santanna_says_why_nothing_is_left():
    data = frame(n=20, cohorts={3: 5})
    data["need"] = data.groupby("la")["rate"].transform("first")
    found = we.did.callaway_santanna(panel(data.assign(again=2 * data["need"])), covariates=["need", "again"])
    with pytest.raises(DesignError, match="collinear among the comparison units"):
        str(found)
    assert "1 period of anticipation" in we.did.callaway_santanna(panel(), anticipation=1).method


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


def test_what_no_method_takes_is_said_to_be_idle():
    few = panel(frame(n=12, cohorts={4: 2}))
    idle = we.did.few_treated(few, methods=("CR2",), population="size")
    assert "population is not used: ferman_pinto is not among the methods." in idle.notes
    used = we.did.few_treated(few, methods=("ferman_pinto",), population="size", rng=1, draws=99)
    assert not any("is not used" in note for note in used.notes)


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


def test_imputation_of_a_unit_not_seen_just_before_treatment_has_no_leads():
    data = frame(n=9, periods=4, cohorts={3: 1})
    data["need"] = np.random.default_rng(1).normal(size=len(data))
    kept = panel(data[~((data["la"] == "LA000") & (data["year"] == 2014))])
    for covariates in (None, "need"):
        found = we.did.imputation(kept, covariates=covariates)
        assert [key["event"] for key in found.estimates.keys] == [0]
        assert math.isfinite(found.overall.estimate)
    with pytest.raises(DesignError, match="no treated unit is seen at events -1 to -1"):
        we.did.imputation(kept, leads=1)


UNSEEN = [
    "sun_abraham",
    "imputation",
    "two_stage",
    "extended_twfe",
    "stacked",
    "event_study",
    "two_way_fixed_effects",
]


@pytest.mark.parametrize("verb", UNSEEN)
def test_treated_units_that_are_never_seen_treated_have_no_effect(verb):
    data = frame(n=6, periods=6, cohorts={4: 1})
    kept = data[~((data["joined"] > 0) & (data["year"] >= data["joined"]))]
    with pytest.raises(DesignError, match=r"no treated cell|not identified|no event from 0 on"):
        getattr(we.did, verb)(panel(kept))
