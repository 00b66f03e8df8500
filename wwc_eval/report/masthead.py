"""The head of the report: title, registry, lock, which run this is, and what must be known before reading on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wwc_eval.report.record import RunRecord
from wwc_eval.report.words import clean, day, pick

__all__ = ["LEVELS", "Masthead", "draft_reason", "masthead"]

SHORT_HASH = 12

LEVELS: Mapping[str, str] = {
    "L0": "the hash shows that the plan has not changed since it was locked; it does not show when that was",
    "L1": "a signature shows who locked the plan and that it has not changed since",
    "L2": "an independent time stamp or registry shows that the plan existed by its date",
    "L3": "the allocation's seed depends on the lock, so the plan came before the allocation",
    "L4": "arms stayed masked until the key was released against the locked plan",
}
"""What each level of a lock can show, in words."""


@dataclass(frozen=True, kw_only=True)
class Masthead:
    """What stands above the contents."""

    title: str
    kicker: str
    draft: bool
    status: str
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    footer: str

    @property
    def warnings_title(self) -> str:
        """Head of the box of warnings."""
        return "One warning" if len(self.warnings) == 1 else f"{len(self.warnings)} warnings"


def masthead(record: RunRecord) -> Masthead:
    """The head of a record's report."""
    title = clean(pick(record.plan, "title", pick(record.plan, "id", "Untitled plan")))
    status = draft_reason(record) if record.draft else run_words(record)
    return Masthead(
        title=title,
        kicker="Draft evaluation report" if record.draft else "Evaluation report",
        draft=record.draft,
        status=status,
        facts=tuple(_facts(record)),
        warnings=tuple(record.warnings),
        footer=_footer(record),
    )


def run_words(record: RunRecord) -> str:
    """``Confirmatory run 1 of 1``."""
    return f"Confirmatory run {record.run_number} of {record.run_count}"


def draft_reason(record: RunRecord) -> str:
    """Why the report is a draft, as sentences."""
    if record.lock:
        why = "This run was not made under the lock of its analysis plan: it was asked for as a draft, or the plan has changed since it was locked."
    else:
        why = "This run was made before its analysis plan was locked."
    return f"{why} Nothing in it is confirmatory, and no figure should be quoted."


def registry_words(plan: Mapping[str, Any]) -> str:
    """Registry, identifier or address, and date in one line."""
    registry = pick(plan, "registry")
    if not isinstance(registry, Mapping):
        return clean(registry) if registry else "Not registered"
    parts = [str(registry[key]) for key in ("name", "id", "url") if registry.get(key)]
    if registry.get("date"):
        parts.append(day(registry["date"]))
    return clean(", ".join(parts)) or "Not registered"


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    facts = [("Registry", registry_words(record.plan))]
    if pick(record.plan, "id"):
        facts.append(("Plan", clean(record.plan["id"])))
    facts.append(("Plan hash (SHA-256)", clean(record.plan_hash)[:SHORT_HASH] + " …"))
    facts.append(("Plan locked", day(record.lock["locked_at"]) if record.lock.get("locked_at") else "Not locked"))
    if record.lock.get("level"):
        facts.append(("Level of the lock", clean(record.lock["level"])))
    facts.append(("Run made", day(record.started_at)))
    return facts


def _footer(record: RunRecord) -> str:
    version = record.environment.get("wwc_eval") or record.environment.get("wwc-eval") or ""
    made = f"Made by wwc_eval {version}".strip()
    state = "Draft, not confirmatory" if record.draft else run_words(record)
    return f"{made} from plan {clean(record.plan_hash)[:SHORT_HASH]} … {state}. Every estimate is also in results.json and estimates.csv beside this page."
