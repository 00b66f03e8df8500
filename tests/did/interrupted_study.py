"""Rejections of a true null by interrupted time series: mean effect of level and slope, AR(1) noise.

Run as ``python tests/did/interrupted_study.py PERIODS`` for each number of periods; prints the rows of the record.
"""

import json
import sys

import numpy as np
from scipy.special import stdtr

from wwc_eval.did.serial_errors import default_lag, fit_series

PERIODS, RHOS = (10, 20, 40, 80), (0.0, 0.4, 0.8)
FAST, SLOW = 10_000, 400


def rejections(periods, rho, *, fast=FAST, slow=SLOW, seed=7):
    """Share of series without effect in which p < 0.05, by kind of error."""
    rng = np.random.default_rng([seed, periods, int(10 * rho)])
    first = periods // 2
    times = np.arange(periods, dtype=float)
    after = (times >= first) * 1.0
    design = np.column_stack([np.ones(periods), times - first, after, after * (times - first)])
    weights = np.array([0.0, 0.0, 1.0, (periods - first - 1) / 2.0])
    noise = rng.normal(size=(fast, periods))
    y = noise.copy()
    for k in range(1, periods):
        y[:, k] = rho * y[:, k - 1] + np.sqrt(1.0 - rho**2) * noise[:, k]
    bread = np.linalg.inv(design.T @ design)
    pull = design @ bread @ weights
    scores = (y - y @ design @ bread @ design.T) * pull
    near = np.maximum(1.0 - np.abs(times[:, None] - times) / (default_lag(periods) + 1.0), 0.0)
    df = periods - 4
    t = (y @ pull) / np.sqrt(np.einsum("ij,jk,ik->i", scores, near, scores) * periods / df)
    hits = 0
    for series in y[:slow]:
        value, se, free = fit_series(series, design, times, "ar1", 0).contrast(weights)
        hits += 2 * stdtr(free, -abs(value / se)) < 0.05
    return {"newey_west": float((2 * stdtr(df, -np.abs(t)) < 0.05).mean()), "ar1": float(hits / slow)}


def table(record):
    """The record as the table of the methods page."""
    lines = ["| periods | autocorrelation | Newey-West | AR(1) by REML |", "| --- | --- | --- | --- |"]
    for case in record["cases"]:
        shares = " | ".join(f"{100 * case['rejections'][name]:.1f}" for name in ("newey_west", "ar1"))
        lines.append(f"| {case['periods']} | {case['rho']:g} | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    for given in map(int, sys.argv[1:]):
        for rho in RHOS:
            print(json.dumps({"periods": given, "rho": rho, "rejections": rejections(given, rho)}))
