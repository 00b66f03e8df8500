"""Practice scored against the specification that a plan names, and how it is shown."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.disclosure import DisclosureRule, safe_count, suppress_counts
from wwc_eval.errors import DisclosureError, PlanError
from wwc_eval.report.record import Supplement
from wwc_eval.table import Column, Table, format_probability

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.fidelity import FidelityScores, FidelitySpecification
    from wwc_eval.plans.facts import Facts

__all__ = ["fidelity_words", "scored", "shown_scores", "specification_of"]


def specification_of(facts: Facts, folder: Path) -> FidelitySpecification:
    """The specification that the plan names.

    Raises
    ------
    DesignError
        With every fault of the file.
    PlanError
        If its content has another hash than the plan says.
    """
    from wwc_eval.fidelity import FidelitySpecification

    asked = facts.document.fidelity
    assert asked is not None
    found: FidelitySpecification = FidelitySpecification.load(folder / asked.specification)
    if found.hash != asked.sha256:
        raise PlanError(
            f"the specification '{Path(asked.specification).name}' has the hash {found.hash}",
            place=facts.parsed.place(("fidelity", "sha256")),
            rule="its content is that which the plan was written for",
            fix="restore it, or write the new hash here and declare the deviation",
        )
    return found


def scored(facts: Facts, frames: Mapping[str, pd.DataFrame], folder: Path) -> FidelityScores:
    """Scores of the plan's ratings.

    Raises
    ------
    DesignError, PlanError, DataError
        If the specification is not the one that was planned, or ratings are faulty.
    """
    asked = facts.document.fidelity
    assert asked is not None
    return specification_of(facts, folder).score(frames[asked.ratings], asked.units or None)


def fidelity_words(facts: Facts, scores: FidelityScores) -> list[str]:
    """How many units reach which band, in sentences."""
    from wwc_eval.fidelity.scoring.bands import INDETERMINATE, INSUFFICIENT

    asked = facts.document.fidelity
    level = (asked.by if asked is not None else None) or scores.units[-1]
    rows = scores.by(level).to_dicts()
    counts = Counter(str(row["band"] or INSUFFICIENT) for row in rows)
    if len(rows) == 1:
        told = [_one_unit(rows[0])]
    else:
        stated = ", ".join(f"{counts[name]} {name}" for name in reversed(scores.spec.bands) if counts[name])
        unsure = {
            INDETERMINATE: ("lies between bands (indeterminate)", "lie between bands (indeterminate)"),
            INSUFFICIENT: ("has too few data", "have too few data"),
        }
        parts = [
            stated,
            *(f"{counts[name]} {words[counts[name] > 1]}" for name, words in unsure.items() if counts[name]),
        ]
        told = [f"Of {len(rows)} {_plural(level)}: {'; '.join(part for part in parts if part)}."]
    if asked is not None and asked.band is not None:
        confidence = scores.spec.document.spec.band_confidence
        chances = _at_least(rows, asked.band, list(scores.spec.bands))
        reached = sum(chance is not None and chance >= confidence for chance in chances)
        unknown = sum(chance is None for chance in chances)
        said = "cannot be told" if chances[0] is None else format_probability(chances[0])
        told.append(
            f"Probability of at least {asked.band}: {said}."
            if len(chances) == 1
            else f"At least {asked.band} with probability {confidence:.0%} or more: {reached} of {len(chances)}"
            + (f"; of {unknown} it cannot be told." if unknown else ".")
        )
    return told


def _one_unit(row: Mapping[str, Any]) -> str:
    """Score, interval and band of the only unit, as far as there are any."""
    if row.get("estimate") is None:
        return f"No score: {row['status']}." if row["status"] != "ok" else f"Band {row['band']}."
    known = row.get("ci_low") is not None
    interval = f"{row['ci_low']:.0f} to {row['ci_high']:.0f}" if known else f"no interval: {row['status']}"
    return f"Score {row['estimate']:.0f} ({interval}), band {row['band'] or row['status']}."


def _plural(level: str) -> str:
    """Several units of a level, in words."""
    words = level.replace("_", " ")
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _at_least(rows: list[dict[str, Any]], band: str, names: list[str]) -> list[float | None]:
    """Chance that each unit is in the band or above it; None where it cannot be told."""
    above = names[names.index(band) :] if band in names else [band]
    parts: list[list[Any]] = [[row.get(f"p_{name}") for name in above] for row in rows]
    return [None if None in part else math.fsum(part) for part in parts]


def shown_scores(facts: Facts, scores: FidelityScores, rule: DisclosureRule) -> tuple[Supplement, ...]:
    """Bands of the units, the heat map, components, the rules of the composite, what would change a band, reliability.

    Parameters
    ----------
    facts : Facts
        The plan.
    scores : FidelityScores
        The scores.
    rule : DisclosureRule
        Which counts of cases may be shown.
    """
    asked = facts.document.fidelity
    assert asked is not None
    level = asked.by or scores.units[-1]
    spec = scores.spec
    head = (
        f"Specification {spec.document.spec.id} {spec.document.spec.version}, hash {spec.hash[:12]}, as planned."
    )
    units = _units(scores, level, rule)
    return (
        Supplement(
            key="bands",
            title=f"Scores and bands by {level.replace('_', ' ')}",
            sentences=(*fidelity_words(facts, scores), head),
            table=units,
        ),
        Supplement(
            key="heatmap",
            title=f"Components by {level.replace('_', ' ')}",
            draw=lambda ax: scores.plot_heatmap(level, ax=ax),
            alt="Units by components of the specification, each as percent of the maximum.",
        ),
        Supplement(key="components", title="Components over all cases", table=_components(scores, rule)),
        Supplement(
            key="rules",
            title="Rules of the composite side by side",
            table=_rules(scores.sensitivity, rule),
        ),
        Supplement(key="changes", title="What would change the band", table=_needs(scores, level)),
        *_reliability(scores, rule),
    )


def _units(scores: FidelityScores, level: str, rule: DisclosureRule) -> Table:
    """Scores of the units; counts that would give a small one away are hidden, for the total is known."""
    table = scores.by(level)
    chances = [column.name for column in table.columns if column.name.startswith("p_")]
    found = _with(table, [level, "cases", "estimate", "ci_low", "ci_high", "band", *chances])
    rows = found.to_dicts()
    if "cases" not in rows[0]:
        return found
    counts = [int(row["cases"] or 0) for row in rows]
    try:
        shown = suppress_counts(counts, rule, known_totals=True).rows[0]
    except DisclosureError:
        shown = (rule.hidden_label,) * len(rows)
    small, hidden = rule.small_label in shown, rule.hidden_label in shown
    told = [{**row, "cases": _text(count)} for row, count in zip(rows, shown, strict=True)]
    notes = [note for note in found.notes if not note.startswith("Specification ")]
    columns = [
        replace(column, label=f"chance of {column.name[2:]}") if column.name in chances else column
        for column in _plain_cases(found.columns)
    ]
    return Table(told, columns, notes=(*notes, *rule.notes(small=small, hidden=hidden)))


def _components(scores: FidelityScores, rule: DisclosureRule) -> Table:
    """Components by their names, with counts as they may be shown."""
    found = _with(
        scores.components,
        ["component", "dimension", "weight", "cases", "estimate", "ci_low", "ci_high", "gates_closed"],
    )
    labels = {component.id: component.label or component.id for component in scores.spec.document.components}
    rows = [
        {
            **row,
            "component": labels[row["component"]],
            "cases": _text(safe_count(int(row["cases"] or 0), rule)),
            "gates_closed": ""
            if row["gates_closed"] is None
            else _text(safe_count(int(row["gates_closed"]), rule)),
        }
        for row in found.to_dicts()
    ]
    columns = _plain_cases(found.columns)
    if not any(row["gates_closed"] for row in rows):
        columns = [column for column in columns if column.name != "gates_closed"]
        rows = [{name: value for name, value in row.items() if name != "gates_closed"} for row in rows]
    return Table(rows, columns, notes=found.notes)


def _rules(table: Table, rule: DisclosureRule) -> Table:
    """Rules side by side; how many cases change only where those are not few."""
    notes = [note for note in table.notes if not (found := _CASES.match(note)) or _may_be_told(found[1], rule)]
    return Table(table.to_dicts(), table.columns, notes=notes)


_CASES = re.compile(r"([\d,]+) cases ")


def _may_be_told(count: str, rule: DisclosureRule) -> bool:
    number = int(count.replace(",", ""))
    return not rule.is_small(number) and rule.rounded(number) == number


def _reliability(scores: FidelityScores, rule: DisclosureRule) -> tuple[Supplement, ...]:
    """Coefficients beside the least values that the specification plans, where it plans a study of reliability."""
    if scores.spec.document.reliability is None:
        return ()
    names = [
        "coefficient",
        "of",
        "place",
        "cases",
        "estimate",
        "ci_low",
        "ci_high",
        "minimum",
        "verdict",
        "status",
    ]
    found = _with(scores.reliability, names)
    rows = [
        {**row, "cases": "" if row["cases"] is None else _text(safe_count(int(row["cases"]), rule))}
        for row in found.to_dicts()
    ]
    counts = Counter(str(row["verdict"]) for row in rows)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    said = (f"Least values of reliability, as planned: {told}.",) if rows else ()
    table = Table(rows, _plain_cases(found.columns), notes=found.notes)
    return (Supplement(key="reliability", title="Reliability of the ratings", sentences=said, table=table),)


def _needs(scores: FidelityScores, level: str) -> Table:
    table = scores.bands
    rows = [row for row in table.to_dicts() if row.get("level") == level]
    names = ("unit", "estimate", "band", "needs")
    columns = [
        replace(column, label=level.replace("_", " ")) if column.name == "unit" else column
        for column in table.columns
        if column.name in names
    ]
    return Table([{column.name: row[column.name] for column in columns} for row in rows], columns)


def _with(table: Table, names: list[str]) -> Table:
    """The columns named that there are."""
    columns = {column.name: column for column in table.columns}
    kept = [name for name in names if name in columns]
    return Table(
        [{name: row[name] for name in kept} for row in table.to_dicts()],
        [columns[name] for name in kept],
        notes=table.notes,
    )


def _plain_cases(columns: Sequence[Column]) -> list[Column]:
    """Columns whose counts are text by now, where a small one is told as such."""
    return [Column(name=column.name) if column.kind == "count" else column for column in columns]


def _text(count: int | str) -> str:
    return count if isinstance(count, str) else f"{count:,}"
