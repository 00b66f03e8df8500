"""The Laplace approximation of minus the log-likelihood, with its exact gradient.

With spherical random effects u, ``b = Lambda u``, ``eta = X gamma + Z Lambda u`` and ``H = I + Lambda' Z' W Z Lambda``

    F = -log p(y | u) + u'u / 2 + log|H| / 2   at the mode u of the first two terms.

The gradient goes through the mode: with ``a = dW v / 2``, v the diagonal of ``Z Lambda H^-1 Lambda' Z'`` and
``s = H^-1 Lambda' Z' a``, the derivative by the linear predictor is ``t = -r + a - W (Z Lambda s)``, whence
``dF/dgamma = X' t`` and ``dF/dLambda = Z't u' + Z'r s' + Z'W Z Lambda H^-1`` (entries of the same group).
Sources: Pinheiro and Chao (2006), doi:10.1198/106186006X96962; Kristensen et al. (2016), doi:10.18637/jss.v070.i05.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.elimination import Factorisation, elimination_of
from wwc_eval.multilevel.generalised.layout import Effects, Layout, row_sums
from wwc_eval.multilevel.generalised.outcomes import Outcome

__all__ = ["Laplace", "Moment", "Roots"]

MODE_STEPS = 200
NEARLY = 1e-5
"""After a Newton step this small the next one is taken by Taylor's series, which leaves nothing."""
SAFE_STEP = 0.5
"""Newton steps that move no random effect by more than this are taken unchecked."""
HALVINGS = 40


@dataclass(frozen=True, kw_only=True)
class Roots:
    """Where the variance parameters stand in the root of the covariance (m, m).

    Parameters
    ----------
    rows, columns : tuple of int
        Place of each parameter; rows are not smaller than columns.
    m : int
        Varying columns of all factors.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    m: int

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self.rows)

    @property
    def diagonal(self) -> NDArray[np.bool_]:
        """Which parameters are pivots."""
        return np.asarray(np.array(self.rows) == np.array(self.columns), dtype=bool)

    def root(self, theta: Array) -> Array:
        """Root of the covariance of a row's random effects."""
        found = np.zeros((self.m, self.m))
        found[list(self.rows), list(self.columns)] = theta
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """The approximation at one point."""

    value: float
    root: Array
    effects: Effects
    eta: Array
    r: Array
    W: Array
    slope: Array
    gram: Array
    factor: Factorisation
    phi: float


