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
from typing import Any, Protocol

import numpy as np

from wwc_eval.multilevel.engine.prepare import Prepared, cross_products
from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["Engine", "NestedFold", "Step", "dot", "eliminator", "transpose"]


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
        grown = gamma * zz
        shrink = 1.0 / (1.0 + grown)
        return shrink, shrink * gamma, np.log1p(grown[..., 0, 0])
    inner = gamma @ zz + np.eye(gamma.shape[-1])
    shrink = np.asarray(np.linalg.inv(inner), dtype=float)
    gain = shrink @ gamma
    return shrink, (gain + transpose(gain)) / 2.0, np.asarray(np.linalg.slogdet(inner)[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class NestedFold:
    """Engine for grouping factors that nest in a chain.

    Parameters
    ----------
    cross : (G, m, m) array
        Cross-products of ``[Z1 .. ZK X y]`` for each group of the finest factor.
    widths : tuple of int
        Varying columns of each factor, finest first.
    starts : tuple of integer arrays
        For each factor but the last: where the groups of the next one start among its own.
    order : tuple of integer arrays
        For each factor the codes of its groups in the order of folding.
    """

    cross: Array
    widths: tuple[int, ...]
    starts: tuple[Index, ...]
    order: tuple[Index, ...]

    @classmethod
    def from_rows(cls, prepared: Prepared) -> NestedFold:
        """Cross-products of the sorted rows, and where parents start."""
        codes = [grouping.codes[prepared.order] for grouping in prepared.groupings]
        first = np.r_[True, codes[0][1:] != codes[0][:-1]]
        heads = np.flatnonzero(first)
        sizes = np.diff(np.r_[heads, len(first)])
        starts, order = [], [codes[0][heads]]
        for coarse in codes[1:]:
            of_group = coarse[heads]
            begin = np.flatnonzero(np.r_[True, of_group[1:] != of_group[:-1]])
            starts.append(begin)
            heads = heads[begin]
            order.append(coarse[heads])
        return cls(
            cross=cross_products(prepared.W, sizes),
            widths=prepared.widths,
            starts=tuple(starts),
            order=tuple(order),
        )

    def reduce(self, factors: Sequence[Array]) -> tuple[Array, float, list[Step]]:
        """Fold with relative covariances ``L L'``; the tape is one :class:`Step` for each factor."""
        A, log_det, tape = self.cross, 0.0, []
        top = len(self.widths) - 1
        for level, (width, root) in enumerate(zip(self.widths, factors, strict=True)):
            zz, zr, rr = A[:, :width, :width], A[:, :width, width:], A[:, width:, width:]
            shrink, gain, grown = eliminator(zz, root @ root.T)
            reach = dot(gain, zr)
            log_det += float(grown.sum())
            tape.append(Step(zz, zr, shrink, gain, reach))
            if level == top:
                flat = zr.reshape(-1, zr.shape[-1])
                A = rr.sum(0) - flat.T @ reach.reshape(-1, zr.shape[-1])
            else:
                A = np.add.reduceat(rr - dot(transpose(zr), reach), self.starts[level], axis=0)
        return A, log_det, tape

    def pull_back(self, tape: list[Step], adjoint: Array) -> list[Array]:
        """Derivatives by each ``Gamma``, from the top of the hierarchy down."""
        found: list[Array] = []
        top = len(self.widths) - 1
        G = adjoint
        for level in range(top, -1, -1):
            step = tape[level]
            if level < top:
                counts = np.diff(np.r_[self.starts[level], len(step.zz)])
                G = np.repeat(G, counts, axis=0)
            H = dot(transpose(step.shrink), step.zr)
            grown = (H @ G) @ transpose(H) if G.ndim == 2 else dot(H, transpose(H @ G))
            slope = dot(step.zz, step.shrink).sum(0) - grown.sum(0)
            found.append((slope + slope.T) / 2.0)
            if level > 0:
                G = _adjoint_below(step, G)
        return found[::-1]


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
