"""Checks of the allocation: its scheme, its dates, its seed, and whether it permits enough for the planned test."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from wwc_eval.errors import Problem, WwcError
from wwc_eval.plans.allocating import check_kind, expected_scheme, kind_of, scheme_of
from wwc_eval.plans.checks.registry import check, problem_at, tasks_of
from wwc_eval.plans.document import Randomisation
from wwc_eval.plans.facts import Facts
from wwc_eval.plans.yaml_text import Path

SEED = re.compile(r"(seed|set\.seed|rng|random[_ ]state)\W{0,3}\d+", re.IGNORECASE)
ISO_DATE = re.compile(r"\b(\d{4}-\d{2}-\d{2})\b")
LEAST_WORDS = 3


@check("P18", "the plan comes before the randomisation, and the randomisation before anybody is treated")
def _order_of_dates(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    document = facts.document
    randomisation = document.randomisation
    if randomisation is None or randomisation.date is None:
        return
    when = dt.date.fromisoformat(randomisation.date)
    path: Path = ("randomisation", "date")
    if document.registry is not None and document.registry.date is not None:
        registered = dt.date.fromisoformat(document.registry.date)
        if registered > when:
            yield problem_at(
                facts, "P18", path, f"randomised on {when}, before the plan was registered on {registered}",
                "correct the dates, or waive P18 with a reason in waivers:",
            )  # fmt: skip
    wedge = document.design.wedge
    live = sorted(wedge.go_live.items(), key=lambda item: item[1]) if wedge is not None else []
    if live and dt.date.fromisoformat(live[0][1]) < when:
        yield problem_at(
            facts, "P18", path, f"randomised on {when}, after {live[0][0]} went live on {live[0][1]}",
            "correct the dates, or waive P18 with a reason in waivers:",
        )  # fmt: skip


@check("P19", "nobody can have chosen the seed, or know it from the plan")
def _seed(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    randomisation = facts.document.randomisation
    if randomisation is None or randomisation.seed is None:
        return
    rule, value = randomisation.seed.rule, randomisation.seed.public_value
    path: Path = ("randomisation", "seed", "rule")
    if SEED.search(rule) or len(re.findall(r"[A-Za-z]{2,}", rule)) < LEAST_WORDS:
        yield problem_at(
            facts, "P19", path, "the seed itself stands in the plan, or nothing says where it comes from",
            "say who draws it and when, or write: sha256 of the lock hash and a public value",
        )  # fmt: skip
    told = re.search(r"public value|lock hash", rule, re.IGNORECASE)
    if told and value is None:
        yield problem_at(
            facts, "P19", path, "the rule speaks of a public value, and none is named",
            "name it before it is known: public_value: National Lottery draw of ...",
        )  # fmt: skip
    if value is None:
        return
    at: Path = ("randomisation", "seed", "public_value")
    if not re.search(r"[A-Za-z]{3,}", value):
        yield problem_at(
            facts,
            "P19",
            at,
            "the public value itself stands in the plan",
            "name the value, not what it turned out to be",
        )
    for text in ISO_DATE.findall(value):
        known = dt.date.fromisoformat(text) if _is_date(text) else None
        registry = facts.document.registry
        if known and registry and registry.date and known <= dt.date.fromisoformat(registry.date):
            yield problem_at(
                facts, "P19", at, f"the value of {text} was known when the plan was registered on {registry.date}",
                "name a value that comes later",
            )  # fmt: skip


@check("P21", "the scheme can be met, and permits enough allocations for the planned test")
def _enough(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    randomisation = facts.document.randomisation
    tests = [
        task
        for task in tasks_of(facts)
        if task.analysis.repeats_allocation and task.analysis.allocation_record is None
    ]
    if randomisation is None or kind_of(randomisation.method) is None:
        for task in tests:
            yield problem_at(
                facts, "P21", task.path, "a randomisation test repeats the scheme that allocated, and none is named",
                "write randomisation: method: with one of we.randomise's schemes, and its options",
            )  # fmt: skip
        if randomisation is not None:
            yield from _unused(facts, randomisation)
        return
    try:
        scheme_of(randomisation)
        check_kind(facts, "sequence" if kind_of(randomisation.method) == "stepped_wedge_sequences" else "arm")
        bound = expected_scheme(facts)
        if bound is None:
            return
        smallest, count = bound.smallest_p_value(), bound.count
    except WwcError as error:
        problem = error.problems[0]
        yield problem_at(
            facts, "P21", ("randomisation",), problem.message, problem.fix or "correct the options", key=True
        )
        return
    alpha = float(facts.document.design.target.alpha)
    for task in tests:
        if smallest > alpha:
            yield problem_at(
                facts, "P21", task.path,
                f"the scheme permits {count:,} allocations of the units expected, so the smallest two-sided p-value is "
                f"{smallest:.3f}, above alpha {alpha:g}",
                "plan other inference, a scheme that permits more, or a larger alpha",
            )  # fmt: skip


def _unused(facts: Facts, randomisation: Randomisation) -> Iterator[Problem]:
    """Options of a description would do nothing."""
    for name in ("options", "expected"):
        if getattr(randomisation, name):
            yield problem_at(
                facts, "P21", ("randomisation", name),
                f"{name} go with a scheme, and '{randomisation.method}' is a description",
                "name a scheme in method:, or remove them",
            )  # fmt: skip


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True
