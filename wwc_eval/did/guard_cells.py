"""The permutation beside each effect by cohort and period where the cohort has fewer than five clusters."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.guard import CELL_DRAWS, FEW, judged, seed_of
from wwc_eval.inference.families import Floats

__all__ = ["choices", "cohort_p_values", "shares"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
LISTED = 25_000


def cohort_p_values(result: Any) -> list[float | None]:
    """Permutation p of each row of a Callaway-Sant'Anna table whose cohort has fewer than five clusters.

    The clusters of the cohort change places with those of its comparison: ``|mean change of so many clusters less that
    of the rest|`` is compared with the actual one, over all choices where they can be listed and over draws seeded by
    the data otherwise. Covariates are left aside; of children seen once the means by cluster and period are taken. None
    for cohorts of five and more, missing where a cluster has units of the cohort and of its comparison.

    Parameters
    ----------
    result : CallawaySantAnna
        Effects by cohort and period.
    """
    panel, cells = judged(result.panel), result.group_times
    rows = np.flatnonzero(np.isfinite(result.values))
    if panel.cross_sections:
        return [None] * len(rows)
    index = np.searchsorted(panel.cohorts, panel.adopted)
    sizes = [panel.clusters_of(index == k) for k in range(len(panel.cohorts))]
    chosen: dict[tuple[int, int], tuple[Any, bool]] = {}
    together: dict[tuple[int, bytes], list[int]] = {}
    changes: dict[int, Floats] = {}
    for k in rows.tolist():
        # children seen once may be of other clusters in each period
        if sizes[cells.cohort[k]] >= FEW and (panel.balanced or result.panel.cross_sections):
            continue
        change = panel.outcomes[:, cells.period[k]] - panel.outcomes[:, cells.base[k]]
        seen, mine = np.isfinite(change), index == cells.cohort[k]
        if panel.clusters_of(seen & mine) < FEW:
            changes[k] = change
            inside = seen & (mine | cells.controls[k][index])
            together.setdefault((int(cells.cohort[k]), inside.tobytes()), []).append(k)
    found: dict[int, float] = {}
    for (cohort, inside_bytes), effects in together.items():
        used = np.flatnonzero(np.frombuffer(inside_bytes, dtype=bool))
        mine = index[used] == cohort
        values = np.stack([changes[k][used] for k in effects], axis=1)
        sums, masses, size = _by_cluster(values, panel.weights[used], panel.clusters[used], mine)
        if not 0 < size < len(masses):
            found |= dict.fromkeys(effects, math.nan)
            continue
        key = (size, len(masses))
        if key not in chosen:
            chosen[key] = choices(*key, seed_of(panel))
        picks, exact = chosen[key]
        found |= dict(zip(effects, shares(sums, masses, picks, exact=exact), strict=True))
    return [found.get(k) for k in rows.tolist()]


def _by_cluster(values: Floats, weights: Floats, clusters: Ints, mine: Flags) -> tuple[Floats, Floats, int]:
    """Sums and weights of each cluster, those of the cohort first, and how many they are; 0 where a cluster is mixed."""
    order = np.lexsort((clusters, ~mine))
    heads = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    ours = mine[order][heads]
    if len(np.unique(clusters)) < len(heads):
        ours[:] = False
    sums = np.add.reduceat((weights[:, None] * values)[order], heads, axis=0)
    return sums, np.add.reduceat(weights[order], heads), int(ours.sum())


def choices(size: int, pool: int, source: np.random.Generator) -> tuple[Any, bool]:
    """Which clusters stand in for the cohort's, and whether these are all choices.

    Parameters
    ----------
    size, pool : int
        Clusters of the cohort, and with those that it is compared with.
    source : Generator
        Random numbers, where there are too many choices to list.
    """
    if math.comb(pool, size) <= LISTED:
        return np.array(list(combinations(range(pool), size)), dtype=np.intp), True
    picks = np.sort(source.integers(0, pool, (CELL_DRAWS, size)), axis=1)
    while (twice := (np.diff(picks, axis=1) == 0).any(axis=1)).any():
        picks[twice] = np.sort(source.integers(0, pool, (int(twice.sum()), size)), axis=1)
    return picks, False


def shares(sums: Floats, masses: Floats, picks: Any, *, exact: bool) -> list[float]:
    """Share of the choices as far apart as the actual one, the first clusters of all, for each column of sums.

    Parameters
    ----------
    sums : ndarray, shape (clusters, m)
        Weighted sums by cluster, those of the cohort first.
    masses : ndarray, shape (clusters,)
        Their weights.
    picks, exact
        What :func:`choices` gives.
    """
    size = picks.shape[1]
    total, weight = sums.sum(axis=0), float(masses.sum())

    def gap(chosen: Any) -> Floats:
        """Distance between the means of the clusters chosen and of the rest."""
        first = sum(sums[chosen[:, j]] for j in range(size))
        mass = masses[chosen].sum(axis=1)[:, None]
        return np.asarray(np.abs(first / mass - (total - first) / (weight - mass)))

    actual = gap(np.arange(size)[None, :])[0]
    far = (gap(picks) >= actual * (1.0 - 1e-9)).sum(axis=0)
    shares = far / len(picks) if exact else (1.0 + far) / (1.0 + len(picks))
    return [float(share) for share in shares]
