"""Unit effects, period effects and covariates fitted to untreated cells, and the gap of the others to that fit.

Imputation (Borusyak, Jaravel and Spiess) and two-stage regression (Gardner) are both averages of these gaps; they
differ in what they take as the spread of the effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.absorb import Absorber
from wwc_eval.did.cohort_cells import CohortCells
from wwc_eval.did.least_squares import dense_codes, sum_by
from wwc_eval.did.sample import Sample
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats

__all__ = ["Untreated", "clusters_of", "imputable"]

COLLINEAR = 1e-9


def imputable(sample: Sample) -> Sample:
    """The sample without treated cells that untreated ones say nothing about.

    A treated cell can be imputed if its unit and its period are linked through untreated cells.

    Raises
    ------
    DesignError
        If no treated cell can be imputed.
    """
    free = sample.present & ~sample.treated
    if free.all(axis=1).any() and free.any(axis=1).all():
        return sample
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    n, T = sample.outcomes.shape
    unit, period = np.nonzero(free)
    links = csr_array((np.ones(len(unit)), (unit, n + period)), shape=(n + T, n + T))
    _, part = connected_components(links, directed=False)
    linked = part[:n, None] == part[None, n:]
    treated = sample.present & sample.treated
    lost = treated & ~linked
    if not lost.any():
        return sample
    if (lost == treated).all():
        raise DesignError(
            "no treated cell can be imputed: no period of treatment has an untreated unit, or no treated unit an "
            "untreated period",
            fix="include units treated later or never, with periods before treatment",
        )
    periods = np.flatnonzero(lost.any(axis=0))
    listed = ", ".join(str(sample.label(int(k))) for k in periods[:4]) + (" ..." if len(periods) > 4 else "")
    note = f"{int(lost.sum()):,} treated cells without an untreated comparison left out ({listed})."
    return sample.replace(weights=np.where(lost, 0.0, sample.weights), notes=(*sample.notes, note))


@dataclass(frozen=True, kw_only=True)
class Untreated:
    """The fit to untreated cells.

    Parameters
    ----------
    sample : Sample
        The cells in use.
    absorber : Absorber
        Effects of the untreated cells.
    weights : ndarray, shape (n, T)
        Weights of the untreated cells, 0 elsewhere.
    gap : ndarray, shape (n, T)
        Outcome less the fit, in every cell in use: residual where untreated, effect where treated.
    slopes : ndarray, shape (p,)
        Coefficients of the covariates.
    design : ndarray, shape (n, T, p)
        Covariates with the effects taken out.
    moment : ndarray, shape (p, p)
        Their weighted cross-product.
    """

    sample: Sample
    absorber: Absorber
    weights: Floats
    gap: Floats
    slopes: Floats
    design: Floats
    moment: Floats

    @classmethod
    def of(cls, sample: Sample) -> Untreated:
        """Fit the untreated cells."""
        weights = np.where(sample.treated, 0.0, sample.weights)
        absorber = Absorber.of(weights)
        outcome = sample.outcomes
        design = absorber.residual(sample.covariates) if sample.names else sample.covariates
        weighted = weights[:, :, None] * design
        moment = np.tensordot(weighted, design, axes=([0, 1], [0, 1]))
        slopes: Floats = np.zeros(len(sample.names))
        if sample.names:
            _check_covariates(moment, absorber.within(sample.covariates), weights, sample.names)
            right = np.tensordot(weighted, outcome, axes=([0, 1], [0, 1]))
            slopes = np.asarray(np.linalg.solve(moment, right), dtype=np.float64)
            outcome = outcome - sample.covariates @ slopes
        unit, period = absorber.effects(outcome[:, :, None])
        gap = outcome - unit - period[0, :, 0]
        return cls(
            sample=sample,
            absorber=absorber,
            weights=weights,
            gap=np.where(sample.present, gap, 0.0),
            slopes=slopes,
            design=design,
            moment=moment,
        )

    def shares(self, cells: CohortCells) -> Floats:
        """Weight of each unit in the mean of each cohort-period cell, shape (n, m)."""
        sample = self.sample
        found = np.zeros((len(sample.rows), len(cells.cohort)))
        for members, own in _blocks(sample, cells):
            found[np.ix_(members, own)] = sample.weights[np.ix_(members, cells.column[own])] / cells.weight[own]
        return found

    def gaps(self, cells: CohortCells) -> Floats:
        """Gap of each unit in the period of each cell, 0 for units of other cohorts, shape (n, m)."""
        found = np.zeros((len(self.sample.rows), len(cells.cohort)))
        for members, own in _blocks(self.sample, cells):
            found[np.ix_(members, own)] = self.gap[np.ix_(members, cells.column[own])]
        return found

    def first_stage(self, cells: CohortCells, shares: Floats) -> Floats:
        """What each unit's untreated cells add to the mean gap of each cell, shape (n, m).

        The mean fit of a cell is linear in the untreated outcomes; its weights solve the normal equations with the
        cell's own mean of the regressors on the right.
        """
        sample = self.sample
        m = len(cells.cohort)
        period = np.zeros((1, sample.n_periods, m))
        period[0, cells.column, np.arange(m)] = 1.0
        _, effects = self.absorber.solve(shares, period)
        noise = self.weights * self.gap
        found = -(noise @ effects[0])
        if sample.names:
            # the covariates, less what the effects explain of them, at the treated cells and within the fit
            unit, time = self.absorber.effects(sample.covariates)
            left = sample.covariates - unit[:, None, :] - time
            target = np.stack([(shares * left[:, cells.column, k]).sum(axis=0) for k in range(len(sample.names))])
            direction = np.linalg.solve(self.moment, target)
            found -= np.matmul(noise[:, None, :], self.design)[:, 0, :] @ direction
        return np.asarray(found)

    def by_cluster(self, values: Floats) -> Floats:
        """Sums of values (n, k) over the units of each cluster."""
        codes, count = clusters_of(self.sample)
        return sum_by(codes, count, values)

    @property
    def n_clusters(self) -> int:
        """Clusters in use."""
        return clusters_of(self.sample)[1]


def _blocks(sample: Sample, cells: CohortCells) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Units of each cohort, and its cells."""
    return [
        (np.flatnonzero(sample.adopted == cohort), np.flatnonzero(cells.cohort == cohort))
        for cohort in np.unique(cells.cohort)
    ]


def _check_covariates(moment: Floats, before: Floats, weights: Floats, names: tuple[str, ...]) -> None:
    size = np.sqrt((weights[:, :, None] * before**2).sum(axis=(0, 1)))
    scale = np.where(size > 0, size, 1.0)
    values = np.linalg.eigvalsh(moment / np.outer(scale, scale))
    if (size <= 0).any() or values[0] <= COLLINEAR:
        raise DesignError(
            f"the covariates {', '.join(names)} are not identified among untreated cells",
            rule="a covariate must vary within units, and not like the periods or the other covariates",
            fix="leave out the covariate, or use the change of a fixed one with callaway_santanna(covariates=)",
        )


def clusters_of(sample: Sample) -> tuple[NDArray[np.intp], int]:
    """Codes of the clusters in use, from 0, and their number."""
    return dense_codes(sample.clusters.astype(np.intp, copy=False))
