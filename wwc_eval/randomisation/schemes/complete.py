"""Complete randomisation: the numbers in the arms are fixed."""

from __future__ import annotations

from dataclasses import dataclass

from wwc_eval.randomisation.arms import Arms
from wwc_eval.randomisation.blocks import BoundBlocks
from wwc_eval.randomisation.checks import check_ratio
from wwc_eval.randomisation.laws import Independent
from wwc_eval.randomisation.scheme import Scheme
from wwc_eval.randomisation.units import Units

__all__ = ["Complete"]


@dataclass(frozen=True, kw_only=True)
class Complete(Scheme):
    """Every allocation that meets the ratio is equally likely.

    Where the ratio does not divide the number of units, each arm gets the whole part of its share for certain and the
    units left over go to different arms at random, such that every unit's probability of an arm is exactly the arm's
    share: 7 units in two arms are 3 + 4 or 4 + 3, each with probability 1/2.

    Examples
    --------
    >>> import pandas as pd, wwc_eval as we
    >>> teams = pd.DataFrame({"team": ["a", "b", "c", "d", "e", "f"]})
    >>> allocation = we.randomise(teams, unit="team", method=we.Complete(), seed="example")
    >>> allocation.n_permitted, allocation.smallest_p_value
    (20, 0.1)
    """

    kind = "complete"

    def bind(self, units: Units, arms: Arms) -> BoundBlocks:
        """The scheme for these units and arms.

        Raises
        ------
        DesignError
            If so few units cannot meet the ratio.
        """
        check_ratio(units.n, arms)
        return BoundBlocks(
            scheme=self, units=units, arms=arms, blocks=units.strata(()), law=Independent((units.n,), arms.ratio)
        )
