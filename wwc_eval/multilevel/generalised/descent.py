"""The running state of a search: descents, boundary probes, curvature and the last digits.

The root of a covariance may change sign freely, so a variance of zero is an ordinary point at which the function is
even: descents run without bounds there, and probes say whether zero is a minimum or only a saddle. Coefficients are
searched in units of their information, descents are quasi-Newton with exact gradients, and Newton steps with the
Hessian (central differences of the exact gradient) take the last digits. That Hessian gives the standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from wwc_eval.multilevel.engine.covariance import lower_root
from wwc_eval.multilevel.engine.structure import Array
from wwc_eval.multilevel.generalised.laplace import Laplace

__all__ = ["CHEAP", "CORRELATIONS", "LARGEST_SD", "Optimum", "Run"]

Mask = NDArray[np.bool_]

LARGEST_SD = 30.0
"""Largest standard deviation of a random effect on the scale of the link: odds that differ beyond all sense."""
DISPERSION_BOUNDS = (-14.0, 12.0)
DIFFERENCE = 1e-3
NEAR_ZERO = 0.03
PROBES = (0.02, 0.1, 0.3, 1.0)
PAIR_SIZES = [0.03, 0.1, 0.3, 1.0]
THIN = 0.1
"""Pivots below this leave a block of correlated columns nearly singular."""
GAIN = 1e-8
MAX_DESCENTS = 8
MAX_POLISH = 12
POLISHED = 1e-9
FAR_STEP = 0.02
"""Newton steps longer than this, in standard errors, ask for a new Hessian."""
CORRELATIONS = (0.0, 1.0, -1.0)
"""Off-diagonal roots to start from, in units of the pivots."""
SADDLE = 1e-4
SLIGHTLY_NEGATIVE = 1e-6
"""Curvatures below minus this are followed down before anything is reported."""
WORST_SLOPE = 1e-4
FAR = 1e15
CHEAP = 100_000
"""Rows times parameters up to which many starting points are compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """Where a search ended.

    Parameters
    ----------
    psi : (c,) array
        Variance parameters, coefficients, log dispersion.
    value : float
        Minus the log-likelihood.
    gradient : (c,) array
        Gradient by psi.
    hessian : (c, c) array
        Hessian by psi; zero rows where a parameter is held.
    free : (c,) of bool
        Parameters that may move: not the roots of a variance of zero.
    slope : float
        Largest slope of a free parameter, per standard error.
    smallest_curvature : float
        Smallest eigenvalue of the Hessian in units of information.
    evaluations, starts, descents, polishing : int
        Effort.
    message : str
        Empty, or why the optimum should not be trusted.
    """

    psi: Array
    value: float
    gradient: Array
    hessian: Array
    free: Mask
    slope: float
    smallest_curvature: float
    evaluations: int
    starts: int
    descents: int
    polishing: int
    message: str = ""

    @property
    def covariance(self) -> Array:
        """Inverse of the Hessian over the free parameters; zero elsewhere."""
        found = np.zeros_like(self.hessian)
        at = np.flatnonzero(self.free)
        inner = self.hessian[np.ix_(at, at)]
        size = np.sqrt(np.maximum(np.diag(inner), 1e-300))
        values, vectors = np.linalg.eigh(inner / np.outer(size, size))
        kept = values > 1e-10
        inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
        found[np.ix_(at, at)] = inverse / np.outer(size, size)
        return found


