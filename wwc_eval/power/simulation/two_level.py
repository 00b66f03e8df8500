"""Two-level trials in bulk: cluster means and one chi-square a replicate, REML and Satterthwaite for all at once.

Rows are never made. In ``y = X b + u_cluster + e`` with covariates of clusters only, the cluster means and the sum of squares
within clusters are sufficient, so a fit costs a few products over the clusters. The profile REML criterion is a function
of one variance ratio ``g = var(u) / var(e)``; its minimum is found by safeguarded Newton steps in log g with exact
derivatives, and the degrees of freedom follow from the exact 2 x 2 information.

Sources: Patterson and Thompson (1971), doi:10.1093/biomet/58.3.545; Satterthwaite's df as in Giesbrecht and Burns (1985),
doi:10.2307/2530653.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array, Flags, Index, spd_inverse

__all__ = ["ClusterSummaries", "draw_clusters", "fit_cluster_means", "fit_kenward_roger", "fit_two_level"]

STEPS = 60
SETTLED = 2e-5
"""Relative size of the last Newton step; what it leaves is of the order of its square."""
LARGEST = 1e6
"""Variance ratio at which a search gives up: the residual variance is then zero for any purpose."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterSummaries:
    """Sufficient statistics of many two-level trials.

    Parameters
    ----------
    means : (R, J) array
        Cluster means of the outcome.
    within : (R,) array
        Sums of squares within clusters.
    sizes : (J,) or (R, J) array
        Units in each cluster.
    """

    means: Array
    within: Array
    sizes: Array

    @property
    def total(self) -> Array:
        """Units in all, (1,) or (R,)."""
        return np.atleast_1d(self.sizes.sum(axis=-1))


def draw_clusters(
    rng: np.random.Generator, reps: int, sizes: Array, mean: Array, *, between: float | Array, within: float
) -> ClusterSummaries:
    """Draw the sufficient statistics of ``reps`` trials.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    reps : int
        Trials.
    sizes : (J,) or (reps, J) array
        Units in each cluster.
    mean : (J,) or (reps, J) array
        Expected outcome of each cluster.
    between : float or (J,) array
        Variance between clusters.
    within : float
        Variance within.
    """
    clusters = np.shape(sizes)[-1]
    means = mean + rng.standard_normal((reps, clusters)) * np.sqrt(between + within / sizes)
    spare = np.asarray(sizes, dtype=float).sum(axis=-1) - clusters
    return ClusterSummaries(
        means=means, within=within * rng.chisquare(spare, reps), sizes=np.asarray(sizes, dtype=float)
    )


# --- the mixed model


@dataclass(frozen=True, slots=True)
class _Point:
    """Profile criterion's parts at a ratio: weights, inverse of X'WX, estimates, Q and its derivatives, traces."""

    inverse: Array
    second: Array
    beta: Array
    rest: Array
    rest_1: Array
    rest_2: Array
    trace_1: Array
    trace_2: Array


def fit_two_level(data: ClusterSummaries, X: Array, contrast: Array) -> ReplicateFits:
    """Random-intercept model by REML with Satterthwaite's degrees of freedom.

    Parameters
    ----------
    data : ClusterSummaries
        The trials.
    X : (J, p) array
        Covariates of the clusters, with the intercept.
    contrast : (p,) array
        Contrast of the coefficients.

    Returns
    -------
    ReplicateFits
        ``boundary`` where the variance between clusters is estimated as zero.

    Notes
    -----
    Formula: minimise ``(N - p) log Q(g) + sum log(1 + n g) + log|X'WX|`` with ``W = diag(n / (1 + n g))`` and Q the weighted
    residual sum of squares with that within clusters; ``df = 2 v^2 / (d' H^-1 d)``, v the variance of the contrast, d its
    gradient and H half the Hessian of the REML deviance in (sigma^2, g).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> X = np.column_stack([np.ones(12), np.arange(12) % 2])
    >>> data = draw_clusters(rng, 2000, np.full(12, 20.0), np.zeros(12), between=0.05, within=0.95)
    >>> fits = fit_two_level(data, X, np.array([0.0, 1.0]))
    >>> bool(0.03 < (fits.p_value < 0.05).mean() < 0.07)
    True
    """
    p = X.shape[1]
    products = (X[:, :, None] * X[:, None, :]).reshape(len(X), p * p)
    spare = data.total - p
    ratio, failed = _search(data, X, products, spare)
    at = _point(data, X, products, ratio, slice(None))
    sigma2 = at.rest / spare
    a = at.inverse @ contrast
    size = a @ contrast
    variance = sigma2 * size
    slope = sigma2 * np.einsum("ri,rij,rj->r", a, at.second, a)
    own = spare / sigma2**2
    both = -at.rest_1 / sigma2**2
    curve = at.rest_2 / sigma2 + at.trace_2
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (size**2 * curve - 2.0 * size * slope * both + slope**2 * own) / (own * curve - both**2)
        spread = 2.0 * np.where(ratio > 0, spread, size**2 / own)
        df = 2.0 * variance**2 / spread
    return ReplicateFits.wald(at.beta @ contrast, np.sqrt(variance), df, boundary=ratio == 0.0, failed=failed)


