"""One hostile table and the complete list of problems that reading it must report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wwc_eval.data import read_table
from wwc_eval.data.findings import CODES
from wwc_eval.errors import DataError, Problem

Expected = tuple[str, int | None, str | None]  # code, spreadsheet row, column


@dataclass(frozen=True)
class Case:
    """Bytes of a file, how it is read, every problem expected, and words that message or fix must hold."""

    id: str
    content: bytes | str
    columns: dict[str, Any] | None
    expected: list[Expected]
    words: tuple[str, ...] = ()
    ending: str = ".csv"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        """Bytes of the file."""
        return self.content if isinstance(self.content, bytes) else self.content.encode()


def ids(cases: list[Case]) -> list[Any]:
    """Cases as pytest parameters; two of the same name are a mistake."""
    names = [case.id for case in cases]
    assert len(set(names)) == len(names)
    return [pytest.param(case, id=case.id) for case in cases]


def problems_of(case: Case, folder: Path) -> tuple[Problem, ...]:
    """Problems that reading a case reports; anything but a DataError fails."""
    path = folder / f"table{case.ending}"
    path.write_bytes(case.raw)
    with pytest.raises(DataError) as caught:
        read_table(path, case.columns, **case.options)
    return caught.value.problems


def check(case: Case, folder: Path) -> None:
    """Every expected problem and no other, each with place, known code, message and fix."""
    problems = problems_of(case, folder)
    found = [(problem.code, problem.place.row, problem.place.column) for problem in problems]
    assert sorted(found, key=str) == sorted(case.expected, key=str), "\n".join(map(str, problems))
    for problem in problems:
        assert problem.code in CODES
        assert problem.place.file == f"table{case.ending}"
        assert problem.message
        assert problem.fix
        assert str(problem).isprintable()
    text = "\n".join(f"{problem.message} | {problem.rule} | {problem.fix}" for problem in problems)
    for word in case.words:
        assert word in text
