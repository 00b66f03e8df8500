"""Subgroups: the difference between groups first, then the effect in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wwc_eval.estimate import Estimate
from wwc_eval.report.blocks import Block, Cell, DataTable, Notice, Section, Text
from wwc_eval.report.contrasts import contrast, is_interaction
from wwc_eval.report.figures.forest import forest_figure
from wwc_eval.report.reading import WITHHELD, cautions, level_words, status_words
from wwc_eval.report.record import AnalysisResult, RunRecord
from wwc_eval.report.sections.results import WHY, effect_cells, measure_cell
from wwc_eval.report.words import clean, count_text, is_estimated, title_case
from wwc_eval.table import MISSING

ORDER = 650
TITLE = "Subgroups"


def build(record: RunRecord) -> Section | None:
    """A table a subgroup analysis and one forest plot with the overall effect above."""
    subgroups = [result for result in record.analyses if result.role == "subgroup"]
    if not subgroups:
        return None
    words = (
        "Read the first row of each table first: it is the difference between the groups, with its test. The effect "
        "within a group is shown with its interval only; a group whose interval excludes no difference beside one "
        "whose interval does not is no evidence that they differ."
    )
    blocks: list[Block] = [Text(text=words)]
    for result in subgroups:
        blocks += _one(result)
    of = {result.of for result in subgroups}
    overall = [result for result in record.analyses if result.id in of and result.role != "subgroup"]
    scales = {one.scale for result in subgroups for one in result.estimates if not is_interaction(one)}
    # beside its subgroups an overall effect stands on their scales only
    overall = [
        replace(one, estimates=tuple(each for each in one.estimates if each.scale in scales)) for one in overall
    ]
    drawn = [*overall, *(result for result in subgroups if _drawable(result))]
    if any(result.role == "subgroup" for result in drawn):
        blocks += forest_figure(drawn, name="forest_subgroups", title="Effects within groups")
    return Section(title=TITLE, blocks=blocks)


def _drawable(result: AnalysisResult) -> bool:
    return any(not is_interaction(one) for one in result.estimates)


def _one(result: AnalysisResult) -> list[Block]:
    blocks: list[Block] = []
    if not any(map(is_estimated, result.estimates)):
        blocks.append(_nothing(result))
        if not result.estimates:
            return blocks
    between = [one for one in result.estimates if is_interaction(one)]
    within = [one for one in result.estimates if not is_interaction(one)]
    levels = list(dict.fromkeys(level_words(one) for one in result.estimates))
    headings = [
        Cell(text="Group"),
        Cell(text="Measure"),
        Cell(text="Effect", numeric=True),
        Cell(text=levels[0] if len(levels) == 1 else "Interval", numeric=True),
        Cell(text="p", numeric=True),
    ]
    rows: list[list[Cell]] = []
    if between:
        rows.append([Cell(text="Difference between groups (interaction)", header=True, span=len(headings))])
        rows += [_row(one, result, tested=True) for one in between]
    if within:
        rows.append([Cell(text="Effect within each group", header=True, span=len(headings))])
        rows += [_row(one, result, tested=False) for one in within]
    blocks.append(
        DataTable(caption=title_case(clean(result.title)), headings=headings, rows=rows, notes=_notes(result))
    )
    return blocks


def _nothing(result: AnalysisResult) -> Notice:
    name = title_case(clean(result.title))
    lines = [clean(result.message) or "No reason was recorded."]
    if result.status == WITHHELD:
        return Notice(title=f"{name}: not shown", lines=lines, tone="plain")
    title = f"{name}: no estimate ({status_words(result).lower()})"
    return Notice(title=title, lines=lines, tone="problem")


def _row(one: Estimate, result: AnalysisResult, *, tested: bool) -> list[Cell]:
    effect, interval, p_value = effect_cells(one)
    last = p_value if tested else Cell(text=MISSING, numeric=True)
    name = Cell(text=title_case(contrast(one, result)), header=True)
    return [name, measure_cell(one), effect, interval, last]


def _notes(result: AnalysisResult) -> Sequence[str]:
    used = f"n = {count_text(result.sample.get('n'))}." if result.sample.get("n") is not None else ""
    status = f"{status_words(result)}: {clean(result.message)}" if result.status != "ok" else ""
    whys = (clean(note) for note in result.notes if note.startswith(WHY))
    return [line for line in (used, status, *whys, *(f"Caution: {text}" for text in cautions(result))) if line]
