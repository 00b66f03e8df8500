"""Required numbers of authorities in a panel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.conventions import Convention, convention_of
from wwc_eval.power.results import RequiredResult, tidy
from wwc_eval.power.solving import check_test

if TYPE_CHECKING:
    from wwc_eval.power.panel import PanelDiD

__all__ = ["required_las"]

MOST = 4_096


def required_las(
    design: PanelDiD,
    level: str,
    effect: float,
    *,
    power: float,
    alpha: float,
    sides: int,
    convention: str | Convention,
) -> RequiredResult:
    """Smallest number of treated or control LAs; see :meth:`wwc_eval.power.PanelDiD.required`."""
    rule = convention_of(convention)
    check_choice("level", level, ("treated", "control"))
    goal = check_number("power", power, above=0, below=1)
    check_test(alpha, sides)
    value = float(np.ravel(design.outcome.check_effect(effect))[0])
    if value == design.outcome.null:
        raise DesignError(f"effect == {design.outcome.null:g} is no effect: no number of LAs detects it")
    if design.population is not None and np.ndim(design.population) > 1 and np.shape(design.population)[0] > 1:
        raise DesignError(
            "population is given LA by LA, and the LAs to add have none", fix="give one number, or one a period"
        )
    ever = design.treatment.max(axis=1) > 0
    treated, control = design.treatment[ever], int((~ever).sum())
    cohorts, counts = np.unique(treated, axis=0, return_counts=True)
    common = math.gcd(*counts.tolist()) if level == "treated" else 1
    unit = np.repeat(cohorts, counts // common, axis=0)

    def sized(n: int) -> PanelDiD | None:
        rows = np.repeat(unit, n, axis=0) if level == "treated" else treated
        never = control if level == "treated" else n
        both = np.concatenate([rows, np.zeros((never, design.treatment.shape[1]))])
        try:
            return design.replace(treatment=both)
        except DesignError:
            return None

    def reached(n: int) -> float:
        found = sized(n)
        if found is None:
            return 0.0
        at = found._anatomy(value, rule)
        if not np.all(at.df >= 1):
            return 0.0
        return float(np.ravel(rule.power(np.abs(at.ncp), at.df, alpha=alpha, sides=sides))[0])

    low, high = 0, 1
    while reached(high) < goal:
        low, high = high, 2 * high
        if high > MOST:
            other = "control" if level == "treated" else "treated"
            raise DesignError(
                f"no number of {level} LAs reaches {100 * goal:g}% power at an effect of {value:g}",
                rule=f"with the {other} LAs of the design power tends to {100 * reached(MOST):.1f}%",
                fix=f"add {other} LAs or periods",
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reached(middle) < goal else (low, middle)
    final = sized(high)
    assert final is not None
    at = final._anatomy(value, rule)
    step = len(unit) if level == "treated" else 1
    arms = (float(high * step), float(control)) if level == "treated" else (float(len(treated)), float(high))
    return RequiredResult(
        **tidy(
            value=high * step,
            power=reached(high),
            short=reached(high - 1) if high > 1 else math.nan,
            target=goal,
            effect=value,
            ncp=np.abs(at.ncp),
            df=at.df,
        ),
        level=f"{level} LA",
        arms=arms,
        alpha=alpha,
        sides=sides,
        convention=rule.name,
        outcome=design.outcome,
        design=final.describe(),
        warnings=final._warnings(value),
    )
