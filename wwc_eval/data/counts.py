"""Counts of people with the sums that tie them together, and what of them may be shown.

Every table of a report adds its counts to one :class:`Counts`; the same key stands for the same people wherever
it appears, so a count hidden in one table is hidden in all, and no table undoes another.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from wwc_eval.data.attack import Attack, CellSystem
from wwc_eval.data.protection import protect_cells
from wwc_eval.errors import DataError, DisclosureError, Problem, check_choice, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wwc_eval.data.disclosure import DisclosureRule

__all__ = ["Cell", "Counts", "Key", "Protected", "as_protected", "protect"]

EXPOSED = "Some small counts are not shown but follow from others that are: check them before release."
Key = Hashable
Status = Literal["shown", "small", "hidden"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One count.

    Parameters
    ----------
    key : hashable
        What is counted, such as ``("rows", "missing", "sex", "usual")``.
    value : int
        The count.
    shown : bool
        Whether some table prints it. A count that is not printed but could be worked out, such as those without
        the event, is kept as ``shown=False``: it is protected and never printed.
    fixed : bool
        Shown elsewhere whatever happens, so that hiding it here would protect nothing.
    size : bool
        Size of a group (an arm, an authority) that shares are of. Sizes are protected among themselves first;
        whatever they are, the other counts are then protected from a reader who knows them.
    plain_zero : bool
        Whether 0 tells nothing about anybody, as of missing values: it is then shown under every profile.
    weight : float
        How much worse it is to lose it than an ordinary count of its size; more than 1 for totals.
    """

    key: Key
    value: int
    shown: bool = True
    fixed: bool = False
    size: bool = False
    plain_zero: bool = False
    weight: float = 1.0


