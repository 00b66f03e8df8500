"""Linear mixed models in plain n x n algebra: slow, obvious, and independent of the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Dense:
    """A model with ``V = sum_r gamma_r G_r`` (the residual last)."""

    y: np.ndarray
    X: np.ndarray
    G: list[np.ndarray]
    gamma: np.ndarray
    reml: bool

    @classmethod
    def of(cls, solution, y, X, groupings, weights=None) -> Dense:
        """The model at a solution, its variance entries in the order of the groupings."""
        names = [g.name for g in solution.problem.prepared.groupings]
        G, gamma = [], []
        for grouping in groupings:
            covariance = solution.covariances[names.index(grouping.name)]
            same = grouping.codes[:, None] == grouping.codes[None, :]
            for i, j in grouping.entries:
                unit = np.zeros((grouping.width, grouping.width))
                unit[i, j] = unit[j, i] = 1.0
                G.append((grouping.Z @ unit @ grouping.Z.T) * same)
                gamma.append(covariance[i, j])
        n = len(y)
        G.append(np.eye(n) if weights is None else np.diag(1.0 / weights))
        gamma.append(solution.sigma2)
        return cls(y, X, G, np.array(gamma), solution.problem.reml)

    @property
    def V(self):  # noqa: N802
        return np.tensordot(self.gamma, np.array(self.G), axes=1)

    def parts(self):
        Vi = np.linalg.inv(self.V)
        phi = np.linalg.inv(self.X.T @ Vi @ self.X)
        P = Vi - Vi @ self.X @ phi @ self.X.T @ Vi
        return Vi, phi, P

    @property
    def beta(self):
        Vi, phi, _ = self.parts()
        return phi @ self.X.T @ Vi @ self.y

    def criterion(self):
        _, phi, P = self.parts()
        n, p = self.X.shape
        value = np.linalg.slogdet(self.V)[1] + self.y @ P @ self.y
        if self.reml:
            return value - np.linalg.slogdet(phi)[1] + (n - p) * np.log(2 * np.pi)
        return value + n * np.log(2 * np.pi)

    def gradient(self):
        Vi, _, P = self.parts()
        W = P if self.reml else Vi
        r = P @ self.y
        return np.array([np.sum(W * g) - r @ g @ r for g in self.G])

    def hessian(self):
        Vi, _, P = self.parts()
        W = P if self.reml else Vi
        r = P @ self.y
        T = len(self.G)
        H = np.empty((T, T))
        for a in range(T):
            for b in range(T):
                trace = np.trace(W @ self.G[a] @ W @ self.G[b])
                H[a, b] = -trace + 2 * r @ self.G[a] @ P @ self.G[b] @ r
        return H

    def satterthwaite(self, contrast):
        """With every variance free (an interior optimum)."""
        Vi, phi, _ = self.parts()
        v = contrast @ phi @ contrast
        a = Vi @ self.X @ phi @ contrast
        J = np.array([a @ g @ a for g in self.G])
        return 2 * v**2 / (J @ np.linalg.solve(self.hessian() / 2, J))

    def kenward_roger(self, L):
        Vi, phi, _ = self.parts()
        T = len(self.G)
        P = [-self.X.T @ Vi @ g @ Vi @ self.X for g in self.G]
        Q = [[self.X.T @ Vi @ a @ Vi @ b @ Vi @ self.X for b in self.G] for a in self.G]
        info = np.empty((T, T))
        for r in range(T):
            for s in range(T):
                info[r, s] = (
                    np.trace(Vi @ self.G[r] @ Vi @ self.G[s])
                    - 2 * np.trace(phi @ Q[r][s])
                    + np.trace(phi @ P[r] @ phi @ P[s])
                )
        W = 2 * np.linalg.inv(info)
        U = sum(W[r, s] * (Q[r][s] - P[r] @ phi @ P[s]) for r in range(T) for s in range(T))
        adjusted = phi + 2 * phi @ ((U + U.T) / 2) @ phi
        q = len(L)
        theta = L.T @ np.linalg.inv(L @ phi @ L.T) @ L
        A1 = A2 = 0.0
        for r in range(T):
            for s in range(T):
                one, two = theta @ phi @ P[r] @ phi, theta @ phi @ P[s] @ phi
                A1 += W[r, s] * np.trace(one) * np.trace(two)
                A2 += W[r, s] * np.trace(one @ two)
        B = (A1 + 6 * A2) / (2 * q)
        g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
        base = 3 * q + 2 * (1 - g)
        c1, c2, c3 = g / base, (q - g) / base, (q + 2 - g) / base
        E = 1 / (1 - A2 / q)
        V = 2 / q * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
        rho = V / (2 * E**2)
        m = 4 + (q + 2) / (q * rho - 1)
        return adjusted, m, m / (E * (m - 2))

    def robust(self, clusters, kind):
        """Covariance and the per-cluster matrices ``E_g`` with estimate error ``sum_g E_g e_g``."""
        _, phi, _ = self.parts()
        e = self.y - self.X @ self.beta
        V, found, maps = self.V, np.zeros_like(phi), []
        for g in np.unique(clusters):
            at = np.flatnonzero(clusters == g)
            Vg, Xg = V[np.ix_(at, at)], self.X[at]
            A = np.eye(len(at))
            if kind == "CR2":
                D = np.linalg.cholesky(Vg).T
                w, U = np.linalg.eigh(D @ (Vg - Xg @ phi @ Xg.T) @ D.T)
                w = np.where(w > 1e-10 * w.max(), np.abs(w) ** -0.5, 0.0)
                A = D.T @ (U * w) @ U.T @ D
            elif kind == "CR3":
                A = np.linalg.pinv(np.eye(len(at)) - Xg @ phi @ Xg.T @ np.linalg.inv(Vg), rcond=1e-10)
            E = phi @ Xg.T @ np.linalg.inv(Vg) @ A
            maps.append((at, E))
            u = E @ e[at]
            found += np.outer(u, u)
        return found, maps

    def quadratic_forms(self, clusters, kind, L):
        """``P_st`` (q, q, G, G): covariances of the clusters' contributions under the working model."""
        _, phi, _ = self.parts()
        _, maps = self.robust(clusters, kind)
        n = len(self.y)
        middle = self.V - self.X @ phi @ self.X.T
        found = np.empty((len(L), len(L), len(maps), len(maps)))
        rows = np.zeros((len(L), len(maps), n))
        for k, (at, E) in enumerate(maps):
            rows[:, k, at] = L @ E
        for s in range(len(L)):
            for t in range(len(L)):
                found[s, t] = rows[s] @ middle @ rows[t].T
        return found
