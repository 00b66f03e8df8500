"""The result of every analysis that links fidelity with outcomes: estimates, and what they can claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, FormulaError, Place, did_you_mean, shown
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.frames import to_pandas
from wwc_eval.table import Grid, Rendered, Table

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Formula

__all__ = ["OutcomeLink", "arm_of", "columns_of", "numbers_of", "refuse_in"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OutcomeLink(Rendered):
    """Estimates that link fidelity with outcomes, with what they can and cannot claim.

    Parameters
    ----------
    estimates : Estimates
        The figures.
    claims : str
        What the analysis can and cannot claim; it stands below every rendering.
    tables : mapping
        Further tables by name: balance, sensitivity, means along the dose.
    notes : tuple of str
        Sentences below.
    details : mapping
        What one method adds.
    """

    estimates: Estimates
    claims: str
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Freeze the mappings."""
        object.__setattr__(self, "tables", MappingProxyType(dict(self.tables)))
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    def __getitem__(self, term: Any) -> Estimate:
        """Estimate of a term, or at a position."""
        return self.estimates[term]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows of the estimates."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return self.estimates._grid()

    def _title(self) -> str:
        return self.estimates.title

    def _notes(self) -> tuple[str, ...]:
        return (*self.notes, *self.estimates._notes(), self.claims)


def columns_of(data: Any, names: Sequence[str]) -> pd.DataFrame:
    """The data as a pandas frame that has these columns.

    Raises
    ------
    DataError
        If one is missing.
    """
    frame = to_pandas(data)
    for name in names:
        if name not in frame.columns:
            raise DataError(
                f"the data have no column '{name}'",
                place=Place(column=name),
                fix=did_you_mean(name, [str(column) for column in frame.columns]),
            )
    return frame


def numbers_of(frame: pd.DataFrame, name: str) -> Any:
    """A column as numbers with NaN where it is missing.

    Raises
    ------
    DataError
        If it holds anything else.
    """
    values = frame[name]
    if values.dtype.kind not in "iufb":
        first = next(
            (value for value in values if isinstance(value, str)), values.iloc[0] if len(values) else None
        )
        raise DataError(
            f"'{name}' holds {shown(first)}, not numbers",
            place=Place(column=name),
            fix="declare the column as a number when it is read",
        )
    return values.to_numpy(dtype=float, na_value=np.nan)


def arm_of(frame: pd.DataFrame, name: str, arms: Sequence[Any] | None) -> tuple[Any, tuple[Any, Any]]:
    """1 in the programme arm, 0 in the other, NaN where missing; and the two levels, the reference first.

    Raises
    ------
    DesignError
        If the arm has not two levels, or has words and their order is not declared.
    """
    values = frame[name]
    present = list(dict.fromkeys(values.dropna().tolist()))
    if arms is not None:
        listed = list(arms)
        odd = [value for value in present if value not in listed]
        if len(listed) != 2 or odd:
            raise DesignError(
                f"arms == {shown(listed)} do not fit '{name}', which holds {shown(present[:6])}",
                rule="two levels, the reference first",
            )
    else:
        if len(present) != 2:
            raise DesignError(f"'{name}' has {len(present)} levels, must have 2", fix="compare two arms at a time")
        if any(isinstance(value, str) for value in present):
            raise DesignError(
                f"'{name}' holds words, so which arm is the reference must be said",
                fix=f"arms=[{present[0]!r}, {present[1]!r}], the reference first",
            )
        listed = sorted(present)
    found = np.full(len(values), np.nan)
    for k, value in enumerate(listed):
        found[(values == value).fillna(value=False).to_numpy(dtype=bool)] = float(k)
    return found, (listed[0], listed[1])


def refuse_in(formula: Formula, *names: str) -> None:
    """Refuse a formula that holds what is named beside it.

    Raises
    ------
    FormulaError
        If it does.
    """
    for name in names:
        if name in formula.columns:
            raise FormulaError(
                f"'{name}' stands in the formula", fix="the formula holds outcome and covariates only"
            )
