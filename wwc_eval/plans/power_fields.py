"""What the sample size of a plan rests on: the block ``design: power:``, from which a design of the power room is built."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wwc_eval.plans.fields import Block, Number, Text

__all__ = ["PlannedBaseline", "PlannedLevel", "PlannedOutcome", "PlannedPower"]

TRIAL = ("levels", "assigned", "allocation", "block_effects", "baseline", "dilution", "crossover", "size_method")
"""Fields of a trial of nested levels."""
WEDGE = (
    "cell_size",
    "icc",
    "cac",
    "iac",
    "decay",
    "time",
    "strata",
    "steps",
    "baseline_periods",
    "periods_per_step",
)
"""Fields of a stepped wedge."""


class PlannedLevel(Block):
    """One level of the trial, with what is expected of it."""

    name: Text = Field(description="What the units are, such as child, team, local authority")
    n: Number = Field(gt=0, description="Units for each unit of the next level up; of the top level, in all")
    icc: Number = Field(0, ge=0, lt=1, description="Share of the outcome's variance between its units")
    k: Number | None = Field(
        None, ge=0, description="Instead of icc: coefficient of variation of true risks or rates"
    )
    r2: Number = Field(0, ge=0, lt=1, description="Share of this level's variance that covariates explain")
    covariates: int = Field(0, ge=0, description="Covariates of this level")
    size_cv: Number = Field(0, ge=0, description="Coefficient of variation of n")
    attrition: Number = Field(0, ge=0, lt=1, description="Share of its units lost before analysis")
    effect_heterogeneity: Number = Field(
        0, ge=0, description="Variance of the effect between units / variance of the outcome between them"
    )


class PlannedOutcome(Block):
    """The primary outcome as the sample size takes it."""

    type: Literal["binary", "continuous", "rate"] | None = Field(
        None, description="That of the primary outcome where missing (a count is a rate)"
    )
    control: Number | None = Field(None, gt=0, description="Risk (a proportion) or rate in the comparator arm")
    variance: Literal["unpooled", "pooled", "null", "fleiss", "arcsine", "logit"] | None = Field(
        None, description="Variance of a binary outcome's test; unpooled where missing"
    )
    exposure: Number | None = Field(None, gt=0, description="Exposure of one unit of the lowest level, of a rate")
    test: Literal["difference", "log"] | None = Field(None, description="Scale of the test of a rate")
    dispersion: Number | None = Field(None, gt=0, description="Variance / mean of a count; 1 where missing")
    sd: Number | None = Field(None, gt=0, description="Total standard deviation of a continuous outcome")
    mean: Number | None = Field(None, description="Mean of a continuous outcome, needed where a level has k")


class PlannedBaseline(Block):
    """A baseline measure of the outcome."""

    correlation: dict[Text, Number] = Field(description="Level: correlation of baseline and outcome", min_length=1)
    method: Literal["ancova", "change"] = "ancova"


class PlannedPower(Block):
    """Levels of a trial, or cells of a stepped wedge, with outcome and convention."""

    levels: list[PlannedLevel] = Field(
        default_factory=list, description="From the lowest to the top", max_length=4
    )
    assigned: Text | None = Field(
        None, description="Level that is randomised; the one named as unit where missing"
    )
    allocation: Number | None = Field(
        None, gt=0, lt=1, description="Share of the treated arm; as clusters or arms say where missing"
    )
    block_effects: Literal["random", "fixed", "constant"] | None = Field(
        None, description="Effects of the levels above the assigned one; random where missing"
    )
    baseline: PlannedBaseline | None = None
    dilution: Number = Field(0, ge=0, lt=1, description="Share of the treated arm without the programme")
    crossover: Number = Field(0, ge=0, lt=1, description="Share of the comparator arm with the programme")
    size_method: Literal["taylor", "eldridge", "unweighted", "ignored"] | None = Field(
        None, description="How size_cv counts; taylor where missing"
    )
    cell_size: Number | list[Number] | list[list[Number]] | None = Field(
        None,
        description="Rows analysed in a cell of a wedge: one number, one a period, or for each cluster, as they cross "
        "over, one a period",
    )
    icc: Number = Field(0, ge=0, lt=1, description="Share of variance between clusters and their periods")
    cac: Number = Field(1, ge=0, le=1, description="Cluster autocorrelation")
    iac: Number = Field(0, ge=0, le=1, description="Individual autocorrelation, of a cohort")
    decay: Number | None = Field(None, ge=0, le=1, description="Correlation of adjacent periods, instead of cac")
    time: Literal["categorical", "linear", "none"] = "categorical"
    steps: int | None = Field(None, ge=1, description="Steps of a wedge whose order is not drawn yet")
    strata: list[Text] = Field(
        default_factory=list,
        description="Stratum of each cluster, as they cross over, within which the order was drawn",
    )
    baseline_periods: int = Field(1, ge=0, description="Periods before the first step")
    periods_per_step: int = Field(1, ge=1)
    outcome: PlannedOutcome = PlannedOutcome()
    df: Literal["z", "between_within", "clusters", "satterthwaite"] | Number | None = Field(
        None, description="Degrees of freedom where they are not those of the design; z for a normal test"
    )
    convention: Literal[
        "exact",
        "powerup",
        "bloom",
        "shifted_t",
        "upper_tail",
        "normal",
        "normal_upper",
        "crtsize",
        "hayes_bennett",
    ] = "exact"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.levels) == (self.cell_size is not None):
            raise ValueError("the block power has either levels, or the cell_size of a stepped wedge")
        foreign = [name for name in (WEDGE if self.levels else TRIAL) if name in self.model_fields_set]
        if foreign:
            kind = "a trial of levels" if self.levels else "a stepped wedge"
            raise ValueError(f"the block power of {kind} has no {', '.join(foreign)}")
        return self

    @property
    def of_wedge(self) -> bool:
        """Whether it is of a stepped wedge."""
        return self.cell_size is not None
