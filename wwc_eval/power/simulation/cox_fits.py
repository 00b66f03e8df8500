"""Cox regression on the arm alone, with model-based or cluster-robust errors, for many replicates at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array, Flags, Index

__all__ = ["Times", "fit_cox", "fit_log_rates"]

STEPS = 25
SETTLED = 1e-9
LARGEST = 10.0
"""Log hazard ratio beyond which a fit is taken to run away: an arm without events."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Times:
    """Times to an event of the children of many replicates.

    Parameters
    ----------
    time : (R, N) array
        Time of the event or of the end of follow-up; no two events of a replicate at one time.
    event : (R, N) bool array
        Whether the event happened.
    treated : (N,) bool array
        Whether the child is in the treated arm.
    cluster : (N,) integer array
        Randomised unit of each child, 0, 1, 2, ...
    """

    time: Array
    event: Flags
    treated: Flags
    cluster: Index

    def by_cluster(self, values: Array) -> Array:
        """Sums (R, J) of what children have, over their clusters."""
        reps, units = len(values), int(self.cluster.max()) + 1
        where = np.arange(reps)[:, None] * units + self.cluster
        return np.asarray(
            np.bincount(where.ravel(), values.ravel(), reps * units).reshape(reps, units), dtype=float
        )


def fit_cox(times: Times, *, robust: bool) -> ReplicateFits:
    """Log hazard ratio by partial likelihood.

    Parameters
    ----------
    times : Times
        The data.
    robust : bool
        Whether errors allow for clusters: ``sum over clusters of (sum of score residuals)^2 / information^2``, times
        J / (J - 2), against t with J - 2 degrees of freedom; else the information's, against the normal distribution.

    Notes
    -----
    Sources: Cox 1972 (doi:10.1111/j.2517-6161.1972.tb00899.x); Lee, Wei and Amato 1992 (doi:10.1007/978-94-015-7983-4_14).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> arm = np.arange(200) % 2 == 1
    >>> time = rng.exponential(np.where(arm, 2.0, 1.0), (100, 200))
    >>> data = Times(time=np.minimum(time, 3.0), event=time < 3.0, treated=arm, cluster=np.arange(200) // 10)
    >>> bool(abs(fit_cox(data, robust=False).estimate.mean() + np.log(2)) < 0.05)
    True
    """
    order = np.argsort(times.time, axis=1)
    arm = times.treated[order].astype(float)
    happened = np.take_along_axis(times.event, order, axis=1).astype(float)
    count = arm.shape[1]
    ones = arm.sum(axis=1, keepdims=True) - np.cumsum(arm, axis=1) + arm  # treated at risk
    zeros = count - np.arange(count) - ones
    total = (happened * arm).sum(axis=1)
    beta = np.zeros(len(arm))
    for _ in range(STEPS):
        share = _share(ones, zeros, beta)
        information = (happened * share * (1.0 - share)).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (total - (happened * share).sum(axis=1)) / information
        beta = np.clip(beta + np.clip(np.nan_to_num(step), -2.0, 2.0), -2 * LARGEST, 2 * LARGEST)
        if np.abs(np.nan_to_num(step)).max() < SETTLED:
            break
    share = _share(ones, zeros, beta)
    information = (happened * share * (1.0 - share)).sum(axis=1)
    failed = ~(information > 0) | (np.abs(beta) > LARGEST)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not robust:
            return ReplicateFits.wald(beta, 1.0 / np.sqrt(information), np.inf, failed=failed)
        hazard = happened / (ones * np.exp(beta)[:, None] + zeros)
        risk = np.where(arm > 0, np.exp(beta)[:, None], 1.0)
        expected = risk * (arm * np.cumsum(hazard, axis=1) - np.cumsum(hazard * share, axis=1))
        residual = np.empty_like(share)
        np.put_along_axis(residual, order, happened * (arm - share) - expected, axis=1)
        sums = times.by_cluster(residual)
        units = sums.shape[1]
        se = np.sqrt((sums**2).sum(axis=1) * units / (units - 2.0)) / information
    return ReplicateFits.wald(beta, se, units - 2.0, failed=failed)


def _share(ones: Array, zeros: Array, beta: Array) -> Array:
    """Mean of the arm among the children at risk, weighted by their hazards."""
    weight = ones * np.exp(beta)[:, None]
    return np.asarray(weight / (weight + zeros))


def fit_log_rates(times: Times) -> ReplicateFits:
    """Difference between the arms in the mean of their clusters' log rates, (events + 1/2) / time at risk; pooled t test."""
    rate = np.log((times.by_cluster(times.event.astype(float)) + 0.5) / times.by_cluster(times.time))
    first = np.unique(times.cluster, return_index=True)[1]
    arm = times.treated[first]
    a, b = rate[:, arm], rate[:, ~arm]
    df = rate.shape[1] - 2.0
    rest = ((a - a.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    rest = rest + ((b - b.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    se = np.sqrt(rest / df * (1.0 / a.shape[1] + 1.0 / b.shape[1]))
    return ReplicateFits.wald(a.mean(axis=1) - b.mean(axis=1), se, df)
