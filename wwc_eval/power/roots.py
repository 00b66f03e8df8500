"""Roots of many functions at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wwc_eval.power.kernels import Array

__all__ = ["bracketed_root"]

_STEPS = 100


def bracketed_root(gap: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Root of an elementwise function between two arrays, at which it is negative and then not; NaN stays NaN.

    Chandrupatla's method: inverse quadratic interpolation where it is safe, else bisection. Source: Chandrupatla 1997
    (doi:10.1016/S0965-9978(96)00051-8).

    Examples
    --------
    >>> bracketed_root(lambda x: x * x - 2.0, np.array([0.0]), np.array([2.0]))
    array([1.41421356])
    """
    b, a = np.array(low, float), np.array(high, float)
    fb, fa = gap(b), gap(a)
    c, fc = b.copy(), fb.copy()
    t = np.full(b.shape, 0.5)
    for _ in range(_STEPS):
        x = a + t * (b - a)
        fx = gap(x)
        same = (fx < 0) == (fa < 0)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        with np.errstate(all="ignore"):
            limit = 4e-16 * np.abs(best) / np.abs(b - a)
            done = (fa == 0) | ~(limit <= 0.5) | ~np.isfinite(fa)
            if np.all(done):
                break
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            safe = (phi**2 < xi) & ((1.0 - phi) ** 2 < 1.0 - xi)
            quadratic = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
            t = np.where(safe & np.isfinite(quadratic), quadratic, 0.5)
            t = np.where(done, 0.0, np.clip(t, limit, 1.0 - limit))
    found = np.where(fa == 0, a, np.where(np.abs(fa) < np.abs(fb), a, b))
    return np.asarray(np.where(np.isnan(low) | np.isnan(high), np.nan, found))
