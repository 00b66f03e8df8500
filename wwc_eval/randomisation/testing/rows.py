"""Rows of data, the unit each belongs to, and the treatment that each allocation would give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DataError, DesignError, Place, Problem, did_you_mean, shown
from wwc_eval.randomisation.scheme import Codes
from wwc_eval.randomisation.units import _texts

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Formula
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["Exposure", "arm_column", "exposure_of", "treatment_values"]

Index = NDArray[np.intp]
SHOWN_UNITS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Exposure:
    """What each row would be exposed to under any allocation.

    Parameters
    ----------
    place : (n,) integers
        Unit of each row, in the order of the allocation's table.
    kind : (n,) integers
        Kind of each row: its period in a stepped wedge, else 0.
    state : (kinds, S) integers
        Arm, by its index, of a row of each kind whose unit got each code.
    """

    place: Index
    kind: Index
    state: Index

    def at(self, codes: Codes) -> Index:
        """Arm of every row under allocations: (..., units) to (..., rows)."""
        return np.asarray(self.state[self.kind, codes[..., self.place]])


def arm_column(allocation: Allocation, formula: Formula, arm: str | None) -> str:
    """Column of the formula that holds the arm.

    Raises
    ------
    DesignError
        If it is not clear, or is not a term of its own.
    """
    from wwc_eval.formula.terms import Variable

    known = sorted({name for term in formula.fixed for name in term.columns})
    if arm is None:
        alone = [allocation.bound.column] if allocation.bound.column in known else known
        if len(alone) != 1:
            raise DesignError(
                f"which term of '{formula.text}' is the arm is not clear",
                fix=f"name it: arm='...', one of {', '.join(known)}" if known else "write outcome ~ arm",
            )
        arm = alone[0]
    if arm not in known:
        raise DesignError(f"the formula has no term '{arm}'", fix=did_you_mean(arm, known))
    terms = formula.terms_of(arm)
    if len(terms) != 1 or terms[0].factors != (Variable(arm),):
        raise DesignError(
            f"'{arm}' enters the formula in {', '.join(term.text for term in terms)}",
            rule="the test is of one effect, so the arm is a term of its own",
            fix="leave interactions out, or give a statistic of your own",
        )
    return arm


def exposure_of(
    allocation: Allocation, frame: pd.DataFrame, origin: Index, *, arm: str, period: str | None
) -> Exposure:
    """Match rows to units, and check that the arms in the data are those that were allocated.

    Parameters
    ----------
    allocation : Allocation
        What was allocated.
    frame : DataFrame
        Rows used.
    origin : (n,) integers
        Their positions in the data as given.
    arm : str
        Column of the arm; where the frame has it, it is compared with the allocation.
    period : str, optional
        Column of the period, for a stepped wedge.

    Raises
    ------
    DesignError
        If the unit's or period's column is missing, or a period is named without a stepped wedge.
    DataError
        If rows belong to no unit, a period is missing, or an arm is not what was allocated.
    """
    unit = allocation.unit
    if unit not in frame.columns:
        raise DesignError(
            f"the data have no column '{unit}', which says what was allocated",
            fix=did_you_mean(unit, [str(name) for name in frame.columns]),
        )
    place = _places(allocation, frame, origin)
    kind, state = _states(allocation, frame, period)
    exposure = Exposure(place=place, kind=kind, state=state)
    if arm in frame.columns:
        _check_arms(allocation, frame, exposure, arm, origin)
    return exposure


def treatment_values(allocation: Allocation, frame: pd.DataFrame, arm: str) -> list[Any]:
    """Value in the arm's column of each arm: its name, or 0 and 1 where the column holds numbers."""
    import pandas as pd

    names = list(allocation.arms.names)
    if arm in frame.columns and len(names) == 2 and pd.api.types.is_numeric_dtype(frame[arm]):
        return [0, 1]
    return names


def _places(allocation: Allocation, frame: pd.DataFrame, origin: Index) -> Index:
    unit = allocation.unit
    texts, problems = _texts(frame, unit, origin)
    rank = {key: place for place, key in enumerate(allocation.units.keys)}
    lost = [] if problems else sorted({text for text in texts if text not in rank})
    if lost:
        listed = ", ".join(shown(text) for text in lost[:SHOWN_UNITS])
        problems = [
            Problem(
                message=f"{len(lost):,} units of the data were not allocated: {listed}",
                place=Place(column=unit),
                fix="give the rows of the units that were randomised; units that joined later were not",
            )
        ]
    if problems:
        raise DataError(problems=problems)
    return np.array([rank[text] for text in texts], dtype=np.intp)


def _states(allocation: Allocation, frame: pd.DataFrame, period: str | None) -> tuple[Index, Index]:
    if allocation.bound.column == "arm":
        if period is not None:
            raise DesignError("period goes with a stepped wedge", fix="leave period out")
        return np.zeros(len(frame), dtype=np.intp), np.arange(len(allocation.labels), dtype=np.intp)[None]
    crossover = [
        allocation.bound.extra_columns(np.full(allocation.n, code, dtype=np.int8))["crossover"][0]
        for code in range(len(allocation.labels))
    ]
    if period is None:
        raise DesignError(
            "in a stepped wedge the arm of a row depends on its period", fix="name the column: period='...'"
        )
    if period not in frame.columns:
        raise DesignError(
            f"the data have no column '{period}'", fix=did_you_mean(period, [str(name) for name in frame.columns])
        )
    values = np.asarray(frame[period], dtype=object)
    odd = [value for value in set(values.tolist()) if not _is_number(value)]
    if odd:
        raise DataError(
            f"period {shown(odd[0])} is not a number",
            place=Place(column=period),
            rule="a unit's rows are treated from its period of crossover on",
            fix="number the periods as the scheme's sequences do",
        )
    periods, kind = np.unique(values.astype(float), return_inverse=True)
    state = periods[:, None] >= np.asarray(crossover, dtype=float)[None, :]
    return kind.astype(np.intp), state.astype(np.intp)


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and bool(np.isfinite(float(value)))  # type: ignore[arg-type]


def _check_arms(allocation: Allocation, frame: pd.DataFrame, exposure: Exposure, arm: str, origin: Index) -> None:
    values = treatment_values(allocation, frame, arm)
    expected = np.asarray(values, dtype=object)[exposure.at(allocation.codes)]
    given = np.asarray(frame[arm], dtype=object)
    wrong = np.flatnonzero(np.array([a != b for a, b in zip(expected, given, strict=True)], dtype=bool))
    if len(wrong):
        first = wrong[0]
        unit = allocation.units.keys[exposure.place[first]]
        raise DataError(
            f"{allocation.unit} {shown(unit)} was allocated {shown(expected[first])}, but '{arm}' is "
            f"{shown(given[first])} (so in {len(wrong):,} rows)",
            place=Place(row=int(origin[first]) + 2, column=arm),
            rule="a randomisation test compares units as they were allocated",
            fix="correct the arm, or leave the column out: it is taken from the allocation",
        )
