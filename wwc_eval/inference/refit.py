"""A regression fitted again to other outcomes or allocations, one Newton search each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DataError, DesignError, WwcError
from wwc_eval.inference.allocations import arm_of, read_allocations, term_of, used_columns
from wwc_eval.inference.families import Floats
from wwc_eval.inference.fitted import fit_arrays

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.inference.fit import RegressionFit

__all__ = ["refit_regression"]


def refit_regression(
    fit: RegressionFit,
    outcomes: Any = None,
    arms: Any = None,
    *,
    term: str | None = None,
    arm: str | None = None,
    unit: str | None = None,
) -> pd.DataFrame:
    """Fit the same regression to many outcomes or allocations, with the fit's own errors.

    Parameters
    ----------
    fit : RegressionFit
        The regression; covariates, weights, exposure and clusters stay.
    outcomes : (R, rows) array, optional
        One outcome a refit (successes where there are trials); columns are the rows used, or all rows of the data.
    arms : (R, rows) array or DataFrame, optional
        One allocation a refit, in values of the arm's column; with ``unit``, a DataFrame whose columns are units.
    term : str, optional
        Coefficient reported; the arm's, or the first after the intercept.
    arm : str, optional
        Column of the allocation; that of ``term`` where nothing is said.
    unit : str, optional
        Column of the data that says which unit of the allocation a row belongs to.

    Returns
    -------
    DataFrame
        One row a refit: estimate, se, df, p_value, status. A refit without an estimate holds missing values.

    Raises
    ------
    DesignError
        If nothing changes, or the term or column is unknown.
    DataError
        If arrays have the wrong shape or hold missing values.
    """
    import pandas as pd

    if outcomes is None and arms is None:
        raise DesignError("nothing changes between the refits", fix="give outcomes, arms or both")
    design = fit.design_info
    column = "" if arms is None else arm_of(design, term, arm)
    chosen = term_of(design, term, column)
    Y = None if outcomes is None else _outcomes(fit, outcomes)
    allocations = None
    if arms is not None:
        rows = np.asarray(design.rows, dtype=np.intp)
        allocations = read_allocations(arms, source=fit.source, rows=rows, column=column, unit=unit)
        if Y is not None and len(Y) != len(allocations):
            raise DataError(
                f"{len(Y):,} outcomes and {len(allocations):,} allocations do not go in pairs",
                fix="give as many of one as of the other",
            )
    count = len(Y) if Y is not None else len(allocations or ())
    found = []
    for k in range(count):
        arm_values = None if allocations is None else allocations.values(k)
        found.append(_single(fit, None if Y is None else Y[k], column, arm_values, term=chosen))
    return pd.DataFrame(found, columns=["estimate", "se", "df", "p_value", "status"])


def _single(
    fit: RegressionFit, outcome: Floats | None, column: str, arms: Any, *, term: str
) -> tuple[float, float, float, float, str]:
    design, frame = fit.design_info, fit.fitted.frame
    lost = (np.nan, np.nan, np.nan, np.nan, "failed")
    if arms is not None:
        frame = frame.assign(**{column: _like(frame[column], arms)})
        design = replace(design, X=design.matrix(frame))
    if outcome is not None:
        design = replace(design, outcome=outcome)
    if np.linalg.matrix_rank(design.X) < design.X.shape[1]:
        return lost
    fitted = fit.fitted
    try:
        again = fit_arrays(
            design,
            fitted.family,
            frame,
            weights=fitted.weights,
            exposure=fitted.exposure,
            exposure_column=fitted.exposure_column,
        )
        other = type(fit).from_fitted(
            again,
            source=fit.source,
            vcov=fit.inference,
            clusters=fit.clusters,
            df=_df_of(fit),
            level=fit.level,
        )
        row = other.estimates[term]
    except (WwcError, np.linalg.LinAlgError):
        return lost
    return row.estimate, row.se, row.df, row.p_value, other.status


def _df_of(fit: RegressionFit) -> str | None:
    """Degrees of freedom as they were asked for, where the errors are clustered."""
    if fit.covariance is None or fit.covariance.robust is None:
        return None
    return "satterthwaite" if fit.covariance.satterthwaite else "clusters"


def _like(before: pd.Series[Any], values: Any) -> Any:
    """Values as a column of the same type."""
    import pandas as pd

    if isinstance(before.dtype, pd.CategoricalDtype):
        return pd.Categorical(values, dtype=before.dtype)
    return pd.Series(values, index=before.index).astype(before.dtype)


def _outcomes(fit: RegressionFit, outcomes: Any) -> Floats:
    rows = np.asarray(fit.design_info.rows, dtype=np.intp)
    Y = np.asarray(
        used_columns(np.asarray(outcomes, dtype=float), "outcomes", rows=rows, of=len(fit.source)), dtype=float
    )
    trials = fit.design_info.trials
    most = np.inf if fit.family == "gaussian" else 1.0 if trials is None else trials
    least = -np.inf if fit.family == "gaussian" else 0.0
    bound = most if fit.family in {"gaussian", "binomial"} else np.inf
    fine = np.isfinite(Y) & (least <= Y) & (bound >= Y)
    if not fine.all():
        k, row = np.argwhere(~fine)[0]
        raise DataError(
            f"outcome {k} is {Y[k, row]:g} in row {row} of the rows used",
            rule=f"a {fit.family} outcome cannot be that",
            fix="give complete outcomes of the family",
        )
    return Y
