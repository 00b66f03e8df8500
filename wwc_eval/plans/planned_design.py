"""The design of the power room that a plan describes: levels or cells from ``design: power:``, the rest from the plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DesignError, did_you_mean

if TYPE_CHECKING:
    from wwc_eval.plans.document import Design
    from wwc_eval.plans.facts import Facts
    from wwc_eval.plans.power_fields import PlannedLevel, PlannedPower
    from wwc_eval.power import Outcome, SteppedWedge, Trial

__all__ = ["clusters_declared", "design_of", "units_planned"]

MEASURES = {
    "binary": ("risk_difference", "risk_ratio", "odds_ratio"),
    "rate": ("rate_ratio",),
    "continuous": ("mean_difference", "hedges_g", "glass_delta"),
}
"""Summaries of the estimand in whose units ``target: mdes:`` of an outcome can be."""
PARTS = {
    "binary": ("control", "variance"),
    "rate": ("control", "exposure", "test", "dispersion"),
    "continuous": ("sd", "mean"),
}
STANDARDISED = ("hedges_g", "glass_delta")


def design_of(facts: Facts) -> Trial | SteppedWedge:
    """The trial or stepped wedge that the plan was sized by.

    Parameters
    ----------
    facts : Facts
        A plan with the block ``design: power:``.

    Raises
    ------
    DesignError
        If there is no such block, or its parts do not fit each other or the plan.
    """
    block = facts.document.design.power
    if block is None:
        raise DesignError(
            "the plan does not say what its sample size rests on",
            rule="power is computed from the block design: power:",
            fix="write power: {levels: [{name: child, n: 60}, {name: team, n: 48, icc: 0.05}], outcome: {control: 0.22}}",
        )
    outcome = _outcome(facts, block)
    return _wedge(facts, block, outcome) if block.of_wedge else _trial(facts, block, outcome)


def clusters_declared(design: Design) -> int | None:
    """Clusters in all as ``design: clusters:`` declares them, of a wedge without it those that go live."""
    if isinstance(design.clusters, dict):
        return sum(design.clusters.values())
    if design.clusters is None and design.wedge is not None:
        return len(design.wedge.go_live) or None
    return design.clusters


def units_planned(trial: Trial) -> float:
    """Randomised units in all."""
    return math.prod(float(level.n) for level in trial.levels[trial.at :])


# --- outcome


def _outcome(facts: Facts, block: PlannedPower) -> Outcome:
    from wwc_eval.power import Binary, Continuous, Rate

    stated, summary = block.outcome, facts.document.estimand.summary
    primary = facts.primary
    kind = stated.type or {"count": "rate"}.get(primary.type if primary else "", primary.type if primary else "")
    if kind not in MEASURES:
        raise DesignError(
            "there is no primary outcome to take power's outcome from", fix="write outcome: {type: ...}"
        )
    if summary not in MEASURES[kind]:
        raise DesignError(
            f"the estimand is summarised by {summary}, in which a {kind} outcome has no power",
            rule=f"mdes is in the units of {', '.join(MEASURES[kind])}",
            fix="correct summary:, or the type of the outcome",
        )
    given = {name: value for name, value in stated.model_dump(exclude={"type"}).items() if value is not None}
    foreign = sorted(set(given) - set(PARTS[kind]))
    if foreign:
        raise DesignError(f"a {kind} outcome has no {', '.join(foreign)}", fix=f"give it {', '.join(PARTS[kind])}")
    if kind == "continuous":
        if (summary in STANDARDISED) == ("sd" in given):
            fix = (
                "remove sd" if "sd" in given else "give sd, the total standard deviation, or summarise by hedges_g"
            )
            raise DesignError(f"an effect as {summary} goes {'without' if 'sd' in given else 'with'} sd", fix=fix)
        column = facts.columns.get(primary.name) if primary is not None else None
        units = (column.units if column is not None and column.units else "") if "sd" in given else ""
        return Continuous(units=units, **given)
    if "control" not in given:
        raise DesignError(f"a {kind} outcome needs its {'risk' if kind == 'binary' else 'rate'} in the comparator arm",
                          fix="write outcome: {control: ...}")  # fmt: skip
    return Rate(**given) if kind == "rate" else Binary(effect=summary, **given)  # type: ignore[arg-type]


# --- nested trials


def _trial(facts: Facts, block: PlannedPower, outcome: Outcome) -> Trial:
    from wwc_eval.power import Baseline, Trial

    baseline = block.baseline
    rest: dict[str, Any] = {
        name: getattr(block, name) for name in ("block_effects", "size_method") if getattr(block, name) is not None
    }
    if block.df is not None:
        if isinstance(block.df, str) and block.df != "z":
            raise DesignError(f"df: {block.df} is of a stepped wedge", fix="write z or a number, or leave df out")
        rest["df"] = math.inf if block.df == "z" else block.df
    return Trial(
        levels=[_level(each) for each in block.levels],
        assigned=_assigned(facts, block),
        allocation=_allocation(facts, block),
        outcome=outcome,
        baseline=None
        if baseline is None
        else Baseline(correlation=dict(baseline.correlation), method=baseline.method),
        dilution=block.dilution,
        crossover=block.crossover,
        **rest,
    )


def _level(level: PlannedLevel) -> Any:
    from wwc_eval.power import Level

    values = level.model_dump(exclude={"name", "n"})
    return Level(level.name, level.n, **values)


def _assigned(facts: Facts, block: PlannedPower) -> str:
    """The level that is randomised: as named, else the one called as the design's unit is."""
    names = [level.name for level in block.levels]
    if block.assigned is not None:
        return block.assigned
    design = facts.document.design
    for name in (design.unit, facts.words["unit"], facts.unit_column):
        if name in names:
            return str(name)
    raise DesignError(
        f"no level is called '{design.unit}', which is what the plan randomises",
        fix=f"{did_you_mean(design.unit, names) or ''}; or write assigned: one of {', '.join(names)}".lstrip("; "),
    )


