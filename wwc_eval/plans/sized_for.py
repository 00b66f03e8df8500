"""What the trial was sized for, and what it can detect with the numbers analysed, as a report may show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import WwcError
from wwc_eval.plans.powering import PlanPower, both_ways, power_of
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.data.disclosure import DisclosureRule
    from wwc_eval.plans.facts import Facts
    from wwc_eval.power import SteppedWedge, Trial
    from wwc_eval.report.record import AnalysisResult, Supplement

__all__ = ["analysed", "sized_for", "sizes_shown"]


def sized_for(facts: Facts, results: tuple[AnalysisResult, ...], rule: DisclosureRule) -> tuple[Supplement, ...]:
    """What the trial was sized for, and what it can detect with the numbers analysed, for the report.

    Nothing is derived from counts that are not shown: sizes are those of the primary analysis's sample as the report
    shows it.

    Parameters
    ----------
    facts : Facts
        The plan.
    results : tuple of AnalysisResult
        Analyses whose samples are protected.
    rule : DisclosureRule
        Which counts may be shown.
    """
    from wwc_eval.plans.wording import reason_of
    from wwc_eval.report.record import Supplement
    from wwc_eval.report.words import minus

    if facts.document.design.power is None:
        return ()
    found = power_of(facts)
    told = found.facts()
    sentences = list(found.notes)
    primary = next((result for result in results if result.role == "primary"), None)
    sizes = None if primary is None else sizes_shown(facts, primary.sample)
    if sizes is None:
        sentences.append("Numbers analysed are not all shown, so what they can detect is not either.")
    else:
        try:
            told = _with_analysed(told, found, sizes, facts.words)
        except WwcError as error:
            sentences.append(f"What the numbers analysed can detect has no formula: {reason_of(error, rule)}")
    table = Table(
        [{"fact": name, "value": minus(text)} for name, text in told.items()],
        [Column(name="fact"), Column(name="value")],
    )
    return (
        Supplement(key="power", title="What the trial was sized for", sentences=tuple(sentences), table=table),
    )


def _with_analysed(
    told: dict[str, str], found: PlanPower, sizes: tuple[int, tuple[int, ...]], words: Mapping[str, str]
) -> dict[str, str]:
    rows, arms = sizes
    design = analysed(found.design, rows, arms)
    mdes = design.mdes(
        found.goal, alpha=found.mdes.alpha, sides=found.mdes.sides, direction=found.mdes.direction,  # type: ignore[arg-type]
        convention=found.convention,
    )  # fmt: skip
    numbers = f"{rows:,} {words['rows']}"
    if arms and words["units"] != words["rows"]:
        numbers += f" of {sum(arms):,} {words['units']}"
    text = f"{both_ways(mdes)} ({numbers}; all else as planned)"
    head = next(name for name in told if name.startswith("Detectable"))
    pairs: dict[str, str] = {}
    for name, value in told.items():
        pairs[name] = value
        if name == head:
            pairs["The same with the numbers analysed"] = text
    return pairs


def sizes_shown(facts: Facts, sample: Mapping[str, Any]) -> tuple[int, tuple[int, ...]] | None:
    """Rows of an analysis, and randomised units of each arm (of a wedge none); None where one of them is not shown."""
    rows, by_arm = sample.get("n"), sample.get("by_arm", {})
    if not isinstance(rows, int):
        return None
    if facts.document.design.kind == "stepped_wedge":
        return rows, ()
    name = "n" if facts.rows_are_units else "n_clusters"
    found = [by_arm.get(arm, {}).get(name) for arm in facts.arms]
    counts = tuple(count for count in found if isinstance(count, int) and count > 0)
    return (rows, counts) if len(counts) == len(found) == 2 else None


def analysed(design: Trial | SteppedWedge, rows: int, arms: tuple[int, ...]) -> Trial | SteppedWedge:
    """The design with the numbers of rows and of randomised units that were analysed; all else stays as planned.

    Parameters
    ----------
    design : Trial or SteppedWedge
        As planned.
    rows : int
        Units of the lowest level; cells of a wedge keep their proportions.
    arms : tuple of int
        Randomised units of the comparator and of the treated arm; none of a wedge.
    """
    import numpy as np

    from wwc_eval.power import SteppedWedge

    if isinstance(design, SteppedWedge):
        return design.replace(cell_size=np.asarray(design.cell_size, float) * (rows / float(design.sizes.sum())))
    levels, at, units = design.levels, design.at, sum(arms)
    above = math.prod(float(level.n) for level in levels[at + 1 :])
    between = math.prod(float(level.n) for level in levels[1:at])
    new = [level.replace(attrition=0.0) for level in levels]
    new[at] = new[at].replace(n=units / above)
    if at > 0:
        new[0] = new[0].replace(n=rows / (units * between))
    return design.replace(levels=new, allocation=arms[1] / units)
