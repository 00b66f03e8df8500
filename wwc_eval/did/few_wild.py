"""The wild cluster bootstrap of an effect in a panel, and the jackknife errors beside it."""

from __future__ import annotations

import numpy as np

from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.least_squares import LinearFit, fit_linear, sum_by
from wwc_eval.did.robust import Robust, robust_of
from wwc_eval.did.sample import Sample
from wwc_eval.inference.families import Floats
from wwc_eval.inference.wild import Draws, Moments, WildTest, draw_weights, wild_test

__all__ = ["FULL", "cluster_errors", "effect_fit", "panel_moments", "wild_effect"]

FULL = 12
"""Clusters up to which every sign change is taken."""


def effect_fit(statistic: Statistic) -> tuple[LinearFit, Floats]:
    """Regression that holds the effect, and the effect as a contrast of its coefficients.

    Two-way fixed effects have one coefficient; the imputation effect is the mean over treated cells of those of a
    regression with one for each cohort and period since its adoption (Wooldridge 2021, doi:10.2139/ssrn.3906345).
    """
    sample = statistic.sample
    data = sample.grouped()
    adopted = sample.adopted[data.first]
    after = np.arange(sample.n_periods) >= adopted[:, None]
    if statistic.estimator == "two_way_fixed_effects":
        return fit_linear(data, after.astype(float)[:, :, None], ("treated",)), np.ones(1)
    cells = [(int(date), t) for date in sample.cohorts for t in range(int(date), sample.n_periods)]
    tables = np.zeros((*after.shape, len(cells)))
    share = np.zeros(len(cells))
    for k, (date, t) in enumerate(cells):
        tables[adopted == date, t, k] = 1.0
        share[k] = sample.weights[sample.adopted == date, t].sum()
    names = [f"{sample.label(date)}, {sample.label(t)}" for date, t in cells]
    return fit_linear(data, tables, names), share / share.sum()


def panel_moments(fit: LinearFit, contrast: Floats) -> Moments:
    """Moments by cluster of a contrast of the coefficients, unit effects taken out.

    Coordinates are orthonormal: the contrasts of period effects, then the residualised regressors.
    """
    data, absorber = fit.data, fit.data.absorber
    basis = np.zeros((len(data.first), data.total.shape[1], absorber.rank))
    at = 0
    for block, root in enumerate(absorber.roots):
        basis[data.blocks == block, :, at : at + root.shape[1]] = root
        at += root.shape[1]
    turned = np.linalg.solve(fit.R.T, fit.design.reshape(-1, len(fit.beta)).T).T
    table = np.concatenate([absorber.within(basis), turned.reshape(fit.design.shape)], axis=2)
    # units of a group have its cells, each unit with one weight of its own
    own = data.weights[data.first]
    scale = own.max(axis=1)
    rows = np.sqrt(own / scale[:, None])[:, :, None] * table
    groups = np.matmul(np.swapaxes(rows, 1, 2), rows)
    sizes = data.weights.max(axis=1)
    p = table.shape[2]
    shares = np.zeros((data.n_clusters, len(groups)))
    np.add.at(shares, (data.clusters, data.group), sizes)
    information = (shares @ groups.reshape(len(groups), -1)).reshape(-1, p, p)
    scores = sum_by(data.clusters, data.n_clusters, data.project(table, fit.residual))
    return Moments(
        information=information,
        scores=scores,
        M=np.eye(p),
        direction=np.r_[np.zeros(p - len(contrast)), np.linalg.solve(fit.R.T, contrast)],
        estimate=float(contrast @ fit.beta),
        scale=1.0,
    )


def wild_effect(
    moments: Moments, draws: int, source: np.random.Generator, level: float, *, imposed: bool
) -> tuple[WildTest, Draws, str]:
    """The bootstrap with its draws: every sign change up to twelve clusters, else Webb's six points."""
    groups = len(moments.scores)
    kind = "rademacher" if groups <= FULL else "webb"
    drawn = draw_weights(kind, groups, max(draws, 2**groups) if groups <= FULL else draws, source)
    return wild_test(moments, 0.0, drawn, level, imposed=imposed), drawn, kind


def cluster_errors(fit: LinearFit, kind: str) -> Robust:
    """CR2 or CR3 of the regression, with Satterthwaite degrees of freedom."""
    return robust_of(fit, kind)


def smallest_cohort(sample: Sample) -> int:
    """Clusters of the smallest treated cohort."""
    return min(len(np.unique(sample.clusters[sample.adopted == date])) for date in sample.cohorts)
