"""Stepped wedges with a binary or rate outcome, simulated by the events of their cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.events import Rate
from wwc_eval.power.outcomes import Binary
from wwc_eval.power.simulation.cell_glm import Cells, fit_glm, mean_of
from wwc_eval.power.simulation.cell_glmm import fit_glmm
from wwc_eval.power.simulation.cell_randomisation import fit_randomisation
from wwc_eval.power.simulation.cell_robust import fit_model_based, fit_robust
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.mixing import intercept_of, link_sd
from wwc_eval.power.simulation.small_matrices import Array
from wwc_eval.power.simulation.wedge_draws import Allocations, WedgeFrame

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["COLLAPSED_WEDGE", "CollapsedWedge", "draw_events"]

COLLAPSED_WEDGE = ("regression_cr2", "regression_cr3", "regression", "mixed_model", "randomisation_test")
"""Analyses of a binary or rate stepped wedge: GLM with effects of clusters and periods, GLMM with a random intercept."""


def draw_events(rng: np.random.Generator, n: Array, mean: Array, family: str, dispersion: float) -> Array:
    """Events among n children, or over exposure n, at risks or rates."""
    if family == "binomial":
        return np.asarray(rng.binomial(n.astype(np.int64), mean), dtype=float)
    expected = n * mean
    if dispersion > 1:
        expected = rng.gamma(np.maximum(expected, 1e-300) / (dispersion - 1.0), dispersion - 1.0)
    return np.asarray(rng.poisson(expected), dtype=float)


@dataclass(frozen=True, kw_only=True)
class CollapsedWedge:
    """Simulator of a binary or rate stepped wedge.

    Effects of clusters, cluster-periods and the drift are normal on the scale of the link; their SD is that at which risks
    or rates vary by the design's ICC, and intercepts are such that the means are those planned.
    """

    design: SteppedWedge
    effect: float
    drift_sd: float
    analyses: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is not simulated."""
        design = self.design
        if float(design.iac) > 0:
            raise DesignError("cohorts (iac > 0) with a binary or rate outcome are not simulated", fix="use iac=0")
        if design.time != "categorical" or design.effect_over_time != "constant" or design.effect_correlation != 0:
            raise DesignError(
                "binary and rate wedges are simulated with time='categorical' and one constant effect"
            )
        if isinstance(design.outcome, Rate) and float(design.outcome.dispersion) < 1:
            raise DesignError("dispersion < 1 is not simulated")
        if "randomisation_test" in self.analyses:
            self.frame.check_whole()

    @cached_property
    def frame(self) -> WedgeFrame:
        """Allocations and effects."""
        return WedgeFrame(self.design)

    @property
    def family(self) -> str:
        """Family of the outcome."""
        return "binomial" if isinstance(self.design.outcome, Binary) else "poisson"

    @property
    def _exposure(self) -> float:
        return float(getattr(self.design.outcome, "exposure", 1.0))

    @cached_property
    def link(self) -> tuple[float, float, Array]:
        """SD of clusters on the link's scale, the effect there, and the intercept of each period."""
        outcome = self.design.outcome
        treated, control = (float(each) for each in outcome.means(self.effect))
        icc = float(self.design.icc)
        if self.family == "binomial":
            variance = icc * control * (1.0 - control)
        else:
            variance = icc / (1.0 - icc) * float(getattr(outcome, "dispersion", 1.0)) * control / self._exposure
        sd = link_sd(control, variance, self.family)
        given = self.design.control_by_period
        by_period = np.full(self.design.periods, control) if given is None else np.asarray(given, dtype=float)
        shift = float(intercept_of(treated, sd, self.family) - intercept_of(control, sd, self.family))
        return sd, shift, intercept_of(by_period, sd, self.family)

    @property
    def truths(self) -> dict[str, float]:
        """Effect on the scale of the link, at a cluster, which all these analyses estimate."""
        return dict.fromkeys(self.analyses, self.link[1])

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""
        cells, treatment, allocations = self._draw(rng, reps)
        X = np.concatenate([treatment, np.broadcast_to(self._dummies, (reps, *self._dummies.shape[1:]))], axis=1)
        robust = {"regression_cr2", "regression_cr3", "regression"} & set(self.analyses)
        glm = fit_glm(cells, X) if robust else None
        found = {}
        for name in self.analyses:
            if name == "mixed_model":
                found[name] = fit_glmm(cells, treatment)
            elif name == "randomisation_test":
                reference = self.design.treatment[allocations.orders].swapaxes(1, 2)
                found[name] = fit_randomisation(cells, reference, allocations.used, self._dummies)
            elif name == "regression":
                found[name] = fit_model_based(cells, X, fit=glm)
            else:
                found[name] = fit_robust(cells, X, kind="CR2" if name == "regression_cr2" else "CR3", fit=glm)
        return found

    @cached_property
    def _dummies(self) -> Array:
        """Dummies of the clusters (1, K - 1, P, K); none where there is one period."""
        clusters, periods = self.design.treatment.shape
        if periods == 1:
            return np.zeros((1, 0, periods, clusters))
        eye = np.eye(clusters)[1:, None, :]
        return np.broadcast_to(eye, (clusters - 1, periods, clusters))[None]

    def _draw(self, rng: np.random.Generator, reps: int) -> tuple[Cells, Array, Allocations]:
        """Events (R, P, K), treatment (R, 1, P, K) and allocations."""
        sd, shift, intercepts = self.link
        allocations = self.frame.allocations(rng, reps, reference="randomisation_test" in self.analyses)
        T = self.design.treatment[allocations.orders[allocations.used]]
        effects = self.frame.effects(rng, reps, sd=sd, drift_sd=self.drift_sd)
        eta = intercepts + effects + np.nan_to_num(T) * shift
        if float(self.design.effect_sd) > 0:
            own = float(self.design.effect_sd) / self._slope
            eta = eta + np.nan_to_num(T) * own * rng.standard_normal((reps, self.design.clusters, 1))
        n = self.frame.full_sizes[None] * np.isfinite(T) * (self._exposure if self.family == "poisson" else 1.0)
        dispersion = float(getattr(self.design.outcome, "dispersion", 1.0))
        y = draw_events(rng, n, mean_of(eta, self.family), self.family, dispersion)
        treatment = np.ascontiguousarray(np.nan_to_num(T).swapaxes(1, 2))[:, None]
        cells = Cells(
            y=np.ascontiguousarray(y.swapaxes(1, 2)), n=np.ascontiguousarray(n.swapaxes(1, 2)), family=self.family
        )
        return cells, treatment, allocations

    @property
    def _slope(self) -> float:
        """Change on the scale of the test for one on the link's scale, at the control risk or rate."""
        outcome = self.design.outcome
        control = float(getattr(outcome, "control", 0.5))
        if isinstance(outcome, Binary):
            linear = outcome.effect == "risk_difference" and outcome.variance not in {"logit", "arcsine"}
            return (
                control * (1.0 - control) if linear else (1.0 - control if outcome.effect == "risk_ratio" else 1.0)
            )
        return control if getattr(outcome, "test", "log") == "difference" else 1.0
