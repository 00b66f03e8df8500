"""What bootstrap replicates say: interval, p-value, and the result that holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.errors import DesignError
from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.families import Floats
from wwc_eval.table import Grid, Rendered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["INTERVALS", "Bootstrap", "summarise"]

INTERVALS = ("studentised", "percentile", "basic")
MOST_FAILED = 0.05


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Bootstrap(Rendered):
    """Result of a bootstrap.

    Parameters
    ----------
    estimate : Estimate
        With the bootstrap's interval and p-value; ``se`` is the spread of the replicates where they are estimates.
    replicates : ndarray, shape (reps,)
        Bootstrap estimates (t statistics for the wild bootstrap); missing where a replicate failed.
    reps, failed : int
        Replicates drawn, and those without an estimate.
    """

    estimate: Estimate
    replicates: Floats
    reps: int
    failed: int

    def to_dicts(self) -> list[dict[str, Any]]:
        """The estimate as a row of raw values."""
        return self.estimate.to_dicts()

    def _grid(self) -> Grid:
        return Estimates([self.estimate])._grid()

    def _title(self) -> str:
        return self.estimate.method

    def _notes(self) -> tuple[str, ...]:
        lost = f", {self.failed:,} of them without an estimate" if self.failed else ""
        return (f"{self.reps:,} replicates{lost}.", *self.estimate._notes())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Histogram of the replicates with the observed value."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6.4, 3.6), layout="constrained").subplots()
        values = self.replicates[np.isfinite(self.replicates)]
        ax.hist(values, bins="auto", color="#9db7d1")
        wild = self.estimate.details.get("bootstrap") == "wild"
        observed = self.estimate.statistic if wild else self.estimate.estimate
        ax.axvline(observed, color="#b5482f")
        ax.set_xlabel(f"bootstrap {'t statistic' if wild else 'estimate'} of {self.estimate.term}")
        ax.set_ylabel("replicates")
        return ax

    def __repr__(self) -> str:
        """Estimate with its interval."""
        return str(self)


def summarise(
    observed: Estimate, values: Floats, errors: Floats | None, *, kind: str, level: float, words: str
) -> Bootstrap:
    """Interval and p-value from replicates.

    Parameters
    ----------
    observed : Estimate
        The estimate that the replicates vary.
    values, errors : ndarrays, shape (reps,)
        Bootstrap estimates and their standard errors, missing where a replicate failed.
    kind : {"studentised", "percentile", "basic"}
        Interval.
    level : float
        Coverage.
    words : str
        What was drawn.

    Raises
    ------
    DesignError
        If more than half of the replicates failed.
    """
    fine = np.isfinite(values) if errors is None else np.isfinite(values) & (errors > 0)
    failed = int((~fine).sum())
    if failed > 0.5 * len(values):
        raise DesignError(
            f"{failed:,} of {len(values):,} replicates have no estimate",
            fix="draw within strata, so that every replicate has both arms",
        )
    used = values[fine]
    tail = (1.0 - level) / 2.0
    at = observed.estimate
    if kind == "studentised":
        assert errors is not None
        t = (used - at) / errors[fine]
        low, high = at - observed.se * np.quantile(t, [1.0 - tail, tail])
        p_value = (1.0 + float((np.abs(t) >= abs(observed.estimate / observed.se)).sum())) / (1.0 + len(t))
    else:
        quantiles = np.quantile(used, [tail, 1.0 - tail])
        low, high = quantiles if kind == "percentile" else 2.0 * at - quantiles[::-1]
        below = float((used <= 0.0).sum()) if kind == "percentile" else float((2.0 * at - used <= 0.0).sum())
        rank = min(below, len(used) - below)
        p_value = min(1.0, 2.0 * (1.0 + rank) / (1.0 + len(used)))
    warnings = list(observed.warnings)
    if failed > MOST_FAILED * len(values):
        warnings.append(f"{failed:,} of {len(values):,} bootstrap replicates have no estimate")
    estimate = observed.replace(
        se=float(used.std(ddof=1)),
        df=math.nan,
        statistic=math.nan,
        p_value=p_value,
        ci_low=float(low),
        ci_high=float(high),
        level=level,
        method=f"{words}, {kind} interval; {observed.method[0].lower() + observed.method[1:]}",
        warnings=tuple(warnings),
        citation="Davison and Hinkley 1997, doi:10.1017/CBO9780511802843",
        details={**observed.details, "bootstrap": kind, "reps": len(values), "failed": failed},
    )
    return Bootstrap(estimate=estimate, replicates=values, reps=len(values), failed=failed)
