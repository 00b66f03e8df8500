"""Crossed grouping factors: the one with most random effects eliminated exactly, the rest one dense block.

The cross-products of the largest factor with the others are sparse (each child meets few schools); the block that
is left has as many rows as the other factors have random effects, which is well under a few thousand in a trial.

Formula: with ``a_s`` the cross-products of group s of the first factor with ``[Z2 X y]`` and
``N_s = Gamma (I + zz_s Gamma)^-1``, the rest is ``[Z2 X y]'[Z2 X y] - sum_s a_s' N_s a_s``; then the rest of the random
effects go by one dense Cholesky factor of ``I + L' S L``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag, lapack

from wwc_eval.errors import DesignError
from wwc_eval.multilevel.engine.expansion import Level
from wwc_eval.multilevel.engine.fold import eliminator, transpose
from wwc_eval.multilevel.engine.pairs import Pairs, pairs_of
from wwc_eval.multilevel.engine.prepare import Prepared
from wwc_eval.multilevel.engine.structure import Array, Grouping, Index

__all__ = ["CrossedEngine", "Dense"]

INVERTIBLE = 1e-3
"""Smallest pivot of a root that is inverted in the gradient."""
LARGEST_BLOCK = 6_000
"""Random effects in the dense block beyond which the engine refuses."""


@dataclass(frozen=True, slots=True)
class _Tape:
    """What the way back needs."""

    zz: Array
    shrink: Array
    S: Array  # dense block after the first elimination, full symmetric
    right: Array  # its cross-products with [X y]
    lower: Array  # Cholesky factor of I + L' S L
    roots: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Dense:
    """The dense block after the first elimination: cross-products with [X y], and its gain."""

    right: Array
    gain: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossedEngine:
    """Engine for grouping factors that do not nest.

    Parameters
    ----------
    groupings : tuple of Grouping
        The factor to eliminate first, then the others.
    first_zz : (G, q, q) array
        Cross-products of the first factor's columns within its groups.
    pairs : Pairs
        Cross-products of the first factor with the others' random effects.
    first_right : (G, q, r) array
        Cross-products of the first factor with ``[X y]``.
    rest, rest_right, right : arrays
        Cross-products of the others' random effects with themselves and with ``[X y]``, and of ``[X y]``.
    """

    groupings: tuple[Grouping, ...]
    first_zz: Array
    pairs: Pairs
    first_right: Array
    rest: Array
    rest_right: Array
    right: Array

    @classmethod
    def from_rows(cls, prepared: Prepared) -> CrossedEngine:
        """Cross-products of the rows.

        Raises
        ------
        DesignError
            If the factors other than the largest have more than :data:`LARGEST_BLOCK` random effects.
        """
        groupings = prepared.groupings
        sizes = [grouping.n_groups * grouping.width for grouping in groupings]
        if sum(sizes[1:]) > LARGEST_BLOCK:
            names = ", ".join(f"{grouping.name} ({grouping.n_groups:,})" for grouping in groupings[1:])
            raise DesignError(
                f"crossed grouping factors with {sum(sizes[1:]):,} random effects beside the largest: {names}",
                rule=f"at most {LARGEST_BLOCK:,} are possible",
                fix="leave out a factor, or replace the smaller ones by fixed effects",
            )
        n, ends = prepared.n, np.cumsum([0, *prepared.widths])
        blocks = [prepared.W[:, start:end] for start, end in pairwise(ends)]
        matrices = [_sparse_columns(g, Z) for g, Z in zip(groupings, blocks, strict=True)]
        right = prepared.W[:, ends[-1] :]
        first, others = matrices[0], sparse.hstack(matrices[1:], format="csr")
        width, groups = groupings[0].width, groupings[0].n_groups
        zz = np.empty((groups, width, width))
        for i in range(width):
            for j in range(width):
                weights = blocks[0][:, i] * blocks[0][:, j]
                zz[:, i, j] = np.bincount(groupings[0].codes, weights=weights, minlength=groups)
        assert first.shape[0] == n
        return cls(
            groupings=groupings,
            first_zz=zz,
            pairs=pairs_of((first.T @ others).tocsr(), groups, width),
            first_right=np.asarray(first.T @ right).reshape(groups, width, -1),
            rest=(others.T @ others).toarray(),
            rest_right=np.asarray(others.T @ right),
            right=right.T @ right,
        )

    @property
    def spans(self) -> list[slice]:
        """Places of each of the other factors in the dense block."""
        sizes = [grouping.n_groups * grouping.width for grouping in self.groupings[1:]]
        ends = np.cumsum([0, *sizes])
        return [slice(int(start), int(end)) for start, end in pairwise(ends)]

    def reduce(self, factors: Sequence[Array]) -> tuple[Array, float, _Tape]:
        """Folded matrix and log determinant with relative covariances ``L L'``."""
        gamma = factors[0] @ factors[0].T
        shrink, gain, grown = eliminator(self.first_zz, gamma)
        S = self.rest - self.pairs.weighted(gain)
        reach = gain @ self.first_right
        right = self.rest_right - self.pairs.cross(reach)
        flat = self.first_right.reshape(-1, reach.shape[-1])
        A = self.right - flat.T @ reach.reshape(flat.shape)
        inner = self._congruent(factors[1:], S, transposed=True)
        inner[np.diag_indices_from(inner)] += 1.0
        lower, failed = lapack.dpotrf(inner, lower=1, overwrite_a=1, clean=1)
        if failed:
            return np.full_like(A, np.nan), np.inf, _nothing()
        log_det = float(grown.sum()) + 2.0 * float(np.log(np.diag(lower)).sum())
        half = lapack.dtrtrs(lower, self._times(factors[1:], right, transposed=True), lower=1)[0]
        A = A - half.T @ half
        return A, log_det, _Tape(self.first_zz, shrink, S, right, lower, tuple(factors))

    def dense(self, factors: Sequence[Array]) -> Dense:
        """The dense block at given roots, with its gain ``N = L (I + L' S L)^-1 L'``."""
        _, _, tape = self.reduce(factors)
        return Dense(right=tape.right, gain=self._gain(tape)[0])

    def _gain(self, tape: _Tape) -> tuple[Array, Array]:
        """``N`` of the dense block and ``(I + L' S L)^-1``."""
        others = tape.roots[1:]
        middle = lapack.dpotri(tape.lower, lower=1)[0]
        middle = middle + middle.T  # the factor's upper triangle was zero
        middle[np.diag_indices_from(middle)] *= 0.5
        return self._congruent(others, middle, transposed=False), middle

    def pull_back(self, tape: _Tape, adjoint: Array) -> list[Array]:
        """Derivatives by each ``Gamma``."""
        others = tape.roots[1:]
        inverse, middle = self._gain(tape)
        reach = inverse @ tape.right
        kept = tape.right - tape.S @ reach  # H = (I - S N) times the right-hand side
        found = []
        for span, grouping, root in zip(self.spans, self.groupings[1:], others, strict=True):
            H = kept[span].reshape(grouping.n_groups, grouping.width, -1)
            slope = _spread((tape.S, inverse, middle), span, grouping, root)
            slope = slope - np.einsum("gia,gja->ij", H @ adjoint, H)
            found.append((slope + slope.T) / 2.0)
        # adjoint of the block [S right; right' A] left by the first elimination
        reached = reach @ adjoint
        inner = inverse + reached @ reach.T
        first = tape.zz @ tape.shrink
        grown = self.pairs.quadratic(inner)
        mixed = self.pairs.along(reached) @ transpose(self.first_right)
        grown = grown - mixed - transpose(mixed)
        grown = grown + (self.first_right @ adjoint) @ transpose(self.first_right)
        slope = (first - transpose(tape.shrink) @ grown @ tape.shrink).sum(0)
        return [(slope + slope.T) / 2.0, *found]

    def levels(self, gammas: Sequence[Array], units: Sequence[Array]) -> tuple[Array, list[Level]]:
        """All random effects as one dense group, for exact expansions of small models."""
        between = self.pairs.dense()
        flat = self.first_right.reshape(between.shape[0], -1)
        corner = block_diag(*self.first_zz)
        cross = np.block(
            [
                [corner, between, flat],
                [between.T, self.rest, self.rest_right],
                [flat.T, self.rest_right.T, self.right],
            ]
        )
        counts = [grouping.n_groups for grouping in self.groupings]
        gamma = block_diag(*(np.kron(np.eye(k), each) for k, each in zip(counts, gammas, strict=True)))
        ends = np.cumsum([0, *(k * each.shape[0] for k, each in zip(counts, gammas, strict=True))])
        whole = []
        for factor, (count, its_units) in enumerate(zip(counts, units, strict=True)):
            for unit in its_units:
                wide = np.zeros_like(gamma)
                span = slice(ends[factor], ends[factor + 1])
                wide[span, span] = np.kron(np.eye(count), unit)
                whole.append(wide)
        return cross[None], [Level(gamma, np.array(whole), None)]

    def _times(self, factors: Sequence[Array], a: Array, *, transposed: bool = False) -> Array:
        """Block-diagonal root times a matrix."""
        found = np.empty_like(a)
        for span, grouping, root in zip(self.spans, self.groupings[1:], factors, strict=True):
            if grouping.width == 1:
                found[span] = root[0, 0] * a[span]
                continue
            local = a[span].reshape(grouping.n_groups, grouping.width, -1)
            found[span] = ((root.T if transposed else root) @ local).reshape(a[span].shape)
        return found

    def _congruent(self, factors: Sequence[Array], S: Array, *, transposed: bool) -> Array:
        """``L S L'``, or ``L' S L``, for symmetric S."""
        if all(grouping.width == 1 for grouping in self.groupings[1:]):
            pairs = zip(factors, self.groupings[1:], strict=True)
            scale = np.concatenate([np.full(grouping.n_groups, root[0, 0]) for root, grouping in pairs])
            found = S * scale
            found *= scale[:, None]
            return np.asarray(found)
        return self._times(factors, self._times(factors, S, transposed=transposed).T, transposed=transposed)


