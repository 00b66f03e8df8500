"""What the plan's scheme of allocation permits for the units in the data, as a report may show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wwc_eval.errors import WwcError
from wwc_eval.plans.allocating import allocation_in, kind_of
from wwc_eval.plans.wording import guarded, reason_of

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.data.disclosure import DisclosureRule
    from wwc_eval.plans.facts import Facts
    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.report.record import Supplement

__all__ = ["MANY", "permitted_by"]

MANY = 1_000_000
"""Of people no more is said than that there are more allocations than this: numbers tell the sizes of strata."""
SAME = 1e-12


def permitted_by(
    facts: Facts, frame: pd.DataFrame, rule: DisclosureRule
) -> tuple[tuple[Supplement, ...], tuple[str, ...]]:
    """What the scheme permits, and a warning where the data hold an allocation that it cannot have made.

    Where people were randomised and small counts are hidden, neither numbers that tell the size of a stratum nor
    names of units are given. Clusters are institutions, whose number is no secret.

    Parameters
    ----------
    facts : Facts
        The plan.
    frame : DataFrame
        Every row received, exclusions not yet made.
    rule : DisclosureRule
        Which counts may be shown.

    Returns
    -------
    tuple of Supplement
        Facts of the design; none where the plan names no scheme.
    tuple of str
        Warnings.
    """
    randomisation = facts.document.randomisation
    if randomisation is None or kind_of(randomisation.method) is None:
        return (), ()
    open_ = facts.document.design.kind != "individual" or not rule.active
    try:
        found = _supplement(facts, allocation_in(facts, frame), rule, open_=open_)
    except WwcError as error:
        told = "The data do not fit the scheme of allocation that the plan names, so what it permits is not shown"
        return (), (f"{told}: {reason_of(error, rule)}" if open_ else f"{told}.",)
    return (found,), ()


def _supplement(facts: Facts, allocation: Allocation, rule: DisclosureRule, *, open_: bool) -> Supplement:
    from wwc_eval.report.record import Supplement
    from wwc_eval.table import Column, Table

    pairs = {
        "Scheme": allocation.scheme.kind.replace("_", " "),
        **(_counts(allocation) if open_ else _guarded_counts(allocation)),
        _probability_label(allocation): _probabilities(allocation, facts.words["unit"], open_=open_),
    }
    sentences = []
    if allocation.smallest_p_value > allocation.alpha:
        sentences.append(f"No randomisation test of this design can reach p < {allocation.alpha:g}.")
    if open_:
        sentences += [f"{text[:1].upper()}{text[1:]}." for text in allocation.bound.warnings]
    return Supplement(
        key="permitted",
        title="What the scheme of allocation permits",
        sentences=tuple(guarded(text, rule) for text in sentences),
        table=Table(
            [{"fact": name, "value": text} for name, text in pairs.items()],
            [Column(name="fact"), Column(name="value")],
        ),
    )


def _counts(allocation: Allocation) -> dict[str, str]:
    from wwc_eval.randomisation.rendering import count_in_words
    from wwc_eval.table import format_p_value

    return {
        "Permitted allocations": count_in_words(allocation.n_permitted),
        "Smallest two-sided p-value": format_p_value(allocation.smallest_p_value),
    }


def _guarded_counts(allocation: Allocation) -> dict[str, str]:
    if allocation.n_permitted <= MANY:
        return {"Permitted allocations": "not shown: their number tells the size of small groups"}
    return {"Permitted allocations": f"more than {MANY:,}", "Smallest two-sided p-value": "< 0.001"}


def _probability_label(allocation: Allocation) -> str:
    return "Probability of an arm" if allocation.bound.column == "arm" else "Probability of a sequence"


def _probabilities(allocation: Allocation, unit: str, *, open_: bool) -> str:
    """Range over units, one for each arm; of the sequences that a unit could get where they differ by stratum."""
    chances = allocation.probabilities
    if allocation.bound.column != "arm":
        able = chances[chances > 0]
        low, high = float(able.min()), float(able.max())
        return f"{_number(low)} for every {unit}" if high - low < SAME else f"{_number(low)} to {_number(high)}"
    lows, highs = chances.min(axis=0), chances.max(axis=0)
    if (highs - lows).max() >= SAME:
        if not open_:
            return "differs between units"
        return "; ".join(
            f"{name}: {_number(low)}" if high - low < SAME else f"{name}: {_number(low)} to {_number(high)}"
            for name, low, high in zip(allocation.labels, lows.tolist(), highs.tolist(), strict=True)
        )
    if lows.max() - lows.min() < SAME:
        return f"{_number(float(lows[0]))} for every {unit}"
    listed = ", ".join(
        f"{name}: {_number(low)}" for name, low in zip(allocation.labels, lows.tolist(), strict=True)
    )
    return f"{listed}, for every {unit}"


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
