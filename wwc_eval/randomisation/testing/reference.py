"""The allocations that the observed one is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.inference.inversion import p_value
from wwc_eval.randomisation.rendering import count_in_words
from wwc_eval.randomisation.scheme import COUNTABLE, Codes, Floats

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["ReferenceSet", "count_of", "p_value", "reference_set"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceSet:
    """Allocations with their weights.

    Parameters
    ----------
    codes : (m, n) array of int8
        Allocations in the order of the allocation's table.
    weights : (m,) array
        Probability of each where all are listed; 1 / (m + 1) for draws, among which the observed one counts once more.
    exact : bool
        Whether all permitted allocations are listed.
    """

    codes: Codes
    weights: Floats
    exact: bool

    @property
    def own(self) -> float:
        """Weight of the observed allocation beside those listed: 0 where it is one of them."""
        return 0.0 if self.exact else 1.0 / (len(self.codes) + 1)


def reference_set(
    allocation: Allocation, *, draws: int, rng: Seed | None, listed: int = COUNTABLE
) -> ReferenceSet:
    """All permitted allocations where there are at most ``listed``, else draws of the same scheme.

    Raises
    ------
    DesignError
        If draws are needed and ``rng`` is missing, or ``draws`` is no whole number above 18.
    """
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 19:
        raise DesignError(
            f"draws == {draws!r}, must be a whole number of at least 19",
            rule="with 19 draws the smallest p-value is 1 in 20",
            fix="use 9,999",
        )
    known = count_of(allocation)
    if known is not None and known <= listed:
        reference = allocation.bound.enumerate(listed)
        return ReferenceSet(codes=reference.allocations, weights=reference.weights, exact=True)
    if rng is None:
        raise DesignError(
            f"the scheme permits {'too many to count' if known is None else count_in_words(known)} allocations, so the test "
            "draws from them and needs rng",
            fix="give a seed, such as rng=1",
        )
    codes = allocation.reference_set(int(draws), rng)
    return ReferenceSet(codes=codes, weights=np.full(len(codes), 1.0 / (len(codes) + 1)), exact=False)


def count_of(allocation: Allocation) -> int | None:
    """Number of permitted allocations; None where those that agree with units that withdrew are too many to count."""
    try:
        return allocation.n_permitted
    except DesignError:
        return None
