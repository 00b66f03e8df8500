"""Results: every analysis of the plan with what varies it beside it, and all of them in a forest plot."""

from __future__ import annotations

from collections.abc import Sequence

from wwc_eval.estimate import Estimate
from wwc_eval.report.blocks import Block, Cell, DataTable, Heading, Notice, Section, Text
from wwc_eval.report.contrasts import contrast
from wwc_eval.report.figures.forest import forest_figure
from wwc_eval.report.reading import (
    WITHHELD,
    arm_outcomes,
    by_arm,
    cautions,
    level_words,
    smallest_worthwhile,
    status_words,
    without_estimate,
)
from wwc_eval.report.record import AnalysisResult, RunRecord
from wwc_eval.report.words import (
    clean,
    count_text,
    effect_text,
    flatten,
    humanise,
    interval_text,
    is_estimated,
    listed,
    measure_words,
    title_case,
)
from wwc_eval.table import MISSING, format_p_value

ORDER = 600
TITLE = "Results"
WHY = "Why: "
VARIES = frozenset({"sensitivity", "unadjusted", "deviation"})
_HEADS = {"primary": "Primary outcome", "secondary": "Secondary outcomes", "exploratory": "Exploratory analyses"}


def build(record: RunRecord) -> Section | None:
    """A table a role, outcomes by arm, the forest plot; subgroups have their own section."""
    shown = [result for result in record.analyses if result.role != "subgroup" and result.compares]
    if not shown:
        return None
    mains = [result for result in shown if result.role not in VARIES]
    limits = {one.id: limit for one in mains if (limit := smallest_worthwhile(record, one)) is not None}
    blocks: list[Block] = [*forest_figure(shown, worthwhile=limits, title="Every effect with its interval")]
    for role in dict.fromkeys([*_HEADS, *(result.role for result in mains)]):
        of_role = [result for result in mains if result.role == role]
        if of_role:
            blocks += _role(record, role, of_role, shown)
    ids = {result.id for result in mains}
    stray = [result for result in shown if result.role in VARIES and result.of not in ids]
    if stray:
        blocks += [Heading(text="Further analyses"), effects_table("Further analyses", stray, ())]
    return Section(title=TITLE, blocks=blocks)


def _role(
    record: RunRecord, role: str, mains: Sequence[AnalysisResult], shown: Sequence[AnalysisResult]
) -> list[Block]:
    head = _HEADS.get(role, f"{title_case(humanise(role))} analyses")
    varied = [result for result in shown if result.role in VARIES and result.of in {one.id for one in mains}]
    blocks: list[Block] = [Heading(text=head)]
    blocks += _cautions([*mains, *varied])
    if role == "exploratory":
        blocks.append(
            Text(text="These were not set out as tests of the question; read them as leads, not as answers.")
        )
    outcomes = _outcomes(record, mains)
    caption = f"{head}: effects, and the analyses that vary them" if varied else f"{head}: effects"
    table = effects_table(caption, mains, varied)
    return [*blocks, *([outcomes] if outcomes is not None else []), table]


def _cautions(results: Sequence[AnalysisResult]) -> list[Block]:
    """What went wrong with a fit, said before its figures are shown."""
    withheld = [result for result in results if result.status == WITHHELD]
    without = [one for one in results if not any(map(is_estimated, one.estimates)) and one not in withheld]
    shaky = [result for result in results if result.status != "ok" and result not in (*without, *withheld)]
    blocks: list[Block] = []
    if without:
        title = (
            "One analysis gave no estimate" if len(without) == 1 else f"{len(without)} analyses gave no estimate"
        )
        blocks.append(Notice(title=title, lines=_told(without), tone="problem"))
    if shaky:
        title = "Read one analysis with care" if len(shaky) == 1 else f"Read {len(shaky)} analyses with care"
        blocks.append(Notice(title=title, lines=_told(shaky)))
    if withheld:
        title = "One analysis is not shown" if len(withheld) == 1 else f"{len(withheld)} analyses are not shown"
        blocks.append(Notice(title=title, lines=_told(withheld), tone="plain"))
    return blocks


def _told(results: Sequence[AnalysisResult]) -> list[str]:
    return [
        f"{title_case(clean(one.title))} ({status_words(one).lower()}): {clean(one.message) or 'no reason was recorded.'}"
        for one in results
    ]


def _outcomes(record: RunRecord, mains: Sequence[AnalysisResult]) -> DataTable | None:
    """Outcomes by arm as observed, a row an analysis."""
    found = [(result, dict(by_arm(result, record.arms)), arm_outcomes(result, record.arms)) for result in mains]
    arms = list(dict.fromkeys([*record.arms, *(arm for _, entries, _ in found for arm in entries)]))
    if not any(text != MISSING for _, _, texts in found for text in texts.values()):
        return None
    rows = []
    for result, entries, texts in found:
        cells = [
            Cell(text=texts[arm], detail=f"n = {count_text(entries[arm].get('n'))}", numeric=True)
            if arm in entries
            else Cell(text=MISSING, numeric=True)
            for arm in arms
        ]
        rows.append([Cell(text=title_case(clean(result.outcome_label)), header=True), *cells])
    headings = [Cell(text="Outcome"), *(Cell(text=title_case(clean(arm)), numeric=True) for arm in arms)]
    notes = ["As observed, without adjustment: n (%) of a yes or no outcome, mean (SD) of a quantity."]
    return DataTable(caption="Outcomes by arm", headings=headings, rows=rows, notes=notes)


