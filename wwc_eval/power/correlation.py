"""Power of the test that two measures are correlated: fidelity of teams and their outcomes, say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.power.checks import Frozen
from wwc_eval.power.kernels import critical, t_power
from wwc_eval.power.solving import check_test

__all__ = ["Correlation"]

CONVENTIONS = ("exact", "fisher_z")
MOST = 10_000_000
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(120)


@dataclass(frozen=True, kw_only=True, eq=False)
class Correlation(Frozen):
    """Two measures of the same units, and the test of their correlation.

    Parameters
    ----------
    n : int
        Units with both measures, at least 4. Units that share a cluster are not independent: count clusters.

    Notes
    -----
    ``exact``: both measures are normal; given the first, the t statistic is noncentral t with n - 2 degrees of freedom and
    noncentrality ``r / sqrt(1 - r^2) sqrt(S)``, S chi-squared with n - 1 degrees of freedom, over which power is averaged.
    ``fisher_z``: atanh(r) + r / (2 (n - 1)) against the critical correlation, normal, as R's pwr.r.test has it.
    Sources: Fisher 1921; Cohen 1988.

    Examples
    --------
    >>> round(Correlation(n=84).power(0.3), 3), Correlation.required(0.3)
    (0.8, 84)
    """

    n: float

    def __post_init__(self) -> None:
        """Check the number."""
        self._set("n", check_number("n", self.n, at_least=4))

    def power(self, r: float, *, alpha: float = 0.05, sides: int = 2, convention: str = "exact") -> float:
        """Power at a true correlation ``r``; a one-sided test looks in its direction.

        Raises
        ------
        DesignError
            If r is not between -1 and 1.
        """
        level, sides = check_test(alpha, sides)
        check_choice("convention", convention, CONVENTIONS)
        size = abs(check_number("r", r, above=-1, below=1))
        df = self.n - 2.0
        if convention == "exact":
            return _averaged(size, df, float(np.max(level)), sides)
        bar = float(critical(df, level, sides))
        cut = math.atanh(math.sqrt(bar**2 / (bar**2 + df)))
        shift, root = math.atanh(size) + size / (2.0 * (self.n - 1.0)), math.sqrt(self.n - 3.0)
        both = float(special.ndtr((-shift - cut) * root)) if sides == 2 else 0.0
        return float(special.ndtr((shift - cut) * root)) + both

    def mdes(self, power: float = 0.8, *, alpha: float = 0.05, sides: int = 2, convention: str = "exact") -> float:
        """Smallest correlation that is found with a power."""
        from scipy import optimize

        goal = check_number("power", power, above=float(np.max(alpha)), below=1)

        def gap(r: float) -> float:
            return self.power(r, alpha=alpha, sides=sides, convention=convention) - goal

        return float(optimize.brentq(gap, 0.0, 1.0 - 1e-12, xtol=1e-15))

    @classmethod
    def required(
        cls, r: float, power: float = 0.8, *, alpha: float = 0.05, sides: int = 2, convention: str = "exact"
    ) -> int:
        """Smallest number of units that finds a correlation with a power.

        Raises
        ------
        DesignError
            If r is 0, or ten million units are too few.
        """
        goal = check_number("power", power, above=float(np.max(alpha)), below=1)
        if r == 0:
            raise DesignError("r == 0 is no correlation: no number of units finds it")

        def enough(n: int) -> bool:
            return cls(n=n).power(r, alpha=alpha, sides=sides, convention=convention) >= goal

        low, high = 3, 4
        while not enough(high):
            low, high = high, 2 * high
            if high > MOST:
                raise DesignError(f"{MOST:,} units are too few to find r == {r:g}", fix="plan for a larger one")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high


def _averaged(size: float, df: float, alpha: float, sides: int) -> float:
    """Power averaged over the first measure's sum of squares."""
    # chi-squared quantiles at the normal nodes: the average over them is one over the normal distribution
    squares = 2.0 * special.gammaincinv((df + 1.0) / 2.0, special.ndtr(_NODES))
    far = _NODES > 5.0
    squares[far] = 2.0 * special.gammainccinv((df + 1.0) / 2.0, special.ndtr(-_NODES[far]))
    ncp = size / math.sqrt(1.0 - size**2) * np.sqrt(squares)
    power = t_power(ncp, np.full(ncp.shape, df), alpha=alpha, sides=sides)
    return float(power @ (_WEIGHTS / _WEIGHTS.sum()))
