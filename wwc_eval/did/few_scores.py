"""What each unit would add to the effect under each adoption time: permutations without refits.

The effect is ``sum_i a_i' y_i`` with ``a_i`` decided by who adopts when. Where all cells are present with equal weights
``a`` depends on the unit's own adoption time alone, however treatment is reassigned, and an effect is a sum of numbers
looked up. Otherwise the coefficient of two-way fixed effects still needs one small product for each reassignment, since
the outcome with its effects taken out never changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.absorb import Absorber
from wwc_eval.did.sample import Sample
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats

__all__ = [
    "MOST_COHORTS",
    "FixedScores",
    "Reassigned",
    "TwoWayScores",
    "blocks_of",
    "imputation_weights",
    "unit_codes",
]

Codes = NDArray[np.int8]
MOST_COHORTS = 127
"""Cohorts that codes of one byte tell apart."""
CELLS = 2_000_000
"""Cells of reassignments times units held at once."""


@dataclass(frozen=True, kw_only=True)
class Reassigned:
    """Effects under reassignments of treatment.

    Parameters
    ----------
    estimates : ndarray, shape (m,)
        Effect on the outcome.
    moves : ndarray, shape (m,)
        Effect on the treatment received, which a constant effect is multiplied with.
    squares : ndarray, shape (m, 3)
        Sum of squared cluster scores as a polynomial in a constant effect that is taken out: the squared error (CR0).
    """

    estimates: Floats
    moves: Floats
    squares: Floats | None


@dataclass(frozen=True, kw_only=True)
class FixedScores:
    """Every cell present, equal weights, cohort sizes that do not change.

    Parameters
    ----------
    weights : ndarray, shape (C + 1, T)
        ``a`` by code: 0 for never, then the cohorts.
    outcome, received : ndarray, shape (blocks, C + 1)
        ``a'`` times the outcome (and the treatment received), unit and period effects taken out.
    own : ndarray, shape (C + 1,)
        ``a'`` times the treatment of the code, effects taken out.
    """

    weights: Floats
    outcome: Floats
    received: Floats
    own: Floats

    def at(self, codes: Codes, *, studentised: bool = False) -> Reassigned:
        """Effects under reassignments (m, blocks)."""
        m = len(codes)
        estimates, moves = np.full(m, self.outcome[:, 0].sum()), np.full(m, self.received[:, 0].sum())
        squares = np.zeros((m, 3)) if studentised else None
        step = max(1, CELLS // codes.shape[1])
        for start in range(0, m, step):
            part = slice(start, start + step)
            here = codes[part]
            row, block = np.nonzero(here)
            # all rows have the same number of treated blocks
            shape = (len(here), len(row) // len(here))
            code = here[row, block]
            for found, table in ((estimates, self.outcome), (moves, self.received)):
                found[part] += (table[block, code] - table[block, 0]).reshape(shape).sum(axis=1)
            if squares is not None:
                rows = np.arange(here.shape[1])
                own = self.own[here]
                first = self.outcome[rows, here] - estimates[part, None] * own
                second = self.received[rows, here] - moves[part, None] * own
                squares[part] = _squares(first, second)
        return Reassigned(estimates=estimates, moves=moves, squares=squares)


@dataclass(frozen=True, kw_only=True)
class TwoWayScores:
    """The coefficient of two-way fixed effects, whatever cells are missing and whatever the weights.

    Parameters
    ----------
    blocks : ndarray of int, shape (n,)
        Block of each unit: blocks are reassigned whole.
    cell_weights : ndarray, shape (n, T)
        Weight of each cell.
    outcome, received : ndarray, shape (n, T)
        Outcome and treatment received, effects taken out.
    within : ndarray, shape (n, C + 1, T)
        Treatment of each code, unit means taken out, times the weights.
    norms : ndarray, shape (n, C + 1)
        Its sum of squares.
    inverse : ndarray, shape (T, T)
        Pseudo-inverse of the period system.
    """

    blocks: NDArray[np.intp]
    cell_weights: Floats
    outcome: Floats
    received: Floats
    within: Floats
    norms: Floats
    inverse: Floats

    def at(self, codes: Codes, *, studentised: bool = False) -> Reassigned:
        """Effects under reassignments (m, blocks)."""
        step = max(1, CELLS // len(self.blocks))
        parts = [self._part(codes[k : k + step][:, self.blocks], studentised) for k in range(0, len(codes), step)]
        return Reassigned(
            estimates=np.concatenate([part.estimates for part in parts]),
            moves=np.concatenate([part.moves for part in parts]),
            squares=np.concatenate([part.squares for part in parts if part.squares is not None])
            if studentised
            else None,
        )

    def _part(self, codes: Codes, studentised: bool) -> Reassigned:
        m, n = codes.shape
        tops = np.einsum("nct,snt->snc", self.within, np.stack([self.outcome, self.received]))
        top, norm, pull = np.zeros((2, m)), np.zeros(m), np.zeros((m, self.inverse.shape[0]))
        for code in range(1, self.within.shape[1]):
            chosen = (codes == code).astype(float)
            top += tops[:, :, code] @ chosen.T
            norm += chosen @ self.norms[:, code]
            pull += chosen @ self.within[:, code]
        periods = pull @ self.inverse
        size = norm - (periods * pull).sum(axis=1)
        # a reassignment under which the effect is not identified has none
        size = np.where(size > 1e-9 * np.maximum(norm, np.finfo(float).tiny), size, np.nan)
        found = top / size
        if not studentised:
            return Reassigned(estimates=found[0], moves=found[1], squares=None)
        rows = np.arange(n)
        totals = self.cell_weights.sum(axis=1)
        own = self.norms[rows, codes] + periods**2 @ self.cell_weights.T
        own -= (periods @ self.cell_weights.T) ** 2 / np.where(totals > 0, totals, 1.0)
        for code in range(1, self.within.shape[1]):
            own -= 2.0 * np.where(codes == code, periods @ self.within[:, code].T, 0.0)
        scores = []
        for k, values in enumerate((self.outcome, self.received)):
            score = tops[k][rows, codes] - periods @ (self.cell_weights * values).T - found[k][:, None] * own
            scores.append(_summed(score, self.blocks) / size[:, None])
        return Reassigned(estimates=found[0], moves=found[1], squares=_squares(*scores))


def _squares(first: Floats, second: Floats) -> Floats:
    return np.column_stack([(first**2).sum(axis=1), -2.0 * (first * second).sum(axis=1), (second**2).sum(axis=1)])


def _summed(values: Floats, blocks: NDArray[np.intp]) -> Floats:
    """Sums over the units of each block, shape (m, blocks)."""
    count = int(blocks.max()) + 1
    if count == len(blocks):
        return values
    indicator = np.zeros((len(blocks), count))
    indicator[np.arange(len(blocks)), blocks] = 1.0
    return values @ indicator


def blocks_of(sample: Sample) -> tuple[NDArray[np.intp], Codes, NDArray[np.int64]]:
    """What is reassigned whole: block of each unit, code of each block, and the positions that codes stand for.

    Codes are 0 for never treated, then the cohorts. A block whose units adopted at different times has the last of their
    codes: :attr:`Statistic.mixed`.
    """
    dates = sample.cohorts
    codes = unit_codes(sample)
    blocks = np.unique(sample.clusters, return_inverse=True)[1].reshape(-1)
    last = np.zeros(int(blocks.max()) + 1, dtype=np.int8)
    np.maximum.at(last, blocks, codes)
    return blocks, last, dates


def unit_codes(sample: Sample) -> Codes:
    """Code of each unit: 0 for never treated, then the cohorts.

    Raises
    ------
    DesignError
        If there are more cohorts than a byte can tell apart.
    """
    if len(sample.cohorts) > MOST_COHORTS:
        raise DesignError(
            f"{len(sample.cohorts)} dates of adoption, must be at most {MOST_COHORTS} to reassign them",
            fix="take longer periods, such as quarters for days",
        )
    table = np.zeros(sample.n_periods + 1, dtype=np.int8)
    table[sample.cohorts] = np.arange(1, len(sample.cohorts) + 1)
    return table[sample.adopted]


def imputation_weights(sample: Sample) -> Floats:
    """Weights by code (C + 1, T) of the imputation effect, the mean over treated cells, on a balanced panel.

    The effect is ``mean over treated cells of y - unit - period``, with the effects fitted on untreated cells
    (Borusyak, Jaravel and Spiess 2024, doi:10.1093/restud/rdae007).
    """
    counts = np.array(
        [(sample.adopted == date).sum() for date in (sample.n_periods, *sample.cohorts)], dtype=float
    )
    after = np.arange(sample.n_periods) >= np.r_[sample.n_periods, sample.cohorts][:, None]
    treated = counts[:, None] * after
    untreated = counts[:, None] * ~after
    total = treated.sum()
    absorber = Absorber.of(untreated)
    unit, period = absorber.solve(treated.sum(axis=1)[:, None], treated.sum(axis=0)[None, :, None])
    shared = unit[:, 0][:, None] + period[0, :, 0]
    return np.asarray((after - ~after * shared) / total)
