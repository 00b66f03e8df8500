"""From a formula and a data frame to the arrays of a multilevel model, for every family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, Place, did_you_mean, shown
from wwc_eval.formula import Design, Formula, parse_formula
from wwc_eval.inference.frames import to_pandas
from wwc_eval.multilevel.engine.structure import Array, Grouping, Index

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ModelData", "groupings_of", "read_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelData:
    """Everything a fit is made of.

    Parameters
    ----------
    formula : Formula
        The formula.
    design : Design
        Outcome, design matrix, groups, and what was decided on the way.
    groupings : tuple of Grouping
        One for each grouping factor, outermost first as the formula names them.
    source : DataFrame
        The data as given, all rows.
    weights, exposure : (n,) arrays, optional
        Of the rows used.
    roles : mapping
        Column of ``weights`` and ``exposure``, where there is one.
    """

    formula: Formula
    design: Design
    groupings: tuple[Grouping, ...]
    source: pd.DataFrame
    weights: Array | None
    exposure: Array | None
    roles: Mapping[str, str]

    @property
    def n(self) -> int:
        """Rows used."""
        return self.design.n

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the fixed effects."""
        return self.design.terms

    @property
    def rows(self) -> Index:
        """Positions in the data of the rows used."""
        return np.asarray(self.design.rows, dtype=np.intp)

    def grouping(self, name: str) -> Grouping:
        """The grouping factor of a name."""
        for found in self.groupings:
            if found.name == name:
                return found
        from wwc_eval.errors import did_you_mean

        raise DesignError(
            f"the model has no grouping factor '{name}'",
            fix=did_you_mean(name, [grouping.name for grouping in self.groupings]),
        )


def read_model(
    formula: str | Formula,
    data: Any,
    *,
    levels: Mapping[str, Sequence[Any]] | None,
    weights: str | Sequence[float] | None,
    exposure: str | Sequence[float] | None,
) -> ModelData:
    """Read a multilevel model from data.

    Raises
    ------
    FormulaError
        If the formula does not parse or does not fit the data.
    DesignError
        If it has no outcome or no random part.
    DataError
        If weights or exposure are not all above 0, or have another length than the data.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    if parsed.response is None:
        raise DesignError(f"'{parsed.text}' has no outcome", fix="write it left of '~'")
    if not parsed.random:
        raise DesignError(
            f"'{parsed.text}' has no random part",
            rule="a multilevel model needs at least one bracket such as (1 | school)",
            fix="add one, or use regression, with errors clustered where rows belong together",
        )
    frame = to_pandas(data)
    named, frame = _with_columns(frame, {"weights": weights, "exposure": exposure})
    wanted = {name: listed for name, listed in (levels or {}).items() if name in parsed.columns}
    design = parsed.design(frame, levels=wanted, keep=tuple(named.values()))
    numbers = {role: _positive(design, column, role) for role, column in named.items()}
    return ModelData(
        formula=parsed,
        design=design,
        groupings=groupings_of(design),
        source=frame,
        weights=numbers.get("weights"),
        exposure=numbers.get("exposure"),
        roles=named,
    )


def groupings_of(design: Design) -> tuple[Grouping, ...]:
    """Grouping factors of a design; brackets over the same factor are brought together."""
    found: dict[str, Grouping] = {}
    for columns in design.random_columns:
        width = len(columns.names)
        own = (tuple(range(width)),) if columns.term.correlated else tuple((k,) for k in range(width))
        for name in columns.term.groups:
            before = found.get(name)
            if before is None:
                found[name] = Grouping(
                    name=name,
                    codes=np.asarray(design.groups[name], dtype=np.intp),
                    labels=tuple(design.group_levels[name]),
                    Z=columns.Z,
                    columns=columns.names,
                    blocks=own,
                )
                continue
            shifted = tuple(tuple(k + before.width for k in block) for block in own)
            found[name] = replace(
                before,
                Z=np.column_stack([before.Z, columns.Z]),
                columns=(*before.columns, *columns.names),
                blocks=(*before.blocks, *shifted),
            )
    return tuple(found.values())


def _with_columns(frame: pd.DataFrame, given: Mapping[str, Any]) -> tuple[dict[str, str], pd.DataFrame]:
    """Column of each role, and the frame with arrays added as columns."""
    named: dict[str, str] = {}
    added: dict[str, Any] = {}
    for role, value in given.items():
        if value is None:
            continue
        if isinstance(value, str):
            if value not in frame.columns:
                raise DataError(
                    f"the data have no column '{value}'",
                    place=Place(column=value),
                    rule=f"{role}= names a column, or gives an array",
                    fix=did_you_mean(value, [str(name) for name in frame.columns]),
                )
            named[role] = value
            continue
        array = np.asarray(value)
        if array.shape != (len(frame),):
            raise DataError(
                f"{role} has shape {array.shape}, must be one value for each of the {len(frame):,} rows",
                fix=f"give the name of a column, or an array in the order of the data: {role}='...'",
            )
        named[role] = f"({role})"
        added[named[role]] = array
    return named, frame.assign(**added) if added else frame


def _positive(design: Design, column: str, role: str) -> Array:
    """Values of weights or exposure, all above 0."""
    try:
        values = np.asarray(design.kept[column], dtype=float)
    except (TypeError, ValueError):
        raise DataError(
            f"{role} '{column}' holds {shown(design.kept[column][0])}, not numbers",
            place=Place(column=column),
            fix="declare the column as a number when it is read",
        ) from None
    bad = np.flatnonzero(~((values > 0) & np.isfinite(values)))
    if len(bad):
        raise DataError(
            f"{role} must be above 0, and {len(bad):,} of {len(values):,} rows are not",
            place=Place(column=column, row=int(design.rows[bad[0]]) + 2),
            value=f"{values[bad[0]]:g}",
            fix="correct or exclude these rows",
        )
    return values
