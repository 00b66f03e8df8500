"""Checks of the analyses: covariates, scales, subgroups, families, the formula grammar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as FilePath

from wwc_eval.errors import FormulaError, Problem, did_you_mean
from wwc_eval.formula import Formula, quote_name
from wwc_eval.plans.checks.registry import (
    CHECKS,
    check,
    conditions_of,
    formulas_of,
    from_room,
    names_in,
    problem_at,
    tasks_of,
)
from wwc_eval.plans.facts import Facts, condition_or_error, formula_or_error
from wwc_eval.plans.yaml_text import Path


@check("P06", "no covariate was measured after randomisation")
def _covariates(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    for task in tasks_of(facts):
        if task.role == "subgroup":
            continue
        for path, text in formulas_of(task):
            formula = formula_or_error(text)
            if isinstance(formula, Formula):
                right = formula.columns - set(formula.response.columns if formula.response else ())
                for name in sorted(right & facts.post_treatment):
                    yield problem_at(
                        facts, "P06", path, f"covariate '{name}' is not declared as baseline",
                        "declare baseline: true if it was measured before randomisation, else remove it",
                    )  # fmt: skip
        for inner, name in task.analysis.covariates.items():
            if name in facts.post_treatment:
                yield problem_at(
                    facts, "P06", (*task.path, *inner), f"covariate '{name}' is not declared as baseline",
                    "declare baseline: true if it was measured before the programme, else remove it",
                )  # fmt: skip
    for index, subgroup in enumerate(facts.document.subgroups):
        if facts.document.design.arm_column in names_in(facts, subgroup.by):
            yield problem_at(
                facts, "P06", ("subgroups", index, "by"), "the subgroups are formed by the arm",
                "subgroups are formed by what was known before randomisation",
            )  # fmt: skip
        for name in sorted(names_in(facts, subgroup.by) & facts.post_treatment):
            yield problem_at(
                facts, "P06", ("subgroups", index, "by"), f"subgroup column '{name}' is not declared as baseline",
                "subgroups are formed by what was known before randomisation",
            )  # fmt: skip


@check("P09", "effect measures fit the outcome")
def _scales(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    yield from from_room("P09")(facts, None)
    yield from _trials(facts)
    summary = facts.document.estimand.summary
    primary = facts.primary
    for index, analysis in enumerate(facts.document.analyses):
        if primary is not None and analysis.outcome == primary.name and analysis.scales:
            if analysis.scales[0] != summary:
                yield problem_at(
                    facts, "P09", ("estimand", "summary"),
                    f"the estimand's summary is {summary}, the primary analysis reports {analysis.scales[0]} first",
                    f"write {analysis.scales[0]} here, or report [{summary}, ...] in analyses[{index}]",
                )  # fmt: skip
            break


def _trials(facts: Facts) -> Iterator[Problem]:
    """Outcomes that count successes: yes-or-no ones in whole numbers, in analyses that know what they are."""
    for index, outcome in enumerate(facts.document.outcomes):
        if outcome.trials is None:
            continue
        if outcome.type != "binary":
            yield problem_at(
                facts, "P09", ("outcomes", index, "trials"), f"trials go with a binary outcome, not a {outcome.type} one",
                "write type: binary, or remove trials; a count has its exposure in the analysis",
            )  # fmt: skip
        for field, name in (("name", outcome.name), ("trials", outcome.trials)):
            column = facts.columns.get(name)
            if column is not None and column.type != "integer":
                yield problem_at(
                    facts, "P09", ("outcomes", index, field), f"'{name}' is declared as {column.type}",
                    "successes and trials are whole numbers: declare type: integer",
                )  # fmt: skip
    for task in tasks_of(facts):
        analysis, known = task.analysis, facts.outcomes.get(task.analysis.outcome)
        if known is not None and known.trials is not None and not analysis.takes_trials:
            yield problem_at(
                facts, "P09", (*task.path, "model"),
                f"model: {analysis.model} takes no successes of trials, which '{known.name}' is",
                "write model: cluster_summaries, regression or multilevel, or analyse a share declared as a number",
            )  # fmt: skip


@check("P10", "subgroups are compared by interaction")
def _subgroups(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    for index, subgroup in enumerate(facts.document.subgroups):
        column = facts.columns.get(subgroup.by)
        if column is not None and column.type in {"integer", "number", "date"}:
            yield problem_at(
                facts, "P10", ("subgroups", index, "by"), f"subgroups by '{subgroup.by}' have no groups",
                f"write a condition such as '{subgroup.by} >= 5'",
            )  # fmt: skip
        if subgroup.method == "separate":
            yield problem_at(
                facts, "P10", ("subgroups", index, "method"), "separate fits do not say whether the effect differs",
                "write method: interaction; the effect in each group is shown beside it",
            )  # fmt: skip
    for index, analysis in enumerate(facts.document.analyses):
        rule = facts.population_rule(analysis.population)
        names = names_in(facts, rule) if rule else frozenset()
        baseline = {name for name in names if name in facts.columns and facts.columns[name].baseline}
        if names and names == baseline and analysis in facts.confirmatory:
            yield problem_at(
                facts, "P10", ("analyses", index, "population"),
                f"population '{analysis.population}' is a subgroup ({rule}) analysed on its own",
                "move it to subgroups:, where it is compared by interaction",
            )  # fmt: skip


@check("P11", "families cover the confirmatory tests")
def _families(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    ids = {analysis.id: index for index, analysis in enumerate(facts.document.analyses)}
    member: dict[str, str] = {}
    for family, tests in facts.document.multiplicity.families.items():
        path: Path = ("multiplicity", "families", family)
        for index, test in enumerate(tests):
            if test not in ids:
                yield problem_at(
                    facts, "P11", (*path, index), f"there is no analysis '{test}'", did_you_mean(test, ids)
                )
            elif test in member:
                yield problem_at(
                    facts,
                    "P11",
                    (*path, index),
                    f"'{test}' is already in family '{member[test]}'",
                    "keep it in one",
                )
            member.setdefault(test, family)
    for analysis in facts.confirmatory:
        if not analysis.tests_effect:
            continue
        if facts.outcomes[analysis.outcome].role == "secondary" and analysis.id not in member:
            yield problem_at(
                facts, "P11", ("analyses", ids[analysis.id]), f"'{analysis.id}' is confirmatory but in no family",
                "list it in multiplicity: families:, or make its outcome exploratory",
            )  # fmt: skip


CHECKS["P12"] = ("columns of missing-data methods exist and are covariates", from_room("P12"))


@check("P14", "formulas and conditions are inside the allow-list")
def _allow_list(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    texts: list[tuple[Path, str, bool]] = [(path, text, False) for path, text in conditions_of(facts)]
    for task in tasks_of(facts):
        if task.role != "subgroup":
            texts += [(path, text, True) for path, text in formulas_of(task)]
    for path, text, is_formula in texts:
        parsed = formula_or_error(text) if is_formula else condition_or_error(text)
        if isinstance(parsed, FormulaError):
            for problem in parsed.problems:
                offset = (problem.place.character or 1) - 1
                yield replace(problem, code="P14", place=facts.parsed.place(path, offset=offset))
    yield from from_room("P14")(facts, None)
    yield from _arm_terms(facts)
    yield from _seen_once(facts)


def _seen_once(facts: Facts) -> Iterator[Problem]:
    """Of participants seen once there are no units over time, which some analyses need."""
    panel = facts.document.design.panel
    if panel is None or not panel.cross_sections:
        return
    for task in tasks_of(facts):
        if task.role != "subgroup" and task.analysis.needs_units and (not task.of or "estimator" in task.changed):
            yield problem_at(
                facts,
                "P14",
                (*task.path, "estimator"),
                "the estimator needs units that are seen again and again, and the panel has cross_sections: true",
                "write estimator: callaway_santanna, or make the file one of means by unit and period",
            )


def _arm_terms(facts: Facts) -> Iterator[Problem]:
    """The effect reported is that of the arm: it stands in the formula on its own, beside an intercept."""
    arm = facts.document.design.arm_column
    for task in tasks_of(facts):
        if task.role == "subgroup" or not task.analysis.arm_in_formula:
            continue
        for path, text in formulas_of(task):
            formula = formula_or_error(text)
            if isinstance(formula, Formula):
                fault = _arm_fault(formula, arm, task.analysis.scales)
                if fault:
                    yield problem_at(facts, "P14", path, *fault)


def _arm_fault(formula: Formula, arm: str, scales: tuple[str, ...]) -> tuple[str, str] | None:
    if not any(term.columns == {arm} and term.text in {arm, quote_name(arm)} for term in formula.fixed):
        return (
            f"'{arm}', whose effect is reported, is not a term of the formula",
            f"write ~ {quote_name(arm)} + ...",
        )
    if not formula.intercept:
        return f"without an intercept the terms of '{arm}' are not effects", "remove 0 + or - 1"
    crossed = [term.text for term in formula.fixed if arm in term.columns and len(term.columns) > 1]
    conditional = [scale for scale in scales if scale in {"coefficient", "odds_ratio"}]
    if crossed and conditional:
        return (
            f"with {crossed[0]} in the formula, {conditional[0]} is the effect only where the other column is 0",
            "report another measure, or move the interaction to subgroups:",
        )
    return None
