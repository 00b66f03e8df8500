"""Nested grouping factors: cross-products folded up the hierarchy.

With ``Gamma`` the covariance of one group's random effects relative to the residual variance, eliminating them
from the group's cross-products ``A = [[zz, zr], [rz, rr]]`` leaves::

    S = rr - rz N zr,    N = Gamma (I + zz Gamma)^-1,    log determinant + log|I + zz Gamma|

and the groups of one parent add up. The last matrix is ``[X y]' V^-1 [X y]`` (times the residual variance), from
which everything follows. The gradient runs the same steps backwards.

Source: the profiled likelihood of Bates, Maechler, Bolker and Walker (2015), doi:10.18637/jss.v067.i01, computed
without the sparse Cholesky factor that nesting makes needless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from wwc_eval.multilevel.engine.prepare import Prepared, cross_products
from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["Engine", "Finest", "NestedFold", "Step", "dot", "eliminator", "transpose"]


class Engine(Protocol):
    """What a criterion needs of an engine; factors are any roots L with ``Gamma = L L'``."""

    def reduce(self, factors: Sequence[Array]) -> tuple[Array, float, Any]:
        """Folded matrix (p + 1, p + 1), log determinant, and a tape for :meth:`pull_back`."""

    def pull_back(self, tape: Any, adjoint: Array) -> list[Array]:
        """Derivatives by each ``Gamma`` of log determinant + trace(adjoint' folded matrix)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One elimination, kept for the way back."""

    zz: Array
    zr: Array
    shrink: Array  # F = (I + Gamma zz)^-1
    gain: Array  # N = F Gamma
    reach: Array  # N zr


def transpose(a: Array) -> Array:
    """Last two axes swapped."""
    return a.swapaxes(-1, -2)


def dot(a: Array, b: Array) -> Array:
    """Matrix product over the last two axes; an inner dimension of one is a broadcast product."""
    return a * b if a.shape[-1] == 1 else a @ b


