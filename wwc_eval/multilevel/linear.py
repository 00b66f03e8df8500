"""The fitted linear mixed model: its solution, its inferences, and the doors to everything trials report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import ConvergenceError, DataError, DesignError, check_choice, check_number
from wwc_eval.inference.clusters import Clusters
from wwc_eval.multilevel.core import LinearCore, message_of, status_of
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.optimiser import Optimiser
from wwc_eval.multilevel.reports import ReportedFit
from wwc_eval.multilevel.small_sample.inference import (
    INFERENCES,
    Inference,
    Normal,
    kenward_roger_inference,
    robust_inference,
)
from wwc_eval.multilevel.small_sample.robust import MixedRobust, mixed_robust
from wwc_eval.multilevel.small_sample.satterthwaite import SatterthwaiteReference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wwc_eval.estimate import Estimate, Estimates
    from wwc_eval.inference.averages import Average
    from wwc_eval.multilevel.advice import Advice
    from wwc_eval.table import Table

__all__ = ["LinearFit"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LinearFit(ReportedFit):
    """A fitted linear mixed model.

    Parameters
    ----------
    core : LinearCore
        The solution.
    inference_kind : str
        One of ``wald, satterthwaite, kenward_roger, CR0, CR1, CR1S, CR2, CR3``.
    clusters : Clusters, optional
        Clusters of cluster-robust errors.
    """

    core: LinearCore
    inference_kind: str = "satterthwaite"
    clusters: Clusters | None = None

    # --- what the family says

    @property
    def family(self) -> str:
        """``gaussian``."""
        return "gaussian"

    @property
    def method(self) -> str:
        """``reml`` or ``ml``."""
        return "reml" if self.core.solution.problem.reml else "ml"

    @property
    def _words(self) -> str:
        return f"Linear mixed model ({self.method.upper()})"

    @property
    def _coefficient_scale(self) -> str:
        return "coefficient"

    @cached_property
    def coefficients(self) -> Array:
        """Fixed effects (p,) in formula order."""
        return self.core.solution.beta

    @cached_property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance of the random effects of each grouping factor, in the order of ``data.groupings``."""
        prepared = self.core.solution.problem.prepared
        found = {
            grouping.name: covariance
            for grouping, covariance in zip(prepared.groupings, self.core.solution.covariances, strict=True)
        }
        return tuple(found[grouping.name] for grouping in self.data.groupings)

    @property
    def residual_variance(self) -> float:
        """Residual variance (of a row with weight 1)."""
        return self.core.solution.sigma2

    @property
    def criterion(self) -> float:
        """REML criterion or ML deviance, as lme4 reports it."""
        return self.core.solution.criterion

    @cached_property
    def inference(self) -> Inference:
        """Covariance of the fixed effects with its reference distribution."""
        solution, kind = self.core.solution, self.inference_kind
        if self.status == "failed":
            raise ConvergenceError(self.message.rstrip("."), fix="change the model before asking for inference")
        if kind == "wald":
            return Inference(
                kind=kind, vcov=solution.vcov, reference=Normal(), words="normal distribution", citation=""
            )
        if kind == "satterthwaite":
            return Inference(
                kind=kind,
                vcov=solution.vcov,
                reference=SatterthwaiteReference(solution=solution, found=self.core.sensitivity),
                words="Satterthwaite degrees of freedom",
                citation="Kuznetsova, Brockhoff and Christensen 2017, doi:10.18637/jss.v082.i13",
            )
        if kind == "kenward_roger":
            return kenward_roger_inference(self.core.kenward_roger)
        assert self.clusters is not None
        return robust_inference(mixed_robust(solution, self.clusters.codes, kind), self.clusters)

    # --- how it went

    @property
    def status(self) -> str:
        """``ok``, ``boundary`` (a variance is zero), ``dropped_columns`` or ``failed``."""
        return status_of(self.core, self.data.design.aliased)

    @property
    def message(self) -> str:
        """The status in sentences."""
        return message_of(self.core, self.data.design.aliased)

    @property
    def optimiser(self) -> Optimiser:
        """Record of the search."""
        return self.core.optimiser

    # --- other inferences of the same fit

    def with_inference(
        self, kind: str, *, cluster: str | Sequence[Any] | None = None, level: float | None = None
    ) -> LinearFit:
        """The same fit with another inference; nothing is fitted again and stored intervals are not relabelled.

        Parameters
        ----------
        kind : {"wald", "satterthwaite", "kenward_roger", "CR0", "CR1", "CR1S", "CR2", "CR3"}
            The inference. CR1 multiplies CR0 by G/(G-1) for G clusters, CR1S that by (n-1)/(n-p).
        cluster : str or array, optional
            Clusters of the CR kinds: a column of the data, a grouping factor of the model, or one value for each
            row of the data. The highest grouping factor where it is missing; with crossed factors it must be
            named.
        level : float, optional
            Coverage of the intervals.

        Returns
        -------
        LinearFit

        Raises
        ------
        DesignError
            If a cluster is given to a kind that has none, or must be named and is not, or Kenward and Roger's
            method is asked of an ML fit.
        """
        check_choice("kind", kind, INFERENCES)
        clusters = None
        if kind.startswith("CR"):
            clusters = self.cluster_of(cluster)
        elif cluster is not None:
            raise DesignError(f"'{kind}' has no clusters", fix="leave out cluster, or use CR2")
        if kind == "kenward_roger" and self.method != "reml":
            raise DesignError(
                "Kenward and Roger's method needs a REML fit, this is a maximum likelihood fit",
                fix="fit with method='reml', or use with_inference('satterthwaite') or 'CR2'",
            )
        coverage = self.level if level is None else check_number("level", level, above=0, below=1)
        return replace(self, inference_kind=kind, clusters=clusters, level=coverage)

    @property
    def _nested(self) -> bool:
        return self.core.solution.problem.nested

    @cached_property
    def advice(self) -> Advice:
        """Which inference is advised for this number of clusters, and why; all of them side by side."""
        from wwc_eval.multilevel.advice import advise

        return advise(self)

    # --- random effects and predictions

    def random_effects(self, group: str | None = None) -> Table:
        """Conditional modes (empirical Bayes estimates) of the random effects with their errors.

        Parameters
        ----------
        group : str, optional
            One grouping factor; all of them where it is missing.

        Returns
        -------
        Table
            group, level, term, estimate, sd (conditional standard deviation, lme4's), se (of prediction, which
            knows that the fixed effects are estimated) and an interval from se.
        """
        from wwc_eval.multilevel.random_effects import random_effects

        return random_effects(self, group)

    def predict(self, data: Any = None, *, random: bool = True) -> Array:
        """Expected outcome of each row.

        Parameters
        ----------
        data : DataFrame, optional
            Rows to predict for; the rows used where it is missing.
        random : bool
            Whether the random effects are added. Without them a prediction is for a group of average effects.

        Returns
        -------
        (n,) array

        Raises
        ------
        DataError
            If a row belongs to a group that the model has not seen and ``random`` is true.
        """
        from wwc_eval.multilevel.random_effects import predict

        return predict(self, data, random=random)

    def residuals(self, kind: str = "conditional") -> Array:
        """Outcome minus prediction (n,): ``conditional`` on the random effects, or ``marginal``."""
        check_choice("kind", kind, ("conditional", "marginal"))
        return np.asarray(self.data.design.y - self.predict(random=kind == "conditional"))

    # --- what trials report

    def _icc(self, method: str | None, level: float) -> Estimates:
        from wwc_eval.multilevel.icc import icc

        return icc(self, method=method, level=level)

    def variance_intervals(self, *, level: float | None = None) -> Table:
        """Profile-likelihood intervals of standard deviations and correlations (of the ML fit, as lme4's)."""
        from wwc_eval.multilevel.profiles import variance_intervals

        return variance_intervals(self, level=level)

    def profile_intervals(self, terms: str | Sequence[str] | None = None, *, level: float | None = None) -> Table:
        """Profile-likelihood intervals of fixed effects (of the ML fit, as lme4's); terms named as in :meth:`test`."""
        from wwc_eval.multilevel.profiles import fixed_intervals

        return fixed_intervals(self, terms, level=level)

    def effect_size(
        self,
        term: str,
        *,
        variance: str = "total",
        model: str = "conditional",
        kind: str = "hedges_g",
        formula: str = "hedges",
    ) -> Estimate:
        """Standardised mean difference; see :func:`wwc_eval.multilevel.effect_size.effect_size`."""
        from wwc_eval.multilevel.effect_size import effect_size

        return effect_size(self, term, variance=variance, model=model, kind=kind, formula=formula)

    def _marginal(self, variable: str, **options: Any) -> Estimate | Estimates:
        from wwc_eval.multilevel.marginal import marginal_effect

        return marginal_effect(self, variable, **options)

    def averages_of(self, variable: str, *, average: str = "participants", cluster: Any = None) -> list[Average]:
        """Average outcome at each level with its gradient; see :func:`wwc_eval.multilevel.marginal.averages_of`."""
        from wwc_eval.multilevel.marginal import averages_of

        return averages_of(self, variable, average=average, cluster=cluster)

    def estimate_of(self, term: str, value: float, gradient: Array, **options: Any) -> Estimate:
        """Estimate from a gradient in the fixed effects, with the fit's inference for it."""
        from wwc_eval.multilevel.marginal import estimate_of

        return estimate_of(self, term, value, gradient, **options)

    def variance_explained(self) -> Table:
        """Marginal and conditional share of variance explained (Nakagawa and Schielzeth)."""
        from wwc_eval.multilevel.diagnostics import variance_explained

        return variance_explained(self)

    def diagnostics(self) -> Table:
        """Residuals and random effects against what the model assumes of them."""
        from wwc_eval.multilevel.diagnostics import diagnostics

        return diagnostics(self)

    def vif(self) -> Table:
        """Variance inflation factors of the fixed effects."""
        from wwc_eval.multilevel.diagnostics import vif

        return vif(self)

    # --- refits

    def refit(self, outcome: Any) -> LinearFit:
        """The same model with another outcome over the rows used (n,)."""
        y = np.asarray(outcome, dtype=float)
        if y.shape != (self.n,):
            raise DataError(f"outcome has shape {y.shape}, must be ({self.n:,},)")
        from wwc_eval.multilevel.model import solution_of

        design = replace(self.data.design, outcome=y)
        data = replace(self.data, design=design)
        return replace(self, data=data, core=LinearCore(solution_of(data, reml=self.method == "reml")))

    def refit_many(self, outcomes: Any = None, arms: Any = None, **options: Any) -> pd.DataFrame:
        """Many refits at once; see :func:`wwc_eval.multilevel.refit.refit_many`."""
        from wwc_eval.multilevel.refit import refit_many

        return refit_many(self, outcomes, arms, **options)

    def refit_resampled(self, times: Any, *, cluster: Any = None, **options: Any) -> pd.DataFrame:
        """Refits to clusters drawn with replacement; see :func:`wwc_eval.multilevel.resample.refit_resampled`."""
        from wwc_eval.multilevel.resample import refit_resampled

        return refit_resampled(self, times, self.cluster_of(cluster).codes, **options)

    def redrawn(self, counts: Array, clusters: Clusters) -> LinearFit:
        """The same model for clusters drawn with replacement; see :func:`.redraw.redrawn_linear`."""
        from wwc_eval.multilevel.redraw import redrawn_linear

        return redrawn_linear(self, counts, clusters)

    def simulate(self, reps: int, *, rng: Any, coefficients: Mapping[str, float] | None = None) -> Array:
        """Outcomes (reps, n) drawn from the model; see :func:`wwc_eval.multilevel.simulate.simulate`."""
        from wwc_eval.multilevel.simulate import simulate

        return simulate(self, reps, rng=rng, coefficients=coefficients)

    def cluster_moments(self, cluster: Any = None) -> MixedRobust:
        """Scores and information of each cluster under the fitted covariance (CR0), for the wild bootstrap."""
        return mixed_robust(self.core.solution, self.cluster_of(cluster).codes, "CR0")

    # --- plots

    def plot_random_effects(self, group: str | None = None, ax: Axes | None = None) -> Axes:
        """Caterpillar plot: random intercepts of a factor in order, with their intervals."""
        from wwc_eval.multilevel.plots import plot_caterpillar

        return plot_caterpillar(self, group, ax)

    def plot_qq(self, of: str = "residuals", ax: Axes | None = None) -> Axes:
        """Normal Q-Q plot of the residuals, or of the random effects of a grouping factor."""
        from wwc_eval.multilevel.plots import plot_qq

        return plot_qq(self, of, ax)

    def plot_residuals(self, ax: Axes | None = None) -> Axes:
        """Conditional residuals against predictions."""
        from wwc_eval.multilevel.plots import plot_residuals

        return plot_residuals(self, ax)
