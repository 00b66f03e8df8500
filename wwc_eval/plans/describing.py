"""Who was in the trial: flow, baseline, missing values and samples, protected together before anything is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wwc_eval.data.baseline import Baseline, baseline_table
from wwc_eval.data.counts import Counts, Key, Protected, Status, protect
from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.data.flow import Flow, flow_counts, participant_flow, suppress_flow
from wwc_eval.data.missingness import Missingness, missingness_table
from wwc_eval.plans.assembly import Assembled
from wwc_eval.plans.facts import Facts
from wwc_eval.plans.samples import Samples
from wwc_eval.report.record import AnalysisResult
from wwc_eval.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Description", "describe_sample"]

PROFILED = frozenset({"binary", "category", "integer", "number"})


@dataclass(frozen=True, kw_only=True)
class Description:
    """Flow, tables and analyses as they may be shown.

    Parameters
    ----------
    flow : Flow
        Participant flow.
    baseline : Table
        Baseline characteristics.
    missingness : tuple of Table
        Missing values by arm, and by block.
    analyses : tuple of AnalysisResult
        The analyses with their samples protected.
    hidden : int
        Number of counts not shown.
    warnings : tuple of str
        What remains to be judged before release.
    """

    flow: Flow
    baseline: Table
    missingness: tuple[Table, ...]
    analyses: tuple[AnalysisResult, ...]
    hidden: int
    warnings: tuple[str, ...]


def describe_sample(
    facts: Facts,
    assembled: Assembled,
    frame: pd.DataFrame,
    results: Sequence[AnalysisResult],
    rule: DisclosureRule,
) -> Description:
    """Describe the sample of a run, with every count of the report protected in one system.

    Parameters
    ----------
    facts : Facts
        The plan.
    assembled : Assembled
        Data as received, with the exclusions.
    frame : DataFrame
        Included rows.
    results : sequence of AnalysisResult
        Analyses whose ``sample`` still holds raw counts and ``rows``.
    rule : DisclosureRule
        Which counts may be shown.
    """
    flow = _flow(facts, assembled)
    baseline = _baseline(facts, frame)
    missing = _missingness(facts, frame)
    samples = Samples(facts=facts, frame=frame, results=results, variables=_checked_for_missing(facts))
    parts = [flow_counts(flow, outcome=facts.primary.name if facts.primary else None), baseline.counts]
    counts = Counts().join(*parts, *(table.counts for table in missing), samples.counts)
    institutions = facts.document.design.kind != "individual"
    protected = _protect_people(rule, counts) if institutions else protect(rule, counts)
    return Description(
        flow=suppress_flow(flow, protected),
        baseline=baseline.table(protected),
        missingness=tuple(shown for table in missing for shown in table.tables(protected)),
        analyses=tuple(samples.show(protected)),
        hidden=protected.n_hidden,
        warnings=(*samples.close_pairs(rule.threshold), *_exposed(protected)),
    )


def _protect_people(rule: DisclosureRule, counts: Counts) -> Protected:
    """Protect counts of people only: in a cluster trial the units are institutions, and eight schools are no secret."""
    shown = {cell.key: int(cell.value) for cell in counts.cells if _of_units(cell.key)}
    people = Counts(
        [cell for cell in counts.cells if cell.key not in shown],
        [
            (total, parts)
            for total, parts in counts.sums
            if total not in shown and not any(key in shown for key in parts)
        ],
    )
    protected = protect(rule, people)
    status: dict[Key, Status] = {**protected.status, **dict.fromkeys(shown, "shown")}
    known = {cell.key: int(cell.value) for cell in counts.cells}
    return replace(protected, values=known, status=status)


def _of_units(key: Key) -> bool:
    return isinstance(key, tuple) and key[:1] == ("units",)


def _flow(facts: Facts, assembled: Assembled) -> Flow:
    design, words = facts.document.design, facts.words
    # in a stepped wedge a cluster is in every arm, one after the other: rows are counted by the arm of their cell
    single = facts.rows_are_units or design.kind in {"stepped_wedge", "did"}
    return participant_flow(
        assembled.frame,
        arm=design.arm_column,
        arms=facts.arms,
        unit=None if single else facts.unit_column,
        unit_words=words["units"],
        row_words=words["rows"],
        excluded=assembled.excluded,
        outcome_missing=facts.primary.name if facts.primary else None,
        # clusters are randomised to sequences; their rows fall into cells of an arm
        labels=LABELS.get(design.kind),
    )


LABELS = {
    "stepped_wedge": {"received": "Received", "allocated": "In cells of {arm}"},
    "did": {"received": "Received", "allocated": "{arm}"},
    "pilot": {"received": "Received", "allocated": "In the pilot: {arm}"},
}


def _labels(facts: Facts) -> tuple[dict[str, str], dict[str, str]]:
    labels = {name: column.label for name, column in facts.columns.items() if column.label}
    labels |= {name: outcome.label for name, outcome in facts.outcomes.items() if outcome.label}
    return labels, {name: column.units for name, column in facts.columns.items() if column.units}


def _baseline(facts: Facts, frame: pd.DataFrame) -> Baseline:
    labels, units = _labels(facts)
    variables = [name for name, column in facts.columns.items() if column.baseline and column.type in PROFILED]
    return baseline_table(
        frame,
        arm=facts.document.design.arm_column,
        arms=facts.arms,
        variables=variables,
        labels=labels,
        units=units,
        row_words=facts.words["rows"],
    )


def _missingness(facts: Facts, frame: pd.DataFrame) -> list[Missingness]:
    labels, _ = _labels(facts)
    shown = _checked_for_missing(facts)
    blocks = facts.document.design.within[:1]
    return [
        missingness_table(
            frame,
            arm=facts.document.design.arm_column,
            arms=facts.arms,
            by=blocks[0] if blocks else None,
            variables=shown,
            labels=labels,
            row_words=facts.words["rows"],
        )
    ]


def _checked_for_missing(facts: Facts) -> list[str]:
    return [name for name, column in facts.columns.items() if column.baseline or name in facts.outcomes]


def _exposed(protected: Protected) -> list[str]:
    """Sentence on small counts that are not shown but follow from others that are."""
    named = [
        " ".join(str(part) for part in key)
        for key in protected.exposed
        if isinstance(key, tuple) and key in protected.printed and all(isinstance(part, str) for part in key)
    ]
    if not protected.exposed:
        return []
    listed = f" ({', '.join(named[:5])}{' ...' if len(named) > 5 else ''})" if named else ""
    return [
        f"Small counts that are not shown follow from counts that are{listed}: check the output before release."
    ]
