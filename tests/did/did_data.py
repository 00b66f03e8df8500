"""Panels that the tests of difference-in-differences share: a seeded one of authorities, and castle doctrine laws."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

LA_DIGEST = "786681512a7ff65089651047cf6e0163af702b1f2c55e83ff18cab465e433129"
SHARED = Path(__file__).parents[3] / "shared" / "data"
SAMPLE = Path(__file__).parents[2] / "sample_data" / "la_panel.csv"


@cache
def _la_panel():
    """150 authorities over 40 quarters, 20 of them treated in six cohorts; errors AR(1), smaller in larger ones."""
    n, periods, cohorts, treated = 150, 40, np.array([13, 17, 21, 25, 29, 33]), 20
    rng = np.random.default_rng(20261122)
    population = np.round(np.exp(rng.normal(10.9, 0.6, n))).astype(int)
    first = np.zeros(n, int)
    first[rng.permutation(n)[:treated]] = cohorts[np.arange(treated) % len(cohorts)]
    level = rng.normal(60, 12, n)
    noise = rng.normal(0, 1, (n, periods))
    error = np.zeros((n, periods))
    error[:, 0] = noise[:, 0]
    for t in range(1, periods):
        error[:, t] = 0.6 * error[:, t - 1] + np.sqrt(1 - 0.6**2) * noise[:, t]
    t = np.arange(1, periods + 1)
    on = (first[:, None] > 0) & (t >= first[:, None])
    effect = -3.0 * on * (1 + 0.1 * np.clip(t - first[:, None], 0, 8))
    common = 2 * np.sin(t / 3) + 0.1 * t
    y = level[:, None] + common + effect + error * np.sqrt(60 * 1e4 / population)[:, None]
    x = rng.normal(0, 1, n)
    return pd.DataFrame(
        {
            "la": np.repeat(np.arange(1, n + 1), periods),
            "t": np.tile(t, n),
            "g": np.repeat(first, periods),
            "y": y.ravel(),
            "pop": np.repeat(population, periods),
            "x": np.repeat(x, periods),
            "d": on.astype(int).ravel(),
        }
    )


def la_panel():
    """The panel ``la`` of the reference figures: columns la, t, g (0: never), y, pop, x, d."""
    return _la_panel().copy()


def castle():
    """Castle doctrine laws (causaldata, Cunningham 2021): 50 states, 2000 to 2010; g is the first year, 0 never.

    The package holds single precision; the reference figures read its shortest decimals.
    """
    from causaldata import castle as source

    raw = source.load_pandas().data
    data = pd.DataFrame({"sid": raw["sid"].astype(int), "year": raw["year"].astype(int)})
    for name in ("homicide", "l_homicide", "popwt", "post", "unemployrt", "poverty"):
        data[name] = [float(str(value)) for value in raw[name].to_numpy()]
    on = data["year"].where(data["post"] > 0)
    data["g"] = on.groupby(data["sid"]).transform("min").fillna(0).astype(int)
    return data.sort_values(["sid", "year"], ignore_index=True)


def digest(data):
    """SHA-256 of a frame whose numbers are written to eight decimals."""
    text = data.to_csv(index=False, float_format="%.8f", lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def shared(name):
    """A file of the research copies, or None in a fresh clone."""
    path = SHARED / name
    return path if path.exists() else None
