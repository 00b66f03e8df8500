"""Level and precision where the order of a roll-out is drawn: nominal 5%, vectorised over trials.

Eight periods; a quarter of the units treated from the fourth on, a quarter from the sixth, half never. Outcomes: a unit's own
level plus AR(1) noise, both of variance 1. Effects: none, or different in every unit with mean zero over the units, in part
foretold by the first outcome. Who is drawn when does not depend on outcomes, and rows are exchangeable, so the first rows are
treated first. Formulas are written out here anew; the tests hold them to the product's own results.

    OMP_NUM_THREADS=1 nice python tests/did/staggered_study.py        writes tests/reference/did_staggered_levels.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy import special

RECORD = Path(__file__).parents[1] / "reference" / "did_staggered_levels.json"
PERIODS, STARTS = 8, (3, 5)
UNITS = (8, 12, 20, 60, 400)
RHOS = (0.3, 0.6, 0.9)
EFFECTS = ("none", "varying")
REPS, DRAWS, SEED, ALPHA = 4_000, 199, 20261127, 0.05
MOST = 40_000
"""Units times trials held at once."""


def groups(units):
    """Cohort of each row: 0 and 1 treated, 2 never."""
    return np.repeat([0, 1, 2], [units // 4, units // 4, units // 2])


def matrices(sizes):
    """A_theta and A_0 of the mean over treated cells, shape (3, T) each."""
    theta, zero = np.zeros((2, 3, PERIODS))
    cells = [(g, t) for g in (0, 1) for t in range(STARTS[g], PERIODS)]
    total = sum(sizes[g] for g, _ in cells)
    for g, t in cells:
        later = np.array([STARTS[0] > t, STARTS[1] > t, True]) * sizes
        gap = (np.arange(3) == g) - later / later.sum()
        theta[:, t] += sizes[g] / total * gap
        zero[:, STARTS[g] - 1] += sizes[g] / total * gap
    return theta, zero


def outcomes(units, rho, effects, reps, rng):
    """Outcomes (reps, units, T) of a drawn roll-out."""
    noise = rng.standard_normal((reps, units, PERIODS))
    for t in range(1, PERIODS):
        noise[:, :, t] = rho * noise[:, :, t - 1] + np.sqrt(1 - rho**2) * noise[:, :, t]
    y = noise + rng.standard_normal((reps, units, 1))
    if effects == "varying":
        own = 0.5 * y[:, :, 0] + 0.5 * rng.standard_normal((reps, units))
        start = np.array([*STARTS, PERIODS])[groups(units)]
        y = y + (own - own.mean(axis=1, keepdims=True))[:, :, None] * (np.arange(PERIODS) >= start[:, None])
    return y


def moments(a, x, inside, size):
    """Means, variances and covariance of the scores of some units: what one cohort adds, shape (5, ...)."""
    sums = np.stack([inside @ part for part in (a, x, a * a, a * x, x * x)])
    one, two = sums[0] / size, sums[1] / size
    factor = size * (size - 1)
    return np.stack(
        [
            one,
            two,
            (sums[2] - size * one * one) / factor,
            (sums[3] - size * one * two) / factor,
            (sums[4] - size * two * two) / factor,
        ]
    )


def with_beta(parts, beta, sizes):
    """Estimate, Neyman's error, and df of a coefficient, from moments (G, 5, ...)."""
    each = parts[:, 2] - 2 * beta * parts[:, 3] + beta**2 * parts[:, 4]
    variance = each.sum(axis=0)
    square = sum(each[g] ** 2 / (sizes[g] - 1) for g in range(3))
    return (parts[:, 0] - beta * parts[:, 1]).sum(axis=0), np.sqrt(variance), variance**2 / square


def gain(y, group, theta, sizes):
    """What the adjusted variance is less than Neyman's."""
    before = slice(0, STARTS[0])
    slope, mean = 0.0, 0.0
    for g in range(3):
        part = y[:, group == g] - y[:, group == g].mean(axis=1, keepdims=True)
        s = np.swapaxes(part, 1, 2) @ part / (sizes[g] - 1)
        inner = s[:, before, before]
        slope = slope + (np.linalg.pinv(inner, rcond=1.5e-8) @ (s[:, before] @ theta[g])[:, :, None])[:, :, 0]
        mean = mean + inner / 3
    return np.einsum("ri,rij,rj->r", slope, mean, slope) / sizes.sum()


