"""Coordinates of the variance parameters in which one quantity is held at a value.

To profile a standard deviation, a correlation or a share of variance, the others are minimised over while it stays
put. Each chart solves the constraint explicitly, so the search is free (but for pivots >= 0) and its gradient exact.
Blocks that the quantity does not concern keep their lower triangular roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt
from typing import Protocol

import numpy as np

from wwc_eval.multilevel.engine.covariance import lower_root
from wwc_eval.multilevel.engine.solve import Problem
from wwc_eval.multilevel.engine.structure import Array

__all__ = ["Chart", "CorrelationChart", "DeviationChart", "ResidualChart", "ShareChart"]


class Chart(Protocol):
    """Coordinates in which a quantity is held."""

    own_scale: bool

    def edges(self, log_sigma: float) -> list[tuple[float | None, float | None]]:
        """Range of each coordinate, given the log residual SD of the fit."""

    def start(self, gammas: Sequence[Array], log_sigma: float, value: float) -> Array:
        """Coordinates nearest to given relative covariances and log residual SD."""

    def roots(self, point: Array, value: float) -> tuple[list[Array], float]:
        """Roots of the relative covariances, and the log residual SD."""

    def pull(self, point: Array, value: float, slopes: Sequence[Array], along: float) -> Array:
        """Gradient in the coordinates from derivatives by each covariance and by the log residual SD."""

    @property
    def pivots(self) -> list[bool]:
        """Which coordinates are bounded below by zero."""


FARTHEST_LOG = 6.0
"""How far the log residual SD may move from the fit's."""
THINNEST = 1e-4
"""Smallest pivot of a factor whose share is held, so that its shape never vanishes."""


@dataclass(frozen=True, eq=False)
class _Block:
    """One correlated block: covariance ``T L L' T'`` with L lower triangular."""

    level: int
    columns: tuple[int, ...]
    turn: Array

    @property
    def entries(self) -> list[tuple[int, int]]:
        size = len(self.columns)
        return [(i, j) for j in range(size) for i in range(j, size)]

    def lower(self, gammas: Sequence[Array]) -> Array:
        """Lower triangular root in the block's own basis."""
        part = gammas[self.level][np.ix_(self.columns, self.columns)]
        back = np.linalg.solve(self.turn, np.linalg.solve(self.turn, part).T)
        return lower_root((back + back.T) / 2.0, [range(len(self.columns))])

    def place(self, roots: list[Array], lower: Array) -> None:
        """Write the root into that of the whole factor."""
        roots[self.level][np.ix_(self.columns, self.columns)] = self.turn @ lower

    def slope(self, slopes: Sequence[Array], lower: Array) -> Array:
        """Derivative by the entries of L."""
        part = slopes[self.level][np.ix_(self.columns, self.columns)]
        return np.asarray(2.0 * self.turn.T @ part @ self.turn @ lower)


@dataclass(kw_only=True, eq=False)
class _Base:
    """Blocks of a problem; the one that matters stands first, in a basis of its own."""

    problem: Problem
    blocks: list[_Block] = field(default_factory=list)
    own_scale: bool = False

    def __post_init__(self) -> None:
        self.blocks = [
            _Block(level, block, np.eye(len(block)))
            for level, grouping in enumerate(self.problem.prepared.groupings)
            for block in grouping.blocks
        ]

    def lead(self, level: int, first: Sequence[int], scales: Array) -> None:
        """Put the block that holds some columns first, those columns leading, in the units of the data.

        ``scales`` are standard deviations by which the block's coordinates are of order one.
        """
        at = next(k for k, b in enumerate(self.blocks) if b.level == level and first[0] in b.columns)
        block = self.blocks.pop(at)
        order = [*first, *(k for k in block.columns if k not in first)]
        root = self.problem.prepared.roots[level][np.ix_(block.columns, block.columns)]
        places = [block.columns.index(k) for k in order]
        turn = root[:, places] * scales[order]
        self.blocks.insert(0, _Block(level, block.columns, turn))

    @property
    def pivots(self) -> list[bool]:
        """Which coordinates are bounded below by zero."""
        return self.rest_pivots()

    def edges(self, log_sigma: float) -> list[tuple[float | None, float | None]]:  # noqa: ARG002
        """Range of each coordinate."""
        return [(0.0 if pivot else None, None) for pivot in self.pivots]

    def empty(self) -> list[Array]:
        return [np.zeros((g.width, g.width)) for g in self.problem.prepared.groupings]

    def rest_start(self, gammas: Sequence[Array]) -> list[float]:
        """Coordinates of the blocks after the first."""
        found: list[float] = []
        for block in self.blocks[1:]:
            lower = block.lower(gammas)
            found += [float(lower[i, j]) for i, j in block.entries]
        return found

    def rest_roots(self, roots: list[Array], values: Array) -> None:
        at = 0
        for block in self.blocks[1:]:
            lower = np.zeros((len(block.columns),) * 2)
            for i, j in block.entries:
                lower[i, j] = values[at]
                at += 1
            block.place(roots, lower)

    def rest_pull(self, values: Array, slopes: Sequence[Array]) -> list[float]:
        found: list[float] = []
        at = 0
        for block in self.blocks[1:]:
            lower = np.zeros((len(block.columns),) * 2)
            for i, j in block.entries:
                lower[i, j] = values[at]
                at += 1
            moved = block.slope(slopes, lower)
            found += [float(moved[i, j]) for i, j in block.entries]
        return found

    def rest_pivots(self) -> list[bool]:
        return [i == j for block in self.blocks[1:] for i, j in block.entries]


