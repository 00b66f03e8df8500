"""The ledger of allocations: lines that are only ever added, each bound to the one before.

The file is a hash chain (``data.chain``): a changed, removed, added or moved line is detected from the file alone; lines
cut off its end are detected against any receipt that a later entry gave out. Nothing is ever undone: an allocation
that should not have been made is marked in error, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.chain import Chain, append_entry, now, read_chain
from wwc_eval.errors import LedgerError, WwcError, shown
from wwc_eval.randomisation.receipt import check_receipt, core_of, sealed
from wwc_eval.table import MISSING, Grid, Rendered

if TYPE_CHECKING:
    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.randomisation.masking import SealedKey

__all__ = ["Entry", "Ledger", "LedgerReport"]

ALLOCATED = "allocated"
IN_ERROR = "marked_in_error"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One allocation in the ledger.

    Parameters
    ----------
    number : int
        Number of its line, from 1.
    at : str
        When it was entered, UTC.
    by, note : str
        Who entered it, and what they noted.
    receipt : mapping
        The receipt, with the entry's number and hash under ``ledger``: keep or publish it.
    in_error : str, optional
        Why it was marked in error, if it was.
    """

    number: int
    at: str
    by: str
    note: str
    receipt: Mapping[str, Any]
    in_error: str | None = None

    @property
    def hash(self) -> str:
        """Hash of the entry's line."""
        return str(self.receipt["ledger"]["hash"])


@dataclass(frozen=True, kw_only=True)
class LedgerReport:
    """What a check of the ledger found.

    Parameters
    ----------
    problems : tuple of str
        Plain sentences; none where the ledger is whole.
    n_entries : int
        Lines that were read.
    head : str
        Hash of the last line: whoever keeps it can show later that no line was cut off.
    """

    problems: tuple[str, ...]
    n_entries: int = 0
    head: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __str__(self) -> str:
        """One sentence, or one line for each problem."""
        if self.ok:
            lines = "line" if self.n_entries == 1 else "lines"
            return f"The ledger is whole: {self.n_entries} {lines}, head {self.head[:16]}..."
        return "\n".join(f"Ledger: {problem}" for problem in self.problems)


@dataclass(frozen=True)
class Ledger(Rendered):
    """Hash-chained file of allocations, safe under several writers and against being killed.

    Parameters
    ----------
    path : path
        The file; the first entry makes it.

    Examples
    --------
    >>> import pandas as pd, pathlib, tempfile, wwc_eval as we
    >>> teams = pd.DataFrame({"team": ["T1", "T2", "T3", "T4"]})
    >>> allocation = we.randomise(teams, unit="team", method=we.Complete(), seed="2026-03-01 public draw")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = we.Ledger(pathlib.Path(folder, "allocations.jsonl"))
    ...     entry = ledger.append(allocation, by="A. Statistician", note="wave 1")
    ...     ledger.verify().ok, entry.number, sorted(entry.receipt["ledger"])
    (True, 1, ['entry', 'hash'])
    """

    path: str | os.PathLike[str]

    def append(self, allocation: Allocation, *, by: str, note: str = "", mask: SealedKey | None = None) -> Entry:
        """Enter an allocation.

        Parameters
        ----------
        allocation : Allocation
            What was drawn.
        by : str
            Who enters it.
        note : str
            Anything a reader should know.
        mask : SealedKey, optional
            Key of masked arms, whose hash the receipt is to carry.

        Returns
        -------
        Entry
            Its ``receipt`` carries the entry's number and hash.

        Raises
        ------
        LedgerError
            If the ledger is damaged or in use, ``by`` is empty, or these units were allocated before by an entry that
            is not marked in error. Nothing is written then.
        """
        who = _text("by", by, 'say who enters it, such as by="A. Statistician"')
        receipt = allocation.receipt
        if mask is not None:
            receipt = sealed({**receipt, "mask": mask.described})
        body = {"event": ALLOCATED, "at": now(), "by": who, "note": str(note), "receipt": receipt}
        line = append_entry(self.path, body, check=lambda chain: _refuse_repeated(chain, receipt))
        return _entry(line, {})

    def mark_in_error(self, entry: Entry | int, *, reason: str, by: str = "") -> None:
        """Mark an allocation in error; its line stays.

        Parameters
        ----------
        entry : Entry or int
            The entry, or its number.
        reason : str
            Why it should not have been made.
        by : str
            Who marks it.

        Raises
        ------
        LedgerError
            If there is no such entry, it is marked already, or no reason is given.
        """
        number = entry.number if isinstance(entry, Entry) else entry
        why = _text("reason", reason, 'say why, such as reason="two schools had merged"')
        body = {"event": IN_ERROR, "at": now(), "by": str(by), "refers_to": number, "reason": why}

        def check(chain: Chain) -> None:
            _require_ledger(chain)
            entries = {each.number: each for each in _entries(chain)}
            if isinstance(number, bool) or number not in entries:
                raise LedgerError(
                    f"there is no allocation with entry number {shown(number)}",
                    fix=f"choose one of {', '.join(str(each) for each in entries) or 'none'}",
                )
            if entries[number].in_error is not None:
                raise LedgerError(f"entry {number} is marked in error already: {entries[number].in_error}")
            body["refers_to_hash"] = entries[number].hash

        append_entry(self.path, body, check=check)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Allocations in order, after verifying the chain."""
        chain = read_chain(self.path)
        _require_ledger(chain)
        return tuple(_entries(chain))

    def entry_of(self, receipt: Mapping[str, Any]) -> Entry | None:
        """The entry that gave a receipt out; for a receipt without an entry the latest of its allocation."""
        wanted = core_of(receipt)["sha256"]
        number = receipt.get("ledger", {}).get("entry")
        found = [
            entry
            for entry in self.entries
            if core_of(entry.receipt)["sha256"] == wanted and number in (None, entry.number)
        ]
        return found[-1] if found else None

    def verify(self, *, receipts: Iterable[Mapping[str, Any]] = (), head: str | None = None) -> LedgerReport:
        """Check every line, and that no line that somebody has proof of is gone.

        Parameters
        ----------
        receipts : iterable of mapping
            Receipts that entries of this ledger gave out; each names the line that must be there.
        head : str, optional
            Hash of some line, noted earlier, that must be there.
        """
        try:
            chain = read_chain(self.path)
            problems = [*_line_problems(chain)]
        except WwcError as error:
            return LedgerReport(problems=tuple(str(problem) for problem in error.problems))
        if not Path(self.path).exists():
            problems.append("there is no such file")
        hashes = [line["hash"] for line in chain.entries]
        if head is not None and head not in hashes:
            problems.append(f"no line has the hash {head[:16]}...: lines were cut off, or it is another ledger")
        for receipt in receipts:
            problems += _receipt_problems(receipt, chain)
        if chain.torn:
            problems.append(
                "a line at the end was never finished (a writer was killed); the next entry removes it"
            )
        return LedgerReport(problems=tuple(problems), n_entries=len(chain.entries), head=chain.head)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row for each allocation."""
        return [
            {
                "entry": entry.number,
                "at": entry.at,
                "by": entry.by,
                "scheme": entry.receipt["scheme"]["kind"],
                "units": entry.receipt["units"]["n"],
                "note": entry.note,
                "in_error": entry.in_error,
            }
            for entry in self.entries
        ]

    def _grid(self) -> Grid:
        rows = self.to_dicts()
        names = ("entry", "at", "by", "scheme", "units", "note", "in_error")
        shown_rows = tuple(
            tuple(MISSING if row[name] in (None, "") else str(row[name]) for name in names) for row in rows
        )
        return Grid(
            tuple(name.replace("_", " ") for name in names),
            shown_rows,
            tuple(name in {"entry", "units"} for name in names),
        )

    def _title(self) -> str:
        return f"Ledger of allocations {Path(self.path).name}"


