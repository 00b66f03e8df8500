"""Effects on who is seen, had other areas been treated: the effect itself reassigned, for many covariates at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_cells import GroupTimes
from wwc_eval.did.few_reference import Reference, lottery, permutations
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.guard import judged
from wwc_eval.did.panel import Panel
from wwc_eval.errors import WwcError

__all__ = ["Lottery", "Reassigned"]

Floats = NDArray[np.float64]
BLOCK = 4_000_000
"""Numbers held at once."""


@dataclass(frozen=True, kw_only=True)
class Reassigned:
    """Overall effects under every reassignment of treatment.

    Parameters
    ----------
    effects : ndarray, shape (m, q)
        Effects on q outcomes.
    moves : ndarray, shape (m,)
        The effect on being treated: what a constant effect would add to each.
    observed : ndarray, shape (q,)
        The actual effects.
    reference : Reference
        The reassignments.
    """

    effects: Floats
    moves: Floats
    observed: Floats
    reference: Reference


@dataclass(frozen=True, kw_only=True)
class Lottery:
    """Who might have been treated when: clusters permuted, or the lottery that decided.

    Parameters
    ----------
    statistic : Statistic
        Clusters and when they adopted.
    cells : GroupTimes
        Effects by cohort and period that the overall effect is the mean of.
    reference : Reference
        The reassignments.
    """

    statistic: Statistic
    cells: GroupTimes
    reference: Reference

    @classmethod
    def of(
        cls, panel: Panel, cells: GroupTimes, draws: int, *, seed: int, allocation: Any = None
    ) -> Lottery | None:
        """The reassignments of a panel's clusters; None where treatment cannot be permuted over them.

        Parameters
        ----------
        panel : Panel
            Children seen once, or areas.
        cells : GroupTimes
            Its effects.
        draws, seed : int
            Reassignments where there are too many to list, and their seed.
        allocation : Allocation, optional
            The lottery of the roll-out.

        Raises
        ------
        DesignError
            If the lottery is not that of the panel's clusters.
        """
        areas = judged(panel)
        if areas.cross_sections:
            return None
        try:
            statistic = Statistic.of(areas, "two_way_fixed_effects")
            reference = None if allocation is not None else permutations(statistic, draws, seed)
        except WwcError:
            return None
        if reference is None:
            reference = lottery(statistic, allocation, draws, seed)
        return cls(statistic=statistic, cells=cells, reference=reference)

    def reassign(self, outcomes: Floats, weights: Floats) -> Reassigned:
        """Overall effects of Callaway and Sant'Anna under every reassignment.

        Formula: with the sums of weights and of weighted outcomes of each cohort and period, ``ATT(g, t)`` is a
        difference of four means, and the overall effect their mean, weighed by the cohorts' weights.

        Parameters
        ----------
        outcomes : ndarray, shape (q, n, T)
            Means by unit and period; anything where the weight is 0.
        weights : ndarray, shape (n, T)
            Weight of each.
        """
        rows = self.statistic.sample.rows
        treated = (
            np.arange(weights.shape[1]) >= self._positions[self.statistic.codes[self.statistic.blocks]][:, None]
        )
        stack = np.concatenate([outcomes[:, rows], treated[None].astype(np.float64)])
        w = weights[rows]
        products = np.concatenate([w[None], np.where(w > 0, stack, 0.0) * w])
        actual = self._under(self.statistic.codes[None, :], products)[0]
        step = max(1, BLOCK // (len(w) + products.shape[0] * products.shape[2] * len(self._positions)))
        found = np.concatenate(
            [
                self._under(self.reference.codes[start : start + step], products)
                for start in range(0, len(self.reference.codes), step)
            ]
        )
        return Reassigned(
            effects=found[:, :-1], moves=found[:, -1], observed=actual[:-1], reference=self.reference
        )

    @property
    def _positions(self) -> NDArray[np.int64]:
        """Position of the first treated period of each code; the number of periods for never."""
        sample = self.statistic.sample
        last = sample.panel.n_periods
        return np.concatenate([[last], sample.columns[self.statistic.dates]]).astype(np.int64)

    def _under(self, codes: NDArray[np.int8], products: Floats) -> Floats:
        """Overall effects for some assignments, shape (m, q)."""
        whole = codes[:, self.statistic.blocks]
        q, n, length = products.shape
        flat = products.transpose(1, 0, 2).reshape(n, -1)
        sums = {
            int(position): ((whole == code).astype(np.float64) @ flat).reshape(-1, q, length)
            for code, position in enumerate(self._positions)
        }
        cells = self.cells
        total, mass = np.zeros((len(codes), q - 1)), np.zeros(len(codes))
        for k in np.flatnonzero(cells.post).tolist():
            own = sums[int(cells.cohorts[cells.cohort[k]])]
            others = [sums[int(one)] for one in cells.cohorts[cells.controls[k]] if int(one) in sums]
            if not others:
                continue
            value = _change(own, cells.period[k], cells.base[k]) - _change(
                np.sum(others, axis=0), cells.period[k], cells.base[k]
            )
            weight = np.where(np.isfinite(value[:, 0]), own[:, 0].sum(axis=1), 0.0)
            total += weight[:, None] * np.where(weight[:, None] > 0, value, 0.0)
            mass += weight
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / mass[:, None])


def _change(sums: Floats, period: int, base: int) -> Floats:
    """Change of means from a base period to another, shape (m, q - 1); missing where one has no weight."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums[:, 1:] / sums[:, :1]
    return np.asarray(means[:, :, period] - means[:, :, base])
