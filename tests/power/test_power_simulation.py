"""Formulas that are exact are within Monte Carlo error of simulated trials; approximations err by what the record says."""

import json
from pathlib import Path

import pytest
from power_study import APPROXIMATE, EXACT, RECORD, formula, simulated

pytestmark = pytest.mark.simulation
ROWS = {row["study"]: row for row in json.loads(Path(RECORD).read_text(encoding="utf-8"))["rows"]}


def test_record_is_of_these_studies():
    assert set(ROWS) == set(EXACT) | set(APPROXIMATE)
    for name, study in (EXACT | APPROXIMATE).items():
        assert formula(study) == pytest.approx(ROWS[name]["formula"], abs=1e-10)


@pytest.mark.parametrize("name", EXACT)
def test_exact_formulas_at_100_000_replicates(name):
    row = ROWS[name]
    assert abs(row["formula"] - row["simulated"]) < 3 * row["mc_se"]


@pytest.mark.parametrize("name", APPROXIMATE)
def test_warned_where_off_by_more_than_two_points(name):
    design, effect, options, _ = APPROXIMATE[name]
    error = ROWS[name]["formula"] - ROWS[name]["simulated"]
    warned = bool(design.power(effect, **options).warnings)
    if abs(error) > 0.02 + 3 * ROWS[name]["mc_se"]:
        assert warned
    if abs(error) < 0.005:
        assert not warned


@pytest.mark.parametrize(
    "name",
    ["8 clusters of 10, ICC 0.1", "children in 12 random blocks of 10", "interaction of a 2 x 2 trial of 80"],
)
def test_exact_formulas_afresh(name):
    share, error = simulated(EXACT[name], 10_000, 7)
    assert abs(formula(EXACT[name]) - share) < 3.5 * error


@pytest.mark.parametrize(
    "name", ["risks, 22% to 14%, 48 teams of 60, ICC 0.05", "sizes, CV 0.4, 20 clusters of 30, best weights"]
)
def test_approximations_afresh(name):
    share, error = simulated(APPROXIMATE[name], 10_000, 7)
    assert abs(ROWS[name]["simulated"] - share) < 3.5 * error


@pytest.mark.slow
def test_every_study_at_100_000_replicates():
    for name, study in EXACT.items():
        share, error = simulated(study, 100_000, 11)
        assert abs(formula(study) - share) < 3.5 * error, name
    for name, study in APPROXIMATE.items():
        share, error = simulated(study, 100_000, 11)
        assert abs(ROWS[name]["simulated"] - share) < 5 * error, name
