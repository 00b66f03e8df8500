"""Methods and convergence: what each analysis did, with which model and sample, and how the fit ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wwc_eval.report.blocks import Block, Bullets, Cell, DataTable, Facts, Heading, Section
from wwc_eval.report.reading import status_words
from wwc_eval.report.record import AnalysisResult, RunRecord
from wwc_eval.report.words import clean, count_text, flatten, humanise, title_case
from wwc_eval.table import MISSING

ORDER = 700
TITLE = "Methods and convergence"


def build(record: RunRecord) -> Section | None:
    """How the fits ended in one table, then each analysis."""
    if not record.analyses:
        return None
    sources = list(
        dict.fromkeys(
            clean(one.citation) for result in record.analyses for one in result.estimates if one.citation
        )
    )
    facts = {result.id: _facts(result, sources) for result in record.analyses}
    titles = {result.id: title_case(clean(result.title)) for result in record.analyses}
    blocks: list[Block] = [_convergence(record), Heading(text="Each analysis")]
    for result in record.analyses:
        pairs = facts[result.id]
        if result.of in facts and result.of != result.id:
            same = facts[result.of]
            pairs = [*(pair for pair in pairs if pair not in same), ("Otherwise", f"As “{titles[result.of]}”")]
        blocks.append(Facts(caption=f"{titles[result.id]} ({clean(result.id)})", pairs=pairs))
    if sources:
        blocks += [
            Heading(text="Sources"),
            Bullets(items=[f"[{number}] {text}" for number, text in enumerate(sources, start=1)]),
        ]
    return Section(title=TITLE, blocks=blocks)


def _convergence(record: RunRecord) -> DataTable:
    rows = [
        [
            Cell(text=title_case(clean(result.title)), header=True),
            Cell(text=title_case(humanise(result.role))),
            Cell(text=status_words(result), strong=result.status != "ok"),
            Cell(text=clean(result.message) or MISSING),
            Cell(text=count_text(result.sample.get("n")), numeric=True),
            Cell(text=_dropped_total(result), numeric=True),
        ]
        for result in record.analyses
    ]
    names = ("Analysis", "Role", "Status", "Note", "Rows used", "Rows dropped")
    headings = [Cell(text=name, numeric=name.startswith("Rows")) for name in names]
    return DataTable(caption="How each fit ended", headings=headings, rows=rows)


def _dropped_total(result: AnalysisResult) -> str:
    """Rows dropped where the sample gives their number; by column they may overlap, so they are never added up."""
    total = result.sample.get("n_dropped")
    if total is not None:
        return count_text(total)
    by_column = _dropped(result)
    if not by_column:
        return "0"
    return count_text(next(iter(by_column.values()))) if len(by_column) == 1 else "see below"


def _facts(result: AnalysisResult, sources: Sequence[str]) -> list[tuple[str, str | tuple[str, ...]]]:
    pairs: list[tuple[str, str | tuple[str, ...]]] = []
    if result.method:
        pairs.append(("Method", clean(result.method)))
    if result.formula:
        pairs.append(("Formula", clean(result.formula)))
    if result.sample.get("population"):
        pairs.append(("Population", humanise(result.sample["population"])))
    references = result.sample.get("reference_levels") or {}
    if references:
        pairs.append(
            ("Reference levels", "; ".join(f"{clean(name)}: {clean(level)}" for name, level in references.items()))
        )
    pairs.append(("Sample", _sample(result)))
    dropped = _dropped(result)
    if dropped:
        pairs.append(
            (
                "Rows dropped for missing values",
                "; ".join(f"{clean(name)}: {count_text(n)}" for name, n in dropped.items()),
            )
        )
    if result.changed:
        told = tuple(f"{title_case(name)}: {humanise(text)}" for name, text in flatten(dict(result.changed)))
        pairs.append(("Changed", told))
    message = clean(result.message)
    pairs.append(
        ("Fit", message if message and result.status == "ok" else f"{status_words(result)}. {message}".strip())
    )
    warnings = tuple(dict.fromkeys(clean(text) for one in result.estimates for text in one.warnings))
    if warnings:
        pairs.append(("Warnings", warnings))
    cited = dict.fromkeys(
        f"[{sources.index(clean(one.citation)) + 1}]" for one in result.estimates if one.citation
    )
    if cited:
        pairs.append(("Source of the method", ", ".join(cited)))
    if result.notes:
        pairs.append(("Notes", tuple(clean(note) for note in result.notes)))
    return pairs


def _sample(result: AnalysisResult) -> str:
    words = f"{count_text(result.sample.get('n'))} rows"
    if result.sample.get("n_clusters") is not None:
        cluster = result.sample.get("cluster")
        words += f", {count_text(result.sample['n_clusters'])} clusters" + (
            f" ({clean(cluster)})" if cluster else ""
        )
    return words


def _dropped(result: AnalysisResult) -> Mapping[str, Any]:
    found = result.sample.get("dropped") or {}
    return {name: count for name, count in found.items() if count != 0}
