"""Cheapest numbers of cases, raters and local authorities for a target dependability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number, did_you_mean
from wwc_eval.fidelity.reliability.d_study import Design, design_of
from wwc_eval.fidelity.reliability.reading import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from wwc_eval.fidelity.reliability.generalisability import GStudy

__all__ = ["DesignPlan", "plan"]

MOST_DESIGNS = 3_000_000
SHOWN = 10


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DesignPlan(Rendered):
    """The cheapest designs that reach the target, the cheapest first.

    Parameters
    ----------
    rows : tuple of dict
        Sizes, ``cost, dependability, generalisability`` and, with a precision, ``se_of_mean``.
    target : float
        Coefficient aimed at.
    coefficient : str
        Which one.
    asked : tuple of str
        Facets with a size.
    notes : tuple of str
        Sentences below.
    """

    rows: tuple[dict[str, Any], ...]
    target: float
    coefficient: str
    asked: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def best(self) -> dict[str, Any]:
        """The cheapest design."""
        return dict(self.rows[0])

    def to_dicts(self) -> list[dict[str, Any]]:
        """Raw values, one dictionary a design."""
        return [dict(row) for row in self.rows]

    @property
    def table(self) -> Table:
        """Everything as a table."""
        columns = [Column(name=name, label=f"{name}s", kind="count") for name in self.asked]
        columns += [Column(name="ratings", label="ratings in all", kind="count")]
        columns += [Column(name="cost", kind="number", digits=0)]
        columns += [
            Column(name=name, kind="number") for name in ("dependability", "generalisability", "se_of_mean")
        ]
        return Table(self.rows, columns, title=self._title(), notes=self.notes)

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return f"Cheapest designs with {self.coefficient} of at least {self.target:g}"

    def _notes(self) -> tuple[str, ...]:
        return self.notes


def plan(
    study: GStudy,
    target: float,
    *,
    costs: Mapping[str, float],
    coefficient: str = "dependability",
    objects: int | Sequence[int] = 1,
    precision: float | None = None,
    limits: Mapping[str, int] | None = None,
    fixed: str | Sequence[str] = (),
    nested: Mapping[str, str | Sequence[str]] | None = None,
) -> DesignPlan:
    """Cheapest sizes that reach a target.

    Parameters
    ----------
    study : GStudy
        Components of variance.
    target : float
        Coefficient wanted of the mean score of each object of measurement.
    costs : mapping
        Cost of each *unit*, named as effects are: ``{"la": 2000, "la:case": 40, "la:case:rater": 25, "rater": 500}`` is
        2,000 a local authority, 40 for each case read in each, 25 a rating, 500 to train a rater.
    coefficient : {"dependability", "generalisability"}
        Which coefficient.
    objects : int or sequence of int
        Numbers of objects (local authorities) to choose from.
    precision : float, optional
        Standard error wanted of the mean over all objects, on the scale of the scores; more objects buy it.
    limits : mapping, optional
        Most of each facet; 100 (or what keeps the search small) where it is missing.
    fixed, nested
        As in :meth:`GStudy.d_study`.

    Returns
    -------
    DesignPlan
        Ten designs at most; :attr:`DesignPlan.best` is the cheapest. Of designs that cost the same the more dependable.

    Raises
    ------
    DesignError
        If no design within the limits reaches the target (the best that can be had is told), or a cost names no facet.

    Notes
    -----
    All sizes up to the limits are tried, so the cheapest is exact. It rests on components as they are estimated: see the
    intervals of :meth:`GStudy.d_study` for what that is worth.

    Examples
    --------
    >>> from wwc_eval.fidelity.reliability.generalisability import GStudy
    >>> study = GStudy.from_components({"la": 0.2, "residual": 0.8}, measured="la", facets=["case"])
    >>> study.plan(0.8, costs={"la:case": 30}, objects=12).best["case"]
    16
    """
    check_number("target", target, above=0, below=1)
    check_choice("coefficient", coefficient, ("dependability", "generalisability"))
    design = design_of(study, fixed, nested or {})
    numbers = [objects] if isinstance(objects, int | np.integer) else list(objects)
    many = np.array([int(check_number("objects", int(each), at_least=1)) for each in numbers])
    grids, axes = _grids(design, limits or {}, many)
    found, costs_of = _evaluated(study, design, axes, grids, costs)
    good = found[coefficient] >= target - 1e-12
    if precision is not None:
        good &= found["se_of_mean"] <= check_number("precision", precision, above=0)
    if not good.any():
        top = int(np.argmax(found[coefficient]))
        at = ", ".join(f"{name} = {int(grids[name][top])}" for name in design.asked)
        raise DesignError(
            f"no design within the limits has {coefficient} of {target:g}"
            + (f" and a standard error of {precision:g}" if precision is not None else ""),
            rule=f"the most is {found[coefficient][top]:.3f}, at {at}",
            fix="raise the limits, nest raters in cases, or lower the target",
        )
    places = np.flatnonzero(good)
    order = places[np.lexsort((-found[coefficient][places], costs_of[places]))][:SHOWN]
    rows = tuple(
        {
            **{name: int(grids[name][k]) for name in (*design.asked, study.measured)},
            "ratings": int(found["ratings"][k]),
            "cost": float(costs_of[k]),
            "dependability": float(found["dependability"][k]),
            "generalisability": float(found["generalisability"][k]),
            "se_of_mean": float(found["se_of_mean"][k]),
        }
        for k in order
    )
    notes = [f"{len(places):,} of {len(good):,} designs reach it.", *study.notes]
    return DesignPlan(
        rows=rows,
        target=target,
        coefficient=coefficient,
        asked=(*design.asked, study.measured),
        notes=tuple(notes),
    )


def _grids(design: Design, limits: Mapping[str, int], many: Floats) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """All sizes of every facet, and all numbers of objects (under the empty name)."""
    for name in limits:
        if name not in design.asked:
            raise DesignError(f"limits name '{name}', which has no size", fix=did_you_mean(name, design.asked))
    free = [name for name in design.asked if name not in limits]
    room = MOST_DESIGNS / len(many)
    for name in design.asked:
        room /= limits.get(name, 1)
    usual = min(100, int(room ** (1.0 / len(free)))) if free else 0
    tops = [int(check_number(name, limits.get(name, usual), at_least=1)) for name in design.asked]
    mesh = np.meshgrid(*(np.arange(1, top + 1) for top in tops), many, indexing="ij")
    grids = {name: each.ravel().astype(float) for name, each in zip((*design.asked, ""), mesh, strict=True)}
    return grids, design.asked


def _evaluated(
    study: GStudy, design: Design, asked: tuple[str, ...], grids: dict[str, Floats], costs: Mapping[str, float]
) -> tuple[dict[str, Floats], Floats]:
    """Coefficients, error of the mean and cost of every design."""
    universe, relative, absolute = (each @ study.values for each in design.multipliers(grids))
    grids[study.measured] = grids.pop("")
    counts = {**grids}
    for name in design.inside - {study.measured}:
        counts[name] = np.ones_like(
            grids[study.measured]
        )  # objects are counted once, not within what they are nested in

    def units(facets: frozenset[str]) -> Floats:
        total = np.ones_like(grids[study.measured])
        for name in facets:
            total = total * counts[name]
        return total

    mean = np.zeros_like(universe)
    for value, each in zip(study.values, design.sets, strict=True):
        if not each <= design.fixed:
            mean = mean + value / units(each)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "dependability": universe / (universe + absolute),
            "generalisability": universe / (universe + relative),
            "se_of_mean": np.sqrt(mean),
            "ratings": units(design.sets[-1]),
        }
    total = np.zeros_like(universe)
    for name, cost in costs.items():
        facets = frozenset(name.replace(" ", "").split(":"))
        for part in facets:
            if part not in counts:
                raise DesignError(
                    f"costs name '{part}', which is no facet", fix=did_you_mean(part, (*asked, study.measured))
                )
        total = total + check_number(f"cost of {name}", cost, at_least=0) * units(facets)
    return {
        name: np.nan_to_num(each, nan=0.0 if name != "se_of_mean" else math.inf) for name, each in found.items()
    }, total
