"""Cluster trials on which comparisons of cluster summaries are held to base R.

Run as a program it writes them as CSV: ``python cluster_trials.py FOLDER``.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

LEVELS = {"arm": ["usual", "programme", "enhanced"]}
PAIRS = {
    "usual": [(10, 702), (7, 833), (20, 630), (23, 760), (12, 782), (10, 693)],
    "programme": [(5, 568), (4, 766), (17, 650), (13, 734), (4, 732), (5, 699)],
}
"""New infections and people at risk in six pairs of communities: Grosskurth et al. 1995,
doi:10.1016/S0140-6736(95)91380-7, table 4."""


def pairs():
    """The published trial in matched pairs, one row a community."""
    rows = [
        {"arm": arm, "pair": f"pair {k + 1}", "cluster": f"{arm[0]}{k + 1}", "events": events, "people": people}
        for arm, listed in PAIRS.items()
        for k, (events, people) in enumerate(listed)
    ]
    return pd.DataFrame(rows)


def trial(seed, clusters, arms, strata, *, rare=1.0):
    """One row a child: a score, a 0/1 outcome and a count with exposure; a covariate of the child and of the cluster."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(12, 60, clusters)
    stratum = np.arange(clusters) % strata
    arm = (np.arange(clusters) // strata) % arms
    code = np.repeat(np.arange(clusters), sizes)
    n = len(code)
    own = 0.4 * rng.normal(size=clusters)
    z = np.round(rng.normal(size=clusters), 2)
    x = np.round(rng.normal(size=n) + 0.3 * z[code], 3)
    sex = rng.choice(["f", "m"], n)
    level = own[code] + 0.3 * z[code] + 0.2 * stratum[code] - 0.3 * (arm[code] == 1)
    exposure = np.round(rng.uniform(0.3, 2.0, n), 2)
    return pd.DataFrame(
        {
            "cluster": [f"c{k:02d}" for k in code],
            "arm": np.array(LEVELS["arm"])[arm[code]],
            "stratum": np.array(["north", "south", "east"])[stratum[code]],
            "x": x,
            "z": z[code],
            "sex": sex,
            "score": np.round(50 + 4 * level + 2 * x + 8 * rng.normal(size=n), 3),
            "hit": (rng.random(n) < 1 / (1 + np.exp(1.2 - level - 0.4 * x))).astype(int),
            "count": rng.poisson(rare * exposure * np.exp(-0.5 + level + 0.2 * x)),
            "exposure": exposure,
        }
    )


def trials():
    """All trials by name."""
    return {
        "pairs": pairs(),
        "two": trial(7, 12, 2, 3),
        "three": trial(11, 18, 3, 3),
        "few": trial(13, 8, 2, 1),
        "rare": trial(5, 10, 2, 1, rare=0.02),
    }


if __name__ == "__main__":
    for name, frame in trials().items():
        frame.to_csv(Path(sys.argv[1]) / f"{name}.csv", index=False)
