"""The lock of a plan: what was fixed, when, with which code.

A lock proves "unchanged since": its hash is that of the canonical parsed plan. It does not prove when the plan
was written (register it, or have the lock time-stamped) and not that nobody had looked at the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wwc_eval.data.chain import now, write_atomically
from wwc_eval.errors import LockError, Place, shown
from wwc_eval.plans.canonical import canonical_json, first_difference, sha256_of
from wwc_eval.plans.environment import code_version, environment

__all__ = ["FORMAT", "Lock", "lock_path", "read_lock", "write_lock"]

FORMAT = "wwc_eval lock 1"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock as read.

    Parameters
    ----------
    path : Path
        The lock file.
    plan_sha256 : str
        SHA-256 of the canonical JSON of the parsed plan.
    plan : mapping
        The plan that was locked, so that a change can be named.
    locked_at : str
        UTC by this machine's clock, ISO 8601.
    level : str
        What outside proof there is: L0 (hash only).
    code, environment : mapping
        Version of wwc_eval and of what it stands on.
    history : tuple of mapping
        Earlier locks of this plan, oldest first: hash, time, and why it was amended.
    """

    path: Path
    plan_sha256: str
    plan: Mapping[str, Any]
    locked_at: str
    level: str
    code: Mapping[str, str]
    environment: Mapping[str, str]
    history: tuple[Mapping[str, Any], ...] = ()

    def difference(self, data: Mapping[str, Any]) -> str | None:
        """Sentence naming the first field in which a plan differs from the lock; None when it is the same."""
        if sha256_of(data) == self.plan_sha256:
            return None
        found = first_difference(self.plan, data)
        if found is None:
            return "the plan is not what was locked"
        field, old, new = found
        return f"{field} was {shown(old)} when locked, is {shown(new)}"


def lock_path(plan: Path) -> Path:
    """Lock file of a plan: its name with ``.lock.json`` in place of ``.yaml``."""
    return plan.with_name(plan.stem + ".lock.json")


def read_lock(plan: Path) -> Lock | None:
    """Lock of a plan, or None if there is none.

    Raises
    ------
    LockError
        If the lock file was changed or is not a lock.
    """
    path = lock_path(plan)
    if not path.exists():
        return None
    fault = "restore the lock from a copy, or lock the plan anew as an amendment"
    try:
        content = json.loads(path.read_bytes())
        stated = content.pop("lock_sha256")
        lock = Lock(
            path=path,
            plan_sha256=content["plan_sha256"],
            plan=content["plan"],
            locked_at=content["locked_at"],
            level=content["level"],
            code=content["code"],
            environment=content["environment"],
            history=tuple(content["history"]),
        )
        known = content["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LockError("the lock cannot be read", place=Place(file=path.name), fix=fault) from None
    if not known or stated != sha256_of(content) or sha256_of(content["plan"]) != lock.plan_sha256:
        raise LockError("the lock was changed after it was written", place=Place(file=path.name), fix=fault)
    return lock


def write_lock(plan: Path, data: Mapping[str, Any], *, amend: str | None = None) -> Lock:
    """Lock a plan; an unchanged plan keeps its lock.

    Parameters
    ----------
    plan : Path
        The plan's file.
    data : mapping
        The parsed plan.
    amend : str, optional
        Why a plan that was locked before has changed. Without it a changed plan is refused.

    Raises
    ------
    LockError
        If the plan was locked before, has changed, and no reason is given.
    """
    old = read_lock(plan)
    if old is not None:
        difference = old.difference(data)
        if difference is None:
            return old
        if not (amend and amend.strip()):
            raise LockError(
                f"the plan is locked since {old.locked_at} and has changed: {difference}",
                place=Place(file=plan.name),
                fix="undo the change, or lock it as an amendment: wwc-eval plan lock --amend REASON",
            )
    history = list(old.history) if old else []
    if old is not None:
        history.append({"plan_sha256": old.plan_sha256, "locked_at": old.locked_at, "amended_because": amend})
    content: dict[str, Any] = {
        "format": FORMAT,
        "plan_sha256": sha256_of(data),
        "locked_at": now(),
        "level": "L0",
        "code": code_version(),
        "environment": environment(),
        "history": history,
        "plan": json.loads(canonical_json(data)),
    }
    content["lock_sha256"] = sha256_of(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=False, allow_nan=False) + "\n"
    write_atomically(lock_path(plan), text.encode("utf-8"))
    lock = read_lock(plan)
    if lock is None:
        raise LockError("the lock vanished as soon as it was written", place=Place(file=plan.name))
    return lock
