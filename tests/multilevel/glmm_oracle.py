"""Likelihoods of generalised linear mixed models computed another way: dense matrices, nothing shared with the package.

Every derivative here is a difference of the likelihood itself.
"""

import numpy as np
from scipy import special


def log_density(family, y, m, eta, extra):
    if family == "binomial":
        choose = special.gammaln(m + 1) - special.gammaln(y + 1) - special.gammaln(m - y + 1)
        return choose + y * eta - m * np.logaddexp(0, eta)
    mu = m * np.exp(eta)
    if family == "poisson":
        return y * np.log(mu) - mu - special.gammaln(y + 1)
    if family == "negative_binomial":
        k = np.full_like(mu, np.exp(-extra))
        return (
            special.gammaln(y + k)
            - special.gammaln(k)
            - special.gammaln(y + 1)
            + k * np.log(k / (k + mu))
            + y * np.log(mu / (k + mu))
        )
    alpha = np.exp(extra)
    k = mu / alpha
    return (
        special.gammaln(y + k)
        - special.gammaln(k)
        - special.gammaln(y + 1)
        - k * np.log1p(alpha)
        + y * np.log(alpha / (1 + alpha))
    )


def slopes(family, y, m, eta, extra):
    """First and second derivative by the linear predictor."""
    if family == "binomial":
        p = special.expit(eta)
        return y - m * p, -m * p * (1 - p)
    mu = m * np.exp(eta)
    if family == "poisson":
        return y - mu, -mu
    if family == "negative_binomial":
        k = np.exp(-extra)
        return y - (y + k) * mu / (mu + k), -(y + k) * mu * k / (mu + k) ** 2
    alpha = np.exp(extra)
    k = mu / alpha
    first = k * (special.psi(y + k) - special.psi(k) - np.log1p(alpha))
    return first, first + k**2 * (special.polygamma(1, y + k) - special.polygamma(1, k))


class Dense:
    """Laplace's approximation with one dense matrix Z; parameters (roots..., beta..., log alpha)."""

    def __init__(self, family, y, m, X, Z, owners):  # noqa: PLR0917 - a likelihood has that many parts
        # owners: for each column of Z the parameter that multiplies it
        self.family, self.y, self.m, self.X, self.Z, self.owners = family, y, m, X, Z, owners
        self.k = max(owners) + 1
        self.extra = family.startswith("negative")

    def value(self, psi):
        theta, beta = psi[: self.k], psi[self.k : self.k + self.X.shape[1]]
        extra = psi[-1] if self.extra else 0.0
        A = self.Z * theta[self.owners]
        u, xb = np.zeros(A.shape[1]), self.X @ beta

        def objective(u):
            return 0.5 * u @ u - log_density(self.family, self.y, self.m, xb + A @ u, extra).sum()

        for _ in range(200):
            first, second = slopes(self.family, self.y, self.m, xb + A @ u, extra)
            H = np.eye(len(u)) - (A.T * second) @ A
            if self.family == "negative_binomial_1" and np.linalg.eigvalsh(H)[0] <= 0:
                H = np.eye(len(u)) + (A.T * np.abs(second)) @ A
            step = np.linalg.solve(H, A.T @ first - u)
            share, now = 1.0, objective(u)
            while objective(u + share * step) > now + 1e-12 * abs(now) and share > 1e-10:
                share /= 2
            u = u + share * step
            if np.abs(step).max() < 1e-11:
                break
        _, second = slopes(self.family, self.y, self.m, xb + A @ u, extra)
        H = np.eye(len(u)) - (A.T * second) @ A
        return objective(u) + 0.5 * np.linalg.slogdet(H)[1]


class Integral:
    """Exact likelihood of one random intercept by a fine trapezoid rule."""

    def __init__(self, family, y, m, X, codes):
        self.family, self.y, self.m, self.X, self.codes = family, y, m, X, codes
        self.extra = family.startswith("negative")
        self.k = 1
        self.u = np.linspace(-9, 9, 721)

    def value(self, psi):
        extra = psi[-1] if self.extra else 0.0
        xb = self.X @ psi[1 : 1 + self.X.shape[1]]
        eta = xb[:, None] + psi[0] * self.u
        logs = log_density(self.family, self.y[:, None], self.m[:, None], eta, extra)
        groups = np.array([logs[self.codes == g].sum(0) for g in np.unique(self.codes)])
        groups = groups - 0.5 * self.u**2 - 0.5 * np.log(2 * np.pi)
        top = groups.max(1)
        step = self.u[1] - self.u[0]
        return -(top + np.log((np.exp(groups - top[:, None])).sum(1) * step)).sum()


def gradient(value, psi, unit):
    """Differences of sixth order."""
    found = np.empty(len(psi))
    for k in range(len(psi)):
        e = np.zeros(len(psi))
        e[k] = 0.02 * unit[k]
        ends = [value(psi + j * e) - value(psi - j * e) for j in (1, 2, 3)]
        found[k] = (45 * ends[0] - 9 * ends[1] + ends[2]) / (60 * e[k])
    return found


def hessian(value, psi, unit):
    """Second differences, extrapolated once."""

    def at(size):
        n = len(psi)
        found = np.empty((n, n))
        centre = value(psi)
        steps = np.diag(size * unit)
        for i in range(n):
            found[i, i] = (value(psi + steps[i]) - 2 * centre + value(psi - steps[i])) / steps[i, i] ** 2
            for j in range(i):
                a, b = steps[i], steps[j]
                cross = value(psi + a + b) - value(psi + a - b) - value(psi - a + b) + value(psi - a - b)
                found[i, j] = found[j, i] = cross / (4 * steps[i, i] * steps[j, j])
        return found

    return (4 * at(0.04) - at(0.08)) / 3
