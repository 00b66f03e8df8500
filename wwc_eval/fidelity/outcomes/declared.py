"""The analyses that a specification declares, run on scores and outcomes: those, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, FormulaError, Place, did_you_mean, shown
from wwc_eval.estimate import Estimates
from wwc_eval.fidelity.outcomes.link import OutcomeLink, arm_of, columns_of
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.fidelity.scoring.scores import FidelityScores
    from wwc_eval.inference.compliance import ComplierEffect

__all__ = ["DeclaredLinks", "declared_links", "differentiation_of"]

ITT_CLAIMS = (
    "Can claim: the effect of being allocated, over all who were, however well practice was done, if the arms were allocated at "
    "random. Cannot claim: anything about fidelity; a small effect may be that of good practice seldom done."
)
AS_RATED = (
    "cace_iv takes fidelity as rated: scores shrunk towards the mean of both arms would make the arms' practice look alike, and "
    "the effect per point too large."
)
FIGURES = ("term", "estimate", "se", "df", "p_value", "ci_low", "ci_high")
WITH_FAMILY = ("itt", "dose_response", "moderation")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DeclaredLinks(Rendered):
    """Results of the analyses that ``outcome_link`` declares, by their names.

    Parameters
    ----------
    results : mapping
        Analysis: an ``OutcomeLink``, or for ``cace_iv`` a ``ComplierEffect``; each has ``claims``.
    title : str
        Heading.
    notes : tuple of str
        Of which units fidelity is, and how many rows have it.
    """

    results: Mapping[str, OutcomeLink | ComplierEffect]
    title: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Freeze the mapping."""
        object.__setattr__(self, "results", MappingProxyType(dict(self.results)))

    def __getitem__(self, analysis: str) -> OutcomeLink | ComplierEffect:
        """Result of an analysis."""
        if analysis not in self.results:
            raise DesignError(f"analysis '{analysis}' was not run", fix=did_you_mean(analysis, self.results))
        return self.results[analysis]

    @property
    def claims(self) -> dict[str, str]:
        """What each analysis can and cannot claim."""
        return {name: result.claims for name, result in self.results.items()}

    @property
    def table(self) -> Table:
        """Estimates of all analyses, one below the other."""
        rows = [
            {"analysis": name, **{column: getattr(row, column) for column in FIGURES}, "units": row.shown_units}
            for name, result in self.results.items()
            for row in (result.estimates if isinstance(result, OutcomeLink) else [result])
        ]
        columns = [Column(name="analysis"), Column(name="term"), Column(name="estimate", kind="number")]
        columns += [Column(name="se", label="SE", kind="number"), Column(name="df", kind="number", digits=1)]
        columns += [
            Column(name="p_value", label="p", kind="p_value"),
            Column(name="ci_low", label="low", kind="number"),
        ]
        columns += [Column(name="ci_high", label="high", kind="number"), Column(name="units")]
        kept = [{column.name: row.get(column.name) for column in columns} for row in rows]
        return Table(kept, columns, title=self.title, notes=self._notes())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of :attr:`table`."""
        return self.table.to_dicts()

    def _grid(self) -> Grid:
        return self.table._grid()

    def _title(self) -> str:
        return self.title

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, *(f"{name}: {text}" for name, text in self.claims.items()))


def declared_links(
    scores: FidelityScores,
    formula: str,
    data: Any,
    *,
    analyses: str | Sequence[str] | None = None,
    unit: str | None = None,
    arms: Sequence[Any] | None = None,
    family: str = "gaussian",
    levels: Mapping[str, Sequence[Any]] | None = None,
) -> DeclaredLinks:
    """Run the analyses that ``outcome_link`` declares; see :meth:`FidelityScores.link`."""
    chosen = _chosen(scores, analyses, family)
    plan = scores.spec.document.outcome_link
    assert plan is not None
    allocated = plan.instrument or scores.spec.arm_column
    cluster = None if plan.cluster is None else _column(scores, plan.cluster, data)
    frame, unit = _joined(scores, data, unit)
    frame, arm = _coded(scores, frame, allocated, arms)
    shared: dict[str, Any] = {"cluster": cluster, "levels": levels, "level": scores.level}
    results: dict[str, OutcomeLink | ComplierEffect] = {
        name: _run(name, scores, formula, frame, arm=arm, family=family, shared=shared) for name in chosen
    }
    known = int(frame[plan.exposure].notna().sum())
    notes = [f"Fidelity ({plan.exposure}) is that of the {unit}: {known:,} of {len(frame):,} rows have it."]
    if "cace_iv" in chosen:
        notes.append(AS_RATED)
    linear = [name for name in chosen if name not in WITH_FAMILY]
    if family != "gaussian" and linear:
        notes.append(
            f"{', '.join(linear)}: differences on the outcome's own scale; family == '{family}' is of the others."
        )
    return DeclaredLinks(results=results, title=f"Outcomes and fidelity: {formula}", notes=tuple(notes))


def _chosen(scores: FidelityScores, analyses: str | Sequence[str] | None, family: str) -> list[str]:
    plan = scores.spec.document.outcome_link
    if plan is None:
        raise DesignError(
            f"the specification '{scores.spec.id}' declares no link with outcomes",
            fix="add outcome_link: to it before outcomes are seen",
        )
    declared: list[str] = list(plan.analyses)
    chosen = (
        declared
        if analyses is None
        else [analyses]
        if isinstance(analyses, str)
        else list(dict.fromkeys(analyses))
    )
    for name in chosen:
        if name not in declared:
            raise DesignError(
                f"analysis '{name}' is not among those that the specification declares",
                rule=f"outcome_link: {', '.join(declared)}",
                fix=did_you_mean(name, declared),
            )
    if family != "gaussian" and not set(chosen) & set(WITH_FAMILY):
        raise DesignError(
            f"family == '{family}' does nothing: {', '.join(chosen)} is linear", fix="leave out the family"
        )
    return chosen


def _column(scores: FidelityScores, unit: str, data: Any) -> str:
    """Column of a unit in the outcomes: as in the ratings, or the unit's name."""
    name = scores.ratings.columns.get(unit, unit)
    names = [str(column) for column in columns_of(data, []).columns]
    if name not in names and unit not in names:
        columns_of(data, [name])
    return name if name in names else unit


