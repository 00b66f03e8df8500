"""The panel: outcomes by unit and period, when each unit was first treated, and what is odd about the data.

Everything in the room of difference-in-differences starts from it. Units and periods are sorted once, here, so
that no result depends on the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel_faults import Faults
from wwc_eval.errors import DataError, DesignError, Problem, check_number
from wwc_eval.table import Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wwc_eval.did.panel_periods import PeriodScale

__all__ = ["NEVER", "Panel"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NEVER = "never treated"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Panel(Rendered):
    """Outcomes of units over periods, some of them treated from a period on.

    Parameters
    ----------
    data : data frame
        One row a unit and period, in any order; pandas, polars or pyarrow. Never changed.
    unit : str or None
        Column that identifies a unit, such as a local authority. ``None`` for repeated cross-sections, in which
        each row is another child: rows are then compressed to cells (see Notes).
    period : str
        Column of periods: whole numbers, years (``2019``, ``2019-20``, ``201920``), quarters (``2019Q1``), months
        (``2019-04``) or dates, all of one kind.
    outcome : str
        Column of the outcome: its level, or a count where ``exposure`` is given. Symbols of published statistics
        (``c``, ``x``, ``low``, ...) are missing values, and counted in ``findings``.
    cohort : str, optional
        Column of the first treated period, in the labels of the periods, constant within a unit; never treated:
        missing, 0 or infinity.
    treated : str, optional
        Column of 0 and 1: whether the unit is treated in the period. Treatment is absorbing; a reversal is refused.
        Without ``cohort`` and ``treated`` no unit is treated (see :meth:`with_adopted`).
    exposure : str, optional
        Column of the denominator, such as children in the area; the outcome is then the rate ``count / exposure``.
    per : float
        Units of exposure that rates are for: 10,000 gives rates per 10,000 children.
    weights : str, optional
        Column of weights, positive; rows of weight 0 are left out.
    cluster : str, optional
        Column of clusters above the unit, within which errors may be correlated; the unit itself without it.

    Attributes
    ----------
    units, periods : ndarray, shapes (n,) and (T,)
        Labels, sorted.
    times : ndarray of int, shape (T,)
        Regular index of the periods, from 0; a gap in time is a gap in it.
    outcomes : ndarray, shape (n, T)
        Outcome, or rate; missing where the cell is.
    counts, exposures : ndarray, shape (n, T), or None
        Numerator and denominator of a rate, the latter in units of ``per``.
    adopted : ndarray of int, shape (n,)
        Position in ``periods`` of the first treated period; T where the unit is not treated within the panel.
    weights : ndarray, shape (n,)
        Weight of each unit, 1 without weights; that of its first observed period where weights vary.
    cell_weights : ndarray, shape (n, T), or None
        Weights where they vary over time.
    clusters : ndarray of int, shape (n,)
        Cluster of each unit.
    cross_sections : bool
        Whether rows are other children in each period.
    findings : tuple of Problem
        What was found and does not stop the work: symbols, gaps, late comers, singletons, reorganised authorities.

    Raises
    ------
    DataError
        With every fault at once: columns that are not there, missing or unreadable labels, two rows in one cell,
        several cohorts or clusters of one unit, reversals of treatment, counts or weights below 0.

    Notes
    -----
    Left out: units and periods without any outcome. A unit whose cohort lies between two periods is treated from
    the next one; before the first, in all; after the last, in none. All of it is said in ``findings``.
    Repeated cross-sections: the rows become cells of cluster (or, without clusters, cohort) and period; ``outcomes``
    holds their means, ``cell_weights`` the sums of weights, and ``cells`` the moments that errors need, with the
    rows themselves for covariates of children.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, year, 50.0 + year % 7 - 3 * (la == "Bury" and year >= 2018)) for la in ("Bury", "Hull", "Kent")
    ...         for year in (2016, 2017, 2018, 2019)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(joined=lambda d: (d.la == "Bury") * 2018)
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="joined")
    >>> panel.outcomes.shape, panel.adopted.tolist(), panel.balanced
    ((3, 4), [2, 4, 4], True)
    """

    units: NDArray[Any]
    periods: NDArray[Any]
    times: Ints
    outcomes: Floats
    adopted: Ints
    weights: Floats
    clusters: Ints
    cluster_labels: NDArray[Any]
    counts: Floats | None
    exposures: Floats | None
    cell_weights: Floats | None
    cross_sections: bool
    cells: Any
    findings: tuple[Problem, ...]
    columns: Mapping[str, str | None]
    scale: PeriodScale
    per: float
    rows: Ints | None
    source: Any

    def __init__(
        self,
        data: Any,
        *,
        unit: str | None,
        period: str,
        outcome: str,
        cohort: str | None = None,
        treated: str | None = None,
        exposure: str | None = None,
        per: float = 1,
        weights: str | None = None,
        cluster: str | None = None,
    ) -> None:
        from wwc_eval.data.frames import as_pandas
        from wwc_eval.did.panel_building import cross_section_fields, panel_fields
        from wwc_eval.did.panel_columns import check_columns

        columns = {"unit": unit, "period": period, "outcome": outcome, "cohort": cohort}
        columns |= {"treated": treated, "exposure": exposure, "weights": weights, "cluster": cluster}
        if period is None or outcome is None:
            raise DesignError("a panel needs period= and outcome=", fix="name both columns")
        check_number("per", per, above=0)
        if per != 1 and exposure is None:
            raise DesignError("per= goes with exposure=", fix="name the exposure of the count, or leave per= out")
        frame = as_pandas(data, "data")
        check_columns(frame, columns)
        if not len(frame):
            raise DataError("the data have no rows", fix="give one row for each unit and period")
        faults = Faults()
        fields = (panel_fields if unit is not None else cross_section_fields)(frame, columns, faults)
        if fields["exposures"] is not None:
            fields |= {"outcomes": fields["outcomes"] * per, "exposures": fields["exposures"] / per}
        self._set(
            {**fields, "per": float(per), "findings": tuple(faults.findings), "columns": MappingProxyType(columns)}
        )

    def _set(self, fields: Mapping[str, Any]) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, read_only(value) if isinstance(value, np.ndarray) else value)

    def _changed(self, **changes: Any) -> Panel:
        new = object.__new__(type(self))
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        new._set({**fields, **changes})
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        """Read-only mappings do not pickle; panels must (joblib workers)."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _rebuild, ({**fields, "columns": dict(self.columns)},)

    @property
    def measure(self) -> str:
        """What one number of the outcome is: its column, or the rate in words."""
        from wwc_eval.did.panel_views import measure

        return measure(self)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def n_periods(self) -> int:
        """Number of periods T."""
        return len(self.periods)

    @property
    def n_clusters(self) -> int:
        """Number of clusters above the units; of units where there are none."""
        return len(self.cluster_labels)

    @property
    def clustered(self) -> bool:
        """Whether clusters above the units were given."""
        return self.columns["cluster"] is not None

    @cached_property
    def observed(self) -> NDArray[np.bool_]:
        """Which cells have an outcome, shape (n, T)."""
        return ~np.isnan(self.outcomes)

    @cached_property
    def balanced(self) -> bool:
        """Whether every unit has an outcome in every period."""
        return not np.isnan(self.outcomes).any()

    @cached_property
    def treated(self) -> NDArray[np.bool_]:
        """Whether each cell is treated, shape (n, T)."""
        return np.arange(self.n_periods) >= self.adopted[:, None]

    def clusters_of(self, units: NDArray[np.bool_]) -> int:
        """Number of clusters with at least one of some units."""
        return int(np.count_nonzero(np.bincount(self.clusters[units], minlength=1)))

    @cached_property
    def cohorts(self) -> Ints:
        """Distinct values of ``adopted``, ascending; T, where it occurs, is the never treated."""
        return np.flatnonzero(np.bincount(self.adopted, minlength=self.n_periods + 1)).astype(np.int64)

    @property
    def cohort_labels(self) -> tuple[Any, ...]:
        """Label of each of ``cohorts``: its first treated period, or "never treated"."""
        return tuple(self.period_label(k) if k < self.n_periods else NEVER for k in self.cohorts)

    @cached_property
    def events(self) -> Ints:
        """Periods since the first treated one, shape (n, T); meaningless for units not treated within the panel."""
        first = self.times[np.minimum(self.adopted, self.n_periods - 1)]
        return self.times[None, :] - first[:, None]

    def period_label(self, position: int) -> Any:
        """Label of a period as a plain value."""
        label = self.periods[position]
        return label.item() if isinstance(label, np.generic) else label

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows used, in the caller's columns and order."""
        source: pd.DataFrame = self.source
        if self.rows is None:
            return source
        used = np.sort(self.rows[(self.rows >= 0) & self.observed])
        return source if len(used) == len(source) else source.iloc[used]

    def covariate(self, name: str) -> Floats:
        """A numeric column by cell, shape (n, T); missing where the cell is.

        Raises
        ------
        DataError
            If there is no such column, or a value is no number.
        DesignError
            For repeated cross-sections, whose rows are children.
        """
        from wwc_eval.did.panel_building import spread_column

        self.need_units("a covariate by cell")
        return spread_column(self, name)

    def need_units(self, what: str) -> None:
        """Refuse repeated cross-sections.

        Raises
        ------
        DesignError
            If the panel has no units that are seen again.
        """
        if self.cross_sections:
            raise DesignError(
                f"{what} needs units that are seen again and again; these are repeated cross-sections",
                fix="give unit=, or aggregate the rows to one a cluster and period",
            )

    def with_adopted(self, adopted: Any) -> Panel:
        """The same panel with other first treated periods: placebo dates, permutations.

        Parameters
        ----------
        adopted : array of int, shape (n,)
            Position in ``periods`` of each unit's first treated period; T for never.

        Raises
        ------
        DesignError
            If the shape differs, or a position lies outside 0 to T.
        """
        from wwc_eval.did.panel_parts import with_adopted

        return with_adopted(self, adopted)

    def with_outcomes(self, outcomes: Any) -> Panel:
        """The same panel with another outcome, shape (n, T); counts and exposures do not go along.

        Raises
        ------
        DesignError
            If the shape differs, or for repeated cross-sections.
        """
        from wwc_eval.did.panel_parts import with_outcomes

        return with_outcomes(self, outcomes)

    def without(self, units: Iterable[Any]) -> Panel:
        """The panel without some units.

        Raises
        ------
        DataError
            If a unit is not in the panel.
        """
        from wwc_eval.did.panel_parts import without

        return without(self, units)

    def between(self, first: Any = None, last: Any = None) -> Panel:
        """The panel from one period to another, both included; units treated before are always treated in it.

        Raises
        ------
        DataError
            If a period is not in the panel.
        """
        from wwc_eval.did.panel_parts import between

        return between(self, first, last)

    def position(self, period: Any) -> int:
        """Position of a period, by its label.

        Raises
        ------
        DataError
            If the panel has no such period.
        """
        from wwc_eval.did.panel_parts import position

        return position(self, period)

    def trends(self, ax: Axes | None = None) -> Axes:
        """Mean outcome by period of each cohort, with the first treated period marked."""
        from wwc_eval.did.panel_views import trends

        return trends(self, ax)

    def timing(self, ax: Axes | None = None) -> Axes:
        """Map of units by period: untreated, treated or without an outcome."""
        from wwc_eval.did.panel_views import timing

        return timing(self, ax)

    def plot(self, ax: Axes | None = None, *, kind: Literal["trends", "timing"] = "trends") -> Axes:
        """Raw trends by cohort, or the map of treatment timing."""
        from wwc_eval.errors import check_choice

        return self.trends(ax) if check_choice("kind", kind, ("trends", "timing")) == "trends" else self.timing(ax)

    def summary(self) -> Table:
        """One row a cohort: units, clusters, treated periods and cells with an outcome."""
        from wwc_eval.did.panel_views import summary

        return summary(self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of :meth:`summary`."""
        return self.summary().to_dicts()

    def _grid(self) -> Grid:
        return self.summary()._grid()

    def _title(self) -> str:
        return self.summary()._title()

    def _notes(self) -> tuple[str, ...]:
        return self.summary()._notes()


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view of an array that cannot be written to."""
    view = array.view()
    view.setflags(write=False)
    return view


def _rebuild(fields: dict[str, Any]) -> Panel:
    new = object.__new__(Panel)
    new._set({**fields, "columns": MappingProxyType(fields["columns"])})
    return new
