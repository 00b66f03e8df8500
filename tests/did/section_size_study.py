"""Size of what judges few treated areas on means of children seen once, vectorised over trials, and coverage of the effect.

20, 60 or 150 areas, eight years, treated from the fifth; 30 to 300 children a year and area, evenly spread in logarithms,
and the treated drawn from all areas. A child's outcome has variance 1 given one covariate v of variance 1 within areas;
areas have levels of variance .03 and AR(1) shocks of variance .01 (ICC of an area and year about 1%), and the slope in v
rises with time. A regression within areas needs of each area and year the number of children, the means, the sum of
squares of v and the slope, so these are drawn rather than the children; the tests hold the reduction to the product's
own results with children written out.

    OMP_NUM_THREADS=1 python tests/did/section_size_study.py        writes tests/reference/did_sections_sizes.json
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import did_size_study as changes_study
import numpy as np

RECORD = Path(__file__).parents[1] / "reference" / "did_sections_sizes.json"
AREAS, TREATED, RHOS = (20, 60, 150), (1, 2, 3, 5), (0.0, 0.6)
YEARS, START = 8, 4
SMALLEST, LARGEST = 30, 300
LEVEL, SHOCK = np.sqrt(0.03), 0.1
SLOPES = ("never", "own", "all")
METHODS = ("permutation", "conley_taber", "ferman_pinto", "wild_bootstrap")
DRAWS, ALPHA = 299, 0.05


@dataclass(frozen=True)
class Setting:
    """What the children are, and what their covariate does.

    ``apart``: mean of v in treated areas; ``drift``: its rise a year there; ``moves``: SD of its means by area and year
    around that of the area; ``slopes``: SD of the areas' slopes; ``effect``: slope of the effect in v.
    """

    apart: float = 0.0
    drift: float = 0.0
    moves: float = 0.0
    slopes: float = 0.0
    effect: float = 0.0


SETTINGS = {
    "balanced": Setting(),
    "drifting": Setting(apart=0.5, drift=0.1, moves=0.2),
    "slopes differ": Setting(moves=0.2, slopes=0.2),
    "drifting, slopes differ": Setting(apart=0.5, drift=0.1, moves=0.2, slopes=0.2),
    "effects differ": Setting(apart=0.5, effect=0.3),
}


def cells(setting, n, n1, rho, reps, *, rng):
    """Children, mean and spread of v, mean outcome and slope by area and year, (reps, areas, years); treated first.

    The effect is -.2 + effect * v in a treated child.
    """
    size = np.exp(np.linspace(np.log(SMALLEST), np.log(LARGEST), n)).round()
    count = rng.permuted(np.broadcast_to(size, (reps, n)), axis=1)[:, :, None] * np.ones(YEARS)
    shape, t = count.shape, np.arange(YEARS)
    treated = (np.arange(n) < n1)[:, None]
    v = rng.normal(0, 0.3, (reps, n, 1)) + treated * (setting.apart + setting.drift * t)
    v = v + setting.moves * rng.standard_normal(shape) + rng.standard_normal(shape) / np.sqrt(count)
    spread = rng.chisquare(count - 1)
    shock = rng.standard_normal(shape)
    for year in range(1, YEARS):
        shock[:, :, year] = rho * shock[:, :, year - 1] + np.sqrt(1 - rho**2) * shock[:, :, year]
    slope = (
        0.5
        + 0.1 * t
        + setting.slopes * rng.standard_normal((reps, n, 1))
        + setting.effect * treated * (t >= START)
    )
    y = LEVEL * rng.standard_normal((reps, n, 1)) + SHOCK * shock + slope * v - 0.2 * treated * (t >= START)
    y = y + rng.standard_normal(shape) / np.sqrt(count)
    return count, v, spread, y, slope + rng.standard_normal(shape) / np.sqrt(spread)


def adjusted(parts, n1, slopes):
    """Means at the mean covariate of all children; slopes within all areas, those never treated, or each area's own."""
    count, v, spread, y, slope = parts
    centre = (count * v).sum(axis=(1, 2), keepdims=True) / count.sum(axis=(1, 2), keepdims=True)
    if slopes == "own":
        return y - (v - centre) * own_slopes(spread, slope, n1)
    behind = slice(n1 if slopes == "never" else 0, None)
    total = spread[:, behind].sum(axis=1, keepdims=True)
    pooled = (spread * slope)[:, behind].sum(axis=1, keepdims=True) / total
    return y - (v - centre) * pooled


def own_slopes(spread, slope, n1):
    """Slopes of areas and years that add up, fitted to those of untreated areas and years."""
    s = spread.copy()
    s[:, :n1, START:] = 0.0
    share = s / s.sum(axis=2, keepdims=True)
    within = (share * slope).sum(axis=2, keepdims=True)
    left = -np.einsum("rat,ras->rts", s, share)
    left[:, np.arange(YEARS), np.arange(YEARS)] += s.sum(axis=1)
    right = (s * (slope - within)).sum(axis=1)
    moves = np.zeros((len(s), YEARS))
    moves[:, 1:] = np.linalg.solve(left[:, 1:, 1:], right[:, 1:, None])[..., 0]
    return within + moves[:, None, :] - (share * moves[:, None, :]).sum(axis=2, keepdims=True)


