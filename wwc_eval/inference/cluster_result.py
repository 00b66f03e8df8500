"""What a comparison of cluster summaries found: effects, arms, clusters, and how much clusters differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.estimate import SCALES, Estimate, Estimates
from wwc_eval.formula.columns import label_of
from wwc_eval.inference.cluster_tables import ClusterTable
from wwc_eval.inference.cluster_tests import Comparison
from wwc_eval.inference.families import Floats
from wwc_eval.inference.wald import WaldTest, upper_tail
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wwc_eval.formula import Design

__all__ = ["CITATION", "ClusterSummaries"]

CITATION = "Hayes and Moulton 2017, doi:10.4324/9781315370286"
SUMMARY = {"gaussian": "mean", "binomial": "risk", "poisson": "rate"}
_SCALES = {"gaussian": "mean", "binomial": "proportion", "poisson": "rate"}
_VARIANCES = {
    "pooled": "one variance of the summaries",
    "within_cells": "variance within each arm of each stratum",
    "welch": "a variance for each arm (Welch)",
    "robust": "robust variance (CR2, Satterthwaite degrees of freedom)",
}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClusterSummaries(Rendered):
    """Arms compared by one summary a cluster. Made by :func:`wwc_eval.cluster_summaries`.

    Parameters
    ----------
    table_data : ClusterTable
        The clusters on arrays.
    family, scale, weights, variance, cluster, arm, by, exposure : str
        As asked for, or chosen where nothing was said.
    values : ndarray, shape (C,)
        What the second stage compares: summaries, residuals, or their logarithms.
    comparison : Comparison
        The second stage.
    level : float
        Coverage of the intervals.
    notices : tuple of str
        What a reader must know of every estimate.
    """

    table_data: ClusterTable = field(repr=False)
    family: str
    scale: str
    weights: str
    variance: str
    values: Floats = field(repr=False)
    comparison: Comparison = field(repr=False)
    level: float
    cluster: str
    arm: str
    by: str | None
    exposure: str | None
    notices: tuple[str, ...]

    # --- what was compared

    @property
    def design_info(self) -> Design:
        """Response, matrix, levels and rows used."""
        return self.table_data.design

    @property
    def formula(self) -> str:
        """Canonical text of the formula."""
        return self.table_data.design.formula.text

    @property
    def outcome(self) -> str:
        """Text of the outcome."""
        response = self.table_data.design.formula.response
        return response.text if response else ""

    @property
    def source(self) -> pd.DataFrame:
        """The data as given."""
        return self.table_data.source

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the contrasts."""
        return self.estimates.terms

    @property
    def adjusted(self) -> bool:
        """Whether there was a first stage."""
        return self.table_data.stage_one is not None

    @property
    def n(self) -> int:
        """Rows used."""
        return self.table_data.design.n

    @property
    def n_clusters(self) -> int:
        """Clusters."""
        return self.table_data.count

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows missing by column."""
        return MappingProxyType(dict(self.table_data.design.dropped))

    @property
    def reference_levels(self) -> Mapping[str, Any]:
        """Reference level of each factor."""
        return MappingProxyType(dict(self.table_data.design.reference_levels))

    @property
    def status(self) -> str:
        """``ok``, or the status of the first stage: ``dropped_columns`` or ``separated``."""
        return "ok" if self.table_data.stage_one is None else self.table_data.stage_one.status

    @property
    def message(self) -> str:
        """The status in a sentence."""
        stage = self.table_data.stage_one
        return "Least squares solved exactly." if stage is None else f"First stage: {stage.message}"

    @property
    def average(self) -> str:
        """The estimand: an average over ``clusters`` or over ``participants``."""
        return "clusters" if self.weights == "equal" else "participants"

    # --- estimates

    @cached_property
    def estimates(self) -> Estimates:
        """Effect of each arm against the reference."""
        data, found = self.table_data, self.comparison
        rows = []
        for place, name in enumerate(data.arms[1:]):
            effect = float(found.effect[place])
            rows.append(
                Estimate.from_normal(
                    term=f"{self.arm}[{label_of(name)}]" if data.factor else self.arm,
                    estimate=math.exp(effect) if self.scale.endswith("ratio") else effect,
                    se=float(found.se[place]),
                    df=float(found.df[place]),
                    level=self.level,
                    scale=self.scale,
                    units="percentage points" if self.scale == "risk_difference" else SCALES[self.scale],
                    method=self.method,
                    n=self.n,
                    n_clusters=self.n_clusters,
                    warnings=self.notices,
                    citation=CITATION,
                    details={
                        "reference": data.arms[0],
                        "level": name,
                        "average": self.average,
                        "adjusted": self.adjusted,
                        "cluster_covariates": found.lost,
                        "clusters_per_arm": data.per_arm.tolist(),
                    },
                )
            )
        return Estimates(rows, title=f"{self.method}: {self.formula}", notes=self._sample())

    @property
    def method(self) -> str:
        """Estimator and inference in one sentence."""
        ratio = self.scale.endswith("ratio")
        what = SUMMARY[self.family] + "s"
        if self.adjusted:
            what = "ratios of observed to expected" if ratio else f"residuals of {what} from those expected"
        mean = "geometric means" if ratio else "means"
        test = "paired t test" if self.table_data.paired and self.variance == "pooled" else "t test"
        within = f" within {self.by}" if self.by else ""
        if self.by and self.table_data.paired:
            within = f" within pairs ({self.by})"
        weight = "each cluster once" if self.weights == "equal" else "clusters by size"
        return (
            f"Comparison of cluster summaries by {self.cluster}: {mean} of {what}{within}, {weight}; {test}, "
            f"{_VARIANCES[self.variance]}"
        )

    @cached_property
    def by_arm(self) -> Estimates:
        """Average summary of each arm, unadjusted: an arithmetic mean over its clusters, whatever the scale."""
        from wwc_eval.inference.covariance import make_covariance
        from wwc_eval.inference.families import FAMILIES
        from wwc_eval.inference.glm import solve

        data = self.table_data
        rows = []
        for place, name in enumerate(data.arms):
            here = data.arm == place
            values, count = data.summary[here], int(here.sum())
            weight = np.ones(count) if self.weights == "equal" else data.size[here]
            mean, se, df = float(values @ weight / weight.sum()), math.nan, math.nan
            if count > 1:
                kernel = solve(values, np.ones((count, 1)), FAMILIES["gaussian"], weights=weight).kernel
                own = make_covariance(kernel, "CR2", codes=np.arange(count, dtype=np.intp), cluster=self.cluster)
                se, df = math.sqrt(own.variance(np.ones(1))), own.df(np.ones(1))
            rows.append(
                Estimate.from_normal(
                    term=f"{self.arm}[{label_of(name)}]",
                    estimate=mean,
                    se=se,
                    df=df,
                    level=self.level,
                    scale=_SCALES[self.family],
                    units=_SCALES[self.family],
                    method=f"Mean of the {SUMMARY[self.family]}s of clusters, unadjusted",
                    n=int(data.rows[here].sum()),
                    n_clusters=count,
                    citation=CITATION,
                    details={"average": self.average},
                )
            )
        return Estimates(rows, title=f"{SUMMARY[self.family].capitalize()} of {self.outcome} by arm")

    def with_scale(self, scale: str) -> ClusterSummaries:
        """The same comparison on another scale of its family, such as ``risk_ratio``; stage one is not repeated."""
        from wwc_eval.inference.cluster_summaries import rescaled

        return rescaled(self, scale)

    def refit_many(self, outcomes: Any = None, arms: Any = None, **options: Any) -> pd.DataFrame:
        """The comparison under many allocations; see :func:`wwc_eval.inference.cluster_refits.refit_summaries`.

        Raises
        ------
        DesignError
            If outcomes are given: other outcomes need a first stage of their own.
        """
        from wwc_eval.inference.cluster_refits import refit_summaries

        if outcomes is not None or arms is None:
            raise DesignError("cluster summaries are compared again for other allocations", fix="give arms=")
        return refit_summaries(self, arms, **options)

    def test(self) -> WaldTest:
        """F test that no arm differs from the reference, for three arms or more (pooled variances).

        Raises
        ------
        DesignError
            With ``variance`` welch or robust, which have no such test here.
        """
        found = self.comparison
        if found.vcov is None:
            raise DesignError(
                f"variance == '{self.variance}' has no joint test", fix="use variance='pooled' or 'within_cells'"
            )
        q, df = len(found.effect), float(found.df[0])
        statistic = float(found.effect @ np.linalg.solve(found.vcov, found.effect)) / q
        return WaldTest(
            terms=self.estimates.terms,
            statistic=statistic,
            df_numerator=float(q),
            df_denominator=df,
            p_value=upper_tail(statistic, q, df),
            method=f"F test of all arms; {self.method}",
        )

    # --- clusters

    @cached_property
    def table(self) -> Table:
        """One row a cluster: arm, stratum, rows, size, total, summary, expected total, value compared."""
        data = self.table_data
        sized = not np.array_equal(data.size, data.rows)
        columns = [
            Column(name="cluster", label=self.cluster),
            Column(name="arm", label=self.arm),
            *([Column(name="stratum", label=self.by)] if self.by else []),
            Column(name="rows", kind="count"),
            *([Column(name="size", label=self.exposure or "trials", kind="number", digits=0)] if sized else []),
            Column(
                name="total", label="total" if self.family == "gaussian" else "events", kind="number", digits=1
            ),
            Column(name="summary", label=SUMMARY[self.family], kind="number", digits=4),
            *([Column(name="expected", kind="number", digits=1)] if self.adjusted else []),
            Column(name="value", label="value compared", kind="number", digits=4),
        ]
        wanted = {column.name for column in columns}
        rows = []
        for j, label in enumerate(data.labels):
            row = {
                "cluster": label,
                "arm": label_of(data.arms[data.arm[j]]),
                "stratum": label_of(data.strata[data.stratum[j]]) if data.strata else "",
                "rows": int(data.rows[j]),
                "size": float(data.size[j]),
                "total": float(data.total[j]),
                "summary": float(data.summary[j]),
                "expected": math.nan if data.expected is None else float(data.expected[j]),
                "value": float(self.values[j]),
            }
            rows.append({name: value for name, value in row.items() if name in wanted})
        return Table(rows, columns, title=f"Summaries of {self.outcome} by {self.cluster}")

    def icc(self, *, level: float | None = None) -> Estimate:
        """Intraclass correlation of the outcome, from the summaries; see :mod:`.cluster_heterogeneity`."""
        from wwc_eval.inference.cluster_heterogeneity import icc

        return icc(self, level=level)

    def k(self, *, level: float | None = None) -> Estimate:
        """Coefficient of variation of risks or rates between clusters, given arm and strata.

        The interval of rates inverts the heterogeneity of their counts; see :mod:`.cluster_heterogeneity`.
        """
        from wwc_eval.inference.cluster_heterogeneity import variation

        return variation(self, level=level)

    # --- how it is shown

    def plot(self, ax: Axes | None = None) -> Axes:
        """Summaries of the clusters by arm, with the mean of each arm and its interval."""
        from wwc_eval.inference.cluster_plot import plot_summaries

        return plot_summaries(self, ax)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Effects as rows of raw values."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return self.estimates._grid()

    def _title(self) -> str:
        return self.estimates._title()

    def _notes(self) -> tuple[str, ...]:
        return (*self.estimates._notes(), *self.notices, CITATION)

    def _sample(self) -> list[str]:
        data = self.table_data
        each = ", ".join(f"{count} {label_of(arm)}" for arm, count in zip(data.arms, data.per_arm, strict=True))
        return [f"n = {self.n:,} rows in {self.n_clusters:,} clusters ({each}).", *data.design.notes]

    def __repr__(self) -> str:
        """Effects as a table."""
        return str(self)
