"""Randomisation tests hold their size under every scheme; permuting freely does not where the scheme is restricted."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.randomisation.arms import read_arms
from wwc_eval.randomisation.testing.linear import LeastSquares
from wwc_eval.randomisation.testing.rows import Exposure
from wwc_eval.randomisation.units import read_units

pytestmark = pytest.mark.simulation
REFERENCE = Path(__file__).parents[1] / "reference"


def figures(name: str) -> dict:
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


BATCHES, TRIALS, DRAWS = 40, 100, 199
"""Reference sets drawn, trials compared with each of them, and its size: the draws err together within a batch."""


def rejections(units: pd.DataFrame, scheme, outcome, rng, *, batches=BATCHES) -> tuple[float, float]:
    """Share of true nulls rejected at 5% by the scheme's own reference set, and by free permutation."""
    bound = scheme.bind(
        read_units(units, "team", [c for c in units.columns if c != "team"]), read_arms(("a", "b"))
    )
    n = len(units)
    exposure = Exposure(place=np.arange(n), kind=np.zeros(n, dtype=np.intp), state=np.array([[0, 1]]))
    squares = LeastSquares(exposure=exposure, units=n, arms=2, Z=np.ones((n, 1)), contrast=np.array([-1.0, 1.0]))
    rejected = np.zeros(2)
    for _ in range(batches):
        reference = bound.sample(DRAWS, rng)
        free = np.array([rng.permutation(reference[0]) for _ in range(DRAWS)])
        treated = bound.sample(TRIALS, rng) == 1
        y = outcome(TRIALS)
        own = (y * treated).sum(axis=1) / treated.sum(axis=1) - (y * ~treated).sum(axis=1) / (~treated).sum(axis=1)
        for k, allocations in enumerate((reference, free)):
            values = squares.coefficients(y.T, allocations)
            p = (1 + (np.abs(values) >= np.abs(own) - 1e-12).sum(axis=0)) / (1 + DRAWS)
            rejected[k] += (p <= 0.05).mean() / batches
    return float(rejected[0]), float(rejected[1])


def teams(rng, n=24):
    frame = pd.DataFrame({"team": [f"t{k:02d}" for k in range(n)], "la": [f"L{k // 4}" for k in range(n)]})
    return frame.assign(rate=(np.arange(n) // 4 + rng.normal(scale=0.5, size=n)).round(3))


SCHEMES = {
    "simple": we.Simple(),
    "complete": we.Complete(),
    "stratified": we.Stratified(by="la"),
    "blocks": we.PermutedBlocks(sizes=(2, 4), by="la"),
    "pairs": we.MatchedPairs(on=["rate"]),
    "constrained": we.Constrained(on=["rate"], accept=0.1),
    "rerandomised": we.Rerandomised(on=["rate"], accept=0.1),
    "minimised": we.Minimisation(on=["la"], p_best=0.8),
    "saturation": we.Saturation(within="la", shares=[0.25, 0.75]),
}
RESTRICTED = {"stratified", "pairs", "constrained", "rerandomised"}


@pytest.mark.parametrize("name", SCHEMES)
def test_size(name):
    rng = np.random.default_rng([7, list(SCHEMES).index(name)])
    units = teams(rng)

    def outcome(trials):
        # what the scheme balances matters for the outcome, as it does where schemes are chosen
        return 1.5 * units["rate"].to_numpy() + rng.normal(size=(trials, len(units)))

    own, free = rejections(units, SCHEMES[name], outcome, rng)
    error = sqrt(0.05 * 0.95 * (1 / (BATCHES * TRIALS) + 1 / (BATCHES * (DRAWS + 2))))
    assert own == pytest.approx(0.05, abs=4 * error)
    if name in RESTRICTED:
        assert free < 0.01  # far too careful: it counts allocations that could not have happened


def test_no_level_is_exceeded_by_a_stepped_wedge():
    """Exact whatever the outcome: of the permitted allocations a share p or less has a p-value of p or less."""
    rng = np.random.default_rng(9)
    las = pd.DataFrame({"la": list("abcde"), "wave": [1, 1, 2, 2, 2]})
    method = we.SteppedWedgeSequences(sequences=[2, 3, 4, 5, 6], by="wave")
    allocation = we.randomise(las, unit="la", method=method, seed="a seed for tests")
    frame = las.merge(pd.DataFrame({"period": np.repeat(np.arange(1, 7), 8)}), how="cross")
    frame["y"] = rng.normal(size=len(frame)) + frame["period"] * rng.normal(size=5)[frame["la"].map(ord) - 97]
    found = []
    for codes in allocation.reference_set():
        made = type(allocation).of(allocation.bound, codes.copy(), seed="a seed for tests", alpha=0.05)
        test = we.randomisation_test(
            made, frame, "y ~ treated + factor(period)", statistic="regression", arm="treated", period="period"
        )
        found.append(test.p_value)
    for level in np.arange(1, 13) / 12:
        assert np.mean(np.array(found) <= level + 1e-9) <= level + 1e-9


def test_the_documents_show_the_record():
    record = figures("randomisation_test_sizes")
    page = (Path(__file__).parents[2] / "docs" / "methods" / "randomisation_tests.md").read_text(encoding="utf-8")
    for name, found in record["rejected"].items():
        assert f"| {name} | {100 * found['scheme']:.1f} | {100 * found['free']:.1f} |" in page
        assert abs(found["scheme"] - 0.05) < 4 * record["error"]
