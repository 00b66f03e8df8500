"""Separation: when a combination of columns predicts an outcome perfectly, its coefficient is infinite.

The maximum likelihood estimate of a binomial or Poisson model exists unless some direction in the space of
coefficients makes no row less likely and some row more likely (Albert and Anderson 1984, Biometrika 71,
doi:10.1093/biomet/71.1.1). Such a direction is found by linear programming (Konis 2007), which decides the
matter; how far an iteration went does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.inference.families import Floats

__all__ = ["Separation", "find_separation"]

BOX_TOLERANCE = 1e-7
SPAN_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Separation:
    """Directions of separation and what they decide.

    Parameters
    ----------
    directions : ndarray, shape (k, p)
        Directions in the space of coefficients, each for the rows that the earlier ones left undecided.
    rows : ndarray of bool, shape (n,)
        Rows whose outcome is predicted perfectly.
    columns : ndarray of bool, shape (p,)
        Columns whose coefficient has no finite estimate: the undecided rows do not identify it.
    loose : ndarray, shape (p, k)
        Basis of the directions that the undecided rows say nothing about.
    """

    directions: Floats
    rows: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    loose: Floats

    def undetermined(self, X: Floats) -> NDArray[np.bool_]:
        """Rows whose linear predictor depends on what the undecided rows say nothing about."""
        size = np.abs(X) @ np.abs(self.loose)
        return np.asarray((np.abs(X @ self.loose) > BOX_TOLERANCE * np.maximum(size, 1e-300)).any(axis=1))

    def decided(self, X: Floats) -> Floats:
        """+1 and -1 for rows whose linear predictor is plus or minus infinity, 0 for the others."""
        sign = np.zeros(len(X))
        for direction in self.directions:
            reach = X @ direction
            size = np.abs(X) @ np.abs(direction)
            open_rows = (sign == 0) & (np.abs(reach) > BOX_TOLERANCE * np.maximum(size, 1e-300))
            sign[open_rows] = np.sign(reach[open_rows])
        return sign


def find_separation(
    y: Floats, X: Floats, link: str, *, overlapping: NDArray[np.bool_] | None = None
) -> Separation | None:
    """The separation of the outcome by the columns, or None if every coefficient is finite.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Share of successes (link ``logit``) or counts (link ``log``).
    X : ndarray, shape (n, p)
        Design matrix of full column rank.
    link : {"logit", "log"}
        Link of the model.
    overlapping : ndarray of bool, shape (n,), optional
        Rows known to have a finite maximum among themselves: no direction of separation moves them, which
        makes the linear programme small.

    Returns
    -------
    Separation or None

    Examples
    --------
    >>> import numpy as np
    >>> X = np.column_stack([np.ones(6), [0, 0, 0, 1, 1, 1]])
    >>> find_separation(np.array([0.0, 1, 0, 0, 0, 0]), X, "logit").columns
    array([False,  True])
    >>> find_separation(np.array([0.0, 1, 0, 0, 1, 0]), X, "logit") is None
    True
    """
    side = np.where(y == 0, -1.0, 0.0)
    if link == "logit":
        side = np.where(y == 1, 1.0, side)
    if overlapping is not None:
        side[overlapping] = 0.0
    scale = np.abs(X).max(axis=0)
    scaled = X / np.where(scale > 0, scale, 1.0)
    open_rows = np.ones(len(y), dtype=bool)
    found: list[Floats] = []
    # rows decided by one direction no longer bind the next: repeat until the rest overlaps
    while len(found) < X.shape[1] and open_rows.any():
        direction = _recession(scaled[open_rows], side[open_rows])
        if direction is None:
            break
        reach = scaled @ direction
        decided = open_rows & (np.abs(reach) > BOX_TOLERANCE)
        if not decided.any():
            break
        found.append(direction / np.where(scale > 0, scale, 1.0))
        open_rows &= ~decided
    if not found:
        return None
    loose = _null_space(scaled[open_rows], X.shape[1])
    loose[np.abs(loose) < SPAN_TOLERANCE] = 0.0
    return Separation(
        directions=np.array(found),
        rows=~open_rows,
        columns=np.asarray((np.abs(loose) > BOX_TOLERANCE).any(axis=1)),
        loose=loose / np.where(scale > 0, scale, 1.0)[:, None],
    )


def _recession(X: Floats, side: Floats) -> Floats | None:
    """Direction that no row opposes and some row follows, entries within [-1, 1]; None if there is none."""
    from scipy.optimize import linprog

    free = _null_space(X[side == 0], X.shape[1])
    if free.shape[1] == 0:
        return None
    bound = np.unique(X[side != 0] * side[side != 0, None], axis=0)
    identity = free.shape[1] == X.shape[1]
    rows = bound if identity else bound @ free
    rows[np.abs(rows) < SPAN_TOLERANCE] = 0.0
    result = linprog(
        -rows.sum(axis=0),
        A_ub=-rows,
        b_ub=np.zeros(len(rows)),
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if result.x is None or float((rows @ result.x).sum()) <= BOX_TOLERANCE:
        return None
    direction = free @ result.x
    direction[np.abs(direction) < BOX_TOLERANCE] = 0.0
    return np.asarray(direction, dtype=float)


def _null_space(X: Floats, p: int) -> Floats:
    """Basis of the directions that leave every row of X where it is."""
    if not len(X):
        return np.eye(p)
    _, values, right = np.linalg.svd(np.linalg.qr(X, mode="r"), full_matrices=True)
    rank = int(np.sum(values > SPAN_TOLERANCE * max(values[0], 1e-300)))
    basis = right[rank:].T
    return np.asarray(basis)