def _joined(scores: FidelityScores, data: Any, unit: str | None) -> tuple[pd.DataFrame, str]:
    """The data with fidelity beside each row, and as rated; and the unit that it is of."""
    plan = scores.spec.document.outcome_link
    assert plan is not None
    frame = columns_of(data, [])
    names = [str(column) for column in frame.columns]
    if unit is None:
        found = [each for each in scores.units if scores.ratings.columns[each] in names or each in names]
        if not found:
            columns_of(data, [scores.ratings.columns[scores.units[0]]])
        unit = found[0]
    elif unit not in scores.units:
        raise DesignError(f"there is no unit '{unit}'", fix=did_you_mean(unit, scores.units))
    column = _column(scores, unit, data)
    for name in (plan.exposure, _rated(plan.exposure)):
        if name in names:
            message = f"the data have a column '{name}' already, which is the name of the score"
            raise DataError(message, place=Place(column=name), fix="rename or leave out that column")
    table = scores.by(unit, plan.exposure).to_frame().set_index(unit)
    key = frame[column].astype(object).map(str).where(frame[column].notna())
    joined = frame.assign(
        **{
            plan.exposure: key.map(table["estimate"].astype(float)).astype(float),
            _rated(plan.exposure): key.map(table["score"].astype(float)).astype(float),
        }
    )
    if joined[_rated(plan.exposure)].isna().all():
        raise DataError(
            f"no row has a {unit} with a score",
            place=Place(column=column),
            rule=f"scores are of {shown(list(table.index[:3]))} and others",
            fix="check that identifiers are written alike in ratings and outcomes",
        )
    return joined, unit


def _rated(exposure: str) -> str:
    return f"{exposure}_as_rated"


def _coded(
    scores: FidelityScores, frame: pd.DataFrame, allocated: str | None, arms: Sequence[Any] | None
) -> tuple[pd.DataFrame, str | None]:
    """What was allocated as 0 and 1; rows of other arms than the two are left out where ``arms`` names two."""
    if allocated is None:
        if arms is not None:
            raise DesignError(
                "arms are given, and the specification names no column of them", fix="leave them out"
            )
        return frame, None
    values = columns_of(frame, [allocated])[allocated]
    plan = scores.spec.document.differentiation
    present = {str(value) for value in values.dropna().unique()}
    if arms is None and plan is not None and len(plan.measured_in) == 2 and present <= set(plan.measured_in):
        arms = _pair(scores, None)
    side, _ = arm_of(frame, allocated, arms)
    return frame.assign(**{allocated: side}), allocated


