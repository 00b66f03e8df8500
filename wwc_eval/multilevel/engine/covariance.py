"""Parameters of the random effects' covariances, and coordinates of the face on which they lie.

Covariances are relative to the residual variance and in the orthonormal basis of each Z. ``theta`` holds the lower
triangular roots, block by block, columns first (lme4's order). At a singular optimum some pivots of the roots are
zero: the covariance lies on a face of lower rank, on which a pivoted root gives regular coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wwc_eval.multilevel.engine.structure import Array, Grouping, Index

__all__ = ["Face", "Parameters", "face_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parameters:
    """Layout of ``theta`` over the grouping factors."""

    groupings: tuple[Grouping, ...]

    @cached_property
    def size(self) -> int:
        """Number of parameters."""
        return sum(len(grouping.entries) for grouping in self.groupings)

    @cached_property
    def places(self) -> tuple[tuple[int, int, int], ...]:
        """(factor, row, column) of each parameter."""
        return tuple((level, i, j) for level, grouping in enumerate(self.groupings) for i, j in grouping.entries)

    @cached_property
    def diagonal(self) -> NDBool:
        """Which parameters are pivots (bounded below by zero)."""
        return np.array([i == j for _, i, j in self.places], dtype=bool)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Readable name of each parameter."""
        found = []
        for level, i, j in self.places:
            grouping = self.groupings[level]
            pair = grouping.columns[i] if i == j else f"{grouping.columns[j]}, {grouping.columns[i]}"
            found.append(f"{grouping.name}: {pair}")
        return tuple(found)

    def factors(self, theta: Array) -> list[Array]:
        """Lower triangular root of each factor's covariance."""
        roots = [np.zeros((grouping.width, grouping.width)) for grouping in self.groupings]
        for value, (level, i, j) in zip(theta, self.places, strict=True):
            roots[level][i, j] = value
        return roots

    def theta(self, gammas: Sequence[Array]) -> Array:
        """Lower triangular roots (pivots >= 0) of given covariances, as parameters."""
        roots = [
            lower_root(gamma, grouping.blocks) for gamma, grouping in zip(gammas, self.groupings, strict=True)
        ]
        return np.array([roots[level][i, j] for level, i, j in self.places])

    def gradient(self, roots: Sequence[Array], slopes: Sequence[Array]) -> Array:
        """Gradient by ``theta`` from the symmetric derivatives by each covariance: ``2 (df/dGamma) L``."""
        moved = [2.0 * slope @ root for slope, root in zip(slopes, roots, strict=True)]
        return np.array([moved[level][i, j] for level, i, j in self.places])

    def start(self, size: float) -> Array:
        """Uncorrelated start with every standard deviation ``size`` times the residual's."""
        return np.where(self.diagonal, size, 0.0)


NDBool = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def lower_root(gamma: Array, blocks: Sequence[Sequence[int]]) -> Array:
    """Lower triangular root of a positive semi-definite matrix, zero columns where it is singular."""
    root = np.zeros_like(gamma)
    for block in blocks:
        columns = list(block)
        work = gamma[np.ix_(columns, columns)].copy()
        scale = max(float(np.diag(work).max()), 0.0)
        for j, place in enumerate(columns):
            pivot = work[j, j]
            if pivot > 1e-12 * scale and pivot > 0:
                column = work[j:, j] / np.sqrt(pivot)
                root[[columns[k] for k in range(j, len(columns))], place] = column
                work[j:, j:] -= np.outer(column, column)
    return root


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """Regular coordinates of covariances of given rank.

    Parameters
    ----------
    factors : tuple of (q, q) arrays
        Roots with zero columns beyond the rank of each block.
    places : tuple of (factor, row, column)
        Entries of the roots that may move.
    tangent : (c, e) array
        Derivative of each free covariance entry (over all factors) by each coordinate.
    curvature : (c, c, e) array
        Second derivatives of the entries by the coordinates.
    """

    factors: tuple[Array, ...]
    places: tuple[tuple[int, int, int], ...]
    tangent: Array
    curvature: Array

    @property
    def coordinates(self) -> Array:
        """Values of the coordinates."""
        return np.array([self.factors[level][i, j] for level, i, j in self.places])

    @property
    def gammas(self) -> list[Array]:
        """Covariance of each factor."""
        return [root @ root.T for root in self.factors]

    def moved(self, step: Array) -> list[Array]:
        """Roots after a step in the coordinates."""
        roots = [root.copy() for root in self.factors]
        for value, (level, i, j) in zip(step, self.places, strict=True):
            roots[level][i, j] += value
        return roots


