"""Goodman-Bacon decomposition of two-way fixed effects."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.axis_words import axis_label
from wwc_eval.did.decimals import decimals_of
from wwc_eval.did.masks import whole_again
from wwc_eval.did.panel import NEVER, Panel
from wwc_eval.did.sample import Sample, sample_of
from wwc_eval.did.two_way import two_way_fixed_effects
from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BaconDecomposition", "bacon_decomposition"]

CITATION = "Goodman-Bacon 2021, doi:10.1016/j.jeconom.2021.03.014"
NEVER_TYPE = "treated vs never treated"
EARLIER = "earlier vs later treated"
LATER = "later vs earlier treated"
ALWAYS = "later vs always treated"
TYPES = (NEVER_TYPE, EARLIER, LATER, ALWAYS)
FORBIDDEN = (LATER, ALWAYS)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BaconDecomposition(Rendered):
    """The coefficient of two-way fixed effects as an average of comparisons of two cohorts.

    Parameters
    ----------
    overall : Estimate
        The coefficient that is decomposed.
    estimates : Table
        One row a comparison: ``treated``, ``control``, ``type``, ``estimate``, ``weight``. Weights sum to one, and
        the weighted mean of the estimates is the coefficient.
    by_type : Table
        Weight and weighted mean of each type of comparison.
    panel : Panel
        The panel behind it.
    """

    overall: Estimate
    estimates: Table
    by_type: Table
    panel: Panel

    @property
    def path(self) -> None:
        """None: there are no effects by event here."""
        return

    @property
    def forbidden_weight(self) -> float:
        """Weight of comparisons whose control is treated already."""
        return float(sum(row["weight"] for row in self.estimates.to_dicts() if row["type"] in FORBIDDEN))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of ``estimates``."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return self.by_type._grid()

    def _title(self) -> str:
        return self.by_type.title

    def _notes(self) -> tuple[str, ...]:
        one = self.overall
        count = len(self.estimates.rows)
        return (
            f"Two-way fixed effects: {one.shown_estimate} ({one.shown_interval}); {count} comparison{'s' * (count != 1)}.",
            f"{100 * self.forbidden_weight:.1f}% of the weight rests on controls that are treated already.",
            *one.warnings,
            CITATION,
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Estimate of each comparison by its weight; the line is the coefficient."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
        look = zip(TYPES, ("#0072B2", "#009E73", "#D55E00", "#CC79A7"), "osD^", strict=True)
        rows = self.estimates.to_dicts()
        for kind, colour, marker in look:
            own = [row for row in rows if row["type"] == kind]
            if own:
                weight, value = [row["weight"] for row in own], [row["estimate"] for row in own]
                ax.plot(weight, value, marker, color=colour, markersize=6, alpha=0.85, label=kind)
        ax.axhline(self.overall.estimate, color="#4d5b68", linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
        ax.set_xlabel("weight in two-way fixed effects")
        ax.set_ylabel(axis_label(f"effect on {self.panel.measure} in the comparison"))
        ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
        return ax


def bacon_decomposition(panel: Panel, vcov: str = "CR1S") -> BaconDecomposition:
    """The coefficient of two-way fixed effects as a weighted mean of comparisons of two cohorts.

    Each pair of cohorts gives up to two comparisons: the earlier treated with the later before these start, and the
    later treated with the earlier, which are treated already. Where effects grow over time the second kind is
    biased, and its weight says how far the coefficient rests on it. Formula: with ``n_k`` the share of units and
    ``D_k`` the share of periods treated of cohort k, weights are proportional to ``n_k n_U D_k (1 - D_k)`` (never
    treated), ``n_k n_l (D_k - D_l)(1 - D_k)`` (earlier k, later l as control) and ``n_k n_l D_l (D_k - D_l)`` (later
    l, earlier k as control).

    Parameters
    ----------
    panel : Panel
        Balanced, with weights that do not vary over time.
    vcov : str
        Covariance of the coefficient shown, as in :func:`~wwc_eval.did.two_way_fixed_effects`.

    Returns
    -------
    BaconDecomposition

    Raises
    ------
    DesignError
        If cells are missing or weights vary over time.

    References
    ----------
    Goodman-Bacon 2021, doi:10.1016/j.jeconom.2021.03.014.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3) + (d.la == 3) * 5)
    >>> found = bacon_decomposition(Panel(data, unit="la", period="year", outcome="rate", cohort="start"))
    >>> [round(weight, 3) for weight in found.estimates.column("weight")]
    [0.652, 0.217, 0.087, 0.043]
    """
    sample = sample_of(panel, "bacon_decomposition", keep_always=True)
    if not panel.balanced or panel.cell_weights is not None:
        fault = "has missing cells" if not panel.balanced else "has weights that vary over time"
        raise DesignError(
            f"the panel {fault}: the decomposition holds for a balanced panel with one weight a unit",
            fix=whole_again(
                panel, "leave out incomplete units with panel.without(...) or periods with panel.between(...)"
            ),
        )
    rows = _comparisons(sample)
    overall = two_way_fixed_effects(panel, vcov=vcov).overall
    digits = decimals_of([overall])
    columns = [
        Column(name="treated"),
        Column(name="control"),
        Column(name="type"),
        Column(name="estimate", kind="number", digits=digits),
        Column(name="weight", kind="percent", digits=1),
    ]
    title = "Goodman-Bacon decomposition of two-way fixed effects"
    return BaconDecomposition(
        overall=overall,
        estimates=Table(rows, columns, title=f"{title}: comparisons"),
        by_type=_by_type(rows, title, digits),
        panel=panel,
    )


def _comparisons(sample: Sample) -> list[dict[str, Any]]:
    """Every comparison of two cohorts with its estimate and weight."""
    T = sample.n_periods
    starts = np.unique(sample.adopted)
    unit = sample.weights[:, 0]
    size = np.array([unit[sample.adopted == start].sum() for start in starts])
    share = size / size.sum()
    mean = (
        np.stack([unit[sample.adopted == s] @ sample.outcomes[sample.adopted == s] for s in starts])
        / size[:, None]
    )
    part = (T - starts) / T
    rows = []
    for k, j in itertools.combinations(range(len(starts)), 2):
        first, second = int(starts[k]), int(starts[j])
        pair, early, late = share[k] * share[j], part[k], part[j]
        found = []
        if first > 0:
            kind = NEVER_TYPE if second == T else EARLIER
            value = _did(mean[k], mean[j], 0, first, second)
            found.append((first, second, kind, value, pair * (early - late) * (1 - early)))
        if second < T:
            kind = ALWAYS if first == 0 else LATER
            value = _did(mean[j], mean[k], first, second, T)
            found.append((second, first, kind, value, pair * late * (early - late)))
        rows += [
            {
                "treated": _name(sample, one),
                "control": _name(sample, two),
                "type": kind,
                "estimate": value,
                "weight": mass,
            }
            for one, two, kind, value, mass in found
        ]
    total = sum(row["weight"] for row in rows)
    for row in rows:
        row["weight"] = float(row["weight"] / total)
    return sorted(rows, key=lambda row: (TYPES.index(row["type"]), -row["weight"]))


def _did(treated: Floats, control: Floats, begin: int, change: int, end: int) -> float:
    gap = treated - control
    return float(gap[change:end].mean() - gap[begin:change].mean())


def _name(sample: Sample, start: int) -> Any:
    return NEVER if start == sample.n_periods else sample.label(start)


def _by_type(rows: list[dict[str, Any]], title: str, digits: int) -> Table:
    found = []
    for kind in TYPES:
        own = [row for row in rows if row["type"] == kind]
        weight = sum(row["weight"] for row in own)
        if own:
            mean = sum(row["weight"] * row["estimate"] for row in own) / weight
            found.append({"type": kind, "comparisons": len(own), "weight": weight, "estimate": mean})
    columns = [
        Column(name="type"),
        Column(name="comparisons", kind="count"),
        Column(name="weight", kind="percent", digits=1),
        Column(name="estimate", label="mean estimate", kind="number", digits=digits),
    ]
    return Table(found, columns, title=title)
