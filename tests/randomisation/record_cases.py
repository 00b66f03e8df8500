"""One small trial for every scheme, for tests of the record."""

from __future__ import annotations

import numpy as np
import pandas as pd

import wwc_eval as we


def teams(n=14, seed=5):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "team": [f"T{i:02d} é" if i == 3 else f"T{i:02d}" for i in rng.permutation(n)],
            "la": np.where(np.arange(n) < n // 2, "Derby", "Leeds"),
            "size": rng.integers(5, 40, n),
            "share": np.round(rng.random(n), 6),
            "rural": rng.random(n) < 0.5,
            "band": rng.choice(["low", "mid", "high"], n),
            "day": [f"2026-03-{day:02d}" for day in rng.integers(1, 28, n)],
        }
    )


RATIO = {"control": 1, "programme": 2}
THREE = ("usual", "light", "full")
TWO = ("control", "programme")

CASES = {
    "simple": (we.Simple(), RATIO),
    "complete": (we.Complete(), THREE),
    "stratified": (we.Stratified(by=["la", "rural"]), TWO),
    "stratified_ratio": (we.Stratified(by="la"), RATIO),
    "stratified_within": (we.Stratified(by="la", misfits="within_stratum"), THREE),
    "stratified_global": (we.Stratified(by="la", misfits="global"), THREE),
    "permuted_blocks": (we.PermutedBlocks(sizes=(2, 4), by="la", order="day"), TWO),
    "stepped_wedge": (
        we.SteppedWedgeSequences(sequences=[2, 3], by="la", order=["Leeds", "Derby"], capacity=7),
        TWO,
    ),
    "saturation": (we.Saturation(within="la", shares=("0", "1/3")), TWO),
    "matched_pairs": (we.MatchedPairs(on=["size", "share"], by="la"), TWO),
    "matched_blocks": (we.MatchedPairs(on=["size", "share"]), RATIO),
    "constrained": (we.Constrained(on=["size", "share", "rural", "band"], weights={"size": 2.5}), TWO),
    "constrained_by": (we.Constrained(on=["size", "share"], by="la", accept=0.2), RATIO),
    "constrained_three": (we.Constrained(on=["size", "share"], accept=0.05), THREE),
    "rerandomised": (we.Rerandomised(on=["size", "share", "band"], accept=0.05), TWO),
    "minimisation": (we.Minimisation(on=["la", "band"], order="day"), TWO),
    "minimisation_ratio": (we.Minimisation(on=["la", "rural"], imbalance="sd", weights=[1, 0.5]), RATIO),
    "minimisation_three": (we.Minimisation(on="band", imbalance="variance", p_best=0.9), THREE),
}

SEED = "2026-03-01 public draw: 5 12 23 31 44 50"


def allocate(name, frame=None, seed=SEED):
    method, arms = CASES[name]
    return we.randomise(teams() if frame is None else frame, unit="team", arms=arms, method=method, seed=seed)
