"""Callaway-Sant'Anna given covariates of children seen once: processor seconds from a frame, best of 3.

150 authorities in six cohorts over ten periods; children by age, sex and need code, and the same with a covariate that
no two children share. Effects, events, the overall effect and 999 draws. The peer is diff-diff, where it is installed.
One thread: run it with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from processor_time import best, installed

import wwc_eval as we

DRAWS = 999
KINDS = ("age", "female", "need")


def children(n: int, areas: int = 150, periods: int = 10, seed: int = 1) -> pd.DataFrame:
    """Children seen once, in areas of unequal size of which a third join in five cohorts."""
    rng = np.random.default_rng(seed)
    shares = rng.lognormal(0, 0.6, areas)
    area = rng.choice(areas, n, p=shares / shares.sum())
    t = rng.integers(0, periods, n)
    first = np.where(np.arange(areas) < areas // 3, 3 + np.arange(areas) % 5, periods)[area]
    age, need = rng.integers(0, 18, n), rng.integers(0, 10, n)
    x = rng.normal(size=n)
    y = 0.1 * age * (1 + 0.1 * t) + 0.2 * x + rng.normal(size=n) - 0.5 * (t >= first)
    start = np.where(first < periods, first, -1)
    return pd.DataFrame(
        {
            "area": area,
            "t": t + 1,
            "start": start + 1,
            "age": age,
            "female": rng.integers(0, 2, n),
            "need": np.char.add("N", need.astype(str)),
            "x": x,
            "y": y,
        }
    )


def effects(data: pd.DataFrame, covariates: tuple[str, ...], cluster: str | None, method: str) -> object:
    """Everything that is printed, from the frame."""
    panel = we.Panel(data, unit=None, period="t", outcome="y", cohort="start", cluster=cluster)
    result = we.did.callaway_santanna(panel, covariates=covariates, method=method).bootstrap(DRAWS, rng=1)  # type: ignore[arg-type]
    event = result.aggregate("event")
    return result.estimates, event.estimates, event.overall, result.overall


def peer(data: pd.DataFrame) -> float | None:
    """diff-diff on the same frame without draws, or None where it is not installed."""
    if not installed("diff_diff"):
        return None
    from diff_diff import CallawaySantAnna

    coded = pd.get_dummies(data, columns=["need"], drop_first=True, dtype=float).assign(row=np.arange(len(data)))
    names = ["age", "female", *(name for name in coded if name.startswith("need_"))]

    def work() -> object:
        estimator = CallawaySantAnna(panel=False, seed=1)
        return estimator.fit(coded, outcome="y", unit="row", time="t", first_treat="start", covariates=names)

    return best(work, 1)


if __name__ == "__main__":
    print("     children   covariates   errors by   method       time      aim")
    for n in (100_000, 1_000_000):
        data = children(n)
        for label, names in (("kinds", KINDS), ("kinds, x", (*KINDS, "x"))):
            for cluster in ("area", None):
                for method in ("dr", "ipw", "or") if label == "kinds" and cluster else ("dr",):
                    seconds = best(lambda d=data, c=names, k=cluster, m=method: effects(d, c, k, m), 3)
                    aim = "1.00 s" if label == "kinds" else "-"
                    print(
                        f"{n:>13,}   {label:>10}   {cluster or 'row':>9}   {method:>6}   {seconds:6.2f} s   {aim:>6}"
                    )
        if n == 100_000:
            other = peer(data)
            print(
                f"{n:>13,}   diff-diff, kinds, by row, no draws   " + ("-" if other is None else f"{other:.2f} s")
            )
