"""G- and D-studies: Brennan, lme4, designs in notation, planner, intervals, and what must be refused."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from reliability_cases import cases, long

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError
from wwc_eval.fidelity.reliability.effects import effects_of


def brennan():
    return we.g_study(long("gtheory_brennan_3_2"), "Person x (Rater : Task)", score="Score")


@pytest.mark.reference
def test_brennan_2001_table_3_2():
    case, found = cases()["gtheory_brennan_3_2"], brennan()
    for name, value in case["expected"]["variance_components"].items():
        assert found.variances[name if name != "Residual" else "residual"] == pytest.approx(value, abs=1e-6)
    decided = found.d_study(Task=3, Rater=4)
    assert decided.generalisability[0] == pytest.approx(case["expected"]["generalizability"], abs=1e-4)
    assert decided.dependability[0] == pytest.approx(case["expected"]["dependability"], abs=1e-4)
    row = decided.rows[0]
    assert row["absolute_error"] == pytest.approx(case["expected"]["var_error_abs"], abs=1e-4)
    assert row["relative_error"] == pytest.approx(case["expected"]["var_error_rel"], abs=1e-4)


@pytest.mark.reference
def test_local_authorities_cases_and_raters_equal_lme4():
    case = cases()["gstudy_la_case_rater_sim"]
    found = we.g_study(long("gstudy_la_case_rater_sim"), ["la", "la:case", "rater"])
    for name, value in case["expected"]["vc"].items():
        assert found.variances[name.lower()] == pytest.approx(value, abs=1e-4)
    assert found.mean == pytest.approx(case["expected"]["fixef"], abs=1e-9)
    assert found.fit.criterion / -2 == pytest.approx(case["expected"]["reml"], abs=1e-6)
    modes = found.fit.random_effects("e0").to_frame()["estimate"]
    np.testing.assert_allclose(modes, case["expected"]["blup_la"], atol=1e-4)


def test_a_balanced_table_is_the_analysis_of_variance():
    rng = np.random.default_rng(3)
    y = 2 * rng.normal(size=(30, 1)) + rng.normal(size=(1, 4)) + 0.7 * rng.normal(size=(30, 4))
    frame = pd.DataFrame(
        {"case": np.repeat(np.arange(30), 4), "rater": np.tile(list("abcd"), 30), "score": y.ravel()}
    )
    found = we.g_study(frame, "case x rater").d_study(rater=[1, 4])
    for kind, place, name in (
        ("ICC(2,1)", 0, "dependability"),
        ("ICC(2,k)", 1, "dependability"),
        ("ICC(3,1)", 0, "generalisability"),
        ("ICC(3,k)", 1, "generalisability"),
    ):
        icc = we.intraclass_correlation(y, kind).estimate
        assert found.rows[place][name] == pytest.approx(icc, abs=2e-6)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("p x r", {"p", "r"}),
        ("p x (r : t)", {"p", "t", "r:t", "p:t"}),
        ("(p : la) x r", {"la", "p:la", "r", "r:la"}),
        ("p : la", {"la"}),
        ("p x i x o", {"p", "i", "o", "p:i", "p:o", "i:o"}),
        ("r : (p x t)", {"p", "t", "p:t"}),
        ("r:p:la", {"la", "p:la"}),
    ],
)
def test_brennans_notation(text, names):
    found = effects_of(text)
    assert set(found.sets) == {frozenset(name.split(":")) for name in names}
    listed = effects_of(list(found.names))
    assert set(listed.sets) == set(found.sets)


@pytest.mark.parametrize("text", ["p x", "(p x r", "p x p", "p : p", "p", "x", "p r", ") x p"])
def test_notation_that_cannot_be_read(text):
    with pytest.raises(DesignError):
        effects_of(text)


def test_published_shares_of_local_authorities():
    # if local authorities hold 20% of the variance, 16 single-rated cases give .8; with 10% it takes 36
    for share, needed in ((0.2, 16), (0.1, 36)):
        study = we.GStudy.from_components({"la": share, "residual": 1 - share}, measured="la", facets=["case"])
        assert study.d_study(case=needed).dependability[0] == pytest.approx(0.8, abs=1e-12)
        assert study.plan(0.8, costs={"la:case": 1}).best["case"] == needed
        assert (
            study.d_study(case=needed).rows[0]["dependability_low"] != study.d_study(case=needed).dependability[0]
        )


def test_the_planner_finds_the_cheapest():
    study = we.GStudy.from_components(
        {"la": 0.44, "la:case": 0.71, "rater": 0.07, "residual": 0.23}, measured="la"
    )
    costs = {"la": 500, "la:case": 40, "la:case:rater": 25, "rater": 300}
    found = study.plan(0.75, costs=costs, objects=12, limits={"case": 30, "rater": 8}).best
    best = math.inf
    for case, rater in product(range(1, 31), range(1, 9)):
        true, error = 0.44, 0.71 / case + 0.07 / rater + 0.23 / (case * rater)
        if true / (true + error) >= 0.75:
            best = min(best, 500 * 12 + 40 * 12 * case + 25 * 12 * case * rater + 300 * rater)
    assert found["cost"] == best
    with pytest.raises(DesignError, match="the most is"):
        study.plan(0.99, costs=costs, limits={"case": 5, "rater": 2})
    precise = study.plan(
        0.75, costs=costs, objects=range(4, 40), precision=0.2, limits={"case": 30, "rater": 8}
    ).best
    assert precise["se_of_mean"] <= 0.2
    assert precise["la"] > 4
    with pytest.raises(DesignError, match="'ca'"):
        study.plan(0.75, costs={"ca": 1})


def test_raters_nested_in_cases_and_fixed_facets():
    study = we.GStudy.from_components({"case": 1.0, "rater": 0.2, "residual": 0.4}, measured="case")
    crossed, nested = study.d_study(rater=2), study.d_study(rater=2, nested={"rater": "case"})
    assert crossed.generalisability[0] == pytest.approx(1 / 1.2)
    assert (
        crossed.dependability[0] == nested.dependability[0] == nested.generalisability[0] == pytest.approx(1 / 1.3)
    )
    person = we.GStudy.from_components(
        {"p": 1.0, "t": 0.3, "p:t": 0.6, "residual": 0.5}, measured="p", facets=["r"]
    )
    fixed = person.d_study(t=3, r=2, fixed="t")
    assert fixed.rows[0]["universe"] == pytest.approx(1.2)
    assert fixed.dependability[0] == pytest.approx(1.2 / (1.2 + 0.5 / 6))
    assert study.d_study(rater=[1, 2, 4, 8]).dependability == tuple(
        sorted(study.d_study(rater=[1, 2, 4, 8]).dependability)
    )


@pytest.mark.simulation
@pytest.mark.parametrize("repeats", [8, pytest.param(150, marks=pytest.mark.slow)])
def test_intervals_of_dependability_cover(repeats):
    rng, hits = np.random.default_rng(5), 0
    truth = 0.5 / (0.5 + 0.5 / 8 + 0.05 / 2 + 0.3 / 16)
    la, case, rater = (each.ravel() for each in np.indices((15, 8, 2)))
    for _ in range(repeats):
        y = math.sqrt(0.5) * rng.normal(size=15)[la] + math.sqrt(0.5) * rng.normal(size=(15, 8))[la, case]
        y += math.sqrt(0.05) * rng.normal(size=2)[rater] + math.sqrt(0.3) * rng.normal(size=len(la))
        frame = pd.DataFrame({"la": la, "case": case, "rater": rater, "score": y})
        row = we.g_study(frame, ["la", "la:case", "rater"]).d_study(case=8, rater=2).rows[0]
        hits += row["dependability_low"] <= truth <= row["dependability_high"]
    assert hits / repeats > (0.6 if repeats < 100 else 0.91)


def test_boundaries_dropped_rows_and_refusals():
    frame = pd.DataFrame({"case": np.repeat(np.arange(20), 3), "rater": np.tile([1, 2, 3], 20)})
    frame["score"] = np.random.default_rng(3).permutation(np.repeat([1.0, 2, 3], 20))
    frame["score"] -= frame.groupby("case")["score"].transform("mean")
    frame.loc[0, "score"] = np.nan
    study = we.g_study(frame, "case x rater")
    assert study.variances["case"] == 0
    assert study.status == "boundary"
    assert "case" in study.message
    assert any("1 rows miss" in note for note in study.notes)
    decided = study.d_study(rater=3)
    assert decided.dependability[0] == 0
    # cases differ by no more than chance, which leaves room for some dependability
    assert decided.rows[0]["dependability_low"] == 0
    assert 0 < decided.rows[0]["dependability_high"] < 0.9
    with pytest.raises(DesignError, match="size of 'rater'"):
        study.d_study()
    with pytest.raises(DesignError, match="no size"):
        study.d_study(rater=2, case=3)
    with pytest.raises(DesignError, match="did you mean 'rater'"):
        study.d_study(ratr=2)
    with pytest.raises(DataError, match="did you mean 'score'"):
        we.g_study(frame, "case x rater", score="scor")
    with pytest.raises(DesignError, match="one level"):
        we.g_study(frame.assign(rater=1, again=np.tile([1, 2, 3], 20)), "case x rater x again")


def test_axes_of_a_decision_study():
    axes = brennan().d_study(Task=[1, 2, 4], Rater=[1, 2]).plot()
    assert "dependability" in axes.get_ylabel()
    assert len(axes.get_legend().get_texts()) in (2, 3)
    with pytest.raises(DesignError, match="one design"):
        brennan().d_study(Task=1, Rater=1).plot()
