"""What simulated nested trials share: whole units, variances of the levels, arms and blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.simulation.small_matrices import Array, Index

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["Layout", "layout_of", "reference_arms"]

ALLOCATIONS = 999
"""Allocations in the reference set of a simulated randomisation test, beside the one used."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Cells of a nested trial: what is randomised, in blocks where there are levels above it.

    Parameters
    ----------
    block, unit : (cells,) integer array
        Block (top level) and randomised unit of each cell; a cell is a unit of the lowest level but one, or, where
        the lowest level is randomised, an arm in a block.
    arm : (cells,) array
        1 with treatment.
    size : float
        Mean number of children in a cell.
    size_cv : float
        Coefficient of variation of the number of children.
    """

    block: Index
    unit: Index
    arm: Array
    size: Array
    size_cv: float

    @property
    def blocked(self) -> bool:
        """Whether both arms stand in one block."""
        own = [np.unique(self.arm[self.block == b]).size for b in np.unique(self.block)]
        return max(own) > 1

    def sizes(self, rng: np.random.Generator, reps: int | None = None) -> Array:
        """Children in each cell, (cells,) or (reps, cells); gamma distributed where sizes vary, at least 1."""
        if self.size_cv == 0:
            return np.maximum(np.round(self.size), 1.0)
        shape = self.size.shape if reps is None else (reps, *self.size.shape)
        spread = rng.gamma(self.size_cv**-2, self.size * self.size_cv**2, shape)
        return np.maximum(np.round(spread), 1.0)

    def columns(self, covariates: Array | None = None, *, dummies: bool) -> Array:
        """Columns of the model: arm, intercept or dummies of blocks, covariates."""
        base = np.eye(self.block.max() + 1)[self.block] if dummies else np.ones((len(self.arm), 1))
        parts = [self.arm[:, None], base]
        return np.hstack(parts if covariates is None else [*parts, covariates])


def layout_of(trial: Trial) -> Layout:
    """Whole units of a trial as analysed, arms as near the stated share as can be.

    Raises
    ------
    DesignError
        If the trial has parts that are not simulated; the error names them.
    """
    levels, at = trial.levels, trial.at
    if trial.baseline is not None or trial.groups is not None:
        raise DesignError(
            "a baseline measure and groups in one arm are not simulated",
            fix="give the level's r2 and covariates in place of the baseline",
        )
    if len(levels) > 3 or (len(levels) == 3 and at == 0):
        raise DesignError(
            f"{len(levels)} levels with '{trial.assigned}' assigned are not simulated",
            rule="up to three levels, of which the second or third is assigned; or two with the lowest assigned",
            fix="leave out a level",
        )
    for each in levels:
        for name in ("n", "icc", "r2", "size_cv", "effect_heterogeneity", "attrition"):
            if np.size(getattr(each, name)) != 1:
                raise DesignError(f"{name} of level '{each.name}' is an array, a simulation needs one number")
    kept = [float(each.kept) for each in levels]
    share = float(np.ravel(trial.allocation)[0])
    child_cv = float(levels[0].size_cv)
    if at == 0:
        blocks = max(1, round(kept[1])) if len(levels) == 2 else 1
        treated = min(max(round(kept[0] * share), 1), round(kept[0]) - 1)
        sizes = np.tile([kept[0] - treated, float(treated)], blocks)
        block = np.repeat(np.arange(blocks), 2)
        return Layout(
            block=block, unit=np.arange(2 * blocks), arm=np.tile([0.0, 1.0], blocks), size=sizes, size_cv=child_cv
        )
    tops = max(2, round(kept[-1]))
    inner = max(1, round(kept[1])) if len(levels) == 3 else 1
    block = np.repeat(np.arange(tops), inner)
    if at == len(levels) - 1:
        treated = min(max(round(tops * share), 1), tops - 1)
        arm = (np.arange(tops) < treated).astype(float)[block]
        unit = block
    else:
        treated = min(max(round(inner * share), 1), inner - 1)
        arm = np.tile((np.arange(inner) < treated).astype(float), tops)
        unit = np.arange(len(block))
    return Layout(block=block, unit=unit, arm=arm, size=np.full(len(block), kept[0]), size_cv=child_cv)


def reference_arms(rng: np.random.Generator, arm: Array, block: Index | None) -> Array:
    """Arms (A, units) of random allocations with the design's own first, within blocks where there are any."""
    found = np.empty((ALLOCATIONS + 1, len(arm)))
    found[0] = arm
    groups = [np.arange(len(arm))] if block is None else [np.flatnonzero(block == b) for b in np.unique(block)]
    for own in groups:
        found[1:, own] = rng.permuted(np.tile(arm[own], (ALLOCATIONS, 1)), axis=1)
    return found