def _entry(line: Mapping[str, Any], marks: Mapping[int, str]) -> Entry:
    number = int(line["entry"])
    receipt = sealed({**line["receipt"], "ledger": {"entry": number, "hash": line["hash"]}})
    return Entry(
        number=number, at=line["at"], by=line["by"], note=line["note"], receipt=receipt, in_error=marks.get(number)
    )  # fmt: skip


def _entries(chain: Chain) -> list[Entry]:
    marks = {
        int(line["refers_to"]): str(line["reason"]) for line in chain.entries if line.get("event") == IN_ERROR
    }
    return [_entry(line, marks) for line in chain.entries if line.get("event") == ALLOCATED]


def _require_ledger(chain: Chain) -> None:
    """Refuse to add to a chain that holds anything but allocations and marks."""
    problems = _line_problems(chain)
    if problems:
        raise LedgerError(problems[0], fix="give the ledger's own file, or restore it from a copy")


def _refuse_repeated(chain: Chain, receipt: Mapping[str, Any]) -> None:
    _require_ledger(chain)
    for entry in _entries(chain):
        same = entry.receipt["units"]["names_sha256"] == receipt["units"]["names_sha256"]
        if same and entry.in_error is None:
            raise LedgerError(
                f"these units were allocated already, in entry {entry.number} of {entry.at}",
                rule="an allocation stands until it is marked in error",
                fix="use that allocation; if it must not be used, mark_in_error with the reason first",
            )


def _line_problems(chain: Chain) -> list[str]:
    problems = []
    seen: dict[int, str] = {}
    for line in chain.entries:
        number = line["entry"]
        if line.get("event") == ALLOCATED:
            if not {"at", "by", "note", "receipt"} <= set(line):
                problems.append(f"line {number}: it has not the fields of an allocation")
                continue
            try:
                check_receipt(line["receipt"])
            except WwcError:
                problems.append(f"line {number}: the receipt in it is not whole")
            seen[number] = line["hash"]
        elif line.get("event") == IN_ERROR:
            refers_to = line.get("refers_to")
            marked = seen.get(refers_to) if isinstance(refers_to, int) else None
            if marked is None or marked != line.get("refers_to_hash") or "reason" not in line:
                problems.append(f"line {number}: it marks an entry that is not there")
        else:
            problems.append(f"line {number}: {shown(line.get('event'))} is no event of a ledger")
    return problems


def _receipt_problems(receipt: Mapping[str, Any], chain: Chain) -> list[str]:
    try:
        check_receipt(receipt)
    except LedgerError as error:
        return [str(error.problems[0])]
    told = receipt.get("ledger")
    if told is None:
        return []
    number = told["entry"]
    if len(chain.entries) < number:
        return [
            f"a receipt is of line {number}, but the ledger ends at line {len(chain.entries)}: lines were cut off"
        ]
    line = chain.entries[number - 1]
    if line["hash"] != told["hash"] or line.get("event") != ALLOCATED:
        return [f"line {number} is not the one that a receipt was given for"]
    bare = sealed({name: value for name, value in receipt.items() if name != "ledger"})
    if bare["sha256"] != line["receipt"]["sha256"]:
        return [f"the receipt is not the one in line {number}"]
    return []


def _text(name: str, value: object, fix: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise LedgerError(f"{name} == {shown(value)}, must be text", fix=fix)
    return value.strip()
