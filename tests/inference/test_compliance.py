"""Complier effects: against R, definitions, weak instruments, sets without an end or without a value, coverage."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from compliance_study import coverage
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_data import REFERENCE, SHARED, jobs

import wwc_eval as we
from wwc_eval.errors import DataError, DesignError, FormulaError
from wwc_eval.inference.anderson_rubin import ConfidenceSet, anderson_rubin, statistic_at
from wwc_eval.inference.two_stage import reduced_forms

CASES = json.loads((REFERENCE / "compliance.json").read_text())["cases"]


def doses():
    given_ = CASES["iv_fidelity_dose_cluster"]["input"]
    return pd.DataFrame(given_["rows"], columns=given_["columns"])


@pytest.mark.reference
def test_sommer_and_zeger_1991():
    case = CASES["cace_sommer_zeger_vitaminA"]
    rows = [
        (cell["z"], cell["d"], death)
        for cell in case["input"]["cells"]
        for death, times in ((1, cell["deaths"]), (0, cell["n"] - cell["deaths"]))
        for _ in range(times)
    ]
    children = pd.DataFrame(rows, columns=["assigned", "taken", "died"])
    found = we.complier_effect("died ~ 1", children, uptake="taken", instrument="assigned")
    expected = case["expected"]
    assert found.estimate == pytest.approx(expected["cace"], abs=1e-14)
    assert found.se == pytest.approx(expected["se_HC1"], abs=1e-14)
    assert found.intention_to_treat.estimate == pytest.approx(expected["itt"], abs=1e-14)
    assert found.details["first_stage"]["assigned"] == pytest.approx(expected["first_stage"], abs=1e-12)
    plain = we.complier_effect("died ~ 1", children, uptake="taken", instrument="assigned", vcov="classical")
    assert plain.se == pytest.approx(expected["se_hom"], abs=1e-14)
    assert found.scale == "risk_difference"
    assert found.anderson_rubin.kind == "interval"


@pytest.mark.reference
def test_fidelity_as_uptake_with_clusters_equals_ivreg():
    expected = CASES["iv_fidelity_dose_cluster"]["expected"]
    found = we.complier_effect("y ~ 1", doses(), uptake="fid", instrument="z", cluster="la")
    assert found.estimate == pytest.approx(expected["late"], abs=1e-11)
    assert found.se == pytest.approx(expected["se_CL_HC1"], abs=1e-12)
    assert found.intention_to_treat.estimate == pytest.approx(expected["itt"], abs=1e-12)
    assert found.df == 19
    strong = we.complier_effect("y ~ 1", doses(), uptake="fid", instrument="z", cluster="la", robust="CR1S")
    assert pytest.approx(expected["first_stage_F_CR"], rel=1e-10) == strong.first_stage.F


@pytest.mark.reference
def test_jobs_ii_equals_estimatr():
    case = CASES["cace_jobs_hc2"]
    found = we.complier_effect(
        "depress2 ~ depress1 + age", jobs(), uptake="comply", instrument="treat", vcov="HC2"
    )
    assert found.estimate == pytest.approx(case["beta"]["comply"], rel=1e-9)
    assert found.se == pytest.approx(case["se"]["comply"], rel=1e-9)
    assert found.df == case["df"]["comply"]
    assert [found.ci_low, found.ci_high] == pytest.approx(
        [case["ci_low"]["comply"], case["ci_high"]["comply"]], rel=1e-8
    )


@pytest.mark.reference
@pytest.mark.skipif(not SHARED.exists(), reason="shared data are absent")
def test_schools_with_small_sample_errors_equal_estimatr_and_clubsandwich():
    data = pd.read_csv(SHARED / "syn_cace.csv")
    for name, vcov in (("cace_syn_CR2", "CR2"), ("cace_syn_clubSandwich_CR2", "CR2"), ("cace_syn_CR0", "CR0")):
        case = CASES[name]
        found = we.complier_effect("y ~ x", data, uptake="takeup", instrument="treat", cluster="school", vcov=vcov)
        assert found.estimate == pytest.approx(case["beta"]["takeup"], rel=1e-9)
        assert found.se == pytest.approx(case["se"]["takeup"], rel=1e-9)
        assert found.df == pytest.approx(case["df"]["takeup"], rel=1e-9)


def trial(seed, n=240, strength=0.8, instruments=1):
    rng = np.random.default_rng(seed)
    la = np.repeat(np.arange(n // 10), 10)
    Z = rng.integers(0, 2, (n, instruments)).astype(float)
    shared = rng.normal(size=n)
    frame = pd.DataFrame({f"z{k}": Z[:, k] for k in range(instruments)})
    frame["dose"] = strength * Z.sum(axis=1) + 0.8 * shared + rng.normal(size=n)
    frame["age"] = rng.normal(size=n)
    frame["y"] = (
        0.5 * frame["dose"] + shared + 0.3 * frame["age"] + 0.5 * rng.normal(size=n // 10)[la] + rng.normal(size=n)
    )
    return frame.assign(la=la)


@pytest.mark.property
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), strength=st.sampled_from([0.0, 0.1, 1.0]), instruments=st.integers(1, 3))
def test_the_set_holds_what_the_test_does_not_reject(seed, strength, instruments):
    from scipy import special

    frame = trial(seed, strength=strength, instruments=instruments)
    Z = frame[[f"z{k}" for k in range(instruments)]].to_numpy()
    X = np.column_stack([np.ones(len(frame)), frame["age"]])
    forms = reduced_forms(
        frame["y"].to_numpy(),
        X,
        frame["dose"].to_numpy(),
        Z,
        kind="CR2",
        codes=frame["la"].to_numpy(),
        cluster="la",
    )
    region = anderson_rubin(forms, 0.9)
    critical = special.fdtri(instruments, forms.df2, 0.9)
    for value in (-1e6, -20.0, -3.0, -1.0, 0.0, 0.3, 0.5, 0.7, 1.0, 2.0, 4.0, 50.0, 1e6):
        assert (value in region) == (statistic_at(forms, value) <= critical)
    for end in (end for piece in region.pieces for end in piece if math.isfinite(end)):
        assert statistic_at(forms, end) == pytest.approx(critical, rel=1e-5)


@pytest.mark.property
def test_units_and_order_do_not_matter():
    frame = trial(3)
    first = we.complier_effect("y ~ age", frame, uptake="dose", instrument="z0", cluster="la")
    other = frame.assign(y=10 * frame["y"] + 3, dose=frame["dose"] / 4 - 1).sample(frac=1, random_state=1)
    second = we.complier_effect("y ~ age", other, uptake="dose", instrument="z0", cluster="la")
    assert second.estimate == pytest.approx(40 * first.estimate, rel=1e-9)
    assert second.se == pytest.approx(40 * first.se, rel=1e-9)
    np.testing.assert_allclose(second.anderson_rubin.pieces, 40 * np.array(first.anderson_rubin.pieces), rtol=1e-8)
    assert second.anderson_rubin_p == pytest.approx(first.intention_to_treat.p_value, rel=1e-8)


def test_the_ratio_of_two_effects_and_words_as_arms():
    frame = trial(5).assign(arm=lambda f: np.where(f["z0"] == 1, "programme", "usual"))
    found = we.complier_effect(
        "y ~ age", frame, uptake="dose", instrument="arm", levels={"arm": ["usual", "programme"]}, cluster="la"
    )
    itt = we.regression("y ~ age + z0", frame).estimates["z0"].estimate
    first = we.regression("dose ~ age + z0", frame).estimates["z0"].estimate
    assert found.estimate == pytest.approx(itt / first, rel=1e-10)
    assert "arm[programme]" in found.details["first_stage"]
    assert pickle.loads(pickle.dumps(found)).anderson_rubin == found.anderson_rubin


def test_weak_unbounded_and_empty_sets_say_so():
    weak = we.complier_effect("y ~ 1", trial(1, strength=0.0), uptake="dose", instrument="z0", cluster="la")
    assert not weak.anderson_rubin.bounded
    assert weak.anderson_rubin.kind in ("unbounded", "everything")
    assert any("Weak instrument" in warning for warning in weak.warnings)
    assert "Anderson-Rubin set" in str(weak)
    frame = trial(2, instruments=2, strength=1.0)
    frame["y"] += 3.0 * frame["z1"]  # the second instrument works past the uptake
    empty = we.complier_effect("y ~ 1", frame, uptake="dose", instrument=["z0", "z1"])
    assert empty.anderson_rubin.kind == "empty"
    assert "contradict" in str(empty)
    assert empty.details["overidentification"]["p_value"] < 0.001
    assert empty.intention_to_treat is None
    several = we.complier_effect(
        "y ~ 1", trial(4, instruments=2), uptake="dose", instrument=["z0", "z1"], cluster="la"
    )
    assert several.estimate in several.anderson_rubin
    assert ConfidenceSet(pieces=((-math.inf, -1.0), (2.0, math.inf)), level=0.95).words() == (
        "up to -1.000 and from 2.000 upwards (unbounded: the instrument is too weak for an interval)"
    )


def test_full_compliance_is_intention_to_treat():
    frame = trial(8).assign(dose=lambda f: f["z0"])
    found = we.complier_effect("y ~ age", frame, uptake="dose", instrument="z0", cluster="la")
    assert found.estimate == pytest.approx(found.intention_to_treat.estimate, rel=1e-10)
    itt = found.intention_to_treat
    np.testing.assert_allclose(found.anderson_rubin.pieces[0], [itt.ci_low, itt.ci_high], rtol=1e-8)
    assert math.isinf(found.first_stage.F)
    assert "everyone took up" in str(found)


def test_two_clusters_leave_nothing_to_test_with():
    frame = trial(7).assign(la=lambda f: f["z0"])
    found = we.complier_effect("y ~ 1", frame, uptake="dose", instrument="z0", cluster="la")
    assert math.isnan(found.ci_low)
    assert any("No interval" in warning for warning in found.warnings)
    assert found.anderson_rubin.kind == "everything"


def test_shares_of_trials_are_refused_not_taken_for_successes():
    rows = pd.DataFrame(
        {"late": [1, 2, 0, 3] * 5, "n": [4, 5, 6, 7] * 5, "z": [0, 1] * 10, "d": [0, 1, 0, 0, 0] * 4}
    )
    with pytest.raises(DesignError, match="successes / trials"):
        we.complier_effect("late / n ~ 1", rows, uptake="d", instrument="z")


def test_refusals_say_where_and_why():
    frame = trial(6)
    options = {"uptake": "dose", "instrument": "z0"}
    with pytest.raises(FormulaError, match="stands in the formula and is uptake"):
        we.complier_effect("y ~ dose", frame, **options)
    with pytest.raises(DataError, match="did you mean 'dose'"):
        we.complier_effect("y ~ 1", frame, uptake="doze", instrument="z0")
    with pytest.raises(DataError, match="must vary"):
        we.complier_effect("y ~ 1", frame.assign(dose=1.0), **options)
    with pytest.raises(DataError, match="not numbers"):
        we.complier_effect("y ~ 1", frame.assign(dose="much"), **options)
    with pytest.raises(DesignError, match="does not vary given"):
        we.complier_effect("y ~ 1", frame.assign(z0=1.0), **options)
    with pytest.raises(DesignError, match="no one complied"):
        we.complier_effect("y ~ 1", frame.assign(dose=[0.0, 1.0] * 120, z0=[0.0, 0.0, 1.0, 1.0] * 60), **options)
    with pytest.raises(DesignError, match="both uptake and instrument"):
        we.complier_effect("y ~ 1", frame, uptake="dose", instrument="dose")
    with pytest.raises(FormulaError, match="random part"):
        we.complier_effect("y ~ 1 + (1 | la)", frame, **options)
    missing = frame.assign(dose=frame["dose"].where(frame.index > 9))
    assert we.complier_effect("y ~ 1", missing, **options).n == len(frame) - 10


# --- coverage


@pytest.mark.simulation
def test_sets_cover_with_a_weak_instrument():
    found = coverage(30, 0.3, repeats=200, seed=3, two_stage=False)
    assert found["median_F"] < 5
    assert abs(found["anderson_rubin"] - 0.95) < 3.3 * math.sqrt(0.95 * 0.05 / 200)


@pytest.mark.simulation
def test_the_record_says_what_the_documentation_says():
    record = json.loads((REFERENCE / "compliance_coverage.json").read_text())
    weak = [case for case in record["cases"] if case["clusters"] >= 30 and case["median_F"] < 5]
    assert len(weak) >= 3
    for case in record["cases"]:
        if case["clusters"] >= 30:
            assert 0.93 <= case["anderson_rubin"] <= 0.97
