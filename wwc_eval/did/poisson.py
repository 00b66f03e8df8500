"""Poisson regression of counts with exposure, unit effects and period effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.did.least_squares import Grouped, LinearFit, fit_linear
from wwc_eval.did.robust import Robust, robust_of
from wwc_eval.did.sample import Sample
from wwc_eval.errors import ConvergenceError, DataError, DesignError, check_choice
from wwc_eval.inference.families import Floats

__all__ = ["POISSON_VCOVS", "PoissonFit", "counted", "fit_poisson", "poisson_robust"]

POISSON_VCOVS = ("classical", "HC1", "CR0", "CR1", "CR1S")
ITERATIONS = 60
TOLERANCE = 1e-13


@dataclass(frozen=True, kw_only=True)
class PoissonFit:
    """A Poisson fit.

    Parameters
    ----------
    linear : LinearFit
        Last weighted least-squares step: its coefficients are those of the fit, its scores the fit's scores.
    mean : ndarray, shape (n, T)
        Expected counts; 0 where a cell is missing.
    """

    linear: LinearFit
    mean: Floats


def counted(sample: Sample) -> tuple[Sample, Floats]:
    """The sample with counts as its outcomes, without units and periods that have no events; and exposures.

    Raises
    ------
    DataError
        If a count is negative or an exposure is not positive.
    """
    panel = sample.panel
    cut = np.ix_(sample.rows, sample.columns)
    values = panel.outcomes if panel.counts is None else panel.counts
    counts = np.where(sample.present, values[cut], 0.0)
    exposure = np.ones_like(counts) if panel.exposures is None else panel.exposures[cut]
    exposure = np.where(sample.present, exposure, 1.0)
    if (counts < 0).any() or not np.isfinite(exposure).all() or (exposure <= 0).any():
        raise DataError(
            "a Poisson model needs counts of at least 0 and exposures above 0",
            fix="give the count as outcome= and its denominator as exposure= of the panel, or family='gaussian'",
        )
    events = np.where(sample.present, counts, 0.0)
    empty = (events.sum(axis=1) == 0)[:, None] | (events.sum(axis=0) == 0)
    lost = empty & sample.present
    weights = np.where(empty, 0.0, sample.weights)
    notes = sample.notes
    if lost.any():
        notes += (f"{int(lost.sum()):,} cells of units or periods without any event left out: they fit exactly.",)
    if panel.exposures is None:
        notes += ("No exposure: rates are counts per cell.",)
    return sample.replace(outcomes=counts, weights=weights, notes=notes), exposure


def fit_poisson(sample: Sample, exposure: Floats, regressors: Floats, names: Sequence[str]) -> PoissonFit:
    """Poisson regression by iterated weighted least squares with the effects absorbed exactly at each step.

    Formula: ``E[count_it] = exposure_it exp(unit_i + period_t + x_it'b)``.

    Parameters
    ----------
    sample : Sample
        As :func:`counted` gives it.
    exposure : ndarray, shape (n, T)
        Denominators.
    regressors : ndarray, shape (n, T, K)
        Regressors.
    names : sequence of str
        What they are called.

    Raises
    ------
    DesignError
        If a coefficient is infinite (an indicator whose cells have no event) or not identified.
    ConvergenceError
        If the likelihood does not settle.
    """
    counts, weights, present = sample.outcomes, sample.weights, sample.present
    offset = np.log(exposure)
    _check_events(counts * present, regressors * present[:, :, None], names)
    used = np.where(present, exposure, 0.0)
    rate = (counts * present).sum(axis=1) / np.maximum(used.sum(axis=1), np.finfo(float).tiny)
    mean = np.where(present, (counts + np.maximum(rate[:, None] * exposure, 1e-8)) / 2.0, 1.0)
    eta, before = np.log(mean) - offset, np.inf
    for _ in range(ITERATIONS):
        fit, proposed = _step(sample, regressors, names, eta, mean)
        for _ in range(30):
            mean = np.where(present, np.exp(np.clip(offset + proposed, -700.0, 700.0)), 1.0)
            deviance = _deviance(counts, mean, weights)
            if deviance <= before * (1 + 1e-10) + 1e-10 or not np.isfinite(before):
                break
            proposed = (eta + proposed) / 2.0
        eta = proposed
        if abs(before - deviance) <= TOLERANCE * (1.0 + deviance):
            # one step more from the optimum: its residuals are the fit's
            fit, _ = _step(sample, regressors, names, eta, mean)
            return PoissonFit(linear=fit, mean=np.where(present, mean, 0.0))
        before = deviance
    raise ConvergenceError(
        f"the Poisson likelihood did not settle in {ITERATIONS} steps",
        fix="pool events or cohorts with very few counts, or use family='gaussian' on the rate",
    )


def _step(
    sample: Sample, regressors: Floats, names: Sequence[str], eta: Floats, mean: Floats
) -> tuple[LinearFit, Floats]:
    """One weighted least-squares step, and the linear predictor it proposes."""
    working = np.where(sample.present, eta + (sample.outcomes - mean) / mean, 0.0)
    data = Grouped.of(working, sample.weights * mean, sample.clusters.astype(np.intp), None)
    fit = fit_linear(data, regressors, names)
    return fit, np.where(sample.present, working - fit.residual, 0.0)


def _deviance(counts: Floats, mean: Floats, weights: Floats) -> float:
    positive = np.where(counts > 0, counts, 1.0)
    log = np.where(counts > 0, counts * np.log(positive / mean), 0.0)
    return float(2.0 * np.sum(weights * (log - (counts - mean))))


def _check_events(events: Floats, regressors: Floats, names: Sequence[str]) -> None:
    """Refuse indicators whose cells have no event: their coefficient is minus infinity."""
    empty = np.tensordot(events, np.abs(regressors), axes=([0, 1], [0, 1])) == 0
    lost = np.flatnonzero(empty & (np.abs(regressors).sum(axis=(0, 1)) > 0))
    if lost.size:
        listed = ", ".join(f"'{names[k]}'" for k in lost[:5]) + (" ..." if lost.size > 5 else "")
        raise DesignError(
            f"no event in the cells of {listed}: the rate ratio is 0 and its logarithm infinite",
            fix="use longer periods, leave out the cohort, or use family='gaussian' on the rate",
        )


def poisson_robust(fit: PoissonFit, vcov: str, df: str | None) -> Robust:
    """Covariance of the coefficients; ``classical`` is quasi-Poisson.

    Raises
    ------
    DesignError
        For CR2, CR3 and Satterthwaite degrees of freedom.
    """
    if vcov in ("CR2", "CR3") or df == "satterthwaite":
        raise DesignError(
            f"{vcov if df is None else 'Satterthwaite df'} is not available for the Poisson family",
            fix="use vcov='CR1S', with we.did.few_treated(panel) beside it where few are treated",
        )
    check_choice("vcov", vcov, POISSON_VCOVS)
    return robust_of(fit.linear, vcov, df)
