"""What follows from a plan's fields taken together: columns, arms, levels, populations, formulas.

Checks and runs both ask here, so that what is checked is what is run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wwc_eval.errors import FormulaError
from wwc_eval.formula import Condition, Formula, parse_condition, parse_formula
from wwc_eval.plans.document import Change, ColumnDeclaration, DataFile, Deviation, Outcome
from wwc_eval.plans.schema import PlanDocument, validate_analysis
from wwc_eval.plans.vocabulary import fields_of
from wwc_eval.plans.vocabulary.base import INTENTION_TO_TREAT, AnalysisFields
from wwc_eval.plans.yaml_text import Parsed, Path

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Facts", "Task"]

CONFIRMATORY = ("primary", "secondary")
SHARED_FIELDS = frozenset(
    {
        "outcome",
        "population",
        "formula",
        "family",
        "report",
        "exposure",
        "weights",
        "missing",
        "average",
        "bootstrap",
        "impact",
        "wild",
    }
)
"""Fields that an analysis keeps where a change names another model; the rest is the model's own."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One analysis to run: planned, varied, or by subgroup.

    Parameters
    ----------
    id, role : str
        Identifier and place in the plan.
    analysis : AnalysisFields
        The analysis, with any change applied.
    path : tuple
        Where it stands in the plan.
    of : str, optional
        The analysis that is varied.
    changed : mapping
        Changed fields and their new values.
    by : str, optional
        Column or condition of a subgroup analysis.
    why : str
        The reason given in the plan.
    """

    id: str
    role: str
    analysis: AnalysisFields
    path: Path
    of: str | None = None
    changed: Mapping[str, object] = field(default_factory=dict)
    by: str | None = None
    title: str | None = None
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """A validated plan with what follows from it."""

    document: PlanDocument
    parsed: Parsed

    @functools.cached_property
    def main_file(self) -> tuple[str, DataFile] | None:
        """Name and declaration of the file that is analysed; None where the plan leaves it open."""
        files = self.document.data.files
        name = self.document.data.main_file
        if name is None and len(files) == 1:
            name = next(iter(files))
        return (name, files[name]) if name is not None and name in files else None

    @functools.cached_property
    def columns(self) -> dict[str, ColumnDeclaration]:
        """Columns of the analysed frame: the main file's and those joined to it."""
        if self.main_file is None:
            return {}
        found = dict(self.main_file[1].columns)
        for join in self.document.data.joins:
            other = self.document.data.files.get(join.file)
            if other is not None:
                found.update({name: column for name, column in other.columns.items() if name not in join.on})
        return found

    @functools.cached_property
    def lists(self) -> dict[str, DataFile]:
        """Files that serve as lists in conditions: neither the main file nor joined."""
        used = {join.file for join in self.document.data.joins}
        if self.main_file is not None:
            used.add(self.main_file[0])
        if self.document.fidelity is not None:
            used.add(self.document.fidelity.ratings)
        return {name: file for name, file in self.document.data.files.items() if name not in used}

    @functools.cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms, the comparator first.

        The order is that of the arm column's declared levels (a list), never that of a mapping; the comparator
        arm of the estimand, where named, comes first.
        """
        design = self.document.design
        column = self.columns.get(design.arm_column)
        order = list(column.levels) if column is not None and column.levels else sorted(design.arms)
        comparator = self.document.estimand.comparator_arm
        if comparator in order:
            order.remove(comparator)
            order.insert(0, comparator)
        return tuple(order)

    @functools.cached_property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Declared levels of every categorical column, the arm's with the comparator first."""
        found = {name: tuple(column.levels) for name, column in self.columns.items() if column.levels}
        found[self.document.design.arm_column] = self.arms
        return found

    @functools.cached_property
    def unit_column(self) -> str | None:
        """Column of what was randomised: as declared, else ``<unit>_id``, else ``<unit>``."""
        design = self.document.design
        names = [design.unit_column] if design.unit_column else [f"{design.unit}_id", design.unit]
        return next((name for name in names if name in self.columns), None)

    @functools.cached_property
    def fewest_clusters(self) -> int | None:
        """Clusters of the smallest arm, of a wedge in all, as declared; None where nothing is."""
        design = self.document.design
        declared, shares = design.clusters, design.arms.values()
        if isinstance(declared, dict):
            return min(declared.values(), default=None)
        if design.kind == "stepped_wedge":
            return declared or (len(design.wedge.go_live) if design.wedge else 0) or None
        return None if declared is None else declared * min(shares) // max(sum(shares), 1)

    @property
    def rows_are_units(self) -> bool:
        """Whether a row of the main file is one randomised unit."""
        return self.main_file is not None and self.main_file[1].key == [self.unit_column]

    @property
    def words(self) -> dict[str, str]:
        """Words for the randomised unit and for a row, singular and plural."""
        design = self.document.design
        unit = design.unit.replace("_", " ")
        file = self.main_file[1] if self.main_file is not None else None
        row = (file.row if file else None) or _row_word(file) or ("case" if not self.rows_are_units else unit)
        rows = (file.rows if file else None) or _plural(row)
        return {"unit": unit, "units": design.units or _plural(unit), "row": row, "rows": rows}

    @property
    def level(self) -> float:
        """Coverage of intervals: 1 - alpha for a two-sided test, 1 - 2 alpha for a one-sided one."""
        target = self.document.design.target
        return 1.0 - float(target.alpha) * (3 - target.sides)

    @functools.cached_property
    def outcomes(self) -> dict[str, Outcome]:
        """Outcomes by name."""
        return {outcome.name: outcome for outcome in self.document.outcomes}

    @functools.cached_property
    def primary(self) -> Outcome | None:
        """The primary outcome."""
        return next((outcome for outcome in self.document.outcomes if outcome.role == "primary"), None)

    @functools.cached_property
    def confirmatory(self) -> tuple[AnalysisFields, ...]:
        """Planned analyses of primary and secondary outcomes."""
        return tuple(
            analysis
            for analysis in self.document.analyses
            if analysis.outcome in self.outcomes and self.outcomes[analysis.outcome].role in CONFIRMATORY
        )

    @functools.cached_property
    def post_treatment(self) -> frozenset[str]:
        """Columns that must not be covariates: not baseline, not assigned, not identifying."""
        design = self.document.design
        known = {design.arm_column, *design.within, *design.levels}
        known |= {self.unit_column} if self.unit_column else set()
        if design.panel is not None:
            known |= {design.panel.period, design.panel.cohort}
        if design.wedge is not None:
            known |= {name for name in (design.wedge.period, design.wedge.time_on_treatment) if name is not None}
        known |= set(self.main_file[1].key) if self.main_file else set()
        return frozenset(
            name for name, column in self.columns.items() if not column.baseline and name not in known
        )

    def population_rule(self, name: str) -> str | None:
        """Condition of a named population; None for intention to treat."""
        if name == INTENTION_TO_TREAT or name not in self.document.populations:
            return None
        return self.document.populations[name].rule

    def tasks(self) -> Iterator[Task]:
        """Every analysis to run, in the plan's order: planned, sensitivity, subgroup, deviation.

        Raises
        ------
        PlanError
            If a changed analysis is not valid, placed at the change.
        """
        document = self.document
        by_id: dict[str, AnalysisFields] = {}
        for index, analysis in enumerate(document.analyses):
            by_id[analysis.id] = analysis
            outcome = self.outcomes.get(analysis.outcome)
            role = outcome.role if outcome is not None else "exploratory"
            yield Task(
                id=analysis.id, role=role, analysis=analysis, path=("analyses", index), title=analysis.title
            )
        for index, change in enumerate(document.sensitivity):
            if change.of in by_id:
                yield self._changed("sensitivity", index, by_id[change.of], change, change.why)
        for index, subgroup in enumerate(document.subgroups):
            if subgroup.of in by_id:
                yield Task(
                    id=subgroup.id,
                    role="subgroup",
                    analysis=by_id[subgroup.of],
                    path=("subgroups", index),
                    of=subgroup.of,
                    by=subgroup.by,
                    title=subgroup.title,
                    why=subgroup.why,
                )
        for index, deviation in enumerate(document.deviations):
            if deviation.of in by_id and deviation.change:
                yield self._changed("deviations", index, by_id[deviation.of], deviation, deviation.reason)

    def _changed(
        self,
        section: str,
        index: int,
        base: AnalysisFields,
        entry: Change | Deviation,
        why: str | None,
    ) -> Task:
        change = entry.change
        kept = base.model_dump(exclude_unset=True, by_alias=True)
        if change.get("model", base.model) != base.model:
            # another model takes over only what both know in the same sense
            known = SHARED_FIELDS & fields_of(str(change["model"]))
            kept = {name: value for name, value in kept.items() if name in known}
        data = {**kept, **change, "id": entry.id}
        if "title" not in change:
            data.pop("title", None)
        analysis = validate_analysis(data, self.parsed, (section, index, "change"))
        return Task(
            id=entry.id,
            role="sensitivity" if section == "sensitivity" else "deviation",
            analysis=analysis,
            path=(section, index, "change"),
            of=base.id,
            changed=dict(change),
            title=(entry.title if isinstance(entry, Change) else None) or analysis.title,
            why=why or "",
        )


def formula_or_error(text: str) -> Formula | FormulaError:
    """The parsed formula, or what is wrong with it."""
    try:
        return parse_formula(text)
    except FormulaError as error:
        return error


def condition_or_error(text: str) -> Condition | FormulaError:
    """The parsed condition, or what is wrong with it."""
    try:
        return parse_condition(text)
    except FormulaError as error:
        return error


def _plural(word: str) -> str:
    if word.endswith("child"):
        return f"{word}ren"
    if word.endswith("y") and not word.endswith(("ay", "ey", "oy", "uy")):
        return f"{word[:-1]}ies"
    if word.endswith("person"):
        return f"{word[:-6]}people"
    return f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"


def _row_word(file: DataFile | None) -> str | None:
    """Word after "one row per" in the grain, where it is written so."""
    if file is None or not file.grain:
        return None
    _, found, rest = file.grain.partition("per ")
    return rest.strip() or None if found else None
