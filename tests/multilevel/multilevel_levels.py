"""How often each inference rejects a true null, and covers: seven designs, 4 to 20 clusters.

``python multilevel_levels.py 4000 1000`` runs the study (about a quarter of an hour) and prints its record as JSON.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
from scipy import special

from wwc_eval.errors import WwcError
from wwc_eval.multilevel import multilevel_model, refit_many
from wwc_eval.multilevel.engine.solve import problem_of, solve
from wwc_eval.multilevel.small_sample.robust import mixed_robust

CLUSTERS = (4, 6, 8, 12, 20)
BATCHED = ("wald", "satterthwaite", "kenward_roger")
ROBUST = ("CR2", "CR3")
METHODS = (*BATCHED, *ROBUST, "cluster_means")
LABELS = dict(zip(METHODS, ("Wald", "Satterthwaite", "Kenward-Roger", "CR2", "CR3", "cluster means"), strict=True))


def cluster_trial(clusters, balanced, rng):
    """Half of the clusters treated; 20 children in each, or 5 to 60."""
    sizes = np.full(clusters, 20) if balanced else np.resize([5, 60, 12, 30], clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    frame = pd.DataFrame({"cluster": cluster, "treat": cluster % 2, "x": rng.normal(size=len(cluster))})

    def outcome(reps):
        u = rng.normal(size=(reps, clusters))[:, cluster] * 0.1**0.5
        return 0.4 * frame.x.to_numpy() + u + 0.9**0.5 * rng.normal(size=(reps, len(cluster)))

    return frame, "y ~ treat + x + (1 | cluster)", "cluster", outcome


def within_authorities(clusters, varying, rng):
    """Six schools in each authority, half of them treated; the effect may vary between authorities (SD 0.3)."""
    school = np.repeat(np.arange(6 * clusters), 15)
    la = school // 6
    frame = pd.DataFrame({"la": la, "school": school, "treat": school % 2})
    spread = 0.3 if varying else 0.0

    def outcome(reps):
        u = 0.3 * rng.normal(size=(reps, clusters))[:, la] + 0.3 * rng.normal(size=(reps, 6 * clusters))[:, school]
        effect = spread * rng.normal(size=(reps, clusters))[:, la] * frame.treat.to_numpy()
        return u + effect + rng.normal(size=(reps, len(school)))

    return frame, "y ~ treat + (1 | la/school)", "la", outcome


def stepped_wedge(clusters, drift, rng, own_term=False):
    """Six periods, authorities crossing over in turn; authorities may drift apart (SD 0.15 by period)."""
    cell = np.repeat(np.arange(6 * clusters), 20)
    la, period = cell // 6, cell % 6
    start = 1 + np.arange(clusters) * 5 // clusters
    treated = (period >= start[la]).astype(int)
    frame = pd.DataFrame({"la": la, "period": [f"p{k}" for k in period], "treat": treated})
    spread = 0.15 if drift else 0.0

    def outcome(reps):
        u = 0.3 * rng.normal(size=(reps, clusters))[:, la]
        return u + spread * rng.normal(size=(reps, 6 * clusters))[:, cell] + rng.normal(size=(reps, len(cell)))

    random = "(1 | la/period)" if own_term else "(1 | la)"
    return frame, f"y ~ treat + period + {random}", "la", outcome


DESIGNS = {
    "cluster trial, equal sizes": lambda g, rng: cluster_trial(g, True, rng),
    "cluster trial, sizes 5 to 60": lambda g, rng: cluster_trial(g, False, rng),
    "schools within authorities": lambda g, rng: within_authorities(g, False, rng),
    "the same, effect varies by authority": lambda g, rng: within_authorities(g, True, rng),
    "stepped wedge": lambda g, rng: stepped_wedge(g, False, rng),
    "stepped wedge with drift": lambda g, rng: stepped_wedge(g, True, rng),
    "stepped wedge with drift, in the model": lambda g, rng: stepped_wedge(g, True, rng, own_term=True),
}


def cell(design, clusters, reps, robust_reps, seed=0):
    """Share of true nulls rejected at 5%, which is one minus the coverage of the 95% interval."""
    rng = np.random.default_rng([30, seed, clusters, list(DESIGNS).index(design)])
    frame, formula, top, outcome = DESIGNS[design](clusters, rng)
    fit = multilevel_model(formula, frame.assign(y=outcome(1)[0]))
    Y = outcome(reps)
    found = {}
    for kind in BATCHED:
        p = refit_many(fit, Y, inference=kind)["p_value"]
        found[kind] = round(float((p <= 0.05).sum() / p.notna().sum()), 4)
    found |= _robust(fit, Y[:robust_reps], top)
    means = _cluster_means(frame, top, Y)
    return found if means is None else found | {"cluster_means": round(float(np.mean(means <= 0.05)), 4)}


def _robust(fit, Y, top):
    """Robust errors need a solution of each outcome; the search begins at the first outcome's."""
    codes = fit.data.grouping(top).codes
    contrast = np.eye(len(fit.terms))[[fit.terms.index("treat")]]
    begin = [np.maximum(gamma, 0.05 * np.eye(len(gamma))) for gamma in fit.core.solution.gammas]
    rejected = {kind: [] for kind in ROBUST}
    for y in Y:
        try:
            solution = solve(problem_of(y, fit.data.design.X, fit.data.groupings), begin)
            robust = {kind: mixed_robust(solution, codes, kind) for kind in ROBUST}
        except WwcError:
            continue
        for kind, each in robust.items():
            se, df = float(contrast[0] @ each.vcov @ contrast[0]) ** 0.5, float(each.df(contrast)[0])
            if np.isfinite(df):
                rejected[kind].append(2 * special.stdtr(df, -abs(contrast[0] @ solution.beta) / se) <= 0.05)
    return {kind: round(float(np.mean(each)), 4) for kind, each in rejected.items()}