def face_of(groupings: Sequence[Grouping], gammas: Sequence[Array], zero: float = 1e-10) -> Face:
    """The face on which covariances lie, with pivoted roots as coordinates.

    Parameters
    ----------
    groupings : sequence of Grouping
        Layout.
    gammas : sequence of (q, q) arrays
        Relative covariances.
    zero : float
        Pivots at or below this (a relative variance) count as zero.
    """
    factors: list[Array] = []
    places: list[tuple[int, int, int]] = []
    for level, (grouping, gamma) in enumerate(zip(groupings, gammas, strict=True)):
        root = np.zeros_like(gamma)
        for block in grouping.blocks:
            pivots = _pivoted(gamma, list(block), root, zero)
            places += [
                (level, pivots[i], block[j])
                for j in range(len(block))
                if root[pivots[j], block[j]] > 0
                for i in range(j, len(block))
            ]
        factors.append(root)
    tangent, curvature = _derivatives(groupings, factors, places)
    return Face(factors=tuple(factors), places=tuple(places), tangent=tangent, curvature=curvature)


def _pivoted(gamma: Array, block: list[int], root: Array, zero: float) -> list[int]:
    """Pivoted Cholesky factor of one block, written into ``root``; returns the order of pivots."""
    work = gamma[np.ix_(block, block)].copy()
    order = list(range(len(block)))
    for j in range(len(block)):
        best = max(range(j, len(block)), key=lambda k: work[order[k], order[k]])
        if work[order[best], order[best]] <= zero:
            break
        order[j], order[best] = order[best], order[j]
        column = work[:, order[j]] / np.sqrt(work[order[j], order[j]])
        column[order[:j]] = 0.0
        root[block, block[j]] = column
        work -= np.outer(column, column)
    return [block[k] for k in order]


def _derivatives(
    groupings: Sequence[Grouping], factors: Sequence[Array], places: Sequence[tuple[int, int, int]]
) -> tuple[Array, Array]:
    offsets = np.cumsum([0, *(len(grouping.entries) for grouping in groupings)])
    where = {
        (level, i, j): offsets[level] + k
        for level, grouping in enumerate(groupings)
        for k, (i, j) in enumerate(grouping.entries)
    }

    def entry(level: int, i: int, j: int) -> int:
        return int(where.get((level, i, j), where.get((level, j, i), -1)))

    tangent = np.zeros((len(places), offsets[-1]))
    curvature = np.zeros((len(places), len(places), offsets[-1]))
    for c, (level, i, j) in enumerate(places):
        for k in range(groupings[level].width):
            at = entry(level, i, k)
            if at >= 0:  # d Gamma[i, k] = L[k, j], twice on the diagonal
                tangent[c, at] += factors[level][k, j] * (2.0 if i == k else 1.0)
        for other, (its_level, its_i, its_j) in enumerate(places):
            if its_level == level and its_j == j:
                at = entry(level, i, its_i)
                curvature[c, other, at] += 2.0 if i == its_i else 1.0
    return tangent, curvature


def offsets_of(groupings: Sequence[Grouping]) -> Index:
    """Where the free entries of each factor start."""
    return np.cumsum([0, *(len(grouping.entries) for grouping in groupings)]).astype(np.intp)
