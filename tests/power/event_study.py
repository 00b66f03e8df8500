"""Times to an event of children in clusters: the formula against simulated trials with a generator of their own.

Hazards are proportional in the whole population (children of a cluster joined by a normal copula; the ICC is that of their
martingale residuals) or within clusters (hazards that vary by a gamma factor with CV k). Run as a program it writes the
record of 100,000 replicates: python tests/power/event_study.py
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from scipy import optimize, special

from wwc_eval.power import Level, TimeToEvent, Trial
from wwc_eval.power.simulation.cox_fits import Times, fit_cox, fit_log_rates

RECORD = Path(__file__).parents[1] / "reference" / "power_events.json"
CHUNK = 500
GRID = (np.arange(400) + 0.5) / 400
X, W = np.polynomial.hermite_e.hermegauss(80)
W = W / W.sum()


def residual_icc(r, p):
    """ICC of the martingale residuals at follow-up 1 when normal scores of a cluster correlate by r."""
    hazard = -math.log1p(-p)

    def survives(t, c):
        return special.ndtr(-(special.ndtri(-np.expm1(-hazard * t)) - math.sqrt(r) * c) / math.sqrt(1 - r))

    # E[M | c] = P(event | c) - hazard E[time at risk | c]
    own = [1 - survives(1.0, c) - hazard * survives(GRID, c).mean() for c in X]
    return float(W @ np.square(own)) / p


def copula(j, m, icc, p, ratio):
    """Proportional hazards in the population, ICC of the residuals as given."""
    design = Trial(
        levels=[Level("child", m), Level("team", j, icc=icc)], assigned="team", outcome=TimeToEvent(control=p)
    )
    r = optimize.brentq(lambda each: residual_icc(each, p) - icc, 1e-9, 0.95) if icc > 0 else 0.0
    cluster = np.repeat(np.arange(j), m)
    arm = cluster < j // 2
    hazard = -math.log1p(-p) * np.where(arm, ratio, 1.0)

    def draw(rng, reps):
        z = math.sqrt(r) * rng.standard_normal((reps, j))[:, cluster]
        z += math.sqrt(1 - r) * rng.standard_normal(z.shape)
        time = -special.log_ndtr(-z) / hazard
        return Times(time=np.minimum(time, 1.0), event=time < 1.0, treated=arm, cluster=cluster)

    return design, ratio, draw


def frailty(j, m, k, p, ratio):
    """Proportional hazards within clusters, whose hazards have CV k; p is the control arm's probability in all."""
    design = Trial(
        levels=[Level("child", m), Level("team", j, k=k)], assigned="team", outcome=TimeToEvent(control=p)
    )
    cluster = np.repeat(np.arange(j), m)
    arm = cluster < j // 2
    hazard = np.where(arm, ratio, 1.0) * math.expm1(-(k**2) * math.log1p(-p)) / k**2

    def draw(rng, reps):
        factor = rng.gamma(k**-2, k**2, (reps, j))[:, cluster]
        time = rng.standard_exponential(factor.shape) / (factor * hazard)
        return Times(time=np.minimum(time, 1.0), event=time < 1.0, treated=arm, cluster=cluster)

    return design, ratio, draw


STUDIES = {
    "16 teams of 20, 40% events, ICC 0.02": copula(16, 20, 0.02, 0.4, 0.52),
    "16 teams of 20, 40% events, ICC 0.10": copula(16, 20, 0.10, 0.4, 0.38),
    "40 teams of 12, 70% events, ICC 0.05": copula(40, 12, 0.05, 0.7, 0.68),
    "60 teams of 20, 40% events, ICC 0.05": copula(60, 20, 0.05, 0.4, 0.73),
    "8 teams of 100, 20% events, ICC 0.01": copula(8, 100, 0.01, 0.2, 0.48),
    "8 teams of 40, 20% events, ICC 0.02, rise": copula(8, 40, 0.02, 0.2, 2.5),
    "30 teams of 20, 30% events, ICC 0.02, rise": copula(30, 20, 0.02, 0.3, 1.55),
    "16 teams of 20, 40% events, k 0.25": frailty(16, 20, 0.25, 0.4, 0.52),
    "16 teams of 20, 40% events, k 0.60": frailty(16, 20, 0.6, 0.4, 0.38),
    "40 teams of 12, 80% events, k 0.30": frailty(40, 12, 0.3, 0.8, 0.67),
    "60 teams of 20, 40% events, k 0.30": frailty(60, 20, 0.3, 0.4, 0.74),
    "8 teams of 100, 20% events, k 0.20": frailty(8, 100, 0.2, 0.2, 0.48),
    "24 teams of 12, 15% events, k 0.30": frailty(24, 12, 0.3, 0.15, 0.34),
}
TESTS = {
    "cox_cr1": lambda times: fit_cox(times, robust=True),
    "cox": lambda times: fit_cox(times, robust=False),
    "cluster_summaries": fit_log_rates,
}


def rejections(name, reps, seed):
    """Share of replicates in which each test rejects."""
    rng = np.random.default_rng(seed)
    hits = dict.fromkeys(TESTS, 0)
    for done in range(0, reps, CHUNK):
        times = STUDIES[name][2](rng, min(CHUNK, reps - done))
        for test, fit in TESTS.items():
            hits[test] += int((fit(times).p_value <= 0.05).sum())
    return {test: count / reps for test, count in hits.items()}


def formula(name, variance="schoenfeld"):
    """Power by the formula, J - 2 degrees of freedom."""
    design, ratio, _ = STUDIES[name]
    return float(design.replace(outcome=design.outcome.replace(variance=variance)).power(ratio))


def main(reps=100_000):
    record = {"command": "python tests/power/event_study.py", "reps": reps, "seed": 20261127, "rows": {}}
    for at, name in enumerate(STUDIES):
        found = {"formula": formula(name), "formula_events": formula(name, "events")}
        record["rows"][name] = found | rejections(name, reps, [20261127, at])
        print(name, record["rows"][name], flush=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
