"""The headline: the question, and the primary result in words, in figures and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wwc_eval.estimate import Estimate
from wwc_eval.report.blocks import Block, Cell, DataTable, Html, Notice, Section, Text
from wwc_eval.report.contrasts import arm_of, contrast, headline_estimates, other_scales
from wwc_eval.report.figures.ruler import ruler_figure
from wwc_eval.report.page import html_block
from wwc_eval.report.reading import (
    WITHHELD,
    arm_outcomes,
    by_arm,
    cautions,
    counted_words,
    effect_sentence,
    is_binary,
    level_words,
    no_effect_sentence,
    of_changes,
    raw_sentence,
    rests_on_draw,
    smallest_worthwhile,
    status_words,
    worthwhile_sentence,
)
from wwc_eval.report.record import AnalysisResult, RunRecord
from wwc_eval.report.words import (
    clean,
    count_text,
    effect_text,
    interval_text,
    is_estimated,
    measure_words,
    pick,
    title_case,
    units_words,
)
from wwc_eval.table import MISSING, format_p_value

ORDER = 100
TITLE = "Headline result"

_CARDS = """<div class="headline">
{% for card in cards %}<div{% if card.effect %} class="effect"{% endif %}><span class="figure{% if card.text %} text{% endif %}">{{ card.figure }}</span><span class="what">{{ card.what }}</span></div>
{% endfor %}</div>
"""


def build(record: RunRecord) -> Section | None:
    """Question and primary result; nothing where no arms are compared."""
    if record.analyses and not any(result.compares for result in record.analyses):
        return None  # a pilot: its decision stands in the place of a result
    blocks: list[Block] = []
    question = pick(record.plan, "question")
    if question:
        blocks.append(Text(text=clean(question), style="lead"))
    primary = [result for result in record.analyses if result.role == "primary" and result.compares]
    if not primary:
        blocks.append(
            Notice(title="No primary result", lines=["This run holds no primary analysis."], tone="plain")
        )
    for number, result in enumerate(primary, start=1):
        blocks += _result(record, result, figure="headline" if number == 1 else f"headline_{number}")
    return Section(title=TITLE, blocks=blocks)


def _result(record: RunRecord, result: AnalysisResult, *, figure: str) -> list[Block]:
    estimates = headline_estimates(result)
    known = [one for one in estimates if is_estimated(one)]
    blocks: list[Block] = [_cards(record, result, known)] if known else []
    if known:
        blocks += _sentences(record, result, known)
    if not known or result.status != "ok":
        blocks.append(_caution(record, result, estimated=bool(known)))
    limit = smallest_worthwhile(record, result)
    if known:
        ruler = ruler_figure(known, result, limit, name=figure)
        blocks += [ruler] if ruler is not None else []
    if known and cautions(result):
        blocks.append(Notice(title="Before relying on this result", lines=cautions(result)))
    blocks.append(_table(record, result, estimates))
    rest = other_scales(result)
    return [*blocks, _scales(result, rest)] if rest else blocks


def _sentences(record: RunRecord, result: AnalysisResult, known: Sequence[Estimate]) -> list[Block]:
    blocks: list[Block] = []
    raw = raw_sentence(record, result)
    blocks.append(Text(text=raw or f"{title_case(clean(result.outcome_label))}.", style="lead"))
    limit = smallest_worthwhile(record, result)
    for one in known:
        arm, reference = arm_of(one, result)
        sentences = [
            effect_sentence(
                one,
                better=result.better,
                arm=arm,
                reference=reference,
                changes=of_changes(record),
                drawn=rests_on_draw(record),
            ),
            no_effect_sentence(one),
        ]
        if limit is not None:
            sentences.append(worthwhile_sentence(one, limit))
        blocks.append(Text(text=" ".join(sentences)))
    return blocks


def _caution(record: RunRecord, result: AnalysisResult, *, estimated: bool) -> Notice:
    message = clean(result.message) or f"The fit ended as: {status_words(result).lower()}."
    if estimated:
        return Notice(title=f"Read with care: {status_words(result).lower()}", lines=[message])
    if result.status == WITHHELD:
        return Notice(title="The primary result is not shown", lines=[message], tone="plain")
    lines = [message, f"No primary effect is reported. {raw_sentence(record, result)}".strip()]
    return Notice(title="The primary analysis gave no estimate", lines=lines, tone="problem")


def _cards(record: RunRecord, result: AnalysisResult, known: Sequence[Estimate]) -> Html:
    cards = [_effect_card(one, result) for one in known]
    if len(known) == 1:  # with several contrasts the arms stand in the table alone
        shown = arm_outcomes(result, record.arms)
        arms = (_arm_card(record, result, arm, entry, shown[arm]) for arm, entry in by_arm(result, record.arms))
        cards += [card for card in arms if card is not None]
    words = "; ".join(f"{card['figure']}: {card['what']}" for card in cards)
    return html_block(_CARDS, words=f"{words}.", cards=cards)


def _effect_card(one: Estimate, result: AnalysisResult) -> dict[str, Any]:
    what = f"{units_words(one)}, {contrast(one, result)} ({level_words(one)} {interval_text(one)})"
    return {"figure": effect_text(one), "what": what, "effect": True, "text": False}


def _arm_card(
    record: RunRecord, result: AnalysisResult, arm: str, entry: Mapping[str, Any], shown: str
) -> dict[str, Any] | None:
    if shown == MISSING:
        return None
    rows = clean(record.units.get("rows", "participants"))
    over = " over all periods" if of_changes(record) else ""
    figure, what = shown, f"{clean(arm)} arm, mean (SD){over}, {count_text(entry.get('n'))} {rows}"
    if is_binary(record, result):
        inside = shown[shown.index("(") + 1 : -1] if shown.endswith("%)") else shown
        events = f"{count_text(entry.get('events'))} of " if entry.get("events") is not None else ""
        if "trials" in entry:
            events += f"{count_text(entry['trials'])} {counted_words(record, result)} in "
        figure, what = inside, f"{clean(arm)} arm, {events}{count_text(entry.get('n'))} {rows}"
    return {"figure": figure, "what": what, "effect": False, "text": not is_binary(record, result)}


def _table(record: RunRecord, result: AnalysisResult, estimates: Sequence[Estimate]) -> DataTable:
    """A row an arm: how many, with which outcome, and the effect against the reference arm."""
    arms = by_arm(result, record.arms)
    # where a row is a unit, one column counts both
    clustered = any(
        entry.get("n_clusters") is not None and entry["n_clusters"] != entry.get("n") for _, entry in arms
    )
    units, rows = (
        title_case(clean(record.units.get(key, word))) for key, word in (("units", "units"), ("rows", "rows"))
    )
    level = level_words(estimates[0]) if estimates else "Interval"
    outcome = "Outcome, n (%)" if is_binary(record, result) else "Outcome, mean (SD)"
    headings = [
        Cell(text="Arm"),
        *([Cell(text=units, numeric=True)] if clustered else []),
        Cell(text=rows, numeric=True),
        Cell(text=outcome, numeric=True),
        Cell(text="Effect", numeric=True, detail=units_words(estimates[0]) if estimates else ""),
        Cell(text=level, numeric=True),
        Cell(text="p", numeric=True),
    ]
    left = {arm_of(one, result)[0]: one for one in estimates}
    shown = arm_outcomes(result, record.arms)
    body = []
    for position, (arm, entry) in enumerate(arms):
        counts = [count_text(entry.get("n_clusters"))] if clustered else []
        counts += [count_text(entry.get("n")), shown[arm]]
        effect = left.pop(clean(arm), None)
        body.append(
            [
                Cell(text=title_case(clean(arm)), header=True, strong=effect is not None),
                *(Cell(text=text, numeric=True) for text in counts),
                *_effect_cells(effect, reference=position == 0),
            ]
        )
    width = len(headings) - 3
    body += [
        [Cell(text=contrast(one, result), header=True, span=width), *_effect_cells(one)] for one in left.values()
    ]
    return DataTable(
        caption=f"Primary result: {clean(result.outcome_label)}",
        headings=headings,
        rows=body,
        notes=_notes(record, result),
    )


def _effect_cells(effect: Estimate | None, *, reference: bool = False) -> list[Cell]:
    if effect is None:
        return [
            Cell(text="reference" if reference else MISSING, numeric=True),
            *[Cell(text=MISSING, numeric=True)] * 2,
        ]
    p_value = format_p_value(effect.p_value) if is_estimated(effect) else MISSING
    texts = (effect_text(effect), interval_text(effect), p_value)
    return [Cell(text=text, numeric=True, strong=position == 0) for position, text in enumerate(texts)]


def _compared(record: RunRecord) -> str:
    """How the effect stands to the outcomes by arm beside it."""
    if rests_on_draw(record):
        return "The outcome is as observed, over all periods; the effect is between those that had begun and those that had not."
    if of_changes(record):
        return "The outcome is as observed, over all periods; the effect is the difference between changes."
    return "The outcome is as observed; the effect is from the planned analysis and need not be their difference."


def _notes(record: RunRecord, result: AnalysisResult) -> tuple[str, ...]:
    rows = clean(record.units.get("rows", "rows"))
    used = f"{count_text(result.sample.get('n'))} {rows} analysed"
    if result.sample.get("n_clusters") not in (None, result.sample.get("n")):
        used += f" in {count_text(result.sample['n_clusters'])} clusters ({clean(result.sample.get('cluster') or 'declared')})"
    population = result.sample.get("population")
    notes = [f"{used}{', ' + clean(population).replace('_', ' ') if population else ''}."]
    if any(map(is_estimated, result.estimates)):
        notes.append(_compared(record))
    if result.method:
        notes.append(clean(result.method))
    if result.adjusted:
        method, family = (clean(result.adjusted.get(key, "")) for key in ("method", "family"))
        p_value = format_p_value(float(result.adjusted["p_value"]))
        notes.append(f"Adjusted by {method.replace('_', ' ').title()} over the family “{family}”: p {p_value}.")
    return tuple(notes)


def _scales(result: AnalysisResult, rest: Sequence[Estimate]) -> DataTable:
    rows = [
        [
            Cell(text=measure_words(one)[0], header=True, detail=contrast(one, result)),
            *_effect_cells(one),
        ]
        for one in rest
    ]
    headings = [
        Cell(text="Measure"),
        Cell(text="Effect", numeric=True),
        Cell(text=level_words(rest[0]), numeric=True),
        Cell(text="p", numeric=True),
    ]
    return DataTable(caption="Other measures of the same effect", headings=headings, rows=rows)
