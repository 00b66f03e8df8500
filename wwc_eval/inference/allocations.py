"""Many allocations of the same units, for refits of any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DataError, DesignError, did_you_mean, shown
from wwc_eval.formula.columns import label_of

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Design

__all__ = ["Allocations", "arm_of", "read_allocations", "term_of", "used_columns"]

Floats = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocations:
    """Values of the arm's column under many allocations, held once a unit.

    Parameters
    ----------
    codes : (R, units) array
        Position in ``labels`` of what each unit gets; the value itself where there are no labels.
    place : (n,) integers, optional
        Unit of each row used; missing where every row is its own.
    labels : array, optional
        Values of the arm's column.
    """

    codes: np.ndarray[tuple[int, ...], np.dtype[Any]]
    place: Index | None
    labels: NDArray[np.object_] | None

    @classmethod
    def of(cls, values: Any, place: Index | None, column: str) -> Allocations:
        """From values (R, units), none of them missing.

        Raises
        ------
        DataError
            If a value is missing.
        """
        import pandas as pd

        if values.dtype.kind in "biuf":
            codes, labels = values, None
            missing = bool(np.isnan(values).any()) if values.dtype.kind == "f" else False
        else:
            flat, found = pd.factorize(values.ravel())
            codes, labels = flat.reshape(values.shape).astype(np.int32), np.asarray(found, dtype=object)
            missing = bool((codes < 0).any())
        if missing:
            raise DataError(f"an allocation leaves '{column}' missing", fix="allocate every unit")
        return cls(codes=codes, place=place, labels=labels)

    def __len__(self) -> int:
        return len(self.codes)

    def column(self, level: Any, part: slice, order: Index) -> Floats:
        """Column of the design for a level of the arm (None: the values themselves): (B, n), rows in an order."""
        codes = self.codes[part]
        if level is None:
            found = codes.astype(float)
        elif self.labels is None:
            found = (codes == level).astype(float)
        else:
            found = np.isin(codes, np.flatnonzero(self.labels == level)).astype(float)
        return found[:, order if self.place is None else self.place[order]]

    def values(self, k: int) -> Any:
        """Values of the arm's column over the rows used in the k-th allocation."""
        codes = self.codes[k] if self.place is None else self.codes[k, self.place]
        return codes if self.labels is None else self.labels[codes]


def read_allocations(
    arms: Any, *, source: pd.DataFrame, rows: Index, column: str, unit: str | None
) -> Allocations:
    """Allocations as given: arrays over rows, or a frame whose columns are units.

    Parameters
    ----------
    arms : (R, rows) array, or DataFrame
        One allocation a row, in values of the arm's column. With ``unit`` a DataFrame whose columns are units.
    source : DataFrame
        The data as given.
    rows : (n,) integers
        Rows used.
    column : str
        The arm's column.
    unit : str, optional
        Column of the data that says which unit a row belongs to.

    Raises
    ------
    DesignError
        If the data have no such column.
    DataError
        If shapes do not fit, a unit was not allocated, or an arm is missing.
    """
    import pandas as pd

    if unit is None:
        return Allocations.of(used_columns(np.asarray(arms), "arms", rows=rows, of=len(source)), None, column)
    if unit not in source.columns:
        raise DesignError(
            f"the data have no column '{unit}'", fix=did_you_mean(unit, [str(c) for c in source.columns])
        )
    if not isinstance(arms, pd.DataFrame):
        raise DataError("allocations of units need a DataFrame whose columns are the units")
    rank = {label_of(name): k for k, name in enumerate(arms.columns)}
    codes, units = pd.factorize(source[unit].iloc[rows], use_na_sentinel=False)
    labels = [label_of(value) for value in units]
    lost = next((label for label in labels if label not in rank), None)
    if lost is not None:
        raise DataError(f"{unit} {shown(lost)} is in the data but not among the units allocated")
    places = [rank[label] for label in labels]
    return Allocations.of(arms.to_numpy()[:, places], np.asarray(codes, dtype=np.intp), column)


def used_columns(values: Any, name: str, *, rows: Index, of: int) -> Any:
    """Columns of the rows used, from an array (R, rows used) or (R, all rows of the data).

    Raises
    ------
    DataError
        If it has another shape.
    """
    if values.ndim != 2 or values.shape[1] not in (len(rows), of):
        raise DataError(
            f"{name} have shape {values.shape}, must be (refits, {len(rows):,} rows used)",
            fix="put one refit in each row",
        )
    return values if values.shape[1] == len(rows) else values[:, rows]


def term_of(design: Design, term: str | None, column: str | None) -> str:
    """Coefficient that refits report: as named, else the first of the arm's, else the first after the intercept.

    Raises
    ------
    DesignError
        If the model has no such term.
    """
    if term is not None:
        if term not in design.terms:
            raise DesignError(f"the model has no term '{term}'", fix=did_you_mean(term, design.terms))
        return term
    fixed = design.formula.fixed
    wanted = [
        name
        for name, owner in zip(design.terms, design.assign, strict=True)
        if owner >= 0 and (not column or fixed[owner].columns == {column})
    ]
    return (wanted or list(design.terms))[0]


def arm_of(design: Design, term: str | None, arm: str | None) -> str:
    """Column of the allocation: as named, else that of the term, else of the first term.

    Raises
    ------
    DesignError
        If it is not in the fixed part, or not clear.
    """
    fixed = design.formula.fixed
    known = sorted({name for each in fixed for name in each.columns})
    if arm is not None:
        if arm not in known:
            raise DesignError(f"'{arm}' is not in the fixed part", fix=did_you_mean(arm, known))
        return arm
    owner = design.assign[design.terms.index(term)] if term in design.terms else 0
    if not fixed or owner < 0 or len(fixed[owner].columns) != 1:
        raise DesignError("the column of the allocation is not clear", fix="name it: arm='...'")
    return str(next(iter(fixed[owner].columns)))
