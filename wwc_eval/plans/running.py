"""Running a plan: lock and data first, then every analysis, then the record of it all."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwc_eval.data.disclosure import DisclosureRule
from wwc_eval.errors import WwcError
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.plans.allocating import Assigned
from wwc_eval.plans.assembly import Assembled, assemble, rows_where
from wwc_eval.plans.deciding import decided_by
from wwc_eval.plans.describing import describe_sample
from wwc_eval.plans.environment import code_version, environment, environment_changes
from wwc_eval.plans.facts import Facts, Task
from wwc_eval.plans.locking import Lock
from wwc_eval.plans.outputs import run_folder, write_run
from wwc_eval.plans.permitting import permitted_by
from wwc_eval.plans.run_log import RunLog, Started
from wwc_eval.plans.scoring import shown_scores
from wwc_eval.plans.sized_for import sized_for
from wwc_eval.plans.vocabulary.base import INTENTION_TO_TREAT, Context
from wwc_eval.plans.wording import guarded, reason_of
from wwc_eval.report.record import AnalysisResult, RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.plans.plan import Plan

__all__ = ["RunResults", "compute", "run_plan"]


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """Results of a run.

    Parameters
    ----------
    record : RunRecord
        Everything that the report shows.
    folder : Path, optional
        Where the files were written.
    """

    record: RunRecord
    folder: Path | None = None

    @property
    def analyses(self) -> dict[str, AnalysisResult]:
        """Analyses by identifier, in the plan's order."""
        return {result.id: result for result in self.record.analyses}

    @property
    def estimates(self) -> Estimates:
        """The first effect of every analysis."""
        items = [result.estimates[0] for result in self.record.analyses if result.estimates]
        return Estimates(items, title=str(self.record.plan["title"]))

    @property
    def failed(self) -> tuple[str, ...]:
        """Identifiers of analyses whose headline could not be estimated (those withheld on purpose left out)."""
        return tuple(
            result.id
            for result in self.record.analyses
            if result.status != "withheld"
            and (not result.estimates or not math.isfinite(result.estimates[0].estimate))
        )

    @property
    def headline(self) -> str:
        """The primary result, or the decision of a pilot, as one line."""
        if self.record.decision:
            first = self.record.decision[0]
            return " ".join((f"{first.title}.", *first.sentences[:1]))
        result = next((item for item in self.record.analyses if item.role == "primary"), None)
        if result is None or not result.estimates:
            return "no primary estimate" + (f": {result.message}" if result else "")
        item = result.estimates[0]
        return (
            f"{result.outcome_label}: {item.term} {item.shown_estimate} {item.shown_units} "
            f"({100 * item.level:g}% interval {item.shown_interval}; n = {item.n:,})"
        )

    def to_frame(self) -> pd.DataFrame:
        """Every reported estimate as a row, as in ``estimates.csv``."""
        from wwc_eval.plans.outputs import estimates_frame

        return estimates_frame(self.record)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report alone: HTML, or Word where the name ends in ``.docx`` (extra ``word``)."""
        from wwc_eval.report import render_html

        target = Path(path)
        if target.suffix == ".docx":
            from wwc_eval.report.word import write_word

            write_word(self.record, target)
        else:
            target.write_text(render_html(self.record), encoding="utf-8", newline="\n")
        return target

    def __str__(self) -> str:
        """Headline, and whether the run was confirmatory."""
        record = self.record
        kind = "Draft run" if record.draft else f"Confirmatory run {record.run_number} of {record.run_count}"
        return f"{kind} of {record.plan['id']} (plan hash {record.plan_hash[:12]}).\n{self.headline}"


def run_plan(plan: Plan, *, out: Path | None, draft: bool, progress: bool) -> RunResults:
    """Run a plan; see :meth:`wwc_eval.plans.Plan.run`."""
    plan.require_sound()
    lock = None if draft else plan.require_lock()
    assembled = assemble(plan.facts, plan.path.parent)
    if out is None:
        record, _ = _logged(plan, lock, assembled, progress=progress)
        return RunResults(record=record)
    with run_folder(out) as folder:
        record, started = _logged(plan, lock, assembled, progress=progress)
        outputs = write_run(record, folder, _run_document(plan, lock, record, started, out))
        RunLog.of(plan.path).finish(started, outputs=outputs)
    return RunResults(record=record, folder=out)


def _logged(plan: Plan, lock: Lock | None, assembled: Assembled, *, progress: bool) -> tuple[RunRecord, Started]:
    """Enter the run in the log before any outcome is analysed, then compute."""
    log = RunLog.of(plan.path)
    kind = "draft" if lock is None else "confirmatory"
    files = {file.name: file.sha256 for file in assembled.files}
    started = log.start(kind=kind, plan_sha256=plan.hash, files=files)
    record = compute(plan, lock, assembled, progress=progress)
    if lock is None:
        return replace(record, started_at=started.started_at), started
    drafts = log.count("draft")
    seen = (f"The log holds {drafts} draft run{'s' if drafts != 1 else ''} of this plan.",) if drafts else ()
    return (
        replace(
            record,
            run_number=started.number,
            run_count=log.count("confirmatory"),
            started_at=started.started_at,
            warnings=(*record.warnings, *seen),
        ),
        started,
    )


def compute(plan: Plan, lock: Lock | None, assembled: Assembled, *, progress: bool = False) -> RunRecord:
    """Everything a run computes from plan and data, without time, log or files."""
    facts = plan.facts
    disclosure = facts.document.disclosure
    rule = DisclosureRule(threshold=disclosure.threshold, profile=disclosure.profile)
    frame = assembled.frame.loc[assembled.included].reset_index(drop=True)
    results = _adjusted(facts, list(_analyses(facts, frame, assembled, rule, progress=progress)))
    shown = describe_sample(facts, assembled, frame, results, rule)
    permitted, unfitting = permitted_by(facts, assembled.frame, rule)
    return RunRecord(
        plan=plan.data,
        plan_hash=plan.hash,
        lock=_lock_summary(lock),
        draft=lock is None,
        run_number=0,
        run_count=0,
        started_at="",
        arms=facts.arms,
        units=facts.words,
        flow=shown.flow,
        baseline=shown.baseline,
        missingness=shown.missingness,
        analyses=shown.analyses,
        deviations=tuple(item.model_dump() for item in facts.document.deviations),
        files=assembled.files,
        environment={**environment(), "wwc_eval": code_version()["version"]},
        warnings=(*assembled.warnings, *shown.warnings, *unfitting, *_warnings(lock)),
        disclosure={
            "threshold": disclosure.threshold,
            "profile": disclosure.profile,
            "reason": disclosure.reason,
            "suppressed": shown.hidden,
            "rule": rule.words,
        },
        design=(*sized_for(facts, shown.analyses, rule), *permitted),
        fidelity=() if assembled.scores is None else shown_scores(facts, assembled.scores, rule),
        decision=decided_by(facts, shown.analyses, rule, scores=assembled.scores),
    )


def _analyses(
    facts: Facts, frame: pd.DataFrame, assembled: Assembled, rule: DisclosureRule, *, progress: bool
) -> Iterator[AnalysisResult]:
    tasks = list(facts.tasks())
    for task in _with_bar(tasks) if progress else tasks:
        yield _run_task(facts, task, frame, assembled, rule)


def _with_bar(tasks: list[Task]) -> Iterable[Task]:
    """The tasks with a progress bar."""
    import warnings

    with warnings.catch_warnings():
        # in a notebook without widgets tqdm warns and then shows a plain bar, which is what is wanted
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    bar: Iterable[Task] = tqdm(tasks, desc="Analyses", unit="analysis")
    return bar


def _run_task(
    facts: Facts, task: Task, frame: pd.DataFrame, assembled: Assembled, rule: DisclosureRule
) -> AnalysisResult:
    """Run one analysis; what stops it is its result, so that the others are still shown."""
    context = _context(facts, task, frame, assembled, rule)
    try:
        result = task.analysis.run(context) if task.by is None else task.analysis.run_subgroup(context, task.by)
    except WwcError as error:
        analysis = task.analysis
        result = AnalysisResult(
            id=task.id,
            title="",
            role=task.role,
            outcome=analysis.outcome,
            outcome_label=context.label,
            better=context.outcome.better,
            model=analysis.model,
            method="",
            formula="; ".join(analysis.formulas.values()),
            estimates=(),
            status="failed",
            message=reason_of(error, rule),
        )
    return replace(
        result,
        message=guarded(result.message, rule),
        estimates=tuple(_guarded_warnings(item, rule) for item in result.estimates),
        coefficients=tuple(_guarded_warnings(item, rule) for item in result.coefficients),
        id=task.id,
        role=task.role,
        title=task.title or result.title or context.label,
        of=task.of,
        changed=dict(task.changed) or ({"by": task.by} if task.by else {}),
        sample={**result.sample, "population": task.analysis.population},
        notes=(*result.notes, *([f"Why: {task.why}"] if task.why else [])),
        supplements=tuple(
            replace(item, sentences=tuple(guarded(text, rule) for text in item.sentences))
            for item in result.supplements
        ),
    )


def _guarded_warnings(item: Estimate, rule: DisclosureRule) -> Estimate:
    safe = tuple(guarded(warning, rule) for warning in item.warnings)
    return item if safe == item.warnings else item.replace(warnings=safe)


def _context(facts: Facts, task: Task, frame: pd.DataFrame, assembled: Assembled, rule: DisclosureRule) -> Context:
    document = facts.document
    outcome = facts.outcomes[task.analysis.outcome]
    column = facts.columns[outcome.name]
    population = task.analysis.population
    if population != INTENTION_TO_TREAT:
        kept, _ = rows_where(frame, document.populations[population].rule, assembled.lists)
        frame = frame.loc[kept]
    return Context(
        frame=frame,
        arm=document.design.arm_column,
        arms=facts.arms,
        levels=facts.levels,
        outcome=outcome,
        label=outcome.label or column.label or outcome.name.replace("_", " "),
        units=column.units or "",
        unit_column=facts.unit_column,
        level=facts.level,
        sides=document.design.target.sides,
        rule=rule,
        design=document.design.kind,
        rows=facts.words["rows"],
        changed=frozenset(task.changed),
        panel=document.design.panel,
        assigned=_assigned(facts, task, assembled),
    )


def _assigned(facts: Facts, task: Task, assembled: Assembled) -> Assigned | None:
    """What was allocated, for an analysis that repeats it: by the plan's own scheme, or as a record says."""
    analysis = task.analysis
    if not analysis.repeats_allocation:
        return None
    path = analysis.allocation_record
    record = None if path is None else assembled.records[path]
    return Assigned(facts=facts, frame=assembled.frame, record=record)


