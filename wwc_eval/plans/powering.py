"""What a plan's trial was sized for: the effect and power stated, and what its design gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from wwc_eval.errors import DesignError
from wwc_eval.plans.allocating import kind_of
from wwc_eval.plans.planned_design import design_of
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from wwc_eval.plans.facts import Facts
    from wwc_eval.plans.yaml_text import Path
    from wwc_eval.power import MdesResult, PowerResult, RequiredResult, SteppedWedge, Trial

__all__ = ["POWER", "PlanPower", "power_of", "step_of"]

POWER = 0.8
"""Power taken where the plan states none."""
_DIRECTIONS = {"lower": "fall", "higher": "rise"}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PlanPower(Rendered):
    """Power of a plan's trial, recomputed from what the plan says that it rests on.

    Parameters
    ----------
    design : Trial or SteppedWedge
        The design, whose own methods go further.
    effect : float, optional
        The effect that the plan states: ``target: mdes:``, else the primary outcome's smallest worthwhile one. In the
        units of the estimand's summary.
    stated : mapping
        ``mdes`` and ``power`` as the plan states them; None where it does not.
    power : PowerResult, optional
        Power at that effect; None where there is none.
    mdes : MdesResult
        Minimum detectable effect in the direction that is better, with ``.fall`` and ``.rise``.
    required : RequiredResult, optional
        Size of the randomised level (of a wedge: of its cells) that reaches the power at that effect; None where no size
        does, or no effect is stated.
    notes : tuple of str
        What a reader must know.
    """

    design: Trial | SteppedWedge
    effect: float | None
    stated: Mapping[str, float | None]
    power: PowerResult | None
    mdes: MdesResult
    required: RequiredResult | None
    notes: tuple[str, ...] = ()

    @property
    def convention(self) -> str:
        """Name of the convention."""
        return self.mdes.convention

    @property
    def goal(self) -> float:
        """Power that effects are detected with."""
        return float(self.mdes.power)

    @property
    def assumptions(self) -> dict[str, float]:
        """Numbers that the design rests on, by name: ``team.icc``, ``outcome.control`` ..."""
        return assumptions_of(self.design)

    def facts(self) -> dict[str, str]:
        """What is known, in words: a fact and its value."""
        outcome, mdes = self.mdes.outcome, self.mdes
        test = f"{'two' if mdes.sides == 2 else 'one'}-sided {100 * float(mdes.alpha):g}% test"
        found: dict[str, str] = {}
        if self.effect is not None:
            goal = f" with {100 * self.goal:g}% power" if self.stated["power"] is not None else ""
            found["Stated"] = f"{outcome.show(self.effect)}{goal} ({test})"
        found[f"Detectable with {100 * self.goal:g}% power"] = both_ways(mdes)
        if self.power is not None:
            found["Power at the stated effect"] = f"{100 * float(self.power):.1f}%"
        if self.required is not None:
            found["Needed for the stated effect"] = required_words(self.design, self.required)
        found["Design"] = self.design.describe()
        found["Rests on"] = ", ".join(f"{name} {value:g}" for name, value in self.assumptions.items())
        found["Convention"] = self.convention
        return found

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of what and value at full precision: stated, recomputed, then each assumption."""
        rows: list[dict[str, Any]] = [
            {"what": "stated mdes", "value": self.stated["mdes"]},
            {"what": "stated power", "value": self.stated["power"]},
            {"what": "effect", "value": self.effect},
            {"what": "power at the effect", "value": None if self.power is None else float(self.power)},
            {"what": "mdes", "value": float(self.mdes)},
            {"what": "fall", "value": float(self.mdes.fall)},
            {"what": "rise", "value": float(self.mdes.rise)},
            {"what": "required", "value": None if self.required is None else float(self.required)},
            {"what": "convention", "value": self.convention},
        ]
        return rows + [{"what": name, "value": value} for name, value in self.assumptions.items()]

    def _grid(self) -> Grid:
        rows = [{"what": what, "value": value} for what, value in self.facts().items()]
        return Table(rows, [Column(name="what", label=""), Column(name="value", label="")])._grid()

    def _title(self) -> str:
        return "What the trial was sized for"

    def _notes(self) -> tuple[str, ...]:
        return self.notes


