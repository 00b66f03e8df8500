"""The fields of a specification of practice: what may be written, of which type, with words for editors.

Each class is one block of the YAML file. What blocks say together is checked in ``checks``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from wwc_eval.data.yaml_fields import Block, ColumnName, Identifier, Number, OneOrMany, Text
from wwc_eval.fidelity.specification.scales import Scale

__all__ = [
    "RULES",
    "Band",
    "Component",
    "Composite",
    "Drift",
    "Gate",
    "Item",
    "MissingCodes",
    "Requirement",
    "SpecificationFields",
    "Sufficiency",
]

Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$")]
Share = Annotated[int | float, Field(ge=0, le=1)]
Weight = Annotated[int | float, Field(ge=0)]

Meaning = Literal["not_applicable", "not_recorded", "not_seen"]
Rule = Literal["weighted_mean", "geometric", "minimum"]
Analysis = Literal["itt", "cace_iv", "principal_score", "dose_response", "moderation"]

CODES: dict[str, Meaning] = {"NA": "not_applicable", "NR": "not_recorded", "NS": "not_seen"}
RULES: tuple[Rule, ...] = ("weighted_mean", "geometric", "minimum")


class Source(Block):
    """Something that the specification rests on."""

    cite: Text
    doi: Text | None = None


class MissingCodes(Block):
    """Codes that stand for no value, by their three meanings, and what each does."""

    codes: dict[Text, Meaning] = Field(
        default_factory=lambda: dict(CODES),
        description="Code as written in the ratings: what it means",
    )
    not_applicable: Literal["drop", "score_min", "missing"] = Field(
        "drop", description="drop: the item leaves the unit's score and the minimum-valid rule"
    )
    not_recorded: Literal["drop", "score_min", "missing"] = Field(
        "score_min", description="score_min: what is not recorded did not happen"
    )
    not_seen: Literal["drop", "score_min", "missing"] = Field(
        "missing", description="missing: counts against the minimum-valid rule"
    )


class Requirement(Block):
    """What a band needs besides its score."""

    essentials: bool = Field(False, description="Every essential item met")
    cases: Share = Field(
        0.8, description="Share of its cases that must meet them in a unit above the lowest, such as a team"
    )
    components: dict[Identifier, Number] = Field(
        default_factory=dict, description="Component: the least score, in the component's own metric"
    )


class Band(Block):
    """One band; it reaches up to the next one."""

    name: Text
    min: Number | None = Field(None, description="Lowest composite score; left out where there is no composite")
    requires: Requirement = Requirement()


class Sufficiency(Block):
    """Data that a unit needs before its score is interpreted."""

    items: Share = Field(0, description="Share of the applicable items with a value, in each case that counts")
    cases: Annotated[int, Field(ge=1)] = Field(1, description="Cases that are scored")
    raters: Annotated[int, Field(ge=1)] = Field(1, description="Different raters")


class Drift(Block):
    """How change over time is watched."""

    unit: Literal["month", "quarter", "year"] = "quarter"
    baseline: Annotated[int, Field(ge=2)] = Field(4, description="First periods, which set the level to keep to")
    smoothing: Annotated[float, Field(gt=0, le=1)] = Field(0.3, description="Weight of the newest period in EWMA")
    limit: Annotated[int | float, Field(gt=0)] = Field(2.7, description="Control limit in standard errors")


class Practice(Block):
    """What the specification is of, its units and its bands."""

    id: Identifier
    version: Version = Field(description="Semantic version in quotes, such as '1.0.0'")
    practice: Text = Field(description="The practice, in words")
    source: list[Source] = Field(default_factory=list)
    units: list[Identifier] | dict[Identifier, Identifier | None] = Field(
        description="Units from the lowest to the highest, or unit: the unit that it belongs to", min_length=1
    )
    respondents: dict[Identifier, Weight] = Field(
        default_factory=dict, description="Kind of respondent: its weight where several answer the same item"
    )
    score_range: Annotated[list[Number], Field(min_length=2, max_length=2)] = [0, 100]  # noqa: RUF012  frozen fields
    bands: list[Band] = Field(min_length=1)
    band_confidence: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        0.8, description="Probability with which a unit must reach a band, or it is 'indeterminate'"
    )
    missing: MissingCodes = MissingCodes()
    sufficiency: dict[Identifier, Sufficiency] = Field(default_factory=dict, description="Unit: what it needs")
    drift: Drift = Drift()


class Gate(Block):
    """What happens where a component is too high: contra-indicated practice caps the score."""

    max: Number = Field(description="Highest tolerable score of the component, in the items' own values")
    effect: Literal["cap", "lowest_band"]
    cap: Number | None = Field(None, description="Highest composite score that is left")


class Component(Block):
    """A part of the practice, and how its items become one score."""

    id: Identifier
    label: Text | None = None
    dimension: Literal["adherence", "exposure", "quality", "responsiveness", "differentiation", "context"] = Field(
        description="After Carroll and others 2007"
    )
    role: Literal["essential", "core", "adaptable", "proscribed"]
    weight: Weight = Field(description="Weight in the composite; the weights add up to 1")
    aggregate: Literal[
        "mean", "weighted_mean", "geometric", "minimum", "maximum", "sum", "count_met", "share_met", "ratio"
    ] = "mean"
    metric: Literal["percent", "native"] = Field(
        "percent", description="percent of maximum possible, or native: the items' own values"
    )
    min_valid: Share = Field(0.5, description="Share of the applicable items' weight that needs a value")
    gate: Gate | None = None
    numerator: list[Identifier] = Field(default_factory=list, description="Of a ratio: items that are added up")
    denominator: list[Identifier] = Field(default_factory=list, description="Of a ratio: items to divide by")


class Item(Block):
    """One thing to be judged or reported."""

    id: Identifier
    component: Identifier
    text: Text = Field(description="What is judged, in your own words")
    source: list[
        Literal["case_file", "observation", "audio", "worker_survey", "family_interview", "admin_data"]
    ] = Field(min_length=1)
    respondents: OneOrMany = Field(default_factory=list, description="Kinds of respondent; any where missing")
    unit: Identifier | None = Field(None, description="Unit that it describes; the lowest where missing")
    scale: Annotated[Scale, Field(discriminator="type")]
    reverse: bool = Field(False, description="High values are bad")
    weight: Weight = 1
    met_at: Number | None = Field(None, description="Value from which it is met; up to which, where reversed")
    essential: bool = False
    applies_if: Text | None = Field(
        None, description="Condition on columns of the ratings, such as child_age >= 4"
    )
    missing: MissingCodes | None = Field(None, description="Where it differs from the specification's")


class Composite(Block):
    """How components become one score."""

    rule: Literal["weighted_mean", "geometric", "minimum", "sum", "none"] = Field(
        "weighted_mean", description="sum: of native sums; none: bands rest on components alone"
    )
    sensitivity: list[Rule] = Field(
        default_factory=lambda: list(RULES),
        description="Rules to be shown side by side",
    )
    min_valid: Share = Field(0.5, description="Share of the components' weight that needs a score")


class Scoring(Block):
    """From components to units."""

    composite: Composite = Composite()
    rollup: dict[Identifier, Literal["shrunk", "mean"]] = Field(
        default_factory=dict,
        description="Unit: shrunk (empirical Bayes with rater severity, where missing) or plain mean of its cases",
    )
    raters: Literal["random", "ignored"] = Field("random", description="Whether raters differ in severity")
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


class Reliability(Block):
    """What the study of reliability is to be."""

    double_rated_share: Share | None = Field(None, description="Share of cases that two or more raters judge")
    raters: Annotated[int, Field(ge=2)] | None = Field(None, description="How many raters judge")
    assignment: Literal["crossed", "nested"] | None = Field(
        None, description="crossed: raters judge in several of the highest units; nested: each in one alone"
    )
    minimum: dict[Text, Number] = Field(
        default_factory=dict,
        description="Coefficient: its least value. Of items: cohen_kappa, ac2 and the others of we.agreement; of composites: "
        "icc_single, icc_average, or a kind such as 'ICC(3,1)'; of how items hang together: alpha, omega; of unit "
        "means: dependability_<unit>",
    )
    weights: Literal["identity", "linear", "quadratic", "ordinal"] | None = Field(
        None,
        description="Credit for near agreement on an item; where missing, quadratic for ac2 and krippendorff_alpha, none else",
    )


class Differentiation(Block):
    """Whether both arms are measured with the same items."""

    arm: ColumnName = Field("arm", description="Column of the arm in the ratings")
    measured_in: list[Text] = Field(min_length=1, description="Arms that are measured")
    reference: Text | None = Field(
        None, description="Arm of usual practice, with which the other is compared; the last where missing"
    )


class OutcomeLink(Block):
    """How the score enters the evaluation."""

    analyses: list[Analysis] = Field(min_length=1)
    exposure: Text = Field("composite", description="composite, or a component")
    instrument: ColumnName | None = Field(
        None, description="Column of the outcomes that says what was allocated; that of the arm where missing"
    )
    cluster: Identifier | None = Field(None, description="Unit by which errors are clustered")
    threshold: Number | None = Field(
        None,
        description="Score from which fidelity is high, for principal_score; that of the highest band where missing",
    )
    measured: Literal["before", "after"] | None = Field(
        None,
        description="Whether fidelity was measured before or after allocation, for moderation; after where missing",
    )


class SpecificationFields(Block):
    """A whole specification of practice."""

    schema_version: Literal[1]
    spec: Practice
    components: list[Component] = Field(min_length=1)
    items: list[Item] = Field(min_length=1)
    scoring: Scoring = Scoring()
    reliability: Reliability | None = None
    differentiation: Differentiation | None = None
    outcome_link: OutcomeLink | None = None
