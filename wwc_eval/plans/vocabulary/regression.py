"""What a plan may ask of ``we.regression``: linear, logistic, Poisson and quasi-Poisson models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from wwc_eval.estimate import Estimate
from wwc_eval.plans.averaged import AveragedAnalysis
from wwc_eval.plans.effects import SIZE_SCALES, arm_terms, modified_scale, with_units
from wwc_eval.plans.fields import Block, ColumnName
from wwc_eval.plans.modelled import Prepared
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding

if TYPE_CHECKING:
    from wwc_eval.formula import Design, Formula
    from wwc_eval.inference import RegressionFit

__all__ = ["ANALYSES", "Inference", "RegressionAnalysis"]


class Inference(Block):
    """How standard errors, degrees of freedom and intervals are made."""

    vcov: Literal["classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR1S", "CR2", "CR3"] = Field(
        description="Classical, robust (HC) or cluster-robust (CR) errors"
    )
    df: Literal["clusters", "satterthwaite"] | None = Field(
        None, description="Degrees of freedom of CR errors; CR2 and CR3 have Satterthwaite's where nothing is said"
    )
    cluster: ColumnName | None = Field(None, description="Column that errors are clustered by (CR)")


class StandardisedSize(Block):
    """How the interval of Hedges' g or Glass's delta is made."""

    interval: Literal["noncentral_t", "delta"] = Field(
        description="Limits of the noncentral t distribution, or estimate and standard error"
    )


class RegressionAnalysis(AveragedAnalysis):
    """A regression with the arm and covariates as fixed effects."""

    model: Literal["regression"]
    family: Literal["gaussian", "binomial", "poisson", "quasipoisson"] = "gaussian"
    inference: Inference = Inference(vcov="HC2")
    effect_size: StandardisedSize | None = Field(None, description="Interval of hedges_g and glass_delta")

    families: ClassVar[tuple[str, ...]] = ("gaussian", "binomial", "poisson", "quasipoisson")

    @property
    def inference_cluster(self) -> str | None:
        """Column named by ``inference: cluster:``."""
        return self.inference.cluster

    @property
    def cluster(self) -> str | None:
        """Column of clustered errors; None for errors that take rows as independent."""
        return self.inference.cluster if self.inference.vcov.startswith("CR") else None

    @property
    def simulates(self) -> bool:
        """No: a regression has no model of the clusters."""
        return False

    @property
    def small_sample(self) -> bool:
        """CR2 or CR3 with Satterthwaite's degrees of freedom."""
        return self.inference.vcov in {"CR2", "CR3"} and self.inference.df != "clusters"

    def _room_findings(self, formula: Formula | None) -> Iterator[Finding]:
        """Clusters and degrees of freedom where they belong, no random part."""
        clustered = self.inference.vcov.startswith("CR")
        if clustered and self.inference.cluster is None:
            yield Finding(
                code="P14",
                path=("inference",),
                message=f"{self.inference.vcov} needs a cluster",
                fix="name a column",
            )
        if not clustered and self.inference.cluster is not None:
            yield Finding(
                code="P14",
                path=("inference", "cluster"),
                message=f"{self.inference.vcov} does not use a cluster",
                fix="write vcov: CR1S, or remove the cluster",
            )
        if not clustered and self.inference.df is not None:
            yield Finding(
                code="P14",
                path=("inference", "df"),
                message=f"{self.inference.vcov} has its own degrees of freedom",
                fix="remove df",
            )
        if self.effect_size is not None and not SIZE_SCALES & set(self.scales):
            yield Finding(
                code="P14",
                path=("effect_size",),
                message="effect_size is of hedges_g and glass_delta, and neither is reported",
                fix="add one to report:, or remove effect_size",
            )
        if formula is not None and formula.random:
            yield Finding(
                code="P14",
                path=("formula",),
                message="model: regression has no random effects",
                fix="remove the (... | ...) part, or write model: multilevel",
            )

    def _fit(self, prepared: Prepared, context: Context) -> RegressionFit:
        from wwc_eval.inference import regression

        return regression(
            prepared.formula,
            prepared.frame,
            family=self.family,
            exposure=self.exposure,
            weights=self.weights,
            vcov=self.inference.vcov,
            cluster=self.inference.cluster,
            df=self.inference.df,
            levels=prepared.levels,
            level=context.level,
        )

    def _design(self, fit: RegressionFit) -> Design:
        return fit.design_info

    def _effects(self, fit: RegressionFit, context: Context, scale: str) -> list[Estimate]:
        """Odds ratios are conditional on the covariates; other measures are standardised over the sample."""
        if scale in SIZE_SCALES:
            options = {} if self.effect_size is None else {"interval": self.effect_size.interval}
            return with_units(fit.effect_size(context.arm, kind=scale, **options), context)
        if scale == "coefficient":
            return self._coefficients(fit, arm_terms(fit.estimates, context), context)
        if scale == "odds_ratio":
            ratios = fit.ratios()
            return [
                ratios[term].replace(units="conditional odds ratio") for term in arm_terms(fit.estimates, context)
            ]
        return self._averaged(fit, context, scale)

    def _modified(self, fit: RegressionFit, context: Context, column: str) -> list[Estimate]:
        scale = modified_scale(self.family, self.scales[0])
        return with_units(fit.effect_modification(context.arm, column, scale=scale), context)


ANALYSES: tuple[type[AnalysisFields], ...] = (RegressionAnalysis,)
