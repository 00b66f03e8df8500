"""Simulated designs: levels, agreement with formulas, workers, resuming, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import simulation_study
from scipy import special

from wwc_eval.errors import DataError, DesignError
from wwc_eval.power import Binary, Continuous, Level, Rate, SteppedWedge, Trial
from wwc_eval.power.panel import PanelDiD, placebo_power
from wwc_eval.power.simulation.mixing import intercept_of, link_sd
from wwc_eval.power.simulation.runner import CHUNK, run_chunks, seed_of

RECORD = json.loads((Path(__file__).parents[1] / "reference" / "power_simulated_analyses.json").read_text())
WEDGE = SteppedWedge.standard(clusters=8, steps=4, cell_size=20, icc=0.05, cac=0.8)


def within(share: float, wanted: float, reps: int, errors: float = 4.0) -> bool:
    """Whether a simulated share is within so many Monte Carlo errors."""
    return abs(share - wanted) <= errors * math.sqrt(wanted * (1 - wanted) / reps) + 1e-12


# --- formulas that are exact for the test they describe


@pytest.mark.simulation
@pytest.mark.parametrize("effect", [0.0, 0.45])
def test_cluster_trial_has_the_power_of_its_formula(effect):
    design = Trial(levels=[Level("child", 20), Level("team", 20, icc=0.1)], assigned="team")
    found = design.simulate(effect, 20_000, rng=1, analysis=("cluster_summaries", "mixed_model"))
    wanted = float(design.power(effect)) if effect else 0.05
    assert within(found["cluster_summaries"].power, wanted, found.reps)
    assert within(found["mixed_model"].power, wanted, found.reps, errors=6.0)
    assert abs(found.bias) < 4 * found.bias_mc_se
    assert within(found.coverage, 0.95, found.reps)


@pytest.mark.simulation
def test_covariates_cost_degrees_of_freedom_as_the_formula_says():
    design = Trial(levels=[Level("child", 20), Level("team", 14, icc=0.1, r2=0.4, covariates=2)], assigned="team")
    found = design.simulate(0.4, 20_000, rng=2, analysis="cluster_summaries")
    assert found.median_df == 14 - 2 - 2
    # random covariates are not balanced between arms, which costs a little more than the formula counts
    assert -0.06 < found.power - float(design.power(0.4)) < 0.01


@pytest.mark.simulation
def test_individual_trial_has_the_power_of_its_formula():
    design = Trial(levels=[Level("family", 60)], assigned="family")
    found = design.simulate(0.6, 20_000, rng=3)
    assert within(found.power, float(design.power(0.6)), found.reps)


@pytest.mark.simulation
def test_wedge_z_test_has_the_power_of_its_formula_with_many_clusters():
    design = SteppedWedge.standard(clusters=60, steps=4, cell_size=10, icc=0.05, cac=0.8)
    found = design.simulate(0.2, 3_000, rng=4, analysis="mixed_model_z")
    assert abs(found.power - float(design.power(0.2))) < 0.03


@pytest.mark.simulation
@pytest.mark.parametrize("outcome", [Binary(control=0.2), Rate(control=0.05, exposure=2.0)])
def test_summaries_of_counts_hold_their_level_and_truth(outcome):
    design = Trial(levels=[Level("child", 60), Level("team", 16, icc=0.03)], assigned="team", outcome=outcome)
    none = design.simulate(outcome.null, 6_000, rng=5)
    assert within(none.power, 0.05, none.reps)
    effect = -0.06 if isinstance(outcome, Binary) else 0.6
    some = design.simulate(
        effect, 6_000, rng=6, analysis=("cluster_summaries", "regression_cr2", "mixed_model"), null=True
    )
    for record in some.records:
        assert abs(record.bias) < max(5 * record.bias_mc_se, 0.03 * abs(record.truth)), record.analysis
    assert some["cluster_summaries"].type_one == pytest.approx(0.05, abs=0.015)
    assert some.type_m > 1


@pytest.mark.parametrize(("mean", "icc"), [(0.07, 0.00268), (0.22, 0.05), (0.5, 0.3)])
def test_mixture_has_the_mean_and_variance_planned(mean, icc):
    variance = icc * mean * (1 - mean)
    sd = link_sd(mean, variance, "binomial")
    draws = special.expit(
        intercept_of(mean, sd, "binomial") + sd * special.ndtri((np.arange(400_000) + 0.5) / 400_000)
    )
    assert draws.mean() == pytest.approx(mean, rel=1e-6)
    assert draws.var() == pytest.approx(variance, rel=1e-3)


# --- the study in the docs


@pytest.mark.simulation
@pytest.mark.parametrize("drift", ["0.00", "0.10", "0.15", "0.20"])
def test_record_agrees_with_the_earlier_study(drift):
    earlier = {  # 10,000 replicates with other draws, another generator of cells and another program
        "0.00": (0.061, 0.048, 0.049, 0.024), "0.10": (0.130, 0.126, 0.047, 0.023),
        "0.15": (0.212, 0.215, 0.052, 0.026), "0.20": (0.303, 0.308, 0.055, 0.026),
    }[drift]  # fmt: skip
    row = RECORD["binary_wedge"][drift]
    for name, wanted in zip(
        ("mixed_model", "regression", "regression_cr2", "regression_cr3"), earlier, strict=True
    ):
        spread = math.sqrt(2 * wanted * (1 - wanted) / 10_000)
        assert abs(row[name]["rejects"] - wanted) < 4 * spread + 0.01 * (wanted > 0.1), name
    assert row["randomisation_test"]["rejects"] == 0.0
    assert within(row["randomisation_test"]["at_smallest_p"], 1 / 12, RECORD["reps"])


def test_a_sample_of_the_study_gives_the_recorded_counts():
    again = simulation_study.rates(
        simulation_study.binary_wedge().simulate(
            0, CHUNK, rng=RECORD["seed"], drift_sd=0.1, analysis=simulation_study.BINARY
        )
    )
    for name, found in again.items():
        assert found["first_500"] == RECORD["binary_wedge"]["0.10"][name]["first_500"], name
    nested = simulation_study.rates(
        simulation_study.gaussian_wedge().simulate(
            0, CHUNK, rng=RECORD["seed"], analysis=simulation_study.GAUSSIAN
        )
    )
    for name, found in nested.items():
        assert abs(found["first_500"] - RECORD["gaussian_wedge"]["0.0000"][name]["first_500"]) <= 1, name


# --- running


def test_numbers_do_not_depend_on_the_workers_or_the_progress_bar(capsys):
    one = WEDGE.simulate(0.3, 1_300, rng=7)
    two = WEDGE.simulate(0.3, 1_300, rng=7, n_jobs=2, progress=True)
    assert "3/3" in capsys.readouterr().err
    np.testing.assert_array_equal(one.fits["mixed_model"].estimate, two.fits["mixed_model"].estimate)
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    longer = WEDGE.simulate(0.3, 2_000, rng=7)
    np.testing.assert_array_equal(
        longer.fits["mixed_model"].estimate[:1_000], one.fits["mixed_model"].estimate[:1_000]
    )


def test_dask_workers_give_the_same_numbers():
    distributed = pytest.importorskip("distributed")
    alone = WEDGE.simulate(0.3, 1_300, rng=7)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        spread = WEDGE.simulate(0.3, 1_300, rng=7, n_jobs=-1)
    pd.testing.assert_frame_equal(alone.to_frame(), spread.to_frame())


def test_a_study_resumes_from_its_directory(tmp_path):
    class Counting:
        """A simulator that counts what it is asked for."""

        asked = 0

        def chunk(self, rng, reps):
            Counting.asked += 1
            value = rng.normal(size=reps)
            from wwc_eval.power.simulation.fits import ReplicateFits

            return {"mean": ReplicateFits.wald(value, np.ones(reps), np.inf)}

        def __reduce__(self):
            return str, ("counting",)

    first = run_chunks(Counting(), 1_200, 3, directory=tmp_path)["mean"]
    assert Counting.asked == 3
    again = run_chunks(Counting(), 2_000, 3, directory=tmp_path)["mean"]
    assert Counting.asked == 5  # the third chunk was shorter, the fourth is new
    np.testing.assert_array_equal(again.estimate[:1_000], first.estimate[:1_000])
    np.testing.assert_array_equal(again.estimate, run_chunks(Counting(), 2_000, 3)["mean"].estimate)
    with pytest.raises(DesignError, match="another study: entropy differ"):
        run_chunks(Counting(), 2_000, 4, directory=tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_another_design_is_not_taken_from_the_directory(tmp_path):
    WEDGE.simulate(0.3, 20, rng=1, directory=tmp_path)
    with pytest.raises(DesignError, match="study differ"):
        WEDGE.replace(icc=0.06).simulate(0.3, 20, rng=1, directory=tmp_path)
    kept = WEDGE.simulate(0.3, 20, rng=1, directory=tmp_path, null=True)
    assert 0 <= kept.type_one <= 1
    assert (tmp_path / "null" / "study.json").exists()


def test_seeds_of_every_kind():
    sequence = np.random.SeedSequence(5)
    assert seed_of(5).entropy == seed_of(sequence).entropy
    sequence.spawn(3)
    assert seed_of(sequence).n_children_spawned == 0
    a, b = (WEDGE.simulate(0.3, 10, rng=np.random.default_rng(2)).bias for _ in range(2))
    assert a == b
    with pytest.raises(DesignError, match="rng == None"):
        WEDGE.simulate(0.3, 10, rng=None)


def test_results_render_and_name_their_analyses():
    found = WEDGE.simulate(0.3, 200, rng=1, analysis=("mixed_model", "regression_cr2"))
    assert found.power == found["mixed_model"].power
    assert list(found.to_frame()["analysis"]) == ["mixed_model", "regression_cr2"]
    assert "power" in str(found)
    assert found.power_mc_se == pytest.approx(math.sqrt(found.power * (1 - found.power) / 200))
    with pytest.raises(DesignError, match="did you mean"):
        found["regression_cr1"]
    with pytest.raises(AttributeError):
        _ = found.pwoer


@pytest.mark.parametrize(
    ("design", "asked", "message"),
    [
        (WEDGE, {"analysis": "anova"}, "analysis == 'anova'"),
        (WEDGE.replace(iac=0.3), {}, "mixed models of cohorts"),
        (WEDGE.replace(icc=np.array([0.1, 0.2])), {}, "icc is an array"),
        (WEDGE, {"drift_sd": -1}, "drift_sd == -1"),
        (WEDGE, {"reps": 0}, "reps == 0"),
        (Trial(levels=[Level("child", 30)], assigned="child"), {"analysis": "mixed_model"}, "no clusters"),
        (Trial(levels=[Level("child", 30)], assigned="child"), {"drift_sd": 0.1}, "designs with periods"),
    ],
)
def test_what_cannot_be_simulated_is_refused(design, asked, message):
    with pytest.raises(DesignError, match=message):
        design.simulate(**({"effect": 0.1, "reps": 10, "rng": 1} | asked))


def test_incomplete_and_unequal_wedges():
    sizes = np.random.default_rng(1).integers(10, 60, (8, 1)) * np.ones((8, 9))
    design = SteppedWedge.standard(
        clusters=8, steps=4, periods_per_step=2, transition=1, cell_size=sizes, icc=0.05, cac=0.7
    )
    found = design.simulate(0.4, 1_000, rng=1, analysis=("mixed_model", "regression_cr2"))
    assert abs(found.bias) < 4 * found.bias_mc_se
    assert found.failed == 0.0
    # the allocation of sequences to clusters of unequal size is drawn: power is its average
    assert abs(found.power - float(design.power(0.4))) < 0.06
    with pytest.raises(DesignError, match="incomplete stepped wedge"):
        design.simulate(0.4, 10, rng=1, analysis="randomisation_test")


# --- panels


@pytest.mark.simulation
def test_panel_formula_and_permutation():
    design = PanelDiD.standard(treated=10, control=20, pre=4, post=3, noise_sd=2.0, rho=0.5)
    found = design.simulate(1.6, 4_000, rng=1, analysis=("permutation", "regression_cr2"))
    assert found["regression_cr2"].empirical_se == pytest.approx(float(design.power(1.6).se), rel=0.05)
    assert abs(found["permutation"].power - float(design.power(1.6))) < 0.03
    none = design.simulate(0.0, 4_000, rng=2)
    assert within(none.power, 0.05, none.reps)


def test_panel_variance_closed_forms():
    independent = PanelDiD.standard(treated=8, control=24, pre=5, post=3, noise_sd=2.0)
    wanted = 2.0 * math.sqrt((1 / 5 + 1 / 3) * (1 / 8 + 1 / 24))
    assert float(independent.power(1.0).se) == pytest.approx(wanted, rel=1e-12)
    assert float(independent.replace(estimator="gls").power(1.0).se) == pytest.approx(wanted, rel=1e-12)
    sampled = independent.replace(noise_sd=0.0, population=50.0, outcome=Continuous(sd=3.0))
    assert float(sampled.power(1.0).se) == pytest.approx(wanted / 2.0 * 3.0 / math.sqrt(50), rel=1e-12)
    serial = independent.replace(rho=np.array([0.0, 0.6]))
    assert (serial.replace(estimator="gls").power(1.0).se <= serial.power(1.0).se + 1e-12).all()


def test_placebo_treatments_on_a_panel():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(40, 12)).cumsum(axis=1) + rng.normal(size=(40, 1)) * 5 + np.arange(12) + 30
    frame = pd.DataFrame(
        [(f"la{k}", 2010 + t, noise[k, t]) for k in range(40) for t in range(12)], columns=["la", "year", "rate"]
    ).sample(frac=1.0, random_state=1)
    ask = {"unit": "la", "time": "year", "outcome": "rate", "treated": 3, "pre": 4, "post": 3, "rng": 1}
    three = ("regression_cr1", "regression_cr2", "permutation")
    none = placebo_power(frame, **ask, reps=4_000, analysis=three)
    assert within(none["permutation"].power, 0.05, 4_000)
    assert none["regression_cr1"].power > 0.15
    some = placebo_power(frame, **ask, reps=500, effect=1.3, scale="ratio", null=True)
    assert some.power > some.type_one
    with pytest.raises(DataError, match="no outcome for la"):
        placebo_power(frame.iloc[1:], **ask)
    with pytest.raises(DesignError, match="has 12 periods"):
        placebo_power(frame, **(ask | {"pre": 10}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"treatment": np.ones((4, 3))}, "cannot be told apart"),
        ({"rho": 1.0}, "rho == 1"),
        ({"noise_sd": -1}, "noise_sd == -1"),
        ({"population": [1, 2]}, "population has shape"),
        ({"estimator": "wls"}, "estimator == 'wls'"),
    ],
)
def test_panels_that_cannot_be(changes, message):
    base = {"treatment": np.array([[0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]]), "noise_sd": 1.0}
    with pytest.raises(DesignError, match=message):
        PanelDiD(**(base | changes))
