"""Power of t and z tests, exact and fast: the noncentral t distribution as sums over whole arrays.

Two rules, each to about 1e-14. Upper tails at noncentralities of 0 to 30 are Poisson mixtures of beta tails whose
first member is the level of the test, so every further one costs an addition and two products. Elsewhere P(T > t) =
E[Phi(ncp - t S)], S^2 = chi-squared(df) / df, by the trapezoidal rule in log S, which converges geometrically.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["Array", "critical", "t_ncp", "t_power", "upper_tail"]

Array: TypeAlias = NDArray[np.float64]

NORMAL = 1e9
"""Degrees of freedom from which t is taken as normal: the difference is below 1e-9."""
FARTHEST = 30.0
"""Largest noncentrality that is summed as a mixture."""
FEW = 32
"""Number of values up to which the rule is quicker than the sum."""
_DECAY = 36.0
_SIZES = np.array([24, 32, 40, 56, 80, 128, 256, 512, 1024, 2048, 4096, 8192, 16384])
_BLOCK = 1 << 12
"""Values worked on at a time, so that they stay in the processor's cache."""


def critical(df: ArrayLike, alpha: ArrayLike, sides: int) -> Array:
    """Critical value of a test: the upper ``alpha / sides`` quantile of t, of the normal for infinite df."""
    free, tail = np.broadcast_arrays(np.asarray(df, float), np.asarray(alpha, float) / sides)
    if free.size > 256:  # quantiles are dear, and designs share them
        frees, which = np.unique(np.asarray(df, float), return_inverse=True)
        tails, when = np.unique(np.asarray(alpha, float) / sides, return_inverse=True)
        if frees.size * tails.size < free.size:
            table = critical(frees[:, None], tails, 1)
            return np.asarray(table[which.reshape(np.shape(df)), when.reshape(np.shape(alpha))])
    values = -special.ndtri(tail)
    finite = free < NORMAL
    return np.asarray(np.where(finite, -special.stdtrit(np.where(finite, free, 1.0), tail), values))


def t_power(
    ncp: ArrayLike,
    df: ArrayLike,
    *,
    alpha: ArrayLike = 0.05,
    sides: int = 2,
    both: bool = True,
    stretch: ArrayLike | None = None,
) -> Array:
    """Power of a t test (of a z test where df is infinite) at a noncentrality.

    Parameters
    ----------
    ncp : array
        Noncentrality, effect / standard error; a one-sided test rejects on its positive side.
    df : array
        Degrees of freedom, > 0; infinity for the normal.
    alpha : array
        Level of the test.
    sides : {1, 2}
        Sides of the test.
    both : bool
        Whether a two-sided test counts rejections in the wrong direction too.
    stretch : array, optional
        Factor of the critical value: the SE that the test uses / the SE under the alternative, where they differ.

    Returns
    -------
    ndarray
        Formula: P(T > t) + P(T < -t), T noncentral t, t the critical value.

    Examples
    --------
    >>> round(float(t_power(2.228651479532, 37)), 10)
    0.5834214019
    """
    bar = critical(df, alpha, sides)
    if stretch is not None:
        bar = bar * np.asarray(stretch, float)
    shift = np.asarray(ncp, float)
    if sides == 2:
        shift = np.abs(shift)
    two_tailed = None if stretch is not None else np.asarray(alpha, float) * (2.0 / sides)
    return _tails(bar, df, shift, two_tailed, both=sides == 2 and both)[0]


def upper_tail(t: ArrayLike, df: ArrayLike, ncp: ArrayLike) -> Array:
    """P(T > t) of the noncentral t distribution for t > 0.

    Sources: Lenth 1989 (doi:10.2307/2347693) for the mixture; Trefethen and Weideman 2014
    (doi:10.1137/130932132) for the rule.

    Examples
    --------
    >>> round(float(upper_tail(2.0, 10, 2.5)), 6)
    0.693038
    """
    return _tails(t, df, ncp, None, both=False)[0]


