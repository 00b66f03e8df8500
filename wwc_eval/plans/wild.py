"""The wild cluster bootstrap as a plan asks for it: of the arm's coefficient in a linear model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from wwc_eval.plans.fields import Block
from wwc_eval.plans.vocabulary.base import Finding

if TYPE_CHECKING:
    from wwc_eval.estimate import Estimate
    from wwc_eval.plans.averaged import AveragedAnalysis

__all__ = ["Wild", "wild_estimate", "wild_findings"]


class Wild(Block):
    """Test and interval of the arm's coefficient by the wild cluster bootstrap, the null hypothesis imposed."""

    seed: int = Field(ge=0, description="Seed of the draws; not used where all sign changes are tried")
    reps: int = Field(9_999, ge=99, description="Number of replicates")
    weights: Literal["auto", "rademacher", "webb"] = Field(
        "auto", description="Signs, or Webb's six points where clusters are few"
    )


def wild_findings(analysis: AveragedAnalysis) -> Iterator[Finding]:
    """What the bootstrap needs: a linear model, clusters, and the coefficient among what is reported (P14)."""
    if analysis.wild is None:
        return
    if getattr(analysis, "family", "") != "gaussian":
        yield Finding(
            code="P14",
            path=("wild",),
            message=f"the wild bootstrap is of linear models, and the family is {analysis.family}",
            fix="write family: gaussian, or bootstrap: {draw: clusters, ...}",
        )
    if analysis.cluster is None:
        yield Finding(
            code="P14",
            path=("wild",),
            message="there are no clusters whose residuals could change sign",
            fix="write inference: {vcov: CR2, cluster: ...}",
        )
    if "coefficient" not in analysis.scales:
        yield Finding(
            code="P14",
            path=("wild",),
            message=f"the wild bootstrap is of the coefficient, and only {', '.join(analysis.scales)} is reported",
            fix="write report: [coefficient]",
        )


def wild_estimate(asked: Wild, fit: Any, term: str, *, cluster: str | None, level: float) -> Estimate:
    """The coefficient with test and interval from the bootstrap."""
    from wwc_eval.inference.bootstrap import wild_cluster_bootstrap

    return wild_cluster_bootstrap(
        fit, rng=asked.seed, term=term, cluster=cluster, reps=asked.reps, weights=asked.weights, level=level
    ).estimate
