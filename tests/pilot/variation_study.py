"""Coverage of intervals of k, the variation of clusters' rates: ``python variation_study.py [repeats]``.

Each method is asked whether its 95% interval holds the true k: the inverted statistic that ``rate_variation`` gives
(by ``Counts.under``, which its limits are the roots of), the same statistic held to chi-squared, and the profile likelihood of the
negative binomial held to chi-squared with one degree of freedom.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy import special

from wwc_eval.pilot.variation import Counts

METHODS = ("inverted", "chi_squared", "profile")
CLUSTERS = (5, 9, 20, 60)
KS = (0.0, 0.1, 0.25, 0.5)
EVENTS = (5, 15, 50)
SHAPES = (("gamma", 0.0), ("gamma", 0.6), ("lognormal", 0.0))
GRID = np.concatenate([[1e-4], np.geomspace(0.02, 3.0, 50)])


def exposures(clusters: int, spread: float) -> np.ndarray:
    """Exposures with a mean of 1 and a coefficient of variation."""
    scores = special.ndtri((np.arange(clusters) + 0.5) / clusters)
    t = np.exp(scores * np.sqrt(np.log1p(spread**2)))
    return t / t.mean()


def draw(rng: np.random.Generator, rates: str, t: np.ndarray, k: float, events: float, *, reps: int) -> np.ndarray:
    """Counts (reps, clusters)."""
    size = (reps, len(t))
    if k == 0:
        true = np.ones(size)
    elif rates == "gamma":
        true = rng.gamma(k**-2, k**2, size)
    else:
        sd = np.sqrt(np.log1p(k * k))
        true = np.exp(rng.normal(-sd * sd / 2, sd, size))
    return rng.poisson(true * events * t).astype(float)


def profile_misses(x: np.ndarray, t: np.ndarray, k: float) -> np.ndarray:
    """1 where the interval lies above the true k, -1 where below, else 0."""

    def log_likelihood(each: float) -> np.ndarray:
        rate = x.sum(axis=1, keepdims=True) / t.sum()
        for _ in range(6):  # the score equation of the rate given k
            weight = 1.0 / (1.0 + each**2 * rate * t)
            rate = (weight * x).sum(axis=1, keepdims=True) / (weight * t).sum(axis=1, keepdims=True)
        shape = each**-2
        table = special.gammaln(np.arange(x.max() + 1) + shape) - special.gammaln(shape)
        whole = shape + rate * t
        parts = table[x.astype(int)] + shape * np.log(shape / whole) + special.xlogy(x, rate * t / whole)
        return np.asarray(parts.sum(axis=1))

    values = np.array([log_likelihood(each) for each in GRID])
    beyond = 2.0 * (values.max(axis=0) - log_likelihood(max(k, 1e-4))) > special.chdtri(1, 0.05)
    return np.where(beyond, np.sign(GRID[values.argmax(axis=0)] - max(k, 1e-4)), 0.0)


def misses(x: np.ndarray, t: np.ndarray, k: float) -> dict[str, list[float]]:
    """Shares of intervals that lie below and above the true k, by method."""
    x = x[x.sum(axis=1) > 1]
    under, plain = np.empty(len(x)), np.empty(len(x))
    for i, row in enumerate(x):
        counts = Counts(events=row, exposure=t)
        under[i] = counts.under(k)[0]
        plain[i] = special.chdtrc(len(t) - 1.0, counts.spread(k)[0])
    found = {
        "inverted": np.where(under > 0.975, -1.0, np.where(under < 0.025, 1.0, 0.0)),
        "chi_squared": np.where(plain > 0.975, -1.0, np.where(plain < 0.025, 1.0, 0.0)),
        "profile": profile_misses(x, t, k),
    }
    return {name: [float((each < 0).mean()), float((each > 0).mean())] for name, each in found.items()}


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    source = np.random.default_rng(2026)
    rows = []
    for rates, spread in SHAPES:
        for clusters in CLUSTERS:
            for k in KS:
                for events in EVENTS:
                    if rates == "lognormal" and k == 0:
                        continue
                    t = exposures(clusters, spread)
                    found = misses(draw(source, rates, t, k, events, reps=repeats), t, k)
                    coverage = {name: 1.0 - sum(each) for name, each in found.items()}
                    rows.append(
                        {"rates": rates, "exposure_cv": spread, "clusters": clusters, "k": k, "events": events}
                        | {"coverage": coverage, "below_above": found}
                    )
                    print(rows[-1], flush=True)
    record = {
        "source": "tests/pilot/variation_study.py",
        "repeats": repeats,
        "seed": 2026,
        "level": 0.95,
        "cases": rows,
    }
    out = Path(__file__).resolve().parents[1] / "reference" / "variation_coverage.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
