"""The verb ``cluster_summaries``: one figure a cluster, and a t test of the figures (Hayes and Moulton's two stages)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.inference.cluster_result import ClusterSummaries
from wwc_eval.inference.cluster_tables import ClusterTable, read_cluster_table
from wwc_eval.inference.cluster_tests import Comparison, compare

if TYPE_CHECKING:
    from wwc_eval.formula import Formula
    from wwc_eval.inference.families import Floats

__all__ = ["CLUSTER_SCALES", "cluster_summaries", "rescaled"]

CLUSTER_SCALES: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("mean_difference",),
    "binomial": ("risk_difference", "risk_ratio"),
    "poisson": ("rate_ratio", "rate_difference"),
}
"""Scales of each family, its own first."""
WEIGHTS = ("equal", "size")
VARIANCES = ("pooled", "within_cells", "welch", "robust")
FEW = 4
HALF = 0.5


def cluster_summaries(
    formula: str | Formula,
    data: Any,
    *,
    cluster: str,
    arm: str | None = None,
    family: str = "gaussian",
    exposure: str | None = None,
    by: str | None = None,
    scale: str | None = None,
    weights: str = "equal",
    variance: str | None = None,
    level: float = 0.95,
    levels: Mapping[str, Sequence[Any]] | None = None,
) -> ClusterSummaries:
    """Compare arms by one summary a cluster: the analysis for trials with very few clusters.

    Parameters
    ----------
    formula : str or Formula
        ``"y ~ arm"``, or ``"y ~ arm + covariates"`` for the adjusted analysis in two stages; the outcome of a
        binomial family is 0/1 or ``successes / trials``.
    data : DataFrame
        One row a participant, or a group of participants of one cluster. Not changed.
    cluster : str
        Column of what was randomised.
    arm : str, optional
        Column of the arm; the first term of the formula.
    family : {"gaussian", "binomial", "poisson"}
        Summaries are means, risks or rates.
    exposure : str, optional
        Column with time or population at risk, above 0 (Poisson).
    by : str, optional
        Column of the strata or matched pairs within which clusters were allocated.
    scale : str, optional
        ``mean_difference``; ``risk_difference`` (the default of a binomial) or ``risk_ratio``; ``rate_ratio`` (the
        default of Poisson) or ``rate_difference``. Ratios compare logarithms, so geometric means over clusters.
    weights : {"equal", "size"}
        Whether each cluster counts once (the cluster-average effect), or by its participants or exposure (the
        participant-average effect).
    variance : {"pooled", "within_cells", "welch", "robust"}, optional
        ``pooled``: one variance of the summaries given arm and strata, as in a two-way analysis of variance (the
        default). ``within_cells``: the variance within each arm of each stratum, as in the stratified t test.
        ``welch``: one variance for each arm, without strata. ``robust``: CR2 with Satterthwaite's degrees of freedom
        (the default, and the only one, with ``weights="size"``).
    level : float
        Coverage of the intervals.
    levels : mapping, optional
        Declared levels of factors in order, the reference first.

    Returns
    -------
    ClusterSummaries
        ``estimates`` (one for each arm but the reference), ``by_arm``, ``table`` (one row a cluster), ``icc()``,
        ``k()``, ``test()``, ``plot()``.

    Raises
    ------
    FormulaError
        If the formula does not parse or does not fit the data.
    DataError
        If outcome or exposure hold values that cannot be.
    DesignError
        If a cluster lies in several arms or strata, the arm enters an interaction, options do not go together, or
        the design leaves no degrees of freedom.
    ConvergenceError
        If the regression of the first stage has no fit.

    Warns
    -----
    In ``estimates[...].warnings``: fewer than 4 clusters in an arm; half an event added to clusters without any, on a
    ratio scale; strata with one arm only.

    Notes
    -----
    Formula: with r_j the mean, risk or rate of cluster j and E_j the sum of the outcome that a regression on the
    covariates (and strata) without the arm expects of it, the value of a cluster is r_j, or ``(d_j - E_j) / n_j``, for
    differences, and ``log r_j``, or ``log(d_j / E_j)``, for ratios. Least squares of the values on arm and strata;
    degrees of freedom ``clusters - arms - strata + 1`` (pooled), less the covariates that are constant within
    clusters (for which t pays and the variance does not). Matched pairs are strata: the t test is the paired one.
    Where ``d_j = 0`` and a logarithm is needed, 0.5 is added to that d_j alone.
    Source: Hayes and Moulton 2017, Cluster Randomised Trials, 2nd edition, chapters 10 to 12, doi:10.4324/9781315370286.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({
    ...     "referred": [4, 7, 5, 9, 3, 8, 6, 11], "children": [40, 50, 60, 60, 50, 50, 40, 70],
    ...     "team": list("abcdefgh"), "arm": ["programme", "usual"] * 4,
    ... })
    >>> found = cluster_summaries("referred / children ~ arm", data, cluster="team", family="binomial",
    ...                           levels={"arm": ["usual", "programme"]})
    >>> effect = found.estimates["arm[programme]"]
    >>> effect.scale, effect.df, round(effect.estimate, 4)
    ('risk_difference', 6.0, -0.0535)
    """
    chosen_family = check_choice("family", family, tuple(CLUSTER_SCALES))
    allowed = CLUSTER_SCALES[chosen_family]
    chosen = allowed[0] if scale is None else check_choice("scale", scale, allowed)
    check_choice("weights", weights, WEIGHTS)
    kind = _variance(variance, weights)
    coverage = check_number("level", level, above=0, below=1)
    if exposure is not None and not isinstance(exposure, str):
        raise DesignError("exposure must be the name of a column", fix="add it to the data as a column")
    table = read_cluster_table(
        formula, data, cluster=cluster, arm=arm, family=chosen_family, exposure=exposure, by=by, levels=levels
    )
    asked = _Asked(
        family=chosen_family,
        weights=weights,
        variance=kind,
        level=coverage,
        cluster=cluster,
        arm=_arm_name(table, arm),
        by=by,
        exposure=exposure,
    )
    return _found(table, chosen, asked)


def rescaled(result: ClusterSummaries, scale: str) -> ClusterSummaries:
    """The same comparison on another scale of its family; the first stage stands.

    Raises
    ------
    DesignError
        If the family has no such scale.
    """
    check_choice("scale", scale, CLUSTER_SCALES[result.family])
    asked = _Asked(**{name: getattr(result, name) for name in _Asked.__dataclass_fields__})
    return _found(result.table_data, scale, asked)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What does not depend on the scale."""

    family: str
    weights: str
    variance: str
    level: float
    cluster: str
    arm: str
    by: str | None
    exposure: str | None


