"""Effects of a variable averaged over the rows used, for linear mixed models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, did_you_mean
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.formula.columns import label_of

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["marginal_effect"]

SCALES = ("mean_difference", "risk_difference")


def marginal_effect(fit: LinearFit, variable: str, *, scale: str = "mean_difference") -> Estimate | Estimates:
    """Effect of a variable averaged over the rows used.

    A factor or 0/1 column gives the difference between every row at that level and every row at the reference;
    any other numeric column the average slope. Interactions are averaged over.

    Parameters
    ----------
    fit : LinearFit
        The model.
    variable : str
        A column of the formula.
    scale : {"mean_difference", "risk_difference"}
        ``risk_difference`` needs a 0/1 outcome (a linear probability model).

    Returns
    -------
    Estimate, or Estimates where the variable has more than two levels.

    Raises
    ------
    DesignError
        If the variable is not in the fixed part, or the scale does not fit the outcome.

    Notes
    -----
    Formula: ``mean_i(x_i(level) - x_i(reference))' beta`` with the fit's inference for that contrast.
    """
    check_choice("scale", scale, SCALES)
    design = fit.data.design
    if scale == "risk_difference" and not np.isin(design.y, (0.0, 1.0)).all():
        raise DesignError("a risk difference needs a 0/1 outcome", fix="use scale='mean_difference'")
    known = sorted({name for term in fit.data.formula.fixed for name in term.columns})
    if variable not in known:
        raise DesignError(f"'{variable}' is not in the fixed part", fix=did_you_mean(variable, known))
    frame = fit.data.source.iloc[fit.data.rows]
    values = frame[variable]
    if variable in design.levels:
        levels = list(design.levels[variable])
        occurring = [level for level in levels if (values == level).any()]
        reference = design.reference_levels.get(variable, occurring[0])
        compared = [level for level in occurring if level != reference]
        names = [f"{variable}[{label_of(level)}]" for level in compared]
    elif set(np.unique(values.dropna())) <= {0, 1}:
        reference, compared, names = values.dtype.type(0), [values.dtype.type(1)], [variable]
    else:
        return fit._estimate(variable, _slope(fit, variable), scale="slope", units=f"per unit of {variable}")
    base = design.matrix(frame.assign(**{variable: _filled(values, reference)}))
    rows = []
    for level, name in zip(compared, names, strict=True):
        moved = design.matrix(frame.assign(**{variable: _filled(values, level)}))
        contrast = (moved - base).mean(axis=0)
        rows.append(fit._estimate(name, contrast, scale=scale, details={"reference": label_of(reference)}))
    return rows[0] if len(rows) == 1 else Estimates(rows, title=f"Average effects of {variable}")


def _filled(values: pd.Series[Any], level: Any) -> Any:
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Categorical([level] * len(values), dtype=values.dtype)
    return pd.Series([level] * len(values), index=values.index, dtype=values.dtype)


def _slope(fit: LinearFit, variable: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Average derivative of the rows of the design by a numeric column, by central differences."""
    frame = fit.data.source.iloc[fit.data.rows]
    values = frame[variable].astype(float)
    step = 1e-4 * max(float(values.std()), 1e-12)
    up = fit.data.design.matrix(frame.assign(**{variable: values + step}))
    down = fit.data.design.matrix(frame.assign(**{variable: values - step}))
    return np.asarray((up - down).mean(axis=0) / (2.0 * step))
