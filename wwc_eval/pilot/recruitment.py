"""Recruitment: the rate a site-month with an exact interval, and how many a main trial would recruit by when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from wwc_eval.errors import DataError, DesignError, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.pilot.intervals import plain_figure
from wwc_eval.table import Column, Grid, Rendered, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RecruitmentForecast", "clustered_count", "recruitment_forecast", "recruitment_rate"]

GAMMA_TAIL = 0.025
Floats = NDArray[np.float64]


def recruitment_rate(
    count: float, exposure: float, *, level: float = 0.95, term: str = "recruitment", unit: str = "site-month"
) -> Estimate:
    """Events for each unit of exposure with the exact Poisson interval.

    Parameters
    ----------
    count : int
        Events, such as families recruited.
    exposure : float
        Units that they came from, such as site-months.
    level : float
        Coverage.

    Returns
    -------
    Estimate

    Notes
    -----
    Formula: limits chi2(alpha / 2, 2 x) / (2 t) and chi2(1 - alpha / 2, 2 x + 2) / (2 t). Source: Garwood 1936,
    doi:10.1093/biomet/28.3-4.437.

    Examples
    --------
    >>> found = recruitment_rate(37, 6)
    >>> round(found.estimate, 2), round(found.ci_low, 2), round(found.ci_high, 2)
    (6.17, 4.34, 8.5)
    """
    x = check_number("count", count, at_least=0, error=DataError)
    time = check_number("exposure", exposure, above=0, error=DataError)
    tail = (1.0 - check_number("level", level, above=0, below=1)) / 2.0
    if x != math.floor(x):
        raise DataError(f"count == {x:g}, must be a whole number")
    found = plain_figure(
        term,
        x / time,
        _garwood(x, time, tail),
        level,
        "Rate with the exact Poisson interval",
        n=int(x),
        scale="rate",
    )
    return found.replace(
        se=math.sqrt(x) / time,
        units=f"a {unit}",
        citation="Garwood 1936, doi:10.1093/biomet/28.3-4.437",
        details={"exposure": time},
    )


def clustered_count(
    events: ArrayLike,
    exposure: ArrayLike,
    cluster: Sequence[Any],
    *,
    level: float = 0.95,
    term: str = "recruitment",
    unit: str = "site-month",
) -> Estimate:
    """Events for each unit of exposure where they come from clusters, such as sites, whose rates differ.

    Parameters
    ----------
    events, exposure : array_like, shape (rows,)
        Whole numbers of events, and what they came from.
    cluster : sequence, shape (rows,)
        Cluster of each row.
    level : float
        Coverage.

    Returns
    -------
    Estimate
        ``details["effective_exposure"]`` is the exposure of a Poisson process that tells as much.

    Raises
    ------
    DataError
        If shapes differ, a number cannot be, or a cluster is missing.
    DesignError
        If there are fewer than two clusters.

    Notes
    -----
    Formula: r = X / T with linearised variance v = k / (k - 1) sum (x_j - r t_j)^2 / T^2; effective exposure
    T_e = r / v * (z / t(k - 1))^2, at most T, and Garwood's limits of r T_e events in it. Source: Korn and Graubard 1998, Survey
    Methodology 24(2):193-201, whose argument for shares it carries to counts.

    Examples
    --------
    >>> found = clustered_count([21, 9, 7], [2, 2, 2], ["A", "B", "C"])
    >>> round(found.estimate, 2), round(found.ci_low, 2), round(found.ci_high, 2)
    (6.17, 0.54, 24.88)
    """
    x, times = _by_site(events, exposure, cluster)
    tail = (1.0 - check_number("level", level, above=0, below=1)) / 2.0
    k, total = len(x), float(times.sum())
    if k < 2:
        raise DesignError(
            f"{k} clusters, needs at least 2", fix="leave out cluster, and say that clustering could not be judged"
        )
    rate = float(x.sum()) / total
    variance = k / (k - 1.0) * float(((x - rate * times) ** 2).sum()) / total**2
    time = total
    warnings: tuple[str, ...] = ()
    if variance > 0.0:
        time = min(rate / variance * float(special.ndtri(tail) / special.stdtrit(k - 1.0, tail)) ** 2, total)
    else:
        warnings = (
            "All clusters have the same rate, so variation between them cannot be judged: events count as independent",
        )
    limits = _garwood(rate * time, time, tail)
    method = "Rate with Garwood's interval of the effective exposure"
    found = plain_figure(term, rate, limits, level, method, n=int(x.sum()), scale="rate")
    return found.replace(
        se=math.sqrt(variance) if variance > 0.0 else math.sqrt(rate / total),
        units=f"a {unit}",
        n_clusters=k,
        citation="Korn and Graubard 1998, Survey Methodology 24(2):193-201",
        warnings=warnings,
        details={"exposure": total, "effective_exposure": time},
    )


def _garwood(count: float, time: float, tail: float) -> tuple[float, float]:
    """Limits of the rate of a Poisson count, which may be a fraction (of an effective exposure)."""
    low = 0.0 if count == 0 else float(special.gammaincinv(count, tail)) / time
    return low, float(special.gammainccinv(count + 1.0, tail)) / time


def _by_site(events: ArrayLike, exposure: ArrayLike, cluster: Sequence[Any]) -> tuple[Floats, Floats]:
    """Events and exposure of each cluster, in the order of the cluster's names."""
    import pandas as pd

    x, times = (np.atleast_1d(np.asarray(each, dtype=float)) for each in (events, exposure))
    names = np.asarray(cluster, dtype=object)
    if not x.shape == times.shape == names.shape or x.ndim != 1:
        raise DataError(
            f"events have shape {x.shape}, exposure {times.shape} and cluster {names.shape}",
            fix="give one of each a row",
        )
    bad = ~(
        np.isfinite(x) & np.isfinite(times) & (x >= 0) & (x == np.floor(x)) & (times >= 0) & (times + (x == 0) > 0)
    )
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"row {at + 1}: {x[at]:g} in {times[at]:g}",
            rule="a whole number of events of 0 or more, in an exposure above 0 where there are any",
        )
    if pd.isna(names).any():
        raise DataError("a cluster is missing", fix="name the cluster of each row, or leave the row out")
    _, codes = np.unique(np.array([f"{type(name).__name__}:{name}" for name in names]), return_inverse=True)
    sums = np.stack([np.bincount(codes, weights=each) for each in (x, times)]).astype(np.float64)
    counts, lengths = sums[:, sums[1] > 0]  # a site that never opened tells nothing
    return counts, lengths


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RecruitmentForecast(Rendered):
    """How many a main trial would recruit, month by month.

    Parameters
    ----------
    months : ndarray of int, shape (m,)
        Months since the first site opened.
    expected, low, high : ndarray, shape (m,)
        Median and limits of the number recruited by the end of each month.
    reached : ndarray, shape (m,)
        Chance that the target is reached by then.
    target : int or None
        The target.
    rate, between : float
        Median monthly rate of a site, and the coefficient of variation between sites.
    """

    months: NDArray[np.int64]
    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    reached: NDArray[np.float64]
    target: int | None
    rate: float
    between: float
    level: float
    notes: tuple[str, ...]

    def month_reached(self, chance: float = 0.8) -> int | None:
        """First month by whose end the target is reached with the chance; None where it is not within the months."""
        at = np.flatnonzero(self.reached >= check_number("chance", chance, above=0, below=1))
        return int(self.months[at[0]]) if at.size else None

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a month."""
        rows = zip(self.months, self.expected, self.low, self.high, self.reached, strict=True)
        names = ("month", "expected", "low", "high", "reached")
        return [{"month": int(row[0]), **dict(zip(names[1:], map(float, row[1:]), strict=True))} for row in rows]

    def _grid(self) -> Grid:
        columns = [
            Column(name="month", label="end of month", kind="count"),
            Column(name="expected", label="recruited (median)", kind="number", digits=0),
            Column(name="low", label=f"{100 * self.level:g}% low", kind="number", digits=0),
            Column(name="high", label="high", kind="number", digits=0),
        ]
        if self.target is not None:
            columns.append(Column(name="reached", label=f"chance of {self.target:,}", kind="percent", digits=0))
        names = [column.name for column in columns]
        return Table([{name: row[name] for name in names} for row in self.to_dicts()], columns)._grid()

    def _title(self) -> str:
        return "Forecast of recruitment"

    def _notes(self) -> tuple[str, ...]:
        return self.notes

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Recruitment by month with its limits, and the target."""
        from wwc_eval.pilot.charts import plot_forecast

        return plot_forecast(self, ax)


