"""Coverage of the dependability of scores as rated: ``python unit_scores_study.py [repeats]``.

Authorities of unequal size, each with 2 to 4 workers of 2 to 6 cases; raters see cases everywhere, every third case is judged twice.
The coefficient is that of the authorities' means (``dependability_authority``) with the cases and raters that they have; it is
.5 or .8, and half of its error is severity of raters. ``pivotal`` are the intervals of ``scores.reliability``, ``delta`` those on the
logit with Student's t of authorities less one; no interval counts as a miss.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
from dependability_study import ratio_interval

from wwc_eval.fidelity.scoring.dependability import limits, squared_shares
from wwc_eval.fidelity.scoring.levels import fit_levels

AUTHORITIES, RATERS, TRUTHS = (6, 12), (3, 8), (0.5, 0.8)
SEVERE = 0.5
"""Share of the error that raters hold."""
METHODS = ("pivotal", "delta")
UNITS = ("case", "worker", "authority")


def sheets(rng: np.random.Generator, authorities: int, raters: int) -> dict[str, np.ndarray]:
    """Case, worker, authority and rater of each sheet."""
    workers = rng.integers(2, 5, authorities)
    of_worker = np.repeat(np.arange(authorities), workers)
    cases = rng.integers(2, 7, len(of_worker))
    worker = np.repeat(np.arange(len(of_worker)), cases)
    case = np.arange(len(worker))
    first = rng.integers(0, raters, len(case))
    again = case[::3]
    second = (first[again] + rng.integers(1, raters, len(again))) % raters
    case = np.concatenate([case, again])
    return {
        "case": case,
        "worker": worker[case],
        "authority": of_worker[worker[case]],
        "rater": np.concatenate([first, second]),
    }


def shares(at: dict[str, np.ndarray]) -> dict[str, float]:
    """What each variance is divided by in the mean of an authority."""
    codes = {"residual": np.arange(len(at["case"])), **{name: at[name] for name in ("case", "worker", "rater")}}
    return {name: squared_shares(at["authority"], at["case"], each) for name, each in codes.items()}


def draw(rng: np.random.Generator, at: dict[str, np.ndarray], truth: float) -> np.ndarray:
    """Scores of the sheets; the true scores of authorities have variance 1."""
    over, error = shares(at), (1.0 - truth) / truth
    parts = {"rater": SEVERE * error, **dict.fromkeys(("worker", "case", "residual"), (1.0 - SEVERE) * error / 3)}
    y = rng.normal(size=at["authority"].max() + 1)[at["authority"]]
    for name, part in parts.items():
        codes = np.arange(len(y)) if name == "residual" else at[name]
        y = y + np.sqrt(part / over[name]) * rng.normal(size=codes.max() + 1)[codes]
    return y


def hits(rng: np.random.Generator, authorities: int, raters: int, truth: float) -> dict[str, bool]:
    """Whether each interval of one data set holds the true coefficient."""
    at = sheets(rng, authorities, raters)
    model = fit_levels(draw(rng, at, truth), {name: at[name] for name in UNITS}, at["rater"])
    over = shares(at)
    universe = np.array([float(name == "authority") for name in model.variances])
    error = np.array([over.get(name, 0.0) for name in model.variances])
    values = np.array(list(model.variances.values()))
    assert model.covariance is not None
    found = {
        "pivotal": limits(model, universe, error, 0.95),
        "delta": ratio_interval(values, model.covariance, universe, error, objects=authorities, level=0.95),
    }
    return {name: low <= truth <= high for name, (low, high) in found.items()}


def coverage(*given: float, repeats: int, seed: int) -> dict[str, float]:
    """Share of intervals that hold the true coefficient, by method."""
    rng = np.random.default_rng(seed)
    found = [hits(rng, *given) for _ in range(repeats)]  # type: ignore[arg-type]
    return {method: float(np.mean([each[method] for each in found])) for method in METHODS}


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    rows: list[dict[str, object]] = []
    for authorities, raters, truth in product(AUTHORITIES, RATERS, TRUTHS):
        case = {"authorities": authorities, "raters": raters, "truth": truth}
        found = coverage(authorities, raters, truth, repeats=times, seed=2026 + 1000 * len(rows))
        rows.append({**case, "repeats": times, "coverage": found})
        print(rows[-1], flush=True)
    record = {"source": "tests/fidelity/unit_scores_study.py", "seed": 2026, "level": 0.95, "cases": rows}
    out = Path(__file__).resolve().parents[1] / "reference" / "unit_scores_coverage.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
