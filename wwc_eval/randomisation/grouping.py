"""Blocks of more than two units that are alike, by exchanging units until no exchange helps."""

from __future__ import annotations

import numpy as np

from wwc_eval.randomisation.exact_scores import Integers
from wwc_eval.randomisation.matching import match_pairs

__all__ = ["group_units", "whole_distances"]


def whole_distances(coordinates: Integers) -> Integers:
    """Euclidean distances between rows of whole numbers, rounded down to whole numbers.

    Exact while squared distances stay below 2^52.
    """
    squares = np.zeros((len(coordinates), len(coordinates)), dtype=np.int64)
    for column in coordinates.T:
        squares += (column[:, None] - column[None]) ** 2
    roots: Integers = np.floor(np.sqrt(squares.astype(float))).astype(np.int64)
    return roots


def group_units(distances: Integers, size: int) -> tuple[list[list[int]], list[int]]:
    """Blocks of ``size`` units with a small total distance within, and the units left over.

    Pairs are optimal, also in which unit is left over. Larger blocks start from the unit that is farthest from the
    others with its nearest, and are improved by the best exchange of two units until none helps; no better grouping
    is ruled out (for blocks of three or more that is a hard problem).

    Returns
    -------
    blocks : list of list of int
        Each ascending, by their first unit.
    left : list of int
        Fewer than ``size`` units.
    """
    n = len(distances)
    if size == 2:
        return _pairs(distances)
    groups = _start(distances, size)
    owner = np.empty(n, dtype=np.intp)
    for number, group in enumerate(groups):
        owner[group] = number
    has_left = n % size > 0
    _exchange(distances, owner, len(groups), has_left=has_left)
    found = [np.flatnonzero(owner == number).tolist() for number in range(len(groups))]
    left = found.pop() if has_left else []
    return sorted(found), left


def _pairs(distances: Integers) -> tuple[list[list[int]], list[int]]:
    n = len(distances)
    if n % 2 == 0:
        return [list(pair) for pair in match_pairs(distances)], []
    # somebody at no distance from anybody takes the unit whose absence costs least
    padded = np.zeros((n + 1, n + 1), dtype=np.int64)
    padded[:n, :n] = distances
    pairs = match_pairs(padded)
    return [list(pair) for pair in pairs if pair[1] < n], [pair[0] for pair in pairs if pair[1] == n]


def _start(distances: Integers, size: int) -> list[list[int]]:
    free = np.arange(len(distances))
    groups = []
    while len(free) >= size:
        among = distances[np.ix_(free, free)]
        first = int(np.argmax(among.sum(axis=1)))
        order = np.argsort(among[first], kind="stable")
        order = np.concatenate([[first], order[order != first]])[:size]
        groups.append(free[order].tolist())
        free = np.delete(free, order)
    return [*groups, free.tolist()] if len(free) else groups


def _exchange(
    distances: Integers, owner: np.ndarray[tuple[int, ...], np.dtype[np.intp]], n_groups: int, *, has_left: bool
) -> None:
    """Exchange units between blocks, always the pair that helps most; distances among those left over do not count."""
    units = np.arange(len(owner))
    while True:
        to_group = np.stack([distances[:, owner == group].sum(axis=1) for group in range(n_groups)], axis=1)
        counts = np.ones(n_groups, dtype=np.int64)
        if has_left:
            to_group[:, -1] = 0
            counts[-1] = 0
        own = to_group[units, owner]
        # unit i goes to j's block and j to i's
        after = to_group[:, owner] - distances * counts[owner][None, :]
        change = after + after.T - own[:, None] - own[None, :]
        change[owner[:, None] == owner[None, :]] = 0
        best = int(np.argmin(change))
        if change.flat[best] >= 0:
            return
        i, j = divmod(best, len(owner))
        owner[i], owner[j] = owner[j], owner[i]