def power_of(facts: Facts) -> PlanPower:
    """Power, detectable effects and required size of the plan's trial; see :meth:`wwc_eval.plans.Plan.power`."""
    design = design_of(facts)
    target, primary = facts.document.design.target, facts.primary
    block = facts.document.design.power
    assert block is not None
    effect = target.mdes
    if effect is None and primary is not None:
        effect = primary.smallest_worthwhile
    goal = POWER if target.power is None else float(target.power)
    asked: dict[str, Any] = {"alpha": float(target.alpha), "sides": target.sides, "convention": block.convention}
    direction = _DIRECTIONS.get(primary.better if primary is not None else "", "either")
    mdes = design.mdes(goal, direction=direction, **asked)  # type: ignore[arg-type]
    notes = [] if target.power is not None else [f"The plan states no power; {100 * goal:g}% is taken."]
    power = required = None
    if effect is not None:
        power = design.power(float(effect), **asked)
        level = "cell_size" if block.of_wedge else design.assigned  # type: ignore[union-attr]
        try:
            required = design.required(level, float(effect), goal, **asked)  # type: ignore[arg-type]
        except DesignError as error:
            notes.append(f"{error.problems[0].message[:1].upper()}{error.problems[0].message[1:]}.")
    warned = [*mdes.warnings, *(power.warnings if power is not None else ())]
    if block.of_wedge and not _order_known(facts):
        # how many orders could have been drawn is not told by clusters and steps alone
        warned = [text for text in warned if "allocations are permitted" not in text]
    return PlanPower(
        design=design,
        effect=None if effect is None else float(effect),
        stated={"mdes": _number(target.mdes), "power": _number(target.power)},
        power=power,
        mdes=mdes,
        required=required,
        notes=tuple(dict.fromkeys([*notes, *warned])),
    )


def _order_known(facts: Facts) -> bool:
    """Whether the plan says within which strata the order of a wedge is drawn, or that there are none."""
    block, randomisation = facts.document.design.power, facts.document.randomisation
    named = randomisation is not None and kind_of(randomisation.method) is not None and not randomisation.by
    return named or (block is not None and bool(block.strata))


def step_of(facts: Facts, path: Path) -> float:
    """One unit of the last digit of a number, as it is written in the plan: 0.01 of 0.80."""
    text = facts.parsed.numbers.get(path)
    if text is None:
        return 0.0
    exponent = Decimal(text).as_tuple().exponent
    return float(Decimal(1).scaleb(exponent)) if isinstance(exponent, int) else 0.0


def assumptions_of(design: Trial | SteppedWedge) -> dict[str, float]:
    """Numbers of a design that are not at their defaults' none, by name."""
    found: dict[str, float] = {}
    for level in getattr(design, "levels", ()):
        found[f"{level.name}.n"] = float(level.n)
        for name in ("icc", "k", "r2", "covariates", "size_cv", "attrition", "effect_heterogeneity"):
            value = getattr(level, name)
            if value is not None and float(value) != 0:
                found[f"{level.name}.{name}"] = float(value)
    if not found:
        sizes = design.sizes  # type: ignore[union-attr]
        found["cell_size (mean)"] = float(sizes[sizes > 0].mean())
        for name in ("icc", "iac", "decay") if design.decay is not None else ("icc", "cac", "iac"):  # type: ignore[union-attr]
            found[name] = float(getattr(design, name))
    outcome = design.outcome
    for name in ("control", "exposure", "dispersion", "sd", "mean"):
        value = getattr(outcome, name, None)
        if value is not None and (name not in {"exposure", "dispersion"} or float(value) != 1):
            found[f"outcome.{name}"] = float(value)
    return found


def both_ways(mdes: MdesResult) -> str:
    """A fall and a rise in words; ``not detectable`` where no possible effect reaches the power."""
    ways = []
    for name, value in (("fall", mdes.fall), ("rise", mdes.rise)):
        number = float(value)
        ways.append(f"{name} {mdes.outcome.show(number)}" if math.isfinite(number) else f"{name}: none possible")
    return "; ".join(ways)


def required_words(design: Trial | SteppedWedge, required: RequiredResult) -> str:
    """``49 teams (25 with the programme, 24 without)``, for each unit above where there are any."""
    from wwc_eval.power.checks import plural

    if required.level == "cell_size":
        return f"{float(required):,.0f} in a cell, on average"
    names = [level.name for level in design.levels]  # type: ignore[union-attr]
    above = names[names.index(required.level) + 1 :]
    treated, control = (float(arm) for arm in required.arms)
    each = f" in each {above[0]}" if above else ""
    return (
        f"{int(required):,} {plural(required.level)}{each} ({treated:,g} with the programme, {control:,g} without)"
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
