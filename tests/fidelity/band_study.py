"""How often stated bands are right, and how often intervals hold the true score, in simulated authorities.

``python tests/fidelity/band_study.py AUTHORITIES REPS SEED`` adds to the record, which keeps sums over trials.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from wwc_eval.fidelity.scoring.bands import Margin, band_units
from wwc_eval.fidelity.scoring.levels import fit_levels
from wwc_eval.fidelity.specification.specification import FidelitySpecification

RECORD = Path(__file__).parents[1] / "reference" / "fidelity_bands.json"
SD = {"la": 6.0, "team": 3.0, "worker": 4.0, "case": 8.0, "rater": 3.0, "residual": 6.0}
TEAMS, WORKERS, CASES, RATERS, DOUBLE = 3, 3, 4, 24, 0.2
CUTS = (52.0, 66.0)

SPEC = FidelitySpecification.parse(
    b"""
schema_version: 1
spec:
  id: study
  version: "1.0.0"
  practice: Simulated practice
  units: [case, worker, team, la]
  bands: [{name: low, min: 0}, {name: middle, min: 52}, {name: high, min: 66}]
components: [{id: all, dimension: quality, role: core, weight: 1}]
items: [{id: one, component: all, text: One., source: [audio], scale: {type: number, min: 0, max: 100}}]
"""
)


def trial(rng: np.random.Generator, authorities: int):
    """True scores of every level, and the scores that are found."""
    teams, workers = authorities * TEAMS, authorities * TEAMS * WORKERS
    case = np.arange(workers * CASES)
    worker = case // CASES
    team, la = worker // WORKERS, worker // WORKERS // TEAMS
    truth = {"la": 60 + SD["la"] * rng.normal(size=authorities)}
    truth["team"] = truth["la"][np.arange(teams) // TEAMS] + SD["team"] * rng.normal(size=teams)
    truth["worker"] = truth["team"][np.arange(workers) // WORKERS] + SD["worker"] * rng.normal(size=workers)
    truth["case"] = truth["worker"][worker] + SD["case"] * rng.normal(size=len(case))
    severity = SD["rater"] * rng.normal(size=RATERS)
    first = rng.integers(RATERS, size=len(case))
    second = (first + rng.integers(1, RATERS, size=len(case))) % RATERS
    twice = rng.random(len(case)) < DOUBLE
    sheet, rater = np.concatenate([case, case[twice]]), np.concatenate([first, second[twice]])
    y = truth["case"][sheet] + severity[rater] + SD["residual"] * rng.normal(size=len(sheet))
    units = {"case": sheet, "worker": worker[sheet], "team": team[sheet], "la": la[sheet]}
    return truth, fit_levels(y, units, rater)


def sums(authorities: int, reps: int, seed: int) -> dict[str, dict[str, float]]:
    """Per level: units, intervals that hold, stated bands, their probabilities, and how many are right."""
    rng = np.random.default_rng(seed)
    found = {
        level: dict.fromkeys(("units", "held", "stated", "probability", "right"), 0.0) for level in SPEC.units
    }
    for _ in range(reps):
        truth, levels = trial(rng, authorities)
        for level, total in found.items():
            own = levels.scores[level]
            margin = Margin(estimate=own.estimate, se=own.se, df=np.full(len(own.se), own.df))
            low, high = margin.interval(0.95)
            banding = band_units(SPEC, {"composite": margin}, {})
            right = np.digitize(truth[level], CUTS)
            names = np.array(banding.band)
            stated = np.isin(names, SPEC.bands)
            total["units"] += len(right)
            total["held"] += float(((low <= truth[level]) & (truth[level] <= high)).sum())
            total["stated"] += float(stated.sum())
            total["probability"] += float(banding.probability.max(axis=1)[stated].sum())
            total["right"] += float((names == np.array(SPEC.bands)[right])[stated].sum())
    return found


def add(authorities: int, reps: int, seed: int) -> None:
    """Add trials to the record; the same seed is not added twice."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"settings": SD, "runs": {}}
    run = record["runs"].setdefault(str(authorities), {"reps": 0, "seeds": [], "levels": {}})
    if seed in run["seeds"]:
        return
    for level, total in sums(authorities, reps, seed).items():
        kept = run["levels"].setdefault(level, dict.fromkeys(total, 0.0))
        run["levels"][level] = {name: kept[name] + value for name, value in total.items()}
    run["reps"] += reps
    run["seeds"].append(seed)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    add(*(int(argument) for argument in sys.argv[1:4]))
