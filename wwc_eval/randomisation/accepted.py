"""The accepted set of a constrained randomisation: its cut-off, size and exact probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from wwc_eval.randomisation.exact_scores import Codes, Integers
from wwc_eval.randomisation.halves import Floats, Halves

__all__ = ["AcceptedSet", "Spread", "accepted_rows", "find_cutoff", "in_order", "measure", "rank_of"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Distribution of the scores over all permitted allocations, in whole-number units.

    ``cutoff`` is the score of the allocation at the accepted rank; mean, SD (divisor N - 1) and minimum are of all
    N allocations.
    """

    n_schemes: int
    cutoff: int
    mean: float
    sd: float
    minimum: int


@dataclass(frozen=True, kw_only=True, eq=False)
class AcceptedSet:
    """What is accepted: how many allocations, and how often units get each arm and share an arm.

    Parameters
    ----------
    n_accepted : int
        Allocations with a score of at most the cut-off, ties included.
    arm_counts : (units, arms) array of int
        Accepted allocations in which a unit is in an arm.
    same_counts : (units, units) array of int
        Accepted allocations in which two units share an arm.
    """

    n_accepted: int
    arm_counts: Integers
    same_counts: Integers


def rank_of(accept: Fraction, n_schemes: int) -> int:
    """Rank of the last accepted score: the share times the number, to the nearest whole number (halves to even), at least 1.

    Examples
    --------
    >>> rank_of(Fraction(1, 10), 12870)
    1287
    """
    return max(1, round(accept * n_schemes))


def find_cutoff(halves: Halves, accept: Fraction) -> Spread:
    """Exact score at the accepted rank, and the spread of all scores.

    The first pass counts scores below a window and keeps those in it. The window is set by a sample of the scores and
    only saves work: if the rank is not in it, it is widened.
    """
    rank = math.ceil(Fraction(rank_of(accept, halves.tables.n_allocations), halves.multiplier))
    low, high = _window(halves, rank * halves.multiplier / halves.tables.n_allocations)
    while True:
        below, number, total, squares, least, kept = 0, 0, 0.0, 0.0, math.inf, []
        for block in halves.blocks():
            values = block.scores.ravel()
            number += values.size
            total += float(values.sum())
            squares += float(values @ values)
            least = min(least, float(values.min()))
            below += int(np.count_nonzero(values < low))
            inside = values[(values >= low) & (values <= high)]
            if inside.size:
                kept.append(inside)
        window = np.concatenate(kept) if kept else np.zeros(0)
        if below < rank <= below + window.size:
            break
        low, high = (0.0, low) if rank <= below else (high, high + 4 * (high - low) + 1)
    window.partition(rank - below - 1)
    mean = total / number
    sd = math.sqrt(max(squares / number - mean**2, 0.0) * number / max(number - 1 / halves.multiplier, 1))
    return Spread(
        n_schemes=number * halves.multiplier,
        cutoff=int(window[rank - below - 1]),
        mean=mean,
        sd=sd,
        minimum=int(least),
    )


def measure(halves: Halves, cutoff: int) -> AcceptedSet:
    """Exact counts of arms and of shared arms over all accepted allocations."""
    n, arms, cut = halves.n, len(halves.tables.ratio), halves.cut
    accepted = 0
    own = np.zeros((n, arms))
    same = np.zeros((n, n))
    for block in halves.blocks():
        ok = block.scores <= cutoff
        of_left = ok.sum(1)
        number = int(of_left.sum())
        if not number:
            continue
        accepted += number
        weights, of_left = ok.astype(np.float32), of_left.astype(float)
        of_right = ok.sum(0).astype(float)
        for arm in range(arms):
            left, right = (block.left == arm).astype(np.float32), (block.right == arm).astype(np.float32)
            own[:cut, arm] += of_left @ left
            own[cut:, arm] += of_right @ right
            # counts of a block stay below 2^24, where single precision is exact
            same[:cut, cut:] += left.T @ (weights @ right)
            same[:cut, :cut] += (left.T * of_left) @ left
            same[cut:, cut:] += (right.T * of_right) @ right
    same[cut:, :cut] = same[:cut, cut:].T
    if halves.symmetric:
        own = np.full((n, arms), accepted * halves.multiplier / arms)
    same_counts = np.rint(same).astype(np.int64) * halves.multiplier
    return AcceptedSet(
        n_accepted=accepted * halves.multiplier,
        arm_counts=np.rint(own).astype(np.int64),
        same_counts=same_counts,
    )


def accepted_rows(halves: Halves, cutoff: int) -> Codes:
    """Every accepted allocation as a row of arm indices, in no particular order."""
    found = list(_rows(halves, cutoff))
    rows = np.concatenate(found) if found else np.zeros((0, halves.n), dtype=np.int8)
    if halves.symmetric:
        from itertools import permutations

        arms = len(halves.tables.ratio)
        # the first unit is in the first arm: exchanges that differ among the other arms are listed already
        turns = [order for order in permutations(range(arms)) if list(order[1:]) == sorted(order[1:])]
        rows = np.concatenate([np.array(order, dtype=np.int8)[rows] for order in turns])
    return rows


def in_order(rows: Codes, arms: int) -> Codes:
    """Rows in lexicographic order."""
    n = rows.shape[1]
    if arms**n >= 1 << 63:
        return rows[np.lexsort(rows.T[::-1])]
    # one whole number a row sorts a hundred times as fast as its places one by one
    keys = np.zeros(len(rows), dtype=np.int64)
    for place in range(n):
        keys = keys * arms + rows[:, place]
    return rows[np.argsort(keys, kind="stable")]


def _rows(halves: Halves, cutoff: int) -> Iterator[Codes]:
    for block in halves.blocks():
        left, right = np.nonzero(block.scores <= cutoff)
        if len(left):
            yield np.concatenate([block.left[left], block.right[right]], axis=1)


def _window(halves: Halves, share: float) -> tuple[float, float]:
    """Scores between which the accepted rank very likely lies, from every k-th block."""
    step = max(1, halves.tables.n_allocations // halves.multiplier // 2_000_000)
    sample: list[Floats] = []
    rng = np.random.default_rng(0)  # which scores are looked at changes the time taken, never the result
    for number, block in enumerate(halves.blocks()):
        if number % step == 0:
            sample.append(rng.choice(block.scores.ravel(), min(block.scores.size, 1 << 14), replace=False))
    values = np.sort(np.concatenate(sample))
    spread = 0.05 * math.sqrt(share * (1 - share)) + 1e-4
    first, last = (int(np.clip(share + sign * spread, 0, 1) * (len(values) - 1)) for sign in (-1, 1))
    return (float(values[first]) if first else 0.0), float(values[last])
