"""The estimate that a randomisation test returns, and what a reader must know of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.estimate import Estimate
from wwc_eval.randomisation.scheme import Floats
from wwc_eval.randomisation.testing.reference import ReferenceSet, count_of

if TYPE_CHECKING:
    from wwc_eval.randomisation.allocation import Allocation

__all__ = ["lost_of", "result_of", "spread_of"]

CITATION = "Fisher 1935; Rosenbaum 2002, doi:10.1007/978-1-4757-3692-2"


def result_of(
    allocation: Allocation,
    *,
    term: str,
    observed: float,
    p: float,
    interval: tuple[float, float],
    level: float,
    side: int,
    reference: ReferenceSet,
    words: str,
    scale: str,
    units: str,
    n: int,
    details: dict[str, Any],
    warnings: tuple[str, ...],
) -> Estimate:
    """Estimate of a randomisation test."""
    count = len(reference.codes)
    how = f"all {count:,} permitted allocations" if reference.exact else f"{count:,} draws of the scheme"
    tail = {0: "two-sided", 1: "one-sided (greater)", -1: "one-sided (less)"}[side]
    cautions = list(warnings)
    # those that agree with units that withdrew may be too many to count: then there are enough
    smallest = math.nan if count_of(allocation) is None else allocation.smallest_p_value
    if smallest > allocation.alpha:
        cautions.append(
            f"No result of this design can reach p < {allocation.alpha:g}: its smallest two-sided p-value is "
            f"{smallest:.3f}"
        )
    return Estimate(
        term=term,
        estimate=observed,
        se=math.nan,
        df=math.nan,
        statistic=observed,
        p_value=p,
        ci_low=interval[0],
        ci_high=interval[1],
        level=level,
        scale=scale,
        units=units,
        method=f"Randomisation test, {tail}, {how} ({allocation.scheme.kind}); {words}",
        n=n,
        n_clusters=allocation.n,
        warnings=tuple(cautions),
        citation=CITATION,
        details={
            "exact": reference.exact,
            "n_allocations": count,
            "smallest_p_value": smallest,
            **details,
        },
    )


def spread_of(values: Floats, reference: ReferenceSet) -> float:
    """Standard deviation of the statistic over the reference set."""
    fine = np.isfinite(values)
    if not fine.any():
        return math.nan
    weights = reference.weights[fine] / reference.weights[fine].sum()
    centre = float(weights @ values[fine])
    return math.sqrt(max(float(weights @ (values[fine] - centre) ** 2), 0.0))


def lost_of(missing: int, count: int) -> tuple[str, ...]:
    """A warning where the effect could not be estimated under some allocations."""
    if not missing:
        return ()
    return (
        f"In {missing:,} of {count:,} allocations the effect could not be estimated; they count as at least as extreme",
    )
