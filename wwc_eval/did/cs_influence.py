"""What each unit adds to every estimate, without ever holding units by estimates where that can be avoided.

On a balanced panel without covariates every effect is linear in the cohorts' means by period, so the influence of a
unit is linear in its own deviations from them: one second-moment matrix a cohort gives every error, and one product
of multipliers with the deviations every bootstrap draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["MULTIPLIERS", "Compressed", "Contrasts", "Dense", "Draws", "Influence"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
MULTIPLIERS = ("rademacher", "mammen", "normal")
BLOCK = 400_000
"""Multipliers held at once: what a processor's cache holds."""
PARTS = 32
"""Parts of a row that stands for many."""


@dataclass(frozen=True, kw_only=True)
class Contrasts:
    """Averages of effects whose weights are shares of cohorts.

    Parameters
    ----------
    cells : ndarray, shape (m, K)
        Weight of each effect.
    cohorts : ndarray, shape (m, C)
        What a unit of weight 1 in each cohort adds through the estimated shares.
    """

    cells: Floats
    cohorts: Floats


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Sums of the influences with one multiplier a cluster, ready for any contrast.

    Parameters
    ----------
    sums : ndarray, shape (draws, q)
        Sums by feature.
    loads : callable
        Contrasts to their loadings on the features, shape (m, q).
    """

    sums: Floats
    loads: LoadingsOf

    def of(self, contrasts: Contrasts) -> Floats:
        """Draws of the contrasts around their estimates, shape (draws, m)."""
        return self.sums @ self.loads.features(contrasts).T


class LoadingsOf(Protocol):
    """Anything that writes contrasts as loadings on features."""

    def features(self, contrasts: Contrasts) -> Floats:
        """Loadings, shape (m, q)."""
        ...


class Influence(Protocol):
    """Influence of the units on K effects: covariances, values by unit and multiplier draws."""

    @property
    def n_clusters(self) -> int:
        """Independent clusters."""
        ...

    def covariance(self, contrasts: Contrasts) -> Floats:
        """Covariance of contrasts, shape (m, m)."""
        ...

    def variance(self, contrasts: Contrasts) -> Floats:
        """Variances of contrasts, shape (m,)."""
        ...

    def by_unit(self, contrasts: Contrasts) -> Floats:
        """What each unit adds, shape (n, m)."""
        ...

    def by_cluster(self, contrasts: Contrasts) -> Floats:
        """What each cluster adds, shape (clusters, m)."""
        ...

    def draw(self, rng: np.random.Generator, draws: int, multiplier: str) -> Draws:
        """Sums with random multipliers."""
        ...


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """Influence through the cohorts' moments: balanced panel, no covariates, each unit its own cluster.

    Parameters
    ----------
    order : ndarray of int, shape (n,)
        Units sorted by cohort.
    starts : ndarray of int, shape (C + 1,)
        Where each cohort begins among them.
    deviations : ndarray, shape (n, T + 1)
        Weighted deviations from the cohort's means, and the weight, of the sorted units.
    loadings : ndarray, shape (K, C, T + 1)
        Each effect on the features of each cohort.
    """

    order: Ints
    starts: Ints
    deviations: Floats
    loadings: Floats

    @property
    def n_clusters(self) -> int:
        """Units."""
        return len(self.order)

    @cached_property
    def moments(self) -> Floats:
        """Second moments of the features of each cohort, shape (C, T + 1, T + 1)."""
        blocks = [self.deviations[a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]
        return np.array([block.T @ block for block in blocks])

    def features(self, contrasts: Contrasts) -> Floats:
        """Loadings of contrasts on the features of all cohorts, shape (m, C (T + 1))."""
        k, cohorts, width = self.loadings.shape
        found = (contrasts.cells @ self.loadings.reshape(k, -1)).reshape(-1, cohorts, width)
        found[:, :, -1] += contrasts.cohorts
        return found.reshape(len(found), -1)

    def _loaded(self, contrasts: Contrasts) -> tuple[Floats, Floats]:
        cohorts, width = self.loadings.shape[1:]
        found = self.features(contrasts).reshape(-1, cohorts, width).transpose(1, 0, 2)
        return found, found @ self.moments

    def covariance(self, contrasts: Contrasts) -> Floats:
        """Covariance of contrasts, shape (m, m)."""
        left, right = self._loaded(contrasts)
        return np.asarray((right @ left.transpose(0, 2, 1)).sum(axis=0))

    def variance(self, contrasts: Contrasts) -> Floats:
        """Variances of contrasts, shape (m,)."""
        left, right = self._loaded(contrasts)
        return np.asarray(np.einsum("cmt,cmt->m", right, left))

    def by_unit(self, contrasts: Contrasts) -> Floats:
        """What each unit adds, shape (n, m)."""
        cohorts, width = self.loadings.shape[1:]
        found = self.features(contrasts).reshape(-1, cohorts, width)
        values = np.empty((len(self.order), len(found)))
        for c in range(cohorts):
            rows = slice(self.starts[c], self.starts[c + 1])
            values[self.order[rows]] = self.deviations[rows] @ found[:, c].T
        return values

    def by_cluster(self, contrasts: Contrasts) -> Floats:
        """The same: each unit is a cluster."""
        return self.by_unit(contrasts)

    def draw(self, rng: np.random.Generator, draws: int, multiplier: str) -> Draws:
        """Sums of the features of each cohort; normal ones come from their moments at once."""
        cohorts, width = self.loadings.shape[1:]
        sums = np.empty((draws, cohorts, width))
        for c in range(cohorts):
            if multiplier == "normal":
                values, vectors = np.linalg.eigh(self.moments[c])
                root = vectors * np.sqrt(np.maximum(values, 0.0))
                sums[:, c] = rng.standard_normal((draws, width)) @ root.T
            else:
                rows = self.deviations[self.starts[c] : self.starts[c + 1]]
                sums[:, c] = multiplied(rows, rng, draws, multiplier)
        return Draws(sums=sums.reshape(draws, -1), loads=self)


@dataclass(frozen=True, kw_only=True)
class Dense:
    """Influence held by unit: unbalanced panels, covariates, clusters above the units, cross-sections.

    Parameters
    ----------
    cells : ndarray, shape (n, K)
        What each unit adds to each effect.
    weights : ndarray, shape (n,)
        Weight of each unit.
    cohort : ndarray of int, shape (n,)
        Index of its cohort.
    n_cohorts : int
        Cohorts C.
    clusters : ndarray of int, shape (n,), optional
        Cluster of each unit; the unit itself where there are none.
    many : bool
        Whether each row stands for the second moments of many, as in cross-sections without clusters: draws then
        split it in parts of unequal size, since a sum of a few signs is in lumps, and that of many is not.
    """

    cells: Floats
    weights: Floats
    cohort: Ints
    n_cohorts: int
    clusters: Ints | None = None
    many: bool = False

    @property
    def n_clusters(self) -> int:
        """Independent clusters."""
        return len(self.cells) if self.clusters is None else int(self.clusters.max()) + 1

    def features(self, contrasts: Contrasts) -> Floats:
        """Loadings on the effects and the cohorts' weights, shape (m, K + C)."""
        return np.hstack([contrasts.cells, contrasts.cohorts])

    def by_unit(self, contrasts: Contrasts) -> Floats:
        """What each unit adds, shape (n, m)."""
        return np.asarray(
            self.cells @ contrasts.cells.T + self.weights[:, None] * contrasts.cohorts.T[self.cohort]
        )

    def by_cluster(self, contrasts: Contrasts) -> Floats:
        """What each cluster adds, shape (clusters, m)."""
        return self._summed(self.by_unit(contrasts))

    def _summed(self, values: Floats) -> Floats:
        if self.clusters is None:
            return values
        order = np.argsort(self.clusters, kind="stable")
        starts = np.searchsorted(self.clusters[order], np.arange(self.n_clusters))
        return np.add.reduceat(values[order], starts, axis=0)

    def covariance(self, contrasts: Contrasts) -> Floats:
        """Covariance of contrasts, shape (m, m)."""
        values = self.by_cluster(contrasts)
        return np.asarray(values.T @ values)

    def variance(self, contrasts: Contrasts) -> Floats:
        """Variances of contrasts, shape (m,)."""
        return np.asarray((self.by_cluster(contrasts) ** 2).sum(axis=0))

    def draw(self, rng: np.random.Generator, draws: int, multiplier: str) -> Draws:
        """Sums of the effects' influences and of the cohorts' weights, one multiplier a cluster."""
        shares = np.zeros((len(self.cells), self.n_cohorts))
        shares[np.arange(len(shares)), self.cohort] = self.weights
        rows = self._summed(np.hstack([self.cells, shares]))
        if self.many:
            parts = np.arange(1.0, PARTS + 1.0)
            rows = (rows[:, None, :] * (parts / np.sqrt((parts**2).sum()))[:, None]).reshape(-1, rows.shape[1])
        return Draws(sums=multiplied(rows, rng, draws, multiplier), loads=self)


