"""From data that were read to rows a Laplace approximation can work on: collapsed, sorted, in sound bases.

Rows alike in their groups and columns are one row with sums of successes and trials, or of counts and exposures: a few
local authorities with tens of thousands of children have far fewer covariate patterns. Columns of the design are made
orthonormal, varying columns orthonormal within their block; both are mapped back at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from wwc_eval.multilevel.engine.structure import Array, Grouping, Index, arrange
from wwc_eval.multilevel.generalised.laplace import Roots
from wwc_eval.multilevel.generalised.layout import Layout, cells_of
from wwc_eval.multilevel.generalised.outcomes import (
    Binomial,
    NegativeBinomial1,
    NegativeBinomial2,
    Outcome,
    Poisson,
)

__all__ = ["Prepared", "Sample", "poisson_of", "prepare"]

WELL_CONDITIONED = 1e-3
"""Pivots of the scaled design above which Cholesky's root is as good as a QR decomposition."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Arrays of a model, one entry a data row.

    Parameters
    ----------
    family : {"binomial", "poisson", "negative_binomial", "negative_binomial_1"}
        Outcome family.
    y : (n,) array
        Successes or counts.
    trials : (n,) array
        Trials of a binomial outcome; ones elsewhere.
    exposure, weights : (n,) arrays
        Ones where there are none.
    X : (n, p) array
        Fixed-effects design.
    groupings : tuple of Grouping
        Grouping factors in the order of the formula.
    """

    family: str
    y: Array
    trials: Array
    exposure: Array
    weights: Array
    X: Array
    groupings: tuple[Grouping, ...]

    @property
    def log_link(self) -> bool:
        """Whether the link is the logarithm."""
        return self.family != "binomial"

    @property
    def dispersed(self) -> bool:
        """Whether there is a dispersion parameter."""
        return self.family.startswith("negative")

    def take(self, rows: NDArray[np.bool_], columns: Index) -> Sample:
        """Some rows and columns; groups are renumbered over those that remain."""
        at = np.flatnonzero(rows)
        return replace(
            self,
            y=self.y[at],
            trials=self.trials[at],
            exposure=self.exposure[at],
            weights=self.weights[at],
            X=self.X[np.ix_(at, columns)],
            groupings=tuple(grouping.take(at) for grouping in self.groupings),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """Rows ready for the search, and the way back.

    Parameters
    ----------
    outcome : Outcome
        Distribution and outcome of the collapsed rows.
    X : (n, p) array
        Design with orthonormal columns times the root of n.
    X_root : (p, p) array
        ``X_root @ beta`` are the coefficients of ``X``.
    layout : Layout
        Sorted rows.
    groupings : tuple of Grouping
        In the order of elimination; rows as given.
    labels : tuple of integer arrays
        For each factor, code in the data of each group of the layout.
    roots : Roots
        Layout of the variance parameters.
    bases : tuple of (q, q) arrays
        For each factor, ``basis @ b`` are the effects in the basis of the search.
    cell : (n_in,) integers
        Row of the layout of each data row.
    """

    outcome: Outcome
    X: Array
    X_root: Array
    layout: Layout
    groupings: tuple[Grouping, ...]
    labels: tuple[Index, ...]
    roots: Roots
    bases: tuple[Array, ...]
    cell: Index

    def beta(self, gamma: Array) -> Array:
        """Coefficients of the design as given."""
        return np.asarray(np.linalg.solve(self.X_root, gamma))

    def covariances(self, theta: Array) -> tuple[Array, ...]:
        """Covariance of the random effects of each factor, in the units of the data."""
        root = self.roots.root(theta)
        inner = root @ root.T
        found = []
        for part, basis in zip(self.layout.parts, self.bases, strict=True):
            back = np.linalg.inv(basis)
            found.append(back @ inner[part, part] @ back.T)
        return tuple(found)


def prepare(sample: Sample, *, orthonormal: bool = True) -> Prepared:
    """Collapse, sort and transform.

    Parameters
    ----------
    sample : Sample
        Arrays of the model.
    orthonormal : bool
        Whether correlated varying columns are made orthonormal, or only scaled (then the first pivot of a block is
        the standard deviation of its first column, which profiles hold).

    Raises
    ------
    DesignError
        If two factors divide the rows in the same way.
    """
    groupings, nested = arrange(sample.groupings)
    bases = tuple(_basis(grouping, orthonormal=orthonormal) for grouping in groupings)
    Z = np.column_stack([g.Z @ np.linalg.inv(basis) for g, basis in zip(groupings, bases, strict=True)])
    plain = [bool(np.all(column == 1.0)) for column in Z.T]
    cell = cells_of(groupings)
    parts = [sample.X, Z[:, [k for k, one in enumerate(plain) if not one]]]
    if sample.dispersed:
        parts += [sample.y[:, None], sample.exposure[:, None]]
    first, pattern = _patterns(cell, np.column_stack(parts))
    starts = np.flatnonzero(np.r_[True, np.diff(cell[first]) != 0])
    heads = first[starts]
    groups, labels = [], []
    for grouping in groupings:
        codes = grouping.codes[heads]
        used, place = np.unique(codes, return_index=True)
        # in order of first appearance, so that nested groups follow each other
        own = used[np.argsort(place, kind="stable")] if nested else used
        back = np.empty(grouping.n_groups, dtype=np.intp)
        back[own] = np.arange(len(own))
        groups.append(back[codes])
        labels.append(own.astype(np.intp))
    layout = Layout(
        starts=starts,
        n=len(first),
        Z=tuple(None if one else np.ascontiguousarray(Z[first, k]) for k, one in enumerate(plain)),
        widths=tuple(grouping.width for grouping in groupings),
        groups=tuple(groups),
        n_groups=tuple(grouping.n_groups for grouping in groupings),
        nested=nested,
    )
    X, X_root = _orthonormal(sample.X[first])
    return Prepared(
        outcome=_outcome(sample, first, pattern),
        X=X,
        X_root=X_root,
        layout=layout,
        groupings=groupings,
        labels=tuple(labels),
        roots=_roots(groupings),
        bases=bases,
        cell=pattern,
    )


def _orthonormal(X: Array) -> tuple[Array, Array]:
    """The design with orthonormal columns of mean square one, and the root that leads to it."""
    n = len(X)
    gram = X.T @ X / n
    size = np.sqrt(np.diag(gram))
    try:
        root = np.linalg.cholesky(gram / np.outer(size, size)).T * size
        sound = float(np.min(np.diag(root) / size)) > WELL_CONDITIONED
    except np.linalg.LinAlgError:
        sound = False
    if not sound:
        Q, root = np.linalg.qr(X)
        return np.ascontiguousarray(Q * np.sqrt(n)), root / np.sqrt(n)
    return np.ascontiguousarray(X @ np.linalg.inv(root)), root


def _basis(grouping: Grouping, *, orthonormal: bool) -> Array:
    """Triangular factor that makes each block of varying columns orthonormal (mean square one)."""
    found = np.zeros((grouping.width, grouping.width))
    if not orthonormal:
        return np.diag(np.sqrt(np.mean(grouping.Z**2, axis=0)))
    for block in grouping.blocks:
        columns = list(block)
        R = np.linalg.qr(grouping.Z[:, columns], mode="r") / np.sqrt(len(grouping.Z))
        found[np.ix_(columns, columns)] = R * np.where(np.diag(R) < 0, -1.0, 1.0)[:, None]
    if grouping.width == 1 and np.all(grouping.Z == 1.0):
        return np.ones((1, 1))
    # a column of ones stays exactly that
    for j in range(grouping.width):
        if np.all(grouping.Z[:, j] == 1.0) and not np.any(found[:j, j]):
            found[j, j] = 1.0
    return found


def _roots(groupings: Sequence[Grouping]) -> Roots:
    rows: list[int] = []
    columns: list[int] = []
    start = 0
    for grouping in groupings:
        rows += [start + i for i, _ in grouping.entries]
        columns += [start + j for _, j in grouping.entries]
        start += grouping.width
    return Roots(rows=tuple(rows), columns=tuple(columns), m=start)


def _patterns(cell: Index, columns: Array) -> tuple[Index, Index]:
    """First row of each distinct pattern, sorted by cell, and the pattern of each row.

    Within a cell patterns follow a hash of their values, so the order of the data's rows leaves no trace.
    """
    bits = np.ascontiguousarray(columns + 0.0).view(np.uint64)
    key = np.full(len(cell), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for j in range(bits.shape[1]):
        key ^= bits[:, j] ^ (bits[:, j] >> np.uint64(29))
        key *= np.uint64(0xBF58476D1CE4E5B9)
        key ^= key >> np.uint64(32)
    width = np.uint64(int(cell.max()).bit_length())
    key = key >> width | cell.astype(np.uint64) << (np.uint64(64) - width) if width else key
    order = np.argsort(key)
    new = np.r_[True, np.diff(key[order]) != 0]
    first = order[new]
    pattern = np.empty(len(cell), dtype=np.intp)
    pattern[order] = np.cumsum(new) - 1
    if len(first) < len(cell) and not (columns[first[pattern]] == columns).all():
        # two patterns share a key: order by the values themselves
        order = np.lexsort([*columns.T[::-1], cell])
        new = np.r_[True, (np.diff(columns[order], axis=0) != 0).any(axis=1) | (np.diff(cell[order]) != 0)]
        first = order[new]
        pattern[order] = np.cumsum(new) - 1
    return first, pattern


def _outcome(sample: Sample, first: Index, pattern: Index) -> Outcome:
    """Distribution of the collapsed rows."""
    w, y, e = sample.weights, sample.y, sample.exposure
    count = len(first)

    def sums(values: Array) -> Array:
        return np.asarray(np.bincount(pattern, weights=values, minlength=count), dtype=float)

    if sample.family == "binomial":
        m = sample.trials
        choose = special.gammaln(m + 1.0) - special.gammaln(y + 1.0) - special.gammaln(m - y + 1.0)
        return Binomial(constant=float(w @ choose), y=sums(w * y), m=sums(w * m))
    factorial = float(w @ special.gammaln(y + 1.0))
    if sample.family == "poisson":
        return Poisson(constant=float(w @ (y * np.log(e))) - factorial, y=sums(w * y), e=sums(w * e))
    kind = NegativeBinomial2 if sample.family == "negative_binomial" else NegativeBinomial1
    return kind(constant=-factorial, y=y[first], log_e=np.log(e[first]), w=sums(w))


def poisson_of(outcome: Outcome) -> Poisson:
    """The Poisson limit of a negative binomial outcome, on the same rows."""
    assert isinstance(outcome, (NegativeBinomial1, NegativeBinomial2))
    logs = float(np.sum(outcome.w * outcome.y * outcome.log_e))
    return Poisson(constant=outcome.constant + logs, y=outcome.w * outcome.y, e=outcome.w * np.exp(outcome.log_e))
