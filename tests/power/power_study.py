"""Power formulas against simulated trials, drawn child by child and analysed by the test that each formula describes.

Run as a program it writes the record of 100,000 replicates that the tests and the page of methods use:
python tests/power/power_study.py
"""

import json
import math
from pathlib import Path

import numpy as np
from scipy import special

from wwc_eval.power import Baseline, Binary, Level, Rate, TimeToEvent, TreatedGroups, Trial

RECORD = Path(__file__).parents[1] / "reference" / "power_formulas.json"
CHUNK = 5_000


def t_test(estimate, variance, df, alpha=0.05, sides=2):
    """Share of replicates that reject."""
    bar = -special.stdtrit(df, alpha / sides)
    t = estimate / np.sqrt(variance)
    return (np.abs(t) > bar if sides == 2 else t > bar).sum()


def pooled(treated, control):
    """Difference in means, its pooled variance and df; units along the last axis."""
    n1, n0 = treated.shape[-1], control.shape[-1]
    within = treated.var(axis=-1, ddof=1) * (n1 - 1) + control.var(axis=-1, ddof=1) * (n0 - 1)
    df = n1 + n0 - 2
    return treated.mean(-1) - control.mean(-1), within / df * (1 / n1 + 1 / n0), df


def nested(rng, reps, sizes, shares, fixed=None):
    """Sum of normal effects at every level; sizes and shares from the top down, the last axis the lowest."""
    total = 0.0
    for depth, share in enumerate(shares):
        shape = (reps, *sizes[: depth + 1], *(1 for _ in sizes[depth + 1 :]))
        total = total + math.sqrt(share) * rng.standard_normal(shape)
    return total if fixed is None else total + fixed


# each study: (trial, effect, options of .power, function of rng and reps that counts rejections, exact?)


def individuals(n1, n0, effect, sides=2):
    design = Trial(levels=[Level("child", n1 + n0)], assigned="child", allocation=n1 / (n1 + n0))

    def run(rng, reps):
        y1, y0 = rng.standard_normal((reps, n1)) + effect, rng.standard_normal((reps, n0))
        return t_test(*pooled(y1, y0), sides=sides)

    return design, effect, {"sides": sides}, run


def clusters(n, j1, j0, icc, effect):
    design = Trial(
        levels=[Level("child", n), Level("team", j1 + j0, icc=icc)], assigned="team", allocation=j1 / (j1 + j0)
    )

    def run(rng, reps):
        means = nested(rng, reps, (j1 + j0, n), (icc, 1 - icc)).mean(-1)
        return t_test(*pooled(means[:, :j1] + effect, means[:, j1:]))

    return design, effect, {}, run


