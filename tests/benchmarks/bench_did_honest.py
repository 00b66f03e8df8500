"""Speed of sensitivity analyses, single thread: honest intervals for 20 values of M, pre-trend power, synthetic DiD.

Peers, measured on the example of HonestDiD for one value of M each: moderndid 10.6 s and honestdid 29.1 s (relative magnitudes),
1.3 s and 36.1 s for two values (smoothness).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time

import numpy as np

from wwc_eval.did import EventPath, honest, pre_trend_power
from wwc_eval.did.synthetic_blocks import fit_block, recipe_of


def path(before, after, seed=1):
    rng = np.random.default_rng(seed)
    events = np.r_[np.arange(-before - 1, -1), np.arange(after)]
    root = rng.normal(size=(events.size, 3 * events.size))
    vcov = root @ root.T / (3 * events.size) * 0.001 + 0.0005
    estimates = rng.multivariate_normal(np.where(events >= 0, 0.2, 0.0), vcov)
    return EventPath(events=events, estimates=estimates, vcov=vcov)


def timed(call, repeats=5):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), float(np.median(seconds))


def report(name, call, peer=None):
    best, middle = timed(call)
    ratio = f"  {peer / best:8.0f} times the speed of the fastest peer" if peer else ""
    print(f"{name:<64} {best:8.3f} s (median {middle:.3f}){ratio}")


def main():
    for before, after in ((4, 4), (8, 8), (12, 12)):
        study = path(before, after)
        values = np.linspace(0.1, 2, 20)
        peer = (10.6 * 20, 1.3 * 10) if before == 4 else (None, None)
        report(
            f"relative magnitudes and breakdown, 20 values, {before} + {after} events",
            lambda study=study, values=values: honest(study, values=values, weights="average"),
            peer[0],
        )
        report(
            f"smoothness and breakdown, 20 values, {before} + {after} events",
            lambda study=study, values=values: honest(study, "smoothness", values / 20, weights="average"),
            peer[1],
        )
    report("pre-trend power, 12 events before", lambda: pre_trend_power(path(12, 12)))
    rng = np.random.default_rng(2)
    controls = rng.normal(size=(149, 40)).cumsum(axis=1) + rng.normal(0, 5, (149, 1))
    recipe = recipe_of(controls, 30, 10, synthetic_did=True, stopping="exact")

    def placebos():
        for k in range(149):
            fit_block(np.delete(controls, k, axis=0), controls[k], 30, recipe)

    report("synthetic DiD, all 149 placebos of 150 x 40", placebos)


if __name__ == "__main__":
    main()