def recruitment_forecast(
    counts: ArrayLike,
    site_months: ArrayLike,
    *,
    opened: ArrayLike,
    months: int,
    target: int | None = None,
    rng: int | np.random.Generator | np.random.SeedSequence,
    draws: int = 20_000,
    level: float = 0.9,
    slower: float = 1.0,
) -> RecruitmentForecast:
    """How many a main trial would recruit, from what each site of the pilot did.

    Parameters
    ----------
    counts, site_months : array_like, shape (sites,)
        Recruited by each site of the pilot, and for how many months it recruited.
    opened : array_like of int
        Month in which each site of the main trial opens; 0 is the start.
    months : int
        Months to look ahead.
    target : int, optional
        Number to recruit.
    rng : int, Generator or SeedSequence
        Randomness of the draws.
    draws : int
        Draws of the future.
    level : float
        Coverage of the limits.
    slower : float
        Factor on the rates of the main trial, such as 0.75 where its sites are thought less keen; at most 1.

    Returns
    -------
    RecruitmentForecast

    Notes
    -----
    Model: counts are Poisson, and rates of sites follow a gamma distribution whose shape is fitted to the pilot's sites
    (negative binomial likelihood); one site, or sites no more different than chance, give one common rate. A draw takes the
    overall rate from its posterior (gamma, Jeffreys; with site variation the sites are drawn anew), then a rate for each new
    site, then Poisson counts. Source: Anisimov and Fedorov 2007, doi:10.1002/sim.2956.

    Examples
    --------
    >>> found = recruitment_forecast([12, 7, 15], [3, 3, 3], opened=[0, 0, 1, 2], months=6, target=60, rng=1)
    >>> found.month_reached(0.5) in (5, 6)
    True
    """
    x, time = np.asarray(counts, dtype=float), np.asarray(site_months, dtype=float)
    if x.ndim != 1 or x.shape != time.shape or not len(x):
        raise DataError(f"counts have shape {x.shape} and site_months {time.shape}", fix="give one of each a site")
    if not ((x >= 0) & (x == np.floor(x)) & (time > 0) & np.isfinite(time)).all():
        raise DataError("counts must be whole numbers >= 0 and site_months > 0")
    starts = np.asarray(opened, dtype=np.int64)
    ahead = int(check_number("months", months, at_least=1))
    if starts.ndim != 1 or not len(starts) or (starts < 0).any() or (starts >= ahead).any():
        raise DesignError("opened must name a month for every site, from 0 and before the last")
    check_number("slower", slower, above=0, at_most=1)
    check_number("level", level, above=0, below=1)
    reps = int(check_number("draws", draws, at_least=100))
    goal = None if target is None else int(check_number("target", target, at_least=1))
    generator = np.random.default_rng(rng)
    shape = gamma_shape(x, time)
    rates = _rates(x, time, shape, (reps, len(starts)), generator) * slower
    at = np.arange(1, ahead + 1)
    total = np.zeros(reps)
    path = np.empty((ahead, reps))
    for month in range(ahead):
        total = total + generator.poisson((rates * (starts <= month)).sum(axis=1))
        path[month] = total
    tail = (1.0 - level) / 2.0
    low, middle, high = np.quantile(path, (tail, 0.5, 1.0 - tail), axis=1)
    reached = np.full(ahead, math.nan) if goal is None else (path >= goal).mean(axis=1)
    between = 0.0 if math.isinf(shape) else 1.0 / math.sqrt(shape)
    varied = (
        f"sites differ with a coefficient of variation of {between:.2f}"
        if between
        else "sites of the pilot differ no more than chance would have them"
        if len(x) > 1
        else "one site cannot say how sites differ"
    )
    notes = (
        f"From {int(x.sum()):,} recruited in {time.sum():g} site-months at {len(x):,} sites; {varied}.",
        *([f"Rates are taken {slower:g} times as high as in the pilot."] if slower != 1.0 else []),
        "A forecast holds if the sites to come are like those of the pilot, which is seldom so.",
    )
    return RecruitmentForecast(
        months=at,
        expected=middle,
        low=low,
        high=high,
        reached=reached,
        target=goal,
        rate=float(np.median(rates)),
        between=between,
        level=level,
        notes=notes,
    )


