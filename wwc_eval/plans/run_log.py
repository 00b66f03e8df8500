"""The log of a plan's runs: every run is entered when it starts, so that none can be dropped afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wwc_eval.data.chain import append_entry, now, read_chain

__all__ = ["RunLog", "Started", "log_path"]


def log_path(plan: Path) -> Path:
    """Log file of a plan: its name with ``.runs.jsonl`` in place of ``.yaml``."""
    return plan.with_name(plan.stem + ".runs.jsonl")


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run that was entered: its kind, its number among its kind, and the hash of its line."""

    kind: str
    number: int
    started_at: str
    hash: str


@dataclass(frozen=True)
class RunLog:
    """Hash-chained log of the runs of one plan."""

    path: Path

    @classmethod
    def of(cls, plan: Path) -> RunLog:
        """Log of a plan."""
        return cls(log_path(plan))

    def entries(self) -> tuple[Mapping[str, Any], ...]:
        """Entries in order, after verifying the chain."""
        return read_chain(self.path).entries

    def count(self, kind: str) -> int:
        """Runs of a kind (``confirmatory`` or ``draft``) that were ever started."""
        return sum(entry["event"] == "started" and entry["kind"] == kind for entry in self.entries())

    def start(self, *, kind: str, plan_sha256: str, files: Mapping[str, str]) -> Started:
        """Enter the start of a run, before any outcome is analysed.

        Parameters
        ----------
        kind : {"confirmatory", "draft"}
            Whether the plan was locked.
        plan_sha256 : str
            Hash of the plan.
        files : mapping
            SHA-256 of each data file by its name in the plan.
        """
        at = now()
        line = append_entry(
            self.path,
            {"event": "started", "kind": kind, "at": at, "plan_sha256": plan_sha256, "files": dict(files)},
        )
        number = sum(
            entry["event"] == "started" and entry["kind"] == kind for entry in self.entries()[: line["entry"]]
        )
        return Started(kind=kind, number=number, started_at=at, hash=line["hash"])

    def finish(self, started: Started, *, outputs: Mapping[str, str]) -> str:
        """Enter the end of a run with the hash of each output; returns the hash of the line."""
        line = append_entry(
            self.path,
            {
                "event": "finished",
                "kind": started.kind,
                "at": now(),
                "run": started.hash,
                "outputs": dict(outputs),
            },
        )
        return str(line["hash"])
