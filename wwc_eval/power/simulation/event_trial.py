"""Trials with a time to an event, simulated child by child: everybody is followed over one unit of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from wwc_eval.errors import DesignError
from wwc_eval.power.simulation.cox_fits import Times, fit_cox, fit_log_rates
from wwc_eval.power.simulation.fits import ReplicateFits
from wwc_eval.power.simulation.small_matrices import Array
from wwc_eval.power.simulation.trial_layout import Layout, layout_of

if TYPE_CHECKING:
    from wwc_eval.power.trial import Trial

__all__ = ["EVENT_TRIAL", "EventTrial", "copula_correlation"]

EVENT_TRIAL = ("cox_cr1", "cox", "cluster_summaries")
"""Analyses of times to an event: Cox regression with cluster-robust or model-based errors, t test of clusters' log rates."""
BATCHES = 5
"""Draws of the sizes of clusters in a chunk."""


@dataclass(frozen=True, kw_only=True)
class EventTrial:
    """Simulator of children followed to an event, alone or in clusters that are randomised.

    With ``icc`` hazards are proportional in the population and children of a cluster are joined by a normal copula, whose
    correlation gives the martingale residuals that ICC. With ``k`` a gamma factor with that CV multiplies the hazards of a
    cluster, and the effect is the ratio within clusters: in the population it is nearer to 1.
    """

    design: Trial
    effect: float
    analyses: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is not simulated."""
        design = self.design
        if len(design.levels) > 2 or (len(design.levels) == 2 and design.at == 0):
            raise DesignError(
                "times to an event are simulated for children alone, or in clusters of one level that are randomised",
                fix="leave out a level, or take the rates of the randomised units: outcome=Rate(control=..., test='log')",
            )
        if design.at == 0 and set(self.analyses) != {"cox"}:
            raise DesignError("a trial of one level has no clusters", fix="analysis='cox'")
        if any(float(np.ravel(each.r2)[0]) > 0 for each in design.levels):
            raise DesignError("r2 of a time to an event is not simulated", fix="leave r2 at 0")
        if np.any(np.asarray(design.dilution) > 0) or np.any(np.asarray(design.crossover) > 0):
            raise DesignError(
                "dilution and crossover of a time to an event are not simulated",
                fix="give the hazard ratio of intention to treat",
            )
        self.layout  # noqa: B018

    @cached_property
    def layout(self) -> Layout:
        """Clusters and arms."""
        return layout_of(self.design)

    @property
    def truths(self) -> dict[str, float]:
        """Log hazard ratio (within clusters, where they are given by k)."""
        return dict.fromkeys(self.analyses, math.log(self.effect))

    @cached_property
    def _spread(self) -> tuple[float, float | None]:
        """Correlation of the copula, and k of the hazards."""
        if self.design.at == 0:
            return 0.0, None
        level, p = self.design.levels[1], float(np.ravel(self._control)[0])
        if level.k is not None:
            return 0.0, float(np.ravel(level.k)[0])
        return copula_correlation(float(np.ravel(level.icc)[0]), p), None

    @property
    def _control(self) -> float:
        return float(np.ravel(getattr(self.design.outcome, "control"))[0])  # noqa: B009

    def chunk(self, rng: np.random.Generator, reps: int) -> dict[str, ReplicateFits]:
        """Fits of so many replicates for each analysis."""
        varied = self.layout.size_cv > 0
        parts = np.array_split(np.arange(reps), min(BATCHES, reps)) if varied else [np.arange(reps)]
        made = []
        for part in parts:
            times = self._drawn(rng, len(part))
            made.append({name: _fitted(name, times) for name in self.analyses})
        return {name: ReplicateFits.joined([each[name] for each in made]) for name in self.analyses}

    def _drawn(self, rng: np.random.Generator, reps: int) -> Times:
        layout = self.layout
        sizes = layout.sizes(rng).astype(np.intp)
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        treated = layout.arm[cluster] > 0
        correlation, k = self._spread
        ratio = np.where(treated, self.effect, 1.0)
        shape = (reps, len(sizes))
        if k:
            hazard = math.expm1(-(k**2) * math.log1p(-self._control)) / k**2
            factor = rng.gamma(k**-2, k**2, shape)[:, cluster]
            time = rng.standard_exponential(factor.shape) / (factor * hazard * ratio)
        else:
            score = math.sqrt(1.0 - correlation) * rng.standard_normal((reps, len(cluster)))
            if correlation > 0:
                score += math.sqrt(correlation) * rng.standard_normal(shape)[:, cluster]
            time = special.log_ndtr(score) / (math.log1p(-self._control) * ratio)
        return Times(time=np.minimum(time, 1.0), event=time < 1.0, treated=treated, cluster=cluster)


def _fitted(name: str, times: Times) -> ReplicateFits:
    return fit_log_rates(times) if name == "cluster_summaries" else fit_cox(times, robust=name == "cox_cr1")


def copula_correlation(icc: float, control: float) -> float:
    """Correlation of normal scores at which martingale residuals have an ICC.

    Formula: ICC = var(E[M | c]) / p, M the residual at the end of follow-up, whose variance is p, the probability of an
    event, and c what a cluster's scores share.

    Examples
    --------
    >>> 0.05 < copula_correlation(0.05, 0.4) < 0.1
    True
    """
    if icc <= 0:
        return 0.0
    hazard = -math.log1p(-control)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    grid, spacing = np.polynomial.legendre.leggauss(60)
    # substituting t = u^4 takes the steep start of small times apart
    u = (grid + 1.0) / 2.0
    times, spacing = u**4, 2.0 * spacing * u**3
    scores = special.ndtri(-np.expm1(-hazard * times))
    end = float(special.ndtri(control))

    def excess(r: float) -> float:
        def survival(score: Array | float) -> Array:
            return np.asarray(special.ndtr((math.sqrt(r) * nodes[:, None] - score) / math.sqrt(1.0 - r)))

        own = 1.0 - survival(end)[:, 0] - hazard * (survival(scores) @ spacing)
        return float(weights @ own**2) / control - icc

    if excess(0.999) < 0:
        raise DesignError(
            f"icc == {icc:g} of a time to an event is more than clusters can have in this simulation",
            fix="lower icc, or give k",
        )
    return float(optimize.brentq(excess, 0.0, 0.999, xtol=1e-12))