class DeviationChart(_Base):
    """Holds a standard deviation: the first pivot of its block is it, divided by the residual's."""

    def __init__(self, problem: Problem, level: int, column: int, scales: Array) -> None:
        super().__init__(problem=problem, own_scale=True)
        self.lead(level, [column], scales)
        self.unit = float(scales[column]) * problem.prepared.y_scale

    def _lower(self, point: Array, value: float) -> Array:
        block = self.blocks[0]
        lower = np.zeros((len(block.columns),) * 2)
        lower[0, 0] = value / (self.unit * exp(point[0]))
        for k, (i, j) in enumerate(block.entries[1:]):
            lower[i, j] = point[1 + k]
        return lower

    def start(self, gammas: Sequence[Array], log_sigma: float, value: float) -> Array:  # noqa: ARG002
        """Coordinates: log residual SD, the block's other entries, the other blocks."""
        lower = self.blocks[0].lower(gammas)
        own = [float(lower[i, j]) for i, j in self.blocks[0].entries[1:]]
        return np.array([log_sigma, *own, *self.rest_start(gammas)])

    def roots(self, point: Array, value: float) -> tuple[list[Array], float]:
        """Roots and log residual SD."""
        found = self.empty()
        self.blocks[0].place(found, self._lower(point, value))
        self.rest_roots(found, point[len(self.blocks[0].entries) :])
        return found, float(point[0])

    def pull(self, point: Array, value: float, slopes: Sequence[Array], along: float) -> Array:
        """Gradient; the held pivot falls as the residual grows."""
        lower = self._lower(point, value)
        moved = self.blocks[0].slope(slopes, lower)
        own = [float(moved[i, j]) for i, j in self.blocks[0].entries[1:]]
        rest = self.rest_pull(point[len(self.blocks[0].entries) :], slopes)
        return np.array([along - moved[0, 0] * lower[0, 0], *own, *rest])

    def edges(self, log_sigma: float) -> list[tuple[float | None, float | None]]:
        """The residual variance must not run away while a standard deviation is held."""
        return [(log_sigma - FARTHEST_LOG, log_sigma + FARTHEST_LOG), *super().edges(log_sigma)[1:]]

    @property
    def pivots(self) -> list[bool]:
        """The log residual SD is free."""
        own = [i == j for i, j in self.blocks[0].entries[1:]]
        return [False, *own, *self.rest_pivots()]


class CorrelationChart(_Base):
    """Holds a correlation: the second row of its block has length m and direction ``(r, sqrt(1 - r^2))``."""

    def __init__(self, problem: Problem, level: int, columns: Sequence[int], scales: Array) -> None:
        super().__init__(problem=problem)
        self.lead(level, columns, scales)
        self.free = [entry for entry in self.blocks[0].entries if entry not in ((1, 0), (1, 1))]

    def _lower(self, point: Array, value: float) -> Array:
        lower = np.zeros((len(self.blocks[0].columns),) * 2)
        lower[1, 0], lower[1, 1] = point[0] * value, point[0] * sqrt(max(1.0 - value**2, 0.0))
        for k, (i, j) in enumerate(self.free):
            lower[i, j] = point[1 + k]
        return lower

    def start(self, gammas: Sequence[Array], log_sigma: float, value: float) -> Array:  # noqa: ARG002
        """Coordinates: length of the second row, the block's other entries, the other blocks."""
        lower = self.blocks[0].lower(gammas)
        own = [float(lower[i, j]) for i, j in self.free]
        return np.array([float(np.hypot(lower[1, 0], lower[1, 1])), *own, *self.rest_start(gammas)])

    def roots(self, point: Array, value: float) -> tuple[list[Array], float]:
        """Roots; the residual variance is profiled out."""
        found = self.empty()
        self.blocks[0].place(found, self._lower(point, value))
        self.rest_roots(found, point[1 + len(self.free) :])
        return found, 0.0

    def pull(self, point: Array, value: float, slopes: Sequence[Array], along: float) -> Array:  # noqa: ARG002
        """Gradient."""
        moved = self.blocks[0].slope(slopes, self._lower(point, value))
        length = float(value * moved[1, 0] + sqrt(max(1.0 - value**2, 0.0)) * moved[1, 1])
        own = [float(moved[i, j]) for i, j in self.free]
        return np.array([length, *own, *self.rest_pull(point[1 + len(self.free) :], slopes)])

    @property
    def pivots(self) -> list[bool]:
        """The length is a pivot."""
        return [True, *(i == j for i, j in self.free), *self.rest_pivots()]


