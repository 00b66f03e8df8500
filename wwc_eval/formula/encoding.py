"""Numbers behind the parts of a term: transformed columns with their constants, and factors with their levels.

Constants (means, standard deviations, polynomial coefficients, levels) come from the rows used in the model
and are kept, so that new data are encoded in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from wwc_eval.errors import DataError, FormulaError, Place, shown
from wwc_eval.formula.columns import DataColumn, FloatArray, IntArray, label_of, plain, rows_text, sorted_levels
from wwc_eval.formula.terms import Call, Factor, Power

__all__ = ["Constants", "FactorLevels", "Location", "Orthogonal", "declared_levels", "evaluate", "fit_levels"]

LARGEST = 1e100
# below this share of its size the spread of a column is rounding error
ROUNDING = 1e-13
SHOWN_VALUES = 8


@dataclass(frozen=True, kw_only=True)
class Location:
    """Constants of ``centre`` (sd is 1) and ``scale``: ``(x - mean) / sd``."""

    mean: float
    sd: float


@dataclass(frozen=True, kw_only=True)
class Orthogonal:
    """Constants of ``poly(x, k)``, named as in R's ``poly``.

    Parameters
    ----------
    mean : float
        Mean of x.
    centres : tuple of float
        The k centres of the recurrence less the mean, which keeps their digits where x is large.
    norm2 : tuple of float
        Squared norms of the polynomials of degree 0 to k before they are scaled to norm 1.
    """

    mean: float
    centres: tuple[float, ...]
    norm2: tuple[float, ...]

    @property
    def alpha(self) -> tuple[float, ...]:
        """The centres on the scale of x, as R's ``poly`` gives them."""
        return tuple(self.mean + centre for centre in self.centres)


Constants: TypeAlias = Location | Orthogonal


def evaluate(
    part: Factor,
    numbers: Callable[[str], FloatArray],
    constants: dict[Factor, Constants],
    *,
    fitting: bool,
) -> FloatArray:
    """Values of a numeric part: shape (n,), or (n, k) for ``poly``.

    Parameters
    ----------
    part : Variable, Call or Power
        What to compute.
    numbers : callable
        Gives the values of a column in the rows used.
    constants : dict
        Constants by part; filled where ``fitting``, else only read.
    fitting : bool
        Whether constants are taken from these values.

    Raises
    ------
    FormulaError
        If a value has no logarithm or square root, or the column does not vary enough.
    """
    if isinstance(part, Power):
        base = evaluate(part.argument, numbers, constants, fitting=fitting)
        with np.errstate(over="ignore", under="ignore"):
            return _finite(base**part.exponent, part)
    if not isinstance(part, Call):
        return numbers(part.name)
    values = evaluate(part.argument, numbers, constants, fitting=fitting)
    if part.function in {"log", "sqrt"}:
        return _rooted(part, values)
    if fitting and part not in constants:
        # sums over sorted values, so that the order of the rows does not change the last digit
        constants[part] = _fit(part, np.sort(values))
    known = constants[part]
    if isinstance(known, Orthogonal):
        return _orthogonal(values, known)
    centred = values - known.mean
    return centred if part.function == "centre" else centred / known.sd


def _rooted(part: Call, values: FloatArray) -> FloatArray:
    """Logarithm or square root, refused where it does not exist."""
    log = part.function == "log"
    bad = values <= 0 if log else values < 0
    if bad.any():
        count = int(bad.sum())
        raise FormulaError(
            f"{part.text} does not exist in {rows_text(count)}",
            place=Place(column=part.column),
            value=f"smallest value {values.min():g}",
            rule="values above 0" if log else "values of 0 or above",
            fix="correct or exclude those rows, or use another transformation",
        )
    return np.log(values) if log else np.sqrt(values)


def _finite(values: FloatArray, part: Factor) -> FloatArray:
    if not (np.abs(values) <= LARGEST).all():
        raise FormulaError(
            f"{part.text} is too large for a number", place=Place(column=part.column), fix="scale the column first"
        )
    return values


