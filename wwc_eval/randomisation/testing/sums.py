"""Sums over the rows of each unit, and of what its rows add up to under many allocations at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wwc_eval.randomisation.scheme import Codes, Floats
from wwc_eval.randomisation.testing.rows import Exposure

__all__ = ["UnitSums", "gathered"]

CHUNK = 2**23
"""Numbers of an indicator matrix that are held at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitSums:
    """Rows of one unit and kind move together, so their sums are all that an allocation needs.

    Parameters
    ----------
    exposure : Exposure
        Arms of the rows under any allocation.
    units : int
        Units of the allocation.
    """

    exposure: Exposure
    units: int

    def cells(self, parts: Floats) -> Floats:
        """Sums of ``parts`` (n, f) over the rows of each unit and kind: (units, kinds, f)."""
        kinds = len(self.exposure.state)
        cell = self.exposure.place * kinds + self.exposure.kind
        order = np.argsort(cell, kind="stable")
        found = np.zeros((self.units * kinds, parts.shape[1]))
        starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
        found[cell[order][starts]] = np.add.reduceat(parts[order], starts, axis=0)
        return found.reshape(self.units, kinds, -1)

    def by_code(self, cells: Floats, arm: int) -> Floats:
        """Sums over the rows in one arm, for each unit and code: (units, S, f)."""
        inside = (self.exposure.state == arm).astype(float)
        return np.asarray(np.einsum("uhf,hs->usf", cells, inside))


def gathered(table: Floats, codes: Codes) -> Floats:
    """Sum over units of the entry (units, S, f) of each unit's code: (m, f)."""
    found = np.zeros((len(codes), table.shape[2]))
    step = max(1, CHUNK // len(table))
    used = [s for s in range(table.shape[1]) if table[:, s].any()]
    for start in range(0, len(codes), step):
        part = codes[start : start + step]
        for s in used:
            found[start : start + step] += (part == s).astype(float) @ table[:, s]
    return found
