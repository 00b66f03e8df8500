"""Slopes of an outcome in covariates among the children of one area: of all areas, the never treated, or each its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.panel import Panel
from wwc_eval.did.panel_faults import listed
from wwc_eval.errors import DesignError

__all__ = ["SLOPES", "Children", "slopes_by_cell"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
LARGEST_CONDITION = 1e12
SLOPES = {
    "never": "slopes of never treated areas",
    "all": "slopes of all areas",
    "own": "slopes of each area, which move with those of untreated areas",
}


@dataclass(frozen=True, kw_only=True)
class Children:
    """Rows with every covariate.

    Parameters
    ----------
    unit, period : ndarray of int, shape (m,)
        Area and period of each.
    weights, outcomes : ndarray, shape (m,)
        Weight and outcome.
    matrix : ndarray, shape (m, p)
        Covariates without an intercept.
    """

    unit: Ints
    period: Ints
    weights: Floats
    outcomes: Floats
    matrix: Floats


def slopes_by_cell(panel: Panel, children: Children, whose: str) -> Floats:
    """Slopes by area and period, shape (n, T, p): weighted least squares with one intercept an area and period.

    Parameters
    ----------
    panel : Panel
        Areas, periods and who is treated when.
    children : Children
        Their rows.
    whose : {"all", "never", "own"}
        One slope a period, of all areas or the never treated; or ``b_area + c_period`` of untreated areas and periods.

    Raises
    ------
    DesignError
        If covariates are collinear among the rows that slopes are taken from.
    """
    gram, cross, floor = _moments(panel, children)
    if whose == "own":
        return _own(panel, gram, cross, floor)
    behind = np.ones(panel.n_units, dtype=bool) if whose == "all" else panel.adopted == panel.n_periods
    found = np.zeros(cross.shape)
    seen = np.bincount(children.period, minlength=panel.n_periods) > 0
    for t in np.flatnonzero(seen).tolist():
        whole = gram[behind, t].sum(axis=0)
        if not _regular(whole, floor[behind, t].sum(axis=0)):
            of = "never treated " if whose == "never" else ""
            more = ', or write slopes="all"' if whose == "never" else ""
            raise DesignError(
                f"the covariates are collinear, or constant, within the {of}areas of {panel.period_label(t)}",
                fix=f"leave out what does not vary between the children of one area, and join rare levels{more}",
            )
        found[:, t] = np.linalg.solve(whole, cross[behind, t].sum(axis=0))
    return found


def _moments(panel: Panel, children: Children) -> tuple[Floats, Floats, Floats]:
    """Cross-products within areas and periods: of covariates, with the outcome, and squares of covariates not centred."""
    n, length, p = panel.n_units, panel.n_periods, children.matrix.shape[1]
    place, w = children.unit * length + children.period, children.weights
    total = np.bincount(place, w, minlength=n * length)
    total[total == 0] = 1.0

    def within(values: Floats) -> Floats:
        """Deviations from the mean of the area and period."""
        return np.asarray(values - (np.bincount(place, w * values, minlength=n * length) / total)[place])

    def summed(values: Floats) -> Floats:
        """Sums by area and period."""
        return np.asarray(np.bincount(place, values, minlength=n * length).reshape(n, length), dtype=np.float64)

    x = [within(column) for column in children.matrix.T]
    y = within(children.outcomes)
    gram = np.empty((n, length, p, p))
    for i in range(p):
        for j in range(i + 1):
            gram[:, :, i, j] = gram[:, :, j, i] = summed(w * x[i] * x[j])
    cross = np.stack([summed(w * column * y) for column in x], axis=2)
    floor = np.stack([summed(w * column**2) for column in children.matrix.T], axis=2)
    return gram, cross, floor


def _regular(gram: Floats, floor: Floats) -> bool:
    """Whether a matrix of cross-products can be solved; ``floor`` are the squares before centring."""
    scale = np.sqrt(np.diag(gram))
    if not (scale > 1e-10 * np.sqrt(floor)).all():
        return False
    return bool(np.linalg.cond(gram / np.outer(scale, scale)) <= LARGEST_CONDITION)


def _own(panel: Panel, gram: Floats, cross: Floats, floor: Floats) -> Floats:
    """Slopes ``b_area + c_period``: the areas' are solved for, then the periods'."""
    free = ~panel.treated[:, :, None]
    cross, gram, floor = cross * free, gram * free[..., None], floor * free
    n, length, p = cross.shape
    whole = gram.sum(axis=1)
    used = np.flatnonzero(panel.adopted > 0)
    singular = [k for k in used.tolist() if not _regular(whole[k], floor[k].sum(axis=0))]
    if singular:
        raise DesignError(
            f"the covariates are collinear, or constant, among the untreated children of {listed(panel.units[singular], 4)}",
            fix='leave out what does not vary between the children of one area, join rare levels, or write slopes="never"',
        )
    inverse = np.zeros_like(whole)
    inverse[used] = np.linalg.inv(whole[used])
    seen = np.flatnonzero(gram[..., 0, 0].sum(axis=0) > 0)
    later = seen[1:]
    # what is left of each period's cross-products once every area has slopes of its own
    taken = inverse @ gram.transpose(0, 2, 1, 3).reshape(n, p, -1)
    left = -np.einsum("atij,ajsk->tisk", gram, taken.reshape(n, p, length, p))
    left[np.arange(length), :, np.arange(length), :] += gram.sum(axis=0)
    first = (inverse @ cross.sum(axis=1)[..., None])[..., 0]
    right = cross.sum(axis=0) - np.einsum("atij,aj->ti", gram, first)
    system = left[later][:, :, later].reshape(len(later) * p, -1)
    if len(later) and not _regular(system, np.diag(system)):
        raise DesignError(
            "slopes of areas and periods cannot be told apart", fix='write slopes="never", or leave out periods'
        )
    moves = np.zeros((length, p))
    moves[later] = np.linalg.solve(system, right[later].reshape(-1)).reshape(-1, p)
    areas = first - (taken @ moves.reshape(-1)[:, None])[..., 0]
    return _placed(panel, areas, moves, seen)


def _placed(panel: Panel, areas: Floats, moves: Floats, seen: NDArray[np.intp]) -> Floats:
    """Slopes by area and period, once each period with rows has untreated ones."""
    unseen = np.setdiff1d(np.flatnonzero(panel.observed.any(axis=0)), seen)
    if unseen.size:
        raise DesignError(
            f"no untreated child is seen in {listed([panel.period_label(int(t)) for t in unseen], 4)}, so its slopes are not known",
            fix='write slopes="all", or leave out the periods in which all areas are treated',
        )
    # areas that always were treated have none of their own
    always = panel.adopted == 0
    areas[always] = areas[~always].mean(axis=0)
    return np.asarray(areas[:, None, :] + moves[None])
