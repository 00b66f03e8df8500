"""Formulas of stepped wedges, cluster crossovers and panels against simulated trials, drawn and analysed independently.

Children are drawn one by one. Exact formulas are held to the test that they describe: generalised least squares at the
planned variances against the normal distribution, or a t test of each cluster's contrast. Approximations are held to the
project's analyses, which estimate the variances. Run as a program it writes the record of 100,000 replicates:
python tests/power/wedge_study.py
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from scipy import special

from wwc_eval.power import Binary, Continuous, PanelDiD, Rate, SteppedWedge

RECORD = Path(__file__).parents[1] / "reference" / "power_wedge_formulas.json"
CHUNK = 2_000


def rejections(estimate, se, df=math.inf):
    """How many replicates reject at 5%, two-sided."""
    bar = -special.ndtri(0.025) if math.isinf(df) else -special.stdtrit(df, 0.025)
    return int((np.abs(estimate) > bar * se).sum())


# --- children of clusters over periods


def children(design):
    """Rows (cluster, period, place) of the children measured; a cohort keeps its places, its new members at the end."""
    sizes = design.sizes.astype(int)
    return np.array([(k, t, i) for k, t in np.ndindex(sizes.shape) for i in range(sizes[k, t])])


def drawn(design, rng, reps, effects, trend=None):
    """Outcomes (reps, rows) of a continuous wedge; ``effects`` (clusters, periods) is what treatment adds to a cell."""
    k, t, i = children(design).T
    sd, icc, cac = float(design.outcome.sd), float(design.icc), float(design.cac)
    K, P, most = design.clusters, design.periods, int(design.sizes.max())
    top = sd * math.sqrt(icc)
    if design.decay is None:
        level = rng.standard_normal((reps, K, 1))
        shift = top * (math.sqrt(cac) * level + math.sqrt(1 - cac) * rng.standard_normal((reps, K, P)))
    else:  # an autoregression, begun at its own spread
        rho, steps = float(design.decay), rng.standard_normal((P, reps, K))
        path = [steps[0]]
        for step in steps[1:]:
            path.append(rho * path[-1] + math.sqrt(1 - rho**2) * step)
        level, shift = None, top * np.stack(path, axis=-1)
    if float(design.effect_sd) > 0:
        r = design.effect_correlation
        slope = rng.standard_normal((reps, K, 1))
        slope = slope if level is None else r * level + math.sqrt(1 - r**2) * slope
        shift = shift + float(design.effect_sd) * slope * np.nan_to_num(design.treatment)
    own = sd * math.sqrt(1 - icc)
    iac = float(design.iac)
    y = (shift + effects + (0.0 if trend is None else trend))[:, k, t]
    if iac > 0:
        stayed = i < np.round((1 - design.churn) * design.sizes[k, t])
        person = rng.standard_normal((reps, K, most))[:, k, i]
        person = np.where(stayed, person, rng.standard_normal((reps, len(k))))
        return y + own * (math.sqrt(iac) * person + math.sqrt(1 - iac) * rng.standard_normal((reps, len(k))))
    return y + own * rng.standard_normal((reps, len(k)))


def planned_weights(design, *, by_child=False):
    """Weights of the children in the generalised least squares estimate at the planned variances, and its SE."""
    k, t, i = children(design).T
    same, gap = np.equal.outer(k, k), np.abs(np.subtract.outer(t, t))
    icc, iac = float(design.icc), float(design.iac)
    kept = np.where(gap == 0, 1.0, float(design.cac)) if design.decay is None else float(design.decay) ** gap
    stayed = i < np.round((1 - design.churn) * design.sizes[k, t])
    person = same & np.equal.outer(i, i) & (stayed[:, None] & stayed | (gap == 0))
    V = same * icc * kept + person * (1 - icc) * np.where(gap == 0, 1.0, iac)
    V = V * float(design.outcome.sd) ** 2
    T = np.nan_to_num(design.treatment)[k, t]
    if float(design.effect_sd) > 0:
        slope = float(design.effect_sd)
        cross = float(design.outcome.sd) * math.sqrt(icc * float(design.cac)) * slope * design.effect_correlation
        V = V + same * (slope**2 * np.outer(T, T) + cross * np.add.outer(T, T))
    X, contrast = model(design, k, t, T)
    cells = np.eye(len(k))
    if design.churn > 0 and not by_child:  # the formula of open cohorts is of the means of their cells
        cell = k * design.periods + t
        cells = np.equal.outer(np.unique(cell), cell) / np.bincount(cell)[np.unique(cell)][:, None]
    weighted = np.linalg.solve(cells @ V @ cells.T, cells @ X)
    bread = np.linalg.inv((cells @ X).T @ weighted)
    return cells.T @ weighted @ bread @ contrast, math.sqrt(contrast @ bread @ contrast)


def model(design, k, t, T):
    """Columns of the model of the rows, and the combination of them that is tested."""
    if design.effect_over_time == "average":
        first = np.array([np.flatnonzero(np.nan_to_num(row) > 0)[0] for row in design.treatment])
        since = np.where(t >= first[k], t - first[k] + 1, 0)
        treated = np.column_stack([since == s for s in np.unique(since[since > 0])]).astype(float)
    else:
        treated = T[:, None]
    time = np.column_stack([np.ones(len(t)), t]) if design.time == "linear" else np.eye(design.periods)[t]
    time = time[:, np.abs(time).sum(axis=0) > 0]
    contrast = np.r_[np.full(treated.shape[1], 1 / treated.shape[1]), np.zeros(time.shape[1])]
    return np.column_stack([treated, time]), contrast


def known(effect, **parts):
    """A wedge by generalised least squares at its planned variances; periods differ, which costs nothing."""
    design = SteppedWedge(**parts) if "treatment" in parts else SteppedWedge.standard(**parts)
    weights, se = planned_weights(design)
    trend = 0.3 * np.arange(design.periods) if design.time == "linear" else np.sin(np.arange(design.periods))
    if design.effect_over_time == "average":  # effects that grow, and average the one tested
        since = design.exposure_time()
        effects = 2.0 * effect * since / (since.max() + 1.0)
    else:
        effects = effect * np.nan_to_num(design.treatment)

    def run(rng, reps):
        return rejections(drawn(design, rng, reps, effects, trend) @ weights, se)

    return design, effect, run


def contrasts(design, effect, weights):
    """A t test, between clusters that start with and without treatment, of a contrast of each cluster's periods."""
    first = design.treatment[:, -1] > 0

    def run(rng, reps):
        y = drawn(design, rng, reps, effect * design.treatment)
        means = y.reshape(reps, design.clusters, design.periods, -1).mean(-1) @ weights
        a, b = means[:, first], means[:, ~first]
        df = design.clusters - 2
        pooled = (a.var(-1, ddof=1) * (a.shape[1] - 1) + b.var(-1, ddof=1) * (b.shape[1] - 1)) / df
        return rejections(a.mean(-1) - b.mean(-1), np.sqrt(pooled * (1 / a.shape[1] + 1 / b.shape[1])), df)

    return design, effect, run