def gamma_shape(x: NDArray[np.float64], time: NDArray[np.float64]) -> float:
    """Shape of the gamma distribution of sites' rates by maximum likelihood; infinity where they differ by chance alone."""
    if len(x) < 2 or x.sum() == 0:
        return math.inf

    def deviance(log_shape: float) -> float:
        a = math.exp(log_shape)

        def inner(log_rate: float) -> float:
            b = a / math.exp(log_rate)
            return -float(
                np.sum(special.gammaln(x + a) - special.gammaln(a) + a * math.log(b) - (x + a) * np.log(time + b))
            )

        centre = math.log(x.sum() / time.sum())
        return float(optimize.minimize_scalar(inner, bounds=(centre - 3, centre + 3), method="bounded").fun)

    found = optimize.minimize_scalar(deviance, bounds=(-3.0, 9.0), method="bounded", options={"xatol": 1e-6})
    # at the far end the sites differ by chance alone
    return math.inf if found.x > 8.0 else math.exp(found.x)


def _rates(
    x: NDArray[np.float64],
    time: NDArray[np.float64],
    shape: float,
    size: tuple[int, int],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Rates of new sites, one row a draw."""
    reps, sites = size
    if math.isinf(shape):
        common = generator.gamma(float(x.sum()) + 0.5, size=reps) / float(time.sum())
        return np.broadcast_to(common[:, None], size)
    # the overall rate varies with which sites the pilot happened to have
    own = generator.gamma(x + shape, size=(reps, len(x))) / (time + shape / (x.sum() / time.sum()))
    picked = generator.integers(0, len(x), size=(reps, len(x)))
    overall = np.take_along_axis(own, picked, axis=1).mean(axis=1)
    return np.asarray(generator.gamma(shape, size=(reps, sites)) / shape * overall[:, None])
