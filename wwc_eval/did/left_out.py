"""The effect with one local authority left out at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wwc_eval.did.checks_result import Check
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.few_statistic import ESTIMATORS, Statistic
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import need_panel
from wwc_eval.did.two_way import two_way_fixed_effects
from wwc_eval.errors import DesignError, check_choice
from wwc_eval.estimate import Estimate

__all__ = ["leave_one_out"]


def leave_one_out(
    panel: Panel, which: str = "treated", *, estimator: str = "two_way_fixed_effects", level: float = 0.95
) -> Check:
    """The effect without each cluster in turn, to see whether it rests on one.

    Parameters
    ----------
    panel : Panel
        The panel; clusters above the units are left out whole.
    which : {"treated", "all"}
        Who is left out in turn.
    estimator : {"two_way_fixed_effects", "imputation"}
        Which effect.
    level : float
        Coverage of the intervals (CR1S; none with ``imputation``, and none with fewer than five treated clusters left,
        for which they would be too short: use :func:`few_treated`).

    Returns
    -------
    Check
        ``estimates`` with the column ``left_out``; ``details["change"]`` is the estimate less the effect.

    Raises
    ------
    DesignError
        If there is one treated cluster, without which there is nothing to estimate.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 4) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    >>> [round(row.estimate, 2) for row in leave_one_out(panel).estimates]
    [2.69, 2.19]
    """
    need_panel(panel, "leave_one_out")
    check_choice("which", which, ("treated", "all"))
    check_choice("estimator", estimator, ESTIMATORS)
    statistic = Statistic.of(panel, estimator)
    if statistic.n_treated < 2:
        raise DesignError(
            "one treated cluster cannot be left out", fix="use which='all' with more, or placebo_dates"
        )
    overall = _estimate(panel, statistic, level, "treated")
    used = np.unique(statistic.sample.clusters)
    rows, keys = [], []
    for code, cluster in zip(statistic.codes.tolist(), used.tolist(), strict=True):
        if which == "treated" and code == 0:
            continue
        label = panel.cluster_labels[cluster]
        smaller = panel.without(panel.units[panel.clusters == cluster].tolist())
        found = _estimate(smaller, Statistic.of(smaller, estimator), level, "treated")
        rows.append(found.replace(details={"change": found.estimate - overall.estimate}))
        keys.append({"left_out": label})
    values = [row.estimate for row in rows]
    return Check(
        overall=overall,
        estimates=EffectEstimates(rows, keys),
        panel=panel,
        key="left_out",
        title=f"The effect without each {'treated ' if which == 'treated' else ''}cluster in turn",
        expected=overall.estimate,
        notes=(f"Smallest and largest: {min(values):.3g} and {max(values):.3g}.",),
    )


def _estimate(panel: Panel, statistic: Statistic, level: float, term: str) -> Estimate:
    what = "two-way fixed effects" if statistic.estimator == "two_way_fixed_effects" else "imputation"
    blank: dict[str, Any] = dict.fromkeys(("se", "df", "statistic", "p_value", "ci_low", "ci_high"), math.nan)
    if statistic.estimator == "two_way_fixed_effects" and statistic.n_treated >= 5:
        always = panel.adopted == 0
        kept = panel.without(panel.units[always].tolist()) if always.any() else panel
        return two_way_fixed_effects(kept, level=level).overall
    counted = "1 treated cluster" if statistic.n_treated == 1 else f"{statistic.n_treated} treated clusters"
    return Estimate(
        **{**blank, "term": term, "estimate": statistic.estimate, "level": level},
        units=panel.measure,
        n=statistic.sample.n_cells,
        n_clusters=len(statistic.codes),
        method=f"Effect by {what}; no conventional interval with {counted}",
    )
