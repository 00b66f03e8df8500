"""Formulas of wedges, crossovers and panels: the exact are within Monte Carlo error, the others err by what the record says."""

import json
from pathlib import Path

import pytest
from wedge_study import ANALYSED, DFS, EXACT, RECORD, WORKING, by_variance, formulas, planned_weights, simulated

from wwc_eval.power import PanelDiD

pytestmark = pytest.mark.simulation
STUDY = json.loads(Path(RECORD).read_text(encoding="utf-8"))
ROWS = {row["study"]: row for row in STUDY["exact"]}


def test_record_is_of_these_studies():
    assert STUDY["reps"] == 100_000
    assert list(ROWS) == list(EXACT)
    for name, (design, effect, _) in EXACT.items():
        assert float(design.power(effect)) == pytest.approx(ROWS[name]["formula"], abs=1e-10)
    for name, (design, effect, _) in ANALYSED.items():
        assert formulas(design, effect) == pytest.approx(STUDY["analysed"][name]["formula"], abs=1e-9)
    for name, (design, effect, _) in WORKING.items():
        assert by_variance(design, effect) == pytest.approx(STUDY["working"][name]["formula"], abs=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_exact_formulas_at_100_000_replicates(name):
    row = ROWS[name]
    assert abs(row["formula"] - row["simulated"]) < 3 * row["mc_se"]


@pytest.mark.parametrize(
    "name",
    ["discrete-time decay, 0.7", "crossover of 8 clusters, two periods, t", "panel, 6 treated of 20 at once, AR(1) 0.5, t"],
)  # fmt: skip
def test_exact_formulas_afresh(name):
    share, error = simulated(EXACT[name], 10_000, 7)
    assert abs(ROWS[name]["formula"] - share) < 3.5 * error


def test_children_of_an_open_cohort_tell_more_than_their_cells():
    design, effect, _ = EXACT["open cohort of 10, 30% new, IAC 0.6"]
    of_cells, of_children = (planned_weights(design, by_child=each)[1] for each in (False, True))
    assert float(design.power(effect).se) == pytest.approx(of_cells, rel=1e-10)
    assert of_children < 0.95 * of_cells


@pytest.mark.parametrize("name", WORKING)
def test_working_variances(name):
    row, design = STUDY["working"][name], WORKING[name][0]
    own = "difference" if "rate" in name else "unpooled"
    assert abs(row["formula"][own] - row["simulated"]) < 0.005
    for variance, power in row["formula"].items():
        if variance in {"null", "pooled"}:
            outcome = design.outcome.replace(variance=variance)
            notes = design.replace(outcome=outcome, df=100.0).power(WORKING[name][1]).warnings
            off = abs(power - row["simulated"])
            warned = any("variance puts power" in note for note in notes)
            assert warned if off > 0.025 else (off > 0.015 or not warned)


@pytest.mark.parametrize("name", ANALYSED)
def test_choices_of_df_that_are_off_are_warned_of(name):
    design, effect, _ = ANALYSED[name]
    row = STUDY["analysed"][name]
    if isinstance(design, PanelDiD):
        # with all treated at once the formula is that of the permutation test and of a t test of changes
        assert abs(row["formula"]["clusters"] - row["simulated"]["permutation"]) < 0.015
        notes = design.replace(df="z").power(effect).warnings
        assert any("overstates power" in note for note in notes) == (
            row["formula"]["z"] - row["formula"]["clusters"] > 0.02
        )
        return
    for df in DFS:
        gap = row["formula"][df] - row["formula"]["satterthwaite"]
        notes = design.replace(df=df).power(effect).warnings
        assert any(f"(df='{df}')" in note for note in notes) == (abs(gap) > 0.02), df
    if "continuous" in name:
        assert abs(row["formula"]["satterthwaite"] - row["simulated"]["mixed_model"]) < 0.006
        assert abs(row["formula"]["z"] - row["simulated"]["mixed_model_z"]) < 0.006


@pytest.mark.parametrize("name", ["continuous wedge, 8 clusters", "panel, 10 of 30 treated at once"])
def test_a_sample_gives_the_recorded_counts(name):
    design, effect, analyses = ANALYSED[name]
    found = design.simulate(effect, 500, rng=STUDY["seed"], analysis=analyses)
    for analysis, count in STUDY["analysed"][name]["first_500"].items():
        p = found.fits[analysis].p_value
        assert abs(int((p <= 0.05 * (1 + 1e-12)).sum()) - count) <= 1, analysis


@pytest.mark.slow
def test_every_exact_formula_at_100_000_replicates():
    for name, study in EXACT.items():
        share, error = simulated(study, 100_000, 11)
        assert abs(ROWS[name]["formula"] - share) < 3.5 * error, name
