"""How a result reads in plain English: sizes and directions, what an interval rules out, and when to take care."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wwc_eval.estimate import PROPORTION_SCALES, Estimate
from wwc_eval.report.record import AnalysisResult, RunRecord
from wwc_eval.report.words import (
    NOT_ESTIMATED,
    clean,
    count_text,
    effect_text,
    interval_text,
    is_estimated,
    is_ratio,
    minus,
    null_value,
    p_text,
    pick,
    rate_words,
    scale_words,
    size_text,
    title_case,
    units_words,
    value_text,
)
from wwc_eval.table import MISSING, format_number, format_percent

__all__ = [
    "STATUS",
    "WITHHELD",
    "arm_outcomes",
    "by_arm",
    "cautions",
    "counted_words",
    "effect_sentence",
    "excludes_null",
    "is_binary",
    "level_words",
    "no_effect_sentence",
    "of_changes",
    "outcome_of",
    "raw_sentence",
    "rests_on_draw",
    "smallest_worthwhile",
    "status_words",
    "without_estimate",
    "worthwhile_sentence",
]

STATUS: Mapping[str, str] = {
    "ok": "Converged",
    "boundary": "At a boundary",
    "dropped_columns": "Columns dropped",
    "separated": "Separated",
    "failed": "Failed",
    "withheld": "Withheld",
}
"""Words of a fit's status."""

WITHHELD = "withheld"
"""Status of a result that the disclosure rule hides."""

_BINARY_SCALES = frozenset({"risk_difference", "risk_ratio", "odds_ratio", "log_odds"})


def status_words(result: AnalysisResult) -> str:
    """Status of a fit in words."""
    return STATUS.get(result.status, title_case(clean(result.status).replace("_", " ")))


def without_estimate(result: AnalysisResult) -> str:
    """What stands in place of an estimate: hidden by the disclosure rule, or not to be had."""
    return "not shown" if result.status == WITHHELD else NOT_ESTIMATED


def level_words(estimate: Estimate) -> str:
    """``95% interval``."""
    return f"{100 * estimate.level:.6g}% interval"


def outcome_of(record: RunRecord, result: AnalysisResult) -> Mapping[str, Any]:
    """What the plan says of the outcome of an analysis."""
    for outcome in pick(record.plan, "outcomes", ()):
        if isinstance(outcome, Mapping) and outcome.get("name") == result.outcome:
            return outcome
    return {}


def of_changes(record: RunRecord) -> bool:
    """Whether effects are differences between changes over time, which the levels of the arms do not show."""
    return bool(pick(record.plan, "design.kind") == "did")


def drawn_by_lot(record: RunRecord) -> bool:
    """Whether an analysis of changes over time repeats the lottery that decided who began when."""
    analyses = pick(record.plan, "analyses", ())
    return any(isinstance(one, Mapping) and pick(one, "few_treated.allocation") for one in analyses)


def rests_on_draw(record: RunRecord) -> bool:
    """Whether the first analysis of changes over time rests on timing that was drawn, and not on parallel trends."""
    analyses = pick(record.plan, "analyses", ())
    first = next(iter(analyses), None)
    return isinstance(first, Mapping) and pick(first, "estimator") == "staggered"


def smallest_worthwhile(record: RunRecord, result: AnalysisResult) -> float | None:
    """Smallest worthwhile effect of the plan, on the scale of the first estimate of an analysis.

    A plan states it as a difference (a risk difference as a proportion), or as a ratio where the estimand's
    summary is that ratio. On any other scale there is nothing to compare with, hence None.
    """
    value = outcome_of(record, result).get("smallest_worthwhile")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if not result.estimates:
        return None
    first = result.estimates[0]
    if is_ratio(first):
        comparable = value > 0 and pick(record.plan, "estimand.summary") == first.scale
        return float(value) if comparable else None
    return float(value) if first.scale in PROPORTION_SCALES or first.scale.endswith("_difference") else None


