"""Sizes as other programs search for them and round them, so that figures quoted from them can be reproduced.

PowerUpR's may fall short of the power: it rounds to nearest and stops when a step changes the size by less than a
tenth. CRTSize stops when a step changes it by less than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.conventions import CONVENTIONS
from wwc_eval.power.kernels import Array

if TYPE_CHECKING:
    from collections.abc import Callable

    from wwc_eval.power.solving import Anatomy

__all__ = ["crtsize_size", "powerup_size"]

START = 10.0
TOLERANCE = 0.1
SMALL = 30.0
STEPS = 101


def powerup_size(
    anatomy: Callable[[Array], Anatomy], *, power: Array, alpha: Array, sides: int, start: float = START
) -> tuple[Array, Array]:
    """Size, unrounded, and the df of the last step of the search.

    ``anatomy`` is the test at a number of units. Each step averages the size with the one that the present df asks
    for: ((t1 + t2) SE / effect)^2, the variance falling with the number of units. Source: PowerUpR 1.1.0.
    """
    one = anatomy(np.ones(np.shape(power)))
    needed = np.asarray((one.se / one.distance) ** 2)
    shape = np.broadcast_shapes(needed.shape, np.shape(power), np.shape(alpha))
    size, last = np.full(shape, start), np.full(shape, np.nan)
    left = np.ones(shape, dtype=bool)
    rule = CONVENTIONS["powerup"]
    for _ in range(STEPS):
        df = np.asarray(anatomy(size).df) + np.zeros(shape)
        if np.any(left & ~(df > 0)):
            raise DesignError(
                "PowerUpR's search for a size leaves the sizes that have degrees of freedom",
                fix="convention='exact'",
            )
        last = np.where(left, df, last)
        wanted = rule.ncp(power, np.where(df > 0, df, 1.0), alpha=alpha, sides=sides) ** 2 * needed
        near = np.abs(wanted - size) < TOLERANCE
        size = np.where(left, (size + wanted) / 2.0, size)
        left &= ~near
        if not np.any(left):
            break
    return size, last


def crtsize_size(anatomy: Callable[[Array], Anatomy], *, power: Array, alpha: Array, sides: int) -> Array:
    """Clusters in all, unrounded, with two equal arms.

    Normal quantiles; below 30 clusters an arm again with t quantiles at the last size n an arm, 2 (n - 1) df, until it
    changes by no more than one. Source: CRTSize 1.2.
    """
    one = anatomy(np.ones(np.shape(power)))
    needed = np.asarray((one.se / one.distance) ** 2) / 2.0
    rule, normal = CONVENTIONS["powerup"], np.full(np.shape(power), np.inf)
    size = rule.ncp(power, normal, alpha=alpha, sides=sides) ** 2 * needed
    left = size < SMALL
    for _ in range(STEPS):
        if not np.any(left):
            break
        df = np.maximum(2.0 * (size - 1.0), 1e-3)
        wanted = rule.ncp(power, df, alpha=alpha, sides=sides) ** 2 * needed
        near = np.abs(wanted - size) <= 1.0
        size = np.where(left, wanted, size)
        left &= ~near
    return np.asarray(2.0 * size)
