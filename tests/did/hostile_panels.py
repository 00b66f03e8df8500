"""Authorities of which a few are treated, at dates and in numbers that a test chooses."""

import numpy as np
import pandas as pd

import wwc_eval as we

ROLES = {"unit": "la", "period": "year", "outcome": "rate", "cohort": "joined"}


def frame(n=30, periods=8, cohorts=None, *, effect=3.0, seed=0):
    """So many authorities from 2012 on, the first of them treated: {position of the first treated period: how many}."""
    rng = np.random.default_rng(seed)
    joined = np.zeros(n, dtype=int)
    at = 0
    for position, count in (cohorts or {4: 4, 6: 4}).items():
        joined[at : at + count] = 2012 + position
        at += count
    years = 2012 + np.arange(periods)
    treated = (joined[:, None] > 0) & (years >= joined[:, None])
    rate = (
        50
        + rng.normal(0, 3, n)[:, None]
        + 0.5 * np.arange(periods)
        + rng.normal(0, 1, (n, periods))
        + effect * treated
    )
    return pd.DataFrame(
        {
            "la": np.repeat([f"LA{k:03d}" for k in range(n)], periods),
            "year": np.tile(years, n),
            "rate": rate.ravel(),
            "joined": np.repeat(joined, periods),
            "size": np.repeat(rng.integers(1_000, 9_000, n), periods),
        }
    )


def panel(data=None, **options):
    return we.Panel(frame() if data is None else data, **{**ROLES, **options})


def relabelled(data, order):
    """The same authorities under other names, so that they stand in another order."""
    names = sorted(data["la"].unique())
    return data.assign(la=data["la"].map(dict(zip(names, (names[k] for k in order), strict=True))))
