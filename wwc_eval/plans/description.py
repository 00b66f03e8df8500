"""A plan in words, for ``wwc-eval plan show``."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from wwc_eval.plans.run_log import RunLog

if TYPE_CHECKING:
    from wwc_eval.plans.facts import Task
    from wwc_eval.plans.plan import Plan

__all__ = ["describe"]

WIDTH = 100


def describe(plan: Plan) -> str:
    """The plan as text: question, estimand, design, data, outcomes, analyses, lock and runs."""
    facts, document = plan.facts, plan.facts.document
    estimand, design = document.estimand, document.design
    shares = ", ".join(f"{arm} ({design.arms.get(arm, '?')})" for arm in facts.arms)
    lines = [plan.title, "=" * len(plan.title), "", *_wrapped(document.question), ""]
    lines += _wrapped(f"Population: {estimand.population}.")
    lines += _wrapped(f"Comparison: {estimand.treatment}; against {estimand.comparator}.")
    lines += _wrapped(f"Summary: {estimand.summary} of {estimand.outcome}.")
    within = f" within {', '.join(design.within)}" if design.within else ""
    lines += _wrapped(f"Design: {design.unit} randomised{within}; arms and ratio: {shares}.")
    lines += [
        f"Data: {name}, {file.file}, {len(file.columns)} columns" for name, file in document.data.files.items()
    ]
    lines += [f"Exclusion: {item.rule} ({item.reason})" for item in document.data.exclusions]
    lines += ["", "Outcomes"]
    lines += [f"  {item.role:12} {item.name} ({item.type}, better {item.better})" for item in document.outcomes]
    lines += ["", "Analyses"]
    for task in facts.tasks():
        lines += _task_lines(task)
    lines += ["", *_state(plan)]
    return "\n".join(lines)


def _task_lines(task: Task) -> list[str]:
    of = f" of {task.of}" if task.of else ""
    head = f"  {task.id} ({task.role}{of})"
    scales = task.analysis.scales
    if task.by is not None:
        return [f"{head}: interaction, then {scales[0]} in each group", f"    by {task.by}"]
    return [f"{head}: reports {', '.join(scales)}", *(f"    {text}" for text in task.analysis.formulas.values())]


def _state(plan: Plan) -> list[str]:
    lock = plan.read_lock()
    log = RunLog.of(plan.path)
    runs = f"{log.count('confirmatory')} confirmatory and {log.count('draft')} draft runs in the log."
    problems = plan.check()
    checks = "No problem found." if not problems else f"{len(problems)} problems: see wwc-eval plan check."
    if lock is None:
        locked = f"Hash {plan.hash[:12]}; not locked."
    else:
        difference = lock.difference(plan.data)
        locked = f"Locked {lock.locked_at}, hash {lock.plan_sha256[:12]}" + (
            f"; CHANGED SINCE: {difference}." if difference else "; unchanged since."
        )
    return [locked, runs, checks]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")