def _fit(part: Call, ordered: FloatArray) -> Constants:
    """Constants of centre, scale or poly from values in ascending order."""
    mean = float(ordered.mean())
    if part.function == "centre":
        return Location(mean=mean, sd=1.0)
    distinct = 1 + int(np.count_nonzero(np.diff(ordered) > ROUNDING * np.abs(ordered[[0, -1]]).max()))
    if part.function == "scale":
        if distinct == 1:
            raise _unvarying(part, f"the column has the same value in all {len(ordered):,} rows used")
        return Location(mean=mean, sd=float(ordered.std(ddof=1)))
    degree = part.degree or 1
    if distinct <= degree:
        raise _unvarying(
            part, f"a curve of degree {degree} needs more than {degree} distinct values, not {distinct}"
        )
    return _fit_orthogonal(ordered, mean, degree)


def _unvarying(part: Call, message: str) -> FormulaError:
    return FormulaError(
        f"{part.text}: {message}", place=Place(column=part.column), fix="leave the term out or lower its degree"
    )


def _fit_orthogonal(ordered: FloatArray, mean: float, degree: int) -> Orthogonal:
    """Recurrence of the monic polynomials orthogonal on the values (Stieltjes)."""
    centred = ordered - mean
    before = np.zeros_like(centred)
    current = np.ones_like(centred)
    norm2 = [float(len(centred))]
    centres = []
    for step in range(degree):
        weight = current**2
        centres.append(float((centred * weight).sum()) / norm2[-1])
        ratio = norm2[-1] / norm2[-2] if step else 0.0
        before, current = current, (centred - centres[-1]) * current - ratio * before
        norm2.append(float((current**2).sum()))
    return Orthogonal(mean=mean, centres=tuple(centres), norm2=tuple(norm2))


def _orthogonal(values: FloatArray, known: Orthogonal) -> FloatArray:
    """Columns of ``poly``: p[i+1] = (x - alpha[i]) p[i] - (norm2[i] / norm2[i-1]) p[i-1], scaled to length 1."""
    centred = values - known.mean
    columns = np.empty((len(values), len(known.centres)))
    before = np.zeros_like(centred)
    current = np.ones_like(centred)
    for step, centre in enumerate(known.centres):
        ratio = known.norm2[step] / known.norm2[step - 1] if step else 0.0
        before, current = current, (centred - centre) * current - ratio * before
        columns[:, step] = current / np.sqrt(known.norm2[step + 1])
    return columns


@dataclass(frozen=True, kw_only=True)
class FactorLevels:
    """Levels of a factor column in the rows used.

    Parameters
    ----------
    column : str
        Name of the column.
    levels : tuple
        Declared levels in order, or the sorted levels that occur.
    occurs : tuple of bool
        Whether each level occurs in the rows used.
    """

    column: str
    levels: tuple[Any, ...]
    occurs: tuple[bool, ...]

    @property
    def reference(self) -> int:
        """Position of the reference level: the first that occurs, for nothing can be compared with an empty one."""
        return self.occurs.index(True) if True in self.occurs else 0

    def positions(self, *, full: bool) -> IntArray:
        """Column of each level inside the factor's block; -1 for the reference level of a contrast coding."""
        places = np.arange(len(self.levels))
        if full:
            return places
        places[places > self.reference] -= 1
        places[self.reference] = -1
        return places

    def labels(self, *, full: bool) -> tuple[str, ...]:
        """Label of each column of the factor's block."""
        return tuple(label_of(level) for index, level in enumerate(self.levels) if full or index != self.reference)

    def codes(self, column: DataColumn, used: IntArray | None = None, *, seen: bool = False) -> IntArray:
        """Level of each row of a column, -1 where missing.

        Parameters
        ----------
        column : DataColumn
            The column to code.
        used : integer array, optional
            Positions of the rows wanted; None for all.
        seen : bool
            Whether a declared level that did not occur in the rows used is refused too.

        Raises
        ------
        DataError
            If a value is none of the levels.
        """
        found, values = column.coded
        found = found if used is None else found[used]
        allowed = zip(self.levels, self.occurs, strict=True)
        position = {level: index for index, (level, here) in enumerate(allowed) if here or not seen}
        # one place more, so that code -1 (missing) reads -1
        lookup = np.array([*(position.get(value, -2) for value in values), -1], dtype=np.intp)
        codes: IntArray = lookup[found]
        if -2 in lookup:
            outside = codes == -2
            if outside.any():
                strange = [values[index] for index in np.unique(found[outside])]
                raise _outside(self.column, strange, tuple(position), int(outside.sum()), seen=seen)
        return codes


