"""Checks of estimand and design: one question, the same arms, inference at the level of the allocation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from wwc_eval.errors import Problem, did_you_mean, shown
from wwc_eval.formula import Formula
from wwc_eval.plans.checks.registry import check, problem_at, tasks_of
from wwc_eval.plans.facts import Facts, Task, formula_or_error
from wwc_eval.plans.yaml_text import Path


@check("P01", "there is one primary outcome, and it is analysed")
def _one_primary(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    primary = [i for i, outcome in enumerate(facts.document.outcomes) if outcome.role == "primary"]
    if not primary:
        yield problem_at(
            facts, "P01", ("outcomes",), "no outcome is primary", "give one outcome role: primary", key=True
        )
        return
    for index in primary[1:]:
        yield problem_at(
            facts, "P01", ("outcomes", index, "role"), "a second outcome is primary", "make all but one secondary"
        )
    name = facts.document.outcomes[primary[0]].name
    if facts.document.estimand.outcome != name:
        yield problem_at(
            facts, "P01", ("estimand", "outcome"), f"the estimand's outcome is not the primary outcome '{name}'",
            f"write {name}",
        )  # fmt: skip
    for index, outcome in enumerate(facts.document.outcomes):
        if not any(analysis.outcome == outcome.name for analysis in facts.document.analyses):
            yield problem_at(
                facts, "P01", ("outcomes", index), f"outcome '{outcome.name}' is not analysed",
                "add an analysis of it, or remove it",
            )  # fmt: skip
    of_primary = [i for i, a in enumerate(facts.document.analyses) if a.outcome == name]
    for index in of_primary[1:]:
        yield problem_at(
            facts, "P01", ("analyses", index), "a second planned analysis of the primary outcome",
            "keep one; move what varies it to sensitivity:",
        )  # fmt: skip


@check("P03", "the arms of estimand, design and data are the same")
def _same_arms(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    design, estimand = facts.document.design, facts.document.estimand
    for name, share in design.arms.items():
        if share < 1:
            yield problem_at(
                facts, "P03", ("design", "arms", name), f"arm '{name}' has share {share}, must be >= 1"
            )
    for which, arm in (("treatment_arm", estimand.treatment_arm), ("comparator_arm", estimand.comparator_arm)):
        if arm is not None and arm not in design.arms:
            yield problem_at(
                facts, "P03", ("estimand", which), f"'{arm}' is not an arm of the design",
                did_you_mean(arm, design.arms),
            )  # fmt: skip
    if estimand.treatment_arm is not None and estimand.treatment_arm == estimand.comparator_arm:
        yield problem_at(facts, "P03", ("estimand", "treatment_arm"), "treatment and comparator are the same arm")
    if facts.main_file is None or design.arm_column not in facts.columns:
        return
    home: Path = ("data", facts.main_file[0], "columns", design.arm_column)
    column = facts.columns[design.arm_column]
    if column.type != "category" or not column.levels:
        yield problem_at(
            facts, "P03", home, f"arm column '{design.arm_column}' must be a category with levels",
            f"write {{type: category, levels: [{', '.join(design.arms)}]}}, the comparator first",
        )  # fmt: skip
    elif set(column.levels) != set(design.arms):
        odd = sorted(set(column.levels) ^ set(design.arms))
        yield problem_at(
            facts, "P03", (*home, "levels"), f"levels and arms of the design differ in {', '.join(map(shown, odd))}",
            "declare the same arms in both places",
        )  # fmt: skip


@check("P04", "inference respects what was randomised")
def _inference_level(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    unit = facts.unit_column
    if unit is None or facts.rows_are_units or facts.main_file is None:
        return
    above = [unit, *facts.document.design.within]
    levels = facts.document.design.levels
    if unit in levels:
        above += levels[levels.index(unit) :]
    for task in tasks_of(facts):
        if task.role == "subgroup" or task.analysis.outcome not in facts.outcomes:
            continue
        if task.analysis.repeats_allocation or task.analysis.inference_at_unit:
            continue  # whole units are moved, or errors are between units
        cluster = task.analysis.cluster
        if set(task.analysis.clusters) & set(above):
            yield from _cut_groups(facts, task)
            continue
        path = (*task.path, "inference")
        name = facts.document.design.unit
        if cluster is None:
            message = f"{name} was randomised but errors are not clustered by it"
        else:
            message = f"errors are clustered by '{cluster}', which is not {name} or a level above it"
        yield problem_at(facts, "P04", path, message, task.analysis.cluster_fix(unit))


def _cut_groups(facts: Facts, task: Task) -> Iterator[Problem]:
    """Robust errors of a multilevel model: clusters that are no grouping factor must lie above all of them."""
    analysis, levels = task.analysis, facts.document.design.levels
    if analysis.cluster is None or not analysis.groups or analysis.cluster in analysis.groups:
        return
    higher = [*facts.document.design.within]
    if facts.unit_column in levels:
        higher += levels[levels.index(facts.unit_column) + 1 :]
    if analysis.cluster not in higher:
        yield problem_at(
            facts, "P04", (*task.path, "inference", "cluster"),
            f"whether clusters of '{analysis.cluster}' hold whole groups of {', '.join(analysis.groups)} is not said",
            "cluster by the highest grouping factor, or list what lies above it in design: levels:",
        )  # fmt: skip


@check("P05", "blocks of the allocation are in the model")
def _blocks(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    for index, analysis in enumerate(facts.document.analyses):
        if analysis not in facts.confirmatory or analysis.repeats_allocation:
            continue
        formulas = [formula_or_error(text) for text in analysis.formulas.values()]
        used = {name for formula in formulas if isinstance(formula, Formula) for name in formula.columns}
        design = facts.document.design
        blocks = dict.fromkeys(design.within, "was a block of the allocation")
        if design.wedge is None and facts.document.randomisation is not None:
            blocks = {
                **dict.fromkeys(facts.document.randomisation.by, "was a stratum of the randomisation"),
                **blocks,
            }
        if design.wedge is not None:
            blocks[design.wedge.period] = "is the period, with which a wedge's programme spreads,"
        for block, what in blocks.items():
            if formulas and block not in used:
                yield problem_at(
                    facts, "P05", ("analyses", index, "formula"),
                    f"'{block}' {what} but is not in the model",
                    f"add + {block}, or waive P05 with a reason in waivers:",
                )  # fmt: skip


@check("P13", "alpha, sides, margins and directions agree")
def _margins(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    target = facts.document.design.target
    path: Path = ("design", "target")
    if not 0 < target.alpha < 0.5:
        yield problem_at(facts, "P13", (*path, "alpha"), f"alpha == {target.alpha}, must be > 0 and < 0.5")
    if target.power is not None and not 0 < target.power < 1:
        yield problem_at(facts, "P13", (*path, "power"), f"power == {target.power}, must be > 0 and < 1")
    primary = facts.primary
    if primary is not None and target.sides == 1 and primary.better == "neither":
        yield problem_at(
            facts, "P13", (*path, "sides"), "a one-sided test needs a direction",
            "write better: lower or higher for the outcomes",
        )  # fmt: skip
    ratio = facts.document.estimand.summary.endswith("_ratio")
    if primary is not None and target.mdes is not None and _wrong_way(primary.better, target.mdes, ratio=ratio):
        yield problem_at(
            facts,
            "P13",
            (*path, "mdes"),
            f"mdes == {target.mdes}, but {primary.better} is better",
            "change its sign",
        )
    for index, outcome in enumerate(facts.document.outcomes):
        smallest = outcome.smallest_worthwhile
        own = ratio and outcome.role == "primary"
        if smallest is not None and _wrong_way(outcome.better, smallest, ratio=own):
            yield problem_at(
                facts, "P13", ("outcomes", index, "smallest_worthwhile"),
                f"smallest_worthwhile == {smallest}, but {outcome.better} is better",
                "give it in the direction that is better, and say which direction that is",
            )  # fmt: skip


def _wrong_way(better: str, value: float, *, ratio: bool) -> bool:
    null = 1.0 if ratio else 0.0
    if value == null:
        return True
    return (better == "lower" and value > null) or (better == "higher" and value < null) or (ratio and value <= 0)
