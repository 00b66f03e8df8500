"""The files of a run: ``results.json``, ``estimates.csv``, ``report.html``, ``figures/`` and ``run.json``.

``results.json`` holds no time, so that the same plan, data and code give the same bytes. In JSON a missing number
and infinity are ``null``: infinite degrees of freedom mean the normal distribution.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.chain import write_atomically
from wwc_eval.errors import DataError, Place
from wwc_eval.report.record import AnalysisResult, RunRecord, Supplement

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMAT", "estimates_frame", "results_document", "run_folder", "write_run"]

FORMAT = "wwc_eval results 1"
RUN_FORMAT = "wwc_eval run 1"
ESTIMATE_COLUMNS = (
    "analysis", "role", "of", "outcome", "term", "estimate", "se", "df", "statistic", "p_value", "p_adjusted",
    "ci_low", "ci_high", "level", "scale", "units", "n", "n_clusters", "status", "method",
)  # fmt: skip


def plain(value: Any) -> Any:
    """Value as JSON holds it: tuples as lists, NumPy numbers as numbers, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if hasattr(value, "to_dicts"):
        return plain(value.to_dicts())
    return str(value)


def results_document(record: RunRecord) -> dict[str, Any]:
    """Content of ``results.json``."""
    return {
        "format": FORMAT,
        "plan": {
            "id": record.plan["id"],
            "title": record.plan["title"],
            "sha256": record.plan_hash,
            "draft": record.draft,
            "arms": list(record.arms),
        },
        "design": {item.key: _supplement(item) for item in record.design},
        "decision": {item.key: _supplement(item) for item in record.decision},
        "fidelity": {item.key: _supplement(item) for item in record.fidelity},
        "analyses": {result.id: _analysis(result) for result in record.analyses},
        "flow": plain(record.flow.boxes),
        "baseline": record.baseline.to_dicts() and plain(record.baseline.to_dicts()),
        "missingness": [plain(table.to_dicts()) for table in record.missingness],
        "deviations": plain(record.deviations),
        "disclosure": plain(record.disclosure),
        "files": plain(record.files),
    }


def _analysis(result: AnalysisResult) -> dict[str, Any]:
    head = ("role", "of", "title", "outcome", "outcome_label", "model", "method", "formula")
    return {
        **{name: getattr(result, name) for name in head},
        "status": result.status,
        "message": result.message,
        "estimates": [plain(item.to_dict(full=True)) for item in result.estimates],
        "coefficients": [plain(item.to_dict()) for item in result.coefficients],
        "sample": plain(result.sample),
        "adjusted": plain(result.adjusted),
        "changed": plain(result.changed),
        "notes": list(result.notes),
        "supplements": {item.key: _supplement(item) for item in result.supplements},
        "tier": None if result.verdict is None else result.verdict.tier,
    }


def _supplement(item: Supplement) -> dict[str, Any]:
    table = item.table
    return {
        "title": item.title,
        "sentences": list(item.sentences),
        "rows": [] if table is None else plain(table.to_dicts()),
        "notes": [] if table is None else list(table.notes),
    }


def estimates_frame(record: RunRecord) -> pd.DataFrame:
    """Every reported estimate as a row, columns as in ``estimates.csv``."""
    import pandas as pd

    rows = []
    for result in record.analyses:
        for item in result.estimates:
            values = item.to_dict(full=True)
            adjusted = result.adjusted.get("p_values", {}).get(item.term) if item.scale == _first(result) else None
            own = {
                "analysis": result.id,
                "role": result.role,
                "of": result.of,
                "outcome": result.outcome,
                "p_adjusted": adjusted,
                "status": result.status,
            }
            rows.append({name: own.get(name, values.get(name)) for name in ESTIMATE_COLUMNS})
    return pd.DataFrame(rows, columns=list(ESTIMATE_COLUMNS))


def _first(result: AnalysisResult) -> str:
    return result.estimates[0].scale


@contextlib.contextmanager
def run_folder(out: Path) -> Iterator[Path]:
    """Folder to fill, which takes the place of ``out`` only when everything is in it.

    A folder that holds an earlier run is replaced; one that holds anything else is refused.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "run.json").exists())):
        raise DataError(
            "the output folder holds other files", place=Place(file=str(out)), fix="choose a new or empty folder"
        )
    fresh = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    try:
        fresh.mkdir(parents=True)
        yield fresh
        if out.exists():
            out.rename(old)
        fresh.rename(out)
    finally:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)


def write_run(record: RunRecord, folder: Path, run: Mapping[str, Any]) -> dict[str, str]:
    """Write every file of a run but ``run.json``'s hashes of itself; returns the hash of each output."""
    from wwc_eval.data import write_csv
    from wwc_eval.report import render_report

    write_atomically(folder / "results.json", json_bytes(results_document(record)))
    write_csv(estimates_frame(record), folder / "estimates.csv")
    render_report(record, folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    outputs = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    write_atomically(folder / "run.json", json_bytes({"format": RUN_FORMAT, **run, "outputs": outputs}))
    return outputs


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """JSON with an indent, UTF-8, a line feed at the end."""
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
