"""The verb ``agreement``: one coefficient of a subjects x raters frame, with an error that respects the clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wwc_eval.errors import DesignError, check_choice, check_number
from wwc_eval.estimate import Estimate
from wwc_eval.fidelity.reliability.chance import pooled_chance, rater_chance
from wwc_eval.fidelity.reliability.errors import ERRORS, Error, error_of, quantile_t
from wwc_eval.fidelity.reliability.krippendorff import METRICS, alpha_metric, alpha_weights
from wwc_eval.fidelity.reliability.pairwise import light_kappa
from wwc_eval.fidelity.reliability.parts import Parts
from wwc_eval.fidelity.reliability.reading import Ratings, read_ratings
from wwc_eval.fidelity.reliability.weights import weight_matrix

__all__ = ["COEFFICIENTS", "agreement"]

COEFFICIENTS = {
    "cohen_kappa": ("Cohen's kappa", "Cohen 1960, doi:10.1177/001316446002000104"),
    "fleiss_kappa": ("Fleiss' kappa", "Fleiss 1971, doi:10.1037/h0031619"),
    "conger_kappa": ("Conger's kappa", "Conger 1980, doi:10.1037/0033-2909.88.2.322"),
    "brennan_prediger": (
        "Brennan-Prediger coefficient",
        "Brennan and Prediger 1981, doi:10.1177/001316448104100307",
    ),
    "ac1": ("Gwet's AC1", "Gwet 2008, doi:10.1348/000711006X126600"),
    "ac2": ("Gwet's AC2", "Gwet 2014, Handbook of inter-rater reliability, 4th edition"),
    "krippendorff_alpha": ("Krippendorff's alpha", "Krippendorff 2004, doi:10.1111/j.1468-2958.2004.tb00738.x"),
    "light_kappa": ("Light's kappa", "Light 1971, doi:10.1037/h0031643"),
    "percent_agreement": ("Percent agreement", "Gwet 2014, Handbook of inter-rater reliability, 4th edition"),
}
"""Coefficients with their names and papers."""

FEW_CLUSTERS = 12
SINGLE_RATED = 0.1
"""Share of subjects with one rating from which Gwet's error is said to be too large."""


