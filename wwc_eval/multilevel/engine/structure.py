"""Random effects as arrays: grouping factors, the columns that vary over them, and how they nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError

__all__ = ["Array", "Grouping", "Index", "arrange", "check_groupings", "nests"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grouping:
    """One grouping factor and everything that varies over it.

    Parameters
    ----------
    name : str
        Name as in the formula, such as ``la:school``.
    codes : (n,) integers
        Group of each row, 0 to ``n_groups - 1``, every number used.
    labels : tuple of str
        Label of each group.
    Z : (n, q) array
        Columns whose coefficients vary over the groups.
    columns : tuple of str
        Names of the columns, ``(Intercept)`` for the random intercept.
    blocks : tuple of tuple of int
        Columns that are correlated with each other: ``((0, 1),)`` for ``(1 + x | g)``, ``((0,), (1,))`` for
        ``(1 + x || g)``.
    """

    name: str
    codes: Index
    labels: tuple[str, ...]
    Z: Array
    columns: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.labels)

    @property
    def width(self) -> int:
        """Number of varying columns."""
        return len(self.columns)

    @cached_property
    def entries(self) -> tuple[tuple[int, int], ...]:
        """Free entries (row >= column) of the covariance matrix, block by block, columns first."""
        return tuple(
            (block[i], block[j]) for block in self.blocks for j in range(len(block)) for i in range(j, len(block))
        )

    @cached_property
    def unit_matrices(self) -> Array:
        """One symmetric 0/1 matrix for each free entry: the covariance is their weighted sum."""
        found = np.zeros((len(self.entries), self.width, self.width))
        for k, (i, j) in enumerate(self.entries):
            found[k, i, j] = found[k, j, i] = 1.0
        return found

    def take(self, rows: Index) -> Grouping:
        """The same factor on a selection of rows; codes are renumbered over the groups that remain."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        labels = tuple(self.labels[k] for k in used)
        return replace(self, codes=codes.astype(np.intp), labels=labels, Z=self.Z[rows])


def nests(fine: Index, coarse: Index, n_fine: int) -> bool:
    """Whether every group of ``fine`` lies within one group of ``coarse``."""
    parent = np.empty(n_fine, dtype=np.intp)
    parent[fine] = coarse
    return bool(np.array_equal(parent[fine], coarse))


def arrange(groupings: Sequence[Grouping]) -> tuple[tuple[Grouping, ...], bool]:
    """Groupings in order of elimination, and whether they nest in a chain.

    Parameters
    ----------
    groupings : sequence of Grouping
        One for each distinct grouping factor.

    Returns
    -------
    tuple of Grouping, bool
        Finest first; with crossed factors the one with most random effects first.

    Raises
    ------
    DesignError
        If two factors divide the rows in the same way.
    """
    ordered = sorted(groupings, key=lambda grouping: -grouping.n_groups)
    chain = True
    for fine, coarse in pairwise(ordered):
        inside = nests(fine.codes, coarse.codes, fine.n_groups)
        if inside and fine.n_groups == coarse.n_groups:
            raise DesignError(
                f"grouping factors '{fine.name}' and '{coarse.name}' divide the rows in the same way",
                rule="each factor needs a division of its own, else their variances cannot be told apart",
                fix="keep one of them",
            )
        chain = chain and inside
    if not chain:
        ordered = sorted(groupings, key=lambda grouping: -grouping.n_groups * grouping.width)
    return tuple(ordered), chain


def check_groupings(groupings: Sequence[Grouping], n: int) -> None:
    """Refuse grouping factors that no variance can be estimated from.

    Raises
    ------
    DesignError
        A factor with a single group; a factor with as many random effects as rows (one row in each group);
        varying columns that depend on each other.
    """
    for grouping in groupings:
        if grouping.n_groups < 2:
            raise DesignError(
                f"grouping factor '{grouping.name}' has a single group, '{grouping.labels[0]}'",
                rule="a variance between groups needs at least two groups",
                fix="leave the factor out of the formula",
            )
        if grouping.n_groups * min(len(block) for block in grouping.blocks) >= n:
            raise DesignError(
                f"grouping factor '{grouping.name}' has {grouping.n_groups} groups for {n} rows",
                rule="a factor needs fewer random effects than there are rows, else they cannot be told from "
                "the residuals",
                fix="leave the factor out, or group by something that holds several rows",
            )
        for block in grouping.blocks:
            columns = grouping.Z[:, list(block)]
            norms = np.sqrt(np.mean(columns**2, axis=0))
            thin = norms.min() == 0.0
            if not thin and len(block) > 1:
                root = np.abs(np.diag(np.linalg.qr(columns / norms, mode="r")))
                thin = root.min() < 1e-9 * root.max()
            if thin:
                names = ", ".join(grouping.columns[k] for k in block)
                raise DesignError(
                    f"varying columns of '{grouping.name}' depend on each other: {names}",
                    rule="each random slope needs a column that is no combination of the others",
                    fix="leave one of them out",
                )
