"""Minimise a criterion over covariance parameters, and keep a record of how.

Zero standard deviations are stationary points of any criterion written in standard deviations, so a descent may
stop at a boundary that is not a minimum. Each descent (bounded quasi-Newton with exact gradients) is therefore
followed by probes: every pivot at its boundary is moved up, every other one is moved down to it, and the descent
restarts wherever that helps. Newton's method with the exact Hessian on the face of the covariance then takes the
last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

import numpy as np
from scipy import optimize

from wwc_eval.multilevel.engine.covariance import Face, Parameters, face_of
from wwc_eval.multilevel.engine.structure import Array

__all__ = ["Curvature", "Minimum", "Starts", "Value", "minimise"]

Value = Callable[[Sequence[Array]], float]
SlopesOf = Callable[[Sequence[Array]], tuple[float, list[Array]]]
Curvature = Callable[[Face, Array | None], tuple[float, Array, Array]]

LARGEST = 1e5
"""Largest relative standard deviation: beyond it the residual variance is zero for any purpose."""
AT_BOUNDARY = 1e-3
"""Pivots below this are probed upwards and may be set to zero."""
PROBES = (0.03, 0.15, 0.6)
FINE_PROBES = (0.001, 0.004, 0.012)
"""Tried too where the criterion falls as the variance leaves zero."""
GAIN = 1e-8
"""Smallest fall of the criterion that counts as one."""
MAX_DESCENTS = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    """Where the search ended and how it got there.

    Parameters
    ----------
    face : Face
        Covariances at the minimum, in regular coordinates.
    value : float
        Criterion there.
    gradient : (c,) array
        Gradient in the face's coordinates.
    hessian : (c, c) array
        Hessian in the face's coordinates.
    evaluations : int
        Values, gradients and Hessians computed.
    starts : int
        Starting points compared.
    descents : int
        Descents run, the first included.
    polishing : int
        Newton steps.
    message : str
        Empty, or why the minimum should not be trusted.
    """

    face: Face
    value: float
    gradient: Array
    hessian: Array
    evaluations: int
    starts: int
    descents: int
    polishing: int
    message: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Starts:
    """Points to descend from, and how many were compared to find them."""

    points: tuple[Array, ...]
    compared: int


@dataclass(slots=True)
class _Search:
    """Running state of one search."""

    value: Value
    slopes: SlopesOf
    curvature: Curvature
    parameters: Parameters
    evaluations: int = 0
    descents: int = 0
    polishing: int = 0
    best: float = inf
    theta: Array = field(default_factory=lambda: np.zeros(0))

    def at(self, theta: Array) -> float:
        self.evaluations += 1
        return self.value(self.parameters.factors(theta))

    def slope(self, theta: Array) -> tuple[float, Array]:
        self.evaluations += 1
        factors = self.parameters.factors(theta)
        found, slopes = self.slopes(factors)
        if not isfinite(found):
            return 1e300, np.zeros_like(theta)
        return found, self.parameters.gradient(factors, slopes)

    def curve(self, face: Face, near: Array | None = None) -> tuple[float, Array, Array]:
        self.evaluations += 1
        return self.curvature(face, near)

    def descend(self, start: Array) -> bool:
        """One descent; whether it improved on the best so far."""
        self.descents += 1
        limits = [(0.0 if pivot else -LARGEST, LARGEST) for pivot in self.parameters.diagonal]
        found = optimize.minimize(
            self.slope,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=limits,
            options={"ftol": 1e-12, "gtol": 1e-6, "maxiter": 500, "maxcor": 20},
        )
        better = bool(found.fun < self.best - GAIN)
        if found.fun < self.best:
            self.best, self.theta = float(found.fun), np.asarray(found.x)
        return better

    def probe(self) -> Array | None:
        """A point lower than the best, found by moving one pivot to or from its boundary."""
        diagonal = self.parameters.diagonal
        self.evaluations += 1
        slopes = self.slopes(self.parameters.factors(self.theta))[1]
        for k in np.flatnonzero(diagonal):
            level, row, _ = self.parameters.places[k]
            tries = []
            if self.theta[k] < AT_BOUNDARY:
                falling = slopes[level][row, row] < 0
                sizes = (*PROBES, *FINE_PROBES) if falling else PROBES
                tries = [_with(self.theta, [int(k)], size) for size in sizes]
            else:
                same = [
                    m for m, (other, i, j) in enumerate(self.parameters.places) if other == level and row in (i, j)
                ]
                tries = [_with(self.theta, same, 0.0)]
            lower = self.lower(tries)
            if lower is not None:
                return lower
        return self.lower(self.out_of_the_null_spaces(slopes))

    def lower(self, points: Sequence[Array]) -> Array | None:
        """The first of some points that lies below the best."""
        return next((point for point in points if self.at(point) < self.best - GAIN), None)

    def out_of_the_null_spaces(self, slopes: Sequence[Array]) -> list[Array]:
        """Points along the direction in which a singular correlated block would lower the criterion most.

        No single standard deviation need do so: two random coefficients may only be there together.
        """
        found = []
        roots = self.parameters.factors(self.theta)
        gammas = [root @ root.T for root in roots]
        for level, grouping in enumerate(self.parameters.groupings):
            for block in grouping.blocks:
                at = np.ix_(block, block)
                values, vectors = np.linalg.eigh(gammas[level][at])
                null = vectors[:, values <= AT_BOUNDARY**2]
                if len(block) == 1 or not null.shape[1]:
                    continue
                falls, directions = np.linalg.eigh(null.T @ slopes[level][at] @ null)
                if falls[0] >= -1e-6:
                    continue
                direction = null @ directions[:, 0]
                for size in (*PROBES, *FINE_PROBES):
                    moved = [gamma.copy() for gamma in gammas]
                    moved[level][at] += size**2 * np.outer(direction, direction)
                    found.append(self.parameters.theta(moved))
        return found


def minimise(
    value: Value,
    slopes: SlopesOf,
    curvature: Curvature,
    parameters: Parameters,
    *,
    starts: Starts,
) -> Minimum:
    """Lowest criterion over the covariance parameters.

    Parameters
    ----------
    value, slopes, curvature : callables
        Criterion at roots; criterion and derivatives by each covariance there; criterion, gradient and Hessian on a face, where
        the Hessian a moment ago may serve again if a new one is dear.
    parameters : Parameters
        Layout of ``theta``.
    starts : Starts
        Points from each of which the search descends.
    """
    search = _Search(value, slopes, curvature, parameters)
    for point in starts.points:
        search.descend(point)
    most = len(starts.points) + MAX_DESCENTS
    while search.descents < most:
        lower = search.probe()
        if lower is None or not search.descend(lower):
            break
    gammas = [root @ root.T for root in parameters.factors(search.theta)]
    face, found, slope, bend = _polish(search, face_of(parameters.groupings, gammas, zero=1e-14))
    small = face_of(parameters.groupings, face.gammas, zero=AT_BOUNDARY**2)
    if len(small.places) < len(face.places):
        # a pivot this small is zero if setting it to zero costs nothing
        flat = _polish(search, small)
        if flat[1] <= found + GAIN / 10:
            face, found, slope, bend = flat
    return Minimum(
        face=face,
        value=found,
        gradient=slope,
        hessian=bend,
        evaluations=search.evaluations + starts.compared,
        starts=starts.compared,
        descents=search.descents,
        polishing=search.polishing,
        message=_doubt(face, found, slope, bend),
    )


def _with(theta: Array, places: Sequence[int], size: float) -> Array:
    moved = theta.copy()
    moved[list(places)] = size
    return moved


def _polish(search: _Search, face: Face) -> tuple[Face, float, Array, Array]:
    """Newton's method on a face, downhill only."""
    groupings = search.parameters.groupings
    found, slope, bend = search.curve(face)
    for _ in range(12):
        if not len(slope) or not isfinite(found):
            break
        values, vectors = np.linalg.eigh(bend)
        sizes = np.maximum(np.abs(values), 1e-9 * max(float(np.abs(values).max()), 1e-300))
        inner = vectors.T @ slope
        decrement = float((inner**2 / sizes).sum())
        if decrement < 1e-20 * max(1.0, abs(found)):
            break
        step = -vectors @ (inner / sizes)
        longest = 0.3 * (1.0 + float(np.abs(face.coordinates).max()))
        step *= min(1.0, longest / max(float(np.abs(step).max()), 1e-300))
        tried = _step(search, face, step, found, settled=decrement < 1e-9)
        if tried is None:
            break
        search.polishing += 1
        face = face_of(groupings, [root @ root.T for root in tried], zero=1e-14)
        same = len(face.places) == len(slope)
        found, slope, bend = search.curve(face, bend if same and decrement < 1e-4 else None)
        if decrement < 1e-12:
            break
    return face, found, slope, bend


def _step(search: _Search, face: Face, step: Array, found: float, *, settled: bool) -> list[Array] | None:
    """Roots after the longest of the halved steps that does not go up."""
    for _ in range(1 if settled else 12):
        roots = face.moved(step)
        search.evaluations += 1
        allowance = 1e-9 * max(1.0, abs(found)) if settled else 0.0
        if search.value(roots) <= found + allowance:
            return roots
        step = step / 4.0
    return None


def _doubt(face: Face, found: float, slope: Array, bend: Array) -> str:
    """Why a minimum should not be trusted, or nothing."""
    if not isfinite(found) or not bool(np.all(np.isfinite(slope))):
        return "the criterion cannot be computed at the end of the search"
    if any(float(np.diag(gamma).max()) > (0.5 * LARGEST) ** 2 for gamma in face.gammas):
        return "the residual variance goes to zero beside the variance between groups"
    if not len(slope):
        return ""
    values, vectors = np.linalg.eigh(bend)
    sizes = np.maximum(np.abs(values), 1e-9 * max(float(np.abs(values).max()), 1e-300))
    decrement = float(((vectors.T @ slope) ** 2 / sizes).sum())
    if decrement > 1e-6:
        return "the search stopped before the gradient was zero"
    return ""
