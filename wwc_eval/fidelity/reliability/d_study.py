"""Decision study: what a G-study's components say of means over other numbers of raters, cases and occasions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_number, did_you_mean
from wwc_eval.fidelity.reliability.effects import nested_in
from wwc_eval.fidelity.reliability.reading import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.fidelity.reliability.generalisability import GStudy

__all__ = ["DStudy", "Design", "d_study", "design_of"]


@dataclass(frozen=True, kw_only=True)
class Design:
    """Which components are universe score and which are error, for one way of measuring.

    Parameters
    ----------
    sets : tuple of frozenset of str
        Facets of each component in the decision study, the residual last.
    inside : frozenset of str
        The object of measurement with what it is nested in.
    fixed : frozenset of str
        Fixed facets.
    asked : tuple of str
        Facets whose sizes matter.
    """

    sets: tuple[frozenset[str], ...]
    inside: frozenset[str]
    fixed: frozenset[str]
    asked: tuple[str, ...]

    def multipliers(self, sizes: Mapping[str, Any]) -> tuple[Floats, Floats, Floats]:
        """What multiplies the components in universe score, relative error and absolute error (..., e)."""
        universe, relative, absolute = [], [], []
        shape = np.broadcast(*[np.asarray(sizes[name]) for name in self.asked]).shape if self.asked else ()
        for each in self.sets:
            over = np.ones(shape)
            for name in sorted(each - self.inside):
                over = over * np.asarray(sizes[name], dtype=float)
            share = 1.0 / over
            about = bool(each & self.inside)
            known = each <= (self.inside | self.fixed)
            universe.append(share if about and known else np.zeros(shape))
            relative.append(share if about and not known else np.zeros(shape))
            absolute.append(share if not known else np.zeros(shape))
        return np.stack(universe, axis=-1), np.stack(relative, axis=-1), np.stack(absolute, axis=-1)


def design_of(study: GStudy, fixed: str | Sequence[str], nested: Mapping[str, str | Sequence[str]]) -> Design:
    """Roles of the components.

    Raises
    ------
    DesignError
        If a facet is unknown, or the object of measurement is fixed.
    """
    facets = study.effects.facets
    still = frozenset([fixed] if isinstance(fixed, str) else fixed)
    for name in still:
        if name not in facets:
            raise DesignError(f"the design has no facet '{name}'", fix=did_you_mean(name, facets))
    if study.measured in still:
        raise DesignError(f"'{study.measured}' is the object of measurement and cannot be fixed")
    sets = tuple(nested_in(study.sets, nested, facets))
    # what the object is always named with, it is nested in
    with_object = [each for each in sets if study.measured in each]
    inside = frozenset.intersection(*with_object)
    asked = tuple(name for name in facets if name not in inside and any(name in each for each in sets))
    return Design(sets=sets, inside=inside, fixed=still, asked=asked)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DStudy(Rendered):
    """Designs side by side.

    Parameters
    ----------
    rows : tuple of dict
        One a design: sizes, ``universe, relative_error, absolute_error, generalisability, dependability`` with their
        intervals, and ``dependability_at_cut`` where a cut was given.
    measured : str
        Object of measurement.
    asked : tuple of str
        Facets with a size.
    level : float
        Coverage.
    notes : tuple of str
        Sentences below.
    """

    rows: tuple[dict[str, Any], ...]
    measured: str
    asked: tuple[str, ...]
    level: float
    notes: tuple[str, ...]

    @property
    def generalisability(self) -> tuple[float, ...]:
        """Relative coefficient of each design: how well objects are ranked."""
        return tuple(row["generalisability"] for row in self.rows)

    @property
    def dependability(self) -> tuple[float, ...]:
        """Absolute coefficient phi of each design: how well scores stand for themselves."""
        return tuple(row["dependability"] for row in self.rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Raw values, one dictionary a design."""
        return [dict(row) for row in self.rows]

    @property
    def table(self) -> Table:
        """Everything as a table."""
        return Table(self.rows, self._columns, title=self._title(), notes=self._notes())

    @property
    def _columns(self) -> list[Column]:
        columns = [Column(name=name, label=f"{name}s", kind="count") for name in self.asked]
        columns += [
            Column(name="universe", label="variance of true scores", kind="number"),
            Column(name="relative_error", label="relative error variance", kind="number"),
            Column(name="absolute_error", label="absolute error variance", kind="number"),
        ]
        for name in ("generalisability", "dependability"):
            columns += [Column(name=name, kind="number", digits=3)]
            columns += [
                Column(name=f"{name}_{end}", label=end, kind="number", digits=3) for end in ("low", "high")
            ]
        if self.rows and "dependability_at_cut" in self.rows[0]:
            columns.append(Column(name="dependability_at_cut", label="dependability at the cut", kind="number"))
        return columns

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return f"Decision study; object of measurement: {self.measured}"

    def _notes(self) -> tuple[str, ...]:
        return (f"low, high: {100 * self.level:g}% intervals.", *self.notes)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Dependability phi against the size of the first facet that varies; a line for each size of the others."""
        from wwc_eval.fidelity.reliability.charts import plot_d_study

        return plot_d_study(self, ax)


def d_study(
    study: GStudy,
    sizes: Mapping[str, int | Sequence[int]],
    *,
    fixed: str | Sequence[str],
    nested: Mapping[str, str | Sequence[str]],
    cut: float | None,
    level: float,
) -> DStudy:
    """See :meth:`GStudy.d_study`."""
    check_number("level", level, above=0, below=1)
    design = design_of(study, fixed, nested)
    listed = _sizes(design, sizes, study)
    rows = []
    for chosen in product(*(listed[name] for name in design.asked)):
        at = dict(zip(design.asked, chosen, strict=True))
        rows.append({**at, **_row(study, design, at, cut, level)})
    notes = list(study.notes)
    if design.fixed:
        notes.append("Fixed: " + ", ".join(sorted(design.fixed)) + ".")
    notes += [
        f"{name} nested in {outer if isinstance(outer, str) else ', '.join(outer)}."
        for name, outer in nested.items()
    ]
    if not any(math.isfinite(row["dependability"]) for row in rows):
        notes.append(f"No coefficient: no variance was found for {study.measured} and none for error.")
    elif study.covariance is not None and any(math.isnan(row["dependability_low"]) for row in rows):
        notes.append("No interval where a component at 0 leaves no error, or the components cannot be told apart.")
    return DStudy(rows=tuple(rows), measured=study.measured, asked=design.asked, level=level, notes=tuple(notes))


def _sizes(design: Design, sizes: Mapping[str, int | Sequence[int]], study: GStudy) -> dict[str, list[int]]:
    for name in sizes:
        if name not in design.asked:
            if name in study.effects.facets:
                raise DesignError(f"'{name}' is what is measured, or what that is nested in: it has no size here", fix="leave it out")  # fmt: skip
            raise DesignError(f"the design has no facet '{name}'", fix=did_you_mean(name, design.asked))
    found = {}
    for name in design.asked:
        if name not in sizes:
            raise DesignError(f"the size of '{name}' is missing", fix=f"d_study({name}=2), or several: [1, 2, 4]")
        given = sizes[name]
        values = list(given) if isinstance(given, Sequence | np.ndarray) else [given]
        found[name] = [int(check_number(name, float(value), at_least=1)) for value in values]
    return found


def _row(study: GStudy, design: Design, at: Mapping[str, int], cut: float | None, level: float) -> dict[str, Any]:
    universe, relative, absolute = design.multipliers(at)
    values = study.values
    true, by_rank, by_score = float(universe @ values), float(relative @ values), float(absolute @ values)
    found: dict[str, Any] = {"universe": true, "relative_error": by_rank, "absolute_error": by_score}
    for name, error, multiplier in (
        ("generalisability", by_rank, relative),
        ("dependability", by_score, absolute),
    ):
        total = true + error
        found[name] = true / total if total > 0 else math.nan
        low, high = _interval(study, universe, multiplier, level)
        found[f"{name}_low"], found[f"{name}_high"] = low, high
    if cut is not None:
        away = (study.mean - check_number("cut", cut)) ** 2 - study.mean_variance
        gain = max(away, 0.0) if math.isfinite(away) else math.nan
        total = true + by_score + gain
        found["dependability_at_cut"] = (true + gain) / total if total > 0 else math.nan
    return found


def _interval(study: GStudy, universe: Floats, error: Floats, level: float) -> tuple[float, float]:
    if study.pivots is None or not float(error @ study.values) > 0:
        return math.nan, math.nan
    from wwc_eval.fidelity.reliability.pivotal import interval

    return interval(study.pivots, universe, error, level)