def by_arm(result: AnalysisResult, arms: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """What the sample says of each arm, in declared order; arms without an entry are left out."""
    found = result.sample.get("by_arm") or {}
    order = [*(arm for arm in arms if arm in found), *(arm for arm in found if arm not in arms)]
    return [(arm, found[arm]) for arm in order]


def arm_outcomes(result: AnalysisResult, arms: Sequence[str]) -> dict[str, str]:
    """Events with their share, or mean with its SD, by arm; a suppressed count as it stands.

    Means of all arms are shown to the same number of decimals.
    """
    found = by_arm(result, arms)
    digits = max(
        (_digits(mean) for mean in (_number(entry.get("mean")) for _, entry in found) if mean is not None),
        default=1,
    )
    return {arm: _outcome(entry, digits) for arm, entry in found}


def _outcome(entry: Mapping[str, Any], digits: int) -> str:
    if entry.get("events") is not None:
        share = _share(entry)
        events = count_text(entry["events"])
        if "trials" in entry:
            events = f"{events} of {count_text(entry['trials'])}"
        return events if share is None else f"{events} ({format_percent(share)})"
    mean = _number(entry.get("mean"))
    if mean is None:
        return clean(entry["mean"]) if isinstance(entry.get("mean"), str) else MISSING
    shown = minus(format_number(mean, digits))
    spread = _number(entry.get("sd"))
    if spread is None:
        return f"{shown} (SD {clean(entry['sd'])})" if isinstance(entry.get("sd"), str) else shown
    return f"{shown} (SD {format_number(spread, digits)})"


def _number(value: object) -> float | None:
    """A finite number, None for anything else (a suppressed text, a missing value)."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None  # type: ignore[arg-type]


def cautions(result: AnalysisResult) -> tuple[str, ...]:
    """Warnings of the estimates of an analysis, each once."""
    return tuple(dict.fromkeys(clean(warning) for one in result.estimates for warning in one.warnings))


def raw_sentence(record: RunRecord, result: AnalysisResult) -> str:
    """Outcome by arm as observed; empty where it cannot be said without suppressed counts."""
    arms = by_arm(result, record.arms)
    if len(arms) < 2:
        return ""
    order = [*arms[1:], arms[0]]
    entries = [entry for _, entry in order]
    values = (
        _shares_in_words(record, result, entries)
        if is_binary(record, result)
        else _means_in_words(record, result, entries)
    )
    if not values:
        return ""
    placed = [f"{value} in the {clean(arm)} arm" for value, (arm, _) in zip(values, order, strict=True)]
    said = f"{title_case(clean(result.outcome_label))}: {'; '.join(placed[:-1])}, against {placed[-1]}"
    if rests_on_draw(record):
        return f"{said}, over all periods. The effect is between those that had begun and those that had not, not between these levels."
    if of_changes(record):
        return f"{said}, over all periods. The effect is about how they changed, not about these levels."
    return f"{said}."


def _shares_in_words(record: RunRecord, result: AnalysisResult, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    shares = [_share(entry) for entry in entries]
    known = [share for share in shares if share is not None]
    return rate_words(known, counted_words(record, result)) if len(known) == len(shares) else []


def counted_words(record: RunRecord, result: AnalysisResult) -> str:
    """Words for what a share is of: the trials where the outcome counts successes, else the rows."""
    trials = outcome_of(record, result).get("trials")
    return clean(trials).replace("_", " ") if trials else record.units.get("rows", "participants")


def _means_in_words(record: RunRecord, result: AnalysisResult, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    means = [entry.get("mean") for entry in entries]
    known = [float(mean) for mean in means if isinstance(mean, (int, float)) and math.isfinite(mean)]
    if len(known) != len(means):
        return []
    digits = max(_digits(mean) for mean in known)
    first = result.estimates[0] if result.estimates else None
    units = f" {units_words(first)}" if first is not None and not is_ratio(first) and _own_units(first) else ""
    row = clean(record.units.get("row", "participant"))
    return [f"{minus(format_number(mean, digits))}{units} on average for each {row}" for mean in known]


def effect_sentence(
    estimate: Estimate, *, better: str, arm: str, reference: str, changes: bool = False, drawn: bool = False
) -> str:
    """One estimate with its interval as a sentence, larger or smaller said in words.

    Parameters
    ----------
    estimate : Estimate
        The effect.
    better : {"lower", "higher", "neither"}
        Which direction of the outcome is good for children.
    arm, reference : str
        The arms set against each other.
    changes : bool
        Whether the effect is a difference between changes over time.
    drawn : bool
        Whether it rests on timing that was drawn, with no trend to go by.
    """
    if not is_estimated(estimate):
        return ""
    interval = _interval_in_words(estimate)
    if is_ratio(estimate) or not _own_units(estimate):
        null = "; 1 means no difference" if is_ratio(estimate) else _judged(estimate, better)
        moved = "had it not begun" if drawn else f"had it moved as in the {reference} arm"
        against = f"what it would be {moved}" if changes or drawn else f"the {reference} arm"
        return (
            f"Analysed as planned, the {scale_words(estimate)} is {effect_text(estimate)} for the {arm} arm against "
            f"{against} ({interval}){null}."
        )
    than = f"if it had moved as in the {reference} arm" if changes else f"in the {reference} arm"
    than = "if it had not begun" if drawn else than
    direction = _direction(estimate.estimate)
    if not direction:
        return f"Analysed as planned, the outcome is the same in the {arm} arm as {than} ({interval})."
    size = f"{size_text(estimate, estimate.estimate)} {units_words(estimate)} {direction}"
    return (
        f"Analysed as planned, the outcome is {size} in the {arm} arm than {than} "
        f"({interval}){_judged(estimate, better)}."
    )


def no_effect_sentence(estimate: Estimate) -> str:
    """Whether the interval excludes no difference, with the p-value."""
    excluded = excludes_null(estimate)
    p = p_text(estimate.p_value)
    told = f" ({p})" if p else ""
    null = f"{null_value(estimate):g}" if is_ratio(estimate) else "no difference"
    if excluded is None:
        return f"There is no interval to say whether no difference can be ruled out{told}."
    if excluded:
        return f"The interval excludes {null}{told}."
    return f"The interval includes {null}, so this analysis does not rule out that there is no effect{told}."


def excludes_null(estimate: Estimate) -> bool | None:
    """Whether the interval leaves out no difference; None where there is no interval."""
    if math.isnan(estimate.ci_low) or math.isnan(estimate.ci_high) or not is_estimated(estimate):
        return None
    null = null_value(estimate)
    return not estimate.ci_low <= null <= estimate.ci_high


def worthwhile_sentence(estimate: Estimate, limit: float) -> str:
    """Where the interval stands against the smallest worthwhile effect of the plan."""
    low, high = estimate.ci_low, estimate.ci_high
    named = f"the smallest effect that the plan calls worthwhile ({_amount(estimate, limit)})"
    if math.isnan(low) or math.isnan(high):
        return f"Without an interval the result cannot be set against {named}."
    down = limit < null_value(estimate)
    if (high <= limit) if down else (low >= limit):
        return f"Every value in the interval is at least as large as {named}."
    if (low > limit) if down else (high < limit):
        return f"Every value in the interval falls short of {named}."
    return f"The interval includes effects that reach {named} and effects that fall short of it."


def _amount(estimate: Estimate, value: float) -> str:
    if is_ratio(estimate):
        return f"{scale_words(estimate)} {value_text(estimate, value)}"
    return f"{size_text(estimate, value)} {units_words(estimate)} {_direction(value) or 'of difference'}"


def _interval_in_words(estimate: Estimate) -> str:
    interval = interval_text(estimate)
    if interval == MISSING:
        return "no interval could be formed"
    if is_ratio(estimate) or not _own_units(estimate):
        return f"{level_words(estimate)} {interval}"
    ends = [
        f"{size_text(estimate, value)} {_direction(value)}".strip()
        for value in (estimate.ci_low, estimate.ci_high)
    ]
    return f"{level_words(estimate)}: {ends[0]} to {ends[1]}"


def _judged(estimate: Estimate, better: str) -> str:
    """Which way it goes for children, said only of an effect that the interval sets apart from none."""
    value = estimate.estimate
    if better not in {"lower", "higher"} or not excludes_null(estimate):
        return ""
    return (
        ", the better direction for children"
        if (value < 0) == (better == "lower")
        else ", the worse direction for children"
    )


def _direction(value: float) -> str:
    if value == 0:
        return ""
    return "lower" if value < 0 else "higher"


def _own_units(estimate: Estimate) -> bool:
    """Whether the units are units of the outcome (days, percentage points) and not a name of the scale."""
    return estimate.scale in PROPORTION_SCALES or (
        bool(estimate.units) and units_words(estimate) != scale_words(estimate)
    )


def is_binary(record: RunRecord, result: AnalysisResult) -> bool:
    """Whether the outcome of an analysis is yes or no: as the plan says, else by the scales asked for."""
    kind = outcome_of(record, result).get("type")
    return kind == "binary" or (kind is None and any(one.scale in _BINARY_SCALES for one in result.estimates))


def _share(entry: Mapping[str, Any]) -> float | None:
    events, n = entry.get("events"), entry.get("trials", entry.get("n"))
    if events is None and isinstance(mean := entry.get("mean"), (int, float)) and 0 <= mean <= 1:
        return float(mean)
    if isinstance(events, (int, float)) and isinstance(n, (int, float)) and n > 0 and events <= n:
        return float(events) / float(n)
    return None


def _digits(value: float) -> int:
    if value == 0 or not math.isfinite(value):
        return 1
    return min(max(2 - math.floor(math.log10(abs(value))), 0), 4)
