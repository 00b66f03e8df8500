"""Variance and degrees of freedom of the effect in a nested design: one recursion for every one of them.

From the lowest level up, ``within`` is the variance that one unit of the next level gets from all that lies in it.
With equal sizes the sum is var(effect) = sum over random blocks of rho omega (1 - R2T) / N + sum over the levels at or
below the assigned one of rho (1 - R2) / (P (1 - P) N), N the units of the level in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Components

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["SIZE_METHODS", "degrees_of_freedom", "effect_variance", "join", "units_in_all"]

SIZE_METHODS = ("taylor", "eldridge", "unweighted", "ignored")


def units_in_all(trial: Trial, level: int) -> Array:
    """Units of a level in the whole trial, as analysed."""
    total = np.asarray(1.0)
    for each in trial.levels[level:]:
        total = total * np.asarray(each.kept, float)
    return total


def join(between: Array, within: Array, size_cv: Array | float, method: str) -> Array:
    """Variance of a unit's mean from what lies between units and what lies within them, sizes varying.

    ``taylor``: (u + w) / (1 - cv^2 L (1 - L)), L = u / (u + w), for weights that minimise the variance (mixed
    models); ``eldridge``: u (1 + cv^2) + w, for weights by size; ``unweighted``: u + w (1 + cv^2), for the plain mean
    of the units' means, 1 / size to second order.
    Sources: van Breukelen, Candel and Berger 2007 (doi:10.1002/sim.2740); Eldridge, Ashby and Kerry 2006
    (doi:10.1093/ije/dyl129).
    """
    cv2 = np.asarray(size_cv, float) ** 2
    if method == "ignored" or not np.any(cv2 > 0):
        return between + within
    if method == "eldridge":
        return between * (1.0 + cv2) + within
    if method == "unweighted":
        return between + within * (1.0 + cv2)
    total = between + within
    with np.errstate(invalid="ignore", divide="ignore"):
        lead = np.where(total > 0, between / total, 0.0)
    loss = cv2 * lead * (1.0 - lead)
    if np.any(loss >= 1):
        raise DesignError(
            f"size_cv == {float(np.max(np.asarray(size_cv))):g} is beyond what the Taylor method allows (about 2)",
            fix="simulate the design, or take size_method='eldridge'",
        )
    return np.asarray(total / (1.0 - loss))


def arm_variances(trial: Trial, components: Components) -> tuple[Array, Array]:
    """Variance that one assigned unit's mean has, in the treated and in the control arm."""
    arms = []
    for arm in (0, 1):
        parts = [components[at][arm] * (1.0 - np.asarray(trial.levels[at].r2)) for at in range(trial.at + 1)]
        parts[0] = parts[0] / np.asarray(trial.levels[0].reliability)
        if trial.baseline is not None and trial.baseline.method == "change":
            r = trial.baseline.along(trial.levels)
            parts = [2.0 * part * (1.0 - r[at]) for at, part in enumerate(parts)]
        extra = np.asarray(0.0)
        if trial.groups is not None and arm == 0:
            total = sum((part[0] for part in components), np.asarray(0.0))
            gained, lost = trial.groups.variances(total)
            parts[0] = parts[0] - lost * (1.0 - np.asarray(trial.levels[0].r2))
            extra = gained * np.asarray(trial.groups.n) * (1.0 - np.asarray(trial.groups.r2))
            if np.any(parts[0] < 0):
                raise DesignError(
                    "icc of the treated groups leaves less than nothing to children", fix="lower icc"
                )
        arms.append(_upward(trial, parts, extra))
    return arms[0], arms[1]


def _upward(trial: Trial, parts: Sequence[Array], extra: Array) -> Array:
    """Variance of one assigned unit's mean from the parts of every level up to it."""
    within = parts[0] + extra
    ancova = trial.baseline is not None and trial.baseline.method == "ancova"
    shared = parts[0] * (trial.baseline.along(trial.levels)[0] if ancova and trial.baseline else 0.0)
    for at in range(1, trial.at + 1):
        lower = trial.levels[at - 1]
        n = np.asarray(lower.kept, float)
        within = join(parts[at], within / n, lower.size_cv, trial.size_method)
        if ancova and trial.baseline:
            shared = parts[at] * trial.baseline.along(trial.levels)[at] + shared / n
    if ancova:
        r = shared / within
        return np.asarray(within * (1.0 - r * r))
    return np.asarray(within)


def effect_variance(trial: Trial, components: Components, *, fewer: int = 0) -> Array:
    """Variance of the estimated effect on the scale of the test; ``fewer`` units are taken from each arm."""
    treated, control = arm_variances(trial, components)
    share = np.asarray(trial.allocation, float)
    n = np.asarray(trial.levels[trial.at].kept, float)
    within = treated / (share * n - fewer) + control / ((1.0 - share) * n - fewer)
    for at in range(trial.at + 1, len(trial.levels)):
        level, below = trial.levels[at], trial.levels[at - 1]
        between = np.asarray(0.0)
        if trial.block_effects == "random":
            spread = np.asarray(level.effect_heterogeneity, float) * (1.0 - np.asarray(level.effect_r2))
            between = components[at][1] * spread * trial.kept_effect**2
            within = join(between, within, below.size_cv, trial.size_method)
        within = within / np.asarray(level.kept, float)
    return np.asarray(within)


def degrees_of_freedom(trial: Trial, components: Components | None = None) -> Array:
    """Degrees of freedom of the test of the effect.

    Units of the top level assigned: N - 2 - g. Blocks with random effects: blocks of the top level - 1 - g. Fixed: B
    (n - 2) - g, B the lowest blocks and n the units assigned in each. Constant: B (n - 1) - 1 - g. g counts the
    covariates of the level that the test is made at. Groups in the treated arm only: Satterthwaite over the two arms.
    """
    if trial.df is not None and trial.df != "two_arm":
        return np.asarray(trial.df, float)
    top, at = len(trial.levels) - 1, trial.at
    n = np.asarray(trial.levels[at].kept, float)
    g = np.asarray(trial.levels[at].covariates, float)
    if at < top:
        blocks = units_in_all(trial, at + 1)
        if trial.df == "two_arm" and components is not None:
            share = np.asarray(trial.allocation, float)
            treated, control = (components[at + 1][1] + each / n for each in arm_variances(trial, components))
            return _two_arm(treated / share, control / (1.0 - share), blocks * share, blocks * (1.0 - share))
        if trial.block_effects == "random":
            return np.asarray(units_in_all(trial, top) - 1.0 - np.asarray(trial.levels[top].covariates, float))
        if trial.block_effects == "fixed":
            return np.asarray(blocks * (n - 2.0) - g)
        return np.asarray(blocks * (n - 1.0) - 1.0 - g)
    if trial.groups is None or components is None:
        return np.asarray(n - 2.0 - g)
    share = np.asarray(trial.allocation, float)
    treated, control = arm_variances(trial, components)
    units = n * share / (np.asarray(trial.groups.n) if at == 0 else 1.0)
    return np.asarray(_two_arm(treated / (n * share), control / (n * (1.0 - share)), units, n * (1.0 - share)) - g)


def _two_arm(one: Array, two: Array, units: Array, others: Array) -> Array:
    """Satterthwaite's degrees of freedom of a sum of two variances."""
    return np.asarray((one + two) ** 2 / (one**2 / (units - 1.0) + two**2 / (others - 1.0)))
