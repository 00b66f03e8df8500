"""Outcome distributions of a generalised linear mixed model, as functions of the linear predictor.

Every distribution gives, row by row, its log-density and the derivatives that a Laplace approximation needs: with
``r`` the first derivative by the linear predictor, ``W`` minus the second and ``dW`` the slope of ``W``. Rows carry
sufficient statistics of the data rows behind them, so weights and exposures are already inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy import special

from wwc_eval.multilevel.engine.structure import Array

__all__ = ["LARGEST_ETA", "Binomial", "NegativeBinomial1", "NegativeBinomial2", "Outcome", "Poisson"]

LARGE_SIZE = 1e5
"""Size of a negative binomial above which log-gamma functions are told apart by a series."""
LARGEST_ETA = 300.0
"""Linear predictors of a log link are cut here, where no rate can be."""

LARGEST_LOGIT = 690.0
"""Logits are cut here, where a double has no smaller probability."""

SHIFTS = 10
# Bernoulli numbers B_2, B_4, ... of Stirling's series, and the same times 3, 5, ... for its derivative
TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
TETRAGAMMA = tuple((2 * k + 3) * b for k, b in enumerate(TRIGAMMA))

Slopes = tuple[Array, Array]
Full = tuple[Array, Array, Array, Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome(ABC):
    """An outcome distribution with its rows.

    Parameters
    ----------
    constant : float
        Part of the log-likelihood without parameters.
    """

    constant: float

    concave = True
    """Whether the log-density is concave in the linear predictor."""
    dispersed = False
    """Whether there is a dispersion parameter (its logarithm is the last parameter)."""

    @abstractmethod
    def density(self, eta: Array, phi: float) -> Array:
        """Log-density, without the constant."""

    @abstractmethod
    def slopes(self, eta: Array, phi: float) -> Slopes:
        """``r`` and a positive curvature for Newton steps (``W`` itself where the density is concave)."""

    def first(self, eta: Array, phi: float) -> Slopes:
        """Log-density and its first derivative."""
        return self.full(eta, phi)[:2]

    @abstractmethod
    def full(self, eta: Array, phi: float) -> Full:
        """Log-density, ``r``, ``W`` and ``dW``."""

    def by_dispersion(self, eta: Array, phi: float) -> tuple[Array, Array, Array]:
        """Derivatives of the log-density, ``r`` and ``W`` by the logarithm of the dispersion."""
        del phi
        zero = np.zeros_like(eta)
        return zero, zero, zero


@dataclass(frozen=True, kw_only=True, eq=False)
class Binomial(Outcome):
    """Successes ``y`` of ``m`` trials, logit link."""

    y: Array
    m: Array

    def density(self, eta: Array, phi: float) -> Array:
        """``y eta - m log(1 + exp(eta))``."""
        del phi
        return self._density(eta, _low(eta))

    def _density(self, eta: Array, low: Array) -> Array:
        found = np.log(low)
        found *= self.m
        found += self.y * eta
        return found

    def slopes(self, eta: Array, phi: float) -> Slopes:
        """First derivative and curvature."""
        del phi
        low = _low(eta)
        mean = np.subtract(1.0, low)
        mean *= self.m
        low *= mean
        return np.subtract(self.y, mean, out=mean), low

    def first(self, eta: Array, phi: float) -> Slopes:
        """Log-density and its first derivative."""
        del phi
        low = _low(eta)
        density = self._density(eta, low)
        low -= 1.0
        low *= self.m
        low += self.y
        return density, low

    def full(self, eta: Array, phi: float) -> Full:
        """Log-density with its derivatives."""
        del phi
        low = _low(eta)
        density = self._density(eta, low)
        mean = np.subtract(1.0, low)
        mean *= self.m
        W = mean * low
        low *= 2.0
        low -= 1.0
        low *= W
        return density, np.subtract(self.y, mean, out=mean), W, low


def _low(eta: Array) -> Array:
    """``1 / (1 + exp(eta))`` with few temporaries: these arrays are most of the work of a fit."""
    found = np.minimum(eta, LARGEST_LOGIT)
    np.exp(found, out=found)
    found += 1.0
    return np.divide(1.0, found, out=found)


@dataclass(frozen=True, kw_only=True, eq=False)
class Poisson(Outcome):
    """Count ``y`` with exposure ``e``, log link."""

    y: Array
    e: Array

    def density(self, eta: Array, phi: float) -> Array:
        """``y eta - e exp(eta)``."""
        del phi
        return np.asarray(self.y * eta - self.e * np.exp(np.minimum(eta, LARGEST_ETA)))

    def slopes(self, eta: Array, phi: float) -> Slopes:
        """First derivative and curvature."""
        del phi
        mean = self.e * np.exp(np.minimum(eta, LARGEST_ETA))
        return self.y - mean, mean

    def full(self, eta: Array, phi: float) -> Full:
        """Log-density with its derivatives."""
        del phi
        mean = self.e * np.exp(np.minimum(eta, LARGEST_ETA))
        return self.y * eta - mean, self.y - mean, mean, mean


@dataclass(frozen=True, kw_only=True, eq=False)
class NegativeBinomial2(Outcome):
    """Count ``y`` with exposure ``exp(log_e)`` and variance ``mu + alpha mu^2``; ``w`` weighs the density.

    With ``k = 1 / alpha`` and ``p = mu / (mu + k)`` it is ``y log p + k log(1 - p)`` and a logistic curve in the
    linear predictor.
    """

    y: Array
    log_e: Array
    w: Array

    dispersed = True

    def _log_odds(self, eta: Array, phi: float) -> Array:
        return np.asarray(np.minimum(eta, LARGEST_ETA) + self.log_e + phi)

    def density(self, eta: Array, phi: float) -> Array:
        """Log-density without ``log(y!)``."""
        k = np.exp(-phi)
        x = self._log_odds(eta, phi)
        logs = self.y * x - (self.y + k) * (np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))
        return np.asarray(self.w * (logs + _log_rising(self.y, np.asarray(k))))

    def slopes(self, eta: Array, phi: float) -> Slopes:
        """First derivative and curvature."""
        k = np.exp(-phi)
        low = special.expit(-self._log_odds(eta, phi))
        mean = (self.y + k) * (1.0 - low)
        return self.w * (self.y - mean), self.w * mean * low

    def full(self, eta: Array, phi: float) -> Full:
        """Log-density with its derivatives."""
        p = special.expit(self._log_odds(eta, phi))
        r, W = self.slopes(eta, phi)
        return self.density(eta, phi), r, W, W * (1.0 - 2.0 * p)

    def by_dispersion(self, eta: Array, phi: float) -> tuple[Array, Array, Array]:
        """Derivatives by ``log alpha`` (``k`` falls as it rises)."""
        k = np.exp(-phi)
        x = self._log_odds(eta, phi)
        p, low = special.expit(x), special.expit(-x)
        total = self.y + k
        spread = p * low
        density = -k * (special.psi(total) - special.psi(k) - np.maximum(x, 0.0) - np.log1p(np.exp(-np.abs(x))))
        density = density + self.y - total * p
        first = k * p - total * spread
        second = -k * spread + total * spread * (1.0 - 2.0 * p)
        return self.w * density, self.w * first, self.w * second


@dataclass(frozen=True, kw_only=True, eq=False)
class NegativeBinomial1(Outcome):
    """Count ``y`` with exposure ``exp(log_e)`` and variance ``mu (1 + alpha)``; ``w`` weighs the density.

    The size is ``kappa = mu / alpha``; the density is not concave in the linear predictor.
    """

    y: Array
    log_e: Array
    w: Array

    concave = False
    dispersed = True

    def _size(self, eta: Array, phi: float) -> Array:
        return np.asarray(np.maximum(np.exp(np.minimum(eta, LARGEST_ETA) + self.log_e - phi), 1e-100))

    def density(self, eta: Array, phi: float) -> Array:
        """Log-density without ``log(y!)``."""
        kappa, log_one = self._size(eta, phi), np.log1p(np.exp(phi))
        logs = _log_rising(self.y, kappa)
        return np.asarray(self.w * (logs + self.y * (phi - log_one) - kappa * log_one))

    def _gaps(self, kappa: Array) -> tuple[Array, Array, Array]:
        """Differences of the polygamma functions of ``y + kappa`` and ``kappa``."""
        total = self.y + kappa
        first = special.psi(total) - special.psi(kappa)
        one, two = _polygammas(total), _polygammas(kappa)
        return first, one[0] - two[0], one[1] - two[1]

    def slopes(self, eta: Array, phi: float) -> Slopes:
        """First derivative, and the Fisher information of the Poisson model with this variance."""
        kappa, log_one = self._size(eta, phi), np.log1p(np.exp(phi))
        gap = special.psi(self.y + kappa) - special.psi(kappa)
        return self.w * kappa * (gap - log_one), self.w * kappa * np.exp(phi) / (1.0 + np.exp(phi))

    def full(self, eta: Array, phi: float) -> Full:
        """Log-density with its derivatives."""
        kappa, log_one = self._size(eta, phi), np.log1p(np.exp(phi))
        first, second, third = self._gaps(kappa)
        r = kappa * (first - log_one)
        W = -(r + kappa**2 * second)
        dW = -(r + 3.0 * kappa**2 * second + kappa**3 * third)
        return self.density(eta, phi), self.w * r, self.w * W, self.w * dW

    def by_dispersion(self, eta: Array, phi: float) -> tuple[Array, Array, Array]:
        """Derivatives by ``log alpha``; the size moves with it as with minus the linear predictor."""
        kappa, alpha = self._size(eta, phi), np.exp(phi)
        log_one, share = np.log1p(alpha), alpha / (1.0 + alpha)
        first, second, third = self._gaps(kappa)
        r = kappa * (first - log_one)
        W = -(r + kappa**2 * second)
        dW = -(r + 3.0 * kappa**2 * second + kappa**3 * third)
        density = -r + self.y * (1.0 - share) - kappa * share
        return self.w * density, self.w * (W - kappa * share), self.w * (kappa * share - dW)


def _log_rising(y: Array, k: Array) -> Array:
    """``log gamma(y + k) - log gamma(k)``, for large k from Stirling's series, where the difference would lose digits."""
    found = np.asarray(special.gammaln(y + k) - special.gammaln(k))
    large = np.broadcast_to(k > LARGE_SIZE, found.shape)
    if large.any():
        y, k = np.broadcast_to(y, found.shape)[large], np.broadcast_to(k, found.shape)[large]
        rest = (1.0 / (y + k) - 1.0 / k) / 12.0
        found[large] = y * np.log(k) + (k + y - 0.5) * np.log1p(y / k) - y + rest
    return found


def _polygammas(x: Array) -> tuple[Array, Array]:
    """Second and third derivative of ``log gamma`` for x > 0: recurrence upwards, then Stirling's series.

    SciPy's go through the Hurwitz zeta function, ten times as slow; these agree with it to 1e-14.
    """
    first, second = np.zeros_like(x), np.zeros_like(x)
    at = x.copy()
    for _ in range(SHIFTS):
        inverse = 1.0 / at
        square = inverse * inverse
        first += square
        second -= 2.0 * square * inverse
        at += 1.0
    inverse = 1.0 / at
    s = inverse * inverse
    first += inverse * (1.0 + inverse * 0.5 + s * _series(s, TRIGAMMA))
    second -= s * (1.0 + inverse + s * _series(s, TETRAGAMMA))
    return first, second


def _series(s: Array, coefficients: tuple[float, ...]) -> Array:
    """Polynomial in s, lowest power first."""
    found = np.full_like(s, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        found *= s
        found += coefficient
    return found
