"""What a plan may ask of ``we.complier_effect``: the effect on those whom the allocation moved to take up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import DesignError, WwcError
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import one_sided, sample_by_arm
from wwc_eval.plans.fields import Block, ColumnName, Text
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding

if TYPE_CHECKING:
    from wwc_eval.formula import Formula
    from wwc_eval.report.record import AnalysisResult, Supplement

__all__ = ["ANALYSES", "ComplierAnalysis"]

SCALES: Mapping[str, str] = {"binary": "risk_difference"}


class ComplierInference(Block):
    """Errors of the two-stage least squares; the Anderson-Rubin set beside them is made for few clusters."""

    vcov: Literal["classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR1S", "CR2", "CR3"] | None = Field(
        None, description="CR1S with a cluster and HC1 without, where nothing is said"
    )
    cluster: ColumnName | None = Field(None, description="What was allocated together")


class ComplierAnalysis(AnalysisFields):
    """Complier average causal effect, the arm being the instrument."""

    model: Literal["complier_effect"]
    formula: Text = Field(description="Outcome and covariates without arm and uptake, such as score ~ age")
    uptake: ColumnName = Field(
        description="What was taken up: 0/1, a share, a dose, a score measured in both arms"
    )
    inference: ComplierInference = ComplierInference()

    tests_effect: ClassVar[bool] = False

    @property
    def formulas(self) -> Mapping[tuple[str | int, ...], str]:
        """The formula."""
        return {("formula",): self.formula}

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named outside the formula."""
        named = {("uptake",): self.uptake, ("inference", "cluster"): self.inference.cluster}
        return {path: name for path, name in named.items() if name is not None}

    @property
    def cluster(self) -> str | None:
        """Column of clustered errors."""
        return self.inference.cluster

    @property
    def small_sample(self) -> bool:
        """CR2 or CR3."""
        return self.inference.vcov in {"CR2", "CR3"}

    @property
    def scales(self) -> tuple[str, ...]:
        """Follows from the outcome: none is chosen."""
        return ()

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """What the formula must hold and must not (P14)."""
        from wwc_eval.plans.facts import formula_or_error

        if outcome is not None and outcome.trials is not None:
            yield Finding(
                code="P09",
                path=("outcome",),
                message=f"'{outcome.name}' is a number of successes, and the model is linear in rows",
                fix="analyse a share declared as a number",
            )
        clustered = (self.inference.vcov or "").startswith("CR")
        if clustered and self.inference.cluster is None:
            yield Finding(
                code="P14",
                path=("inference",),
                message=f"{self.inference.vcov} needs a cluster",
                fix="name a column",
            )
        formula = formula_or_error(self.formula)
        if isinstance(formula, WwcError):
            return
        yield from self._formula_findings(formula, outcome)

    def _formula_findings(self, formula: Formula, outcome: Outcome | None) -> Iterator[Finding]:
        response = set(formula.response.columns) if formula.response else set()
        if outcome is not None and response != {outcome.name}:
            yield Finding(
                code="P14",
                path=("formula",),
                message=f"the formula's outcome is {', '.join(sorted(response))}, the analysis is of {outcome.name}",
                fix=f"write {outcome.name} ~ ...",
            )
        if formula.random:
            yield Finding(
                code="P14",
                path=("formula",),
                message="model: complier_effect has no random effects",
                fix="remove the (... | ...) part, and name the cluster under inference:",
            )
        covariates = {name for term in formula.fixed for name in term.columns} - response
        if self.uptake in covariates:
            yield Finding(
                code="P14",
                path=("formula",),
                message=f"'{self.uptake}' is the uptake, whose effect is sought",
                fix="leave it out of the formula",
            )

    def run(self, context: Context) -> AnalysisResult:
        """Two-stage least squares with the Anderson-Rubin set and the first stage beside it."""
        from wwc_eval.formula import parse_formula, quote_name
        from wwc_eval.inference.compliance import complier_effect
        from wwc_eval.report.record import AnalysisResult

        if len(context.arms) != 2:
            raise DesignError("a complier effect is of two arms", fix="analyse a population of two arms")
        formula = parse_formula(self.formula)
        if context.arm in {name for term in formula.fixed for name in term.columns}:
            raise DesignError(f"'{context.arm}' is the instrument", fix="leave it out of the formula")
        found: Any = complier_effect(
            self.formula,
            context.frame,
            uptake=self.uptake,
            instrument=context.arm,
            cluster=self.inference.cluster,
            vcov=self.inference.vcov,
            levels={
                name: list(listed)
                for name, listed in context.levels.items()
                if name in {*formula.columns, context.arm}
            },
            level=context.level,
        )
        whole = parse_formula(f"{self.formula} + {quote_name(self.uptake)} + {quote_name(context.arm)}")
        levels = {name: listed for name, listed in context.levels.items() if name in whole.columns}
        design = whole.design(context.frame, levels=levels)
        scale = SCALES.get(context.outcome.type, "mean_difference")
        effect = found.replace(
            term=f"{context.arm}[{context.arms[1]}]",
            scale=scale,
            units="percentage points" if scale == "risk_difference" else context.units,
            details={**found.details, "reference": context.arms[0], "level": context.arms[1]},
        )
        if context.sides == 1:
            effect = one_sided(effect, context.outcome.better)
        return AnalysisResult(
            id=self.id,
            title=self.title or f"{context.label}, among compliers",
            role=context.outcome.role,
            outcome=context.outcome.name,
            outcome_label=context.label,
            better=context.outcome.better,
            model=self.model,
            method=found.method,
            formula=f"{self.formula}; uptake {self.uptake}, instrument {context.arm}",
            estimates=(effect,),
            sample={
                **sample_by_arm(context, design, cluster=self.cluster, n_clusters=found.n_clusters),
                "completed": {},
                "saturated": False,
            },
            notes=(found.claims,) if isinstance(found.claims, str) else tuple(found.claims),
            supplements=(_supplement(found, context),),
        )

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Refused.

        Raises
        ------
        DesignError
            Always, naming what to vary instead.
        """
        del context
        raise DesignError(
            f"subgroups by '{by}' vary the analysis '{self.id}', an effect among compliers",
            fix="let them vary the intention-to-treat analysis",
        )


def _supplement(found: Any, context: Context) -> Supplement:
    """The set that holds however weak the instrument is, the first stage, and the effect of the allocation."""
    from wwc_eval.report.record import Supplement
    from wwc_eval.table import Column, Table

    first, offer = found.first_stage, found.intention_to_treat
    rows = [
        {
            "what": "effect among compliers",
            "estimate": found.estimate,
            "ci_low": found.ci_low,
            "ci_high": found.ci_high,
        },
        {
            "what": "effect of the allocation (intention to treat)",
            "estimate": offer.estimate,
            "ci_low": offer.ci_low,
            "ci_high": offer.ci_high,
        },
    ]
    for low, high in found.anderson_rubin.pieces:
        rows.append({"what": "Anderson-Rubin set", "estimate": math.nan, "ci_low": low, "ci_high": high})
    head = f"{100 * context.level:.6g}%"
    columns = [
        Column(name="what"),
        Column(name="estimate", kind="number", digits=4),
        Column(name="ci_low", label=f"{head} low", kind="number", digits=4),
        Column(name="ci_high", label=f"{head} high", kind="number", digits=4),
    ]
    strength = f"First stage: F = {first.F:.1f}, uptake moved by {float(first.coefficients[0]):.3f}."
    return Supplement(
        key="compliance",
        title="Effect among compliers",
        sentences=(
            strength,
            f"The Anderson-Rubin set ({found.anderson_rubin.kind}) holds however weak the first stage is.",
        ),
        table=Table(rows, columns),
    )


ANALYSES: tuple[type[AnalysisFields], ...] = (ComplierAnalysis,)
