"""The one least-squares core of the regression estimators.

Units with the same design (the same cohort, the same missing cells, no covariates of their own) have the same
residualised regressors, so the fit is made on the means of such groups: on a balanced panel without covariates
as many rows as cohorts times periods, however many units there are. With covariates, or weights that change
over time, each unit is a group of its own and the same code is the exact unit-level fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.absorb import Absorber
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats

__all__ = ["Grouped", "LinearFit", "dense_codes", "fit_linear", "sum_by"]

COLLINEAR = 1e-9
MOST_GROUPS = 10_000


def dense_codes(codes: NDArray[np.intp]) -> tuple[NDArray[np.intp], int]:
    """Codes from 0 without gaps in the order of non-negative ones, and how many there are."""
    if codes.size and int(codes.max()) > 4 * codes.size + 1000:
        found, dense = np.unique(codes, return_inverse=True)
        return dense.reshape(-1).astype(np.intp), len(found)
    used = np.bincount(codes) > 0
    if used.all():
        return codes.astype(np.intp, copy=False), len(used)
    return (np.cumsum(used) - 1)[codes].astype(np.intp), int(used.sum())


def sum_by(codes: NDArray[np.intp], count: int, values: Floats) -> Floats:
    """Sums of values (n, k) over rows with the same code, shape (count, k)."""
    if count == len(codes) and bool((codes == np.arange(count)).all()):
        return values
    from scipy.sparse import csr_array

    n = len(codes)
    indicator = csr_array((np.ones(n), (codes, np.arange(n))), shape=(count, n))
    return np.asarray(indicator @ values)


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """A panel with its units brought together by design.

    Parameters
    ----------
    outcomes, weights : ndarray, shape (n, T)
        Outcome and weight of each cell, both 0 where the cell is missing.
    clusters : ndarray of int, shape (n,)
        Cluster of each unit, 0 to ``n_clusters - 1``.
    n_clusters : int
        Number of clusters.
    group : ndarray of int, shape (n,)
        Group of each unit.
    first : ndarray of int, shape (G,)
        One unit of each group.
    blocks : ndarray of int, shape (G,)
        Block of each group: blocks have period effects of their own.
    total, mean : ndarray, shape (G, T)
        Weight of each group in each period, and its weighted mean outcome.
    """

    outcomes: Floats
    weights: Floats
    clusters: NDArray[np.intp]
    n_clusters: int
    group: NDArray[np.intp]
    first: NDArray[np.intp]
    blocks: NDArray[np.intp]
    total: Floats
    mean: Floats

    @classmethod
    def of(
        cls,
        outcomes: Floats,
        weights: Floats,
        clusters: NDArray[np.intp],
        kinds: NDArray[np.intp] | None,
        blocks: NDArray[np.intp] | None = None,
    ) -> Grouped:
        """Group the units.

        Parameters
        ----------
        outcomes, weights : ndarray, shape (n, T)
            Weights are 0 where the cell is missing (whatever the outcome there).
        clusters : ndarray of int, shape (n,)
            Clusters, of which any codes may be absent.
        kinds : ndarray of int, shape (n,), optional
            Units of the same kind have the same regressors. None: each unit has its own.
        blocks : ndarray of int, shape (n,), optional
            Blocks with period effects of their own.
        """
        n = len(outcomes)
        codes, n_clusters = dense_codes(clusters)
        if blocks is None:
            blocks = np.zeros(n, dtype=np.intp)
        if kinds is None or not _constant_weights(weights):
            group, first = np.arange(n), np.arange(n)
            total, mean = weights, outcomes
        else:
            group, first = _group(weights, kinds, blocks)
            total = sum_by(group, len(first), weights)
            weighted = outcomes if _plain(weights) else outcomes * weights
            mean = sum_by(group, len(first), weighted) / np.where(total > 0, total, 1.0)
        return cls(
            outcomes=outcomes,
            weights=weights,
            clusters=codes,
            n_clusters=n_clusters,
            group=group,
            first=first,
            blocks=blocks[first],
            total=total,
            mean=mean,
        )

    @property
    def n(self) -> int:
        """Units."""
        return len(self.outcomes)

    @cached_property
    def n_cells(self) -> int:
        """Cells with weight: the rows of the regression."""
        return int(np.count_nonzero(self.weights))

    @cached_property
    def absorber(self) -> Absorber:
        """Unit and period effects of the groups."""
        return Absorber.of(self.total, self.blocks)

    @cached_property
    def compressed(self) -> bool:
        """Whether groups are not the units themselves, in their order: fewer, or as many in another order."""
        return len(self.first) < self.n or not bool((self.group == np.arange(self.n)).all())

    @cached_property
    def equal_weights(self) -> bool:
        """Whether all cells present have the same weight."""
        return _plain(self.weights)

    def expand(self, table: Floats) -> Floats:
        """What holds for groups, by unit."""
        return table[self.group] if self.compressed else table

    def project(self, table: Floats, residual: Floats) -> Floats:
        """Sums over periods of weight times table times residual, by unit, shape (n, k).

        The residual of a unit is its deviation from the mean of its group plus the group's ``residual``
        (G, T); its own effect drops out because ``table`` (G, T, k) has no unit means.
        """
        centre = self.mean - residual
        if not self.compressed:
            return np.asarray(np.matmul(((self.outcomes - centre) * self.weights)[:, None, :], table)[:, 0, :])
        found = np.empty((self.n, table.shape[2]))
        if len(self.first) > min(max(64, self.n // 8), MOST_GROUPS):
            left = (self.outcomes - centre[self.group]) * self.weights
            return np.asarray(np.matmul(left[:, None, :], table[self.group])[:, 0, :])
        order = np.argsort(self.group.astype(np.int16), kind="stable")
        ends = np.cumsum(np.bincount(self.group, minlength=len(self.first)))
        for code, first in enumerate(self.first):
            members = order[(ends[code - 1] if code else 0) : ends[code]]
            present = self.weights[first] > 0
            seen = table[code] * present[:, None]
            part = self.outcomes[members] @ seen
            part -= centre[code] @ seen
            found[members] = part * self.weights[members, int(np.argmax(present))][:, None]
        return found

    def own_residual(self, residual: Floats) -> Floats:
        """Residual of every cell (n, T), given the residuals of the groups (G, T)."""
        left = np.where(self.weights > 0, self.outcomes - self.expand(self.mean), 0.0)
        totals = self.weights.sum(axis=1)
        means = (left * self.weights).sum(axis=1) / np.where(totals > 0, totals, 1.0)
        return np.where(self.weights > 0, left - means[:, None] + self.expand(residual), 0.0)

    def by_cluster(self, values: Floats) -> Floats:
        """Sums of values (n, k) over the units of each cluster."""
        return sum_by(self.clusters, self.n_clusters, values)


def _plain(weights: Floats) -> bool:
    """Whether weights are 0 or one number."""
    top = weights.max(initial=0.0)
    return bool(((weights == 0) | (weights == top)).all())


def _constant_weights(weights: Floats) -> bool:
    """Whether each unit has the same weight wherever it is present."""
    top = weights.max(axis=1, initial=0.0)
    return bool(((weights == 0) | (weights == top[:, None])).all())


def _group(
    weights: Floats, kinds: NDArray[np.intp], blocks: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Codes by block, kind and pattern of missing cells, in that order; and one unit of each."""
    present = weights > 0
    width = int(kinds.max(initial=0)) + 1
    keys = blocks * width + kinds
    if not present.all():
        patterns = np.unique(np.packbits(present, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        keys = keys * (int(patterns.max()) + 1) + patterns
    group, count = dense_codes(keys)
    first = np.empty(count, dtype=np.intp)
    first[group[::-1]] = np.arange(len(group) - 1, -1, -1)
    return group, first


@dataclass(frozen=True, kw_only=True)
class LinearFit:
    """A fit with unit and period effects absorbed.

    Parameters
    ----------
    names : tuple of str
        Names of the coefficients.
    beta : ndarray, shape (K,)
        Coefficients.
    R : ndarray, shape (K, K)
        Triangular factor of the residualised design: the bread is ``(R'R)^-1``.
    design : ndarray, shape (G, T, K)
        Regressors of the groups with the effects taken out.
    residual : ndarray, shape (G, T)
        Residuals of the group means.
    regressors : ndarray, shape (G, T, K)
        Regressors of the groups as given.
    data : Grouped
        The panel.
    """

    names: tuple[str, ...]
    beta: Floats
    R: Floats
    design: Floats
    residual: Floats
    regressors: Floats
    data: Grouped

    @cached_property
    def bread(self) -> Floats:
        """``(X'WX)^-1`` of the residualised design, shape (K, K)."""
        inverse = np.linalg.solve(self.R, np.eye(len(self.R)))
        return np.asarray(inverse @ inverse.T)

    @cached_property
    def scores(self) -> Floats:
        """Score of each unit, shape (n, K)."""
        return self.data.project(self.design, self.residual)

    @property
    def n_period_effects(self) -> int:
        """Period effects, one a period and block."""
        return int(self.data.absorber.periods.sum())

    @property
    def n_parameters(self) -> int:
        """Every coefficient, unit effects and period effects counted."""
        units = int((self.data.weights > 0).any(axis=1).sum())
        return len(self.beta) + units + self.data.absorber.rank


def fit_linear(data: Grouped, regressors: Floats, names: Sequence[str]) -> LinearFit:
    """Weighted least squares with unit effects and period effects.

    Parameters
    ----------
    data : Grouped
        The panel.
    regressors : ndarray, shape (G, T, K)
        Regressors of each group; values in missing cells do not matter, but must be finite.
    names : sequence of str
        What each regressor is called, for errors.

    Returns
    -------
    LinearFit

    Raises
    ------
    DesignError
        If a coefficient is not identified beside the effects and the others.
    """
    absorber = data.absorber
    joint = absorber.residual(np.concatenate([regressors, data.mean[:, :, None]], axis=2))
    design, outcome = joint[:, :, :-1], joint[:, :, -1]
    root = np.sqrt(data.total)
    rows = (root[:, :, None] * design).reshape(-1, design.shape[2])
    Q, R = np.linalg.qr(rows)
    _check_rank(R, root[:, :, None] * absorber.within(regressors), names)
    beta = np.linalg.solve(R, Q.T @ (root * outcome).reshape(-1))
    return LinearFit(
        names=tuple(names),
        beta=beta,
        R=R,
        design=design,
        residual=outcome - design @ beta,
        regressors=regressors,
        data=data,
    )


def _check_rank(R: Floats, before: Floats, names: Sequence[str]) -> None:
    size = np.sqrt((before**2).sum(axis=(0, 1)))
    pivots = np.abs(np.diag(R)) if len(R) == len(names) else np.zeros(len(names))
    lost = np.flatnonzero(pivots <= COLLINEAR * size)
    if lost.size:
        listed = ", ".join(f"'{names[k]}'" for k in lost[:5]) + (" ..." if lost.size > 5 else "")
        raise DesignError(
            f"{lost.size} of {len(names)} coefficients are not identified beside unit and period effects: {listed}",
            rule="a regressor must vary within units, and not like the periods or the other regressors",
            fix="leave out or pool events (bin the ends with leads= and lags=), or leave out the covariate",
        )
