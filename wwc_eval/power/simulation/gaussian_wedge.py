"""Stepped wedges with a continuous outcome, simulated by their cell means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.outcomes import Continuous
from wwc_eval.power.simulation.cell_randomisation import ranked
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.linear_robust import linear_robust
from wwc_eval.power.simulation.nested_cells import CellSummaries, NestedDesign, nested_design
from wwc_eval.power.simulation.small_matrices import Array
from wwc_eval.power.simulation.three_level import fit_nested
from wwc_eval.power.simulation.wedge_draws import Allocations, WedgeFrame
from wwc_eval.power.stepped_wedge_allocations import within_residual
from wwc_eval.power.stepped_wedge_variance import columns_of

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["GAUSSIAN_WEDGE", "GaussianWedge"]

_MIXED = ("mixed_model", "mixed_model_z", "hussey_hughes", "nested_exchangeable")
GAUSSIAN_WEDGE = (*_MIXED, "regression_cr2", "regression_cr3", "randomisation_test")
"""Analyses of a continuous stepped wedge. ``mixed_model`` has cluster-period effects where the design has (cac < 1, decay)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """Cell means (R, K, P) in the order of the clusters and of the design's rows, and sizes in the latter."""

    clusters: Array
    rows: Array
    sizes: Array
    within: Array
    allocations: Allocations


@dataclass(frozen=True, kw_only=True)
class GaussianWedge:
    """Simulator of a continuous stepped wedge."""

    design: SteppedWedge
    effect: float
    drift_sd: float
    analyses: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is not simulated."""
        design = self.design
        if float(np.max(np.asarray(design.iac))) > 0 and set(self.analyses) & set(_MIXED):
            raise DesignError(
                "mixed models of cohorts (iac > 0) are not simulated",
                fix="use analysis='regression_cr2' or 'randomisation_test', which need the cell means alone",
            )
        if design.effect_correlation != 0:
            raise DesignError("effect_correlation is not simulated", fix="leave it at 0")
        if design.effect_over_time != "constant" and set(self.analyses) - set(_MIXED):
            raise DesignError("effects by exposure time are simulated with mixed models only")
        if "randomisation_test" in self.analyses:
            self.frame.check_whole()

    @cached_property
    def frame(self) -> WedgeFrame:
        """Allocations and effects."""
        return WedgeFrame(self.design)

    @property
    def truths(self) -> dict[str, float]:
        """Effect on the scale of each analysis."""
        return dict.fromkeys(self.analyses, self.effect)

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""
        data = self._draw(rng, reps)
        return {name: self._fitted(name, data) for name in self.analyses}

    def _fitted(self, name: str, data: _Drawn) -> ReplicateFits:
        if name in _MIXED:
            return self._mixed(name, data)
        if name == "randomisation_test":
            return self._randomisation(data)
        return self._robust("CR2" if name == "regression_cr2" else "CR3", data)

    def _draw(self, rng: np.random.Generator, reps: int) -> _Drawn:
        design = self.design
        assert isinstance(design.outcome, Continuous)
        sd, icc, iac = float(design.outcome.sd), float(design.icc), float(design.iac)
        T, n = np.nan_to_num(design.treatment), self.frame.full_sizes
        there = np.isfinite(design.treatment)
        allocations = self.frame.allocations(rng, reps, reference="randomisation_test" in self.analyses)
        y = self.frame.effects(rng, reps, sd=sd * np.sqrt(icc), drift_sd=self.drift_sd)
        own = (1.0 - icc) * sd**2
        stay = iac * (1.0 - design.churn)
        y = y + rng.standard_normal(y.shape) * np.sqrt(own * (1.0 - stay) / n)
        if stay > 0:
            y = y + rng.standard_normal((*y.shape[:2], 1)) * np.sqrt(own * stay / n)
        slope = self.effect + float(design.effect_sd) * rng.standard_normal((reps, design.clusters, 1))
        rows = allocations.rows(y) + slope * T
        sizes = allocations.rows(n[None]) * there
        spare = (sizes - there).sum(axis=(1, 2))
        within = own * rng.chisquare(np.broadcast_to(spare, reps))
        if len(allocations.orders) == 1:
            back = rows
        else:
            back = np.take_along_axis(rows, allocations.orders[allocations.used][:, :, None], axis=1)
        return _Drawn(
            clusters=back, rows=np.where(there, rows, 0.0), sizes=sizes, within=within, allocations=allocations
        )

    # --- analyses

    @cached_property
    def _nested(self) -> NestedDesign:
        X, contrast = columns_of(self.design)
        there = np.isfinite(self.design.treatment)
        cluster = np.nonzero(there)[0]
        return nested_design(cluster, self.frame.full_sizes[there], X[there], contrast)

    def _mixed(self, name: str, data: _Drawn) -> ReplicateFits:
        design, there = self.design, np.isfinite(self.design.treatment)
        layout = self._nested
        summaries = CellSummaries(
            means=layout.padded(data.rows[:, there]), within=data.within, sizes=layout.padded(data.sizes[:, there])
        )
        icc = float(design.icc)
        top = icc * (float(design.cac) if design.decay is None else float(design.decay))
        cell = icc - top + self.drift_sd**2 / float(_sd(design)) ** 2
        layered = design.decay is not None or float(design.cac) < 1
        cells = {"hussey_hughes": False, "nested_exchangeable": True}.get(name, layered)
        fits = fit_nested(layout, summaries, start=(cell / (1.0 - icc), top / (1.0 - icc)), cells=cells)
        if name == "mixed_model_z":
            return ReplicateFits.wald(fits.estimate, fits.se, np.inf, boundary=fits.boundary, failed=fits.failed)
        return fits

    def _robust(self, kind: str, data: _Drawn) -> ReplicateFits:
        there = np.isfinite(self.design.treatment)
        k, t = np.nonzero(there)
        dummies = np.hstack([np.eye(self.design.clusters)[k], np.eye(self.design.periods)[t]])
        X = np.column_stack([self.design.treatment[there], dummies])

        def fit(which: Any) -> ReplicateFits:
            sizes = data.sizes[0] if len(data.sizes) == 1 else data.sizes[which][0]
            return linear_robust(X, sizes[there], k, kind=kind).fit(data.rows[which][:, there])

        return by_allocation(fit, data.allocations, shared=len(data.sizes) == 1)

    def _randomisation(self, data: _Drawn) -> ReplicateFits:
        """Coefficient of the child-level regression with effects of clusters and periods, under every allocation."""
        treatments = self.design.treatment[data.allocations.orders]
        h = within_residual(treatments, self.frame.full_sizes)
        size = np.einsum("ac,ac->a", h, treatments.reshape(len(treatments), -1))
        statistics = data.clusters.reshape(len(data.clusters), -1) @ (h / size[:, None]).T
        return ranked(statistics, data.allocations.used)


def by_allocation(fit: Callable[[Any], ReplicateFits], allocations: Allocations, *, shared: bool) -> ReplicateFits:
    """Fits of replicates that share a design only with those of the same allocation, in the order of the replicates."""
    if shared:
        return fit(slice(None))
    used = allocations.used
    groups = [np.flatnonzero(used == value) for value in np.unique(used)]
    joined = ReplicateFits.joined([fit(group) for group in groups])
    back = np.argsort(np.concatenate(groups))
    return joined.take(back)


def _sd(design: SteppedWedge) -> float:
    assert isinstance(design.outcome, Continuous)
    return float(design.outcome.sd)
