"""Generalisability study: how much of the variance of ratings each facet holds, by a mixed model with random effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, check_number, did_you_mean
from wwc_eval.fidelity.reliability.effects import Effects, effects_of
from wwc_eval.fidelity.reliability.reading import Floats
from wwc_eval.inference.frames import to_pandas
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.fidelity.reliability.d_study import DStudy
    from wwc_eval.fidelity.reliability.planner import DesignPlan

__all__ = ["GStudy", "g_study"]

RESIDUAL = "residual"
CITATION = "Brennan 2001, Generalizability theory, doi:10.1007/978-1-4757-3456-0"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GStudy(Rendered):
    """Components of variance of ratings, ready for D-studies.

    Parameters
    ----------
    effects : Effects
        The random effects but the residual.
    measured : str
        Object of measurement: what is to be told apart, such as ``case`` or ``local_authority``.
    variances : mapping
        Component of each effect, ``residual`` last.
    covariance : ndarray, shape (e + 1, e + 1), optional
        Of the estimated components, by REML's expected information; None where they were given, not estimated.
    levels : mapping
        Levels of each effect in the data.
    n : int
        Ratings.
    mean, mean_variance : float
        Overall mean and its variance.
    status, message : str
        How the fit went.
    """

    effects: Effects
    measured: str
    variances: Mapping[str, float]
    covariance: Floats | None = None
    levels: Mapping[str, int] = field(default_factory=dict)
    n: int = 0
    mean: float = math.nan
    mean_variance: float = math.nan
    status: str = "ok"
    message: str = ""
    notes: tuple[str, ...] = ()
    fit: Any = None

    @cached_property
    def pivots(self) -> Floats | None:
        """Components (points, e + 1) that may have made the ratings, for intervals; None where there are none."""
        from wwc_eval.fidelity.reliability.pivotal import pivots

        return None if self.covariance is None else pivots(self.values, self.covariance, self.sets)

    def __post_init__(self) -> None:
        """Freeze the mappings."""
        object.__setattr__(self, "variances", MappingProxyType(dict(self.variances)))
        object.__setattr__(self, "levels", MappingProxyType(dict(self.levels)))

    @classmethod
    def from_components(
        cls, components: Mapping[str, float], *, measured: str, facets: Sequence[str] | None = None
    ) -> GStudy:
        """Components from a publication or a guess, for D-studies and plans without data (and without intervals).

        Parameters
        ----------
        components : mapping
            Variance of each effect, such as ``{"la": 0.2, "residual": 0.8}``; shares do as well.
        measured : str
            Object of measurement.
        facets : sequence of str, optional
            Facets that the residual has beside those that the effects name, such as ``["case"]``.

        Examples
        --------
        >>> study = GStudy.from_components({"la": 0.2, "residual": 0.8}, measured="la", facets=["case"])
        >>> round(study.d_study(case=16).dependability[0], 6)
        0.8
        """
        given = dict(components)
        if RESIDUAL not in given:
            raise DesignError("components have no 'residual'", fix="add it: {'la': 0.2, 'residual': 0.8}")
        for name, value in given.items():
            check_number(name, value, at_least=0)
        rest = given.pop(RESIDUAL)
        found = effects_of(list(given))
        every = tuple(dict.fromkeys([*found.facets, *(facets or ())]))
        found = Effects(names=found.names, sets=found.sets, facets=every)
        _check_measured(measured, found)
        return cls(
            effects=found,
            measured=measured,
            variances={**given, RESIDUAL: rest},
            notes=("Components as given, not estimated: no intervals.",),
        )

    @property
    def sets(self) -> tuple[frozenset[str], ...]:
        """Facets of each component, the residual last."""
        return (*self.effects.sets, self.effects.every)

    @property
    def values(self) -> Floats:
        """Components in order, the residual last."""
        return np.array(list(self.variances.values()))

    @property
    def components(self) -> Table:
        """``effect, variance, se, share, levels``."""
        total = float(self.values.sum())
        errors = np.full(len(self.values), math.nan) if self.covariance is None else _roots(self.covariance)
        rows = [
            {
                "effect": name,
                "variance": value,
                "se": float(errors[k]),
                "share": value / total if total > 0 else math.nan,
                "levels": self.levels.get(name, math.nan),
            }
            for k, (name, value) in enumerate(self.variances.items())
        ]
        return Table(rows, _COLUMNS, title=self._title(), notes=self._notes())

    def d_study(
        self,
        n: Mapping[str, int | Sequence[int]] | None = None,
        *,
        fixed: str | Sequence[str] = (),
        nested: Mapping[str, str | Sequence[str]] | None = None,
        cut: float | None = None,
        level: float = 0.95,
        **sizes: int | Sequence[int],
    ) -> DStudy:
        """Dependability of the mean over so many levels of each facet.

        Parameters
        ----------
        n : mapping, optional
            Levels of each facet in the decision study: a number, or several to compare. A facet that is nested counts
            within what it is nested in. Facets may also be given by name: ``d_study(rater=2, case=[10, 20])``. Every facet
            but the object of measurement (and what it is nested in) must be given.
        fixed : str or sequence of str
            Facets whose levels are the only ones of interest: what they share with the object is not error.
        nested : mapping, optional
            Facets nested in others in the decision study though crossed in the data: ``{"rater": "case"}`` where each
            case has raters of its own.
        cut : float, optional
            Threshold on the scale of the scores: adds Phi(cut), the dependability of being above or below it.
        level : float
            Coverage of the intervals.

        Returns
        -------
        DStudy
            One row a design: variance of universe scores, relative and absolute error, generalisability (for ranking) and
            dependability phi (for scores as they are), with intervals.

        Raises
        ------
        DesignError
            If a facet is unknown or its size is missing.

        Notes
        -----
        Formula: ``generalisability = t / (t + d)``, ``phi = t / (t + D)`` with t the components of the object, d those
        that contain it and other random facets divided by the sizes of these, and D all but t. Source: Brennan (2001),
        doi:10.1007/978-1-4757-3456-0. Intervals: generalised pivots of the mean squares
        (of what stands for them where the design is unbalanced), Weerahandi (1993), doi:10.1080/01621459.1993.10476355.
        """
        from wwc_eval.fidelity.reliability.d_study import d_study

        return d_study(self, {**(n or {}), **sizes}, fixed=fixed, nested=nested or {}, cut=cut, level=level)

    def plan(self, target: float, **options: Any) -> DesignPlan:
        """Cheapest sizes that reach a target; see :func:`wwc_eval.fidelity.reliability.planner.plan`."""
        from wwc_eval.fidelity.reliability.planner import plan

        return plan(self, target, **options)

    def variance_intervals(self, *, level: float = 0.95) -> Table:
        """Profile-likelihood intervals of the standard deviations.

        Raises
        ------
        DesignError
            If the components were given, not estimated.
        """
        if self.fit is None:
            raise DesignError("the components were given, not estimated", fix="fit them: g_study(ratings, ...)")
        return self.fit.variance_intervals(level=level)  # type: ignore[no-any-return]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of :attr:`components`."""
        return self.components.to_dicts()

    def _grid(self) -> Grid:
        return self.components._grid()

    def _title(self) -> str:
        return f"Components of variance; object of measurement: {self.measured}"

    def _notes(self) -> tuple[str, ...]:
        sample = (f"n = {self.n:,} ratings.",) if self.n else ()
        trouble = (self.message,) if self.status != "ok" and self.message else ()
        return (*sample, *trouble, *self.notes, CITATION)


