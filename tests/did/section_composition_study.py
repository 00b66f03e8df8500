"""Tests of who is seen where nobody changes, and where one covariate does: writes a record as JSON.

Four years, treated from the third; 20 to 200 children an area and year (evenly spread in logarithms), three numbers and
a category of four levels; all have levels and shocks by area. Tested: all at once by permutation (``joint``), one
covariate by permutation, and for contrast the chi-squared Wald test of all by the influence of the clusters (``wald``).
``found``: the joint test where one covariate moves by .2 SD in the treated areas.

    OMP_NUM_THREADS=1 nice python tests/did/section_composition_study.py        writes tests/reference/did_composition.json
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

import wwc_eval as we

RECORD = Path(__file__).parents[1] / "reference" / "did_composition.json"
DESIGNS = ((20, 1), (20, 3), (40, 2), (40, 8), (40, 20))
COVARIATES = ["a", "b", "c", "kind"]


def children(areas, treated, rng, shift=0.0, growth=0.0):
    """Children of areas of which some, drawn from all, are treated from the third year: a moves, and their number."""
    size = np.exp(np.linspace(np.log(20), np.log(200), areas))
    first = rng.permutation(areas) < treated
    after = first[:, None] * (np.arange(4) >= 2)
    count = np.maximum(rng.poisson(size[:, None] * np.exp(growth * after)), 1)
    area, year = (part.repeat(count.ravel()) for part in np.indices(count.shape).reshape(2, -1))
    data = {"area": area, "year": 2020 + year, "start": np.where(first, 2022, 0)[area]}
    for name in ("a", "b", "c"):
        mean = rng.normal(0, 0.2, (areas, 1)) + rng.normal(0, 0.1, (areas, 4)) + (name == "a") * shift * after
        data[name] = mean[area, year] + rng.normal(size=len(area))
    odds = np.log([0.4, 0.3, 0.2, 0.1]) + rng.normal(0, 0.1, (areas, 4, 4))
    data["kind"] = np.array(list("KLMN"))[(odds[area, year] + rng.gumbel(size=(len(area), 4))).argmax(axis=1)]
    return pd.DataFrame({**data, "y": rng.normal(size=len(area))})


def wald(found):
    """p of the chi-squared test of all covariates but the first level of the category."""
    kept = [k for k, item in enumerate(found.estimates) if item.term != "kind[K]"]
    influence = np.column_stack([found.results[k].aggregate("simple").influence[:, 0] for k in kept])
    effect = np.array([found.estimates[k].estimate for k in kept])
    middle = influence.T @ influence
    if np.linalg.matrix_rank(middle) < len(kept):
        return 0.0
    return float(special.chdtrc(len(kept), effect @ np.linalg.solve(middle, effect)))


def study(areas, treated, reps, *, seed):
    """Shares of trials that reject at 5%."""
    rng = np.random.default_rng([seed, areas, treated])
    counts = dict.fromkeys(("joint", "permutation", "wald", "found"), 0)
    for rep in range(reps):
        for shift in (0.0, 0.2):
            data = children(areas, treated, rng, shift)
            panel = we.Panel(data, unit=None, period="year", outcome="y", cohort="start", cluster="area")
            found = we.did.composition(panel, COVARIATES, draws=199, rng=rep)
            if shift:
                counts["found"] += found.joint.p_value <= 0.05
                continue
            counts["joint"] += found.joint.p_value <= 0.05
            counts["permutation"] += found.estimates[1].details["permutation_p"] <= 0.05
            counts["wald"] += wald(found) <= 0.05
    return {"areas": areas, "treated": treated, **{name: count / reps for name, count in counts.items()}}


def main(reps=250):
    """Every design; the record is written."""
    rows = [study(*one, reps, seed=20261127) for one in DESIGNS]
    command = "OMP_NUM_THREADS=1 nice python tests/did/section_composition_study.py"
    RECORD.write_text(json.dumps({"command": command, "reps": reps, "draws": 199, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
