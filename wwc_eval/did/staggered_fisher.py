"""Fisher's randomisation test of a staggered roll-out: dates of treatment change hands, the estimate over its error is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.did.few_reference import Reference, lottery, permutations
from wwc_eval.did.few_scores import MOST_COHORTS, blocks_of
from wwc_eval.did.few_statistic import Statistic
from wwc_eval.did.staggered_errors import FIXED, ROUNDING, beta_star
from wwc_eval.did.staggered_rollout import Rollout
from wwc_eval.errors import DesignError
from wwc_eval.inference.families import Floats
from wwc_eval.inference.inversion import p_value

if TYPE_CHECKING:
    from wwc_eval.data.samples.draws import Seed

__all__ = ["Fisher", "fisher", "need_few_cohorts", "studentised"]

HELD = 4_000_000
"""Numbers of a membership matrix held at once."""


@dataclass(frozen=True, kw_only=True)
class Fisher:
    """A randomisation test of several estimates.

    Parameters
    ----------
    p_values, monte_carlo : ndarray, shape (m,)
        Two-sided p of each, and its Monte Carlo error (0 where all are listed).
    reference : Reference
        What the actual roll-out was compared with.
    outside : int
        Units that took no part in the lottery.
    """

    p_values: Floats
    monte_carlo: Floats
    reference: Reference
    outside: int

    def details(self, index: int) -> dict[str, Any]:
        """What one estimate says of its test."""
        return {
            "randomisation_p": float(self.p_values[index]),
            "randomisation_exact": self.reference.exact,
            "randomisation_draws": len(self.reference.codes),
            "smallest_p_value": self.reference.smallest,
            "monte_carlo_se": float(self.monte_carlo[index]),
        }


def need_few_cohorts(rollout: Rollout) -> None:
    """Refuse to test a roll-out of too many cohorts.

    Parameters
    ----------
    rollout : Rollout
        The units.

    Raises
    ------
    DesignError
        If there are more than codes of one byte tell apart.
    """
    if len(rollout.starts) > MOST_COHORTS:
        raise DesignError(
            f"{len(rollout.starts):,} cohorts are more than the randomisation test takes, {MOST_COHORTS}",
            fix="leave out draws=, rng= and allocation=, or bring periods together",
        )


def fisher(
    rollout: Rollout,
    theta: Floats,
    zero: Floats,
    adjustment: str,
    *,
    draws: int,
    rng: Seed | None,
    allocation: Any,
) -> Fisher:
    """Test that treatment changes no unit's outcome, for every target.

    Formula: with dates of treatment permuted over the units (or as the lottery permitted), beta*, theta-hat and Neyman's error
    are worked out anew; ``p = share with |theta-hat / error| >= the actual one``. Exact where no unit is affected, and right in
    large samples where the mean effect is zero, which the estimate alone would not be.

    Parameters
    ----------
    rollout : Rollout
        The units.
    theta, zero : ndarray, shape (m, G, T)
        A_theta and A_0.
    adjustment, draws, rng, allocation
        As in :func:`~wwc_eval.did.staggered`.

    Raises
    ------
    DesignError
        If the lottery lets cohorts change size, or ``rng`` is missing where something is drawn.
    """
    sample = rollout.sample
    blocks, codes, dates = blocks_of(sample)
    statistic = Statistic(sample=sample, estimator="staggered", blocks=blocks, codes=codes, dates=dates)
    outside = 0
    if allocation is None:
        reference = permutations(statistic, draws, rng)
    else:
        gone = set(rollout.left_out)
        lost = [key for key in allocation.units.keys if str(key) in gone]
        kept = allocation.without(lost) if lost else allocation
        outside = len(rollout.member) - len(kept.units.keys)
        reference = lottery(statistic, kept, draws, rng)
    if not reference.fixed_counts:
        raise DesignError(
            "cohorts change size in the allocations that the lottery permitted",
            rule="the estimands weigh cohorts by their size, so sizes are those of the roll-out",
            fix="use we.did.few_treated(panel, allocation=...), or leave allocation= out to permute the dates",
        )
    compared = studentised(rollout, theta, zero, adjustment, reference.codes[:, blocks])
    actual = studentised(rollout, theta, zero, adjustment, codes[None, blocks])[0]
    tests = [p_value(compared[:, k], float(actual[k]), reference, 0) for k in range(len(theta))]
    return Fisher(
        p_values=np.array([one[0] for one in tests]),
        monte_carlo=np.array([one[1] for one in tests]),
        reference=reference,
        outside=outside,
    )


def studentised(rollout: Rollout, theta: Floats, zero: Floats, adjustment: str, codes: NDArray[np.int8]) -> Floats:
    """theta-hat over Neyman's error of every target under every assignment, shape (assignments, m).

    Parameters
    ----------
    rollout, theta, zero, adjustment
        As in :func:`fisher`.
    codes : ndarray of int8, shape (assignments, n)
        0 for the units compared with, then the cohorts.
    """
    m = len(theta)
    step = max(1, HELD // codes.shape[1])
    scores = []
    for g in range(len(rollout.starts)):
        a, x = rollout.centred @ theta[:, g].T, rollout.centred @ zero[:, g].T
        # sums of squares lose no digits where the scores are centred
        scores.append((a.mean(axis=0), x.mean(axis=0), a - a.mean(axis=0), x - x.mean(axis=0)))
    scale = float(np.abs(rollout.sample.outcomes).max())
    found = np.empty((len(codes), m))
    for start in range(0, len(codes), step):
        part = codes[start : start + step]
        total = np.zeros((5, len(part), m))
        for g, size in enumerate(rollout.sizes.tolist()):
            mean_a, mean_x, a, x = scores[g]
            inside = (part == (g + 1) % len(rollout.starts)).astype(np.float64)
            sums = (inside @ np.hstack([a, x, a * a, a * x, x * x])).reshape(len(part), 5, m)
            one, two = sums[:, 0] / size, sums[:, 1] / size
            total[0] += one + mean_a
            total[1] += two + mean_x
            factor = size * (size - 1.0)
            for k, (first, second) in enumerate(((one, one), (one, two), (two, two))):
                total[2 + k] += (sums[:, 2 + k] - size * first * second) / factor
        value, before, own, cross, variance = total
        beta = np.full_like(value, FIXED[adjustment]) if adjustment in FIXED else beta_star(cross, variance, scale)
        square = own - 2.0 * beta * cross + beta**2 * variance
        top = value - beta * before
        free = square > (ROUNDING * scale) ** 2
        # an estimate without error is as extreme as can be, where it is more than rounding
        exact = np.where(np.abs(top) > ROUNDING * scale, np.copysign(np.inf, top), 0.0)
        found[start : start + step] = np.where(free, top / np.sqrt(np.where(free, square, 1.0)), exact)
    return found
