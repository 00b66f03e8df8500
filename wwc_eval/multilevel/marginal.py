"""Effects of a variable averaged over the rows used, for linear mixed models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number, did_you_mean
from wwc_eval.estimate import SCALES as WORDS
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.formula.columns import label_of
from wwc_eval.inference.averages import Average, average_words, compared, share_of_rows
from wwc_eval.multilevel.engine.structure import Array

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.multilevel.fit import MultilevelFit
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["averages_of", "estimate_of", "levels_of", "marginal_effect", "setting"]

SCALES = ("mean_difference", "risk_difference")


def marginal_effect(
    fit: LinearFit,
    variable: str,
    *,
    scale: str | None = None,
    level: float | None = None,
    average: str = "participants",
    cluster: Any = None,
) -> Estimate | Estimates:
    """Effect of a variable averaged over the rows used.

    A factor or 0/1 column gives the difference between every row at that level and every row at the reference;
    any other numeric column the average slope. Interactions are averaged over.

    Parameters
    ----------
    fit : LinearFit
        The model.
    variable : str
        A column of the formula.
    scale : {"mean_difference", "risk_difference"}, optional
        ``risk_difference`` needs a 0/1 outcome (a linear probability model).
    level : float, optional
        Coverage; that of the fit.
    average : {"participants", "clusters"}
        Whether every row counts once, or every cluster does, whatever its size.
    cluster : str, optional
        Clusters that count; the highest grouping factor.

    Returns
    -------
    Estimate, or Estimates where the variable has more than two levels.

    Raises
    ------
    DesignError
        If the variable is not in the fixed part, or the scale does not fit the outcome.

    Notes
    -----
    Formula: ``sum_i w_i (x_i(level) - x_i(reference))' beta`` with the fit's inference for that contrast; w_i is 1/n, or one
    over the rows of the cluster and over the clusters. The coefficients are the model's own, in which clusters already
    weigh by how much they tell: where effects depend on the size of clusters see ``cluster_size_check``.
    """
    chosen = check_choice("scale", scale or SCALES[0], SCALES)
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    y = fit.data.design.y
    if chosen == "risk_difference" and not np.isin(y, (0.0, 1.0)).all():
        raise DesignError("a risk difference needs a 0/1 outcome", fix="use scale='mean_difference'")
    frame = check_fixed(fit, variable)
    words = average_words(average, fit.cluster_of(cluster).name if average == "clusters" else None)
    if levels_of(fit, variable, frame) is None:
        gradient = _slope(fit, variable, _shares(fit, average, cluster))
        return estimate_of(
            fit,
            variable,
            float(gradient @ fit.coefficients),
            gradient,
            scale="slope",
            level=coverage,
            method=f", averaged over {words}",
            units=f"per unit of {variable}",
            details={"slope": True, "average": average},
        )
    base, *others = averages_of(fit, variable, average=average, cluster=cluster)
    rows = []
    for other in others:
        value, gradient = compared(chosen, base, other)
        rows.append(
            estimate_of(
                fit,
                other.term,
                value,
                gradient,
                scale=chosen,
                level=coverage,
                method=f", averaged over {words}",
                details={"reference": label_of(base.value), "average": average},
            )
        )
    return rows[0] if len(rows) == 1 else Estimates(rows, title=f"Average effects of {variable}")


def averages_of(
    fit: LinearFit, variable: str, *, average: str = "participants", cluster: Any = None
) -> list[Average]:
    """Average outcome with the variable at each of its levels, the reference first, with gradients in the coefficients.

    Raises
    ------
    DesignError
        If the variable is numeric, or not in the fixed part.
    """
    frame = check_fixed(fit, variable)
    levels = levels_of(fit, variable, frame)
    if levels is None:
        raise DesignError(f"'{variable}' is numeric and has no levels", fix="cut the column into levels")
    share = _shares(fit, average, cluster)
    decided = np.zeros(fit.n)
    found = []
    for value, term in ((levels[0], ""), *levels[1]):
        gradient = share @ fit.data.design.matrix(setting(frame, variable, value))
        mean = float(gradient @ fit.coefficients)
        found.append(Average(value=value, mean=mean, gradient=gradient, decided=decided, term=term))
    return found


def estimate_of(
    fit: LinearFit,
    term: str,
    value: float,
    gradient: Array,
    *,
    scale: str,
    level: float | None = None,
    method: str = "",
    **rest: Any,
) -> Estimate:
    """Estimate whose variance follows from a gradient in the fixed effects, with the fit's inference for it."""
    inference = fit.inference
    variance = float(gradient @ inference.vcov @ gradient)
    se = math.sqrt(variance) if variance >= 0 and math.isfinite(value) else math.nan
    df = float(inference.reference.df(gradient[None])[0]) if se > 0 else math.nan
    units = "percentage points" if scale == "risk_difference" else WORDS.get(scale, "")
    return Estimate.from_normal(
        term=term,
        estimate=value,
        se=se,
        df=df,
        level=fit.level if level is None else level,
        scale=scale,
        method=f"{fit._words}{method}; {inference.words}",
        n=fit.n,
        n_clusters=fit.n_clusters,
        warnings=inference.warnings(df),
        citation=inference.citation,
        **{"units": units, **rest},
    )


def check_fixed(fit: MultilevelFit, variable: str) -> pd.DataFrame:
    """The rows used, where the variable is in the fixed part."""
    known = sorted({name for term in fit.data.formula.fixed for name in term.columns})
    if variable not in known:
        raise DesignError(f"'{variable}' is not in the fixed part", fix=did_you_mean(variable, known))
    frame: pd.DataFrame = fit.data.source.iloc[fit.data.rows]
    return frame


def levels_of(fit: MultilevelFit, variable: str, frame: pd.DataFrame) -> tuple[Any, list[tuple[Any, str]]] | None:
    """Reference and the other levels with the names of their contrasts, or None for a numeric column."""
    design, values = fit.data.design, frame[variable]
    if variable in design.levels:
        occurring = [level for level in design.levels[variable] if (values == level).any()]
        reference = design.reference_levels.get(variable, occurring[0])
        return reference, [(level, f"{variable}[{label_of(level)}]") for level in occurring if level != reference]
    if set(np.unique(values.to_numpy(dtype=float))) <= {0.0, 1.0}:
        return values.dtype.type(0), [(values.dtype.type(1), variable)]
    return None


def setting(frame: pd.DataFrame, variable: str, level: Any) -> pd.DataFrame:
    """The rows with a variable at one level throughout, its column of the same kind."""
    import pandas as pd

    values = frame[variable]
    filled: Any = pd.Series([level] * len(values), index=values.index, dtype=values.dtype)
    if isinstance(values.dtype, pd.CategoricalDtype):
        filled = pd.Categorical([level] * len(values), dtype=values.dtype)
    return frame.assign(**{variable: filled})


def _shares(fit: LinearFit, average: str, cluster: Any) -> Array:
    """Share of each row in the average."""
    return share_of_rows(np.ones(fit.n), fit.cluster_of(cluster).codes if average == "clusters" else None)


def _slope(fit: LinearFit, variable: str, share: Array) -> Array:
    """Average derivative of the rows of the design by a numeric column, by central differences."""
    frame = fit.data.source.iloc[fit.data.rows]
    values = frame[variable].astype(float)
    step = 1e-4 * max(float(values.std()), 1e-12)
    up = fit.data.design.matrix(frame.assign(**{variable: values + step}))
    down = fit.data.design.matrix(frame.assign(**{variable: values - step}))
    return np.asarray(share @ (up - down) / (2.0 * step))
