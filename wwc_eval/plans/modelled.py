"""What plans may ask of every model whose effect is that of the arm, whichever room fits it.

A room's class (``vocabulary/regression.py``, ``vocabulary/multilevel.py``) adds its families, its inference and how
it fits; formula, scales, missing covariates, subgroups, disclosure and the result are the same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import WwcError, did_you_mean
from wwc_eval.estimate import Estimate
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import (
    few_clusters,
    group_counts,
    left_side,
    one_sided,
    sample_by_arm,
    saturated_cells,
    shown_coefficients,
    with_groups,
    with_interaction,
    withheld,
)
from wwc_eval.plans.fields import ColumnName, Text
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding, Missing

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design, Formula
    from wwc_eval.report.record import AnalysisResult, Supplement

__all__ = ["COUNT_FAMILIES", "ModelledAnalysis", "Prepared", "Scale"]

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

COUNT_FAMILIES = frozenset({"poisson", "quasipoisson", "negative_binomial", "negative_binomial_1"})
_COUNT_SCALES = ("rate_ratio", "coefficient")
FAMILY_SCALES: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("mean_difference", "risk_difference", "coefficient", "hedges_g", "glass_delta"),
    "binomial": ("risk_difference", "risk_ratio", "odds_ratio", "coefficient"),
    **dict.fromkeys(COUNT_FAMILIES, _COUNT_SCALES),
}
"""Effect measures of each family, the first being reported where a plan names none."""
OUTCOME_SCALES: Mapping[str, frozenset[str]] = {
    "binary": frozenset({"risk_difference", "risk_ratio", "odds_ratio", "coefficient"}),
    "count": frozenset({"rate_ratio", "mean_difference", "coefficient", "hedges_g", "glass_delta"}),
    "continuous": frozenset({"mean_difference", "coefficient", "hedges_g", "glass_delta"}),
}
OUTCOME_FAMILIES: Mapping[str, frozenset[str]] = {
    "binary": frozenset({"binomial", "gaussian"}),
    "count": COUNT_FAMILIES | {"gaussian"},
    "continuous": frozenset({"gaussian"}),
}
SIZE_SCALES = frozenset({"hedges_g", "glass_delta"})


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows, formula and levels of a fit, its missing covariates completed, and how each of them was."""

    frame: pd.DataFrame
    formula: Formula
    levels: Mapping[str, Sequence[str]]
    completed: Mapping[str, str]


