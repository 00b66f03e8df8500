"""Which further counts to hide, with the least loss, so that small counts cannot be worked out.

Start from what every sum needs, choose the cheapest set by a mixed-integer programme, let a reader attack it by
linear programming, turn each success of the attack into a cut, and repeat until no attack succeeds. This is the
method of Fischetti and Salazar (2001), doi:10.1287/mnsc.47.7.1008.9805, with sliding protection.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.data.attack import Attack, CellSystem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["Protection", "protect_cells"]

ROUNDS = 40
NODES = 5_000
SLACK = 1e-7
REMEMBERED = 64
"""Systems whose protection is kept: a run, its report and its verification ask about the same counts."""


@dataclass(frozen=True, kw_only=True)
class Protection:
    """Counts to hide and how well that protects.

    ``hidden`` includes the sensitive and the unseen; ``attainable`` is, for each sensitive count, the width that
    hiding everything would give, at most the width asked for; ``method`` is ``exact`` or ``greedy``.
    """

    hidden: Bools
    attainable: Floats
    method: str


class _Cuts:
    """Conditions ``coefficients @ hidden >= least`` that any sufficient set of hidden counts meets."""

    def __init__(self, cells: CellSystem) -> None:
        self.cells = cells
        self.rows: list[Floats] = []
        self.least: list[float] = []

    def add(self, coefficients: Floats, least: float) -> None:
        """Add a condition, its coefficients cut down to what matters for whole decisions."""
        if least > SLACK:
            self.rows.append(np.minimum(coefficients, least))
            self.least.append(least)

    def unmet(self, hidden: Bools) -> list[int]:
        """Positions of the conditions that a set does not meet."""
        return [
            i for i, row in enumerate(self.rows) if float(row[hidden].sum()) < self.least[i] * (1 - SLACK) - SLACK
        ]


def protect_cells(cells: CellSystem, *, nodes: int = NODES) -> Protection:
    """Cheapest set of counts to hide so that every sensitive count keeps its width under attack.

    Parameters
    ----------
    cells : CellSystem
        Counts, sums and what must not be shown.
    nodes : int
        Limit of each mixed-integer programme's search; beyond it, and for 0, counts are hidden greedily.

    Returns
    -------
    Protection
        Its arrays are read-only: the same system met again gives the same object.
    """
    return _protected(_Asked(cells), nodes)


class _Asked:
    """A system as a key: equal to another with the same numbers."""

    def __init__(self, cells: CellSystem) -> None:
        self.cells = cells
        parts = (np.asarray(getattr(cells, each.name)) for each in fields(cells))
        self.content = tuple((part.shape, part.dtype.str, part.tobytes()) for part in parts)

    def __hash__(self) -> int:
        return hash(self.content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.content == other.content


@functools.lru_cache(maxsize=REMEMBERED)
def _protected(asked: _Asked, nodes: int) -> Protection:
    found = _search(asked.cells, nodes)
    for array in (found.hidden, found.attainable):
        array.setflags(write=False)
    return found


def _search(cells: CellSystem, nodes: int) -> Protection:
    reader = _Reader(cells)
    cuts = _first_cuts(cells)
    hidden, method = cells.always.copy(), "exact"
    for _ in range(ROUNDS):
        chosen = _cheapest(cells, cuts, nodes) if nodes and method == "exact" else None
        if chosen is None:
            method = "greedy"
            chosen = _greedy(cells, cuts, hidden)
        hidden = chosen
        if not reader.attack(hidden, cuts):
            return Protection(hidden=reader.reveal(hidden), attainable=reader.attainable, method=method)
    everything = cells.always | cells.hideable
    while reader.attack(hidden, cuts) and not np.array_equal(hidden, everything):
        more = _greedy(cells, cuts, hidden)
        # every round hides more, so this ends
        hidden = everything if np.array_equal(more, hidden) else more
    return Protection(hidden=reader.reveal(hidden), attainable=reader.attainable, method="greedy")


class _Reader:
    """Attacks one set of hidden counts after another and remembers what it learnt.

    ``attainable`` is the width asked for until a count is found that cannot have it, whatever is hidden.
    """

    def __init__(self, cells: CellSystem) -> None:
        self.cells = cells
        self.witnesses: list[Floats] = []
        self.attainable = np.where(cells.sensitive, cells.width, 0.0)
        self._best: Attack | None = None
        self._known: set[int] = set()

    def attack(self, hidden: Bools, cuts: _Cuts) -> bool:
        """Attack a set of hidden counts; add a cut for every sensitive count that is worked out too well."""
        attack = Attack(self.cells, hidden, self.witnesses)
        succeeded = False
        for index in (int(one) for one in np.flatnonzero(self.cells.sensitive)):
            coefficients, width = _measure(attack, index, float(self.attainable[index]))
            if width >= self.attainable[index] - SLACK or width >= self._limit(index) - SLACK:
                continue
            succeeded = True
            need = float(self.attainable[index])
            cuts.add(coefficients, need)
            if float(cuts.rows[-1][hidden].sum()) >= cuts.least[-1] - SLACK:
                # protected in fractions but not in whole numbers: at least one more must be hidden
                cuts.add((~hidden & self.cells.hideable).astype(float), 1.0)
        return succeeded

    def reveal(self, hidden: Bools) -> Bools:
        """Show again what a reader could work out anyhow among the counts hidden for others' sake."""
        attack = Attack(self.cells, hidden, self.witnesses)
        kept = hidden.copy()
        for index in np.flatnonzero(hidden & ~self.cells.always):
            _, width = _measure(attack, int(index), 1.0)
            kept[index] = width >= 1.0
        return kept

    def _limit(self, index: int) -> float:
        """Width that a count has when everything that may be hidden is, at most the width asked for."""
        if index not in self._known:
            if self._best is None:
                self._best = Attack(self.cells, self.cells.always | self.cells.hideable)
            _, width = _measure(self._best, index, self.cells.width)
            self.attainable[index] = min(width, self.cells.width)
            self._known.add(index)
        return float(self.attainable[index])


