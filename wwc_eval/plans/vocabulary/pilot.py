"""What a plan may ask of a pilot: progression criteria with three tiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import DataError, DesignError, WwcError
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import sample_by_arm, withheld
from wwc_eval.plans.fields import Block, ColumnName, Number, Text
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from wwc_eval.pilot.criterion import Criterion
    from wwc_eval.pilot.decision import Decision
    from wwc_eval.report.record import AnalysisResult

__all__ = ["ANALYSES", "KINDS", "PilotAnalysis", "PilotRows", "group_counts"]

KINDS: Mapping[str, str] = {"binary": "share", "count": "rate", "continuous": "mean"}
"""Kind of criterion of each type of outcome."""
SCALES: Mapping[str, str] = {"share": "proportion", "rate": "rate", "mean": "mean"}


class PilotInference(Block):
    """Whether participants sit in clusters."""

    cluster: ColumnName | None = Field(None, description="Column whose groups are alike, such as the team")


class PlannedSize(Block):
    """Participants that the criterion was sized for, and the power that they give against red."""

    n: int = Field(ge=2)
    power: Number = Field(0.9, gt=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class _Used:
    rows: NDArray[np.int64]
    dropped: Mapping[str, int]
    reference_levels: Mapping[str, Any]


class PilotRows(AnalysisFields):
    """What a pilot's analyses have in common: one figure of one outcome, of some rows, in clusters or not."""

    among: Text | None = Field(None, description="Condition for the rows counted; all where missing")
    inference: PilotInference = PilotInference()
    exposure: ColumnName | None = Field(
        None, description="Exposure of a rate, such as months that a site recruited"
    )

    tests_effect: ClassVar[bool] = False

    @property
    def formulas(self) -> Mapping[tuple[str | int, ...], str]:
        """None: nothing is modelled."""
        return {}

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named."""
        named = {("inference", "cluster"): self.cluster, ("exposure",): self.exposure}
        return {path: name for path, name in named.items() if name is not None}

    @property
    def conditions(self) -> Mapping[tuple[str | int, ...], str]:
        """Which rows are counted."""
        return {} if self.among is None else {("among",): self.among}

    @property
    def cluster(self) -> str | None:
        """Column whose groups are alike."""
        return self.inference.cluster

    @property
    def scales(self) -> tuple[str, ...]:
        """Follows from the outcome: a proportion, a rate or a mean; empty until it is known."""
        return ()

    @property
    def small_sample(self) -> bool:
        """Always: intervals are exact, or t with few degrees of freedom."""
        return True

    def asked(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of which the analysis asks."""
        from wwc_eval.formula import parse_condition

        if self.among is None:
            return frame
        return frame.loc[parse_condition(self.among).evaluate(frame).fillna(value=False).to_numpy(dtype=bool)]

    def rows(self, context: Context) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Positions of the rows counted, and how many lack a value by column."""
        import numpy as np

        frame = context.frame
        needed = [context.outcome.name, *(name for name in (self.cluster, self.exposure) if name is not None)]
        absent = {name: frame[name].isna().to_numpy(dtype=bool) for name in needed}
        dropped = {name: int(mask.sum()) for name, mask in absent.items() if mask.any()}
        holds = ~np.logical_or.reduce(list(absent.values()))
        if not holds.any():
            raise DataError(f"no row to count for '{self.id}'", fix="correct among:, or say why there are none")
        return np.flatnonzero(holds), dropped

    def sample(
        self, context: Context, rows: NDArray[np.int64], dropped: Mapping[str, int], n_clusters: int | None
    ) -> dict[str, Any]:
        """What a result says of its sample."""
        used = _Used(rows=rows, dropped=dropped, reference_levels={})
        return {
            **sample_by_arm(context, used, cluster=self.cluster, n_clusters=n_clusters),
            "completed": {},
            "saturated": KINDS[context.outcome.type] == "share",
        }


def group_counts(context: Context, rows: NDArray[np.int64]) -> list[int]:
    """Groups that a figure gives away: rows, and of a share those with and without."""
    counts = [len(rows)]
    if context.outcome.type == "binary":
        events = int(context.frame[context.outcome.name].iloc[rows].astype(float).sum())
        counts += [events, len(rows) - events]
    return counts


class PilotAnalysis(PilotRows):
    """A progression criterion: a share, a rate or a mean with its limits of red and green."""

    model: Literal["pilot"]
    red: Number = Field(description="Upper limit of red (lower limit where green lies below it)")
    green: Number = Field(description="Lower limit of green")
    heading: Literal["feasibility", "evidence_of_promise", "readiness_for_trial"] = "feasibility"
    essential: bool = Field(True, description="Whether a red here stops by itself")
    rule: Literal["estimate", "test", "posterior"] = Field(
        "estimate",
        description="What decides the tier: the estimate, the estimate and a test against red, or P(tier)",
    )
    confidence: Number = Field(0.8, gt=0.5, lt=1, description="Posterior probability that rule: posterior needs")
    unit: Text = Field("unit of exposure", description="Word for one unit of exposure")
    icc: Number = Field(0, ge=0, lt=1, description="Intraclass correlation planned for")
    cluster_size: int = Field(1, ge=1, description="Participants a cluster planned for")
    planned: PlannedSize | None = Field(None, description="What it was sized for (P07)")

    def criterion(self, outcome: Outcome, label: str) -> Criterion:
        """The criterion in Python.

        Raises
        ------
        DesignError
            If its limits cannot be.
        """
        from wwc_eval.pilot.criteria import MeanCriterion, ProgressionCriterion, RateCriterion

        shared: dict[str, Any] = {
            "red": self.red,
            "green": self.green,
            "heading": self.heading,
            "essential": self.essential,
            "rule": self.rule,
            "confidence": self.confidence,
        }
        kind = KINDS[outcome.type]
        if kind == "share":
            return ProgressionCriterion(label, **shared, icc=self.icc, cluster_size=self.cluster_size)
        return RateCriterion(label, **shared, unit=self.unit) if kind == "rate" else MeanCriterion(label, **shared)

    # --- findings

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """Limits (P09), options (P14), and whether the planned size has the power stated (P07)."""
        if outcome is None:
            return
        try:
            criterion = self.criterion(outcome, outcome.name)
        except DesignError as error:
            problem = error.problems[0]
            yield Finding(code="P09", path=("red",), message=problem.message, fix=problem.fix or "")
            return
        better = {"higher": True, "lower": False}.get(outcome.better)
        if better is not None and better != criterion.higher_is_better:
            yield Finding(
                code="P09",
                path=("green",),
                message=f"green == {self.green} lies on the worse side of red == {self.red}: {outcome.better} is better",
                fix="turn the limits about, or correct better: of the outcome",
            )
        kind = KINDS[outcome.type]
        if outcome.trials is not None:
            yield Finding(
                code="P09",
                path=("outcome",),
                message=f"'{outcome.name}' is a number of successes, and a criterion counts rows",
                fix="give the data one row a participant",
            )
        yield from self._idle_findings(kind)
        if kind == "share" and self.among is not None and outcome.name in _columns_of(self.among):
            yield Finding(
                code="P14",
                path=("among",),
                message=f"who is counted hangs on '{outcome.name}', which is what is counted",
                fix="name who could have reached it",
            )
        yield from self._planned_findings(criterion, kind)

    def _idle_findings(self, kind: str) -> Iterator[Finding]:
        """Options that would do nothing in a criterion of this kind (P14)."""
        shares, rates = "a share of participants in clusters", "a rate"
        for name, of, does in (
            ("exposure", "rate", rates),
            ("unit", "rate", rates),
            ("icc", "share", shares),
            ("cluster_size", "share", shares),
        ):
            if name in self.model_fields_set and kind != of:
                yield Finding(
                    code="P14", path=(name,), message=f"{name} is of {does}, and this is a {kind}", fix="remove it"
                )
        if "confidence" in self.model_fields_set and self.rule != "posterior":
            yield Finding(
                code="P14",
                path=("confidence",),
                message=f"confidence belongs to rule: posterior, and the rule is {self.rule}",
                fix="remove it, or write rule: posterior",
            )

    def _planned_findings(self, criterion: Criterion, kind: str) -> Iterator[Finding]:
        if self.planned is None:
            return
        if kind != "share":
            yield Finding(
                code="P14",
                path=("planned",),
                message="planned sizes are checked for shares alone",
                fix="remove planned, and write it in assumptions",
            )
            return
        try:
            needed = criterion.sample_size(power=float(self.planned.power))  # type: ignore[attr-defined]
        except DesignError as error:
            problem = error.problems[0]
            yield Finding(code="P07", path=("planned",), message=problem.message, fix=problem.fix or "")
            return
        if self.planned.n < needed.n:
            yield Finding(
                code="P07",
                path=("planned", "n"),
                message=f"n == {self.planned.n} does not keep a power of {float(self.planned.power):g} against red",
                fix=f"plan {needed.n}, from where the exact power stays there (first reached at {needed.first_crossing})",
            )

    # --- runs

    def run(self, context: Context) -> AnalysisResult:
        """Decide the criterion, and show its row."""
        from wwc_eval.report.record import AnalysisResult

        criterion = self.criterion(context.outcome, self.title or context.label)
        # who is not among those asked for is neither counted nor lost
        context = replace(context, frame=self.asked(context.frame))
        rows, dropped = self.rows(context)
        decision = self._decide(criterion, context, rows)
        result = AnalysisResult(
            id=self.id,
            title=self.title or context.label,
            role=context.outcome.role,
            outcome=context.outcome.name,
            outcome_label=context.label,
            better=context.outcome.better,
            model=self.model,
            method=decision.estimate.method,
            formula=f"{context.outcome.name}{f' among {self.among}' if self.among else ''}",
            estimates=(decision.estimate,),
            sample=self.sample(context, rows, dropped, decision.estimate.n_clusters),
            notes=(criterion.words(), *decision.notes),
            compares=False,
            verdict=decision,
        )
        return withheld(result, group_counts(context, rows), context, "the criterion counts groups of")

    def _decide(self, criterion: Criterion, context: Context, rows: NDArray[np.int64]) -> Decision:
        frame = context.frame.iloc[rows.tolist()]
        values = frame[context.outcome.name].astype(float).to_numpy()
        clusters = None if self.cluster is None else frame[self.cluster].astype(str).tolist()
        kind = KINDS[context.outcome.type]
        decide: Any = criterion.decide  # type: ignore[attr-defined]
        if kind == "share":
            found = (
                decide(int(values.sum()), len(values), level=context.level)
                if clusters is None
                else decide(values, [1] * len(values), cluster=clusters, level=context.level)
            )
        elif kind == "rate":
            # without an exposure each row is one unit of it
            times = values * 0.0 + 1.0 if self.exposure is None else frame[self.exposure].astype(float).to_numpy()
            found = (
                decide(int(values.sum()), float(times.sum()), level=context.level)
                if clusters is None
                else decide(values, times, cluster=clusters, level=context.level)
            )
        else:
            found = decide(values, cluster=clusters, level=context.level)
        decision: Decision = found
        return decision

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Refused: a criterion is one question.

        Raises
        ------
        DesignError
            Always, naming what to do instead.
        """
        del context
        raise DesignError(
            f"subgroups by '{by}' vary the criterion '{self.id}', which is one question",
            fix="write a criterion with among: for the group",
        )


def _columns_of(condition: str) -> frozenset[str]:
    """Columns that a condition names; none where it cannot be read, which another check says."""
    from wwc_eval.formula import parse_condition

    try:
        return parse_condition(condition).columns
    except WwcError:
        return frozenset()


ANALYSES: tuple[type[AnalysisFields], ...] = (PilotAnalysis,)