class Run:
    """Running state of a search of one function."""

    def __init__(self, objective: Laplace, blocks: Sequence[Sequence[int]], held: frozenset[int]) -> None:
        self.objective, self.blocks, self.held = objective, blocks, held
        self.k = objective.roots.size
        self.transform: Array | None = None
        self.best, self.psi = np.inf, np.zeros(objective.size)
        self.starts = self.descents = self.polishing = 0

    # --- points

    def outside(self, psi: Array) -> bool:
        """Whether a point is beyond all sense."""
        theta, _, phi = self.objective.split(psi)
        if np.abs(theta).max(initial=0.0) > LARGEST_SD:
            return True
        low, high = DISPERSION_BOUNDS
        return self.objective.outcome.dispersed and not low < phi < high

    def settle(self, start: Array, size: float, tilt: float = 0.0) -> Array:
        """The start with standard deviations ``size``, correlations and coefficients moved by two Newton steps."""
        psi, k = start.copy(), self.k
        free = [i for i in range(k) if i not in self.held]
        psi[free] = np.where(self.objective.roots.diagonal, size, size * tilt)[free]
        p = self.objective.X.shape[1]
        for _ in range(2):
            at = self.objective.at(psi)
            if at is None:
                return psi
            gradient = self.objective.gradient(at)[k : k + p]
            step = np.linalg.lstsq(self.objective.information(at), gradient, rcond=None)[0]
            psi[k : k + p] -= np.clip(step, -5.0, 5.0)
        return psi

    def units(self, psi: Array) -> Array:
        """Directions of the search: coefficients in units of their information."""
        size, k, p = self.objective.size, self.k, self.objective.X.shape[1]
        found = np.eye(size)
        groups = np.concatenate(
            [
                np.full(w, g)
                for w, g in zip(self.objective.layout.widths, self.objective.layout.n_groups, strict=True)
            ]
        )
        rows = np.array(self.objective.roots.rows, dtype=int)
        theta = np.abs(psi[:k])
        found[range(k), range(k)] = np.maximum(theta, 0.1) / np.sqrt(2.0 * groups[rows])
        at = self.objective.at(psi)
        information = np.eye(p) if at is None else self.objective.information(at)
        try:
            root = np.linalg.cholesky((information + information.T) / 2.0)
            found[k : k + p, k : k + p] = linalg.solve_triangular(root, np.eye(p), lower=True).T
        except np.linalg.LinAlgError:
            found[k : k + p, k : k + p] /= np.sqrt(max(float(np.trace(information)) / p, 1.0))
        if self.objective.outcome.dispersed:
            found[-1, -1] = 2.0 / np.sqrt(self.objective.layout.n)
        return found

    def free(self) -> Mask:
        """Parameters that may move: not held, and not in a column of a root that is zero."""
        theta = self.psi[: self.k]
        found = np.ones(len(self.psi), dtype=bool)
        columns = np.array(self.objective.roots.columns, dtype=int)
        for column in np.unique(columns):
            inside = np.flatnonzero(columns == column)
            if not np.any(theta[inside]):
                found[inside] = False
        found[list(self.held)] = False
        return found

    # --- descent

    def descend(self, start: Array, *, gtol: float) -> bool:
        """One descent; whether it improved on the best so far."""
        self.descents += 1
        T = self.transform if self.transform is not None else self.units(start)
        held = list(self.held)
        # the lowest point is kept here: a failed line search may end elsewhere
        lowest: tuple[float, Array] = (FAR, start)

        def slope(x: Array) -> tuple[float, Array]:
            nonlocal lowest
            psi = start + T @ x
            if self.outside(psi):
                return FAR, np.zeros_like(x)
            value, gradient = self.objective.slope(psi)
            if not np.isfinite(value):
                return FAR, np.zeros_like(x)
            gradient[held] = 0.0
            if value < lowest[0]:
                lowest = (value, psi)
            return value, T.T @ gradient

        optimize.minimize(
            slope,
            np.zeros(len(start)),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": gtol, "maxiter": 400, "maxcor": 30},
        )
        value, psi = lowest
        better = value < self.best - GAIN
        if value < min(self.best, FAR):
            self.best, self.psi = value, psi
        return better

    def improve(self, *, gtol: float) -> None:
        """Set vanishing variances to zero, probe every boundary, and descend again wherever that helps."""
        for _ in range(MAX_DESCENTS):
            self.to_zero()
            point = self.probe()
            if point is None or not self.descend(point, gtol=gtol):
                return

    def to_zero(self) -> None:
        """Set pivots that have all but vanished to zero where that loses nothing."""
        for k in self.pivots():
            if 0.0 < abs(self.psi[k]) < NEAR_ZERO:
                point = self.psi.copy()
                point[k] = 0.0
                value = self.objective.value(point)
                if value <= self.best + GAIN / 10.0:
                    self.best, self.psi = min(value, self.best), self.canonical(point)

    def canonical(self, psi: Array) -> Array:
        """The same covariances with the columns of their roots zero where they are singular."""
        roots = self.objective.roots
        root = roots.root(psi[: self.k])
        lower = lower_root(root @ root.T, self.blocks)
        found = psi.copy()
        found[: self.k] = lower[list(roots.rows), list(roots.columns)]
        return found

    def pivots(self) -> list[int]:
        """Places of the pivots that may move."""
        return [int(k) for k in np.flatnonzero(self.objective.roots.diagonal) if int(k) not in self.held]

    def probe(self) -> Array | None:
        """A point lower than the best, found by moving one pivot to or from zero."""
        rows = np.array(self.objective.roots.rows)
        for k in self.pivots():
            if self.psi[k] == 0.0:
                tries = [(np.array([k]), size) for size in PROBES]
            else:
                tries = [(np.flatnonzero(rows == rows[k]), 0.0)]
            for places, size in tries:
                point = self.psi.copy()
                point[places] = size
                if self.objective.value(point) < self.best - GAIN:
                    return point
        return self.probe_pairs()

    def probe_pairs(self) -> Array | None:
        """The same for pairs of correlated columns, where a singular covariance may hide a correlated one."""
        roots = self.objective.roots
        root = roots.root(self.psi[: self.k])
        whole = root @ root.T
        fixed = {roots.rows[k] for k in self.held}
        for block in self.blocks:
            thin = min(abs(root[j, j]) for j in block) < THIN
            for i, j in combinations(block, 2):
                if not thin or fixed & set(block):
                    continue
                sizes = [[math.sqrt(whole[c, c])] if whole[c, c] > THIN**2 else PAIR_SIZES for c in (i, j)]
                for first, second, rho in product(*sizes, (-0.9, 0.0, 0.9)):
                    moved = whole.copy()
                    moved[i, i], moved[j, j] = first**2, second**2
                    moved[i, j] = moved[j, i] = rho * first * second
                    point = self.psi.copy()
                    lower = lower_root(moved, self.blocks)
                    point[: self.k] = lower[list(roots.rows), list(roots.columns)]
                    if self.objective.value(point) < self.best - GAIN:
                        return point
        return None

    # --- curvature

    def difference(self, psi: Array, free: Mask, T: Array) -> Array:
        """Hessian in the units T over the free parameters: central differences of the exact gradient."""
        at = np.flatnonzero(free)
        found = np.empty((len(at), len(at)))
        self.objective.value(psi)
        centre = self.objective.effects
        for row, k in enumerate(at):
            step = DIFFERENCE * T[:, k]
            self.objective.effects = centre
            up = self.objective.slope(psi + step)[1]
            # the mode on the other side, to second order
            self.objective.effects = [2.0 * a - b for a, b in zip(centre, self.objective.effects, strict=True)]
            down = self.objective.slope(psi - step)[1]
            found[row] = (T.T @ (up - down))[at] / (2.0 * DIFFERENCE)
        return (found + found.T) / 2.0

    def metric(self) -> Array:
        """Directions in which the Hessian at the best point is the identity."""
        T, free = self.units(self.psi), self.free()
        values, vectors = np.linalg.eigh(self.difference(self.psi, free, T))
        at = np.flatnonzero(free)
        T[:, at] = T[:, at] @ (vectors / np.sqrt(np.maximum(np.abs(values), 1e-3)))
        return T

    def finish(self) -> Optimum:
        """Newton steps with the Hessian; the optimum with its record."""
        T, free = self.units(self.psi), self.free()
        at = np.flatnonzero(free)
        hessian, value, gradient = self.polish(T, free)
        values, vectors = np.linalg.eigh(hessian)
        if values.min(initial=1.0) < -SLIGHTLY_NEGATIVE:
            step = T[:, at] @ vectors[:, 0]
            points = [self.psi + size * step for size in (1.0, -1.0, 0.2, -0.2, 5.0, -5.0)]
            lowest = min(points, key=self.objective.value)
            if not self.outside(lowest) and self.descend(lowest, gtol=1e-5):
                self.improve(gtol=1e-5)
                T, free = self.units(self.psi), self.free()
                at = np.flatnonzero(free)
                hessian, value, gradient = self.polish(T, free)
                values, vectors = np.linalg.eigh(hessian)
        left = T[:, at].T @ gradient
        size = np.abs(left).max(initial=0.0)
        message = ""
        if not size < WORST_SLOPE * max(1.0, np.sqrt(abs(value)) * 1e-3):
            message = f"the slope did not vanish (largest {size:.1e} in units of standard errors)"
        elif values.min(initial=1.0) < -SADDLE:
            message = "the search ended on a saddle"
        back = np.linalg.inv(T)[at]
        whole = back.T @ hessian @ back
        whole[~free] = 0.0
        whole[:, ~free] = 0.0
        return Optimum(
            psi=self.psi,
            value=value,
            gradient=gradient,
            hessian=whole,
            free=free,
            slope=float(size),
            smallest_curvature=float(values.min(initial=np.inf)) if len(values) else np.nan,
            evaluations=self.objective.evaluations,
            starts=self.starts,
            descents=self.descents,
            polishing=self.polishing,
            message=message,
        )

    def polish(self, T: Array, free: Mask) -> tuple[Array, float, Array]:
        """Newton steps from the best point; Hessian in units T, value and gradient at the end."""
        at = np.flatnonzero(free)
        hessian = self.difference(self.psi, free, T)
        value, gradient = self.objective.slope(self.psi)
        for _ in range(MAX_POLISH):
            left = T[:, at].T @ gradient
            values, vectors = np.linalg.eigh(hessian)
            usable = values > 1e-7
            step = -vectors[:, usable] @ ((vectors[:, usable].T @ left) / values[usable])
            size = np.abs(step).max(initial=0.0)
            if size < POLISHED or size > 3.0:
                break
            point = self.psi + T[:, at] @ step
            if self.outside(point):
                break
            there, slope = self.objective.slope(point)
            shrunk = np.abs(T[:, at].T @ slope).max(initial=0.0) < 0.7 * np.abs(left).max(initial=0.0)
            if not (there <= value + 1e-9 * max(1.0, abs(value) * 1e-3) and shrunk):
                break
            self.polishing += 1
            self.psi, value, gradient = point, there, slope
            if size > FAR_STEP:
                hessian = self.difference(self.psi, free, T)
        self.best = value
        return hessian, value, gradient
