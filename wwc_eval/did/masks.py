"""Cells taken out of a panel on purpose: the COVID period, anticipation, transition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_findings import found_again
from wwc_eval.did.panel_parts import taken
from wwc_eval.did.sample import need_panel
from wwc_eval.errors import DesignError, Problem, shown

__all__ = ["mask_periods", "whole_again"]


def mask_periods(
    panel: Panel, periods: Sequence[Any] = (), *, anticipation: int = 0, transition: int = 0
) -> Panel:
    """A panel without some periods, and without the cells around each unit's first treated period.

    Parameters
    ----------
    panel : Panel
        The panel.
    periods : sequence
        Labels of periods taken out of every unit, such as those of the COVID-19 pandemic. Time keeps its gap. A unit
        first treated in one of them is treated from the next period that is left, and the findings say so.
    anticipation : int
        Periods just before the first treated one that are taken out of treated units: an effect may have begun in them.
    transition : int
        Treated periods that are taken out from the first on: the programme was not in place yet.

    Returns
    -------
    Panel
        With a finding for what was taken out. Two-way fixed effects, imputation, two-stage, extended two-way fixed effects,
        :func:`few_treated` and interrupted time series take it as it is. With k periods of anticipation the base moves k
        periods back: ``callaway_santanna(masked, anticipation=k)``, and ``reference=-1 - k`` in event_study,
        sun_abraham and stacked; ``compare(masked, anticipation=k)`` does both. ``staggered(panel, anticipation=k)`` takes the
        plain panel, or one without whole periods. Goodman-Bacon's decomposition, synthetic
        DiD and synthetic control need every cell and refuse: there, dates of treatment brought forward by
        ``panel.with_adopted`` count the anticipation as treated.

    Raises
    ------
    DataError
        If a period is not in the panel.
    DesignError
        If nothing is left.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame([(la, y, 1.0 * y) for la in "abc" for y in range(2016, 2023)], columns=["la", "year", "rate"])
    >>> panel = Panel(data.assign(start=2021 * (data.la == "a")), unit="la", period="year", outcome="rate", cohort="start")
    >>> mask_periods(panel, [2020]).times.tolist()
    [0, 1, 2, 3, 5, 6]
    """
    need_panel(panel, "mask_periods")
    panel.need_units("a panel without some periods")
    for name, value in (("anticipation", anticipation), ("transition", transition)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise DesignError(f"{name} == {shown(value)}, must be a whole number of periods, 0 or more")
    labels = [periods] if isinstance(periods, str) or not isinstance(periods, Sequence) else list(periods)
    columns = np.ones(panel.n_periods, dtype=bool)
    columns[[panel.position(label) for label in labels]] = False
    notes = (
        []
        if labels or anticipation or transition
        else ["nothing was taken out: no periods, anticipation or transition"]
    )
    joins = panel.adopted < panel.n_periods
    event = np.where(joins[:, None], panel.events, panel.n_periods + transition)
    cells = ((event < 0) & (event >= -anticipation)) | ((event >= 0) & (event < transition))
    cells &= joins[:, None]
    if anticipation or transition:
        notes.append(
            f"{int((cells & panel.observed).sum()):,} cells of treated units taken out: anticipation of {anticipation}, "
            f"transition of {transition} periods"
        )
        if anticipation:
            notes[-1] += (
                f"; compare with event {-1 - anticipation}: anticipation={anticipation} in callaway_santanna and compare, "
                f"reference={-1 - anticipation} in event_study, sun_abraham and stacked"
            )
    # counts and exposures go along, so that rates stay rates
    changes = {"outcomes": np.where(cells, np.nan, panel.outcomes)}
    masked = panel._changed(**changes) if cells.any() else panel
    if labels:
        moved = joins & ~columns[np.minimum(panel.adopted, panel.n_periods - 1)]
        notes.append(f"periods taken out: {', '.join(str(label) for label in labels)}")
        if moved.any():
            notes.append(
                f"{int(moved.sum()):,} units first treated in a period taken out count as treated from the next: "
                f"{', '.join(str(unit) for unit in panel.units[moved][:5])}"
            )
    inside: NDArray[np.bool_] = masked.observed & columns
    rows, kept_columns = np.asarray(inside.any(axis=1)), np.asarray(inside.any(axis=0))
    if not rows.any():
        raise DesignError("no outcome is left", fix="take out fewer periods")
    fields = {name: getattr(masked, name) for name in masked.__dataclass_fields__}
    kept = masked._changed(**taken(fields, rows, kept_columns))
    found = tuple(Problem(message=note, severity="warning", code="masked") for note in notes)
    return kept._changed(findings=(*found_again(kept), *found))


def whole_again(panel: Panel, usual: str) -> str:
    """How to have every cell: the usual fix, or another where cells of treated units were taken out on purpose."""
    if not any(
        problem.code == "masked" and "cells of treated units" in problem.message for problem in panel.findings
    ):
        return usual
    return (
        "take the panel before mask_periods, with dates of treatment brought forward so that the anticipation counts as "
        "treated: panel.with_adopted(np.where(panel.adopted < panel.n_periods, panel.adopted - k, panel.n_periods))"
    )
