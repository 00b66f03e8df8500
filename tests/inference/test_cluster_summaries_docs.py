"""The page on cluster summaries: its examples run, its table is the committed record, and the record can be made again."""

import doctest
import json
from pathlib import Path

import pytest
from cluster_level_study import rejections, table
from inference_data import REFERENCE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods" / "cluster_summaries.md"
RECORD = json.loads((REFERENCE / "cluster_summaries_levels.json").read_text())


def test_examples_run():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried > 5
    assert failed == 0


def test_the_table_is_the_record():
    assert table(RECORD) in PAGE.read_text(encoding="utf-8")
    assert f"{RECORD['repeats']:,} trials a line" in PAGE.read_text(encoding="utf-8")


@pytest.mark.simulation
@pytest.mark.parametrize("case", RECORD["cases"], ids=lambda c: f"{c['outcome']}-{c['balanced']}-{c['clusters']}")
def test_levels_hold(case):
    bound = 0.05 + 3.5 * (0.05 * 0.95 / RECORD["repeats"]) ** 0.5
    # Welch's test of two clusters against six is the one that the page warns of
    told = {"Welch"} if not case["balanced"] and case["clusters"] == 8 else set()
    assert max(share for name, share in case["rejections"].items() if name not in told) < bound
    assert all(case["rejections"][name] > bound for name in told)


@pytest.mark.simulation
@pytest.mark.parametrize(("outcome", "clusters"), [("score", 4), ("0/1", 6), ("rate", 8)])
def test_a_small_study_agrees_with_the_record(outcome, clusters):
    case = next(
        c for c in RECORD["cases"] if (c["outcome"], c["balanced"], c["clusters"]) == (outcome, True, clusters)
    )
    repeats = 80
    found = rejections(clusters, outcome, balanced=True, repeats=repeats, seed=77)
    for name, share in found.items():
        expected = case["rejections"][name]
        error = (expected * (1 - expected) * (1 / repeats + 1 / RECORD["repeats"])) ** 0.5
        assert abs(share - expected) < 4 * error + 1 / repeats
