"""What trials report from a multilevel model of any family: effects over participants or clusters, impact, checks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DesignError, check_number, did_you_mean
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.averages import Average, check_average, compared
from wwc_eval.inference.clusters import Clusters, read_clusters
from wwc_eval.inference.resampling import inference_words, resampled, resampling, with_interval
from wwc_eval.multilevel.fit import MultilevelFit

if TYPE_CHECKING:
    from wwc_eval.inference.cluster_size import ClusterSizeCheck
    from wwc_eval.inference.impact import Impact
    from wwc_eval.multilevel.engine.structure import Array

__all__ = ["ReportedFit"]


class ReportedFit(MultilevelFit):
    """A fitted multilevel model with what trials report from it; a family's subclass gives averages and refits."""

    # --- what a family gives

    def _marginal(self, variable: str, **options: Any) -> Estimate | Estimates:
        """Marginal effect with an interval by the delta method."""
        raise NotImplementedError

    def averages_of(self, variable: str, *, average: str = "participants", cluster: Any = None) -> list[Average]:
        """Average outcome with a variable at each of its levels, the reference first, with gradients.

        Parameters
        ----------
        variable : str
            Factor or 0/1 column of the fixed part.
        average, cluster
            As in :meth:`marginal_effect`.
        """
        raise NotImplementedError

    def estimate_of(self, term: str, value: float, gradient: Array, **options: Any) -> Estimate:
        """Estimate whose variance follows from a gradient in the fit's parameters (the delta method)."""
        raise NotImplementedError

    def redrawn(self, counts: Array, clusters: Clusters) -> ReportedFit:
        """The same model for clusters drawn with replacement; one drawn twice is two clusters."""
        raise NotImplementedError

    def _icc(self, method: str | None, level: float) -> Estimates:
        """Shares of variance or k with the family's own intervals."""
        raise NotImplementedError

    @property
    def _nested(self) -> bool:
        """Whether the grouping factors nest in a chain."""
        raise NotImplementedError

    # --- clusters

    def cluster_of(self, cluster: str | Sequence[Any] | None = None) -> Clusters:
        """Clusters of the rows used: a column, a grouping factor, an array; the highest factor by default.

        Raises
        ------
        DesignError
            If factors are crossed and none is named, or there is no such column.
        """
        if cluster is None:
            if not self._nested:
                raise DesignError(
                    "the grouping factors are crossed, so no factor is the highest",
                    fix="name the clusters: cluster='...', a column whose groups hold whole groups of every factor",
                )
            cluster = min(self.data.groupings, key=lambda grouping: grouping.n_groups).name
        names = list(self.groups)
        if isinstance(cluster, str) and cluster in names:
            return Clusters(name=cluster, codes=self.data.grouping(cluster).codes)
        if isinstance(cluster, str) and cluster not in self.data.source.columns:
            known = [*names, *(str(name) for name in self.data.source.columns)]
            raise DesignError(f"there is no cluster column '{cluster}'", fix=did_you_mean(cluster, known))
        return read_clusters(self.data.source, self.data.rows, cluster)

    # --- effects

    def marginal_effect(
        self,
        variable: str,
        *,
        scale: str | None = None,
        level: float | None = None,
        average: str = "participants",
        cluster: str | None = None,
        interval: str = "delta",
        reps: int = 999,
        rng: Any = None,
        draw: str | None = None,
        strata: str | None = None,
        progress: bool = True,
    ) -> Estimate | Estimates:
        """Effect of a variable averaged over the rows used, and over the random effects where the link bends.

        Parameters
        ----------
        variable : str
            Column of the fixed part. A factor or 0/1 column gives the contrast of each level with the reference, every
            row set to one and then the other; any other numeric column the average slope.
        scale : str, optional
            ``mean_difference`` or ``risk_difference`` (gaussian), ``risk_difference``, ``risk_ratio``, ``odds_ratio``
            (binomial), ``rate_ratio``, ``rate_difference`` (counts); the first of them where it is missing.
        level : float, optional
            Coverage; that of the fit.
        average : {"participants", "clusters"}
            Whether every participant counts once (the participant-average effect), or every cluster does, whatever its
            size (the cluster-average effect).
        cluster : str, optional
            Clusters that count, or are drawn; the highest grouping factor.
        interval : {"delta", "bootstrap", "basic"}
            By the delta method with the fit's inference, or from replicates: their percentiles, or these reflected.
        reps, rng, draw, strata, progress
            Replicates; source of randomness; ``parametric`` (outcomes drawn from the model, if nothing is said) or
            ``clusters`` (drawn with replacement, one drawn twice counts twice, within the values of ``strata``);
            progress bar.

        Returns
        -------
        Estimate, or Estimates where the variable has more than two levels.

        Raises
        ------
        DesignError
            If the variable is not in the fixed part, or options do not go together.
        """
        how = resampling(
            interval, self, reps=reps, rng=rng, draw=draw, cluster=cluster, strata=strata, progress=progress
        )
        check_average(average, None if how else cluster)
        whom: dict[str, Any] = {"average": average, "cluster": cluster if average == "clusters" else None}
        found = self._marginal(variable, scale=scale, level=level, **whom)
        if how is None:
            return found
        coverage = self.level if level is None else level
        items = [found] if isinstance(found, Estimate) else list(found)
        names = [item.term for item in items]

        def statistic(refit: ReportedFit) -> list[float]:
            if items[0].details.get("slope"):
                again = refit._marginal(variable, scale=scale, **whom)
                return [again.estimate] if isinstance(again, Estimate) else []
            base, *others = refit.averages_of(variable, **whom)
            values = {other.term: compared(items[0].scale, base, other)[0] for other in others}
            return [values.get(name, math.nan) for name in names]

        values = resampled(self, statistic, how)
        items = [
            with_interval(item, values[:, k], how, coverage, own=inference_words(self))
            for k, item in enumerate(items)
        ]
        return items[0] if isinstance(found, Estimate) else Estimates(items, title=found.title)

    def impact(self, variable: str, *, per_year: float, **options: Any) -> Impact | list[Impact]:
        """Numbers a year and percent change; see :func:`wwc_eval.inference.impact.impact`."""
        from wwc_eval.inference.impact import impact

        return impact(self, variable, per_year=per_year, **options)

    def cluster_size_check(
        self, variable: str, *, cluster: str | None = None, scale: str | None = None, level: float | None = None
    ) -> ClusterSizeCheck:
        """Whether outcome or effect depend on cluster size, by regressions without random effects.

        Parameters
        ----------
        variable : str
            Factor or 0/1 column of the fixed part.
        cluster : str, optional
            Clusters; the highest grouping factor.
        scale, level
            As in :meth:`marginal_effect`.

        See :func:`wwc_eval.inference.cluster_size.cluster_size_check`.
        """
        from wwc_eval.inference.cluster_size import cluster_size_check

        clusters = self.cluster_of(cluster)
        family = "poisson" if self.family.startswith("negative") else self.family
        return cluster_size_check(
            self.data.formula.without_random(),
            self.data.source.iloc[self.data.rows],
            variable,
            codes=clusters.codes,
            cluster=clusters.name,
            family=family,
            exposure=self.data.exposure,
            weights=self.data.weights,
            levels=self.data.design.levels,
            scale=scale,
            level=self.level if level is None else level,
        )

    # --- heterogeneity

    def icc(
        self,
        *,
        method: str | None = None,
        level: float | None = None,
        reps: int = 999,
        rng: Any = None,
        draw: str | None = None,
        cluster: str | None = None,
        strata: str | None = None,
        progress: bool = True,
    ) -> Estimates:
        """Intraclass correlation of each grouping factor; for counts k, the coefficient of variation of the rate.

        Parameters
        ----------
        method : str, optional
            Interval: ``exact`` or ``profile`` (gaussian), ``profile`` or ``delta`` (other families), ``bootstrap``
            (all). The first that can be had, if nothing is said.
        level : float, optional
            Coverage; that of the fit.
        reps, rng, draw, cluster, strata, progress
            Of the bootstrap, as in :meth:`marginal_effect`.

        See :func:`wwc_eval.multilevel.icc.icc` and :func:`wwc_eval.multilevel.generalised.heterogeneity.icc`.
        """
        coverage = self.level if level is None else check_number("level", level, above=0, below=1)
        interval = "bootstrap" if method == "bootstrap" else "delta"
        how = resampling(
            interval, self, reps=reps, rng=rng, draw=draw, cluster=cluster, strata=strata, progress=progress
        )
        if how is None:
            return self._icc(method, coverage)
        from wwc_eval.multilevel.icc_bootstrap import icc_bootstrap

        return icc_bootstrap(self, how, coverage)
