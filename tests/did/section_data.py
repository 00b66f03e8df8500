"""Children seen once within authorities and years: the seeded data behind tests of cross-sections given covariates."""

from functools import cache

import numpy as np
import pandas as pd

SECTION_DIGEST = "044da943f9b8a6dfeeff53dd94cb6258d1ab1c2f81c21e0fc68dbf8efc01986f"


@cache
def _section_children():
    n, areas, periods = 4_000, 24, 6
    rng = np.random.default_rng(20261127)
    area = rng.integers(0, areas, n)
    t = rng.integers(0, periods, n)
    first = np.where(area < 10, np.where(area % 2 == 0, 3, 4), periods)
    age = np.clip(np.round(rng.normal(9 + 1.5 * (first < periods) + 0.2 * t, 4, n)), 0, 17)
    female = (rng.random(n) < 0.45).astype(int)
    need = np.array(["N1", "N2", "N3"])[(rng.random((n, 1)) > np.array([0.5, 0.85])).sum(axis=1)]
    x = rng.normal(0.3 * (first < periods), 1, n)
    effect = -1.0 * (t >= first) * (1 + 0.2 * (t - first))
    level = rng.normal(0, 0.3, areas)[area]
    trend = 0.03 * age * t + 0.25 * (need == "N2") * t - 0.1 * x * t
    y = 2 + 0.1 * age + 0.4 * female + trend + effect + level + rng.normal(0, 1, n)
    return pd.DataFrame(
        {
            "area": np.char.add("A", np.char.zfill(area.astype(str), 2)),
            "year": 2018 + t,
            "start": np.where(first < periods, 2018 + first, 0),
            "age": age,
            "female": female,
            "need": need,
            "x": x.round(6),
            "y": y.round(6),
            "w": rng.uniform(0.5, 2.0, n).round(6),
        }
    )


def section_children():
    """4,000 children in 24 authorities and six years; ten authorities join in 2021 or 2022, their children older."""
    return _section_children().copy()
