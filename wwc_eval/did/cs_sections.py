"""Effects given covariates from repeated cross-sections: rows that are other children in each period.

The three estimators of Sant'Anna and Zhao (2020) as R's did uses DRDID's: ``drdid_rc`` (locally efficient),
``std_ipw_did_rc`` and ``reg_did_rc``. Each effect has four sides: the cohort and its comparison, in the period and in
its base. A row's influence is ``weight (a + b (y - mean of its kind))`` with a and b those of its kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_cells import GroupTimes
from wwc_eval.did.cs_effects import cohort_index
from wwc_eval.did.cs_influence import Dense
from wwc_eval.did.cs_kinds import Kinds, kinds_of
from wwc_eval.did.cs_sides import Sides, UnfitError, fitted
from wwc_eval.did.panel import Panel

__all__ = ["section_effects"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
UNSEEN = "no row of the cohort, or none of its comparison, with its covariates in one of the two periods"


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Influence of the kinds of one cohort and period on one effect."""

    effect: int
    level: Floats
    slope: Floats


def section_effects(
    panel: Panel, cells: GroupTimes, names: tuple[str, ...], method: str
) -> tuple[Floats, Dense, dict[str, int], int]:
    """Effects of shape (K,), their influence, what could not be estimated for which reason, and rows left out.

    Parameters
    ----------
    panel : Panel
        Repeated cross-sections.
    cells : GroupTimes
        Effects by cohort and period.
    names : tuple of str
        Covariates of the rows.
    method : {"dr", "ipw", "or"}
        How they are used.
    """
    kinds = kinds_of(panel, names)
    estimates = np.full(len(cells), np.nan)
    lost: dict[str, int] = {}
    pieces: dict[int, list[_Piece]] = {}
    for effect in range(len(cells)):
        places, sides = _gathered(kinds, cells, effect)
        try:
            if sides is None:
                raise UnfitError(UNSEEN)
            found = fitted(sides, method)
        except UnfitError as unfit:
            lost[str(unfit)] = lost.get(str(unfit), 0) + 1
            continue
        estimates[effect] = found.estimate
        start = 0
        for place in places:
            part = slice(start, start + kinds.slice_of(place).stop - kinds.slice_of(place).start)
            piece = _Piece(effect=effect, level=found.level[part], slope=found.slope[part])
            pieces.setdefault(place, []).append(piece)
            start = part.stop
    whole = _by_unit(panel, cells, kinds, pieces) if panel.clustered else _by_row(cells, kinds, pieces)
    return estimates, whole, lost, kinds.unused


def _gathered(kinds: Kinds, cells: GroupTimes, effect: int) -> tuple[list[int], Sides | None]:
    """Cohorts and periods behind an effect, and their kinds; None where a side is empty."""
    length = len(cells.times)
    cohorts = (np.array([cells.cohort[effect]]), np.flatnonzero(cells.controls[effect]))
    periods = (int(cells.period[effect]), int(cells.base[effect]))
    places, indices, sizes = [], [], []
    for members in cohorts:
        for period in periods:
            own = [int(c) * length + period for c in members]
            found = np.concatenate([np.arange(kinds.starts[p], kinds.starts[p + 1]) for p in own])
            places += own
            indices.append(found)
            sizes.append(len(found))
    if min(sizes) == 0:
        return places, None
    index = np.concatenate(indices)
    return places, Sides(
        numbers=kinds.numbers[index],
        levels=kinds.levels[index],
        n=kinds.n[index],
        weights=kinds.weights[index],
        outcomes=kinds.outcomes[index],
        edges=np.concatenate([[0], np.cumsum(sizes)]),
    )


def _by_unit(panel: Panel, cells: GroupTimes, kinds: Kinds, pieces: dict[int, list[_Piece]]) -> Dense:
    """Influence summed over the rows of each unit, for errors by cluster."""
    influence = np.zeros((panel.n_units, len(cells)))
    parts = kinds.parts
    for place, found in sorted(pieces.items()):
        own = slice(int(parts.starts[place]), int(parts.starts[place + 1]))
        kind, unit = parts.kind[own] - kinds.starts[place], parts.unit[own]
        for piece in found:
            values = parts.weights[own] * piece.level[kind] + parts.deviations[own] * piece.slope[kind]
            influence[:, piece.effect] += np.bincount(unit, values, minlength=panel.n_units)
    return Dense(
        cells=influence,
        weights=panel.weights,
        cohort=cohort_index(panel),
        n_cohorts=len(cells.cohorts),
        clusters=panel.clusters,
    )


def _by_row(cells: GroupTimes, kinds: Kinds, pieces: dict[int, list[_Piece]]) -> Dense:
    """Influence of the rows of each cohort and period through the root of its second moments."""
    length, n_cohorts = len(cells.times), len(cells.cohorts)
    blocks, cohorts = [], []
    for place in range(len(kinds.starts) - 1):
        own = kinds.slice_of(place)
        if own.stop == own.start:
            continue
        found = pieces.get(place, [])
        root = _root(kinds, own, found)
        wide = np.zeros((len(root), len(cells) + 1))
        wide[:, [*(piece.effect for piece in found), len(cells)]] = root
        blocks.append(wide)
        cohorts.append(np.full(len(root), place // length))
    # rows without their covariates still count in the cohorts' shares
    for cohort in np.flatnonzero(kinds.unused_weights > 0).tolist():
        alone = np.zeros((1, len(cells) + 1))
        alone[0, -1] = np.sqrt(kinds.unused_weights[cohort])
        blocks.append(alone)
        cohorts.append(np.array([cohort]))
    rows = np.vstack([np.empty((0, len(cells) + 1)), *blocks])
    return Dense(
        cells=rows[:, :-1],
        weights=rows[:, -1],
        cohort=np.concatenate([np.empty(0, dtype=np.int64), *cohorts]).astype(np.int64),
        n_cohorts=n_cohorts,
        many=True,
    )


def _root(kinds: Kinds, own: slice, found: list[_Piece]) -> Floats:
    """Rows with the second moments of the influence of all rows of a cohort and period on its effects and its share.

    Two rows a kind (one where it is one row), fewer by the triangular factor where they are more than their columns.
    """
    first = np.sqrt(kinds.squared_weights[own])
    slope = kinds.cross[own] / first
    rest = np.sqrt(np.maximum(kinds.squares[own] - slope**2, 0.0))
    several = kinds.n[own] > 1
    upper = np.empty((len(first), len(found) + 1))
    lower = np.zeros((int(several.sum()), len(found) + 1))
    for column, piece in enumerate(found):
        upper[:, column] = piece.level * first + piece.slope * slope
        lower[:, column] = piece.slope[several] * rest[several]
    upper[:, -1] = first
    rows = np.vstack([upper, lower])
    return rows if len(rows) <= rows.shape[1] else np.asarray(np.linalg.qr(rows, mode="r"))
