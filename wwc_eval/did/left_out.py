"""The effect with one local authority left out at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wwc_eval.did.checks_result import Check
from wwc_eval.did.decimals import decimals_of
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.few_counts import FEW, joiners, treated_clusters
from wwc_eval.did.guard import BLANK, guard_aside
from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_faults import listed
from wwc_eval.did.panel_parts import without_clusters
from wwc_eval.did.sample import need_panel
from wwc_eval.errors import DesignError, WwcError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.table import format_number

__all__ = ["REFITTED", "leave_one_out"]

REFITTED = (
    "two_way_fixed_effects",
    "callaway_santanna",
    "sun_abraham",
    "imputation",
    "two_stage",
    "extended_twfe",
    "stacked",
    "event_study",
)
"""Estimators that are known by name; any other is given as a function of the panel."""
TOLD = 3
"""Reasons why there is no effect that are told."""
Fit = Callable[[Panel], Estimate]


def leave_one_out(
    panel: Panel,
    which: str = "treated",
    *,
    estimator: str | Callable[[Panel], Any] = "two_way_fixed_effects",
    level: float = 0.95,
    **options: Any,
) -> Check:
    """The effect without each cluster in turn, to see whether it rests on one.

    Parameters
    ----------
    panel : Panel
        The panel; clusters above the units are left out whole. Of children seen once, all children of a cluster.
    which : {"treated", "all"}
        Who is left out in turn.
    estimator : str or callable
        The effect, fitted anew each time: ``"two_way_fixed_effects"``, ``"callaway_santanna"``, ``"sun_abraham"``,
        ``"imputation"``, ``"two_stage"``, ``"extended_twfe"``, ``"stacked"`` or ``"event_study"``; or a function of the panel
        that returns an Estimate, or a result with ``overall``.
    level : float
        Coverage of the intervals: those of the estimator, and none with fewer than five treated clusters left, for which
        they would be too short (use :func:`few_treated`).
    **options
        Handed to an estimator known by name, such as ``covariates="need"``.

    Returns
    -------
    Check
        ``estimates`` with the column ``left_out``; ``details["change"]`` is the estimate less the effect. Where nothing can
        be estimated without a cluster its row is missing, and the notes say why.

    Raises
    ------
    DesignError
        If there is one treated cluster, without which there is nothing to estimate, or options stand beside a function.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 4) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    >>> [round(row.estimate, 2) for row in leave_one_out(panel).estimates]
    [2.69, 2.19]
    >>> [round(row.estimate, 2) for row in leave_one_out(panel, estimator="callaway_santanna").estimates]
    [3.44, 1.44]
    """
    need_panel(panel, "leave_one_out")
    check_choice("which", which, ("treated", "all"))
    fit = _fit_of(estimator, check_number("level", level, above=0, below=1), options)
    joins = (panel.adopted < panel.n_periods) & (panel.adopted > 0)
    treated = np.unique(panel.clusters[joins])
    if len(treated) < 2:
        raise DesignError(
            "one treated cluster cannot be left out"
            if len(treated)
            else "no cluster of the panel becomes treated",
            fix="use which='all' with more, or placebo_dates",
        )
    overall = fit(panel)
    rows, keys, failed = [], [], {}
    for cluster in (treated if which == "treated" else np.unique(panel.clusters)).tolist():
        label = panel.cluster_labels[cluster]
        try:
            found = fit(without_clusters(panel, [cluster]))
        except WwcError as error:
            failed[label] = str(error)
            found = overall.replace(**dict.fromkeys(("estimate", *BLANK), math.nan), warnings=(str(error),))
        rows.append(found.replace(details={"change": found.estimate - overall.estimate}))
        keys.append({"left_out": label})
    return Check(
        overall=overall,
        estimates=EffectEstimates(rows, keys),
        panel=panel,
        key="left_out",
        title=f"The effect without each {'treated ' if which == 'treated' else ''}cluster in turn",
        expected=overall.estimate,
        notes=_told([row for row in rows if math.isfinite(row.estimate)], failed),
    )


def _told(rows: list[Estimate], failed: dict[Any, str]) -> tuple[str, ...]:
    """The range of the effects, and those that could not be had, by reason."""
    said = []
    if rows:
        values, digits = [row.estimate for row in rows], decimals_of(rows)
        said = [
            f"Smallest and largest: {format_number(min(values), digits)} and {format_number(max(values), digits)}."
        ]
    reasons = list(dict.fromkeys(failed.values()))
    for reason in reasons[:TOLD]:
        names = [label for label, text in failed.items() if text == reason]
        said.append(f"Not to be had without {listed(names)}: {reason}")
    if len(reasons) > TOLD:
        said.append(f"Not to be had for {len(reasons) - TOLD} other reasons: see the warnings of the estimates.")
    return tuple(said)


def _fit_of(estimator: str | Callable[[Panel], Any], level: float, options: dict[str, Any]) -> Fit:
    """The overall effect of a panel, without its interval where fewer than five are treated."""
    if callable(estimator):
        if options:
            raise DesignError(
                f"{', '.join(options)} cannot be handed to a function",
                fix="write them into it: estimator=lambda panel: we.did.imputation(panel, covariates='need')",
            )
        verb = estimator
    else:
        import wwc_eval.did as room

        name = check_choice("estimator", estimator, REFITTED)
        given = {"level": level, **options}

        def verb(panel: Panel) -> Any:
            return getattr(room, name)(panel, **given)

    def fit(panel: Panel) -> Estimate:
        with guard_aside():
            found = verb(panel)
            effect: Estimate = found if isinstance(found, Estimate) else found.overall
        return _without_interval(effect, panel)

    return fit


def _without_interval(effect: Estimate, panel: Panel) -> Estimate:
    treated = panel.clusters_of(joiners(panel))
    if treated >= FEW or (panel.cross_sections and not panel.clustered):
        return effect
    what = effect.method.split(";")[0]
    return effect.replace(
        **dict.fromkeys(BLANK, math.nan),
        method=f"{what}; no conventional interval with {treated_clusters(treated)}",
    )
