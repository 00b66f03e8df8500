"""Coverage of intervals of generalisability and dependability: ``python dependability_study.py [repeats [design ...]]``.

Objects (cases) are rated by raters who see all cases (crossed) or who are others for each case (nested); a share of what is not
true score belongs to the raters of the crossed designs. The coefficient of the mean over as many raters as there are
is .5 or .8. The last design is of authorities with 8 cases each, which all raters see. ``pivotal`` are the intervals of
``GStudy.d_study``, ``delta`` those on the logit with Student's t of the number of objects less one; no interval counts as a miss.
"""

from __future__ import annotations

import json
import math
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_eval.fidelity.reliability.d_study import design_of
from wwc_eval.fidelity.reliability.errors import quantile_t
from wwc_eval.fidelity.reliability.generalisability import GStudy, g_study

DESIGNS = {
    "crossed": {"facets": "case x rater", "share": 0.2, "missing": 0.0},
    "crossed, severe raters": {"facets": "case x rater", "share": 0.5, "missing": 0.0},
    "crossed, 15% missing": {"facets": "case x rater", "share": 0.2, "missing": 0.15},
    "nested": {"facets": "rater : case", "share": 0.0, "missing": 0.0},
    "authorities, 15% missing": {"facets": ["la", "la:case", "rater"], "share": 0.2, "missing": 0.15},
}
CASES = 8
"""Cases in each authority, which hold half of what is not true score of the mean of its cases."""
OBJECTS, RATERS, TRUTHS = (20, 50, 200), (2, 5), (0.5, 0.8)
METHODS, COEFFICIENTS = ("pivotal", "delta"), ("generalisability", "dependability")


def draw(rng: np.random.Generator, design: str, objects: int, raters: int, truth: float) -> pd.DataFrame:
    """Ratings whose mean over the raters has a dependability of ``truth``; true scores have variance 1."""
    given = DESIGNS[design]
    if design.startswith("authorities"):
        return _authorities(rng, objects, raters, truth, share=given["share"], missing=given["missing"])
    error = (1.0 - truth) / truth * raters
    y = rng.normal(size=(objects, 1)) + math.sqrt(given["share"] * error) * rng.normal(size=raters)
    y = y + math.sqrt((1.0 - given["share"]) * error) * rng.normal(size=(objects, raters))
    case, rater = (each.ravel() for each in np.indices(y.shape))
    frame = pd.DataFrame({"case": case, "rater": rater, "score": y.ravel()})
    return frame[rng.random(len(frame)) >= given["missing"]].reset_index(drop=True)


def _authorities(
    rng: np.random.Generator, objects: int, raters: int, truth: float, *, share: float, missing: float
) -> pd.DataFrame:
    """Cases in authorities, all of them seen by the same raters."""
    error = (1.0 - truth) / truth
    la, case, rater = (each.ravel() for each in np.indices((objects, CASES, raters)))
    y = rng.normal(size=objects)[la] + math.sqrt(share * error * raters) * rng.normal(size=raters)[rater]
    y += math.sqrt(0.5 * error * CASES) * rng.normal(size=(objects, CASES))[la, case]
    y += math.sqrt((0.5 - share) * error * CASES * raters) * rng.normal(size=len(la))
    frame = pd.DataFrame({"la": la, "case": case, "rater": rater, "score": y})
    return frame[rng.random(len(frame)) >= missing].reset_index(drop=True)


def ratio_interval(
    values: np.ndarray,
    covariance: np.ndarray,
    universe: np.ndarray,
    error: np.ndarray,
    *,
    objects: int,
    level: float,
) -> tuple[float, float]:
    """Interval of ``true / (true + error)``: delta method on ``log(true / error)``, Student's t of the number of objects.

    ``universe`` and ``error`` are what multiplies the components of variance in the two.
    """
    true, wrong = float(universe @ values), float(error @ values)
    if not (true > 0 and wrong > 0):
        return math.nan, math.nan
    slope = universe / true - error / wrong
    se = math.sqrt(max(float(slope @ covariance @ slope), 0.0))
    reach = quantile_t(max(objects - 1.0, 1.0), level) * se
    middle = math.log(true / wrong)
    return _expit(middle - reach), _expit(middle + reach)


def _expit(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z > -700 else 0.0


def limits(study: GStudy, raters: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Intervals by coefficient and method."""
    sizes = {"rater": raters} if study.measured == "case" else {"rater": raters, "case": CASES}
    row = study.d_study(**sizes).rows[0]
    universe, relative, absolute = design_of(study, (), {}).multipliers(sizes)
    found = {}
    for name, error in zip(COEFFICIENTS, (relative, absolute), strict=True):
        found[name, "pivotal"] = (row[f"{name}_low"], row[f"{name}_high"])
        objects = study.levels[study.measured]
        found[name, "delta"] = ratio_interval(
            study.values, study.covariance, universe, error, objects=objects, level=0.95
        )
    return found


def coverage(design: str, objects: int, raters: int, truth: float, *, repeats: int, seed: int) -> dict:
    """Share of intervals that hold the true coefficient, and the share without one, by coefficient and method."""
    rng, given = np.random.default_rng(seed), DESIGNS[design]
    measured = "la" if design.startswith("authorities") else "case"
    error = (1.0 - truth) / truth
    true = {"generalisability": 1.0 / (1.0 + error * (1.0 - given["share"])), "dependability": truth}
    hits = {name: dict.fromkeys(METHODS, 0) for name in COEFFICIENTS}
    for _ in range(repeats):
        study = g_study(draw(rng, design, objects, raters, truth), given["facets"], measured=measured)
        for (name, method), (low, high) in limits(study, raters).items():
            hits[name][method] += int(low <= true[name] <= high)
    return {name: {method: each / repeats for method, each in found.items()} for name, found in hits.items()}


def study(design: str, repeats: int) -> list[dict]:
    """All sizes of one design, each with a seed of its own; half of the repeats for 200 objects."""
    rows: list[dict] = []
    some = (12, 20) if design.startswith("authorities") else OBJECTS
    for objects, raters, truth in product(some, RATERS, TRUTHS):
        times = repeats // 2 if objects == 200 else repeats
        found = coverage(design, objects, raters, truth, repeats=times, seed=2026 + 1000 * len(rows))
        case = {"design": design, "objects": objects, "raters": raters, "truth": truth}
        rows.append({**case, "repeats": times, "coverage": found})
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    out = Path(__file__).resolve().parents[1] / "reference" / "dependability_coverage.json"
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    chosen = sys.argv[2:] or list(DESIGNS)
    old = json.loads(out.read_text())["cases"] if out.exists() else []
    for name in chosen:
        old = [row for row in old if row["design"] != name] + study(name, repeats)
        record = {"source": "tests/fidelity/dependability_study.py", "seed": 2026, "level": 0.95, "cases": old}
        out.write_text(json.dumps(record, indent=1) + "\n")
