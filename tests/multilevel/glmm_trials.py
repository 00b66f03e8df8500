"""Random trials of every awkward kind, and searches from far apart to judge a fit by."""

import numpy as np

from wwc_eval.multilevel.engine.structure import Grouping
from wwc_eval.multilevel.generalised.prepare import Sample
from wwc_eval.multilevel.generalised.search import search
from wwc_eval.multilevel.generalised.solve import blocks_of, objective_of

FAMILIES = ("binomial", "binomial", "binomial", "poisson", "negative_binomial", "negative_binomial_1")
KINDS = ("one", "one", "nested", "slope", "independent", "crossed", "la")


def grouping(name, codes, Z=None, *, correlated=True):
    _, codes = np.unique(codes, return_inverse=True)
    Z = np.ones((len(codes), 1)) if Z is None else Z
    width = Z.shape[1]
    return Grouping(
        name=name,
        codes=codes,
        labels=tuple(str(k) for k in range(codes.max() + 1)),
        Z=Z,
        columns=("(Intercept)", "x")[:width],
        blocks=(tuple(range(width)),) if correlated else tuple((k,) for k in range(width)),
    )


def random_trial(rng, largest=60):
    """Sample, quadrature points and kind of a trial in 2-6 LAs; None where the draw has nothing to fit."""
    family = str(rng.choice(FAMILIES))
    las, per = int(rng.integers(2, 7)), int(rng.integers(2, 9))
    schools = las * per
    uneven = rng.random() < 0.7
    sizes = (
        rng.integers(2, rng.choice([6, 20, largest]), schools) if uneven else np.full(schools, rng.integers(3, 25))
    )
    school = np.repeat(np.arange(schools), sizes)
    la, n = school // per, len(school)
    x = rng.normal(size=n) + 0.3 * rng.normal(size=schools)[school]
    flag = (rng.random(n) < rng.choice([0.05, 0.3, 0.5])) * 1.0
    X = np.column_stack([np.ones(n), (school % 2) * 1.0, x, flag])
    eta = X @ np.array([rng.choice([-3, -1, 0, 0.5]), 0.4, 0.5, -0.4])
    if rng.random() < 0.15:  # near-collinear
        X = np.column_stack([X, x + 1e-4 * rng.normal(size=n)])
    eta = eta + rng.choice([0, 0.1, 0.5, 1, 2]) * rng.normal(size=schools)[school]
    eta = eta + rng.choice([0, 0.3, 0.8]) * rng.normal(size=las)[la]
    m, e = np.ones(n), np.ones(n)
    if family == "binomial":
        m = m if rng.random() < 0.7 else rng.integers(1, 12, n).astype(float)
        y = rng.binomial(m.astype(int), 1 / (1 + np.exp(-eta))).astype(float)
        if rng.random() < 0.08:  # separated
            y[flag == 1] = m[flag == 1]
    else:
        e = rng.uniform(0.5, 3, n)
        alpha, mean = rng.choice([0, 0.2, 1]), np.minimum(e * np.exp(eta), 1e4)
        y = rng.poisson(mean * (rng.gamma(1 / alpha, alpha, n) if alpha else 1)).astype(float)
    kind = str(rng.choice(KINDS))
    both = np.column_stack([np.ones(n), x])
    groupings = {
        "one": [grouping("school", school)],
        "la": [grouping("la", la)],
        "nested": [grouping("la", la), grouping("school", school)],
        "crossed": [grouping("school", school), grouping("ward", rng.integers(0, 5, n))],
        "slope": [grouping("school", school, both)],
        "independent": [grouping("school", school, both, correlated=False)],
    }[kind]
    weights = np.ones(n) if rng.random() < 0.85 else rng.uniform(0.5, 2, n)
    points = int(rng.choice([1, 1, 7])) if kind in ("one", "la") else 1
    if np.ptp(y / m) == 0 or n <= X.shape[1] or np.linalg.matrix_rank(X) < X.shape[1]:
        return None
    sample = Sample(family=family, y=y, trials=m, exposure=e, weights=weights, X=X, groupings=tuple(groupings))
    return sample, points, kind