# --- panels of authorities


def panel(design, effect, *, test):
    """AR(1) deviations of each authority, effects of authorities and periods that are anything."""
    count, periods = design.treatment.shape
    T, sd, rho = design.treatment, float(design.noise_sd), float(design.rho)
    people = None if design.population is None else np.broadcast_to(design.population, T.shape)
    D = np.hstack(
        [np.repeat(np.eye(count), periods, axis=0), np.tile(np.eye(periods)[:, 1:], (count, 1)), T.reshape(-1, 1)]
    )
    gap = np.abs(np.subtract.outer(np.arange(periods), np.arange(periods)))
    V = np.zeros((count * periods,) * 2)
    for k in range(count):
        own = sd**2 * rho**gap
        if people is not None:
            own = own + np.diag(float(design.outcome.sd) ** 2 / people[k])
        V[k * periods : (k + 1) * periods, k * periods : (k + 1) * periods] = own
    if design.estimator == "ols":
        weights = np.linalg.pinv(D)[-1]
    else:
        root = np.linalg.solve(V, D)
        weights = np.linalg.solve(D.T @ root, root.T)[-1]
    se = math.sqrt(weights @ V @ weights)
    treated = T.max(axis=1) > 0

    def run(rng, reps):
        y = panel_noise(rng, (reps, count, periods), sd, rho) + effect * T + rng.standard_normal((count, 1)) * 9
        if people is not None:
            y = y + rng.standard_normal(y.shape) * float(design.outcome.sd) / np.sqrt(people)
        y = y + np.cos(np.arange(periods))
        if test == "z":
            return rejections(y.reshape(reps, -1) @ weights, se)
        after = T[treated][0] > 0
        change = y[..., after].mean(-1) - y[..., ~after].mean(-1)
        a, b = change[:, treated], change[:, ~treated]
        pooled = (a.var(-1, ddof=1) * (a.shape[1] - 1) + b.var(-1, ddof=1) * (b.shape[1] - 1)) / (count - 2)
        return rejections(a.mean(-1) - b.mean(-1), np.sqrt(pooled * (1 / a.shape[1] + 1 / b.shape[1])), count - 2)

    return design, effect, run


