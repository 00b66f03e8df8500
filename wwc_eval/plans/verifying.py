"""Verification of a run: nothing was changed since, and the same numbers come out again."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wwc_eval.errors import DataError, Place, WwcError, shown
from wwc_eval.plans.assembly import assemble
from wwc_eval.plans.canonical import first_difference
from wwc_eval.plans.environment import environment, environment_changes
from wwc_eval.plans.outputs import results_document
from wwc_eval.plans.plan import Plan
from wwc_eval.plans.run_log import RunLog
from wwc_eval.plans.running import compute
from wwc_eval.plans.yaml_text import path_text

__all__ = ["Verdict", "verify_run"]

TOLERANCE = 1e-8
"""Relative difference allowed between environments; within one environment none is."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Outcome of a verification.

    Parameters
    ----------
    steps : tuple of (str, str or None)
        What was compared, and the first difference found there (None: none).
    notes : tuple of str
        What a reader should know though nothing is wrong.
    """

    steps: tuple[tuple[str, str | None], ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return all(fault is None for _, fault in self.steps)

    def __str__(self) -> str:
        """First difference, or that there is none, and the notes."""
        faults = [f"{name}: {fault}" for name, fault in self.steps if fault is not None]
        if not faults:
            head = f"nothing differs ({', '.join(name for name, _ in self.steps)})."
        else:
            head = "\n".join([f"differs. {faults[0]}", *faults[1:]])
        return "\n".join([head, *self.notes])


def verify_run(folder: str | os.PathLike[str], *, plan: str | os.PathLike[str] | None = None) -> Verdict:
    """Verify a run folder against its plan, lock, log, data and code.

    Compares, in this order: the plan with the run and the lock; the chain of the log and the run's entry in it; the
    SHA-256 of every output; the SHA-256 of every data file; the results computed again, value by value (exactly in
    the same environment, to 1e-8 relative in another).

    Parameters
    ----------
    folder : path
        Folder that ``wwc-eval run`` wrote.
    plan : path, optional
        The plan, if it is no longer where it was.

    Returns
    -------
    Verdict

    Raises
    ------
    DataError
        If the folder holds no run.
    """
    home = Path(folder)
    run = _whole(_read_json(home, "run.json"), home)
    source = Path(plan) if plan is not None else home / run["plan"]["file"]
    if not source.exists():
        raise DataError(
            f"the plan {run['plan']['file']} is not there", place=Place(file=str(home)), fix="name it with --plan"
        )
    loaded = Plan.load(source)
    steps: list[tuple[str, str | None]] = []
    for name, step in _steps(home, run, loaded):
        fault = _fault_of(step)
        steps.append((name, fault))
        if fault is not None and name in {"plan", "data"}:
            break  # what follows would differ for this reason alone
    changes = environment_changes(run["environment"], environment())
    notes = [f"Environment: {change}." for change in changes]
    if run["draft"]:
        notes.append("This is a draft run: it was made without a lock.")
    return Verdict(steps=tuple(steps), notes=tuple(notes))


def _steps(home: Path, run: Mapping[str, Any], plan: Plan) -> Iterator[tuple[str, Callable[[], str | None]]]:
    yield "plan", lambda: _plan_difference(run, plan)
    yield "lock", lambda: _lock_difference(run, plan)
    yield "log", lambda: _log_difference(home, run, plan)
    yield "outputs", lambda: _output_difference(home, run)
    yield "data", lambda: _data_difference(run, plan)
    yield "results", lambda: _results_difference(home, run, plan)


def _fault_of(step: Callable[[], str | None]) -> str | None:
    try:
        return step()
    except WwcError as error:
        return str(error)


def _read_json(home: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((home / name).read_bytes())
    except OSError:
        raise DataError(
            f"there is no {name}", place=Place(file=str(home)), fix="give the folder that wwc-eval run wrote"
        ) from None
    except ValueError:
        raise DataError(f"{name} is not JSON", place=Place(file=str(home)), fix="run the plan again") from None
    if not isinstance(content, dict):
        raise DataError(f"{name} is not a run's", place=Place(file=str(home)), fix="run the plan again")
    return content


RUN_FIELDS: Mapping[str, tuple[type, ...]] = {
    "draft": (bool,), "plan": (dict,), "plan.file": (str,), "plan.sha256": (str,), "lock": (dict, type(None)),
    "run": (dict,), "run.log_entry": (str,), "files": (dict,), "outputs": (dict,), "environment": (dict,),
}  # fmt: skip


def _whole(run: dict[str, Any], home: Path) -> dict[str, Any]:
    """The content of run.json, if it has every field that is compared; what they hold is judged afterwards."""
    faults = []
    for path, kinds in RUN_FIELDS.items():
        value: Any = run
        for name in path.split("."):
            value = value.get(name, ...) if isinstance(value, dict) else ...
        if not isinstance(value, kinds):
            faults.append(path)
    for name, file in run["files"].items() if "files" not in faults else ():
        fields = (file.get("file"), file.get("sha256")) if isinstance(file, dict) else (None,)
        if not all(isinstance(field, str) for field in fields):
            faults.append(f"files.{name}")
    if faults:
        raise DataError(
            f"run.json is damaged: {', '.join(faults)}", place=Place(file=str(home)), fix="run the plan again"
        )
    return run


def _plan_difference(run: Mapping[str, Any], plan: Plan) -> str | None:
    if plan.hash == run["plan"]["sha256"]:
        return None
    found = first_difference(run.get("plan_text"), plan.data)
    if found is None:
        return "run.json states another hash than the plan's"
    field, old, new = found
    return f"{field} was {shown(old)} in the run, is {shown(new)}"


def _lock_difference(run: Mapping[str, Any], plan: Plan) -> str | None:
    if run["draft"]:
        return None
    lock = plan.require_lock()
    stated = (run["lock"] or {}).get("sha256")
    return None if stated == lock.plan_sha256 else "the run names another lock"


def _log_difference(home: Path, run: Mapping[str, Any], plan: Plan) -> str | None:
    entries = RunLog.of(plan.path).entries()
    entry = run["run"]["log_entry"]
    started = next((line for line in entries if line["hash"] == entry), None)
    if started is None:
        return "the log does not hold this run"
    if started["plan_sha256"] != run["plan"]["sha256"]:
        return "the log names another plan for this run"
    if (started["kind"] == "draft") != run["draft"]:
        return f"the log calls this a {started['kind']} run"
    if started["files"] != {name: file["sha256"] for name, file in run["files"].items()}:
        return "the log names other data for this run"
    finished = next((line for line in entries if line["event"] == "finished" and line["run"] == entry), None)
    if finished is None:
        return "the log does not say that this run finished"
    for name, recorded in finished["outputs"].items():
        file = home / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != recorded:
            return f"{name} is not the one that the log recorded"
    return None if finished["outputs"] == run["outputs"] else "the log recorded other outputs"


def _output_difference(home: Path, run: Mapping[str, Any]) -> str | None:
    for name, expected in run["outputs"].items():
        file = home / name
        if not file.is_file():
            return f"{name} is missing"
        if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            return f"{name} was changed after the run"
    present = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    extra = sorted(present - set(run["outputs"]) - {"run.json"})
    return f"{extra[0]} was added after the run" if extra else None


def _data_difference(run: Mapping[str, Any], plan: Plan) -> str | None:
    for name, recorded in run["files"].items():
        declared = plan.facts.document.data.files.get(name)
        file = plan.path.parent / (declared.file if declared else recorded["file"])
        if not file.is_file():
            return f"{recorded['file']} is not there"
        if hashlib.sha256(file.read_bytes()).hexdigest() != recorded["sha256"]:
            return f"{recorded['file']} is not the file that was analysed"
    return None


def _results_difference(home: Path, run: Mapping[str, Any], plan: Plan) -> str | None:
    recorded = _read_json(home, "results.json")
    lock = None if run["draft"] else plan.require_lock()
    record = compute(plan, lock, assemble(plan.facts, plan.path.parent))
    computed = json.loads(json.dumps(results_document(record)))
    same_place = not environment_changes(run["environment"], environment())
    found = _first_apart(recorded, computed, 0.0 if same_place else TOLERANCE, ())
    if found is None:
        return None
    path, old, new = found
    return f"{path} was {shown(old)}, is {shown(new)} when computed again"


def _first_apart(old: Any, new: Any, tolerance: float, path: tuple[str | int, ...]) -> tuple[str, Any, Any] | None:
    """First place where recorded and computed results differ by more than the tolerance."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            found = (
                _first_apart(old[key], new[key], tolerance, (*path, key))
                if key in old and key in new
                else (path_text((*path, key)), old.get(key, "(absent)"), new.get(key, "(absent)"))
            )
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        steps = (_first_apart(left, right, tolerance, (*path, index)) for index, (left, right) in pairs)
        return next((found for found in steps if found), None)
    if isinstance(old, float) and isinstance(new, float):
        close = old == new or math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance * 1e-2)
        return None if close else (path_text(path), old, new)
    return None if old == new and type(old) is type(new) else (path_text(path), old, new)
