"""Size of what judges a roll-out over few authorities: three dates, and noise as it comes. Nominal 5%.

150 LAs, 20 quarters, the treated drawn from all LAs and spread evenly over three dates (quarters 10, 13 and 16);
populations from 10,000 to 100,000. The noise: AR(1) of .5 whose variance is one over the population, normal or with the
heavy tails of t with three degrees of freedom; the former with 7% of the cells missing; counts of events a quarter, 60 a
year in 10,000 children, Poisson around areas and quarters. The p-values are those of ``few_treated`` itself.

    python tests/did/rollout_size_study.py [reps]      writes tests/reference/did_rollout_sizes.json
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import wwc_eval as we

RECORD = Path(__file__).parents[1] / "reference" / "did_rollout_sizes.json"
LAS, QUARTERS, DATES, RHO = 150, 20, (9, 12, 15), 0.5
DRAWS, ALPHA, SEED = 199, 0.05, 20261128
TREATED = (3, 6, 12)
NOISES = ("normal", "heavy tails", "7% missing", "counts")
METHODS = ("permutation", "studentised_permutation", "wild_bootstrap", "conley_taber", "ferman_pinto", "CR2")
SHOWN = ("CR1S", *METHODS)


def noise(kind, population, rng):
    """Outcomes without any effect, shape (LAs, quarters)."""
    if kind == "counts":
        year = 60.0 * np.exp(rng.normal(0.0, 0.3, (LAS, 1)) + 0.02 * np.arange(QUARTERS))
        return rng.poisson(year / 4.0 * population[:, None] / 10_000) / population[:, None] * 10_000
    draws = rng.standard_t(3, (QUARTERS, LAS)) if kind == "heavy tails" else rng.standard_normal((QUARTERS, LAS))
    for t in range(1, QUARTERS):
        draws[t] = RHO * draws[t - 1] + np.sqrt(1 - RHO**2) * draws[t]
    return draws.T * np.sqrt(population.max() / population)[:, None]


def trial(kind, treated, rng):
    """p of every method in one roll-out without effect."""
    population = np.exp(np.linspace(np.log(10_000), np.log(100_000), LAS))
    cohort = np.zeros(LAS, dtype=int)
    cohort[rng.permutation(LAS)[:treated]] = np.repeat(DATES, treated // len(DATES))
    frame = pd.DataFrame(
        {
            "la": np.repeat(np.arange(LAS), QUARTERS),
            "quarter": np.tile(np.arange(QUARTERS), LAS),
            "rate": noise(kind, population, rng).ravel(),
            "start": np.repeat(cohort, QUARTERS),
            "population": np.repeat(population, QUARTERS),
        }
    )
    if kind == "7% missing":
        frame = frame[rng.random(len(frame)) >= 0.07]
    panel = we.Panel(frame, unit="la", period="quarter", outcome="rate", cohort="start")
    found = we.did.few_treated(panel, methods=METHODS, draws=DRAWS, rng=rng, population="population")
    by_method = {row["method"]: row["p_value"] for row in found.estimates.to_dicts()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_method["CR1S"] = we.did.two_way_fixed_effects(panel).overall.p_value
    return [by_method[name] for name in SHOWN]


def sizes(kind, treated, reps):
    """Share of trials in which each method rejects at 5%."""
    rng = np.random.default_rng([SEED, NOISES.index(kind), treated])
    rejected = np.array([trial(kind, treated, rng) for _ in range(reps)]) <= ALPHA + 1e-12
    return dict(zip(SHOWN, rejected.mean(axis=0).tolist(), strict=True))


def table(record):
    """The table of the page."""
    head = "| noise | treated | " + " | ".join(name.replace("_", " ") for name in SHOWN) + " |"
    rows = [head, "| --- | ---: |" + " ---: |" * len(SHOWN)]
    for row in record["rows"]:
        cells = " | ".join(f"{100 * row[name]:.1f}" for name in SHOWN)
        rows.append(f"| {row['noise']} | {row['treated']} | {cells} |")
    return rows


def main(reps=2_000):
    rows = []
    for kind in NOISES:
        for treated in TREATED:
            rows.append({"noise": kind, "treated": treated, "reps": reps, **sizes(kind, treated, reps)})
            print(rows[-1], flush=True)
    command = "python tests/did/rollout_size_study.py"
    record = {"command": command, "numpy": np.__version__, "draws": DRAWS, "alpha": ALPHA, "rows": rows}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