def panel_noise(rng, shape, sd, rho):
    """Autoregressions begun at their own spread."""
    steps = rng.standard_normal(shape)
    for t in range(1, shape[-1]):
        steps[..., t] = rho * steps[..., t - 1] + math.sqrt(1 - rho**2) * steps[..., t]
    return sd * steps


WEDGE = {"clusters": 8, "steps": 4, "cell_size": 6, "icc": 0.1}
GAPS = np.array(
    [[0, 0, np.nan, 1, 1], [0, 0, 0, np.nan, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 1], [np.nan, 1, 1, 1, 1]]
)
UNEVEN = np.array([[3, 4, 5, 6, 7], [9, 9, 4, 4, 4], [2, 3, 2, 3, 2], [12, 6, 6, 3, 3], [5, 5, 5, 5, 10]])
TREATED = {"treated": 6, "control": 14, "pre": 4, "post": 3, "noise_sd": 2.0, "rho": 0.5}
STARTS = {"starts": [2, 2, 3, 4, 5], "control": 7, "periods": 7, "noise_sd": 2.0, "rho": 0.6, "df": "z"}

EXACT = {
    "Hussey-Hughes, 8 clusters of 6 over 5 periods": known(0.55, **WEDGE),
    "nested exchangeable, CAC 0.6": known(0.6, **WEDGE, cac=0.6),
    "discrete-time decay, 0.7": known(0.6, **WEDGE, decay=0.7),
    "closed cohort, IAC 0.5, CAC 0.8": known(0.45, **WEDGE, cac=0.8, iac=0.5),
    "open cohort of 10, 30% new, IAC 0.6": known(0.35, **WEDGE | {"cell_size": 10}, iac=0.6, churn=0.3),
    "effects that differ between clusters": known(0.7, **WEDGE, cac=0.8, effect_sd=0.3, effect_correlation=0.4),
    "average over exposure times": known(0.85, **WEDGE, effect_over_time="average"),
    "linear time": known(0.55, **WEDGE, time="linear"),
    "unequal and absent cells, 5 clusters": known(0.95, treatment=GAPS, cell_size=UNEVEN, icc=0.08, cac=0.7),
    "crossover of 8 clusters, two periods, t": contrasts(
        SteppedWedge.crossover(clusters=8, cell_size=12, icc=0.1, cac=0.7, df="clusters"), 0.55, [-0.5, 0.5]
    ),
    "crossover of 9 clusters, closed cohort, t": contrasts(
        SteppedWedge.crossover(clusters=9, cell_size=12, icc=0.1, cac=0.7, iac=0.4, df="clusters"),
        0.42,
        [-0.5, 0.5],
    ),
    "two arms of 6 clusters over 3 periods, t": contrasts(
        SteppedWedge.parallel(clusters=12, periods=3, cell_size=8, icc=0.1, cac=0.8, df="clusters"),
        0.65,
        [1 / 3] * 3,
    ),
    "panel, 6 treated of 20 at once, AR(1) 0.5, t": panel(PanelDiD.standard(**TREATED), 2.6, test="t"),
    "panel of means of 40 children, t": panel(
        PanelDiD.standard(**TREATED, population=40.0, outcome=Continuous(sd=8.0)), 3.0, test="t"
    ),
    "panel, cohorts, least squares, z": panel(PanelDiD.staggered(**STARTS), 2.6, test="z"),
    "panel, cohorts, generalised least squares, z": panel(
        PanelDiD.staggered(**STARTS, estimator="gls"), 2.4, test="z"
    ),
}


