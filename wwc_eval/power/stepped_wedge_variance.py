"""Variance of the treatment effect in a stepped wedge: generalised least squares on the cell means.

Formula: with the cell means of cluster i on the scale of the test, ``V_i = B_i + E_i``; B_i holds the variances of
clusters, cluster-periods and (random) effects, E_i those of the children over their number, with the part that a child
keeps between periods off the diagonal. ``var(b) = (sum X_i' V_i^-1 X_i)^-1``, X_i the treatment and the periods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.power.checks import Number
from wwc_eval.power.events import Rate
from wwc_eval.power.kernels import Array
from wwc_eval.power.outcomes import Binary, Continuous
from wwc_eval.power.solving import Anatomy

if TYPE_CHECKING:
    from wwc_eval.power.stepped_wedge import SteppedWedge

__all__ = ["Scales", "anatomy", "columns_of", "covariance", "effect_variance", "satterthwaite_df", "scales_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scales:
    """Variances of one child in each cell, on the scale of the test; leading axes broadcast.

    Parameters
    ----------
    shared : (..., K, P) array
        SD to which the share between clusters belongs.
    own : (..., K, P) array
        SD to which the share of children belongs.
    distance : (...) array
        The effect on the scale of the test, signed.
    """

    shared: Array
    own: Array
    distance: Array


def scales_of(design: SteppedWedge, effect: Number) -> Scales:
    """What the outcome says of every cell at an effect (...)."""
    outcome, T = design.outcome, np.nan_to_num(design.treatment)
    size = np.asarray(effect, float)[..., None, None]
    if isinstance(outcome, Continuous):
        sd = np.asarray(outcome.sd, float)[..., None, None] * np.ones(T.shape)
        return Scales(shared=sd, own=sd, distance=size[..., 0, 0])
    if isinstance(outcome, Binary):
        if outcome.variance == "fleiss":
            raise DesignError(
                "variance == 'fleiss' is for trials of two arms", fix="use 'unpooled', 'pooled' or 'null'"
            )
        return _binary(outcome, design, size, T)
    if isinstance(outcome, Rate):
        return _rate(outcome, design, size, T)
    raise DesignError(
        f"a stepped wedge has no working variance for the outcome {type(outcome).__name__}",
        fix="use Continuous, Binary or Rate",
    )


def _control(design: SteppedWedge) -> Array:
    """Risk or rate without treatment, (1,) or (P,)."""
    given: Any = design.control_by_period
    if given is None:
        given = getattr(design.outcome, "control")  # noqa: B009
    return np.atleast_1d(np.asarray(given, dtype=np.float64))


def _binary(outcome: Binary, design: SteppedWedge, effect: Array, T: Array) -> Scales:
    control = _control(design)
    if outcome.effect == "odds_ratio" or outcome.variance == "logit":
        treated = outcome.means(effect)[0]
        odds = (
            effect
            if outcome.effect == "odds_ratio"
            else _odds(treated) / _odds(np.asarray(outcome.control, float))
        )
        each = _odds(control) * odds**T
        p = each / (1.0 + each)
        sd, distance = 1.0 / np.sqrt(p * (1.0 - p)), np.log(odds)
    elif outcome.effect == "risk_ratio":
        p, distance = control * effect**T, np.log(effect)
        sd = np.sqrt((1.0 - p) / p)
    else:
        p, distance = control + T * effect, effect
        sd = np.sqrt(p * (1.0 - p))
        if outcome.variance == "arcsine":
            treated, base = outcome.means(effect)
            distance, sd = outcome.distance(treated, base), np.ones_like(p)
    if outcome.variance in {"pooled", "null"}:
        there = np.isfinite(design.treatment)
        mean = (p * there).sum(axis=(-2, -1), keepdims=True) / there.sum()
        p = np.broadcast_to(control if outcome.variance == "null" else mean, p.shape)
        ratio = {
            "risk_difference": p * (1.0 - p),
            "risk_ratio": (1.0 - p) / p,
            "odds_ratio": 1.0 / (p * (1.0 - p)),
        }
        sd = np.sqrt(ratio[outcome.effect])
    return Scales(shared=sd, own=sd, distance=np.asarray(distance)[..., 0, 0])


def _odds(p: Array) -> Array:
    return np.asarray(p / (1.0 - p))


def _rate(outcome: Rate, design: SteppedWedge, effect: Array, T: Array) -> Scales:
    control, log = _control(design), outcome.test == "log"
    base = np.asarray(outcome.control, float)
    rate = control * effect**T if log else control + T * (effect - 1.0) * base
    left = 1.0 - np.asarray(design.icc, float)[..., None, None]
    exposure, dispersion = (np.asarray(x, float) for x in (outcome.exposure, outcome.dispersion))
    own = np.sqrt(dispersion * rate / exposure / left)
    shared = rate * np.sqrt(dispersion / exposure / base / left)
    if log:
        return Scales(shared=shared / rate, own=own / rate, distance=np.log(effect)[..., 0, 0])
    return Scales(shared=shared, own=own, distance=((effect - 1.0) * base)[..., 0, 0])


def covariance(design: SteppedWedge, scales: Scales) -> Array:
    """Covariance (..., K, P, P) of the cell means on the scale of the test; absent cells hold zeros."""
    T = np.nan_to_num(design.treatment)
    there = np.isfinite(design.treatment)
    n = np.where(there, design.sizes, 1.0)
    periods = np.arange(T.shape[1])
    gap = np.abs(periods[:, None] - periods)
    icc, cac, iac = (np.asarray(x, float)[..., None, None, None] for x in (design.icc, design.cac, design.iac))
    if design.decay is None:
        kept = np.where(gap == 0, 1.0, cac)
    else:
        kept = np.asarray(design.decay, float)[..., None, None, None] ** gap
    same = 1.0 / np.maximum(n[:, :, None], n[:, None])  # common members / (n n'), as a cohort shrinks
    stay = np.where(gap == 0, 1.0, iac * (1.0 - design.churn))
    own = np.where(gap == 0, 1.0 / n[:, :, None], same) * stay
    V = icc * kept * _outer(scales.shared) + (1.0 - icc) * own * _outer(scales.own)
    slope_sd = np.asarray(design.effect_sd, float)[..., None, None, None]
    if np.any(slope_sd > 0):
        tau = np.sqrt(icc[..., 0] * (cac[..., 0] if design.decay is None else 1.0)) * scales.shared
        cross = tau[..., :, None] * T[:, None] + T[:, :, None] * tau[..., None, :]
        V = V + slope_sd**2 * _outer(T) + design.effect_correlation * slope_sd * cross
    return np.where(there[:, :, None] & there[:, None], V, 0.0)


def _outer(x: Array) -> Array:
    return x[..., :, None] * x[..., None, :]


def columns_of(design: SteppedWedge) -> tuple[Array, Array]:
    """Columns (K, P, p) of the model, treatment first, and the contrast (p,) that is the effect."""
    T = np.nan_to_num(design.treatment)
    clusters, periods = T.shape
    if design.effect_over_time == "constant":
        treatment = T[:, :, None]
    else:
        exposure = design.exposure_time()
        times = np.unique(exposure[exposure > 0])
        treatment = T[:, :, None] * (exposure[:, :, None] == times)
    time = np.broadcast_to(np.eye(periods), (clusters, periods, periods)) if design.time == "categorical" else None
    if time is None:
        trend = np.arange(periods, dtype=float)[:, None] if design.time == "linear" else np.zeros((periods, 0))
        time = np.broadcast_to(np.column_stack([np.ones(periods), trend]), (clusters, periods, 1 + trend.shape[1]))
    X = np.concatenate([treatment, time], axis=2) * np.isfinite(design.treatment)[:, :, None]
    X = X[:, :, np.abs(X).sum(axis=(0, 1)) > 0]  # a period without a cell has no effect
    contrast = np.zeros(X.shape[2])
    contrast[: treatment.shape[2]] = 1.0 / treatment.shape[2]
    return X, contrast


def effect_variance(design: SteppedWedge, scales: Scales) -> Array:
    """Variance (...) of the estimated effect on the scale of the test.

    Raises
    ------
    DesignError
        If the effect cannot be told apart from the periods.
    """
    X, contrast = columns_of(design)
    check_rank(X)
    V = covariance(design, scales)
    absent = ~np.isfinite(design.treatment)
    periods = np.arange(absent.shape[1])
    V[..., periods, periods] += absent  # rows of X are zero there
    information = (
        np.swapaxes(X, 1, 2) @ np.linalg.solve(V, np.broadcast_to(X, (*V.shape[:-2], *X.shape[1:])))
    ).sum(-3)
    solved = np.linalg.solve(information, np.broadcast_to(contrast[:, None], (*information.shape[:-1], 1)))
    return np.asarray((solved[..., 0] * contrast).sum(axis=-1))


def check_rank(X: Array) -> None:
    """Refuse a design in which the effect is a combination of the periods."""
    flat = X.reshape(-1, X.shape[-1])
    if np.linalg.matrix_rank(flat) < flat.shape[1]:
        raise DesignError(
            "the effect cannot be told apart from the periods in this design",
            rule="in some period clusters must differ in treatment, and exposure times must overlap",
            fix="add clusters or periods, or use effect_over_time='constant' or time='none'",
        )


def anatomy(design: SteppedWedge, effect: Number) -> Anatomy:
    """Distance, standard error and degrees of freedom at effects (...)."""
    scales = scales_of(design, effect)
    se = np.sqrt(effect_variance(design, scales))
    if not isinstance(design.df, str):
        df: Array = np.asarray(design.df, float)
    elif design.df == "satterthwaite":
        df = satterthwaite_df(design, scales)
    else:
        free = {"z": math.inf, "clusters": design.clusters - 2.0}.get(design.df)
        df = np.asarray(design.clusters - columns_of(design)[0].shape[2] if free is None else free, float)
    return Anatomy(distance=scales.distance, se=se, df=df)


def satterthwaite_df(design: SteppedWedge, scales: Scales) -> Array:
    """Satterthwaite's degrees of freedom at the planning values, from the expected REML information.

    Formula: ``2 v^2 / (d' I^-1 d)``, v the variance of the effect, d its gradient and I the expected information in the
    variances of children, clusters and (``cac < 1``) cluster-periods.
    """
    if design.decay is not None or np.any(np.asarray(design.iac) > 0) or np.any(np.asarray(design.effect_sd) > 0):
        raise DesignError(
            "df == 'satterthwaite' is had for variances of clusters and cluster-periods alone",
            fix="use df='between_within', or simulate",
        )
    V = covariance(design, scales)
    shape = V.shape[:-3]
    own, shared = (np.broadcast_to(sd, (*shape, *design.treatment.shape)) for sd in (scales.own, scales.shared))
    share = 1.0 - np.broadcast_to(np.asarray(design.icc, float), shape)
    found = [_df_of_one(design, V[at], (own[at], shared[at]), float(share[at])) for at in np.ndindex(shape)]
    return np.array(found).reshape(shape)


def _df_of_one(design: SteppedWedge, V: Array, sd: tuple[Array, Array], residual: float) -> float:
    X, contrast = columns_of(design)
    there = np.isfinite(design.treatment)
    rows = there.ravel()
    clusters, periods = there.shape
    full = np.zeros((clusters * periods, clusters * periods))
    parts = [full.copy(), full.copy(), full.copy()]
    for k in range(clusters):
        block = slice(k * periods, (k + 1) * periods)
        full[block, block] = V[k]
        parts[0][block, block] = np.diag(sd[0][k] ** 2 / np.where(there[k], design.sizes[k], 1.0))
        parts[1][block, block] = np.outer(sd[1][k], sd[1][k])
        parts[2][block, block] = np.diag(sd[1][k] ** 2)
    spare = float(np.where(there, design.sizes, 0.0).sum() - rows.sum())
    # with one child in every cell the variances of children and of cells are one
    kept = parts if np.any(np.asarray(design.cac) < 1) and spare > 0 else parts[:2]
    own = np.ix_(rows, rows)
    inverse, x = np.linalg.inv(full[own]), X.reshape(-1, X.shape[2])[rows]
    bread = np.linalg.inv(x.T @ inverse @ x)
    P = inverse - inverse @ x @ bread @ x.T @ inverse
    moved = [P @ part[own] for part in kept]
    information = np.array([[0.5 * np.trace(a @ b) for b in moved] for a in moved])
    information[0, 0] += 0.5 * spare / residual**2
    a = inverse @ x @ bread @ contrast
    gradient = np.array([a @ part[own] @ a for part in kept])
    variance = contrast @ bread @ contrast
    try:
        moved_by = np.linalg.solve(information, gradient)
    except np.linalg.LinAlgError:
        raise DesignError(
            "df == 'satterthwaite': the variances of clusters and cluster-periods cannot be told apart in this design",
            fix="use df='between_within', or simulate",
        ) from None
    return float(2.0 * variance**2 / (gradient @ moved_by))
