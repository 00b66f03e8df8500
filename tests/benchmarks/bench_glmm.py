"""Speed of generalised linear mixed models, single thread: seconds of the whole call, reading of the formula included.

Ratios are to lme4 1.1-31 on data of the same kind and size (R 4.2.2, one thread; figures in brackets).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit

from wwc_eval.multilevel.generalised import fit_generalised
from wwc_eval.multilevel.reading import read_model


def schools(rows=50_000, groups=500):
    rng = np.random.default_rng(3)
    school = rng.integers(0, groups, rows)
    arm = school % 2
    x = rng.normal(size=(rows, 3))
    eta = -0.5 + 0.3 * arm + x @ [0.3, -0.2, 0.1] + 0.5 * rng.normal(size=groups)[school]
    hit = (rng.random(rows) < expit(eta)) * 1
    count = rng.poisson(np.exp(0.5 * eta))
    columns = {"hit": hit, "count": count, "arm": arm, "school": school, "la": school // 25}
    return pd.DataFrame(columns | {f"x{k}": x[:, k] for k in range(3)})


def wedge(rows=27_425, *, continuous=False):
    """Five LAs, six periods, twenty columns: age in years, or in days."""
    rng = np.random.default_rng(4)
    la = rng.choice(5, rows, p=[0.3, 0.25, 0.2, 0.15, 0.1])
    period = rng.integers(0, 6, rows)
    treated = (period >= 1 + la) * 1
    age = rng.integers(0, 18, rows) + (rng.random(rows) if continuous else 0)
    need, ethnicity = rng.integers(0, 6, rows), rng.integers(0, 5, rows)
    sex, disabled, alone = rng.integers(0, 2, rows), rng.integers(0, 2, rows), (rng.random(rows) < 0.05) * 1
    eta = -2.5 + 0.05 * period + 0.02 * age + 0.3 * rng.normal(size=5)[la] + 0.3 * alone
    hit = (rng.random(rows) < expit(eta)) * 1
    return pd.DataFrame(
        {
            "looked_after": hit,
            "treated": treated,
            "period": period,
            "age": age,
            "need": need,
            "ethnicity": ethnicity,
            "sex": sex,
            "disabled": disabled,
            "alone": alone,
            "la": la,
        }
    )


def fit(formula, data, family="binomial", points=1):
    model = read_model(formula, data, levels=None, weights=None, exposure=None)
    return fit_generalised(model, None, points, 0.95, family=family)


def timed(call, repeats=5):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), float(np.median(seconds)), found


def main():
    data, small = schools(), schools(20_000, 500)
    stepped, fine = wedge(), wedge(continuous=True)
    few = stepped.assign(age=stepped["age"] // 6).drop(columns=["need", "ethnicity"])
    formula = "hit ~ arm + x0 + x1 + x2 + (1 | school)"
    trial = (
        "looked_after ~ treated + factor(period) + age + factor(need) + factor(ethnicity) + sex + disabled + alone "
        "+ (1 | la)"
    )
    short = "looked_after ~ treated + factor(period) + factor(age) + sex + disabled + alone + (1 | la)"
    slopes = "hit ~ arm + x0 + x1 + x2 + (1 + x0 | school)"
    counts = "count ~ arm + x0 + x1 + x2 + (1 | school)"
    levels = "hit ~ arm + x0 + x1 + x2 + (1 | la/school)"
    rows = [
        ("50,000 rows, 500 schools, logistic, Laplace", 9.27, partial(fit, formula, data)),
        ("the same, quadrature with 9 points", 21.5, partial(fit, formula, data, points=9)),
        ("27,425 rows, 5 LAs, 20 columns, age in years", 54.0, partial(fit, trial, stepped)),
        ("the same, age in days (no two rows alike)", 54.0, partial(fit, trial, fine)),
        ("27,425 rows, 5 LAs, few covariate patterns", None, partial(fit, short, few)),
        ("50,000 rows, random slope", None, partial(fit, slopes, data)),
        ("50,000 rows, three levels", None, partial(fit, levels, data)),
        ("20,000 rows, Poisson", None, partial(fit, counts, small, "poisson")),
        ("20,000 rows, negative binomial (NB2)", None, partial(fit, counts, small, "negative_binomial")),
    ]
    print(f"{'model':<50}{'best':>8}{'median':>8}  lme4 / median")
    for name, peer, call in rows:
        best, median, found = timed(call)
        ratio = "" if peer is None else f"{peer / median:.0f} ({peer} s)"
        print(
            f"{name:<50}{best:8.3f}{median:8.3f}  {ratio}  [{found.status}, {found.optimiser.evaluations} evaluations]"
        )


if __name__ == "__main__":
    main()