def eliminator(zz: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """``F = (I + Gamma zz)^-1``, ``N = F Gamma`` and ``log|I + Gamma zz|`` for a stack of groups."""
    if gamma.shape[-1] == 1:
        # what is left of z'z after finer factors may be rounded below zero
        grown = gamma * np.maximum(zz, 0.0)
        shrink = 1.0 / (1.0 + grown)
        return shrink, shrink * gamma, np.log1p(grown[..., 0, 0])
    if gamma.shape[-1] == 2:
        shrink, log_det = _two_by_two(zz, gamma)
        gain = shrink @ gamma
        return shrink, (gain + transpose(gain)) / 2.0, log_det
    inner = gamma @ zz + np.eye(gamma.shape[-1])
    shrink = np.asarray(np.linalg.inv(inner), dtype=float)
    gain = shrink @ gamma
    return shrink, (gain + transpose(gain)) / 2.0, np.asarray(np.linalg.slogdet(inner)[1])


def _two_by_two(zz: Array, gamma: Array) -> tuple[Array, Array]:
    """``(I + Gamma zz)^-1`` and ``log|I + Gamma zz|`` of two random coefficients, in closed form.

    The determinant ``1 + tr(Gamma zz) + |Gamma| |zz|`` is a sum of terms that are not negative.
    """
    inner = gamma @ zz
    both = gamma[..., 0, 0] * gamma[..., 1, 1] - gamma[..., 0, 1] ** 2
    own = zz[..., 0, 0] * zz[..., 1, 1] - zz[..., 0, 1] ** 2
    extra = inner[..., 0, 0] + inner[..., 1, 1] + np.maximum(both, 0.0) * np.maximum(own, 0.0)
    shrink = np.empty(inner.shape)
    shrink[..., 0, 0], shrink[..., 1, 1] = 1.0 + inner[..., 1, 1], 1.0 + inner[..., 0, 0]
    shrink[..., 0, 1], shrink[..., 1, 0] = -inner[..., 0, 1], -inner[..., 1, 0]
    shrink /= (1.0 + extra)[..., None, None]
    return shrink, np.log1p(extra)


@dataclass(frozen=True, kw_only=True, eq=False)
class Finest:
    """The finest factor where it has one varying column: its groups brought together by parent and z'z.

    Groups of one parent with the same z'z (of one size, without weights) shrink alike, so sums over them suffice;
    thousands of families become a few sizes.

    Parameters
    ----------
    zz : (u,) array
        z'z of each class.
    counts : (u,) array
        Groups in it.
    squares : (.., u, r, r) array
        Sum over its groups of ``a' a`` with a the cross-products of z with the rest.
    rest : (.., P, r, r) array
        Cross-products of the rest over the rows of each parent.
    begins : integer array, optional
        Where the classes of each parent start; nothing where the factor is the only one (P is 1).
    members, classes : integer arrays
        Groups (in the order of folding) class by class, and where each class starts among them.
    """

    zz: Array
    counts: Array
    squares: Array
    rest: Array
    begins: Index | None
    members: Index
    classes: Index

    def total(self, weights: Array) -> Array:
        """Weighted sum of the squares over the classes of each parent."""
        values = self.squares * weights[..., None, None]
        if self.begins is None:
            return np.asarray(values.sum(-3, keepdims=True))
        return np.asarray(np.add.reduceat(values, self.begins, axis=-3))

    def total_number(self, values: Array) -> Array:
        """Sum of numbers over the classes of each parent."""
        if self.begins is None:
            return np.asarray(values.sum(-1, keepdims=True))
        return np.asarray(np.add.reduceat(values, self.begins, axis=-1))

    def spread(self, a: Array) -> Array:
        """One matrix for each parent, repeated for its classes."""
        if a.ndim == 2 or self.begins is None:
            return np.broadcast_to(a, (len(self.zz), *a.shape[-2:]))
        return np.repeat(a, np.diff(np.append(self.begins, len(self.zz))), axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class NestedFold:
    """Engine for grouping factors that nest in a chain.

    Parameters
    ----------
    prepared : Prepared
        The rows, sorted.
    heads : integer array
        Where the groups of the finest factor start among the rows.
    starts : tuple of integer arrays
        For each factor but the last: where the groups of the next one start among its own.
    order : tuple of integer arrays
        For each factor the codes of its groups in the order of folding.
    finest : Finest, optional
        The finest factor brought together, where it has one varying column.
    """

    prepared: Prepared
    heads: Index
    starts: tuple[Index, ...]
    order: tuple[Index, ...]
    finest: Finest | None

    @classmethod
    def from_rows(cls, prepared: Prepared) -> NestedFold:
        """Where groups and parents start, and the finest factor."""
        codes = [grouping.codes[prepared.order] for grouping in prepared.groupings]
        heads = np.flatnonzero(np.r_[True, codes[0][1:] != codes[0][:-1]])
        places, starts, order = heads, [], [codes[0][heads]]
        for coarse in codes[1:]:
            of_group = coarse[places]
            begin = np.flatnonzero(np.r_[True, of_group[1:] != of_group[:-1]])
            starts.append(begin)
            places = places[begin]
            order.append(coarse[places])
        finest = None
        if prepared.widths[0] == 1:
            finest = _brought_together(prepared.W, heads, starts[0] if starts else None)
        return cls(prepared=prepared, heads=heads, starts=tuple(starts), order=tuple(order), finest=finest)

    @property
    def widths(self) -> tuple[int, ...]:
        """Varying columns of each factor, finest first."""
        return self.prepared.widths

    @cached_property
    def children(self) -> tuple[Index, ...]:
        """For each factor but the last: groups in each parent."""
        sizes = [len(order) for order in self.order]
        return tuple(np.diff(np.append(begin, size)) for begin, size in zip(self.starts, sizes, strict=False))

    @cached_property
    def cross(self) -> Array:
        """Cross-products (G, m, m) of ``[Z1 .. ZK X y]`` for each group of the finest factor."""
        sizes = np.diff(np.r_[self.heads, self.prepared.n])
        return cross_products(self.prepared.W, sizes)

    @property
    def base(self) -> Array | Finest:
        """What an expansion starts from."""
        return self.cross if self.finest is None else self.finest

    @property
    def numbers(self) -> int:
        """Numbers that an evaluation goes through."""
        return self.cross.size if self.finest is None else self.finest.squares.size + self.finest.rest.size

    def reduce(self, factors: Sequence[Array]) -> tuple[Array, float, list[Step]]:
        """Fold with relative covariances ``L L'``; the tape is one :class:`Step` for each factor."""
        top = len(self.widths) - 1
        log_det, tape, begin = 0.0, [], 0
        if self.finest is not None:
            step, A, log_det = _finest_step(self.finest, float(np.sum(factors[0] ** 2)))
            tape.append(step)
            begin = 1
            if top == 0:
                return A[0], log_det, tape
        else:
            A = self.cross
        for level in range(begin, top + 1):
            width, root = self.widths[level], factors[level]
            step, A, grown = _full_step(A, width, root @ root.T, None if level == top else self.starts[level])
            log_det += grown
            tape.append(step)
        return A, log_det, tape

    def steps(self, factors: Sequence[Array]) -> list[Step]:
        """Every elimination with all its groups apart, for conditional modes."""
        A, tape = self.cross, []
        top = len(self.widths) - 1
        for level, (width, root) in enumerate(zip(self.widths, factors, strict=True)):
            step, A, _ = _full_step(A, width, root @ root.T, None if level == top else self.starts[level])
            tape.append(step)
        return tape

    def pull_back(self, tape: list[Step], adjoint: Array) -> list[Array]:
        """Derivatives by each ``Gamma``, from the top of the hierarchy down."""
        found: list[Array] = []
        G = adjoint
        for level in range(len(self.widths) - 1, -1, -1):
            step = tape[level]
            if level == 0 and self.finest is not None:
                found.append(_finest_slope(self.finest, step.shrink, G))
                break
            if G.ndim == 3:
                G = np.repeat(G, self.children[level], axis=0)
            H = dot(transpose(step.shrink), step.zr)
            grown = (H @ G) @ transpose(H) if G.ndim == 2 else dot(H, transpose(H @ G))
            slope = dot(step.zz, step.shrink).sum(0) - grown.sum(0)
            found.append((slope + slope.T) / 2.0)
            if level > 0:
                G = _adjoint_below(step, G)
        return found[::-1]


def _full_step(A: Array, width: int, gamma: Array, begin: Index | None) -> tuple[Step, Array, float]:
    """Eliminate one factor from every group and add up the groups of each parent."""
    zz, zr, rr = A[:, :width, :width], A[:, :width, width:], A[:, width:, width:]
    shrink, gain, grown = eliminator(zz, gamma)
    reach = dot(gain, zr)
    step = Step(zz, zr, shrink, gain, reach)
    if begin is None:
        flat = zr.reshape(-1, zr.shape[-1])
        return step, rr.sum(0) - flat.T @ reach.reshape(-1, zr.shape[-1]), float(grown.sum())
    left = np.add.reduceat(rr - dot(transpose(zr), reach), begin, axis=0)
    return step, left, float(grown.sum())


def _brought_together(W: Array, heads: Index, begin: Index | None) -> Finest:
    """The finest factor by parent and z'z."""
    z = W[:, 0]
    plain = bool(np.all(z == 1.0))
    sums = np.add.reduceat(W if plain else W * z[:, None], heads, axis=0)
    zz, a = sums[:, 0], sums[:, 1:]
    parent = np.zeros(len(heads), dtype=np.intp)
    if begin is not None:
        parent[begin[1:]] = 1
        parent = np.cumsum(parent)
    key = np.round(zz, 12)
    order = np.lexsort((key, parent))
    fresh = np.r_[True, (key[order][1:] != key[order][:-1]) | (parent[order][1:] != parent[order][:-1])]
    classes = np.flatnonzero(fresh)
    sizes = np.diff(np.r_[classes, len(order)])
    of_class = parent[order][classes]
    rest = W[:, 1:]
    if begin is None:
        total = (rest.T @ rest)[None]
    else:
        edges = heads[begin]
        total = cross_products(rest, np.diff(np.r_[edges, len(W)]))
    return Finest(
        zz=zz[order][classes],
        counts=sizes.astype(float),
        squares=cross_products(a[order], sizes),
        rest=total,
        begins=None if begin is None else np.flatnonzero(np.r_[True, of_class[1:] != of_class[:-1]]),
        members=order.astype(np.intp),
        classes=classes,
    )


def _finest_step(finest: Finest, gamma: float) -> tuple[Step, Array, float]:
    grown = gamma * finest.zz
    shrink = 1.0 / (1.0 + grown)
    left = finest.rest - finest.total(gamma * shrink)
    nothing = np.zeros(0)
    return Step(finest.zz, nothing, shrink, nothing, nothing), left, float(finest.counts @ np.log1p(grown))


def _finest_slope(finest: Finest, shrink: Array, adjoint: Array) -> Array:
    spread = finest.spread(adjoint)
    inner = np.einsum("uij,uij->u", finest.squares, spread)
    return np.array([[float(finest.counts @ (finest.zz * shrink) - (shrink**2) @ inner)]])


def _adjoint_below(step: Step, G: Array) -> Array:
    """Adjoint of a group's whole matrix from the adjoint of what its elimination left."""
    width, rest = step.zr.shape[-2:]
    found = np.empty((len(step.zz), width + rest, width + rest))
    reached = step.reach @ G
    found[:, :width, :width] = step.gain + reached @ transpose(step.reach)
    found[:, :width, width:] = -reached
    found[:, width:, :width] = -transpose(reached)
    found[:, width:, width:] = G
    return found
