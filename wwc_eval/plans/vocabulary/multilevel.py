"""What a plan may ask of ``we.multilevel_model``: linear and generalised mixed models."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import ConvergenceError
from wwc_eval.estimate import Estimate
from wwc_eval.plans.averaged import AveragedAnalysis
from wwc_eval.plans.effects import SIZE_SCALES, arm_terms, modified_scale, with_units
from wwc_eval.plans.fields import Block, ColumnName
from wwc_eval.plans.modelled import Prepared
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding

if TYPE_CHECKING:
    from wwc_eval.formula import Design, Formula
    from wwc_eval.multilevel import MultilevelFit
    from wwc_eval.report.record import Supplement

__all__ = ["ANALYSES", "MultilevelAnalysis", "MultilevelInference"]

ROBUST = ("CR0", "CR1", "CR1S", "CR2", "CR3")
SMALL_SAMPLE = frozenset({"satterthwaite", "kenward_roger", "CR2", "CR3"})


class MultilevelInference(Block):
    """How errors, degrees of freedom and intervals of the fixed effects are made."""

    method: Literal["wald", "satterthwaite", "kenward_roger", "CR0", "CR1", "CR1S", "CR2", "CR3"] | None = Field(
        None, description="Satterthwaite's for a gaussian family and Wald's for others where nothing is said"
    )
    cluster: ColumnName | None = Field(
        None, description="Clusters of CR errors; the highest grouping factor where missing"
    )


class MixedSize(Block):
    """Which standard deviation Hedges' g or Glass's delta is in, and by which formula."""

    variance: Literal["total", "within"] = Field(
        "total", description="Between and within groups together, or within groups alone"
    )
    model: Literal["conditional", "unconditional"] = Field(
        "conditional", description="Given the covariates, or of a model without them"
    )
    formula: Literal["hedges", "eef"] = Field(
        "hedges", description="Exact small-sample formulas, or the sector's own (eefAnalytics)"
    )


class MultilevelAnalysis(AveragedAnalysis):
    """A mixed model with the arm and covariates as fixed effects, and random effects of groups."""

    model: Literal["multilevel"]
    family: Literal["gaussian", "binomial", "poisson", "negative_binomial", "negative_binomial_1"] = "gaussian"
    method: Literal["reml", "ml", "laplace", "agq"] | None = Field(
        None, description="reml for a gaussian family and laplace for others where nothing is said"
    )
    quadrature_points: int | None = Field(None, ge=2, le=100, description="Points of method: agq; 9 where missing")
    inference: MultilevelInference = MultilevelInference()
    effect_size: MixedSize | None = Field(None, description="Standard deviation of hedges_g and glass_delta")
    profile: bool = Field(
        False, description="Profile-likelihood intervals of the arm's coefficient beside the others (gaussian)"
    )

    families: ClassVar[tuple[str, ...]] = (
        "gaussian",
        "binomial",
        "poisson",
        "negative_binomial",
        "negative_binomial_1",
    )

    # --- what follows from the fields

    @property
    def inference_method(self) -> str:
        """Inference as asked for, else the family's own."""
        return self.inference.method or ("satterthwaite" if self.family == "gaussian" else "wald")

    @property
    def inference_cluster(self) -> str | None:
        """Column named by ``inference: cluster:``."""
        return self.inference.cluster

    @property
    def clusters(self) -> tuple[str, ...]:
        """Clusters of CR errors where named, else the innermost column of every grouping factor, the highest first."""
        if self.inference.cluster is not None:
            return (self.inference.cluster,)
        return self.groups

    @property
    def groups(self) -> tuple[str, ...]:
        """Innermost column of every grouping factor of the random part: ``la/team`` gives la and team."""
        from wwc_eval.plans.facts import formula_or_error

        formula = formula_or_error(self.formula)
        random = getattr(formula, "random", ())
        return tuple(dict.fromkeys(columns[-1] for term in random for columns in term.group_columns))

    @property
    def cluster(self) -> str | None:
        """Clusters of CR errors, or the first grouping factor, which of nested ones is the highest."""
        return self.clusters[0] if self.clusters else None

    @property
    def simulates(self) -> bool:
        """Yes: outcomes are drawn with fresh effects of the groups."""
        return True

    @property
    def small_sample(self) -> bool:
        """Satterthwaite, Kenward-Roger, CR2 or CR3 of a linear mixed model."""
        return self.family == "gaussian" and self.inference_method in SMALL_SAMPLE

    def cluster_fix(self, unit: str) -> str:
        """What to write so that inference is at the level of ``unit``."""
        return f"write (1 | {unit}) in the random part, or inference: {{method: CR2, cluster: {unit}}}"

    def small_sample_fix(self, unit: str) -> str:
        """What to write so that the inference is made for few clusters."""
        if self.family == "gaussian":
            return "write inference: {method: kenward_roger}"
        return (
            f"write model: regression with {unit} as a fixed effect and inference: {{vcov: CR2, cluster: {unit}}}, and "
            "move this model to sensitivity:; or waive P08 with a reason"
        )

    # --- findings

    def _room_findings(self, formula: Formula | None) -> Iterator[Finding]:
        """Method, quadrature and inference against family and random part."""
        if formula is not None and not formula.random:
            yield Finding(
                code="P14",
                path=("formula",),
                message="model: multilevel needs a random part",
                fix="add one such as (1 | school), or write model: regression",
            )
        yield from self._method_findings(formula)
        yield from self._inference_findings(formula)
        yield from self._size_findings(formula)
        if self.profile and self.family != "gaussian":
            yield Finding(
                code="P14",
                path=("profile",),
                message=f"profile-likelihood intervals are of linear models, and the family is {self.family}",
                fix="remove profile, or write bootstrap: {draw: parametric, ...}",
            )

    def _method_findings(self, formula: Formula | None) -> Iterator[Finding]:
        allowed = ("reml", "ml") if self.family == "gaussian" else ("laplace", "agq")
        if self.method is not None and self.method not in allowed:
            yield Finding(
                code="P14",
                path=("method",),
                message=f"method {self.method} does not fit family {self.family}",
                fix=f"write method: {' or '.join(allowed)}",
            )
            return
        if self.quadrature_points is not None and self.method != "agq":
            yield Finding(
                code="P14",
                path=("quadrature_points",),
                message="quadrature_points is of method: agq",
                fix="write method: agq, or remove quadrature_points"
                if self.family != "gaussian"
                else "remove quadrature_points: a gaussian family needs none",
            )
        if self.method == "agq" and formula is not None and formula.random and not _one_intercept(formula):
            listed = " + ".join(term.text for term in formula.random)
            yield Finding(
                code="P14",
                path=("method",),
                message=f"quadrature needs a single random intercept, and the random part is {listed}",
                fix="write method: laplace",
            )

    def _inference_findings(self, formula: Formula | None) -> Iterator[Finding]:
        method, path = self.inference_method, ("inference", "method")
        if self.family != "gaussian" and method != "wald":
            groups = " + ".join(self.groups[:1]) or "the groups"
            yield Finding(
                code="P14",
                path=path,
                message=f"{method} is worked out for a gaussian family, and the family is {self.family}",
                fix=f"write model: regression with {groups} as a fixed effect and inference: {{vcov: CR2, "
                f"cluster: {groups}}} (under sensitivity: beside this one), or method: wald",
            )
            return
        if method == "kenward_roger" and self.method == "ml":
            yield Finding(
                code="P14",
                path=path,
                message="Kenward and Roger's method needs a REML fit",
                fix="write method: reml, or inference: {method: satterthwaite}",
            )
        if self.inference.cluster is not None and method not in ROBUST:
            yield Finding(
                code="P14",
                path=("inference", "cluster"),
                message=f"{method} does not use a cluster",
                fix="write method: CR2, or remove the cluster",
            )
        yield from self._cluster_findings(formula)

    def _cluster_findings(self, formula: Formula | None) -> Iterator[Finding]:
        """Clusters of robust errors hold whole groups of every factor, as far as the formula tells."""
        if self.inference_method not in ROBUST or formula is None or not formula.random:
            return
        sets = {frozenset(columns): columns[-1] for term in formula.random for columns in term.group_columns}
        if self.inference.cluster is None:
            if any(not (first <= second or second <= first) for first in sets for second in sets):
                yield Finding(
                    code="P14",
                    path=("inference",),
                    message=f"{self.inference_method} needs a cluster: with crossed factors none is the highest",
                    fix="name a column whose groups hold whole groups of every factor, or write la/team for nested ones",
                )
            return
        for columns, name in sets.items():
            above = sorted(sets[other] for other in sets if other < columns)
            if name == self.inference.cluster and above:
                yield Finding(
                    code="P14",
                    path=("inference", "cluster"),
                    message=f"clusters of '{name}' lie inside groups of '{above[0]}', so they are not independent",
                    fix=f"write cluster: {above[0]}, or take '{above[0]}' out of the random part",
                )

    def _size_findings(self, formula: Formula | None) -> Iterator[Finding]:
        if self.effect_size is None:
            return
        if not SIZE_SCALES & set(self.scales):
            yield Finding(
                code="P14",
                path=("effect_size",),
                message="effect_size is of hedges_g and glass_delta, and neither is reported",
                fix="add one to report:, or remove effect_size",
            )
        elif self.effect_size.formula == "eef":
            odd = self._not_of_eef(formula)
            if odd:
                yield Finding(
                    code="P14",
                    path=("effect_size", "formula"),
                    message=f"the formulas of eefAnalytics are of Hedges' g with one grouping factor and no weights: {odd}",
                    fix="write formula: hedges",
                )

    def _not_of_eef(self, formula: Formula | None) -> str:
        """What the analysis has that eefAnalytics' formulas do not know."""
        factors = sorted(_factors(formula)) if formula is not None else []
        if len(factors) > 1:
            return f"the random part has {', '.join(factors)}"
        if "glass_delta" in self.scales:
            return "glass_delta is reported"
        return f"weights are in '{self.weights}'" if self.weights is not None else ""

    # --- runs

    def _fit(self, prepared: Prepared, context: Context) -> MultilevelFit:
        from wwc_eval.multilevel import multilevel_model

        fit: Any = multilevel_model(
            prepared.formula,
            prepared.frame,
            family=self.family,
            method=self.method,
            quadrature_points=(self.quadrature_points or 9) if self.method == "agq" else 1,
            exposure=self.exposure,
            weights=self.weights,
            levels=prepared.levels,
            level=context.level,
        )
        if fit.status == "failed":
            raise ConvergenceError(fit.message.rstrip("."), fix="change the model, and declare the deviation")
        found: MultilevelFit = fit.with_inference(self.inference_method, cluster=self.inference.cluster)
        return found

    def _design(self, fit: MultilevelFit) -> Design:
        return fit.data.design

    def _effects(self, fit: Any, context: Context, scale: str) -> list[Estimate]:
        """Odds ratios are conditional on covariates and groups; other measures are averaged over both."""
        terms = arm_terms(fit.estimates, context)
        if scale in SIZE_SCALES:
            options = {} if self.effect_size is None else self.effect_size.model_dump()
            return [fit.effect_size(term, kind=scale, **options) for term in terms]
        if scale == "coefficient":
            return self._coefficients(fit, terms, context)
        if scale == "odds_ratio":
            return [_conditional_odds(fit.estimates[term]) for term in terms]
        return self._averaged(fit, context, scale)

    def _modified(self, fit: Any, context: Context, column: str) -> list[Estimate]:
        from wwc_eval.multilevel.modification import effect_modification

        scale = modified_scale(self.family, self.scales[0])
        return with_units(effect_modification(fit, context.arm, column, scale=scale), context)

    def _says_few(self, fit: MultilevelFit) -> bool:
        """Generalised models warn of normal inference with few groups themselves, in every estimate."""
        from wwc_eval.multilevel.generalised.fit import FEW_GROUPS

        return fit.family != "gaussian" and fit.n_clusters < FEW_GROUPS

    def _supplements(self, fit: Any, context: Context) -> tuple[Supplement, ...]:
        from wwc_eval.plans.mixed_supplements import mixed_supplements, profiled

        terms = arm_terms(fit.estimates, context)
        return (
            *mixed_supplements(fit, context, terms),
            *((profiled(fit, context, terms),) if self.profile else ()),
            *super()._supplements(fit, context),
        )


def _one_intercept(formula: Formula) -> bool:
    term = formula.random[0]
    return len(formula.random) == 1 and term.intercept and not term.slopes and len(term.group_columns) == 1


def _factors(formula: Formula) -> set[str]:
    """Names of the grouping factors."""
    return {name for term in formula.random for name in term.groups}


def _conditional_odds(item: Estimate) -> Estimate:
    """Exponent of a coefficient: the odds ratio given the covariates and the groups."""
    return Estimate.from_normal(
        term=item.term,
        estimate=math.exp(item.estimate) if item.estimate < 700 else math.inf,
        se=item.se,
        df=item.df,
        level=item.level,
        scale="odds_ratio",
        units="conditional odds ratio",
        method=f"{item.method}; conditional on covariates and groups",
        n=item.n,
        n_clusters=item.n_clusters,
        warnings=item.warnings,
        citation=item.citation,
        details=item.details,
    )


ANALYSES: tuple[type[AnalysisFields], ...] = (MultilevelAnalysis,)