def _adjusted(facts: Facts, results: list[AnalysisResult]) -> list[AnalysisResult]:
    """Results with the p-values of each family adjusted together; a test without a p-value counts as 1."""
    from wwc_eval.inference import adjust_p

    by_id = {result.id: index for index, result in enumerate(results)}
    multiplicity = facts.document.multiplicity
    for family, tests in multiplicity.families.items():
        members = [(by_id[test], item) for test in tests for item in _headlines(results[by_id[test]])]
        if not members:
            continue
        p_values = [1.0 if math.isnan(item.p_value) else item.p_value for _, item in members]
        adjusted = adjust_p(p_values, method=multiplicity.method)
        for test in tests:
            own = {
                item.term: float(p)
                for (index, item), p in zip(members, adjusted, strict=True)
                if index == by_id[test]
            }
            if own:
                facts_of = {
                    "family": family,
                    "method": multiplicity.method,
                    "tests": len(members),
                    "p_value": next(iter(own.values())),
                    "p_values": own,
                }
                results[by_id[test]] = replace(results[by_id[test]], adjusted=facts_of)
    return results


def _headlines(result: AnalysisResult) -> list[Estimate]:
    """The estimates on the headline scale: one for each arm against the reference."""
    return [item for item in result.estimates if item.scale == result.estimates[0].scale]


