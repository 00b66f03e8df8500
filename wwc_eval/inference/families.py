"""The four outcome families of a regression, each with its canonical link.

A canonical link makes the slope of the mean equal to the variance function, so one function serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["FAMILIES", "Family", "Floats"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One outcome family.

    Parameters
    ----------
    name, words : str
        Name as the user gives it, and the words for a table's title.
    link : {"identity", "logit", "log"}
        Canonical link.
    coefficient_scale : str
        Scale of a coefficient.
    ratio_scale : str, optional
        Scale of an exponentiated coefficient; None where it has no meaning.
    default_contrast : str
        Scale of a marginal effect where the user names none.
    mean, slope, curvature : callable
        Mean of the outcome as a function of the linear predictor, and its first two derivatives.
    estimated_dispersion : bool
        Whether classical errors are scaled by the estimated dispersion (then inference uses Student's t).
    """

    name: str
    words: str
    link: str
    coefficient_scale: str
    ratio_scale: str | None
    default_contrast: str
    mean: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    curvature: Callable[[Floats], Floats]
    estimated_dispersion: bool

    def residual(self, y: Floats, eta: Floats) -> Floats:
        """``y - mean``, without the cancellation that ``1 - mean`` suffers near one."""
        if self.link == "logit":
            return np.asarray(y * special.expit(-eta) - (1.0 - y) * special.expit(eta))
        return np.asarray(y - self.mean(eta))

    def log_likelihood_core(self, y: Floats, eta: Floats, weights: Floats) -> float:
        """Log-likelihood up to terms without the coefficients (GLM families only)."""
        cumulant = np.logaddexp(0.0, eta) if self.link == "logit" else np.exp(eta)
        return float(np.sum(weights * (y * eta - cumulant)))

    def log_likelihood(self, y: Floats, eta: Floats, weights: Floats, trials: Floats | None) -> float:
        """Full log-likelihood, as R's ``logLik``; NaN for a quasi-likelihood.

        ``weights`` are the prior weights, trials included for a binomial.
        """
        if self.name == "gaussian":
            n = len(y)
            rss = float(np.sum(weights * (y - eta) ** 2))
            spread = math.log(2.0 * math.pi * rss / n) + 1.0 if rss > 0 else -math.inf
            return 0.5 * float(np.sum(np.log(weights))) - 0.5 * n * spread
        if self.name == "quasipoisson":
            return math.nan
        core = self.log_likelihood_core(y, eta, weights)
        if self.name == "poisson":
            return core - float(np.sum(weights * special.gammaln(y + 1.0)))
        if trials is None:
            return core
        prior = weights / trials
        hits = y * trials
        choose = special.gammaln(trials + 1) - special.gammaln(hits + 1) - special.gammaln(trials - hits + 1)
        return core + float(np.sum(prior * choose))


def _identity(eta: Floats) -> Floats:
    return eta


def _one(eta: Floats) -> Floats:
    return np.ones_like(eta)


def _zero(eta: Floats) -> Floats:
    return np.zeros_like(eta)


def _expit(eta: Floats) -> Floats:
    return np.asarray(special.expit(eta))


def _expit_slope(eta: Floats) -> Floats:
    return np.asarray(special.expit(eta) * special.expit(-eta))


def _expit_curvature(eta: Floats) -> Floats:
    low, high = special.expit(-eta), special.expit(eta)
    return np.asarray(low * high * (low - high))


def _exp(eta: Floats) -> Floats:
    return np.exp(eta)


_GAUSSIAN = Family(
    name="gaussian",
    words="Linear regression",
    link="identity",
    coefficient_scale="coefficient",
    ratio_scale=None,
    default_contrast="mean_difference",
    mean=_identity,
    slope=_one,
    curvature=_zero,
    estimated_dispersion=True,
)
_BINOMIAL = Family(
    name="binomial",
    words="Logistic regression",
    link="logit",
    coefficient_scale="log_odds",
    ratio_scale="odds_ratio",
    default_contrast="risk_difference",
    mean=_expit,
    slope=_expit_slope,
    curvature=_expit_curvature,
    estimated_dispersion=False,
)


def _poisson(name: str, words: str, *, estimated_dispersion: bool) -> Family:
    return Family(
        name=name,
        words=words,
        link="log",
        coefficient_scale="log_rate",
        ratio_scale="rate_ratio",
        default_contrast="rate_ratio",
        mean=_exp,
        slope=_exp,
        curvature=_exp,
        estimated_dispersion=estimated_dispersion,
    )


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "gaussian": _GAUSSIAN,
        "binomial": _BINOMIAL,
        "poisson": _poisson("poisson", "Poisson regression", estimated_dispersion=False),
        "quasipoisson": _poisson("quasipoisson", "Quasi-Poisson regression", estimated_dispersion=True),
    }
)
"""The families by name."""
