"""The design of a model: response, matrix and groups, with everything that was decided on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wwc_eval.errors import DataError, FormulaError, Problem, shown
from wwc_eval.formula.aliasing import Alias, Dependence
from wwc_eval.formula.checks import NUMERIC, check_complete, check_finite
from wwc_eval.formula.columns import (
    DataColumn,
    FloatArray,
    IntArray,
    check_frame,
    label_of,
    rows_text,
    unknown_columns,
)
from wwc_eval.formula.encoding import Constants, FactorLevels, evaluate
from wwc_eval.formula.matrix import Layout
from wwc_eval.formula.terms import Factor, RandomTerm

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula.model import Formula

__all__ = ["Design", "RandomColumns", "Recipe"]

# other rows may miss the combination of an aliased column by this share, and by this many times what rounding
# made the rows of the model miss it
ESTIMABLE = 1e-6
SLACK = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomColumns:
    """Columns whose coefficients vary by group, of one random term.

    Parameters
    ----------
    term : RandomTerm
        The term; its ``groups`` are keys of ``Design.groups``.
    names : tuple of str
        Names of the columns, the intercept first where it varies.
    Z : array, shape (n, q)
        The columns (q = 1 and all ones for a random intercept).
    """

    term: RandomTerm
    names: tuple[str, ...]
    Z: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """What is needed to encode other rows in the same way."""

    layout: Layout
    factors: Mapping[Factor, FactorLevels]
    constants: dict[Factor, Constants]
    dependence: Dependence


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Design:
    """Response, design matrix and groups of a formula for one data frame.

    Parameters
    ----------
    formula : Formula
        The formula.
    outcome : array, shape (n,), optional
        Response, or successes; None for a one-sided formula. Read it as ``y``.
    trials : array, shape (n,), optional
        Trials of ``successes / trials``.
    X : array, shape (n, p)
        Design matrix without aliased columns, row by row in memory.
    terms : tuple of str
        Names of its p columns: ``(Intercept)``, ``arm[programme]``, ``centre(age)``, ``poly(x, 2)[1]``.
    assign : tuple of int
        For each column the position of its term in ``formula.fixed``; -1 for the intercept.
    reference_levels : dict
        Reference level of each factor that is compared with one.
    levels : dict
        Levels of each factor column in order, declared ones that do not occur included.
    rows : integer array, shape (n,)
        Positions in the data of the rows used, ascending.
    n_rows_in, n_dropped : int
        Rows of the data, and rows left out because a value is missing.
    dropped : dict
        For each column with missing values the number of rows where it is missing.
    aliased : tuple of Alias
        Columns left out because earlier ones determine them.
    groups, group_levels : dict
        For each grouping of the random part its code by row, shape (n,), and the levels the codes stand for.
    random_columns : tuple of RandomColumns
        One for each random term.
    kept : dict
        Values of the extra columns asked for, in the rows used.
    recipe : Recipe
        Constants and layout, which :meth:`matrix` uses.
    """

    formula: Formula
    outcome: FloatArray | None
    trials: FloatArray | None
    X: FloatArray
    terms: tuple[str, ...]
    assign: tuple[int, ...]
    reference_levels: dict[str, Any]
    levels: dict[str, tuple[Any, ...]]
    rows: IntArray
    n_rows_in: int
    n_dropped: int
    dropped: dict[str, int]
    aliased: tuple[Alias, ...]
    groups: dict[str, IntArray]
    group_levels: dict[str, tuple[str, ...]]
    random_columns: tuple[RandomColumns, ...]
    kept: dict[str, npt.NDArray[Any]]
    recipe: Recipe = field(repr=False)

    @property
    def y(self) -> FloatArray:
        """Response, shape (n,): numbers (true is 1), or successes where there are trials.

        Raises
        ------
        FormulaError
            If the formula has no response.
        """
        if self.outcome is None:
            raise FormulaError(f"{shown(self.formula.text)} has no response", fix="write the outcome left of '~'")
        return self.outcome

    @property
    def n(self) -> int:
        """Number of rows used."""
        return len(self.rows)

    @property
    def constants(self) -> dict[str, Constants]:
        """Constants behind ``centre``, ``scale`` and ``poly``, by the text of the part."""
        return {part.text: value for part, value in self.recipe.constants.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for a report: reference levels, rows left out, columns left out."""
        found = []
        if self.reference_levels:
            listed = ", ".join(f"{name} = {label_of(level)}" for name, level in self.reference_levels.items())
            found.append(f"Reference levels: {listed}.")
        if self.n_dropped:
            listed = ", ".join(f"{name} {count:,}" for name, count in self.dropped.items())
            found.append(
                f"{self.n_dropped:,} of {rows_text(self.n_rows_in)} left out for missing values ({listed})."
            )
        found += [f"Left out of the model: {alias}." for alias in self.aliased]
        return tuple(found)

    def matrix(self, data: pd.DataFrame) -> FloatArray:
        """Design matrix of other rows: same columns, same constants, same levels.

        Parameters
        ----------
        data : pandas.DataFrame
            Rows to encode; the columns of the fixed part are needed, the response is not.

        Returns
        -------
        array, shape (len(data), p)

        Raises
        ------
        FormulaError
            If a column is unknown or has another type than before.
        DataError
            If a value is missing, infinite or a level that did not occur, or if the rows break the
            dependence behind an aliased column, so that no prediction is determined for them.

        Examples
        --------
        >>> import pandas as pd
        >>> from wwc_eval.formula import parse_formula
        >>> design = parse_formula("y ~ centre(x)").design(pd.DataFrame({"y": [0, 1, 1], "x": [1, 2, 6]}))
        >>> design.matrix(pd.DataFrame({"x": [3.0]}))
        array([[1., 0.]])
        """
        parts = {part for term in self.formula.fixed for part in term.factors}
        names = sorted({part.column for part in parts})
        frame = check_frame(data)
        unknown_columns(names, frame, source=shown(self.formula.text))
        columns = {name: DataColumn(name, frame[name]) for name in names}
        recipe = self.recipe
        self._check_new(columns, {part.column for part in parts if part not in recipe.factors}, len(frame))
        known = {part.column: recipe.factors[part] for part in parts if part in recipe.factors}
        codes = {name: levels.codes(columns[name], seen=True) for name, levels in known.items()}
        X = recipe.layout.fill(
            len(frame),
            codes.__getitem__,
            lambda part: evaluate(part, lambda name: columns[name].numbers, recipe.constants, fitting=False),
        )
        return self._estimable(X)

    @staticmethod
    def _check_new(columns: Mapping[str, DataColumn], numeric: Iterable[str], rows: int) -> None:
        """Refuse new rows with missing or infinite values, or text where a number was."""
        problems = [
            Problem(
                message=f"'{name}' holds {columns[name].described}, and held numbers when the model was made",
                place=columns[name].place,
                fix="convert the column to numbers",
            )
            for name in sorted(numeric)
            if columns[name].kind not in NUMERIC
        ]
        if problems:
            raise FormulaError(problems=problems)
        check_complete(columns.values(), rows=rows, fix="leave those rows out")
        check_finite(columns.values())

    def _estimable(self, X: FloatArray) -> FloatArray:
        """The kept columns, after checking that the dropped ones still follow from them."""
        dependence = self.recipe.dependence
        if not dependence.dropped:
            return X
        kept = np.ascontiguousarray(X[:, dependence.kept])
        for index, coefficients in dependence.dropped.items():
            implied = kept @ coefficients
            size = np.maximum(np.abs(kept) @ np.abs(coefficients), np.abs(X[:, index]))
            allowed = ESTIMABLE * size + SLACK * dependence.slack[index]
            wrong = int((np.abs(X[:, index] - implied) > allowed).sum())
            if wrong:
                name = self.recipe.layout.names[index]
                raise DataError(
                    f"nothing is known about {wrong:,} of {rows_text(len(X))}: '{name}' was left out of the "
                    "model because earlier columns determined it, and here they do not",
                    value=next(str(alias) for alias in self.aliased if alias.term == name),
                    fix="leave one of the variables out of the formula, or predict only for rows like those fitted",
                )
        return kept

    def __repr__(self) -> str:
        """Formula, size and notes."""
        rows, p = self.X.shape
        return "\n".join([f"Design of {self.formula.text}: {rows:,} rows, {p} columns", *self.notes])