def _lock_summary(lock: Lock | None) -> Mapping[str, Any]:
    if lock is None:
        return {}
    return {
        "locked_at": lock.locked_at,
        "level": lock.level,
        "code_version": lock.code["version"],
        "environment": dict(lock.environment),
        "history": [dict(entry) for entry in lock.history],
    }


def _warnings(lock: Lock | None) -> tuple[str, ...]:
    if lock is None:
        return ()
    found = []
    changes = environment_changes(dict(lock.environment), environment())
    if changes:
        found.append(f"The environment differs from that of the lock: {'; '.join(changes)}.")
    code = code_version()
    if code["source_sha256"] != lock.code.get("source_sha256"):
        found.append(
            f"wwc_eval itself has changed since the lock (was {lock.code['version']}, is {code['version']})."
        )
    found += [
        f"The plan was amended after its lock of {e['locked_at']}: {e['amended_because']}" for e in lock.history
    ]
    return tuple(found)


def _run_document(plan: Plan, lock: Lock | None, record: RunRecord, started: Started, out: Path) -> dict[str, Any]:
    """Content of ``run.json`` before the hashes of the outputs."""
    plan_file = Path(os.path.relpath(plan.path.resolve(), out.resolve())).as_posix()
    return {
        "plan": {"id": plan.id, "file": plan_file, "sha256": plan.hash},
        "lock": {"sha256": lock.plan_sha256, "locked_at": lock.locked_at, "level": lock.level} if lock else None,
        "draft": record.draft,
        "run": {"number": record.run_number, "of": record.run_count, "log_entry": started.hash},
        "started_at": started.started_at,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": {
            file.name: {"file": file.file, "sha256": file.sha256, "rows": file.rows, "columns": file.columns}
            for file in record.files
        },
        "environment": environment(),
        "code": code_version(),
        "plan_text": plan.data,
    }