def judged(y, units, rng):
    """Estimates and p-values of each trial."""
    group = groups(units)
    sizes = np.bincount(group)
    theta, zero = matrices(sizes)
    a = [(y @ theta[g]).T for g in range(3)]
    x = [(y @ zero[g]).T for g in range(3)]
    parts = np.stack([moments(a[g], x[g], (group == g).astype(float), sizes[g]) for g in range(3)])
    beta = parts[:, 3].sum(axis=0) / parts[:, 4].sum(axis=0)
    found = {"beta": beta}
    for name, value in (("efficient", beta), ("callaway", 1.0), ("difference", 0.0)):
        estimate, se, df = with_beta(parts, value, sizes)
        found |= {name: estimate, f"{name}_se": se, f"{name}_p": 2 * special.stdtr(df, -abs(estimate) / se)}
    t = found["efficient"] / found["efficient_se"]
    found["normal_p"] = 2 * special.ndtr(-abs(t))
    left = found["efficient_se"] ** 2 - gain(y, group, theta, sizes)
    found["adjusted_se"] = np.sqrt(np.maximum(left, 0.0))
    with np.errstate(divide="ignore"):
        found["adjusted_p"] = 2 * special.ndtr(-abs(found["efficient"]) / found["adjusted_se"])
    orders = np.argsort(rng.random((DRAWS, units)), axis=1)
    drawn = group[orders]
    # scores are centred, so that sums of squares keep their digits
    centred = [[part - part.mean(axis=0) for part in (a[g], x[g])] for g in range(3)]
    moved = np.stack([moments(*centred[g], (drawn == g).astype(float), sizes[g]) for g in range(3)])
    for g in range(3):
        moved[g, 0] += a[g].mean(axis=0)
        moved[g, 1] += x[g].mean(axis=0)
    star = moved[:, 3].sum(axis=0) / moved[:, 4].sum(axis=0)
    estimate, se, _ = with_beta(moved, star, sizes)
    found["randomisation_p"] = (1 + (abs(estimate / se) >= abs(t) * (1 - 1e-9)).sum(axis=0)) / (1 + DRAWS)
    return found


def cell(units, rho, effects, reps, seed):
    """One row of the record."""
    rng = np.random.default_rng([seed, units, int(10 * rho), EFFECTS.index(effects)])
    pieces = []
    left = reps
    while left:
        many = min(left, max(1, MOST // units))
        pieces.append(judged(outcomes(units, rho, effects, many, rng), units, rng))
        left -= many
    found = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    spread = {name: float(found[name].std()) for name in ("efficient", "callaway", "difference")}
    tests = ("efficient", "normal", "adjusted", "callaway", "difference", "randomisation")
    return {
        "units": units,
        "rho": rho,
        "effects": effects,
        "reps": reps,
        **{name: float((found[f"{name}_p"] <= ALPHA + 1e-12).mean()) for name in tests},
        "beta": float(found["beta"].mean()),
        "bias": float(found["efficient"].mean()),
        "sd": spread["efficient"],
        "sd_over_callaway": spread["efficient"] / spread["callaway"],
        "sd_over_difference": spread["efficient"] / spread["difference"],
        "se_over_sd": float(np.sqrt((found["efficient_se"] ** 2).mean())) / spread["efficient"],
        "adjusted_se_over_sd": float(np.sqrt((found["adjusted_se"] ** 2).mean())) / spread["efficient"],
    }


def table(record):
    """The record as lines of a table: percents, and ratios of spreads."""
    heads = (
        "Neyman",
        "normal",
        "adjusted",
        "beta = 1",
        "beta = 0",
        "randomisation",
        "spread / beta = 1",
        "/ beta = 0",
    )
    names = ("efficient", "normal", "adjusted", "callaway", "difference", "randomisation")
    lines = [
        "| units | AR(1) | effects | " + " | ".join(heads) + " |",
        "| ---: " * 2 + "| --- " + "| ---: " * 8 + "|",
    ]
    for row in record["rows"]:
        shown = [f"{100 * row[name]:.1f}" for name in names]
        shown += [f"{row[name]:.2f}" for name in ("sd_over_callaway", "sd_over_difference")]
        lines.append(f"| {row['units']} | {row['rho']:g} | {row['effects']} | " + " | ".join(shown) + " |")
    return lines


def main():
    rows = [cell(n, rho, effects, REPS, SEED) for n in UNITS for rho in RHOS for effects in EFFECTS]
    for row in rows:
        sys.stdout.write(
            json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}) + "\n"
        )
    text = {"command": "python tests/did/staggered_study.py", "seed": SEED, "draws": DRAWS, "rows": rows}
    RECORD.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
