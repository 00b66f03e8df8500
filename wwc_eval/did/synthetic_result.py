"""What synthetic difference-in-differences and synthetic control return, and its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.panel import Panel
from wwc_eval.did.synthetic_blocks import Block
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Setup", "SyntheticResult", "placebo_table", "series_table", "time_weights", "unit_weights"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """Controls and the treated units of each cohort."""

    controls: Floats
    names: list[Any]
    treated: list[Floats]
    members: list[list[Any]]
    weights: list[Floats]
    before: list[int]

    @property
    def sizes(self) -> list[int]:
        """Treated units of each cohort."""
        return [len(rows) for rows in self.treated]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SyntheticResult(Rendered):
    """A treated series against its synthetic control.

    Parameters
    ----------
    method : str
        The estimator and its inference in one sentence.
    overall : Estimate
        Mean effect over treated periods (over treated unit-periods, where cohorts differ).
    estimates : EffectEstimates
        Gap by event, before treatment too: there it says how well the weights fit.
    weights : Table
        Weight of each untreated unit, by cohort, largest first; zero weights left out.
    time_weights : Table
        Weight of each period before treatment, by cohort; empty for synthetic control.
    placebos : Table
        The treated and every placebo: estimate, root mean squared gap before and after treatment, and their ratio.
    series : Table
        By cohort and period: treated mean, synthetic control, gap.
    objectives : tuple
        For each cohort, the objective of its unit and of its time weights.
    placebo_gaps : ndarray, shape (placebos, events)
        Gaps by event of each placebo, in the order of ``placebos``.
    panel : Panel
        The panel behind it.
    notes : tuple of str
        What a reader must know.
    """

    method: str
    overall: Estimate
    estimates: EffectEstimates
    weights: Table
    time_weights: Table
    placebos: Table
    series: Table
    objectives: tuple[tuple[float, float], ...]
    placebo_gaps: Floats
    panel: Panel
    notes: tuple[str, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """The overall effect, then the gaps by event."""
        return [{"event": None, **self.overall.to_dict()}, *self.estimates.to_dicts()]

    def _grid(self) -> Grid:
        return Estimates([self.overall, *self.estimates])._grid()

    def _title(self) -> str:
        return self.method

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, *self.overall.warnings, self.overall.citation)

    def plot(self, ax: Axes | None = None, *, cohort: Any = None) -> Axes:
        """Treated series and synthetic control by period (of the first cohort, unless one is named)."""
        from wwc_eval.did.synthetic_plot import plot_series

        return plot_series(self, ax, cohort)

    def plot_placebos(self, ax: Axes | None = None) -> Axes:
        """Gaps of the treated and of every placebo by event."""
        from wwc_eval.did.synthetic_plot import plot_placebos

        return plot_placebos(self, ax)


def unit_weights(panel: Panel, at: Setup, blocks: list[Block]) -> Table:
    """Weight of each control by cohort, largest first."""
    rows = [
        {"cohort": panel.period_label(block.before), "unit": at.names[k], "weight": float(block.omega[k])}
        for block in blocks
        for k in np.argsort(-block.omega, kind="stable")
        if block.omega[k] > 0
    ]
    return Table(rows, [Column(name="cohort"), Column(name="unit"), Column(name="weight", kind="number")])


def time_weights(panel: Panel, at: Setup, blocks: list[Block], *, synthetic_did: bool) -> Table:
    """Weight of each period before treatment by cohort."""
    rows = [
        {"cohort": panel.period_label(before), "period": panel.period_label(k), "weight": float(block.lam[k])}
        for block, before in zip(blocks, at.before, strict=True)
        for k in range(before)
        if synthetic_did
    ]
    return Table(rows, [Column(name="cohort"), Column(name="period"), Column(name="weight", kind="number")])


def placebo_table(
    at: Setup,
    blocks: list[Block],
    placebos: list[list[Block]],
    groups: list[list[list[int]]],
    shares: Floats,
) -> Table:
    """The treated and every placebo, with their fit before and after treatment."""

    def row(names: list[Any], found: list[Block], *, treated: bool) -> dict[str, Any]:
        before = float(np.average([b.fit**2 for b in found], weights=shares)) ** 0.5
        after = float(np.average([np.mean(b.gap[b.before :] ** 2) for b in found], weights=shares)) ** 0.5
        return {
            "unit": ", ".join(map(str, names)) if len(names) > 1 else names[0],
            "treated": treated,
            "estimate": float(np.average([b.estimate for b in found], weights=shares)),
            "rmspe_before": before,
            "rmspe_after": after,
            "ratio": after / before if before > 0 else math.inf,
        }

    rows = [row([name for part in at.members for name in part], blocks, treated=True)]
    for group, found in zip(groups, placebos, strict=True):
        rows.append(row([at.names[k] for part in group for k in part], found, treated=False))
    columns = [
        Column(name="unit"),
        Column(name="treated"),
        Column(name="estimate", kind="number"),
        Column(name="rmspe_before", label="root mean squared gap before", kind="number"),
        Column(name="rmspe_after", label="root mean squared gap after", kind="number"),
        Column(name="ratio", label="after / before", kind="number"),
    ]
    return Table(rows, columns, title="The treated and every placebo")


def series_table(panel: Panel, at: Setup, blocks: list[Block]) -> Table:
    """Treated mean, synthetic control and gap by cohort and period."""
    rows = [
        {
            "cohort": panel.period_label(before),
            "period": panel.period_label(k),
            "event": int(panel.times[k] - panel.times[before]),
            "treated": float(block.treated[k]),
            "synthetic": float(block.synthetic[k]),
            "gap": float(block.gap[k]),
        }
        for block, before in zip(blocks, at.before, strict=True)
        for k in range(panel.n_periods)
    ]
    columns = [
        Column(name="cohort"),
        Column(name="period"),
        Column(name="event", kind="count"),
        *(Column(name=name, kind="number") for name in ("treated", "synthetic", "gap")),
    ]
    return Table(rows, columns, title="Treated mean and synthetic control")
