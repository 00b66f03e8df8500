"""The interval that inverts a randomisation test of a ratio of rates, exactly."""

from __future__ import annotations

import math

import numpy as np

from wwc_eval.inference.inversion import TIE
from wwc_eval.randomisation.scheme import Floats
from wwc_eval.randomisation.testing.reference import ReferenceSet

__all__ = ["ratio_interval"]

ROUNDING = 1e-12
"""Sums of probabilities that equal one minus the coverage may come out this much above it."""


def ratio_interval(
    treated: Floats, compared: Floats, observed: float, reference: ReferenceSet, alpha: float
) -> tuple[float, float]:
    """Hull of the logarithms d of rate ratios whose two-sided p-value is above ``alpha``, exactly.

    With a ratio exp(d) taken out of the events of the treated, ``u = exp(-d)``, an allocation's statistic is
    ``g = log((a u + b) / e) - log((a' u + b') / e')`` and that of the observed allocation ``h = t - d``. ``g - h`` and
    ``g + h`` each change sign once, at the positive root of a quadratic in u, so an allocation is at least as extreme
    for the ratios between the two roots, and p as a function of d steps at these points only.

    Parameters
    ----------
    treated, compared : (m, 3) arrays
        Of the rows that each allocation treats, and of those that it compares them with: events of rows that were
        treated (a), other events (b), time at risk (e).
    observed : float
        t, the logarithm of the observed ratio.
    reference : ReferenceSet
        Weights of the allocations.
    alpha : float
        One minus the coverage.
    """
    a, b, e = treated.T
    a_other, b_other, e_other = compared.T
    k = math.exp(observed)
    first, flat = _root(k * e * a_other, k * e * b_other, e_other * a, e_other * b)
    second, mirror = _root(k * e_other * a, k * e_other * b, e * a_other, e * b_other)
    always = flat | mirror | (e <= 0) | (e_other <= 0) | (a + b + a_other + b_other <= 0)
    with np.errstate(divide="ignore"):
        ends = -np.log(np.stack([first, second]))[:, ~always]
    low, high, weights = ends.min(axis=0), ends.max(axis=0), reference.weights[~always]
    base = reference.own + float(reference.weights[always].sum())
    points = np.unique(np.concatenate([low, high, [observed]]))
    points = points[np.isfinite(points)]
    share = base + _weight(points, low, weights, "right") - _weight(points, high, weights, "left")
    kept = points[share > alpha + ROUNDING]
    found = []
    for far, ends_there, edge in ((-math.inf, low, kept.min()), (math.inf, high, kept.max())):
        beyond = base + float(weights[ends_there == far].sum())
        found.append(far if beyond > alpha + ROUNDING else float(edge))
    return found[0], found[1]


def _root(square: Floats, plus: Floats, minus: Floats, level: Floats) -> tuple[Floats, np.ndarray]:
    """Positive root of ``square u^2 + (plus - minus) u - level``, 0 or infinite where there is none, and where all is 0."""
    linear = plus - minus
    near = TIE * (plus + minus)
    flat = (np.abs(linear) <= near) & (square <= near) & (level <= near)
    root = np.sqrt(linear**2 + 4.0 * square * level)
    with np.errstate(divide="ignore", invalid="ignore"):
        # for each sign of the linear term the form without cancellation
        found = np.where(linear >= 0, 2.0 * level / (linear + root), (root - linear) / (2.0 * square))
    return np.where(np.isnan(found), math.inf, found), flat


def _weight(points: Floats, ends: Floats, weights: Floats, side: str) -> Floats:
    """Weight of the ends below (``left``) or at or below (``right``) each point."""
    order = np.argsort(ends, kind="stable")
    sums = np.r_[0.0, np.cumsum(weights[order])]
    return np.asarray(sums[np.searchsorted(ends[order], points, side=side)])  # type: ignore[call-overload]
