"""Effects by cohort and period without covariates, and the influence of every unit on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cells import split
from wwc_eval.did.cs_cells import GroupTimes
from wwc_eval.did.cs_influence import Compressed, Contrasts, Dense, Influence
from wwc_eval.did.panel import Panel

__all__ = ["cohort_index", "effects"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def effects(panel: Panel, cells: GroupTimes) -> tuple[Floats, Influence]:
    """Effects of shape (K,), missing where no unit is seen in both periods, and their influence.

    Formula: ATT(g, t) = E[Y_t - Y_b | G = g] - E[Y_t - Y_b | controls], means weighted, over the units seen in
    both periods; for repeated cross-sections the four means are of different rows.
    """
    if panel.cross_sections:
        return _cross_sections(panel, cells)
    if not panel.balanced:
        return _pairwise(panel, cells)
    estimates, influence = _balanced(panel, cells)
    if not panel.clustered:
        return estimates, influence
    every = Contrasts(cells=np.eye(len(cells)), cohorts=np.zeros((len(cells), len(cells.cohorts))))
    return estimates, Dense(
        cells=influence.by_unit(every),
        weights=panel.weights,
        cohort=cohort_index(panel),
        n_cohorts=len(cells.cohorts),
        clusters=panel.clusters,
    )


def cohort_index(panel: Panel) -> Ints:
    """Index of each unit's cohort among the cohorts of the panel, shape (n,)."""
    return np.searchsorted(panel.cohorts, panel.adopted).astype(np.int64)


def _balanced(panel: Panel, cells: GroupTimes) -> tuple[Floats, Compressed]:
    """Effects as contrasts of the cohorts' means."""
    cohort = cohort_index(panel)
    n_cohorts, length = len(cells.cohorts), panel.n_periods
    order = np.argsort(cohort, kind="stable")
    starts = np.searchsorted(cohort[order], np.arange(n_cohorts + 1))
    weights = panel.weights[order]
    # changes since the first period, before they are averaged: levels would cost an effect near zero its last digits
    values = panel.outcomes[order] - panel.outcomes[order, :1]
    totals = np.add.reduceat(weights, starts[:-1])
    plain = bool((weights == 1.0).all())
    sums = _exact_sums(values if plain else values * weights[:, None], starts[:-1])
    means = sums.sum(axis=0) / totals[:, None]
    features = np.empty((len(order), length + 1))
    np.subtract(values, np.repeat(means, np.diff(starts), axis=0), out=features[:, :-1])
    if not plain:
        features[:, :-1] *= weights[:, None]
    features[:, -1] = weights
    loadings, estimates = _contrast_means(cells, sums, totals)
    return estimates, Compressed(order=order, starts=starts, deviations=features, loadings=loadings)


def _exact_sums(values: Floats, starts: Ints) -> Floats:
    """Sums of blocks of rows as a coarse part without any rounding and a fine part, shape (2, C, T)."""
    return np.stack([np.add.reduceat(part, starts, axis=0) for part in split(values)])


def _contrast_means(cells: GroupTimes, sums: Floats, totals: Floats) -> tuple[Floats, Floats]:
    """Loadings of the effects on deviations and weights, and the effects."""
    k = np.arange(len(cells))
    moves = (sums[:, :, cells.period] - sums[:, :, cells.base]).sum(axis=0)  # cohorts by effects
    changes = moves / totals[:, None]
    pooled = np.where(cells.controls, totals, 0.0).sum(axis=1)
    comparison = np.einsum("kc,ck->k", cells.controls.astype(np.float64), moves) / pooled
    estimates = changes[cells.cohort, k] - comparison
    loadings = np.zeros((len(cells), len(totals), sums.shape[2] + 1))
    own = 1.0 / totals[cells.cohort]
    loadings[k, cells.cohort, cells.period] = own
    loadings[k, cells.cohort, cells.base] = -own
    effect, other = np.nonzero(cells.controls)
    each = 1.0 / pooled[effect]
    loadings[effect, other, cells.period[effect]] -= each
    loadings[effect, other, cells.base[effect]] += each
    # the pooled mean moves with the cohorts' shares in it
    loadings[effect, other, -1] = -(changes[other, effect] - comparison[effect]) * each
    return loadings, estimates


