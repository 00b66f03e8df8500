"""Randomisation: processor seconds (one thread; by the clock where it says so) and memory of drawing, scoring,
matching, minimising and recording.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import wwc_eval as we


def best(call, times=3):
    found = []
    for _ in range(times):
        start = time.process_time()
        result = call()
        found.append(time.process_time() - start)
    return min(found), result


def show(name, seconds, limit=None, note=""):
    goal = f"{limit / seconds:6.1f}x within {limit:g} s" if limit else ""
    print(f"{name:58s} {seconds:9.4f} s   {goal:22s} {note}", flush=True)


def units(n, seed=7, strata=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.standard_normal((n, 4)), columns=list("abcd"))
    return frame.assign(
        unit=[f"u{i:06d}" for i in range(n)], la=[f"LA{i:03d}" for i in rng.integers(0, strata, n)]
    )


def constrained(queue, n):
    """In a process of its own, so that memory is that of the whole call."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    allocation = we.randomise(units(n), unit="unit", method=we.Constrained(on=list("abcd")), seed="s")
    drawn = time.perf_counter() - start
    count = allocation.bound.count
    seconds = time.perf_counter() - start
    queue.put((drawn, seconds, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, count))


def bench_constrained():
    context = multiprocessing.get_context("spawn")
    for n in (16, 20, 24, 28, 30):
        queue = context.Queue()
        process = context.Process(target=constrained, args=(queue, n))
        process.start()
        drawn, seconds, before, memory, count = queue.get()
        process.join()
        note = f"drawn in {drawn:.2f} s; {count:,} accepted; {memory:.0f} MiB in all, {memory - before:.0f} of the call"
        show(f"constrained, {n} clusters, exact, all of it, by the clock", seconds, 5 if n == 30 else None, note)
    seconds, allocation = best(
        lambda: we.randomise(units(100), unit="unit", method=we.Constrained(on=list("abcd")), seed="s"), 1
    )
    show("constrained, 100 clusters, cut-off from 20,000", seconds)
    seconds, _ = best(lambda: allocation.reference_set(10_000, rng=1))
    show("constrained, 100 clusters, 10,000 of the reference set", seconds)


def bench_others():
    frame = units(100_000, strata=150)
    seconds, _ = best(lambda: we.randomise(frame, unit="unit", method=we.Stratified(by="la"), seed="s"))
    show("stratified, 100,000 units in 150 strata", seconds, 1)
    for n in (50, 100, 280):
        seconds, _ = best(
            lambda n=n: we.randomise(units(n), unit="unit", method=we.MatchedPairs(on=list("abcd")), seed="s"), 1
        )
        show(f"matched pairs, {n} units, optimal", seconds)
    banded = units(1_000, strata=20).assign(band=lambda d: pd.cut(d["a"], 4, labels=list("wxyz")).astype(str))
    method = we.Minimisation(on=["la", "band"])
    seconds, allocation = best(lambda: we.randomise(banded, unit="unit", method=method, seed="s"), 1)
    show("minimisation, 1,000 families, two factors", seconds)
    seconds, _ = best(lambda: allocation.reference_set(1_000, rng=1), 1)
    show("minimisation, 1,000 re-runs of the 1,000", seconds)


def bench_record():
    frame = units(1_000, strata=20)
    allocation = we.randomise(frame, unit="unit", method=we.Stratified(by="la"), seed="s")
    seconds, receipt = best(lambda: allocation.receipt)
    show("receipt of 1,000 units", seconds)
    seconds, _ = best(lambda: we.verify_allocation(receipt, frame, "s"))
    show("verification of 1,000 units", seconds)
    small = [
        we.randomise(pd.DataFrame({"u": [f"{i}-{j}" for j in range(4)]}), unit="u", method=we.Complete(), seed="s")
        for i in range(200)
    ]
    with tempfile.TemporaryDirectory() as folder:
        ledger = we.Ledger(Path(folder, "ledger.jsonl"))
        start = time.perf_counter()
        for each in small:
            ledger.append(each, by="A")
        show("ledger, a line on the disk (mean of 200, by the clock)", (time.perf_counter() - start) / 200)
        seconds, _ = best(ledger.verify)
        show("ledger, 200 lines verified", seconds)


def bench_tests():
    """10,000 children in 40 teams, 9,999 draws."""
    rng = np.random.default_rng(1)
    team = np.repeat(np.arange(40), 250)
    children = pd.DataFrame({"unit": [f"u{k:06d}" for k in team], "la": [f"L{k // 8}" for k in team]})
    children = children.assign(age=rng.normal(size=10_000), sex=rng.integers(0, 2, 10_000))
    children["y"] = rng.normal(size=10_000) + rng.normal(size=40)[team]
    teams = children.groupby("unit", as_index=False).agg(la=("la", "first"))
    allocation = we.randomise(teams, unit="unit", method=we.Stratified(by="la"), seed="s")

    def test(formula, **options):
        return we.randomisation_test(allocation, children, formula, draws=9_999, rng=1, **options)

    seconds, _ = best(lambda: test("y ~ arm + age + sex + la", statistic="regression"))
    show("randomisation test, regression, 9,999 draws", seconds, 1)
    seconds, _ = best(lambda: test("y ~ arm + age + sex + la", statistic="regression", ci=True))
    show("the same with its interval", seconds)
    seconds, _ = best(lambda: test("y ~ arm"))
    show("randomisation test, difference in means", seconds)
    counted = children.assign(years=rng.uniform(0.1, 1.0, 10_000), moves=rng.poisson(0.6, 10_000))

    def rates(formula):
        options = {"statistic": "rate_ratio", "exposure": "years", "draws": 9_999, "rng": 1, "ci": True}
        return we.randomisation_test(allocation, counted, formula, **options)

    seconds, _ = best(lambda: rates("moves ~ arm"))
    show("randomisation test, rate ratio with its interval", seconds)
    seconds, _ = best(lambda: rates("moves ~ arm + age + sex + la"))
    show("the same, adjusted", seconds)
    arm = dict(zip(allocation.table["unit"], allocation.table["arm"].astype(str), strict=True))
    given = children.assign(arm=children["unit"].map(arm))
    fit = we.multilevel_model("y ~ arm + age + sex + (1 | unit)", given, levels={"arm": ["control", "programme"]})
    seconds, _ = best(lambda: we.randomisation_test(allocation, fit, draws=999, rng=1), 1)
    show("randomisation test, mixed model, 999 draws", seconds)


if __name__ == "__main__":
    bench_constrained()
    bench_others()
    bench_record()
    bench_tests()