def _point(data: ClusterSummaries, X: Array, products: Array, ratio: Array, which: slice | Index) -> _Point:
    """Everything at ratios (R,) for a selection of replicates."""
    y, within = data.means[which], data.within[which]
    n = data.sizes if data.sizes.ndim == 1 else data.sizes[which]
    p = X.shape[1]
    w = n / (1.0 + ratio[:, None] * n)
    w_2 = w * w
    inverse = _inverse((w @ products).reshape(-1, p, p))
    second = (w_2 @ products).reshape(-1, p, p)
    third = ((w_2 * w) @ products).reshape(-1, p, p)
    beta = np.einsum("rij,rj->ri", inverse, (w * y) @ X)
    r = y - beta @ X.T
    pulled = w_2 * r
    lean = pulled @ X
    turned = inverse @ second
    pulled *= r
    rest_1 = -pulled.sum(axis=1)
    rest_2 = 2.0 * np.einsum("rj,rj->r", w, pulled) - 2.0 * np.einsum("ri,rij,rj->r", lean, inverse, lean)
    trace_1 = w.sum(axis=1) - np.einsum("rii->r", turned)
    trace_2 = -w_2.sum(axis=1)
    trace_2 += 2.0 * np.einsum("rij,rji->r", inverse, third) - np.einsum("rij,rji->r", turned, turned)
    return _Point(
        inverse=inverse,
        second=second,
        beta=beta,
        rest=within + np.einsum("rj,rj,rj->r", w, r, r),
        rest_1=rest_1,
        rest_2=rest_2,
        trace_1=trace_1,
        trace_2=trace_2,
    )


def _inverse(a: Array) -> Array:
    """Inverses of a stack; two columns, the commonest case, are written out."""
    if a.shape[1] != 2:
        return spd_inverse(a)[0]
    found = np.empty_like(a)
    determinant = a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] ** 2
    found[:, 0, 0] = a[:, 1, 1] / determinant
    found[:, 1, 1] = a[:, 0, 0] / determinant
    found[:, 0, 1] = found[:, 1, 0] = -a[:, 0, 1] / determinant
    return found


def _score(at: _Point, spare: Array) -> tuple[Array, Array]:
    """First and second derivative of the criterion in g."""
    lean = at.rest_1 / at.rest
    return spare * lean + at.trace_1, spare * (at.rest_2 / at.rest - lean**2) + at.trace_2