@dataclass(frozen=True)
class Counts:
    """Counts and sums.

    Parameters
    ----------
    cells : sequence of Cell
        The counts, each key once.
    sums : sequence of (key, sequence of key)
        A total and the parts that add up to it.

    Raises
    ------
    DataError
        If a key stands twice, a sum names an unknown key, a count is negative, or parts do not add up.

    Examples
    --------
    >>> counts = Counts(
    ...     [Cell(key="all", value=103), Cell(key="yes", value=3), Cell(key="no", value=100)],
    ...     [("all", ("yes", "no"))],
    ... )
    >>> from wwc_eval.data.disclosure import DisclosureRule
    >>> protected = protect(DisclosureRule(threshold=10), counts)
    >>> protected["yes"], protected["no"], protected["all"]
    ('<10', 'c', 103)
    """

    cells: Sequence[Cell] = ()
    sums: Sequence[tuple[Key, Sequence[Key]]] = ()

    def __post_init__(self) -> None:
        """Freeze the lists and check them."""
        object.__setattr__(self, "cells", tuple(self.cells))
        unique = dict.fromkeys((total, tuple(parts)) for total, parts in self.sums)
        object.__setattr__(self, "sums", tuple(unique))
        values: dict[Key, int] = {}
        for cell in self.cells:
            if cell.key in values:
                raise DataError(f"count {cell.key!r} stands twice", fix="give each count its own key")
            if cell.value < 0:
                raise DataError(f"count {cell.key!r} is {cell.value}, must be 0 or more")
            values[cell.key] = int(cell.value)
        for total, parts in self.sums:
            unknown = [key for key in (total, *parts) if key not in values]
            if unknown:
                raise DataError(f"a sum names the unknown count {unknown[0]!r}")
            added = sum(values[key] for key in parts)
            if added != values[total]:
                raise DataError(
                    f"the parts of {total!r} add up to {added}, not to {values[total]}",
                    fix="count the same rows in every part of the report",
                )

    def join(self, *others: Counts) -> Counts:
        """These counts and others together; a key in several must have one value.

        Raises
        ------
        DataError
            If two parts give different values to the same key.
        """
        cells: dict[Key, Cell] = {cell.key: cell for cell in self.cells}
        for cell in (cell for other in others for cell in other.cells):
            known = cells.get(cell.key)
            if known is None:
                cells[cell.key] = cell
                continue
            if known.value != cell.value:
                raise DataError(
                    f"count {cell.key!r} is {known.value} in one table and {cell.value} in another",
                    fix="count the same rows in every table, or give the tables different names for them",
                )
            cells[cell.key] = replace(
                known,
                shown=known.shown or cell.shown,
                fixed=known.fixed or cell.fixed,
                size=known.size or cell.size,
                plain_zero=known.plain_zero and cell.plain_zero,
                weight=max(known.weight, cell.weight),
            )
        sums = [*self.sums, *(total for other in others for total in other.sums)]
        return Counts(tuple(cells.values()), sums)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One connected part of the system as it was protected."""

    keys: tuple[Key, ...]
    system: CellSystem
    hidden: NDArray[np.bool_]
    method: str
    exposed: tuple[Key, ...]


@dataclass(frozen=True, kw_only=True)
class Protected:
    """Which counts may be shown; look a count up by its key.

    Parameters
    ----------
    rule : DisclosureRule
        Rule applied.
    values : mapping
        The counts by key.
    status : mapping
        ``shown``, ``small`` (below the threshold) or ``hidden`` (to protect others) by key.
    printed : frozenset
        Keys that some table prints.
    method : str
        ``exact`` (least loss) or ``greedy``.
    exposed : tuple
        Keys of small counts that are not shown but follow exactly from counts that are shown whatever happens,
        such as the number lost from those allocated and analysed: to be judged before release.
    """

    rule: DisclosureRule
    values: Mapping[Key, int]
    status: Mapping[Key, Status]
    printed: frozenset[Key]
    method: str = "exact"
    exposed: tuple[Key, ...] = ()
    parts: tuple[_Part, ...] = field(default=(), repr=False)

    def __getitem__(self, key: Key) -> int | str:
        """The count, rounded as the rule says, or the text shown in its place."""
        status = self._status(key)
        if status == "shown":
            return self.rule.rounded(self.values[key])
        return self.rule.small_label if status == "small" else self.rule.hidden_label

    def is_hidden(self, key: Key) -> bool:
        """Whether the count is not shown."""
        return self._status(key) != "shown"

    @property
    def n_small(self) -> int:
        """Printed counts not shown because they are small."""
        return self._number("small")

    @property
    def n_hidden(self) -> int:
        """Printed counts not shown for whatever reason."""
        return self._number("small") + self._number("hidden")

    def intervals(self) -> dict[Key, tuple[float, float]]:
        """For every count that is hidden or must not be worked out, the bounds that a reader can find for it."""
        found = {}
        for part in self.parts:
            attack = Attack(part.system, part.hidden)
            wanted = part.hidden & (part.system.sensitive | ~part.system.unseen)
            for index in np.flatnonzero(wanted[: len(part.keys)]):
                found[part.keys[index]] = attack.interval(int(index))
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for below a table."""
        notes = self.rule.notes(small=self.n_small > 0, hidden=self.n_hidden > self.n_small)
        return (*notes, EXPOSED) if self.exposed else notes

    def _number(self, status: Status) -> int:
        return sum(1 for key in self.printed if self.status[key] == status)

    def _status(self, key: Key) -> Status:
        if key not in self.status:
            raise DataError(
                f"no count {key!r} was protected",
                fix=did_you_mean(str(key), [str(known) for known in self.status]),
            )
        return self.status[key]


