"""From terms to the columns of a matrix: which columns each term makes, their names, and filling them in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from wwc_eval.errors import FormulaError
from wwc_eval.formula.coding import Block, choose_codings
from wwc_eval.formula.columns import FloatArray, IntArray
from wwc_eval.formula.encoding import FactorLevels
from wwc_eval.formula.terms import Call, Factor, Term

__all__ = ["INTERCEPT", "Layout", "lay_out"]

INTERCEPT = "(Intercept)"
# 4 GB of numbers: no sensible model is larger, and a key column taken for a factor is
MAX_CELLS = 500_000_000

Codes = Callable[[str], IntArray]
Numbers = Callable[[Factor], FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One part of a block: its width and labels, and for a factor the column of each level (-1: none)."""

    factor: Factor
    labels: tuple[str, ...]
    positions: IntArray | None

    @property
    def width(self) -> int:
        """Number of columns it has on its own."""
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Span:
    """Columns ``start`` to ``start + width`` of a matrix: the products of the columns of some parts.

    As in R the first part varies fastest.
    """

    term: int
    start: int
    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return math.prod(part.width for part in self.parts)

    def names(self) -> tuple[str, ...]:
        """Names of the columns in order."""
        reverse = product(*(part.labels for part in reversed(self.parts)))
        return tuple(":".join(reversed(labels)) for labels in reverse)

    def fill(self, X: FloatArray, codes: Codes, numbers: Numbers) -> None:
        """Write the columns into a matrix of zeros."""
        offset: IntArray | int = self.start
        inside = None
        numeric: list[tuple[FloatArray, int]] = []
        stride = 1
        for part in self.parts:
            if part.positions is None:
                numeric.append((numbers(part.factor), stride))
            else:
                place = part.positions[codes(part.factor.column)]
                offset = offset + stride * place
                if (part.positions < 0).any():
                    inside = place >= 0 if inside is None else inside & (place >= 0)
            stride *= part.width
        rows: IntArray | slice = slice(None)
        if isinstance(offset, np.ndarray):
            rows = np.arange(len(X)) if inside is None else np.flatnonzero(inside)
            offset = offset if inside is None else offset[rows]
        for choice in product(*(range(_width(values)) for values, _ in numeric)):
            column = offset
            value: FloatArray | float = 1.0
            for (values, step), index in zip(numeric, choice, strict=True):
                column = column + step * index
                value = value * (values if values.ndim == 1 else values[:, index])[rows]
            X[rows, column] = value


def _width(values: FloatArray) -> int:
    return 1 if values.ndim == 1 else values.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Every column of a matrix before aliased ones are taken out.

    Parameters
    ----------
    intercept : bool
        Whether column 0 is constant.
    names : tuple of str
        Names of the columns.
    assign : tuple of int
        Position of the term that each column belongs to; -1 for the intercept.
    spans : tuple of Span
        How the columns are filled.
    empty : tuple of int
        Positions of terms that make no column, for their factors have one level.
    contrasts : frozenset of str
        Factor columns that are compared with a reference level somewhere.
    """

    intercept: bool
    names: tuple[str, ...]
    assign: tuple[int, ...]
    spans: tuple[Span, ...]
    empty: tuple[int, ...]
    contrasts: frozenset[str]

    def fill(self, rows: int, codes: Codes, numbers: Numbers) -> FloatArray:
        """The matrix, shape (rows, number of columns), row by row in memory."""
        X = np.zeros((rows, len(self.names)))
        if self.intercept:
            X[:, 0] = 1.0
        # what overflows is refused when the sizes of the columns are checked
        with np.errstate(over="ignore", under="ignore"):
            for span in self.spans:
                span.fill(X, codes, numbers)
        return X


def lay_out(
    terms: Sequence[Term], *, intercept: bool, factors: Mapping[Factor, FactorLevels], rows: int
) -> Layout:
    """Columns that terms make.

    Parameters
    ----------
    terms : sequence of Term
        Terms in model order.
    intercept : bool
        Whether a constant stands before them.
    factors : mapping
        Levels of every part that is a factor; other parts are numeric.
    rows : int
        Rows the matrix will have, to refuse one that no machine holds.

    Raises
    ------
    FormulaError
        If the matrix would be too large or two columns would have one name.
    """
    blocks = choose_codings(terms, intercept=intercept, is_factor=lambda part: part in factors)
    start = 1 if intercept else 0
    spans = []
    empty = []
    for index, term in enumerate(terms):
        before = start
        for block in blocks[index]:
            parts = tuple(
                _part(part, block, factors) for part in term.factors if _takes_part(part, block, factors)
            )
            span = Span(term=index, start=start, parts=parts)
            if span.width:
                spans.append(span)
            start += span.width
            _check_size(start, rows, term)
        if start == before:
            empty.append(index)
    names = ((INTERCEPT,) if intercept else ()) + tuple(name for span in spans for name in span.names())
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormulaError(f"two columns would be named '{twice}'", fix="rename a column or a level")
    assign = ((-1,) if intercept else ()) + tuple(span.term for span in spans for _ in range(span.width))
    coded = (part for term_blocks in blocks for block in term_blocks for part in block.items())
    return Layout(
        intercept=intercept,
        names=names,
        assign=assign,
        spans=tuple(spans),
        empty=tuple(empty),
        contrasts=frozenset(part.column for part, full in coded if not full),
    )


def _takes_part(part: Factor, block: Block, factors: Mapping[Factor, FactorLevels]) -> bool:
    """A numeric part multiplies every block of its term, a factor only those that hold it."""
    return part not in factors or part in block


def _part(part: Factor, block: Block, factors: Mapping[Factor, FactorLevels]) -> Part:
    if part not in factors:
        degree = part.degree if isinstance(part, Call) and part.function == "poly" else None
        labels = (part.text,) if degree is None else tuple(f"{part.text}[{k}]" for k in range(1, degree + 1))
        return Part(factor=part, labels=labels, positions=None)
    full = block[part]
    labels = tuple(f"{part.text}[{label}]" for label in factors[part].labels(full=full))
    return Part(factor=part, labels=labels, positions=factors[part].positions(full=full))


def _check_size(columns: int, rows: int, term: Term) -> None:
    if columns * rows > MAX_CELLS:
        raise FormulaError(
            f"'{term.text}' brings the design to {columns:,} columns for {rows:,} rows",
            rule=f"at most {MAX_CELLS:,} cells",
            fix="a column with so many levels belongs in a random part, (1 | group), or is a key",
        )
