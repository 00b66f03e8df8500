"""The record of how often models of the multilevel samples reject a true null, and a sample of the study behind it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from samples_levels import RECORD, SCHOOLS, WEDGES, schools_p_values, wedge_p_values

RUNS = {"schools": (SCHOOLS, schools_p_values), "wedge": (WEDGES, wedge_p_values)}

pytestmark = pytest.mark.simulation


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


def rejected(record, study):
    return np.mean(np.asarray(record[study]["p_values"]) < 0.05, axis=0)


def test_a_model_with_blocks_as_random_effects_holds_its_level(record):
    (share,) = rejected(record, "schools")
    # 5% within three Monte Carlo errors of 240 trials
    assert 0.008 < share < 0.093


def test_five_authorities_make_mixed_models_reject_too_often(record):
    simple, nested, cr2, cr3 = rejected(record, "wedge")
    error = np.sqrt(0.05 * 0.95 / len(WEDGES))
    assert simple > 0.05 + 3 * error
    assert nested > 0.05 + 1.64 * error
    assert abs(cr2 - 0.05) < 3 * error
    assert cr3 < cr2


@pytest.mark.parametrize("study", list(RUNS))
@pytest.mark.parametrize("place", [0, 7, 101])
def test_the_record_is_what_the_study_gives(record, study, place):
    seeds, run = RUNS[study]
    assert len(record[study]["p_values"]) == len(seeds)
    assert record[study]["p_values"][place] == pytest.approx(run(seeds[place]), abs=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("study", list(RUNS))
def test_the_whole_record_is_what_the_study_gives(record, study):
    seeds, run = RUNS[study]
    np.testing.assert_allclose(record[study]["p_values"], [run(seed) for seed in seeds], atol=2e-6)
