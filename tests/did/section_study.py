"""Bias and coverage of effects from cross-sections whose composition depends on covariates: writes a record as JSON.

Run: ``OMP_NUM_THREADS=1 nice python tests/did/section_study.py 2000``.
"""

import json
import sys
from datetime import date

import numpy as np
import pandas as pd

import wwc_eval as we

METHODS = ("none", "dr", "ipw", "or")
SETTINGS = ("both right", "regression wrong", "propensity wrong", "areas")
EFFECT = 1.0


def children(setting, rng, n=1_500):
    """Children before and after; those of the programme differ in v, and the trend depends on v.

    The analyst adjusts for v alone. Both right: propensity and trend are linear in v; regression wrong: the trend is
    in exp(v / 2); propensity wrong: who is in the programme depends on exp(v / 2). Areas: both are right, and 60 areas (a
    third with the programme) have levels and shocks of their own in each year.
    """
    areas = None
    if setting == "areas":
        areas = rng.integers(0, 60, 2 * n)
        d = areas < 20
        v = rng.normal(0.6 * d, 1.0)
    else:
        v = rng.normal(size=n)
        curved = np.exp(v / 2) - np.exp(1 / 8)
        index = 1.5 * curved if setting == "propensity wrong" else 0.8 * v
        d = rng.random(n) < 1 / (1 + np.exp(0.4 - index))
    year = rng.integers(0, 2, len(v))
    slope = np.exp(v / 2) if setting == "regression wrong" else v
    y = 1.0 + 0.5 * v + 0.3 * d + year * (0.5 + slope + EFFECT * d) + rng.normal(size=len(v))
    if areas is not None:
        y = y + rng.normal(0, 0.3, 60)[areas] + rng.normal(0, 0.2, (60, 2))[areas, year]
    data = pd.DataFrame({"v": v, "start": np.where(d, 1, 0), "year": year, "y": y})
    return data if areas is None else data.assign(area=areas)


def study(setting, reps, seed):
    """Bias, with its Monte Carlo error, mean error over spread of the estimates, and coverage of 95% intervals."""
    rng = np.random.default_rng([seed, SETTINGS.index(setting)])
    found = {method: [] for method in METHODS}
    for _ in range(reps):
        data = children(setting, rng).assign(year=lambda d: 2019 + d["year"], start=lambda d: 2020 * d["start"])
        cluster = "area" if setting == "areas" else None
        panel = we.Panel(data, unit=None, period="year", outcome="y", cohort="start", cluster=cluster)
        for method in METHODS:
            options = {} if method == "none" else {"covariates": "v", "method": method}
            one = we.did.callaway_santanna(panel, **options).overall
            found[method].append((one.estimate, one.se, one.ci_low <= EFFECT <= one.ci_high))
    rows = {}
    for method, values in found.items():
        estimate, se, covered = np.array(values).T
        spread = estimate.std(ddof=1)
        rows[method] = {
            "bias": float(estimate.mean() - EFFECT),
            "bias_error": float(spread / np.sqrt(reps)),
            "se_over_sd": float(se.mean() / spread),
            "coverage": float(covered.mean()),
        }
    return rows


def record(reps, seed=20261127):
    """Every setting."""
    return {"reps": reps, "seed": seed, "n": 1_500, "settings": {one: study(one, reps, seed) for one in SETTINGS}}


if __name__ == "__main__":
    source = f"OMP_NUM_THREADS=1 nice python tests/did/section_study.py {sys.argv[1]} ({date.today()})"
    json.dump({"source": source, **record(int(sys.argv[1]))}, sys.stdout, indent=1)
    print()
