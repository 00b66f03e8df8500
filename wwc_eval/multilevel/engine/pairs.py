"""Cross-products of one factor's groups with the random effects of the others, sparse or dense.

Both forms answer the questions of the crossed engine: the weighted sum ``sum_s a_s' N_s a_s`` and the quadratic
forms ``a_s G a_s'``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["DensePairs", "Pairs", "SparsePairs", "pairs_of"]

DENSE_NUMBERS = 30_000_000
"""Largest dense form, in numbers."""
SPARSE_COST = 40.0
"""Time of one sparse product beside one dense one."""


class Pairs(Protocol):
    """Cross-products ``a`` (G, q, m) of the first factor's groups with m other random effects."""

    def weighted(self, gain: Array) -> Array:
        """``sum_s a_s' N_s a_s`` (m, m), symmetric, for ``N`` (G, q, q)."""

    def cross(self, right: Array) -> Array:
        """``sum_s a_s' b_s`` (m, r) for ``b`` (G, q, r)."""

    def along(self, right: Array) -> Array:
        """``a_s b`` (G, q, r) for ``b`` (m, r)."""

    def quadratic(self, inner: Array) -> Array:
        """``a_s G a_s'`` (G, q, q) for symmetric ``G`` (m, m)."""

    def dense(self) -> Array:
        """The cross-products as a matrix (G q, m)."""


def pairs_of(a: sparse.csr_matrix, groups: int, width: int) -> Pairs:
    """The faster form for cross-products given as a sparse matrix (groups x width, m)."""
    filled = np.diff(a.indptr).astype(float)
    by_group = filled.reshape(groups, width).max(axis=1)
    sparse_work = SPARSE_COST * float((by_group**2).sum()) * width**2 / 2.0
    dense_work = float(a.shape[0]) * a.shape[1] ** 2
    if a.shape[0] * a.shape[1] <= DENSE_NUMBERS and dense_work <= sparse_work:
        return DensePairs(values=a.toarray().reshape(groups, width, -1))
    return SparsePairs.from_matrix(a, groups, width)


@dataclass(frozen=True, kw_only=True, eq=False)
class DensePairs:
    """Cross-products held as one array (G, q, m)."""

    values: Array

    def dense(self) -> Array:
        """The cross-products as a matrix."""
        return self.values.reshape(-1, self.values.shape[-1])

    def weighted(self, gain: Array) -> Array:
        """``sum_s a_s' N_s a_s``."""
        flat = self.dense()
        return flat.T @ (gain @ self.values).reshape(flat.shape)

    def cross(self, right: Array) -> Array:
        """``sum_s a_s' b_s``."""
        return self.dense().T @ right.reshape(-1, right.shape[-1])

    def along(self, right: Array) -> Array:
        """``a_s b``."""
        return (self.dense() @ right).reshape(*self.values.shape[:2], -1)

    def quadratic(self, inner: Array) -> Array:
        """``a_s G a_s'``."""
        turned = (self.dense() @ inner).reshape(self.values.shape)
        return turned @ self.values.swapaxes(1, 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class SparsePairs:
    """Cross-products held sparse, with the pattern of their sums worked out once.

    Parameters
    ----------
    matrix : sparse (G q, m)
        The cross-products.
    groups, width : int
        G and q.
    row, column : integer arrays
        Places (row >= column) of the weighted sum that can be filled.
    parts : tuple
        For each pair i, j of the first factor's columns, a sparse matrix (places, G) that turns the weights
        ``N[:, i, j]`` into the filled places.
    """

    matrix: sparse.csr_matrix
    groups: int
    width: int
    row: Index
    column: Index
    parts: tuple[tuple[int, int, sparse.csr_matrix], ...]

    @classmethod
    def from_matrix(cls, matrix: sparse.csr_matrix, groups: int, width: int) -> SparsePairs:
        """Work out the pattern."""
        m = matrix.shape[1]
        slices = [matrix[i::width].tocsr() for i in range(width)]
        found = [(i, j, *_products(slices[i], slices[j], m)) for i in range(width) for j in range(width)]
        places = np.unique(np.concatenate([place for _, _, place, _, _ in found]))
        parts = []
        for i, j, place, group, value in found:
            at = np.searchsorted(places, place)
            parts.append((i, j, sparse.csr_matrix((value, (at, group)), shape=(len(places), groups))))
        return cls(
            matrix=matrix,
            groups=groups,
            width=width,
            row=(places // m).astype(np.intp),
            column=(places % m).astype(np.intp),
            parts=tuple(parts),
        )

    def dense(self) -> Array:
        """The cross-products as a matrix."""
        return np.asarray(self.matrix.toarray())

    def weighted(self, gain: Array) -> Array:
        """``sum_s a_s' N_s a_s``."""
        m = self.matrix.shape[1]
        filled = sum(part @ gain[:, i, j] for i, j, part in self.parts)
        found = np.zeros((m, m))
        found[self.row, self.column] = filled
        found[self.column, self.row] = filled
        return found

    def cross(self, right: Array) -> Array:
        """``sum_s a_s' b_s``."""
        return np.asarray(self.matrix.T @ right.reshape(-1, right.shape[-1]))

    def along(self, right: Array) -> Array:
        """``a_s b``."""
        return np.asarray(self.matrix @ right).reshape(self.groups, self.width, -1)

    def quadratic(self, inner: Array) -> Array:
        """``a_s G a_s'``."""
        values = inner[self.row, self.column] * np.where(self.row == self.column, 1.0, 2.0)
        found = np.empty((self.groups, self.width, self.width))
        for i, j, part in self.parts:
            found[:, i, j] = part.T @ values
        return (found + found.swapaxes(1, 2)) / 2.0


def _products(a: sparse.csr_matrix, b: sparse.csr_matrix, m: int) -> tuple[Index, Index, Array]:
    """Place (row >= column), group and value of every product of entries of the same row of a and b.

    With different matrices both orders fall on the same place and are averaged, which is what a symmetric sum
    needs; of one matrix with itself only one order is kept.
    """
    places, groups, values = [], [], []
    filled_a, filled_b = np.diff(a.indptr), np.diff(b.indptr)
    shapes = np.unique(np.column_stack([filled_a, filled_b]), axis=0)
    for count_a, count_b in shapes.tolist():
        if not (count_a and count_b):
            continue
        rows = np.flatnonzero((filled_a == count_a) & (filled_b == count_b))
        at_a = a.indptr[rows][:, None] + np.arange(count_a)
        at_b = b.indptr[rows][:, None] + np.arange(count_b)
        left, right = a.indices[at_a].astype(np.int64), b.indices[at_b].astype(np.int64)
        if a is b:
            i, j = np.tril_indices(count_a)
            first, second = left[:, i], left[:, j]
            values.append((a.data[at_a][:, i] * a.data[at_a][:, j]).ravel())
            places.append((np.maximum(first, second) * m + np.minimum(first, second)).ravel())
            groups.append(np.repeat(rows, len(i)))
            continue
        first = np.repeat(left, count_b, axis=1)
        second = np.tile(right, (1, count_a))
        value = np.repeat(a.data[at_a], count_b, axis=1) * np.tile(b.data[at_b], (1, count_a))
        off = first != second
        values.append(np.where(off, value / 2.0, value).ravel())
        places.append((np.maximum(first, second) * m + np.minimum(first, second)).ravel())
        groups.append(np.repeat(rows, count_a * count_b))
    return np.concatenate(places), np.concatenate(groups), np.concatenate(values)
