"""Bootstrap intervals of anything a fit reports: draws of whole clusters or of outcomes, refits, percentiles.

A fit takes part by ``redrawn`` (the same model for clusters drawn with replacement) and by ``simulate`` with ``refit``
(the same model for outcomes drawn from it). Draws come from one generator, in order, so a seed gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wwc_eval.errors import DesignError, WwcError, check_choice, check_number
from wwc_eval.estimate import RATIO_SCALES, Estimate
from wwc_eval.inference.clusters import Clusters
from wwc_eval.inference.families import Floats

__all__ = ["DRAWS", "Resampling", "copies", "inference_words", "resampled", "resampling", "with_interval"]

DRAWS = ("parametric", "clusters")
CITATION = "Davison and Hinkley 1997, doi:10.1017/CBO9780511802843"
MOST_FAILED = 0.05
FEW_CLUSTERS = 30
_OTHER_INFERENCE = ("Normal inference", "degrees of freedom", "errors with clusters - 1 df")
"""What warnings of the inference that replicates take the place of have in them."""
CHUNK = 4_000_000
"""Numbers of simulated outcomes held at once."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """What is drawn, how often, and from which source of randomness.

    Parameters
    ----------
    draw : {"parametric", "clusters"}
        Outcomes from the fitted model, or whole clusters with replacement.
    reps : int
        Replicates.
    rng : int, Generator or SeedSequence
        Source of randomness.
    cluster, strata : str, optional
        Clusters drawn, and the column within whose values they are drawn.
    kind : {"percentile", "basic"}
        Interval.
    progress : bool
        Whether a progress bar is shown.
    """

    draw: str
    reps: int
    rng: Any
    cluster: Any = None
    strata: str | None = None
    kind: str = "percentile"
    progress: bool = True

    @property
    def words(self) -> str:
        """What was drawn, in words."""
        if self.draw == "parametric":
            return f"parametric bootstrap, {self.reps:,} replicates, {self.kind} interval"
        within = f" within {self.strata}" if self.strata else ""
        return f"bootstrap of clusters{within}, {self.reps:,} replicates, {self.kind} interval"


def resampling(
    interval: str,
    fit: Any,
    *,
    reps: int,
    rng: Any,
    draw: str | None,
    cluster: Any = None,
    strata: str | None = None,
    progress: bool = True,
) -> Resampling | None:
    """What is asked of a bootstrap, or None for an interval by the delta method.

    Parameters
    ----------
    interval : {"delta", "bootstrap", "basic"}
        ``bootstrap`` takes percentiles of the replicates; ``basic`` reflects them about the estimate.
    fit : fit
        Decides what is drawn where ``draw`` is missing: outcomes if they can be simulated, else clusters.
    reps, rng, draw, cluster, strata, progress
        As in :class:`Resampling`.

    Raises
    ------
    DesignError
        If there is no source of randomness, options of a bootstrap go with the delta method, or the fit cannot be
        simulated from.
    """
    check_choice("interval", interval, ("delta", "bootstrap", "basic"))
    if interval == "delta":
        for name, value in (("rng", rng), ("draw", draw), ("strata", strata)):
            if value is not None:
                raise DesignError(
                    f"{name} is for a bootstrap, and interval == 'delta'", fix="use interval='bootstrap'"
                )
        return None
    if rng is None:
        raise DesignError("a bootstrap needs a source of randomness", fix="give a seed: rng=1")
    simulates = hasattr(fit, "simulate")
    chosen = check_choice("draw", draw or ("parametric" if simulates else "clusters"), DRAWS)
    if chosen == "parametric" and not simulates:
        raise DesignError("outcomes cannot be simulated from a regression", fix="use draw='clusters'")
    if chosen == "parametric" and strata is not None:
        raise DesignError("strata are for draws of clusters", fix="use draw='clusters', or leave out strata")
    return Resampling(
        draw=chosen,
        reps=int(check_number("reps", reps, at_least=19)),
        rng=rng,
        cluster=cluster,
        strata=strata,
        kind="percentile" if interval == "bootstrap" else "basic",
        progress=progress,
    )


def resampled(fit: Any, statistic: Callable[[Any], Sequence[float] | Floats], how: Resampling) -> Floats:
    """Figures of every replicate.

    Parameters
    ----------
    fit : fit
        What is refitted.
    statistic : callable
        Figures (m,) of a fit.
    how : Resampling
        Draws.

    Returns
    -------
    ndarray, shape (reps, m)
        Missing where a replicate has no fit.

    Raises
    ------
    DesignError
        If no replicate has one; it says what stood against the first.
    """
    from tqdm.auto import tqdm

    width = len(statistic(fit))
    found = np.full((how.reps, width), math.nan)
    refits = _simulated(fit, how) if how.draw == "parametric" else _redrawn(fit, how)
    bar = tqdm(refits, total=how.reps, desc=how.draw, disable=not how.progress)
    trouble: Exception | None = None
    for place, refit in enumerate(bar):
        try:
            values = np.asarray(statistic(refit()), dtype=float)
        except (WwcError, np.linalg.LinAlgError) as error:
            trouble = trouble or error
            continue
        if len(values) == width:
            found[place] = values
    if trouble is not None and not np.isfinite(found).any():
        raise DesignError(f"no replicate has an estimate; of the first: {trouble}") from trouble
    return found


def _simulated(fit: Any, how: Resampling) -> Iterator[Callable[[], Any]]:
    source = np.random.default_rng(how.rng)
    step = max(1, CHUNK // fit.n)
    for start in range(0, how.reps, step):
        for outcome in fit.simulate(min(step, how.reps - start), rng=source):
            yield partial(fit.refit, outcome)


def _redrawn(fit: Any, how: Resampling) -> Iterator[Callable[[], Any]]:
    from wwc_eval.inference.bootstrap import clusters_of, draw_times

    clusters: Clusters = clusters_of(fit, how.cluster)
    source = np.random.default_rng(how.rng)
    for counts in draw_times(fit, clusters, how.strata, how.reps, source):
        yield partial(fit.redrawn, counts, clusters)


def copies(counts: Floats, codes: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of clusters that were drawn, and the copy that each belongs to: one drawn twice is two clusters.

    Parameters
    ----------
    counts : ndarray, shape (G,)
        How often each cluster was drawn.
    codes : ndarray of int, shape (n,)
        Cluster of each row.

    Returns
    -------
    rows, copy : ndarrays of int
        Positions of rows, copy by copy, and codes of the copies.
    """
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(counts)))
    drawn = np.repeat(np.arange(len(counts)), counts.astype(int))
    parts = [order[(ends[k - 1] if k else 0) : ends[k]] for k in drawn.tolist()]
    copy = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.concatenate(parts), copy


