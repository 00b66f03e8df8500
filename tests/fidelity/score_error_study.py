"""Slopes on scores that have error, naive and corrected: ``python score_error_study.py [repeats]``.

True fidelity goes with a covariate (correlation .5) and differs between 20 clusters of 15; each score is the mean of two ratings
with classical error. Truth is the slope on true fidelity given the covariate. The error is told as the true reliability (``known``),
as ICC(1,k) of the ratings of the same data (``estimated``), or as the standard error of a score (``score_se``).
"""

from __future__ import annotations

import json
import math
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

import wwc_eval as we

SLOPES = {"gaussian": 0.5, "binomial": 0.5, "poisson": 0.3}
RELIABILITIES = (0.6, 0.8)
WAYS = ("known", "estimated", "score_se")
TERM = "quality: corrected for error"


def draw(rng: np.random.Generator, family: str, reliability: float, clusters: int, size: int) -> pd.DataFrame:
    """Outcome, covariate, two ratings and their mean ``quality``; true fidelity has variance 1."""
    la, n = np.repeat(np.arange(clusters), size), clusters * size
    need = rng.normal(size=n)
    fidelity = 0.5 * need + math.sqrt(0.15) * rng.normal(size=clusters)[la] + math.sqrt(0.6) * rng.normal(size=n)
    error = math.sqrt(2 * (1 - reliability) / reliability)
    ratings = fidelity[:, None] + error * rng.normal(size=(n, 2))
    mean = SLOPES[family] * fidelity - 0.3 * need + 0.2 * rng.normal(size=clusters)[la]
    if family == "gaussian":
        y = mean + rng.normal(size=n)
    elif family == "binomial":
        y = (rng.random(n) < 1 / (1 + np.exp(0.8 - mean))).astype(float)
    else:
        y = rng.poisson(np.exp(mean)).astype(float)
    return pd.DataFrame(
        {
            "la": la,
            "need": need,
            "one": ratings[:, 0],
            "two": ratings[:, 1],
            "quality": ratings.mean(axis=1),
            "y": y,
        }
    )


def told(frame: pd.DataFrame, way: str, reliability: float) -> dict:
    """What the analyst says of the error."""
    if way == "known":
        return {"reliability": reliability}
    if way == "estimated":
        return {"reliability": we.intraclass_correlation(frame[["one", "two"]], "ICC(1,k)")}
    return {"score_se": float((frame["one"] - frame["two"]).std() / 2)}


def study(family: str, reliability: float, way: str, *, repeats: int, seed: int) -> dict:
    """Mean slope over the truth and coverage of 95% intervals, naive and corrected."""
    rng, truth = np.random.default_rng(seed), SLOPES[family]
    ratios, hits = np.empty((repeats, 2)), np.zeros(2)
    for k in range(repeats):
        frame = draw(rng, family, reliability, 20, 15)
        options = told(frame, way, reliability)
        found = we.dose_response("y ~ need", frame, fidelity="quality", family=family, cluster="la", **options)
        for j, row in enumerate((found["quality"], found[TERM])):
            low, high = row.ci_low / found.details["sd"], row.ci_high / found.details["sd"]
            ratios[k, j] = row.estimate / found.details["sd"] / truth
            hits[j] += low <= truth <= high
    return {
        "naive": {"ratio": float(ratios[:, 0].mean()), "coverage": float(hits[0]) / repeats},
        "corrected": {"ratio": float(ratios[:, 1].mean()), "coverage": float(hits[1]) / repeats},
    }


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rows = []
    for family, reliability, way in product(SLOPES, RELIABILITIES, WAYS):
        found = study(family, reliability, way, repeats=repeats, seed=2026 + 1000 * len(rows))
        rows.append({"family": family, "reliability": reliability, "told": way, **found})
        print(rows[-1], flush=True)
    record = {"source": "tests/fidelity/score_error_study.py", "repeats": repeats, "seed": 2026, "level": 0.95}
    out = Path(__file__).resolve().parents[1] / "reference" / "score_error.json"
    out.write_text(json.dumps({**record, "cases": rows}, indent=1) + "\n")
