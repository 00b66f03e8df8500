"""A regression fitted to samples of whole clusters, each counted as often as it was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import ConvergenceError
from wwc_eval.inference.clusters import Clusters
from wwc_eval.inference.families import Floats
from wwc_eval.inference.fit import RegressionFit
from wwc_eval.inference.fitted import fit_arrays
from wwc_eval.inference.glm import solve
from wwc_eval.inference.resampling import copies

__all__ = ["redrawn", "regression_replicates"]


def redrawn(fit: RegressionFit, counts: Floats, clusters: Clusters) -> RegressionFit:
    """The same regression of the rows of clusters that were drawn; one drawn twice is two clusters.

    Parameters
    ----------
    fit : RegressionFit
        The regression.
    counts : ndarray, shape (G,)
        How often each cluster was drawn.
    clusters : Clusters
        Cluster of each row used.

    Returns
    -------
    RegressionFit
        With classical errors; its clusters are the copies.

    Raises
    ------
    ConvergenceError
        If columns of the model are not independent in the rows drawn.
    """
    rows, copy = copies(counts, clusters.codes)
    fitted, design = fit.fitted, fit.fitted.design
    X = design.X[rows]
    if not _independent(X):
        raise ConvergenceError("columns are not independent in the clusters drawn", fix="draw within strata")

    def of(values: Floats | None) -> Floats | None:
        return None if values is None else values[rows]

    again = replace(
        design, X=X, outcome=of(design.outcome), trials=of(design.trials), rows=np.arange(len(rows)), dropped={}
    )
    source = fit.source.iloc[np.asarray(design.rows)[rows]].reset_index(drop=True)
    if clusters.name in source.columns:
        source = source.assign(**{clusters.name: copy})
    refitted = fit_arrays(
        again,
        fitted.family,
        fitted.frame.iloc[rows].reset_index(drop=True),
        weights=of(fitted.weights),
        exposure=of(fitted.exposure),
        exposure_column=fitted.exposure_column,
    )
    found = RegressionFit.from_fitted(
        refitted, source=source, vcov="classical", clusters=None, df=None, level=fit.level
    )
    return replace(found, clusters=Clusters(name=clusters.name, codes=copy))


def regression_replicates(
    fit: RegressionFit, times: Floats, codes: NDArray[np.intp], place: int
) -> tuple[Floats, Floats | None]:
    """One coefficient of every replicate, with its cluster-robust error (CR0) for a linear model.

    Parameters
    ----------
    fit : RegressionFit
        The regression.
    times : ndarray, shape (R, G)
        How often each cluster was drawn.
    codes : ndarray of int, shape (n,)
        Cluster of each row.
    place : int
        The coefficient.

    Returns
    -------
    estimates, errors : ndarrays, shape (R,)
        Missing where a replicate has no fit; no errors for a GLM.
    """
    if fit.family == "gaussian":
        return _linear(fit, times, codes, place)
    fitted = fit.fitted
    found = np.full(len(times), np.nan)
    X = fitted.design.X[:, fitted.columns]
    at = int(np.searchsorted(fitted.columns, place))
    offset = None if fitted.exposure is None else np.log(fitted.exposure)
    prior = np.ones(len(fitted.y)) if fitted.weights is None else fitted.weights
    for k, counts in enumerate(times):
        by_row = counts[codes]
        rows = np.flatnonzero((by_row > 0) & fitted.rows)
        if not _independent(X[rows]):
            continue
        solution = solve(
            fitted.y[rows],
            X[rows],
            fitted.family,
            offset=None if offset is None else offset[rows],
            weights=(prior * by_row)[rows],
            trials=None if fitted.trials is None else fitted.trials[rows],
        )
        if solution.converged and not solution.suspicious:
            found[k] = solution.beta[at]
    return found, None


def _independent(X: Floats) -> bool:
    """Whether the columns are independent in these rows."""
    if len(X) < X.shape[1]:
        return False
    size = np.sqrt((X**2).sum(axis=0))
    if not size.min() > 0:
        return False
    root = np.abs(np.diag(np.linalg.qr(X / size, mode="r")))
    return bool(root.min() > 1e-9)


def _linear(
    fit: RegressionFit, times: Floats, codes: NDArray[np.intp], place: int
) -> tuple[Floats, Floats | None]:
    """Least squares from the cross-products of the clusters."""
    solution = fit.fitted.solution
    assert solution is not None
    kernel = solution.kernel
    groups = int(codes.max()) + 1
    information = np.zeros((groups, kernel.p, kernel.p))
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, codes[order][1:] != codes[order][:-1]])
    ends = np.r_[starts[1:], len(order)]
    present = codes[order][starts]
    scores = np.zeros((groups, kernel.p))
    for group, a, b in zip(present, starts, ends, strict=True):
        Q = kernel.Q[order[a:b]]
        information[group] = Q.T @ Q
        scores[group] = Q.T @ kernel.residual[order[a:b]]
    at = int(np.searchsorted(fit.fitted.columns, place))
    direction = kernel.to_q(np.eye(kernel.p)[:, [at]])[:, 0]
    whole = np.tensordot(times, information, axes=1)
    sound = np.linalg.eigvalsh(whole)[:, 0] > 1e-10
    found, errors = np.full(len(times), np.nan), np.full(len(times), np.nan)
    inverse = np.linalg.inv(whole[sound])
    moved = (inverse @ (times[sound] @ scores)[..., None])[..., 0]
    found[sound] = solution.beta[at] + moved @ direction
    turned = inverse @ direction
    each = turned @ scores.T - np.einsum("rp,gpq,rq->rg", turned, information, moved, optimize=True)
    errors[sound] = np.sqrt((times[sound] * each**2).sum(axis=1))
    return found, errors
