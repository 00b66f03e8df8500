"""Imbalance of Pocock and Simon and the biased coin, in whole numbers.

For every factor, the counts of each arm among units that share the new unit's level are divided by the arm's share
of the ratio (multiplied by L/r_a, L the least common multiple of the ratio) after adding the new unit to one arm. Their
spread is the factor's imbalance; the sum over factors, weighted, decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from math import lcm

import numpy as np

from wwc_eval.randomisation.exact_scores import Integers

__all__ = ["IMBALANCES", "Coin", "imbalances"]

IMBALANCES = ("range", "variance", "sd")
_SD_STEPS = 1 << 20


class Coin:
    """Probabilities of the arms given those that would balance best, as whole numbers of ``denominator``.

    With c = (1 - p_best) / (R - r_min), R the sum of the ratio, an arm gets ``c r_a``, and the preferred arms share
    what is left, ``1 - c R``, in their ratio. A single preferred arm of the smallest share gets p_best; over many
    units every arm gets its share of the ratio (Han, Enas and McEntegart 2009, doi:10.1002/sim.3710).

    Parameters
    ----------
    p_best : Fraction
        From the smallest arm's share up to, but not, 1.
    ratio : sequence of int
        Allocation ratio.
    """

    def __init__(self, p_best: Fraction, ratio: Sequence[int]) -> None:
        self.ratio = tuple(ratio)
        whole = sum(ratio)
        self.floor = (1 - p_best) / (whole - min(ratio))
        self.spare = 1 - self.floor * whole
        arms = range(len(ratio))
        sums = {sum(ratio[a] for a in some) for size in arms for some in combinations(arms, size + 1)}
        self.denominator = lcm(self.floor.denominator, *((self.spare / each).denominator for each in sums))

    def weights(self, preferred: Sequence[bool]) -> list[int]:
        """Probability of each arm times the denominator."""
        best = sum(part for part, is_best in zip(self.ratio, preferred, strict=True) if is_best)
        chances = [
            part * (self.floor + (self.spare / best if is_best else 0))
            for part, is_best in zip(self.ratio, preferred, strict=True)
        ]
        return [int(chance * self.denominator) for chance in chances]

    def table(self) -> Integers:
        """Weights for every set of preferred arms, indexed by the bits of the set; shape (2^arms, arms)."""
        arms = len(self.ratio)
        rows = [self.weights([bool(code >> a & 1) for a in range(arms)]) for code in range(1, 1 << arms)]
        return np.array([[0] * arms, *rows], dtype=np.int64)


def imbalances(counts: Integers, weights: Integers, ratio: Sequence[int], measure: str) -> Integers:
    """Total imbalance if the next unit went to each arm.

    Parameters
    ----------
    counts : (..., factors, arms) array of int
        Earlier units that share the new unit's level of each factor, by arm.
    weights : (factors,) array of int
        Whole-number weights.
    ratio : sequence of int
        Allocation ratio.
    measure : {"range", "variance", "sd"}
        Spread of the k adjusted counts x: largest minus smallest; ``k sum x^2 - (sum x)^2``, proportional to the
        variance; the root of that, rounded down to 1/1024.

    Returns
    -------
    (..., arms) array of int
    """
    arms = len(ratio)
    common = lcm(*ratio)
    scale = np.array([common // part for part in ratio], dtype=np.int64)
    found = []
    for arm in range(arms):
        x = (counts + (np.arange(arms) == arm)) * scale
        if measure == "range":
            spread = x.max(axis=-1) - x.min(axis=-1)
        else:
            spread = arms * (x * x).sum(axis=-1) - x.sum(axis=-1) ** 2
            if measure == "sd":
                spread = np.floor(np.sqrt((spread * _SD_STEPS).astype(float))).astype(np.int64)
        found.append((spread * weights).sum(axis=-1))
    return np.stack(found, axis=-1)
