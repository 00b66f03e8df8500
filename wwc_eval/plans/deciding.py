"""What the decision rules of a pilot say of its criteria, under the three headings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.plans.scoring import fidelity_words
from wwc_eval.report.record import AnalysisResult, Supplement
from wwc_eval.table import Column, Table, format_number

if TYPE_CHECKING:
    from wwc_eval.fidelity.scoring.scores import FidelityScores
    from wwc_eval.pilot.criterion import Criterion
    from wwc_eval.pilot.decision import Decision
    from wwc_eval.pilot.judgement import Finding, Judgement
    from wwc_eval.plans.facts import Facts

__all__ = ["decided_by"]

WITHHELD = "too few to show"


def decided_by(
    facts: Facts,
    analyses: Sequence[AnalysisResult],
    rule: DisclosureRule,
    *,
    scores: FidelityScores | None = None,
) -> tuple[Supplement, ...]:
    """The recommendation, then each heading's criteria with what stands beside them; nothing without decision rules.

    Parameters
    ----------
    facts : Facts
        The plan.
    analyses : sequence of AnalysisResult
        Results as they may be shown: of one that is withheld only the tier is.
    rule : DisclosureRule
        Which counts may be shown.
    scores : FidelityScores, optional
        Practice scored against the plan's specification: stands beside the criteria.
    """
    if facts.document.decision_rules is None:
        return ()
    planned = {result.id: result for result in analyses if result.of is None}
    decided = {name: result.verdict for name, result in planned.items() if result.verdict is not None}
    failed = {
        name: result.title
        for name, result in planned.items()
        if result.verdict is None and facts_model(facts, name) == "pilot"
    }
    if not decided:
        return (
            Supplement(key="recommendation", title="No recommendation", sentences=("No criterion was decided.",)),
        )
    from wwc_eval.pilot.judgement import HEADING_QUESTIONS, HEADING_TITLES, Rules, judge

    rules = Rules(**facts.document.decision_rules.model_dump())
    judgement = judge(
        list(decided.values()),
        rules=rules,
        findings=_findings(facts, planned.values(), scores),
        undecided=[_criterion(facts, name, title) for name, title in failed.items()],
    )
    hidden = {id(result.verdict) for result in planned.values() if result.status == "withheld"}
    sentences: tuple[str, ...] = (judgement.reason(), rules.words())
    if failed:
        sentences += (f"Could not be decided, and is not taken as green: {', '.join(failed.values())}.",)
    found = [
        Supplement(key="recommendation", title=f"Recommendation: {judgement.recommendation}", sentences=sentences)
    ]
    shown = [one for one in judgement.decisions if id(one) not in hidden]
    if shown:
        found.append(_picture(shown))
    for heading, title in HEADING_TITLES.items():
        table = _table(judgement, heading, hidden, rule)
        beside = judgement.beside(heading)
        if table is None and not beside:
            continue
        told = (
            HEADING_QUESTIONS[heading],
            *_lost(planned.values(), heading),
            *(f"{what}: {figure}." for what, figure in beside),
        )
        found.append(Supplement(key=heading, title=title, sentences=told, table=table))
    return tuple(found)


def _criterion(facts: Facts, name: str, title: str) -> Criterion:
    """Criterion of a planned analysis, by its title."""
    from wwc_eval.plans.vocabulary.pilot import PilotAnalysis

    found = next(each for each in facts.document.analyses if each.id == name)
    assert isinstance(found, PilotAnalysis)
    return found.criterion(facts.outcomes[found.outcome], title)


def facts_model(facts: Facts, name: str) -> str:
    """Model of a planned analysis; empty where there is none of the name."""
    return next((each.model for each in facts.document.analyses if each.id == name), "")


def _lost(results: Iterable[AnalysisResult], heading: str) -> list[str]:
    """Of how many the criteria of a heading know nothing, as those counts may be shown; in one sentence."""
    parts = [
        f"{result.title} ({count})"
        for result in results
        if result.verdict is not None and result.verdict.criterion.heading == heading
        for count in [(result.sample.get("dropped") or {}).get(result.outcome, 0)]
        if str(count) != "0"
    ]
    return [f"Not counted, as the value is missing: {', '.join(parts)}."] if parts else []


def _picture(decisions: Sequence[Decision]) -> Supplement:
    from wwc_eval.pilot.charts import plot_decisions

    told = "; ".join(f"{one.criterion.name} {one.tier}" for one in decisions)
    return Supplement(
        key="criteria",
        title="Each criterion against its limits",
        draw=lambda ax: plot_decisions(decisions, ax),
        alt=f"Estimate and interval of each criterion on the scale of its own limits: {told}.",
    )


def _table(judgement: Judgement, heading: str, hidden: set[int], rule: DisclosureRule) -> Table | None:
    from wwc_eval.pilot.decision import shown_row

    rows: list[dict[str, Any]] = []
    for one in judgement.decisions:
        if one.criterion.heading != heading:
            continue
        row = shown_row(one, rounded=rule.rounded)
        few = id(one) in hidden
        rows.append(
            {
                "criterion": row["criterion"],
                "limits": f"{one.criterion.show(one.criterion.red)}, {one.criterion.show(one.criterion.green)}",
                "observed": WITHHELD if few else f"{row['observed']}, {row['interval']}",
                "tier": row["tier"],
                "chances": "" if few else f"{row['p_red']}, {row['p_amber']}, {row['p_green']}",
                "p_value": "" if few else row["p_value"],
            }
        )
    columns = [
        Column(name="criterion"),
        Column(name="limits", label="limits of red, green"),
        Column(name="observed", label="observed, with interval"),
        Column(name="tier"),
        Column(name="chances", label="chance of red, amber, green"),
        Column(name="p_value", label="p against red"),
    ]
    return Table(rows, columns) if rows else None


def _main_trial_words(result: AnalysisResult) -> str:
    """What the pilot says of the main trial's power; empty for another analysis."""
    told = [item.sentences[0].rstrip(".") for item in result.supplements if item.key == "assurance"]
    return f"{told[0][0].lower()}{told[0][1:]}" if result.model == "main_trial" and told else ""


def _findings(facts: Facts, results: Any, scores: FidelityScores | None) -> list[Finding]:
    """Early outcomes and scores with their intervals, and costs."""
    from wwc_eval.pilot.judgement import Finding

    found = [
        Finding(
            heading="evidence_of_promise" if result.compares else "readiness_for_trial",
            what=result.title,
            figure=_main_trial_words(result) or result.estimates[0],
        )
        for result in results
        if result.verdict is None and result.estimates
    ]
    if scores is not None:
        words = " ".join(fidelity_words(facts, scores)).rstrip(".")
        found.append(Finding(heading="readiness_for_trial", what="Fidelity", figure=words))
    for cost in facts.document.costs:
        words = f"£{format_number(float(cost.amount), 0)} a {cost.per} ({cost.year} prices; {cost.source})"
        found.append(Finding(heading="readiness_for_trial", what=f"Cost, {cost.what}", figure=words))
    return found
