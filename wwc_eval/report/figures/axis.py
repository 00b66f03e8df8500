"""The number axis of a figure: few plain ticks, true minus signs, ratios on a logarithmic scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

__all__ = ["number_axis", "ratio_ticks"]

STEPS = (
    (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
    (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0,),
)
MOST = 8


def number_axis(ax: Axes, *, ratio: bool, most: int) -> None:
    """Ticks and their words on the horizontal axis, whose limits and scale are set.

    Parameters
    ----------
    ax : matplotlib Axes
        Where.
    ratio : bool
        Whether the axis is logarithmic.
    most : int
        Intervals between ticks at most.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    ax.xaxis.set_minor_locator(NullLocator())
    steps = MaxNLocator(nbins=most, steps=[1, 2, 5, 10])
    ax.xaxis.set_major_locator(FixedLocator(ratio_ticks(*ax.get_xlim())) if ratio else steps)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_words(value)))


def tick_words(value: float) -> str:
    """A tick's value; powers of ten where it would be too long.

    Examples
    --------
    >>> tick_words(-12.5), tick_words(20000.0), tick_words(1e8)
    ('−12.5', '20,000', '10⁸')
    """
    if value == 0 or 1e-4 < abs(value) < 1e7:
        return f"{value:,.7g}".replace("-", "−")
    digits, power = f"{value:.1e}".split("e")
    digits = digits.removesuffix(".0")
    head = "" if digits == "1" else f"{digits}×".replace("-", "−")
    return f"{head}10{str(int(power)).translate(_RAISED)}"


def ratio_ticks(low: float, high: float) -> list[float]:
    """Plain ratios inside the range, as many as can be read.

    Examples
    --------
    >>> ratio_ticks(0.55, 1.45)
    [0.6, 0.8, 1.0, 1.2]
    """
    tens = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    inside: list[float] = []
    for steps in STEPS:
        every = sorted({round(10.0**ten * step, 12) for ten in tens for step in steps})
        inside = [tick for tick in every if low <= tick <= high]
        if len(inside) <= MOST:
            return inside
    return inside[:: math.ceil(len(inside) / MOST)]
