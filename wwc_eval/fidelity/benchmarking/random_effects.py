"""Empirical Bayes from one estimate a unit with its known sampling variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DataError, check_choice, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["RandomEffects", "random_effects"]

METHODS = ("REML", "DL")


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomEffects:
    """Units drawn from one normal distribution.

    Parameters
    ----------
    mu, se : float
        Mean of the distribution and its standard error.
    tau2 : float
        Variance between units.
    q : float
        Cochran's Q.
    i2 : float
        Share of variance that is between units, 0 to 1.
    shrunk, shrunk_se : array
        Empirical Bayes estimate of each unit and its standard error of prediction.
    method : str
        ``REML`` or ``DL`` (DerSimonian and Laird).
    """

    mu: float
    se: float
    tau2: float
    q: float
    i2: float
    shrunk: Floats
    shrunk_se: Floats
    method: str


def random_effects(estimates: Floats, variances: Floats, method: str = "REML") -> RandomEffects:
    """Mean, variance between units, and what follows for each unit.

    Parameters
    ----------
    estimates, variances : array
        One of each unit.
    method : {"REML", "DL"}
        How the variance between units is estimated.

    Returns
    -------
    RandomEffects

    Raises
    ------
    DataError
        If there are fewer than two units, or a variance is not above 0.

    Notes
    -----
    ``shrunk = b y + (1 - b) mu``, ``b = tau2 / (tau2 + v)``, with error variance ``b v + (1 - b)^2 se(mu)^2``.
    Source: DerSimonian and Laird 1986, doi:10.1016/0197-2456(86)90046-2; Viechtbauer 2005,
    doi:10.3102/10769986030003261.

    Examples
    --------
    >>> import numpy as np
    >>> found = random_effects(np.array([60.0, 70.0, 75.0]), np.array([4.0, 4.0, 9.0]))
    >>> round(found.mu, 2), bool(found.shrunk[0] > 60)
    (68.15, True)
    """
    check_choice("method", method, METHODS)
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if y.ndim != 1 or y.shape != v.shape or len(y) < 2:
        raise DataError(f"{len(y)} estimates and {len(v)} variances: two units at least, one variance each")
    if not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        odd = int(np.flatnonzero(~(np.isfinite(y) & np.isfinite(v) & (v > 0)))[0])
        raise DataError(f"unit {odd + 1} has estimate {shown(float(y[odd]))} and variance {shown(float(v[odd]))}")
    k, w = len(y), 1 / v
    total = float(w.sum())
    fixed = float(w @ y) / total
    q = float(w @ (y - fixed) ** 2)
    spread = total - float(w @ w) / total
    moment = max(0.0, (q - (k - 1)) / spread)
    tau2 = moment if method == "DL" else _reml(y, v)
    w = 1 / (v + tau2)
    mu, se = float(w @ y) / float(w.sum()), 1 / math.sqrt(float(w.sum()))
    share = tau2 / (tau2 + v)
    typical = (k - 1) / spread
    return RandomEffects(
        mu=mu,
        se=se,
        tau2=tau2,
        q=q,
        i2=tau2 / (tau2 + typical),
        shrunk=share * y + (1 - share) * mu,
        shrunk_se=np.sqrt(share * v + (1 - share) ** 2 * se**2),
        method=method,
    )


def _reml(y: Floats, v: Floats) -> float:
    """Variance between units by REML: the root of its score, or 0."""
    from scipy import optimize

    def score(tau2: float) -> float:
        w = 1 / (v + tau2)
        total = float(w.sum())
        mu = float(w @ y) / total
        return float(w**2 @ (y - mu) ** 2) - total + float(w @ w) / total

    if score(0.0) <= 0:
        return 0.0
    high = float(y.var(ddof=1)) + float(v.max())
    while score(high) > 0:
        high *= 2
    return float(optimize.brentq(score, 0.0, high, xtol=1e-15 * high, rtol=1e-14, maxiter=500))
