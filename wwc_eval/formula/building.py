"""Making a design: read the columns, check them all, drop incomplete rows, encode, find aliased columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wwc_eval.errors import FormulaError, check_choice, did_you_mean, shown
from wwc_eval.formula.aliasing import Alias, Dependence, describe, find_dependence
from wwc_eval.formula.checks import (
    check_complete,
    check_counts,
    check_finite,
    check_sizes,
    check_uses,
    is_factor,
    nothing_left,
)
from wwc_eval.formula.columns import (
    BoolArray,
    DataColumn,
    FloatArray,
    IntArray,
    check_frame,
    column_names,
    label_of,
    unknown_columns,
)
from wwc_eval.formula.design import Design, RandomColumns, Recipe
from wwc_eval.formula.encoding import Constants, FactorLevels, declared_levels, evaluate, fit_levels
from wwc_eval.formula.matrix import Layout, lay_out
from wwc_eval.formula.terms import Factor, Term

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula.model import Formula

__all__ = ["build_design"]


def build_design(
    formula: Formula,
    data: pd.DataFrame,
    *,
    levels: Mapping[str, Sequence[Any]],
    keep: Sequence[str],
    missing: str,
) -> Design:
    """Design of a formula; see :meth:`Formula.design`."""
    check_choice("missing", missing, ("drop", "error"))
    work = _read(formula, check_frame(data), levels=levels, keep=keep, missing=missing)
    layout = lay_out(formula.fixed, intercept=formula.intercept, factors=work.factors, rows=work.n)
    full = layout.fill(work.n, work.codes, work.values)
    check_sizes(full, layout.names)
    dependence = find_dependence(full, intercept=formula.intercept)
    X = np.ascontiguousarray(full[:, dependence.kept]) if dependence.dropped else full
    groups = work.groupings()
    random_columns, unused = work.random_columns()
    outcome, trials = work.response()
    return Design(
        formula=formula,
        outcome=outcome,
        trials=trials,
        X=X,
        terms=tuple(layout.names[index] for index in dependence.kept),
        assign=tuple(layout.assign[index] for index in dependence.kept),
        reference_levels=work.reference_levels(layout),
        levels={name: factor.levels for name, factor in work.factor_levels.items()},
        rows=np.arange(work.n) if work.used is None else work.used,
        n_rows_in=len(data),
        n_dropped=len(data) - work.n,
        dropped={name: column.n_missing for name, column in work.columns.items() if column.n_missing},
        aliased=(*_aliases(formula.fixed, layout, dependence, work.factors), *unused),
        groups={name: codes for name, (codes, _) in groups.items()},
        group_levels={name: labels for name, (_, labels) in groups.items()},
        random_columns=random_columns,
        kept=work.kept(),
        recipe=Recipe(layout=layout, factors=work.factors, constants=work.constants, dependence=dependence),
    )


def _read(
    formula: Formula,
    data: pd.DataFrame,
    *,
    levels: Mapping[str, Sequence[Any]],
    keep: Sequence[str],
    missing: str,
) -> _Work:
    """Columns that were checked, with the rows in which none of them is missing."""
    unknown_columns({*formula.columns, *keep}, data, source=shown(formula.text))
    known = column_names(data)
    for name in levels:
        if name not in known:
            raise FormulaError(
                f"levels are declared for '{name}', which the data do not have", fix=did_you_mean(name, known)
            )
    columns = {name: DataColumn(name, data[name]) for name in _in_order(formula, keep)}
    declared = {name: declared_levels(name, listed) for name, listed in levels.items() if name in formula.columns}
    work = _Work(formula=formula, columns=columns, keep=tuple(dict.fromkeys(keep)), declared=declared)
    check_uses(columns, parts=work.parts, response=formula.response, groups=work.group_names, declared=declared)
    check_finite(columns.values())
    if missing == "error":
        check_complete(columns.values(), rows=len(data), fix="fill or exclude those rows, or use missing='drop'")
    masks = [column.missing for column in columns.values() if column.missing is not None]
    work.n = len(data)
    if masks:
        incomplete: BoolArray = np.logical_or.reduce(masks)
        work.used = np.flatnonzero(~incomplete)
        work.n = len(work.used)
    if not work.n:
        raise nothing_left(formula.text, columns.values(), rows=len(data))
    return work


def _in_order(formula: Formula, keep: Sequence[str]) -> list[str]:
    """Columns in the order in which a reader meets them: response, terms, slopes, groups, extras."""
    response = formula.response.columns if formula.response else ()
    terms = [*formula.fixed, *(term for bracket in formula.random for term in bracket.slopes)]
    groups = [name for bracket in formula.random for name in bracket.group_columns[-1]]
    parts = [part.column for term in terms for part in term.factors]
    return list(dict.fromkeys([*response, *parts, *groups, *keep]))


@dataclass(kw_only=True, eq=False)
class _Work:
    """What is read from the data on the way to a design; each column is encoded once."""

    formula: Formula
    columns: dict[str, DataColumn]
    keep: tuple[str, ...]
    declared: dict[str, tuple[Any, ...]]
    n: int = 0
    used: IntArray | None = None
    constants: dict[Factor, Constants] = field(default_factory=dict)
    cache: dict[Factor, FloatArray] = field(default_factory=dict)
    row_codes: dict[str, IntArray] = field(default_factory=dict)

    @cached_property
    def parts(self) -> tuple[Factor, ...]:
        """Every part of every fixed and random term, once."""
        slopes = (term for bracket in self.formula.random for term in bracket.slopes)
        return tuple(dict.fromkeys(part for term in (*self.formula.fixed, *slopes) for part in term.factors))

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        """Columns that group the random part, in order."""
        return tuple(dict.fromkeys(name for term in self.formula.random for name in term.group_columns[-1]))

    @cached_property
    def factor_levels(self) -> dict[str, FactorLevels]:
        """Levels of every factor column of the terms."""
        names = dict.fromkeys(part.column for part in self.parts if is_factor(part, self.columns))
        return {name: self._levels(name) for name in names}

    @cached_property
    def factors(self) -> dict[Factor, FactorLevels]:
        """Levels of every part that is a factor."""
        return {part: self.factor_levels[part.column] for part in self.parts if is_factor(part, self.columns)}

    def _levels(self, name: str) -> FactorLevels:
        return fit_levels(self.columns[name], self.declared.get(name), self.used)

    def take(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values in the rows used."""
        return values if self.used is None else values[self.used]

    def codes(self, name: str) -> IntArray:
        """Level of a factor column in each row used."""
        if name not in self.row_codes:
            self.row_codes[name] = self.factor_levels[name].codes(self.columns[name], self.used)
        return self.row_codes[name]

    def values(self, part: Factor) -> FloatArray:
        """Values of a numeric part in the rows used."""
        if part not in self.cache:
            self.cache[part] = evaluate(part, self._numbers, self.constants, fitting=True)
        return self.cache[part]

    def _numbers(self, name: str) -> FloatArray:
        return self.take(self.columns[name].numbers)

    def response(self) -> tuple[FloatArray | None, FloatArray | None]:
        """Response and trials in the rows used, as arrays of their own."""
        response = self.formula.response
        if response is None:
            return None, None
        # the constants of a transformed response play no part in predictions
        outcome = np.array(evaluate(response.value, self._numbers, {}, fitting=True))
        if response.trials is None:
            return outcome, None
        trials = np.array(self._numbers(response.trials.name))
        check_counts(response, outcome, trials)
        return outcome, trials

    def groupings(self) -> dict[str, tuple[IntArray, tuple[str, ...]]]:
        """Code of each row used, and labels of the codes, for every grouping."""
        single = {}
        for name in self.group_names:
            found = self._levels(name)
            single[name] = (found.codes(self.columns[name], self.used), found)
        return {
            name: _group([single[column] for column in names])
            for term in self.formula.random
            for name, names in zip(term.groups, term.group_columns, strict=True)
        }

    def random_columns(self) -> tuple[tuple[RandomColumns, ...], list[Alias]]:
        """Columns of each random term, and those left out because their level does not occur."""
        made = []
        unused = []
        for term in self.formula.random:
            layout = lay_out(term.slopes, intercept=term.intercept, factors=self.factors, rows=self.n)
            Z = layout.fill(self.n, self.codes, self.values)
            occurs = (Z != 0).any(axis=0)
            if not occurs.any():
                raise FormulaError(f"{term.text} has no column in the rows used", fix="leave the random part out")
            zero = [name for name, here in zip(layout.names, occurs, strict=True) if not here]
            unused += [Alias(term=f"{name} in {term.text}", combination="0") for name in zero]
            names = tuple(name for name in layout.names if name not in zero)
            Z = np.ascontiguousarray(Z[:, occurs]) if zero else Z
            made.append(RandomColumns(term=term, names=names, Z=Z))
        return tuple(made), unused

    def reference_levels(self, layout: Layout) -> dict[str, Any]:
        """Reference level of each factor that is coded by contrasts."""
        return {
            name: found.levels[found.reference]
            for name, found in self.factor_levels.items()
            if name in layout.contrasts
        }

    def kept(self) -> dict[str, npt.NDArray[Any]]:
        """Extra columns in the rows used, as arrays of their own."""
        return {name: self._plain(self.columns[name]) for name in self.keep}

    def _plain(self, column: DataColumn) -> npt.NDArray[Any]:
        """A column as a NumPy array without extension types: whole numbers stay whole (they may be keys)."""
        series = column.series if self.used is None else column.series.iloc[self.used]
        if column.kind == "number":
            if series.dtype.kind in "iu":
                return np.array(series.to_numpy(dtype=np.int64))
            return np.array(self.take(column.numbers))
        kinds: dict[str, Any] = {"flag": np.bool_, "date": "datetime64[ns]"}
        return np.array(series.to_numpy(dtype=kinds.get(column.kind, object)))


