"""One object behind which every small-sample inference answers the same questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.inference.clusters import Clusters
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.small_sample.kenward_roger import KenwardRoger
from wwc_eval.multilevel.small_sample.robust import MixedRobust

__all__ = ["INFERENCES", "Inference", "JointTest", "Normal", "kenward_roger_inference", "robust_inference"]

INFERENCES = ("wald", "satterthwaite", "kenward_roger", "CR0", "CR1", "CR1S", "CR2", "CR3")
"""Names of the inferences, the same everywhere in the package."""

LOW_DF = 4.0


@dataclass(frozen=True, kw_only=True)
class JointTest:
    """Reference distribution of a joint test: ``scale * Q / q`` follows F(q, df)."""

    df: float
    scale: float
    words: str


class Reference(Protocol):
    """Where degrees of freedom come from."""

    def df(self, contrasts: Array) -> Array:
        """Degrees of freedom of each contrast (k, p)."""

    def joint(self, contrasts: Array, vcov: Array) -> JointTest:
        """Reference distribution of the test that all contrasts (q, p) are zero."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inference:
    """Covariance of the fixed effects with its reference distribution.

    Parameters
    ----------
    kind : str
        One of :data:`INFERENCES`.
    vcov : (p, p) array
        Covariance of the fixed effects.
    reference : Reference
        Where degrees of freedom come from.
    words, citation : str
        What a reader is told.
    clusters : Clusters, optional
        Clusters of cluster-robust errors.
    """

    kind: str
    vcov: Array
    reference: Reference
    words: str
    citation: str
    clusters: Clusters | None = None

    def warnings(self, df: float) -> tuple[str, ...]:
        """What a reader must know of one estimate with these degrees of freedom."""
        if self.kind != "wald" and df < LOW_DF:
            return ("Degrees of freedom below 4: the p-value is only roughly right; prefer a randomisation test",)
        return ()


@dataclass(frozen=True)
class Normal:
    """The normal distribution."""

    def df(self, contrasts: Array) -> Array:
        """Infinite."""
        return np.full(len(contrasts), np.inf)

    def joint(self, contrasts: Array, vcov: Array) -> JointTest:  # noqa: ARG002
        """Chi-squared."""
        return JointTest(df=np.inf, scale=1.0, words="Wald test")


@dataclass(frozen=True, eq=False)
class _KenwardRogerReference:
    found: KenwardRoger

    def df(self, contrasts: Array) -> Array:
        return np.array([self.found.df(contrast[None])[0] for contrast in contrasts])

    def joint(self, contrasts: Array, vcov: Array) -> JointTest:  # noqa: ARG002
        df, scale = self.found.df(contrasts)
        return JointTest(df=df, scale=scale, words="Kenward-Roger F test")


@dataclass(frozen=True, eq=False)
class _RobustReference:
    found: MixedRobust

    def df(self, contrasts: Array) -> Array:
        return self.found.df(contrasts)

    def joint(self, contrasts: Array, vcov: Array) -> JointTest:  # noqa: ARG002
        q = len(contrasts)
        if q >= self.found.n_clusters:
            raise DesignError(
                f"{q} coefficients cannot be tested together with {self.found.n_clusters} clusters",
                fix="test fewer terms at once, or cluster at a lower level",
            )
        eta = self.found.aht(contrasts)
        df = eta - q + 1.0
        return JointTest(df=df, scale=df / eta, words="Approximate Hotelling's T-squared (AHT) test")


def kenward_roger_inference(found: KenwardRoger) -> Inference:
    """Inference with Kenward and Roger's adjustment."""
    return Inference(
        kind="kenward_roger",
        vcov=found.vcov,
        reference=_KenwardRogerReference(found),
        words="Kenward-Roger errors and degrees of freedom",
        citation="Kenward and Roger 1997, doi:10.2307/2533558",
    )


def robust_inference(found: MixedRobust, clusters: Clusters) -> Inference:
    """Inference with cluster-robust errors and Satterthwaite degrees of freedom."""
    return Inference(
        kind=found.kind,
        vcov=found.vcov,
        reference=_RobustReference(found),
        words=f"errors clustered by {clusters.name} ({found.kind}), Satterthwaite degrees of freedom",
        citation="Pustejovsky and Tipton 2018, doi:10.1080/07350015.2016.1247004",
        clusters=clusters,
    )
