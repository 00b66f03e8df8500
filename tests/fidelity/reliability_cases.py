"""Reference cases of reliability, and ratings of real mess."""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


@functools.cache
def cases():
    """Cases of ``fidelity_reliability.json`` by name."""
    return json.loads((REFERENCE / "fidelity_reliability.json").read_text())["cases"]


def table(name):
    """The ratings of a case, NaN where missing."""
    return np.array(cases()[name]["input"], dtype=float)


def long(name):
    """The long ratings of a case."""
    given = cases()[name]["input"]
    return pd.DataFrame(given["rows"], columns=given["columns"])


def messy(seed, *, n=40, raters=4, q=5, missing=0.2, clusters=None):
    """Ratings on a scale of q with missing cells; and clusters of the subjects."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, q, (n, 1))
    x = np.clip(level + rng.integers(-1, 2, (n, raters)), 0, q - 1).astype(float)
    x[rng.random((n, raters)) < missing] = np.nan
    return x, (np.arange(n) % clusters if clusters else None)
