"""Risks and rates that vary between clusters: the logit-normal and log-normal mixtures behind an ICC.

On the scale of the link a cluster's effect is normal; its SD is found so that risks vary between clusters by
``icc p (1 - p)`` (rates by the variance that the outcome's ICC or k implies), and intercepts so that the mean over clusters is
the risk planned. Expectations are taken by Gauss-Hermite quadrature.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError
from wwc_eval.power.simulation.small_matrices import Array

__all__ = ["intercept_of", "link_sd"]

NODES = 60
WIDEST = 8.0


def _nodes() -> tuple[Array, Array]:
    x, w = np.polynomial.hermite_e.hermegauss(NODES)
    return np.asarray(x), np.asarray(w / w.sum())


def intercept_of(mean: Array | float, sd: float, family: str) -> Array:
    """Intercepts on the link's scale at which the mean over clusters is ``mean``."""
    goal = np.asarray(mean, dtype=float)
    if family == "poisson":
        return np.asarray(np.log(goal) - 0.5 * sd**2)
    x, w = _nodes()
    a = special.logit(goal)
    for _ in range(60):
        p = special.expit(np.asarray(a)[..., None] + sd * x)
        step = (p @ w - goal) / ((p * (1.0 - p)) @ w)
        a = a - np.clip(step, -2.0, 2.0)
        if np.abs(step).max(initial=0.0) < 1e-13:
            break
    return np.asarray(a)


def link_sd(mean: float, variance: float, family: str) -> float:
    """SD of cluster effects on the link's scale at which true means vary with a variance.

    Raises
    ------
    DesignError
        If no mixture of this kind varies so much.
    """
    if variance <= 0:
        return 0.0
    if family == "poisson":
        return float(np.sqrt(np.log1p(variance / mean**2)))
    x, w = _nodes()

    def spread(sd: float) -> float:
        p = special.expit(intercept_of(mean, sd, family) + sd * x)
        return float(((p - mean) ** 2) @ w)

    low, high = 0.0, WIDEST
    if spread(high) < variance:
        raise DesignError(
            f"risks with mean {mean:g} cannot vary between clusters with variance {variance:.3g} in this simulation",
            fix="lower icc or k",
        )
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in {low, high}:
            break
        low, high = (middle, high) if spread(middle) < variance else (low, middle)
    return high
