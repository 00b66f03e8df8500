"""What a plan may ask of ``we.cluster_summaries``: one figure a cluster, and a t test of the figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import DesignError, WwcError
from wwc_eval.estimate import Estimate
from wwc_eval.plans.effects import with_units
from wwc_eval.plans.fields import Block, ColumnName
from wwc_eval.plans.modelled import ModelledAnalysis, Prepared
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding

if TYPE_CHECKING:
    from wwc_eval.formula import Design, Formula
    from wwc_eval.inference.cluster_result import ClusterSummaries
    from wwc_eval.report.record import AnalysisResult, Supplement

__all__ = ["ANALYSES", "ClusterSummariesAnalysis", "Summaries"]

SCALES: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("mean_difference",),
    "binomial": ("risk_difference", "risk_ratio"),
    "poisson": ("rate_ratio",),
}


class Summaries(Block):
    """Clusters, strata of the allocation, and how the summaries are compared."""

    cluster: ColumnName = Field(description="Column of what was randomised: one summary for each")
    by: ColumnName | None = Field(None, description="Strata or matched pairs within which clusters were allocated")
    average: Literal["clusters", "participants"] = Field(
        "clusters", description="Whether each cluster counts once, or by its participants (exposure, for rates)"
    )
    variance: Literal["pooled", "within_cells", "welch", "robust"] | None = Field(
        None,
        description="Variance of the summaries; pooled for clusters, robust for participants, if nothing is said",
    )


class ClusterSummariesAnalysis(ModelledAnalysis):
    """Arms compared by one summary a cluster, in two stages where the formula has covariates."""

    model: Literal["cluster_summaries"]
    family: Literal["gaussian", "binomial", "poisson"] = "gaussian"
    inference: Summaries

    families: ClassVar[tuple[str, ...]] = ("gaussian", "binomial", "poisson")

    @property
    def inference_cluster(self) -> str | None:
        """Column named by ``inference: cluster:``."""
        return self.inference.cluster

    @property
    def cluster(self) -> str | None:
        """Column of the summaries."""
        return self.inference.cluster

    def cluster_fix(self, unit: str) -> str:
        """What to write so that summaries are of what was randomised (P04)."""
        return f"write inference: {{cluster: {unit}}}"

    @property
    def small_sample(self) -> bool:
        """Always: that is what the method is for."""
        return True

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named outside the formula, the strata among them."""
        found = dict(super().columns)
        if self.inference.by is not None:
            found["inference", "by"] = self.inference.by
        return found

    def _room_findings(self, formula: Formula | None) -> Iterator[Finding]:
        """Scales that summaries have, options that go together, no random part and no interaction."""
        for index, scale in enumerate(self.report):
            if scale not in SCALES[self.family]:
                yield Finding(
                    code="P09",
                    path=("report", index),
                    message=f"cluster summaries of a {self.family} family have no {scale}",
                    fix=f"choose from {', '.join(SCALES[self.family])}",
                )
        if self.weights is not None:
            yield Finding(
                code="P14",
                path=("weights",),
                message="cluster summaries take no precision weights",
                fix="remove weights; inference: {average: participants} weighs clusters by size",
            )
        variance = self.inference.variance
        if self.inference.average == "participants" and variance not in (None, "robust"):
            yield Finding(
                code="P14",
                path=("inference", "variance"),
                message=f"{variance} takes summaries as equally variable, which those weighed by size are not",
                fix="remove variance, or write average: clusters",
            )
        if variance == "welch" and self.inference.by is not None:
            yield Finding(
                code="P14",
                path=("inference", "variance"),
                message="Welch's test has no strata",
                fix="write variance: pooled, or remove by",
            )
        if formula is not None and formula.random:
            yield Finding(
                code="P14",
                path=("formula",),
                message="model: cluster_summaries has no random effects",
                fix="remove the (... | ...) part, or write model: multilevel",
            )

    def _fit(self, prepared: Prepared, context: Context) -> ClusterSummaries:
        from wwc_eval.inference.cluster_summaries import cluster_summaries

        return cluster_summaries(
            prepared.formula,
            prepared.frame,
            cluster=self.inference.cluster,
            arm=context.arm,
            family=self.family,
            exposure=self.exposure,
            by=self.inference.by,
            scale=self.scales[0],
            weights="equal" if self.inference.average == "clusters" else "size",
            variance=self.inference.variance,
            level=context.level,
            levels=prepared.levels,
        )

    def _design(self, fit: ClusterSummaries) -> Design:
        return fit.design_info

    def _effects(self, fit: ClusterSummaries, context: Context, scale: str) -> list[Estimate]:
        return with_units(fit.with_scale(scale).estimates, context)

    def _modified(self, fit: Any, context: Context, column: str) -> list[Estimate]:
        del fit, context, column
        raise DesignError("cluster summaries have one effect", fix="vary a regression or a multilevel model")

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Refused: a comparison of summaries has one effect.

        Raises
        ------
        DesignError
            Always, naming what to vary instead.
        """
        del context
        raise DesignError(
            f"subgroups by '{by}' vary the analysis '{self.id}', and a comparison of cluster summaries has one effect",
            fix="let them vary an analysis of model: regression or model: multilevel",
        )

    def _supplements(self, fit: ClusterSummaries, context: Context) -> tuple[Supplement, ...]:
        from wwc_eval.report.record import Supplement
        from wwc_eval.table import Column, Table

        counted = "each counting once" if fit.average == "clusters" else "by participants"
        rows = [
            {
                "arm": arm,
                "clusters": context.rule.rounded(row.n_clusters or 0),
                "mean": row.estimate,
                "ci_low": row.ci_low,
                "ci_high": row.ci_high,
            }
            for arm, row in zip(fit.table_data.arms, fit.by_arm, strict=True)
        ]
        columns = [
            Column(name="arm"),
            Column(name="clusters", kind="count"),
            Column(name="mean", label=f"mean of clusters, {counted}", kind="number"),
            Column(name="ci_low", label=f"{100 * context.level:g}% low", kind="number"),
            Column(name="ci_high", label="high", kind="number"),
        ]
        return (
            Supplement(
                key="cluster_summaries",
                title="Summaries of the clusters by arm",
                sentences=(_estimand(fit), *_likeness(fit)),
                table=Table(rows, columns),
            ),
        )


def _estimand(fit: ClusterSummaries) -> str:
    if fit.average == "clusters":
        return f"Effects are averages over clusters ({fit.cluster}): each counts once, whatever its size."
    return f"Effects are averages over participants: clusters ({fit.cluster}) count by their size."


def _likeness(fit: ClusterSummaries) -> tuple[str, ...]:
    """Intraclass correlation or k in a sentence; nothing where neither is defined."""
    try:
        row = fit.k() if fit.family == "poisson" else fit.icc()
    except WwcError:
        return ()
    if math.isnan(row.estimate):
        return ()
    name = "coefficient of variation k" if fit.family == "poisson" else "intraclass correlation"
    inverted = row.details["interval"] == "inverted"
    source = "the heterogeneity of their counts" if inverted else "the variance of the summaries"
    said = (
        f"Between clusters of an arm the {name} of the outcome is {row.estimate:.3f} ({100 * row.level:g}% interval "
        f"{row.ci_low:.3f} to {row.ci_high:.3f}), unadjusted, from {source}."
    )
    return (said,)


ANALYSES: tuple[type[AnalysisFields], ...] = (ClusterSummariesAnalysis,)
