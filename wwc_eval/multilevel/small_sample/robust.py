"""Cluster-robust covariance of the fixed effects of a linear mixed model, with degrees of freedom and AHT tests.

The fitted covariance V is the working model and its inverse the weight. With ``M = (X' V^-1 X)^-1`` and clusters
that hold whole groups of every random term::

    M (sum_g X_g' V_g^-1 A_g e_g e_g' A_g' V_g^-1 X_g) M

where A is the identity (CR0; CR1 and CR1S scale it), ``V^(1/2) [V^(1/2) (V - X M X') V^(1/2)]^(-1/2) V^(1/2)``
(CR2, unbiased under the working model) or ``(I - X M X' V^-1)^-1`` (CR3, the jackknife). All of it happens in the space
spanned by a cluster's Z and X: no matrix has as many rows as the cluster.

Sources: Pustejovsky and Tipton (2018), doi:10.1080/07350015.2016.1247004; Tipton and Pustejovsky (2015),
doi:10.3102/1076998615606099; conventions of R's clubSandwich.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag

from wwc_eval.errors import DesignError
from wwc_eval.multilevel.engine.solve import Solution
from wwc_eval.multilevel.engine.structure import Array, Index, nests

__all__ = ["CR_KINDS", "ClusterPieces", "MixedRobust", "cluster_pieces", "mixed_robust"]

CR_KINDS = ("CR0", "CR1", "CR1S", "CR2", "CR3")
LOST = 1e-12
"""Eigenvalues at or below this share of the largest are zero: the cluster has full leverage there."""
THIN = 1e-13
"""Directions of a cluster's cross-products at or below this share of the largest do not exist."""
LARGEST_CLUSTER = 4_000
"""Rows of a cluster that CR2 with weights can take."""
STACK = 4_000_000
"""Numbers in one stack of clusters."""
SPARSE_FROM = 100_000
"""Numbers in a cluster's random-effects matrix from which it is held sparse."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterPieces:
    """Per-cluster matrices of one stack, in an orthonormal basis of a cluster's [Z X].

    Parameters
    ----------
    X : (G, k, p) array
        Fixed effects in the basis.
    V : (G, k, k) array
        Relative covariance in the basis (the identity outside it).
    e : (G, k) array
        Residuals in the basis.
    """

    X: Array
    V: Array
    e: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedRobust:
    """A cluster-robust covariance that can say the degrees of freedom of any contrast; the engine's units.

    Parameters
    ----------
    kind : str
        CR0 to CR3.
    M : (p, p) array
        Inverse of ``X' V^-1 X``, V relative to the residual variance.
    scores : (G, p) array
        ``X_g' V_g^-1 A_g e_g``.
    own : (G, p, p) array
        ``X' V^-1 A V A' V^-1 X`` of each cluster.
    shared : (G, p, p) array
        ``X' V^-1 A X`` of each cluster.
    correction : float
        Small-sample factor of CR1 and CR1S.
    X_root, y_scale
        Way back to the units of the data.
    """

    kind: str
    M: Array
    scores: Array
    own: Array
    shared: Array
    correction: float
    X_root: Array
    y_scale: float

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.scores)

    @property
    def vcov(self) -> Array:
        """Covariance of the fixed effects in the units of the data (p, p)."""
        inner = self.M @ (self.scores.T @ self.scores) @ self.M
        back = np.linalg.solve(self.X_root, inner)
        found = np.linalg.solve(self.X_root, back.T) * (self.correction * self.y_scale**2)
        return np.asarray((found + found.T) / 2.0)

    def _directions(self, contrasts: Array) -> Array:
        return self.M @ np.linalg.solve(self.X_root.T, contrasts.T)

    def df(self, contrasts: Array) -> Array:
        """Satterthwaite degrees of freedom of each contrast (k, p) under the working model.

        Formula: ``tr(P)^2 / tr(P P)`` with ``P_gh = [g = h] a' own_g a - f_g' M f_h``, ``f_g = shared_g' a``.
        """
        found = []
        for a in self._directions(contrasts).T:
            own = np.einsum("i,gij,j->g", a, self.own, a)
            f = np.einsum("i,gij->gj", a, self.shared)
            along = np.einsum("gi,ij,gj->g", f, self.M, f)
            cross = f.T @ f @ self.M
            square = float((own**2 - 2.0 * own * along).sum() + np.sum(cross * cross.T))
            trace = float((own - along).sum())
            found.append(trace**2 / square if square > 0 and trace > 0 else np.nan)
        return np.array(found)

    def aht(self, contrasts: Array) -> float:
        """Degrees of freedom eta of the approximate Hotelling test that all contrasts (q, p) are zero.

        Formula: ``q (q + 1) / sum of the variances of the elements of the whitened covariance estimate``.

        Raises
        ------
        DesignError
            If the tested contrasts have no variance between clusters.
        """
        a = self._directions(contrasts)
        q = a.shape[1]
        expected = self._elements(a)[0]
        values, vectors = np.linalg.eigh(expected)
        if values[0] <= 1e-12 * values[-1]:
            raise DesignError(
                "the tested coefficients have no variance between clusters",
                fix="test fewer terms at once, or cluster at a lower level",
            )
        whitened = a @ (vectors / np.sqrt(values)) @ vectors.T
        return float(q * (q + 1) / self._elements(whitened)[1])

    def _elements(self, a: Array) -> tuple[Array, float]:
        """Expected covariance of contrasts, and the sum of the variances of the elements of its estimate."""
        own = np.einsum("is,gij,jt->gst", a, self.own, a, optimize=True)
        f = np.einsum("is,gij->gsj", a, self.shared)
        along = np.einsum("gsi,ij,gtj->gst", f, self.M, f, optimize=True)
        cross = np.einsum("gsi,gtj->stij", f, f, optimize=True) @ self.M  # sum_g f_s f_t' M
        expected = (own - along).sum(0)
        total = 0.0
        q = a.shape[1]
        for s in range(q):
            for t in range(q):
                # sum_gh P_ss[g,h] P_tt[g,h] + P_st[g,h] P_ts[g,h]
                first = own[:, s, s] * own[:, t, t] - own[:, s, s] * along[:, t, t]
                first = first - own[:, t, t] * along[:, s, s]
                second = own[:, s, t] ** 2 - 2.0 * own[:, s, t] * along[:, s, t]
                product = np.sum(cross[s, t] * cross[t, s].T) + np.sum(cross[s, t] * cross[s, t].T)
                total += float((first + second).sum() + product)
        return expected, total


def mixed_robust(solution: Solution, clusters: Index, kind: str) -> MixedRobust:
    """Cluster-robust covariance of a fitted model.

    Parameters
    ----------
    solution : Solution
        The fit.
    clusters : (n,) integers
        Cluster of each row, 0 to G - 1.
    kind : {"CR0", "CR1", "CR1S", "CR2", "CR3"}
        Which covariance.

    Raises
    ------
    DesignError
        If a group of a random term lies in several clusters, or there is a single cluster.
    """
    groups = int(clusters.max()) + 1
    if groups < 2:
        raise DesignError("cluster-robust errors need at least two clusters", fix="use kenward_roger")
    for grouping in solution.problem.prepared.groupings:
        if not nests(grouping.codes, clusters, grouping.n_groups):
            raise DesignError(
                f"groups of '{grouping.name}' lie in several clusters, so clusters are not independent",
                fix="cluster by the highest grouping factor or something above it",
            )
    M = solution.profile.inverse
    p = solution.p
    scores, own, shared = np.empty((groups, p)), np.empty((groups, p, p)), np.empty((groups, p, p))
    for at, pieces in cluster_pieces(solution, clusters, groups, plain_rows=kind == "CR2"):
        scores[at], own[at], shared[at] = _adjusted(pieces, M, kind)
    correction = groups / (groups - 1.0) if kind in ("CR1", "CR1S") else 1.0
    if kind == "CR1S":
        correction *= (solution.n - 1.0) / (solution.n - p)
    prepared = solution.problem.prepared
    return MixedRobust(
        kind=kind,
        M=M,
        scores=scores,
        own=own,
        shared=shared,
        correction=correction,
        X_root=prepared.X_root,
        y_scale=prepared.y_scale,
    )


def _adjusted(pieces: ClusterPieces, M: Array, kind: str) -> tuple[Array, Array, Array]:
    """Scores, own and shared matrices of a stack of clusters."""
    X, V, e = pieces.X, pieces.V, pieces.e
    turned = X.swapaxes(1, 2)
    if kind == "CR2":
        root = _power(V, 0.5)
        inner = root @ (V - X @ M @ turned) @ root
        adjust = root @ _power((inner + inner.swapaxes(1, 2)) / 2.0, -0.5) @ root
        weighted = np.asarray(np.linalg.solve(V, X), dtype=float).swapaxes(1, 2) @ adjust  # X' V^-1 A
        score = (weighted @ e[..., None])[..., 0]
        return score, weighted @ V @ weighted.swapaxes(1, 2), weighted @ X
    weighted = np.asarray(np.linalg.solve(V, X), dtype=float).swapaxes(1, 2)
    score, S = (weighted @ e[..., None])[..., 0], weighted @ X
    if kind == "CR3":
        values, vectors = np.linalg.eigh(_power(M[None], 0.5) @ S @ _power(M[None], 0.5))
        kept = values < 1.0 - 1e-10
        gain = np.where(kept, 1.0 / np.where(kept, 1.0 - values, 1.0), 0.0)
        root, back = _power(M[None], 0.5), _power(M[None], -0.5)
        # (I - S M)^-1, a generalised inverse where a cluster determines a coefficient alone
        T = back @ (vectors * gain[:, None, :]) @ vectors.swapaxes(1, 2) @ root
        return (T @ score[..., None])[..., 0], T @ S @ T.swapaxes(1, 2), T @ S
    return score, S, S


def _power(a: Array, power: float) -> Array:
    """Power of positive semi-definite matrices, zero on their null spaces."""
    values, vectors = np.linalg.eigh(a)
    kept = values > LOST * np.maximum(values[..., -1:], 1e-300)
    raised = np.where(kept, np.where(kept, values, 1.0) ** power, 0.0)
    return np.asarray((vectors * raised[..., None, :]) @ vectors.swapaxes(-1, -2))


def cluster_pieces(
    solution: Solution, clusters: Index, groups: int, *, plain_rows: bool = False
) -> Iterator[tuple[Index, ClusterPieces]]:
    """Clusters in stacks, each in an orthonormal basis of its own Z and X.

    With ``plain_rows`` and precision weights each cluster comes with its rows as they are: the root in CR2 is that
    of the covariance of the rows themselves, which no small basis holds when their variances differ.
    """
    prepared = solution.problem.prepared
    if plain_rows and prepared.weights is not None:
        yield from _by_rows(solution, clusters, groups)
        return
    if len(prepared.groupings) == 1 and prepared.groupings[0].n_groups == groups:
        yield from _single(solution, clusters, groups)
        return
    codes = clusters[prepared.order]
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(groups + 1))
    ends = np.cumsum([0, *prepared.widths])
    right = prepared.W[:, ends[-1] :].copy()
    right[:, -1] -= right[:, :-1] @ solution.profile.beta
    for g in range(groups):
        rows = order[bounds[g] : bounds[g + 1]]
        parts, covariance = [], []
        for level, grouping in enumerate(prepared.groupings):
            local_codes = grouping.codes[prepared.order][rows] if len(rows) else np.zeros(0, dtype=np.intp)
            used, local = np.unique(local_codes, return_inverse=True)
            parts.append((prepared.W[rows, ends[level] : ends[level + 1]], local, len(used)))
            covariance.append(np.kron(np.eye(len(used)), solution.gammas[level]))
        own = right[rows]
        square, mixed = _cross_products(parts, own)
        gram = np.block([[square, mixed], [mixed.T, own.T @ own]])
        yield np.array([g]), _in_basis(gram[None], np.asarray(block_diag(*covariance)))


def _cross_products(parts: Sequence[tuple[Array, Index, int]], own: Array) -> tuple[Array, Array]:
    """``Z'Z`` and ``Z' own`` of one cluster, from the columns of each factor, the group of each row and their number."""
    width = sum(Z.shape[1] * groups for Z, _, groups in parts)
    places = [codes[:, None] * Z.shape[1] + np.arange(Z.shape[1]) for Z, codes, _ in parts]
    starts = np.cumsum([0, *(Z.shape[1] * groups for Z, _, groups in parts)])
    columns = np.hstack([place + start for place, start in zip(places, starts, strict=False)])
    values = np.hstack([Z for Z, _, _ in parts])
    if len(own) * width <= SPARSE_FROM:
        whole = np.zeros((len(own), width))
        whole[np.arange(len(own))[:, None], columns] = values
        return whole.T @ whole, whole.T @ own
    pointer = np.arange(0, values.size + 1, values.shape[1])
    held = sparse.csr_matrix((values.ravel(), columns.ravel(), pointer), shape=(len(own), width))
    return np.asarray((held.T @ held).toarray()), np.asarray(held.T @ own)


def _by_rows(solution: Solution, clusters: Index, groups: int) -> Iterator[tuple[Index, ClusterPieces]]:
    """Clusters one by one, in their own rows."""
    prepared = solution.problem.prepared
    assert prepared.weights is not None
    codes = clusters[prepared.order]
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(groups + 1))
    ends = np.cumsum([0, *prepared.widths])
    direction = np.r_[-solution.profile.beta, 1.0]
    for g in range(groups):
        rows = order[bounds[g] : bounds[g + 1]]
        if len(rows) > LARGEST_CLUSTER:
            raise DesignError(
                f"CR2 with weights needs the rows of each cluster at once, and one has {len(rows):,}",
                rule=f"at most {LARGEST_CLUSTER:,}",
                fix="use CR3 or CR1S",
            )
        root = np.sqrt(prepared.weights[rows])[:, None]
        W = prepared.W[rows] / root
        V = np.diag(1.0 / prepared.weights[rows])
        for level, grouping in enumerate(prepared.groupings):
            Z = W[:, ends[level] : ends[level + 1]]
            of_row = grouping.codes[prepared.order[rows]]
            V += (Z @ solution.gammas[level] @ Z.T) * (of_row[:, None] == of_row)
        X, e = W[:, ends[-1] : -1], W[:, ends[-1] :] @ direction
        yield np.array([g]), ClusterPieces(X=X[None], V=V[None], e=e[None])


def _single(solution: Solution, clusters: Index, groups: int) -> Iterator[tuple[Index, ClusterPieces]]:
    """Clusters that are the groups of the only random term, many at a time."""
    from wwc_eval.multilevel.engine.fold import NestedFold

    problem = solution.problem
    engine, grouping = problem.engine, problem.prepared.groupings[0]
    assert isinstance(engine, NestedFold)
    first = np.flatnonzero(np.r_[True, np.diff(grouping.codes[problem.prepared.order]) != 0])
    of_group = clusters[problem.prepared.order[first]]
    m = engine.cross.shape[-1]
    beta = solution.profile.beta
    transform = np.eye(m)
    transform[grouping.width : m - 1, m - 1] = -beta
    step = max(1, STACK // m**2)
    for start in range(0, groups, step):
        part = slice(start, start + step)
        gram = transform.T @ engine.cross[part] @ transform
        yield of_group[part], _in_basis(gram, solution.gammas[0])


def _in_basis(gram: Array, gamma: Array) -> ClusterPieces:
    """Pieces from cross-products of [Z X e].

    The basis is the eigenvectors of the cross-products of [Z X]; directions that do not exist stay as zero columns
    with unit variance, which changes nothing.
    """
    q = len(gamma)
    own = gram[:, :-1, :-1]
    size = np.sqrt(np.maximum(np.einsum("gii->gi", own), 0.0))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(own / size[:, :, None] / size[:, None, :])
    kept = values > THIN * values[:, -1:]
    root = np.where(kept, np.sqrt(np.where(kept, values, 1.0)), 0.0)
    inside = root[:, :, None] * vectors.swapaxes(1, 2) * size[:, None, :]  # basis' [Z X]
    scaled = gram[:, :-1, -1] / size
    back = np.where(kept, 1.0 / np.where(kept, root, 1.0), 0.0)
    e = back * (vectors.swapaxes(1, 2) @ scaled[..., None])[..., 0]
    Z, X = inside[:, :, :q], inside[:, :, q:]
    V = np.eye(own.shape[-1]) + Z @ gamma @ Z.swapaxes(1, 2)
    return ClusterPieces(X=X, V=V, e=e)
