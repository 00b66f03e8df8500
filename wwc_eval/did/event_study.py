"""Event study: two-way fixed effects with an effect for each period since treatment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.effects import DidResult
from wwc_eval.did.least_squares import fit_linear
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import contrasted, influence_of, shared_fields
from wwc_eval.did.robust import robust_of
from wwc_eval.did.sample import Sample, latest, sample_of, treated_reference
from wwc_eval.errors import DesignError, check_number, shown

__all__ = ["event_study"]

CITATION = "Sun and Abraham 2021, doi:10.1016/j.jeconom.2020.09.006"


def event_study(
    panel: Panel,
    reference: int = -1,
    leads: int | None = None,
    lags: int | None = None,
    *,
    covariates: str | Sequence[str] | None = None,
    vcov: str = "CR1S",
    df: str | None = None,
    level: float = 0.95,
) -> DidResult:
    """Regression on indicators of each period since treatment, with unit effects and period effects.

    Formula: ``y_it = unit_i + period_t + sum over e of effect_e * [t - start_i = e] + e_it``, the reference event
    left out; units never treated have no indicator. With several cohorts whose effects differ, a coefficient also
    picks up the effects of other events: :func:`~wwc_eval.did.sun_abraham` does not.

    Parameters
    ----------
    panel : Panel
        The panel. Units treated in every period are left out.
    reference : int
        Event held at zero; 0 is the first treated period.
    leads, lags : int, optional
        Pool all events at or before ``-leads``, and all at or after ``lags``, into one coefficient each, whose permutation
        with few treated is that of the mean over all of them. Without
        units never treated the ends must be pooled (or one more event left out) for anything to be identified.
    covariates : str or sequence of str, optional
        Columns that vary over time within units.
    vcov, df, level
        As in :func:`~wwc_eval.did.two_way_fixed_effects`.

    Returns
    -------
    DidResult
        ``estimates`` by event; ``overall`` is the mean of the effects from event 0 on, each weighted by its treated
        cells.

    Raises
    ------
    DesignError
        If the reference is no event of the panel or lies in a pooled end, or effects are not identified.

    References
    ----------
    Sun and Abraham 2021, doi:10.1016/j.jeconom.2020.09.006; Schmidheiny and Siegloch 2023, doi:10.1002/jae.2971 (on
    pooled ends).

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> result = event_study(Panel(data, unit="la", period="year", outcome="rate", cohort="start"), leads=2)
    >>> result.path.events.tolist()
    [-2, 0, 1, 2]
    """
    sample = sample_of(panel, "event_study", covariates=covariates)
    data = sample.grouped()
    events = _events(sample, leads, lags)
    kept = _kept(events, sample, reference, leads, lags)
    # row of each group in the table of events; the last row is that of the controls
    place = np.searchsorted(sample.cohorts, sample.adopted[data.first])
    tables = (events[place][:, :, None] == kept).astype(float)
    terms = tuple(_term(event, leads, lags) for event in kept)
    fit = fit_linear(data, sample.with_covariates(tables), (*terms, *sample.names))
    robust = robust_of(fit, vcov, df)
    size = sample.cohort_weights
    post = np.array([size[events[:-1] == event].sum() if event >= 0 else 0.0 for event in kept])
    K, m = len(fit.beta), len(kept)
    contrasts = np.zeros((K, m + 1))
    contrasts[:m, 0] = post / post.sum()
    contrasts[:m, 1:] = np.eye(m)
    method = f"Event study by two-way fixed effects, reference event {reference}; {robust.words}"
    shared = shared_fields(sample, method=method, citation=CITATION, n_clusters=robust.n_clusters)
    found = contrasted(robust, contrasts, level, shared)
    order = list(range(1, m + 1))
    return DidResult(
        method=method,
        overall=found.one(0, "mean effect after treatment", weights="treated cells"),
        estimates=found.table(order, [{"event": int(event)} for event in kept], terms),
        path=found.path(order, [int(event) for event in kept], reference),
        panel=panel,
        influence=influence_of(robust, contrasts),
        notes=(*sample.notes, *treated_reference(reference)),
        bins=(None if leads is None else -leads, lags),
    )


OUTSIDE = np.iinfo(np.int64).min
"""Stands for the event of a unit never treated."""


def _events(sample: Sample, leads: int | None, lags: int | None) -> NDArray[np.int64]:
    """Event of each cohort in each period, its ends pooled, shape (cohorts + 1, T); OUTSIDE for the controls."""
    for name, value in (("leads", leads), ("lags", lags)):
        if value is not None and (isinstance(value, bool) or int(check_number(name, value, at_least=0)) != value):
            raise DesignError(f"{name} == {shown(value)}, must be a whole number")
    events = np.array([sample.event(int(cohort)) for cohort in sample.cohorts])
    events = np.clip(events, None if leads is None else -leads, lags)
    return np.vstack([events, np.full((1, sample.n_periods), OUTSIDE)])


def _kept(
    events: NDArray[np.int64], sample: Sample, reference: int, leads: int | None, lags: int | None
) -> NDArray[np.int64]:
    """Events that have a coefficient."""
    found = np.unique(events[:-1][sample.cohort_weights > 0])
    pooled = [value for value in (None if leads is None else -leads, lags) if value is not None]
    if reference not in found or (reference in pooled and reference != -1):
        where = "is a pooled end" if reference in pooled else "is no event of the panel"
        raise DesignError(
            f"reference == {shown(reference)} {where}",
            rule=f"events run from {found[0]} to {found[-1]}",
            fix=f"take a single event as reference, such as reference={latest(found)}, or pool fewer events",
        )
    kept: NDArray[np.int64] = found[found != reference]
    if not (kept >= 0).any():
        raise DesignError("no event from 0 on is left", fix="take an event before treatment as reference")
    return kept


def _term(event: int, leads: int | None, lags: int | None) -> str:
    if leads is not None and event == -leads:
        return f"event[{event} or earlier]"
    if lags is not None and event == lags:
        return f"event[{event} or later]"
    return f"event[{event}]"
