"""Rows to cross-products: weights, an orthonormal basis for X and each Z, rows sorted, cross-products by group.

The rows are used once. Afterwards a fit only sees one small matrix for each group of the finest factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from wwc_eval.errors import ConvergenceError, DataError
from wwc_eval.multilevel.engine.structure import Array, Grouping, Index

__all__ = ["Prepared", "cross_products", "group_order", "orthonormal", "prepare"]

CHOLESKY_LIMIT = 1e-5
"""Smallest ratio of pivots for which the twice repeated Cholesky QR keeps full precision."""
LOOP_ROWS = 48
"""Average rows in a group above which one product a group beats the batched product."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """What the engines work on.

    Parameters
    ----------
    n, p : int
        Rows and fixed effects.
    groupings : tuple of Grouping
        In order of elimination.
    W : (n, m) array
        ``[Z1 .. ZK | Q | e]`` in the order of ``order``: each Z in an orthonormal basis (mean square 1), Q the
        orthonormal basis of X (mean square 1), e the residual of least squares divided by ``y_scale``; every
        row is multiplied by the root of its weight.
    order : (n,) integers
        Position in the data of each row of ``W``.
    roots : tuple of (q, q) arrays
        Upper triangular R with ``Z = (orthonormal Z) R``, one for each grouping.
    X_root : (p, p) array
        Upper triangular R with ``X = Q R``.
    beta_0 : (p,) array
        Least-squares coefficients, from which the model's are measured.
    y_scale : float
        Root mean square of the least-squares residual.
    log_weights : float
        Sum of the logarithms of the weights.
    weights : (n,) array, optional
        Precision weights of mean 1, in the order of ``W``.
    weight_scale : float
        Mean of the weights as given: a row of weight 1 has this many times the engine's residual variance.
    """

    n: int
    p: int
    groupings: tuple[Grouping, ...]
    W: Array
    order: Index
    roots: tuple[Array, ...]
    X_root: Array
    beta_0: Array
    y_scale: float
    log_weights: float
    weights: Array | None
    weight_scale: float

    @property
    def widths(self) -> tuple[int, ...]:
        """Varying columns of each grouping."""
        return tuple(grouping.width for grouping in self.groupings)

    def constant(self, reml: bool) -> float:
        """What the scaling of y, X and the weights adds to the criterion."""
        df = self.n - self.p if reml else self.n
        jacobian = 2.0 * float(np.log(np.abs(np.diag(self.X_root))).sum()) if reml else 0.0
        return jacobian + 2.0 * df * float(np.log(self.y_scale)) - self.log_weights

    def beta(self, inner: Array) -> Array:
        """Coefficients of X from those of its orthonormal basis."""
        return self.beta_0 + self.y_scale * np.linalg.solve(self.X_root, inner)

    def covariance(self, inner: Array) -> Array:
        """Covariance of the coefficients of X from that of its orthonormal basis, both times sigma squared."""
        back = np.linalg.solve(self.X_root, inner)
        found = np.linalg.solve(self.X_root, back.T)
        return (found + found.T) / 2.0


def prepare(
    y: Array, X: Array, groupings: Sequence[Grouping], weights: Array | None = None, *, nested: bool = True
) -> Prepared:
    """Scale, orthogonalise and sort the rows.

    Parameters
    ----------
    y : (n,) array
        Outcome.
    X : (n, p) array
        Fixed effects, of full column rank.
    groupings : sequence of Grouping
        In order of elimination.
    weights : (n,) array, optional
        Precision weights: the residual variance of a row is sigma squared divided by its weight.
    nested : bool
        Whether the groupings form a chain; only then are rows sorted by group.

    Raises
    ------
    DataError
        A weight that is not above 0.
    ConvergenceError
        An outcome without variation left, or columns of X that depend on each other.
    """
    n, p = X.shape
    root, weight_scale = _weighting(weights)

    def scaled(a: Array) -> Array:
        if root is None:
            return a
        return a * (root if a.ndim == 1 else root[:, None])

    Q, X_root = orthonormal(scaled(X))
    y_scaled = scaled(y)
    inner = Q.T @ y_scaled / n
    residual = y_scaled - Q @ inner
    inner_more = Q.T @ residual / n
    residual = residual - Q @ inner_more
    spread = float(np.sqrt(np.mean(residual**2)))
    if spread <= 1e-10 * float(np.sqrt(np.mean(y_scaled**2))) or spread == 0.0:
        raise _flat(y)
    bases, roots = [], []
    for grouping in groupings:
        Z, Z_root = _varying(grouping)
        bases.append(scaled(Z))
        roots.append(Z_root)
    order = group_order(groupings) if nested else np.arange(n)
    W = np.column_stack([*bases, Q, residual / spread])
    if not np.array_equal(order, np.arange(n)):
        W = W.take(order, axis=0)
    return Prepared(
        n=n,
        p=p,
        groupings=tuple(groupings),
        W=W,
        order=order,
        roots=tuple(roots),
        X_root=X_root,
        beta_0=np.linalg.solve(X_root, inner + inner_more),
        y_scale=spread,
        log_weights=0.0 if root is None else 2.0 * float(np.log(root).sum()),
        weights=None if root is None else (root**2)[order],
        weight_scale=weight_scale,
    )


def _flat(y: Array) -> ConvergenceError:
    """What to say of an outcome that leaves nothing to be explained."""
    centre = float(np.mean(y))
    if 0.0 < float(np.abs(y - centre).max()) <= 1e-9 * abs(centre):
        return ConvergenceError(
            f"the outcome varies by less than a thousand-millionth of its size, around {centre:g}",
            rule="numbers of this size keep too few digits of what varies",
            fix="measure the outcome from a value near its mean",
        )
    return ConvergenceError(
        "the outcome does not vary once the fixed effects are taken out",
        rule="a variance needs an outcome that the fixed effects do not reproduce exactly",
        fix="look at the outcome column: it may be constant, or a copy of a covariate",
    )


def _weighting(weights: Array | None) -> tuple[Array | None, float]:
    """Roots of the weights divided by their mean, and the mean.

    Weights of mean 1 keep the covariances relative to the residual variance in their usual range.
    """
    if weights is None:
        return None, 1.0
    if not bool(np.all(np.isfinite(weights) & (weights > 0))):
        raise DataError("a weight is not a number above 0", rule="precision weights must be > 0")
    mean = float(np.mean(weights))
    return np.sqrt(weights / mean), mean


def orthonormal(X: Array) -> tuple[Array, Array]:
    """``X = Q R`` with ``Q'Q = n I`` to full precision.

    Cholesky factors of the cross-products, twice over, cost a tenth of Householder's method and are as exact
    while the columns are not nearly dependent; else Householder's method is used.

    Raises
    ------
    ConvergenceError
        If a column depends on the others to working precision.
    """
    n, p = X.shape
    if p == 0:
        return X, np.zeros((0, 0))
    norms = np.sqrt(np.einsum("ij,ij->j", X, X) / n)
    if not norms.min() > 0:
        raise ConvergenceError("a column of the fixed effects is all zero")
    first = _cholesky(X.T @ X / n, norms)
    if first is not None:
        Q = X @ np.linalg.inv(first)
        second = _cholesky(Q.T @ Q / n, np.ones(p))
        if second is not None:
            return Q @ np.linalg.inv(second), second @ first
    Q, R = np.linalg.qr(X / norms)
    size = np.abs(np.diag(R))
    if size.min() < 1e-12 * size.max():
        raise ConvergenceError(
            "columns of the fixed effects depend on each other to working precision",
            fix="leave one of them out, or measure it from its mean",
        )
    signs = np.sign(np.diag(R))
    return Q * signs * np.sqrt(n), (R * signs[:, None]) * norms / np.sqrt(n)


def _cholesky(gram: Array, norms: Array) -> Array | None:
    """Upper triangular root of a Gram matrix, or nothing where it would lose digits."""
    try:
        lower = np.linalg.cholesky(gram / norms / norms[:, None])
    except np.linalg.LinAlgError:
        return None
    pivots = np.diag(lower)
    return lower.T * norms if pivots.min() > CHOLESKY_LIMIT * pivots.max() else None


def _varying(grouping: Grouping) -> tuple[Array, Array]:
    """Varying columns in an orthonormal basis within each correlated block, and the way back."""
    Z, root = grouping.Z, np.eye(grouping.width)
    if grouping.width == 1 and bool(np.all(Z == 1.0)):
        return Z, root
    Z = Z.copy()
    for block in grouping.blocks:
        columns = list(block)
        if len(columns) == 1:
            size = float(np.sqrt(np.mean(Z[:, columns[0]] ** 2)))
            Z[:, columns[0]] /= size
            root[columns[0], columns[0]] = size
        else:
            Z[:, columns], root[np.ix_(columns, columns)] = orthonormal(Z[:, columns])
    return Z, root


def group_order(groupings: Sequence[Grouping]) -> Index:
    """Stable order of the rows in which the groups of every nested factor stand together."""
    fine = groupings[0]
    first = np.full(fine.n_groups, -1, dtype=np.intp)
    first[fine.codes[::-1]] = np.arange(len(fine.codes))[::-1]
    parents = [grouping.codes[first] for grouping in groupings]
    rank = np.empty(fine.n_groups, dtype=np.intp)
    rank[np.lexsort(parents)] = np.arange(fine.n_groups)
    codes = rank[fine.codes]
    if bool(np.all(codes[1:] >= codes[:-1])):
        return np.arange(len(codes))
    n = len(codes)
    # reading a matrix with one entry a row by columns is a counting sort
    marks = sparse.csr_matrix((np.ones(n, dtype=np.int8), codes, np.arange(n + 1)), shape=(n, fine.n_groups))
    return marks.tocsc().indices.astype(np.intp)


def cross_products(W: Array, sizes: Index) -> Array:
    """``W_g' W_g`` of consecutive groups of rows.

    Parameters
    ----------
    W : (n, m) array
        Rows sorted by group.
    sizes : (G,) integers
        Rows of each group.

    Returns
    -------
    (G, m, m) array
    """
    m = W.shape[1]
    ends = np.cumsum(sizes)
    starts = ends - sizes
    found = np.empty((len(sizes), m, m))
    if len(W) >= LOOP_ROWS * len(sizes):
        for g, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            rows = W[start:end]
            np.matmul(rows.T, rows, out=found[g])
        return found
    for size in np.unique(sizes).tolist():
        groups = np.flatnonzero(sizes == size)
        rows = W[starts[groups][:, None] + np.arange(size)]
        found[groups] = rows.swapaxes(1, 2) @ rows
    return found
