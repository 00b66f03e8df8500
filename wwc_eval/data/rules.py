"""Rules of a table: each refused text and each failed check of the pandera schema, noted once a cell."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from wwc_eval.data.conversion import Converted
from wwc_eval.data.explain import level_fault, range_fault, text_fault, type_fault
from wwc_eval.data.findings import Fault, Findings, rows_in_words
from wwc_eval.data.names import other_spellings
from wwc_eval.data.schema import ColumnSpec, pandera_schema, spelling_counts
from wwc_eval.data.sources import Source
from wwc_eval.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Work", "always", "note_broken_rules", "note_refused"]

SEARCHED = 200  # distinct wrong levels for which the level that was meant is looked for


@dataclass(frozen=True, kw_only=True)
class Work:
    """One table on its way from text to values.

    Parameters
    ----------
    source : Source
        Cells as read, and their rows.
    specs : mapping of str to ColumnSpec
        Declarations of the columns that are read; empty where all stay text.
    texts : mapping of str to sequence of str
        Text of every column that is read.
    findings : Findings
        Takes the faults.
    done : dict of str to set of int
        Positions of the cells that have been reported, by column.
    """

    source: Source
    specs: Mapping[str, ColumnSpec]
    texts: Mapping[str, Sequence[str]]
    findings: Findings
    done: dict[str, set[int]] = field(default_factory=dict)

    def note(self, name: str, positions: Iterable[int], explain: Callable[[str], Fault]) -> None:
        """Note cells of a column that have not been reported yet; equal texts are explained once."""
        done, texts = self.done[name], self.texts[name]
        fresh = [position for position in positions if position not in done]
        done.update(fresh)
        memo: dict[str, Fault] = {}

        def why(position: int) -> Fault:
            text = texts[position]
            if text not in memo:
                memo[text] = explain(text)
            return memo[text]

        self.findings.add_cells(name, fresh, self.source.rows, self.source.cells[name], why)

    def rows_of(self, name: str, positions: Iterable[int]) -> dict[str, list[int]]:
        """Spreadsheet rows of every text of a column."""
        rows: dict[str, list[int]] = defaultdict(list)
        for position in positions:
            rows[self.texts[name][position]].append(self.source.rows[position])
        return rows


def note_refused(work: Work, converted: Mapping[str, Converted]) -> None:
    """Note texts that are no value of their column's type."""
    for name, column in converted.items():
        if column.refused:
            wrong = [i for i, text in enumerate(work.texts[name]) if text in column.refused]
            work.note(name, wrong, _why_refused(work.specs[name]))


def note_broken_rules(work: Work, converted: Mapping[str, Converted]) -> None:
    """Note values that fail a check of the pandera schema."""
    import pandas as pd

    frame = pd.DataFrame({name: column.series for name, column in converted.items()})
    for (name, check), positions in _failures(frame, work.specs).items():
        spec = work.specs[name]
        if check in {"min", "max"}:
            explain = always(range_fault(spec, check))
        elif check == "levels":
            explain = _why_no_level(spec)
        elif check == "pattern":
            explain = _why_no_match(spec)
        elif check == "unique":
            explain = _why_repeated(work.rows_of(name, positions))
        else:
            absent = frozenset(spec.missing) | converted[name].refused
            explain = _why_other_spelling(work, name, absent)
        work.note(name, positions, explain)


def _failures(frame: pd.DataFrame, specs: Mapping[str, ColumnSpec]) -> dict[tuple[str, str], list[int]]:
    """Positions of the cells that fail each check of each column."""
    import pandas as pd
    import pandera.errors

    schema = pandera_schema(specs)
    try:
        with _pandera_switched_on(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return {}
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    columns = (cases[each].tolist() for each in ("column", "check", "check_number", "index"))
    for name, words, number, position in zip(*columns, strict=True):
        if words == "not_nullable":
            continue  # refused texts, noted already: nothing else is blank without a declared code
        if pd.isna(number) or pd.isna(position):  # the check failed as a whole
            raise DataError(f"column '{name}' failed the check {words}", code="D20", fix="report this as a defect")
        found[name, schema.columns[name].checks[int(number)].name].append(int(position))
    return found


def _pandera_switched_on() -> AbstractContextManager[Any]:
    """Environment variables can switch pandera off; a declared rule must hold all the same."""
    try:
        from pandera.config import ValidationDepth, config_context
    except ImportError:  # pandera before these switches
        return nullcontext()
    switched: AbstractContextManager[Any] = config_context(
        validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA
    )
    return switched


def always(fault: Fault) -> Callable[[str], Fault]:
    """The same fault for every text."""
    return lambda _text: fault


def _why_refused(spec: ColumnSpec) -> Callable[[str], Fault]:
    if spec.type in {"text", "local_authority"}:
        return lambda text: text_fault(text, spec) or type_fault(text, spec)
    return lambda text: type_fault(text, spec)


def _why_no_level(spec: ColumnSpec) -> Callable[[str], Fault]:
    searched = count()
    return lambda text: level_fault(text, spec, search=next(searched) < SEARCHED)


def _why_no_match(spec: ColumnSpec) -> Callable[[str], Fault]:
    return lambda text: (
        text_fault(text, spec)
        or Fault(
            code="D25",
            message="the value does not match the declared pattern",
            fix="correct the value, or change pattern in the declaration",
            rule=spec.rule,
        )
    )


def _why_repeated(rows: Mapping[str, list[int]]) -> Callable[[str], Fault]:
    return lambda text: Fault(
        code="D26",
        message=f"the value stands in {rows_in_words(rows[text])}",
        fix="correct or remove the repeated records, or do not declare the column unique",
        rule="unique",
    )


def _why_other_spelling(work: Work, name: str, absent: frozenset[str]) -> Callable[[str], Fault]:
    texts = work.texts[name]
    odd = other_spellings(spelling_counts(text for text in texts if text not in absent))
    rows = work.rows_of(name, range(len(texts)))
    return lambda text: Fault(
        code="D31",
        message=f"'{text}' and '{odd[text]}' (row {rows[odd[text]][0]}) are spellings of one local authority",
        fix=f"write both the same way, such as '{odd[text]}'",
        rule="one spelling of each local authority",
    )
