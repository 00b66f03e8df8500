"""Operating characteristics: what a criterion says, and how often, at every true share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, check_number
from wwc_eval.pilot.decision import TIERS
from wwc_eval.pilot.exact import beta_binomial, sum_of_clusters
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.pilot.criteria import ProgressionCriterion

__all__ = ["OperatingCharacteristics", "operating_characteristics"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OperatingCharacteristics(Rendered):
    """Chance of each tier at true shares.

    Parameters
    ----------
    criterion : ProgressionCriterion
        The criterion, with its rule.
    n : int
        Participants.
    rates : ndarray, shape (k,)
        True shares.
    chances : ndarray, shape (k, 3)
        Chance of red, amber and green at each.
    rejects : ndarray, shape (k,)
        Chance that the one-sided test at the criterion's alpha rejects red.
    """

    criterion: ProgressionCriterion
    n: int
    rates: NDArray[np.float64]
    chances: NDArray[np.float64]
    rejects: NDArray[np.float64]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a true share."""
        return [
            {"rate": float(rate), **dict(zip(TIERS, map(float, row), strict=True)), "rejects_red": float(power)}
            for rate, row, power in zip(self.rates, self.chances, self.rejects, strict=True)
        ]

    def _grid(self) -> Grid:
        columns = [
            Column(name="rate", label="true share", kind="percent", digits=1),
            *(Column(name=tier, label=f"chance of {tier}", kind="percent", digits=1) for tier in TIERS),
            Column(name="rejects_red", label="test rejects red", kind="percent", digits=1),
        ]
        return Table(self.to_dicts(), columns)._grid()

    def _title(self) -> str:
        return f"{self.criterion.name}: what a pilot of {self.n:,} says"

    def _notes(self) -> tuple[str, ...]:
        return (self.criterion.words(),)

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Chance of each tier over the true share."""
        from wwc_eval.pilot.charts import plot_operating

        return plot_operating(self, ax)


def operating_characteristics(
    criterion: ProgressionCriterion, n: int, rates: Sequence[float] | None = None
) -> OperatingCharacteristics:
    """Chance of each tier for a pilot of ``n`` participants.

    Parameters
    ----------
    criterion : ProgressionCriterion
        Limits, rule and clusters. With clusters outcomes are beta-binomial, and the figures that decide (posterior, test) are
        those of ``n`` divided by the planned design effect.
    n : int
        Participants; a multiple of the cluster size.
    rates : sequence of float, optional
        True shares; the two limits and steps of 5 percentage points where missing.

    Examples
    --------
    >>> from wwc_eval.pilot import ProgressionCriterion
    >>> found = ProgressionCriterion("consent", red=0.2, green=0.35).operating_characteristics(83, [0.2, 0.35])
    >>> round(found.to_dicts()[1]["rejects_red"], 3)
    0.901
    """
    size = int(check_number("n", n, at_least=2))
    each = criterion.cluster_size
    if size % each:
        raise DesignError(
            f"n == {size}, must be a multiple of cluster_size == {each}", fix=f"use {size - size % each}"
        )
    steps = np.arange(0.05, 0.96, 0.05) if rates is None else np.asarray(rates, dtype=float)
    if rates is None:
        steps = np.unique(np.round(np.r_[steps, criterion.red, criterion.green], 10))
    if steps.ndim != 1 or not ((steps >= 0) & (steps <= 1)).all():
        raise DesignError("rates must lie between 0 and 1")
    deff = 1.0 + (each - 1.0) * criterion.icc
    tiers, tests = [], []
    for x in range(size + 1):
        judged = criterion.judged(x / deff, size / deff)
        tiers.append(judged[0])
        tests.append(judged[1] <= criterion.alpha)
    reached = np.array([[tier == name for name in TIERS] for tier in tiers], dtype=float)
    chances, rejects = np.zeros((len(steps), 3)), np.zeros(len(steps))
    for at, rate in enumerate(steps):
        pmf = sum_of_clusters(beta_binomial(each, float(rate), criterion.icc), size // each)
        chances[at], rejects[at] = pmf @ reached, pmf @ np.array(tests, dtype=float)
    return OperatingCharacteristics(criterion=criterion, n=size, rates=steps, chances=chances, rejects=rejects)
