"""What a reader can work out of hidden counts from the counts that are shown: intervals by linear programming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["Attack", "CellSystem", "Push"]

WHOLE = 1e-6
FAR = 1_000.0
"""Counts further from the truth than this many widths make no difference to a reader."""


@dataclass(frozen=True, kw_only=True)
class CellSystem:
    """Counts with the sums that tie them together, and what a reader knows of each when it is hidden.

    Parameters
    ----------
    values : (n,) float array
        The counts.
    equations : (m, n) float array
        One row a sum: 1 for the total, -1 for each of its parts; ``equations @ values`` is 0.
    sensitive : (n,) bool array
        Counts that must not be shown.
    hideable : (n,) bool array
        Others that may be hidden to protect them.
    unseen : (n,) bool array
        Counts that are printed nowhere but could be worked out.
    low, high : (n,) float array
        Bounds that a reader knows of a hidden count from its label and its nature.
    cost : (n,) float array
        Loss from hiding each count.
    width : float
        How far apart the bounds of a sensitive count that a reader can work out must be.
    """

    values: Floats
    equations: Floats
    sensitive: Bools
    hideable: Bools
    unseen: Bools
    low: Floats
    high: Floats
    cost: Floats
    width: float

    @property
    def n(self) -> int:
        """Number of counts."""
        return len(self.values)

    @property
    def always(self) -> Bools:
        """Counts that are not shown whatever is decided."""
        return self.sensitive | self.unseen

    @property
    def reach_down(self) -> Floats:
        """How far below its value each count may lie, for all a reader knows, if it is hidden."""
        return np.clip(self.values - self.low, 0.0, FAR * (self.width + 1))

    @property
    def reach_up(self) -> Floats:
        """How far above its value each count may lie, for all a reader knows, if it is hidden."""
        return np.clip(self.high - self.values, 0.0, FAR * (self.width + 1))


@dataclass(frozen=True, kw_only=True)
class Push:
    """Result of pushing one count as far as it goes: the distance and, for a cut, what each count allows of it."""

    distance: float
    coefficients: Floats


class Attack:
    """A reader's view of a system in which ``hidden`` counts are not shown.

    Every solution found is a table the reader cannot rule out, so ``reached`` grows with each and most counts
    are cleared without a programme of their own. ``witnesses`` are such tables (as differences from the truth)
    found under other sets of hidden counts: those that differ in hidden counts only still stand.
    """

    def __init__(self, cells: CellSystem, hidden: Bools, witnesses: list[Floats] | None = None) -> None:
        from scipy import sparse

        self.cells = cells
        self.hidden = hidden
        self.columns = np.flatnonzero(hidden)
        rows = np.flatnonzero((cells.equations[:, self.columns] != 0).any(axis=1))
        self.rows = rows
        self.matrix: Any = sparse.csr_array(cells.equations[np.ix_(rows, self.columns)])
        self.down = cells.reach_down[self.columns]
        self.up = cells.reach_up[self.columns]
        self.bounds: Any = np.column_stack([-self.down, self.up])
        self.reached_low = np.zeros(cells.n)
        self.reached_high = np.zeros(cells.n)
        self.witnesses = [] if witnesses is None else witnesses
        for witness in self.witnesses:
            if not witness[~hidden].any():
                self._reach(witness)

    def width(self, index: int) -> float:
        """Distance between the extreme values of a count found so far."""
        return float(self.reached_high[index] - self.reached_low[index])

    def push(self, index: int, direction: int) -> Push:
        """Push one count up (1) or down (-1) as far as the shown counts allow."""
        objective = np.zeros(len(self.columns))
        objective[np.searchsorted(self.columns, index)] = -direction
        solution, duals = self._solve(objective)
        whole = bool(np.all(np.abs(solution - np.rint(solution)) < WHOLE))
        if not whole:
            solution = self._solve_whole(objective)
        distance = abs(float(solution @ objective))
        full = np.zeros(self.cells.n)
        full[index] = -direction
        reduced = full - self.cells.equations[self.rows].T @ duals
        coefficients = self.cells.reach_down * np.maximum(reduced, 0) + self.cells.reach_up * np.maximum(
            -reduced, 0
        )
        return Push(distance=distance, coefficients=np.where(np.abs(reduced) < 1e-9, 0.0, coefficients))

    def interval(self, index: int) -> tuple[float, float]:
        """Smallest and largest value of a count that the shown counts allow."""
        value = float(self.cells.values[index])
        return value - self.push(index, -1).distance, value + self.push(index, 1).distance

    def _solve(self, objective: Floats) -> tuple[Floats, Floats]:
        from scipy import optimize

        if not len(self.rows):
            free = np.where(objective < 0, self.up, np.where(objective > 0, -self.down, 0.0))
            self._note(free)
            return free, np.zeros(0)
        found: Any = optimize.linprog(
            objective,
            A_eq=self.matrix,
            b_eq=np.zeros(len(self.rows)),
            bounds=self.bounds,
            method="highs",
        )
        # "nothing moves" is always a solution, so a failure is the solver's: say that nothing moves
        if found.x is None:
            return np.zeros(len(self.columns)), np.zeros(len(self.rows))
        self._note(found.x)
        return np.asarray(found.x), np.asarray(found.eqlin.marginals)

    def _solve_whole(self, objective: Floats) -> Floats:
        """As ``_solve`` in whole numbers, where the linear programme ended between them."""
        from scipy import optimize

        zero = np.zeros(len(self.rows))
        found: Any = optimize.milp(
            objective,
            integrality=np.ones(len(objective), dtype=np.int64),
            bounds=optimize.Bounds(-self.down, self.up),
            constraints=optimize.LinearConstraint(self.matrix, zero, zero),
        )
        solution = np.zeros(len(objective)) if found.x is None else np.rint(found.x)
        self._note(solution)
        return solution

    def _note(self, solution: Floats) -> None:
        if np.any(np.abs(solution - np.rint(solution)) >= WHOLE):
            return
        witness = np.zeros(self.cells.n)
        witness[self.columns] = np.rint(solution)
        self.witnesses.append(witness)
        self._reach(witness)

    def _reach(self, witness: Floats) -> None:
        self.reached_low = np.minimum(self.reached_low, witness)
        self.reached_high = np.maximum(self.reached_high, witness)