def t_ncp(power: ArrayLike, df: ArrayLike, *, alpha: ArrayLike = 0.05, sides: int = 2, both: bool = True) -> Array:
    """Noncentrality at which a test has a stated power: the inverse of :func:`t_power`.

    Newton's method on the normal deviate of the power. NaN where the power is not above the level of the test, which
    needs no effect, or not below 1.

    Examples
    --------
    >>> round(float(t_ncp(0.8, 38)), 6)
    2.874918
    """
    goal, free, level = (
        np.ravel(part)
        for part in np.broadcast_arrays(np.asarray(power, float), np.asarray(df, float), np.asarray(alpha, float))
    )
    shape = np.broadcast_shapes(np.shape(power), np.shape(df), np.shape(alpha))
    bar = critical(free, level, sides)
    floor = level if sides == 1 or both else level / 2
    aim = special.ndtri(goal)
    ncp = np.where((goal > floor) & (goal < 1), np.maximum(bar + aim, 0.3), np.nan)
    left = np.flatnonzero(np.isfinite(ncp))
    for _ in range(100):
        if len(left) == 0:
            break
        now = ncp[left]
        reached, slope = _tails(
            bar[left], free[left], now, level[left] * (2.0 / sides), both=sides == 2 and both, slope=True
        )
        z = special.ndtri(reached)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = (aim[left] - z) * _normal(z) / slope
        step = np.where(np.isfinite(step), step, 0.5 * np.sign(aim[left] - z) * now)
        ncp[left] = np.clip(now + step, 0.5 * now, 2.0 * now + 0.5)  # flat at zero, where both tails count
        left = left[np.abs(step) > 1e-14 * np.maximum(now, 1.0)]
    return ncp.reshape(shape)


def _tails(
    t: ArrayLike, df: ArrayLike, ncp: ArrayLike, two_tailed: ArrayLike | None, *, both: bool, slope: bool = False
) -> tuple[Array, Array]:
    """P(T > t), with P(T < -t) added if ``both``, and its derivative by the noncentrality if asked for.

    ``two_tailed`` is P(|T| > t) at noncentrality 0, where it is known.
    """
    given = (t, df, ncp) if two_tailed is None else (t, df, ncp, two_tailed)
    parts = np.broadcast_arrays(*(np.asarray(part, float) for part in given))
    shape = parts[0].shape
    bar, free, shift = (np.ravel(part) for part in parts[:3])
    value, rate = np.empty(bar.size), np.zeros(bar.size if slope else 0)
    mixed = (free < NORMAL) & (shift >= 0) & (shift <= FARTHEST) & (bar.size > FEW)
    series = np.flatnonzero(mixed)
    # like noncentralities together, so that few terms do for most blocks; bytes are sorted by counting
    order = (
        series[np.argsort((shift[series] * 8.0).astype(np.uint8), kind="stable")]
        if len(series) > _BLOCK
        else series
    )
    for start in range(0, len(order), _BLOCK):
        at = order[start : start + _BLOCK]
        b, x = free[at] / 2.0, bar[at] ** 2 / (bar[at] ** 2 + free[at])
        first = special.betaincc(0.5, b, x) if two_tailed is None else np.ravel(parts[3])[at]
        found = _mixture(x, b, shift[at], first, both=both)
        value[at] = found[0]
        if slope:
            rate[at] = found[1]
    rest = np.flatnonzero(~mixed)
    if len(rest):
        for sign in (1.0, -1.0) if both else (1.0,):
            part = _mixed(bar[rest], free[rest], sign * shift[rest], special.ndtr)
            value[rest] = part if sign > 0 else value[rest] + part
            if slope:
                rate[rest] += sign * _mixed(bar[rest], free[rest], sign * shift[rest], _normal)
    return value.reshape(shape), rate.reshape(shape if slope else (0,))