# --- working variances of risks and rates


def counted(control, effect, *, clusters, size, icc, cac, rate=False):
    """Events of cells, whose true risks vary evenly between clusters and periods; least squares at the true variances."""
    outcome = Rate(control=control) if rate else Binary(control=control)
    design = SteppedWedge.standard(clusters=clusters, steps=4, cell_size=size, icc=icc, cac=cac, outcome=outcome)
    T = design.treatment
    mean = control * np.where(T > 0, effect, 1.0) if rate else control + effect * T
    own = mean if rate else (1 - icc) * mean * (1 - mean)
    spread = mean * math.sqrt(icc / (1 - icc) / control) if rate else np.sqrt(icc * mean * (1 - mean))
    k, t = np.divmod(np.arange(T.size), T.shape[1])
    kept = np.where(np.equal.outer(t, t), 1.0, cac) * np.equal.outer(k, k)
    V = kept * np.outer(spread, spread) + np.diag((own / size).ravel())
    X = np.column_stack([T.ravel(), np.eye(T.shape[1])[t]])
    solved = np.linalg.solve(V, X)
    bread = np.linalg.inv(X.T @ solved)
    weights, se = solved @ bread[0], math.sqrt(bread[0, 0])

    def run(rng, reps):
        u = rng.uniform(-1, 1, (reps, clusters, 1)) * math.sqrt(3 * cac)
        u = u + rng.uniform(-1, 1, (reps, *T.shape)) * math.sqrt(3 * (1 - cac))
        true = np.maximum(mean + spread * u, 0.0)
        events = rng.poisson(true * size) if rate else rng.binomial(size, true)
        return rejections((events / size).reshape(reps, -1) @ weights, se)

    return design, effect, run


WORKING = {
    "22% to 14%, 8 clusters of 60": counted(0.22, -0.08, clusters=8, size=60, icc=0.02, cac=0.8),
    "22% to 31%, 8 clusters of 60": counted(0.22, 0.09, clusters=8, size=60, icc=0.02, cac=0.8),
    "7% to 4%, 12 clusters of 150": counted(0.07, -0.03, clusters=12, size=150, icc=0.005, cac=0.8),
    "7% to 2%, 8 clusters of 60": counted(0.07, -0.05, clusters=8, size=60, icc=0.005, cac=0.8),
    "50% to 40%, 8 clusters of 60": counted(0.5, -0.1, clusters=8, size=60, icc=0.02, cac=0.8),
    "rate 0.15, ratio 0.62, 12 clusters of 60": counted(
        0.15, 0.62, clusters=12, size=60, icc=0.02, cac=0.8, rate=True
    ),
    "rate 0.15, ratio 1.5, 12 clusters of 60": counted(
        0.15, 1.5, clusters=12, size=60, icc=0.02, cac=0.8, rate=True
    ),
}


def by_variance(design, effect):
    """Power by every working variance."""
    if isinstance(design.outcome, Rate):
        forms = {"difference": {"test": "difference"}, "log": {"test": "log"}}
    else:
        forms = {name: {"variance": name} for name in VARIANCES}
    return {
        name: float(design.replace(outcome=design.outcome.replace(**form)).power(effect))
        for name, form in forms.items()
    }


def counts_wedge(clusters, **parts):
    return SteppedWedge.standard(clusters=clusters, steps=4, cell_size=60, icc=0.02, cac=0.8, **parts)


def continuous_wedge(clusters):
    return SteppedWedge.standard(clusters=clusters, steps=4, cell_size=30, icc=0.05, cac=0.8)


