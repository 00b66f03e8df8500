"""Agreement weights between categories: 1 on the diagonal, less the further apart two ratings are."""

from __future__ import annotations

from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, shown
from wwc_eval.fidelity.reliability.reading import Floats, Ratings

__all__ = ["WEIGHTS", "weight_matrix"]

WEIGHTS = ("identity", "linear", "quadratic", "ordinal")


def weight_matrix(kind: Any, ratings: Ratings) -> Floats:
    """Agreement weights (q, q).

    Parameters
    ----------
    kind : {"identity", "linear", "quadratic", "ordinal"} or array-like, shape (q, q)
        Formula: identity ``1[k = l]``; linear ``1 - |x_k - x_l| / (x_q - x_1)``; quadratic
        ``1 - (x_k - x_l)^2 / (x_q - x_1)^2`` with x the categories where they are numbers and 1, 2, ... where they are
        words; ordinal ``1 - C(|k - l| + 1, 2) / C(q, 2)`` (Gwet 2014). A matrix is taken as agreement weights where
        its diagonal is 1, and as weights of *disagreement* where it is 0, as in Cohen (1968).
    ratings : Ratings
        Whose categories these are.

    Raises
    ------
    DesignError
        If the weights need an order that the categories do not have, or a matrix does not fit.
    """
    q = ratings.q
    if not isinstance(kind, str):
        return _own_matrix(kind, q)
    check_choice("weights", kind, WEIGHTS)
    if kind == "identity":
        return np.eye(q)
    if not ratings.ordered:
        raise DesignError(
            f"weights == '{kind}' needs categories in order, and these are words: "
            + ", ".join(shown(value) for value in ratings.categories[:6]),
            fix="declare them in order: categories=['poor', 'fair', 'good']",
        )
    if q < 2:
        return np.eye(q)
    if kind == "ordinal":
        apart = np.abs(np.subtract.outer(np.arange(q), np.arange(q)))
        return np.asarray(1.0 - (apart + 1) * apart / (q * (q - 1.0)))
    x = ratings.numbers if ratings.numbers is not None else np.arange(float(q))
    share = np.abs(np.subtract.outer(x, x)) / float(np.ptp(x))
    return np.asarray(1.0 - (share if kind == "linear" else share**2))


def _own_matrix(kind: Any, q: int) -> Floats:
    found = np.asarray(kind, dtype=float)
    if found.shape != (q, q):
        raise DesignError(f"weights have shape {found.shape}, must be ({q}, {q}): one row a category")
    if not np.allclose(found, found.T, rtol=0, atol=1e-12):
        raise DesignError("weights are not symmetric", rule="the order of two raters means nothing")
    diagonal = np.diag(found)
    if np.all(diagonal == 0.0) and np.any(found > 0) and np.all(found >= 0):
        return np.asarray(1.0 - found / found.max())
    if np.all(diagonal == 1.0) and np.all((found <= 1.0) & np.isfinite(found)):
        return found
    raise DesignError(
        "weights have neither 1 nor 0 all along their diagonal",
        rule="agreement weights have 1 there and at most 1 elsewhere; disagreement weights 0 and none below",
    )
