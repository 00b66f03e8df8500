"""Ratings to scores: reading and checking, composites, one multilevel model, ranks. Run as a script; asserts nothing."""

from __future__ import annotations

import time

import numpy as np

from wwc_eval.data.samples import fidelity_ratings
from wwc_eval.fidelity.benchmarking.ranks import rank_probabilities
from wwc_eval.fidelity.specification.specification import FidelitySpecification


def timed(what: str, work):
    """Print how long some work takes, and give its result."""
    start = time.perf_counter()
    found = work()
    print(f"{what:<58} {1000 * (time.perf_counter() - start):9.1f} ms")
    return found


def main() -> None:
    """Print the figures."""
    path = "sample_data/specifications/safety_planning.yaml"
    spec = timed("specification of 12 items read and checked", lambda: FidelitySpecification.load(path))
    for cases in (5, 40):
        ratings = fidelity_ratings(1, cases=cases)
        n = ratings["case"].nunique()
        scores = timed(
            f"{len(ratings):,} ratings of {n:,} cases checked and scored", lambda r=ratings: spec.score(r)
        )
        timed("  one multilevel model of the composite", scores.model)
        timed("  bands of all cases", lambda s=scores: s.banding("case"))
        timed("  table of the authorities", lambda s=scores: s.by("local_authority"))
    rng = np.random.default_rng(1)
    mean, se = rng.normal(size=150), rng.uniform(0.1, 0.3, size=150)
    exact = timed("ranks of 150 units, the whole law", lambda: rank_probabilities(mean, se))
    start = time.perf_counter()
    draws = mean + se * rng.normal(size=(10_000, 150))
    ranks = (-draws).argsort(axis=1).argsort(axis=1)
    drawn = time.perf_counter() - start
    error = np.abs(exact @ np.arange(150) - ranks.mean(axis=0)).max()
    print(f"{'  the same by 10,000 draws':<58} {1000 * drawn:9.1f} ms (mean ranks within {error:.2f})")


if __name__ == "__main__":
    main()
