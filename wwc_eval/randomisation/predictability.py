"""How well somebody who knows the scheme and every earlier allocation can foresee the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.table import Column, Grid, Rendered, Table, format_count, format_percent

if TYPE_CHECKING:
    from wwc_eval.randomisation.scheme import Codes, Floats

__all__ = ["Predictability", "predictability_of"]

CERTAIN = 1.0 - 1e-12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Predictability(Rendered):
    """How well the next allocation can be foreseen.

    Parameters
    ----------
    certain : float
        Share of units whose arm was certain before they were allocated.
    guessed : float
        Share of correct guesses that somebody can expect who names the likelier arm each time.
    blind : float
        The same for somebody who knows only the ratio.
    n : int
        Units.
    draws : int, optional
        Allocations over which the figures are means; None for the one allocation that was drawn.
    standard_error : float
        Monte Carlo standard error of ``guessed``; 0 for the one allocation.
    """

    certain: float
    guessed: float
    blind: float
    n: int
    draws: int | None = None
    standard_error: float = 0.0

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row of raw values."""
        return [
            {
                "certain": self.certain,
                "guessed": self.guessed,
                "blind": self.blind,
                "n": self.n,
                "draws": self.draws,
                "standard_error": self.standard_error,
            }
        ]

    def _grid(self) -> Grid:
        columns = [
            Column(name="certain", label="certain beforehand", kind="percent", digits=1),
            Column(name="guessed", label="correct best guesses", kind="percent", digits=1),
            Column(name="blind", label="correct guesses from the ratio alone", kind="percent", digits=1),
        ]
        row = self.to_dicts()[0]
        return Table([{column.name: row[column.name] for column in columns}], columns)._grid()

    def _title(self) -> str:
        what = "the allocation as drawn" if self.draws is None else f"mean of {format_count(self.draws)} draws"
        return f"Predictability of {format_count(self.n)} units allocated one after another ({what})"

    def _notes(self) -> tuple[str, ...]:
        who = (
            "The guesser knows the scheme, the characteristics of all units and every earlier allocation, not the "
            "sizes of blocks (Blackwell and Hodges 1957, doi:10.1214/aoms/1177706973)."
        )
        notes = [who]
        if self.draws is not None:
            notes.append(
                f"Monte Carlo standard error of correct guesses {format_percent(self.standard_error, 2)}."
            )
        return tuple(notes)


def predictability_of(forecast: Floats, codes: Codes, shares: Floats, *, sampled: bool) -> Predictability:
    """Predictability from the probabilities of each arm given the past.

    Parameters
    ----------
    forecast : (m, n, k) array
        Probability of each arm for each unit given the units before it.
    codes : (m, n) array
        The allocations.
    shares : (n, k) array
        Probability of each arm without knowing the past.
    sampled : bool
        Whether the allocations are draws rather than the one that was drawn.
    """
    m, n = codes.shape
    best = forecast.max(axis=2)
    certain = best >= CERTAIN
    each = best.mean(axis=1)
    error = float(each.std(ddof=1) / math.sqrt(m)) if sampled and m > 1 else 0.0
    return Predictability(
        certain=float(certain.mean()),
        guessed=float(best.mean()),
        blind=float(np.max(shares, axis=1).mean()),
        n=n,
        draws=m if sampled else None,
        standard_error=error,
    )
