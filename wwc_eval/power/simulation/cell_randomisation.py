"""Randomisation tests over the permitted allocations, for many replicates at once.

Source: Fisher (1935); with restricted randomisation only permitted allocations enter the reference set, as in Ji, Fink,
Robyn and Small (2017), doi:10.1214/17-AOAS1065.
"""

from __future__ import annotations

import numpy as np

from wwc_eval.power.simulation.cell_glm import Cells
from wwc_eval.power.simulation.cell_two_way import treatment_coefficients
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array, Index

__all__ = ["fit_randomisation", "ranked"]

TIES = 1e-9


def fit_randomisation(cells: Cells, allocations: Array, used: Index, dummies: Array) -> ReplicateFits:
    """Randomisation test whose statistic is the absolute coefficient of treatment in the regression.

    Parameters
    ----------
    cells : Cells
        The outcomes.
    allocations : (A, P, K) array
        Treatment of each cell under each permitted allocation.
    used : (R,) integer array
        Which of them each replicate had.
    dummies : (1, q, P, K) array
        Dummies of the clusters in the regression; the periods have effects of their own besides.
    """
    return ranked(treatment_coefficients(cells, allocations, dummies), used)


def ranked(statistics: Array, used: Index) -> ReplicateFits:
    """Two-sided p-value of the estimate under the allocation used among all (R, A): share at least as far from zero."""
    reps = np.arange(len(statistics))
    estimate = statistics[reps, used]
    size = np.abs(statistics)
    p_value = (size >= np.abs(estimate)[:, None] * (1.0 - TIES)).mean(axis=1)
    failed = np.asarray(~np.isfinite(statistics).all(axis=1))
    hidden = np.where(failed, np.nan, 1.0)
    empty = np.full(len(statistics), np.nan)
    return ReplicateFits(
        estimate=estimate * hidden,
        se=empty,
        df=empty.copy(),
        p_value=p_value * hidden,
        boundary=np.zeros(len(statistics), dtype=bool),
        failed=failed,
    )
