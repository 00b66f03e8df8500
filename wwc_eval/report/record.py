"""What a run hands to the report: one frozen record, already safe to show.

The plan's runner fills it; sections read it and decide nothing. Small counts have been suppressed before they
arrive here: a suppressed count is a string (such as ``"<10"``) where a number would stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wwc_eval.data.flow import Flow
from wwc_eval.estimate import Estimate
from wwc_eval.table import Table

__all__ = ["AnalysisResult", "DataFile", "RunRecord"]


@dataclass(frozen=True, kw_only=True)
class AnalysisResult:
    """One analysis of the plan, as run.

    Parameters
    ----------
    id, title : str
        Identifier in the plan and words for a reader.
    role : {"primary", "secondary", "exploratory", "unadjusted", "sensitivity", "subgroup"}
        Its place in the plan.
    of : str, optional
        Identifier of the analysis that a sensitivity or subgroup analysis varies.
    outcome, outcome_label : str
        Column and words of the outcome.
    better : {"lower", "higher", "neither"}
        Which direction of the outcome is good for children.
    model, method, formula : str
        Room that ran it, one sentence on estimator and inference, canonical formula.
    estimates : tuple of Estimate
        The effects asked for by ``report:``, the first being the headline of this analysis.
    coefficients : tuple of Estimate
        The whole fitted model, for the appendix.
    status, message : str
        Convergence status (``ok``, ``boundary``, ``dropped_columns``, ``separated``, ``failed``) and its sentence.
    sample : mapping
        ``n``, ``n_clusters``, ``cluster``, ``by_arm`` ({arm: {"n": ..., "n_clusters": ..., "events" or "mean"/"sd": ...}}),
        ``dropped`` ({column: rows}), ``population``, ``reference_levels``. Counts may be suppressed strings.
    adjusted : mapping
        Multiplicity: ``{"family": ..., "method": ..., "p_value": ...}`` for the headline; empty if none.
    changed : mapping
        For sensitivity analyses: what differs from the analysis named in ``of``.
    notes : tuple of str
        Sentences for the reader.
    """

    id: str
    title: str
    role: str
    outcome: str
    outcome_label: str
    model: str
    method: str
    formula: str
    estimates: tuple[Estimate, ...]
    of: str | None = None
    better: str = "neither"
    coefficients: tuple[Estimate, ...] = ()
    status: str = "ok"
    message: str = ""
    sample: Mapping[str, Any] = field(default_factory=dict)
    adjusted: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One data file as read: name in the plan, file name, SHA-256 and shape."""

    name: str
    file: str
    sha256: str
    rows: int
    columns: int


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Everything the report shows of one run.

    Parameters
    ----------
    plan : mapping
        The parsed plan as plain data (title, question, estimand, design, outcomes, analyses ...).
    plan_hash : str
        SHA-256 of the canonical parsed plan.
    lock : mapping
        ``locked_at``, ``level`` ("L0" ...), ``code_version``, ``environment``; empty for a draft.
    draft : bool
        Whether the run was made without a valid lock: the report is watermarked.
    run_number, run_count : int
        "Confirmatory run k of n"; 0 for drafts.
    started_at : str
        UTC, ISO 8601.
    arms : tuple of str
        Arms in declared order, the reference first.
    units : mapping
        Words for what is randomised and what is a row: ``{"unit": "family", "units": "families", "row": "child",
        "rows": "children"}``.
    flow : Flow
        Participant flow.
    baseline : Table
        Baseline characteristics by arm with standardised differences.
    missingness : tuple of Table
        Missing values by variable and arm, and by local authority.
    analyses : tuple of AnalysisResult
        In the plan's order: primary first, then secondary, then what varies them.
    deviations : tuple of mapping
        Declared deviations: field, old, new, who, when, state_of_knowledge, reason, impact.
    files : tuple of DataFile
        Data read.
    environment : mapping
        Package name to version.
    warnings : tuple of str
        Warnings of the plan's checks, of changed environment or code.
    disclosure : mapping
        ``threshold``, ``profile``, ``suppressed`` (number of cells not shown), ``rule`` in words.
    """

    plan: Mapping[str, Any]
    plan_hash: str
    lock: Mapping[str, Any]
    draft: bool
    run_number: int
    run_count: int
    started_at: str
    arms: tuple[str, ...]
    units: Mapping[str, str]
    flow: Flow
    baseline: Table
    missingness: tuple[Table, ...]
    analyses: tuple[AnalysisResult, ...]
    deviations: tuple[Mapping[str, Any], ...] = ()
    files: tuple[DataFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    disclosure: Mapping[str, Any] = field(default_factory=dict)
