"""Bootstraps: parametric, of whole clusters, and the wild cluster bootstrap of linear models.

A fit takes part by what it can do: ``simulate`` and ``refit_many`` (parametric), ``refit_resampled`` (clusters),
``cluster_moments`` (wild); a :class:`RegressionFit` is resampled here. All draws come from the generator given, in one
stream, so the same seed gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number, did_you_mean
from wwc_eval.estimate import Estimate
from wwc_eval.inference.clusters import Clusters, read_clusters
from wwc_eval.inference.families import Floats
from wwc_eval.inference.fit import RegressionFit
from wwc_eval.inference.replicates import INTERVALS, Bootstrap, summarise
from wwc_eval.inference.resampled import regression_replicates
from wwc_eval.inference.wild import Moments, WildTest, draw_weights, regression_moments, wild_test

__all__ = ["Bootstrap", "cluster_bootstrap", "parametric_bootstrap", "wild_cluster_bootstrap"]


def parametric_bootstrap(
    fit: Any,
    *,
    rng: Any,
    term: str | None = None,
    reps: int = 1_999,
    statistic: Callable[[Any], float] | None = None,
    interval: str | None = None,
    level: float | None = None,
) -> Bootstrap:
    """Draw outcomes from a fitted model, fit each of them, and read the interval off the replicates.

    Parameters
    ----------
    fit : fit with ``simulate`` and ``refit_many`` (or ``refit``, for a statistic)
        Such as a linear mixed model.
    rng : int, Generator or SeedSequence
        Source of randomness.
    term : str, optional
        Coefficient; the first after the intercept.
    reps : int
        Replicates.
    statistic : callable, optional
        Number of a fit, such as ``lambda fit: fit.icc(method="profile")[0].estimate``; takes the place of ``term``.
    interval : {"studentised", "percentile", "basic"}, optional
        Studentised for a coefficient, percentile for a statistic, if nothing is said.
    level : float, optional
        Coverage; that of the fit.

    Returns
    -------
    Bootstrap

    Raises
    ------
    DesignError
        If the fit cannot be simulated from, or a studentised interval is asked of a statistic.

    Notes
    -----
    Formula: studentised interval ``b - t*(1 - a/2) se, b - t*(a/2) se`` with t* the quantiles of
    ``(b* - b) / se*``; percentile interval: quantiles of b*; basic: ``2 b - `` quantiles of b*. Source: Davison and
    Hinkley (1997), doi:10.1017/CBO9780511802843.
    """
    if not hasattr(fit, "simulate"):
        raise DesignError(
            "outcomes cannot be simulated from this fit",
            fix="use cluster_bootstrap, or fit a multilevel model",
        )
    count = int(check_number("reps", reps, at_least=19))
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    source = np.random.default_rng(rng)
    if statistic is None:
        chosen = _term(fit, term)
        frame = fit.refit_many(fit.simulate(count, rng=source), term=chosen)
        observed = fit.estimates[chosen]
        values, errors = _numbers(frame)
        kind = check_choice("interval", interval or "studentised", INTERVALS)
        return summarise(observed, values, errors, kind=kind, level=coverage, words="Parametric bootstrap")
    kind = check_choice("interval", interval or "percentile", INTERVALS[1:])
    outcomes = fit.simulate(count, rng=source)
    values = np.array([_statistic(statistic, fit, outcome) for outcome in outcomes])
    at = float(statistic(fit))
    bare = Estimate(
        term=term or "statistic",
        estimate=at,
        se=math.nan,
        df=math.nan,
        statistic=math.nan,
        p_value=math.nan,
        ci_low=math.nan,
        ci_high=math.nan,
        n=fit.n,
        n_clusters=fit.n_clusters,
        method="Statistic of the fit",
    )
    found = summarise(bare, values, None, kind=kind, level=coverage, words="Parametric bootstrap")
    # no value is a natural null for an arbitrary statistic
    estimate = found.estimate.replace(p_value=math.nan)
    return Bootstrap(estimate=estimate, replicates=values, reps=count, failed=found.failed)


def cluster_bootstrap(
    fit: Any,
    *,
    rng: Any,
    term: str | None = None,
    cluster: Any = None,
    strata: str | None = None,
    reps: int = 1_999,
    interval: str = "studentised",
    level: float | None = None,
) -> Bootstrap:
    """Draw whole clusters with replacement, within strata if asked; one drawn twice counts twice.

    Parameters
    ----------
    fit : RegressionFit or fit with ``refit_resampled``
        A regression, or a linear mixed model with nested factors.
    rng : int, Generator or SeedSequence
        Source of randomness.
    term : str, optional
        Coefficient; the first after the intercept.
    cluster : str or array, optional
        Clusters; those of the fit's errors, or the highest grouping factor.
    strata : str, optional
        Column within whose values clusters are drawn, such as the arm or the randomisation stratum.
    reps : int
        Replicates.
    interval : {"studentised", "percentile", "basic"}
        Studentised needs a standard error of each replicate, which a GLM's does not have.
    level : float, optional
        Coverage; that of the fit.

    Returns
    -------
    Bootstrap

    Raises
    ------
    DesignError
        If there are no clusters, a cluster lies in several strata, or a stratum has one cluster.

    Notes
    -----
    Source: Davison and Hinkley (1997), doi:10.1017/CBO9780511802843, section 3.8; Cameron, Gelbach and Miller
    (2008), doi:10.1162/rest.90.3.414.
    """
    count = int(check_number("reps", reps, at_least=19))
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    kind = check_choice("interval", interval, INTERVALS)
    clusters = clusters_of(fit, cluster)
    times = draw_times(fit, clusters, strata, count, np.random.default_rng(rng))
    chosen = _term(fit, term)
    observed = fit.estimates[chosen]
    if isinstance(fit, RegressionFit):
        values, errors = regression_replicates(fit, times, clusters.codes, fit.terms.index(chosen))
        if errors is None and kind == "studentised":
            raise DesignError(
                f"a {fit.family} regression has no standard error in each replicate",
                fix="use interval='percentile'",
            )
    else:
        values, errors = _numbers(fit.refit_resampled(times, cluster=cluster, term=chosen))
    within = f" within {strata}" if strata else ""
    words = f"Bootstrap of clusters ({clusters.name}){within}"
    return summarise(observed, values, errors, kind=kind, level=coverage, words=words)


def wild_cluster_bootstrap(
    fit: Any,
    *,
    rng: Any,
    term: str | None = None,
    cluster: Any = None,
    null: float = 0.0,
    reps: int = 9_999,
    weights: str = "auto",
    level: float | None = None,
    imposed: bool = True,
) -> Bootstrap:
    """Wild cluster bootstrap of one coefficient of a linear model, with the null hypothesis imposed.

    Parameters
    ----------
    fit : RegressionFit (gaussian) or fit with ``cluster_moments``
        A linear regression, or a linear mixed model, whose covariance is then taken as the working one.
    rng : int, Generator or SeedSequence
        Source of randomness; not used where all sign changes are enumerated.
    term : str, optional
        Coefficient; the first after the intercept.
    cluster : str or array, optional
        Clusters; those of the fit's errors, or the highest grouping factor.
    null : float
        Value tested.
    reps : int
        Replicates. With Rademacher weights and ``2^clusters <= reps`` all sign changes are taken instead.
    weights : {"auto", "rademacher", "webb"}
        Rademacher -1 or 1; Webb's six points for up to 12 clusters, where sign changes are few. ``auto`` chooses.
    level : float, optional
        Coverage of the interval, which inverts the test.
    imposed : bool
        Whether the null hypothesis is imposed on the model that outcomes are drawn from (WCR), or not (WCU).

    Returns
    -------
    Bootstrap
        ``estimate.statistic`` is the cluster-robust t (CR0), ``p_value`` its place among the replicates.

    Raises
    ------
    DesignError
        For a GLM, and without clusters.

    Notes
    -----
    Formula: with scores ``s_g`` of the model that imposes the null, ``b* = b_0 + M sum_g w_g s_g`` and
    ``t* = (b* - b_0) / se*``; the p-value is the share of ``|t*| >= |t|``. Sources: Cameron, Gelbach and Miller (2008),
    doi:10.1162/rest.90.3.414; Webb (2023), doi:10.1111/caje.12661; MacKinnon, Nielsen and Webb (2023),
    doi:10.1016/j.jeconom.2022.04.001.
    """
    count = int(check_number("reps", reps, at_least=19))
    check_choice("weights", weights, ("auto", "rademacher", "webb"))
    coverage = fit.level if level is None else check_number("level", level, above=0, below=1)
    clusters = clusters_of(fit, cluster)
    chosen = _term(fit, term)
    moments = _moments(fit, cluster, clusters, fit.terms.index(chosen))
    groups = len(moments.scores)
    kind = weights if weights != "auto" else ("webb" if groups <= 12 else "rademacher")
    drawn = draw_weights(kind, groups, count, np.random.default_rng(rng))
    test: WildTest = wild_test(moments, null, drawn, coverage, imposed=imposed)
    observed = fit.estimates[chosen]
    every = "all sign changes" if drawn.complete else f"{len(drawn.values):,} draws"
    estimate = observed.replace(
        se=test.se,
        df=math.nan,
        statistic=test.statistic,
        p_value=test.p_value,
        ci_low=test.ci_low,
        ci_high=test.ci_high,
        level=coverage,
        n_clusters=groups,
        method=f"Wild cluster bootstrap by {clusters.name} ({kind} weights, {every}), null {'imposed' if imposed else 'not imposed'}",
        citation="Cameron, Gelbach and Miller 2008, doi:10.1162/rest.90.3.414",
        details={
            "bootstrap": "wild",
            "weights": kind,
            "null": null,
            "complete": drawn.complete,
            "imposed": imposed,
        },
    )
    return Bootstrap(estimate=estimate, replicates=test.replicates, reps=len(test.replicates), failed=0)


# --- what they share


def _term(fit: Any, term: str | None) -> str:
    names = [str(name) for name in fit.terms]
    if term is None:
        return next((name for name in names if name != "(Intercept)"), names[0])
    if term not in names:
        raise DesignError(f"the model has no term '{term}'", fix=did_you_mean(term, names))
    return term


def clusters_of(fit: Any, cluster: Any) -> Clusters:
    if hasattr(fit, "cluster_of"):
        found: Clusters = fit.cluster_of(cluster)
        return found
    if cluster is not None:
        return read_clusters(fit.source, fit.fitted.design.rows, cluster)
    if fit.clusters is None:
        raise DesignError("the fit has no clusters to resample", fix="name them: cluster='...'")
    return Clusters(name=fit.clusters.name, codes=fit.clusters.codes)


def draw_times(fit: Any, clusters: Clusters, strata: str | None, reps: int, source: np.random.Generator) -> Floats:
    """How often each cluster is drawn in each replicate."""
    codes = clusters.codes
    groups = int(codes.max()) + 1
    stratum = np.zeros(groups, dtype=np.intp)
    if strata is not None:
        frame = fit.source if isinstance(fit, RegressionFit) else fit.data.source
        rows = fit.fitted.design.rows if isinstance(fit, RegressionFit) else fit.data.rows
        layers = read_clusters(frame, rows, strata).codes
        stratum[codes] = layers
        if not np.array_equal(stratum[codes], layers):
            raise DesignError(
                f"a cluster lies in several values of '{strata}'", fix="draw within a coarser column"
            )
    times = np.zeros((reps, groups))
    for layer in np.unique(stratum):
        members = np.flatnonzero(stratum == layer)
        if len(members) < 2:
            raise DesignError(
                f"a stratum of '{strata}' has one cluster, which would never vary"
                if strata
                else "one cluster only",
                fix="draw within coarser strata",
            )
        times[:, members] = source.multinomial(len(members), np.full(len(members), 1.0 / len(members)), reps)
    return times


def _moments(fit: Any, cluster: Any, clusters: Clusters, place: int) -> Moments:
    if isinstance(fit, RegressionFit):
        return regression_moments(fit, clusters.codes, place)
    if not hasattr(fit, "cluster_moments"):
        raise DesignError("the wild bootstrap is for linear models", fix="use cluster_bootstrap")
    found = fit.cluster_moments(cluster)
    contrast = np.eye(len(fit.terms))[place]
    return Moments(
        information=found.shared,
        scores=found.scores,
        M=found.M,
        direction=np.linalg.solve(found.X_root.T, contrast),
        estimate=float(fit.coefficients[place]),
        scale=found.y_scale,
    )


def _numbers(frame: Any) -> tuple[Floats, Floats]:
    return np.asarray(frame["estimate"], dtype=float), np.asarray(frame["se"], dtype=float)


def _statistic(statistic: Callable[[Any], float], fit: Any, outcome: Floats) -> float:
    from wwc_eval.errors import WwcError

    try:
        return float(statistic(fit.refit(outcome)))
    except WwcError:
        return math.nan