def _group(singles: Sequence[tuple[IntArray, FactorLevels]]) -> tuple[IntArray, tuple[str, ...]]:
    """Codes 0, 1, ... of the combinations that occur, ordered by the first column's levels, then the next."""
    combined = np.zeros(len(singles[0][0]), dtype=np.intp)
    labels: list[str] = []
    for codes, found in singles:
        joint = combined * len(found.levels) + codes
        present, combined = np.unique(joint, return_inverse=True)
        before, inside = np.divmod(present, len(found.levels))
        names = [label_of(found.levels[index]) for index in inside]
        labels = [f"{labels[a]}:{b}" for a, b in zip(before, names, strict=True)] if labels else names
    return combined, tuple(labels)


def _aliases(
    terms: Sequence[Term], layout: Layout, dependence: Dependence, factors: Mapping[Factor, FactorLevels]
) -> list[Alias]:
    """Terms and columns left out, each with what it equals."""
    found = []
    for index in layout.empty:
        levels = next(
            factors[part] for part in terms[index].factors if part in factors and len(factors[part].levels) == 1
        )
        why = f"'{levels.column}' has the one level '{label_of(levels.levels[0])}' in the rows used"
        found.append(Alias(term=terms[index].text, combination="0", reason=why))
    names = [layout.names[index] for index in dependence.kept]
    never = {
        f"{part.text}[{label_of(level)}]"
        for part, levels in factors.items()
        for level, here in zip(levels.levels, levels.occurs, strict=True)
        if not here
    }
    for index, coefficients in dependence.dropped.items():
        name = layout.names[index]
        why = "the level does not occur in the rows used" if name in never else ""
        found.append(Alias(term=name, combination=describe(names, coefficients), reason=why))
    return found
