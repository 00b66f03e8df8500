"""Checks of what the trial was sized for: the effect and power stated are those that the design gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from wwc_eval.errors import Problem, WwcError
from wwc_eval.plans.checks.registry import check, from_room, problem_at
from wwc_eval.plans.facts import Facts

if TYPE_CHECKING:
    from wwc_eval.plans.powering import PlanPower

HOME = ("design", "power")
TARGET = ("design", "target")


@check("P07", "the effect and power stated are those that the design gives")
def _sized(facts: Facts, _: FilePath | None) -> Iterator[Problem]:
    yield from from_room("P07")(facts, None)
    design = facts.document.design
    if design.power is None:
        return
    from wwc_eval.plans.powering import power_of

    try:
        found = power_of(facts)
    except WwcError as error:
        problem = error.problems[0]
        message = problem.message + (f" ({problem.rule})" if problem.rule else "")
        yield problem_at(facts, "P07", HOME, message, problem.fix or "correct the block power", key=True)
        return
    yield from _clusters(facts, found)
    if design.target.mdes is None:
        yield problem_at(
            facts, "P07", HOME, "the design says what its size rests on, and no effect is stated",
            f"write target: mdes: {_written(float(found.mdes.effect), 3)}", key=True,
        )  # fmt: skip
        return
    if design.target.power is None:
        yield problem_at(
            facts, "P07", (*TARGET, "mdes"), "an effect is stated, and no power with which it is detected",
            "write target: power: 0.80",
        )  # fmt: skip
        return
    yield from _stated(facts, found)


def _stated(facts: Facts, found: PlanPower) -> Iterator[Problem]:
    """Effect or power as recomputed, rounded to the digits in which they are stated: they are one statement."""
    from wwc_eval.plans.powering import step_of

    mdes, goal = found.stated["mdes"], found.stated["power"]
    assert mdes is not None
    assert goal is not None
    assert found.power is not None
    steps = {name: step_of(facts, (*TARGET, name)) for name in ("mdes", "power")}
    given, power = _comparable(found), float(found.power)
    if _rounds_to(given, mdes, steps["mdes"]) or _rounds_to(power, goal, steps["power"]):
        return
    digits = max(3, _decimals(steps["mdes"]))
    yield problem_at(
        facts, "P07", (*TARGET, "mdes"),
        f"mdes == {mdes:g} with power {goal:g} is stated, and the design detects {given:.{digits}f} ({found.convention}), "
        f"{mdes:g} with power {power:.3f}",
        f"write mdes: {_written(given, digits)}, or correct what the size rests on in power:",
    )  # fmt: skip


def _rounds_to(value: float, stated: float, step: float) -> bool:
    """Whether a value lies within half a unit of the last digit stated."""
    return abs(value - stated) <= 0.5 * step * (1 + 1e-9)


def _comparable(found: PlanPower) -> float:
    """The detectable effect in the direction that the plan calls better, else in that of the stated effect."""
    assert found.effect is not None
    null = found.mdes.outcome.null
    return float(found.mdes.fall if found.effect < null else found.mdes.rise)


def _clusters(facts: Facts, found: PlanPower) -> Iterator[Problem]:
    """The number of randomised clusters is the same in both places."""
    from wwc_eval.plans.planned_design import clusters_declared, units_planned
    from wwc_eval.power.checks import plural

    design = facts.document.design
    declared = clusters_declared(design)
    if design.kind != "cluster" or declared is None or len(design.arms) != 2:
        return
    planned = units_planned(found.design)  # type: ignore[arg-type]
    if abs(planned - declared) > 0.5:
        level = found.design.assigned  # type: ignore[union-attr]
        yield problem_at(
            facts, "P07", (*HOME, "levels"), f"the levels have {planned:g} {plural(level)} in all, and clusters: {declared}",
            "correct n, or clusters:",
        )  # fmt: skip


def _decimals(step: float) -> int:
    return 0 if step <= 0 or step >= 1 else len(f"{step:.10f}".rstrip("0").split(".")[1])


def _written(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"
