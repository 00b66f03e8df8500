"""Append-only JSON lines in which every line carries the hash of the one before.

A line is never rewritten. Changing, dropping or swapping lines breaks the chain; cutting lines off the end is
detected by whoever holds the hash of the last line (a run record, a receipt). A writer holds an exclusive lock,
writes its line with one system call and flushes it to the disk, so that a killed process leaves either the whole
line or, at worst, a torn tail that was never confirmed to anybody: readers name it and the next writer removes it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wwc_eval.errors import LedgerError, Place

__all__ = ["GENESIS", "Chain", "append_entry", "canonical_json", "now", "read_chain", "write_atomically"]

GENESIS = "0" * 64
"""Predecessor of the first line."""


@dataclass(frozen=True)
class Chain:
    """A chain as read: its entries in order, the hash of the last line, and whether a torn tail followed."""

    entries: tuple[Mapping[str, Any], ...]
    head: str
    torn: bool = False


def now() -> str:
    """Current time, UTC, ISO 8601 to the second."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_chain(path: str | os.PathLike[str]) -> Chain:
    """Read and verify a chain; a missing file is an empty chain.

    Raises
    ------
    LedgerError
        If a line is not what its hash says or does not follow the one before, naming the line.
    """
    file = Path(path)
    return _verified(file.read_bytes() if file.exists() else b"", file.name)


def append_entry(
    path: str | os.PathLike[str], entry: Mapping[str, Any], *, check: Callable[[Chain], None] | None = None
) -> Mapping[str, Any]:
    """Append one entry and return it with its ``entry`` number, ``previous`` and ``hash``.

    Hash: SHA-256 of the line's canonical JSON (sorted keys, UTF-8) without the field ``hash``; ``previous`` is the
    hash of the line before, 64 zeros for the first.

    Parameters
    ----------
    path : path
        File of the chain; made where there is none.
    entry : mapping
        What to append, as JSON has it.
    check : callable, optional
        Called with the chain under the lock, before anything is written; it raises to refuse the entry.

    Raises
    ------
    LedgerError
        If the chain is broken, in use for more than some seconds, or cannot be written.
    """
    file = Path(path)
    with _locked(file) as descriptor:
        content = _everything(descriptor)
        chain = _verified(content, file.name)
        if check is not None:
            check(chain)
        if chain.torn:
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
        body = {**entry, "entry": len(chain.entries) + 1, "previous": chain.head}
        line = {**body, "hash": _hash(body)}
        raw = _line(line)
        os.lseek(descriptor, 0, os.SEEK_END)
        if os.write(descriptor, raw) != len(raw):
            raise LedgerError(
                "the disk took only part of a line", place=Place(file=file.name), fix="free some space"
            )
        os.fsync(descriptor)
        if not chain.entries:
            _sync_folder(file)
    return line


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new and nothing between."""
    file = Path(path)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(file)
        _sync_folder(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        reason = error.strerror or str(error)
        raise LedgerError(
            f"cannot write {file.name}: {reason}", fix="choose a folder that can be written"
        ) from None


def canonical_json(data: Any) -> str:
    """Canonical JSON: keys sorted, no spacing, types kept, lists in their order.

    The order and spacing of the source do not reach it; ``5`` and ``"5"`` differ.

    Examples
    --------
    >>> canonical_json({"b": [2, 1], "a": "5"})
    '{"a":"5","b":[2,1]}'
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _line(values: Mapping[str, Any]) -> bytes:
    return canonical_json(values).encode("utf-8") + b"\n"


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_line(body)).hexdigest()


def _sync_folder(file: Path) -> None:
    """Flush the name of a new file to the disk, where the system has a way."""
    with contextlib.suppress(OSError):
        descriptor = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _everything(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _verified(content: bytes, name: str) -> Chain:
    complete, _, tail = content.rpartition(b"\n")
    entries: list[Mapping[str, Any]] = []
    head = GENESIS
    for number, raw in enumerate(complete.split(b"\n") if complete else [], start=1):
        place = Place(file=name, line=number)
        try:
            line = json.loads(raw)
            body = {key: value for key, value in line.items() if key != "hash"}
        except (ValueError, AttributeError):
            raise LedgerError("this line is not JSON", place=place, fix="restore the file from a copy") from None
        # the raw bytes must be the canonical ones: no spacing or order may hide a change
        if _line(line) != raw + b"\n" or line.get("hash") != _hash(body):
            raise LedgerError(
                "this line was changed after it was written", place=place, fix="restore the file from a copy"
            )
        if line.get("previous") != head or line.get("entry") != number:
            raise LedgerError(
                "this line does not follow the line before it", place=place, rule="no line removed, added or moved",
                fix="restore the file from a copy",
            )  # fmt: skip
        entries.append(line)
        head = line["hash"]
    return Chain(tuple(entries), head, torn=bool(tail))


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[int]:
    """Descriptor of the file, opened for reading and writing, under an exclusive lock that dies with the process."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LedgerError(
            f"cannot write {file.name}: {error.strerror}",
            fix="make its folder, or make it writable",
        ) from None
    try:
        _acquire(descriptor, file.name)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, name: str, attempts: int = 200) -> None:
    import time

    for _ in range(attempts):
        try:
            _try_lock(descriptor)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise LedgerError(f"{name} is in use by another process", fix="wait for it to end, then try again")


def _try_lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
