"""Bootstrap intervals of intraclass correlations, and of k for counts, for every family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wwc_eval.estimate import Estimate, Estimates
from wwc_eval.inference.resampling import Resampling, resampled, with_interval
from wwc_eval.multilevel.engine.structure import Array

if TYPE_CHECKING:
    from wwc_eval.multilevel.fit import MultilevelFit

__all__ = ["icc_bootstrap", "shares_of"]


def shares_of(fit: Any) -> Array:
    """Share of variance of each grouping factor (of the latent one for a binomial), or k for counts."""
    from wwc_eval.multilevel.generalised.heterogeneity import LOGISTIC_VARIANCE, parts_of
    from wwc_eval.multilevel.icc import variance_parts

    if fit.family == "gaussian":
        parts, rest = variance_parts(fit)
        return np.asarray(parts / (parts.sum() + rest))
    values = parts_of(fit)
    if fit.family == "binomial":
        return np.asarray(values / (values.sum() + LOGISTIC_VARIANCE))
    return np.sqrt(np.expm1(values))


def icc_bootstrap(fit: MultilevelFit, how: Resampling, level: float) -> Estimates:
    """Shares of variance, or k, with intervals from replicates.

    Parameters
    ----------
    fit : MultilevelFit
        The model.
    how : Resampling
        Draws.
    level : float
        Coverage.

    Returns
    -------
    Estimates
        One for each grouping factor in formula order; se is the spread of the replicates. Percentile intervals of a
        variance near zero lean low, for estimates are biased down with few groups; profile likelihood is preferred
        where it can be had.
    """
    observed = shares_of(fit)
    values = resampled(fit, shares_of, how)
    counts = fit.family not in ("gaussian", "binomial")
    latent = "" if fit.family == "gaussian" else "latent "
    what = "coefficient of variation of the rate" if counts else f"share of {latent}variance"
    covariates = "" if fit.terms == ("(Intercept)",) else ", given the covariates"
    rows = []
    for place, grouping in enumerate(fit.data.groupings):
        bare = Estimate(
            term=grouping.name,
            estimate=float(observed[place]),
            se=math.nan,
            df=math.nan,
            statistic=math.nan,
            p_value=math.nan,
            ci_low=math.nan,
            ci_high=math.nan,
            level=level,
            scale="coefficient_of_variation" if counts else "variance_share",
            units="coefficient of variation k" if counts else f"share of {latent}variance",
            method=f"{fit._words}: {what} between groups{covariates}",
            n=fit.n,
            n_clusters=grouping.n_groups,
        )
        rows.append(with_interval(bare, values[:, place], how, level, tested=False))
    title = "Coefficients of variation between groups" if counts else "Intraclass correlations"
    return Estimates(rows, title=f"{title}. {fit._words}: {fit.formula}; {how.words}")
