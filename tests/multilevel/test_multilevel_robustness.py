"""No silent wrong fit: random awkward trials, each compared with restarts from random points."""

from __future__ import annotations

import pytest
from multilevel_cases import figures
from multilevel_trials import study

RECORD = figures("multilevel_robustness")
OPEN = 335
"""The one trial of the record whose search ended above the best restart; it is not solved yet."""


@pytest.mark.simulation
def test_three_hundred_random_trials():
    found = study(300, restarts=1)
    assert not found["above_the_best_restart"]
    assert found["statuses"]["ok"] > 90
    assert found["statuses"]["boundary"] > 90
    assert found["statuses"].get("failed", 0) == 0


def test_the_record_names_the_open_trial():
    assert RECORD["trials"] >= 1_500
    assert [seed for seed, _ in RECORD["above_the_best_restart"]] == [OPEN]


@pytest.mark.xfail(strict=True, reason="a false optimum, 1.37 above the best restart: open")
def test_the_open_trial():
    assert not study(1, restarts=8, first=OPEN)["above_the_best_restart"]


@pytest.mark.slow
@pytest.mark.simulation
def test_the_record():
    found = study(RECORD["trials"], restarts=RECORD["restarts"])
    assert found["statuses"] == RECORD["statuses"]
    assert [seed for seed, _ in found["above_the_best_restart"]] == [OPEN]
