"""What a run hands to the report: one frozen record, already safe to show.

The plan's runner fills it; sections read it and decide nothing. Small counts have been suppressed before they
arrive here: a suppressed count is a string (such as ``"<10"``) where a number would stand.

What a model has to show beyond its effects (intraclass correlations, the optimiser's record, inferences side by side,
how an estimand was chosen) goes into ``AnalysisResult.supplements``: each a :class:`Supplement` of sentences, a table,
a picture, or several of them. The section ``supplements`` renders them in their order, Word and ``results.json`` hold them too, so that a
new analysis needs no change in the report::

    Supplement(
        key="summaries",
        title="Cluster summaries",
        sentences=("Each school counts once.",),
        table=Table(rows, [Column(name="arm"), Column(name="mean", kind="number")]),
    )

Counts and values in a supplement must be fit to show: whoever makes it applies the disclosure rule (sentences are
guarded once more by the runner, tables are not). A result that is withheld loses its supplements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wwc_eval.data.flow import Flow
from wwc_eval.estimate import Estimate
from wwc_eval.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wwc_eval.pilot.decision import Decision

__all__ = ["AnalysisResult", "DataFile", "RunRecord", "Supplement"]


@dataclass(frozen=True, kw_only=True)
class Supplement:
    """Something more that an analysis shows: sentences, a table, a picture, or several of them, under a title.

    Parameters
    ----------
    key : str
        Name that stays, under which ``results.json`` holds it; unique within an analysis.
    title : str
        Words for a reader; a title of the table gives way to it.
    sentences : tuple of str
        What is said above the table.
    table : Table, optional
        Its rows, with notes.
    draw : callable, optional
        Draws on the axes that it is given; called when the report is written.
    alt : str
        What the picture shows, for who cannot see it; needed with ``draw``.
    """

    key: str
    title: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    draw: Callable[[Axes], object] | None = field(default=None, compare=False, repr=False)
    alt: str = ""


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
        ``n``, ``n_clusters``, ``cluster``, ``by_arm`` ({arm: {"n": ..., "n_clusters": ..., "events" (of "trials") or "mean"/"sd": ...}}),
        ``dropped`` ({column: rows}), ``population``, ``reference_levels``. Counts may be suppressed strings.
    adjusted : mapping
        Multiplicity: ``{"family": ..., "method": ..., "p_value": ...}`` for the headline; empty if none.
    changed : mapping
        For sensitivity analyses: what differs from the analysis named in ``of``.
    notes : tuple of str
        Sentences for the reader.
    supplements : tuple of Supplement
        What the model shows beyond its effects; a varied analysis shows those that differ from its original's.
    compares : bool
        Whether its estimates are effects of one arm against another; shares and scores of a pilot are not.
    verdict : Decision, optional
        What a progression criterion says (:class:`wwc_eval.pilot.Decision`).
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
    supplements: tuple[Supplement, ...] = ()
    compares: bool = True
    verdict: Decision | None = None


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One data file as read: name in the plan, file name, SHA-256 and shape; None where it is no table."""

    name: str
    file: str
    sha256: str
    rows: int | None
    columns: int | None


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
    design : tuple of Supplement
        What the run found of the design, such as what the scheme of allocation permits: the rows of each table are a
        fact and its value.
    decision : tuple of Supplement
        What the plan's decision rules say of a pilot; empty for a trial.
    fidelity : tuple of Supplement
        Practice scored against the plan's specification; empty where there is none.
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
    design: tuple[Supplement, ...] = ()
    decision: tuple[Supplement, ...] = ()
    fidelity: tuple[Supplement, ...] = ()