def _measure(attack: Attack, index: int, enough: float) -> tuple[Floats, float]:
    """Push a count both ways until it has width enough; the summed cut and the width reached."""
    total = np.zeros(attack.cells.n)
    for direction in (1, -1):
        if attack.width(index) >= enough:
            break
        total += attack.push(index, direction).coefficients
    return total, attack.width(index)


def _first_cuts(cells: CellSystem) -> _Cuts:
    """What every sum needs: a count that must not be shown has hidden company in it."""
    cuts, allowed = _Cuts(cells), cells.always | cells.hideable
    for row in cells.equations:
        members = row != 0
        for index in np.flatnonzero(members & cells.sensitive):
            others = members.copy()
            others[index] = False
            if (others & allowed).any():
                cuts.add(others.astype(float), 1.0)
    return cuts


def _cheapest(cells: CellSystem, cuts: _Cuts, nodes: int) -> Bools | None:
    """Cheapest set that meets all cuts, or None where the solver gives none in time."""
    from scipy import optimize

    free = np.flatnonzero(cells.hideable & ~cells.always)
    if not len(free):
        return cells.always.copy()
    rows = np.array([*cuts.rows, *_company(cells)]).reshape(-1, cells.n)
    least = np.array([*cuts.least, *[0.0] * (len(rows) - len(cuts.rows))])
    constraint = optimize.LinearConstraint(rows[:, free], lb=least - rows[:, cells.always].sum(axis=1) - SLACK)
    found: Any = optimize.milp(
        cells.cost[free] * (1 + 1e-5 * np.arange(len(free))),
        integrality=np.ones(len(free), dtype=np.int64),
        bounds=optimize.Bounds(0, 1),
        constraints=constraint,
        options={"node_limit": nodes},
    )
    if found.x is None:
        return None
    hidden = cells.always.copy()
    hidden[free[np.rint(found.x) > 0]] = True
    return hidden


def _company(cells: CellSystem) -> list[Floats]:
    """A count that is hidden to protect others needs hidden company too, or it is worked out at once."""
    rows = []
    for row in cells.equations:
        members = row != 0
        if (members & cells.always).any():
            continue
        for index in np.flatnonzero(members & cells.hideable):
            coefficients = members.astype(float)
            coefficients[index] = -1.0
            rows.append(coefficients)
    return rows


def _greedy(cells: CellSystem, cuts: _Cuts, start: Bools) -> Bools:
    """Add to a set, for each cut it does not meet, the counts that meet it for the least cost."""
    hidden = start | cells.always
    for position in cuts.unmet(hidden):
        row, least = cuts.rows[position], cuts.least[position]
        worth = np.where(cells.hideable & ~hidden, row / cells.cost, 0.0)
        for index in np.argsort(-worth, kind="stable"):
            if worth[index] <= 0 or float(row[hidden].sum()) >= least - SLACK:
                break
            hidden[index] = True
    return hidden
