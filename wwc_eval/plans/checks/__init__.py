"""Semantic checks of a plan: what its fields say together must make sense before anything is locked.

Each check has a code that never changes and stands in the module of its subject; modules are found by name, so
that a room adds ``checks/<subject>.py`` and touches nothing else. A waiver in the plan, with its reason, silences a
check that allows it. Checks read the plan only; no data file is opened.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from wwc_eval.errors import Problem
from wwc_eval.plans.checks.data import project_root
from wwc_eval.plans.checks.references import references
from wwc_eval.plans.checks.registry import CHECKS, WAIVABLE
from wwc_eval.plans.facts import Facts

__all__ = ["CHECKS", "WAIVABLE", "check_facts", "project_root"]

for _module in sorted(pkgutil.iter_modules(__path__), key=lambda item: item.name):
    importlib.import_module(f"{__name__}.{_module.name}")


def check_facts(facts: Facts, plan_file: Path | None) -> list[Problem]:
    """Every problem of a plan, in the order of its lines.

    Parameters
    ----------
    facts : Facts
        The validated plan.
    plan_file : Path, optional
        Where it is stored; paths are checked only where it is given.
    """
    found = list(references(facts))
    for _, check in (CHECKS[code] for code in sorted(CHECKS)):
        found.extend(check(facts, plan_file))
    waived = {(waiver.check, waiver.analysis) for waiver in facts.document.waivers}
    kept = [problem for problem in found if not _is_waived(problem, facts, waived)]
    unique = dict.fromkeys(kept)
    return sorted(unique, key=lambda p: (p.place.line or 0, p.place.character or 0, p.code))


def _is_waived(problem: Problem, facts: Facts, waived: set[tuple[str, str | None]]) -> bool:
    if problem.code not in WAIVABLE:
        return False
    field = problem.place.field or ""
    names = {f"analyses[{i}]": analysis.id for i, analysis in enumerate(facts.document.analyses)}
    owner = next((name for head, name in names.items() if field.startswith(head)), None)
    return (problem.code, None) in waived or (problem.code, owner) in waived
