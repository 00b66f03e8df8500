"""Blocks of units among which a fixed number of each arm's labels is dealt, every order equally likely.

Stream: the labels of a block stand in order of the arms (n_1 times the first, n_2 times the second, ...), are shuffled,
and go to the block's units in canonical order; blocks follow one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wwc_eval.randomisation.stream import Stream

__all__ = ["arrangements", "deal", "deal_many", "pair_probabilities", "products"]

Codes = NDArray[np.int8]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Index = NDArray[np.intp]


def deal(members: Sequence[Index], counts: Sequence[Sequence[int]], stream: Stream) -> Codes:
    """One allocation from the stream.

    Parameters
    ----------
    members : sequence of arrays
        Positions of the units of each block, ascending.
    counts : (blocks, k) whole numbers
        Units of each arm in each block.
    stream : Stream
        Where the random numbers come from.
    """
    codes = np.empty(sum(len(block) for block in members), dtype=np.int8)
    for block, numbers in zip(members, counts, strict=True):
        labels = [arm for arm, number in enumerate(numbers) for _ in range(number)]
        codes[block] = stream.shuffled(labels)
    return codes


def deal_many(members: Sequence[Index], counts: Counts, rng: np.random.Generator) -> Codes:
    """Independent allocations.

    Parameters
    ----------
    members : sequence of arrays
        Positions of the units of each block.
    counts : (draws, blocks, k) array
        Units of each arm in each block of each draw.
    rng : Generator
        Where the random numbers come from.
    """
    draws = len(counts)
    codes = np.empty((draws, sum(len(block) for block in members)), dtype=np.int8)
    sizes = np.array([len(block) for block in members])
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        places = np.stack([members[b] for b in same.tolist()])
        # numbers that do not vary are laid out once
        varying = counts if counts.strides[0] else counts[:1]
        ends = np.cumsum(varying[:, same, :-1], axis=2)
        labels = (np.arange(size)[:, None] >= ends[:, :, None, :]).sum(axis=3, dtype=np.int8)
        if len(labels) < draws:
            labels = np.repeat(labels, draws, axis=0)
        codes[:, places.ravel()] = rng.permuted(labels, axis=2, out=labels).reshape(draws, -1)
    return codes


def arrangements(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every order of one block's labels, once each, in lexicographic order."""
    labels = [arm for arm, number in enumerate(counts) for _ in range(number)]
    while True:
        yield tuple(labels)
        # the next permutation of a multiset
        i = len(labels) - 2
        while i >= 0 and labels[i] >= labels[i + 1]:
            i -= 1
        if i < 0:
            return
        j = len(labels) - 1
        while labels[j] <= labels[i]:
            j -= 1
        labels[i], labels[j] = labels[j], labels[i]
        labels[i + 1 :] = labels[:i:-1]


def products(members: Sequence[Index], blocks: Sequence[NDArray[np.int8]]) -> Codes:
    """Every combination of one row of each block's (ways, size) array, as allocations."""
    ways = [len(block) for block in blocks]
    total = int(np.prod(ways, dtype=np.int64))
    codes = np.empty((total, sum(len(block) for block in members)), dtype=np.int8)
    index = np.arange(total)
    repeat = total
    for block, rows, number in zip(members, blocks, ways, strict=True):
        repeat //= number
        codes[:, block] = rows[index // repeat % number]
    return codes


def pair_probabilities(blocks: Index, within: Floats, between: Floats) -> Floats:
    """Probability that two units share an arm, from those of their blocks.

    Parameters
    ----------
    blocks : (n,) array of int
        Block of each unit.
    within : (blocks,) array
        Probability for two units of one block.
    between : (blocks, blocks) array
        Probability for units of two blocks; its diagonal is not used.
    """
    table = between.copy()
    np.fill_diagonal(table, within)
    same = table[np.ix_(blocks, blocks)]
    np.fill_diagonal(same, 1.0)
    return np.asarray(same)
