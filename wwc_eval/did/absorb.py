"""Unit and period effects taken out of a panel exactly, whatever cells are missing and whatever the weights.

The unit effects are eliminated one by one, which leaves one small system for the period effects (as many
equations as periods): no alternating projections, hence no tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.families import Floats

__all__ = ["Absorber"]

RANK = 1e-10


@dataclass(frozen=True, kw_only=True)
class Absorber:
    """Projection on unit effects and period effects, in the metric of cell weights.

    Parameters
    ----------
    weights : ndarray, shape (n, T)
        Weight of each cell; 0 where a cell is missing.
    blocks : ndarray of int, shape (n,)
        Units of different blocks have period effects of their own (the stacks of a stacked regression).
    totals : ndarray, shape (n,)
        Weight of each unit; 1 where it has none.
    roots : tuple of ndarray, shapes (T, r)
        For each block, contrasts of period effects that are orthonormal once unit effects are out: ``root
        root'`` is the pseudo-inverse of the period system, of rank r (periods less connected parts).
    """

    weights: Floats
    blocks: NDArray[np.intp]
    totals: Floats
    roots: tuple[Floats, ...]

    @classmethod
    def of(cls, weights: Floats, blocks: NDArray[np.intp] | None = None) -> Absorber:
        """Set up the systems of the period effects."""
        if blocks is None:
            blocks = np.zeros(len(weights), dtype=np.intp)
        totals = weights.sum(axis=1)
        totals = np.where(totals > 0, totals, 1.0)
        roots = []
        for block in range(int(blocks.max(initial=0)) + 1):
            here = blocks == block
            scaled = weights[here] / np.sqrt(totals[here])[:, None]
            system = np.diag(weights[here].sum(axis=0)) - scaled.T @ scaled
            values, vectors = np.linalg.eigh(system)
            kept = values > RANK * max(float(values[-1]), np.finfo(float).tiny)
            roots.append(vectors[:, kept] / np.sqrt(values[kept]))
        return cls(weights=weights, blocks=blocks, totals=totals, roots=tuple(roots))

    @cached_property
    def inverse(self) -> Floats:
        """Pseudo-inverse of the period system of each block, shape (B, T, T)."""
        return np.stack([root @ root.T for root in self.roots])

    @property
    def rank(self) -> int:
        """Period effects that are identified beside the unit effects, over all blocks."""
        return sum(root.shape[1] for root in self.roots)

    @property
    def periods(self) -> NDArray[np.bool_]:
        """Periods with any weight, by block, shape (B, T)."""
        return np.array([(self.weights[self.blocks == block] > 0).any(axis=0) for block in range(len(self.roots))])

    def solve(self, unit: Floats, period: Floats) -> tuple[Floats, Floats]:
        """Solution of the normal equations of the effects for given right-hand sides.

        Parameters
        ----------
        unit, period : ndarray, shapes (n, k) and (B, T, k)
            Right-hand sides.

        Returns
        -------
        tuple of ndarray, shapes (n, k) and (B, T, k)
            Unit effects and period effects; where they are not separately identified, the shortest.
        """
        mean = unit / self.totals[:, None]
        if len(self.roots) == 1:
            right = period - self.weights.T @ mean
        else:
            right = period - self._by_period(self.weights[:, :, None] * mean[:, None, :])
        effects = self.inverse @ right
        return mean - self._over_periods(effects) / self.totals[:, None], effects

    def effects(self, values: Floats) -> tuple[Floats, Floats]:
        """Least-squares unit effects (n, k) and period effects (B, T, k) of values (n, T, k)."""
        weighted = self.weights[:, :, None] * values
        return self.solve(weighted.sum(axis=1), self._by_period(weighted))

    def residual(self, values: Floats) -> Floats:
        """Values (n, T, k) with unit and period effects taken out."""
        left = values - self._means(values)[:, None, :]
        effects = self.inverse @ self._by_period(self.weights[:, :, None] * left)
        left = left - effects[self.blocks]
        return np.asarray(left - self._means(left)[:, None, :])

    def within(self, values: Floats) -> Floats:
        """Values (n, T, k) with unit effects alone taken out."""
        return np.asarray(values - self._means(values)[:, None, :])

    def _means(self, values: Floats) -> Floats:
        summed = np.matmul(self.weights[:, None, :], values)[:, 0, :]
        return np.asarray(summed / self.totals[:, None])

    def _by_period(self, values: Floats) -> Floats:
        if len(self.roots) == 1:
            return np.asarray(values.sum(axis=0)[None])
        found = np.zeros((len(self.roots), *values.shape[1:]))
        np.add.at(found, self.blocks, values)
        return found

    def _over_periods(self, effects: Floats) -> Floats:
        if len(self.roots) == 1:
            return np.asarray(self.weights @ effects[0])
        return np.asarray(np.matmul(self.weights[:, None, :], effects[self.blocks])[:, 0, :])
