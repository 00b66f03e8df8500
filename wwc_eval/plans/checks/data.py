"""Checks of the data section: declared columns, files inside the project, exclusions, small numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as FilePath

from wwc_eval.errors import Problem, WwcError, did_you_mean, shown
from wwc_eval.formula import Condition, Formula
from wwc_eval.plans.checks.registry import check, conditions_of, formulas_of, names_in, problem_at, tasks_of
from wwc_eval.plans.facts import Facts, condition_or_error, formula_or_error
from wwc_eval.plans.yaml_text import Path

__all__ = ["path_fault", "project_root"]

MARKERS = ("pyproject.toml", ".git", ".hg")
PLAN_FOLDERS = frozenset({"analysis_plans", "plans", "protocols"})


@check("P02", "every column used is declared")
def _declared(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    if facts.main_file is None:
        files = facts.document.data.files
        message = "data: no file is declared" if not files else "data: which of the files is analysed is not said"
        yield problem_at(facts, "P02", ("data",), message, "name it in main_file")
        return
    for path, name in _used_columns(facts):
        if name not in facts.columns:
            yield problem_at(
                facts, "P02", path, f"column '{name}' is not declared", did_you_mean(name, facts.columns)
            )
    if facts.unit_column is None and facts.document.design.unit_column is None:
        unit = facts.document.design.unit
        yield problem_at(
            facts, "P02", ("design", "unit"), f"no declared column identifies a {unit}", "name it in unit_column"
        )
    yield from _condition_columns(facts)
    yield from _declarations(facts)
    for name, file in facts.document.data.files.items():
        for key in file.key:
            if key not in file.columns:
                yield problem_at(
                    facts, "P02", ("data", name, "key"), f"key column '{key}' is not declared",
                    did_you_mean(key, file.columns),
                )  # fmt: skip


def _declarations(facts: Facts) -> Iterator[Problem]:
    """What is wrong with a column's declaration itself, such as a pattern that is none."""
    from wwc_eval.data.schema import ColumnSpec

    for file_name, file in facts.document.data.files.items():
        for name, column in file.columns.items():
            try:
                ColumnSpec.parse(name, column.model_dump(exclude_none=True, exclude={"label"}))
            except WwcError as error:
                for problem in error.problems:
                    path: Path = ("data", file_name, "columns", name)
                    yield replace(problem, place=facts.parsed.place(path))


def _used_columns(facts: Facts) -> Iterator[tuple[Path, str]]:
    document = facts.document
    yield ("design", "arm_column"), document.design.arm_column
    for name in document.design.within:
        yield ("design", "within"), name
    for name in document.design.levels:
        yield ("design", "levels"), name
    if document.design.unit_column is not None:
        yield ("design", "unit_column"), document.design.unit_column
    if document.design.wedge is not None:
        wedge = document.design.wedge
        yield ("design", "wedge", "period"), wedge.period
        if wedge.time_on_treatment is not None:
            yield ("design", "wedge", "time_on_treatment"), wedge.time_on_treatment
    if document.design.panel is not None:
        yield ("design", "panel", "period"), document.design.panel.period
        yield ("design", "panel", "cohort"), document.design.panel.cohort
    if document.randomisation is not None:
        for name in document.randomisation.by:
            yield ("randomisation", "by"), name
    for index, outcome in enumerate(document.outcomes):
        yield ("outcomes", index, "name"), outcome.name
        if outcome.trials is not None:
            yield ("outcomes", index, "trials"), outcome.trials
    for task in tasks_of(facts):
        if task.role == "subgroup":
            continue
        for path, text in formulas_of(task):
            formula = formula_or_error(text)
            if isinstance(formula, Formula):
                yield from ((path, name) for name in sorted(formula.columns))
        for inner, name in task.analysis.columns.items():
            yield (*task.path, *inner), name


def _condition_columns(facts: Facts) -> Iterator[Problem]:
    for path, text in conditions_of(facts):
        condition = condition_or_error(text)
        if not isinstance(condition, Condition):
            continue
        for name in sorted(condition.columns):
            if name not in facts.columns:
                yield problem_at(
                    facts, "P02", path, f"column '{name}' is not declared", did_you_mean(name, facts.columns)
                )
        for name in sorted(condition.names):
            if name not in facts.lists:
                yield problem_at(
                    facts, "P02", path, f"there is no list '{name}'",
                    f"declare a data file '{name}' that holds it; {did_you_mean(name, facts.lists)}",
                )  # fmt: skip


@check("P15", "files are inside the project")
def _paths(facts: Facts, plan_file: FilePath | None) -> Iterator[Problem]:
    for name, file in facts.document.data.files.items():
        path: Path = ("data", name, "file")
        fault = path_fault(file.file, plan_file)
        if fault:
            yield problem_at(
                facts, "P15", path, f"{shown(file.file)} {fault}", "keep data below the project's folder"
            )
    for task in tasks_of(facts):
        record = task.analysis.allocation_record
        if record is None or task.role == "subgroup" or (task.of and "few_treated" not in task.changed):
            continue
        fault = path_fault(record, plan_file)
        fault = fault or (None if record.endswith(".json") else "is no receipt.json")
        if fault:
            yield problem_at(
                facts, "P15", (*task.path, "few_treated", "allocation"), f"{shown(record)} {fault}",
                "name the receipt.json that wwc-eval randomise wrote, below the project's folder, or randomisation",
            )  # fmt: skip


def path_fault(text: str, plan_file: FilePath | None) -> str | None:
    """What is wrong with a path of the plan, as the end of a sentence; None where it stays inside the project."""
    if "\\" in text:
        return "uses backslashes; write / between folders"
    if text.startswith(("/", "~")) or (len(text) > 1 and text[1] == ":") or "://" in text:
        return "is not a path relative to the plan"
    if "\0" in text or text != text.strip():
        return "holds a stray character"
    if plan_file is None:
        return None
    root = project_root(plan_file)
    folder = plan_file.resolve().parent
    lexical = FilePath(os.path.normpath(folder / text))
    if not lexical.is_relative_to(root):
        return f"lies outside the project (the folder '{root.name}')"
    if not lexical.resolve().is_relative_to(root):
        return "is a link that leads outside the project"
    return None


def project_root(plan_file: FilePath) -> FilePath:
    """Folder that a plan's files must stay in.

    The nearest folder at or above the plan that holds ``pyproject.toml``, ``.git`` or ``.hg``; where there is none,
    the parent of a folder named ``analysis_plans``, ``plans`` or ``protocols``, else the plan's own folder.
    """
    folder = plan_file.resolve().parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in MARKERS):
            return candidate
    return folder.parent if folder.name in PLAN_FOLDERS else folder


@check("P16", "exclusions use neither arm nor outcome")
def _exclusions(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    arm = facts.document.design.arm_column
    for index, exclusion in enumerate(facts.document.data.exclusions):
        for name in sorted(names_in(facts, exclusion.rule)):
            what = "the arm" if name == arm else "an outcome" if name in facts.outcomes else None
            if what:
                yield problem_at(
                    facts, "P16", ("data", "exclusions", index, "rule"), f"the exclusion uses {what} ('{name}')",
                    "exclude by what was known before randomisation, or by consent",
                )  # fmt: skip


@check("P20", "small numbers are protected")
def _small_numbers(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    disclosure = facts.document.disclosure
    if disclosure.threshold < 5 and not disclosure.reason:
        yield problem_at(
            facts, "P20", ("disclosure", "threshold"), f"threshold {disclosure.threshold} shows small numbers",
            "raise it to 5 or more, or give a reason:",
        )  # fmt: skip
