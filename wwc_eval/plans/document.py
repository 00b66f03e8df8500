"""The fields of an analysis plan: what may be written, of which type, with words for editors.

Each class is one block of the YAML file. What a block means together with others is checked in ``checks``; what
an analysis may ask of a room stands in ``vocabulary/<room>.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator

from wwc_eval.plans.fields import Block, ColumnName, DateText, Identifier, Number, OneOrMany, Text
from wwc_eval.plans.power_fields import PlannedPower

__all__ = [
    "Change",
    "ColumnDeclaration",
    "DataFile",
    "DataSection",
    "Design",
    "Deviation",
    "Disclosure",
    "Estimand",
    "Exclusion",
    "Fidelity",
    "Outcome",
    "PanelDesign",
    "Population",
    "Subgroup",
    "Waiver",
    "Wedge",
]


class Registry(Block):
    """Public registration of the trial."""

    name: Text
    url: Text | None = None
    date: DateText | None = None


class Contact(Block):
    """Somebody who answers for the plan."""

    name: Text
    role: Text | None = None
    email: Text | None = None


class Estimand(Block):
    """What is to be estimated, in words and in the names used below."""

    population: Text = Field(description="Who the answer is about")
    treatment: Text = Field(description="What is compared, in words")
    comparator: Text = Field(description="What it is compared with, in words")
    outcome: ColumnName = Field(description="Name of the primary outcome")
    summary: Identifier = Field(description="Effect measure of the primary analysis, such as risk_difference")
    treatment_arm: ColumnName | None = Field(None, description="Arm of the design that gets the treatment")
    comparator_arm: ColumnName | None = Field(
        None, description="Arm of the design that is the comparator and reference level"
    )
    intercurrent: dict[str, Text] = Field(default_factory=dict, description="Event: how it is handled")


class Target(Block):
    """What the trial was sized for, and the test that its intervals belong to."""

    alpha: Number = 0.05
    sides: Literal[1, 2] = 2
    power: Number | None = None
    mdes: Number | None = None


class Period(Block):
    """One period of a stepped wedge: its value in the data, and the first and last day on which rows enter it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)
    name: Text = Field(description="Its value in the period column")
    start: DateText = Field(alias="from", description="First day")
    end: DateText = Field(alias="to", description="Last day")


class Wedge(Block):
    """How clusters cross over in a stepped wedge."""

    period: ColumnName = Field(description="Column of the period")
    periods: list[Period] = Field(
        default_factory=list,
        description="Periods in order with their dates; where missing, as the column declares",
    )
    go_live: dict[Text, DateText] = Field(
        default_factory=dict, description="Cluster: the day on which it crosses over to the programme"
    )
    transition: Text | None = Field(
        None,
        description="Condition for rows of cells in transition; leave them out by an exclusion or a population",
    )
    time_on_treatment: ColumnName | None = Field(
        None, description="Column with the time since go-live, fixed by the design"
    )


class PanelDesign(Block):
    """Units over time, of which some began the programme and when."""

    period: ColumnName = Field(description="Column of the period: numbers, years, quarters or dates")
    cohort: ColumnName = Field(
        description="Column of the first period with the programme; blank, 0 or infinity where it never began"
    )
    cross_sections: bool = Field(
        False, description="Rows are participants seen once in a unit and period, not the units themselves"
    )


