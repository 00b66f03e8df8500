"""Many linear models with one random intercept at once: the replicate axis comes last and everything is vectors.

Groups whose intercepts have the same cross-product z'z (the same size, without weights) shrink alike, so only their
sums are kept: with a few distinct sizes a refit costs a handful of multiplications. The criterion is a function of
one variance ratio g; its minimum is bracketed on a grid and found by Newton's method with exact derivatives.

Formula: with ``M`` the inverse of the Cholesky factor of the folded matrix A (outcome last), ``T_1 = M A' M'`` and
``T_2 = M A'' M'``, the derivatives of log|A_xx| are ``tr T_1`` and ``tr T_2 - |T_1|^2`` over X, and those of the residual sum
of squares r are ``r T_1yy`` and ``r (T_2yy - 2 |T_1xy|^2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.multilevel.engine.structure import Array, Index

__all__ = ["Compressed", "Fits", "compress", "fit_batch"]

GRID = (0.0, 0.02, 0.1, 0.4, 1.5, 6.0, 40.0)
"""Values of g times the average z'z at which the minimum is bracketed."""
STEPS = 60
TINY = 1e-13


@dataclass(frozen=True, kw_only=True, eq=False)
class Compressed:
    """Cross-products of many models; B replicates, or 1 where they share.

    Parameters
    ----------
    sizes : (u,) array
        Distinct z'z of the groups.
    counts : (u, B or 1) array
        Groups of each.
    shared : (r, r, u) array
        Sums over the groups of each size of ``a a'``, a being z'[X y], where the replicates share them; else zero.
    pairs : tuple of (int, int)
        Pairs of columns (row >= column) whose sums differ between replicates.
    moving : (pairs, u, B) array
        Their sums.
    total : (r, r, B or 1) array
        ``[X y]'[X y]``.
    n : (B or 1,) array
        Rows.
    """

    sizes: Array
    counts: Array
    shared: Array
    pairs: tuple[tuple[int, int], ...]
    moving: Array
    total: Array
    n: Array

    @property
    def width(self) -> int:
        """Columns of X and the outcome."""
        return int(self.total.shape[0])


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


def compress(zz: Array, sums: Sequence[Array], total: Array, n: Array, times: Array | None = None) -> Compressed:
    """Bring groups of the same size together.

    Parameters
    ----------
    zz : (G,) array
        z'z of each group.
    sums : sequence of r arrays (G, B or 1)
        z'[X y] of each group, column by column.
    total : (r, r, B or 1) array
        ``[X y]'[X y]``; with ``times`` weighted already.
    n : (B or 1,) array
        Rows.
    times : (G, B) array, optional
        How often each group counts.
    """
    sizes, inverse = np.unique(np.round(zz, 12), return_inverse=True)
    r, u = len(sums), len(sizes)
    pick = np.zeros((u, len(zz)))
    pick[inverse, np.arange(len(zz))] = 1.0
    shared, pairs, moving = np.zeros((r, r, u)), [], []
    for i in range(r):
        for j in range(i + 1):
            product = sums[i] * sums[j]
            if times is not None:
                product = product * times
            if product.shape[1] == 1:
                shared[i, j] = shared[j, i] = (pick @ product)[:, 0]
            else:
                pairs.append((i, j))
                moving.append(pick @ product)
    counts = pick @ (np.ones((len(zz), 1)) if times is None else times)
    return Compressed(
        sizes=sizes,
        counts=counts,
        shared=shared,
        pairs=tuple(pairs),
        moving=np.array(moving) if moving else np.zeros((0, u, 1)),
        total=total,
        n=n,
    )


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
    point = _point(data, ratio, reml, derivatives=True)
    failed |= ~np.isfinite(point.value)
    return _summary(point, contrast, (ratio, boundary, failed), reml=reml, inference=inference)


# --- the criterion at one ratio for each replicate


@dataclass(frozen=True, slots=True)
class _Point:
    """Criterion, derivatives and what they were made of."""

    value: Array
    first: Array
    second: Array
    M: Array
    T_1: Array
    T_2: Array
    rest: Array
    df: Array
    log_1: Array
    log_2: Array
    n: Array


