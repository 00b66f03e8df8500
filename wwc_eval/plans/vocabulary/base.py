"""What every analysis of a plan has in common, whichever room runs it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from wwc_eval.plans.document import Outcome, PanelDesign
from wwc_eval.plans.fields import Block, ColumnName, Identifier, Text

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.data.disclosure import DisclosureRule
    from wwc_eval.plans.allocating import Assigned
    from wwc_eval.report.record import AnalysisResult

__all__ = ["AnalysisFields", "Context", "Finding", "Missing"]

INTENTION_TO_TREAT = "intention_to_treat"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of an analysis about itself: check, field inside the analysis, message and fix.

    ``beside`` marks what stands beside an effect: an analysis that varies another shows its effect alone.
    """

    code: str
    path: tuple[str | int, ...]
    message: str
    fix: str = ""
    beside: bool = False


@dataclass(frozen=True, kw_only=True)
class Context:
    """What an analysis needs from the run.

    Parameters
    ----------
    frame : DataFrame
        Rows of the analysis population, columns as declared.
    arm, arms : str, tuple of str
        Arm column and its levels, the reference first.
    levels : mapping
        Declared levels of every categorical column.
    outcome : Outcome
        The outcome as declared.
    label : str
        Words for the outcome.
    units : str
        Units of the outcome.
    unit_column : str, optional
        What was randomised.
    level : float
        Coverage of intervals.
    sides : {1, 2}
        Sides of the test.
    rule : DisclosureRule
        Which small counts are hidden.
    design : {"individual", "cluster", "stepped_wedge"}
        Kind of the design.
    rows : str
        Words for the rows.
    changed : frozenset of str
        Fields that differ from the planned analysis which this one varies; empty for a planned one. What takes long
        and would say the same again may be left out.
    assigned : Assigned, optional
        What was allocated, for tests over the plan's own scheme.
    panel : PanelDesign, optional
        Columns of period and cohort of a difference-in-differences.
    """

    frame: pd.DataFrame
    arm: str
    arms: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    outcome: Outcome
    label: str
    units: str
    unit_column: str | None
    level: float
    sides: int
    rule: DisclosureRule
    design: str = "individual"
    rows: str = "participants"
    changed: frozenset[str] = frozenset()
    assigned: Assigned | None = None
    panel: PanelDesign | None = None


class Missing(Block):
    """How missing values of covariates are handled; rows without the outcome are never used."""

    method: Literal["complete_case", "missing_indicator"] = "complete_case"
    columns: list[ColumnName] = Field(
        default_factory=list, description="Covariates that get an indicator; all of them where empty"
    )


class AnalysisFields(Block):
    """Fields of every analysis."""

    id: Identifier
    title: Text | None = None
    outcome: ColumnName = Field(description="Name of an outcome above")
    population: Identifier = Field(INTENTION_TO_TREAT, description="intention_to_treat or a named population")
    model: str = Field(description="Which room runs it")

    arm_in_formula: ClassVar[bool] = False
    """Whether the effect is that of the arm column, which the formula must then hold as a term of its own."""
    inference_at_unit: ClassVar[bool] = False
    """Whether its errors are always at the level of what was assigned (P04)."""
    tests_effect: ClassVar[bool] = True
    """Whether its p-value belongs to a family of tests where its outcome is secondary (P11)."""
    takes_trials: ClassVar[bool] = False
    """Whether the outcome may be a number of successes, ``successes / trials ~ ...`` (P09)."""
    scales_by_outcome: ClassVar[Mapping[str, frozenset[str]]] = {}

    @property
    @abstractmethod
    def formulas(self) -> Mapping[tuple[str | int, ...], str]:
        """Formulas of the analysis by the path of the field that holds them."""

    @property
    @abstractmethod
    def columns(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns named outside formulas, by field path."""

    @property
    def covariates(self) -> Mapping[tuple[str | int, ...], str]:
        """Covariates named outside formulas, by field path: they must be known at baseline (P06)."""
        return {}

    @property
    def conditions(self) -> Mapping[tuple[str | int, ...], str]:
        """Conditions on rows, by field path."""
        return {}

    @property
    @abstractmethod
    def cluster(self) -> str | None:
        """Column that errors are clustered by, or the highest grouping of a multilevel model."""

    @property
    def repeats_allocation(self) -> bool:
        """Whether it compares what was allocated with what the scheme could have allocated (P04, P21)."""
        return False

    @property
    def needs_units(self) -> bool:
        """Whether it needs units that are seen again and again, and not participants seen once (P14)."""
        return False

    @property
    def allocation_record(self) -> str | None:
        """Path of the record of the allocation that it repeats; None for the plan's own scheme (P15)."""
        return None

    @property
    def clusters(self) -> tuple[str, ...]:
        """Columns whose groups may be alike, as far as the analysis knows: that of :attr:`cluster` where there is one.

        P04 asks that what was randomised, or something above it, is among them.
        """
        return (self.cluster,) if self.cluster is not None else ()

    @property
    def groups(self) -> tuple[str, ...]:
        """Columns of grouping factors with random effects; none for a model without any."""
        return ()

    def cluster_fix(self, unit: str) -> str:
        """What to write so that inference is at the level of ``unit`` (P04)."""
        return f"write inference: {{vcov: CR1S, cluster: {unit}}}"

    @property
    def small_sample(self) -> bool:
        """Whether its inference is made for few clusters (P08), such as CR2 with Satterthwaite's df."""
        return False

    def small_sample_fix(self, unit: str) -> str:
        """What to write so that it is, for clusters in a column ``unit``."""
        return f"write inference: {{vcov: CR2, cluster: {unit}}}"

    @property
    @abstractmethod
    def scales(self) -> tuple[str, ...]:
        """Effect measures reported, the headline first."""

    @abstractmethod
    def findings(self, outcome: Outcome | None) -> Iterator[Finding]:
        """What the room has to say about the analysis itself (P09, P12, P14 ...)."""

    @abstractmethod
    def run(self, context: Context) -> AnalysisResult:
        """Run the analysis."""

    @abstractmethod
    def run_subgroup(self, context: Context, by: str) -> AnalysisResult:
        """Run the analysis with the effect differing by a baseline column or condition."""
