"""Clustered times to an event: how far the formula is from simulated trials, and the engine that simulates them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from event_study import RECORD, STUDIES, TESTS, copula, formula, rejections, residual_icc

from wwc_eval.errors import DesignError
from wwc_eval.power import Level, TimeToEvent, Trial
from wwc_eval.power.simulation.cox_fits import Times, fit_cox
from wwc_eval.power.simulation.event_trial import copula_correlation

STUDY = json.loads(Path(RECORD).read_text(encoding="utf-8"))


@pytest.mark.simulation
def test_record_is_of_these_studies():
    assert list(STUDY["rows"]) == list(STUDIES)
    for name, row in STUDY["rows"].items():
        assert formula(name) == pytest.approx(row["formula"], abs=1e-10)
        assert formula(name, "events") == pytest.approx(row["formula_events"], abs=1e-10)


@pytest.mark.simulation
@pytest.mark.parametrize("name", STUDIES)
def test_warned_where_off_by_more_than_two_points(name):
    row = STUDY["rows"][name]
    design, ratio, _ = STUDIES[name]
    error = abs(row["formula"] - row["cox_cr1"])
    if error > 0.02:
        assert design.power(ratio).warnings
    if not design.power(ratio).warnings:
        assert error < 0.02


@pytest.mark.simulation
def test_a_sample_of_the_study_agrees_with_the_record():
    name = "16 teams of 20, 40% events, ICC 0.02"
    found = rejections(name, 2_000, 7)
    for test in TESTS:
        share = STUDY["rows"][name][test]
        assert abs(found[test] - share) < 4 * math.sqrt(share * (1 - share) / 2_000), test


@pytest.mark.simulation
@pytest.mark.parametrize("name", ["16 teams of 20, 40% events, ICC 0.10", "16 teams of 20, 40% events, k 0.60"])
def test_engine_has_the_power_of_the_independent_generator(name):
    design, ratio, _ = STUDIES[name]
    found = design.simulate(ratio, 3_000, rng=3, analysis=tuple(TESTS))
    for test in TESTS:
        share = STUDY["rows"][name][test]
        assert abs(found[test].power - share) < 4 * math.sqrt(share * (1 - share) / 3_000), test
    if "ICC" in name:  # hazards are proportional in the population: no bias but that of a finite sample
        assert abs(found["cox_cr1"].bias) < 0.04 * abs(found["cox_cr1"].truth)
    else:  # the effect within clusters is further from none than that of the population
        assert found["cox_cr1"].bias > 0.02


@pytest.mark.simulation
def test_no_effect_and_children_alone():
    design, _, _ = copula(24, 15, 0.05, 0.4, 0.6)
    none = design.simulate(1.0, 4_000, rng=4, analysis=("cox_cr1", "cluster_summaries", "cox"))
    for test in ("cox_cr1", "cluster_summaries"):
        assert abs(none[test].power - 0.05) < 0.018, test
    assert none["cox"].power > 0.10  # what clustering does to errors that ignore it
    alone = Trial(levels=[Level("child", 300)], assigned="child", outcome=TimeToEvent(control=0.6))
    found = alone.simulate(0.65, 3_000, rng=5)
    assert [record.analysis for record in found.records] == ["cox"]
    assert abs(found.power - float(alone.power(0.65, convention="normal"))) < 0.03
    varied = design.with_level("child", size_cv=0.5).simulate(0.6, 1_000, rng=6)
    assert 0 < varied.power < design.simulate(0.6, 1_000, rng=6).power + 0.05


@pytest.mark.reference
def test_errors_are_those_of_statsmodels():
    from statsmodels.duration.hazard_regression import PHReg

    rng = np.random.default_rng(2)
    clusters, size = 12, 15
    cluster = np.repeat(np.arange(clusters), size)
    arm = cluster % 2 == 1
    time = rng.exponential(1 / (rng.gamma(4, 0.25, (2, clusters))[:, cluster] * np.where(arm, 0.6, 1.0)))
    times = Times(time=np.minimum(time, 1.0), event=time < 1.0, treated=arm, cluster=cluster)
    plain, robust = (fit_cox(times, robust=each) for each in (False, True))
    for row in range(2):
        model = PHReg(times.time[row], arm[:, None].astype(float), status=times.event[row].astype(int))
        own, grouped = model.fit(), model.fit(groups=cluster)
        assert plain.estimate[row] == pytest.approx(own.params[0], abs=1e-9)
        assert plain.se[row] == pytest.approx(own.bse[0], rel=1e-9)
        assert robust.se[row] == pytest.approx(grouped.bse[0] * math.sqrt(clusters / (clusters - 2)), rel=1e-9)


def test_correlation_gives_the_residuals_their_icc():
    for icc, control in ((0.02, 0.4), (0.05, 0.7), (0.2, 0.2)):
        assert residual_icc(copula_correlation(icc, control), control) == pytest.approx(icc, rel=1e-4)


@pytest.mark.parametrize(
    ("levels", "assigned", "more", "asked", "message"),
    [
        ([Level("child", 9), Level("team", 3, icc=0.1), Level("la", 9)], "la", {}, {}, "children alone, or in clusters"),
        ([Level("child", 40), Level("team", 9, icc=0.1)], "child", {}, {}, "children alone, or in clusters"),
        ([Level("child", 40)], "child", {}, {"analysis": "cox_cr1"}, "no clusters"),
        ([Level("child", 9, r2=0.3), Level("team", 9, icc=0.1)], "team", {}, {}, "r2 of a time to an event"),
        ([Level("child", 9), Level("team", 9, icc=0.1)], "team", {"dilution": 0.1}, {}, "dilution and crossover"),
        ([Level("child", 9), Level("team", 9, icc=0.99)], "team", {}, {}, "more than clusters can have"),
        ([Level("child", 9), Level("team", 9, icc=0.1)], "team", {}, {"analysis": "regression_cr2"}, "analysis =="),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused(levels, assigned, more, asked, message):
    design = Trial(levels=levels, assigned=assigned, outcome=TimeToEvent(control=0.4), **more)
    with pytest.raises(DesignError, match=message):
        design.simulate(0.7, 20, rng=1, **asked)
