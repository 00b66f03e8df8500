"""Appendix: whole models, data files, environment, the plan, and how to verify all of it."""

from __future__ import annotations

import math

from wwc_eval.report.blocks import Block, Cell, DataTable, Details, Facts, Heading, Section, Text
from wwc_eval.report.masthead import LEVELS
from wwc_eval.report.reading import level_words
from wwc_eval.report.record import AnalysisResult, RunRecord
from wwc_eval.report.words import (
    clean,
    count_text,
    day,
    effect_text,
    flatten,
    interval_text,
    is_ratio,
    minus,
    title_case,
)
from wwc_eval.table import MISSING, format_number, format_p_value

ORDER = 1000
TITLE = "Appendix"


def build(record: RunRecord) -> Section:
    """What a third party needs to check the report."""
    blocks: list[Block] = []
    models = [result for result in record.analyses if result.coefficients]
    if models:
        blocks.append(Heading(text="Models in full"))
        blocks += [Details(summary=title_case(clean(result.title)), blocks=[_model(result)]) for result in models]
    if record.files:
        blocks += [Heading(text="Data files"), _files(record)]
    blocks += [Heading(text="Plan and lock"), _lock(record)]
    plan: list[tuple[str, str | tuple[str, ...]]] = [
        (name, text) for name, text in flatten(dict(record.plan), path=True)
    ]
    if plan:
        blocks.append(
            Details(
                summary="The plan as run, field by field", blocks=[Facts(caption="Fields and values", pairs=plan)]
            )
        )
    if record.environment:
        blocks += [Heading(text="Environment"), _environment(record)]
    blocks += [Heading(text="How to verify this report"), *_verify(record)]
    return Section(title=TITLE, blocks=blocks)


def _model(result: AnalysisResult) -> DataTable:
    levels = list(dict.fromkeys(level_words(one) for one in result.coefficients))
    names = ("Term", "Coefficient", levels[0] if len(levels) == 1 else "Interval", "SE", "df", "p")
    rows = [
        [
            Cell(text=clean(one.term), header=True),
            Cell(text=effect_text(one), numeric=True),
            Cell(text=interval_text(one), numeric=True),
            Cell(text=minus(one._show_se()), numeric=True),
            Cell(text="normal" if math.isinf(one.df) else format_number(one.df, 1), numeric=True),
            Cell(text=format_p_value(one.p_value), numeric=True),
        ]
        for one in result.coefficients
    ]
    notes = [clean(result.formula)] if result.formula else []
    if any(is_ratio(one) for one in result.coefficients):
        notes.append("The standard error of a ratio is that of its logarithm.")
    scales = list(dict.fromkeys(one.shown_units for one in result.coefficients))
    notes.append(f"In units of: {', '.join(clean(scale) for scale in scales)}.")
    headings = [Cell(text=name, numeric=position > 0) for position, name in enumerate(names)]
    return DataTable(
        caption="Coefficients of the whole model", headings=headings, rows=rows, notes=notes, compact=True
    )


def _files(record: RunRecord) -> DataTable:
    rows = [
        [
            Cell(text=clean(item.name), header=True),
            Cell(text=clean(item.file)),
            Cell(text=count_text(item.rows), numeric=True),
            Cell(text=count_text(item.columns), numeric=True),
            Cell(text=clean(item.sha256), code=True),
        ]
        for item in record.files
    ]
    headings = [
        Cell(text="Name"),
        Cell(text="File"),
        Cell(text="Rows", numeric=True),
        Cell(text="Columns", numeric=True),
        Cell(text="SHA-256"),
    ]
    return DataTable(caption="As read by this run", headings=headings, rows=rows, compact=True)


def _lock(record: RunRecord) -> Facts:
    pairs: list[tuple[str, str | tuple[str, ...]]] = [("Plan hash (SHA-256)", clean(record.plan_hash))]
    lock = record.lock
    pairs.append(("Locked", day(lock["locked_at"]) if lock.get("locked_at") else "Not locked"))
    if lock.get("level"):
        level = clean(lock["level"])
        pairs.append(("Level", f"{level}: {LEVELS[level]}" if level in LEVELS else level))
    if lock.get("code_version"):
        pairs.append(("Code at the lock", clean(lock["code_version"])))
    shown = {"locked_at", "level", "code_version", "environment"}
    rest = {key: value for key, value in lock.items() if key not in shown and value not in (None, "", [], (), {})}
    pairs += [(title_case(name), text) for name, text in flatten(rest)]
    pairs.append(("Run made", day(record.started_at)))
    run = "Draft" if record.draft else f"Confirmatory run {record.run_number} of {record.run_count}"
    return Facts(caption="Hash, lock and run", pairs=[*pairs, ("Run", run)])


def _environment(record: RunRecord) -> DataTable:
    """Versions of the run, beside those of the lock where the lock holds them."""
    locked = record.lock.get("environment") or {}
    names = list(dict.fromkeys([*record.environment, *locked]))
    rows = []
    for name in names:
        now, then = clean(record.environment.get(name, MISSING)), clean(locked.get(name, MISSING))
        cells = [Cell(text=clean(name), header=True), Cell(text=now, strong=bool(locked) and now != then)]
        rows.append([*cells, Cell(text=then)] if locked else cells)
    headings = [Cell(text="Package"), Cell(text="This run"), *([Cell(text="At the lock")] if locked else [])]
    return DataTable(caption="Software", headings=headings, rows=rows, compact=True)


def _verify(record: RunRecord) -> list[Block]:
    words = (
        "Keep this page with the other files of its folder. The command below, given that folder, recomputes every "
        "hash and estimate from the plan and the data, and names the first that differs."
    )
    blocks: list[Block] = [Text(text=words), Text(text="wwc-eval verify DIR", style="code")]
    if record.draft:
        blocks.append(
            Text(text="A draft can be recomputed, but there is no lock to verify it against.", style="note")
        )
    return blocks
