"""Weights that are positive and sum to one: the exact least-squares fit, and the stopping rule of R's synthdid."""

from __future__ import annotations

import numpy as np

from wwc_eval.errors import ConvergenceError
from wwc_eval.inference.families import Floats

__all__ = ["frank_wolfe", "objective", "simplex_fit"]

MUCH = 1e-6
"""Penalty, as a share of the largest column's square, from which equations in the products of columns are accurate."""
EXCHANGES = 40
FIRST_ROUND, LAST_ROUND = 100, 10_000
"""Iterations of synthdid before and after small weights are set to zero."""


def objective(columns: Floats, target: Floats, weights: Floats, ridge: float) -> float:
    """``mean((columns w - target)^2) + ridge^2 |w|^2``."""
    miss = columns @ weights - target
    return float(miss @ miss) / len(target) + ridge**2 * float(weights @ weights)


def simplex_fit(columns: Floats, target: Floats, ridge: float = 0.0) -> Floats:
    """Weights ``w >= 0``, ``sum w = 1`` of least ``mean((columns w - target)^2) + ridge^2 |w|^2``, shape (p,).

    An active-set method in the manner of Lawson and Hanson: solve for the weights in use, step back to the nearest one that
    would turn negative, and take in the one that the objective asks for most. It ends at the optimum, not near it.

    Parameters
    ----------
    columns : ndarray, shape (n, p)
        What is weighted, one column each.
    target : ndarray, shape (n,)
        What is to be met.
    ridge : float
        Square root of the penalty, on the scale of ``columns``.

    Returns
    -------
    ndarray, shape (p,)

    Raises
    ------
    ConvergenceError
        If the method does not end, which only non-finite data make it do.

    Notes
    -----
    Source: Lawson and Hanson 1995, doi:10.1137/1.9781611971217, chapter 23.

    Examples
    --------
    >>> simplex_fit(np.array([[0.0, 4.0, 9.0], [1.0, 3.0, 9.0]]), np.array([1.0, 1.5])).round(6).tolist()
    [0.75, 0.25, 0.0]
    """
    n, p = columns.shape
    penalty = n * ridge**2
    square = np.einsum("ij,ij->j", columns, columns)
    scale = float(square.max() + target @ target) + penalty
    weights, active = _start(columns, target, penalty, square)
    for _ in range(20 * (p + n) + 50):
        gradient = columns.T @ (target - columns @ weights) - penalty * weights
        level = float(gradient[active] @ weights[active])
        gain = gradient - level
        gain[active] = -np.inf
        entering = int(gain.argmax())
        if gain[entering] <= 1e-13 * scale:
            return np.asarray(weights / weights.sum())
        active.append(entering)
        if not _inward(columns, target, penalty, weights=weights, active=active, entering=entering):
            return np.asarray(weights / weights.sum())
    raise ConvergenceError(
        "the weights on the simplex did not converge", fix="look for values that are not finite"
    )


def _start(columns: Floats, target: Floats, penalty: float, square: Floats) -> tuple[Floats, list[int]]:
    """Weights to begin with: all exchanges at once where the penalty keeps many in use, else the best single column."""
    p = columns.shape[1]
    weights = np.zeros(p)
    if penalty > MUCH * float(square.max()):
        gram = columns.T @ columns + penalty * np.eye(p)
        pull = columns.T @ target
        used = np.ones(p, dtype=bool)
        for _ in range(EXCHANGES):
            both = np.linalg.solve(
                gram[np.ix_(used, used)], np.column_stack([pull[used], np.ones(int(used.sum()))])
            )
            price = (both[:, 0].sum() - 1.0) / both[:, 1].sum()
            weights[:] = 0.0
            weights[used] = both[:, 0] - price * both[:, 1]
            wanted = np.where(used, weights > 0.0, pull - gram @ weights - price > 0.0)
            if (wanted == used).all() or not wanted.any():
                break
            used = wanted
        found = np.flatnonzero(weights > 0.0).tolist()
        best = _on_the_plane(columns, target, penalty, found) if found else np.zeros(0)
        if found and (best > 0.0).all():
            weights[:] = 0.0
            weights[found] = best
            return weights, found
    first = int((square + penalty - 2.0 * columns.T @ target).argmin())
    weights[:] = 0.0
    weights[first] = 1.0
    return weights, [first]


