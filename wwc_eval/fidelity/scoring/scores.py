"""Scores of practice: the verb, and the result with its tables and axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wwc_eval.errors import DesignError, check_choice, did_you_mean
from wwc_eval.fidelity.scoring import reliability, tables, unit_scores, unit_tables
from wwc_eval.fidelity.scoring.bands import Banding, Margin
from wwc_eval.fidelity.scoring.composites import Evaluated, evaluate
from wwc_eval.fidelity.scoring.levels import Levels
from wwc_eval.fidelity.scoring.matrix import Matrix, build_matrix
from wwc_eval.fidelity.scoring.ratings import Ratings, read_ratings
from wwc_eval.table import Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from wwc_eval.fidelity.benchmarking.change import Changes
    from wwc_eval.fidelity.benchmarking.funnel import Funnel
    from wwc_eval.fidelity.benchmarking.league import League
    from wwc_eval.fidelity.outcomes.declared import DeclaredLinks
    from wwc_eval.fidelity.outcomes.link import OutcomeLink
    from wwc_eval.fidelity.scoring.agreement import Coefficient
    from wwc_eval.fidelity.specification.specification import FidelitySpecification

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["FidelityScores", "score"]


def score(
    spec: FidelitySpecification, ratings: Any, units: Sequence[str] | Mapping[str, str] | None = None
) -> FidelityScores:
    """Score ratings against a specification of practice.

    Parameters
    ----------
    spec : FidelitySpecification
        What is to be seen, and how it counts.
    ratings : DataFrame
        One row a rating: columns of the units, ``item``, ``value``, and where there are any ``rater``, ``respondent``,
        ``date``, ``specification_version``; besides columns that conditions name. Not changed.
    units : list of str or mapping, optional
        Columns of the units from the lowest to the highest, or unit: column.

    Returns
    -------
    FidelityScores

    Raises
    ------
    DataError
        With every fault of the ratings, each with row, column, value, rule and fix.

    Notes
    -----
    Items: mean over the ratings of each respondent, then over respondents by their weights, as percent of maximum
    possible. Components and composite: as declared. Units: ``mu + effects of the unit and of those above it`` at a
    rater of average severity, from a multilevel model of one score a rating sheet (a case as one rater saw it).
    Source: Raudenbush and Bryk 2002, chapter 3; Robinson 1991, doi:10.1214/ss/1177011926.

    Examples
    --------
    >>> import wwc_eval as we
    >>> spec = we.FidelitySpecification.load("sample_data/specifications/safety_planning.yaml")
    >>> ratings = we.read_table("sample_data/fidelity_ratings.csv")
    >>> scores = score(spec, ratings)
    >>> len(scores.items), len(scores.values("composite"))
    (12, 720)
    """
    read = read_ratings(spec, ratings, units)
    matrix = build_matrix(spec, read)
    return FidelityScores(
        spec=spec,
        ratings=read,
        matrix=matrix,
        scored=evaluate(spec, matrix.cases),
        sheets=evaluate(spec, matrix.sheets),
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FidelityScores(Rendered):
    """Scores of items, components, cases and every unit above, each with its interval.

    Parameters
    ----------
    spec : FidelitySpecification
        The specification, whose hash stands under every table.
    ratings : Ratings
        What was recorded.
    matrix : Matrix
        Cases and rating sheets by items.
    scored : Evaluated
        Scores of cases.
    sheets : Evaluated
        Scores of sheets.
    """

    spec: FidelitySpecification
    ratings: Ratings
    matrix: Matrix
    scored: Evaluated
    sheets: Evaluated
    _fits: dict[str, Levels] = field(default_factory=dict, init=False)

    @property
    def units(self) -> tuple[str, ...]:
        """Units from the lowest to the highest."""
        return self.matrix.places.names

    @property
    def level(self) -> float:
        """Coverage of the intervals."""
        return self.spec.document.scoring.level

    @property
    def measures(self) -> tuple[str, ...]:
        """What can be asked of a unit: the composite, components, and the share of cases that meet the essentials."""
        named = tuple(component.id for component in self.spec.document.components)
        composite = () if self.spec.document.scoring.composite.rule == "none" else ("composite",)
        essentials = ("essentials",) if any(item.essential for item in self.spec.document.items) else ()
        return (*composite, *named, *essentials)

    def values(self, of: str, *, sheets: bool = False) -> Floats:
        """Score of every case, or of every rating sheet, in order.

        Raises
        ------
        DesignError
            If there is no such measure.
        """
        if of not in self.measures:
            raise DesignError(f"there is no measure '{of}'", fix=did_you_mean(of, self.measures))
        source = self.sheets if sheets else self.scored
        if of == "composite":
            return source.composite
        if of == "essentials":
            return source.essentials
        return source.components[:, [c.id for c in self.spec.document.components].index(of)]

    def model(self, of: str = "composite") -> Levels:
        """The multilevel model of a measure: variances, severity of raters, scores of units."""
        if of not in self._fits:
            self._fits[of] = unit_scores.model_of(self, of)
        return self._fits[of]

    def margin(self, unit: str, of: str = "composite") -> Margin:
        """Scores of the units of one level with their errors, shrunk or as plain means as the roll-up says."""
        return unit_scores.margin_of(self, check_choice("unit", unit, self.units), of)

    def banding(self, unit: str) -> Banding:
        """Bands of the units of one level."""
        return unit_scores.banding_of(self, unit)

    @cached_property
    def items(self) -> Table:
        """Items over all cases: how often each was rated or missing and why, percent of maximum, share met."""
        return tables.item_table(self)

    @cached_property
    def components(self) -> Table:
        """Components over all cases, with intervals that respect clustering in the highest unit."""
        return tables.component_table(self)

    @cached_property
    def dimensions(self) -> Table:
        """Adherence, exposure, quality and the others apart: weighted means of the components of each."""
        return tables.dimension_table(self)

    @cached_property
    def cases(self) -> Table:
        """Every case: score as rated, adjusted for the severity of raters and shrunk, and its band."""
        return self.by(self.units[0])

    def by(self, unit: str, of: str = "composite") -> Table:
        """Scores of the units of one level.

        Parameters
        ----------
        unit : str
            Such as ``local_authority``.
        of : str
            ``composite``, a component, or ``essentials``: the share of cases that meet them all.

        Returns
        -------
        Table
            Units with those above them; ``cases`` and ``raters`` behind them; ``score`` as rated; ``estimate``, ``se``,
            ``ci_low``, ``ci_high`` adjusted; for the composite ``band`` and the probability of every band;
            ``status`` says what is missing and why.
        """
        if of == "composite" and "composite" not in self.measures:
            return unit_tables.band_only_table(self, check_choice("unit", unit, self.units))
        return unit_tables.unit_table(self, check_choice("unit", unit, self.units), of)

    @cached_property
    def bands(self) -> Table:
        """Every unit above the lowest: its band with its probability, and what would change it."""
        return unit_tables.band_table(self)

    @cached_property
    def sensitivity(self) -> Table:
        """The composite under each rule side by side, and where the band changes."""
        return tables.sensitivity_table(self)

    @cached_property
    def rating_sheets(self) -> Table:
        """What one rater saw of one case, scored: a row a sheet, for ``we.g_study``, ``we.rater_severity`` and their kin."""
        return tables.sheet_table(self)

    @cached_property
    def raters(self) -> Table:
        """Severity of each rater, in points of the composite below the average rater: above 0 where the rater scores low."""
        return tables.rater_table(self)

    @cached_property
    def variances(self) -> Table:
        """How much of the variance of the composite lies between units, raters and rating sheets."""
        return tables.variance_table(self)

    @cached_property
    def coefficients(self) -> dict[str, list[Coefficient]]:
        """Every coefficient that ``reliability.minimum`` names, of everything that it can be computed of."""
        return reliability.all_coefficients(self)

    @cached_property
    def reliability(self) -> Table:
        """Coefficients that ``reliability.minimum`` names, beside their least values, and whether these are reached.

        Agreement (kappas, AC1, AC2, Krippendorff's alpha): of each item that raters judge of the lowest unit, over cases with two
        raters or more; the items with the least and the median value are shown. Intraclass correlations: of the
        composites of rating sheets (of components, where there is none). ``alpha``, ``omega``: of the items of the composite.
        ``dependability_<unit>``: of the units' means with the cases and raters that they have. Intervals are clustered by the
        highest unit; those of dependability are generalised pivots. ``verdict``: ``reached`` if the whole interval is
        at or above the least value, ``not reached`` if it is below, else ``cannot be told``.
        """
        return reliability.reliability_table(self)

    @cached_property
    def item_reliability(self) -> Table:
        """As :attr:`reliability`, with all items in place of the least and the median."""
        return reliability.reliability_table(self, every=True)

    def exposure(self, unit: str | None = None) -> pd.DataFrame:
        """What enters the evaluation: the measure that ``outcome_link`` names, for the units of one level.

        Parameters
        ----------
        unit : str, optional
            Level; the cluster that ``outcome_link`` names, or the lowest unit, where missing.

        Returns
        -------
        pandas.DataFrame
            The unit and those above it, the arm of its first case where arms are known, ``exposure`` and ``se``.
        """
        return unit_scores.exposure_of(self, unit)

    def differentiation(
        self,
        of: str | Sequence[str] | None = None,
        *,
        threshold: float | None = None,
        arms: Sequence[str] | None = None,
    ) -> OutcomeLink:
        """How far practice differs between the arms that ``differentiation`` names: :func:`relative_strength` of cases.

        Scores are as rated, not shrunk: shrinking draws the arms together. Errors are by the highest unit.

        Parameters
        ----------
        of : str or list of str, optional
            Measures; the composite and every component where missing.
        threshold : float, optional
            Score from which practice counts as delivered.
        arms : sequence of str, optional
            Two of the measured arms, the reference first, where more than two are measured.

        """
        from wwc_eval.fidelity.outcomes.declared import differentiation_of

        return differentiation_of(self, of, threshold=threshold, arms=arms)

    def link(self, formula: str, data: Any, **options: Any) -> DeclaredLinks:
        """Run exactly the analyses that ``outcome_link`` declares, with its exposure, instrument and cluster.

        Parameters
        ----------
        formula : str
            Outcome and covariates, without arm and fidelity: ``"days_in_care ~ age"``.
        data : DataFrame
            One row a unit with the outcome, a column of a scored unit, the instrument (the arm, where none is declared), and
            the cluster.
        **options
            ``analyses``: some of those declared; others are refused. ``unit``: whose fidelity stands beside a row, the
            lowest that the data have a column of where missing. ``arms``: the two levels of what was allocated, the reference
            first, where they are words and are not those of ``differentiation``. ``family`` of the outcome, of ``itt``,
            ``dose_response`` and ``moderation``; ``levels`` of factors.

        Returns
        -------
        DeclaredLinks
            ``results["cace_iv"]`` and so on, each with its ``claims``; renders as one table.

        Raises
        ------
        DesignError
            If an analysis is not declared, or cannot be done with the data.
        DataError
            If a column is missing, or no row has a unit with a score.

        Notes
        -----
        ``itt``: regression on the allocation. ``cace_iv``: :func:`complier_effect` with fidelity as rated. ``dose_response``,
        ``principal_score`` (from ``threshold``, or the highest band on) and ``moderation`` take the adjusted,
        shrunk score, which is what is expected of the unit given its ratings.
        """
        from wwc_eval.fidelity.outcomes.declared import declared_links

        return declared_links(self, formula, data, **options)

    def league(self, unit: str | None = None, of: str = "composite") -> League:
        """Units in order of their scores, with the uncertainty of their ranks."""
        from wwc_eval.fidelity.benchmarking.league import league_of

        return league_of(self, unit or self.units[-1], self._measure(of))

    def funnel(self, unit: str | None = None, of: str = "composite") -> Funnel:
        """Means of units against their number of cases, with limits that allow for over-dispersion."""
        from wwc_eval.fidelity.benchmarking.funnel import funnel_of

        return funnel_of(self, unit or self.units[-1], self._measure(of))

    def over_time(
        self,
        unit: str | None = None,
        of: str = "composite",
        method: Literal["ewma", "cusum"] = "ewma",
        earlier: Sequence[FidelityScores] = (),
    ) -> Changes:
        """Change of units over time, with alerts, as the specification's ``drift`` says.

        Parameters
        ----------
        unit, of : str
            Level, and measure.
        method : {"ewma", "cusum"}
            As in :func:`wwc_eval.fidelity.changes`.
        earlier : sequence of FidelityScores
            Waves scored before, which are joined. Under another version of the specification only measures that are defined alike
            in both may be joined.

        Raises
        ------
        DesignError
            If waves were scored under versions in which the measure is not the same.
        """
        from wwc_eval.fidelity.benchmarking.change import changes_of

        return changes_of(self, unit or self.units[-1], self._measure(of), method, earlier)

    def plot_heatmap(self, unit: str | None = None, ax: Axes | None = None) -> Axes:
        """Units by components as percent of maximum; the highest units where none is named."""
        from wwc_eval.fidelity.scoring.charts import draw_heatmap

        return draw_heatmap(self, check_choice("unit", unit or self.units[-1], self.units), ax)

    def plot_profile(
        self, unit: str, kind: Literal["bars", "radar"] = "bars", level: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Components of one unit, such as a local authority, with intervals, beside the mean of all.

        Parameters
        ----------
        unit : str
            Label of the unit.
        kind : {"bars", "radar"}
            Bars with intervals, or a radar without.
        level : str, optional
            Level of the unit; the highest that has such a label where missing.
        ax : Axes, optional
            Axes to draw on; polar ones for a radar.
        """
        from wwc_eval.fidelity.scoring.charts import draw_profile

        return draw_profile(self, unit, kind, level, ax)

    def _measure(self, of: str) -> str:
        if of not in self.measures:
            raise DesignError(f"there is no measure '{of}'", fix=did_you_mean(of, self.measures))
        return of

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the ratings and the model."""
        return tables.notes_of(self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of the highest units."""
        return self.by(self.units[-1]).to_dicts()

    def _grid(self) -> Grid:
        return self.by(self.units[-1])._grid()

    def _title(self) -> str:
        return self.by(self.units[-1])._title()

    def _notes(self) -> tuple[str, ...]:
        return self.by(self.units[-1])._notes()
