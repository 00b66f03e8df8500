"""Which estimates stand in a forest plot, in which group and panel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wwc_eval.errors import DesignError
from wwc_eval.estimate import PROPORTION_SCALES, Estimate, Estimates
from wwc_eval.report.contrasts import contrast, is_interaction
from wwc_eval.report.record import AnalysisResult
from wwc_eval.report.words import humanise, is_ratio, measure_words, title_case, units_words

__all__ = ["Drawable", "ForestPanel", "ForestRow", "forest_panels", "rows_of"]

Drawable = AnalysisResult | Estimate | Estimates
"""What a forest plot takes."""

_VARIES = frozenset({"sensitivity", "unadjusted", "deviation"})
_GROUPS = {"primary": "Primary", "secondary": "Secondary", "exploratory": "Exploratory"}


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One line of a forest plot.

    Parameters
    ----------
    label : str
        Words at the left.
    estimate : Estimate
        What is drawn.
    role : str
        Place in the plan, which sets the mark.
    group : str
        Heading above; rows of one group are neighbours.
    better : str
        Direction of the outcome that is good for children.
    trusted : bool
        Whether the fit behind it was sound enough to set the axis by.
    worthwhile : float, optional
        Smallest worthwhile effect of the outcome, on the scale of the estimate.
    """

    label: str
    estimate: Estimate
    role: str = "primary"
    group: str = ""
    better: str = "neither"
    trusted: bool = True
    worthwhile: float | None = None


@dataclass(frozen=True, kw_only=True)
class ForestPanel:
    """Rows on one scale, in one unit; ``axis_rows`` set the axis where the rows are a part of a longer panel."""

    rows: tuple[ForestRow, ...]
    axis_rows: tuple[ForestRow, ...] = ()

    @property
    def ratio(self) -> bool:
        """Whether the axis is logarithmic."""
        return is_ratio(self.rows[0].estimate)

    @property
    def factor(self) -> float:
        """What values are multiplied by to be drawn: 100 for a proportion shown in percentage points."""
        return 100.0 if self.rows[0].estimate.scale in PROPORTION_SCALES else 1.0

    @property
    def title(self) -> str:
        """Scale and units."""
        name, units = measure_words(self.rows[0].estimate)
        return f"{name} ({units})" if units else name

    @property
    def axis_label(self) -> str:
        """Units, and which side of no difference is good for children where all rows agree."""
        units = title_case(units_words(self.rows[0].estimate))
        null = "1" if self.ratio else "0"
        sides = {row.better for row in self.rows}
        if sides == {"lower"}:
            return f"{units} (below {null} is better for children)"
        if sides == {"higher"}:
            return f"{units} (above {null} is better for children)"
        return units


def forest_panels(
    results: Sequence[AnalysisResult], worthwhile: dict[str, float] | None = None
) -> list[ForestPanel]:
    """Panels by scale and units, in the order in which these first appear.

    Parameters
    ----------
    results : sequence of AnalysisResult
        Analyses in the plan's order; subgroup analyses show the effects within groups, not the interactions.
    worthwhile : dict, optional
        Identifier of an analysis to the smallest worthwhile effect on the scale of its first estimate.
    """
    rows = [row for result in _ordered(results) for row in _rows(result, results, worthwhile or {})]
    panels: dict[tuple[str, str], list[ForestRow]] = {}
    for row in rows:
        panels.setdefault((row.estimate.scale, units_words(row.estimate)), []).append(row)
    return [ForestPanel(rows=tuple(found)) for found in panels.values()]


def rows_of(results: Drawable | Iterable[Drawable], scale: str | None) -> ForestPanel:
    """One panel of what a caller gives, who may mix analyses and estimates.

    Raises
    ------
    DesignError
        If there is nothing to draw, or more than one scale or unit and none is chosen.
    """
    given = [results] if isinstance(results, (AnalysisResult, Estimate, Estimates)) else list(results)
    analyses = [item for item in given if isinstance(item, AnalysisResult)]
    rows = [row for item in _ordered(analyses) for row in _rows(item, analyses, {})]
    for item in given:
        if isinstance(item, Estimate):
            rows.append(ForestRow(label=item.term, estimate=item))
        elif isinstance(item, Estimates):
            rows += [ForestRow(label=one.term, estimate=one, group=item.title) for one in item]
    chosen = [row for row in rows if scale is None or row.estimate.scale == scale]
    found = list(dict.fromkeys((row.estimate.scale, units_words(row.estimate)) for row in rows))
    if not chosen:
        known = ", ".join(f"'{name}'" for name, _ in found)
        raise DesignError(
            "there is no estimate to draw", fix=f"choose one of the scales {known}" if known else None
        )
    kinds = {(row.estimate.scale, units_words(row.estimate)) for row in chosen}
    if len(kinds) > 1:
        named = ", ".join(f"{name} in {units}" for name, units in found)
        raise DesignError(
            f"one axis cannot hold several scales or units ({named})",
            fix="choose one with scale=, and pass outcomes of different units apart",
        )
    return ForestPanel(rows=tuple(chosen))


def _ordered(results: Sequence[AnalysisResult]) -> list[AnalysisResult]:
    """Main analyses in order, each followed by those that vary it."""
    ids = {result.id for result in results}
    followers = [result for result in results if result.of in ids and result.of != result.id]
    mains = [result for result in results if result not in followers]
    ordered: list[AnalysisResult] = []
    for main in mains:
        ordered += [main, *(result for result in followers if result.of == main.id)]
    # what varies a variation still has its place
    return [*ordered, *(result for result in followers if result not in ordered)]


def _rows(
    result: AnalysisResult, results: Sequence[AnalysisResult], worthwhile: dict[str, float]
) -> list[ForestRow]:
    wanted = [one for one in result.estimates if result.role != "subgroup" or not is_interaction(one)]
    several = len({one.term for one in wanted}) > 1
    first = wanted[0].scale if wanted else ""
    limit = worthwhile.get(result.id)
    return [
        ForestRow(
            label=_label(one, result, several=several),
            estimate=one,
            role=result.role,
            group=_group(result, results),
            better=result.better,
            trusted=result.status not in {"separated", "failed"},
            worthwhile=limit if one.scale == first else None,
        )
        for one in wanted
    ]


def _label(one: Estimate, result: AnalysisResult, *, several: bool) -> str:
    if result.role == "subgroup":  # its title heads the group
        return title_case(contrast(one, result))
    return title_case(f"{result.title}: {contrast(one, result)}" if several else result.title)


def _group(result: AnalysisResult, results: Sequence[AnalysisResult]) -> str:
    if result.role == "subgroup":
        return title_case(result.title)
    if result.role in _VARIES:
        of = next((other for other in results if other.id == result.of), None)
        return f"Varying “{of.title}”" if of is not None else f"{title_case(humanise(result.role))} analyses"
    return _GROUPS.get(result.role, title_case(humanise(result.role)))
