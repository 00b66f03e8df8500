"""The criterion of many one-intercept models at one variance ratio each, with derivatives, in vectors.

Arrays hold the replicates along their last axis; small matrices are worked through entry by entry, so that a thousand of
them cost little more than one.

Formula: with ``M`` the inverse of the Cholesky factor of the folded matrix A (outcome last), ``T_1 = M A' M'`` and
``T_2 = M A'' M'``, the derivatives of log|A_xx| are ``tr T_1`` and ``tr T_2 - |T_1|^2`` over X, and those of the residual sum
of squares r are ``r T_1yy`` and ``r (T_2yy - 2 |T_1xy|^2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.multilevel.engine.structure import Array

__all__ = ["Compressed", "Point", "compress", "point_at"]

TINY = 1e-13


@dataclass(frozen=True, kw_only=True, eq=False)
class Compressed:
    """Cross-products of many models; B replicates, or 1 where they share.

    Parameters
    ----------
    sizes : (u,) array
        Distinct z'z of the groups.
    counts : (u, B or 1) array
        Groups of each.
    shared : (r, r, u) array
        Sums over the groups of each size of ``a a'``, a being z'[X y], where the replicates share them; else zero.
    pairs : tuple of (int, int)
        Pairs of columns (row >= column) whose sums differ between replicates.
    moving : (pairs, u, B) array
        Their sums.
    total : (r, r, B or 1) array
        ``[X y]'[X y]``.
    n : (B or 1,) array
        Rows.
    """

    sizes: Array
    counts: Array
    shared: Array
    pairs: tuple[tuple[int, int], ...]
    moving: Array
    total: Array
    n: Array

    @property
    def width(self) -> int:
        """Columns of X and the outcome."""
        return int(self.total.shape[0])


def compress(zz: Array, sums: Sequence[Array], total: Array, n: Array, times: Array | None = None) -> Compressed:
    """Bring groups of the same size together.

    Parameters
    ----------
    zz : (G,) array
        z'z of each group.
    sums : sequence of r arrays (G, B or 1)
        z'[X y] of each group, column by column.
    total : (r, r, B or 1) array
        ``[X y]'[X y]``; with ``times`` weighted already.
    n : (B or 1,) array
        Rows.
    times : (G, B) array, optional
        How often each group counts.
    """
    sizes, inverse = np.unique(np.round(zz, 12), return_inverse=True)
    r, u = len(sums), len(sizes)
    pick = np.zeros((u, len(zz)))
    pick[inverse, np.arange(len(zz))] = 1.0
    shared, pairs, moving = np.zeros((r, r, u)), [], []
    for i in range(r):
        for j in range(i + 1):
            product = sums[i] * sums[j]
            if times is not None:
                product = product * times
            if product.shape[1] == 1:
                shared[i, j] = shared[j, i] = (pick @ product)[:, 0]
            else:
                pairs.append((i, j))
                moving.append(pick @ product)
    counts = pick @ (np.ones((len(zz), 1)) if times is None else times)
    return Compressed(
        sizes=sizes,
        counts=counts,
        shared=shared,
        pairs=tuple(pairs),
        moving=np.array(moving) if moving else np.zeros((0, u, 1)),
        total=total,
        n=n,
    )


@dataclass(frozen=True, slots=True)
class Point:
    """Criterion, derivatives and what they were made of."""

    value: Array
    first: Array
    second: Array
    M: Array
    T_1: Array
    T_2: Array
    rest: Array
    df: Array
    log_1: Array
    log_2: Array
    n: Array


def point_at(data: Compressed, g: Array, reml: bool, *, derivatives: bool) -> Point:
    """Criterion at ratios g (B,), with derivatives in g."""
    grown = 1.0 + data.sizes[:, None] * g
    shrink = 1.0 / grown
    log_det = (data.counts * np.log(grown)).sum(axis=0)
    A = data.total - _weighted(data, g * shrink)
    lower = _cholesky(A)
    r = data.width
    p = r - 1
    df = data.n - p if reml else data.n
    rest = lower[p, p] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        value = log_det + df * np.log(rest)
        if reml:
            value = value + 2.0 * np.log(np.einsum("iib->ib", lower)[:p]).sum(axis=0)
    empty = np.zeros((0,))
    if not derivatives:
        return Point(value, empty, empty, lower, empty, empty, rest, df, empty, empty, data.n)
    M = _inverse(lower)
    T_1 = _turned(M, -_weighted(data, shrink**2))
    T_2 = _turned(M, _weighted(data, 2.0 * data.sizes[:, None] * shrink**3))
    scaled = data.sizes[:, None] * shrink
    log_1, log_2 = (data.counts * scaled).sum(axis=0), -(data.counts * scaled**2).sum(axis=0)
    first = log_1 + df * T_1[p, p]
    second = log_2 + df * (T_2[p, p] - 2.0 * (T_1[:p, p] ** 2).sum(axis=0) - T_1[p, p] ** 2)
    if reml:
        first = first + np.einsum("iib->b", T_1[:p, :p])
        second = second + np.einsum("iib->b", T_2[:p, :p]) - (T_1[:p, :p] ** 2).sum(axis=(0, 1))
    return Point(value, first, second, M, T_1, T_2, rest, df, log_1, log_2, data.n)


def _weighted(data: Compressed, weights: Array) -> Array:
    """Sum over sizes of the parts times weights (u, B or 1): (r, r, B or 1)."""
    r, u = data.width, len(weights)
    found = (data.shared.reshape(r * r, u) @ weights).reshape(r, r, -1)
    if not data.pairs:
        return found
    moved = data.moving[:, 0] * weights[0]
    for k in range(1, u):
        moved += data.moving[:, k] * weights[k]
    if found.shape[-1] < moved.shape[-1]:
        found = np.repeat(found, moved.shape[-1], axis=-1)
    for (i, j), values in zip(data.pairs, moved, strict=True):
        found[i, j] = found[j, i] = values
    return found


def _cholesky(A: Array) -> Array:
    """Lower Cholesky factors (r, r, B); not-a-number where A is not positive definite."""
    r = len(A)
    lower = np.zeros_like(A)
    with np.errstate(invalid="ignore", divide="ignore"):
        for j in range(r):
            own = lower[j, :j]
            pivot = A[j, j] - (own**2).sum(axis=0)
            root = np.sqrt(np.where(pivot > TINY * np.abs(A[j, j]), pivot, np.nan))
            lower[j, j] = root
            if j + 1 < r:
                lower[j + 1 :, j] = (A[j + 1 :, j] - (lower[j + 1 :, :j] * own).sum(axis=1)) / root
    return lower


def _inverse(lower: Array) -> Array:
    """Inverses of lower triangular matrices (r, r, B)."""
    r = len(lower)
    found = np.zeros_like(lower)
    for i in range(r):
        found[i, i] = 1.0 / lower[i, i]
        if i:
            found[i, :i] = -found[i, i] * (lower[i, :i, None] * found[:i, :i]).sum(axis=0)
    return found


def _turned(M: Array, A: Array) -> Array:
    """``M A M'`` for M lower triangular (r, r, B)."""
    r = len(M)
    half = np.empty_like(A + M)
    for i in range(r):
        half[i] = (M[i, : i + 1, None] * A[: i + 1]).sum(axis=0)
    found = np.empty_like(half)
    for j in range(r):
        found[:, j] = (half[:, : j + 1] * M[j, : j + 1]).sum(axis=1)
    return found
