"""Practice scored against the specification that a plan names, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.errors import PlanError
from wwc_eval.report.record import Supplement
from wwc_eval.table import Column, Table, format_percent

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
    asked = facts.document.fidelity
    level = (asked.by if asked is not None else None) or scores.units[-1]
    rows = scores.by(level).to_dicts()
    bands: dict[str, int] = {}
    for row in rows:
        bands[str(row["band"])] = bands.get(str(row["band"]), 0) + 1
    unit = level.replace("_", " ")
    if len(rows) == 1:
        row = rows[0]
        told = [f"Score {row['estimate']:.0f} ({row['ci_low']:.0f} to {row['ci_high']:.0f}), band {row['band']}."]
    else:
        counted = ", ".join(f"{name} {count}" for name, count in sorted(bands.items()))
        told = [f"Of {len(rows)} units ({unit}): {counted}."]
    if asked is not None and asked.band is not None:
        chances = _at_least(rows, asked.band, list(scores.spec.bands))
        reached = sum(chance >= 0.8 for chance in chances)
        told.append(
            f"Probability of at least {asked.band}: {format_percent(chances[0], 0)}."
            if len(chances) == 1
            else f"At least {asked.band} with probability 80% or more: {reached} of {len(chances)}."
        )
    return told


def _at_least(rows: list[dict[str, Any]], band: str, names: list[str]) -> list[float]:
    """Chance that each unit is in the band or above it."""
    above = names[names.index(band) :] if band in names else [band]
    return [sum(float(row.get(f"p_{name}") or 0.0) for name in above) for row in rows]


def shown_scores(facts: Facts, scores: FidelityScores, rule: DisclosureRule) -> tuple[Supplement, ...]:
    """Bands of the units, the heat map, components, the three rules of the composite, what would change a band.

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
    notes = tuple(str(note) for note in scores.notes)
    return (
        Supplement(
            key="bands",
            title=f"Scores and bands by {level.replace('_', ' ')}",
            sentences=(head, *fidelity_words(facts, scores), *notes),
            table=_units(scores, level, rule),
        ),
        Supplement(
            key="heatmap",
            title="Components by unit",
            draw=lambda ax: scores.plot_heatmap(level, ax=ax),
            alt="Units by components of the specification, each as percent of the maximum.",
        ),
        Supplement(key="components", title="Components", table=_counted(scores.components, rule)),
        Supplement(
            key="rules",
            title="Three rules of the composite side by side",
            table=scores.sensitivity,
        ),
        Supplement(key="changes", title="What would change the band", table=_needs(scores, level)),
    )


def _units(scores: FidelityScores, level: str, rule: DisclosureRule) -> Table:
    table = scores.by(level)
    names = [column.name for column in table.columns]
    keep = [
        level,
        "cases",
        "estimate",
        "ci_low",
        "ci_high",
        "band",
        *(name for name in names if name.startswith("p_")),
    ]
    return _counted(_with(table, [name for name in keep if name in names]), rule)


def _needs(scores: FidelityScores, level: str) -> Table:
    table = scores.bands
    rows = [row for row in table.to_dicts() if row.get("level") == level]
    names = ("unit", "estimate", "band", "needs")
    columns = [column for column in table.columns if column.name in names]
    return Table([{column.name: row[column.name] for column in columns} for row in rows], columns)


def _with(table: Table, names: list[str]) -> Table:
    columns = {column.name: column for column in table.columns}
    return Table(
        [{name: row[name] for name in names} for row in table.to_dicts()],
        [columns[name] for name in names],
        notes=table.notes,
    )


def _counted(table: Table, rule: DisclosureRule) -> Table:
    """The table with its counts of cases as they may be shown."""
    if "cases" not in [column.name for column in table.columns]:
        return table
    columns = [
        Column(name="cases", label="cases") if column.name == "cases" else column for column in table.columns
    ]
    rows = []
    for row in table.to_dicts():
        count = int(row["cases"] or 0)
        shown = rule.small_label if rule.is_small(count) else f"{rule.rounded(count):,}"
        rows.append({**row, "cases": shown})
    return Table(rows, columns, title=table.title, notes=table.notes)
