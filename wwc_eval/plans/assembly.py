"""From a plan's data section to one analysis frame: read, joined, checked against the design, exclusions marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data import join_tables, read_table
from wwc_eval.errors import DataError, Place, Problem, WwcError, shown
from wwc_eval.plans.document import DataFile as DataFileFields
from wwc_eval.plans.facts import Facts
from wwc_eval.plans.roll_out import Record, read_records
from wwc_eval.plans.scoring import scored
from wwc_eval.plans.wedge import rows_where, wedge_problems
from wwc_eval.report.record import DataFile

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.fidelity.scoring.scores import FidelityScores

__all__ = ["Assembled", "assemble", "rows_where"]


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """Data of a run.

    Parameters
    ----------
    frame : DataFrame
        Every row received, columns as declared, joined.
    excluded : tuple of (str, array of bool)
        Reason and rows of each exclusion, in the plan's order.
    lists : mapping
        Values of the list files, for conditions.
    files : tuple of DataFile
        What was read.
    warnings : tuple of str
        What a reader must know about the data.
    scores : FidelityScores, optional
        Practice scored against the plan's specification.
    records : mapping
        Records of allocations that the plan names, by their paths.
    """

    frame: pd.DataFrame
    excluded: tuple[tuple[str, NDArray[np.bool_]], ...]
    lists: Mapping[str, Mapping[str, Sequence[Any]]]
    files: tuple[DataFile, ...]
    warnings: tuple[str, ...] = ()
    scores: FidelityScores | None = None
    records: Mapping[str, Record] = field(default_factory=dict)

    @property
    def included(self) -> NDArray[np.bool_]:
        """Rows that no exclusion removes."""
        import numpy as np

        kept = np.ones(len(self.frame), dtype=bool)
        for _, mask in self.excluded:
            kept &= ~mask
        return kept


def assemble(facts: Facts, folder: Path) -> Assembled:
    """Read and join the data files of a plan, and mark its exclusions.

    Parameters
    ----------
    facts : Facts
        The plan.
    folder : Path
        Folder that the files' paths are relative to: the plan's.

    Raises
    ------
    DataError
        With every problem of every file, each with row, column, value, rule and fix.
    """
    frames, files, warnings = _read_all(facts, folder)
    main = facts.main_file
    if main is None:
        raise DataError("the plan does not say which file is analysed", fix="name it in data: main_file:")
    frame = frames[main[0]]
    for join in facts.document.data.joins:
        frame = join_tables(
            frame,
            frames[join.file],
            on=join.on,
            unmatched_left="error" if join.unmatched == "error" else "report",
            unmatched_right="report",
            left_name=main[0],
            right_name=join.file,
        )
    lists = {name: _list_of(frames[name]) for name in facts.lists}
    problems = _assignment_problems(facts, frame, main[1].file)
    problems += wedge_problems(facts, frame, lists, Path(main[1].file).name)
    if problems:
        raise DataError(problems=problems)
    excluded, unknown = [], []
    for exclusion in facts.document.data.exclusions:
        mask, untold = rows_where(frame, exclusion.rule, lists)
        excluded.append((exclusion.reason, mask))
        if untold:
            unknown.append(f"Exclusion '{exclusion.rule}' cannot be told for {untold} rows; they are kept.")
    records = read_records(facts, folder)
    return Assembled(
        frame=frame,
        excluded=tuple(excluded),
        lists=lists,
        files=(*files, *(file for record in records.values() for file in record.files)),
        warnings=(*warnings, *unknown),
        scores=None if facts.document.fidelity is None else scored(facts, frames, folder),
        records=records,
    )


def _read_all(facts: Facts, folder: Path) -> tuple[dict[str, pd.DataFrame], list[DataFile], list[str]]:
    frames: dict[str, pd.DataFrame] = {}
    files: list[DataFile] = []
    warnings: list[str] = []
    problems: list[Problem] = []
    for name, fields in sorted(facts.document.data.files.items()):
        try:
            frame = _read(facts, fields, folder)
        except WwcError as error:
            problems.extend(error.problems)
            continue
        source = frame.attrs["source"]
        frame.attrs = {}  # pandas would copy them, deeply, with every selection
        frames[name] = frame
        files.append(
            DataFile(
                name=name,
                file=fields.file,
                sha256=source["sha256"],
                rows=source["rows"],
                columns=source["columns"],
            )
        )
        if fields.expected_rows and not fields.expected_rows[0] <= len(frame) <= fields.expected_rows[1]:
            low, high = fields.expected_rows
            warnings.append(f"{name}: {len(frame):,} rows, the plan expects {low:,} to {high:,}.")
    if problems:
        raise DataError(problems=problems)
    return frames, files, warnings


def _read(facts: Facts, fields: DataFileFields, folder: Path) -> pd.DataFrame:
    columns = {}
    for column, declared in fields.columns.items():
        spec = declared.model_dump(exclude_none=True, exclude={"label"})
        if column == facts.document.design.arm_column and declared.levels:
            spec["levels"] = list(facts.arms)
        columns[column] = spec
    return read_table(
        folder / fields.file,
        columns=columns,
        key=fields.key or None,
        name=Path(fields.file).name,
        encoding=fields.encoding,
        delimiter=fields.delimiter,
        sheet=fields.sheet,
    )


def _list_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(column): frame[column].dropna().tolist() for column in frame.columns}


def _assignment_problems(facts: Facts, frame: pd.DataFrame, file: str) -> list[Problem]:
    """A unit belongs to one arm and to one block of the allocation; whoever breaks that is named."""
    unit, design = facts.unit_column, facts.document.design
    problems: list[Problem] = []
    if unit is None or facts.rows_are_units:
        return problems
    once = design.wedge is None  # in a stepped wedge a unit is in one arm after the other
    for column in (*([design.arm_column] if once else []), *design.within):
        pairs = frame[[unit, column]].dropna().drop_duplicates()
        torn = pairs.loc[pairs[unit].duplicated(keep=False), unit].unique()
        for value in torn:
            rows = (frame.index[frame[unit] == value] + 2).tolist()
            seen = ", ".join(sorted(str(item) for item in pairs.loc[pairs[unit] == value, column]))
            problems.append(
                Problem(
                    code="D90",
                    message=f"{design.unit} {value} has more than one {column}: {seen}",
                    place=Place(file=Path(file).name, row=rows[0], column=column),
                    value=shown(str(value)),
                    rule=f"one {column} for each {design.unit}",
                    fix=f"correct rows {', '.join(map(str, rows[:6]))}{' ...' if len(rows) > 6 else ''}",
                )
            )
    return problems
