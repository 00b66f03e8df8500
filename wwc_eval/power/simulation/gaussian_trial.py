"""Nested trials with a continuous outcome, simulated by the means of their cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.simulation.cell_randomisation import ranked
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.linear_robust import linear_robust
from wwc_eval.power.simulation.nested_cells import CellSummaries, nested_design
from wwc_eval.power.simulation.small_matrices import Array
from wwc_eval.power.simulation.three_level import fit_nested
from wwc_eval.power.simulation.trial_layout import Layout, layout_of, reference_arms
from wwc_eval.power.simulation.two_level import (
    ClusterSummaries,
    fit_cluster_means,
    fit_kenward_roger,
    fit_two_level,
)

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["GAUSSIAN_TRIAL", "GaussianTrial"]

GAUSSIAN_TRIAL = (
    "mixed_model", "kenward_roger", "regression", "regression_cr2", "regression_cr3", "cluster_summaries",
    "randomisation_test",
)  # fmt: skip
"""Analyses of a continuous nested trial."""
SHARED = ("kenward_roger", "regression_cr2", "regression_cr3")
BATCHES = 10
"""Draws of the sizes in a chunk where an analysis needs replicates that share them."""


@dataclass(frozen=True, kw_only=True)
class GaussianTrial:
    """Simulator of a continuous nested trial."""

    design: Trial
    effect: float
    analyses: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is not simulated."""
        self.layout  # noqa: B018
        levels = len(self.design.levels)
        if "kenward_roger" in self.analyses and (levels != 2 or self.design.at == 0):
            raise DesignError(
                "kenward_roger is simulated for two levels with clusters assigned", fix="use 'mixed_model'"
            )
        if self.design.at == 0 and set(self.analyses) - {"mixed_model", "regression"}:
            raise DesignError(
                f"with {self.design.assigned}s assigned, 'mixed_model' and 'regression' are simulated",
                fix="choose one of them",
            )
        if levels == 1 and set(self.analyses) != {"regression"}:
            raise DesignError("a trial of one level has no clusters", fix="analysis='regression'")

    @cached_property
    def layout(self) -> Layout:
        """Cells, arms and blocks."""
        return layout_of(self.design)

    @cached_property
    def variances(self) -> list[float]:
        """Variance of each level that covariates leave, lowest first."""
        outcome = self.design.outcome
        upper = self.design.levels[1:]
        parts = outcome.components(
            *outcome.means(0.0), icc=[e.icc for e in upper], k=[e.k for e in upper], share=self.design.allocation
        )
        left = [1.0 - float(each.r2) for each in self.design.levels]
        return [float(np.ravel(part[1])[0]) * share for part, share in zip(parts, left, strict=True)]

    @property
    def itt(self) -> float:
        """Effect of intention to treat."""
        return self.effect * float(np.ravel(self.design.kept_effect)[0])

    @property
    def truths(self) -> dict[str, float]:
        """Effect on the scale of each analysis."""
        return dict.fromkeys(self.analyses, self.itt)

    @property
    def _dummies(self) -> bool:
        """Whether the model has effects of blocks."""
        return self.layout.blocked and len(self.design.levels) > 1 and self.design.block_effects != "random"

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""
        shared = self.layout.size_cv > 0 and (set(self.analyses) & set(SHARED) or self._cells_differ)
        parts = np.array_split(np.arange(reps), min(BATCHES, reps)) if shared else [np.arange(reps)]
        made = [self._batch(rng, len(part), bool(shared)) for part in parts]
        return {name: ReplicateFits.joined([each[name] for each in made]) for name in self.analyses}

    @property
    def _cells_differ(self) -> bool:
        """Whether cells are not the clusters: the layout of the model then depends on the sizes."""
        return len(self.design.levels) != 2 or self.design.at == 0

    def _batch(self, rng: np.random.Generator, reps: int, shared: bool) -> dict[str, ReplicateFits]:
        layout, variances = self.layout, self.variances
        sizes = layout.sizes(rng, None if shared or layout.size_cv == 0 else reps)
        covariates = self._covariates(rng)
        cells, blocks = len(layout.arm), int(layout.block.max()) + 1
        y = self.itt * layout.arm + rng.standard_normal((reps, cells)) * np.sqrt(variances[0] / sizes)
        top = variances[-1] if len(variances) > 1 else 0.0
        slope = (
            top * float(self.design.levels[-1].effect_heterogeneity)
            if layout.blocked and len(variances) > 1
            else 0.0
        )
        # arms keep one variance: half of the effect's is taken from what the arms of a block share
        y += rng.standard_normal((reps, blocks))[:, layout.block] * np.sqrt(max(top - slope / 2.0, 0.0))
        if slope > 0:
            arms = rng.standard_normal((reps, blocks, 2)) * np.sqrt(slope / 2.0)
            y += arms[:, layout.block, layout.arm.astype(int)]
        if len(variances) == 3:
            y += rng.standard_normal((reps, cells)) * np.sqrt(variances[1])
        spare = sizes.sum(axis=-1) - cells
        within = variances[0] * rng.chisquare(np.maximum(spare, 1e-9), reps)
        return {name: self._fitted(name, rng, (y, within, sizes), covariates) for name in self.analyses}

    def _covariates(self, rng: np.random.Generator) -> Array | None:
        """Covariates of the randomised units: what they explain is out of the variances, their columns cost df."""
        level = self.design.levels[self.design.at]
        count = int(np.ravel(level.covariates)[0]) if self.design.at > 0 else 0
        if count == 0:
            return None
        return rng.standard_normal((int(self.layout.unit.max()) + 1, count))[self.layout.unit]

    # --- analyses

    def _fitted(
        self, name: str, rng: np.random.Generator, data: tuple[Array, Array, Array], covariates: Array | None
    ) -> ReplicateFits:
        y, within, sizes = data
        X = self.layout.columns(covariates, dummies=self._dummies)
        contrast = np.eye(X.shape[1])[0]
        if name in {"mixed_model", "kenward_roger", "regression"}:
            return self._modelled(name, data, X, contrast)
        if name in {"regression_cr2", "regression_cr3"}:
            cluster = self.layout.unit if self._dummies else self.layout.block
            return linear_robust(X, sizes, cluster, kind="CR2" if name.endswith("2") else "CR3").fit(y)
        units, first = np.unique(self.layout.unit, return_index=True)
        pick = (self.layout.unit[:, None] == units).astype(float)
        means = (y * sizes) @ pick / (sizes @ pick)
        of_units = self.layout.columns(covariates, dummies=self.layout.blocked)[first]
        if name == "cluster_summaries":
            return fit_cluster_means(
                ClusterSummaries(means=means, within=within, sizes=np.ones(len(units))),
                of_units,
                contrast_of(of_units),
            )
        block = self.layout.block[first] if self.layout.blocked else None
        arms = reference_arms(rng, self.layout.arm[first], block)
        basis = np.linalg.qr(of_units[:, 1:])[0]
        h = arms - (arms @ basis) @ basis.T
        return ranked(means @ (h / (h * arms).sum(axis=1)[:, None]).T, np.zeros(len(y), dtype=np.intp))

    def _modelled(self, name: str, data: tuple[Array, Array, Array], X: Array, contrast: Array) -> ReplicateFits:
        y, within, sizes = data
        variances = self.variances
        if not self._cells_differ and name != "regression":
            summaries = ClusterSummaries(means=y, within=within, sizes=sizes)
            return (fit_kenward_roger if name == "kenward_roger" else fit_two_level)(summaries, X, contrast)
        layout = nested_design(self.layout.block, sizes if sizes.ndim == 1 else sizes[0], X, contrast)
        padded = layout.padded(np.atleast_2d(sizes))
        cells = CellSummaries(means=layout.padded(y), within=within, sizes=padded)
        middle = variances[1] / variances[0] if len(variances) == 3 else 0.0
        top = variances[-1] / variances[0] if len(variances) > 1 else 0.0
        mixed = name == "mixed_model"
        random_top = mixed and not self._dummies
        return fit_nested(
            layout, cells, start=(middle, top), cells=mixed and len(variances) == 3, clusters=random_top
        )


def contrast_of(X: Array) -> Array:
    """The first column."""
    return np.asarray(np.eye(X.shape[1])[0])