def _allocation(facts: Facts, block: PlannedPower) -> float:
    """Share of the treated arm: as stated, else by the clusters of each arm, else by the ratio."""
    if block.allocation is not None:
        return float(block.allocation)
    design = facts.document.design
    sizes = design.clusters if isinstance(design.clusters, dict) else design.arms
    if len(design.arms) != 2 or set(sizes) != set(design.arms):
        raise DesignError(
            f"the design has {len(design.arms)} arms, and power is that of two of them",
            fix="give allocation, the share of the treated arm, and n of the two arms together",
        )
    return sizes[facts.arms[1]] / sum(sizes.values())


# --- stepped wedges


def _wedge(facts: Facts, block: PlannedPower, outcome: Outcome) -> SteppedWedge:
    from wwc_eval.power import SteppedWedge

    shared: dict[str, Any] = {
        "cell_size": block.cell_size,
        "outcome": outcome,
        "icc": block.icc,
        "cac": block.cac,
        "iac": block.iac,
        "decay": block.decay,
        "time": block.time,
        "strata": block.strata or None,
    }
    if block.df is not None:
        shared["df"] = block.df
    wedge = facts.document.design.wedge
    assert wedge is not None
    if wedge.go_live and wedge.periods:
        if block.steps is not None:
            raise DesignError("steps are of a wedge whose order is not drawn yet, and go_live says who crosses over when",
                              fix="remove steps")  # fmt: skip
        return SteppedWedge(treatment=_treatment(wedge), **shared)
    clusters = clusters_declared(facts.document.design)
    if clusters is None or block.steps is None:
        raise DesignError(
            "nothing says how the clusters cross over",
            fix="give the wedge its periods and go_live days, or clusters: and in power: steps:",
        )
    return SteppedWedge.standard(
        clusters=clusters,
        steps=block.steps,
        baseline=block.baseline_periods,
        periods_per_step=block.periods_per_step,
        **shared,
    )


def _treatment(wedge: Any) -> Any:
    """1 after a cluster's go-live day, 0 before it, no cell where the period holds it; clusters as they cross over."""
    from wwc_eval.report.schedule import cell_state

    state = {"before": 0.0, "after": 1.0, "transition": math.nan}
    return [
        [state[cell_state(period.start, period.end, live)] for period in wedge.periods]
        for live in sorted(wedge.go_live.values())
    ]