def _point(data: Compressed, g: Array, reml: bool, *, derivatives: bool) -> _Point:
    """Criterion at ratios g (B,), with derivatives in g."""
    grown = 1.0 + data.sizes[:, None] * g
    shrink = 1.0 / grown
    log_det = (data.counts * np.log(grown)).sum(axis=0)
    A = data.total - _weighted(data, g * shrink)
    lower = _cholesky(A)
    r = data.width
    p = r - 1
    df = data.n - p if reml else data.n
    rest = lower[p, p] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        value = log_det + df * np.log(rest)
        if reml:
            value = value + 2.0 * np.log(np.einsum("iib->ib", lower)[:p]).sum(axis=0)
    empty = np.zeros((0,))
    if not derivatives:
        return _Point(value, empty, empty, lower, empty, empty, rest, df, empty, empty, data.n)
    M = _inverse(lower)
    T_1 = _turned(M, -_weighted(data, shrink**2))
    T_2 = _turned(M, _weighted(data, 2.0 * data.sizes[:, None] * shrink**3))
    scaled = data.sizes[:, None] * shrink
    log_1, log_2 = (data.counts * scaled).sum(axis=0), -(data.counts * scaled**2).sum(axis=0)
    first = log_1 + df * T_1[p, p]
    second = log_2 + df * (T_2[p, p] - 2.0 * (T_1[:p, p] ** 2).sum(axis=0) - T_1[p, p] ** 2)
    if reml:
        first = first + np.einsum("iib->b", T_1[:p, :p])
        second = second + np.einsum("iib->b", T_2[:p, :p]) - (T_1[:p, :p] ** 2).sum(axis=(0, 1))
    return _Point(value, first, second, M, T_1, T_2, rest, df, log_1, log_2, data.n)


def _weighted(data: Compressed, weights: Array) -> Array:
    """Sum over sizes of the parts times weights (u, B or 1): (r, r, B or 1)."""
    r, u = data.width, len(weights)
    found = (data.shared.reshape(r * r, u) @ weights).reshape(r, r, -1)
    if not data.pairs:
        return found
    moved = data.moving[:, 0] * weights[0]
    for k in range(1, u):
        moved += data.moving[:, k] * weights[k]
    if found.shape[-1] < moved.shape[-1]:
        found = np.repeat(found, moved.shape[-1], axis=-1)
    for (i, j), values in zip(data.pairs, moved, strict=True):
        found[i, j] = found[j, i] = values
    return found


def _cholesky(A: Array) -> Array:
    """Lower Cholesky factors (r, r, B); not-a-number where A is not positive definite."""
    r = len(A)
    lower = np.zeros_like(A)
    with np.errstate(invalid="ignore", divide="ignore"):
        for j in range(r):
            own = lower[j, :j]
            pivot = A[j, j] - (own**2).sum(axis=0)
            root = np.sqrt(np.where(pivot > TINY * np.abs(A[j, j]), pivot, np.nan))
            lower[j, j] = root
            if j + 1 < r:
                lower[j + 1 :, j] = (A[j + 1 :, j] - (lower[j + 1 :, :j] * own).sum(axis=1)) / root
    return lower


def _inverse(lower: Array) -> Array:
    """Inverses of lower triangular matrices (r, r, B)."""
    r = len(lower)
    found = np.zeros_like(lower)
    for i in range(r):
        found[i, i] = 1.0 / lower[i, i]
        if i:
            found[i, :i] = -found[i, i] * (lower[i, :i, None] * found[:i, :i]).sum(axis=0)
    return found


def _turned(M: Array, A: Array) -> Array:
    """``M A M'`` for M lower triangular (r, r, B)."""
    r = len(M)
    half = np.empty_like(A + M)
    for i in range(r):
        half[i] = (M[i, : i + 1, None] * A[: i + 1]).sum(axis=0)
    found = np.empty_like(half)
    for j in range(r):
        found[:, j] = (half[:, : j + 1] * M[j, : j + 1]).sum(axis=1)
    return found


# --- the search


def _search(data: Compressed, replicates: int, reml: bool) -> tuple[Array, NDBool, NDBool]:
    """Ratio at the minimum of each replicate, whether it is zero, and whether there is none."""
    average = float(data.sizes.mean()) or 1.0
    grid = np.array(GRID) / average
    values = np.stack(
        [np.broadcast_to(_point(data, np.full(1, g), reml, derivatives=False).value, replicates) for g in grid]
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
        point = _point(part, g, reml, derivatives=True)
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


NDBool = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def _selected(data: Compressed, active: Index) -> Compressed:
    def take(a: Array) -> Array:
        return a if a.shape[-1] == 1 or len(active) == a.shape[-1] else a[..., active]

    return Compressed(
        sizes=data.sizes,
        counts=take(data.counts),
        shared=data.shared,
        pairs=data.pairs,
        moving=take(data.moving),
        total=take(data.total),
        n=take(data.n),
    )


# --- what is asked of each fit


def _summary(
    point: _Point, contrast: Array, found: tuple[Array, NDBool, NDBool], *, reml: bool, inference: str
) -> Fits:
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
    del reml
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


def _kenward_roger(point: _Point, a: Array, g: Array, s: Array) -> tuple[Array, Array]:
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