def protect(rule: DisclosureRule, *counts: Counts, exposed: Literal["report", "error"] = "report") -> Protected:
    """Decide what of all counts of a report may be shown.

    Small counts are hidden; then further ones, at the least loss, until a reader who knows everything shown and
    how the labels are given cannot narrow a small count to fewer than ``rule.width`` values.

    Parameters
    ----------
    rule : DisclosureRule
        Threshold and profile.
    counts : Counts
        Counts of every table, flow and sample of the report.
    exposed : {"report", "error"}
        What to do about small counts that follow exactly from ``fixed`` ones: name them in the result, or raise.

    Returns
    -------
    Protected

    Raises
    ------
    DisclosureError
        If a small count can be worked out exactly whatever is hidden, and ``exposed="error"``.
    """
    joined = Counts().join(*counts)
    values = {cell.key: int(cell.value) for cell in joined.cells}
    status: dict[Key, Status] = dict.fromkeys(values, "shown")
    check_choice("exposed", exposed, ("report", "error"))
    parts = []
    for stage in _stages(joined) if rule.active else ():
        for cells, sums in _connected(stage, rule):
            parts.append(_protect_part(rule, cells, sums, status))
    open_keys = tuple(key for part in parts for key in part.exposed)
    if open_keys and exposed == "error":
        raise DisclosureError(problems=[_exposure(key, rule) for key in open_keys])
    return Protected(
        rule=rule,
        values=values,
        status=status,
        printed=frozenset(cell.key for cell in joined.cells if cell.shown),
        method="greedy" if any(part.method == "greedy" for part in parts) else "exact",
        exposed=open_keys,
        parts=tuple(parts),
    )


def _stages(counts: Counts) -> list[Counts]:
    """The sizes of groups among themselves, and then everything with the sizes known to the reader."""
    sizes = {cell.key for cell in counts.cells if cell.size}
    among = [one for one in counts.sums if {one[0], *one[1]} <= sizes]
    known = [replace(cell, shown=True, fixed=True) if cell.size else cell for cell in counts.cells]
    rest = [one for one in counts.sums if not {one[0], *one[1]} <= sizes]
    return [
        Counts([replace(cell, size=False) for cell in counts.cells if cell.size], among),
        Counts(known, rest),
    ]


def _needs_hiding(cell: Cell, rule: DisclosureRule) -> bool:
    return rule.is_small(cell.value) and not cell.size and not (cell.plain_zero and cell.value == 0)


def _connected(counts: Counts, rule: DisclosureRule) -> list[tuple[list[Cell], list[tuple[Key, Sequence[Key]]]]]:
    """Parts of the system that hold a small count, cut apart at counts that are shown whatever happens."""
    from scipy import sparse

    cells = list(counts.cells)
    place = {cell.key: index for index, cell in enumerate(cells)}
    small = np.array([_needs_hiding(cell, rule) for cell in cells], dtype=bool)
    loose = small | np.array([not (cell.fixed and cell.shown) for cell in cells], dtype=bool)
    touched = [[place[key] for key in (total, *parts)] for total, parts in counts.sums]
    pairs = [(index, row) for row, members in enumerate(touched) for index in members if loose[index]]
    n, m = len(cells), len(touched)
    links = sparse.coo_array(
        (np.ones(len(pairs)), ([a for a, _ in pairs], [n + b for _, b in pairs])), shape=(n + m, n + m)
    )
    _, labels = sparse.csgraph.connected_components(links, directed=False)
    found = []
    for label in dict.fromkeys(int(labels[index]) for index in np.flatnonzero(small)):
        sums = [counts.sums[row] for row in range(m) if labels[n + row] == label]
        members = {place[key] for total, parts in sums for key in (total, *parts)}
        members |= {index for index in range(n) if labels[index] == label}
        found.append(([cells[index] for index in sorted(members)], sums))
    return found


