"""The fitted generalised linear mixed model, and the doors to everything trials report from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.multilevel.engine.covariance import lower_root
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.checks import GeneralisedChecks
from wwc_eval.multilevel.generalised.solve import Solution
from wwc_eval.multilevel.optimiser import Optimiser, Parameter
from wwc_eval.multilevel.reports import ReportedFit
from wwc_eval.multilevel.small_sample.inference import INFERENCES, Inference, Normal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wwc_eval.estimate import Estimates
    from wwc_eval.inference.averages import Average
    from wwc_eval.inference.clusters import Clusters
    from wwc_eval.multilevel.advice import Advice
    from wwc_eval.table import Table

__all__ = ["GeneralisedFit"]

WORDS = {
    "binomial": "Logistic mixed model",
    "poisson": "Poisson mixed model",
    "negative_binomial": "Negative binomial mixed model (NB2)",
    "negative_binomial_1": "Negative binomial mixed model (NB1)",
}
FEW_GROUPS = 30
"""Below this many groups a reader is warned of normal inference."""
CITATION = "Pinheiro and Chao 2006, doi:10.1198/106186006X96962"
QUADRATURE_CITATION = "Pinheiro and Bates 1995, doi:10.1080/10618600.1995.10474663"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GeneralisedFit(GeneralisedChecks, ReportedFit):
    """A fitted generalised linear mixed model. Look at ``status`` before the numbers.

    Parameters
    ----------
    core : Solution
        The solution on arrays.
    """

    core: Solution

    # --- what the family says

    @property
    def family(self) -> str:
        """Name of the outcome family."""
        return self.core.sample.family

    @property
    def method(self) -> str:
        """``laplace`` or ``agq``."""
        return "laplace" if self.core.points == 1 else "agq"

    @property
    def _words(self) -> str:
        points = self.core.points
        way = "Laplace" if points == 1 else f"adaptive Gauss-Hermite quadrature, {points} points"
        return f"{WORDS[self.family]}, {way}"

    @property
    def _coefficient_scale(self) -> str:
        return "log_odds" if self.family == "binomial" else "log_rate"

    @cached_property
    def coefficients(self) -> Array:
        """Fixed effects (p,) on the scale of the link; NaN where there is no finite estimate."""
        return np.full(self.core.p, np.nan) if self.core.trouble else self.core.beta

    @cached_property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance of the random effects of each grouping factor, in the order of ``data.groupings``."""
        found = self.core.covariances
        return tuple(np.full_like(each, np.nan) for each in found) if self.core.trouble else found

    @property
    def residual_variance(self) -> None:
        """None: these families have no residual variance of their own."""
        return

    @property
    def dispersion(self) -> float | None:
        """Size k of NB2 (variance ``mu + mu^2 / k``, infinite at the Poisson limit); alpha of NB1; else None."""
        return self.core.dispersion

    @cached_property
    def inference(self) -> Inference:
        """Covariance of the fixed effects, from the Hessian of the approximated likelihood in all parameters."""
        return Inference(
            kind="wald",
            vcov=self.core.vcov,
            reference=Normal(),
            words="normal distribution",
            citation=CITATION if self.core.points == 1 else QUADRATURE_CITATION,
        )

    @property
    def criterion(self) -> float:
        """Deviance: minus twice the log-likelihood, with all its constants."""
        return -2.0 * self.core.log_likelihood

    # --- how it went

    @property
    def status(self) -> str:
        """``ok``, ``boundary``, ``dropped_columns``, ``separated`` or ``failed``."""
        if self.core.separation is not None:
            return "separated"
        if self.core.trouble:
            return "failed"
        if self.data.design.aliased:
            return "dropped_columns"
        return "boundary" if self.optimiser.boundary else "ok"

    @property
    def message(self) -> str:
        """The status in a sentence."""
        parts = []
        if self.core.separation is not None:
            parts.append(self._separation())
        elif self.core.trouble:
            parts.append(f"The fit has no trustworthy optimum: {self.core.trouble}. Nothing is estimated.")
        if self.data.design.aliased:
            listed = "; ".join(str(alias) for alias in self.data.design.aliased)
            parts.append(f"Left out, for earlier columns determine it: {listed}.")
        if not self.core.trouble and self.optimiser.boundary:
            listed = ", ".join(self.optimiser.boundary)
            parts.append(f"On the boundary: no variation of its own was found for {listed}.")
        return " ".join(parts) or "The search ended at a minimum inside the parameter space."

    def _separation(self) -> str:
        lost = [name for name, fine in zip(self.terms, self.core.estimable, strict=True) if not fine]
        rows, n = int((~self.core.rows).sum()), self.n
        if self.core.trouble or len(lost) == len(self.terms):
            return (
                f"The columns predict the outcome perfectly in {rows:,} of {n:,} rows, and too little is left to "
                f"estimate ({self.core.trouble or 'no coefficient is finite'}). Leave terms out, or report the counts."
            )
        names = ", ".join(f"'{name}'" for name in lost)
        verb = "has" if len(lost) == 1 else "have"
        return (
            f"The outcome is predicted perfectly in {rows:,} of {n:,} rows, so {names} {verb} no finite estimate; "
            "the other coefficients are those of the remaining rows, which is their limit. "
            "Merge small categories, leave the term out, or report the counts."
        )

    @cached_property
    def optimiser(self) -> Optimiser:
        """Record of the search."""
        optimum, points = self.core.optimum, self.core.points
        parameters = [] if optimum is None else self._parameters()
        deviance = "Laplace deviance" if points == 1 else f"Quadrature deviance ({points} points)"
        return Optimiser(
            criterion_name=deviance,
            criterion=self.criterion,
            parameters=tuple(parameters),
            gradient_norm=np.nan if optimum is None else optimum.slope,
            smallest_curvature=np.nan if optimum is None else optimum.smallest_curvature,
            evaluations=0 if optimum is None else optimum.evaluations,
            starts=0 if optimum is None else optimum.starts,
            descents=0 if optimum is None else optimum.descents,
            polishing=0 if optimum is None else optimum.polishing,
            converged=not self.core.trouble,
            message=self.core.trouble,
        )

    def _parameters(self) -> list[Parameter]:
        """Roots of the covariances in the units of the data; the dispersion last."""
        found = []
        zero = self._zero_pivots()
        for grouping, covariance in zip(self.data.groupings, self.core.covariances, strict=True):
            root = lower_root(np.nan_to_num(covariance), grouping.blocks)
            for i, j in grouping.entries:
                pair = grouping.columns[i] if i == j else f"{grouping.columns[j]}, {grouping.columns[i]}"
                edge = i == j and zero.get((grouping.name, i), False)
                value = 0.0 if edge else float(root[i, j])
                found.append(Parameter(name=f"{grouping.name}: {pair}", value=value, at_boundary=edge))
        if self.dispersion is not None:
            value = self.dispersion
            found.append(Parameter(name="dispersion", value=value, at_boundary=self.core.poisson_limit))
        return found

    def _zero_pivots(self) -> dict[tuple[str, int], bool]:
        """Whether the pivot of each varying column is zero."""
        prepared, optimum = self.core.prepared, self.core.optimum
        assert prepared is not None
        assert optimum is not None
        roots = prepared.roots
        found = {}
        for grouping, part in zip(prepared.groupings, prepared.layout.parts, strict=True):
            for value, row, column in zip(optimum.psi[: roots.size], roots.rows, roots.columns, strict=True):
                if row == column and part.start <= row < part.stop:
                    found[(grouping.name, row - part.start)] = bool(value == 0.0)
        return found

    # --- estimates

    def _estimate(self, term: str, contrast: Array, **changes: Any) -> Estimate:
        """Estimate of one contrast; coefficients that it does not use may be infinite."""
        used = contrast != 0
        at = np.flatnonzero(used)
        clean = np.where(np.outer(used, used), np.nan_to_num(self.core.vcov), 0.0)
        lost = bool(np.isnan(self.coefficients[at]).any() or np.isnan(np.diag(self.core.vcov)[at]).any())
        value = float(contrast[at] @ self.coefficients[at])
        se = np.nan if lost else float(np.sqrt(max(float(contrast @ clean @ contrast), 0.0)))
        rest: dict[str, Any] = {
            "scale": self._coefficient_scale,
            "units": "",
            "method": f"{self._words}; {self.inference.words}",
            "warnings": self._warnings(lost=lost, term=term),
            **changes,
        }
        return Estimate.from_normal(
            term=term,
            estimate=value,
            se=se,
            level=self.level,
            n=self.n,
            n_clusters=self.n_clusters,
            citation=self.inference.citation,
            **rest,
        )

    def _warnings(self, *, lost: bool = False, term: str = "") -> tuple[str, ...]:
        """What a reader must know of an estimate, and of the coefficient ``term`` in particular."""
        from wwc_eval.multilevel.generalised.advice import caution

        found = []
        if lost and self.core.separation is not None:
            found.append(
                "Not estimable: the outcome is predicted perfectly in some rows, so the estimate is infinite"
            )
        if self.n_clusters < FEW_GROUPS:
            found.append(caution(self, term))
        return tuple(found)

    def with_inference(
        self, kind: str, *, cluster: str | Sequence[Any] | None = None, level: float | None = None
    ) -> GeneralisedFit:
        """The same fit with another level; Wald is the only inference worked out for these models.

        Parameters
        ----------
        kind : {"wald"}
            The inference.
        cluster : None
            Not used by Wald inference.
        level : float, optional
            Coverage of the intervals.

        Raises
        ------
        DesignError
            For every other inference, naming the alternative.
        """
        check_choice("kind", kind, INFERENCES)
        if kind != "wald":
            groups = " + ".join(grouping.name for grouping in self.data.groupings[:1])
            raise DesignError(
                f"'{kind}' is worked out for linear mixed models, and this is a {WORDS[self.family].lower()}",
                rule="Satterthwaite, Kenward-Roger and cluster-robust theory does not cover these models",
                fix=f"use regression with '{groups}' as a fixed effect, vcov='CR2' and its Satterthwaite degrees of "
                "freedom (CR3 beside it), a bootstrap, or a randomisation test",
            )
        if cluster is not None:
            raise DesignError("'wald' has no clusters", fix="leave out cluster")
        return self if level is None else replace(self, level=check_number("level", level, above=0, below=1))

    @cached_property
    def advice(self) -> Advice:
        """Which inference is advised for this number of clusters, and why; a robust regression beside it."""
        from wwc_eval.multilevel.generalised.advice import advise_generalised

        return advise_generalised(self)

    # --- random effects and predictions

    def random_effects(self, group: str | None = None) -> Table:
        """Conditional modes of the random effects on the scale of the link, with their errors.

        Parameters
        ----------
        group : str, optional
            One grouping factor; all of them where it is missing.

        Returns
        -------
        Table
            group, level, term, estimate, sd (conditional standard deviation, lme4's), se (of prediction, which
            knows that all parameters are estimated, as glmmTMB's) and an interval from se.
        """
        from wwc_eval.multilevel.generalised.predictions import random_effects

        return random_effects(self, group)

    def predict(self, data: Any = None, *, random: bool = True, scale: str = "response") -> Array:
        """Expected outcome of each row: a probability, or a count given its exposure.

        Parameters
        ----------
        data : DataFrame, optional
            Rows to predict for; the rows used where it is missing.
        random : bool
            Whether the random effects are added. Without them a prediction is for a group of average effects (their
            conditional median), not an average over groups: that is :meth:`marginal_effect`.
        scale : {"response", "link"}
            Probability or count, or the linear predictor.

        Returns
        -------
        (n,) array

        Raises
        ------
        DataError
            If a row belongs to a group that the model has not seen and ``random`` is true.
        """
        from wwc_eval.multilevel.generalised.predictions import predict

        return predict(self, data, random=random, scale=scale)

    # --- what trials report

    def _marginal(self, variable: str, **options: Any) -> Estimate | Estimates:
        from wwc_eval.multilevel.generalised.marginal import marginal_effect

        return marginal_effect(self, variable, **options)

    def averages_of(self, variable: str, *, average: str = "participants", cluster: Any = None) -> list[Average]:
        """Population-averaged outcome at each level with its gradient; see :func:`.marginal.averages_of`."""
        from wwc_eval.multilevel.generalised.marginal import averages_of

        return averages_of(self, variable, average=average, cluster=cluster)

    def estimate_of(self, term: str, value: float, gradient: Array, **options: Any) -> Estimate:
        """Estimate from a gradient in all parameters; see :func:`.marginal.estimate_of`."""
        from wwc_eval.multilevel.generalised.marginal import estimate_of

        words = options.pop("method", "").lstrip(", ")
        options["level"] = self.level if options.get("level") is None else options["level"]
        return estimate_of(self, term, value, gradient, words=words, **{"details": {}, **options})

    @property
    def _nested(self) -> bool:
        prepared = self.core.prepared
        return len(self.data.groupings) == 1 if prepared is None else prepared.layout.nested

    def redrawn(self, counts: Array, clusters: Clusters) -> GeneralisedFit:
        """The same model for clusters drawn with replacement; see :func:`wwc_eval.multilevel.redraw.redrawn_linear`."""
        from wwc_eval.multilevel.redraw import redrawn_generalised

        return redrawn_generalised(self, counts, clusters)

    def _icc(self, method: str | None, level: float) -> Estimates:
        from wwc_eval.multilevel.generalised.heterogeneity import icc

        return icc(self, method=method, level=level)

    def variance_intervals(self, *, level: float | None = None) -> Table:
        """Profile-likelihood intervals of the standard deviations, Wald intervals (z scale) of correlations."""
        from wwc_eval.multilevel.generalised.heterogeneity import variance_intervals

        return variance_intervals(self, level=level)

    def effect_size(self, term: str, **options: Any) -> Estimate:
        """Refused: a standardised mean difference needs a standard deviation of the outcome.

        Raises
        ------
        DesignError
            Always, naming what to report instead.
        """
        del options
        raise DesignError(
            f"a standardised mean difference of '{term}' needs an outcome with a standard deviation of its own, and "
            f"this is a {WORDS[self.family].lower()}",
            fix=f"report fit.marginal_effect('{term.split('[', maxsplit=1)[0]}'), or a linear model of the outcome",
        )

    # --- refits

    def refit(self, outcome: Any) -> GeneralisedFit:
        """The same model with another outcome over the rows used (n,): successes or counts."""
        from wwc_eval.multilevel.generalised.refit import refit

        return refit(self, outcome)

    def refit_many(self, outcomes: Any = None, arms: Any = None, **options: Any) -> pd.DataFrame:
        """Many refits; see :func:`wwc_eval.multilevel.refit.refit_many`."""
        from wwc_eval.multilevel.generalised.refit import refit_generalised

        return refit_generalised(self, outcomes, arms, **options)

    def simulate(self, reps: int, *, rng: Any, coefficients: Mapping[str, float] | None = None) -> Array:
        """Outcomes (reps, n) drawn from the model; see :func:`wwc_eval.multilevel.generalised.simulate.simulate`."""
        from wwc_eval.multilevel.generalised.simulate import simulate

        return simulate(self, reps, rng=rng, coefficients=coefficients)

    # --- plots

    def plot_random_effects(self, group: str | None = None, ax: Axes | None = None) -> Axes:
        """Caterpillar plot: random intercepts of a factor in order, with their intervals."""
        from wwc_eval.multilevel.plots import plot_caterpillar

        # it asks only for what every fit has: groups, random effects, level
        return plot_caterpillar(cast("Any", self), group, ax)
