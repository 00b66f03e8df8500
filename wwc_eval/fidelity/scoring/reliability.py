"""Reliability as planned: coefficients beside their least values, and raters as they were to be assigned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.fidelity.scoring.agreement import Coefficient, coefficients, raters_by_case, raters_homes
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.fidelity.scoring.scores import FidelityScores

__all__ = [
    "CANNOT_BE_TOLD",
    "NOT_REACHED",
    "REACHED",
    "all_coefficients",
    "reliability_notes",
    "reliability_table",
]

REACHED, NOT_REACHED, CANNOT_BE_TOLD = "reached", "not reached", "cannot be told"


def reliability_table(scores: FidelityScores, *, every: bool = False) -> Table:
    """Coefficients beside their least values; see :attr:`FidelityScores.reliability`.

    ``every`` shows all items in place of the least and the median.
    """
    plan = scores.spec.document.reliability
    rows = []
    for name, least in (plan.minimum if plan is not None else {}).items():
        found = scores.coefficients[name]
        shown = [(one, "") for one in found] if every else _least_and_median(found)
        rows += [_row(one, float(least), place) for one, place in shown]
    columns = [Column(name="coefficient"), Column(name="of"), *([] if every else [Column(name="place")])]
    columns += [Column(name="detail"), Column(name="cases", kind="count"), Column(name="raters", kind="count")]
    columns += [
        Column(name="estimate", kind="number", digits=2),
        Column(name="ci_low", label=f"{100 * scores.level:g}% low", kind="number", digits=2),
        Column(name="ci_high", label="high", kind="number", digits=2),
        Column(name="minimum", kind="number", digits=2),
        Column(name="verdict"),
        Column(name="status"),
    ]
    kept = [{column.name: row[column.name] for column in columns} for row in rows]
    title = "Reliability by item" if every else "Reliability against what was planned"
    return Table(kept, columns, title=title, notes=_notes(scores, kept))


def all_coefficients(scores: FidelityScores) -> dict[str, list[Coefficient]]:
    """Every coefficient that ``reliability.minimum`` names, of everything that it can be computed of."""
    plan = scores.spec.document.reliability
    return {} if plan is None else {name: coefficients(scores, name) for name in plan.minimum}


def _least_and_median(found: list[Coefficient]) -> list[tuple[Coefficient, str]]:
    """The thing with the least value and that in the middle (the lower of two); those without a value are counted."""
    told = sorted((one for one in found if math.isfinite(one.estimate)), key=lambda one: one.estimate)
    if len(found) == 1 or not told:
        return [(found[0], "" if len(found) == 1 else f"none of {len(found)} has a value")]
    lacking = f"; {len(found) - len(told)} without a value" if len(told) < len(found) else ""
    middle = (len(told) - 1) // 2
    if middle == 0:
        return [(told[0], f"least of {len(told)}{lacking}")]
    return [(told[0], f"least of {len(told)}{lacking}"), (told[middle], f"median of {len(told)}{lacking}")]


def _verdict(one: Coefficient, least: float) -> str:
    """Whether the whole interval lies at or above the least value, or below it."""
    if not (math.isfinite(one.low) and math.isfinite(one.high)):
        return CANNOT_BE_TOLD
    if one.low >= least:
        return REACHED
    return NOT_REACHED if one.high < least else CANNOT_BE_TOLD


def _row(one: Coefficient, least: float, place: str) -> dict[str, Any]:
    blank = {"estimate": one.estimate, "ci_low": one.low, "ci_high": one.high}
    return {
        "coefficient": one.name,
        "of": one.of,
        "place": place,
        "detail": one.detail,
        "cases": one.n,
        "raters": one.raters,
        **{name: value if math.isfinite(value) else None for name, value in blank.items()},
        "minimum": least,
        "verdict": _verdict(one, least),
        "status": one.reason or "ok",
    }


def _notes(scores: FidelityScores, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    plan = scores.spec.document.reliability
    if plan is None:
        return ("The specification plans no study of reliability.",)
    highest = scores.units[-1]
    notes = [text for text, _ in _design(scores)]
    if not plan.minimum:
        return (*notes, "The specification names no least values of coefficients.")
    notes += [
        f"Reached: the whole interval is at or above the least value; not reached: it is below. Intervals are clustered by {highest}."
        if highest != scores.units[0]
        else "Reached: the whole interval is at or above the least value; not reached: it is below."
    ]
    if any("weights" in row["detail"] for row in rows):
        notes.append("Agreement is of single items, over cases that two raters or more judged.")
    if any(str(row.get("place", "")).startswith("least") for row in rows):
        notes.append("The least value was picked for being so, and is somewhat low by chance.")
    if any("rating sheets" in row["detail"] for row in rows):
        notes.append(
            "Rating sheets: the score that one rater's judgements give a case; what nobody judges, or one rater left out, is as in "
            "the case's other ratings."
        )
    return tuple(notes)


def reliability_notes(scores: FidelityScores) -> list[str]:
    """What differs from the plan: the share judged twice, raters, assignment, and least values that are not reached."""
    plan = scores.spec.document.reliability
    if plan is None:
        return []
    notes = [text for text, off in _design(scores) if off]
    for row in reliability_table(scores).to_dicts():
        if row["verdict"] == REACHED:
            continue
        of = f"{row['coefficient']} of {row['of']}" + (f" ({row['place']})" if row["place"] else "")
        if row["estimate"] is None:
            notes.append(f"{of}: whether {row['minimum']:.2f} is reached cannot be told: {row['status']}.")
            continue
        value = f"{row['estimate']:.2f}"
        if row["ci_low"] is not None:
            value += f" ({row['ci_low']:.2f} to {row['ci_high']:.2f})"
        least = f"{row['minimum']:.2f}"
        off = row["verdict"] == NOT_REACHED
        told = f"the planned {least} is not reached" if off else f"whether {least} is reached cannot be told"
        why = "" if row["ci_low"] is not None else f" ({row['status']})"
        notes.append(f"{of} is {value}: {told}{why}.")
    return notes


def _design(scores: FidelityScores) -> list[tuple[str, bool]]:
    """The design in sentences, each with whether it differs from the plan."""
    plan, raters = scores.spec.document.reliability, len(scores.matrix.raters)
    if plan is None:
        return []
    if not raters:
        planned = (plan.double_rated_share, plan.raters, plan.assignment)
        judged = [name for name in plan.minimum if not name.startswith(("alpha", "omega", "dependability_"))]
        asked = bool(judged) or any(each is not None for each in planned)
        text = "No rater is named in the ratings: nothing can be told of their agreement."
        return [(text, True)] if asked else []
    found: list[tuple[str, bool]] = []
    if plan.double_rated_share is not None:
        counts = raters_by_case(scores)
        share = float((counts[counts > 0] >= 2).mean())
        text = (
            f"{share:.0%} of the rated cases have two raters or more; {plan.double_rated_share:.0%} were planned."
        )
        found.append((text, share < plan.double_rated_share - 0.005))
    if plan.raters is not None:
        found.append((f"{raters:,} raters judged; {plan.raters:,} were planned.", raters != plan.raters))
    if plan.assignment is not None:
        found.append(_assignment(scores, plan.assignment))
    return found


def _assignment(scores: FidelityScores, planned: str) -> tuple[str, bool]:
    """Crossed: raters judge in several highest units; nested: each in one alone."""
    highest, homes = scores.units[-1], raters_homes(scores)
    total, several = len(homes), int(np.count_nonzero(homes > 1))
    if len(scores.matrix.places.labels[highest]) < 2:
        return f"Whether raters are {planned} cannot be told: there is one {highest}.", False
    seen = "crossed" if several == total else "nested" if several == 0 else "partly crossed"
    text = f"Raters are {seen} with {highest}: {several:,} of {total:,} judged in more than one; {planned} was planned."
    return text, seen != planned
