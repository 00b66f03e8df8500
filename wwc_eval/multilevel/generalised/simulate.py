"""Outcomes drawn from a fitted generalised linear mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, did_you_mean
from wwc_eval.multilevel.engine.covariance import lower_root
from wwc_eval.multilevel.engine.structure import Array

if TYPE_CHECKING:
    from wwc_eval.multilevel.generalised.fit import GeneralisedFit

__all__ = ["simulate"]


def simulate(
    fit: GeneralisedFit, reps: int, *, rng: Any, coefficients: Mapping[str, float] | None = None
) -> Array:
    """Outcomes of the rows used, drawn from the model: new random effects, new successes or counts.

    Parameters
    ----------
    fit : GeneralisedFit
        The model.
    reps : int
        Number of outcomes.
    rng : int, Generator or SeedSequence
        Source of randomness.
    coefficients : mapping, optional
        Fixed effects to replace, such as ``{"arm[programme]": 0.0}`` to draw under no effect.

    Returns
    -------
    (reps, n) array
        Successes or counts.

    Raises
    ------
    DesignError
        If a coefficient is not in the model, the fit has no finite estimates, or has precision weights, which are
        no part of a distribution that could be drawn from.
    """
    source = np.random.default_rng(rng)
    sample = fit.core.sample
    if not np.all(sample.weights == 1.0):
        raise DesignError(
            "the fit has precision weights, so its outcomes have no distribution to draw from",
            fix="fit without weights (trials and exposure are part of the distribution), or resample clusters",
        )
    beta = fit.coefficients.copy()
    for name, value in (coefficients or {}).items():
        if name not in fit.terms:
            raise DesignError(f"the model has no term '{name}'", fix=did_you_mean(name, fit.terms))
        beta[fit.terms.index(name)] = value
    if not np.all(np.isfinite(beta)):
        raise DesignError(
            f"nothing can be drawn from a fit of status '{fit.status}'",
            rule="every coefficient must have a finite estimate",
            fix="leave out what separates the outcome, or give coefficients=",
        )
    eta = np.tile(sample.X @ beta, (reps, 1))
    for grouping, covariance in zip(fit.data.groupings, fit.covariances, strict=True):
        root = lower_root(covariance, grouping.blocks)
        effects = source.standard_normal((reps, grouping.n_groups, grouping.width)) @ root.T
        for k in range(grouping.width):
            eta += effects[:, grouping.codes, k] * grouping.Z[:, k]
    return _drawn(fit, eta, source)


def _drawn(fit: GeneralisedFit, eta: Array, source: np.random.Generator) -> Array:
    from scipy import special

    sample = fit.core.sample
    if sample.family == "binomial":
        return source.binomial(sample.trials.astype(np.int64), special.expit(eta)).astype(float)
    mean = sample.exposure * np.exp(eta)
    dispersion = fit.dispersion
    if dispersion is not None and np.isfinite(dispersion) and dispersion > 0:
        # a Poisson count whose mean is gamma: size k of NB2, mean / alpha of NB1
        size = (
            np.broadcast_to(dispersion, mean.shape) if sample.family == "negative_binomial" else mean / dispersion
        )
        mean = source.gamma(size) * mean / size
    return source.poisson(mean).astype(float)
