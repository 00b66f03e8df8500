"""Missing covariates of a trial: the missing-indicator method.

Randomised arms do not depend on baseline values, so a covariate may be completed by a constant with an indicator of
having been missing, and every randomised unit with an outcome stays in the analysis (White and Thompson 2005,
doi:10.1002/sim.1981; Groenwold et al. 2012, doi:10.1503/cmaj.110977). It is not valid for outcomes, nor for
covariates measured after randomisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wwc_eval.errors import DesignError, did_you_mean
from wwc_eval.formula import parse_formula, quote_name

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.formula import Formula

__all__ = ["MISSING_LEVEL", "Completed", "missing_indicator"]

MISSING_LEVEL = "missing"


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A frame without missing covariates, and what goes with it.

    Parameters
    ----------
    frame : DataFrame
        The rows, completed.
    formula : Formula
        The formula, with an indicator for each completed number.
    levels : mapping
        Levels of categorical columns, with that for missing values.
    completed : mapping
        Completed column: number of rows with the outcome in which it was missing, and how it was completed.
    """

    frame: pd.DataFrame
    formula: Formula
    levels: Mapping[str, Sequence[str]]
    completed: Mapping[str, tuple[int, str]]


def missing_indicator(
    data: pd.DataFrame,
    formula: Formula,
    *,
    columns: Sequence[str] | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
    keep: Sequence[str] = (),
) -> Completed:
    """Complete covariates by the missing-indicator method.

    A category gains a level ``missing``; a number is set to its mean among rows with the outcome and joined by a 0/1
    column ``<name>_missing`` in the formula. Columns without a missing value stay as they are.

    Parameters
    ----------
    data : DataFrame
        Rows to analyse.
    formula : Formula
        Model whose covariates are completed.
    columns : sequence of str, optional
        Covariates to complete; all fixed covariates where None.
    levels : mapping, optional
        Declared levels of categorical columns.
    keep : sequence of str
        Columns that are never completed (the arm).

    Returns
    -------
    Completed

    Raises
    ------
    DesignError
        If a named column is not a fixed covariate of the formula.

    Examples
    --------
    >>> import pandas as pd
    >>> from wwc_eval.formula import parse_formula, quote_name
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 3.0], "x": [1.0, None, 3.0]})
    >>> missing_indicator(frame, parse_formula("y ~ x")).formula.text
    'y ~ x + x_missing'
    """
    import pandas as pd

    response = set(formula.response.columns) if formula.response else set()
    covariates = sorted({name for term in formula.fixed for name in term.columns} - response - set(keep))
    for name in columns or ():
        if name not in covariates:
            raise DesignError(f"'{name}' is not a covariate of {formula.text}", fix=did_you_mean(name, covariates))
    frame, known, added = data.copy(), dict(levels or {}), []
    completed: dict[str, tuple[int, str]] = {}
    usable = frame[sorted(response)].notna().all(axis=1) if response else pd.Series(data=True, index=frame.index)
    for name in columns or covariates:
        gone = frame[name].isna()
        count = int((gone & usable).sum())
        if not count:
            continue
        if isinstance(frame[name].dtype, pd.CategoricalDtype) or not pd.api.types.is_numeric_dtype(frame[name]):
            declared = list(known.get(name) or sorted(frame[name].dropna().unique()))
            known[name] = (*declared, MISSING_LEVEL)
            values = frame[name].astype(object).where(~gone, MISSING_LEVEL)
            frame[name] = pd.Categorical(values, categories=pd.Index(list(known[name])))
            completed[name] = (count, "kept as a level of its own")
        else:
            flag = f"{name}_{MISSING_LEVEL}"
            observed = frame.loc[usable, name].astype(float)
            if observed.isna().all():
                raise DesignError(f"covariate '{name}' is missing in every row", fix="remove it from the formula")
            frame[flag] = gone.astype(float)
            frame[name] = frame[name].astype(float).fillna(float(observed.mean()))
            added.append(flag)
            completed[name] = (count, "set to the mean, with an indicator")
    grown = parse_formula(" + ".join([formula.text, *(quote_name(name) for name in added)])) if added else formula
    return Completed(frame=frame, formula=grown, levels=known, completed=completed)