def three_levels(n, m, k, icc2, icc3, effect):  # noqa: PLR0917
    levels = [Level("child", n), Level("class", m, icc=icc2), Level("school", k, icc=icc3)]
    design = Trial(levels=levels, assigned="school")

    def run(rng, reps):
        means = nested(rng, reps, (k, m, n), (icc3, icc2, 1 - icc2 - icc3)).mean((-1, -2))
        return t_test(*pooled(means[:, : k // 2] + effect, means[:, k // 2 :]))

    return design, effect, {}, run


def random_blocks(n, j, icc, omega, effect):
    levels = [Level("child", n), Level("school", j, icc=icc, effect_heterogeneity=omega)]
    design = Trial(levels=levels, assigned="child")

    def run(rng, reps):
        y = nested(rng, reps, (j, n), (icc, 1 - icc))
        gap = y[..., : n // 2].mean(-1) - y[..., n // 2 :].mean(-1) + effect
        gap = gap + math.sqrt(icc * omega) * rng.standard_normal((reps, j))
        return t_test(gap.mean(-1), gap.var(-1, ddof=1) / j, j - 1)

    return design, effect, {}, run


def fixed_blocks(n, m, k, icc, effect, block_effects):  # noqa: PLR0917
    levels = [Level("child", n), Level("class", m, icc=icc), Level("school", k)]
    design = Trial(levels=levels, assigned="class", block_effects=block_effects)

    def run(rng, reps):
        y = nested(rng, reps, (k, m, n), (0.0, icc, 1 - icc)).mean(-1) + rng.standard_normal((k, 1))
        y[..., : m // 2] += effect
        y1, y0 = y[..., : m // 2], y[..., m // 2 :]
        estimate = (y1.mean(-1) - y0.mean(-1)).mean(-1)
        if block_effects == "fixed":
            rest = y1.var(-1, ddof=1).sum(-1) * (m // 2 - 1) + y0.var(-1, ddof=1).sum(-1) * (m // 2 - 1)
            df = k * (m - 2)
        else:
            arm = np.where(np.arange(m) < m // 2, 0.5, -0.5)
            centred = y - y.mean(-1, keepdims=True) - estimate[:, None, None] * arm
            rest, df = (centred**2).sum((-1, -2)), k * (m - 1) - 1
        return t_test(estimate, rest / df * 4 / (k * m), df)

    return design, effect, {}, run


def interaction(n, effect):
    design = Trial(levels=[Level("child", n)], assigned="child").factorial().interaction

    def run(rng, reps):
        y = rng.standard_normal((reps, 4, n // 4))
        means = y.mean(-1)
        estimate = means[:, 0] - means[:, 1] - means[:, 2] + means[:, 3] + effect
        return t_test(estimate, y.var(-1, ddof=1).mean(-1) * 16 / n, n - 4)

    return design, effect, {}, run


def cluster_moderator(n, j, icc, effect):
    design = Trial(levels=[Level("child", n), Level("team", j, icc=icc)], assigned="team").moderator(
        "team", share=0.5
    )

    def run(rng, reps):
        y = nested(rng, reps, (4, j // 4, n), (0.0, icc, 1 - icc)).mean(-1)
        means = y.mean(-1)
        estimate = means[:, 0] - means[:, 1] - means[:, 2] + means[:, 3] + effect
        return t_test(estimate, y.var(-1, ddof=1).mean(-1) * 16 / j, j - 4)

    return design, effect, {}, run


def margin(n, lower):
    design = Trial(levels=[Level("child", n)], assigned="child").non_inferiority(-lower)

    def run(rng, reps):
        y = rng.standard_normal((reps, n))
        estimate, variance, df = pooled(y[:, : n // 2], y[:, n // 2 :])
        return t_test(estimate + lower, variance, df, alpha=0.025, sides=1)

    return design, 0.0, {}, run


def uneven(n, cv, j, icc, effect, method):  # noqa: PLR0917
    """Gamma sizes; plain means, means by size, or the best weights for the true ICC; t with J - 2 df."""
    levels = [Level("child", n, size_cv=cv), Level("team", j, icc=icc)]
    design = Trial(levels=levels, assigned="team", size_method=method)

    def run(rng, reps):
        size = np.maximum(np.round(rng.gamma(1 / cv**2, n * cv**2, (reps, j))), 1)
        means = math.sqrt(icc) * rng.standard_normal((reps, j))
        means = means + rng.standard_normal((reps, j)) * np.sqrt((1 - icc) / size)
        means[:, : j // 2] += effect
        weight = {
            "unweighted": np.ones_like(size),
            "eldridge": size,
            "taylor": 1 / (icc + (1 - icc) / size),
        }[method]
        arms = []
        for part in (slice(0, j // 2), slice(j // 2, j)):
            w, y = weight[:, part], means[:, part]
            mean = (w * y).sum(-1) / w.sum(-1)
            own = w / w.sum(-1, keepdims=True)
            if method == "taylor":  # weighted least squares: one variance for unit weight
                arms.append((mean, (w * (y - mean[:, None]) ** 2).sum(-1), 1 / w.sum(-1)))
            else:  # the variance of a weighted mean, cluster-robust (CR2 for this design)
                arms.append((mean, (own**2 * (y - mean[:, None]) ** 2 / (1 - own)).sum(-1), None))
        if method == "taylor":
            variance = (arms[0][1] + arms[1][1]) / (j - 2) * (arms[0][2] + arms[1][2])
        else:
            variance = arms[0][1] + arms[1][1]
        return t_test(arms[0][0] - arms[1][0], variance, j - 2)

    return design, effect, {}, run


def risks(n, j, icc, p, effect, variance="unpooled"):  # noqa: PLR0917
    """Beta-binomial clusters; t test of the clusters' risks."""
    outcome = Binary(control=p, variance=variance)
    design = Trial(levels=[Level("child", n), Level("team", j, icc=icc)], assigned="team", outcome=outcome)

    def run(rng, reps):
        arms = []
        for risk in (p + effect, p):
            size = 1 / icc - 1
            true = rng.beta(risk * size, (1 - risk) * size, (reps, j // 2))
            arms.append(rng.binomial(n, true) / n)
        estimate, within, df = pooled(*arms)
        # no variation at all: nothing is rejected
        return t_test(np.where(within > 0, estimate, 0.0), np.where(within > 0, within, 1.0), df)

    return design, effect, {}, run


def proportions(n, p, effect, variance):
    """One sample in each arm; the z test with pooled variance (chi-squared)."""
    outcome = Binary(control=p, variance=variance)
    design = Trial(levels=[Level("child", n)], assigned="child", outcome=outcome)

    def run(rng, reps):
        x1, x0 = (rng.binomial(n // 2, risk, reps) / (n // 2) for risk in (p + effect, p))
        mean = (x1 + x0) / 2
        spread = np.maximum(mean * (1 - mean) * 4 / n, 1e-12)
        return t_test(x1 - x0, spread, 1e12)

    return design, effect, {"convention": "normal"}, run


def rates(exposure, j, k, rate, ratio, *, test="difference"):
    """Gamma-Poisson clusters; t test of the clusters' rates, or of their logarithms."""
    outcome = Rate(control=rate, exposure=exposure, test=test)
    design = Trial(levels=[Level("school", 1), Level("area", j, k=k)], assigned="area", outcome=outcome)

    def run(rng, reps):
        arms = []
        for r in (rate * ratio, rate):
            true = rng.gamma(1 / k**2, r * k**2, (reps, j // 2))
            events = rng.poisson(true * exposure)
            arms.append(events / exposure if test == "difference" else np.log((events + 0.5) / exposure))
        estimate, within, df = pooled(*arms)
        return t_test(np.where(within > 0, estimate, 0.0), np.where(within > 0, within, 1.0), df)

    return design, ratio, {}, run


def groups(n, size, icc, effect):
    """Groups in the treated arm; Welch's test of group means against children."""
    part = TreatedGroups(name="group", n=size, icc=icc)
    design = Trial(levels=[Level("child", n)], assigned="child", groups=part)

    def run(rng, reps):
        m = n // 2 // size
        treated = nested(rng, reps, (m, size), (icc, 1 - icc)).mean(-1) + effect
        control = rng.standard_normal((reps, n // 2))
        v1, v0 = treated.var(-1, ddof=1) / m, control.var(-1, ddof=1) / (n // 2)
        df = (v1 + v0) ** 2 / (v1**2 / (m - 1) + v0**2 / (n // 2 - 1))
        return t_test(treated.mean(-1) - control.mean(-1), v1 + v0, df)

    return design, effect, {}, run


def ancova(n, j, icc, r_team, r_child, effect):  # noqa: PLR0917
    """Cluster means on arm and baseline mean, J - 3 df."""
    part = Baseline(correlation={"child": r_child, "team": r_team})
    levels = [Level("child", n), Level("team", j, icc=icc, covariates=1)]
    design = Trial(levels=levels, assigned="team", baseline=part)

    def run(rng, reps):
        u, e = rng.standard_normal((2, 2, reps, j))
        s, w = math.sqrt(icc), math.sqrt((1 - icc) / n)
        x = s * u[0] + w * e[0]
        y = s * (r_team * u[0] + math.sqrt(1 - r_team**2) * u[1])
        y = y + w * (r_child * e[0] + math.sqrt(1 - r_child**2) * e[1])
        half = j // 2
        y[:, :half] += effect
        centre = [
            np.concatenate(
                [
                    v[:, :half] - v[:, :half].mean(-1, keepdims=True),
                    v[:, half:] - v[:, half:].mean(-1, keepdims=True),
                ],
                axis=1,
            )
            for v in (x, y)
        ]
        sxx, sxy, syy = (centre[0] ** 2).sum(-1), (centre[0] * centre[1]).sum(-1), (centre[1] ** 2).sum(-1)
        slope = sxy / sxx
        gap = x[:, :half].mean(-1) - x[:, half:].mean(-1)
        estimate = y[:, :half].mean(-1) - y[:, half:].mean(-1) - slope * gap
        rest = (syy - slope * sxy) / (j - 3)
        return t_test(estimate, rest * (4 / j + gap**2 / sxx), j - 3)

    return design, effect, {}, run


def hazards(n, p, ratio):
    """Constant hazards, followed to one end; the log-rank test."""
    design = Trial(levels=[Level("child", n)], assigned="child", outcome=TimeToEvent(control=p))

    def run(rng, reps):
        treated = np.arange(n) < n // 2
        time = rng.exponential(1.0, (reps, n)) / np.where(treated, ratio, 1.0)
        order = np.argsort(time, axis=1)
        arm, happened = treated[order], np.take_along_axis(time, order, axis=1) < -math.log(1 - p)
        at_risk = n - np.arange(n)
        share = (n // 2 - np.cumsum(arm, axis=1) + arm) / at_risk
        gap = (happened * (arm - share)).sum(-1)
        return t_test(gap, (happened * share * (1 - share)).sum(-1), 1e12)

    return design, ratio, {"convention": "normal"}, run


EXACT = {
    "individuals, 30 against 60": individuals(30, 60, 0.6),
    "individuals, 5 against 5, one-sided": individuals(5, 5, 1.5, sides=1),
    "8 clusters of 10, ICC 0.1": clusters(10, 4, 4, 0.1, 0.9),
    "20 clusters of 12, 8 treated, ICC 0.05": clusters(12, 8, 12, 0.05, 0.45),
    "three levels, 10 schools x 3 x 8": three_levels(8, 3, 10, 0.05, 0.1, 0.7),
    "children in 12 random blocks of 10": random_blocks(10, 12, 0.15, 0.4, 0.55),
    "classes in 6 fixed blocks of 6": fixed_blocks(8, 6, 6, 0.1, 0.45, "fixed"),
    "classes in 6 constant blocks of 6": fixed_blocks(8, 6, 6, 0.1, 0.45, "constant"),
    "interaction of a 2 x 2 trial of 80": interaction(80, 1.3),
    "moderator of 24 clusters of 8": cluster_moderator(8, 24, 0.1, 1.1),
    "non-inferiority, 60 individuals": margin(60, 0.7),
}

APPROXIMATE = {
    "sizes, CV 0.4, 20 clusters of 30, best weights": uneven(30, 0.4, 20, 0.05, 0.4, "taylor"),
    "sizes, CV 0.8, 20 clusters of 30, best weights": uneven(30, 0.8, 20, 0.05, 0.45, "taylor"),
    "sizes, CV 0.8, 40 clusters of 10, best weights": uneven(10, 0.8, 40, 0.05, 0.4, "taylor"),
    "sizes, CV 1.2, 40 clusters of 20, best weights": uneven(20, 1.2, 40, 0.05, 0.4, "taylor"),
    "sizes, CV 0.4, 20 clusters of 30, by size": uneven(30, 0.4, 20, 0.05, 0.4, "eldridge"),
    "sizes, CV 0.8, 20 clusters of 30, by size": uneven(30, 0.8, 20, 0.05, 0.5, "eldridge"),
    "sizes, CV 0.8, 60 clusters of 30, by size": uneven(30, 0.8, 60, 0.05, 0.28, "eldridge"),
    "sizes, CV 0.4, 20 clusters of 30, plain means": uneven(30, 0.4, 20, 0.05, 0.4, "unweighted"),
    "sizes, CV 0.8, 20 clusters of 30, plain means": uneven(30, 0.8, 20, 0.05, 0.45, "unweighted"),
    "sizes, CV 0.8, 40 clusters of 10, plain means": uneven(10, 0.8, 40, 0.05, 0.4, "unweighted"),
    "risks, 22% to 14%, 48 teams of 60, ICC 0.05": risks(60, 48, 0.05, 0.22, -0.08),
    "risks, 22% to 10%, 12 teams of 60, ICC 0.02": risks(60, 12, 0.02, 0.22, -0.12),
    "risks, 22% to 5%, 8 teams of 40, ICC 0.05": risks(40, 8, 0.05, 0.22, -0.17),
    "risks, 7% to 3.5%, 20 teams of 100, ICC 0.01": risks(100, 20, 0.01, 0.07, -0.035),
    "risks, 7% to 11%, 20 teams of 100, ICC 0.01": risks(100, 20, 0.01, 0.07, 0.04),
    "risks, 2% to 0.5%, 20 teams of 100, ICC 0.005": risks(100, 20, 0.005, 0.02, -0.015),
    "risks, 50% to 36%, 20 teams of 30, ICC 0.05": risks(30, 20, 0.05, 0.5, -0.14),
    "risks, 22% to 10%, 12 teams, pooled": risks(60, 12, 0.02, 0.22, -0.12, "pooled"),
    "risks, 22% to 10%, 12 teams, null": risks(60, 12, 0.02, 0.22, -0.12, "null"),
    "risks, 22% to 10%, 12 teams, arcsine": risks(60, 12, 0.02, 0.22, -0.12, "arcsine"),
    **{
        f"chi-squared, {100 * p:g}% to {100 * (p + e):g}%, {n} children, {v}": proportions(n, p, e, v)
        for n, p, e in ((300, 0.3, -0.14), (600, 0.1, -0.06), (100, 0.3, 0.26))
        for v in ("unpooled", "pooled", "null", "fleiss", "arcsine")
    },
    "rates, ratio 0.7, 40 areas of 100, k 0.25": rates(100, 40, 0.25, 0.2, 0.7),
    "rates, ratio 0.6, 12 areas of 200, k 0.3": rates(200, 12, 0.3, 0.1, 0.6),
    "rates, ratio 1.8, 12 areas of 200, k 0.3": rates(200, 12, 0.3, 0.1, 1.8),
    "rates, ratio 0.25, 12 areas of 20, k 0.3": rates(20, 12, 0.3, 0.1, 0.25),
    "log rates, ratio 1.8, 12 areas of 200, k 0.3": rates(200, 12, 0.3, 0.1, 1.8, test="log"),
    "log rates, ratio 0.6, 12 areas of 200, k 0.3": rates(200, 12, 0.3, 0.1, 0.6, test="log"),
    "log-rank, ratio 0.65, 300 children, 60% events": hazards(300, 0.6, 0.65),
    "log-rank, ratio 1.8, 120 children, 40% events": hazards(120, 0.4, 1.8),
    "log-rank, ratio 0.4, 60 children, 80% events": hazards(60, 0.8, 0.4),
    "treated groups, 5 of 8, ICC 0.1": groups(80, 8, 0.1, 0.75),
    "treated groups, 12 of 8, ICC 0.1": groups(192, 8, 0.1, 0.45),
    "ANCOVA, 8 clusters of 20, ICC 0.1": ancova(20, 8, 0.1, 0.7, 0.5, 0.75),
    "ANCOVA, 20 clusters of 20, ICC 0.1": ancova(20, 20, 0.1, 0.7, 0.5, 0.4),
    "ANCOVA, 40 clusters of 20, ICC 0.1": ancova(20, 40, 0.1, 0.7, 0.5, 0.28),
}


def formula(study):
    """Power by the formula."""
    design, effect, options, _ = study
    return float(design.power(effect, **options))


def simulated(study, reps, seed):
    """Power by simulation and its Monte Carlo error."""
    rng = np.random.default_rng(seed)
    hits = sum(int(study[3](rng, min(CHUNK, reps - done))) for done in range(0, reps, CHUNK))
    share = hits / reps
    return share, math.sqrt(share * (1 - share) / reps)


def main(reps=100_000):
    rows = []
    for kind, studies in (("exact", EXACT), ("approximate", APPROXIMATE)):
        for at, (name, study) in enumerate(studies.items()):
            share, error = simulated(study, reps, [20261127, len(rows)])
            rows.append(
                {"kind": kind, "study": name, "formula": formula(study), "simulated": share, "mc_se": error}
            )
            print(f"{kind:12s} {name:60s} {rows[-1]['formula']:.4f} {share:.4f} ({error:.4f})", at, flush=True)
    record = {"command": "python tests/power/power_study.py", "reps": reps, "rows": rows}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
