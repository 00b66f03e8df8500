"""Which units share an arm, and how often: pairs that always or never do weaken a randomisation test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.table import Column, Grid, Rendered, Table, format_count, format_percent

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.randomisation.scheme import Pairs

__all__ = ["MOST_UNITS", "SameArm"]

MOST_UNITS = 3_000
"""Most units whose pairs are worked out: the table has their square."""
LISTED = 20


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SameArm(Rendered):
    """Probability that two units share an arm, for every pair.

    Parameters
    ----------
    keys : tuple of str
        Units in the order of the allocation's table.
    pairs : Pairs
        The probabilities, exact or sampled.
    """

    keys: tuple[str, ...]
    pairs: Pairs

    @property
    def exact(self) -> bool:
        """Whether the probabilities are exact."""
        return self.pairs.exact

    @property
    def standard_error(self) -> float:
        """Largest Monte Carlo standard error of a probability; 0 where exact."""
        return self.pairs.standard_error

    def _where(self, value: float) -> list[tuple[str, str]]:
        upper = np.triu_indices(len(self.keys), 1)
        close = np.abs(self.pairs.same[upper] - value) < 1e-12
        rows, columns = upper[0][close].tolist(), upper[1][close].tolist()
        return [(self.keys[i], self.keys[j]) for i, j in zip(rows, columns, strict=True)]

    @property
    def always(self) -> list[tuple[str, str]]:
        """Pairs that share an arm in every permitted (or sampled) allocation."""
        return self._where(1.0)

    @property
    def never(self) -> list[tuple[str, str]]:
        """Pairs that share an arm in none."""
        return self._where(0.0)

    def to_frame(self) -> pd.DataFrame:
        """The probabilities as a square table named by units."""
        import pandas as pd

        return pd.DataFrame(self.pairs.same, index=list(self.keys), columns=list(self.keys))

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row for each pair."""
        rows, columns = np.triu_indices(len(self.keys), 1)
        return [
            {"first": self.keys[i], "second": self.keys[j], "probability": float(self.pairs.same[i, j])}
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ]

    def _grid(self) -> Grid:
        upper = self.pairs.same[np.triu_indices(len(self.keys), 1)]
        values, counts = np.unique(np.round(upper, 12), return_counts=True)
        order = np.argsort(values)
        shown = order if len(order) <= LISTED else np.concatenate([order[: LISTED // 2], order[-LISTED // 2 :]])
        rows = [{"probability": float(values[i]), "pairs": int(counts[i])} for i in shown]
        columns = [
            Column(name="probability", label="probability of the same arm", kind="number"),
            Column(name="pairs", kind="count"),
        ]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return "Pairs of units in the same arm"

    def _notes(self) -> tuple[str, ...]:
        pairs = math.comb(len(self.keys), 2)
        always, never = len(self.always), len(self.never)
        draws = self.pairs.draws
        how = (
            "Exact."
            if draws is None
            else f"From {format_count(draws)} draws; Monte Carlo standard error at most {format_percent(self.standard_error, 2)}."
        )
        return (f"{format_count(pairs)} pairs; always together: {always:,}; never together: {never:,}.", how)


def check_size(n: int) -> None:
    """Refuse to work out the pairs of too many units."""
    if n > MOST_UNITS:
        raise DesignError(
            f"{n:,} units have too many pairs to list",
            rule=f"at most {MOST_UNITS:,} units",
            fix="units of one stratum are alike: look at a smaller list with the same strata",
        )