class ModelledAnalysis(AnalysisFields):
    """A model with the arm and covariates as fixed effects."""

    formula: Text = Field(description="Such as in_care_12m ~ arm + local_authority + age")
    family: str = "gaussian"
    report: list[Scale] = Field(default_factory=list, description="Effect measures, the headline first")
    exposure: ColumnName | None = Field(None, description="Column with the exposure of a rate")
    weights: ColumnName | None = Field(None, description="Column with precision weights")
    missing: Missing = Missing()

    arm_in_formula: ClassVar[bool] = True
    takes_trials: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ()

    # --- what a room says

    @property
    @abstractmethod
    def inference_cluster(self) -> str | None:
        """Column named by ``inference: cluster:``."""

    @abstractmethod
    def _room_findings(self, formula: Formula | None) -> Iterator[Finding]:
        """What is wrong with the room's own fields; the formula where it parses."""

    @abstractmethod
    def _fit(self, prepared: Prepared, context: Context) -> Any:
        """The fitted model."""

    @abstractmethod
    def _design(self, fit: Any) -> Design:
        """Matrix and rows used of a fit."""

    @abstractmethod
    def _effects(self, fit: Any, context: Context, scale: str) -> list[Estimate]:
        """Effect of each arm on one scale."""

    @abstractmethod
    def _modified(self, fit: Any, context: Context, column: str) -> list[Estimate]:
        """How the effect differs between groups, then the effect in each."""

    def _supplements(self, fit: Any, context: Context) -> tuple[Supplement, ...]:
        """What the fit shows beyond its effects."""
        del fit, context
        return ()

    def _says_few(self, fit: Any) -> bool:
        """Whether the fit itself warns that its clusters are few."""
        del fit
        return False

    # --- what follows from the fields

    @property
    def formulas(self) -> Mapping[tuple[str | int, ...], str]:
        """The model formula."""
        return {("formula",): self.formula}

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named by cluster, exposure, weights and missing-data methods."""
        named: dict[tuple[str | int, ...], str | None] = {
            ("inference", "cluster"): self.inference_cluster,
            ("exposure",): self.exposure,
            ("weights",): self.weights,
        }
        found = {path: name for path, name in named.items() if name is not None}
        return {**found, **{("missing", "columns", i): name for i, name in enumerate(self.missing.columns)}}

    @property
    def scales(self) -> tuple[str, ...]:
        """Effect measures as asked for, else the family's own."""
        return tuple(self.report) or FAMILY_SCALES[self.family][:1]

    # --- findings

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """Scale and family against the outcome (P09), missing-data columns (P12), formula and options (P14)."""
        from wwc_eval.plans.facts import formula_or_error

        yield from self._scale_findings(outcome)
        counts = [name for name in self.families if name in COUNT_FAMILIES]
        if self.exposure is not None and self.family not in COUNT_FAMILIES:
            yield Finding(
                code="P14",
                path=("exposure",),
                message=f"exposure goes with a count, and the family is {self.family}",
                fix=f"write family: {' or '.join(counts)}, or remove the exposure",
            )
        formula = formula_or_error(self.formula)
        whole = None if isinstance(formula, WwcError) else formula
        yield from self._room_findings(whole)
        if whole is not None:
            yield from self._formula_findings(whole, outcome)

    def _scale_findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        known = frozenset({"binomial"}) if outcome is not None and outcome.trials else None
        if outcome is not None and self.family not in (known or OUTCOME_FAMILIES[outcome.type]):
            fitting = sorted((known or OUTCOME_FAMILIES[outcome.type]) & set(self.families))
            of = f" of trials in '{outcome.trials}'" if outcome.trials else ""
            yield Finding(
                code="P09",
                path=("family",),
                message=f"family {self.family} does not fit the {outcome.type} outcome '{outcome.name}'{of}",
                fix=f"choose one of {', '.join(fitting)}",
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
        response = set(formula.response.columns) if formula.response else set()
        if outcome is not None and response != {outcome.name, outcome.trials} - {None}:
            yield Finding(
                code="P14",
                path=("formula",),
                message=f"the formula's outcome is {', '.join(sorted(response))}, the analysis is of "
                f"{left_side(outcome)}",
                fix=f"write {left_side(outcome)} ~ ...",
            )
        yield from self._transformed_findings(formula, outcome)
        covariates = {name for term in formula.fixed for name in term.columns} - response
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
        if (
            outcome is None
            or formula.response is None
            or formula.response.text in {outcome.name, left_side(outcome)}
        ):
            return
        for index, scale in enumerate(self.scales):
            if scale != "coefficient":
                yield Finding(
                    code="P09",
                    path=("report", index),
                    message=f"{scale} would be of {formula.response.text}, not of {left_side(outcome)}",
                    fix=f"report [coefficient], or write {left_side(outcome)} ~ ...",
                )

    # --- runs

    def run(self, context: Context) -> AnalysisResult:
        """Fit, and report every effect measure asked for."""
        prepared = self._prepared(context, self.formula)
        fit = self._fit(prepared, context)
        estimates = [item for scale in self.scales for item in self._effects(fit, context, scale)]
        return self._result(context, fit, estimates, prepared.completed)

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Fit with the effect differing by ``by``; the interaction comes first, then the effect in each group."""
        inner, column = with_groups(context, by)
        prepared = self._prepared(inner, with_interaction(self.formula, context.arm, column))
        fit = self._fit(prepared, inner)
        estimates = self._modified(fit, inner, column)
        result = self._result(inner, fit, estimates, prepared.completed, by=(column, context.frame))
        result = replace(result, notes=(f"Subgroups by: {by}.", *result.notes))
        counts = group_counts(inner.frame.iloc[self._design(fit).rows.tolist()], inner, column)
        return withheld(result, counts, context, "a subgroup by arm has cells of")

    def _prepared(self, context: Context, formula_text: str) -> Prepared:
        """Rows and formula with missing covariates completed as the plan says."""
        from wwc_eval.formula import parse_formula
        from wwc_eval.inference.missing_data import missing_indicator

        formula = parse_formula(formula_text)
        if self.missing.method != "missing_indicator":
            return Prepared(frame=context.frame, formula=formula, levels=context.levels, completed={})
        filled = missing_indicator(
            context.frame,
            formula,
            columns=self.missing.columns or None,
            levels=context.levels,
            keep=(context.arm,),
        )
        return Prepared(
            frame=filled.frame,
            formula=filled.formula,
            levels=filled.levels,
            completed={name: how for name, (_, how) in filled.completed.items()},
        )

    def _result(
        self,
        context: Context,
        fit: Any,
        estimates: Sequence[Estimate],
        completed: Mapping[str, str],
        *,
        by: tuple[str, pd.DataFrame] | None = None,
    ) -> AnalysisResult:
        from wwc_eval.report.record import AnalysisResult

        design = self._design(fit)
        if context.sides == 1:
            estimates = [one_sided(item, context.outcome.better) for item in estimates]
        few = () if self.small_sample or self._says_few(fit) else few_clusters(context, design)
        cells = saturated_cells(design, context)
        coefficients = shown_coefficients(design, list(fit.estimates), context)
        left_out = len(fit.estimates) - len(coefficients)
        result = AnalysisResult(
            id=self.id,
            title=self.title or context.label,
            role=context.outcome.role,
            outcome=context.outcome.name,
            outcome_label=context.label,
            better=context.outcome.better,
            model=self.model,
            method=fit.estimates.items[0].method,
            formula=fit.formula,
            estimates=tuple(item.replace(warnings=(*item.warnings, *few)) for item in estimates),
            coefficients=tuple(coefficients),
            status=fit.status,
            message=fit.message,
            sample={
                **sample_by_arm(context, design, cluster=self.cluster, n_clusters=fit.n_clusters, by=by),
                "completed": completed,
                "saturated": bool(cells),
            },
            notes=("Coefficients of groups too small to show are left out.",) if left_out else (),
            supplements=self._supplements(fit, context) if by is None else (),
        )
        return withheld(result, cells, context, "an unadjusted comparison has cells of")
