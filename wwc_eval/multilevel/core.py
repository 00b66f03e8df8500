"""What is worked out once from a fitted linear mixed model, whatever the inference, and its record in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wwc_eval.formula import Alias
from wwc_eval.multilevel.engine.crossed import CrossedEngine
from wwc_eval.multilevel.engine.modes import Modes, crossed_modes, nested_modes
from wwc_eval.multilevel.engine.solve import Solution
from wwc_eval.multilevel.optimiser import Optimiser, Parameter
from wwc_eval.multilevel.small_sample.kenward_roger import KenwardRoger, kenward_roger
from wwc_eval.multilevel.small_sample.satterthwaite import Sensitivity, sensitivity

__all__ = ["LinearCore", "message_of", "status_of"]


@dataclass(frozen=True, eq=False)
class LinearCore:
    """A solution with what is worked out from it once, whatever the inference.

    Parameters
    ----------
    solution : Solution
        The model at its minimum.
    """

    solution: Solution

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """Derivatives behind Satterthwaite's degrees of freedom."""
        return sensitivity(self.solution)

    @cached_property
    def kenward_roger(self) -> KenwardRoger:
        """Kenward and Roger's adjustment."""
        return kenward_roger(self.solution)

    @cached_property
    def modes(self) -> dict[str, Modes]:
        """Conditional modes of every grouping factor, in the units of the data."""
        solution = self.solution
        prepared, engine = solution.problem.prepared, solution.problem.engine
        factors, profile = solution.minimum.face.factors, solution.profile
        if isinstance(engine, CrossedEngine):
            found = crossed_modes(engine, factors, profile.beta, profile.inverse)
        else:
            found = nested_modes(engine, factors, profile.beta, profile.inverse)
        scaled = {}
        for grouping, root, modes in zip(prepared.groupings, prepared.roots, found, strict=True):
            back = np.linalg.inv(root)
            scaled[grouping.name] = Modes(
                mean=prepared.y_scale * modes.mean @ back.T,
                conditional=solution.unit * back @ modes.conditional @ back.T,
                prediction=solution.unit * back @ modes.prediction @ back.T,
            )
        return scaled

    @cached_property
    def optimiser(self) -> Optimiser:
        """Record of the search."""
        solution = self.solution
        minimum, parameters = solution.minimum, solution.problem.parameters
        values = parameters.theta(solution.relative_covariances)
        moving = parameters.theta(solution.gammas)
        found = [
            Parameter(name=name, value=float(value), at_boundary=bool(pivot and inner == 0.0))
            for name, value, inner, pivot in zip(
                parameters.names, values, moving, parameters.diagonal, strict=True
            )
        ]
        curvature = np.linalg.eigvalsh(minimum.hessian) if len(minimum.gradient) else np.array([math.nan])
        return Optimiser(
            criterion_name="REML criterion" if solution.problem.reml else "ML deviance",
            criterion=solution.criterion,
            parameters=tuple(found),
            gradient_norm=float(np.abs(minimum.gradient).max(initial=0.0)),
            smallest_curvature=float(curvature[0]),
            evaluations=minimum.evaluations,
            starts=minimum.starts,
            descents=minimum.descents,
            polishing=minimum.polishing,
            converged=not minimum.message,
            message=minimum.message,
        )


def status_of(core: LinearCore, aliased: tuple[Alias, ...]) -> str:
    """``failed``, ``dropped_columns``, ``boundary`` or ``ok``, the gravest first."""
    if core.solution.minimum.message:
        return "failed"
    if aliased:
        return "dropped_columns"
    return "boundary" if core.optimiser.boundary else "ok"


def message_of(core: LinearCore, aliased: tuple[Alias, ...]) -> str:
    """The status in sentences; everything that happened, not only the gravest."""
    parts = []
    if core.solution.minimum.message:
        parts.append(f"The fit has no trustworthy optimum: {core.solution.minimum.message}.")
    if aliased:
        listed = "; ".join(str(alias) for alias in aliased)
        parts.append(f"Left out, for earlier columns determine it: {listed}.")
    if core.optimiser.boundary:
        listed = ", ".join(core.optimiser.boundary)
        parts.append(
            f"On the boundary: no variation of its own was found for {listed}; estimates and errors are those of "
            "the model without it."
        )
    return " ".join(parts) or "The search ended at a minimum inside the parameter space."
