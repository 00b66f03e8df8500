"""Five trials of awkward shapes for figures of R: ``python further_trials.py FOLDER`` writes them as CSV."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

# LAs, schools in each, fewest and most children in a school, SD of LAs, schools and children, SD of slopes, seed
TRIALS = {
    "a": (6, 5, (3, 40), (0.4, 0.5, 1.0), 0.0, 1),
    "b": (8, 6, (2, 15), (0.5, 0.3, 1.0), 0.4, 2),
    "c": (4, 4, (5, 60), (0.0, 0.0, 1.0), 0.0, 3),
    "d": (12, 4, (1, 9), (0.7, 0.6, 2.0), 0.0, 4),
    "e": (20, 10, (4, 12), (0.3, 0.4, 1.0), 0.2, 5),
}


@cache
def further_trial(name: str) -> pd.DataFrame:
    """One of the trials, by the frozen legacy generator: scores, 0/1, shares, counts with exposure, weights, raters."""
    las, schools, (fewest, most), (sd_la, sd_school, sd_child), slope, seed = TRIALS[name]
    r = np.random.RandomState(seed)
    school = np.repeat(np.arange(las * schools), r.randint(fewest, most + 1, las * schools))
    la, n = school // schools, len(school)
    treated = (school + la) % 2
    x = r.standard_normal(n) + 0.3 * r.standard_normal(las * schools)[school]
    male = r.random_sample(n) < 0.5
    u = sd_la * r.standard_normal(las)[la] + sd_school * r.standard_normal(las * schools)[school]
    u = u + slope * r.standard_normal(las * schools)[school] * x
    risk = 1 / (1 + np.exp(1 - 0.4 * treated - 0.3 * x - u))
    exposure = r.uniform(0.5, 20, n)
    mean = exposure * np.exp(-1 + 0.8 * u + 0.2 * x)
    trials = r.randint(1, 12, n)
    return pd.DataFrame(
        {
            "la": [f"L{k}" for k in la],
            "school": [f"S{k}" for k in school],
            "arm": np.where(treated == 1, "programme", "usual"),
            "x": x,
            "sex": np.where(male, "m", "f"),
            "y": 5 + 0.3 * treated + 0.5 * x + 0.2 * male + u + sd_child * r.standard_normal(n),
            "binary": (r.random_sample(n) < risk).astype(int),
            "exposure": exposure,
            "count": r.poisson(mean),
            "dispersed": r.negative_binomial(2.0, 2.0 / (2.0 + mean)),
            "trials": trials,
            "successes": r.binomial(trials, risk),
            "weight": r.uniform(0.3, 3, n),
            "rater": [f"R{k}" for k in r.randint(0, 9, n)],
        }
    )


if __name__ == "__main__":
    for trial in TRIALS:
        further_trial(trial).to_csv(Path(sys.argv[1]) / f"{trial}.csv", index=False, float_format="%.17g")
