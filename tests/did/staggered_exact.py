"""The efficient estimator in exact rational arithmetic, written from the paper's matrices: a re-derivation for tests."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np

NEVER = 99


def matrices(starts, counts, periods, *, estimand="simple"):
    """A_theta and A_0 by cohort: dicts of lists over periods, of the average of ``ATE(t, g)``, times from 0."""
    last = max(starts)
    cells = [(g, t) for g in starts if g < last for t in range(g, periods) if t < last]
    if estimand == "simple":
        total = sum(counts[g] for g, _ in cells)
        weights = {cell: Fraction(counts[cell[0]], total) for cell in cells}
    elif estimand == "cohort":
        cohorts = {g for g, _ in cells}
        total = sum(counts[g] for g in cohorts)
        weights = {(g, t): Fraction(counts[g], total * sum(1 for one, _ in cells if one == g)) for g, t in cells}
    elif estimand == "calendar":
        times = {t for _, t in cells}
        weights = {
            (g, t): Fraction(counts[g], len(times) * sum(counts[one] for one, at in cells if at == t))
            for g, t in cells
        }
    else:
        events = {t - g for g, t in cells}
        weights = {
            (g, t): Fraction(counts[g], len(events) * sum(counts[one] for one, at in cells if at - one == t - g))
            for g, t in cells
        }
    theta = {g: [Fraction(0)] * periods for g in starts}
    zero = {g: [Fraction(0)] * periods for g in starts}
    for (g, t), weight in weights.items():
        later = sum(counts[one] for one in starts if one > t)
        for found, at in ((theta, t), (zero, g - 1)):
            found[g][at] += weight
            for one in starts:
                if one > t:
                    found[one][at] -= weight * Fraction(counts[one], later)
    return theta, zero


def covariance(rows):
    """Covariance matrix of rows over units, divisor n - 1."""
    n, periods = len(rows), len(rows[0])
    mean = [sum(row[t] for row in rows) / Fraction(n) for t in range(periods)]
    return [
        [sum((row[s] - mean[s]) * (row[t] - mean[t]) for row in rows) / Fraction(n - 1) for t in range(periods)]
        for s in range(periods)
    ]


def form(left, matrix, right):
    """Bilinear form."""
    return sum(
        a * matrix[s][t] * b for s, a in enumerate(left) if a for t, b in enumerate(right) if b
    ) or Fraction(0)


def estimated(outcomes, start, *, beta=None, estimand="simple"):
    """theta-hat, Neyman's variance and beta of outcomes (n lists of whole numbers) with these starts."""
    starts = sorted(set(start))
    counts = {g: start.count(g) for g in starts}
    periods = len(outcomes[0])
    theta, zero = matrices(starts, counts, periods, estimand=estimand)
    rows = {
        g: [[Fraction(y) for y in row] for row, one in zip(outcomes, start, strict=True) if one == g]
        for g in starts
    }
    spread = {g: covariance(rows[g]) for g in starts}
    if beta is None:
        variance = sum(form(zero[g], spread[g], zero[g]) / counts[g] for g in starts)
        beta = sum(form(zero[g], spread[g], theta[g]) / counts[g] for g in starts) / variance
    value, neyman = Fraction(0), Fraction(0)
    for g in starts:
        both = [a - beta * b for a, b in zip(theta[g], zero[g], strict=True)]
        value += sum(a * sum(row[t] for row in rows[g]) / counts[g] for t, a in enumerate(both))
        neyman += form(both, spread[g], both) / counts[g]
    return value, neyman, beta


def assignments(start):
    """All distinct arrangements of the starts over the units."""
    return sorted(set(permutations(start)))


def potential(units, periods, starts, seed):
    """Whole-number outcomes Y_it(g) without anticipation, by start: effects differ by unit, start and period."""
    rng = np.random.default_rng(seed)
    never = rng.integers(-9, 10, (units, periods)) + rng.integers(-20, 21, (units, 1))
    found = {}
    for g in starts:
        effect = rng.integers(-6, 13, (units, periods)) * (np.arange(periods) >= g)
        found[g] = (never + effect).tolist()
    found[max(starts)] = never.tolist()
    return found
