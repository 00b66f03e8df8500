"""Constrained randomisation and rerandomisation for the standalone verification."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

if __package__:
    from wwc_eval.randomisation.standalone.draws import Counts, Stream, Trial, Wrong, numbers_in, strata_of
else:  # run as a file
    from draws import Counts, Stream, Trial, Wrong, numbers_in, strata_of  # type: ignore[import-not-found,no-redef]

SAMPLED = 20_000
QUICK = 200_000


def whole_covariates(trial: Trial, unit_sizes: list[Counts]) -> list[list[int]]:
    """Standardised covariates as whole numbers, one list for each."""
    raw, weights = [], []
    given = trial.scheme.get("weights") or [1.0] * len(trial.scheme["on"])
    for name, weight in zip(trial.scheme["on"], given, strict=False):
        texts = trial.units[name]
        values = numbers_in(texts)
        added = [values] if values else [[Fraction(t == level) for t in texts] for level in sorted(set(texts))[1:]]
        raw += added
        weights += [Fraction(repr(weight))] * len(added)
    n, k = trial.n, len(trial.ratio)
    ready: list[tuple[list[Fraction], Fraction]] = []
    for values in raw:
        mean = sum(values, Fraction(0)) / n
        centred = [value - mean for value in values]
        for earlier, variance in ready if trial.scheme["kind"] == "rerandomised" else []:
            slope = sum((a * b for a, b in zip(centred, earlier, strict=False)), Fraction(0)) / (
                variance * (n - 1)
            )
            centred = [a - slope * b for a, b in zip(centred, earlier, strict=False)]
        ready.append((centred, sum((a * a for a in centred), Fraction(0)) / (n - 1)))
    common = math.lcm(*(size for sizes in unit_sizes for size in sizes))
    largest = max(common // size for sizes in unit_sizes for size in sizes)
    bits = (52 - (k * (k - 1) // 2 * len(raw) * largest**2 * n * (n - 1)).bit_length()) // 2
    found = []
    for (centred, variance), weight in zip(ready, weights, strict=False):
        factor = (weight / max(weights)) ** 2 * (1 << (2 * bits + 2)) / variance
        halves = [(math.isqrt(int(v * v * factor)) + 1) // 2 for v in centred]
        found.append([half if v >= 0 else -half for half, v in zip(halves, centred, strict=False)])
    return found


def constrained(trial: Trial, stream: Stream) -> list[int]:
    """Candidates from the stream until one has a score of at most the cut-off."""
    members = strata_of(trial.units, trial.scheme["by"] or [], trial.n)
    k = len(trial.ratio)
    options = [count_options(len(block), trial.ratio) for block in members]
    totals = count_options(trial.n, trial.ratio)
    ways: list[Counter[Counts]] = [Counter({(0,) * k: 1})]
    for choices in reversed(options):
        later: Counter[Counts] = Counter()
        for rest, number in ways[0].items():
            for choice in choices:
                later[tuple(a + b for a, b in zip(rest, choice, strict=False))] += number * orders(choice)
        ways.insert(0, later)
    totals = [total for total in totals if ways[0][total]]
    q = whole_covariates(trial, totals)
    common = math.lcm(*(size for sizes in totals for size in sizes))

    def score(codes: list[int]) -> int:
        sizes = [codes.count(arm) for arm in range(k)]
        found = 0
        for column in q:
            sums = [0] * k
            for arm, value in zip(codes, column, strict=False):
                sums[arm] += value
            means = [common // size * total for size, total in zip(sizes, sums, strict=False)]
            found += sum((a - b) ** 2 for a, b in itertools.combinations(means, 2))
        return found

    def candidate(source: Stream) -> list[int]:
        left = pick(source, [(total, ways[0][total]) for total in totals])
        codes = [0] * trial.n
        for stratum, block in enumerate(members):
            weighted = []
            for choice in options[stratum]:
                rest = tuple(a - b for a, b in zip(left, choice, strict=False))
                weighted.append(((choice, rest), orders(choice) * ways[stratum + 1][rest]))
            choice, left = pick(source, weighted)
            for unit, arm in zip(
                block, source.shuffled([a for a, m in enumerate(choice) for _ in range(m)]), strict=False
            ):
                codes[unit] = arm
        return codes

    cutoff, number = trial.derived["cutoff"], sum(ways[0][total] for total in totals)
    accept = Fraction(repr(trial.scheme["accept"]))
    if not trial.derived["exact"]:
        source = Stream(b"wwc_eval/constrained/v1", "wwc_eval/constrained/cutoff")
        scores = sorted(score(candidate(source)) for _ in range(SAMPLED))
        check_cutoff(scores[max(1, round(accept * SAMPLED)) - 1], cutoff)
    elif number <= QUICK or trial.full:
        scores = sorted(score(codes) for codes in permitted(members, options, set(totals), trial.n))
        check_cutoff(scores[max(1, round(accept * number)) - 1], cutoff)
    else:
        trial.notes.append(
            f"the cut-off of {number:,} candidates is the receipt's; --full or the package derives it"
        )
    while True:
        codes = candidate(stream)
        if score(codes) <= cutoff:
            return codes


def check_cutoff(found: int, told: int) -> None:
    """Refuse a cut-off that does not follow from the units."""
    if found != told:
        raise Wrong("another cut-off follows from the unit list")


def count_options(n: int, ratio: list[int]) -> list[Counts]:
    """Permitted numbers of n units in each arm, in order."""
    total = sum(ratio)
    base = [n * part // total for part in ratio]
    open_arms = [arm for arm, part in enumerate(ratio) if n * part % total]
    chosen = itertools.combinations(open_arms, n - sum(base))
    return sorted(tuple(count + (arm in extra) for arm, count in enumerate(base)) for extra in chosen)


def orders(counts: Counts) -> int:
    """Ways to deal these numbers of labels."""
    return math.factorial(sum(counts)) // math.prod(math.factorial(count) for count in counts)


def pick(stream: Stream, weighted: list[tuple[Any, int]]) -> Any:
    """One item by weight; a single possible one takes nothing from the stream."""
    possible = [(item, weight) for item, weight in weighted if weight]
    if len(possible) == 1:
        return possible[0][0]
    place = stream.below(sum(weight for _, weight in possible))
    for item, weight in possible:
        if place < weight:
            return item
        place -= weight
    raise AssertionError


def permitted(
    members: list[list[int]], options: list[list[Counts]], totals: set[Counts], n: int
) -> Iterator[list[int]]:
    """Every permitted allocation once."""
    k = len(options[0][0])

    def arrange(counts: Counts) -> Iterator[Counts]:
        if not sum(counts):
            yield ()
        for arm in range(k):
            if counts[arm]:
                for rest in arrange((*counts[:arm], counts[arm] - 1, *counts[arm + 1 :])):
                    yield (arm, *rest)

    for table in itertools.product(*options):
        if tuple(map(sum, zip(*table, strict=False))) in totals:
            for rows in itertools.product(*(list(arrange(counts)) for counts in table)):
                codes = [0] * n
                for block, row in zip(members, rows, strict=False):
                    for unit, arm in zip(block, row, strict=False):
                        codes[unit] = arm
                yield codes
