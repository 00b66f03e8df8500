"""Fields of models whose effects are averages over the rows: whose, with bootstrap intervals, as numbers a year."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from wwc_eval.errors import WwcError
from wwc_eval.estimate import Estimate
from wwc_eval.plans.document import Outcome
from wwc_eval.plans.effects import SIZE_SCALES, with_units
from wwc_eval.plans.fields import Block, ColumnName, Number, Text
from wwc_eval.plans.modelled import ModelledAnalysis
from wwc_eval.plans.vocabulary.base import Context, Finding
from wwc_eval.plans.wild import Wild, wild_estimate, wild_findings
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.report.record import AnalysisResult, Supplement

__all__ = ["AveragedAnalysis", "Bootstrap", "Impact"]

CONDITIONAL = SIZE_SCALES | {"coefficient", "odds_ratio"}
"""Measures that are no averages over the rows."""


class Bootstrap(Block):
    """Intervals of averaged effects from replicates, in place of the delta method."""

    seed: int = Field(ge=0, description="Seed of the replicates")
    reps: int = Field(999, ge=99, description="Number of replicates")
    draw: Literal["parametric", "clusters"] = Field(
        "clusters", description="Whole clusters with replacement, or outcomes from the fitted model (multilevel)"
    )
    strata: ColumnName | None = Field(None, description="Clusters are drawn within its values, such as the arm")
    interval: Literal["percentile", "basic"] = Field(
        "percentile", description="Percentiles of the replicates, or these reflected about the estimate"
    )


class Impact(Block):
    """The effect as numbers a year, and relative to what would have happened without the programme."""

    per_year: Number = Field(gt=0, description="Participants a year (for a rate, units of exposure)")
    unit: Text | None = Field(None, description="Word for them; that of the rows where missing")
    event: Text | None = Field(None, description="Word for what is counted; the outcome's label where missing")


class AveragedAnalysis(ModelledAnalysis):
    """A model whose risk, rate and mean differences are averaged over the rows analysed."""

    average: Literal["participants", "clusters"] = Field(
        "participants", description="Whether every row counts once, or every cluster that was assigned"
    )
    bootstrap: Bootstrap | None = Field(None, description="Intervals from replicates")
    impact: Impact | None = Field(None, description="Effects as numbers a year")
    wild: Wild | None = Field(None, description="Wild cluster bootstrap of the coefficient (linear models)")

    @property
    @abstractmethod
    def simulates(self) -> bool:
        """Whether outcomes can be drawn from the fitted model."""

    @property
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named outside the formula, the strata of a bootstrap among them."""
        found = dict(super().columns)
        if self.bootstrap is not None and self.bootstrap.strata is not None:
            found["bootstrap", "strata"] = self.bootstrap.strata
        return found

    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """What every model finds, and options of averages that go with none."""
        yield from super().findings(outcome)
        yield from wild_findings(self)
        averaged = set(self.scales) - CONDITIONAL
        for name in ("average", "bootstrap"):
            asked = self.average == "clusters" if name == "average" else self.bootstrap is not None
            if asked and not averaged:
                yield Finding(
                    code="P14",
                    path=(name,),
                    message=f"{name} is of averaged effects, and only {', '.join(self.scales)} is reported",
                    fix="report a difference, a risk ratio or a rate ratio, or remove it",
                )
        if self.bootstrap is None:
            return
        if self.bootstrap.draw == "parametric" and not self.simulates:
            yield Finding(
                code="P14",
                path=("bootstrap", "draw"),
                message="outcomes cannot be drawn from a regression",
                fix="write draw: clusters",
            )
        if self.bootstrap.draw == "parametric" and self.bootstrap.strata is not None:
            yield Finding(
                code="P14",
                path=("bootstrap", "strata"),
                message="strata are of draws of clusters",
                fix="write draw: clusters, or remove strata",
            )
        if self.bootstrap.draw == "clusters" and self.cluster is None:
            yield Finding(
                code="P14",
                path=("bootstrap",),
                message="there are no clusters to draw",
                fix="write inference: {vcov: CR2, cluster: ...}",
            )

    def _coefficients(self, fit: Any, terms: list[str], context: Context) -> list[Estimate]:
        """Coefficients of the arms, with the inference asked for."""
        if self.wild is None:
            return with_units([fit.estimates[term] for term in terms], context)
        return with_units(
            [
                wild_estimate(self.wild, fit, term, cluster=self.inference_cluster, level=context.level)
                for term in terms
            ],
            context,
        )

    def _averaged(self, fit: Any, context: Context, scale: str) -> list[Estimate]:
        """Averaged effects on one scale."""
        return with_units(fit.marginal_effect(context.arm, scale=scale, **self._options(context)), context)

    def _options(self, context: Context) -> dict[str, Any]:
        """Options of ``marginal_effect`` and ``impact``; none where the plan leaves all as it is."""
        options: dict[str, Any] = {}
        if self.average == "clusters":
            options |= {"average": "clusters", "cluster": context.unit_column}
        if self.bootstrap is not None:
            kind = {"percentile": "bootstrap", "basic": "basic"}[self.bootstrap.interval]
            options |= {
                "interval": kind,
                "reps": self.bootstrap.reps,
                "rng": self.bootstrap.seed,
                "progress": False,
            }
            if self.bootstrap.strata is not None:
                options["strata"] = self.bootstrap.strata
            if self.simulates:
                options["draw"] = self.bootstrap.draw
            if self.bootstrap.draw == "clusters" and self.average == "participants":
                options["cluster"] = self.cluster
        return options

    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Fit with the effect differing by ``by``; groups are averaged over participants, by the delta method."""
        result = super().run_subgroup(context, by)
        if self.average == "participants" and self.bootstrap is None:
            return result
        note = "Effects within groups are averages over participants with intervals by the delta method."
        return replace(result, notes=(*result.notes, note))

    def _supplements(self, fit: Any, context: Context) -> tuple[Supplement, ...]:
        """Numbers a year, and in a cluster trial whether cluster size matters."""
        found = [] if self.impact is None else self._impact(fit, context, self.impact)
        if context.design == "cluster" and not context.changed:
            found += _cluster_size(fit, context)
        return tuple(found)

    def _impact(self, fit: Any, context: Context, asked: Impact) -> list[Supplement]:
        from wwc_eval.report.record import Supplement

        found = fit.impact(
            context.arm,
            per_year=asked.per_year,
            unit=asked.unit or context.rows,
            event=asked.event or context.label.lower(),
            **self._options(context),
        )
        several = found if isinstance(found, list) else [found]
        return [
            Supplement(
                key=f"impact {item.term}",
                title=f"{item.term}: {asked.per_year:,g} {item.unit} a year",
                table=_impact_table(item, context.level),
            )
            for item in several
        ]


def _impact_table(item: Any, level: float) -> Table:
    """An impact's figures; relative change in percent."""
    words = {
        "without": f"{item.event} a year without",
        "with": f"{item.event} a year with",
        "difference": f"difference, {item.event} a year",
        "relative": "change relative to without, percent",
        "number_needed": f"{item.unit} for one more or fewer",
    }
    rows = []
    for row in item.to_dicts():
        times = 100.0 if row["figure"] == "relative" else 1.0
        numbers = {name: times * row[name] for name in ("estimate", "ci_low", "ci_high")}
        rows.append({"figure": words.get(row["figure"], row["figure"]), **numbers, "p_value": row["p_value"]})
    columns = [
        Column(name="figure"),
        Column(name="estimate", kind="number", digits=1),
        Column(name="ci_low", label=f"{100 * level:.6g}% low", kind="number", digits=1),
        Column(name="ci_high", label=f"{100 * level:.6g}% high", kind="number", digits=1),
        Column(name="p_value", label="p", kind="p_value"),
    ]
    return Table(rows, columns, notes=item.notes)


def _cluster_size(fit: Any, context: Context) -> list[Supplement]:
    """Participant-average and cluster-average effects with their difference; nothing where they cannot be had."""
    from wwc_eval.report.record import Supplement

    if not hasattr(fit, "cluster_size_check") or context.unit_column is None:
        return []
    try:
        check = fit.cluster_size_check(context.arm, cluster=context.unit_column)
    except WwcError:
        return []
    names = ("term", "estimate", "se", "df", "p_value", "ci_low", "ci_high")
    rows = [{name: getattr(item, name) for name in names} for item in (*check.estimates, *check.coefficients)]
    columns = [
        Column(name="term", label="what"),
        Column(name="estimate", kind="number", digits=4),
        Column(name="se", label="SE", kind="number", digits=4),
        Column(name="df", kind="number", digits=1),
        Column(name="p_value", label="p", kind="p_value"),
        Column(name="ci_low", label=f"{100 * context.level:.6g}% low", kind="number", digits=4),
        Column(name="ci_high", label=f"{100 * context.level:.6g}% high", kind="number", digits=4),
    ]
    return [
        Supplement(
            key="cluster_size",
            title="Whether cluster size matters",
            table=Table(rows, columns, notes=check.notes),
        )
    ]
