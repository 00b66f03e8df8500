"""Many linear models with one random intercept at once.

Groups whose intercepts have the same cross-product z'z (the same size, without weights) shrink alike, so only their
sums are kept: with a few distinct sizes a refit costs a handful of multiplications. The criterion is a function of
one variance ratio g; its minimum is bracketed on a grid and found by Newton's method with exact derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wwc_eval.multilevel.engine.batch_point import Compressed, Point, compress, point_at
from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["Compressed", "Fits", "compress", "fit_batch"]

GRID = (0.0, 0.02, 0.1, 0.4, 1.5, 6.0, 40.0)
"""Values of g times the average z'z at which the minimum is bracketed."""
STEPS = 60
LARGEST = 2.5e9
"""Ratio beyond which the residual variance is zero for any purpose."""

NDBool = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fits:
    """One contrast of many fits, in the engine's units.

    Parameters
    ----------
    estimate, se, df : (B,) arrays
        The contrast, its standard error and degrees of freedom.
    ratio : (B,) array
        Variance between groups divided by the residual's.
    sigma2 : (B,) array
        Residual variance.
    criterion : (B,) array
        Criterion without constants.
    boundary, failed : (B,) bool arrays
        Whether the variance between groups is zero, and whether there is no fit.
    """

    estimate: Array
    se: Array
    df: Array
    ratio: Array
    sigma2: Array
    criterion: Array
    boundary: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    failed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def fit_batch(data: Compressed, contrast: Array, *, reml: bool, inference: str) -> Fits:
    """Fit every replicate.

    Parameters
    ----------
    data : Compressed
        The cross-products.
    contrast : (p,) array
        Contrast of the columns of X.
    reml : bool
        REML criterion, else ML deviance.
    inference : {"wald", "satterthwaite", "kenward_roger"}
        Standard error and degrees of freedom.
    """
    replicates = max(data.moving.shape[-1], data.total.shape[-1], data.counts.shape[-1])
    ratio, boundary, failed = _search(data, replicates, reml)
    point = point_at(data, ratio, reml, derivatives=True)
    failed |= ~np.isfinite(point.value) | (ratio > LARGEST)
    return _summary(point, contrast, (ratio, boundary, failed), inference)


# --- the search


def _search(data: Compressed, replicates: int, reml: bool) -> tuple[Array, NDBool, NDBool]:
    """Ratio at the minimum of each replicate, whether it is zero, and whether there is none."""
    average = float(data.sizes.mean()) or 1.0
    grid = np.array(GRID) / average
    values = np.stack(
        [np.broadcast_to(point_at(data, np.full(1, g), reml, derivatives=False).value, replicates) for g in grid]
    )
    failed = np.asarray(~np.isfinite(values).all(axis=0))
    best = np.where(failed, 0, np.argmin(np.where(np.isfinite(values), values, np.inf), axis=0))
    scaled = np.log1p(grid * average)  # the search runs in s = log(1 + g average)
    low = scaled[np.maximum(best - 1, 0)]
    high = np.where(best == len(grid) - 1, 25.0, scaled[np.minimum(best + 1, len(grid) - 1)])
    s = np.where(best == 0, 0.0, scaled[best])
    boundary = np.zeros(replicates, dtype=bool)
    active: Index = np.flatnonzero(~failed)
    for step in range(STEPS):
        if not len(active):
            break
        part = _selected(data, active)
        at = s[active]
        g = np.expm1(at) / average
        point = point_at(part, g, reml, derivatives=True)
        slope = point.first * np.exp(at) / average
        bend = point.second * (np.exp(at) / average) ** 2 + slope
        if step == 0:
            resting = (at == 0.0) & (slope >= 0.0)
            boundary[active[resting]] = True
        else:
            resting = np.zeros(len(active), dtype=bool)
        low[active] = np.where(slope < 0, at, low[active])
        high[active] = np.where(slope > 0, at, high[active])
        with np.errstate(divide="ignore", invalid="ignore"):
            move = at - slope / bend
        inside = (bend > 0) & (move >= low[active]) & (move <= high[active])
        settled = (bend > 0) & (slope**2 < 1e-16 * bend)
        move = np.where(inside, move, np.where(settled, at, (low[active] + high[active]) / 2.0))
        settled |= np.abs(move - at) <= 1e-10 * (1.0 + at)
        s[active] = np.where(resting, at, move)
        active = active[~(resting | settled | ~np.isfinite(slope))]
    return np.expm1(s) / average, boundary, failed


