"""Random trials of every awkward kind, and the check that a fit of one is the best there is.

``python multilevel_trials.py 8000 2000 8`` runs the study (8,000 common and 2,000 rare trials, 8 restarts; about half
an hour) and prints its record as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter

import numpy as np
from scipy import optimize

from wwc_eval.errors import ConvergenceError, DesignError
from wwc_eval.multilevel.engine.solve import problem_of, solve
from wwc_eval.multilevel.engine.structure import Grouping

TOLERANCE = 1e-6


def factor(name, codes, Z=None, correlated=True):
    _, codes = np.unique(codes, return_inverse=True)
    Z = np.ones((len(codes), 1)) if Z is None else Z
    width = Z.shape[1]
    return Grouping(
        name=name,
        codes=codes.astype(np.intp),
        labels=tuple(str(k) for k in range(codes.max() + 1)),
        Z=Z,
        columns=tuple(f"z{k}" for k in range(width)),
        blocks=(tuple(range(width)),) if correlated else tuple((k,) for k in range(width)),
    )


def trial(seed):
    """2 to 6 LAs, 2 to 8 schools in each, 2 to 120 children a school; singular, unbalanced, near-collinear, with
    missing rows, weights, random slopes and crossed raters."""
    rng = np.random.default_rng([20, seed])
    las, schools = int(rng.integers(2, 7)), int(rng.integers(2, 9))
    if rng.random() < 0.6:
        sizes = rng.choice([2, 3, 5, 8, 20, 60, 120], las * schools)
    else:
        sizes = np.full(las * schools, int(rng.integers(2, 25)))
    school = np.repeat(np.arange(las * schools), sizes)
    la, n = school // schools, len(school)
    arm = ((school + la) % 2).astype(float) if rng.random() < 0.7 else rng.integers(0, 2, n).astype(float)
    x = rng.normal(size=n) + 0.3 * rng.normal(size=las * schools)[school]
    sd_la, sd_school = rng.choice([0.0, 0.0, 0.1, 0.3, 0.6, 2.0, 15.0], 2)
    y = 0.2 * arm + 0.5 * x + sd_la * rng.normal(size=las)[la] + sd_school * rng.normal(size=las * schools)[school]
    y = y + rng.normal(size=n)
    if rng.random() < 0.2:
        y = y + rng.choice([0.5, 2.0]) * rng.normal(size=las * schools)[school] * x
    columns = [np.ones(n), arm, x]
    if rng.random() < 0.15:
        columns.append(x + 10 ** rng.uniform(-6, -2) * rng.normal(size=n))
    if rng.random() < 0.3:
        columns.append((rng.random(n) < 0.3).astype(float))
    kept = np.flatnonzero(rng.random(n) > (0.2 if rng.random() < 0.3 else 0.0))
    X, y, school, la, x, arm = np.column_stack(columns)[kept], y[kept], school[kept], la[kept], x[kept], arm[kept]
    weights = rng.uniform(0.2, 4.0, len(y)) if rng.random() < 0.2 else None
    return y, X, _random_part(rng, school, la, x, arm), weights, bool(rng.random() < 0.7)


def _random_part(rng, school, la, x, arm):
    ones = np.ones(len(x))
    kind = rng.integers(0, 6)
    if kind == 0:
        return [factor("school", school)]
    if kind == 1:
        return [factor("school", school), factor("la", la)]
    if kind == 2:
        return [factor("school", school, np.column_stack([ones, x])), factor("la", la)]
    if kind == 3:
        slopes = np.column_stack([ones, arm])
        return [factor("la", la, slopes, bool(rng.random() < 0.5)), factor("school", school)]
    if kind == 4:
        return [factor("school", school), factor("rater", rng.integers(0, int(rng.integers(3, 12)), len(x)))]
    return [factor("school", school, np.column_stack([ones, x]), False)]


def rare_trial(seed):
    """One of :data:`RARE`: few rows, odd shapes, extreme scales and outcomes that leave hardly anything to fit."""
    rng = np.random.default_rng([22, seed])
    kind = RARE[seed % len(RARE)]
    groups = int(rng.integers(5, 40))
    sizes = rng.choice([1, 1, 1, 2, 3], groups) if kind == "one-row groups" else rng.integers(2, 15, groups)
    school = np.repeat(np.arange(groups), sizes)
    if kind == "crossed three ways":
        return _ratings(rng)
    la, n = school // 5, len(school)
    x = rng.normal(size=n) + 0.3 * rng.normal(size=groups)[school]
    X = np.column_stack([np.ones(n), school % 2, x])
    y = (
        0.2 * X[:, 1]
        + 0.5 * x
        + rng.choice([0.0, 0.3, 1.0]) * rng.normal(size=groups)[school]
        + rng.normal(size=n)
    )
    slopes = np.column_stack([np.ones(n), x])
    random, correlated = [factor("school", school)], bool(rng.random() < 0.7)
    if kind == "slopes that hardly vary":
        y = y + 10 ** rng.uniform(-4, -0.5) * rng.normal(size=groups)[school] * x
        random = [factor("school", school, slopes, correlated)]
    elif kind == "slopes on two levels":
        random = [factor("school", school, slopes, correlated), factor("la", la, slopes)]
    elif kind == "three correlated coefficients":
        random = [factor("school", school, np.column_stack([slopes, rng.normal(size=n)]))]
    elif kind == "extreme scales":
        y = 10 ** rng.uniform(-8, 8) * (y + 10 ** rng.uniform(0, 6))
        X[:, 2] = 10 ** rng.uniform(-6, 6) * (x + 10 ** rng.uniform(0, 3))
        random = [factor("school", school, np.column_stack([np.ones(n), X[:, 2]]), correlated)]
    elif kind == "hardly any variation":
        y = (rng.random(n) < rng.choice([0.02, 0.1])).astype(float)
    elif kind == "fitted exactly":
        y = X @ [1.0, 2.0, 0.0] if rng.random() < 0.5 else np.full(n, 3.0)
    elif kind == "no variation within groups":
        y = rng.normal(size=groups)[school]
        X = X[:, :2]
    if kind in ("one-row groups", "hardly any variation") and rng.random() < 0.5 and la.max() > 0:
        random.append(factor("la", la))
    return y, X, random, None, bool(rng.random() < 0.7)


RARE = (
    "one-row groups", "slopes that hardly vary", "crossed three ways", "slopes on two levels", "extreme scales",
    "three correlated coefficients", "hardly any variation", "fitted exactly", "no variation within groups",
)  # fmt: skip


def _ratings(rng):
    """Students rate lecturers, who belong to departments that some ratings are given in: three crossed factors."""
    students, lecturers, departments = int(rng.integers(10, 40)), int(rng.integers(5, 20)), int(rng.integers(3, 6))
    n = int(rng.integers(80, 300))
    student, lecturer = rng.integers(0, students, n), rng.integers(0, lecturers, n)
    department = np.where(rng.random(n) < 0.8, lecturer % departments, rng.integers(0, departments, n))
    service = rng.integers(0, 2, n).astype(float)
    y = 3.0 - 0.1 * service + rng.normal(size=n)
    for codes, sd in zip((student, lecturer, department), rng.choice([0.0, 0.1, 0.3, 0.6, 1.5], 3), strict=True):
        y = y + sd * rng.normal(size=codes.max() + 1)[codes]
    y = np.clip(np.round(y), 1, 5) if rng.random() < 0.7 else y
    random = [factor("s", student), factor("d", lecturer), factor("dept", department)]
    return y, np.column_stack([np.ones(n), service]), random, None, bool(rng.random() < 0.5)


def gap(problem, value, restarts, rng):
    """How far the criterion found lies above the best of several searches from random points."""
    diagonal = problem.parameters.diagonal
    edges = [(0.0 if pivot else -1e5, 1e5) for pivot in diagonal]
    best = np.inf
    for _ in range(restarts):
        start = np.where(diagonal, 10 ** rng.uniform(-1.5, 0.8, len(diagonal)), rng.normal(0, 0.5, len(diagonal)))
        found = optimize.minimize(
            problem.criterion.gradient, start, jac=True, method="L-BFGS-B", bounds=edges,
            options={"ftol": 1e-12, "gtol": 1e-6, "maxcor": 20},
        )  # fmt: skip
        best = min(best, float(found.fun))
    return value - best


def check(seed, restarts, draw=trial):
    """Status of one trial and how far its criterion lies above the best restart."""
    y, X, groupings, weights, reml = draw(seed)
    try:
        problem = problem_of(y, X, groupings, reml=reml, weights=weights)
    except (ConvergenceError, DesignError):
        return "refused", 0.0
    solution = solve(problem)
    if solution.minimum.message:
        return "failed", 0.0
    worse = gap(problem, solution.minimum.value, restarts, np.random.default_rng([21, seed]))
    face = solution.minimum.face
    inside = len(face.places) == problem.parameters.size
    slope = solution.minimum.gradient
    assert np.abs(slope).max(initial=0.0) < 1e-3 * np.sqrt(
        1.0 + np.abs(np.diag(solution.minimum.hessian)).max(initial=0.0)
    ), seed
    assert _nothing_downhill(problem, face, solution.minimum.value), seed
    return ("ok" if inside else "boundary"), worse


def _nothing_downhill(problem, face, value):
    """Whether the criterion rises as any variance that is zero grows, alone or in the direction that helps most."""
    _, slopes = problem.criterion.slopes(face.factors)
    for level, (grouping, slope, gamma) in enumerate(
        zip(problem.prepared.groupings, slopes, face.gammas, strict=True)
    ):
        for block in grouping.blocks:
            at = np.ix_(block, block)
            values, vectors = np.linalg.eigh(gamma[at])
            null = vectors[:, values <= 1e-12 * max(values[-1], 1.0)]
            if not null.shape[1]:
                continue
            falls, directions = np.linalg.eigh(null.T @ slope[at] @ null)
            if falls[0] >= 0:
                continue
            direction = null @ directions[:, 0]
            for size in (1e-3, 1e-2, 1e-1):
                moved = [each.copy() for each in face.gammas]
                moved[level][at] += size**2 * np.outer(direction, direction)
                roots = problem.parameters.factors(problem.parameters.theta(moved))
                if problem.criterion.value(roots) < value - TOLERANCE / 10:
                    return False
    return True


def study(seeds, restarts, draw=trial):
    """Statuses, and the trials whose criterion lies above the best restart; rare trials are counted by kind."""
    statuses, worse, worst = Counter(), [], 0.0
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            status, above = check(seed, restarts, draw)
        statuses[status if draw is trial else f"{RARE[seed % len(RARE)]}: {status}"] += 1
        worst = max(worst, above)
        if above > TOLERANCE:
            worse.append((seed, above))
    return {
        "trials": len(seeds), "restarts": restarts, "statuses": dict(sorted(statuses.items())),
        "above_the_best_restart": worse, "largest_gap": worst,
    }  # fmt: skip


def whole_study(common, rare, restarts):
    """Both parts of the record."""
    return {
        "source": "wwc_eval, tests/multilevel/multilevel_trials.py, OMP_NUM_THREADS=1",
        "command": f"python multilevel_trials.py {common} {rare} {restarts}",
        "tolerance": TOLERANCE,
        "common": study(range(common), restarts),
        "rare": study(range(rare), restarts, rare_trial),
    }


if __name__ == "__main__":
    print(json.dumps(whole_study(*(int(text) for text in sys.argv[1:])), indent=1))