def multiplied(rows: Floats, rng: np.random.Generator, draws: int, multiplier: str) -> Floats:
    """Sums of rows, each times a multiplier of mean 0 and variance 1, shape (draws, columns).

    Rademacher: -1 or 1. Mammen: (1 - sqrt 5) / 2 with probability (sqrt 5 + 1) / (2 sqrt 5), else (1 + sqrt 5) / 2.
    """
    n = len(rows)
    found = np.zeros((draws, rows.shape[1]))
    size = max(8, BLOCK // draws // 8 * 8)
    held = np.empty((draws, min(size, -(-n // 8) * 8)))
    for start in range(0, n, size):
        block = rows[start : start + size]
        m = len(block)
        if multiplier == "normal":
            found += rng.standard_normal((draws, m)) @ block
        elif multiplier == "mammen":
            low, high = (1 - math.sqrt(5)) / 2, (1 + math.sqrt(5)) / 2
            below = rng.random((draws, m)) < (math.sqrt(5) + 1) / (2 * math.sqrt(5))
            found += np.where(below, low, high) @ block
        else:
            # signs as bits: twice the sum of the chosen rows, less the sum of all
            bytes_ = rng.integers(0, 256, size=(draws, -(-m // 8)), dtype=np.uint8)
            bits = held[:, :m]
            bits[...] = np.unpackbits(bytes_, axis=1, count=m)
            found += 2.0 * (bits @ block) - block.sum(axis=0)
    return found
