"""Balance of groups on what was known before: means, shares, standardised differences, variance ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.data.balance import smd_categories, smd_means, smd_proportions
from wwc_eval.data.baseline import largest_between
from wwc_eval.data.love_plot import love_plot
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Balance", "Groups", "category_rows", "label_of_row", "levels_of", "number_row"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Balance(Rendered):
    """Balance of the arms, one row for each number and for each category of the others.

    Parameters
    ----------
    rows : tuple of dict
        ``characteristic``, ``level``, for each arm ``mean_<arm>`` (a share for categories) and ``sd_<arm>``, ``smd``,
        ``between`` (the arms that the difference is between) and ``variance_ratio``.
    groups : tuple of str
        Arms, or sequences, in order.
    missing : mapping of str to int
        Units without a value, by column that has any.
    size : str, optional
        Column by which units are weighted.
    title : str
        Caption.
    """

    rows: tuple[dict[str, Any], ...]
    groups: tuple[str, ...]
    missing: dict[str, int]
    size: str | None = None
    title: str = "Balance of the allocation"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of raw values."""
        return [dict(row) for row in self.rows]

    @property
    def largest(self) -> float:
        """Largest standardised difference in absolute value; not a number where there is none."""
        known = [abs(row["smd"]) for row in self.rows if not math.isnan(row["smd"])]
        return max(known, default=math.nan)

    def _grid(self) -> Grid:
        columns = [Column(name="characteristic"), Column(name="level")]
        for group in self.groups:
            columns.append(Column(name=f"mean_{group}", label=f"{group}: mean or share", kind="number"))
            columns.append(Column(name=f"sd_{group}", label="SD", kind="number"))
        columns.append(Column(name="smd", label="standardised difference", kind="number"))
        if len(self.groups) > 2:
            columns.append(Column(name="between"))
        columns.append(Column(name="variance_ratio", label="variance ratio", kind="number", digits=2))
        names = [column.name for column in columns]
        shown = [{name: row[name] for name in names} for row in self.rows]
        return Table(shown, columns)._grid()

    def _title(self) -> str:
        return self.title

    def _notes(self) -> tuple[str, ...]:
        which = "second minus first arm" if len(self.groups) == 2 else "the pair of arms that differs most"
        what = (
            f"Standardised difference: {which}, over the root of the mean of the two variances (Austin 2009); for "
            "a category that of its share. Variance ratio: the same arms, second over first."
        )
        notes = [what]
        if self.size is not None:
            notes.append(f"Units are weighted by {self.size}; variances are between units.")
        if self.missing:
            listed = ", ".join(f"{name}: {count}" for name, count in self.missing.items())
            notes.append(f"Units without a value, left out of its row: {listed}.")
        return tuple(notes)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Love plot: the standardised differences as dots, the first row on top; the band covers -0.1 to 0.1."""
        pair = (
            f" ({self.groups[1]} minus {self.groups[0]})"
            if len(self.groups) == 2
            else " (the two arms that differ most)"
        )
        return love_plot(
            [label_of_row(row) for row in self.rows], {"": [row["smd"] for row in self.rows]}, pair, ax=ax
        )


def levels_of(series: Any, texts: list[str]) -> list[str]:
    """Categories that occur, in declared order where there is one."""
    import pandas as pd

    found = set(texts)
    if isinstance(series.dtype, pd.CategoricalDtype):
        return [text for text in map(str, series.cat.categories) if text in found]
    return sorted(found)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Who is in which group, with which weight.

    Parameters
    ----------
    names : tuple of str
        Groups in order.
    codes : (n,) array of int
        Group of each unit; -1 for none.
    weights : (n,) array
        Weights of the units.
    """

    names: tuple[str, ...]
    codes: Any
    weights: Floats

    def moments(self, values: Floats, present: NDArray[np.bool_]) -> dict[str, tuple[float, float]]:
        """Mean and SD of each group; the SD of a binary variable is sqrt(p (1 - p))."""
        binary = bool(np.isin(values[present], (0.0, 1.0)).all())
        found = {}
        for code, name in enumerate(self.names):
            here = present & (self.codes == code)
            mean, sd = _moments(values[here], self.weights[here])
            found[name] = (mean, math.sqrt(mean * (1 - mean)) if binary and not math.isnan(mean) else sd)
        return found

    def shares(self, inside: NDArray[np.bool_], present: NDArray[np.bool_]) -> list[float]:
        """Share of each group's present units that are inside."""
        totals = [float(self.weights[present & (self.codes == code)].sum()) for code in range(len(self.names))]
        parts = [float(self.weights[inside & (self.codes == code)].sum()) for code in range(len(self.names))]
        return [part / total if total else math.nan for part, total in zip(parts, totals, strict=True)]

    def row(self, name: str, level: str, moments: dict[str, tuple[float, float]], smd: Any) -> dict[str, Any]:
        """A row of the balance table."""
        value, (first, second) = largest_between(self.names, smd)
        row: dict[str, Any] = {"characteristic": name, "level": level}
        for group in self.names:
            row[f"mean_{group}"], row[f"sd_{group}"] = moments[group]
        below, above = moments[first][1], moments[second][1]
        ratio = (above / below) ** 2 if below > 0 else math.nan
        return row | {"smd": value, "between": f"{second} - {first}", "variance_ratio": ratio}


def _moments(values: Floats, weights: Floats) -> tuple[float, float]:
    """Mean and SD (n - 1), weighted by relative sizes; missing where there are too few."""
    if not len(values):
        return math.nan, math.nan
    mean = float(np.average(values, weights=weights))
    if len(values) < 2:
        return mean, math.nan
    spread = float(np.average((values - mean) ** 2, weights=weights)) * len(values) / (len(values) - 1)
    return mean, math.sqrt(spread)


def number_row(name: str, values: Floats, present: NDArray[np.bool_], groups: Groups) -> dict[str, Any]:
    """The row of a number: means, SDs, standardised difference."""
    moments = groups.moments(values, present)

    def smd(a: str, b: str) -> float:
        (m, s), (n, t) = moments[a], moments[b]
        return math.nan if math.isnan(s + t) else smd_means((m, n), (s, t))

    return groups.row(name, "", moments, smd)


def category_rows(
    name: str, texts: NDArray[np.object_], present: NDArray[np.bool_], levels: Sequence[str], groups: Groups
) -> list[dict[str, Any]]:
    """A row for each level, and where there are more than two one for the distance of the whole distribution."""
    table = [groups.shares(present & (texts == level), present) for level in levels]
    shares = {group: [row[index] for row in table] for index, group in enumerate(groups.names)}

    def known(a: str, b: str) -> bool:
        return not any(math.isnan(share) for share in (*shares[a], *shares[b]))

    rows = []
    if len(levels) > 2:
        none = dict.fromkeys(groups.names, (math.nan, math.nan))

        def distance(a: str, b: str) -> float:
            return smd_categories(shares[a], shares[b]) if known(a, b) else math.nan

        rows.append(groups.row(name, "", none, distance))
    for index, level in enumerate(levels):

        def smd(a: str, b: str, index: int = index) -> float:
            return smd_proportions(shares[a][index], shares[b][index]) if known(a, b) else math.nan

        moments = {group: (shares[group][index], math.nan) for group in groups.names}
        rows.append(groups.row(name, level, moments, smd))
    return rows


def label_of_row(row: Any) -> str:
    """Words of a row in a love plot."""
    return f"{row['characteristic']}: {row['level']}" if row["level"] else str(row["characteristic"])
