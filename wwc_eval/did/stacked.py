"""Stacked event study: one clean comparison a cohort, stacked and analysed together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.effects import DidResult
from wwc_eval.did.least_squares import Grouped, fit_linear
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import contrasted, influence_of, shared_fields
from wwc_eval.did.robust import robust_of
from wwc_eval.did.sample import Sample, latest, sample_of, treated_reference
from wwc_eval.errors import DesignError, check_choice, check_number, shown
from wwc_eval.inference.families import Floats

__all__ = ["stacked"]

CITATION = "Wing, Freedman and Hollingsworth 2024, doi:10.3386/w32054"


@dataclass(frozen=True, kw_only=True)
class _Stacks:
    """Cells of all stacks: rows are units within stacks, columns are events."""

    events: NDArray[np.int64]
    outcomes: Floats
    weights: Floats
    treated: NDArray[np.bool_]
    stack: NDArray[np.intp]
    clusters: NDArray[np.intp]
    notes: tuple[str, ...]


def stacked(
    panel: Panel,
    leads: int | None = None,
    lags: int | None = None,
    *,
    reference: int = -1,
    control: str = "not_yet",
    corrected: bool = True,
    vcov: str = "CR1S",
    df: str | None = None,
    level: float = 0.95,
) -> DidResult:
    """Event study on stacked comparisons of each cohort with units untreated throughout its window.

    A cohort's stack holds its units and its controls from ``leads`` periods before to ``lags`` after treatment;
    cohorts without the whole window, or without controls, are left out, so that every event averages the same
    cohorts. Unit effects and period effects are the stack's own. Formula: ``y_ise = unit_is + event_se + sum over e
    of effect_e treated_is [event = e]``.

    Parameters
    ----------
    panel : Panel
        The panel. Units treated in every period are left out.
    leads, lags : int, optional
        Window: periods before the first treated one, and after it. By default the widest that every cohort has.
    reference : int
        Event held at zero.
    control : {"not_yet", "never"}
        Controls: untreated up to the end of the window, or never treated.
    corrected : bool
        Whether controls are weighted so that stacks count by their treated units (Wing, Freedman and Hollingsworth):
        the effect on the treated of the window. Otherwise stacks count by their precision (Cengiz and others).
    vcov, df, level
        As in :func:`~wwc_eval.did.two_way_fixed_effects`; a unit in several stacks is one cluster.

    Returns
    -------
    DidResult
        ``estimates`` by event; ``overall`` is their mean from event 0 to ``lags``, weighted by treated cells.

    Raises
    ------
    DesignError
        If no cohort has the whole window and controls.

    References
    ----------
    Cengiz, Dube, Lindner and Zipperer 2019, doi:10.1093/qje/qjz014; Wing, Freedman and Hollingsworth 2024,
    doi:10.3386/w32054.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    >>> stacked(panel, leads=2, lags=1).path.events.tolist()
    [-2, 0, 1]
    """
    check_choice("control", control, ("not_yet", "never"))
    sample = sample_of(panel, "stacked")
    window = _window(sample, leads, lags, reference)
    stacks = _stack(sample, window, never=control == "never", corrected=corrected)
    data = Grouped.of(
        stacks.outcomes, stacks.weights, stacks.clusters, stacks.treated.astype(np.intp), stacks.stack
    )
    seen = stacks.weights[stacks.treated].sum(axis=0)
    if not seen[stacks.events == reference].any():
        raise DesignError(
            f"reference == {reference} is an event that no treated unit is seen at",
            fix=f"take reference={latest(stacks.events[seen > 0])}",
        )
    own = (stacks.events != reference) & (seen > 0)
    kept, mass = stacks.events[own], seen[own]
    tables = stacks.treated[data.first][:, None, None] * (stacks.events[:, None] == kept).astype(float)
    tables = np.broadcast_to(tables, (len(data.first), len(stacks.events), len(kept)))
    terms = [f"event[{event}]" for event in kept]
    robust = robust_of(fit_linear(data, tables, terms), vcov, df)
    post = np.where(kept >= 0, mass, 0.0)
    if not post.any():
        raise DesignError(
            "no treated cell has an outcome in the window, so there is no effect to estimate",
            fix="give more lags=, or keep periods in which treated units are seen",
        )
    contrasts = np.column_stack([post / post.sum(), np.eye(len(kept))])
    how = "weighted by treated units" if corrected else "weighted by precision"
    method = (
        f"Stacked event study, events {window[0]} to {window[1]}, controls {control.replace('_', ' ')} treated, stacks "
        f"{how}; {robust.words}"
    )
    shared = shared_fields(sample, method=method, citation=CITATION, n_clusters=robust.n_clusters)
    found = contrasted(robust, contrasts, level, {**shared, "n": data.n_cells})
    order = list(range(1, len(kept) + 1))
    return DidResult(
        method=method,
        overall=found.one(0, "mean effect on the treated", weights="treated cells", window=window),
        estimates=found.table(order, [{"event": int(event)} for event in kept], terms),
        path=found.path(order, kept.tolist(), reference),
        panel=panel,
        influence=influence_of(robust, contrasts),
        notes=(*sample.notes, *stacks.notes, *treated_reference(reference)),
    )


def _window(sample: Sample, leads: int | None, lags: int | None, reference: int) -> tuple[int, int]:
    """First and last event."""
    first, last = sample.times[0], sample.times[-1]
    starts = sample.times[sample.cohorts]
    found = []
    for name, value, most in (
        ("leads", leads, int(starts.min() - first)),
        ("lags", lags, int(last - starts.max())),
    ):
        if value is not None and (isinstance(value, bool) or check_number(name, value, at_least=0) != int(value)):
            raise DesignError(f"{name} == {shown(value)}, must be a whole number of at least 0")
        found.append(most if value is None else int(value))
    if not -found[0] <= reference <= found[1]:
        raise DesignError(
            f"reference == {reference} lies outside the window from {-found[0]} to {found[1]}",
            fix="give more leads=, or a reference within the window",
        )
    return -found[0], found[1]


def _stack(sample: Sample, window: tuple[int, int], *, never: bool, corrected: bool) -> _Stacks:
    events = np.arange(window[0], window[1] + 1)
    place = {int(time): column for column, time in enumerate(sample.times)}
    parts: list[tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp], float, float]] = []
    lost = []
    for cohort in sample.cohorts:
        start = int(sample.times[cohort])
        columns = [place.get(start + int(event)) for event in events]
        last = start + window[1]
        later = np.flatnonzero(sample.times > last)
        clean = sample.adopted >= (sample.n_periods if never or not later.size else later[0])
        own = sample.adopted == cohort
        if any(column is None for column in columns) or not clean.any():
            lost.append(sample.label(int(cohort)))
            continue
        cells = np.array(columns, dtype=np.intp)
        rows = np.flatnonzero(own | clean)
        size = [float(sample.weights[np.ix_(np.flatnonzero(which), cells)].sum()) for which in (own, clean)]
        parts.append((rows, own[rows], cells, size[0], size[1]))
    if not parts:
        raise DesignError(
            f"no cohort has all events from {window[0]} to {window[1]} and controls untreated until the end",
            fix="use a shorter window: fewer leads= or lags=",
        )
    treated, control = sum(part[3] for part in parts), sum(part[4] for part in parts)
    weights = []
    for rows, own, cells, mass, other in parts:
        factor = (mass / treated) / (other / control) if corrected else 1.0
        weights.append(sample.weights[np.ix_(rows, cells)] * np.where(own, 1.0, factor)[:, None])
    note = f"Left out, without the whole window or controls: cohorts of {', '.join(map(str, lost))}."
    return _Stacks(
        events=events,
        outcomes=np.concatenate([sample.outcomes[np.ix_(rows, cells)] for rows, _, cells, _, _ in parts]),
        weights=np.concatenate(weights),
        treated=np.concatenate([part[1] for part in parts]),
        stack=np.concatenate([np.full(len(part[0]), k, dtype=np.intp) for k, part in enumerate(parts)]),
        clusters=sample.clusters[np.concatenate([part[0] for part in parts])].astype(np.intp),
        notes=(note,) if lost else (),
    )