def change(means):
    """Mean after less mean before by area, shape (reps, areas)."""
    return means[:, :, START:].mean(axis=2) - means[:, :, :START].mean(axis=2)


def effect_on_treated(setting, parts, n1):
    """Mean over treated areas and years of the effect on their children, shape (reps,)."""
    return -0.2 + setting.effect * parts[1][:, :n1, START:].mean(axis=(1, 2))


def p_values(q, pop, n1, draws, rng):
    """p of every method for the hypothesis that there is no effect, each of shape (reps,)."""
    return {
        "permutation": changes_study.permutation(q, n1, draws, rng)["permutation"],
        "conley_taber": changes_study.conley_taber(q, n1, draws, rng),
        "ferman_pinto": changes_study.ferman_pinto(q, pop, n1, draws, rng),
        "wild_bootstrap": changes_study.wild(q, n1, draws, rng),
    }


def study(name, n, n1, rho, reps, *, seed, slopes=SLOPES, chunk=250):
    """By slopes: bias and spread of the effect, and by method the share of trials whose 95% interval leaves it out.

    The intervals invert the tests, so that this share is the size of a test of the true effect.
    """
    rng = np.random.default_rng([seed, list(SETTINGS).index(name), n, n1, int(10 * rho)])
    setting, treated = SETTINGS[name], np.arange(n) < n1
    errors = {one: [] for one in slopes}
    misses = {one: dict.fromkeys(METHODS, 0) for one in slopes}
    done = 0
    while done < reps:
        size = min(chunk, reps - done)
        parts = cells(setting, n, n1, rho, size, rng=rng)
        truth = effect_on_treated(setting, parts, n1)
        for one in slopes:
            q = change(adjusted(parts, n1, one)) - truth[:, None] * treated
            errors[one].append(q[:, :n1].mean(axis=1) - q[:, n1:].mean(axis=1))
            for method, p in p_values(q, parts[0][:, :, 0], n1, DRAWS, rng).items():
                misses[one][method] += int((p <= ALPHA + 1e-12).sum())
        done += size
    found = {}
    for one in slopes:
        error = np.concatenate(errors[one])
        found[one] = {
            "bias": float(error.mean()),
            "sd": float(error.std(ddof=1)),
            **{method: count / reps for method, count in misses[one].items()},
        }
    return found


def designs():
    """Designs of the study."""
    for name in SETTINGS:
        for n in AREAS:
            for n1 in TREATED:
                for rho in RHOS:
                    yield name, n, n1, rho


def pooled(record, **where):
    """Means of the rows of a record, by slopes and column, over what is not held."""
    rows = [row for row in record["rows"] if all(row[key] == value for key, value in where.items())]
    columns = ("bias", "sd", *METHODS)
    found = {one: {c: sum(row[one][c] for row in rows) / len(rows) for c in columns} for one in SLOPES}
    return found, sum(row["reps"] for row in rows)


def short(value):
    """Three decimals without the leading zero."""
    text = f"{value:.3f}".replace("0.", ".", 1)
    return ".000" if text == "-.000" else text


def table(record):
    """The table of the page: percent of intervals that leave out the effect, and its bias and spread with five treated."""
    lines = [
        "| children | areas | permutation | `own` | `all` | Ferman-Pinto | `own` | Conley-Taber | wild, 5 treated | bias | `own` "
        "| `all` | SD | `own` |",
        "| --- |" + " ---: |" * 13,
    ]
    for name in SETTINGS:
        for n in AREAS:
            found, _ = pooled(record, setting=name, areas=n)
            five, _ = pooled(record, setting=name, areas=n, treated=TREATED[-1])
            cells = [found[one]["permutation"] for one in SLOPES]
            cells += [found[one]["ferman_pinto"] for one in SLOPES[:2]]
            cells += [found["never"]["conley_taber"], five["never"]["wild_bootstrap"]]
            shown = [f"{100 * value:.1f}" for value in cells]
            shown += [short(five[one]["bias"]) for one in SLOPES] + [short(five[one]["sd"]) for one in SLOPES[:2]]
            lines.append(f"| {name} | {n} | {' | '.join(shown)} |")
    return lines


def main(reps=4_000):
    """Every design; the record is written."""
    rows = []
    for name, n, n1, rho in designs():
        found = study(name, n, n1, rho, reps, seed=20261127)
        rows.append({"setting": name, "areas": n, "treated": n1, "rho": rho, "reps": reps, **found})
        print(rows[-1], flush=True)
    record = {
        "command": "OMP_NUM_THREADS=1 python tests/did/section_size_study.py",
        "numpy": np.__version__,
        "years": YEARS,
        "treated_from": START + 1,
        "children": [SMALLEST, LARGEST],
        "level_sd": float(LEVEL),
        "shock_sd": SHOCK,
        "settings": {name: vars(setting) for name, setting in SETTINGS.items()},
        "draws": DRAWS,
        "alpha": ALPHA,
        "rows": rows,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