def _found(table: ClusterTable, scale: str, asked: _Asked) -> ClusterSummaries:
    """Second stage."""
    values, without = _values(table, scale)
    comparison = compare(
        table, values, kind=asked.variance, weights=table.size if asked.weights == "size" else None
    )
    return ClusterSummaries(
        table_data=table,
        scale=scale,
        values=values,
        comparison=comparison,
        notices=_notices(table, comparison, without, kind=asked.variance, scale=scale, by=asked.by),
        **asdict(asked),
    )


def _variance(variance: str | None, weights: str) -> str:
    """Variance of the second stage."""
    if variance is None:
        return "pooled" if weights == "equal" else "robust"
    check_choice("variance", variance, VARIANCES)
    if weights == "size" and variance != "robust":
        raise DesignError(
            f"variance == '{variance}' takes summaries as equally variable, and weights == 'size'",
            rule="weights by size are not the inverse of the variances, unless clusters do not differ",
            fix="leave out variance, or use weights='equal'",
        )
    return variance


def _arm_name(table: ClusterTable, arm: str | None) -> str:
    return arm if arm is not None else min(table.design.formula.fixed[0].columns)


def _values(table: ClusterTable, scale: str) -> tuple[Floats, int]:
    """Value of each cluster in the second stage, and how many clusters had half an event added."""
    if not scale.endswith("ratio"):
        gap = table.total if table.expected is None else table.total - table.expected
        return np.asarray(gap / table.size), 0
    none = table.total == 0
    events = np.where(none, HALF, table.total)
    return np.log(events / (table.size if table.expected is None else table.expected)), int(none.sum())


def _notices(
    table: ClusterTable, comparison: Comparison, without: int, *, kind: str, scale: str, by: str | None
) -> tuple[str, ...]:
    """What a reader must know of every estimate."""
    found = []
    few = int(table.per_arm.min())
    if few < FEW:
        listed = ", ".join(f"{name} {count}" for name, count in zip(table.arms, table.per_arm, strict=True))
        found.append(
            f"Fewer than {FEW} clusters in an arm ({listed}): the test rests on summaries being normal, which so few "
            "cannot show, and a randomisation test cannot reach p < 0.05 at all"
            if _allocations(table) < 40
            else f"Fewer than {FEW} clusters in an arm ({listed}): the test rests on summaries being normal, which so "
            "few cannot show; put a randomisation test beside it"
        )
    if without:
        other = "rate_difference" if scale == "rate_ratio" else "risk_difference"
        found.append(
            f"Half an event was added to {without} of {table.count} clusters, which have none and no logarithm; the ratio "
            f"depends on that choice: put scale='{other}' beside it"
        )
    if table.strata:
        one_arm = sum(len(np.unique(table.arm[table.stratum == k])) == 1 for k in range(len(table.strata)))
        if one_arm:
            found.append(f"{one_arm} strata of '{by}' hold one arm only and add nothing to the comparison")
    if table.stage_one is not None and table.stage_one.status != "ok":
        found.append(f"First stage: {table.stage_one.message}")
    if kind == "robust" and any(df < FEW for df in comparison.df):
        found.append(
            "Satterthwaite degrees of freedom below 4: the p-value is only roughly right; prefer a randomisation test"
        )
    return tuple(found)


def _allocations(table: ClusterTable) -> float:
    """Ways to allocate the clusters to arms, as many to each as there are, within strata."""
    ways = 1.0
    strata = range(len(table.strata)) if table.strata else (0,)
    for stratum in strata:
        counts = np.bincount(table.arm[table.stratum == stratum])
        left = int(counts.sum())
        for count in counts.tolist():
            ways *= math.comb(left, count)
            left -= count
    return ways
