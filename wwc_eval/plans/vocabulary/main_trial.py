"""What a plan may ask of a pilot for its main trial: figures with intervals, sizes at their limits, and assurance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import DesignError
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import withheld
from wwc_eval.plans.fields import Block, Number, Text
from wwc_eval.plans.power_fields import PlannedLevel
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding
from wwc_eval.plans.vocabulary.pilot import KINDS, PilotRows, group_counts

if TYPE_CHECKING:
    from wwc_eval.pilot.planning import MainTrial
    from wwc_eval.power import Trial
    from wwc_eval.power.assurance import Assurance
    from wwc_eval.report.record import AnalysisResult, Supplement
    from wwc_eval.table import Table

__all__ = ["ANALYSES", "MainTrialAnalysis"]

OF_TRIALS = {"share": "binary", "rate": "rate", "mean": "continuous"}
"""Kind of outcome of :func:`wwc_eval.pilot.main_trial` for each kind of figure."""
TYPICAL = {"share": 0.5, "rate": 1.0, "mean": 1.0}
"""Risk, rate or SD with which a design is checked before there are data."""


class PlannedTrial(Block):
    """The main trial that is thought of."""

    levels: list[PlannedLevel] = Field(description="From the lowest to the top", min_length=2, max_length=4)
    assigned: Text = Field(description="Level that is randomised")
    allocation: Number = Field(0.5, gt=0, lt=1, description="Share of the treated arm")
    control: Number | None = Field(
        None, gt=0, description="Risk or rate in the comparator arm; the pilot's where missing"
    )
    sd: Number | None = Field(None, gt=0, description="Total standard deviation; the pilot's where missing")


class MainTrialAnalysis(PilotRows):
    """What the pilot says of the size of the main trial: its outcome's figures, and the power that they leave."""

    model: Literal["main_trial"]
    trial: PlannedTrial
    effect: Number = Field(
        description="Effect that it should detect: a difference of risks or means, or a ratio of rates"
    )
    power: Number = Field(0.8, gt=0.5, lt=1, description="Power that it should have")
    level: Text | None = Field(
        None, description="Level whose ICC (k of rates) the pilot tells; the second lowest where missing"
    )
    seed: int = Field(ge=0, description="Seed of the points over which power is averaged")

    arm_in_formula: ClassVar[bool] = False

    def design(self, kind: str, typical: float) -> Trial:
        """The main trial; ``typical`` is the risk, rate or SD where the plan names none.

        Raises
        ------
        DesignError
            If its parts do not fit each other.
        """
        from wwc_eval.power import Binary, Continuous, Level, Rate, Trial

        asked = self.trial
        outcome: Any
        if kind == "mean":
            outcome = Continuous(sd=float(asked.sd or typical))
        else:
            outcome = (Binary if kind == "share" else Rate)(control=float(asked.control or typical))
        levels = [Level(each.name, each.n, **each.model_dump(exclude={"name", "n"})) for each in asked.levels]
        return Trial(levels=levels, assigned=asked.assigned, allocation=float(asked.allocation), outcome=outcome)

    # --- findings

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """The trial's parts (P07), and options that would do nothing (P14)."""
        if outcome is None:
            return
        kind = KINDS[outcome.type]
        names = [each.name for each in self.trial.levels]
        if self.cluster is None:
            yield Finding(
                code="P07",
                path=("inference",),
                message="without clusters the pilot says nothing of how alike they are",
                fix="write inference: {cluster: ...}",
            )
        if self.level is not None and self.level not in names[1:]:
            lowest = self.level == names[0]
            yield Finding(
                code="P07",
                path=("level",),
                message=f"'{self.level}' is the lowest level: nothing in it could be alike"
                if lowest
                else f"the main trial has no level '{self.level}'",
                fix=f"one of {', '.join(names[1:])}",
            )
        for name, given, of in (
            ("control", self.trial.control, kind != "mean"),
            ("sd", self.trial.sd, kind == "mean"),
        ):
            if given is not None and not of:
                yield Finding(
                    code="P14", path=("trial", name), message=f"{name} is not of a {kind}", fix="remove it"
                )
        if self.exposure is not None and kind != "rate":
            yield Finding(
                code="P14",
                path=("exposure",),
                message=f"exposure is of a rate, and this is a {kind}",
                fix="remove it",
            )
        try:
            self.design(kind, TYPICAL[kind]).power(float(self.effect))
        except DesignError as error:
            problem = error.problems[0]
            yield Finding(code="P07", path=("trial",), message=problem.message, fix=problem.fix or "")

    # --- runs

    def run(self, context: Context) -> AnalysisResult:
        """Figures of the pilot, what they say of the size, and the assurance of the design."""
        from wwc_eval.pilot.planning import main_trial
        from wwc_eval.report.record import AnalysisResult

        context = replace(context, frame=self.asked(context.frame))
        rows, dropped = self.rows(context)
        frame, kind = context.frame.iloc[rows.tolist()], KINDS[context.outcome.type]
        figures = main_trial(
            frame[context.outcome.name].astype(float).to_numpy(),
            None if self.cluster is None else frame[self.cluster].astype(str).tolist(),
            kind=OF_TRIALS[kind],  # type: ignore[arg-type]
            exposure=None if self.exposure is None else frame[self.exposure].astype(float).to_numpy(),
            name=context.label,
            level=context.level,
        )
        design = self.design(kind, float(figures.figures[1 if kind == "mean" else 0].estimate))
        sizes = figures.required(design, float(self.effect), level=self.level, target=float(self.power))
        assured = figures.assurance(
            design, float(self.effect), rng=self.seed, level=self.level, target=float(self.power)
        )
        result = AnalysisResult(
            id=self.id,
            title=self.title or f"The main trial, by {context.label}",
            role=context.outcome.role,
            outcome=context.outcome.name,
            outcome_label=context.label,
            better=context.outcome.better,
            model=self.model,
            method="Figures of the pilot with intervals; power of the main trial averaged over what they leave open",
            formula=f"{context.outcome.name}{f' among {self.among}' if self.among else ''}",
            estimates=figures.figures,
            sample=self.sample(context, rows, dropped, figures.clusters if self.cluster is not None else None),
            notes=figures.notes,
            supplements=_supplements(
                figures, design, float(self.effect), sizes, assured, level=self.level or design.levels[1].name
            ),
            compares=False,
        )
        return withheld(result, group_counts(context, rows), context, "the figures show groups of")

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Refused: a main trial is planned once.

        Raises
        ------
        DesignError
            Always, naming what to do instead.
        """
        del context
        raise DesignError(
            f"subgroups by '{by}' vary '{self.id}', which plans one trial",
            fix="write an analysis with among: for the group",
        )


def _planned(design: Trial, effect: float, level: str) -> str:
    """The trial as the plan has it, and its power with the ICC or k written there, which the pilot's takes the place of."""
    from wwc_eval.report.words import minus

    own = next(each for each in design.levels if each.name == level)
    told = f"Planned: {design.describe()}, to detect {minus(design.outcome.show(effect))}"
    if own.k is None and own.icc == 0:
        return f"{told}."
    alike = f"the ICC of {own.icc:g}" if own.k is None else f"the k of {own.k:g}"
    return f"{told}; with {alike} written for {level} its power would be {100 * float(design.power(effect)):.0f}%."


