"""Comparisons of cluster summaries under other allocations of the clusters: what a randomisation test needs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, WwcError, did_you_mean
from wwc_eval.estimate import RATIO_SCALES
from wwc_eval.formula.columns import label_of
from wwc_eval.inference.allocations import read_allocations
from wwc_eval.inference.cluster_tests import compare

if TYPE_CHECKING:
    import pandas as pd

    from wwc_eval.inference.cluster_result import ClusterSummaries

__all__ = ["refit_summaries"]


def refit_summaries(
    result: ClusterSummaries,
    arms: Any,
    *,
    term: str | None = None,
    arm: str | None = None,
    unit: str | None = None,
) -> pd.DataFrame:
    """Compare the same values of the clusters under many allocations.

    The first stage knows no arm, so it stands; only the second is repeated.

    Parameters
    ----------
    result : ClusterSummaries
        The comparison, on a difference scale.
    arms : (R, rows) array, or DataFrame with ``unit``
        One allocation a refit, in values of the arm's column; with ``unit``, columns are units.
    term : str, optional
        Contrast reported; the first.
    arm, unit : str, optional
        Column of the arm, and of the units allocated.

    Returns
    -------
    DataFrame
        estimate, se, df, p_value, status; a refit that the design does not allow holds missing values.

    Raises
    ------
    DesignError
        On a ratio scale, and where an allocation divides a cluster.
    """
    import pandas as pd

    if result.scale in RATIO_SCALES:
        raise DesignError(
            f"allocations are compared by differences, and scale == '{result.scale}'",
            fix="use with_scale('risk_difference') or 'rate_difference'",
        )
    table = result.table_data
    chosen = term or result.terms[0]
    if chosen not in result.terms:
        raise DesignError(f"the comparison has no term '{chosen}'", fix=did_you_mean(chosen, result.terms))
    if arm is not None and arm != result.arm:
        raise DesignError(f"the arm is '{result.arm}', not '{arm}'", fix=f"arm='{result.arm}'")
    rows = np.asarray(table.design.rows, dtype=np.intp)
    allocations = read_allocations(arms, source=result.source, rows=rows, column=result.arm, unit=unit)
    places = {label_of(level): place for place, level in enumerate(table.arms)}
    weights = table.size if result.weights == "size" else None
    found = []
    for k in range(len(allocations)):
        values = allocations.values(k)
        _, first = np.unique(table.codes, return_index=True)
        if not np.array_equal(values[first][table.codes], values):
            raise DesignError(
                f"allocation {k} divides a cluster of '{result.cluster}'",
                fix="allocate clusters, or compare summaries of what was allocated",
            )
        codes = np.array([places.get(label_of(value), -1) for value in values[first].tolist()], dtype=np.intp)
        row = (math.nan, math.nan, math.nan, math.nan, "failed")
        if codes.min() >= 0 and len(np.unique(codes)) == len(table.arms):
            try:
                again = compare(replace(table, arm=codes), result.values, kind=result.variance, weights=weights)
            except WwcError:
                found.append(row)
                continue
            place = result.terms.index(chosen)
            effect, se, df = (float(each[place]) for each in (again.effect, again.se, again.df))
            p = 2.0 * float(special.stdtr(df, -abs(effect / se))) if se > 0 and df > 0 else math.nan
            row = (effect, se, df, p, "ok")
        found.append(row)
    return pd.DataFrame(found, columns=["estimate", "se", "df", "p_value", "status"])