def _outside(column: str, strange: Sequence[Any], levels: Sequence[Any], count: int, *, seen: bool) -> DataError:
    listed = ", ".join(shown(value) for value in strange[:SHOWN_VALUES])
    more = f" and {len(strange) - SHOWN_VALUES} more" if len(strange) > SHOWN_VALUES else ""
    known = ", ".join(shown(level) for level in levels[:SHOWN_VALUES])
    rest = f" and {len(levels) - SHOWN_VALUES} more" if len(levels) > SHOWN_VALUES else ""
    where = "that did not occur in the rows of the model" if seen else "outside its levels"
    fix = "correct the values, or declare them as levels"
    if seen:
        fix = "leave those rows out: the model says nothing about them"
    elif {type(value) for value in strange}.isdisjoint(type(level) for level in levels):
        fix = "declare the levels as the column holds them: numbers, or text in quotes"
    return DataError(
        f"{rows_text(count)} of '{column}' {'has a value' if count == 1 else 'have values'} {where}",
        place=Place(column=column),
        value=listed + more,
        rule=f"one of {known}{rest}",
        fix=fix,
    )


def declared_levels(column: str, levels: object) -> tuple[Any, ...]:
    """Declared levels as a tuple.

    Raises
    ------
    DataError
        If they are not a list, are empty, hold a level twice or a missing value.
    """
    import pandas as pd

    place = Place(column=column)
    if isinstance(levels, (str, bytes, Mapping)) or not hasattr(levels, "__iter__"):
        raise DataError(f"levels of '{column}' must be a list", place=place, value=shown(levels))
    listed = tuple(plain(level) for level in levels)
    if not listed:
        raise DataError(f"levels of '{column}' are an empty list", place=place, fix="list them, reference first")
    if any(not pd.api.types.is_scalar(level) or pd.isna(level) for level in listed):
        raise DataError(f"levels of '{column}' hold a missing or compound value", place=place, value=shown(listed))
    if len(set(listed)) < len(listed):
        raise DataError(f"levels of '{column}' name a level twice", place=place, value=shown(listed))
    return listed


def fit_levels(column: DataColumn, declared: Sequence[Any] | None, used: IntArray | None) -> FactorLevels:
    """Levels of a factor from the declaration, else a Categorical's own order, else sorted.

    Parameters
    ----------
    column : DataColumn
        The whole column; values outside the declared levels are refused wherever they stand.
    declared : sequence, optional
        Declared levels in order.
    used : integer array, optional
        Positions of the rows used; None for all.
    """
    found, values = column.coded
    inside = found if used is None else found[used]
    present = np.bincount(inside[inside >= 0], minlength=len(values)) > 0
    occurring = {value for value, here in zip(values, present, strict=True) if here}
    if declared is not None:
        levels = tuple(declared)
    elif column.kind == "category":
        levels = values
    else:
        levels = sorted_levels(occurring)
    factor = FactorLevels(column=column.name, levels=levels, occurs=tuple(level in occurring for level in levels))
    if declared is not None:
        factor.codes(column)
    return factor
