"""What simulated stepped wedges share: allocations, and the effects of clusters and cluster-periods."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.simulation.small_matrices import Array, Index
from wwc_eval.power.stepped_wedge_allocations import ENUMERATED, exchangeable, n_permitted, permitted_orders

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["Allocations", "WedgeFrame"]

MOST = 2_000
"""Allocations in the reference set of a simulated randomisation test; above it, so many are drawn at random."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocations:
    """Permitted allocations of a chunk, and which of them each replicate has.

    Parameters
    ----------
    orders : (A, K) integer array
        Row of the design's treatment that each cluster has.
    used : (R,) integer array
        Allocation of each replicate.
    """

    orders: Index
    used: Index

    def rows(self, values: Array) -> Array:
        """Values (R or 1, K, ...) of clusters in the order of the design's rows, (R, K, ...)."""
        if len(self.orders) == 1:
            return values
        cluster_of_row = np.argsort(self.orders, axis=1)[self.used]
        full = np.broadcast_to(values, (len(self.used), *values.shape[1:]))
        return np.take_along_axis(full, cluster_of_row[:, :, None], axis=1)


@dataclass(frozen=True)
class WedgeFrame:
    """The part of a stepped wedge that its simulators share."""

    design: SteppedWedge

    @cached_property
    def full_sizes(self) -> Array:
        """Children of each cluster and period (K, P), whether or not the cell is counted."""
        sizes = np.broadcast_to(self.design.cell_size, self.design.treatment.shape)
        return np.maximum(np.round(np.asarray(sizes, dtype=float)), 1.0)

    @cached_property
    def correlation_root(self) -> Array:
        """Root of the correlation (P, P) of a cluster's effects between periods."""
        periods = np.arange(self.design.periods)
        gap = np.abs(periods[:, None] - periods)
        if self.design.decay is None:
            kept = np.where(gap == 0, 1.0, float(self.design.cac))
        else:
            kept = float(self.design.decay) ** gap
        values, vectors = np.linalg.eigh(kept)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    @cached_property
    def listed(self) -> Index:
        """Every permitted allocation."""
        return permitted_orders(self.design)

    def allocations(self, rng: np.random.Generator, reps: int, *, reference: bool) -> Allocations:
        """Allocations of a chunk; one where all are alike and no reference set is asked for."""
        same = exchangeable(self.design)
        if same and not reference:
            return Allocations(orders=np.arange(self.design.clusters)[None], used=np.zeros(reps, dtype=np.intp))
        if n_permitted(self.design) <= min(MOST, ENUMERATED):
            orders = self.listed
        else:
            orders = permitted_orders(self.design, most=MOST, rng=rng)
        used = np.zeros(reps, dtype=np.intp) if same else rng.integers(len(orders), size=reps)
        return Allocations(orders=orders, used=used)

    def effects(self, rng: np.random.Generator, reps: int, *, sd: float, drift_sd: float) -> Array:
        """Effects (R, K, P) of clusters and periods, with the drift."""
        shape = (reps, self.design.clusters, self.design.periods)
        found = sd * (rng.standard_normal(shape) @ self.correlation_root.T)
        return found + drift_sd * rng.standard_normal(shape) if drift_sd > 0 else found

    def check_whole(self) -> None:
        """Refuse a randomisation test where cells are absent."""
        if np.isnan(self.design.treatment).any():
            raise DesignError(
                "the randomisation test of an incomplete stepped wedge is not simulated",
                fix="choose another analysis, or leave transition periods out of the design",
            )