def _pairwise(panel: Panel, cells: GroupTimes) -> tuple[Floats, Dense]:
    """Effects from the units seen in both periods of each: pairwise-complete long differences."""
    cohort = cohort_index(panel)
    estimates = np.full(len(cells), np.nan)
    influence = np.zeros((panel.n_units, len(cells)))
    weights = panel.weights
    for k in range(len(cells)):
        change = panel.outcomes[:, cells.period[k]] - panel.outcomes[:, cells.base[k]]
        seen = ~np.isnan(change)
        parts = []
        for members, sign in ((cohort == cells.cohort[k], 1.0), (cells.controls[k][cohort], -1.0)):
            used = np.flatnonzero(members & seen)
            total = weights[used].sum()
            if not used.size:
                break
            mean = (weights[used] * change[used]).sum() / total
            influence[used, k] = sign * weights[used] * (change[used] - mean) / total
            parts.append(mean)
        if len(parts) == 2:
            estimates[k] = parts[0] - parts[1]
        else:
            influence[:, k] = 0.0
    return estimates, Dense(
        cells=influence,
        weights=weights,
        cohort=cohort,
        n_cohorts=len(cells.cohorts),
        clusters=panel.clusters if panel.clustered else None,
    )


def _cross_sections(panel: Panel, cells: GroupTimes) -> tuple[Floats, Dense]:
    """Effects from the means of different rows, with errors by cluster, or by row through the cells' moments."""
    cohort = cohort_index(panel)
    moments = panel.cells
    totals, means = moments.weights, np.nan_to_num(panel.outcomes)
    clustered = panel.clustered
    rows = panel.n_units if clustered else 2 * totals.size
    estimates = np.full(len(cells), np.nan)
    influence = np.zeros((rows, len(cells)))
    spread, level = (None, None) if clustered else _roots(moments)
    for k in range(len(cells)):
        value = 0.0
        load = np.zeros(totals.shape)
        shift = np.zeros(totals.shape)
        for members, sign in ((cohort == cells.cohort[k], 1.0), (cells.controls[k][cohort], -1.0)):
            # from the level of the base period: as a level, a mean would cost an effect near zero its last digits
            level_of = _mean(totals[members, cells.base[k]], means[members, cells.base[k]])
            for period, side in ((cells.period[k], sign), (cells.base[k], -sign)):
                total = totals[members, period].sum()
                moved = means[members, period] - level_of + moments.rest[members, period]
                mean = _mean(totals[members, period], moved)
                value += side * mean
                if total > 0:
                    load[members, period] = side / total
                    shift[members, period] = side * (moved - mean) / total
        estimates[k] = value
        if np.isnan(value):
            continue
        if clustered:
            influence[:, k] = (totals * shift).sum(axis=1)
        else:
            assert spread is not None
            assert level is not None
            # each cell's rows through the root of their second moments
            influence[:, k] = (load[..., None] * spread + shift[..., None] * level).reshape(-1)
    if clustered:
        return estimates, Dense(
            cells=influence,
            weights=panel.weights,
            cohort=cohort,
            n_cohorts=len(cells.cohorts),
            clusters=panel.clusters,
        )
    assert level is not None
    return estimates, Dense(
        cells=influence,
        weights=level.reshape(-1),
        cohort=np.repeat(cohort, 2 * totals.shape[1]),
        n_cohorts=len(cells.cohorts),
        many=True,
    )


def _mean(weights: Floats, values: Floats) -> float:
    """Weighted mean; missing without weight."""
    total = weights.sum()
    return float((weights * values).sum() / total) if total > 0 else np.nan


def _roots(moments: object) -> tuple[Floats, Floats]:
    """Two rows a cell with the second moments of ``w (y - mean)`` and ``w`` over its rows, each (n, T, 2)."""
    squares, cross, level = moments.squares, moments.cross, moments.squared_weights  # type: ignore[attr-defined]
    first = np.sqrt(level)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(first > 0, cross / first, 0.0)
    rest = np.sqrt(np.maximum(squares - slope**2, 0.0))
    spread = np.stack([slope, rest], axis=-1)
    return spread, np.stack([first, np.zeros_like(first)], axis=-1)
