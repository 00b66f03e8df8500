"""Extended two-way fixed effects: Wooldridge's regression with an effect for every treated cohort and period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.did.cohort_cells import CohortCells, cohort_cells
from wwc_eval.did.effects import DidResult
from wwc_eval.did.extended_poisson import poisson_result
from wwc_eval.did.least_squares import fit_linear
from wwc_eval.did.panel import Panel
from wwc_eval.did.reporting import contrasted, influence_of, shared_fields
from wwc_eval.did.robust import robust_of
from wwc_eval.did.sample import Sample, sample_of
from wwc_eval.did.untreated import imputable
from wwc_eval.errors import DesignError, check_choice, shown
from wwc_eval.inference.families import Floats

__all__ = ["extended_twfe"]

CITATION = "Wooldridge 2025, doi:10.1007/s00181-025-02807-z"


def extended_twfe(
    panel: Panel,
    family: str = "gaussian",
    *,
    control: str = "not_yet",
    reference: int | None = None,
    covariates: str | Sequence[str] | None = None,
    vcov: str = "CR1S",
    df: str | None = None,
    level: float = 0.95,
) -> DidResult:
    """Two-way fixed effects with an effect for every treated cohort and period, averaged afterwards.

    Formula: ``y_it = unit_i + period_t + sum of effect_gt [start_i = g, period = t] + e_it`` over treated cells, or
    with ``E[count_it] = exposure_it exp(...)`` for the Poisson family, where trends are parallel in logarithms.

    Parameters
    ----------
    panel : Panel
        The panel; for the Poisson family with ``exposure``, or a count as outcome.
    family : {"gaussian", "poisson"}
        Linear, or Poisson with exposure.
    control : {"not_yet", "never"}
        ``not_yet``: treated cells alone have effects, so all untreated cells are controls (the estimates of
        imputation). ``never``: every event but the reference has an effect (the estimates of Sun and Abraham), which
        shows pre-trends.
    reference : int, optional
        Event held at zero in every cohort with ``control="never"``; -1 where nothing is said.
    covariates : str or sequence of str, optional
        Covariates with a slope in every period, and in every cohort and period an effect that may vary with the
        covariate, reported at the cohort's mean. A cohort with too few units for slopes of its own has none.
    vcov, df, level
        As in :func:`~wwc_eval.did.two_way_fixed_effects`; no CR2, CR3 or Satterthwaite for the Poisson family.

    Returns
    -------
    DidResult
        ``estimates`` by event, ``by_cohort`` and ``cells``; ``overall`` is the mean over treated cells. For the
        Poisson family a :class:`~wwc_eval.did.extended_poisson.PoissonResult`: all of these are differences in
        rates, expected less expected without treatment, and ``ratios`` has the rate ratios.

    Raises
    ------
    DesignError
        If an effect is not identified, a treated cohort has no event in a period (Poisson) or is not seen at the reference,
        or a reference is given with ``control="not_yet"``.

    References
    ----------
    Wooldridge 2025, doi:10.1007/s00181-025-02807-z; Wooldridge 2023, doi:10.1093/ectj/utad016 (Poisson).

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [(la, t, la + t + 2.0 * (la < 3 and t > 2) + (la * t) % 3) for la in range(1, 9) for t in range(1, 6)]
    >>> data = pd.DataFrame(rows, columns=["la", "year", "rate"]).assign(start=lambda d: 3 * (d.la < 3))
    >>> panel = Panel(data, unit="la", period="year", outcome="rate", cohort="start")
    >>> extended_twfe(panel).path.events.tolist()
    [0, 1, 2]
    """
    check_choice("family", family, ("gaussian", "poisson"))
    check_choice("control", control, ("not_yet", "never"))
    never = control == "never"
    if reference is not None and not never:
        raise DesignError(
            f"reference == {shown(reference)} goes with control='never'",
            rule="with control='not_yet' every untreated cell is a control, and no single event is held at zero",
            fix="use control='never', or leave reference out",
        )
    sample = sample_of(panel, "extended_twfe", covariates=covariates, until_last=never)
    sample = sample if never else imputable(sample)
    reference = (-1 if reference is None else reference) if never else None
    words = "not yet treated" if reference is None else f"never treated, reference event {reference}"
    if family == "poisson":
        return poisson_result(
            sample, reference, words=words, vcov=vcov, df=df, level=level, regressors_of=regressors_of
        )
    cells = cohort_cells(sample, reference=reference)
    data = sample.grouped()
    design = regressors_of(sample, cells, cells.of_groups(data))
    fit = fit_linear(data, design.tables, design.names)
    robust = robust_of(fit, vcov, df)
    method = f"Extended two-way fixed effects, control: {words}; {robust.words}"
    shared = shared_fields(sample, method=method, citation=CITATION, n_clusters=robust.n_clusters)
    contrasts = cells.averages(len(fit.beta))
    found = contrasted(robust, contrasts, level, shared)
    return cells.result(found, reference=reference, influence=influence_of(robust, contrasts), notes=design.notes)


@dataclass(frozen=True, kw_only=True)
class Regressors:
    """Regressors of the extended model.

    Parameters
    ----------
    tables : ndarray, shape (G, T, K)
        Indicators of the cells, then slopes by period, then effects that vary with covariates.
    names : tuple of str
        Their names.
    effects : ndarray of bool, shape (K,)
        Which of them are effects of treatment.
    notes : tuple of str
        Cohorts without slopes of their own.
    """

    tables: Floats
    names: tuple[str, ...]
    effects: np.ndarray
    notes: tuple[str, ...]


def regressors_of(sample: Sample, cells: CohortCells, indicators: Floats) -> Regressors:
    """Indicators of the cells with, where there are covariates, their slopes and interactions."""
    names = list(cells.terms)
    if not sample.names:
        return Regressors(tables=indicators, names=tuple(names), effects=np.ones(len(names), dtype=bool), notes=())
    parts, kinds, notes = [indicators], [np.ones(len(names), dtype=bool)], []
    periods = np.eye(sample.n_periods)
    for k, name in enumerate(sample.names):
        values = sample.covariates[:, :, k]
        mean = (sample.weights * values).sum(axis=1) / np.maximum(sample.weights.sum(axis=1), np.finfo(float).tiny)
        varies = (np.abs(values - mean[:, None]) * sample.present).max() > 1e-12 * (1.0 + np.abs(values).max())
        columns = periods if varies else periods[:, 1:]
        parts.append(values[:, :, None] * columns)
        labels = range(sample.n_periods) if varies else range(1, sample.n_periods)
        names += [f"{name} in {sample.label(column)}" for column in labels]
        kinds.append(np.zeros(columns.shape[1], dtype=bool))
    for cohort in sample.cohorts:
        members = sample.adopted == cohort
        own = np.flatnonzero(cells.cohort == cohort)
        if not own.size:
            # nobody of the cohort has a cell that can be imputed
            continue
        centred, full = _centred(sample, members)
        if not full:
            notes.append(f"The cohort of {sample.label(int(cohort))} has too few units for slopes of its own.")
            continue
        for k, name in enumerate(sample.names):
            parts.append(indicators[:, :, own] * centred[:, :, k, None])
            names += [f"{cells.terms[j]}:{name}" for j in own]
            kinds.append(np.ones(len(own), dtype=bool))
    return Regressors(
        tables=np.concatenate(parts, axis=2), names=tuple(names), effects=np.concatenate(kinds), notes=tuple(notes)
    )


def _centred(sample: Sample, members: np.ndarray) -> tuple[Floats, bool]:
    """Covariates less their mean in a cohort (n, T, p), and whether every period can tell their slopes apart."""
    weight = np.where(members[:, None], sample.weights, 0.0)
    mean = np.tensordot(weight, sample.covariates, axes=([0, 1], [0, 1])) / weight.sum()
    centred = sample.covariates - mean
    full = True
    for column in np.flatnonzero(weight.sum(axis=0) > 0):
        rows = np.column_stack([np.ones(len(members)), centred[:, column]])[weight[:, column] > 0]
        full = full and np.linalg.matrix_rank(rows) == rows.shape[1]
    return centred, full
