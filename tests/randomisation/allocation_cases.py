"""Designs that the tests of allocation share, and the exact law of a draw found by following every choice it makes."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_eval.randomisation.arms import read_arms
from wwc_eval.randomisation.units import read_units

REFERENCE = Path(__file__).resolve().parents[1] / "reference"


def units_of(sizes):
    """A unit list with strata of these sizes, an order of arrival that is not that of the names, and a number."""
    n = sum(sizes)
    frame = pd.DataFrame(
        {
            "unit": [f"U{i:02d}" for i in range(n)],
            "stratum": np.repeat([f"s{j}" for j in range(len(sizes))], sizes),
            "arrival": [(7 * i) % 11 for i in range(n)],
            "x": [float((5 * i) % 7) for i in range(n)],
        }
    )
    return frame.sample(frac=1.0, random_state=1)


def bound_of(scheme, sizes, arms=("control", "programme")):
    return scheme.bind(read_units(units_of(sizes), "unit", scheme.columns), read_arms(arms))


def partitions(n, least):
    """All ways to split n units into strata of at least so many, the largest first."""

    def split(left, most):
        if not left:
            yield ()
        for size in range(min(left, most), least - 1, -1):
            for rest in split(left - size, size):
                yield (size, *rest)

    return list(split(n, n))


class Scripted:
    """A stream that follows a given path of choices and notes where a new one opens."""

    def __init__(self, path):
        self.path, self.taken, self.options, self.chance = path, 0, None, Fraction(1)

    def _choose(self, options):
        if self.taken == len(self.path):
            self.options = options
            raise BranchError
        choice = self.path[self.taken]
        self.taken += 1
        self.chance /= options
        return choice

    def below(self, n):
        return 0 if n == 1 else self._choose(n)

    def shuffled(self, items):
        orders = sorted(set(itertools.permutations(items))) if len(items) < 5 else arrangements(items)
        return list(orders[0 if len(orders) == 1 else self._choose(len(orders))])


class BranchError(Exception):
    pass


_KNOWN = {}


def arrangements(items):
    """All different orders of a list."""
    key = tuple(sorted(items))
    if key not in _KNOWN:
        from wwc_eval.randomisation.dealing import arrangements as ways

        values = sorted(set(key))
        rows = ways([key.count(value) for value in values])
        _KNOWN[key] = [tuple(values[i] for i in row) for row in rows]
    return _KNOWN[key]


def law_of_draw(bound, most=10**9):
    """Exact probability of every allocation that ``draw`` can give, by following every choice.

    None where there are more than ``most`` ways through.
    """
    law = {}
    paths = [()]
    ends = 0
    while paths:
        if ends + len(paths) > most:
            return None
        path = paths.pop()
        stream = Scripted(path)
        try:
            codes = bound.draw(stream)
        except BranchError:
            paths += [(*path, choice) for choice in range(stream.options)]
        else:
            ends += 1
            key = tuple(codes.tolist())
            law[key] = law.get(key, Fraction(0)) + stream.chance
    return law


def law_of_enumeration(bound):
    reference = bound.enumerate(10**7)
    return dict(zip(map(tuple, reference.allocations.tolist()), reference.weights.tolist(), strict=True))
