"""What refits change, read and checked, and the table they end in; the same for every family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError
from wwc_eval.formula.terms import Variable
from wwc_eval.inference.allocations import Allocations, arm_of, read_allocations, term_of, used_columns
from wwc_eval.multilevel.engine.structure import Array, Grouping

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.fit import MultilevelFit

__all__ = ["COLUMNS", "Change", "Rebuilt", "change_of", "is_main_effect", "table_of"]

COLUMNS = ("estimate", "se", "df", "p_value", "status")


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """What changes between refits, over the rows used.

    Parameters
    ----------
    fit : MultilevelFit
        The model.
    Y : (R, n) array, optional
        Outcomes.
    allocation : Allocations, optional
        Values of the arm's column.
    arm : str, optional
        That column.
    term : str
        Coefficient reported.
    inference : str
        Errors and degrees of freedom.
    """

    fit: MultilevelFit
    Y: Array | None
    allocation: Allocations | None
    arm: str | None
    term: str
    inference: str

    def __len__(self) -> int:
        return len(self.Y) if self.Y is not None else len(self.allocation)  # type: ignore[arg-type]


def change_of(
    fit: MultilevelFit,
    outcomes: Any,
    arms: Any,
    *,
    term: str | None,
    arm: str | None,
    unit: str | None,
    inference: str,
) -> Change:
    """Read what changes; the arguments are those of :func:`wwc_eval.multilevel.refit.refit_many`.

    Raises
    ------
    DesignError, DataError
        As said there.
    """
    if outcomes is None and arms is None:
        raise DesignError("nothing changes between the refits", fix="give outcomes, arms or both")
    Y = None if outcomes is None else _outcomes(fit, outcomes)
    column = None
    allocation = None
    if arms is not None:
        column = arm_of(fit.data.design, term, arm)
        allocation = read_allocations(arms, source=fit.data.source, rows=fit.data.rows, column=column, unit=unit)
        if Y is not None and len(Y) != len(allocation):
            raise DataError(
                f"{len(Y):,} outcomes and {len(allocation):,} allocations do not go in pairs",
                fix="give as many of one as of the other",
            )
    chosen = term_of(fit.data.design, term, column)
    return Change(fit=fit, Y=Y, allocation=allocation, arm=column, term=chosen, inference=inference)


def is_main_effect(fit: MultilevelFit, column: str) -> bool:
    """Whether a column enters the model as one plain term only."""
    terms = fit.data.formula.terms_of(column)
    plain = len(terms) == 1 and terms[0].factors == (Variable(column),)
    return plain and not any(column in term.columns for term in fit.data.formula.random)


def _outcomes(fit: MultilevelFit, outcomes: Any) -> Array:
    Y = np.asarray(outcomes, dtype=float)
    Y = np.asarray(used_columns(Y, "outcomes", rows=fit.data.rows, of=len(fit.data.source)))
    if not np.all(np.isfinite(Y)):
        where = np.argwhere(~np.isfinite(Y))[0]
        raise DataError(
            f"outcome {where[0]} is missing or infinite in row {where[1]} of the rows used",
            fix="refits keep the rows: give complete outcomes",
        )
    return Y


class Rebuilt:
    """Design matrix and varying columns of other allocations."""

    def __init__(self, fit: MultilevelFit, arm: str) -> None:
        self.fit, self.arm = fit, arm
        self.frame = fit.data.source.iloc[fit.data.rows]

    def at(self, values: Any) -> tuple[Array, tuple[Grouping, ...]]:
        """Design matrix (n, p) and grouping factors of one allocation."""
        from dataclasses import replace

        import pandas as pd

        from wwc_eval.multilevel.random_effects import varying_columns

        before = self.frame[self.arm]
        column = (
            pd.Categorical(values, dtype=before.dtype)
            if isinstance(before.dtype, pd.CategoricalDtype)
            else pd.Series(values, index=before.index).astype(before.dtype)
        )
        frame = self.frame.assign(**{self.arm: column})
        X = self.fit.data.design.matrix(frame)
        varying = varying_columns(self.fit.data, frame)
        return X, tuple(replace(g, Z=varying[g.name]) for g in self.fit.data.groupings)


def table_of(estimate: Array, se: Array, df: Array, boundary: Any, failed: Any) -> pd.DataFrame:
    """One row a refit: estimate, se, df, p_value, status."""
    import pandas as pd
    from scipy import special

    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(estimate / se)
        normal = np.isinf(df)
        p_value = 2.0 * np.where(normal, special.ndtr(-t), special.stdtr(np.where(normal, 1.0, df), -t))
    p_value = np.where(np.isfinite(t) & (df > 0), p_value, np.nan)
    status = np.where(failed, "failed", np.where(boundary, "boundary", "ok"))
    return pd.DataFrame(dict(zip(COLUMNS, (estimate, se, df, p_value, status), strict=True)))
