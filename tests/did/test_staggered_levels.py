"""Level and precision of drawn roll-outs: the committed study, a sample of it run anew, and the study held to the product."""

import json
import math

import numpy as np
import pytest
import staggered_study as study
from staggered_panels import panel_of

import wwc_eval as we


def rows(**wanted):
    found = json.loads(study.RECORD.read_text(encoding="utf-8"))["rows"]
    assert {(row["units"], row["rho"], row["effects"]) for row in found} == {
        (n, rho, effects) for n in study.UNITS for rho in study.RHOS for effects in study.EFFECTS
    }
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def noise(reps):
    return 3 * math.sqrt(0.05 * 0.95 / reps)


@pytest.mark.simulation
def test_the_randomisation_test_holds_its_level_with_any_number_of_units():
    for row in rows(effects="none"):
        assert abs(row["randomisation"] - 0.05) < noise(row["reps"]), row
    # where effects differ between units it is conservative, as Neyman's error is
    assert all(row["randomisation"] < 0.05 + noise(row["reps"]) for row in rows(effects="varying"))


@pytest.mark.simulation
def test_neymans_error_with_satterthwaite_df_holds_from_twenty_units_on():
    for row in rows(effects="none"):
        limit = {8: 0.105, 12: 0.09, 20: 0.07}.get(row["units"], 0.05 + noise(row["reps"]))
        assert row["efficient"] <= limit, row
        assert row["normal"] >= row["efficient"]
        assert row["callaway"] <= 0.05 + noise(row["reps"])
        assert row["difference"] <= 0.05 + noise(row["reps"])
    assert all(row["normal"] > 0.19 for row in rows(units=8))


@pytest.mark.simulation
def test_the_adjusted_error_is_right_in_hundreds_of_units_and_ruinous_in_twenty():
    for row in rows():
        if row["units"] <= 20:
            assert row["adjusted"] > 0.3, row
        elif row["units"] == 60:
            assert 0.05 < row["adjusted"] < 0.08
        else:
            assert abs(row["adjusted"] - 0.05) < 0.015
            assert abs(row["adjusted_se_over_sd"] - 1) < 0.06
    # what it corrects: where effects differ as earlier outcomes foretell, Neyman's is a fifth too large
    assert next(iter(rows(units=400, rho=0.9, effects="varying")))["se_over_sd"] > 1.15


@pytest.mark.simulation
def test_precision_against_difference_in_differences_and_means():
    for row in rows():
        assert abs(row["bias"]) < 3.5 * row["sd"] / math.sqrt(row["reps"])
        if row["units"] >= 60:
            assert row["sd_over_callaway"] < 1.01
        assert row["sd_over_difference"] < 0.9
    for row in rows(effects="none", rho=0.3):
        if row["units"] >= 20:
            assert row["sd_over_callaway"] < 0.9
    # with eight units beta* is too uncertain to gain by
    assert all(row["sd_over_callaway"] > 0.99 for row in rows(units=8))


@pytest.mark.simulation
def test_a_sample_of_the_study_run_anew():
    (kept,) = rows(units=20, rho=0.6, effects="none")
    found = study.cell(20, 0.6, "none", 600, 7)
    for name in ("efficient", "randomisation", "callaway", "adjusted"):
        level = kept[name]
        assert abs(found[name] - level) < 4 * math.sqrt(level * (1 - level) / 600), name
    assert found["sd_over_callaway"] == pytest.approx(kept["sd_over_callaway"], abs=0.08)


def test_the_study_is_about_the_product():
    rng = np.random.default_rng(11)
    for units, effects in ((12, "none"), (60, "varying")):
        y = study.outcomes(units, 0.6, effects, 2, rng)
        found = study.judged(y, units, rng)
        start = np.array([*study.STARTS, 99])[study.groups(units)]
        for trial in range(2):
            panel = panel_of(y[trial], start)
            for adjustment, name in (
                ("efficient", "efficient"),
                ("callaway_santanna", "callaway"),
                ("difference_in_means", "difference"),
            ):
                ours = we.did.staggered(panel, adjustment=adjustment).overall
                assert ours.estimate == pytest.approx(found[name][trial], rel=1e-9)
                assert ours.se == pytest.approx(found[f"{name}_se"][trial], rel=1e-9)
                assert ours.p_value == pytest.approx(found[f"{name}_p"][trial], rel=1e-8)
            usual = we.did.staggered(panel, df="normal").overall
            assert usual.p_value == pytest.approx(found["normal_p"][trial], rel=1e-8)
            assert usual.details["beta"] == pytest.approx(found["beta"][trial], rel=1e-9)
            if units == 60:
                adjusted = we.did.staggered(panel, errors="adjusted", df="normal").overall
                assert adjusted.se == pytest.approx(found["adjusted_se"][trial], rel=1e-8)
            p = we.did.staggered(panel, draws=1_999, rng=trial).overall.details["randomisation_p"]
            spread = math.sqrt(p * (1 - p) / study.DRAWS)
            assert abs(p - found["randomisation_p"][trial]) < 4 * spread + 2 / study.DRAWS