def _protect_part(
    rule: DisclosureRule, cells: list[Cell], sums: list[tuple[Key, Sequence[Key]]], status: dict[Key, Status]
) -> _Part:
    """Protect one connected part and enter what is hidden into ``status``."""
    system = _system(rule, cells, sums, told_apart=True)
    protection = protect_cells(system)
    # merged groups come after the counts themselves; they are protected as far as that is possible
    own = np.arange(system.n) < len(cells)
    narrow = system.sensitive & own & (protection.attainable < system.width)
    told_apart = True
    if narrow.any():
        # "<10" and "c" together would give a count away: all hidden counts get the label "c", if that helps
        alike = _system(rule, cells, sums, told_apart=False)
        other = protect_cells(alike)
        if (other.attainable[narrow] >= 1).any():
            system, protection, told_apart = alike, other, False
    for index in np.flatnonzero(protection.hidden & own):
        small = bool(system.sensitive[index]) and told_apart
        status[cells[index].key] = "small" if small else "hidden"
    exposed = np.flatnonzero(system.sensitive & own & (protection.attainable < 1))
    return _Part(
        keys=tuple(cell.key for cell in cells),
        system=system,
        hidden=protection.hidden,
        method=protection.method,
        exposed=tuple(cells[index].key for index in exposed),
    )


def _exposure(key: Key, rule: DisclosureRule) -> Problem:
    return Problem(
        message=f"small count {key!r} follows from counts that are shown elsewhere",
        rule=f"counts below {rule.threshold} are not shown",
        fix="leave out this breakdown, merge its small groups, or do not show the other counts",
        code="D90",
    )


def _small_together(
    rule: DisclosureRule, cells: list[Cell], sums: Iterable[tuple[Key, Sequence[Key]]]
) -> list[tuple[Key, int, list[Key]]]:
    """Small counts of one sum that are small even together: their merged group must not be worked out either."""
    small = {cell.key: cell.value for cell in cells if _needs_hiding(cell, rule)}
    found: list[tuple[Key, int, list[Key]]] = []
    for total, parts in sums:
        few = [key for key in parts if key in small]
        merged = sum(small[key] for key in few)
        if total not in small and 1 < len(few) < len(parts) and rule.is_small(merged):
            found.append((("together", total, tuple(few)), merged, few))
    return found


def _system(
    rule: DisclosureRule, cells: list[Cell], sums: Iterable[tuple[Key, Sequence[Key]]], *, told_apart: bool
) -> CellSystem:
    """Numbers behind one part; with ``told_apart`` a reader knows from the label which counts are small."""
    sums = list(sums)
    together = _small_together(rule, cells, sums)
    cells = [*cells, *(Cell(key=key, value=value, shown=False) for key, value, _ in together)]
    sums += [(key, parts) for key, _, parts in together]
    place = {cell.key: index for index, cell in enumerate(cells)}
    rows = []
    for total, parts in sums:
        row = np.zeros(len(cells))
        row[place[total]] += 1.0
        for key in parts:
            row[place[key]] -= 1.0
        rows.append(row)
    values = np.array([cell.value for cell in cells], dtype=float)
    small = np.array([_needs_hiding(cell, rule) for cell in cells], dtype=bool)
    unseen = np.array([not cell.shown for cell in cells], dtype=bool)
    fixed = np.array([cell.fixed for cell in cells], dtype=bool)
    low, high = np.zeros(len(cells)), np.full(len(cells), np.inf)
    if told_apart:
        least = np.array([0.0 if rule.hides_zero and not cell.plain_zero else 1.0 for cell in cells])
        low = np.where(small, least, float(rule.threshold))
        high = np.where(small, rule.threshold - 1.0, np.inf)
        low, high = np.where(unseen, 0.0, low), np.where(unseen, np.inf, high)
    # an unlabelled zero is never hidden: its label would be wrong
    worth_hiding = (values >= rule.threshold) | (not told_apart)
    return CellSystem(
        values=values,
        equations=np.array(rows).reshape(-1, len(cells)),
        sensitive=small,
        hideable=~small & ~unseen & ~fixed & worth_hiding,
        unseen=unseen,
        low=low,
        high=high,
        cost=np.log2(2 + values) * np.array([cell.weight for cell in cells]),
        width=rule.width - 1.0,
    )


def as_protected(by: DisclosureRule | Protected, counts: Counts) -> Protected:
    """What was decided for the whole report, or the counts of one table protected by a rule on their own."""
    return by if isinstance(by, Protected) else protect(by, counts)
