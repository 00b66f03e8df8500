"""What a plan may ask of difference-in-differences: the estimator, its inference, and how sensitive it is to trends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate
from wwc_eval.plans.did_drawn import ADJUSTMENTS, drawn_effect, drawn_findings, tested_effect
from wwc_eval.plans.did_fields import DidInference, FewTreatedInference, Sensitivity
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import one_sided, sample_by_arm
from wwc_eval.plans.fields import ColumnName
from wwc_eval.plans.roll_out import OWN_SCHEME
from wwc_eval.plans.vocabulary.base import AnalysisFields, Context, Finding

if TYPE_CHECKING:
    from wwc_eval.did import Panel
    from wwc_eval.report.record import AnalysisResult

__all__ = ["ANALYSES", "DidAnalysis"]

OWN_ERRORS = frozenset({"callaway_santanna", "imputation", "two_stage"})
"""Estimators whose errors come from their own influence functions."""
AVERAGED = frozenset({"callaway_santanna", "staggered"})
"""Estimators that report the average asked for, allow anticipation, and draw."""
WITH_COVARIATES = frozenset(
    {"callaway_santanna", "two_way_fixed_effects", "sun_abraham", "imputation", "two_stage", "extended_twfe"}
)
ROBUST = frozenset({"CR2", "CR3"})


class DidAnalysis(AnalysisFields):
    """Effect on the treated of beginning a programme, from units over time."""

    model: Literal["did"]
    estimator: Literal[
        "callaway_santanna",
        "two_way_fixed_effects",
        "sun_abraham",
        "imputation",
        "two_stage",
        "extended_twfe",
        "stacked",
        "staggered",
    ] = "callaway_santanna"
    aggregate: Literal["simple", "event", "cohort", "calendar"] | None = Field(
        None, description="Average reported by callaway_santanna and staggered; simple where missing"
    )
    control: Literal["never", "not_yet"] | None = Field(
        None, description="Compared with the never treated, or with those not treated yet; never where missing"
    )
    base: Literal["varying", "universal"] | None = Field(None, description="Base period of callaway_santanna")
    anticipation: int = Field(0, ge=0, description="Periods before the start in which an effect is allowed")
    covariates_: list[ColumnName] = Field(
        default_factory=list, alias="covariates", description="Baseline columns that trends may depend on"
    )
    adjustment: (
        Literal["dr", "ipw", "or", "efficient", "callaway_santanna", "sun_abraham", "difference_in_means"] | None
    ) = Field(
        None,
        description="How callaway_santanna uses covariates (dr, ipw, or), or staggered the outcomes before treatment (the others)",
    )
    family: Literal["gaussian", "poisson"] = "gaussian"
    exposure: ColumnName | None = Field(None, description="Exposure of a count, such as the child population")
    per: float = Field(
        1, gt=0, description="Units of exposure that rates are for: 10000 for rates per 10,000 children"
    )
    weights: ColumnName | None = Field(None, description="Weight of each unit")
    inference: DidInference = DidInference()
    few_treated: FewTreatedInference | None = Field(
        None, description="Needed with fewer than 10 treated units (P08)"
    )
    sensitivity: Sensitivity = Sensitivity()

    inference_at_unit: ClassVar[bool] = True

    # --- what follows from the fields

    @property
    def formulas(self) -> Mapping[tuple[str | int, ...], str]:
        """None: units and periods are the model."""
        return {}

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named."""
        named: dict[tuple[str | int, ...], str | None] = {
            ("exposure",): self.exposure,
            ("weights",): self.weights,
            ("inference", "cluster"): self.cluster,
            ("few_treated", "population"): None if self.few_treated is None else self.few_treated.population,
        }
        found = {path: name for path, name in named.items() if name is not None}
        seen: dict[tuple[str | int, ...], str] = {
            ("sensitivity", "composition", k): name for k, name in enumerate(self.sensitivity.composition)
        }
        return {**found, **self.covariates, **seen}

    @property
    def covariates(self) -> Mapping[tuple[str | int, ...], str]:
        """Covariates by path."""
        return {("covariates", index): name for index, name in enumerate(self.covariates_)}

    @property
    def cluster(self) -> str | None:
        """Clusters above the unit; the unit itself where none is named."""
        return self.inference.cluster

    @property
    def small_sample(self) -> bool:
        """With the block few_treated, CR2 or CR3, or the randomisation test of a drawn roll-out."""
        drawn = self.estimator == "staggered" and self.inference.draws is not None
        return drawn or self.few_treated is not None or self.inference.vcov in ROBUST

    @property
    def needs_units(self) -> bool:
        """All but Callaway and Sant'Anna's."""
        return self.estimator != "callaway_santanna"

    @property
    def repeats_allocation(self) -> bool:
        """Where few_treated names the lottery."""
        return self.few_treated is not None and self.few_treated.allocation is not None

    @property
    def allocation_record(self) -> str | None:
        """The path of few_treated's allocation, where it is one."""
        named = None if self.few_treated is None else self.few_treated.allocation
        return None if named == OWN_SCHEME else named

    def small_sample_fix(self, unit: str) -> str:
        """What to write so that inference holds with few treated units."""
        del unit
        return "write few_treated: {seed: ...}, whose permutation holds with one treated unit"

    @property
    def scales(self) -> tuple[str, ...]:
        """Ratio of rates, difference of rates, or of means."""
        if self.family == "poisson":
            return ("rate_ratio",)
        return ("rate_difference",) if self.exposure is not None else ("mean_difference",)

    # --- findings

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """Family against the outcome (P09), options against the estimator (P14)."""
        if outcome is not None and self.family == "poisson" and outcome.type != "count":
            yield Finding(
                code="P09",
                path=("family",),
                message=f"family poisson does not fit the {outcome.type} outcome '{outcome.name}'",
                fix="write family: gaussian, or analyse a count with exposure:",
            )
        if outcome is not None and outcome.type == "count" and self.exposure is None and self.family == "gaussian":
            yield Finding(
                code="P09",
                path=("exposure",),
                message=f"counts of '{outcome.name}' of units of unequal size have no parallel trends",
                fix="name the exposure:, or analyse a rate declared as continuous",
            )
        own = self.estimator == "callaway_santanna"
        wrong = {
            "aggregate": self.aggregate is not None and self.estimator not in AVERAGED,
            "base": self.base is not None and not own,
            "adjustment": self.adjustment is not None and not self._adjusts(),
            "covariates": bool(self.covariates_) and self.estimator not in WITH_COVARIATES,
            "control": self.control is not None
            and self.estimator not in {"callaway_santanna", "extended_twfe", "stacked"},
            "anticipation": self.anticipation > 0 and self.estimator not in AVERAGED,
            "family": self.family == "poisson"
            and self.estimator not in {"extended_twfe", "two_way_fixed_effects"},
        }
        for name, odd in wrong.items():
            if odd:
                yield Finding(
                    code="P14",
                    path=(name,),
                    message=f"{name} does not go with estimator: {self.estimator}"
                    + (" without covariates" if name == "adjustment" and own else ""),
                    fix=f"remove {name}, or choose another estimator",
                )
        if self.per != 1 and self.exposure is None:
            yield Finding(
                code="P14",
                path=("per",),
                message="per is for rates, and no exposure is named",
                fix="name the exposure:, or remove per",
            )
        yield from self._inference_findings()

    def _has_reference(self) -> bool:
        """Whether the estimator's effects by event are all relative to one event."""
        if self.estimator == "extended_twfe":
            return self.control == "never"
        # of a drawn roll-out the adjustment decides, which drawn_findings says
        return self.estimator in {"callaway_santanna", "sun_abraham", "stacked", "staggered"}

    def _adjusts(self) -> bool:
        """Whether the adjustment is one of the estimator."""
        if self.estimator == "staggered":
            return self.adjustment in ADJUSTMENTS
        return (
            self.estimator == "callaway_santanna" and self.adjustment not in ADJUSTMENTS and bool(self.covariates_)
        )

    def _inference_findings(self) -> Iterator[Finding]:
        asked = self.inference
        if asked.vcov is not None and self.estimator in OWN_ERRORS:
            yield Finding(
                code="P14",
                path=("inference", "vcov"),
                message=f"errors of {self.estimator} come from its influence functions",
                fix="remove vcov; few_treated: {methods: [CR2], seed: ...} shows CR2 beside it",
            )
        if self.estimator == "staggered":
            yield from drawn_findings(self)
        if (asked.draws is not None or asked.seed is not None) and self.estimator not in AVERAGED:
            yield Finding(
                code="P14",
                path=("inference", "draws"),
                message="draws are of the bootstrap of callaway_santanna and the randomisation test of staggered",
                fix="remove draws and seed, or write few_treated:",
            )
        elif (asked.draws is None) != (asked.seed is None):
            yield Finding(
                code="P14", path=("inference",), message="draws and seed go together", fix="give both or neither"
            )
        if self.repeats_allocation and self.few_treated and "permutation" not in self.few_treated.methods:
            yield Finding(
                code="P14",
                path=("few_treated", "allocation"),
                message="the allocation is what a permutation repeats, and none is among the methods",
                fix="add permutation to methods, or remove allocation",
            )
        if self.sensitivity.values and self.sensitivity.honest is None:
            yield Finding(
                code="P14",
                path=("sensitivity", "values"),
                message="values are of honest intervals",
                fix="write honest: relative_magnitudes, or remove values",
            )
        if not self._has_reference():
            for name in ("honest", "pre_trend_power"):
                if getattr(self.sensitivity, name):
                    yield Finding(
                        code="P14",
                        path=("sensitivity", name),
                        message=f"{name} needs effects by event that are all relative to one event, which estimator: "
                        f"{self.estimator} has not",
                        fix="take callaway_santanna, sun_abraham, stacked, or extended_twfe with control: never",
                        beside=True,
                    )
        if self.sensitivity.compare and self.few_treated is None:
            yield Finding(
                code="P14",
                path=("sensitivity", "compare"),
                message="the comparison holds permutations, whose draws need a seed",
                fix="write few_treated: {seed: ...}",
            )

    # --- runs

    def run(self, context: Context) -> AnalysisResult:
        """Estimate, with what the plan asks beside it."""
        from wwc_eval.plans.did_supplements import Used, did_supplements
        from wwc_eval.report.record import AnalysisResult

        panel = self._panel(context)
        drawn = self.estimator == "staggered"
        result = tested_effect(self, panel, context) if drawn else self.estimate(panel, context.level)
        effect = self._effect(result, context)
        used = Used.of(context, panel)
        return AnalysisResult(
            id=self.id,
            title=self.title or context.label,
            role=context.outcome.role,
            outcome=context.outcome.name,
            outcome_label=context.label,
            better=context.outcome.better,
            model=self.model,
            method=effect.method,
            formula=f"{context.outcome.name} by {context.unit_column} and {context.panel.period}"  # type: ignore[union-attr]
            + (f", adjusted for {', '.join(self.covariates_)}" if self.covariates_ else ""),
            estimates=(effect,),
            sample={
                **sample_by_arm(
                    context, used, cluster=self.cluster or context.unit_column, n_clusters=panel.n_clusters
                ),
                "completed": {},
                "saturated": False,
            },
            notes=tuple(getattr(result, "notes", ())),
            supplements=did_supplements(self, panel, result, context),
        )

    def _panel(self, context: Context) -> Panel:
        from wwc_eval.did import Panel

        if context.panel is None or context.unit_column is None:
            raise DesignError(
                "model: did needs design: kind: did with its panel", fix="write design: panel: {period, cohort}"
            )
        if len(context.arms) != 2:
            raise DesignError("model: did has one programme", fix="declare two arms: with and without it")
        frame = context.frame.loc[context.frame[context.outcome.name].notna()]
        whole = context.panel.cross_sections
        panel: Panel = Panel(
            frame,
            unit=None if whole else context.unit_column,
            period=context.panel.period,
            outcome=context.outcome.name,
            cohort=context.panel.cohort,
            exposure=self.exposure,
            per=self.per,
            weights=self.weights,
            cluster=self.cluster or (context.unit_column if whole else None),
        )
        return panel

    def estimate(self, panel: Panel, level: float, *, base: str | None = None) -> Any:
        """The estimator's result; with ``base`` effects by event, those of Callaway and Sant'Anna from that base period."""
        from wwc_eval import did

        covariates = self.covariates_ or None
        if self.estimator == "callaway_santanna":
            options: dict[str, Any] = {"base": base or self.base or "varying"}
            if self.adjustment is not None:
                options["method"] = self.adjustment
            found = did.callaway_santanna(
                panel,
                control=self.control or "never",
                anticipation=self.anticipation,
                covariates=covariates,
                level=level,
                **options,
            )
            if self.inference.draws is not None and base is None:
                found = found.bootstrap(draws=self.inference.draws, rng=self.inference.seed)
            return found.aggregate("event" if base else self.aggregate or "simple")
        if self.estimator == "staggered":
            return drawn_effect(self, panel, level, by_event=base is not None)
        verb: Any = getattr(did, self.estimator)
        given: dict[str, Any] = {"level": level}
        if self.estimator in WITH_COVARIATES and covariates:
            given["covariates"] = covariates
        if self.estimator not in OWN_ERRORS:
            given["vcov"] = self.inference.vcov or "CR1S"
        if self.family == "poisson":
            given["family"] = "poisson"
        if self.control is not None and self.estimator in {"extended_twfe", "stacked"}:
            given["control"] = self.control
        return verb(panel, **given)

    def headline(self, result: Any) -> Estimate:
        """The effect that is reported: of Poisson estimators with differences the ratio beside them, first of its table."""
        ratios = getattr(result, "ratios", None)
        overall: Estimate = result.overall if ratios is None else ratios.items[0]
        return overall

    def _effect(self, result: Any, context: Context) -> Estimate:
        """The overall effect under the arms' names."""
        from wwc_eval.did.few_permutation import p_words

        overall = self.headline(result)
        scale = self.scales[0]
        units = context.units or overall.units
        reference, treated = context.arms
        changed: dict[str, Any] = {
            "term": f"{context.arm}[{treated}]",
            "details": {**overall.details, "reference": reference, "level": treated},
        }
        if scale != "rate_ratio":
            changed |= {"scale": scale, "units": units}
        effect = overall.replace(**changed)
        if "randomisation_p" in overall.details:
            tested = p_words(overall.details["randomisation_p"])
            effect = effect.replace(method=f"{effect.method}; randomisation test beside them: {tested}")
        return one_sided(effect, context.outcome.better) if context.sides == 1 else effect

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Refused: how effects differ between units is a question of its own.

        Raises
        ------
        DesignError
            Always, naming what to do instead.
        """
        del context
        raise DesignError(
            f"subgroups by '{by}' vary the analysis '{self.id}', a difference-in-differences over whole units",
            fix="analyse a population: of the units of each group, and compare the effects with their intervals",
        )


ANALYSES: tuple[type[AnalysisFields], ...] = (DidAnalysis,)
