"""Laws of balance-seeking schemes by brute force over all arm vectors, written from the docs without the package's code.

Units are in the order of their names; covariates are columns of numbers, or of text for categories.
"""

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np


def vectors(k, n):
    """Every allocation of n units to k arms."""
    return np.indices((k,) * n, dtype=np.int64).reshape(n, -1).T


def within_one(rows, members, ratio):
    """Whether some units meet the ratio within one unit, in each row."""
    whole, n = sum(ratio), len(members)
    counts = [(rows[:, members] == arm).sum(axis=1) for arm in range(len(ratio))]
    near = [abs(count * whole - n * part) < whole for count, part in zip(counts, ratio, strict=True)]
    return np.logical_and.reduce(near)


def permitted(strata, ratio):
    """Allocations that meet the ratio within one unit in each stratum and overall."""
    rows = vectors(len(ratio), len(strata))
    groups = [np.flatnonzero(np.array(strata) == value) for value in sorted(set(strata))]
    return rows[
        np.logical_and.reduce([within_one(rows, group, ratio) for group in [np.arange(len(strata)), *groups]])
    ]


def covariates(frame, on, weights=None):
    """Columns as exact numbers with their weights; categories as indicators against the first in order."""
    found = []
    for name in on:
        values, weight = frame[name].tolist(), Fraction(str((weights or {}).get(name, 1)))
        if isinstance(values[0], str):
            found += [
                ([Fraction(value == level) for value in values], weight) for level in sorted(set(values))[1:]
            ]
        else:
            found.append(([Fraction(str(value)) for value in values], weight))
    return found