RARE = (
    "one-row groups", "crossed three ways", "slopes that hardly vary", "few events", "an arm without events",
    "missing rows", "extreme scales",
)  # fmt: skip


def rare_trial(rng, kind):
    """Sample, quadrature points and kind of a trial with few rows, an odd shape, hardly any events or extreme units;
    None where the draw has nothing to fit."""
    family = str(rng.choice(FAMILIES))
    groups = int(rng.integers(6, 25))
    sizes = rng.choice([1, 1, 2, 6], groups) if kind == "one-row groups" else rng.integers(2, 15, groups)
    school = np.repeat(np.arange(groups), sizes)
    if kind == "crossed three ways":
        school = rng.integers(0, groups, int(rng.integers(80, 250)))
    x, n = rng.normal(size=len(school)), len(school)
    arm = (school % 2) * 1.0
    eta = (
        rng.choice([-1.0, 0.0, 0.5])
        + 0.4 * arm
        + 0.5 * x
        + rng.choice([0, 0.5, 1]) * rng.normal(size=groups)[school]
    )
    both = np.column_stack([np.ones(n), x])
    groupings = [grouping("school", school)]
    if kind == "crossed three ways":
        lecturer = rng.integers(0, 12, n)
        groupings += [grouping("lecturer", lecturer), grouping("department", rng.integers(0, 4, n))]
        eta = eta + rng.choice([0, 0.6]) * rng.normal(size=12)[lecturer]
    elif kind == "slopes that hardly vary":
        eta = eta + 10 ** rng.uniform(-3, -0.5) * rng.normal(size=groups)[school] * x
        groupings = [grouping("school", school, both, correlated=bool(rng.random() < 0.6))]
    elif kind == "few events":
        eta = eta - 3.0
    elif kind == "an arm without events":
        eta = np.where(arm == 1, -40.0, eta)
    elif kind == "extreme scales":
        x = 10 ** rng.uniform(-5, 5) * (x + 10 ** rng.uniform(0, 3))
    X = np.column_stack([np.ones(n), arm, x])
    e = 10 ** rng.uniform(-3, 3, n) if kind == "extreme scales" and family != "binomial" else np.ones(n)
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0
    if family != "binomial":
        y = rng.poisson(np.minimum(e * np.exp(eta), 1e5)).astype(float)
    kept = np.flatnonzero(rng.random(n) > (0.4 if kind == "missing rows" else 0.0))
    X, y, e = X[kept], y[kept], e[kept]
    groupings = tuple(each.take(kept) for each in groupings)
    alone = any(each.n_groups * each.width >= len(y) for each in groupings)
    if np.ptp(y) == 0 or alone or len(y) <= 3 or np.linalg.matrix_rank(X / np.abs(X).max(axis=0)) < 3:
        return None
    sample = Sample(
        family=family, y=y, trials=np.ones(len(y)), exposure=e, weights=np.ones(len(y)), X=X, groupings=groupings
    )
    return sample, 7 if kind == "one-row groups" and rng.random() < 0.5 else 1, kind


def lowest_restart(solution, rng, restarts):
    """Lowest value of searches that begin far apart and know nothing of the fit's own starts."""
    prepared, best = solution.prepared, np.inf
    roots, p = solution.prepared.roots, solution.prepared.X.shape[1]
    gamma = solution.optimum.psi[roots.size : roots.size + p]
    for k in range(restarts):
        size = (0.4, 1.5, 0.05, 3.0)[k % 4]
        theta = np.where(roots.diagonal, size, rng.normal(size=roots.size) * size / 2)
        extra = [rng.choice([-3.0, -1.0, 0.5])] if prepared.outcome.dispersed else []
        start = np.concatenate([theta, gamma + 0.3 * rng.normal(size=p), extra])
        objective = objective_of(prepared, solution.points, prepared.outcome)
        found = search(objective, start, blocks=blocks_of(prepared), sizes=(), curvature=False)
        best = min(best, found.value)
    return best