def _nothing() -> _Tape:
    empty = np.zeros((0, 0))
    return _Tape(empty, empty, empty, empty, empty, ())


def _spread(block: tuple[Array, Array, Array], span: slice, grouping: Grouping, root: Array) -> Array:
    """Sum over one factor's groups of the diagonal blocks of ``K = S - S N S``.

    Where the root can be inverted, ``K = L^-T (I - (I + L' S L)^-1) L^-1`` needs no product of large matrices.
    """
    S, inverse, middle = block
    groups, width = grouping.n_groups, grouping.width
    if np.abs(np.diag(root)).min() > INVERTIBLE:
        local = middle[span, span].reshape(groups, width, groups, width)
        between = groups * np.eye(width) - np.einsum("gigj->ij", local)
        return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root.T, between.T).T))
    own = np.einsum("gigj->ij", S[span, span].reshape(groups, width, groups, width))
    rows = S[span].reshape(groups, width, -1)
    turned = (S[span] @ inverse).reshape(groups, width, -1)
    return np.asarray(own - np.einsum("gik,gjk->ij", turned, rows))


def _sparse_columns(grouping: Grouping, Z: Array) -> sparse.csr_matrix:
    """Sparse matrix (n, groups x width) of a factor's columns, groups slowest."""
    n, width = Z.shape
    columns = (grouping.codes[:, None] * width + np.arange(width)).ravel()
    rows: Index = np.arange(0, n * width + 1, width)
    return sparse.csr_matrix((Z.ravel(), columns, rows), shape=(n, grouping.n_groups * width))
