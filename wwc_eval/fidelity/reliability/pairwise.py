"""Light's kappa: the average of Cohen's kappa over the pairs of raters that rated subjects together.

Source: Light (1971), doi:10.1037/h0031643. Pairs that rated nothing together, or whose kappa is 0 / 0, are left out.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wwc_eval.fidelity.reliability.chance import CONSTANT, NO_PAIRS, ONE_RATER
from wwc_eval.fidelity.reliability.parts import Parts, share
from wwc_eval.fidelity.reliability.reading import Floats, Ints, Ratings

__all__ = ["light_kappa"]


def light_kappa(ratings: Ratings, weights: Floats) -> Parts:
    """Average of the kappas of all pairs of raters."""
    codes, q, n = ratings.codes, ratings.q, ratings.n
    pairs = list(combinations(range(codes.shape[1]), 2))

    def kappas(tables: Floats) -> Floats:
        total = tables.sum(axis=(-2, -1))
        rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
        pa = share((tables * weights).sum(axis=(-2, -1)), total)
        pe = share(np.einsum("...k,...k->...", rows @ weights, columns), total**2)
        return share(pa - pe, 1.0 - pe)

    def of_sums(sums: Floats) -> Floats:
        found = kappas(sums.reshape(*sums.shape[:-1], len(pairs), q, q))
        alive = np.isfinite(found)
        return share(np.where(alive, found, 0.0).sum(axis=-1), alive.sum(axis=-1).astype(float))

    def cells() -> list[tuple[Ints, NDArray[np.bool_]]]:
        """Cell of each subject in the table of each pair, and whether it has one."""
        return [(codes[:, g] * q + codes[:, h], (codes[:, g] >= 0) & (codes[:, h] >= 0)) for g, h in pairs]

    def sums() -> Floats:
        found = np.zeros((n, len(pairs) * q * q))
        for k, (cell, both) in enumerate(cells()):
            found[np.flatnonzero(both), k * q * q + cell[both]] = 1.0
        return found

    influence, values = np.zeros(n), []
    for cell, both in cells():
        table = np.bincount(cell[both], minlength=q * q).reshape(q, q).astype(float)
        value = float(kappas(table)) if both.any() else np.nan
        if np.isfinite(value):
            values.append(value)
            influence += _influence(table, weights, value, n).ravel()[np.where(both, cell, 0)] * both
    reason = None
    if not values:
        reason = ONE_RATER if len(ratings.raters) < 2 else NO_PAIRS if not (ratings.r > 1).any() else CONSTANT
    empty = np.full(n, np.nan)
    found = empty if reason else influence / len(values)
    return Parts(
        value=float(np.mean(values)) if values else np.nan,
        observed=np.nan,
        expected=np.nan,
        influence=found,
        published=found,
        sums=sums,
        of_sums=of_sums,
        reason=reason,
        m=n,
    )


def _influence(table: Floats, weights: Floats, value: float, n: int) -> Floats:
    """Influence (q, q) of a subject in each cell on one kappa, times the number of all subjects."""
    p = table / table.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    pa, pe = float((p * weights).sum()), float(rows @ weights @ columns)
    chance = (weights @ columns)[:, None] + (weights @ rows)[None, :] - 2.0 * pe
    return np.asarray((weights - pa - (1.0 - value) * chance) / (1.0 - pe) * (n / table.sum()))
