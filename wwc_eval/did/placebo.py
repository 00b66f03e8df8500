"""Placebos: dates before anything happened, and outcomes that treatment cannot change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did.checks_result import Check
from wwc_eval.did.effects import EffectEstimates
from wwc_eval.did.few_table import few_treated
from wwc_eval.did.panel import Panel
from wwc_eval.did.sample import need_panel
from wwc_eval.errors import DesignError, shown

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed

__all__ = ["placebo_dates", "placebo_outcomes"]


def placebo_dates(
    panel: Panel,
    shifts: Sequence[int] = (1, 2, 3),
    *,
    method: str = "permutation",
    draws: int = 9_999,
    rng: Seed | None = None,
    allocation: Any = None,
    level: float = 0.95,
) -> Check:
    """The effect that treatment seems to have some periods before it began.

    Treated cells are taken out; treatment is then said to have begun ``shift`` periods early.

    Parameters
    ----------
    panel : Panel
        The panel.
    shifts : sequence of int
        Periods before the actual date; units without a period before the placebo date are left out of that row.
    method : str
        A method of :func:`few_treated`.
    draws, rng, allocation, level
        As in :func:`few_treated`.

    Returns
    -------
    Check
        ``estimates`` with the column ``periods_early``; ``overall`` is the actual effect.

    Raises
    ------
    DesignError
        If a shift is not above 0, or nobody has a period before any of the placebo dates.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> noise = np.random.default_rng(1).normal(0, 1, (40, 8))
    >>> data = pd.DataFrame([(la, t, noise[la, t] + 5 * (la == 0 and t > 4)) for la in range(40) for t in range(8)],
    ...                     columns=["la", "year", "rate"]).assign(joined=lambda d: 5 * (d.la == 0))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="joined")
    >>> found = placebo_dates(panel, shifts=(1, 2))
    >>> found.overall.p_value < 0.05, all(row.p_value > 0.05 for row in found.estimates)
    (True, True)
    """
    need_panel(panel, "placebo_dates")
    named = {"methods": (method,), "draws": draws, "rng": rng, "allocation": allocation, "level": level}
    actual = few_treated(panel, **named).overall
    rows, keys, notes = [], [], []
    for shift in shifts:
        if isinstance(shift, bool) or not isinstance(shift, (int, np.integer)) or shift < 1:
            raise DesignError(f"shift == {shown(shift)}, must be a whole number above 0", fix="use (1, 2, 3)")
        moved, left = _moved(panel, int(shift))
        if moved is None:
            notes.append(f"{shift} periods early: no treated unit has a period before.")
            continue
        if left:
            notes.append(
                f"{shift} periods early: left out for want of a period before: {left:,} of the treated units."
            )
        rows.append(few_treated(moved, **named).overall)
        keys.append({"periods_early": int(shift)})
    if not rows:
        raise DesignError(
            f"no treated unit has a period before any of the placebo dates {tuple(shifts)}",
            fix="use smaller shifts, or more periods",
        )
    return Check(
        overall=actual,
        estimates=EffectEstimates(rows, keys),
        panel=panel,
        key="periods_early",
        title="Placebo dates: effects before treatment began, which should be none",
        expected=0.0,
        notes=tuple(notes),
    )


def _moved(panel: Panel, shift: int) -> tuple[Panel | None, int]:
    """Treated cells taken out and treatment begun so many periods early; and how many units that leaves out."""
    T = panel.n_periods
    joins = panel.adopted < T
    early = panel.adopted - shift
    lost = joins & (early < 1)
    if not (joins & ~lost).any():
        return None, int(lost.sum())
    emptied = panel.with_outcomes(np.where(panel.treated, np.nan, panel.outcomes))
    moved = emptied.with_adopted(np.where(joins, np.maximum(early, 0), T))
    drop = panel.units[lost].tolist()
    return _trim(moved.without(drop) if drop else moved), int(lost.sum())


def _trim(panel: Panel) -> Panel:
    """Without periods that only never treated units have: they say nothing about the placebo."""
    joins = panel.adopted < panel.n_periods
    last = int(np.flatnonzero(panel.observed[joins].any(axis=0)).max())
    return panel if last == panel.n_periods - 1 else panel.between(last=panel.period_label(last))


def placebo_outcomes(
    panel: Panel,
    outcomes: Sequence[str],
    *,
    method: str = "permutation",
    draws: int = 9_999,
    rng: Seed | None = None,
    allocation: Any = None,
    level: float = 0.95,
) -> Check:
    """The effect on outcomes that treatment cannot change.

    Parameters
    ----------
    panel : Panel
        The panel.
    outcomes : sequence of str
        Columns of the data, such as the number of births or a rate of another service.
    method, draws, rng, allocation, level
        As in :func:`placebo_dates`.

    Returns
    -------
    Check
        ``estimates`` with the column ``outcome``, each in its own units; ``overall`` is the actual effect.

    Raises
    ------
    DesignError
        If no outcome is named.
    DataError
        If a column is not there, or holds no numbers.
    """
    need_panel(panel, "placebo_outcomes")
    names = (outcomes,) if isinstance(outcomes, str) else tuple(outcomes)
    if not names:
        raise DesignError("no placebo outcome is named", fix="write outcomes=['births']")
    named = {"methods": (method,), "draws": draws, "rng": rng, "allocation": allocation, "level": level}
    rows = []
    for name in names:
        other = panel.with_outcomes(panel.covariate(name))
        rows.append(few_treated(other, **named).overall.replace(units=name))
    return Check(
        overall=few_treated(panel, **named).overall,
        estimates=EffectEstimates(rows, [{"outcome": name} for name in names]),
        panel=panel,
        key="outcome",
        title="Placebo outcomes: effects where there should be none",
        expected=0.0,
    )
