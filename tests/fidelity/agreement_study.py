"""Coverage of clustered intervals of agreement, by number of local authorities: ``python agreement_study.py``.

Local authorities differ in the mean and in the spread of what raters see, and raters belong to a local authority. The
truth is the coefficient of 20,000 local authorities.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from wwc_eval.fidelity.reliability.coefficients import agreement
from wwc_eval.fidelity.reliability.icc import intraclass_correlation

CUTS = np.array([-1.2, -0.4, 0.4, 1.2])
SHAPES = ((6, 20), (12, 10), (20, 15))
WEIGHTED = {"weights": "quadratic", "categories": [0, 1, 2, 3, 4]}
COEFFICIENTS = {
    "ac2": ("ac2", WEIGHTED),
    "brennan_prediger": ("brennan_prediger", WEIGHTED),
    "fleiss_kappa": ("fleiss_kappa", WEIGHTED),
    "conger_kappa": ("conger_kappa", WEIGHTED),
    "krippendorff_ordinal": ("krippendorff_alpha", {"metric": "ordinal"}),
    "ICC(2,1)": ("ICC(2,1)", {}),
}
TRUTH = 20_000
"""Local authorities whose coefficient is the truth."""
METHODS = ("naive", "linearised", "jackknife", "bootstrap")


def draw(rng: np.random.Generator, K: int, m: int, raters: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Ratings (K m, raters) on a five-point scale, and the local authority of each case."""
    level = rng.normal(0, 0.8, K)[:, None, None]
    case = rng.normal(0, 0.7, (K, m, 1))
    severity = rng.normal(0, 0.4, (K, 1, raters))
    spread = np.exp(rng.normal(0, 0.4, K))[:, None, None] * 0.6
    y = level + case + severity + rng.normal(size=(K, m, raters)) * spread
    return np.searchsorted(CUTS, y).reshape(-1, raters), np.repeat(np.arange(K), m)


def estimate(name: str, x: np.ndarray, la: np.ndarray | None, method: str, rng: int):
    kind, options = COEFFICIENTS[name]
    if kind.startswith("ICC"):
        how = {"naive": None, "linearised": None, "jackknife": "jackknife", "bootstrap": "bootstrap"}[method]
        return intraclass_correlation(x.astype(float), kind, cluster=la, errors=how, rng=rng, reps=399)
    how = "linearised" if method == "naive" else method
    return agreement(x, kind, cluster=la, errors=how, rng=rng, reps=399, **options)


def coverage(K: int, m: int, *, repeats: int, seed: int, names=tuple(COEFFICIENTS), methods=METHODS) -> dict:
    """Share of the intervals that hold the truth, by coefficient and method."""
    source = np.random.default_rng(seed)
    big, _ = draw(np.random.default_rng(7), TRUTH, 10)
    truth = {name: estimate(name, big, None, "naive", 0).estimate for name in names}
    hits = {name: dict.fromkeys(methods, 0) for name in names}
    for k in range(repeats):
        x, la = draw(source, K, m)
        for name in names:
            for method in methods:
                found = estimate(name, x, None if method == "naive" else la, method, seed + k)
                hits[name][method] += int(found.ci_low <= truth[name] <= found.ci_high)
    return {name: {method: each / repeats for method, each in found.items()} for name, found in hits.items()}


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    record = {
        "source": "tests/fidelity/agreement_study.py",
        "repeats": 4 * repeats,
        "repeats_bootstrap": repeats,
        "seed": 2026,
        "level": 0.95,
        "cases": [],
    }
    for K, m in SHAPES:
        found = coverage(K, m, repeats=4 * repeats, seed=2026, methods=METHODS[:-1])
        drawn = coverage(K, m, repeats=repeats, seed=2026, names=("ac2",), methods=METHODS[-1:])
        found["ac2"] |= drawn["ac2"]
        record["cases"].append({"authorities": K, "cases_each": m, "coverage": found})
        print(K, m, json.dumps(found, indent=1), flush=True)
    out = Path(__file__).resolve().parents[1] / "reference" / "agreement_coverage.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