def inference_words(fit: Any) -> str:
    """Words of a fit's own inference, which an interval from replicates takes the place of."""
    found = getattr(fit, "covariance", None) or getattr(fit, "inference", None)
    return str(getattr(found, "words", ""))


def with_interval(
    observed: Estimate, values: Floats, how: Resampling, level: float, *, tested: bool = True, own: str = ""
) -> Estimate:
    """The estimate with the interval, error and p-value that replicates give.

    Parameters
    ----------
    observed : Estimate
        What was estimated.
    values : ndarray, shape (reps,)
        The same of each replicate; a ratio's are compared as logarithms.
    how : Resampling
        Draws.
    level : float
        Coverage.
    tested : bool
        Whether there is a null hypothesis (no effect) to test.
    own : str
        Words of the inference that it takes the place of.

    Raises
    ------
    DesignError
        If more than half of the replicates have no figure.
    """
    ratio = observed.scale in RATIO_SCALES
    fine = np.isfinite(values) & ((values > 0) if ratio else True)
    failed = int((~fine).sum())
    if failed > 0.5 * len(values):
        raise DesignError(
            f"{failed:,} of {len(values):,} replicates have no estimate",
            fix="draw within strata, so that every replicate has both arms, or draw='parametric'",
        )
    used = np.log(values[fine]) if ratio else values[fine]
    at = math.log(observed.estimate) if ratio else observed.estimate
    tail = (1.0 - level) / 2.0
    ends = np.quantile(used, [tail, 1.0 - tail])
    below = float((used <= 0.0).sum())
    if how.kind == "basic":
        ends = 2.0 * at - ends[::-1]
        below = float((2.0 * at - used <= 0.0).sum())
    rank = min(below, len(used) - below)
    low, high = (math.exp(ends[0]), math.exp(ends[1])) if ratio else (float(ends[0]), float(ends[1]))
    warnings = [text for text in observed.warnings if not any(part in text for part in _OTHER_INFERENCE)]
    if how.draw == "clusters" and (observed.n_clusters or 0) < FEW_CLUSTERS:
        warnings.append(f"{observed.n_clusters} clusters: intervals from draws of so few are too short")
    if failed > MOST_FAILED * len(values):
        warnings.append(f"{failed:,} of {len(values):,} bootstrap replicates have no estimate")
    return observed.replace(
        se=float(used.std(ddof=1)),
        df=math.nan,
        statistic=math.nan,
        p_value=min(1.0, 2.0 * (1.0 + rank) / (1.0 + len(used))) if tested else math.nan,
        ci_low=low,
        ci_high=high,
        level=level,
        method=f"{observed.method.removesuffix(f'; {own}').replace(' (delta method)', '')}; {how.words}",
        warnings=tuple(warnings),
        citation=CITATION,
        details={**observed.details, "interval": how.kind, "draw": how.draw, "reps": how.reps, "failed": failed},
    )
