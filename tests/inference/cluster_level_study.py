"""How often comparisons of cluster summaries reject a true null hypothesis with few clusters.

Run as a program it writes the record that docs/methods/cluster_summaries.md shows:
``python tests/inference/cluster_level_study.py tests/reference/cluster_summaries_levels.json``.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import special

from wwc_eval.inference.cluster_summaries import _values
from wwc_eval.inference.cluster_tables import ClusterTable
from wwc_eval.inference.cluster_tests import compare
from wwc_eval.inference.families import FAMILIES
from wwc_eval.inference.glm import solve

CLUSTERS = (4, 6, 8, 12)
OUTCOMES = {"score": "gaussian", "0/1": "binomial", "rate": "poisson"}
METHODS = (
    "difference",
    "Welch",
    "by size",
    "given x",
    "given x and z",
    "ratio",
    "ratio given x",
    "pairs",
    "pairs given x",
)
ICC = 0.10


def trial(rng, clusters, outcome, *, balanced):
    """Rows of one trial without effect: outcome, exposure, covariate of the row and of the cluster, cluster."""
    sizes = np.full(clusters, 20) if balanced else rng.integers(5, 81, clusters)
    codes = np.repeat(np.arange(clusters), sizes)
    z = rng.normal(size=clusters)
    own = rng.normal(size=clusters)
    x = rng.normal(size=len(codes)) + 0.5 * z[codes]
    part = 0.4 * x + np.sqrt(ICC) * (0.6 * z + 0.8 * own)[codes]
    exposure = np.ones(len(codes))
    if outcome == "score":
        y = part + np.sqrt(1 - ICC) * rng.normal(size=len(codes))
    elif outcome == "0/1":
        y = (rng.random(len(codes)) < special.expit(-0.6 + part)).astype(float)
    else:
        exposure = rng.uniform(0.5, 2.0, len(codes))
        y = rng.poisson(exposure * np.exp(-0.5 + part)).astype(float)
    return y, exposure, x, z, codes


def treated(rng, clusters, z, *, balanced, paired):
    """Arm of each cluster and its pair: half of them (a third where unbalanced), or one of each pair alike in z."""
    if paired:
        pair = np.empty(clusters, dtype=np.intp)
        pair[np.argsort(z)] = np.arange(clusters) // 2
        first = rng.integers(0, 2, clusters // 2)
        arm = np.empty(clusters, dtype=np.intp)
        for k in range(clusters // 2):
            arm[np.flatnonzero(pair == k)] = [first[k], 1 - first[k]]
        return arm, pair
    arm = np.zeros(clusters, dtype=np.intp)
    arm[: max(2, clusters // 2 if balanced else clusters // 3)] = 1
    return rng.permutation(arm), np.zeros(clusters, dtype=np.intp)


def expected(y, exposure, columns, codes, outcome):
    """Sum that a regression without the arm expects of each cluster."""
    family = FAMILIES[OUTCOMES[outcome]]
    X = np.column_stack([np.ones(len(y)), *columns])
    offset = np.log(exposure) if outcome == "rate" else None
    solution = solve(y, X, family, offset=offset)
    return np.bincount(codes, weights=family.mean(solution.eta)) if solution.converged else None


def p_value(table, scale, kind, weights=None):
    """Two-sided p-value of a comparison."""
    values, _ = _values(table, scale)
    found = compare(table, values, kind=kind, weights=weights)
    if not found.se[0] > 0:
        return 1.0
    return float(2 * special.stdtr(found.df[0], -abs(found.effect[0] / found.se[0])))


def p_values(rng, clusters, outcome, *, balanced, methods):
    """p-values of one trial by method; None where the first stage has no fit."""
    y, exposure, x, z, codes = trial(rng, clusters, outcome, balanced=balanced)
    allocations = {paired: treated(rng, clusters, z, balanced=balanced, paired=paired) for paired in (False, True)}
    stage = {
        "": None,
        "given x": expected(y, exposure, [x], codes, outcome),
        "given x and z": expected(y, exposure, [x, z[codes]], codes, outcome),
    }
    if any(value is None for name, value in stage.items() if name):
        return None
    found = {}
    for method in methods:
        paired, ratio = method.startswith("pairs"), method.startswith("ratio")
        arm, pair = allocations[paired]
        first = next((name for name in reversed(stage) if name and method.endswith(name)), "")
        if paired and first:
            indicators = [(pair[codes] == k) * 1.0 for k in range(1, clusters // 2)]
            fitted = expected(y, exposure, [x, *indicators], codes, outcome)
        else:
            fitted = stage[first]
        table = ClusterTable(
            labels=tuple(map(str, range(clusters))), arms=(0, 1), strata=tuple(range(clusters // 2)) if paired else (),
            arm=arm, stratum=pair, rows=np.bincount(codes), size=np.bincount(codes, weights=exposure),
            total=np.bincount(codes, weights=y), expected=fitted, within=np.nan,
            covariates=z[:, None] if first.endswith("z") else np.zeros((clusters, 0)),
            design=None, stage_one=None, factor=False, codes=codes, source=None,
        )  # fmt: skip
        kind = {"Welch": "welch", "by size": "robust"}.get(method, "pooled")
        scale = "rate_ratio" if ratio else "difference"
        found[method] = p_value(table, scale, kind, table.size if method == "by size" else None)
    return found


def asked(outcome, clusters, *, balanced):
    """Methods that a design has."""
    left = [name for name in METHODS if balanced or not name.startswith("pairs")]
    left = [name for name in left if outcome != "score" or not name.startswith("ratio")]
    return [name for name in left if clusters > 4 or name != "pairs given x"]


def rejections(clusters, outcome, *, balanced, repeats, seed):
    """Share of trials in which each method rejects at 5%."""
    rng = np.random.default_rng([seed, clusters, balanced, len(outcome)])
    methods = asked(outcome, clusters, balanced=balanced)
    count, done = dict.fromkeys(methods, 0), 0
    while done < repeats:
        found = p_values(rng, clusters, outcome, balanced=balanced, methods=methods)
        if found is None:
            continue
        done += 1
        for name, p in found.items():
            count[name] += p < 0.05
    return {name: value / repeats for name, value in count.items()}


def study(repeats=3000, seed=2026):
    """The whole record."""
    rows = [
        {
            "outcome": outcome,
            "balanced": balanced,
            "clusters": clusters,
            "rejections": rejections(clusters, outcome, balanced=balanced, repeats=repeats, seed=seed),
        }
        for outcome in OUTCOMES
        for balanced in (True, False)
        for clusters in CLUSTERS
    ]
    return {
        "source": "tests/inference/cluster_level_study.py",
        "repeats": repeats,
        "seed": seed,
        "level": 0.05,
        "icc": ICC,
        "cases": rows,
    }


def table(record):
    """The record as the table of the documentation."""
    head = ("outcome", "design", "clusters", *METHODS)
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    for case in record["cases"]:
        rates = [f"{100 * case['rejections'][name]:.1f}" if name in case["rejections"] else "" for name in METHODS]
        design = "balanced" if case["balanced"] else "unbalanced"
        lines.append("| " + " | ".join([case["outcome"], design, str(case["clusters"]), *rates]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("w", encoding="utf-8") as file:
        json.dump(study(), file, indent=1)
