"""What a plan may ask of ``we.randomisation_test``: the effect against what the trial's own scheme could have drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import DesignError, WwcError
from wwc_eval.estimate import RATIO_SCALES, Estimate
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import sample_by_arm, saturated_cells, withheld
from wwc_eval.plans.fields import ColumnName, Text
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding
from wwc_eval.plans.wording import reason_of

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design, Formula
    from wwc_eval.randomisation.allocation import Allocation
    from wwc_eval.report.record import AnalysisResult, Supplement

__all__ = ["ANALYSES", "RandomisationTestAnalysis"]

WITHOUT_COVARIATES = ("difference_in_means", "rank")
OWN_SCALE = {"rank": "coefficient", "rate_ratio": "rate_ratio"}
"""Scale of statistics that have one of their own."""


class RandomisationTestAnalysis(AnalysisFields):
    """The hypothesis of no effect on anybody, tested by the allocations that the plan's own scheme permits."""

    model: Literal["randomisation_test"]
    formula: Text = Field(
        description="Such as in_care_12m ~ arm; covariates with statistic: regression or rate_ratio"
    )
    statistic: Literal["difference_in_means", "regression", "rank", "rate_ratio"] = "difference_in_means"
    exposure: ColumnName | None = Field(
        None, description="Column with the time at risk, for statistic: rate_ratio"
    )
    report: list[Literal["mean_difference", "risk_difference", "coefficient", "rate_ratio"]] = Field(
        default_factory=list,
        description="risk_difference for a 0/1 outcome, coefficient for ranks, rate_ratio for rates",
        max_length=1,
    )
    draws: int = Field(9_999, ge=19, description="Allocations drawn where there are too many to list")
    seed: int | None = Field(None, ge=0, description="Seed of the draws")
    interval: bool = Field(
        default=True, description="Whether to invert the test into an interval for a constant effect"
    )

    arm_in_formula: ClassVar[bool] = True

    @property
    def repeats_allocation(self) -> bool:
        """Always: the plan's own scheme is what it compares with."""
        return True

    @property
    def formulas(self) -> Mapping[tuple[str | int, ...], str]:
        """The formula."""
        return {("formula",): self.formula}

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """The time at risk, where there is one."""
        return {} if self.exposure is None else {("exposure",): self.exposure}

    @property
    def cluster(self) -> str | None:
        """None: whole units are moved, as the scheme did."""
        return None

    @property
    def small_sample(self) -> bool:
        """Always: the test is exact for any number of units."""
        return True

    @property
    def scales(self) -> tuple[str, ...]:
        """A difference or a ratio, on one scale."""
        return tuple(self.report) or (OWN_SCALE.get(self.statistic, "mean_difference"),)

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """Scale (P09), formula and options (P14)."""
        from wwc_eval.plans.facts import formula_or_error

        binary = outcome is not None and outcome.type == "binary"
        fitting = OWN_SCALE.get(self.statistic, "risk_difference" if binary else "mean_difference")
        if outcome is not None and self.scales != (fitting,):
            yield Finding(
                code="P09",
                path=("report",) if self.report else (),
                message=f"{self.scales[0]} does not fit statistic: {self.statistic} of a {outcome.type} outcome",
                fix=f"write report: [{fitting}]",
            )
        if self.statistic == "rank" and self.interval:
            yield Finding(
                code="P14",
                path=("interval",),
                message="ranks have no interval in the units of the outcome",
                fix="write interval: false, or another statistic",
            )
        yield from self._rate_findings(outcome)
        formula = formula_or_error(self.formula)
        if isinstance(formula, WwcError):
            return
        if formula.random:
            yield Finding(
                code="P14",
                path=("formula",),
                message="model: randomisation_test has no random effects",
                fix="remove the (... | ...) part",
            )
        response = set(formula.response.columns) if formula.response else set()
        if outcome is not None and response != {outcome.name}:
            yield Finding(
                code="P14",
                path=("formula",),
                message=f"the formula's outcome is {', '.join(sorted(response))}, the analysis is of {outcome.name}",
                fix=f"write {outcome.name} ~ ...",
            )
        if self.statistic in WITHOUT_COVARIATES and len(formula.fixed) > 1:
            yield Finding(
                code="P14",
                path=("formula",),
                message=f"statistic: {self.statistic} takes no covariates",
                fix="write statistic: regression, or leave them out",
            )

    def _rate_findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """A rate has events and time at risk, and nothing else has (P14)."""
        rate = self.statistic == "rate_ratio"
        if rate != (self.exposure is not None):
            yield Finding(
                code="P14",
                path=("statistic",) if rate else ("exposure",),
                message="statistic: rate_ratio and exposure go together",
                fix="name the column of the time at risk, exposure: ..., or write another statistic without it",
            )
        if rate and outcome is not None and outcome.type != "count":
            yield Finding(
                code="P14",
                path=("statistic",),
                message=f"statistic: rate_ratio is of a count, and {outcome.name} is {outcome.type}",
                fix="write statistic: difference_in_means or regression",
            )

    def run(self, context: Context) -> AnalysisResult:
        """Test, and report the difference of each arm from the comparator."""
        from wwc_eval.formula import parse_formula
        from wwc_eval.report.record import AnalysisResult

        if context.assigned is None:
            raise DesignError("what was allocated is not known here", fix="run the plan as a whole")
        allocation = context.assigned.allocation()
        formula = parse_formula(self.formula)
        frame, period = context.assigned.numbered(context.frame)
        estimates = [
            self._test(allocation, frame, formula, context, arm=arm, period=period) for arm in context.arms[1:]
        ]
        levels = {name: listed for name, listed in context.levels.items() if name in formula.columns}
        design = formula.design(context.frame, levels=levels, keep=list(self.columns.values()))
        cells = saturated_cells(design, context)
        result = AnalysisResult(
            id=self.id,
            title=self.title or context.label,
            role=context.outcome.role,
            outcome=context.outcome.name,
            outcome_label=context.label,
            better=context.outcome.better,
            model=self.model,
            method=estimates[0].method,
            formula=formula.text,
            estimates=tuple(estimates),
            sample={
                **sample_by_arm(context, design, cluster=context.unit_column, n_clusters=allocation.n),
                "completed": {},
                "saturated": bool(cells),
            },
            supplements=(self._supplement(allocation, frame, design, estimates, context, period=period),),
        )
        return withheld(result, cells, context, "an unadjusted comparison has cells of")

    def _test(
        self,
        allocation: Allocation,
        frame: pd.DataFrame,
        formula: Formula,
        context: Context,
        *,
        arm: str,
        period: str | None,
        weighted: bool = True,
    ) -> Estimate:
        from wwc_eval.randomisation.testing import randomisation_test

        two = len(context.arms) == 2
        one_sided = context.sides == 1
        better = {"lower": "less", "higher": "greater"}.get(context.outcome.better)
        found = randomisation_test(
            allocation,
            frame,
            formula,
            statistic=self.statistic,
            draws=self.draws,
            rng=self.seed,
            ci=self.interval and two,
            sides=context.sides,
            alternative=better if one_sided else None,
            arm=context.arm,
            period=period,
            contrast=None if two else (arm, context.arms[0]),
            exposure=self.exposure,
            weights="inverse_probability" if weighted else None,
            levels=context.levels,
            level=context.level,
        )
        own = {"risk_difference": "percentage points", "rate_ratio": "rate ratio"}.get(found.scale)
        units = own or found.units or context.units
        return found.replace(term=f"{context.arm}[{arm}]", units=units)

    def _supplement(
        self,
        allocation: Allocation,
        frame: pd.DataFrame,
        design: Design,
        estimates: list[Estimate],
        context: Context,
        *,
        period: str | None,
    ) -> Supplement:
        """What the test compared with, and the test of the units that stayed where others have no rows."""
        from wwc_eval.report.record import Supplement

        sentences = _compared(estimates)
        used = set(context.frame[allocation.unit].iloc[design.rows.tolist()])
        gone = [name for name in allocation.units.frame[allocation.unit].tolist() if name not in used]
        if gone:
            sentences += self._given_withdrawn(allocation, gone, frame, estimates, context, period=period)
        return Supplement(key="randomisation", title="Randomisation test", sentences=tuple(sentences), table=None)

    def _given_withdrawn(
        self,
        allocation: Allocation,
        gone: list[Any],
        frame: pd.DataFrame,
        estimates: list[Estimate],
        context: Context,
        *,
        period: str | None,
    ) -> list[str]:
        """The test again over the allocations that agree with the one made on the units without rows."""
        from wwc_eval.formula import parse_formula
        from wwc_eval.table import format_p_value

        told = "Units without rows to analyse were allocated too and stay in every allocation."
        try:
            left = allocation.without(gone)
            again = [
                self._test(
                    left, frame, parse_formula(self.formula), context,
                    arm=arm, period=period, weighted=bool(first.details["weighted"]),
                )
                for arm, first in zip(context.arms[1:], estimates, strict=True)
            ]  # fmt: skip
        except WwcError as error:
            return [
                told,
                f"A test over only the allocations that agree with the one made on these units is not possible: {reason_of(error, context.rule)}",
            ]
        each = []
        for item, first in zip(again, estimates, strict=True):
            text = f"p-value {format_p_value(item.p_value)} (all units: {format_p_value(first.p_value)})"
            if not math.isnan(item.ci_low):
                text += f", interval {item.shown_interval} (all units: {first.shown_interval}) {item.shown_units}"
            each.append(f"{item.term}: {text}" if len(again) > 1 else text)
        given = (
            "Over only the allocations that agree with the one made on these units (valid if the arm did not decide who "
            f"has no rows): {'; '.join(each)}."
        )
        return [told, given]

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Refused: the hypothesis is that of no effect on anybody.

        Raises
        ------
        DesignError
            Always, naming what to vary instead.
        """
        del context
        raise DesignError(
            f"subgroups by '{by}' vary the analysis '{self.id}', whose hypothesis is that of no effect on anybody",
            fix="let them vary an analysis of model: regression or model: multilevel",
        )


def _compared(estimates: list[Estimate]) -> list[str]:
    first = estimates[0].details
    how = "all permitted allocations" if first["exact"] else f"{first['n_allocations']:,} draws of the scheme"
    compared = (
        f"The {'ratio' if estimates[0].scale in RATIO_SCALES else 'difference'} observed was compared with those of {how}; "
        f"the smallest two-sided p-value that this design can give is {first['smallest_p_value']:.3g}."
    )
    sentences = [compared]
    if not first["exact"]:
        sentences.append(f"The Monte Carlo standard error of the p-value is {first['monte_carlo_se']:.2g}.")
    if first["weighted"]:
        sentences.append("Rows were weighted by the inverse of the probability of the arm that they got.")
    return sentences


ANALYSES: tuple[type[AnalysisFields], ...] = (RandomisationTestAnalysis,)
