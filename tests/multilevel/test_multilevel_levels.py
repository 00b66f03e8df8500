"""Which inference holds its level: the study's record, the page that shows it, and a sample of the study."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from multilevel_cases import figures
from multilevel_levels import BATCHED, CLUSTERS, DESIGNS, LABELS, METHODS, ROBUST, cell, table

RECORD = figures("multilevel_levels")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods" / "multilevel.md"
RIGHT = [
    name for name in DESIGNS if name not in ("the same, effect varies by authority", "stepped wedge with drift")
]
"""Designs whose random part the model knows."""


def bound(reps, share=0.05, width=4.0):
    return width * math.sqrt(share * (1 - share) / reps)


def test_the_page_shows_the_record():
    assert table(RECORD) in PAGE.read_text(encoding="utf-8")


def test_the_record_is_whole():
    assert list(RECORD["rejected"]) == list(DESIGNS)
    for design, cells in RECORD["rejected"].items():
        assert list(cells) == [str(g) for g in CLUSTERS]
        for found in cells.values():
            wanted = METHODS[:-1] if "wedge" in design else METHODS
            assert set(found) == set(wanted)
            assert set(wanted) <= set(LABELS)


@pytest.mark.parametrize("design", RIGHT)
def test_kenward_roger_holds_its_level_where_the_model_is_right(design):
    for clusters in CLUSTERS[1:]:
        found = RECORD["rejected"][design][str(clusters)]["kenward_roger"]
        assert found < 0.05 + bound(RECORD["reps"]) + 0.01, clusters


def test_the_model_alone_does_not_hold_where_it_is_wrong():
    varying = RECORD["rejected"]["the same, effect varies by authority"]["12"]
    drifting = RECORD["rejected"]["stepped wedge with drift"]["12"]
    for found in (varying, drifting):
        assert found["kenward_roger"] > 0.07
        assert found["CR3"] < 0.05 + bound(RECORD["robust_reps"])
    assert abs(varying["cluster_means"] - 0.05) < bound(RECORD["reps"])


@pytest.mark.simulation
@pytest.mark.parametrize("design", ["cluster trial, equal sizes", "the same, effect varies by authority"])
def test_a_sample_of_the_study_agrees_with_the_record(design):
    before = RECORD["rejected"][design]["8"]
    found = cell(design, 8, 800, 30, seed=1)
    for method, share in found.items():
        reps, old = (30, RECORD["robust_reps"]) if method in ROBUST else (800, RECORD["reps"])
        error = math.sqrt(max(before[method], 0.02) * (1 / reps + 1 / old))
        assert abs(share - before[method]) < 4.0 * error, method


@pytest.mark.slow
@pytest.mark.simulation
def test_the_record_is_that_of_the_program():
    design = "cluster trial, sizes 5 to 60"
    found = cell(design, 6, RECORD["reps"], RECORD["robust_reps"])
    for method in (*BATCHED, "cluster_means"):
        assert found[method] == RECORD["rejected"][design]["6"][method]