def _mixture(x: Array, b: Array, ncp: Array, first: Array, *, both: bool) -> tuple[Array, Array]:
    """Upper tail (both tails if ``both``) as a Poisson mixture, and its derivative by the noncentrality.

    The j-th member is the upper tail of beta(j + 1/2, b) at x, for the odd half of one tail that of beta(j + 1, b).
    """
    half = ncp * ncp / 2.0
    terms = int(half.max(initial=0.0) + 9.0 * np.sqrt(half.max(initial=0.0)) + 22.0)
    log_rest = b * np.log1p(-x)
    weight = np.exp(-half)
    beta = first.copy()
    gain = np.exp(log_rest) * _half_step(b) * np.sqrt(x) * (2.0 / np.sqrt(np.pi))
    total, slope = np.zeros_like(x), np.zeros_like(x)
    for j in range(terms):
        total += weight * beta
        slope += weight * gain
        beta += gain
        weight *= half / (j + 1.0)
        gain *= x * ((b + (j + 0.5)) / (j + 1.5))
    slope *= ncp
    if both:
        return total, slope
    # the even half is shared by the two tails; the odd half tells them apart
    weight = np.exp(-half) * np.sqrt(2.0 / np.pi)  # over ncp
    beta = np.exp(log_rest)
    gain = b * x * beta
    odd, base = np.zeros_like(x), np.zeros_like(x)
    for j in range(terms):
        part = weight * beta
        odd += part
        base += part * (2.0 * j + 1.0)
        beta += gain
        weight *= half / (j + 1.5)
        gain *= x * ((b + (j + 1.0)) / (j + 2.0))
    # derivative of ncp exp(-half) half^j is (2 j + 1 - ncp^2) exp(-half) half^j
    return 0.5 * (total + ncp * odd), 0.5 * (slope + base - ncp * ncp * odd)


def _half_step(b: Array) -> Array:
    """Gamma(b + 1/2) / Gamma(b), which a difference of logarithms would spoil for large b."""
    r = 1.0 / np.maximum(b, 64.0)
    series = 1 + r * (
        -1 / 8 + r * (1 / 128 + r * (5 / 1024 + r * (-21 / 32768 + r * (-399 / 262144 + r * 869 / 4194304))))
    )
    step = np.sqrt(b) * series
    low = np.flatnonzero(b < 64.0)
    if len(low):
        twice = 2.0 * b[low]
        whole = twice.astype(np.int64)
        if np.array_equal(whole, twice) and len(low) > len(_HALF_STEPS):
            step[low] = _HALF_STEPS[whole]
        else:
            step[low] = special.gamma(b[low] + 0.5) / special.gamma(b[low])
    return np.asarray(step)


_HALF_STEPS: Array = np.r_[0.0, special.gamma(np.arange(2, 129) / 2.0) / special.gamma(np.arange(1, 128) / 2.0)]
"""Gamma(b + 1/2) / Gamma(b) at 2 b = 0, 1, ... 127."""


def _normal(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) * 0.3989422804014327)


def _mixed(t: Array, df: Array, ncp: Array, function: Callable[[Array], Array]) -> Array:
    """Mean of ``function(ncp - t S)`` over S."""
    out = np.asarray(function(ncp - t))
    rest = np.flatnonzero(df < NORMAL)
    if len(rest) == 0:
        return out
    low, width, nodes = _nodes(df[rest], ncp[rest])
    for size in np.unique(nodes):
        steps = np.arange(size) / (size - 1.0)
        group = np.flatnonzero(nodes == size)
        many = max((1 << 15) // int(size), 1)
        for start in range(0, len(group), many):
            at = group[start : start + many]
            free, shift, bar = df[rest[at], None], ncp[rest[at], None], t[rest[at], None]
            x = low[at, None] + width[at, None] * steps
            weight = np.exp(free * (x - 0.5 * np.expm1(2.0 * x)))
            value = function(shift - bar * np.exp(x))
            out[rest[at]] = np.einsum("ij,ij->i", weight, value) / weight.sum(axis=1)
    return out


def _nodes(df: Array, ncp: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Lower end and width of the range of log S that counts, and the number of nodes in it."""
    depth = _DECAY / df
    high, low = np.sqrt(depth), -np.sqrt(depth) - depth
    for _ in range(3):  # Newton from outside for exp(2 x) / 2 - x - 1/2 = depth
        high, low = _nearer(high, depth), _nearer(low, depth)
    lead = np.maximum(ncp, 0.0)
    step = np.minimum(0.09, 0.62 / np.sqrt(lead * lead + 2.0 * df))
    width = high - low
    needed = width / step + 1.0
    return low, width, _SIZES[np.minimum(np.searchsorted(_SIZES, needed), len(_SIZES) - 1)]


def _nearer(end: Array, depth: Array) -> Array:
    growth = np.exp(2.0 * end)
    return np.asarray(end - (0.5 * growth - end - 0.5 - depth) / (growth - 1.0))