class Laplace:
    """Minus the log-likelihood by Laplace's approximation, a function of (theta, gamma, log dispersion).

    Parameters
    ----------
    outcome : Outcome
        Distribution and outcome of the rows.
    X : (n, p) array
        Fixed-effects design in the basis of the search.
    layout : Layout
        Rows, cells and groups.
    roots : Roots
        Layout of theta.
    """

    def __init__(self, outcome: Outcome, X: Array, layout: Layout, roots: Roots) -> None:
        self.outcome, self.X, self.layout, self.roots = outcome, X, layout, roots
        self.elimination = elimination_of(layout)
        self.evaluations = 0
        self.effects = self._no_effects()

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.roots.size + int(self.X.shape[1]) + int(self.outcome.dispersed)

    def split(self, psi: Array) -> tuple[Array, Array, float]:
        """Variance parameters, coefficients, log dispersion."""
        k, p = self.roots.size, self.X.shape[1]
        return psi[:k], psi[k : k + p], float(psi[-1]) if self.outcome.dispersed else 0.0

    def _no_effects(self) -> Effects:
        return [np.zeros((g, q)) for g, q in zip(self.layout.n_groups, self.layout.widths, strict=True)]

    # --- the mode

    def _penalised(self, eta: Array, effects: Effects, phi: float) -> Array:
        """What the mode minimises, by independent unit."""
        layout = self.layout
        total = -layout.unit_sum(layout.cell_sum(self.outcome.density(eta, phi)))
        for each, unit in zip(effects, layout.units, strict=True):
            total = total + 0.5 * np.bincount(unit, weights=row_sums(each**2), minlength=layout.n_units)
        return total

    def _newton(self, eta: Array, effects: Effects, root: Array, phi: float, *, exact: bool) -> Effects | None:
        """One Newton step from where the effects are."""
        layout = self.layout
        if exact:
            _, r, curvature, _ = self.outcome.full(eta, phi)
        else:
            r, curvature = self.outcome.slopes(eta, phi)
        factor = self.elimination.factorise(root.T @ layout.gram(curvature) @ root)
        if factor is None:
            return None
        pull = layout.collect(layout.reduce(r) @ root)
        return factor.solve([a - b for a, b in zip(pull, effects, strict=True)])

    def _mode(self, shift: Array, root: Array, phi: float) -> tuple[Effects, Array] | None:
        """Mode of the random effects and the linear predictor there."""
        layout = self.layout
        effects = self.effects
        eta = shift + layout.eta(layout.expand(effects) @ root.T)
        exact, last, before = False, np.inf, None
        for _ in range(MODE_STEPS):
            step = self._newton(eta, effects, root, phi, exact=exact)
            if step is None and exact:
                exact, step = False, self._newton(eta, effects, root, phi, exact=False)
            size = max((float(np.abs(each).max(initial=0.0)) for each in step), default=0.0) if step else np.nan
            if step is None or not np.isfinite(size):
                # a warm start too far away: begin again from zero, once
                if before is not None and before is self:
                    return None
                before, effects = self, self._no_effects()
                eta = shift.copy()
                continue
            # checked until steps are small and shrink quickly
            if (
                size > SAFE_STEP
                or (size > last / 2.0 and size > 1e-6)
                or (not self.outcome.concave and size > 1e-3)
            ):
                effects, eta = self._checked((effects, eta), step, shift, root, phi)
            else:
                effects = [a + b for a, b in zip(effects, step, strict=True)]
                eta = shift + layout.eta(layout.expand(effects) @ root.T)
            if size < NEARLY:
                self.effects = effects
                return effects, eta
            last = size
            exact = not self.outcome.concave and size < 0.1
        return None

    def _checked(
        self, now_at: tuple[Effects, Array], step: Effects, shift: Array, root: Array, phi: float
    ) -> tuple[Effects, Array]:
        """The step, halved in those units where it would lose likelihood."""
        layout, (effects, eta) = self.layout, now_at
        now = self._penalised(eta, effects, phi)
        share = np.ones(layout.n_units)
        for _ in range(HALVINGS):
            moved = [
                each + share[unit][:, None] * change
                for each, unit, change in zip(effects, layout.units, step, strict=True)
            ]
            there = shift + layout.eta(layout.expand(moved) @ root.T)
            worse = ~(self._penalised(there, moved, phi) <= now + 1e-11 * (1.0 + np.abs(now)))
            if not worse.any():
                return moved, there
            share[worse] /= 2.0
        return moved, there

    # --- value and gradient

    def at(self, psi: Array) -> Moment | None:
        """The approximation at a point; None where there is none."""
        self.evaluations += 1
        theta, gamma, phi = self.split(psi)
        root = self.roots.root(theta)
        with np.errstate(all="ignore"):
            found = self._mode(self.X @ gamma, root, phi)
            if found is None:
                self.effects = self._no_effects()
                return None
            effects, eta = found
            density, r, W, dW = self.outcome.full(eta, phi)
            factor = self.elimination.factorise(root.T @ self.layout.gram(W) @ root)
            if factor is None:
                return None
            last = factor.solve(
                [a - b for a, b in zip(self.layout.collect(self.layout.reduce(r) @ root), effects, strict=True)]
            )
            effects = self.effects = [a + b for a, b in zip(effects, last, strict=True)]
            change = self.layout.eta(self.layout.expand(last) @ root.T)
            eta += change
            density += r * change
            r -= W * change
            W = W + dW * change
            gram = self.layout.gram(W)
            factor = self.elimination.factorise(root.T @ gram @ root)
        if factor is None:
            return None
        penalty = 0.5 * sum(float((each**2).sum()) for each in effects)
        value = -float(density.sum()) + penalty + 0.5 * factor.log_determinant
        if not np.isfinite(value):
            return None
        return Moment(
            value=value, root=root, effects=effects, eta=eta, r=r, W=W, slope=dW, gram=gram, factor=factor, phi=phi
        )

    def value(self, psi: Array) -> float:
        """The approximation; infinite where there is none."""
        found = self.at(psi)
        return np.inf if found is None else found.value - self.outcome.constant

    def slope(self, psi: Array) -> tuple[float, Array]:
        """Value and exact gradient."""
        at = self.at(psi)
        if at is None:
            return np.inf, np.zeros(self.size)
        return at.value - self.outcome.constant, self.gradient(at)

    def gradient(self, at: Moment) -> Array:
        """Exact gradient at a point."""
        layout, root = self.layout, at.root
        joint, _ = at.factor.inverse()
        v = layout.quadratic(root @ joint @ root.T)
        a = 0.5 * at.slope * v
        s = at.factor.solve(layout.collect(layout.reduce(a) @ root))
        s_cells = layout.expand(s)
        zs = layout.eta(s_cells @ root.T)
        t = a - at.r - at.W * zs
        moved = layout.reduce(t).T @ layout.expand(at.effects) + layout.reduce(at.r).T @ s_cells
        moved = moved + (at.gram @ root @ joint).sum(0)
        found = np.empty(self.size)
        k, p = self.roots.size, self.X.shape[1]
        found[:k] = moved[list(self.roots.rows), list(self.roots.columns)]
        found[k : k + p] = self.X.T @ t
        if self.outcome.dispersed:
            density, r, W = self.outcome.by_dispersion(at.eta, at.phi)
            found[-1] = -density.sum() + 0.5 * float(v @ W) + float(zs @ r)
        return found

    def information(self, at: Moment) -> Array:
        """Approximate information (p, p) about the coefficients, the random effects profiled out."""
        layout, X = self.layout, self.X
        found = (X * at.W[:, None]).T @ X
        pulls = np.empty((len(layout.starts) * layout.m, X.shape[1]))
        for j in range(X.shape[1]):
            pull = layout.reduce(at.W * X[:, j]) @ at.root
            pulls[:, j] = pull.ravel()
        solved = np.empty_like(pulls)
        for j in range(X.shape[1]):
            back = at.factor.solve(layout.collect(pulls[:, j].reshape(-1, layout.m)))
            solved[:, j] = layout.expand(back).ravel()
        return np.asarray(found - pulls.T @ solved)