def _run(
    name: str,
    scores: FidelityScores,
    formula: str,
    frame: pd.DataFrame,
    *,
    arm: str | None,
    family: str,
    shared: Mapping[str, Any],
) -> OutcomeLink | ComplierEffect:
    from wwc_eval.fidelity.outcomes.dose import dose_response
    from wwc_eval.fidelity.outcomes.moderation import fidelity_moderation
    from wwc_eval.fidelity.outcomes.principal import principal_score_effects
    from wwc_eval.inference.compliance import complier_effect

    plan = scores.spec.document.outcome_link
    assert plan is not None
    if name == "dose_response":
        return dose_response(formula, frame, fidelity=plan.exposure, arm=arm, family=family, **shared)
    assert arm is not None  # the specification was checked for it
    if name == "itt":
        return _itt(formula, frame, arm=arm, family=family, shared=shared)
    if name == "cace_iv":
        return complier_effect(formula, frame, uptake=_rated(plan.exposure), instrument=arm, **shared)
    if name == "principal_score":
        threshold = plan.threshold if plan.threshold is not None else scores.spec.document.spec.bands[-1].min
        assert threshold is not None
        return principal_score_effects(
            formula, frame, arm=arm, fidelity=plan.exposure, threshold=float(threshold), **shared
        )
    measured = plan.measured or "after"
    return fidelity_moderation(
        formula, frame, arm=arm, fidelity=plan.exposure, measured=measured, family=family, **shared
    )


def _itt(formula: str, frame: pd.DataFrame, *, arm: str, family: str, shared: Mapping[str, Any]) -> OutcomeLink:
    """Effect of the allocation on the outcome, by regression."""
    from wwc_eval.formula import parse_formula
    from wwc_eval.inference.regression import regression

    parsed = parse_formula(formula)
    if arm in parsed.columns:
        raise FormulaError(f"'{arm}' stands in the formula", fix="the formula holds outcome and covariates only")
    column = next(f"side{tail}" for tail in ("", *map(str, range(1000))) if f"side{tail}" not in frame.columns)
    vcov = "HC2" if shared["cluster"] is None else "CR2"
    fit = regression(
        f"{parsed.text} + {column}", frame.assign(**{column: frame[arm]}), family=family, vcov=vcov, **shared
    )
    row = fit.estimates[column].replace(term=arm)
    outcome = parsed.text.split(" ~ ")[0]
    return OutcomeLink(estimates=Estimates([row], title=f"Intention to treat: {outcome}"), claims=ITT_CLAIMS)


def _pair(scores: FidelityScores, arms: Sequence[str] | None) -> list[str]:
    """The two arms that are compared, the reference first."""
    plan = scores.spec.document.differentiation
    if plan is None:
        raise DesignError(
            f"the specification '{scores.spec.id}' declares no differentiation",
            fix="add differentiation: with the column of the arm and the arms that are measured",
        )
    if arms is not None:
        odd = [arm for arm in arms if arm not in plan.measured_in]
        if odd or len(arms) != 2:
            rule = f"two of the measured arms, the reference first: {', '.join(plan.measured_in)}"
            raise DesignError(f"arms == {shown(list(arms))} cannot be compared", rule=rule)
        return list(arms)
    if len(plan.measured_in) != 2:
        few = len(plan.measured_in) < 2
        raise DesignError(
            f"{len(plan.measured_in)} arms are measured, and two are compared",
            fix="measure usual practice too" if few else "name two: arms=[reference, other]",
        )
    reference = plan.reference or plan.measured_in[-1]
    return [reference, next(arm for arm in plan.measured_in if arm != reference)]


def differentiation_of(
    scores: FidelityScores,
    of: str | Sequence[str] | None,
    *,
    threshold: float | None = None,
    arms: Sequence[str] | None = None,
) -> OutcomeLink:
    """Achieved relative strength of the arms; see :meth:`FidelityScores.differentiation`."""
    import pandas as pd

    from wwc_eval.fidelity.outcomes.strength import relative_strength

    pair = _pair(scores, arms)
    plan = scores.spec.document.differentiation
    assert plan is not None
    given = scores.matrix.arms
    if given is None:
        raise DataError(
            f"the ratings have no column '{plan.arm}'",
            place=Place(column=plan.arm),
            fix="add the arm of each case",
        )
    names = [of] if isinstance(of, str) else list(of) if of is not None else _measures(scores)
    side = np.array([str(value) for value in given], dtype=object)
    highest = scores.units[-1]
    several = highest != scores.units[0]
    frame = pd.DataFrame({name: scores.values(name) for name in names})
    frame["arm of the case"] = side
    if several:
        frame[highest] = scores.matrix.places.of_case[highest]
    kept = frame.loc[np.isin(side, pair)]
    cluster = highest if several else None
    return relative_strength(
        kept, names, arm="arm of the case", threshold=threshold, cluster=cluster, arms=pair, level=scores.level
    )


def _measures(scores: FidelityScores) -> list[str]:
    """The composite and the components that have a value."""
    named = [name for name in scores.measures if name != "essentials"]
    return [name for name in named if not np.isnan(scores.values(name)).all()]