# name: (design, effect, analyses that it is held to, degrees of freedom of its formula)
ANALYSED = {
    "continuous wedge, 8 clusters": (continuous_wedge(8), 0.3, ("mixed_model", "mixed_model_z", "regression_cr2")),
    "continuous wedge, 12 clusters": (
        continuous_wedge(12),
        0.25,
        ("mixed_model", "mixed_model_z", "regression_cr2"),
    ),
    "continuous wedge, 24 clusters": (
        continuous_wedge(24),
        0.18,
        ("mixed_model", "mixed_model_z", "regression_cr2"),
    ),
    "binary wedge, 22% to 14%, 8 clusters": (
        counts_wedge(8, outcome=Binary(control=0.22)),
        -0.08,
        ("mixed_model", "regression_cr2"),
    ),
    "binary wedge, 22% to 15%, 12 clusters": (
        counts_wedge(12, outcome=Binary(control=0.22)),
        -0.07,
        ("mixed_model", "regression_cr2"),
    ),
    "rate wedge, ratio 0.62, 12 clusters": (
        counts_wedge(12, outcome=Rate(control=0.15)),
        0.62,
        ("mixed_model", "regression_cr2"),
    ),
    "panel, 10 of 30 treated at once": (
        PanelDiD.standard(treated=10, control=20, pre=4, post=3, noise_sd=2.0, rho=0.5),
        1.6,
        ("regression_cr1", "regression_cr2", "regression_cr3", "permutation"),
    ),
    "panel, 3 of 40 treated at once": (
        PanelDiD.standard(treated=3, control=37, pre=4, post=3, noise_sd=2.0, rho=0.5),
        2.6,
        ("regression_cr1", "regression_cr2", "regression_cr3", "permutation"),
    ),
    "panel, 12 of 40 treated in 4 cohorts": (
        PanelDiD.staggered(starts=[2, 3, 4, 5] * 3, control=28, periods=8, noise_sd=2.0, rho=0.5),
        1.4,
        ("regression_cr1", "regression_cr2", "regression_cr3", "permutation"),
    ),
    "panel of rates, ratio 0.85, 15 of 45 treated": (
        PanelDiD.standard(
            treated=15,
            control=30,
            pre=4,
            post=3,
            noise_sd=0.001,
            rho=0.5,
            population=20_000.0,
            outcome=Rate(control=0.006),
        ),
        0.85,
        ("regression_cr1", "regression_cr2", "permutation"),
    ),
}
DFS = ("z", "satterthwaite", "clusters", "between_within")
VARIANCES = ("unpooled", "pooled", "null", "arcsine", "logit")


def formulas(design, effect):
    """Power of a design by every choice that its formula leaves: df, and for risks the working variance."""
    found = {}
    if isinstance(design, PanelDiD):
        return {df: float(design.replace(df=df).power(effect)) for df in ("clusters", "z")}
    for df in DFS:
        found[df] = float(design.replace(df=df).power(effect))
    return found


def simulated(study, reps, seed):
    """Share that rejects and its Monte Carlo error."""
    rng = np.random.default_rng(seed)
    hits = sum(study[2](rng, min(CHUNK, reps - done)) for done in range(0, reps, CHUNK))
    share = hits / reps
    return share, math.sqrt(share * (1 - share) / reps)


def analysed(name, reps, seed):
    """Power of the analyses, and of the formulas, of one approximation."""
    design, effect, analyses = ANALYSED[name]
    found = design.simulate(effect, reps, rng=seed, analysis=analyses)
    powers = {record.analysis: record.power for record in found.records}
    first = {n: int((found.fits[n].p_value[:500] <= 0.05 * (1 + 1e-12)).sum()) for n in analyses}
    return {"formula": formulas(design, effect), "simulated": powers, "first_500": first, "reps": reps}


def working(reps):
    """Formulas by working variance, and the simulated test."""
    found = {}
    for at, (name, study) in enumerate(WORKING.items()):
        share, error = simulated(study, reps, [20261127, 100 + at])
        found[name] = {"formula": by_variance(*study[:2]), "simulated": share, "mc_se": error}
    return found


def main(reps=100_000):
    record = {
        "command": "python tests/power/wedge_study.py",
        "reps": reps,
        "seed": 20261127,
        "exact": [],
        "analysed": {},
    }
    for at, (name, study) in enumerate(EXACT.items()):
        share, error = simulated(study, reps, [20261127, at])
        formula = float(study[0].power(study[1]))
        record["exact"].append({"study": name, "formula": formula, "simulated": share, "mc_se": error})
        print(f"{name:55s} {formula:.4f} {share:.4f} {(formula - share) / error:+.2f}", flush=True)
    record["working"] = working(reps)
    for name in ANALYSED:
        record["analysed"][name] = analysed(name, reps, 20261127)
        print(name, record["analysed"][name], flush=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
