"""Randomisation tests hold their size under every scheme; permuting freely does not where the scheme is restricted."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pandas as pd
import pytest

import wwc_eval as we
from wwc_eval.randomisation.arms import read_arms
from wwc_eval.randomisation.testing.linear import LeastSquares
from wwc_eval.randomisation.testing.rows import Exposure
from wwc_eval.randomisation.units import read_units

pytestmark = pytest.mark.simulation
TRIALS, DRAWS = 4_000, 199


def rejections(units: pd.DataFrame, scheme, outcome, rng, *, trials=TRIALS) -> tuple[float, float]:
    """Share of true nulls rejected at 5% by the scheme's own reference set, and by free permutation."""
    bound = scheme.bind(
        read_units(units, "team", [c for c in units.columns if c != "team"]), read_arms(("a", "b"))
    )
    n = len(units)
    exposure = Exposure(place=np.arange(n), kind=np.zeros(n, dtype=np.intp), state=np.array([[0, 1]]))
    squares = LeastSquares(exposure=exposure, units=n, arms=2, Z=np.ones((n, 1)), contrast=np.array([-1.0, 1.0]))
    reference = bound.sample(DRAWS, rng)
    free = np.array([rng.permutation(reference[0]) for _ in range(DRAWS)])
    made = bound.sample(trials, rng)
    Y = outcome(trials).T
    # every outcome under every allocation, then each trial with the allocation that it got
    by_scheme, freely = squares.coefficients(Y, reference), squares.coefficients(Y, free)
    treated = made == 1
    own = (Y.T * treated).sum(axis=1) / treated.sum(axis=1) - (Y.T * ~treated).sum(axis=1) / (~treated).sum(axis=1)
    shares = []
    for values in (by_scheme, freely):
        p = (1 + (np.abs(values) >= np.abs(own) - 1e-12).sum(axis=0)) / (1 + DRAWS)
        shares.append(float((p <= 0.05).mean()))
    return shares[0], shares[1]


def teams(rng, n=24):
    frame = pd.DataFrame({"team": [f"t{k:02d}" for k in range(n)], "la": [f"L{k // 4}" for k in range(n)]})
    return frame.assign(rate=(np.arange(n) // 4 + rng.normal(scale=0.5, size=n)).round(3))


SCHEMES = {
    "complete": we.Complete(),
    "stratified": we.Stratified(by="la"),
    "blocks": we.PermutedBlocks(sizes=(2, 4), by="la"),
    "pairs": we.MatchedPairs(on=["rate"]),
    "constrained": we.Constrained(on=["rate"], accept=0.1),
    "rerandomised": we.Rerandomised(on=["rate"], accept=0.1),
    "minimised": we.Minimisation(on=["la"], p_best=0.8),
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
    error = sqrt(0.05 * 0.95 / TRIALS)
    assert own == pytest.approx(0.05, abs=4 * error)
    if name in RESTRICTED:
        assert free < 0.02  # far too careful: it counts allocations that could not have happened
