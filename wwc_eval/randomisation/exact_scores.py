"""Balance scores in whole numbers, so that the same schemes are accepted on every machine.

Covariates are standardised exactly (as fractions) and rounded once to whole numbers. Sums and squares of these stay
below 2^53, where floating point is exact too: no order of summation, processor or library can move a scheme across
the cut-off, and mirror images tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt, lcm

import numpy as np

from wwc_eval.errors import DesignError, shown

__all__ = [
    "Codes",
    "Covariate",
    "Embedding",
    "Integers",
    "embed",
    "quantised",
    "score_unit",
    "scores",
    "standardise",
]

Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Codes = np.ndarray[tuple[int, ...], np.dtype[np.int8]]


@dataclass(frozen=True)
class Covariate:
    """One numeric column to balance: its name, its values in canonical order of the units, and its weight."""

    name: str
    values: tuple[Fraction, ...]
    weight: Fraction = Fraction(1)


@dataclass(frozen=True, eq=False)
class Embedding:
    """What each unit adds to the vector of differences between arms, by the arm that it gets.

    Parameters
    ----------
    vectors : (units, arms, d) int64 array
        ``d`` is the number of pairs of arms times that of covariates.
    bits : int
        Covariates are rounded to multiples of ``2^-bits`` standard deviations (of the largest weight).
    """

    vectors: Integers
    bits: int


def standardise(
    covariates: Sequence[Covariate], *, orthogonal: bool = False
) -> list[tuple[list[Fraction], Fraction]]:
    """Centred values of each covariate and their variance, both exact.

    Parameters
    ----------
    covariates : sequence of Covariate
        All of the same length n, 2 or more.
    orthogonal : bool
        Whether each is replaced by what the earlier ones do not determine (Gram-Schmidt): sums of squares of the
        standardised columns are then Mahalanobis distances.

    Raises
    ------
    DesignError
        If a covariate does not vary, or earlier ones determine it.
    """
    ready: list[tuple[list[Fraction], Fraction]] = []
    for covariate in covariates:
        n = len(covariate.values)
        mean = sum(covariate.values, Fraction(0)) / n
        centred = [value - mean for value in covariate.values]
        if not any(centred):
            raise DesignError(
                f"covariate {shown(covariate.name)} does not vary", fix="leave it out of on", code="R21"
            )
        if orthogonal:
            for earlier, variance in ready:
                slope = sum((a * b for a, b in zip(centred, earlier, strict=True)), Fraction(0))
                slope /= variance * (n - 1)
                centred = [a - slope * b for a, b in zip(centred, earlier, strict=True)]
            if not any(centred):
                raise DesignError(
                    f"covariate {shown(covariate.name)} is determined by those before it",
                    fix="leave it out of on: it would be balanced anyway",
                    code="R22",
                )
        ready.append((centred, sum((a * a for a in centred), Fraction(0)) / (n - 1)))
    return ready


def quantised(centred: Sequence[Fraction], variance: Fraction, weight: Fraction, bits: int) -> list[int]:
    """Whole numbers nearest to ``weight * value / sd * 2^bits``, halves away from zero."""
    factor = weight * weight * (1 << (2 * bits + 2)) / variance
    found = []
    for value in centred:
        size = value * value * factor
        twice = isqrt(size.numerator // size.denominator)
        found.append((twice + 1) // 2 if value >= 0 else -((twice + 1) // 2))
    return found


def score_unit(totals: Sequence[Sequence[int]]) -> int:
    """Least common multiple of all permitted arm sizes: mean differences times it are whole numbers."""
    return lcm(*(size for sizes in totals for size in sizes))


def embed(
    covariates: Sequence[Covariate], totals: Sequence[Sequence[int]], *, orthogonal: bool = False
) -> tuple[Embedding, ...]:
    """Vectors whose sum over the units is the difference in means, for each permitted set of arm sizes.

    With ``q`` the rounded covariates, ``m`` the arm sizes and ``L`` their least common multiple, a unit in arm a adds
    ``L/m_a q`` to each pair (a, b) and takes it from each pair (b, a). ``bits`` is the largest with which no score can
    reach 2^52: ``(52 - bit length of p k c^2 n (n - 1)) // 2`` for p pairs of arms, k covariates and
    ``c = max L/m_a``.

    Parameters
    ----------
    covariates : sequence of Covariate
        Columns to balance; weights are divided by the largest.
    totals : sequence of sequence of int
        Permitted numbers of units in the arms, each at least 1.
    orthogonal : bool
        As in :func:`standardise`.

    Raises
    ------
    DesignError
        If a covariate does not vary, or there are too many units and covariates to score in whole numbers.
    """
    ready = standardise(covariates, orthogonal=orthogonal)
    n, arms = len(covariates[0].values), len(totals[0])
    pairs = [(a, b) for a in range(arms) for b in range(a + 1, arms)]
    common = score_unit(totals)
    largest = max(common // size for sizes in totals for size in sizes)
    bound = len(pairs) * len(ready) * largest**2 * n * (n - 1)
    bits = (52 - bound.bit_length()) // 2
    if bits < 6:
        raise DesignError(
            f"{n} units, {len(ready)} covariates and these arm sizes are too many to score in whole numbers",
            fix="randomise within strata (by=) with Stratified, or name fewer covariates",
            code="R23",
        )
    heaviest = max(abs(covariate.weight) for covariate in covariates)
    columns = [
        quantised(centred, variance, covariate.weight / heaviest, bits)
        for covariate, (centred, variance) in zip(covariates, ready, strict=True)
    ]
    q = np.array(columns, dtype=np.int64).T
    found = []
    for sizes in totals:
        vectors = np.zeros((n, arms, len(pairs), len(ready)), dtype=np.int64)
        for index, (a, b) in enumerate(pairs):
            vectors[:, a, index] = common // sizes[a] * q
            vectors[:, b, index] = -(common // sizes[b]) * q
        found.append(Embedding(vectors.reshape(n, arms, -1), bits))
    return tuple(found)


def scores(embedding: Embedding, allocations: Codes) -> Integers:
    """Score of each allocation: squared length of the sum of its vectors.

    Parameters
    ----------
    embedding : Embedding
        For the arm sizes that these allocations have.
    allocations : (allocations, units) array of arm indices
    """
    _, arms, d = embedding.vectors.shape
    total = np.zeros((len(allocations), d))
    for arm in range(arms):
        # sums of whole numbers below 2^53: exact in any order
        total += (allocations == arm).astype(float) @ embedding.vectors[:, arm].astype(float)
    squared: Integers = np.einsum("rd,rd->r", total, total).astype(np.int64)
    return squared