def _selected(data: Compressed, active: Index) -> Compressed:
    def take(a: Array) -> Array:
        return a if a.shape[-1] == 1 or len(active) == a.shape[-1] else a[..., active]

    return replace(
        data,
        counts=take(data.counts),
        moving=take(data.moving),
        total=take(data.total),
        n=take(data.n),
    )


# --- what is asked of each fit


def _summary(point: Point, contrast: Array, found: tuple[Array, NDBool, NDBool], inference: str) -> Fits:
    """Estimate, standard error and degrees of freedom of the contrast."""
    ratio, boundary, failed = found
    p = len(point.M) - 1
    scale = np.sqrt(point.rest)
    estimate = -(point.M[p, :p] * scale * contrast[:, None]).sum(axis=0)
    a = (point.M[:p, :p] * contrast[:, None]).sum(axis=1)  # the contrast where A_xx is the identity
    size = (a**2).sum(axis=0)
    sigma2 = point.rest / point.df
    turned = (point.T_1[:p, :p] * a).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if inference == "kenward_roger":
            variance, df = _kenward_roger(point, a, ratio, sigma2)
        else:
            variance = sigma2 * size
            df = np.full_like(variance, np.inf)
            if inference == "satterthwaite":
                moved = variance * point.rest * point.T_1[p, p] / point.df / sigma2 - sigma2 * (a * turned).sum(
                    axis=0
                )
                own = np.where(boundary | ~(point.second > 0), 0.0, 2.0 * moved**2 / point.second)
                df = 2.0 * variance**2 / (own + 2.0 * variance**2 / point.df)
        se = np.sqrt(variance)
    nowhere = np.where(failed, np.nan, 1.0)
    df_used = np.where(failed, np.nan, df)
    criterion = point.value + point.df * (1.0 + np.log(2.0 * np.pi / point.df))
    return Fits(
        estimate=estimate * nowhere,
        se=se * nowhere,
        df=df_used,
        ratio=ratio * nowhere,
        sigma2=sigma2 * nowhere,
        criterion=criterion * nowhere,
        boundary=boundary & ~failed,
        failed=failed,
    )


def _kenward_roger(point: Point, a: Array, g: Array, s: Array) -> tuple[Array, Array]:
    """Adjusted variance and degrees of freedom of one contrast, where A_xx is the identity.

    For a single contrast Kenward and Roger's degrees of freedom are ``2 / sum_rs w_rs t_r t_s``.
    """
    p = len(a)
    T_1, T_2 = point.T_1[:p, :p], point.T_2[:p, :p]
    eye = np.eye(p)[..., None]
    slopes = [T_1 / s**2, -(eye + g * T_1) / s**2]
    curves = {
        (0, 0): T_2 / s**3,
        (0, 1): -(2.0 * T_1 + g * T_2) / s**3,
        (1, 1): (2.0 * eye + 4.0 * g * T_1 + g**2 * T_2) / s**3,
    }
    traces = {
        (0, 0): -point.log_2 / s**2,
        (0, 1): (point.log_1 + g * point.log_2) / s**2,
        (1, 1): (point.n - 2.0 * g * point.log_1 - g**2 * point.log_2) / s**2,
    }
    info = {
        key: traces[key]
        - s * np.einsum("iib->b", curves[key])
        + s**2 * (slopes[key[0]] * slopes[key[1]]).sum(axis=(0, 1))
        for key in curves
    }
    determinant = info[0, 0] * info[1, 1] - info[0, 1] ** 2
    weights = {
        (0, 0): 2.0 * info[1, 1] / determinant,
        (0, 1): -2.0 * info[0, 1] / determinant,
        (1, 1): 2.0 * info[0, 0] / determinant,
    }
    size = (a**2).sum(axis=0)
    along = [(slope * a).sum(axis=1) for slope in slopes]
    t = [s * (a * turned).sum(axis=0) / size for turned in along]
    variance, spread = s * size, np.zeros_like(size)
    for (r, k), weight in weights.items():
        times = weight * (1.0 if r == k else 2.0)
        bent = (a * (curves[r, k] * a).sum(axis=1)).sum(axis=0) / 2.0
        variance = variance + 2.0 * s**2 * times * (bent - s * (along[r] * along[k]).sum(axis=0))
        spread = spread + times * t[r] * t[k]
    return variance, 2.0 / spread
