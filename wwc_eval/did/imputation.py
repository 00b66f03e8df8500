"""Imputation of untreated outcomes: Borusyak, Jaravel and Spiess."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wwc_eval.did.cohort_cells import CohortCells, cohort_cells
from wwc_eval.did.effects import DidResult, Inference
from wwc_eval.did.least_squares import Grouped, fit_linear
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import shared_fields
from wwc_eval.did.robust import robust_of
from wwc_eval.did.sample import Sample, sample_of
from wwc_eval.did.untreated import Untreated, clusters_of, imputable
from wwc_eval.errors import DesignError, check_number, shown
from wwc_eval.inference.families import Floats

__all__ = ["imputation"]

CITATION = "Borusyak, Jaravel and Spiess 2024, doi:10.1093/restud/rdae007"
USUAL_LEADS = 3


def imputation(
    panel: Panel,
    covariates: str | Sequence[str] | None = None,
    *,
    leads: int | None = None,
    leave_one_out: bool = False,
    level: float = 0.95,
) -> DidResult:
    """Effects as outcomes of the treated less what the untreated cells predict for them.

    Unit effects, period effects and covariates are fitted to the untreated cells alone. Formula: ``effect_it =
    y_it - unit_i - period_t - x_it'b``, averaged over treated cells. Errors: ``sum over clusters of (sum v_it
    e_it)^2`` with ``v_it`` the weight of the cell in the estimate and ``e_it`` the residual, for a treated cell
    its effect less the mean effect of its cohort and period (weights ``v_it^2``): conservative when effects differ
    within cohort and period, too small in small cohorts, where ``leave_one_out`` is better.

    Parameters
    ----------
    panel : Panel
        The panel. Units treated in every period, and treated cells in periods when all are treated, are left out.
    covariates : str or sequence of str, optional
        Columns that vary over time within units and that treatment does not change.
    leads : int, optional
        Pre-treatment events tested: coefficients of the last ``leads`` periods before treatment in a regression on
        untreated cells alone, relative to all earlier ones (errors CR1S). By default as many as are identified, at
        most 3. They do not touch the effects, and have no single reference event.
    leave_one_out : bool
        Whether a treated cell is compared with the mean effect of the other clusters of its cohort and period. Not
        possible for a cohort of one cluster.
    level : float
        Coverage of the intervals (normal distribution).

    Returns
    -------
    DidResult
        ``estimates`` by event, ``by_cohort`` and ``cells``; ``overall`` is the mean over treated cells.

    Raises
    ------
    DesignError
        If nothing can be imputed, or there are not as many leads.

    References
    ----------
    Borusyak, Jaravel and Spiess 2024, doi:10.1093/restud/rdae007.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> result = imputation(Panel(data, unit="la", period="year", outcome="rate", cohort="start"))
    >>> result.path.events.tolist()
    [-1, 0, 1, 2]
    """
    sample = imputable(sample_of(panel, "imputation", covariates=covariates))
    cells = cohort_cells(sample, reference=None)
    fitted = Untreated.of(sample)
    shares, gaps = fitted.shares(cells), fitted.gaps(cells)
    values = (shares * gaps).sum(axis=0)
    spread, alone = _spread(sample, cells, gaps, leave_one_out=leave_one_out)
    single = fitted.by_cluster(fitted.first_stage(cells, shares) + shares * spread)
    contrasts = cells.averages(len(cells.cohort))
    influence = single @ contrasts
    count = _leads(leads, _most_leads(sample))
    words = "leave-one-out errors" if leave_one_out else "conservative errors"
    method = f"Imputation of Borusyak, Jaravel and Spiess; {words} clustered, normal distribution"
    shared = shared_fields(sample, method=method, citation=CITATION, n_clusters=fitted.n_clusters)
    vcov = influence.T @ influence
    if alone.any():
        vcov = _unknown(vcov, (contrasts[alone] != 0).any(axis=0))
    found = Inference(
        values=values @ contrasts, vcov=vcov, df=np.full(contrasts.shape[1], math.inf), level=level, shared=shared
    )
    notes = ("Cohorts of one cluster have no leave-one-out error.",) if alone.any() else ()
    result = cells.result(found, reference=None, influence=influence, notes=notes)
    while count:
        try:
            return _with_leads(result, sample, count, level, shared)
        except DesignError:
            # without units never treated a linear trend is not identified beside so many leads
            if leads is not None:
                raise
            count -= 1
    return result


def _spread(sample: Sample, cells: CohortCells, gaps: Floats, *, leave_one_out: bool) -> tuple[Floats, np.ndarray]:
    """Effect of each unit less the mean of its cohort and period (n, m); cells with no other cluster (m,)."""
    own = sample.adopted[:, None] == cells.cohort
    square = np.where(own, sample.weights[:, cells.column], 0.0) ** 2
    top, bottom = (square * gaps).sum(axis=0), square.sum(axis=0)
    alone = np.zeros(len(bottom), dtype=bool)
    if not leave_one_out:
        return np.where(square > 0, gaps - top / bottom, 0.0), alone
    codes, count = clusters_of(sample)
    inside, mass = np.zeros((count, len(bottom))), np.zeros((count, len(bottom)))
    np.add.at(inside, codes, square * gaps)
    np.add.at(mass, codes, square)
    alone = (mass > 0).sum(axis=0) < 2
    others = np.where((bottom - mass > 0) & ~alone, bottom - mass, 1.0)
    return np.where((square > 0) & ~alone, gaps - ((top - inside) / others)[codes], 0.0), alone


def _unknown(vcov: Floats, which: np.ndarray) -> Floats:
    """The covariance with what is unknown as not a number."""
    return np.where(which[:, None] | which, np.nan, vcov)


def _most_leads(sample: Sample) -> int:
    """Pre-treatment events of the longest history but one: the earliest is the reference."""
    free = sample.present & ~sample.treated
    longest = 1
    for cohort in sample.cohorts:
        seen = free[sample.adopted == cohort].any(axis=0)
        longest = max(longest, len(np.unique(sample.event(int(cohort))[seen])))
    return longest - 1


def _leads(leads: int | None, most: int) -> int:
    """Number of pre-treatment events tested."""
    if leads is None:
        return min(USUAL_LEADS, most)
    if isinstance(leads, bool) or check_number("leads", leads, at_least=0) != int(leads):
        raise DesignError(f"leads == {shown(leads)}, must be a whole number")
    if leads > most:
        raise DesignError(
            f"leads == {leads}, must be <= {most}: one earlier period before treatment is the reference",
            fix=f"use leads={most}",
        )
    return int(leads)


def _with_leads(
    result: DidResult, sample: Sample, count: int, level: float, shared: dict[str, object]
) -> DidResult:
    """The result with the pre-treatment coefficients in front of its effects by event."""
    from dataclasses import replace

    free = sample.replace(weights=np.where(sample.treated, 0.0, sample.weights))
    kinds = None if sample.names else sample.adopted.astype(np.intp)
    data = Grouped.of(free.outcomes, free.weights, sample.clusters.astype(np.intp), kinds)
    first = sample.times[np.minimum(sample.adopted, sample.n_periods - 1)]
    events = np.where((sample.adopted < sample.n_periods)[:, None], sample.times - first[:, None], 0)
    wanted = np.intersect1d(np.arange(-count, 0), events[free.present])
    if not wanted.size:
        raise DesignError(f"no treated unit is seen at events {-count} to -1", fix="use leads=0, or more of them")
    tables = (events[data.first][:, :, None] == wanted).astype(float)
    terms = [f"event[{event}]" for event in wanted]
    fit = fit_linear(data, sample.with_covariates(tables), (*terms, *sample.names))
    robust = robust_of(fit, "CR1S")
    assert robust.influence is not None
    assert result.influence is not None
    assert result.path is not None
    influence = np.column_stack([robust.influence[:, : len(wanted)], result.influence[:, 1:]])
    path = result.path
    vcov = influence.T @ influence
    vcov[len(wanted) :, len(wanted) :] = path.vcov
    joint = Inference(
        values=np.r_[fit.beta[: len(wanted)], path.estimates],
        vcov=vcov,
        df=np.full(len(vcov), math.inf),
        level=level,
        shared=shared,
    )
    every = list(range(len(vcov)))
    events_all = [*wanted.tolist(), *path.events.tolist()]
    note = f"Events before treatment: untreated cells alone, relative to events before {wanted[0]}."
    return replace(
        result,
        estimates=joint.table(
            every, [{"event": event} for event in events_all], [f"event[{e}]" for e in events_all]
        ),
        path=joint.path(every, events_all, None),
        influence=np.column_stack([result.influence[:, 0], influence]),
        notes=(*result.notes, note),
    )