_COLUMNS = (
    Column(name="effect"),
    Column(name="variance", kind="number", digits=4),
    Column(name="se", label="SE", kind="number", digits=4),
    Column(name="share", label="share of variance", kind="percent", digits=1),
    Column(name="levels", kind="count"),
)


def g_study(
    ratings: Any,
    facets: str | Sequence[str],
    *,
    score: str = "score",
    measured: str | None = None,
    method: str = "reml",
) -> GStudy:
    """Generalisability study: components of variance of ratings, crossed or nested, balanced or not.

    Parameters
    ----------
    ratings : DataFrame
        Long: one row a rating, with a column for the score and one for each facet. Rows with a missing value are left
        out, and counted.
    facets : str or sequence of str
        The design in Brennan's notation, ``"person x (rater : task)"``, where ``x`` crosses and ``:`` nests in what
        follows; or the random effects themselves, ``["la", "la:case", "rater"]``, where ``:`` joins facets. What is not
        named goes into the residual.
    score : str
        Column of the score.
    measured : str, optional
        Object of measurement; the first facet where it is missing.
    method : {"reml", "ml"}
        How components are estimated; never below 0.

    Returns
    -------
    GStudy

    Raises
    ------
    DataError
        If a column is missing, or scores are not numbers or do not vary.
    DesignError
        If the design cannot be read, or a facet has one level only.

    Notes
    -----
    Formula: ``score = mean + sum of independent effects + residual``, fitted with :func:`multilevel_model`. Source:
    Brennan (2001), doi:10.1007/978-1-4757-3456-0; Bates, Maechler, Bolker and Walker (2015),
    doi:10.18637/jss.v067.i01.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> case, rater = np.repeat(np.arange(40), 3), np.tile(np.arange(3), 40)
    >>> y = rng.normal(size=40)[case] + 0.3 * rng.normal(size=3)[rater] + 0.5 * rng.normal(size=120)
    >>> study = g_study(pd.DataFrame({"case": case, "rater": rater, "score": y}), "case x rater")
    >>> list(study.variances), study.measured
    (['case', 'rater', 'residual'], 'case')
    """
    found = effects_of(facets)
    measured = found.facets[0] if measured is None else measured
    _check_measured(measured, found)
    frame, dropped = _frame(to_pandas(ratings), found, score)
    notes = [f"{dropped:,} rows miss a value and are left out."] if dropped else []
    found, levels, more = _estimable(frame, found)
    codes = [_codes(frame, found, each) for each in found.sets]
    fit = _fit(frame, found, codes, method)
    at = {
        grouping.name: float(each[0, 0])
        for grouping, each in zip(fit.data.groupings, fit.covariances, strict=True)
    }
    variances = {name: at[f"e{k}"] for k, name in enumerate(found.names)}
    variances[RESIDUAL] = float(fit.residual_variance)
    return GStudy(
        effects=found,
        measured=measured,
        variances=variances,
        covariance=_covariance(fit, codes, np.array(list(variances.values()))),
        levels=levels,
        n=int(fit.n),
        mean=float(fit.coefficients[0]),
        mean_variance=float(fit.core.solution.vcov[0, 0]),
        status=fit.status,
        message=_message(fit, found, variances),
        notes=(*notes, *more),
        fit=fit,
    )


