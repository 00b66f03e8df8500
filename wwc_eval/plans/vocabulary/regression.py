"""What a plan may ask of ``we.regression``: linear, logistic, Poisson and quasi-Poisson models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import WwcError, did_you_mean
from wwc_eval.estimate import Estimate
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import (
    effects,
    group_counts,
    modified_effects,
    one_sided,
    sample_by_arm,
    saturated_cells,
    shown_coefficients,
    with_groups,
    with_interaction,
    withheld,
)
from wwc_eval.plans.fields import Block, ColumnName, Text
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding, Missing

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Formula
    from wwc_eval.inference import RegressionFit
    from wwc_eval.report.record import AnalysisResult

__all__ = ["ANALYSES", "Inference", "RegressionAnalysis"]

Scale = Literal[
    "coefficient",
    "mean_difference",
    "risk_difference",
    "risk_ratio",
    "odds_ratio",
    "rate_ratio",
    "hedges_g",
    "glass_delta",
]

FAMILY_SCALES: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("mean_difference", "risk_difference", "coefficient", "hedges_g", "glass_delta"),
    "binomial": ("risk_difference", "risk_ratio", "odds_ratio", "coefficient"),
    "poisson": ("rate_ratio", "coefficient"),
    "quasipoisson": ("rate_ratio", "coefficient"),
}
OUTCOME_SCALES: Mapping[str, frozenset[str]] = {
    "binary": frozenset({"risk_difference", "risk_ratio", "odds_ratio", "coefficient"}),
    "count": frozenset({"rate_ratio", "mean_difference", "coefficient", "hedges_g", "glass_delta"}),
    "continuous": frozenset({"mean_difference", "coefficient", "hedges_g", "glass_delta"}),
}
OUTCOME_FAMILIES: Mapping[str, frozenset[str]] = {
    "binary": frozenset({"binomial", "gaussian"}),
    "count": frozenset({"poisson", "quasipoisson", "gaussian"}),
    "continuous": frozenset({"gaussian"}),
}


class Inference(Block):
    """How standard errors, degrees of freedom and intervals are made."""

    vcov: Literal["classical", "HC0", "HC1", "HC2", "HC3", "CR0", "CR1", "CR1S", "CR2", "CR3"] = Field(
        description="Classical, robust (HC) or cluster-robust (CR) errors"
    )
    df: Literal["clusters", "satterthwaite"] | None = Field(
        None, description="Degrees of freedom of CR errors; CR2 and CR3 have Satterthwaite's where nothing is said"
    )
    cluster: ColumnName | None = Field(None, description="Column that errors are clustered by (CR)")


class RegressionAnalysis(AnalysisFields):
    """A regression with the arm and covariates as fixed effects."""

    model: Literal["regression"]
    formula: Text = Field(description="Such as in_care_12m ~ arm + local_authority + age")
    family: Literal["gaussian", "binomial", "poisson", "quasipoisson"] = "gaussian"
    report: list[Scale] = Field(default_factory=list, description="Effect measures, the headline first")
    inference: Inference = Inference(vcov="HC2")
    exposure: ColumnName | None = Field(None, description="Column with the exposure of a rate")
    weights: ColumnName | None = Field(None, description="Column with precision weights")
    missing: Missing = Missing()

    arm_in_formula: ClassVar[bool] = True
    default_scale: ClassVar[Mapping[str, str]] = {
        "gaussian": "mean_difference",
        "binomial": "risk_difference",
        "poisson": "rate_ratio",
        "quasipoisson": "rate_ratio",
    }

    @property
    def formulas(self) -> Mapping[tuple[str | int, ...], str]:
        """The model formula."""
        return {("formula",): self.formula}

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named by cluster, exposure, weights and missing-data methods."""
        named: dict[tuple[str | int, ...], str | None] = {
            ("inference", "cluster"): self.inference.cluster,
            ("exposure",): self.exposure,
            ("weights",): self.weights,
        }
        found = {path: name for path, name in named.items() if name is not None}
        return {**found, **{("missing", "columns", i): name for i, name in enumerate(self.missing.columns)}}

    @property
    def cluster(self) -> str | None:
        """Column of clustered errors; None for errors that take rows as independent."""
        return self.inference.cluster if self.inference.vcov.startswith("CR") else None

    @property
    def scales(self) -> tuple[str, ...]:
        """Effect measures as asked for, else the family's own."""
        return tuple(self.report) or (self.default_scale[self.family],)

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """Scale and family against the outcome (P09), missing-data columns (P12), formula and cluster (P14)."""
        from wwc_eval.plans.facts import formula_or_error

        yield from self._scale_findings(outcome)
        if self.exposure is not None and self.family not in {"poisson", "quasipoisson"}:
            yield Finding(
                code="P14",
                path=("exposure",),
                message=f"exposure goes with a count, and the family is {self.family}",
                fix="write family: poisson or quasipoisson, or remove the exposure",
            )
        clustered = self.inference.vcov.startswith("CR")
        if clustered and self.inference.cluster is None:
            yield Finding(
                code="P14",
                path=("inference",),
                message=f"{self.inference.vcov} needs a cluster",
                fix="name a column",
            )
        if not clustered and self.inference.cluster is not None:
            yield Finding(
                code="P14",
                path=("inference", "cluster"),
                message=f"{self.inference.vcov} does not use a cluster",
                fix="write vcov: CR1S, or remove the cluster",
            )
        if not clustered and self.inference.df is not None:
            yield Finding(
                code="P14",
                path=("inference", "df"),
                message=f"{self.inference.vcov} has its own degrees of freedom",
                fix="remove df",
            )
        formula = formula_or_error(self.formula)
        if isinstance(formula, WwcError):
            return
        yield from self._formula_findings(formula, outcome)

    def _scale_findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        if outcome is not None and self.family not in OUTCOME_FAMILIES[outcome.type]:
            yield Finding(
                code="P09",
                path=("family",),
                message=f"family {self.family} does not fit the {outcome.type} outcome '{outcome.name}'",
                fix=f"choose one of {', '.join(sorted(OUTCOME_FAMILIES[outcome.type]))}",
            )
            return
        for index, scale in enumerate(self.report):
            fits_family = scale in FAMILY_SCALES[self.family]
            if not fits_family or (outcome is not None and scale not in OUTCOME_SCALES[outcome.type]):
                what = (
                    f"family {self.family}"
                    if not fits_family
                    else f"the {outcome.type} outcome"
                    if outcome
                    else ""
                )
                allowed = [
                    name
                    for name in FAMILY_SCALES[self.family]
                    if outcome is None or name in OUTCOME_SCALES[outcome.type]
                ]
                yield Finding(
                    code="P09",
                    path=("report", index),
                    message=f"{scale} does not fit {what}",
                    fix=f"choose from {', '.join(allowed)}",
                )

    def _formula_findings(self, formula: Formula, outcome: Outcome | None) -> Iterator[Finding]:
        if formula.random:
            yield Finding(
                code="P14",
                path=("formula",),
                message="model: regression has no random effects",
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
        yield from self._transformed_findings(formula, outcome)
        covariates = formula.columns - response
        for index, name in enumerate(self.missing.columns):
            if name not in covariates:
                yield Finding(
                    code="P12",
                    path=("missing", "columns", index),
                    message=f"'{name}' is not a covariate of the formula",
                    fix=did_you_mean(name, covariates),
                )
        if self.missing.columns and self.missing.method == "complete_case":
            yield Finding(
                code="P12",
                path=("missing", "columns"),
                message="complete_case uses no columns",
                fix="write method: missing_indicator, or remove the columns",
            )

    def _transformed_findings(self, formula: Formula, outcome: Outcome | None) -> Iterator[Finding]:
        from wwc_eval.formula import quote_name

        if (
            outcome is None
            or formula.response is None
            or formula.response.text in {outcome.name, quote_name(outcome.name)}
        ):
            return
        for index, scale in enumerate(self.scales):
            if scale != "coefficient":
                yield Finding(
                    code="P09",
                    path=("report", index),
                    message=f"{scale} would be of {formula.response.text}, not of {outcome.name}",
                    fix=f"report [coefficient], or write {outcome.name} ~ ...",
                )

    def run(self, context: Context) -> AnalysisResult:
        """Fit, and report every effect measure asked for."""
        fit, completed = self._fit(context, self.formula)
        estimates = [item for scale in self.scales for item in effects(fit, context, scale)]
        return self._result(context, fit, estimates, completed)

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Fit with the effect differing by ``by``; the interaction comes first, then the effect in each group."""
        inner, column = with_groups(context, by)
        fit, completed = self._fit(inner, with_interaction(self.formula, context.arm, column))
        estimates = modified_effects(fit, inner, column, self.scales[0])
        result = self._result(inner, fit, estimates, completed, by=(column, context.frame))
        result = replace(result, notes=(f"Subgroups by: {by}.", *result.notes))
        counts = group_counts(inner.frame.iloc[fit.design_info.rows.tolist()], inner, column)
        return withheld(result, counts, context, "a subgroup by arm has cells of")

    def _fit(self, context: Context, formula_text: str) -> tuple[RegressionFit, dict[str, str]]:
        """The fit, and how each covariate with missing values was completed."""
        from wwc_eval.formula import parse_formula
        from wwc_eval.inference import regression
        from wwc_eval.inference.missing_data import missing_indicator

        formula = parse_formula(formula_text)
        frame, completed = context.frame, {}
        levels: Mapping[str, Sequence[str]] = context.levels
        if self.missing.method == "missing_indicator":
            filled = missing_indicator(
                frame, formula, columns=self.missing.columns or None, levels=levels, keep=(context.arm,)
            )
            frame, formula, levels = filled.frame, filled.formula, filled.levels
            completed = {name: how for name, (_, how) in filled.completed.items()}
        fit = regression(
            formula.text,
            frame,
            family=self.family,
            exposure=self.exposure,
            weights=self.weights,
            vcov=self.inference.vcov,
            cluster=self.inference.cluster,
            df=self.inference.df,
            levels=levels,
            level=context.level,
        )
        return fit, completed

    def _result(
        self,
        context: Context,
        fit: RegressionFit,
        estimates: list[Estimate],
        completed: Mapping[str, str],
        *,
        by: tuple[str, pd.DataFrame] | None = None,
    ) -> AnalysisResult:
        from wwc_eval.report.record import AnalysisResult

        if context.sides == 1:
            estimates = [one_sided(item, context.outcome.better) for item in estimates]
        cells = saturated_cells(fit, context)
        coefficients = shown_coefficients(fit, context)
        left_out = len(fit.estimates) - len(coefficients)
        result = AnalysisResult(
            id=self.id,
            title=self.title or context.label,
            role=context.outcome.role,
            outcome=context.outcome.name,
            outcome_label=context.label,
            better=context.outcome.better,
            model="regression",
            method=fit.estimates.items[0].method,
            formula=fit.formula,
            estimates=tuple(estimates),
            coefficients=tuple(coefficients),
            status=fit.status,
            message=fit.message,
            sample={
                **sample_by_arm(context, fit, self.cluster, by=by),
                "completed": completed,
                "saturated": bool(cells),
            },
            notes=("Coefficients of groups too small to show are left out.",) if left_out else (),
        )
        return withheld(result, cells, context, "an unadjusted comparison has cells of")


ANALYSES: tuple[type[AnalysisFields], ...] = (RegressionAnalysis,)
