"""What trials report from a regression: the doors of a fit to effects, impact, effect sizes and checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from wwc_eval.inference.averages import Average

if TYPE_CHECKING:
    from wwc_eval.estimate import Estimate, Estimates
    from wwc_eval.inference.cluster_size import ClusterSizeCheck
    from wwc_eval.inference.clusters import Clusters
    from wwc_eval.inference.families import Floats
    from wwc_eval.inference.fit import RegressionFit
    from wwc_eval.inference.impact import Impact

__all__ = ["RegressionReports"]


class RegressionReports:
    """Methods of :class:`RegressionFit` that report effects."""

    def marginal_effect(
        self,
        variable: str,
        *,
        scale: str | None = None,
        level: float | None = None,
        where: Mapping[str, Any] | None = None,
        average: str = "participants",
        cluster: str | None = None,
        interval: str = "delta",
        reps: int = 999,
        rng: Any = None,
        strata: str | None = None,
        progress: bool = True,
    ) -> Estimate | Estimates:
        """Effect of a variable averaged over the sample; see :func:`wwc_eval.inference.marginal_effect`."""
        from wwc_eval.inference.marginal import marginal_effect

        return marginal_effect(
            cast("RegressionFit", self),
            variable,
            scale=scale,
            level=level,
            where=where,
            average=average,
            cluster=cluster,
            interval=interval,
            reps=reps,
            rng=rng,
            strata=strata,
            progress=progress,
        )

    def effect_modification(
        self, variable: str, by: str, *, scale: str | None = None, level: float | None = None
    ) -> Estimates:
        """Effect in each group and its difference; see :func:`.modification.effect_modification`."""
        from wwc_eval.inference.modification import effect_modification

        return effect_modification(cast("RegressionFit", self), variable, by, scale=scale, level=level)

    def adjusted_means(
        self,
        variable: str,
        *,
        level: float | None = None,
        average: str = "participants",
        cluster: str | None = None,
    ) -> Estimates:
        """Adjusted mean, risk or rate at each level; see :func:`wwc_eval.inference.adjusted_means`."""
        from wwc_eval.inference.marginal import adjusted_means

        return adjusted_means(cast("RegressionFit", self), variable, level=level, average=average, cluster=cluster)

    def averages_of(
        self, variable: str, *, average: str = "participants", cluster: str | None = None
    ) -> list[Average]:
        """Average outcome at each level with its gradient; see :func:`.marginal.averages_of`."""
        from wwc_eval.inference.marginal import averages_of

        return averages_of(cast("RegressionFit", self), variable, average=average, cluster=cluster)

    def impact(self, variable: str, *, per_year: float, **options: Any) -> Impact | list[Impact]:
        """Numbers a year and percent change; see :func:`wwc_eval.inference.impact.impact`."""
        from wwc_eval.inference.impact import impact

        return impact(self, variable, per_year=per_year, **options)

    def cluster_size_check(self, variable: str, **options: Any) -> ClusterSizeCheck:
        """Whether outcome or effect depend on cluster size; see :func:`.cluster_size.cluster_size_check`."""
        from wwc_eval.inference.cluster_size import of_regression

        return of_regression(cast("RegressionFit", self), variable, **options)

    def effect_size(self, variable: str, **options: Any) -> Estimate | Estimates:
        """Standardised mean difference; see :func:`wwc_eval.inference.effect_size`."""
        from wwc_eval.inference.effect_size import effect_size

        return effect_size(cast("RegressionFit", self), variable, **options)

    def redrawn(self, counts: Floats, clusters: Clusters) -> RegressionFit:
        """The same regression of clusters drawn with replacement; see :func:`.resampled.redrawn`."""
        from wwc_eval.inference.resampled import redrawn

        return redrawn(cast("RegressionFit", self), counts, clusters)
