"""Effects by cohort and period given covariates: doubly robust, inverse probability weighting, outcome regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.cs_cells import GroupTimes
from wwc_eval.did.cs_design import Covariates
from wwc_eval.did.cs_effects import cohort_index
from wwc_eval.did.cs_influence import Dense
from wwc_eval.did.panel import Panel

__all__ = ["METHODS", "adjusted_effects"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
METHODS = ("dr", "ipw", "or")
MOST_PROPENSITY = 0.999
"""Above it the treated units have no comparison like them (as in R's did)."""
UNSEEN = "no unit of the cohort, or none of the comparison, is seen in both periods with its covariates"
TRIMMED = 0.995
"""Comparison units with a propensity as high as this are left out (as in R's DRDID)."""


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Units behind one or several effects: treated (1) or not, weights and covariates.

    Parameters
    ----------
    treated, weights : ndarray, shape (m,)
        1 for the cohort, 0 for its comparison; weights of mean 1.
    x : ndarray, shape (m, p)
        Covariates with their intercept.
    """

    treated: Floats
    weights: Floats
    x: Floats


def adjusted_effects(
    panel: Panel, cells: GroupTimes, covariates: Covariates, method: str
) -> tuple[Floats, Dense, dict[str, int]]:
    """Effects of shape (K,), their influence, and how many could not be estimated for which reason.

    Covariates are those of the earlier of the two periods. Effects that share units and covariates share the fit
    of the propensity and the regression.
    """
    cohort = cohort_index(panel)
    estimates = np.full(len(cells), np.nan)
    influence = np.zeros((panel.n_units, len(cells)))
    lost: dict[str, int] = {}
    for members, effects in _shared(panel, cells, covariates, cohort):
        if not members.size:
            lost[UNSEEN] = lost.get(UNSEEN, 0) + len(effects)
            continue
        first = effects[0]
        x = covariates.values[members, min(cells.period[first], cells.base[first])]
        changes = (
            panel.outcomes[members][:, cells.period[effects]] - panel.outcomes[members][:, cells.base[effects]]
        )
        weights = panel.weights[members]
        sample = _Sample(
            treated=(cohort[members] == cells.cohort[first]).astype(float), weights=weights / weights.mean(), x=x
        )
        reason = _unfit(sample)
        found = None if reason else _ESTIMATORS[method](sample, changes)
        if found is None:
            reason = reason or "the propensity of a treated unit is 1, or cannot be estimated"
            lost[reason] = lost.get(reason, 0) + len(effects)
            continue
        estimates[effects] = found[0]
        influence[np.ix_(members, effects)] = found[1] / len(members)
    dense = Dense(
        cells=influence,
        weights=panel.weights,
        cohort=cohort,
        n_cohorts=len(cells.cohorts),
        clusters=panel.clusters if panel.clustered else None,
    )
    return estimates, dense, lost


def _shared(panel: Panel, cells: GroupTimes, covariates: Covariates, cohort: Ints) -> list[tuple[Ints, Ints]]:
    """Units and effects that belong together: one cohort, one comparison, the same units and covariates."""
    groups: dict[tuple[object, ...], list[int]] = {}
    whole = np.asarray(np.isfinite(covariates.values).all(axis=2))
    present = panel.observed
    seen: dict[tuple[object, ...], Ints] = {}
    for k in range(len(cells)):
        early = int(min(cells.period[k], cells.base[k]))
        inside = (cohort == cells.cohort[k]) | cells.controls[k][cohort]
        inside = inside & whole[:, early] & present[:, cells.period[k]] & present[:, cells.base[k]]
        key = (int(cells.cohort[k]), inside.tobytes(), -1 if covariates.constant else early)
        groups.setdefault(key, []).append(k)
        seen.setdefault(key, np.flatnonzero(inside))
    return [(seen[key], np.array(found, dtype=np.int64)) for key, found in groups.items()]


def _unfit(sample: _Sample) -> str:
    """Why nothing can be estimated, or an empty text."""
    width = sample.x.shape[1]
    controls = sample.treated == 0
    if not (sample.treated == 1).any() or not controls.any():
        return UNSEEN
    if controls.sum() < width:
        return "the comparison has fewer units than covariates"
    gram = sample.x[controls].T @ sample.x[controls]
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0).all() or np.linalg.cond(gram / np.outer(scale, scale)) > 1e12:
        return "the covariates are collinear among the comparison units"
    return ""


def _propensity(sample: _Sample) -> tuple[Floats, Floats] | None:
    """Logit propensity of each unit and the inverse information; None without overlap or a finite optimum."""
    x, y, w = sample.x, sample.treated, sample.weights
    scale = np.sqrt((x**2).mean(axis=0))
    if not (scale > 0).all():
        return None
    z = x / scale
    beta = np.zeros(x.shape[1])
    share = float((w * y).sum() / w.sum())
    beta[0] = np.log(share / (1 - share)) * scale[0]
    deviance = np.inf
    for _ in range(100):
        linear = z @ beta
        if np.abs(linear).max() > 40.0:
            return None
        p = 1.0 / (1.0 + np.exp(-linear))
        information = (z * (w * p * (1 - p))[:, None]).T @ z
        try:
            step = np.linalg.solve(information, z.T @ (w * (y - p)))
        except np.linalg.LinAlgError:
            return None
        new = -2.0 * float((w * (y * linear - np.logaddexp(0.0, linear))).sum())
        if np.abs(step).max() < 1e-12 * max(1.0, np.abs(beta).max()):
            # the last step squares what is left
            p = 1.0 / (1.0 + np.exp(-(z @ (beta + step))))
            break
        if new > deviance + 1e-9:
            step = step / 2
        deviance = new
        beta = beta + step
    else:
        return None
    if p.max() >= MOST_PROPENSITY:
        return None
    inverse = np.linalg.inv(information) / np.outer(scale, scale)
    return p, inverse


def _regression(sample: _Sample, changes: Floats) -> tuple[Floats, Floats]:
    """Predicted changes from the comparison units, (m, P), and the influence of each on the coefficients, (m, p, P)."""
    x, w = sample.x, sample.weights * (1 - sample.treated)
    inverse = np.linalg.inv((x * w[:, None]).T @ x)
    beta = inverse @ (x.T @ (w[:, None] * changes))
    beta += inverse @ (x.T @ (w[:, None] * (changes - x @ beta)))
    predicted = x @ beta
    lead = (x * w[:, None]) @ inverse * len(x)
    return predicted, lead[:, :, None] * (changes - predicted)[:, None, :]


def _means(weights: Floats, values: Floats) -> tuple[Floats, Floats, float]:
    """Weighted mean of each column, the influence of each row on its numerator, and the mean weight."""
    level = float(weights.mean())
    mean = (weights[:, None] * values).mean(axis=0) / level
    return mean, weights[:, None] * (values - mean), level


def _or(sample: _Sample, changes: Floats) -> tuple[Floats, Floats]:
    """Outcome regression (Heckman, Ichimura and Todd 1997)."""
    predicted, lead = _regression(sample, changes)
    w = sample.weights * sample.treated
    ours, first, level = _means(w, changes)
    theirs, second, _ = _means(w, predicted)
    slope = (w[:, None] * sample.x).mean(axis=0)
    second = second + np.einsum("p,mpj->mj", slope, lead)
    return ours - theirs, (first - second) / level


def _ipw(sample: _Sample, changes: Floats) -> tuple[Floats, Floats] | None:
    """Inverse probability weighting with weights that add to one (Abadie 2005; Hajek)."""
    found = _propensity(sample)
    if found is None:
        return None
    p, inverse = found
    ours, first, level = _means(sample.weights * sample.treated, changes)
    odds = _odds(sample, p)
    theirs, second, reach = _means(odds, changes)
    second = second + _score(sample, p, inverse) @ (second.T @ sample.x / len(p)).T
    return ours - theirs, first / level - second / reach


def _dr(sample: _Sample, changes: Floats) -> tuple[Floats, Floats] | None:
    """Doubly robust (Sant'Anna and Zhao 2020, the traditional estimator)."""
    found = _propensity(sample)
    if found is None:
        return None
    p, inverse = found
    predicted, lead = _regression(sample, changes)
    rest = changes - predicted
    w, odds = sample.weights * sample.treated, _odds(sample, p)
    ours, first, level = _means(w, rest)
    theirs, second, reach = _means(odds, rest)
    first = first - np.einsum("p,mpj->mj", (w[:, None] * sample.x).mean(axis=0), lead)
    fit = np.einsum("p,mpj->mj", (odds[:, None] * sample.x).mean(axis=0), lead)
    second = second + _score(sample, p, inverse) @ (second.T @ sample.x / len(p)).T - fit
    return ours - theirs, first / level - second / reach


def _odds(sample: _Sample, p: Floats) -> Floats:
    """Weights that make the comparison units look like the treated; those of extreme propensity get none."""
    odds = sample.weights * (1 - sample.treated) * p / (1 - p)
    return np.where(p < TRIMMED, odds, 0.0)


def _score(sample: _Sample, p: Floats, inverse: Floats) -> Floats:
    """Influence of each unit on the coefficients of the propensity, shape (m, p)."""
    score = (sample.weights * (sample.treated - p))[:, None] * sample.x
    return np.asarray(score @ inverse * len(p))


_ESTIMATORS = {"dr": _dr, "ipw": _ipw, "or": _or}
