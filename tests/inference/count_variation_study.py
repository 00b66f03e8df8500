"""Coverage of intervals of k within the arms of a trial of rates: ``python count_variation_study.py [repeats]``.

Two arms of equal size, the second with 70% of the first one's rate; exposures differ with a coefficient of variation of .4;
true rates of clusters are gamma distributed. ``inverted`` is the interval of ``ClusterSummaries.k()``, ``chi_squared`` that of the
variance of the summaries taken as normal.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
from scipy import special

from wwc_eval.inference.count_variation import Counts

CLUSTERS, KS, EVENTS = (8, 20, 60), (0.25, 0.5), (15, 50)


def coverage(clusters: int, k: float, events: float, *, repeats: int, seed: int) -> dict[str, float]:
    """Share of 95% intervals that hold the true k, by method."""
    rng = np.random.default_rng(seed)
    arm = np.arange(clusters) % 2
    t = np.exp(0.4 * special.ndtri((np.arange(clusters) // 2 + 0.5) / (clusters / 2)))
    t /= t.mean()
    x = rng.poisson(rng.gamma(k**-2, k**2, (repeats, clusters)) * events * t * np.where(arm == 1, 0.7, 1.0))
    under = np.array([Counts.of(row, t, arm).under(k)[0] for row in x])
    rate, df = x / t, clusters - 2
    means = np.stack([rate[:, arm == a].mean(axis=1) for a in (0, 1)], axis=1)[:, arm]
    whole, mean = ((rate - means) ** 2).sum(axis=1), rate.mean(axis=1)
    low, high = (
        np.sqrt(np.maximum(whole / special.chdtri(df, tail) - mean * np.mean(1 / t), 0)) / mean
        for tail in (0.025, 0.975)
    )
    return {
        "inverted": float(((under >= 0.025) & (under <= 0.975)).mean()),
        "chi_squared": float(((low <= k) & (k <= high)).mean()),
    }


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    rows = []
    for clusters, k, events in product(CLUSTERS, KS, EVENTS):
        found = coverage(clusters, k, events, repeats=times, seed=2026 + 1000 * len(rows))
        rows.append({"clusters": clusters, "k": k, "events": events, "coverage": found})
        print(rows[-1], flush=True)
    record = {
        "source": "tests/inference/count_variation_study.py",
        "repeats": times,
        "seed": 2026,
        "level": 0.95,
        "cases": rows,
    }
    out = Path(__file__).resolve().parents[1] / "reference" / "count_variation_coverage.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