def _supplements(
    figures: MainTrial, design: Trial, effect: float, sizes: Table, assured: Assurance, *, level: str
) -> tuple[Supplement, ...]:
    """What the pilot found, sizes at its limits, and the power over what it leaves open."""
    from wwc_eval.report.record import Supplement
    from wwc_eval.report.words import minus
    from wwc_eval.table import Table

    whole = figures.table
    # counts are shown, as they may be, where the sample is described
    columns = [column for column in whole.columns if column.name != "n"]
    rows = [{column.name: row[column.name] for column in columns} for row in whole.to_dicts()]
    words = (
        f"Over what the pilot leaves open the power to detect {minus(design.outcome.show(effect))} is "
        f"{100 * float(assured):.0f}% on average (assurance), and under {100 * assured.target:g}% with a chance of "
        f"{100 * assured.short:.0f}%."
    )
    return (
        Supplement(key="assurance", title="The main trial: power over what the pilot leaves open", sentences=(words, _planned(design, effect, level)),
                   draw=assured.plot, alt=f"Distribution of the power of the main trial. {words}"),
        Supplement(key="sizes", title="The main trial: size by what the pilot leaves open", table=sizes),
        Supplement(key="figures", title="Figures of the pilot for the main trial", table=Table(rows, columns, notes=whole.notes)),
    )  # fmt: skip


ANALYSES: tuple[type[AnalysisFields], ...] = (MainTrialAnalysis,)
