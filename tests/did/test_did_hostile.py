"""Panels as a stranger brings them: very few units, every unit a cohort of its own, nothing to compare."""

import math

import numpy as np
import pandas as pd
import pytest
from hostile_panels import frame, panel, relabelled

import wwc_eval as we
from wwc_eval.errors import DesignError

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


def test_callaway_santanna_says_why_nothing_is_left():
    data = frame(n=20, cohorts={3: 5})
    data["need"] = data.groupby("la")["rate"].transform("first")
    found = we.did.callaway_santanna(panel(data.assign(again=2 * data["need"])), covariates=["need", "again"])
    with pytest.raises(DesignError, match="collinear among the comparison units"):
        str(found)
    assert "1 period of anticipation" in we.did.callaway_santanna(panel(), anticipation=1).method


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
