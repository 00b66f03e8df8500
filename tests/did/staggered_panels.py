"""Panels for the tests of drawn roll-outs."""

import numpy as np
import pandas as pd
from did_data import castle, la_panel, mpdta

import wwc_eval as we

READ = {
    "castle": (castle, {"sid": "unit", "year": "period", "l_homicide": "y", "g": "start"}),
    "la": (la_panel, {"la": "unit", "t": "period", "g": "start", "y": "y"}),
    "mpdta": (mpdta, {"countyreal": "unit", "year": "period", "lemp": "y", "first.treat": "start"}),
}


def reference_panel(name):
    read, names = READ[name]
    data = read().rename(columns=names)[list(names.values())]
    return we.Panel(data, unit="unit", period="period", outcome="y", cohort="start")


def panel_of(outcomes, start, **options):
    """A panel of outcomes (n, T) with starts from 0, 99 for never; periods are called from 1 on."""
    outcomes = np.asarray(outcomes, dtype=float)
    n, T = outcomes.shape
    first = np.where(np.asarray(start) >= T, 0, np.asarray(start) + 1)
    data = pd.DataFrame(
        {"unit": np.repeat(np.arange(n), T), "period": np.tile(np.arange(1, T + 1), n), "y": outcomes.ravel()}
    ).assign(start=np.repeat(first, T), **options.pop("columns", {}))
    return we.Panel(data, unit="unit", period="period", outcome="y", cohort="start", **options)


def drawn(n=24, T=7, seed=1, starts=(2, 4, 99), effect=-2.0):
    """A drawn roll-out with levels that differ between units."""
    rng = np.random.default_rng(seed)
    start = rng.permutation(np.resize(starts, n))
    y = rng.normal(0, 3, (n, 1)) + rng.normal(0, 1, (n, T)).cumsum(axis=1) * 0.5
    return y + effect * (np.arange(T) >= start[:, None]), start
