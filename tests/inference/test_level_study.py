"""Type I error with few and with many clusters: who holds 5% and who does not."""

import json
import math

import pytest
from inference_data import REFERENCE
from level_study import METHODS, rejections

REPEATS = 600


def within(rate, repeats, nominal=0.05):
    """Inside the Monte Carlo bounds of the nominal level (3.3 standard errors)."""
    return abs(rate - nominal) < 3.3 * math.sqrt(nominal * (1 - nominal) / repeats)


@pytest.mark.simulation
@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_fifty_clusters(family):
    methods = ("classical", "CR1", "CR2 Satterthwaite")
    rate = rejections(50, family, balanced=True, repeats=REPEATS, seed=1, methods=methods)
    assert within(rate["CR1"], REPEATS)
    assert within(rate["CR2 Satterthwaite"], REPEATS)
    assert rate["classical"] > 0.12  # what ignoring the clusters costs


@pytest.mark.simulation
def test_eight_clusters_need_more_than_cr0():
    methods = ("CR0", "CR1", "CR2 Satterthwaite", "CR3 Satterthwaite")
    rate = rejections(8, "gaussian", balanced=False, repeats=REPEATS, seed=2, methods=methods)
    assert rate["CR0"] > rate["CR1"] > 0.09
    assert rate["CR2 Satterthwaite"] < 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / REPEATS)
    assert rate["CR3 Satterthwaite"] <= rate["CR2 Satterthwaite"]


@pytest.mark.simulation
def test_the_committed_record_says_what_the_documentation_says():
    record = json.loads((REFERENCE / "inference_levels.json").read_text())
    n = record["repeats"]
    for case in record["cases"]:
        rate = case["rejections"]
        assert set(rate) == set(METHODS)
        assert rate["CR2 Satterthwaite"] < 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / n)
        if case["clusters"] < 12:
            assert rate["CR1"] > 0.06
        assert rate["classical"] > 0.15


@pytest.mark.slow
@pytest.mark.simulation
def test_the_record_is_that_of_the_program():
    record = json.loads((REFERENCE / "inference_levels.json").read_text())
    case = record["cases"][2]
    again = rejections(
        case["clusters"],
        case["family"],
        balanced=case["balanced"],
        repeats=record["repeats"],
        seed=record["seed"],
    )
    assert again == case["rejections"]
