"""Panels that the tests of difference-in-differences share: a seeded one of authorities, and data of other packages.

Data of tests/data_packages.txt are read as files: their packages are never imported, and a test that needs them is
skipped where they are not installed.
"""

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

LA_DIGEST = "786681512a7ff65089651047cf6e0163af702b1f2c55e83ff18cab465e433129"
SHARED = Path(__file__).parents[3] / "shared" / "data"
FILES = {  # package, its file, and the SHA-256 of the file behind the figures
    "df_het": (
        "pyfixest",
        "pyfixest/did/data/df_het.csv",
        "2b67a1f99673d705010fe0d655fd22a2ef39c56bdd4034bf51412d049f4da40c",
    ),
    "prop99": (
        "synthdid-py",
        "synthdid/data/california_prop99.csv",
        "550d24c2f743507d097692d181bdbbf36c6168a39a0b6fc831cc89d98082f7de",
    ),
    "mpdta": (
        "moderndid",
        "moderndid/core/datasets/mpdta_long.pkl.gz",
        "3d39793685a00cef5a7ee6e5f11ddaee02099f7107a99fa8e1c335416cf49023",
    ),
}
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


def installed(name):
    """The file of a data package; the test is skipped where the package is not installed."""
    package, inside, wanted = FILES[name]
    try:
        path = Path(importlib.metadata.distribution(package).locate_file(inside))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the package {package}, which has these data, is not installed (tests/data_packages.txt)")
    # one of the files is a pickle, which could run code: none but the known ones is opened
    assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted, f"{inside} is not the file behind the figures"
    return path


@cache
def _mpdta():
    return pd.read_pickle(installed("mpdta"))


def mpdta():
    """Minimum wages and teenage employment (R's did): 500 counties, 2003 to 2007, columns as in R."""
    return _mpdta().copy()


@cache
def df_het():
    """Simulated panel of did2s: 1,500 units, 1990 to 2020, treated from 2000, 2010 or never (g is 0)."""
    return pd.read_csv(installed("df_het"), usecols=["unit", "year", "g", "dep_var"])


def prop99():
    """Cigarette packs a head in 39 states, 1970 to 2000 (Abadie et al. 2010): California treated from 1989."""
    return pd.read_csv(installed("prop99"), sep=";")
