"""A matched sample: weights, who stands with whom, and balance before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.data.group_balance import Groups, category_rows, label_of_row, levels_of, number_row
from wwc_eval.data.love_plot import NOTABLE, love_plot
from wwc_eval.did.matching.sample import Sample
from wwc_eval.errors import DataError, DesignError, Place, did_you_mean, shown
from wwc_eval.table import Column, Grid, Rendered, Table, format_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["MatchBalance", "Matching", "effective_size"]

Floats = NDArray[np.float64]
GROUPS = ("control", "treated")
DIFFERENCES = (
    "Standardised difference: treated minus control, over the root of the mean of the two variances before matching, "
    "for both samples (Austin 2009, doi:10.1002/sim.3697; Stuart 2010, doi:10.1214/09-STS313). Variance ratio: "
    "treated over control."
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MatchBalance(Rendered):
    """Balance before and after matching, one row a number and one a category of the others.

    Parameters
    ----------
    rows : tuple of dict
        ``characteristic``, ``level``, ``mean_treated``, ``mean_control`` and ``variance_ratio`` and ``smd``, each
        with ``_before`` and ``_after``.
    """

    rows: tuple[dict[str, Any], ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of raw values."""
        return [dict(row) for row in self.rows]

    def largest(self, when: str = "after") -> float:
        """Largest standardised difference in absolute value, ``"before"`` or ``"after"``."""
        known = [abs(row[f"smd_{when}"]) for row in self.rows if not math.isnan(row[f"smd_{when}"])]
        return max(known, default=math.nan)

    def _grid(self) -> Grid:
        columns = [Column(name="characteristic"), Column(name="level")]
        for when in ("before", "after"):
            columns += [
                Column(name=f"mean_treated_{when}", label=f"treated, {when}", kind="number"),
                Column(name=f"mean_control_{when}", label=f"control, {when}", kind="number"),
                Column(name=f"smd_{when}", label=f"standardised difference, {when}", kind="number"),
                Column(name=f"variance_ratio_{when}", label=f"variance ratio, {when}", kind="number", digits=2),
            ]
        return Table(self.rows, columns)._grid()

    def _title(self) -> str:
        return "Balance before and after matching"

    def _notes(self) -> tuple[str, ...]:
        return (DIFFERENCES,)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Love plot: standardised differences before and after; the band covers -0.1 to 0.1."""
        series = {when: [row[f"smd_{when}"] for row in self.rows] for when in ("before", "after")}
        return love_plot([label_of_row(row) for row in self.rows], series, " (treated minus control)", ax=ax)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Matching(Rendered):
    """A matched sample for the effect on the treated.

    Parameters
    ----------
    sample : Sample
        Rows as given.
    weights : (n,) array
        1 for treated rows that are matched, 0 for rows that are not; controls are weighted to the treated, their
        weights adding up to the number of matched controls.
    subclass : (n,) array of int
        Stratum or matched set of each row; -1 for none, and where a control stands in several sets.
    pairs : Table or None
        Treated and control rows that were matched, with their distance (nearest-neighbour methods).
    columns : tuple of str
        Columns whose balance is shown.
    unit : str, optional
        Column that identifies a row.
    method, citation : str
        What was done, and the paper behind it.
    l1 : mapping
        Multivariate L1 imbalance ``before`` and ``after`` (coarsened exact matching).
    warnings : tuple of str
        What a reader must know.
    """

    sample: Sample
    weights: Floats
    subclass: NDArray[np.intp]
    columns: tuple[str, ...]
    method: str
    citation: str
    pairs: Table | None = None
    unit: str | None = None
    l1: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def treated(self) -> NDArray[np.bool_]:
        """Who is treated, shape (n,)."""
        return self.sample.treated

    @property
    def n_matched(self) -> dict[str, int]:
        """Matched rows by group."""
        kept = self.weights > 0
        return {"treated": int((kept & self.treated).sum()), "control": int((kept & ~self.treated).sum())}

    @property
    def data(self) -> pd.DataFrame:
        """Matched rows with the columns ``matching_weight`` and ``matching_subclass``."""
        kept = self.weights > 0
        return self.sample.frame.loc[kept].assign(
            matching_weight=self.weights[kept], matching_subclass=self.subclass[kept]
        )

    def attach(self, data: Any, *, unit: str | None = None, name: str = "matching_weight") -> pd.DataFrame:
        """A panel of the same units with their weights, units that were not matched left out.

        Parameters
        ----------
        data : DataFrame
            Rows by unit and period.
        unit : str, optional
            Column that identifies a unit, in both; that of the matching where it is missing.
        name : str
            Column of weights, for ``we.Panel(..., weights=name)``.

        Raises
        ------
        DesignError
            If the unit is not named, or not a column.
        DataError
            If a unit of the panel was not among those to match.
        """
        from wwc_eval.data.frames import as_pandas

        key = unit or self.unit
        if key is None:
            raise DesignError("the column that identifies a unit is not known", fix="name it: unit='la'")
        frame = as_pandas(data, "data")
        for source, words in ((frame, "the panel"), (self.sample.frame, "the matched data")):
            if key not in source.columns:
                raise DesignError(
                    f"{words} has no column '{key}'", fix=did_you_mean(key, [str(c) for c in source.columns])
                )
        found = dict(zip(self.sample.frame[key], self.weights.tolist(), strict=True))
        if len(found) < self.sample.n:
            raise DataError(f"'{key}' does not tell the matched rows apart", place=Place(column=key))
        weights = frame[key].map(found)
        if bool(weights.isna().any()):
            lost = frame[key][weights.isna()].iloc[0]
            raise DataError(
                f"{key} {shown(lost)} is in the panel but was not among the units to match",
                place=Place(column=key),
                fix="match all units of the panel, or leave the others out",
            )
        kept = (weights > 0).to_numpy()
        return frame.loc[kept].assign(**{name: weights[kept].astype(float)})

    @cached_property
    def balance(self) -> MatchBalance:
        """Means, standardised differences and variance ratios before and after."""
        before = _rows(self.sample, self.columns, np.ones(self.sample.n))
        after = _rows(self.sample, self.columns, self.weights)
        return MatchBalance(rows=tuple(_joined(one, two) for one, two in zip(before, after, strict=True)))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Love plot of the balance before and after."""
        return self.balance.plot(ax)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a group: ``group``, ``rows``, ``matched``, ``unmatched``, ``effective_size``."""
        rows = []
        for name, here in (("treated", self.treated), ("control", ~self.treated)):
            kept = here & (self.weights > 0)
            rows.append(
                {
                    "group": name,
                    "rows": int(here.sum()),
                    "matched": int(kept.sum()),
                    "unmatched": int(here.sum() - kept.sum()),
                    "effective_size": effective_size(self.weights[here]),
                }
            )
        return rows

    def _grid(self) -> Grid:
        counts = [Column(name=name, kind="count") for name in ("rows", "matched", "unmatched")]
        columns = [Column(name="group"), *counts, Column(name="effective_size", kind="number", digits=1)]
        return Table(self.to_dicts(), columns)._grid()

    def _title(self) -> str:
        return self.method

    def _notes(self) -> tuple[str, ...]:
        largest = [format_number(self.balance.largest(when), 3) for when in ("before", "after")]
        notes = [f"Largest standardised difference: {largest[0]} before, {largest[1]} after."]
        if self.l1:
            notes.append(
                f"Multivariate L1 imbalance: {self.l1['before']:.3f} before, {self.l1['after']:.3f} after."
            )
        return (*notes, *self.warnings, self.citation)


def effective_size(weights: Floats) -> float:
    """Rows of equal weight that would be as precise: ``(sum w)^2 / sum w^2``."""
    square = float((weights**2).sum())
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def cautions(treated: NDArray[np.bool_], weights: Floats, largest: float) -> tuple[str, ...]:
    """What must be said of a matched sample."""
    found = []
    lost = int((treated & (weights == 0)).sum())
    if lost:
        found.append(
            f"{lost:,} of {int(treated.sum()):,} treated rows have no match and are left out: the effect is that on the "
            "matched treated"
        )
    if largest > NOTABLE:
        found.append(f"A standardised difference of {largest:.2f} is left after matching")
    return tuple(found)


def _rows(sample: Sample, columns: Sequence[str], weights: Floats) -> list[dict[str, Any]]:
    import pandas as pd

    # rows without weight are not there: the spread of a group counts those that are
    kept = weights > 0
    codes = np.where(kept, sample.treated.astype(int), -1)
    groups = Groups(names=GROUPS, codes=codes, weights=weights)
    present = np.ones(sample.n, dtype=bool)
    rows: list[dict[str, Any]] = []
    for name in columns:
        series = sample.frame[name]
        if pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
            rows.append(number_row(name, series.to_numpy(dtype=float), present, groups))
        else:
            texts = np.array([str(value) for value in series], dtype=object)
            rows += category_rows(name, texts, present, levels_of(series, texts.tolist()), groups)
    return rows


def _joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {name: before[name] for name in ("characteristic", "level")}
    for when, found in (("before", before), ("after", after)):
        row[f"mean_treated_{when}"] = found["mean_treated"]
        row[f"mean_control_{when}"] = found["mean_control"]
        row[f"smd_{when}"] = found["smd"]
        row[f"variance_ratio_{when}"] = found["variance_ratio"]
    spread = _spread(before)
    gap = after["mean_treated"] - after["mean_control"]
    if spread > 0 and not math.isnan(gap):
        row["smd_after"] = gap / spread
    return row


def _spread(row: Mapping[str, Any]) -> float:
    """Root of the mean of the two variances before matching; of the shares for a category."""
    spreads = [row[f"sd_{group}"] for group in GROUPS]
    if row["level"]:
        shares = [row[f"mean_{group}"] for group in GROUPS]
        spreads = [math.sqrt(max(share * (1.0 - share), 0.0)) for share in shares]
    return math.sqrt((spreads[0] ** 2 + spreads[1] ** 2) / 2.0) if not any(map(math.isnan, spreads)) else math.nan