class ResidualChart(_Base):
    """Holds the residual standard deviation."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem=problem, own_scale=True)
        self.blocks.insert(0, _Block(0, (), np.zeros((0, 0))))

    def start(self, gammas: Sequence[Array], log_sigma: float, value: float) -> Array:  # noqa: ARG002
        """Coordinates: the blocks' roots."""
        return np.array(self.rest_start(gammas))

    def roots(self, point: Array, value: float) -> tuple[list[Array], float]:
        """Roots and the held log residual SD."""
        found = self.empty()
        self.rest_roots(found, point)
        return found, log(value / self.problem.prepared.y_scale)

    def pull(self, point: Array, value: float, slopes: Sequence[Array], along: float) -> Array:  # noqa: ARG002
        """Gradient."""
        return np.array(self.rest_pull(point, slopes))


class ShareChart(_Base):
    """Holds one factor's share of the total variance: its covariance has a given shape and follows in size.

    With r the share, the sum of its contributions is ``r / (1 - r)`` times that of all the others.
    """

    def __init__(self, problem: Problem, level: int, residual: float) -> None:
        super().__init__(problem=problem)
        self.level, self.residual = level, residual
        self.own = [block for block in self.blocks if block.level == level]
        self.blocks = [_Block(level, (), np.zeros((0, 0))), *(b for b in self.blocks if b.level != level)]
        self.count = sum(len(block.entries) for block in self.own)

    def start(self, gammas: Sequence[Array], log_sigma: float, value: float) -> Array:  # noqa: ARG002
        """Coordinates: shape of the factor's roots, the other factors' roots."""
        shape: list[float] = []
        for block in self.own:
            lower = block.lower(gammas)
            shape += [float(lower[i, j]) for i, j in block.entries]
        size = float(np.sqrt(np.sum(np.square(shape))))
        if not size > 0:
            shape = [1.0 if i == j else 0.0 for block in self.own for i, j in block.entries]
            size = float(np.sqrt(np.sum(np.square(shape))))
        return np.array([*(np.array(shape) / size), *self.rest_start(gammas)])

    def _shape(self, point: Array) -> Array:
        root = np.zeros_like(self.empty()[self.level])
        at = 0
        for block in self.own:
            for i, j in block.entries:
                root[block.columns[i], block.columns[j]] = point[at]
                at += 1
        return root

    def _size(self, roots: Sequence[Array], value: float) -> float:
        others = sum(float(np.sum(root**2)) for k, root in enumerate(roots) if k != self.level)
        return value / (1.0 - value) * (others + self.residual)

    def roots(self, point: Array, value: float) -> tuple[list[Array], float]:
        """Roots; the residual variance is profiled out."""
        found = self.empty()
        self.rest_roots(found, point[self.count :])
        shape = self._shape(point)
        found[self.level] = shape * sqrt(self._size(found, value) / max(float(np.sum(shape**2)), 1e-300))
        return found, 0.0

    def pull(self, point: Array, value: float, slopes: Sequence[Array], along: float) -> Array:  # noqa: ARG002
        """Gradient: the other factors pull the held one along."""
        shape = self._shape(point)
        length = max(float(np.sum(shape**2)), 1e-300)
        unit = shape @ shape.T / length
        pull = float(np.sum(slopes[self.level] * unit))
        ratio = value / (1.0 - value)
        others = [slope + ratio * pull * np.eye(len(slope)) for slope in slopes]
        found = self.empty()
        self.rest_roots(found, point[self.count :])
        size = self._size(found, value) / length
        moved = 2.0 * size * (slopes[self.level] - pull * np.eye(len(shape))) @ shape
        own = [float(moved[b.columns[i], b.columns[j]]) for b in self.own for i, j in b.entries]
        return np.array([*own, *self.rest_pull(point[self.count :], others)])

    def edges(self, log_sigma: float) -> list[tuple[float | None, float | None]]:
        """The held factor's shape stays off zero."""
        found = super().edges(log_sigma)
        own = [(THINNEST, None) if low == 0.0 else (low, high) for low, high in found[: self.count]]
        return [*own, *found[self.count :]]

    @property
    def pivots(self) -> list[bool]:
        """Those of the roots."""
        return [i == j for block in self.own for i, j in block.entries] + self.rest_pivots()
