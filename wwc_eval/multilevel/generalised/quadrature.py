"""Adaptive Gauss-Hermite quadrature for one random intercept, with its exact gradient.

Nodes ``u_j = mode + s z_j`` with ``s = H^-1/2`` move with the parameters, and the gradient says so: it is that of the
quadrature itself, however few its points. One point is Laplace's approximation.
Source: Pinheiro and Bates (1995), doi:10.1080/10618600.1995.10474663.
"""

from __future__ import annotations

import math

import numpy as np

from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.laplace import Laplace, Moment, Roots
from wwc_eval.multilevel.generalised.layout import Layout
from wwc_eval.multilevel.generalised.outcomes import Outcome

__all__ = ["Quadrature"]


class Quadrature(Laplace):
    """Minus the log-likelihood by adaptive quadrature.

    Parameters
    ----------
    outcome, X, layout, roots
        As for :class:`Laplace`; one factor with a random intercept.
    points : int
        Quadrature points.
    """

    def __init__(self, outcome: Outcome, X: Array, layout: Layout, roots: Roots, points: int) -> None:
        super().__init__(outcome, X, layout, roots)
        nodes, weights = np.polynomial.hermite_e.hermegauss(points)
        self.nodes = nodes
        # weights times exp(z^2 / 2), as logarithms, for the standard normal density
        self.log_weights = np.log(weights) + 0.5 * nodes**2 - 0.5 * math.log(2.0 * math.pi)

    def _nodes(self, at: Moment, *, forces: list[Array] | None = None) -> tuple[Array, Array, Array, float]:
        """Effects (k, G), shares (k, G), spreads (G,) and the value; ``r`` at the nodes into ``forces``."""
        layout, theta = self.layout, at.root[0, 0]
        mode = at.effects[0][:, 0]
        s = 1.0 / np.sqrt(1.0 + theta * theta * at.gram[:, 0, 0])
        u = mode + s * self.nodes[:, None]
        logs = np.empty_like(u)
        for j, values in enumerate(u):
            eta = at.eta + layout.eta((theta * (values - mode))[:, None])
            if forces is None:
                density = self.outcome.density(eta, at.phi)
            else:
                density, r = self.outcome.first(eta, at.phi)
                forces.append(r)
            logs[j] = layout.cell_sum(density) - 0.5 * values**2 + self.log_weights[j]
        top = logs.max(0)
        shares = np.exp(logs - top)
        total = shares.sum(0)
        value = -float((top + np.log(total) + np.log(s)).sum())
        return u, shares / total, s, value

    def value(self, psi: Array) -> float:
        """The quadrature; infinite where there is none."""
        at = self.at(psi)
        return np.inf if at is None else self._nodes(at)[3] - self.outcome.constant

    def slope(self, psi: Array) -> tuple[float, Array]:
        """Value and exact gradient."""
        at = self.at(psi)
        if at is None:
            return np.inf, np.zeros(self.size)
        layout, outcome = self.layout, self.outcome
        forces: list[Array] = []
        u, shares, s, value = self._nodes(at, forces=forces)
        theta, mode = at.root[0, 0], at.effects[0][:, 0]
        expected = np.zeros(layout.n)
        moved, by_mode, by_spread, dispersion = 0.0, np.zeros_like(mode), np.ones_like(mode), 0.0
        for j, (values, share) in enumerate(zip(u, shares, strict=True)):
            r = forces[j]
            pull = layout.cell_sum(r)
            expected += layout.to_rows(share) * r
            moved -= float((share * values) @ pull)
            force = share * (theta * pull - values)
            by_mode += force
            by_spread += self.nodes[j] * s * force
            if outcome.dispersed:
                eta = at.eta + layout.eta((theta * (values - mode))[:, None])
                density = outcome.by_dispersion(eta, at.phi)[0]
                dispersion -= float(share @ layout.cell_sum(density))
        # the spread moves by -dH / (2 H): by_spread is its weight, by_mode that of the mode
        H = 1.0 / (s * s)
        v = layout.to_rows(theta * theta * by_spread / H)
        a = 0.5 * at.slope * v
        lag = (theta * layout.cell_sum(a) - by_mode) / H
        zs = layout.to_rows(theta * lag)
        t = a - at.W * zs
        moved += float(layout.cell_sum(t) @ mode + layout.cell_sum(at.r) @ lag)
        moved += float((by_spread * theta * at.gram[:, 0, 0] / H).sum())
        found = np.empty(self.size)
        found[0] = moved
        found[1 : 1 + self.X.shape[1]] = self.X.T @ (t - expected)
        if outcome.dispersed:
            _, r_phi, W_phi = outcome.by_dispersion(at.eta, at.phi)
            found[-1] = dispersion + 0.5 * float(v @ W_phi) + float(zs @ r_phi)
        return value - outcome.constant, found
