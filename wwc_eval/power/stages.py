"""One design at protocol, at randomisation and at analysis, in the table that the EEF's reports carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.assurance import changed
from wwc_eval.power.checks import plural
from wwc_eval.power.conventions import Convention
from wwc_eval.power.results import MdesResult
from wwc_eval.power.trial import Trial
from wwc_eval.table import Column, Grid, Rendered, Table, format_count, format_number

__all__ = ["Stages", "power_stages"]

STAGES = ("protocol", "randomisation", "analysis")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Stages(Rendered):
    """What a trial could detect at protocol, at randomisation and at analysis.

    Parameters
    ----------
    designs : mapping of str to Trial
        The design at each stage.
    results : mapping of str to MdesResult
        What it can detect.
    """

    designs: Mapping[str, Trial]
    results: Mapping[str, MdesResult]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of what, then a value for each stage: MDES, R^2, ICC or k, alpha, power, sides, sizes, units an arm."""
        rows: list[dict[str, Any]] = []

        def add(what: str, **values: Any) -> None:
            rows.append({"what": what, **values})

        results = self.results
        for what, name in (("MDES", "value"), ("detectable fall", "fall"), ("detectable rise", "rise")):
            add(what, **{stage: _one(getattr(found, name)) for stage, found in results.items()})
        first = next(iter(self.designs.values()))
        for at, level in enumerate(first.levels):
            held = {stage: design.levels[at] for stage, design in self.designs.items()}
            add(f"R² of {plural(level.name)}", **{stage: _one(each.r2) for stage, each in held.items()})
            if at > 0:
                word = "ICC" if level.k is None else "k"
                values = {stage: _one(each.icc if each.k is None else each.k) for stage, each in held.items()}
                add(f"{word} of {plural(level.name)}", **values)
        add("alpha", **{stage: _one(found.alpha) for stage, found in results.items()})
        add("power", **{stage: _one(found.power) for stage, found in results.items()})
        add("sides", **{stage: found.sides for stage, found in results.items()})
        for at, level in enumerate(first.levels[:-1]):
            above = first.levels[at + 1].name
            add(f"{plural(level.name)} a {above}", **{s: _one(d.levels[at].kept) for s, d in self.designs.items()})
        for at, level in enumerate(first.levels):
            for arm in ("programme", "control", "total"):
                if at > first.at and arm != "total":
                    continue  # blocks hold both arms
                add(f"{plural(level.name)}: {arm}", **{s: _units(d, at, arm) for s, d in self.designs.items()})
        return rows

    def _grid(self) -> Grid:
        stages = list(self.designs)
        shown = [
            {"what": row["what"], **{stage: _shown(row["what"], row[stage]) for stage in stages}}
            for row in self.to_dicts()
        ]
        columns = [Column(name="what", label=""), *(Column(name=s, kind="number") for s in stages)]
        return Table(shown, columns)._grid()

    def _title(self) -> str:
        return f"What the trial can detect ({next(iter(self.designs.values())).outcome.words()})"

    def _notes(self) -> tuple[str, ...]:
        found = list(self.results.values())
        return (f"Convention: {found[0].convention}.", *dict.fromkeys(w for each in found for w in each.warnings))


def power_stages(
    design: Trial,
    *,
    randomisation: Mapping[str, float] | None = None,
    analysis: Mapping[str, float] | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    sides: int = 2,
    convention: str | Convention = "exact",
) -> Stages:
    """The table "at protocol, at randomisation, at analysis" from one design and what happened to it.

    Parameters
    ----------
    design : Trial
        The design at protocol.
    randomisation, analysis : mapping of str to float, optional
        What had changed by then, by name: ``{"team.n": 45, "child.n": 52}``, then ``{"child.attrition": 0.12,
        "team.icc": 0.03, "child.r2": 0.3}``. Changes at randomisation stand at analysis too. A stage that is not given
        has no column.
    power, alpha, sides, convention
        As in :meth:`wwc_eval.power.Trial.mdes`.

    Returns
    -------
    Stages
        One column a stage.

    Notes
    -----
    Source of the layout: Education Endowment Foundation, Statistical analysis guidance and report template.

    Examples
    --------
    >>> from wwc_eval.power import Level
    >>> design = Trial(levels=[Level("child", 20), Level("team", 40, icc=0.05)], assigned="team")
    >>> stages = power_stages(design, randomisation={"team.n": 38}, analysis={"child.attrition": 0.15})
    >>> {stage: round(float(found), 3) for stage, found in stages.results.items()}
    {'protocol': 0.284, 'randomisation': 0.292, 'analysis': 0.304}
    """
    designs = {"protocol": design}
    for stage, changes in (("randomisation", randomisation), ("analysis", analysis)):
        if changes is not None:
            last = next(reversed(designs.values()))
            designs[stage] = _rebuilt(last, changes)
    if len(designs) == 1:
        raise DesignError("only the protocol is given", fix="randomisation={'team.n': 45}")
    found = {s: d.mdes(power, alpha=alpha, sides=sides, convention=convention) for s, d in designs.items()}
    return Stages(designs=designs, results=found)


def _rebuilt(design: Trial, changes: Mapping[str, float]) -> Trial:
    """The changed design, checked."""
    return changed(design, {name: np.asarray(float(value)) for name, value in changes.items()}).replace()


def _one(value: Any) -> float:
    return float(np.ravel(np.asarray(value, float))[0])


def _units(design: Trial, at: int, arm: str) -> float:
    """Units of a level in all or in one arm: whole ones, the assigned units first, the treated arm not above its share."""

    def in_all(level: int) -> float:
        return float(np.prod([_one(each.kept) for each in design.levels[level:]]))

    total = float(np.round(in_all(at)))
    if arm == "total":
        return total
    assigned = float(np.round(in_all(design.at)))
    treated = math.floor(_one(design.allocation) * assigned + 1e-9)
    programme = float(np.round(total * treated / assigned))
    return programme if arm == "programme" else total - programme


def _shown(what: str, value: float) -> str:
    if what == "power":
        return f"{100 * value:g}%"
    if ":" in what:
        return format_count(value)
    if what == "sides":
        return "two-sided" if value == 2 else "one-sided"
    digits = 4 if "MDES" in what or "detectable" in what else 3
    return format_number(value, digits if " a " not in what else 1)
