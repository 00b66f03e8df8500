"""How often each method rejects a true null hypothesis when clusters are randomised.

Run as a program it writes the record that docs/methods/regression.md shows:
``python tests/inference/level_study.py tests/reference/inference_levels.json``.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import special

from wwc_eval.inference.covariance import make_covariance
from wwc_eval.inference.families import FAMILIES
from wwc_eval.inference.glm import solve

METHODS = {
    "classical": ("classical", None),
    "HC2": ("HC2", None),
    "CR0": ("CR0", None),
    "CR1": ("CR1", None),
    "CR1S": ("CR1S", None),
    "CR1 Satterthwaite": ("CR1", "satterthwaite"),
    "CR2 Satterthwaite": ("CR2", None),
    "CR3 Satterthwaite": ("CR3", None),
}
CLUSTERS = (4, 6, 8, 12, 20, 40)
ICC = 0.10


def trial(rng, clusters, family, *, balanced):
    """One trial without effect: outcome, design and clusters; half of the clusters treated, or a quarter."""
    sizes = np.full(clusters, 20) if balanced else rng.integers(5, 81, clusters)
    treated = np.zeros(clusters)
    treated[: max(2, clusters // 2 if balanced else clusters // 4)] = 1
    treated = rng.permutation(treated)
    codes = np.repeat(np.arange(clusters), sizes)
    own = rng.normal(size=clusters)[codes]
    x = rng.normal(size=len(codes))
    X = np.column_stack([np.ones(len(codes)), treated[codes], x])
    if family == "gaussian":
        y = np.sqrt(ICC) * own + 0.4 * x + np.sqrt(1 - ICC) * rng.normal(size=len(codes))
    else:
        spread = np.sqrt(ICC / (1 - ICC) * np.pi**2 / 3)  # ICC on the latent scale
        y = (rng.random(len(codes)) < special.expit(-0.6 + spread * own + 0.4 * x)).astype(float)
    return y, X, codes


def rejections(clusters, family, *, balanced, repeats, seed, methods=tuple(METHODS)):
    """Share of trials in which each method rejects at 5%."""
    rng = np.random.default_rng([seed, clusters, balanced, len(family)])
    count = dict.fromkeys(methods, 0)
    done = 0
    while done < repeats:
        y, X, codes = trial(rng, clusters, family, balanced=balanced)
        solution = solve(y, X, FAMILIES[family])
        if not solution.converged or solution.suspicious:
            continue
        done += 1
        contrast = np.array([0.0, 1.0, 0.0])
        for name in methods:
            kind, df = METHODS[name]
            grouped = {"codes": codes, "cluster": "g"} if kind.startswith("CR") else {}
            covariance = make_covariance(solution.kernel, kind, df=df, **grouped)
            t = abs(solution.beta[1]) / np.sqrt(covariance.variance(contrast))
            degrees = covariance.df(contrast)
            p = 2 * (special.ndtr(-t) if np.isinf(degrees) else special.stdtr(degrees, -t))
            count[name] += p < 0.05
    return {name: float(value / repeats) for name, value in count.items()}


def study(repeats=2000, seed=2026):
    """The whole record."""
    rows = [
        {
            "family": family,
            "balanced": balanced,
            "clusters": clusters,
            "rejections": rejections(clusters, family, balanced=balanced, repeats=repeats, seed=seed),
        }
        for family in ("gaussian", "binomial")
        for balanced in (True, False)
        for clusters in CLUSTERS
    ]
    return {
        "source": "tests/inference/level_study.py",
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
        rates = [f"{100 * case['rejections'][name]:.1f}" for name in METHODS]
        design = "balanced" if case["balanced"] else "unbalanced"
        outcome = "score" if case["family"] == "gaussian" else "0/1"
        lines.append("| " + " | ".join([outcome, design, str(case["clusters"]), *rates]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    with Path(sys.argv[1]).open("w", encoding="utf-8") as file:
        json.dump(study(), file, indent=1)
