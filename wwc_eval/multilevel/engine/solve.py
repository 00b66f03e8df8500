"""One linear mixed model from arrays: engine, criterion, search, and the estimates at the minimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wwc_eval.multilevel.engine.covariance import Face, Parameters
from wwc_eval.multilevel.engine.criterion import Criterion, Profile, Slopes, on_face, slopes_of
from wwc_eval.multilevel.engine.crossed import CrossedEngine
from wwc_eval.multilevel.engine.expansion import Level, expand
from wwc_eval.multilevel.engine.fold import Finest, NestedFold
from wwc_eval.multilevel.engine.optimise import Minimum, Starts, minimise
from wwc_eval.multilevel.engine.prepare import Prepared, prepare
from wwc_eval.multilevel.engine.starts import starts_of
from wwc_eval.multilevel.engine.structure import Array, Grouping, arrange, check_groupings

__all__ = ["Problem", "Solution", "problem_of", "solve"]

EXPANDABLE = 400
"""Random effects up to which crossed factors are expanded exactly as one dense group."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A model ready to be minimised.

    Parameters
    ----------
    prepared : Prepared
        Scaled rows and the way back.
    nested : bool
        Whether the groupings nest in a chain.
    engine : NestedFold or CrossedEngine
        The engine that fits it.
    criterion : Criterion
        REML criterion or ML deviance.
    """

    prepared: Prepared
    nested: bool
    engine: NestedFold | CrossedEngine
    criterion: Criterion

    @property
    def reml(self) -> bool:
        """Whether the criterion is REML."""
        return self.criterion.reml

    @property
    def parameters(self) -> Parameters:
        """Layout of ``theta``."""
        return self.criterion.parameters

    @property
    def expandable(self) -> bool:
        """Whether exact second derivatives are within reach."""
        return self.nested or self.effects <= EXPANDABLE

    @property
    def effects(self) -> int:
        """Number of random effects."""
        return sum(grouping.n_groups * grouping.width for grouping in self.prepared.groupings)

    def slopes(self, gammas: Sequence[Array]) -> Slopes:
        """Exact derivatives in the free covariance entries."""
        base, levels = self.levels(gammas)
        return slopes_of(expand(base, levels), self.prepared.n, self.reml)

    def levels(self, gammas: Sequence[Array]) -> tuple[Array | Finest, list[Level]]:
        """Base and levels of an expansion."""
        if isinstance(self.engine, CrossedEngine):
            return self.engine.levels(gammas, [g.unit_matrices for g in self.prepared.groupings])
        starts = [*self.engine.starts, None]
        groupings = self.prepared.groupings
        return self.engine.base, [
            Level(gamma, grouping.unit_matrices, begin)
            for gamma, grouping, begin in zip(gammas, groupings, starts, strict=True)
        ]

    def curvature(self, face: Face, near: Array | None = None) -> tuple[float, Array, Array]:
        """Criterion, gradient and Hessian in a face's coordinates.

        Where exact second derivatives are out of reach the Hessian is a central difference of exact gradients,
        and ``near``, the Hessian a small step away, is used again.
        """
        if self.expandable:
            slopes = self.slopes(face.gammas)
            return float(slopes.value), *on_face(slopes, face)
        value, slope = self._face_gradient(face, np.zeros(len(face.places)))
        if near is not None:
            return value, slope, near
        bend = np.empty((len(slope), len(slope)))
        for c, at in enumerate(face.coordinates):
            step = np.zeros(len(slope))
            step[c] = 1e-5 * max(1.0, abs(at))
            up, down = self._face_gradient(face, step)[1], self._face_gradient(face, -step)[1]
            bend[c] = (up - down) / (2.0 * step[c])
        return value, slope, (bend + bend.T) / 2.0

    def _face_gradient(self, face: Face, step: Array) -> tuple[float, Array]:
        roots = face.moved(step)
        value, slopes = self.criterion.slopes(roots)
        moved = [2.0 * slope @ root for slope, root in zip(slopes, roots, strict=True)]
        return value, np.array([moved[level][i, j] for level, i, j in face.places])


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """A fitted linear mixed model in the units of the data.

    Parameters
    ----------
    problem : Problem
        What was minimised.
    minimum : Minimum
        Where and how.
    profile : Profile
        The model at the minimum, in the engine's units.
    """

    problem: Problem
    minimum: Minimum
    profile: Profile

    @property
    def n(self) -> int:
        """Rows."""
        return self.problem.prepared.n

    @property
    def p(self) -> int:
        """Fixed effects."""
        return self.problem.prepared.p

    @property
    def criterion(self) -> float:
        """REML criterion or ML deviance (minus twice the log-likelihood)."""
        return self.minimum.value + self.problem.prepared.constant(self.problem.reml)

    @property
    def beta(self) -> Array:
        """Fixed effects (p,)."""
        return self.problem.prepared.beta(self.profile.beta)

    @property
    def unit(self) -> float:
        """Residual variance of a row of average weight."""
        return self.profile.sigma2 * self.problem.prepared.y_scale**2

    @property
    def sigma2(self) -> float:
        """Residual variance of a row of weight 1."""
        return self.unit * self.problem.prepared.weight_scale

    @property
    def vcov(self) -> Array:
        """Model-based covariance of the fixed effects (p, p)."""
        return self.problem.prepared.covariance(self.profile.inverse * self.unit)

    @property
    def gammas(self) -> list[Array]:
        """Relative covariance of each grouping in the engine's orthonormal basis."""
        return self.minimum.face.gammas

    @property
    def covariances(self) -> list[Array]:
        """Covariance of the random effects of each grouping, in the units of the data."""
        found = []
        for gamma, root in zip(self.gammas, self.problem.prepared.roots, strict=True):
            back = np.linalg.solve(root, gamma)
            whole = np.linalg.solve(root, back.T)
            found.append(self.unit * (whole + whole.T) / 2.0)
        return found

    @property
    def relative_covariances(self) -> list[Array]:
        """The same divided by the residual variance."""
        return [covariance / self.sigma2 for covariance in self.covariances]


