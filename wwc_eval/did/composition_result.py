"""What is found on who is seen: effects on covariates, all of them at once, and on the number of children."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wwc_eval.did.callaway import CallawaySantAnna
from wwc_eval.did.decimals import decimals_of, ends
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.few_permutation import p_words
from wwc_eval.did.panel import Panel
from wwc_eval.errors import DesignError, did_you_mean, shown
from wwc_eval.estimate import Estimate
from wwc_eval.table import MISSING, Column, Grid, Rendered, Table, format_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Composition", "JointTest"]

BESIDE = ("standardised", "permutation_p", "adjusted_p")


@dataclass(frozen=True, kw_only=True)
class JointTest:
    """Whether treatment moves any of several covariates, by reassigning it to others.

    Parameters
    ----------
    statistic : float
        The largest effect over the spread of its own permutations.
    p_value : float
        Share of permutations whose largest is as large.
    largest : str
        What it is the effect on.
    tested : int
        Effects tested together.
    reassignments : int
        Permutations.
    exact : bool
        Whether all of them are listed.
    words : str
        What was reassigned.
    """

    statistic: float
    p_value: float
    largest: str
    tested: int
    reassignments: int
    exact: bool
    words: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Composition(Rendered):
    """Effects of treatment on who is seen.

    Parameters
    ----------
    estimates : EffectEstimates
        One row a covariate, or a level of one: columns ``covariate`` and ``level`` first. ``details`` hold
        ``standardised``, ``sd``, ``permutation_p`` and ``adjusted_p``.
    joint : JointTest or None
        All of them at once; None where nothing can be permuted.
    volume : Estimate or None
        The effect on the number of children by area and period, a ratio; None without areas.
    results : tuple of CallawaySantAnna
        The result behind each row, for its path by event; its ``panel.trends()`` shows the means themselves.
    panel : Panel
        The panel behind it.
    notes : tuple of str
        What was left out, and what a reader must know.
    """

    estimates: EffectEstimates
    joint: JointTest | None
    volume: Estimate | None
    results: tuple[CallawaySantAnna, ...]
    panel: Panel
    notes: tuple[str, ...] = ()

    @property
    def overall(self) -> Estimate:
        """The row that is moved most, in standard deviations; what it makes of chance is ``joint``."""

        def moved(item: Estimate) -> float:
            """Size of the effect in SDs; none where it is missing."""
            size = abs(float(item.details["standardised"]))
            return size if math.isfinite(size) else -1.0

        return max(self.estimates, key=moved)

    def __getitem__(self, covariate: str) -> CallawaySantAnna:
        """The result for a covariate of numbers, or for ``"covariate[level]"``."""
        terms = [item.term for item in self.estimates]
        if covariate not in terms:
            raise DesignError(f"no row {shown(covariate)}", fix=did_you_mean(covariate, terms))
        return self.results[terms.index(covariate)]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows: covariate, level, the eight columns of an estimate, and what stands in its details."""
        return [
            {**row, **{name: item.details[name] for name in BESIDE}}
            for row, item in zip(self.estimates.to_dicts(), self.estimates, strict=True)
        ]

    def to_frame(self) -> pd.DataFrame:
        """The rows as a frame."""
        import pandas as pd

        return pd.DataFrame(self.to_dicts())

    def table(self) -> Table:
        """What is shown: the rows with their intervals, each to the decimals that its own error calls for."""
        level = f"{100 * self.estimates.items[0].level:g}%"
        rows = []
        for row, item in zip(self.to_dicts(), self.estimates, strict=True):
            digits = decimals_of([item])
            rows.append(
                {
                    "covariate": row["covariate"],
                    "level": row["level"],
                    "estimate": format_number(item.estimate, digits),
                    "interval": ends(item, digits),
                    **{name: row[name] for name in ("standardised", "p_value", "permutation_p", "adjusted_p")},
                }
            )
        columns = [
            Column(name="covariate"),
            Column(name="level"),
            Column(name="estimate", label="effect", kind="number"),
            Column(name="interval", label=f"{level} interval"),
            Column(name="standardised", label="in SDs", kind="number", digits=2),
            Column(name="p_value", label="p", kind="p_value"),
            Column(name="permutation_p", label="p (permutation)", kind="p_value"),
            Column(name="adjusted_p", label="p (all at once)", kind="p_value"),
        ]
        return Table(rows, columns)

    def _grid(self) -> Grid:
        return self.table()._grid()

    def _title(self) -> str:
        return "Effects of treatment on who is seen"

    def _notes(self) -> tuple[str, ...]:
        return (
            *self.sentences(),
            f"{self.estimates.items[0].method}.",
            *self.notes,
            self.estimates.items[0].citation,
        )

    def sentences(self) -> tuple[str, ...]:
        """The joint test, and the effect on the number of rows, in words."""
        told = []
        if self.joint is not None and self.joint.tested > 1:
            one = self.joint
            told.append(
                f"All {one.tested:,} at once: {p_words(one.p_value)}, by the largest effect over its spread under {one.words} "
                f"(largest: {one.largest})."
            )
        if self.volume is not None:
            many, interval = format_number(self.volume.estimate, 2), ends(self.volume, 2)
            told.append(
                f"Number of rows by {self.panel.columns['cluster']} and period: {many} times what it would have been"
                + ("" if interval == MISSING else f" ({interval})")
                + f", {p_words(self.volume.details['permutation_p'])} by permutation."
            )
        return tuple(told)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Standardised effects with their intervals, the largest first; a line at none."""
        from wwc_eval.did.composition_plot import plot_composition

        return plot_composition(self, ax)
