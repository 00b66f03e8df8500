"""The optimiser's record: a printable object that says where a search ended and how it got there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wwc_eval.table import Column, Grid, Rendered, Table

__all__ = ["Optimiser", "Parameter"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One variance parameter at the end of a search.

    Parameters
    ----------
    name : str
        Grouping factor and column, such as ``school: (Intercept)``.
    value : float
        Relative standard deviation (or, for a pair of columns, the entry of the root of the covariance) in the
        units of the data, divided by the residual standard deviation where there is one: lme4's theta.
    at_boundary : bool
        Whether it is zero.
    """

    name: str
    value: float
    at_boundary: bool


@dataclass(frozen=True, kw_only=True)
class Optimiser(Rendered):
    """Record of a search for the minimum of a criterion.

    Parameters
    ----------
    criterion_name : str
        ``REML criterion``, ``ML deviance``, ``Laplace deviance`` ...
    criterion : float
        Its minimum.
    parameters : tuple of Parameter
        Where it is.
    gradient_norm : float
        Largest absolute slope of the criterion in a parameter that can move, at the minimum.
    smallest_curvature : float
        Smallest eigenvalue of the Hessian there; negative would be a saddle. NaN where no parameter moves.
    evaluations : int
        Values, gradients and Hessians computed.
    starts : int
        Starting points compared.
    descents : int
        Descents run: one, and one more after every probe of a boundary or distant start.
    polishing : int
        Newton steps at the end.
    converged : bool
        Whether the minimum can be trusted.
    message : str
        Why not, if not.
    """

    criterion_name: str
    criterion: float
    parameters: tuple[Parameter, ...]
    gradient_norm: float
    smallest_curvature: float
    evaluations: int
    starts: int
    descents: int
    polishing: int
    converged: bool
    message: str = ""

    @property
    def boundary(self) -> tuple[str, ...]:
        """Names of the parameters at their boundary."""
        return tuple(parameter.name for parameter in self.parameters if parameter.at_boundary)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row for each parameter."""
        return [
            {"parameter": each.name, "value": each.value, "at_boundary": each.at_boundary}
            for each in self.parameters
        ]

    def _grid(self) -> Grid:
        columns = [
            Column(name="parameter"),
            Column(name="value", kind="number", digits=6),
            Column(name="at_boundary", label="at its boundary"),
        ]
        rows = [{**row, "at_boundary": "yes" if row["at_boundary"] else "no"} for row in self.to_dicts()]
        return Table(rows, columns)._grid()

    def _title(self) -> str:
        return f"{self.criterion_name} {self.criterion:.6f}"

    def _notes(self) -> tuple[str, ...]:
        steps = (
            f"{self.starts:,} {_plural(self.starts, 'start')} compared, {self.descents:,} "
            f"{_plural(self.descents, 'descent')}, {self.polishing:,} Newton "
            f"{_plural(self.polishing, 'step')}, {self.evaluations:,} evaluations; largest slope left "
            f"{self.gradient_norm:.1e}."
        )
        return (steps, f"Not converged: {self.message}.") if not self.converged else (steps,)


def _plural(count: int, word: str) -> str:
    return word if count == 1 else word + "s"