def _cluster_means(frame, top, Y):
    """p-values of t tests of one number a cluster: the mean, or the difference of the arms' means in it.

    Nothing where neither is the effect: in a stepped wedge the arms of an authority are different periods.
    """
    if "period" in frame:
        return None
    codes, treat = frame[top].to_numpy(), frame.treat.to_numpy()
    clusters = codes.max() + 1
    if "school" not in frame:
        means = np.stack([Y[:, codes == k].mean(axis=1) for k in range(clusters)], axis=1)
        arm = np.array([treat[codes == k][0] for k in range(clusters)])
        one, two = means[:, arm == 1], means[:, arm == 0]
        within = one.var(axis=1, ddof=1) * (one.shape[1] - 1) + two.var(axis=1, ddof=1) * (two.shape[1] - 1)
        se = np.sqrt(within / (clusters - 2) * (1 / one.shape[1] + 1 / two.shape[1]))
        t, df = (one.mean(axis=1) - two.mean(axis=1)) / se, clusters - 2
    else:
        gaps = np.stack(
            [
                Y[:, (codes == k) & (treat == 1)].mean(axis=1) - Y[:, (codes == k) & (treat == 0)].mean(axis=1)
                for k in range(clusters)
            ],
            axis=1,
        )
        t, df = gaps.mean(axis=1) / (gaps.std(axis=1, ddof=1) / np.sqrt(clusters)), clusters - 1
    return 2 * special.stdtr(df, -np.abs(t))


def study(reps, robust_reps, designs=None, clusters=CLUSTERS):
    """Every design at every number of clusters."""
    cells = {
        design: {str(g): cell(design, g, reps, robust_reps) for g in clusters} for design in designs or DESIGNS
    }
    return {
        "source": "wwc_eval, tests/multilevel/multilevel_levels.py, OMP_NUM_THREADS=1",
        "command": f"python multilevel_levels.py {reps} {robust_reps}",
        "reps": reps,
        "robust_reps": robust_reps,
        "nominal": 0.05,
        "rejected": cells,
    }


def table(record):
    """The record as the table of the methods page, in percent."""
    lines = ["| design | clusters | " + " | ".join(LABELS.values()) + " |", "| --- " * 2 + "| ---: " * 6 + "|"]
    for design, cells in record["rejected"].items():
        for clusters, found in cells.items():
            shares = [f"{100 * found[method]:.1f}" if method in found else "" for method in METHODS]
            name = design if clusters == str(CLUSTERS[0]) else ""
            lines.append(f"| {name} | {clusters} | " + " | ".join(shares) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(study(*(int(text) for text in sys.argv[1:] or ("4000", "1000"))), indent=1))
