"""Nested trials with a binary or rate outcome, simulated by the events of the randomised units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError
from wwc_eval.power.events import Rate
from wwc_eval.power.outcomes import Binary
from wwc_eval.power.simulation.cell_glm import Cells, fit_glm, mean_of
from wwc_eval.power.simulation.cell_glmm import fit_glmm
from wwc_eval.power.simulation.cell_randomisation import ranked
from wwc_eval.power.simulation.cell_robust import fit_model_based, fit_robust
from wwc_eval.power.simulation.collapsed_wedge import draw_events
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.mixing import intercept_of, link_sd
from wwc_eval.power.simulation.small_matrices import Index
from wwc_eval.power.simulation.trial_layout import Layout, layout_of, reference_arms
from wwc_eval.power.simulation.two_level import ClusterSummaries, fit_cluster_means

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["COLLAPSED_TRIAL", "CollapsedTrial"]

COLLAPSED_TRIAL = (
    "cluster_summaries", "regression", "regression_cr2", "regression_cr3", "mixed_model", "randomisation_test",
)  # fmt: skip
"""Analyses of a binary or rate nested trial; cluster summaries and the randomisation test are of differences in risks or rates."""


@dataclass(frozen=True, kw_only=True)
class CollapsedTrial:
    """Simulator of a binary or rate nested trial.

    Effects of units are normal on the scale of the link, with the SD at which risks or rates vary by ICC or k.
    """

    design: Trial
    effect: float
    analyses: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is not simulated."""
        if not isinstance(self.design.outcome, (Binary, Rate)):
            raise DesignError(f"the outcome {type(self.design.outcome).__name__} is not simulated")
        if self.design.at == 0 and set(self.analyses) != {"regression"}:
            raise DesignError(f"with {self.design.assigned}s assigned, analysis='regression' is simulated")
        if any(float(np.ravel(each.r2)[0]) > 0 for each in self.design.levels):
            raise DesignError("r2 of a binary or rate outcome is not simulated", fix="leave r2 at 0")
        if any(float(np.ravel(each.effect_heterogeneity)[0]) > 0 for each in self.design.levels):
            raise DesignError(
                "effect_heterogeneity of a binary or rate outcome is not simulated", fix="leave it at 0"
            )
        self.layout  # noqa: B018

    @cached_property
    def layout(self) -> Layout:
        """Cells, arms and blocks."""
        return layout_of(self.design)

    @property
    def family(self) -> str:
        """Family of the outcome."""
        return "binomial" if isinstance(self.design.outcome, Binary) else "poisson"

    @cached_property
    def means(self) -> tuple[float, float]:
        """Risk or rate of the arms as randomised."""
        treated, control = self.design.outcome.diluted(
            self.effect, dilution=self.design.dilution, crossover=self.design.crossover
        )
        return float(np.ravel(treated)[0]), float(np.ravel(control)[0])

    @cached_property
    def sds(self) -> list[float]:
        """SD on the link's scale of the levels above the lowest."""
        outcome, control = self.design.outcome, float(np.ravel(getattr(self.design.outcome, "control"))[0])  # noqa: B009
        upper = self.design.levels[1:]
        if not upper:
            return []
        plain = outcome.replace(variance="null") if isinstance(outcome, Binary) else outcome
        parts = plain.components(
            *plain.means(plain.null),
            icc=[e.icc for e in upper],
            k=[e.k for e in upper],
            share=self.design.allocation,
        )
        shared = [float(np.ravel(part[1])[0]) for part in parts[1:]]
        if getattr(outcome, "test", "") == "log":
            shared = [each * control**2 for each in shared]
        total = link_sd(control, sum(shared), self.family)
        return [total * float(np.sqrt(each / sum(shared))) if sum(shared) > 0 else 0.0 for each in shared]

    @property
    def truths(self) -> dict[str, float]:
        """Effect on the scale of each analysis: differences, marginal or conditional log ratios."""
        treated, control = self.means
        sd = float(np.sqrt(sum(each**2 for each in self.sds)))
        conditional = intercept_of(np.array([treated, control]), sd, self.family)
        link = special.logit if self.family == "binomial" else np.log
        found = {}
        for name in self.analyses:
            if name in {"cluster_summaries", "randomisation_test"}:
                found[name] = treated - control
            elif name == "mixed_model" or self.layout.blocked:
                found[name] = float(conditional[0] - conditional[1])
            else:
                found[name] = float(link(treated) - link(control))
        return found

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""
        layout = self.layout
        sizes = np.broadcast_to(layout.sizes(rng, reps), (reps, len(layout.arm)))
        exposure = float(np.ravel(getattr(self.design.outcome, "exposure", 1.0))[0])
        n = sizes * (exposure if self.family == "poisson" else 1.0)
        sd = float(np.sqrt(sum(each**2 for each in self.sds)))
        intercepts = intercept_of(np.array(self.means), sd, self.family)
        eta = np.where(layout.arm > 0, intercepts[0], intercepts[1]) + np.zeros((reps, 1))
        if self.sds:
            blocks = int(layout.block.max()) + 1
            eta = eta + self.sds[-1] * rng.standard_normal((reps, blocks))[:, layout.block]
        if len(self.sds) == 2:
            eta = eta + self.sds[0] * rng.standard_normal(eta.shape)
        dispersion = float(np.ravel(getattr(self.design.outcome, "dispersion", 1.0))[0])
        y = draw_events(rng, n, mean_of(eta, self.family), self.family, dispersion)
        units, first = np.unique(layout.unit, return_index=True)
        pick = (layout.unit[:, None] == units).astype(float)
        cells = Cells(y=(y @ pick)[:, None], n=(n @ pick)[:, None], family=self.family)
        return {name: self._fitted(name, rng, cells, first.astype(np.intp)) for name in self.analyses}

    def _fitted(self, name: str, rng: np.random.Generator, cells: Cells, first: Index) -> ReplicateFits:
        layout = self.layout
        X = layout.columns(dummies=layout.blocked)[first]
        if name in {"cluster_summaries", "randomisation_test"}:
            rates = (cells.y / cells.n)[:, 0]
            if name == "cluster_summaries":
                summaries = ClusterSummaries(
                    means=rates, within=np.zeros(len(rates)), sizes=np.ones(rates.shape[1])
                )
                return fit_cluster_means(summaries, X, np.eye(X.shape[1])[0])
            block = layout.block[first] if layout.blocked else None
            arms = reference_arms(rng, X[:, 0], block)
            basis = np.linalg.qr(X[:, 1:])[0]
            h = arms - (arms @ basis) @ basis.T
            return ranked(rates @ (h / (h * arms).sum(axis=1)[:, None]).T, np.zeros(len(rates), dtype=np.intp))
        # the kernel has an intercept of its own
        wide = np.ascontiguousarray(np.column_stack([X[:, :1], X[:, 2:]]).T)[None, :, None, :]
        if name == "mixed_model":
            return fit_glmm(cells, wide)
        if name == "regression":
            return fit_model_based(cells, wide, fit=fit_glm(cells, wide))
        return fit_robust(cells, wide, kind="CR2" if name == "regression_cr2" else "CR3")