def agreement(
    ratings: Any,
    coefficient: str = "krippendorff_alpha",
    *,
    weights: Any = "identity",
    metric: str | None = None,
    categories: Sequence[Any] | None = None,
    cluster: str | Sequence[Any] | None = None,
    errors: str = "linearised",
    reps: int = 2_000,
    rng: Any = None,
    level: float = 0.95,
) -> Estimate:
    """Agreement of raters, with an interval that respects the clustering of what they rated.

    Parameters
    ----------
    ratings : DataFrame or array, subjects x raters
        One row a subject (case, session), one column a rater; missing cells are allowed. Which rater stands in which
        column matters to Cohen's, Conger's and Light's kappa only.
    coefficient : {"cohen_kappa", "fleiss_kappa", "conger_kappa", "brennan_prediger", "ac1", "ac2", \
"krippendorff_alpha", "light_kappa", "percent_agreement"}
        Cohen's takes two raters; Conger's is its form for more, Fleiss' that of Scott's pi.
    weights : {"identity", "linear", "quadratic", "ordinal"} or (q, q) array
        Credit for near agreement. AC1 is unweighted by definition; AC2 is its weighted form. A matrix with zeros along
        its diagonal is taken as weights of disagreement.
    metric : {"nominal", "ordinal", "interval", "ratio"}, optional
        Krippendorff's own distances, for his alpha, in place of ``weights``. His ordinal *metric* and the ordinal
        *weights* differ in the second decimal on the same data.
    categories : sequence, optional
        All categories that could have been given, in order. Brennan-Prediger, AC1, AC2 and the weights depend on them;
        those that occur where it is missing.
    cluster : str or sequence, optional
        Cluster of each subject, such as its local authority: a column of the frame, or one value a subject.
    errors : {"linearised", "jackknife", "bootstrap"}
        Linearised: Gwet's without clusters, else the sum of influences by cluster. Jackknife: leaves out each cluster
        (subject). Bootstrap: draws clusters (subjects). With clusters all three take t(K - 1), and the interval is formed
        for ``log(1 - value)``.
    reps : int
        Replicates of the bootstrap.
    rng : int, Generator or SeedSequence, optional
        Source of randomness of the bootstrap.
    level : float
        Coverage of the interval, which ends at 1 at the latest.

    Returns
    -------
    Estimate
        ``details`` hold observed and chance agreement, categories, subjects with two ratings, subjects without any,
        and, where there is no value or no error, the ``reason``; nothing is NaN without one.

    Raises
    ------
    DataError
        If a rating is infinite or outside ``categories``, or a subject has no cluster.
    DesignError
        If options do not go together, or the weights need an order that words without ``categories`` do not have.

    Notes
    -----
    Formula: ``(pa - pe) / (1 - pe)``; alpha is ``1 - Do / De``. The test is against no agreement beyond chance; with
    linearised errors the error is not that under the null hypothesis. Source: Gwet (2014), Handbook of inter-rater
    reliability; Krippendorff (2004), doi:10.1111/j.1468-2958.2004.tb00738.x.

    Examples
    --------
    >>> import pandas as pd
    >>> seen = pd.DataFrame({"Ann": [1, 2, 3, 3, 2, None], "Ben": [1, 2, 3, 2, 2, 1], "Cay": [1, None, 3, 3, 2, 1]})
    >>> found = agreement(seen, coefficient="ac2", weights="quadratic", categories=[1, 2, 3])
    >>> round(found.estimate, 3), found.n
    (0.918, 6)
    """
    check_choice("coefficient", coefficient, tuple(COEFFICIENTS))
    check_choice("errors", errors, ERRORS)
    check_number("level", level, above=0, below=1)
    _check_options(coefficient, weights, metric)
    table = read_ratings(ratings, categories=categories, cluster=cluster)
    if coefficient == "cohen_kappa" and len(table.raters) > 2:
        raise DesignError(
            f"Cohen's kappa compares two raters, and the frame has {len(table.raters)}",
            fix="use coefficient='conger_kappa', its form for more raters, or give two columns",
        )
    if table.n == 0:
        return _without(coefficient, table, "no subject has any rating", level)
    parts = parts_of(table, coefficient, weights=weights, metric=metric)
    if parts.reason is not None:
        return _without(coefficient, table, parts.reason, level, parts=parts)
    error = error_of(
        parts, kind=errors, clusters=table.clusters, cluster=table.cluster, level=level, reps=reps, rng=rng
    )
    notes = _single_note(table, parts) if errors == "linearised" and table.clusters is None else ()
    found = _estimate(coefficient, table, parts, error, level=level, credit=_named(weights, metric))
    return replace(found, warnings=(*found.warnings, *notes)) if notes else found


def parts_of(table: Ratings, coefficient: str, *, weights: Any = "identity", metric: str | None = None) -> Parts:
    """Value, influences and sums of a coefficient; see :func:`agreement`."""
    if metric is not None:
        return alpha_metric(table, metric)
    matrix = weight_matrix(weights, table)
    if coefficient == "krippendorff_alpha":
        return alpha_weights(table, matrix)
    if coefficient == "light_kappa":
        return light_kappa(table, matrix)
    if coefficient in ("cohen_kappa", "conger_kappa"):
        return rater_chance(table, matrix)
    return pooled_chance(table, coefficient, matrix)


def _check_options(coefficient: str, weights: Any, metric: str | None) -> None:
    plain = isinstance(weights, str) and weights == "identity"
    if metric is not None:
        check_choice("metric", metric, METRICS)
        if coefficient != "krippendorff_alpha":
            raise DesignError(
                f"metric == '{metric}' belongs to Krippendorff's alpha, and coefficient == '{coefficient}'",
                fix="use weights='linear', 'quadratic' or 'ordinal'",
            )
        if not plain:
            raise DesignError("alpha takes a metric or weights, not both", fix="leave out one of them")
    if coefficient == "ac1" and not plain:
        raise DesignError("AC1 has no weights", fix="use coefficient='ac2', its weighted form")


