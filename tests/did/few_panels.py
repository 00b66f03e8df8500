"""Panels with few treated units, and their fits by brute force."""

import numpy as np
import pandas as pd

import wwc_eval as we


def la_frame(
    n=30, T=8, *, treated=((3, 4), (7, 6)), effect=2.0, seed=1, rho=0.4, spread=1.0, missing=0.0, weights=False
):
    """LAs by period, each with its own noise; ``treated`` are (LA, first treated period) pairs."""
    rng = np.random.default_rng(seed)
    noise = np.empty((n, T))
    noise[:, 0] = rng.normal(size=n)
    for t in range(1, T):
        noise[:, t] = rho * noise[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=n)
    population = np.exp(rng.uniform(np.log(2_000), np.log(20_000), n))
    values = rng.normal(60, 10, n)[:, None] + np.linspace(0, 3, T) + spread * noise
    cohort = np.zeros(n, dtype=int)
    for unit, start in treated:
        cohort[unit] = start
        values[unit, start:] += effect
    frame = pd.DataFrame(
        {
            "la": np.repeat([f"E{k:03d}" for k in range(n)], T),
            "year": np.tile(np.arange(T), n),
            "rate": values.ravel(),
            "cohort": np.repeat(cohort, T),
            "population": np.repeat(population, T),
            "region": np.repeat([f"R{k // 2:02d}" for k in range(n)], T),
        }
    )
    if weights:
        frame["w"] = np.repeat(rng.uniform(0.5, 2, n), T)
    if missing:
        drop = rng.random(len(frame)) < missing
        drop[frame["cohort"] > 0] = False
        frame = frame[~drop]
    return frame


def panel_of(frame, **options):
    named = {"unit": "la", "period": "year", "outcome": "rate", "cohort": "cohort"}
    if "w" in frame:
        named["weights"] = "w"
    return we.Panel(frame, **{**named, **options})


def ols(panel, adopted):
    """Coefficient, residualised treatment and residuals of two-way fixed effects, by dummies."""
    n, T = panel.outcomes.shape
    treated = (np.arange(T) >= np.asarray(adopted)[:, None]).astype(float)
    keep = panel.observed.ravel()
    unit, period = np.repeat(np.arange(n), T)[keep], np.tile(np.arange(T), n)[keep]
    dummies = np.column_stack([np.eye(n)[unit], np.eye(T)[period][:, 1:]])
    root = np.sqrt(np.repeat(panel.weights, T)[keep])
    d, y = treated.ravel()[keep], panel.outcomes.ravel()[keep]
    X = dummies * root[:, None]
    left = lambda v: v * root - X @ np.linalg.lstsq(X, v * root, rcond=None)[0]  # noqa: E731
    x, z = left(d), left(y)
    beta = x @ z / (x @ x)
    return beta, x, z - beta * x, unit