def whole_scores(rows, columns, k):
    """Scores of Constrained in the whole numbers that the docs define: rounded once, then exact."""
    n = rows.shape[1]
    sizes = np.stack([(rows == arm).sum(axis=1) for arm in range(k)], axis=1)
    totals = np.unique(sizes, axis=0)
    common = math.lcm(*totals.ravel().tolist())
    pairs = list(itertools.combinations(range(k), 2))
    most = len(pairs) * len(columns) * (common // int(totals.min())) ** 2 * n * (n - 1)
    bits = (52 - most.bit_length()) // 2
    heaviest = max(weight for _, weight in columns)
    scores = np.zeros(len(rows), dtype=np.int64)
    for values, weight in columns:
        q = np.array(_rounded(values, weight / heaviest, bits), dtype=np.int64)
        means = [common // sizes[:, arm] * ((rows == arm) @ q) for arm in range(k)]
        for a, b in pairs:
            scores += (means[a] - means[b]) ** 2
    return scores, bits


def _rounded(values, weight, bits):
    """Nearest whole numbers to weighted standardised values times 2^bits, halves away from zero."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    with localcontext() as context:
        context.prec = 80
        sd = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
        scale = Decimal(weight.numerator) / Decimal(weight.denominator) * 2**bits / sd
        exact = [Decimal((v - mean).numerator) / Decimal((v - mean).denominator) * scale for v in values]
        return [int(value.to_integral_value("ROUND_HALF_UP")) for value in exact]


def score(rows, columns, k, *, mahalanobis=False):
    """Squared differences in means over all pairs of arms, standardised (or by the inverse covariance matrix)."""
    X = np.array([[float(value) for value in values] for values, _ in columns]).T
    weights = np.array([float(weight) for _, weight in columns])
    if mahalanobis:
        inner = np.linalg.inv(np.atleast_2d(np.cov(X.T)))
    else:
        inner = np.diag(weights**2 / X.var(axis=0, ddof=1))
    X = X - X.mean(axis=0)
    means = [(rows == a) @ X / (rows == a).sum(axis=1, keepdims=True) for a in range(k)]
    gaps = [means[a] - means[b] for a, b in itertools.combinations(range(k), 2)]
    return sum(np.einsum("ri,ij,rj->r", gap, inner, gap) for gap in gaps)


def accepted(scores, accept):
    """Rows whose score is at most that at the accepted rank, and that score."""
    rank = max(1, round(Fraction(str(accept)) * len(scores)))
    cutoff = np.sort(scores)[rank - 1]
    return scores <= cutoff, cutoff


# --- pairs and blocks


def best_pairs(distances, units):
    """The pairs of these units with the smallest total distance, the unit left over chosen among all; None if tied."""
    found = []

    def pair(left, pairs, total):
        if len(left) < 2:
            found.append((total, tuple(pairs)))
            return
        first, rest = left[0], left[1:]
        for other in rest:
            pair([u for u in rest if u != other], [*pairs, (first, other)], total + distances[first, other])

    for gone in [None] if len(units) % 2 == 0 else units:
        pair([u for u in units if u != gone], [], 0.0)
    found.sort()
    return found[0][1] if len(found) < 2 or found[1][0] - found[0][0] > 1e-3 else None


def law_of_blocks(blocks, ratio):
    """The law that blocks of units have, worked out from what the docs promise; None where it does not settle it.

    Numbers within one unit of the ratio in each block and overall; every unit has each arm with exactly its share; the
    orders within a block are equally likely; blocks of one size, and arms of one share, are exchangeable.
    """
    k, whole = len(ratio), sum(ratio)
    n = sum(len(block) for block in blocks)
    options = [
        [c for c in itertools.product(range(len(block) + 1), repeat=k)
         if sum(c) == len(block) and all(abs(x * whole - len(block) * r) < whole for x, r in zip(c, ratio, strict=True))]
        for block in blocks
    ]  # fmt: skip
    tables = [
        table for table in itertools.product(*options)
        if all(abs(sum(row[a] for row in table) * whole - n * ratio[a]) < whole for a in range(k))
    ]  # fmt: skip
    alike = {table: _canonical(table, [len(block) for block in blocks], ratio) for table in tables}
    kinds = sorted(set(alike.values()))
    place = {kind: column for column, kind in enumerate(kinds)}
    number = [list(alike.values()).count(kind) for kind in kinds]
    equations, right = [list(map(float, number))], [1.0]
    for b, block in enumerate(blocks):
        for arm in range(k):
            row = [0.0] * len(kinds)
            for table in tables:
                row[place[alike[table]]] += table[b][arm]
            equations.append(row)
            right.append(len(block) * ratio[arm] / whole)
    solved, _, rank, _ = np.linalg.lstsq(np.array(equations), np.array(right), rcond=None)
    if rank < len(kinds):
        return None
    law = {}
    for table in tables:
        chance = solved[place[alike[table]]]
        ways = [sorted(set(itertools.permutations([a for a in range(k) for _ in range(row[a])]))) for row in table]
        for orders in itertools.product(*ways) if chance > 1e-12 else ():
            codes = [0] * n
            for block, order in zip(blocks, orders, strict=True):
                for unit, arm in zip(block, order, strict=True):
                    codes[unit] = arm
            law[tuple(codes)] = chance / math.prod(len(each) for each in ways)
    return law


def _canonical(table, sizes, ratio):
    """The first of the tables that differ from it by an exchange of blocks of one size or arms of one share."""
    arms = [order for order in itertools.permutations(range(len(ratio)))
            if all(ratio[a] == ratio[b] for a, b in enumerate(order))]  # fmt: skip
    return min(tuple(sorted((size, tuple(row[a] for a in order)) for size, row in zip(sizes, table, strict=True)))
               for order in arms)  # fmt: skip


# --- minimisation


def law_of_minimisation(levels, ratio, p_best, imbalance, weights, *, before=()):
    """Exact probability of every sequence of arms, along the tree of all biased coins.

    ``levels`` has a tuple of factor levels for each unit in order of arrival; ``before`` those who came earlier, as
    (levels, arm).
    """
    k, whole = len(ratio), sum(ratio)
    p_best = Fraction(str(p_best))
    each = (1 - p_best) / (whole - min(ratio))

    def spread(x):
        if imbalance == "range":
            return max(x) - min(x)
        mean = Fraction(sum(x)) / k
        variance = sum((v - mean) ** 2 for v in x) / k
        return variance if imbalance == "variance" else math.sqrt(variance)

    def coin(history, mine):
        totals = []
        for arm in range(k):
            total = 0
            for factor, level in enumerate(mine):
                like = [a for theirs, a in history if theirs[factor] == level] + [arm]
                total += Fraction(str(weights[factor])) * Fraction(
                    spread([Fraction(like.count(a), ratio[a]) for a in range(k)])
                )
            totals.append(total)
        least = min(totals)
        best = [total - least < Fraction(1, 10**9) for total in totals]
        left = 1 - each * whole
        preferred = sum(part for part, is_best in zip(ratio, best, strict=True) if is_best)
        return [each * part + (left * Fraction(part, preferred) if is_best else 0)
                for part, is_best in zip(ratio, best, strict=True)]  # fmt: skip

    known, law = {}, {}

    def walk(arms, chance):
        if len(arms) == len(levels):
            law[arms] = chance
            return
        history = [*before, *zip(levels, arms, strict=False)]
        key = tuple(sorted(history)), levels[len(arms)]
        if key not in known:
            known[key] = coin(history, levels[len(arms)])
        for arm, step in enumerate(known[key]):
            walk((*arms, arm), chance * step)

    walk((), Fraction(1))
    return law
