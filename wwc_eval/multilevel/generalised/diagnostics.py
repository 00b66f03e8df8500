"""What a generalised mixed model assumes, looked at: residuals, calibration, random effects, variance explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.multilevel.diagnostics import described, described_columns
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.heterogeneity import LOGISTIC_VARIANCE, parts_of
from wwc_eval.multilevel.generalised.predictions import linear_predictor, require_fit
from wwc_eval.table import Column, Table

if TYPE_CHECKING:
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit

__all__ = ["calibration", "diagnostics", "residuals", "standardised_effects", "variance_explained"]

KINDS = ("pearson", "quantile")


def residuals(fit: GeneralisedFit, kind: str = "pearson", *, rng: Any = None) -> Array:
    """Residuals given the random effects.

    Parameters
    ----------
    fit : GeneralisedFit
        The model.
    kind : {"pearson", "quantile"}
        ``(y - mean) / sd``, or randomised quantile residuals, which are standard normal if the model is right,
        whatever the family.
    rng : int, Generator or SeedSequence, optional
        Source of randomness, needed by quantile residuals.

    Returns
    -------
    (n,) array
        NaN in rows that separation decides.

    Raises
    ------
    DesignError
        If quantile residuals have no source of randomness, or others have one.

    Notes
    -----
    Formula: ``ndtri(F(y - 1) + u (F(y) - F(y - 1)))`` with F the fitted distribution and u uniform. Source: Dunn and Smyth
    1996, doi:10.1080/10618600.1996.10474708.
    """
    require_fit(fit)
    check_choice("kind", kind, KINDS)
    sample = fit.core.sample
    y, mean = sample.y, fit.predict()
    open_rows = fit.core.rows
    if kind == "pearson":
        if rng is not None:
            raise DesignError("Pearson residuals are not randomised", fix="leave out rng, or use kind='quantile'")
        found = (y - _total(fit, mean)) / np.sqrt(np.where(open_rows, _variance(fit, mean), 1.0))
        return np.where(open_rows, found * np.sqrt(sample.weights), np.nan)
    if rng is None:
        raise DesignError("quantile residuals are randomised", fix="give a seed: rng=1")
    low, high = _distribution(fit, y - 1.0, mean), _distribution(fit, y, mean)
    u = np.random.default_rng(rng).uniform(size=fit.n)
    inside = np.clip(low + u * (high - low), 1e-300, 1.0 - 1e-16)
    return np.where(open_rows, special.ndtri(inside), np.nan)


def _total(fit: GeneralisedFit, mean: Array) -> Array:
    """Expected outcome of a row: predictions are of one trial."""
    return np.asarray(mean * fit.core.sample.trials)


def _variance(fit: GeneralisedFit, mean: Array) -> Array:
    sample, dispersion = fit.core.sample, fit.dispersion
    if fit.family == "binomial":
        return np.asarray(sample.trials * mean * (1.0 - mean))
    if dispersion is None or fit.core.poisson_limit:
        return mean
    return mean + mean**2 / dispersion if fit.family == "negative_binomial" else mean * (1.0 + dispersion)


def _distribution(fit: GeneralisedFit, y: Array, mean: Array) -> Array:
    """Probability of an outcome up to y."""
    at, dispersion = np.maximum(y, 0.0), fit.dispersion
    if fit.family == "binomial":
        found = special.bdtr(at, fit.core.sample.trials.astype(int), mean)
    elif dispersion is None or fit.core.poisson_limit:
        found = special.pdtr(at, mean)
    else:
        size = dispersion if fit.family == "negative_binomial" else mean / dispersion
        found = special.betainc(size, at + 1.0, size / (size + mean))
    return np.where(y < 0, 0.0, found)


def standardised_effects(fit: GeneralisedFit, group: str) -> Array:
    """Conditional modes (G, q) over the standard deviation that they have under the model.

    Formula: ``Var(b_hat) = Sigma - Var(b_hat - b)``, the diagonal of which scales each mode; approximate, as the modes are.
    """
    place = [grouping.name for grouping in fit.data.groupings].index(fit.data.grouping(group).name)
    modes = fit.core.modes[group]
    spread = np.diag(fit.covariances[place]) - np.einsum("gii->gi", modes.prediction)
    found = np.where(spread > 0, modes.mean / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)
    # groups in which separation decided every row inform nothing
    return found[np.isfinite(modes.mean).all(axis=1)]


def diagnostics(fit: GeneralisedFit, *, rng: Any = None) -> Table:
    """Random effects, and quantile residuals where there is a source of randomness, beside what normal ones would show.

    Returns
    -------
    Table
        As for linear models; the note tells the Pearson dispersion (1 if the family's variance is right; not of 0/1
        outcomes, which have none), and zeros observed and expected for counts.
    """
    require_fit(fit)
    rows = []
    if rng is not None:
        values = residuals(fit, "quantile", rng=rng)
        rows.append(described("quantile residuals", values[np.isfinite(values)]))
    for grouping in fit.data.groupings:
        effects = standardised_effects(fit, grouping.name)
        rows += [described(f"{grouping.name}: {term}", effects[:, k]) for k, term in enumerate(grouping.columns)]
    return Table(rows, described_columns(), title="Diagnostics", notes=_notes(fit))


def _notes(fit: GeneralisedFit) -> tuple[str, ...]:
    notes = ["Values far from what is expected of normal ones ask for a look at the rows or groups behind them."]
    sample = fit.core.sample
    own = residuals(fit)
    own = own[np.isfinite(own)]
    if fit.family != "binomial" or bool((sample.trials > 1).any()):
        dispersion = float(own @ own) / max(len(own) - len(fit.core.columns), 1)
        notes.append(f"Pearson dispersion {dispersion:.2f}, given the random effects.")
    if fit.family != "binomial":
        mean = fit.predict()
        expected = float(_distribution(fit, np.zeros(fit.n), mean)[fit.core.rows].sum())
        seen = int((sample.y[fit.core.rows] == 0).sum())
        notes.append(f"Rows without an event: {seen:,}, expected {expected:,.1f}.")
    return tuple(notes)


def calibration(fit: GeneralisedFit, bins: int = 10) -> Table:
    """Observed and expected outcomes in groups of rows of like prediction.

    Parameters
    ----------
    fit : GeneralisedFit
        The model.
    bins : int
        Groups, of about as many rows each.

    Returns
    -------
    Table
        rows, prediction from and to, observed and expected totals, and their difference in standard deviations.
    """
    require_fit(fit)
    count = int(check_number("bins", bins, at_least=2, at_most=max(2, fit.n)))
    mean, sample = fit.predict(), fit.core.sample
    expected, variance = _total(fit, mean), _variance(fit, mean)
    order = np.argsort(mean, kind="stable")
    rows = []
    for part in np.array_split(order, count):
        if not len(part):
            continue
        spread = float(np.sqrt(variance[part].sum()))
        gap = float(sample.y[part].sum() - expected[part].sum())
        rows.append(
            {
                "rows": len(part),
                "low": float(mean[part].min()),
                "high": float(mean[part].max()),
                "observed": float(sample.y[part].sum()),
                "expected": float(expected[part].sum()),
                "gap": gap / spread if spread > 0 else 0.0,
            }
        )
    columns = [
        Column(name="rows", kind="count"),
        Column(name="low", label="prediction from", kind="number"),
        Column(name="high", label="to", kind="number"),
        Column(name="observed", kind="number", digits=0),
        Column(name="expected", kind="number", digits=1),
        Column(name="gap", label="difference (SD)", kind="number", digits=2),
    ]
    note = "Predictions know the random effects, which draws observed and expected together."
    return Table(rows, columns, title="Calibration", notes=(note,))


def variance_explained(fit: GeneralisedFit) -> Table:
    """Share of variance on the scale of the link explained by the fixed effects, and by fixed and random effects.

    Formula: ``R2_m = v_f / (v_f + sum_l v_l + v_d)``, ``R2_c = (v_f + sum_l v_l) / (...)`` with ``v_f`` the variance of
    ``X beta`` and ``v_d`` that of the distribution: pi^2/3 for the logit; ``log(1 + s / m)`` for counts of mean m and
    variance ``s m`` at that mean, m the average expected count. Source: Nakagawa, Johnson and Schielzeth 2017,
    doi:10.1098/rsif.2017.0213.
    """
    require_fit(fit)
    sample = fit.core.sample
    eta, sign = linear_predictor(fit, sample.X)
    fixed = float(np.var(eta[sign == 0]))
    parts = parts_of(fit)
    own = LOGISTIC_VARIANCE
    if fit.family != "binomial":
        inside = eta[sign == 0] + np.log(sample.exposure[sign == 0]) + 0.5 * parts.sum()
        average = np.array([float(np.exp(inside).mean())])
        own = float(np.log1p(_variance(fit, average) / average**2)[0])
    total = fixed + float(parts.sum()) + own
    rows = [
        {"of": "fixed effects (marginal)", "share": fixed / total},
        {"of": "fixed and random effects (conditional)", "share": (fixed + float(parts.sum())) / total},
    ]
    columns = [Column(name="of", label="explained by"), Column(name="share", label="R2", kind="percent", digits=1)]
    return Table(rows, columns, title="Variance explained", notes=("On the scale of the link.",))
