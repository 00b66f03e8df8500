"""Speed of power by formula, one thread: evaluations a second of processor time, best of several."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time

import numpy as np

from wwc_eval.power import Binary, Level, Trial
from wwc_eval.power.kernels import t_ncp, t_power


def best(call, times=5):
    found = []
    for _ in range(times):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def show(name, seconds, count, peer=None):
    ratio = f"   {peer / seconds:6.1f}x scipy.stats.nct" if peer else ""
    print(f"{name:52s} {count / max(seconds, 1e-9):12,.0f} a second{ratio}", flush=True)


if __name__ == "__main__":
    from scipy.stats import nct

    n = 1_000_000
    rng = np.random.default_rng(0)
    ncp, df = rng.uniform(0.5, 5, n), rng.integers(6, 200, n).astype(float)
    bar = float(-nct.ppf(0.025, 38, 0))
    peer = best(lambda: nct.sf(bar, 38, ncp[:20_000]) + nct.cdf(-bar, 38, ncp[:20_000]), 2) * 50
    show("power of one df, a million noncentralities", best(lambda: t_power(ncp, 38.0)), n, peer)
    show("power, a million pairs of df and noncentrality", best(lambda: t_power(ncp, df), 3), n, peer)
    powers = np.linspace(0.1, 0.99, 200_000)
    show("noncentrality of a power, 200,000", best(lambda: t_ncp(powers, 38.0), 3), 200_000)
    icc, teams = np.linspace(0, 0.2, 100)[:, None, None], np.arange(10, 110.0)[:, None]
    effect, outcome = np.linspace(-0.15, 0.15, 100), Binary(control=0.22)
    levels = [Level("child", 60), Level("team", teams, icc=icc)]
    grid = Trial(levels=levels, assigned="team", outcome=outcome)
    show("Trial.power over 100 ICCs x 100 teams x 100 effects", best(lambda: grid.power(effect), 3), n)
    show("Trial.mdes over 100 x 100", best(Trial(levels=levels, assigned="team").mdes, 3), 10_000)
    one = Trial(levels=[Level("child", 60), Level("team", 48, icc=0.05)], assigned="team", outcome=outcome)

    def calls(call):
        return best(lambda: [call() for _ in range(20)], 3) / 20

    show("one call of Trial.power", calls(lambda: one.power(-0.08)), 1)
    show("one call of Trial.mdes (binary, both directions)", calls(one.mdes), 1)
    show("one call of Trial.required", calls(lambda: one.required("team", -0.08)), 1)
