"""The second stage: least squares of cluster values on arm and strata, and the variance of its contrasts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.inference.cluster_tables import ClusterTable
from wwc_eval.inference.covariance import make_covariance
from wwc_eval.inference.families import FAMILIES, Floats
from wwc_eval.inference.glm import solve

__all__ = ["Comparison", "compare", "design_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Contrasts of each arm with the reference.

    Parameters
    ----------
    effect, se, df : ndarrays, shape (arms - 1,)
        Difference of the values, its standard error and degrees of freedom.
    vcov : ndarray, shape (arms - 1, arms - 1), optional
        Covariance of the effects, where one variance serves them all.
    residual_sd : float
        Standard deviation of the values given arm and strata; NaN where each arm has its own.
    lost : int
        Degrees of freedom that t loses for covariates that are constant within clusters.
    """

    effect: Floats
    se: Floats
    df: Floats
    vcov: Floats | None
    residual_sd: float
    lost: int


def design_of(table: ClusterTable) -> Floats:
    """Intercept, arms but the reference, strata but the first: one row a cluster."""
    arms = (table.arm[:, None] == np.arange(1, len(table.arms))).astype(float)
    strata = (table.stratum[:, None] == np.arange(1, max(len(table.strata), 1))).astype(float)
    return np.column_stack([np.ones(table.count), arms, strata])


def compare(table: ClusterTable, values: Floats, *, kind: str, weights: Floats | None) -> Comparison:
    """Compare the values of the clusters between arms.

    Parameters
    ----------
    table : ClusterTable
        Arms, strata and covariates of the clusters.
    values : ndarray, shape (C,)
        What is compared.
    kind : {"pooled", "within_cells", "welch", "robust"}
        Variance.
    weights : ndarray, shape (C,), optional
        Weights of the clusters; equal where they are missing.

    Raises
    ------
    DesignError
        If arms cannot be told from strata, or no degrees of freedom are left.
    """
    X = design_of(table)
    others = len(table.arms) - 1
    rank = int(np.linalg.matrix_rank(X))
    if rank < X.shape[1]:
        raise DesignError(
            "no stratum holds clusters of two arms"
            if others == 1
            else "some arms share no stratum with any other",
            rule="arms are compared within strata",
            fix="use coarser strata, or leave out by",
        )
    lost = int(np.linalg.matrix_rank(np.column_stack([X, _standard(table.covariates)]))) - rank
    if kind == "welch":
        return _welch(table, values, lost)
    left = table.count - rank - lost
    if kind == "within_cells":
        left = table.count - len(np.unique(_cells(table))) - lost
    if left < 1:
        spent = f"{table.count} clusters, {len(table.arms)} arms" + (
            f", {len(table.strata)} strata" if table.strata else ""
        )
        raise DesignError(
            f"no degrees of freedom are left ({spent}" + (f", {lost} cluster-level covariates)" if lost else ")"),
            fix="leave out cluster-level covariates, "
            + ("use variance='pooled'" if kind == "within_cells" else "merge strata, or randomise more clusters"),
        )
    w = np.ones(table.count) if weights is None else weights / weights.mean()
    solution = solve(values, X, FAMILIES["gaussian"], weights=w)
    effect = solution.beta[1 : 1 + others]
    contrasts = np.eye(X.shape[1])[1 : 1 + others]
    if kind == "robust":
        found = make_covariance(
            solution.kernel, "CR2", codes=np.arange(table.count, dtype=np.intp), cluster="cluster"
        )
        variance = np.array([found.variance(each) for each in contrasts])
        df = np.array([found.df(each) for each in contrasts]) - lost
        return Comparison(
            effect=effect,
            se=np.sqrt(variance),
            df=np.where(df > 0, df, math.nan),
            vcov=None,
            residual_sd=math.nan,
            lost=lost,
        )
    residual = values - solution.eta
    if kind == "within_cells":
        _, cell = np.unique(_cells(table), return_inverse=True)
        residual = values - (np.bincount(cell, weights=values) / np.bincount(cell))[cell]
    # t alone pays for columns that the first stage took out: it moved the effect towards zero by as much
    scale = float(residual @ residual) / (left + lost)
    vcov = scale * solution.kernel.outer(np.eye(X.shape[1]))[1 : 1 + others, 1 : 1 + others]
    return Comparison(
        effect=effect,
        se=np.sqrt(np.diag(vcov)),
        df=np.full(others, float(left)),
        vcov=vcov,
        residual_sd=math.sqrt(scale),
        lost=lost,
    )


def _standard(columns: Floats) -> Floats:
    """Columns of one length, so that units do not decide a rank."""
    size = np.sqrt((columns**2).sum(axis=0))
    return np.asarray(columns / np.where(size > 0, size, 1.0))


def _cells(table: ClusterTable) -> Floats:
    return np.asarray(table.stratum * len(table.arms) + table.arm)


def _welch(table: ClusterTable, values: Floats, lost: int) -> Comparison:
    """Each arm with a variance of its own; Welch's degrees of freedom."""
    if table.strata or lost:
        what = "strata" if table.strata else "cluster-level covariates"
        raise DesignError(f"Welch's test has no {what}", fix="use variance='robust', or 'pooled'")
    count = table.per_arm
    if count.min() < 2:
        raise DesignError("an arm has one cluster, and Welch's test needs two", fix="use variance='pooled'")
    mean = np.bincount(table.arm, weights=values) / count
    share = np.bincount(table.arm, weights=(values - mean[table.arm]) ** 2) / (count - 1) / count
    both = share[1:] + share[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        df = both**2 / (share[1:] ** 2 / (count[1:] - 1) + share[0] ** 2 / (count[0] - 1))
    return Comparison(effect=mean[1:] - mean[0], se=np.sqrt(both), df=df, vcov=None, residual_sd=math.nan, lost=0)