def _check_measured(measured: str, effects: Effects) -> None:
    if measured not in effects.facets:
        raise DesignError(
            f"measured == '{measured}', which is no facet of the design",
            fix=did_you_mean(measured, effects.facets),
        )


def _frame(data: pd.DataFrame, effects: Effects, score: str) -> tuple[pd.DataFrame, int]:
    """The columns used, facets as codes ``f0, f1, ...`` and the score as ``y``; and the rows left out."""
    import pandas as pd

    for name in (*effects.facets, score):
        if name not in data.columns:
            raise DataError(
                f"the ratings have no column '{name}'",
                place=Place(column=name),
                fix=did_you_mean(name, [str(column) for column in data.columns]),
            )
    y = data[score]
    if y.dtype.kind not in "iufb":
        raise DataError(f"'{score}' is not numbers", place=Place(column=score), fix="declare it when it is read")
    whole = data[[*effects.facets, score]].notna().all(axis=1).to_numpy()
    kept = data.loc[whole]
    if not len(kept):
        raise DataError("no row has a score and all facets", place=Place(column=score))
    if float(np.ptp(kept[score].to_numpy(dtype=float))) == 0:
        raise DataError(
            f"'{score}' is the same in all {len(kept):,} rows",
            place=Place(column=score),
            rule="scores must vary",
            fix="check the scores; without variance there is none to share out",
        )
    columns = {f"f{k}": pd.factorize(kept[name])[0] for k, name in enumerate(effects.facets)}
    return pd.DataFrame({**columns, "y": kept[score].to_numpy(dtype=float)}), int((~whole).sum())


def _codes(frame: pd.DataFrame, effects: Effects, each: frozenset[str]) -> Any:
    """One code for each combination of levels of an effect."""
    import pandas as pd

    columns = [f"f{k}" for k, name in enumerate(effects.facets) if name in each]
    keys = [tuple(row) for row in frame[columns].to_numpy()]
    return pd.factorize(pd.Series(keys, dtype=object))[0]


def _estimable(frame: pd.DataFrame, effects: Effects) -> tuple[Effects, dict[str, int], list[str]]:
    """Effects that the data can tell from the residual; one with as many levels as rows is the residual."""
    names, sets, levels, notes = [], [], {}, []
    for name, each in zip(effects.names, effects.sets, strict=True):
        count = int(_codes(frame, effects, each).max()) + 1
        if count == 1:
            raise DesignError(f"'{name}' has one level in the ratings, so its variance cannot be estimated")
        if count == len(frame):
            notes.append(f"'{name}' has one rating a level: it is the residual.")
            continue
        names.append(name)
        sets.append(each)
        levels[name] = count
    if not names:
        raise DesignError("no effect has more than one rating a level, so there is nothing but a residual")
    return Effects(names=tuple(names), sets=tuple(sets), facets=effects.facets), levels, notes


def _fit(frame: pd.DataFrame, effects: Effects, codes: Sequence[Any], method: str) -> Any:
    from wwc_eval.multilevel import multilevel_model

    used = frame.assign(**{f"e{k}": each for k, each in enumerate(codes)})
    terms = " + ".join(f"(1 | e{k})" for k in range(len(effects.sets)))
    return multilevel_model(f"y ~ 1 + {terms}", used, method=method)


def _covariance(fit: Any, codes: Sequence[Any], values: Floats) -> Floats:
    """Covariance of the components in the order of the effects, the residual last."""
    from wwc_eval.fidelity.reliability.pivotal import component_covariance
    from wwc_eval.multilevel.small_sample.satterthwaite import variance_covariance

    expected = component_covariance(codes, values)
    if expected is not None:
        return expected
    # of large tables from the curvature of the criterion, in which a component at 0 stays there
    _, covariance = variance_covariance(fit.core.solution, fit.core.sensitivity)
    inner = [grouping.name for grouping in fit.core.solution.problem.prepared.groupings]
    places = [*(inner.index(f"e{k}") for k in range(len(codes))), len(inner)]
    return np.asarray(covariance[np.ix_(places, places)])


def _message(fit: Any, effects: Effects, variances: Mapping[str, float]) -> str:
    """The status of the fit with the effects' own names."""
    if fit.status == "ok":
        return ""
    at_zero = [name for name in effects.names if variances[name] == 0]
    if fit.status == "boundary" and at_zero:
        return "No variance of its own was found for " + ", ".join(at_zero) + "."
    return str(fit.message)


def _roots(covariance: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(np.diag(covariance), 0.0)))