def problem_of(
    y: Array, X: Array, groupings: Sequence[Grouping], *, reml: bool = True, weights: Array | None = None
) -> Problem:
    """Check the structure, prepare the rows and choose the engine.

    Raises
    ------
    DesignError, DataError, ConvergenceError
        As :func:`check_groupings`, :func:`arrange` and :func:`prepare` say.
    """
    check_groupings(groupings, len(y))
    ordered, nested = arrange(groupings)
    prepared = prepare(y, X, ordered, weights, nested=nested)
    engine = NestedFold.from_rows(prepared) if nested else CrossedEngine.from_rows(prepared)
    criterion = Criterion(engine=engine, parameters=Parameters(groupings=ordered), n=len(y), reml=reml)
    return Problem(prepared=prepared, nested=nested, engine=engine, criterion=criterion)


def solve(problem: Problem, begin: Sequence[Array] | None = None) -> Solution:
    """Minimise a problem.

    Parameters
    ----------
    problem : Problem
        From :func:`problem_of`.
    begin : sequence of arrays, optional
        Relative covariances (engine's basis) known to be near the minimum.
    """
    criterion = problem.criterion
    near = None if begin is None else problem.parameters.theta(begin)
    minimum = minimise(
        criterion.value,
        criterion.slopes,
        problem.curvature,
        problem.parameters,
        starts=starts_of(criterion, expandable=problem.expandable)
        if near is None
        else Starts(points=(near,), compared=1),
    )
    profile = criterion.profile(minimum.face.factors)
    if profile is None:
        profile = _nowhere(problem.prepared.p)
    return Solution(problem=problem, minimum=minimum, profile=profile)


def _nowhere(p: int) -> Profile:
    return Profile(float("nan"), np.full(p, np.nan), float("nan"), np.full((p, p), np.nan))