def _search(data: ClusterSummaries, X: Array, products: Array, spare: Array) -> tuple[Array, Flags]:
    """Ratio at the minimum of each replicate; zero where the criterion rises from zero."""
    reps = len(data.means)
    found = np.zeros(reps)
    spare = np.broadcast_to(spare, reps)
    live = np.flatnonzero(_slope_at_zero(data, X, products, spare) < 0.0)
    g = _start(data, X, live)
    low, high = np.zeros(len(live)), np.full(len(live), np.inf)
    open_ = np.arange(len(live))
    for _ in range(STEPS):
        if not len(open_):
            break
        at = g[open_]
        slope, bend = _score(_point(data, X, products, at, live[open_]), spare[live[open_]])
        high[open_] = np.where(slope > 0, at, high[open_])
        low[open_] = np.where(slope <= 0, at, low[open_])
        first, second = slope * at, bend * at**2 + slope * at
        step = np.where(second > 0, -first / np.where(second > 0, second, 1.0), -np.sign(first))
        move = at * np.exp(np.clip(step, -2.0, 2.0))
        outside = (move <= low[open_]) | (move >= high[open_])
        middle = np.where(np.isfinite(high[open_]), 0.5 * (low[open_] + high[open_]), 2.0 * at)
        move = np.where(outside, middle, move)
        g[open_] = move
        open_ = open_[(np.abs(move - at) > SETTLED * (1.0 + at)) & (move < LARGEST)]
    found[live] = g
    failed = np.zeros(reps, dtype=bool)
    failed[live] = (g >= LARGEST) | ~np.isfinite(g)
    failed[live[open_]] = True
    return found, failed


def _slope_at_zero(data: ClusterSummaries, X: Array, products: Array, spare: Array) -> Array:
    """Derivative of the criterion in g at g = 0, where trials of the same sizes share their weights."""
    if data.sizes.ndim > 1:
        return np.asarray(_score(_point(data, X, products, np.zeros(len(data.means)), slice(None)), spare)[0])
    n = data.sizes
    inverse = np.linalg.inv(X.T @ (n[:, None] * X))
    r = data.means - (data.means @ (n[:, None] * X)) @ inverse @ X.T
    r *= r
    trace = n.sum() - np.trace(inverse @ (X.T @ ((n * n)[:, None] * X)))
    return np.asarray(trace - spare * (r @ (n * n)) / (data.within + r @ n))


def _start(data: ClusterSummaries, X: Array, live: Index) -> Array:
    """Ratio by moments of the cluster means."""
    y, within = data.means[live], data.within[live]
    clusters, p = X.shape
    units = np.broadcast_to(data.total, len(data.means))[live]
    residual = y - (y @ X) @ np.linalg.inv(X.T @ X).T @ X.T
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.einsum("rj,rj->r", residual, residual) / (clusters - p) / (within / (units - clusters))
    return np.asarray(np.clip(np.nan_to_num(ratio - clusters / units, nan=1.0), 1e-3, 1e3))


# --- other analyses of the same statistics


def fit_kenward_roger(data: ClusterSummaries, X: Array, contrast: Array) -> ReplicateFits:
    """The same model with Kenward and Roger's variance and degrees of freedom, by the engine that analyses trials.

    Parameters
    ----------
    data, X, contrast
        As in :func:`fit_two_level`; all trials must share their cluster sizes.
    """
    from wwc_eval.multilevel.engine.batch import compress, fit_batch

    n = data.sizes
    y = data.means.T
    p = X.shape[1]
    total = np.empty((p + 1, p + 1, y.shape[1]))
    total[:p, :p] = (X.T @ (n[:, None] * X))[:, :, None]
    total[p, :p] = total[:p, p] = X.T @ (n[:, None] * y)
    total[p, p] = data.within + (n[:, None] * y * y).sum(axis=0)
    sums = [n[:, None] * X[:, [k]] for k in range(p)] + [n[:, None] * y]
    packed = compress(n, sums, total, np.array([n.sum()]))
    found = fit_batch(packed, contrast, reml=True, inference="kenward_roger")
    return ReplicateFits.wald(found.estimate, found.se, found.df, boundary=found.boundary, failed=found.failed)


def fit_cluster_means(data: ClusterSummaries, X: Array, contrast: Array) -> ReplicateFits:
    """Unweighted regression of the cluster means on the covariates of the clusters, with J - p degrees of freedom.

    Without covariates this is the t test of cluster means. Source: Hayes and Moulton (2017), chapter 10.
    """
    clusters, p = X.shape
    inverse = np.linalg.inv(X.T @ X)
    beta = data.means @ X @ inverse
    residual = data.means - beta @ X.T
    sigma2 = np.einsum("rj,rj->r", residual, residual) / (clusters - p)
    return ReplicateFits.wald(
        beta @ contrast, np.sqrt(sigma2 * (contrast @ inverse @ contrast)), float(clusters - p)
    )
