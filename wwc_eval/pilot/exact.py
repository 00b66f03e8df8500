"""Exact power of the one-sided test of a share or rate, and the smallest size that keeps it.

Power in whole numbers moves in saw-teeth: it rises while the critical number of successes stays and drops when that goes
up by one. The first size to reach the target is therefore not one from which it is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from wwc_eval.errors import DesignError
from wwc_eval.table import Column, Grid, Rendered, Table, format_percent

__all__ = [
    "SampleSize",
    "beta_binomial",
    "binomial_size",
    "binomial_test",
    "clustered_size",
    "normal_size",
    "poisson_size",
    "sum_of_clusters",
]

Floats = NDArray[np.float64]
LARGEST = 5_000_000
CITATION = (
    "Lewis, Bromley, Sutton, McCray, Myers and Lancaster 2021, doi:10.1186/s40814-021-00770-x (sizes by the normal "
    "approximation; those here are exact)"
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SampleSize(Rendered):
    """Size of a pilot that tells green from red. ``int()`` gives it.

    Parameters
    ----------
    n : int
        Smallest size from which the power is at least the target, for it and every larger one.
    power, size : float
        Exact power at ``n`` and exact one-sided type I error.
    critical : int
        Successes that reject red: at least so many (at most, where lower is better).
    target, alpha : float
        What was asked for.
    first_crossing : int
        Smallest size at which the power is at least the target, though some larger ones fall below.
    first_power : float
        Exact power there.
    normal_approximation : int
        Size by the normal approximation with continuity correction, rounded as published ones are.
    normal_uncorrected : float
        The same without correction, not rounded.
    normal_power : float
        Exact power at ``normal_approximation``.
    below : tuple of int
        Sizes above ``first_crossing`` whose power is below the target.
    clusters : int, optional
        Clusters, where participants sit in them.
    unit : str
        What is counted.
    rule : str
        The test in words.
    """

    n: int
    power: float
    size: float
    critical: int
    target: float
    alpha: float
    first_crossing: int
    first_power: float
    normal_approximation: int
    normal_uncorrected: float
    normal_power: float
    below: tuple[int, ...] = field(default=())
    clusters: int | None = None
    unit: str = "participants"
    rule: str = ""

    def __int__(self) -> int:
        return self.n

    def __index__(self) -> int:
        return self.n

    def to_dicts(self) -> list[dict[str, object]]:
        """Rows of way, size and exact power: kept for every larger one, first crossing, normal approximation."""
        return [
            {"way": "exact, kept for every larger size", "n": self.n, "power": self.power},
            {"way": "exact, first crossing", "n": self.first_crossing, "power": self.first_power},
            {"way": "normal approximation", "n": self.normal_approximation, "power": self.normal_power},
        ]

    def _grid(self) -> Grid:
        columns = [
            Column(name="way", label="how"),
            Column(name="n", label=self.unit, kind="count"),
            Column(name="power", label="exact power", kind="percent", digits=1),
        ]
        return Table(self.to_dicts(), columns)._grid()

    def _title(self) -> str:
        many = f" in {self.clusters:,} clusters" if self.clusters is not None else ""
        return f"{self.n:,} {self.unit}{many} for {format_percent(self.target, 0)} power, one-sided alpha {self.alpha:g}"

    def _notes(self) -> tuple[str, ...]:
        notes = [self.rule]
        if self.below:
            shown = ", ".join(f"{each:,}" for each in self.below[:6]) + (" ..." if len(self.below) > 6 else "")
            notes.append(
                f"Power reaches the target at {self.first_crossing:,} and falls below it again at {shown}: each time one more "
                "success is needed, power drops."
            )
        if self.normal_power < self.target:
            notes.append(
                f"The normal approximation gives {self.normal_approximation:,}, where the exact power is "
                f"{format_percent(self.normal_power)}."
            )
        return (*notes, CITATION)

    def __repr__(self) -> str:
        """The figures as a table."""
        return str(self)


# --- independent participants


def binomial_test(n: NDArray[np.int64], red: float, green: float, alpha: float) -> tuple[Floats, Floats, Floats]:
    """Critical successes, exact size and exact power of the test of ``p <= red``, for each n; n + 1 where none rejects."""
    size = n.astype(float)
    # bdtrik gives k with P(X <= k) = 1 - alpha, as a real number
    begin = np.floor(special.bdtrik(1.0 - alpha, size, red))
    critical = np.clip(np.nan_to_num(begin, nan=0.0), 0.0, size)

    def upper(c: Floats, p: float) -> Floats:
        inside = (c > 0) & (c <= size)
        tail = special.betainc(np.where(inside, c, 1.0), np.where(inside, size - c + 1.0, 1.0), p)
        return np.asarray(np.where(c <= 0, 1.0, np.where(c > size, 0.0, tail)))

    for _ in range(4):
        critical = np.where(upper(critical, red) > alpha, critical + 1.0, critical)
    for _ in range(4):
        lower = np.maximum(critical - 1.0, 0.0)
        critical = np.where((critical > 0) & (upper(lower, red) <= alpha), lower, critical)
    return critical, upper(critical, red), upper(critical, green)


def farthest(gap: float, alpha: float, beta: float, step: float) -> int:
    """A size from which the power is above 1 - beta for certain.

    Formula: Hoeffding's inequality bounds both tails, so n gap - step >= sqrt(n / 2) (sqrt(ln 1/alpha) + sqrt(ln 1/beta)) is
    enough, and stays so for every larger n.
    """
    reach = (math.sqrt(math.log(1.0 / alpha)) + math.sqrt(math.log(1.0 / beta))) / math.sqrt(2.0)
    root = (reach + math.sqrt(reach**2 + 4.0 * gap * step)) / (2.0 * gap)
    return math.ceil(root**2)


def binomial_size(red: float, green: float, power: float, alpha: float) -> SampleSize:
    """Smallest number of independent participants; ``red < green``."""
    last = farthest(green - red, alpha, 1.0 - power, 1.0)
    if last > LARGEST:
        raise DesignError(
            f"red == {red:g} and green == {green:g} are too close: up to {last:,} participants would be needed",
            fix="move the limits apart",
        )
    n = np.arange(1, last + 1)
    normal = normal_size(red, green, power, alpha)
    return _sized(n, binomial_test(n, red, green, alpha), normal, target=power, alpha=alpha)


def _sized(
    n: NDArray[np.int64],
    test: tuple[Floats, Floats, Floats],
    normal: tuple[float, float],
    *,
    target: float,
    alpha: float,
) -> SampleSize:
    """Which of the sizes n (from one step on, in equal steps) keep the target, beside the normal approximation."""
    critical, size, reached = test
    enough = reached >= target
    short = np.flatnonzero(~enough)
    at = int(short[-1]) + 1 if short.size else 0
    first = int(np.flatnonzero(enough)[0])
    published = max(round(normal[1]), 1)
    step = int(n[1] - n[0]) if len(n) > 1 else 1
    near = min(max(round(published / step), 1), len(n)) - 1
    return SampleSize(
        n=int(n[at]),
        power=float(reached[at]),
        size=float(size[at]),
        critical=int(critical[at]),
        target=target,
        alpha=alpha,
        first_crossing=int(n[first]),
        first_power=float(reached[first]),
        normal_approximation=published,
        normal_uncorrected=normal[0],
        normal_power=float(reached[near]),
        below=tuple(int(each) for each in n[first:at][~enough[first:at]]),
    )


def normal_size(red: float, green: float, power: float, alpha: float) -> tuple[float, float]:
    """Size by the normal approximation, without and with continuity correction (Lewis and others 2021)."""
    z_alpha, z_beta = float(special.ndtri(1.0 - alpha)), float(special.ndtri(power))
    gap = abs(green - red)
    spread = z_alpha * math.sqrt(red * (1 - red)) + z_beta * math.sqrt(green * (1 - green))
    plain = (spread / gap) ** 2
    return plain, plain / 4.0 * (1.0 + math.sqrt(1.0 + 2.0 / (plain * gap))) ** 2


# --- participants in clusters


def clustered_size(
    red: float, green: float, power: float, alpha: float, *, icc: float, cluster_size: int
) -> SampleSize:
    """Smallest number of clusters of one size, outcomes beta-binomial with an intraclass correlation."""
    last = max(farthest(green - red, alpha, 1.0 - power, 1.0 / cluster_size), 2)
    if last * cluster_size > LARGEST // 100:
        raise DesignError(
            f"red == {red:g} and green == {green:g} are too close: up to {last:,} clusters would be needed",
            fix="move the limits apart",
        )
    width = last * cluster_size + 1
    spectra = [np.fft.rfft(beta_binomial(cluster_size, p, icc), width) for p in (red, green)]
    critical, size, reached = (np.zeros(last) for _ in range(3))
    for k in range(1, last + 1):
        under, over = (_tails(spectrum**k, width) for spectrum in spectra)
        found = np.flatnonzero(under[: k * cluster_size + 1] <= alpha)
        if not found.size:
            critical[k - 1] = k * cluster_size + 1
            continue
        critical[k - 1], size[k - 1], reached[k - 1] = found[0], under[found[0]], over[found[0]]
    n = np.arange(1, last + 1) * cluster_size
    deff = 1.0 + (cluster_size - 1.0) * icc
    plain, corrected = normal_size(red, green, power, alpha)
    whole = _sized(n, (critical, size, reached), (plain * deff, corrected * deff), target=power, alpha=alpha)
    return replace(whole, clusters=whole.n // cluster_size)


def _tails(spectrum: NDArray[np.complex128], width: int) -> Floats:
    """P(X >= x) for every x."""
    pmf = np.maximum(np.fft.irfft(spectrum, width), 0.0)
    return np.asarray(np.cumsum(pmf[::-1])[::-1])


def beta_binomial(size: int, p: float, icc: float) -> Floats:
    """Probabilities of 0 to ``size`` successes in a cluster."""
    x = np.arange(size + 1.0)
    if p in (0.0, 1.0):
        return np.asarray((x == size * p).astype(float))
    choose = -special.betaln(size - x + 1.0, x + 1.0) - math.log(size + 1.0)
    if icc == 0.0:
        return np.asarray(np.exp(choose + special.xlogy(x, p) + special.xlog1py(size - x, -p)))
    a, b = p * (1.0 / icc - 1.0), (1.0 - p) * (1.0 / icc - 1.0)
    return np.asarray(np.exp(choose + special.betaln(x + a, size - x + b) - special.betaln(a, b)))


def sum_of_clusters(pmf: Floats, clusters: int) -> Floats:
    """Probabilities of the successes of so many clusters together."""
    width = clusters * (len(pmf) - 1) + 1
    if clusters == 1:
        return pmf
    if len(pmf) == 2:  # independent participants: no convolution, no rounding
        x, p = np.arange(width + 0.0), float(pmf[1])
        choose = -special.betaln(width - x, x + 1.0) - math.log(width)
        return np.asarray(np.exp(choose + special.xlogy(x, p) + special.xlog1py(clusters - x, -p)))
    return np.asarray(np.maximum(np.fft.irfft(np.fft.rfft(pmf, width) ** clusters, width), 0.0))


# --- rates


def poisson_size(red: float, green: float, power: float, alpha: float) -> SampleSize:
    """Smallest whole exposure (site-months) that tells a rate of ``green`` from one of ``red``; red < green."""
    z = float(special.ndtri(1.0 - alpha)) * math.sqrt(red) + float(special.ndtri(power)) * math.sqrt(green)
    plain = (z / (green - red)) ** 2
    gap = green - red
    # Bernstein's inequality for both tails about the middle of red and green: enough from here on
    needed = max(
        math.log(1.0 / alpha) * (4.0 * red / gap + 2.0 / 3.0),
        2.0 + 4.0 * green * math.log(1.0 / (1.0 - power)) / gap,
    )
    last = math.ceil(2.0 * needed / gap)
    if last > LARGEST:
        raise DesignError(
            f"red == {red:g} and green == {green:g} are too close: over {LARGEST:,} units of exposure"
        )
    n = np.arange(1, last + 1)
    mean = n * red
    critical = np.ceil(special.pdtrik(1.0 - alpha, mean)) + 1.0
    critical = np.where(np.isfinite(critical), critical, 1.0)

    def upper(c: Floats, m: NDArray[Any]) -> Floats:
        return np.asarray(np.where(c <= 0, 1.0, special.gammainc(np.maximum(c, 1e-300), m)))

    for _ in range(4):
        critical = np.where(upper(critical, mean) > alpha, critical + 1.0, critical)
    for _ in range(4):
        lower = np.maximum(critical - 1.0, 0.0)
        critical = np.where((critical > 0) & (upper(lower, mean) <= alpha), lower, critical)
    found = (critical, upper(critical, mean), upper(critical, n * green))
    return replace(_sized(n, found, (plain, plain), target=power, alpha=alpha), unit="units of exposure")
