"""Units in order of their scores, shrunk, with the uncertainty of their ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, check_number
from wwc_eval.fidelity.benchmarking.random_effects import random_effects
from wwc_eval.fidelity.benchmarking.ranks import rank_probabilities
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.scores import FidelityScores

    Floats = NDArray[np.float64]

__all__ = ["League", "league", "league_of"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class League(Rendered):
    """Units in order, the highest score first.

    Parameters
    ----------
    labels : tuple of str
        Units in the order given.
    estimate, se : array
        Score of each and its standard error of prediction.
    probabilities : array, units x ranks
        Probability of every rank; rank 1 is the highest score.
    level : float
        Coverage of intervals of scores and ranks.
    name : str
        What the score is.
    notes : tuple of str
        What a reader must know.
    """

    labels: tuple[str, ...]
    estimate: Floats
    se: Floats
    probabilities: Floats
    level: float
    name: str
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """Rank as estimated, expected rank, interval of the rank, probability of the highest and lowest quarter."""
        from scipy import special

        k = len(self.labels)
        reach = float(special.ndtri(0.5 + self.level / 2))
        order = np.argsort(-self.estimate, kind="stable")
        ranks = np.arange(1, k + 1)
        below = np.cumsum(self.probabilities, axis=1)
        tail = (1 - self.level) / 2
        quarter = max(1, round(k / 4))
        rows = [
            {
                "unit": self.labels[unit],
                "rank": place + 1,
                "estimate": float(self.estimate[unit]),
                "se": float(self.se[unit]),
                "ci_low": float(self.estimate[unit] - reach * self.se[unit]),
                "ci_high": float(self.estimate[unit] + reach * self.se[unit]),
                "expected_rank": float(self.probabilities[unit] @ ranks),
                "rank_low": int(np.searchsorted(below[unit], tail) + 1),
                "rank_high": min(k, int(np.searchsorted(below[unit], 1 - tail) + 1)),
                "p_top_quarter": float(self.probabilities[unit, :quarter].sum()),
                "p_bottom_quarter": float(self.probabilities[unit, -quarter:].sum()),
            }
            for place, unit in enumerate(order)
        ]
        columns = [Column(name="unit"), Column(name="rank", kind="count")]
        columns += [Column(name=name, kind="number", digits=2) for name in ("estimate", "se", "ci_low", "ci_high")]
        columns += [Column(name="expected_rank", kind="number", digits=1)]
        columns += [Column(name=name, kind="count") for name in ("rank_low", "rank_high")]
        columns += [Column(name=name, kind="probability") for name in ("p_top_quarter", "p_bottom_quarter")]
        note = "Ranks take the scores as independent; rank 1 is the highest score."
        return Table(rows, columns, title=f"League: {self.name}", notes=(note, *self.notes))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Expected ranks with their intervals."""
        from wwc_eval.fidelity.charting import BLUE, new_axes

        axes = new_axes(ax, 6.0, 0.6 + 0.3 * len(self.labels))
        rows = self.table.to_dicts()[::-1]
        places = np.arange(len(rows))
        axes.hlines(
            places, [r["rank_low"] for r in rows], [r["rank_high"] for r in rows], color=BLUE, linewidth=1.5
        )
        axes.plot([r["expected_rank"] for r in rows], places, "o", color=BLUE, markersize=5)
        axes.set_yticks(places, [r["unit"] for r in rows])
        axes.set_xlim(0.5, len(rows) + 0.5)
        axes.set_xlabel(f"expected rank with {100 * self.level:g}% interval (1 is the highest score)")
        return axes

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows, the highest score first."""
        return self.table.to_dicts()

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return self.table.title

    def _notes(self) -> tuple[str, ...]:
        return tuple(self.table.notes)


def league(
    estimates: Sequence[float] | Floats,
    variances: Sequence[float] | Floats,
    labels: Sequence[str],
    *,
    method: str = "REML",
    level: float = 0.95,
    name: str = "score",
) -> League:
    """League of units from their estimates and sampling variances, shrunk by empirical Bayes.

    Parameters
    ----------
    estimates, variances : array
        One of each unit, such as a log rate and one over its count.
    labels : sequence of str
        Names of the units.
    method : {"REML", "DL"}
        How the variance between units is estimated.
    level : float
        Coverage of intervals.
    name : str
        What the score is.

    Returns
    -------
    League

    Raises
    ------
    DataError
        If lengths differ, there are fewer than two units, or a variance is not above 0.

    Examples
    --------
    >>> found = league([60.0, 70.0, 75.0], [4.0, 4.0, 9.0], ["North", "East", "South"])
    >>> [(row["unit"], row["rank_low"], row["rank_high"]) for row in found.to_dicts()]
    [('South', 1, 2), ('East', 1, 2), ('North', 3, 3)]
    """
    check_number("level", level, above=0, below=1)
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if len(labels) != len(y):
        raise DataError(f"{len(labels)} labels for {len(y)} estimates", fix="give one label a unit")
    found = random_effects(y, v, method)
    note = (
        f"Empirical Bayes ({method}): mean {found.mu:.3g}, SD between units {found.tau2**0.5:.3g}, "
        f"{100 * found.i2:.0f}% of the variance lies between units."
    )
    return League(
        labels=tuple(str(label) for label in labels),
        estimate=found.shrunk,
        se=found.shrunk_se,
        probabilities=rank_probabilities(found.shrunk, found.shrunk_se),
        level=level,
        name=name,
        notes=(note,),
    )


def league_of(scores: FidelityScores, unit: str, of: str) -> League:
    """League of the units of fidelity scores; see :meth:`FidelityScores.league`."""
    margin = scores.margin(unit, of)
    fine = np.isfinite(margin.estimate) & np.isfinite(margin.se)
    if fine.sum() < 2:
        raise DataError(
            f"{int(fine.sum())} units of '{unit}' have a score with an error: no ranks",
            rule=margin.reason or None,
            fix="rank a level with more units",
        )
    labels = scores.matrix.places.labels[unit]
    left = [label for label, ok in zip(labels, fine, strict=True) if not ok]
    estimate, se = margin.estimate[fine], margin.se[fine]
    notes = (f"Without a score: {', '.join(left)}.",) if left else ()
    return League(
        labels=tuple(label for label, ok in zip(labels, fine, strict=True) if ok),
        estimate=estimate,
        se=se,
        probabilities=rank_probabilities(estimate, se),
        level=scores.level,
        name=f"{of} by {unit.replace('_', ' ')}",
        notes=notes,
    )