def _named(weights: Any, metric: str | None) -> str:
    if metric is not None:
        return f"{metric} metric"
    return f"{weights} weights" if isinstance(weights, str) else "own weights"


def _details(table: Ratings, parts: Parts | None) -> dict[str, Any]:
    return {
        "observed_agreement": math.nan if parts is None else parts.observed,
        "chance_agreement": math.nan if parts is None else parts.expected,
        "categories": list(table.categories),
        "raters": len(table.raters),
        "n_rated_twice": int(np.count_nonzero(table.r > 1)) if table.n else 0,
        "n_without_rating": table.n_empty,
    }


def _empty_note(table: Ratings) -> tuple[str, ...]:
    if not table.n_empty:
        return ()
    return (f"{table.n_empty:,} subject{'s have' if table.n_empty > 1 else ' has'} no rating and {'are' if table.n_empty > 1 else 'is'} left out.",)  # fmt: skip


def _single_note(table: Ratings, parts: Parts) -> tuple[str, ...]:
    """Gwet's error counts subjects with one rating as if their pairs had disagreed by chance."""
    single = int(np.count_nonzero(table.r == 1))
    if parts.m < table.n or single <= SINGLE_RATED * table.n:
        return ()
    told = f"{single:,} of {table.n:,} subjects have one rating: Gwet's error counts them and is too large"
    return (f"{told}. Leave them out, or use errors='jackknife'.",)


def _without(coefficient: str, table: Ratings, reason: str, level: float, parts: Parts | None = None) -> Estimate:
    """The estimate that says why there is no value."""
    name, citation = COEFFICIENTS[coefficient]
    advice = ""
    if "every rating is the same" in reason and table.q == 1:
        advice = (
            "; Brennan-Prediger, AC1 and AC2 have a value where categories= names all that could have been given"
        )
    return Estimate.from_normal(
        term=name,
        estimate=math.nan,
        se=math.nan,
        level=level,
        scale="agreement",
        method=f"{name}: no value",
        n=table.n,
        n_clusters=table.n_clusters if table.clusters is not None else None,
        warnings=(f"No value: {reason}{advice}.", *_empty_note(table)),
        citation=citation,
        details={**_details(table, parts), "reason": reason},
    )


def _estimate(
    coefficient: str, table: Ratings, parts: Parts, error: Error, *, level: float, credit: str
) -> Estimate:
    from scipy import special

    name, citation = COEFFICIENTS[coefficient]
    warnings = [*error.notes, *_empty_note(table)]
    details = _details(table, parts)
    if error.reason is not None:
        details["reason"] = error.reason
        warnings.append(f"No interval: {error.reason}.")
    if error.replicates is not None:
        details["replicates"] = error.replicates
    if table.clusters is not None and error.reason is None and table.n_clusters < FEW_CLUSTERS:
        warnings.append(f"{table.n_clusters} clusters: the interval covers somewhat less than it says.")
    low, high, words = error.low, error.high, error.words
    if table.clusters is not None and error.reason is None:
        # disagreement is a ratio, skewed when clusters are few: its logarithm covers where the plain scale falls short
        reach = quantile_t(error.df, level) * error.se / (1.0 - parts.value)
        low, high = (1.0 - (1.0 - parts.value) * math.exp(each) for each in (reach, -reach))
        words += ", interval on the scale of log(1 - value)"
    tested = error.se > 0 and error.df > 0
    statistic = parts.value / error.se if tested else math.nan
    return Estimate(
        term=name,
        estimate=parts.value,
        se=error.se,
        df=error.df,
        statistic=statistic,
        p_value=2.0 * float(special.stdtr(error.df, -abs(statistic))) if tested else math.nan,
        ci_low=low,
        ci_high=min(high, 1.0) if math.isfinite(high) else high,
        level=level,
        scale="agreement",
        method=f"{name} ({credit}); {words}",
        n=table.n,
        n_clusters=table.n_clusters if table.clusters is not None else None,
        warnings=tuple(warnings),
        citation=citation,
        details=details,
    )
