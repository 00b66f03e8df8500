"""Solving with ``H = I + Lambda' Z' W Z Lambda``: nested factors folded, crossed factors through one dense block.

A factorisation knows its log-determinant, solves for right-hand sides given by factor, and gives the entries of the
inverse that rows need: for each cell the block of all random effects which the cell meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.multilevel.engine.structure import Array, Index
from wwc_eval.multilevel.generalised.layout import Effects, Layout

__all__ = ["CrossedElimination", "Elimination", "Factorisation", "NestedElimination", "elimination_of"]

LARGEST_BLOCK = 60_000_000
"""Numbers in the dense block of crossed factors that still fit comfortably in memory."""


class Factorisation(Protocol):
    """A factorised H."""

    @property
    def log_determinant(self) -> float:
        """Logarithm of its determinant."""
        ...

    def solve(self, right: Effects) -> Effects:
        """``H^-1`` times a vector given by factor, (G, q) each."""
        ...

    def inverse(self) -> tuple[Array, Effects]:
        """Blocks of the inverse: of each cell (C, m, m), and of each group by factor (G, q, q)."""
        ...


class Elimination(Protocol):
    """What factorises H for one layout."""

    def factorise(self, gram: Array) -> Factorisation | None:
        """Factorise ``I + sum of gram`` (C, m, m), or None where it is not positive definite."""
        ...


def elimination_of(layout: Layout) -> Elimination:
    """The elimination that fits a layout."""
    return NestedElimination(layout) if layout.nested else CrossedElimination(layout)


def _inverted(blocks: Array) -> tuple[Array, float] | None:
    """Inverses (G, q, q) and sum of log-determinants; None where a block is not positive definite."""
    if blocks.shape[-1] == 1:
        values = blocks[:, 0, 0]
        if not np.all(values > 0):
            return None
        return (1.0 / values)[:, None, None], float(np.log(values).sum())
    if blocks.shape[-1] == 2:
        a, b, d = blocks[:, 0, 0], blocks[:, 0, 1], blocks[:, 1, 1]
        # H is at least the identity at a mode: its determinant has no cancellation to speak of
        determinant = a * d - b * b
        if not (np.all(determinant > 0) and np.all(a > 0)):
            return None
        inverse = np.empty_like(blocks)
        inverse[:, 0, 0], inverse[:, 1, 1] = d / determinant, a / determinant
        inverse[:, 0, 1] = inverse[:, 1, 0] = -b / determinant
        return inverse, float(np.log(determinant).sum())
    try:
        roots = np.linalg.cholesky(blocks)
    except np.linalg.LinAlgError:
        return None
    diagonal = np.diagonal(roots, axis1=1, axis2=2)
    if not np.all(np.isfinite(diagonal)):
        return None
    return np.asarray(np.linalg.inv(blocks), dtype=float), 2.0 * float(np.log(diagonal).sum())


@dataclass(frozen=True, eq=False)
class NestedFactorisation:
    """H of nested factors after elimination from the finest factor upwards."""

    widths: tuple[int, ...]
    counts: tuple[Index, ...]
    starts: tuple[Index, ...]
    inverses: tuple[Array, ...]
    gains: tuple[Array, ...]
    log_determinant: float

    def solve(self, right: Effects) -> Effects:
        """Forward to the coarsest factor, then back."""
        found: Effects = []
        carry = np.zeros((len(right[0]), sum(self.widths)))
        for level, (inverse, gain) in enumerate(zip(self.inverses, self.gains, strict=True)):
            q = self.widths[level]
            if level:
                carry = np.add.reduceat(carry, self.starts[level - 1], axis=0)
            own = right[level] - carry[:, :q]
            found.append(_times(inverse, own))
            carry = carry[:, q:] + _times(gain.swapaxes(1, 2), own)
        above = found[-1]
        for level in range(len(found) - 2, -1, -1):
            above = np.repeat(above, self.counts[level], axis=0)
            found[level] = found[level] - _times(self.gains[level], above)
            above = np.concatenate([found[level], above], axis=1)
        return found

    def inverse(self) -> tuple[Array, Effects]:
        """From the coarsest factor down."""
        joint = self.inverses[-1]
        own = [joint]
        for level in range(len(self.inverses) - 2, -1, -1):
            above = np.repeat(joint, self.counts[level], axis=0)
            gain = self.gains[level]
            cross = -gain @ above
            inner = self.inverses[level] - cross @ gain.swapaxes(1, 2)
            own.append(inner)
            joint = np.concatenate(
                [np.concatenate([inner, cross], axis=2), np.concatenate([cross.swapaxes(1, 2), above], axis=2)],
                axis=1,
            )
        return joint, own[::-1]


def _times(matrices: Array, vectors: Array) -> Array:
    if matrices.shape[1:] == (1, 1):
        return np.asarray(matrices[:, 0] * vectors)
    return np.asarray((matrices @ vectors[..., None])[..., 0])


class NestedElimination:
    """Elimination for factors that nest in a chain."""

    def __init__(self, layout: Layout) -> None:
        self.widths = layout.widths
        self.identities = tuple(np.eye(q) for q in layout.widths)
        starts, counts = [], []
        cells = np.arange(len(layout.starts))
        for codes in layout.groups[1:]:
            parent = codes[cells]
            first = np.flatnonzero(np.r_[True, parent[1:] != parent[:-1]])
            starts.append(first)
            counts.append(np.diff(np.r_[first, len(parent)]))
            cells = cells[first]
        self.starts, self.counts = tuple(starts), tuple(counts)

    def factorise(self, gram: Array) -> NestedFactorisation | None:
        """Fold from the finest factor upwards."""
        A, log_determinant = gram, 0.0
        inverses, gains = [], []
        for level, q in enumerate(self.widths):
            done = _inverted(A[:, :q, :q] + self.identities[level])
            if done is None:
                return None
            inverses.append(done[0])
            log_determinant += done[1]
            side = A[:, :q, q:]
            gain = done[0] * side if q == 1 else done[0] @ side
            gains.append(gain)
            if level < len(self.starts):
                inner = side.swapaxes(1, 2) * gain if q == 1 else side.swapaxes(1, 2) @ gain
                A = np.add.reduceat(A[:, q:, q:] - inner, self.starts[level], axis=0)
        return NestedFactorisation(
            widths=self.widths,
            counts=self.counts,
            starts=self.starts,
            inverses=tuple(inverses),
            gains=tuple(gains),
            log_determinant=log_determinant,
        )


@dataclass(frozen=True, eq=False)
class CrossedFactorisation:
    """H of crossed factors: the first factor eliminated block by block, the others one dense inverse."""

    layout: Layout
    places: tuple[Index, ...]
    own: Array
    gain: Array
    dense: Array
    log_determinant: float

    def solve(self, right: Effects) -> Effects:
        """Eliminate, solve, substitute."""
        first = right[0]
        G, q = first.shape
        other = np.concatenate([each.ravel() for each in right[1:]])
        other = self.dense @ (other - self.gain.T @ first.ravel())
        back = _times(self.own, first).ravel() - self.gain @ other
        ends = np.cumsum([each.size for each in right[1:]])[:-1]
        rest = [part.reshape(each.shape) for part, each in zip(np.split(other, ends), right[1:], strict=True)]
        return [back.reshape(G, q), *rest]

    def inverse(self) -> tuple[Array, Effects]:
        """Entries that cells and groups need."""
        layout = self.layout
        q, m = layout.widths[0], layout.m
        G = layout.n_groups[0]
        turned = self.gain @ self.dense
        inner = self.own + turned.reshape(G, q, -1) @ self.gain.reshape(G, q, -1).swapaxes(1, 2)
        joint = np.empty((len(layout.starts), m, m))
        joint[:, :q, :q] = inner[layout.groups[0]]
        columns = np.stack(self.places, axis=1)  # (C, m - q): place among the dense effects
        rows = layout.groups[0][:, None] * q + np.arange(q)
        cross = -turned[rows[:, :, None], columns[:, None, :]]
        joint[:, :q, q:] = cross
        joint[:, q:, :q] = cross.swapaxes(1, 2)
        joint[:, q:, q:] = self.dense[columns[:, :, None], columns[:, None, :]]
        blocks = [inner]
        start = 0
        for width, count in zip(layout.widths[1:], layout.n_groups[1:], strict=True):
            at = start + np.arange(count)[:, None] * width + np.arange(width)
            blocks.append(self.dense[at[:, :, None], at[:, None, :]])
            start += width * count
        return joint, blocks


class CrossedElimination:
    """Elimination for crossed factors."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        starts = np.cumsum([0, *(w * g for w, g in zip(layout.widths[1:], layout.n_groups[1:], strict=True))])
        self.size = int(starts[-1])
        self.rows = layout.widths[0] * layout.n_groups[0]
        if max(self.rows, self.size) * self.size > LARGEST_BLOCK:
            raise DesignError(
                f"crossed factors with {self.rows:,} and {self.size:,} random effects are too many for this method",
                rule="the random effects of all factors but the largest form one dense block",
                fix="leave out a factor, or enter the smallest one as a fixed effect",
            )
        self.places = tuple(
            start + codes * width + k
            for start, codes, width in zip(starts, layout.groups[1:], layout.widths[1:], strict=False)
            for k in range(width)
        )
        columns = np.stack(self.places, axis=1)
        q = layout.widths[0]
        rows = layout.groups[0][:, None] * q + np.arange(q)
        self.cross = (rows[:, :, None] * self.size + columns[:, None, :]).ravel()
        self.inner = (columns[:, :, None] * self.size + columns[:, None, :]).ravel()
        first = layout.groups[0]
        self.first = (first[:, None] * q * q + np.arange(q * q)).ravel()

    def factorise(self, gram: Array) -> CrossedFactorisation | None:
        """Eliminate the first factor exactly, invert what remains."""
        q, G = self.layout.widths[0], self.layout.n_groups[0]

        def sums(at: Index, values: Array, size: int) -> Array:
            return np.asarray(np.bincount(at, weights=values.ravel(), minlength=size), dtype=float)

        own = sums(self.first, gram[:, :q, :q], G * q * q).reshape(G, q, q) + np.eye(q)
        done = _inverted(own)
        if done is None:
            return None
        side = sums(self.cross, gram[:, :q, q:], self.rows * self.size).reshape(G, q, self.size)
        rest = sums(self.inner, gram[:, q:, q:], self.size**2).reshape(self.size, self.size)
        gain = (done[0] @ side).reshape(self.rows, self.size)
        rest = rest + np.eye(self.size) - side.reshape(self.rows, self.size).T @ gain
        last = _inverted(rest[None])
        if last is None:
            return None
        return CrossedFactorisation(
            layout=self.layout,
            places=self.places,
            own=done[0],
            gain=gain,
            dense=last[0][0],
            log_determinant=done[1] + last[1],
        )
