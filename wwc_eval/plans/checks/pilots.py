"""Check that a pilot has criteria, and rules for what they add up to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from wwc_eval.errors import Problem
from wwc_eval.plans.checks.registry import check, problem_at
from wwc_eval.plans.facts import Facts


@check("P23", "a pilot has criteria, and rules that decide")
def _decides(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    document = facts.document
    criteria = [index for index, analysis in enumerate(document.analyses) if analysis.model == "pilot"]
    pilot = document.design.kind == "pilot"
    if pilot and not criteria:
        yield problem_at(
            facts,
            "P23",
            ("analyses",),
            "a pilot without a progression criterion",
            "add analyses of model: pilot",
            key=True,
        )
    if criteria and document.decision_rules is None:
        yield problem_at(
            facts, "P23", ("analyses", criteria[0]), "criteria, and no rule for what they add up to",
            "write decision_rules: {stop: any_essential_red, go: all_green}",
        )  # fmt: skip
    if document.decision_rules is not None and not criteria:
        yield problem_at(
            facts,
            "P23",
            ("decision_rules",),
            "rules, and no criterion that they could use",
            "add analyses of model: pilot",
        )
    essential = [index for index in criteria if getattr(document.analyses[index], "essential", True)]
    rules = document.decision_rules
    if criteria and not essential and rules is not None:
        for name, value in (("stop", rules.stop), ("go", rules.go)):
            if "essential" in value:
                yield problem_at(
                    facts, "P23", ("decision_rules", name), f"{name}: {value}, and no criterion is essential",
                    "leave essential: false out of one that is, or choose another rule",
                )  # fmt: skip
    for index in criteria:
        if len(facts.arms) > 1 and document.analyses[index].population == "intention_to_treat" and not pilot:
            yield problem_at(
                facts, "P23", ("analyses", index), "a criterion over the arms of a trial together",
                "write kind: pilot, or a population of one arm",
            )  # fmt: skip
    if document.costs and document.decision_rules is None:
        yield problem_at(
            facts,
            "P23",
            ("costs",),
            "costs are shown beside a pilot's decision, and there is none",
            "remove costs",
        )