def effects_table(caption: str, mains: Sequence[AnalysisResult], varied: Sequence[AnalysisResult]) -> DataTable:
    """Effects of analyses, each followed by the analyses that vary it.

    Parameters
    ----------
    caption : str
        Caption of the table.
    mains, varied : sequence of AnalysisResult
        Analyses, and those whose ``of`` names one of them.
    """
    everything = [*mains, *varied]
    adjusted = any(result.adjusted for result in everything)
    levels = list(dict.fromkeys(level_words(one) for result in everything for one in result.estimates))
    headings = [
        Cell(text="Analysis"),
        Cell(text="Measure"),
        Cell(text="Effect", numeric=True),
        Cell(text=levels[0] if len(levels) == 1 else "Interval", numeric=True),
        Cell(text="p", numeric=True),
        *([Cell(text="Adjusted p", numeric=True)] if adjusted else []),
        Cell(text="n", numeric=True),
    ]
    contrasts = list(dict.fromkeys(contrast(one, result) for result in everything for one in result.estimates))
    shown = {"adjusted": adjusted, "mixed": len(levels) > 1, "contrasts": len(contrasts) > 1}
    rows: list[list[Cell]] = []
    for main in mains:
        rows += _rows(main, **shown)
        followers = [result for result in varied if result.of == main.id]
        if followers:
            rows.append([Cell(text=f"Varying “{clean(main.title)}”", header=True, span=len(headings))])
        for result in followers:
            rows += _rows(result, **shown)
    notes = [f"Each effect: {contrasts[0]}."] if len(contrasts) == 1 else []
    return DataTable(caption=caption, headings=headings, rows=rows, notes=[*notes, *_notes(everything)])


def _rows(result: AnalysisResult, *, adjusted: bool, mixed: bool, contrasts: bool) -> list[list[Cell]]:
    title = title_case(clean(result.title))
    about = _changed(result) if result.role in VARIES else title_case(clean(result.outcome_label))
    status = f"{status_words(result)}: see methods" if result.status != "ok" else ""
    whys = [clean(note) for note in result.notes if note.startswith(WHY)]
    detail = ". ".join(part.rstrip(".") for part in (about if about != title else "", *whys, status) if part)
    count = max(len(result.estimates), 1)
    head = Cell(text=title, detail=detail, header=True, rows=count, strong=result.role not in VARIES)
    n = Cell(text=count_text(result.sample.get("n")), numeric=True, rows=count)
    if not result.estimates:
        blank = [
            Cell(text=MISSING),
            Cell(text=without_estimate(result), numeric=True),
            *[Cell(text=MISSING, numeric=True)] * (3 if adjusted else 2),
        ]
        return [[head, *blank, n]]
    rows = []
    for position, one in enumerate(result.estimates):
        measured = measure_cell(one, contrast(one, result) if contrasts else "")
        cells = [measured, *effect_cells(one, mixed=mixed)]
        if adjusted:
            cells.append(Cell(text=_adjusted(result, one), numeric=True))
        rows.append([head, *cells, n] if position == 0 else cells)
    return rows


def measure_cell(one: Estimate, of: str = "") -> Cell:
    """Scale of an estimate, and under it the units where they say more, and the contrast."""
    name, units = measure_words(one)
    return Cell(text=name, detail=", ".join(words for words in (of, units) if words))


def effect_cells(one: Estimate, *, mixed: bool = False) -> list[Cell]:
    """Effect, interval (with its level where levels differ) and p-value."""
    known = is_estimated(one)
    return [
        Cell(text=effect_text(one), numeric=True, strong=known),
        Cell(text=interval_text(one), detail=level_words(one) if mixed and known else "", numeric=True),
        Cell(text=format_p_value(one.p_value) if known else MISSING, numeric=True),
    ]


def _changed(result: AnalysisResult) -> str:
    words = [
        f"{name}: {humanise(text)}" if name else humanise(text) for name, text in flatten(dict(result.changed))
    ]
    return title_case("; ".join(words)) if words else ""


def _adjusted(result: AnalysisResult, one: Estimate) -> str:
    """Adjusted p-value of an estimate on the headline scale: by term where there are several contrasts."""
    if not result.adjusted or one.scale != result.estimates[0].scale:
        return MISSING
    by_term = result.adjusted.get("p_values") or {}
    value = by_term.get(one.term, result.adjusted.get("p_value") if one is result.estimates[0] else None)
    return format_p_value(float(value)) if isinstance(value, (int, float)) else MISSING


def _notes(results: Sequence[AnalysisResult]) -> list[str]:
    families: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.adjusted:
            key = (clean(result.adjusted.get("method", "")), clean(result.adjusted.get("family", "")))
            families.setdefault(key, []).append(clean(result.title))
    notes = [
        f"Adjusted p: {humanise(method).title()} over the family “{family}” ({listed(names)})."
        for (method, family), names in families.items()
    ]
    bearers: dict[str, list[str]] = {}
    for result in results:
        for caution in cautions(result):
            bearers.setdefault(caution, []).append(title_case(clean(result.title)))
    # what holds of every analysis is said once, without their names
    notes += [
        f"Caution: {caution}" if len(titles) == len(results) else f"Caution ({listed(titles)}): {caution}"
        for caution, titles in bearers.items()
    ]
    if any(note for result in results for note in result.notes if not note.startswith(WHY)):
        notes.append("Further notes on each analysis stand under methods.")
    return notes
