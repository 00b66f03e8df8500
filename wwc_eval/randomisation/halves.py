"""Every permitted allocation scored without listing them: meet in the middle.

The units are cut into two halves; the arms of each half are listed, and the score of any two that fit together is
``|l|^2 + |r|^2 + 2 l.r``, one matrix product for a block of pairs. Blocks hold what fits: the strata's counts and the
arm totals are permitted. With equal arms only allocations with the first unit in the first arm are scored, since every
exchange of arms has the same score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.randomisation.count_tables import Counts, CountTables
from wwc_eval.randomisation.exact_scores import Codes, Embedding

__all__ = ["MOST_ROWS", "Block", "Halves", "exact_is_feasible"]

MOST_SCHEMES = 160_000_000
"""Up to 30 clusters in two equal arms (155,117,520 schemes)."""
MOST_ROWS = 200_000
CELLS = 1 << 16
"""Scores computed at a time: half a megabyte stays in the processor's cache."""

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Block:
    """Scores of some left halves (rows) with some right halves (columns), all permitted.

    ``left`` and ``right`` are the arms of the units, one row a half.
    """

    left: Codes
    right: Codes
    scores: Floats


@dataclass(frozen=True, eq=False)
class _Part:
    arms: Codes
    vectors: Floats
    squares: Floats


class Halves:
    """Permitted allocations of units that are sorted by stratum.

    Parameters
    ----------
    tables : CountTables
        Strata and permitted counts.
    embeddings : sequence of Embedding
        One for each of ``tables.totals``.
    """

    def __init__(self, tables: CountTables, embeddings: Sequence[Embedding]) -> None:
        self.tables = tables
        self.embeddings = tuple(embeddings)
        self.n = sum(tables.sizes)
        self.cut = self.n // 2
        self.symmetric = len(set(tables.ratio)) == 1
        self.multiplier = len(tables.ratio) if self.symmetric else 1
        self._left = _listed(tables, 0, self.cut, fixed=self.symmetric)
        self._right = _listed(tables, self.cut, self.n, fixed=False)

    def blocks(self) -> Iterator[Block]:
        """Blocks that together hold every allocation once (one of each exchange of equal arms)."""
        for total, embedding in zip(self.tables.totals, self.embeddings, strict=True):
            left = self._parts(self._left, embedding, 0)
            right = self._parts(self._right, embedding, self.cut)
            for (straddle, counts), part in left.items():
                for options in self._partners(straddle, counts, total):
                    if options in right:
                        yield from _blocks(part, right[options])

    def _partners(self, straddle: Counts, counts: Counts, total: Counts) -> Iterator[tuple[Counts, Counts]]:
        rest = tuple(t - c for t, c in zip(total, counts, strict=True))
        stratum = _straddling(self.tables.sizes, self.cut)
        if stratum is None:
            yield (), rest
            return
        for option in self.tables.options[stratum]:
            other = tuple(o - s for o, s in zip(option, straddle, strict=True))
            if min(other) >= 0:
                yield other, rest

    def _parts(
        self, groups: dict[tuple[Counts, Counts], Codes], embedding: Embedding, first: int
    ) -> dict[tuple[Counts, Counts], _Part]:
        found = {}
        for key, arms in groups.items():
            vectors = np.zeros((len(arms), embedding.vectors.shape[2]))
            for unit in range(arms.shape[1]):
                vectors += embedding.vectors[first + unit].astype(float)[arms[:, unit]]
            found[key] = _Part(arms, vectors, np.einsum("rd,rd->r", vectors, vectors))
        return found


def exact_is_feasible(tables: CountTables) -> bool:
    """Whether all permitted allocations can be scored: at most 160 million, and halves of at most 200,000 rows."""
    if tables.n_allocations > MOST_SCHEMES:
        return False
    n = sum(tables.sizes)
    try:
        _listed(tables, 0, n // 2, fixed=len(set(tables.ratio)) == 1)
        _listed(tables, n // 2, n, fixed=False)
    except _TooManyError:
        return False
    return True


class _TooManyError(Exception):
    pass


def _straddling(sizes: Sequence[int], cut: int) -> int | None:
    """Stratum that lies on both sides of the cut."""
    end = 0
    for stratum, size in enumerate(sizes):
        if end < cut < end + size:
            return stratum
        end += size
    return None


def _listed(tables: CountTables, first: int, last: int, *, fixed: bool) -> dict[tuple[Counts, Counts], Codes]:
    """Arms of units ``first`` to ``last - 1``, grouped by counts in the straddling stratum and over all."""
    arms = len(tables.ratio)
    cut = last if first == 0 else first
    straddling = _straddling(tables.sizes, cut)
    most = np.max(tables.totals, axis=0)
    rows = np.zeros((1, 0), dtype=np.int8)
    # counts over all units, in the straddling stratum, in the stratum at hand
    counts = np.zeros((1, 3, arms), dtype=np.int64)
    end = 0
    for stratum, (options, size) in enumerate(zip(tables.options, tables.sizes, strict=True)):
        start, end = end, end + size
        counts[:, 2] = 0
        ceiling = np.stack([most, most, np.minimum(np.max(options, axis=0), most)])
        for unit in range(max(start, first), min(end, last)):
            choices = [0] if fixed and unit == 0 else range(arms)
            more = np.zeros((arms, 3, arms), dtype=np.int64)
            more[:, 0] = more[:, 2] = np.eye(arms, dtype=np.int64)
            more[:, 1] = more[:, 0] * (stratum == straddling)
            rows = np.concatenate([np.column_stack([rows, np.full(len(rows), arm, np.int8)]) for arm in choices])
            counts = np.concatenate([counts + more[arm] for arm in choices])
            keep = (counts <= ceiling).all((1, 2))
            rows, counts = rows[keep], counts[keep]
            if len(rows) > MOST_ROWS:
                raise _TooManyError
        if first <= start and end <= last:
            keep = (counts[:, None, 2] == np.array(options)[None]).all(2).any(1)
            rows, counts = rows[keep], counts[keep]
    keys = np.concatenate([counts[:, 1], counts[:, 0]], axis=1)
    distinct, group = np.unique(keys, axis=0, return_inverse=True)
    split = 0 if straddling is None else arms
    return {
        (tuple(key[:split]), tuple(key[arms:])): rows[group.reshape(-1) == index]
        for index, key in enumerate(distinct.tolist())
    }


def _blocks(left: _Part, right: _Part) -> Iterator[Block]:
    """Products of pieces that fit the cache."""
    columns = min(len(right.arms), 1024)
    step = max(1, CELLS // columns)
    ones = np.ones(len(right.arms))
    right_side = np.concatenate([right.vectors.T, ones[None], right.squares[None]])
    left_side = np.concatenate([2 * left.vectors, left.squares[:, None], np.ones((len(left.arms), 1))], axis=1)
    for column in range(0, len(right.arms), columns):
        across = right_side[:, column : column + columns]
        for row in range(0, len(left.arms), step):
            yield Block(
                left.arms[row : row + step],
                right.arms[column : column + columns],
                left_side[row : row + step] @ across,
            )