def _inward(
    columns: Floats, target: Floats, penalty: float, *, weights: Floats, active: list[int], entering: int
) -> bool:
    """Move the weights in use to their best, dropping those that would turn negative; whether the newcomer stayed."""
    while True:
        best = _on_the_plane(columns, target, penalty, active)
        now = weights[active]
        if (best > 0.0).all():
            weights[active] = best
            return True
        if best[active.index(entering)] <= 0.0 and weights[entering] == 0.0:
            # no room to move: its gain is rounding
            active.remove(entering)
            return False
        falling = best <= 0.0
        share = float((now[falling] / (now[falling] - best[falling])).min())
        moved = now + share * (best - now)
        moved[falling & (moved <= 1e-15)] = 0.0
        weights[active] = moved
        left = [k for k in active if weights[k] > 0.0 or k == entering]
        if len(left) == len(active):
            least = active[int(np.where(falling, moved, np.inf).argmin())]
            weights[least] = 0.0
            left = [k for k in active if k != least]
        active[:] = left


def _on_the_plane(columns: Floats, target: Floats, penalty: float, active: list[int]) -> Floats:
    """Least squares of the weights in use, which sum to one but may be negative."""
    if len(active) == 1:
        return np.ones(1)
    used = columns[:, active]
    rest = used[:, 1:] - used[:, :1]
    away = target - used[:, 0]
    if penalty > 0.0:
        # the penalty as further rows: weights, with the first one less the sum of the others
        root = np.sqrt(penalty)
        rows = np.vstack([-np.ones((1, len(active) - 1)), np.eye(len(active) - 1)]) * root
        rest = np.vstack([rest, rows])
        away = np.concatenate([away, [-root], np.zeros(len(active) - 1)])
    found = np.linalg.lstsq(rest, away, rcond=None)[0]
    return np.concatenate([[1.0 - found.sum()], found])


def frank_wolfe(columns: Floats, target: Floats, ridge: float, least_decrease: float) -> Floats:
    """Weights at which R's synthdid 0.0.9 stops: Frank-Wolfe steps, small weights set to zero, Frank-Wolfe again.

    Parameters
    ----------
    columns, target, ridge
        As in :func:`simplex_fit`.
    least_decrease : float
        It stops once a step lessens the objective by no more than the square of this.
    """
    p = columns.shape[1]
    start = np.full(p, 1.0 / p)
    weights = _steps(columns, target, ridge, least_decrease=least_decrease, weights=start, most=FIRST_ROUND)
    weights = np.where(weights <= weights.max() / 4.0, 0.0, weights)
    weights = weights / weights.sum()
    return _steps(columns, target, ridge, least_decrease=least_decrease, weights=weights, most=LAST_ROUND)


def _steps(
    columns: Floats, target: Floats, ridge: float, *, least_decrease: float, weights: Floats, most: int
) -> Floats:
    penalty = len(target) * ridge**2
    fitted = columns @ weights
    before = np.inf
    for step in range(most):
        half = (fitted - target) @ columns + penalty * weights
        towards = int(half.argmin())
        move = -weights
        move[towards] += 1.0
        if move.any():
            change = columns[:, towards] - fitted
            length = -float(half @ move) / (float(change @ change) + penalty * float(move @ move))
            weights = weights + min(1.0, max(0.0, length)) * move
        fitted = columns @ weights
        value = objective(columns, target, weights, ridge)
        if step > 0 and before - value <= least_decrease**2:
            break
        before = value
    return weights