class Design(Block):
    """How units were assigned to arms."""

    kind: Literal["individual", "cluster", "stepped_wedge", "did", "pilot"] = Field(
        description="Whether persons/families or clusters were randomised; stepped_wedge: clusters cross over in turn; "
        "did: units began on their own at different times (difference-in-differences); pilot: progression criteria "
        "decide, and one arm is enough"
    )
    unit: Text = Field(description="What is randomised, such as family")
    unit_column: ColumnName | None = Field(
        None, description="Column that identifies it; where missing, <unit>_id or <unit>"
    )
    units: Text | None = Field(None, description="Plural of unit, for the report")
    within: OneOrMany = Field(default_factory=list, description="Strata or blocks of the allocation")
    levels: list[ColumnName] = Field(
        default_factory=list, description="Columns of nested levels from the lowest to the highest"
    )
    arms: dict[ColumnName, int] = Field(description="Arm: its share in the allocation ratio", min_length=1)
    arm_column: ColumnName = Field("arm", description="Column that holds the arm")
    clusters: int | dict[ColumnName, int] | None = Field(
        None, description="Clusters in each arm (arm: number), or in all: in equal shares, or of the wedge"
    )
    wedge: Wedge | None = Field(None, description="Of a stepped wedge: periods and who crosses over when")
    panel: PanelDesign | None = Field(None, description="Of kind: did: columns of period and cohort")
    assumptions: dict[Identifier, Number | Text] = Field(
        default_factory=dict,
        description="What the sample size rests on, in words and numbers that nothing is derived from",
    )
    power: PlannedPower | None = Field(
        None, description="What the sample size rests on, in the form from which power is computed (P07)"
    )
    target: Target = Target()

    @field_validator("arms")
    @classmethod
    def _two_arms(cls, arms: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        if len(arms) < 2 and info.data.get("kind") != "pilot":
            raise ValueError("a design other than a pilot compares at least two arms")
        return arms

    @model_validator(mode="after")
    def _wedge_where_stepped(self) -> Self:
        if (self.kind == "stepped_wedge") != (self.wedge is not None):
            raise ValueError("kind: stepped_wedge and the block wedge go together")
        if (self.kind == "did") != (self.panel is not None):
            raise ValueError("kind: did and the block panel go together")
        if self.power is not None and self.power.of_wedge != (self.wedge is not None):
            raise ValueError("the block power has levels, or for a stepped wedge cell_size")
        return self


class Seed(Block):
    """Where the seed of the allocation comes from."""

    rule: Text
    public_value: Text | None = None


class Randomisation(Block):
    """How units are allocated: a scheme with its options, or a description in words."""

    method: Text = Field(
        description="simple, complete, stratified, permuted_blocks, matched_pairs, constrained, rerandomised, "
        "minimisation, stepped_wedge_sequences or saturation; other words are a description"
    )
    by: OneOrMany = Field(default_factory=list, description="Strata within which units are allocated")
    sizes: list[int] = Field(default_factory=list, description="Sizes of permuted blocks")
    options: dict[Identifier, Any] = Field(
        default_factory=dict, description="Further options of the scheme, such as on, accept, p_best, sequences"
    )
    expected: dict[Text, int] = Field(
        default_factory=dict, description="Stratum: units expected in it; any one name where there are no strata"
    )
    seed: Seed | None = None
    by_whom: Text | None = None
    date: DateText | None = None


class ColumnDeclaration(Block):
    """One column of a data file."""

    type: Literal["text", "integer", "number", "binary", "category", "date", "local_authority"]
    label: Text | None = Field(None, description="Words for the report")
    description: Text | None = None
    units: Text | None = None
    levels: list[Text] | None = Field(None, description="Allowed values in order, the reference level first")
    min: Number | DateText | None = None
    max: Number | DateText | None = None
    missing: list[str] = Field(default_factory=list, description="Codes that mean missing; '' is an empty cell")
    unique: bool = False
    required: bool = True
    format: Text | None = Field(None, description="Format of a date, such as %d/%m/%Y; ISO where missing")
    pattern: Text | None = Field(None, description="Regular expression that a text must match as a whole")
    baseline: bool = Field(False, description="Measured before randomisation: may be a covariate or subgroup")


class DataFile(Block):
    """One data file and its columns."""

    file: Text = Field(description="Path relative to this plan, inside the project")
    grain: Text | None = Field(None, description="What one row is, such as 'one row per child'")
    row: Text | None = Field(None, description="Word for what one row is, such as child")
    rows: Text | None = Field(None, description="Its plural, such as children")
    key: OneOrMany = Field(default_factory=list, description="Columns that identify a row")
    columns: dict[ColumnName, ColumnDeclaration] = Field(min_length=1)
    expected_rows: list[int] | None = Field(None, min_length=2, max_length=2, description="[fewest, most]")
    encoding: Text = "utf-8"
    delimiter: Text = ","
    sheet: Text | None = None


class Join(Block):
    """Columns of another file joined to the main file."""

    file: Identifier = Field(description="Name of the file that is joined")
    on: OneOrMany
    unmatched: Literal["error", "keep"] = Field("error", description="What to do with rows without a partner")


class Exclusion(Block):
    """Rows that are removed before any analysis."""

    rule: Text = Field(description="Condition that holds for the rows to remove")
    reason: Text


class DataSection(Block):
    """Data files by name, how they are joined, and who is excluded."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, DataFile] = Field(init=False)

    main_file: Identifier | None = Field(None, description="The file that is analysed, where there are several")
    joins: list[Join] = Field(default_factory=list)
    exclusions: list[Exclusion] = Field(default_factory=list)

    @property
    def files(self) -> dict[str, DataFile]:
        """Data files by name."""
        return dict(self.__pydantic_extra__ or {})


class Window(Block):
    """When the outcome is counted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)
    start: Text = Field(alias="from", description="From which event, such as randomisation")
    months: Number = Field(description="Length in months")
    exposure: Text | None = Field(
        None, description="Which arm a row counts for whose window crosses a go-live date (P22)"
    )


class Outcome(Block):
    """One outcome."""

    name: ColumnName = Field(description="Column that holds it")
    role: Literal["primary", "secondary", "exploratory"]
    type: Literal["binary", "count", "continuous"]
    trials: ColumnName | None = Field(
        None,
        description="Column with how many each row counts among, where a binary outcome is a number of successes",
    )
    label: Text | None = Field(None, description="Words for the report")
    better: Literal["lower", "higher", "neither"] = "neither"
    smallest_worthwhile: Number | None = Field(
        None, description="Smallest effect worth having, in the units of the estimand's summary"
    )
    window: Window | None = None


