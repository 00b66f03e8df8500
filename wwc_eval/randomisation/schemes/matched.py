"""Matched pairs and blocks: units that are alike are put together, then each block is randomised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice
from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.balanced import Balanced
from wwc_eval.randomisation.blocks import BoundBlocks
from wwc_eval.randomisation.covariates import read_covariates
from wwc_eval.randomisation.exact_scores import Integers, quantised, standardise
from wwc_eval.randomisation.grouping import group_units, whole_distances
from wwc_eval.randomisation.scheme import Scheme
from wwc_eval.randomisation.units import Strata, Units, names_of

__all__ = ["BoundMatched", "MatchedPairs"]

BITS = 16
"""Covariates are rounded to multiples of 2^-16 standard deviations before distances are taken."""


@dataclass(frozen=True, kw_only=True)
class MatchedPairs(Scheme):
    """Pairs of the most similar units, one of each pair in each arm.

    The pairs have the smallest total Mahalanobis distance of all ways to pair the units (optimal non-bipartite
    matching). With more arms or an unequal ratio, blocks have as many units as the ratio adds up to, and are improved
    by exchanges of two units until none helps.

    Parameters
    ----------
    on : str or sequence of str
        Columns to match on, of numbers or categories; no column may be determined by the others.
    by : str or sequence of str, optional
        Columns in which the units of a block must agree.
    leftover : {"balanced", "refuse"}
        What happens where a stratum's size is no multiple of the block's. ``balanced``: the units that fit worst form
        a smaller block of their own, allocated at random such that arms stay within one unit of the ratio overall.
        ``refuse``: an error.

    Notes
    -----
    Distance: ``sqrt((x_i - x_j)' S^-1 (x_i - x_j))``, S the covariance of all units (divisor n - 1). Pairs of up to
    300 units take seconds; the time grows with the cube of the number. Sources: Greevy and others 2004,
    doi:10.1093/biostatistics/5.2.263; Imai, King and Nall 2009, doi:10.1214/08-STS274.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": list("abcd"), "caseload": [11, 30, 12, 29]})
    >>> allocation = we.randomise(teams, unit="team", method=we.MatchedPairs(on="caseload"), seed="example")
    >>> allocation.bound.groups
    (('a', 'c'), ('b', 'd'))
    """

    kind = "matched_pairs"

    on: str | Sequence[str]
    by: str | Sequence[str] | None = None
    leftover: str = "balanced"

    def __post_init__(self) -> None:
        """Check the names and the rule."""
        object.__setattr__(self, "on", names_of("on", self.on))
        object.__setattr__(self, "by", names_of("by", self.by, empty=True))
        check_choice("leftover", self.leftover, ("balanced", "refuse"))

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the unit list that are read."""
        return tuple(dict.fromkeys((*self.on, *(self.by or ()))))

    def bind(self, units: Units, arms: Arms) -> BoundMatched:
        """The blocks of these units, and the scheme that randomises each.

        Raises
        ------
        DesignError
            If there are fewer units than a block needs, a covariate is determined by the others, or units are left
            over and refused.
        """
        size = arms.total
        if units.n < size:
            raise DesignError(
                f"{units.n} units cannot fill a block of {size} ({arms.words})", fix="add units, or use Complete"
            )
        distances = self._distances(units)
        strata = units.strata(tuple(self.by or ()))
        values: list[tuple[str, ...]] = []
        members: list[list[int]] = []
        name = "pair" if size == 2 else "block"
        for value, inside in zip(strata.values, strata.members, strict=True):
            blocks, left = group_units(distances[np.ix_(inside, inside)], size)
            if left and self.leftover == "refuse":
                where = f" of stratum '{', '.join(value)}'" if value else ""
                raise DesignError(
                    f"{len(inside)} units{where} are no multiple of {size}",
                    fix='set leftover="balanced", or add a unit',
                )
            width = len(str(len(blocks)))
            values += [(*value, f"{name} {number:0{width}d}") for number in range(1, len(blocks) + 1)]
            values += [(*value, "left over")] if left else []
            members += [inside[block].tolist() for block in [*blocks, *([left] if left else [])]]
        codes = np.empty(units.n, dtype=np.intp)
        for number, block in enumerate(members):
            codes[block] = number
        return BoundMatched(
            scheme=self, units=units, arms=arms, distances=distances,
            blocks=Strata(by=(*(self.by or ()), name), values=tuple(values), codes=codes),
            law=Balanced(tuple(len(block) for block in members), arms.ratio),
        )  # fmt: skip

    def _distances(self, units: Units) -> Integers:
        covariates = read_covariates(units, tuple(self.on))
        columns = [
            quantised(centred, variance, each.weight, BITS)
            for each, (centred, variance) in zip(covariates, standardise(covariates, orthogonal=True), strict=True)
        ]
        return whole_distances(np.array(columns, dtype=np.int64).T)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundMatched(BoundBlocks):
    """Blocks of similar units.

    Parameters
    ----------
    distances : (n, n) array of int
        Mahalanobis distances in units of 2^-16, rounded down.
    """

    distances: Integers

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Names of the units of each block."""
        return tuple(tuple(self.units.keys[i] for i in block) for block in self.blocks.members)

    @property
    def total_distance(self) -> float:
        """Sum of the Mahalanobis distances within blocks; units left over do not count."""
        whole = [block for block in self.blocks.members if len(block) == self.arms.total]
        total = sum(int(self.distances[np.ix_(block, block)].sum()) for block in whole)
        return total / float(2 ** (BITS + 1))

    @property
    def derived(self) -> dict[str, Any]:
        """The blocks, which follow from units and scheme alone: positions in canonical order."""
        return {"blocks": [block.tolist() for block in self.blocks.members]}
