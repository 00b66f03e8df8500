"""Honest intervals: what an event study says when trends need not be parallel.

The effect after treatment is bounded by what deviations before treatment show: by multiples of the largest change before it
(relative magnitudes), or by how much the trend may bend (smoothness). The breakdown value is the least such departure at
which the finding is no longer excluded by the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.did import honest_magnitudes as magnitudes
from wwc_eval.did import honest_smoothness as smoothness
from wwc_eval.did.decimals import decimals
from wwc_eval.did.honest_setting import Setting, few_words, path_of, setting
from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.inference.families import Floats
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RESTRICTIONS", "HonestIntervals", "honest"]

RESTRICTIONS = ("relative_magnitudes", "smoothness")
CITATION = "Rambachan and Roth 2023, doi:10.1093/restud/rdad018"
DEFAULT_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0)
DEFAULT_STEPS = 6
SECTIONS, FINER_SECTIONS = 25, 9
WIDENINGS = 12
REFINEMENTS = 9


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class HonestIntervals(Rendered):
    """Intervals of an effect under departures from parallel trends of growing size.

    Parameters
    ----------
    overall : Estimate
        The effect if trends were parallel, with its conventional interval.
    estimates : Table
        One row a value of M: interval, identified set at the estimates, and whether the interval excludes the null.
    breakdown : float
        Least M whose interval holds the null: zero where even M = 0 does, infinity where none does.
    restriction : str
        ``relative_magnitudes`` or ``smoothness``.
    null, level : float
        Value that intervals are to exclude, and their coverage.
    largest_before : float
        Largest absolute change (relative magnitudes) or change of slope (smoothness) before treatment, as estimated.
    units : str
        Units of the outcome.
    notes : tuple of str
        What was taken as target, reference and window.
    """

    overall: Estimate
    estimates: Table
    breakdown: float
    restriction: str
    null: float
    level: float
    largest_before: float
    units: str
    notes: tuple[str, ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a value of M."""
        return self.estimates.to_dicts()

    def _grid(self) -> Grid:
        return self.estimates._grid()

    def _title(self) -> str:
        return self.estimates.title

    def _notes(self) -> tuple[str, ...]:
        return (_breakdown_words(self), *self.notes, CITATION)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The conventional interval, then the interval for each M, with the null and the breakdown value."""
        from wwc_eval.did.honest_plot import plot_honest

        return plot_honest(self, ax)


def honest(
    result: Any,
    restriction: str = "relative_magnitudes",
    values: Sequence[float] | None = None,
    *,
    weights: str | Mapping[int, float] | Sequence[float] = "first",
    level: float = 0.95,
    null: float = 0.0,
    window: tuple[int, int] | None = None,
) -> HonestIntervals:
    """Intervals of an effect that hold when trends are not parallel, by how far they may depart.

    Parameters
    ----------
    result : EventPath or a result with ``.path``
        An event study whose effects are all relative to one reference event.
    restriction : {"relative_magnitudes", "smoothness"}
        Deviations from parallel trends change, from one period to the next, by at most M times the largest change before
        treatment; or their slope changes by at most M (outcome units a period, each period).
    values : sequence of float, optional
        Values of M, zero or above. 0 to 2 by halves; for smoothness six steps up to the largest upper 95% limit of a change
        of slope before treatment.
    weights : {"first", "average"}, mapping or sequence
        The effect: in the first treated period, its average over treated periods, or weights by event.
    level : float
        Coverage, above 0.5.
    null : float
        Value that intervals are to exclude.
    window : (first, last), optional
        Events used, such as ``(-5, 4)``; all where missing. The reference may be any event before anticipation begins.

    Returns
    -------
    HonestIntervals

    Raises
    ------
    DesignError
        No common reference event, no other event before treatment, gaps between events, or impossible options.

    Notes
    -----
    Relative magnitudes: conditional least-favourable hybrid of Andrews, Roth and Pakes (first stage a tenth of the level) on
    the moments after treatment, one test for each change before treatment and sign, joined as Rambachan and Roth do. The
    dual of the moment system has two vertices that hold the target and one a moment pair, so critical values are
    one-dimensional integrals: no linear programme, no draws. At M = 0 the interval is the conventional one if the reference is the
    last event before treatment. Smoothness: the shortest fixed-length interval ``v'b -+ cv(M B(v) / sd(v)) sd(v)``; its length grows with M
    while its centre moves, so its ends need not. Errors are taken as normal with the covariance as known: with few treated
    units it is not, and neither are these intervals: with fewer than five treated clusters the notes say so, with the permutation. Sources: Rambachan and Roth 2023, doi:10.1093/restud/rdad018; Andrews, Roth and
    Pakes 2023, doi:10.1093/restud/rdad004; Armstrong and Kolesar 2018, doi:10.3982/ECTA14434.

    Examples
    --------
    >>> import numpy as np, wwc_eval as we
    >>> path = we.did.EventPath(
    ...     events=[-4, -3, -2, 0, 1], estimates=[0.1, -0.2, 0.1, -2.0, -2.4], vcov=np.eye(5) * 0.04 + 0.04
    ... )
    >>> found = we.did.honest(path, values=[0, 1, 2])
    >>> found.estimates.column("excludes_null"), bool(2 < found.breakdown < 4)
    ([True, True, True], True)
    """
    check_choice("restriction", restriction, RESTRICTIONS)
    level = check_number("level", level, above=0.5, below=1)
    null = check_number("null", null)
    at = setting(result, weights, window)
    path = path_of(result)
    smooth = restriction == "smoothness"
    wanted = _values(at, values, smooth=smooth)
    alpha = 1.0 - level
    edge = smoothness.frontier(at) if smooth else None
    if edge is not None:
        bounds = smoothness.intervals(at, wanted, alpha, edge)
        sets = smoothness.identified(at, wanted)
        largest = smoothness.largest_bend(at, 0.05)
        start = 2.0 * largest[1]
    else:
        bounds, sets = magnitudes.intervals(at, wanted, alpha), magnitudes.identified(at, wanted)
        largest = (float(np.abs((at.changes @ at.beta)[: at.anchor]).max()), 0.0)
        start = 4.0

    def keeps(tried: Floats) -> np.ndarray:
        if edge is None:
            return magnitudes.keeps(at, tried, null, alpha)
        ends = smoothness.intervals(at, tried, alpha, edge)
        return np.asarray((ends[:, 0] <= null) & (null <= ends[:, 1]))

    return HonestIntervals(
        overall=_conventional(at, path.units, level, null),
        estimates=_table(wanted, bounds, sets, null=null, level=level, restriction=restriction),
        breakdown=least_kept(keeps, start),
        restriction=restriction,
        null=null,
        level=level,
        largest_before=largest[0],
        units=path.units,
        notes=(*_notes(at, path.df, largest[0], smooth=smooth), *few_words(result)),
    )


def least_kept(keeps: Callable[[Floats], np.ndarray], start: float) -> float:
    """Least M at which the null is kept, by sections of ever finer width; infinity where it is at none."""
    if keeps(np.zeros(1))[0]:
        return 0.0
    low, high = 0.0, start
    for _ in range(WIDENINGS):
        tried = np.linspace(low, high, SECTIONS)[1:]
        kept = keeps(tried)
        if kept.any():
            break
        low, high = high, 4.0 * high
    else:
        return math.inf
    for _ in range(REFINEMENTS):
        place = int(kept.argmax())
        low, high = (float(tried[place - 1]) if place else low), float(tried[place])
        tried = np.linspace(low, high, FINER_SECTIONS)[1:]
        kept = keeps(tried)
        kept[-1] = True
    return float(tried[int(kept.argmax())])


def _values(at: Setting, values: Sequence[float] | None, *, smooth: bool) -> Floats:
    if values is None:
        if not smooth:
            return np.array(DEFAULT_MAGNITUDES)
        return np.linspace(0.0, smoothness.largest_bend(at, 0.05)[1], DEFAULT_STEPS)
    given = np.atleast_1d(np.asarray(values, dtype=float))
    if given.ndim != 1 or not given.size or not np.isfinite(given).all() or (given < 0).any():
        raise DesignError("values must be finite numbers, zero or above", fix="values=[0, 0.5, 1, 1.5, 2]")
    return given


def _conventional(at: Setting, units: str, level: float, null: float) -> Estimate:
    return Estimate.from_normal(
        term=_target_words(at),
        estimate=at.estimate,
        se=at.se,
        level=level,
        null=null,
        scale="mean_difference",
        units=units,
        method="Effect if trends are parallel, normal interval",
    )


def _target_words(at: Setting) -> str:
    events = np.delete(at.grid, int(at.reference - at.grid[0]))
    used = np.flatnonzero(at.weights)
    if len(used) == 1 and at.weights[used[0]] == 1.0:
        return f"effect at event {events[used[0]]}"
    post = events[events >= 0]
    if np.allclose(at.weights[events >= 0], 1.0 / post.size, rtol=0, atol=1e-15):
        return f"average effect over events {post[0]} to {post[-1]}"
    return "weighted effect over events " + ", ".join(str(event) for event in events[used])


def _table(values: Floats, bounds: Floats, sets: Floats, *, null: float, level: float, restriction: str) -> Table:
    rows = [
        {
            "M": float(value),
            "ci_low": float(low),
            "ci_high": float(high),
            "identified_low": float(least),
            "identified_high": float(most),
            "excludes_null": bool(not low <= null <= high),
        }
        for value, (low, high), (least, most) in zip(values, bounds, sets, strict=True)
    ]
    share = f"{100 * level:g}% interval"
    digits = decimals((float(high - low) for low, high in bounds), 3)
    # M counts largest changes, or is in the outcome's units
    steps = digits if restriction == "smoothness" else 2
    columns = [
        Column(name="M", kind="number", digits=steps),
        Column(name="ci_low", label=f"{share}, low", kind="number", digits=digits),
        Column(name="ci_high", label=f"{share}, high", kind="number", digits=digits),
        Column(name="identified_low", label="identified set, low", kind="number", digits=digits),
        Column(name="identified_high", label="identified set, high", kind="number", digits=digits),
        Column(name="excludes_null", label=f"excludes {null:g}"),
    ]
    words = {
        "relative_magnitudes": "Honest intervals, relative magnitudes: changes after treatment up to M times the largest before",
        "smoothness": "Honest intervals, smoothness: the slope of the deviation changes by at most M a period",
    }
    return Table(rows, columns, title=words[restriction])


def _notes(at: Setting, df: float, largest: float, *, smooth: bool) -> tuple[str, ...]:
    known = int(at.known.sum())
    what = "change of slope" if smooth else "change"
    first = (
        f"Target: {_target_words(at)}. Reference: event {at.reference}; {known} other "
        f"{'event' if known == 1 else 'events'} before treatment, largest {what} {largest:.3g}."
    )
    notes = [first]
    if smooth and largest > 0:
        notes.append("No identified set where M is less than that change: the estimates themselves bend more.")
    if at.anticipation:
        notes.append(
            f"Events {-at.anticipation} to -1 may hold anticipated effects: not used as evidence of trends."
        )
    if math.isfinite(df):
        notes.append("The normal distribution is used, whatever the degrees of freedom of the event study.")
    return tuple(notes)


def _breakdown_words(result: HonestIntervals) -> str:
    value = result.breakdown
    if value == 0.0:
        return f"Even with M = 0 the interval holds {result.null:g}."
    if math.isinf(value):
        return f"No M was found whose interval holds {result.null:g}."
    return f"Breakdown value: M = {value:.3g} is the least whose interval holds {result.null:g}."