class Population(Block):
    """A named set of rows to analyse besides intention to treat."""

    rule: Text = Field(description="Condition that holds for the rows to keep")
    why: Text


class Change(Block):
    """An analysis again with some of its fields replaced."""

    id: Identifier
    of: Identifier = Field(description="The analysis that is varied")
    title: Text | None = None
    change: dict[str, Any] = Field(min_length=1, description="Fields of the analysis and their new values")
    why: Text | None = None


class Subgroup(Block):
    """Whether the effect differs between groups known at baseline."""

    id: Identifier
    of: Identifier
    by: Text = Field(description="A baseline column, or a condition on baseline columns")
    title: Text | None = None
    method: Literal["interaction", "separate"] = "interaction"
    why: Text


class Multiplicity(Block):
    """Families of tests whose p-values are adjusted together."""

    method: Literal["holm", "hochberg", "bonferroni", "benjamini_hochberg"] = "holm"
    families: dict[Identifier, list[Identifier]] = Field(default_factory=dict)


class Fidelity(Block):
    """Practice scored against a specification of high-quality practice."""

    specification: Text = Field(description="Path of the specification (YAML), relative to the plan")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Hash of its content, as wwc-eval fidelity SPEC shows it (P17)"
    )
    ratings: Identifier = Field(description="Name of the data file with one row a rating")
    units: list[ColumnName] = Field(
        default_factory=list,
        description="Columns of the units, the lowest first; the specification's names if empty",
    )
    by: ColumnName | None = Field(None, description="Level that is shown; the highest where missing")
    band: Text | None = Field(None, description="Band of high-quality practice that units are to reach")


class DecisionRules(Block):
    """How the tiers of a pilot's criteria add up to stop, amend or go; a stop comes before a go."""

    stop: Literal["any_essential_red", "any_red", "most_red"] = Field(
        "any_essential_red", description="A red on an essential criterion, any red, or red on more than half"
    )
    go: Literal["all_green", "essential_green", "no_red"] = Field(
        "all_green", description="All green, essential ones green and none red, or none red; else amend"
    )


class Cost(Block):
    """What the practice costs, as found elsewhere: shown beside a pilot's criteria, never calculated with."""

    what: Text = Field(description="What is paid for, such as staff")
    amount: Number = Field(ge=0, description="Pounds")
    per: Text = Field("child", description="Of what it is the cost")
    year: Text = Field(description="Year of the prices, such as 2025-26")
    source: Text


class Disclosure(Block):
    """Which small numbers are not shown."""

    profile: Literal["dfe", "ons_srs", "strict"] = "dfe"
    threshold: int = Field(10, ge=0, description="Counts below it are not shown; 0 shows all and needs a reason")
    reason: Text | None = Field(None, description="Why a threshold below 5 is acceptable")


class Waiver(Block):
    """A check that does not apply, with the reason."""

    check: Text
    analysis: Identifier | None = None
    reason: Text


class Deviation(Block):
    """A departure from the locked plan; the planned analysis still runs and is shown beside it."""

    id: Identifier
    field: Text = Field(description="Which field departs, such as analyses.primary.formula")
    old: Any = None
    new: Any = None
    of: Identifier | None = Field(None, description="Analysis to run again with the change")
    change: dict[str, Any] = Field(default_factory=dict)
    who: Text
    when: DateText
    knowledge: Literal["no data", "masked data", "unmasked data"] = Field(
        description="What the person who decided knew of the data"
    )
    reason: Text
    impact: Text


class PlanFields(Block):
    """Every field of a plan but the analyses, whose fields belong to the rooms."""

    schema_version: Literal[1]
    id: Identifier
    title: Text
    question: Text
    registry: Registry | None = None
    contacts: list[Contact] = Field(default_factory=list)
    estimand: Estimand
    design: Design
    randomisation: Randomisation | None = None
    data: DataSection
    outcomes: list[Outcome] = Field(min_length=1)
    populations: dict[Identifier, Population] = Field(default_factory=dict)
    sensitivity: list[Change] = Field(default_factory=list)
    subgroups: list[Subgroup] = Field(default_factory=list)
    multiplicity: Multiplicity = Multiplicity()
    fidelity: Fidelity | None = Field(None, description="Practice scored against a specification")
    decision_rules: DecisionRules | None = Field(None, description="Of a pilot: how its criteria decide")
    costs: list[Cost] = Field(default_factory=list, description="Costs shown beside a pilot's criteria")
    disclosure: Disclosure = Disclosure()
    waivers: list[Waiver] = Field(default_factory=list)
    deviations: list[Deviation] = Field(default_factory=list)
