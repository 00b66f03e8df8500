"""Outcomes drawn from a fitted linear mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError, did_you_mean
from wwc_eval.multilevel.engine.covariance import lower_root
from wwc_eval.multilevel.engine.structure import Array

if TYPE_CHECKING:
    from wwc_eval.multilevel.linear import LinearFit

__all__ = ["simulate"]


def simulate(fit: LinearFit, reps: int, *, rng: Any, coefficients: Mapping[str, float] | None = None) -> Array:
    """Outcomes of the rows used, drawn from the model: new random effects and new residuals.

    Parameters
    ----------
    fit : LinearFit
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

    Raises
    ------
    DesignError
        If a coefficient is not in the model.
    """
    source = np.random.default_rng(rng)
    beta = fit.coefficients.copy()
    for name, value in (coefficients or {}).items():
        if name not in fit.terms:
            raise DesignError(f"the model has no term '{name}'", fix=did_you_mean(name, fit.terms))
        beta[fit.terms.index(name)] = value
    found = np.tile(fit.data.design.X @ beta, (reps, 1))
    for grouping, covariance in zip(fit.data.groupings, fit.covariances, strict=True):
        root = lower_root(covariance, grouping.blocks)
        effects = source.standard_normal((reps, grouping.n_groups, grouping.width)) @ root.T
        for k in range(grouping.width):
            found += effects[:, grouping.codes, k] * grouping.Z[:, k]
    weights = fit.data.weights
    scale = np.sqrt(fit.residual_variance / (1.0 if weights is None else weights))
    found += source.standard_normal(found.shape) * scale
    return found
