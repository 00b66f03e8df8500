"""Size of what judges an effect with few treated authorities: nominal 5%, vectorised over trials.

150 LAs, 20 quarters, treated from the 13th on; AR(1) noise whose variance is that of a rate, one over the population;
populations spread evenly (in logarithms) over a tenfold range. The treated are drawn from all LAs, or from the
smallest or the largest tenth. With one date and every cell the effect, and every method here, depends on each LA's
change from before to after alone, so all of them are closed forms of 150 numbers a trial; the tests hold them
to the product's own results.

    python tests/did/did_size_study.py        writes tests/reference/did_sizes.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy import special

RECORD = Path(__file__).parents[1] / "reference" / "did_sizes.json"
LAS, QUARTERS, START, TENTH = 150, 20, 12, 15
RANGE = 10.0
DRAWS = 299
RHOS = (0.0, 0.4, 0.8)
TREATED = (1, 2, 3, 5, 10, 20)
WHERE = ("all", "smallest", "largest")
METHODS = (
    "CR1S",
    "CR2",
    "CR3",
    "permutation",
    "studentised_permutation",
    "wild_bootstrap",
    "conley_taber",
    "ferman_pinto",
)
ALPHA = 0.05


def populations():
    """Populations in ascending order; the largest ten times the smallest."""
    return np.exp(np.linspace(0.0, np.log(RANGE), LAS))


def changes(rho, reps, rng):
    """Mean after less mean before by LA, shape (reps, LAs)."""
    e = rng.standard_normal((QUARTERS, reps, LAS))
    for t in range(1, QUARTERS):
        e[t] = rho * e[t - 1] + np.sqrt(1 - rho**2) * e[t]
    return (e[START:].mean(axis=0) - e[:START].mean(axis=0)) / np.sqrt(populations())


def treated_first(q, n1, where, rng):
    """Changes and populations with the treated LAs in the first columns."""
    pool = {"all": np.arange(LAS), "smallest": np.arange(TENTH), "largest": np.arange(LAS - TENTH, LAS)}[where]
    chosen = pool[np.argsort(rng.random((len(q), len(pool))), axis=1)[:, :n1]]
    keys = np.ones(q.shape)
    np.put_along_axis(keys, chosen, 0.0, axis=1)
    order = np.argsort(keys, axis=1, kind="stable")
    return np.take_along_axis(q, order, axis=1), populations()[order]


def t_p(t, df):
    return 2.0 * special.stdtr(df, -np.abs(t))


def robust(q, n1):
    """p of CR1S, CR2 and CR3 with their degrees of freedom (clusters - 1; Satterthwaite)."""
    n0 = q.shape[1] - n1
    one, zero = q[:, :n1], q[:, n1:]
    effect = one.mean(axis=1) - zero.mean(axis=1)
    square = [((part - part.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) for part in (one, zero)]
    n = LAS * QUARTERS
    factor = LAS / (LAS - 1) * (n - 1) / (n - QUARTERS - 1)
    found = {"CR1S": t_p(effect / np.sqrt(factor * (square[0] / n1**2 + square[1] / n0**2)), LAS - 1)}
    if n1 < 2:
        return {**found, "CR2": np.full(len(q), np.nan), "CR3": np.full(len(q), np.nan)}
    a, b = 1 / n1, 1 / n0
    var = square[0] / (n1 * (n1 - 1)) + square[1] / (n0 * (n0 - 1))
    found["CR2"] = t_p(effect / np.sqrt(var), (a + b) ** 2 / (a**2 / (n1 - 1) + b**2 / (n0 - 1)))
    a, b = 1 / (n1 - 1), 1 / (n0 - 1)
    var = square[0] * a**2 + square[1] * b**2
    found["CR3"] = t_p(effect / np.sqrt(var), (a + b) ** 2 / (a**3 + b**3))
    return found


def two_groups(total, first, squares, first_squares, *, n1, n):
    """Effect and squared error (CR0) from sums over everybody and over the treated."""
    n0 = n - n1
    rest, rest_squares = total - first, squares - first_squares
    effect = first / n1 - rest / n0
    error = (first_squares - first**2 / n1) / n1**2 + (rest_squares - rest**2 / n0) / n0**2
    return effect, np.maximum(error, 0.0)


def permutation(q, n1, draws, rng):
    """p of the plain and the studentised permutation."""
    n = q.shape[1]
    if n1 == 1:
        picks = np.broadcast_to(np.arange(n)[:, None], (n, 1))
    else:
        picks = np.argsort(rng.random((draws, n)), axis=1)[:, :n1]
    chosen = np.zeros((len(picks), n))
    np.put_along_axis(chosen, picks, 1.0, axis=1)
    total, squares = q.sum(axis=1)[:, None], (q**2).sum(axis=1)[:, None]
    effect, error = two_groups(total, q @ chosen.T, squares, q**2 @ chosen.T, n1=n1, n=n)
    own = two_groups(total[:, 0], q[:, :n1].sum(axis=1), squares[:, 0], (q[:, :n1] ** 2).sum(axis=1), n1=n1, n=n)
    found = {}
    for name, values, actual in (
        ("permutation", effect, own[0]),
        ("studentised_permutation", effect / np.sqrt(error), own[0] / np.sqrt(own[1])),
    ):
        far = (np.abs(values) >= np.abs(actual)[:, None] * (1 - 1e-9)).sum(axis=1)
        found[name] = far / n if n1 == 1 else (1 + far) / (1 + draws)
    return found


def wild(q, n1, draws, rng):
    """p of the wild cluster bootstrap, Webb weights, null imposed."""
    points = np.sqrt([0.5, 1.0, 1.5])
    w = np.r_[-points, points][rng.integers(0, 6, (draws, q.shape[1]))]
    left = q - q.mean(axis=1, keepdims=True)
    first, second = left @ w.T, left**2 @ (w**2).T
    mine, own = left[:, :n1] @ w[:, :n1].T, left[:, :n1] ** 2 @ (w[:, :n1] ** 2).T
    effect, error = two_groups(first, mine, second, own, n1=n1, n=q.shape[1])
    actual = two_groups(
        left.sum(axis=1), left[:, :n1].sum(axis=1), (left**2).sum(axis=1), (left[:, :n1] ** 2).sum(axis=1),
        n1=n1, n=q.shape[1],
    )  # fmt: skip
    t, t0 = effect / np.sqrt(error), actual[0] / np.sqrt(actual[1])
    return (1 + (np.abs(t) >= np.abs(t0)[:, None]).sum(axis=1)) / (1 + draws)


def conley_taber(q, n1, draws, rng):
    """p of Conley and Taber: residuals of the never treated, equal tails."""
    zero = q[:, n1:] - q[:, n1:].mean(axis=1, keepdims=True)
    effect = q[:, :n1].mean(axis=1) - q[:, n1:].mean(axis=1)
    if n1 == 1:
        errors = zero
    else:
        picks = rng.integers(0, zero.shape[1], (draws, n1))
        errors = zero[:, picks].mean(axis=2)
    tails = [(errors >= effect[:, None]).sum(axis=1), (errors <= effect[:, None]).sum(axis=1)]
    return np.minimum(1.0, 2.0 * (np.minimum(*tails) + 1) / (errors.shape[1] + 1))


def ferman_pinto(q, pop, n1, draws, rng):
    """p of Ferman and Pinto: residuals of everybody under the null, rescaled by the fitted variance."""
    n = q.shape[1]
    zero = q[:, n1:] - q[:, n1:].mean(axis=1, keepdims=True)
    inverse, squares = 1.0 / pop[:, n1:], zero**2
    weight = np.ones_like(squares)
    for _ in range(4):
        total = weight.sum(axis=1)
        centre, level = ((weight * v).sum(axis=1) / total for v in (inverse, squares))
        x = inverse - centre[:, None]
        b = (weight * x * squares).sum(axis=1) / (weight * x**2).sum(axis=1)
        a = level - b * centre
        through = (weight * inverse * squares).sum(axis=1) / (weight * inverse**2).sum(axis=1)
        flat, origin = b < 0, (b >= 0) & (a < 0)
        a = np.where(flat, level, np.where(origin, 0.0, a))
        b = np.where(flat, 0.0, np.where(origin, through, b))
        weight = (a[:, None] + b[:, None] * inverse) ** -2.0
    spread = np.sqrt(a[:, None] + b[:, None] / pop)
    scaled = (q - q.mean(axis=1, keepdims=True)) / spread
    effect = q[:, :n1].mean(axis=1) - q[:, n1:].mean(axis=1)
    share = spread * np.where(np.arange(n) < n1, 1.0 / n1, -1.0 / (n - n1))
    far = np.zeros(len(q))
    for _ in range(draws):
        picks = rng.integers(0, n, n)
        far += np.abs((scaled[:, picks] * share).sum(axis=1)) >= np.abs(effect)
    return (1 + far) / (1 + draws)


def p_values(q, pop, n1, draws, rng):
    """p of every method, each of shape (reps,)."""
    return {
        **robust(q, n1),
        **permutation(q, n1, draws, rng),
        "wild_bootstrap": wild(q, n1, draws, rng),
        "conley_taber": conley_taber(q, n1, draws, rng),
        "ferman_pinto": ferman_pinto(q, pop, n1, draws, rng),
    }


def sizes(rho, n1, where, reps, *, seed, chunk=250):
    """Share of trials in which each method rejects at 5%; None where it gives no p-value."""
    rng = np.random.default_rng([seed, int(10 * rho), n1, WHERE.index(where)])
    counts, done = dict.fromkeys(METHODS, 0.0), 0
    while done < reps:
        size = min(chunk, reps - done)
        q, pop = treated_first(changes(rho, size, rng), n1, where, rng)
        for name, p in p_values(q, pop, n1, DRAWS, rng).items():
            counts[name] += np.nan if np.isnan(p).any() else float((p <= ALPHA + 1e-12).sum())
        done += size
    return {name: None if np.isnan(count) else count / reps for name, count in counts.items()}


def cells():
    """Designs of the study."""
    for where in WHERE:
        for n1 in TREATED:
            if where == "all" or n1 <= 10:
                for rho in RHOS:
                    yield where, n1, rho


def percent(value):
    return "—" if value is None else f"{100 * value:.1f}"


def tables(record):
    """The tables of the page: by autocorrelation for all LAs, and for the smallest and largest tenth."""
    head = "| " + " | ".join(name.replace("_", " ") for name in METHODS) + " |"
    first = ["| treated | AR(1) " + head, "| ---: | ---: |" + " ---: |" * len(METHODS)]
    second = ["| treated | of the " + head, "| ---: | --- |" + " ---: |" * len(METHODS)]
    for row in record["rows"]:
        cells = " | ".join(percent(row[name]) for name in METHODS)
        if row["where"] == "all":
            first.append(f"| {row['treated']} | {row['rho']:g} | {cells} |")
    for where in WHERE[1:]:
        for n1 in TREATED[:-1]:
            rows = [row for row in record["rows"] if row["where"] == where and row["treated"] == n1]
            means = [
                None if rows[0][name] is None else sum(row[name] for row in rows) / len(rows) for name in METHODS
            ]
            second.append(f"| {n1} | {where} | " + " | ".join(percent(value) for value in means) + " |")
    return first, second


def main(reps=6_000, tenth_reps=3_000):
    rows = []
    for where, n1, rho in cells():
        count = reps if where == "all" else tenth_reps
        rows.append(
            {
                "where": where,
                "treated": n1,
                "rho": rho,
                "reps": count,
                **sizes(rho, n1, where, count, seed=20261127),
            }
        )
        print(rows[-1], flush=True)
    record = {
        "command": "python tests/did/did_size_study.py",
        "numpy": np.__version__,
        "las": LAS,
        "quarters": QUARTERS,
        "treated_from": START + 1,
        "population_range": RANGE,
        "draws": DRAWS,
        "alpha": ALPHA,
        "rows": rows,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
