"""Decimals and ends of intervals in the room's tables: rates a person are as readable as rates per 10,000."""

from __future__ import annotations

import math
from collections.abc import Iterable

from wwc_eval.estimate import Estimate
from wwc_eval.table import MISSING, format_number

__all__ = ["decimals", "decimals_of", "ends"]

MOST = 9


def decimals(spreads: Iterable[float], digits: int = 2) -> int:
    """Decimals that show so many digits of the smallest spread; three where no spread is known.

    Examples
    --------
    >>> decimals([1.37, 5.2]), decimals([0.00014, math.nan]), decimals([366.0])
    (1, 5, 0)
    """
    known = [value for value in spreads if math.isfinite(value) and value > 0]
    return min(max(digits - 1 - math.floor(math.log10(min(known))), 0), MOST) if known else 3


def decimals_of(items: Iterable[Estimate], digits: int = 2) -> int:
    """The same for the errors and the lengths of intervals of estimates; for their size where they have neither."""
    listed = list(items)
    spreads = [spread for item in listed for spread in (item.se, item.ci_high - item.ci_low)]
    if not any(math.isfinite(spread) and spread > 0 for spread in spreads):
        return decimals([max((abs(item.estimate) for item in listed), default=math.nan)], 3)
    return decimals(spreads, digits)


def ends(item: Estimate, digits: int) -> str:
    """Interval of an estimate; ends at infinity stay there."""
    if math.isnan(item.ci_low) and math.isnan(item.ci_high):
        return MISSING
    return " to ".join(
        "−∞" if end == -math.inf else "∞" if end == math.inf else format_number(end, digits)
        for end in (item.ci_low, item.ci_high)
    )
