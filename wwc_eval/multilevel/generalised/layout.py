"""Rows, cells and groups: how the rows of a model meet its random effects.

A cell is a combination of groups of all factors that occurs in the data; rows are sorted by cell. A row meets one
group of each factor, so everything about the random effects of a row is an array over cells with ``m`` columns, one
for each varying column of every factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from wwc_eval.multilevel.engine.structure import Array, Grouping, Index

__all__ = ["Layout", "cells_of", "row_sums"]

Effects = list[Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Sorted rows with their cells.

    Parameters
    ----------
    starts : (C,) integers
        First row of each cell.
    n : int
        Rows.
    Z : tuple of (n,) arrays or None
        Varying columns of all factors, in the order of elimination; None stands for a column of ones.
    widths : tuple of int
        Columns of each factor.
    groups : tuple of (C,) integers
        Group of each cell, by factor.
    n_groups : tuple of int
        Groups of each factor.
    nested : bool
        Whether the factors nest in a chain (then cells are the finest groups).
    """

    starts: Index
    n: int
    Z: tuple[Array | None, ...]
    widths: tuple[int, ...]
    groups: tuple[Index, ...]
    n_groups: tuple[int, ...]
    nested: bool

    @cached_property
    def counts(self) -> Index:
        """Rows of each cell."""
        return np.asarray(np.diff(np.r_[self.starts, self.n]), dtype=np.intp)

    @cached_property
    def ones(self) -> tuple[int, ...]:
        """Varying columns that are ones."""
        return tuple(k for k, z in enumerate(self.Z) if z is None)

    @property
    def m(self) -> int:
        """Varying columns of all factors."""
        return len(self.Z)

    @cached_property
    def parts(self) -> tuple[slice, ...]:
        """Columns of each factor."""
        ends = np.cumsum([0, *self.widths])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @cached_property
    def units(self) -> tuple[Index, ...]:
        """Independent unit of each group, by factor: the outermost group, or one unit for crossed factors."""
        if not self.nested:
            return tuple(np.zeros(count, dtype=np.intp) for count in self.n_groups)
        found = []
        for codes, count in zip(self.groups, self.n_groups, strict=True):
            unit = np.zeros(count, dtype=np.intp)
            unit[codes] = self.groups[-1]
            found.append(unit)
        return tuple(found)

    @property
    def n_units(self) -> int:
        """Independent units."""
        return self.n_groups[-1] if self.nested else 1

    def to_rows(self, values: Array) -> Array:
        """Values of cells (C,) as values of rows (n,)."""
        return values if len(values) == self.n else np.repeat(values, self.counts)

    def cell_sum(self, rows: Array) -> Array:
        """Sums over the rows of each cell."""
        return rows if len(self.starts) == self.n else np.add.reduceat(rows, self.starts)

    def unit_sum(self, cells: Array) -> Array:
        """Sums over the cells of each independent unit."""
        if not self.nested:
            return np.array([cells.sum()])
        return np.asarray(np.bincount(self.groups[-1], weights=cells, minlength=self.n_units), dtype=float)

    @cached_property
    def own(self) -> tuple[bool, ...]:
        """Factors of which each group is one cell, in the order of the cells."""
        cells = np.arange(len(self.starts))
        return tuple(
            count == len(cells) and np.array_equal(codes, cells)
            for codes, count in zip(self.groups, self.n_groups, strict=True)
        )

    def expand(self, effects: Effects) -> Array:
        """Effects of groups, by factor (G, q), as an array over cells (C, m)."""
        parts = [
            each if own else each[codes] for each, codes, own in zip(effects, self.groups, self.own, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def collect(self, cells: Array) -> Effects:
        """Sums over the cells of each group, by factor: the transpose of :meth:`expand`."""
        found = []
        for part, codes, count, own in zip(self.parts, self.groups, self.n_groups, self.own, strict=True):
            columns = cells[:, part]
            if not own:
                sums = [np.bincount(codes, weights=column, minlength=count) for column in columns.T]
                columns = np.stack(sums, axis=1)
            found.append(columns)
        return found

    def eta(self, cells: Array) -> Array:
        """Contribution of random effects (C, m) to the linear predictor of rows."""
        ones = list(self.ones)
        if len(ones) == self.m:
            return self.to_rows(row_sums(cells))
        total = self.to_rows(row_sums(cells[:, ones])) if ones else np.zeros(self.n)
        for k, z in enumerate(self.Z):
            if z is not None:
                total = total + z * self.to_rows(cells[:, k])
        return total

    def reduce(self, rows: Array) -> Array:
        """Sums of ``z_i x_i`` over the rows of each cell (C, m)."""
        found = np.empty((len(self.starts), self.m))
        plain: Array | None = None
        for k, z in enumerate(self.Z):
            if z is None:
                plain = self.cell_sum(rows) if plain is None else plain
                found[:, k] = plain
            else:
                found[:, k] = self.cell_sum(z * rows)
        return found

    def gram(self, weight: Array) -> Array:
        """Sums of ``W_i z_i z_i'`` over the rows of each cell (C, m, m)."""
        found = np.empty((len(self.starts), self.m, self.m))
        plain = self.cell_sum(weight) if any(z is None for z in self.Z) else None
        for j, right in enumerate(self.Z):
            weighted = weight if right is None else weight * right
            for i in range(j, self.m):
                left = self.Z[i]
                if left is None and right is None:
                    value = plain
                else:
                    value = self.cell_sum(weighted if left is None else weighted * left)
                found[:, i, j] = found[:, j, i] = value
        return found

    def quadratic(self, cells: Array) -> Array:
        """``z_i' V z_i`` of rows for matrices V of cells (C, m, m)."""
        ones = list(self.ones)
        block = cells[:, ones][:, :, ones].reshape(len(cells), -1)
        total = self.to_rows(row_sums(block)) if ones else np.zeros(self.n)
        for k, z in enumerate(self.Z):
            if z is None:
                continue
            inner = 2.0 * row_sums(cells[:, k, ones]) if ones else np.zeros(len(cells))
            other = self.to_rows(inner) + z * self.to_rows(cells[:, k, k])
            for j in range(k):
                left = self.Z[j]
                if left is not None:
                    other = other + 2.0 * left * self.to_rows(cells[:, j, k])
            total = total + z * other
        return total


def row_sums(values: Array) -> Array:
    """Sums over the few columns of an array (n, m), several times as fast as ``sum(1)``."""
    found = values[:, 0]
    for column in values.T[1:]:
        found = found + column
    return found


def cells_of(groupings: Sequence[Grouping]) -> Index:
    """Cell of each row: a number for each combination of groups that occurs, the last factor varying slowest.

    Parameters
    ----------
    groupings : sequence of Grouping
        In the order of elimination.
    """
    cell = groupings[-1].codes
    for grouping in groupings[-2::-1]:
        _, cell = np.unique(cell * grouping.n_groups + grouping.codes, return_inverse=True)
    return np.asarray(cell, dtype=np.intp)
